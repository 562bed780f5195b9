"""What clipping saves, and what truncation costs: an RNN on characters, trained in many ways.

    uv run journal run phase02.compare_clipping

First the same network learns the same text by plain SGD at several learning rates, with and without
clipping. At a rate that is good with it, the run without it learns as well for a while and then
explodes: gradients far longer than all before throw the weights away, and the loss ends above that
of a guess. At a rate that is too large for the usual gradient, clipping helps less.

Then chunk lengths are compared, in truncated backpropagation through time: each run reads the same
characters, in chunks of 1 to 100, with Adam and clipping. A short chunk shows the gradient less of
the past, and it has more optimizer steps for the same text. So it is done twice: with a step after
each chunk, as usual, and with a step after each window of several chunks, whose gradients are
added up. In the second all runs take as many steps, and only the reach differs.

Left out: several seeds, a tuned rate for each chunk length, and the other cells (`train_char_lm`).
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from journal import plotting, record, script, texts
from phase01.optimizers import SGD, Adam, Optimizer, clip_gradients
from phase02.bptt import chunks, train_on_chunks, truncated_gradients
from phase02.char_lm import CharLM, CharLMConfig, bits_per_character, stream_loss
from phase02.char_text import Vocabulary, split_text, streams

WITH, WITHOUT = "clipped", "not clipped"
EACH, WINDOW = "a step after each chunk", "a step after each window"
EXPLODED = 1.5  # a loss above so many times that of a guess
KEPT = 300  # values of a curve in the file
HELD_OUT_ROWS = 10  # that the held-out characters are measured in


@dataclass(frozen=True)
class Config:
    text: str = "shakespeare"
    """a source of journal.texts; python-docs needs no download"""
    d_hidden: int = 128
    n_batch: int = 32
    """rows, each a contiguous piece of the text"""
    row_length: int = 20_000
    """characters of a row that every run reads"""
    n_held_out: int = 20_000
    """characters for measuring, from the end of the text"""
    learning_rates: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    """of SGD, with and without clipping"""
    shown_rate: float = 1.0
    """the one of them whose two runs are drawn"""
    max_norm: float = 0.5
    """to which longer gradients are shortened"""
    chunk_length: int = 50
    """characters of a chunk where clipping is compared; of a window where chunk lengths are"""
    chunk_lengths: tuple[int, ...] = (1, 2, 5, 10, 25, 50, 100)
    """those that are compared with a step after each"""
    adam_rate: float = 0.005
    """learning rate of Adam where chunk lengths are compared"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        if self.shown_rate not in self.learning_rates:
            raise ValueError(
                f"shown_rate must be one of the learning rates {self.learning_rates}, "
                f"not {self.shown_rate}"
            )
        if not self.chunk_lengths or min(self.chunk_lengths) < 1:
            raise ValueError(f"chunk_lengths must be 1 or more each, not {self.chunk_lengths}")
        for name in ("d_hidden", "n_batch", "row_length", "chunk_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if self.n_held_out < HELD_OUT_ROWS:
            raise ValueError(f"n_held_out must be {HELD_OUT_ROWS} or more, not {self.n_held_out}")


class Text(NamedTuple):
    """What every run reads, (B, L) each, and the characters for measuring."""

    inputs: np.ndarray
    targets: np.ndarray
    held_out: np.ndarray
    vocab_size: int


def main(config: Config) -> dict[str, Any]:
    """Compare clipping and chunk lengths; returns bits per character of each run, no curves."""
    started = time.perf_counter()
    text = read(config)
    guess = math.log2(text.vocab_size)
    print(
        f"{text.inputs.size} characters to read; a guess among {text.vocab_size}: {guess:.2f} bits"
    )
    clipping, curves = compare_clipping(text, config)
    metrics = {
        "vocab_size": text.vocab_size,
        "guess_bits": guess,
        "clipping": clipping,
        "chunks": compare_chunks(text, config),
    }
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "curves": curves},
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    for name, figure in (
        ("explosion", draw_explosion(curves, config)),
        ("rates", draw_rates(clipping, guess)),
        ("chunks", draw_chunks(metrics["chunks"])),
    ):
        record.write_picture(__file__, name, figure, record=config.record)
    return metrics


def read(config: Config) -> Text:
    """The text as ids: the rows, cut to their length, and the held-out part."""
    whole = "".join(document for _, document in texts.documents(config.text))
    if config.n_held_out + 1 >= len(whole):
        raise ValueError(
            f"{config.text} has {len(whole)} characters, too few to hold {config.n_held_out} out: "
            "take a longer text or a smaller n_held_out"
        )
    vocabulary = Vocabulary.of(whole)
    learned, held_out = split_text(whole, (config.n_held_out + 1) / len(whole))
    inputs, targets = streams(vocabulary.encode(learned), config.n_batch)  # (B, L) each
    if inputs.shape[1] < config.row_length:
        raise ValueError(
            f"{config.text} fills rows of {inputs.shape[1]} characters, not {config.row_length}: "
            "take a longer text, fewer rows or a smaller row_length"
        )
    cut = slice(0, config.row_length)
    return Text(inputs[:, cut], targets[:, cut], vocabulary.encode(held_out), len(vocabulary))


def new_model(text: Text, config: Config) -> CharLM:
    """The same untrained RNN every time."""
    settings = CharLMConfig(text.vocab_size, config.d_hidden, "rnn")
    return CharLM(settings, np.random.default_rng(config.seed))


def held_out_bits(model: CharLM, text: Text) -> float | None:
    """Bits per character on the held-out text; None where they are no number any more."""
    bits = bits_per_character(stream_loss(model, text.held_out, n_batch=HELD_OUT_ROWS))
    return bits if math.isfinite(bits) else None


# ---- clipping ----------------------------------------------------------------------------


def compare_clipping(text: Text, config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    """For each rate, with and without clipping: what is left in the end; and the shown curves."""
    found: dict[str, Any] = {"learning_rates": list(config.learning_rates), WITH: [], WITHOUT: []}
    curves = {}
    print("\nSGD          bits per character        longest gradient")
    print("rate      clipped   not clipped     clipped   not clipped")
    for rate in config.learning_rates:
        for name, max_norm in ((WITH, config.max_norm), (WITHOUT, None)):
            run, losses, norms = train_by_sgd(text, rate, max_norm, config)
            found[name].append(run)
            if rate == config.shown_rate:
                size = group_size(config)
                curves[name] = {"bits": thinned(losses, size), "norms": thinned(norms, size)}
        clipped, free = found[WITH][-1], found[WITHOUT][-1]
        print(
            f"{rate:<6g}{shown(clipped['bits'], 11, '.2f')}{shown(free['bits'], 14, '.2f')}"
            f"{shown(clipped['longest'], 12, '.3g')}{shown(free['longest'], 14, '.3g')}",
            flush=True,
        )
    return found, curves


def train_by_sgd(
    text: Text, rate: float, max_norm: float | None, config: Config
) -> tuple[dict[str, Any], list[float], list[float]]:
    """One run: how it ended, and bits and gradient norm of each of its steps."""
    model = new_model(text, config)
    optimizer = SGD(model.params, rate)
    losses, norms = [], []
    with np.errstate(over="ignore", invalid="ignore"):  # a run that explodes is what we want to see
        steps = train_on_chunks(
            model, optimizer, text.inputs, text.targets, config.chunk_length, max_norm=max_norm
        )
        for step in steps:
            if not (math.isfinite(step.loss) and math.isfinite(step.norm)):
                break  # from here on everything is nan
            losses.append(bits_per_character(step.loss))
            norms.append(step.norm)
        bits = held_out_bits(model, text)
    too_high = EXPLODED * math.log2(text.vocab_size)
    run = {
        "bits": bits,
        "best": min(losses, default=None),
        "exploded_at": next((n for n, loss in enumerate(losses) if loss > too_high), None),
        "worst": max(losses, default=None),
        "longest": max(norms, default=None),
        "usual": float(np.median(norms)) if norms else None,
        "steps": len(losses),
    }
    return run, losses, norms


def group_size(config: Config) -> int:
    """So many steps of a whole run are one value of its curve; of a run that ended early too."""
    n_steps = math.ceil(config.row_length / config.chunk_length)
    return math.ceil(n_steps / KEPT)


def thinned(values: list[float], size: int) -> list[float]:
    """The largest of each group of so many neighbours: no peak is lost."""
    groups = (values[start : start + size] for start in range(0, len(values), size))
    return [float(f"{max(group):.4g}") for group in groups]


def shown(value: float | None, width: int, form: str) -> str:
    return f"{'nan' if value is None else format(value, form):>{width}}"


# ---- truncation --------------------------------------------------------------------------


def compare_chunks(text: Text, config: Config) -> dict[str, Any]:
    """For each chunk length and both ways: bits per character, optimizer steps, seconds."""
    found: dict[str, Any] = {}
    window = config.chunk_length
    for way in (EACH, WINDOW):
        found[way] = {"lengths": [], "bits": [], "steps": [], "seconds": []}
        print(f"\n{way + ':':<26}{'bits':>8}{'steps':>8}{'seconds':>9}")
        for length in config.chunk_lengths:
            if way == WINDOW and (length > window or window % length):
                continue  # chunks must fill the window
            model = new_model(text, config)
            optimizer = Adam(model.params, config.adam_rate)
            started = time.perf_counter()
            n_steps = sum(1 for _ in learn(model, optimizer, text, length, way, config))
            seconds = time.perf_counter() - started
            bits = held_out_bits(model, text)
            values = {"lengths": length, "bits": bits, "steps": n_steps, "seconds": seconds}
            for name, value in values.items():
                found[way][name].append(round(value, 4) if isinstance(value, float) else value)
            print(
                f"chunks of {length:<16}{shown(bits, 8, '.3f')}{n_steps:8}{seconds:9.2f}",
                flush=True,
            )
    return found


def learn(
    model: CharLM, optimizer: Optimizer, text: Text, length: int, way: str, config: Config
) -> Iterator[Any]:
    """The optimizer steps of one run, one after the other."""
    if way == EACH:
        yield from train_on_chunks(
            model, optimizer, text.inputs, text.targets, length, max_norm=config.max_norm
        )
        return
    state = None
    for part in chunks(text.inputs.shape[1], config.chunk_length):
        inputs, targets = text.inputs[:, part], text.targets[:, part]
        n_steps = inputs.shape[1]
        total = {name: np.zeros_like(value) for name, value in model.params.items()}
        pieces = truncated_gradients(model, inputs, targets, length, state)
        for piece, (_, grads, after) in zip(chunks(n_steps, length), pieces, strict=True):
            state = after
            for name, grad in grads.items():  # each chunk with its share of the window's mean
                total[name] += grad * ((piece.stop - piece.start) / n_steps)
        total, norm = clip_gradients(total, config.max_norm)
        optimizer.step(total)
        yield norm


# ---- the pictures ------------------------------------------------------------------------


def draw_explosion(curves: dict[str, Any], config: Config) -> Figure:
    """Loss and gradient norm of the two runs at one learning rate, step by step."""
    figure, axes = plotting.figure(7.0, 5.0, rows=2)
    size = group_size(config)
    for ax, kind in zip(axes, ("bits", "norms"), strict=True):
        for name, colour in ((WITHOUT, plotting.PALETTE[1]), (WITH, plotting.PALETTE[0])):
            values = curves[name][kind]
            steps = range(0, size * len(values), size)
            ax.plot(steps, values, color=colour, label=name, linewidth=1.3)
    axes[1].axhline(config.max_norm, color=plotting.INK, linewidth=0.8, linestyle=":")
    axes[0].set(
        title=f"An RNN at learning rate {config.shown_rate:g}, with and without clipping",
        ylabel="bits per character",
    )
    axes[1].set(xlabel="optimizer steps", ylabel="gradient norm", yscale="log")
    axes[0].legend(loc="upper left")
    return figure


def draw_rates(clipping: dict[str, Any], guess: float) -> Figure:
    """Held-out bits per character against the learning rate, with and without clipping."""
    figure, ax = plotting.figure(6.4, 4.2)
    for name, colour, marker in (
        (WITHOUT, plotting.PALETTE[1], "s"),
        (WITH, plotting.PALETTE[0], "o"),
    ):
        pairs = [
            (rate, run["bits"])
            for rate, run in zip(clipping["learning_rates"], clipping[name], strict=True)
            if run["bits"] is not None
        ]
        ax.plot(*zip(*pairs, strict=True), color=colour, marker=marker, markersize=6, label=name)
    ax.axhline(guess, color=plotting.INK, linewidth=0.8, linestyle=":", label="a guess")
    ax.set(
        title="What is learned by SGD, with and without clipping",
        xlabel="learning rate",
        ylabel="held-out bits per character",
        xscale="log",
        yscale="log",
    )
    rates = clipping["learning_rates"]
    ax.set_xticks(rates, [f"{rate:g}" for rate in rates])
    ax.minorticks_off()
    ax.legend(loc="upper left")
    return figure


def draw_chunks(found: dict[str, Any]) -> Figure:
    """Held-out bits and seconds against the chunk length, for the two ways."""
    figure, axes = plotting.figure(8.0, 4.2, columns=2)
    figure.suptitle("The same characters in chunks of different lengths")
    for way, marker in ((EACH, "o"), (WINDOW, "s")):
        one = found[way]
        axes[0].plot(one["lengths"], one["bits"], marker=marker, markersize=5, label=way)
        axes[1].plot(one["lengths"], one["seconds"], marker=marker, markersize=5, label=way)
    lengths = found[EACH]["lengths"]
    for ax, label in zip(axes, ("held-out bits per character", "seconds"), strict=True):
        ax.set(xlabel="characters of a chunk", ylabel=label, xscale="log")
        ax.set_xticks(lengths, [str(n) for n in lengths])
        ax.minorticks_off()
    axes[1].set(ylim=(0, None))
    axes[0].legend(loc="upper center")
    return figure


if __name__ == "__main__":
    script.run(main, Config)
