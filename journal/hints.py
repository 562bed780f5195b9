"""The hints of a phase: read from its `hints.md`, and given out one at a time.

One file holds all hints of a phase:

    # Hints for phase 0

    ## 0.1 Linear algebra in pure Python

    ### dot

    1. The idea, in a sentence that may be
       wrapped under an indent of three spaces.
    2. What goes wrong, then nearly the line.

An item has parts (a function, or a few that belong together), a part has hints in steps, from the
idea to the line. Below the first item nothing else may stand at the margin, so that no hint is lost
to a typing error; ValueError names the line. A fenced block inside a hint keeps its lines.

Left out: which hints were given (the log knows) and how they look.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from journal.nearest import suggestion
from journal.plan import Item

ITEM = re.compile(r"## (\d+\.\d+) \S.*")
PART = re.compile(r"### (\S.*)")
STEP = re.compile(r"(\d+)\. (\S.*)")
INDENT = "   "
FENCE = "```"
ENOUGH = 2  # hints for an item with code


@dataclass(frozen=True)
class Hint:
    """One hint: what it is about, which of the steps there it is (from 1), and its words."""

    part: str
    step: int
    text: str


def load(path: str | Path) -> dict[str, tuple[Hint, ...]]:
    """The hints of a phase by the id of their item, in the order of the file."""
    path = Path(path)
    return parse(path.read_text(encoding="utf-8"), path.name)


def parse(text: str, name: str = "hints.md") -> dict[str, tuple[Hint, ...]]:
    """Read the text of a `hints.md`; ValueError names the file and the first line that is wrong."""
    headings: dict[str, int] = {}  # where each item is, then where each of its parts is
    steps: dict[str, dict[str, list[list[str]]]] = {}  # item -> part -> hints -> lines
    item = part = ""
    for number, line in enumerate(text.splitlines(), start=1):
        where = f"{name}, line {number}:"
        if line.startswith("## "):
            item, part = _name(ITEM, line, f"{where} expected `## 0.1 Title`"), ""
            _once(headings, item, number, where)
            steps[item] = {}
        elif not item:
            continue  # what the file says about itself
        elif line.startswith("#"):
            part = _name(PART, line, f"{where} expected `## 0.1 Title` or `### function`")
            _once(headings, f"{item} {part}", number, where)
            steps[item][part] = []
        elif found := STEP.fullmatch(line):
            if not part:
                raise ValueError(f"{where} a hint stands under `### function`; {line!r} does not.")
            expected = len(steps[item][part]) + 1
            if int(found[1]) != expected:
                raise ValueError(f"{where} expected hint {expected} of {part}, got {line!r}.")
            steps[item][part].append([found[2]])
        elif line.startswith(INDENT) and part and steps[item][part]:
            steps[item][part][-1].append(line.removeprefix(INDENT).rstrip())
        elif line.strip():
            raise ValueError(
                f"{where} expected a hint (`1. ...`), or three spaces and the rest of one, "
                f"got {line!r}."
            )
        elif part and steps[item][part]:
            steps[item][part][-1].append("")
    for heading, number in headings.items():
        above, _, below = heading.partition(" ")
        if not (steps[above][below] if below else steps[above]):
            raise ValueError(f"{name}, line {number}: there is no hint under {heading}.")
    return {
        above: tuple(
            Hint(part, step, _flowing(lines))
            for part, hints in parts.items()
            for step, lines in enumerate(hints, start=1)
        )
        for above, parts in steps.items()
    }


def _name(grammar: re.Pattern[str], line: str, expected: str) -> str:
    found = grammar.fullmatch(line.rstrip())
    if not found:
        raise ValueError(f"{expected}, got {line!r}.")
    return found[1].replace("`", "")


def _once(headings: dict[str, int], heading: str, number: int, where: str) -> None:
    if heading in headings:
        raise ValueError(f"{where} {heading} is there already, on line {headings[heading]}.")
    headings[heading] = number


def _flowing(lines: Sequence[str]) -> str:
    """Wrapped lines as one line a paragraph; the lines of a fenced block as they are."""
    text, fenced = "", False
    for line in lines:
        fence = line.lstrip().startswith(FENCE)
        if not text:
            text = line
        elif fenced or fence or text.endswith((FENCE, "\n")):
            text += f"\n{line}"
        else:
            text += f" {line}" if line else "\n"
        fenced ^= fence
    return text.strip()


def next_hint(
    hints: Sequence[Hint], shown: int | Collection[tuple[str, int]] = 0, part: str | None = None
) -> Hint | None:
    """The first hint of an item that was not shown yet, or None where all were.

    `shown` is how many were, in their order, or which: pairs of part and step. With `part` only the
    hints on that function count; ValueError names the nearest where there is none on it.
    """
    if part is not None:
        name = _part(part, dict.fromkeys(hint.part for hint in hints))
        hints = [hint for hint in hints if hint.part == name]
    if isinstance(shown, int):
        left = list(hints[shown:])
    else:
        left = [hint for hint in hints if (hint.part, hint.step) not in shown]
    return left[0] if left else None


def _part(asked: str, parts: Collection[str]) -> str:
    """The part that is called so, or that has this function among others (`matvec, matmul`)."""
    wanted = asked.strip().lower()
    words = {part: re.findall(r"[\w.]+", part.lower()) for part in parts}
    for part in parts:
        if part.lower() == wanted:
            return part
    for part in parts:
        if wanted in words[part]:
            return part
    raise ValueError(f"there are no hints on {asked!r}; {suggestion(asked, parts)}")


def complete(items: Iterable[Item], hints: Mapping[str, Sequence[Hint]]) -> list[str]:
    """A sentence for each of these items (those that have code) with fewer than two hints."""
    return [
        f"item {item.id} {item.title} has {len(hints.get(item.id, ()))} hints, "
        f"expected {ENOUGH} or more."
        for item in items
        if len(hints.get(item.id, ())) < ENOUGH
    ]
