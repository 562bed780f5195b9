r"""The n-grams of a text, counted: what all models of `phase03.ngram` are made from.

A sentence is a sequence of words, or of any hashable things: characters, ids. n - 1 times `<BOS>`
stand before it and one `<EOS>` after it, so that every word has n - 1 words before it, and the end
is something that can be foretold. `<EOS>` is predicted like a word, `<BOS>` never is: no
distribution has it. A word outside the vocabulary counts as `<UNK>`.

All n-grams of a length are rows of one table, sorted by context and then by word:

    context   word    suffix    count
    7 (to)    12 (be)  12 (be)     9      context and suffix are rows of the table of the length
    7 (to)    31 (go)  31 (go)     2      below, so that an n-gram is a pair of whole numbers
                                          however long it is

A text is counted, and looked up, with one sort or search a length and no loop over its words.

Left out: pruning of rare n-grams, and files.

Shapes: T places in a text with its marks, G n-grams of one length, V vocabulary.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer, Shaped

UNK, BOS, EOS = "<UNK>", "<BOS>", "<EOS>"
UNK_ID, EOS_ID = 0, 1

Sentence = Sequence[Hashable]


class Vocabulary:
    """What may be predicted: `<UNK>` is id 0, `<EOS>` id 1, then the words in their order.

    `words` are all of them as a tuple, and `ids` tells the id of each.
    """

    def __init__(self, words: Iterable[Hashable]) -> None:
        """From the words, each once. Raises ValueError where `<BOS>` or `<EOS>` is among them."""
        words = [word for word in dict.fromkeys(words) if word != UNK]
        _refuse_marks(words)
        self.words: tuple[Hashable, ...] = (UNK, EOS, *words)
        self.ids = {word: number for number, word in enumerate(self.words)}

    @classmethod
    def of(cls, sentences: Iterable[Sentence], min_count: int = 1) -> "Vocabulary":
        """The words that occur `min_count` times or more, the most frequent first.

        Words of equal count stand in the order in which they first occur.
        """
        counts = Counter(chain.from_iterable(sentences))
        return cls(word for word, count in counts.most_common() if count >= min_count)

    def __len__(self) -> int:
        """V: the words, `<UNK>` and `<EOS>`."""
        return len(self.words)

    def encode(self, words: Sentence) -> list[int]:
        """The ids of some words: 0 for one that is unknown, V for `<BOS>`."""
        known, begin = self.ids, len(self)
        return [begin if word == BOS else known.get(word, UNK_ID) for word in words]


class Order(NamedTuple):
    """All n-grams of one length, sorted by context and then by word."""

    keys: Integer[np.ndarray, " G"]
    """context * (V + 1) + word"""
    contexts: Integer[np.ndarray, " G"]
    """all words but the last: the row of that n-gram in the order below"""
    words: Integer[np.ndarray, " G"]
    """the last word"""
    suffixes: Integer[np.ndarray, " G"]
    """all words but the first: the row of that n-gram in the order below"""
    counts: Integer[np.ndarray, " G"]
    """how often it occurs; 0 where it ends in `<BOS>`, and is there as a context only"""


class Text(NamedTuple):
    """Sentences in a row with their marks, and the rows of the n-grams that end at each place."""

    ids: Integer[np.ndarray, " T"]
    rows: list[Integer[np.ndarray, " T"]]
    """of the n-grams of 0, 1, ... n words; -1 where it was never seen. At the marks before a
    sentence they may reach into the sentence before it, and mean nothing"""


class NGramCounts:
    """The n-grams of some sentences, up to a length of n: `orders[m]` has those of m words.

    `orders[0]` has one row, the n-gram of no words. All models are made from these counts, also
    those of a smaller n.
    """

    def __init__(
        self, sentences: Iterable[Sentence], n: int, vocabulary: Vocabulary | None = None
    ) -> None:
        """Counts them; without a vocabulary every word of the sentences is in it.

        Raises ValueError unless n is 1 or more and there is a sentence.
        """
        sentences = list(sentences)
        if n < 1:
            raise ValueError(f"an n-gram has 1 word or more, not {n}")
        if not sentences:
            raise ValueError("there is no sentence to count n-grams in")
        self.n = n
        self.vocabulary = Vocabulary.of(sentences) if vocabulary is None else vocabulary
        ids, places = self.stream(sentences)
        nothing = np.zeros(1, dtype=np.int64)
        n_predicted = np.array([np.count_nonzero(ids < len(self.vocabulary))])
        self.orders = [Order(nothing, nothing, nothing, nothing, n_predicted)]
        rows = np.zeros_like(ids)  # of the n-gram that ends at each place, in the order before
        for length in range(1, n + 1):
            rows = self._add_order(ids, places >= length - 1, rows)

    def _add_order(
        self,
        ids: Integer[np.ndarray, " T"],
        whole: np.ndarray,
        shorter: Integer[np.ndarray, " T"],
    ) -> Integer[np.ndarray, " T"]:
        """Add the next longer n-grams, where they lie in one sentence; the row of each."""
        base = len(self.vocabulary) + 1
        before = np.concatenate([[0], shorter[:-1]])  # (T,): what ends one place earlier
        keys = (before * base + ids)[whole]
        found, first, number = np.unique(keys, return_index=True, return_inverse=True)
        words = found % base
        counts = np.where(words < base - 1, np.bincount(number), 0)
        self.orders.append(Order(found, found // base, words, shorter[whole][first], counts))
        rows = np.full_like(ids, -1)
        rows[whole] = number
        return rows

    def stream(
        self, sentences: Iterable[Sentence]
    ) -> tuple[Integer[np.ndarray, " T"], Integer[np.ndarray, " T"]]:
        """All sentences in a row with their marks, as ids, and the place of each in its sentence.

        Raises ValueError where a sentence has a mark already.
        """
        ids: list[int] = []
        lengths: list[int] = []
        begin = [len(self.vocabulary)] * (self.n - 1)
        for sentence in sentences:
            _refuse_marks(sentence)
            ids += begin + self.vocabulary.encode(sentence) + [EOS_ID]
            lengths.append(len(sentence) + self.n)
        starts = np.cumsum([0, *lengths[:-1]])[: len(lengths)]
        places = np.arange(len(ids)) - np.repeat(starts, lengths)
        return np.array(ids, dtype=np.int64), places

    def find(
        self,
        length: int,
        contexts: Integer[np.ndarray, "*shape"],
        words: Integer[np.ndarray, "*shape"],
    ) -> Integer[np.ndarray, "*shape"]:
        """The rows of n-grams of that length, given as context row and word; -1 where not seen."""
        keys = self.orders[length].keys
        wanted = np.where(contexts < 0, -1, contexts * (len(self.vocabulary) + 1) + words)
        rows = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[rows] == wanted, rows, -1)

    def look_up(self, sentences: Iterable[Sentence]) -> "Text":
        """Some sentences and the rows of all their n-grams: what a model needs to judge them.

        Raises ValueError where a sentence has a mark already.
        """
        ids, _ = self.stream(sentences)
        rows = [np.zeros_like(ids)]
        for length in range(1, self.n + 1):
            before = np.concatenate([[0], rows[-1][:-1]])[: len(ids)]  # (T,)
            rows.append(self.find(length, before, ids))
        return Text(ids, rows)

    def continuations(self, length: int) -> Integer[np.ndarray, " G"]:
        """After how many different words each n-gram of that length occurs."""
        longer = self.orders[length + 1]
        n_rows = len(self.orders[length].keys)
        return np.bincount(longer.suffixes[longer.counts > 0], minlength=n_rows)

    def per_context(
        self, length: int, values: Shaped[np.ndarray, " G"]
    ) -> Float[np.ndarray, " contexts"]:
        """The sums of some values of the n-grams of that length over those of the same context."""
        n_contexts = len(self.orders[length - 1].keys)
        return np.bincount(self.orders[length].contexts, weights=values, minlength=n_contexts)


def _refuse_marks(words: Iterable[Hashable]) -> None:
    for mark in (BOS, EOS):
        if mark in words and not isinstance(words, str):  # of a string the words are characters
            raise ValueError(f"{mark} stands at the border of every sentence: leave it out of it")
