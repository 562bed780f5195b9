"""Mutants: generated where a change matters, run in a tiny project, counted, kept, explained."""

import json
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from journal import forked, mutants, mutation
from journal.mutants import Config

MODULE = '''\
"""Sums and clamps; has no `1 + 1` of its own."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    LIMIT = 1 + 2

Vector = list[float]


def total(values: Vector, start: float = 0.0) -> float:
    """The sum, start + values."""
    if len(values) == 0:
        raise ValueError(f"expected values, got {len(values)}")
    result = start
    for value in values:
        result += value
    return result


def clamp(value: float, low: float, high: float) -> float:
    """value, but between low and high."""
    if value < low:
        return low
    return high if value > high else value
'''
TOTAL_TESTS = """\
import pytest
from phase00.sums import total

def test_total_adds_to_start():
    assert total([2.0, 3.0]) == 5.0
    assert total([2.0], start=4.0) == 6.0

def test_total_of_nothing_is_refused():
    with pytest.raises(ValueError, match="expected values, got 0"):
        total([])
"""
CLAMP_TESTS = """\
from phase00.sums import clamp

def test_clamp_raises_what_is_too_low():
    assert clamp(1.0, 2.0, 3.0) == 2.0
    assert clamp(2.5, 2.0, 3.0) == 2.5
    assert clamp(4.0, 2.0, 3.0) == 3.0
"""
WEAK_TESTS = """\
from phase00.sums import clamp, total

def test_something_comes_out():
    assert total([1.0]) is not None
    assert clamp(1.0, 0.0, 2.0) is not None
"""
ROADMAP = """\
## Phase 0: Sums
Folder: [phase-00-sums](phase-00-sums/)

**Goal.** Sums.

**Prerequisites.** None.

### Items
- [ ] **0.1 Sums.** Sums and clamps.
  - Code: [sums.py](phase-00-sums/code/phase00/sums.py) \
· Tests: [test_total.py](phase-00-sums/tests/test_total.py), \
[test_clamp.py](phase-00-sums/tests/test_clamp.py)
"""
EQUIVALENT = """\
[[equivalent]]
module = "sums"
function = "clamp"
before = "if value < low:"
after = "if value <= low:"
reason = "at the limit both branches return the same number"

[[equivalent]]
module = "sums"
function = "clamp"
before = "return high if value > high else value"
after = "return high if value >= high else value"
reason = "at the limit both branches return the same number"
"""
PLANTED = """\
[[planted]]
module = "sums"
why = "the sum is overwritten"
before = "result += value"
after = "result = value + start"
"""


def write(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def runners():
    """One pair of servers for all tests here, since they take seconds to start."""
    started = forked.Runners([], mutants.SIDE_BY_SIDE)
    yield started
    started.close()


@pytest.fixture
def project(tmp_path, monkeypatch, runners):
    """A finished phase 0 with one module, two functions, and a good test file for each."""
    lent = SimpleNamespace(run=runners.run, close=lambda: None)
    monkeypatch.setattr(mutants, "Runners", lambda preload, count: lent)
    write(tmp_path, "ROADMAP.md", ROADMAP)
    write(tmp_path, "phase-00-sums/README.md", "# Sums\n")
    write(tmp_path, "phase-00-sums/code/phase00/__init__.py", "")
    write(tmp_path, "phase-00-sums/code/phase00/sums.py", MODULE)
    write(tmp_path, "phase-00-sums/tests/test_total.py", TOTAL_TESTS)
    write(tmp_path, "phase-00-sums/tests/test_clamp.py", CLAMP_TESTS)
    write(tmp_path, "phase-00-sums/mutants.toml", EQUIVALENT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def result(root):
    path = root / "runs" / "phase00" / "mutants.json"
    return json.loads(path.read_text(encoding="utf-8"))["metrics"]["sums"]


def kept(root):
    return root / "build" / "mutants" / "phase00.sums.jsonl"


def keys(root):
    return [json.loads(line)["key"] for line in kept(root).read_text().splitlines()]


# ---- which mutants there are -------------------------------------------------------------


def test_generated_mutants_change_what_the_code_does():
    changes = {(m.function, m.before, m.after) for m in mutation.generate("phase00.sums", MODULE)}
    assert ("total", "result += value", "result -= value") in changes
    assert ("total", "result += value", "result = value") in changes
    assert ("clamp", "if value < low:", "if value <= low:") in changes
    assert ("total", "if len(values) == 0:", "if len(values) == 1:") in changes


def test_no_mutant_touches_docstrings_annotations_or_the_wording_of_messages():
    text = MODULE + '\n\ndef unit(name: "str XX" = "nats") -> str:\n    return "two words" + name\n'
    lines = [m.before for m in mutation.generate("phase00.sums", text)]
    for left_out in ('"""', "TYPE_CHECKING", "LIMIT", "Vector =", "ValueError"):
        assert not [line for line in lines if left_out in line], left_out
    strings = [m.after for m in mutation.generate("phase00.sums", text) if m.function == "unit"]
    assert 'def unit(name: "str XX" = "XXnatsXX") -> str:' in strings
    assert not [line for line in strings if "XXtwo" in line or "XXstr" in line]


def test_arguments_are_left_out_where_that_may_go_unnoticed():
    text = "def f(x, n):\n    return g(x, n, axis=0, keepdims=True).split(x, 1)\n"
    found = {m.after.removeprefix("return g").split(".split")[0] for m in of_calls(text)}
    assert {"(x, n, keepdims=True)", "(x, n, axis=0, )", "(x, axis=0, keepdims=True)"} <= found
    assert not [arguments for arguments in found if "None" in arguments or "(n" in arguments]


def of_calls(text):
    return [mutant for mutant in mutation.generate("phase00.sums", text) if mutant.line == 2]


def test_no_two_mutants_have_the_same_text_and_each_differs_in_its_line_alone():
    found = mutation.generate("phase00.sums", MODULE)
    assert len({mutant.text for mutant in found}) == len(found)
    original = MODULE.splitlines()
    for mutant in found:
        assert original[mutant.line - 1].strip() == mutant.before
        changed = mutant.text.splitlines()
        assert changed[mutant.line - 1].strip() == mutant.after
        assert changed[: mutant.line - 1] == original[: mutant.line - 1]
        assert changed[mutant.line :] == original[mutant.line :]


def test_a_change_in_a_call_over_several_lines_keeps_the_other_lines():
    call = "return max(\n            x + 1,\n            x * 2,\n        )"
    text = f"def f(x):\n    if x:\n        {call}\n"
    found = {(m.line, m.before, m.after): m.text for m in mutation.generate("phase00.sums", text)}
    assert found[5, "x * 2,", "x / 2,"] == text.replace("x * 2", "x / 2")
    assert found[4, "x + 1,", "x - 1,"] == text.replace("x + 1", "x - 1")


def test_the_sample_follows_from_the_seed_and_the_text():
    found = mutation.generate("phase00.sums", MODULE)
    chosen = mutation.sample(found, 5, 0, MODULE)
    assert len(chosen) == 5
    assert chosen == mutation.sample(found, 5, 0, MODULE)
    assert chosen != mutation.sample(found, 5, 1, MODULE)
    assert chosen != mutation.sample(found, 5, 0, MODULE + "\n")
    assert mutation.sample(found, len(found), 0, MODULE) == found


# ---- running them ------------------------------------------------------------------------


def test_good_tests_kill_every_mutant(project, capsys):
    write(project, "phase-00-sums/mutants.toml", EQUIVALENT + PLANTED)
    mutants.main(Config(phase=0))
    found = result(project)
    assert found["survived"] == 0
    assert found["share"] == 1.0
    assert found["equivalent"] == 2
    assert found["killed"] == found["run"] == found["generated"] - 2 > 5
    assert (found["planted"], found["planted_killed"]) == (1, 1)
    printed = capsys.readouterr().out
    assert json.loads(printed.splitlines()[-1]) == {"phase00": {"sums": found}}
    assert "survived:" not in printed
    assert printed.splitlines()[1].split()[0] == "sums"


def test_survivors_of_weak_tests_are_shown_with_function_and_line(project, capsys):
    write(project, "phase-00-sums/tests/test_clamp.py", WEAK_TESTS)
    write(project, "phase-00-sums/mutants.toml", EQUIVALENT)
    with pytest.raises(SystemExit) as left:
        mutants.main(Config())
    assert left.value.code == 1
    printed = capsys.readouterr().out
    line = MODULE.splitlines().index("    if value < low:") + 2
    assert (
        f"survived: phase00.sums, clamp, line {line + 1}\n- return high if value > high" in printed
    )
    assert "value >= high" not in printed  # it is listed as equivalent
    assert "survived: phase00.sums, total" not in printed
    assert "of the mutants, less than the 90 % due" in printed


def test_a_low_share_of_an_unfinished_phase_is_told_but_is_no_failure(project, capsys):
    (project / "phase-00-sums" / "mutants.toml").unlink()  # a phase owes it when it is written
    write(project, "phase-00-sums/README.md", "# Sums\n\nStatus: in progress\n")
    write(project, "phase-00-sums/tests/test_total.py", WEAK_TESTS)
    write(project, "phase-00-sums/tests/test_clamp.py", WEAK_TESTS)
    mutants.main(Config(phase=0, sample=5))
    assert "survived: phase00.sums, total" in capsys.readouterr().out
    assert result(project)["share"] < 0.9
    with pytest.raises(ValueError, match="no phase is written yet: name one with --phase"):
        mutants.main(Config())


def test_a_planted_mistake_that_survives_is_a_failure(project, capsys):
    write(project, "phase-00-sums/tests/test_total.py", WEAK_TESTS)
    write(project, "phase-00-sums/mutants.toml", PLANTED)
    with pytest.raises(SystemExit):
        mutants.main(Config(phase=0, sample=1))
    printed = capsys.readouterr().out
    assert "the mistake survives, planted: the sum is overwritten" in printed
    assert "- result += value\n+ result = value + start" in printed
    assert result(project)["planted_killed"] == 0


def test_a_hang_and_a_module_that_cannot_be_imported_count_as_killed(project):
    looping = PLANTED.replace("result = value + start", "while True: pass")
    broken = looping.replace("result += value", "def clamp(").replace("while True: pass", "def (")
    write(project, "phase-00-sums/mutants.toml", looping + broken)
    subject = mutants.prepare(*project_and_plan(project), Config(sample=1))[0]
    subject.mutants = []
    mutants.run(project, [subject], 6)
    assert [subject.verdicts[mutant] for mutant in subject.planted] == ["hung", "broke"]
    subject.mutants = subject.planted
    assert subject.share == 1.0


def project_and_plan(root):
    plan = mutants.roadmap.load(root)
    return root, plan, plan.phase(0)


def test_tests_that_fail_on_the_module_itself_stop_everything(project):
    write(project, "phase-00-sums/tests/test_clamp.py", CLAMP_TESTS.replace("== 2.5", "== 2.6"))
    message = r"tests of phase00.sums fail \(exit code 1\) on the module as it is; see to `uv run"
    with pytest.raises(ValueError, match=message):
        mutants.main(Config(phase=0))
    assert not kept(project).exists()


def test_the_same_verdicts_without_forking(project, monkeypatch):
    mutants.main(Config(phase=0, sample=1))
    first = result(project)
    kept(project).unlink()
    monkeypatch.setattr(mutants, "Runners", forked.Runners)
    monkeypatch.setattr(forked, "CAN_FORK", False)
    mutants.main(Config(phase=0, sample=1))
    assert result(project) == first


# ---- what the phase lists ----------------------------------------------------------------


def test_an_equivalent_entry_that_matches_no_mutant_is_an_error(project):
    stale = EQUIVALENT.replace('after = "if value <= low:"', 'after = "if value != low:"')
    write(project, "phase-00-sums/mutants.toml", stale)
    message = "'if value < low:' -> 'if value != low:' is none .* there are: if value <= low:"
    with pytest.raises(ValueError, match=message):
        mutants.main(Config(phase=0))


def test_a_planted_text_must_stand_in_the_module_just_once(project):
    write(project, "phase-00-sums/mutants.toml", PLANTED.replace('"result += value"', '"value"'))
    with pytest.raises(ValueError, match=r"replaces 'value', which stands .* \d+ times"):
        mutants.main(Config(phase=0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (EQUIVALENT.replace('reason = "at', 'why = "at'), "equivalent entry 1 has .* must have"),
        (PLANTED.replace('why = "the sum is overwritten"', 'why = ""'), "entry 1 has no why"),
        (PLANTED.replace('"sums"', '"sum"'), "names the module phase00.sum; did you mean"),
        ("[[equal]]\n", "has the table equal; known are equivalent and planted"),
        ("[equivalent\n", "mutants.toml is not toml"),
    ],
)
def test_a_list_that_is_not_as_agreed_is_refused(project, text, message):
    write(project, "phase-00-sums/mutants.toml", text)
    with pytest.raises(ValueError, match=message):
        mutants.main(Config(phase=0))


# ---- going on, and recording -------------------------------------------------------------


def test_a_killed_run_goes_on_where_it_was(project):
    command = [sys.executable, "-m", "journal.mutants", "--phase", "0"]
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not kept(project).exists() or len(keys(project)) < 2):
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = keys(project)
    with kept(project).open("a", encoding="utf-8") as stream:
        stream.write('{"key": "half a li')  # killed while it wrote
    mutants.main(Config(phase=0))
    found = result(project)
    lines = kept(project).read_text().splitlines()
    assert len(lines) == found["run"] + 1
    lines.remove('{"key": "half a li')
    after = [json.loads(line)["key"] for line in lines]
    assert 2 <= len(done) < len(after)
    assert after[: len(done)] == done
    assert len(set(after)) == len(after)
    assert found["share"] == 1.0


def test_finished_mutants_are_not_run_again_until_a_test_changes(project):
    mutants.main(Config(phase=0, sample=2))
    first, metrics = keys(project), result(project)
    mutants.main(Config(phase=0, sample=2))
    assert keys(project) == first
    assert result(project) == metrics
    write(project, "phase-00-sums/tests/test_total.py", TOTAL_TESTS + "\n# another text\n")
    mutants.main(Config(phase=0, sample=2))
    assert len(set(keys(project))) == 2 * len(first)


def test_record_writes_into_the_phases_results(project):
    mutants.main(Config(phase=0, sample=2, record=True))
    written = json.loads((project / "phase-00-sums/results/mutants.json").read_text())
    assert written["script"] == "journal/mutants.py"
    assert written["config"]["sample"] == 2
    assert written["metrics"]["sums"]["share"] == 1.0
    assert written["seconds"] > 0
    assert str(project) not in json.dumps(written)
    with pytest.raises(ValueError, match="--record is for whole phases"):
        mutants.main(Config(module="phase00.sums", record=True))


def test_a_module_without_an_item_is_named_with_the_nearest(project):
    with pytest.raises(ValueError, match=r"library module phase00\.sum; did you mean"):
        mutants.main(Config(module="phase00.sum"))
