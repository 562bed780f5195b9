"""How long a convolution takes here, forward and backward, beside PyTorch, and what made it fast.

    uv run journal run phase01.benchmark_convolution

The layer of the race is the first of a network for CIFAR-10: 64 images of 32 x 32 pixels and 3
channels, 64 filters of 3 x 3 with padding 1. It is run with the gradient of the images and without
it, since a first layer does not need that. How a race is run, and what its numbers mean, stands in
`phase01.benchmark`.

The naive ways: a loop over the places of the output, with one small product at each; the same loop
only to copy the windows into columns, with one large product after it; and for one small image
every loop in Python, a number at a time. Left out: strides above 1, and pooling.

Shape letters: B images, C channels, F filters, H and W of the image and of the output (the padding
keeps them), K x K the window; M is C K K.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from phase01.benchmark import (
    OURS,
    TORCH,
    Arrays,
    Race,
    Way,
    array,
    check_turns,
    run,
    use_same_threads,
    without_times,
)

# isort: split
# The benchmark's module comes first: it says how many threads NumPy's BLAS shall take.
import numpy as np
import torch
from torch.nn import functional as F

from journal import record, script
from phase01.convolution import conv2d_backward, conv2d_backward_parameters, conv2d_forward

CHANNELS, WINDOW, PADDING = 3, 3, 1


@dataclass(frozen=True)
class Config:
    images: int = 64
    image_size: int = 32
    """pixels across"""
    filters: int = 64
    small_size: int = 12
    """pixels across the one image that goes through Python's loops, with 8 filters"""
    rounds: int = 9
    seconds: float = 0.2
    """how long each way is timed in a round, at least"""
    settle: float = 0.06
    """seconds of calls before that do not count"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        for name in ("images", "image_size", "filters", "small_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        check_turns(self.rounds, self.seconds, self.settle)


def main(config: Config) -> dict[str, Any]:
    """Run the races; returns the ratios and factors of each (the times are written)."""
    started = time.perf_counter()
    metrics: dict[str, Any] = {"threads": use_same_threads()}
    for race in (
        layer_race(config, with_dx=True),
        layer_race(config, with_dx=False),
        loops_race(config),
    ):
        metrics[race.key] = run(race, config.rounds, config.seconds, config.settle)
    record.write(
        __file__,
        config=config,
        metrics=metrics,
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    return without_times(metrics)


# ---- the races ---------------------------------------------------------------------------


def layer_race(config: Config, with_dx: bool) -> Race:
    """Forward and backward of the layer on all images, in every way but Python's loops."""
    numbers = draw(config.images, config.image_size, config.filters, config.seed)
    ways = [ours(numbers, with_dx), by_torch(numbers, with_dx)]
    for name, convolve in (
        ("a loop over places, a product at each", by_places),
        ("columns copied by a loop", by_copied_columns),
    ):
        ways.append(Way(name, lambda convolve=convolve: convolve(*numbers, with_dx)))
    what = "with" if with_dx else "without"
    size = f"{config.image_size} x {config.image_size}"
    return Race(
        f"{what}_dx",
        f"Convolution of {config.images} images of {size} x {CHANNELS}, {config.filters} filters, "
        f"{what} the images' gradient",
        ways,
        goal=3.0,
    )


def loops_race(config: Config) -> Race:
    """One small image, with Python's loops beside ours."""
    numbers = draw(1, config.small_size, 8, config.seed)
    title = f"Convolution of one image of {config.small_size} x {config.small_size}, 8 filters"
    loops = Way("a Python loop for every number", lambda: by_numbers(*numbers))
    return Race("one_image", title, [ours(numbers, True), loops])


def draw(images: int, size: int, filters: int, seed: int) -> tuple[np.ndarray, ...]:
    """Random x (B, C, H, W), weight (F, C, K, K), bias (F,) and dy (B, F, H, W), in float32."""
    rng = np.random.default_rng(seed)
    shapes = (
        (images, CHANNELS, size, size),
        (filters, CHANNELS, WINDOW, WINDOW),
        (filters,),
        (images, filters, size, size),
    )
    return tuple(rng.standard_normal(shape).astype(np.float32) for shape in shapes)


def ours(numbers: tuple[np.ndarray, ...], with_dx: bool) -> Way:
    """The phase's module."""
    x, weight, bias, dy = numbers

    def step() -> Arrays:
        y, cache = conv2d_forward(x, weight, bias, padding=PADDING)
        if with_dx:
            dx, dweight, dbias = conv2d_backward(dy, cache)
            return {"y": y, "dweight": dweight, "dbias": dbias, "dx": dx}
        dweight, dbias = conv2d_backward_parameters(dy, cache)
        return {"y": y, "dweight": dweight, "dbias": dbias}

    return Way(OURS, step)


def by_torch(numbers: tuple[np.ndarray, ...], with_dx: bool) -> Way:
    """PyTorch's convolution on the same numbers."""
    x, weight, bias, dy = (torch.tensor(one) for one in numbers)
    leaves = {"dweight": weight.requires_grad_(), "dbias": bias.requires_grad_()}
    if with_dx:
        leaves["dx"] = x.requires_grad_()

    def step() -> torch.Tensor:
        for leaf in leaves.values():
            leaf.grad = None
        y = F.conv2d(x, weight, bias, padding=PADDING)
        y.backward(dy)
        return y

    def read(y: torch.Tensor) -> Arrays:
        return {"y": array(y), **{name: array(leaf.grad) for name, leaf in leaves.items()}}

    return Way(TORCH, step, read)


# ---- the naive ways ----------------------------------------------------------------------


def by_places(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, dy: np.ndarray, with_dx: bool
) -> dict[str, np.ndarray]:
    """At each place of the output one product of (B, M) and (M, F): H W small products."""
    padded, dpadded, flat, window = prepared(x, weight)
    y, dflat = np.empty_like(dy), np.zeros_like(flat)  # (B, F, H, W), (F, M)
    for p, q in np.ndindex(*y.shape[2:]):
        columns = window(padded, p, q).reshape(len(x), -1)  # (B, M)
        y[:, :, p, q] = columns @ flat.T + bias  # (B, F)
        dflat += dy[:, :, p, q].T @ columns  # (F, M)
        if with_dx:
            here = window(dpadded, p, q)  # (B, C, K, K)
            here += (dy[:, :, p, q] @ flat).reshape(here.shape)
    return results(y, dflat, weight, dy, dpadded if with_dx else None)


def by_copied_columns(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, dy: np.ndarray, with_dx: bool
) -> dict[str, np.ndarray]:
    """The same loop copies windows and adds them up again; the products are one for all places."""
    padded, dpadded, flat, window = prepared(x, weight)
    places = list(np.ndindex(*dy.shape[2:]))
    columns = np.empty((len(x), len(places), flat.shape[1]), x.dtype)  # (B, H W, M)
    for number, (p, q) in enumerate(places):
        columns[:, number] = window(padded, p, q).reshape(len(x), -1)  # (B, M)
    columns = columns.reshape(-1, flat.shape[1])  # (B H W, M)
    dy_rows = dy.transpose(0, 2, 3, 1).reshape(-1, len(flat))  # (B H W, F)
    y = (columns @ flat.T + bias).reshape(len(x), *dy.shape[2:], len(flat))  # (B, H, W, F)
    dflat = dy_rows.T @ columns  # (F, M)
    if with_dx:
        dcolumns = (dy_rows @ flat).reshape(len(x), len(places), -1)  # (B, H W, M)
        for number, (p, q) in enumerate(places):
            here = window(dpadded, p, q)  # (B, C, K, K)
            here += dcolumns[:, number].reshape(here.shape)
    return results(y.transpose(0, 3, 1, 2), dflat, weight, dy, dpadded if with_dx else None)


def by_numbers(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, dy: np.ndarray
) -> dict[str, np.ndarray]:
    """Every sum of the definition as a loop of Python over lists, for the first image alone."""
    padded, dpadded, flat, _ = prepared(x, weight)
    image, dimage = padded[0].tolist(), dpadded[0].tolist()
    filters, dfilters = weight.tolist(), np.zeros_like(weight).tolist()
    upstream, y = dy[0].tolist(), np.zeros_like(dy[0]).tolist()
    for f, p, q in np.ndindex(*dy.shape[1:]):
        total, above = float(bias[f]), upstream[f][p][q]
        for c in range(CHANNELS):
            for k in range(WINDOW):
                for m in range(WINDOW):
                    total += filters[f][c][k][m] * image[c][p + k][q + m]
                    dfilters[f][c][k][m] += above * image[c][p + k][q + m]
                    dimage[c][p + k][q + m] += above * filters[f][c][k][m]
        y[f][p][q] = total
    dflat = np.array(dfilters, x.dtype).reshape(flat.shape)  # (F, M)
    return results(np.array([y], x.dtype), dflat, weight, dy, np.array([dimage], x.dtype))


Window = Callable[[np.ndarray, int, int], np.ndarray]


def prepared(
    x: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Window]:
    """x with its padding, zeros of that shape, the filters as rows, and the view of a window."""
    edge = (PADDING, PADDING)
    padded = np.pad(x, ((0, 0), (0, 0), edge, edge))  # (B, C, H + 2, W + 2)

    def window(image: np.ndarray, p: int, q: int) -> np.ndarray:
        return image[:, :, p : p + WINDOW, q : q + WINDOW]  # (B, C, K, K)

    return padded, np.zeros_like(padded), weight.reshape(len(weight), -1), window


def results(
    y: np.ndarray,
    dflat: np.ndarray,
    weight: np.ndarray,
    dy: np.ndarray,
    dpadded: np.ndarray | None,
) -> dict[str, np.ndarray]:
    """What one step is known by; the gradient of the padding is dropped."""
    found = {"y": y, "dweight": dflat.reshape(weight.shape), "dbias": dy.sum(axis=(0, 2, 3))}
    if dpadded is not None:
        found["dx"] = dpadded[:, :, PADDING:-PADDING, PADDING:-PADDING]
    return found


if __name__ == "__main__":
    script.run(main, Config)
