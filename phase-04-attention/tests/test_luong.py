"""Dot, general and concat: by hand, torch, finite differences, and what they share."""

import numpy as np
import pytest
import torch

from phase00.gradcheck import check_backward
from phase04.luong import (
    concat_parameters,
    concat_scores_backward,
    concat_scores_forward,
    dot_scores_backward,
    dot_scores_forward,
    general_parameters,
    general_scores_backward,
    general_scores_forward,
)

B, T, S, Q, K, A = 2, 5, 7, 3, 4, 6  # all different, so that a wrong transpose cannot pass
KINDS = ("dot", "general", "concat")


def case(kind, dtype=np.float64, seed=0):
    """(forward, backward, params, query, keys) of a score; dot's keys are as wide as its query."""
    rng = np.random.default_rng(seed)
    forward, backward, params = {
        "dot": (dot_scores_forward, dot_scores_backward, {}),
        "general": (
            general_scores_forward,
            general_scores_backward,
            general_parameters(Q, K, rng, dtype),
        ),
        "concat": (
            concat_scores_forward,
            concat_scores_backward,
            concat_parameters(Q, K, A, rng, dtype),
        ),
    }[kind]
    query, keys = rng.normal(size=(B, T, Q)), rng.normal(size=(B, S, Q if kind == "dot" else K))
    return forward, backward, params, query.astype(dtype), keys.astype(dtype)


def in_torch(kind, params, query, keys):
    """The scores of the same parameters, pair by pair in torch."""
    if kind == "dot":
        return torch.einsum("btd,bsd->bts", query, keys)
    if kind == "general":
        return torch.einsum("btq,qk,bsk->bts", query, params["key.weight"], keys)
    n_steps, n_positions = query.shape[1], keys.shape[1]
    wide = query[:, :, None].expand(-1, -1, n_positions, -1)
    both = torch.cat([wide, keys[:, None].expand(-1, n_steps, -1, -1)], dim=-1)
    return (torch.tanh(both @ params["concat.weight"].T) @ params["score.weight"].T)[..., 0]


def test_dot_is_the_product_worked_out_by_hand():
    query, keys = np.array([[[1.0, 2.0]]]), np.array([[[3.0, 4.0], [5.0, -6.0]]])
    scores, _ = dot_scores_forward({}, query, keys)
    np.testing.assert_array_equal(scores, [[[11.0, -7.0]]])


def test_general_is_the_product_worked_out_by_hand():
    params = {"key.weight": np.array([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]])}
    query, keys = np.array([[[1.0, 2.0]]]), np.array([[[3.0, 4.0, 5.0]]])
    scores, _ = general_scores_forward(params, query, keys)
    np.testing.assert_array_equal(scores, [[[1 * 13.0 + 2 * -1.0]]])  # W h = (13, -1)


def test_concat_is_the_score_worked_out_by_hand():
    params = {
        "concat.weight": np.array([[0.5, 0.25], [1.0, -1.0]]),
        "score.weight": np.array([[2.0, 3.0]]),
    }
    query, keys = np.array([[[1.0]]]), np.array([[[2.0], [1.0]]])
    scores, _ = concat_scores_forward(params, query, keys)
    # W [1; 2] = (1, -1) and W [1; 1] = (0.75, 0)
    truth = [2 * np.tanh(1.0) + 3 * np.tanh(-1.0), 2 * np.tanh(0.75)]
    np.testing.assert_allclose(scores, [[truth]], rtol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_and_gradients_match_torch(kind):
    forward, backward, params, query, keys = case(kind)
    dscores = np.random.default_rng(1).normal(size=(B, T, S))
    scores, cache = forward(params, query, keys)
    dquery, dkeys, grads = backward(dscores, cache)
    arrays = {"query": query, "keys": keys, **params}
    tensors = {name: torch.from_numpy(value).requires_grad_() for name, value in arrays.items()}
    truth = in_torch(kind, tensors, tensors["query"], tensors["keys"])
    truth.backward(torch.from_numpy(dscores))
    np.testing.assert_allclose(scores, truth.detach().numpy(), rtol=1e-10, atol=1e-12)
    assert set(grads) == set(params)
    for name, mine in {"query": dquery, "keys": dkeys, **grads}.items():
        gradient = tensors[name].grad
        assert gradient is not None
        np.testing.assert_allclose(mine, gradient.numpy(), rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_match_finite_differences(kind):
    forward_of, backward, params, query, keys = case(kind, seed=2)

    def forward(query, keys, **params):
        return forward_of(params, query, keys)

    check_backward(
        forward, backward, {"query": query, "keys": keys, **params}, np.random.default_rng(3)
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(kind, dtype):
    forward, backward, params, query, keys = case(kind, dtype)
    scores, cache = forward(params, query, keys)
    dquery, dkeys, grads = backward(scores, cache)
    arrays = [*params.values(), scores, dquery, dkeys, *grads.values()]
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_scored_alone_as_among_others(kind):
    forward, _, params, query, keys = case(kind, seed=4)
    scores, _ = forward(params, query, keys)
    alone, _ = forward(params, query[1:, 2:3], keys[1:, 3:4])
    assert scores.shape == (B, T, S)
    np.testing.assert_allclose(alone, scores[1:, 2:3, 3:4], rtol=1e-12)


def test_general_with_the_unit_matrix_is_dot():
    _, _, _, query, keys = case("dot", seed=5)
    scores, _ = general_scores_forward({"key.weight": np.eye(Q)}, query, keys)
    truth = np.sum(query[:, :, np.newaxis] * keys[:, np.newaxis], axis=-1)
    np.testing.assert_allclose(scores, truth, rtol=1e-12, atol=1e-14)


def test_dot_of_two_widths_is_refused():
    with pytest.raises(ValueError, match=r"3.*4|width"):
        dot_scores_forward({}, np.zeros((B, T, 3)), np.zeros((B, S, 4)))


def test_parameters_begin_as_those_of_torch():
    rng = np.random.default_rng(0)
    general = general_parameters(30, 100, rng)
    concat = concat_parameters(36, 64, 400, rng)
    shapes = {name: value.shape for name, value in (general | concat).items()}
    assert shapes == {
        "key.weight": (30, 100),
        "concat.weight": (400, 100),
        "score.weight": (1, 400),
    }
    for value, limit in (
        (general["key.weight"], 0.1),
        (concat["concat.weight"], 0.1),
        (concat["score.weight"], 0.05),
    ):
        assert 0.9 * limit < np.abs(value).max() <= limit
        assert abs(value.mean()) < 0.1 * limit
        assert value.dtype == np.float32


def test_widths_of_one_are_enough():
    rng = np.random.default_rng(0)
    shapes = {value.shape for value in general_parameters(1, 1, rng).values()}
    assert shapes == {(1, 1)}
    shapes = {value.shape for value in concat_parameters(1, 1, 1, rng).values()}
    assert shapes == {(1, 2), (1, 1)}


@pytest.mark.parametrize("widths", [(0, 3), (3, 0)])
def test_widths_of_nothing_are_refused(widths):
    with pytest.raises(ValueError, match=r"\b0\b|width"):
        general_parameters(*widths, np.random.default_rng(0))


@pytest.mark.parametrize("widths", [(0, 3, 5), (3, 0, 5), (3, 4, 0)])
def test_widths_of_nothing_are_refused_by_concat(widths):
    with pytest.raises(ValueError, match=r"\b0\b|width"):
        concat_parameters(*widths, np.random.default_rng(0))
