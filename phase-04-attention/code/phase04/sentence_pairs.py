"""Sentence pairs for translation: which are kept, as ids, and in batches of similar length.

A batch is as wide as its longest sentence, and what fills the shorter ones up costs time for
nothing. So the sentences of a batch should be about equally long. Sorting all of them would give
the same batches in every epoch, and the short ones always first; so the order is drawn first, the
sorting keeps the drawn order among equals, and the batches are drawn in another order again.

Shapes: as in `phase02.seq2seq`: B batch, S time of the source, T time of the target.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from phase02.seq2seq import Batch, padded
from phase03.word_tokenizer import WordTokenizer, words

SPECIAL = ("<PAD>", "<BOS>", "<EOS>")  # ids 0, 1 and 2 in both languages
PAD, BOS, EOS = range(len(SPECIAL))


class Pair(NamedTuple):
    """A sentence and its translation, as texts."""

    source: str
    target: str


def short_pairs(
    sources: Iterable[str], targets: Iterable[str], max_words: int | None
) -> list[Pair]:
    """The pairs of which neither side is empty or has more than `max_words` words and signs.

    None keeps every length. Raises ValueError where there is not a target for each source.
    """
    sources, targets = list(sources), list(targets)
    if len(sources) != len(targets):
        raise ValueError(
            f"each sentence needs its translation, got {len(sources)} and {len(targets)}"
        )
    pairs = []
    for source, target in zip(sources, targets, strict=True):
        lengths = len(words(source)), len(words(target))
        if min(lengths) > 0 and (max_words is None or max(lengths) <= max_words):
            pairs.append(Pair(source.strip(), target.strip()))
    return pairs


def as_batch(
    pairs: Sequence[Pair], source_words: WordTokenizer, target_words: WordTokenizer
) -> Batch:
    """These pairs as ids, filled up at their ends; a target ends with `<EOS>`.

    Raises ValueError where there is no pair.
    """
    sources = [source_words.encode(pair.source) for pair in pairs]
    return Batch(
        *padded(sources), *padded([[*target_words.encode(pair.target), EOS] for pair in pairs])
    )


def batches_by_length(
    pairs: Sequence[Pair],
    batch_size: int,
    rng: np.random.Generator | None = None,
) -> Iterator[list[int]]:
    """The places of all pairs, each once, in batches of pairs of similar length.

    Sorted by the words of the target, then of the source. `rng` draws the order of the batches and
    which of equally long pairs go together; None takes the sorted order. Raises ValueError unless
    batch_size is at least 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, not {batch_size}")
    order = list(range(len(pairs))) if rng is None else rng.permutation(len(pairs)).tolist()
    lengths = [(len(words(pair.target)), len(words(pair.source))) for pair in pairs]
    order.sort(key=lambda place: lengths[place])  # the drawn order stays among equals
    batches = [order[n : n + batch_size] for n in range(0, len(order), batch_size)]
    for n in range(len(batches)) if rng is None else rng.permutation(len(batches)):
        yield batches[n]
