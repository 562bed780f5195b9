"""Training on texts longer than memory, and how much gradient arrives at each earlier step.

**Truncated backpropagation through time.** The whole text would be one sequence of a million steps,
and backward needs what forward kept of each. So the text is read in chunks. The state goes from one
chunk into the next, so that what was read is remembered; the gradient does not, so that a chunk
costs what a chunk costs. (In PyTorch: `state.detach()`.) What is remembered may be older than a
chunk; what is learned from is not.

**Clipping.** The gradient through T steps is a product of T Jacobians and may explode. Shortened to
a norm, all parameters together, it keeps its direction, and one such chunk no longer throws the
weights away (Pascanu et al. 2013, algorithm 1). That function, `clip_gradients`, was written in
`phase01.optimizers`; here it stands between backward and step.

**Where it vanishes.** `state_gradients` says what arrives at each state on the way back, and
`spectral_radius` and `with_spectral_radius` measure and set what decides it in a vanilla RNN: the
largest absolute eigenvalue of W_hh. (Strictly: with tanh, whose slope is at most 1, a largest
*singular* value below 1 is enough for the gradient to vanish, and one above 1 is necessary for it
to explode; after Pascanu et al. 2013.)

Shapes: B batch, T time, I width of the input, H width of the state.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Shaped

from phase01.optimizers import clip_gradients, gradient_norm
from phase02.recurrent import Gradients, Parameters

States = tuple[Float[np.ndarray, "B H"], ...]


@runtime_checkable
class Model(Protocol):
    """A model that reads in chunks: its cache holds the last state."""

    def forward(
        self, inputs: np.ndarray, targets: np.ndarray, state: Any, /
    ) -> tuple[float, Any]: ...

    def backward(self, cache: Any, /) -> Gradients: ...


@runtime_checkable
class Stepper(Protocol):
    """An optimizer of phase 1."""

    def step(self, grads: Gradients, /) -> None: ...


class Step(NamedTuple):
    """One chunk of training."""

    loss: float  # before the step, nats
    norm: float  # of all gradients together, before clipping
    state: Any  # after the chunk


def chunks(n_steps: int, chunk_length: int) -> Iterator[slice]:
    """The slices that cut `n_steps` into chunks, in order; the last may be shorter.

    Raises ValueError where a chunk has no length.
    """
    if chunk_length < 1:
        raise ValueError(f"a chunk has at least 1 step, not {chunk_length}")
    for start in range(0, n_steps, chunk_length):
        yield slice(start, min(start + chunk_length, n_steps))


def truncated_gradients(
    model: Model,
    inputs: Shaped[np.ndarray, "B T *rest"],
    targets: Shaped[np.ndarray, "B T *rest"],
    chunk_length: int,
    state: Any = None,
) -> Iterator[tuple[float, Gradients, Any]]:
    """(loss, gradients, state) of each chunk of a long batch, the state carried, no gradient.

    The parameters may be changed between two chunks, as `train_on_chunks` does. With a
    `chunk_length` of T or more it is plain backpropagation through time. Raises ValueError
    where a chunk has no length.
    """
    for part in chunks(inputs.shape[1], chunk_length):
        loss, cache = model.forward(inputs[:, part], targets[:, part], state)
        state = cache.state
        yield loss, model.backward(cache), state


def train_on_chunks(
    model: Model,
    optimizer: Stepper,
    inputs: Shaped[np.ndarray, "B T *rest"],
    targets: Shaped[np.ndarray, "B T *rest"],
    chunk_length: int,
    state: Any = None,
    max_norm: float | None = None,
) -> Iterator[Step]:
    """One optimizer step for each chunk of a long batch, with what was seen before the step.

    Gradients longer than `max_norm` are shortened to it; shorter ones, and all where it is none,
    are left as they are. When a chunk's values come, its step has been taken. Raises ValueError
    where a chunk has no length, and where gradients that are to be clipped are not finite.
    """
    parts = truncated_gradients(model, inputs, targets, chunk_length, state)
    for loss, grads, after in parts:
        if max_norm is None:
            norm = gradient_norm(grads)
        else:
            grads, norm = clip_gradients(grads, max_norm)
        optimizer.step(grads)
        yield Step(loss, norm, after)


def state_gradients(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    params: Parameters,
    x: Float[np.ndarray, "B T I"],
    states: States,
    dlast: States,
    dy: Float[np.ndarray, "B T H"] | None = None,
    mask: Bool[np.ndarray, "B T"] | None = None,
) -> tuple[Float[np.ndarray, "B time H"], ...]:
    """What arrives, on the way back, at the state before each step and at the last one.

    `forward` and `backward` are a cell's (`lstm_forward`, `lstm_backward`), `states` the first
    states, (h0,) or (h0, c0), `dlast` the loss's gradients at the last ones and `dy` at the
    outputs. For each state (B, T + 1, H): entry t is the gradient at the state after t steps, from
    all that comes later, so entry T is `dlast` and entry 0 what the cell's backward returns.

    The cell is run step by step for it: slow, but the same for every cell.
    """
    caches = []
    n_steps = x.shape[1]
    for t in range(n_steps):
        now = slice(t, t + 1)
        (_, last), cache = forward(
            params, x[:, now], *states, mask=None if mask is None else mask[:, now]
        )
        states = last if isinstance(last, tuple) else (last,)
        caches.append(cache)
    arrived = [dlast]
    for t in reversed(range(n_steps)):
        dstate = arrived[-1] if len(arrived[-1]) > 1 else arrived[-1][0]
        _, *dbefore, _ = backward(None if dy is None else dy[:, t : t + 1], dstate, caches[t])
        arrived.append(tuple(dbefore))
    # Of each state, its T + 1 gradients in the order of time: (B, T + 1, H).
    return tuple(np.stack(series, axis=1) for series in zip(*arrived[::-1], strict=True))


def norm_per_step(gradients: Float[np.ndarray, "B time H"]) -> Float[np.ndarray, " time"]:
    """The Euclidean norm at each step, the mean over the batch, in float64."""
    return np.linalg.norm(gradients.astype(np.float64), axis=-1).mean(axis=0)  # (time,)


def spectral_radius(weight: Float[np.ndarray, "H H"]) -> float:
    """The largest absolute value of an eigenvalue: by how much repeated products grow in the end.

    Raises ValueError for a weight that is not square.
    """
    if weight.ndim != 2 or weight.shape[0] != weight.shape[1] or weight.size == 0:
        raise ValueError(f"a spectral radius is of a square matrix, not of shape {weight.shape}")
    return float(np.abs(np.linalg.eigvals(weight.astype(np.float64))).max())


def with_spectral_radius(
    weight: Float[np.ndarray, "H H"], radius: float
) -> Float[np.ndarray, "H H"]:
    """The weight, multiplied by the number that gives it this spectral radius.

    Raises ValueError for a radius that is negative, a weight that is not square, or one whose
    eigenvalues are all 0, which no number scales.
    """
    now = spectral_radius(weight)
    if radius < 0 or now == 0:
        raise ValueError(f"a spectral radius of {now:g} cannot be made {radius:g} by scaling")
    return weight * weight.dtype.type(radius / now)
