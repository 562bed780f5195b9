"""Train an encoder-decoder with attention to translate short German sentences into English.

    uv run journal run phase04.train_translation_with_attention

The sentences are those of Multi30k: descriptions of pictures, 29,000 for training, 1,014 for
validation, 1,000 for the test. Kept are the pairs of which both sides have at most `max_words`
words and signs. Text is lower case, a token is a word or a sign, and a word of fewer than
`min_count` occurrences in the kept training sentences is `<UNK>`.

After each epoch the loss and the BLEU score of the validation sentences are printed; they chose
the settings below. The test set is read once, at the end, with the last weights. Two BLEU scores
are given: of the test sentences kept as above, and of all of them, the longer ones included, which
training never saw. BLEU is sacrebleu's on whole sentences as people wrote them, upper and lower
case alike (`lowercase=True`); an `<UNK>` in a translation counts as a wrong word. Where attention
looked is drawn for some validation sentences.

Needs the package sacrebleu (a development dependency). Left out: parts of words as tokens (the
transformer's translation in phase 5 has the same), beam search, averages of weights, several
layers, an encoder in both directions.
"""

import math
import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from journal import data, plotting, record, script
from phase01.optimizers import Adam, clip_gradients
from phase01.schedules import cosine
from phase03.word_tokenizer import WordTokenizer, words
from phase04.attentive_seq2seq import KINDS, AttentiveConfig, AttentiveSeq2Seq
from phase04.sentence_pairs import (
    BOS,
    EOS,
    SPECIAL,
    Pair,
    as_batch,
    batches_by_length,
    short_pairs,
)

TEST = "test_2016_flickr"
TEST_BATCH = 250
MAX_NORM = 1.0
SHOWN = 4  # sentences whose alignments are drawn


@dataclass(frozen=True)
class Config:
    attention: str = "bahdanau"
    """bahdanau, dot, general or concat"""
    max_words: int = 14
    """words and signs in the longest sentence that is kept, on either side"""
    min_count: int = 2
    """occurrences that make a word part of the vocabulary"""
    d_embedding: int = 128
    d_hidden: int = 256
    dropout: float = 0.3
    n_epochs: int = 6
    batch_size: int = 64
    learning_rate: float = 2e-3
    """the peak of the cosine schedule"""
    max_pairs: int | None = None
    """use only so many of the kept pairs of each part; None uses all"""
    test: bool = True
    """translate the test set at the end; off while settings are tried"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        if self.attention not in KINDS:
            raise ValueError(f"attention is one of {', '.join(KINDS)}, not {self.attention!r}")
        for name in ("max_words", "min_count", "d_embedding", "d_hidden", "n_epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if self.max_pairs is not None and self.max_pairs < SHOWN:
            raise ValueError(f"max_pairs must be {SHOWN} or more, not {self.max_pairs}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")


@dataclass(frozen=True)
class Translator:
    """A model with the two vocabularies that its ids belong to."""

    model: AttentiveSeq2Seq
    source_words: WordTokenizer
    target_words: WordTokenizer

    def translate(self, pairs: list[Pair]) -> list[str]:
        """The translations of the sources, in their order; at most twice as long, and 10 words."""
        found = {}
        for places in batches_by_length(pairs, TEST_BATCH):
            batch = as_batch([pairs[n] for n in places], self.source_words, self.target_words)
            limit = 2 * batch.source.shape[1] + 10
            written = self.model.greedy(batch.source, batch.source_mask, limit)  # (B, L)
            for place, row in zip(places, written.tolist(), strict=True):
                found[place] = self.target_words.decode(row)
        return [found[n] for n in range(len(pairs))]

    def loss(self, pairs: list[Pair]) -> float:
        """The mean loss in nats of a word of the translations, the end included."""
        total, count = 0.0, 0
        for places in batches_by_length(pairs, TEST_BATCH):
            batch = as_batch([pairs[n] for n in places], self.source_words, self.target_words)
            loss, _ = self.model.forward(*batch)
            total += loss * int(batch.target_mask.sum())
            count += int(batch.target_mask.sum())
        return total / count


def main(config: Config) -> dict[str, Any]:
    """Train, choose nothing by the test set, and translate it once; returns losses and BLEU."""
    started = time.perf_counter()
    bleu([""], [""])  # says that sacrebleu is missing now, not after the training
    pairs = kept("train", config), kept("val", config)
    translator = begin(pairs[0], config)
    curve = train(translator, *pairs, config)
    trained = time.perf_counter() - started
    params = translator.model.params
    metrics = {
        "pairs": {"train": len(pairs[0]), "val": len(pairs[1])},
        "vocabulary": [translator.source_words.vocab_size, translator.target_words.vocab_size],
        "parameters": sum(param.size for param in params.values()),
        "val_loss": curve["val_loss"][-1],
        "val_bleu": curve["val_bleu"][-1],
        **(tested(translator, config) if config.test else {}),
    }
    chosen, drawn = alignments(translator, pairs[1])
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "curve": curve, "examples": chosen},
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    record.write_picture(__file__, "curve", draw_curve(curve), record=config.record)
    record.write_picture(__file__, "alignments", draw_alignments(drawn), record=config.record)
    close(metrics, config, trained)
    return metrics


# ---- sentences ---------------------------------------------------------------------------


def read(part: str, max_words: int | None, config: Config) -> list[Pair]:
    """The pairs of a part of Multi30k, German first, of at most so many words."""
    sides = [data.read_text(f"multi30k/{part}.{side}.gz").splitlines() for side in ("de", "en")]
    return short_pairs(*sides, max_words)[: config.max_pairs]


def kept(part: str, config: Config) -> list[Pair]:
    """The short ones, with a line that says how many they are."""
    pairs = read(part, config.max_words, config)
    print(f"{part}: {len(pairs)} pairs of at most {config.max_words} words a side")
    return pairs


def begin(pairs: list[Pair], config: Config) -> Translator:
    """The vocabularies of the training pairs, and a model that has learned nothing."""
    sides = [pair.source for pair in pairs], [pair.target for pair in pairs]
    source_words, target_words = (
        WordTokenizer.train(side, lowercase=True, min_count=config.min_count, special=SPECIAL)
        for side in sides
    )
    settings = AttentiveConfig(
        config.d_embedding,
        config.d_hidden,
        source_words.vocab_size,
        target_words.vocab_size,
        BOS,
        EOS,
        config.attention,
        config.dropout,
    )
    model = AttentiveSeq2Seq(settings, np.random.default_rng([config.seed, 1]))
    for side in ("encoder", "decoder"):  # begun smaller than torch's, against the LSTM's saturation
        model.params[f"{side}_embedding.weight"] *= model.params["output.bias"].dtype.type(0.1)
    return Translator(model, source_words, target_words)


def bleu(found: list[str], references: list[str]) -> float:
    """The BLEU score of a whole test set, from 0 to 100, upper and lower case alike."""
    try:
        import sacrebleu
    except ModuleNotFoundError:
        raise ValueError("BLEU needs sacrebleu: run `uv sync` to get it") from None
    score = sacrebleu.corpus_bleu(found, [references], lowercase=True, force=True).score
    return round(float(score), 2)


# ---- training ----------------------------------------------------------------------------


def train(
    translator: Translator, pairs: list[Pair], val: list[Pair], config: Config
) -> dict[str, list[float]]:
    """All epochs; returns the losses and the validation BLEU of each of them."""
    model, rng = translator.model, np.random.default_rng([config.seed, 2])
    optimizer = Adam(model.params, config.learning_rate)
    n_steps = config.n_epochs * math.ceil(len(pairs) / config.batch_size)
    warmup = min(200, n_steps // 10)
    step, started = 0, time.perf_counter()
    curve: dict[str, list[float]] = {"train_loss": [], "val_loss": [], "val_bleu": []}
    print(f"\n{'epoch':>5}{'train':>8}{'val':>8}{'BLEU':>7}{'seconds':>9}   an example")
    for epoch in range(config.n_epochs):
        losses = []
        for places in batches_by_length(pairs, config.batch_size, rng):
            chosen = [pairs[n] for n in places]
            batch = as_batch(chosen, translator.source_words, translator.target_words)
            loss, cache = model.forward(*batch, rng)
            grads, _ = clip_gradients(model.backward(cache), MAX_NORM)
            optimizer.learning_rate = cosine(step, config.learning_rate, n_steps, warmup)
            optimizer.step(grads)
            losses.append(loss)
            step += 1
        written = translator.translate(val)
        curve["train_loss"].append(round(statistics.mean(losses), 4))
        curve["val_loss"].append(round(translator.loss(val), 4))
        curve["val_bleu"].append(bleu(written, [pair.target for pair in val]))
        seconds = time.perf_counter() - started
        print(
            f"{epoch + 1:>5}{curve['train_loss'][-1]:>8.3f}{curve['val_loss'][-1]:>8.3f}"
            f"{curve['val_bleu'][-1]:>7.1f}{seconds:>9.0f}   {written[epoch % len(val)]}",
            flush=True,
        )
    return curve


def tested(translator: Translator, config: Config) -> dict[str, Any]:
    """Loss and BLEU of the short test sentences, and the BLEU of all of them."""
    short, everything = kept(TEST, config), read(TEST, None, config)
    scores = [
        bleu(translator.translate(pairs), [pair.target for pair in pairs])
        for pairs in (short, everything)
    ]
    return {
        "test_pairs": len(short),
        "test_loss": round(translator.loss(short), 4),
        "test_bleu": scores[0],
        "all_test_pairs": len(everything),
        "all_test_bleu": scores[1],
    }


# ---- what is shown -----------------------------------------------------------------------


def alignments(
    translator: Translator, val: list[Pair]
) -> tuple[list[dict[str, str]], list[tuple[list[str], list[str], np.ndarray]]]:
    """The first validation pairs of 6 to 11 words, translated: their texts, and for the picture
    (words of the source, words written, weights (T, S))."""
    chosen = [pair for pair in val if 6 <= len(words(pair.source)) <= 11][:SHOWN] or val[:SHOWN]
    texts, drawn = [], []
    for pair, written in zip(chosen, translator.translate(chosen), strict=True):
        batch = as_batch([pair], translator.source_words, translator.target_words)
        limit = 2 * batch.source.shape[1] + 10
        target = translator.model.greedy(batch.source, batch.source_mask, limit)  # (1, T)
        counts = np.ones_like(target, dtype=bool)
        weights = translator.model.alignments(batch.source, batch.source_mask, target, counts)
        source = [translator.source_words.tokens[n] for n in batch.source[0]]
        symbols = [translator.target_words.tokens[n] for n in target[0]]
        texts.append({"source": pair.source, "reference": pair.target, "written": written})
        drawn.append((source, symbols, weights[0]))
        print(f"\n{pair.source}\n  {written}\n  (reference: {pair.target})")
    return texts, drawn


def draw_curve(curve: dict[str, list[float]]) -> Any:
    """Left the losses, right the BLEU score, against the epochs."""
    figure, axes = plotting.figure(8.0, 3.6, columns=2)
    figure.suptitle("German to English with attention: loss and BLEU")
    epochs = range(1, len(curve["val_loss"]) + 1)
    for name, label in (("train_loss", "training (with dropout)"), ("val_loss", "validation")):
        axes[0].plot(epochs, curve[name], marker="o", markersize=4, label=label)
    axes[1].plot(epochs, curve["val_bleu"], marker="o", markersize=4)
    axes[0].set(title="Loss", ylabel="nats for each word", xlabel="epochs")
    axes[1].set(title="Validation sentences", ylabel="BLEU", xlabel="epochs")
    axes[0].legend()
    for ax in axes:
        ax.set(xticks=epochs)
    return figure


def draw_alignments(drawn: list[tuple[list[str], list[str], np.ndarray]]) -> Any:
    """A map for each sentence: a row for each word written, a column for each word read."""
    figure, axes = plotting.figure(9.0, 8.4, rows=2, columns=2)
    figure.suptitle("Where the decoder looked: each row is a word written, its weights sum to 1")
    for number, ax in enumerate(axes.ravel()):
        if number >= len(drawn):
            ax.set_visible(False)
            continue
        source, written, weights = drawn[number]
        picture = ax.imshow(weights, vmin=0, vmax=1, aspect="auto")
        ax.set_xticks(range(len(source)), source, rotation=60, ha="right")
        ax.set_yticks(range(len(written)), written)
        ax.set(title=f"sentence {number + 1}", xlabel="read (German)", ylabel="written (English)")
        ax.grid(False)
    figure.colorbar(picture, ax=axes, label="weight", shrink=0.6)
    return figure


def close(metrics: dict[str, Any], config: Config, seconds: float) -> None:
    """What the run cost, and what to think about."""
    count, width = metrics["parameters"], metrics["vocabulary"][1]
    script.close(
        [
            ("parameters", f"{count:,}", "with the vocabularies, and with the square of the state"),
            ("memory of a batch", f"{config.batch_size} sentences", "with source times target"),
            ("the output layer", f"{width:,} scores a word", "with the target's vocabulary"),
            ("time", f"{seconds:.0f} s", "with the words in all epochs"),
        ],
        [
            "Which words does the decoder look at when it writes an article, or the end?",
            "Where does the order of the two languages differ, and what do the weights do there?",
            "Why can the score of all test sentences be lower than that of the short ones?",
            "A step reads all words of the source. What would a text of 10,000 words cost?",
        ],
    )


if __name__ == "__main__":
    script.run(main, Config)
