"""Pages of prose as data: what counts as a link, an anchor, a block, and what does not."""

import datetime
import json
import subprocess

import pytest

from journal import pages
from journal.pages import Heading, Reference


def load(root, text, name="phase-00-a/notes/b.md"):
    """The page that this text makes."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return pages.load(root, path)


def targets(page):
    return [link.target for link in page.references]


# ---- front matter --------------------------------------------------------------------------


def test_front_matter_is_yaml_and_the_body_begins_below_it(tmp_path):
    page = load(tmp_path, "---\ntitle: 'A: b'\ndate: 2026-03-01\ntags: [x, y]\n---\n\n# C\n")
    assert page.front == {
        "title": "A: b",
        "date": datetime.date(2026, 3, 1),
        "tags": ["x", "y"],
    }
    assert (page.body, page.first_line, page.title) == ("\n# C\n", 6, "A: b")
    assert page.headings == (Heading(1, "C", "c", 7),)


def test_page_without_front_matter_is_all_body():
    assert pages.front_matter("# A\n\n---\n") == ({}, "# A\n\n---\n", 1)
    assert pages.front_matter("---\n---\ntext") == ({}, "text", 3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("---\na: b\n", "does not end; close it with ---"),
        ("---\na: b\n- c\n---\n", "is no YAML at line 3: expected <block end>"),
        ("---\n- c\n---\n", "must be lines of `key: value`"),
        ("---\ndraft: true\na: b\ndraft: false\n---\n", "has draft twice"),
        ("---\n1: c\n---\n", "must be lines of `key: value`"),
        ("---\ndate: 2026-13-01\n---\n", "has a value that is none: month must be in 1..12"),
    ],
)
def test_broken_front_matter_is_refused_by_the_name_of_the_page(tmp_path, text, says):
    with pytest.raises(ValueError, match=r"^phase-00-a/notes/b\.md: the front matter") as error:
        load(tmp_path, text)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


# ---- links and images ----------------------------------------------------------------------


def test_links_and_images_are_found_wherever_they_stand_with_their_lines(tmp_path):
    page = load(
        tmp_path,
        """\
---
title: T
---
# See [one](1.md)

Words over `two
lines` and $x
+ y$ of [the
reference][r], <https://x.org>,
<a href="3.md">a <b>third</b></a>.

| a | b |
| --- | --- |
| x | [four *times*](4.md#x) |

- ![a *red* curve](5.svg)

<details>
<summary><a href="6.md">six</a></summary>
<img src="7.svg" alt="seven">
</details>

[r]: 2.md "title"
""",
    )
    assert page.references == (
        Reference("1.md", "one", 4, False),
        Reference("2.md", "the reference", 8, False),
        Reference("https://x.org", "https://x.org", 9, False),
        Reference("3.md", "a third", 10, False),
        Reference("4.md#x", "four times", 14, False),
        Reference("5.svg", "a red curve", 16, True),
        Reference("6.md", "six", 19, False),
        Reference("7.svg", "seven", 20, True),
    )


@pytest.mark.parametrize(
    "text",
    [
        "`[a](b)` and ``<a href='b'>``",
        "```python\n[a](b)\n```",
        "~~~\n<img src='b'>\n~~~",
        "    [a](b)",
        "<!-- [a](b) <a href='b'>c</a> -->",
        "$[a](b)$",
        "$$\n[a](b)\n$$",
        "<!-- [[[cog\nprint('[a](b)')\n]]] -->\n<!-- [[[end]]] -->",
        "\\[a](b)",
        "[a]: b.md",
    ],
)
def test_code_mathematics_and_comments_hold_no_links(tmp_path, text):
    assert targets(load(tmp_path, text)) == []


def test_two_prices_are_no_formula(tmp_path):
    assert targets(load(tmp_path, "It costs $5 here and [there](a.md) it costs $6.")) == ["a.md"]


def test_targets_stay_as_they_are_written(tmp_path):
    page = load(tmp_path, "[a](größe.md#Übung) [b](javascript:x) [c](<d e.md>) [d](file:///a)")
    assert targets(page) == ["größe.md#Übung", "javascript:x", "d e.md", "file:///a"]


# ---- anchors -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("The idea, in numbers", "the-idea-in-numbers"),
        ("`softmax` and its *rows*", "softmax-and-its-rows"),
        ("A [link](b.md) – here", "a-link--here"),
        ("0.4 Softmax (item_4)", "04-softmax-item_4"),
        ("The $L_2$ norm", "the-l_2-norm"),
        ("Größe", "größe"),
    ],
)
def test_slug_of_a_heading_is_githubs(tmp_path, heading, anchor):
    assert load(tmp_path, f"## {heading}\n").headings[0].slug == anchor


def test_repeated_headings_are_numbered_and_ids_count_as_anchors(tmp_path):
    text = (
        "# A\n\n## B\n\n## B\n\nB\n-\n\n"
        '<a id="c"></a>\nx\n\n<a name="d"></a> y\n\n<div id="e">\n</div>'
    )
    page = load(tmp_path, text)
    assert [heading.slug for heading in page.headings] == ["a", "b", "b-1", "b-2"]
    assert page.anchors == {"a", "b", "b-1", "b-2", "c", "d", "e"}
    assert page.title == "A"


def test_numbered_anchor_is_not_that_of_another_heading(tmp_path):
    page = load(tmp_path, "# B\n\n# B 1\n\n# B\n\n# B\n")
    assert [heading.slug for heading in page.headings] == ["b", "b-1", "b-2", "b-3"]


def test_heading_in_code_or_comment_is_none(tmp_path):
    assert load(tmp_path, "```\n# A\n```\n<!--\n# B\n-->\n").headings == ()


# ---- prerequisites, interactive figures, blocks ------------------------------------------------


def test_prerequisites_are_names_from_the_root(tmp_path):
    page = load(
        tmp_path,
        "# A\n\nWords, [x](x.md).\n\n**Prerequisites:** [c](c.md#top) and\n"
        "[e](../../phase-01-b/notes/e.md). Packages: [numpy](https://numpy.org).\n\n"
        "[y](y.md)\n",
    )
    assert page.prerequisites == ("phase-00-a/notes/c.md", "phase-01-b/notes/e.md")
    assert load(tmp_path, "Prerequisites: none.").prerequisites == ()
    two = load(tmp_path, "Prerequisites: [c](c.md).\n\nPrerequisites: [d](d.md).\n")
    assert two.prerequisites == ("phase-00-a/notes/c.md", "phase-00-a/notes/d.md")


def test_interactive_figures_are_named_by_comments(tmp_path):
    page = load(tmp_path, "<!-- interactive: softmax -->\n![a](b.svg)\n\n<!-- interactively -->\n")
    assert page.interactive == ("softmax",)
    assert [(block.kind, block.line) for block in page.blocks[:2]] == [("comment", 1), ("text", 2)]


def test_blocks_come_in_order_with_their_lines_and_without_markup(tmp_path):
    page = load(
        tmp_path,
        "# A `b`\n\nSome *words*, `code`\nand $x$.\n\n```python\nx = 1\n```\n\n$$\ny\n$$\n\n"
        "| a | b |\n| - | - |\n| 1 | **2** |\n\n<details>\n<summary>S</summary>\n\nText\n",
    )
    assert [(b.kind, b.text.strip(), b.line, b.last, b.info) for b in page.blocks] == [
        ("heading", "A b", 1, 1, ""),
        ("text", "Some words,  \nand  .", 3, 4, ""),
        ("code", "x = 1", 6, 8, "python"),
        ("math", "y", 10, 12, ""),
        ("table", "a | b\n1 | 2", 14, 16, ""),
        ("html", "S", 18, 19, "details summary /summary"),
        ("text", "Text", 21, 21, ""),
    ]


def test_what_cog_wrote_is_told_apart(tmp_path):
    text = "a\n\n<!-- [[[cog\nprint(1)\n]]] -->\n| b |\n| - |\n| c |\n<!-- [[[end]]] -->\n\nd\n"
    page = load(tmp_path, text)
    said = [(b.kind, b.made) for b in page.blocks]
    assert said == [
        ("text", False),
        ("comment", False),
        ("table", True),
        ("comment", False),
        ("text", False),
    ]


# ---- notebooks -------------------------------------------------------------------------------


def test_markdown_of_a_notebook_is_a_page(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["# A\n", "[b](b.md)"]},
        {"cell_type": "code", "source": "'[c](c.md)'", "outputs": []},
        {"cell_type": "markdown", "source": "![d](d.svg)"},
    ]
    page = load(tmp_path, json.dumps({"cells": cells}), "phase-00-a/notes/01-x.ipynb")
    assert page.title == "A"
    assert [(link.target, link.line) for link in page.references] == [("b.md", 2), ("d.svg", 4)]
    with pytest.raises(ValueError, match=r"01-x\.ipynb: this is no notebook"):
        load(tmp_path, "[]", "phase-00-a/notes/01-x.ipynb")


# ---- which pages there are -----------------------------------------------------------------


def test_each_kind_of_page_is_listed_without_readmes_and_what_is_not_ours(tmp_path):
    note, post = "phase-00-a/notes/b.md", "phase-10-a/blog/c.md"
    others = ["README.md", "phase-00-a/notes/README.md", "papers/notes/d.md"]
    for name in [note, post, *others, "practice/a.md", "runs/a.md", "build/a.md", "data/a.md"]:
        load(tmp_path, "# A", name)
    load(tmp_path, "{}".replace("{}", '{"cells": []}'), "phase-00-a/notes/01-e.ipynb")

    def names(found):
        return [path.relative_to(tmp_path).as_posix() for path in found]

    assert names(pages.prose(tmp_path)) == sorted([note, post, *others])
    assert names(pages.notes(tmp_path)) == [note]
    assert names(pages.posts(tmp_path)) == [post]
    assert names(pages.paper_notes(tmp_path)) == ["papers/notes/d.md"]
    assert names(pages.notebooks(tmp_path)) == ["phase-00-a/notes/01-e.ipynb"]


def test_pages_that_git_ignores_are_not_the_projects_but_new_ones_are(tmp_path):
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    load(tmp_path, "/drafts.md\n", ".gitignore")
    load(tmp_path, "# A", "drafts.md")
    load(tmp_path, "# A", "new.md")
    assert pages.prose(tmp_path) == [tmp_path / "new.md"]


# ---- formulas ------------------------------------------------------------------------------


def test_formula_at_the_start_of_a_text_that_ends_in_a_digit_is_one(tmp_path):
    page = load(tmp_path, "# $x$ of 2\n\n$y$ is 3\n\n| a |\n| --- |\n| $z$ is 4 |\n\n5$ and 6$\n")
    assert page.headings[0].text == "$x$ of 2"
    shown = [(block.kind, " ".join(block.text.split())) for block in page.blocks[1:]]
    assert shown == [("text", "is 3"), ("table", "a is 4"), ("text", "5$ and 6$")]


def test_link_inside_a_formula_at_the_start_is_none(tmp_path):
    assert targets(load(tmp_path, "$[a](b)$ is 1\n")) == []


def test_page_that_is_no_utf_8_is_refused_with_its_line(tmp_path):
    path = tmp_path / "a.md"
    path.write_bytes(b"# A\n\nCaf\xe9\n")
    with pytest.raises(ValueError, match=r"^a\.md:3: this is no UTF-8"):
        pages.load(tmp_path, path)
