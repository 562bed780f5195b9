"""Applying byte pair encoding's merges to a piece of text, whatever its length.

Of all pairs of neighbours that have a merge, the one that was learned first is merged, the leftmost
where it occurs twice, and so on until no pair has one. A merge makes the token with the next id, so
the id tells which of two merges is older.

    merges  l+o -> lo, w+e -> we, lo+w -> low
    l o w e r  ->  lo w e r  ->  lo we r        since w+e was learned before lo+w

A short piece is merged in a list, where finding the oldest merge looks at every pair. For n symbols
that is n^2, which a text without spaces makes long. So a long piece is merged with a heap, n log n.

Left out: replacing a piece that is a token as a whole without merging it. The result would be the
same, and since the ids of pieces are kept (`PieceIds`), little would be saved.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from itertools import chain, pairwise

from phase03.bpe_training import Pair

CACHED_PIECES = 1 << 17  # whose ids are kept
CACHED_LENGTH = 64  # characters of the longest piece that is kept
LIST_LENGTH = 64  # symbols of the longest piece that is merged in a list
NEVER = 1 << 62  # a larger id than any token's: of a pair that has no merge


def merge_table(merges: Iterable[Pair], n_base: int) -> dict[Pair, int]:
    """The token that each pair becomes: merge k makes the token `n_base + k`.

    Raises ValueError where a merge joins a token that it cannot know yet, or a pair comes twice.
    """
    merged: dict[Pair, int] = {}
    for new, (left, right) in enumerate(merges, n_base):
        if not (0 <= left < new and 0 <= right < new):
            raise ValueError(
                f"merge {new - n_base} joins the tokens {left} and {right}, but only 0 to "
                f"{new - 1} exist before it: give the merges in the order of learning"
            )
        if (left, right) in merged:
            raise ValueError(f"the tokens {left} and {right} are merged twice: leave one merge out")
        merged[left, right] = new
    return merged


def apply_merges(ids: Sequence[int], merged: Mapping[Pair, int]) -> list[int]:
    """The ids of a piece after all its merges, the oldest first, from left to right.

    `apply_merges([0, 1, 0, 1, 2], {(1, 2): 3, (0, 1): 4})` is `[4, 0, 3]`. The merged pairs must be
    as `merge_table` gives them.
    """
    return (_merge_list if len(ids) <= LIST_LENGTH else _merge_heap)(ids, merged)


def _merge_list(ids: Sequence[int], merged: Mapping[Pair, int]) -> list[int]:
    """All pairs are looked at for each merge: quadratic, but fast while there are few."""
    tokens = list(ids)
    become = [merged.get(pair, NEVER) for pair in pairwise(tokens)]  # what each pair would become
    while become and (new := min(become)) != NEVER:
        place = become.index(new)
        tokens[place : place + 2] = [new]
        del become[place]
        if place:
            become[place - 1] = merged.get((tokens[place - 1], new), NEVER)
        if place < len(become):
            become[place] = merged.get((new, tokens[place + 1]), NEVER)
    return tokens


def _merge_heap(ids: Sequence[int], merged: Mapping[Pair, int]) -> list[int]:
    """The same with a heap of (new token, place): n log n for n symbols.

    Tokens stay at the place of their first symbol; `after` and `before` lead to the neighbours. An
    entry of the heap is old, and passed over, where the pair at its place has changed since.
    """
    n = len(ids)
    tokens: list[int | None] = [*ids, None]  # None: the end, and what was merged into its left
    after, before = list(range(1, n + 1)), list(range(-1, n))
    heap: list[tuple[int, int]] = []

    def becomes(place: int) -> int | None:
        left, right = tokens[place], tokens[after[place]]
        return None if left is None or right is None else merged.get((left, right))

    def push(place: int) -> None:
        if (new := becomes(place)) is not None:
            heappush(heap, (new, place))

    for place in range(n):
        push(place)
    while heap:
        new, place = heappop(heap)
        if becomes(place) != new:
            continue
        second = after[place]
        tokens[place], tokens[second] = new, None
        after[place] = after[second]
        before[after[second]] = place
        if place:
            push(before[place])
        push(place)
    return [token for token in tokens if token is not None]


class PieceIds(dict[str, list[int]]):
    """A dictionary from a piece to its ids; those of a missing one are computed and kept.

    At most `CACHED_PIECES` are kept, none of them longer than `CACHED_LENGTH`.
    """

    def __init__(self, encode_piece: Callable[[str], list[int]]) -> None:
        """Empty, with the function that computes the ids of a piece."""
        super().__init__()
        self._encode_piece = encode_piece

    def __missing__(self, piece: str) -> list[int]:
        ids = self._encode_piece(piece)
        if len(piece) <= CACHED_LENGTH:
            if len(self) >= CACHED_PIECES:
                self.clear()
            self[piece] = ids
        return ids

    def of(self, pieces: Iterable[str]) -> list[int]:
        """The ids of all pieces, behind one another."""
        return list(chain.from_iterable(map(self.__getitem__, pieces)))
