"""Where a link of a page leads on the site.

A link is resolved in the repository first, as GitHub does it. What is a page of the site is then
linked there, with its anchor; a picture or a result is copied and linked; everything else of the
repository is linked at its address on the web, and without such an address it is no link at all.
What leads nowhere is a fault, with the file and the line.
"""

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

from journal import pages
from journal.pages import Page, Reference
from journal.site.addresses import Repository

PICTURES = (".svg", ".png", ".jpg", ".jpeg", ".gif", ".webp")
OUTSIDE = re.compile(r"(https?://|mailto:)", re.IGNORECASE)
RESULT = re.compile(r"phase-[^/]+/results/[^/]+\.json")
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


@dataclass
class Links:
    """What is known of the repository while its pages are staged."""

    root: Path
    places: Mapping[str, str]
    """where a file of the repository stands in the staged tree: `README.md` -> `index.md`"""
    drafts: frozenset[str] = frozenset()
    repository: Repository | None = None
    files: frozenset[str] = frozenset()
    """the files of the repository; what git ignores is none"""
    copied: set[str] = field(default_factory=set)
    """the pictures and results that pages lead to"""

    def of(self, page: Page) -> dict[tuple[str, bool], str | None]:
        """(target, whether it is an image) -> where it leads, None where it is no link any more.

        ValueError with a line for each target that leads nowhere.
        """
        found: dict[tuple[str, bool], str | None] = {}
        faults: list[str] = []
        for reference in page.references:
            try:
                found[reference.target, reference.image] = self.resolve(page, reference)
            except ValueError as error:
                faults.append(f"{page.name}:{reference.line}: {error}")
        if faults:
            raise ValueError("\n".join(faults))
        return found

    def resolve(self, page: Page, reference: Reference) -> str | None:
        """Where one link or image leads, from where its page stands."""
        target = reference.target
        if SCHEME.match(target):
            if reference.image:
                raise ValueError(f"the image {target} lies elsewhere: copy it into the repository")
            if not OUTSIDE.match(target):
                raise ValueError(f"a link begins with https: or is a path, not {target}")
            return target
        path, _, anchor = target.partition("#")
        name = self._name(page, unquote(path), target) if path else page.name
        if reference.image:
            return self._copy(page.name, name, target)
        if (self.root / name).is_dir():
            inside = f"{name}/README.md".removeprefix("./")
            if inside not in self.places:
                return self._outside(name, anchor, folder=True)
            name = inside
        if name in self.drafts:
            return None
        if anchor:
            self._check_anchor(name, unquote(anchor), target)
        if name in self.places:
            href = self.between(page.name, name) if path else ""
            return href + (f"#{anchor}" if anchor else "")
        if name.endswith(PICTURES) or RESULT.fullmatch(name):
            return self._copy(page.name, name, target)
        return self._outside(name, anchor, folder=False)

    def to(self, page: str, name: str) -> str | None:
        """Where a file of the repository is found from a staged page that is made, not written."""
        if name in self.drafts:
            return None
        if name in self.places:
            return self.between(page, name)
        return self._outside(name, "", folder=(self.root / name).is_dir())

    def between(self, page: str, name: str) -> str:
        """The way from one file of the repository to another, where both stand staged."""
        start = posixpath.dirname(self.places.get(page, page))
        return quote(posixpath.relpath(self.places.get(name, name), start or "."))

    def _name(self, page: Page, path: str, target: str) -> str:
        if path.startswith("/"):
            raise ValueError(f"{target} begins with a slash: write it from the page's own folder")
        name = pages.resolve(page.name, path)
        if name == ".." or name.startswith("../"):
            raise ValueError(f"{target} leads out of the repository")
        if not (self.root / name).exists():
            raise ValueError(f"{target} leads to {name}, which is not there")
        known = (
            name == "." or name in self.files or any(f.startswith(f"{name}/") for f in self.files)
        )
        if not known:
            raise ValueError(f"{target} leads to {name}, which is no part of the repository")
        return name

    def _check_anchor(self, name: str, anchor: str, target: str) -> None:
        if not name.endswith((".md", ".ipynb")):
            return  # a line of code, #L10
        if anchor not in pages.load(self.root, self.root / name).anchors:
            raise ValueError(f"{target} leads to #{anchor}, which {name} does not have")

    def _copy(self, page: str, name: str, target: str) -> str:
        if not (self.root / name).is_file():
            raise ValueError(f"{target} is no file")
        self.copied.add(name)
        return self.between(page, name)

    def _outside(self, name: str, anchor: str, *, folder: bool) -> str | None:
        if self.repository is None:
            return None
        if name == ".":
            return self.repository.address
        address = self.repository.of(name, folder=folder)
        return address + (f"#{anchor}" if anchor else "")


def make(
    root: Path,
    places: Mapping[str, str],
    *,
    drafts: Iterable[str] = (),
    repository: Repository | None = None,
) -> Links:
    """The links of a repository of which these files are staged."""
    files = frozenset(pages.tracked(root))
    return Links(root, places, frozenset(drafts), repository, files)
