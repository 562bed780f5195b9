"""The loss of a model over a whole split: nats a token, perplexity, bits a byte.

Every token of the split but the first is predicted exactly once. The text is cut into windows of
`block_size` tokens; with `stride == block_size` they lie end to end (the last one reaches back to
be as long as the others), and the first prediction of each sees a single token. With a smaller
stride the windows overlap, and only the last `stride` predictions of each count, so that each saw
at least `block_size - stride` tokens more: a better model of the text, at `block_size / stride`
times the cost.

    loss        = (1/n) sum of -ln p(token | tokens before it)      nats a token
    perplexity  = exp(loss)
    bits a byte = (sum of -ln p) / ln 2 / (UTF-8 bytes of the predicted tokens)

Perplexity depends on the tokenizer (a token may be a letter or a word); bits a byte does not.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from phase07.gpt import GPT
from phase08.batches import Tokens
from phase08.devices import Device, autocast


def perplexity(loss: float) -> float:
    """exp(loss), infinity where that is beyond a float."""
    return math.exp(loss) if loss < 709 else math.inf


@dataclass(frozen=True)
class Evaluation:
    """A model's loss over a split: `loss` in nats a token; `bytes` of the predicted tokens."""

    loss: float
    tokens: int
    bytes: int

    @property
    def perplexity(self) -> float:
        return perplexity(self.loss)

    @property
    def bits_per_byte(self) -> float:
        return self.loss * self.tokens / math.log(2) / self.bytes if self.bytes else math.nan


def windows(n_tokens: int, block_size: int, stride: int) -> list[tuple[int, int, int]]:
    """(start, first, stop) of each window: it reads tokens start .. stop-1, and its predictions of
    tokens first .. stop-1 count. Together they predict tokens 1 .. n_tokens-1, each once."""
    if not 1 <= stride <= block_size:
        raise ValueError(f"stride must be from 1 to block_size = {block_size}, not {stride}")
    if n_tokens < 2:
        raise ValueError("there is nothing to predict: the split has fewer than two tokens")
    found = []
    predicted = 1
    while predicted < n_tokens:
        step = block_size if predicted == 1 else stride
        stop = min(predicted + step, n_tokens)
        found.append((max(0, stop - block_size - 1), predicted, stop))
        predicted = stop
    return found


@torch.no_grad()
def evaluate(
    model: GPT,
    tokens: Tokens,
    device: Device,
    *,
    token_bytes: np.ndarray,
    stride: int | None = None,
    batch_size: int = 16,
    max_tokens: int | None = None,
) -> Evaluation:
    """The loss of `model` on all of `tokens` (the plain, uncompiled model, in evaluation mode).

    `token_bytes[i]` is the number of UTF-8 bytes of token i. `max_tokens` takes only as many
    predictions, in windows spread evenly over the text: an estimate, for use during training.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    stride = model.config.block_size if stride is None else stride
    cuts = windows(len(tokens), model.config.block_size, stride)
    if max_tokens is not None and len(cuts) * stride > max_tokens:
        wanted = max(1, max_tokens // stride)
        cuts = [cuts[i] for i in np.linspace(0, len(cuts) - 1, wanted).astype(int)]
    was_training = model.training
    model.eval()
    nats, count, n_bytes = 0.0, 0, 0
    for ids, targets in _batches(tokens, cuts, batch_size):
        counted = targets[targets >= 0]
        with autocast(device):
            loss = model.loss(ids.to(device.device), targets.to(device.device))
        nats += loss.item() * counted.numel()
        count += counted.numel()
        n_bytes += int(token_bytes[counted.numpy()].sum())
    model.train(was_training)
    return Evaluation(nats / count, count, n_bytes)


def _batches(
    tokens: Tokens, cuts: list[tuple[int, int, int]], batch_size: int
) -> Iterator[tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]]:
    """Inputs and targets of windows of equal length, a batch at a time; -1 where none counts."""
    for first in range(0, len(cuts), batch_size):
        group = cuts[first : first + batch_size]
        for length in sorted({stop - start for start, _, stop in group}, reverse=True):
            rows = [cut for cut in group if cut[2] - cut[0] == length]
            text = np.stack([tokens.slice(start, stop) for start, _, stop in rows])
            targets = text[:, 1:].astype(np.int64)  # (B, T)
            for row, (start, predicted, _) in enumerate(rows):
                targets[row, : predicted - start - 1] = -1
            yield torch.from_numpy(text[:, :-1].astype(np.int64)), torch.from_numpy(targets)
