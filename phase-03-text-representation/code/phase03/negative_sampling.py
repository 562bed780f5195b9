"""Negative sampling: to tell a word's real neighbours from words drawn at random.

Every word has two vectors, one as an input and one as an output. Whether an input and an output
belong together is judged by the dot product of their vectors. A softmax over the whole vocabulary
would cost V such products for each pair of the text. Negative sampling (Mikolov et al. 2013b) asks
K + 1 yes-or-no questions instead. The loss of a pair is, in nats,

    -log sigmoid(u . v) - sum over k of log sigmoid(-u_k . v)

where v is the input, u the output of the true pair, and the u_k are outputs of K words drawn with
probabilities proportional to count^0.75.

Here is the loss for all inputs and all outputs of a piece of text at once, with weights that say
which of the products are pairs, and the drawing of words. `phase03.skip_gram` and `phase03.cbow`
say what the inputs and the outputs are.

Shapes: V words, C width of a vector; B pieces of text, in each of which L inputs meet M outputs.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int64, Integer

from phase01.losses import Number

POWER = 0.75  # of the counts, in the distribution of negatives


def negative_sampling_forward(
    inputs: Float[np.ndarray, "*B L C"],
    outputs: Float[np.ndarray, "*B M C"],
    true: Float[np.ndarray, "*B L M"],
    drawn: Float[np.ndarray, "*B L M"],
) -> tuple[float, Any]:
    """The sum of the losses of all inputs with all outputs, in nats, each with its two weights.

    With s the dot product of the two, -true * log sigmoid(s) - drawn * log sigmoid(-s): `true` says
    how often they are a pair of the text, `drawn` how often one that chance made. Both may be 0.
    """
    scores = inputs @ outputs.swapaxes(-1, -2)  # (B, L, M)
    small = np.exp(-np.abs(scores))  # at most 1: no score is too large
    # -log sigmoid(-s) = max(s, 0) + log(1 + exp(-|s|)), and -log sigmoid(s) is that minus s.
    softplus = np.maximum(scores, 0) + np.log(1 + small)
    loss = np.vdot(true + drawn, softplus) - np.vdot(true, scores)
    sigmoid = np.where(scores >= 0, 1, small) / (1 + small)
    return float(loss), (inputs, outputs, true, drawn, sigmoid)


def negative_sampling_backward(
    dloss: Number, cache: Any
) -> tuple[Float[np.ndarray, "*B L C"], Float[np.ndarray, "*B M C"]]:
    """The gradients (dinputs, doutputs).

    d(-log sigmoid(s))/ds = sigmoid(s) - 1 and d(-log sigmoid(-s))/ds = sigmoid(s), so that
    ds = true * (sigmoid - 1) + drawn * sigmoid; and s is the product of inputs and outputs.
    """
    inputs, outputs, true, drawn, sigmoid = cache
    dscores = float(dloss) * ((true + drawn) * sigmoid - true)  # (B, L, M)
    return dscores @ outputs, dscores.swapaxes(-1, -2) @ inputs  # (B, L, C), (B, M, C)


class NegativeSampler:
    """Draws word ids with probabilities proportional to count^0.75 (Mikolov et al. 2013b).

    `probabilities` are those of all words, a float64 each.
    """

    def __init__(self, counts: Integer[np.ndarray, " V"], power: float = POWER) -> None:
        """From how often each word occurs. Raises ValueError without a word or a count of 1."""
        if not len(counts) or counts.min() < 0 or counts.max() < 1:
            raise ValueError(f"counts are 0 or more and not all 0, but these are {counts}")
        weights = np.asarray(counts, dtype=np.float64) ** power
        self.probabilities = weights / weights.sum()  # (V,)
        self._limits = np.cumsum(self.probabilities)  # (V,)
        self._limits[-1] = 1.0  # whatever rounding made of it

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Int64[np.ndarray, "..."]:
        """Ids of that shape, each drawn independently of the others."""
        return np.searchsorted(self._limits, rng.random(shape), side="right")
