"""What the scripts on softmax, cross-entropy and divergence find and record."""

import math
from pathlib import Path

import numpy as np
import pytest

from journal import record
from phase00 import plot_cross_entropy, plot_divergence, plot_softmax


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def recorded(script: str) -> dict:
    return record.load(Path("runs") / "phase00" / f"{script}.json")["metrics"]


def pictures() -> list[str]:
    return sorted(path.name for path in (Path("runs") / "phase00").glob("*.svg"))


def test_softmax_script_levels_with_the_temperature_and_finds_where_naive_fails():
    metrics = plot_softmax.main(plot_softmax.Config())
    assert recorded("plot_softmax")["probabilities"] == metrics["probabilities"]
    assert pictures() == ["plot_softmax-temperature.svg"]
    largest = [row[0] for row in metrics["probabilities"]]
    assert largest == sorted(largest, reverse=True)
    assert largest[0] > 0.98
    assert largest[-1] < 0.25
    assert metrics["naive_of_huge_scores"] == ["nan"] * 3
    assert sum(metrics["stable_of_huge_scores"]) == pytest.approx(1)
    survived = {"float16": 11, "float32": 88, "float64": 709}
    assert metrics["largest_score_that_naive_survives"] == survived


def test_softmax_script_takes_scores_and_temperatures():
    config = plot_softmax.Config(scores=(1.0, 2.0), temperatures=(0.5,))
    truth = [1 / (1 + math.e**2), math.e**2 / (1 + math.e**2)]
    np.testing.assert_allclose(plot_softmax.main(config)["probabilities"], [truth], rtol=1e-14)


def test_softmax_script_refuses_a_temperature_of_zero():
    with pytest.raises(ValueError, match="temperature must be above 0"):
        plot_softmax.main(plot_softmax.Config(temperatures=(1.0, 0.0)))


def test_softmax_script_never_labels_a_small_probability_as_zero():
    assert plot_softmax.shown(0.0049) == "≈0"
    assert plot_softmax.shown(0.005) != "0.00"
    assert plot_softmax.shown(0.984) == "0.98"


def test_cross_entropy_script_finds_where_the_naive_loss_is_lost():
    metrics = plot_cross_entropy.main(plot_cross_entropy.Config())
    saved = recorded("plot_cross_entropy")
    assert pictures() == ["plot_cross_entropy-logits.svg", "plot_cross_entropy-probability.svg"]
    assert metrics["loss_at_probability_0"] == "inf"
    assert metrics["loss_at_probability"]["0.5"] == pytest.approx(math.log(2))
    assert metrics["loss_at_lead_1000"] == 1000
    for name, first in (("float32", 104), ("float64", 746)):
        lead = metrics["leads"][name]
        assert (lead["first_infinite"], lead["naive_there"]) == (first, "inf")
        assert lead["from_logits_there"] == pytest.approx(first)
        assert lead["naive_just_before"] < first
    losses = saved["curves"]["losses"]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == 0


def test_divergence_script_finds_the_asymmetry():
    metrics = plot_divergence.main(plot_divergence.Config())
    saved = recorded("plot_divergence")
    assert pictures() == ["plot_divergence-bump.svg", "plot_divergence-coin.svg"]
    coin = metrics["coin"]
    assert coin["p_from_itself"] == 0
    assert coin["p_from_excluding"] == "inf"
    assert coin["excluding_from_p"] == pytest.approx(math.log(1 / 0.8))
    assert coin["p_from_fair"] < 0.9 * coin["fair_from_p"]
    assert coin["information_of_two_throws"] == pytest.approx(0, abs=1e-15)
    entropies = metrics["entropies"]
    assert entropies["fair coin"]["bits"] == 1
    assert entropies["die"]["perplexity"] == pytest.approx(6)
    for curve in ("p_from_q", "q_from_p"):
        assert min(saved["curves"]["coin"][curve]) >= 0


def test_best_single_bump_covers_both_under_one_divergence_and_keeps_to_one_under_the_other():
    facts, curves = plot_divergence.bumps()
    covering, seeking = facts["covering"], facts["seeking"]
    assert -1 < covering["mean"] < 0  # between the two, nearer to the larger at -2
    assert covering["deviation"] > 1.5
    assert (seeking["mean"], seeking["deviation"]) == (-2, 0.7)
    assert covering["p_from_q"] < seeking["p_from_q"]
    assert seeking["q_from_p"] < covering["q_from_p"]
    np.testing.assert_allclose([curves[name].sum() for name in ("p", "covering", "seeking")], 1)
