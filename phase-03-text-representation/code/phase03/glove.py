r"""GloVe: word vectors whose dot products are the logarithms of co-occurrence counts.

    count    X_ij, how often word j stands near word i, 1/d for a distance of d words
    fit      w_i . w~_j + b_i + b~_j  to  log X_ij, for the pairs that were seen
    use      w_i + w~_i

The loss is a weighted sum of squares (Pennington, Socher and Manning 2014, equations 8 and 9):

    J = sum over i, j of f(X_ij) (w_i . w~_j + b_i + b~_j - log X_ij)^2
    f(x) = (x / x_max)^alpha where x < x_max, else 1

so that rare pairs, which are mostly chance, count little, and very frequent ones not without limit.
The text is read once, for the counts; training goes over the table of pairs.

AdaGrad divides each number's step by the root of the sum of its squared gradients so far: rows of
rare words, which are met seldom, keep taking long steps.

Paper and our code. The authors' program takes a pair at a time, from threads that do not wait for
each other. Here a step takes a block of pairs drawn without repetition: the gradients of one row
are added up, and AdaGrad sees their sum. As in that program (glove.c, not in the paper), a step
goes along half the gradient of J, sums of squares begin at 1 and take in steps and not gradients,
that is gradients times the learning rate, and vectors begin within 1/(2C) of 0. There biases begin
so too; here they begin at 0.

Left out: clipping, several threads, and tables that do not fit into memory.

Shapes: N ids of a text, V words, C width of a vector, P pairs that were seen, B pairs of a block.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Integer

BLOCK = 4_000_000  # pairs that are counted at a time: 100 MB
SQUARES = 1.0  # AdaGrad's sums begin here, so that the first step is learning_rate * gradient


class CoOccurrences(NamedTuple):
    """The pairs of words that were seen near each other, sorted by the first and then the second.

    (i, j) and (j, i) are both there, with the same weight.
    """

    rows: Integer[np.ndarray, " P"]
    """i, the word"""
    columns: Integer[np.ndarray, " P"]
    """j, the word near it"""
    weights: Float[np.ndarray, " P"]
    """X_ij"""


@dataclass(frozen=True)
class GloveConfig:
    """What a model is and how it learns; x_max, alpha and the learning rate are the paper's."""

    d_embedding: int = 100
    """width C of the vectors"""
    x_max: float = 100.0
    """pairs of this weight or more count in full"""
    alpha: float = 0.75
    learning_rate: float = 0.05
    n_block: int = 2048
    """pairs in one step"""

    def __post_init__(self) -> None:
        for name in ("d_embedding", "n_block"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        for name in ("x_max", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        if self.alpha < 0:
            raise ValueError(f"alpha must be 0 or more, not {self.alpha}")


# ---- counting ----------------------------------------------------------------------------


def co_occurrences(
    ids: Integer[np.ndarray, " N"],
    window: int,
    vocab_size: int,
    starts: Integer[np.ndarray, " n_texts"] | None = None,
) -> CoOccurrences:
    """X: for every two words at most `window` apart, the sum of 1/distance over the text.

    `starts` are the places at which a new text begins: no pair reaches over one. Made by shifting
    the row of ids against itself, once for each distance.

    Raises ValueError unless the window is 1 or more and ids are below `vocab_size`.
    """
    if window < 1:
        raise ValueError(f"a window reaches at least 1 word to each side, not {window}")
    if len(ids) and not (ids.min() >= 0 and ids.max() < vocab_size):
        raise ValueError(f"ids must be from 0 to {vocab_size - 1}, not {ids.min()} to {ids.max()}")
    texts = np.zeros(len(ids), dtype=np.int64)  # (N,): the number of the text at each place
    if starts is not None:
        texts = np.searchsorted(np.sort(starts), np.arange(len(ids)), side="right")
    keys, sums = np.zeros(0, dtype=np.int64), np.zeros(0)
    part = BLOCK // window + 1
    for start in range(0, len(ids), part):  # the first word of each pair is in this part
        here = slice(start, start + part + window)
        more = _pairs(ids[here].astype(np.int64), texts[here], window, vocab_size, part)
        keys, sums = _added_up(np.append(keys, more[0]), np.append(sums, more[1]))
    rows, columns = np.divmod(keys, vocab_size)  # row < column, or the same
    other = rows != columns
    rows, columns = np.append(rows, columns[other]), np.append(columns, rows[other])
    once = np.where(other, sums, 2 * sums)  # of two equal words, either is near the other
    sums = np.append(once, sums[other])
    order = np.lexsort((columns, rows))
    return CoOccurrences(rows[order], columns[order], sums[order])


def _pairs(
    ids: np.ndarray, texts: np.ndarray, window: int, vocab_size: int, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Keys and weights of all pairs whose first word is among the first `length` ones."""
    keys, weights = [], []
    for distance in range(1, window + 1):
        left, right = ids[:-distance][:length], ids[distance:][:length]
        same = texts[:-distance][:length] == texts[distance:][:length]
        left, right = left[same], right[same]
        keys.append(np.minimum(left, right) * vocab_size + np.maximum(left, right))
        weights.append(np.full(len(left), 1 / distance))
    return _added_up(np.concatenate(keys), np.concatenate(weights))


def _added_up(keys: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each key once, in order, with the sum of its weights."""
    found, places = np.unique(keys, return_inverse=True)
    return found, np.bincount(places, weights=weights, minlength=len(found))


# ---- the loss ----------------------------------------------------------------------------


def pair_weights(
    x: Float[np.ndarray, " P"], x_max: float = 100.0, alpha: float = 0.75
) -> Float[np.ndarray, " P"]:
    """f(x) = (x / x_max)^alpha, at most 1 (equation 9)."""
    return np.minimum(x / x_max, 1.0) ** alpha


def glove_forward(
    words: Float[np.ndarray, "B C"],
    contexts: Float[np.ndarray, "B C"],
    word_biases: Float[np.ndarray, " B"],
    context_biases: Float[np.ndarray, " B"],
    logs: Float[np.ndarray, " B"],
    weights: Float[np.ndarray, " B"],
) -> tuple[float, Any]:
    """The sum of f (w . w~ + b + b~ - log X)^2 over B pairs, each with rows of its own.

    `logs` are the log X and `weights` the f(X) of the pairs.
    """
    errors = np.einsum("bc,bc->b", words, contexts) + word_biases + context_biases - logs  # (B,)
    loss = float(np.dot(weights, errors * errors))
    return loss, (words, contexts, weights * errors)


def glove_backward(
    dloss: float, cache: Any
) -> tuple[
    Float[np.ndarray, "B C"],
    Float[np.ndarray, "B C"],
    Float[np.ndarray, " B"],
    Float[np.ndarray, " B"],
]:
    """The gradients (dwords, dcontexts, dword_biases, dcontext_biases).

    The error e of a pair enters as f e^2, whose derivative is 2 f e; and e is w . w~ + b + b~ less
    a constant, so that dw = 2 f e w~, dw~ = 2 f e w, and db = db~ = 2 f e.
    """
    words, contexts, weighted = cache
    derror = 2 * dloss * weighted  # (B,)
    each = derror[:, np.newaxis]  # (B, 1)
    return each * contexts, each * words, derror, derror


# ---- the model ---------------------------------------------------------------------------


class Glove:
    """Two vectors and two biases a word: `params`; AdaGrad's sums, by the same names: `squares`.

    word.weight (V, C), context.weight (V, C), word.bias (V,), context.bias (V,)
    """

    def __init__(
        self,
        config: GloveConfig,
        vocab_size: int,
        rng: np.random.Generator,
        dtype: Any = np.float32,
    ) -> None:
        """Vectors uniform within 1/(2C) of 0, biases 0. Raises ValueError without a word."""
        if vocab_size < 1:
            raise ValueError(f"a model needs at least one word, not {vocab_size}")
        self.config, self.rng = config, rng
        shape, limit = (vocab_size, config.d_embedding), 0.5 / config.d_embedding
        self.params: dict[str, np.ndarray] = {
            "word.weight": rng.uniform(-limit, limit, shape).astype(dtype),
            "context.weight": rng.uniform(-limit, limit, shape).astype(dtype),
            "word.bias": np.zeros(vocab_size, dtype),
            "context.bias": np.zeros(vocab_size, dtype),
        }
        self.squares = {name: np.full_like(p, SQUARES) for name, p in self.params.items()}

    @property
    def vectors(self) -> Float[np.ndarray, "V C"]:
        """The vectors that are used afterwards: w + w~ (section 4.2)."""
        return self.params["word.weight"] + self.params["context.weight"]

    def train(self, counts: CoOccurrences, n_epochs: int) -> Iterator[float]:
        """Go over all pairs `n_epochs` times, in another order each time; each pass's mean loss.

        The mean of f e^2 over the pairs, each taken as it is met. Raises ValueError where there is
        no pair, one has no word, or there is no pass, and where the loss grows beyond all bounds.
        """
        vocab_size = len(self.params["word.bias"])
        ids = np.append(counts.rows, counts.columns)
        if n_epochs < 1 or not len(ids) or ids.min() < 0 or ids.max() >= vocab_size:
            raise ValueError(
                f"expected pairs of ids from 0 to {vocab_size - 1} and at least one pass, got "
                f"{len(counts.rows)} pairs, some of them with other ids, or {n_epochs} passes"
            )
        dtype = self.params["word.bias"].dtype
        logs = np.log(counts.weights).astype(dtype)  # (P,)
        weights = pair_weights(counts.weights, self.config.x_max, self.config.alpha).astype(dtype)
        for _ in range(n_epochs):
            order, total = self.rng.permutation(len(logs)), 0.0
            for start in range(0, len(order), self.config.n_block):
                block = np.sort(order[start : start + self.config.n_block])  # (B,): near in memory
                total += self.step(
                    counts.rows[block], counts.columns[block], logs[block], weights[block]
                )
            if not math.isfinite(total):
                raise ValueError(
                    "the loss is no number any more, the steps are too long: take a smaller "
                    "learning_rate, or a smaller n_block"
                )
            yield total / len(order)

    def step(
        self,
        rows: Integer[np.ndarray, " B"],
        columns: Integer[np.ndarray, " B"],
        logs: Float[np.ndarray, " B"],
        weights: Float[np.ndarray, " B"],
    ) -> float:
        """One step of AdaGrad on a block of pairs; the sum of its losses before it."""
        params = self.params
        loss, cache = glove_forward(
            params["word.weight"][rows],
            params["context.weight"][columns],
            params["word.bias"][rows],
            params["context.bias"][columns],
            logs,
            weights,
        )
        dwords, dcontexts, dword_biases, dcontext_biases = glove_backward(0.5, cache)
        self._take("word", rows, dwords, dword_biases)
        self._take("context", columns, dcontexts, dcontext_biases)
        return loss

    def _take(self, kind: str, ids: np.ndarray, dweight: np.ndarray, dbias: np.ndarray) -> None:
        """AdaGrad on the rows of these ids; the gradients of repeated ones are added up first."""
        order = np.argsort(ids, kind="stable")
        first = np.flatnonzero(np.diff(ids[order], prepend=-1))  # where each id's run begins
        found = ids[order[first]]
        for name, gradient in ((f"{kind}.weight", dweight), (f"{kind}.bias", dbias)):
            added = np.add.reduceat(gradient[order], first, axis=0) * self.config.learning_rate
            squares = self.squares[name][found]
            self.params[name][found] -= added / np.sqrt(squares)
            self.squares[name][found] = squares + added * added
