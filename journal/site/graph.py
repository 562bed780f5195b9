"""The graph of the notes as a drawing: a box for each, an arrow to what needs it.

Rows go down: a note stands below all that it needs. The drawing is made twice, wide for a screen
and narrow for a phone, and the style sheet shows the one that fits; its colours are the page's.
Boxes are links. Arrows that follow from two others are left out.
"""

import textwrap
from collections.abc import Callable
from html import escape

from journal.notes import Notes, arrows

BOX_WIDTH, BOX_HEIGHT = 160, 46
GAP_ACROSS, GAP_DOWN = 18, 46
MARGIN = 6
LINE = 17  # from one line of a title to the next
LAYOUTS = (("wide", 4), ("narrow", 2))  # how many boxes stand beside one another

Place = tuple[float, float]  # of a box: its middle, its upper edge


def draw(notes: Notes, href: Callable[[str], str]) -> str:
    """The drawing in both widths, followed by the same as a list, folded."""
    drawings = "\n".join(_drawing(notes, href, name, columns) for name, columns in LAYOUTS)
    return f'<div class="graph">\n{drawings}\n</div>\n{_listed(notes, href)}'


def rows(notes: Notes, columns: int) -> list[list[str]]:
    """Names by rows: each below what it needs, near it, and no more than `columns` in a row."""
    depth: dict[str, int] = {}
    for name, note in notes.items():  # in an order in which what is needed comes first
        depth[name] = 1 + max((depth[need] for need in note.prerequisites), default=-1)
    found: list[list[str]] = []
    across: dict[str, float] = {}
    for level in range(max(depth.values(), default=-1) + 1):
        names = [name for name in notes if depth[name] == level]
        names.sort(key=lambda name: _pull(notes, across, name))
        for at in range(0, len(names), columns):
            row = names[at : at + columns]
            found.append(row)
            across |= {name: column - len(row) / 2 for column, name in enumerate(row)}
    return found


def _pull(notes: Notes, across: dict[str, float], name: str) -> float:
    """Where a box would like to stand: in the middle of what it needs."""
    above = [across[need] for need in notes[name].prerequisites]
    return sum(above) / len(above) if above else 0.0


def _places(placed: list[list[str]], columns: int) -> dict[str, Place]:
    width = columns * (BOX_WIDTH + GAP_ACROSS)
    places: dict[str, Place] = {}
    for line, row in enumerate(placed):
        left = (width - len(row) * (BOX_WIDTH + GAP_ACROSS)) / 2
        for column, name in enumerate(row):
            middle = left + (column + 0.5) * (BOX_WIDTH + GAP_ACROSS)
            places[name] = (middle, MARGIN + line * (BOX_HEIGHT + GAP_DOWN))
    return places


def _drawing(notes: Notes, href: Callable[[str], str], layout: str, columns: int) -> str:
    placed = rows(notes, columns)
    widest = max((len(row) for row in placed), default=1)
    places = _places(placed, widest)
    width = widest * (BOX_WIDTH + GAP_ACROSS)
    height = 2 * MARGIN + len(placed) * (BOX_HEIGHT + GAP_DOWN) - GAP_DOWN
    lines = [_arrow(places[need], places[name]) for need, name in arrows(notes)]
    boxes = [_box(notes[name].title, href(name), place) for name, place in places.items()]
    parts = "\n".join([_head(layout), *lines, *boxes])
    return (
        f'<svg class="graph-{layout}" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'role="group" aria-label="The notes, each below those that it needs">\n{parts}\n</svg>'
    )


def _head(layout: str) -> str:
    return (
        f'<defs><marker id="tip-{layout}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>\n'
        f"<style>.graph-{layout} .arrow{{marker-end:url(#tip-{layout})}}</style>"
    )


def _arrow(start: Place, end: Place) -> str:
    (x, y), (to_x, to_y) = (start[0], start[1] + BOX_HEIGHT), end
    bend = min((to_y - y) / 2, GAP_DOWN)
    curve = f"C{x:g} {y + bend:g} {to_x:g} {to_y - bend:g} {to_x:g} {to_y:g}"
    return f'<path class="arrow" d="M{x:g} {y:g}{curve}"/>'


def _box(title: str, address: str, place: Place) -> str:
    left, top = place[0] - BOX_WIDTH / 2, place[1]
    lines = textwrap.wrap(title, 20)
    first = top + BOX_HEIGHT / 2 + 5 - LINE / 2 * (len(lines) - 1)
    words = "".join(
        f'<tspan x="{place[0]:g}" y="{first + at * LINE:g}">{escape(line)}</tspan>'
        for at, line in enumerate(lines)
    )
    return (
        f'<a href="{escape(address)}"><rect x="{left:g}" y="{top:g}" width="{BOX_WIDTH}" '
        f'height="{BOX_HEIGHT}" rx="6"/>'
        f"<text>{words}</text></a>"
    )


def _listed(notes: Notes, href: Callable[[str], str]) -> str:
    entries = []
    for note in notes.values():
        link = f'<a href="{escape(href(note.name))}">{escape(note.title)}</a>'
        needed = ", ".join(escape(notes[name].title) for name in note.prerequisites)
        entries.append(f"<li>{link} needs {needed or 'nothing'}.</li>")
    inner = "\n".join(entries)
    return f"<details><summary>The same as a list</summary>\n<ul>\n{inner}\n</ul>\n</details>\n"
