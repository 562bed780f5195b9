"""The checker: what it lets pass, and everything that it must not."""

import os
import py_compile
import time
from pathlib import Path

import psutil
import pytest
import small_journal

from journal import check, stubs

RIGHT = small_journal.REFERENCE
DOUBLE = "def double(x: float) -> float:\n    return 2 * x\n"
TURNED = "def turned(matrix):\n    return matrix.T.copy()\n"
TOP = "import numpy as np\n\nCASES = (1, 2)\n"
PLACE = "phase-00-math-foundations/code/phase00/thing.py"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_journal.make(tmp_path_factory.mktemp("journal"))


def judged(root: Path, text: str | None, seconds: float = 60.0) -> check.Verdict:
    file = root / "practice" / "phase00" / "thing.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    if text is not None:
        file.write_text(text, encoding="utf-8")
    item = small_journal.item(root)
    return check.run(root, item, {"phase00.thing": file}, seconds=seconds)


def test_a_right_file_passes_and_is_named_with_its_hash_and_the_number_of_tests(root: Path) -> None:
    verdict = judged(root, TOP + DOUBLE + TURNED)
    assert verdict.passed
    assert (verdict.n_passed, verdict.n_expected) == (4, 4)
    assert "practice/phase00/thing.py" in verdict.text
    assert "4 of 4 passed" in verdict.text
    (name, sha256), *others = verdict.files.items()
    assert (name, others) == ("practice/phase00/thing.py", [])
    assert sha256[:12] in verdict.text


def test_a_fresh_stub_passes_nothing_and_says_what_is_not_written(root: Path) -> None:
    verdict = judged(root, stubs.stub(RIGHT))
    assert not verdict.passed
    assert verdict.n_passed == 0
    assert "not written yet" in verdict.text
    assert "double (3)" in verdict.text
    assert "turned (1)" in verdict.text


def test_an_exception_of_the_stub_that_is_caught_is_no_pass(root: Path) -> None:
    caught = (
        "from journal.unwritten import Unwritten\n"
        + TOP
        + TURNED
        + "def nothing():\n    raise Unwritten('nothing')\n"
        + "def double(x):\n    try:\n        nothing()\n"
        + "    except Exception:\n        return 2 * x\n"
    )
    verdict = judged(root, caught)
    assert not verdict.passed
    assert verdict.n_passed == 1
    assert "not written yet was called" in verdict.text


def test_a_wrong_value_is_told_with_the_fact_the_place_and_a_cause(root: Path) -> None:
    wrong = TOP + DOUBLE + "def turned(matrix):\n    return matrix\n"
    verdict = judged(root, wrong)
    assert not verdict.passed
    assert verdict.n_passed == 3
    assert "FAILED turned swaps rows and columns" in verdict.text
    assert "thing.turned(matrix)" in verdict.text
    assert "(2, 3)" in verdict.text
    assert "transposed" in verdict.text


def test_a_wrong_number_is_told_from_a_plain_assert(root: Path) -> None:
    verdict = judged(root, TOP + "def double(x):\n    return 3 * x\n" + TURNED)
    assert "FAILED double of a number is twice it [1]" in verdict.text
    assert "thing.double(x)" in verdict.text
    assert verdict.n_passed == 2


def test_an_exception_is_told_with_the_line_of_the_learners_file(root: Path) -> None:
    verdict = judged(root, TOP + "def double(x):\n    return x + None\n" + TURNED)
    assert "TypeError" in verdict.text
    assert "in your phase00/thing.py, line 5: return x + None" in verdict.text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "not there"),
        ("", "it is empty"),
        ("\n\n", "it is empty"),
        ("def double(x:\n    return", "not Python"),
        ("from phase00.thing import double, turned\nCASES = (1, 2)\n", "imports"),
        (
            "import importlib.util\nspec = importlib.util.spec_from_file_location('r', "
            f"'{PLACE}')\nr = importlib.util.module_from_spec(spec)\n"
            "spec.loader.exec_module(r)\ndouble, turned, CASES = r.double, r.turned, r.CASES\n",
            "not defined",
        ),
        (TOP + DOUBLE, "turned"),
        (TOP + DOUBLE + "turned = np.transpose\n", "turned"),
        ("import pytest\n" + TOP + "def double(x):\n    pytest.skip('no')\n" + TURNED, "pytest"),
    ],
    ids=["missing", "empty", "blank", "syntax", "imported", "by-path", "lacking", "alias", "skip"],
)
def test_a_file_that_is_no_own_version_is_refused_before_it_runs(
    root: Path, text: str | None, says: str
) -> None:
    verdict = judged(root, text)
    assert not verdict.passed
    assert verdict.n_passed == 0
    assert says in verdict.text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import sys\nsys.exit(0)\n", "sys.exit"),
        ("import os\nos._exit(0)\n", "os._exit"),
        ("", "no test"),
    ],
    ids=["sys-exit", "os-exit", "fine"],
)
def test_a_file_that_ends_the_process_when_it_is_imported_fails(
    root: Path, text: str, says: str
) -> None:
    verdict = judged(root, text + TOP + DOUBLE + TURNED)
    assert verdict.passed == (text == "")
    if text:
        assert verdict.n_passed == 0
        assert says in verdict.text


@pytest.mark.parametrize("call", ["os._exit(0)", "sys.exit(0)"])
def test_a_function_that_ends_the_process_fails(root: Path, call: str) -> None:
    turned = f"def turned(matrix):\n    {call}\n"
    verdict = judged(root, "import os, sys\n" + TOP + DOUBLE + turned)
    assert not verdict.passed
    assert "turned swaps rows and columns" in verdict.text


def test_a_test_that_is_skipped_fails(root: Path) -> None:
    # Static checks refuse to import pytest, so it comes in by another way.
    skip = (
        "def double(x):\n    import inspect\n    frame = inspect.currentframe()\n"
        "    while 'pytest' not in frame.f_globals:\n        frame = frame.f_back\n"
        "    frame.f_globals['pytest'].skip('later')\n"
    )
    verdict = judged(root, TOP + skip + TURNED)
    assert not verdict.passed
    assert "SKIPPED double of a number is twice it [1]" in verdict.text


def test_an_expected_test_that_does_not_report_fails(root: Path) -> None:
    verdict = judged(root, (TOP + DOUBLE + TURNED).replace("(1, 2)", "(1,)"))
    assert not verdict.passed
    assert verdict.n_passed == 3
    assert "1 expected tests did not report: double of a number is twice it [2]" in verdict.text


def test_tests_that_are_not_collected_fail(root: Path) -> None:
    verdict = judged(root, TOP + DOUBLE + TURNED + "del double\n")
    assert not verdict.passed
    assert "double of nothing is nothing" in verdict.text


def test_nothing_collected_is_a_failure() -> None:
    session = check.Session(exit_code=5, finished={"finished": 5, "loaded": {}, "opened": []})
    said = list(check._problems(session, ["a::test_b"], {}, {}, 9.0))
    assert any("no test was collected" in line for line in said)


def test_a_loop_that_does_not_end_is_stopped_and_named(root: Path) -> None:
    verdict = judged(root, TOP + "def double(x):\n    while True: pass\n" + TURNED, seconds=10.0)
    assert not verdict.passed
    assert "stopped after 10 seconds" in verdict.text
    assert "double of a number is twice it [1]" in verdict.text


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("form", ["thing.p?", "thing.*.p?c"], ids=["source", "compiled"])
def test_reading_the_references_file_at_run_time_fails(
    root: Path, relative: bool, form: str
) -> None:
    py_compile.compile(str(root / PLACE))
    where = repr("." if relative else str(root))
    sneaky = (
        "from pathlib import Path\n"
        f"texts = [file.read_bytes() for file in Path({where}).rglob({form!r})]\n"
    )
    verdict = judged(root, sneaky + TOP + DOUBLE + TURNED)
    assert not verdict.passed
    assert "own thing." in verdict.text
    assert "was opened while your file was judged" in verdict.text


def test_tests_that_load_no_file_or_another_are_no_pass() -> None:
    finished: dict = {"finished": 0, "loaded": {}, "opened": []}
    session = check.Session(collected=["a"], exit_code=0, finished=finished)
    should = {"phase00.thing": ("/tree/phase00/thing.py", "abc")}
    said = list(check._problems(session, ["a"], should, {}, 9.0))
    assert said == ["the tests never loaded phase00.thing from your file"]
    for file, sha256 in (("/other/thing.py", "abc"), ("/tree/phase00/thing.py", "abd")):
        finished["loaded"] = {"phase00.thing": {"file": file, "sha256": sha256}}
        (line,) = check._problems(session, ["a"], should, {}, 9.0)
        assert "which is not your file as it was read" in line


def test_a_test_that_lacks_its_data_set_is_counted_apart(tmp_path: Path) -> None:
    root = small_journal.make(tmp_path)
    suite = root / small_journal.TESTS
    reason = "set JOURNAL_DATA to a folder that has it"
    lacking = f"\n\n@pytest.mark.skip(reason={reason!r})\ndef test_of_data():\n    pass\n"
    suite.write_text(suite.read_text() + lacking)
    verdict = judged(root, TOP + DOUBLE + TURNED)
    assert verdict.passed
    assert f"4 of 5 passed; 1 cannot run here ({reason})" in verdict.text


def test_where_no_test_can_run_nothing_is_passed(tmp_path: Path) -> None:
    root = small_journal.make(tmp_path)
    suite = root / small_journal.TESTS
    mark = "\npytestmark = pytest.mark.skip(reason='not on this system')\n"
    suite.write_text(suite.read_text() + mark)
    verdict = judged(root, TOP + DOUBLE + TURNED)
    assert not verdict.passed
    assert verdict.n_passed == 0


def test_a_mark_that_windows_editors_put_in_front_is_no_fault(root: Path) -> None:
    assert judged(root, "\ufeff" + TOP + DOUBLE + TURNED).passed


def test_a_file_in_another_encoding_is_no_python(root: Path) -> None:
    file = root / "practice" / "phase00" / "thing.py"
    file.write_bytes(b"# caf\xe9\n" + (TOP + DOUBLE + TURNED).encode())
    verdict = check.run(root, small_journal.item(root), {"phase00.thing": file})
    assert not verdict.passed
    assert "it is not Python" in verdict.text


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("import torch", "torch"),
        ("from phase00 import other", "phase00.other"),
        ("from phase00.other import double as _other", "phase00.other"),
        ("import phase07.cross_entropy", "phase07.cross_entropy"),
        ("from phase07 import cross_entropy", "phase07.cross_entropy"),
        ("from practice.phase00 import thing", "practice"),
    ],
)
def test_what_the_module_is_written_without_cannot_be_imported(
    root: Path, line: str, says: str
) -> None:
    verdict = judged(root, f"{line}\n" + TOP + DOUBLE + TURNED)
    assert not verdict.passed
    assert f"line 1 imports {says}; phase00.thing is written without it" in verdict.text


@pytest.mark.skipif(os.name != "posix", reason="process groups are a POSIX matter")
def test_nothing_that_the_file_started_is_left_running(root: Path, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    starts = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(note)!r}, 'w').write(str(child.pid))\n"
    )
    judged(root, starts + TOP + DOUBLE + TURNED)
    process = int(note.read_text())
    for _ in range(100):
        if not psutil.pid_exists(process) or psutil.Process(process).status() == "zombie":
            return
        time.sleep(0.1)
    pytest.fail(f"process {process} still runs")


@pytest.mark.filterwarnings("error")
def test_settings_of_a_pytest_around_the_check_do_not_reach_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k nothing_at_all")
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    assert judged(root, TOP + DOUBLE + TURNED + "text = '\\d'\n").passed


def test_the_expected_tests_follow_the_module_that_they_take_their_cases_from(
    tmp_path: Path,
) -> None:
    root = small_journal.make(tmp_path)
    assert judged(root, TOP + DOUBLE + TURNED).n_expected == 4
    module = root / small_journal.MODULE
    module.write_text(module.read_text().replace("(1, 2)", "(1, 2, 3)"))
    assert judged(root, TOP + DOUBLE + TURNED).n_expected == 5


def test_what_stands_under_a_main_guard_is_the_learners_own_business(root: Path) -> None:
    guarded = "\nif __name__ == '__main__':\n    import pytest\n    import matplotlib\n"
    assert judged(root, TOP + DOUBLE + TURNED + guarded).passed


def test_a_tear_down_that_fails_is_a_failure(tmp_path: Path) -> None:
    root = small_journal.make(tmp_path)
    suite = root / small_journal.TESTS
    fixture = (
        "\n\n@pytest.fixture(autouse=True)\ndef after():\n    yield\n    assert not thing.CASES\n"
    )
    suite.write_text(suite.read_text() + fixture)
    verdict = judged(root, TOP + DOUBLE + TURNED)
    assert not verdict.passed
    assert verdict.n_passed == 0


def test_a_file_that_interrupts_the_run_is_told_so(root: Path) -> None:
    verdict = judged(root, TOP + "def double(x):\n    raise KeyboardInterrupt\n" + TURNED)
    assert not verdict.passed
    assert "the run was interrupted in 'double of a number is twice it [1]'" in verdict.text


def test_other_names_of_parameters_are_refused(root: Path) -> None:
    verdict = judged(root, TOP + "def double(number):\n    return 2 * number\n" + TURNED)
    assert not verdict.passed
    assert "double takes (x), yours (number)" in verdict.text


def test_only_the_first_case_of_a_test_is_told_and_the_others_are_counted(root: Path) -> None:
    verdict = judged(root, TOP + "def double(x):\n    return 3 * x\n" + TURNED)
    assert verdict.text.count("FAILED double of a number is twice it") == 1
    assert "other cases of the same tests that failed: double of a number is twice it: 1" in (
        verdict.text
    )


def test_what_the_file_prints_in_a_failing_test_is_shown(root: Path) -> None:
    verdict = judged(root, TOP + "def double(x):\n    print('here', x)\n    return 0\n" + TURNED)
    assert "it printed: here 1" in verdict.text


def test_an_error_on_import_is_told_with_its_line(root: Path) -> None:
    verdict = judged(root, TOP + "double_of = nothing\n" + DOUBLE + TURNED)
    assert "NameError: name 'nothing' is not defined" in verdict.text
    assert "in your phase00/thing.py, line 4" in verdict.text


REFUSES = """

def test_nothing_cannot_be_doubled():
    with pytest.raises(ValueError, match=r"\\(none\\)"):
        thing.double(None)


def test_nothing_is_near_to_one():
    assert thing.double(0.5000001) == pytest.approx(1, abs=1e-15)
"""


def test_what_should_have_been_refused_and_how_it_should_be_named_is_told(tmp_path: Path) -> None:
    root = small_journal.make(tmp_path)
    suite = root / small_journal.TESTS
    suite.write_text(suite.read_text() + REFUSES)
    text = judged(root, TOP + "def double(x):\n    return x and 2 * x\n" + TURNED).text
    assert "thing.double(None) should have been refused with a ValueError" in text
    assert "no difference" not in text
    refusing = (
        "def double(x):\n    if x is None:\n        raise ValueError('no')\n    return 2 * x\n"
    )
    text = judged(root, TOP + refusing + TURNED).text
    assert "the message should contain '(none)', but it is 'no'" in text


def test_a_check_leaves_no_file_behind_but_the_list_of_tests(tmp_path: Path) -> None:
    root = small_journal.make(tmp_path)
    before = {path for path in root.rglob("*") if path.is_file()}
    judged(root, TOP + DOUBLE + TURNED)
    after = {path for path in root.rglob("*") if path.is_file()} - before
    names = {path.relative_to(root).parts[0] for path in after if "__pycache__" not in path.parts}
    assert names == {"build", "practice"}
