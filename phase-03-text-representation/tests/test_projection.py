"""PCA against points laid out by hand, the covariance matrix and scikit-learn."""

import numpy as np
import pytest

from phase03.projection import pca


def cloud(n=11, width=5, dtype=np.float64):
    rng = np.random.default_rng(0)
    stretched = rng.normal(size=(n, width)) @ np.diag([5, 3, 2, 1, 0.5][:width])
    turn, _ = np.linalg.qr(rng.normal(size=(width, width)))
    return (stretched @ turn + 7).astype(dtype)


def test_points_on_a_line_have_one_component():
    found = pca(np.array([[1.0, 1.0], [2.0, 3.0], [3.0, 5.0]]), 2)
    np.testing.assert_allclose(found.explained, [1, 0], atol=1e-15)
    np.testing.assert_allclose(found.components[0], np.array([1, 2]) / np.sqrt(5))
    np.testing.assert_allclose(found.points[:, 0], np.array([-1, 0, 1]) * np.sqrt(5), atol=1e-12)
    np.testing.assert_allclose(found.mean, [2, 3])


def test_equals_scikit_learn_up_to_the_sign():
    decomposition = pytest.importorskip("sklearn.decomposition")
    x = cloud()
    found, theirs = pca(x, 3), decomposition.PCA(3).fit(x)
    np.testing.assert_allclose(found.explained, theirs.explained_variance_ratio_, atol=1e-10)
    signs = np.sign((found.components * theirs.components_).sum(axis=1))
    np.testing.assert_allclose(found.components, theirs.components_ * signs[:, None], atol=1e-10)
    np.testing.assert_allclose(found.points, theirs.transform(x) * signs, atol=1e-10)


def test_components_are_eigenvectors_of_the_covariance():
    x = cloud()
    found = pca(x, 5)
    covariance = np.cov(x, rowvar=False)
    variances = found.points.var(axis=0, ddof=1)
    np.testing.assert_allclose(covariance @ found.components.T, found.components.T * variances)
    np.testing.assert_allclose(found.components @ found.components.T, np.eye(5), atol=1e-12)
    assert np.all(np.diff(found.explained) < 0)
    assert found.explained.sum() == pytest.approx(1)


def test_largest_entry_of_a_direction_is_positive():
    for x in (cloud(), -cloud()):
        components = pca(x, 4).components
        largest = np.take_along_axis(components, np.abs(components).argmax(1)[:, None], axis=1)
        assert np.all(largest > 0)


def test_where_the_points_lie_does_not_matter():
    x = cloud()
    np.testing.assert_allclose(pca(x + 100).points, pca(x).points, atol=1e-10)


def test_fewer_points_than_columns():
    found = pca(cloud(n=3), 2)
    assert found.points.shape == (3, 2)
    assert found.components.shape == (2, 5)
    assert found.explained.sum() == pytest.approx(1)


def test_two_points_have_one_component_and_two_are_found_unasked():
    found = pca(np.array([[1.0, 2.0, 2.0], [3.0, 2.0, 2.0]]), 1)
    np.testing.assert_allclose(found.components, [[1, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(found.points, [[-1], [1]])
    assert pca(cloud()).points.shape == (11, 2)


def test_type_of_numbers_is_kept():
    found = pca(cloud(dtype=np.float32))
    assert {part.dtype for part in found} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("x", "n"),
    [
        (np.ones((1, 3)), 1),
        (cloud(n=4), 5),
        (cloud(), 0),
        (np.ones((4, 3)), 2),
        (np.full((3, 2), 0.1), 1),  # whose mean is rounded
    ],
)
def test_what_has_no_components_is_refused(x, n):
    with pytest.raises(ValueError, match=r"."):
        pca(x, n)
