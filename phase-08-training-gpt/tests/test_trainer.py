"""A trainer that is stopped and brought back ends in the same bits as one that was not."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch

from phase07.generate import generate
from phase07.gpt import GPT
from phase08 import checkpoint, devices
from phase08.batches import Batches
from phase08.distributed import World
from phase08.perplexity import evaluate
from phase08.presets import PRESETS, TrainConfig, as_json, differences
from phase08.schedule import learning_rate
from phase08.trainer import NonFiniteLossError, Trainer, model_tensors, optimizer_tensors

CONFIG = TrainConfig(
    n_layer=2,
    n_head=3,
    d_model=12,
    block_size=7,
    dropout=0.3,
    batch_size=4,
    accumulation=2,
    steps=9,
    warmup_steps=3,
    seed=5,
)
VOCABULARY = 11


class Text:
    """A pattern with some noise: something to learn."""

    def __init__(self, n_tokens: int = 500) -> None:
        rng = np.random.default_rng(0)
        ids = np.arange(n_tokens) % VOCABULARY
        ids[rng.random(n_tokens) < 0.1] = 3
        self.ids = ids.astype(np.uint16)

    def __len__(self) -> int:
        return len(self.ids)

    def slice(self, start: int, stop: int) -> np.ndarray:
        return self.ids[start:stop]


def make(config: TrainConfig = CONFIG, world: World | None = None) -> Trainer:
    torch.manual_seed(config.seed)
    model = GPT(config.model(VOCABULARY))
    rows = config.batch_size * config.accumulation
    batches = Batches(Text(), config.block_size, rows, config.seed)
    return Trainer(config, model, batches, devices.choose("cpu", "float32", "off"), world)


def everything(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {
        **model_tensors(trainer.model),
        **optimizer_tensors(trainer.model, trainer.optimizer),
    }


def assert_same_bits(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> None:
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.equal(value, two[name]), name


@pytest.mark.parametrize("stopped_at", [1, 4, 8])
def test_resumed_training_ends_in_the_same_bits(stopped_at: int, tmp_path: Path) -> None:
    straight = make()
    losses = [straight.train_step().loss for _ in range(CONFIG.steps)]

    first = make()
    before = [first.train_step().loss for _ in range(stopped_at)]
    path = first.save(tmp_path)
    torch.rand(17)  # another process has drawn other numbers
    second = make(dataclasses.replace(CONFIG))
    second.restore(path)
    after = [second.train_step().loss for _ in range(CONFIG.steps - stopped_at)]

    assert before + after == losses
    assert_same_bits(everything(second), everything(straight))
    assert second.save(tmp_path / "two").name == straight.save(tmp_path / "one").name
    for file in (tmp_path / "one" / "step-00000009").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / "step-00000009" / file.name).read_bytes()


def test_saving_evaluating_and_sampling_between_steps_changes_nothing(tmp_path: Path) -> None:
    plain, busy = make(), make()
    start = torch.zeros(1, 1, dtype=torch.int64)
    for _ in range(4):
        plain.train_step()
        busy.measure_rate()
        busy.train_step()
        evaluate(busy.model, Text(90), busy.device, token_bytes=np.ones(VOCABULARY, dtype=int))
        generate(busy.model, start, 9)
        busy.check_finite()
        busy.save(tmp_path)
    assert_same_bits(everything(plain), everything(busy))


def test_weights_that_the_last_update_broke_are_not_saved(tmp_path: Path) -> None:
    trainer = make()
    trainer.train_step()
    with torch.no_grad():
        trainer.model.transformer.ln_f.weight.fill_(math.inf)
    with pytest.raises(NonFiniteLossError, match="at step 1 the loss is nan"):
        trainer.check_finite()


def test_only_training_runs_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    # The shape checks of the tests wrap functions in ways that the compiler cannot look through.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    trainer = make(dataclasses.replace(CONFIG, dropout=0.0))
    plain = make(dataclasses.replace(CONFIG, dropout=0.0))
    graphs, calls = [], []

    def backend(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        graphs.append(graph)
        return lambda *inputs: (calls.append(1), graph.forward(*inputs))[1]

    for block in trainer.model.transformer.h:
        block.compile(backend=backend, dynamic=False)
    trainer.device = dataclasses.replace(trainer.device, compile=True)
    assert trainer.train_step().loss == pytest.approx(plain.train_step().loss, rel=1e-5)
    assert graphs
    compiled = len(calls)
    assert compiled >= CONFIG.n_layer * CONFIG.accumulation
    with trainer.uncompiled():
        evaluate(trainer.model, Text(90), trainer.device, token_bytes=np.ones(VOCABULARY, int))
        generate(trainer.model, torch.zeros(1, 1, dtype=torch.int64), 9)
    trainer.check_finite()
    assert len(calls) == compiled


def test_accumulation_adds_up_to_the_gradient_of_the_whole_batch() -> None:
    config = dataclasses.replace(CONFIG, dropout=0.0, clip=0.0)
    parts = make(config)
    whole = make(dataclasses.replace(config, batch_size=8, accumulation=1))
    for _ in range(3):
        one, two = parts.train_step(), whole.train_step()
        assert one.loss == pytest.approx(two.loss, rel=1e-6)
        assert one.gradient_norm == pytest.approx(two.gradient_norm, rel=1e-5)
    for name, value in model_tensors(parts.model).items():
        torch.testing.assert_close(value, model_tensors(whole.model)[name], rtol=1e-3, atol=1e-5)


def test_a_step_is_adamw_on_the_clipped_gradient() -> None:
    """The first step against torch's own AdamW, given the gradient of the whole batch."""
    config = dataclasses.replace(CONFIG, dropout=0.0, clip=0.05)
    trainer, reference = make(config), make(config).model
    x, y = trainer.batches.get(0)
    reference.loss(x, y).backward()
    norm = torch.nn.utils.clip_grad_norm_(reference.parameters(), 0.05).item()
    decayed = [p for p in reference.parameters() if p.dim() >= 2]
    plain = [p for p in reference.parameters() if p.dim() < 2]
    torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}],
        lr=learning_rate(0, config.learning_rates()),
        betas=(config.beta1, config.beta2),
    ).step()
    measured = trainer.train_step()
    assert measured.gradient_norm == pytest.approx(norm, rel=1e-5)
    assert norm > 0.05
    for name, value in model_tensors(reference).items():
        torch.testing.assert_close(
            model_tensors(trainer.model)[name], value, rtol=1e-4, atol=1e-6, msg=name
        )


def test_each_micro_batch_has_dropout_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    trainer = make()
    model = trainer.model
    loss = model.loss
    monkeypatch.setattr(model, "loss", lambda x, y: (seen.append(torch.rand(3)), loss(x, y))[1])
    trainer.train_step()
    trainer.train_step()
    assert len(seen) == 4
    assert len({tuple(drawn.tolist()) for drawn in seen}) == 4


def test_the_measured_loss_falls() -> None:
    trainer = make(dataclasses.replace(CONFIG, dropout=0.0, steps=200, learning_rate=1e-2))
    losses = [trainer.train_step().loss for _ in range(150)]
    assert losses[0] == pytest.approx(math.log(VOCABULARY), abs=0.1)
    assert np.mean(losses[-5:]) < 1.0


def test_a_loss_that_is_not_finite_stops_before_the_update(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = make()
    trainer.train_step()
    before = {name: value.clone() for name, value in everything(trainer).items()}
    loss = trainer.model.loss
    monkeypatch.setattr(trainer.model, "loss", lambda x, y: loss(x, y) * math.nan)
    with pytest.raises(NonFiniteLossError, match="at step 1 the loss is nan") as caught:
        trainer.train_step()
    assert str(trainer.batches.windows(1)[0]) in str(caught.value)
    assert_same_bits(everything(trainer), before)
    assert trainer.step == 1


def test_a_gradient_that_is_not_finite_stops_too() -> None:
    trainer = make()
    parameter = next(trainer.model.parameters())
    parameter.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(NonFiniteLossError, match=r"the gradient's norm (nan|inf)"):
        trainer.train_step()


def test_a_checkpoint_of_another_model_is_refused_by_name(tmp_path: Path) -> None:
    trainer = make()
    trainer.train_step()
    path = trainer.save(tmp_path)
    wider = make(dataclasses.replace(CONFIG, d_model=15))
    with pytest.raises(ValueError, match=r"transformer.wte.weight is \(11, 12\) there and"):
        wider.restore(path)
    deeper = make(dataclasses.replace(CONFIG, n_layer=3))
    with pytest.raises(ValueError, match=r"transformer.h.2.* is in only one of the two"):
        deeper.restore(path)


def test_the_best_and_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    trainer = make(dataclasses.replace(CONFIG, keep_last=2))
    for loss in (3.0, 1.0, 2.0, 2.5, 2.4):
        trainer.train_step()
        assert trainer.note_validation(loss) == (loss in (3.0, 1.0))
        trainer.save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "step-00000002",
        "step-00000004",
        "step-00000005",
    ]
    assert checkpoint.latest(tmp_path).state["best"] == {"step": 2, "validation_loss": 1.0}


def test_work_that_cannot_be_shared_equally_is_refused() -> None:
    with pytest.raises(ValueError, match=r"accumulation \(2\) must be a multiple .* \(3\)"):
        make(world=World(rank=0, size=3))


@pytest.mark.parametrize("preset", list(PRESETS.values()), ids=list(PRESETS))
def test_every_preset_is_sound_and_survives_json(preset: TrainConfig) -> None:
    preset.check()
    assert differences(as_json(preset), preset) == []
    before = as_json(preset)
    del before["vocab_size"]  # as of runs from before there were merges
    assert differences(before, preset) == []


def test_gpt2_small_is_the_model_and_the_recipe_of_the_paper_and_the_roadmap() -> None:
    config = PRESETS["gpt2-small"]
    model = config.model(50257)
    assert (model.n_layer, model.n_head, model.d_model, model.block_size) == (12, 12, 768, 1024)
    assert (config.learning_rate, config.min_learning_rate) == (6e-4, 6e-5)
    assert (config.warmup_steps, config.weight_decay, config.clip) == (2000, 0.1, 1.0)
    assert (config.beta1, config.beta2, config.dropout) == (0.9, 0.95, 0.1)
    assert 2e9 <= config.steps * config.tokens_per_step <= 10e9
    check = PRESETS["gpt2-small-check"]
    assert check.steps * check.tokens_per_step == pytest.approx(100e6, rel=0.01)
    assert check.model(50257) == model


def test_another_config_is_told_by_field_and_a_change_of_machine_is_not() -> None:
    moved = dataclasses.replace(CONFIG, device="mps", threads=3, keep_last=9)
    assert differences(as_json(CONFIG), moved) == []
    other = dataclasses.replace(CONFIG, n_layer=6, seed=1)
    assert differences(as_json(CONFIG), other) == [
        "n_layer is 2 there and 6 here",
        "seed is 5 there and 1 here",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"log_every": 0}, "log_every must be at least 1, not 0"),
        ({"warmup_steps": 9}, "warmup_steps must be 0 or more and below total_steps 9"),
        ({"source": "files"}, "--source files needs --files"),
        ({"sample_every": -1}, "sample_every must be at least 0, not -1"),
        ({"clip": -1.0}, "clip must be at least 0, not -1.0"),
        ({"beta1": 1.5}, "beta1 must be from 0 to below 1, not 1.5"),
        ({"weight_decay": math.nan}, "weight_decay must be at least 0, not nan"),
        ({"resume": True, "overwrite": True}, "choose one"),
    ],
)
def test_values_that_no_run_can_have_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **change).check()
