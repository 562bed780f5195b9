"""Vocabularies, and streams whose chunks follow one another, on texts short enough to see."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phase02.char_text import (
    Vocabulary,
    characters_read,
    split_text,
    stream_batches,
    streams,
)

LETTERS = np.arange(13)  # a to m, the example at the head of the module


# ---- vocabulary --------------------------------------------------------------------------


def test_vocabulary_is_the_sorted_set_of_characters():
    vocabulary = Vocabulary.of("hello, world")
    assert vocabulary.decode(np.arange(9)) == " ,dehlorw"
    assert len(vocabulary) == 9


def test_ids_are_places_in_the_vocabulary():
    ids = Vocabulary.of("cab").encode("abca")
    np.testing.assert_array_equal(ids, [0, 1, 2, 0])
    assert ids.dtype == np.int64


def test_decoding_gives_the_text_back():
    assert Vocabulary.of("cab").decode(np.array([2, 0, 1])) == "cab"


@given(st.text(min_size=1))
def test_any_text_survives_the_way_there_and_back(text):
    vocabulary = Vocabulary.of(text)
    assert vocabulary.decode(vocabulary.encode(text)) == text


def test_empty_text_has_no_ids_and_back():
    vocabulary = Vocabulary.of("a")
    assert vocabulary.encode("").shape == (0,)
    assert vocabulary.encode("").dtype == np.int64
    assert vocabulary.decode(np.array([], dtype=np.int64)) == ""


def test_vocabulary_may_have_an_order_of_its_own():
    np.testing.assert_array_equal(Vocabulary("ba").encode("abb"), [1, 0, 0])


def test_unknown_character_is_named():
    with pytest.raises(ValueError, match=r"\bz\b"):
        Vocabulary.of("ab").encode("abz")


@pytest.mark.parametrize("wrong", [-1, 2])
def test_id_outside_the_vocabulary_is_named(wrong):
    with pytest.raises(ValueError, match=rf"(?<!\d){wrong}\b"):
        Vocabulary.of("ab").decode(np.array([0, wrong]))


@pytest.mark.parametrize("characters", ["", "aa", ["ab"], [""]])
def test_vocabulary_refuses_what_is_no_list_of_characters(characters):
    with pytest.raises(ValueError, match=r"(?i)vocabulary|character|once|twice|empty"):
        Vocabulary(characters)


# ---- splitting ---------------------------------------------------------------------------


def test_held_out_part_is_the_end_of_the_text():
    assert split_text("abcdefghij", 0.3) == ("abcdefg", "hij")
    assert split_text("abcdefghij") == ("abcdefghi", "j")


@pytest.mark.parametrize(("text", "share"), [("abc", 0.0), ("abc", 1.0), ("", 0.5), ("abc", 0.1)])
def test_split_refuses_to_leave_one_part_empty(text, share):
    with pytest.raises(ValueError, match=r"(?i)empty|part|character|share|held_out"):
        split_text(text, share)


# ---- streams -----------------------------------------------------------------------------


def test_streams_are_contiguous_pieces_and_targets_are_one_later():
    inputs, targets = streams(LETTERS, 2)
    np.testing.assert_array_equal(inputs, [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]])
    np.testing.assert_array_equal(targets, [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]])


def test_streams_leave_over_what_does_not_fill_all_rows():
    inputs, targets = streams(LETTERS, 5)
    np.testing.assert_array_equal(inputs, np.arange(10).reshape(5, 2))
    np.testing.assert_array_equal(targets, np.arange(1, 11).reshape(5, 2))


def test_one_stream_has_every_character_but_the_last():
    inputs, targets = streams(LETTERS, 1)
    np.testing.assert_array_equal(inputs, [np.arange(12)])
    np.testing.assert_array_equal(targets, [np.arange(1, 13)])


def test_shortest_text_has_one_character_in_each_row():
    inputs, targets = streams(np.array([5, 6, 7]), 2)
    np.testing.assert_array_equal(inputs, [[5], [6]])
    np.testing.assert_array_equal(targets, [[6], [7]])


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_streams_take_ids_of_any_integer_dtype(dtype):
    inputs, targets = streams(LETTERS.astype(dtype), 2)
    assert (inputs.dtype, targets.dtype) == (np.dtype(np.int64), np.dtype(np.int64))


@pytest.mark.parametrize(("n_ids", "n_batch"), [(2, 2), (0, 1), (1, 1), (5, 0), (5, -1)])
def test_streams_refuse_a_row_without_a_character(n_ids, n_batch):
    with pytest.raises(ValueError, match=rf"row|character|n_batch|\b{n_ids}\b"):
        streams(np.arange(n_ids), n_batch)


def test_chunks_go_on_where_the_one_before_stopped():
    chunks = list(stream_batches(LETTERS, 2, 4))
    assert len(chunks) == 2
    np.testing.assert_array_equal(chunks[0][0], [[0, 1, 2, 3], [6, 7, 8, 9]])
    np.testing.assert_array_equal(chunks[0][1], [[1, 2, 3, 4], [7, 8, 9, 10]])
    np.testing.assert_array_equal(chunks[1][0], [[4, 5], [10, 11]])
    np.testing.assert_array_equal(chunks[1][1], [[5, 6], [11, 12]])


@pytest.mark.parametrize("chunk_length", [1, 3, 6, 50])
def test_chunks_of_any_length_are_the_streams_again(chunk_length):
    chunks = list(stream_batches(LETTERS, 2, chunk_length))
    inputs, targets = streams(LETTERS, 2)
    np.testing.assert_array_equal(np.concatenate([i for i, _ in chunks], axis=1), inputs)
    np.testing.assert_array_equal(np.concatenate([t for _, t in chunks], axis=1), targets)


def test_chunks_refuse_a_length_of_nothing():
    with pytest.raises(ValueError, match=r"\b0\b|chunk|length"):
        list(stream_batches(LETTERS, 2, 0))


def test_characters_of_some_chunks_by_hand():
    # 13 characters in 2 rows of 6: a pass is a chunk of 2 * 4 and one of 2 * 2.
    assert [characters_read(13, 2, 4, n) for n in range(6)] == [0, 8, 12, 20, 24, 32]


@pytest.mark.parametrize("chunk_length", [1, 3, 6, 50])
@pytest.mark.parametrize("n_batch", [1, 2, 5])
def test_characters_of_some_chunks_are_those_of_the_batches(n_batch, chunk_length):
    sizes = [inputs.size for inputs, _ in stream_batches(LETTERS, n_batch, chunk_length)] * 3
    found = [characters_read(13, n_batch, chunk_length, n) for n in range(len(sizes) + 1)]
    np.testing.assert_array_equal(found, np.cumsum([0, *sizes]))


@pytest.mark.parametrize(
    ("n_batch", "chunk_length", "message"),
    [(2, 0, r"\b0\b|chunk|length"), (13, 4, r"\b13\b|row|character|n_batch")],
)
def test_characters_of_chunks_that_cannot_be_are_refused(n_batch, chunk_length, message):
    with pytest.raises(ValueError, match=message):
        characters_read(13, n_batch, chunk_length, 1)
