"""The CNN: its gradients measured and those of torch's twin, and that it begins and learns well."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from phase00.gradcheck import check_backward
from phase01.cnn import CNN, CNNConfig, conv_parameters, dense_parameters, n_multiply_add
from phase01.optimizers import Adam

IMAGE = (2, 9, 7)  # pooled to (4, 3), then to (2, 1)
FILTERS = (3, 4)
PLAIN = (IMAGE, FILTERS, 5)
NORM = (IMAGE, FILTERS, 5, 3, 0.0, True)
ALL = (IMAGE, FILTERS, 5, 3, 0.3, True)


class Twin(torch.nn.Module):
    """The same network in torch, without dropout."""

    def __init__(self, config: CNNConfig) -> None:
        super().__init__()
        n_channels = [config.image[0], *config.filters]
        self.convs = torch.nn.ModuleList(
            torch.nn.Conv2d(n_channel, n_filter, config.window, padding=config.window // 2)
            for n_channel, n_filter in pairwise(n_channels)
        )
        norms = [torch.nn.BatchNorm2d(n_filter) for n_filter in config.filters]
        self.norms = torch.nn.ModuleList(norms if config.batch_norm else [])
        halvings = 2 ** len(config.filters)
        places = (config.image[1] // halvings) * (config.image[2] // halvings)
        head = torch.nn.Linear(config.filters[-1] * places, config.n_class)
        self.layers = torch.nn.ModuleList([head])

    def forward(self, x):
        for i, conv in enumerate(self.convs):
            x = torch.nn.functional.max_pool2d(conv(x), 2)
            if self.norms:
                x = self.norms[i](x)
            x = torch.relu(x)
        return self.layers[0](x.flatten(1))


def batch(n_image=3, seed=0, dtype=np.float64, n_class=5):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_image, *IMAGE)).astype(dtype)
    return x, rng.integers(n_class, size=n_image)


def shaken(config, seed=0, dtype=np.float64):
    """A model whose every parameter and buffer is random, and large enough to matter."""
    model, rng = CNN(config, np.random.default_rng(seed), dtype), np.random.default_rng(seed + 1)
    for name, array in [*model.params.items(), *model.buffers.items()]:
        array += rng.normal(0, 0.4, size=array.shape)
        if "norms" in name and ("weight" in name or "var" in name):
            array[:] = np.abs(array) + 0.3
    return model


def twin_of(model):
    twin = Twin(model.config).double()
    arrays = {**model.params, **model.buffers}
    state = {name: torch.tensor(np.float64(array)) for name, array in arrays.items()}
    missing, unexpected = twin.load_state_dict(state, strict=False)
    assert not unexpected
    assert all("num_batches_tracked" in name for name in missing)
    return twin


# ---- gradients ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",  # image, filters, classes, window, dropout, batch norm
    [PLAIN, NORM, ((3, 8, 10), (4, 2, 5), 6, 5, 0.0, True), ((1, 4, 5), (2,), 3, 1)],
    ids=str,
)
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_loss_and_gradients_are_those_of_torch(options, training):
    config = CNNConfig(*options)
    model, rng = shaken(config), np.random.default_rng(4)
    twin = twin_of(model).train(training)
    x = rng.normal(size=(7, *config.image))
    targets = rng.integers(config.n_class, size=7)
    truth = torch.nn.functional.cross_entropy(twin(torch.tensor(x)), torch.tensor(targets))
    truth.backward()
    loss, cache = model.forward(x, targets, np.random.default_rng(0) if training else None)
    grads = model.backward(cache)
    assert loss == pytest.approx(truth.item(), rel=1e-10)
    assert grads.keys() == model.params.keys()
    for name, parameter in twin.named_parameters():
        np.testing.assert_allclose(
            grads[name], parameter.grad.numpy(), rtol=1e-9, atol=1e-10, err_msg=name
        )
    state = twin.state_dict()
    for name, buffer in model.buffers.items():
        np.testing.assert_allclose(buffer, state[name].numpy(), rtol=1e-10)


@pytest.mark.parametrize("options", [PLAIN, ALL, ((1, 6, 4), (3,), 4, 5)], ids=str)
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_gradient_of_the_whole_model_agrees_with_measured_one(options, training):
    config = CNNConfig(*options)
    model, rng = shaken(config), np.random.default_rng(3)
    x = rng.normal(size=(6, *config.image))
    targets = rng.integers(config.n_class, size=6)

    def forward(**params):
        model.params = params
        return model.forward(x, targets, np.random.default_rng(7) if training else None)

    def backward(dloss, cache):
        return {name: dloss * gradient for name, gradient in model.backward(cache).items()}

    check_backward(forward, backward, dict(model.params), np.random.default_rng(0))


# ---- how it begins -----------------------------------------------------------------------


@pytest.mark.parametrize("options", [PLAIN, NORM], ids=["plain", "norm"])
def test_names_and_shapes_are_those_of_a_torch_module(options):
    config = CNNConfig(*options)
    model = CNN(config, np.random.default_rng(0))
    state = {name: tuple(tensor.shape) for name, tensor in Twin(config).state_dict().items()}
    arrays = {**model.params, **model.buffers}
    assert {name: array.shape for name, array in arrays.items()} == {
        name: shape for name, shape in state.items() if "num_batches_tracked" not in name
    }
    assert model.params.keys() == dict(Twin(config).named_parameters()).keys()


def test_shapes_follow_the_image_through_the_blocks():
    assert CNNConfig(*PLAIN).shapes == [(2, 9, 7), (3, 4, 3), (4, 2, 1)]
    assert CNNConfig((3, 32, 32), (8,), 10).shapes == [(3, 32, 32), (8, 16, 16)]


def test_parameters_are_counted():
    model = CNN(CNNConfig(*NORM), np.random.default_rng(0))
    convolutions = (3 * 2 * 9 + 3) + (4 * 3 * 9 + 4)
    assert model.n_parameter == convolutions + 2 * 3 + 2 * 4 + (5 * 4 * 2 * 1 + 5)
    assert conv_parameters(model.config) == [3 * 2 * 9 + 3, 4 * 3 * 9 + 4]


def test_dense_layer_of_the_same_output_has_a_weight_for_each_pair():
    pairs = [(2 * 9 * 7, 3 * 9 * 7), (3 * 4 * 3, 4 * 4 * 3)]
    assert dense_parameters(CNNConfig(*PLAIN)) == [n * m + m for n, m in pairs]


def test_multiplications_are_counted_by_place_and_filter():
    # 9 x 7 places of 3 filters that see 2 x 3 x 3 numbers, then 4 x 3 of 4 that see 3 x 3 x 3.
    by_hand = 9 * 7 * 3 * 2 * 9 + 4 * 3 * 4 * 3 * 9 + 8 * 5
    assert n_multiply_add(CNNConfig(*PLAIN)) == by_hand
    assert n_multiply_add(CNNConfig(*ALL)) == by_hand


@pytest.mark.parametrize("n_class", [2, 10, 50])
@pytest.mark.parametrize("batch_norm", [True, False], ids=["norm", "plain"])
def test_initial_loss_is_near_the_logarithm_of_the_number_of_classes(n_class, batch_norm):
    rng = np.random.default_rng(3)
    model = CNN(CNNConfig((3, 16, 16), (16, 32), n_class, batch_norm=batch_norm), rng)
    x = rng.normal(size=(100, 3, 16, 16))
    loss, _ = model.forward(x, rng.integers(n_class, size=100), rng)
    assert loss == pytest.approx(math.log(n_class), rel=0.03)


def test_weights_begin_with_the_variance_that_pooling_asks_for_and_the_head_with_less():
    model = CNN(CNNConfig((20, 16, 16), (60, 50), 40), np.random.default_rng(1))
    largest = np.random.default_rng(2).normal(size=(100_000, 4)).max(axis=1)
    square = np.mean(np.maximum(largest, 0) ** 2)  # of ReLU's output, for sums of variance 1
    assert np.var(model.params["convs.0.weight"]) == pytest.approx(1 / (20 * 9 * square), rel=0.05)
    assert np.var(model.params["convs.1.weight"]) == pytest.approx(1 / (60 * 9 * square), rel=0.05)
    head = model.params["layers.0.weight"]
    assert np.std(head) == pytest.approx(0.1 * math.sqrt(2 / (800 + 40)), rel=0.05)
    for name in ("convs.0.bias", "convs.1.bias", "layers.0.bias"):
        assert not np.any(model.params[name])


def test_one_seed_gives_one_model_and_another_gives_another():
    first, again = (CNN(CNNConfig(*ALL), np.random.default_rng(5)) for _ in range(2))
    other = CNN(CNNConfig(*ALL), np.random.default_rng(6))
    for name, param in first.params.items():
        np.testing.assert_array_equal(again.params[name], param)
    assert np.all(other.params["convs.1.weight"] != first.params["convs.1.weight"])


def test_norms_begin_as_the_identity_in_evaluation():
    model = CNN(CNNConfig(*NORM), np.random.default_rng(0), np.float64)
    plain = CNN(CNNConfig(*PLAIN), np.random.default_rng(0), np.float64)
    x, _ = batch()
    np.testing.assert_allclose(model.logits(x), plain.logits(x), rtol=1e-4)


# ---- how it runs -------------------------------------------------------------------------


@pytest.mark.parametrize("options", [PLAIN, ALL], ids=["plain", "all"])
def test_float32_model_stays_float32(options):
    model = CNN(CNNConfig(*options), np.random.default_rng(0))
    optimizer = Adam(model.params, 0.01)
    for x_dtype in (np.float32, np.float64):
        x, targets = batch(6, dtype=x_dtype)
        loss, cache = model.forward(x, targets, np.random.default_rng(1))
        grads = model.backward(cache)
        optimizer.step(grads)
        assert isinstance(loss, float)
        assert model.logits(x).dtype == np.float32
        for arrays in (grads, model.params, model.buffers):
            assert {array.dtype for array in arrays.values()} <= {np.dtype(np.float32)}


def test_float32_model_is_near_the_same_one_in_float64():
    single, double = (shaken(CNNConfig(*NORM), dtype=dtype) for dtype in (np.float32, np.float64))
    x, targets = batch(9)
    found = []
    for model in (single, double):
        loss, cache = model.forward(x, targets, np.random.default_rng(0))
        found.append((loss, model.backward(cache)))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    for name, gradient in found[1][1].items():
        np.testing.assert_allclose(found[0][1][name], gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", [PLAIN, NORM], ids=["plain", "norm"])
def test_one_batch_is_learned_by_heart(options):
    model, (x, targets) = CNN(CNNConfig(*options), np.random.default_rng(0)), batch(10)
    optimizer, rng = Adam(model.params, 0.02), np.random.default_rng(0)
    for _ in range(200):
        loss, cache = model.forward(x, targets, rng)
        optimizer.step(model.backward(cache))
    assert loss < 0.01
    for _ in range(100):
        model.forward(x, targets, rng)  # the running statistics come up with the weights
    np.testing.assert_array_equal(model.predict(x), targets)


def bars(corners, rng):
    """Images 8 x 8 with a bar of three pixels at each corner, and whether it stands upright."""
    x = rng.normal(0, 0.1, size=(2 * len(corners), 1, 8, 8))
    for i, (row, column) in enumerate(corners):
        x[2 * i, 0, row, column : column + 3] += 1
        x[2 * i + 1, 0, row : row + 3, column] += 1
    return x, np.arange(len(x)) % 2


def test_pattern_is_recognized_where_it_never_stood():
    rng = np.random.default_rng(0)
    x, targets = bars([(row, column) for row in (0, 1, 4, 5) for column in (0, 1, 4, 5)], rng)
    model = CNN(CNNConfig((1, 8, 8), (6, 8), 2), rng)
    optimizer = Adam(model.params, 0.01)
    for _ in range(60):
        _, cache = model.forward(x, targets, rng)
        optimizer.step(model.backward(cache))
    x, targets = bars([(row, column) for row in (2, 3) for column in (2, 3)], rng)
    np.testing.assert_array_equal(model.predict(x), targets)


def test_prediction_is_the_class_with_the_highest_score():
    model, (x, _) = shaken(CNNConfig(*PLAIN)), batch(40)
    scores = model.logits(x)
    assert scores.shape == (40, 5)
    predicted = model.predict(x)
    assert predicted.shape == (40,)
    np.testing.assert_array_equal(scores[np.arange(40), predicted], scores.max(axis=1))
    assert len(set(predicted.tolist())) > 1


def test_scores_are_the_same_in_batches_of_any_size():
    model, (x, _) = shaken(CNNConfig(*NORM)), batch(11)
    truth = model.logits(x)
    for batch_size in (1, 4, 11, 12):
        np.testing.assert_allclose(model.logits(x, batch_size), truth, rtol=1e-10)
        np.testing.assert_array_equal(model.predict(x, batch_size), np.argmax(truth, axis=1))


def test_no_images_have_no_scores():
    model = CNN(CNNConfig(*NORM), np.random.default_rng(0))
    assert model.logits(np.zeros((0, *IMAGE))).shape == (0, 5)
    assert model.predict(np.zeros((0, *IMAGE))).shape == (0,)


def test_loss_is_the_cross_entropy_of_the_logits():
    model, (x, targets) = shaken(CNNConfig(*NORM)), batch(6)
    loss, _ = model.forward(x, targets)
    scores = model.logits(x)
    by_hand = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(6), targets]
    assert loss == pytest.approx(by_hand.mean(), rel=1e-10)


def test_dropout_works_in_training_alone():
    model, (x, targets) = shaken(CNNConfig(*PLAIN, dropout=0.5)), batch(6)
    rng = np.random.default_rng(1)
    training = [model.forward(x, targets, rng)[0] for _ in range(2)]
    evaluation = [model.forward(x, targets)[0] for _ in range(2)]
    assert training[0] != training[1]
    assert evaluation[0] == evaluation[1] != training[0]
    assert evaluation[0] == shaken(CNNConfig(*PLAIN)).forward(x, targets)[0]


def test_running_statistics_change_in_training_alone():
    model, (x, targets) = shaken(CNNConfig(*NORM)), batch(6)
    before = {name: buffer.copy() for name, buffer in model.buffers.items()}
    model.forward(x, targets)
    model.predict(x)
    for name, buffer in model.buffers.items():
        np.testing.assert_array_equal(buffer, before[name])
    model.forward(x, targets, np.random.default_rng(0))
    for name, buffer in model.buffers.items():
        assert np.all(buffer != before[name])


def test_nothing_is_kept_on_the_model_and_backward_can_wait():
    model, (x, targets) = shaken(CNNConfig(*PLAIN)), batch(6)
    _, cache = model.forward(x, targets)
    truth = model.backward(cache)
    model.forward(*batch(3, seed=1))
    for name, gradient in model.backward(cache).items():
        np.testing.assert_array_equal(gradient, truth[name])


# ---- mistakes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (((3, 8), FILTERS, 5), "image"),
        (((3, 0, 8), FILTERS, 5), "image"),
        ((IMAGE, (), 5), "filters"),
        ((IMAGE, (3, 0), 5), "filters"),
        ((IMAGE, FILTERS, 0), "class"),
        ((IMAGE, FILTERS, 5, 4), "window"),
        ((IMAGE, FILTERS, 5, -1), "window"),
        ((IMAGE, FILTERS, 5, 3, 1.0), "dropout"),
        ((IMAGE, FILTERS, 5, 3, -0.1), "dropout"),
        ((IMAGE, (3, 3, 3), 5), "image|filters"),
    ],
    ids=str,
)
def test_network_that_cannot_be_is_refused(options, field):
    with pytest.raises(ValueError, match=field):
        CNNConfig(*options)


@pytest.mark.parametrize("shape", [(3, 2, 7, 9), (3, 1, 9, 7)], ids=str)
def test_images_of_another_shape_are_refused_with_both(shape):
    model = CNN(CNNConfig(*PLAIN), np.random.default_rng(0))
    other = ", ".join(map(str, shape[1:]))
    with pytest.raises(ValueError, match=f"(?=.*2, 9, 7)(?=.*{other})"):
        model.forward(np.ones(shape), np.zeros(3, int))
    with pytest.raises(ValueError, match=r"."):
        model.predict(np.ones(shape))


@pytest.mark.parametrize("target", [-1, 5])
def test_target_that_is_no_class_is_refused(target):
    model, (x, targets) = CNN(CNNConfig(*PLAIN), np.random.default_rng(0)), batch()
    targets[1] = target
    with pytest.raises(ValueError, match=rf"(?<!\d){target}\b"):
        model.forward(x, targets)
