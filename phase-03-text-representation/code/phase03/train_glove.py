"""Words get vectors from a table of how often they stand near each other.

    uv run journal run phase03.train_glove
    uv run journal run phase03.train_glove --text novels --n-epochs 30
    uv run journal run phase03.train_glove --text PATH/TO/text8

The text is that of `phase03.train_word2vec`, by default Wikipedia articles (local-only: they are
published nowhere in this form), of which the first 12 million characters are read. It is read once,
to count; then GloVe goes over the table of pairs again and again. After each pass the
vectors are asked what people know of words: similarities (WordSim-353) and analogies.

Drawn is the loss, and the similarity beside it, against the passes. A window reaches over the end
of an article into the next one, as in `phase03.corpus`. x_max is smaller than the paper's 100,
which was chosen for texts of billions of words: in a small one hardly a pair comes so often. The
learning rate is larger than its 0.05, since the passes are few: on a small text similarity stops
rising long before the loss stops falling.

Left out: a choice of settings by the machine, and centring the vectors.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from journal import data, plotting, record, script, texts
from phase03.corpus import read_corpus, read_texts
from phase03.glove import CoOccurrences, Glove, GloveConfig, co_occurrences
from phase03.word_evaluation import (
    PAIRS,
    WordVectors,
    evaluate,
    judge_similarity,
    neighbours_of,
    read_pairs,
)


@dataclass(frozen=True)
class Config:
    text: str = "wikipedia"
    """a text of the journal (wikipedia, novels, shakespeare, ...) or the path of a file"""
    max_characters: int | None = 12_000_000
    """read only so many characters from the beginning of the text; none for all"""
    min_count: int = 10
    """words that occur less often are left out"""
    d_embedding: int = 50
    window: int = 8
    x_max: float = 10.0
    alpha: float = 0.75
    learning_rate: float = 0.2
    n_epochs: int = 8
    n_block: int = 2048
    """pairs in one step"""
    words: tuple[str, ...] = ("france", "king", "music", "football", "river", "three")
    """whose neighbours are shown"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        for name in ("min_count", "n_epochs", "window"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        self.model()

    def model(self) -> GloveConfig:
        """The model's part of the settings. Raises ValueError where they make no sense."""
        return GloveConfig(
            self.d_embedding, self.x_max, self.alpha, self.learning_rate, self.n_block
        )


def main(config: Config) -> dict[str, Any]:
    """Count, train, ask, draw; returns scores, sizes and times."""
    started, started_cpu = time.perf_counter(), time.process_time()
    documents = read_texts(config.text, texts.documents, config.max_characters)
    vocabulary, ids = read_corpus(documents, config.min_count)
    counts = co_occurrences(ids, config.window, len(vocabulary))
    counting = time.perf_counter() - started
    print(
        f"{len(ids):,} words of {len(vocabulary):,} kinds in {config.text}: "
        f"{len(counts.rows):,} pairs",
        flush=True,
    )
    model = Glove(config.model(), len(vocabulary), np.random.default_rng(config.seed))
    curve, training = train(model, counts, vocabulary.words, config.n_epochs)
    vectors = WordVectors(vocabulary.words, model.vectors)
    found = evaluate(vectors, data.read_text)
    del found["categories"]
    metrics: dict[str, Any] = {
        **sizes(model, counts),
        "words": len(ids),
        "loss": curve[-1]["loss"],
        "counting_seconds": round(counting, 1),
        "training_seconds": round(training, 1),
        "pairs_per_second": round(len(counts.rows) * config.n_epochs / training),
        **found,
        "cpu_seconds": round(time.process_time() - started_cpu, 1),
    }
    seconds = time.perf_counter() - started
    near = neighbours_of(vectors, config.words)
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "curve": curve, "neighbours": near},
        seconds=seconds,
        record=config.record,
    )
    record.write_picture(__file__, "curve", draw(curve, config), record=config.record)
    close(metrics, near, config)
    return metrics | {"seconds": round(seconds, 1)}


def train(
    model: Glove, counts: CoOccurrences, words: tuple[str, ...], n_epochs: int
) -> tuple[list[dict[str, float]], float]:
    """Loss and similarity after each pass, and the seconds of the training alone."""
    pairs = read_pairs(data.read_text(PAIRS["wordsim353"]))
    curve: list[dict[str, float]] = []
    seconds, begun = 0.0, time.perf_counter()
    for loss in model.train(counts, n_epochs):
        seconds += time.perf_counter() - begun
        judged = judge_similarity(WordVectors(words, model.vectors), pairs)
        curve.append({"loss": round(loss, 5), "wordsim353": round(judged.spearman, 4)})
        print(
            f"pass {len(curve):>3}, {seconds:6.1f} s: loss {loss:.4f}, "
            f"WordSim-353 {judged.spearman:.3f}",
            flush=True,
        )
        begun = time.perf_counter()
    return curve, seconds


def sizes(model: Glove, counts: CoOccurrences) -> dict[str, Any]:
    """How large table and model are, and which share of the pairs counts in full."""
    return {
        "vocabulary": len(model.params["word.bias"]),
        "pairs": len(counts.rows),
        "share_of_full_weight": round(float(np.mean(counts.weights >= model.config.x_max)), 4),
        "parameters": sum(p.size for p in model.params.values()),
    }


def draw(curve: list[dict[str, float]], config: Config) -> Figure:
    """The loss and the similarity against the passes, one below the other."""
    figure, (above, below) = plotting.figure(7.0, 5.0, rows=2)
    passes = range(1, len(curve) + 1)
    above.plot(passes, [point["loss"] for point in curve], "o-", markersize=4)
    above.set(title=f"GloVe on {config.text}", ylabel="mean loss of a pair", yscale="log")
    similarity = [point["wordsim353"] for point in curve]
    below.plot(passes, similarity, "s-", markersize=4, color=plotting.PALETTE[1])
    below.set(xlabel="passes over the table of pairs", ylabel="WordSim-353 (Spearman)")
    return figure


def close(metrics: dict[str, Any], near: dict[str, list[str]], config: Config) -> None:
    """Print what was found, what it cost, and what to think about."""
    print()
    for word, others in near.items():
        print(f"{word:>10}: {', '.join(others)}")
    print(
        f"analogies: {metrics['analogies']:.1%} of {metrics['analogies_asked']:,}, "
        f"WordSim-353: {metrics['wordsim353']:.2f}, SimLex-999: {metrics['simlex999']:.2f}"
    )
    megabytes = (8 * metrics["parameters"] + 24 * metrics["pairs"]) / 1e6
    products = 3 * metrics["pairs"] * config.n_epochs * config.d_embedding
    script.close(
        [
            (
                "parameters",
                f"{metrics['parameters']:,}",
                "2 x words of the vocabulary x (width + 1)",
            ),
            (
                "memory",
                f"{megabytes:,.0f} MB",
                "with the pairs, which are more than the parameters",
            ),
            (
                "operations",
                f"{products:.1e} multiply-adds",
                "pairs x width x passes, not with the text",
            ),
            ("time", f"{metrics['training_seconds']:,.0f} s", "as the operations"),
        ],
        [
            "A text of twice the length does not have twice the pairs. Which ones are new?",
            "What would the dot products be if every pair counted in full, f(x) = 1?",
            "Pairs that were never seen are left out, and skip-gram pushes random words apart. "
            "What does GloVe not learn from that?",
        ],
    )


if __name__ == "__main__":
    script.run(main, Config)
