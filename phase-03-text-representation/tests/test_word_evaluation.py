"""Neighbours, analogies and correlations of vectors that are laid out by hand."""

import numpy as np
import pytest

from phase03.word_evaluation import (
    PAIRS,
    QUESTIONS,
    Correlation,
    Score,
    WordVectors,
    answer_analogies,
    answers_of,
    evaluate,
    judge_similarity,
    load_vectors,
    neighbours_of,
    ranks,
    read_pairs,
    read_questions,
    save_vectors,
    spearman,
    total_score,
    unit_rows,
)

WORDS = ("man", "woman", "king", "queen", "apple")
PLACES = np.array(
    [[1.0, 0, 0.2], [1.0, 0.6, 0.2], [1.0, 0, 1.0], [1.0, 0.6, 1.0], [-1.0, 0.1, 0.0]]
)


def vectors():
    return WordVectors(WORDS, PLACES)


# ---- neighbours --------------------------------------------------------------------------


def test_vectors_have_length_one_and_zeros_stay_zeros():
    rows = unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0]])
    assert unit_rows(np.ones((2, 3), np.float32)).dtype == np.float32
    np.testing.assert_allclose(vectors()["apple"], PLACES[4] / np.linalg.norm(PLACES[4]))


def test_similarity_is_the_cosine_whatever_the_lengths():
    stretched = WordVectors(("a", "b"), np.array([[2.0, 0.0], [3.0, 3.0]]))
    assert stretched.similarity("a", "b") == pytest.approx(np.sqrt(0.5))
    assert stretched.similarity("a", "a") == pytest.approx(1)


def test_neighbours_are_sorted_and_leave_the_word_itself_out():
    found = vectors().neighbours("king", 3)
    assert [word for word, _ in found] == ["queen", "man", "woman"]
    cosines = [cosine for _, cosine in found]
    assert cosines == sorted(cosines, reverse=True)
    assert cosines[0] == pytest.approx(vectors().similarity("king", "queen"))


def test_more_neighbours_than_words_are_all_the_others():
    assert len(vectors().neighbours("king", 99)) == 4


def test_known_words_are_in_it():
    assert "king" in vectors()
    assert "pear" not in vectors()


@pytest.mark.parametrize(
    "ask",
    [
        lambda v: v["pear"],
        lambda v: v.neighbours("pear"),
        lambda v: v.similarity("king", "pear"),
        lambda v: v.analogy("man", "king", "pear"),
    ],
)
def test_unknown_word_is_refused(ask):
    with pytest.raises(ValueError, match="pear"):
        ask(vectors())


def test_words_and_vectors_must_fit():
    with pytest.raises(ValueError, match=r"."):
        WordVectors(("a", "b"), np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"."):
        WordVectors(("a", "a"), np.ones((2, 2)))


# ---- analogies ---------------------------------------------------------------------------


def test_one_answer_and_ten_neighbours_are_given_unasked():
    assert len(vectors().analogy("man", "king", "woman")) == 1
    many = WordVectors(tuple("abcdefghijkl"), np.random.default_rng(0).normal(size=(12, 3)))
    assert len(many.neighbours("a")) == 10


def test_man_is_to_king_as_woman_is_to_queen():
    assert vectors().analogy("man", "king", "woman")[0][0] == "queen"
    assert vectors().analogy("king", "man", "queen")[0][0] == "woman"


def test_the_three_words_of_a_question_are_no_answer():
    found = [word for word, _ in vectors().analogy("man", "king", "woman", 5)]
    assert sorted(found) == ["apple", "queen"]
    # here the nearest of all words is one of the three, as it mostly is
    near = WordVectors(("a", "b", "c", "d"), np.array([[1, 0], [1, 0.1], [0, 1], [-1.0, 0]]))
    assert near.analogy("a", "b", "c")[0][0] == "d"


def test_questions_are_read_by_category():
    text = ": family\nMan King woman queen\n\n: fruit\napple pear plum fig\nfig plum pear apple\n"
    assert read_questions(text) == {
        "family": [("man", "king", "woman", "queen")],
        "fruit": [("apple", "pear", "plum", "fig"), ("fig", "plum", "pear", "apple")],
    }


def test_category_that_comes_again_goes_on():
    text = ": a\na b c d\n: b\nb c d e\n: a\nc d e f\n"
    assert read_questions(text)["a"] == [tuple("abcd"), tuple("cdef")]


@pytest.mark.parametrize(
    ("text", "line"), [("man king woman queen", 1), (": family\nman king woman", 2), (": a b c", 1)]
)
def test_line_that_is_no_question_is_refused_by_its_number(text, line):
    with pytest.raises(ValueError, match=rf"\b{line}\b"):
        read_questions(text)


def test_only_questions_of_known_words_are_asked():
    questions = {
        "family": [("man", "king", "woman", "queen"), ("man", "king", "woman", "pear")],
        "wrong": [("man", "king", "woman", "apple")],
        "unknown": [("a", "b", "c", "d")],
    }
    scores = answer_analogies(vectors(), questions)
    assert scores == {"family": Score(1, 1, 2), "wrong": Score(0, 1, 1), "unknown": Score(0, 0, 1)}
    assert scores["family"].accuracy == 1
    assert scores["unknown"].accuracy == 0
    assert total_score(scores.values()) == Score(1, 2, 4)


def test_many_questions_are_answered_as_one_by_one():
    rng = np.random.default_rng(0)
    words = [f"w{n}" for n in range(30)]
    random = WordVectors(words, rng.normal(size=(30, 4)))
    asked = [tuple(words[i] for i in rng.choice(30, 4, replace=False)) for _ in range(1203)]
    slow = sum(random.analogy(*four[:3])[0][0] == four[3] for four in asked)
    assert answer_analogies(random, {"all": asked})["all"] == Score(slow, 1203, 1203)
    assert slow > 0


# ---- similarity --------------------------------------------------------------------------


def test_pairs_are_read_and_comments_are_not():
    assert read_pairs("# head\nLove\tsex\t6.77\n\ntiger\tcat\t7.35\n") == [
        ("love", "sex", 6.77),
        ("tiger", "cat", 7.35),
    ]
    for wrong in ("love sex 6.77", "love\tsex", "love\tsex\tmuch"):
        with pytest.raises(ValueError, match=r"line 2\b"):
            read_pairs(f"tiger\tcat\t7.35\n{wrong}\n")


def test_ranks_begin_at_one_and_equal_values_share():
    np.testing.assert_array_equal(ranks(np.array([10.0, 30.0, 20.0, 20.0])), [1, 4, 2.5, 2.5])


def test_spearman_sees_the_order_alone():
    x = np.array([1.0, 2.0, 3.0, 4.0])
    assert spearman(x, np.exp(x)) == pytest.approx(1)
    assert spearman(x, -(x**3)) == pytest.approx(-1)
    assert spearman(x, np.ones(4)) == 0


def test_spearman_and_ranks_equal_scipy():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    for n in (3, 4, 7, 20):
        x, y = rng.integers(-5, 6, (2, n)).astype(float)  # with values that repeat
        np.testing.assert_allclose(ranks(x), stats.rankdata(x))
        assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_similarity_is_judged_over_known_pairs():
    pairs = [("man", "woman", 9.0), ("man", "apple", 1.0), ("king", "woman", 5.0)]
    unknown = [("a", "b", 2.0), ("a", "man", 2.0), ("man", "b", 2.0)]
    found = judge_similarity(vectors(), pairs + unknown)
    assert found.spearman == pytest.approx(1)
    assert found[1:] == (3, 6)
    assert judge_similarity(vectors(), unknown) == Correlation(0.0, 0, 3)


# ---- all together ------------------------------------------------------------------------


def test_all_published_sets_are_asked():
    sets = {
        QUESTIONS: ": family\nman king woman queen\nman king woman prince\n: fruit\n"
        "man apple king woman\n",
        PAIRS["wordsim353"]: "man\twoman\t9\nman\tapple\t1\nking\twoman\t5\n",
        PAIRS["simlex999"]: "man\twoman\t1\nman\tapple\t9\nking\tprince\t5\n",
    }
    found = evaluate(vectors(), sets.__getitem__)
    assert found == {
        "analogies": 0.5,
        "analogies_asked": 2,
        "analogies_in_set": 3,
        "categories": {
            "family": {"accuracy": 1.0, "asked": 1},
            "fruit": {"accuracy": 0.0, "asked": 1},
        },
        "wordsim353": 1.0,
        "wordsim353_pairs": 3,
        "simlex999": -1.0,
        "simlex999_pairs": 2,
    }


def test_shares_and_correlations_have_four_places():
    questions = ": one\nman king woman queen\nking man queen apple\nman apple king woman\n"
    pairs = "man\twoman\t3\nking\twoman\t9\nman\tapple\t5\n"
    sets = {QUESTIONS: questions, **dict.fromkeys(PAIRS.values(), pairs)}
    found = evaluate(vectors(), sets.__getitem__)
    assert (found["analogies"], found["categories"]["one"]["accuracy"]) == (0.3333, 0.3333)
    assert found["wordsim353"] == round(judge_similarity(vectors(), read_pairs(pairs)).spearman, 4)
    assert found["wordsim353"] not in (-1, 0, 1)


def test_neighbours_of_the_known_words():
    found = neighbours_of(vectors(), ("king", "nobody", "man"), 2)
    assert list(found) == ["king", "man"]
    assert found["man"] == [word for word, _ in vectors().neighbours("man", 2)]


def test_answers_to_questions_of_known_words():
    questions = [("man", "king", "woman"), ("man", "king", "nobody")]
    found = answers_of(vectors(), questions, 2)
    assert list(found) == ["king - man + woman"]
    assert found["king - man + woman"][0] == "queen"
    assert len(found["king - man + woman"]) == 2
    assert len(answers_of(vectors(), questions)["king - man + woman"]) == 2  # all that are left
    many = WordVectors(tuple("abcdefgh"), np.random.default_rng(0).normal(size=(8, 3)))
    assert len(answers_of(many, [("a", "b", "c")])["b - a + c"]) == 3


# ---- files -------------------------------------------------------------------------------


def test_saved_vectors_come_back(tmp_path):
    path = tmp_path / "made" / "some.npz"
    save_vectors(path, ("é", "b"), np.array([[3.0, 4.0], [0.0, 2.0]], np.float32))
    found = load_vectors(path)
    assert found.words == ("é", "b")
    np.testing.assert_allclose(found.unit, [[0.6, 0.8], [0, 1]], rtol=1e-6)
    assert found.unit.dtype == np.float32
    assert sorted(file.name for file in path.parent.iterdir()) == ["some.json", "some.npz"]


def test_missing_vectors_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none"):
        load_vectors(tmp_path / "none.npz")


def test_vectors_are_saved_where_others_have_been(tmp_path):
    for word in ("old", "new"):
        save_vectors(tmp_path / "v.npz", [word], np.ones((1, 2), np.float32))
    assert load_vectors(tmp_path / "v.npz").words == ("new",)
