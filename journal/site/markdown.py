"""A page of prose as HTML, in the dialect that GitHub reads it in.

CommonMark with tables, struck-out text and formulas between dollars, by markdown-it-py: nested
lists, `<details>` and tables come out as they do on GitHub. Headings get GitHub's anchors, comments
are dropped, code is coloured by pygments, a picture in a paragraph of its own becomes a figure.

A formula becomes a place where `journal.site.mathematics` puts what KaTeX made of it. The comment
`<!-- interactive: NAME -->` turns the picture below it into an interactive figure.
"""

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters.html import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.lexers.special import TextLexer
from pygments.util import ClassNotFound

from journal import markup
from journal.pages import Page

COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
INTERACTIVE = re.compile(r"<!--\s*interactive:\s*(\S+)\s*-->")
TAG = re.compile(r"<(a|img)\b[^>]*>", re.IGNORECASE)
ADDRESS = re.compile(r"""\b(href|src)\s*=\s*("([^"]*)"|'([^']*)')""", re.IGNORECASE)
TASK = re.compile(r"\[([ xX])\] ")
MORE = "<!-- more -->"
# GitHub takes these out of a page, and the site has no place for them.
FORBIDDEN = {"audio", "base", "embed", "form", "iframe", "input", "link", "meta", "object"}
FORBIDDEN |= {"script", "source", "style", "svg", "textarea", "use", "video"}
FORBIDDEN_ATTRIBUTE = re.compile(r"on\w+|style|srcset|poster|ping|formaction")
# A dollar that begins no formula, or a command of KaTeX's, in the words of a page.
LEFT_OVER = re.compile(r"\$\$|\$[A-Za-z\\({]\S*|\\[A-Za-z]{2,}")


@dataclass(frozen=True)
class Formula:
    source: str
    display: bool
    where: str
    """file and line"""


@dataclass
class Formulas:
    """The formulas of all pages, each of them once."""

    found: dict[tuple[str, bool], Formula] = field(default_factory=dict)
    numbers: dict[tuple[str, bool], int] = field(default_factory=dict)

    def place(self, source: str, where: str, *, display: bool) -> str:
        """The HTML that stands for a formula until it is set; its number is that in `found`."""
        key = (source.strip(), display)
        if key not in self.found:
            self.found[key] = Formula(*key, where)
            self.numbers[key] = len(self.numbers)
        kind = "display" if display else "inline"
        words = escape(key[0], quote=False)
        return f'<span class="math {kind}" data-math="{self.numbers[key]}">{words}</span>'


@dataclass(frozen=True)
class Task:
    """A list entry with a box: its HTML instead of the box, and the attributes of the entry."""

    box: str
    attributes: Mapping[str, str]


Boxes = Callable[[bool, str], Task]


def plain_box(ticked: bool, text: str) -> Task:
    """The box of a task list, as the author wrote it."""
    state = "done" if ticked else "open"
    return Task(
        f'<span class="box" role="img" aria-label="{state}"></span>', {"class": f"task {state}"}
    )


@dataclass
class Writer:
    """Renders one page; `hrefs` says where its links and images lead (`journal.site.links`)."""

    page: Page
    hrefs: Mapping[tuple[str, bool], str | None]
    formulas: Formulas
    boxes: Boxes = plain_box
    sizes: Callable[[str], tuple[int, int] | None] = lambda target: None
    """the width and height of a picture, by its target"""
    figures: Path | None = None
    """the folder of the interactive figures' modules"""

    def __post_init__(self) -> None:
        self.unlinked: list[str] = []  # what closes the open links
        self.interactive = False

    def whole(self, replaced: Mapping[str, str] | None = None) -> str:
        """The page. What stands under a heading of a slug in `replaced` gives way to that HTML."""
        tokens = self._tokens()
        return self._render(self._replace(tokens, replaced or {}))

    def opening(self, slug: str) -> str:
        """What stands between a heading and the first table or heading below it."""
        tokens = self._tokens()
        start = next((at for at, t in enumerate(tokens) if t.meta.get("slug") == slug), None)
        if start is None:
            raise ValueError(f"{self.page.name}: there is no heading #{slug}")
        rest = tokens[start + 3 :]
        kinds = ("heading_open", "table_open")
        end = next((at for at, t in enumerate(rest) if t.type in kinds), len(rest))
        return self._render(rest[:end])

    # ---- tokens ----------------------------------------------------------------------------

    def _tokens(self) -> list[Token]:
        """The page's tokens, with slugs on headings, and figures and tasks marked."""
        tokens = _parser().parse(self.page.body)
        slugs = iter(self.page.headings)
        for at, token in enumerate(tokens):
            if token.type == "heading_open":
                token.meta["slug"] = next(slugs).slug
            elif token.type == "paragraph_open":
                self._mark(tokens, at)
            elif token.type == "html_block":
                self._check_html(token.content, self._line(token))
            for child in token.children or []:
                if child.type == "text":
                    self._check_words(child.content, self._line(token))
                elif child.type == "html_inline":
                    self._check_html(child.content, self._line(token))
        return tokens

    def _check_html(self, source: str, line: int) -> None:
        """Refuse the HTML that GitHub does not show, and formulas where none are read."""
        for kind, value, attributes, below in markup.tags(source):
            wrong = [name for name in attributes if FORBIDDEN_ATTRIBUTE.fullmatch(name)]
            if kind == "start" and (value in FORBIDDEN or wrong):
                what = f"<{value}>" if value in FORBIDDEN else f"the attribute {wrong[0]}"
                raise ValueError(
                    f"{self.page.name}:{line + below}: {what} is shown neither by GitHub nor by "
                    "the site: write Markdown, or take it out"
                )
            if kind == "words":
                self._check_words(value, line + below)

    def _check_words(self, words: str, line: int) -> None:
        found = LEFT_OVER.search(words)
        if found:
            raise ValueError(
                f"{self.page.name}:{line}: {found[0]!r} looks like a formula and is read as words: "
                "close it, put blank lines around it where HTML stands, or write it as code"
            )

    def _mark(self, tokens: list[Token], at: int) -> None:
        """Note on a paragraph what it is more than that: a figure, a task, the prerequisites."""
        paragraph, inline = tokens[at], tokens[at + 1]
        children = inline.children or []
        name = self._asked_for(tokens, at)
        if len(children) == 1 and children[0].type == "image" and not paragraph.hidden:
            for end in (paragraph, tokens[at + 2]):
                end.tag = "figure"
            kind = "interactive" if name else "picture"
            paragraph.attrSet("class", kind)
            if name:
                paragraph.attrSet("data-figure", name)
            return
        if name:
            line = self._line(paragraph)
            raise ValueError(f"{self.page.name}:{line}: put the still picture of {name} here")
        if at and tokens[at - 1].type == "list_item_open" and children:
            task = TASK.match(children[0].content)
            if task and children[0].type == "text":
                children[0].content = children[0].content[task.end() :]
                made = self.boxes(task[1] != " ", inline.content[task.end() :])
                for key, value in made.attributes.items():
                    tokens[at - 1].attrSet(key, value)
                box = Token("html_inline", "", 0, content=made.box)
                inline.children = [box, *children]
        elif inline.content.startswith("Prerequisites:"):
            paragraph.attrSet("class", "prerequisites")

    def _asked_for(self, tokens: list[Token], at: int) -> str | None:
        """The interactive figure that the comment before this paragraph names."""
        before = tokens[at - 1] if at else None
        found = (
            INTERACTIVE.search(before.content) if before and before.type == "html_block" else None
        )
        if found is None:
            return None
        if self.figures is not None and not (self.figures / f"{found[1]}.js").is_file():
            line = self._line(tokens[at])
            raise ValueError(
                f"{self.page.name}:{line}: there is no interactive figure {found[1]!r}: "
                f"{self.figures.name}/{found[1]}.js is not there"
            )
        self.interactive = True
        return found[1]

    def _replace(self, tokens: list[Token], replaced: Mapping[str, str]) -> list[Token]:
        kept: list[Token] = []
        hidden_below = 0  # the level of the heading whose section is left out
        for at, token in enumerate(tokens):
            if token.type == "heading_open" and int(token.tag[1]) <= (hidden_below or 0):
                hidden_below = 0
            if not hidden_below:
                kept.append(token)
            if token.type == "heading_close" and not hidden_below:
                opening = tokens[at - 2]
                if opening.meta.get("slug") in replaced:
                    hidden_below = int(opening.tag[1])
                    html = replaced[opening.meta["slug"]]
                    kept.append(Token("made", "", 0, content=html))
        return kept

    def _line(self, token: Token) -> int:
        return self.page.first_line + (token.map[0] if token.map else 0)

    # ---- HTML ------------------------------------------------------------------------------

    def _render(self, tokens: list[Token]) -> str:
        renderer = _parser().renderer
        assert isinstance(renderer, RendererHTML)
        env = {"writer": self}
        for token in tokens:  # a formula in a text is told from its block's line
            for child in token.children or []:
                child.map = token.map
        return renderer.render(tokens, _parser().options, env)

    def link(self, token: Token) -> str:
        """The opening tag of a link; what leads nowhere here is shown as code, a page as words."""
        target = str(token.attrGet("href") or "")
        href = self.hrefs.get((target, False))
        if href is None:
            prose = target.partition("#")[0].endswith((".md", ".ipynb"))
            self.unlinked.append("</span>")
            return "<span>" if prose else '<span class="unlinked">'
        self.unlinked.append("</a>")
        title = token.attrGet("title")
        words = f' title="{escape(str(title))}"' if title else ""
        return f'<a href="{escape(href)}"{words}>'

    def image(self, target: str, alt: str, title: str | None) -> str:
        href = self.hrefs.get((target, True)) or target
        size = self.sizes(target)
        shape = f' width="{size[0]}" height="{size[1]}"' if size else ""
        tag = f'<img src="{escape(href)}" alt="{escape(alt)}"{shape} loading="lazy">'
        return tag + (f"<figcaption>{escape(title)}</figcaption>" if title else "")

    def html(self, source: str) -> str:
        """A piece of HTML as the author wrote it, without comments, its links led aright."""
        if source.strip() == MORE:
            return f"\n{MORE}\n"

        def address(found: re.Match[str]) -> str:
            key, target = found[1].lower(), found[3] if found[3] is not None else found[4]
            href = self.hrefs.get((target, key == "src"))
            return f'{key}="{escape(href)}"' if href is not None else ""

        return TAG.sub(lambda tag: ADDRESS.sub(address, tag[0]), COMMENT.sub("", source))

    def formula(self, token: Token, *, display: bool) -> str:
        where = f"{self.page.name}:{self._line(token)}"
        place = self.formulas.place(token.content, where, display=display)
        return f'<div class="formula">{place}</div>\n' if token.type == "math_block" else place


# ---- rules: (renderer, tokens, index, options, env) -> HTML ---------------------------------


def _writer(env: Mapping[str, Writer]) -> Writer:
    return env["writer"]


def _heading_open(_, tokens, at, options, env) -> str:
    return f'<{tokens[at].tag} id="{escape(tokens[at].meta["slug"])}">'


def _heading_close(_, tokens, at, options, env) -> str:
    tag = tokens[at].tag
    slug = escape(tokens[at - 2].meta["slug"])
    sign = f'<a class="headerlink" href="#{slug}" title="Link to this section">#</a>'
    return ("" if tag == "h1" else sign) + f"</{tag}>\n"


def _image(renderer, tokens, at, options, env) -> str:
    token = tokens[at]
    alt = renderer.renderInlineAsText(token.children or [], options, env)
    title = token.attrGet("title")
    return _writer(env).image(str(token.attrGet("src") or ""), alt, str(title) if title else None)


def _fence(_, tokens, at, options, env) -> str:
    return code(tokens[at].content, tokens[at].info.strip().partition(" ")[0])


def _formula(kind: str) -> Callable[..., str]:
    def rule(_, tokens, at, options, env) -> str:
        return _writer(env).formula(tokens[at], display=kind != "math_inline")

    return rule


RULES: dict[str, Callable[..., str]] = {
    "heading_open": _heading_open,
    "heading_close": _heading_close,
    "image": _image,
    "fence": _fence,
    "code_block": _fence,
    "made": lambda _, tokens, at, options, env: tokens[at].content + "\n",
    "html_block": lambda _, tokens, at, options, env: _writer(env).html(tokens[at].content),
    "html_inline": lambda _, tokens, at, options, env: _writer(env).html(tokens[at].content),
    "link_open": lambda _, tokens, at, options, env: _writer(env).link(tokens[at]),
    "link_close": lambda _, tokens, at, options, env: _writer(env).unlinked.pop(),
    **{kind: _formula(kind) for kind in ("math_inline", "math_inline_double", "math_block")},
}


@functools.cache
def _parser() -> MarkdownIt:
    """The parser of `journal.markup`, with rules for the site."""
    parser = markup.parser()
    for name, rule in RULES.items():
        parser.add_render_rule(name, rule)
    return parser


def code(source: str, language: str) -> str:
    """A block of code, coloured; what a block printed (`output`) is marked as such."""
    try:
        lexer = TextLexer() if language in ("", "output", "text") else get_lexer_by_name(language)
    except ClassNotFound:
        lexer = TextLexer()
    kind = "highlight output" if language == "output" else "highlight"
    formatter = HtmlFormatter(cssclass=kind, wrapcode=True)
    return highlight(source, lexer, formatter)


def with_heading(html: str, title: str) -> str:
    """A page that begins with a heading of level 1, its own or else its title."""
    return html if re.search(r"<h1\b", html) else f"<h1>{escape(title)}</h1>\n{html}"
