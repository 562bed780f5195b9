"""The benchmark: its step trains, its numbers fit together, its options say what they do."""

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from phase07.cross_entropy import CHUNK_LOGITS
from phase07.gpt import PRESETS, parameter_groups
from phase08 import allocator, benchmark, budget, devices
from phase08.benchmark import ABLATIONS, BenchmarkConfig, Step
from phase08.optimizer import make_adamw

TINY = BenchmarkConfig(
    preset="tiny",
    batch_size=2,
    block_size=21,
    steps=3,
    warmup=1,
    device="cpu",
    dtype="float32",
    compile="off",
    give_back=False,  # this process is pytest's
    huge_pages=allocator.huge_pages(),
    chunk=16,
    product_size=48,
)


@pytest.fixture(autouse=True)
def one_thread():
    """Threads that wait for each other make small tensors slow on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def here(function: Callable[..., float], *arguments: Any) -> float:
    return function(*arguments)


def step(config: BenchmarkConfig) -> Step:
    return Step(config, devices.choose(config.device, config.dtype, config.compile))


def test_steps_lower_the_loss_of_their_batch():
    run = step(TINY)
    losses = [run.run()[0] for _ in range(8)]
    assert losses[0] == pytest.approx(5.545, abs=0.2)  # ln 256
    assert losses[-1] < losses[0] - 0.5


@pytest.mark.parametrize(
    "change",
    [{"chunk": 0}, {"chunk": 512}, {"fused": False}, {"attention": "explicit"}],
    ids=str,
)
def test_each_measure_leaves_the_numbers_alone(change: dict[str, Any]):
    expected, found = step(TINY), step(dataclasses.replace(TINY, **change))
    for _ in range(3):
        loss = expected.run()[0]
        assert found.run()[0] == pytest.approx(loss, rel=1e-5)


def test_bfloat16_agrees_with_float32_to_its_precision():
    exact, rounded = step(TINY), step(dataclasses.replace(TINY, dtype="bfloat16"))
    assert rounded.run()[0] == pytest.approx(exact.run()[0], rel=5e-3)
    for a, b in zip(exact.parameters, rounded.parameters, strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert b.grad.dtype == torch.float32
        assert torch.nn.functional.cosine_similarity(a.grad.flatten(), b.grad.flatten(), 0) > 0.995


def test_fused_adamw_is_the_formula_of_the_paper():
    model = torch.nn.Linear(3, 2)
    rate, (beta1, beta2), decay, epsilon = 0.01, (0.9, 0.95), 0.1, 1e-8
    optimizer = make_adamw(model, rate, (beta1, beta2), decay, "cpu")
    assert all(group["fused"] for group in optimizer.param_groups)
    expected = model.weight.detach().double()
    first, second = torch.zeros_like(expected), torch.zeros_like(expected)
    for t in range(1, 4):
        optimizer.zero_grad()
        (model(torch.randn(5, 3)) ** 2).sum().backward()
        assert model.weight.grad is not None
        gradient = model.weight.grad.double()
        optimizer.step()
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        update = (first / (1 - beta1**t)) / ((second / (1 - beta2**t)).sqrt() + epsilon)
        expected = expected - rate * decay * expected - rate * update
    torch.testing.assert_close(model.weight.detach().double(), expected, rtol=1e-5, atol=1e-7)


def test_decay_is_for_matrices_only():
    model = step(TINY).model
    groups = make_adamw(model, 1e-3, (0.9, 0.95), 0.1, "cpu").param_groups
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert [len(group["params"]) for group in groups] == [
        len(group["params"]) for group in parameter_groups(model, 0.1)
    ]
    assert all(parameter.dim() >= 2 for parameter in groups[0]["params"])


def test_numbers_of_a_benchmark_fit_together(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(benchmark, "in_a_new_process", here)
    found = benchmark.measure(TINY)
    assert found["tokens_per_step"] == 42
    assert found["flops_per_token"] == budget.flops_per_token(PRESETS["tiny"], 21)
    work = found["flops_per_token"] * found["tokens_per_second"]
    assert found["model_flops_per_second"] == pytest.approx(work)
    peak = max(found["product_flops_per_second_before"], found["product_flops_per_second_after"])
    assert found["share_of_peak"] == pytest.approx(work / peak)
    assert found["seconds_best"] <= found["seconds_median"]
    assert set(found["breakdown_seconds"]) == {"forward", "backward", "clip", "optimizer"}
    assert found["peak_memory_bytes"] > 10_000_000
    assert json.loads(json.dumps(found)) == found
    for word in ("tokens/s", "model FLOP/s", "6 N + 12 L H D T", "share", "memory"):
        assert word in benchmark.report(found)
    assert capsys.readouterr().out.count("loss") == 4


def test_peak_of_products_is_measured_in_another_process():
    before = devices.peak_memory(devices.choose("cpu", "float32", "off"))
    config = dataclasses.replace(TINY, product_size=1500, threads=1)  # 3 matrices of 9 MB
    assert benchmark.in_a_new_process(benchmark.product_peak, config) > 1e6
    assert devices.peak_memory(devices.choose("cpu", "float32", "off")) - before < 5_000_000


def test_main_writes_what_it_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(benchmark, "in_a_new_process", here)
    monkeypatch.chdir(tmp_path)
    found = benchmark.main(TINY)
    written = json.loads((tmp_path / "runs/phase08/benchmark.json").read_text())
    assert written["metrics"] == found
    assert written["config"]["preset"] == "tiny"


def test_ablation_changes_one_thing_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    asked: list[BenchmarkConfig] = []

    def answer(config: BenchmarkConfig) -> dict[str, Any]:
        asked.append(config)
        return {"seconds_median": 2.0 + len(asked), "peak_memory_bytes": 10**9, "share_of_peak": 1}

    monkeypatch.setattr(benchmark, "run_apart", answer)
    monkeypatch.chdir(tmp_path)
    benchmark.main(dataclasses.replace(TINY, ablate=True))
    assert asked == [dataclasses.replace(TINY, **change) for change in ABLATIONS.values()]
    assert asked[0] == TINY
    lines = capsys.readouterr().out.splitlines()
    assert "compiled                      4.00    1.33  100.0%      1 GB" in lines
    assert (tmp_path / "runs/phase08/benchmark-ablation.json").exists()


def test_another_page_size_takes_a_new_process(monkeypatch: pytest.MonkeyPatch):
    asked: list[BenchmarkConfig] = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(benchmark, "run_apart", lambda config: asked.append(config) or {"n": 1})
    other = dataclasses.replace(TINY, huge_pages=not TINY.huge_pages)
    assert benchmark.main(other) == {"n": 1}
    assert asked == [other]


def test_options_bring_a_config_through_the_command_line():
    from journal import script

    config = dataclasses.replace(TINY, fused=False, dropout=0.25, attention="explicit")
    assert script.parse(BenchmarkConfig, benchmark.options(config)) == config


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"preset": "gpt2-smal"}, "did you mean gpt2-small"),
        ({"block_size": 65}, "at most 64 tokens"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"chunk": -1}, "chunk must not be negative"),
        ({"dropout": 1.0}, "dropout"),
    ],
    ids=lambda value: str(value),
)
def test_a_config_that_cannot_be_measured_is_refused(change: dict[str, Any], words: str):
    with pytest.raises(ValueError, match=words):
        benchmark.main(dataclasses.replace(TINY, **change))


def test_rows_of_logits_are_by_default_those_of_the_model():
    rows = CHUNK_LOGITS // PRESETS["gpt2"].vocab_size
    assert BenchmarkConfig().chunk == benchmark.CHUNK == rows


def test_gpt2_small_is_phase_7s_gpt2():
    config = benchmark.model_config(BenchmarkConfig())
    assert config == dataclasses.replace(PRESETS["gpt2"], dropout=0.0)
