"""Several processes that train one model: who am I, and the two things that we say to each other.

`torchrun --nproc-per-node 4 -m phase08.train ...` starts four processes and gives each its rank in
the environment. Each takes its own rows of every batch (`Batches.get`), computes the gradients of
those, and then all of them average their gradients, so that all take the same step:

    mean over all rows of dloss = mean over processes of (mean over its rows of dloss)

That is data parallelism, whole. What `DistributedDataParallel` adds is speed: it averages the
first gradients while the last are still being computed. We average once a step, after all
accumulation, in one message, and the model stays the plain module that it is.

Shown with gloo on several CPU processes; NCCL on several GPUs follows the same lines and was not
run here.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class World:
    """This process among all that train together: `rank` of `size`, `local_rank` on its machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.rank == 0


def join(device: torch.device) -> World:
    """Join the processes that torchrun started; alone where it did not start this one.

    `device` is this process's own; CUDA devices talk through NCCL, the CPU through gloo. Raises
    ValueError for several processes on MPS, which neither serves.
    """
    if "RANK" not in os.environ:
        return World()
    world = World(
        rank=int(os.environ["RANK"]),
        size=int(os.environ["WORLD_SIZE"]),
        local_rank=int(os.environ.get("LOCAL_RANK", "0")),
    )
    if world.size > 1 and device.type == "mps":
        raise ValueError("several processes cannot share mps: start one, or use --device cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if world.size > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return world


def leave() -> None:
    """End the group, where there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def average_gradients(parameters: Iterable[Tensor], world: World) -> None:
    """Replace every gradient by its mean over all processes, in one message."""
    if world.size == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    flat /= world.size
    pieces = flat.split([gradient.numel() for gradient in gradients])
    for gradient, piece in zip(gradients, pieces, strict=True):
        gradient.copy_(piece.view_as(gradient))


def mean(value: float, world: World, device: torch.device) -> float:
    """The mean of one number over all processes."""
    if world.size == 1:
        return value
    total = torch.tensor(value, dtype=torch.float32, device=device)
    dist.all_reduce(total)
    return total.item() / world.size


def any_of(value: bool, world: World, device: torch.device) -> bool:
    """Whether it holds in any process, so that all of them stop at the same step."""
    return mean(float(value), world, device) > 0


def from_main(value: float | int, world: World, device: torch.device) -> float:
    """The main process's value, in every process: where all must go the same way, it decides."""
    if world.size == 1:
        return value
    told = torch.tensor(value, dtype=torch.float32, device=device)
    dist.broadcast(told, src=0)
    return told.item()


def barrier(world: World) -> None:
    """Wait until every process has come here."""
    if world.size > 1:
        dist.barrier()
