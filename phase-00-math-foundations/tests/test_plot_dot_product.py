"""The pictures of the note on linear algebra: what is measured, written and refused."""

import json
import math
from xml.etree import ElementTree

import numpy as np
import pytest

from phase00 import plot_dot_product
from phase00.plot_dot_product import Config, find_axes, main, measure_vectors, move

# Six points around (4, 3), worked out by hand: the covariance is ((2, 1), (1, 2)).
SIX = np.array([[6.0, 4.0], [5.0, 5.0], [5.0, 2.0], [2.0, 2.0], [3.0, 1.0], [3.0, 4.0]])


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(metrics, folder of what was written) of one run."""
    folder = tmp_path_factory.mktemp("dot_product")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return main(Config(n_points=60)), folder / "runs" / "phase00"


def test_default_vectors_have_the_numbers_of_the_note(ran):
    found = ran[0]["vectors"]
    assert (found["a"], found["b"], found["dot"]) == ([3.0, 1.0], [2.0, 3.0], 9.0)
    assert found["length_a"] * found["shadow"] == pytest.approx(9)
    assert found["cosine"] == pytest.approx(9 / math.sqrt(130))
    assert found["angle"] == pytest.approx(37.875, abs=1e-3)
    assert found["shadow_end"] == pytest.approx([2.7, 0.9])


@pytest.mark.parametrize(
    ("b", "angle", "shadow"),
    [([-2.0, 0.0], 180, -2), ([0.0, 3.0], 90, 0), ([0.5, 0.0], 0, 0.5), ([2.0, -2.0], 45, 2)],
)
def test_shadow_has_the_sign_of_the_dot_product(b, angle, shadow):
    found = measure_vectors([4.0, 0.0], b)
    assert found["angle"] == pytest.approx(angle)
    assert found["shadow"] == pytest.approx(shadow)
    assert found["shadow_end"] == pytest.approx([shadow, 0])


def test_rounding_never_makes_a_cosine_above_1_an_error():
    found = measure_vectors([0.1, 0.3], [0.3, 0.9])
    assert found["angle"] == pytest.approx(0, abs=1e-5)


def test_matrix_moves_the_corners_of_the_square_to_its_columns_and_their_sum(ran):
    found = ran[0]["grid"]
    assert found["square"] == [[0, 0], [2, 1], [1, 2], [-1, 1]]
    assert found["area"] == 3
    assert found["moved_point"] == [5, 4]


def test_area_is_negative_for_a_mirror_and_zero_for_a_matrix_that_flattens():
    assert move([[0.0, 1.0], [1.0, 0.0]], [3.0, 1.0])["area"] == -1
    assert move([[1.0, 2.0], [2.0, 4.0]], [3.0, 1.0])["area"] == 0


def test_axes_of_six_points_are_those_worked_out_by_hand():
    found = find_axes(SIX)
    half = math.sqrt(0.5)
    assert found["mean"] == [4, 3]
    np.testing.assert_allclose(found["covariance"], [[2, 1], [1, 2]], rtol=1e-14)
    np.testing.assert_allclose(found["variances"], [3, 1], rtol=1e-14)
    np.testing.assert_allclose(found["axes"], [[half, half], [half, -half]], rtol=1e-14)
    assert found["share_of_first"] == pytest.approx(0.75)


def test_large_cloud_has_nearly_the_centre_and_covariance_that_it_was_drawn_from():
    found = find_axes(plot_dot_product.make_cloud(100_000, np.random.default_rng(3)))
    np.testing.assert_allclose(found["mean"], [4, 3], atol=0.03)
    np.testing.assert_allclose(found["covariance"], [[2, 1], [1, 2]], atol=0.05)


def test_numbers_and_three_pictures_are_written(ran):
    metrics, folder = ran
    assert json.loads(json.dumps(metrics)) == metrics  # the last line of its output
    assert sorted(file.name for file in folder.iterdir()) == [
        "plot_dot_product-cloud.svg",
        "plot_dot_product-grid.svg",
        "plot_dot_product-vectors.svg",
        "plot_dot_product.json",
    ]
    written = json.loads((folder / "plot_dot_product.json").read_text(encoding="utf-8"))["metrics"]
    points = np.array(written.pop("points"))
    assert written == metrics
    assert find_axes(points) == metrics["cloud"]  # the picture's points are the recorded ones
    for picture in folder.glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_other_vectors_and_another_matrix_are_drawn_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = Config(a=(-2.0, 1.0), b=(1.0, -3.0), matrix=((0.0, 1.0), (1.0, 0.0)), n_points=3)
    metrics = main(config)
    assert metrics["vectors"]["dot"] == -5
    assert metrics["grid"]["moved_point"] == [1, -2]


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        (Config(n_points=2), "n_points must be 3 or more"),
        (Config(a=(0.0, 0.0)), "the first is the zero vector"),
        (Config(b=(0.0, 0.0)), "the second is the zero vector"),
    ],
)
def test_config_that_draws_nothing_is_refused(config, complaint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=complaint):
        main(config)
