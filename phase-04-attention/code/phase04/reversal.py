"""Digits to reverse, for models with and without attention: test sets, training, measuring.

The task is phase 2's (`phase02.seq2seq.reversal_batch`). The models of phase 2 and of this one have
the same methods, so the same functions train and measure both. Sequences that are measured are held
out of training from `HELD_OUT_FROM` digits on; of fewer digits there are too few to hold any back.

Shapes: as in `phase02.seq2seq`: B batch, S time of the source, T time of the target.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from phase01.optimizers import Adam, clip_gradients
from phase01.schedules import cosine
from phase02.seq2seq import Batch, Seq2Seq, Seq2SeqConfig, exact_matches, reversal_batch
from phase04.attentive_seq2seq import AttentiveConfig, AttentiveSeq2Seq

HELD_OUT_FROM = 4  # digits
WARMUP = 100  # steps, at most a tenth of all
MAX_NORM = 1.0

Model = Seq2Seq | AttentiveSeq2Seq


def digit_model(kind: str, d_embedding: int, d_hidden: int, rng: np.random.Generator) -> Model:
    """A model for digits: phase 2's where `kind` is "none", else with attention of that kind.

    Raises ValueError for another kind.
    """
    if kind == "none":
        return Seq2Seq(Seq2SeqConfig(d_embedding, d_hidden), rng)
    return AttentiveSeq2Seq(AttentiveConfig(d_embedding, d_hidden, attention=kind), rng)


def measured_batches(seed: int, n_test: int, max_length: int) -> list[Batch]:
    """The sequences to measure with: a batch for each length from 1 to `max_length`."""
    return [
        reversal_batch(np.random.default_rng([seed, 1, n]), n_test, n, n)
        for n in range(1, max_length + 1)
    ]


def training_batches(
    seed: int, n_steps: int, n_batch: int, max_length: int, tests: Sequence[Batch]
) -> Iterator[Batch]:
    """A batch of mixed lengths for each step, without the sequences that are held out."""
    rng = np.random.default_rng([seed, 3])
    hidden = {row for test in tests[HELD_OUT_FROM - 1 :] for row in _sources(test)}
    for _ in range(n_steps):
        batch = reversal_batch(rng, n_batch, 1, max_length)
        keep = np.array([row not in hidden for row in _sources(batch)])  # (B,)
        if keep.any():  # else all of a tiny batch were hidden
            yield Batch(*(part[keep] for part in batch))


def train_step(
    model: Model, optimizer: Adam, batch: Batch, step: int, n_steps: int, learning_rate: float
) -> float:
    """One step of Adam, with gradients clipped to MAX_NORM; the loss before it.

    The rate is the cosine schedule's, after WARMUP steps of warm-up, at most a tenth of all.
    """
    loss, cache = model.forward(*batch)
    grads, _ = clip_gradients(model.backward(cache), MAX_NORM)
    optimizer.learning_rate = cosine(step, learning_rate, n_steps, min(WARMUP, n_steps // 10))
    optimizer.step(grads)
    return loss


def exact_share(model: Model, test: Batch) -> float:
    """The share of the sequences that greedy decoding writes back whole, end symbol included."""
    return float(np.mean(_right(model, test)))


def looked_at_share(model: AttentiveSeq2Seq, test: Batch) -> float:
    """The share of the digits at which most weight lies on the very digit that is to be written.

    For sequences of one length: the digit n steps from the end of the source is written n-th.
    """
    length = test.source.shape[1]
    weights = model.alignments(*test)[:, :length]  # (B, S, S): without the end symbol
    mirrored = np.arange(length)[::-1]
    return float(np.mean(weights.argmax(axis=-1) == mirrored))


def _right(model: Model, test: Batch) -> Bool[np.ndarray, " B"]:
    written = model.greedy(test.source, test.source_mask, test.target.shape[1])
    return exact_matches(written, test.target, test.target_mask)


def _sources(batch: Batch) -> list[tuple[Any, ...]]:
    """The sources, without what fills them up."""
    pairs = zip(batch.source, batch.source_mask, strict=True)
    return [tuple(row[mask].tolist()) for row, mask in pairs]
