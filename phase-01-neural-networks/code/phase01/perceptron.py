"""Rosenblatt's perceptron: one unit that learns from its mistakes, and the gate it cannot learn.

The unit answers 1 where the weighted sum of its inputs reaches 0, and else 0:

    answer = 1 if w.x + b >= 0 else 0

It is shown one example after the other. Where it is right nothing happens; where it is wrong, the
example is added to the weights or taken away from them:

    w <- w + (target - answer) x            b <- b + (target - answer)

(The paper of 1958 has not this rule yet: there what is active is strengthened, right or wrong.)

The bias is the weight of an input that is always 1, so below an example is also (x, 1), and (w, b)
one vector. If some vector separates the classes with a margin, the rule stops: from a start of zero
it makes at most (R / gamma)^2 mistakes, whatever the order (Novikoff, 1962). R is the length of the
longest example, and gamma the distance of the nearest one from the separating plane. Two lines
prove it: each mistake lengthens the part of (w, b) along the separating vector by gamma at least,
and its squared length by R^2 at most; after k mistakes k gamma <= sqrt(k) R.

XOR has no such vector, and the rule goes round in circles. `phase01.xor` is the way out.

Left out: a learning rate (from a start of zero it scales w and b together, and no answer changes),
several outputs, and Rosenblatt's layer of random association units before the one that learns.
Shapes: B examples of d inputs; U updates.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

GATES = {"AND": (0, 0, 0, 1), "OR": (0, 1, 1, 1), "XOR": (0, 1, 1, 0)}

Inputs = Float[np.ndarray, "B d"]
Targets = Integer[np.ndarray, " B"]
WeightVector = Float[np.ndarray, " d"]


def gate(name: str) -> tuple[Float[np.ndarray, "4 2"], Int[np.ndarray, " 4"]]:
    """The four inputs 00, 01, 10, 11 of a logical gate, and what it answers: "AND", "OR", "XOR".

    Raises ValueError for another name, naming those that there are.
    """
    if name not in GATES:
        raise ValueError(f"the gate is one of {', '.join(GATES)}, not {name!r}")
    inputs = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    return inputs, np.array(GATES[name])


# ---- the unit and its rule -------------------------------------------------------------------


def predict(
    x: Float[np.ndarray, "*batch d"], weight: WeightVector, bias: float
) -> Int[np.ndarray, "*batch"]:
    """The unit's answers, 1 where w.x + b >= 0 and else 0, in the shape of x without its last axis.

    Raises ValueError, naming both shapes, unless there is one weight for each input.
    """
    return np.asarray(_scores(x, weight, bias) >= 0, dtype=np.int64)


def update(
    x: Float[np.ndarray, " d"], target: int | np.integer, weight: WeightVector, bias: float
) -> tuple[WeightVector, float]:
    """Weights and bias after one example, in a new array: the same where the answer was right.

    w + (target - answer) x and b + (target - answer). Raises as `predict` does.
    """
    error = int(target) - int(predict(x, weight, bias))  # -1, 0 or 1
    return weight + error * x, bias + error


@dataclass(frozen=True)
class History:
    """What a perceptron went through: weights and bias before the first update and after each."""

    weights: Float[np.ndarray, "updates d"]  # (U + 1, d)
    biases: Float[np.ndarray, " updates"]  # (U + 1,)
    mistakes: tuple[int, ...]
    """made in each pass over the examples"""

    @property
    def converged(self) -> bool:
        """Whether the last pass was without a mistake."""
        return self.mistakes[-1] == 0


def train(
    x: Inputs,
    targets: Targets,
    *,
    n_epoch: int = 100,
    weight: WeightVector | None = None,
    bias: float = 0.0,
    rng: np.random.Generator | None = None,
) -> History:
    """Show the examples, pass after pass, until a pass has no mistake or `n_epoch` passes are over.

    Starts at zero, or at `weight` and `bias`. With `rng` each pass has an order of its own, without
    the order is that of `x`. The weights are in float64. Raises ValueError for a target that is not
    0 or 1, naming it, for shapes that do not fit, naming both, for no examples, and for an
    `n_epoch` below 1.
    """
    _check_examples(x, targets)
    if n_epoch < 1:
        raise ValueError(f"n_epoch must be 1 or more, not {n_epoch}")
    weight = np.zeros(x.shape[1]) if weight is None else np.array(weight, dtype=np.float64)
    weights, biases, mistakes = [weight], [float(bias)], []
    for _ in range(n_epoch):
        before = len(weights)
        order = np.arange(len(x)) if rng is None else rng.permutation(len(x))
        for i in order:  # one at a time: each answer depends on the mistake before it
            if predict(x[i], weights[-1], biases[-1]) != targets[i]:
                weight, bias = update(x[i], targets[i], weights[-1], biases[-1])
                weights.append(weight)
                biases.append(bias)
        mistakes.append(len(weights) - before)
        if mistakes[-1] == 0:
            break
    return History(np.stack(weights), np.array(biases), tuple(mistakes))


# ---- the convergence theorem -----------------------------------------------------------------


def margin(x: Inputs, targets: Targets, weight: WeightVector, bias: float) -> float:
    """Gamma: how far the nearest example (x, 1) lies on its right side of the plane (w, b).

        gamma = min over the examples of  s (w.x + b) / |(w, b)|,   s = 1 for target 1, else -1

    Negative where an example is on the wrong side. Raises ValueError as `train` does, and for a
    weight and bias that are all zero.
    """
    _check_examples(x, targets)
    length = float(np.sqrt(weight @ weight + bias**2))
    if length == 0:
        raise ValueError("weight and bias are all zero, which is no plane: one must differ from 0")
    signs = 2 * targets.astype(np.float64) - 1  # (B,)
    return float(np.min(signs * _scores(x, weight, bias))) / length


def mistake_bound(x: Inputs, targets: Targets, weight: WeightVector, bias: float) -> float:
    """The most mistakes that training from zero can make: (R / gamma)^2 for this separating plane.

    R is the length of the longest (x, 1). Another plane with a larger margin gives a better bound.
    Raises ValueError where the plane does not separate the examples, and as `margin` does.
    """
    gamma = margin(x, targets, weight, bias)
    if gamma <= 0:
        raise ValueError(
            "the bound needs a plane that has every example on its own side, but an example lies "
            f"{-gamma:g} on the wrong side of this one"
        )
    longest_squared = float(np.max(np.sum(x**2, axis=1) + 1))  # the 1 is the input of the bias
    return longest_squared / gamma**2


def separable_points(
    n_example: int, n_input: int, distance: float, rng: np.random.Generator
) -> tuple[Inputs, Targets, WeightVector, float]:
    """Random examples that a plane separates, their targets, and its weight (of length 1) and bias.

    Points are drawn evenly from the cube from -1 to 1. One that lies nearer to the plane than
    `distance` (in the space of the inputs) is moved away from it until it does not.
    """
    weight = rng.normal(size=n_input)
    weight /= np.linalg.norm(weight)
    bias = float(rng.uniform(-0.25, 0.25))
    x = rng.uniform(-1, 1, size=(n_example, n_input))
    scores = _scores(x, weight, bias)  # (B,), the distances with a sign, as |w| = 1
    positive: Bool[np.ndarray, " B"] = scores >= 0
    signs = np.where(positive, 1.0, -1.0)
    missing = np.maximum(distance - signs * scores, 0)  # (B,)
    x = x + (signs * missing)[:, None] * weight  # (B, 1) * (d,)
    return x, positive.astype(np.int64), weight, bias


def _scores(x: np.ndarray, weight: np.ndarray, bias: float) -> np.ndarray:
    """w.x + b for every example; ValueError unless there is one weight for each input."""
    if weight.ndim != 1 or x.shape[-1:] != weight.shape:
        raise ValueError(
            f"a perceptron needs one weight for each input: x {x.shape}, weight {weight.shape}"
        )
    return np.asarray(x @ weight + bias)  # (...), an array for a single example too


def _check_examples(x: np.ndarray, targets: np.ndarray) -> None:
    if x.ndim != 2 or targets.shape != x.shape[:1] or len(x) == 0:
        raise ValueError(
            "training needs x of shape (B, d) and targets of shape (B,), with an example at least, "
            f"not {x.shape} and {targets.shape}"
        )
    strange = targets[(targets != 0) & (targets != 1)]
    if strange.size:
        raise ValueError(f"a target is 0 or 1, not {strange[0]}")
