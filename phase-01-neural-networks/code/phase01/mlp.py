"""A multilayer perceptron: linear layers with an activation between them, and cross-entropy on top.

    hidden layer i      x <- dropout(activation(batch norm(x W_i^T + b_i)))
    the last layer      logits = x W^T + b, loss = cross-entropy with the right classes

Any number of layers of any width; dropout and batch norm are there if the config says so. Batch
norm stands before the activation (Ioffe and Szegedy 2015, section 3.2), dropout after it. With no
hidden layer this is softmax regression.

How it begins. A hidden weight has He's variance where the activation is ReLU or GELU, which let
about half of the signal through, and Xavier's otherwise. The weight of the last layer is a tenth of
Xavier's: the first logits are then near 0, the model prefers no class, and the first loss is close
to ln V. Biases are 0.

Names are those of a PyTorch module that has two `ModuleList`s, `layers` and `norms`, so that one
dictionary serves both: `layers.0.weight`, `layers.0.bias`, `norms.0.weight`, `norms.0.bias`, and
among `buffers`, which are state but not trained, `norms.0.running_mean` and `norms.0.running_var`.

Left out: other losses, a choice by layer, weight decay (`phase01.optimizers` has it), and the loop
that trains (`phase01.train_mnist`).

Shape letters: B batch, n the width of a layer (of x: the inputs), V classes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Integer

from phase01.activations import ACTIVATIONS
from phase01.initialization import he_normal, xavier_normal
from phase01.linear import linear_backward, linear_backward_parameters, linear_forward
from phase01.losses import cross_entropy_backward, cross_entropy_forward
from phase01.regularization import (
    batch_norm_backward,
    batch_norm_forward,
    dropout_backward,
    dropout_forward,
)

Cache = tuple
Arrays = dict[str, Float[np.ndarray, "..."]]

HALVING = ("relu", "gelu", "gelu_tanh")  # the activations that He's variance is for
LAST_GAIN = 0.1  # of the last layer's weight


@dataclass(frozen=True)
class MLPConfig:
    """What the network looks like; what cannot be is a ValueError with the field and its value."""

    widths: tuple[int, ...]
    """inputs, the units of each hidden layer, classes: (784, 512, 256, 10)"""
    activation: str = "relu"
    """a name in `phase01.activations.ACTIVATIONS`"""
    dropout: float = 0.0
    """the share of hidden units that is dropped in training"""
    batch_norm: bool = False

    def __post_init__(self) -> None:
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ValueError(
                f"widths are the inputs, any hidden layers and the classes, each 1 or more, not "
                f"{self.widths}"
            )
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"the activation is one of {', '.join(ACTIVATIONS)}, not {self.activation!r}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be 0 or more and below 1, not {self.dropout}")

    @property
    def n_layer(self) -> int:
        """How many linear layers there are; all but the last are followed by an activation."""
        return len(self.widths) - 1


class MLP:
    """A classifier of vectors: parameters in `params`, running statistics in `buffers`."""

    def __init__(
        self, config: MLPConfig, rng: np.random.Generator, dtype: Any = np.float32
    ) -> None:
        """The network with new weights, drawn from `rng`; one seed gives the same in each dtype."""
        self.config = config
        self.params: Arrays = {}
        self.buffers: Arrays = {}
        for i in range(config.n_layer):
            self._add_layer(i, rng, dtype)

    def _add_layer(self, i: int, rng: np.random.Generator, dtype: Any) -> None:
        d_in, d_out = self.config.widths[i : i + 2]
        hidden = i < self.config.n_layer - 1
        if not hidden:
            weight = xavier_normal((d_out, d_in), rng, gain=LAST_GAIN, dtype=dtype)
        elif self.config.activation in HALVING:
            weight = he_normal((d_out, d_in), rng, dtype=dtype)
        else:
            weight = xavier_normal((d_out, d_in), rng, dtype=dtype)
        self.params[f"layers.{i}.weight"] = weight  # (d_out, d_in)
        self.params[f"layers.{i}.bias"] = np.zeros(d_out, dtype)
        if hidden and self.config.batch_norm:
            self.params[f"norms.{i}.weight"] = np.ones(d_out, dtype)
            self.params[f"norms.{i}.bias"] = np.zeros(d_out, dtype)
            self.buffers[f"norms.{i}.running_mean"] = np.zeros(d_out, dtype)
            self.buffers[f"norms.{i}.running_var"] = np.ones(d_out, dtype)

    @property
    def n_parameter(self) -> int:
        """How many numbers are trained."""
        return sum(param.size for param in self.params.values())

    def forward(
        self,
        x: Float[np.ndarray, "B n"],
        targets: Integer[np.ndarray, " B"],
        rng: np.random.Generator | None = None,
    ) -> tuple[float, Cache]:
        """The mean cross-entropy of a batch in nats, and the cache for `backward`.

        With an `rng` this is training: it draws the dropout, and batch norm uses the batch's own
        statistics and changes the running ones. None means evaluation. x is taken in the
        parameters' dtype. Raises ValueError where x is not as wide as the first layer, naming both
        widths, and for a target that is no class, naming it.
        """
        logits, caches = self._scores(x, rng)  # (B, V)
        loss, loss_cache = cross_entropy_forward(logits, targets)
        return loss, (caches, loss_cache)

    def backward(self, cache: Cache) -> Arrays:
        """The gradients of all parameters under their names: forward, read from its end."""
        caches, loss_cache = cache
        grads: Arrays = {}
        dx = cross_entropy_backward(1.0, loss_cache)  # (B, V)
        for i in reversed(range(self.config.n_layer)):
            linear_cache, hidden_cache = caches[i]
            if hidden_cache is not None:
                dx = self._hidden_backward(i, dx, hidden_cache, grads)  # (B, d_out)
            if i > 0:
                dx, dweight, dbias = linear_backward(dx, linear_cache)  # (B, d_in)
            else:  # nobody asks for the gradient of the inputs
                dweight, dbias = linear_backward_parameters(dx, linear_cache)
            grads[f"layers.{i}.weight"], grads[f"layers.{i}.bias"] = dweight, dbias
        return grads

    def logits(self, x: Float[np.ndarray, "B n"]) -> Float[np.ndarray, "B V"]:
        """The scores of every class, in evaluation."""
        return self._scores(x, None)[0]

    def predict(self, x: Float[np.ndarray, "B n"]) -> Int[np.ndarray, " B"]:
        """The class with the highest score of each example, in evaluation; the first of equals."""
        return np.argmax(self.logits(x), axis=1)

    # The two halves of a hidden layer's path, after its linear part

    def _scores(
        self, x: np.ndarray, rng: np.random.Generator | None
    ) -> tuple[np.ndarray, list[Cache]]:
        weight = self.params["layers.0.weight"]
        if x.ndim != 2 or x.shape[1] != weight.shape[1]:
            raise ValueError(
                f"x must have the shape (examples, {weight.shape[1]}), got {x.shape}: flatten "
                "images, and give one example as a batch of one"
            )
        x = x.astype(weight.dtype, copy=False)
        caches = []
        for i in range(self.config.n_layer):
            weight, bias = self.params[f"layers.{i}.weight"], self.params[f"layers.{i}.bias"]
            x, linear_cache = linear_forward(x, weight, bias)  # (B, d_out)
            hidden_cache = None
            if i < self.config.n_layer - 1:
                x, hidden_cache = self._hidden_forward(i, x, rng)  # (B, d_out)
            caches.append((linear_cache, hidden_cache))
        return x, caches

    def _hidden_forward(
        self, i: int, x: np.ndarray, rng: np.random.Generator | None
    ) -> tuple[np.ndarray, Cache]:
        norm_cache = None
        if self.config.batch_norm:
            x, norm_cache = batch_norm_forward(
                x,
                self.params[f"norms.{i}.weight"],
                self.params[f"norms.{i}.bias"],
                self.buffers[f"norms.{i}.running_mean"],
                self.buffers[f"norms.{i}.running_var"],
                training=rng is not None,
            )
        activation_forward, _ = ACTIVATIONS[self.config.activation]
        x, activation_cache = activation_forward(x)
        x, dropout_cache = dropout_forward(x, self.config.dropout, rng)
        return x, (norm_cache, activation_cache, dropout_cache)

    def _hidden_backward(self, i: int, dx: np.ndarray, cache: Cache, grads: Arrays) -> np.ndarray:
        """The gradient before the norm; those of the norm's weight and bias go into `grads`."""
        norm_cache, activation_cache, dropout_cache = cache
        _, activation_backward = ACTIVATIONS[self.config.activation]
        dx = dropout_backward(dx, dropout_cache)
        dx = activation_backward(dx, activation_cache)
        if norm_cache is not None:
            dx, dweight, dbias = batch_norm_backward(dx, norm_cache)
            grads[f"norms.{i}.weight"], grads[f"norms.{i}.bias"] = dweight, dbias
        return dx
