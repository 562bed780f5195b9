"""Words get vectors from the words around them (museum, exhibit 03).

    uv run journal run phase03.train_word2vec
    uv run journal run phase03.train_word2vec --architecture cbow
    uv run journal run phase03.train_word2vec --text novels
    uv run journal run phase03.train_word2vec --text PATH/TO/text8

The default reads 23,694 articles of Wikipedia (local-only: they are published nowhere in this form)
five times, by skip-gram with negative sampling. Any other text serves: one of the journal's, by its
name, or a file of UTF-8 text.

Nobody tells the model what a word means. Afterwards it is asked for the nearest neighbours of some
words, for the analogies of Mikolov et al. (2013a) as far as all their words are known, and whether
it finds the same words similar as people do (WordSim-353, SimLex-999).

Three pictures: the loss; countries and capitals along the two directions in which they differ most
(PCA, by hand), the words being those of the question set, not chosen afterwards; and the most
frequent words as t-SNE lays them out, which needs scikit-learn (`--n-tsne 0` does without). The
vectors are left in `runs/phase03/`, for other scripts.

Left out: phrases, several threads, and a choice of settings by the machine.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from journal import data, plotting, record, script, texts
from phase03.corpus import WordCounts, keep_probabilities, read_corpus, read_texts
from phase03.projection import pca
from phase03.word2vec import LEARNING_RATES, Progress, Word2Vec, Word2VecConfig
from phase03.word_evaluation import (
    QUESTIONS,
    WordVectors,
    answers_of,
    evaluate,
    neighbours_of,
    read_questions,
    save_vectors,
)

CATEGORY = "capital-common-countries"  # of the questions, drawn by PCA
# Where the name of a point may stand: right, left, above, below, and in the corners.
SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
SHOWN = (("man", "king", "woman"), ("paris", "france", "berlin"), ("big", "bigger", "small"))


@dataclass(frozen=True)
class Config:
    text: str = "wikipedia"
    """a text of the journal (wikipedia, novels, shakespeare, ...) or the path of a file"""
    max_characters: int | None = None
    """read only so many characters from the beginning of the text; none for all"""
    min_count: int = 5
    """words that occur less often are left out"""
    architecture: Literal["skip-gram", "cbow"] = "skip-gram"
    d_embedding: int = 100
    window: int = 5
    n_negatives: int = 5
    threshold: float = 1e-4
    """of the subsampling of frequent words; 0 for none"""
    learning_rate: float | None = None
    """at its highest; none for 0.025 (skip-gram) or 0.2 (cbow)"""
    n_epochs: int = 5
    n_block: int = 256
    """positions of the text in one step"""
    words: tuple[str, ...] = ("france", "king", "music", "football", "river", "three")
    """whose neighbours are shown"""
    n_countries: int = 10
    """pairs of country and capital to draw, the first of the question set that are known"""
    n_tsne: int = 300
    """most frequent words to draw by t-SNE; 0 for no such picture"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        for name in ("min_count", "n_epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        self.model()

    def model(self) -> Word2VecConfig:
        """The model's part of the settings. Raises ValueError where they make no sense."""
        rate = self.learning_rate
        return Word2VecConfig(
            architecture=self.architecture,
            d_embedding=self.d_embedding,
            window=self.window,
            n_negatives=self.n_negatives,
            threshold=self.threshold,
            learning_rate=LEARNING_RATES[self.architecture] if rate is None else rate,
            n_block=self.n_block,
        )


def main(config: Config) -> dict[str, Any]:
    """Train, ask, draw; returns scores, sizes and times."""
    started, started_cpu = time.perf_counter(), time.process_time()
    if config.n_tsne:
        tsne_or_sentence()  # better missed now than after the training
    documents = read_texts(config.text, texts.documents, config.max_characters)
    vocabulary, ids = read_corpus(documents, config.min_count)
    print(f"{len(ids):,} words of {len(vocabulary):,} kinds in {config.text}", flush=True)
    model = Word2Vec(config.model(), vocabulary, np.random.default_rng(config.seed))
    curve, seconds, cpu = train(model, ids, config.n_epochs)
    vectors = WordVectors(vocabulary.words, model.vectors)
    metrics: dict[str, Any] = {
        **sizes(model, vocabulary, ids),
        "loss": round(curve[-1].loss, 4),
        "training_seconds": round(seconds, 1),
        "training_cpu_seconds": round(cpu, 1),
        "words_per_second": round(curve[-1].words / seconds),
        "words_per_cpu_second": round(curve[-1].words / cpu),
        **evaluate(vectors, data.read_text),
        "neighbours": neighbours_of(vectors, config.words),
        "analogies_shown": answers_of(vectors, SHOWN),
    }
    pictures = draw_all(curve, vectors, config)
    metrics["cpu_seconds"] = round(time.process_time() - started_cpu, 1)
    keep(metrics, curve, model, pictures, time.perf_counter() - started, config)
    close(metrics, config)
    return {name: metrics[name] for name in metrics if name not in ("neighbours", "categories")}


# ---- training and asking -----------------------------------------------------------------


def train(model: Word2Vec, ids: np.ndarray, n_epochs: int) -> tuple[list[Progress], float, float]:
    """The course of the loss, and the seconds that it took, by the clock and of the processor."""
    begun, begun_cpu = time.perf_counter(), time.process_time()
    curve = []
    for progress in model.train(ids, n_epochs, n_reports=40):
        curve.append(progress)
        if len(curve) % 4 == 1:
            rate = progress.words / (time.perf_counter() - begun)
            print(
                f"{progress.words:>12,} words read, {rate:>9,.0f} a second: "
                f"loss {progress.loss:.3f} nats",
                flush=True,
            )
    if not curve:
        raise ValueError("subsampling left nothing of the text: take a longer one, or threshold 0")
    return curve, time.perf_counter() - begun, time.process_time() - begun_cpu


def sizes(model: Word2Vec, vocabulary: WordCounts, ids: np.ndarray) -> dict[str, Any]:
    """How much text there is, and how large the model is."""
    kept = keep_probabilities(vocabulary.counts, model.config.threshold) @ vocabulary.counts
    return {
        "words": len(ids),
        "vocabulary": len(vocabulary),
        "kept_by_subsampling": round(float(kept) / len(ids), 4),
        "parameters": sum(param.size for param in model.params.values()),
    }


# ---- what is written ---------------------------------------------------------------------


def keep(
    metrics: dict[str, Any],
    curve: list[Progress],
    model: Word2Vec,
    pictures: dict[str, Figure],
    seconds: float,
    config: Config,
) -> None:
    """The numbers with the curve, the pictures, and the vectors in `runs/phase03/`."""
    for name, figure in pictures.items():
        picture = name if config.architecture == "skip-gram" else f"{config.architecture}-{name}"
        record.write_picture(__file__, picture, figure, record=config.record)
    written = [
        {"words": one.words, "loss": round(one.loss, 4), "rate": round(one.learning_rate, 6)}
        for one in curve
    ]
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "curve": written},
        seconds=seconds,
        record=config.record,
        name="" if config.architecture == "skip-gram" else config.architecture,
    )
    path = Path.cwd() / "runs" / "phase03" / f"word2vec-{config.architecture}.npz"
    save_vectors(path, model.vocabulary.words, model.vectors)
    print(f"vectors: {path.relative_to(Path.cwd())}")


def close(metrics: dict[str, Any], config: Config) -> None:
    """Print what was found, what it cost, and what to think about."""
    print()
    for word, near in metrics["neighbours"].items():
        print(f"{word:>10}: {', '.join(near)}")
    for question, answers in metrics["analogies_shown"].items():
        print(f"{question}: {', '.join(answers)}")
    print(
        f"analogies: {metrics['analogies']:.1%} of {metrics['analogies_asked']:,}, "
        f"WordSim-353: {metrics['wordsim353']:.2f}, SimLex-999: {metrics['simlex999']:.2f}"
    )
    pairs = metrics["words"] * metrics["kept_by_subsampling"] * (config.window + 1)
    products = 3 * config.n_epochs * pairs * (config.n_negatives + 1) * config.d_embedding
    megabytes = 4 * metrics["parameters"] / 1e6
    script.close(
        [
            ("parameters", f"{metrics['parameters']:,}", "2 x words of the vocabulary x width"),
            ("memory", f"{megabytes:,.0f} MB of vectors", "as the parameters"),
            (
                "operations",
                f"{products:.1e} multiply-adds, pair by pair",
                "words read x window x (1 + negatives) x width; not with the vocabulary",
            ),
            ("time", f"{metrics['training_seconds']:,.0f} s", "as the operations"),
        ],
        [
            "Hot and cold are near neighbours. What in the training makes them so, and would more "
            "text part them?",
            "The answer to an analogy may not be one of its three words. What would the scores be "
            "without that rule?",
            "Each word has one vector. What becomes of a word with two meanings?",
        ],
    )


# ---- how it is drawn ---------------------------------------------------------------------


def draw_all(curve: list[Progress], vectors: WordVectors, config: Config) -> dict[str, Figure]:
    """The pictures that can be drawn from these words."""
    pictures = {"loss": draw_loss(curve, config)}
    pairs = capitals(vectors)[: config.n_countries]
    if len(pairs) >= 2:
        pictures["capitals"] = draw_capitals(vectors, pairs)
    if config.n_tsne:
        pictures["tsne"] = draw_tsne(vectors, min(config.n_tsne, len(vectors.words)), config.seed)
    return pictures


def draw_loss(curve: list[Progress], config: Config) -> Figure:
    """The loss against the words read."""
    figure, ax = plotting.figure(7.0, 3.6)
    ax.plot([one.words / 1e6 for one in curve], [one.loss for one in curve], "o-", markersize=3)
    unit = "pair" if config.architecture == "skip-gram" else "word"
    ax.set(
        title=f"{config.architecture} with {config.n_negatives} negatives: loss while it reads",
        xlabel=f"millions of words read, in {config.n_epochs} passes",
        ylabel=f"loss, nats a {unit}",
    )
    return figure


def capitals(vectors: WordVectors) -> list[tuple[str, str]]:
    """(capital, country) of the question set's most common countries, where both are known."""
    questions = read_questions(data.read_text(QUESTIONS)).get(CATEGORY, [])
    found = dict.fromkeys((capital, country) for capital, country, _, _ in questions)
    return [pair for pair in found if all(word in vectors for word in pair)]


def draw_capitals(vectors: WordVectors, pairs: list[tuple[str, str]]) -> Figure:
    """Countries and capitals in the plane of their first two components, pairs joined."""
    found = pca(np.stack([vectors[word] for pair in pairs for word in pair]), 2)
    places = found.points.reshape(-1, 2, 2)  # (pairs, capital and country, xy)
    figure, ax = plotting.figure(7.0, 6.2)
    for ends in places:
        ax.plot(*ends.T, "-", color=plotting.PALETTE[4], linewidth=0.8, zorder=1)
    for column, (name, marker) in enumerate((("capital", "s"), ("country", "o"))):
        points = places[:, column]
        color = plotting.PALETTE[column]
        ax.plot(*points.T, linestyle="", marker=marker, color=color, label=name, markersize=5)
    ax.margins(0.16, 0.08)
    ax.set(
        title="Countries and their capitals along their first two principal components",
        xlabel=f"first component ({found.explained[0]:.0%} of the variance)",
        ylabel=f"second component ({found.explained[1]:.0%})",
    )
    ax.legend(loc="best")
    names = [word for pair in pairs for word in pair]
    write_names(figure, ax, names, places.reshape(-1, 2), 8.5)
    return figure


def tsne_or_sentence() -> Any:
    """scikit-learn's t-SNE; ValueError with the way out where it is missing."""
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        raise ValueError(
            "t-SNE needs scikit-learn: install it (`uv pip install scikit-learn`), or do without "
            "that picture by --n-tsne 0"
        ) from None
    return TSNE


def draw_tsne(vectors: WordVectors, n_words: int, seed: int) -> Figure:
    """The most frequent words as t-SNE lays them out; a name is written where there is room."""
    perplexity = min(15.0, (n_words - 1) / 3)
    laid = tsne_or_sentence()(
        perplexity=perplexity, metric="cosine", init="pca", random_state=seed
    ).fit_transform(vectors.unit[:n_words].astype(np.float64))  # (n, 2)
    figure, ax = plotting.figure(7.0, 7.0)
    ax.scatter(*laid.T, s=3, color=plotting.PALETTE[4])
    ax.set(
        title=f"The {n_words} most frequent words, laid out by t-SNE",
        xticks=[],
        yticks=[],
        xlabel="no unit: only who is near whom has a meaning",
    )
    ax.margins(0.14, 0.05)
    write_names(figure, ax, vectors.words[:n_words], laid, 7.5)
    return figure


def write_names(
    figure: Figure, ax: Axes, names: Sequence[str], places: np.ndarray, size: float
) -> None:
    """Write each name beside its place, on the first side where there is nothing yet.

    A name for which no side has room is left out: its point stays. All is measured in points,
    1/72 of an inch.
    """
    figure.draw_without_rendering()  # the axes get their place
    points = ax.transData.transform(places) * 72 / figure.dpi  # (n, 2)
    taken = np.hstack([points - 2.8, points + 2.8])  # left, bottom, right, top of what is drawn
    for name, place, (x, y) in zip(names, places, points, strict=True):
        half_width, half_height = 0.3 * size * len(name), 0.6 * size
        for right, up in SIDES:
            middle_x, middle_y = x + right * (half_width + 6), y + up * (half_height + 3)
            left, bottom = middle_x - half_width, middle_y - half_height
            box = np.array([left, bottom, middle_x + half_width, middle_y + half_height])
            apart = (box[:2] > taken[:, 2:]).any(axis=1) | (box[2:] < taken[:, :2]).any(axis=1)
            if apart.all():
                taken = np.vstack([taken, box])
                offset = (middle_x - x, middle_y - y)
                text = ax.annotate(name, place, offset, textcoords="offset points", fontsize=size)
                text.set(ha="center", va="center")
                break


if __name__ == "__main__":
    script.run(main, Config)
