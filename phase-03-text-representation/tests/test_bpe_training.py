"""Learning merges: examples worked by hand, the tie rule, the fast way against the naive one."""

import os
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from phase03.bpe_training import (
    count_pairs,
    most_frequent,
    replace_pair,
    train,
    train_naive,
)

# The dictionary of Sennrich et al. (2016), algorithm 1: words with an end mark, and their counts.
SYMBOLS = sorted({"</w>", *"lowernewestwidest"})
DICTIONARY = {
    ("l", "o", "w", "</w>"): 5,
    ("l", "o", "w", "e", "r", "</w>"): 2,
    ("n", "e", "w", "e", "s", "t", "</w>"): 6,
    ("w", "i", "d", "e", "s", "t", "</w>"): 3,
}
LOWEST = {tuple(map(SYMBOLS.index, word)): count for word, count in DICTIONARY.items()}

WAYS = pytest.mark.parametrize("learn", [train, train_naive])
WORDS = st.dictionaries(
    st.lists(st.integers(0, 3), max_size=14).map(tuple), st.integers(1, 5), max_size=8
)


def as_text(merges, symbols):
    """The merges as pairs of strings."""
    tokens = list(symbols)
    for left, right in merges:
        tokens.append(tokens[left] + tokens[right])
    return [(tokens[left], tokens[right]) for left, right in merges]


def test_pairs_are_counted_as_often_as_their_words():
    assert count_pairs({(0, 1, 0, 1): 3, (1, 0): 2, (2,): 7, (): 1}) == {(0, 1): 6, (1, 0): 5}


def test_pairs_that_overlap_are_all_counted():
    assert count_pairs({(4, 4, 4): 2}) == {(4, 4): 4}


def test_most_frequent_pair_is_found():
    assert most_frequent({(0, 1): 2, (5, 3): 7, (1, 0): 6}) == (5, 3)


def test_tie_goes_to_the_smallest_left_then_the_smallest_right():
    assert most_frequent({(3, 0): 4, (1, 9): 4, (1, 2): 4, (0, 0): 3}) == (1, 2)


@pytest.mark.parametrize(
    ("word", "merged"),
    [
        ((1, 1, 1, 2), (7, 1, 2)),
        ((1, 1, 1, 1), (7, 7)),
        ((2, 1, 1), (2, 7)),
        ((1, 2, 1), (1, 2, 1)),
        ((1,), (1,)),
        ((), ()),
    ],
)
def test_pair_is_replaced_from_left_to_right(word, merged):
    assert replace_pair(word, (1, 1), 7) == merged


def test_replacing_a_pair_leaves_its_halves_alone():
    assert replace_pair((0, 1, 0, 0, 1, 1), (0, 1), 5) == (5, 0, 5, 1)


@WAYS
def test_merges_of_the_well_known_string(learn):
    # aaabdaaabac: aa occurs four times (twice in each aaa). Then, with Z = aa, the string is
    # ZabdZabac, where Za and ab are tied with two: a is older than Z, so ab is next, Y.
    # ZYdZYac: ZY twice, X. XdXac: every pair once, and a tie again: (a, c) has the smallest ids.
    a, b, c, d, Z, Y, X = range(7)
    words = {(a, a, a, b, d, a, a, a, b, a, c): 1}
    assert learn(words, 4, 4) == [(a, a), (a, b), (Z, Y), (a, c)]
    word = (a, a, a, b, d, a, a, a, b, a, c)
    for pair, new in (((a, a), Z), ((a, b), Y), ((Z, Y), X)):
        word = replace_pair(word, pair, new)
    assert word == (X, d, X, a, c)


@WAYS
def test_merges_of_low_lower_newest_widest(learn):
    # By hand: es, st and t</w> occur 9 times; e is the oldest left token, since the ids follow the
    # alphabet with </w> before d. Then t</w> (9) is tied with es+t, and older. lo and ow occur 7
    # times, and after lo low does. Then newest, 6 times, is n e w est</w>: its three pairs are
    # tied, e is the oldest, and of n+ew and ew+est</w> the first begins with the older token.
    merges = as_text(learn(LOWEST, 7, len(SYMBOLS)), SYMBOLS)
    assert merges[:3] == [("e", "s"), ("t", "</w>"), ("es", "t</w>")]
    assert merges[3:5] == [("l", "o"), ("lo", "w")]
    assert merges[5:] == [("e", "w"), ("n", "ew")]


@WAYS
def test_tie_is_broken_by_the_ids_and_not_by_the_order_of_the_words(learn):
    words = {(2, 3): 1, (0, 2): 1, (0, 1): 1, (3, 0): 1}
    reverse = dict(reversed(words.items()))
    expected = [(0, 1), (0, 2), (2, 3), (3, 0)]
    assert learn(words, 4, 4) == expected
    assert learn(reverse, 4, 4) == expected


@WAYS
def test_tie_between_an_old_and_a_new_pair_goes_to_the_old_one(learn):
    # After 0+1 -> 9 the pair (9, 5) occurs twice, as (5, 6) does, which has the smaller ids.
    words = {(0, 1, 5): 2, (0, 1): 1, (5, 6): 2}
    assert learn(words, 2, 9) == [(0, 1), (5, 6)]


@WAYS
def test_pair_that_lost_places_to_another_merge_waits_for_its_turn(learn):
    # (1, 2) begins with 5 occurrences, but 0+1 takes four of them; then (3, 4) has more.
    words = {(0, 1, 2): 4, (0, 1): 2, (1, 2): 1, (3, 4): 3}
    assert learn(words, 4, 5) == [(0, 1), (5, 2), (3, 4), (1, 2)]


@WAYS
def test_no_merge_reaches_from_one_word_into_the_next(learn):
    assert learn({(0,): 9, (1,): 9, (): 3}, 5, 2) == []
    assert learn({(0, 1): 1, (1, 0): 1}, 9, 2) == [(0, 1), (1, 0)]


@WAYS
def test_training_ends_where_no_pair_is_left(learn):
    assert learn({(0, 0, 0, 0): 1}, 10, 1) == [(0, 0), (1, 1)]
    assert learn({}, 10, 256) == []


@WAYS
def test_no_merges_are_learned_where_none_are_wanted(learn):
    assert learn({(0, 1): 1}, 0, 2) == []


@WAYS
def test_fewer_merges_are_the_first_of_more(learn):
    assert learn(LOWEST, 3, len(SYMBOLS)) == learn(LOWEST, 7, len(SYMBOLS))[:3]


@WAYS
@pytest.mark.parametrize(
    ("words", "n_merges", "n_base"),
    [({(0, 1): 0}, 1, 2), ({(0, 2): 1}, 1, 2), ({(-1, 0): 1}, 1, 2), ({(0, 1): 1}, -1, 2)],
)
def test_words_that_make_no_sense_are_refused(learn, words, n_merges, n_base):
    with pytest.raises(ValueError):  # noqa: PT011 - the wording is the module's own
        learn(words, n_merges, n_base)


@WAYS
def test_words_are_not_changed(learn):
    before = dict(LOWEST)
    learn(LOWEST, 5, len(SYMBOLS))
    assert before == LOWEST


@given(WORDS, st.integers(0, 20))
@example({(0, 0, 0, 0, 0, 1, 0, 0, 0): 1}, 9)
@example({(0, 1, 0, 1, 0, 1, 0): 2, (1, 0, 1, 0): 1}, 9)
@settings(deadline=None, max_examples=200)
def test_merges_equal_the_naive_ones_on_any_words(words, n_merges):
    assert train(words, n_merges, 4) == train_naive(words, n_merges, 4)


@given(WORDS)
@settings(deadline=None)
def test_every_token_is_another_string(words):
    merges = as_text(train(words, 40, 4), "abcd")
    tokens = ["".join(pair) for pair in merges]
    assert len(set(tokens)) == len(tokens)


def test_merges_are_the_same_under_any_hash_seed():
    """Strings hash differently in each process, so words from a set come in another order."""
    program = (
        "from phase03.bpe_training import train\n"
        "words = {w for w in 'the cat sat on the mat that the rat ate at the gate'.split()}\n"
        "print(train({tuple(map(ord, w)): 1 for w in words}, 30, 128))\n"
        "print(list(words))"
    )
    printed = []
    for seed in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        printed.append(ran.stdout.splitlines())
    assert printed[0][0] == printed[1][0]
    assert printed[0][1] != printed[1][1]  # so that the seeds did make a difference
    words = set(printed[0][1][2:-2].split("', '"))
    assert printed[0][0] == str(train_naive({tuple(map(ord, w)): 1 for w in words}, 30, 128))


def test_work_of_a_merge_does_not_grow_with_the_words_it_is_not_in():
    """Not timed: it counts how often a token of a word that is never merged is compared."""

    class Counted(int):
        reads = 0

        def __eq__(self, other):
            Counted.reads += 1
            return int(self) == other

        __hash__ = int.__hash__

    def reads(n_merges):
        Counted.reads = 0
        still = {(Counted(50), 51 + k): 1 for k in range(200)}
        train({(0, 1, 2, 3, 4, 5, 6, 7): 9, **still}, n_merges, 300)
        return Counted.reads

    assert reads(7) - reads(1) < 3 * 200  # looking at them all six times more reads 400 each time
