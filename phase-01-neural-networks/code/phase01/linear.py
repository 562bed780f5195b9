"""The linear layer, y = x W^T + b, with its backward pass: the operation every network rests on.

Row i of the weight holds what output i does with each input, so the weight is (d_out, d_in), as in
`torch.nn.Linear`. The gradients follow from one output of one example, y_j = sum_i W_ji x_i + b_j:

    dL/dx_i  = sum_j dy_j W_ji              dx = dy W
    dL/dW_ji = dy_j x_i                     dW = dy^T x      (summed over the examples)
    dL/db_j  = dy_j                         db = sum of dy   (over the examples)

The leading axes of x are examples, however many axes there are (batch; batch and time). They are
laid in one row of n examples, so that each of the three passes is a single matrix product.

Left out: a layer without a bias, and how the weights begin (`phase01.initialization`).
Shapes: ... any leading axes, n examples in them together.
"""

import numpy as np
from jaxtyping import Float


def linear_forward(
    x: Float[np.ndarray, "*batch d_in"],
    weight: Float[np.ndarray, "d_out d_in"],
    bias: Float[np.ndarray, " d_out"],
) -> tuple[Float[np.ndarray, "*batch d_out"], tuple]:
    """The layer's output y = x W^T + b, of shape (..., d_out), and the cache for its backward.

    Raises ValueError, naming the three shapes, where they do not fit; a bias of one number is not
    stretched over all outputs.
    """
    if weight.ndim != 2 or x.shape[-1:] != weight.shape[1:] or bias.shape != weight.shape[:1]:
        raise ValueError(
            "linear needs x of shape (..., d_in), a weight (d_out, d_in) and a bias (d_out,), not "
            f"{x.shape}, {weight.shape} and {bias.shape}"
        )
    d_out, d_in = weight.shape
    y = x.reshape(-1, d_in) @ weight.T  # (n, d_out)
    y += bias  # (n, d_out) + (d_out,)
    return y.reshape(*x.shape[:-1], d_out), (x, weight)  # (..., d_out)


def linear_backward(
    dy: Float[np.ndarray, "*batch d_out"], cache: tuple
) -> tuple[
    Float[np.ndarray, "*batch d_in"],
    Float[np.ndarray, "d_out d_in"],
    Float[np.ndarray, " d_out"],
]:
    """The gradients (dx, dweight, dbias), of the shapes of x, weight and bias.

    The derivation stands at the head of the module.
    """
    x, weight = cache
    dweight, dbias = linear_backward_parameters(dy, cache)
    dx = dy.reshape(-1, len(weight)) @ weight  # (n, d_in)
    return dx.reshape(x.shape), dweight, dbias  # (..., d_in)


def linear_backward_parameters(
    dy: Float[np.ndarray, "*batch d_out"], cache: tuple
) -> tuple[Float[np.ndarray, "d_out d_in"], Float[np.ndarray, " d_out"]]:
    """The gradients (dweight, dbias) alone, for a network's first layer.

    Nobody asks how the loss changes with the pixels, and that product would be the largest of all.
    """
    x, weight = cache
    d_out, d_in = weight.shape
    rows = dy.reshape(-1, d_out)  # (n, d_out)
    return rows.T @ x.reshape(-1, d_in), rows.sum(axis=0)  # (d_out, d_in), (d_out,)
