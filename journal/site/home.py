"""The pages that are made from ROADMAP.md and the notes: what there is to read, and in which order.

Each function returns the HTML of a page or of a part of one. `href` leads from that page to a file
of the repository (`journal.site.links`).
"""

from collections.abc import Callable, Iterable, Sequence
from html import escape

from journal import notes
from journal.notes import Notes, Step
from journal.plan import Phase, Roadmap
from journal.site import graph

Href = Callable[[str], str | None]
LEGEND = """<ul class="legend">
<li class="task done"><span class="box"></span>what is written: its code and tests are here</li>
<li class="task open"><span class="box"></span>what is still to come</li>
</ul>
"""


def linked(text: str, address: str | None, kind: str = "") -> str:
    """A link, or just the words where there is nothing to link to."""
    attribute = f' class="{kind}"' if kind else ""
    if address is None:
        return f"<span{attribute}>{escape(text)}</span>"
    return f'<a{attribute} href="{escape(address)}">{escape(text)}</a>'


def to_come(text: str) -> str:
    return f'<span class="to-come" title="still to come">{escape(text)}</span>'


# ---- reading paths and graph ---------------------------------------------------------------


def reading_paths(plan: Roadmap, known: Notes, href: Href) -> str:
    """The four paths, each with its stops, and the graph of the notes that are written."""
    paths = [_path(plan, known, path.title, path.reader, href) for path in plan.paths]
    legend = (
        '<p class="legend">A path names the notes that it aims at, and what those need is put '
        f"before them. {to_come('Broken lines')} mean that a note is still to come.</p>"
    )
    parts = [legend, '<div class="paths">', *paths, "</div>"]
    if known:
        parts += [
            '<h3 id="what-needs-what">What needs what</h3>',
            "<p>The notes that are written. A box leads to its note; an arrow leads to a note that "
            "needs it.</p>",
            graph.draw(known, lambda name: href(name) or "#"),
        ]
    return "\n".join(parts)


def _path(plan: Roadmap, known: Notes, title: str, reader: str, href: Href) -> str:
    path = next(path for path in plan.paths if path.title == title)
    stops = notes.steps(plan, known, path)
    items = "\n".join(f"<li>{_stop(step, href)}</li>" for step in stops)
    written = sum(step.note is not None for step in stops)
    return (
        f'<section class="path"><h3 id="{_anchor(title)}">{escape(title)}</h3>'
        f"<p>For someone who {escape(reader)}. {written} of {len(stops)} notes are written.</p>\n"
        f"<ol>\n{items}\n</ol></section>"
    )


def _stop(step: Step, href: Href) -> str:
    if step.note is None:
        return to_come(step.title)
    return linked(step.title, href(step.note.name), "" if step.aim else "needed")


def _anchor(title: str) -> str:
    return "path-" + title.lower().replace(" ", "-")


# ---- indexes -------------------------------------------------------------------------------


def begin(known: Notes, post: tuple[str, str] | None, href: Href) -> str:
    """The links at the top of the home page; `post` is the newest one, its title and its file."""
    first = next(iter(known.values()), None)
    links = []
    if first is not None:
        links.append(
            linked(f"Begin with {first.title}", href(first.name), "md-button md-button--primary")
        )
    if post is not None:
        links.append(linked("Read the newest post", href(post[1]), "md-button"))
    links.append(linked("See the whole plan", href("ROADMAP.md"), "md-button"))
    return f'<p class="begin">{" ".join(links)}</p>'


def phases(plan: Roadmap, href: Href) -> str:
    cards = "\n".join(_phase(phase, href) for phase in plan.phases)
    return (
        '<h1 id="phases">Phases</h1>\n<p>Each phase solves a problem that the one before it ran '
        "into. Phases 2 and 3 can be done side by side.</p>\n"
        f'<ol class="phases" start="0">\n{cards}\n</ol>\n'
    )


def _phase(phase: Phase, href: Href) -> str:
    written = sum(item.written for item in phase.items)
    count = f"{written} of {len(phase.items)} items are written" if written else "still to come"
    address = href(f"{phase.folder}/README.md")
    return (
        f'<li><span class="number">{phase.number}</span><div><h2 id="phase-{phase.number}">'
        f"{linked(phase.title, address)}</h2>\n<p>{escape(_sentence(phase.goal))}</p>\n"
        f'<p class="state">{count}</p></div></li>'
    )


def _sentence(text: str) -> str:
    """The first sentence of a goal, without the marks of Markdown."""
    first, stop, _ = text.partition(". ")
    return first.replace("*", "").replace("`", "") + stop.strip()


def notes_index(plan: Roadmap, known: Notes, href: Href) -> str:
    """Every note by phase, in reading order; those to come too."""
    written = {(note.phase, note.stem): note for note in known.values()}
    parts = [
        '<h1 id="notes">Notes</h1>',
        "<p>A note takes one idea from concrete numbers to the formula and to the code that runs, "
        "and ends in questions. Within a phase they stand in the order in which they are best "
        f"read; {linked('the reading paths', _with(href('README.md'), 'reading-paths'))} lead "
        f"through several phases. {to_come('Broken lines')} mean that a note is still to come.</p>",
    ]
    for chapter in plan.chapters:
        phase = plan.phase(chapter.phase)
        of_phase = [(stem, title) for at, stem, title in notes.planned(plan) if at == phase.number]
        planned = {stem for stem, _ in of_phase}
        entries = [
            linked(written[phase.number, stem].title, href(written[phase.number, stem].name))
            if (phase.number, stem) in written
            else to_come(title)
            for stem, title in of_phase
        ]
        extra = [note for note in known.values() if note.phase == phase.number]
        entries += [linked(n.title, href(n.name)) for n in extra if n.stem not in planned]
        parts.append(_group(phase, entries, href))
    return "\n".join(parts)


def notebooks_index(plan: Roadmap, books: dict[str, str], href: Href) -> str:
    """Every notebook by phase; `books` has the titles of those that are there, by file."""
    parts = [
        '<h1 id="notebooks">Notebooks</h1>',
        "<p>A notebook explores with plots what a note explains, on the modules of its phase, and "
        f"ends in exercises. {to_come('Broken lines')} mean that it is still to come.</p>",
    ]
    for chapter in plan.chapters:
        phase = plan.phase(chapter.phase)
        there = {
            name.rpartition("/")[2].removesuffix(".ipynb"): (name, title)
            for name, title in books.items()
            if name.startswith(f"{phase.folder}/")
        }
        entries = [
            linked(there[stem][1], href(there[stem][0])) if stem in there else to_come(stem)
            for stem in dict.fromkeys((*chapter.notebooks, *there))
        ]
        if entries:
            parts.append(_group(phase, entries, href))
    return "\n".join(parts)


def _group(phase: Phase, entries: Sequence[str], href: Href) -> str:
    address = href(f"{phase.folder}/README.md")
    return (
        f'<h2 id="phase-{phase.number}">{phase.number} {linked(phase.title, address)}</h2>\n'
        f"{_list(entries)}"
    )


def _list(entries: Iterable[str]) -> str:
    return '<ul class="index">\n' + "\n".join(f"<li>{entry}</li>" for entry in entries) + "\n</ul>"


def _with(address: str | None, anchor: str) -> str | None:
    return None if address is None else f"{address}#{anchor}"


# ---- posts ---------------------------------------------------------------------------------


def posts(plan: Roadmap, published: set[int], feed: str, tags: str) -> str:
    """The head of the list of posts; the generator puts the posts themselves below it."""
    rest = [phase for phase in plan.phases if phase.number not in published and phase.post_title]
    entries = [to_come(f"{phase.number} {phase.post_title}") for phase in rest]
    lead = (
        '<h1 id="posts">Posts</h1>\n<p>One post closes each phase, and stands alone for a reader '
        "who has not read the notes. "
        f"{linked('By subject', tags)} · {linked('Feed (RSS)', feed)}</p>\n"
    )
    if not entries:
        return lead
    return f"{lead}<details><summary>Still to come</summary>\n{_list(entries)}\n</details>\n"


def post_end(phase: Phase | None, href: Href) -> str:
    """The line below a post that leads to its phase."""
    if phase is None:
        return ""
    address = href(f"{phase.folder}/README.md")
    text = linked(f"phase {phase.number}, {phase.title}", address)
    return f'<p class="post-end">This post closes {text}.</p>\n'
