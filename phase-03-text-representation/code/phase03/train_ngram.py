r"""Predicting the next word by counting: what smoothing is for, and how far n-grams go.

    uv run journal run phase03.train_ngram
    uv run journal run phase03.train_ngram --source novel --min-count 3

The museum's exhibit 01. The n-grams of a text are counted for n from 1 to 5, and three ways of
dealing with what was never seen are compared on text that was not read: add-k, backing off, and
interpolated Kneser-Ney. Each then writes for itself.

The text is cut at its empty lines: in Shakespeare's plays into speeches, each of which counts as a
sentence. Its words are those of `phase03.word_tokenizer`, signs are words of their own, and so is
the end of a line. Words that occur once in the training part are unknown, `<UNK>`. The perplexities
of all models are over the same vocabulary, with signs, ends of lines and of speeches, which are
easier to foretell than words: they cannot be compared with those of other vocabularies.

The first eight tenths of the text are counted. The next tenth chooses k, and chooses the discounts:
estimated for each order, or one of a few fixed ones. The last tenth is read once, at the end.

The embedded text is the help that Python carries: it needs no download, but differs from release to
release, so nothing is recorded of it. Left out: modified Kneser-Ney, and counting the validation
part too once the settings are chosen.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from journal import data, plotting, record, script, texts
from phase03.ngram import AddK, BackOff, KneserNey, NGramModel
from phase03.ngram_counts import NGramCounts, Text, Vocabulary
from phase03.word_tokenizer import words

SHAKESPEARE = "tinyshakespeare/input.txt"
LINE_END = "\n"
COMPARED, CONTEXT = ("ELIZABETH", "nothing"), "my"  # never seen after CONTEXT


@dataclass(frozen=True)
class Config:
    source: Literal["shakespeare", "novel", "embedded"] = "shakespeare"
    novel: str = "Cbronte_Jane_1847"
    """which of the english-novels, where the source is novel"""
    n: int = 5
    """the longest n-grams"""
    min_count: int = 2
    """words of fewer occurrences in the training part are unknown"""
    ks: tuple[float, ...] = (1.0, 0.1, 0.01, 0.001)
    """tried for add-k"""
    discounts: tuple[float, ...] = (0.5, 0.7, 0.9)
    """tried for the two others, beside those that are estimated"""
    sample_words: int = 60
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        for name in ("n", "min_count", "sample_words"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if not self.ks:
            raise ValueError("ks must be one or more numbers, and none is given")
        if self.record and self.source == "embedded":
            raise ValueError(
                "the embedded text differs between releases of Python, so that its results are not "
                "recorded: leave --record out, or take another source"
            )

    @property
    def name(self) -> str:
        """What the result is called: nothing for the exhibit's own text."""
        return "" if self.source == "shakespeare" else self.source


Sentences = list[list[str]]
KINDS: dict[str, Callable[..., NGramModel]] = {
    "add-k": AddK,
    "back-off": BackOff,
    "Kneser-Ney": KneserNey,
}


class Parts(NamedTuple):
    """A text as sentences, in three parts."""

    train: Sentences
    validation: Sentences
    held_out: Sentences


class Chosen(NamedTuple):
    """The best of the models of one kind and one n, by the validation part."""

    setting: float | None  # k or the discount; None where discounts are estimated
    model: NGramModel


def main(config: Config) -> dict[str, Any]:
    """Count, choose, measure, write; returns perplexities, sizes, times and samples."""
    started, started_cpu = time.perf_counter(), time.process_time()
    parts = split(read_sentences(config.source, config.novel))
    vocabulary = Vocabulary.of(parts.train, config.min_count)
    counts = NGramCounts(parts.train, config.n, vocabulary)
    validation, held_out = counts.look_up(parts.validation), counts.look_up(parts.held_out)
    metrics = sizes(counts, held_out)
    print(
        f"{metrics['training_words']:,} words to count, {metrics['held_out_words']:,} held out, "
        f"of {metrics['vocabulary']:,} kinds"
    )
    chosen = {
        kind: [choose(kind, counts, n, validation, config) for n in range(1, config.n + 1)]
        for kind in KINDS
    }
    perplexities = {
        kind: [round(best.model.perplexity(held_out), 2) for best in row]
        for kind, row in chosen.items()
    }
    report(perplexities, chosen, metrics["seen"])
    samples = write([best.model for best in chosen["Kneser-Ney"]], config)
    metrics |= {
        "perplexity": perplexities,
        "settings": {kind: [best.setting for best in row] for kind, row in chosen.items()},
        "estimated_discounts": [round(discount, 4) for discount in KneserNey(counts).discounts],
        "one_context": one_context(counts) if config.n > 1 else {},
        "samples": samples,
        "cpu_seconds": round(time.process_time() - started_cpu, 2),
    }
    seconds = time.perf_counter() - started
    options = {"record": config.record}
    record.write(
        __file__, config=config, metrics=metrics, seconds=seconds, name=config.name, **options
    )
    picture = f"{config.name}-perplexity" if config.name else "perplexity"
    record.write_picture(__file__, picture, draw(perplexities, metrics, config), **options)
    close(metrics, seconds)
    return metrics | {"seconds": round(seconds, 2)}


# ---- the text ----------------------------------------------------------------------------


def read_sentences(source: str, novel: str) -> Sentences:
    """The text of that name, cut at its empty lines, as words.

    Raises ValueError for an unknown source or novel.
    """
    if source == "shakespeare":
        text = data.read_text(SHAKESPEARE)
    elif source == "novel":
        text = data.read_text(f"english-novels/{novel}.txt.gz")
    elif source == "embedded":
        text = "\n\n".join(topic for _, topic in texts.documents("python-docs"))
    else:
        raise ValueError(f"the source is shakespeare, novel or embedded, not {source!r}")
    return [split_lines(block) for block in re.split(r"\n\s*\n", text) if block.strip()]


def split_lines(text: str) -> list[str]:
    """The words of a text, with a line's end as a word between two lines."""
    found: list[str] = []
    for line in text.strip().splitlines():
        found += [*words(line), LINE_END]
    return found[:-1]


def split(sentences: Sentences) -> Parts:
    """Eight tenths, a tenth and a tenth, in the order of the text.

    Raises ValueError where there are fewer than ten sentences.
    """
    if len(sentences) < 10:
        raise ValueError(f"three parts need ten sentences or more, not {len(sentences)}")
    first, second = round(0.8 * len(sentences)), round(0.9 * len(sentences))
    return Parts(sentences[:first], sentences[first:second], sentences[second:])


def sizes(counts: NGramCounts, held_out: Text) -> dict[str, Any]:
    """How large text and tables are, and what share of the held-out n-grams was ever seen."""
    ids, rows = held_out
    asked = ids < len(counts.vocabulary)
    return {
        "vocabulary": len(counts.vocabulary),
        "training_words": int(counts.orders[0].counts[0]),
        "held_out_words": int(asked.sum()),
        "unknown": round(float(np.mean(ids[asked] == 0)), 4),
        "n_grams": [int(np.sum(order.counts > 0)) for order in counts.orders[1:]],
        "seen": [round(float(np.mean(row[asked] >= 0)), 4) for row in rows[1:]],
    }


# ---- the models --------------------------------------------------------------------------


def choose(kind: str, counts: NGramCounts, n: int, validation: Text, config: Config) -> Chosen:
    """The model of that kind and n whose setting suits the validation part best."""
    settings = config.ks if kind == "add-k" else (None, *config.discounts)
    tried = [Chosen(setting, KINDS[kind](counts, setting, n)) for setting in settings]
    return min(tried, key=lambda one: one.model.perplexity(validation))


def one_context(counts: NGramCounts) -> dict[str, dict[str, float]]:
    """Two words, one of which comes after one other word only: counts, and what bigrams say of it.

    The probabilities are those after a word that neither was seen after. Of another text than
    Shakespeare's plays the words may be unknown, and are left out.
    """
    known = [word for word in COMPARED if word in counts.vocabulary.ids]
    models = {"back-off": BackOff(counts, n=2), "Kneser-Ney": KneserNey(counts, n=2)}
    ids = np.array(counts.vocabulary.encode(known), dtype=np.int64)
    rows = counts.find(1, np.zeros_like(ids), ids)
    found: dict[str, dict[str, float]] = {}
    for word, row in zip(known, rows, strict=True):
        found[word] = {
            "count": int(counts.orders[1].counts[row]),
            "words_before": int(counts.continuations(1)[row]),
        }
        for kind, model in models.items():
            found[word][kind] = float(f"{model.probability(word, [CONTEXT]):.4g}")
    return found


def write(models: list[NGramModel], config: Config) -> list[str]:
    """A text of each model: sentences one after the other, until there are words enough."""
    samples = []
    for model in models:
        rng = np.random.default_rng(config.seed)
        written: list[str] = []
        while len(written) < config.sample_words:
            sentence = model.sample(rng, config.sample_words - len(written))
            written += [*map(str, sentence), LINE_END, LINE_END]
        samples.append(readable(written))
        print(f"\nn = {model.n}\n\n" + re.sub(r"(?m)^(?=.)", "    ", samples[-1]))
    return samples


def readable(written: list[str]) -> str:
    """Words with spaces between them, but none before a sign that closes, nor around line ends."""
    text = " ".join(written)
    return re.sub(r" *\n *", "\n", re.sub(r" (?=[,.;:!?'])", "", text)).strip()


# ---- how it is shown ---------------------------------------------------------------------


def report(
    perplexities: dict[str, list[float]], chosen: dict[str, list[Chosen]], seen: list[float]
) -> None:
    print("\nperplexity of the held-out text (what was chosen in brackets)")
    print("n  n-grams seen" + "".join(f"{kind:>21}" for kind in perplexities))
    for place, share in enumerate(seen):
        cells = ""
        for kind, row in chosen.items():
            setting = row[place].setting
            name = "estimated" if setting is None else f"{setting:g}"
            cells += f"{f'{perplexities[kind][place]:,.1f} ({name})':>21}"
        print(f"{place + 1}  {share:>12.1%}{cells}")


def draw(perplexities: dict[str, list[float]], metrics: dict[str, Any], config: Config) -> Figure:
    """Perplexity against n, a line for each kind."""
    figure, ax = plotting.figure(7.0, 4.2)
    orders = range(1, config.n + 1)
    for (kind, values), marker in zip(perplexities.items(), "os^", strict=True):
        ax.plot(orders, values, marker=marker, label=kind)
    nothing = metrics["vocabulary"]
    ax.axhline(
        nothing,
        color=plotting.PALETTE[4],
        linestyle=plotting.DASHES[1],
        label=f"knowing nothing: {nothing:,}",
    )
    ax.set(
        title=f"Three ways with what was never seen: {text_name(config)}",
        xlabel="n, words that are looked at together",
        ylabel="perplexity of held-out words",
        yscale="log",
        xticks=list(orders),
        yticks=[100, 1000, 10_000],
        yticklabels=["100", "1,000", "10,000"],
    )
    ax.legend(loc="best")
    return figure


def text_name(config: Config) -> str:
    """The text as a title names it."""
    names = {"shakespeare": "Shakespeare", "novel": config.novel, "embedded": "Python's help"}
    return names[config.source]


def close(metrics: dict[str, Any], seconds: float) -> None:
    n_grams = sum(metrics["n_grams"])
    script.close(
        [
            (
                "parameters",
                f"{n_grams:,} counted n-grams",
                "up to n for each word of the text",
            ),
            ("memory", f"{n_grams * 5 * 8 / 1e6:.0f} MB of tables", "like the n-grams"),
            ("operations", "one sort for each n", "words times the log of the words"),
            ("time", f"{seconds:.1f} s for all models", "with words, n and settings tried"),
        ],
        [
            "Which of the 5-grams of the next speech would a hundred times more text have seen?",
            "Why does add-k get worse with n, and Kneser-Ney not?",
            "What would a model have to know to use that 'king' and 'queen' are alike?",
        ],
    )


if __name__ == "__main__":
    script.run(main, Config)
