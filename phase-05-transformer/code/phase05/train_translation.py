"""Train the whole transformer to translate German into English, in NumPy, and state its BLEU.

    uv run journal run phase05.train_translation --test

The sentences are Multi30k's: 29,000 for training that describe a picture each, 1,014 to choose the
settings with, 1,000 for the test, which only `--test` reads. Both languages share one byte-level
BPE vocabulary (`phase03.bpe`), one embedding and the output matrix, as in the paper (sections 3.4
and 5.1), so the texts go in and come out as they were written. Batches hold sentences of about the
same length: little is spent on filling.

    loss        nats for each token of the validation part, labels not smoothed
    BLEU        sacrebleu's, of the whole part, with capitals and its own words ("13a")

Greedy decoding and a beam of four are both measured.

Left out: averaging checkpoints as the paper does, and a search for the best sizes. It is a model of
some 1.4 million weights and a run of minutes: the paper's base model has 65 million, and trained
for 12 hours on eight GPUs.

sacrebleu is a development tool of the journal (`make setup` brings it).
"""

import copy
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from journal import data, plotting, record, script
from phase01.optimizers import Adam
from phase02.seq2seq import Batch, padded
from phase03.bpe import ByteLevelBPE
from phase05.decode import beam_search, greedy
from phase05.schedule import ADAM_BETAS, ADAM_EPSILON, transformer_rate
from phase05.transformer import Transformer, TransformerConfig, shifted

Pairs = list[tuple[str, str]]  # a German sentence and its English one
Curve = dict[str, list[float | int]]
Ids = list[tuple[list[int], list[int]]]
FURTHER = 20  # tokens that a translation may be longer than its source
AT_ONCE = 100  # sentences translated in one batch
SHOWN = 5  # translations that are printed and recorded


@dataclass(frozen=True)
class Config:
    n_epochs: int = 10
    """times that every training sentence is seen"""
    batch_size: int = 64
    """sentences"""
    vocab_size: int = 4000
    """tokens of both languages together"""
    max_tokens: int = 40
    """longer training sentences are left out"""
    d_model: int = 128
    n_head: int = 4
    d_ff: int = 512
    n_layer: int = 2
    """of the encoder, and of the decoder"""
    dropout: float = 0.1
    label_smoothing: float = 0.1
    warmup_steps: int = 800
    scale: float = 0.5
    """the learning rate in parts of the paper's equation 3"""
    width: int = 4
    """of the beam"""
    alpha: float = 0.6
    """of the length penalty"""
    n_train: int = 29_000
    """the first sentences of the training part"""
    n_val: int = 1014
    """the first of the validation part; also of the test part"""
    test: bool = False
    """whether to read the test part at the end"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        for name in ("n_epochs", "batch_size", "max_tokens", "width", "n_train", "n_val"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")


def main(config: Config) -> dict[str, Any]:
    """Train, translate and score; returns loss and BLEU of the validation part, and of the test."""
    started = time.perf_counter()
    score_bleu([], [])  # says what is missing before anything is trained
    pairs = read_pairs("train", config.n_train)
    val = read_pairs("val", config.n_val)
    tokenizer = ByteLevelBPE.train((text for pair in pairs for text in pair), config.vocab_size)
    model, curve = train(pairs, val, tokenizer, config)
    trained = time.perf_counter() - started
    metrics: dict[str, Any] = {
        "parameters": sum(param.size for param in model.params.values()),
        "vocab_size": tokenizer.vocab_size,
        "steps": int(curve["step"][-1]),
        "seconds_of_training": round(trained, 1),
        "val_loss": curve["val_loss"][-1],
    }
    parts = {"val": val} | (
        {"test": read_pairs("test_2016_flickr", config.n_val)} if config.test else {}
    )
    for part, sentences in parts.items():
        metrics |= {
            f"{part}_{k}": v for k, v in measure(model, tokenizer, sentences, config).items()
        }
    examples = metrics.pop("val_examples")
    metrics.pop("test_examples", None)
    seconds = time.perf_counter() - started
    attention = attention_of(model, tokenizer, val)
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "curve": curve, "examples": examples, "attention": attention},
        seconds=seconds,
        record=config.record,
    )
    record.write_picture(__file__, "curve", draw_curve(curve), record=config.record)
    record.write_picture(__file__, "attention", draw_attention(attention), record=config.record)
    script.close(costs(metrics, seconds), QUESTIONS)
    return metrics


# ---- sentences ---------------------------------------------------------------------------


def read_pairs(part: str, limit: int) -> Pairs:
    """The first sentences of a part of Multi30k, German with English."""
    german, english = (
        data.read_text(f"multi30k/{part}.{language}.gz").splitlines()[:limit]
        for language in ("de", "en")
    )
    return [(d.strip(), e.strip()) for d, e in zip(german, english, strict=True)]


def encoded(pairs: Pairs, tokenizer: ByteLevelBPE) -> Ids:
    """The ids of both sides; the English ends with the end symbol, the tokenizer's end of text."""
    end = tokenizer.end_of_text
    return [(tokenizer.encode(d), [*tokenizer.encode(e), end]) for d, e in pairs]


def batches(ids: Ids, size: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Every pair once, beside others of about its length; the batches in random order."""
    lengths = np.array([(len(source), len(target)) for source, target in ids])  # (n, 2)
    order = np.lexsort((rng.random(len(ids)), lengths[:, 0], lengths[:, 1]))  # by target, source
    chunks = [order[i : i + size] for i in range(0, len(order), size)]
    for number in rng.permutation(len(chunks)):
        chosen = [ids[i] for i in chunks[number]]
        yield Batch(*padded([source for source, _ in chosen]), *padded([t for _, t in chosen]))


# ---- training ----------------------------------------------------------------------------


def untrained(tokenizer: ByteLevelBPE, config: Config) -> Transformer:
    """The model before its first step; its last id is the start symbol, which no text has."""
    n_symbols = tokenizer.vocab_size + 1
    shape = TransformerConfig(
        source_vocab_size=n_symbols,
        target_vocab_size=n_symbols,
        start_id=n_symbols - 1,
        end_id=tokenizer.end_of_text,
        d_model=config.d_model,
        n_head=config.n_head,
        d_ff=config.d_ff,
        n_layer=config.n_layer,
        dropout=config.dropout,
        label_smoothing=config.label_smoothing,
        shared=True,
    )
    return Transformer(shape, np.random.default_rng([config.seed, 0]))


def train(
    pairs: Pairs, val: Pairs, tokenizer: ByteLevelBPE, config: Config
) -> tuple[Transformer, Curve]:
    """The model after `n_epochs`, and its curve after each: steps, losses, minutes."""
    started = time.perf_counter()
    model = untrained(tokenizer, config)
    optimizer = Adam(model.params, betas=ADAM_BETAS, epsilon=ADAM_EPSILON)
    rng = np.random.default_rng([config.seed, 1])
    ids = [pair for pair in encoded(pairs, tokenizer) if max(map(len, pair)) <= config.max_tokens]
    if not ids:
        raise ValueError(f"no sentence has at most max_tokens = {config.max_tokens} tokens")
    val_ids = encoded(val, tokenizer)
    curve: Curve = {"step": [], "train_loss": [], "val_loss": []}
    print(f"{len(ids):,} pairs, {tokenizer.vocab_size:,} tokens")
    print(f"{'epoch':>6}{'steps':>7}{'minutes':>9}{'train':>8}{'val':>8}   a translation")
    step = 0
    for epoch in range(config.n_epochs):
        losses = []
        for batch in batches(ids, config.batch_size, rng):
            loss, cache = model.forward(*batch, rng)
            optimizer.learning_rate = transformer_rate(
                step, config.d_model, config.warmup_steps, config.scale
            )
            optimizer.step(model.backward(cache))
            losses.append(loss)
            step += 1
        row = (step, statistics.mean(losses), plain_loss(model, val_ids, config))
        for name, value in zip(curve, row, strict=True):
            curve[name].append(round(value, 4))
        minutes = (time.perf_counter() - started) / 60
        said = translate(model, tokenizer, [val[0][0]], 1, 0.0)[0]
        print(
            f"{epoch + 1:>6}{step:>7}{minutes:>9.1f}{row[1]:>8.3f}{row[2]:>8.3f}   {said}",
            flush=True,
        )
    return model, curve


def plain_loss(model: Transformer, ids: Ids, config: Config) -> float:
    """Nats for each token of the targets, without dropout and without smoothing."""
    plain = copy.copy(model)  # with the same parameters
    plain.config = replace(model.config, label_smoothing=0.0)
    total = n_tokens = 0.0
    for batch in batches(ids, config.batch_size, np.random.default_rng(0)):
        count = int(batch.target_mask.sum())
        total += plain.forward(*batch)[0] * count
        n_tokens += count
    return total / n_tokens


# ---- translating -------------------------------------------------------------------------


def translate(
    model: Transformer, tokenizer: ByteLevelBPE, texts: list[str], width: int, alpha: float
) -> list[str]:
    """The English of German sentences, by a beam of this width; 1 is greedy decoding."""
    ids = [tokenizer.encode(text) for text in texts]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    answers = [""] * len(ids)
    for first in range(0, len(order), AT_ONCE):
        chosen = order[first : first + AT_ONCE]
        source, mask = padded([ids[i] for i in chosen])
        longest = source.shape[1] + FURTHER
        if width == 1:
            written = greedy(model, source, mask, longest)
        else:
            written, _ = beam_search(model, source, mask, longest, width, alpha)
        for i, row in zip(chosen, written.tolist(), strict=True):
            # The start symbol is no token of a text, and an untrained model may write it.
            answers[i] = tokenizer.decode([t for t in row if t < tokenizer.vocab_size])
    return answers


def measure(
    model: Transformer, tokenizer: ByteLevelBPE, pairs: Pairs, config: Config
) -> dict[str, Any]:
    """BLEU greedily and by the beam, the beam's length against the references', and examples."""
    german, english = [d for d, _ in pairs], [e for _, e in pairs]
    by_width = {w: translate(model, tokenizer, german, w, config.alpha) for w in {1, config.width}}
    found = {"bleu_greedy": score_bleu(by_width[1], english)["bleu"]}
    beam = score_bleu(by_width[config.width], english)
    found |= {"bleu_beam": beam["bleu"], "length_ratio": beam["length_ratio"]}
    print(
        f"BLEU of {len(pairs)} sentences: {found['bleu_greedy']} greedy, {found['bleu_beam']} beam"
    )
    examples = [
        {"german": d, "english": e, "ours": said}
        for d, e, said in zip(german, english, by_width[config.width], strict=True)
    ][:SHOWN]
    for row in examples:
        print(f"\n  {row['german']}\n  {row['ours']}\n  ({row['english']})")
    return found | {"examples": examples}


def score_bleu(said: list[str], references: list[str]) -> dict[str, float]:
    """sacrebleu's corpus BLEU, 0 to 100, and the length of what is said in parts of the references.

    Raises ValueError, with the command, where sacrebleu is missing.
    """
    try:
        import sacrebleu
    except ModuleNotFoundError:
        raise ValueError("BLEU needs sacrebleu: run `uv sync` to get it") from None
    if not said:
        return {"bleu": 0.0, "length_ratio": 0.0}
    found = sacrebleu.corpus_bleu(said, [references])
    return {"bleu": round(found.score, 2), "length_ratio": round(found.sys_len / found.ref_len, 3)}


# ---- pictures and costs ------------------------------------------------------------------


def draw_curve(curve: Curve) -> Any:
    """Both losses against the steps, from the first epoch on."""
    figure, ax = plotting.figure(7.0, 3.6)
    ax.plot(curve["step"], curve["train_loss"], "-", label="training, smoothed labels and dropout")
    ax.plot(curve["step"], curve["val_loss"], "--", label="validation, neither")
    ax.set(title="German to English: the loss after each epoch", xlabel="steps")
    ax.set(ylabel="nats for each token", ylim=(0, None))
    ax.legend()
    return figure


def attention_of(model: Transformer, tokenizer: ByteLevelBPE, pairs: Pairs) -> dict[str, Any]:
    """All weights for the first sentence of ten tokens or fewer (else the shortest), translated.

    For each kind of attention its `rows` and `columns`, the tokens that ask and are asked, and its
    `weights`: for each layer and head a list of rows, to three decimals.
    """
    short = [d for d, _ in pairs if len(tokenizer.encode(d)) <= 10]
    german = short[0] if short else min((d for d, _ in pairs), key=len)
    source, mask = padded([tokenizer.encode(german)])
    written = greedy(model, source, mask, source.shape[1] + FURTHER)
    before = shifted(written, model.config.start_id)
    maps = model.attention(source, mask, before)
    read, given = ([token_name(tokenizer, i) for i in row[0].tolist()] for row in (source, before))
    tokens = {"encoder": (read, read), "decoder": (given, given), "cross": (given, read)}
    return {
        kind: {
            "rows": rows,
            "columns": columns,
            "weights": [np.round(w[0].astype(float), 3).tolist() for w in maps[kind]],
        }
        for kind, (rows, columns) in tokens.items()
    }


def draw_attention(found: dict[str, Any]) -> Any:
    """The heat maps of every layer and head."""
    kinds = {
        kind.replace("cross", "decoder to\nencoder"): (
            [np.array(layer) for layer in one["weights"]],
            one["rows"],
            one["columns"],
        )
        for kind, one in found.items()
    }
    return plotting.draw_heads(kinds, "Attention of every layer and head: German to English")


def token_name(tokenizer: ByteLevelBPE, token: int) -> str:
    """A token as a picture shows it."""
    if token >= tokenizer.vocab_size:
        return "<START>"
    if token == tokenizer.end_of_text:
        return "<END>"
    return tokenizer.decode([token]).strip() or "space"


QUESTIONS = (
    "The loss of the training falls on while that of the validation has stopped. What would you "
    "change first: dropout, sizes, or the number of epochs?",
    "Which German words does the model split into several tokens, and how does it translate them?",
    "A wider beam finds answers of a higher score. Is BLEU higher too? Try --width 1, 4 and 16.",
)


def costs(metrics: dict[str, Any], seconds: float) -> list[tuple[str, str, str]]:
    """The rows of the closing table."""
    size = metrics["parameters"]
    return [
        ("parameters", f"{size:,}", "with the vocabulary, and the square of the width"),
        ("memory", f"{4 * 4 * size / 1e6:.0f} MB", "weights, gradients, Adam's two means"),
        ("operations", f"{metrics['steps']:,} steps", "6 for each weight and token"),
        ("time", f"{seconds / 60:.1f} minutes", "with operations"),
    ]


if __name__ == "__main__":
    script.run(main, Config)
