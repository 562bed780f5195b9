"""The commands of the journal, as a user meets them: what they print, and their exit codes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from journal import cli, data

BOX_DRAWING = {chr(code) for code in range(0x2500, 0x2580)}

ECHO = """
import json, sys
from phase02 import helper
if __name__ == "__main__":
    print(json.dumps(sys.argv[1:]))
    sys.exit(helper.CODE)
"""

WAIT = """
import signal, sys, time
from pathlib import Path
def stop(number, frame):
    with Path("signals").open("a") as file:
        file.write(f"{number} ")
    time.sleep(0.3)  # saving takes a while: whoever started this must wait for it
    Path("saved").touch()
    sys.exit(5)
if __name__ == "__main__":
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A journal of nine phases with one item each (four in phase 8), phase 2 and 8 written."""
    text = []
    for number in range(9):
        name = f"phase-{number:02}-name"
        (tmp_path / name / "code" / f"phase{number:02}").mkdir(parents=True)
        text.append(
            f"## Phase {number}: Topic {number}\nFolder: [{name}]({name}/)\n\n"
            f"**Goal.** See [topic] {number}.\n\n**Prerequisites.** None.\n\n### Items\n"
        )
        for item in range(1, 5 if number == 8 else 2):
            text.append(f"- [ ] **{number}.{item} Thing {number}.** What it [is].\n  - it works\n")
            if number == 2:
                script = "phase-02-name/code/phase02/train_echo.py"
                text.append(f"  - Read: [notes](notes.md) · Run: [train_echo.py]({script})\n")
        if number == 8:
            text.append("  - Run: [train.py](phase-08-name/code/phase08/train.py)\n")
    text.append(
        "## Milestones\n\n| Year | Milestone | Phase | Needs | Run | Must reach |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        "| 1957 | Perceptron | 1 | 1.1, 2.1 | to come | 95 % |\n"
    )
    (tmp_path / "ROADMAP.md").write_text("".join(text), encoding="utf-8")
    files = {"02/__init__": "", "02/helper": "CODE = 7\n", "02/train_echo": ECHO}
    files |= {"02/train_wait": WAIT, "08/__init__": "", "08/train": ECHO}
    for name, code in files.items():
        number, stem = name.split("/")
        folder = tmp_path / f"phase-{number}-name" / "code" / f"phase{number}"
        (folder / f"{stem}.py").write_text(f'"""Says what {stem} does."""\n{code}')
    elsewhere = tmp_path / "somewhere" / "below"
    elsewhere.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    return tmp_path


def journal(*arguments, **options):
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "journal.cli", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", timeout=120, **options
    )


def call(capsys, *arguments):
    """Run the command in this process: (exit code, standard output, standard error)."""
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    out, err = capsys.readouterr()
    return left.value.code, out, err


def tick(root, *ids):
    path = root / "ROADMAP.md"
    text = path.read_text(encoding="utf-8")
    for item_id in ids:
        text = text.replace(f"- [ ] **{item_id} ", f"- [x] **{item_id} ")
    path.write_text(text, encoding="utf-8")


# ---- where the learner stands ------------------------------------------------------------


def test_status_of_a_fresh_clone_welcomes_and_names_three_commands(root):
    answer = journal()
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "Transformers from scratch" in answer.stdout
    assert "12 things to build, in 9 phases" in answer.stdout.replace("\n", " ")
    for command in ("journal train ", "journal next ", "journal show 2.1 "):
        assert command in answer.stdout
    lines = [line.split() for line in answer.stdout.splitlines()]
    assert ["0", "Topic", "0", "." * 20, "0", "of", "1", "to", "come"] in lines
    assert ["2", "Topic", "2", "." * 20, "0", "of", "1", "written"] in lines
    assert "0.1 Thing 0 (to come)" in answer.stdout
    assert "The first one that is written: 2.1 Thing 2" in answer.stdout
    assert "1957  Perceptron  0 of 2 needed, 1.1, 2.1 lack; scripts to come" in answer.stdout


def test_output_is_plain_text_where_it_is_no_terminal(root):
    for arguments in ([], ["--help"]):
        answer = journal(*arguments)
        assert not BOX_DRAWING & set(answer.stdout)
        assert "\x1b" not in answer.stdout
        long = [line for line in answer.stdout.splitlines() if len(line) > 100]
        assert not [line for line in long if not line.startswith("usage: ")]


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are a POSIX matter")
def test_output_has_bars_and_colours_on_a_terminal(root):
    import pty

    master, slave = pty.openpty()
    variables = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    variables.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "journal.cli", "status"]
    process = subprocess.Popen(command, stdout=slave, stderr=slave, stdin=slave, env=variables)
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 4096):
            shown += chunk
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(master)
    assert process.wait(timeout=60) == 0
    assert "\x1b[1m" in shown.decode()
    assert BOX_DRAWING & set(shown.decode())


def test_status_with_ticks_counts_them_and_welcomes_no_more(root, capsys):
    tick(root, "0.1", "1.1", "2.1")
    code, out, _ = call(capsys, "status")
    assert code == 0
    assert "3 of 12 items done (3 self-reported)." in out
    assert "Three commands" not in out
    lines = [line.split() for line in out.splitlines()]
    assert ["0", "Topic", "0", "#" * 20, "1", "of", "1", "to", "come"] in lines
    assert "3.1 Thing 3 (to come)" in out
    assert "1957  Perceptron  reached" in out


def test_next_shows_what_is_due_and_what_can_be_done(root, capsys):
    code, out, _ = call(capsys, "next")
    assert code == 0
    assert out.startswith("0.1 Thing 0 (to come)")
    assert "2.1 Thing 2 (open)" in out
    assert "Run:   uv run journal run phase02.train_echo" in out


def test_next_says_so_where_everything_is_ticked(root, capsys):
    tick(root, *(f"{number}.1" for number in range(9)), "8.2", "8.3", "8.4")
    assert call(capsys, "next")[:2] == (0, "Every item is ticked.\n")


def test_show_prints_an_item_with_its_brackets_and_links(root, capsys):
    code, out, _ = call(capsys, "show", "2.1")
    assert code == 0
    assert "Phase 2: Topic 2, in phase-02-name/" in out
    assert "What it [is]." in out
    assert "  - it works" in out
    assert "Read:  notes.md" in out
    assert "To come" in call(capsys, "show", "0.1")[1]


def test_show_prints_a_phase(root, capsys):
    code, out, _ = call(capsys, "show", "8")
    assert code == 0
    assert "See [topic] 8." in out
    assert "8.3  Thing 8  to come" in out
    assert "8.4  Thing 8  open" in out


def test_status_imports_nothing_heavy(root):
    code = (
        "import sys\nfrom journal import cli\n"
        "try: cli.main(['status'])\n"
        "except SystemExit as left: assert left.code == 0\n"
        "heavy = {'torch', 'matplotlib', 'datasets', 'numpy', 'pooch', 'transformers'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.endswith("heavy: []\n")


# ---- mistakes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["stats"], "no command 'stats'; did you mean status?"),
        (["show", "xyz"], "no item 'xyz' in ROADMAP.md; an id looks like 2.3"),
        (["xyz"], "no command 'xyz'; there are status, next, show, practice, check, hint"),
        (["show", "8.44"], "no item '8.44' in ROADMAP.md; did you mean 8.4"),
        (["show", "11"], "no phase 11; the phases are 0 to 8"),
        (["run", "phase02.train_ecko"], "no script 'phase02.train_ecko'; did you mean phase02.tr"),
        (["run", "train_wait"], "no script 'train_wait'; did you mean phase02.train_wait?"),
        (["run", "json.tool"], "no script 'json.tool'; `uv run journal run` lists them"),
        (["run", "phase02.helper"], "phase02.helper is a library module, not a script"),
        (["data", "fetsch"], "no data command 'fetsch'; did you mean fetch?"),
        (["data", "fetch", "mnits"], "no data set 'mnits'; did you mean mnist"),
        (["data", "verify", "mnits"], "no data set 'mnits'; did you mean mnist"),
        (["data", "verify", "xyz"], "no data set 'xyz'; there are tinyshakespeare, mnist, "),
        (["data", "fetch", "xyz/a.txt"], "no data set 'xyz'; there are tinyshakespeare, mnist, "),
    ],
)
def test_mistake_is_one_sentence_and_exit_code_2(root, capsys, arguments, advice):
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert advice in err
    assert err.count("\n") == 1


def test_mistake_leaves_no_traceback_in_a_process_of_its_own(root):
    answer = journal("show", "2.11")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == "error: there is no item '2.11' in ROADMAP.md; did you mean 2.1?\n"


def test_broken_roadmap_is_named_with_its_line(root, capsys):
    path = root / "ROADMAP.md"
    path.write_text(path.read_text(encoding="utf-8").replace("**1.1 ", "**1.2 "), encoding="utf-8")
    code, _, err = call(capsys, "status")
    assert code == 2
    assert "ROADMAP.md, line 19: ids go up by one within a phase: 1.1 comes here" in err


def test_help_of_a_script_names_the_command_and_no_path(root):
    script = root / "phase-02-name" / "code" / "phase02" / "train_config.py"
    script.write_text(
        '"""Trains."""\nfrom dataclasses import dataclass\nfrom journal import script\n'
        "@dataclass\nclass Config:\n    steps: int = 3\n"
        "def main(config):\n    return {}\n"
        'if __name__ == "__main__":\n    script.run(main, Config)\n'
    )
    answer = journal("run", "phase02.train_config", "--help")
    assert answer.returncode == 0
    assert answer.stdout.startswith("usage: journal run phase02.train_config [-h]")
    assert str(root) not in answer.stdout


def test_train_without_its_link_is_to_come(root, capsys):
    path = root / "ROADMAP.md"
    path.write_text(path.read_text(encoding="utf-8").replace("  - Run: [train.py]", "  - x "))
    code, _, err = call(capsys, "train")
    assert code == 2
    assert "the training script is to come: item 8.4 of ROADMAP.md has no Run link" in err


# ---- running the phases ------------------------------------------------------------------


@pytest.mark.parametrize("command", [["run", "phase02.train_echo"], ["train"]])
def test_arguments_reach_the_script_untouched_and_its_exit_code_comes_back(root, command):
    arguments = ["--help", "--source", "a b", "--", "--x=[red]", ""]
    answer = journal(*command, *arguments)
    assert json.loads(answer.stdout) == arguments
    assert answer.returncode == 7


def test_run_without_a_module_lists_the_scripts(root, capsys):
    code, out, _ = call(capsys, "run")
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert ["phase02.train_echo", "Says", "what", "train_echo", "does."] in rows
    assert "helper" not in out


@pytest.mark.skipif(os.name != "posix", reason="signals to another process are a POSIX matter")
@pytest.mark.parametrize(
    ("send", "number"),
    [
        pytest.param(os.killpg, signal.SIGINT, id="Ctrl-C in a terminal, which meets the group"),
        pytest.param(os.kill, signal.SIGINT, id="SIGINT to the command alone"),
        pytest.param(os.kill, signal.SIGTERM, id="SIGTERM to the command alone"),
    ],
)
def test_signal_reaches_the_script_once_and_its_end_is_waited_for(root, send, number):
    command = [sys.executable, "-m", "journal.cli", "run", "phase02.train_wait"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            send(process.pid, number)
            assert process.wait(timeout=60) == 5
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert Path("saved").exists()
    assert Path("signals").read_text() == f"{int(number)} "


def test_reader_that_leaves_early_is_no_error(root):
    command = [sys.executable, "-m", "journal.cli"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


# ---- data --------------------------------------------------------------------------------


@pytest.fixture
def planted_data(root, monkeypatch):
    """A registry of one set, one of whose two files is here."""
    registry = root / "registry.toml"
    registry.write_text(
        '[songs]\nabout = "two songs"\nlicence = "CC0"\n\n[songs.files."one.txt"]\nbytes = 3\n'
        'local_only = "it is ours"\n'
        'content = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"\n\n'
        '[songs.files."two.txt"]\nbytes = 3\nlocal_only = "it is ours"\ncontent = "00"\n'
    )
    (root / "own" / "songs").mkdir(parents=True)
    (root / "own" / "songs" / "one.txt").write_text("foo")
    monkeypatch.setattr(data, "REGISTRY", registry)
    monkeypatch.setenv("JOURNAL_DATA", str(root / "own"))
    monkeypatch.setenv("JOURNAL_CACHE", str(root / "cache"))
    return root / "own" / "songs"


@pytest.mark.parametrize("command", [["data"], ["data", "list"]])
def test_data_lists_what_is_here_and_where_it_is_from(planted_data, capsys, command):
    code, out, _ = call(capsys, *command)
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert ["songs", "0.0", "1", "of", "2", "two", "songs"] in rows
    assert ["local", "only"] in rows
    assert ["licence:", "CC0"] in rows


def test_data_fetch_prints_the_path_and_refuses_what_has_no_address(planted_data, capsys):
    code, out, _ = call(capsys, "data", "fetch", "songs/one.txt")
    assert (code, out) == (0, f"{planted_data.resolve() / 'one.txt'}\n")
    code, _, err = call(capsys, "data", "fetch", "songs")
    assert code == 2
    assert "songs/two.txt is not on this machine and has no public address (it is ours)" in err


def test_data_verify_ends_in_1_where_a_file_is_damaged(planted_data, capsys):
    code, out, _ = call(capsys, "data", "verify")
    assert (code, out.splitlines()[-1]) == (0, "1 ok, 1 missing, 0 damaged")
    (planted_data / "two.txt").write_text("bar")
    code, out, _ = call(capsys, "data", "verify", "songs")
    assert (code, out.splitlines()[-1]) == (1, "1 ok, 0 missing, 1 damaged")
    assert "damaged  songs/two.txt" in out
