"""A learner's value beside the true one: what counts as the same number, and facts about numbers.

Left out: what the values came in, and any words for what is found; see `blocks` and `causes` here.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

EPSILON = {"float32": 2.0**-23, "complex64": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
HALF = 1e-4  # an epsilon above this is one of the formats of 16 bits or fewer


@dataclass(frozen=True)
class Pair:
    """The learner's value and the truth, as float64 or complex arrays, and the dtypes they had."""

    mine: np.ndarray
    truth: np.ndarray
    mine_dtype: str = "float64"
    truth_dtype: str = "float64"

    @cached_property
    def epsilon(self) -> float:
        """The relative spacing of the coarser of the two dtypes."""
        return max(EPSILON.get(name, 2.0**-52) for name in (self.mine_dtype, self.truth_dtype))

    @cached_property
    def few(self) -> bool:
        """Whether the truth is so few different numbers that a relation may be chance."""
        return distinct(self.truth) < 3

    @cached_property
    def slack(self) -> float:
        """How near two numbers must be, relatively, to count as the same one."""
        return max(1e-6 if self.few else 1e-5, 4 * self.epsilon)

    @cached_property
    def alike(self) -> bool:
        return self.mine.shape == self.truth.shape

    @cached_property
    def wrong(self) -> np.ndarray:
        """True where an entry is not the truth's; for values of one shape."""
        atol = 10 * self.epsilon * largest(self.truth)
        return ~np.isclose(self.mine, self.truth, rtol=self.slack, atol=atol, equal_nan=True)

    def same(self, a: np.ndarray, b: np.ndarray, slack: float | None = None) -> bool:
        """Whether two arrays are one: shape, and every number within the slack."""
        a, b = np.asarray(a), np.asarray(b)
        if a.shape != b.shape or a.size == 0:
            return False
        rtol = self.slack if slack is None else slack
        lost = 0.0 if self.epsilon > HALF else 10 * self.epsilon  # by sums that nearly cancel
        share = max(lost, 1e-4 * rtol)
        some = slice(None, None, a.size // 97 + 1)  # a few entries rule out most mistakes, cheaply
        return all(
            bool(np.isclose(x, y, rtol=rtol, atol=share * largest(y), equal_nan=True).all())
            for x, y in ((a.flat[some], b.flat[some]), (a, b))
        )

    def mine_is(self, value: np.ndarray) -> bool:
        return self.same(self.mine, value)

    def truth_is(self, value: np.ndarray) -> bool:
        return self.same(self.truth, value)

    def near(self, slack: float) -> bool:
        return self.same(self.mine, self.truth, slack)


# ---- small facts about numbers ----------------------------------------------------------------


def largest(values: np.ndarray) -> float:
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))


def distinct(values: np.ndarray) -> int:
    """How many different numbers there are, up to rounding, among the first thousand."""
    values = values.ravel()[:1000]
    values = values[np.isfinite(values)]
    return len(np.unique(np.round(values / (largest(values) or 1.0), 9)))


def trivial(values: np.ndarray) -> bool:
    """Only 0, 1 and -1, which most functions leave as they are or exchange."""
    return bool(((values == 0) | (np.abs(values) == 1)).all())


def short(values: np.ndarray) -> bool:
    """Only numbers of three digits at most, as people choose them: soon related by chance."""
    return all(float(f"{value:.3g}") == value for value in values.ravel()[:9])


def whole(dtype: str) -> bool:
    return "int" in dtype


def all_zero(values: np.ndarray) -> bool:
    """Several values that are all 0: whatever made them so, it was no function of the truth."""
    return values.size > 1 and not values.any()


def in_float32(values: np.ndarray) -> bool:
    """Whether float32 holds these numbers as they are, and they are not just simple fractions."""
    simple = np.round(values * 1024) / 1024 == values
    return bool((values.astype(np.float32) == values).all()) and not simple.all()


def numbers(pair: Pair) -> bool:
    """Whether the values can be set side by side and are more than true and false."""
    return pair.alike and pair.truth_dtype != "bool"


def coarser(pair: Pair) -> bool:
    """Whether the learner's dtype has fewer digits than the truth's."""
    return EPSILON.get(pair.mine_dtype, 0.0) > EPSILON.get(pair.truth_dtype, 0.0)


def part(values: np.ndarray, axis: int, start: int | None, stop: int | None) -> np.ndarray:
    return values[(slice(None),) * axis + (slice(start, stop),)]


def relative_error(pair: Pair) -> float:
    return largest(pair.mine - pair.truth) / (largest(pair.truth) or 1.0)


def factor_name(factor: float) -> str:
    """A factor as a person would write it: 3, 1/3, sqrt(3), 1/sqrt(3), or its digits."""
    size, sign = abs(factor), "-" if factor < 0 else ""
    forms = {"{}": size, "1/{}": 1 / size, "sqrt({})": size**2, "1/sqrt({})": size**-2}
    for form, whole in forms.items():
        if 0.5 < whole < 5000 and math.isclose(whole, round(whole), rel_tol=1e-6):
            return sign + form.format(round(whole))
    return f"{factor:.6g}"
