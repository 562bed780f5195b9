"""Learning byte pair encoding's merges: again from scratch after each one, and incrementally.

Byte pair encoding (Gage 1994, for compression) replaces the most frequent pair of neighbours by a
new symbol and repeats. Sennrich et al. (2016, section 3.2) learn the tokens of a translation model
with it: the text becomes a dictionary of words with their counts, no merge reaches from one word
into the next, and the list of merges, in order, is the model.

The tie rule: the pair with the highest count is merged; among equal counts the pair whose left
token has the smallest id, and among those the smallest right id. Ids grow with age, so this is the
pair of the older tokens. Nothing depends on the order of the words or on Python's hashing.

A pair is counted wherever two tokens are neighbours, so `a a a` holds `(a, a)` twice, but merging
goes from left to right and uses each token once: `a a a` becomes `aa a`.

- `train_naive` counts all pairs anew for each merge. Its cost is the number of merges times the
  length of all words.
- `train` counts once. A merge changes only the neighbours of the places where it happens, so it
  keeps for each pair its count and where it occurs, and visits these places alone. The most
  frequent pair is found with a heap.

Left out: a smallest count or a longest token as reasons to stop, and threads.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from itertools import pairwise

Pair = tuple[int, int]
Word = tuple[int, ...]

END = -1  # stands in place of a token behind each word, and where a token was merged away


def count_pairs(words: Mapping[Word, int]) -> dict[Pair, int]:
    """How often each pair of neighbours occurs in the words, each word as often as it counts."""
    counts: dict[Pair, int] = defaultdict(int)
    for word, count in words.items():
        for pair in pairwise(word):
            counts[pair] += count
    return dict(counts)


def most_frequent(counts: Mapping[Pair, int]) -> Pair:
    """The pair with the highest count; among equal counts the smallest pair of ids."""
    return min(counts, key=lambda pair: (-counts[pair], pair))


def replace_pair(word: Iterable[int], pair: Pair, new: int) -> Word:
    """The word with every occurrence of the pair, from left to right, replaced by a new token.

    The new token is another than the two of the pair, so that none is used twice:
    `replace_pair((1, 1, 1, 2), (1, 1), 3)` is `(3, 1, 2)`.
    """
    merged: list[int] = []
    for token in word:
        if merged and (merged[-1], token) == pair:
            merged[-1] = new
        else:
            merged.append(token)
    return tuple(merged)


def train_naive(words: Mapping[Word, int], n_merges: int, n_base: int) -> list[Pair]:
    """The first merges of the words, by counting all pairs anew for each; see `train`."""
    _check(words, n_merges, n_base)
    merges: list[Pair] = []
    for new in range(n_base, n_base + n_merges):
        counts = count_pairs(words)
        if not counts:
            break
        pair = most_frequent(counts)
        merges.append(pair)
        shorter: dict[Word, int] = defaultdict(int)
        for word, count in words.items():
            shorter[replace_pair(word, pair, new)] += count
        words = shorter
    return merges


def train(words: Mapping[Word, int], n_merges: int, n_base: int) -> list[Pair]:
    """The first merges of the words, each as the pair of ids that it joins.

    `words` maps a word, as a tuple of ids below `n_base`, to how often it occurs. Merge k makes the
    token `n_base + k`. There are fewer merges than `n_merges` where no pair is left. Raises
    ValueError for a count below 1, an id that is not 0 to n_base - 1, or a negative `n_merges`.

    The words lie behind one another in one list, an `END` after each. `after` and `before` lead
    from a token to its neighbours, so that a merge is a few assignments at one place, and neither
    the words that it is not in nor all pairs are looked at again for it.
    """
    _check(words, n_merges, n_base)
    corpus = _Corpus(words)
    heap = [(-count, pair) for pair, count in corpus.counts.items()]
    heapify(heap)
    merges: list[Pair] = []
    while heap and len(merges) < n_merges:
        count, pair = heappop(heap)
        now = corpus.counts[pair]
        if now != -count:  # the entry is old: other merges took some of the pair's places
            if now:
                heappush(heap, (-now, pair))
            continue
        new = n_base + len(merges)
        merges.append(pair)
        for made in corpus.merge(pair, new):
            if corpus.counts[made]:
                heappush(heap, (-corpus.counts[made], made))
    return merges


class _Corpus:
    """All words as one linked list, with the count and the places of each pair.

    A count is always right. The places of a pair are those where it has been since it was first
    seen, in rising order; some may have been merged away since, and `merge` passes over them. Only
    a pair with the newest token can gain places, so each pair goes into the heap once with its
    highest count, and later entries only correct it downwards.
    """

    def __init__(self, words: Mapping[Word, int]) -> None:
        self.tokens: list[int] = [END]
        self.weights: list[int] = [0]  # how often the word occurs that the place belongs to
        for word, count in words.items():
            if len(word) > 1:
                self.tokens += (*word, END)
                self.weights += [count] * (len(word) + 1)
        n = len(self.tokens)
        self.after = list(range(1, n + 1))
        self.before = list(range(-1, n - 1))
        self.counts: dict[Pair, int] = defaultdict(int)
        self.places: dict[Pair, list[int]] = defaultdict(list)
        for place, pair in enumerate(pairwise(self.tokens)):
            if END not in pair:
                self.counts[pair] += self.weights[place]
                self.places[pair].append(place)

    def merge(self, pair: Pair, new: int) -> list[Pair]:
        """Put the new token wherever the pair is; returns the pairs that the new token is in."""
        tokens, after, before = self.tokens, self.after, self.before
        counts, places, weights = self.counts, self.places, self.weights
        left, right = pair
        made: dict[Pair, list[int]] = defaultdict(list)
        for place in places.pop(pair):
            second = after[place]
            if tokens[place] != left or tokens[second] != right:
                continue  # merged away in the meantime
            weight, third, first = weights[place], after[second], before[place]
            tokens[place], tokens[second] = new, END
            after[place], before[third] = third, place
            if (token := tokens[first]) != END:
                counts[token, left] -= weight
                counts[token, new] += weight
                made[token, new].append(first)
            if (token := tokens[third]) != END:
                counts[right, token] -= weight
                counts[new, token] += weight
                made[new, token].append(place)
        del counts[pair]
        places.update(made)
        return list(made)


def _check(words: Mapping[Word, int], n_merges: int, n_base: int) -> None:
    if n_merges < 0:
        raise ValueError(f"the number of merges is 0 or more, not {n_merges}")
    for word, count in words.items():
        if count < 1:
            raise ValueError(f"a word occurs once or more often, but {word} has the count {count}")
        if word and not 0 <= min(word) <= max(word) < n_base:
            raise ValueError(
                f"a word is made of ids from 0 to {n_base - 1}, but {word} is not: give the number "
                "of symbols there are before the first merge"
            )
