"""Words as ids, subsampling and windows, on texts short enough to see."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phase03.corpus import (
    WordCounts,
    first_characters,
    keep_probabilities,
    read_corpus,
    read_texts,
    skip_gram_pairs,
    split_words,
    subsample,
    window_mask,
    window_radii,
)


def ids(*numbers):
    return np.array(numbers, dtype=np.int32)


# ---- words and ids -----------------------------------------------------------------------


def test_words_are_lowercase_runs_of_letters_and_digits():
    assert split_words("The cat's 9 lives: Ärger, snake_case!") == [
        "the",
        "cat",
        "s",
        "9",
        "lives",
        "ärger",
        "snake",
        "case",
    ]


def test_text_without_words_has_none():
    assert split_words(" .,!_ \n") == []


def test_texts_are_those_of_a_file_or_of_a_collection(tmp_path):
    file = tmp_path / "small.txt"
    file.write_text("Ärger und Freude", encoding="utf-8")
    stored = {"two": [("first", "one text"), ("second", "another")]}
    assert list(read_texts(str(file), stored.__getitem__)) == ["Ärger und Freude"]
    assert list(read_texts("two", stored.__getitem__)) == ["one text", "another"]
    assert list(read_texts("two", stored.__getitem__, 10)) == ["one text", "an"]
    with pytest.raises(KeyError):
        list(read_texts("three", stored.__getitem__))


def test_texts_end_after_so_many_characters():
    assert list(first_characters(iter(["abc", "def", "g"]), 5)) == ["abc", "de"]
    assert list(first_characters(iter(["abc", "def"]), 3)) == ["abc"]
    assert list(first_characters(iter(["abc", "def"]), 4)) == ["abc", "d"]
    assert list(first_characters(iter(["abc", "def"]), 0)) == []


def test_ids_are_ranks_and_equal_counts_stand_in_alphabetical_order():
    vocabulary, stream = read_corpus(["The cat, the hat and the rest."], min_count=1)
    assert vocabulary.words == ("the", "and", "cat", "hat", "rest")
    np.testing.assert_array_equal(vocabulary.counts, [3, 1, 1, 1, 1])
    np.testing.assert_array_equal(stream, [0, 2, 0, 3, 1, 0, 4])
    assert stream.dtype == np.int32


def test_rare_words_are_left_out_and_their_neighbours_move_together():
    vocabulary, stream = read_corpus(["a b x a", "b a y"], min_count=2)
    assert vocabulary.words == ("a", "b")
    np.testing.assert_array_equal(stream, [0, 1, 0, 1, 0])


def test_min_count_itself_is_enough():
    vocabulary, _ = read_corpus(["a a b b b c"], min_count=2)
    assert vocabulary.words == ("b", "a")
    vocabulary, _ = read_corpus(["a " * 5 + "b " * 4])
    assert vocabulary.words == ("a",)  # five where nothing else is asked for


def test_one_string_instead_of_texts_is_refused():
    with pytest.raises(ValueError, match=r"."):
        read_corpus("a a a", min_count=1)


def test_texts_are_read_once_and_in_their_order():
    vocabulary, stream = read_corpus((text for text in ("z z", "y", "z")), min_count=1)
    assert [vocabulary.words[n] for n in stream] == ["z", "z", "y", "z"]


@given(st.lists(st.text(alphabet="abc .", max_size=20), max_size=5), st.integers(1, 3))
def test_counts_and_ids_agree_with_counting_by_hand(texts, min_count):
    words = [word for text in texts for word in split_words(text)]
    kept = [word for word in words if words.count(word) >= min_count]
    if not kept:
        with pytest.raises(ValueError, match=r"."):
            read_corpus(texts, min_count)
        return
    vocabulary, stream = read_corpus(texts, min_count)
    assert [vocabulary.words[n] for n in stream] == kept
    assert vocabulary.counts.tolist() == [words.count(word) for word in vocabulary.words]
    assert list(vocabulary.words) == sorted(set(kept), key=lambda word: (-words.count(word), word))


def test_vocabulary_encodes_known_words_and_leaves_others_out():
    vocabulary = WordCounts(["the", "cat"], [3, 1])
    np.testing.assert_array_equal(vocabulary.encode(["cat", "dog", "the", "the"]), [1, 0, 0])
    assert vocabulary.encode([]).shape == (0,)
    assert vocabulary.encode(["dog"]).dtype == np.int32
    assert len(vocabulary) == 2
    assert vocabulary.ids == {"the": 0, "cat": 1}


@pytest.mark.parametrize(
    ("words", "counts"),
    [([], []), (["a", "a"], [2, 1]), (["a"], [2, 1]), (["a", "b"], [2]), (["a", "b"], [2, 0])],
)
def test_vocabulary_that_makes_no_sense_is_refused(words, counts):
    with pytest.raises(ValueError, match=r"."):
        WordCounts(words, counts)


# ---- subsampling -------------------------------------------------------------------------

COUNTS = np.array([900, 90, 9, 1])  # shares 0.9, 0.09, 0.009, 0.001


def test_paper_keeps_the_square_root_of_threshold_over_share():
    keep = keep_probabilities(COUNTS, 0.009, "paper")
    np.testing.assert_allclose(keep, [0.1, math.sqrt(0.1), 1, 1])


def test_program_keeps_a_little_more():
    keep = keep_probabilities(COUNTS, 0.009)
    np.testing.assert_allclose(keep, [0.1 + 0.01, math.sqrt(0.1) + 0.1, 1, 1])


def test_threshold_of_zero_keeps_all():
    for formula in ("paper", "word2vec.c"):
        np.testing.assert_array_equal(keep_probabilities(COUNTS, 0.0, formula), np.ones(4))


def test_negative_threshold_is_refused():
    with pytest.raises(ValueError, match=r"."):
        keep_probabilities(COUNTS, -1e-5)


def test_each_word_is_kept_as_often_as_it_should_be():
    rng = np.random.default_rng(0)
    stream = np.tile(ids(0, 1, 2), 20_000)
    left = subsample(stream, np.array([0.1, 0.5, 1.0]), rng)
    np.testing.assert_allclose(np.bincount(left) / 20_000, [0.1, 0.5, 1.0], atol=0.015)
    assert left.dtype == np.int32


def test_kept_words_stay_in_their_order():
    stream = np.arange(50, dtype=np.int32)
    left = subsample(stream, np.full(50, 0.5), np.random.default_rng(0))
    assert 10 < len(left) < 40
    assert np.all(np.diff(left) > 0)


# ---- windows -----------------------------------------------------------------------------


def test_radii_are_equally_likely_from_one_to_the_window():
    radii = window_radii(30_000, 3, np.random.default_rng(0))
    shares = np.bincount(radii, minlength=5) / 30_000
    np.testing.assert_allclose(shares, [0, 1 / 3, 1 / 3, 1 / 3, 0], atol=0.02)


def test_smallest_window_is_one_word_to_each_side():
    np.testing.assert_array_equal(window_radii(4, 1, np.random.default_rng(0)), np.ones(4))


def test_window_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"."):
        window_radii(4, 0, np.random.default_rng(0))


def test_pairs_of_a_short_text():
    centers, contexts = skip_gram_pairs(ids(7, 8, 9), ids(2, 1, 1))
    found = sorted(zip(centers.tolist(), contexts.tolist(), strict=True))
    assert found == [(7, 8), (7, 9), (8, 7), (8, 9), (9, 8)]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), max_size=30))
def test_pairs_are_those_of_two_loops(text):
    words, radii = ids(*(word for word, _ in text)), ids(*(radius for _, radius in text))
    slow = sorted(
        (words[i], words[j])
        for i in range(len(words))
        for j in range(max(0, i - radii[i]), min(len(words), i + radii[i] + 1))
        if i != j
    )
    centers, contexts = skip_gram_pairs(words, radii)
    assert sorted(zip(centers.tolist(), contexts.tolist(), strict=True)) == slow
    assert centers.dtype == contexts.dtype == np.int32


def test_mask_of_a_chunk_by_hand():
    mask = window_mask(ids(1, 2, 0), window=2)
    expected = [
        [0, 1, 0, 1, 0, 0, 0],
        [0, 1, 1, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ]
    np.testing.assert_array_equal(mask, np.array(expected, dtype=bool))


def test_masks_of_chunks_hold_the_pairs_of_the_text():
    rng = np.random.default_rng(0)
    window, length, n_chunks = 3, 5, 4
    text = rng.integers(0, 50, length * n_chunks, dtype=np.int32)
    radii = window_radii(len(text), window, rng)
    padded = np.pad(text, window, constant_values=-1)
    starts = np.arange(0, len(text), length)
    around = padded[starts[:, np.newaxis] + np.arange(length + 2 * window)]
    mask = window_mask(radii.reshape(n_chunks, length), window)
    chunk, row, column = np.nonzero(mask & (around >= 0)[:, np.newaxis])
    found = zip(
        text.reshape(n_chunks, length)[chunk, row].tolist(),
        around[chunk, column].tolist(),
        strict=True,
    )
    assert sorted(found) == sorted(
        zip(*(side.tolist() for side in skip_gram_pairs(text, radii)), strict=True)
    )
