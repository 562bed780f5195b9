"""Hands staged pages through the site generator unchanged.

The generator renders Markdown in a dialect of its own. The journal's pages are written in GitHub's,
so they are rendered before (`journal.site.markdown`), and this extension of Python-Markdown takes
what comes as finished HTML. All that it reads from it is the headings, for the table of contents.
"""

import re
from typing import Any
from xml.etree.ElementTree import Element

from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor

HEADING = re.compile(r'<h([1-6]) id="([^"]+)">(.*?)(?:<a class="headerlink".*?</a>)?</h\1>', re.S)
# Around a page in what the generator makes of it. A comment at its head also tells Python-Markdown
# that this is no part of a paragraph.
START, END = "<!-- page -->", "<!-- end of page -->"
AFTER_WHITESPACE, AFTER_ALL = (
    25,
    0,
)  # priorities: below 30 whitespace is normal, below 5 all is done


class Keep(Preprocessor):
    """The whole page becomes one piece of raw HTML, which comes back at the end."""

    headings: list[dict[str, Any]]

    def run(self, lines: list[str]) -> list[str]:
        page = "\n".join(lines)
        self.headings = contents(page)
        assert self.md is not None
        return [self.md.htmlStash.store(f"{START}\n{page}\n{END}")]


class Contents(Treeprocessor):
    """Puts the headings back, where the extension `toc` has found none."""

    def __init__(self, md: Markdown, kept: Keep) -> None:
        super().__init__(md)
        self.kept = kept

    def run(self, root: Element) -> None:
        setattr(self.md, "toc_tokens", self.kept.headings)  # noqa: B010  what `toc` sets too


class Passthrough(Extension):
    def extendMarkdown(self, md: Markdown) -> None:
        kept = Keep(md)
        md.preprocessors.register(kept, "journal", AFTER_WHITESPACE)
        md.treeprocessors.register(Contents(md, kept), "journal", AFTER_ALL)


def contents(page: str) -> list[dict[str, Any]]:
    """The headings of a page as a tree, in the form that `toc` gives them."""
    top: list[dict[str, Any]] = []
    above: list[dict[str, Any]] = []  # the headings that the next one may stand under
    for level, anchor, inner in HEADING.findall(page):
        html = re.sub(r"</?a\b[^>]*>", "", inner).strip()
        name = re.sub(r"<[^>]+>", "", html)
        token = {
            "level": int(level),
            "id": anchor,
            "name": name,
            "html": html,
            "data-toc-label": "",
            "children": [],
        }
        while above and above[-1]["level"] >= token["level"]:
            above.pop()
        (above[-1]["children"] if above else top).append(token)
        above.append(token)
    return top


def makeExtension(**options: Any) -> Passthrough:
    return Passthrough(**options)
