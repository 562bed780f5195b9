"""Learning rates against tables worked out by hand, and against torch's schedulers."""

import math

import pytest
import torch

from phase01.schedules import constant, cosine, linear_warmup, step_decay


def test_constant_is_the_same_in_every_step():
    assert [constant(step, 0.3) for step in (0, 1, 1000)] == [0.3, 0.3, 0.3]


def test_warmup_rises_in_a_straight_line_from_its_first_share_to_the_peak():
    rates = [linear_warmup(step, 0.8, 4) for step in range(7)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8])


def test_warmup_of_no_steps_is_constant():
    assert linear_warmup(0, 0.8, 0) == 0.8


def test_cosine_has_the_values_of_the_closed_form():
    # The shares are 1/6, 2/6, ... of the fall; (1 + cos) / 2 of 30, 60, 90, 120, 150, 180 degrees.
    root = math.sqrt(3)
    table = [(2 + root) / 4, 3 / 4, 1 / 2, 1 / 4, (2 - root) / 4, 0, 0, 0]
    rates = [cosine(step, 2.0, 6) for step in range(8)]
    assert rates == pytest.approx([2 * value for value in table], abs=1e-12)


def test_cosine_after_a_warmup_has_the_values_of_the_closed_form():
    table = [0.25, 0.5, 0.75, 1.0, 0.1 + 0.9 * 3 / 4, 0.1 + 0.9 / 4, 0.1, 0.1, 0.1]
    degrees = [60, 120, 180]
    assert table[4:7] == pytest.approx(
        [0.1 + 0.9 * (1 + math.cos(math.radians(d))) / 2 for d in degrees]
    )
    rates = [cosine(step, 1.0, 7, warmup_steps=4, min_learning_rate=0.1) for step in range(9)]
    assert rates == pytest.approx(table, abs=1e-12)


def test_cosine_ends_at_its_lowest_rate_and_stays_there():
    assert cosine(99, 0.5, 100, 10, 0.05) == pytest.approx(0.05)
    assert cosine(10**6, 0.5, 100, 10, 0.05) == pytest.approx(0.05)
    assert cosine(98, 0.5, 100, 10, 0.05) > 0.05


def test_cosine_is_torchs_one_step_later():
    tensor = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([tensor], lr=0.7)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=9, eta_min=0.2)
    for step in range(9):
        optimizer.step()
        scheduler.step()
        rate = cosine(step, 0.7, 9, min_learning_rate=0.2)
        assert rate == pytest.approx(scheduler.get_last_lr()[0], rel=1e-10)


def test_step_decay_falls_by_its_factor_after_every_so_many_steps():
    rates = [step_decay(step, 0.8, 3, 0.5) for step in range(8)]
    assert rates == pytest.approx([0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2, 0.2])


def test_step_decay_is_that_of_torch():
    tensor = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([tensor], lr=0.7)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=4)
    for step in range(13):
        rate = step_decay(step, 0.7, 4)
        assert rate == pytest.approx(scheduler.get_last_lr()[0], rel=1e-10)
        optimizer.step()
        scheduler.step()


def test_factor_of_one_never_falls():
    assert step_decay(1000, 0.3, 1, 1.0) == 0.3


def test_schedules_combine_by_their_peak():
    rates = [linear_warmup(step, step_decay(step, 1.0, 3, 0.5), 2) for step in range(7)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25])


ALL = {
    "constant": lambda step, rate: constant(step, rate),
    "linear_warmup": lambda step, rate: linear_warmup(step, rate, 3),
    "cosine": lambda step, rate: cosine(step, rate, 9),
    "step_decay": lambda step, rate: step_decay(step, rate, 3),
}
EACH = pytest.mark.parametrize("schedule", ALL.values(), ids=ALL)


@EACH
def test_step_below_zero_is_refused(schedule):
    with pytest.raises(ValueError, match="-1"):
        schedule(-1, 0.1)


@EACH
@pytest.mark.parametrize("rate", [-0.1, math.inf, math.nan])
def test_rate_out_of_range_is_refused(schedule, rate):
    with pytest.raises(ValueError, match=str(rate)):
        schedule(1, rate)


@EACH
def test_rate_of_zero_is_zero_throughout(schedule):
    assert [schedule(step, 0.0) for step in range(10)] == [0.0] * 10


def test_warmup_of_fewer_than_no_steps_is_refused():
    with pytest.raises(ValueError, match="-2"):
        linear_warmup(0, 0.1, -2)
    with pytest.raises(ValueError, match="-2"):
        cosine(0, 0.1, 9, warmup_steps=-2)


@pytest.mark.parametrize("warmup_steps", [9, 10])
def test_warmup_that_leaves_no_step_for_the_fall_is_refused(warmup_steps):
    with pytest.raises(ValueError, match=rf"\b{warmup_steps}\b"):
        cosine(0, 0.1, 9, warmup_steps=warmup_steps)


@pytest.mark.parametrize("low", [-0.1, 0.2, math.nan])
def test_lowest_rate_out_of_range_is_refused(low):
    with pytest.raises(ValueError, match=str(low)):
        cosine(0, 0.1, 9, min_learning_rate=low)


@pytest.mark.parametrize("every", [0, -3])
def test_step_decay_after_no_steps_is_refused(every):
    with pytest.raises(ValueError, match=str(every)):
        step_decay(0, 0.1, every)


@pytest.mark.parametrize("factor", [0.0, -0.5, 1.5, math.nan])
def test_factor_out_of_range_is_refused(factor):
    with pytest.raises(ValueError, match=str(factor)):
        step_decay(0, 0.1, 3, factor)
