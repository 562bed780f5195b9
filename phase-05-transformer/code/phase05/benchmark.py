"""How long a training step of the transformer takes here, beside PyTorch, and where the time goes.

    uv run journal run phase05.benchmark

The race, run and judged as `phase01.benchmark` says: one whole training step of an encoder and a
decoder on a batch of sentences of random symbols and lengths, with label smoothing, clipping and
Adam. PyTorch's is `torch.nn.Transformer`, eager, from the same weights, with a table tied to the
output. Both work out scores only where the target counts. Without dropout, so that they can be
compared. In float64 loss, gradients and moved matrices must be the same. In float32, which is what
is timed, only the loss and the norm of all gradients: where rounding puts a sum of a ReLU on the
other side of 0, single gradients differ by more than rounding.

The account: each kind of part is timed alone, forward and backward, on the shapes that it has in
the step, times how often it occurs. What is left of the step's time is what stands between the
parts: residual sums, copies, the bookkeeping of names. The matrix products of the whole step are
timed alone too: no code around them could be faster than that with this BLAS.

Left out: dropout, the making of batches, decoding (`phase05.decode`).
Shapes: B batch, S time of the source, T of the target, C = d_model, F = d_ff, n counted positions.
"""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from phase01.benchmark import (
    LEARNING_RATE,
    OURS,
    TORCH,
    Arrays,
    Race,
    Way,
    array,
    check_turns,
    compare,
    repeat,
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
from phase01.optimizers import Adam, clip_gradients
from phase03.embedding import unembedding_backward, unembedding_forward
from phase03.positional import sinusoidal
from phase04.masks import causal_mask
from phase04.multi_head import (
    multi_head_backward,
    multi_head_forward,
    multi_head_self_backward,
    multi_head_self_forward,
)
from phase05.feed_forward import feed_forward_backward, feed_forward_forward
from phase05.label_smoothing import (
    smoothed_cross_entropy_backward,
    smoothed_cross_entropy_forward,
)
from phase05.layer_norm import layer_norm_backward, layer_norm_forward
from phase05.transformer import (
    SOURCE,
    TARGET,
    Transformer,
    TransformerConfig,
    embed_backward,
    embed_forward,
    shifted,
)

MAX_NORM = 1.0


@dataclass(frozen=True)
class Config:
    batch_size: int = 32
    source_steps: int = 24
    """symbols of the longest source"""
    target_steps: int = 28
    """symbols of the longest target"""
    vocab_size: int = 4000
    """of the source, and of the target"""
    d_model: int = 256
    n_head: int = 8
    d_ff: int = 1024
    n_layer: int = 3
    rounds: int = 9
    seconds: float = 0.4
    """how long each way is timed in a round, at least"""
    settle: float = 0.06
    """seconds of calls before that do not count"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_size", "source_steps", "target_steps", "n_layer"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        check_turns(self.rounds, self.seconds, self.settle)
        _ = self.model  # which refuses what is wrong with its sizes

    @property
    def model(self) -> TransformerConfig:
        return TransformerConfig(
            *(self.vocab_size, self.vocab_size, 0, self.vocab_size - 1),
            *(self.d_model, self.n_head, self.d_ff, self.n_layer),
            label_smoothing=0.1,
        )


Batch = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Step = Callable[[], Any]


def main(config: Config) -> dict[str, Any]:
    """Run the race and draw up the account; returns ratios and shares (times are written)."""
    started = time.perf_counter()
    metrics: dict[str, Any] = {"threads": use_same_threads()}
    compare(step_race(config, np.float64))
    race = step_race(config)
    metrics[race.key] = run(race, config.rounds, config.seconds, config.settle)
    metrics["account"] = account(config)
    record.write(
        __file__,
        config=config,
        metrics=metrics,
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    return without_times(metrics)


def random_batch(config: Config) -> Batch:
    """Symbols and masks (B, S) and (B, T): half to all of a row counts, all of the first."""
    rng = np.random.default_rng([config.seed, 1])
    found = []
    for width in (config.source_steps, config.target_steps):
        lengths = rng.integers(math.ceil(width / 2), width, config.batch_size, endpoint=True)
        lengths[0] = width
        mask = np.arange(width) < lengths[:, np.newaxis]  # (B, width)
        found += [rng.integers(0, config.vocab_size, mask.shape), mask]
    source, source_mask, target, target_mask = found
    return source, source_mask, target, target_mask


# ---- the race ----------------------------------------------------------------------------


def step_race(config: Config, dtype: Any = np.float32) -> Race:
    """One training step, by our transformer and by PyTorch's."""
    batch = random_batch(config)
    model = Transformer(config.model, np.random.default_rng([config.seed, 2]), dtype)
    theirs = torch_step(model, batch)  # from the weights as they begin
    optimizer = Adam(model.params, LEARNING_RATE)

    def step() -> Arrays:
        loss, cache = model.forward(*batch)
        grads, norm = clip_gradients(model.backward(cache), MAX_NORM)
        optimizer.step(grads)
        return stepped(loss, norm, grads, model.params)

    title = (
        f"Training step of a transformer, {config.n_layer} + {config.n_layer} layers of "
        f"{config.d_model}, {config.batch_size} sentences of up to {config.source_steps} and "
        f"{config.target_steps}"
    )
    return Race("step", title, [Way(OURS, step), theirs], goal=2.0)


def stepped(loss: float, norm: float, grads: Arrays, params: Arrays) -> Arrays:
    """The loss and the norm of all gradients; in float64 also gradients and moved matrices.

    Not the moved biases: that of the keys has the gradient 0, since it adds the same to all scores
    of a query, and Adam's first step goes as far in the direction of a rounding error as in any.
    """
    whole = {"loss": loss, "norm": norm}
    if next(iter(params.values())).dtype == np.float32:
        return whole
    moved = {f"moved {name}": param for name, param in params.items() if param.ndim == 2}
    return {**whole, **grads, **moved}


class TorchTransformer(nn.Transformer):
    """PyTorch's transformer with two tables, under our names."""

    def __init__(self, config: TransformerConfig) -> None:
        kind: dict[str, Any] = {"dropout": 0.0, "batch_first": True}
        sizes = (config.d_model, config.n_head, config.d_ff)
        encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(*sizes, **kind), config.n_layer, enable_nested_tensor=False
        )
        decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(*sizes, **kind), config.n_layer)
        super().__init__(
            *sizes[:2], custom_encoder=encoder, custom_decoder=decoder, batch_first=True
        )
        self.source_embedding = nn.Embedding(config.source_vocab_size, config.d_model)
        self.target_embedding = nn.Embedding(config.target_vocab_size, config.d_model)

    def loss(self, source: Any, hidden: Any, before: Any, right: Any, counts: Any) -> torch.Tensor:
        """The smoothed loss over the positions that count; `hidden` is what fills the source."""
        y = self(
            self.embedded(self.source_embedding, source),
            self.embedded(self.target_embedding, before),
            tgt_mask=self.later,
            src_key_padding_mask=hidden,
            memory_key_padding_mask=hidden,
            tgt_is_causal=True,
        )
        scores = F.linear(y[counts], self.target_embedding.weight)  # (n, V)
        return F.cross_entropy(scores, right, label_smoothing=0.1)

    def prepare(self, source_steps: int, target_steps: int, dtype: Any) -> None:
        """What does not change from step to step: positions, and who comes later than whom."""
        table = sinusoidal(max(source_steps, target_steps), self.d_model, dtype)
        self.positions = torch.from_numpy(table)
        self.later = torch.ones(target_steps, target_steps, dtype=torch.bool).triu(1)

    def embedded(self, table: nn.Module, ids: torch.Tensor) -> torch.Tensor:
        return table(ids) * math.sqrt(self.d_model) + self.positions[: ids.shape[1]]


def torch_step(mine: Transformer, batch: Batch) -> Way:
    """The same step from the same weights in PyTorch."""
    source, source_mask, target, target_mask = batch
    dtype = mine.params[TARGET].dtype
    model = TorchTransformer(mine.config).to(torch.from_numpy(mine.params[TARGET]).dtype)
    model.load_state_dict({name: torch.tensor(param) for name, param in mine.params.items()})
    model.prepare(source.shape[1], target.shape[1], dtype)
    params = dict(model.named_parameters())
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    given = [source, ~source_mask, shifted(target, mine.config.start_id), target[target_mask]]
    given = [torch.from_numpy(one) for one in (*given, target_mask)]

    def step() -> tuple[torch.Tensor, torch.Tensor]:
        optimizer.zero_grad()
        loss = model.loss(*given)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
        optimizer.step()
        return loss, norm

    def read(returned: tuple[torch.Tensor, torch.Tensor]) -> Arrays:
        loss, norm = (one.item() for one in returned)
        grads = {name: array(params[name].grad) for name in mine.params}
        moved = {name: array(params[name]) for name in mine.params}
        return stepped(loss, norm, grads, moved)

    return Way(TORCH, step, read)


# ---- the account -------------------------------------------------------------------------


def account(config: Config) -> dict[str, Any]:
    """Milliseconds of the step, of each kind of part in it, and of the products; and the shares."""
    ways: dict[str, Step] = {"whole step": step_race(config).ways[0].step}
    ways |= parts(config) | {"matrix products alone": products(config)}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(config.rounds):
        for name, step in ways.items():
            repeat(step, config.settle)
            taken[name] += repeat(step, config.seconds / 4)
    medians = {name: statistics.median(found) for name, found in taken.items()}
    whole = medians["whole step"]
    inner = [name for name in medians if name not in ("whole step", "matrix products alone")]
    share = {name: round(medians[name] / whole, 3) for name in inner}
    share["between the parts"] = round(1 - sum(medians[name] for name in inner) / whole, 3)
    print(f"\n{'Where the time of a step goes':<44}{'median ms':>11}{'share':>9}")
    for name, median in medians.items():
        print(f"  {name:<42}{1e3 * median:>11.3f}{median / whole:>9.2f}", flush=True)
    return {
        "parts_ms": {name: round(1e3 * median, 3) for name, median in medians.items()},
        "share": share,
        "share_of_matrix_products": round(medians["matrix products alone"] / whole, 3),
    }


def parts(config: Config) -> dict[str, Step]:
    """Each kind of part, forward and backward, as often as it occurs in a step."""
    source, source_mask, target, target_mask = random_batch(config)
    made = config.model
    model = Transformer(made, np.random.default_rng([config.seed, 3]))
    encoder = {name.removeprefix("encoder.layers.0."): v for name, v in model.params.items()}
    attention = {
        name.removeprefix("self_attn."): value
        for name, value in encoder.items()
        if name.startswith("self_attn.")
    }
    rng = np.random.default_rng([config.seed, 4])
    x, y = (
        rng.standard_normal((*ids.shape, made.d_model)).astype(np.float32)
        for ids in (source, target)
    )
    mask, causal = source_mask[:, np.newaxis, np.newaxis], causal_mask(target.shape[1])
    norm = (encoder["norm1.weight"], encoder["norm1.bias"])
    n, n_head = made.n_layer, made.n_head

    def embeddings() -> None:
        for name, ids, dx in ((SOURCE, source, x), (TARGET, target, y)):
            embed_backward(dx, embed_forward(model.params[name], ids)[1])

    def self_attention() -> None:
        for _ in range(n):
            for one, seen in ((x, mask), (y, causal)):
                multi_head_self_backward(*multi_head_self_forward(attention, one, seen, n_head))

    def cross_attention() -> None:
        for _ in range(n):
            multi_head_backward(*multi_head_forward(attention, y, x, mask, n_head))

    def feed_forward() -> None:
        for one in (x, y) * n:
            feed_forward_backward(*feed_forward_forward(encoder, one))

    def layer_norm() -> None:
        for one in (x, x, y, y, y) * n:
            layer_norm_backward(*layer_norm_forward(one, *norm))

    def output_and_loss() -> None:
        counted, right = y[target_mask], target[target_mask]  # (n, C), (n,)
        logits, cache = unembedding_forward(counted, model.params[TARGET])
        _, loss_cache = smoothed_cross_entropy_forward(logits, right, made.label_smoothing)
        unembedding_backward(smoothed_cross_entropy_backward(1.0, loss_cache), cache)

    optimizer = Adam(model.params, LEARNING_RATE)
    grads = {name: np.full_like(value, 1e-3) for name, value in model.params.items()}

    def clip_and_adam() -> None:
        optimizer.step(clip_gradients(grads, MAX_NORM)[0])

    return {
        "embeddings": embeddings,
        "self-attention": self_attention,
        "cross-attention": cross_attention,
        "feed-forward": feed_forward,
        "layer norm": layer_norm,
        "output and loss": output_and_loss,
        "clipping and Adam": clip_and_adam,
    }


def products(config: Config) -> Step:
    """All matrix products of a step, forward and backward, on arrays that are there already."""
    *_, target_mask = random_batch(config)
    n_batch, c, wide, n = config.batch_size, config.d_model, config.d_ff, config.n_layer
    s, t = n_batch * config.source_steps, n_batch * config.target_steps
    linear = {  # examples, width in, width out: three products each
        (int(target_mask.sum()), c, config.vocab_size): 1,
        **{(rows, c, width): n for rows in (s, t) for width in (3 * c, c, wide)},
        **{(rows, wide, c): n for rows in (s, t)},
    }
    across = [(t, c, c), (t, c, c), (s, c, 2 * c)] * n  # query, output; keys and values
    shapes = [shape for shape, count in linear.items() for _ in range(count)] + across
    heads = n_batch * config.n_head
    steps = (config.source_steps, config.target_steps)
    pairs = [(steps[0], steps[0]), (steps[1], steps[1]), (steps[1], steps[0])] * n
    ones: dict[tuple[int, ...], np.ndarray] = {}

    def some(*shape: int) -> np.ndarray:
        return ones.setdefault(shape, np.full(shape, 0.01, np.float32))

    work: list[tuple[np.ndarray, np.ndarray]] = []
    for rows, d_in, d_out in shapes:
        x, weight, dy = some(rows, d_in), some(d_out, d_in), some(rows, d_out)
        work += [(x, weight.T), (dy, weight), (dy.T, x)]
    width = c // config.n_head
    for asked, found in pairs:
        query, key = some(heads, asked, width), some(heads, found, width)
        weights = some(heads, asked, found)
        turned = weights.swapaxes(1, 2)
        work += [(query, key.swapaxes(1, 2))] * 2 + [(weights, key)] * 2 + [(turned, query)] * 2

    def step() -> None:
        for a, b in work:
            a @ b

    return step


if __name__ == "__main__":
    script.run(main, Config)
