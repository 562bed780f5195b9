"""What the three recurrent cells share: parameters, checks, time first in memory, a sigmoid.

It holds nothing of recurrence itself; that is in `phase02.rnn`, `phase02.lstm` and `phase02.gru`.
Two functions more take a part of a model's parameters out by its prefix and put it back.

A cell has four parameters, under the names and in the layout of torch.nn.RNN, LSTM and GRU with one
layer and one direction. G is the number of blocks that are stacked in them, one for each gate or
candidate: 1 in an RNN, 4 in an LSTM (i, f, g, o), 3 in a GRU (r, z, n).

    weight_ih_l0 (G*H, I)   weight_hh_l0 (G*H, H)   bias_ih_l0 (G*H,)   bias_hh_l0 (G*H,)

Left out: several layers, two directions, dropout between layers, projections.

Shapes: B batch, T time, I width of the input, H width of the state, G blocks.
"""

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

NAMES = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")

Parameters = Mapping[str, np.ndarray]
Gradients = dict[str, np.ndarray]


def uniform_parameters(
    n_blocks: int, d_input: int, d_hidden: int, rng: np.random.Generator, dtype: type
) -> Gradients:
    """The four parameters of a cell, uniform between -1/sqrt(H) and 1/sqrt(H), as torch begins.

    Raises ValueError where a width is not at least 1.
    """
    if min(d_input, d_hidden) < 1:
        raise ValueError(f"widths must be at least 1, got d_input {d_input}, d_hidden {d_hidden}")
    rows, limit = n_blocks * d_hidden, 1 / math.sqrt(d_hidden)
    shapes = ((rows, d_input), (rows, d_hidden), (rows,), (rows,))
    return {
        name: rng.uniform(-limit, limit, shape).astype(dtype)
        for name, shape in zip(NAMES, shapes, strict=True)
    }


def check_inputs(
    n_blocks: int,
    params: Parameters,
    x: np.ndarray,
    states: tuple[np.ndarray, ...],
    mask: np.ndarray | None,
) -> None:
    """ValueError, naming both shapes, where parameters, input, states and mask do not fit."""
    missing = [name for name in NAMES if name not in params]
    if missing:
        raise ValueError(f"a cell has the parameters {', '.join(NAMES)}; missing: {missing[0]}")
    if x.ndim != 3:
        raise ValueError(f"x must be (batch, time, width), got the shape {x.shape}")
    d_hidden = params["weight_hh_l0"].shape[-1]
    n_batch, n_steps, d_input = x.shape
    rows = n_blocks * d_hidden
    expected = dict(zip(NAMES, ((rows, d_input), (rows, d_hidden), (rows,), (rows,)), strict=True))
    found = {name: params[name].shape for name in NAMES}
    for number, state in enumerate(states):
        expected[f"state {number}"], found[f"state {number}"] = (n_batch, d_hidden), state.shape
    if mask is not None:
        expected["mask"], found["mask"] = (n_batch, n_steps), mask.shape
        if mask.dtype != np.bool_:
            raise ValueError(
                f"mask must be boolean, True where a position counts, not {mask.dtype}"
            )
    for name, shape in expected.items():
        if found[name] != shape:
            raise ValueError(
                f"{name} must have the shape {shape} for an input of shape {x.shape} and "
                f"{n_blocks} x {d_hidden} rows, got {found[name]}"
            )


def part_of(params: Parameters, prefix: str) -> Gradients:
    """The parameters whose names begin with `prefix`, under the rest of the name."""
    return {
        name.removeprefix(prefix): value
        for name, value in params.items()
        if name.startswith(prefix)
    }


def prefixed(prefix: str, params: Parameters) -> Gradients:
    """The same arrays under names that begin with `prefix`: `part_of` the other way round."""
    return {prefix + name: value for name, value in params.items()}


def time_first(x: Float[np.ndarray, "B T n"] | Bool[np.ndarray, "B T"]) -> np.ndarray:
    """With time as the first axis, so that each step is one contiguous block: (T, B, ...)."""
    return np.ascontiguousarray(np.swapaxes(x, 0, 1))


def batch_first(
    steps: Float[np.ndarray, "T B n"], mask: Bool[np.ndarray, "B T"] | None = None
) -> Float[np.ndarray, "B T n"]:
    """The batch as the first axis again, and zeros where the mask says so.

    Without a mask it is a view, which may not be written to: what it shows is still needed.
    """
    if mask is not None:
        return np.where(mask[:, :, np.newaxis], np.swapaxes(steps, 0, 1), steps.dtype.type(0))
    view = np.swapaxes(steps, 0, 1)  # (B, T, n)
    view.flags.writeable = False
    return view


def upstream(
    dy: np.ndarray | None, steps: Float[np.ndarray, "T B I"], d_hidden: int
) -> Float[np.ndarray, "B T H"]:
    """The gradient of the outputs; zeros where there is none, because no output was used."""
    n_steps, n_batch, _ = steps.shape
    if dy is None:
        return np.zeros((n_batch, n_steps, d_hidden), steps.dtype)
    if dy.shape != (n_batch, n_steps, d_hidden):
        raise ValueError(
            f"dy must have the shape of y, {(n_batch, n_steps, d_hidden)}, got {dy.shape}"
        )
    return dy


def sigmoid_in_place(z: np.ndarray) -> None:
    """1 / (1 + exp(-z)) = (1 + tanh(z / 2)) / 2, written over z: one pass less, no overflow."""
    z *= 0.5
    np.tanh(z, out=z)
    z *= 0.5
    z += 0.5
