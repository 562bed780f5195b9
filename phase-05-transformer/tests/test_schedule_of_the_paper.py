"""Equation 3 of the paper against tables worked out by hand."""

import math
from itertools import pairwise

import pytest

from phase05.schedule import ADAM_BETAS, ADAM_EPSILON, transformer_rate


def test_rates_are_those_of_a_table_worked_out_by_hand():
    # d_model 4: the factor is 1/2. Four steps of warm-up: 4^-1.5 = 1/8, so n/8 up to n = 4.
    table = [1 / 16, 2 / 16, 3 / 16, 4 / 16, 0.5 / math.sqrt(5), 0.5 / math.sqrt(6)]
    assert [transformer_rate(step, 4, 4) for step in range(6)] == pytest.approx(table, rel=1e-12)
    assert transformer_rate(15, 4, 4) == pytest.approx(1 / 8, rel=1e-12)  # n = 16
    assert transformer_rate(99, 4, 4) == pytest.approx(1 / 20, rel=1e-12)  # n = 100


def test_paper_sizes_have_their_peak_at_step_4000():
    assert transformer_rate(3999, 512) == pytest.approx(1 / math.sqrt(512 * 4000), rel=1e-12)
    assert round(transformer_rate(3999, 512), 6) == 0.000699
    assert transformer_rate(0, 512) == pytest.approx(transformer_rate(3999, 512) / 4000, rel=1e-12)


@pytest.mark.parametrize("warmup", [1, 2, 7, 100])
def test_peak_is_in_the_last_step_of_the_warmup(warmup):
    rates = [transformer_rate(step, 16, warmup) for step in range(3 * warmup + 2)]
    peak = rates.index(max(rates))
    assert peak == warmup - 1
    assert rates[peak] == pytest.approx((16 * warmup) ** -0.5, rel=1e-12)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_rise_is_a_straight_line_and_four_times_the_steps_halve_the_rate_after_it():
    rates = [transformer_rate(step, 9, 50) for step in range(50)]
    differences = [later - before for before, later in pairwise(rates)]
    assert differences == pytest.approx([rates[0]] * 49, rel=1e-9)
    assert transformer_rate(399, 9, 50) == pytest.approx(transformer_rate(99, 9, 50) / 2, rel=1e-12)


def test_four_times_the_width_halves_every_rate():
    for step in (0, 9, 10, 5000):
        wide, narrow = transformer_rate(step, 64, 10), transformer_rate(step, 16, 10)
        assert wide == pytest.approx(narrow / 2, rel=1e-12)


def test_scale_multiplies_and_defaults_to_the_paper():
    assert transformer_rate(7, 32, 20, 3.0) == pytest.approx(3 * transformer_rate(7, 32, 20))
    assert transformer_rate(7, 32, 20, 1.0) == transformer_rate(7, 32, 20)
    assert transformer_rate(7, 32, 20, 0.0) == 0.0


def test_warmup_of_one_step_begins_at_the_peak():
    rates = [transformer_rate(step, 25, 1) for step in range(4)]
    assert rates == pytest.approx([0.2, 0.2 / math.sqrt(2), 0.2 / math.sqrt(3), 0.1], rel=1e-12)


@pytest.mark.parametrize(
    ("step", "width", "warmup", "scale", "say"),
    [
        (-1, 8, 4, 1.0, "-1"),
        (0, 0, 4, 1.0, "0"),
        (0, 8, 0, 1.0, "0"),
        (0, 8, -3, 1.0, "-3"),
        (0, 8, 4, -0.5, "-0.5"),
        (0, 8, 4, math.inf, "inf"),
        (0, 8, 4, math.nan, "nan"),
    ],
)
def test_values_out_of_range_are_refused_and_named(step, width, warmup, scale, say):
    with pytest.raises(ValueError, match=say):
        transformer_rate(step, width, warmup, scale)


@pytest.mark.kept
def test_settings_of_adam_are_those_of_the_paper():
    assert ADAM_BETAS == (0.9, 0.98)
    assert ADAM_EPSILON == 1e-9
