"""Principal component analysis: the flat picture of a cloud of points that keeps most of it.

The points are moved so that their mean is 0. The first component is the direction along which they
vary most, the second that of the directions at a right angle to it along which they do, and so on.
They are the eigenvectors of the covariance matrix, and also the right singular vectors of the
matrix of points: X = U S V^T gives X^T X / (n - 1) = V (S^2 / (n - 1)) V^T. So one decomposition
gives the directions (rows of V^T) and the variance along each, S^2 / (n - 1).

A direction and its opposite are equally good. Here the entry of each that is largest in size is
positive, so that the same points always give the same picture.

Left out: the covariance matrix (its condition is the square of the points'), scaling the columns,
and t-SNE, which is no projection.

Shapes: n points, C width, k components.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Projection(NamedTuple):
    """What `pca` found."""

    points: Float[np.ndarray, "n k"]
    """the points, their mean at 0, along each component"""
    components: Float[np.ndarray, "k C"]
    """the directions, of length 1 and at right angles"""
    explained: Float[np.ndarray, " k"]
    """the share of the whole variance that lies along each"""
    mean: Float[np.ndarray, " C"]


def pca(x: Float[np.ndarray, "n C"], n_components: int = 2) -> Projection:
    """The points along their first components, in falling order of variance.

    Raises ValueError unless there are at least two points, which are not all the same, and
    1 <= n_components <= min(n, C).
    """
    if len(x) < 2 or not 1 <= n_components <= min(x.shape):
        raise ValueError(
            f"points of shape {x.shape} have from 1 to {min(x.shape)} components, if there are two "
            f"points at least; asked for were {n_components}"
        )
    mean = x.mean(axis=0)
    centered = x - mean  # (n, C)
    _, sizes, directions = np.linalg.svd(centered, full_matrices=False)
    total = float((sizes**2).sum())
    if (x == x[0]).all():  # not where total is 0: the mean of equal numbers may be rounded
        raise ValueError("all points are the same: no direction tells them apart")
    components = directions[:n_components]  # (k, C)
    largest = np.abs(components).argmax(axis=1)
    components = components * np.sign(components[np.arange(n_components), largest])[:, np.newaxis]
    explained = sizes[:n_components] ** 2 / total
    return Projection(centered @ components.T, components, explained, mean)  # points (n, k)
