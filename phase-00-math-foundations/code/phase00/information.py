"""Entropy and what is built on it: how uncertain a distribution is, and how far two lie apart.

For distributions p and q over the same outcomes, and two variables X and Y:

    entropy               H(p)      = -sum_i p_i log p_i
    cross-entropy         H(p, q)   = -sum_i p_i log q_i
    KL divergence         D(p || q) =  sum_i p_i log(p_i / q_i) = H(p, q) - H(p)
    mutual information    I(X; Y)   =  sum_xy p(x, y) log(p(x, y) / (p(x) p(y)))
                                    =  H(X) + H(Y) - H(X, Y)
    perplexity                         exp(H) with H in nats, 2^H with H in bits

The logarithm's base is the unit: e for nats, 2 for bits. An outcome that never occurs adds nothing,
0 log 0 = 0, since p log p goes to 0 with p. One that occurs where q says it cannot, p > 0 at q = 0,
makes the cross-entropy and the divergence infinite. (Shannon 1948; Kullback and Leibler 1951.)

A distribution is an array of any shape, one entry for each outcome: finite, none negative, the sum
1 within `TOLERANCE`. Anything else is a ValueError. All is computed in float64; a result of zero is
0.0 and not -0.0, and nothing here makes NumPy warn (the tests take a warning for an error).
"""

import numpy as np
from jaxtyping import Float

# Rounding is no reason to refuse: a float32 softmax over 50,000 outcomes misses 1 by some 1e-7.
TOLERANCE = 1e-5

# What undoes what: the logarithm of each unit, and the power that perplexity takes.
UNITS = {"nats": (np.log, np.exp), "bits": (np.log2, np.exp2)}


def entropy(p: Float[np.ndarray, "..."], unit: str = "nats") -> float:
    """The average surprise H(p) = -sum_i p_i log p_i, from 0 (certain) to log n (uniform over n).

    Raises ValueError for a p that is no distribution, and a unit other than nats or bits.
    """
    return cross_entropy(p, p, unit)


def cross_entropy(
    p: Float[np.ndarray, "..."], q: Float[np.ndarray, "..."], unit: str = "nats"
) -> float:
    """The average surprise H(p, q) of someone who believes q while p is true; at least H(p).

    Infinite, without a warning, where q excludes an outcome that p has. Raises ValueError for a p
    or q that is no distribution, saying which, for shapes that differ, naming both, and for a unit
    other than nats or bits.
    """
    p, q = _distribution(p, "p"), _distribution(q, "q")
    if p.shape != q.shape:
        raise ValueError(
            f"p and q must be distributions over the same outcomes, and their shapes are {p.shape} "
            f"and {q.shape}"
        )
    log, _ = _functions(unit)
    occurs = p > 0  # elsewhere 0 log q counts as 0, also at q = 0
    with np.errstate(divide="ignore"):  # log 0 = -inf is meant
        total = np.sum(p[occurs] * log(q[occurs]))
    return max(0.0, -float(total))  # plain -total is -0.0 for a certain outcome


def kl_divergence(
    p: Float[np.ndarray, "..."], q: Float[np.ndarray, "..."], unit: str = "nats"
) -> float:
    """The excess D(p || q) = H(p, q) - H(p): what it costs to believe q while p is true.

    Exactly 0 for p itself, never negative (also where rounding says so), infinite where q excludes
    an outcome that p has. Not symmetric. Raises as `cross_entropy` does.
    """
    return max(0.0, cross_entropy(p, q, unit) - entropy(p, unit))


def mutual_information(joint: Float[np.ndarray, "X Y"], unit: str = "nats") -> float:
    """How much knowing one variable tells about the other: I(X; Y) = H(X) + H(Y) - H(X, Y).

    `joint[x, y]` is the probability of both. 0 if they are independent, their entropy if each
    determines the other; never negative. It is the divergence of the joint distribution from
    the product of its marginals, but that product can underflow to 0 at rare pairs, and the sum of
    entropies cannot. Raises ValueError, naming `joint`, where it is no distribution over
    two variables.
    """
    joint = _distribution(joint, "joint")
    if joint.ndim != 2:
        raise ValueError(
            f"a joint distribution of two variables has the shape (X, Y), not {joint.shape}"
        )
    of_x, of_y = joint.sum(axis=1), joint.sum(axis=0)  # (X,), (Y,): the marginals
    apart = entropy(of_x, unit) + entropy(of_y, unit)
    return max(0.0, apart - entropy(joint, unit))


def perplexity(cross_entropy: float, unit: str = "nats") -> float:
    """The number of equally likely choices that are as uncertain: exp(H), or 2^H in bits.

    `cross_entropy` is in `unit`; infinite, or beyond the largest float, it gives infinity. Raises
    ValueError, naming it, for one that is negative or nan.
    """
    _, power = _functions(unit)
    if not cross_entropy >= 0:
        raise ValueError(f"a cross-entropy is 0 or more, not {cross_entropy}")
    with np.errstate(over="ignore"):
        return float(power(cross_entropy))


def _functions(unit: str) -> tuple[np.ufunc, np.ufunc]:
    """The logarithm of a unit and its inverse."""
    if unit not in UNITS:
        raise ValueError(f"the unit is {' or '.join(UNITS)}, not {unit!r}")
    return UNITS[unit]


def _distribution(p: np.ndarray, name: str) -> np.ndarray:
    """`p` in float64, once it is known to be a distribution."""
    p = np.asarray(p, dtype=np.float64)
    if not np.isfinite(p).all() or (p < 0).any():
        raise ValueError(f"{name} is no distribution: its entries must be finite and 0 or more")
    if abs(p.sum() - 1) > TOLERANCE:
        raise ValueError(f"{name} is no distribution: its entries add up to {p.sum():g}, not to 1")
    return p
