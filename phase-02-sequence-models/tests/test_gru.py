"""The GRU against hand-worked values, torch and finite differences."""

import contextlib
import math
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from phase00.gradcheck import check_backward
from phase02.gru import gru_backward, gru_forward, gru_parameters

B, T, D, H = 3, 5, 4, 6  # all different, so that a wrong transpose cannot pass
STATES = ("h",)
LENGTHS = [3, 5, 1]
RAGGED = np.arange(T) < np.array(LENGTHS)[:, np.newaxis]  # (B, T): the sequences end early
HOLES = np.array([[1, 0, 1, 1, 0], [0, 0, 1, 0, 1], [1, 1, 1, 1, 1]], dtype=bool)  # anywhere


def draw(dtype=np.float64, seed=0):
    """Parameters, an input and first states with values that all matter."""
    rng = np.random.default_rng(seed)
    shapes = {
        "weight_ih_l0": (3 * H, D),
        "weight_hh_l0": (3 * H, H),
        "bias_ih_l0": (3 * H,),
        "bias_hh_l0": (3 * H,),
    }
    params = {name: rng.normal(0, 0.6, shape).astype(dtype) for name, shape in shapes.items()}
    x = rng.normal(size=(B, T, D)).astype(dtype)
    states = [rng.normal(0, 0.7, (B, H)).astype(dtype) for _ in STATES]
    return params, x, states


def draw_gradients(dtype=np.float64, seed=1):
    """Gradients of the outputs and of the last states."""
    rng = np.random.default_rng(seed)
    dy = rng.normal(size=(B, T, H)).astype(dtype)
    return dy, [rng.normal(size=(B, H)).astype(dtype) for _ in STATES]


def torch_results(params, x, states, dy, dlast, lengths=None):
    """Outputs, last states and all gradients of torch's own layer, by name."""
    layer = torch.nn.GRU(D, H, batch_first=True, dtype=torch.from_numpy(x).dtype)
    layer.load_state_dict({name: torch.from_numpy(value) for name, value in params.items()})
    inputs = torch.from_numpy(x.copy()).requires_grad_()
    first = [torch.from_numpy(state.copy()).requires_grad_() for state in states]
    packed = inputs
    if lengths is not None:
        packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
    y, *last = layer(packed, first[0][None])
    if lengths is not None:
        y, _ = pad_packed_sequence(y, batch_first=True, total_length=T)
    loss = (y * torch.from_numpy(dy)).sum()
    for state, gradient in zip(last, dlast, strict=True):
        loss = loss + (state[0] * torch.from_numpy(gradient)).sum()
    loss.backward()
    found: dict[str, Any] = {"y": y, "dx": inputs.grad}
    found |= {name: state[0] for name, state in zip(STATES, last, strict=True)}
    found |= {f"d{name}0": state.grad for name, state in zip(STATES, first, strict=True)}
    found |= {f"d{name}": value.grad for name, value in layer.named_parameters()}
    return {name: value.detach().numpy() for name, value in found.items()}


def our_results(params, x, states, dy, dlast, mask=None):
    """The same of the module."""
    y, last, cache = forward(params, x, states, mask)
    dx, dstates, grads = backward(dy, dlast, cache)
    found = {"y": y, "dx": dx, **dict(zip(STATES, last, strict=True))}
    found |= {f"d{name}0": gradient for name, gradient in zip(STATES, dstates, strict=True)}
    return found | {f"d{name}": gradient for name, gradient in grads.items()}


def forward(params, x, states, mask=None):
    """The module's forward with its states in a list."""
    (y, last), cache = gru_forward(params, x, *states, mask=mask)
    return y, [last], cache


def backward(dy, dlast, cache):
    """The module's backward with its states in a list."""
    dx, *dstates, grads = gru_backward(dy, dlast[0], cache)
    return dx, dstates, grads


def require_same(mine, truth, **tolerance):
    assert mine.keys() == truth.keys()
    for name, value in mine.items():
        np.testing.assert_allclose(value, truth[name], **tolerance, err_msg=name)


def test_gru_has_the_states_worked_out_by_hand():
    # r = 0.3 and z = 0.8 whatever comes in; the candidate sees the input and the state.
    params = {
        "weight_ih_l0": np.array([[0.0], [0.0], [2.0]]),
        "weight_hh_l0": np.array([[0.0], [0.0], [-1.5]]),
        "bias_ih_l0": np.array([math.log(3 / 7), math.log(8 / 2), 0.25]),
        "bias_hh_l0": np.array([0.0, 0.0, 0.5]),
    }
    (y, h), _ = gru_forward(params, np.array([[[0.5], [-1.0]]]), np.array([[0.4]]))
    # The bias b_hn stands inside the bracket that the reset gate multiplies.
    candidate = math.tanh(2.0 * 0.5 + 0.25 + 0.3 * (-1.5 * 0.4 + 0.5))
    first = 0.2 * candidate + 0.8 * 0.4
    candidate = math.tanh(2.0 * -1.0 + 0.25 + 0.3 * (-1.5 * first + 0.5))
    second = 0.2 * candidate + 0.8 * first
    np.testing.assert_allclose(y[0, :, 0], [first, second], rtol=1e-14)
    np.testing.assert_allclose(h, [[second]], rtol=1e-14)


def test_gru_resets_after_the_matrix_and_not_before():
    # With r = (1, 0) and a matrix that swaps the two units, Cho's form would read unit 0 into
    # unit 1; torch's reads unit 1 into unit 0.
    huge = 60.0
    params = {
        "weight_ih_l0": np.zeros((6, 1)),
        "weight_hh_l0": np.concatenate([np.zeros((4, 2)), np.array([[0.0, 1.0], [1.0, 0.0]])]),
        "bias_ih_l0": np.array([huge, -huge, -huge, -huge, 0.0, 0.0]),
        "bias_hh_l0": np.zeros(6),
    }
    (_, h), _ = gru_forward(params, np.zeros((1, 1, 1)), np.array([[0.3, 0.7]]))
    np.testing.assert_allclose(h, [[math.tanh(0.7), 0.0]], atol=1e-15)


def test_gru_biases_of_the_candidate_have_different_gradients():
    params, x, states = draw()
    _, _, cache = forward(params, x, states)
    _, _, grads = backward(*draw_gradients(), cache)
    difference = grads["bias_hh_l0"] - grads["bias_ih_l0"]
    np.testing.assert_array_equal(difference[: 2 * H], np.zeros(2 * H))
    assert np.all(np.abs(difference[2 * H :]) > 1e-3)


# ---- against torch -----------------------------------------------------------------------


def test_gru_outputs_and_all_gradients_match_torch_in_float64():
    arguments = (*draw(), *draw_gradients())
    require_same(our_results(*arguments), torch_results(*arguments), rtol=1e-10, atol=1e-10)


def test_gru_outputs_and_all_gradients_match_torch_in_float32():
    arguments = (*draw(np.float32), *draw_gradients(np.float32))
    require_same(our_results(*arguments), torch_results(*arguments), rtol=2e-5, atol=1e-5)


def test_gru_with_a_mask_matches_torch_on_packed_sequences():
    arguments = (*draw(seed=2), *draw_gradients(seed=3))
    truth = torch_results(*arguments, lengths=LENGTHS)
    require_same(our_results(*arguments, mask=RAGGED), truth, rtol=1e-10, atol=1e-10)


def test_gru_parameters_are_those_of_torch():
    mine = gru_parameters(D, H, np.random.default_rng(0))
    truth = torch.nn.GRU(D, H).state_dict()
    assert {name: value.shape for name, value in mine.items()} == {
        name: tuple(value.shape) for name, value in truth.items()
    }


# ---- gradients ---------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [None, RAGGED, HOLES], ids=["no mask", "ragged", "holes"])
def test_gru_gradients_match_finite_differences(mask):
    params, x, states = draw(seed=4)
    names = [f"{name}0" for name in STATES]

    def flat_forward(x, **rest):
        cell = {name: rest[name] for name in params}
        y, last, cache = forward(cell, x, [rest[name] for name in names], mask)
        return (y, *last), cache

    def flat_backward(dy, cache):
        dx, dstates, grads = backward(dy[0], dy[1:], cache)
        return dx, dict(zip(names, dstates, strict=True)), grads

    inputs = {"x": x, **dict(zip(names, states, strict=True)), **params}
    check_backward(flat_forward, flat_backward, inputs, np.random.default_rng(5))


def test_gru_gradient_left_out_counts_as_zero():
    params, x, states = draw()
    dy, dlast = draw_gradients()
    _, _, cache = forward(params, x, states)
    zeros = [np.zeros((B, H)) for _ in STATES]
    mine, truth = gru_backward(dy, None, cache), backward(dy, zeros, cache)
    np.testing.assert_array_equal(mine[0], truth[0])
    require_same(mine[-1], truth[2])
    mine = gru_backward(None, dlast[0], cache)
    truth = backward(np.zeros((B, T, H)), dlast, cache)
    np.testing.assert_array_equal(mine[0], truth[0])
    require_same(mine[-1], truth[2])


def test_gru_biases_have_gradients_of_their_own():
    # One array under two names would be clipped twice by whoever scales gradients in place.
    params, x, states = draw()
    _, _, cache = forward(params, x, states)
    _, _, grads = backward(*draw_gradients(), cache)
    assert not np.shares_memory(grads["bias_ih_l0"], grads["bias_hh_l0"])


def test_gru_backward_may_be_repeated():
    params, x, states = draw()
    dy, dlast = draw_gradients()
    _, _, cache = forward(params, x, states, HOLES)
    once, again = backward(dy, dlast, cache), backward(dy, dlast, cache)
    np.testing.assert_array_equal(once[0], again[0])
    require_same(once[2], again[2])


# ---- states and time ---------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 2, 4])
def test_gru_in_two_chunks_is_the_same_as_in_one(cut):
    params, x, states = draw()
    dy, dlast = draw_gradients()
    y, last, cache = forward(params, x, states, HOLES)
    dx, dstates, grads = backward(dy, dlast, cache)

    y1, middle, cache1 = forward(params, x[:, :cut], states, HOLES[:, :cut])
    y2, after, cache2 = forward(params, x[:, cut:], middle, HOLES[:, cut:])
    np.testing.assert_allclose(np.concatenate([y1, y2], axis=1), y, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(np.stack(after), np.stack(last), rtol=1e-12, atol=1e-14)

    dx2, dmiddle, grads2 = backward(dy[:, cut:], dlast, cache2)
    dx1, dfirst, grads1 = backward(dy[:, :cut], dmiddle, cache1)
    np.testing.assert_allclose(np.concatenate([dx1, dx2], axis=1), dx, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(np.stack(dfirst), np.stack(dstates), rtol=1e-10, atol=1e-13)
    both = {name: grads1[name] + grads2[name] for name in grads}
    require_same(both, grads, rtol=1e-10, atol=1e-13)


def test_gru_output_knows_nothing_of_later_inputs():
    params, x, states = draw()
    y, _, _ = forward(params, x, states)
    x[:, 3:] += 1.0
    changed, _, _ = forward(params, x, states)
    np.testing.assert_array_equal(changed[:, :3], y[:, :3])
    assert np.all(changed[:, 3:] != y[:, 3:])


def test_gru_last_output_is_the_last_hidden_state():
    params, x, states = draw()
    y, last, _ = forward(params, x, states)
    np.testing.assert_array_equal(y[:, -1], last[0])


def test_gru_rows_of_a_batch_do_not_meet():
    params, x, states = draw()
    y, _, _ = forward(params, x, states)
    alone, _, _ = forward(params, x[1:2], [state[1:2] for state in states])
    np.testing.assert_allclose(alone[0], y[1], rtol=1e-12, atol=1e-14)


def test_gru_of_no_steps_returns_the_states_and_no_gradient():
    params, x, states = draw()
    dy, dlast = draw_gradients()
    y, last, cache = forward(params, x[:, :0], states)
    dx, dstates, grads = backward(dy[:, :0], dlast, cache)
    assert (y.shape, dx.shape) == ((B, 0, H), (B, 0, D))
    np.testing.assert_array_equal(np.stack(last), np.stack(states))
    np.testing.assert_array_equal(np.stack(dstates), np.stack(dlast))
    require_same(grads, {name: np.zeros_like(value) for name, value in params.items()})


# ---- masks -------------------------------------------------------------------------------


def test_gru_skips_what_the_mask_leaves_out():
    params, x, states = draw()
    y, last, _ = forward(params, x, states, HOLES)
    for row, counts in enumerate(HOLES):
        alone = [state[row : row + 1] for state in states]
        short, short_last, _ = forward(params, x[row : row + 1, counts], alone)
        np.testing.assert_allclose(y[row, counts], short[0], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(
            np.stack(last)[:, row], np.stack(short_last)[:, 0], rtol=1e-12, atol=1e-14
        )


def test_gru_output_and_gradient_are_zero_where_the_mask_leaves_out():
    params, x, states = draw()
    y, _, cache = forward(params, x, states, HOLES)
    dx, _, _ = backward(*draw_gradients(), cache)
    np.testing.assert_array_equal(y[~HOLES], np.zeros(((~HOLES).sum(), H)))
    np.testing.assert_array_equal(dx[~HOLES], np.zeros(((~HOLES).sum(), D)))


def test_gru_gradient_of_a_masked_output_changes_nothing():
    params, x, states = draw()
    dy, dlast = draw_gradients()
    _, _, cache = forward(params, x, states, HOLES)
    _, dstates, grads = backward(dy, dlast, cache)
    _, other_dstates, other = backward(np.where(HOLES[..., None], dy, 7.0), dlast, cache)
    np.testing.assert_array_equal(other_dstates[0], dstates[0])
    require_same(other, grads)


def test_gru_row_without_any_position_keeps_its_state():
    params, x, states = draw()
    mask = RAGGED.copy()
    mask[1] = False
    dy, dlast = draw_gradients()
    _, last, cache = forward(params, x, states, mask)
    _, dstates, _ = backward(dy, dlast, cache)
    np.testing.assert_array_equal(np.stack(last)[:, 1], np.stack(states)[:, 1])
    np.testing.assert_array_equal(np.stack(dstates)[:, 1], np.stack(dlast)[:, 1])


def test_gru_mask_that_leaves_nothing_out_changes_nothing():
    arguments = (*draw(), *draw_gradients())
    masked = our_results(*arguments, mask=np.ones((B, T), dtype=bool))
    require_same(masked, our_results(*arguments), rtol=1e-12, atol=1e-14)


# ---- arrays ------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [None, RAGGED])
def test_gru_keeps_float32(mask):
    arguments = (*draw(np.float32), *draw_gradients(np.float32))
    found = our_results(*arguments, mask=mask)
    assert {name: value.dtype for name, value in found.items()} == dict.fromkeys(
        found, np.dtype(np.float32)
    )


def test_gru_changes_no_argument():
    params, x, states = draw()
    dy, dlast = draw_gradients()
    mask = HOLES.copy()
    arguments = [*params.values(), x, *states, dy, *dlast, mask]
    before = [argument.copy() for argument in arguments]
    our_results(params, x, states, dy, dlast, mask)
    for argument, copy in zip(arguments, before, strict=True):
        np.testing.assert_array_equal(argument, copy)


def test_gru_last_state_is_no_view_of_the_outputs():
    # A state that is carried on must not hold the memory of all steps before.
    params, x, states = draw()
    y, last, _ = forward(params, x, states)
    assert not np.shares_memory(last[0], y)
    held = last[0] if last[0].base is None else last[0].base
    assert held.nbytes < y.nbytes


def test_gru_gradients_do_not_suffer_from_what_is_done_with_the_output():
    params, x, states = draw()
    y, _, cache = forward(params, x, states)
    _, _, grads = backward(*draw_gradients(), cache)
    with contextlib.suppress(ValueError):  # refusing is as good as a copy
        y *= 0.0
    _, _, after = backward(*draw_gradients(), cache)
    require_same(after, grads)


def test_gru_of_huge_inputs_saturates_without_a_warning():
    params, x, states = draw(np.float32)
    with np.errstate(all="raise", under="ignore"):
        y, _, cache = forward(params, 1e4 * x, states)
        dx, _, _ = backward(*draw_gradients(np.float32), cache)
    assert np.isfinite(y).all()
    assert np.isfinite(dx).all()


# ---- parameters --------------------------------------------------------------------------


def test_gru_parameters_fill_the_range_of_torch_evenly():
    params = gru_parameters(50, 25, np.random.default_rng(0), np.float64)
    for name in ("weight_ih_l0", "weight_hh_l0"):
        values = params[name]
        assert np.abs(values).max() <= 1 / 5
        assert np.abs(values).max() == pytest.approx(1 / 5, rel=0.02)
        assert values.std() == pytest.approx(1 / 5 / math.sqrt(3), rel=0.05)
    for name in ("bias_ih_l0", "bias_hh_l0"):
        assert np.abs(params[name]).max() <= 1 / 5
        assert params[name].std() > 0.05


def test_gru_parameters_are_the_same_for_the_same_seed_in_either_dtype():
    single = gru_parameters(D, H, np.random.default_rng(3))
    double = gru_parameters(D, H, np.random.default_rng(3), np.float64)
    assert {value.dtype for value in single.values()} == {np.dtype(np.float32)}
    require_same(single, double, rtol=1e-6)
    assert {value.dtype for value in double.values()} == {np.dtype(np.float64)}


@pytest.mark.parametrize(("d_input", "d_hidden"), [(0, 3), (3, 0)])
def test_gru_parameters_refuse_a_width_of_nothing(d_input, d_hidden):
    with pytest.raises(ValueError, match=r"\b0\b|d_input|d_hidden|width"):
        gru_parameters(d_input, d_hidden, np.random.default_rng(0))


# ---- what is refused ---------------------------------------------------------------------


@pytest.fixture
def as_in_use(monkeypatch):
    """Without the shape checks that the tests wrap around each function."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def both(one, other):
    """Matches a message that names the two, in either order and in any words."""
    return rf"(?:{one}).*(?:{other})|(?:{other}).*(?:{one})"


ROWS = 3 * H
WRONG = {
    "input": (rf"\b{T}, {D}\b", lambda params, x, states: (params, x[0], states, None)),
    "width": (
        both(rf", {D}\b", r", 3\b"),
        lambda params, x, states: (params, x[..., :3], states, None),
    ),
    "state": (
        both(rf"\b1, {H}\b", rf"\b{B}, (?:{H}|{T}, {D})\b"),
        lambda params, x, states: (params, x, [states[0][:1], *states[1:]], None),
    ),
    "mask": (
        both(rf"\b{T}, {B}\b", rf"\b{B}, {T}\b"),
        lambda params, x, states: (params, x, states, RAGGED.T),
    ),
    "mask of integers": (
        "bool",
        lambda params, x, states: (params, x, states, RAGGED.astype(int)),
    ),
    "missing": (
        "bias_hh_l0",
        lambda params, x, states: (
            {name: params[name] for name in list(params)[:3]},
            x,
            states,
            None,
        ),
    ),
    "bias": (
        both(r"\(1,\)", rf"\b{ROWS},"),
        lambda params, x, states: (
            {**params, "bias_ih_l0": params["bias_ih_l0"][:1]},
            x,
            states,
            None,
        ),
    ),
    "weight": (
        both(rf"\b{ROWS - 1}, {H}\b", rf"\b{ROWS},"),
        lambda params, x, states: (
            {**params, "weight_hh_l0": params["weight_hh_l0"][:-1]},
            x,
            states,
            None,
        ),
    ),
}


@pytest.mark.usefixtures("as_in_use")
@pytest.mark.parametrize("wrong", WRONG)
def test_gru_refuses_what_does_not_fit(wrong):
    message, make_wrong = WRONG[wrong]
    with pytest.raises(ValueError, match=message):
        forward(*make_wrong(*draw()))


@pytest.mark.usefixtures("as_in_use")
def test_gru_backward_refuses_a_gradient_of_another_shape():
    _, _, cache = forward(*draw())
    dy, dlast = draw_gradients()
    with pytest.raises(ValueError, match=both(f"{B}, {T - 1}, {H}", f"{B}, {T}, {H}")):
        backward(dy[:, :-1], dlast, cache)
