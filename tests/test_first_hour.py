"""A learner's first hour, from a fresh clone: begin, write, watch it turn green, break it again."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from journal import logbook, roadmap

BODIES = {
    "dot": """
        if len(a) != len(b):
            raise ValueError(f"({len(a)},) and ({len(b)},) differ")
        return float(sum(x * y for x, y in zip(a, b, strict=True)))
    """,
    "norm": """
        if not p >= 1:
            raise ValueError(f"p is {p}, but must be 1 or more")
        if p == math.inf:
            return float(max((abs(x) for x in a), default=0.0))
        return float(sum(abs(x) ** p for x in a) ** (1 / p))
    """,
    "cosine_similarity": """
        lengths = dot(a, a) ** 0.5, dot(b, b) ** 0.5
        product = dot(a, b)
        if 0 in lengths:
            which = "first" if lengths[0] == 0 else "second"
            raise ValueError(f"the {which} is a zero vector, which has no direction")
        return product / lengths[0] / lengths[1]
    """,
    "transpose": """
        _shape(a)
        return [list(column) for column in zip(*a, strict=True)]
    """,
    "matvec": """
        if _shape(a)[1] != len(x):
            raise ValueError(f"{_shape(a)} does not fit ({len(x)},)")
        return [dot(row, x) for row in a]
    """,
    "matmul": """
        if _shape(a)[1] != _shape(b)[0]:
            raise ValueError(f"{_shape(a)} does not fit {_shape(b)}")
        return [[dot(row, column) for column in transpose(b)] for row in a]
    """,
    "_shape": """
        lengths = {len(row) for row in a}
        if len(lengths) > 1:
            i, row = next((i, row) for i, row in enumerate(a) if len(row) != len(a[0]))
            raise ValueError(f"row 0 has shape ({len(a[0])},), row {i} ({len(row)},)")
        if not a or not a[0]:
            raise ValueError(f"the shape ({len(a)}, 0) is empty")
        return len(a), len(a[0])
    """,
}
ROOT = Path(__file__).resolve().parent.parent
FILE = Path("practice/phase00/linear_algebra.py")
PATIENCE = 120.0  # seconds until a step that never comes is given up; nothing is measured by it


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a fresh clone holds: every file that git has or would add, and nothing a run left."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, answer.stdout.split("\0")):
        source, target = ROOT / name, tmp_path / "clone" / name
        if source.is_file() and not name.startswith("practice/phase"):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return tmp_path / "clone"


def journal(clone: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "journal.cli", *arguments]
    done = subprocess.run(
        command, cwd=clone, env=variables(clone), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def variables(clone: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(clone), "PYTHONSAFEPATH": "1"}


def wait_until(happened: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.1)


def written(stub: str, names: Sequence[str]) -> str:
    """The stub with the bodies of these functions as somebody may write them who knows Python."""
    lines = []
    for line in stub.splitlines():
        name = line.strip().removeprefix('raise Unwritten("').removesuffix('")')
        if line.strip().startswith("raise Unwritten(") and name in names:
            lines += textwrap.indent(textwrap.dedent(BODIES[name]).strip(), "    ").splitlines()
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent as a signal")
def test_the_first_hour(clone: Path, tmp_path: Path) -> None:
    assert "0.1 Linear algebra in pure Python" in journal(clone, "next")
    assert "written" in journal(clone, "practice", "0.1")
    stub = (clone / FILE).read_text()
    assert stub.count("raise Unwritten(") >= 6
    output = tmp_path / "watched.txt"
    command = [sys.executable, "-u", "-m", "journal.cli", "check", "0.1", "--watch"]
    with output.open("w") as stream:
        watching = subprocess.Popen(
            command,
            cwd=clone,
            env=variables(clone),
            stdout=stream,
            # Begun in the background of a shell, the tests would hand on that it is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        wait_until(lambda: "watching for the next save" in output.read_text(), "the first check")
        assert "not written yet" in output.read_text()
        (clone / FILE).write_text(written(stub, ["dot", "norm"]))
        wait_until(lambda: output.read_text().count("watching for") == 2, "the second check")
        second = output.read_text().split("watching for")[1]
        assert "dot (" not in second
        assert "matmul" in second
        (clone / FILE).write_text(written(stub, list(BODIES)))
        wait_until(lambda: output.read_text().count("watching for") == 3, "the third check")
        assert "0.1 passes; it is ticked" in output.read_text()
    finally:
        watching.send_signal(signal.SIGINT)
        watching.wait(timeout=PATIENCE)
    assert "1 of " in journal(clone, "status")
    assert "1 verified" in journal(clone, "status")
    assert roadmap.load(clone).item("0.1").done
    assert logbook.read(clone)[-1].ok
    passing = (clone / FILE).read_text()
    (clone / FILE).write_text(passing.replace("x * y", "x + y"))  # broken
    assert "1 stale" in journal(clone, "status")
    (clone / FILE).write_text(passing)
    assert "1 verified" in journal(clone, "status")
