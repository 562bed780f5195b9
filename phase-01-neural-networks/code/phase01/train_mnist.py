"""Milestone 1986, second half: an MLP learns to read 28 x 28 handwritten digits.

    uv run journal run phase01.train_mnist
    uv run journal run phase01.train_mnist --validate --hidden 100 --learning-rate 0.05
    uv run journal run phase01.train_mnist --data-dir ~/fashion-mnist

MNIST's 60,000 training images, two hidden layers, back-propagation, and SGD with momentum and a
little weight decay, whose learning rate falls in half a cosine. No dropout and no batch norm; both
are options. The recipe was chosen with `--validate`, which trains on five sixths of the training
images, judges on the last sixth and never opens the test set. Without it all are trained on, and
the test images are judged once, when training is over. `--hidden` without a number leaves the
hidden layers out: a linear classifier, which shows what they are worth.

Four pictures: the learning curve, the confusion matrix, the test images that the network was most
wrong about, and what units of the first layer look for (with `--validate` the first and the last).

`--data-dir` takes any data set in idx form. One seed gives one result, to the last bit, on one
machine with one number of threads; where another process keeps a core busy, `OMP_NUM_THREADS=1` is
much faster (`phase00.compare_threads`). Left out: saving the network, and changing the images
(shifts, distortions), which is how MLPs get further.

Shape letters: N images, n pixels of an image, V classes.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from journal import data, plotting, record, script
from phase00.probability import log_softmax
from phase01.evaluation import confusion_matrix, require_finite
from phase01.idx import labeled_images, read_split
from phase01.mlp import MLP, MLPConfig
from phase01.optimizers import SGD
from phase01.schedules import cosine

HELD_BACK = 6  # with --validate, one in so many training images, the last ones
CHUNK = 1000  # images that are judged at once
POINTS = 10  # of the loss, drawn for each epoch
ACROSS, DOWN = 8, 3  # images in a picture
LONG = ("curve", "confusion", "mistakes")  # written, but not printed


@dataclass(frozen=True)
class Recipe:
    """The network and how it is trained; `phase01.train_digits` has another."""

    hidden: tuple[int, ...] = (512, 256)
    """units of each hidden layer; none is a linear classifier"""
    activation: str = "relu"
    dropout: float = 0.0
    batch_norm: bool = False
    n_epoch: int = 10
    """times through the training images"""
    batch_size: int = 128
    learning_rate: float = 0.2
    """in the first step; from there half a cosine down to 0"""
    momentum: float = 0.9
    weight_decay: float = 2e-4
    validate: bool = False
    """judge by the last sixth of the training images, and leave the test set unread"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        for name in ("n_epoch", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")

    @property
    def result(self) -> str:
        """What tells the results of one script apart: nothing, or "linear-validation"."""
        kinds = {"linear": not self.hidden, "validation": self.validate}
        return "-".join(kind for kind, is_so in kinds.items() if is_so)


@dataclass(frozen=True)
class Config(Recipe):
    data_dir: Path | None = None
    """a folder with a data set in idx form, its files named as MNIST's; without it MNIST"""


class Images(NamedTuple):
    """Images and what they show."""

    pixels: np.ndarray  # (N, H, W), float32, 0 to 1
    labels: np.ndarray  # (N,), uint8


def main(config: Config) -> dict[str, Any]:
    """Train, judge once, draw; returns the accuracy, by class too, and what it took."""
    name = config.data_dir.resolve().name if config.data_dir else "MNIST"
    training, judge = load(config)
    metrics = experiment(__file__, config, name, training, judge)
    script.close(
        costs(config, metrics),
        [
            f"It reads {metrics['train_accuracy']:.2%} of the images that it was trained on and "
            f"{metrics['accuracy']:.2%} of the others. What would a larger network change? What "
            "would --dropout 0.2 or --batch-norm? (Try it with --validate.)",
            "Shuffle the pixels of all images in one and the same way. How well would this network "
            "read them, and how well would you?",
            "At the margin of the images the weights are still the noise they began with, only "
            "paler. Why has learning not touched them, and what has made them paler?",
            "Twice the height and width of the images: which lines of the table grow, and by what?",
        ],
    )
    return metrics


def load(config: Config) -> tuple[Images, Images]:
    """The images to train on, and those to judge by."""
    parts = {"train": "train", "test": "t10k"}
    if config.validate:
        del parts["test"]
    if config.data_dir:
        read = {part: read_split(config.data_dir, part) for part in parts}
    else:
        read = {
            part: labeled_images(
                data.read_bytes(f"mnist/{prefix}-images-idx3-ubyte.gz"),
                data.read_bytes(f"mnist/{prefix}-labels-idx1-ubyte.gz"),
                f"MNIST, {part}",
            )
            for part, prefix in parts.items()
        }
    scaled = [Images(pixels * np.float32(1 / 255), labels) for pixels, labels in read.values()]
    return split(scaled[0]) if config.validate else (scaled[0], scaled[1])


def split(images: Images) -> tuple[Images, Images]:
    """All but the last sixth, and the last sixth."""
    n_train = len(images.labels) - len(images.labels) // HELD_BACK
    return Images(*(a[:n_train] for a in images)), Images(*(a[n_train:] for a in images))


# ---- what both scripts of the milestone do -----------------------------------------------


def experiment(
    file: str, recipe: Recipe, name: str, training: Images, judge: Images
) -> dict[str, Any]:
    """Train on the one part, judge on the other, write the numbers of the script and draw."""
    started = time.perf_counter()
    check(recipe, training, judge)
    rng = np.random.default_rng(recipe.seed)
    widths = (training.pixels[0].size, *recipe.hidden, int(training.labels.max()) + 1)
    shape = MLPConfig(widths, recipe.activation, recipe.dropout, recipe.batch_norm)
    model = MLP(shape, rng)
    print(f"{name}: {len(training.labels):,} images to train on, {len(judge.labels):,} to judge by")
    print(f"layers {' - '.join(map(str, widths))}: {model.n_parameter:,} parameters")
    drawn = model.params["layers.0.weight"].copy()
    curve = train(recipe, model, training, judge)
    metrics = {
        "data": name,
        "judged_on": "validation" if recipe.validate else "test",
        **judged(model, judge),
        "train_accuracy": judged(model, training)["accuracy"],
        "train_loss": curve["losses"][-1],
        "n_train": len(training.labels),
        **work(shape, recipe.batch_size),
        "training_seconds": round(curve["seconds"], 2),
        "images_per_second": round(curve["n_image"] / curve["seconds"]),
        "curve": curve,
    }
    print_findings(metrics)
    seconds, result = time.perf_counter() - started, recipe.result
    record.write(
        file, config=recipe, metrics=metrics, seconds=seconds, record=recipe.record, name=result
    )
    figures = draw(metrics, judge, drawn, model.params["layers.0.weight"])
    for kind, figure in figures.items():
        picture = f"{result}-{kind}" if result else kind
        record.write_picture(file, picture, figure, record=recipe.record)
    return {key: value for key, value in metrics.items() if key not in LONG}


def check(recipe: Recipe, training: Images, judge: Images) -> None:
    """ValueError, before anything is trained, where the two parts do not fit the recipe."""
    if len(training.labels) < recipe.batch_size or not len(judge.labels):
        raise ValueError(
            f"{len(training.labels)} images to train on and {len(judge.labels)} to judge by are "
            f"too few for batches of {recipe.batch_size}: lower batch_size, or take more images"
        )
    if training.pixels.shape[1:] != judge.pixels.shape[1:]:
        sizes = [" x ".join(map(str, part.pixels.shape[1:])) for part in (training, judge)]
        raise ValueError(
            f"the training images are {sizes[0]} and the test images {sizes[1]}: they belong to "
            "different data sets"
        )
    if judge.labels.max() > training.labels.max():
        raise ValueError(
            f"there is a test image of class {judge.labels.max()}, but no training image of a "
            f"class above {training.labels.max()}: what was never shown cannot be learned"
        )


def rows(images: Images) -> np.ndarray:
    """Each image as one row of numbers, which is how an MLP sees it."""
    return images.pixels.reshape(len(images.labels), -1)  # (N, n)


# ---- learning ----------------------------------------------------------------------------


def train(recipe: Recipe, model: MLP, training: Images, judge: Images) -> dict[str, Any]:
    """Train the model, an epoch a line; the curve, the seconds and the number of images seen.

    The share of wrong answers after each epoch is that of the first sixth of the training images,
    and with `validate` also that of those held back.
    """
    n_watched = math.ceil(len(training.labels) / HELD_BACK)
    watched = {"training": Images(*(a[:n_watched] for a in training))}
    if recipe.validate:
        watched["validation"] = judge
    rng = np.random.default_rng([recipe.seed, 1])
    optimizer = SGD(model.params, recipe.learning_rate, recipe.momentum, recipe.weight_decay)
    curve: dict[str, Any] = {"losses": [], "wrong": {name: [] for name in watched}}
    seconds, n_image = 0.0, 0
    print("epoch    loss   " + "   ".join(f"{name} right" for name in watched) + "   images/s")
    for epoch in range(1, recipe.n_epoch + 1):
        started = time.perf_counter()
        losses = train_epoch(recipe, model, optimizer, training, rng)
        took = time.perf_counter() - started
        seen = len(losses) * recipe.batch_size
        seconds, n_image = seconds + took, n_image + seen
        blocks = np.array_split(losses, min(POINTS, len(losses)))
        curve["losses"] += [round(float(np.mean(block)), 6) for block in blocks]
        for name, part in watched.items():
            curve["wrong"][name].append(round(1 - judged(model, part)["accuracy"], 6))
        shares = "   ".join(f"{1 - w[-1]:>{len(n) + 6}.2%}" for n, w in curve["wrong"].items())
        print(f"{epoch:>5}  {np.mean(losses):.4f}   {shares}   {seen / took:>8,.0f}", flush=True)
    return {**curve, "seconds": seconds, "n_image": n_image}


def train_epoch(
    recipe: Recipe, model: MLP, optimizer: SGD, training: Images, rng: np.random.Generator
) -> list[float]:
    """One pass over the images in a new order; the loss of every step, in nats.

    What does not fill a batch at the end of the order is left out of this pass.
    """
    x, labels = rows(training), training.labels
    n_batch = len(labels) // recipe.batch_size
    order = rng.permutation(len(labels))[: n_batch * recipe.batch_size]
    losses = []
    for chosen in order.reshape(n_batch, recipe.batch_size):
        loss, cache = model.forward(x[chosen], labels[chosen], rng)
        require_finite(loss, optimizer.n_steps)
        optimizer.learning_rate = cosine(
            optimizer.n_steps, recipe.learning_rate, recipe.n_epoch * n_batch
        )
        optimizer.step(model.backward(cache))
        losses.append(loss)
    return losses


# ---- judging -----------------------------------------------------------------------------


def judged(model: MLP, images: Images) -> dict[str, Any]:
    """How many are right, the loss in nats, and the images of the highest loss among the wrong.

    A mistake is the index of an image, its class, the class that it was taken for, and the
    probabilities of the two.
    """
    x, labels = rows(images), images.labels
    chunks = [log_softmax(model.logits(x[i : i + CHUNK])) for i in range(0, len(x), CHUNK)]
    log_probabilities = np.concatenate(chunks)  # (N, V)
    answers = log_probabilities.argmax(axis=1)  # (N,)
    places = np.arange(len(labels))
    losses = -log_probabilities[places, labels].astype(np.float64)  # (N,)
    wrong = np.flatnonzero(answers != labels)
    worst = wrong[np.argsort(-losses[wrong], kind="stable")][: ACROSS * DOWN]
    confusion = confusion_matrix(labels, answers, log_probabilities.shape[1])
    of_class = confusion.sum(axis=1).tolist()  # (V,)
    shares = [
        round(int(k) / n, 4) if n else None
        for k, n in zip(confusion.diagonal(), of_class, strict=True)
    ]
    return {
        "accuracy": round(1 - len(wrong) / len(labels), 6),
        "loss": float(losses.mean()),
        "n_wrong": len(wrong),
        "accuracy_by_class": shares,
        "confusion": confusion.tolist(),
        "mistakes": [
            {
                "image": int(i),
                "class": int(labels[i]),
                "answer": int(answers[i]),
                "probability": round(math.exp(-losses[i]), 6),
                "answer_probability": round(math.exp(log_probabilities[i, answers[i]]), 6),
            }
            for i in worst
        ],
    }


def work(shape: MLPConfig, batch_size: int) -> dict[str, int]:
    """Parameters, bytes and multiply-adds of one step, counted from the widths.

    Forward multiplies each weight once for each image, and backward twice (for the weights and for
    the inputs), but in the first layer once. Batch norm's few are not counted.
    """
    products = [d_in * d_out for d_in, d_out in zip(shape.widths, shape.widths[1:], strict=False)]
    n_parameter = sum(products) + sum(shape.widths[1:])
    if shape.batch_norm:
        n_parameter += 2 * sum(shape.widths[1:-1])
    return {
        "n_parameter": n_parameter,
        "parameter_bytes": 4 * n_parameter,
        "activation_bytes": 4 * batch_size * sum(shape.widths),
        "multiply_adds_a_step": batch_size * (3 * sum(products) - products[0]),
    }


def print_findings(metrics: dict[str, Any]) -> None:
    """The accuracy, that of the best and the worst class, and the most frequent mistakes."""
    print(
        f"{metrics['accuracy']:.2%} of the {metrics['judged_on']} images are right, "
        f"{metrics['n_wrong']} are wrong, the loss is {metrics['loss']:.4f} nats"
    )
    by_class = enumerate(metrics["accuracy_by_class"])
    shares = sorted((share, name) for name, share in by_class if share is not None)
    (worst, hard), (best, easy) = shares[0], shares[-1]
    print(f"best at {easy} ({best:.1%}), worst at {hard} ({worst:.1%})")
    confusion = np.array(metrics["confusion"])
    np.fill_diagonal(confusion, 0)
    for place in np.argsort(-confusion, axis=None, kind="stable")[:3]:
        label, answer = divmod(int(place), len(confusion))
        if confusion[label, answer]:
            print(f"  {label} taken for {answer}: {confusion[label, answer]}")


def costs(recipe: Recipe, metrics: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What a run took, and how it grows."""
    copies = 3 if recipe.momentum else 2
    memory = copies * metrics["parameter_bytes"] / 1e6
    activations = metrics["activation_bytes"] / 1e6
    work = metrics["multiply_adds_a_step"] / 1e6
    speed = f"images x epochs x parameters: {metrics['images_per_second']:,} images/s"
    return [
        ("parameters", f"{metrics['n_parameter']:,}", "inputs x units, then units x units"),
        ("their memory", f"{memory:.2f} MB", "4 bytes each; gradient and momentum as much"),
        ("activations", f"{activations:.2f} MB or more", "batch x the sum of all widths"),
        ("multiply-adds a step", f"{work:,.1f} million", "nearly 3 x batch x parameters"),
        ("time", f"{metrics['training_seconds']:.1f} s", speed),
    ]


# ---- how it is drawn ---------------------------------------------------------------------


def draw(
    metrics: dict[str, Any], judge: Images, drawn: np.ndarray, learned: np.ndarray
) -> dict[str, Figure]:
    """The pictures of a run by name; those of single test images are not for a rehearsal."""
    name, n_wrong = metrics["data"], metrics["n_wrong"]
    drawn, learned = (w.reshape(-1, *judge.pixels.shape[1:]) for w in (drawn, learned))  # (d, H, W)
    figures = {
        "learning": draw_learning(f"{name}: the network learns", metrics),
        "weights": draw_weights(f"{name}: weights of the first layer", drawn, learned),
    }
    if metrics["judged_on"] == "test" and n_wrong:
        title = f"{name}: {n_wrong} of {len(judge.labels):,} test images taken for another class"
        figures["confusion"] = draw_confusion(title, metrics["confusion"])
        figures["mistakes"] = draw_mistakes(name, judge, metrics["mistakes"], n_wrong)
    return figures


def draw_learning(title: str, metrics: dict[str, Any]) -> Figure:
    """The loss of the batches, and the share of wrong answers after each epoch."""
    figure, axes = plotting.figure(8.0, 3.7, columns=2)
    figure.suptitle(title)
    losses, wrong = metrics["curve"]["losses"], metrics["curve"]["wrong"]
    n_epoch = len(wrong["training"])
    axes[0].plot(np.arange(1, len(losses) + 1) * n_epoch / len(losses), losses)
    axes[0].set(title="Loss of the batches", xlabel="epoch", ylabel="nats an image", yscale="log")
    labels = {"training": "training images", "validation": "images held back"}
    for (part, shares), marker in zip(wrong.items(), "os", strict=False):
        percent = 100 * np.array(shares)
        axes[1].plot(range(1, n_epoch + 1), percent, marker, ls="-", ms=4, label=labels[part])
    if metrics["judged_on"] == "test":
        end = 100 * (1 - metrics["accuracy"])
        axes[1].plot(n_epoch, end, "*", ms=12, label=f"test images, at the end: {end:.2f} %")
    axes[1].set(title="Wrong answers after each epoch", xlabel="epoch", ylabel="% of the images")
    axes[1].set_ylim(bottom=0)
    axes[1].legend(loc="upper right")
    for ax in axes:
        ax.xaxis.get_major_locator().set_params(integer=True)
    return figure


def draw_confusion(title: str, confusion: Sequence[Sequence[int]]) -> Figure:
    """The matrix in numbers, the mistakes coloured among themselves: right answers stay plain."""
    counts = np.array(confusion)  # (V, V)
    n_class = len(counts)
    mistakes = np.where(np.eye(n_class, dtype=bool) | (counts == 0), np.nan, counts)
    side = max(3.2, 0.46 * n_class + 1.0)
    figure, ax = plotting.figure(max(5.6, side), side)
    ax.set(title=title, xlabel="the network's answer", ylabel="the right answer")
    top = max(2, int(counts[~np.isnan(mistakes)].max(initial=0)))
    ax.imshow(mistakes, cmap="YlOrBr", vmin=0, vmax=top)
    for i, j in np.argwhere(counts):
        right = i == j
        colour = plotting.INK if right else "white" if counts[i, j] > 0.6 * top else "black"
        weight = "bold" if right else "normal"
        ax.text(j, i, counts[i, j], ha="center", va="center", size=8, c=colour, weight=weight)
    ax.set_xticks(range(n_class))
    ax.set_yticks(range(n_class))
    ax.grid(visible=False)
    return figure


def draw_mistakes(
    name: str, images: Images, mistakes: Sequence[dict[str, Any]], n_wrong: int
) -> Figure:
    """The test images of the highest loss, the worst first, each with both answers."""
    figure, ax = plotting.figure(7.4, 0.6 + 1.1 * math.ceil(len(mistakes) / ACROSS))
    title = f"{name}: the {len(mistakes)} worst of {n_wrong} mistakes"
    ax.set_title(f"{title} (right answer → the network's, and how sure)")
    height, width = images.pixels.shape[1:]
    gap = max(2, height // 3)  # room for a line of text
    picture = tiles(images.pixels[[mistake["image"] for mistake in mistakes]], gap)
    ax.imshow(picture, cmap="gray_r", vmin=0, vmax=1, interpolation="none")
    for place, mistake in enumerate(mistakes):
        row, column = divmod(place, ACROSS)
        text = f"{mistake['class']} → {mistake['answer']}, {mistake['answer_probability']:.0%}"
        below = (height + gap) * (row + 1) - gap / 2 - 0.5
        ax.text((width + gap) * column + width / 2, below, text, ha="center", va="center", size=8)
    plain(ax)
    return figure


def draw_weights(title: str, drawn: np.ndarray, learned: np.ndarray) -> Figure:
    """The units that end with the longest weights, as images: red adds, blue takes away."""
    longest = np.argsort(-np.square(learned).sum(axis=(1, 2)), kind="stable")[: 2 * ACROSS]
    chosen = np.sort(longest)  # (up to 16,)
    top = float(np.quantile(np.abs(learned[chosen]), 0.995))
    figure, axes = plotting.figure(7.4, 4.6, rows=2)
    figure.suptitle(title)
    panels = {"as they were drawn": drawn, "after training": learned}
    for ax, (name, weights) in zip(axes, panels.items(), strict=True):
        ax.set_title(name)
        picture = tiles(weights[chosen], 2)
        image = ax.imshow(picture, cmap="RdBu_r", vmin=-top, vmax=top, interpolation="none")
        plain(ax)
    figure.colorbar(image, ax=axes, label="weight", shrink=0.6)
    return figure


def tiles(images: np.ndarray, gap: int) -> np.ndarray:
    """Images (N, H, W) as one, eight in a row, with see-through gaps to the right and below."""
    n_image, height, width = images.shape
    down = math.ceil(n_image / ACROSS)
    picture = np.full((down * (height + gap), ACROSS * (width + gap)), np.nan)
    for place, image in enumerate(images):
        top, left = (height + gap) * (place // ACROSS), (width + gap) * (place % ACROSS)
        picture[top : top + height, left : left + width] = image
    return picture


def plain(ax: Any) -> None:
    """Without ticks, grid and frame."""
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)


if __name__ == "__main__":
    script.run(main, Config)
