"""What a Markdown text is made of: headings, links, anchors, and blocks in their order.

What Markdown is, markdown-it-py knows: CommonMark with tables and with mathematics between dollars,
so that a link inside code, a formula or a comment is never taken for one. HTML inside Markdown is
read by Python's own parser: `<a href>`, `<a id>`, `<img>`, comments.

Left out: files and front matter (`journal.pages`), and rendering (the site does that).
"""

import functools
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.dollarmath.index import math_inline_dollar

COG, COG_END = "[[[cog", "[[[end]]]"


@dataclass(frozen=True)
class Heading:
    level: int
    text: str
    slug: str
    """GitHub's, with -1, -2, ... where the page has it before"""
    line: int


@dataclass(frozen=True)
class Reference:
    """A link or an image, written in Markdown or in HTML."""

    target: str
    """as it is written; of a reference-style link, as its definition has it"""
    text: str
    """of a link what is clicked on, of an image its alternative text"""
    line: int
    image: bool


@dataclass(frozen=True)
class Block:
    """A paragraph, heading, table, comment, ... in the order of the page."""

    kind: str
    """text, heading, table, code, math, comment or html"""
    text: str
    """words without markup, code spans and inline formulas; of code, math and comments the source;
    a table has a line for each row and ` | ` between cells"""
    line: int
    last: int
    info: str = ""
    """of code its language, of HTML its tags: `details summary /summary`"""
    made: bool = False
    """whether cog wrote it"""


def slug(text: str) -> str:
    """GitHub's anchor of a heading: lower case, hyphens for spaces, no punctuation."""
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def read(text: str, first_line: int = 1) -> "Reader":
    """The parts of a Markdown text without front matter, whose first line has this number."""
    reader = Reader(first_line)
    reader.read(_shared().parse(text))
    return reader


def parser() -> MarkdownIt:
    """A parser of the dialect that the pages are written in; the site gives its own one rules."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    parser.use(
        dollarmath_plugin,
        allow_space=False,  # neither "costs $5 and $6" nor "$ 5" is a formula
        allow_digits=False,
        allow_labels=False,
        double_inline=True,
    )
    parser.inline.ruler.at("math_inline", _at_the_start(math_inline_dollar(False, False, True)))
    # Targets stay as they are written, and strange ones stay links, so that a check can name them.
    parser.normalizeLink = str  # ty: ignore[invalid-assignment]
    parser.validateLink = bool  # ty: ignore[invalid-assignment]
    return parser


_shared = functools.cache(parser)


def _at_the_start(rule: Callable[[StateInline, bool], bool]) -> Callable[[StateInline, bool], bool]:
    """A rule that looks at the character before; at the start of a text Python takes its last one.

    The plugin's rule takes no formula at the start of a cell or paragraph that ends in a digit.
    """

    def careful(state: StateInline, silent: bool) -> bool:
        whole = state.src
        state.src = whole + " "
        try:
            return rule(state, silent)
        finally:
            state.src = whole

    return careful


class Reader:
    """Goes through the tokens of a page once and keeps what it finds."""

    def __init__(self, first_line: int) -> None:
        self.first_line = first_line
        self.table_at = self.table_last = first_line
        self.headings: list[Heading] = []
        self.references: list[Reference] = []
        self.blocks: list[Block] = []
        self.ids: set[str] = set()
        self.slugs: Counter[str] = Counter()
        self.in_cog = False
        self.rows: list[list[str]] = []
        self.link: tuple[str, int, list[str]] | None = None  # the open one: target, line, its text

    def read(self, tokens: list[Token]) -> None:
        above = ""  # the block that an inline token stands in
        at = 0
        for token in tokens:
            at = token.map[0] + self.first_line if token.map else at
            last = token.map[1] + self.first_line - 1 if token.map else at
            match token.type:
                case "inline":
                    self.inline(token, above, at, last)
                case "tr_open":
                    self.rows.append([])
                case "table_close":
                    text = "\n".join(" | ".join(row) for row in self.rows)
                    self.block("table", text, self.table_at, self.table_last)
                    self.rows = []
                case "fence" | "code_block":
                    self.block("code", token.content, at, last, (token.info.split() or [""])[0])
                case "math_block":
                    self.block("math", token.content, at, last)
                case "html_block":
                    self.html_block(token.content, at, last)
                case "table_open":
                    self.table_at, self.table_last = at, last
            above = token.tag if token.type.endswith("_open") else above

    def block(self, kind: str, text: str, at: int, last: int, info: str = "") -> None:
        self.blocks.append(Block(kind, text, at, last, info, self.in_cog))

    def inline(self, token: Token, above: str, at: int, last: int) -> None:
        """The text of a paragraph, a heading or a table's cell, and the links in it."""
        parts: list[str] = []  # without code and mathematics
        whole: list[str] = []  # with both
        place = 0  # in the source of this block, for the line of a link
        for child in token.children or []:
            line = at + token.content.count("\n", 0, place)
            shown = self.child(child, line)
            full = {"code_inline": child.content, "math_inline": f"${child.content}$"}
            parts.append(shown)
            whole.append(full.get(child.type, shown))
            if self.link is not None:
                self.link[2].append(whole[-1])
            place = _after(token.content, child, place)
        self.link = None
        text = "".join(parts)
        image = any(child.type == "image" for child in token.children or [])
        if above in ("th", "td"):
            self.rows[-1].append(" ".join(text.split()))
        elif re.fullmatch(r"h[1-6]", above):
            title = " ".join("".join(whole).split())
            self.headings.append(Heading(int(above[1]), title, self.unique(slug(title)), at))
            self.block("heading", title, at, last)
        elif text.strip() or image:
            self.block("text", text, at, last)

    def child(self, token: Token, line: int) -> str:
        """What this part of a text shows; links, images and HTML are noted on the way."""
        match token.type:
            case "text" | "text_special":
                return token.content
            case "softbreak" | "hardbreak":
                return "\n"
            case "code_inline" | "math_inline" | "math_inline_double":
                return " "
            case "link_open":
                self.link = (str(token.attrGet("href") or ""), line, [])
            case "link_close":
                self.close_link()
            case "image":
                text = "".join(part.content for part in token.children or [])
                self.references.append(Reference(str(token.attrGet("src") or ""), text, line, True))
            case "html_inline":
                return self.html(token.content, line)
        return ""

    def html_block(self, source: str, at: int, last: int) -> None:
        text = self.html(source, at)
        marks = {"start": "", "end": "/"}
        events = [(kind, value) for kind, value, _, _ in tags(source)]
        shown = " ".join(marks[kind] + value for kind, value in events if kind in marks)
        if text.strip() or shown:
            self.block("html", text, at, last, shown)

    def html(self, source: str, line: int) -> str:
        """The words of a piece of HTML; its links, images, ids and comments are noted."""
        words: list[str] = []
        for kind, value, attributes, below in tags(source):
            if kind == "comment":
                self.comment(value, line + below)
            elif kind == "words":
                words.append(value)
                if self.link is not None:
                    self.link[2].append(value)
            elif kind == "end" and value == "a":
                self.close_link()
            elif kind == "start":
                self.ids |= {attributes[key] for key in ("id", "name") if attributes.get(key)}
                if value == "img":
                    target, text = attributes.get("src", ""), attributes.get("alt", "")
                    self.references.append(Reference(target, text, line + below, True))
                elif value == "a" and "href" in attributes:
                    self.link = (attributes["href"], line + below, [])
        return "".join(words)

    def comment(self, text: str, line: int) -> None:
        self.in_cog = self.in_cog and COG_END not in text
        self.block("comment", text.strip(), line, line + text.count("\n"))
        self.in_cog = self.in_cog or COG in text

    def close_link(self) -> None:
        if self.link is not None:
            target, line, parts = self.link
            text = " ".join("".join(parts).split())
            self.references.append(Reference(target, text, line, False))
            self.link = None

    def unique(self, name: str) -> str:
        """The slug, numbered where the page has it before, be it as another heading's own name."""
        chosen = name
        while chosen in self.slugs:
            self.slugs[name] += 1
            chosen = f"{name}-{self.slugs[name]}"
        self.slugs[chosen] = 0
        return chosen


def _after(source: str, token: Token, place: int) -> int:
    """Where in its block's source the reader stands after this part of it, at the least."""
    if token.type in ("softbreak", "hardbreak"):
        return source.find("\n", place) + 1 or place
    words = token.content.split()
    found = re.compile(r"\s+".join(map(re.escape, words))).search(source, place) if words else None
    return found.end() if found else place


def tags(source: str) -> list[tuple[str, str, dict[str, str], int]]:
    """A piece of HTML as events: (start, end, words or comment; value; attributes; lines below)."""
    reader = _Tags()
    reader.feed(source)
    reader.close()
    return reader.events


class _Tags(HTMLParser):
    """Notes the events of `tags`."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, str, dict[str, str], int]] = []

    def note(self, kind: str, value: str, attributes: Mapping[str, str] | None = None) -> None:
        self.events.append((kind, value, dict(attributes or {}), self.getpos()[0] - 1))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.note("start", tag, {key: value or "" for key, value in attrs})

    def handle_endtag(self, tag: str) -> None:
        self.note("end", tag)

    def handle_data(self, data: str) -> None:
        self.note("words", data)

    def handle_comment(self, data: str) -> None:
        self.note("comment", data)
