"""What a second thread does to NumPy's matrix product, alone and beside another busy process.

    uv run journal run phase00.compare_threads

NumPy hands a product of two matrices to a BLAS library, which splits it over as many threads as the
machine has cores, and at the end of each product every thread waits for the slowest. Where all
cores are free that is a gain. Where another process holds one of them, the thread on that core has
to wait until the system gives it a turn, and all the others wait with it: a product of microseconds
then lasts as long as a turn, milliseconds.

The four cases (one thread, one a core; without and with a neighbour that only counts) are measured
in processes of their own, since the library reads the number of its threads when it is imported,
one after the other, round by round. Beside the fastest call, which `compare_speed` keeps, stand the
mean and the slowest here: the waiting is what is to be seen.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from journal import plotting, record, script

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
CASES = {  # name: (a thread for each core, a neighbour)
    "one thread": (False, False),
    "a thread for each core": (True, False),
    "one thread, beside a busy process": (False, True),
    "a thread for each core, beside a busy process": (True, True),
}
NEIGHBOUR = "while True: pass"
PRODUCT = """
import sys, time
import numpy as np
n, calls, seed = map(int, sys.argv[1:])
rng = np.random.default_rng(seed)
a, b = rng.standard_normal((n, n)), rng.standard_normal((n, n))
a @ b  # the first call makes the threads
for _ in range(calls):
    started = time.perf_counter()
    a @ b
    print(time.perf_counter() - started)
"""


@dataclass(frozen=True)
class Config:
    sizes: tuple[int, ...] = (64, 128, 256, 512)
    """n of the (n, n) matrices"""
    calls: int = 60
    """products measured in each process"""
    rounds: int = 3
    """processes for each case and size, in turn"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1 or list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(f"sizes must be 1 or more, in rising order, not {self.sizes}")
        for name in ("calls", "rounds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")


def main(config: Config) -> dict[str, Any]:
    """Measure the four cases; returns the seconds of a product, by case and size."""
    started = time.perf_counter()
    cores = os.cpu_count() or 1
    seconds: dict[str, list[list[float]]] = {name: [[] for _ in config.sizes] for name in CASES}
    for _ in range(config.rounds):
        for name, (every_core, beside) in CASES.items():
            with neighbours(1 if beside else 0):
                for column, n in enumerate(config.sizes):
                    threads = cores if every_core else 1
                    seconds[name][column] += products(n, threads, config)
    metrics: dict[str, Any] = {"cores": cores, "sizes": list(config.sizes), "cases": {}}
    print(f"{'mean seconds of a product':<47}" + "".join(f"{n:>11}" for n in config.sizes))
    for name, columns in seconds.items():
        one = {
            "fastest": [min(column) for column in columns],
            "mean": [statistics.mean(column) for column in columns],
            "slowest": [max(column) for column in columns],
        }
        metrics["cases"][name] = one
        print(f"{name:<47}" + "".join(f"{mean:>11.2e}" for mean in one["mean"]))
    record.write(
        __file__,
        config=config,
        metrics=metrics,
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    record.write_picture(__file__, "seconds", draw(metrics), record=config.record)
    return metrics


def products(n: int, threads: int, config: Config) -> list[float]:
    """The seconds of each product of two (n, n) matrices, in a process with so many threads."""
    environment = {**os.environ, **dict.fromkeys(THREADS, str(threads))}
    command = [sys.executable, "-c", PRODUCT, str(n), str(config.calls), str(config.seed)]
    ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [float(line) for line in ran.stdout.split()]


@contextmanager
def neighbours(count: int) -> Generator[None, None, None]:
    """So many processes that keep a core busy, for as long as the block lasts."""
    running = [subprocess.Popen([sys.executable, "-c", NEIGHBOUR]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def draw(metrics: dict[str, Any]) -> Any:
    """The mean seconds against n, both axes logarithmic, a curve for each case."""
    figure, ax = plotting.figure()
    for (name, one), marker in zip(metrics["cases"].items(), "osD^", strict=True):
        ax.loglog(metrics["sizes"], one["mean"], marker=marker, markersize=5, label=name)
    ax.set_xscale("log", base=2)
    ax.set_xticks(metrics["sizes"], [str(n) for n in metrics["sizes"]])
    ax.set_title(f"Seconds of a matrix product (n, n) on {metrics['cores']} cores")
    ax.set_xlabel("n")
    ax.set_ylabel("mean seconds")
    ax.legend()
    return figure


if __name__ == "__main__":
    script.run(main, Config)
