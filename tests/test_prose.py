"""The pages of prose: every check of them, on the journal's own and on planted faults.

A check takes the root of a tree and returns its complaints. Each is run on the real tree, where it
must have none, on a small healthy tree, where it must have none either, and on that tree with one
fault planted, which it must name with file and line.
"""

import json
import re
import subprocess
from pathlib import Path

import pytest

from journal import pages, prose
from journal.measured import measured_numbers_come_from_results
from journal.parts import (
    notes_have_their_parts,
    paper_notes_have_their_parts,
    posts_have_their_parts,
)
from journal.prose import (
    CHECKS,
    citations_are_in_the_bibliography,
    images_are_there,
    interactive_figures_exist,
    links_lead_somewhere,
    pages_can_be_read,
    prerequisites_have_no_cycle,
    python_blocks_run,
)

ROOT = Path(__file__).resolve().parent.parent
PHASE = "phase-00-a"
SUMS, VECTORS = f"{PHASE}/notes/sums.md", f"{PHASE}/notes/vectors.md"
POST, PAPER = f"{PHASE}/blog/first.md", "papers/notes/ba2016layer.md"
LIST, BIB = "papers/README.md", "papers/papers.bib"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_pages_are_in_order(check):
    assert list(check(ROOT)) == []


# ---- a small healthy tree --------------------------------------------------------------------

QUESTION = """\
**{number}.** What is twice one?

<details>
<summary>Answer</summary>

Two.

```python
print(2)
```

</details>

"""
NOTE = """\
# {title}

One sentence.

$$
\\boxed{{y = x}}
$$

Prerequisites: {needs}. Packages: none.

## The idea

After 3 steps the loss is 0.693 nats, a lead of 1 makes it 2.72 times as likely, and since 1998 so.
[Ba et al. (2016)](../../papers/README.md#ba2016layer) and [above](#the-idea) say more.

```python
from phase00 import plot_x
```

<!-- interactive: softmax -->
![A line that rises](../results/plot_x-a.svg)

<!-- [[[cog
print("It takes 12 seconds.")
]]] -->
It takes 12 seconds.
<!-- [[[end]]] -->

<!-- by hand: the paper's table 2 -->
They needed 3.5 hours.

## Summary

| concept | where |
| --- | --- |
| sum | everywhere |

## The essential insight

A sum.

## Check yourself

"""
PUBLISHED = """\
---
title: "First: a post"
date: 2026-03-01
draft: false
description: What a sum is.
tags: [sums]
phase: 0
---

# First: a post

An opening.

<!-- more -->

```python
print(1)
```

"""
FRONT = {"draft": "draft: false", "tags": "tags: [sums]", "phase": "phase: 0"}
ENTRY = """\
@article{ba2016layer,
  author = {Ba, Jimmy},
  title = {Layer normalization},
  journal = {A Journal},
  year = {2016},
}
"""
PAPER_NOTE = """\
---
bibkey: ba2016layer
number: 20
phase: [0, 5]
status: unread
code: phase-00-a/code/phase00/plot_x.py
note: [phase-00-a/notes/sums.md]
---

# Layer normalization

It took 3 hours (see [the list](../README.md#papers)).

"""


def write(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def replace(name, old, new):
    """A fault: in this file the one place where `old` stands has `new`."""

    def plant(root):
        text = (root / name).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
        write(root, name, text.replace(old, new))

    return plant


def append(name, text):
    """A fault: a paragraph of its own at the end of the file."""
    return lambda root: write(root, name, (root / name).read_text("utf-8") + f"\n{text}\n")


def delete(name):
    return lambda root: (root / name).unlink()


@pytest.fixture
def healthy(tmp_path):
    """A small tree of pages with nothing wrong."""
    questions = "".join(QUESTION.format(number=number) for number in range(1, 5))
    needs = "[Vectors](vectors.md)"
    write(tmp_path, VECTORS, NOTE.format(title="Vectors", needs="none") + questions)
    write(tmp_path, SUMS, NOTE.format(title="Sums", needs=needs) + questions)
    figures = "".join(f"![Figure {x}](../results/plot_x-{x}.svg)\n\n" for x in "abc")
    write(tmp_path, POST, PUBLISHED + figures + "words " * 1600)
    write(tmp_path, f"{PHASE}/code/phase00/plot_x.py", "")
    write(tmp_path, "website/figures/softmax.js", "")
    for x in "abc":
        write(tmp_path, f"{PHASE}/results/plot_x-{x}.svg", "<svg/>")
    write(tmp_path, LIST, '# Papers\n\n<a id="ba2016layer"></a>Ba, see [above](#papers).\n')
    write(tmp_path, BIB, ENTRY)
    sections = ("Problem", "Idea", "Method", "Results", "What held up and what did not")
    headings = [*sections, "Where it lives in this repository", "My annotations"]
    write(tmp_path, PAPER, PAPER_NOTE + "".join(f"## {head}\n\n" for head in headings))
    write(
        tmp_path,
        "README.md",
        f"# Journal\n\n[a phase]({PHASE}/), [its idea]({SUMS}#the-idea), [a figure](website),\n"
        f"[code]({PHASE}/code/phase00/plot_x.py), [web](https://example.org#x), `[no](no.md)`,\n"
        f"[a notebook]({PHASE}/notes/01-x.ipynb#look), [the list](papers/#ba2016layer)\n",
    )
    cells = [{"cell_type": "markdown", "source": "# Look\n\n[sums](sums.md)"}]
    write(tmp_path, f"{PHASE}/notes/01-x.ipynb", json.dumps({"cells": cells}))
    return tmp_path


def test_healthy_tree_has_no_complaints(healthy):
    assert list(prose.complaints(healthy)) == []


# ---- faults ----------------------------------------------------------------------------------

LINK = "[above](#the-idea)"
OPENING = "One sentence.\n"


def linked(target):
    return replace(SUMS, LINK, f"[above]({target})")


def typed(text):
    return replace(SUMS, OPENING, f"One sentence.\n{text}\n")


FAULTS = {  # what is planted: by which check it must be found, and as what
    "front matter that is no YAML": (
        replace(POST, "tags: [sums]", "tags: [sums"),
        (pages_can_be_read, f"{POST}:1: the front matter is no YAML at line 7: "),
    ),
    "a notebook that is none": (
        lambda root: write(root, f"{PHASE}/notes/01-x.ipynb", "{"),
        (pages_can_be_read, f"{PHASE}/notes/01-x.ipynb:1: this is no notebook"),
    ),
    # -- links
    "a link to nothing": (
        linked("none.md"),
        (links_lead_somewhere, f"{SUMS}:14: none.md leads to {PHASE}/notes/none.md, which is not"),
    ),
    "a link to nothing in a table": (
        replace(SUMS, "| everywhere |", "| [x](none.md) |"),
        (links_lead_somewhere, f"{SUMS}:36: none.md leads to"),
    ),
    "a reference-style link to nothing": (
        append(SUMS, "[x][y]\n\n[y]: none.md"),
        (links_lead_somewhere, "none.md leads to"),
    ),
    "a link of HTML to nothing": (
        append(SUMS, '<a href="none.md">x</a>'),
        (links_lead_somewhere, "none.md leads to"),
    ),
    "a link of a notebook to nothing": (
        replace(f"{PHASE}/notes/01-x.ipynb", "(sums.md)", "(none.md)"),
        (links_lead_somewhere, f"{PHASE}/notes/01-x.ipynb:3: none.md leads to"),
    ),
    "a link to a page in other letters": (
        linked("Vectors.md"),
        (links_lead_somewhere, "Vectors.md leads to phase-00-a/notes/Vectors.md, which is not"),
    ),
    "an anchor to no heading": (
        linked("vectors.md#the-ideas"),
        (links_lead_somewhere, "phase-00-a/notes/vectors.md has no anchor 'the-ideas'; take a"),
    ),
    "an anchor to no heading of the page itself": (
        linked("#The-idea"),
        (links_lead_somewhere, "has no anchor 'The-idea'; did you mean #the-idea?"),
    ),
    "an anchor into code": (
        linked("../code/phase00/plot_x.py#L10"),
        (links_lead_somewhere, "has an anchor into phase-00-a/code/phase00/plot_x.py, which is no"),
    ),
    "an absolute path": (
        linked("/README.md"),
        (links_lead_somewhere, f"{SUMS}:14: /README.md is an absolute path"),
    ),
    "a link out of the tree": (
        linked("../../../else.md"),
        (links_lead_somewhere, "../../../else.md leads out of the tree"),
    ),
    "a link to this machine": (
        linked("file:///etc/hosts"),
        (links_lead_somewhere, "file:///etc/hosts is no address on the web"),
    ),
    "a file as a folder": (
        linked("vectors.md/"),
        (links_lead_somewhere, f"{SUMS}:14: vectors.md/ ends in a slash, and {VECTORS} is a file"),
    ),
    "a link with a blank in its target": (
        linked("the vectors.md"),
        (links_lead_somewhere, f"{SUMS}:14: what ends in '](the vectors.md)' is no whole link"),
    ),
    "a link that does not end": (
        append(SUMS, "[x](vectors.md\n\ny"),
        (links_lead_somewhere, "what ends in '](vectors.md' is no whole link"),
    ),
    "a link by a label that is not there": (
        replace(SUMS, "| everywhere |", "| [x][sums] |"),
        (links_lead_somewhere, f"{SUMS}:36: what ends in '][sums]' is no whole link"),
    ),
    "an empty link": (linked(""), (links_lead_somewhere, "the link 'above' leads nowhere")),
    # -- images
    "a missing image": (
        delete(f"{PHASE}/results/plot_x-b.svg"),
        (images_are_there, f"{POST}:22: ../results/plot_x-b.svg leads to {PHASE}/results/plot_x-b"),
    ),
    "an image without words": (
        replace(SUMS, "![A line that rises]", "![]"),
        (images_are_there, f"{SUMS}:21: the image ../results/plot_x-a.svg has no alternative text"),
    ),
    "an image of HTML without words": (
        append(SUMS, '<img src="../results/plot_x-a.svg">'),
        (images_are_there, "has no alternative text"),
    ),
    "an image from elsewhere": (
        append(SUMS, "![x](https://example.org/x.svg)"),
        (images_are_there, "the image https://example.org/x.svg is not in the tree"),
    ),
    "an image without its script": (
        delete(f"{PHASE}/code/phase00/plot_x.py"),
        (images_are_there, "the image phase-00-a/results/plot_x-a.svg has no script plot_x.py"),
    ),
    "an image that is a page": (
        append(SUMS, "![x](vectors.md)"),
        (images_are_there, "the image vectors.md is no picture (.svg, .png"),
    ),
    "an image that is a folder": (
        append(SUMS, "![x](../results/)"),
        (images_are_there, "the image ../results/ is no picture"),
    ),
    # -- interactive figures
    "an interactive figure without a module": (
        delete("website/figures/softmax.js"),
        (interactive_figures_exist, f"{SUMS}:20: website/figures/softmax.js is not there"),
    ),
    "an interactive figure without an image": (
        replace(SUMS, "<!-- interactive: softmax -->\n", "<!-- interactive: softmax -->\n\n"),
        (interactive_figures_exist, f"{SUMS}:20: no image follows"),
    ),
    "an interactive figure without a name": (
        replace(SUMS, "interactive: softmax", "interactive softmax"),
        (interactive_figures_exist, f"{SUMS}:20: this names no figure; write `<!-- interactive"),
    ),
    # -- citations
    "an unknown citation": (
        replace(SUMS, "#ba2016layer", "#ba2017layer"),
        (citations_are_in_the_bibliography, f"{SUMS}:14: ba2017layer is not in {BIB}"),
    ),
    "a citation without a link": (
        replace(SUMS, OPENING, "One sentence.\nSo say Sum et al. (2011).\n"),
        (citations_are_in_the_bibliography, f"{SUMS}:4: Sum et al. (2011) lacks a link to its key"),
    ),
    "a citation that names no key": (
        replace(SUMS, "#ba2016layer", ""),
        (citations_are_in_the_bibliography, f"{SUMS}:14: Ba et al. (2016) lacks a link to its key"),
    ),
    "an unknown citation on the reading list": (
        append(LIST, "[x](#ba2017layer)"),
        (citations_are_in_the_bibliography, f"{LIST}:5: ba2017layer is not in {BIB}"),
    ),
    "a paper note of an unknown work": (
        replace(PAPER, "bibkey: ba2016layer", "bibkey: ba2016Layer"),
        (citations_are_in_the_bibliography, f"{PAPER}:1: ba2016Layer is not in {BIB}"),
    ),
    "an entry that is not on the list": (
        append(BIB, ENTRY.replace("layer,", "other,")),
        (citations_are_in_the_bibliography, 'ba2016other has no `<a id="ba2016other"></a>` in'),
    ),
    "a bibliography that is no BibTeX": (
        append(BIB, "@article{x,"),
        (citations_are_in_the_bibliography, f"{BIB}:1: "),
    ),
    "no bibliography": (
        delete(BIB),
        (citations_are_in_the_bibliography, f"is cited, but there is no {BIB}; write it"),
    ),
    # -- prerequisites
    "a cycle of prerequisites": (
        replace(VECTORS, "Prerequisites: none", "Prerequisites: [Sums](sums.md)"),
        (
            prerequisites_have_no_cycle,
            f"prerequisites go in a circle: {SUMS} needs {VECTORS} needs {SUMS}; take one",
        ),
    ),
    "a note that needs itself": (
        replace(SUMS, "[Vectors](vectors.md)", "[Sums](sums.md)"),
        (prerequisites_have_no_cycle, f"{SUMS}:9: prerequisites go in a circle: {SUMS} needs "),
    ),
    "a prerequisite that is no note": (
        replace(SUMS, "[Vectors](vectors.md)", "[Post](../blog/first.md)"),
        (prerequisites_have_no_cycle, f"{SUMS}:9: the prerequisite {POST} is no note"),
    ),
    "no line of prerequisites": (
        replace(SUMS, "Prerequisites:", "Needs:"),
        (prerequisites_have_no_cycle, f"{SUMS}:1: there is no line `Prerequisites:`"),
    ),
    # -- code
    "a block of py": (
        append(SUMS, "```py\n1 / 0\n```"),
        (python_blocks_run, "this block of py would not run"),
    ),
    "a block of Python with more behind the word": (
        append(POST, "``` python title=x\n1 / 0\n```"),
        (python_blocks_run, "this block of python would not run"),
    ),
    # -- measured numbers
    "a measured time": (
        typed("It takes 12.5 seconds."),
        (measured_numbers_come_from_results, f"{SUMS}:4: '12.5 seconds' is measured and typed"),
    ),
    "a reason that is empty": (
        replace(SUMS, "<!-- by hand: the paper's table 2 -->", "<!-- by hand: -->"),
        (measured_numbers_come_from_results, f"{SUMS}:29: the comment `by hand` gives no reason"),
    ),
    "a measured number in a table": (
        append(f"{PHASE}/blog/first.md", "| model | time (s) |\n| --- | --- |\n| a | 3 |"),
        (measured_numbers_come_from_results, "'time (s): 3' is measured and typed by hand"),
    ),
    "a measured number in a notebook": (
        replace(f"{PHASE}/notes/01-x.ipynb", "[sums](sums.md)", "It takes 3 ms."),
        (measured_numbers_come_from_results, f"{PHASE}/notes/01-x.ipynb:3: '3 ms' is measured"),
    ),
    # -- notes
    "a note without a title": (
        replace(SUMS, "# Sums", "Sums"),
        (notes_have_their_parts, f"{SUMS}:1: there is no title"),
    ),
    "an opening without a boxed equation": (
        replace(SUMS, "\\boxed{y = x}", "y = x"),
        (notes_have_their_parts, f"{SUMS}:1: the opening has no boxed equation"),
    ),
    "prerequisites after the opening": (
        replace(SUMS, "Prerequisites:", "## First\n\nPrerequisites:"),
        (notes_have_their_parts, f"{SUMS}:1: the opening has no line `Prerequisites:`"),
    ),
    "a note without its module": (
        replace(SUMS, "from phase00 import plot_x", "import math"),
        (notes_have_their_parts, f"{SUMS}:1: no block of Python imports phase00"),
    ),
    "a note without a summary": (
        replace(SUMS, "## Summary", "## In short"),
        (notes_have_their_parts, "there is no summary"),
    ),
    "a summary without a table": (
        replace(SUMS, "| concept | where |\n| --- | --- |\n| sum | everywhere |", "A sum."),
        (notes_have_their_parts, f"{SUMS}:32: the summary has no table"),
    ),
    "a note without an insight": (
        replace(SUMS, "## The essential insight", "## The end"),
        (notes_have_their_parts, "there is no section `The essential insight`"),
    ),
    "a note without questions": (
        replace(SUMS, "## Check yourself", "## Questions"),
        (notes_have_their_parts, "there is no section `Check yourself`"),
    ),
    "three questions": (
        replace(SUMS, QUESTION.format(number=3), ""),
        (notes_have_their_parts, "3 questions have a folded answer; ask four to eight"),
    ),
    "nine questions": (
        append(SUMS, "".join(QUESTION.format(number=number) for number in range(5, 10))),
        (notes_have_their_parts, "9 questions have a folded answer; ask four to eight"),
    ),
    "a question without an answer": (
        append(SUMS, "**5.** And why?"),
        (notes_have_their_parts, "5 questions have 4 folded answers"),
    ),
    "an answer without a question": (
        append(SUMS, "<details>\n<summary>Answer</summary>\n\nTwo.\n\n</details>"),
        (notes_have_their_parts, "follows no question"),
    ),
    "an answer that cannot be unfolded": (
        append(SUMS, "**5.** And?\n\n<details>\n\nTwo.\n\n</details>"),
        (notes_have_their_parts, "has no `<summary>`"),
    ),
    "questions without code": (
        lambda root: write(
            root, SUMS, (root / SUMS).read_text().replace("```python\nprint(2)\n```\n", "")
        ),
        (notes_have_their_parts, "no question needs code"),
    ),
    # -- posts
    "a post in another folder": (
        lambda root: write(root, f"{PHASE}/second.md", PUBLISHED),
        (posts_have_their_parts, f"{PHASE}/second.md:1: this is written as a post and lies in no"),
    ),
    "a post without a title": (
        replace(POST, 'title: "First: a post"', "title: 5"),
        (posts_have_their_parts, f"{POST}:1: the front matter has no title"),
    ),
    "a post whose heading is another title": (
        replace(POST, "# First: a post", "# Second"),
        (posts_have_their_parts, f"{POST}:1: the heading is 'Second'; write one"),
    ),
    "a post without a description": (
        replace(POST, "description: What a sum is.", "description:"),
        (posts_have_their_parts, "the front matter has no description"),
    ),
    "a post with a date in words": (
        replace(POST, "date: 2026-03-01", "date: March 2026"),
        (posts_have_their_parts, "the front matter has no date"),
    ),
    "a post that is neither draft nor published": (
        replace(POST, "draft: false", 'draft: "no"'),
        (posts_have_their_parts, "does not say `draft: true` or `draft: false`"),
    ),
    "a post of another phase": (
        replace(POST, "phase: 0", "phase: 1"),
        (posts_have_their_parts, "has not the phase of its folder; write `phase: 0`"),
    ),
    "a draft with one tag and no list": (
        lambda root: (
            replace(POST, "draft: false", "draft: true")(root),
            replace(POST, "tags: [sums]", "tags: sums")(root),
        ),
        (posts_have_their_parts, "the tags are no list of words"),
    ),
    "a post without tags": (
        replace(POST, "tags: [sums]", "tags: []"),
        (posts_have_their_parts, "there are no tags"),
    ),
    "a post without an end of its opening": (
        replace(POST, "<!-- more -->", ""),
        (posts_have_their_parts, "`<!-- more -->` stands there 0 times"),
    ),
    "a post without an opening": (
        replace(POST, "An opening.\n", ""),
        (posts_have_their_parts, f"{POST}:13: nothing stands before `<!-- more -->`"),
    ),
    "a short post": (
        replace(POST, "words " * 1600, "words " * 1400),
        (posts_have_their_parts, " words; a post has 1,500 to 3,500"),
    ),
    "a long post": (
        append(POST, "words " * 1900),
        (posts_have_their_parts, " words; a post has 1,500 to 3,500"),
    ),
    "a post with two figures": (
        replace(POST, "![Figure c](../results/plot_x-c.svg)", ""),
        (posts_have_their_parts, "2 figures from phase-00-a/results/; show 3 or more"),
    ),
    "a post without code": (
        replace(POST, "```python", "```text"),
        (posts_have_their_parts, "there is no block of Python"),
    ),
    # -- paper notes
    "a paper note without a key": (
        replace(PAPER, "bibkey: ba2016layer\n", ""),
        (paper_notes_have_their_parts, f"{PAPER}:1: the front matter has no bibkey"),
    ),
    "a paper note without a number": (
        replace(PAPER, "number: 20", "number: twenty"),
        (paper_notes_have_their_parts, "the front matter has no number"),
    ),
    "a paper note of no phase": (
        replace(PAPER, "phase: [0, 5]", "phase: [0, 11]"),
        (paper_notes_have_their_parts, "the phase is no number from 0 to 10"),
    ),
    "a paper note half read": (
        replace(PAPER, "status: unread", "status: half"),
        (paper_notes_have_their_parts, "the status is not one of unread, reading, read"),
    ),
    "a paper note that says nothing of its code": (
        replace(PAPER, "code: phase-00-a/code/phase00/plot_x.py\n", ""),
        (paper_notes_have_their_parts, "code is no list of files"),
    ),
    "a paper note of code that is gone": (
        replace(PAPER, "phase00/plot_x.py", "phase00/gone.py"),
        (paper_notes_have_their_parts, "code names phase-00-a/code/phase00/gone.py, which is not"),
    ),
    "a paper note without a section": (
        replace(PAPER, "## Method\n", ""),
        (paper_notes_have_their_parts, "there is no section `Method`"),
    ),
    "a paper note in another order": (
        lambda root: (
            replace(PAPER, "## Idea\n", "## 3. Metho\n")(root),
            replace(PAPER, "## Method\n", "## 2. Idea\n")(root),
            replace(PAPER, "## 3. Metho\n", "## 3. Method\n")(root),
        ),
        (paper_notes_have_their_parts, "`Method` comes before `Idea`"),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault_is_found(name, healthy):
    plant, (check, complaint) = FAULTS[name]
    plant(healthy)
    found = list(check(healthy))
    assert complaint in "\n".join(found)
    for line in found:  # file, line, what is wrong, what to do
        assert re.fullmatch(r"[\w./-]+:\d+: .+; .+", line), line


def test_every_check_is_shown_to_bite():
    assert {check for _, (check, _) in FAULTS.values()} == set(CHECKS)


# ---- what is no fault ------------------------------------------------------------------------


def test_draft_needs_only_its_front_matter(healthy):
    draft = PUBLISHED.replace("draft: false", "draft: true").replace("[sums]", "[]")
    write(healthy, POST, draft.partition("<!-- more")[0])
    assert list(posts_have_their_parts(healthy)) == []
    page = pages.load(healthy, healthy / POST)
    faults = "\n".join(prose.post_faults(healthy, page, published=True))
    assert "there are no tags" in faults
    assert "words; a post has" in faults


def test_work_that_is_linked_once_may_be_named_again(healthy):
    append(SUMS, "As Ba et al.\n(2016) say, and Ba and Ba (2016) in\n`Ba et al. (2017)`.")(healthy)
    linked = "[Ba et al.](../../papers/README.md#ba2016layer) (2016), in March and April 2016."
    append(VECTORS, linked)(healthy)
    (complaint,) = citations_are_in_the_bibliography(healthy)
    assert "Ba and Ba (2016) lacks" in complaint


def test_brackets_in_code_are_no_half_link(healthy):
    append(SUMS, "`a[i][j]` and `f[x](y)`, [0, 1) and (1, 2], $a[i](j)$.")(healthy)
    assert list(links_lead_somewhere(healthy)) == []


def test_words_are_counted_without_code_and_formulas(tmp_path):
    write(tmp_path, "a.md", "# One two\n\nthree `x y` it's 1,000 $a b$\n\n```python\nx = 1\n```\n")
    assert prose.count_words(pages.load(tmp_path, tmp_path / "a.md")) == 5


def test_image_that_git_ignores_is_not_there(healthy):
    subprocess.run(["git", "init", "-q"], cwd=healthy, check=True)
    assert list(images_are_there(healthy)) == []
    write(healthy, ".gitignore", "*-b.svg\n")
    (complaint,) = images_are_there(healthy)
    assert "plot_x-b.svg, which git ignores" in complaint


def test_longer_cycle_is_named_in_order(healthy):
    text = (healthy / VECTORS).read_text()
    for name, needed in (("a", "b"), ("b", "c"), ("c", "a")):
        needs = f"Prerequisites: [x]({needed}.md)"
        write(healthy, f"{PHASE}/notes/{name}.md", text.replace("Prerequisites: none", needs))
    (complaint,) = prerequisites_have_no_cycle(healthy)
    cycle = complaint.partition("circle: ")[2].partition(";")[0].split(" needs ")
    assert cycle[0] == cycle[-1]
    names = "".join(name[-4] for name in cycle)  # each needs the next
    assert names in ("abca", "bcab", "cabc")


MEASUREMENTS = [
    "It takes 12.5 seconds.",
    "It takes 85 s a step.",
    "It takes 85s.",
    "A step lasts ~3 ms.",
    "The run took 2 hours and more.",
    "It needs two minutes.",
    "It is done in half a minute.",
    "It needs 1.2 GB.",
    "It needs 512-MiB of memory.",
    "We reach 26,000 tokens/s.",
    "We reach 26k tokens per second.",
    "It does 3 steps a second.",
    "It reaches 1.5 TFLOP/s.",
    "NumPy is 1,344 times as fast.",
    "NumPy is 12x faster.",
    "NumPy is twice\nas fast.",
    "Forty times as fast is what it is.",
    "It is 40-fold faster.",
    "A step takes 3 μs.",
    "It runs at 3.2 it/s.",
    "It took 3 days.",
    "It has a speed-up of 12.",
    "The accuracy is 0.973.",
    "It reaches an accuracy of 97.",
    "It reaches 28.4 BLEU.",
    "NumPy is a hundred times faster.",
    "It is 30 % slower.",
    "It takes a hundred times as long.",
    "It uses three times as much memory.",
    "The accuracy is 97.3 %.",
    "It is right for 97 percent, an accuracy to be proud of.",
    "The validation loss is 1.77.",
    "Trained for a day it has a perplexity of 30.",
    "On unseen text the loss is about 3 nats.",
    "# In 12 seconds",
    "- a list: 12 seconds",
    "<details>\n<summary>In 12 seconds</summary>\n\n</details>",
    "| a | b |\n| --- | --- |\n| it takes 3 s | x |",
    "| model | accuracy |\n| --- | --- |\n| a | 0.97 |",
    "| model | tokens/s |\n| --- | --- |\n| a | 3k |",
]
EXAMPLES = [
    "The loss is then 0.408 nats, or 0.588 bits.",
    "A coin with 0.2 heads has a perplexity of 1.65.",
    "After 3 steps the loss is 0.01.",
    "The arrow becomes three times as long, 10 times as likely and 3 times larger.",
    "The filter catches 90 percent of the junk.",
    "In the 1990s, and in 1998, he wrote 3 papers.",
    "The array has 256 rows of 12 bytes each.",
    "Look at it for a second, and a second time.",
    "It is `12 seconds` and $12$ seconds.",
    "```text\nit took 12 seconds\n```",
    "<!-- it took 12 seconds -->",
    "An error of 1e-6 is small, and 0.5 is large.",
    "He wrote it in 3 days, and the accuracy is not the loss.",
    "The step is ten times smaller and the error a hundred times.",
    "| p | loss |\n| --- | --- |\n| 0.5 | 0.69 |",
    "| loss | training (7.4) |\n| --- | --- |\n| x | sampling (7.4) |",
    "Phase 8 trains it; its validation loss is in the table.",
    "See section 3.2 for the loss. Training begins later.",
    "<!-- by hand: an estimate, 6 N D / 1e12 -->\nIt would take 3 days and 12 hours.",
    "<!-- by hand: the paper's -->\n\n| model | accuracy |\n| --- | --- |\n| a | 0.97 |",
]


@pytest.mark.parametrize("text", MEASUREMENTS)
def test_measurement_typed_by_hand_is_found(tmp_path, text):
    write(tmp_path, POST, text)
    assert len(list(measured_numbers_come_from_results(tmp_path))) == 1


@pytest.mark.parametrize("text", EXAMPLES)
def test_worked_example_is_no_measurement(tmp_path, text):
    write(tmp_path, POST, text)
    assert list(measured_numbers_come_from_results(tmp_path)) == []


def test_reason_holds_for_one_paragraph(tmp_path):
    write(tmp_path, POST, "<!-- by hand: why -->\nIt takes 3 s.\n\nIt takes 4 s.\n")
    (complaint,) = measured_numbers_come_from_results(tmp_path)
    assert complaint.startswith(f"{POST}:4: '4 s'")


@pytest.mark.parametrize(
    ("name", "looked_at"),
    [
        ("README.md", True),
        (f"{PHASE}/README.md", True),
        (f"{PHASE}/notes/README.md", True),
        (SUMS, True),
        (PAPER, False),
        (LIST, False),
        ("ROADMAP.md", False),
        ("website/README.md", False),
    ],
)
def test_pages_that_are_looked_at_for_measured_numbers(tmp_path, name, looked_at):
    write(tmp_path, name, "It takes 3 seconds.")
    assert bool(list(measured_numbers_come_from_results(tmp_path))) == looked_at
