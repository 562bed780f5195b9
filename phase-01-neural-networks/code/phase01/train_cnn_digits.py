"""Milestone 1998, first half: shared weights read digits, also where none stood before.

    uv run journal run phase01.train_cnn_digits

A convolutional network (`phase01.cnn`) and a multilayer perceptron (`phase01.mlp`) with about as
many parameters learn the same 8 x 8 digits, equally long. Then both read test digits as they are,
and moved by a pixel in each of eight directions. The perceptron has a weight for every pixel, so a
digit that has moved is another input; the filters of a convolution find a stroke wherever it went.
Its last layer has a weight for every place, and so it is not indifferent to moves, only less
troubled. In their place, which they fill, the digits are about as easy for both: of 200 one alone
is half a percent.

The last 200 of the 1,000 training digits are not trained on: epochs and learning rate were chosen
by them, and `--validate` judges by them. Without it the 200 test digits judge, and are read once.

Left out: images that are moved while training (`phase01.train_cnn` does that), by which the
perceptron too would learn what the convolution has from the start.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from journal import data, plotting, record, script
from phase01.cnn import CNN, CNNConfig, n_multiply_add
from phase01.images import channel_statistics, digits_from_bytes, standardized
from phase01.mlp import MLP, MLPConfig
from phase01.optimizers import Adam
from phase01.schedules import cosine

N_CLASS = 10
N_VALID = 200  # of the training digits, the last
MOVES = (-1, 0, 1)  # pixels, down and across
NAMES = ("convolution", "perceptron")

Model = CNN | MLP
Scales = tuple[np.ndarray, np.ndarray]  # mean and deviation of the pixels
Images = tuple[np.ndarray, np.ndarray]  # (N, 1, 8, 8) pixels and (N,) labels, both uint8


@dataclass(frozen=True)
class Config:
    filters: tuple[int, ...] = (16, 32)
    """of the convolutional network's blocks"""
    hidden: int = 80
    """units in the perceptron's hidden layer: with 80 it has as many parameters"""
    n_epoch: int = 20
    batch_size: int = 25
    learning_rate: float = 0.01
    """of Adam, in the first step; then it falls in half a cosine"""
    validate: bool = False
    """judge by the validation digits, and leave the test set unread"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        if self.n_epoch < 1:
            raise ValueError(f"n_epoch must be 1 or more, not {self.n_epoch}")
        if not 2 <= self.batch_size <= 1000 - N_VALID:
            raise ValueError(f"batch_size must be from 2 to 800, not {self.batch_size}")


def main(config: Config) -> dict[str, Any]:
    """Train both, move the digits; returns what each reads right, and what it took."""
    started = time.perf_counter()
    images, labels = digits_from_bytes(data.read_bytes("tinydigits/train.npz"))
    training = images[:-N_VALID], labels[:-N_VALID]
    scales = channel_statistics(training[0])
    if config.validate:
        judge = images[-N_VALID:], labels[-N_VALID:]
    else:
        judge = digits_from_bytes(data.read_bytes("tinydigits/test.npz"))
    metrics: dict[str, Any] = {"judged_on": "validation" if config.validate else "test"}
    curves = {}
    models = {name: network(name, config) for name in NAMES}
    for name, model in models.items():
        began = time.perf_counter()
        curves[name] = train(config, model, training, scales)
        seconds = time.perf_counter() - began
        metrics[name] = judged(model, judge, scales) | {
            "n_parameter": model.n_parameter,
            "seconds": round(seconds, 3),
        }
        print_findings(name, metrics[name])
    metrics |= {"n_train": len(training[1]), "n_multiply_add": n_multiply_add(shape(config))}
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "losses": {name: np.round(c, 5) for name, c in curves.items()}},
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    record.write_picture(__file__, "curve", draw_curve(curves), record=config.record)
    record.write_picture(__file__, "moves", draw_moves(metrics), record=config.record)
    close(config, metrics)
    return metrics


# ---- the two networks --------------------------------------------------------------------


def shape(config: Config) -> CNNConfig:
    """What the convolutional network looks like."""
    return CNNConfig((1, 8, 8), config.filters, N_CLASS, batch_norm=True)


def network(name: str, config: Config) -> Model:
    """The network of that name with new weights."""
    rng = np.random.default_rng(config.seed)
    if name == "convolution":
        return CNN(shape(config), rng)
    return MLP(MLPConfig((64, config.hidden, N_CLASS), batch_norm=True), rng)


def inputs(model: Model, pixels: np.ndarray, scales: Scales) -> np.ndarray:
    """Images as the network wants them: the perceptron takes a row of 64 numbers."""
    x = standardized(pixels, *scales)  # (N, 1, 8, 8)
    return x if isinstance(model, CNN) else x.reshape(len(x), -1)  # (N, 64)


def train(config: Config, model: Model, training: Images, scales: Scales) -> list[float]:
    """Train the network; the mean loss of each epoch, in nats."""
    rng = np.random.default_rng(config.seed)  # both networks see the same batches
    images, labels = training
    x = inputs(model, images, scales)
    optimizer = Adam(model.params, config.learning_rate)
    n_batch = len(x) // config.batch_size  # an incomplete one at the end is left out
    total = config.n_epoch * n_batch
    losses = np.zeros((config.n_epoch, n_batch))
    for epoch in range(config.n_epoch):
        order = rng.permutation(len(x))[: n_batch * config.batch_size]
        for step, chosen in enumerate(order.reshape(n_batch, config.batch_size)):
            losses[epoch, step], cache = model.forward(x[chosen], labels[chosen], rng)
            optimizer.learning_rate = cosine(optimizer.n_steps, config.learning_rate, total)
            optimizer.step(model.backward(cache))
    return losses.mean(axis=1).tolist()


# ---- moved digits ------------------------------------------------------------------------


def moved(images: np.ndarray, down: int, across: int) -> np.ndarray:
    """The images moved by at most a pixel; what comes in is paper, what goes out is lost."""
    height, width = images.shape[2:]
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))  # (N, 1, H + 2, W + 2)
    return padded[:, :, 1 - down : 1 - down + height, 1 - across : 1 - across + width]


def judged(model: Model, judge: Images, scales: Scales) -> dict[str, Any]:
    """The share of right answers for the digits as they are, and moved."""
    images, labels = judge
    shares = np.zeros((len(MOVES), len(MOVES)))  # a row for each move down, a column across
    for row, column in np.ndindex(shares.shape):
        x = inputs(model, moved(images, MOVES[row], MOVES[column]), scales)
        shares[row, column] = np.mean(model.predict(x) == labels)
    still = shares[1, 1]
    return {
        "accuracy": round(float(still), 4),
        "moved_accuracy": round(float((shares.sum() - still) / (shares.size - 1)), 4),
        "by_move": shares.round(4).tolist(),
    }


def print_findings(name: str, found: dict[str, Any]) -> None:
    """One line for a network."""
    print(
        f"{name}: {found['n_parameter']:,} parameters, {found['seconds']:.1f} s, right are "
        f"{found['accuracy']:.1%} of the digits and {found['moved_accuracy']:.1%} of them moved"
    )


# ---- how it is drawn ---------------------------------------------------------------------


def draw_curve(curves: dict[str, list[float]]) -> Figure:
    """The loss of both networks after each epoch."""
    figure, ax = plotting.figure(6.4, 3.6)
    for name, losses in curves.items():
        ax.plot(range(1, len(losses) + 1), losses, "o-", markersize=3, label=name)
    ax.set(title="Loss while learning 800 digits", xlabel="epoch", ylabel="nats a digit")
    ax.set_yscale("log")
    ax.locator_params(axis="x", integer=True)
    ax.legend()
    return figure


def draw_moves(metrics: dict[str, Any]) -> Figure:
    """What each network reads right of digits moved up, down, left and right."""
    figure, axes = plotting.figure(7.0, 3.7, columns=len(NAMES))
    figure.suptitle(f"Right answers for moved digits, % of the {metrics['judged_on']} set")
    for ax, name in zip(axes, NAMES, strict=True):
        shares = 100 * np.array(metrics[name]["by_move"])
        ax.imshow(shares, vmin=0, vmax=100)
        for row, column in np.ndindex(shares.shape):
            colour = "black" if shares[row, column] > 50 else "white"
            ax.text(column, row, f"{shares[row, column]:.1f}", ha="center", va="center", c=colour)
        ax.set(title=name, xlabel="pixels to the right", ylabel="pixels down")
        ax.set_xticks(range(len(MOVES)), [str(move) for move in MOVES])
        ax.set_yticks(range(len(MOVES)), [str(move) for move in MOVES])
        ax.grid(visible=False)
        ax.spines[:].set_visible(False)
    return figure


def close(config: Config, metrics: dict[str, Any]) -> None:
    """Print the costs of the convolutional network, and what to think about."""
    found = metrics["convolution"]
    operations = 3 * metrics["n_multiply_add"] * config.n_epoch * metrics["n_train"]
    numbers = max(math.prod(block) for block in shape(config).shapes[:-1])  # that a block reads
    copied = 4 * 9 * config.batch_size * numbers  # bytes
    script.close(
        [
            (
                "parameters",
                f"{found['n_parameter']:,}",
                "filters x channels x 9; the image's size counts in the last layer only",
            ),
            (
                "memory",
                f"{copied / 1e6:.2f} MB in the largest block",
                "batch x places x channels x 9: every number is copied into its windows",
            ),
            (
                "operations",
                f"{operations:.1e} multiply-adds",
                "images x places x weights; backward is about twice forward",
            ),
            ("time", f"{found['seconds']:.1f} s", "as the operations"),
        ],
        [
            "Both networks have about as many parameters. Why does one need many more operations?",
            "A convolution is indifferent to where a stroke is. Which part of the network is not?",
            "How would you teach the perceptron to read moved digits, and what would it cost?",
        ],
    )


if __name__ == "__main__":
    script.run(main, Config)
