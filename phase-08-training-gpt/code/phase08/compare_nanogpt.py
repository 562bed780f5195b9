"""Train the same small model on the same text with nanoGPT and with this trainer, in turn.

    git clone https://github.com/karpathy/nanoGPT
    (cd nanoGPT && uv run --with requests python data/shakespeare_char/prepare.py)
    uv run journal run phase08.compare_nanogpt --nanogpt nanoGPT

The recipe is the one that nanoGPT's README gives for a CPU: 4 layers, 4 heads, 128 wide, context
64, batches of 12, 2000 steps, no dropout, Shakespeare's characters, with evaluations as often and
on as many tokens as it says. Both run as processes of their own, import and preparation included,
one after the other so that both see the same machine; `--rounds` repeats that.

Our run is the preset tiny with the tokenizer char. One thing differs: our learning rate is 3e-3,
where that recipe has 1e-3, since so small a model learns more in 2000 steps at the higher one;
`--learning-rate 1e-3` compares them at the same.

What is compared: seconds of the whole process, and the validation loss. nanoGPT prints an
estimate from 20 random batches; ours is over the whole of the same held-out tenth of the text.
"""

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from journal import record, script

RECIPE = {
    **{"device": "cpu", "compile": False, "eval_iters": 20, "log_interval": 1},
    **{"block_size": 64, "batch_size": 12, "n_layer": 4, "n_head": 4, "n_embd": 128},
    **{"max_iters": 2000, "lr_decay_iters": 2000, "dropout": 0.0},
}


@dataclass(frozen=True)
class Config:
    nanogpt: Path = Path("nanoGPT")
    """a checkout of nanoGPT whose data/shakespeare_char is prepared"""
    rounds: int = 1
    """how often both are run, in turn"""
    learning_rate: float = 3e-3
    """of our run; nanoGPT's is its recipe's 1e-3"""
    record: bool = False


def main(config: Config) -> dict[str, Any]:
    """Run both `rounds` times; returns seconds and losses of each, and the ratio of the medians."""
    started = time.perf_counter()
    if not (config.nanogpt / "data" / "shakespeare_char" / "train.bin").exists():
        raise FileNotFoundError(
            f"{config.nanogpt} is no checkout of nanoGPT with data/shakespeare_char prepared; "
            f"see the commands in `uv run journal run phase08.compare_nanogpt --help`"
        )
    theirs, ours = [], []
    for number in range(config.rounds):
        theirs.append(run_nanogpt(config.nanogpt))
        ours.append(run_ours(config.learning_rate))
        print(
            f"round {number + 1}: nanoGPT {theirs[-1]['seconds']:.1f} s, loss about "
            f"{theirs[-1]['loss']:.3f}; this trainer {ours[-1]['seconds']:.1f} s, loss "
            f"{ours[-1]['loss']:.3f}"
        )
    metrics = {
        "nanogpt": theirs,
        "ours": ours,
        "nanogpt_seconds": median(theirs, "seconds"),
        "nanogpt_loss": median(theirs, "loss"),
        "ours_seconds": median(ours, "seconds"),
        "ours_loss": median(ours, "loss"),
        "time_ratio": median(ours, "seconds") / median(theirs, "seconds"),
    }
    record.write(
        __file__,
        config=config,
        metrics=metrics,
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    return metrics


def median(rounds: list[dict[str, float]], name: str) -> float:
    return statistics.median(one[name] for one in rounds)


def run_nanogpt(folder: Path) -> dict[str, float]:
    """Seconds of nanoGPT's run, and the last validation loss that it printed."""
    options = [f"--{name}={value}" for name, value in RECIPE.items()]
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "train.py", "config/train_shakespeare_char.py", *options]
        seconds, output = timed([*command, f"--out_dir={out}"], folder)
    losses = re.findall(r"val loss ([\d.]+)", output)
    if not losses:
        raise ValueError(f"nanoGPT printed no validation loss; it ended with: {output[-300:]}")
    return {"seconds": seconds, "loss": float(losses[-1])}


def run_ours(learning_rate: float) -> dict[str, float]:
    """Seconds of our run, preparation included, and the loss over the whole validation split."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "phase08.train", "--source", "shakespeare"]
        command += ["--tokenizer", "char", "--learning-rate", str(learning_rate)]
        seconds, output = timed(command, Path(folder))
    return {"seconds": seconds, "loss": json.loads(output.splitlines()[-1])["validation_loss"]}


def timed(command: list[str], folder: Path) -> tuple[float, str]:
    """Seconds and standard output of a command; a ValueError with its last words if it fails."""
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ValueError(f"{' '.join(command[:4])} failed: {done.stderr.strip()[-500:]}")
    return time.perf_counter() - started, done.stdout


if __name__ == "__main__":
    script.run(main, Config)
