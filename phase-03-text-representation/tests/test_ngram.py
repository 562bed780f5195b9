"""The three kinds of n-gram model: by hand, sums of 1, nltk's values, perplexity, samples."""

import math
from itertools import product

import numpy as np
import pytest

from phase03.ngram import AddK, BackOff, KneserNey, NGramModel, estimate_discount
from phase03.ngram_counts import BOS, EOS, UNK, NGramCounts, Vocabulary

SENTENCES = [
    ["the", "cat", "sat", "on", "the", "mat"],
    ["the", "cat", "ran", "to", "the", "dog"],
    ["a", "dog", "ran"],
    ["the", "cat", "sat"],
    ["the", "mat"],
]
HELD_OUT = [["the", "dog", "sat", "on", "a", "cat"], ["the", "bird", "ran"], []]
KINDS = {
    "add-k": lambda counts, n: AddK(counts, 0.3, n),
    "back-off": lambda counts, n: BackOff(counts, 0.6, n),
    "back-off, estimated": lambda counts, n: BackOff(counts, None, n),
    "kneser-ney": lambda counts, n: KneserNey(counts, 0.7, n),
    "kneser-ney, estimated": lambda counts, n: KneserNey(counts, None, n),
}
kinds = pytest.mark.parametrize("kind", list(KINDS))


def model_of(kind, n, min_count=1, sentences=SENTENCES) -> NGramModel:
    vocabulary = Vocabulary.of(sentences, min_count)
    return KINDS[kind](NGramCounts(sentences, n, vocabulary), n)


# ---- by hand -----------------------------------------------------------------------------
# "ab", "ab", "ac": after a stand b twice and c once; the vocabulary is <UNK>, <EOS>, a, b, c.

HAND = ["ab", "ab", "ac"]


def test_add_k_by_hand():
    model = AddK(NGramCounts(HAND, 2), k=0.5)
    # (c + 1/2) / (3 + 5/2)
    truth = [0.5 / 5.5, 0.5 / 5.5, 0.5 / 5.5, 2.5 / 5.5, 1.5 / 5.5]
    np.testing.assert_allclose(model.distribution("a"), truth)
    np.testing.assert_allclose(model.distribution(["x"]), np.full(5, 1 / 5))  # nothing known


def test_back_off_by_hand():
    model = BackOff(NGramCounts(HAND, 2), 0.5)
    # Alone: <EOS> 3, a 3, b 2, c 1 of 9, each less 1/2; 4 halves are left, and all go to <UNK>.
    single = [2 / 9, 2.5 / 9, 2.5 / 9, 1.5 / 9, 0.5 / 9]
    np.testing.assert_allclose(model.distribution([]), single)
    # After a: b 1.5 and c 0.5 of 3; the third that is left goes to the other three words in
    # proportion to 2 : 2.5 : 2.5.
    truth = [1 / 3 * 2 / 7, 1 / 3 * 2.5 / 7, 1 / 3 * 2.5 / 7, 0.5, 1 / 6]
    np.testing.assert_allclose(model.distribution("a"), truth)
    np.testing.assert_allclose(model.distribution(["x"]), single)  # the question is passed on


def test_kneser_ney_by_hand():
    model = KneserNey(NGramCounts(HAND, 2), 0.5)
    # Continuations: <EOS> after b and c, a after <BOS>, b and c after a: 2, 1, 1, 1 of 5. Less 1/2
    # each; the 2/5 that are left are shared by five words.
    share = 2 / 5 / 5
    single = [share, 1.5 / 5 + share, 0.5 / 5 + share, 0.5 / 5 + share, 0.5 / 5 + share]
    np.testing.assert_allclose(model.distribution([]), single)
    # After a: b 1.5 and c 0.5 of 3, and a third of the above.
    truth = np.array([0, 0, 0, 0.5, 1 / 6]) + np.array(single) / 3
    np.testing.assert_allclose(model.distribution("a"), truth)


def test_frequent_word_of_one_context_is_unlikely_elsewhere():
    san = [["san", "francisco"]] * 9 + [[word, "tea"] for word in ["green", "black", "mint"]]
    counts = NGramCounts(san, 2)
    after_new = [KneserNey(counts, 0.5).probability(w, ["new"]) for w in ("francisco", "tea")]
    backed_off = [BackOff(counts, 0.5).probability(w, ["new"]) for w in ("francisco", "tea")]
    assert after_new[0] < after_new[1]
    assert backed_off[0] > backed_off[1]


def test_discount_by_hand():
    # 3 n-grams once, 2 twice: 3 / (3 + 4)
    assert estimate_discount(np.array([1, 1, 2, 5, 2, 1, 0])) == pytest.approx(3 / 7)
    assert estimate_discount(np.array([1, 1, 3])) == 0.5
    assert estimate_discount(np.array([2, 3])) == 0.5


def test_discounts_are_estimated_for_each_order():
    model = BackOff(NGramCounts(SENTENCES, 2))
    # words: on, to, a once; mat, sat, ran, dog twice. pairs: 9 once and 4 twice
    assert model.discounts == [3 / (3 + 8), estimate_discount(model.counts.orders[2].counts)]
    kneser_ney = KneserNey(NGramCounts(SENTENCES, 2))
    assert kneser_ney.discounts[0] == estimate_discount(kneser_ney.counts.continuations(1))
    assert kneser_ney.discounts[1] == model.discounts[1]


# ---- distributions -----------------------------------------------------------------------


@kinds
@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("min_count", [1, 2])
def test_every_distribution_sums_to_1(kind, n, min_count):
    model = model_of(kind, n, min_count)
    contexts = {()}
    for sentence in [*SENTENCES, *HELD_OUT]:
        marked = [BOS] * (n - 1) + list(sentence)
        for end, length in product(range(len(marked) + 1), range(n)):
            contexts.add(tuple(marked[max(0, end - length) : end]))
    contexts |= {("bird", "bird", "bird"), (EOS, EOS), ("mat", "a")}
    for context in contexts:
        p = model.distribution(context)
        assert p.shape == (len(model.vocabulary),)
        assert p.sum() == pytest.approx(1, abs=1e-12), context
        assert np.all(p > 0), context


@kinds
def test_sum_is_1_where_every_word_was_seen(kind):
    # After a every word of the vocabulary comes: <UNK> (x and y, each once), <EOS>, a and b.
    sentences = ["aabax", "aya", "bb"]
    model = model_of(kind, 2, 2, sentences)
    assert model.vocabulary.words == (UNK, EOS, "a", "b")
    for context in ("a", "b", "x", [BOS]):
        p = model.distribution(context)
        assert p.sum() == pytest.approx(1, abs=1e-12)
        assert np.all(p > 0)


@kinds
def test_only_the_last_words_count(kind):
    model = model_of(kind, 3)
    np.testing.assert_array_equal(
        model.distribution(["a", "dog", "sat", "on", "the"]), model.distribution(["on", "the"])
    )


@kinds
def test_unseen_context_is_that_of_fewer_words(kind):
    model = model_of(kind, 3)
    p = model.distribution(["bird", "the"])
    if kind == "add-k":
        np.testing.assert_allclose(p, np.full(len(p), 1 / len(p)))
    else:
        np.testing.assert_array_equal(p, model.distribution(["the"]))


@kinds
def test_smaller_n_of_the_same_counts_is_the_same_model(kind):
    large = NGramCounts(SENTENCES, 4)
    for n in (1, 2, 3):
        mine, truth = KINDS[kind](large, n), KINDS[kind](NGramCounts(SENTENCES, n), n)
        assert mine.perplexity(HELD_OUT) == pytest.approx(truth.perplexity(HELD_OUT), rel=1e-12)
        context = ([BOS] * 3 + ["the"])[-n + 1 :] if n > 1 else []
        np.testing.assert_allclose(mine.distribution(context), truth.distribution(context))


@kinds
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_text_has_the_probabilities_of_its_words(kind, n):
    model = model_of(kind, n, min_count=2)
    truth = []
    for sentence in HELD_OUT:
        marked = [BOS] * (n - 1) + list(sentence) + [EOS]
        for place in range(n - 1, len(marked)):
            truth.append(math.log(model.probability(marked[place], marked[:place])))
    np.testing.assert_allclose(model.log_probabilities(HELD_OUT), truth, rtol=1e-12)
    text = model.counts.look_up(HELD_OUT)  # what several models share
    np.testing.assert_allclose(model.log_probabilities(text), truth, rtol=1e-12)


@kinds
def test_order_1_does_not_look_back(kind):
    model = model_of(kind, 1)
    np.testing.assert_array_equal(model.distribution(["the"]), model.distribution([]))


# ---- perplexity --------------------------------------------------------------------------


def test_perplexity_of_knowing_nothing_is_the_size_of_the_vocabulary():
    model = AddK(NGramCounts(SENTENCES, 3), 1e12)
    assert model.perplexity(HELD_OUT) == pytest.approx(len(model.vocabulary))


def test_perplexity_by_hand():
    model = KneserNey(NGramCounts(HAND, 1), 0.0)
    # a, b, <EOS>: 3/9, 2/9, 3/9
    assert model.perplexity(["ab"]) == pytest.approx((9 / 3 * 9 / 2 * 9 / 3) ** (1 / 3))
    bits = -np.log2([3 / 9, 2 / 9, 3 / 9]).mean()
    assert model.perplexity(["ab"]) == pytest.approx(2**bits)


def test_impossible_word_makes_the_perplexity_infinite():
    model = KneserNey(NGramCounts(HAND, 2), 0.0)
    assert model.perplexity(["ad"]) == math.inf
    assert model.log_probabilities(["ad"])[1] == -math.inf


def test_unknown_words_are_one_word():
    model = model_of("kneser-ney", 2, min_count=2)
    assert model.perplexity([["bird"]]) == model.perplexity([["sofa"]])
    assert model.probability("bird", ["the"]) == model.probability(UNK, ["the"])


@kinds
def test_text_that_was_read_is_less_surprising(kind):
    model = model_of(kind, 2, min_count=2)
    assert model.perplexity(SENTENCES) < model.perplexity(HELD_OUT) < len(model.vocabulary) * 2


# ---- samples -----------------------------------------------------------------------------


def test_samples_have_the_frequencies_of_the_distribution():
    model = KneserNey(NGramCounts(HAND, 2), 0.5)
    rng = np.random.default_rng(0)
    firsts = [(model.sample(rng, 1) or [EOS])[0] for _ in range(2000)]
    p = model.distribution([BOS])
    p = p / (1 - p[0])  # without <UNK>
    for word, share in zip(model.vocabulary.words[1:], p[1:], strict=True):
        assert firsts.count(word) / 2000 == pytest.approx(share, abs=0.035)


@kinds
def test_samples_end_and_are_repeatable(kind):
    model = model_of(kind, 3, min_count=2)
    texts = [model.sample(np.random.default_rng(seed), 7) for seed in range(30)]
    again = [model.sample(np.random.default_rng(seed), 7) for seed in range(30)]
    assert texts == again
    assert all(len(text) <= 7 for text in texts)
    assert len({tuple(text) for text in texts}) > 10
    written = {word for text in texts for word in text}
    assert written <= set(model.vocabulary.words) - {UNK, EOS}


def test_high_order_writes_what_it_has_read():
    model = BackOff(NGramCounts(["abcdefg"], 3), 0.01)
    written = [model.sample(np.random.default_rng(seed), 20) for seed in range(20)]
    assert (
        written.count(list("abcdefg")) >= 14
    )  # each of 8 steps is left with 1 % to the order below


# ---- mistakes ----------------------------------------------------------------------------


def test_settings_that_are_no_model_are_refused():
    counts = NGramCounts(HAND, 2)
    for k in (0.0, -1.0):
        with pytest.raises(ValueError, match=r"."):
            AddK(counts, k)
    for n in (0, 3):
        for kind in (AddK, BackOff, KneserNey):
            with pytest.raises(ValueError, match=r"."):
                kind(counts, n=n)
    for discount in (0.0, 1.0, -0.1, [0.5, 1.0]):
        with pytest.raises(ValueError, match=r"."):
            BackOff(counts, discount)
    for discount in (-0.1, 1.1, [0.5], [0.5, 0.5, 0.5]):
        with pytest.raises(ValueError, match=r"."):
            KneserNey(counts, discount)


def test_questions_without_an_answer_are_refused():
    model = KneserNey(NGramCounts(HAND, 2))
    with pytest.raises(ValueError, match=BOS):
        model.probability(BOS, "a")
    with pytest.raises(ValueError, match=EOS):
        model.log_probabilities([["a", EOS]])
    with pytest.raises(ValueError, match=r"."):
        model.perplexity([])
    with pytest.raises(ValueError, match=UNK):
        KneserNey(NGramCounts(["a"], 2, Vocabulary([])), 0.0).sample(np.random.default_rng(0), 5)
