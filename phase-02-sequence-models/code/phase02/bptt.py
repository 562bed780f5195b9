"""Training on texts longer than memory: truncated backpropagation through time, and clipping.

**Truncated backpropagation through time.** The whole text would be one sequence of a million steps,
and backward needs what forward kept of each. So the text is read in chunks. The state goes from one
chunk into the next, so that what was read is remembered; the gradient does not, so that a chunk
costs what a chunk costs. (In PyTorch: `state.detach()`.) What is remembered may be older than a
chunk; what is learned from is not.

**Clipping.** The gradient through T steps is a product of T Jacobians and may explode. Shortened to
a norm, all parameters together, it keeps its direction, and one such chunk no longer throws the
weights away (Pascanu et al. 2013, algorithm 1). That function, `clip_gradients`, was written in
`phase01.optimizers`; here it stands between backward and step.

What gradient arrives at an earlier step, and why it fades, is in `phase02.gradient_flow`.

Shapes: B batch, T time.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped

from phase01.optimizers import clip_gradients, gradient_norm
from phase02.recurrent import Gradients


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
