"""How a wrong value may relate to the true one: the arithmetic under `journal.diagnosis.causes`.

The functions either yield the choices that a cause is tried with (axes, orders of axes, factors,
...), each with the words for it, or test one relation that takes more than an expression.

Left out: anything that needs more than the two arrays, such as the inputs that they came from.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import combinations, permutations, product
from typing import Any

import numpy as np

from journal.diagnosis.pair import (
    Pair,
    distinct,
    factor_name,
    largest,
    numbers,
    part,
    relative_error,
    short,
    trivial,
    whole,
)

UNWRITTEN = 1e-290  # np.empty often holds numbers like 6.9e-310
MOST_AXES = 5  # beyond it the orders and groups of axes are too many to try

Choices = Iterable[tuple[Any, str]]

LENGTH_FACTORS: tuple[tuple[str, Callable[[int], float]], ...] = (
    ("too large by the factor {}: a sum where a mean is asked", lambda n: n),
    ("too small by the factor {}: a mean where a sum is asked, or divided twice", lambda n: 1 / n),
    ("too large by the square root of {}: the division by it is missing", lambda n: n**0.5),
    ("too small by the square root of {}: divided by it once too often", lambda n: n**-0.5),
    *(
        (
            "off by n / (n - 1) or its root, n being {}: n - 1 was taken for n, or n for n - 1",
            lambda n, power=power: (n / (n - 1)) ** power,
        )
        for power in (1, -1, 0.5, -0.5)
    ),
)


# ---- choices: what a cause is tried with, and the words for it --------------------------------


def axes(pair: Pair) -> Choices:
    """The axes that both values have."""
    return [(axis, f"axis {axis}") for axis in range(pair.truth.ndim if pair.alike else 0)]


def groups_of_axes(values: np.ndarray) -> Iterator[tuple[tuple[int, ...], str]]:
    """Each choice of axes to reduce over, the fewest first; those without effect are left out."""
    for count in range(1, min(values.ndim, MOST_AXES) + 1):
        for chosen in combinations(range(values.ndim), count):
            if math.prod(values.shape[axis] for axis in chosen) < 2:
                continue
            named = "the batch (axis 0)" if chosen == (0,) else f"axis {chosen[0]}"
            if count > 1:
                named = "axes " + ", ".join(map(str, chosen[:-1])) + f" and {chosen[-1]}"
            yield chosen, "all entries" if count == values.ndim else named


def reductions(values: np.ndarray) -> Iterator[tuple[Callable[[np.ndarray], np.ndarray], str]]:
    """Sums and means over groups of axes, with and without those axes kept at length 1."""
    for (name, reduce), kept in product((("sum", np.sum), ("mean", np.mean)), (False, True)):
        for over, words in groups_of_axes(values):
            yield partial(reduce, axis=over, keepdims=kept), f"{name} over {words}"


def shifts(pair: Pair) -> Iterator[tuple[tuple[int, int], str]]:
    for axis, words in axes(pair):
        yield (axis, 1), f"{words} (your entry i is the truth's i - 1)"
        yield (axis, -1), f"{words} (your entry i is the truth's i + 1)"


def sizes(pair: Pair) -> Iterator[tuple[tuple[int, Callable[..., np.ndarray]], str]]:
    """What slices are divided by so that they have size 1."""
    for axis, words in axes(pair):
        if pair.truth.shape[axis] > 1:
            yield (axis, np.sum), f"sum along {words}"
            yield (axis, np.linalg.norm), f"norm along {words}"


def orders(pair: Pair) -> Choices:
    """The other orders of the truth's axes: two exchanged first, then all the rest."""
    first = tuple(range(pair.truth.ndim))
    if len(first) > MOST_AXES:
        return
    moved = {
        order: [axis for axis in first if order[axis] != axis] for order in permutations(first)
    }
    for order, places in sorted(moved.items(), key=lambda item: len(item[1])):
        if len(places) == 2:
            named = "its axes" if len(first) == 2 else f"its axes {places[0]} and {places[1]}"
            yield order, f"{named} swapped"
        elif places:
            yield order, f"its axes in the order {order}"


def lengths(pair: Pair) -> Choices:
    """Lengths of axes, and of several together, that a sum and a mean may differ by."""
    known: dict[int, str] = {}
    for values in (pair.truth, pair.mine):
        for chosen, words in groups_of_axes(values):
            count = math.prod(values.shape[axis] for axis in chosen)
            what = f"the length of axis {chosen[0]}" if len(chosen) == 1 else f"over {words}"
            known.setdefault(count, f"{count} ({what})")
    return [(count, words) for count, words in known.items() if count > 2]


def by_lengths(pair: Pair) -> Choices:
    """Factors that come from the length of an axis, or of several."""
    for words, factor in LENGTH_FACTORS:
        yield from ((factor(n), words.format(length)) for n, length in lengths(pair))


def factors(pair: Pair) -> Choices:
    """The one factor between the values, where there are enough of them for that to say something.

    A single number is always a factor away; there only a whole one is told, since that is what a
    sum in place of a mean makes.
    """
    factor = float(fitted_factor(pair)) if pair.alike else 0.0
    if factor == 0 or not math.isfinite(factor):
        return []
    if distinct(np.abs(pair.truth[pair.truth != 0])) >= 3:
        return [(factor, f"off by the factor {factor_name(factor)} everywhere")]
    count = factor_name(factor).removeprefix("1/")
    if not count.isdigit() or short(pair.truth) or short(pair.mine):
        return []
    if factor > 1:
        return [(factor, f"{count} times the truth (a sum where a mean is asked?)")]
    return [(factor, f"1/{count} of the truth (a mean for a sum, or over too much, or twice?)")]


def offsets(pair: Pair) -> Choices:
    """The one amount between the values, of which there are enough for that to say something."""
    if not numbers(pair):
        return []
    offset = float(np.mean(pair.mine - pair.truth))
    if abs(offset) == 1 and whole(pair.mine_dtype) and whole(pair.truth_dtype):
        words = ("large", "many", "left in") if offset > 0 else ("small", "few", "forgotten")
        return [(offset, "too {} by 1 (counted one too {}, or a + 1 {})".format(*words))]
    if pair.few or not pair.wrong.all():
        return []
    return [(offset, f"too {'large' if offset > 0 else 'small'} by {abs(offset):.6g} everywhere")]


def small_offset(pair: Pair) -> Choices:
    """The same, where it is far smaller than the numbers and far larger than their rounding."""
    if pair.few or relative_error(pair) < 1e4 * pair.epsilon:
        return []
    offset = float(np.mean(pair.mine - pair.truth))
    return [(offset, f"{offset:.3g}")]


def digits(pair: Pair) -> Choices:
    error = max(relative_error(pair), 1e-17) if pair.alike else 1.0
    return [(None, str(max(1, int(-math.log10(error)))))]


def stretches(pair: Pair) -> Choices:
    """What the learner's value is if, along one axis, it stops early, starts late or has too much.

    The choice is (axis, start, stop) of the stretch that the two would have in common.
    """
    for axis in range(pair.truth.ndim if pair.truth.ndim == pair.mine.ndim else 0):
        have, want = pair.mine.shape[axis], pair.truth.shape[axis]
        count = abs(have - want)
        if not count or not min(have, want):
            continue
        entries = "entry" if count == 1 else f"{count} entries"
        along = f" along axis {axis}" if pair.truth.ndim > 1 else ""
        verb = "is" if count == 1 else "are"
        state = f"{along} {verb} {'missing' if have < want else 'too many'}"
        state += " (a loop over the wrong length?)" if count > 1 else ""
        yield (axis, None, min(have, want)), f"the last {entries}{state}"
        yield (axis, count, None), f"the first {entries}{state}"


def ends(pair: Pair) -> Choices:
    """The first and the last entry along each axis, for a value that may be one of them alone."""
    if pair.mine.ndim + 1 != pair.truth.ndim or trivial(pair.mine):
        return
    for axis, length in enumerate(pair.truth.shape):
        if length > 1:
            along = f" along axis {axis}" if pair.truth.ndim > 1 else ""
            yield (axis, 0), f"first entry{along}"
            yield (axis, -1), f"last entry{along}"


def zeros(pair: Pair) -> Choices:
    """The words for entries that are 0 where the truth is not, by what is right beside them."""
    if not numbers(pair) or pair.wrong.size < 2 or not pair.wrong.any():
        return []
    if pair.wrong.all():
        return [
            (None, "every entry is 0: never written, or rounded down to it (//, an integer array)")
        ]
    if pair.few or pair.wrong.sum() < 2:
        return []
    row = "entry" if pair.truth.ndim == 1 else "row"
    if len(pair.wrong) > 2 and not pair.wrong[0].any() and all(map(np.any, pair.wrong[1:])):
        return [(None, f"only the first {row} is right, and what is wrong after it is all 0")]
    return [(None, "the wrong entries are all 0: never written, skipped, masked or rounded away")]


def caps(pair: Pair) -> Choices:
    """The epsilon whose logarithm stands wherever the truth is a larger loss."""
    mine, truth = pair.mine[pair.wrong], pair.truth[pair.wrong]
    for unit in (1.0, math.log(2)):  # nats, bits
        powers = mine * unit / math.log(10)
        sensible = len(mine) and ((powers > 4.5) & (powers < 45.5)).all()  # 1e-45: float32's least
        if sensible and pair.same(powers, np.rint(powers)):
            yield bool((mine < truth).all()), f"1e-{round(float(powers[0]))}"


# ---- relations that take more than an expression ----------------------------------------------


def softmax(values: np.ndarray, axis: int) -> np.ndarray:
    powers = np.exp(values - values.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def fitted_factor(pair: Pair, axis: int | None = None) -> np.ndarray:
    """The factor k, or one for each slice along `axis`, that brings k times the truth nearest."""
    kept = axis is not None
    inner = (pair.mine * pair.truth).sum(axis, keepdims=kept)
    return inner / np.maximum((pair.truth**2).sum(axis, keepdims=kept), 1e-300)


def informed(pair: Pair, axis: int) -> bool:
    """Whether the truth varies enough along `axis` for a relation in each slice to be no chance."""
    varied = np.ptp(pair.truth, axis=axis) > pair.slack * largest(pair.truth)
    return pair.truth.ndim > 1 and (pair.truth.shape[axis] - 1) * int(varied.sum()) >= 3


def factor_each(pair: Pair, axis: int) -> bool:
    """Whether each slice along `axis` is off by a factor of its own, and none is right."""
    factor = fitted_factor(pair, axis)
    off = (np.abs(factor) > pair.slack) & (np.abs(factor - 1) > pair.slack)
    return informed(pair, axis) and bool(off.all()) and pair.mine_is(factor * pair.truth)


def offset_each(pair: Pair, axis: int) -> bool:
    """Whether each slice along `axis` is off by an amount of its own, and none is right."""
    offset = (pair.mine - pair.truth).mean(axis, keepdims=True)
    off = np.abs(offset) > pair.slack * largest(pair.truth)
    return informed(pair, axis) and bool(off.all()) and pair.mine_is(pair.truth + offset)


def divided(pair: Pair, by: tuple[int, Callable[..., np.ndarray]]) -> bool:
    axis, size = by
    return pair.truth_is(pair.mine / size(pair.mine, axis=axis, keepdims=True))


def normalised_elsewhere(pair: Pair, axis: int) -> bool:
    """Whether the truth sums to 1 along `axis`, and the learner's value along others or in all."""

    def one(values: np.ndarray, over: int | None) -> bool:
        total = np.asarray(values.sum(over))
        return pair.same(total, np.ones_like(total))

    others = [other for other in range(pair.truth.ndim) if other != axis]
    long = [None, *(other for other in others if pair.truth.shape[other] > 1)] if others else []
    right = pair.truth.shape[axis] > 1 and one(pair.truth, axis) and not one(pair.mine, axis)
    return right and any(one(pair.mine, other) for other in long)


def shifted(pair: Pair, shift: tuple[int, int]) -> bool:
    """Whether the truth lies one place further on (or back), whatever came in at the edge."""
    axis, places = shift
    late, early = (pair.mine, pair.truth) if places > 0 else (pair.truth, pair.mine)
    late, early = part(late, axis, 1, None), part(early, axis, None, -1)
    return pair.truth.shape[axis] > 2 and distinct(early) > 1 and pair.same(late, early)


def in_common(pair: Pair, stretch: tuple[int, int | None, int | None]) -> bool:
    """Whether the shorter value is that stretch of the longer one."""
    if pair.mine.size < pair.truth.size:
        return pair.mine_is(part(pair.truth, *stretch))
    return pair.truth_is(part(pair.mine, *stretch))


def grid(pair: Pair) -> bool:
    """Whether (n,) and (n, 1) were broadcast to (n, n), with the truth on the diagonal."""
    n = pair.truth.size
    square = n > 1 and pair.mine.shape == (n, n)
    return square and pair.same(pair.mine.diagonal(), pair.truth.ravel())


def every_row_is(pair: Pair, row: int) -> bool:
    """Whether each row is the truth's row of that number."""
    rows = pair.alike and pair.truth.ndim > 1 and len(pair.truth) > 1 and pair.truth.size > 2
    return rows and pair.mine_is(np.broadcast_to(pair.truth[row], pair.truth.shape))


def opposite_step(pair: Pair) -> bool:
    """Whether row 1 lies as far from row 0, which is right, as the truth's, on the other side."""
    if not pair.alike or pair.truth.ndim < 2 or len(pair.truth) < 2 or pair.wrong[0].any():
        return False
    step, right = (values[1] - values[0] for values in (pair.mine, pair.truth))
    return distinct(right) > 1 and pair.same(step, -right)


def square_instead(pair: Pair) -> bool:
    """Whether the learner's matrix is square and the truth, of which it has one length, is not."""
    if pair.mine.ndim != 2 or pair.truth.ndim != 2 or pair.alike or min(pair.truth.shape) < 2:
        return False
    return pair.mine.shape[0] == pair.mine.shape[1] and pair.mine.shape[0] in pair.truth.shape
