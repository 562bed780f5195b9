"""How long the same result takes in pure Python lists and in NumPy arrays, over growing sizes.

    uv run journal run phase00.compare_speed

Four operations, each for growing n: the dot product of two vectors of n numbers, an (n, n) matrix
times a vector, two (n, n) matrices multiplied, and the distances between n points and n others,
which are three nested loops in Python and one line of broadcasting in NumPy.

Both sides run in turn in one process on the same numbers, each already in its own form (lists or
arrays), and are first compared: where they differ by more than rounding, the script stops. A fast
call is repeated until a measurement is long enough for the clock, and of several measurements the
least is kept, since whatever else the machine does can only add time. NumPy is kept to one core, as
Python is: what is compared is the two ways, not the number of cores, and NumPy's threads would wait
for each other where something else takes a core. The ratio is the statement; the seconds belong to
the machine.
"""

import math
import os
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Read by NumPy's BLAS when it is imported: OpenBLAS and MKL, Apple's Accelerate.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import numpy as np  # noqa: E402

from journal import plotting, record, script  # noqa: E402
from phase00 import linear_algebra as lists  # noqa: E402
from phase00 import linear_algebra_numpy as arrays  # noqa: E402

TITLES = {
    "dot": "dot: (n,) with (n,)",
    "matvec": "matvec: (n, n) with (n,)",
    "matmul": "matmul: (n, n) with (n, n)",
    "pairwise_distances": "pairwise_distances: n points with n points",
}
MARKERS = {"dot": "o", "matvec": "s", "matmul": "^", "pairwise_distances": "D"}
ROUNDING = 1e-6  # sums of a million products in another order differ by about 1e-10


@dataclass(frozen=True)
class Config:
    dot_sizes: tuple[int, ...] = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)
    matvec_sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
    matmul_sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    pairwise_sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    d_point: int = 8
    """numbers in each of the points whose distances are taken"""
    repeats: int = 5
    """measurements of each, of which the least is kept"""
    least_seconds: float = 0.02
    """how long one measurement lasts at least; a fast call is repeated within it"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        for sizes in (self.dot_sizes, self.matvec_sizes, self.matmul_sizes, self.pairwise_sizes):
            if not sizes or min(sizes) < 1 or list(sizes) != sorted(set(sizes)):
                raise ValueError(f"sizes must be 1 or more, in rising order, not {sizes}")
        for name in ("repeats", "d_point"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")


@dataclass(frozen=True)
class Operation:
    """The same thing done in two ways, and how its two inputs of size n are drawn."""

    name: str
    by_lists: Callable[..., Any]
    by_arrays: Callable[..., Any]
    first: Callable[[int], np.ndarray]
    second: Callable[[int], np.ndarray]
    sizes: tuple[int, ...]


def main(config: Config) -> dict[str, Any]:
    """Measure the four operations; returns seconds and ratios over the sizes of each."""
    started = time.perf_counter()
    metrics: dict[str, Any] = {}
    for operation in operations(config):
        print(f"\n{TITLES[operation.name]}\n{'n':>9}{'Python s':>13}{'NumPy s':>13}{'ratio':>10}")
        rows = []
        for n in operation.sizes:
            python, numpy, difference = measure(operation, n, config)
            rows.append((python, numpy, difference))
            print(f"{n:>9}{python:>13.2e}{numpy:>13.2e}{python / numpy:>10.2f}", flush=True)
        metrics[operation.name] = summary(operation.sizes, rows)
    record.write(
        __file__,
        config=config,
        metrics=metrics,
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    record.write_picture(__file__, "seconds", draw_seconds(metrics), record=config.record)
    record.write_picture(__file__, "ratio", draw_ratio(metrics), record=config.record)
    return metrics


def operations(config: Config) -> list[Operation]:
    """What is measured; the inputs are drawn when their size comes."""
    rng = np.random.default_rng(config.seed)

    def vector(n: int) -> np.ndarray:
        return rng.standard_normal(n)

    def matrix(n: int) -> np.ndarray:
        return rng.standard_normal((n, n))

    def points(n: int) -> np.ndarray:
        return rng.standard_normal((n, config.d_point))

    pairwise = ("pairwise_distances", pairwise_distances_by_loops, arrays.pairwise_distances)
    return [
        Operation("dot", lists.dot, arrays.dot, vector, vector, config.dot_sizes),
        Operation("matvec", lists.matvec, arrays.matvec, matrix, vector, config.matvec_sizes),
        Operation("matmul", lists.matmul, arrays.matmul, matrix, matrix, config.matmul_sizes),
        Operation(*pairwise, points, points, config.pairwise_sizes),
    ]


def pairwise_distances_by_loops(x: lists.Matrix, y: lists.Matrix) -> lists.Matrix:
    """The distance of every row of `x` to every row of `y`: what broadcasting saves us to write."""
    distances = []
    for a in x:
        row = []
        for b in y:
            total = 0.0
            for i in range(len(a)):
                total += (a[i] - b[i]) ** 2
            row.append(math.sqrt(total))
        distances.append(row)
    return distances


def measure(operation: Operation, n: int, config: Config) -> tuple[float, float, float]:
    """Seconds of a call on lists and of one on arrays, and the largest difference in the result.

    Raises ValueError where that is more than rounding.
    """
    a, b = operation.first(n), operation.second(n)
    list_a, list_b = a.tolist(), b.tolist()
    slow = np.asarray(operation.by_lists(list_a, list_b))
    fast = np.asarray(operation.by_arrays(a, b))
    difference = float(np.max(np.abs(slow - fast))) if slow.shape == fast.shape else math.inf
    if not difference <= ROUNDING:
        raise ValueError(
            f"{operation.name} on lists and on arrays differ by {difference} on the shapes "
            f"{a.shape} and {b.shape}: mend the wrong one, since times of two different results "
            "cannot be compared"
        )
    python = timeit.Timer(lambda: operation.by_lists(list_a, list_b))
    numpy = timeit.Timer(lambda: operation.by_arrays(a, b))
    python_calls = calls_needed(python, config.least_seconds)
    numpy_calls = calls_needed(numpy, config.least_seconds)
    python_seconds, numpy_seconds = [], []
    for _ in range(config.repeats):
        python_seconds.append(python.timeit(python_calls) / python_calls)
        numpy_seconds.append(numpy.timeit(numpy_calls) / numpy_calls)
    return min(python_seconds), min(numpy_seconds), difference


def calls_needed(timer: timeit.Timer, least_seconds: float) -> int:
    """How many calls, doubled from one, last at least `least_seconds`."""
    calls = 1
    while timer.timeit(calls) < least_seconds:
        calls *= 2
    return calls


def summary(sizes: tuple[int, ...], rows: list[tuple[float, float, float]]) -> dict[str, Any]:
    """The measurements of one operation, column by column, and what they come to."""
    ratios = [python / numpy for python, numpy, _ in rows]
    faster = [n for n, ratio in zip(sizes, ratios, strict=True) if ratio > 1]
    return {
        "sizes": list(sizes),
        "python_seconds": [python for python, _, _ in rows],
        "numpy_seconds": [numpy for _, numpy, _ in rows],
        "ratio": ratios,
        "largest_size": sizes[-1],
        "ratio_at_largest": ratios[-1],
        "numpy_faster_from": faster[0] if faster else None,
        "largest_difference": max(difference for _, _, difference in rows),
    }


def draw_seconds(metrics: dict[str, Any]) -> Any:
    """Seconds against n, both axes logarithmic, a panel for each operation."""
    figure, axes = plotting.figure(7.6, 6.0, rows=2, columns=2)
    figure.suptitle("Seconds of one call, in pure Python and in NumPy")
    for ax, (name, one) in zip(axes.flat, metrics.items(), strict=True):
        ax.loglog(one["sizes"], one["python_seconds"], "o-", markersize=4, label="pure Python")
        ax.loglog(one["sizes"], one["numpy_seconds"], "s-", markersize=4, label="NumPy")
        ax.set_title(TITLES[name], fontsize=9)
        ax.set_xscale("log", base=2)
        ax.set_xlabel("n")
        ax.set_ylabel("seconds")
    axes[0, 0].legend()
    return figure


def draw_ratio(metrics: dict[str, Any]) -> Any:
    """How many times as long pure Python takes, against n, both axes logarithmic."""
    figure, ax = plotting.figure()
    for name, one in metrics.items():
        ax.loglog(one["sizes"], one["ratio"], marker=MARKERS[name], markersize=4, label=name)
    ax.axhline(1, color=plotting.INK, linewidth=1)
    ax.annotate(
        "above this line NumPy is faster",
        (1, 1),
        xycoords=("axes fraction", "data"),
        xytext=(0, 4),
        textcoords="offset points",
        horizontalalignment="right",
    )
    ax.set_xscale("log", base=2)
    ax.set_title("Seconds in pure Python for each second in NumPy")
    ax.set_xlabel("n")
    ax.set_ylabel("ratio")
    ax.legend()
    return figure


if __name__ == "__main__":
    script.run(main, Config)
