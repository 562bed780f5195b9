"""Where the wrong entries of an array lie, in words: the last row, the diagonal, where it is < 0.

A region is told only if every wrong entry lies in it and three quarters of it are wrong; of several
the smallest. Left out: regions of two axes at once, and blocks.
"""

from collections.abc import Iterator

import numpy as np


def where(wrong: np.ndarray, truth: np.ndarray) -> str:
    """The smallest region that holds all wrong entries and is mostly wrong, in words, if any."""
    if wrong.all() or wrong.size < 3:
        return ""
    regions = [*_slices(wrong), *_triangles(wrong), *_signs(truth)]
    held = [
        (int(np.broadcast_to(region, wrong.shape).sum()), words)
        for words, region in regions
        if not (wrong & ~region).any()
    ]
    for size, words in sorted(held, key=lambda item: item[0]):
        if size == 1 or (size < wrong.size and wrong.sum() >= max(2, 0.75 * size)):
            return words
    return ""


def _slices(wrong: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Along each axis: the stretch from the first to the last wrong slice, and every second one."""
    for axis, length in enumerate(wrong.shape):
        others = tuple(other for other in range(wrong.ndim) if other != axis)
        along = np.expand_dims(np.arange(length), others)
        at = np.flatnonzero(wrong.any(axis=others))
        low, high = int(at[0]), int(at[-1])
        thing, end = _thing(axis, wrong.ndim), length - 1
        yield _stretch(thing, low, high, end), (along >= low) & (along <= high)
        if length > 3 and high > low:
            start = "the first" if low == 0 else f"{thing.split()[0]} {low}"
            yield f"every second {thing}, from {start} on", along % 2 == low % 2


def _thing(axis: int, ndim: int) -> str:
    if ndim == 1:
        return "entry"
    return ("row", "column")[axis] if ndim == 2 else f"slice of axis {axis}"


def _stretch(thing: str, low: int, high: int, end: int) -> str:
    head, _, tail = thing.partition(" ")
    plural, tail = {"entry": "entries"}.get(head, f"{head}s"), f" {tail}" if tail else ""
    if low == high:
        end_names = {0: f"the first {thing}", end: f"the last {thing}"}
        return end_names.get(low, f"{head} {low}{tail}")
    if (low, high) in ((1, end), (0, end - 1)):
        return f"the {plural} other than the {'first' if low else 'last'}{tail}"
    return f"{plural} {low} to {high}{tail}"


def _triangles(wrong: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Regions of the last two axes as a matrix."""
    if wrong.ndim < 2 or min(wrong.shape[-2:]) < 3:
        return []
    row, column = np.indices(wrong.shape[-2:])
    return [
        ("the diagonal", row == column),
        ("the entries just above the diagonal", column == row + 1),
        ("the entries just below the diagonal", row == column + 1),
        ("the entries above the diagonal", column > row),
        ("the entries below the diagonal", row > column),
        ("the entries on and above the diagonal", column >= row),
        ("the entries on and below the diagonal", row >= column),
        ("the entries off the diagonal", row != column),
    ]


def _signs(truth: np.ndarray) -> list[tuple[str, np.ndarray]]:
    if truth.dtype.kind == "c":
        return []
    regions = [
        ("the entries whose truth is negative", truth < 0),
        ("the entries whose truth is 0", truth == 0),
        ("the entries whose truth is positive", truth > 0),
    ]
    return [(words, region) for words, region in regions if region.any()]
