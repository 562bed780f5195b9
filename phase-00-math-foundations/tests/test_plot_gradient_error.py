"""The script measures both errors of the central difference, and where they balance."""

import numpy as np
import pytest

from journal import record
from phase00.plot_gradient_error import Config, main

SMALL = Config(n_points=25, per_decade=4)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gradient_error")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return folder / "runs" / "phase00", main(SMALL)


def errors_at(metrics, name, epsilon):
    index = int(np.argmin(np.abs(np.log(np.array(metrics["epsilons"]) / epsilon))))
    assert metrics["epsilons"][index] == pytest.approx(epsilon)
    return metrics["functions"][name]["errors"][index]


NAMES = pytest.mark.parametrize("name", ["sin(x²)", "exp(x)", "tanh(x)"])


@NAMES
def test_error_falls_a_hundredfold_per_decade_while_truncation_rules(name, run):
    _, metrics = run
    ratio = errors_at(metrics, name, 1e-2) / errors_at(metrics, name, 1e-3)
    assert ratio == pytest.approx(100, rel=0.02)


@NAMES
def test_error_grows_about_tenfold_per_decade_where_rounding_rules(name, run):
    _, metrics = run
    ratio = errors_at(metrics, name, 1e-12) / errors_at(metrics, name, 1e-8)
    assert 2e3 < ratio < 5e4


@NAMES
def test_best_step_lies_near_1e_minus_5_and_keeps_ten_digits(name, run):
    _, metrics = run
    found = metrics["functions"][name]
    assert 1e-6 < found["best_epsilon"] < 1e-4
    assert found["best_error"] == min(found["errors"])
    assert found["best_error"] < 1e-10
    best = found["errors"].index(found["best_error"])
    assert metrics["epsilons"][best] == found["best_epsilon"]


@NAMES
def test_the_step_of_1e_minus_7_errs_more_than_that_of_1e_minus_5(name, run):
    _, metrics = run
    found = metrics["functions"][name]
    assert found["error_at_1e-5"] == errors_at(metrics, name, 1e-5)
    assert found["error_at_1e-7"] == errors_at(metrics, name, 1e-7)
    assert found["error_at_1e-7"] > 2 * found["error_at_1e-5"]


def test_truncation_is_epsilon_squared_over_6_times_the_third_derivative(run):
    _, metrics = run
    third = np.sqrt(np.mean(np.exp(2 * np.linspace(0.5, 1.5, 25))))  # of exp: exp
    assert errors_at(metrics, "exp(x)", 1e-2) == pytest.approx(1e-4 / 6 * third, rel=1e-3)


def test_numbers_and_picture_are_written(run):
    folder, metrics = run
    assert record.load(folder / "plot_gradient_error.json")["metrics"] == metrics
    picture = (folder / "plot_gradient_error-epsilon.svg").read_text()
    assert "A step too large truncates" in picture


@pytest.mark.parametrize("config", [Config(n_points=0), Config(per_decade=0)])
def test_nothing_to_measure_is_refused(config):
    with pytest.raises(ValueError, match="must be 1 or more"):
        main(config)
