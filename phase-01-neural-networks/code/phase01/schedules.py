"""Learning-rate schedules: the rate as a pure function of the step.

A step is counted from 0. `learning_rate` is the peak, and what every function returns is the rate
to use in that step:

    constant        a
    linear_warmup   a (step + 1) / w                           while step < w, then a
    cosine          the same warm-up, then with p = (step + 1 - w) / (N - w), at most 1,
                    low + (a - low) (1 + cos(pi p)) / 2
    step_decay      a factor^(step // every)

Counting `step + 1`, the first step of a warm-up is not wasted at a rate of 0, the
last of it (step w - 1) has the peak, and the last of a cosine (step N - 1) has `min_learning_rate`,
as have all later ones. PyTorch's `CosineAnnealingLR` begins at the peak instead: it is one step
behind. The cosine is equation 5 of Loshchilov and Hutter (2017), without the restarts.

Since the peak is an argument, schedules combine: `linear_warmup(step, step_decay(step, ...), w)`.

In every function, a step below 0, a rate that is negative or not finite and whatever else is out of
range is a ValueError that names the value.

Left out: restarts, and schedules that look at the loss.
"""

import math


def constant(step: int, learning_rate: float) -> float:
    """The same rate in every step."""
    _check(step, learning_rate)
    return learning_rate


def linear_warmup(step: int, learning_rate: float, warmup_steps: int) -> float:
    """A straight rise over the first `warmup_steps` steps, then the peak; none if that is 0.

    Raises ValueError for a negative step, rate or number of steps.
    """
    _check(step, learning_rate)
    if warmup_steps < 0:
        raise ValueError(f"warmup_steps must be 0 or more, got {warmup_steps}")
    if step >= warmup_steps:
        return learning_rate
    return learning_rate * (step + 1) / warmup_steps


def cosine(
    step: int,
    learning_rate: float,
    total_steps: int,
    warmup_steps: int = 0,
    min_learning_rate: float = 0.0,
) -> float:
    """A warm-up, then half a cosine from the peak down to `min_learning_rate`, and there it stays.

    Raises ValueError for a negative step or rate, a warm-up that leaves no step of `total_steps`
    for the fall, and a lowest rate above the peak.
    """
    _check(step, learning_rate)
    if not 0 <= warmup_steps < total_steps:
        raise ValueError(
            f"warmup_steps must be 0 or more and below total_steps, got {warmup_steps} of "
            f"{total_steps}"
        )
    if not 0 <= min_learning_rate <= learning_rate:
        raise ValueError(
            f"min_learning_rate must lie between 0 and the peak {learning_rate}, got "
            f"{min_learning_rate}"
        )
    if step < warmup_steps:
        return linear_warmup(step, learning_rate, warmup_steps)
    progress = min(1.0, (step + 1 - warmup_steps) / (total_steps - warmup_steps))
    remaining = (1 + math.cos(math.pi * progress)) / 2
    return min_learning_rate + (learning_rate - min_learning_rate) * remaining


def step_decay(step: int, learning_rate: float, every: int, factor: float = 0.1) -> float:
    """The rate multiplied by `factor` (above 0, at most 1) after each `every` steps.

    Raises ValueError for a negative step or rate, `every` below 1, and a factor out of range.
    """
    _check(step, learning_rate)
    if every < 1:
        raise ValueError(f"every must be 1 step or more, got {every}")
    if not 0 < factor <= 1:
        raise ValueError(f"factor must be above 0 and at most 1, got {factor}")
    return learning_rate * factor ** (step // every)


def _check(step: int, learning_rate: float) -> None:
    if step < 0:
        raise ValueError(f"a step is counted from 0, got {step}")
    if not 0 <= learning_rate < math.inf:
        raise ValueError(f"learning_rate must be 0 or more and finite, got {learning_rate}")
