"""What word vectors know: nearest neighbours, analogies, and the judgement of people.

- *neighbours*: the words whose vectors have the largest cosine with a word's
- *analogies*: "man is to king as woman is to ?" is the word whose vector is nearest to
  king - man + woman. Mikolov et al. (2013a) leave the three words of the question out of
  the search, and so does this; with them, the answer would mostly be one of the three
- *similarity*: people gave pairs of words a mark; Spearman's correlation says whether the cosines
  of the pairs are in the same order

Vectors are divided by their length first, so that a dot product is a cosine. Questions and pairs
with an unknown word are not asked; how many were is part of the answer.

Left out: significance, and other ways of asking an analogy.

Shapes: V words, C width, Q questions.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64

QUESTIONS = "word2vec/questions-words.txt.gz"  # the published sets, by their names in the registry
PAIRS = {"wordsim353": "word2vec/wordsim353.tsv", "simlex999": "word2vec/simlex999.txt"}
QUESTIONS_AT_ONCE = 500  # (500, V) scores in memory


class Score(NamedTuple):
    """How many questions were answered rightly; `asked` leaves out those of unknown words."""

    right: int
    asked: int
    total: int

    @property
    def accuracy(self) -> float:
        """The share of right answers among the questions asked; 0 where none was."""
        return self.right / self.asked if self.asked else 0.0


class Correlation(NamedTuple):
    """Spearman's correlation over the pairs of known words, and how many those are."""

    spearman: float
    pairs: int
    total: int


class WordVectors:
    """Words with a vector of length 1 each: what the questions below are put to.

    `words` are in the order of the rows of `unit`, (V, C), and `ids` tells the row of each.
    """

    def __init__(self, words: Sequence[str], vectors: Float[np.ndarray, "V C"]) -> None:
        """From words and their vectors of any length, row n being the vector of word n.

        Raises ValueError where the numbers of the two differ, or a word comes twice.
        """
        self.words = tuple(words)
        self.ids = {word: n for n, word in enumerate(self.words)}
        if len(self.words) != len(vectors) or len(self.ids) != len(self.words):
            raise ValueError(
                f"expected a vector for each word and each word once, got {len(self.words)} words, "
                f"{len(self.ids)} of them different, and {len(vectors)} vectors"
            )
        self.unit = unit_rows(vectors)  # (V, C)

    def __contains__(self, word: str) -> bool:
        return word in self.ids

    def __getitem__(self, word: str) -> Float[np.ndarray, " C"]:
        """The vector of a word, of length 1. Raises ValueError for an unknown word."""
        return self.unit[self._id(word)]

    def similarity(self, first: str, second: str) -> float:
        """The cosine of two words. Raises ValueError for an unknown one."""
        return float(self[first] @ self[second])

    def neighbours(self, word: str, n: int = 10) -> list[tuple[str, float]]:
        """The n nearest other words and their cosines, the nearest first.

        Raises ValueError for an unknown word.
        """
        return self._nearest(self[word], n, [self._id(word)])

    def analogy(self, first: str, second: str, third: str, n: int = 1) -> list[tuple[str, float]]:
        """The n words nearest to second - first + third, none of the three, with their cosines.

        `analogy("man", "king", "woman")` hopes for queen. Raises ValueError for an unknown word.
        """
        target = self[second] - self[first] + self[third]  # (C,)
        known = [self._id(word) for word in (first, second, third)]
        return self._nearest(unit_rows(target[np.newaxis])[0], n, known)

    def _id(self, word: str) -> int:
        if word not in self.ids:
            raise ValueError(f"the word {word!r} is not among the {len(self.words)} known ones")
        return self.ids[word]

    def _nearest(
        self, target: Float[np.ndarray, " C"], n: int, without: list[int]
    ) -> list[tuple[str, float]]:
        cosines = self.unit @ target  # (V,)
        cosines[without] = -np.inf
        order = np.argsort(-cosines, kind="stable")[: min(n, len(cosines) - len(set(without)))]
        return [(self.words[i], float(cosines[i])) for i in order]


def unit_rows(vectors: Float[np.ndarray, "V C"]) -> Float[np.ndarray, "V C"]:
    """Each row divided by its length; a row of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)  # (V, 1)
    return vectors / np.where(lengths > 0, lengths, 1)


# ---- analogies ---------------------------------------------------------------------------


def read_questions(text: str) -> dict[str, list[tuple[str, ...]]]:
    """The questions of `questions-words.txt` by category, four words each, in lowercase.

    Raises ValueError, naming the line, where one is neither ": category" nor four words.
    """
    questions: dict[str, list[tuple[str, ...]]] = {}
    category = ""
    for number, line in enumerate(text.lower().splitlines(), start=1):
        words = tuple(line.split())
        if words[:1] == (":",) and len(words) == 2:
            category = words[1]
            questions.setdefault(category, [])
        elif len(words) == 4 and category:
            questions[category].append(words)
        elif words:
            raise ValueError(
                f"line {number} of the questions should be ': category' or four words under one, "
                f"and is {line!r}"
            )
    return questions


def answer_analogies(
    vectors: WordVectors, questions: Mapping[str, Sequence[tuple[str, ...]]]
) -> dict[str, Score]:
    """How many questions of each category are answered rightly: the nearest word is the fourth.

    Only those are asked whose four words are all known.
    """
    scores = {}
    for category, asked in questions.items():
        known = [
            [vectors.ids[w] for w in four] for four in asked if all(w in vectors for w in four)
        ]
        ids = np.array(known, dtype=np.int64).reshape(-1, 4)  # (Q, 4)
        right = sum(
            _right_answers(vectors.unit, ids[start : start + QUESTIONS_AT_ONCE])
            for start in range(0, len(ids), QUESTIONS_AT_ONCE)
        )
        scores[category] = Score(right, len(ids), len(asked))
    return scores


def _right_answers(unit: Float[np.ndarray, "V C"], ids: Int64[np.ndarray, "Q 4"]) -> int:
    first, second, third, answer = ids.T
    targets = unit[second] - unit[first] + unit[third]  # (Q, C): its length changes no order
    cosines = targets @ unit.T  # (Q, V)
    np.put_along_axis(cosines, ids[:, :3], -np.inf, axis=1)
    return int((cosines.argmax(axis=1) == answer).sum())


def total_score(scores: Iterable[Score]) -> Score:
    """All categories together: each question counts once."""
    right, asked, total = 0, 0, 0
    for score in scores:
        right, asked, total = right + score.right, asked + score.asked, total + score.total
    return Score(right, asked, total)


# ---- similarity --------------------------------------------------------------------------


def read_pairs(text: str) -> list[tuple[str, str, float]]:
    """Pairs of words with people's mark, from lines of word, word, number with tabs between.

    Lines that begin with # are comments. Raises ValueError, naming the line, for any other.
    """
    pairs = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            first, second, mark = line.lower().split("\t")
            pairs.append((first, second, float(mark)))
        except ValueError:
            raise ValueError(
                f"line {number} of the pairs should be two words and a number with tabs between, "
                f"and is {line!r}"
            ) from None
    return pairs


def judge_similarity(vectors: WordVectors, pairs: Sequence[tuple[str, str, float]]) -> Correlation:
    """Spearman's correlation of cosines and marks over the pairs whose two words are known.

    It is 0 where fewer than two pairs are known.
    """
    known = [pair for pair in pairs if pair[0] in vectors and pair[1] in vectors]
    if len(known) < 2:
        return Correlation(0.0, len(known), len(pairs))
    cosines = np.array([vectors.similarity(first, second) for first, second, _ in known])
    marks = np.array([mark for _, _, mark in known])
    return Correlation(spearman(cosines, marks), len(known), len(pairs))


def spearman(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """The correlation of the ranks of x with those of y, from -1 to 1; 0 where one is constant."""
    first, second = ranks(x), ranks(y)
    first, second = first - first.mean(), second - second.mean()
    lengths = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / lengths if lengths else 0.0


def ranks(x: Float[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """The place of each value in rising order, from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)  # the last place of each different value
    return (last - (counts - 1) / 2)[place]


# ---- all together ------------------------------------------------------------------------


def evaluate(vectors: WordVectors, read_text: Callable[[str], str]) -> dict[str, Any]:
    """What the vectors know of the published sets: shares and correlations, to four places.

    `read_text` gives the text of QUESTIONS and of each of PAIRS, as `journal.data.read_text` does.
    The keys: analogies (share of right answers), analogies_asked and analogies_in_set (questions),
    categories (accuracy and asked, of each), and for each set of pairs its name (Spearman's
    correlation) and its name with _pairs (how many were known).
    """
    answered = answer_analogies(vectors, read_questions(read_text(QUESTIONS)))
    total = total_score(answered.values())
    found: dict[str, Any] = {
        "analogies": round(total.accuracy, 4),
        "analogies_asked": total.asked,
        "analogies_in_set": total.total,
        "categories": {
            name: {"accuracy": round(score.accuracy, 4), "asked": score.asked}
            for name, score in answered.items()
        },
    }
    for name, file in PAIRS.items():
        judged = judge_similarity(vectors, read_pairs(read_text(file)))
        found |= {name: round(judged.spearman, 4), f"{name}_pairs": judged.pairs}
    return found


def neighbours_of(vectors: WordVectors, words: Iterable[str], n: int = 8) -> dict[str, list[str]]:
    """The n nearest words of each that is known, without the cosines."""
    return {
        word: [near for near, _ in vectors.neighbours(word, n)] for word in words if word in vectors
    }


def answers_of(
    vectors: WordVectors, questions: Iterable[tuple[str, str, str]], n: int = 3
) -> dict[str, list[str]]:
    """The n best answers to each question of known words, named as "king - man + woman"."""
    return {
        f"{second} - {first} + {third}": [w for w, _ in vectors.analogy(first, second, third, n)]
        for first, second, third in questions
        if all(word in vectors for word in (first, second, third))
    }


# ---- files -------------------------------------------------------------------------------


def save_vectors(path: Path, words: Sequence[str], vectors: Float[np.ndarray, "V C"]) -> None:
    """Write the vectors as `path`, an npz file of one array, and the words beside it as json.

    Each file is written in full and then put in its place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.tmp.npz")
    np.savez(draft, vectors=vectors)
    draft.replace(path)
    draft = path.with_name(f".{path.stem}.tmp.json")
    draft.write_text(json.dumps(list(words), ensure_ascii=False), encoding="utf-8")
    draft.replace(path.with_suffix(".json"))


def load_vectors(path: Path) -> WordVectors:
    """What `save_vectors` wrote. Raises FileNotFoundError where there is nothing of the kind."""
    beside = path.with_suffix(".json")
    if not (path.is_file() and beside.is_file()):
        raise FileNotFoundError(
            f"there are no word vectors {path} with {beside.name} beside them: train some first"
        )
    with np.load(path, allow_pickle=False) as arrays:
        return WordVectors(json.loads(beside.read_text(encoding="utf-8")), arrays["vectors"])
