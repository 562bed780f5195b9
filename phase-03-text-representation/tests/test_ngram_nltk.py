"""The models against nltk's, which gets the same n-grams and the same vocabulary.

nltk's own padding puts n - 1 marks at the end too and counts n-grams that end in <s>, so that <s>
is predicted, and its Kneser-Ney does not sum to 1 after <s>: so it gets our n-grams here. It takes
nothing off the single words, does not mix them with the uniform distribution, and cannot make a
Kneser-Ney model of n = 1. Importing nltk takes seconds, which is why this file is one of its own.
"""

from itertools import product

import pytest

from phase03.ngram import AddK, KneserNey
from phase03.ngram_counts import BOS, EOS, UNK, NGramCounts

lm = pytest.importorskip("nltk.lm", reason="nltk is not installed")

TEXTS = ("the cat sat on the mat", "the cat ran to the dog", "a dog ran", "the cat sat", "the mat")
SENTENCES = [text.split() for text in TEXTS]
HELD_OUT = [text.split() for text in ("the dog sat on a cat", "the bird ran", "")]


def nltk_counts(counts):
    """The same n-grams in nltk's counter, and the same vocabulary."""
    grams = []
    for sentence in SENTENCES:
        marked = [BOS] * (counts.n - 1) + list(sentence) + [EOS]
        for end in range(counts.n - 1, len(marked)):
            grams += [tuple(marked[end - m + 1 : end + 1]) for m in range(1, counts.n + 1)]
    words = [word for word in counts.vocabulary.words if word != UNK]
    return {
        "vocabulary": lm.Vocabulary(words, unk_label=UNK),
        "counter": lm.NgramCounter([grams]),
    }


def contexts_and_words(counts, n):
    seen = {()}
    for sentence in [*SENTENCES, *HELD_OUT]:
        marked = [BOS] * (n - 1) + list(sentence)
        seen |= {tuple(marked[end - n + 1 : end]) for end in range(n - 1, len(marked) + 1)}
    return list(product(sorted(seen), counts.vocabulary.words))


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 0.2])
def test_add_k_is_that_of_nltk(n, k):
    counts = NGramCounts(SENTENCES, n)
    reference = nltk_counts(counts)
    truth = lm.Laplace(n, **reference) if k == 1 else lm.Lidstone(k, n, **reference)
    model = AddK(counts, float(k))
    for context, word in contexts_and_words(counts, n):
        mine = model.probability(word, context)
        assert mine == pytest.approx(truth.unmasked_score(word, context), rel=1e-12)


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("discount", [0.1, 0.75])
def test_kneser_ney_is_that_of_nltk(n, discount):
    """nltk takes nothing off the single words: there our discount is 0."""
    counts = NGramCounts(SENTENCES, n)
    reference = nltk_counts(counts)
    truth = lm.KneserNeyInterpolated(n, discount, **reference)
    model = KneserNey(counts, [0.0] + [discount] * (n - 1))
    for context, word in contexts_and_words(counts, n):
        mine = model.probability(word, context)
        assert mine == pytest.approx(truth.unmasked_score(word, context), rel=1e-12, abs=1e-15)
