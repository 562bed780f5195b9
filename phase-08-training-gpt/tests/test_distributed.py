"""Several processes take the same steps as one, with gloo on this machine."""

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from phase08 import distributed
from phase08.distributed import World

# What each process runs: a few steps of a small trainer, its losses and a weight as json.
PROGRAM = """
import json, sys, torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
import test_trainer
from phase08 import distributed
world = distributed.join(torch.device("cpu"))
trainer = test_trainer.make(test_trainer.CONFIG, world)
measured = [trainer.train_step() for _ in range(4)]
stop = distributed.any_of(world.rank == 1, world, torch.device("cpu"))
print(json.dumps({
    "losses": [m.loss for m in measured],
    "norms": [m.gradient_norm for m in measured],
    "weight": trainer.model.lm_head.weight.flatten()[:20].tolist(),
    "stop": stop,
    "told": distributed.from_main(7.0 + world.rank, world, torch.device("cpu")),
}))
distributed.barrier(world)
distributed.leave()
"""


def start_processes(size: int, *command: str, folder: Path | None = None) -> list[str]:
    """What the processes of one torchrun-like start print, rank by rank; all must end well."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = []
    for rank in range(size):
        environment = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        if size > 1:
            environment |= {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank)}
        processes.append(
            subprocess.Popen(
                [sys.executable, *command],
                env=environment,
                cwd=folder,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    answers = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * size
    return answers


def run_processes(size: int) -> list[dict]:
    answers = start_processes(size, "-c", PROGRAM, str(Path(__file__).parent))
    return [json.loads(answer) for answer in answers]


def test_two_processes_take_the_steps_of_one() -> None:
    alone, (one, two) = run_processes(1)[0], run_processes(2)
    # Dropout is on: each micro-batch drops the same values whichever process takes it.
    assert one["losses"] == two["losses"] == pytest.approx(alone["losses"], rel=1e-5)
    assert one["norms"] == two["norms"] == pytest.approx(alone["norms"], rel=1e-4)
    assert one["weight"] == two["weight"] == pytest.approx(alone["weight"], rel=1e-3, abs=1e-5)
    assert one["stop"] is two["stop"] is True
    assert alone["stop"] is False
    assert one["told"] == two["told"] == 7.0


def test_a_process_alone_talks_to_nobody() -> None:
    assert distributed.join(torch.device("cpu")) == World(rank=0, size=1, local_rank=0)
    assert World().is_main
    assert not dataclasses.replace(World(), rank=1, size=2).is_main
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = torch.tensor([1.0, 2.0, 3.0])
    distributed.average_gradients([weight], World())
    assert weight.grad.tolist() == [1.0, 2.0, 3.0]
    assert distributed.mean(2.5, World(), torch.device("cpu")) == 2.5


def test_a_run_goes_on_with_another_number_of_processes(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("the cat sat on the mat and ate the rat. " * 100)
    options = [
        *("-m", "phase08.train", "--source", "files", "--files", "text.txt"),
        *("--tokenizer", "bytes", "--n-layer", "1", "--n-head", "2", "--d-model", "16"),
        *("--block-size", "16", "--batch-size", "2", "--accumulation", "2", "--dropout", "0.2"),
        *("--steps", "12", "--warmup-steps", "2", "--save-every", "6", "--eval-every", "12"),
        *("--device", "cpu", "--dtype", "float32", "--sample-tokens", "5", "--resume"),
    ]
    (alone,) = start_processes(1, *options, "--run-dir", "alone", folder=tmp_path)
    shutil.copytree(tmp_path / "alone", tmp_path / "shared")
    for name in ("checkpoints/step-00000012", "sample.txt", "loss.svg"):
        path = tmp_path / "shared" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    main, other = start_processes(2, *options, "--run-dir", "shared", folder=tmp_path)
    assert "resumed at step 6" in main
    assert other == ""
    expected, found = (json.loads(text.splitlines()[-1]) for text in (alone, main))
    assert found["step"] == 12
    assert found["validation_loss"] == pytest.approx(expected["validation_loss"], rel=1e-5)
    assert (tmp_path / "shared" / "sample.txt").exists()
