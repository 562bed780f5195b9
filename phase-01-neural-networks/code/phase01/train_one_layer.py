"""Milestone 1969, the problem: on XOR one layer learns to say 1/2 to everything, and no more.

    uv run journal run phase01.train_one_layer [--seed 0] [--record]

A sigmoid unit goes downhill on the cross-entropy of the four examples. From any start it ends with
weights and bias 0 and the probability 1/2 for every input: a loss of ln 2 = 0.69 nats, that of a
coin. There is no better place for it: the loss has a single minimum, and this is it.

How many of the answers are right is then a matter of how 1/2 is read. Rounded to six digits and
called 1 it gives half of them. On the way, while the probabilities still differ, a line can have up
to three of the four right and never all; it can also have three of the four wrong.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from journal import plotting, record, script
from phase01.xor import INPUTS, TARGETS, sigmoid, train_one_layer

NAMES = ("0 0", "0 1", "1 0", "1 1")  # the inputs, in their order
DIGITS = 6  # to which a probability is read
SHOWN = 50  # epochs in the picture


@dataclass(frozen=True)
class Config:
    learning_rate: float = 2.0
    n_epoch: int = 1000
    """steps, each on all four examples"""
    n_start: int = 100
    """random starts, of which the first is shown"""
    seed: int = 0
    """of the first start; the others count on from it"""
    record: bool = False

    def __post_init__(self) -> None:
        for name in ("n_epoch", "n_start"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")


def main(config: Config) -> dict[str, Any]:
    """Train from every start; returns the loss and the share of right answers they end with."""
    started = time.perf_counter()
    histories = [
        train_one_layer(
            INPUTS,
            TARGETS,
            np.random.default_rng(seed),
            learning_rate=config.learning_rate,
            n_epoch=config.n_epoch,
        )
        for seed in range(config.seed, config.seed + config.n_start)
    ]
    seconds = time.perf_counter() - started
    probabilities = [probability(history) for history in histories]
    rights = [share_right(found) for found in probabilities]
    report(histories[0], probabilities[0], rights[0])
    losses = [float(history["loss"][-1]) for history in histories]
    metrics = {
        "loss": round(losses[0], 6),
        "loss_above_ln_2": round(losses[0] - math.log(2), 12),
        "right": float(rights[0][-1]),
        "probabilities": probabilities[0][-1].round(DIGITS).tolist(),
        "starts": config.n_start,
        "largest_loss": round(max(losses), 6),
        "right_at_the_end": [float(min(r[-1] for r in rights)), float(max(r[-1] for r in rights))],
        "right_on_the_way": [
            float(min(r.min() for r in rights)),
            float(max(r.max() for r in rights)),
        ],
    }
    print(
        f"{config.n_start} starts: loss at most {max(losses):.6f} at the end; right on the way "
        "between {:.0%} and {:.0%}".format(*metrics["right_on_the_way"])
    )
    record.write(__file__, config=config, metrics=metrics, seconds=seconds, record=config.record)
    record.write_picture(__file__, "stuck", draw(histories[:8]), record=config.record)
    close(config, seconds / config.n_start)
    return metrics


def probability(history: dict[str, np.ndarray]) -> np.ndarray:
    """(epochs, 4): what the unit said to each input at the start and after every step."""
    z = np.einsum("bd,eod->eb", INPUTS, history["weight"]) + history["bias"]  # (epochs, 4)
    return sigmoid(z)


def share_right(probabilities: np.ndarray) -> np.ndarray:
    """(epochs,): the share of right answers, 1 where the rounded probability reaches one half."""
    answers = probabilities.round(DIGITS) >= 0.5
    return (answers == TARGETS[:, 0]).mean(axis=1)


def report(history: dict[str, np.ndarray], probabilities: np.ndarray, right: np.ndarray) -> None:
    """Print the first start at some epochs, closer together at its beginning."""
    last = len(right) - 1
    print(
        "epoch    loss  weights           bias    "
        + "   ".join(f"p({n})" for n in NAMES)
        + "  right"
    )
    for epoch in sorted({0, *(e for e in (1, 2, 5, 10, 20, 50, 100, 200, 500) if e < last), last}):
        weights = [*history["weight"][epoch, 0], *history["bias"][epoch]]
        first, second, bias = np.round(weights, 4) + 0.0  # and no -0
        said = "  ".join(f"{p:.6f}" for p in probabilities[epoch])
        print(
            f"{epoch:5}  {history['loss'][epoch]:.4f}  {first:+.4f} {second:+.4f}  {bias:+.4f}  "
            f"{said}  {right[epoch]:5.0%}"
        )


def draw(histories: list[dict[str, np.ndarray]]) -> Figure:
    """Losses of several starts, and the four probabilities of the one that starts worst."""
    figure, axes = plotting.figure(8.0, 3.6, columns=2)
    figure.suptitle("One layer on XOR: a coin")
    solid = {"linestyle": "-", "color": plotting.PALETTE[0]}
    for history in histories:
        axes[0].plot(history["loss"][: SHOWN + 1], linewidth=1.2, alpha=0.7, **solid)
    axes[0].axhline(math.log(2), color=plotting.PALETTE[1], linestyle="--", label="ln 2")
    axes[0].set(title=f"Loss from {len(histories)} random starts", ylabel="loss in nats")
    axes[0].set(xlabel="epoch", ylim=(0, None))
    axes[0].legend(loc="lower right")
    probabilities = probability(max(histories, key=lambda history: history["loss"][0]))
    for column, (name, target, dash) in enumerate(
        zip(NAMES, TARGETS[:, 0], ("-", "-", "--", "--"), strict=True)
    ):
        curve, colour = probabilities[: SHOWN + 1, column], plotting.PALETTE[column]
        axes[1].plot(curve, color=colour, linestyle=dash, label=f"{name}, target {target:.0f}")
    axes[1].set(title="What the worst of them says", xlabel="epoch", ylim=(0, 1))
    axes[1].set_ylabel("probability of 1")
    axes[1].legend(loc="lower right", ncols=2)
    return figure


def close(config: Config, seconds: float) -> None:
    """Print the costs of one training run, and what to think about."""
    script.close(
        [
            ("parameters", "3", "inputs + 1"),
            ("memory", "24 bytes, and 24 of gradients", "8 bytes for each, in float64"),
            (
                "operations",
                f"16 multiply-adds a step, {16 * config.n_epoch:,} in all",
                "2 x examples x inputs a step: forward, and the gradient of the weights",
            ),
            ("time", f"{seconds:.3f} s a start", "steps x examples x inputs"),
        ],
        [
            "At p = 1/2 everywhere, what does each example ask of the bias? And of the weights?",
            "Three of four are right with the line of OR. Why does the loss not stop there?",
            "Which one input, made of the other two, would let one layer solve XOR?",
        ],
    )


if __name__ == "__main__":
    script.run(main, Config)
