"""What a training run costs, worked out before it starts: operations, memory, time, disk.

Every function is one formula, so that a note can quote it and a test can check it by hand. What a
machine *does* is measured (`phase08.benchmark`, `phase08.devices.measure_peak_flops`); here such a
rate comes in as an argument.

Left out: communication between processes, the data's own reading, and evaluation during the run.

Letters: B batch, T time, C = d_model, H heads, D = C / H, F = 4 C, L = n_layer, V vocabulary,
N parameters. Memory is in bytes, work in FLOPs (an addition or a multiplication is one), time in
seconds.
"""

import itertools
import math
from dataclasses import dataclass

import torch

from phase07.gpt import GPTConfig, parameters_by_formula
from phase08.presets import TrainConfig

FLOAT32 = 4  # bytes


# --- work -------------------------------------------------------------------------------------


def parameters_in_products(config: GPTConfig) -> int:
    """N of the formula 6 N: all parameters except the position table, which is only looked up.

    The token embedding counts, once: tied, it is also the output matrix. Biases and LayerNorm
    gains count too although no product reads them; they are 0.1 % of GPT-2 small.
    """
    return parameters_by_formula(config) - config.block_size * config.d_model


def flops_per_token(config: GPTConfig, block_size: int | None = None) -> int:
    """FLOPs of forward and backward for one token: 6 N + 12 L H D T.

    Chowdhery et al., "PaLM" (2022), appendix B, where D is called Q. Each parameter multiplies and
    adds once forward (2 FLOPs) and twice backward, for the gradients of input and of weight (4).
    Attention multiplies T queries with T keys and T weights with T values: 4 H D T a token forward,
    12 with backward. It counts in full, as if no mask halved it, and what is computed twice to save
    memory counts once: both as in the paper, which calls the share of peak so counted the
    model FLOPs utilization (MFU).
    """
    length = config.block_size if block_size is None else block_size
    return 6 * parameters_in_products(config) + 12 * config.n_layer * config.d_model * length


def product_flops_per_token(config: GPTConfig, block_size: int | None = None) -> int:
    """The same, counted matrix product by matrix product: 3 (L (24 C^2 + 4 T C) + 2 C V).

        c_attn           2 C 3C        queries, keys and values
        scores           2 T C         q k^T over all heads
        weighted sum     2 T C         of the values
        c_proj           2 C C
        MLP              2 C 4C twice
        logits           2 C V

    times 3 for forward and backward. A check of `flops_per_token`: lower by the biases and gains.
    """
    length = config.block_size if block_size is None else block_size
    c = config.d_model
    block = 2 * c * 3 * c + 2 * length * c + 2 * length * c + 2 * c * c + 2 * (2 * c * 4 * c)
    return 3 * (config.n_layer * block + 2 * c * config.vocab_size)


# --- memory -----------------------------------------------------------------------------------


def weight_memory(config: GPTConfig, dtype: torch.dtype = torch.float32) -> dict[str, int]:
    """Bytes of what training keeps per parameter: 16, and 2 more for autocast's copies.

    Parameters, gradients and AdamW's two moments are float32 whatever the precision of the
    products (Rajbhandari et al., "ZeRO", 2020, section 3.1, counts the same way). Under autocast
    the matrices are there a second time, in its dtype, from their first use to the end of backward.
    """
    n = parameters_by_formula(config)
    parts = {"parameters": FLOAT32 * n, "gradients": FLOAT32 * n, "AdamW moments": 2 * FLOAT32 * n}
    if dtype != torch.float32:
        parts["copies for autocast"] = dtype.itemsize * _matrices(config)
    return parts


def _matrices(config: GPTConfig) -> int:
    """Values in the matrices that are multiplied: 12 C^2 a block, and the output's V C."""
    return 12 * config.n_layer * config.d_model**2 + config.vocab_size * config.d_model


def activations_per_token(
    config: GPTConfig,
    block_size: int | None = None,
    dtype: torch.dtype = torch.float32,
    device_type: str = "cpu",
) -> dict[str, int]:
    """Bytes that one block's forward keeps for its backward, for each token, in eager mode.

    The residual stream, which every LayerNorm saves as its input, is float32 (f = 4 bytes); what
    products read and write is in their dtype (s bytes):

        residual, before each LayerNorm    2 f C    and 2 * 2 f for means and deviations
        LayerNorm outputs                  2 s C    inputs of c_attn and c_fc
        queries, keys, values              3 s C
        attention output                   s C      and f H for softmax's logarithms
        MLP before and after GELU          2 s F    = 8 s C

    so (2 f + 14 s) C: 64 bytes times C in float32, 36 times C in bfloat16. Dropout after the two
    projections keeps 2 s C of noise. Dropout inside attention makes torch hold the T x T weights
    of each head three times (as softmax's output, as noise, and dropped), in float32: 3 f H T;
    queries and keys are then scaled copies, the logarithms are not needed. Not so on cuda, whose
    kernel draws the noise again, and where a mask takes a byte. Tested against torch on a CPU only.
    """
    length = config.block_size if block_size is None else block_size
    c, h, s = config.d_model, config.n_head, dtype.itemsize
    parts = {
        "residual stream": 2 * FLOAT32 * (c + 2),
        "LayerNorm outputs": 2 * s * c,
        "queries, keys, values": 3 * s * c,
        "attention output": s * c + FLOAT32 * h,
        "MLP": 2 * s * 4 * c,
    }
    if config.dropout > 0 and device_type == "cuda":
        parts["dropout noise"] = 2 * c
    elif config.dropout > 0:
        parts["queries, keys, values"] = 3 * FLOAT32 * c
        parts["attention output"] = s * c
        parts["attention weights"] = 3 * FLOAT32 * h * length
        parts["dropout noise"] = 2 * s * c
    return parts


def activation_memory(
    config: GPTConfig,
    batch_size: int,
    block_size: int | None = None,
    dtype: torch.dtype = torch.float32,
    device_type: str = "cpu",
) -> int:
    """Bytes kept between the forward and the backward of one micro-batch.

    B T (L block + 2 f C + ...) for the blocks, the final LayerNorm's input and the gradient of its
    output (`linear_cross_entropy` has it ready), which is where the T x V logits are not.
    """
    length = config.block_size if block_size is None else block_size
    block = sum(activations_per_token(config, length, dtype, device_type).values())
    ends = FLOAT32 * (config.d_model + 2) + FLOAT32 * config.d_model
    ids = 8 + 8 / batch_size  # int64 token ids, and one row of positions
    noise = (1 if device_type == "cuda" else FLOAT32) * config.d_model if config.dropout > 0 else 0
    return round(batch_size * length * (config.n_layer * block + ends + noise + ids))


def logits_memory(config: GPTConfig, rows: int, dtype: torch.dtype = torch.float32) -> int:
    """Bytes of a chunk of `rows` rows of logits; a lower dtype needs it in both."""
    copies = FLOAT32 if dtype == torch.float32 else FLOAT32 + dtype.itemsize
    return copies * rows * config.vocab_size


def step_memory(
    config: GPTConfig,
    batch_size: int,
    block_size: int | None = None,
    dtype: torch.dtype = torch.float32,
    logit_rows: int = 256,
    device_type: str = "cpu",
) -> dict[str, int]:
    """Bytes of one training step by part. Their sum is an upper bound of the tensors' memory:
    most gradients come into being in backward, as the activations go.

    The process itself (Python, torch's libraries) comes on top: about 0.3 GB on a CPU.
    """
    return weight_memory(config, dtype) | {
        "activations": activation_memory(config, batch_size, block_size, dtype, device_type),
        "logits": logits_memory(config, logit_rows, dtype),
    }


# --- a whole run ------------------------------------------------------------------------------


def training_seconds(flops: float | int, flops_per_second: float | int) -> float:
    """Time at a measured rate of the whole step, in model FLOPs a second."""
    if not flops_per_second > 0:
        raise ValueError(f"the rate must be above 0 FLOP/s, not {flops_per_second}")
    return flops / flops_per_second


def checkpoint_bytes(config: GPTConfig) -> int:
    """Bytes of one checkpoint: parameters and two moments in float32; the rest is kilobytes."""
    return 3 * FLOAT32 * parameters_by_formula(config)


@dataclass(frozen=True)
class Budget:
    """What one run takes. `seconds` is None where no rate was measured."""

    parameters: int
    tokens_per_step: int
    steps: int
    train_tokens: int
    flops_per_token: int
    memory: dict[str, int]
    disk: int
    flops_per_second: float | int | None = None

    @property
    def tokens(self) -> int:
        """Tokens that go through the model, repeated ones included."""
        return self.tokens_per_step * self.steps

    @property
    def epochs(self) -> float:
        return self.tokens / self.train_tokens

    @property
    def flops(self) -> int:
        return self.flops_per_token * self.tokens

    @property
    def seconds(self) -> float | int | None:
        if self.flops_per_second is None:
            return None
        return training_seconds(self.flops, self.flops_per_second)


def plan(
    model: GPTConfig,
    train: TrainConfig,
    train_tokens: int,
    *,
    dtype: torch.dtype = torch.float32,
    device_type: str = "cpu",
    flops_per_second: float | int | None = None,
) -> Budget:
    """The budget of a training run.

    `train_tokens` are the tokens of the training split, `flops_per_second` a rate measured on this
    machine. The disk holds `keep_last` checkpoints, the best, and one being written.
    """
    if train_tokens < 1:
        raise ValueError(f"the training split must hold at least 1 token, not {train_tokens}")
    return Budget(
        parameters=parameters_by_formula(model),
        tokens_per_step=train.tokens_per_step,
        steps=train.steps,
        train_tokens=train_tokens,
        flops_per_token=flops_per_token(model, train.block_size),
        memory=step_memory(
            model, train.batch_size, train.block_size, dtype, device_type=device_type
        ),
        disk=(train.keep_last + 2) * checkpoint_bytes(model),
        flops_per_second=flops_per_second,
    )


# --- in words ---------------------------------------------------------------------------------


def describe(budget: Budget) -> list[tuple[str, str]]:
    """The budget as rows of (what, how much), in the order to be read."""
    parts = ", ".join(f"{name} {quantity(size, 'B')}" for name, size in budget.memory.items())
    a_token = quantity(budget.flops_per_token, "FLOP")
    rows = [
        ("parameters", f"{budget.parameters:,}"),
        ("tokens", f"{budget.tokens:,} in {budget.steps:,} steps of {budget.tokens_per_step:,}"),
        ("epochs", f"{budget.epochs:.3g} over {budget.train_tokens:,} tokens"),
        ("work", f"{quantity(budget.flops, 'FLOP')}, {a_token} a token"),
        ("memory", f"at most {quantity(sum(budget.memory.values()), 'B')}: {parts}"),
        ("disk", f"up to {quantity(budget.disk, 'B')} for checkpoints"),
    ]
    if budget.seconds is not None and budget.flops_per_second is not None:
        rate = quantity(budget.flops_per_second, "FLOP/s")
        rows.append(("time", f"{duration(budget.seconds)} at {rate}"))
    return rows


def report(
    model: GPTConfig,
    train: TrainConfig,
    train_tokens: int,
    *,
    dtype: torch.dtype = torch.float32,
    device_type: str = "cpu",
    flops_per_second: float | int | None = None,
) -> str:
    """The rows of `describe` as lines of text."""
    budget = plan(
        model,
        train,
        train_tokens,
        dtype=dtype,
        device_type=device_type,
        flops_per_second=flops_per_second,
    )
    rows = describe(budget)
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def quantity(value: float | int, unit: str) -> str:
    """Three digits and a decimal prefix: `quantity(498e6, "B")` is `498 MB`."""
    if abs(value) < 1000:
        return f"{value:.3g} {unit}"
    # Rounded first, so that 999,999 becomes 1 M and not 1e+03 k.
    exponent = math.floor(math.log10(abs(float(f"{value:.2e}"))) / 3)
    exponent = min(exponent, 7)
    return f"{value / 1000**exponent:.3g} {'kMGTPEZ'[exponent - 1]}{unit}"


def duration(seconds: float | int) -> str:
    """Seconds in the two largest units that fit: `3 h 20 min`."""
    seconds = round(seconds)
    units = (("days", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    for (name, size), (smaller, part) in itertools.pairwise(units):
        if seconds >= size:
            return f"{seconds // size} {name} {seconds % size // part} {smaller}"
    return f"{seconds} s"
