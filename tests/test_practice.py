"""The learner's loop on a journal of one item: begin, judge, tick, hint, diff, run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import small_journal

from journal import cli, logbook, practice, roadmap

FILE = Path("practice/phase00/thing.py")
RIGHT = small_journal.REFERENCE.replace("return 2 * x", "return x + x")
WRONG = small_journal.REFERENCE.replace("return 2 * x", "return 3 * x")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return small_journal.make(tmp_path)


def write(root: Path, text: str) -> None:
    (root / FILE).parent.mkdir(parents=True, exist_ok=True)
    (root / FILE).write_text(text)


def journal(*arguments: str) -> int:
    """The command line in this process; its exit code."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return int(ended.value.code or 0)


def log(root: Path) -> list[dict]:
    return [json.loads(line) for line in (root / logbook.LOG).read_text().splitlines()]


def ticked(root: Path, item_id: str = "0.1") -> bool:
    return small_journal.item(root, item_id).done


# ---- practice ----------------------------------------------------------------------------


def test_practice_writes_the_stub_and_says_what_comes_next(root: Path, capsys) -> None:
    assert journal("practice", "0.1") == 0
    text = (root / FILE).read_text()
    assert 'raise Unwritten("double")' in text
    assert "CASES = (1, 2)" in text
    assert "matrix.T" not in text
    out = capsys.readouterr().out
    assert "practice/phase00/thing.py: written" in out
    assert "journal check 0.1" in out


def test_practice_leaves_what_is_there_alone_and_says_so(root: Path, capsys) -> None:
    write(root, "mine = 1\n")
    assert journal("practice", "0.1") == 0
    assert (root / FILE).read_text() == "mine = 1\n"
    assert "is there already and stays as it is" in capsys.readouterr().out


def test_fresh_on_an_untouched_stub_makes_no_copy(root: Path) -> None:
    journal("practice", "0.1")
    journal("practice", "0.1", "--fresh")
    assert [file.name for file in (root / FILE.parent).iterdir()] == ["thing.py"]


def test_a_folder_in_the_place_of_the_file_is_told(root: Path, capsys) -> None:
    (root / FILE).mkdir(parents=True)
    assert journal("practice", "0.1") == 2
    assert "is a folder" in capsys.readouterr().err
    assert journal("check", "0.1") == 1


def test_fresh_keeps_every_earlier_version(root: Path, capsys) -> None:
    for number in range(3):
        write(root, f"mine = {number}\n")
        assert journal("practice", "0.1", "--fresh") == 0
    assert "kept as practice/phase00/thing.20" in capsys.readouterr().out
    assert "Unwritten" in (root / FILE).read_text()
    copies = {file.read_text() for file in (root / FILE.parent).glob("thing.2*.py")}
    assert copies == {"mine = 0\n", "mine = 1\n", "mine = 2\n"}


@pytest.mark.parametrize(
    ("item", "says"), [("0.2", "has no module"), ("0.3", "to come"), ("0.9", "no item '0.9'")]
)
def test_practice_of_an_item_without_a_module_is_refused(
    root: Path, capsys, item: str, says: str
) -> None:
    assert journal("practice", item) == 2
    assert says in capsys.readouterr().err
    assert not (root / "practice").exists()


# ---- check -------------------------------------------------------------------------------


def test_a_passing_check_ticks_the_item_and_writes_the_evidence(root: Path, capsys) -> None:
    write(root, RIGHT)
    assert journal("check", "0.1") == 0
    assert ticked(root)
    (entry,) = log(root)
    assert entry["item"] == "0.1"
    assert entry["kind"] == "check"
    assert entry["passed"] == entry["expected"] == 4
    assert entry["files"] == logbook.hashes(root, [FILE])
    assert entry["time"] > "2020"
    assert "0.1 passes" in capsys.readouterr().out


def test_a_run_that_fails_although_every_test_passed_is_no_evidence(root: Path, capsys) -> None:
    write(root, RIGHT)
    journal("check", "0.1")
    write(
        root,
        RIGHT
        + "\nimport threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n",
    )
    assert journal("check", "0.1", "--seconds", "12") == 1
    assert logbook.states(root, roadmap.load(root))["0.1"] == "failing"
    assert journal("diff", "0.1") == 2


def test_a_failing_check_ticks_nothing_and_writes_nothing(root: Path, capsys) -> None:
    write(root, WRONG)
    assert journal("check", "0.1") == 1
    assert not ticked(root)
    assert not (root / logbook.LOG).exists()
    assert "0.1 does not pass yet" in capsys.readouterr().out


def test_a_ticked_item_whose_file_is_broken_is_stale_and_then_failing(root: Path, capsys) -> None:
    write(root, RIGHT)
    journal("check", "0.1")
    write(root, WRONG)
    capsys.readouterr()
    journal("status")
    assert "1 stale" in capsys.readouterr().out
    journal("check", "0.1")
    capsys.readouterr()
    journal("status")
    assert "1 failing" in capsys.readouterr().out


def test_check_of_a_phase_judges_what_was_begun(root: Path, capsys) -> None:
    assert journal("check", "0") == 2
    assert "begun no item of phase 0" in capsys.readouterr().err
    write(root, RIGHT)
    assert journal("check", "0") == 0
    assert ticked(root)


def test_a_file_that_was_never_begun_fails_with_the_command_to_begin_it(root: Path, capsys) -> None:
    assert journal("check", "0.1") == 1
    assert "uv run journal practice" in capsys.readouterr().out


def test_watching_yields_at_once_and_then_on_every_save(root: Path) -> None:
    write(root, WRONG)
    saves = practice.saves(root, small_journal.item(root))
    next(saves)
    write(root, RIGHT)
    next(saves)
    (root / FILE).unlink()
    next(saves)


@pytest.mark.skipif(os.name != "posix", reason="signals to another process are a POSIX matter")
def test_a_check_that_is_ended_ends_the_process_with_the_tests_too(root: Path) -> None:
    note = root / "pid"
    endless = f"import os\nopen({str(note)!r}, 'w').write(str(os.getpid()))\nwhile True: pass\n"
    write(root, RIGHT + endless)
    command = [sys.executable, "-m", "journal.cli", "check", "0.1"]
    checking = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL)
    for _ in range(600):
        if note.exists() and note.read_text():
            break
        time.sleep(0.1)
    checking.terminate()
    assert checking.wait(timeout=60) == 128 + signal.SIGTERM
    assert not psutil.pid_exists(int(note.read_text()))
    assert list((root / "build").glob("check-*")) == []


# ---- tick --------------------------------------------------------------------------------


def test_what_cannot_be_verified_is_ticked_by_hand_and_shown_so(root: Path, capsys) -> None:
    assert journal("tick", "0.2") == 0
    assert ticked(root, "0.2")
    journal("show", "0")
    assert "self-reported" in capsys.readouterr().out
    assert journal("tick", "0.2", "--undo") == 0
    assert not ticked(root, "0.2")


def test_what_tests_can_verify_is_not_ticked_by_hand(root: Path, capsys) -> None:
    assert journal("tick", "0.1") == 2
    assert "journal check 0.1" in capsys.readouterr().err
    assert journal("tick", "0.3") == 2
    assert not ticked(root)


def test_check_of_what_cannot_be_verified_says_how_to_tick_it(root: Path, capsys) -> None:
    assert journal("check", "0.2") == 2
    assert "journal tick 0.2" in capsys.readouterr().err


def test_an_item_that_is_no_code_is_ticked_from_what_it_leaves_behind(root: Path, capsys) -> None:
    path = root / "ROADMAP.md"
    read = f"  - Read: [the notes]({small_journal.FOLDER}/README.md)"
    path.write_text(
        path.read_text().replace(read, f"  - Run: [plot_thing.py]({small_journal.RUN})")
    )
    assert journal("check", "0.2") == 1
    assert "--mine --record" in capsys.readouterr().out
    assert journal("tick", "0.2") == 2
    write(root, RIGHT)
    assert run_mine(root, "--mine", "--record").returncode == 0
    assert journal("check", "0.2") == 0
    assert ticked(root, "0.2")
    (entry,) = log(root)
    assert (entry["kind"], entry["item"]) == ("evidence", "0.2")
    assert logbook.states(root, roadmap.load(root))["0.2"] == "verified"
    (root / "practice" / "phase00" / "results" / "plot_thing.json").unlink()
    assert logbook.states(root, roadmap.load(root))["0.2"] == "stale"


# ---- hint and diff -----------------------------------------------------------------------


def test_hints_come_one_by_one_and_are_remembered(root: Path, capsys) -> None:
    said = []
    for _ in range(4):
        assert journal("hint", "0.1") == 0
        said.append(capsys.readouterr().out)
    words = ["Think of adding", "Add x to itself", "Which index comes", "its own transpose"]
    assert all(word in text for word, text in zip(words, said, strict=True))
    assert "3 more" in said[0]
    assert "last one" in said[3]
    assert journal("hint", "0.1") == 2
    assert "--again" in capsys.readouterr().err
    assert journal("hint", "0.1", "--again") == 0
    again = capsys.readouterr().out
    assert all(word in again for word in words)


def test_what_is_not_written_stays_closed_also_after_a_pass(root: Path, capsys) -> None:
    suite = root / small_journal.TESTS
    suite.write_text(suite.read_text().replace("thing.turned(matrix)", "matrix.T"))
    journal("practice", "0.1")
    stub = (root / FILE).read_text()
    write(root, stub.replace('raise Unwritten("double")', "return x + x"))
    assert journal("check", "0.1") == 0
    capsys.readouterr()
    assert journal("diff", "0.1") == 0
    out = capsys.readouterr().out
    assert "return 2 * x" in out
    assert "matrix.T.copy()" not in out
    assert journal("diff", "0.1", "--reveal") == 0
    assert "matrix.T.copy()" in capsys.readouterr().out


def test_a_hint_for_one_function_is_given_by_its_name(root: Path, capsys) -> None:
    assert journal("hint", "0.1", "turned") == 0
    assert "Which index comes first" in capsys.readouterr().out
    assert journal("hint", "0.1", "twirled") == 2


def test_an_item_without_hints_says_so(root: Path, capsys) -> None:
    assert journal("hint", "0.2") == 2
    assert "0.2 has no hints" in capsys.readouterr().err


def test_the_journals_version_is_shown_only_after_passing_or_on_demand(root: Path, capsys) -> None:
    write(root, WRONG)
    assert journal("diff", "0.1") == 2
    shown = capsys.readouterr()
    assert "2 * x" not in shown.out
    assert "--reveal" in shown.err
    assert journal("diff", "0.1", "--reveal") == 0
    assert "return 2 * x" in capsys.readouterr().out
    write(root, RIGHT)
    journal("check", "0.1")
    capsys.readouterr()
    assert journal("diff", "0.1") == 0
    out = capsys.readouterr().out
    assert "return 2 * x" in out
    assert "return x + x" in out


# ---- run --mine --------------------------------------------------------------------------


def run_mine(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "journal.cli", "run", "phase00.plot_thing", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_a_script_runs_on_the_learners_module_and_says_so(root: Path) -> None:
    write(root, WRONG)  # wrong on purpose: its answer cannot come from the reference
    done = run_mine(root, "--mine")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"double of three": 9}
    assert "yours: practice/phase00/thing.py (0.1 begun)" in done.stderr
    assert json.loads(run_mine(root).stdout.splitlines()[-1]) == {"double of three": 6}


def test_what_a_run_on_the_learners_modules_records_stays_in_practice(root: Path) -> None:
    write(root, WRONG)
    done = run_mine(root, "--mine", "--record")
    assert done.returncode == 0, done.stderr
    result = root / "practice" / "phase00" / "results" / "plot_thing.json"
    assert json.loads(result.read_text())["metrics"] == {"double of three": 9}
    assert not (root / small_journal.FOLDER / "results").exists()


def test_a_module_of_which_nothing_is_written_does_not_take_part(root: Path) -> None:
    journal("practice", "0.1")
    done = run_mine(root, "--mine", "--record")
    assert done.returncode == 2
    assert "not used: practice/phase00/thing.py (nothing of it is written yet)" in done.stderr
    assert "phase00.plot_thing would run on none of your modules" in done.stderr
    assert "uv run journal practice 0.1" in done.stderr
    assert not (root / "practice" / "phase00" / "results").exists()


def test_a_module_takes_part_with_what_is_written_and_says_what_is_not(root: Path) -> None:
    journal("practice", "0.1")
    stub = (root / FILE).read_text()
    write(root, stub.replace('raise Unwritten("double")', "return 3 * x"))
    done = run_mine(root, "--mine")
    assert json.loads(done.stdout.splitlines()[-1]) == {"double of three": 9}
    assert "(0.1 begun; still to write: turned)" in done.stderr
    write(root, stub.replace('raise Unwritten("turned")', "return matrix.T"))
    assert "Unwritten: double is not written yet" in run_mine(root, "--mine").stderr


def test_mine_may_stand_before_the_script(root: Path) -> None:
    write(root, WRONG)
    command = [sys.executable, "-m", "journal.cli", "run", "--mine", "phase00.plot_thing"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout.splitlines()[-1]) == {"double of three": 9}


def test_the_copy_that_a_run_uses_cannot_be_edited_by_mistake(root: Path) -> None:
    write(root, WRONG)
    run_mine(root, "--mine")
    (copy,) = (root / "build" / "overlays").rglob("thing.py")
    assert not copy.stat().st_mode & 0o222


# ---- what is shown -----------------------------------------------------------------------


def test_show_tells_how_far_the_learners_version_is(root: Path, capsys) -> None:
    journal("show", "0.1")
    assert "practice/phase00/thing.py: not begun" in capsys.readouterr().out
    journal("practice", "0.1")
    capsys.readouterr()
    journal("next")
    assert "still to write: double, turned" in capsys.readouterr().out
    write(root, "def double(:\n")
    journal("show", "0.1")
    assert "not Python as it stands" in capsys.readouterr().out
    (root / FILE).write_bytes(b"# caf\xe9\n")
    assert journal("show", "0.1") == 0
    assert journal("diff", "0.1", "--reveal") == 2
    assert "is not UTF-8 text" in capsys.readouterr().err


def test_a_dated_copy_is_no_module_of_the_learners(root: Path) -> None:
    write(root, RIGHT)
    journal("practice", "0.1", "--fresh")
    assert [found.name for found in practice.mine(root)] == ["phase00.thing"]


def test_an_item_that_shares_the_file_is_judged_again_when_it_went_stale(root: Path) -> None:
    path = root / "ROADMAP.md"
    text = path.read_text()
    links = next(line for line in text.splitlines() if "Code:" in line)
    path.write_text(text.replace(f"  - Read: [the notes]({small_journal.FOLDER}/README.md)", links))
    assert roadmap.load(root).item("0.2").of("Code")
    write(root, RIGHT)
    journal("check", "0.2")
    write(root, RIGHT + "\n# edited\n")
    assert logbook.states(root, roadmap.load(root))["0.2"] == "stale"
    journal("check", "0.1")
    states = logbook.states(root, roadmap.load(root))
    assert (states["0.1"], states["0.2"]) == ("verified", "verified")
    assert os.environ.get("JOURNAL_PRACTICE") is None
