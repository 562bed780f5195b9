"""Compare Bahdanau's attention with Luong's three and with none: quality and speed at one size.

    uv run journal run phase04.compare_attention

Five encoder-decoders with LSTMs of the same width learn to reverse digits (the task of
`phase04.train_reverse_with_attention`). They take their steps in turn, on the same batches, so that
whatever else the machine does slows all of them: a time is given for each step, and as a ratio to
the model without attention of the same run.

What the times hold: Bahdanau's decoder goes step by step, because the context is part of its input;
Luong's runs its LSTM through first and scores all steps at once, dot and general by matrix
products, concat by a small network for each pair of steps. `numbers for the scores` is what the
score keeps for the way back, for each sequence: T*S, or T*S*A where there is a network.

The widths are the same, the numbers of parameters are not (they are given). One seed, one task, one
learning rate: an order of two that are close to each other means nothing.
"""

import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from journal import plotting, record, script
from phase01.optimizers import Adam
from phase02.seq2seq import Batch
from phase04.attentive_seq2seq import KINDS
from phase04.reversal import (
    Model,
    digit_model,
    exact_share,
    measured_batches,
    train_step,
    training_batches,
)

ALL = ("none", *KINDS)
NETWORKS = ("bahdanau", "concat")  # scores with a tanh for each pair


@dataclass(frozen=True)
class Config:
    kinds: tuple[str, ...] = ALL
    """which attentions; none is needed for the ratios"""
    d_hidden: int = 32
    max_length: int = 12
    """digits in the longest sequence"""
    n_steps: int = 1200
    batch_size: int = 64
    learning_rate: float = 0.01
    """the peak of the cosine schedule"""
    d_embedding: int = 16
    n_test: int = 100
    """held-out sequences of each length"""
    n_points: int = 12
    """how often the models are measured while they learn"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.kinds if kind not in ALL]
        if unknown or "none" not in self.kinds or len(set(self.kinds)) < len(self.kinds):
            raise ValueError(f"kinds are none and others of {', '.join(KINDS)}, not {self.kinds}")
        for name in ("d_hidden", "max_length", "batch_size", "d_embedding", "n_test", "n_points"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if self.n_steps < self.n_points:
            raise ValueError(f"n_steps must be {self.n_points} or more, not {self.n_steps}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")


def main(config: Config) -> dict[str, Any]:
    """Train all of them side by side; returns quality, size and time of each."""
    started = time.perf_counter()
    tests = measured_batches(config.seed, config.n_test, config.max_length)
    models = {
        kind: digit_model(
            kind, config.d_embedding, config.d_hidden, np.random.default_rng([config.seed, 2])
        )
        for kind in config.kinds
    }
    curves, seconds = train(models, tests, config)
    quality = {
        kind: {
            "parameters": sum(param.size for param in model.params.values()),
            "exact_mean": curves[kind][-1],
            "exact_at_longest": round(exact_share(model, tests[-1]), 4),
            "steps_to_90_percent": steps_to(0.9, curves[kind], config),
            "numbers_for_the_scores": numbers_for_the_scores(kind, config),
        }
        for kind, model in models.items()
    }
    speed = {kind: round(1000 * value, 2) for kind, value in seconds.items()}
    ratios = {kind: round(value / seconds["none"], 2) for kind, value in seconds.items()}
    metrics = {"models": quality, "ms_per_step": speed, "times_as_long_as_none": ratios}
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "steps": points(config), "curves": curves},
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    picture = draw(curves, ratios, config)
    record.write_picture(__file__, "curves", picture, record=config.record)
    return metrics


def train(
    models: dict[str, Model], tests: list[Batch], config: Config
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Each model's exact share over all lengths at each point, and its median seconds a step."""
    optimizers = {kind: Adam(model.params, config.learning_rate) for kind, model in models.items()}
    batches = training_batches(
        config.seed, config.n_steps, config.batch_size, config.max_length, tests
    )
    measured = set(points(config))
    curves: dict[str, list[float]] = {kind: [] for kind in models}
    seconds: dict[str, list[float]] = {kind: [] for kind in models}
    print(f"{'step':>6}" + "".join(f"{kind:>10}" for kind in models))
    for step, batch in enumerate(batches):
        for kind, model in models.items():
            begun = time.perf_counter()
            train_step(model, optimizers[kind], batch, step, config.n_steps, config.learning_rate)
            seconds[kind].append(time.perf_counter() - begun)
        if step + 1 in measured:
            for kind, model in models.items():
                right = statistics.mean(exact_share(model, test) for test in tests)
                curves[kind].append(round(right, 4))
            shares = "".join(f"{curve[-1]:>10.3f}" for curve in curves.values())
            print(f"{step + 1:>6}{shares}", flush=True)
    return curves, {kind: statistics.median(times) for kind, times in seconds.items()}


def points(config: Config) -> list[int]:
    """The steps after which the models are measured; the last step is one of them."""
    return [config.n_steps * n // config.n_points for n in range(1, config.n_points + 1)]


def steps_to(share: float, curve: list[float], config: Config) -> int | None:
    """The first measured step from which on the share is never below this one; None without."""
    late = [step for n, step in enumerate(points(config)) if min(curve[n:], default=0.0) >= share]
    return late[0] if late else None


def numbers_for_the_scores(kind: str, config: Config) -> int:
    """What the score keeps of the longest sequence: nothing, T*S, or T*S*A with A = H."""
    if kind == "none":
        return 0
    pairs = (config.max_length + 1) * config.max_length
    return pairs * config.d_hidden if kind in NETWORKS else pairs


def draw(curves: dict[str, list[float]], ratios: dict[str, float], config: Config) -> Any:
    """Left how they learn, right how long a step takes."""
    figure, axes = plotting.figure(8.4, 3.8, columns=2)
    figure.suptitle(f"Ways to attend, with states of {config.d_hidden} numbers")
    for number, (kind, curve) in enumerate(curves.items()):
        colour = plotting.PALETTE[number]
        axes[0].plot(
            points(config), curve, marker="osD^v"[number], markersize=4, color=colour, label=kind
        )
        axes[1].barh(kind, ratios[kind], color=colour)
        axes[1].text(ratios[kind], kind, f" {ratios[kind]:.2f}", va="center", fontsize=9)
    axes[0].set(title=f"1 to {config.max_length} digits reversed", xlabel="steps of training")
    axes[0].set(ylabel="share of whole sequences right", ylim=(-0.02, 1.04))
    axes[0].legend(loc="best")
    axes[1].set(
        title="Time of a step", xlabel="times that of none", xlim=(0, 1.2 * max(ratios.values()))
    )
    axes[1].invert_yaxis()
    axes[1].grid(False)
    return figure


if __name__ == "__main__":
    script.run(main, Config)
