"""The checker passes every backward of the phase, and finds, names and explains planted mistakes.

Each planted mistake is one that people make; the network that it is planted in is otherwise right.
"""

import itertools
import math

import numpy as np
import pytest

from phase00.gradient_report import GradientError
from phase01.activations import ACTIVATIONS, tanh_backward, tanh_forward
from phase01.convolution import (
    avg_pool2d_backward,
    avg_pool2d_forward,
    conv2d_backward,
    conv2d_forward,
    max_pool2d_backward,
    max_pool2d_forward,
)
from phase01.gradient_check import (
    check_model,
    directional_derivative,
    errors_by_parameter,
    gradient_error,
    likely_mistake,
    random_direction,
)
from phase01.linear import linear_backward, linear_forward
from phase01.losses import (
    binary_cross_entropy_backward,
    binary_cross_entropy_forward,
    cross_entropy_backward,
    cross_entropy_forward,
    mse_backward,
    mse_forward,
)
from phase01.mlp import MLP, MLPConfig
from phase01.regularization import (
    batch_norm_backward,
    batch_norm_forward,
    dropout_backward,
    dropout_forward,
    weight_penalty_backward,
    weight_penalty_forward,
)

N_EXAMPLE = 8
TOLERANCE = 1e-6


def rng(seed=0):
    return np.random.default_rng(seed)


def normal(*shape, seed=0):
    return rng([seed, *shape]).normal(size=shape)


class Counted:
    """A loss that counts its calls."""

    def __init__(self, loss):
        self.loss, self.calls = loss, 0

    def __call__(self, params):
        self.calls += 1
        return self.loss(params)


# ---- a function with a gradient that is known ------------------------------------------------


def bowl(params):
    """1/2 |w|^2 + 3 b . b + sin(b_0): smooth, and no gradient is like another."""
    w, b = params["w"], params["b"]
    return float(0.5 * np.sum(w**2) + 3 * np.sum(b**2) + np.sin(b[0]))


def bowl_params():
    return {"w": normal(3, 3), "b": normal(5)}


def bowl_gradient(params):
    db = 6 * params["b"]
    db[0] += np.cos(params["b"][0])
    return {"w": params["w"].copy(), "b": db}


# ---- directions ------------------------------------------------------------------------------


def test_direction_has_length_one_over_all_parameters_together():
    params = {"weight": normal(4, 3), "bias": normal(4), "scale": np.array(2.0)}
    direction = random_direction(params, rng())
    assert {name: v.shape for name, v in direction.items()} == {
        "weight": (4, 3),
        "bias": (4,),
        "scale": (),
    }
    assert math.sqrt(sum(float(np.sum(v**2)) for v in direction.values())) == pytest.approx(1)


def test_every_parameter_has_the_same_share_of_a_direction_on_average():
    params, generator = {"weight": normal(2, 3), "bias": normal(2)}, rng(1)
    squares = {"weight": np.zeros((2, 3)), "bias": np.zeros(2)}
    for _ in range(3000):
        for name, v in random_direction(params, generator).items():
            squares[name] += v**2 / 3000
    for square in squares.values():
        np.testing.assert_allclose(square, 1 / 8, rtol=0.12)


def test_direction_follows_from_the_generator_and_differs_from_the_next():
    generator = rng(2)
    first, second = (random_direction({"w": normal(40)}, generator)["w"] for _ in range(2))
    again = random_direction({"w": normal(40)}, rng(2))["w"]
    np.testing.assert_array_equal(first, again)
    assert abs(float(first @ second)) < 0.6
    assert len(np.unique(np.abs(first))) == 40  # no signs of one size


# ---- the derivative along one ----------------------------------------------------------------


def test_derivative_along_a_direction_is_the_inner_product_with_the_gradient():
    params = {"w": np.array([[1.0, 2.0], [3.0, 4.0]]), "b": np.array([0.5])}
    direction = {"w": np.array([[0.1, 0.0], [0.0, -0.2]]), "b": np.array([2.0])}
    # by hand: 1 * 0.1 - 4 * 0.2 + 6 * 0.5 * 2 + cos(0.5) * 2
    derivative = directional_derivative(bowl, params, direction)
    assert derivative == pytest.approx(0.1 - 0.8 + 6 + 2 * math.cos(0.5), rel=1e-9)


def test_both_sides_are_used_with_the_epsilon_that_is_given():
    params, direction = {"w": np.array([2.0])}, {"w": np.array([1.0])}
    cube = directional_derivative(lambda at: float(at["w"][0] ** 3), params, direction, epsilon=0.5)
    assert cube == pytest.approx(3 * 4 + 0.25)  # the central difference of x^3: 3 x^2 + epsilon^2


def test_parameter_without_a_direction_stays_where_it_is():
    params, seen = bowl_params(), []

    def loss(at):
        seen.append(at["w"].copy())
        return bowl(at)

    derivative = directional_derivative(loss, params, {"b": np.ones(5)})
    assert derivative == pytest.approx(np.sum(bowl_gradient(params)["b"]), rel=1e-8)
    assert len(seen) == 2
    for w in seen:
        np.testing.assert_array_equal(w, params["w"])


def test_parameters_are_left_alone():
    params = bowl_params()
    before = {name: array.copy() for name, array in params.items()}
    directional_derivative(bowl, params, random_direction(params, rng()))
    gradient_error(bowl, params, bowl_gradient(params), rng())
    errors_by_parameter(bowl, params, bowl_gradient(params), rng())
    for name, array in params.items():
        np.testing.assert_array_equal(array, before[name])


# ---- the error of a gradient -----------------------------------------------------------------


def test_right_gradient_has_an_error_of_rounding():
    params = bowl_params()
    assert gradient_error(bowl, params, bowl_gradient(params), rng()) < 1e-8


@pytest.mark.parametrize(
    ("factor", "error"), [(2.0, 0.5), (0.5, 0.5), (0.0, 1.0), (-1.0, 2.0), (1.01, 0.01 / 1.01)]
)
def test_gradient_that_is_a_multiple_of_the_true_one_has_the_error_of_that_factor(factor, error):
    params = bowl_params()
    grads = {name: factor * gradient for name, gradient in bowl_gradient(params).items()}
    assert gradient_error(bowl, params, grads, rng()) == pytest.approx(error, rel=1e-5)


def test_error_is_about_the_length_of_the_mistake_over_that_of_the_gradient():
    params = {"w": normal(2000), "b": normal(3)}
    truth = bowl_gradient(params)
    grads = {"w": truth["w"].copy(), "b": truth["b"]}
    grads["w"][700] += 0.5
    length = math.sqrt(sum(float(np.sum(gradient**2)) for gradient in truth.values()))
    error = gradient_error(bowl, params, grads, rng(), n_direction=200)
    assert error == pytest.approx(0.5 / length, rel=0.25)


def test_two_elements_that_changed_places_are_seen_by_every_single_direction():
    params = {"w": np.array([1.0, 2.0, 3.0]), "b": np.array([1.0])}
    grads = bowl_gradient(params)
    grads["w"][:2] = 2.0, 1.0  # along a direction of signs this cancels half of the time
    for seed in range(60):
        assert gradient_error(bowl, params, grads, rng(seed), n_direction=1) > 1e-4


@pytest.mark.parametrize("n_direction", [1, 3, 6])
def test_error_takes_two_calls_a_direction_and_two_more_whatever_the_size(n_direction):
    for size in (4, 4000):
        params = {"w": normal(size), "b": normal(2)}
        loss = Counted(bowl)
        gradient_error(loss, params, bowl_gradient(params), rng(), n_direction=n_direction)
        assert loss.calls <= 2 * n_direction + 2


def test_every_direction_is_another_one():
    params = {"w": np.array([1.0, 0.0]), "b": np.zeros(1)}
    seen = []

    def loss(at):
        seen.append(tuple(at["w"]))
        return bowl(at)

    gradient_error(loss, params, bowl_gradient(params), rng(), n_direction=5)
    assert len(set(seen)) >= 10


def test_error_is_the_same_for_the_same_generator():
    params = bowl_params()
    grads = {name: gradient + 0.1 for name, gradient in bowl_gradient(params).items()}
    one, same, other = (gradient_error(bowl, params, grads, rng(seed)) for seed in (3, 3, 4))
    assert one == same != other


def test_difference_that_is_lost_in_rounding_is_no_error():
    params = {"w": normal(6)}
    loss = lambda at: 1000 + 1e-9 * float(np.sum(at["w"]))  # noqa: E731
    assert gradient_error(loss, params, {"w": np.zeros(6)}, rng()) < TOLERANCE
    small = lambda at: 1e-3 * float(np.sum(at["w"]))  # noqa: E731
    assert gradient_error(small, params, {"w": np.zeros(6)}, rng()) > 0.5


# ---- whose it is -----------------------------------------------------------------------------


def test_wrong_parameter_is_told_from_right_ones():
    params = {"a": normal(3, 4), "w": normal(3, 3), "b": normal(5)}
    grads = {"a": np.zeros((3, 4)), **bowl_gradient(params)}
    grads["w"][1, 2] *= 1.5
    loss = Counted(bowl)
    errors = errors_by_parameter(loss, params, grads, rng())
    assert list(errors) == ["a", "w", "b"]
    assert errors["a"] == 0
    assert errors["w"] > 1e-3
    assert errors["b"] < 1e-8
    assert loss.calls <= 2 * 3 + 2


def test_parameter_is_judged_by_its_own_gradient_however_small_beside_the_others():
    params = {"large": normal(400), "small": normal(3)}

    def loss(at):
        return float(np.sum(at["large"] ** 2) / 50 + np.sum(at["small"] ** 2) / 200)

    grads = {"large": params["large"] / 25, "small": 1.2 * params["small"] / 100}
    errors = errors_by_parameter(loss, params, grads, rng())
    assert errors["large"] < TOLERANCE
    assert errors["small"] == pytest.approx(0.2 / 1.2, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "spoil", "words"),
    [
        ("w", lambda w: w.T.copy(), "transposed"),
        ("w", lambda w: 0 * w, "zeros"),
        ("w", lambda w: -w, "sign"),
        ("w", lambda w: w / 8, "0.125 times"),
        ("b", lambda b: 3 * b, "3 times"),
        ("b", lambda b: -b, "sign"),
        ("unused", lambda u: u + 1, "does not depend"),
    ],
)
def test_mistake_is_explained(name, spoil, words):
    params = {**bowl_params(), "unused": normal(4)}
    grads = {**bowl_gradient(params), "unused": np.zeros(4)}
    grads[name] = spoil(grads[name])
    said = likely_mistake(bowl, params, grads, name, rng())
    assert words in said
    assert said.startswith(": ")


def test_mistake_like_no_other_and_a_right_gradient_are_not_explained():
    params = bowl_params()
    grads = bowl_gradient(params)
    assert likely_mistake(bowl, params, grads, "w", rng()) == ""
    grads["w"][0, 1] += 1
    assert likely_mistake(bowl, params, grads, "w", rng()) == ""


# ---- what cannot be measured -----------------------------------------------------------------

MEASURES = pytest.mark.parametrize("measure", [gradient_error, errors_by_parameter])


@MEASURES
def test_loss_that_differs_between_two_calls_is_refused(measure):
    params, generator = bowl_params(), rng()
    with pytest.raises(ValueError, match=r"."):
        measure(lambda at: bowl(at) + generator.normal(), params, bowl_gradient(params), rng())


@MEASURES
def test_gradients_that_do_not_fit_are_named(measure):
    params = bowl_params()
    grads = bowl_gradient(params)
    with pytest.raises(GradientError, match=r"\bb\b"):
        measure(bowl, params, {"w": grads["w"]}, rng())
    with pytest.raises(GradientError, match=r"\bb\b"):
        measure(bowl, params, {**grads, "b": grads["b"][1:]}, rng())
    with pytest.raises(GradientError, match=r"\bw\b"):
        measure(bowl, params, {**grads, "w": grads["w"].astype(np.float32)}, rng())


@MEASURES
def test_parameters_in_float32_are_refused(measure):
    params = {name: array.astype(np.float32) for name, array in bowl_params().items()}
    with pytest.raises(ValueError, match="float64"):
        measure(bowl, params, bowl_gradient(params), rng())


@MEASURES
def test_loss_that_is_not_finite_is_refused(measure):
    params = bowl_params()
    with pytest.raises(ValueError, match=r"nan|finite"):
        measure(lambda at: math.nan, params, bowl_gradient(params), rng())


def test_direction_that_does_not_fit_is_refused():
    params = bowl_params()
    with pytest.raises(ValueError, match=r"\bw\b"):
        directional_derivative(bowl, params, {"w": np.ones(3)})
    with pytest.raises(ValueError, match="bias"):
        directional_derivative(bowl, params, {"bias": np.ones(3)})
    with pytest.raises(ValueError, match=r"."):
        directional_derivative(bowl, {"w": np.ones(0)}, {"w": np.ones(0)})
    with pytest.raises(ValueError, match="float64"):
        directional_derivative(bowl, {"w": np.ones(1, np.float32)}, {"w": np.ones(1)})
    with pytest.raises(ValueError, match=r"inf|finite"):
        directional_derivative(lambda at: math.inf, params, {"b": np.ones(5)})


@pytest.mark.parametrize("epsilon", [0.0, -1e-5, math.nan])
def test_step_that_is_not_above_zero_is_refused(epsilon):
    with pytest.raises(ValueError, match="epsilon"):
        directional_derivative(bowl, bowl_params(), {"b": np.ones(5)}, epsilon)


def test_nothing_to_measure_is_refused():
    params = bowl_params()
    with pytest.raises(ValueError, match="direction"):
        gradient_error(bowl, params, bowl_gradient(params), rng(), n_direction=0)
    with pytest.raises(ValueError, match=r"."):
        gradient_error(bowl, {}, {}, rng())


# ---- every backward of the phase -------------------------------------------------------------


def error_of(forward, backward, inputs, fixed=()):
    """The error of one operation under the loss sum(dy * y), with a random dy.

    `forward(*inputs, *fixed)` gives (y, cache); `backward(dy, cache)` a gradient for each input.
    """
    params = {f"input {i}": array for i, array in enumerate(inputs)}
    y, cache = forward(*params.values(), *fixed)
    dy = 1.7 if isinstance(y, float) else normal(*y.shape, seed=9)
    returned = backward(dy, cache)
    grads = dict(zip(params, returned if isinstance(returned, tuple) else (returned,), strict=True))

    def loss(at):
        return float(np.sum(dy * forward(*at.values(), *fixed)[0]))

    return gradient_error(loss, params, grads, rng(5))


def test_linear_layer_agrees():
    inputs = normal(2, 3, 5), normal(4, 5), normal(4)
    assert error_of(linear_forward, linear_backward, inputs) < TOLERANCE


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_agrees(name):
    assert error_of(*ACTIVATIONS[name], (normal(4, 7),)) < TOLERANCE


@pytest.mark.parametrize(
    ("pair", "targets", "shape"),
    [
        ((mse_forward, mse_backward), normal(3, 4, seed=1), (3, 4)),
        (
            (binary_cross_entropy_forward, binary_cross_entropy_backward),
            rng(1).integers(2, size=(3, 4)),
            (3, 4),
        ),
        ((cross_entropy_forward, cross_entropy_backward), np.array([2, 0, 6]), (3, 7)),
    ],
    ids=["mse", "binary cross-entropy", "cross-entropy"],
)
def test_loss_agrees(pair, targets, shape):
    assert error_of(*pair, (normal(*shape),), fixed=(targets,)) < TOLERANCE


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (1, 1), (2, 1)])
def test_convolution_agrees(stride, padding):
    inputs = normal(2, 3, 6, 7), normal(4, 3, 3, 2), normal(4)
    assert error_of(conv2d_forward, conv2d_backward, inputs, (stride, padding)) < TOLERANCE


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2)])
@pytest.mark.parametrize(
    "pair",
    [(max_pool2d_forward, max_pool2d_backward), (avg_pool2d_forward, avg_pool2d_backward)],
    ids=["max", "average"],
)
def test_pooling_agrees(pair, size, stride):
    assert error_of(*pair, (normal(2, 3, 7, 6),), (size, stride)) < TOLERANCE


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(6, 4), (3, 4, 2, 5)])
def test_batch_norm_agrees(shape, training):
    mean, var = normal(4, seed=3), np.exp(normal(4, seed=4))

    def forward(x, weight, bias):
        return batch_norm_forward(x, weight, bias, mean.copy(), var.copy(), training)

    inputs = normal(*shape), normal(4), normal(4, seed=2)
    assert error_of(forward, batch_norm_backward, inputs) < TOLERANCE


def test_dropout_agrees():
    def forward(x):
        return dropout_forward(x, 0.4, rng(8))

    assert error_of(forward, dropout_backward, (normal(6, 5),)) < TOLERANCE


def test_weight_penalty_agrees():
    params = bowl_params()
    penalty, cache = weight_penalty_forward(params, 0.3)
    assert penalty > 0
    grads = weight_penalty_backward(1.0, cache)
    assert gradient_error(lambda at: weight_penalty_forward(at, 0.3)[0], params, grads, rng()) < (
        TOLERANCE
    )


# ---- whole models ----------------------------------------------------------------------------


def batch(widths, n_example=N_EXAMPLE):
    return normal(n_example, widths[0]), rng(1).integers(widths[-1], size=n_example)


def mlp(*options, model=MLP):
    return model(MLPConfig(*options), rng(), np.float64)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(
    "options",
    [
        ((5, 4),),
        ((5, 7, 6, 4), "tanh"),
        ((5, 7, 6, 4), "relu", 0.3),
        ((5, 7, 6, 4), "gelu", 0.0, True),
        ((5, 7, 6, 4), "gelu_tanh", 0.4, True),
        ((5, 7, 6, 4), "sigmoid", 0.5, True),
    ],
    ids=str,
)
def test_mlp_agrees(options, training):
    error = check_model(mlp(*options), *batch(options[0]), rng(2), training=training)
    assert error < TOLERANCE


class Convolutional:
    """Convolution, ReLU, max pooling, a linear layer; no generator, no buffers."""

    def __init__(self):
        self.params = {
            "conv.weight": normal(3, 2, 3, 3) / 4,
            "conv.bias": normal(3) / 4,
            "linear.weight": normal(5, 12) / 4,
            "linear.bias": normal(5) / 4,
        }

    def forward(self, x, targets):
        params = self.params
        y, conv = conv2d_forward(x, params["conv.weight"], params["conv.bias"], padding=1)
        y, relu = ACTIVATIONS["relu"][0](y)
        y, pool = max_pool2d_forward(y, 2)
        logits, linear = linear_forward(
            y.reshape(len(x), -1), params["linear.weight"], params["linear.bias"]
        )
        loss, last = cross_entropy_forward(logits, targets)
        return loss, (conv, relu, pool, y.shape, linear, last)

    def backward(self, cache):
        conv, relu, pool, shape, linear, last = cache
        dx, dweight, dbias = linear_backward(cross_entropy_backward(1.0, last), linear)
        grads = {"linear.weight": dweight, "linear.bias": dbias}
        dx = ACTIVATIONS["relu"][1](max_pool2d_backward(dx.reshape(shape), pool), relu)
        _, grads["conv.weight"], grads["conv.bias"] = conv2d_backward(dx, conv)
        return grads


def test_network_of_convolutions_agrees():
    x, targets = normal(4, 2, 4, 5), np.array([1, 4, 0, 2])
    assert check_model(Convolutional(), x, targets, rng(), training=False) < TOLERANCE


class CountingMLP(MLP):
    """Counts its forwards, and doubles one number among its gradients if told to."""

    n_forward = 0
    doubled: tuple[str, tuple[int, ...]] | None = None

    def forward(self, x, targets, rng=None):
        self.n_forward += 1
        return super().forward(x, targets, rng)

    def backward(self, cache):
        grads = super().backward(cache)
        if self.doubled is not None:
            name, index = self.doubled
            grads[name][index] *= 2
        return grads


def test_large_model_takes_no_more_forwards_and_one_wrong_number_is_seen():
    widths = (784, 512, 256, 10)
    model = mlp(widths, "tanh", model=CountingMLP)
    assert model.n_parameter > 500_000
    x, targets = batch(widths)
    assert check_model(model, x, targets, rng(3)) < TOLERANCE
    assert model.n_forward <= 12

    _, cache = model.forward(x, targets)
    gradient = model.backward(cache)["layers.0.weight"]
    order = np.argsort(np.abs(gradient), axis=None)
    place = np.unravel_index(order[int(0.7 * order.size)], gradient.shape)  # one of ordinary size
    model.doubled = "layers.0.weight", tuple(int(i) for i in place)
    with pytest.raises(GradientError, match=r"layers\.0\.weight"):
        check_model(model, x, targets, rng(3))


@pytest.mark.parametrize("training", [True, False])
def test_model_is_left_as_it_was_to_the_last_bit(training):
    model = mlp((5, 7, 6, 4), "tanh", 0.3, True)
    arrays = {**model.params, **model.buffers}
    before = {name: array.copy() for name, array in arrays.items()}
    check_model(model, *batch((5, 4)), rng(2), training=training)
    for name, array in {**model.params, **model.buffers}.items():
        assert array is arrays[name]
        np.testing.assert_array_equal(array, before[name])


def test_model_is_left_as_it_was_where_the_check_fails_and_where_forward_does():
    model = mlp((5, 7, 6, 4), "tanh", 0.0, True, model=CountingMLP)
    before = {name: array.copy() for name, array in {**model.params, **model.buffers}.items()}
    model.doubled = "layers.1.weight", (2, 3)
    x, targets = batch((5, 4))
    with pytest.raises(GradientError):
        check_model(model, x, targets, rng())
    calls = itertools.count()
    forward = model.forward

    def breaks(*arguments):
        if next(calls) == 5:
            raise ZeroDivisionError
        return forward(*arguments)

    model.forward = breaks
    with pytest.raises(ZeroDivisionError):
        check_model(model, x, targets, rng())
    for name, array in {**model.params, **model.buffers}.items():
        np.testing.assert_array_equal(array, before[name])


def test_running_statistics_are_put_back_before_each_forward():
    model = mlp((5, 7, 4), "tanh", 0.0, True)
    seen = []
    forward = model.forward

    def watched(*arguments):
        seen.append(model.buffers["norms.0.running_mean"].copy())
        return forward(*arguments)

    model.forward = watched
    check_model(model, *batch((5, 4)), rng())
    for mean in seen:
        np.testing.assert_array_equal(mean, np.zeros(7))


def test_model_in_float32_is_refused_with_the_dtype_it_should_have():
    with pytest.raises(ValueError, match="float64"):
        check_model(MLP(MLPConfig((5, 4)), rng()), *batch((5, 4)), rng())


def test_dropout_from_a_generator_of_its_own_is_refused():
    model, generator = mlp((5, 30, 4), "tanh", 0.5), rng()
    forward = model.forward
    model.forward = lambda x, targets, rng=None: forward(x, targets, generator)
    with pytest.raises(ValueError, match=r"."):
        check_model(model, *batch((5, 4)), rng())


def test_tolerance_epsilon_and_number_of_directions_are_those_that_are_given():
    model = mlp((5, 7, 4), "tanh", model=CountingMLP)
    x, targets = batch((5, 4))
    coarse = check_model(model, x, targets, rng(), epsilon=0.1, tolerance=0.5)
    assert 1e-5 < coarse < 0.5
    with pytest.raises(GradientError):
        check_model(model, x, targets, rng(), epsilon=0.1, tolerance=coarse / 2)
    model.n_forward = 0
    check_model(model, x, targets, rng(), n_direction=1)
    assert model.n_forward <= 6


def test_kink_within_the_step_is_not_blamed_on_a_parameter():
    model = mlp((3, 4, 2), "relu")
    x, targets = normal(5, 3), np.array([0, 1, 1, 0, 1])
    sum_at_first = x[0] @ model.params["layers.0.weight"][1]
    model.params["layers.0.bias"][1] = -sum_at_first  # a ReLU exactly at its kink
    with pytest.raises(GradientError):
        check_model(model, x, targets, rng(), shake=0.0)


def test_fresh_model_full_of_kinks_passes():
    for seed in range(15):  # with biases of 0 and dropout, some input of ReLU is 0 for certain
        model = MLP(MLPConfig((5, 7, 6, 4), "relu", 0.3), rng(seed), np.float64)
        assert check_model(model, *batch((5, 4)), rng(2)) < TOLERANCE


class ForgetsTheNorm(MLP):
    """Leaves out the factor of batch norm's weight on the way to the first layer."""

    def backward(self, cache):
        grads = super().backward(cache)
        if np.all(self.params["norms.0.weight"] != 0):
            grads["layers.0.weight"] /= self.params["norms.0.weight"][:, np.newaxis]
        return grads


def test_factor_that_is_one_at_the_start_is_missed_nevertheless():
    model = mlp((5, 7, 4), "tanh", 0.0, True, model=ForgetsTheNorm)
    x, targets = batch((5, 4))
    assert check_model(model, x, targets, rng(), shake=0.0) < TOLERANCE
    with pytest.raises(GradientError, match=r"layers\.0\.weight"):
        check_model(model, x, targets, rng())


# ---- planted mistakes ------------------------------------------------------------------------


class Faulty:
    """Two hidden layers of tanh, as wide as the input, and a backward with one mistake."""

    def __init__(self, fault=""):
        self.fault = fault
        self.params = {}
        for i, d_out in enumerate((6, 6, 4)):
            self.params[f"layers.{i}.weight"] = normal(d_out, 6, seed=i) / 2
            self.params[f"layers.{i}.bias"] = normal(d_out, seed=i) / 2

    def forward(self, x, targets, rng=None):
        caches = []
        for i in range(3):
            weight, bias = self.params[f"layers.{i}.weight"], self.params[f"layers.{i}.bias"]
            x, linear = linear_forward(x, weight, bias)
            x, tanh = tanh_forward(x) if i < 2 else (x, None)
            caches.append((linear, tanh))
        loss, last = cross_entropy_forward(x, targets)
        return loss, (caches, last)

    def backward(self, cache):
        caches, last = cache
        fault, grads = self.fault, {}
        dx = cross_entropy_backward(8.0 if fault == "loss summed" else 1.0, last)
        for i in reversed(range(3)):
            linear, tanh = caches[i]
            if i < 2 and not (fault == "no activation derivative" and i == 0):
                dx = tanh_backward(dx, tanh)
            dy = dx
            dx, dweight, dbias = linear_backward(dy, linear)
            if i == 1:
                if fault == "factor":
                    dweight = dweight * 0.5
                if fault == "transposed":
                    dweight = dweight.T.copy()
                if fault == "bias averaged":
                    dbias = dy.mean(axis=0)
                if fault == "sign":
                    dweight = -dweight
                if fault == "zero":
                    dweight = np.zeros_like(dweight)
                if fault == "weight not transposed on the way back":
                    dx = dy @ linear[1].T
                if fault == "in place":
                    linear[1][0, 0] += 1.0
            grads[f"layers.{i}.weight"], grads[f"layers.{i}.bias"] = dweight, dbias
        if fault == "missing":
            del grads["layers.1.bias"]
        return grads


def complaint_about(fault):
    with pytest.raises(GradientError) as caught:
        check_model(Faulty(fault), *batch((6, 4)), rng(4))
    return str(caught.value)


def test_network_without_a_mistake_passes():
    assert check_model(Faulty(), *batch((6, 4)), rng(4)) < TOLERANCE


@pytest.mark.parametrize(
    ("fault", "name", "cause"),
    [
        ("factor", "layers.1.weight", "0.5 times"),
        ("transposed", "layers.1.weight", "transposed"),
        ("bias averaged", "layers.1.bias", "0.125 times"),
        ("zero", "layers.1.weight", "zeros"),
        ("sign", "layers.1.weight", "sign"),
    ],
)
def test_mistake_in_one_gradient_is_found_named_and_explained(fault, name, cause):
    said = complaint_about(fault)
    assert cause in said
    assert [each for each in Faulty().params if each in said] == [name]


@pytest.mark.parametrize(
    ("fault", "culprit"),
    [
        ("no activation derivative", "layers.0.bias"),
        ("weight not transposed on the way back", "layers.0.bias"),
        ("loss summed", "layers.2.bias"),
    ],
)
def test_mistake_that_is_handed_on_is_followed_to_where_it_begins(fault, culprit):
    said = complaint_about(fault)
    assert f"look first at {culprit}" in said
    assert "layers.0.weight" in said


class Listening(Faulty):
    """It writes down with which generator each forward was called."""

    def __init__(self):
        super().__init__()
        self.heard = []

    def forward(self, x, targets, rng=None):
        self.heard.append(rng)
        return super().forward(x, targets, rng)


@pytest.mark.parametrize("training", [True, False])
def test_forward_gets_a_generator_in_training_and_none_in_evaluation(training):
    model = Listening()
    check_model(model, *batch((6, 4)), rng(4), training=training)
    assert {each is not None for each in model.heard} == {training}


def test_rounding_of_a_loss_of_zero_is_no_randomness():
    params = {"weight": np.zeros(2)}
    noise = itertools.cycle([0.0, 1e-15])
    assert gradient_error(lambda at: next(noise), params, {"weight": np.zeros(2)}, rng()) < 1e-3


class SlightlyAndBadlyWrong(Faulty):
    """The first gradient is one percent too long, the last one has the wrong sign."""

    def backward(self, cache):
        grads = super().backward(cache)
        return {
            **grads,
            "layers.0.weight": 1.01 * grads["layers.0.weight"],
            "layers.2.bias": -grads["layers.2.bias"],
        }


def test_worst_of_several_wrong_gradients_is_named_first():
    with pytest.raises(GradientError) as caught:
        check_model(SlightlyAndBadlyWrong(), *batch((6, 4)), rng(4))
    said = str(caught.value)
    assert said.index("layers.2.bias") < said.index("layers.0.weight")


def test_factor_in_all_gradients_is_named():
    assert "backward gives 8 times" in complaint_about("loss summed")


def test_gradient_that_is_missing_is_named():
    assert "layers.1.bias" in complaint_about("missing")


def test_backward_that_moves_a_parameter_is_caught_and_the_parameter_put_back():
    model = Faulty("in place")
    before = model.params["layers.1.weight"].copy()
    with pytest.raises(GradientError, match=r"layers\.1\.weight"):
        check_model(model, *batch((6, 4)), rng(4))
    np.testing.assert_array_equal(model.params["layers.1.weight"], before)


@pytest.mark.parametrize("seed", range(5))
def test_no_mistake_escapes_for_want_of_luck(seed):
    model, (x, targets) = Faulty(), batch((6, 4))
    assert check_model(model, x, targets, rng(seed)) < TOLERANCE
    for model.fault in ("factor", "transposed", "bias averaged", "zero", "sign", "loss summed"):
        with pytest.raises(GradientError):
            check_model(model, x, targets, rng(seed))
