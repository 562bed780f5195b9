"""The gradient checker finds planted bugs, passes the same operations without them, and says why.

Ten small operations stand first, each with its backward and with a backward that has a bug which
people make. The checker must tell the two apart, and name the input whose gradient is wrong.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from phase00.gradcheck import GradientError, check_backward, relative_error

Inputs = dict[str, np.ndarray]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def check(
    forward: Callable[..., Any], backward: Callable[..., Any], inputs: Mapping[str, Any], **options
):
    return check_backward(forward, backward, inputs, np.random.default_rng(1), **options)


# --- ten operations, each with a right and a wrong backward -------------------------------------


def linear_forward(x, weight, bias):
    return x @ weight.T + bias, (x, weight)


def linear_backward(dy, cache):
    x, weight = cache
    return dy @ weight, dy.T @ x, dy.sum(axis=0)


def linear_without_the_sum_over_the_batch(dy, cache):
    x, weight = cache
    return dy @ weight, dy.T @ x, dy


def linear_with_the_weight_transposed(dy, cache):
    x, weight = cache
    return dy @ weight, x.T @ dy, dy.sum(axis=0)


def scores_forward(query, key):
    return query @ key.T / math.sqrt(query.shape[1]), (query, key)


def scores_backward(dy, cache):
    query, key = cache
    scale = 1 / math.sqrt(query.shape[1])
    return dy @ key * scale, dy.T @ query * scale


def scores_without_the_scale_for_key(dy, cache):
    query, key = cache
    return dy @ key / math.sqrt(query.shape[1]), dy.T @ query


def embedding_forward(ids, weight):
    return weight[ids], (ids, weight.shape)


def embedding_backward(dy, cache):
    ids, shape = cache
    dweight = np.zeros(shape)
    np.add.at(dweight, ids, dy)
    return dweight


def embedding_that_forgets_repeated_ids(dy, cache):
    ids, shape = cache
    dweight = np.zeros(shape)
    dweight[ids] += dy
    return dweight


def difference_forward(a, b):
    return a - b, None


def difference_backward(dy, cache):
    return dy, -dy


def difference_without_the_sign(dy, cache):
    return dy, dy


def gelu_forward(x):
    """The tanh form, which GPT-2 has."""
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return 0.5 * x * (1 + np.tanh(inner)), x


def gelu_backward(dy, x):
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
    return dy * (0.5 * (1 + np.tanh(inner)) + 0.5 * x * slope / np.cosh(inner) ** 2)


def gelu_of_the_other_kind(dy, x):
    """The derivative of the exact form, x Phi(x): close, and not the same."""
    cdf = 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
    return dy * (cdf + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi))


def residual_forward(x, weight):
    y = np.tanh(x @ weight)
    return x + y, (x, weight, y)


def residual_backward(dy, cache):
    x, weight, y = cache
    inner = dy * (1 - y**2)
    return dy + inner @ weight.T, x.T @ inner


def residual_without_the_direct_path(dy, cache):
    x, weight, y = cache
    inner = dy * (1 - y**2)
    return inner @ weight.T, x.T @ inner


def squared_error_forward(prediction, target):
    return np.mean((prediction - target) ** 2), prediction - target


def squared_error_backward(dy, miss):
    gradient = dy * 2 * miss / miss.size
    return gradient, -gradient


def squared_error_without_the_2(dy, miss):
    gradient = dy * miss / miss.size
    return gradient, -gradient


def softmax_forward(logits):
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    return p, p


def softmax_backward(dp, p):
    return p * (dp - np.sum(dp * p, axis=-1, keepdims=True))


def softmax_without_its_sum(dp, p):
    return p * dp


def cross_entropy_forward(logits, targets):
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -np.mean(log_p[np.arange(targets.size), targets]), (np.exp(log_p), targets)


def cross_entropy_backward(dloss, cache):
    p, targets = cache
    return dloss * (p - np.eye(p.shape[1])[targets]) / targets.size


def cross_entropy_that_forgets_the_mean(dloss, cache):
    p, targets = cache
    return dloss * (p - np.eye(p.shape[1])[targets])


def layer_norm_forward(x):
    centred = x - x.mean(axis=-1, keepdims=True)
    inverse = 1 / np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + 1e-5)
    return centred * inverse, (centred * inverse, inverse)


def layer_norm_backward(dy, cache):
    y, inverse = cache
    through_mean = dy.mean(axis=-1, keepdims=True)
    through_deviation = y * np.mean(dy * y, axis=-1, keepdims=True)
    return inverse * (dy - through_mean - through_deviation)


def layer_norm_with_a_constant_deviation(dy, cache):
    _, inverse = cache
    return inverse * (dy - dy.mean(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Case:
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    wrong: Callable[..., Any]
    inputs: Inputs
    blamed: str
    """the inputs whose gradients the wrong backward has wrong, separated by spaces"""
    cause: str = ""
    """what the message says of the cause"""


LINEAR = {"x": normal(2, 3), "weight": normal(4, 3), "bias": normal(4)}
IDS = np.array([[2, 0, 2], [5, 2, 0]])
TEN_BUGS = {
    "a scale is missing": Case(
        scores_forward,
        scores_backward,
        scores_without_the_scale_for_key,
        {"query": normal(5, 4), "key": normal(7, 4)},
        "key",
        "2 times",
    ),
    "the sum over the batch is missing": Case(
        linear_forward,
        linear_backward,
        linear_without_the_sum_over_the_batch,
        LINEAR,
        "bias",
        r"\(2, 4\).*\(4,\).*sum.*batch",
    ),
    "the weight's gradient is transposed": Case(
        linear_forward,
        linear_backward,
        linear_with_the_weight_transposed,
        LINEAR,
        "weight",
        r"\(3, 4\).*\(4, 3\).*transposed",
    ),
    "repeated ids overwrite each other": Case(
        embedding_forward,
        embedding_backward,
        embedding_that_forgets_repeated_ids,
        {"ids": IDS, "weight": normal(6, 4)},
        "weight",
        r"\b8 of 24\b",
    ),
    "the sign is wrong": Case(
        difference_forward,
        difference_backward,
        difference_without_the_sign,
        {"a": normal(2, 3), "b": normal(2, 3, seed=1)},
        "b",
        "sign",
    ),
    "the GELU is of the other kind": Case(
        gelu_forward, gelu_backward, gelu_of_the_other_kind, {"x": normal(3, 5)}, "x"
    ),
    "a path of an input used twice is forgotten": Case(
        residual_forward,
        residual_backward,
        residual_without_the_direct_path,
        {"x": normal(2, 5), "weight": normal(5, 5)},
        "x",
    ),
    "a factor of 2 is lost": Case(
        squared_error_forward,
        squared_error_backward,
        squared_error_without_the_2,
        {"prediction": normal(7), "target": normal(7, seed=1)},
        "prediction target",
        "0.5 times",
    ),
    "the softmax lacks its sum": Case(
        softmax_forward,
        softmax_backward,
        softmax_without_its_sum,
        {"logits": normal(2, 6)},
        "logits",
    ),
    "the mean over the batch is forgotten": Case(
        cross_entropy_forward,
        cross_entropy_backward,
        cross_entropy_that_forgets_the_mean,
        {"logits": normal(3, 7), "targets": np.array([6, 0, 2])},
        "logits",
        "3 times",
    ),
}
BUGS = pytest.mark.parametrize("case", TEN_BUGS.values(), ids=list(TEN_BUGS))


@BUGS
def test_planted_bug_is_found_and_the_input_named(case):
    with pytest.raises(GradientError) as caught:
        check(case.forward, case.wrong, case.inputs)
    message = str(caught.value)
    named = re.findall(r"(?:WRONG |gradient of )\s*(\w+)", message)
    assert named == case.blamed.split()
    assert re.search(case.cause, message), message


@BUGS
def test_the_same_operation_without_the_bug_passes(case):
    report = check(case.forward, case.backward, case.inputs)
    assert report.relative_error < 1e-7
    assert report.wrong == []
    floats = [name for name, value in case.inputs.items() if value.dtype == np.float64]
    assert list(report.inputs) == floats


def test_bug_that_is_invisible_to_a_gradient_of_ones_is_found():
    inputs = {"x": normal(3, 7)}
    y, cache = layer_norm_forward(**inputs)
    ones = np.ones_like(y)
    wrong = layer_norm_with_a_constant_deviation(ones, cache)
    np.testing.assert_allclose(wrong, layer_norm_backward(ones, cache), atol=1e-14)
    check(layer_norm_forward, layer_norm_backward, inputs)
    with pytest.raises(GradientError, match=r"WRONG  x \(3, 7\)"):
        check(layer_norm_forward, layer_norm_with_a_constant_deviation, inputs)


def test_dy_is_of_either_sign_and_between_a_half_and_one_and_a_half_in_size():
    seen = []

    def backward(dy, x):
        seen.append(dy)
        return dy * np.cos(x)

    check(sine_forward, backward, {"x": normal(60)})
    (dy,) = seen
    assert 10 < np.sum(dy > 0) < 50
    assert 0.5 <= np.abs(dy).min() < 0.6
    assert 1.4 < np.abs(dy).max() <= 1.5
    assert np.unique(np.abs(dy)).size == 60


@pytest.mark.parametrize("seed", range(20))
def test_right_backward_passes_for_any_seed(seed):
    rng = np.random.default_rng(seed)
    inputs = {"x": rng.normal(size=(2, 5)), "weight": rng.normal(size=(5, 5))}
    assert check_backward(residual_forward, residual_backward, inputs, rng).wrong == []


# --- what the report says -----------------------------------------------------------------------


def one_element_wrong(dy, cache):
    dx, dweight, dbias = linear_backward(dy, cache)
    dweight[2, 1] += 0.5
    return dx, dweight, dbias


def test_report_names_the_worst_element_both_values_and_the_relative_error():
    with pytest.raises(GradientError) as caught:
        check(linear_forward, one_element_wrong, LINEAR)
    found = re.search(
        r"WRONG  weight \(4, 3\): relative error (\S+) at weight\[2, 1\], "
        r"backward (\S+), measured (\S+); 1 of 12 elements wrong$",
        str(caught.value),
        re.MULTILINE,
    )
    assert found, str(caught.value)
    error, analytic, numeric = map(float, found.groups())
    assert analytic - numeric == pytest.approx(0.5, rel=1e-4)
    assert error == pytest.approx(0.5 / max(abs(analytic), abs(numeric)), rel=0.02)


def test_report_lists_the_wrong_gradients_first_and_the_right_ones_after_them():
    with pytest.raises(GradientError) as caught:
        check(linear_forward, one_element_wrong, LINEAR)
    lines = str(caught.value).splitlines()
    assert lines[0] == "1 of 3 gradients wrong (relative error above 1e-06):"
    assert [line.split()[:2] for line in lines[1:]] == [
        ["WRONG", "weight"],
        ["right", "x"],
        ["right", "bias"],
    ]


def test_report_of_a_right_backward_holds_a_line_and_the_worst_element_of_each_input():
    report = check(linear_forward, linear_backward, LINEAR)
    found = report.inputs["weight"]
    assert (found.name, found.shape, found.passed) == ("weight", (4, 3), True)
    assert found.analytic == pytest.approx(found.numeric, rel=1e-8)
    assert found.index is not None
    assert len(found.index) == 2
    assert report.relative_error == max(one.relative_error for one in report.inputs.values())
    lines = str(report).splitlines()
    assert lines[0] == "0 of 3 gradients wrong (relative error above 1e-06):"
    assert re.fullmatch(r"  right  x \(2, 3\): relative error \S+; each of 6 elements", lines[1]), (
        lines[1]
    )


def test_gradient_of_a_single_number_is_named_without_an_index():
    def forward(scale, x):
        return scale * x, (scale, x)

    inputs = {"scale": np.array(0.7), "x": normal(5)}
    check(forward, lambda dy, cache: (np.sum(dy * cache[1]), dy * cache[0]), inputs)
    with pytest.raises(GradientError, match=r"WRONG  scale \(\): .* at scale, backward .* 3 times"):
        check(forward, lambda dy, cache: (3 * np.sum(dy * cache[1]), dy * cache[0]), inputs)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda dweight: dweight.T, "transposed"),
        (lambda dweight: 0 * dweight, "zeros"),
        (lambda dweight: -dweight, "sign"),
        (lambda dweight: 1.01 * dweight, r"\b1\.01 times"),
        (lambda dweight: dweight / 5, r"\b0\.2 times"),
    ],
)
def test_cause_is_read_off_the_values_where_the_shape_fits(change, cause):
    def backward(dy, cache):
        dx, dweight = residual_backward(dy, cache)
        return dx, change(dweight)

    inputs = {"x": normal(2, 5), "weight": normal(5, 5)}
    with pytest.raises(GradientError, match=f"WRONG  weight .*{cause}"):
        check(residual_forward, backward, inputs)


@pytest.mark.parametrize(
    "change",
    [lambda dweight: dweight + np.eye(5), lambda dweight: 1.0001 * dweight],
)
def test_no_cause_is_guessed_where_none_shows(change):
    def backward(dy, cache):
        dx, dweight = residual_backward(dy, cache)
        return dx, change(dweight)

    inputs = {"x": normal(2, 5), "weight": normal(5, 5)}
    with pytest.raises(GradientError) as caught:
        check(residual_forward, backward, inputs)
    assert not re.search("zeros|transposed|sign|times|depend", str(caught.value))


def test_cause_is_read_off_small_values_too():
    def forward(x):
        return 1e-4 * x, None

    inputs = {"x": normal(4)}
    with pytest.raises(GradientError, match=r"WRONG  x .*\b2 times"):
        check(forward, lambda dy, cache: 2e-4 * dy, inputs)
    with pytest.raises(GradientError, match=r"WRONG  x .*\b1 of 4") as caught:
        check(forward, lambda dy, cache: 1e-4 * dy + np.array([0, 2e-5, 0, 0]), inputs)
    assert "times" not in str(caught.value)


def test_input_that_forward_does_not_use_is_said_to_be_unused():
    def forward(x, unused):
        return x**2, x

    inputs = {"x": normal(3), "unused": normal(2)}
    with pytest.raises(GradientError, match=r"WRONG  unused .*not depend"):
        check(forward, lambda dy, x: (2 * dy * x, np.ones(2)), inputs)


# --- relative error, tolerance and floor --------------------------------------------------------


def test_relative_error_is_the_difference_over_the_larger_of_the_two():
    errors = relative_error(np.array([3.0, 4.0, -1.0, 2.0]), np.array([4.0, 3.0, 1.0, 2.0]))
    np.testing.assert_allclose(errors, [0.25, 0.25, 2.0, 0.0], rtol=1e-12)


def test_relative_error_below_the_floor_is_taken_relative_to_the_floor():
    errors = relative_error(np.array([1e-9, 0.0]), np.array([0.0, 0.0]))
    np.testing.assert_allclose(errors, [1e-6, 0.0], rtol=1e-12)
    assert relative_error(1.0, 3.0, floor=100.0) == pytest.approx(0.02)


def scaled(dy_factor: float) -> Callable[..., Any]:
    return lambda dy, x: dy_factor * dy * np.cos(x)


def sine_forward(x):
    return np.sin(x), x


def test_relative_error_above_the_tolerance_is_wrong_and_below_it_is_right():
    inputs = {"x": normal(4)}
    check(sine_forward, scaled(1 + 0.5e-6), inputs)
    with pytest.raises(GradientError, match="above 1e-06"):
        check(sine_forward, scaled(1 + 2e-6), inputs)
    check(sine_forward, scaled(1 + 0.5e-3), inputs, tolerance=1e-3)
    with pytest.raises(GradientError, match=r"above 0\.001"):
        check(sine_forward, scaled(1 + 2e-3), inputs, tolerance=1e-3)


def test_epsilon_is_the_step_of_the_measurement():
    # The cube is measured too large by epsilon squared: 0.01, where the derivative is 3.
    inputs = {"x": np.ones(1)}
    report = check(
        lambda x: (x**3, x), lambda dy, x: dy * 3 * x**2, inputs, epsilon=0.1, tolerance=1
    )
    assert report.relative_error == pytest.approx(0.01 / 3.01)


def test_gradient_too_small_to_be_measured_passes_and_the_report_says_that_it_was_not_tested():
    def forward(x, tiny):
        return x + 1e-12 * tiny, None

    inputs = {"x": normal(3), "tiny": normal(3)}
    report = check(forward, lambda dy, cache: (dy, np.zeros(3)), inputs)
    assert "too small" in report.inputs["tiny"].detail
    assert "too small" not in report.inputs["x"].detail
    assert report.wrong == []


def test_absolute_error_of_small_gradients_may_be_1e_minus_9_and_not_more():
    def off_by(error):
        return lambda dy, cache: 1e-4 * dy + error

    inputs = {"x": normal(4)}
    report = check(lambda x: (1e-4 * x, None), off_by(0.8e-9), inputs)
    assert "too small" not in str(report)
    with pytest.raises(GradientError, match="4 of 4"):
        check(lambda x: (1e-4 * x, None), off_by(1.4e-9), inputs)


def test_floor_grows_with_y_so_that_rounding_of_large_outputs_is_no_false_alarm():
    def forward(x):
        return 1e6 + x**2, x

    # At 1e6 the last digit is 1e-10, and the step is 1e-5: 1e-5 of error is rounding.
    check(forward, lambda dy, x: 2 * dy * x, {"x": normal(50) * 1e-3})


def test_the_many_outputs_that_do_not_move_add_no_rounding():
    # Summed as they are, 100,000 numbers of order one would blur a difference of 1e-8.
    still = normal(100_000)

    def forward(x):
        return np.concatenate([1e-3 * x, still]), None

    report = check(forward, lambda dy, cache: 1e-3 * dy[:3], {"x": normal(3)})
    assert report.relative_error < 1e-8


# --- large inputs -------------------------------------------------------------------------------

LARGE = {"x": normal(3, 20), "weight": normal(11, 20), "bias": normal(11)}  # weight has 220


def counted(forward):
    calls = []

    def counting(**inputs):
        calls.append(1)
        return forward(**inputs)

    return counting, calls


@pytest.mark.parametrize(("n", "few"), [(199, False), (200, True)])
def test_from_200_elements_on_a_few_directions_replace_the_single_elements(n, few):
    forward, calls = counted(sine_forward)
    report = check(forward, scaled(1.0), {"x": normal(n)})
    assert (len(calls) < 50) == few
    assert (report.inputs["x"].index is None) == few
    assert report.inputs["x"].analytic == pytest.approx(report.inputs["x"].numeric, rel=1e-6)


def test_several_directions_are_tried():
    forward, calls = counted(sine_forward)
    check(forward, scaled(1.0), {"x": normal(300)})
    assert len(calls) >= 2 * 3 + 1


def test_wrong_gradient_of_a_large_input_is_found_and_an_element_named():
    def backward(dy, cache):
        dx, dweight, dbias = linear_backward(dy, cache)
        return dx, 2 * dweight, dbias

    with pytest.raises(GradientError) as caught:
        check(linear_forward, backward, LARGE)
    found = re.search(
        r"WRONG  weight \(11, 20\): relative error 0.5 at weight\[(\d+), (\d+)\], "
        r"backward (\S+), measured (\S+); .*\b2 times",
        str(caught.value),
    )
    assert found, str(caught.value)
    row, column, analytic, numeric = (float(group) for group in found.groups())
    assert (0 <= row < 11, 0 <= column < 20) == (True, True)
    assert analytic == pytest.approx(2 * numeric, rel=1e-4)
    assert str(caught.value).count("right") == 2


def test_elements_sampled_in_a_large_input_are_where_the_report_says():
    def backward(dy, cache):
        dx, dweight, dbias = linear_backward(dy, cache)
        dweight[:, 13] += 1.0
        return dx, dweight, dbias

    with pytest.raises(GradientError, match=r"WRONG  weight .* at weight\[\d+, 13\], "):
        check(linear_forward, backward, LARGE)


def test_single_wrong_element_among_ten_thousand_is_noticed():
    def backward(dy, x):
        dx = dy * np.cos(x)
        dx[123, 45] += 0.5
        return dx

    with pytest.raises(GradientError, match=r"WRONG  x \(125, 80\): .* at one direction, "):
        check(sine_forward, backward, {"x": normal(125, 80)})


def test_gradients_of_large_inputs_too_small_to_be_measured_are_reported_as_such():
    def forward(x, tiny):
        return x + 1e-12 * tiny, None

    inputs = {"x": normal(300), "tiny": normal(300)}
    report = check(forward, lambda dy, cache: (dy, np.zeros(300)), inputs)
    assert "too small" in report.inputs["tiny"].detail
    assert "too small" not in report.inputs["x"].detail


# --- composites, models, several outputs --------------------------------------------------------


def mlp_forward(params, x):
    hidden = np.tanh(x @ params["0.weight"].T + params["0.bias"])
    return hidden @ params["2.weight"].T, (params, x, hidden)


def mlp_backward(dy, cache):
    params, x, hidden = cache
    inner = dy @ params["2.weight"] * (1 - hidden**2)
    grads = {"2.weight": dy.T @ hidden, "0.bias": inner.sum(axis=0), "0.weight": inner.T @ x}
    return inner @ params["0.weight"], grads


PARAMS = {"0.weight": normal(5, 3), "0.bias": normal(5), "2.weight": normal(4, 5)}


def composite(x, **params):
    return mlp_forward(params, x)


def test_composite_that_returns_dx_and_a_dictionary_is_checked_by_name():
    report = check(composite, mlp_backward, {"x": normal(2, 3), **PARAMS})
    assert list(report.inputs) == ["x", *PARAMS]

    def with_a_bug(dy, cache):
        dx, grads = mlp_backward(dy, cache)
        return dx, {**grads, "0.bias": 2 * grads["0.bias"]}

    with pytest.raises(GradientError, match=r"WRONG  0\.bias \(5,\)"):
        check(composite, with_a_bug, {"x": normal(2, 3), **PARAMS})


def test_model_with_a_dictionary_of_gradients_is_checked_by_name():
    x, target = normal(2, 3), normal(2, 4)

    def forward(**params):
        y, cache = mlp_forward(params, x)
        return float(np.mean((y - target) ** 2)), (y - target, cache)

    def model_backward(cache):
        miss, inner = cache
        return mlp_backward(2 * miss / miss.size, inner)[1]

    def backward(dy, cache):
        return {name: dy * gradient for name, gradient in model_backward(cache).items()}

    assert check(forward, backward, PARAMS).wrong == []
    with pytest.raises(GradientError, match="3 of 3 gradients wrong"):
        check(forward, lambda dy, cache: model_backward(cache), PARAMS)  # dy is not used


def test_several_outputs_have_a_gradient_each():
    def forward(x):
        return (np.sin(x), x.sum()), x

    def backward(dy, x):
        dsine, dsum = dy
        return dsine * np.cos(x) + dsum

    check(forward, backward, {"x": normal(5)})
    with pytest.raises(GradientError, match="WRONG  x"):
        check(forward, lambda dy, x: dy[0] * np.cos(x), {"x": normal(5)})


def test_gradients_may_come_as_a_list_in_the_order_of_the_inputs():
    check(linear_forward, lambda dy, cache: list(linear_backward(dy, cache)), LINEAR)


def test_integer_and_boolean_inputs_are_handed_on_and_held_fixed():
    def forward(mask, x, ids):
        assert mask.dtype == bool
        assert ids.dtype == np.int32
        return np.where(mask, x, 0.0)[ids], (mask, ids)

    def backward(dy, cache):
        mask, ids = cache
        dx = np.zeros(mask.shape)
        np.add.at(dx, ids, dy)
        return dx * mask

    inputs = {
        "mask": np.array([True, False, True]),
        "x": normal(3),
        "ids": np.array([0, 2, 2, 1], dtype=np.int32),
    }
    assert list(check(forward, backward, inputs).inputs) == ["x"]


# --- inputs stay as they are --------------------------------------------------------------------


def test_inputs_are_left_unchanged():
    inputs = {name: value.copy() for name, value in LARGE.items()}
    check(linear_forward, linear_backward, inputs)
    for name, value in LARGE.items():
        np.testing.assert_array_equal(inputs[name], value)


def test_forward_that_writes_into_its_input_is_refused_and_the_caller_s_array_kept():
    def forward(x):
        positive = x > 0
        x[~positive] = 0
        return x, positive

    inputs = {"x": normal(8)}
    with pytest.raises(ValueError, match=r"forward .*'x' in place"):
        check(forward, lambda dy, positive: dy * positive, inputs)
    np.testing.assert_array_equal(inputs["x"], normal(8))


def test_backward_that_writes_into_dy_is_refused():
    def backward(dy, x):
        dy *= np.cos(x)
        return dy

    with pytest.raises(GradientError, match=r"backward .*dy in place"):
        check(sine_forward, backward, {"x": normal(8)})


def test_backward_that_writes_into_an_input_is_refused():
    def backward(dy, x):
        np.cos(x, out=x)
        return dy * x

    with pytest.raises(GradientError, match=r"backward .*'x' in place"):
        check(sine_forward, backward, {"x": normal(8)})


def test_forward_that_reuses_the_memory_of_its_output_is_measured_rightly():
    memory = np.zeros(8)
    gradient = np.zeros(8)

    def forward(x):
        np.sin(x, out=memory)
        np.cos(x, out=gradient)
        return memory, x

    check(forward, scaled(1.0), {"x": normal(8)})
    check(forward, lambda dy, x: np.multiply(dy, gradient, out=gradient), {"x": normal(8)})


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (normal(3).astype(np.float32), "'x' .*float32.*float64"),
        (normal(3).astype(np.float16), "'x' .*float16.*float64"),
        (normal(3) * 1j, "'x' .*complex128.*float64"),
        (0.5, "'x' .*float.* array"),
        (None, "'x' .*NoneType.* array"),
        (np.zeros((2, 0)), r"'x' .*\(2, 0\).* empty"),
        (np.array([[0.0, 1.0], [math.inf, math.nan]]), r"'x' is not finite.*inf.*\[1, 0\]"),
        (np.array(math.nan), "'x' is not finite.*nan"),
        (np.arange(3), "no input .*float64"),
    ],
)
def test_input_that_cannot_be_checked_is_refused(value, complaint):
    with pytest.raises(ValueError, match=complaint):
        check(lambda x: (x, None), lambda dy, cache: dy, {"x": value})


@pytest.mark.parametrize(
    ("forward", "complaint"),
    [
        (lambda x: x, r"\(y, cache\).*ndarray"),
        (lambda x: (x, x, None), r"\(y, cache\).*tuple of 3"),
        (lambda x: (x.astype(np.float32), None), "y float32 .*float64"),
        (lambda x: (x > 0, None), "y bool .*float64"),
        (lambda x: (x[:0], None), r"empty y.*\(0,\)"),
        (lambda x: (x / np.array([1, 0, 1]), None), r"y is not finite.*inf.*\[1\]"),
        (lambda x: ((x, np.log(x - 9)), None), r"y is not finite.*nan.*\[0\]"),
        (lambda x: (float("nan"), None), "y is not finite.*nan"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning", "ignore:invalid:RuntimeWarning")
def test_output_that_cannot_be_checked_is_refused(forward, complaint):
    with pytest.raises(ValueError, match=complaint):
        check(forward, lambda dy, cache: dy, {"x": np.array([1.0, 2.0, 3.0])})


def test_output_that_stops_being_finite_when_the_input_moves_is_refused():
    with pytest.raises(ValueError, match="y is not finite"), np.errstate(all="ignore"):
        check(lambda x: (np.sqrt(x), x), lambda dy, x: dy, {"x": np.zeros(2)})


def test_forward_with_running_randomness_is_refused_and_dropout_named():
    rng = np.random.default_rng(0)

    def forward(x):
        keep = rng.random(x.shape) > 0.5
        return x * keep, keep

    with pytest.raises(ValueError, match=r"two calls.*differ.*dropout"):
        check(forward, lambda dy, keep: dy * keep, {"x": normal(40)})


@pytest.mark.parametrize("size", [1.0, 1e-6])
def test_output_that_differs_only_a_little_from_call_to_call_is_refused(size):
    calls = []

    def forward(x):
        calls.append(1)
        return size * np.sin(x) + 1e-9 * len(calls), x

    with pytest.raises(ValueError, match=r"two calls.*differ"):
        check(forward, lambda dy, x: size * dy * np.cos(x), {"x": normal(4)})


def test_output_that_differs_in_its_last_bits_is_taken_for_the_same():
    calls = []

    def forward(x):
        calls.append(1)
        return np.sin(x) + 1e-15 * (-1) ** len(calls), x

    check(forward, scaled(1.0), {"x": normal(4)})


def test_dropout_whose_generator_is_made_anew_in_each_call_can_be_checked():
    def forward(x):
        keep = np.random.default_rng(0).random(x.shape) > 0.5
        return x * keep, keep

    check(forward, lambda dy, keep: dy * keep, {"x": normal(40)})


def test_forward_whose_output_changes_its_shape_is_refused():
    sizes = iter(range(1, 9))
    with pytest.raises(ValueError, match=r"two calls.*differ"):
        check(lambda x: (np.zeros(next(sizes)), x), lambda dy, x: dy, {"x": normal(3)})


@pytest.mark.parametrize(
    ("returned", "complaint"),
    [
        (lambda dx, dw: dx, r"\b1 .*\b2 .*x, weight"),
        (lambda dx, dw: (dx,), r"\b1 .*\b2 .*x, weight"),
        (lambda dx, dw: (dx, dw, dx), r"\b3 .*\b2 .*x, weight"),
        (lambda dx, dw: (dx, None), "no gradient of weight$"),
        (lambda dx, dw: {"weight": dw}, "no gradient of x$"),
        (lambda dx, dw: {}, "no gradient of x, weight$"),
        (lambda dx, dw: {"x": dx, "dweight": dw}, "gradient of dweight.*x, weight"),
        (lambda dx, dw: (dx, {"weight": dw, "bias": dw}), "gradient of bias.*x, weight"),
        (lambda dx, dw: {"x": dx, "weight": dw, "ids": dw}, "gradient of ids.*x, weight"),
        (lambda dx, dw: (dx, dw, {"weight": dw}), r"\b2 .*\b1 .*x"),
    ],
)
def test_missing_and_extra_gradients_are_named(returned, complaint):
    inputs = {"x": normal(2, 5), "weight": normal(5, 5), "ids": np.arange(3)}
    with pytest.raises(GradientError, match=complaint):
        check(
            lambda x, weight, ids: residual_forward(x, weight),
            lambda dy, cache: returned(*residual_backward(dy, cache)),
            inputs,
        )


@pytest.mark.parametrize(
    ("gradient", "complaint"),
    [
        (np.zeros((4, 3)), r"of x .*\(4, 3\).*\(3, 4\).*transposed"),
        (np.zeros((2, 3, 4)), r"\(2, 3, 4\).*\(3, 4\).*sum is missing"),
        (np.zeros((1, 3, 4)), "length 1"),
        (np.zeros(4), r"\(4,\).*\(3, 4\).*summed"),
        (np.float64(0), r"\(\).*\(3, 4\).*summed"),
        (np.zeros(12), r"\(12,\).*\(3, 4\), the shape of x$"),
        (np.zeros((3, 5)), r"\(3, 5\).*\(3, 4\), the shape of x$"),
        (np.zeros((1, 3, 1)), r"\(1, 3, 1\).*\(3, 4\), the shape of x$"),
        (np.zeros((3, 4), dtype=np.float32), "of x .*float32.*float64"),
        (np.diag([0, math.nan, 0, 0])[:3], r"of x is not finite.*nan.*\[1, 1\]"),
    ],
)
def test_gradient_that_does_not_fit_is_refused_with_both_shapes_and_a_cause(gradient, complaint):
    with pytest.raises(GradientError, match=complaint):
        check(sine_forward, lambda dy, cache: gradient, {"x": normal(3, 4)})


def test_every_gradient_of_the_wrong_shape_is_listed():
    def backward(dy, cache):
        dx, dweight, dbias = linear_backward(dy, cache)
        return dx.T, dweight.T, dbias

    with pytest.raises(GradientError, match=r"of x .*\(3, 2\).*\n.*of weight .*\(3, 4\)"):
        check(linear_forward, backward, LINEAR)


def test_gradient_error_is_an_assertion_error_so_that_a_test_fails_by_it():
    with pytest.raises(AssertionError, match="wrong"):
        check(sine_forward, scaled(2.0), {"x": normal(3)})
