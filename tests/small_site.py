"""A journal of two phases with a page of each kind, small enough to be built in a test."""

import shutil
from pathlib import Path

from journal.site import staging
from journal.site.addresses import Repository

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = Repository("github.com", "someone/journal")
P0, P1 = "phase-00-start", "phase-01-more"
SECRET = "zucchini"  # stands in the draft alone
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJ"
    "RU5ErkJggg=="
)
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="72pt" height="36pt" viewBox="0 0 1 1"/>'
SCRIPT = f"{P0}/code/phase00/plot_a.py"
DRAFT = f"""---
title: A draft
date: 2026-04-01
draft: true
---

# A draft

{SECRET}
"""
FILES = {
    "README.md": f"""# A journal

What it is, in a sentence.

## Commands

Nothing to run. See [phase 0]({P0}/) and [the script]({P0}/code/phase00/plot_a.py).

## Reading paths

A table for GitHub.
""",
    "ROADMAP.md": f"""# Roadmap

How to use it.

## Phase 0: Start
Folder: [{P0}]({P0}/)

**Goal.** Know *vectors*. And more.

**Prerequisites.** None.

### Items

- [ ] **0.1 Vectors.** Lists of numbers.
  - one after the other
  - Read: [notes]({P0}/notes/vectors.md) · Run: [plot_a.py]({P0}/code/phase00/plot_a.py)
- [x] **0.2 Slopes.** To come, whatever is ticked.

### Post
**The first post.** Vectors.

## Phase 1: More
Folder: [{P1}]({P1}/)

**Goal.** Go on.

**Prerequisites.** Phase 0.

### Items

- [ ] **1.1 Networks.** To come.

### Post
**The second post.** Networks.

## Notes

| Phase | Notes | Notebooks |
| --- | --- | --- |
| 0 | Vectors, Slopes | 01-try |
| 1 | Networks | 02-more |

## Reading paths

| Path | For whom | Aims at |
| --- | --- | --- |
| Quick | is in a hurry | Slopes, Networks |

## Milestones

Why they matter.

| Year | Milestone | Phase | Needs | Run | Must reach |
| --- | --- | --- | --- | --- | --- |
| 1957 | Perceptron: a machine learns | 0 | 0.1, 0.2 | [plot_a.py]({SCRIPT}) | 95 % |

## Museum

Why they are kept.

| # | Exhibit | Years | Phase | Idea | Run | CPU time |
| --- | --- | --- | --- | --- | --- | --- |
| 01 | Late | 1990s | 1 | It came later | to come | 5 s |
| 02 | Early | 1948-1950 | 0 | It came first | [plot_a.py]({SCRIPT}) | 1 s |
""",
    f"{P0}/README.md": "# Phase 0: Start\n\nRead [vectors](notes/vectors.md#the-idea), "
    "[the post](blog/the-first-post.md), [another](blog/a-draft.md).\n\n"
    "![a line](results/a.svg)\n\nThe [numbers](results/a.json).\n",
    f"{P1}/README.md": "# Phase 1: More\n\nTo come.\n",
    f"{P0}/notes/vectors.md": "# Vectors\n\nPrerequisites: none. Packages: none.\n\n## The idea\n\n"
    "A list. See [the roadmap](../../ROADMAP.md#phase-0-start) "
    "and [code](../code/phase00/plot_a.py).\n",
    f"{P0}/notes/slopes.md": "# Slopes\n\nPrerequisites: [vectors](vectors.md).\n\n## Twice\n\n"
    "## Twice\n",
    f"{P0}/blog/the-first-post.md": """---
title: "The first post"
date: 2026-03-01
draft: false
description: What a vector is.
tags: [vectors, beginnings]
phase: 0
---

# The first post

An opening with [a link](../notes/vectors.md).

<!-- more -->

The rest, with a picture.

<!-- interactive: wheel -->

![a still wheel](../results/a.svg)
""",
    f"{P0}/blog/a-draft.md": DRAFT,
    f"{P0}/code/phase00/plot_a.py": '"""A script."""\n\nif __name__ == "__main__":\n    pass\n',
    f"{P0}/results/a.svg": SVG,
    f"{P0}/results/a.json": "{}",
    "website/figures/load.js": "import('./wheel.js');\n",
    "website/figures/wheel.js": "export function mount(figure) {}\n",
    "website/figures/figure.css": "figure { margin: 0; }\n",
}
WEBSITE = ("zensical.toml", "journal.css", "favicon.svg", "theme", "render-mathematics.js")


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def replace(root: Path, name: str, old: str, new: str) -> None:
    text = (root / name).read_text(encoding="utf-8")
    assert old in text
    write(root, name, text.replace(old, new))


def plant(root: Path) -> Path:
    """A small journal with one note of each kind, a post, a draft, and the real website's files."""
    for name, text in FILES.items():
        write(root, name, text)
    for name in WEBSITE:
        source, place = ROOT / "website" / name, root / "website" / name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, place)
    return root


def stage(root: Path, repository: Repository | None = REPOSITORY) -> Path:
    target = root / "build" / "site-src"
    staging.stage(root, target, repository)
    return target


def read(root: Path, place: str) -> str:
    return (root / place).read_text(encoding="utf-8")
