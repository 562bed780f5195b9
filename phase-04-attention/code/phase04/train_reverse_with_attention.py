"""Reverse digits with and without attention, at lengths at which one state is too small.

    uv run journal run phase04.train_reverse_with_attention

Two encoder-decoders with LSTMs of the same width see the same batches: phase 2's, where one state
is all that goes from the encoder to the decoder, and the same with attention, which may look at
every output of the encoder at each step. Both are then measured at each length by itself, also
at lengths that are longer than any they were trained on. The weights of some sequences are drawn:
written from top to bottom, read from left to right, so that a reversal is the other diagonal.

What is measured, on sequences that were held out of training (up to 3 digits there are too few to
hold any back, so these were seen):

    exact       share of sequences that greedy decoding writes back whole, end symbol included
    looked at   share of the digits with most weight on the very digit that is to be written

The widths of the states are the same, the numbers of parameters are not: attention has its own.
Left out: several seeds, and a search for the best learning rate of each model.
"""

import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from journal import plotting, record, script
from phase01.optimizers import Adam
from phase02.seq2seq import N_DIGITS, Batch, reversal_batch
from phase04.attentive_seq2seq import KINDS, AttentiveSeq2Seq
from phase04.reversal import (
    Model,
    digit_model,
    exact_share,
    looked_at_share,
    measured_batches,
    train_step,
    training_batches,
)


@dataclass(frozen=True)
class Config:
    attention: str = "bahdanau"
    """bahdanau, dot, general or concat"""
    d_hidden: int = 32
    """width of the LSTMs' states, with and without attention"""
    max_length: int = 16
    """digits in the longest sequence of the training"""
    beyond: int = 4
    """how many digits more the models are measured at"""
    n_steps: int = 1500
    batch_size: int = 64
    learning_rate: float = 0.01
    """the peak of the cosine schedule"""
    d_embedding: int = 16
    n_test: int = 300
    """held-out sequences of each length"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        if self.attention not in KINDS:
            raise ValueError(f"attention is one of {', '.join(KINDS)}, not {self.attention!r}")
        for name in ("d_hidden", "max_length", "n_steps", "batch_size", "d_embedding", "n_test"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if self.beyond < 0:
            raise ValueError(f"beyond must be 0 or more, not {self.beyond}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")


def main(config: Config) -> dict[str, Any]:
    """Train and measure the two models; returns how far each of them comes."""
    started = time.perf_counter()
    tests = measured_batches(config.seed, config.n_test, config.max_length + config.beyond)
    models = {kind: train(kind, tests, config) for kind in ("none", config.attention)}
    exact = {
        kind: [round(exact_share(model, test), 4) for test in tests]
        for kind, model in models.items()
    }
    attentive = models[config.attention]
    assert isinstance(attentive, AttentiveSeq2Seq)
    looked_at = [round(looked_at_share(attentive, test), 4) for test in tests]
    print_curves(exact, looked_at)
    metrics = {
        "max_length": config.max_length,
        "models": {kind: summary(models[kind], exact[kind], config) for kind in models},
        "looked_at_at_longest": looked_at[config.max_length - 1],
    }
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "curves": {"exact": exact, "looked_at": looked_at}},
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    record.write_picture(__file__, "accuracy", draw_accuracy(exact, config), record=config.record)
    maps = draw_alignments(attentive, config)
    record.write_picture(__file__, "alignments", maps, record=config.record)
    return metrics


def train(kind: str, tests: list[Batch], config: Config) -> Model:
    """A model after `n_steps` batches, the same batches for both."""
    rng = np.random.default_rng([config.seed, 2])
    model = digit_model(kind, config.d_embedding, config.d_hidden, rng)
    optimizer = Adam(model.params, config.learning_rate)
    trained = tests[: config.max_length]
    batches = training_batches(
        config.seed, config.n_steps, config.batch_size, config.max_length, trained
    )
    shown = {config.n_steps * n // 8 for n in range(1, 9)}
    losses = []
    print(f"\nattention: {kind}\n{'step':>6}{'loss':>8}{'exact':>8}   an example")
    for step, batch in enumerate(batches):
        losses.append(
            train_step(model, optimizer, batch, step, config.n_steps, config.learning_rate)
        )
        if step + 1 in shown:
            print_progress(step + 1, losses, model, trained)
    return model


def summary(model: Model, exact: list[float], config: Config) -> dict[str, Any]:
    """A curve in a few numbers; lengths are those of the training unless they say otherwise."""
    whole = [n for n in range(1, config.max_length + 1) if min(exact[:n]) >= 0.9]
    return {
        "parameters": sum(param.size for param in model.params.values()),
        "exact_mean": round(statistics.mean(exact[: config.max_length]), 4),
        "exact_at_longest": exact[config.max_length - 1],
        "exact_beyond": exact[-1] if config.beyond else None,
        "longest_of_90_percent": max(whole, default=0),
    }


# ---- what is shown -----------------------------------------------------------------------


def print_progress(step: int, losses: list[float], model: Model, trained: list[Batch]) -> None:
    """The loss of late, the exact answers over all trained lengths, and one answer in full."""
    right = statistics.mean(exact_share(model, test) for test in trained)
    example = trained[-1]
    source = example.source[:1]
    answer = model.greedy(source, example.source_mask[:1], source.shape[1] + 3)[0]
    digits = "".join(str(symbol) for symbol in answer if symbol < N_DIGITS)
    read = "".join(map(str, source[0]))
    verdict = "right" if digits == read[::-1] else "wrong"
    print(
        f"{step:>6}{statistics.mean(losses[-50:]):>8.3f}{right:>8.3f}   "
        f"{read} -> {digits}   {verdict}",
        flush=True,
    )


def print_curves(exact: dict[str, list[float]], looked_at: list[float]) -> None:
    """Every measure against the length."""
    print(f"\n{'digits':>10}" + "".join(f"{n:>6}" for n in range(1, len(looked_at) + 1)))
    for name, values in {**exact, "looked at": looked_at}.items():
        print(f"{name:>10}" + "".join(f"{value:>6.2f}" for value in values))


def draw_accuracy(exact: dict[str, list[float]], config: Config) -> Any:
    """The share of whole sequences that are right, against their length."""
    figure, ax = plotting.figure(7.0, 4.0)
    lengths = range(1, config.max_length + config.beyond + 1)
    for (kind, values), marker in zip(exact.items(), "os", strict=True):
        label = "without attention" if kind == "none" else f"with attention ({kind})"
        ax.plot(lengths, values, marker=marker, markersize=4, label=label)
    line = {"color": plotting.INK, "linewidth": 0.8, "linestyle": "--"}
    ax.axvline(config.max_length, label="longest trained", **line)
    ax.set(title=f"Digits reversed, with states of {config.d_hidden} numbers")
    ax.set(xlabel="digits in the sequence", ylabel="share of whole sequences right")
    ax.set(ylim=(-0.02, 1.04), xticks=lengths[1::2] or lengths)
    ax.legend(loc="lower left")
    return figure


def draw_alignments(model: AttentiveSeq2Seq, config: Config) -> Any:
    """The weights of two sequences, one of half the longest length and one of the longest."""
    figure, axes = plotting.figure(8.4, 4.4, columns=2)
    figure.suptitle("Where the decoder looks while it reverses digits")
    rng = np.random.default_rng([config.seed, 4])
    for ax, length in zip(axes, (max(1, config.max_length // 2), config.max_length), strict=True):
        example = reversal_batch(rng, 1, length, length)
        written = model.greedy(example.source, example.source_mask, length + 1)  # (1, T)
        counts = np.ones_like(written, dtype=bool)
        weights = model.alignments(example.source, example.source_mask, written, counts)[0]
        names = [str(symbol) if symbol < N_DIGITS else "end" for symbol in written[0]]
        digits = [str(digit) for digit in example.source[0]]
        picture = plotting.draw_weights(ax, weights, names, digits)
        ax.set(title=f"{length} digits", xlabel="read", ylabel="written")
    figure.colorbar(picture, ax=axes, label="weight", shrink=0.7)
    return figure


if __name__ == "__main__":
    script.run(main, Config)
