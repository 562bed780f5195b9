"""The adding problem: remember two numbers out of many, and say their sum at the end.

    numbers   0.31  0.82  0.05  0.47  0.90  0.12  0.66  0.24        drawn from 0 to 1
    markers      0     1     0     1     0     0     0     0        two, in the first half
    answer                                                 1.29     0.82 + 0.47

Each step shows one number and its marker. Nothing of the second half counts, so that the marked
numbers must be kept for at least half the sequence, among others that look alike. Who always says 1
has a mean squared error of 1/6, the variance of the sum of two such numbers: that is the error of a
network in which no gradient reaches the markers.

Paper and our code: this is the adding problem of Hochreiter and Schmidhuber (1997) made plainer.
There the numbers are drawn from -1 to 1, the two ends have a marker of their own, the first marked
number is among the first ten, and the answer is 0.5 + sum / 4. They call an answer right that is
off by less than 0.04; with the sum itself from 0 to 2, twice as wide, that is 0.08 (`TOLERANCE`).

The model is a cell, and a linear layer on its last state; its parameters have the names of a torch
module with `rnn` and `output`:

    rnn.weight_ih_l0 (G*H, I) ...   output.weight (1, H)   output.bias (1,)

Shapes: B batch, T time, I width of the input, H width of the state, G blocks of the cell.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from phase01.linear import linear_backward, linear_forward
from phase01.losses import mse_backward, mse_forward
from phase02.char_lm import CELLS
from phase02.recurrent import Gradients, part_of, prefixed

D_INPUT = 2  # a number and its marker
BASELINE = 1 / 6  # the mean squared error of always saying 1
TOLERANCE = 0.08  # how far off an answer may be that counts as right


def adding_batch(
    rng: np.random.Generator, n_batch: int, n_steps: int, dtype: Any = np.float32
) -> tuple[Float[np.ndarray, "B T 2"], Float[np.ndarray, " B"]]:
    """Random sequences of one length, with two marked numbers in the first half, and their sums.

    Raises ValueError where the first half has no room for two, that is below 4 steps.
    """
    if n_steps < 4:
        raise ValueError(f"two numbers in the first half need 4 steps or more, not {n_steps}")
    x = np.zeros((n_batch, n_steps, D_INPUT), dtype)
    x[:, :, 0] = rng.random((n_batch, n_steps))
    # The two smallest of random keys: two different places, all pairs alike.
    places = np.argsort(rng.random((n_batch, n_steps // 2)), axis=1)[:, :2]  # (B, 2)
    np.put_along_axis(x[:, :, 1], places, 1, axis=1)
    return x, np.take_along_axis(x[:, :, 0], places, axis=1).sum(axis=1)  # (B, T, 2), (B,)


class Cache(NamedTuple):
    """What backward needs."""

    cell: Any
    output: Any
    loss: Any


class SequenceRegressor:
    """Reads a sequence, then says one number; `params` is what an optimizer changes in place."""

    def __init__(
        self,
        cell: str,
        d_input: int,
        d_hidden: int,
        rng: np.random.Generator,
        dtype: Any = np.float32,
        keep_bias: float = 0.0,
    ) -> None:
        """Weights within 1/sqrt(H) of 0, as torch begins.

        `keep_bias`, for an LSTM alone, is added to the biases of the forget gates and taken from
        those of the input gates: with 3, a cell begins by keeping what it has and letting little
        in. (Hochreiter and Schmidhuber 1997, section 4, close the input gates so, that the state
        does not drift.) Raises ValueError for an unknown cell, a width below 1, and a `keep_bias`
        elsewhere.
        """
        if cell not in CELLS:
            raise ValueError(f"the cell is {', '.join(CELLS)}, not {cell!r}")
        if keep_bias and cell != "lstm":
            raise ValueError(f"keep_bias is for the gates of an lstm: it must be 0 in a {cell}")
        self.cell = CELLS[cell]
        parameters = self.cell.parameters(d_input, d_hidden, rng, dtype)
        if keep_bias:
            parameters["bias_ih_l0"][:d_hidden] -= keep_bias  # i
            parameters["bias_ih_l0"][d_hidden : 2 * d_hidden] += keep_bias  # f
        limit = 1 / math.sqrt(d_hidden)
        self.params: Gradients = {
            **prefixed("rnn.", parameters),
            "output.weight": rng.uniform(-limit, limit, (1, d_hidden)).astype(dtype),
            "output.bias": rng.uniform(-limit, limit, 1).astype(dtype),
        }

    def predict(self, x: Float[np.ndarray, "B T I"]) -> Float[np.ndarray, " B"]:
        """The number that it says after each sequence."""
        return self._read(x)[0]

    def forward(
        self, x: Float[np.ndarray, "B T I"], target: Float[np.ndarray, " B"]
    ) -> tuple[float, Cache]:
        """The mean squared error of the batch, and the cache."""
        prediction, cell_cache, output_cache = self._read(x)
        loss, loss_cache = mse_forward(prediction, target)
        return loss, Cache(cell_cache, output_cache, loss_cache)

    def backward(self, cache: Cache) -> Gradients:
        """The gradient of the loss for every parameter, under the parameters' names."""
        dlast, dweight, dbias = self._output_backward(cache)
        zeros = np.zeros_like(dlast)  # the loss does not see the LSTM's last cell state
        dstate = dlast if self.cell.n_states == 1 else (dlast, zeros)
        _, *_, grads = self.cell.backward(None, dstate, cache.cell)
        return {**prefixed("rnn.", grads), "output.weight": dweight, "output.bias": dbias}

    def last_gradient(self, cache: Cache) -> Float[np.ndarray, "B H"]:
        """The gradient of the loss at the cell's last output, where the way back in time begins."""
        return self._output_backward(cache)[0]

    def _read(self, x: np.ndarray) -> tuple[np.ndarray, Any, Any]:
        """The prediction, the cell's cache and the output layer's."""
        weight, bias = self.params["output.weight"], self.params["output.bias"]
        zeros = np.zeros((len(x), weight.shape[1]), weight.dtype)  # (B, H)
        states = (zeros,) * self.cell.n_states
        (_, last), cell_cache = self.cell.forward(part_of(self.params, "rnn."), x, *states)
        h = last[0] if isinstance(last, tuple) else last
        y, output_cache = linear_forward(h, weight, bias)  # (B, 1)
        return y[:, 0], cell_cache, output_cache  # (B,)

    def _output_backward(self, cache: Cache) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        dprediction = mse_backward(1.0, cache.loss)  # (B,)
        return linear_backward(dprediction[:, np.newaxis], cache.output)
