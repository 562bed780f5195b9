"""The built site as a reader's browser sees it: every page, wide and narrow, light and dark.

`make site` builds it into build/site and then runs this. It is served on loopback under the path
that its public address has.
"""

import re
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit
from xml.etree import ElementTree

import numpy as np
import pytest
from playwright.sync_api import Page, ViewportSize, expect

from journal import pages, record
from journal.site import staging
from phase00.linear_algebra import dot
from phase00.plot_dot_product import Config as Vectors
from phase00.plot_softmax import Config as Scores
from phase00.probability import cross_entropy_naive, softmax

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build" / "site"
CANONICAL = re.compile(r'<link rel="canonical" href="([^"]+)"')
DATE = re.compile(r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} [+-]\d{4}")
NOTE = "phase-00-math-foundations/notes/probability/"
pytestmark = pytest.mark.timeout(900)  # the first test opens every page: minutes on a busy machine
WIDE: ViewportSize = {"width": 1280, "height": 800}
NARROW: ViewportSize = {"width": 360, "height": 740}

# All of a page in one look. Figures are waited for. What is folded is opened: it is read too.
# Pictures that wait to be scrolled to are fetched. `stills` are the pictures of the file itself,
# before any script took their place. Colours shall not be looked at while they change.
LOOK = r"""async () => {
  const waiting = "figure.interactive:not([data-state=live], [data-state=still])";
  for (const end = Date.now() + 5000; document.querySelector(waiting) && Date.now() < end; ) {
    await new Promise(requestAnimationFrame);
  }
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  const still = document.createElement("style");
  still.textContent = "* { transition: none !important }";
  document.head.append(still);
  const images = [...document.images];
  for (const image of images) image.loading = "eager";
  await Promise.all(images.map((image) => image.decode().catch(() => null)));
  await document.fonts.ready;
  const parser = new DOMParser();
  const written = parser.parseFromString(await (await fetch(location.href)).text(), "text/html");
  const here = (address) => new URL(address, location.href).href;
  const raw = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const formula = /\\[()[\]]|\$\$|\\(frac|sum|boxed|begin|text|lVert|cdot)\b|\$[\\A-Za-z][^$]*\$/;
  while (walker.nextNode()) {
    const {data, parentElement: node} = walker.currentNode;
    if (node.closest("script, style, noscript, pre, code, .katex")) continue;
    if (node.checkVisibility() && formula.test(data)) raw.push(data.trim().slice(0, 60));
  }
  const size = (node) => node.getBoundingClientRect().width * node.getBoundingClientRect().height;
  return {
    images: images.map((image) => [image.src, image.alt, image.naturalWidth]),
    stills: [...written.images].map((image) => here(image.getAttribute("src"))),
    links: [...document.querySelectorAll("a[href]")].map((link) => here(link.getAttribute("href"))),
    ids: [...document.querySelectorAll("[id], a[name]")].flatMap((node) => [node.id, node.name]),
    formulas: document.querySelectorAll(".katex-html").length,
    unseen: [...document.querySelectorAll(".katex-html")].filter((node) => !size(node))
      .map((node) => node.closest(".katex").textContent.slice(0, 60)),
    errors: [...document.querySelectorAll(".katex-error")].map((node) => node.title),
    raw,
    fonts: [...document.fonts].filter((font) => font.status === "loaded")
      .map((font) => font.family),
    figures: [...document.querySelectorAll("figure.interactive")]
      .map((figure) => [figure.dataset.figure, figure.dataset.state]),
    heading: document.querySelector("h1")?.innerText ?? "",
    text: document.body.innerText,
  };
}"""


# The site's script hears of a new scheme a moment later; where it never does, the test will see.
GROWN_DARK = """async () => {
  const grown = () => document.body.dataset.mdColorScheme === "slate";
  for (const end = Date.now() + 2000; !grown() && Date.now() < end; ) {
    await new Promise((done) => setTimeout(done, 5));
  }
}"""


@dataclass
class Visit:
    """What one page showed."""

    found: dict[str, Any]
    problems: list[str]
    poor_in_light: list[str]
    poor_in_dark: list[str]
    background: tuple[float, float]
    """its luminance, in light and in dark"""
    sideways: dict[int, list[str]] = field(default_factory=dict)
    """by the window's width: what makes the page scroll sideways"""


@dataclass(frozen=True)
class Site:
    origin: str
    address: str
    """the public one, which ends in a slash"""

    @property
    def base(self) -> str:
        return urlsplit(self.address).path

    def local(self, address: str) -> str | None:
        """The path from the base of an address of this site, public or here; None for others."""
        for start in (self.origin + self.base, self.address):
            if address.startswith(start):
                return address.removeprefix(start)
        return None


@pytest.fixture(scope="session")
def site(serve: Callable[..., Any]) -> Iterator[Site]:
    if not (SITE / "index.html").is_file():
        pytest.skip("the site is not built: run `make site`")
    canonical = CANONICAL.search((SITE / "index.html").read_text(encoding="utf-8"))
    assert canonical, "the home page does not say its public address"
    with serve(SITE, urlsplit(canonical[1]).path) as origin:
        yield Site(origin, canonical[1])


@pytest.fixture(scope="session")
def visits(site: Site, context: Callable[..., Any], watch: Callable[..., Any]) -> dict[str, Visit]:
    """Every page of the site, by its path from the base ("" is home), each opened once."""
    watched = watch(context().new_page(), site.origin)
    paths = [file.relative_to(SITE).as_posix() for file in sorted(SITE.rglob("*.html"))]
    bare = [path.removesuffix("index.html") for path in paths]
    made = {path: visit(watched, site.origin + site.base + path) for path in bare}
    watched.page.close()
    return made


def visit(watched: Any, address: str) -> Visit:
    """Open one page, wide and light; then make it narrow, then dark."""
    page: Page = watched.page
    watched.problems = []
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(WIDE)
    page.goto(address)
    found = page.evaluate(LOOK)
    wide, in_light = watched.sideways(), watched.contrast(".md-content")
    page.set_viewport_size(NARROW)
    narrow = watched.sideways()
    page.emulate_media(color_scheme="dark")
    page.evaluate(GROWN_DARK)
    in_dark = watched.contrast(".md-content")
    return Visit(
        found,
        watched.problems,
        poor_in_light=in_light[0],
        poor_in_dark=in_dark[0],
        background=(in_light[1], in_dark[1]),
        sideways={WIDE["width"]: wide, NARROW["width"]: narrow},
    )


def told(visits: dict[str, Visit], faults: Callable[[Visit], Any]) -> dict[str, Any]:
    """The pages with a fault, and what it is; empty where all is well."""
    return {path: wrong for path, seen in visits.items() if (wrong := faults(seen))}


# Every page


def test_every_page_loads_without_an_error_and_asks_nothing_of_elsewhere(
    visits: dict[str, Visit],
) -> None:
    assert len(visits) > 20
    assert told(visits, lambda seen: seen.problems) == {}
    assert told(visits, lambda seen: not seen.found["heading"]) == {}


def test_every_formula_is_drawn_and_none_is_left_as_its_source(visits: dict[str, Visit]) -> None:
    assert told(visits, lambda seen: seen.found["errors"]) == {}
    assert told(visits, lambda seen: seen.found["unseen"]) == {}
    assert told(visits, lambda seen: seen.found["raw"]) == {}
    with_formulas = {path for path, seen in visits.items() if seen.found["formulas"]}
    for note in pages.notes(ROOT):
        source = pages.load(ROOT, note).body
        if "$$" in source:
            assert f"{note.relative_to(ROOT).with_suffix('').as_posix()}/" in with_formulas
    for path in with_formulas:
        assert any("KaTeX_Main" in name for name in visits[path].found["fonts"])


def test_every_picture_is_there_and_says_in_words_what_it_shows(visits: dict[str, Visit]) -> None:
    broken = told(visits, lambda seen: [src for src, _, wide in seen.found["images"] if not wide])
    assert broken == {}
    mute = told(visits, lambda seen: [src for src, alt, _ in seen.found["images"] if not alt])
    assert mute == {}
    assert sum(len(seen.found["images"]) for seen in visits.values()) > 5


def test_every_link_leads_to_a_page_and_an_anchor_that_are_there(
    site: Site, visits: dict[str, Visit]
) -> None:
    broken, asked, linked = set(), {}, set()
    for path, seen in visits.items():
        for target in {*seen.found["links"], *seen.found["stills"]}:
            address, anchor = urldefrag(target)
            place = site.local(address)
            if place is None:
                continue
            linked |= {place} - {path}
            if place not in asked:
                asked[place] = status(site.origin + site.base + place)
            ids = visits[place].found["ids"] if place in visits else []
            if asked[place] != 200 or (anchor and unquote(anchor) not in ids):
                broken.add(f"{path} -> {place}#{anchor}: {asked[place]}")
    assert broken == set()
    assert len(asked) > len(visits)
    assert visits.keys() - linked == {"404.html"}, "pages that no other page links"


def status(address: str) -> int:
    try:
        return urllib.request.urlopen(urllib.request.Request(address, method="HEAD")).status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("width", [WIDE["width"], NARROW["width"]])
def test_no_page_scrolls_sideways(width: int, visits: dict[str, Visit]) -> None:
    assert told(visits, lambda seen: seen.sideways[width]) == {}


def test_text_and_formulas_stand_out_in_light_and_dark(visits: dict[str, Visit]) -> None:
    assert told(visits, lambda seen: seen.background[0] < 0.8) == {}
    assert told(visits, lambda seen: seen.background[1] > 0.05) == {}
    assert told(visits, lambda seen: seen.poor_in_light) == {}
    assert told(visits, lambda seen: seen.poor_in_dark) == {}


def test_every_interactive_figure_of_a_page_comes_to_life(visits: dict[str, Visit]) -> None:
    asked = Counter(
        name
        for path in pages.prose(ROOT)
        if not (page := pages.load(ROOT, path)).front.get("draft")
        for name in page.interactive
    )
    shown = [tuple(figure) for seen in visits.values() for figure in seen.found["figures"]]
    assert Counter(name for name, _ in shown) == asked
    assert {state for _, state in shown} == {"live"}
    assert asked.keys() == {"softmax", "dot-product", "cross-entropy", "attention"}


FAULTY = """<!doctype html><html><head><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,"></head><body data-md-color-scheme="default"><div class="md-content">
<p style="color: #999">faint</p><p>A formula $x^2$ as its source.</p><img src="missing.svg">
<span class="katex-error" title="no such command">?</span><p style="width: 500px">wide</p>
<span class="katex"><span class="katex-html" style="display: none">x</span></span>
<figure class="interactive" data-figure="softmax" data-state="still"></figure>
<script src="http://127.0.0.2:9/elsewhere.js"></script>
<script>console.error("planted"); throw new Error("uncaught");</script></div></body></html>"""


def test_a_visit_sees_what_is_wrong_with_a_page(
    tmp_path: Path, serve: Callable[..., Any], open_page: Callable[..., Any]
) -> None:
    (tmp_path / "index.html").write_text(FAULTY, encoding="utf-8")
    with serve(tmp_path) as origin:
        watched = open_page(origin)
        seen = visit(watched, f"{origin}/")
        assert status(f"{origin}/missing.html") == 404
    problems = " ".join(seen.problems)
    for planted in ("404: ", "asked elsewhere: ", "failed: ", "console error: planted", "uncaught"):
        assert planted in problems
    assert [one for one in seen.poor_in_light if "faint" in one]
    assert seen.background == (1, 1)  # it does not know how to be dark
    assert (seen.sideways[1280], len(seen.sideways[360])) == ([], 2)
    found = seen.found
    assert found["raw"] == ["A formula $x^2$ as its source."]
    assert (found["errors"], found["unseen"]) == (["no such command"], ["x"])
    assert found["images"] == [[f"{origin}/missing.svg", "", 0]]
    assert found["figures"] == [["softmax", "still"]]


# Drafts and the feed


def test_posts_are_on_the_site_and_drafts_are_nowhere(site: Site, visits: dict[str, Visit]) -> None:
    feed = (SITE / "feed.xml").read_text(encoding="utf-8")
    everything = feed + "".join(
        file.read_text(encoding="utf-8")
        for pattern in ("*.html", "search.json", "sitemap.xml")
        for file in SITE.rglob(pattern)
    )
    posts = [pages.load(ROOT, path) for path in pages.posts(ROOT)]
    assert posts
    for post in posts:
        slug, title = post.path.stem, post.title
        if post.front.get("draft"):
            assert slug not in everything
        else:
            assert f"{site.address}blog/{slug}/" in feed
            assert title in visits["blog/"].found["text"]


def test_feed_is_valid_and_every_address_in_it_is_whole(
    site: Site, visits: dict[str, Visit]
) -> None:
    channel = ElementTree.parse(SITE / "feed.xml").getroot().find("channel")
    assert channel is not None
    items = channel.findall("item")
    assert items
    for item in items:
        link = item.findtext("link") or ""
        assert site.local(link) in visits
        assert DATE.fullmatch(item.findtext("pubDate") or "")
        content = item.findtext("{http://purl.org/rss/1.0/modules/content/}encoded") or ""
        assert len(content) > 5000
        assert "<script" not in content
        uses = re.findall(r'\s(?:href|src)="([^"]*)"', content)
        assert [use for use in uses if not use.startswith(("https://", "http://", "mailto:"))] == []
        own = {urldefrag(use).url for use in uses if site.local(use) is not None}
        assert own
        for use in own:
            assert status(site.origin + site.base + (site.local(use) or "")) == 200
    named = {item.findtext("link") for item in items}
    assert f"{site.address}feed.xml" not in named
    home = (SITE / "index.html").read_text(encoding="utf-8")
    assert re.search(r'<link rel="alternate" type="application/rss\+xml"[^>]*feed\.xml"', home)


# What a reader does


def test_search_finds_a_word_of_a_note_and_leads_to_it(
    site: Site, open_page: Callable[..., Any]
) -> None:
    watched = open_page(site.origin, site.base, viewport=WIDE)
    page = watched.page
    page.get_by_role("button", name="Search").first.click()
    page.get_by_role("combobox", name="Search").fill("temperature")
    found = page.get_by_role("option").filter(has_text="Probability").first
    expect(found).to_contain_text("temperature", ignore_case=True)
    found.click()
    expect(page.locator("h1")).to_have_text("Probability")
    assert site.local(page.url.partition("?")[0]) == NOTE
    expect(page.locator(".md-content mark").first).to_be_visible()
    page.get_by_role("button", name="Search").first.click()
    page.get_by_role("combobox", name="Search").fill("xyzzyplugh")
    expect(page.get_by_role("option")).to_have_count(0)
    assert watched.problems == []


def test_tab_reaches_the_skip_link_first_and_then_the_navigation(
    site: Site, open_page: Callable[..., Any]
) -> None:
    page = open_page(site.origin, site.base + NOTE, viewport=WIDE).page
    focused = page.locator(":focus")
    page.keyboard.press("Tab")
    expect(focused).to_have_text("Skip to content")
    expect(focused).to_be_in_viewport()
    reached = []
    while "Posts" not in reached and len(reached) < 30:
        page.keyboard.press("Tab")
        reached.append(focused.inner_text().strip())
    assert "Posts" in reached
    page.keyboard.press("Enter")
    expect(page).to_have_url(site.origin + site.base + "blog/")


def test_skip_link_leads_past_the_navigation(site: Site, open_page: Callable[..., Any]) -> None:
    page = open_page(site.origin, site.base + NOTE, viewport=WIDE).page
    for key in ("Tab", "Enter", "Tab"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.closest('article') !== null")


def test_navigation_opens_on_a_phone(site: Site, open_page: Callable[..., Any]) -> None:
    page = open_page(site.origin, site.base + NOTE, viewport=NARROW, has_touch=True).page
    sidebar = page.locator(".md-sidebar--primary")
    link = sidebar.get_by_role("link", name="Information theory")
    expect(link).not_to_be_in_viewport()
    page.locator("header label[for=__drawer]").tap()
    expect(link).to_be_in_viewport()
    link.tap()
    expect(page.locator("h1")).to_have_text("Information theory")


def test_pages_can_be_read_without_scripts(site: Site, open_page: Callable[..., Any]) -> None:
    page = open_page(site.origin, site.base + NOTE, java_script_enabled=False).page
    pictures = page.locator("figure.interactive img")
    expect(pictures).to_have_count(2)
    for picture in pictures.all():
        assert picture.bounding_box()["height"] > 100
    expect(page.locator(".katex-html").first).to_be_visible()


# The figures on real pages


@pytest.fixture
def figure(
    site: Site, visits: dict[str, Visit], open_page: Callable[..., Any]
) -> Callable[[str], Any]:
    """`figure(name)`: the first note or post that has this figure, opened, and the figure."""

    def opened(name: str) -> Any:
        path = next(
            path
            for path, seen in visits.items()
            if name in [figure for figure, _ in seen.found["figures"]]
        )
        page = open_page(site.origin, site.base + path, viewport=WIDE).page
        found = page.locator(f'figure[data-figure="{name}"]')
        expect(found).to_have_attribute("data-state", "live")
        return found

    return opened


def written(value: float) -> str:
    return f"{value:.3f}".replace("-", "\u2212")


def test_softmax_on_a_page_follows_its_slider(figure: Callable[[str], Any]) -> None:
    softmax_figure = figure("softmax")
    softmax_figure.locator('[data-input="temperature"]').press("End")
    truth = softmax(np.array(Scores().scores), 10.0)
    heights = np.array(
        [bar.bounding_box()["height"] for bar in softmax_figure.locator("[data-bar]").all()]
    )
    np.testing.assert_allclose(heights / heights.sum(), truth, atol=1e-3)
    shown = softmax_figure.locator("svg .strong").all_text_contents()
    assert shown == [written(p) for p in truth]


def test_dot_product_on_a_page_follows_the_mouse(figure: Callable[[str], Any]) -> None:
    dot_figure = figure("dot-product")
    page: Page = dot_figure.page
    plane = dot_figure.locator("svg")
    plane.scroll_into_view_if_needed()
    box = dot_figure.locator('[data-tip="b"] .ring').bounding_box()
    unit = plane.bounding_box()["width"] / 320 * 30
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 4 * unit, y + unit, steps=3)
    page.mouse.up()
    b = [Vectors().b[0] - 4, Vectors().b[1] - 1]
    expect(dot_figure.locator('[data-fact="dot"]')).to_have_text(written(dot(list(Vectors().a), b)))
    expect(dot_figure.locator(".figure-words")).to_contain_text("Negative")


def test_cross_entropy_on_a_page_follows_its_slider(figure: Callable[[str], Any]) -> None:
    loss_figure = figure("cross-entropy")
    loss_figure.locator('[data-input="probability"]').fill("0.1")
    nats = cross_entropy_naive(np.array([0.1, 0.9]), 0)
    expect(loss_figure.locator('[data-fact="nats"]')).to_have_text(written(nats))


def test_attention_on_a_page_shows_the_recorded_weights(figure: Callable[[str], Any]) -> None:
    result = staging.recorded_parts(ROOT)["attention"]["result"]
    recorded = record.load(ROOT / result)["metrics"]["attention"]["encoder"]
    found = figure("attention")
    found.get_by_label("encoder self").check()
    found.get_by_role("group", name="layer").get_by_label("1", exact=True).check()
    found.get_by_role("group", name="head").get_by_label("2", exact=True).check()
    found.locator(".token").nth(2).click()
    weights = found.locator("[data-weight]").all_text_contents()
    assert weights == [written(weight) for weight in recorded["weights"][0][1][2]]
