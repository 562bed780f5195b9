"""Digits to reverse: test sets, held-out sequences, one step of training, what is measured."""

import numpy as np
import pytest

from phase01.optimizers import Adam, gradient_norm
from phase02.seq2seq import Seq2Seq
from phase04.attentive_seq2seq import KINDS, AttentiveSeq2Seq
from phase04.reversal import (
    MAX_NORM,
    digit_model,
    exact_share,
    looked_at_share,
    measured_batches,
    train_step,
    training_batches,
)


def rows(batch):
    pairs = zip(batch.source, batch.source_mask, strict=True)
    return {tuple(row[mask].tolist()) for row, mask in pairs}


def test_measured_sequences_are_fixed_by_the_seed_and_of_one_length_each():
    one, same, other = (measured_batches(seed, 30, 4) for seed in (0, 0, 1))
    assert [test.source.shape for test in one] == [(30, n) for n in range(1, 5)]
    for mine, again, different in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(mine.source, again.source)
        assert np.any(mine.source != different.source)


def test_training_sees_short_sequences_and_none_that_is_held_out():
    tests = measured_batches(0, 3000, 4)
    batches = list(training_batches(0, 20, 64, 4, tests))
    seen = set().union(*map(rows, batches))
    assert len(batches) == 20
    assert not seen & rows(tests[3])
    assert seen & rows(tests[2])
    assert {len(row) for row in seen} == {1, 2, 3, 4}


def test_batches_are_the_same_for_the_same_seed():
    tests = measured_batches(0, 5, 4)
    first, again = (next(training_batches(7, 1, 8, 4, tests)) for _ in range(2))
    np.testing.assert_array_equal(first.source, again.source)


def test_model_is_phase_2s_or_has_the_attention_that_is_named():
    assert isinstance(digit_model("none", 4, 5, np.random.default_rng(0)), Seq2Seq)
    for kind in KINDS:
        model = digit_model(kind, 4, 5, np.random.default_rng(0))
        assert isinstance(model, AttentiveSeq2Seq)
        assert model.config.attention == kind
    with pytest.raises(ValueError, match="cosine"):
        digit_model("cosine", 4, 5, np.random.default_rng(0))


def test_training_lowers_the_loss_and_finds_the_digits():
    tests = measured_batches(0, 50, 3)
    model = digit_model("dot", 8, 16, np.random.default_rng(0))
    assert isinstance(model, AttentiveSeq2Seq)
    optimizer = Adam(model.params, 0.02)
    before = exact_share(model, tests[1])
    losses = [
        train_step(model, optimizer, batch, step, 150, 0.02)
        for step, batch in enumerate(training_batches(0, 150, 32, 3, tests))
    ]
    assert np.mean(losses[-10:]) < 0.2 * losses[0]
    assert before < 0.2
    assert exact_share(model, tests[1]) > 0.8
    assert optimizer.learning_rate < 0.001  # the cosine's end


class Watched(Adam):
    """Adam that keeps the size of the gradients that it was given."""

    norm = 0.0

    def step(self, grads):
        self.norm = gradient_norm(grads)
        super().step(grads)


def test_large_gradients_are_clipped_before_the_step():
    model = digit_model("dot", 4, 5, np.random.default_rng(0))
    model.params["output.weight"] *= 100
    batch = measured_batches(0, 6, 3)[2]
    assert gradient_norm(model.backward(model.forward(*batch)[1])) > 2 * MAX_NORM
    optimizer = Watched(model.params, 0.01)
    train_step(model, optimizer, batch, 0, 50, 0.01)
    assert optimizer.norm == pytest.approx(MAX_NORM, rel=1e-3)


def test_rate_rises_over_a_tenth_of_a_short_training_and_then_falls():
    model = digit_model("none", 4, 5, np.random.default_rng(0))
    optimizer = Adam(model.params, 0.02)
    batch = measured_batches(0, 6, 3)[2]
    rates = []
    for step in range(50):
        train_step(model, optimizer, batch, step, 50, 0.02)
        rates.append(optimizer.learning_rate)
    assert int(np.argmax(rates)) in (4, 5)  # the last of five steps of warm-up, or the one after
    assert rates[0] < 0.3 * 0.02
    assert max(rates) == pytest.approx(0.02)
    assert np.all(np.diff(rates[5:]) < 0)


def test_share_is_looked_at_where_the_weight_lies_on_the_mirrored_digit():
    class Looking(AttentiveSeq2Seq):
        def alignments(self, source, source_mask, target, target_mask):
            n_batch, length = source.shape
            weights = np.zeros((n_batch, length + 1, length))
            weights[:, :length] = np.eye(length)[::-1]
            # One digit of all is looked for elsewhere, at a place where another looks less hard:
            # the largest weight of a column would tell another share than that of a row.
            weights[0, 0] = [0.1, 0.15, 0.15, 0.6]
            weights[0, length - 1] = [0.1, 0, 0, 0.9]
            return weights

    model = digit_model("dot", 4, 5, np.random.default_rng(0))
    assert isinstance(model, AttentiveSeq2Seq)
    looking = Looking(model.config, np.random.default_rng(0))
    assert looked_at_share(looking, measured_batches(0, 5, 4)[3]) == pytest.approx(19 / 20)
