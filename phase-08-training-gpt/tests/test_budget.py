"""Budgets: every formula against numbers worked out by hand, and memory against torch's own."""

import dataclasses

import pytest
import torch

from phase07.gpt import GPT, PRESETS, GPTConfig, count_parameters
from phase08 import budget
from phase08.presets import GPT2_SMALL, TrainConfig

GPT2 = PRESETS["gpt2"]
PRODUCTS = ("aten::mm", "aten::bmm", "aten::addmm")
SMALL = GPTConfig(n_layer=3, n_head=4, d_model=40, block_size=24, vocab_size=97)


@pytest.fixture(autouse=True)
def one_thread():
    """Threads that wait for each other make small tensors slow on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_gpt2_small_has_the_published_number_of_parameters():
    n = budget.parameters_in_products(GPT2)
    assert n == 124_439_808 - 1024 * 768
    assert budget.weight_memory(GPT2)["parameters"] == 4 * 124_439_808


def test_flops_of_gpt2_small_are_those_worked_out_by_hand():
    # 6 * 123,653,376 = 741,920,256 and 12 * 12 * 12 * 64 * 1024 = 113,246,208
    assert budget.flops_per_token(GPT2) == 741_920_256 + 113_246_208
    assert budget.flops_per_token(GPT2, block_size=512) == 741_920_256 + 56_623_104


def test_products_of_a_tiny_model_counted_by_hand():
    config = GPTConfig(n_layer=1, n_head=1, d_model=2, block_size=3, vocab_size=5)
    # forward: c_attn 2*2*6 = 24, scores 2*3*2 = 12, values 12, c_proj 8, MLP 32 + 32, logits 20
    assert budget.product_flops_per_token(config) == 3 * (24 + 12 + 12 + 8 + 64 + 20)


def test_products_agree_with_torch_counting_them():
    config = dataclasses.replace(SMALL, attention="explicit")
    model, batch, length = GPT(config), 2, 17
    ids = torch.randint(config.vocab_size, (batch, length))
    with torch.profiler.profile(with_flops=True) as profiler:
        logits = model(ids)
        logits.backward(torch.randn_like(logits))
    per_token = budget.product_flops_per_token(config, block_size=length)
    counted = sum(e.flops for e in profiler.key_averages() if e.key in PRODUCTS)
    assert counted == batch * length * per_token


def test_both_counts_differ_by_biases_and_gains_only():
    difference = budget.flops_per_token(GPT2) - budget.product_flops_per_token(GPT2)
    assert difference == 6 * (12 * 13 * 768 + 2 * 768)


def test_weights_take_16_bytes_each_and_autocast_copies_2_more_for_matrices():
    n = count_parameters(GPT(SMALL))
    assert sum(budget.weight_memory(SMALL).values()) == 16 * n
    copies = budget.weight_memory(SMALL, torch.bfloat16)["copies for autocast"]
    matrices = [
        p.numel() for name, p in GPT(SMALL).named_parameters() if p.dim() == 2 and "wpe" not in name
    ]
    assert copies == 2 * sum(matrices)


def test_activations_of_gpt2_small_are_those_worked_out_by_hand():
    config = dataclasses.replace(GPT2, dropout=0.0)
    parts = budget.activations_per_token(config, 512)
    # 64 * 768, plus means and deviations 16 and softmax's logarithms 4 * 12
    assert sum(parts.values()) == 64 * 768 + 16 + 48
    half = budget.activations_per_token(config, 512, torch.bfloat16)
    assert sum(half.values()) == 36 * 768 + 16 + 48


def saved_bytes(model: GPT, ids: torch.Tensor, dtype: torch.dtype) -> int:
    """Bytes that torch keeps for backward: every storage once, parameters and copies left out."""
    leave_out = {p.untyped_storage().data_ptr() for p in model.parameters()}
    weights = {tuple(p.shape) for p in model.parameters()}
    weights |= {shape[::-1] for shape in weights}
    kept: dict[int, torch.Tensor] = {}  # the tensors too, so that no address is used again

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in leave_out and tuple(tensor.shape) not in weights:
            kept.setdefault(address, tensor)
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32),
    ):
        model.loss(ids, ids)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_activation_memory_is_what_torch_saves(dtype: torch.dtype, dropout: float):
    config = dataclasses.replace(SMALL, dropout=dropout)
    batch, length = 3, 21
    torch.manual_seed(0)
    ids = torch.randint(config.vocab_size, (batch, length))
    counted = saved_bytes(GPT(config), ids, dtype)
    by_formula = budget.activation_memory(config, batch, length, dtype)
    assert by_formula == pytest.approx(counted, rel=0.01)


def test_dropout_on_cuda_keeps_masks_of_bytes_and_no_attention_weights():
    silent = dataclasses.replace(SMALL, dropout=0.0)
    without = budget.activation_memory(silent, 3, 21, device_type="cuda")
    masks = 3 * 21 * (3 * 2 + 1) * 40  # two a block, and one after the embeddings
    noisy = dataclasses.replace(SMALL, dropout=0.1)
    assert budget.activation_memory(noisy, 3, 21, device_type="cuda") == without + masks


def test_step_memory_of_gpt2_small_on_a_cpu_is_about_3_gb():
    config = dataclasses.replace(GPT2, dropout=0.0)
    parts = budget.step_memory(config, batch_size=4, block_size=512)
    assert parts["AdamW moments"] == 995_518_464
    assert parts["logits"] == 4 * 256 * 50257
    # 2048 tokens * (12 * 49,216 + 6,160 + 10) bytes
    assert parts["activations"] == 2048 * (12 * 49_216 + 6_152 + 10)


def test_a_run_adds_up():
    model = GPT2_SMALL.model(50257)
    found = budget.plan(model, GPT2_SMALL, 1_000_000_000, flops_per_second=1e12)
    assert found.tokens == 19_073 * 8 * 16 * 1024 == 2_499_936_256
    assert found.epochs == pytest.approx(2.499936256)
    assert found.flops == 855_166_464 * 2_499_936_256
    assert found.seconds == pytest.approx(found.flops / 1e12)
    assert found.disk == (3 + 2) * 12 * 124_439_808


def test_rows_name_what_a_reader_asks_for_and_leave_out_an_unmeasured_time():
    config = TrainConfig()
    unmeasured = budget.plan(config.model(65), config, 100_000)
    names = [name for name, _ in budget.describe(unmeasured)]
    assert names == ["parameters", "tokens", "epochs", "work", "memory", "disk"]
    measured = dataclasses.replace(unmeasured, flops_per_second=5e10)
    assert dict(budget.describe(measured))["time"].endswith("at 50 GFLOP/s")
    lines = budget.report(config.model(65), config, 100_000, flops_per_second=5e10).splitlines()
    assert lines[1] == "tokens      1,536,000 in 2,000 steps of 768"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_999, "1 MB"),
        (497_759_232, "498 MB"),
        (2.14e18, "2.14 EB"),
    ],
)
def test_quantities_have_three_digits(value: float | int, text: str):
    assert budget.quantity(value, "B") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (12_000, "3 h 20 min"), (90_000, "1 days 1 h")],
)
def test_durations_have_two_units(seconds: float | int, text: str):
    assert budget.duration(seconds) == text


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_rate_that_is_none_is_refused(rate: float):
    with pytest.raises(ValueError, match="above 0"):
        budget.training_seconds(1e9, rate)


def test_an_empty_training_split_is_refused():
    with pytest.raises(ValueError, match="at least 1 token"):
        budget.plan(SMALL, TrainConfig(), 0)
