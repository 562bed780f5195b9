"""The encoder: layers of self-attention and feed-forward, each sublayer with what is around it.

A *sublayer* f (attention, or the feed-forward network) is never alone. Where the layer norm stands
is the one choice; dropout acts on what f returns:

    post    y = LN(x + dropout(f(x)))          Vaswani et al. (2017, section 3.1), `norm="post"`
    pre     y = x + dropout(f(LN(x)))          Xiong et al. (2020), GPT-2, `norm="pre"`
    none    y = x + dropout(f(x))              for the ablation; `residual=False` takes the x + away

In the pre-norm form the path from x to y is free of everything, so at the end of the stack stands
one more layer norm: the stack has it wherever `norm.weight` is among its parameters.

    layer       x -> sublayer(self-attention) -> sublayer(feed-forward)
    stack       n_layer of them, each with weights of its own

Parameters have the names of `torch.nn.TransformerEncoderLayer` and `torch.nn.TransformerEncoder`:

    layers.0.self_attn.in_proj_weight ...   layers.0.linear1.weight ...   layers.0.norm1.weight ...
    layers.0.norm2.weight ...               norm.weight, norm.bias (if a norm stands at the end)

Paper and our code: dropout as in the paper's section 5.4, on the output of each sublayer. PyTorch
has it within attention and within the feed-forward network too; with a rate of 0 they are equal.

Left out: nothing of the paper's encoder. The embeddings are in `phase05.transformer`.
Shapes: B batch, T time, C = d_model, H heads, F = d_ff.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float

from phase01.regularization import dropout_backward, dropout_forward
from phase02.recurrent import Gradients, Parameters, part_of, prefixed
from phase04.multi_head import (
    multi_head_parameters,
    multi_head_self_backward,
    multi_head_self_forward,
    multi_head_weights,
)
from phase05.feed_forward import (
    feed_forward_backward,
    feed_forward_forward,
    feed_forward_parameters,
)
from phase05.layer_norm import layer_norm_backward, layer_norm_forward

Norm = Literal["post", "pre", "none"]
Mask = Bool[np.ndarray, "..."] | None
X = Float[np.ndarray, "B T C"]


@dataclass(frozen=True)
class LayerConfig:
    """What a layer is made of; the same for encoder and decoder."""

    d_model: int
    n_head: int
    d_ff: int
    dropout: float = 0.0
    norm: Norm = "post"
    residual: bool = True
    activation: str = "relu"

    def __post_init__(self) -> None:
        for name in ("d_model", "n_head", "d_ff"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.d_model % self.n_head:
            raise ValueError(
                f"d_model must be a multiple of n_head, got {self.d_model} and {self.n_head}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout}")
        if self.norm not in get_args(Norm):
            raise ValueError(f"norm is one of {', '.join(get_args(Norm))}, not {self.norm!r}")


# ---- a sublayer and what is around it ----------------------------------------------------


def sublayer_forward(
    norm: Parameters,
    x: X,
    function: Callable[[X], tuple[X, Any]],
    config: LayerConfig,
    rng: np.random.Generator | None = None,
) -> tuple[X, Any]:
    """`function` with its residual connection, layer norm and dropout, as `config` says.

    `norm` holds the layer norm's `weight` and `bias`, and is not looked at where `config.norm` is
    "none". `function(x)` returns (y, cache). `rng=None` is evaluation, without dropout.
    """
    inside, norm_cache = x, None
    if config.norm == "pre":
        inside, norm_cache = layer_norm_forward(x, norm["weight"], norm["bias"])  # (B, T, C)
    y, function_cache = function(inside)  # (B, T, C)
    y, dropout_cache = dropout_forward(y, config.dropout, rng)  # (B, T, C)
    if config.residual:
        y = x + y  # (B, T, C)
    if config.norm == "post":
        y, norm_cache = layer_norm_forward(y, norm["weight"], norm["bias"])  # (B, T, C)
    return y, (config, norm_cache, function_cache, dropout_cache)


def sublayer_backward(
    dy: X, cache: Any, backward: Callable[[X, Any], tuple]
) -> tuple[X, tuple, Gradients]:
    """dx, what else `backward` returned, and the gradients of the norm's weight and bias, if any.

    `backward` belongs to the forward's `function`, and returns (dx, ...). x was used twice, by the
    residual connection and by the function, so dx is a sum: dy itself, and what comes through f.
    """
    config, norm_cache, function_cache, dropout_cache = cache
    grads: Gradients = {}
    if config.norm == "post":
        dy, grads["weight"], grads["bias"] = layer_norm_backward(dy, norm_cache)
    dx, *others = backward(dropout_backward(dy, dropout_cache), function_cache)  # (B, T, C)
    if config.norm == "pre":
        dx, grads["weight"], grads["bias"] = layer_norm_backward(dx, norm_cache)
    if config.residual:
        dx = dy + dx  # (B, T, C)
    return dx, tuple(others), grads


# ---- a layer -----------------------------------------------------------------------------


def norm_parameters(names: tuple[str, ...], config: LayerConfig, dtype: Any) -> Gradients:
    """Layer norms under these names, with weights of 1 and biases of 0; none for norm "none"."""
    if config.norm == "none":
        return {}
    made: Gradients = {}
    for name in names:
        made[f"{name}.weight"] = np.ones(config.d_model, dtype)
        made[f"{name}.bias"] = np.zeros(config.d_model, dtype)
    return made


def encoder_layer_parameters(
    config: LayerConfig, rng: np.random.Generator, dtype: Any = np.float32
) -> Gradients:
    """The parameters of one layer, as `phase04.multi_head` and `phase05.feed_forward` begin."""
    attention = multi_head_parameters(config.d_model, rng, dtype)
    return {
        **prefixed("self_attn.", attention),
        **feed_forward_parameters(config.d_model, config.d_ff, rng, dtype),
        **norm_parameters(("norm1", "norm2"), config, dtype),
    }


def encoder_layer_forward(
    params: Parameters,
    x: X,
    mask: Mask,
    config: LayerConfig,
    rng: np.random.Generator | None = None,
) -> tuple[X, Any]:
    """Self-attention, then the feed-forward network, each as a sublayer; and the cache.

    `mask` is True where a position may be attended to and is broadcast to (B, H, T, T), such as
    (B, 1, 1, T); None where all may. `rng` draws the dropout, None is evaluation.
    """
    attention = part_of(params, "self_attn.")

    def attend(x: X) -> tuple[X, Any]:
        return multi_head_self_forward(attention, x, mask, config.n_head)

    def feed(x: X) -> tuple[X, Any]:
        return feed_forward_forward(params, x, config.activation)

    x, first = sublayer_forward(part_of(params, "norm1."), x, attend, config, rng)  # (B, T, C)
    x, second = sublayer_forward(part_of(params, "norm2."), x, feed, config, rng)  # (B, T, C)
    return x, (first, second)


def encoder_layer_backward(dy: X, cache: Any) -> tuple[X, Gradients]:
    """dx and the gradients of the layer's parameters."""
    first, second = cache
    dx, (feeding,), norm2 = sublayer_backward(dy, second, feed_forward_backward)
    dx, (attention,), norm1 = sublayer_backward(dx, first, multi_head_self_backward)
    return dx, {
        **prefixed("self_attn.", attention),
        **feeding,
        **prefixed("norm1.", norm1),
        **prefixed("norm2.", norm2),
    }


def encoder_layer_weights(
    params: Parameters, x: X, mask: Mask, config: LayerConfig
) -> Float[np.ndarray, "B H T T"]:
    """How much each head of the layer attends from each position to each, for the layer's input."""
    if config.norm == "pre":
        x, _ = layer_norm_forward(x, params["norm1.weight"], params["norm1.bias"])  # (B, T, C)
    return multi_head_weights(part_of(params, "self_attn."), x, x, mask, config.n_head)


# ---- the stack ---------------------------------------------------------------------------


def stack_parameters(
    layer: Callable[[LayerConfig, np.random.Generator, Any], Gradients],
    n_layer: int,
    config: LayerConfig,
    rng: np.random.Generator,
    dtype: Any = np.float32,
    final_norm: bool = False,
) -> Gradients:
    """`n_layer` layers, each drawn anew by `layer(config, rng, dtype)`, and a norm at the end.

    Raises ValueError for fewer than one layer, and for a norm at the end where norm is "none".
    """
    if n_layer < 1:
        raise ValueError(f"n_layer must be at least 1, got {n_layer}")
    if final_norm and config.norm == "none":
        raise ValueError("final_norm asks for a layer norm, and norm='none' for none: choose one")
    made: Gradients = {}
    for i in range(n_layer):
        made |= prefixed(f"layers.{i}.", layer(config, rng, dtype))
    return made | (norm_parameters(("norm",), config, dtype) if final_norm else {})


def encoder_parameters(
    n_layer: int,
    config: LayerConfig,
    rng: np.random.Generator,
    dtype: Any = np.float32,
    final_norm: bool = False,
) -> Gradients:
    """The parameters of the encoder's stack; raises as `stack_parameters` does."""
    return stack_parameters(encoder_layer_parameters, n_layer, config, rng, dtype, final_norm)


def encoder_forward(
    params: Parameters,
    x: X,
    mask: Mask,
    config: LayerConfig,
    n_layer: int,
    rng: np.random.Generator | None = None,
) -> tuple[X, Any]:
    """All layers, one after the other, and the norm at the end where there is one."""
    caches = []
    for i in range(n_layer):
        x, cache = encoder_layer_forward(part_of(params, f"layers.{i}."), x, mask, config, rng)
        caches.append(cache)
    x, norm_cache = final_norm_forward(params, x)
    return x, (caches, norm_cache)  # (B, T, C)


def encoder_backward(dy: X, cache: Any) -> tuple[X, Gradients]:
    """dx and the gradients of all parameters of the stack: forward read upwards."""
    caches, norm_cache = cache
    dx, grads = final_norm_backward(dy, norm_cache)
    for i in reversed(range(len(caches))):
        dx, layer = encoder_layer_backward(dx, caches[i])  # (B, T, C)
        grads |= prefixed(f"layers.{i}.", layer)
    return dx, grads


def final_norm_forward(params: Parameters, x: X) -> tuple[X, Any]:
    """The layer norm `norm.` of a stack, and x itself where its parameters have none."""
    if "norm.weight" not in params:
        return x, None
    return layer_norm_forward(x, params["norm.weight"], params["norm.bias"])


def final_norm_backward(dy: X, cache: Any) -> tuple[X, Gradients]:
    """dx and the gradients under their names; dy itself and none where there was no norm."""
    if cache is None:
        return dy, {}
    dx, dweight, dbias = layer_norm_backward(dy, cache)
    return dx, {"norm.weight": dweight, "norm.bias": dbias}
