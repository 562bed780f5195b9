"""All pages of the site as files that the site generator reads, and its configuration.

The staged tree has the structure of the repository, so that one rule rewrites every link
(`journal.site.links`):

    README.md, ROADMAP.md, CLAUDE.md, practice/README.md   index, roadmap, guidelines, practice
    phase-NN-name/README.md, notes/*.md, notes/*.ipynb     the same, README as index
    phase-NN-name/blog/*.md                                blog/posts/, published ones alone
    papers/README.md, papers/notes/*.md                    the same
    what pages lead to of pictures and results             copied to the same path
    website/figures/*.js, *.css, recorded numbers for them assets/figures/

A draft is left out altogether: no page, no entry in a list, no word of it in the search.
"""

import dataclasses
import functools
import json
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from html import escape
from pathlib import Path, PurePosixPath

import yaml

from journal import notes, pages, record, roadmap
from journal.notes import Notes
from journal.pages import Page
from journal.plan import Roadmap
from journal.record import replace_file
from journal.site import home, links, markdown, notebooks, timeline
from journal.site.addresses import Repository
from journal.site.links import Links
from journal.site.markdown import Formulas, Task, Writer

FIXED = {
    "README.md": "index.md",
    "ROADMAP.md": "roadmap.md",
    "CLAUDE.md": "guidelines.md",
    "practice/README.md": "practice.md",
    "papers/README.md": "papers/index.md",
}
PATHS = "reading-paths"  # the heading of the home page under which the paths are drawn
FEED = "feed.xml"
PT = 4 / 3  # a point in pixels
SVG = re.compile(r"<svg\b[^>]*>")
LENGTH = re.compile(r'\b(width|height)="([\d.]+)(pt|px)?"')


@dataclass
class Staged:
    """What was staged, for those who come after."""

    plan: Roadmap
    notes: Notes
    links: Links
    formulas: Formulas
    posts: list[Page]
    """those that are published, the newest first"""
    books: dict[str, str] = field(default_factory=dict)
    """the titles of the notebooks, by file"""
    pages: dict[str, str] = field(default_factory=dict)
    """each page's title as HTML, by its place in the staged tree"""


def stage(root: Path, target: Path, repository: Repository | None = None) -> Staged:
    """Write every page into `target`, which is emptied first.

    ValueError has a line for everything that is wrong with a page: links, images, front matter.
    """
    shutil.rmtree(target, ignore_errors=True)
    plan = roadmap.load(root)
    written = notes.load(root, plan)
    posts, drafts = _posts(root)
    places = _places(root, posts)
    known = links.make(root, places, drafts=[page.name for page in drafts], repository=repository)
    staged = Staged(plan, written, known, Formulas(), posts)
    faults: list[str] = []
    for name in places:
        try:
            _write(root, target, staged, name)
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ValueError("\n".join(faults))
    for place, title, html in _made(root, staged):
        _file(target, staged, place, {"title": title, **MADE.get(place, {})}, html)
    for name in sorted(known.copied):
        _copy(root / name, target / name)
    _assets(root, target)
    return staged


# ---- what there is -------------------------------------------------------------------------


def _posts(root: Path) -> tuple[list[Page], list[Page]]:
    """The published posts, the newest first, and the drafts."""
    every = [pages.load(root, path) for path in pages.posts(root)]
    published = [page for page in every if page.front.get("draft") is False]
    for page in published:
        tags = page.front.get("tags") or []
        if not isinstance(page.front.get("date"), date):
            raise ValueError(f"{page.name}: a published post has a date in its front matter")
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise ValueError(f"{page.name}: tags are a list of words such as [a, b], not {tags!r}")
    stems = [page.path.stem for page in published]
    for page in published:
        if stems.count(page.path.stem) > 1:
            raise ValueError(
                f"{page.name}: another post has this file name; give it one of its own"
            )
    published.sort(key=lambda page: (str(page.front["date"]), page.name), reverse=True)
    return published, [page for page in every if page not in published]


def _places(root: Path, posts: list[Page]) -> dict[str, str]:
    """Where each source stands in the staged tree."""
    places = {name: place for name, place in FIXED.items() if (root / name).is_file()}
    for phase in roadmap.load(root).phases:
        readme = f"{phase.folder}/README.md"
        if (root / readme).is_file():
            places[readme] = f"{phase.folder}/index.md"
    for path in (*pages.notes(root), *pages.notebooks(root), *pages.paper_notes(root)):
        name = path.relative_to(root).as_posix()
        places[name] = str(PurePosixPath(name).with_suffix(".md"))
    places |= {page.name: f"blog/posts/{page.path.stem}.md" for page in posts}
    return places


# ---- one page ------------------------------------------------------------------------------


def _write(root: Path, target: Path, staged: Staged, name: str) -> None:
    """Render a page of the repository and write it."""
    page = pages.load(root, root / name)
    place = staged.links.places[name]
    if name.endswith(".ipynb"):
        page = _notebook(page, target / place)
        staged.books[name] = page.title
    writer = _writer(root, staged, page)
    html = writer.whole(_replaced(staged) if name == "README.md" else None)
    title = page.title or PurePosixPath(name).stem
    html = markdown.with_heading(html, title)
    if name == "README.md":
        html = _as_home(html, _begin(staged))
    if name == "ROADMAP.md":
        html = html.replace("</h1>", f"</h1>\n{home.LEGEND}", 1)
    meta: dict[str, object] = {"title": title}
    meta |= {key: page.front[key] for key in ("description", "tags") if page.front.get(key)}
    if page in staged.posts:
        phase = page.front.get("phase")
        found = staged.plan.phases[phase : phase + 1] if isinstance(phase, int) else ()
        html += home.post_end(next(iter(found), None), functools.partial(staged.links.to, place))
        meta |= {"date": page.front["date"], "slug": page.path.stem}
    if name == "README.md":
        meta |= {"hide": ["navigation", "toc"]}
    if writer.interactive:
        meta["figures"] = True
    _file(target, staged, place, meta, html)


def _writer(root: Path, staged: Staged, page: Page) -> Writer:
    boxes = _item_boxes(staged.plan) if page.name == "ROADMAP.md" else markdown.plain_box
    return Writer(
        page=page,
        hrefs=staged.links.of(page),
        formulas=staged.formulas,
        boxes=boxes,
        sizes=lambda src: _size(root / pages.resolve(page.name, src)),
        figures=root / "website" / "figures",
    )


def _notebook(page: Page, place: Path) -> Page:
    """The notebook with its outputs as a page; its pictures are written beside its place."""
    text, pictures = notebooks.convert(page.path)
    for name, content in pictures.items():
        (place.parent / name).parent.mkdir(parents=True, exist_ok=True)
        (place.parent / name).write_bytes(content)
    return dataclasses.replace(page, body=text, first_line=1)


def _item_boxes(plan: Roadmap) -> Callable[[bool, str], Task]:
    """The roadmap's boxes say what is written, not what a reader has ticked."""

    def box(ticked: bool, text: str) -> Task:
        found = re.match(r"\*\*(\d+\.\d+) ", text)
        if found is None:
            return markdown.plain_box(ticked, text)
        written = plan.item(found[1]).written
        state = "written" if written else "to come"
        mark = f'<span class="box" role="img" aria-label="{state}" title="{state}"></span>'
        kind = "task done" if written else "task open"
        return Task(mark, {"class": kind, "id": timeline.anchor(found[1])})

    return box


@functools.cache
def _size(path: Path) -> tuple[int, int] | None:
    """The width and height in pixels that an SVG states; None where it states none."""
    if path.suffix != ".svg" or not path.is_file():
        return None
    with path.open(encoding="utf-8") as stream:
        tag = SVG.search(stream.read(3000))
    lengths = LENGTH.findall(tag[0]) if tag else []
    pixels = {name: round(float(n) * (PT if unit == "pt" else 1)) for name, n, unit in lengths}
    return (pixels["width"], pixels["height"]) if len(pixels) == 2 else None


def _file(target: Path, staged: Staged, place: str, meta: Mapping[str, object], html: str) -> None:
    # The generator puts these into its pages as they come.
    escaped = {key: escape(text) for key, text in meta.items() if isinstance(text, str)}
    front = yaml.safe_dump({**meta, **escaped}, allow_unicode=True, sort_keys=False)
    staged.pages[place] = escaped["title"]
    (target / place).parent.mkdir(parents=True, exist_ok=True)
    replace_file(target / place, f"---\n{front}---\n\n{html}")


# ---- the pages that are made ---------------------------------------------------------------

MADE: dict[str, dict[str, object]] = {
    "phases/index.md": {"hide": ["toc"]},
    "tags.md": {"hide": ["toc"]},
}


def _replaced(staged: Staged) -> dict[str, str]:
    """What the home page has instead of the README's own table of paths and its graph."""
    href = functools.partial(staged.links.to, "index.md")
    return {PATHS: home.reading_paths(staged.plan, staged.notes, href)}


def _begin(staged: Staged) -> str:
    newest = next(iter(staged.posts), None)
    post = (newest.title, newest.name) if newest else None
    return home.begin(staged.notes, post, functools.partial(staged.links.to, "index.md"))


def _as_home(html: str, begin: str) -> str:
    """The README as the home page: where to begin below its first paragraph, the paths first."""
    opening, *sections = re.split(r"(?=<h2 )", html)
    before, end, rest = opening.partition("</p>\n")
    opening = f"{before}{end}{begin}\n{rest}"
    sections.sort(key=lambda section: not section.startswith(f'<h2 id="{PATHS}"'))  # stable
    return f'<div class="home">\n{opening}{"".join(sections)}</div>\n'


def _made(root: Path, staged: Staged) -> Iterator[tuple[str, str, str]]:
    """(place, title, HTML) of every page that is not written by hand."""
    plan, written = staged.plan, staged.notes

    def href(place: str) -> Callable[[str], str | None]:
        return functools.partial(staged.links.to, place)

    page = pages.load(root, root / "ROADMAP.md")
    slugs = {heading.slug for heading in page.headings}
    writer = _writer(root, staged, page)
    yield "phases/index.md", "Phases", home.phases(plan, href("phases/index.md"))
    yield "notes/index.md", "Notes", home.notes_index(plan, written, href("notes/index.md"))
    place = "notebooks/index.md"
    yield place, "Notebooks", home.notebooks_index(plan, staged.books, href(place))
    if plan.milestones:
        intro = writer.opening("milestones") if "milestones" in slugs else ""
        yield "milestones.md", "Milestones", timeline.milestones(plan, intro, href("milestones.md"))
    if plan.museum:
        intro = writer.opening("museum") if "museum" in slugs else ""
        yield "museum.md", "Museum", timeline.museum(plan, intro, href("museum.md"))
    numbers = {n for post in staged.posts if isinstance(n := post.front.get("phase"), int)}
    yield "blog/index.md", "Posts", home.posts(plan, numbers, f"../{FEED}", "../tags.md")
    yield "tags.md", "Posts by subject", TAGS


TAGS = '<h1 id="posts-by-subject">Posts by subject</h1>\n\n<!-- material/tags -->\n'


# ---- files ---------------------------------------------------------------------------------


def _copy(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)


def _assets(root: Path, target: Path) -> None:
    """The site's own styles, its sign, and the interactive figures."""
    website = root / "website"
    for name in ("journal.css", "favicon.svg"):
        if (website / name).is_file():
            _copy(website / name, target / "assets" / name)
    write_figures(root, target / "assets" / "figures")


def write_figures(root: Path, folder: Path) -> None:
    """The modules of the interactive figures, and beside them the recorded numbers they fetch."""
    for path in sorted((root / "website" / "figures").glob("*")):
        if path.suffix in (".js", ".css"):
            _copy(path, folder / path.name)
    for name, part in recorded_parts(root).items():
        replace_file(folder / f"{name}.json", _part(root / part["result"], part["key"]))


def recorded_parts(root: Path) -> dict[str, dict[str, str]]:
    """By a figure's name, the result and the key in it of the numbers that the figure shows."""
    path = root / "website" / "figures" / "recorded.toml"
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _part(result: Path, key: str) -> str:
    """What a result holds under a dotted key, as json."""
    found = record.load(result)
    for name in key.split("."):
        if not isinstance(found, dict) or name not in found:
            raise ValueError(f"{result} has no value {key!r}: run its script again with --record")
        found = found[name]
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


# ---- navigation ----------------------------------------------------------------------------


def navigation(staged: Staged) -> list[dict[str, object]]:
    """What stands in the tabs and beside a page, in the form that the generator wants."""
    there, plan = staged.pages, staged.plan
    of_phases = [
        {f"{phase.number} {phase.title}": [place, *_inside(staged, phase.folder)]}
        for phase in plan.phases
        if (place := f"{phase.folder}/index.md") in there
    ]
    papers = [{there[place]: place} for place in there if place.startswith("papers/notes/")]
    about = {
        "roadmap.md": "The plan",
        "practice.md": "Your own version",
        "guidelines.md": "How it is made",
    }
    history = [{there[place]: place} for place in ("milestones.md", "museum.md") if place in there]
    tabs: list[tuple[str, list[object]]] = [
        ("Phases", ["phases/index.md", *of_phases]),
        ("Notes", ["notes/index.md", {"Notebooks": "notebooks/index.md"}]),
        ("Posts", ["blog/index.md", {"By subject": "tags.md"}]),
        ("Papers", [*(["papers/index.md"] if "papers/index.md" in there else []), *papers]),
        ("History", [*history]),
        ("Roadmap", [{title: place} for place, title in about.items() if place in there]),
    ]
    start: list[dict[str, object]] = [{"Home": "index.md"}] if "index.md" in there else []
    return start + [{title: entries} for title, entries in tabs if entries]


def _inside(staged: Staged, folder: str) -> list[dict[str, str]]:
    """The notes of a phase in reading order, then its notebooks."""
    names = [*staged.notes, *staged.books]
    places = [staged.links.places[name] for name in names if name.startswith(f"{folder}/notes/")]
    return [{staged.pages[place]: place} for place in places]
