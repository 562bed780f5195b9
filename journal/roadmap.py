"""ROADMAP.md, read into the frozen dataclasses of `journal.plan`: the journal's one manifest.

Ids, links, milestones and exhibits live in ROADMAP.md alone; the tool, the site and the tests
read them through `load`. A line that breaks the grammar raises ValueError with its number and
what to write instead. The grammar of an item:

    - [ ] **1.1 Perceptron.** What is built, in a line or two
      (going on under an indent of two spaces).
      - one line for each requirement
      - Read: [notes](path) · Code: [x.py](path) · Tests: [test_x.py](path) · Run: [y.py](path)

Left out: the prose around these parts (key concepts and papers of a phase are kept as Markdown),
and ticking, which rewrites a single line and needs nothing but `Item.line`.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from journal.nearest import nearest
from journal.plan import (
    Chapter,
    Exhibit,
    Item,
    Link,
    Milestone,
    Outcome,
    Paper,
    Phase,
    ReadingPath,
    Roadmap,
)

KEYS = ("Read", "Code", "Tests", "Run", "Post", "Paper")
PARTS = ("Key concepts", "Papers", "Items", "Post")
SECTIONS = (
    *("Notes", "Reading paths", "Papers", "Timeline", "Milestones", "Museum"),
    "What you will build",
)
COLUMNS = {
    "Notes": ("Phase", "Notes", "Notebooks"),
    "Reading paths": ("Path", "For whom", "Aims at"),
    "Papers": ("#", "Paper", "Year", "Phase", "Why read it"),
    "Milestones": ("Year", "Milestone", "Phase", "Needs", "Run", "Must reach"),
    "Museum": ("#", "Exhibit", "Years", "Phase", "Idea", "Run", "CPU time"),
}
TO_COME = "to come"

PHASE = re.compile(r"Phase (\d+): (.+)")
FOLDER = re.compile(r"Folder: \[[^\]]+\]\((phase-(\d\d)-[\w-]+)/?\)")
ITEM = re.compile(r"- \[([ xX])\] \*\*(\d+)\.(\d+) (.+?)([.?!])\*\*(?:\s+(.+))?")
LINK_LINE = re.compile(r"([A-Za-z]+):\s*(\[|$)")
LINK = re.compile(r"\[([^\]]+)\]\(([^()\s]+)\)")
SCRIPT = re.compile(r"(train|plot|compare|draw|tour)_\w+|ablate\w*|benchmark\w*|scale_up")
PHASE_8_SCRIPTS = ("prepare", "train", "evaluate", "sample")


# ---- where things are --------------------------------------------------------------------


def find_root(start: Path | None = None) -> Path:
    """The journal's folder: upwards from `start` (the current folder), else this package's own.

    It is known by its ROADMAP.md with the folder of phase 0 beside it, so that another
    project's roadmap on the way up is not taken for it.
    """
    start = (start or Path.cwd()).resolve()
    own = Path(__file__).resolve().parent.parent
    for folder in (start, *start.parents, own):
        if (folder / "ROADMAP.md").is_file() and any(folder.glob("phase-00-*/")):
            return folder
    raise FileNotFoundError(
        f"neither {start} nor a folder above it is the journal (ROADMAP.md beside phase-00-...): "
        "change into your clone of it and try again"
    )


def load(root: Path | None = None) -> Roadmap:
    """Read ROADMAP.md of the journal at `root` (looked for when not given)."""
    return parse(((root or find_root()) / "ROADMAP.md").read_text(encoding="utf-8"))


def is_script(phase: int, stem: str) -> bool:
    """True where a phase's module of this name acts (a script), False where it computes."""
    return SCRIPT.fullmatch(stem) is not None or (phase == 8 and stem in PHASE_8_SCRIPTS)


def modules(root: Path) -> dict[str, Path]:
    """Every module of the phases by its import name: `phase08.train` -> its file."""
    files = sorted(root.glob("phase-[0-9][0-9]-*/code/phase[0-9][0-9]/*.py"))
    return {f"{file.parent.name}.{file.stem}": file for file in files if file.stem != "__init__"}


def scripts(root: Path) -> dict[str, Path]:
    """The modules that can be run, by import name."""
    found = modules(root).items()
    return {name: file for name, file in found if is_script(int(name[5:7]), file.stem)}


def environment(root: Path) -> dict[str, str]:
    """The variables for a process that shall import the journal and the phases from `root`."""
    folders = dict.fromkeys(str(file.parent.parent) for file in modules(root).values())
    path = [str(root), *folders, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


# ---- parsing -----------------------------------------------------------------------------

Lines = Sequence[tuple[int, str]]  # each with its number in the file


def fault(line: int, message: str) -> NoReturn:
    raise ValueError(f"ROADMAP.md, line {line}: {message}")


def parse(text: str) -> Roadmap:
    """Parse the text of ROADMAP.md; ValueError names the first line that breaks the grammar."""
    lines = list(enumerate(text.splitlines(), start=1))
    phases: list[Phase] = []
    bodies: dict[str, Lines] = {}
    for number, heading, body in _split(lines, "## "):
        if heading.startswith("Phase"):
            phases.append(_phase(number, heading, body, expected=len(phases)))
            continue
        if heading not in SECTIONS and nearest(heading, SECTIONS, cutoff=0.8):
            fault(number, f"unknown section {heading!r}; known are {', '.join(SECTIONS)}.")
        if heading in bodies:
            fault(number, f"section {heading!r} is there twice; keep one.")
        bodies[heading] = body
    chapters = tuple(_chapter(n, row) for n, row in _table("Notes", bodies))
    roadmap = Roadmap(
        phases=tuple(phases),
        chapters=chapters,
        paths=tuple(_path(n, row, chapters) for n, row in _table("Reading paths", bodies)),
        papers=tuple(_paper(n, row) for n, row in _table("Papers", bodies)),
        timeline=tuple(tuple(row) for _, row in _rows(bodies.get("Timeline", ()))),
        milestones=tuple(_milestone(n, row) for n, row in _table("Milestones", bodies)),
        museum=tuple(_exhibit(n, row) for n, row in _table("Museum", bodies)),
        outcomes=tuple(_outcomes(bodies.get("What you will build", ()))),
    )
    _check_references(roadmap)
    return roadmap


def _split(lines: Lines, marker: str) -> list[tuple[int, str, Lines]]:
    """The sections under headings that start with `marker`; what stands before them is left."""
    starts = [i for i, (_, text) in enumerate(lines) if text.startswith(marker)]
    ends = [*starts[1:], len(lines)]
    return [
        (lines[i][0], lines[i][1].removeprefix(marker).strip(), lines[i + 1 : j])
        for i, j in zip(starts, ends, strict=False)
    ]


def _paragraphs(lines: Lines) -> list[tuple[int, str]]:
    """Paragraphs, each joined into one line, with the number of its first line."""
    found: list[tuple[int, str]] = []
    open_paragraph = False
    for number, text in lines:
        if not text.strip():
            open_paragraph = False
        elif open_paragraph and not text.startswith(("Folder:", "**Goal.", "**Prerequisites.")):
            found[-1] = (found[-1][0], f"{found[-1][1]} {text.strip()}")
        else:
            found.append((number, text.strip()))
            open_paragraph = True
    return found


def _phase(line: int, heading: str, body: Lines, *, expected: int) -> Phase:
    match = PHASE.fullmatch(heading)
    if match is None or int(match[1]) != expected:
        fault(line, f"expected '## Phase {expected}: Title', got '## {heading}'.")
    number, title = int(match[1]), match[2]
    parts: dict[str, Lines] = {}
    first = len(body)
    for part_line, part, part_body in _split(body, "### "):
        if part not in PARTS or part in parts:
            problem = "is there twice" if part in parts else "is unknown"
            fault(part_line, f"the part {part!r} {problem}; a phase has {', '.join(PARTS)}.")
        parts[part] = part_body
        first = min(first, part_line - line - 1)
    head = [text for _, text in _paragraphs(body[:first])]
    folder = next(filter(None, map(FOLDER.fullmatch, head)), None)
    if folder is None or int(folder[2]) != number:
        name = f"phase-{number:02}-name"
        fault(line, f"phase {number} needs the line 'Folder: [{name}]({name}/)'.")
    texts = {}
    for key in ("Goal", "Prerequisites"):
        start = f"**{key}.** "
        texts[key] = next((t.removeprefix(start) for t in head if t.startswith(start)), "")
        if not texts[key]:
            fault(line, f"phase {number} needs a paragraph that starts with '{start}'.")
    post_title, post = _post(parts["Post"], line) if "Post" in parts else ("", "")
    return Phase(
        number=number,
        title=title,
        folder=folder[1],
        goal=texts["Goal"],
        prerequisites=texts["Prerequisites"],
        items=tuple(_items(number, parts.get("Items", ()))),
        key_concepts=_markdown(parts.get("Key concepts", ())),
        papers=_markdown(parts.get("Papers", ())),
        post_title=post_title,
        post=post,
        line=line,
    )


def _markdown(lines: Lines) -> str:
    return "\n".join(text for _, text in lines).strip()


def _post(lines: Lines, line: int) -> tuple[str, str]:
    text = " ".join(text for _, text in _paragraphs(lines))
    match = re.fullmatch(r"\*\*(.+?)([.?!]?)\*\*(?:\s+(.+))?", text)
    if match is None:
        fault(lines[0][0] if lines else line, "a post reads '**The title.** What it covers.'")
    return match[1] + match[2].removesuffix("."), match[3] or ""


def _blocks(lines: Lines) -> list[tuple[int, int, str]]:
    """List entries as (line, depth 0 or 1, text), with the lines that they wrap on joined."""
    found: list[tuple[int, int, str]] = []
    for number, text in lines:
        indent, content = len(text) - len(text.lstrip()), text.strip()
        is_entry = content.startswith(("- ", "* ", "+ "))
        if not content or content.startswith("<!--") or (not found and not is_entry):
            continue
        if is_entry and content[0] == "-" and (indent == 0 or (indent == 2 and found)):
            found.append((number, indent // 2, content))
        elif is_entry or not found or indent != 2 + 2 * found[-1][1]:
            fault(
                number,
                "expected '- ' at the margin for an item, '  - ' for its requirements, and an "
                f"indent of two more than the dash to go on; got {text!r}.",
            )
        else:
            line, depth, so_far = found[-1]
            found[-1] = (line, depth, f"{so_far} {content}")
    return found


def _items(phase: int, lines: Lines) -> list[Item]:
    entries: list[tuple[int, str, list[tuple[int, str]]]] = []
    for line, depth, text in _blocks(lines):
        if depth == 0:
            entries.append((line, text, []))
        else:
            entries[-1][2].append((line, text.removeprefix("- ")))
    items: list[Item] = []
    for line, text, below in entries:
        item_id = f"{phase}.{len(items) + 1}"
        items.append(_item(line, text, below, expected=item_id, before=items))
    return items


def _item(line: int, text: str, below: Lines, *, expected: str, before: Sequence[Item]) -> Item:
    match = ITEM.fullmatch(text)
    if match is None:
        fault(line, f"expected '- [ ] **{expected} Title.** What is built.', got {text!r}.")
    tick, phase, number, title, stop, body = match.groups()
    item_id = f"{phase}.{number}"
    if item_id in {item.id for item in before}:
        fault(line, f"the id {item_id} is taken; the next one is {expected}.")
    if phase != expected.partition(".")[0]:
        fault(line, f"{item_id} is the id of another phase; write {expected} here.")
    if item_id != expected:
        fault(line, f"ids go up by one within a phase: {expected} comes here, not {item_id}.")
    requirements: list[str] = []
    links: list[Link] = []
    for n, entry in below:
        start = LINK_LINE.match(entry)
        if start or entry.partition(":")[0] in KEYS:
            links += _keyed_links(n, entry, taken={link.key for link in links})
        else:
            requirements.append(entry)
    keys = {link.key for link in links}
    if "Code" in keys and "Tests" not in keys:
        fault(line, f"item {item_id} has Code but no Tests; add 'Tests: [test_x.py](path)'.")
    return Item(
        id=item_id,
        title=title + stop.removesuffix("."),
        text=body or "",
        requirements=tuple(requirements),
        links=tuple(links),
        done=tick != " ",
        line=line,
    )


def _keyed_links(line: int, text: str, taken: set[str]) -> list[Link]:
    """`Read: [a](b), [c](d) · Code: [e](f)` as links."""
    found: list[Link] = []
    for part in re.split(r"\s+·\s+(?=\w+:)", text):
        key, colon, rest = part.partition(":")
        if key not in KEYS or not colon:
            near = nearest(key.capitalize(), KEYS, count=1)
            instead = f"write {near[0]}" if near else f"known are {', '.join(KEYS)}"
            fault(line, f"unknown key {key!r}; {instead}.")
        if key in taken or key in {link.key for link in found}:
            fault(line, f"the key {key} is there twice; put its links behind one, with commas.")
        found += _links(line, key, rest)
    return found


def _links(line: int, key: str, text: str) -> list[Link]:
    """Links separated by commas; at least one."""
    found = [LINK.fullmatch(part.strip()) for part in re.split(r"(?<=\)),\s*(?=\[)", text)]
    links = [Link(key, match[1], match[2]) for match in found if match]
    if len(links) < len(found):
        fault(line, f"{key} takes links separated by commas, '[name](path)', got {text.strip()!r}.")
    return links


def _rows(lines: Lines) -> list[tuple[int, list[str]]]:
    """The rows of a Markdown table, header first and its rule left out."""
    found: list[tuple[int, list[str]]] = []
    for number, text in lines:
        if not text.startswith("|") or re.fullmatch(r"[|:\- ]+", text):
            continue
        cells = re.split(r"(?<!\\)\|", text.strip())[1:-1]
        row = [cell.strip().replace("\\|", "|") for cell in cells]
        if found and len(row) != len(found[0][1]):
            wanted = len(found[0][1])
            fault(number, f"this row has {len(row)} cells, its header {wanted}; write \\| in text.")
        found.append((number, row))
    return found


def _table(name: str, bodies: dict[str, Lines]) -> list[tuple[int, list[str]]]:
    """The rows of a known table without its header, which must be as agreed."""
    rows = _rows(bodies.get(name, ()))
    if rows and tuple(rows[0][1]) != COLUMNS[name]:
        fault(rows[0][0], f"the columns of {name} are | {' | '.join(COLUMNS[name])} |.")
    return rows[1:]


def _phases(line: int, cell: str) -> tuple[int, ...]:
    """`4 (NumPy), 6 (PyTorch)` is (4, 6)."""
    numbers = tuple(int(number) for number in re.findall(r"\d+", cell))
    if not numbers:
        fault(line, f"the column Phase holds the number of a phase, got {cell!r}.")
    return numbers


def _run(line: int, cell: str) -> tuple[Link, ...]:
    return () if cell == TO_COME else tuple(_links(line, "Run", cell))


def _names(cell: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in cell.split(",") if name.strip())


def _chapter(line: int, row: list[str]) -> Chapter:
    phase, notes, notebooks = row
    return Chapter(_phases(line, phase)[0], _names(notes), _names(notebooks))


def _path(line: int, row: list[str], chapters: Sequence[Chapter]) -> ReadingPath:
    """`phases 0 to 2, Attention`: titles of notes; a range of phases stands for all of theirs."""
    title, reader, aims = row
    known = [note for chapter in chapters for note in chapter.notes]
    found: list[str] = []
    for name in _names(aims):
        phases = re.fullmatch(r"phases? (\d+)(?: to (\d+))?", name)
        if phases:
            span = range(int(phases[1]), int(phases[2] or phases[1]) + 1)
            found += [note for c in chapters if c.phase in span for note in c.notes]
        elif name in known:
            found.append(name)
        else:
            near = nearest(name, known, count=1)
            hint = f"did you mean {near[0]!r}?" if near else "the table Notes has their titles"
            fault(line, f"the reading path {title!r} aims at {name!r}, which is no note; {hint}")
    if not found:
        fault(line, f"the reading path {title!r} aims at no note; name one, or phases 0 to 2.")
    return ReadingPath(title, reader, tuple(dict.fromkeys(found)))


def _paper(line: int, row: list[str]) -> Paper:
    number, title, year, phase, why = row
    if not number.isdecimal():
        fault(line, f"the column # holds the number of the paper, got {number!r}.")
    return Paper(int(number), title, year, _phases(line, phase), why)


def _milestone(line: int, row: list[str]) -> Milestone:
    year, title, phase, needs, run, must_reach = row
    ids = tuple(need.strip() for need in needs.split(",") if need.strip())
    return Milestone(year, title, _phases(line, phase), ids, _run(line, run), must_reach)


def _exhibit(line: int, row: list[str]) -> Exhibit:
    number, title, years, phase, idea, run, cpu_time = row
    return Exhibit(number, title, years, _phases(line, phase), idea, _run(line, run), cpu_time)


def _outcomes(lines: Lines) -> list[Outcome]:
    """`- Perceptron (1.1, 1.2)` with the ids at the end."""
    found = []
    for line, _, text in _blocks(lines):
        match = re.fullmatch(r"- (.+?)[:,]? \(?(\d+\.\d+(?:(?:,| and) \d+\.\d+)*)\)?\.?", text)
        if match is None:
            fault(line, f"expected '- What is built (1.1, 1.2)', got {text!r}.")
        found.append(Outcome(match[1], tuple(re.findall(r"\d+\.\d+", match[2]))))
    return found


def _check_references(roadmap: Roadmap) -> None:
    """Every item and phase that a table names must be there."""
    known = {item.id for item in roadmap.items}
    users = [(f"milestone {m.title!r}", m.needs) for m in roadmap.milestones]
    users += [(f"what you will build, {o.text!r}", o.items) for o in roadmap.outcomes]
    for user, ids in users:
        for item_id in ids:
            if item_id not in known:
                raise ValueError(f"ROADMAP.md, {user}: there is no item {item_id}.")
    for row in (*roadmap.papers, *roadmap.milestones, *roadmap.museum):
        for number in row.phases:
            if number >= len(roadmap.phases):
                raise ValueError(f"ROADMAP.md, {row.title!r}: there is no phase {number}.")
    titles = [note for chapter in roadmap.chapters for note in chapter.notes]
    for title in titles:
        if titles.count(title) > 1:
            raise ValueError(f"ROADMAP.md, Notes: {title!r} is there twice; keep one.")
    for chapter in roadmap.chapters:
        if chapter.phase >= len(roadmap.phases):
            raise ValueError(f"ROADMAP.md, Notes: there is no phase {chapter.phase}.")
