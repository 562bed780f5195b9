"""What a user may have meant: the nearest of the names that there are."""

import difflib
from collections.abc import Iterable

LISTED = 20  # names; more would bury the sentence


def nearest(word: str, names: Iterable[str], *, count: int = 2, cutoff: float = 0.6) -> list[str]:
    """The names most like `word`, best first, for a "did you mean"."""
    return difflib.get_close_matches(word, list(names), n=count, cutoff=cutoff)


def suggestion(name: str, known: Iterable[str]) -> str:
    """`did you mean a or b?`, or, where nothing is close, the list of what there is."""
    known = list(known)
    close = nearest(name, known, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
    return f"there are {', '.join(known[:LISTED])}{more}"
