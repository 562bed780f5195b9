"""The paper's learning rate: a straight rise, then a fall with the root of the step.

Equation 3 of Vaswani et al. (2017), section 5.3, with the step n counted from 1 and w steps of
warm-up:

    rate = d_model^(-1/2) min(n^(-1/2), n w^(-3/2))

The two terms meet at n = w. Before it the second is the smaller one, a straight line through 0;
after it the first. The peak, at n = w, is (d_model w)^(-1/2): with the paper's 512 and 4,000 about
0.0007. So a longer warm-up makes the peak lower, and a wider model makes every rate lower.

Paper and our code: a step is counted from 0 here, as in phase01.schedules, so n = step + 1. The
paper has no `scale`; short runs need a short warm-up, whose peak may be more than training stands,
and `scale` lowers it.

Left out: warm-ups of other shapes; `phase01.schedules` has the straight one and the cosine.
"""

import math

ADAM_BETAS, ADAM_EPSILON = (0.9, 0.98), 1e-9  # section 5.3 too; the rate is for this Adam


def transformer_rate(
    step: int, d_model: int, warmup_steps: int = 4000, scale: float = 1.0
) -> float:
    """The learning rate of a step, counted from 0: `scale` times the paper's equation 3.

    The peak is in step `warmup_steps` - 1; with `warmup_steps` 1 it is in the first, and there is
    no warm-up. Raises ValueError, with the value, for a step below 0, a width or a warm-up below 1,
    and a scale that is negative or not finite.
    """
    if step < 0:
        raise ValueError(f"a step is counted from 0, got {step}")
    if d_model < 1 or warmup_steps < 1:
        raise ValueError(
            f"d_model and warmup_steps must be 1 or more, got {d_model} and {warmup_steps}"
        )
    if not 0 <= scale < math.inf:
        raise ValueError(f"scale must be 0 or more and finite, got {scale}")
    number = step + 1  # the paper's step_num
    return scale * d_model**-0.5 * min(number**-0.5, number * warmup_steps**-1.5)
