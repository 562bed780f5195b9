"""Multi-head attention by hand, against torch.nn.MultiheadAttention and measured gradients."""

import math
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from torch.nn.functional import linear, scaled_dot_product_attention

from phase00.gradcheck import check_backward
from phase04.masks import causal_mask, combined, padding_mask
from phase04.multi_head import (
    merge_heads,
    multi_head_backward,
    multi_head_forward,
    multi_head_parameters,
    multi_head_self_backward,
    multi_head_self_forward,
    multi_head_weights,
    split_heads,
)

B, T, S, H, D = 2, 5, 7, 3, 4  # all different, so that a wrong transpose cannot pass
C = H * D
PADDED = np.arange(S) < np.array([7, 4])[:, None, None, None]
CAUSAL = np.tri(T, S, S - T, dtype=bool)
HOLES = np.random.default_rng(9).random((B, H, T, S)) < 0.5
HOLES[..., -1] = True  # nn.MultiheadAttention is compared where each position sees something
MASKS = {
    "none": None,
    "padding": PADDED,
    "causal": CAUSAL,
    "padding and causal": PADDED & CAUSAL,
    "by row": (PADDED & CAUSAL)[:, :, ::-1],
    "by head": HOLES,
}


def draw(dtype=np.float64, seed=0):
    """Parameters (biases too), x, memory and the gradient of the output."""
    rng = np.random.default_rng(seed)
    params = {
        "in_proj_weight": rng.normal(0, 0.5, (3 * C, C)),
        "in_proj_bias": rng.normal(0, 0.5, 3 * C),
        "out_proj.weight": rng.normal(0, 0.5, (C, C)),
        "out_proj.bias": rng.normal(0, 0.5, C),
    }
    arrays = [rng.normal(size=(B, n, C)).astype(dtype) for n in (T, S, T)]
    return {name: param.astype(dtype) for name, param in params.items()}, *arrays


def torch_results(params, x, memory, dy, mask, n_head=H):
    """Output and all gradients of torch's own layer; its boolean masks hide where they are True."""
    dtype = torch.tensor(x).dtype
    layer = torch.nn.MultiheadAttention(C, n_head, batch_first=True, dtype=dtype)
    layer.load_state_dict({name: torch.tensor(param) for name, param in params.items()})
    inputs = [torch.tensor(array, requires_grad=True) for array in (x, memory)]
    hides = None
    if mask is not None:
        shape = (len(x), n_head, x.shape[1], memory.shape[1])
        hides = torch.tensor(~np.broadcast_to(mask, shape)).flatten(0, 1)
    y, _ = layer(inputs[0], inputs[1], inputs[1], attn_mask=hides, need_weights=False)
    y.backward(torch.tensor(dy))
    found: dict[str, Any] = {"y": y, "dx": inputs[0].grad, "dmemory": inputs[1].grad}
    found |= {name: param.grad for name, param in layer.named_parameters()}
    return {name: tensor.detach().numpy() for name, tensor in found.items()}


def our_results(params, x, memory, dy, mask, n_head=H):
    y, cache = multi_head_forward(params, x, memory, mask, n_head)
    dx, dmemory, grads = multi_head_backward(dy, cache)
    return {"y": y, "dx": dx, "dmemory": dmemory, **grads}


def our_self_results(params, x, dy, mask, n_head=H):
    y, cache = multi_head_self_forward(params, x, mask, n_head)
    dx, grads = multi_head_self_backward(dy, cache)
    return {"y": y, "dx": dx, **grads}


def require_same(mine, truth, tolerance=1e-10):
    assert mine.keys() == truth.keys()
    for name, value in mine.items():
        np.testing.assert_allclose(value, truth[name], rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.fixture
def without_shape_checks():
    """As in a script: the annotations of shapes are not checked, the function's own words count."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


# ---- heads -------------------------------------------------------------------------------


def test_heads_are_neighbouring_columns():
    x = np.arange(24.0).reshape(1, 2, 12)
    heads = split_heads(x, 3)
    assert heads.shape == (1, 3, 2, 4)
    np.testing.assert_array_equal(heads[0, 1], [[4, 5, 6, 7], [16, 17, 18, 19]])
    np.testing.assert_array_equal(heads[0, 2, 1], [20, 21, 22, 23])


@pytest.mark.parametrize("n_head", [1, 2, 3, 12])
def test_merged_heads_are_the_width_again(n_head):
    _, x, _, _ = draw()
    heads = split_heads(x, n_head)
    assert heads.shape == (B, n_head, T, C // n_head)
    np.testing.assert_array_equal(merge_heads(heads), x)


@pytest.mark.parametrize("n_head", [0, 5, -3, 24])
def test_width_that_heads_cannot_share_is_refused(n_head):
    params, x, memory, _ = draw()
    with pytest.raises(ValueError, match=r"\b12\b"):
        split_heads(x, n_head)
    with pytest.raises(ValueError, match=r"\b12\b"):
        multi_head_forward(params, x, memory, None, n_head)


# ---- values by hand ----------------------------------------------------------------------


def test_two_heads_by_hand():
    """Head 0 takes from the key that is asked for, head 1 (asking nothing) the mean of all."""
    x = np.array([[[1.0, 1.0]]])
    memory = np.array([[[1.0, 10.0], [0.0, 20.0], [0.0, 60.0]]])
    eye = np.eye(2)
    params = {
        "in_proj_weight": np.concatenate([[[math.log(2), 0.0], [0.0, 0.0]], eye, 4 * eye]),
        "in_proj_bias": np.array([0.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
        "out_proj.weight": np.array([[0.0, 1.0], [1.0, 0.0]]),
        "out_proj.bias": np.array([100.0, 200.0]),
    }
    weights = multi_head_weights(params, x, memory, None, 2)
    np.testing.assert_allclose(weights[0, 0], [[0.5, 0.25, 0.25]], rtol=1e-14)
    np.testing.assert_allclose(weights[0, 1], [[1 / 3] * 3], rtol=1e-14)
    y, _ = multi_head_forward(params, x, memory, None, 2)
    # Head 0: 0.5 * 5 + 0.25 * 1 + 0.25 * 1; head 1: the mean of 40, 80 and 240; then swapped.
    np.testing.assert_allclose(y, [[[100 + 120.0, 200 + 3.0]]], rtol=1e-14)


# ---- torch's layer -----------------------------------------------------------------------


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_cross_attention_and_all_gradients_match_torch(mask):
    arguments = (*draw(), mask)
    require_same(our_results(*arguments), torch_results(*arguments))


@pytest.mark.parametrize("n_head", [1, 2, 12])
def test_other_numbers_of_heads_match_torch(n_head):
    arguments = (*draw(), PADDED & CAUSAL, n_head)
    require_same(our_results(*arguments), torch_results(*arguments))


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_self_attention_and_all_gradients_match_torch(mask):
    params, _, x, _ = draw()  # of S positions
    dy = np.random.default_rng(3).normal(size=x.shape)
    if mask is not None and mask.shape[-2] == T:
        mask = np.concatenate([mask, mask[..., :2, :]], axis=-2)  # (..., S, S)
        mask = mask | np.eye(S, dtype=bool)  # each position sees itself
    truth = torch_results(params, x, x, dy, mask)
    truth["dx"] = truth["dx"] + truth.pop("dmemory")
    require_same(our_self_results(params, x, dy, mask), truth)


def test_masks_of_the_journal_match_torchs_two_kinds():
    params, x, _, dy = draw()
    lengths = np.array([5, 3])
    mine = our_self_results(params, x, dy, combined(padding_mask(lengths, T), causal_mask(T)))
    layer = torch.nn.MultiheadAttention(C, H, batch_first=True, dtype=torch.float64)
    layer.load_state_dict({name: torch.tensor(param) for name, param in params.items()})
    tensor = torch.tensor(x)
    truth, weights = layer(
        tensor,
        tensor,
        tensor,
        key_padding_mask=torch.tensor(np.arange(T) >= lengths[:, None]),
        attn_mask=torch.ones(T, T, dtype=torch.bool).triu(1),
        average_attn_weights=False,
    )
    np.testing.assert_allclose(mine["y"], truth.detach().numpy(), rtol=1e-10, atol=1e-10)
    mask = combined(padding_mask(lengths, T), causal_mask(T))
    found = multi_head_weights(params, x, x, mask, H)
    np.testing.assert_allclose(found, weights.detach().numpy(), rtol=1e-10, atol=1e-12)


def test_rows_that_see_nothing_match_torchs_function():
    """Zeros as scaled_dot_product_attention has them; nn.MultiheadAttention may answer NaN."""
    params, x, memory, dy = draw()
    mask = np.array(HOLES)
    mask[0, :, 2] = mask[1, 1, 4] = False
    tensors = {name: torch.tensor(param, requires_grad=True) for name, param in params.items()}
    inputs = [torch.tensor(array, requires_grad=True) for array in (x, memory)]
    weights, biases = (tensors[f"in_proj_{kind}"].chunk(3) for kind in ("weight", "bias"))
    heads = [
        linear(source, weight, bias).unflatten(-1, (H, D)).transpose(1, 2)
        for source, weight, bias in zip(
            (inputs[0], inputs[1], inputs[1]), weights, biases, strict=True
        )
    ]
    y = scaled_dot_product_attention(*heads, attn_mask=torch.tensor(mask))
    y = linear(y.transpose(1, 2).flatten(2), tensors["out_proj.weight"], tensors["out_proj.bias"])
    y.backward(torch.tensor(dy))
    found: dict[str, Any] = {"y": y, "dx": inputs[0].grad, "dmemory": inputs[1].grad}
    found |= {name: tensor.grad for name, tensor in tensors.items()}
    mine = our_results(params, x, memory, dy, mask)
    require_same(mine, {name: tensor.detach().numpy() for name, tensor in found.items()})
    np.testing.assert_allclose(mine["y"][0, 2], params["out_proj.bias"], rtol=1e-14)


def test_float32_is_kept_and_matches_torch_in_five_digits():
    arguments = (*draw(np.float32), PADDED & CAUSAL)
    mine = our_results(*arguments)
    assert {array.dtype for array in mine.values()} == {np.dtype(np.float32)}
    require_same(mine, torch_results(*arguments), tolerance=2e-5)
    params, x, memory, dy = draw(np.float32)
    own = our_self_results(params, x, dy, None)
    assert {array.dtype for array in own.values()} == {np.dtype(np.float32)}
    assert multi_head_weights(params, x, memory, CAUSAL, H).dtype == np.float32


# ---- what must hold ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["none", "padding and causal", "by head"])
def test_gradients_of_cross_attention_are_those_measured(name):
    params, x, memory, _ = draw()

    def forward(x, memory, **params):
        return multi_head_forward(dotted(params), x, memory, MASKS[name], H)

    def backward(dy, cache):
        dx, dmemory, grads = multi_head_backward(dy, cache)
        return {"x": dx, "memory": dmemory, **underscored(grads)}

    inputs = {"x": x, "memory": memory, **underscored(params)}
    check_backward(forward, backward, inputs, np.random.default_rng(1))


def test_gradients_of_self_attention_are_those_measured():
    params, x, _, _ = draw()
    mask = np.tri(T, dtype=bool)

    def forward(x, **params):
        return multi_head_self_forward(dotted(params), x, mask, H)

    def backward(dy, cache):
        dx, grads = multi_head_self_backward(dy, cache)
        return {"x": dx, **underscored(grads)}

    check_backward(forward, backward, {"x": x, **underscored(params)}, np.random.default_rng(1))


def underscored(params):
    return {name.replace("out_proj.", "out_proj_"): param for name, param in params.items()}


def dotted(params):
    return {name.replace("out_proj_", "out_proj."): param for name, param in params.items()}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_weights_sum_to_one_and_nothing_is_on_what_is_hidden(mask):
    params, x, memory, _ = draw()
    weights = multi_head_weights(params, x, memory, mask, H)
    assert weights.shape == (B, H, T, S)
    np.testing.assert_allclose(weights.sum(axis=-1), np.ones((B, H, T)), rtol=1e-12)
    if mask is not None:
        np.testing.assert_array_equal(weights[~np.broadcast_to(mask, weights.shape)], 0)


def test_outputs_are_the_mixtures_that_the_weights_say():
    params, x, memory, _ = draw()
    mask = MASKS["by head"]
    weights = multi_head_weights(params, x, memory, mask, H)
    value = memory @ params["in_proj_weight"][2 * C :].T + params["in_proj_bias"][2 * C :]
    heads = np.einsum("bhts,bshd->bthd", weights, value.reshape(B, S, H, D)).reshape(B, T, C)
    truth = heads @ params["out_proj.weight"].T + params["out_proj.bias"]
    y, _ = multi_head_forward(params, x, memory, mask, H)
    np.testing.assert_allclose(y, truth, rtol=1e-11, atol=1e-12)


def test_a_later_position_changes_no_earlier_output():
    params, x, _, _ = draw()
    mask = causal_mask(T)
    before, _ = multi_head_self_forward(params, x, mask, H)
    for t in range(1, T):
        moved = x + 2.0 * (np.arange(T) >= t)[:, None]
        after, _ = multi_head_self_forward(params, moved, mask, H)
        np.testing.assert_allclose(after[:, :t], before[:, :t], rtol=1e-12, atol=1e-13)
        assert np.abs(after[:, t:] - before[:, t:]).max(axis=-1).min() > 1e-6


def test_what_fills_up_a_row_changes_nothing():
    params, x, memory, _ = draw()
    before, _ = multi_head_forward(params, x, memory, PADDED, H)
    moved = np.where(PADDED[:, 0, 0, :, None], memory, 7.0)
    after, _ = multi_head_forward(params, x, moved, PADDED, H)
    np.testing.assert_allclose(after, before, rtol=1e-12, atol=1e-13)


def test_one_position_of_memory_gives_its_value_to_all():
    params, x, memory, dy = draw()
    mine = our_results(params, x, memory[:, :1], dy, None)
    require_same(mine, torch_results(params, x, memory[:, :1], dy, None))
    np.testing.assert_allclose(mine["y"][:, 1:], mine["y"][:, :-1], rtol=1e-12)
    np.testing.assert_allclose(mine["dx"], np.zeros_like(x), atol=1e-12)


def test_one_position_of_a_sequence_matches_torch():
    params, x, _, dy = draw()
    mine = our_self_results(params, x[:, :1], dy[:, :1], causal_mask(1))
    truth = torch_results(params, x[:, :1], x[:, :1], dy[:, :1], None)
    truth["dx"] = truth["dx"] + truth.pop("dmemory")
    require_same(mine, truth)


def test_arguments_are_left_unchanged_and_backward_can_be_called_twice():
    params, x, memory, dy = draw()
    mask = HOLES.copy()
    arrays = [x, memory, dy, mask, *params.values()]
    before = [array.copy() for array in arrays]
    y, cache = multi_head_forward(params, x, memory, mask, H)
    _, own_cache = multi_head_self_forward(params, x, None, H)
    kept = y.copy()
    first = [
        results(multi_head_backward(dy, cache)),
        results(multi_head_self_backward(dy, own_cache)),
    ]
    second = [
        results(multi_head_backward(dy, cache)),
        results(multi_head_self_backward(dy, own_cache)),
    ]
    for array, copy in zip([*arrays, y], [*before, kept], strict=True):
        np.testing.assert_array_equal(array, copy)
    for after, once in zip(second, first, strict=True):
        require_same(after, once, tolerance=0)


def results(returned):
    *gradients, grads = returned
    named = dict(enumerate(gradients)) | grads
    return {name: array.copy() for name, array in named.items()}


def test_parameters_begin_as_torchs_do():
    params = multi_head_parameters(96, np.random.default_rng(0))
    layer = torch.nn.MultiheadAttention(96, 3)
    truth = {name: param.detach().numpy() for name, param in layer.named_parameters()}
    assert params.keys() == truth.keys()
    for name, param in params.items():
        assert param.shape == truth[name].shape
        assert param.dtype == np.float32
        assert np.std(param) == pytest.approx(np.std(truth[name]), rel=0.03)
        assert np.abs(param).max() == pytest.approx(np.abs(truth[name]).max(), rel=0.01)
    again = multi_head_parameters(96, np.random.default_rng(0))
    np.testing.assert_array_equal(again["in_proj_weight"], params["in_proj_weight"])
    double = multi_head_parameters(96, np.random.default_rng(0), np.float64)
    assert {param.dtype for param in double.values()} == {np.dtype(np.float64)}


def test_width_below_one_is_refused():
    with pytest.raises(ValueError, match="0"):
        multi_head_parameters(0, np.random.default_rng(0))


@pytest.mark.usefixtures("without_shape_checks")
def test_shapes_that_do_not_fit_are_refused():
    params, x, memory, _ = draw()
    with pytest.raises(ValueError, match=r"."):
        multi_head_forward(params, x[:1], memory, None, H)
    with pytest.raises(ValueError, match=r"."):
        multi_head_forward(params, x, memory[:, :, 1:], None, H)
    with pytest.raises(ValueError, match=r"."):
        multi_head_forward(params, x, memory, np.ones((S, T), dtype=bool), H)
