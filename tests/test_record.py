"""Results: where they go, what they hold, and that they name nothing of the machine's folders."""

import getpass
import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
import torch

from journal import plotting, record


class Source(Enum):
    BOOK = "book"


@dataclass(frozen=True)
class Optimizer:
    rate: float = 6e-4
    betas: tuple[float, float] = (0.9, 0.95)


@dataclass(frozen=True)
class Config:
    data: Path = Path("data/book")
    layers: int = 3
    source: Source = Source.BOOK
    optimizer: Optimizer = field(default_factory=Optimizer)
    resume: bool = False
    name: str | None = None


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of a script in a phase folder of a project; the current folder is another one."""
    package = tmp_path / "project" / "phase-08-training-gpt" / "code" / "phase08"
    package.mkdir(parents=True)
    (package / "train.py").touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return str(package / "train.py")


def test_a_normal_run_writes_under_runs_in_the_current_folder(script: str) -> None:
    path = record.write(script, config=Config(), metrics={"loss": 1.5}, seconds=2.0)
    assert path == Path.cwd() / "runs" / "phase08" / "train.json"
    assert path.is_file()


def test_a_recorded_run_writes_into_the_phases_results(script: str, tmp_path: Path) -> None:
    path = record.write(script, config=Config(), metrics={}, seconds=2.0, record=True)
    assert path == tmp_path / "project" / "phase-08-training-gpt" / "results" / "train.json"
    assert not (Path.cwd() / "runs").exists()


def test_a_name_tells_two_results_of_one_script_apart(script: str) -> None:
    for name in ("tiny", "gpt2-small"):
        path = record.write(script, config={}, metrics={}, seconds=1.0, record=True, name=name)
        assert path.name == f"train-{name}.json"
    with pytest.raises(ValueError, match="letters, digits"):
        record.write(script, config={}, metrics={}, seconds=1.0, name="../other")


@pytest.mark.parametrize("folder", ["phase-07-gpt-architecture/code/phase08", "tools", "x/phase08"])
def test_recording_outside_a_phase_folder_is_refused(tmp_path: Path, folder: str) -> None:
    script = tmp_path / folder / "train.py"
    with pytest.raises(ValueError, match="without --record"):
        record.write(str(script), config={}, metrics={}, seconds=1.0, record=True)
    assert list(tmp_path.rglob("*.json")) == []


def test_the_document_has_its_six_parts_sorted_and_indented(script: str) -> None:
    config, metrics = Config(name="Zürich"), {"z": 1, "a": {"loss": 1.25}}
    path = record.write(script, config=config, metrics=metrics, seconds=1.23456)
    text = path.read_text(encoding="utf-8")
    document = json.loads(text)
    assert list(document) == ["config", "machine", "metrics", "script", "seconds", "versions"]
    assert text == json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert document["script"] == "phase-08-training-gpt/code/phase08/train.py"
    assert document["seconds"] == 1.235
    assert document["metrics"] == {"z": 1, "a": {"loss": 1.25}}
    assert document["config"] == {
        "data": "data/book",
        "layers": 3,
        "source": "book",
        "optimizer": {"rate": 6e-4, "betas": [0.9, 0.95]},
        "resume": False,
        "name": "Zürich",
    }


def test_versions_and_machine_are_told(script: str) -> None:
    document = record.load(record.write(script, config={}, metrics={}, seconds=1.0))
    assert document["versions"]["numpy"] == np.__version__
    assert document["versions"]["torch"] == torch.__version__
    assert {"python", "journal"} < set(document["versions"])
    machine = document["machine"]
    assert machine["processor"]
    assert machine["cores"] >= 1
    assert machine["memory_gib"] >= 1
    assert isinstance(machine["memory_gib"], int)


def test_values_of_numpy_and_torch_become_numbers_and_lists(script: str) -> None:
    metrics = {
        "scalar": np.float32(0.25),
        "count": np.int64(7),
        "flag": np.bool_(True),
        "array": np.arange(6).reshape(2, 3),
        "tensor": torch.tensor([0.5, 1.5], dtype=torch.bfloat16),
        "set": {3, 1, 2},
        5: "five",
    }
    document = record.load(record.write(script, config=None, metrics=metrics, seconds=1.0))  # ty: ignore[invalid-argument-type]
    assert document["metrics"] == {
        "scalar": 0.25,
        "count": 7,
        "flag": True,
        "array": [[0, 1, 2], [3, 4, 5]],
        "tensor": [0.5, 1.5],
        "set": [1, 2, 3],
        "5": "five",
    }


@pytest.mark.parametrize(
    "bad", [float("nan"), float("inf"), np.float32("-inf"), torch.tensor(torch.nan)]
)
def test_a_number_that_is_not_finite_is_refused_by_its_key(script: str, bad: object) -> None:
    with pytest.raises(ValueError, match=r"metrics\.val\.losses\.1 is "):
        record.write(script, config={}, metrics={"val": {"losses": [1.0, bad]}}, seconds=1.0)
    assert not (Path.cwd() / "runs").exists()


def test_what_json_cannot_hold_is_refused_by_its_key(script: str) -> None:
    with pytest.raises(ValueError, match=r"config\.model is a object, which json cannot hold"):
        record.write(script, config={"model": object()}, metrics={}, seconds=1.0)
    with pytest.raises(ValueError, match="metrics has two keys"):
        record.write(script, config={}, metrics={1: 2, "1": 3}, seconds=1.0)  # ty: ignore[invalid-argument-type]


def test_no_folder_of_this_machine_lands_in_a_result(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, home, data = (tmp_path / name for name in ("project", "ada", "sets"))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("JOURNAL_DATA", str(data))
    values = {
        "inside": project / "data" / "book",
        "root": project,
        "text_inside": str(project / "runs" / "a"),
        "cwd": Path.cwd() / "runs",
        "data": data / "mnist" / "train.gz",
        "home": home / "books",
        "longer": str(tmp_path / "adam" / "books"),
        "outside": Path("/srv/secret/file.txt"),
        "text_outside": "/srv/secret/file.txt",
        "in_a_sentence": f"read from {home}/books, written to {project}/data",
        "relative": Path("data") / "book",
        "slash": "/",
        "ratio": "tokens/s",
    }
    path = record.write(script, config=values, metrics=values, seconds=1.0, record=True)
    text = path.read_text(encoding="utf-8")
    for place in (tmp_path, "/srv", socket.gethostname(), os.sep + getpass.getuser() + os.sep):
        assert str(place) not in text
    config = record.load(path)["config"]
    assert config == record.load(path)["metrics"]
    assert config == {
        "inside": "data/book",
        "root": ".",
        "text_inside": "runs/a",
        "cwd": "runs",
        "data": "$JOURNAL_DATA/mnist/train.gz",
        "home": "~/books",
        "longer": ".../books",
        "outside": ".../file.txt",
        "text_outside": ".../file.txt",
        "in_a_sentence": "read from ~/books, written to ./data",
        "relative": "data/book",
        "slash": "/",
        "ratio": "tokens/s",
    }


@pytest.mark.parametrize(("where", "step"), [(os, "fsync"), (Path, "replace")])
def test_a_write_that_fails_leaves_the_file_that_was_there(
    script: str, monkeypatch: pytest.MonkeyPatch, where: object, step: str
) -> None:
    path = record.write(script, config={}, metrics={"loss": 1.5}, seconds=1.0)
    before = path.read_bytes()

    def disk_full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(where, step, disk_full)
    with pytest.raises(OSError, match="no space left"):
        record.write(script, config={}, metrics={"loss": 2.5}, seconds=1.0)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["train.json"]


def test_a_picture_lies_beside_the_numbers(script: str) -> None:
    figure, axes = plotting.figure()
    axes.plot([1, 2, 3], [3, 1, 2])
    axes.set_title("Loss")
    path = record.write_picture(script, "loss", figure, record=True)
    numbers = record.write(script, config={}, metrics={}, seconds=1.0, record=True)
    assert path == numbers.with_name("train-loss.svg")
    assert path.read_text(encoding="utf-8").startswith("<?xml")


def test_number_formats_one_value(script: str) -> None:
    metrics = {"val_loss": 1.23456, "steps": 2000, "text": "to be", "losses": [3.5, 2.25]}
    path = record.write(script, config=Config(), metrics=metrics, seconds=1.0)
    assert record.number(path, "metrics.val_loss") == "1.235"
    assert record.number(path, "metrics.steps", ",d") == "2,000"
    assert record.number(path, "metrics.text", "") == "to be"
    assert record.number(path, "metrics.losses.1", ".1f") == "2.2"
    assert record.number(path, "config.optimizer.rate", ".0e") == "6e-04"


def test_a_key_that_is_not_there_is_answered_with_the_nearest(script: str) -> None:
    metrics = {"val_loss": 1.5, "train_loss": 1.25}
    path = record.write(script, config={}, metrics=metrics, seconds=1.0)
    with pytest.raises(ValueError, match=r"no value 'metrics\.val_lost'.*metrics\.val_loss"):
        record.number(path, "metrics.val_lost")
    with pytest.raises(ValueError, match=r"no value 'metrics'.*metrics\.train_loss"):
        record.number(path, "metrics")


def test_a_format_that_does_not_fit_names_the_key(script: str) -> None:
    metrics = {"text": "to be", "flag": True, "none": None}
    path = record.write(script, config={}, metrics=metrics, seconds=1.0)
    for key in metrics:
        with pytest.raises(ValueError, match=rf"metrics\.{key} in .* does not fit"):
            record.number(path, f"metrics.{key}", ".3f")


def test_load_says_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="with --record"):
        record.load(tmp_path / "train.json")
    (tmp_path / "train.json").write_text('{"metrics": ')
    with pytest.raises(ValueError, match=r"train\.json is not json"):
        record.load(tmp_path / "train.json")
    (tmp_path / "train.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match="holds a list"):
        record.load(tmp_path / "train.json")


def test_record_imports_neither_torch_nor_matplotlib_nor_numpy(tmp_path: Path) -> None:
    code = (
        "import sys; from journal import record; record.machine(); found = record.versions();"
        "assert 'torch' not in found; print({'torch', 'matplotlib', 'numpy'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
