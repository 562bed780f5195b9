"""Train encoder-decoders to reverse digits, and see the state between the halves become too small.

    uv run journal run phase02.train_reverse

The encoder reads 3 1 4, the decoder writes 4 1 3 and an end symbol, and between the two goes one
state of the LSTM. Models that differ only in the size of that state see the same batches of
sequences, of 1 to `max_length` digits mixed, and are then measured at each length by itself, also
at lengths that are longer than any they were trained on. The longer the sequence, the rarer it is
written back whole, and the smaller the state, the earlier that begins: the bottleneck.

What is measured, on sequences that were held out of training (up to 3 digits there are too few to
hold any back, so these were seen):

    exact        share of sequences that greedy decoding writes back whole, end symbol included
    digits       share of the digits that it writes at their right place
    forced       the same share where the model is told the right digit before (teacher forcing)
    loss         nats for each symbol of the answer, under teacher forcing: what training lowers

`exact` is the same both ways: as long as nothing is wrong, the model's own digit before is the
right one. `forced` above `digits` is the exposure: training never shows the model how to go on
from a mistake of its own.

Left out: attention, which removes the bottleneck (phase 4), reading the source backwards, beam
search, and a search for the best learning rate of each size. A longer training moves every curve to
the right, so a length at which one of them falls belongs to these settings.
"""

import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from journal import plotting, record, script
from phase01.optimizers import Adam, clip_gradients
from phase01.schedules import cosine
from phase02.seq2seq import (
    END,
    N_DIGITS,
    START,
    Batch,
    Seq2Seq,
    Seq2SeqConfig,
    decoder_forward,
    encoder_forward,
    exact_matches,
    reversal_batch,
)

HELD_OUT_FROM = 4  # digits: of fewer there are too few sequences
WARMUP = 100  # steps, at most a tenth of all
MAX_NORM = 1.0
MEASURES = ("exact", "digits", "forced", "loss")


@dataclass(frozen=True)
class Config:
    sizes: tuple[int, ...] = (8, 16, 32, 64)
    """widths of the LSTMs' state, a model for each"""
    max_length: int = 12
    """digits in the longest sequence of the training"""
    beyond: int = 4
    """how many digits more the models are measured at"""
    n_steps: int = 4000
    batch_size: int = 64
    learning_rate: float = 0.01
    """the peak of the cosine schedule"""
    d_embedding: int = 16
    n_test: int = 400
    """held-out sequences of each length"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1 or list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(f"sizes must be 1 or more, in rising order, not {self.sizes}")
        for name in ("max_length", "n_steps", "batch_size", "d_embedding", "n_test"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if self.beyond < 0:
            raise ValueError(f"beyond must be 0 or more, not {self.beyond}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")


def main(config: Config) -> dict[str, Any]:
    """Train and measure a model of each size; returns how far each of them comes."""
    started = time.perf_counter()
    tests = held_out(config)
    curves: dict[str, dict[str, list[float]]] = {}
    summaries: dict[str, dict[str, Any]] = {}
    for size in config.sizes:
        model = train(size, tests, config)
        rows = [measure(model, test) for test in tests]
        curves[str(size)] = {name: [row[name] for row in rows] for name in MEASURES}
        summaries[str(size)] = summary(model, curves[str(size)], config)
        print_curve(size, curves[str(size)])
    metrics = {"max_length": config.max_length, "sizes": summaries}
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "curves": curves},
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    record.write_picture(__file__, "accuracy", draw(curves, config), record=config.record)
    return metrics


# ---- sequences ---------------------------------------------------------------------------


def held_out(config: Config) -> list[Batch]:
    """The sequences to measure with, a batch for each length from 1 on; the same for every size."""
    lengths = range(1, config.max_length + config.beyond + 1)
    return [
        reversal_batch(np.random.default_rng([config.seed, 1, n]), config.n_test, n, n)
        for n in lengths
    ]


def sequences(batch: Batch) -> list[tuple[int, ...]]:
    """The sources, without what fills them up."""
    pairs = zip(batch.source, batch.source_mask, strict=True)
    return [tuple(row[mask].tolist()) for row, mask in pairs]


def without(batch: Batch, hidden: set[tuple[int, ...]]) -> Batch:
    """The rows of a batch whose source is not among the hidden ones."""
    keep = np.array([source not in hidden for source in sequences(batch)])  # (B,)
    return Batch(*(part[keep] for part in batch))


# ---- training and measuring --------------------------------------------------------------


def train(size: int, tests: list[Batch], config: Config) -> Seq2Seq:
    """A model of this size after `n_steps` batches, the same batches for every size."""
    model = Seq2Seq(
        Seq2SeqConfig(config.d_embedding, size), np.random.default_rng([config.seed, 2])
    )
    optimizer = Adam(model.params, config.learning_rate)
    rng = np.random.default_rng([config.seed, 3])
    trained = tests[: config.max_length]
    hidden = {source for test in trained[HELD_OUT_FROM - 1 :] for source in sequences(test)}
    shown = {config.n_steps * n // 8 for n in range(1, 9)} | {min(100, config.n_steps)}
    losses = []
    print(f"\nstate of {size}\n{'step':>6}{'loss':>8}{'exact':>8}   an example")
    for step in range(config.n_steps):
        batch = without(reversal_batch(rng, config.batch_size, 1, config.max_length), hidden)
        if not len(batch.source):  # all of a tiny batch were hidden
            continue
        loss, cache = model.forward(*batch)
        grads, _ = clip_gradients(model.backward(cache), MAX_NORM)
        warmup = min(WARMUP, config.n_steps // 10)
        optimizer.learning_rate = cosine(step, config.learning_rate, config.n_steps, warmup)
        optimizer.step(grads)
        losses.append(loss)
        if step + 1 in shown:
            print_progress(step + 1, losses, model, trained)
    return model


def measure(model: Seq2Seq, test: Batch) -> dict[str, float]:
    """The four measures, on sequences of one length."""
    n_digits = test.target.shape[1] - 1
    written = model.greedy(test.source, test.source_mask, n_digits + 1)  # (B, L)
    in_place = np.full(test.target.shape, END)  # (B, n + 1): who ended early wrote no digit there
    in_place[:, : written.shape[1]] = written
    loss, _ = model.forward(*test)
    forced = np.argmax(forced_logits(model, test), axis=-1)  # (B, n + 1)
    digits = test.target[:, :n_digits]  # (B, n)
    found = {
        "exact": np.mean(exact_matches(written, test.target, test.target_mask)),
        "digits": np.mean(in_place[:, :n_digits] == digits),
        "forced": np.mean(forced[:, :n_digits] == digits),
        "loss": loss,
    }
    return {name: round(float(value), 4) for name, value in found.items()}


def forced_logits(model: Seq2Seq, test: Batch) -> np.ndarray:
    """The scores of every symbol of the answer, given the right ones before it: (B, T, W)."""
    start = np.full((len(test.target), 1), START)  # (B, 1)
    before = np.concatenate([start, test.target[:, :-1]], axis=1)  # (B, T)
    (_, state), _ = encoder_forward(model.params, test.source, test.source_mask)
    (logits, _), _ = decoder_forward(model.params, before, state, test.target_mask)
    return logits


def summary(model: Seq2Seq, curve: dict[str, list[float]], config: Config) -> dict[str, Any]:
    """A curve in a few numbers; lengths are those of the training unless they say otherwise."""
    exact = curve["exact"]
    whole = [n for n in range(1, config.max_length + 1) if min(exact[:n]) >= 0.9]
    return {
        "parameters": sum(param.size for param in model.params.values()),
        "numbers_between_the_halves": 2 * model.config.d_hidden,  # h and c
        "exact_mean": round(statistics.mean(exact[: config.max_length]), 4),
        "exact_at_longest": exact[config.max_length - 1],
        "exact_beyond": exact[-1] if config.beyond else None,
        "longest_of_90_percent": max(whole, default=0),
        "digits_at_longest": curve["digits"][config.max_length - 1],
        "forced_at_longest": curve["forced"][config.max_length - 1],
        "loss_at_longest": curve["loss"][config.max_length - 1],
    }


# ---- what is shown -----------------------------------------------------------------------


def print_progress(step: int, losses: list[float], model: Seq2Seq, trained: list[Batch]) -> None:
    """The loss of late, the exact answers over all trained lengths, and one answer in full."""
    right = []
    for test in trained:
        written = model.greedy(test.source, test.source_mask, test.target.shape[1])
        right.append(exact_matches(written, test.target, test.target_mask).mean())
    example = trained[len(trained) // 2]
    source = example.source[:1]
    answer = model.greedy(source, example.source_mask[:1], source.shape[1] + 3)[0]
    digits = [str(symbol) for symbol in answer if symbol < N_DIGITS]
    verdict = "right" if digits == [str(d) for d in source[0, ::-1]] else "wrong"
    print(
        f"{step:>6}{statistics.mean(losses[-50:]):>8.3f}{statistics.mean(right):>8.3f}   "
        f"{' '.join(map(str, source[0]))} -> {' '.join(digits)}   {verdict}",
        flush=True,
    )


def print_curve(size: int, curve: dict[str, list[float]]) -> None:
    """Every measure against the length."""
    print(f"{'digits':>8}" + "".join(f"{n:>6}" for n in range(1, len(curve["exact"]) + 1)))
    for name in MEASURES:
        print(f"{name:>8}" + "".join(f"{value:>6.2f}" for value in curve[name]))


def draw(curves: dict[str, dict[str, list[float]]], config: Config) -> Any:
    """Left the sequences that are right as a whole, right the digits, each against the length."""
    figure, axes = plotting.figure(8.0, 4.2, columns=2)
    figure.suptitle("Digits reversed by an encoder-decoder, against their number")
    lengths = range(1, config.max_length + config.beyond + 1)
    for number, size in enumerate(config.sizes):
        curve, colour = curves[str(size)], plotting.PALETTE[number % len(plotting.PALETTE)]
        marker = "osD^v"[number % 5]
        style = {"color": colour, "marker": marker, "markersize": 4}
        axes[0].plot(lengths, curve["exact"], label=f"state of {size}", linestyle="-", **style)
        axes[1].plot(lengths, curve["digits"], linestyle="-", **style)
        axes[1].plot(lengths, curve["forced"], color=colour, linestyle=":")
    axes[1].plot([], [], color=plotting.INK, linestyle="-", label="its own digits before")
    axes[1].plot([], [], color=plotting.INK, linestyle=":", label="told the right ones")
    axes[0].set(title="Whole sequences right", ylabel="share of the sequences")
    axes[1].set(title="Digits right, each at its place", ylabel="share of the digits")
    for ax in axes:
        ax.axvline(config.max_length, color=plotting.INK, linewidth=0.8, linestyle="--")
        ax.set(xlabel="digits in the sequence", xticks=lengths[1::2] or lengths)
        ax.set(ylim=(-0.02, 1.04))
    axes[0].plot([], [], color=plotting.INK, linewidth=0.8, linestyle="--", label="longest trained")
    for ax in axes:
        ax.legend(loc="lower left")
    return figure


if __name__ == "__main__":
    script.run(main, Config)
