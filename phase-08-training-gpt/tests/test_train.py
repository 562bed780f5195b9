"""The training script as a user runs it: its output, its exit code, its files, its signals."""

import contextlib
import errno
import io
import json
import math
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from journal import script
from phase08 import checkpoint, durable, evaluate, logs, prepare, sample, shards, train
from phase08.trainer import Trainer

SMALL = [
    *("--source", "files", "--files", "text.txt", "--tokenizer", "bytes", "--run-dir", "run"),
    *("--steps", "40", "--warmup-steps", "5", "--n-layer", "1", "--n-head", "2"),
    *("--d-model", "16", "--block-size", "16", "--batch-size", "4", "--dropout", "0.1"),
    *("--save-every", "10", "--eval-every", "10", "--eval-tokens", "64", "--sample-every", "20"),
    *("--sample-tokens", "12", "--log-every", "5", "--learning-rate", "0.01", "--threads", "1"),
    *("--device", "cpu", "--dtype", "float32"),
]

SCRIPTS: dict[str, tuple[Any, Any]] = {
    "phase08.prepare": (prepare.main, prepare.PrepareConfig),
    "phase08.train": (train.main, train.PRESETS),
    "phase08.sample": (sample.main, sample.Config),
    "phase08.evaluate": (evaluate.main, evaluate.Config),
}


def run(folder: Path, *options: str, module: str = "phase08.train") -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a script run in `folder`, as a process of its own would give.

    In this process, since importing torch takes longer than these runs do.
    """
    main, config = SCRIPTS[module]
    output, errors, code = io.StringIO(), io.StringIO(), 0
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        try:
            script.run(main, config, options)
        except SystemExit as stop:
            code = int(stop.code or 0)
    return code, output.getvalue(), errors.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text("the cat sat on the mat and ate the rat. " * 100)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a finished run, and what the run printed."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "text.txt").write_text("the cat sat on the mat and ate the rat. " * 100)
    code, output, errors = run(folder, *SMALL)
    assert code == 0, errors
    return folder, output


def refused(folder: Path, *options: str, module: str = "phase08.train") -> str:
    """The one sentence that a refused command prints; checks code 2 and that it is one line."""
    code, _, errors = run(folder, *options, module=module)
    assert code == 2, errors
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, errors
    assert "Traceback" not in errors
    return lines[0]


def test_a_run_ends_in_text_a_curve_and_metrics(trained: tuple[Path, str]) -> None:
    folder, output = trained
    metrics = json.loads(output.splitlines()[-1])
    assert metrics["finished"]
    assert metrics["step"] == 40
    assert metrics["validation_loss"] < np.log(257) - 1
    assert (folder / "run" / "sample.txt").read_text() in output
    assert (folder / "run" / "loss.svg").read_text().lstrip().startswith("<?xml")
    lines = logs.read(folder / "run" / "log.jsonl")
    assert [line["step"] for line in lines if "loss" in line] == list(range(5, 41, 5))
    assert [line["step"] for line in lines if "validation_loss" in line] == [10, 20, 30, 40]
    assert [line["step"] for line in lines if "sample" in line] == [20]
    config = json.loads((folder / "run" / "config.json").read_text())
    assert config["config"]["n_layer"] == 1
    assert config["model"]["vocab_size"] == 257


def test_what_it_will_cost_is_said_before_it_begins(trained: tuple[Path, str]) -> None:
    _, output = trained
    before = output[: output.index("validation loss")]
    for word in ("parameters", "memory", "device"):
        assert word in before.lower()


def test_a_finished_run_started_again_shows_its_text(trained: tuple[Path, str]) -> None:
    folder, output = trained
    code, again, errors = run(folder, *SMALL)
    assert code == 0, errors
    assert "this run is finished" in again
    assert (folder / "run" / "sample.txt").read_text() in again
    ours, theirs = (json.loads(text.splitlines()[-1]) for text in (again, output))
    assert ours["validation_loss"] == theirs["validation_loss"]


def test_sigterm_saves_and_resume_ends_in_the_same_bytes(
    folder: Path, trained: tuple[Path, str]
) -> None:
    options = [*SMALL, "--steps", "200", "--save-every", "1000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "phase08.train", *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = folder / "run" / "log.jsonl"
    give_up = time.monotonic() + 100
    while time.monotonic() < give_up and not (log.exists() and "loss" in log.read_text()):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    stopped = json.loads(output.splitlines()[-1])
    assert stopped["finished"] is False
    assert 0 < stopped["step"] < 200
    assert checkpoint.latest(folder / "run" / "checkpoints").state["step"] == stopped["step"]

    assert "--resume" in refused(folder, *options)
    code, output, errors = run(folder, *options, "--resume")
    assert code == 0, errors
    assert f"resumed at step {stopped['step']}" in output
    code, output, errors = run(folder, *options, "--run-dir", "straight")
    assert code == 0, errors
    for name in ("model.safetensors", "optimizer.safetensors"):
        one, two = (
            (folder / run / "checkpoints" / "step-00000200" / name).read_bytes()
            for run in ("run", "straight")
        )
        assert one == two, name
    steps = [line["step"] for line in logs.read(log) if "loss" in line]
    assert steps == sorted(set(steps))


def test_a_torn_checkpoint_falls_back_to_the_one_before_and_says_so(
    folder: Path,
) -> None:
    assert run(folder, *SMALL)[0] == 0
    expected = (folder / "run/checkpoints/step-00000040/model.safetensors").read_bytes()
    torn = folder / "run/checkpoints/step-00000040/model.safetensors"
    torn.write_bytes(torn.read_bytes()[:-9])
    code, output, errors = run(folder, *SMALL, "--resume")
    assert code == 0, errors
    assert str(Path("run/checkpoints/step-00000040/model.safetensors")) in output
    assert "resumed at step 30" in output
    assert torn.read_bytes() == expected


def test_a_folder_of_another_run_is_refused_and_kept(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    before = sorted((folder / "run").rglob("*"))
    said = refused(folder, *SMALL, "--n-layer", "2", "--seed", "7")
    assert "n_layer is 1 there and 2 here" in said
    assert "seed is 1337 there and 7 here" in said
    assert "--run-dir" in said
    assert "--overwrite" in said
    assert sorted((folder / "run").rglob("*")) == before


def test_overwriting_keeps_the_old_run_under_another_name(folder: Path) -> None:
    assert run(folder, *SMALL)[0] == 0
    old = (folder / "run" / "log.jsonl").read_bytes()
    code, output, errors = run(folder, *SMALL, "--seed", "7", "--overwrite")
    assert code == 0, errors
    (kept,) = folder.glob("run-before-*")
    assert kept.name in output
    assert (kept / "log.jsonl").read_bytes() == old
    assert json.loads((folder / "run" / "config.json").read_text())["config"]["seed"] == 7


@pytest.mark.kept
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preset", "tniy"], "there is no preset 'tniy'; did you mean tiny?"),
        (["--data-dir", "nowhere"], "no data is prepared in nowhere"),
        (["--source", "fineweb-edu", "--tokenizer", "gpt2"], "--source fineweb-edu"),
        (["--source", "shakespear", "--files"], "shakespeare"),
        (["--block-size", "4000", "--batch-size", "1"], "tokens, fewer than one window"),
        (["--top-k", "0"], "top_k"),
        (["--temperature", "-1"], "temperature"),
        (["--clip", "-1"], "clip must be at least 0, not -1"),
        (["--d-model", "15"], "d_model must be a multiple of n_head, got 15 and 2"),
        (["--warmup-steps", "40"], "warmup_steps must be 0 or more and below total_steps 40"),
    ],
)
def test_bad_input_gets_one_sentence(folder: Path, options: list[str], message: str) -> None:
    assert message in refused(folder, *SMALL, *options)
    assert not (folder / "run").exists()


@pytest.mark.kept
def test_a_device_that_is_not_there_is_named(folder: Path) -> None:
    missing = "mps" if torch.cuda.is_available() else "cuda"
    assert missing in refused(folder, *SMALL, "--device", missing)


def test_damaged_data_is_refused(folder: Path) -> None:
    assert run(folder, *SMALL)[0] == 0
    data = folder / "data" / "files-bytes"
    (shard,) = data.glob("*train*.bin")
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-6])
    assert shard.name in refused(folder, *SMALL, "--run-dir", "other")
    shard.write_bytes(whole[:-6] + b"\x07\x00\x07\x00\x07\x00")
    assert "sha256" in refused(folder, *SMALL, "--run-dir", "other")
    shard.write_bytes(whole)
    manifest = data / shards.MANIFEST
    manifest.write_text(re.sub(r'("tokens": )(\d+)', r"\g<1>7", manifest.read_text(), count=1))
    assert "manifest" in refused(folder, *SMALL, "--run-dir", "other")
    assert not (folder / "other").exists()


def test_other_files_under_the_same_name_are_refused(folder: Path) -> None:
    assert run(folder, *SMALL)[0] == 0
    (folder / "other.txt").write_text("another text, quite another one. " * 200)
    said = refused(folder, *SMALL, "--files", "other.txt", "--run-dir", "other")
    assert "was prepared from other files" in said
    assert (
        run(
            folder, *SMALL[:3], "other.txt", *SMALL[4:6], "--out", "other", module="phase08.prepare"
        )[0]
        == 0
    )
    assert "the prepared data is another" in refused(folder, *SMALL, "--data-dir", "other")
    said = refused(folder, *SMALL, "--data-dir", "other", "--tokenizer", "char")
    assert "was prepared with --tokenizer bytes, not char" in said


def test_a_folder_that_is_no_run_is_not_taken_over(folder: Path) -> None:
    (folder / "run" / "checkpoints").mkdir(parents=True)
    assert "holds checkpoints or a log but no config.json" in refused(folder, *SMALL)


def test_a_run_keeps_its_tokenizer_and_can_be_sampled_without_its_data(
    trained: tuple[Path, str], tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(trained[0] / "run", moved)
    options = ("--run-dir", str(moved), "--tokens", "5", "--device", "cpu")
    code, said, errors = run(tmp_path, *options, module="phase08.sample")
    assert code == 0, errors
    assert "no data is prepared" not in said
    (moved / "config.json").write_text((moved / "config.json").read_text().replace("bytes", "char"))
    said = refused(tmp_path, *options, module="phase08.sample")
    assert "config.json was altered" in said


def test_a_run_carries_the_merges_that_were_learned_for_it(folder: Path) -> None:
    learned = [*SMALL, "--tokenizer", "bpe", "--vocab-size", "270"]
    code, output, errors = run(folder, *learned)
    assert code == 0, errors
    data = folder / "data" / "files-bpe-270"
    manifest = shards.Manifest.read(data)
    config = json.loads((folder / "run" / "config.json").read_text())
    assert config["model"]["vocab_size"] == manifest.vocab_size == 270
    assert config["tokenizer"] == manifest.tokenizer
    metrics = json.loads(output.splitlines()[-1])
    val = shards.open_split(data, "val")
    n_bytes = manifest.splits["val"].bytes
    assert metrics["validation_tokens"] == len(val) - 1 < n_bytes
    nats = metrics["validation_loss"] * metrics["validation_tokens"]
    assert metrics["bits_per_byte"] == pytest.approx(nats / n_bytes / math.log(2))
    again = (*learned[:-2], "--data-dir", str(data), "--run-dir", "other")
    said = refused(folder, *again, "--vocab-size", "280")
    assert "was prepared with --vocab-size 270, not 280" in said
    (folder / "more.txt").write_text("another text, quite another one. " * 200)
    other = ("--source", "files", "--files", "more.txt", "--tokenizer", "bpe", "--out", "more")
    assert run(folder, *other, module="phase08.prepare")[0] == 0
    on_it = ("--run-dir", "run", "--data-dir", "more", "--device", "cpu")
    assert "only the model's own fits" in refused(folder, *on_it, module="phase08.evaluate")
    shutil.rmtree(folder / "data")
    options = ("--run-dir", "run", "--tokens", "5", "--prompt", "naïve ", "--device", "cpu")
    code, said, errors = run(folder, *options, module="phase08.sample")
    assert code == 0, errors
    assert said.startswith("naïve ")


@pytest.mark.parametrize("which", ["last", "best"])
def test_a_damaged_checkpoint_is_passed_over_when_sampling(
    trained: tuple[Path, str], tmp_path: Path, which: str
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(trained[0] / "run", moved)
    newest = sorted((moved / "checkpoints").iterdir())[-1]
    (newest / "model.safetensors").write_bytes(b"torn")
    options = ("--run-dir", str(moved), "--tokens", "5", "--checkpoint", which)
    code, said, errors = run(tmp_path, *options, module="phase08.sample")
    assert code == 0, errors
    assert "model.safetensors" in said


@pytest.mark.parametrize(("answer", "goes_on"), [("", True), ("y", True), ("n", False)])
def test_it_asks_whether_to_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, answer: str, goes_on: bool
) -> None:
    assert run(folder, *SMALL)[0] == 0
    shutil.rmtree(folder / "run" / "checkpoints" / "step-00000040")
    monkeypatch.setattr("sys.stdin", Terminal(answer + "\n"))
    code, output, errors = run(folder, *SMALL)
    assert "stopped at step 30. Go on from there? [Y/n]" in output
    assert code == (0 if goes_on else 2)
    assert ("resumed at step 30" in output) == goes_on
    assert ("go on with --resume" in errors) == (not goes_on)


class Terminal(io.StringIO):
    """A standard input that somebody types into."""

    def isatty(self) -> bool:
        return True


def test_only_a_run_in_one_go_is_recorded(trained: tuple[Path, str]) -> None:
    said = refused(trained[0], *SMALL, "--record")
    assert "--record wants a run in one go" in said
    assert "--overwrite" in said


@pytest.mark.kept
def test_overwriting_a_stopped_run_does_not_come_back_on_resume(folder: Path) -> None:
    assert "choose one" in refused(folder, *SMALL, "--overwrite", "--resume")


def test_a_loss_that_is_not_finite_stops_and_names_the_checkpoint(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accumulate = Trainer._accumulate

    def broken(self: Trainer, micro: int, share: float) -> torch.Tensor:
        loss = accumulate(self, micro, share)
        return loss * math.nan if self.step == 25 else loss

    monkeypatch.setattr(Trainer, "_accumulate", broken)
    said = refused(folder, *SMALL)
    assert "at step 25 the loss is nan" in said
    assert "the step was not taken" in said
    assert "last good checkpoint: run/checkpoints/step-00000020" in said
    assert "--resume" in said
    assert checkpoint.latest(folder / "run" / "checkpoints").complaints == []


def test_weights_that_blew_up_are_never_saved(folder: Path) -> None:
    options = ["--learning-rate", "1e30", "--clip", "0", "--warmup-steps", "0"]
    said = refused(folder, *SMALL, *options, "--save-every", "1")
    assert "there is no checkpoint yet: start with a lower --learning-rate" in said
    assert not list((folder / "run").glob("checkpoints/step-*"))


def test_a_full_disk_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = durable.write

    def full(path: Path, content: Any) -> None:
        if "step-00000020" in str(path) and path.name == "optimizer.safetensors":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(durable, "write", full)
        said = refused(folder, *SMALL)
    assert "No space left on device" in said
    assert "make room and run the same command" in said
    assert [path.name for path in (folder / "run" / "checkpoints").iterdir()] == ["step-00000010"]
    code, output, errors = run(folder, *SMALL, "--resume")
    assert code == 0, errors
    assert "resumed at step 10" in output


def test_sampling_a_run_gives_the_same_text_for_the_same_seed(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    options = ["--run-dir", "run", "--prompt", "the cat", "--tokens", "30", "--seed", "3"]
    one = run(folder, *options, module="phase08.sample")
    two = run(folder, *options, module="phase08.sample")
    assert one[0] == two[0] == 0, one[2]
    assert one[1].startswith("the cat")
    assert one[1].splitlines()[:-1] == two[1].splitlines()[:-1]
    assert 0 < json.loads(one[1].splitlines()[-1])["tokens"] <= 30


def test_evaluating_a_run_gives_the_loss_that_training_ended_with(
    trained: tuple[Path, str],
) -> None:
    folder, output = trained
    code, said, errors = run(
        folder,
        "--run-dir",
        "run",
        "--device",
        "cpu",
        "--dtype",
        "float32",
        module="phase08.evaluate",
    )
    assert code == 0, errors
    found = json.loads(said.splitlines()[-1])
    final = json.loads(output.splitlines()[-1])
    assert found["loss"] == pytest.approx(final["validation_loss"], rel=1e-5)
    assert found["tokens"] == final["validation_tokens"]


def test_sampling_what_is_no_run_says_what_to_do(tmp_path: Path) -> None:
    said = refused(tmp_path, "--run-dir", "nothing", module="phase08.sample")
    assert "uv run journal train" in said
