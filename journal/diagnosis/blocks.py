"""Values of any kind as arrays of numbers, and in words, for `journal.compare`.

A number, a list of numbers, an array of NumPy or of torch becomes a `Block`; whatever else there is
is only named. Left out: strings and dictionaries, which are compared as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

NUMERIC = "biufc"
LISTED = 6  # names of keys; more would bury the sentence
SNIPPET = 24  # characters of a string around the place where it differs
LONGEST = 80  # characters of a value that is shown as Python writes it


@dataclass(frozen=True)
class Block:
    """An array of numbers, and the name of the dtype that they had."""

    values: np.ndarray
    dtype: str
    typed: bool = True  # False for numbers and lists of Python, which nobody gave a dtype


def as_block(value: Any) -> Block | None:
    """Numbers as an array, whatever they came in, or None for what is not a block of numbers."""
    try:
        values = np.asarray(_plain(value))
    except (TypeError, ValueError, OverflowError):  # ragged lists, and objects that are no numbers
        return None
    if values.dtype.kind not in NUMERIC:
        return None
    dtype = str(getattr(value, "dtype", values.dtype)).removeprefix("torch.")
    return Block(values, dtype, typed=hasattr(value, "dtype"))


def _plain(value: Any) -> Any:
    """Tensors as arrays, also inside lists; those of kinds that NumPy has not are widened."""
    if is_sequence(value):
        return [_plain(entry) for entry in value]
    if not (hasattr(value, "detach") and hasattr(value, "cpu")):
        return value
    value = value.detach().cpu()
    try:
        return value.numpy()
    except TypeError:  # bfloat16 and the floats of 8 bits
        return value.float().numpy()


def is_sequence(value: Any) -> bool:
    """Whether it is a list or a tuple; a string is none."""
    return isinstance(value, list | tuple)


def holds_arrays(values: Sequence) -> bool:
    """Whether an entry is an array of its own, not a number."""
    return any(getattr(entry, "ndim", 0) for entry in values)


def opened(value: Any) -> Any:
    """An array of strings or objects as a list, which is compared entry by entry."""
    text = isinstance(value, np.ndarray) and value.dtype.kind not in NUMERIC
    return value.tolist() if text else value


def wide(values: np.ndarray) -> np.ndarray:
    """The same numbers in double precision."""
    return values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)


def told_apart(mine: Any, truth: Any) -> tuple[str, str]:
    """Both numbers with as many digits as it takes to see that they differ."""
    real = isinstance(mine, int | float) and isinstance(truth, int | float)
    if not real or (not isinstance(mine, float) and not isinstance(truth, float)):
        return str(mine), str(truth)
    for places in (6, 9, 12):
        texts = f"{mine:.{places}g}", f"{truth:.{places}g}"
        if texts[0] != texts[1]:
            return texts
    return repr(mine), repr(truth)


def in_words(value: Any) -> str:
    """A value in words: its type, and for a block of numbers the shape."""
    if value is None:
        return "None"
    if isinstance(value, str):
        return f"the string {value[:SNIPPET]!r}"
    if isinstance(value, Mapping):
        return f"a dictionary of {len(value)}"
    if is_sequence(value) and (holds_arrays(value) or as_block(value) is None):
        return f"a {type(value).__name__} of {len(value)}"
    block = as_block(value)
    if block is None:
        return repr(value) if isinstance(value, type | np.dtype) else f"a {type(value).__name__}"
    if block.values.ndim == 0:
        return f"the number {block.values}" if block.dtype != "bool" else str(block.values)
    kind = type(value).__name__ if is_sequence(value) else "array"
    return f"{'an' if kind == 'array' else 'a'} {kind} of shape {block.values.shape}"


def shown(mine: Any, truth: Any) -> tuple[str, str]:
    """Both values in words, or as Python writes them where the words would be the same."""
    words = in_words(mine), in_words(truth)
    if words[0] != words[1]:
        return words
    texts = [repr(value) for value in (mine, truth)]
    one, two = (text if len(text) <= LONGEST else f"{text[:LONGEST]} ..." for text in texts)
    return one, two


def kinds(mine: Any, truth: Any) -> list[str]:
    """A line on the types of two values with the same content, where those differ."""
    first, second = as_block(mine), as_block(truth)
    if first is not None and second is not None and (lines := dtypes(first, second)):
        return lines
    if type(mine) is type(truth) or not (is_sequence(mine) or is_sequence(truth)):
        return []
    return [f"  type: {type(mine).__name__}, truth {type(truth).__name__}"]


def dtypes(mine: Block, truth: Block) -> list[str]:
    """A line on the dtypes; not where whole numbers in the truth stand for the floats they are."""
    literal = np.issubdtype(mine.values.dtype, np.floating) and truth.values.dtype.kind in "iu"
    if mine.dtype == truth.dtype or literal or not (mine.typed and truth.typed):
        return []
    return [f"  dtype: {mine.dtype}, truth {truth.dtype}"]


def listed(keys: list) -> str:
    """The first few keys, as Python writes them, and how many more there are."""
    more = f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
    return ", ".join(map(repr, keys[:LISTED])) + more
