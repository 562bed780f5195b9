"""What the built site must not have: links, anchors and pictures that are not there, and anything
that a page would load from elsewhere.

The generator's own program knows addresses that it would load from if a page asked for a diagram or
a gallery. So each page must carry the policy that forbids the browser to load from elsewhere, and
no page may have what asks for it.
"""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

POLICY = "default-src 'self'"
LOADING = {"stylesheet", "icon", "preload", "modulepreload", "manifest", "shortcut", "prefetch"}
SOURCES = {"img", "script", "iframe", "source", "video", "audio", "embed", "track", "input"}
# What makes the generator's program load a library from elsewhere.
ASKING = {"mermaid", "glightbox", "pyodide", "language-pyodide"}
NAMES_NOTHING = ("http://www.w3.org/", "http://purl.org/")  # names of formats, never loaded
ADDRESS = re.compile(r"""(?:https?:|(?<=["'`]))//[^\s"'`)<>\\]+""")  # of a program
QUOTED = re.compile(r"""["']((?:https?:)?//[^"']+)["']""")  # of a style sheet, without url()
IMPORT = re.compile(r"""\b(?:from|import)\s*\(?\s*["'](\.[^"']+)["']""")
STYLE_ADDRESS = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")
OWN_PROGRAM = "assets/javascripts/"  # the generator's


@dataclass
class Looked:
    """What one page has: its anchors, and (kind, address) of its links and of what it loads."""

    ids: set[str] = field(default_factory=set)
    uses: list[tuple[str, str]] = field(default_factory=list)
    policy: bool = False
    asking: set[str] = field(default_factory=set)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.looked = Looked()
        self.in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        looked = self.looked
        looked.ids |= {given[key] for key in ("id", "name") if given.get(key)}
        looked.asking |= ASKING & set(given.get("class", "").split())
        if tag == "meta" and given.get("http-equiv", "").lower() == "content-security-policy":
            looked.policy = POLICY in given.get("content", "")
        if tag in ("a", "area") and "href" in given:
            looked.uses.append(("link", given["href"]))
        if tag == "link" and LOADING & set(given.get("rel", "").lower().split()):
            looked.uses.append(("load", given.get("href", "")))
        if tag in SOURCES and given.get("src"):
            looked.uses.append(("load", given["src"]))
        if tag == "object" and given.get("data"):
            looked.uses.append(("load", given["data"]))
        if given.get("poster"):
            looked.uses.append(("load", given["poster"]))
        if tag == "base" or given.get("http-equiv", "").lower() == "refresh":
            looked.asking.add(tag)
        if tag in ("image", "use"):
            looked.uses += [("load", given[k]) for k in ("href", "xlink:href") if given.get(k)]
        for part in given.get("srcset", "").split(","):
            if part.strip():
                looked.uses.append(("load", part.split()[0]))
        looked.uses += [("load", address) for address in styles(given.get("style", ""))]
        self.in_style = tag == "style"

    def handle_data(self, data: str) -> None:
        if self.in_style:
            self.looked.uses += [("load", address) for address in styles(data)]

    def handle_endtag(self, tag: str) -> None:
        self.in_style = False


def styles(text: str) -> list[str]:
    """What a style sheet loads."""
    return [one or other for one, other in STYLE_ADDRESS.findall(text)]


def faults(site: Path, address: str) -> Iterator[str]:
    """Everything wrong with a built site whose public address is this, a line for each."""
    base = urlsplit(address).path or "/"
    looked: dict[str, Looked] = {}
    for path in sorted(site.rglob("*.html")):
        parser = _Page()
        parser.feed(path.read_text(encoding="utf-8"))
        looked[path.relative_to(site).as_posix()] = parser.looked
    if not looked:
        yield f"{site.name} has no page"
    for name, page in looked.items():
        if not page.policy:
            yield f"{name}: the page does not forbid the browser to load from elsewhere"
        for kind in sorted(page.asking):
            yield f"{name}: an element of class or kind {kind!r} makes the site load from elsewhere"
        for use, target in dict.fromkeys(page.uses):
            yield from _use(site, looked, name, base, use, target)
    yield from _files(site)


def _use(
    site: Path, looked: dict[str, Looked], page: str, base: str, use: str, target: str
) -> Iterator[str]:
    """What is wrong with one link of a page, or one thing that it loads."""
    parts = urlsplit(target)
    if parts.scheme == "data" or (use == "link" and parts.scheme in ("http", "https", "mailto")):
        return
    if parts.scheme or parts.netloc:
        yield f"{page}: {target} is loaded from elsewhere"
        return
    name = place(page, parts.path, base)
    if name is None or not (site / name).is_file():
        yield f"{page}: {target} leads to nothing"
    elif use == "link" and parts.fragment and name in looked:
        anchor = unquote(parts.fragment)
        if anchor not in looked[name].ids and not anchor.startswith("__"):
            yield f"{page}: {target} leads to an anchor that {name} does not have"


def place(page: str, path: str, base: str) -> str | None:
    """The file of the site that a path on this page names; None for one outside of the site."""
    if not path:
        return page
    if path.startswith("/"):
        if not path.startswith(base):
            return None
        whole = "/" + path.removeprefix(base)
    else:
        whole = posixpath.join("/", posixpath.dirname(page), path)
    folder = whole.endswith("/") or posixpath.basename(whole) in (".", "..")
    name = posixpath.normpath(unquote(whole)).lstrip("/")
    if folder or not posixpath.splitext(name)[1]:
        name = posixpath.join(name, "index.html")
    return name


def _files(site: Path) -> Iterator[str]:
    """Style sheets, programs and pictures that would load something from elsewhere."""
    for path in sorted(site.rglob("*")):
        name = path.relative_to(site).as_posix()
        if path.suffix == ".css":
            yield from _style_sheet(site, name)
        elif path.suffix in (".js", ".mjs") and not name.startswith(OWN_PROGRAM):
            yield from _program(site, name)
        elif path.suffix == ".svg":
            text = path.read_text(encoding="utf-8")
            for address in re.findall(r'(?:href|src)="(https?://[^"]+|//[^"]+)"', text):
                yield f"{name}: {address} is loaded from elsewhere"


def _style_sheet(site: Path, name: str) -> Iterator[str]:
    text = (site / name).read_text(encoding="utf-8")
    for address in dict.fromkeys([*styles(text), *QUOTED.findall(text)]):
        if address.startswith(("http:", "https:", "//")):
            if not address.startswith(NAMES_NOTHING):
                yield f"{name}: {address} is loaded from elsewhere"
        elif not address.startswith(("data:", "#")) and not _there(site, name, address):
            yield f"{name}: {address} leads to nothing"


def _program(site: Path, name: str) -> Iterator[str]:
    text = (site / name).read_text(encoding="utf-8")
    for address in ADDRESS.findall(text):
        if not address.startswith(NAMES_NOTHING):
            yield f"{name}: a program may not know the address {address}"
    for address in IMPORT.findall(text):
        if not _there(site, name, address):
            yield f"{name}: {address} leads to nothing"


def _there(site: Path, name: str, address: str) -> bool:
    """Whether the file is there that a file of the site names from its own folder."""
    target = posixpath.join(posixpath.dirname(name), re.split(r"[?#]", address)[0])
    return (site / posixpath.normpath(target)).is_file()
