"""What must be true of the pages of prose, so that a reader finds what they promise.

A check takes the root of a tree and returns its complaints: `file:line: what is wrong; what to do`.
The tests run every check on the journal's own pages and on planted faults; `python -m
journal.prose` prints the complaints of the moment. Here are the checks of what leads from one page
to another: links, images, interactive figures, citations, prerequisites. What a note or a post must
contain is in `journal.parts`, numbers typed by hand in `journal.measured`.

Left out: addresses on the web, which may be gone tomorrow; what blocks print (`journal.blocks`).
"""

import re
import sys
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from urllib.parse import unquote

from journal import bibliography, pages
from journal.measured import measured_numbers_come_from_results
from journal.pages import Block, Page
from journal.parts import (
    count_words,
    notes_have_their_parts,
    paper_notes_have_their_parts,
    post_faults,
    posts_have_their_parts,
)

__all__ = ["CHECKS", "complaints", "count_words", "post_faults"]

READING_LIST, BIBLIOGRAPHY = bibliography.PAGE, bibliography.FILE
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
OUTSIDE = ("https:", "http:", "mailto:")
PAGE = (".md", ".ipynb")
PICTURES = (".svg", ".png", ".jpg", ".jpeg", ".gif", ".webp")
HALF = re.compile(r"\](?:\([^)\n]{0,40}\)?|\[[^]\n]*\])")  # of a link, left over in the text
AUTHORS = r"[A-Z][\w'’-]+\s(?:et\sal\.|and\s[A-Z][\w'’-]+(?=\s\())"  # the latter not of months
NAMED = re.compile(rf"({AUTHORS}),?\s\(?(\d{{4}})\b")
RAN = {"python", "py", "python3", "pycon", "ipython", "output"}  # what is meant to run, or nearly


def _all(root: Path) -> Iterator[Page]:
    return pages.readable(root, [*pages.prose(root), *pages.notebooks(root)])


def pages_can_be_read(root: Path) -> Iterator[str]:
    """Front matter is YAML, and a notebook is a notebook."""
    for path in [*pages.prose(root), *pages.notebooks(root)]:
        try:
            pages.load(root, path)
        except ValueError as error:
            name = path.relative_to(root).as_posix()
            yield f"{name}:1: {str(error).removeprefix(f'{name}: ')}; mend it"


# ---- links and images ------------------------------------------------------------------------


class Tree:
    """The files that git has or would add, and the folders that they make."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = set(pages.tracked(root))
        above = (Path(name).parents for name in self.files)
        self.folders = {folder.as_posix() for parents in above for folder in parents}

    def fault(self, page: Page, target: str) -> str:
        """What is wrong with the path of a link that stays in the tree; empty if nothing."""
        path = unquote(target.partition("#")[0])
        name = pages.resolve(page.name, path) if path else page.name
        if path.startswith("/"):
            return f"{target} is an absolute path; write it from this page's folder"
        if name == ".." or name.startswith("../"):
            return f"{target} leads out of the tree; link to what is in it, or to the web"
        if name in self.folders or (name in self.files and not path.endswith("/")):
            return ""
        if name in self.files:
            return f"{target} ends in a slash, and {name} is a file; take the slash away"
        if (self.root / name).exists():
            return f"{target} leads to {name}, which git ignores; link to what is committed"
        return f"{target} leads to {name}, which is not there; mend the link or add the file"

    def anchor_fault(self, page: Page, target: str) -> str:
        """What is wrong with the part behind `#`, of a link whose path is right."""
        path, hash_sign, anchor = (unquote(part) for part in target.partition("#"))
        name = pages.resolve(page.name, path) if path else page.name
        if not hash_sign:
            return ""
        if name in self.folders:
            name = f"{name}/README.md".removeprefix("./")
        if not name.endswith(PAGE) or name not in self.files:
            return f"{target} has an anchor into {name}, which is no page; link to the file itself"
        there = next(pages.readable(self.root, [self.root / name]), page)
        if anchor in there.anchors:
            return ""
        near = pages.slug(anchor)
        advice = f"did you mean #{near}?" if near in there.anchors else "take a heading or id"
        return f"{target}: {name} has no anchor {anchor!r}; {advice}"


def links_lead_somewhere(root: Path) -> Iterator[str]:
    """Every relative link to a file or folder in the tree, every anchor to a heading or id."""
    tree = Tree(root)
    for page in _all(root):
        yield from _half_links(page)
        for link in page.references:
            target = link.target
            if link.image or target.startswith(OUTSIDE):
                continue
            if not target:
                fault = f"the link {link.text!r} leads nowhere; write its target"
            elif SCHEME.match(target):
                fault = f"{target} is no address on the web; write a relative path or https://"
            else:
                fault = tree.fault(page, target) or tree.anchor_fault(page, target)
            if fault:
                yield f"{page.name}:{link.line}: {fault}"


def _half_links(page: Page) -> Iterator[str]:
    """What was to be a link and is none: `[x](a b.md)`, `[x](a.md`, `[x][no such label]`."""
    for block in page.blocks:
        if block.kind in ("text", "heading", "table"):
            for found in HALF.finditer(block.text):
                line = block.line + block.text.count("\n", 0, found.start())
                line += block.kind == "table" and line > block.line  # the rule below the header
                say = "is no whole link; mend it, or put it between backticks"
                yield f"{page.name}:{line}: what ends in {found[0]!r} {say}"


def images_are_there(root: Path) -> Iterator[str]:
    """Every image is in the tree, has words for who cannot see it, and is drawn by a script."""
    tree = Tree(root)
    for page in _all(root):
        for image in page.references:
            if not image.image:
                continue
            if not image.text.strip():
                say = f"the image {image.target} has no alternative text; say what is seen"
                yield f"{page.name}:{image.line}: {say}"
            if SCHEME.match(image.target) or not image.target:
                fault = f"the image {image.target or 'without a source'} is not in the tree; add it"
            else:
                fault = tree.fault(page, image.target) or _no_picture(tree, page, image.target)
            if fault:
                yield f"{page.name}:{image.line}: {fault}"


def _no_picture(tree: Tree, page: Page, target: str) -> str:
    """An image is a picture, and one in results/ is called after the script that draws it."""
    name = pages.resolve(page.name, unquote(target))
    if not name.lower().endswith(PICTURES):
        return f"the image {target} is no picture ({', '.join(PICTURES)}); link to it, or mend it"
    found = re.fullmatch(r"(phase-(\d\d)-[^/]+)/results/(\w+)(-[^/]*)?\.\w+", name)
    if found and f"{found[1]}/code/phase{found[2]}/{found[3]}.py" not in tree.files:
        return f"the image {name} has no script {found[3]}.py; draw it by one, or mend its name"
    return ""


def interactive_figures_exist(root: Path) -> Iterator[str]:
    """`<!-- interactive: NAME -->` has its module, and the still image on the next line."""
    files = set(pages.tracked(root))
    for page in _all(root):
        images = {image.line for image in page.references if image.image}
        for comment in _comments(page, "interactive"):
            where, advice = f"{page.name}:{comment.line}:", "write `<!-- interactive: NAME -->`"
            found = re.fullmatch(r"interactive: ([a-z0-9-]+)", comment.text)
            if not found:
                yield f"{where} this names no figure; {advice}, the name in a-z, 0-9 and -"
            elif f"website/figures/{found[1]}.js" not in files:
                yield f"{where} website/figures/{found[1]}.js is not there; write it"
            if comment.last + 1 not in images:
                yield f"{where} no image follows; put the still one on the next line"


def _comments(page: Page, word: str) -> list[Block]:
    return [
        block
        for block in page.blocks
        if block.kind == "comment" and re.match(rf"{word}\b", block.text)
    ]


# ---- citations -------------------------------------------------------------------------------


def citations_are_in_the_bibliography(root: Path) -> Iterator[str]:
    """Every citation and every `bibkey` has an entry, and every entry its place in the list."""
    yield from _unlinked(root)
    cited = list(_citations(root))
    if not (root / BIBLIOGRAPHY).is_file():
        for where, key in cited[:1]:
            yield f"{where}: {key} is cited, but there is no {BIBLIOGRAPHY}; write it"
        return
    try:
        known = list(bibliography.load(root))
    except ValueError as error:
        yield f"{BIBLIOGRAPHY}:1: {error}; mend it"
        return
    for where, key in cited:
        if key not in known:
            yield f"{where}: {key} is not in {BIBLIOGRAPHY}; add its entry or mend the key"
    anchors = {anchor for page in _reading_list(root) for anchor in page.anchors}
    for key in known:
        if key not in anchors:
            yield f'{BIBLIOGRAPHY}:1: {key} has no `<a id="{key}"></a>` in {READING_LIST}; renew it'


def _unlinked(root: Path) -> Iterator[str]:
    """Works that a page names by authors and year and links nowhere; one link a page is enough."""
    written = [*pages.notes(root), *pages.posts(root), *pages.notebooks(root)]
    for page in pages.readable(root, written):
        links = [
            link
            for link in page.references
            if not (link.image or link.target.endswith(READING_LIST))  # without a key
        ]
        for block in page.blocks:
            words = block.text if block.kind in ("text", "heading", "table") else ""
            for found in NAMED.finditer(words):
                authors, year = " ".join(found[1].split()), found[2]
                if not any(authors in a.text and year in a.text + a.target for a in links):
                    line = block.line + words.count("\n", 0, found.start())
                    say = f"{authors} ({year}) lacks a link to its key; link it into {READING_LIST}"
                    yield f"{page.name}:{line}: {say}"


def _reading_list(root: Path) -> Iterator[Page]:
    """The page of the reading list, where there is one."""
    return pages.readable(root, [root / READING_LIST] if (root / READING_LIST).is_file() else [])


def _citations(root: Path) -> Iterator[tuple[str, str]]:
    """Where each work is cited, and its key: links to the list's anchors, and front matter."""
    headings: set[str] = set()
    for page in _reading_list(root):
        headings = {heading.slug for heading in page.headings}
    for page in _all(root):
        for link in page.references:
            path, _, key = unquote(link.target).partition("#")
            inside = not link.image and not SCHEME.match(link.target)
            to = pages.resolve(page.name, path) if path else page.name
            if inside and key and key not in headings and to in (READING_LIST, "papers"):
                yield f"{page.name}:{link.line}", key
    for page in pages.readable(root, pages.paper_notes(root)):
        if isinstance(page.front.get("bibkey"), str):
            yield f"{page.name}:1", str(page.front["bibkey"])


# ---- prerequisites -----------------------------------------------------------------------------


def prerequisites_have_no_cycle(root: Path) -> Iterator[str]:
    """Each note names the notes that it needs, and one can be read before the other."""
    notes = {page.name: page for page in pages.readable(root, pages.notes(root))}
    lines = {name: _prerequisites_line(page) for name, page in notes.items()}
    for name, page in notes.items():
        if lines[name] is None:
            yield (
                f"{name}:1: there is no line `Prerequisites:`; name the notes and packages that "
                "this one needs, or none"
            )
        for needed in page.prerequisites:
            if needed not in notes:
                yield f"{name}:{lines[name]}: the prerequisite {needed} is no note; link to one"
    graph = {name: set(page.prerequisites) & set(notes) for name, page in notes.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle = list(reversed(error.args[1]))  # graphlib names what is needed first
        yield (
            f"{cycle[0]}:{lines[cycle[0]]}: prerequisites go in a circle: "
            f"{' needs '.join(cycle)}; take one of them away"
        )


def _prerequisites_line(page: Page) -> int | None:
    return next((b.line for b in page.blocks if pages.PREREQUISITES.match(b.text)), None)


# ---- code --------------------------------------------------------------------------------------


def python_blocks_run(root: Path) -> Iterator[str]:
    """No block of Python, nor of output, is written so that the tests would pass it by."""
    from journal import blocks  # needs pytest and sybil

    for page in pages.readable(root, [*pages.notes(root), *pages.posts(root)]):
        running = blocks.lines(page.path)
        for block in page.blocks:
            if block.kind == "code" and block.info.lower() in RAN and block.line not in running:
                yield (
                    f"{page.name}:{block.line}: this block of {block.info} would not run; begin it "
                    "with ```python or ```output and nothing else"
                )


CHECKS: list[Callable[[Path], Iterator[str]]] = [
    pages_can_be_read,
    links_lead_somewhere,
    images_are_there,
    interactive_figures_exist,
    citations_are_in_the_bibliography,
    prerequisites_have_no_cycle,
    python_blocks_run,
    measured_numbers_come_from_results,
    notes_have_their_parts,
    posts_have_their_parts,
    paper_notes_have_their_parts,
]


def complaints(root: Path) -> Iterator[str]:
    """What every check says of the tree, check after check."""
    for check in CHECKS:
        yield from check(root)


def main() -> int:
    """Print the complaints about the journal's own pages; the exit code is 1 if there are any."""
    found = list(complaints(Path(__file__).resolve().parent.parent))
    print("\n".join(found) or "nothing to mend")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
