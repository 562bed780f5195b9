"""The half of the checker that runs beside the learner's code: a pytest plugin.

`journal.check` starts `pytest -p journal.judge` in a fresh process. The plugin writes what happens,
one json line each, to the file that JOURNAL_VERDICT names: the tests that were collected, each
test as it starts and how it ended, which file each replaced module was loaded from, and a last
line when the session ends as it should. It decides nothing: the parent compares these lines with
the tests that it expects, and what is missing there counts as a failure.

For a failure it adds what it can find out: the two values that were compared, the line of the
learner's file at which an exception arose.
"""

import ast
import hashlib
import json
import linecache
import os
import re
import sys
import traceback
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from journal.compare import diagnose
from journal.diagnosis.exceptions import behind
from journal.overlay import FORBIDDEN, REPLACED, VERDICT
from journal.unwritten import Unwritten

CLOSENESS = {  # functions whose frames hold the two values: (mine, truth)
    "assert_allclose": ("actual", "desired"),
    "assert_array_equal": ("actual", "desired"),
    "assert_equal": ("actual", "desired"),
    "assert_close": ("actual", "expected"),
}
LONGEST = 600  # characters of an exception's own text
UNCHANGED = ("unchanged", "in_place")  # in a test's name: that one says what is wrong


class Judge:
    """The plugin's state: where to write, and what the running test compared last."""

    def __init__(self) -> None:
        self.stream = Path(os.environ[VERDICT]).open("a", encoding="utf-8")  # noqa: SIM115
        self.replaced: dict[str, str] = json.loads(os.environ[REPLACED])
        self.forbidden = set(json.loads(os.environ[FORBIDDEN]))
        self.opened: set[str] = set()
        self.compared: tuple[Any, Any] | None = None
        self.unwritten = 0
        self.write(began=True)
        sys.addaudithook(self.watch)

    def write(self, **line: Any) -> None:
        """One line, on the disk before anything else happens: the process may end at any time."""
        self.stream.write(json.dumps(line) + "\n")
        self.stream.flush()

    def watch(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Notes when the reference's file (or its compiled form) is opened."""
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path = str(Path(os.fsdecode(arguments[0])).resolve())
            if path in self.forbidden:
                self.opened.add(path)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.write(collected=[item.nodeid for item in session.items])

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.write(broken=report.nodeid, text=str(report.longrepr)[-LONGEST:])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self.compared, self.unwritten = None, Unwritten.raised
        self.write(started=item.nodeid)

    def pytest_assertrepr_compare(self, op: str, left: Any, right: Any) -> None:
        """Called where `assert left == right` fails; both values are gone afterwards."""
        self.compared = (left, right) if op == "==" else None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if call.excinfo is not None:
            text = self.explain(call.excinfo.value, item)
            where = _last_line_in(call.excinfo.value, {str(item.path)})
        elif report.when == "call" and Unwritten.raised > self.unwritten:
            report.outcome = "failed"  # it passed because something caught the stub's exception
            text, where = "a function that is not written yet was called", None
        else:
            text, where = "", None
        if report.when == "call" or report.outcome != "passed":
            self.write(
                test=item.nodeid,
                outcome=_outcome(report),
                text=text,
                line=where[1] if where else item.location[1] and item.location[1] + 1,
                skipped=_where_and_why(report) if report.skipped else [],
                printed=report.capstdout[-LONGEST:] if report.outcome == "failed" else "",
            )
        return report

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        loaded = {}
        for module in self.replaced:
            file = getattr(sys.modules.get(module), "__file__", None)
            if file is not None:
                text = Path(file).read_bytes()
                loaded[module] = {"file": file, "sha256": hashlib.sha256(text).hexdigest()}
        self.write(finished=int(exitstatus), loaded=loaded, opened=sorted(self.opened))

    # ---- explaining a failure ------------------------------------------------------------

    def explain(self, error: BaseException, item: pytest.Item) -> str:
        """What went wrong, as far as it can be told: the comparison, or the learner's line."""
        error = _innermost(error)
        if isinstance(error, Unwritten):
            return str(error)
        compared = self.comparison(error, item)
        if compared:
            return compared + _example(error)
        mine = _last_line_in(error, set(self.replaced.values()))
        text = _shortened(error, item)
        if mine is not None:
            file, number = mine
            line = linecache.getline(file, number).strip()
            name = next(name for name, place in self.replaced.items() if place == file)
            text += f"\nin your {name.replace('.', '/')}.py, line {number}: {line}"
            text += "".join(f"\nlikely: {cause}" for cause in behind(str(error)))
        return text + _example(error)

    def comparison(self, error: BaseException, item: pytest.Item) -> str:
        """The diagnosis of the two values that a test found to differ, else nothing."""
        if not isinstance(error, AssertionError):
            return ""
        for frame, _ in traceback.walk_tb(error.__traceback__):
            names = CLOSENESS.get(frame.f_code.co_name)
            local = frame.f_locals
            if names and all(name in local for name in names):
                mine, truth = (local[name] for name in names)
                tolerance = {key: local.get(key) for key in ("rtol", "atol")}
                if frame.f_code.co_name.endswith("equal"):
                    tolerance["rtol"] = 0.0
                return self._diagnosis(error, item, mine, _as_wide_as(mine, truth), tolerance)
        if self.compared is not None:
            mine, truth = self.compared
            tolerance: dict[str, Any] = {"rtol": 0.0}
            if type(truth).__name__.startswith("Approx"):  # pytest.approx: what it was made of
                tolerance = _tolerance_of(truth)
                truth = truth.expected
            return self._diagnosis(error, item, mine, truth, tolerance)
        return ""

    def _diagnosis(
        self,
        error: BaseException,
        item: pytest.Item,
        mine: Any,
        truth: Any,
        tolerance: dict[str, Any],
    ) -> str:
        name = _compared_expression(error, item)
        given = {key: float(value) for key, value in tolerance.items() if value is not None}
        lines = diagnose(name, mine, truth, **given).splitlines()
        if any(word in item.name for word in UNCHANGED):
            lines = [line for line in lines if not line.lstrip().startswith("likely: ")]
        return "\n".join(lines)


def _outcome(report: pytest.TestReport) -> str:
    return "skipped" if report.skipped else "passed" if report.passed else "failed"


def _where_and_why(report: pytest.TestReport) -> list[str]:
    """The file that a skip comes from, and its reason."""
    if isinstance(report.longrepr, tuple):
        return [str(report.longrepr[0]), str(report.longrepr[2])]
    return ["", str(report.longrepr)]


def _innermost(error: BaseException) -> BaseException:
    """The first single exception of a group (hypothesis raises several at once)."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _shortened(error: BaseException, item: pytest.Item) -> str:
    """The exception's own words, or pytest's in ours."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if "DID NOT RAISE" in text:
        wanted = re.sub(r".*DID NOT RAISE (<class ')?([\w., ()]+).*", r"\2", text, flags=re.DOTALL)
        text = f"{_refused_call(error, item)} should have been refused with a {wanted}"
    elif "Regex pattern did not match" in text:
        pattern, came = re.findall(r"(?:Expected regex|Actual message): (.*)", text)
        plain = re.sub(r"\\(.)", r"\1", str(ast.literal_eval(pattern)))
        text = f"the message should contain {plain!r}, but it is {came}"
    elif isinstance(error, Warning):
        text += "\n(a warning counts as an error in these tests)"
    return text if len(text) <= LONGEST else text[:LONGEST] + " ..."


def _refused_call(error: BaseException, item: pytest.Item) -> str:
    """What stands under the `with pytest.raises` that saw nothing."""
    where = _last_line_in(error, {str(item.path)})
    tree = ast.parse(item.path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.With) and where and node.lineno <= where[1] <= node.body[0].lineno:
            values = getattr(getattr(item, "callspec", None), "params", {})
            given = ", ".join(f"{name} = {value!r}" for name, value in values.items())
            return ast.unparse(node.body[0]) + (f" with {given}" if given else "")
    return "this"


def _example(error: BaseException) -> str:
    """The input on which hypothesis saw the failure."""
    notes = [note for note in getattr(error, "__notes__", []) if "Falsifying" in note]
    return "\n" + notes[0][:LONGEST] if notes else ""


def _last_line_in(error: BaseException, files: set[str]) -> tuple[str, int] | None:
    """The innermost place of the traceback that lies in one of the files."""
    found = None
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename in files:
            found = frame.f_code.co_filename, number
    return found


def _compared_expression(error: BaseException, item: pytest.Item) -> str:
    """The learner's value as the test writes it: the first argument, or the left of an `==`."""
    where = _last_line_in(error, {str(item.path)})
    if where is None:
        return "the value"
    tree = ast.parse(Path(where[0]).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assert | ast.Call):
            continue
        if not node.lineno <= where[1] <= (node.end_lineno or node.lineno):
            continue
        if isinstance(node, ast.Assert) and isinstance(node.test, ast.Compare):
            return ast.unparse(node.test.left)
        if isinstance(node, ast.Call) and node.args and _name(node.func) in CLOSENESS:
            return ast.unparse(node.args[0])
    return "the value"


def _tolerance_of(approx: Any) -> dict[str, float]:
    """What `pytest.approx` allows: either tolerance alone excludes the default of the other."""
    if approx.rel is None and approx.abs is not None:
        return {"rtol": 0.0, "atol": approx.abs}
    rtol = 1e-6 if approx.rel is None else approx.rel
    return {"rtol": rtol, "atol": 1e-12 if approx.abs is None else approx.abs}


def _as_wide_as(mine: Any, truth: Any) -> Any:
    """The truth in the shape of the value where it is one number that holds for all of them."""
    if np.ndim(truth) == 0 and hasattr(mine, "shape") and not hasattr(truth, "detach"):
        return np.broadcast_to(truth, np.shape(mine))
    return truth


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Judge(), "journal-judge")
