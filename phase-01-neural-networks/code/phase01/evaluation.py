"""What the scripts of classifiers ask while they train and after.

Is the loss still a number, and which class was taken for which?
Shape letters: N examples, V classes.
"""

import math

import numpy as np
from jaxtyping import Int, Integer


def require_finite(loss: float, n_steps: int) -> None:
    """ValueError where the loss is no number any more: what follows would be none either."""
    if not math.isfinite(loss):
        raise ValueError(
            f"the loss is {loss} after {n_steps} steps: the run has diverged; lower learning_rate"
        )


def confusion_matrix(
    labels: Integer[np.ndarray, " N"], answers: Integer[np.ndarray, " N"], n_class: int
) -> Int[np.ndarray, "V V"]:
    """How many examples of each class (row) were taken for each class (column)."""
    pairs = labels.astype(np.int64) * n_class + answers  # (N,): a number for each pair of classes
    return np.bincount(pairs, minlength=n_class**2).reshape(n_class, n_class)  # (V, V)
