"""Softmax and the measures of information against scipy's."""

import numpy as np
import pytest
from scipy import special, stats

from phase00 import information, probability


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_and_log_softmax_equal_those_of_scipy(axis):
    scores = np.random.default_rng(0).normal(0, 20, (3, 5, 7))
    truth = special.softmax(scores, axis=axis)
    np.testing.assert_allclose(probability.softmax(scores, axis=axis), truth, rtol=1e-12)
    truth = special.log_softmax(scores, axis=axis)
    np.testing.assert_allclose(probability.log_softmax(scores, axis=axis), truth, rtol=1e-12)


@pytest.mark.parametrize(("unit", "base"), [("nats", np.e), ("bits", 2)])
def test_entropy_and_divergence_equal_those_of_scipy(unit, base):
    rng = np.random.default_rng(1)
    for p, q in zip(rng.dirichlet(np.ones(9), 10), rng.dirichlet(np.ones(9), 10), strict=True):
        p[3] = 0
        p /= p.sum()
        truth = stats.entropy(p, base=base)
        assert information.entropy(p, unit) == pytest.approx(truth, rel=1e-12)
        truth = stats.entropy(p, q, base=base)
        assert information.kl_divergence(p, q, unit) == pytest.approx(truth, rel=1e-11)


def test_divergence_is_infinite_where_that_of_scipy_is():
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.5, 0.0, 0.5])
    assert information.kl_divergence(p, q) == stats.entropy(p, q) == np.inf
