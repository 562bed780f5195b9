"""Text as a long row of word ids: what word vectors are learned from.

    text     The cat, the hat and the rest.
    words    the cat the hat and the rest        lowercase, runs of letters and digits
    ids       0   2   0   3   1   0   4

A word's id is its rank: 0 is the most frequent one, and words of equal count stand in alphabetical
order. Words that occur fewer than `min_count` times are left out, and what stood around them moves
together. Two things are then done to the row of ids, anew in each pass over the text:

- *subsampling*: an occurrence of a word that makes up the share f of the text is kept by chance
- *windows*: each position gets a radius r, drawn from 1 to `window`, and the word there is paired
  with the r words before it and the r after it, so that near neighbours count more often

Mikolov et al. (2013b, "Distributed Representations of Words and Phrases and their
Compositionality") discard a word with the probability 1 - sqrt(t / f), for a threshold t of about
1e-5. The program that its authors published, word2vec.c, keeps it with the probability
sqrt(t / f) + t / f, which is always a little more: the paper's formula keeps all words up to f = t,
the program those up to 2.6 t. Both are here; the program's is the default, as in gensim.

Left out: sentences (a window reaches over the end of an article, into the next one), phrases of
several words, and texts that do not fit into memory as ids. Tokenizers, which must be able to give
the text back, are other modules of this phase.

Shapes: N ids of a text, V words of the vocabulary, W = 2 * window + 1.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64, Integer

WORD = re.compile(r"[^\W_]+")  # letters and digits of any script
Formula = Literal["word2vec.c", "paper"]


class WordCounts:
    """The words that are known, the most frequent first; a word's id is its place.

    `words` and `counts` are as given, as a tuple and an array; `ids` tells the id of each word.
    """

    def __init__(self, words: Sequence[str], counts: Sequence[int]) -> None:
        """From words, each once, and how often each occurs.

        Raises ValueError where there is no word, a word comes twice, the two differ in length, or
        a count is below 1.
        """
        self.words = tuple(words)
        self.counts: Int64[np.ndarray, " V"] = np.array(counts, dtype=np.int64)
        self.ids = {word: n for n, word in enumerate(self.words)}
        if not self.words or len(self.ids) != len(self.words) or len(counts) != len(self.words):
            raise ValueError(
                "a vocabulary needs at least one word, each once, and a count for each: got "
                f"{len(self.words)} words, {len(self.ids)} of them different, {len(counts)} counts"
            )
        if self.counts.min() < 1:
            raise ValueError(f"every word must occur, but a count is {self.counts.min()}")

    def __len__(self) -> int:
        """How many words there are: V."""
        return len(self.words)

    def encode(self, words: Iterable[str]) -> Int32[np.ndarray, " N"]:
        """The ids of the words that are known; the others are left out."""
        known = (self.ids[word] for word in words if word in self.ids)
        return np.fromiter(known, dtype=np.int32)  # (N,)


def read_texts(
    name: str,
    documents: Callable[[str], Iterable[tuple[str, str]]],
    max_characters: int | None = None,
) -> Iterator[str]:
    """The texts of a file, or of a collection, at most so many characters in all.

    `name` is the path of a file in UTF-8, or what `documents` takes: it gives pairs of an id and a
    text, as `journal.texts.documents` does.
    """
    path = Path(name)
    if path.is_file():
        texts = iter([path.read_text(encoding="utf-8")])
    else:
        texts = (text for _, text in documents(name))
    return texts if max_characters is None else first_characters(texts, max_characters)


def first_characters(texts: Iterable[str], n: int) -> Iterator[str]:
    """The texts, the last of them cut, so that all together have at most n characters."""
    for text in texts:
        if n <= 0:
            return
        yield text[:n]
        n -= len(text)


def split_words(text: str) -> list[str]:
    """The words of a text, in lowercase: `"The cat's 9 lives"` has the, cat, s, 9, lives."""
    return WORD.findall(text.lower())


def read_corpus(
    texts: Iterable[str], min_count: int = 5
) -> tuple[WordCounts, Int32[np.ndarray, " N"]]:
    """The vocabulary of some texts and all their known words as ids, one text after the other.

    Known is what occurs at least `min_count` times. The texts are read once. Raises ValueError
    where no word does, and for one string in place of the texts.
    """
    if isinstance(texts, str):
        raise ValueError("a corpus is several texts, not one string: give it as [text]")
    found: defaultdict[str, int] = defaultdict()
    found.default_factory = found.__len__  # a new word gets the next number
    parts = [np.fromiter(map(found.__getitem__, split_words(text)), np.int32) for text in texts]
    numbers = np.concatenate(parts) if parts else np.zeros(0, np.int32)  # by first appearance
    counts = np.bincount(numbers, minlength=len(found))
    ranked = sorted(
        (-count, word, number)
        for (word, number), count in zip(found.items(), counts.tolist(), strict=True)
        if count >= min_count
    )
    if not ranked:
        raise ValueError(
            f"no word occurs {min_count} times or more among {len(numbers)}: take a longer text "
            "or a smaller min_count"
        )
    ids = np.full(len(found), -1, dtype=np.int32)
    ids[[number for _, _, number in ranked]] = np.arange(len(ranked), dtype=np.int32)
    stream = ids[numbers]  # (N,), with -1 for what is rare
    return (
        WordCounts([word for _, word, _ in ranked], [-count for count, _, _ in ranked]),
        stream[stream >= 0],
    )


# ---- subsampling -------------------------------------------------------------------------


def keep_probabilities(
    counts: Integer[np.ndarray, " V"], threshold: float, formula: Formula = "word2vec.c"
) -> Float64[np.ndarray, " V"]:
    """The probability with which an occurrence of each word is kept, at most 1.

    With f the word's share of the text: sqrt(t / f) in the paper, sqrt(t / f) + t / f in
    word2vec.c. A threshold of 0 stands for no subsampling, all ones.

    Raises ValueError for a negative threshold, and for a formula of another name.
    """
    if threshold < 0:
        raise ValueError(f"the threshold of subsampling is 0 or more, not {threshold}")
    if formula not in ("word2vec.c", "paper"):
        raise ValueError(f"the formula is 'word2vec.c' or 'paper', not {formula!r}")
    if threshold == 0:
        return np.ones(len(counts))
    ratio = threshold * counts.sum() / counts  # (V,): t / f
    keep = np.sqrt(ratio) if formula == "paper" else np.sqrt(ratio) + ratio
    return np.minimum(keep, 1.0)


def subsample(
    ids: Int32[np.ndarray, " N"], keep: Float64[np.ndarray, " V"], rng: np.random.Generator
) -> Int32[np.ndarray, " M"]:
    """The ids that chance leaves, in their order: each is kept with its word's probability."""
    return ids[rng.random(len(ids)) < keep[ids]]


# ---- windows -----------------------------------------------------------------------------


def window_radii(n: int, window: int, rng: np.random.Generator) -> Int32[np.ndarray, " N"]:
    """A radius for each of n positions, from 1 to `window`, each equally likely.

    Raises ValueError unless the window is at least 1.
    """
    if window < 1:
        raise ValueError(f"a window reaches at least 1 word to each side, not {window}")
    return rng.integers(1, window, n, dtype=np.int32, endpoint=True)


def skip_gram_pairs(
    ids: Int32[np.ndarray, " N"], radii: Int32[np.ndarray, " N"]
) -> tuple[Int32[np.ndarray, " P"], Int32[np.ndarray, " P"]]:
    """All (center, context) pairs of a text: the word at i with each at i - r_i to i + r_i.

    Made by shifting the whole row against itself, once for each distance, so that no loop runs
    over pairs. They come in the order of the distance: one to the right, one to the left, two...
    """
    centers, contexts = [], []
    for distance in range(1, int(radii.max(initial=0)) + 1):
        left, right = ids[:-distance], ids[distance:]  # (N - distance,) each: neighbours
        reaches = radii[:-distance] >= distance
        centers.append(left[reaches])
        contexts.append(right[reaches])
        reaches = radii[distance:] >= distance
        centers.append(right[reaches])
        contexts.append(left[reaches])
    nothing = np.zeros(0, dtype=np.int32)
    return np.concatenate([nothing, *centers]), np.concatenate([nothing, *contexts])


def window_mask(radii: Int32[np.ndarray, "*B L"], window: int) -> Bool[np.ndarray, "*B L S"]:
    """Which words are in the window of each of L positions that follow one another.

    The S = L + 2 * window columns are the positions from `window` before the first one to `window`
    after the last one. True where the distance is from 1 to the position's radius.
    """
    length = radii.shape[-1]
    column, row = np.arange(length + 2 * window), np.arange(length)[:, np.newaxis]
    distance = np.abs(column - window - row)  # (L, S)
    return (distance > 0) & (distance <= radii[..., np.newaxis])  # (..., L, S)
