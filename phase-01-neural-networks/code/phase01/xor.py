"""XOR by hand: a hidden layer of sigmoids, cross-entropy, and every gradient written out.

Plain arrays and no classes, nothing imported but NumPy, so that no step is hidden. With x the
inputs and t the targets:

    z1 = x W1^T + b1        hidden = sigmoid(z1)
    z2 = hidden W2^T + b2   probability = sigmoid(z2)
    L  = mean of  -[t log p + (1 - t) log(1 - p)]

`gradients` goes through these lines from the last to the first. `train` repeats forward, gradients
and a step downhill on all examples at once, and keeps every weight it passes through.
`train_one_layer` does the same without the hidden layer. On XOR that ends at L = ln 2 and p = 1/2
for every input: a plane cannot do better, as the four examples pull it in ways that cancel.

Left out: batches, other activations, any depth (`phase01.mlp`).
Shapes: B examples, H hidden units. A weight is (outputs, inputs), as in `torch.nn.Linear`.
"""

import numpy as np
from jaxtyping import Float

INPUTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
TARGETS = np.array([[0.0], [1.0], [1.0], [0.0]])

Inputs = Float[np.ndarray, "B d"]
Column = Float[np.ndarray, "B 1"]
Weight1 = Float[np.ndarray, "H d"]
Bias1 = Float[np.ndarray, " H"]
Weight2 = Float[np.ndarray, "1 H"]
Bias2 = Float[np.ndarray, " 1"]


def forward(
    x: Inputs, weight1: Weight1, bias1: Bias1, weight2: Weight2, bias2: Bias2
) -> tuple[Float[np.ndarray, "B H"], Column]:
    """The hidden layer's outputs (B, H) and the logits z2 (B, 1), whose sigmoid is the answer."""
    z1 = x @ weight1.T + bias1  # (B, H)
    hidden = sigmoid(z1)  # (B, H)
    z2 = hidden @ weight2.T + bias2  # (B, 1)
    return hidden, z2


def sigmoid(z: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """1 / (1 + exp(-z)), as exp(-log(1 + exp(-z))) so that a large -z does not overflow."""
    return np.exp(-np.logaddexp(0, -z))


def cross_entropy(z2: Column, targets: Column) -> float:
    """The mean loss in nats, from the logits.

    -[t log p + (1 - t) log(1 - p)] = log(1 + exp(z)) - t z, since log p = z - log(1 + exp(z)) and
    log(1 - p) = -log(1 + exp(z)). Raises ValueError, naming both shapes, where they differ.
    """
    if z2.shape != targets.shape:
        raise ValueError(f"logits {z2.shape} and targets {targets.shape} need one shape, (B, 1)")
    return float(np.mean(np.logaddexp(0, z2) - targets * z2))


def gradients(
    x: Inputs,
    targets: Column,
    hidden: Float[np.ndarray, "B H"],
    z2: Column,
    weight2: Weight2,
) -> tuple[Weight1, Bias1, Weight2, Bias2]:
    """The gradients of the loss, (dweight1, dbias1, dweight2, dbias2), line by line backwards.

    `hidden` and `z2` are what `forward` returned for this x.
    """
    n_example = len(x)
    # L = mean of log(1 + exp(z2)) - t z2. The derivative of the first term is sigmoid(z2).
    dz2 = (sigmoid(z2) - targets) / n_example  # (B, 1)
    # z2 = hidden W2^T + b2. Each example adds its share to every weight and to the bias.
    dweight2 = dz2.T @ hidden  # (1, H)
    dbias2 = dz2.sum(axis=0)  # (1,)
    dhidden = dz2 @ weight2  # (B, H)
    # hidden = sigmoid(z1), whose derivative is hidden (1 - hidden).
    dz1 = dhidden * hidden * (1 - hidden)  # (B, H)
    # z1 = x W1^T + b1, as above.
    dweight1 = dz1.T @ x  # (H, d)
    dbias1 = dz1.sum(axis=0)  # (H,)
    return dweight1, dbias1, dweight2, dbias2


def train(
    x: Inputs,
    targets: Column,
    rng: np.random.Generator,
    *,
    n_hidden: int = 4,
    learning_rate: float = 2.0,
    n_epoch: int = 2000,
) -> dict[str, np.ndarray]:
    """Train from standard normal weights and zero biases; every epoch is one step on all examples.

    Returns the history: "loss" (n_epoch + 1,), in nats, and "weight1", "bias1", "weight2", "bias2",
    each with one axis in front, epoch 0 being the start. Raises ValueError, naming the argument,
    where a count is below 1 or the learning rate is not above 0.
    """
    _check(n_hidden=n_hidden, n_epoch=n_epoch, learning_rate=learning_rate)
    weight1, bias1 = rng.normal(size=(n_hidden, x.shape[1])), np.zeros(n_hidden)
    weight2, bias2 = rng.normal(size=(1, n_hidden)), np.zeros(1)
    losses, passed = [], []
    for epoch in range(n_epoch + 1):
        hidden, z2 = forward(x, weight1, bias1, weight2, bias2)
        losses.append(cross_entropy(z2, targets))
        passed.append((weight1, bias1, weight2, bias2))
        if epoch < n_epoch:
            dweight1, dbias1, dweight2, dbias2 = gradients(x, targets, hidden, z2, weight2)
            weight1 = weight1 - learning_rate * dweight1
            bias1 = bias1 - learning_rate * dbias1
            weight2 = weight2 - learning_rate * dweight2
            bias2 = bias2 - learning_rate * dbias2
    names = ("weight1", "bias1", "weight2", "bias2")
    columns = zip(names, zip(*passed, strict=True), strict=True)
    return {"loss": np.array(losses), **{name: np.stack(column) for name, column in columns}}


def train_one_layer(
    x: Inputs,
    targets: Column,
    rng: np.random.Generator,
    *,
    learning_rate: float = 2.0,
    n_epoch: int = 2000,
) -> dict[str, np.ndarray]:
    """The same without a hidden layer, z = x W^T + b: what it lacks is what XOR needs.

    Returns the history "loss" (n_epoch + 1,), "weight" (n_epoch + 1, 1, d) and "bias"
    (n_epoch + 1, 1). Raises as `train` does.
    """
    _check(n_epoch=n_epoch, learning_rate=learning_rate)
    weight, bias = rng.normal(size=(1, x.shape[1])), np.zeros(1)
    losses, weights, biases = [], [], []
    for epoch in range(n_epoch + 1):
        z = x @ weight.T + bias  # (B, 1)
        losses.append(cross_entropy(z, targets))
        weights.append(weight)
        biases.append(bias)
        if epoch < n_epoch:
            dz = (sigmoid(z) - targets) / len(x)  # (B, 1)
            weight = weight - learning_rate * (dz.T @ x)  # (1, d)
            bias = bias - learning_rate * dz.sum(axis=0)  # (1,)
    return {"loss": np.array(losses), "weight": np.stack(weights), "bias": np.stack(biases)}


def _check(*, n_epoch: int, learning_rate: float, n_hidden: int = 1) -> None:
    if n_hidden < 1 or n_epoch < 1:
        raise ValueError(f"n_hidden and n_epoch must be 1 or more, not {n_hidden} and {n_epoch}")
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be above 0, not {learning_rate}")
