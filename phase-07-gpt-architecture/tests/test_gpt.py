"""The model: sizes, initialization, causality, gradients, learning, and what bad input gets."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from phase07 import gpt
from phase07.gpt import GPT, PRESETS, GPTConfig

B, T = 2, 5
CONFIG = GPTConfig(n_layer=2, n_head=3, d_model=12, block_size=7, vocab_size=29)
KINDS = ("sdpa", "explicit")


def build(seed: int = 0, **changes) -> GPT:
    torch.manual_seed(seed)
    return GPT(dataclasses.replace(CONFIG, **changes))


def random_ids(seed: int = 1, batch: int = B, time: int = T, low: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, CONFIG.vocab_size, (batch, time), generator=generator)


def spread(model: GPT, seed: int = 2) -> GPT:
    """Weights large enough for attention to attend to something, and no bias zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(
                parameter.shape, generator=generator, dtype=parameter.dtype
            )
    return model


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpt2", 124_439_808),
        ("gpt2-medium", 354_823_168),
        ("gpt2-large", 774_030_080),
        ("gpt2-xl", 1_557_611_200),
    ],
)
def test_gpt2_family_has_the_published_number_of_parameters(name, expected):
    assert gpt.parameters_by_formula(PRESETS[name]) == expected


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", PRESETS)
def test_parameters_by_formula_are_those_counted(name, bias):
    config = dataclasses.replace(PRESETS[name], bias=bias)
    with torch.device("meta"):
        model = GPT(config)
    assert gpt.count_parameters(model) == gpt.parameters_by_formula(config)


def test_tiny_preset_is_the_cpu_recipe():
    config = PRESETS["tiny"]
    assert (config.n_layer, config.n_head, config.d_model, config.block_size) == (4, 4, 128, 64)
    assert config.dropout == 0


@pytest.mark.parametrize(("name", "millions"), [("gpt-1m", 1), ("gpt-10m", 10), ("gpt-50m", 50)])
def test_small_presets_have_about_the_parameters_in_their_name(name, millions):
    assert gpt.parameters_by_formula(PRESETS[name]) / 1e6 == pytest.approx(millions, rel=0.1)


def test_parameter_names_are_those_of_hugging_face():
    names = set(build().state_dict())
    block = {"ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"}
    expected = {"transformer.wte.weight", "transformer.wpe.weight", "lm_head.weight"}
    expected |= {f"transformer.ln_f.{kind}" for kind in ("weight", "bias")}
    for layer in range(CONFIG.n_layer):
        for part in block:
            expected |= {f"transformer.h.{layer}.{part}.{kind}" for kind in ("weight", "bias")}
    assert names == expected


def test_without_bias_no_parameter_is_a_bias():
    assert not [name for name in build(bias=False).state_dict() if name.endswith("bias")]


def test_output_matrix_is_the_token_embedding():
    model = build()
    assert model.lm_head.weight is model.transformer.wte.weight


# ---------------------------------------------------------------- initialization


def test_weights_start_with_the_stated_spread():
    model = build(n_layer=3, d_model=96, vocab_size=301)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif parameter.dim() == 1:
            assert (parameter == 1).all(), name
        else:
            std = 0.02 / math.sqrt(2 * 3) if name.endswith("c_proj.weight") else 0.02
            assert parameter.std().item() == pytest.approx(std, rel=0.1), name
            assert abs(parameter.mean().item()) < std / 10, name


def test_same_seed_gives_the_same_model_and_another_seed_another():
    a, b, c = build(3), build(3), build(4)
    assert torch.equal(a.lm_head.weight, b.lm_head.weight)
    assert not torch.equal(a.lm_head.weight, c.lm_head.weight)


def test_loss_starts_close_to_a_uniform_guess():
    loss = build().loss(random_ids(1), random_ids(2))
    assert loss.item() == pytest.approx(math.log(CONFIG.vocab_size), abs=0.05)


# ---------------------------------------------------------------- attention


def test_causal_attention_by_hand():
    # One head, D = 1, T = 2. Position 0 sees itself: 10. Position 1 has scores ln 1 and ln 3,
    # weights 1/4 and 3/4: 10 / 4 + 3 * 20 / 4 = 17.5.
    q = torch.tensor([[[[5.0], [1.0]]]])
    k = torch.tensor([[[[0.0], [math.log(3)]]]])
    v = torch.tensor([[[[10.0], [20.0]]]])
    y = gpt.causal_attention(q, k, v)
    assert torch.allclose(y, torch.tensor([[[[10.0], [17.5]]]]))


def test_causal_attention_divides_scores_by_the_root_of_d_head():
    q = torch.tensor([[[[0.0] * 4, [1.0] * 4]]])
    k = torch.tensor([[[[0.0] * 4, [math.log(9) / 2] * 4]]])  # 4 ln(9) / 2 / sqrt(4) = ln 9
    v = torch.tensor([[[[0.0] * 4, [10.0] * 4]]])
    assert torch.allclose(gpt.causal_attention(q, k, v)[0, 0, 1], torch.full((4,), 9.0))


@pytest.mark.parametrize("time", [1, T, CONFIG.block_size])
def test_explicit_attention_equals_sdpa_in_values_and_gradients(time):
    results = []
    for kind in KINDS:
        model = spread(build(attention=kind).double())
        logits = model(random_ids(time=time))
        upstream = torch.randn(
            logits.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5)
        )
        gradients = torch.autograd.grad((logits * upstream).sum(), list(model.parameters()))
        results.append([logits, *gradients])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_later_token_changes_no_earlier_output(kind):
    model = spread(build(attention=kind).double())
    ids = random_ids()
    for position in range(T):
        changed = ids.clone()
        changed[:, position] = (ids[:, position] + 1) % CONFIG.vocab_size
        difference = (model(ids) - model(changed)).abs().amax(dim=(0, 2))  # (T,)
        assert not difference[:position].any(), position
        assert (difference[position:] > 1e-6).all(), position


def test_rows_of_a_batch_do_not_mix():
    model = spread(build().double())
    ids = random_ids(batch=3)
    alone = torch.cat([model(row[None]) for row in ids])
    torch.testing.assert_close(model(ids), alone, rtol=1e-10, atol=1e-10)


# ---------------------------------------------------------------- gradients and learning


@pytest.mark.parametrize("bias", [True, False])
def test_whole_model_gradient_matches_finite_differences(bias):
    model = spread(build(bias=bias).double())
    ids, targets = random_ids(1), random_ids(2, low=-1)
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(model.loss(ids, targets), parameters)
    generator = torch.Generator().manual_seed(6)
    step = 1e-5
    for _ in range(4):
        direction = [torch.randn(p.shape, generator=generator).double() for p in parameters]
        losses = []
        for sign in (1, -1):
            with torch.no_grad():
                for p, d in zip(parameters, direction, strict=True):
                    p += sign * step * d
                losses.append(model.loss(ids, targets).item())
                for p, d in zip(parameters, direction, strict=True):
                    p -= sign * step * d
        numeric = (losses[0] - losses[1]) / (2 * step)
        analytic = sum((g * d).sum().item() for g, d in zip(gradients, direction, strict=True))
        assert numeric == pytest.approx(analytic, rel=1e-6)


def test_loss_is_the_cross_entropy_of_the_logits():
    model = spread(build().double())
    ids, targets = random_ids(1), random_ids(2)
    targets[0, 3] = -1
    expected = F.cross_entropy(model(ids).flatten(0, 1), targets.flatten(), ignore_index=-1)
    torch.testing.assert_close(model.loss(ids, targets), expected, rtol=1e-12, atol=0)


def test_gpt_overfits_one_batch():
    model = build()
    ids, targets = random_ids(1), random_ids(2)
    optimizer = torch.optim.AdamW(gpt.parameter_groups(model, 0.0), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        model.loss(ids, targets).backward()
        optimizer.step()
    assert model.loss(ids, targets).item() < 0.02
    assert torch.equal(model(ids).argmax(-1), targets)


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_acts_in_training_and_not_in_evaluation(kind):
    model = build(dropout=0.5, attention=kind)
    ids = random_ids()
    assert not torch.equal(model(ids), model(ids))
    torch.manual_seed(7)
    first = model(ids)
    torch.manual_seed(7)
    assert torch.equal(first, model(ids))
    model.eval()
    assert torch.equal(model(ids), model(ids))
    plain = build(attention=kind)
    torch.testing.assert_close(model(ids), plain(ids))


@pytest.mark.parametrize("kind", KINDS)
def test_attention_weights_are_dropped_in_training(kind):
    torch.manual_seed(0)
    attention = gpt.CausalSelfAttention(dataclasses.replace(CONFIG, dropout=0.5, attention=kind))
    attention.resid_dropout.p = 0.0
    x = torch.randn(B, T, CONFIG.d_model)
    assert not torch.equal(attention(x), attention(x))
    attention.eval()
    assert torch.equal(attention(x), attention(x))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(kind, dtype):
    model = build(attention=kind).to(dtype)
    ids = random_ids()
    loss = model.loss(ids, ids)
    loss.backward()
    assert (model(ids).dtype, model.hidden(ids).dtype, loss.dtype) == (dtype,) * 3
    assert {p.grad.dtype for p in model.parameters() if p.grad is not None} == {dtype}


@pytest.mark.parametrize(
    ("n_layer", "n_head", "d_model", "batch", "time"),
    [(1, 1, 1, 1, 1), (3, 1, 5, 4, 1), (1, 7, 7, 1, 6), (2, 5, 35, 3, 7)],
)
@pytest.mark.parametrize("kind", KINDS)
def test_odd_sizes(n_layer, n_head, d_model, batch, time, kind):
    model = build(n_layer=n_layer, n_head=n_head, d_model=d_model, attention=kind)
    ids = random_ids(batch=batch, time=time)
    assert model(ids).shape == (batch, time, CONFIG.vocab_size)
    assert model.hidden(ids).shape == (batch, time, d_model)
    assert model.loss(ids, ids).isfinite()


# ---------------------------------------------------------------- optimizer groups


def test_only_matrices_decay_and_each_parameter_is_in_one_group():
    model = build()
    decayed, kept = gpt.parameter_groups(model, 0.1)
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)
    assert {p.dim() for p in decayed["params"]} == {2}
    assert {p.dim() for p in kept["params"]} == {1}
    listed = [id(p) for p in decayed["params"] + kept["params"]]
    assert sorted(listed) == sorted(id(p) for p in model.parameters())


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_layer": 0}, "n_layer must be at least 1, got 0"),
        ({"n_head": -2}, "n_head must be at least 1"),
        ({"d_model": 0}, "d_model must be at least 1"),
        ({"block_size": 0}, "block_size must be at least 1"),
        ({"vocab_size": 0}, "vocab_size must be at least 1"),
        ({"d_model": 13}, "multiple of n_head, got 13 and 3"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"dropout": -0.1}, "dropout must be"),
        ({"dropout": math.nan}, "dropout must be"),
    ],
)
def test_impossible_config_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **changes)


@pytest.mark.parametrize("time", [0, CONFIG.block_size + 1])
def test_sequence_of_the_wrong_length_is_refused(time):
    with pytest.raises(ValueError, match=rf"1 to 7 \(block_size\) tokens .* got {time}"):
        build()(torch.zeros(B, time, dtype=torch.int64))


@pytest.mark.parametrize("bad", [-1, CONFIG.vocab_size, 10**12])
def test_token_id_outside_the_vocabulary_is_refused(bad):
    ids = random_ids()
    ids[1, 2] = bad
    with pytest.raises(ValueError, match=rf"token ids must be 0 to 28 .* got {bad}"):
        build().loss(ids, random_ids())


@pytest.mark.parametrize("bad", [-2, CONFIG.vocab_size])
def test_target_outside_the_vocabulary_is_refused(bad):
    targets = random_ids()
    targets[1, 2] = bad
    with pytest.raises(ValueError, match=rf"targets must be -1 to 28 .* got {bad}"):
        build().loss(random_ids(), targets)
