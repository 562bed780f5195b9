r"""N-gram language models: the next word from the n - 1 before it, by counting.

    count        AddK:       (c + k) / (N + k V)
    back off     BackOff:    (c - D) / N where the n-gram was seen, else
                             the order below times what makes the sum 1
    interpolate  KneserNey:  max(c - D, 0) / N  +  (D T / N) times the order below

c is how often the word followed the context, N how often anything did, T how many different words
did, V the size of the vocabulary. What lies below the single words is the uniform distribution,
1 / V. An unseen context passes the question on unchanged to the order below (AddK: to 1 / V).

BackOff is Katz's scheme (1987) with Ney's absolute discount D in place of his Good-Turing counts;
Katz's weight is kept, so that it sums to 1, which "stupid back-off" does not. KneserNey is the
interpolated form of Chen and Goodman: below the highest order the c of a word is no longer how
often it came, but after how many different words (its *continuation count*): "Francisco" may be
frequent, but it follows "San" alone. D is estimated for each order from the numbers of n-grams
counted once and twice, n1 / (n1 + 2 n2), or given.

Sentences, their marks and `<UNK>` are those of `phase03.ngram_counts`. Perplexity is exp(nats) =
2^bits, from a mean over all words and ends of sentences, `<BOS>` left out; perplexities can be
compared where the vocabulary is the same.

Left out: modified Kneser-Ney (three discounts an order), raw counts for n-grams that begin with
`<BOS>` (KenLM), and weights of orders that are learned (Jelinek and Mercer).

Shapes: M words of some text with the ends of sentences, G n-grams of one length, V vocabulary.
"""

import math
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from phase03.ngram_counts import BOS, EOS, EOS_ID, UNK, UNK_ID, NGramCounts, Sentence, Text

DISCOUNT_OF_FEW = 0.5  # where no n-gram occurred once, or none twice, and D cannot be estimated

Discounts = float | Sequence[float] | None


def estimate_discount(counts: Integer[np.ndarray, " G"]) -> float:
    """D = n1 / (n1 + 2 n2), with n1 and n2 the numbers of n-grams that were counted once and twice.

    Where there is none of either it is 0.5, since neither 0 nor 1 leaves a probability for all.
    """
    once, twice = int(np.sum(counts == 1)), int(np.sum(counts == 2))
    return once / (once + 2 * twice) if once and twice else DISCOUNT_OF_FEW


class Level(NamedTuple):
    """One order of a model: what it says itself, and how much it leaves to the order below."""

    direct: Float[np.ndarray, " G"]  # of each n-gram
    rest: Float[np.ndarray, " contexts"]  # of each context: 1 where nothing ever followed it


# ---- what all models do ------------------------------------------------------------------


class NGramModel:
    """A distribution over the next word for every context; the three kinds below differ in it.

    A kind gives the `Level` of each order by `level(length)`; `seen_only` says what of the order
    below is added: to every word, or, in backing off, only to those not seen after the context.
    """

    seen_only = False

    def __init__(self, counts: NGramCounts, n: int | None = None) -> None:
        """A model of n-grams from their counts, n being that of the counts or a smaller one.

        Raises ValueError for an n that was not counted.
        """
        self.counts, self.n, self.vocabulary = counts, _checked(n, counts), counts.vocabulary
        self.levels: dict[int, Level] = {}
        for length in range(1, self.n + 1):
            self.levels[length] = self.level(length)

    def level(self, length: int) -> Level:
        """The level of the n-grams of that length."""
        raise NotImplementedError("use AddK, BackOff or KneserNey")

    def lengths(self, longest: int) -> Iterable[int]:
        """The orders that take part where the longest n-gram has that many words."""
        return range(1, longest + 1)

    def distribution(self, context: Sentence) -> Float[np.ndarray, " V"]:
        """The probability of each word of the vocabulary after some words; sums to 1.

        Only the last n - 1 words of the context count. The beginning of a sentence is n - 1 times
        `<BOS>`; a context of fewer words asks the order that it is long enough for.
        """
        ids = self.vocabulary.encode(context[max(0, len(context) - self.n + 1) :])
        n_words = len(self.vocabulary)
        p = np.full(n_words + 1, 1 / n_words)  # (V + 1,): the last one, <BOS>, is taken off below
        for length in self.lengths(len(ids) + 1):
            row = self._row(ids[len(ids) - length + 1 :])
            if row < 0:
                break  # nor was any longer context seen
            order, (direct, rest) = self.counts.orders[length], self.levels[length]
            here = slice(*np.searchsorted(order.contexts, [row, row + 1]))
            seen, said = order.words[here], direct[here]
            p *= rest[row]
            p[seen] = said if self.seen_only else p[seen] + said
        return p[:n_words]

    def _row(self, ids: Sequence[int]) -> int:
        """The row of an n-gram in the order of its length; -1 where it was not seen."""
        row = np.zeros(1, dtype=np.int64)
        for length, word in enumerate(ids, start=1):
            row = self.counts.find(length, row, np.array([word]))
        return int(row[0])

    def probability(self, word: Hashable, context: Sentence) -> float:
        """The probability of one word after some words; an unknown word has that of `<UNK>`.

        Raises ValueError for `<BOS>`, which is never predicted.
        """
        if word == BOS:
            raise ValueError(f"{BOS} is in no distribution: ask for a word, {UNK} or {EOS}")
        return float(self.distribution(context)[self.vocabulary.encode([word])[0]])

    def log_probabilities(self, sentences: Iterable[Sentence] | Text) -> Float[np.ndarray, " M"]:
        """The log of each word's probability in nats, every sentence followed by its `<EOS>`.

        Several models of the same counts are quicker with `counts.look_up(sentences)`.
        Minus infinity where a word is impossible. Raises ValueError where a sentence has a mark.
        """
        text = sentences if isinstance(sentences, Text) else self.counts.look_up(sentences)
        ids, rows = text
        p = np.full(len(ids), 1 / len(self.vocabulary))
        for length in self.lengths(self.n):
            contexts = np.concatenate([[0], rows[length - 1][:-1]])[: len(ids)]  # (T,)
            direct, rest = self.levels[length]
            p = np.where(contexts < 0, 1.0, rest[contexts]) * p
            said = direct[rows[length]] if self.seen_only else p + direct[rows[length]]
            p = np.where(rows[length] < 0, p, said)
        with np.errstate(divide="ignore"):  # log 0
            return np.log(p[ids < len(self.vocabulary)])  # (M,)

    def perplexity(self, sentences: Iterable[Sentence] | Text) -> float:
        """exp of the mean negative log-probability in nats, over all words and ends of sentences.

        Infinite where a word is impossible. Raises ValueError where there is no sentence.
        """
        nats = self.log_probabilities(sentences)
        if not len(nats):
            raise ValueError("there is no sentence to take the perplexity of")
        return math.exp(-nats.mean()) if np.isfinite(nats).all() else math.inf

    def sample(self, rng: np.random.Generator, max_words: int) -> list[Hashable]:
        """A sentence drawn word by word, until `<EOS>` (not returned) or `max_words` words.

        `<UNK>` is never drawn: its probability goes to the others in proportion.
        Raises ValueError where `<UNK>` alone may follow.
        """
        words: list[Hashable] = [BOS] * (self.n - 1)
        while len(words) - self.n + 1 < max_words:
            p = self.distribution(words)  # (V,)
            p[UNK_ID] = 0.0
            if not p.any():
                raise ValueError(f"after {words[1 - self.n :]!r} the model knows only {UNK}")
            drawn = int(rng.choice(len(p), p=p / p.sum()))
            if drawn == EOS_ID:
                break
            words.append(self.vocabulary.words[drawn])
        return words[self.n - 1 :]


# ---- the three kinds ---------------------------------------------------------------------


class AddK(NGramModel):
    """(c + k) / (N + k V): every word counts k times more than it was seen (Laplace: k = 1).

    No other order takes part: what is not counted comes from the uniform distribution.
    """

    def __init__(self, counts: NGramCounts, k: float = 1.0, n: int | None = None) -> None:
        """Raises ValueError unless k is positive."""
        if not k > 0:
            raise ValueError(f"k must be positive, not {k}: without it unseen words are impossible")
        self.k = k
        super().__init__(counts, n)

    def lengths(self, longest: int) -> Iterable[int]:
        """The longest n-grams only."""
        return (longest,)

    def level(self, length: int) -> Level:
        """c / (N + k V), and k V / (N + k V) for the uniform distribution."""
        order = self.counts.orders[length]
        extra = self.k * len(self.vocabulary)
        totals = self.counts.per_context(length, order.counts) + extra
        return Level(order.counts / totals[order.contexts], extra / totals)


class BackOff(NGramModel):
    """(c - D) / N for a word that was seen after the context; for all others the order below.

    What the discounts leave, D T / N, is shared out among the words not seen, in proportion to what
    the order below says of them. Where every word was seen there is nobody to leave it to, and
    nothing is taken off.
    """

    seen_only = True

    def __init__(
        self, counts: NGramCounts, discounts: Discounts = None, n: int | None = None
    ) -> None:
        """With one discount for all orders or one for each of 1 to n, or else estimated ones.

        Raises ValueError unless there are n of them, all between 0 and 1 (neither included).
        """
        n = _checked(n, counts)
        self.discounts = _discounts(discounts, [o.counts for o in counts.orders[1 : n + 1]])
        if not all(0 < discount < 1 for discount in self.discounts):
            raise ValueError(f"discounts of backing off lie between 0 and 1, not {discounts}")
        super().__init__(counts, n)

    def level(self, length: int) -> Level:
        """The discounted share of each n-gram, and each context's weight of the order below."""
        order, total = self.counts.orders[length], self.counts.per_context
        seen = order.counts > 0
        totals, types = total(length, order.counts), total(length, seen)  # N and T
        shared = types < len(self.vocabulary)
        discounts = self.discounts[length - 1] * shared
        direct = np.where(
            seen,
            (order.counts - discounts[order.contexts]) / np.maximum(totals, 1)[order.contexts],
            0.0,
        )
        below = (
            self.levels[length - 1].direct[order.suffixes]
            if length > 1
            else 1 / len(self.vocabulary)
        )
        unseen = 1 - total(length, seen * below)  # the share that the order below gives to them
        left = discounts * types / np.maximum(totals, 1)
        rest = np.where(shared, left / np.where(shared, unseen, 1.0), 0.0)
        return Level(direct, np.where(totals > 0, rest, 1.0))


class KneserNey(NGramModel):
    """max(c - D, 0) / N + (D T / N) times the order below; c is a continuation count there.

    With a discount of 0 for the single words they are not mixed with the uniform distribution, and
    words that were never seen are impossible.
    """

    def __init__(
        self, counts: NGramCounts, discounts: Discounts = None, n: int | None = None
    ) -> None:
        """With one discount for all orders or one for each of 1 to n, or else estimated ones.

        Raises ValueError unless there are n of them, all from 0 to 1.
        """
        n = _checked(n, counts)
        self._adjusted = [counts.continuations(length) for length in range(1, n)]
        self._adjusted.append(counts.orders[n].counts)
        self.discounts = _discounts(discounts, self._adjusted)
        if not all(0 <= discount <= 1 for discount in self.discounts):
            raise ValueError(f"discounts of Kneser-Ney lie between 0 and 1, not {discounts}")
        super().__init__(counts, n)

    def level(self, length: int) -> Level:
        """The discounted share of each n-gram, and each context's weight of the order below."""
        contexts, counts = self.counts.orders[length].contexts, self._adjusted[length - 1]
        discount, total = self.discounts[length - 1], self.counts.per_context
        totals = total(length, counts)  # N
        divisor = np.maximum(totals, 1)
        direct = np.maximum(counts - discount, 0.0) / divisor[contexts]
        rest = discount * total(length, counts > 0) / divisor
        return Level(direct, np.where(totals > 0, rest, 1.0))


# ---- help ----------------------------------------------------------------------------------


def _checked(n: int | None, counts: NGramCounts) -> int:
    n = counts.n if n is None else n
    if not 1 <= n <= counts.n:
        raise ValueError(f"n-grams were counted for n from 1 to {counts.n}, not for {n}")
    return n


def _discounts(given: Discounts, counts: Sequence[np.ndarray]) -> list[float]:
    if given is None:
        return [estimate_discount(of_order) for of_order in counts]
    each = list(given) if isinstance(given, Sequence) else [given] * len(counts)
    if len(each) != len(counts):
        raise ValueError(f"{len(counts)} orders need as many discounts, not {len(each)}")
    return each
