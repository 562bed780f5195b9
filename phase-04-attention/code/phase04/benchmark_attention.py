"""How long multi-head attention takes here, forward and backward, beside PyTorch's.

    uv run journal run phase04.benchmark_attention

Races as `phase01.benchmark` runs and judges them, in float32, with as many threads on each side:

- self-attention under padding and causal masks, at the sizes of a small translation model
- the same, longer and wider, where the T x T weights of each head are most of the memory
- cross-attention under a padding mask, which projects queries here, keys and values there

Ours is `phase04.multi_head`; PyTorch is nn.MultiheadAttention, eager, which uses its own fused
scaled_dot_product_attention inside. Beside them stand that function called directly, between
projections that are written out, and two slower ways of ours: the heads in a loop, one after
the other, and the same products with a new array for every step of the softmax.

The benchmarks alone import PyTorch below phase 6. Left out: dropout, float16, and
making the masks, which one batch needs once for all its layers.

Shapes: B batch, T time of the queries, S time of the memory, C d_model, H heads, D = C/H.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from phase01.benchmark import (
    OURS,
    TORCH,
    Arrays,
    Race,
    Way,
    array,
    check_turns,
    run,
    use_same_threads,
    without_times,
)

# isort: split
# The benchmark's module comes first: it says how many threads NumPy's BLAS shall take.
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from journal import record, script
from phase01.linear import linear_backward, linear_forward
from phase04.masks import causal_mask, combined, padding_mask
from phase04.multi_head import (
    merge_heads,
    multi_head_backward,
    multi_head_forward,
    multi_head_parameters,
    multi_head_self_backward,
    multi_head_self_forward,
    split_heads,
)
from phase04.scaled_dot_product import scaled_dot_product_backward, scaled_dot_product_forward

FUSED = "PyTorch, its function called directly"


class Size(NamedTuple):
    """Rows, positions of queries and of the memory, width, heads."""

    batch_size: int
    n_queries: int
    n_keys: int
    d_model: int
    n_head: int


@dataclass(frozen=True)
class Config:
    small: tuple[int, ...] = (64, 24, 24, 128, 4)
    """rows, positions of queries and of the memory, width, heads; so the next two"""
    large: tuple[int, ...] = (16, 128, 128, 256, 8)
    cross: tuple[int, ...] = (64, 24, 30, 128, 4)
    rounds: int = 9
    seconds: float = 0.3
    """how long each way is timed in a round, at least"""
    settle: float = 0.06
    """seconds of calls before that do not count"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        for size in (self.small, self.large, self.cross):
            if len(size) != len(Size._fields) or min(size) < 1 or size[3] % size[4]:
                raise ValueError(
                    "a size must be rows, queries, keys, width and heads, each 1 or more, "
                    f"the heads dividing the width, not {size}"
                )
        check_turns(self.rounds, self.seconds, self.settle)


def main(config: Config) -> dict[str, Any]:
    """Run the races; returns the ratios and factors of each (the times are written)."""
    started = time.perf_counter()
    metrics: dict[str, Any] = {"threads": use_same_threads()}
    for make in (small_race, large_race, cross_race):
        race = make(config)
        metrics[race.key] = run(race, config.rounds, config.seconds, config.settle)
    record.write(
        __file__,
        config=config,
        metrics=metrics,
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    return without_times(metrics)


# ---- the races ---------------------------------------------------------------------------


def small_race(config: Config) -> Race:
    """Self-attention of a small translation model."""
    return self_race("self_small", Size._make(config.small), config.seed)


def large_race(config: Config) -> Race:
    """Self-attention of longer sequences."""
    return self_race("self_large", Size._make(config.large), config.seed)


class Problem(NamedTuple):
    """What all ways of a race are given."""

    params: Arrays
    x: np.ndarray
    memory: np.ndarray
    dy: np.ndarray
    mask: np.ndarray
    n_head: int


def problem(size: Size, seed: int, *, causal: bool) -> Problem:
    """Random inputs, and lengths of the memory between half and all of its positions."""
    rng = np.random.default_rng([seed, 1])
    n_batch, n_queries, n_keys, d_model, n_head = size
    x, memory, dy = (
        rng.standard_normal((n_batch, n, d_model)).astype(np.float32)
        for n in (n_queries, n_keys, n_queries)
    )
    lengths = rng.integers((n_keys + 1) // 2, n_keys, n_batch, endpoint=True)
    between = causal_mask(n_queries, n_keys) if causal else None
    mask = combined(padding_mask(lengths, n_keys), between)  # (B, 1, T or 1, S)
    return Problem(multi_head_parameters(d_model, rng), x, memory, dy, mask, n_head)


def self_race(key: str, size: Size, seed: int) -> Race:
    """Ours, PyTorch's, and ours as it would be with a loop over heads and with new arrays."""
    given = problem(size, seed, causal=True)
    params, x, _, dy, mask, n_head = given

    def step() -> Arrays:
        y, cache = multi_head_self_forward(params, x, mask, n_head)
        dx, grads = multi_head_self_backward(dy, cache)
        return {"y": y, "dx": dx, **grads}

    ways = [
        Way(OURS, step),
        torch_way(TORCH, given, torch_module, own=True),
        torch_way(FUSED, given, torch_function, own=True),
        Way("a loop over the heads", lambda: written_out(given, looped_attention)),
        Way("new arrays in the softmax", lambda: written_out(given, plain_attention)),
    ]
    title = f"Self-attention, {size.batch_size} rows of {size.n_queries}, {n_head} heads of "
    return Race(key, f"{title}{size.d_model // n_head}", ways, goal=2.0)


def cross_race(config: Config) -> Race:
    """Queries from one sequence, keys and values from another."""
    size = Size._make(config.cross)
    given = problem(size, config.seed, causal=False)
    params, x, memory, dy, mask, n_head = given

    def step() -> Arrays:
        y, cache = multi_head_forward(params, x, memory, mask, n_head)
        dx, dmemory, grads = multi_head_backward(dy, cache)
        return {"y": y, "dx": dx, "dmemory": dmemory, **grads}

    ways = [
        Way(OURS, step),
        torch_way(TORCH, given, torch_module, own=False),
        torch_way(FUSED, given, torch_function, own=False),
    ]
    title = f"Cross-attention, {size.batch_size} rows of {size.n_queries} to {size.n_keys}"
    return Race("cross", title, ways, goal=2.0)


# ---- PyTorch -----------------------------------------------------------------------------


Attention = Callable[
    [nn.MultiheadAttention, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor
]


def torch_way(name: str, given: Problem, attend: Attention, *, own: bool) -> Way:
    """Forward and backward in PyTorch from the same numbers; `own`: x is the memory too."""
    module = nn.MultiheadAttention(given.x.shape[2], given.n_head, batch_first=True)
    module.load_state_dict({key: torch.tensor(param) for key, param in given.params.items()})
    x, memory = (torch.tensor(a, requires_grad=True) for a in (given.x, given.memory))
    dy = torch.tensor(given.dy)
    if attend is torch_module:  # rows times heads, and True for what is hidden
        shape = (len(x), given.n_head, x.shape[1], memory.shape[1])
        mask = torch.tensor(~np.broadcast_to(given.mask, shape)).flatten(0, 1)
    else:
        mask = torch.tensor(given.mask)

    def step() -> torch.Tensor:
        module.zero_grad()
        x.grad = memory.grad = None
        y = attend(module, x, x if own else memory, mask)
        y.backward(dy)
        return y

    def read(y: torch.Tensor) -> Arrays:
        found = {"y": array(y), "dx": array(x.grad)}
        if not own:
            found["dmemory"] = array(memory.grad)
        return found | {key: array(param.grad) for key, param in module.named_parameters()}

    return Way(name, step, read)


def torch_module(
    module: nn.MultiheadAttention, x: torch.Tensor, memory: torch.Tensor, hides: torch.Tensor
) -> torch.Tensor:
    """The layer as it comes."""
    return module(x, memory, memory, attn_mask=hides, need_weights=False)[0]


def torch_function(
    module: nn.MultiheadAttention, x: torch.Tensor, memory: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """The projections written out around scaled_dot_product_attention."""
    weight, bias, d_model = module.in_proj_weight, module.in_proj_bias, x.shape[2]
    if x is memory:
        parts = F.linear(x, weight, bias).chunk(3, -1)
    else:
        both = F.linear(memory, weight[d_model:], bias[d_model:]).chunk(2, -1)
        parts = (F.linear(x, weight[:d_model], bias[:d_model]), *both)
    heads = (part.unflatten(-1, (module.num_heads, -1)).transpose(1, 2) for part in parts)
    y = F.scaled_dot_product_attention(*heads, attn_mask=mask)  # (B, H, T, D)
    return module.out_proj(y.transpose(1, 2).flatten(2))


# ---- ours, slower ------------------------------------------------------------------------


def written_out(given: Problem, attend: Callable[..., Any]) -> Arrays:
    """Multi-head self-attention around `attend(query, key, value, mask, dy_of)`.

    `attend` gets all heads, and a function from its output to the output's gradient.
    """
    params, x, _, dy, mask, n_head = given
    three, in_cache = linear_forward(x, params["in_proj_weight"], params["in_proj_bias"])
    heads = [split_heads(part, n_head) for part in np.split(three, 3, axis=-1)]
    found: dict[str, Any] = {}

    def dheads_of(y: np.ndarray) -> np.ndarray:
        out = params["out_proj.weight"], params["out_proj.bias"]
        found["y"], out_cache = linear_forward(merge_heads(y), *out)
        dy_heads, *grads = linear_backward(dy, out_cache)
        found["out_proj.weight"], found["out_proj.bias"] = grads
        return split_heads(dy_heads, n_head)

    gradients = attend(*heads, mask, dheads_of)
    dthree = np.concatenate([merge_heads(gradient) for gradient in gradients], axis=-1)
    found["dx"], found["in_proj_weight"], found["in_proj_bias"] = linear_backward(dthree, in_cache)
    order = ("y", "dx", *params)
    return {name: found[name] for name in order}


def looped_attention(
    query: np.ndarray, key: np.ndarray, value: np.ndarray, mask: np.ndarray, dy_of: Any
) -> list[np.ndarray]:
    """One head of one row after the other."""
    n_batch, n_head = query.shape[:2]
    pairs = [(b, h) for b in range(n_batch) for h in range(n_head)]
    masks = np.broadcast_to(mask, (n_batch, n_head, query.shape[2], key.shape[2]))
    done = [
        scaled_dot_product_forward(query[pair], key[pair], value[pair], masks[pair])
        for pair in pairs
    ]
    dy = dy_of(np.stack([y for y, _ in done]).reshape(query.shape))
    gradients = [
        scaled_dot_product_backward(dy[pair], cache)
        for pair, (_, cache) in zip(pairs, done, strict=True)
    ]
    return [np.stack(part).reshape(query.shape) for part in zip(*gradients, strict=True)]


def plain_attention(
    query: np.ndarray, key: np.ndarray, value: np.ndarray, mask: np.ndarray, dy_of: Any
) -> list[np.ndarray]:
    """The equations with a new array for each expression (no row here is hidden as a whole)."""
    scale = 1 / math.sqrt(query.shape[-1])
    scores = query @ key.swapaxes(-1, -2) * scale  # (B, H, T, S)
    scores = np.where(mask, scores, np.float32(-np.inf))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = weights / weights.sum(axis=-1, keepdims=True)
    dy = dy_of(weights @ value)
    dvalue = weights.swapaxes(-1, -2) @ dy
    dweights = dy @ value.swapaxes(-1, -2)
    inner = np.sum(dweights * weights, axis=-1, keepdims=True)
    dscores = weights * (dweights - inner) * scale
    return [dscores @ key, dscores.swapaxes(-1, -2) @ query, dvalue]


if __name__ == "__main__":
    script.run(main, Config)
