"""Sentence pairs: which are kept, their ids, batches of similar length."""

import numpy as np
import pytest

from phase03.word_tokenizer import WordTokenizer
from phase04.sentence_pairs import (
    BOS,
    EOS,
    PAD,
    SPECIAL,
    Pair,
    as_batch,
    batches_by_length,
    short_pairs,
)

SOURCES = ["ein Hund .", "zwei Hunde laufen schnell .", "", "eine Katze", "ein Mann ."]
TARGETS = ["a dog .", "two dogs run .", "nothing", "a cat sits there now .", " a man .\n"]


def test_pairs_of_which_a_side_is_empty_or_too_long_are_left_out():
    pairs = short_pairs(SOURCES, TARGETS, 3)
    assert pairs == [Pair("ein Hund .", "a dog ."), Pair("ein Mann .", "a man .")]
    assert len(short_pairs(SOURCES, TARGETS, None)) == 4
    assert short_pairs(["ja"], ["yes"], 1) == [Pair("ja", "yes")]


def test_sentence_without_its_translation_is_refused():
    with pytest.raises(ValueError, match=r"\b5\b"):
        short_pairs(SOURCES, TARGETS[:4], 4)


def test_batch_has_the_ids_and_the_end_of_each_target():
    pairs = short_pairs(SOURCES, TARGETS, None)[:2]
    source_words = WordTokenizer([".", "ein", "Hund", "zwei"], SPECIAL)
    target_words = WordTokenizer([".", "a", "dog"], SPECIAL)
    batch = as_batch(pairs, source_words, target_words)
    assert batch.source.tolist() == [[5, 6, 4, 0, 0], [7, 3, 3, 3, 4]]
    assert batch.target.tolist() == [[5, 6, 4, EOS, 0], [3, 3, 3, 4, EOS]]
    assert batch.source_mask.sum(axis=1).tolist() == [3, 5]
    assert batch.target_mask.sum(axis=1).tolist() == [4, 5]


def pairs_of(lengths):
    return [Pair("x " * source, "y " * target) for source, target in lengths]


def test_every_pair_is_in_one_batch_and_batches_are_of_similar_length():
    rng = np.random.default_rng(0)
    lengths = [tuple(rng.integers(1, 20, 2)) for _ in range(101)]
    batches = list(batches_by_length(pairs_of(lengths), 10, rng))
    assert sorted(place for batch in batches for place in batch) == list(range(101))
    assert sorted(map(len, batches)) == [1] + [10] * 10
    spans = [
        (min(lengths[n][1] for n in batch), max(lengths[n][1] for n in batch)) for batch in batches
    ]
    assert spans != sorted(spans)  # drawn, not from short to long
    for (_, end), (begin, _) in zip(sorted(spans), sorted(spans)[1:], strict=False):
        assert end <= begin


def test_another_epoch_puts_other_equals_together_and_the_same_seed_the_same():
    pairs = pairs_of([(2, 3)] * 20)
    rng = np.random.default_rng(0)
    first, second = (list(batches_by_length(pairs, 4, rng)) for _ in range(2))
    assert {frozenset(batch) for batch in first} != {frozenset(batch) for batch in second}
    assert list(batches_by_length(pairs, 4, np.random.default_rng(0))) == first


def test_without_an_rng_the_order_is_the_sorted_one():
    pairs = pairs_of([(1, 3), (2, 1), (1, 1), (5, 2)])
    assert list(batches_by_length(pairs, 2)) == [[2, 1], [3, 0]]
    assert list(batches_by_length(pairs, 1)) == [[2], [1], [3], [0]]


def test_batches_of_nothing_are_refused():
    with pytest.raises(ValueError, match=r"\b0\b"):
        list(batches_by_length(pairs_of([(1, 1)]), 0))


@pytest.mark.kept
def test_special_tokens_have_the_first_ids():
    assert SPECIAL == ("<PAD>", "<BOS>", "<EOS>")
    words = WordTokenizer.train(["a b"], special=SPECIAL)
    assert [words.ids[token] for token in SPECIAL] == [PAD, BOS, EOS]
