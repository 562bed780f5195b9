"""Milestone 1998, second half: a convolutional network learns to tell cats from trucks.

    uv run journal run phase01.train_cnn

CIFAR-10 is 60,000 colour photographs of 32 x 32 pixels in ten classes. Three blocks of
`phase01.cnn` (3 x 3 convolution, max pooling, batch norm, ReLU) and a linear layer read them. The
last 5,000 of the 50,000 training images are never trained on: the recipe was tried out by them, and
their accuracy is printed after each epoch. The 10,000 test images are read once, when training is
over; with `--validate` they are not read, and the validation images take their place. In every
epoch each image comes as it is or mirrored, moved by up to four pixels.

The learning rate rises in a straight line for a fifth of the steps, then falls in half a cosine.
One seed gives one result, on one machine with one number of threads. Ctrl-C prints the curve so
far, as json.

Four pictures: the learning curve, the filters of the first block before and after, the images that
the network was most sure of and wrong about, and what the convolutions would cost as dense layers.
Left out: saving the network, and what gives more accuracy today (deeper networks with residual
connections, longer training).
"""

import json
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from journal import data, plotting, record, script
from phase00.probability import softmax
from phase01.cnn import CNN, CNNConfig, conv_parameters, dense_parameters, n_multiply_add
from phase01.evaluation import confusion_matrix, require_finite
from phase01.images import (
    CIFAR10_NAMES,
    CIFAR10_SHAPE,
    channel_statistics,
    cifar10_from_bytes,
    flipped,
    read_cifar10,
    read_cifar10_archive,
    shifted,
    standardized,
)
from phase01.optimizers import SGD
from phase01.schedules import cosine

ARCHIVE, RECORDS = "cifar-10-binary", "cifar-10"  # sets of the registry
FILES = {"train": [f"data_batch_{i}.bin.xz" for i in range(1, 6)], "test": ["test_batch.bin.xz"]}
Scales = tuple[np.ndarray, np.ndarray]  # mean and deviation of each channel
WARMUP = 0.2  # the share of the steps in which the learning rate rises
N_MISTAKES = 12  # that are drawn


@dataclass(frozen=True)
class Config:
    data: str = ""
    """cifar-10 (record files of your own), cifar-10-binary (the public archive), or a folder with
    record files; without it cifar-10 where that is, else the archive"""
    filters: tuple[int, ...] = (32, 64, 128)
    """of each block"""
    n_epoch: int = 10
    batch_size: int = 64
    learning_rate: float = 0.05
    """at its peak"""
    momentum: float = 0.9
    weight_decay: float = 5e-4
    dropout: float = 0.0
    """the share of the last layer's inputs that is dropped"""
    shift: int = 4
    """pixels by which a training image is moved at most"""
    n_valid: int = 5000
    """of the training images, the last: never trained on"""
    validate: bool = False
    """judge by the validation images, and leave the test set unread"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        for name in ("n_epoch", "batch_size", "n_valid"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")


class Images(NamedTuple):
    """Photographs and what they show."""

    pixels: np.ndarray  # (N, 3, 32, 32), uint8
    labels: np.ndarray  # (N,), uint8


class Point(NamedTuple):
    """How far it is after an epoch: of the loss the mean over its steps, in nats."""

    epoch: int
    loss: float
    train_accuracy: float
    valid_accuracy: float
    seconds: float


def main(config: Config) -> dict[str, Any]:
    """Train, judge once, draw; returns the accuracy by class and what it took."""
    started, cpu_started = time.perf_counter(), time.process_time()
    source, training, validation = load(config)
    scales = channel_statistics(training.pixels)
    rng = np.random.default_rng(config.seed)
    model = network(config, rng)
    print(f"{source}: {len(training.labels):,} images to train on, {config.n_valid:,} to validate")
    print(
        f"{model.n_parameter:,} parameters, {n_multiply_add(model.config):,} multiply-adds an image"
    )
    before = model.params["convs.0.weight"].copy()
    curve = train(config, model, training, validation, scales, rng)

    judge = validation if config.validate else read(source, "test")
    probabilities = softmax(model.logits(standardized(judge.pixels, *scales)))  # (N, V)
    answers = probabilities.argmax(axis=1)  # (N,)
    confusion = confusion_matrix(judge.labels, answers, probabilities.shape[1])  # (V, V)
    metrics = {
        "data": source,
        "judged_on": "validation" if config.validate else "test",
        **judged(confusion),
        "train_accuracy": curve[-1].train_accuracy,
        "valid_accuracy": curve[-1].valid_accuracy,
        **costs(config, len(training.labels), curve[-1].seconds),
        "cpu_seconds": round(time.process_time() - cpu_started, 1),
    }
    print_by_class(metrics)
    written = {
        **metrics,
        "curve": [point._asdict() for point in curve],
        "confusion": confusion.tolist(),
        "layer_parameters": layer_parameters(model.config),
    }
    seconds = time.perf_counter() - started
    record.write(__file__, config=config, metrics=written, seconds=seconds, record=config.record)
    for name, figure in (
        ("curve", draw_curve(curve, metrics)),
        ("filters", draw_filters(before, model.params["convs.0.weight"])),
        ("mistakes", draw_mistakes(judge, probabilities)),
        ("parameters", draw_parameters(layer_parameters(model.config))),
    ):
        record.write_picture(__file__, name, figure, record=config.record)
    close(metrics)
    return metrics


# ---- the images --------------------------------------------------------------------------


def load(config: Config) -> tuple[str, Images, Images]:
    """Where the images come from, those to train on, and those to validate by."""
    here = all(data.find(f"{RECORDS}/{name}") for name in FILES["train"] + FILES["test"])
    source = config.data or (RECORDS if here else ARCHIVE)
    if source not in (ARCHIVE, RECORDS) and not config.validate:
        record_files(source, "test")  # better missed now than after the training
    everything = read(source, "train")
    n_train = len(everything.labels) - config.n_valid
    if n_train < config.batch_size:
        raise ValueError(
            f"{len(everything.labels)} training images are too few for {config.n_valid} to "
            f"validate by and a batch of {config.batch_size}: lower n_valid or batch_size"
        )
    training = Images(everything.pixels[:n_train], everything.labels[:n_train])
    return source, training, Images(everything.pixels[n_train:], everything.labels[n_train:])


def read(source: str, part: str) -> Images:
    """The images of the part "train" or "test"."""
    if source == ARCHIVE:
        return Images(*read_cifar10_archive(data.fetch(f"{ARCHIVE}/{ARCHIVE}.tar.gz"), part))
    if source == RECORDS:
        names = [f"{RECORDS}/{name}" for name in FILES[part]]
        parts = [cifar10_from_bytes(data.read_bytes(name), name) for name in names]
        return Images(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    return Images(*read_cifar10(record_files(source, part)))


def record_files(folder: str, part: str) -> list[Path]:
    """The record files of a part, packed by xz or plain; FileNotFoundError where one is missing."""
    paths = [Path(folder) / name for name in FILES[part]]
    paths = [path if path.exists() else path.with_suffix("") for path in paths]
    if missing := [path.name for path in paths if not path.exists()]:
        raise FileNotFoundError(
            f"{folder} has no {missing[0]}: data is {RECORDS}, {ARCHIVE} or a folder that has "
            "CIFAR-10's record files"
        )
    return paths


# ---- learning ----------------------------------------------------------------------------


def network(config: Config, rng: np.random.Generator) -> CNN:
    """The network with new weights."""
    n_class = len(CIFAR10_NAMES)
    shape = CNNConfig(
        CIFAR10_SHAPE, config.filters, n_class, dropout=config.dropout, batch_norm=True
    )
    return CNN(shape, rng)


def train(
    config: Config,
    model: CNN,
    training: Images,
    validation: Images,
    scales: Scales,
    rng: np.random.Generator,
) -> list[Point]:
    """Train the model; a point of the curve for each epoch, printed as it comes."""
    optimizer = SGD(model.params, config.learning_rate, config.momentum, config.weight_decay)
    known = Images(*(array[: config.n_valid] for array in training))  # as many as unknown ones
    curve: list[Point] = []
    started = time.perf_counter()
    print("epoch   loss   training   validation   images/s")
    try:
        for epoch in range(1, config.n_epoch + 1):
            epoch_started = time.perf_counter()
            loss = train_epoch(config, model, optimizer, training, scales, rng)
            speed = len(training.labels) / (time.perf_counter() - epoch_started)
            shares = [accuracy(model, images, scales) for images in (known, validation)]
            seconds = round(time.perf_counter() - started, 1)
            curve.append(Point(epoch, round(loss, 4), *shares, seconds))
            line = f"{epoch:>5}  {loss:.3f} {shares[0]:>9.1%} {shares[1]:>12.1%} {speed:>10.0f}"
            print(line, flush=True)
    except KeyboardInterrupt:
        print(json.dumps([point._asdict() for point in curve]))
        raise
    return curve


def train_epoch(
    config: Config,
    model: CNN,
    optimizer: SGD,
    images: Images,
    scales: Scales,
    rng: np.random.Generator,
) -> float:
    """One pass over the images in a new order, changed anew; the mean loss of the steps."""
    losses = []
    n_batch = len(images.labels) // config.batch_size  # an incomplete one at the end is left out
    total = config.n_epoch * n_batch
    order = rng.permutation(len(images.labels))[: n_batch * config.batch_size]
    for chosen in order.reshape(n_batch, config.batch_size):
        pixels = shifted(flipped(images.pixels[chosen], rng), config.shift, rng)
        loss, cache = model.forward(standardized(pixels, *scales), images.labels[chosen], rng)
        require_finite(loss, optimizer.n_steps)
        optimizer.learning_rate = cosine(
            optimizer.n_steps, config.learning_rate, total, warmup_steps=int(WARMUP * total)
        )
        optimizer.step(model.backward(cache))
        losses.append(loss)
    return float(np.mean(losses))


def accuracy(model: CNN, images: Images, scales: Scales) -> float:
    """The share of images that the model puts into their class."""
    predicted = model.predict(standardized(images.pixels, *scales))
    return round(float(np.mean(predicted == images.labels)), 4)


# ---- judging -----------------------------------------------------------------------------


def judged(confusion: np.ndarray) -> dict[str, Any]:
    """The accuracy, over all and by class: the diagonal over the sums."""
    by_class = np.diag(confusion) / np.maximum(confusion.sum(axis=1), 1)  # (V,)
    return {
        "accuracy": round(float(np.trace(confusion) / confusion.sum()), 4),
        "accuracy_by_class": dict(zip(CIFAR10_NAMES, by_class.round(4).tolist(), strict=True)),
    }


def layer_parameters(config: CNNConfig) -> dict[str, list[int]]:
    """Of each block's convolution, and of a dense layer of the same output."""
    return {"convolution": conv_parameters(config), "dense": dense_parameters(config)}


def costs(config: Config, n_train: int, seconds: float) -> dict[str, Any]:
    """What training took; the memory is what a step of a new network allocates at most."""
    rng = np.random.default_rng(config.seed)
    model = network(config, rng)
    x = rng.normal(size=(config.batch_size, *CIFAR10_SHAPE)).astype(np.float32)
    tracemalloc.start()
    _, cache = model.forward(x, np.zeros(config.batch_size, int), rng)
    model.backward(cache)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {
        "n_parameter": model.n_parameter,
        "n_multiply_add": n_multiply_add(model.config),
        "step_megabytes": round(peak / 1e6),
        "n_image": config.n_epoch * n_train,
        "training_seconds": seconds,
        "images_per_second": round(config.n_epoch * n_train / seconds),
    }


def print_by_class(metrics: dict[str, Any]) -> None:
    """The accuracy, and that of each class from the best to the worst."""
    print(f"{metrics['accuracy']:.2%} of the {metrics['judged_on']} images are right")
    by_class = metrics["accuracy_by_class"]
    for name in sorted(by_class, key=by_class.get, reverse=True):
        print(f"  {name:<11}{by_class[name]:>6.1%}")


# ---- how it is drawn ---------------------------------------------------------------------


def draw_curve(curve: list[Point], metrics: dict[str, Any]) -> Figure:
    """Loss and accuracy after each epoch, and where the accuracy ended."""
    figure, axes = plotting.figure(8.0, 3.6, columns=2)
    figure.suptitle("A convolutional network learns CIFAR-10")
    epochs = [point.epoch for point in curve]
    axes[0].plot(epochs, [point.loss for point in curve], "o-", markersize=3)
    axes[0].set(title="Loss while training", xlabel="epoch", ylabel="nats an image", ylim=0)
    for field, label in (("train_accuracy", "training images"), ("valid_accuracy", "validation")):
        shares = [100 * getattr(point, field) for point in curve]
        axes[1].plot(epochs, shares, "o-", markersize=3, label=label)
    end = 100 * metrics["accuracy"]
    label = f"{metrics['judged_on']}, at the end: {end:.1f} %"
    axes[1].axhline(end, color=plotting.PALETTE[4], linestyle="--", linewidth=1.2, label=label)
    axes[1].set(title="Accuracy", xlabel="epoch", ylabel="% right")
    axes[1].legend(loc="lower right")
    for ax in axes:
        ax.locator_params(axis="x", integer=True)
    return figure


def draw_filters(before: np.ndarray, after: np.ndarray) -> Figure:
    """The filters of the first block, each a small image: red, green and blue are its channels."""
    figure, axes = plotting.figure(7.0, 2.6, columns=2)
    figure.suptitle("What each filter of the first block answers to")
    for ax, weight, title in zip(
        axes, (before, after), ("as they were drawn", "after training"), strict=True
    ):
        ax.imshow(mosaic(weight), interpolation="none")
        ax.set(title=title, xticks=[], yticks=[])
        ax.grid(visible=False)
        ax.spines[:].set_visible(False)
    return figure


def mosaic(weight: np.ndarray, across: int = 8) -> np.ndarray:
    """All filters (F, 3, K, L) in one image with see-through seams; 0 is grey."""
    n_filter, _, height, width = weight.shape
    down = -(-n_filter // across)
    picture = np.zeros((down * (height + 1), across * (width + 1), 4))
    for i, one in enumerate(weight):
        row, column = (height + 1) * (i // across), (width + 1) * (i % across)
        tile = picture[row : row + height, column : column + width]  # (K, L, 4)
        tile[..., :3] = 0.5 + 0.5 * one.transpose(1, 2, 0) / np.abs(one).max()
        tile[..., 3] = 1
    return picture


def draw_mistakes(images: Images, probabilities: np.ndarray) -> Figure:
    """The images whose wrong answers had the highest probability, the worst first."""
    predicted = probabilities.argmax(axis=1)  # (N,)
    sureness = np.where(predicted == images.labels, -1.0, probabilities.max(axis=1))  # (N,)
    n_wrong = int(np.count_nonzero(sureness > 0))
    worst = np.argsort(-sureness)[: min(N_MISTAKES, n_wrong)]
    figure, axes = plotting.figure(7.0, 3.9, rows=2, columns=N_MISTAKES // 2)
    figure.suptitle("The surest wrong answers")
    for ax in axes.flat[len(worst) :]:
        ax.axis("off")
    for ax, i in zip(axes.flat, worst, strict=False):
        ax.set(xticks=[], yticks=[])
        ax.grid(visible=False)
        ax.imshow(images.pixels[i].transpose(1, 2, 0), interpolation="none")
        taken = f"{CIFAR10_NAMES[predicted[i]]}: {100 * probabilities[i, predicted[i]]:.1f} %"
        ax.set_title(f"{CIFAR10_NAMES[images.labels[i]]}", size=9)
        ax.set_xlabel(f"“{taken}”", size=8)
    return figure


def draw_parameters(sizes: dict[str, list[int]]) -> Figure:
    """The parameters of each block's convolution beside those of a dense layer, on a log scale."""
    figure, ax = plotting.figure(6.4, 3.6)
    blocks = np.arange(len(sizes["dense"]))
    for shift, (name, counts) in zip((-0.2, 0.2), sizes.items(), strict=True):
        bars = ax.bar(blocks + shift, counts, width=0.38, label=name)
        ax.bar_label(bars, [f"{count:,}" for count in counts], size=8, padding=2)
    ax.set(title="Parameters for the same inputs and outputs", yscale="log", ylabel="parameters")
    ax.set_xticks(blocks, [f"block {i + 1}" for i in blocks])
    ax.margins(y=0.15)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def close(metrics: dict[str, Any]) -> None:
    """Print the costs of learning, and what to think about."""
    operations = 3 * metrics["n_multiply_add"] * metrics["n_image"]
    script.close(
        [
            (
                "parameters",
                f"{metrics['n_parameter']:,}",
                "filters x channels x window; the image's size counts in the last layer only",
            ),
            (
                "memory",
                f"{metrics['step_megabytes']:,} MB for a step",
                "batch x places x channels x window: every number is copied into its windows",
            ),
            (
                "operations",
                f"{operations:.1e} multiply-adds",
                "images x places x weights; backward is twice forward",
            ),
            ("time", f"{metrics['training_seconds']:,.0f} s", "as the operations"),
        ],
        [
            "A dense layer could compute all that a convolution does. What keeps it from learning "
            "that?",
            "Cats and dogs are confused more than ships and frogs. Is that the network's fault?",
            "The filters of the first block see 3 x 3 pixels. How many pixels of the image has a "
            "number behind the third block seen?",
            "Why may a horse be mirrored in training, and a 2 not?",
        ],
    )


if __name__ == "__main__":
    script.run(main, Config)
