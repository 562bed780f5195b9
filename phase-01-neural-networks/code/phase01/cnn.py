"""A convolutional network: blocks of convolution, pooling and ReLU, and a linear layer on top.

    block i       x <- relu(batch norm(max pool(conv(x, W_i) + b_i)))
    the head      logits = dropout(x) W^T + b, loss = cross-entropy with the right classes

A convolution keeps height and width (its padding is half of its window), pooling halves both, and
each block mostly has more filters than the one before: fewer places, more kinds of things that can
be seen there. The head gets what is left of the image as one vector. LeNet-5 is built on this plan
(LeCun et al. 1998, section II), with scaled hyperbolic tangents, with sums of four, a coefficient
and a bias for each map in place of the maximum, and with more layers at the end.

Pooling stands directly after the convolution, since all that follows then has a quarter of the
work. For ReLU alone the order makes no difference: it never falls, so the largest number stays the
largest. With batch norm it does, for mean and variance are then those of the maxima.

How it begins. Of four standard normal numbers the largest has the mean square 1.55, so the weights
of the convolutions get the variance 1 / (1.55 fan_in), in place of He's 2 / fan_in: the signal
stays of one size through blocks of any number. The weight of the head is a tenth of Xavier's, as in
`phase01.mlp`, so that the first loss is close to ln V. Biases are 0.

Names are those of a PyTorch module with the `ModuleList`s `convs`, `norms` and `layers`:
`convs.0.weight`, `convs.0.bias`, `norms.0.weight`, `norms.0.bias`, and for the head
`layers.0.weight`, `layers.0.bias`; in `buffers` are `norms.0.running_mean` and `running_var`.

Left out: blocks of several convolutions, other strides and activations, hidden layers before the
head, and the loop that trains (`phase01.train_cnn`).

Shape letters: B batch, C channels of the images, H and W their height and width, V classes; of a
block, C, H and W are those of its input, and F its filters.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Integer

from phase01.activations import relu_backward, relu_forward
from phase01.convolution import (
    conv2d_backward,
    conv2d_backward_parameters,
    conv2d_forward,
    max_pool2d_backward,
    max_pool2d_forward,
)
from phase01.initialization import he_normal, xavier_normal
from phase01.linear import linear_backward, linear_forward
from phase01.losses import cross_entropy_backward, cross_entropy_forward
from phase01.regularization import (
    batch_norm_backward,
    batch_norm_forward,
    dropout_backward,
    dropout_forward,
)

Cache = tuple
Arrays = dict[str, Float[np.ndarray, "..."]]
Shape = tuple[int, ...]  # channels, height, width

POOL = 2  # pixels: the side of the windows of every pooling, and their distance
POOLED_GAIN = 1 / math.sqrt(1.5513)  # what the largest of four normal numbers asks for
HEAD_GAIN = 0.1  # of the head's weight


@dataclass(frozen=True)
class CNNConfig:
    """What the network looks like; what cannot be is a ValueError that names the field."""

    image: Shape
    """channels, height and width of the images: (3, 32, 32)"""
    filters: tuple[int, ...]
    """the number of filters in each block: (32, 64, 128)"""
    n_class: int
    window: int = 3
    """pixels: height and width of a filter, an odd number"""
    dropout: float = 0.0
    """the share of the head's inputs that is dropped in training"""
    batch_norm: bool = False

    def __post_init__(self) -> None:
        if len(self.image) != 3 or min(self.image) < 1:
            raise ValueError(
                f"image is (channels, height, width), each 1 or more, not {self.image}"
            )
        if not self.filters or min(self.filters) < 1:
            raise ValueError(
                f"filters are one number for each block, each 1 or more, not {self.filters}"
            )
        if self.n_class < 1:
            raise ValueError(f"n_class must be 1 or more, not {self.n_class}")
        if self.window < 1 or self.window % 2 == 0:
            raise ValueError(f"window must be odd, so that it has a middle, not {self.window}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be 0 or more and below 1, not {self.dropout}")
        if min(self.shapes[-1]) < 1:
            raise ValueError(
                f"images of {self.image[1]} x {self.image[2]} pixels cannot be halved "
                f"{len(self.filters)} times: take fewer blocks, or larger images"
            )

    @property
    def shapes(self) -> list[Shape]:
        """(channels, height, width) of the image, and of what each block makes of it."""
        shapes = [self.image]
        for n_filter in self.filters:
            _, height, width = shapes[-1]
            shapes.append((n_filter, height // POOL, width // POOL))
        return shapes


def conv_parameters(config: CNNConfig) -> list[int]:
    """The parameters of each convolution, which does not ask how large the image is."""
    return [
        n_filter * (n_channel * config.window**2 + 1)
        for n_filter, (n_channel, _, _) in zip(config.filters, config.shapes, strict=False)
    ]


def dense_parameters(config: CNNConfig) -> list[int]:
    """The parameters that linear layers would have in place of the convolutions.

    Each reads all numbers of its block's input, and has the convolution's number of outputs, F for
    each place.
    """
    return [
        n_filter * height * width * (n_channel * height * width + 1)
        for n_filter, (n_channel, height, width) in zip(config.filters, config.shapes, strict=False)
    ]


def n_multiply_add(config: CNNConfig) -> int:
    """The multiplications, each with an addition, of all weights for one image, forward.

    A weight of a convolution is used once at every place, one of the head once. Training takes
    three times as many: backward has two products for each of forward's, except in the first block.
    """
    convolutions = sum(
        height * width * n_filter * n_channel * config.window**2
        for n_filter, (n_channel, height, width) in zip(config.filters, config.shapes, strict=False)
    )
    return convolutions + math.prod(config.shapes[-1]) * config.n_class


class CNN:
    """A classifier of images: parameters in `params`, running statistics in `buffers`."""

    def __init__(
        self, config: CNNConfig, rng: np.random.Generator, dtype: Any = np.float32
    ) -> None:
        """The network with new weights, drawn from `rng`; one seed gives the same in each dtype."""
        self.config = config
        self.params: Arrays = {}
        self.buffers: Arrays = {}
        for i in range(len(config.filters)):
            self._add_block(i, rng, dtype)
        d_in = math.prod(config.shapes[-1])
        head = xavier_normal((config.n_class, d_in), rng, gain=HEAD_GAIN, dtype=dtype)
        self.params["layers.0.weight"] = head  # (V, d_in)
        self.params["layers.0.bias"] = np.zeros(config.n_class, dtype)

    def _add_block(self, i: int, rng: np.random.Generator, dtype: Any) -> None:
        n_filter, n_channel = self.config.filters[i], self.config.shapes[i][0]
        shape = (n_filter, n_channel, self.config.window, self.config.window)
        self.params[f"convs.{i}.weight"] = he_normal(shape, rng, POOLED_GAIN, dtype=dtype)
        self.params[f"convs.{i}.bias"] = np.zeros(n_filter, dtype)
        if self.config.batch_norm:
            self.params[f"norms.{i}.weight"] = np.ones(n_filter, dtype)
            self.params[f"norms.{i}.bias"] = np.zeros(n_filter, dtype)
            self.buffers[f"norms.{i}.running_mean"] = np.zeros(n_filter, dtype)
            self.buffers[f"norms.{i}.running_var"] = np.ones(n_filter, dtype)

    @property
    def n_parameter(self) -> int:
        """How many numbers are trained."""
        return sum(param.size for param in self.params.values())

    def forward(
        self,
        x: Float[np.ndarray, "B C H W"],
        targets: Integer[np.ndarray, " B"],
        rng: np.random.Generator | None = None,
    ) -> tuple[float, Cache]:
        """The mean cross-entropy of a batch in nats, and the cache for `backward`.

        With an `rng` this is training: it draws the dropout, and batch norm uses the batch's own
        statistics and changes the running ones. None means evaluation. x is taken in the
        parameters' dtype. Raises ValueError for images of another shape than the config's, naming
        both, and for a target that is no class, naming it.
        """
        logits, cache = self._scores(x, rng)  # (B, V)
        loss, loss_cache = cross_entropy_forward(logits, targets)
        return loss, (cache, loss_cache)

    def backward(self, cache: Cache) -> Arrays:
        """The gradients of all parameters under their names: forward, read from its end."""
        (block_caches, shape, dropout_cache, head_cache), loss_cache = cache
        grads: Arrays = {}
        dlogits = cross_entropy_backward(1.0, loss_cache)  # (B, V)
        dx, dweight, dbias = linear_backward(dlogits, head_cache)  # (B, d_in)
        grads["layers.0.weight"], grads["layers.0.bias"] = dweight, dbias
        dx = dropout_backward(dx, dropout_cache).reshape(shape)  # (B, F, P, Q)
        for i in reversed(range(len(block_caches))):
            dx = self._block_backward(i, dx, block_caches[i], grads)  # (B, C, H, W)
        return grads

    def logits(
        self, x: Float[np.ndarray, "B C H W"], batch_size: int = 250
    ) -> Float[np.ndarray, "B V"]:
        """The scores of every class, in evaluation; `batch_size` images at once, to save memory."""
        batches = range(0, max(len(x), 1), batch_size)
        return np.concatenate([self._scores(x[i : i + batch_size], None)[0] for i in batches])

    def predict(
        self, x: Float[np.ndarray, "B C H W"], batch_size: int = 250
    ) -> Int[np.ndarray, " B"]:
        """The class with the highest score of each image, in evaluation; the first of equals."""
        return np.argmax(self.logits(x, batch_size), axis=1)

    # The path of the images, and a block's two halves

    def _scores(self, x: np.ndarray, rng: np.random.Generator | None) -> tuple[np.ndarray, Cache]:
        if x.ndim != 4 or x.shape[1:] != self.config.image:
            raise ValueError(
                f"x must have the shape (images, {', '.join(map(str, self.config.image))}), got "
                f"{x.shape}: give one image as a batch of one"
            )
        x = x.astype(self.params["layers.0.weight"].dtype, copy=False)
        block_caches = []
        for i in range(len(self.config.filters)):
            x, block_cache = self._block_forward(i, x, rng)  # (B, F, P, Q)
            block_caches.append(block_cache)
        shape = x.shape
        x = x.reshape(len(x), math.prod(shape[1:]))  # (B, d_in)
        x, dropout_cache = dropout_forward(x, self.config.dropout, rng)
        logits, head_cache = linear_forward(
            x, self.params["layers.0.weight"], self.params["layers.0.bias"]
        )  # (B, V)
        return logits, (block_caches, shape, dropout_cache, head_cache)

    def _block_forward(
        self, i: int, x: np.ndarray, rng: np.random.Generator | None
    ) -> tuple[np.ndarray, Cache]:
        x, conv_cache = conv2d_forward(
            x,
            self.params[f"convs.{i}.weight"],
            self.params[f"convs.{i}.bias"],
            padding=self.config.window // 2,
        )  # (B, F, H, W)
        x, pool_cache = max_pool2d_forward(x, POOL)  # (B, F, P, Q)
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
        x, relu_cache = relu_forward(x)
        return x, (conv_cache, pool_cache, norm_cache, relu_cache)

    def _block_backward(self, i: int, dx: np.ndarray, cache: Cache, grads: Arrays) -> np.ndarray:
        """The gradient of the block's input (of the first: of its sums, since nobody asks)."""
        conv_cache, pool_cache, norm_cache, relu_cache = cache
        dx = relu_backward(dx, relu_cache)
        if norm_cache is not None:
            dx, dweight, dbias = batch_norm_backward(dx, norm_cache)
            grads[f"norms.{i}.weight"], grads[f"norms.{i}.bias"] = dweight, dbias
        dx = max_pool2d_backward(dx, pool_cache)  # (B, F, H, W)
        if i > 0:
            dx, dweight, dbias = conv2d_backward(dx, conv_cache)  # (B, C, H, W)
        else:
            dweight, dbias = conv2d_backward_parameters(dx, conv_cache)
        grads[f"convs.{i}.weight"], grads[f"convs.{i}.bias"] = dweight, dbias
        return dx
