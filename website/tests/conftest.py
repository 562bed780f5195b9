"""A browser, a server on loopback, and an ear for everything that goes wrong in a page.

The browser is the system's own, found by name; none is downloaded. Without one every test here is
skipped with that reason. `make site` runs these tests after the site is built; `make test` does
not, since neither a browser nor node is among what it needs.
"""

import functools
import http.server
import shutil
import threading
import urllib.parse
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ELSEWHERE = ("msedge", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
# Nothing but the page is to be fetched, and no service of the browser's own is needed.
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

# What the system's own table may not know, or know otherwise.
TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".xml": "text/xml",
    ".woff2": "font/woff2",
}

# How colours are compared: mixed by a canvas, which knows every way in which a style sheet can
# write one; `light` is the relative luminance of WCAG 2, from 0 (black) to 1 (white).
COLOURS = """
  const context = Object.assign(document.createElement("canvas"), {width: 1, height: 1})
    .getContext("2d", {willReadFrequently: true});
  const seen = new Map();
  const mix = (colors) => {
    const key = colors.join();
    if (!seen.has(key)) {
      context.clearRect(0, 0, 1, 1);
      for (const color of colors) { context.fillStyle = color; context.fillRect(0, 0, 1, 1); }
      seen.set(key, [...context.getImageData(0, 0, 1, 1).data].slice(0, 3));
    }
    return seen.get(key);
  };
  const light = (colors) => {
    const [r, g, b] = mix(colors).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const backgrounds = new Map([[null, ["white"]]]);
  const behind = (node) => {
    if (!backgrounds.has(node)) {
      const own = getComputedStyle(node).backgroundColor;
      const all = behind(node.parentElement);
      backgrounds.set(node, own === "rgba(0, 0, 0, 0)" ? all : [...all, own]);
    }
    return backgrounds.get(node);
  };
"""

# The contrast of each visible run of text under `selector` that is too low: of its colour (an svg
# text's fill) against the backgrounds behind it, below 4.5, or below 3 where the letters are large
# (24 px, or bold 18.66 px). With it the luminance of the page.
CONTRAST = f"""(selector) => {{ {COLOURS}
  const poor = new Set();
  const walker = document.createTreeWalker(document, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {{
    const node = walker.currentNode.parentElement;
    const text = walker.currentNode.data.trim();
    const visible = {{opacityProperty: true, visibilityProperty: true}};
    if (!text || !node.closest(selector) || !node.checkVisibility(visible)) continue;
    if (node.closest("script, style, .figure-spoken, .katex-mathml")) continue;
    const style = getComputedStyle(node);
    let opaque = 1;
    for (let at = node; at; at = at.parentElement) opaque *= getComputedStyle(at).opacity;
    const colour = node.closest("svg") ? style.fill : style.color;
    const ink = `color-mix(in srgb, ${{colour}} ${{100 * opaque}}%, transparent)`;
    const [a, b] = [light(behind(node)), light([...behind(node), ink])];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) poor.add(`${{ratio.toFixed(2)}}: ${{text.slice(0, 40)}}`);
  }}
  return [[...poor], light(behind(document.body))];
}}"""

# What sticks out to the right of the window and cannot be reached by scrolling a box of its own,
# after a try to scroll the whole page there.
SIDEWAYS = """() => {
  scrollTo(10000, scrollY);
  const by = scrollX;
  scrollTo(0, scrollY);
  if (!by) return [];
  const edge = document.documentElement.clientWidth;
  const clipped = (node) => node.parentElement !== document.body &&
    (getComputedStyle(node.parentElement).overflowX !== "visible" || clipped(node.parentElement));
  const out = [...document.body.querySelectorAll("*")].filter((node) =>
    node.checkVisibility() && node.getBoundingClientRect().right > edge && !clipped(node));
  return [`by ${by} pixels`, ...out.slice(0, 5).map((node) => node.outerHTML.slice(0, 80))];
}"""


@dataclass
class Watched:
    """A page and what it said, asked for and missed since it was opened."""

    page: Page
    origin: str
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        page = self.page
        page.on("console", lambda message: self._said(message.type, message.text))
        page.on("pageerror", lambda error: self.problems.append(f"uncaught: {error}"))
        page.on("requestfailed", lambda request: self._failed(request.url, request.failure))
        page.on("request", lambda request: self._asked(request.url))
        page.on("response", lambda response: self._answered(response.url, response.status))

    def contrast(self, selector: str) -> tuple[list[str], float]:
        """The text under `selector` that stands out too little; the luminance of the page."""
        poor, background = self.page.evaluate(CONTRAST, selector)
        return poor, background

    def sideways(self) -> list[str]:
        """By how far the page can be scrolled sideways, and what makes it so; or nothing."""
        return self.page.evaluate(SIDEWAYS)

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.problems.append(f"console {kind}: {text}")

    def _failed(self, url: str, failure: str | None) -> None:
        # A page that is left while it still loads gives up its requests; that is no fault of it.
        if failure != "net::ERR_ABORTED":
            self.problems.append(f"failed: {url} ({failure})")

    def _asked(self, url: str) -> None:
        if not url.startswith((self.origin + "/", "data:", "blob:")):
            self.problems.append(f"asked elsewhere: {url}")

    def _answered(self, url: str, status: int) -> None:
        if status >= 400:
            self.problems.append(f"{status}: {url}")


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of one folder under one path, with the types that modules need, and no chatter."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args: Any, base: str, **options: Any) -> None:
        self.base = base
        super().__init__(*args, **options)

    def translate_path(self, path: str) -> str:
        bare = urllib.parse.urlsplit(path).path
        if not bare.startswith(self.base):
            return str(Path(self.directory, "outside the site"))
        return super().translate_path("/" + bare.removeprefix(self.base))

    def guess_type(self, path: Any) -> str:
        return TYPES.get(Path(path).suffix) or super().guess_type(path)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(folder: Path, base: str = "/") -> Generator[str]:
    """Serve `folder` under the path `base` of loopback, on a free port; yields the origin."""
    handler = functools.partial(Handler, directory=str(folder), base=base)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def system_browser() -> str | None:
    return next(filter(None, map(shutil.which, (*BROWSERS, *ELSEWHERE))), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's browser, without a window; one for all tests."""
    executable = system_browser()
    if executable is None:
        pytest.skip(f"no browser is on the PATH; any of {', '.join(BROWSERS)} or msedge will do")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=list(OPTIONS))
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def serve() -> Callable[..., Any]:
    return serving


@pytest.fixture(scope="session")
def context(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """`context(**options)`: where pages of these options live; made once, it takes a while."""
    made: dict[str, BrowserContext] = {}

    def of(**options: Any) -> BrowserContext:
        key = repr(sorted(options.items()))
        if key not in made:
            made[key] = browser.new_context(**options)
        return made[key]

    yield of
    for one in made.values():
        one.close()


@pytest.fixture
def open_page(context: Callable[..., BrowserContext]) -> Iterator[Callable[..., Watched]]:
    """`open_page(origin, path, **options)`: a new page, watched from its first request, loaded."""
    pages: list[Page] = []

    def opened(origin: str, path: str = "/", **options: Any) -> Watched:
        pages.append(context(**options).new_page())
        watched = Watched(pages[-1], origin)
        watched.page.goto(origin + path)
        return watched

    yield opened
    for page in pages:
        page.close()


@pytest.fixture(scope="session")
def watch() -> Callable[[Page, str], Watched]:
    """`watch(page, origin)`: listen to a page that is opened by other means."""
    return Watched
