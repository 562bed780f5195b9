"""Numbers in prose: cog writes them into Markdown from `results/`, and a check guards them.

`python -m journal.numbers` runs the cog blocks of every Markdown file of the project and rewrites
what is out of date; with `--check` it rewrites nothing, shows the difference and ends with 1.

A block is a comment that GitHub does not show; what it prints stands below it. `result`, `table`
and `record` are there without an import, and paths start at the project's root:

    <!-- [[[cog
    print(f"The loss is {result('phase-08-training-gpt/results/train.json', 'metrics.loss')} nats.")
    ]]] -->
    The loss is 1.234 nats.
    <!-- [[[end]]] -->

A block inside a code fence is an example and is left alone. So are the learner's `practice/` and
what is made (`runs/`, `data/`, `build/`, hidden folders).
"""

import argparse
import contextlib
import difflib
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cogapp import Cog
from cogapp.cogapp import CogError

from journal import pages, record

# The journal runs from its checkout (an editable install), so its own place tells the root.
ROOT = Path(__file__).resolve().parent.parent
START = "[[[cog"
# Both ways of writing that cog knows, `print` and `cog.outl`, end in the text.
PROLOGUE = """from journal import record; from journal.numbers import result, table
cog.outl = print; cog.out = lambda text="": print(text, end="")"""
FENCE = re.compile(r"^(```+|~~~+).*?^\1", re.MULTILINE | re.DOTALL)


def result(path: str | Path, key: str, fmt: str = ".3f") -> str:
    """One number of a result file as text; `path` starts at the project's root."""
    return record.number(ROOT / path, key, fmt)


def table(rows: Iterable[Sequence[object]], header: Sequence[object]) -> str:
    """A Markdown table; a column that holds only numbers stands to the right."""
    lines = [[_cell(value) for value in row] for row in rows]
    for line in lines:
        if len(line) != len(header):
            raise ValueError(f"a row has {len(line)} cells, the header {len(header)}: {line}")
    numeric = [
        bool(lines) and all(_is_number(line[column]) for line in lines)
        for column in range(len(header))
    ]
    rule = ["---:" if right else "---" for right in numeric]
    whole = [[_cell(value) for value in header], rule, *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in whole)


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+−]?[\d.,]*\d[\d.,]*([eE][-+]?\d+)?\s?%?", text) is not None


def markdown_files(root: Path) -> Iterator[Path]:
    """The project's Markdown files with cog blocks."""
    for path in pages.prose(root):
        if START in path.read_text(encoding="utf-8"):
            yield path


def renew(text: str, name: str) -> str:
    """`text` with the output of its cog blocks as it should be now; ValueError if one fails."""
    cog = Cog()
    cog.options.print_output = True
    cog.options.prologue = PROLOGUE
    # A marker in a code fence is broken by a zero byte, so that cog does not see it.
    shown = FENCE.sub(lambda fence: re.sub(r"(\[\[|\]\])(?=[\[\]])", "\\1\0", fence[0]), text)
    try:
        with contextlib.chdir(ROOT):
            return cog.process_string(shown, fname=name).replace("\0", "")
    except CogError as error:
        # The last line says what is wrong; those before it are a traceback into this module.
        reason = str(error).strip().splitlines()[-1].removeprefix(name).lstrip(": ")
        raise ValueError(f"{name}: {reason}") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Renew or check the project's Markdown files; the exit code is 1 where that fails."""
    parser = argparse.ArgumentParser("python -m journal.numbers", description="Numbers in prose.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if out of date")
    check = parser.parse_args(argv).check
    stale, failed = [], False
    for path in markdown_files(ROOT):
        name = path.relative_to(ROOT).as_posix()
        old = path.read_text(encoding="utf-8")
        try:
            new = renew(old, name)
        except ValueError as error:
            print(error, file=sys.stderr)
            failed = True
            continue
        if new != old and check:
            stale.append(name)
            both = old.splitlines(), new.splitlines()
            print(*difflib.unified_diff(*both, name, f"{name} (renewed)", lineterm=""), sep="\n")
        elif new != old:
            record.replace_file(path, new)
            print(f"renewed {name}")
    if stale:
        advice = "run `uv run python -m journal.numbers` to renew"
        print(f"out of date: {', '.join(stale)}; {advice}", file=sys.stderr)
    return int(failed or bool(stale))


if __name__ == "__main__":
    sys.exit(main())
