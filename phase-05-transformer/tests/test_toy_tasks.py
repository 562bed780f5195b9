"""Batches of copying, reversing and digits to words: their symbols, answers and held-out part."""

import zlib

import numpy as np
import pytest

from phase05.toy_tasks import (
    END_WORD,
    NUMBER_WORDS,
    START_WORD,
    TASKS,
    answer,
    is_held_out,
    number_words,
    target_symbols,
    task_batch,
)


def rows(ids, mask):
    return [row[keep].tolist() for row, keep in zip(ids, mask, strict=True)]


@pytest.mark.kept
def test_words_are_all_different_and_as_many_as_numbers_need():
    assert len(NUMBER_WORDS) == len(set(NUMBER_WORDS)) == 30
    assert NUMBER_WORDS[19:22] == ("nineteen", "twenty", "thirty")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (7, "seven"),
        (10, "ten"),
        (13, "thirteen"),
        (19, "nineteen"),
        (20, "twenty"),
        (21, "twenty one"),
        (99, "ninety nine"),
        (100, "one hundred"),
        (101, "one hundred one"),
        (407, "four hundred seven"),
        (314, "three hundred fourteen"),
        (1000, "one thousand"),
        (12_000, "twelve thousand"),
        (30_050, "thirty thousand fifty"),
        (200_300, "two hundred thousand three hundred"),
        (999_999, "nine hundred ninety nine thousand nine hundred ninety nine"),
    ],
)
def test_numbers_are_said_as_written_here(number, words):
    assert " ".join(number_words(number)) == words


def test_numbers_below_a_hundred_are_spelled_right():
    ones = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    teens = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
    tens = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
    truth = ["zero", *ones, *teens.split()]
    for ten in tens:
        truth += [ten, *(f"{ten} {one}" for one in ones)]
    assert [" ".join(number_words(number)) for number in range(100)] == truth


def test_no_two_numbers_sound_the_same():
    said = {" ".join(number_words(number)) for number in range(20_000)}
    assert len(said) == 20_000


@pytest.mark.parametrize("number", [-1, 1_000_000])
def test_numbers_without_words_are_refused(number):
    with pytest.raises(ValueError, match=str(number)):
        number_words(number)


def test_symbols_end_with_start_and_end():
    for task in TASKS:
        assert target_symbols(task)[-2:] == (START_WORD, END_WORD)
    assert target_symbols("copy") == target_symbols("reverse")
    assert target_symbols("copy")[:10] == tuple("0123456789")
    assert target_symbols("words")[:-2] == NUMBER_WORDS


def test_answers_are_those_of_the_three_examples():
    assert answer("copy", [3, 1, 4]) == [3, 1, 4, 11]
    assert answer("reverse", [3, 1, 4]) == [4, 1, 3, 11]
    symbols = target_symbols("words")
    said = [symbols[word] for word in answer("words", [4, 0, 7])]
    assert said == ["four", "hundred", "seven", "<END>"]
    assert answer("words", [0]) == [0, 31]


@pytest.mark.parametrize("source", [[], [0, 7], [1, 2, 3, 4, 5, 6, 7]])
def test_digits_that_are_no_number_have_no_words(source):
    with pytest.raises(ValueError, match=r"\S"):
        answer("words", source)


def test_held_out_is_decided_by_the_sequence_alone():
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, 10, rng.integers(4, 9)).tolist() for _ in range(4000)]
    found = [is_held_out(source) for source in drawn]
    assert found == [zlib.crc32(bytes(source)) % 10 == 0 for source in drawn]
    assert found == [is_held_out(tuple(source)) for source in drawn]
    assert 0.08 < np.mean(found) < 0.12


@pytest.mark.parametrize("task", TASKS)
def test_training_and_test_never_share_a_sequence(task):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        seen = task_batch(task, rng, 300, 2, 5)
        hidden = task_batch(task, rng, 100, 2, 5, held_out=True)
        seen_rows = {tuple(row) for row in rows(seen.source, seen.source_mask)}
        hidden_rows = {tuple(row) for row in rows(hidden.source, hidden.source_mask)}
        assert not seen_rows & hidden_rows
        assert all(is_held_out(row) for row in hidden_rows)
        assert not any(is_held_out(row) for row in seen_rows)


@pytest.mark.parametrize("task", TASKS)
def test_batch_pairs_each_source_with_its_answer(task):
    batch = task_batch(task, np.random.default_rng(1), 60, 2, 6)
    sources, targets = rows(batch.source, batch.source_mask), rows(batch.target, batch.target_mask)
    assert {len(source) for source in sources} == {2, 3, 4, 5, 6}
    assert {digit for source in sources for digit in source} == set(range(10))
    for source, target in zip(sources, targets, strict=True):
        assert target == answer(task, source)
    assert not batch.source[~batch.source_mask].any()
    assert not batch.target[~batch.target_mask].any()
    assert batch.source.dtype == batch.target.dtype == np.int64
    assert len(batch.source) == len(batch.target) == 60


def test_numbers_have_no_zero_in_front_and_other_tasks_have():
    def firsts(task):
        return set(task_batch(task, np.random.default_rng(2), 400, 2, 3).source[:, 0].tolist())

    assert firsts("words") == set(range(1, 10))
    assert firsts("copy") == set(range(10))


def test_a_number_of_one_digit_may_be_zero():
    batch = task_batch("words", np.random.default_rng(0), 200, 1, 1)
    assert set(batch.source[:, 0].tolist()) == {d for d in range(10) if not is_held_out([d])}
    assert 0 in batch.source


def test_same_seed_gives_the_same_batch_and_another_gives_another():
    first = task_batch("reverse", np.random.default_rng(5), 9, 3, 3)
    again = task_batch("reverse", np.random.default_rng(5), 9, 3, 3)
    other = task_batch("reverse", np.random.default_rng(6), 9, 3, 3)
    np.testing.assert_array_equal(first.source, again.source)
    assert first.source.shape == (9, 3)
    assert first.target.shape == (9, 4)
    assert np.any(first.source != other.source)


@pytest.mark.parametrize(
    ("task", "n_batch", "shortest", "longest"),
    [
        ("sort", 4, 1, 3),
        ("copy", 0, 1, 3),
        ("copy", 4, 0, 3),
        ("copy", 4, 3, 2),
        ("words", 4, 1, 7),
    ],
)
def test_batches_that_cannot_be_are_refused(task, n_batch, shortest, longest):
    with pytest.raises(ValueError, match=r"\S"):
        task_batch(task, np.random.default_rng(0), n_batch, shortest, longest)


def test_task_that_is_none_is_named():
    with pytest.raises(ValueError, match="sort"):
        target_symbols("sort")
    with pytest.raises(ValueError, match="sort"):
        answer("sort", [1])
