"""Word2vec: vectors from telling a word's real neighbours from words drawn at random.

    skip-gram   input: the word in the middle.     output: each of its neighbours, one at a time.
    CBOW        input: the mean of its neighbours. output: the word in the middle.

The losses and their gradients are those of `phase03.skip_gram` and `phase03.cbow`; here the text is
cut into blocks and the vectors are trained, by SGD with a learning rate that falls along a line.

Paper and our code (Mikolov et al. 2013a, 2013b). A step adds up the gradients of all pairs of a
block of the text, computed from the weights before it; the papers' programs update after each pair,
which is no work for NumPy. A block that is large compared with the vocabulary makes the sum too
long a step: take a smaller `n_block` for a small text. What differs in the losses is said where
they are.

Left out: hierarchical softmax, phrases, several threads.

Shapes: N ids of a text, V words, C width of a vector; in a block B chunks, L positions of a chunk,
W = L + 2 * window positions around it, S shared negatives.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int32, Integer

from phase03.cbow import cbow_block
from phase03.corpus import WordCounts, keep_probabilities, subsample, window_mask, window_radii
from phase03.negative_sampling import NegativeSampler
from phase03.skip_gram import Block, skip_gram_block

LOWEST_RATE = 1e-4  # share of the learning rate that its straight line ends at
LEARNING_RATES = {"skip-gram": 0.025, "cbow": 0.2}  # the best of a few on some million words


@dataclass(frozen=True)
class Word2VecConfig:
    """What a model is and how it learns."""

    architecture: Literal["skip-gram", "cbow"] = "skip-gram"
    d_embedding: int = 100
    """width C of the vectors"""
    window: int = 5
    """words to each side, at most"""
    n_negatives: int = 5
    """K, for each pair"""
    threshold: float = 1e-4
    """of subsampling; 0 for none"""
    learning_rate: float = 0.025
    """of the first step; it falls along a straight line"""
    n_block: int = 256
    """positions of the text in one step"""
    chunk_length: int = 32
    """L, positions that meet in one matrix product"""
    n_shared: int = 32
    """S, negatives of a chunk"""

    def __post_init__(self) -> None:
        for name in ("d_embedding", "window", "n_negatives", "chunk_length", "n_shared"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if self.architecture not in ("skip-gram", "cbow"):
            raise ValueError(f"architecture is skip-gram or cbow, not {self.architecture!r}")
        if self.n_block < 1 or self.n_block % self.chunk_length:
            raise ValueError(
                f"n_block must be a multiple of chunk_length {self.chunk_length}, "
                f"not {self.n_block}"
            )
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")


def add_rows(
    weight: Float[np.ndarray, "V C"],
    ids: Integer[np.ndarray, "..."],
    rows: Float[np.ndarray, "..."],
) -> None:
    """Add to each row of the ids, in place, what `rows` has for it; repeated ids add up.

    `np.add.at` on single numbers is several times as fast as on rows, so numbers are what it gets.
    """
    width = weight.shape[1]
    places = ids.reshape(-1, 1) * width + np.arange(width)  # (n, C): in the flat matrix
    flat = weight.reshape(-1)
    if not np.shares_memory(flat, weight):
        raise ValueError("the matrix must lie in memory row after row, and this is a view of one")
    np.add.at(flat, places.reshape(-1), rows.reshape(-1))


class Progress(NamedTuple):
    """How far the training has come."""

    words: int
    """read so far, before subsampling; in every pass anew"""
    loss: float
    """mean in nats for each pair (CBOW: for each word) since the report before"""
    learning_rate: float
    """of the last step"""


class Word2Vec:
    """Two vectors for each word: `params`, "input.weight" and "output.weight", (V, C) each."""

    def __init__(
        self,
        config: Word2VecConfig,
        vocabulary: WordCounts,
        rng: np.random.Generator,
        dtype: Any = np.float32,
    ) -> None:
        """Inputs uniform within 1/(2C) of 0, outputs zero, as word2vec.c begins."""
        self.config, self.vocabulary, self.rng = config, vocabulary, rng
        shape = (len(vocabulary), config.d_embedding)
        limit = 0.5 / config.d_embedding
        self.params = {
            "input.weight": rng.uniform(-limit, limit, shape).astype(dtype),
            "output.weight": np.zeros(shape, dtype),
        }
        self.sampler = NegativeSampler(vocabulary.counts)

    @property
    def vectors(self) -> Float[np.ndarray, "V C"]:
        """The vectors that are used afterwards: the inputs."""
        return self.params["input.weight"]

    def train(
        self, ids: Int32[np.ndarray, " N"], n_epochs: int, n_reports: int = 20
    ) -> Iterator[Progress]:
        """Read the text `n_epochs` times, and tell the progress `n_reports` times in all, or so.

        Raises ValueError where the text is empty, has an id without a word, or is not to be read,
        and where the loss grows beyond all bounds.
        """
        if n_epochs < 1 or len(ids) == 0 or ids.min() < 0 or ids.max() >= len(self.vocabulary):
            raise ValueError(
                f"expected a text of ids below {len(self.vocabulary)} and at least one pass, "
                f"got {len(ids)} ids and {n_epochs} passes"
            )
        n_words, done, reported = n_epochs * len(ids), 0, 0
        loss, n_pairs = 0.0, 0
        for words, block in self._blocks(ids, n_epochs):
            rate = self.config.learning_rate * max(LOWEST_RATE, 1 - done / n_words)
            block_loss, block_pairs = self.step(block, rate)
            if not math.isfinite(block_loss):
                raise ValueError(
                    f"after {done:,} words the loss is no number any more, the steps are too long: "
                    "take a smaller learning_rate, or a smaller n_block"
                )
            loss, n_pairs, done = loss + block_loss, n_pairs + block_pairs, words
            if done * n_reports // n_words > reported:
                yield Progress(done, loss / max(n_pairs, 1), rate)
                loss, n_pairs, reported = 0.0, 0, done * n_reports // n_words

    def _blocks(self, ids: Int32[np.ndarray, " N"], n_epochs: int) -> Iterator[tuple[int, Block]]:
        """(words read once it is read, block) for all blocks of all passes."""
        config, rng = self.config, self.rng
        keep = keep_probabilities(self.vocabulary.counts, config.threshold)
        length, window = config.chunk_length, config.window
        around = np.arange(length + 2 * window)  # (W,)
        for epoch in range(n_epochs):
            kept = subsample(ids, keep, rng)
            n_missing = -len(kept) % config.n_block  # the last block is filled up
            text = np.pad(kept, (window, n_missing + window), constant_values=-1)
            radii = window_radii(len(kept) + n_missing, window, rng)
            radii[len(kept) :] = 0  # what fills up has no neighbours
            for start in range(0, len(kept), config.n_block):
                starts = np.arange(start, start + config.n_block, length)  # (B,)
                words = text[starts[:, np.newaxis] + around]  # (B, W)
                chunk_radii = radii[start : start + config.n_block].reshape(-1, length)  # (B, L)
                mask = window_mask(chunk_radii, window) & (words >= 0)[:, np.newaxis]  # (B, L, W)
                negatives = self.sampler.draw((len(starts), config.n_shared), rng)  # (B, S)
                share = min(1.0, (start + config.n_block) / len(kept))  # of this pass
                yield round((epoch + share) * len(ids)), Block(words, mask, negatives)

    def step(self, block: Block, learning_rate: float) -> tuple[float, int]:
        """One step of SGD on a block; the sum of its losses in nats, and of how many pairs."""
        gradients = skip_gram_block if self.config.architecture == "skip-gram" else cbow_block
        loss, n_pairs, rows = gradients(self.params, block, self.config.n_negatives)
        for name, (ids, gradient) in rows.items():
            gradient *= -learning_rate
            add_rows(self.params[name], ids, gradient)
        return loss, n_pairs
