"""The loss over a whole split: each token predicted once, in windows of any overlap."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from phase07.gpt import GPT, GPTConfig
from phase08 import devices
from phase08.perplexity import evaluate, windows

CPU = devices.choose("cpu", "float32", "off")


class Text:
    """Tokens in memory."""

    def __init__(self, ids: np.ndarray) -> None:
        self.ids = ids.astype(np.uint16)

    def __len__(self) -> int:
        return len(self.ids)

    def slice(self, start: int, stop: int) -> np.ndarray:
        return self.ids[start:stop]


def text(n_tokens: int, vocab_size: int = 11, seed: int = 0) -> Text:
    return Text(np.random.default_rng(seed).integers(0, vocab_size, n_tokens))


def model(block_size: int = 8, dropout: float = 0.0) -> GPT:
    torch.manual_seed(0)
    config = GPTConfig(
        n_layer=2, n_head=3, d_model=12, block_size=block_size, vocab_size=11, dropout=dropout
    )
    made = GPT(config).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(20)  # far from uniform, so that context matters
    return made


@given(st.integers(2, 200), st.integers(1, 20), st.data())
def test_every_token_is_predicted_once_with_enough_before_it(
    n_tokens: int, block_size: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, block_size))
    cuts = windows(n_tokens, block_size, stride)
    predicted = [token for _, first, stop in cuts for token in range(first, stop)]
    assert predicted == list(range(1, n_tokens))
    for start, first, stop in cuts:
        assert 0 <= start < first
        assert stop - start - 1 <= block_size
        assert first - start >= min(first, block_size - stride + 1)


@pytest.mark.parametrize("stride", [1, 3, 8])
def test_loss_is_the_mean_over_tokens_predicted_one_by_one(stride: int) -> None:
    gpt, tokens = model(), text(30)
    expected = []
    for start, first, stop in windows(30, 8, stride):
        ids = torch.from_numpy(tokens.ids[start:stop].astype(np.int64))
        log_p = F.log_softmax(gpt(ids[None, :-1]), dim=-1)[0]
        expected += [-log_p[t - start - 1, ids[t - start]].item() for t in range(first, stop)]
    found = evaluate(
        gpt, tokens, CPU, token_bytes=np.ones(11, dtype=int), stride=stride, batch_size=3
    )
    assert found.tokens == len(expected) == 29
    assert found.loss == pytest.approx(np.mean(expected), rel=1e-10)
    assert found.perplexity == pytest.approx(math.exp(np.mean(expected)))


def test_bits_per_byte_counts_the_bytes_of_the_predicted_tokens() -> None:
    token_bytes = np.arange(11)
    tokens = text(20)
    found = evaluate(model(), tokens, CPU, token_bytes=token_bytes)
    assert found.bytes == token_bytes[tokens.ids[1:].astype(int)].sum()
    assert found.bits_per_byte == pytest.approx(found.loss * 19 / math.log(2) / found.bytes)


def test_a_text_shorter_than_the_context_is_evaluated() -> None:
    assert evaluate(model(), text(3), CPU, token_bytes=np.ones(11)).tokens == 2


def test_an_estimate_takes_windows_from_all_over_the_text() -> None:
    tokens = text(800)
    tokens.ids[400:] = 7  # half of the text is dull
    whole = evaluate(model(), tokens, CPU, token_bytes=np.ones(11, dtype=int))
    part = evaluate(model(), tokens, CPU, token_bytes=np.ones(11, dtype=int), max_tokens=160)
    assert part.tokens in (159, 160)  # the last window is one shorter
    assert part.loss == pytest.approx(whole.loss, rel=0.2)


def test_dropout_is_off_and_the_mode_is_put_back() -> None:
    gpt = model(dropout=0.5).train()
    first = evaluate(gpt, text(40), CPU, token_bytes=np.ones(11))
    second = evaluate(gpt, text(40), CPU, token_bytes=np.ones(11))
    assert first == second
    assert gpt.training


def test_a_wrong_stride_and_an_empty_split_are_refused() -> None:
    with pytest.raises(ValueError, match="stride must be from 1 to block_size = 8, not 9"):
        evaluate(model(), text(40), CPU, token_bytes=np.ones(11), stride=9)
    with pytest.raises(ValueError, match="nothing to predict"):
        evaluate(model(), text(1), CPU, token_bytes=np.ones(11))
