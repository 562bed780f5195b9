"""Optimizers against values worked out by hand and against torch.optim, over 20 steps."""

import math

import numpy as np
import pytest
import torch

from phase01.optimizers import SGD, Adam, AdamW, Optimizer, clip_gradients, gradient_norm

SHAPES = {"layers.0.weight": (3, 4), "layers.0.bias": (3,), "filters": (2, 3, 1, 2), "scale": (1,)}

# Ours, with its options, and torch's, with the same.
PAIRS = [
    (SGD, {}, torch.optim.SGD, {}),
    (SGD, {"weight_decay": 0.3}, torch.optim.SGD, {"weight_decay": 0.3}),
    (SGD, {"momentum": 0.9}, torch.optim.SGD, {"momentum": 0.9}),
    (
        SGD,
        {"momentum": 0.7, "weight_decay": 0.2},
        torch.optim.SGD,
        {"momentum": 0.7, "weight_decay": 0.2},
    ),
    (Adam, {}, torch.optim.Adam, {}),
    (Adam, {"weight_decay": 0.3}, torch.optim.Adam, {"weight_decay": 0.3}),
    (
        Adam,
        {"betas": (0.6, 0.8), "epsilon": 0.1},
        torch.optim.Adam,
        {"betas": (0.6, 0.8), "eps": 0.1},
    ),
    (AdamW, {}, torch.optim.AdamW, {}),
    (AdamW, {"weight_decay": 0.3}, torch.optim.AdamW, {"weight_decay": 0.3}),
    (
        AdamW,
        {"betas": (0.6, 0.8), "epsilon": 0.1, "weight_decay": 0.0},
        torch.optim.AdamW,
        {"betas": (0.6, 0.8), "eps": 0.1, "weight_decay": 0.0},
    ),
]
NAMES = [
    f"{ours.__name__}-{'-'.join(map(str, options)) or 'defaults'}" for ours, options, _, _ in PAIRS
]
EACH = pytest.mark.parametrize("make", [SGD, Adam, AdamW])


def start(dtype=np.float64, seed=3):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(dtype) for name, shape in SHAPES.items()}


def one(value):
    return {"w": np.array([float(value)])}


def twenty_steps(pair, dtype, rates):
    """Ours and torch's parameters after each step on the same problem, a curved one with noise."""
    ours, options, theirs, torch_options = pair
    params = start(dtype)
    tensors = {name: torch.tensor(param, requires_grad=True) for name, param in params.items()}
    optimizer = ours(params, rates[0], **options)
    reference = theirs(tensors.values(), lr=rates[0], **torch_options)
    for step, rate in enumerate(rates):
        noise = start(dtype, seed=100 + step)
        grads = {name: 0.5 * param**3 + noise[name] for name, param in params.items()}
        optimizer.learning_rate = rate
        optimizer.step(grads)
        for name, tensor in tensors.items():
            tensor.grad = 0.5 * tensor.detach() ** 3 + torch.tensor(noise[name])
        reference.param_groups[0]["lr"] = rate
        reference.step()
        yield params, {name: tensor.detach().numpy() for name, tensor in tensors.items()}


@pytest.mark.parametrize("pair", PAIRS, ids=NAMES)
def test_twenty_steps_are_those_of_torch(pair):
    for mine, truth in twenty_steps(pair, np.float64, [0.05] * 20):
        for name in SHAPES:
            np.testing.assert_allclose(mine[name], truth[name], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("pair", PAIRS, ids=NAMES)
def test_twenty_steps_under_a_schedule_are_those_of_torch(pair):
    rates = [0.1 * (step + 1) / 5 if step < 5 else 0.1 * 0.8 ** (step - 5) for step in range(20)]
    for mine, truth in twenty_steps(pair, np.float64, rates):
        for name in SHAPES:
            np.testing.assert_allclose(mine[name], truth[name], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("pair", PAIRS, ids=NAMES)
def test_float32_stays_float32_and_near_torch(pair):
    for mine, truth in twenty_steps(pair, np.float32, [0.05] * 20):
        for name in SHAPES:
            assert mine[name].dtype == np.float32
            np.testing.assert_allclose(mine[name], truth[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(Adam, torch.optim.Adam), (AdamW, torch.optim.AdamW)],
    ids=["Adam", "AdamW"],
)
def test_learning_rate_that_is_not_given_is_that_of_torch(ours, theirs):
    params, tensor = one(2.0), torch.tensor([2.0], dtype=torch.float64)
    tensor.grad = torch.tensor([0.5], dtype=torch.float64)
    ours(params).step({"w": np.array([0.5])})
    theirs([tensor]).step()
    np.testing.assert_allclose(params["w"], tensor.numpy(), rtol=1e-12)


# ---- by hand -----------------------------------------------------------------------------


def test_sgd_goes_against_the_gradient_by_the_learning_rate():
    params = one(1.0)
    SGD(params, 0.1).step(one(2.0))
    np.testing.assert_allclose(params["w"], [0.8])


def test_decay_of_sgd_is_part_of_the_gradient():
    params = one(3.0)
    SGD(params, 0.1, weight_decay=0.5).step(one(2.0))
    np.testing.assert_allclose(params["w"], [3 - 0.1 * (2 + 0.5 * 3)])


def test_momentum_adds_a_share_of_the_last_step():
    params = one(1.0)
    optimizer = SGD(params, 0.1, momentum=0.5)
    optimizer.step(one(2.0))
    np.testing.assert_allclose(params["w"], [0.8])  # u = 2, not (1 - 0.5) 2
    optimizer.step(one(4.0))
    np.testing.assert_allclose(params["w"], [0.3])  # u = 0.5 * 2 + 4


def test_momentum_goes_on_where_the_gradient_is_zero():
    params = one(0.0)
    optimizer = SGD(params, 1.0, momentum=0.5)
    optimizer.step(one(-8.0))
    path = []
    for _ in range(3):
        optimizer.step(one(0.0))
        path.append(params["w"].item())
    assert path == [12.0, 14.0, 15.0]


@pytest.mark.parametrize("make", [Adam, AdamW])
@pytest.mark.parametrize("gradient", [1e-3, 5.0, -7e4])
def test_first_step_of_adam_is_the_learning_rate_whatever_the_gradient(make, gradient):
    params = one(0.0)
    make(params, 0.01, weight_decay=0.0).step(one(gradient))
    np.testing.assert_allclose(params["w"], [-math.copysign(0.01, gradient)], rtol=2e-5)


def test_second_step_of_adam_is_the_value_worked_out_by_hand():
    params = one(1.0)
    optimizer = Adam(params, 0.1, betas=(0.5, 0.75), epsilon=0.5)
    optimizer.step(one(2.0))
    # m = 1, v = 1; mhat = 1 / 0.5 = 2, vhat = 1 / 0.25 = 4: 2 / (2 + 0.5)
    np.testing.assert_allclose(params["w"], [0.92])
    optimizer.step(one(-4.0))
    # m = 0.5 - 2 = -1.5, mhat = -1.5 / 0.75 = -2; v = 0.75 + 4 = 4.75, vhat = 4.75 / 0.4375
    np.testing.assert_allclose(params["w"], [0.92 + 0.1 * 2 / (math.sqrt(4.75 / 0.4375) + 0.5)])


def test_decay_of_adamw_takes_the_same_share_of_every_weight():
    params = {"w": np.array([10.0, -0.1])}
    AdamW(params, 0.1, weight_decay=0.5).step({"w": np.zeros(2)})
    np.testing.assert_allclose(params["w"], [9.5, -0.095])


def test_decay_of_adam_is_scaled_away_by_its_division():
    params = {"w": np.array([10.0, -0.1])}
    Adam(params, 0.1, weight_decay=0.5).step({"w": np.zeros(2)})
    np.testing.assert_allclose(params["w"], [9.9, 0.0], atol=1e-6)


def test_adam_does_not_move_where_there_never_was_a_gradient():
    params = {"w": np.array([1.0, 2.0])}
    optimizer = Adam(params, 0.1)
    for _ in range(3):
        optimizer.step({"w": np.array([0.0, 1.0])})
    np.testing.assert_array_equal(params["w"][0], 1.0)
    np.testing.assert_allclose(params["w"][1], 1.7)


@EACH
def test_learning_rate_of_zero_moves_nothing(make):
    params = start()
    make(params, 0.0, weight_decay=0.1).step(start(seed=4))
    for name, param in start().items():
        np.testing.assert_array_equal(params[name], param)


@EACH
def test_arrays_are_moved_in_place_and_gradients_only_read(make):
    params, grads = start(), start(seed=4)
    arrays = dict(params)
    optimizer = make(params, 0.1, weight_decay=0.1)
    for _ in range(2):
        optimizer.step(grads)
    for name, before in start().items():
        assert params[name] is arrays[name]
        assert np.all(params[name] != before)
    for name, before in start(seed=4).items():
        np.testing.assert_array_equal(grads[name], before)


def test_gradient_kept_as_velocity_is_a_copy():
    params, grads = one(1.0), one(2.0)
    optimizer = SGD(params, 0.1, momentum=0.5)
    optimizer.step(grads)
    grads["w"][:] = 4.0  # as a model does that reuses its arrays
    optimizer.step(grads)
    np.testing.assert_allclose(params["w"], [0.3])


@EACH
def test_every_parameter_has_a_memory_of_its_own(make):
    params = {"a": np.zeros(2), "b": np.zeros(2)}
    alone = {"b": np.zeros(2)}
    options = {"momentum": 0.9} if make is SGD else {}
    both, single = make(params, 0.1, **options), make(alone, 0.1, **options)
    for step in range(3):
        grads = {"b": np.array([1.0, -2.0 * step]), "a": np.array([30.0, 5.0])}
        both.step(grads)
        single.step({"b": grads["b"]})
    np.testing.assert_array_equal(params["b"], alone["b"])


@EACH
def test_all_optimizers_find_the_bottom_of_a_bowl(make):
    params = {"w": np.array([3.0, -2.0])}
    optimizer = make(params, 0.05, weight_decay=0.0)
    for _ in range(400):
        optimizer.step({"w": np.array([1.0, 4.0]) * params["w"]})
    np.testing.assert_allclose(params["w"], [0.0, 0.0], atol=1e-2)


# ---- mistakes ----------------------------------------------------------------------------


@EACH
def test_missing_gradient_is_named_and_nothing_moves(make):
    params, grads = start(), start(seed=4)
    optimizer = make(params, 0.1)
    del grads["filters"]
    with pytest.raises(ValueError, match="filters"):
        optimizer.step(grads)
    for name, before in start().items():
        np.testing.assert_array_equal(params[name], before)
    optimizer.step(start(seed=4))
    assert optimizer.n_steps == 1


@EACH
def test_gradient_of_an_unknown_parameter_is_named(make):
    with pytest.raises(ValueError, match=r"layers\.9"):
        make(start(), 0.1).step({**start(seed=4), "layers.9.weight": np.ones(2)})


@EACH
def test_gradient_of_another_shape_is_refused_by_name(make):
    grads = {**start(seed=4), "layers.0.bias": np.ones((1, 3))}
    with pytest.raises(ValueError, match=r"layers\.0\.bias"):
        make(start(), 0.1).step(grads)


@EACH
@pytest.mark.parametrize("rate", [-0.1, math.inf, math.nan])
def test_learning_rate_out_of_range_is_refused(make, rate):
    with pytest.raises(ValueError, match=r"learning.rate"):
        make(start(), rate)


@EACH
@pytest.mark.parametrize("decay", [-0.1, math.inf, math.nan])
def test_weight_decay_out_of_range_is_refused(make, decay):
    with pytest.raises(ValueError, match=r"decay"):
        make(start(), 0.1, weight_decay=decay)


@pytest.mark.parametrize("momentum", [-0.1, 1.0, math.nan])
def test_momentum_out_of_range_is_refused(momentum):
    with pytest.raises(ValueError, match="momentum"):
        SGD(start(), 0.1, momentum=momentum)


@pytest.mark.parametrize("make", [Adam, AdamW])
@pytest.mark.parametrize("betas", [(1.0, 0.9), (0.9, 1.0), (-0.1, 0.9), (0.9, math.nan)])
def test_beta_out_of_range_is_refused(make, betas):
    with pytest.raises(ValueError, match="beta"):
        make(start(), 0.1, betas=betas)


@pytest.mark.parametrize("make", [Adam, AdamW])
def test_epsilon_below_zero_is_refused(make):
    with pytest.raises(ValueError, match="epsilon"):
        make(start(), 0.1, epsilon=-1e-8)


def test_optimizer_of_no_kind_has_no_rule():
    with pytest.raises(NotImplementedError):
        Optimizer(start(), 0.1, 0.0).step(start())


# ---- clipping ----------------------------------------------------------------------------

LENGTH_13 = {"a": np.array([[3.0, 0.0]]), "b": np.array([-4.0]), "c": np.array([12.0])}


def test_norm_is_that_of_all_gradients_as_one_vector():
    assert gradient_norm(LENGTH_13) == pytest.approx(13.0)
    assert gradient_norm({}) == 0.0


def test_norm_of_large_float32_gradients_does_not_overflow():
    large = {"a": np.array([3e30, 0.0], np.float32), "b": np.array([4e30], np.float32)}
    assert gradient_norm(large) == pytest.approx(5e30)


def test_long_gradients_are_shortened_and_keep_their_direction():
    clipped, norm = clip_gradients(LENGTH_13, 6.5)
    assert norm == pytest.approx(13.0)
    for name, grad in LENGTH_13.items():
        np.testing.assert_allclose(clipped[name], grad / 2, rtol=1e-6)


@pytest.mark.parametrize("max_norm", [13.1, 1e9, math.inf])
def test_gradients_below_the_limit_stay_as_they_are(max_norm):
    clipped, norm = clip_gradients(LENGTH_13, max_norm)
    assert norm == pytest.approx(13.0)
    for name, grad in LENGTH_13.items():
        np.testing.assert_array_equal(clipped[name], grad)


@pytest.mark.parametrize("max_norm", [0.01, 1.0, 4.0, 100.0])
def test_clipping_is_that_of_torch(max_norm):
    grads = start(seed=5)
    tensors = [torch.zeros(grad.shape, dtype=torch.float64) for grad in grads.values()]
    for tensor, grad in zip(tensors, grads.values(), strict=True):
        tensor.grad = torch.tensor(grad)
    truth = torch.nn.utils.clip_grad_norm_(tensors, max_norm)
    clipped, norm = clip_gradients(grads, max_norm)
    assert norm == pytest.approx(float(truth), rel=1e-12)
    for mine, tensor in zip(clipped.values(), tensors, strict=True):
        np.testing.assert_allclose(mine, np.asarray(tensor.grad), rtol=1e-10)


def test_clipping_leaves_its_argument_and_keeps_the_dtype():
    grads = start(np.float32, seed=5)
    clipped, _ = clip_gradients(grads, 0.5)
    for name, before in start(np.float32, seed=5).items():
        assert clipped[name].dtype == np.float32
        np.testing.assert_array_equal(grads[name], before)
    assert gradient_norm(clipped) == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_gradients_that_are_not_finite_are_not_clipped_but_refused(bad):
    with pytest.raises(ValueError, match=r"."):
        clip_gradients({**LENGTH_13, "d": np.array([bad])}, 1.0)


@pytest.mark.parametrize("max_norm", [0.0, -1.0, math.nan])
def test_limit_that_is_not_positive_is_refused(max_norm):
    with pytest.raises(ValueError, match=r"."):
        clip_gradients(LENGTH_13, max_norm)
