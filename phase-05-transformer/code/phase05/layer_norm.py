"""Layer normalization: every position by itself, over its features.

    mean_n = mean of x_n over the C features            var_n = mean of (x_n - mean_n)^2
    z_n    = (x_n - mean_n) / sqrt(var_n + epsilon)     y_n   = weight * z_n + bias

(Ba, Kiros and Hinton, 2016, equations 3 and 4.) Batch norm (`phase01.regularization`) takes the
mean of a feature over the examples; here it is the mean of a position over its features. So nothing
depends on the batch or on the other positions: training and evaluation are one, a batch of one is
as good as any, and a sequence may have any length. `weight` and `bias`, the paper's gain and bias,
have one number for each feature and are the same at all positions.

The variance is divided by C, not by C - 1, and epsilon stands within the root, as in
`torch.nn.LayerNorm`. The paper has no epsilon; it keeps a position whose features are all equal
from a division by zero.

Left out: normalization over several axes, a layer without bias, RMSNorm (phase 9).
Shapes: *batch any leading axes (B and T), C features, n positions in all.
"""

import numpy as np
from jaxtyping import Float

EPSILON = 1e-5


def layer_norm_forward(
    x: Float[np.ndarray, "*batch C"],
    weight: Float[np.ndarray, " C"],
    bias: Float[np.ndarray, " C"],
    epsilon: float = EPSILON,
) -> tuple[Float[np.ndarray, "*batch C"], tuple]:
    """Each position with mean 0 and variance 1, scaled and shifted, and the cache for backward.

    The formula is the module's. Raises ValueError, naming the shapes, where x has no feature or
    weight and bias have another number of them than x.
    """
    if not x.shape or not x.shape[-1:] == weight.shape == bias.shape or x.shape[-1] == 0:
        raise ValueError(
            "layer norm needs x of shape (..., C), a weight (C,) and a bias (C,), C at least 1, "
            f"not {x.shape}, {weight.shape} and {bias.shape}"
        )
    rows = x.reshape(-1, x.shape[-1])  # (n, C)
    normalized = rows - rows.mean(axis=1, keepdims=True)  # (n, C)
    var = np.einsum("nc,nc->n", normalized, normalized) / rows.dtype.type(x.shape[-1])  # (n,)
    inverse = 1 / np.sqrt(var + rows.dtype.type(epsilon))  # (n,)
    normalized *= inverse[:, np.newaxis]
    y = normalized * weight  # (n, C)
    y += bias
    return y.reshape(x.shape), (normalized, inverse, weight)  # (..., C)


def layer_norm_backward(
    dy: Float[np.ndarray, "*batch C"], cache: tuple
) -> tuple[Float[np.ndarray, "*batch C"], Float[np.ndarray, " C"], Float[np.ndarray, " C"]]:
    """The gradients (dx, dweight, dbias).

    dweight = sum of dy z and dbias = sum of dy over all positions; dz = weight dy. Of one position,
    with r = 1 / sqrt(var + epsilon), so that z_i = r (x_i - mean), and all means over features:

        dmean/dx_j = 1 / C      dvar/dx_j = 2 (x_j - mean) / C      dr/dx_j = -r^2 z_j / C
        dz_i/dx_j  = r (delta_ij - 1 / C) + (x_i - mean) dr/dx_j = r (delta_ij - 1/C - z_i z_j / C)
        dx_j = sum_i dz_i dz_i/dx_j = r (dz_j - mean(dz) - z_j mean(dz z))

    What is taken away is the part of dz that a shift or a stretch of x would make, since neither
    changes z. The two means are products with weight: mean(dz) = dy . weight / C, and so on.
    """
    normalized, inverse, weight = cache
    n_features = len(weight)
    rows = dy.reshape(-1, n_features)  # (n, C)
    product = rows * normalized  # (n, C)
    dweight, dbias = product.sum(axis=0), rows.sum(axis=0)  # (C,), (C,)
    share = weight / weight.dtype.type(n_features)  # (C,)
    along = product @ share  # (n,), mean(dz z)
    dx = np.multiply(normalized, along[:, np.newaxis], out=product)  # (n, C), written over it
    dx += (rows @ share)[:, np.newaxis]  # (n, 1), mean(dz)
    np.subtract(rows * weight, dx, out=dx)  # (n, C)
    dx *= inverse[:, np.newaxis]
    return dx.reshape(dy.shape), dweight, dbias  # (..., C)
