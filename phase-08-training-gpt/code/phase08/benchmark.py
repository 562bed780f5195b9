"""How fast whole training steps run here, as a share of what this machine's products can do.

    uv run python -m phase08.benchmark --preset gpt2-small --batch-size 4 --block-size 512
    uv run python -m phase08.benchmark --preset gpt2-small --ablate --record

A whole step is what the trainer does with one micro-batch of random tokens: gradients to None,
forward and backward through `GPT.loss`, the norm clipped at 1, a fused AdamW update. Its work is
`budget.flops_per_token` (6 N + 12 L H D T) for every token; its speed is compared with the best of
ten products of two 4096 x 4096 matrices in the same precision, measured before and after the steps
in a process of its own, whose matrices do not count in the peak memory of this one.

Dropout is off unless `--dropout 0.1` asks for it: inside attention, torch has no CPU kernel for it
that does not hold the T x T weights (see `budget.activations_per_token`).

`--ablate` runs the same benchmark again with one thing changed at a time, each in a process of its
own. Left out: reading data (`phase08.batches` takes microseconds) and several processes.
"""

import dataclasses
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from journal import record, script
from phase07.cross_entropy import CHUNK_LOGITS, linear_cross_entropy
from phase07.gpt import GPT, PRESETS, GPTConfig
from phase08 import allocator, budget, devices
from phase08.devices import Device
from phase08.optimizer import make_adamw
from phase08.trainer import compile_blocks

CLIP = 1.0
CHUNK = 256  # rows of logits at a time in `GPT.loss`, for the vocabulary of GPT-2
ALIASES = {"gpt2-small": "gpt2"}


@dataclass(frozen=True)
class BenchmarkConfig:
    """What is measured, and with which of the measures that make it fast or small."""

    preset: str = "gpt2-small"
    """a model of phase 7: gpt2-small, gpt2-medium, ..., tiny"""
    batch_size: int = 4
    block_size: int = 512
    """tokens in a sequence, at most the preset's"""
    dropout: float = 0.0
    steps: int = 5
    """steps that are timed"""
    warmup: int = 2
    """steps before them: the first compiles and allocates"""
    seed: int = 1337

    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    threads: int = 0
    """CPU threads; 0 for all cores"""
    chunk: int = CHUNK
    """rows of logits at a time; 0 for all of them, through F.cross_entropy"""
    fused: bool = True
    """AdamW in one pass over memory; off, torch's loop over tensors"""
    attention: Literal["sdpa", "explicit"] = "sdpa"
    give_back: bool = True
    """freed tensors leave the process (phase08.allocator)"""
    huge_pages: bool = True
    """large tensors in pages of 2 MB (phase08.allocator); off, a new process is started for it"""
    product_size: int = 4096
    """rows and columns of the matrices whose product is the peak"""

    ablate: bool = False
    """run again with one thing changed at a time"""
    record: bool = False
    """write the numbers into the phase's results/"""


# One change at a time: a name, and the options that make it.
ABLATIONS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "compiled": {"compile": "on"},
    "not compiled": {"compile": "off"},
    "all logits at once": {"chunk": 0},
    "AdamW not fused": {"fused": False},
    "attention written out": {"attention": "explicit"},
    "glibc's own threshold": {"give_back": False},
    "pages of 4 kB": {"huge_pages": False},
    "dropout 0.1": {"dropout": 0.1},
}


# --- one step ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class StepTimes:
    """Seconds of one step and of its parts."""

    forward: float
    backward: float
    clip: float
    optimizer: float

    @property
    def whole(self) -> float:
        return self.forward + self.backward + self.clip + self.optimizer


class Step:
    """A training step over one batch, made once and run many times."""

    def __init__(self, config: BenchmarkConfig, device: Device) -> None:
        self.device = device
        torch.manual_seed(config.seed)
        self.model = GPT(model_config(config)).to(device.device)
        self.parameters = list(self.model.parameters())
        self.optimizer = make_adamw(
            self.model, 6e-4, betas=(0.9, 0.95), weight_decay=0.1, device=device.device
        )
        if not config.fused:
            for group in self.optimizer.param_groups:
                group["fused"], group["foreach"] = False, False
        shape = (config.batch_size, config.block_size + 1)
        tokens = torch.randint(self.model.config.vocab_size, shape)  # (B, T + 1)
        tokens = tokens.to(device.device)
        self.ids, self.targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
        if device.compile:
            compile_blocks(self.model)
        self.loss = loss_function(self.model, config.chunk)

    def run(self) -> tuple[float, StepTimes]:
        """The loss in nats a token before the update, and how long the parts took."""
        clock = Clock(self.device)
        self.optimizer.zero_grad()
        with devices.autocast(self.device):
            loss = self.loss(self.ids, self.targets)
        forward = clock.lap()
        loss.backward()
        backward = clock.lap()
        torch.nn.utils.clip_grad_norm_(self.parameters, CLIP)
        clip = clock.lap()
        self.optimizer.step()
        return loss.item(), StepTimes(forward, backward, clip, clock.lap())


class Clock:
    """Seconds since the last lap, the device having finished."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.lap()

    def lap(self) -> float:
        devices.synchronize(self.device)
        now = time.perf_counter()
        passed, self.last = now - getattr(self, "last", now), now
        return passed


def model_config(config: BenchmarkConfig) -> GPTConfig:
    """The model that is measured; a ValueError for one that cannot be."""
    name = ALIASES.get(config.preset, config.preset)
    if name not in PRESETS:
        known = [*ALIASES, *PRESETS]
        raise ValueError(f"there is no preset {config.preset!r}; {script.suggestion(name, known)}")
    preset = PRESETS[name]
    for field in ("batch_size", "steps", "block_size", "product_size"):
        if getattr(config, field) < 1:
            raise ValueError(f"{field} must be at least 1, not {getattr(config, field)}")
    for field in ("chunk", "threads", "warmup"):
        if getattr(config, field) < 0:
            raise ValueError(f"{field} must not be negative, not {getattr(config, field)}")
    if config.block_size > preset.block_size:
        raise ValueError(
            f"{config.preset} reads at most {preset.block_size} tokens at a time, "
            f"not {config.block_size}; choose a smaller --block-size"
        )
    return dataclasses.replace(preset, dropout=config.dropout, attention=config.attention)


def loss_function(model: GPT, chunk: int) -> Callable[[Tensor, Tensor], Tensor]:
    """`model.loss` with `chunk` rows of logits at a time; 0 for all, as most trainers do it."""

    def chunked(ids: Tensor, targets: Tensor) -> Tensor:
        hidden = model.hidden(ids).flatten(0, 1)  # (B T, C)
        return linear_cross_entropy(hidden, model.lm_head.weight, targets.flatten(), chunk)

    def whole(ids: Tensor, targets: Tensor) -> Tensor:
        logits = model(ids).flatten(0, 1)  # (B T, V)
        return torch.nn.functional.cross_entropy(logits, targets.flatten())

    if chunk == CHUNK_LOGITS // model.config.vocab_size:
        return model.loss
    return chunked if chunk else whole


# --- measuring --------------------------------------------------------------------------------


def choose_device(config: BenchmarkConfig) -> Device:
    """The device; on a CPU, compiled only in bfloat16. In float32 it gained no time here: products
    take nine tenths of it. The narrower they are, the more the rest weighs."""
    device = devices.choose(config.device, config.dtype, "off")
    worth = device.dtype != torch.float32
    return devices.choose(config.device, config.dtype, config.compile, worth_compiling=worth)


def product_peak(config: BenchmarkConfig) -> float:
    """FLOP/s of the best of ten products of two square matrices, in the precision of the step."""
    if config.threads:
        torch.set_num_threads(config.threads)
    device = devices.choose(config.device, config.dtype, "off")
    return devices.measure_peak_flops(device, n=config.product_size, repeats=10)


def in_a_new_process(function: Callable[..., float], *arguments: Any) -> float:
    """What a function returns in a fresh process, whose memory is its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def measure(config: BenchmarkConfig) -> dict[str, Any]:
    """The numbers of one benchmark; says what it does on the way."""
    model = model_config(config)  # before anything slow, for the error's sake
    if config.threads:
        torch.set_num_threads(config.threads)
    if config.give_back:
        allocator.give_back_freed_memory()
    device = choose_device(config)
    print(f"device: {device.reason}")
    peak_before = in_a_new_process(product_peak, config)
    step = Step(config, device)
    times, first, loss = [], None, float("nan")
    for number in range(config.warmup + config.steps):
        loss, timed = step.run()
        first = first or timed.whole
        if number >= config.warmup:
            times.append(timed)
        print(f"step {number + 1}: {timed.whole:.2f} s, loss {loss:.3f}", flush=True)
    memory = devices.peak_memory(device)
    peak_after = in_a_new_process(product_peak, config)

    tokens = config.batch_size * config.block_size
    flops = tokens * budget.flops_per_token(model, config.block_size)
    peak = max(peak_before, peak_after)
    median = statistics.median(timed.whole for timed in times)
    best = min(timed.whole for timed in times)
    planned = budget.step_memory(
        model, config.batch_size, config.block_size, device.dtype, config.chunk or tokens
    )
    return {
        "parameters": budget.parameters_by_formula(model),
        "device": device.type,
        "dtype": str(device.dtype).removeprefix("torch."),
        "compiled": device.compile,
        "huge_pages": allocator.huge_pages(),
        "threads": torch.get_num_threads(),
        "tokens_per_step": tokens,
        "flops_per_token": flops // tokens,
        "seconds_median": median,
        "seconds_best": best,
        "seconds_first": first,
        "tokens_per_second": tokens / median,
        "tokens_per_second_best": tokens / best,
        "model_flops_per_second": flops / median,
        "product_flops_per_second_before": peak_before,
        "product_flops_per_second_after": peak_after,
        "share_of_peak": flops / median / peak,
        "share_of_peak_best": flops / best / peak,
        "peak_memory_bytes": memory,
        "budget_memory_bytes": sum(planned.values()),
        "last_loss": loss,
        "breakdown_seconds": {
            field.name: statistics.median(getattr(timed, field.name) for timed in times)
            for field in dataclasses.fields(StepTimes)
        },
    }


def ablate(config: BenchmarkConfig) -> dict[str, Any]:
    """The benchmark with one thing changed at a time, each in a process of its own."""
    rows = {}
    for name, change in ABLATIONS.items():
        changed = dataclasses.replace(config, **change, ablate=False, record=False)
        print(f"--- {name} ---", flush=True)
        rows[name] = run_apart(changed)
    return rows


def run_apart(config: BenchmarkConfig) -> dict[str, Any]:
    """Run this script with a config in a new process, showing what it says; its last line, read."""
    command = [sys.executable, "-m", "phase08.benchmark", *options(config)]
    environment = os.environ | {allocator.HUGE_PAGES: str(int(config.huge_pages))}
    last = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        for line in child.stdout or ():
            print(last, end="", flush=True)
            last = line
    if child.returncode:
        raise ValueError(f"the benchmark failed in its own process: {' '.join(command[1:])}")
    return json.loads(last)


def needs_a_new_process(config: BenchmarkConfig) -> bool:
    """Whether this process was started with another setting of what torch reads but once."""
    return sys.platform == "linux" and config.huge_pages != allocator.huge_pages()


def options(config: BenchmarkConfig) -> list[str]:
    """The command line of a config: every value as an option."""
    words = []
    for field in dataclasses.fields(config):
        name, value = field.name.replace("_", "-"), getattr(config, field.name)
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        else:
            words += [f"--{name}", str(value)]
    return words


# --- in words ---------------------------------------------------------------------------------


def report(metrics: dict[str, Any]) -> str:
    """The numbers as lines to be read."""
    parts = metrics["breakdown_seconds"]
    of_step = ", ".join(f"{name} {value:.2f} s" for name, value in parts.items())
    peak = max(
        metrics["product_flops_per_second_before"], metrics["product_flops_per_second_after"]
    )
    rows = [
        (
            "tokens/s",
            f"{metrics['tokens_per_second']:,.0f} in the median step, "
            f"{metrics['tokens_per_second_best']:,.0f} in the best",
        ),
        ("a step", f"{metrics['seconds_median']:.2f} s: {of_step}"),
        (
            "model FLOP/s",
            f"{budget.quantity(metrics['model_flops_per_second'], 'FLOP/s')} at "
            f"6 N + 12 L H D T = {metrics['flops_per_token']:,} FLOPs a token",
        ),
        (
            "products",
            f"{budget.quantity(peak, 'FLOP/s')} in {metrics['dtype']}, the best of 10 before "
            f"and 10 after",
        ),
        (
            "share",
            f"{metrics['share_of_peak']:.1%} of that in the median step, "
            f"{metrics['share_of_peak_best']:.1%} in the best",
        ),
        (
            "memory",
            f"{budget.quantity(metrics['peak_memory_bytes'], 'B')} at the peak, "
            f"{budget.quantity(metrics['budget_memory_bytes'], 'B')} of tensors by the budget",
        ),
    ]
    return "\n".join(f"{name:<13} {value}" for name, value in rows)


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The ablation: seconds, their ratio to the step as it is, memory."""
    whole = rows["as it is"]["seconds_median"]
    lines = [f"{'':<24}{'s a step':>10}{'ratio':>8}{'share':>8}{'memory':>10}"]
    for name, row in rows.items():
        seconds, memory = row["seconds_median"], budget.quantity(row["peak_memory_bytes"], "B")
        share = f"{row['share_of_peak']:.1%}"
        lines.append(f"{name:<24}{seconds:>10.2f}{seconds / whole:>8.2f}{share:>8}{memory:>10}")
    return "\n".join(lines)


def main(config: BenchmarkConfig) -> dict[str, Any]:
    """Measure, print, write the record."""
    started = time.perf_counter()
    model_config(config)
    metrics: dict[str, Any]
    if config.ablate:
        rows = ablate(config)
        print(table(rows))
        metrics = {"ablation": rows}
    elif needs_a_new_process(config):
        return run_apart(config)
    else:
        metrics = measure(config)
        print(report(metrics))
    record.write(
        __file__,
        config=config,
        metrics=metrics,
        seconds=time.perf_counter() - started,
        record=config.record,
        name="ablation" if config.ablate else "",
    )
    return metrics


if __name__ == "__main__":
    script.run(main, BenchmarkConfig)
