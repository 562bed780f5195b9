"""Sampling: each strategy against its definition, batches, stopping, streaming, bad arguments."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from phase07.generate import (
    generate,
    next_token_probabilities,
    stream,
    top_k_filter,
    top_p_filter,
)
from phase07.gpt import GPT, GPTConfig

CONFIG = GPTConfig(n_layer=2, n_head=3, d_model=12, block_size=7, vocab_size=11)
# Few different values, so that ties are common, and some tokens that were ruled out before.
LOGIT = st.sampled_from([-3.0, -0.5, 0.0, 0.5, 0.75, 2.0, -math.inf])
ROW = st.lists(LOGIT, min_size=1, max_size=9).filter(lambda row: max(row) > -math.inf)


def rows(row: list[float]) -> torch.Tensor:
    """The row and, to see that rows do not mix, its reverse."""
    return torch.tensor([row, row[::-1]])


def by_rank(row: list[float]) -> list[int]:
    """Ids by falling logit, of equal ones the lower id first."""
    return sorted(range(len(row)), key=lambda i: (-row[i], i))


def keep(row: list[float], ids: list[int]) -> list[float]:
    return [x if i in ids else -math.inf for i, x in enumerate(row)]


def build(seed: int = 0, **changes) -> GPT:
    """A model with opinions: weights larger than a fresh model's."""
    torch.manual_seed(seed)
    model = GPT(CONFIG)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.5 * torch.randn(parameter.shape)
    return model.eval()


def prompt(batch: int = 2, time: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(CONFIG.vocab_size, (batch, time), generator=generator)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------- top-k and top-p


@given(ROW, st.integers(1, 12))
@settings(deadline=None)
def test_top_k_keeps_the_k_largest_and_the_lower_id_of_equal_ones(row, k):
    expected = [keep(r, by_rank(r)[:k]) for r in (row, row[::-1])]
    assert top_k_filter(rows(row), k).tolist() == expected


@given(ROW, st.floats(0.001, 0.999))
@settings(deadline=None)
def test_top_p_keeps_the_smallest_set_that_reaches_p(row, p):
    weights = [math.exp(x) for x in row]
    sums = [0.0]
    for i in by_rank(row):
        sums.append(sums[-1] + weights[i] / math.fsum(weights))
    assume(all(abs(total - p) > 1e-5 for total in sums))  # where rounding decides
    size = next(n for n, total in enumerate(sums) if total >= p or n == len(row))
    kept = top_p_filter(torch.tensor([row]), p)[0].tolist()
    assert kept == keep(row, by_rank(row)[:size])
    mass = sum(w for w, x in zip(weights, kept, strict=True) if x > -math.inf) / sum(weights)
    assert mass >= p - 1e-6


@given(st.integers(0, 5), st.data())
@settings(deadline=None)
def test_top_p_includes_the_token_that_reaches_p_exactly_and_none_after(log2_size, data):
    size = 2**log2_size  # equal probabilities 1 / size: sums without rounding
    wanted = data.draw(st.integers(1, size))
    kept = top_p_filter(torch.zeros(1, size), float(Fraction(wanted, size)))[0]
    assert kept.tolist() == [0.0] * wanted + [-math.inf] * (size - wanted)


@given(ROW)
@settings(deadline=None)
def test_top_p_of_one_and_top_k_beyond_the_vocabulary_keep_all(row):
    assert top_p_filter(rows(row), 1.0).tolist() == rows(row).tolist()
    assert top_k_filter(rows(row), len(row) + 1).tolist() == rows(row).tolist()
    assert top_k_filter(rows(row), len(row)).tolist() == rows(row).tolist()


def test_top_p_of_one_keeps_tokens_whose_probability_rounds_to_nothing():
    logits = torch.tensor([[30.0, 0.0, 29.0, -30.0]])
    assert top_p_filter(logits, 1.0).isfinite().all()


def test_tiny_p_keeps_one_token():
    assert top_p_filter(torch.tensor([[0.0, 3.0, 3.0, 1.0]]), 1e-9).tolist() == [
        [-math.inf, 3.0, -math.inf, -math.inf]
    ]


def test_many_equal_logits_are_kept_from_the_lowest_id_on():
    logits = torch.zeros(2, 500)  # enough for an unstable sort to shuffle them
    assert top_k_filter(logits, 70).isfinite().sum(0).tolist() == [2] * 70 + [0] * 430
    assert top_p_filter(logits, 0.1401).isfinite().sum(0).tolist() == [2] * 71 + [0] * 429


def test_rows_of_a_batch_are_filtered_each_for_itself():
    logits = torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.0, 9.0]])
    assert top_p_filter(logits, 0.8).isfinite().tolist() == [[1, 0, 0], [0, 0, 1]]
    assert top_k_filter(logits, 2).isfinite().tolist() == [[1, 1, 0], [1, 0, 1]]


# ---------------------------------------------------------------- probabilities


def test_temperature_divides_the_logits():
    logits = torch.tensor([[math.log(1), math.log(3)]])
    for temperature, expected in [(1.0, [1 / 4, 3 / 4]), (0.5, [1 / 10, 9 / 10])]:
        probabilities = next_token_probabilities(logits, temperature)
        assert probabilities[0].tolist() == pytest.approx(expected)


def test_greedy_takes_the_lower_id_of_equal_logits():
    logits = torch.tensor([[1.0, 4.0, 4.0], [2.0, 2.0, 2.0]])
    for top_k, top_p in [(None, None), (1, None), (None, 0.1)]:
        probabilities = next_token_probabilities(logits, 0, top_k, top_p)
        assert probabilities.tolist() == [[0, 1, 0], [1, 0, 0]]


def test_top_p_is_taken_after_temperature_and_top_k():
    logits = torch.tensor([[5.0, 4.0, 3.0, 0.0]]).log()  # the last is ruled out
    # After top-k 2: 5/9 and 4/9, so 0.5 is reached by the first. Before it 5/12 would not do.
    assert next_token_probabilities(logits, 1.0, 2, 0.5).tolist() == [[1, 0, 0, 0]]
    # At temperature 1/2: 25/50, 16/50, 9/50, so 0.5 is reached by the first.
    assert next_token_probabilities(logits, 0.5, None, 0.49).tolist() == [[1, 0, 0, 0]]


@pytest.mark.parametrize("temperature", [1e-30, 1e-3, 1e30])
def test_extreme_logits_and_temperatures_give_probabilities(temperature):
    logits = torch.tensor([[3e4, -3e4, 2e4], [-1e30, 1e30, 0.0]])
    probabilities = next_token_probabilities(logits, temperature)
    assert probabilities.isfinite().all()
    assert probabilities.sum(-1).tolist() == pytest.approx([1, 1])


def test_draws_follow_the_probabilities():
    model, ids = build(), prompt(batch=1)
    expected = next_token_probabilities(model(ids)[:, -1].detach(), 2.0, 5, 0.9)[0]
    n = 20_000
    out = generate(
        model, ids.expand(n, -1), 1, temperature=2.0, top_k=5, top_p=0.9, generator=seeded(2)
    )
    share = out[:, -1].bincount(minlength=CONFIG.vocab_size) / n
    assert 1 < (expected > 0).sum() < 5
    assert not share[expected == 0].any()
    assert (share - expected).abs().max() < 0.02  # more than five standard deviations


# ---------------------------------------------------------------- the loop


def test_greedy_continues_with_the_most_likely_token_of_the_last_block_size():
    model, ids = build(), prompt()
    expected = ids
    for _ in range(9):  # past block_size
        logits = model(expected[:, -CONFIG.block_size :])[:, -1]
        expected = torch.cat([expected, logits.argmax(-1, keepdim=True)], dim=1)
    assert torch.equal(generate(model, ids, 9, temperature=0), expected)


def test_prompt_longer_than_block_size_is_cropped_and_returned_whole():
    model, ids = build(), prompt(time=CONFIG.block_size + 4)
    long = generate(model, ids, 5, temperature=0)
    short = generate(model, ids[:, -CONFIG.block_size :], 5, temperature=0)
    assert torch.equal(long[:, :-5], ids)
    assert torch.equal(long[:, -5:], short[:, -5:])


def test_same_generator_state_gives_the_same_text_and_another_another():
    model, ids = build(), prompt()
    a, b, c = (generate(model, ids, 12, generator=seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_own_generator_and_greedy_leave_the_global_one_alone():
    model, ids = build(), prompt()
    before = torch.get_rng_state()
    generate(model, ids, 3, generator=seeded(3))
    generate(model, ids, 3, temperature=0)
    assert torch.equal(torch.get_rng_state(), before)
    generate(model, ids, 3)
    assert not torch.equal(torch.get_rng_state(), before)


def test_greedy_rows_of_a_batch_are_those_of_each_alone():
    model, ids = build(), prompt(batch=3)
    alone = [generate(model, row[None], 6, temperature=0) for row in ids]
    assert torch.equal(generate(model, ids, 6, temperature=0), torch.cat(alone))


def test_stream_yields_the_columns_that_generate_appends():
    model, ids = build(), prompt()
    columns = list(stream(model, ids, 6, generator=seeded(5)))
    assert [column.shape for column in columns] == [(2, 1)] * 6
    assert torch.equal(
        torch.cat([ids, *columns], dim=1), generate(model, ids, 6, generator=seeded(5))
    )


def test_stream_computes_one_token_at_a_time(monkeypatch):
    model, calls = build(), []
    inner = model.hidden
    monkeypatch.setattr(model, "hidden", lambda ids: calls.append(ids.shape[1]) or inner(ids))
    tokens = stream(model, prompt(), 5)
    assert calls == []
    next(tokens)
    next(tokens)
    assert calls == [3, 4]


def test_no_tokens_wanted_gives_the_prompt():
    assert torch.equal(generate(build(), prompt(), 0), prompt())


@pytest.mark.parametrize("training", [True, False])
def test_model_is_in_evaluation_mode_and_comes_back_in_its_former_mode(training):
    model = build().train(training)
    seen = []
    model.transformer.drop.register_forward_hook(lambda module, *_: seen.append(module.training))
    for _ in stream(model, prompt(), 3):
        assert model.training == model.transformer.drop.training == training
    assert seen == [False] * 3


def test_mode_comes_back_when_the_model_fails(monkeypatch):
    model = build().train()
    with pytest.raises(ValueError, match="token ids must be"):
        generate(model, torch.full((1, 2), CONFIG.vocab_size), 1)
    assert model.training


def test_no_gradients_are_recorded_and_grad_mode_is_left_alone():
    for column in stream(build(), prompt(), 2):
        assert not column.requires_grad
        assert torch.is_grad_enabled()


# ---------------------------------------------------------------- the stop token


class Counter(GPT):
    """Always predicts the id after the last one, so a row's future is known."""

    def __init__(self):
        super().__init__(CONFIG)
        self.lm_head = torch.nn.Identity()

    def hidden(self, ids):
        return torch.eye(CONFIG.vocab_size)[(ids + 1) % CONFIG.vocab_size]  # (B, T, V)


def test_row_that_stopped_is_filled_and_the_end_comes_when_all_have():
    ids = torch.tensor([[9, 3], [9, 5]])
    out = generate(Counter(), ids, 8, temperature=0, stop_token=7)
    assert out.tolist() == [[9, 3, 4, 5, 6, 7], [9, 5, 6, 7, 7, 7]]


def test_without_stop_token_nothing_stops():
    out = generate(Counter(), torch.tensor([[5]]), 4, temperature=0)
    assert out.tolist() == [[5, 6, 7, 8, 9]]


def test_stop_token_in_the_prompt_does_not_count():
    out = generate(Counter(), torch.tensor([[7, 5]]), 9, temperature=0, stop_token=7)
    assert out.tolist() == [[7, 5, 6, 7]]


def test_stop_token_that_does_not_come_leaves_the_length():
    out = generate(Counter(), torch.tensor([[0], [1]]), 3, temperature=0, stop_token=10)
    assert out.tolist() == [[0, 1, 2, 3], [1, 2, 3, 4]]


# ---------------------------------------------------------------- bad arguments


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.1}, r"temperature must be 0 \(greedy\) or above, got -0.1"),
        ({"temperature": math.nan}, "temperature must be"),
        ({"temperature": math.inf}, "temperature must be"),
        ({"top_k": 0}, "top_k must be at least 1 token, got 0"),
        ({"top_k": 0, "temperature": 0}, "top_k must be at least 1 token, got 0"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, got 0.0"),
        ({"top_p": 1.1}, "top_p must be above 0"),
        ({"top_p": math.nan}, "top_p must be above 0"),
        ({"stop_token": 11}, r"stop_token must be 0 to 10 \(vocab_size - 1\), got 11"),
        ({"stop_token": -1}, "stop_token must be"),
        ({"n_tokens": -1}, "n_tokens must be 0 or more, got -1"),
        ({"ids": torch.zeros(2, 0, dtype=torch.int64)}, "at least one token, got none"),
    ],
)
def test_bad_argument_is_refused_at_the_call(options, message):
    arguments = {"model": build(), "ids": prompt(), "n_tokens": 2} | options
    with pytest.raises(ValueError, match=message):
        stream(**arguments)  # not even one token was asked for
    with pytest.raises(ValueError, match=message):
        generate(**arguments)
