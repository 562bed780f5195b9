"""What this machine has for the journal, what will not work on it, and what to do about that.

`examine` yields findings one by one, the slow ones last. The last one is for accelerators: on
some, a linear layer from 768 to 50304 features has been wrong for large batches, which shows only
as a loss that does not fall. So its logits and gradients, at the size at which GPT-2 Small trains,
are compared with the CPU's.

Left out: measuring speed (phase08.benchmark) and what a run will need (phase08.budget).
"""

import importlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from journal import data, record, roadmap

if TYPE_CHECKING:
    import torch

PYTHON_FROM, PYTHON_BELOW = (3, 11), (3, 14)
MEMORY_GB, DISK_GB = 4, 5
ROWS, D_MODEL, VOCABULARY = 8 * 1024, 768, 50304  # 8 sequences of 1024 tokens; 50257 padded
SAMPLE = 331  # compared of each; prime, so that the stride falls into no block's rhythm
TOLERANCES = {"float32": 1e-3, "bfloat16": 2e-2}
ASK_PHASE_8 = "from phase08 import devices; print(devices.choose().reason)"


@dataclass(frozen=True)
class Finding:
    """One thing looked at: "ok", "note" (something will not work) or "fails" (nothing will)."""

    subject: str
    found: str
    advice: str = ""
    needed: bool = False

    @property
    def verdict(self) -> str:
        if not self.advice:
            return "ok"
        return "fails" if self.needed else "note"


def examine(root: Path) -> Iterator[Finding]:
    """Everything about this machine that matters to the journal at `root`."""
    yield python()
    machine = record.machine()
    yield Finding("System", f"{platform.platform()}")
    yield Finding("Processor", f"{machine['processor']}, {machine['cores']} cores")
    yield memory(psutil.virtual_memory().total, psutil.virtual_memory().available)
    yield disk(Path.cwd())
    yield compiler()
    yield uv(root)
    try:
        yield vocabulary()
        yield data_sets()
    except FileNotFoundError as error:  # JOURNAL_DATA is set to what is no folder
        yield Finding("Data sets", "cannot be looked for", f"{error}.", needed=True)
    torch = torch_version()
    yield torch
    if torch.verdict == "ok":
        yield training_device(root)
        yield from accelerators()


# ---- without torch -----------------------------------------------------------------------


def python(version: tuple[int, int] = sys.version_info[:2]) -> Finding:
    found = platform.python_version() if version == sys.version_info[:2] else f"{version}"
    if PYTHON_FROM <= version < PYTHON_BELOW:
        return Finding("Python", found)
    advice = "The journal needs Python 3.11, 3.12 or 3.13: `uv python install 3.11`."
    return Finding("Python", found, advice, needed=True)


def memory(total: int, available: int) -> Finding:
    found = f"{total / 1e9:.1f} GB, {available / 1e9:.1f} GB of them free"
    if total >= MEMORY_GB * 1e9:
        return Finding("Memory", found)
    advice = (
        "Small models train here. GPT-2 Small does not: its 124M parameters, their gradients and "
        "AdamW's two moments take 2 GB before any activation."
    )
    return Finding("Memory", found, advice)


def disk(folder: Path, free: int | None = None) -> Finding:
    free = shutil.disk_usage(folder).free if free is None else free
    found = f"{free / 1e9:.1f} GB free"
    if free >= DISK_GB * 1e9:
        return Finding("Disk", found)
    advice = (
        "Free some, or run in another folder: a checkpoint of GPT-2 Small takes 1.5 GB, and a "
        "billion prepared tokens 2 GB."
    )
    return Finding("Disk", found, advice)


def compiler() -> Finding:
    """The C++ compiler that torch.compile calls on a CPU."""
    named = os.environ.get("CXX")
    for name in [named] if named else ["c++", "g++", "clang++", "cl"]:
        if path := shutil.which(name):
            return Finding("C++ compiler", path)
    advice = "Training on the CPU runs uncompiled, which is slower: install g++ or clang."
    return Finding("C++ compiler", f"CXX is {named}, not found" if named else "none", advice)


def uv(root: Path) -> Finding:
    for path in (shutil.which("uv"), shutil.which("uv", path=str(root / ".tools" / "bin"))):
        if path:
            return Finding("uv", path)
    advice = "`make setup` installs it into .tools/; the `uv run` commands need it."
    return Finding("uv", "not found", advice)


def vocabulary() -> Finding:
    """GPT-2's vocabulary, without which tiktoken would download it."""
    missing = [name for name in data.TIKTOKEN_FILES if data.find(name) is None]
    if not missing:
        return Finding("GPT-2 vocabulary", "here")
    advice = (
        "--tokenizer gpt2 will download it; `uv run journal data fetch tiktoken-cache` does so now."
    )
    return Finding("GPT-2 vocabulary", "not here", advice)


def data_sets() -> Finding:
    """How many of the data sets are here; none is needed to begin with."""
    sets = data.list_sets()
    here = [found.name for found in sets if found.present]
    found = f"{len(here)} of {len(sets)} here" + (f": {', '.join(here)}" if here else "")
    if here:
        return Finding("Data sets", found)
    advice = "They are downloaded when first used; `uv run journal data list` shows them."
    return Finding("Data sets", found, advice)


# ---- with torch --------------------------------------------------------------------------


def torch_version() -> Finding:
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:
        advice = "Phases 6 to 9 need it: `make setup`, or `uv sync`, installs it."
        return Finding("torch", f"cannot be imported ({error})", advice, needed=True)
    return Finding("torch", torch.__version__)


def training_device(root: Path) -> Finding:
    """What the trainer would choose, in its own words: phase 8 is asked in a process of its own."""
    command = [sys.executable, "-c", ASK_PHASE_8]
    environment = roadmap.environment(root)
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if answer.returncode == 0:
        return Finding("Training runs on", answer.stdout.strip())
    reason = (answer.stderr.strip().splitlines() or ["no reason given"])[-1]
    advice = f"Phase 8 could not choose a device: {reason}"
    return Finding("Training runs on", "unknown", advice, needed=True)


def accelerators() -> Iterator[Finding]:
    """Compare CPU and device on GPT-2's last layer, for each kind of accelerator that is here."""
    import torch

    kinds = [("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())]
    here = [kind for kind, is_there in kinds if is_there]
    if not here:
        yield Finding("CPU and device", "no accelerator here to compare with the CPU")
    for kind in here:
        for precision in TOLERANCES:
            yield compared(torch.device(kind), getattr(torch, precision))


def compared(
    device: "torch.device",
    dtype: "torch.dtype",
    *,
    rows: int = ROWS,
    d_in: int = D_MODEL,
    d_out: int = VOCABULARY,
) -> Finding:
    """Whether this device's linear layer agrees with the CPU's at these sizes."""
    precision = str(dtype).removeprefix("torch.")
    subject = f"CPU and {device.type}"
    layer = f"{d_in} -> {d_out}, {rows} rows, {precision}"
    try:
        differences = linear_differences(device, dtype, rows, d_in, d_out)
    except (RuntimeError, TypeError) as error:  # out of memory, or a dtype that it lacks
        reason = str(error).partition("\n")[0]
        advice = f"Could not be compared ({reason}); train with a smaller --batch-size at first."
        return Finding(subject, layer, advice)
    part, worst = max(differences.items(), key=lambda pair: pair[1])
    found = f"{layer}: largest relative difference {worst:.1e} ({part})"
    if worst <= TOLERANCES[precision]:
        return Finding(subject, found)
    advice = (
        f"This device computes {part} wrongly at this size: update torch and the system, and "
        "until then train with --device cpu."
    )
    return Finding(subject, found, advice, needed=True)


def linear_differences(
    device: "torch.device", dtype: "torch.dtype", rows: int, d_in: int, d_out: int
) -> dict[str, float]:
    """Largest difference from the CPU, relative to the largest value, of each of four results.

    The device computes in full. The CPU, in float32, computes a sample: whole rows of the logits
    and of the gradient of x, which depend on nothing but their own row, and whole rows of the
    gradients of the parameters, each of which sums over all rows of x. A NaN counts as infinite.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    shapes = {"x": (rows, d_in), "weight": (d_out, d_in), "bias": (d_out,), "dy": (rows, d_out)}
    given = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    given["weight"] *= 0.02
    there = {name: value.to(device, dtype) for name, value in given.items()}
    x, weight, bias, dy = (value.to(dtype).float() for value in given.values())
    for name in ("x", "weight", "bias"):
        there[name].requires_grad_()
    y = torch.nn.functional.linear(there["x"], there["weight"], there["bias"])
    y.backward(there["dy"])
    row = torch.arange(0, rows, max(1, rows // SAMPLE))
    out = torch.arange(0, d_out, max(1, d_out // SAMPLE))
    row[-1], out[-1] = rows - 1, d_out - 1
    expected: dict[str, tuple[Any, torch.Tensor, torch.Tensor]] = {
        "logits": (y, row, x[row] @ weight.T + bias),
        "the gradient of x": (there["x"].grad, row, dy[row] @ weight),
        "the gradient of the weight": (there["weight"].grad, out, dy[:, out].T @ x),
        "the gradient of the bias": (there["bias"].grad, out, dy[:, out].sum(0)),
    }
    result = {}
    for name, (found, chosen, wanted) in expected.items():
        difference = (found.detach()[chosen.to(device)].cpu().float() - wanted).abs().max()
        relative = (difference / wanted.abs().max()).item()
        result[name] = relative if relative == relative else float("inf")
    return result
