"""AdamW as GPT-2 is trained with it: decay on matrices only, one fused pass over the parameters.

With gradient g at step t (from 1), rate lr and decay w, for every parameter p (Loshchilov and
Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2):

    p <- p - lr w p
    m <- beta1 m + (1 - beta1) g            a running mean of the gradient
    v <- beta2 v + (1 - beta2) g^2          and of its square
    p <- p - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + 1e-8)

The arithmetic is torch's functional `adamw`; its fused form reads and writes each value once a
step, where the others make a pass over memory for each operation above. What is ours is the object
around it: which parameters decay (`phase07.gpt.parameter_groups`), and where m and v are kept.
`torch.optim.AdamW` would be that object too, but it imports torch's compiler when it is made, which
takes seconds that a small run does not have.

Left out: clipping, since `torch.nn.utils.clip_grad_norm_` is as fast as two passes over the
gradients can be; the learning rate's schedule (`phase08.schedule`), which writes `group["lr"]`.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from phase07.gpt import parameter_groups

FUSED_ON = ("cpu", "cuda", "mps")  # where torch 2.13 has a fused AdamW
EPSILON = 1e-8


class AdamW:
    """AdamW over groups of parameters; `state[parameter]` is its `exp_avg` (m), `exp_avg_sq` (v)
    and `step` (t, a float32 scalar beside the parameter, as the fused form wants it)."""

    def __init__(self, groups: list[dict[str, Any]], betas: tuple[float, float]) -> None:
        self.param_groups = groups
        self.betas = betas
        self.state: dict[Tensor, dict[str, Tensor]] = {
            parameter: {
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            }
            for group in groups
            for parameter in group["params"]
        }

    def zero_grad(self) -> None:
        """Forget all gradients; backward then writes new ones instead of adding to zeros."""
        for parameter in self.state:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            with_gradient = [p for p in group["params"] if p.grad is not None]
            states = [self.state[parameter] for parameter in with_gradient]
            adamw(
                with_gradient,
                [parameter.grad for parameter in with_gradient],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
                foreach=False,
                fused=group["fused"],
                amsgrad=False,
                beta1=self.betas[0],
                beta2=self.betas[1],
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=EPSILON,
                maximize=False,
            )


def make_adamw(
    model: nn.Module,
    learning_rate: float,
    betas: tuple[float, float],
    weight_decay: float,
    device: torch.device | str,
) -> AdamW:
    """AdamW over the model's parameters, fused where torch has that for the device."""
    fused = torch.device(device).type in FUSED_ON
    groups = parameter_groups(model, weight_decay)
    return AdamW([{**group, "lr": learning_rate, "fused": fused} for group in groups], betas)
