"""Entropy, divergence, mutual information and perplexity: by hand, by identity, against torch."""

import math
import warnings

import numpy as np
import pytest
import torch

from phase00.information import (
    cross_entropy,
    entropy,
    kl_divergence,
    mutual_information,
    perplexity,
)

SKEWED = np.array([1 / 2, 1 / 4, 1 / 8, 1 / 8])
UNIFORM = np.full(4, 1 / 4)
OF_ONE = pytest.mark.parametrize(
    "function", [entropy, lambda p: cross_entropy(p, p), lambda p: kl_divergence(p, p)]
)
OF_TWO = pytest.mark.parametrize("function", [cross_entropy, kl_divergence])


@pytest.fixture(autouse=True)
def _no_warning_leaks():
    """A test fails on a warning: what is meant is silent, what is not meant should not happen."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def distributions(seed: int, n: int, size: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(size), n)


@pytest.mark.parametrize(
    ("p", "bits"),
    [([0.5, 0.5], 1), ([1.0, 0.0], 0), (SKEWED, 1.75), (np.full(8, 1 / 8), 3), ([1.0], 0)],
)
def test_entropy_in_bits_is_that_worked_out_by_hand(p, bits):
    assert entropy(np.array(p), "bits") == pytest.approx(bits, abs=1e-15)


def test_entropy_is_in_nats_unless_bits_are_asked_for():
    assert entropy(np.array([0.5, 0.5])) == pytest.approx(math.log(2), rel=1e-15)
    assert entropy(SKEWED, "nats") == pytest.approx(1.75 * math.log(2), rel=1e-15)
    assert entropy(SKEWED) == entropy(SKEWED, "nats")


def test_entropy_of_a_uniform_distribution_is_the_log_of_its_size_and_the_largest():
    assert entropy(np.full(7, 1 / 7)) == pytest.approx(math.log(7), rel=1e-14)
    assert all(entropy(p) < math.log(7) for p in distributions(0, 20, 7))


def test_outcomes_of_probability_zero_add_nothing():
    padded = np.array([0, 1 / 2, 0, 1 / 4, 1 / 8, 0, 1 / 8])
    assert entropy(padded, "bits") == 1.75
    assert kl_divergence(padded, padded) == 0


def test_a_certain_outcome_has_entropy_zero_and_not_minus_zero():
    assert str(entropy(np.array([0.0, 1.0, 0.0]))) == "0.0"


def test_entropy_of_a_table_is_that_of_all_its_entries():
    assert entropy(SKEWED.reshape(2, 2), "bits") == 1.75


def test_cross_entropy_weighs_the_surprise_at_q_with_p():
    # 1/2 * 2 bits + 1/4 * 3 bits + 1/8 * 3 bits + 1/8 * 1 bit
    q = np.array([1 / 4, 1 / 8, 1 / 8, 1 / 2])
    assert cross_entropy(SKEWED, q, "bits") == pytest.approx(2.25, rel=1e-15)
    assert cross_entropy(SKEWED, q) == pytest.approx(2.25 * math.log(2), rel=1e-15)
    assert cross_entropy(UNIFORM, SKEWED, "bits") == pytest.approx(2.25, rel=1e-15)


def test_cross_entropy_with_itself_is_the_entropy():
    assert cross_entropy(SKEWED, SKEWED, "bits") == 1.75


def test_divergence_with_its_arguments_swapped_is_another_number():
    p, q = np.array([0.2, 0.8]), np.array([0.5, 0.5])
    forward = 0.2 * math.log(0.4) + 0.8 * math.log(1.6)
    backward = 0.5 * math.log(2.5) + 0.5 * math.log(0.625)
    assert kl_divergence(p, q) == pytest.approx(forward, rel=1e-14)
    assert kl_divergence(q, p) == pytest.approx(backward, rel=1e-14)
    assert forward != pytest.approx(backward, rel=0.1)


def test_divergence_is_the_cross_entropy_less_the_entropy():
    assert kl_divergence(SKEWED, UNIFORM, "bits") == pytest.approx(0.25, rel=1e-14)
    assert kl_divergence(UNIFORM, SKEWED, "bits") == pytest.approx(0.25, rel=1e-14)
    p, q = distributions(1, 2, 9)
    excess = cross_entropy(p, q) - entropy(p)
    assert kl_divergence(p, q) == pytest.approx(excess, rel=1e-12)


def test_divergence_is_in_nats_unless_bits_are_asked_for():
    assert kl_divergence(SKEWED, UNIFORM) == pytest.approx(0.25 * math.log(2), rel=1e-14)


def test_divergence_of_a_distribution_from_itself_is_exactly_zero():
    for p in distributions(2, 50, 11):
        assert kl_divergence(p, p) == 0
        assert kl_divergence(p, p.copy(), "bits") == 0


def test_divergence_is_never_negative_even_by_rounding():
    rng = np.random.default_rng(3)
    for p in distributions(4, 300, 13):
        q = p * (1 + 1e-16 * rng.integers(-3, 4, 13))
        assert kl_divergence(p, q) >= 0


@OF_TWO
def test_an_outcome_that_q_excludes_and_p_has_costs_infinity(function):
    assert function(np.array([0.5, 0.5]), np.array([1.0, 0.0])) == math.inf


def test_an_outcome_that_p_excludes_and_q_has_costs_nothing_of_its_own():
    p, q = np.array([1.0, 0.0]), np.array([0.5, 0.5])
    assert cross_entropy(p, q, "bits") == 1
    assert kl_divergence(p, q, "bits") == 1


@OF_TWO
def test_a_very_unlikely_outcome_costs_much_but_not_infinity(function):
    # 1 / q overflows here; -log q does not.
    loss = function(np.array([0.0, 1.0]), np.array([1.0, 1e-310]))
    assert loss == pytest.approx(310 * math.log(10), rel=1e-6)


@pytest.mark.parametrize("unit", ["nats", "bits"])
def test_mutual_information_of_independent_variables_is_zero(unit):
    x, y = np.array([0.2, 0.5, 0.3]), np.array([0.1, 0.9])
    assert mutual_information(np.outer(x, y), unit) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("unit", ["nats", "bits"])
def test_mutual_information_of_a_variable_with_itself_is_its_entropy(unit):
    assert mutual_information(np.diag(SKEWED), unit) == pytest.approx(entropy(SKEWED, unit))


def test_mutual_information_is_that_worked_out_by_hand():
    # One bit sent over a channel that flips it a quarter of the time: 1 - H(1/4).
    joint = np.array([[3 / 8, 1 / 8], [1 / 8, 3 / 8]])
    lost = 2 - 0.75 * math.log2(3)
    assert mutual_information(joint, "bits") == pytest.approx(1 - lost, rel=1e-14)
    nats = (1 - lost) * math.log(2)
    assert mutual_information(joint) == pytest.approx(nats, rel=1e-14)


def test_mutual_information_is_the_divergence_from_the_product_of_the_marginals():
    joint = distributions(5, 1, 15).reshape(3, 5)
    apart = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    truth = kl_divergence(joint, apart)
    assert mutual_information(joint) == pytest.approx(truth, rel=1e-12)
    assert mutual_information(joint.T) == pytest.approx(truth, rel=1e-12)


def test_mutual_information_is_never_negative_even_by_rounding():
    for x, y in zip(distributions(6, 200, 6), distributions(7, 200, 5), strict=True):
        assert mutual_information(np.outer(x, y)) >= 0


def test_mutual_information_with_a_very_rare_pair_is_finite():
    # The product of the marginals of the rare pair is 1e-400, which is 0 in float64.
    assert mutual_information(np.diag([1.0, 1e-200])) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("shape", [(4,), (1, 2, 2)])
def test_a_joint_distribution_that_is_no_table_of_two_variables_is_refused(shape):
    with pytest.raises(ValueError, match="shape"):
        mutual_information(SKEWED.reshape(shape))


@pytest.mark.parametrize("n", [1, 2, 7, 50257])
def test_perplexity_of_a_uniform_distribution_is_its_size_in_both_units(n):
    p = np.full(n, 1 / n)
    assert perplexity(entropy(p)) == pytest.approx(n, rel=1e-12)
    assert perplexity(entropy(p, "bits"), "bits") == pytest.approx(n, rel=1e-12)


def test_perplexity_is_a_power_of_e_for_nats_and_of_two_for_bits():
    assert perplexity(1.0) == pytest.approx(math.e, rel=1e-15)
    assert perplexity(3, "bits") == 8
    assert perplexity(0.0) == 1


@pytest.mark.parametrize("unit", ["nats", "bits"])
def test_perplexity_of_an_infinite_or_huge_cross_entropy_is_infinite(unit):
    assert perplexity(math.inf, unit) == math.inf
    assert perplexity(5000.0, unit) == math.inf


@pytest.mark.parametrize("value", [-0.5, -math.inf, math.nan])
def test_a_negative_or_missing_cross_entropy_has_no_perplexity(value):
    with pytest.raises(ValueError, match=str(value)):
        perplexity(value)


@OF_ONE
@pytest.mark.parametrize(
    "p",
    [[0.5, 0.6], [0.5, 0.4], [1.5, -0.5], [0.5, math.nan], [math.inf, 0.5], [], [0.0, 0.0]],
    ids=["above one", "below one", "negative", "nan", "infinite", "empty", "all zero"],
)
def test_what_is_no_distribution_is_refused(function, p):
    with pytest.raises(ValueError, match="distribution"):
        function(np.array(p))


@OF_TWO
def test_the_one_of_p_and_q_that_is_no_distribution_is_named(function):
    good, bad = np.array([0.5, 0.5]), np.array([0.5, 0.6])
    with pytest.raises(ValueError, match=r"\bq\b.*distribution"):
        function(good, bad)
    with pytest.raises(ValueError, match=r"\bp\b.*distribution"):
        function(bad, good)


def test_a_joint_table_that_is_no_distribution_is_refused():
    with pytest.raises(ValueError, match=r"\bjoint\b"):
        mutual_information(np.full((2, 3), 0.2))
    with pytest.raises(ValueError, match=r"\bjoint\b"):
        mutual_information(np.array([[0.6, -0.1], [0.1, 0.4]]))  # its marginals are distributions


@OF_ONE
def test_sums_off_by_the_rounding_of_float32_are_accepted(function):
    p = np.array([0.4, 0.6 + 5e-6])
    assert math.isfinite(function(p))
    with pytest.raises(ValueError, match="distribution"):
        function(np.array([0.4, 0.6 + 1.5e-5]))


@OF_TWO
@pytest.mark.parametrize("size", [1, 3])
def test_distributions_over_different_numbers_of_outcomes_are_refused(function, size):
    shapes = rf"\(2,\).*\({size},\)|\({size},\).*\(2,\)"
    with pytest.raises(ValueError, match=shapes):
        function(np.array([0.5, 0.5]), np.full(size, 1 / size))


def test_a_unit_other_than_nats_or_bits_is_refused_everywhere():
    table = np.full((2, 2), 0.25)
    for call in (
        lambda: entropy(SKEWED, "bit"),
        lambda: cross_entropy(SKEWED, UNIFORM, "bit"),
        lambda: kl_divergence(SKEWED, UNIFORM, "bit"),
        lambda: mutual_information(table, "bit"),
        lambda: perplexity(1.0, "bit"),
    ):
        with pytest.raises(ValueError, match="bit"):
            call()


def test_float32_distributions_are_summed_in_float64():
    p = np.full(1000, 1 / 1000, np.float32)
    exact = -1000 * float(p[0]) * math.log(float(p[0]))
    assert entropy(p) == pytest.approx(exact, rel=1e-12)


def test_float32_tables_are_summed_in_float64():
    joint = distributions(10, 1, 77 * 300).reshape(77, 300).astype(np.float32)
    truth = mutual_information(joint.astype(np.float64))
    assert mutual_information(joint) == pytest.approx(truth, rel=1e-12)


def test_every_measure_is_a_plain_float():
    measures = [
        entropy(SKEWED),
        cross_entropy(SKEWED, UNIFORM),
        kl_divergence(SKEWED, UNIFORM),
        mutual_information(np.diag(SKEWED)),
        perplexity(np.float64(1.0)),
    ]
    assert [type(measure) for measure in measures] == [float] * 5


def test_entropy_and_divergence_equal_those_of_torch():
    for p, q in zip(distributions(8, 10, 9), distributions(9, 10, 9), strict=True):
        theirs = [torch.distributions.Categorical(probs=torch.from_numpy(x)) for x in (p, q)]
        truth = theirs[0].entropy().item()
        assert entropy(p) == pytest.approx(truth, rel=1e-12)
        truth = torch.distributions.kl_divergence(*theirs).item()
        assert kl_divergence(p, q) == pytest.approx(truth, rel=1e-11)
