r"""A character model learns to write: from noise to words, one character after another.

    uv run journal run phase02.train_char_lm
    uv run journal run phase02.train_char_lm --cell gru --source novel
    uv run journal run phase02.train_char_lm --cell rnn --source novel \
        --max-characters 3000 --n-steps 200

The default is the museum's exhibit 04: an LSTM reads Shakespeare's plays two and a half times and
is then asked for bits per character on their last tenth, which it never read. The third command
gives an RNN a few paragraphs of a book: it soon knows them by heart, and what follows them in the
book gets harder for it the longer it learns.

The text is read in chunks with the state carried from one to the next, and the gradient cut at
their borders (`phase02.bptt`). Gradients are clipped, Adam takes the steps, and its learning rate
rises for a few steps and then falls along a cosine.

Measured is the loss over the whole held-out part: while it learns in as many rows as a batch, each
of which begins without a state, and at the end in one piece, as the text stands. Two numbers to
compare with: log2 V, which is what knowing nothing costs, and the cost of a character where only
the frequencies of the training text are known.

The embedded text is the help that Python carries: it needs no download, but differs from release to
release, so nothing is recorded of it. Left out: several layers, dropout, and a choice of settings
by the machine.
"""

import math
import textwrap
import time
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from journal import data, plotting, record, script, texts
from phase00.information import cross_entropy
from phase01.optimizers import Adam
from phase01.schedules import cosine
from phase02.char_lm import (
    CharLM,
    CharLMConfig,
    bits_per_character,
    count_parameters,
    stream_loss,
    train_on_text,
)
from phase02.char_text import Vocabulary, characters_read, split_text

SHAKESPEARE = "tinyshakespeare/input.txt"
LOWEST_RATE = 0.05  # share of the learning rate that the cosine ends at
WARMUP = 0.04  # share of the steps


@dataclass(frozen=True)
class Config:
    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    source: Literal["shakespeare", "novel", "embedded"] = "shakespeare"
    novel: str = "Cbronte_Jane_1847"
    """which of the english-novels, where the source is novel"""
    max_characters: int | None = None
    """read only so many characters from the beginning of the text; none for all"""
    d_hidden: int = 256
    d_embedding: int = 64
    """width of the characters' vectors"""
    n_steps: int = 2500
    """chunks learned from, each of n_batch * chunk_length characters"""
    n_batch: int = 32
    chunk_length: int = 32
    learning_rate: float = 7e-3
    """at its highest"""
    max_norm: float = 1.0
    """gradients are shortened to this length, all together"""
    n_measurements: int = 10
    """times that the held-out text is read, spaced so that most are early"""
    sample_length: int = 240
    temperature: float = 0.8
    """of the samples"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        for name in ("n_steps", "n_batch", "n_measurements", "sample_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if self.record and self.source == "embedded":
            raise ValueError(
                "the embedded text differs between releases of Python, so that its results are not "
                "recorded: leave --record out, or take another source"
            )

    @property
    def name(self) -> str:
        """What the result is called: what differs from the exhibit, and nothing where none does."""
        parts = [word for word in (self.cell, self.source) if word not in ("lstm", "shakespeare")]
        return "-".join(parts + ([f"first-{self.max_characters}"] if self.max_characters else []))


class Corpus(NamedTuple):
    """A text as numbers, its end held out."""

    vocabulary: Vocabulary
    train: np.ndarray  # (N,)
    held_out: np.ndarray  # (M,)


class Point(NamedTuple):
    """What was measured at one moment of the training."""

    characters: int  # learned from so far
    held_out_bits: float
    training_bits: float | None  # the mean since the point before; none before the first step


class Sample(NamedTuple):
    """What the model wrote at one moment of the training."""

    characters: int  # learned from so far
    text: str


def main(config: Config) -> dict[str, Any]:
    """Train, measure, sample; returns bits per character, sizes, times and the last sample."""
    started, started_cpu = time.perf_counter(), time.process_time()
    corpus = read_corpus(config.source, config.novel, config.max_characters)
    for_weights, for_samples = np.random.default_rng(config.seed).spawn(2)
    vocab_size = len(corpus.vocabulary)
    size = CharLMConfig(vocab_size, config.d_hidden, config.cell, config.d_embedding)
    model = CharLM(size, for_weights)
    print(
        f"{config.cell}, {count_parameters(size):,} parameters; {len(corpus.train):,} characters "
        f"to learn from, {len(corpus.held_out):,} held out, {vocab_size} different ones"
    )
    curve, samples, training_seconds = train(model, corpus, for_samples, config)
    loss = stream_loss(model, corpus.held_out)
    metrics: dict[str, Any] = {
        **sizes(model, corpus),
        **baselines(corpus),
        "characters_seen": curve[-1].characters,
        "held_out_nats": round(loss, 4),
        "held_out_bits": round(bits_per_character(loss), 4),
        "training_bits": curve[-1].training_bits,
        "training_seconds": round(training_seconds, 2),
        "characters_per_second": round(curve[-1].characters / training_seconds),
        "cpu_seconds": round(time.process_time() - started_cpu, 2),
        "sample": samples[-1].text,
    }
    print(f"\n{metrics['held_out_bits']:.3f} bits per character of the whole held-out text")
    seconds = time.perf_counter() - started
    keep(metrics, curve, samples, seconds, config)
    return metrics | {"seconds": round(seconds, 2)}


def sizes(model: CharLM, corpus: Corpus) -> dict[str, int]:
    """How large model and text are."""
    return {
        "parameters": count_parameters(model.config),
        "vocabulary": len(corpus.vocabulary),
        "characters_of_training_text": len(corpus.train),
        "characters_held_out": len(corpus.held_out),
    }


def keep(
    metrics: dict[str, Any],
    curve: list[Point],
    samples: list[Sample],
    seconds: float,
    config: Config,
) -> None:
    """Write the metrics with the curve and all samples, and the picture."""
    record.write(
        __file__,
        config=config,
        metrics={
            **metrics,
            "curve": [point._asdict() for point in curve],
            "samples": [sample._asdict() for sample in samples],
        },
        seconds=seconds,
        record=config.record,
        name=config.name,
    )
    picture = f"{config.name}-curve" if config.name else "curve"
    record.write_picture(__file__, picture, draw(curve, metrics, config), record=config.record)


# ---- the text ----------------------------------------------------------------------------


def read_corpus(source: str, novel: str, max_characters: int | None = None) -> Corpus:
    """The text of that name, or its beginning, the last tenth of it held out.

    Raises ValueError for an unknown source or novel, and where the text is too short.
    """
    if source == "shakespeare":
        text = data.read_text(SHAKESPEARE)
    elif source == "novel":
        text = data.read_text(f"english-novels/{novel}.txt.gz")
    elif source == "embedded":
        text = "\n".join(topic for _, topic in texts.documents("python-docs"))
    else:
        raise ValueError(f"the source is shakespeare, novel or embedded, not {source!r}")
    if max_characters is not None and max_characters < 2:
        raise ValueError(f"max_characters must be 2 or more, not {max_characters}")
    text = text[:max_characters]
    vocabulary = Vocabulary.of(text)
    return Corpus(vocabulary, *(vocabulary.encode(part) for part in split_text(text)))


def baselines(corpus: Corpus) -> dict[str, float]:
    """Bits per character of knowing nothing, and of knowing how frequent each character is.

    Each character counts once more than it occurs, so that none is held to be impossible.
    """
    n = len(corpus.vocabulary)
    known = np.bincount(corpus.train, minlength=n) + 1.0  # (V,)
    asked = np.bincount(corpus.held_out[1:], minlength=n)  # (V,): the first one is not asked for
    bits = cross_entropy(asked / asked.sum(), known / known.sum(), "bits")
    return {"uniform_bits": round(math.log2(n), 4), "unigram_bits": round(bits, 4)}


# ---- the training ------------------------------------------------------------------------


def train(
    model: CharLM, corpus: Corpus, rng: np.random.Generator, config: Config
) -> tuple[list[Point], list[Sample], float]:
    """Learn, with a measurement and a sample now and then; and the seconds of the learning alone.

    The first and the last measurement, and two between them, come with a sample.
    """
    optimizer = Adam(model.params, config.learning_rate)
    layout = config.n_batch, config.chunk_length
    steps = train_on_text(
        model, optimizer, corpus.train, *layout, lambda step: rate(step, config), config.max_norm
    )
    moments = measured_steps(config.n_steps, config.n_measurements)
    sampled = {moments[round(share * (len(moments) - 1))] for share in (0, 1 / 3, 2 / 3, 1)}
    curve: list[Point] = []
    samples: list[Sample] = []
    seconds, done = 0.0, 0
    for moment in moments:
        begun = time.perf_counter()
        losses = [step.loss for step in islice(steps, moment - done)]
        seconds, done = seconds + time.perf_counter() - begun, moment
        characters = characters_read(len(corpus.train), *layout, done)
        curve.append(
            Point(characters, held_out_bits(model, corpus, config.n_batch), training_bits(losses))
        )
        report(curve[-1], seconds)
        if moment in sampled:
            samples.append(Sample(characters, write(model, corpus.vocabulary, rng, config)))
            print(f"\n{textwrap.indent(samples[-1].text.strip(), '    ')}\n")
    return curve, samples, seconds


def measured_steps(n_steps: int, n_measurements: int) -> list[int]:
    """0, and numbers of steps up to `n_steps`, each larger by the same factor; none twice."""
    later = np.geomspace(min(10, n_steps), n_steps, n_measurements).round().astype(int)
    return [0, *np.unique(later).tolist()]


def rate(step: int, config: Config) -> float:
    """The learning rate of a step."""
    lowest = LOWEST_RATE * config.learning_rate
    warmup = round(WARMUP * config.n_steps)
    return cosine(step, config.learning_rate, config.n_steps, warmup, lowest)


def held_out_bits(model: CharLM, corpus: Corpus, n_batch: int) -> float:
    """Bits per held-out character, read in rows: quicker than in one piece, and nearly the same.

    A short text is read in fewer rows, since each of them begins without a state.
    """
    rows = max(1, min(n_batch, len(corpus.held_out) // 20))
    return round(bits_per_character(stream_loss(model, corpus.held_out, rows)), 4)


def training_bits(losses: list[float]) -> float | None:
    """Bits per character of some chunks; none of no chunk."""
    return round(bits_per_character(float(np.mean(losses))), 4) if losses else None


def write(model: CharLM, vocabulary: Vocabulary, rng: np.random.Generator, config: Config) -> str:
    """A sample that follows the first character in sorted order: in most texts the line's end."""
    first = np.zeros(1, dtype=np.int64)
    new = model.sample(first, config.sample_length, rng, config.temperature)
    return vocabulary.decode(new)


def report(point: Point, seconds: float) -> None:
    learned = "" if point.training_bits is None else f" ({point.training_bits:.3f} in training)"
    print(
        f"{point.characters:>9,} characters, {seconds:6.1f} s: "
        f"{point.held_out_bits:.3f} bits per held-out character{learned}",
        flush=True,
    )


# ---- how it is drawn ---------------------------------------------------------------------


def draw(curve: list[Point], metrics: dict[str, Any], config: Config) -> Figure:
    """Bits per character against characters seen, the held-out text's and the training text's."""
    figure, ax = plotting.figure(7.0, 4.2)
    later = curve[1:]  # a logarithmic axis has no place for 0 characters
    seen = [point.characters for point in later]
    ax.plot(seen, [point.held_out_bits for point in later], "o-", label="held-out text")
    ax.plot(seen, [point.training_bits for point in later], label="training text, as it is read")
    for known, name, dashes in (
        ("nothing", "uniform_bits", plotting.DASHES[1]),
        ("frequencies", "unigram_bits", plotting.DASHES[2]),
    ):
        label = f"knowing {known}: {metrics[name]:.2f}"
        ax.axhline(metrics[name], color=plotting.PALETTE[4], linestyle=dashes, label=label)
    size = f"{config.cell.upper()}, {metrics['parameters']:,} parameters"
    ax.set(
        title=f"{size}: {text_name(config)}",
        xlabel="characters learned from",
        ylabel="bits per character",
        xscale="log",
    )
    ax.legend(loc="best")
    return figure


def text_name(config: Config) -> str:
    """The text as a title names it."""
    name = {
        "shakespeare": "Shakespeare",
        "novel": config.novel,
        "embedded": "Python's help",
    }[config.source]
    n = config.max_characters
    return name if n is None else f"{name}, first {n:,} characters"


if __name__ == "__main__":
    script.run(main, Config)
