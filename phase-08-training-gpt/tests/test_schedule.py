"""The learning rate against values worked out by hand, and its edges."""

import math
from typing import Any

import pytest

from phase08.schedule import Schedule, learning_rate


def schedule(**changes: Any) -> Schedule:
    fields: dict[str, Any] = {
        "learning_rate": 1.0,
        "min_learning_rate": 0.2,
        "warmup_steps": 4,
        "total_steps": 16,
    }
    return Schedule(**{**fields, **changes})


COSINE = schedule()
LINEAR = schedule(kind="constant-decay", decay_steps=8)
ROOT = schedule(kind="constant-decay", decay_steps=4, decay="1-sqrt")


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        (COSINE, 0, 0.25),
        (COSINE, 2, 0.75),
        (COSINE, 3, 1.0),
        (COSINE, 5, 0.2 + 0.8 * (1 + math.sqrt(3) / 2) / 2),  # a sixth of the way: 30 degrees
        (COSINE, 7, 0.2 + 0.8 * 0.75),  # a third: 60 degrees
        (COSINE, 9, 0.6),  # half
        (COSINE, 11, 0.2 + 0.8 * 0.25),
        (COSINE, 15, 0.2),
        (COSINE, 16, 0.2),
        (COSINE, 1000, 0.2),
        (LINEAR, 0, 0.25),
        (LINEAR, 3, 1.0),
        (LINEAR, 4, 1.0),
        (LINEAR, 7, 1.0),
        (LINEAR, 8, 0.9),
        (LINEAR, 11, 0.6),
        (LINEAR, 15, 0.2),
        (LINEAR, 99, 0.2),
        (ROOT, 11, 1.0),
        (ROOT, 12, 0.6),  # a quarter of the way: its root is a half
        (ROOT, 13, 0.2 + 0.8 * (1 - math.sqrt(0.5))),
        (ROOT, 14, 0.2 + 0.8 * (1 - math.sqrt(0.75))),
        (ROOT, 15, 0.2),
    ],
)
def test_rates_are_those_worked_out_by_hand(schedule, step, expected):
    assert learning_rate(step, schedule) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("warmup_steps", [0, 1, 7, 36])
@pytest.mark.parametrize(
    "kind",
    [
        {"kind": "cosine"},
        {"kind": "constant-decay", "decay_steps": 1},
        {"kind": "constant-decay", "decay_steps": 1, "decay": "1-sqrt"},
    ],
)
def test_rate_rises_to_the_peak_then_never_rises_and_ends_exactly_at_the_least(kind, warmup_steps):
    it = Schedule(
        learning_rate=6e-4,
        min_learning_rate=6e-5,
        warmup_steps=warmup_steps,
        total_steps=37,
        **kind,
    )
    rates = [learning_rate(step, it) for step in range(40)]
    assert rates[0] > 0
    rising, falling = rates[:warmup_steps], rates[max(warmup_steps - 1, 0) :]
    assert rising == sorted(set(rising))
    assert falling == sorted(falling, reverse=True)
    if warmup_steps:
        assert rates[warmup_steps - 1] == 6e-4
    assert rates[36:] == [6e-5] * 4


def test_warmup_of_gpt2_small_reaches_its_peak_at_the_2000th_step():
    it = Schedule(total_steps=19073)
    assert learning_rate(0, it) == pytest.approx(3e-7)
    assert learning_rate(1999, it) == 6e-4
    assert learning_rate(19072, it) == 6e-5


def test_constant_without_decay_stays_at_the_peak():
    it = schedule(kind="constant-decay", decay_steps=0)
    assert {learning_rate(step, it) for step in range(3, 20)} == {1.0}


def test_decay_may_follow_the_warmup_at_once():
    it = schedule(kind="constant-decay", decay_steps=12)
    assert learning_rate(3, it) == 1.0
    assert learning_rate(4, it) == pytest.approx(1 - 0.8 / 12)


def test_a_single_step_has_the_least_rate():
    assert learning_rate(0, schedule(warmup_steps=0, total_steps=1)) == 0.2


def test_the_constant_part_does_not_depend_on_the_length_of_the_run():
    longer = schedule(kind="constant-decay", decay_steps=8, total_steps=50)
    assert [learning_rate(s, longer) for s in range(8)] == [
        learning_rate(s, LINEAR) for s in range(8)
    ]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"warmup_steps": 16}, "warmup_steps must be 0 or more and below total_steps 16, not 16"),
        ({"warmup_steps": -1}, "warmup_steps must be .* not -1"),
        ({"total_steps": 0}, "total_steps must be 1 or more, not 0"),
        ({"min_learning_rate": 1.5}, "learning rate must lie between"),
        ({"min_learning_rate": -0.1}, "learning rate must lie between"),
        ({"learning_rate": math.nan}, "learning rate must lie between"),
        ({"learning_rate": math.inf}, "learning rate must lie between"),
        ({"kind": "constant-decay", "decay_steps": 13}, "between 0 and .* 12, not at 13"),
        ({"kind": "constant-decay", "decay_steps": -1}, "decay_steps must lie between"),
        ({"kind": "wsd"}, "cosine or constant-decay, not 'wsd'"),
        ({"decay": "cosine"}, "linear or 1-sqrt, not 'cosine'"),
    ],
)
def test_impossible_schedule_is_refused(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        schedule(**changes)


def test_negative_step_is_refused():
    with pytest.raises(ValueError, match="step must be 0 or more, not -1"):
        learning_rate(-1, COSINE)
