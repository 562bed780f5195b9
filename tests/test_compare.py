"""The diagnosis of a wrong value: what it says of each mistake, and that it says nothing false."""

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from journal.compare import compare, diagnose, differs
from journal.diagnosis.exceptions import behind

RNG = np.random.default_rng(7)
MATRIX = RNG.normal(size=(4, 7))
POSITIVE = np.abs(MATRIX) + 0.1
BLOCK = RNG.normal(size=(3, 4, 5))
VECTOR = RNG.normal(size=7)
SQUARE = RNG.normal(size=(5, 5))
SOFTMAX = np.exp(MATRIX) / np.exp(MATRIX).sum(1, keepdims=True)
PATH = np.linspace(3.0, 0.5, 6)[:, None] * np.array([1.0, -0.7])
WHOLE = np.arange(28).reshape(4, 7) * 13 + 3
LOSS, LN2 = 2.3456, math.log(2)
NOTHING: Any = None
CAUSAL = np.tril(np.ones((6, 6), dtype=bool))


def likely(mine: Any, truth: Any, **tolerance: float) -> list[str]:
    text = diagnose("y", mine, truth, **tolerance)
    return [line.split("likely: ", 1)[1] for line in text.splitlines() if "likely: " in line]


def with_entries(values: np.ndarray, at: Any, entries: Any) -> np.ndarray:
    changed = values.copy()
    changed[at] = entries
    return changed


# Each row: the learner's value, the truth, and what the first cause begins with or holds.
CAUSES = {
    "no return": (None, MATRIX, "nothing is returned"),
    "function": (np.sum, 1.5, "a function where its value"),
    "generator": ((x for x in (1.0, 2.0)), VECTOR, "an iterator"),
    "value and cache": ((MATRIX, VECTOR), MATRIX, "your entry 0 is the truth"),
    "loss and gradient": ((1.25, VECTOR), 1.25, "your entry 0 is the truth"),
    "nan": (with_entries(MATRIX, (1, 2), np.nan), MATRIX, "nan comes from 0 / 0"),
    "overflow": (with_entries(MATRIX, 1, np.inf), MATRIX, "overflow"),
    "log of 0": (with_entries(MATRIX, (3, 0), -np.inf), MATRIX, "the logarithm of 0"),
    "finite": (1.5, math.inf, "the truth is infinite, as -log(0)"),
    "transposed": (MATRIX.T, MATRIX, "transposed (your value equals the truth with its axes sw"),
    "transposed square": (SQUARE.T, SQUARE, "transposed"),
    "transposed block": (BLOCK.swapaxes(1, 2), BLOCK, "transposed (your value equals the truth wi"),
    "transposed lists": (MATRIX.T.tolist(), MATRIX.tolist(), "transposed"),
    "axes turned": (BLOCK.transpose(1, 2, 0), BLOCK, "its axes in the order (1, 2, 0)"),
    "reshaped": (MATRIX.reshape(7, 4), MATRIX, "the right values in the right order"),
    "flat": (MATRIX.ravel(), MATRIX, "the right values in the right order"),
    "reshape for transpose": (
        BLOCK.reshape(12, 5).T.reshape(12, 5),
        BLOCK.reshape(12, 5),
        "a reshape where a transpose is needed",
    ),
    "heads": (
        BLOCK.reshape(4, 3, 5),
        BLOCK.transpose(1, 0, 2),
        "a reshape where a transpose is needed",
    ),
    "keepdims": (MATRIX.sum(0, keepdims=True), MATRIX.sum(0), "an axis of length 1 too many"),
    "no keepdims": (MATRIX.sum(1), MATRIX.sum(1, keepdims=True), "an axis of length 1 is missing"),
    "missing sum": (MATRIX, MATRIX.sum(0), "the sum over the batch (axis 0) is missing"),
    "missing sum, kept": (MATRIX, MATRIX.sum(1, keepdims=True), "the sum over axis 1 is missing"),
    "missing sums": (BLOCK, BLOCK.sum((0, 1)), "the sum over axes 0 and 1 is missing"),
    "missing mean": (MATRIX, MATRIX.mean(0), "the mean over the batch (axis 0) is missing"),
    "missing sum of all": (VECTOR, VECTOR.sum(), "the sum over all entries is missing"),
    "sum too many": (MATRIX.sum(1), MATRIX, "a reduction too many: the sum over axis 1"),
    "mean too many": (VECTOR.mean(), VECTOR, "a reduction too many: the mean over all entries"),
    "only the first": (BLOCK[0], BLOCK, "your value is the first entry along axis 0"),
    "only the last": (MATRIX[:, -1], MATRIX, "your value is the last entry along axis 1"),
    "grid": (VECTOR - VECTOR[:, None] + np.diag(VECTOR), VECTOR, "broadcasting made a grid"),
    "one short at the end": (VECTOR[:-1], VECTOR, "the last entry is missing"),
    "start missing": (PATH[1:], PATH, "the first entry along axis 0 is missing"),
    "three too many": (MATRIX, MATRIX[:, :4], "the last 3 entries along axis 1 are too many"),
    "two of four": (MATRIX[:2], MATRIX, "the last 2 entries along axis 0 are missing (a loop over"),
    "sign": (-MATRIX, MATRIX, "the sign is flipped"),
    "sign of a number": (-2.5, 2.5, "the sign is flipped"),
    "twice": (2 * MATRIX, MATRIX, "twice the truth"),
    "half": (1.3, 2.6, "half the truth"),
    "bits": (1.1 / LN2, 1.1, "bits where nats are asked"),
    "nats": (VECTOR * LN2, VECTOR, "nats where bits are asked"),
    "sum for mean": (4 * MATRIX, MATRIX, "too large by the factor 4 (the length of axis 0): a sum"),
    "sum for mean over both": (28 * MATRIX, MATRIX, "too large by the factor 28"),
    "mean for sum": (VECTOR / 7, VECTOR, "too small by the factor 7 (the length of axis 0)"),
    "sum for mean, a number": (11 * LOSS, LOSS, "11 times the truth (a sum where a mean"),
    "mean for sum, a number": (LOSS / 5, LOSS, "1/5 of the truth (a mean for a sum"),
    "times ln 2 for bits": (1.1 * LN2, 1.1 / LN2, "multiplied by ln 2 where it should be divided"),
    "over ln 2 for nats": (1.1 / LN2, 1.1 * LN2, "divided by ln 2 where it should be multiplied"),
    "unscaled scores": (MATRIX * math.sqrt(7), MATRIX, "too large by the square root of 7"),
    "scaled twice": (MATRIX / math.sqrt(7), MATRIX, "too small by the square root of 7"),
    "n - 1": (MATRIX * 7 / 6, MATRIX, "off by n / (n - 1)"),
    "standard deviation with n - 1": (MATRIX * math.sqrt(3 / 4), MATRIX, "off by n / (n - 1)"),
    "root of something": (MATRIX * math.sqrt(13), MATRIX, "off by the factor sqrt(13) everywhere"),
    "factor": (MATRIX * 0.123, MATRIX, "off by the factor 0.123 everywhere"),
    "not divided by the sum": (np.exp(MATRIX), SOFTMAX, "not normalised: divided by its sum"),
    "not divided by the norm": (
        MATRIX,
        MATRIX / np.linalg.norm(MATRIX, axis=1, keepdims=True),
        "not normalised: divided by its norm along axis 1",
    ),
    "signs lost": (np.abs(MATRIX), MATRIX, "right up to the signs, which are lost"),
    "some signs": (with_entries(MATRIX, 2, -MATRIX[2]), MATRIX, "right up to the signs, which"),
    "factor of each row": (
        MATRIX * np.array([[2.3], [3.1], [0.4], [5.0]]),
        MATRIX,
        "each slice along axis 1 is off by a factor of its own",
    ),
    "wrong axis": (
        np.exp(BLOCK) / np.exp(BLOCK).sum(1, keepdims=True),
        np.exp(BLOCK) / np.exp(BLOCK).sum(2, keepdims=True),
        "normalised over the wrong axis: the truth sums to 1 along axis 2",
    ),
    "normalised in all": (
        np.exp(MATRIX) / np.exp(MATRIX).sum() * 1.0,
        SOFTMAX,
        "not normalised: divided by its sum along axis 1",
    ),
    "scores": (MATRIX, SOFTMAX, "the softmax along axis 1 is missing"),
    "softmax twice": (
        np.exp(SOFTMAX) / np.exp(SOFTMAX).sum(1, keepdims=True),
        SOFTMAX,
        "a softmax along axis 1 too many",
    ),
    "plus 1": (MATRIX + 1, MATRIX, "too large by 1 everywhere"),
    "one too few": (34, 35, "too small by 1 (counted one too few"),
    "one too many": (WHOLE[0] + 1, WHOLE[0], "too large by 1 (counted one too many"),
    "plus k": (MATRIX + 0.37, MATRIX, "too large by 0.37 everywhere"),
    "log-sum not subtracted": (
        MATRIX,
        MATRIX - np.log(np.exp(MATRIX).sum(1, keepdims=True)),
        "each slice along axis 1 is off by an amount of its own",
    ),
    "reversed": (MATRIX[:, ::-1], MATRIX, "reversed along axis 1"),
    "rolled": (np.roll(MATRIX, 1, 0), MATRIX, "shifted by one along axis 0 (your entry"),
    "rolled back": (np.roll(VECTOR, -1), VECTOR, "shifted by one along axis 0 (your entry i is t"),
    "shifted": (
        with_entries(np.roll(MATRIX, 1, 1), (slice(None), 0), 0.0),
        MATRIX,
        "shifted by one along axis 1 (your entry i is the truth's i - 1)",
    ),
    "shifted back": (
        with_entries(np.roll(VECTOR, -1), -1, 99.0),
        VECTOR,
        "shifted by one along axis 0 (your entry i is the truth's i + 1)",
    ),
    "mask off by one": (np.tril(np.ones((6, 6), dtype=bool), 1), CAUSAL, "shifted by one along"),
    "permuted": (VECTOR[[3, 1, 0, 2, 6, 5, 4]], VECTOR, "the right values in another order"),
    "square": (MATRIX**2, np.abs(MATRIX), "your value is the square of the truth"),
    "norm without its root": (25.0, 5.0, "your value is the square of the truth"),
    "root": (np.sqrt(POSITIVE), POSITIVE, "your value is the square root of the truth"),
    "no logarithm": (np.exp(MATRIX), MATRIX, "your value is the exponential of the truth"),
    "no exponential": (np.log(POSITIVE), POSITIVE, "your value is the logarithm of the truth"),
    "probability for loss": (0.2, -math.log(0.2), "your value is exp(-truth)"),
    "perplexity of bits": (2**3.3, 3.3, "your value is 2 to the power of the truth"),
    "2 to the nats": (2**LOSS, math.exp(LOSS), "your value is the truth to the power of ln 2"),
    "e to the bits": (math.exp(3.3), 2**3.3, "your value is truth ** (1 / ln 2)"),
    "epsilon in the logarithm": (-math.log(1e-12), 713.8, "your value is -log(1e-12): an epsilon"),
    "clipped, in bits": (
        np.minimum(WHOLE, -math.log2(1e-9)),
        WHOLE,
        "your value is -log(1e-9): an epsilon",
    ),
    "upside down": (1 / MATRIX, MATRIX, "your value is 1 / truth"),
    "complement": (1 - SOFTMAX, SOFTMAX, "your value is 1 minus the truth"),
    "complement of a number": (0.65432, 0.34568, "your value is 1 minus the truth"),
    "mask inverted": (~CAUSAL, CAUSAL, "true and false exchanged"),
    "clipped": (np.maximum(MATRIX, 0), MATRIX, "your value is the truth with its negative"),
    "integer division": (WHOLE // 4, WHOLE / 4, "your value is the truth rounded down"),
    "rounded": (np.round(10 * MATRIX), 10 * MATRIX, "your value is the truth rounded to whole"),
    "nothing written": (np.zeros_like(MATRIX), MATRIX, "every entry is 0"),
    "first row alone": (with_entries(MATRIX, slice(1, None), 0), MATRIX, "only the first row is"),
    "some left out": (with_entries(MATRIX, (2, [1, 5]), 0), MATRIX, "the wrong entries are all 0"),
    "stored in place": (np.tile(PATH[-1], (6, 1)), PATH, "every row is the last one of the truth"),
    "one list twice": (
        [[4.0, -5.0]] * 2,
        [[1.0, 2.0], [4.0, -5.0]],
        "every row is the last one of",
    ),
    "uphill": (2 * PATH[0] - PATH, PATH, "the first step goes the opposite way"),
    "loop over the rows": (
        RNG.normal(size=(2, 2)),
        RNG.normal(size=(2, 4)),
        "yours is square where the truth",
    ),
    "never moves": (np.tile(PATH[0], (6, 1)), PATH, "every row is the first one of the truth"),
    "one number": (np.full((4, 7), 0.77), MATRIX, "every entry is the same number"),
    "no mask": (SQUARE, np.tril(SQUARE), "the truth is 0 wherever yours is wrong"),
    "running sum": (np.cumsum(MATRIX, 1), MATRIX, "a running sum along axis 1"),
    "float32": (MATRIX.astype(np.float32), MATRIX, "computed in float32"),
    "a step in float32": (MATRIX.astype(np.float32).astype(float), MATRIX, "a step in float32"),
    "small epsilon": (POSITIVE + 1e-8, POSITIVE, "the same small amount, 1e-08"),
    "last digits": (MATRIX * (1 + 3e-16), MATRIX, "rounding alone"),
    "seven digits": (MATRIX * (1 + 1e-7 * np.sin(WHOLE)), MATRIX, "about 7 digits are right: a st"),
    "unstable": (MATRIX * (1 + 1e-11 * np.sin(WHOLE)), MATRIX, "about 11 digits are right: round"),
    "coarse": (MATRIX * (1 + 1e-3 * np.sin(WHOLE)), MATRIX, "near the truth (3 digits are right)"),
    "exchanged": ((VECTOR, MATRIX), (MATRIX, VECTOR), "the right values in another order (your "),
    "spaces": ("the cat \n", "the cat", "spaces or line ends at the beginning"),
    "case": ("The cat", "the cat", "upper and lower case"),
    "too few lists": ([[1, 2], [3]], [[1, 2], [3], [4, 5, 6]], "the last entry is missing"),
}


@pytest.mark.parametrize("mistake", CAUSES)
def test_each_mistake_is_recognised_by_what_it_does_to_the_numbers(mistake: str) -> None:
    mine, truth, expected = CAUSES[mistake]
    sentences = likely(mine, truth, rtol=0.0)
    assert 1 <= len(sentences) <= 2
    assert expected in sentences[0]
    assert differs(mine, truth, rtol=0.0)


SHAPES = [(), (1,), (2,), (3,), (7,), (1, 1), (2, 2), (3, 5), (5, 3), (4, 4), (2, 3, 4), (3, 3, 3)]
DTYPES = [np.float64, np.float32, np.float16]


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    shape=st.sampled_from(SHAPES),
    other=st.sampled_from(SHAPES),
    same=st.booleans(),
    dtype=st.sampled_from(DTYPES),
    positive=st.booleans(),
)
def test_unrelated_arrays_have_no_cause(
    seed: int, shape: tuple, other: tuple, same: bool, dtype: type, positive: bool
) -> None:
    rng = np.random.default_rng(seed)
    mine = rng.normal(size=shape if same else other).astype(dtype)
    truth = rng.normal(size=shape).astype(dtype)
    if positive:
        mine, truth = np.abs(mine), np.abs(truth)
    if mine.shape != truth.shape and mine.size == truth.size == 1:
        return
    assert likely(mine, truth) == []


@pytest.mark.parametrize("wrong", [0.0, 1.0, 3.7])
def test_constant_truth_is_not_called_transposed_or_shifted_or_permuted(wrong: float) -> None:
    text = diagnose("y", with_entries(np.full((4, 4), 2.5), (1, 2), wrong), np.full((4, 4), 2.5))
    assert not any(word in text for word in ("transposed", "shifted", "another order", "reversed"))


# Values that a rule may fit by chance, as it does where there are only a few simple numbers.
CHANCE = {
    "0 for 0.213": (0.0, 0.213095),
    "0 for a small distance": ([[0.0]], [[9.53674e-07]]),
    "2 for e": (2.0, math.e),
    "3 for 2.079": (3.0, 2.07944),
    "1 for 0.25, twice": ([1.0, 1.0], [0.25, 0.25]),
    "7 for 6": (7.0, 6.0),
    "0 for a step back": ([0.0, 1e-7], [-1e-7, 1e-7]),
    "fractions": (0.75, 0.25),
    "powers of ten": (1e-9, 1e-6),
    "one element of six": (
        [[2.0, 4.0, -2.0], [6.0, 0.0, 8.0]],
        [[2.0, 4.0, -2.0], [6.0, -2e-07, 8.0]],
    ),
    "one element that is 0": (with_entries(MATRIX, (1, 1), 0.0), MATRIX),
    "infinite on the other side": (math.inf, 1.0),
    "a large number of steps": (69314718.0, 1e9),
}


@pytest.mark.parametrize("case", CHANCE)
def test_few_simple_numbers_are_not_explained_by_rounding_counting_or_clipping(case: str) -> None:
    mine, truth = CHANCE[case]
    words = ("rounded", "whole numbers", "counted", "negative entries", "where a sum", "skipped")
    words += ("everywhere", "minus the truth", "clipped")
    assert not [line for line in likely(mine, truth) if any(word in line for word in words)]


def test_symmetric_matrix_with_one_wrong_entry_is_not_called_transposed() -> None:
    symmetric = SQUARE + SQUARE.T
    assert likely(with_entries(symmetric, (1, 3), 9.0), symmetric) == []


def test_right_start_with_a_wrong_rest_has_no_cause() -> None:
    assert likely(with_entries(PATH, slice(1, None), RNG.normal(size=(5, 2))), PATH) == []


def test_report_gives_count_first_index_both_values_and_the_worst() -> None:
    mine = with_entries(with_entries(MATRIX, (1, 2), MATRIX[1, 2] + 0.5), (3, 6), 10.0)
    lines = diagnose("dW", mine, MATRIX).splitlines()
    assert lines[0] == "dW: 2 of 28 values differ (shape (4, 7); rtol 1e-07)"
    assert lines[1].startswith(f"  first at [1, 2]: yours {mine[1, 2]:.6g}, truth ")
    assert "(off by 0.5, relative " in lines[1]
    assert lines[2].startswith("  worst at [3, 6]: yours 10, truth ")
    assert len(lines) == 3


def test_values_that_print_alike_are_given_with_more_digits() -> None:
    assert "yours 1.23456789, truth 1.23456799" in diagnose("y", 1.23456789, 1.23456799, rtol=1e-9)


def test_nan_and_inf_are_counted() -> None:
    mine = with_entries(MATRIX, 0, np.nan)
    mine[1, 1] = np.inf
    text = diagnose("y", mine, MATRIX)
    assert "7 of yours are nan" in text
    assert "1 of yours are inf" in text


def test_other_dtype_is_named() -> None:
    assert "dtype: int64, truth float64" in diagnose("y", WHOLE // 4, WHOLE / 4)


def test_dtype_of_plain_numbers_and_of_whole_numbers_for_floats_is_not_worth_a_line() -> None:
    assert "dtype" not in diagnose("y", 0.48045, 1)
    assert "dtype" not in diagnose("y", np.array([0.25, 0.75]), [1, 0])
    assert "dtype" not in diagnose("y", np.array([0.25, 0.75]), np.array([1, 0]))


def test_exact_comparison_shows_a_difference_in_the_last_digits() -> None:
    text = diagnose("y", 1.0000000000000002, 1, rtol=0.0)
    assert "yours 1.0000000000000002, truth 1 (off by 2.22e-16, " in text
    assert "compared exactly" in text
    assert "likely: rounding alone, in the last digits" in text


def test_sets_are_shown_with_what_is_in_them() -> None:
    assert diagnose("seen", {0.3, 0.5}, {0.5}) == "seen: {0.3, 0.5}, where the truth is {0.5}"


def test_equal_numbers_in_a_tuple_and_in_a_list_are_told_apart_by_their_types() -> None:
    assert diagnose("y", (1, 2), [1, 2], rtol=0.0).splitlines()[1] == "  type: tuple, truth list"


@pytest.mark.parametrize(
    ("raise_it", "cause"),
    [
        (lambda: MATRIX - MATRIX.max(1), "keepdims=True"),
        (lambda: MATRIX @ MATRIX, "the inner lengths of a matrix product differ"),
        (lambda: MATRIX.tolist()[4], "a loop that goes on longer than the list"),
        (lambda: MATRIX[4], "a loop that goes on longer than the axis"),
        (lambda: np.exp(np.array([1000.0])), "subtract the maximum first"),
        (lambda: np.log(np.array([0.0])), "the logarithm of 0"),
        (lambda: np.log(np.array([-1.0])), "the logarithm of a number below 0"),
        (lambda: np.sqrt(np.array([-1e-16])), "the root of a number below 0"),
        (lambda: NOTHING[0], "a return is missing"),
    ],
)
def test_known_exception_has_a_cause(raise_it: Any, cause: str) -> None:
    with (
        np.errstate(all="raise"),
        pytest.raises((ArithmeticError, LookupError, TypeError, ValueError)) as caught,
    ):
        raise_it()
    assert cause in behind(str(caught.value))[0]


def test_unknown_exception_has_no_cause() -> None:
    assert behind("name 'lengt' is not defined") == []


def region_at(truth: np.ndarray, at: Any) -> str:
    mine = truth.copy()
    mine[at] += 1 + RNG.random(mine[at].shape)
    found = [line for line in diagnose("y", mine, truth).splitlines() if "where: only " in line]
    return found[0].split("where: only ")[1] if found else ""


def test_region_of_the_wrong_entries_is_named() -> None:
    above, below = np.triu_indices(5, 1), np.tril_indices(5, -1)
    expected = {
        "the last row": region_at(MATRIX, -1),
        "the first column": region_at(MATRIX, (slice(None), 0)),
        "row 2": region_at(MATRIX, 2),
        "the rows other than the first": region_at(MATRIX, slice(1, None)),
        "columns 3 to 6": region_at(MATRIX, (slice(None), slice(3, None))),
        "every second column, from column 1 on": region_at(
            MATRIX, (slice(None), slice(1, None, 2))
        ),
        "every second entry, from the first on": region_at(VECTOR, slice(None, None, 2)),
        "the last entry": region_at(VECTOR, -1),
        "the last slice of axis 2": region_at(BLOCK, (..., -1)),
        "the diagonal": region_at(SQUARE, np.diag_indices(5)),
        "the entries above the diagonal": region_at(SQUARE, above),
        "the entries below the diagonal": region_at(SQUARE, below),
        "the entries whose truth is negative": region_at(MATRIX, MATRIX < 0),
    }
    assert expected == {words: words for words in expected}


def test_scattered_wrong_entries_have_no_region() -> None:
    assert region_at(MATRIX, ([0, 1, 3], [4, 1, 6])) == ""


def test_dictionary_report_names_missing_extra_and_the_first_key_that_differs() -> None:
    truth = {"weight": MATRIX, "bias": VECTOR, "scale": 1.5}
    text = diagnose("grads", {"weight": MATRIX, "bias": 2 * VECTOR, "shift": 0.5}, truth)
    assert "missing: 'scale'" in text
    assert "not in the truth: 'shift'" in text
    assert "grads['bias']: 7 of 7 values differ" in text
    assert "likely: twice the truth" in text


def test_gradients_under_each_others_names_are_recognised() -> None:
    truth = {"dweight": MATRIX, "dbias": VECTOR, "dx": BLOCK}
    mine = {"dweight": MATRIX, "dbias": BLOCK, "dx": VECTOR}
    assert "your 'dbias' is the truth's 'dx'" in likely(mine, truth)[0]


def test_wrong_entry_of_a_tuple_is_reported_further_in() -> None:
    text = diagnose("back", (MATRIX, VECTOR.sum()), (MATRIX, VECTOR))
    assert "1 of 2 entries differ: 1" in text
    assert "back[1]: shape (), where the truth has (7,)" in text


def test_strings_report_where_they_begin_to_differ() -> None:
    text = diagnose("text", "the cat sat", "the cow sat")
    assert "from character 5 on" in text
    assert "yours 'the cat sat', truth 'the cow sat'" in text


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64])
def test_tensors_are_compared_as_arrays_whatever_their_dtype(dtype: torch.dtype) -> None:
    truth = torch.tensor(WHOLE).to(dtype)
    assert not differs(truth.clone(), truth)
    assert differs(truth + truth.max(), truth)
    assert "transposed" in likely(truth.T, truth)[0]


def test_tensor_that_needs_a_gradient_is_compared_with_an_array() -> None:
    tensor = torch.tensor(MATRIX, requires_grad=True)
    assert not differs(tensor, MATRIX)
    assert not differs([tensor[0, 0], 1.0], [MATRIX[0, 0], 1.0])
    assert "twice the truth" in likely(2 * tensor, MATRIX)[0]


def test_bfloat16_is_named_as_the_reason_for_few_digits() -> None:
    tensor = torch.tensor(MATRIX).to(torch.bfloat16)
    assert likely(tensor, MATRIX)[0].startswith("computed in bfloat16")


@pytest.mark.parametrize(
    ("mine", "truth"),
    [
        ([[1, 2], [3, 4]], np.array([[1.0, 2.0], [3.0, 4.0]])),
        ((1.0, 2.0), [1, 2]),
        (np.float32(1.5), 1.5),
        (math.nan, math.nan),
        ([math.inf, 1], [math.inf, 1.0]),
        ({"a": [1, [2, 3]]}, {"a": (1, (2, 3))}),
        (["a", "b"], ("a", "b")),
        (np.array(["a", "b"]), ["a", "b"]),
        (None, None),
        (10**30, 10**30),
        ([], []),
        ([PATH[0], PATH[1]], PATH[:2]),
        (np.dtype("float32"), np.float32),
        (True, np.True_),
    ],
)
def test_equal_values_do_not_differ_whatever_holds_them(mine: Any, truth: Any) -> None:
    assert not differs(mine, truth, rtol=0.0)
    assert diagnose("y", mine, truth).startswith("y: no difference (rtol 1e-07)")


@pytest.mark.parametrize(
    ("mine", "truth"),
    [
        (1.0, np.ones(3)),
        (np.ones((3, 1)), np.ones(3)),
        (None, 0.0),
        (np.array([]), None),
        ("1", 1),
        ([1, 2], [1, 2, 3]),
        (1 + 2j, 1 - 2j),
        (np.dtype("float32"), np.dtype("float64")),
        (["a", "b"], ["a", "c"]),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": 1}, [1]),
        (10**30, 10**30 + 1),
        (np.zeros((3, 0)), np.zeros((0, 3))),
        (np.array([1 + 2j, 3.0, 4.0]), np.array([4.0, 3.0, 1 + 2j])),
        ([[1, 2], [3]], np.eye(2)),
        (True, False),
        (math.nan, 1.0),
    ],
)
def test_different_values_differ_and_the_report_names_them(mine: Any, truth: Any) -> None:
    assert differs(mine, truth)
    assert diagnose("loss", mine, truth).startswith("loss")
    assert "no difference" not in diagnose("loss", mine, truth)


def test_tolerance_decides_what_differs() -> None:
    assert not differs(1.001, 1.0, rtol=1e-2)
    assert differs(1.001, 1.0, rtol=1e-4)
    assert not differs(1e-9, 0.0, atol=1e-8)
    assert "rtol 0.0001, atol 1e-05" in diagnose("y", 1.001, 1.0, rtol=1e-4, atol=1e-5)


def test_compare_prints_the_report_and_returns_whether_they_agree(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert compare("dW", MATRIX.astype(np.float32), MATRIX, rtol=1e-5) is True
    shown = capsys.readouterr().out
    assert shown.startswith("dW: equal (an array of shape (4, 7); rtol 1e-05)")
    assert "dtype: float32, truth float64" in shown
    assert compare("dW", MATRIX.T, MATRIX) is False
    assert capsys.readouterr().out.splitlines() == [
        "dW: shape (7, 4), where the truth has (4, 7)",
        "  likely: transposed (your value equals the truth with its axes swapped)",
    ]


def test_compared_arrays_are_left_as_they_were() -> None:
    mine, truth = MATRIX * 3, MATRIX.copy()
    diagnose("y", mine, truth)
    np.testing.assert_array_equal(mine, MATRIX * 3)
    np.testing.assert_array_equal(truth, MATRIX)


def test_diagnosis_warns_of_nothing_on_its_own_account() -> None:
    code = (
        "import numpy as np; from journal.compare import diagnose\n"
        "for x in (np.zeros((3, 4)), np.full((3, 4), 1e300), np.array([np.inf, np.nan, 0.0])):\n"
        "    for y in (-1 - x, x.T + 2, 0 * np.sign(x), np.ones(()), x[:0], x[1:]):\n"
        "        diagnose('y', y, x)\n"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_comparing_does_not_import_torch() -> None:
    code = "import sys; from journal.compare import compare; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("mine", "truth"), [((), (2,)), ((2, 3), (2, 4)), ((3, 2), (2, 3))])
def test_two_shapes_are_shown_as_they_are(mine, truth):
    text = diagnose("y.shape", mine, truth)
    assert f"y.shape: yours {mine}, the truth {truth}" in text
    assert ("transposed" in text) == (mine == (3, 2))
