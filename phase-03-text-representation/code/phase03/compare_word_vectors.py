"""Skip-gram, CBOW and GloVe on the same text: what do their vectors know?

    uv run journal run phase03.compare_word_vectors
    uv run journal run phase03.compare_word_vectors --text novels

All three read the same words with the same vocabulary, and have vectors of the same width and
windows of the same size. Skip-gram and CBOW go over the text `n_epochs` times, GloVe once, and then
over its table of pairs `n_passes` times. They are judged by the same questions: similarity
(WordSim-353, SimLex-999: Spearman's correlation with people's marks) and analogies (the share
answered rightly), of which only those count whose words are all known.

The default text is the first 12 million characters of some Wikipedia articles (local-only: they are
published nowhere in this form). On so small a text the scores are far below the published ones, and
one seed says little about small differences: `--n-seeds` repeats everything.

Left out: equal time. Times are given, but the three would not rank the same with another budget.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from journal import data, plotting, record, script, texts
from phase03.corpus import WordCounts, read_corpus, read_texts
from phase03.glove import Glove, GloveConfig, co_occurrences
from phase03.word2vec import LEARNING_RATES, Word2Vec, Word2VecConfig
from phase03.word_evaluation import WordVectors, evaluate

MEASURES = {"wordsim353": "WordSim-353", "simlex999": "SimLex-999", "analogies": "analogies"}


@dataclass(frozen=True)
class Config:
    text: str = "wikipedia"
    """a text of the journal (wikipedia, novels, shakespeare, ...) or the path of a file"""
    max_characters: int | None = 12_000_000
    """read only so many characters from the beginning of the text; none for all"""
    min_count: int = 10
    """words that occur less often are left out"""
    d_embedding: int = 50
    window: int = 5
    n_epochs: int = 5
    """passes over the text, of skip-gram and CBOW"""
    n_block: int = 256
    """positions of the text in one of their steps"""
    n_passes: int = 8
    """passes over the table of pairs, of GloVe"""
    x_max: float = 10.0
    glove_learning_rate: float = 0.2
    glove_n_block: int = 2048
    """pairs in one of GloVe's steps"""
    n_seeds: int = 1
    seed: int = 0
    """the first of them"""
    record: bool = False

    def __post_init__(self) -> None:
        for name in ("min_count", "n_epochs", "n_passes", "n_seeds", "window"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")


Vectors = Callable[[Config, WordCounts, np.ndarray, int], np.ndarray]


def skip_gram(config: Config, vocabulary: WordCounts, ids: np.ndarray, seed: int) -> np.ndarray:
    """The vectors of skip-gram with negative sampling."""
    return _word2vec("skip-gram", config, vocabulary, ids, seed)


def cbow(config: Config, vocabulary: WordCounts, ids: np.ndarray, seed: int) -> np.ndarray:
    """The vectors of CBOW with negative sampling."""
    return _word2vec("cbow", config, vocabulary, ids, seed)


def _word2vec(
    architecture: Any, config: Config, vocabulary: WordCounts, ids: np.ndarray, seed: int
) -> np.ndarray:
    settings = Word2VecConfig(
        architecture=architecture,
        d_embedding=config.d_embedding,
        window=config.window,
        learning_rate=LEARNING_RATES[architecture],
        n_block=config.n_block,
    )
    model = Word2Vec(settings, vocabulary, np.random.default_rng(seed))
    for _ in model.train(ids, config.n_epochs):
        pass
    return model.vectors


def glove(config: Config, vocabulary: WordCounts, ids: np.ndarray, seed: int) -> np.ndarray:
    """The vectors of GloVe, the counting included."""
    settings = GloveConfig(
        config.d_embedding,
        config.x_max,
        learning_rate=config.glove_learning_rate,
        n_block=config.glove_n_block,
    )
    counts = co_occurrences(ids, config.window, len(vocabulary))
    model = Glove(settings, len(vocabulary), np.random.default_rng(seed))
    for _ in model.train(counts, config.n_passes):
        pass
    return model.vectors


MODELS: dict[str, Vectors] = {"skip-gram": skip_gram, "CBOW": cbow, "GloVe": glove}


def main(config: Config) -> dict[str, Any]:
    """Train the three, ask all the same; returns their scores and times, means over the seeds."""
    started = time.perf_counter()
    documents = read_texts(config.text, texts.documents, config.max_characters)
    vocabulary, ids = read_corpus(documents, config.min_count)
    print(f"{len(ids):,} words of {len(vocabulary):,} kinds in {config.text}", flush=True)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in MODELS}
    asked: dict[str, int] = {}
    for seed in range(config.seed, config.seed + config.n_seeds):
        for name, train in MODELS.items():
            begun, begun_cpu = time.perf_counter(), time.process_time()
            vectors = train(config, vocabulary, ids, seed)
            took = time.perf_counter() - begun, time.process_time() - begun_cpu
            found = evaluate(WordVectors(vocabulary.words, vectors), data.read_text)
            asked = {key: found[key] for key in found if key.endswith(("asked", "in_set", "pairs"))}
            runs[name].append(
                {measure: found[measure] for measure in MEASURES}
                | {"training_seconds": took[0], "cpu_seconds": took[1]}
            )
            report(name, seed, runs[name][-1])
    results = {name: means(of_model) for name, of_model in runs.items()}
    metrics = {"words": len(ids), "vocabulary": len(vocabulary), **asked, "models": results}
    seconds = time.perf_counter() - started
    written = {**metrics, "runs": runs}
    record.write(__file__, config=config, metrics=written, seconds=seconds, record=config.record)
    record.write_picture(__file__, "scores", draw(runs, config), record=config.record)
    return metrics | {"seconds": round(seconds, 1)}


def means(runs: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each number over the runs."""
    return {key: round(float(np.mean([run[key] for run in runs])), 4) for key in runs[0]}


def report(name: str, seed: int, run: dict[str, float]) -> None:
    found = ", ".join(f"{title} {run[measure]:.3f}" for measure, title in MEASURES.items())
    print(f"{name:>10}, seed {seed}, {run['training_seconds']:6.1f} s: {found}", flush=True)


def draw(runs: dict[str, list[dict[str, float]]], config: Config) -> Figure:
    """A group of bars for each measure, a bar for each model, a dot for each seed if several."""
    figure, ax = plotting.figure(7.0, 4.0)
    places, width = np.arange(len(MEASURES)), 0.26
    for number, (name, of_model) in enumerate(runs.items()):
        left = places + (number - 1) * width
        values = np.array([[run[measure] for measure in MEASURES] for run in of_model])
        bars = ax.bar(left, values.mean(axis=0), 0.9 * width, label=name)
        if len(values) > 1:
            for of_seed in values:
                ax.plot(left, of_seed, ".", color=plotting.INK, markersize=4)
        else:
            ax.bar_label(bars, fmt="%.2f", fontsize=8, padding=2, color=plotting.INK)
    ax.axhline(0, color=plotting.INK, linewidth=0.8)
    ax.set(
        title=f"The same text, three ways to vectors: {config.text}",
        ylabel="Spearman's correlation; share right",
        xticks=places,
        xticklabels=list(MEASURES.values()),
    )
    ax.legend(loc="best")
    return figure


if __name__ == "__main__":
    script.run(main, Config)
