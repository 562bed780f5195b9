"""Milestone 1986, first half: an MLP learns to read 8 x 8 digits, in a second.

    uv run journal run phase01.train_digits
    uv run journal run phase01.train_digits --validate --hidden 4
    uv run journal run phase01.train_digits --activation sigmoid --learning-rate 1

The same code as `phase01.train_mnist`, on a thousand digits of 64 pixels and one small hidden
layer: small enough to try every option in the time that one epoch takes there. The recipe was
chosen on the training digits alone (`--validate` holds the last sixth of them back); the 200 test
digits are judged once, at the end. Each of them is half a percent, so two runs that differ by two
or three of them are equals.

Four pictures: the learning curve, the confusion matrix, the digits that it got wrong, and the
weights of its units. Left out: what a convolution makes of these digits
(`phase01.train_cnn_digits`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from journal import data, script
from phase01.images import LARGEST_PIXEL, digits_from_bytes
from phase01.train_mnist import Images, Recipe, costs, experiment, split


@dataclass(frozen=True)
class Config(Recipe):
    hidden: tuple[int, ...] = (128,)
    n_epoch: int = 30
    batch_size: int = 20
    learning_rate: float = 0.1
    weight_decay: float = 0.0


def main(config: Config) -> dict[str, Any]:
    """Train, judge once, draw; returns the accuracy, by class too, and what it took."""
    training = read("train")
    training, judge = split(training) if config.validate else (training, read("test"))
    metrics = experiment(__file__, config, "8 x 8 digits", training, judge)
    n_judge = len(judge.labels)
    script.close(
        costs(config, metrics),
        [
            f"{metrics['n_wrong']} of {n_judge} digits are wrong. How much could that number "
            "change with another seed, and with other digits? Try --validate --seed 1, 2, 3.",
            "How few hidden units are enough? Try --hidden 8, 4, 2, and no number at all.",
            "With --activation sigmoid at the same learning rate it learns more slowly. Which "
            "factor of the backward pass is smaller?",
        ],
    )
    return metrics


def read(part: str) -> Images:
    """The digits of the part "train" or "test"."""
    pixels, labels = digits_from_bytes(data.read_bytes(f"tinydigits/{part}.npz"), f"digits, {part}")
    return Images(pixels[:, 0] * np.float32(1 / LARGEST_PIXEL), labels)


if __name__ == "__main__":
    script.run(main, Config)
