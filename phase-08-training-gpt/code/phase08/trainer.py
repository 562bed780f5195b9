"""The training loop's one step, and how a trainer is saved and brought back.

What a step needs, it computes from the step's number alone: its batch (`phase08.batches`), its
learning rate (`phase08.schedule`) and its dropout (the generator is seeded anew for every
micro-batch). So the state of a run is the model, the optimizer and one integer, and a run that
is killed and resumed ends in the same bytes as one that was left alone.

The loop around it, with evaluation, samples and progress, is the script `phase08.train`.
"""

import contextlib
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phase07.gpt import GPT
from phase08 import checkpoint
from phase08.batches import Batches
from phase08.devices import Device, autocast, synchronize
from phase08.distributed import World, average_gradients, mean
from phase08.optimizer import AdamW, make_adamw
from phase08.presets import TrainConfig
from phase08.schedule import learning_rate


class NonFiniteLossError(ValueError):
    """The loss or the gradient is no longer a finite number; the model was not updated with it."""


@dataclass(frozen=True)
class Measured:
    """What one step measured: loss in nats a token (the mean over the step's tokens), the norm
    of the gradient before clipping, seconds."""

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float
    seconds: float


class Trainer:
    """A model in training: the model, its optimizer, and the number of steps taken."""

    def __init__(
        self,
        config: TrainConfig,
        model: GPT,
        batches: Batches,
        device: Device,
        world: World | None = None,
    ) -> None:
        self.config = config
        self.model = model.to(device.device)
        self.parameters = list(self.model.parameters())
        self.batches = batches
        self.device = device
        self.world = world or World()
        if config.accumulation % self.world.size:
            raise ValueError(
                f"accumulation ({config.accumulation}) must be a multiple of the number of "
                f"processes ({self.world.size}), so that each does the same work"
            )
        self.schedule = config.learning_rates()
        self.optimizer = make_adamw(
            self.model,
            learning_rate=config.learning_rate,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
            device=device.device,
        )
        if device.compile:
            compile_blocks(self.model)
        self.step = 0
        self.best: dict[str, Any] | None = None  # {"step", "validation_loss"}, once evaluated

    def train_step(self) -> Measured:
        """One step of AdamW on the clipped gradient of all rows of the step.

        gradient    g = (1/n) sum of the gradients of the n micro-batches
        clipping    g <- g min(1, clip / |g|), |g| the norm over all parameters together
        update      AdamW's (`phase08.optimizer`), at the rate of this step
        """
        config, started = self.config, time.perf_counter()
        if not self.model.training:
            self.model.train()
        rate = learning_rate(self.step, self.schedule)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        mine = range(self.world.rank, config.accumulation, self.world.size)
        loss = torch.zeros((), device=self.device.device)
        for micro in mine:
            loss += self._accumulate(micro, share=1 / len(mine))
        average_gradients(self.parameters, self.world)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, config.clip or math.inf)
        measured_loss = mean(loss.item(), self.world, self.device.device)
        if not math.isfinite(measured_loss) or not math.isfinite(norm.item()):
            raise NonFiniteLossError(self._not_finite(measured_loss, norm.item()))
        self.optimizer.step()
        synchronize(self.device)
        self.step += 1
        seconds = time.perf_counter() - started
        return Measured(self.step, measured_loss, rate, norm.item(), seconds)

    def measure_rate(self) -> float:
        """Tokens a second of this process through forward and backward, on one micro-batch of the
        coming step. Changes nothing; the first pass (which compiles, if anything does) is free."""
        self.model.train()
        for _ in range(2):
            started = time.perf_counter()
            self._accumulate(self.world.rank, share=1.0)
            synchronize(self.device)
            seconds = time.perf_counter() - started
        self.optimizer.zero_grad()
        return self.config.batch_size * self.config.block_size / seconds

    def _accumulate(self, micro: int, share: float) -> Tensor:
        """Add the gradients of one micro-batch of this step; returns its share of the loss."""
        size = self.config.batch_size
        x, y = self.batches.get(self.step, slice(micro * size, (micro + 1) * size))  # (B, T) each
        device = self.device.device
        seed_dropout(self.config.seed, self.step, micro)
        with autocast(self.device):
            loss = self.model.loss(x.to(device), y.to(device)) * share
        loss.backward()
        return loss.detach()

    def _not_finite(self, loss: float, norm: float) -> str:
        starts = ", ".join(str(start) for start in self.batches.windows(self.step)[:8])
        return (
            f"at step {self.step} the loss is {loss} and the gradient's norm {norm}, so the step "
            f"was not taken (the windows of its batch start at tokens {starts}, ...)"
        )

    @torch.no_grad()
    def check_finite(self) -> None:
        """Raise a NonFiniteLossError unless the next batch has a finite loss: the last update may
        have broken the weights, and then they must not become the last checkpoint."""
        x, y = self.batches.get(self.step, slice(0, self.config.batch_size))  # (B, T) each
        with self.uncompiled(), autocast(self.device):
            self.model.eval()
            loss = self.model.loss(x.to(self.device.device), y.to(self.device.device)).item()
        if not math.isfinite(loss):
            raise NonFiniteLossError(self._not_finite(loss, math.nan))

    def uncompiled(self) -> contextlib.AbstractContextManager[object]:
        """Where the plain model runs: for evaluation and samples, whose shapes change each time."""
        if not self.device.compile:
            return contextlib.nullcontext()
        return torch.compiler.set_stance("force_eager")

    def note_validation(self, loss: float) -> bool:
        """Remember a validation loss in nats; returns whether it is the best so far."""
        better = self.best is None or loss < self.best["validation_loss"]
        if better:
            self.best = {"step": self.step, "validation_loss": loss}
        return better

    def save(self, folder: Path) -> Path:
        """Write a checkpoint of this moment; keep the last few and the best."""
        path = checkpoint.save(
            folder,
            self.step,
            tensors={
                "model": model_tensors(self.model),
                "optimizer": optimizer_tensors(self.model, self.optimizer),
            },
            state={"step": self.step, "best": self.best},
        )
        best = self.best["step"] if self.best else None
        checkpoint.prune(folder, self.config.keep_last, best)
        return path

    def restore(self, path: Path) -> None:
        """Put model, optimizer and step back to what they were when `path` was written."""
        tensors, state = checkpoint.load(path)
        restore_model(self.model, tensors["model"])
        restore_optimizer(self.model, self.optimizer, tensors["optimizer"])
        self.step = state["step"]
        self.best = state["best"]


def compile_blocks(model: GPT) -> None:
    """Compile the model's blocks, in place: one graph, made once, serves all of them."""
    for block in model.transformer.h:
        block.compile(dynamic=False)


def seed_dropout(seed: int, step: int, micro: int) -> None:
    """Seed torch's generators for one micro-batch: its dropout depends on nothing before it."""
    words = np.random.SeedSequence([seed, step, micro]).generate_state(1, np.uint64)
    torch.manual_seed(int(words[0]) >> 1)  # 63 bits: torch's seeds are signed


def model_tensors(model: GPT) -> dict[str, Tensor]:
    """Every parameter by name, a tied one once."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


@torch.no_grad()
def restore_model(model: GPT, tensors: dict[str, Tensor]) -> None:
    """The inverse of `model_tensors`; a ValueError names a tensor that does not fit."""
    parameters = dict(model.named_parameters())
    if parameters.keys() != tensors.keys():
        raise ValueError(
            f"the checkpoint holds another model: {sorted(parameters.keys() ^ tensors.keys())[0]} "
            f"is in only one of the two"
        )
    for name, parameter in parameters.items():
        if parameter.shape != tensors[name].shape:
            raise ValueError(
                f"the checkpoint holds another model: {name} is {tuple(tensors[name].shape)} "
                f"there and {tuple(parameter.shape)} here"
            )
        parameter.copy_(tensors[name])


def optimizer_tensors(model: GPT, optimizer: AdamW) -> dict[str, Tensor]:
    """AdamW's state by name: `<parameter>:exp_avg`, `:exp_avg_sq`, `:step`."""
    return {
        f"{name}:{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }


def restore_optimizer(model: GPT, optimizer: AdamW, tensors: dict[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`."""
    for name, parameter in model.named_parameters():
        for key in ("exp_avg", "exp_avg_sq", "step"):
            value = tensors[f"{name}:{key}"]
            # `step` is a float32 scalar that fused AdamW wants on the parameter's device.
            optimizer.state[parameter][key] = value.to(parameter.device).clone()
