"""The additive score and the context: by hand, torch, finite differences, masks, edges."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from phase00.gradcheck import check_backward
from phase04.bahdanau import (
    additive_parameters,
    additive_scores_backward,
    additive_scores_forward,
    attend_backward,
    attend_forward,
    compare_backward,
    compare_forward,
    project_keys_backward,
    project_keys_forward,
)

B, T, S, Q, K, A, D = 2, 5, 7, 3, 4, 6, 8  # all different, so that a wrong transpose cannot pass
MASK = np.array([[True] * S, [True, True, False, True, False, False, False]])


def inputs(dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    params = additive_parameters(Q, K, A, rng, dtype)
    query, keys = rng.normal(size=(B, T, Q)), rng.normal(size=(B, S, K))
    return params, query.astype(dtype), keys.astype(dtype)


class Additive(nn.Module):
    """The score in torch, with the same names."""

    def __init__(self):
        super().__init__()
        self.query = nn.Linear(Q, A, bias=False)
        self.key = nn.Linear(K, A, bias=False)
        self.score = nn.Linear(A, 1, bias=False)

    def forward(self, query, keys):
        return self.score(torch.tanh(self.query(query)[:, :, None] + self.key(keys)[:, None]))[
            ..., 0
        ]


# ---- the score ---------------------------------------------------------------------------


def test_score_is_that_worked_out_by_hand():
    params = {
        "query.weight": np.array([[1.0, 0.0], [0.0, 2.0]]),
        "key.weight": np.array([[0.5], [-1.0]]),
        "score.weight": np.array([[2.0, -1.0]]),
    }
    query, keys = np.array([[[0.5, 0.25]]]), np.array([[[1.0], [0.0]]])
    scores, _ = additive_scores_forward(params, query, keys)
    # W s = (0.5, 0.5); U h = (0.5, -1) and (0, 0)
    truth = [2 * math.tanh(1.0) - math.tanh(-0.5), 2 * math.tanh(0.5) - math.tanh(0.5)]
    np.testing.assert_allclose(scores, [[truth]], rtol=1e-14)


def test_scores_and_gradients_match_torch():
    params, query, keys = inputs()
    dscores = np.random.default_rng(1).normal(size=(B, T, S))
    scores, cache = additive_scores_forward(params, query, keys)
    dquery, dkeys, grads = additive_scores_backward(dscores, cache)
    twin = Additive().double()
    twin.load_state_dict({name: torch.from_numpy(value) for name, value in params.items()})
    tensors = [torch.from_numpy(value).requires_grad_() for value in (query, keys)]
    truth = twin(*tensors)
    truth.backward(torch.from_numpy(dscores))
    np.testing.assert_allclose(scores, truth.detach().numpy(), rtol=1e-10)
    for mine, tensor in zip((dquery, dkeys), tensors, strict=True):
        assert tensor.grad is not None
        np.testing.assert_allclose(mine, tensor.grad.numpy(), rtol=1e-10, atol=1e-12)
    assert set(grads) == set(params)
    for name, parameter in twin.named_parameters():
        assert parameter.grad is not None
        np.testing.assert_allclose(
            grads[name], parameter.grad.numpy(), rtol=1e-10, atol=1e-12, err_msg=name
        )


def test_gradients_of_the_score_match_finite_differences():
    params, query, keys = inputs(seed=2)

    def forward(query, keys, **params):
        return additive_scores_forward(params, query, keys)

    check_backward(
        forward,
        additive_scores_backward,
        {"query": query, "keys": keys, **params},
        np.random.default_rng(3),
    )


def test_gradients_of_the_projection_match_finite_differences():
    params, _, keys = inputs(seed=4)
    weight = {"key.weight": params["key.weight"]}

    def forward(keys, **params):
        return project_keys_forward(params, keys)

    check_backward(
        forward, project_keys_backward, {"keys": keys, **weight}, np.random.default_rng(5)
    )


def test_gradients_of_the_comparison_match_finite_differences():
    params, query, keys = inputs(seed=6)
    projected, _ = project_keys_forward(params, keys)
    used = {name: params[name] for name in ("query.weight", "score.weight")}

    def forward(query, projected, **params):
        return compare_forward(params, query, projected)

    check_backward(
        forward,
        compare_backward,
        {"query": query, "projected": projected, **used},
        np.random.default_rng(7),
    )


def test_second_backward_of_the_score_gives_the_same_as_the_first():
    params, query, keys = inputs(seed=10)
    scores, cache = additive_scores_forward(params, query, keys)
    first, second = (additive_scores_backward(scores, cache) for _ in range(2))
    np.testing.assert_array_equal(second[0], first[0])
    np.testing.assert_array_equal(second[1], first[1])
    np.testing.assert_array_equal(second[2]["score.weight"], first[2]["score.weight"])


def test_steps_one_at_a_time_on_keys_projected_once_give_the_scores_of_all():
    params, query, keys = inputs(seed=8)
    scores, _ = additive_scores_forward(params, query, keys)
    projected, _ = project_keys_forward(params, keys)
    assert projected.shape == (B, S, A)
    steps = [compare_forward(params, query[:, t : t + 1], projected)[0] for t in range(T)]
    np.testing.assert_allclose(np.concatenate(steps, axis=1), scores, rtol=1e-12, atol=1e-14)


def test_large_states_give_scores_within_the_sum_of_the_vector():
    params, query, keys = inputs(seed=9)
    scores, cache = additive_scores_forward(params, 1e4 * query, 1e4 * keys)
    assert np.abs(scores).max() <= np.abs(params["score.weight"]).sum() + 1e-12
    dquery, _, _ = additive_scores_backward(np.ones_like(scores), cache)
    assert np.isfinite(dquery).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_of_the_score_is_kept(dtype):
    params, query, keys = inputs(dtype)
    scores, cache = additive_scores_forward(params, query, keys)
    dquery, dkeys, grads = additive_scores_backward(scores, cache)
    arrays = [*params.values(), scores, dquery, dkeys, *grads.values()]
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}


def test_parameters_begin_as_those_of_torch():
    params = additive_parameters(25, 100, 400, np.random.default_rng(0))
    shapes = {name: value.shape for name, value in params.items()}
    assert shapes == {
        "query.weight": (400, 25),
        "key.weight": (400, 100),
        "score.weight": (1, 400),
    }
    for name, limit in (("query.weight", 0.2), ("key.weight", 0.1), ("score.weight", 0.05)):
        assert 0.9 * limit < np.abs(params[name]).max() <= limit
        assert abs(params[name].mean()) < 0.1 * limit


def test_widths_of_one_are_enough():
    params = additive_parameters(1, 1, 1, np.random.default_rng(0))
    assert {value.shape for value in params.values()} == {(1, 1)}


@pytest.mark.parametrize("widths", [(0, 3, 3), (3, 0, 3), (3, 3, 0)])
def test_widths_of_nothing_are_refused(widths):
    with pytest.raises(ValueError, match=r"\b0\b|width"):
        additive_parameters(*widths, np.random.default_rng(0))


# ---- the context -------------------------------------------------------------------------


def pair(seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    scores, values = rng.normal(size=(B, T, S)), rng.normal(size=(B, S, D))
    return scores.astype(dtype), values.astype(dtype)


def test_context_is_the_average_worked_out_by_hand():
    scores = np.log(np.array([[[1.0, 3.0, 6.0]]]))  # weights 0.1, 0.3, 0.6
    values = np.array([[[10.0, 0.0], [0.0, 20.0], [5.0, 5.0]]])
    context, _ = attend_forward(scores, values)
    np.testing.assert_allclose(context, [[[4.0, 9.0]]], rtol=1e-14)
    # Without the last, the weights are 1/4 and 3/4.
    context, _ = attend_forward(scores, values, np.array([[True, True, False]]))
    np.testing.assert_allclose(context, [[[2.5, 15.0]]], rtol=1e-14)


@pytest.mark.parametrize("mask", [None, MASK])
def test_context_and_gradients_match_torch(mask):
    scores, values = pair()
    dcontext = np.random.default_rng(1).normal(size=(B, T, D))
    context, cache = attend_forward(scores, values, mask)
    dscores, dvalues = attend_backward(dcontext, cache)
    tensors = [torch.from_numpy(value).requires_grad_() for value in (scores, values)]
    hidden = tensors[0]
    if mask is not None:
        hidden = hidden.masked_fill(~torch.from_numpy(mask)[:, None], -math.inf)
    truth = torch.softmax(hidden, dim=-1) @ tensors[1]
    truth.backward(torch.from_numpy(dcontext))
    np.testing.assert_allclose(context, truth.detach().numpy(), rtol=1e-10)
    for mine, tensor in zip((dscores, dvalues), tensors, strict=True):
        assert tensor.grad is not None
        np.testing.assert_allclose(mine, tensor.grad.numpy(), rtol=1e-10, atol=1e-12)


def test_gradients_of_the_context_match_finite_differences():
    scores, values = pair(seed=2)

    def forward(scores, values):
        return attend_forward(scores, values, MASK)

    check_backward(
        forward, attend_backward, {"scores": scores, "values": values}, np.random.default_rng(3)
    )


def test_what_is_hidden_has_no_part_in_the_context():
    scores, values = pair(seed=4)
    context, _ = attend_forward(scores, values, MASK)
    hidden = ~MASK[1]
    scores[1][:, hidden], values[1, hidden] = 50.0, 99.0
    other, _ = attend_forward(scores, values, MASK)
    np.testing.assert_allclose(other, context, rtol=1e-14)


def test_row_without_anything_to_attend_to_reads_zeros():
    scores, values = pair(seed=5)
    mask = np.array([[True] * S, [False] * S])
    context, cache = attend_forward(scores, values, mask)
    np.testing.assert_array_equal(context[1], np.zeros((T, D)))
    assert np.all(context[0] != 0)
    dscores, dvalues = attend_backward(np.ones_like(context) + context, cache)
    np.testing.assert_array_equal(dscores[1], np.zeros((T, S)))
    np.testing.assert_array_equal(dvalues[1], np.zeros((S, D)))


def test_large_scores_choose_one_value():
    scores, values = pair(seed=6)
    context, cache = attend_forward(1e4 * scores, values)
    np.testing.assert_allclose(
        context, np.take_along_axis(values, scores.argmax(-1)[..., None], axis=1), rtol=1e-12
    )
    assert np.isfinite(attend_backward(context, cache)[0]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_of_the_context_is_kept(dtype):
    scores, values = pair(dtype=dtype)
    context, cache = attend_forward(scores, values, MASK)
    dscores, dvalues = attend_backward(context, cache)
    assert {array.dtype for array in (context, dscores, dvalues)} == {np.dtype(dtype)}
