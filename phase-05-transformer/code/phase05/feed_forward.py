"""The position-wise feed-forward network: two linear layers with an activation between them.

    y = W2 phi(W1 x + b1) + b2          (Vaswani et al., 2017, section 3.3, equation 2: phi is ReLU)

The same network at every position, each by itself: attention moves things between positions, this
works on what has arrived. Inside it is wider, C -> F -> C, in the paper 512 -> 2048 -> 512.

The paper writes x W with W (d_in, d_out); ours are (d_out, d_in) as in `torch.nn.Linear`, and the
names are those of `torch.nn.TransformerEncoderLayer`:

    linear1.weight (F, C)   linear1.bias (F,)   linear2.weight (C, F)   linear2.bias (C,)

Left out: the dropout between the two layers that PyTorch has and the paper does not name, gated
networks (phase 9). Shapes: *batch any leading axes (B and T), C = d_model, F = d_ff.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from phase01.activations import ACTIVATIONS
from phase01.initialization import xavier_uniform
from phase01.linear import linear_backward, linear_forward

NAMES = ("relu", "gelu", "gelu_tanh")
"""the activations to choose from: the paper's, the exact GELU, and GPT-2's"""


def feed_forward_parameters(
    d_model: int, d_ff: int, rng: np.random.Generator, dtype: Any = np.float32
) -> dict[str, np.ndarray]:
    """Xavier's uniform weights, as `torch.nn.Transformer` begins, and biases of zero.

    Raises ValueError where a width is not at least 1.
    """
    if min(d_model, d_ff) < 1:
        raise ValueError(f"widths must be at least 1, got d_model {d_model} and d_ff {d_ff}")
    return {
        "linear1.weight": xavier_uniform((d_ff, d_model), rng, dtype=dtype),
        "linear1.bias": np.zeros(d_ff, dtype),
        "linear2.weight": xavier_uniform((d_model, d_ff), rng, dtype=dtype),
        "linear2.bias": np.zeros(d_model, dtype),
    }


def feed_forward_forward(
    params: Mapping[str, np.ndarray], x: Float[np.ndarray, "*batch C"], activation: str = "relu"
) -> tuple[Float[np.ndarray, "*batch C"], tuple]:
    """The network at each position, and the cache; the formula is the module's.

    Raises ValueError for an activation that is none of NAMES, naming it, and where x does not fit.
    """
    if activation not in NAMES:
        raise ValueError(f"the activation is one of {', '.join(NAMES)}, not {activation!r}")
    hidden, first = linear_forward(x, params["linear1.weight"], params["linear1.bias"])
    hidden, between = ACTIVATIONS[activation][0](hidden)  # (..., F)
    y, second = linear_forward(hidden, params["linear2.weight"], params["linear2.bias"])
    return y, (activation, first, between, second)  # (..., C)


def feed_forward_backward(
    dy: Float[np.ndarray, "*batch C"], cache: tuple
) -> tuple[Float[np.ndarray, "*batch C"], dict[str, np.ndarray]]:
    """dx and the gradients of the four parameters: the three steps read upwards."""
    activation, first, between, second = cache
    dhidden, dweight2, dbias2 = linear_backward(dy, second)  # (..., F)
    dhidden = ACTIVATIONS[activation][1](dhidden, between)  # (..., F)
    dx, dweight1, dbias1 = linear_backward(dhidden, first)  # (..., C)
    return dx, {
        "linear1.weight": dweight1,
        "linear1.bias": dbias1,
        "linear2.weight": dweight2,
        "linear2.bias": dbias2,
    }
