"""A page of prose as data: front matter, headings, links, anchors, and which pages there are.

What the text is made of is read by `journal.markup`. A page may also be a notebook: then its text
is that of its Markdown cells, one after the other with an empty line between, and lines are counted
in that text.

Left out: rendering (the site does that), and whether what is linked exists (`journal.prose`).
"""

import functools
import json
import posixpath
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from journal.markup import Block, Heading, Reader, Reference, read, slug

__all__ = ["Block", "Heading", "Page", "Reference", "front_matter", "load", "notebooks", "notes"]
__all__ += ["paper_notes", "posts", "prose", "readable", "resolve", "slug", "tracked"]

FENCE = "---"
NOT_OURS = {"practice", "runs", "build", "data"}  # at the root: the learner's, and what is made
MADE = {".git", ".venv", ".tools", "node_modules", "__pycache__"}  # where git cannot be asked
INTERACTIVE = re.compile(r"interactive:\s*(\S+)")
KEY = re.compile(r"^(\w+)[ \t]*:", re.MULTILINE)  # of front matter, at the margin
PREREQUISITES = re.compile(r"Prerequisites:")


@dataclass(frozen=True)
class Page:
    path: Path
    name: str
    """the path from the root, with slashes"""
    text: str
    front: Mapping[str, object]
    body: str
    first_line: int
    """of the body in the file"""
    title: str
    """that of the front matter, else the first heading of level 1"""
    headings: tuple[Heading, ...]
    references: tuple[Reference, ...]
    anchors: frozenset[str]
    """slugs of headings, and every `id=` and `name=`"""
    prerequisites: tuple[str, ...]
    """what the links of the paragraph `Prerequisites:` lead to, as names from the root"""
    interactive: tuple[str, ...]
    blocks: tuple[Block, ...]


# ---- which files ---------------------------------------------------------------------------


def tracked(root: Path) -> list[str]:
    """The files that git has or would add; where it cannot be asked, all but what runs make."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names: list[str] = []
    if (root / ".git").exists() and shutil.which("git"):
        answer = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        names = answer.stdout.split("\0") if answer.returncode == 0 else []
    if not any(names):
        every = (path.relative_to(root) for path in root.rglob("*"))
        names = [path.as_posix() for path in every if not MADE & set(path.parts)]
    return sorted({name for name in names if name and (root / name).is_file()})


def prose(root: Path) -> list[Path]:
    """The Markdown files of the project, without the learner's and what is made."""
    names = (name for name in tracked(root) if name.partition("/")[0] not in NOT_OURS)
    return [root / name for name in names if name.endswith(".md")]


def notes(root: Path) -> list[Path]:
    return _of(root, r"phase-\d\d-[^/]+/notes/[^/]+\.md")


def posts(root: Path) -> list[Path]:
    return _of(root, r"phase-\d\d-[^/]+/blog/[^/]+\.md")


def paper_notes(root: Path) -> list[Path]:
    return _of(root, r"papers/notes/[^/]+\.md")


def notebooks(root: Path) -> list[Path]:
    return _of(root, r"phase-\d\d-[^/]+/notes/[^/]+\.ipynb")


def _of(root: Path, pattern: str) -> list[Path]:
    names = (name for name in tracked(root) if re.fullmatch(pattern, name))
    return [root / name for name in names if not name.endswith("/README.md")]


# ---- one page ------------------------------------------------------------------------------


def load(root: Path, path: Path) -> Page:
    """Read a page of Markdown, or the Markdown of a notebook; ValueError names the file."""
    name = path.relative_to(root).as_posix()
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors on Windows begin with a mark
    except UnicodeDecodeError as error:
        line = path.read_bytes().count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{name}:{line}: this is no UTF-8: save the file in that encoding"
        ) from None
    return _page(path, name, text)


def readable(root: Path, paths: Iterable[Path]) -> Iterator[Page]:
    """Those of the pages that can be read, for checks that leave the others to one of their own."""
    for path in paths:
        try:
            yield load(root, path)
        except ValueError:
            continue


def front_matter(text: str) -> tuple[dict[str, object], str, int]:
    """The YAML between a first line `---` and the next one, the rest, and the rest's first line.

    A page without has an empty dictionary. ValueError where the block does not end, is no mapping,
    or has a key twice (of which YAML would drop one).
    """
    lines = text.splitlines(keepends=True)
    if not lines or lines[0].rstrip() != FENCE:
        return {}, text, 1
    end = next((at for at, line in enumerate(lines) if at and line.rstrip() == FENCE), None)
    if end is None:
        raise ValueError("the front matter begins with --- and does not end; close it with ---")
    header = "".join(lines[1:end])
    try:
        fields = yaml.safe_load(header)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 2}" if mark else ""
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ValueError(f"the front matter is no YAML{where}: {reason}") from None
    except ValueError as error:  # a date such as 2026-13-01
        raise ValueError(f"the front matter has a value that is none: {error}") from None
    if fields is None:
        fields = {}
    if not isinstance(fields, dict) or not all(isinstance(key, str) for key in fields):
        raise ValueError("the front matter must be lines of `key: value`")
    twice = [key for key, count in Counter(KEY.findall(header)).items() if count > 1]
    if twice:
        raise ValueError(f"the front matter has {twice[0]} twice; take one of them away")
    return fields, "".join(lines[end + 1 :]), end + 2


def resolve(name: str, target: str) -> str:
    """Where a link on the page `name` leads, as a name from the root; `..` leads out of it."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), target.partition("#")[0]))


@functools.lru_cache(maxsize=512)
def _page(path: Path, name: str, text: str) -> Page:
    try:
        fields, body, first = front_matter(_of_cells(text) if name.endswith(".ipynb") else text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    reader = read(body, first)
    heads = (heading.text for heading in reader.headings if heading.level == 1)
    ahead = _prerequisites(name, reader)
    slugs = frozenset(heading.slug for heading in reader.headings)
    comments = (block.text for block in reader.blocks if block.kind == "comment")
    return Page(
        path=path,
        name=name,
        text=text,
        front=fields,
        body=body,
        first_line=first,
        title=str(fields.get("title") or next(heads, "")),
        headings=tuple(reader.headings),
        references=tuple(reader.references),
        anchors=slugs | reader.ids,
        prerequisites=ahead,
        interactive=tuple(found[1] for text in comments if (found := INTERACTIVE.match(text))),
        blocks=tuple(reader.blocks),
    )


def _prerequisites(name: str, reader: Reader) -> tuple[str, ...]:
    """Of every paragraph that begins so: a second one would be forgotten otherwise."""
    blocks = [b for b in reader.blocks if b.kind == "text" and PREREQUISITES.match(b.text)]
    return tuple(
        resolve(name, link.target)
        for link in reader.references
        if any(block.line <= link.line <= block.last for block in blocks)
        and not link.image
        and not re.match(r"[\w+.-]+:|/|#", link.target)
    )


def _of_cells(text: str) -> str:
    """The Markdown cells of a notebook as one text."""
    try:
        cells = json.loads(text)["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    except (ValueError, KeyError, TypeError):
        raise ValueError("this is no notebook: it must be json with a list of cells") from None
    return "\n\n".join(sources) + "\n"
