"""Blog posts: begun from a template, checked, published.

A post is `phase-NN-name/blog/<slug of its title>.md`. Its front matter says whether it is a draft;
the site and its feed leave drafts out. Publishing changes two lines of the front matter, `draft`
and `date`, and nothing else of the file.

Left out: the checks themselves (`journal.prose` and `journal.parts` have them, and the tests run
them on every post), and putting posts on the web, which the site does (`journal.site`).
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from journal import numbers, pages, parts, prose, roadmap
from journal.nearest import suggestion
from journal.plan import Phase
from journal.record import replace_file

TEMPLATE = """---
title: {title}
date: {date}
draft: true
description: {description}
tags: []
phase: {phase}
---

# {heading}

The opening: what this post shows, in two or three sentences. It is also what the list of posts and
the feed show.

<!-- more -->

## The question

Begin with a small example in real numbers. A block of Python runs in the tests, and the block below
it says what it printed:

```python
print(2 + 2)
```

```output
4
```

## What went wrong

What did not work at first, and how it was found.

## What comes next
"""
RENEW = "`uv run python -m journal.numbers` renews the numbers"
TO_DESCRIBE = "What a reader learns from it, in one sentence."
SECONDS = 60  # that a block may take
LONGEST = 200  # bytes of a file's name; file systems end at 255
FENCE = re.compile(r"---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Post:
    """One post, as far as a list of posts needs it."""

    path: Path
    name: str  # from the journal's folder
    title: str
    phase: int | None
    date: date | None
    draft: bool
    words: int

    @property
    def state(self) -> str:
        return "draft" if self.draft else "published"


# ---- reading -----------------------------------------------------------------------------


def load(root: Path, path: Path) -> Post:
    """Read one post; ValueError where its front matter cannot be read."""
    page = pages.load(root, path)
    phase, when = page.front.get("phase"), page.front.get("date")
    return Post(
        path=path,
        name=page.name,
        title=page.title,
        phase=phase if isinstance(phase, int) else None,
        date=when if type(when) is date else None,
        draft=page.front.get("draft") is not False,
        words=parts.count_words(page),
    )


def list_all(root: Path) -> list[Post]:
    """Every post, newest first; those without a date before the others."""
    found = [load(root, path) for path in pages.posts(root)]
    return sorted(found, key=lambda post: (post.date or date.max, post.name), reverse=True)


def find(root: Path, name: str) -> Post:
    """The post of this file, this title, or the only one of this phase; ValueError otherwise."""
    path = Path(name)
    if path.suffix == ".md" and path.is_file():
        chosen = [known for known in pages.posts(root) if known.resolve() == path.resolve()]
        if not chosen:
            raise ValueError(f"{name} is no post: a post lies in the blog/ folder of its phase")
        return load(root, chosen[0])
    files = [known for known in pages.posts(root) if name in (known.name, known.stem)]
    if len(files) == 1:  # no other post is read: one that cannot be is in nobody's way
        return load(root, files[0])
    found = list_all(root)
    fitting = [post for post in found if name in (post.name, post.path.stem, post.title)]
    fitting = fitting or [post for post in found if name.isdecimal() and post.phase == int(name)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = " or ".join(post.path.stem for post in fitting)
        raise ValueError(f"there is more than one post of phase {name}: write {names}")
    if not found:
        raise ValueError("there is no post yet; `uv run journal post new 0` begins one")
    known = suggestion(name, [post.path.stem for post in found])
    raise ValueError(f"there is no post {name!r}; {known}")


# ---- beginning ---------------------------------------------------------------------------


def begin(root: Path, phase: Phase, title: str = "", *, today: date | None = None) -> Path:
    """Write a draft from the template into the phase's blog folder, and return its path.

    Without a title it is the phase's own post, under the title that the roadmap gives it. A post
    that is there already is never written over: FileExistsError.
    """
    title = " ".join((title or phase.post_title).split())
    if not title:
        raise ValueError(f"ROADMAP.md gives phase {phase.number} no post: write --title")
    slug = re.sub(r"-+", "-", pages.slug(title)).strip("-")
    if not slug:
        raise ValueError(f"the title {title!r} has no letter or digit to name a file by")
    if len(slug.encode()) > LONGEST:
        raise ValueError(f"the title has {len(title)} characters, too many to name a file by")
    if slug == "readme":
        raise ValueError("a README is no post; choose another --title")
    path = root / phase.folder / "blog" / f"{slug}.md"
    if path.exists():
        name = path.relative_to(root).as_posix()
        raise FileExistsError(f"{name} is there already: go on with it, or choose another --title")
    text = TEMPLATE.format(
        title=_quoted(title),
        heading=title,
        date=today or date.today(),
        description=_quoted(TO_DESCRIBE),
        phase=phase.number,
    )
    replace_file(path, text)
    return path


def _quoted(text: str) -> str:
    """A YAML string on one line."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# ---- checking and publishing -------------------------------------------------------------


def faults(root: Path, post: Post) -> Iterator[str]:
    """What is wrong with a post, as if it were published; its blocks of Python are run."""
    found = [text for text in prose.complaints(root) if text.startswith(f"{post.name}:")]
    if post.draft:
        found += parts.post_faults(root, pages.load(root, post.path), published=True)
    yield from dict.fromkeys(found)  # a draft's front matter is looked at by both
    if f'description: "{TO_DESCRIBE}"' in post.path.read_text(encoding="utf-8"):
        yield f"{post.name}:5: the description is still the template's; say it in a sentence"
    yield from _numbers(post)
    yield from _blocks(root, post)


def _numbers(post: Post) -> Iterator[str]:
    """Whether cog would write other numbers into the post than it has."""
    text = post.path.read_text(encoding="utf-8")
    try:
        new = numbers.renew(text, post.name)
    except ValueError as error:
        yield str(error)
        return
    for line, (old, now) in enumerate(zip(text.splitlines(), new.splitlines(), strict=False), 1):
        if old != now:
            yield (f"{post.name}:{line}: cog would write {now!r}; {RENEW}")
            return
    if text != new:
        yield f"{post.name}: its numbers are out of date; {RENEW}"


def _blocks(root: Path, post: Post) -> Iterator[str]:
    """Run the post's blocks in a process of their own, as the tests do."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "--no-header", "-p"]
    command += ["no:cacheprovider", f"--timeout={SECONDS}", str(post.path)]
    environment = roadmap.environment(root)
    ran = subprocess.run(command, cwd=root, env=environment, capture_output=True, check=False)
    said = ran.stdout.decode("utf-8", "replace").strip()
    if ran.returncode not in (0, 5):  # 5: there is no block
        yield f"{post.name}: a block fails, or does not print what the post says:\n{said}"


def publish(root: Path, post: Post, *, on: date | None = None) -> None:
    """Set `draft: false` and the date (today's where none is given); the rest stays as it is."""
    with post.path.open(encoding="utf-8", newline="") as stream:
        text = stream.read()
    fence = FENCE.match(text.removeprefix("\ufeff"))
    if fence is None:
        raise ValueError(f"{post.name} has no front matter between two lines ---")
    start = fence.start(1) + len(text) - len(text.removeprefix("\ufeff"))
    end = start + len(fence[1])
    header = _set(text[start:end], "draft", "false")
    header = _set(header, "date", (on or date.today()).isoformat())
    replace_file(post.path, text[:start] + header + text[end:])


def _set(header: str, key: str, value: str) -> str:
    """Front matter with one key's line replaced, or added at its end."""
    line = re.compile(rf"^{key}:[^\r\n]*", re.MULTILINE)
    if line.search(header):
        return line.sub(f"{key}: {value}", header, count=1)
    newline = "\r\n" if "\r\n" in header else "\n"
    return f"{header}{key}: {value}{newline}"
