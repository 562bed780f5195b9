"""`journal papers`: the reading list, where you stand in it, the PDFs, citations, annotations."""

import textwrap
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional, arg

from journal import roadmap

if TYPE_CHECKING:  # both are imported by the commands that need them
    from journal.bibliography import Work
    from journal.papers import State
    from journal.plan import Roadmap

ABOUT = (
    "The reading list: what to read when, PDFs, citations, annotations. Without a command: list."
)
COMMANDS = ("list", "show", "open", "cite", "fetch", "annotate", "status")
COMMAND = "uv run journal papers"
WIDE = 46  # characters of a title in a table
LINES = 90  # characters of a line of text
MIB = 1 << 20

app = tyro.extras.SubcommandApp()
Which = Annotated[Positional[str], arg(metavar="KEY", help_behavior_hint="")]


@app.command(name="list")
def list_(phase: int | None = None, status: str | None = None) -> None:
    """The papers of the reading list, and how far you are with each.

    Args:
        phase: only those that this phase reads
        status: only those of this status (unread, reading, read, or none for no note yet)
    """
    from journal import papers, views

    _, plan, works, found = _all()
    if phase is not None:
        plan.phase(phase)  # says which there are
    wanted = {"none": papers.NO_NOTE}.get(status or "", status)
    if wanted not in (None, papers.NO_NOTE, *papers.STATUSES):
        raise ValueError(f"--status is unread, reading, read or none, not {status!r}")
    out = views.console()
    table = views.columns(out, "#", "Key", "Title", "Year", "Phase", "Status")
    shown = 0
    for work in works.values():
        phases = _phases(plan, work)
        if work.reading is None or (phase is not None and phase not in phases):
            continue
        state = found[work.key]
        if wanted in (None, state.status):
            title = textwrap.shorten(work.short_title, WIDE, placeholder=" ...")
            row = (work.reading, work.key, title, work.year, _joined(phases), _said(state))
            table.add_row(*map(str, row))
            shown += 1
    if not shown:
        print(f"no paper fits; `{COMMAND} list` shows them all")
        return
    views.emit(out, table)
    out.print(f"\n{COMMAND} show KEY has more on one, {COMMAND} open KEY opens it.")


@app.command
def show(words: Positional[tuple[str, ...]]) -> None:
    """A paper in full: who wrote it, where it appeared, when and why to read it, your note.

    Args:
        words: its key (vaswani2017attention), its number (15), its title, or words of it
    """
    from journal import bibliography, papers

    root, plan, works, found = _all()
    work = bibliography.find(works, " ".join(words))
    state = found[work.key]
    rows = [("key", work.key), ("authors", work.author_list), ("title", work.title)]
    rows += [("year", work.year), ("in", work.venue.replace("*", ""))]
    full = work.fields.get("booktitle", "")
    rows += [("full name", full), ("publisher", work.fields.get("publisher", ""))]
    listed = next((paper for paper in plan.papers if paper.number == work.reading), None)
    if listed:
        rows += [("number", str(work.reading)), ("phase", _joined(listed.phases))]
        rows += [("why", listed.why)]
    rows += [("why", work.fields.get("annote", ""))]
    note = state.note.relative_to(root).as_posix() if state.note else ""
    rows += [
        ("note", f"{note} ({_said(state)})" if note else "" if listed is None else _said(state))
    ]
    rows += [("doi", work.fields.get("doi", "")), ("arxiv", work.fields.get("eprint", ""))]
    rows += [("page", work.page), ("pdf", work.pdf or "no free copy is known")]
    here = papers.pdf_path(work)
    missing = f"not yet: {COMMAND} fetch {work.key}" if work.pdf else ""
    rows += [("here", str(here) if here.is_file() else missing)]
    for name, value in rows:
        if value:
            print(_wrapped(name, bibliography.plain(value) if name == "full name" else value))


@app.command(name="open")
def open_(which: Which, only_print: Annotated[bool, arg(name="print")] = False) -> None:
    """Open a paper in the browser: its PDF where it was fetched, else its public page.

    Args:
        which: its key (vaswani2017attention), its number (15), its title, or words of it
        only_print: print the address and open nothing
    """
    from journal import bibliography, papers

    work = bibliography.find(bibliography.load(roadmap.find_root()), which)
    path = papers.local_pdf(work)
    address = path.as_uri() if path else work.page
    if not address:
        raise ValueError(f"no address of {work.key} is known")
    print(address)
    if not only_print and not webbrowser.open(address):
        raise ValueError("no browser could be started here: open that address yourself")


@app.command
def cite(
    which: Which,
    page: Annotated[str, arg(name="from", metavar="PAGE")] = "",
    bibtex: bool = False,
) -> None:
    """Print the Markdown link by which a page cites a paper, or its BibTeX entry.

    Args:
        which: its key (vaswani2017attention), its number (15), its title, or words of it
        page: the page that cites it, whose place decides the path; a phase's note when left out
        bibtex: print BibTeX instead
    """
    from journal import bibliography

    root = roadmap.find_root()
    work = bibliography.find(bibliography.load(root), which)
    if bibtex:
        print(bibliography.bibtex(work))
    elif not page:
        print(bibliography.link(work))
    else:
        place = Path(page).resolve()
        if not place.is_relative_to(root.resolve()):
            raise ValueError(f"--from is a page of this journal ({root}), not {page}")
        inside = place.relative_to(root.resolve())
        inside = inside / "README.md" if place.is_dir() else inside
        print(bibliography.link(work, inside.as_posix()))


@app.command
def fetch(which: Which) -> int:
    """Bring a paper's PDF into your cache, checked; `all` brings every one that is free.

    Args:
        which: its key (vaswani2017attention), its number (15), words of its title, or all
    """
    from journal import bibliography, papers

    works = bibliography.load(roadmap.find_root())
    if which != "all":
        work = bibliography.find(works, which)
        found = papers.fetch(work)
        print(
            f"{found.path} ({_size(found.path)}, {'fetched' if found.new else 'was here already'})"
        )
        return 0
    failed, without = [], []
    for work in works.values():
        if not work.pdf and not papers.pdf_path(work).is_file():
            without += [work] if work.reading else []
            continue
        try:
            found = papers.fetch(work)
            print(
                f"{work.key}: {_size(found.path)}, {'fetched' if found.new else 'was here already'}"
            )
        except ValueError as error:
            failed.append(work.key)
            print(f"{work.key}: {error}")
    for work in without:
        print(f"{work.key}: no free PDF is known; its page is {work.page}")
    if failed:
        print(f"{len(failed)} failed: {', '.join(failed)}; `{COMMAND} fetch all` tries them again")
    return int(bool(failed))


@app.command
def annotate(
    which: Which,
    text: Annotated[Positional[str], arg(metavar="TEXT", help_behavior_hint="")],
    page: int | None = None,
    section: str | None = None,
    new: bool = False,
) -> None:
    """Append to your annotations of a paper, with today's date and the place in the paper.

    Args:
        which: its key (vaswani2017attention), its number (15), its title, or words of it
        text: what you want to remember, in one line
        page: the page of the paper that it is about
        section: or the section of the paper (3.2)
        new: begin a note where the paper has none yet
    """
    from journal import bibliography, papers

    root, plan, works, found = _all()
    work = bibliography.find(works, which)
    where = papers.place(page, section)
    note = found[work.key].note
    if note is None and not new:
        raise ValueError(
            f"{work.key} has no note yet; with --new a note with empty sections is begun for it"
        )
    begun = note is None
    if note is None:
        papers.one_line(text)  # before a note is begun for nothing
        note = papers.new_note(root, work, _phases(plan, work))
    entry = papers.annotate(note, text, where)
    print(f"{note.relative_to(root).as_posix()}:\n  {entry}")
    if begun:
        print("the note is new: `uv run python -m journal.numbers` puts it into papers/README.md")


@app.command
def status(
    which: Annotated[Positional[str | None], arg(metavar="[KEY]", help_behavior_hint="")] = None,
    word: Annotated[
        Positional[str | None], arg(metavar="[unread|reading|read]", help_behavior_hint="")
    ] = None,
) -> None:
    """How many papers of each phase you have read; or set the status of one.

    Args:
        which: its key (vaswani2017attention), its number (15), its title, or words of it
        word: its new status
    """
    from journal import bibliography, papers

    _, plan, works, found = _all()
    if which is None:
        _show_counts(plan, works, found)
        return
    work = bibliography.find(works, which)
    state = found[work.key]
    if word is None:
        print(f"{work.key}: {_said(state)}")
        return
    if state.note is None:
        begin = f'{COMMAND} annotate {work.key} "..." --page 1 --new'
        raise ValueError(
            f"{work.key} has no note yet, which holds the status; `{begin}` begins one"
        )
    papers.set_status(state.note, word)
    print(f"{work.key}: {_said(papers.state(state.note))}")


def _show_counts(plan: "Roadmap", works: "dict[str, Work]", found: "dict[str, State]") -> None:
    """A line for each phase with papers: how many there are, and how many of each status."""
    from journal import papers, views

    kinds = (*reversed(papers.STATUSES), papers.NO_NOTE)
    out = views.console()
    table = views.columns(out, "Phase", "", "Papers", *(kind.capitalize() for kind in kinds))
    listed = [work for work in works.values() if work.reading is not None]
    groups = [
        (str(phase.number), phase.title, [w for w in listed if phase.number in _phases(plan, w)])
        for phase in plan.phases
    ]
    for number, title, members in [*groups, ("all", "", listed)]:
        counts = [sum(found[work.key].status == kind for work in members) for kind in kinds]
        if members:
            table.add_row(number, title, str(len(members)), *map(str, counts))
    views.emit(out, table)
    bare = [w.key for w in listed if found[w.key].status == "read" and not found[w.key].counts]
    if bare:
        out.print(f"\nread, but to count it takes an annotation: {', '.join(bare)}")


# ---- how it is said ----------------------------------------------------------------------


def _all() -> "tuple[Path, Roadmap, dict[str, Work], dict[str, State]]":
    from journal import bibliography, papers

    root = roadmap.find_root()
    works = bibliography.load(root)
    return root, roadmap.load(root), works, papers.states(root, works)


def _phases(plan: "Roadmap", work: "Work") -> tuple[int, ...]:
    return next((paper.phases for paper in plan.papers if paper.number == work.reading), ())


def _joined(phases: tuple[int, ...]) -> str:
    return ", ".join(map(str, phases))


def _said(state: "State") -> str:
    """The status, and how many annotations there are."""
    if state.note is None:
        return state.status
    count = state.annotations
    if count == 0:
        return f"{state.status}, nothing annotated" if state.status == "read" else state.status
    return f"{state.status}, {count} annotation{'s' if count > 1 else ''}"


def _size(path: Path) -> str:
    return f"{path.stat().st_size / MIB:.1f} MiB"


def _wrapped(name: str, value: str) -> str:
    indent = " " * 11
    if "://" in value or "/" in value:  # an address stays in one piece
        return f"{name:<10} {value}"
    return textwrap.fill(value, LINES, initial_indent=f"{name:<10} ", subsequent_indent=indent)
