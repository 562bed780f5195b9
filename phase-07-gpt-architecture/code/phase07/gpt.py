"""GPT-2, in PyTorch.

The decoder-only transformer of Radford et al., "Language Models are Unsupervised Multitask
Learners" (2019), section 2.3, which builds on Radford et al. (2018): learned positions, a LayerNorm
in front of each sub-block and one at the end (pre-norm), residual projections that start smaller
the deeper the model, and the token embedding used again as the output matrix.

Where the paper is silent or differs, this follows the weights that its authors released:
- GELU in its tanh form, not the exact one of `torch.nn.GELU()`.
- The paper scales residual *weights* at initialization by 1/sqrt(N), N the number of residual
  layers. A block holds two of them, so N = 2 n_layer, and the scaled weights are the two `c_proj`.
- Positions start with a standard deviation of 0.02 like everything else (Hugging Face does the
  same; the released code starts them at 0.01).
- Output matrix tied to the token embedding; the paper does not mention it.

Left out: the key/value cache and everything newer than 2019 (phase 9), the training loop (phase 8).
Parameters have the names of Hugging Face's GPT-2, so `hf_weights.py` need not rename any.

Shapes: B batch, T time, C = d_model, H heads, D = d_head = C / H, F = d_ff = 4 C, V vocabulary.
"""

import dataclasses
import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from phase07.cross_entropy import linear_cross_entropy

Attention = Literal["sdpa", "explicit"]


@dataclasses.dataclass(frozen=True)
class GPTConfig:
    """The size of a GPT, and which code computes its attention (the numbers are the same)."""

    n_layer: int
    n_head: int
    d_model: int
    block_size: int  # the longest sequence, in tokens
    vocab_size: int
    dropout: float | int = 0.0
    bias: bool = True  # in Linear and LayerNorm; GPT-2 has them
    attention: Attention = "sdpa"

    def __post_init__(self) -> None:
        for name in ("n_layer", "n_head", "d_model", "block_size", "vocab_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.d_model % self.n_head:
            raise ValueError(
                f"d_model must be a multiple of n_head, got {self.d_model} and {self.n_head}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout}")
        if self.attention not in get_args(Attention):
            raise ValueError(f"attention must be 'sdpa' or 'explicit', got {self.attention!r}")


def _gpt2(n_layer: int, n_head: int, d_model: int) -> GPTConfig:
    return GPTConfig(n_layer, n_head, d_model, block_size=1024, vocab_size=50257, dropout=0.1)


# Callers set a small model's vocab_size to their tokenizer's by `dataclasses.replace`.
PRESETS: dict[str, GPTConfig] = {
    "gpt2": _gpt2(12, 12, 768),  # 124M parameters
    "gpt2-medium": _gpt2(24, 16, 1024),  # 355M
    "gpt2-large": _gpt2(36, 20, 1280),  # 774M
    "gpt2-xl": _gpt2(48, 25, 1600),  # 1558M
    "tiny": GPTConfig(n_layer=4, n_head=4, d_model=128, block_size=64, vocab_size=256),
    "gpt-1m": GPTConfig(n_layer=5, n_head=4, d_model=128, block_size=128, vocab_size=256),
    "gpt-10m": GPTConfig(n_layer=6, n_head=6, d_model=384, block_size=256, vocab_size=256),
    "gpt-50m": GPTConfig(n_layer=8, n_head=8, d_model=512, block_size=512, vocab_size=50257),
}


def causal_attention(
    q: Float[Tensor, "B H T D"],
    k: Float[Tensor, "B H T D"],
    v: Float[Tensor, "B H T D"],
    dropout: float | int = 0.0,
) -> Float[Tensor, "B H T D"]:
    """softmax(q k^T / sqrt(D)) v, where no position sees a later one (Vaswani et al., 2017, eq. 1).

    Written out: what `F.scaled_dot_product_attention(q, k, v, is_causal=True)` computes without
    ever holding the T x T weights.
    """
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (B, H, T, T)
    may_attend = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()  # (T, T)
    scores = scores.masked_fill(~may_attend, -math.inf)  # (B, H, T, T)
    weights = F.softmax(scores, dim=-1)  # (B, H, T, T)
    weights = F.dropout(weights, dropout)  # (B, H, T, T)
    return weights @ v  # (B, H, T, D)


class CausalSelfAttention(nn.Module):
    """H heads of causal attention; queries, keys and values come from one matrix product."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.dropout = config.dropout
        self.attention = config.attention
        self.c_attn = nn.Linear(config.d_model, 3 * config.d_model, bias=config.bias)
        self.c_proj = nn.Linear(config.d_model, config.d_model, bias=config.bias)
        self.resid_dropout = nn.Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        q, k, v = self.c_attn(x).split(x.shape[-1], dim=-1)  # each (B, T, C)
        q, k, v = (y.unflatten(-1, (self.n_head, -1)).transpose(1, 2) for y in (q, k, v))
        dropout = self.dropout if self.training else 0.0
        if self.attention == "explicit":
            y = causal_attention(q, k, v, dropout)  # (B, H, T, D)
        else:
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        y = y.transpose(1, 2).flatten(2)  # (B, T, C)
        return self.resid_dropout(self.c_proj(y))  # (B, T, C)


class MLP(nn.Module):
    """The position-wise network: C -> 4 C, GELU, 4 C -> C."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.d_model, 4 * config.d_model, bias=config.bias)
        self.c_proj = nn.Linear(4 * config.d_model, config.d_model, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        hidden = F.gelu(self.c_fc(x), approximate="tanh")  # (B, T, F)
        return self.dropout(self.c_proj(hidden))  # (B, T, C)


class Block(nn.Module):
    """Attention, then the MLP; each reads a normalized copy and adds to the residual stream."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.d_model, bias=config.bias)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = nn.LayerNorm(config.d_model, bias=config.bias)
        self.mlp = MLP(config)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        x = x + self.attn(self.ln_1(x))  # (B, T, C)
        x = x + self.mlp(self.ln_2(x))  # (B, T, C)
        return x


class Transformer(nn.Module):
    """Token ids in, the normalized residual stream out."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.d_model)  # token embedding
        self.wpe = nn.Embedding(config.block_size, config.d_model)  # position embedding
        self.drop = nn.Dropout(config.dropout)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.d_model, bias=config.bias)

    def forward(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T C"]:
        positions = torch.arange(ids.shape[1], device=ids.device)  # (T,)
        x = self.drop(self.wte(ids) + self.wpe(positions))  # (B, T, C)
        for block in self.h:
            x = block(x)  # (B, T, C)
        return self.ln_f(x)  # (B, T, C)


class GPT(nn.Module):
    """A GPT-2 with fresh weights, drawn from PyTorch's global generator (`torch.manual_seed`)."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.lm_head.weight = self.transformer.wte.weight  # tied: one matrix, two uses
        self.init_weights()

    @torch.no_grad()
    def init_weights(self) -> None:
        """Matrices from N(0, 0.02^2), the two `c_proj` of a block smaller; biases 0, gains 1.

        The 2 n_layer sub-blocks add to the residual stream. Independent contributions add in
        variance, so each is scaled by 1/sqrt(2 n_layer) for the sum not to grow with the depth.
        """
        residual_std = 0.02 / math.sqrt(2 * self.config.n_layer)
        for name, parameter in self.named_parameters():
            if parameter.dim() >= 2:
                parameter.normal_(std=residual_std if name.endswith("c_proj.weight") else 0.02)
            elif name.endswith("bias"):
                parameter.zero_()
            else:
                parameter.fill_(1.0)

    def hidden(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T C"]:
        """The last block's output after the final LayerNorm; its product with `lm_head` is logits.

        Raises ValueError for a sequence that is empty or longer than block_size, and, for ids on
        the CPU, for an id outside the vocabulary.
        """
        if not 1 <= ids.shape[1] <= self.config.block_size:
            raise ValueError(
                f"expected 1 to {self.config.block_size} (block_size) tokens in a sequence, "
                f"got {ids.shape[1]}"
            )
        self._check_range("token ids", ids, lowest=0)
        return self.transformer(ids)

    def forward(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        """Logits of the token after each position."""
        return self.lm_head(self.hidden(ids))  # (B, T, V)

    def loss(self, ids: Int[Tensor, "B T"], targets: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
        """The mean cross-entropy in nats per token; where the target is -1 it does not count.

        Never holds the (B, T, V) logits, the largest tensor of a GPT-2 training step by far.
        """
        self._check_range("targets", targets, lowest=-1)
        hidden = self.hidden(ids).flatten(0, 1)  # (B T, C)
        return linear_cross_entropy(hidden, self.lm_head.weight, targets.flatten())

    def _check_range(self, name: str, ids: Tensor, lowest: int) -> None:
        # A look at the values of ids makes the host wait for an accelerator, and splits a compiled
        # graph: both at every step. There an id out of range fails inside the embedding instead.
        if ids.device.type == "cpu" and not torch.compiler.is_compiling() and ids.numel():
            low, high = (int(value) for value in ids.aminmax())
            if low < lowest or high >= self.config.vocab_size:
                raise ValueError(
                    f"{name} must be {lowest} to {self.config.vocab_size - 1} (vocab_size - 1), "
                    f"got {low if low < lowest else high}"
                )


def count_parameters(model: nn.Module) -> int:
    """The number of trained values in a model; a tied weight counts once."""
    return sum(parameter.numel() for parameter in model.parameters())


def parameters_by_formula(config: GPTConfig) -> int:
    """The number of parameters, without building the model.

        V C + block_size C                      token and position embeddings; the output is tied
        n_layer (12 C^2 + 13 C)                 a block:
            3 C^2 + 3 C  and  C^2 + C               c_attn and c_proj of attention
            4 C^2 + 4 C  and  4 C^2 + C             c_fc and c_proj of the MLP
            2 * 2 C                                 two LayerNorms, gain and bias
        2 C                                     the final LayerNorm

    Without biases a block has 12 C^2 + 2 C and the final LayerNorm C. GPT-2 small: 124,439,808.
    """
    c = config.d_model
    embeddings = (config.vocab_size + config.block_size) * c
    block = 12 * c**2 + (13 if config.bias else 2) * c
    final_norm = (2 if config.bias else 1) * c
    return embeddings + config.n_layer * block + final_norm


def parameter_groups(model: nn.Module, weight_decay: float | int) -> list[dict]:
    """Optimizer groups: matrices and embeddings decay, biases and LayerNorm gains do not.

    Decay pulls towards zero. For a bias or a gain (which starts at 1) zero is nothing to aim at.
    """
    parameters = list(model.parameters())  # a tied weight comes once
    return [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
