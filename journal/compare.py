"""Where a learner's value and the truth differ, by how much, and what the cause may be.

    from journal.compare import compare
    compare("dW", mine, truth)

prints whether the two agree and, where not, what differs (the type, the shape, n of N values), the
first index where they do and the largest difference, where the wrong entries lie if that has a
pattern, and a likely cause where `journal.diagnosis.causes` recognises one. The checker writes its
messages with `diagnose`.

A value is a number, a bool, a string, None, an array of NumPy or of torch (which is not imported:
its tensors are recognised by what they can do), or lists, tuples and dictionaries of those. Numbers
agree as in `numpy.testing.assert_allclose`, but shapes must be equal: nothing is broadcast.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from journal.diagnosis.blocks import (
    LISTED,
    SNIPPET,
    Block,
    as_block,
    dtypes,
    holds_arrays,
    in_words,
    is_sequence,
    kinds,
    listed,
    opened,
    shown,
    told_apart,
    wide,
)
from journal.diagnosis.causes import likely
from journal.diagnosis.pair import Pair
from journal.diagnosis.regions import where


@dataclass(frozen=True)
class Tolerance:
    rtol: float
    atol: float

    def __str__(self) -> str:
        if not self.rtol and not self.atol:
            return "compared exactly"
        return f"rtol {self.rtol:g}" + (f", atol {self.atol:g}" if self.atol else "")

    def wrong(self, mine: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """True where two arrays of one shape differ; nan is equal to nan."""
        if self.rtol or self.atol:
            with np.errstate(all="ignore"):
                return ~np.isclose(mine, truth, rtol=self.rtol, atol=self.atol, equal_nan=True)
        return (mine != truth) & ~((mine != mine) & (truth != truth))


def compare(name: str, mine: Any, truth: Any, *, rtol: float = 1e-7, atol: float = 0.0) -> bool:
    """Print how `mine` compares with `truth`, under a name of your choice; whether they agree."""
    if differs(mine, truth, rtol, atol):
        print(diagnose(name, mine, truth, rtol=rtol, atol=atol))
        return False
    equal = f"{name}: equal ({in_words(truth)}; {Tolerance(rtol, atol)})"
    print(equal, *kinds(mine, truth), sep="\n")
    return True


def differs(mine: Any, truth: Any, rtol: float = 1e-7, atol: float = 0.0) -> bool:
    """Whether the two are not the same value, numbers compared within the tolerance."""
    return bool(_report("", mine, truth, Tolerance(rtol, atol), explain=False))


def diagnose(name: str, mine: Any, truth: Any, *, rtol: float = 1e-7, atol: float = 0.0) -> str:
    """The report on a value that differs from the truth: lines of text, the first with its name.

    A number that is meant for every entry of an array is to be broadcast by the caller.
    """
    tolerance = Tolerance(rtol, atol)
    lines = _report(name, mine, truth, tolerance, explain=True)
    if not lines:
        lines = [f"{name}: no difference ({tolerance})", *kinds(mine, truth)]
    return "\n".join(lines)


def _is_shape(value: Any) -> bool:
    """A tuple of whole numbers: the shape of an array, or indices; not worth a statistic."""
    return isinstance(value, tuple) and all(type(entry) is int for entry in value)


# ---- one report for each kind of value --------------------------------------------------------


def _report(name: str, mine: Any, truth: Any, tolerance: Tolerance, explain: bool) -> list[str]:
    """The lines on a difference, or none where there is none; short ones unless to explain."""
    if isinstance(mine, Mapping) and isinstance(truth, Mapping):
        return _mappings(name, mine, truth, tolerance, explain)
    if isinstance(mine, str) and isinstance(truth, str):
        return _strings(name, mine, truth)
    if _is_shape(mine) and _is_shape(truth) and mine != truth:
        turned = ["  likely: transposed"] if mine == truth[::-1] else []
        return [f"{name}: yours {mine}, the truth {truth}", *turned]
    mine, truth = opened(mine), opened(truth)
    first, second = as_block(mine), as_block(truth)
    entries = is_sequence(mine) and is_sequence(truth)
    if entries and (first is None or second is None or holds_arrays(truth)):
        return _sequences(name, mine, truth, tolerance, explain)
    bundle = isinstance(mine, tuple) and not is_sequence(truth)  # return y, cache
    if first is not None and second is not None and not bundle:
        return _blocks(name, first, second, tolerance, explain)
    if first is None and second is None and bool(mine == truth):
        return []
    words = shown(mine, truth)
    lines = [f"{name}: {words[0]}, where the truth is {words[1]}"]
    return lines + (_likely(_mistaken_type(mine, truth, tolerance)) if explain else [])


def _mappings(
    name: str, mine: Mapping, truth: Mapping, tolerance: Tolerance, explain: bool
) -> list[str]:
    missing = [key for key in truth if key not in mine]
    extra = [key for key in mine if key not in truth]
    shared = [key for key in truth if key in mine]
    wrong = [key for key in shared if _report("", mine[key], truth[key], tolerance, False)]
    lines = [
        f"  {kind}: {listed(keys)}"
        for kind, keys in (("missing", missing), ("not in the truth", extra))
        if keys
    ]
    if wrong:
        lines.append(f"  {len(wrong)} of {len(shared)} shared keys differ: {listed(wrong)}")
    if not lines or not explain:
        return lines
    exchanged = _exchanged(mine, truth, wrong, tolerance)
    lines = [f"{name}: a dictionary that differs from the truth", *lines, *_likely(exchanged)]
    return lines + _first_inside(name, mine, truth, [] if exchanged else wrong, tolerance)


def _sequences(
    name: str, mine: Sequence, truth: Sequence, tolerance: Tolerance, explain: bool
) -> list[str]:
    if len(mine) != len(truth):
        lines = [f"{name}: {in_words(mine)}, where the truth is {in_words(truth)}"]
        return lines + (_likely(_extent(mine, truth, tolerance)) if explain else [])
    wrong = [at for at in range(len(truth)) if _report("", mine[at], truth[at], tolerance, False)]
    if not wrong or not explain:
        return [str(at) for at in wrong]
    lines = [f"{name}: {len(wrong)} of {len(truth)} entries differ: {listed(wrong)}"]
    exchanged = _exchanged(mine, truth, wrong, tolerance)
    lines += _likely(exchanged)
    return lines + _first_inside(name, mine, truth, [] if exchanged else wrong, tolerance)


def _first_inside(name: str, mine: Any, truth: Any, wrong: list, tolerance: Tolerance) -> list[str]:
    """The report on the first entry that differs, further in."""
    for key in wrong[:1]:
        inner = _report(f"{name}[{key!r}]", mine[key], truth[key], tolerance, True)
        return [f"  {line}" for line in inner]
    return []


def _strings(name: str, mine: str, truth: str) -> list[str]:
    if mine == truth:
        return []
    letters = enumerate(zip(mine, truth, strict=False))
    at = next((at for at, (a, b) in letters if a != b), min(len(mine), len(truth)))
    around = slice(max(0, at - SNIPPET // 2), at + SNIPPET)
    lines = [
        f"{name}: the strings differ from character {at} on "
        f"({len(mine)} characters, the truth has {len(truth)})",
        f"  yours {mine[around]!r}, truth {truth[around]!r}",
    ]
    for words, change in STRING_CAUSES:
        if change(mine) == change(truth):
            return [*lines, *_likely([words])]
    return lines


def _blocks(name: str, mine: Block, truth: Block, tolerance: Tolerance, explain: bool) -> list[str]:
    if mine.values.shape != truth.values.shape:
        lines = [f"{name}: shape {mine.values.shape}, where the truth has {truth.values.shape}"]
    else:
        wrong = tolerance.wrong(mine.values, truth.values)
        if not wrong.any():
            return []
        lines = _values(name, mine.values, truth.values, wrong, tolerance) if explain else [name]
    if not explain or (mine.dtype == truth.dtype == "bool" and not truth.values.shape):
        return lines
    pair = Pair(wide(mine.values), wide(truth.values), mine.dtype, truth.dtype)
    return lines + dtypes(mine, truth) + _likely(likely(pair))


def _values(
    name: str, mine: np.ndarray, truth: np.ndarray, wrong: np.ndarray, tolerance: Tolerance
) -> list[str]:
    """The lines on numbers of one shape: how many are wrong, the first, the worst, and where."""
    with np.errstate(all="ignore"):
        gap = np.where(wrong, np.abs(wide(mine) - wide(truth)), 0.0)
        relative = gap / np.abs(wide(truth))
    gap[np.isnan(gap)] = np.inf
    first = tuple(int(at) for at in np.argwhere(wrong)[0])
    worst = tuple(int(at) for at in np.unravel_index(int(np.argmax(gap)), gap.shape))

    def told(at: tuple[int, ...]) -> str:
        mine_text, truth_text = told_apart(mine[at].item(), truth[at].item())
        rest = f", relative {relative[at]:.3g}" if np.isfinite(relative[at]) else ""
        off = f" (off by {gap[at]:.3g}{rest})" if truth.dtype.kind != "b" else ""
        return f"yours {mine_text}, truth {truth_text}{off}"

    if mine.ndim == 0:
        return [f"{name}: {told(())}; {tolerance}"]
    lines = [
        f"{name}: {wrong.sum()} of {wrong.size} values differ (shape {truth.shape}; {tolerance})",
        f"  first{' and worst' if worst == first else ''} at {list(first)}: {told(first)}",
    ]
    if worst != first:
        lines.append(f"  worst at {list(worst)}: {told(worst)}")
    lines += [f"  {count} of yours are {word}" for word, count in _not_finite(mine, wrong)]
    region = where(wrong, truth)
    return [*lines, f"  where: only {region}"] if region else lines


def _not_finite(mine: np.ndarray, wrong: np.ndarray) -> list[tuple[str, int]]:
    counts = (("nan", int(np.isnan(mine[wrong]).sum())), ("inf", int(np.isinf(mine[wrong]).sum())))
    return [(word, count) for word, count in counts if count]


# ---- causes of differences that are none of numbers -------------------------------------------

STRING_CAUSES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("spaces or line ends at the beginning or the end", str.strip),
    ("spaces or line ends", lambda text: "".join(text.split())),
    ("upper and lower case", str.lower),
)

TYPE_CAUSES: tuple[tuple[str, Callable[[Any], bool]], ...] = (
    ("nothing is returned (a return is missing, on some path at least)", lambda v: v is None),
    ("a function where its value is asked (the call's parentheses are missing)", callable),
    (
        "an iterator where its values are asked (list(...) around it?)",
        lambda v: hasattr(v, "__next__"),
    ),
)


def _mistaken_type(mine: Any, truth: Any, tolerance: Tolerance) -> list[str]:
    found = [words for words, test in TYPE_CAUSES if test(mine) and not test(truth)]
    if is_sequence(mine):
        found += [
            f"your entry {at} is the truth: more is returned than is asked"
            for at, value in enumerate(mine[:LISTED])
            if not _report("", value, truth, tolerance, False)
        ]
    return found[:1]


def _exchanged(mine: Any, truth: Any, wrong: list, tolerance: Tolerance) -> list[str]:
    """The wrong entries are the right ones under each other's names."""
    taken = {}
    for key in wrong[:LISTED]:
        others = (other for other in wrong if other != key and other not in taken.values())
        match = [at for at in others if not _report("", mine[key], truth[at], tolerance, False)]
        if not match:
            return []
        taken[key] = match[0]
    if len(taken) < 2:
        return []
    kind = "" if isinstance(truth, Mapping) else "entry "
    pairs = ", ".join(f"your {kind}{a!r} is the truth's {b!r}" for a, b in taken.items())
    return [f"the right values in another order ({pairs})"]


def _extent(mine: Sequence, truth: Sequence, tolerance: Tolerance) -> list[str]:
    """One sequence is the beginning or the end of the other."""
    long, short = (mine, truth) if len(mine) > len(truth) else (truth, mine)
    count = len(long) - len(short)
    state = "too many" if long is mine else "missing"
    what = "entry is" if count == 1 else f"{count} entries are"
    for words, piece in (("last", long[: len(short)]), ("first", long[count:])):
        if len(short) and not _report("", list(short), list(piece), tolerance, False):
            return [f"the {words} {what} {state}"]
    return []


def _likely(sentences: list[str]) -> list[str]:
    return [f"  likely: {sentence}" for sentence in sentences]
