"""Counting n-grams: marks, unknown words, rows, continuation counts; against dictionaries."""

from collections import Counter

import numpy as np
import pytest

from phase03.ngram_counts import BOS, EOS, UNK, NGramCounts, Vocabulary

TEXTS = ("the cat sat", "the cat ran to the dog", "a dog ran", "")
SENTENCES = [text.split() for text in TEXTS]


def by_hand(sentences, length, n, known=None):
    """n-grams of `length` words that end in a word or in <EOS>, counted in a dictionary."""
    found = Counter()
    for sentence in sentences:
        words = [word if known is None or word in known else UNK for word in sentence]
        marked = [BOS] * (n - 1) + words + [EOS]
        for end in range(n - 1, len(marked)):
            found[tuple(marked[end - length + 1 : end + 1])] += 1
    return found


def spelled(counts, length, row):
    """The words of an n-gram, from its row."""
    names = (*counts.vocabulary.words, BOS)
    if length == 0:
        return ()
    order = counts.orders[length]
    return (*spelled(counts, length - 1, order.contexts[row]), names[order.words[row]])


def test_vocabulary_begins_with_its_marks_and_sorts_by_frequency():
    vocabulary = Vocabulary.of(SENTENCES)
    # the 3 times; cat, ran, dog twice, as they come; sat, to, a once
    assert vocabulary.words == (UNK, EOS, "the", "cat", "ran", "dog", "sat", "to", "a")
    assert len(vocabulary) == 9
    assert vocabulary.encode(["dog", "bird", UNK, BOS, EOS]) == [5, 0, 0, 9, 1]


def test_rare_words_are_unknown():
    vocabulary = Vocabulary.of(SENTENCES, min_count=2)
    assert vocabulary.words == (UNK, EOS, "the", "cat", "ran", "dog")
    assert vocabulary.encode(["a", "cat"]) == [0, 3]


def test_words_may_be_anything_that_has_a_hash():
    vocabulary = Vocabulary([7, "x", (1, 2), 7])
    assert vocabulary.encode([(1, 2), 7, 8]) == [4, 2, 0]
    assert Vocabulary.of(["abba", "b"]).words == (UNK, EOS, "b", "a")


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("min_count", [1, 2])
def test_counts_are_those_of_a_dictionary(n, min_count):
    vocabulary = Vocabulary.of(SENTENCES, min_count)
    counts = NGramCounts(SENTENCES, n, vocabulary)
    for length in range(1, n + 1):
        order = counts.orders[length]
        found = {
            spelled(counts, length, row): int(count)
            for row, count in enumerate(order.counts)
            if count
        }
        assert found == by_hand(SENTENCES, length, n, vocabulary.ids)


def test_rows_are_sorted_and_name_context_and_suffix():
    counts = NGramCounts(SENTENCES, 3)
    for length in (1, 2, 3):
        order = counts.orders[length]
        assert np.all(np.diff(order.keys) > 0)
        for row in range(len(order.keys)):
            words = spelled(counts, length, row)
            assert spelled(counts, length - 1, order.suffixes[row]) == words[1:]
    assert counts.orders[0].counts.tolist() == [16]  # 12 words and 4 ends


def test_continuations_count_different_words_before():
    counts = NGramCounts(SENTENCES, 3)
    for length in (1, 2):
        longer = by_hand(SENTENCES, length + 1, 3)
        truth = Counter(words[1:] for words in longer)
        rows = counts.continuations(length)
        mine = {spelled(counts, length, row): int(c) for row, c in enumerate(rows) if c}
        assert mine == truth
    # ran follows cat and dog; dog follows the and a; the follows <BOS> (twice) and to
    words = ["ran", "dog", "the", "cat"]
    rows = counts.find(1, np.zeros(4, dtype=np.int64), np.array(counts.vocabulary.encode(words)))
    assert counts.continuations(1)[rows].tolist() == [2, 2, 2, 1]


def test_rows_are_found_and_unseen_ones_are_not():
    counts = NGramCounts(SENTENCES, 2)
    the, cat, sat = counts.vocabulary.encode(["the", "cat", "sat"])
    zeros = np.zeros(3, dtype=np.int64)
    singles = counts.find(1, zeros, np.array([the, cat, sat]))
    pairs = counts.find(
        2, np.array([singles[0], singles[1], singles[0], -1]), np.array([cat, sat, sat, the])
    )
    assert spelled(counts, 2, pairs[0]) == ("the", "cat")
    assert spelled(counts, 2, pairs[1]) == ("cat", "sat")
    assert pairs[2:].tolist() == [-1, -1]


def test_what_would_stand_behind_the_last_row_is_not_found():
    counts = NGramCounts(SENTENCES, 2)
    last = len(counts.orders[1].keys) - 1  # of one word: a row whose continuations end the table
    bos = len(counts.vocabulary)
    for contexts, words in (([last], [bos]), ([last + 1], [0])):
        assert counts.find(2, np.array(contexts), np.array(words)).tolist() == [-1]


def test_sums_over_contexts_by_hand():
    counts = NGramCounts(["ab", "ac"], 2)
    a = int(counts.find(1, np.array([0]), np.array(counts.vocabulary.encode("a")))[0])
    assert counts.per_context(2, counts.orders[2].counts)[a] == 2
    assert counts.per_context(1, counts.orders[1].counts > 0).tolist() == [4]  # a, b, c, <EOS>


def test_stream_marks_every_sentence():
    counts = NGramCounts(["ab"], 3)
    ids, places = counts.stream(["ba", ""])
    a, b = counts.vocabulary.encode("ab")
    assert ids.tolist() == [4, 4, b, a, 1, 4, 4, 1]
    assert places.tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    assert [part.shape for part in counts.stream([])] == [(0,), (0,)]


@pytest.mark.parametrize("mark", [BOS, EOS])
def test_marks_inside_a_sentence_are_refused(mark):
    with pytest.raises(ValueError, match=mark):
        NGramCounts([["a", mark]], 2)
    with pytest.raises(ValueError, match=mark):
        Vocabulary([mark])
    assert NGramCounts([f"a{mark}"], 1).vocabulary.ids.keys() >= set("<a")  # characters


def test_nothing_to_count_is_refused():
    with pytest.raises(ValueError, match=r"."):
        NGramCounts(["a"], 0)
    with pytest.raises(ValueError, match=r"."):
        NGramCounts([], 2)


def test_text_is_looked_up_place_by_place():
    counts = NGramCounts(SENTENCES, 3)
    sentences = [["the", "cat", "to"], ["dog"]]
    (ids, rows), (_, places) = counts.look_up(sentences), counts.stream(sentences)
    assert ids.tolist() == counts.stream(sentences)[0].tolist()
    assert rows[0].tolist() == [0] * 9 + [0]
    found = [
        [spelled(counts, m, row) if row >= 0 else None for row in rows[m][places >= 2]]
        for m in (1, 2, 3)
    ]
    assert found[0] == [("the",), ("cat",), ("to",), (EOS,), ("dog",), (EOS,)]
    assert found[1] == [(BOS, "the"), ("the", "cat"), None, None, None, ("dog", EOS)]
    assert found[2] == [(BOS, BOS, "the"), (BOS, "the", "cat"), None, None, None, None]
