"""Learning rate schedules: a warm-up, then a cosine, or a constant rate and a final decay.

With peak = `learning_rate`, low = `min_learning_rate`, w = `warmup_steps`, N = `total_steps`,
D = `decay_steps` and steps counted from 0:

    warm-up         step < w                 peak (step + 1) / w
    cosine          start = w                low + (peak - low) (1 + cos(pi p)) / 2
    constant-decay  start = N - D            peak before start, then
                    decay = "linear"         low + (peak - low) (1 - p)
                    decay = "1-sqrt"         low + (peak - low) (1 - sqrt(p))

where p = (step + 1 - start) / (N - start) is the share of the decay that this step completes. So
step 0 never has the rate 0, the last step of the warm-up has the peak, and step N - 1 has exactly
`min_learning_rate`, as have all later ones.

The cosine is that of Loshchilov and Hutter (2017), equation 5, without restarts. The constant rate
with a short decay ("warmup-stable-decay", Hu et al. 2024, MiniCPM; the 1-sqrt shape is from
Hägele et al. 2024) does the falling in a few steps at the end, whose number is chosen freely.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """When the rate rises, stays and falls, in steps; raises ValueError for what cannot be."""

    kind: str = "cosine"
    """cosine or constant-decay"""
    learning_rate: float = 6e-4
    min_learning_rate: float = 6e-5
    warmup_steps: int = 2000
    total_steps: int = 20000
    decay_steps: int = 0
    """of constant-decay alone: the steps at the end in which the rate falls"""
    decay: str = "linear"
    """of constant-decay alone: the shape of the fall, linear or 1-sqrt"""

    def __post_init__(self) -> None:
        if self.kind not in ("cosine", "constant-decay"):
            raise ValueError(f"a schedule is cosine or constant-decay, not {self.kind!r}")
        if self.decay not in ("linear", "1-sqrt"):
            raise ValueError(f"the decay is linear or 1-sqrt, not {self.decay!r}")
        if not 0 <= self.min_learning_rate <= self.learning_rate < math.inf:
            raise ValueError(
                f"the learning rate must lie between min_learning_rate {self.min_learning_rate} "
                f"(0 or more) and infinity, not at {self.learning_rate}"
            )
        if self.total_steps < 1:
            raise ValueError(f"total_steps must be 1 or more, not {self.total_steps}")
        if not 0 <= self.warmup_steps < self.total_steps:
            raise ValueError(
                f"warmup_steps must be 0 or more and below total_steps {self.total_steps}, "
                f"not {self.warmup_steps}"
            )
        if self.kind == "cosine":
            return
        if not 0 <= self.decay_steps <= self.total_steps - self.warmup_steps:
            raise ValueError(
                f"decay_steps must lie between 0 and total_steps - warmup_steps "
                f"{self.total_steps - self.warmup_steps}, not at {self.decay_steps}"
            )


def learning_rate(step: int, schedule: Schedule) -> float:
    """The learning rate of a step, counted from 0; see the module's docstring."""
    if step < 0:
        raise ValueError(f"a step must be 0 or more, not {step}")
    peak, low = schedule.learning_rate, schedule.min_learning_rate
    if step < schedule.warmup_steps:
        return peak * (step + 1) / schedule.warmup_steps
    cosine = schedule.kind == "cosine"
    start = schedule.warmup_steps if cosine else schedule.total_steps - schedule.decay_steps
    if start == schedule.total_steps or step < start:
        return peak
    progress = min(1.0, (step + 1 - start) / (schedule.total_steps - start))
    if cosine:
        remaining = (1 + math.cos(math.pi * progress)) / 2
    elif schedule.decay == "linear":
        remaining = 1 - progress
    else:
        remaining = 1 - math.sqrt(progress)
    return low + (peak - low) * remaining
