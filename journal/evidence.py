"""Evidence for the items that are no code: a published post, a read paper, a recorded run.

An item with a Code link is judged by its tests (`journal.check`), never here. For the others, what
their links lead to is looked at, without running anything:

    Post    the post's front matter says `draft: false` and has a date
    Paper   the note's front matter says `status: read`, and something of the learner's stands under
            its heading My annotations; a link to a folder asks for every paper of the reading list
    Run     a result of the learner's own run lies in `practice/phaseNN/results/`

Where none of these is linked nothing can be verified, and the learner ticks the item by hand.

The front matter is YAML (`journal.pages` reads it); here only its plain values count, as text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token

from journal import pages, record
from journal.plan import Item, Roadmap

ANNOTATIONS = "My annotations"
COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
HEADING = re.compile(r"#{1,6}\s+(.+?)[\s#]*")
LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+\Z")  # the lines that Markdown knows, ends kept
MARK = "\ufeff"  # of the byte order, with which some editors on Windows begin a file


@dataclass(frozen=True)
class Evidence:
    """Whether an item that is no code is done, by what, and what is missing otherwise."""

    kind: Literal["post", "paper", "run"]
    passed: bool
    files: tuple[Path, ...]
    """what was found, from the journal's folder"""
    say: str
    """one sentence"""


Finding = tuple[bool, tuple[Path, ...], str]  # of one link: passed, files, sentence


def of_item(root: Path, item: Item, plan: Roadmap) -> Evidence | None:
    """The evidence for an item, or None where it has Code or nothing that could be verified.

    Where an item links to posts, papers and scripts, the first of these decides; every link of
    that kind must pass, and the first one that does not is what the sentence names.
    """
    if item.of("Code"):
        return None
    posts = [Path(link.path) for link in item.of("Post") if not link.outside]
    if posts:
        return _together("post", [_post(root, file) for file in posts])
    notes = [Path(link.path) for link in item.of("Paper") if not link.outside]
    if notes:
        return _together("paper", [it for place in notes for it in _papers(root, place, plan)])
    scripts = [link.module for link in item.of("Run") if link.module]
    if scripts:
        return _together("run", [_run(root, script) for script in scripts])
    return None


def _together(kind: Literal["post", "paper", "run"], findings: Sequence[Finding]) -> Evidence:
    """All findings of an item as one: they pass together or not at all."""
    lacking = [say for passed, _, say in findings if not passed]
    files = tuple(file for _, found, _ in findings for file in found)
    if not findings or lacking:
        count = len(findings) - len(lacking)
        before = f"{count} of {len(findings)} are done; " if len(findings) > 1 else ""
        return Evidence(kind, False, files, before + (lacking or ["the reading list is empty"])[0])
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return Evidence(kind, True, files, findings[0][2] + more)


# ---- posts -------------------------------------------------------------------------------


def _post(root: Path, file: Path) -> Finding:
    name = file.as_posix()
    if not (root / file).is_file():
        return False, (), f"the post {name} is not there yet: write it"
    text = _read(root / file)
    if broken := _broken(text):
        return False, (file,), f"the post {name} cannot be read: {broken}"
    fields = front_matter(text)
    if fields.get("draft", "").lower() != "false":
        return (
            False,
            (file,),
            f"the post {name} is a draft: write `draft: false` in its front matter",
        )
    published = _date(fields.get("date", ""))
    if published is None:
        say = f"the post {name} has no date: write `date: 2026-01-31` in its front matter"
        return False, (file,), say
    return True, (file,), f"the post {name} is published, dated {published}"


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10])  # a time may follow
    except ValueError:
        return None


# ---- papers ------------------------------------------------------------------------------


def _papers(root: Path, place: Path, plan: Roadmap) -> list[Finding]:
    """Of one note; or, where the link leads to a folder, of each paper of the reading list."""
    if not (root / place).is_dir():
        return [_paper(root, place)]
    notes = {}
    for note in sorted((root / place).glob("*.md")):
        number = front_matter(_read(note)).get("number", "")
        if number.isdecimal():
            notes[int(number)] = note.relative_to(root)
    return [
        _paper(root, notes[paper.number])
        if paper.number in notes
        else (False, (), f"no note in {place.as_posix()} has `number: {paper.number}`: write it")
        for paper in plan.papers
    ]


def _paper(root: Path, note: Path) -> Finding:
    name = note.as_posix()
    if not (root / note).is_file():
        return False, (), f"the paper note {name} is not there yet: write it"
    text = _read(root / note)
    if broken := _broken(text):
        return False, (note,), f"the paper note {name} cannot be read: {broken}"
    status = front_matter(text).get("status", "missing")
    if status.lower() != "read":
        say = f"the status of {name} is {status}: write `status: read` once you have read the paper"
        return False, (note,), say
    if not annotations(text):
        say = f"{name} has nothing of yours under {ANNOTATIONS}: write at least one, with its page"
        return False, (note,), say
    return True, (note,), f"{name} is read and annotated"


@dataclass(frozen=True)
class Outline:
    """A page of Markdown by its lines, for whoever looks for a section or adds a line to it."""

    lines: tuple[str, ...]
    """with their ends; joined they are the page"""
    blocks: tuple[tuple[Token, range], ...]
    """the outermost ones behind the front matter, each with the numbers of its lines"""

    @property
    def headings(self) -> list[tuple[str, int]]:
        """Level (`h1` to `h6`) and line of every heading that is in no list, quotation or code."""
        return [(token.tag, at.start) for token, at in self.blocks if token.type == "heading_open"]

    @property
    def sections(self) -> list[range]:
        """The lines of every section My annotations, from its heading, which is one with `#`.

        A section ends at the next heading of its own level or above.
        """
        found = []
        for level, start in self.headings:
            heading = HEADING.fullmatch(COMMENT.sub("", self.lines[start]).strip(f"{MARK} \r\n"))
            if heading and re.sub(r"^\d+\.\s+|\*", "", heading[1]).lower() == ANNOTATIONS.lower():
                ends = [at for other, at in self.headings if at > start and other <= level]
                found.append(range(start, ends[0] if ends else len(self.lines)))
        return found


def outline(text: str) -> Outline:
    """The lines and blocks of a page; ValueError where its front matter is broken."""
    whole = text.removeprefix(MARK)
    _, body, _ = pages.front_matter(whole)
    before = len(LINE.findall(whole[: len(whole) - len(body)]))
    tokens = MarkdownIt("commonmark").parse("\n" * before + body)  # counts lines as the file does
    blocks = tuple((it, range(*it.map)) for it in tokens if it.level == 0 and it.map)
    return Outline(tuple(LINE.findall(text)), blocks)


def annotations(text: str) -> str:
    """What stands in the sections My annotations, without headings and HTML comments.

    Empty where there is none, or nothing in it has a letter or a digit. ValueError where the front
    matter is broken.
    """
    page = outline(text)
    found: list[str] = []
    for section in page.sections:
        at = section.start
        for token, lines in page.blocks:
            if lines.start not in section:
                continue
            found += page.lines[at : lines.start]
            block = "".join(page.lines[lines.start : lines.stop])
            if token.type in ("fence", "code_block"):
                found.append(block)  # where `<!--` hides nothing
            elif token.type != "heading_open":
                found.append(COMMENT.sub("", block))
            at = lines.stop
        found += page.lines[at : section.stop]
    text = "".join(found).strip()
    return text if re.search(r"\w", text) else ""


# ---- runs --------------------------------------------------------------------------------


def _run(root: Path, script: str) -> Finding:
    package, _, stem = script.partition(".")
    folder = Path("practice") / package / "results"
    names = (f"{stem}.json", f"{stem}-*.json", f"{stem}-*.svg")
    files = tuple(
        sorted(file.relative_to(root) for name in names for file in (root / folder).glob(name))
    )
    command = f"`uv run journal run {script} --mine --record`"
    if not files:
        return False, (), f"{folder.as_posix()} has no result of {stem} yet: {command} writes one"
    for file in files:
        if file.suffix == ".json" and not _is_result(root / file):
            say = f"{file.as_posix()} is no result of a script: {command} writes it again"
            return False, files, say
    return True, files, f"a run of {stem} is recorded in {files[0].as_posix()}"


def _is_result(file: Path) -> bool:
    try:
        return "metrics" in record.load(file)
    except ValueError:
        return False


# ---- front matter ------------------------------------------------------------------------


def front_matter(text: str) -> dict[str, str]:
    """The plain values of the front matter as text: words, numbers, dates, true and false.

    Lists and nested values are empty. The whole is empty where there is no front matter, and where
    it cannot be read; `pages.front_matter` says then what is wrong with it.
    """
    try:
        fields, _, _ = pages.front_matter(text)
    except ValueError:
        return {}
    return {key: _plain(value) for key, value in fields.items()}


def _broken(text: str) -> str:
    """What is wrong with the front matter; empty where nothing is."""
    try:
        pages.front_matter(text)
    except ValueError as error:
        return str(error)
    return ""


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date):  # or a time of day with it
        return value.isoformat()
    return str(value) if isinstance(value, str | int | float) else ""


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8-sig")  # some editors on Windows begin with a mark
