"""Optimizers: SGD, momentum, Adam and AdamW; and clipping, which comes before the step.

An optimizer holds the parameters, a flat dictionary of arrays, and whatever it remembers from step
to step. `step(grads)` moves the arrays of `params` in place, so that a model which holds the same
dictionary sees the new values; nothing is returned. With the gradient g of a parameter w, the
learning rate a (lr), the weight decay d and steps t = 1, 2, ...:

    SGD             w <- w - a (g + d w)
    momentum mu     u <- mu u + g + d w,  w <- w - a u               (u = 0 at the start)
    Adam            g <- g + d w
                    m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2
                    w <- w - a mhat / (sqrt(vhat) + epsilon)
                    with mhat = m / (1 - b1^t) and vhat = v / (1 - b2^t)
    AdamW           w <- w - a d w, then Adam's step with d = 0

Adam is algorithm 1 of Kingma and Ba (2015); AdamW is algorithm 2 of Loshchilov and Hutter (2019),
with the decay multiplied by the learning rate, as in PyTorch. All are equal to `torch.optim`'s.

The learning rate is an attribute and may be changed between steps: a schedule is
`optimizer.learning_rate = cosine(step, ...)`, with the functions of `phase01.schedules`. It is
applied when w moves and not when u is summed, so that a change acts at once on all of u.

Left out: Nesterov's momentum, dampening, AMSGrad, and saving the state. There are no groups:
`weight_decay` holds for all parameters. Where some are to have none (biases, batch norm), two
optimizers on two parts of the dictionary do it, each with its part of the gradients.
"""

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

Arrays = dict[str, Float[np.ndarray, "..."]]

CLIPPING_EPSILON = 1e-6  # PyTorch's; it keeps the division finite


class Optimizer:
    """What all have in common: parameters, a learning rate, a count of steps, and checks."""

    def __init__(self, params: Arrays, learning_rate: float, weight_decay: float) -> None:
        """A learning rate or decay that is negative or not finite is a ValueError that names it."""
        _check_range("learning_rate", learning_rate, math.inf)
        _check_range("weight_decay", weight_decay, math.inf)
        self.params = params
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.n_steps = 0

    def step(self, grads: Arrays) -> None:
        """Move every parameter once, in place; `grads` has its keys and shapes, and is only read.

        Raises ValueError, before anything has moved, where names or shapes differ, with the name.
        """
        _check_grads(self.params, grads)
        self.n_steps += 1
        for name, param in self.params.items():
            self.update(name, param, grads[name])

    def update(
        self, name: str, param: Float[np.ndarray, "..."], grad: Float[np.ndarray, "..."]
    ) -> None:
        """Move one parameter in place: each optimizer's own; here it is a NotImplementedError."""
        raise NotImplementedError(f"{type(self).__name__} has no rule for its update")


class SGD(Optimizer):
    """Stochastic gradient descent, with a decaying sum of past gradients if momentum > 0."""

    def __init__(
        self,
        params: Arrays,
        learning_rate: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        """`momentum` is from 0 to below 1: the share of the old sum that is kept at each step.

        Raises ValueError, naming what is out of range, as all optimizers do.
        """
        super().__init__(params, learning_rate, weight_decay)
        _check_range("momentum", momentum, 1.0)
        self.momentum = momentum
        self.velocity = _zeros_like(params) if momentum else {}

    def update(
        self, name: str, param: Float[np.ndarray, "..."], grad: Float[np.ndarray, "..."]
    ) -> None:
        """u <- mu u + g + d w, w <- w - a u; without momentum u is the gradient."""
        if self.weight_decay:
            grad = grad + self.weight_decay * param
        if self.momentum:
            velocity = self.velocity[name]
            velocity *= self.momentum
            velocity += grad
            grad = velocity
        param -= self.learning_rate * grad


class Adam(Optimizer):
    """Steps by the mean gradient over the root of the mean square gradient, both running means.

    Its weight decay goes through the gradient, where the division by the root scales it anew for
    each weight: those with large gradients decay less. AdamW is without that.
    """

    def __init__(
        self,
        params: Arrays,
        learning_rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        """`betas` are the shares that the two running means keep; `epsilon` stands by the root.

        Raises ValueError, naming it, for a beta that is not from 0 to below 1 and for an `epsilon`
        that is negative or not finite.
        """
        super().__init__(params, learning_rate, weight_decay)
        for beta in betas:
            _check_range("a beta", beta, 1.0)
        _check_range("epsilon", epsilon, math.inf)
        self.betas = betas
        self.epsilon = epsilon
        self.mean = _zeros_like(params)  # m, of the gradient
        self.square = _zeros_like(params)  # v, of its square

    def update(
        self, name: str, param: Float[np.ndarray, "..."], grad: Float[np.ndarray, "..."]
    ) -> None:
        """Adam's step of one parameter, the decay as part of the gradient."""
        if self.weight_decay:
            grad = grad + self.weight_decay * param
        self.descend(name, param, grad)

    def descend(
        self, name: str, param: Float[np.ndarray, "..."], grad: Float[np.ndarray, "..."]
    ) -> None:
        """Adam's step along a gradient, without any decay.

        a mhat / (sqrt(vhat) + eps) = (a / (1 - b1^t)) m / (sqrt(v) / sqrt(1 - b2^t) + eps): the
        two corrections are numbers, and so cost nothing by element. `scratch` is the one array
        that is made.
        """
        beta1, beta2 = self.betas
        mean, square = self.mean[name], self.square[name]
        scratch = grad * (1 - beta1)
        mean *= beta1
        mean += scratch
        np.multiply(grad, grad, out=scratch)
        scratch *= 1 - beta2
        square *= beta2
        square += scratch
        np.sqrt(square, out=scratch)
        scratch /= math.sqrt(1 - beta2**self.n_steps)
        scratch += self.epsilon
        np.divide(mean, scratch, out=scratch)
        scratch *= self.learning_rate / (1 - beta1**self.n_steps)
        param -= scratch


class AdamW(Adam):
    """Adam with decoupled weight decay: every weight shrinks by the same share at each step."""

    def __init__(
        self,
        params: Arrays,
        learning_rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        """As Adam's, with PyTorch's decay of 0.01."""
        super().__init__(params, learning_rate, betas, epsilon, weight_decay)

    def update(
        self, name: str, param: Float[np.ndarray, "..."], grad: Float[np.ndarray, "..."]
    ) -> None:
        """w <- (1 - a d) w, then Adam's step on the gradient alone."""
        param *= 1 - self.learning_rate * self.weight_decay
        self.descend(name, param, grad)


def gradient_norm(grads: Mapping[str, Float[np.ndarray, "..."]]) -> float:
    """The length of all gradients as one vector: the root of the sum of squares of every element.

    The sum is taken in float64, where squares of float32 cannot overflow.
    """
    total = 0.0
    for grad in grads.values():
        flat = grad.ravel().astype(np.float64)  # (n,)
        total += float(flat @ flat)
    return math.sqrt(total)


def clip_gradients(
    grads: Mapping[str, Float[np.ndarray, "..."]], max_norm: float
) -> tuple[Arrays, float]:
    """Gradients shortened to the norm `max_norm` where they are longer, and the norm they had.

        g <- g * min(1, max_norm / (norm + 1e-6))

    All are scaled by one number, so that the direction stays (Pascanu et al. 2013, algorithm 1;
    the 1e-6 is that of PyTorch's `clip_grad_norm_`). The argument is not changed. Raises
    ValueError for a norm that is not finite, and unless `max_norm` is positive.
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm must be positive, got {max_norm}")
    norm = gradient_norm(grads)
    if not math.isfinite(norm):
        raise ValueError(
            f"the norm of the gradients is {norm}, which no scaling makes finite: the run has "
            "diverged; lower the learning rate, or look for the first loss that is not finite"
        )
    scale = max_norm / (norm + CLIPPING_EPSILON)
    if scale >= 1:
        return dict(grads), norm
    return {name: grad * scale for name, grad in grads.items()}, norm


# --- checks -------------------------------------------------------------------------------


def _zeros_like(params: Arrays) -> Arrays:
    return {name: np.zeros_like(param) for name, param in params.items()}


def _check_range(name: str, value: float, end: float) -> None:
    if not 0 <= value < end:
        limit = "finite" if math.isinf(end) else f"below {end:g}"
        raise ValueError(f"{name} must be 0 or more and {limit}, got {value}")


def _check_grads(params: Arrays, grads: Arrays) -> None:
    """Gradients of the same names and shapes; a missing one is most often a forgotten branch."""
    if missing := sorted(params.keys() - grads.keys()):
        raise ValueError(f"there is no gradient of {', '.join(missing)}: backward must return one")
    if unknown := sorted(grads.keys() - params.keys()):
        raise ValueError(
            f"there are gradients of {', '.join(unknown)}, which the optimizer has no parameters "
            "of: make it with the dictionary that backward returns gradients of"
        )
    for name, param in params.items():
        if grads[name].shape != param.shape:
            raise ValueError(
                f"the gradient of {name} has the shape {grads[name].shape}, the parameter "
                f"{param.shape}: they must be the same"
            )
