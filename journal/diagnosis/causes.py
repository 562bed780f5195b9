"""What may have gone wrong: mistakes that are recognised in a wrong value beside the true one.

A row of the tables is a sentence and a test of the two arrays. A test holds only where the mistake
that the sentence names turns one value into the other, number by number, and most are tried only
where the two differ by more than rounding: on symmetric, constant or trivial data a mistake that
would change nothing is never named. The rows of a table exclude each other and the simplest comes
first; at most two sentences are told, of different tables.

Left out: two mistakes at once (transposed and off by a factor), and whatever a value does not show,
such as a wrong formula. Then there is no sentence, which is better than a false one.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from journal.diagnosis import relations
from journal.diagnosis.pair import (
    HALF,
    Pair,
    all_zero,
    coarser,
    in_float32,
    numbers,
    relative_error,
    short,
    trivial,
)
from journal.diagnosis.relations import Choices

LN2 = math.log(2)


@dataclass(frozen=True)
class Cause:
    """A sentence and its test, with the choices (value, words) that both are tried with, if any."""

    says: str
    holds: Callable[..., object]
    among: Callable[[Pair], Choices] | None = None

    def found(self, pair: Pair) -> str:
        """The sentence where the test holds, or nothing."""
        if self.among is None:
            return self.says if self.holds(pair) else ""
        found = (words for choice, words in self.among(pair) if self.holds(pair, choice))
        return next((self.says.format(words) for words in found), "")


def likely(pair: Pair) -> list[str]:
    """The best two causes at most, a line each; none where no mistake is recognised."""
    with np.errstate(all="ignore"):
        if pair.alike and (found := list(islice(_held(NOT_FINITE, pair), 2))):
            return found
        if np.iscomplexobj(pair.mine) or np.iscomplexobj(pair.truth):
            return list(islice(_held(ARRANGEMENT, pair), 1))
        if pair.alike and (found := list(islice(_held(PRECISION, pair), 1))):
            return found
        chance = pair.few and pair.epsilon > HALF  # a few coarse numbers are soon alike
        if chance or pair.near(pair.slack):
            return []
        best = (sentence for table in TABLES for sentence in islice(_held(table, pair), 1))
        return list(islice(best, 2)) or list(_held(LAST, pair))


def _held(table: Iterable[Cause], pair: Pair) -> Iterator[str]:
    return (sentence for cause in table if (sentence := cause.found(pair)))


NOT_FINITE = (
    Cause(
        "nan comes from 0 / 0, 0 * log(0), inf / inf or inf - inf, or from the root or the "
        "logarithm of a number below 0",
        lambda p: (np.isnan(p.mine) & ~np.isnan(p.truth)).any(),
    ),
    Cause(
        "inf comes from exp of a large number (overflow: subtract the maximum first), from log(0) "
        "or from a division by 0",
        lambda p: ((p.mine == np.inf) & (p.truth != np.inf)).any(),
    ),
    Cause(
        "the logarithm of 0: a number was rounded to 0 before its logarithm was taken",
        lambda p: ((p.mine == -np.inf) & (p.truth != -np.inf)).any(),
    ),
    Cause(
        "the truth is infinite, as -log(0) or 1 / 0 is: in yours that 0 does not come in, or a "
        "small number stands for it",
        lambda p: (np.isinf(p.truth) & np.isfinite(p.mine)).any(),
    ),
)

PRECISION = (
    Cause(
        "computed in {}: right to its precision, and more was asked",
        lambda p, epsilon: p.near(1e-5 + 4 * epsilon),
        lambda p: [(p.epsilon, p.mine_dtype)] if coarser(p) else [],
    ),
    Cause(
        "rounding alone, in the last digits (another order of the same operations)",
        lambda p: p.near(4 * p.epsilon if p.epsilon > 1e-9 else 64 * p.epsilon),
    ),
    Cause(
        "a step in float32: every entry of yours is a float32 number",
        lambda p: p.near(1e-5) and in_float32(p.mine) and not in_float32(p.truth),
    ),
    Cause(
        "the same small amount, {}, is added everywhere (an epsilon that the truth has not?)",
        lambda p, offset: p.near(1e-5) and np.allclose(p.mine - p.truth, offset, rtol=1e-3, atol=0),
        relations.small_offset,
    ),
    Cause(
        "about {} digits are right: a step in float32, or a finite difference that is too coarse "
        "or too fine",
        lambda p, _: p.near(1e-5) and relative_error(p) > 1e-9,
        relations.digits,
    ),
    Cause(
        "about {} digits are right: rounding errors grew (a difference of nearly equal numbers?), "
        "or a tiny epsilon is added",
        lambda p, _: p.near(1e-5),
        relations.digits,
    ),
)

ARRANGEMENT = (
    Cause(
        "an axis of length 1 too many (keepdims=True, or [:, None]?)",
        lambda p: p.mine.ndim > p.truth.ndim and p.same(p.mine.squeeze(), p.truth.squeeze()),
    ),
    Cause(
        "an axis of length 1 is missing (keepdims=True left out?)",
        lambda p: p.mine.ndim < p.truth.ndim and p.same(p.mine.squeeze(), p.truth.squeeze()),
    ),
    Cause(
        "transposed (your value equals the truth with {})",
        lambda p, order: p.mine_is(p.truth.transpose(order)),
        relations.orders,
    ),
    Cause(
        "the right values in the right order, but in another shape (a reshape is missing or wrong)",
        lambda p: not p.alike and p.same(p.mine.ravel(), p.truth.ravel()),
    ),
    Cause(
        "a reshape where a transpose is needed (your values run through the truth with {})",
        lambda p, order: p.alike and p.same(p.mine.ravel(), p.truth.transpose(order).ravel()),
        relations.orders,
    ),
    Cause("reversed along {}", lambda p, axis: p.mine_is(np.flip(p.truth, axis)), relations.axes),
    Cause("shifted by one along {}", relations.shifted, relations.shifts),
    Cause(
        "the right values in another order (sorted, yours and the truth are equal)",
        lambda p: (
            p.alike
            and not p.few
            and p.same(np.sort(p.mine, axis=None), np.sort(p.truth, axis=None))
        ),
    ),
)

SCALE = (
    Cause(
        "{}",
        lambda p, k: p.mine_is(k * p.truth),
        lambda p: (
            (-1, "the sign is flipped (your value is minus the truth)"),
            (
                2,
                "twice the truth (a factor 1/2 or a mean over 2 is missing, or one is added twice)",
            ),
            (0.5, "half the truth (a factor 2 is missing, or a half or a mean over 2 too many)"),
            (1 / LN2, "bits where nats are asked (your value is the truth / ln 2)"),
            (LN2, "nats where bits are asked (your value is the truth * ln 2)"),
            (LN2**2, "multiplied by ln 2 where it should be divided: bits are nats / ln 2"),
            (LN2**-2, "divided by ln 2 where it should be multiplied: nats are bits * ln 2"),
        ),
    ),
    Cause("{}", lambda p, k: p.mine_is(k * p.truth), relations.by_lengths),
    Cause(
        "not normalised: divided by its {}, your value is the truth",
        relations.divided,
        relations.sizes,
    ),
    Cause("{}", lambda p, k: p.mine_is(k * p.truth), relations.factors),
    Cause(
        "right up to the signs, which are lost, or wrong in some entries",
        lambda p: not p.few and p.same(np.abs(p.mine), np.abs(p.truth)),
    ),
    Cause(
        "each slice along {} is off by a factor of its own (a division by a sum, a norm or a "
        "length is missing, or goes along another axis)",
        relations.factor_each,
        relations.axes,
    ),
)

NORMALISATION = (
    Cause(
        "normalised over the wrong axis: the truth sums to 1 along {}, yours elsewhere",
        lambda p, axis: numbers(p) and relations.normalised_elsewhere(p, axis),
        relations.axes,
    ),
    Cause(
        "the softmax along {} is missing (your values are the scores that go into it)",
        lambda p, axis: p.truth.shape[axis] > 1 and p.truth_is(relations.softmax(p.mine, axis)),
        relations.axes,
    ),
    Cause(
        "a softmax along {} too many (it is applied to the truth once more)",
        lambda p, axis: p.truth.shape[axis] > 1 and p.mine_is(relations.softmax(p.truth, axis)),
        relations.axes,
    ),
)

OFFSET = (
    Cause("{}", lambda p, k: p.mine_is(p.truth + k), relations.offsets),
    Cause(
        "each slice along {} is off by an amount of its own (a bias, a maximum, a mean or the "
        "logarithm of a sum is not added or subtracted, or along another axis)",
        relations.offset_each,
        relations.axes,
    ),
)

REDUCTION = (
    Cause(
        "the {} is missing (with it, your value equals the truth)",
        lambda p, reduce: p.truth_is(reduce(p.mine)),
        lambda p: relations.reductions(p.mine),
    ),
    Cause(
        "a reduction too many: the {} (with it, the truth equals your value)",
        lambda p, reduce: p.mine_is(reduce(p.truth)),
        lambda p: relations.reductions(p.truth),
    ),
    Cause("{}", relations.in_common, relations.stretches),
    Cause(
        "your value is the {} of the truth alone: the others are missing",
        lambda p, end: p.mine_is(np.take(p.truth, end[1], end[0])),
        relations.ends,
    ),
    Cause(
        "broadcasting made a grid: (n,) with (n, 1) gives (n, n), whose diagonal is the truth",
        relations.grid,
    ),
    Cause(
        "a running sum along {} of the truth (added up where each should start anew)",
        lambda p, axis: not p.few and p.mine_is(np.cumsum(p.truth, axis)),
        relations.axes,
    ),
)

FUNCTION = (
    Cause(
        "your value is {}",
        lambda p, f: not trivial(p.truth) and not all_zero(p.mine) and p.mine_is(f(p.truth)),
        lambda p: (
            (np.square, "the square of the truth (a square root is missing)"),
            (np.sqrt, "the square root of the truth (a root too many, or a square missing)"),
            (np.exp, "the exponential of the truth (a logarithm is missing)"),
            (np.log, "the logarithm of the truth (an exponential is missing)"),
            (lambda t: np.exp(-t), "exp(-truth) (the negative logarithm is missing)"),
            (lambda t: -np.log(t), "-log(truth) (a negative logarithm too many)"),
            (np.exp2, "2 to the power of the truth (a logarithm to base 2 is missing)"),
            (np.log2, "the logarithm to base 2 of the truth (a power of 2 is missing)"),
            (lambda t: t**LN2, "the truth to the power of ln 2 (2 is raised to nats: e should be)"),
            (lambda t: t ** (1 / LN2), "truth ** (1 / ln 2) (e is raised to bits: 2 should be)"),
            (np.reciprocal, "1 / truth (a division the wrong way round)"),
        ),
    ),
    Cause(
        "your value is {}",
        lambda p, f: numbers(p) and p.wrong.sum() > 2 and p.mine.any() and p.mine_is(f(p.truth)),
        lambda p: (
            (lambda t: np.maximum(t, 0), "the truth with its negative entries set to 0"),
            (np.floor, "the truth rounded down (// for /, or an integer array?)"),
            (np.rint, "the truth rounded to whole numbers"),
        ),
    ),
    Cause(
        "your value is -log({}): an epsilon inside the logarithm, or a clipped probability, keeps "
        "the loss from growing further",
        lambda p, smaller: smaller,
        lambda p: relations.caps(p) if numbers(p) else (),
    ),
    Cause(
        "true and false exchanged (your value is the truth inverted)",
        lambda p: p.truth_dtype == "bool" and p.truth.size > 1 and p.mine_is(1 - p.truth),
    ),
    Cause(
        "your value is 1 minus the truth",
        lambda p: not (p.few and short(p.truth)) and p.mine_is(1 - p.truth),
    ),
)

PARTIAL = (
    Cause(
        "{}",
        lambda p, _: (np.abs(p.mine[p.wrong]) < relations.UNWRITTEN).all(),
        relations.zeros,
    ),
    Cause(
        "every row is the last one of the truth: the same list or array is stored again and again "
        "(each time a new one, or a copy)",
        lambda p: relations.every_row_is(p, -1),
    ),
    Cause(
        "every row is the first one of the truth: nothing changes from row to row, or all rows are "
        "one and the same list or array",
        lambda p: relations.every_row_is(p, 0),
    ),
    Cause(
        "the first step goes the opposite way: the sign of what is added to row 0 is flipped",
        relations.opposite_step,
    ),
    Cause(
        "every entry is the same number (reduced over all axes, or one value was broadcast)",
        lambda p: p.alike and not p.few and np.ptp(p.mine) == 0,
    ),
    Cause(
        "the truth is 0 wherever yours is wrong (a mask, or a multiplication by 0, is missing)",
        lambda p: numbers(p) and 1 < p.wrong.sum() < p.truth.size and not p.truth[p.wrong].any(),
    ),
)

TABLES: tuple[tuple[Cause, ...], ...] = (
    ARRANGEMENT,
    SCALE,
    NORMALISATION,
    OFFSET,
    REDUCTION,
    FUNCTION,
    PARTIAL,
)

LAST = (
    Cause(
        "near the truth ({} digits are right): an approximation, as by a finite difference whose "
        "step does not fit, or an epsilon that the truth has not",
        lambda p, _: p.alike and p.near(1e-4 if p.few else 5e-3),
        relations.digits,
    ),
    Cause(
        "yours is square where the truth is not: a loop, or an array, has the length of the other "
        "axis",
        relations.square_instead,
    ),
)
