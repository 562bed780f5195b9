"""Words per second and quality of our word2vec beside gensim's, on the same text and settings.

    uv run journal run phase03.benchmark_word2vec

gensim's training is compiled code that handles a pair at a time, in one worker thread or several;
ours is NumPy, a block of the text at a time, in one thread. Both get the same words (those that
occur often enough), the same width, window, number of negatives, subsampling and passes, and the
learning rate that falls along the same line. gensim gets the text in pieces of 10,000 words, the
most that it takes at once. Reading the text and counting words are not timed. The ways take turns,
round by round; the fastest round of each counts. Both are then put to the same questions: a method
that is quick and learns less would be no gain.

gensim is imported here alone; it comes with the journal's development packages.

Left out: more than two workers, hierarchical softmax, and CBOW by default (`--architecture cbow`
compares it at the learning rate that `phase03.word2vec` names for ours, 0.025 for gensim's,
whose gradient is a multiple of ours).
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

# Read by NumPy's BLAS when it is imported: products this small gain nothing from a second thread.
for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import numpy as np  # noqa: E402

from journal import data, record, script  # noqa: E402
from journal import texts as registered  # noqa: E402
from phase03.corpus import WordCounts, read_corpus, read_texts  # noqa: E402
from phase03.word2vec import LEARNING_RATES, LOWEST_RATE, Word2Vec, Word2VecConfig  # noqa: E402
from phase03.word_evaluation import WordVectors, evaluate  # noqa: E402

OURS, ONE, TWO = "ours", "gensim, 1 worker", "gensim, 2 workers"
GOAL = 1 / 3  # of the rate of gensim with two workers
PIECE = 10_000  # words that gensim takes at once, at most


@dataclass(frozen=True)
class Config:
    text: str = "wikipedia"
    """a text of the journal, or the path of a file"""
    max_characters: int | None = 20_000_000
    """read only so many characters from the beginning of the text; none for all"""
    min_count: int = 5
    architecture: Literal["skip-gram", "cbow"] = "skip-gram"
    d_embedding: int = 100
    window: int = 5
    n_negatives: int = 5
    threshold: float = 1e-4
    n_epochs: int = 3
    rounds: int = 3
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        for name in ("min_count", "n_epochs", "rounds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")


class Text(NamedTuple):
    """What all ways learn from."""

    vocabulary: WordCounts
    ids: np.ndarray  # (N,)
    pieces: list[list[str]]


def main(config: Config) -> dict[str, Any]:
    """Train all ways in turn; returns rates, their ratios to ours and what the vectors know."""
    started = time.perf_counter()
    model = gensim_model()
    text = read(config)
    print(f"{len(text.ids):,} words of {len(text.vocabulary):,} kinds, {config.n_epochs} passes")
    ways: dict[str, Callable[[], tuple[float, np.ndarray]]] = {
        OURS: lambda: ours(text, config),
        ONE: lambda: gensim(model, text, config, 1),
        TWO: lambda: gensim(model, text, config, 2),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    vectors: dict[str, np.ndarray] = {}
    for _ in range(config.rounds):
        for name, way in ways.items():
            took, vectors[name] = way()
            seconds[name].append(took)
            print(f"{name:<18} {took:8.1f} s", flush=True)
    n_read = config.n_epochs * len(text.ids)
    metrics: dict[str, Any] = {
        "words": len(text.ids),
        "vocabulary": len(text.vocabulary),
        "words_per_second": {name: round(n_read / min(took)) for name, took in seconds.items()},
        "ratio_to_one_worker": round(min(seconds[ONE]) / min(seconds[OURS]), 3),
        "ratio_to_two_workers": round(min(seconds[TWO]) / min(seconds[OURS]), 3),
        "goal": round(GOAL, 3),
        "scores": {name: judged(text.vocabulary, found) for name, found in vectors.items()},
    }
    report(metrics)
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "round_seconds": seconds},
        seconds=time.perf_counter() - started,
        record=config.record,
        name="" if config.architecture == "skip-gram" else config.architecture,
    )
    return metrics


def read(config: Config) -> Text:
    """The text as ids and as gensim takes it."""
    texts = read_texts(config.text, registered.documents, config.max_characters)
    vocabulary, ids = read_corpus(texts, config.min_count)
    words = np.array(vocabulary.words, dtype=object)
    pieces = [words[ids[start : start + PIECE]].tolist() for start in range(0, len(ids), PIECE)]
    return Text(vocabulary, ids, pieces)


def ours(text: Text, config: Config) -> tuple[float, np.ndarray]:
    """(seconds of training, vectors) of this journal's word2vec."""
    settings = Word2VecConfig(
        architecture=config.architecture,
        d_embedding=config.d_embedding,
        window=config.window,
        n_negatives=config.n_negatives,
        threshold=config.threshold,
        learning_rate=LEARNING_RATES[config.architecture],
    )
    model = Word2Vec(settings, text.vocabulary, np.random.default_rng(config.seed))
    begun = time.perf_counter()
    for _ in model.train(text.ids, config.n_epochs):
        pass
    return time.perf_counter() - begun, model.vectors


def gensim_model() -> Any:
    """gensim's class; ValueError with the way out where it is missing."""
    try:
        from gensim.models import Word2Vec as theirs
    except ImportError:
        raise ValueError(
            "this benchmark compares with gensim, which is not installed: "
            "`uv pip install gensim` puts it in"
        ) from None
    return theirs


def gensim(made: Any, text: Text, config: Config, workers: int) -> tuple[float, np.ndarray]:
    """(seconds of training, vectors in our order of words) of gensim's word2vec."""
    rate = LEARNING_RATES["skip-gram"]
    model = made(
        vector_size=config.d_embedding,
        window=config.window,
        negative=config.n_negatives,
        sample=config.threshold,
        sg=int(config.architecture == "skip-gram"),
        alpha=rate,
        min_alpha=rate * LOWEST_RATE,
        min_count=1,
        workers=workers,
        seed=config.seed + 1,
    )
    model.build_vocab(text.pieces)
    begun = time.perf_counter()
    model.train(text.pieces, total_examples=len(text.pieces), epochs=config.n_epochs)
    seconds = time.perf_counter() - begun
    return seconds, np.stack([model.wv[word] for word in text.vocabulary.words])


def judged(vocabulary: WordCounts, vectors: np.ndarray) -> dict[str, float]:
    """What the vectors know, on the published sets."""
    found = evaluate(WordVectors(vocabulary.words, vectors), data.read_text)
    wanted = ("analogies", "analogies_asked", "wordsim353", "simlex999")
    return {name: found[name] for name in wanted}


def report(metrics: dict[str, Any]) -> None:
    """A table of the ways."""
    print(f"\n{'':<18}{'words a second':>15}{'analogies':>11}{'WordSim':>9}{'SimLex':>8}")
    for name, score in metrics["scores"].items():
        print(
            f"{name:<18}{metrics['words_per_second'][name]:>15,}{score['analogies']:>11.1%}"
            f"{score['wordsim353']:>9.3f}{score['simlex999']:>8.3f}"
        )
    print(
        f"ours is {metrics['ratio_to_one_worker']:.2f} times as fast as gensim with one worker, "
        f"{metrics['ratio_to_two_workers']:.2f} times as fast as with two"
    )


if __name__ == "__main__":
    script.run(main, Config)
