"""Train transformers to copy digits, to reverse them, and to say them in words: all in NumPy.

    uv run journal run phase05.train_toy_tasks

Each task gets a model of its own, two layers deep, trained as the paper trains: teacher forcing,
Adam with its betas, label smoothing, and the learning rate that rises and falls (equation 3, scaled
down, since a short warm-up makes its peak high). One sequence in ten is held out by a rule and is
never trained on (`phase05.toy_tasks.is_held_out`); what is reported are those.

    exact       share of the held-out sequences that greedy decoding writes whole, <END> included
    longer      the same for sequences one digit longer than any of the training (not for words,
                whose largest number has six digits): their last position has never been seen
    beam        as `exact`, by beam search

Then the weights of every layer and head are drawn for one held-out sequence of each task.

Left out: dropout, since sequences are drawn anew at every step, and a search for the fewest steps.
"""

import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from journal import plotting, record, script
from phase01.optimizers import Adam
from phase02.seq2seq import N_DIGITS, Batch, exact_matches
from phase05.decode import beam_search, greedy
from phase05.schedule import ADAM_BETAS, ADAM_EPSILON, transformer_rate
from phase05.toy_tasks import DIGITS, MAX_WORDS_LENGTH, TASKS, target_symbols, task_batch
from phase05.transformer import Transformer, TransformerConfig, shifted

MAX_ANSWER = 14  # symbols beyond which no answer goes
N_CHECKED = 200  # sequences that each point of a curve is measured on
Curve = dict[str, list[float | int]]


@dataclass(frozen=True)
class Config:
    tasks: tuple[str, ...] = TASKS
    n_steps: int = 2500
    """batches of each task"""
    batch_size: int = 64
    max_length: int = 10
    """digits of the longest sequence that is copied or reversed; numbers have up to six"""
    d_model: int = 64
    n_head: int = 4
    d_ff: int = 128
    n_layer: int = 2
    """of the encoder, and of the decoder"""
    warmup_steps: int = 300
    scale: float = 0.3
    """the learning rate in parts of the paper's equation 3"""
    label_smoothing: float = 0.1
    n_test: int = 1000
    """held-out sequences of each task"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"tasks must name each task once, not {self.tasks}")
        for task in self.tasks:
            target_symbols(task)  # which refuses what is no task
        for name in ("n_steps", "batch_size", "n_test"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if not 2 <= self.max_length < MAX_ANSWER - 1:
            raise ValueError(f"max_length must be 2 to {MAX_ANSWER - 2}, not {self.max_length}")


def main(config: Config) -> dict[str, Any]:
    """Train and measure a model for each task; returns how much of the held-out part is right."""
    started = time.perf_counter()
    results: dict[str, dict[str, Any]] = {}
    curves: dict[str, Curve] = {}
    for task in config.tasks:
        began = time.perf_counter()
        model, curves[task] = train(task, config)
        trained = time.perf_counter() - began
        results[task] = measure(task, model, config) | {"seconds_of_training": round(trained, 1)}
        figure = attention_of(task, model, config)
        record.write_picture(__file__, f"attention-{task}", figure, record=config.record)
    metrics = {"tasks": results, "exact_least": min(row["exact"] for row in results.values())}
    seconds = time.perf_counter() - started
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "curves": curves},
        seconds=seconds,
        record=config.record,
    )
    record.write_picture(__file__, "curves", draw_curves(curves), record=config.record)
    script.close(costs(results, seconds), QUESTIONS)
    return metrics


# ---- training ----------------------------------------------------------------------------


def lengths(task: str, config: Config) -> tuple[int, int]:
    """The fewest and the most digits of a task's sequences."""
    return 1, min(config.max_length, MAX_WORDS_LENGTH) if task == "words" else config.max_length


def untrained(task: str, config: Config) -> Transformer:
    """The model of a task before its first step."""
    n_symbols = len(target_symbols(task))
    shape = TransformerConfig(
        source_vocab_size=N_DIGITS,
        target_vocab_size=n_symbols,
        start_id=n_symbols - 2,
        end_id=n_symbols - 1,
        d_model=config.d_model,
        n_head=config.n_head,
        d_ff=config.d_ff,
        n_layer=config.n_layer,
        label_smoothing=config.label_smoothing,
    )
    return Transformer(shape, np.random.default_rng([config.seed, TASKS.index(task)]))


def train(task: str, config: Config) -> tuple[Transformer, Curve]:
    """A model after `n_steps` batches, and its curve: steps, losses, exact answers, and rates."""
    model = untrained(task, config)
    optimizer = Adam(model.params, betas=ADAM_BETAS, epsilon=ADAM_EPSILON)
    rng = np.random.default_rng([config.seed, 10 + TASKS.index(task)])
    # Fresh sequences of the training's part, so that the held-out ones wait for the end.
    check = task_batch(task, rng, N_CHECKED, *lengths(task, config))
    curve: Curve = {"step": [], "loss": [], "exact": []}
    shown = {max(1, config.n_steps * n // 15) for n in range(1, 16)}
    losses = []
    print(f"\n{task}\n{'step':>6}{'loss':>8}{'exact':>8}   an example")
    for step in range(config.n_steps):
        batch = task_batch(task, rng, config.batch_size, *lengths(task, config))
        loss, cache = model.forward(*batch)
        optimizer.learning_rate = transformer_rate(
            step, config.d_model, config.warmup_steps, config.scale
        )
        optimizer.step(model.backward(cache))
        losses.append(loss)
        if step + 1 in shown:
            mean, right = statistics.mean(losses[-50:]), exact(model, check)
            for name, value in (("step", step + 1), ("loss", mean), ("exact", right)):
                curve[name].append(round(value, 4))
            print(f"{step + 1:>6}{mean:>8.3f}{right:>8.3f}   {example(task, model, check)}")
    return model, curve


def exact(model: Transformer, batch: Batch) -> float:
    """The share of the sequences that greedy decoding writes whole."""
    written = greedy(model, batch.source, batch.source_mask, MAX_ANSWER)
    return float(exact_matches(written, batch.target, batch.target_mask).mean())


def example(task: str, model: Transformer, batch: Batch) -> str:
    """The longest sequence of a batch, what the model writes, and whether it is right."""
    row = int(np.argmax(batch.source_mask.sum(axis=1)))
    source, mask = batch.source[row : row + 1], batch.source_mask[row : row + 1]
    written = greedy(model, source, mask, MAX_ANSWER)
    symbols = target_symbols(task)
    said = " ".join(symbols[i] for i in written[0] if i != model.config.end_id)
    right = exact_matches(written, batch.target[row : row + 1], batch.target_mask[row : row + 1])
    digits = " ".join(DIGITS[i] for i in source[mask])
    return f"{digits} -> {said}   {'right' if right[0] else 'wrong'}"


def measure(task: str, model: Transformer, config: Config) -> dict[str, Any]:
    """How much of the held-out sequences is right, greedily and by a beam of four."""
    rng = np.random.default_rng([config.seed, 20 + TASKS.index(task)])
    low, high = lengths(task, config)
    test = task_batch(task, rng, config.n_test, low, high, held_out=True)
    answers, _ = beam_search(model, test.source, test.source_mask, MAX_ANSWER)
    loss, _ = model.forward(*test)
    pairs = zip(test.source, test.source_mask, strict=True)
    found = {
        "parameters": sum(param.size for param in model.params.values()),
        "different_sequences": len({tuple(row[mask].tolist()) for row, mask in pairs}),
        "exact": round(exact(model, test), 4),
        "beam": round(float(exact_matches(answers, test.target, test.target_mask).mean()), 4),
        "loss_smoothed": round(loss, 4),
    }
    if task != "words":
        longer = task_batch(task, rng, config.n_test, high + 1, high + 1, held_out=True)
        found["longer"] = round(exact(model, longer), 4)
    print(f"held out: {found['exact']:.1%} of {config.n_test} sequences are written whole")
    return found


# ---- pictures ----------------------------------------------------------------------------


def draw_curves(curves: dict[str, Curve]) -> Figure:
    """The loss and the exact answers of each task against the steps."""
    figure, axes = plotting.figure(8.0, 3.6, columns=2)
    figure.suptitle("Toy tasks, each learned by a transformer of its own")
    for (task, curve), style in zip(curves.items(), ("-", "--", ":"), strict=False):
        axes[0].plot(curve["step"], curve["loss"], style, label=task)
        axes[1].plot(curve["step"], curve["exact"], style, label=task)
    axes[0].set(title="Training loss, smoothed labels", ylabel="nats for each symbol")
    axes[0].set(ylim=(0, None))
    axes[1].set(title="Sequences written whole", ylabel="share", ylim=(-0.02, 1.04))
    for ax in axes:
        ax.set(xlabel="steps")
        ax.legend()
    return figure


def attention_of(task: str, model: Transformer, config: Config) -> Figure:
    """All weights of a model for one held-out sequence, of five digits where there are as many."""
    rng = np.random.default_rng([config.seed, 30])
    n_digits = min(5, lengths(task, config)[1])
    batch = task_batch(task, rng, 1, n_digits, n_digits, held_out=True)
    symbols = target_symbols(task)
    before = shifted(batch.target, model.config.start_id)  # (1, T)
    maps = model.attention(batch.source, batch.source_mask, before)
    encoder, decoder, cross = ([w[0] for w in layers] for layers in maps.values())
    digits, given = [DIGITS[i] for i in batch.source[0]], [symbols[i] for i in before[0]]
    kinds = {
        "encoder": (encoder, digits, digits),
        "decoder": (decoder, given, given),
        "decoder to\nencoder": (cross, given, digits),
    }
    return plotting.draw_heads(kinds, f"Attention of every layer and head: {task}")


# ---- what it costs -----------------------------------------------------------------------

QUESTIONS = (
    "Which heads copy, and which turn round? Look at the last rows of the pictures: what would the "
    "weights be if one head did the whole task?",
    "Copying and reversing fail one digit beyond the longest of the training. What does the model "
    "know about a position, and what has it never seen?",
    "402 is three words and 17 is one. How does the decoder know which digit comes next?",
)


def costs(results: dict[str, dict[str, Any]], seconds: float) -> list[tuple[str, str, str]]:
    """The rows of the closing table."""
    size = max(row["parameters"] for row in results.values())
    return [
        ("parameters", f"{size:,} in the largest model", "with d_model (d_model + d_ff) n_layer"),
        ("memory", f"{4 * 4 * size / 1e6:.0f} MB", "weights, gradients, Adam's two means"),
        ("operations", "6 for each weight and symbol of a batch", "with weights times symbols"),
        ("time", f"{seconds:.0f} s for {len(results)} tasks", "with operations; steps in series"),
    ]


if __name__ == "__main__":
    script.run(main, Config)
