"""Draw what the gradient checker sees: right and wrong backward passes, small and large networks.

    uv run journal run phase01.plot_gradient_check

A network of two hidden layers whose backward can be given one of six mistakes. Printed is what
`check_model` says about each. Two pictures:

- the relative error against the step: a right backward comes down to rounding and rises again, a
  wrong one stays where it is, whatever the step. ReLU's line rises where steps reach its kinks.
- the cost: forwards against the number of parameters, element by element and along random
  directions; and that those few forwards still see a single wrong number, whose share of the whole
  gradient falls like one over the root of the number of parameters.

Element by element is counted on the small networks, and two forwards an element on the others: it
would take too long, and how long is the point. Left out: batch norm, dropout and convolutions,
which the tests check.
"""

import math
import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from journal import plotting, record, script
from phase00.calculus import numerical_gradient
from phase00.gradient_report import GradientError
from phase01.activations import ACTIVATIONS
from phase01.gradient_check import EPSILON, N_DIRECTION, TOLERANCE, check_model, gradient_error
from phase01.linear import linear_backward, linear_forward
from phase01.losses import cross_entropy_backward, cross_entropy_forward

Arrays = dict[str, np.ndarray]

N_CLASS = 10
LAST_LAYER = 2
FAULTS = {
    "factor": "a factor of 2 too many",
    "transposed": "a weight's gradient transposed",
    "averaged": "a bias averaged, not summed",
    "derivative": "tanh's derivative forgotten",
    "zero": "a gradient left at zero",
    "number": "one number doubled",
}
COUNTED_BELOW = 3000  # parameters: beyond, element by element is 2 N by arithmetic
TOLERANCE_LABEL = f"tolerance $10^{{{math.log10(TOLERANCE):.0f}}}$"


@dataclass(frozen=True)
class Config:
    width: int = 24
    """inputs and units of each hidden layer of the network with the mistakes"""
    n_example: int = 16
    per_decade: int = 2
    """steps between 1e-12 and 1 for each factor of ten"""
    n_repeat: int = 5
    """measurements of each error, along other directions; the median is kept"""
    sizes: tuple[int, ...] = (4, 8, 16, 32, 64, 128, 256, 512)
    """widths of the networks whose cost is counted"""
    seed: int = 0
    record: bool = False


class Network:
    """Two hidden layers as wide as the input, and a backward with one mistake of `FAULTS`."""

    def __init__(
        self, width: int, rng: np.random.Generator, activation: str = "tanh", fault: str = ""
    ) -> None:
        self.activation, self.fault = activation, fault
        self.params: Arrays = {}
        for i, d_out in enumerate((width, width, N_CLASS)):
            weight = rng.normal(0, 1 / math.sqrt(width), (d_out, width))  # (d_out, width)
            self.params[f"layers.{i}.weight"] = weight
            self.params[f"layers.{i}.bias"] = rng.normal(0, 0.1, d_out)

    def forward(self, x: np.ndarray, targets: np.ndarray) -> tuple[float, tuple]:
        caches = []
        for i in range(LAST_LAYER + 1):
            weight, bias = self.params[f"layers.{i}.weight"], self.params[f"layers.{i}.bias"]
            x, linear = linear_forward(x, weight, bias)  # (B, d_out)
            x, activation = ACTIVATIONS[self.activation][0](x) if i < LAST_LAYER else (x, ())
            caches.append((linear, activation))
        loss, last = cross_entropy_forward(x, targets)
        return loss, (caches, last)

    def backward(self, cache: tuple) -> Arrays:
        """The gradients, as `phase01.mlp` does it, except for the mistake."""
        caches, last = cache
        grads: Arrays = {}
        dx = cross_entropy_backward(1.0, last)  # (B, V)
        for i in reversed(range(LAST_LAYER + 1)):
            linear, activation = caches[i]
            if i < LAST_LAYER and not (self.fault == "derivative" and i == 0):
                dx = ACTIVATIONS[self.activation][1](dx, activation)  # (B, d_out)
            dy = dx
            dx, dweight, dbias = linear_backward(dy, linear)
            grads[f"layers.{i}.weight"], grads[f"layers.{i}.bias"] = dweight, dbias
        self.spoil(grads, n_example=len(dx))
        return grads

    def spoil(self, grads: Arrays, n_example: int) -> None:
        """The mistakes that stay where they are made; a forgotten derivative is handed on."""
        middle = "layers.1.weight"
        if self.fault == "factor":
            grads[middle] *= 2
        elif self.fault == "transposed":
            grads[middle] = grads[middle].T.copy()
        elif self.fault == "averaged":
            grads["layers.1.bias"] /= n_example
        elif self.fault == "zero":
            grads[middle][:] = 0
        elif self.fault == "number":
            flat = grads["layers.0.weight"].reshape(-1)  # (width * width,), the same memory
            size = np.sqrt(np.mean(flat**2))
            flat[np.argmin(np.abs(np.abs(flat) - size))] *= 2  # one of ordinary size


def main(config: Config) -> dict[str, Any]:
    """Check every backward at every step, and count forwards; returns errors and costs."""
    if min(config.width, config.n_example) < 2 or min(config.per_decade, config.n_repeat) < 1:
        raise ValueError("width and n_example must be 2 or more, per_decade and n_repeat 1 or more")
    if not config.sizes or min(config.sizes) < 2:
        raise ValueError(f"sizes must be one or more widths from 2 up, not {config.sizes}")
    started = time.perf_counter()
    said = {fault: what_is_said(fault, config) for fault in ("none", *FAULTS)}
    for fault, sentence in said.items():
        print(f"{FAULTS.get(fault, 'no mistake')}: {sentence}")
    curves = errors_by_step(config)
    costs = costs_by_size(config)
    largest = costs[-1]
    print(
        f"{largest['parameters']:,} parameters: {largest['forwards']} forwards instead of "
        f"{largest['forwards_by_element']:,}, which would take about "
        f"{largest['minutes_by_element']:.0f} minutes"
    )
    metrics = {"at_default_step": at_default_step(curves), "costs": costs}
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "said": said, "curves": curves},
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    record.write_picture(__file__, "epsilon", draw_steps(curves), record=config.record)
    record.write_picture(__file__, "cost", draw_costs(costs), record=config.record)
    return metrics


# ---- what is measured --------------------------------------------------------------------


def batch(width: int, config: Config) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([config.seed, width])
    x = rng.normal(size=(config.n_example, width))
    return x, rng.integers(N_CLASS, size=config.n_example)


def network(width: int, config: Config, activation: str = "tanh", fault: str = "") -> Network:
    """One seed gives one network, whatever its activation and mistake."""
    return Network(width, np.random.default_rng(config.seed), activation, fault)


def what_is_said(fault: str, config: Config) -> str:
    """The checker's verdict on a mistake, or on the network without one."""
    model = network(config.width, config, fault=fault)
    rng = np.random.default_rng(config.seed + 1)
    try:
        error = check_model(model, *batch(config.width, config), rng, training=False)
    except GradientError as error:
        return str(error)
    return f"right, relative error {error:.1e}"


def median_error(
    model: Network, x: np.ndarray, targets: np.ndarray, n_repeat: int, epsilon: float = EPSILON
) -> float:
    """The relative error of the model's backward, the median over directions drawn anew."""
    grads = model.backward(model.forward(x, targets)[1])

    def loss(params: Arrays) -> float:
        model.params = params
        return model.forward(x, targets)[0]

    params = model.params
    rngs = (np.random.default_rng(repeat) for repeat in range(n_repeat))
    errors = [gradient_error(loss, params, grads, rng, N_DIRECTION, epsilon) for rng in rngs]
    model.params = params
    return float(f"{statistics.median(errors):.4g}")


def errors_by_step(config: Config) -> dict[str, Any]:
    """The error against epsilon for both activations and each mistake."""
    decades = np.arange(12 * config.per_decade + 1) / config.per_decade
    epsilons = [float(f"{epsilon:.6g}") for epsilon in 10.0**-decades]
    models = {f"right, {name}": network(config.width, config, name) for name in ("tanh", "relu")}
    models |= {fault: network(config.width, config, fault=fault) for fault in FAULTS}
    x, targets = batch(config.width, config)
    curves = {
        name: [median_error(model, x, targets, config.n_repeat, epsilon) for epsilon in epsilons]
        for name, model in models.items()
    }
    return {"epsilons": epsilons, "errors": curves}


def at_default_step(curves: dict[str, Any]) -> dict[str, float]:
    place = int(np.argmin(np.abs(np.log(np.array(curves["epsilons"]) / EPSILON))))
    return {name: errors[place] for name, errors in curves["errors"].items()}


class CountedLoss:
    """The loss as a function of the parameters: how often it was asked, and for how long."""

    def __init__(self, model: Network, x: np.ndarray, targets: np.ndarray) -> None:
        self.model, self.x, self.targets = model, x, targets
        self.calls, self.seconds = 0, 0.0

    def __call__(self, params: Arrays) -> float:
        started = time.perf_counter()
        self.model.params = params
        loss, _ = self.model.forward(self.x, self.targets)
        self.calls += 1
        self.seconds += time.perf_counter() - started
        return loss


def costs_by_size(config: Config) -> list[dict[str, Any]]:
    """For networks of each size: the forwards of both ways, and the errors of two backwards."""
    rows = []
    for width in config.sizes:
        x, targets = batch(width, config)
        right, wrong = network(width, config), network(width, config, fault="number")
        n_parameter = sum(array.size for array in right.params.values())
        grads, params = right.backward(right.forward(x, targets)[1]), right.params
        loss = CountedLoss(right, x, targets)
        gradient_error(loss, params, grads, np.random.default_rng(config.seed))
        right.params = params
        counted = n_parameter < COUNTED_BELOW
        by_element = count_by_element(right, x, targets) if counted else 2 * n_parameter
        rows.append(
            {
                "parameters": n_parameter,
                "forwards": loss.calls,
                "forwards_by_element": by_element,
                "counted": counted,
                "minutes_by_element": round(loss.seconds / loss.calls * by_element / 60, 4),
                "error_right": median_error(right, x, targets, config.n_repeat),
                "error_one_wrong_number": median_error(wrong, x, targets, config.n_repeat),
            }
        )
    return rows


def count_by_element(model: Network, x: np.ndarray, targets: np.ndarray) -> int:
    """Forwards that the whole gradient takes with phase 0's element-by-element measurement."""
    params = model.params
    loss = CountedLoss(model, x, targets)
    for name, array in params.items():
        numerical_gradient(lambda value, name=name: loss({**params, name: value}), array)
    model.params = params
    return loss.calls


# ---- how it is drawn ---------------------------------------------------------------------


def draw_steps(curves: dict[str, Any]) -> Figure:
    """The error against the step: right backwards have a valley, wrong ones a plateau."""
    figure, ax = plotting.figure(7.4, 4.6)
    for fault, label in FAULTS.items():
        ax.plot(curves["epsilons"], curves["errors"][fault], label=label, linewidth=1.4)
    for name, marker in (("tanh", "o"), ("relu", "^")):
        label = f"right backward, {'ReLU' if name == 'relu' else name}"
        style = {"color": plotting.INK, "marker": marker, "markersize": 4, "linestyle": "-"}
        ax.plot(curves["epsilons"], curves["errors"][f"right, {name}"], label=label, **style)
    ax.axhline(TOLERANCE, color=plotting.INK, linewidth=1, linestyle=":")
    ax.text(1e-12, TOLERANCE * 0.75, TOLERANCE_LABEL, va="top")
    ax.set(
        title="A wrong backward stays wrong at every step",
        xlabel="length of the step, ε",
        ylabel="relative error",
        xscale="log",
        yscale="log",
        ylim=(1e-11, 5),
    )
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def draw_costs(costs: list[dict[str, Any]]) -> Figure:
    """Forwards on the left, what they see on the right, both against the parameters."""
    figure, (left, right) = plotting.figure(8.0, 3.9, columns=2)
    figure.suptitle("A handful of forwards, however large the network")
    sizes = [row["parameters"] for row in costs]
    by_element = [row["forwards_by_element"] for row in costs]
    left.plot(sizes, by_element, color=plotting.PALETTE[1], label="element by element")
    for row in costs:
        if row["counted"]:
            left.plot(row["parameters"], row["forwards_by_element"], "o", color=plotting.PALETTE[1])
    forwards = [row["forwards"] for row in costs]
    left.plot(sizes, forwards, "o-", color=plotting.PALETTE[0], label="random directions")
    left.set(title="Forwards that a check takes", ylabel="forwards (dots: counted)")
    wrong = [row["error_one_wrong_number"] for row in costs]
    right.plot(sizes, wrong, "o-", color=plotting.PALETTE[1])
    right.plot(
        sizes, [1 / math.sqrt(size) for size in sizes], "--", color=plotting.INK, linewidth=1
    )
    label = "one number doubled\n(dashed: $1/\\sqrt{N}$)"
    right.text(sizes[-1], wrong[-1] / 4, label, color=plotting.PALETTE[1], ha="right", va="top")
    found = [row["error_right"] for row in costs]
    right.plot(sizes, found, "o-", color=plotting.PALETTE[0])
    label, height = "right backward", max(found) * 4
    right.text(sizes[-1], height, label, color=plotting.PALETTE[0], ha="right", va="bottom")
    right.axhline(TOLERANCE, color=plotting.INK, linewidth=1, linestyle=":")
    right.text(sizes[0], TOLERANCE * 1.4, TOLERANCE_LABEL, va="bottom")
    right.set(title="What they see", ylabel="relative error", ylim=(1e-11, 3))
    for ax in (left, right):
        ax.set(xlabel="number of parameters, N", xscale="log", yscale="log")
    left.legend(loc="upper left")
    return figure


if __name__ == "__main__":
    script.run(main, Config)
