"""Kill the trainer at random moments and damage its files: nothing is lost, nothing goes unseen.

`make torture` runs this file. Minutes long, so it is not part of `make test`.
"""

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from phase08 import checkpoint, shards
from phase08.run_folder import CONFIG, RunFolder

RUNS = 20
DAMAGES = 50
STEPS = 150
COMMAND = [
    *(sys.executable, "-m", "phase08.train", "--source", "files", "--tokenizer", "bytes"),
    *("--files", "text.txt", "--run-dir", "run", "--steps", str(STEPS), "--warmup-steps", "10"),
    *("--n-layer", "2", "--n-head", "2", "--d-model", "32", "--block-size", "32"),
    *("--batch-size", "4", "--accumulation", "2", "--dropout", "0.2", "--threads", "1"),
    *("--save-every", "7", "--eval-every", "25", "--eval-tokens", "256", "--log-every", "5"),
    *("--sample-every", "60", "--sample-tokens", "20", "--keep-last", "3", "--resume"),
    *("--device", "cpu", "--dtype", "float32"),
]


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        COMMAND, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(folder: Path) -> float:
    """Run to the end; returns the seconds that it took."""
    started = time.perf_counter()
    process = start(folder)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return time.perf_counter() - started


def make_folder(root: Path, name: str) -> Path:
    folder = root / name
    folder.mkdir()
    rng = random.Random(0)
    words = ["whale", "sea", "ship", "captain", "and", "the", "of", "white", "harpoon", "sails"]
    text = "\n".join(" ".join(rng.choices(words, k=9)) for _ in range(1500))
    (folder / "text.txt").write_text(text)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """What a run leaves that must not depend on how often it was killed."""
    last = folder / "run" / "checkpoints" / f"step-{STEPS:08d}"
    files = [*last.iterdir(), folder / "run" / "sample.txt"]
    return {file.name: file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    folder = make_folder(tmp_path_factory.mktemp("torture"), "undisturbed")
    return folder, finish(folder)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_runs_killed_at_random_moments_end_in_the_same_bytes(
    undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    reference, seconds = undisturbed
    expected = contents(reference)
    rng = random.Random(20)
    killed = 0
    for number in range(RUNS):
        folder = make_folder(tmp_path, f"run-{number}")
        process = start(folder)
        moment = rng.uniform(0, seconds)
        try:
            process.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            killed += 1
        there = sorted(p.name for p in folder.glob("run/checkpoints/*"))
        finish(folder)
        assert contents(folder) == expected, f"run {number}, killed after {moment:.2f} s"
        print(f"run {number}: killed after {moment:.2f} s at {there[-1:]}, same bytes")
        shutil.rmtree(folder)
    assert killed >= RUNS * 3 // 4, "the machine was too quick for the moments that were drawn"


def damage(file: Path, rng: random.Random) -> str:
    """One random damage to a file; returns what was done."""
    content = file.read_bytes()
    at = rng.randrange(len(content))
    kind = rng.choice(["flip", "cut", "zeros", "append", "remove"])
    if kind == "flip":
        new = content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]
    elif kind == "cut":
        new = content[:at]
    elif kind == "zeros":
        new = content[:at] + bytes(len(content[at : at + 64])) + content[at + 64 :]
        if new == content:  # there were only zeros
            new = content[:at] + b"\1" + content[at + 1 :]
    else:
        new = content + b"\0"
    if kind == "remove":
        file.unlink()
    else:
        file.write_bytes(new)
    return f"{kind} at {at} of {len(content)} bytes of {file.name}"


@pytest.mark.slow
def test_every_random_damage_is_detected(undisturbed: tuple[Path, float], tmp_path: Path) -> None:
    reference, _ = undisturbed
    rng = random.Random(50)
    data_name = next((reference / "data").iterdir()).name
    for number in range(DAMAGES):
        folder = tmp_path / str(number)
        last = folder / "run" / "checkpoints" / f"step-{STEPS:08d}"
        data = folder / "data" / data_name
        shutil.copytree(reference, folder)
        files = [*last.iterdir(), folder / "run" / CONFIG, *data.glob("*.bin")]
        files = sorted([*files, data / shards.MANIFEST])
        done = damage(rng.choice(files), rng)
        detected = False
        try:
            RunFolder(folder / "run").read()
            path, _, complaints = checkpoint.latest(last.parent)
            detected = path != last and bool(complaints)
            for split in ("train", "val", "test"):
                shards.open_split(data, split, verify=True)
        except (ValueError, FileNotFoundError) as error:
            detected = True
            done += f": {error}"
        assert detected, done
        print(f"damage {number}: {done}: detected")
        shutil.rmtree(folder)
