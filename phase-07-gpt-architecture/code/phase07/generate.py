"""Text from a GPT: one token after the other, each drawn from the model's own prediction.

Greedy decoding, temperature, top-k (Fan et al., "Hierarchical Neural Story Generation", 2018) and
top-p or nucleus sampling (Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020,
section 3.1), for batches, with a stop token, whole or as a stream.

Left out: the key/value cache (phase 9). Every step computes the whole context anew; once it is
longer than block_size, its last block_size tokens.

Shapes: B batch, T time, V vocabulary.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from phase07.gpt import GPT


def top_k_filter(logits: Float[Tensor, "B V"], k: int) -> Float[Tensor, "B V"]:
    """Keep the k largest logits of each row and set the others to -inf.

    Of equal logits the one with the lower id goes first. With k >= V all are kept.
    """
    if k < 1:
        raise ValueError(f"top_k must be at least 1 token, got {k}")
    order = logits.argsort(dim=-1, descending=True, stable=True)  # (B, V)
    return logits.scatter(-1, order[:, k:], -math.inf)  # (B, V)


def top_p_filter(logits: Float[Tensor, "B V"], p: float | int) -> Float[Tensor, "B V"]:
    """Keep the smallest set of tokens whose probability reaches p and set the others to -inf.

    Tokens are taken by falling probability, of equal ones the lower id first, until their sum is
    at least p; so one at least is kept. With p = 1 all are.
    """
    if not 0 < p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, got {p}")
    if p == 1:  # rounding could make the sum reach 1 before the last token
        return logits
    sorted_logits, order = logits.sort(dim=-1, descending=True, stable=True)  # (B, V) both
    probabilities = F.softmax(sorted_logits, dim=-1)  # (B, V)
    before = F.pad(probabilities.cumsum(dim=-1)[:, :-1], (1, 0))  # (B, V) the sum of those ahead
    dropped = (before >= p).gather(-1, order.argsort(dim=-1))  # (B, V) back in the order of ids
    return logits.masked_fill(dropped, -math.inf)  # (B, V)


def next_token_probabilities(
    logits: Float[Tensor, "B V"],
    temperature: float | int = 1.0,
    top_k: int | None = None,
    top_p: float | int | None = None,
) -> Float[Tensor, "B V"]:
    """What the next token is drawn from: softmax(logits / temperature) after top-k, then top-p.

    Temperature 0 is greedy decoding: all on the largest logit, of equal ones on the lower id.
    """
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature must be 0 (greedy) or above, got {temperature}")
    kept = logits.float()
    kept = kept - kept.amax(dim=-1, keepdim=True)  # (B, V) at most 0, so that dividing by a
    kept = kept / (temperature or 1.0)  # (B, V) tiny temperature never gives +inf
    if top_k is not None:
        kept = top_k_filter(kept, top_k)
    if top_p is not None:
        kept = top_p_filter(kept, top_p)
    if temperature == 0:
        return F.one_hot(logits.argmax(dim=-1), logits.shape[-1]).float()  # (B, V)
    return F.softmax(kept, dim=-1)  # (B, V)


def generate(
    model: GPT,
    ids: Int[Tensor, "B T"],
    n_tokens: int,
    *,
    temperature: float | int = 1.0,
    top_k: int | None = None,
    top_p: float | int | None = None,
    stop_token: int | None = None,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "B T_out"]:
    """The prompt `ids` and up to n_tokens more; see `stream`."""
    columns = stream(
        model,
        ids,
        n_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        stop_token=stop_token,
        generator=generator,
    )
    return torch.cat([ids, *columns], dim=1)  # (B, T + n_tokens), or less


def stream(
    model: GPT,
    ids: Int[Tensor, "B T"],
    n_tokens: int,
    *,
    temperature: float | int = 1.0,
    top_k: int | None = None,
    top_p: float | int | None = None,
    stop_token: int | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[Int[Tensor, "B 1"]]:
    """Yield the next token of every row, n_tokens times.

    A row that has drawn `stop_token` goes on with nothing but that token; when all have, the stream
    ends early. A stop token in the prompt does not count. The model is in evaluation mode while it
    computes, and between two tokens in the mode that it was in. The draws come from `generator`,
    which must be on the device of `ids`, or else from PyTorch's global one.

    Raises ValueError for a bad argument, at the call and not at the first token.
    """
    if n_tokens < 0:
        raise ValueError(f"n_tokens must be 0 or more, got {n_tokens}")
    if ids.shape[1] == 0:
        raise ValueError("a prompt must hold at least one token, got none")
    if stop_token is not None and not 0 <= stop_token < model.config.vocab_size:
        raise ValueError(
            f"stop_token must be 0 to {model.config.vocab_size - 1} (vocab_size - 1), "
            f"got {stop_token}"
        )
    next_token_probabilities(torch.zeros(1, 2), temperature, top_k, top_p)  # refuses bad values
    return _stream(model, ids, n_tokens, temperature, top_k, top_p, stop_token, generator)


def _stream(model, ids, n_tokens, temperature, top_k, top_p, stop_token, generator):
    context = ids
    finished = torch.zeros_like(ids[:, :1], dtype=torch.bool)  # (B, 1)
    for _ in range(n_tokens):
        context = context[:, -model.config.block_size :]  # (B, T)
        logits = _next_logits(model, context)  # (B, V)
        probabilities = next_token_probabilities(logits, temperature, top_k, top_p)  # (B, V)
        if temperature == 0:  # nothing to draw: the state of the random generator stays as it is
            column = probabilities.argmax(dim=-1, keepdim=True)  # (B, 1)
        else:
            column = torch.multinomial(probabilities, 1, generator=generator)  # (B, 1)
        if stop_token is not None:
            column = column.masked_fill(finished, stop_token)  # (B, 1)
            finished = column == stop_token  # (B, 1) one that is finished stays so
        yield column
        if stop_token is not None and finished.all():
            return
        context = torch.cat([context, column], dim=1)  # (B, T + 1)


@torch.no_grad()
def _next_logits(model: GPT, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B V"]:
    """The logits after the last position, computed in evaluation mode."""
    was_training = model.training
    model.eval()
    try:
        return model.lm_head(model.hidden(ids)[:, -1])  # (B, V) the other positions need no logits
    finally:
        model.train(was_training)
