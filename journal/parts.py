"""What a note, a post and a paper note consist of, so that a reader finds each thing in its place.

A note opens with its key equation in a box and a line of prerequisites, has code that imports the
module of its phase, a summary table, the essential insight, and questions with folded answers. A
post has front matter, and once it is published its length, figures and code. A paper note has front
matter and seven sections. The complaints have the form `file:line: what is wrong; what to do`.

Left out: whether any of it is good. That takes a reader.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

from journal import pages
from journal.pages import Block, Heading, Page

PHASE = re.compile(r"phase-(\d\d)-[^/]+/")
LAST_PHASE = 10
QUESTIONS = range(4, 9)
WORDS = range(1500, 3501)
FIGURES = 3
STATUSES = ("unread", "reading", "read")
SECTIONS = (  # of a paper note, in this order
    "Problem",
    "Idea",
    "Method",
    "Results",
    "What held up",
    "Where it lives",
    "My annotations",
)


def notes_have_their_parts(root: Path) -> Iterator[str]:
    for page in pages.readable(root, pages.notes(root)):
        yield from note_faults(page)


def posts_have_their_parts(root: Path) -> Iterator[str]:
    for page in pages.readable(root, pages.posts(root)):
        yield from post_faults(root, page)
    apart = set(pages.prose(root)) - set(pages.posts(root))
    for page in pages.readable(root, sorted(apart)):
        if "draft" in page.front:
            say = "this is written as a post and lies in no blog folder; move it there"
            yield f"{page.name}:1: {say}"


def paper_notes_have_their_parts(root: Path) -> Iterator[str]:
    for page in pages.readable(root, pages.paper_notes(root)):
        yield from paper_note_faults(root, page)


# ---- notes -----------------------------------------------------------------------------------


def note_faults(page: Page) -> Iterator[str]:
    """What a note lacks of what every note has."""
    start = f"{page.name}:{page.first_line}:"
    heads = [heading.line for heading in page.headings if heading.level > 1]
    opening = [block for block in page.blocks if block.line < (heads or [10**9])[0]]
    if not page.title:
        yield f"{start} there is no title; begin with a heading `# ...`"
    if not any("\\boxed" in line for line in _source(page, opening)):
        yield f"{start} the opening has no boxed equation; put the key one in `\\boxed{{...}}`"
    if not any(pages.PREREQUISITES.match(block.text) for block in opening):
        yield f"{start} the opening has no line `Prerequisites:`; put it before the first section"
    found = PHASE.match(page.name)
    module = f"phase{found[1]}" if found else "phase"
    imports = re.compile(rf"^\s*(from|import)\s+{module}\b", re.MULTILINE)
    if not any(imports.search(block.text) for block in _python(page.blocks)):
        yield f"{start} no block of Python imports {module}; show the module at work"
    yield from _closing_faults(page, start)


def _closing_faults(page: Page, start: str) -> Iterator[str]:
    """The parts at the end of a note: summary, insight, questions."""
    summary = _section(page, "summary")
    if summary is None:
        yield f"{start} there is no summary; add a section `Summary` with a table"
    elif not any(block.kind == "table" for block in summary[1]):
        yield f"{page.name}:{summary[0].line}: the summary has no table; add one"
    if _section(page, "essential insight") is None:
        yield f"{start} there is no section `The essential insight`; say it in a paragraph"
    questions = _section(page, "check yourself")
    if questions is None:
        yield f"{start} there is no section `Check yourself`; ask four to eight questions"
    else:
        yield from _question_faults(f"{page.name}:{questions[0].line}:", questions[1])


def _question_faults(where: str, blocks: list[Block]) -> Iterator[str]:
    """Questions are what stands outside of `<details>`, answers what stands inside."""
    depth = answers = numbered = 0
    asked = False  # since the last answer
    for block in blocks:
        tags = block.info.split() if block.kind == "html" else []
        if "details" in tags:
            if not asked:
                line = block.line
                yield f"{where} the answer in line {line} follows no question; write it before"
            if "summary" not in tags:
                yield f"{where} the answer in line {block.line} has no `<summary>`; add one"
            answers, asked = answers + 1, False
        elif depth == 0 and block.kind != "comment":
            asked = asked or not tags
            numbered += bool(re.match(r"(question )?\d+[.)]", block.text, re.IGNORECASE))
        depth += tags.count("details") - tags.count("/details")
    if answers not in QUESTIONS:
        yield f"{where} {answers} questions have a folded answer; ask four to eight"
    if numbered and numbered != answers:
        yield f"{where} {numbered} questions have {answers} folded answers; answer each in its own"
    if not list(_python(blocks)):
        yield f"{where} no question needs code; give one a block of Python"


def _section(page: Page, words: str) -> tuple[Heading, list[Block]] | None:
    """The section whose heading has these words, with what stands in it."""
    for at, heading in enumerate(page.headings):
        if words in heading.text.lower():
            rest = page.headings[at + 1 :]
            end = next((later.line for later in rest if later.level <= heading.level), 10**9)
            return heading, [block for block in page.blocks if heading.line < block.line < end]
    return None


def _python(blocks: tuple[Block, ...] | list[Block]) -> Iterator[Block]:
    return (block for block in blocks if block.kind == "code" and block.info == "python")


def _source(page: Page, blocks: list[Block]) -> Iterator[str]:
    """The lines of these blocks as they stand in the file, comments and code left out."""
    lines = page.body.splitlines()
    for block in blocks:
        if block.kind not in ("comment", "code"):
            yield from lines[block.line - page.first_line : block.last - page.first_line + 1]


# ---- posts -----------------------------------------------------------------------------------


def post_faults(root: Path, page: Page, *, published: bool | None = None) -> Iterator[str]:
    """What is wrong with a post; with `published=True` as if it were no draft any more."""
    start = f"{page.name}:1:"
    yield from _post_front_faults(page, start)
    if published is None:
        published = page.front.get("draft") is False
    if not published:
        return
    if page.front.get("tags") == []:
        yield f"{start} there are no tags; give one or more"
    more = [block for block in page.blocks if block.kind == "comment" and block.text == "more"]
    if len(more) != 1:
        yield f"{start} `<!-- more -->` stands there {len(more)} times; put one after the opening"
    elif not any(block.kind == "text" and block.line < more[0].line for block in page.blocks):
        yield f"{page.name}:{more[0].line}: nothing stands before `<!-- more -->`; write an opening"
    heads = [heading.text for heading in page.headings if heading.level == 1]
    if heads != [page.front.get("title")]:
        shown = " and ".join(map(repr, heads)) or "none"
        yield f"{start} the heading is {shown}; write one, `# ` and the title of the front matter"
    words = count_words(page)
    if words not in WORDS:
        yield f"{start} {words:,} words; a post has {WORDS[0]:,} to {WORDS[-1]:,}"
    folder = page.name.partition("/")[0] + "/results/"
    images = {pages.resolve(page.name, image.target) for image in page.references if image.image}
    figures = [name for name in images if name.startswith(folder)]
    if len(figures) < FIGURES:
        yield f"{start} {len(figures)} figures from {folder}; show {FIGURES} or more"
    if not list(_python(page.blocks)):
        yield f"{start} there is no block of Python; show code that runs"


def _post_front_faults(page: Page, start: str) -> Iterator[str]:
    front = page.front
    found = PHASE.match(page.name)
    phase = int(found[1]) if found else -1
    for key in ("title", "description"):
        if not _is_text(front.get(key)):
            yield f"{start} the front matter has no {key}; write `{key}: ...`"
    if type(front.get("date")) is not date:  # a datetime is a date to `isinstance`
        yield f"{start} the front matter has no date; write `date: 2026-01-31`"
    if not isinstance(front.get("draft"), bool):
        yield f"{start} the front matter does not say `draft: true` or `draft: false`; write it"
    tags = front.get("tags")
    if not isinstance(tags, list) or not all(_is_text(tag) for tag in tags):
        yield f"{start} the tags are no list of words; write `tags: [one, two]`"
    if front.get("phase") != phase or isinstance(front.get("phase"), bool):
        yield f"{start} the front matter has not the phase of its folder; write `phase: {phase}`"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def count_words(page: Page) -> int:
    """The words of a page that are read as text: no code, no formulas, no comments."""
    read = ("text", "heading", "table", "html")
    shown = (block.text for block in page.blocks if block.kind in read)
    return sum(len(re.findall(r"\w[\w'’.,-]*", text)) for text in shown)


# ---- paper notes -------------------------------------------------------------------------------


def paper_note_faults(root: Path, page: Page) -> Iterator[str]:
    """What is wrong with the front matter and the sections of a paper note."""
    start = f"{page.name}:1:"
    yield from _paper_front_faults(page.front, start)
    for key in ("code", "note"):
        listed = page.front.get(key)
        names = [listed] if isinstance(listed, str) else listed
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            yield f"{start} {key} is no list of files; write `{key}: []`, or files from the root"
            continue
        for name in names:
            if not (root / name).is_file():
                yield f"{start} {key} names {name}, which is not there; mend it or take it away"
    heads = [heading for heading in page.headings if heading.level == 2]
    titles = [re.sub(r"^\d+\.\s*", "", heading.text).lower() for heading in heads]
    places = []
    for section in SECTIONS:
        at = next((i for i, title in enumerate(titles) if title.startswith(section.lower())), None)
        if at is None:
            yield f"{start} there is no section `{section}`; add it"
        else:
            places.append((at, section))
    for (at, section), (before, earlier) in zip(places[1:], places, strict=False):
        if at < before:
            yield f"{page.name}:{heads[at].line}: `{section}` comes before `{earlier}`; move it"


def _paper_front_faults(front: Mapping[str, object], start: str) -> Iterator[str]:
    phases = front.get("phase")
    listed = phases if isinstance(phases, list) else [phases]
    if not _is_text(front.get("bibkey")):
        yield f"{start} the front matter has no bibkey; write the key of its entry in papers.bib"
    if type(front.get("number")) is not int:
        yield f"{start} the front matter has no number; write that of the reading list"
    if not listed or not all(type(n) is int and 0 <= n <= LAST_PHASE for n in listed):
        yield f"{start} the phase is no number from 0 to {LAST_PHASE}, nor a list of such; write it"
    if front.get("status") not in STATUSES:
        yield f"{start} the status is not one of {', '.join(STATUSES)}; write one"
