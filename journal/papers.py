"""The learner's side of the reading list: what was read, their annotations, the PDFs.

A note on a paper is a page of `papers/notes/`. Its front matter has a `status`, and under its
heading My annotations stands what the learner wrote. A paper counts as read when the status says so
and something stands there: `journal.evidence` decides that, here and for the roadmap's items.

Of what the learner wrote nothing is ever rewritten: `annotate` inserts one line at the end of that
section, `set_status` replaces one word of the front matter, and every other byte (line ends, a byte
order mark, what follows the section) stays as it is. Both write the whole file or nothing.

A PDF is kept in the user's folder for caches, under `papers/`, with its sha256 beside it. It gets
its name only when it is whole and a PDF.

Left out: the text of a PDF, and papers that cannot be read for free.
"""

import hashlib
import re
import sys
import tempfile
import time
import unicodedata
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import BinaryIO, NamedTuple

from journal import bibliography, data, evidence, pages, record
from journal.bibliography import NOTES, Work

STATUSES = ("unread", "reading", "read")
NO_NOTE = "no note yet"
SECTION = f"## {evidence.ANNOTATIONS}"
STATUS = re.compile(
    r"(status:[ \t]+)(\"[^\"]*\"|'[^']*'|[^\s#\"']+)([ \t]*(?:[ \t]#.*)?)", re.DOTALL
)
LIST = "bullet_list_open"
HIDES = {"<!--": "hide what comes after it", "[[[cog": "be run as a program"}
HEAD, TAIL = b"%PDF-", b"%%EOF"
MOST = 100 << 20  # bytes of a PDF; the papers of the list have a few million
PATIENCE = 600  # seconds for a download
NEAR = 1024  # bytes from the end: so far back readers look for the tail
AGENT = "transformers-from-scratch (reading list)"  # some servers refuse a client without a name
TEMPLATE = """---
bibkey: {key}
number: {number}
phase: [{phases}]
status: reading
code: []
note: []
---

# {title}

{authors} ({year}), [{title}]({page}), {venue}. {listed}

## Problem

## Idea

## Method

## Results

## What held up and what did not

## Where it lives in this repository

{section}
"""


@dataclass(frozen=True)
class State:
    """A paper's note, if there is one, and what it says."""

    note: Path | None = None
    status: str = NO_NOTE
    annotations: int = 0
    """lines of the learner's that begin an entry of a list, or 1 for anything else"""

    @property
    def counts(self) -> bool:
        """Whether the roadmap takes the paper for read."""
        return self.status == "read" and self.annotations > 0


def state(note: Path | None) -> State:
    """What a note says; without one, that there is none yet."""
    if note is None:
        return State()
    text = note.read_text(encoding="utf-8-sig")
    status = evidence.front_matter(text).get("status", "missing").lower()
    section = evidence.annotations(text)
    entries = re.findall(r"^[-*+] ", section, re.MULTILINE)
    return State(note, status, len(entries) or int(bool(section)))


def states(root: Path, works: Mapping[str, Work]) -> dict[str, State]:
    """The state of every work, by key."""
    notes = bibliography.notes(root, works)
    return {key: state(notes.get(key)) for key in works}


# ---- the learner's note ------------------------------------------------------------------


def new_note(root: Path, work: Work, phases: tuple[int, ...]) -> Path:
    """Begin a note with the sections of the others, all of them empty; never over a file."""
    if work.reading is None:
        raise ValueError(f"{work.key} is not on the reading list, whose papers alone have notes")
    stem = re.sub(r"[^\w]+", "-", work.title.partition(":")[0].lower()).strip("-")
    note = root / NOTES / f"{stem}.md"
    if note.exists():
        raise ValueError(f"{NOTES}/{note.name} is there already, without `number: {work.reading}`")
    listed = f"Paper {work.reading} of the [reading list](../README.md#{work.key})."
    text = TEMPLATE.format(
        key=work.key,
        number=work.reading,
        phases=", ".join(map(str, phases)),
        title=work.title,
        authors=work.author_list,
        year=work.year,
        page=work.page,
        venue=work.venue,
        listed=listed,
        section=SECTION,
    )
    record.replace_file(note, text)
    return note


def place(page: int | None, section: str | None) -> str:
    """`page 3` or `section 3.2`; ValueError unless just one is given, and makes sense."""
    if (page is None) == (section is None):
        raise ValueError("say where in the paper it is: either --page 3 or --section 3.2")
    if page is not None:
        if page < 1:
            raise ValueError(f"--page is a number from 1 on, not {page}")
        return f"page {page}"
    name = " ".join((section or "").split()).removeprefix("section ").removeprefix("§").strip()
    if not name or not re.fullmatch(r"[\w.,'’ ()-]+", name):
        raise ValueError(
            f"--section is a number or a name such as 3.2 or Abstract, not {section!r}"
        )
    return f"section {name}"


def annotate(note: Path, text: str, where: str, on: date | None = None) -> str:
    """Append `- 2026-11-21, section 3.2: text` to My annotations and return the line."""
    entry = f"- {(on or date.today()).isoformat()}, {where}: {one_line(text)}"
    record.replace_file(note, _with_entry(_read(note), entry, f"{NOTES}/{note.name}"))
    return entry


def one_line(text: str) -> str:
    """The text of an annotation; ValueError where there is none, or where it would do harm."""
    words = " ".join(text.split())
    if not re.search(r"\w", words):
        raise ValueError("an annotation needs at least one word")
    for sign, harm in HIDES.items():
        if sign in words:
            raise ValueError(f"an annotation cannot hold `{sign}`, which would {harm}")
    strange = [sign for sign in words if unicodedata.category(sign) in ("Cc", "Cs")]
    if strange:
        raise ValueError(f"an annotation is text, without the control character {strange[0]!a}")
    return words


def _with_entry(text: str, entry: str, name: str) -> str:
    """`text` with one more line at the end of its section My annotations, and nothing else new."""
    with _reading(name):
        page = evidence.outline(text)
    if len(page.sections) != 1:
        found = f"{len(page.sections)} headings" if page.sections else "no heading"
        raise ValueError(f"{name} has {found} `{SECTION}`; it needs just one, which you write")
    lines, section = page.lines, page.sections[0]
    last = max(n for n in section if n == section.start or lines[n].strip())
    goes_on = any(last in at for it, at in page.blocks if it.type == LIST and it.markup == "-")
    end = re.search(r"[\r\n]+\Z", lines[section.start])
    newline = end[0] if end else "\n"
    before = "".join(lines[: last + 1])
    before += "" if before.endswith(("\r", "\n")) else newline
    before += "" if goes_on else newline
    after = "".join(lines[last + 1 :])
    # A line that followed at once would be taken for the rest of the entry.
    after = newline + after if after and lines[last + 1].strip() else after
    whole = before + entry + newline + after
    new, line = evidence.outline(whole), len(evidence.LINE.findall(before))
    in_list = any(line in at for it, at in new.blocks if it.type == LIST)
    if not in_list or len(new.headings) != len(page.headings):
        raise ValueError(
            f"{name} has something at the end of {evidence.ANNOTATIONS} that would run into a new "
            "line: a code block or comment that does not end (close it), or an indented heading"
        )
    return whole


def set_status(note: Path, status: str) -> None:
    """Make the front matter's status this one, and leave every other byte as it is."""
    if status not in STATUSES:
        raise ValueError(
            f"a status is {', '.join(STATUSES[:-1])} or {STATUSES[-1]}, not {status!r}"
        )
    text, name = _read(note), f"{NOTES}/{note.name}"
    with _reading(name):
        fields, body, _ = pages.front_matter(text.removeprefix(evidence.MARK))
    lines = evidence.LINE.findall(text[: len(text) - len(body)])
    found = [(at, STATUS.fullmatch(line.rstrip("\r\n"))) for at, line in enumerate(lines)]
    fitting = [(at, match) for at, match in found if match]
    if len(fitting) != 1:
        raise ValueError(
            f"the front matter of {name} has {len(fitting)} lines `status: {STATUSES[0]}`; it "
            "needs just one"
        )
    at, match = fitting[0]
    end = lines[at][len(lines[at].rstrip("\r\n")) :]
    lines[at] = f"{match[1]}{status}{match[3]}{end}"
    head = "".join(lines)
    if pages.front_matter(head.removeprefix(evidence.MARK))[0] != {**fields, "status": status}:
        raise ValueError(f"the status of {name} goes over several lines; write it in one")
    record.replace_file(note, head + body)


@contextmanager
def _reading(name: str) -> Generator[None]:
    """Name the note in what is said about its front matter."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name} cannot be read: {error}") from None


def _read(note: Path) -> str:
    """The note with its own line ends and byte order mark; ValueError where it is not UTF-8."""
    try:
        return note.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{NOTES}/{note.name} is not UTF-8 ({error}); save it as UTF-8") from None


# ---- the PDFs ----------------------------------------------------------------------------


class Fetched(NamedTuple):
    """Where the PDF of a work is, and whether it was downloaded just now."""

    path: Path
    new: bool


def pdf_path(work: Work) -> Path:
    """Where the PDF of a work is kept, or would be."""
    return data.cache_folder() / "papers" / f"{work.key}.pdf"


def local_pdf(work: Work) -> Path | None:
    """The PDF in the cache, verified; None where there is none.

    A file that was put there by hand is taken on: its hash is recorded now. ValueError where the
    file is no PDF, or is not the one whose hash was recorded.
    """
    path = pdf_path(work)
    if not path.is_file():
        return None
    content = path.read_bytes()
    if wrong := not_a_pdf(content):
        raise ValueError(f"{path} {wrong}; delete it, or put the paper's PDF in its place")
    found, noted = hashlib.sha256(content).hexdigest(), _hash_path(path)
    if not noted.is_file():
        record.replace_file(noted, f"{found}  {path.name}\n")
    elif (expected := noted.read_text(encoding="utf-8").split()[:1]) != [found]:
        raise ValueError(
            f"{path} has changed since it came here (sha256 {found[:16]}, recorded "
            f"{''.join(expected)[:16] or 'none'}); delete it and {noted.name} to fetch it again"
        )
    return path


def _hash_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def not_a_pdf(content: bytes) -> str:
    """What keeps this from being a whole PDF, as the end of a sentence; empty where it is one."""
    if not content.startswith(HEAD):
        kind = "a web page" if re.match(rb"\s*<(!doctype|html|\?xml)", content, re.I) else "no PDF"
        return f"is {kind} ({len(content):,} bytes)"
    if TAIL not in content[-NEAR:]:
        return f"is a PDF that was cut off (no %%EOF at its end, {len(content):,} bytes)"
    return ""


def fetch(work: Work) -> Fetched:
    """Bring the PDF of a work into the cache; one that is there and verified is not fetched again.

    ValueError says what to do where no free copy is known, where there is no network, and where
    what came is not a PDF; nothing of it is kept then.
    """
    if path := local_pdf(work):
        return Fetched(path, new=False)
    path = pdf_path(work)
    by_hand = f"save the PDF as {path}"
    if not work.pdf:
        there = f"its page is {work.page}: if you can read it there, " if work.page else ""
        raise ValueError(f"no free PDF of {work.key} is known; {there}{by_hand}")
    with _beside(path) as folder:
        draft = Path(folder) / path.name
        _download(work, draft, by_hand)
        content = draft.read_bytes()
        if wrong := not_a_pdf(content):
            raise ValueError(
                f"what {work.pdf} sent {wrong} and was not kept: look at {work.page}, and {by_hand}"
            )
        _hash_path(path).unlink(missing_ok=True)  # of a file that was deleted since
        draft.replace(path)
    record.replace_file(_hash_path(path), f"{hashlib.sha256(content).hexdigest()}  {path.name}\n")
    return Fetched(path, new=True)


def _beside(path: Path) -> tempfile.TemporaryDirectory:
    """A new folder in that of `path`, so that what is in it can be renamed to `path`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=".download-", dir=path.parent)
    except OSError as error:
        raise ValueError(
            f"nothing can be written in {path.parent} ({error.strerror}): make it writable, or set "
            "JOURNAL_CACHE to a folder that is"
        ) from error


class _Limited:
    """A file for a download: it takes no more than MOST bytes, and none once PATIENCE is over."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.left, self.until = stream, MOST, time.monotonic() + PATIENCE

    def write(self, chunk: bytes) -> None:
        self.left -= len(chunk)
        if self.left < 0:
            raise ValueError(f"more than {MOST >> 20} MiB came")
        if time.monotonic() > self.until:
            raise ValueError(f"it had not come after {PATIENCE // 60} minutes")
        self.stream.write(chunk)

    def flush(self) -> None:
        self.stream.flush()


def _download(work: Work, draft: Path, by_hand: str) -> None:
    import pooch  # here, since both are slow to import and most commands download nothing
    import requests

    downloader = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(), timeout=data.TIMEOUT, headers={"User-Agent": AGENT}
    )
    try:
        with draft.open("wb") as stream:
            downloader(work.pdf, _Limited(stream), None)
    except (requests.exceptions.RequestException, ValueError) as error:
        match error:
            case requests.exceptions.TooManyRedirects():
                reason = "it redirects in a circle"
            case requests.exceptions.ContentDecodingError():
                reason = "it cannot be unpacked"
            case ValueError():
                reason = str(error)
            case _:
                reason = data.why(error)
        raise ValueError(
            f"could not download {work.key} from {work.pdf} ({reason}): try again later, or open "
            f"that address by other means and {by_hand}"
        ) from error
