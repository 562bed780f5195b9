"""Applying merges: worked by hand, equal to the definition on any piece, and never quadratic."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phase03 import bpe_merging
from phase03.bpe_merging import PieceIds, apply_merges, merge_table

N_BASE = 3
LOW = {  # l, o, w, e, r are 0 to 4
    (0, 1): 5,  # lo
    (2, 3): 6,  # we
    (5, 2): 7,  # low
    (6, 4): 8,  # wer
}


@st.composite
def merge_lists(draw):
    """Merges in an order in which they can be learned, no pair twice."""
    merges = []
    for new in range(N_BASE, N_BASE + draw(st.integers(0, 10))):
        token = st.integers(0, new - 1)
        pair = draw(st.tuples(token, token))
        if pair not in merges:
            merges.append(pair)
        else:
            break
    return merges


def by_definition(ids, merged):
    """The oldest merge of all that are possible, the leftmost of it, one at a time."""
    ids = list(ids)
    while found := [(merged[p], place) for place, p in enumerate(pairwise(ids)) if p in merged]:
        new, place = min(found)
        ids[place : place + 2] = [new]
    return ids


def test_merge_table_numbers_the_merges_behind_the_base():
    assert merge_table([(0, 1), (3, 2)], 3) == {(0, 1): 3, (3, 2): 4}
    assert merge_table([], 256) == {}


@pytest.mark.parametrize("merges", [[(0, 3)], [(4, 0), (0, 1)], [(-1, 0)]])
def test_merge_of_a_token_that_is_not_there_yet_is_refused(merges):
    with pytest.raises(ValueError):  # noqa: PT011 - the wording is the module's own
        merge_table(merges, 3)


def test_pair_that_is_merged_twice_is_refused():
    with pytest.raises(ValueError):  # noqa: PT011 - the wording is the module's own
        merge_table([(0, 1), (1, 2), (0, 1)], 3)


@pytest.mark.parametrize(
    ("ids", "tokens"),
    [
        ((0, 1, 2), [7]),  # low
        ((0, 1, 2, 3, 4), [5, 8]),  # lower: we was learned before low, then wer
        ((2, 3, 2, 3), [6, 6]),
        ((4, 2, 0), [4, 2, 0]),  # nothing to merge
        ((1,), [1]),
        ((), []),
    ],
)
def test_oldest_merge_comes_first(ids, tokens):
    assert apply_merges(ids, LOW) == tokens


def test_newer_merge_further_left_waits_for_the_older_one():
    assert apply_merges([0, 1, 0, 1, 2], {(1, 2): 3, (0, 1): 4}) == [4, 0, 3]


@pytest.mark.parametrize(("n", "tokens"), [(2, [1]), (3, [1, 0]), (5, [2, 0]), (7, [2, 1, 0])])
def test_equal_symbols_are_merged_from_the_left(n, tokens):
    assert apply_merges([0] * n, {(0, 0): 1, (1, 1): 2}) == tokens


def test_ids_are_not_changed():
    ids = [0, 1, 2]
    apply_merges(ids, LOW)
    assert ids == [0, 1, 2]


@given(st.lists(st.integers(0, N_BASE - 1), max_size=30), merge_lists())
@settings(deadline=None, max_examples=200)
def test_short_pieces_are_merged_as_the_definition_says(ids, merges):
    merged = merge_table(merges, N_BASE)
    assert apply_merges(ids, merged) == by_definition(ids, merged)


@given(st.randoms(use_true_random=False), merge_lists(), st.integers(65, 300))
@settings(deadline=None, max_examples=60)
def test_long_pieces_are_merged_as_the_definition_says(random, merges, n):
    merged = merge_table(merges, N_BASE)
    ids = random.choices(range(N_BASE), weights=[5, 2, 1], k=n)
    assert apply_merges(ids, merged) == by_definition(ids, merged)


@pytest.mark.parametrize("period", [1, 2, 7])
def test_work_for_a_long_piece_is_not_quadratic(period):
    """Not timed: comparisons of tokens are counted, which a list that is searched needs too."""

    class Counted(int):
        compared = 0

        def __eq__(self, other):
            Counted.compared += 1
            return int(self) == int(other)

        def __lt__(self, other):
            Counted.compared += 1
            return int(self) < int(other)

        __hash__ = int.__hash__

    pairs = [(left, (left + 1) % period) for left in range(0, period, 2)]
    pairs += [(period + k, period + k) for k in range(3)]
    merged = {pair: Counted(new) for pair, new in merge_table(pairs, period).items()}

    def work(n):
        Counted.compared = 0
        assert len(apply_merges([place % period for place in range(n)], merged)) < n
        return Counted.compared

    assert work(4000) < 3 * work(2000) + 100  # n log n doubles, and n^2 takes four times as much


def test_pieces_are_encoded_once_and_their_ids_joined():
    asked = []

    def encode_piece(piece):
        asked.append(piece)
        return [len(piece), 0]

    ids = PieceIds(encode_piece)
    assert ids.of(["a", "bb", "a"]) == [1, 0, 2, 0, 1, 0]
    assert ids.of(["bb"]) == [2, 0]
    assert ids.of([]) == []
    assert asked == ["a", "bb"]


def test_no_more_pieces_are_kept_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(bpe_merging, "CACHED_PIECES", 5)
    ids = PieceIds(lambda piece: [len(piece)])
    for n in range(40):
        assert ids.of(["x" * n, "y"]) == [n, 1]
        assert len(ids) <= 5


def test_long_pieces_are_not_kept(monkeypatch):
    monkeypatch.setattr(bpe_merging, "CACHED_LENGTH", 3)
    ids = PieceIds(lambda piece: [len(piece)])
    assert ids.of(["abc", "abcd"]) == [3, 4]
    assert list(ids) == ["abc"]
