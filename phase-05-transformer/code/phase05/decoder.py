"""The decoder: the encoder's layer, with a look at what the encoder has read in its middle.

    layer       x -> sublayer(causal self-attention)           what has been written so far
                  -> sublayer(attention over the memory)       what the encoder has read
                  -> sublayer(feed-forward)
    stack       n_layer of them; every one looks at the same memory, the encoder's output

(Vaswani et al., 2017, section 3.1 and figure 1.) In the middle sublayer, *cross-attention*, the
queries come from the decoder and the keys and values from the memory. Since all layers read the one
memory, its gradient is the sum of what comes back from each of them.

What makes it a decoder is the mask: position t may attend to 0 ... t alone, so that in training
all positions are computed at once and none sees what it has to write. The mask is the caller's
(`phase04.masks.causal_mask`). In the pre-norm form the memory is not normalized again within the
layer: the encoder's last norm has done it.

Parameters have the names of `torch.nn.TransformerDecoderLayer` and `torch.nn.TransformerDecoder`:

    layers.0.self_attn.in_proj_weight ...       layers.0.norm1.weight ...
    layers.0.multihead_attn.in_proj_weight ...  layers.0.norm2.weight ...    (cross-attention)
    layers.0.linear1.weight ...                 layers.0.norm3.weight ...    norm.weight, norm.bias

Left out: keys and values kept from step to step, which are in `phase05.decode`.
Shapes: B batch, T time of the target, S of the source, C = d_model, H heads.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from phase02.recurrent import Gradients, Parameters, part_of, prefixed
from phase04.multi_head import (
    multi_head_backward,
    multi_head_forward,
    multi_head_parameters,
    multi_head_self_backward,
    multi_head_self_forward,
    multi_head_weights,
)
from phase05.encoder import (
    LayerConfig,
    Mask,
    X,
    encoder_layer_weights,
    final_norm_backward,
    final_norm_forward,
    norm_parameters,
    stack_parameters,
    sublayer_backward,
    sublayer_forward,
)
from phase05.feed_forward import (
    feed_forward_backward,
    feed_forward_forward,
    feed_forward_parameters,
)
from phase05.layer_norm import layer_norm_forward

Memory = Float[np.ndarray, "B S C"]


def decoder_layer_parameters(
    config: LayerConfig, rng: np.random.Generator, dtype: Any = np.float32
) -> Gradients:
    """The parameters of one layer: two attentions, the feed-forward network, three norms."""
    return {
        **prefixed("self_attn.", multi_head_parameters(config.d_model, rng, dtype)),
        **prefixed("multihead_attn.", multi_head_parameters(config.d_model, rng, dtype)),
        **feed_forward_parameters(config.d_model, config.d_ff, rng, dtype),
        **norm_parameters(("norm1", "norm2", "norm3"), config, dtype),
    }


def decoder_layer_forward(
    params: Parameters,
    x: X,
    memory: Memory,
    mask: Mask,
    memory_mask: Mask,
    config: LayerConfig,
    rng: np.random.Generator | None = None,
) -> tuple[X, Any]:
    """The three sublayers, and the cache.

    Masks are True where a position may be attended to: `mask` is broadcast to (B, H, T, T), such as
    a causal (T, T); `memory_mask` to (B, H, T, S), such as (B, 1, 1, S); None where all may.
    """
    attention, across = part_of(params, "self_attn."), part_of(params, "multihead_attn.")

    def attend(x: X) -> tuple[X, Any]:
        return multi_head_self_forward(attention, x, mask, config.n_head)

    def look(x: X) -> tuple[X, Any]:
        return multi_head_forward(across, x, memory, memory_mask, config.n_head)

    def feed(x: X) -> tuple[X, Any]:
        return feed_forward_forward(params, x, config.activation)

    caches = []
    for name, function in (("norm1.", attend), ("norm2.", look), ("norm3.", feed)):
        x, cache = sublayer_forward(part_of(params, name), x, function, config, rng)  # (B, T, C)
        caches.append(cache)
    return x, caches


def decoder_layer_backward(dy: X, cache: Any) -> tuple[X, Memory, Gradients]:
    """dx, dmemory and the gradients of the layer's parameters."""
    first, second, third = cache
    dx, (feeding,), norm3 = sublayer_backward(dy, third, feed_forward_backward)
    dx, (dmemory, across), norm2 = sublayer_backward(dx, second, multi_head_backward)
    dx, (attention,), norm1 = sublayer_backward(dx, first, multi_head_self_backward)
    return (
        dx,
        dmemory,
        {
            **prefixed("self_attn.", attention),
            **prefixed("multihead_attn.", across),
            **feeding,
            **prefixed("norm1.", norm1),
            **prefixed("norm2.", norm2),
            **prefixed("norm3.", norm3),
        },
    )


def decoder_layer_weights(
    params: Parameters, x: X, memory: Memory, mask: Mask, memory_mask: Mask, config: LayerConfig
) -> tuple[Float[np.ndarray, "B H T T"], Float[np.ndarray, "B H T S"]]:
    """The weights of every head, of self-attention and of cross-attention, for the layer's input.

    They are worked out from the parameters: self-attention runs once, to know the queries.
    """
    attention = part_of(params, "self_attn.")

    def attend(x: X) -> tuple[X, Any]:
        return multi_head_self_forward(attention, x, mask, config.n_head)

    own = encoder_layer_weights(params, x, mask, config)  # (B, H, T, T)
    x, _ = sublayer_forward(part_of(params, "norm1."), x, attend, config)  # (B, T, C)
    if config.norm == "pre":
        x, _ = layer_norm_forward(x, params["norm2.weight"], params["norm2.bias"])  # (B, T, C)
    across = part_of(params, "multihead_attn.")
    return own, multi_head_weights(across, x, memory, memory_mask, config.n_head)  # (B, H, T, S)


# ---- the stack ---------------------------------------------------------------------------


def decoder_parameters(
    n_layer: int,
    config: LayerConfig,
    rng: np.random.Generator,
    dtype: Any = np.float32,
    final_norm: bool = False,
) -> Gradients:
    """The parameters of the decoder's stack; raises as `phase05.encoder.stack_parameters` does."""
    return stack_parameters(decoder_layer_parameters, n_layer, config, rng, dtype, final_norm)


def decoder_forward(
    params: Parameters,
    x: X,
    memory: Memory,
    mask: Mask,
    memory_mask: Mask,
    config: LayerConfig,
    n_layer: int,
    rng: np.random.Generator | None = None,
) -> tuple[X, Any]:
    """All layers, one after the other, and the norm at the end where there is one."""
    caches = []
    for i in range(n_layer):
        layer = part_of(params, f"layers.{i}.")
        x, cache = decoder_layer_forward(layer, x, memory, mask, memory_mask, config, rng)
        caches.append(cache)
    x, norm_cache = final_norm_forward(params, x)
    return x, (caches, norm_cache)  # (B, T, C)


def decoder_backward(dy: X, cache: Any) -> tuple[X, Memory, Gradients]:
    """dx, dmemory and the gradients of all parameters of the stack: forward read upwards."""
    caches, norm_cache = cache
    dx, grads = final_norm_backward(dy, norm_cache)
    dmemory = None
    for i in reversed(range(len(caches))):
        dx, dlayer, layer = decoder_layer_backward(dx, caches[i])  # (B, T, C), (B, S, C)
        dmemory = dlayer if dmemory is None else dmemory + dlayer  # every layer has read it
        grads |= prefixed(f"layers.{i}.", layer)
    assert dmemory is not None, "a stack has a layer"
    return dx, dmemory, grads
