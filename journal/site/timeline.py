"""The milestones and the museum as pages, from ROADMAP.md's two tables.

They say what is written and what is still to come, and nothing of what a reader has done.
"""

from html import escape

from journal import history
from journal.plan import Exhibit, Link, Milestone, Roadmap
from journal.site.home import Href, linked, to_come


def milestones(plan: Roadmap, intro: str, href: Href) -> str:
    """`intro` is what the roadmap says above its table, as HTML."""
    return _page("Milestones", intro, [_milestone(plan, row, href) for row in plan.milestones])


def museum(plan: Roadmap, intro: str, href: Href) -> str:
    """The exhibits by the year in which each begins."""
    in_time = sorted(plan.museum, key=lambda row: (row.years[:4], row.number))
    return _page("Museum", intro, [_exhibit(plan, row, href) for row in in_time])


def _page(title: str, intro: str, entries: list[str]) -> str:
    inner = "\n".join(entries)
    head = f'<h1 id="{title.lower()}">{title}</h1>\n{intro}'
    return f'{head}\n<ol class="timeline">\n{inner}\n</ol>\n'


def _milestone(plan: Roadmap, row: Milestone, href: Href) -> str:
    name, colon, rest = row.title.partition(": ")
    needs = ", ".join(_item(plan, item, href) for item in row.needs)
    facts = [
        ("Must reach", escape(row.must_reach)),
        ("Rests on", needs),
        ("Phase", _phases(plan, row.phases, href)),
        ("Run", _run(f"milestones run {row.year}", row, href)),
    ]
    lead = f'<p class="idea">{escape(rest[:1].upper() + rest[1:])}.</p>' if colon else ""
    return _entry(row.year, name, f"milestone-{row.year}", lead, facts)


def _exhibit(plan: Roadmap, row: Exhibit, href: Href) -> str:
    facts = [
        ("Phase", _phases(plan, row.phases, href)),
        ("Time on a CPU", f"below {escape(row.cpu_time)}"),
        ("Run", _run(f"museum run {row.number}", row, href)),
    ]
    lead = f'<p class="idea">{escape(row.idea)}.</p>'
    return _entry(row.years, f"{row.number} {row.title}", f"exhibit-{row.number}", lead, facts)


def _entry(when: str, title: str, anchor: str, lead: str, facts: list[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts if value)
    return (
        f'<li><span class="when">{escape(when.replace("-", "–"))}</span>\n'
        f'<div><h2 id="{anchor}">{escape(title)}</h2>\n{lead}<dl>{rows}</dl></div></li>'
    )


def _item(plan: Roadmap, item_id: str, href: Href) -> str:
    item = plan.item(item_id)
    words = f"{item.id} {item.title}"
    if not item.written:
        return to_come(words)
    return linked(words, f"{href('ROADMAP.md')}#{anchor(item_id)}")


def anchor(item_id: str) -> str:
    """Of an item on the page of the roadmap."""
    return f"item-{item_id.replace('.', '-')}"


def _phases(plan: Roadmap, numbers: tuple[int, ...], href: Href) -> str:
    found = [plan.phase(number) for number in numbers]
    return ", ".join(
        linked(f"{phase.number} {phase.title}", href(f"{phase.folder}/README.md"))
        for phase in found
    )


def _run(command: str, row: Milestone | Exhibit, href: Href) -> str:
    if not row.run:
        return to_come("to come")
    history.to_run(row)  # a link that is no module of a phase is refused
    return f"<code>uv run journal {command}</code> ({', '.join(_script(s, href) for s in row.run)})"


def _script(link: Link, href: Href) -> str:
    return linked(link.text, href(link.path))
