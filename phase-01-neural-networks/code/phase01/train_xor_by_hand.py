"""Milestone 1969, the solution: a hidden layer of two sigmoids learns XOR, gradient by gradient.

    uv run journal run phase01.train_xor_by_hand [--every 1] [--seed 0] [--record]

The weights are printed as training goes (at each epoch with `--every 1`), and at a few epochs every
gradient with the formula that gives it, as in `phase01.xor.gradients`. A step then takes the
learning rate times these numbers away from the weights.

Two hidden units are as few as will do, and can be drawn: each has a line in the square of inputs,
and both together are a plane of their own, in which a line separates what none separated before.
Few units also fail from many starts: they come to say nearly the same to two or three of the
inputs, whatever the target, as one layer does to all four. How many starts are solved is counted
for two units and for more. Solved means a final loss below 0.1 nats: then every answer is right,
as one that is wrong costs at least ln(2) / 4 = 0.17.
"""

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from journal import plotting, record, script
from phase01.xor import INPUTS, TARGETS, forward, gradients, sigmoid, train, train_one_layer

N_HIDDEN = 2  # of the network that is watched and drawn
SOLVED = 0.1  # nats
NAMES = ("weight1", "bias1", "weight2", "bias2")
PANELS = (0, 0.1, 0.2, 0.25, 0.4, 1)  # the epochs that are drawn, as shares of all
SURFACE = LinearSegmentedColormap.from_list(
    "probability", [plotting.PALETTE[0], "#f4f4f4", plotting.PALETTE[1]]
)


@dataclass(frozen=True)
class Config:
    learning_rate: float = 2.0
    n_epoch: int = 1000
    """steps, each on all four examples"""
    every: int = 50
    """epochs from one printed line of weights to the next"""
    gradients_at: tuple[int, ...] = (0, 100, 200, 1000)
    """epochs at which every gradient is printed"""
    widths: tuple[int, ...] = (2, 3, 4, 8)
    """numbers of hidden units for which the solved starts are counted"""
    n_start: int = 100
    """random starts for each of them"""
    seed: int = 0
    """of the network that is watched; the starts count on from it"""
    record: bool = False

    def __post_init__(self) -> None:
        for name in ("n_epoch", "every", "n_start"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if N_HIDDEN not in self.widths or min(self.widths) < 1:
            raise ValueError(
                f"widths must be 1 or more and have {N_HIDDEN} among them, not {self.widths}"
            )
        if self.gradients_at and min(self.gradients_at) < 0:
            raise ValueError(f"gradients_at must be epochs from 0 up, not {self.gradients_at}")


def main(config: Config) -> dict[str, Any]:
    """Train and watch one network, then count the starts that succeed; returns both."""
    started = time.perf_counter()
    history = fit(config, N_HIDDEN, config.seed)
    seconds = time.perf_counter() - started
    watch(history, config)
    right = share_right(history)
    losses = {width: losses_of_starts(config, width) for width in config.widths}
    metrics = {
        "loss": round(float(history["loss"][-1]), 5),
        "right": float(right[-1]),
        "all_right_from_epoch": all_right_from(right),
        "probabilities": said(history, -1).round(4).tolist(),
        "starts": config.n_start,
        "widths": [summary(width, found[:, -1]) for width, found in losses.items()],
    }
    one_layer = train_one_layer(
        INPUTS,
        TARGETS,
        np.random.default_rng(config.seed),
        learning_rate=config.learning_rate,
        n_epoch=config.n_epoch,
    )
    stuck = [curve for curve in losses[N_HIDDEN] if curve[-1] >= SOLVED][:1]
    record.write(
        __file__,
        config=config,
        metrics=metrics,
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    for name, figure in (
        ("loss", draw_losses(one_layer["loss"], history["loss"], stuck)),
        ("surface", draw_surfaces(history)),
        ("hidden", draw_hidden(history)),
    ):
        record.write_picture(__file__, name, figure, record=config.record)
    close(config, seconds)
    return metrics


# ---- watching one network --------------------------------------------------------------------


def fit(config: Config, n_hidden: int, seed: int) -> dict[str, np.ndarray]:
    """The history of one network from the start that this seed gives."""
    return train(
        INPUTS,
        TARGETS,
        np.random.default_rng(seed),
        n_hidden=n_hidden,
        learning_rate=config.learning_rate,
        n_epoch=config.n_epoch,
    )


def said(history: dict[str, np.ndarray], epoch: int, x: np.ndarray = INPUTS) -> np.ndarray:
    """(B,): the probability of 1 that the network of an epoch gives to each input."""
    return sigmoid(forward(x, *(history[name][epoch] for name in NAMES))[1])[:, 0]


def share_right(history: dict[str, np.ndarray]) -> np.ndarray:
    """(epochs,): the share of the four answers that are right at each epoch."""
    epochs = range(len(history["loss"]))
    answers = np.array([said(history, epoch) >= 0.5 for epoch in epochs])  # (epochs, 4)
    return (answers == TARGETS[:, 0]).mean(axis=1)


def all_right_from(right: np.ndarray) -> int | None:
    """The epoch after the last one with a wrong answer; None where that was the last of all."""
    epoch = int(np.flatnonzero(right < 1).max(initial=-1)) + 1
    return epoch if epoch < len(right) else None


def watch(history: dict[str, np.ndarray], config: Config) -> None:
    """Print the weights as they change, and at the chosen epochs every gradient."""
    print(f"epoch    loss   {'weight1':32}{'bias1':16}{'weight2':16}bias2")
    for epoch, loss in enumerate(history["loss"]):
        if epoch % config.every == 0 or epoch in config.gradients_at or epoch == config.n_epoch:
            weights = "".join(numbers(history[name][epoch], "+8.3f") for name in NAMES)
            print(f"{epoch:5}  {loss:6.4f} {weights}")
        if epoch in config.gradients_at:
            print_gradients(*(history[name][epoch] for name in NAMES))


def print_gradients(
    weight1: np.ndarray, bias1: np.ndarray, weight2: np.ndarray, bias2: np.ndarray
) -> None:
    """Print every gradient with its formula, from the loss backwards.

    What belongs to the examples stands in four columns, what belongs to the hidden units in two
    rows. An example alone has its dz2 and dz1 as gradients of the biases; averaged with three
    others it has a quarter of them.
    """
    hidden, z2 = forward(INPUTS, weight1, bias1, weight2, bias2)
    alone = [
        gradients(INPUTS[i], TARGETS[i], hidden[i], z2[i], weight2)
        for i in (slice(k, k + 1) for k in range(len(INPUTS)))
    ]
    dz2 = np.array([dbias2 for *_, dbias2 in alone]) / len(INPUTS)  # (4, 1)
    dz1 = np.array([dbias1 for _, dbias1, *_ in alone]) / len(INPUTS)  # (4, H)
    dweight1, dbias1, dweight2, dbias2 = gradients(INPUTS, TARGETS, hidden, z2, weight2)
    for formula, values in (
        ("p        = sigmoid(z2)", sigmoid(z2).T),
        ("dz2      = (p - t) / 4", dz2.T),
        ("dweight2 = dz2^T hidden", dweight2),
        ("dbias2   = sum of dz2", dbias2),
        ("dhidden  = dz2 W2", (dz2 @ weight2).T),
        ("dz1      = dhidden hidden (1 - hidden)", dz1.T),
        ("dweight1 = dz1^T x", dweight1),
        ("dbias1   = sum of dz1", dbias1),
    ):
        for row, label in zip(np.atleast_2d(values), (formula, ""), strict=False):
            print(f"         {label:38}{numbers(row, '+8.4f')}")


def numbers(values: np.ndarray, form: str) -> str:
    """The numbers of an array in a row."""
    return "".join(f"{value:{form}}" for value in values.ravel())


# ---- many starts -----------------------------------------------------------------------------


def losses_of_starts(config: Config, n_hidden: int) -> np.ndarray:
    """(n_start, n_epoch + 1): the loss from every start."""
    seeds = range(config.seed, config.seed + config.n_start)
    return np.array([fit(config, n_hidden, seed)["loss"] for seed in seeds])


def summary(n_hidden: int, final: np.ndarray) -> dict[str, Any]:
    """Print and return how many starts are solved, and the losses at which the others stand."""
    failed = Counter(np.sort(final[final >= SOLVED]).round(2).tolist())
    share = float((final < SOLVED).mean())
    stand = ", ".join(f"{count} at {loss:.2f}" for loss, count in failed.items())
    print(f"{n_hidden} hidden units: {share:.0%} of {len(final)} starts solved", end="")
    print(f"; the loss of the others: {stand}" if failed else "")
    return {
        "n_hidden": n_hidden,
        "solved": round(share, 4),
        "losses_of_the_others": [list(pair) for pair in failed.items()],
    }


# ---- how it is drawn and closed --------------------------------------------------------------


def draw_losses(one_layer: np.ndarray, hidden: np.ndarray, stuck: Sequence[np.ndarray]) -> Figure:
    """The loss of one layer, of a hidden layer, and of a start from which that fails."""
    figure, ax = plotting.figure(6.6, 3.8)
    ax.plot(one_layer, label="one layer")
    ax.plot(hidden, label=f"{N_HIDDEN} hidden units")
    for curve in stuck:
        ax.plot(curve, label=f"{N_HIDDEN} hidden units, a start that fails")
    for level, name in ((math.log(2), "ln 2"), (math.log(2) / 2, "ln 2 / 2")):
        ax.axhline(level, color=plotting.INK, linewidth=0.8, linestyle=":")
        ax.annotate(
            name,
            (1, level),
            (3, 0),
            xycoords=("axes fraction", "data"),
            size=9,
            textcoords="offset points",
            va="center",
        )
    ax.set(title="XOR: the loss with and without a hidden layer", xlabel="epoch")
    ax.set(ylabel="loss in nats", ylim=(0, None))
    ax.legend(loc="upper right", bbox_to_anchor=(1, 0.85))
    return figure


def draw_surfaces(history: dict[str, np.ndarray]) -> Figure:
    """The probability of 1 over the square, from the start of training to its end."""
    figure, axes = plotting.figure(8.0, 5.6, rows=2, columns=3)
    figure.suptitle("XOR: the probability of 1 over the square of inputs, as training goes")
    side = np.linspace(-0.4, 1.4, 21)
    grid = np.stack(np.meshgrid(side, side), axis=-1)  # (21, 21, 2)
    levels = np.linspace(0, 1, 9).tolist()
    filled = []
    for ax, share in zip(axes.flat, PANELS, strict=True):
        epoch = round(share * (len(history["loss"]) - 1))
        surface = said(history, epoch, grid.reshape(-1, 2)).reshape(grid.shape[:2])
        filled.append(ax.contourf(side, side, surface, levels, cmap=SURFACE))
        if surface.min() < 0.5 < surface.max():
            ax.contour(side, side, surface, [0.5], colors="black", linewidths=1)
        draw_examples(ax, INPUTS)
        ax.set(title=f"epoch {epoch}, loss {history['loss'][epoch]:.3f}", aspect="equal")
        ax.set(xticks=(0, 1), yticks=(0, 1))
        ax.grid(visible=False)
    for ax in axes[:, 0]:
        ax.set_ylabel("$x_2$")
    for ax in axes[1]:
        ax.set_xlabel("$x_1$")
    figure.colorbar(filled[0], ax=axes, label="probability of 1", shrink=0.8, ticks=[0, 0.5, 1])
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def draw_hidden(history: dict[str, np.ndarray]) -> Figure:
    """Left each unit's line in the square of inputs; right the four points as the units see them.

    Inputs that end at the same place share a name.
    """
    figure, axes = plotting.figure(8.0, 4.2, columns=2)
    figure.suptitle("What the two hidden units do for XOR")
    weight1, bias1, weight2, bias2 = (history[name][-1] for name in NAMES)
    for unit in range(N_HIDDEN):
        style = {"color": plotting.PALETTE[unit], "label": f"unit {unit + 1} is at 1/2"}
        plotting.draw_line(axes[0], weight1[unit], float(bias1[unit]), **style)
    draw_examples(axes[0], INPUTS)
    axes[0].set(title="Inputs: two lines", xlabel="$x_1$", ylabel="$x_2$")
    epochs = range(len(history["loss"]))
    params = ([history[name][epoch] for name in NAMES] for epoch in epochs)
    paths = np.array([forward(INPUTS, *each)[0] for each in params])  # (epochs, 4, 2)
    for path in paths.transpose(1, 0, 2):
        axes[1].plot(*path.T, color=plotting.PALETTE[4], linewidth=1)
    plotting.draw_line(
        axes[1], weight2[0], float(bias2[0]), color=plotting.PALETTE[2], label="the answer is 1/2"
    )
    draw_examples(axes[1], paths[-1])
    for place, names in name_places(paths[-1]).items():
        axes[1].annotate(names, place, (7, 7), textcoords="offset points", size=9)
    axes[1].plot([], [], color=plotting.PALETTE[4], linewidth=1, label="way from the start")
    axes[1].set(title="Hidden layer: one line", xlabel="unit 1", ylabel="unit 2")
    for ax in axes:
        ax.set(xlim=(-0.25, 1.25), ylim=(-0.25, 1.25), aspect="equal")
        ax.set(xticks=(0, 1), yticks=(0, 1))
        ax.grid(visible=False)
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    return figure


def name_places(places: np.ndarray) -> dict[tuple[float, ...], str]:
    """The inputs that lie at each place, to a tenth: `{(0.1, 1.0): "0 1, 1 0"}`."""
    named: dict[tuple[float, ...], list[str]] = {}
    for place, (first, second) in zip(places.round(1).tolist(), INPUTS.astype(int), strict=True):
        named.setdefault(tuple(place), []).append(f"{first} {second}")
    return {place: ", ".join(names) for place, names in named.items()}


def draw_examples(ax: Axes, places: np.ndarray) -> None:
    """The four examples: white where the target is 1, black where it is 0, with their inputs."""
    for target, face, edge in ((1, "white", "black"), (0, "black", "white")):
        chosen = places[TARGETS[:, 0] == target]
        ax.scatter(*chosen.T, s=60, color=face, edgecolor=edge, label=f"target {target}", zorder=3)


def close(config: Config, seconds: float) -> None:
    """Print the costs of one training run, and what to think about."""
    script.close(
        [
            ("parameters", "9 with 2 hidden units", "hidden x (inputs + 2) + 1"),
            ("memory", "72 bytes, and 72 of gradients", "8 bytes for each, in float64"),
            (
                "operations",
                f"24 multiply-adds forward and 32 back a step, {56 * config.n_epoch:,} in all",
                "examples x hidden x (2 x inputs + 3) a step",
            ),
            ("time", f"{seconds:.2f} s", "steps x examples x parameters"),
        ],
        [
            "What does each hidden unit answer? Name the gates.",
            "Why does the loss stay near ln 2 at first, and then fall at once?",
            "What is different in a start that ends at ln 2 / 2? What would you change?",
            "Two units suffice. Why do eight fail less often?",
        ],
    )


if __name__ == "__main__":
    script.run(main, Config)
