"""The MLP: its gradients measured and those of torch's twin, and that it begins and learns well."""

import math

import numpy as np
import pytest
import torch

from phase00.gradcheck import check_backward
from phase01.mlp import MLP, MLPConfig
from phase01.optimizers import SGD, Adam

WIDTHS = (5, 7, 6, 4)
TORCH_ACTIVATIONS = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
}
EACH_ACTIVATION = pytest.mark.parametrize("activation", TORCH_ACTIVATIONS)


class Twin(torch.nn.Module):
    """The same network in torch, without dropout."""

    def __init__(self, config: MLPConfig) -> None:
        super().__init__()
        pairs = list(zip(config.widths[:-1], config.widths[1:], strict=True))
        self.layers = torch.nn.ModuleList([torch.nn.Linear(*pair) for pair in pairs])
        norms = [torch.nn.BatchNorm1d(d_out) for _, d_out in pairs[:-1]]
        self.norms = torch.nn.ModuleList(norms if config.batch_norm else [])
        self.activation = TORCH_ACTIVATIONS[config.activation]

    def forward(self, x):
        for i, layer in enumerate(self.layers[:-1]):
            x = layer(x)
            if self.norms:
                x = self.norms[i](x)
            x = self.activation(x)
        return self.layers[-1](x)


def batch(n_example=3, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_example, WIDTHS[0])).astype(dtype)
    return x, rng.integers(WIDTHS[-1], size=n_example)


def shaken(config, seed=0, dtype=np.float64):
    """A model whose every parameter and buffer is random, and large enough to matter."""
    model, rng = MLP(config, np.random.default_rng(seed), dtype), np.random.default_rng(seed + 1)
    for array in [*model.params.values(), *model.buffers.values()]:
        array += np.abs(rng.normal(0.5, 0.4, size=array.shape)) * rng.choice([1, 1, 1, -0.2])
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


@EACH_ACTIVATION
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("batch_norm", [True, False], ids=["norm", "plain"])
def test_loss_and_gradients_are_those_of_torch(activation, training, batch_norm):
    model = shaken(MLPConfig(WIDTHS, activation, batch_norm=batch_norm))
    twin, (x, targets) = twin_of(model).train(training), batch(9)
    truth = torch.nn.functional.cross_entropy(twin(torch.tensor(x)), torch.tensor(targets))
    truth.backward()
    loss, cache = model.forward(x, targets, np.random.default_rng(0) if training else None)
    grads = model.backward(cache)
    assert loss == pytest.approx(truth.item(), rel=1e-10)
    assert grads.keys() == model.params.keys()
    for name, parameter in twin.named_parameters():
        np.testing.assert_allclose(grads[name], parameter.grad.numpy(), rtol=1e-9, atol=1e-10)
    state = twin.state_dict()
    for name, buffer in model.buffers.items():
        np.testing.assert_allclose(buffer, state[name].numpy(), rtol=1e-10)


@pytest.mark.parametrize(
    "options",  # widths, activation, dropout, batch norm; the config is made in the test
    [
        (WIDTHS, "tanh"),
        (WIDTHS, "gelu", 0.4),
        (WIDTHS, "sigmoid", 0.0, True),
        (WIDTHS, "gelu_tanh", 0.3, True),
        ((5, 4),),
        ((5, 3, 4), "relu"),
    ],
    ids=str,
)
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_gradient_of_the_whole_model_agrees_with_measured_one(options, training):
    model, (x, targets) = shaken(MLPConfig(*options)), batch(8)

    def forward(**params):
        model.params = params
        return model.forward(x, targets, np.random.default_rng(7) if training else None)

    def backward(dloss, cache):
        return {name: dloss * gradient for name, gradient in model.backward(cache).items()}

    check_backward(forward, backward, dict(model.params), np.random.default_rng(0))


# ---- how it begins -----------------------------------------------------------------------


def test_names_and_shapes_are_those_of_a_torch_module():
    config = MLPConfig(WIDTHS, batch_norm=True)
    model = MLP(config, np.random.default_rng(0))
    state = {name: tuple(tensor.shape) for name, tensor in Twin(config).state_dict().items()}
    arrays = {**model.params, **model.buffers}
    assert {name: array.shape for name, array in arrays.items()} == {
        name: shape for name, shape in state.items() if "num_batches_tracked" not in name
    }
    assert model.params.keys() == dict(Twin(config).named_parameters()).keys()


def test_plain_model_has_linear_layers_and_nothing_else():
    model = MLP(MLPConfig((5, 3, 4)), np.random.default_rng(0))
    assert list(model.params) == [
        "layers.0.weight",
        "layers.0.bias",
        "layers.1.weight",
        "layers.1.bias",
    ]
    assert model.buffers == {}
    assert model.n_parameter == 5 * 3 + 3 + 3 * 4 + 4
    assert model.config.n_layer == 2


@pytest.mark.parametrize("n_class", [2, 10, 50])
@pytest.mark.parametrize("batch_norm", [True, False], ids=["norm", "plain"])
def test_initial_loss_is_near_the_logarithm_of_the_number_of_classes(n_class, batch_norm):
    config = MLPConfig((60, 200, 100, n_class), batch_norm=batch_norm)
    rng = np.random.default_rng(3)
    model = MLP(config, rng)
    x = rng.normal(size=(400, 60))
    loss, _ = model.forward(x, rng.integers(n_class, size=400), rng)
    assert loss == pytest.approx(math.log(n_class), rel=0.02)


@pytest.mark.parametrize(
    ("activation", "variance"),
    [
        ("relu", 2 / 300),
        ("gelu", 2 / 300),
        ("gelu_tanh", 2 / 300),
        ("tanh", 2 / (300 + 200)),
        ("sigmoid", 2 / (300 + 200)),
    ],
)
def test_weights_begin_with_the_variance_that_suits_the_activation(activation, variance):
    model = MLP(MLPConfig((300, 200, 150), activation), np.random.default_rng(1))
    weight = model.params["layers.0.weight"]
    assert np.var(weight) == pytest.approx(variance, rel=0.03)
    assert np.mean(weight) == pytest.approx(0, abs=1e-3)
    last = model.params["layers.1.weight"]
    assert np.std(last) == pytest.approx(0.1 * math.sqrt(2 / (200 + 150)), rel=0.03)
    assert not np.any(model.params["layers.0.bias"])


def test_one_seed_gives_one_model_and_another_gives_another():
    first, again = (MLP(MLPConfig(WIDTHS), np.random.default_rng(5)) for _ in range(2))
    other = MLP(MLPConfig(WIDTHS), np.random.default_rng(6))
    for name, param in first.params.items():
        np.testing.assert_array_equal(again.params[name], param)
    assert np.all(other.params["layers.1.weight"] != first.params["layers.1.weight"])


def test_norms_begin_as_the_identity_in_evaluation():
    model = MLP(MLPConfig(WIDTHS, batch_norm=True), np.random.default_rng(0), np.float64)
    plain = MLP(MLPConfig(WIDTHS), np.random.default_rng(0), np.float64)
    x, _ = batch()
    np.testing.assert_allclose(model.logits(x), plain.logits(x), rtol=1e-4)


# ---- how it runs -------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(WIDTHS, "gelu", 0.3, True), (WIDTHS,)], ids=str)
def test_float32_model_stays_float32(options):
    model = MLP(MLPConfig(*options), np.random.default_rng(0))
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
    config = MLPConfig(WIDTHS, "gelu", batch_norm=True)
    single, double = (shaken(config, dtype=dtype) for dtype in (np.float32, np.float64))
    x, targets = batch(9)
    found = []
    for model in (single, double):
        loss, cache = model.forward(x, targets, np.random.default_rng(0))
        found.append((loss, model.backward(cache)))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    for name, gradient in found[1][1].items():
        np.testing.assert_allclose(found[0][1][name], gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", [(WIDTHS,), (WIDTHS, "tanh", 0.0, True)], ids=str)
def test_one_batch_is_learned_by_heart(options):
    model, (x, targets) = MLP(MLPConfig(*options), np.random.default_rng(0)), batch(12)
    optimizer, rng = Adam(model.params, 0.02), np.random.default_rng(0)
    for _ in range(300):
        loss, cache = model.forward(x, targets, rng)
        optimizer.step(model.backward(cache))
    assert loss < 0.01
    training, _ = model.forward(x, targets, rng)
    assert training < 0.01
    for _ in range(100):
        model.forward(x, targets, rng)  # the running statistics come up with the weights
    np.testing.assert_array_equal(model.predict(x), targets)


def test_model_without_hidden_layers_learns_what_a_line_can_separate():
    rng = np.random.default_rng(2)
    targets = rng.integers(3, size=90)
    x = 4 * np.eye(3)[targets] + rng.normal(0, 0.3, size=(90, 3))
    model = MLP(MLPConfig((3, 3)), rng)
    optimizer = SGD(model.params, 0.5)
    for _ in range(100):
        _, cache = model.forward(x, targets, rng)
        optimizer.step(model.backward(cache))
    np.testing.assert_array_equal(model.predict(x), targets)


def test_prediction_is_the_class_with_the_highest_score():
    model, (x, _) = shaken(MLPConfig(WIDTHS, "tanh")), batch(40)
    scores = model.logits(x)
    assert scores.shape == (40, 4)
    predicted = model.predict(x)
    assert predicted.shape == (40,)
    np.testing.assert_array_equal(scores[np.arange(40), predicted], scores.max(axis=1))
    assert len(set(predicted.tolist())) > 1


def test_first_of_equal_classes_is_predicted():
    model = MLP(MLPConfig((2, 3)), np.random.default_rng(0))
    model.params["layers.0.weight"][:] = 0
    np.testing.assert_array_equal(model.predict(np.ones((2, 2))), [0, 0])


def test_loss_is_the_cross_entropy_of_the_logits():
    model, (x, targets) = shaken(MLPConfig(WIDTHS, "sigmoid")), batch(6)
    loss, _ = model.forward(x, targets)
    scores = model.logits(x)
    by_hand = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(6), targets]
    assert loss == pytest.approx(by_hand.mean(), rel=1e-10)


def test_dropout_works_in_training_alone():
    model, (x, targets) = shaken(MLPConfig(WIDTHS, "tanh", dropout=0.5)), batch(6)
    rng = np.random.default_rng(1)
    training = [model.forward(x, targets, rng)[0] for _ in range(2)]
    evaluation = [model.forward(x, targets)[0] for _ in range(2)]
    assert training[0] != training[1]
    assert evaluation[0] == evaluation[1] != training[0]
    plain = shaken(MLPConfig(WIDTHS, "tanh"))
    assert evaluation[0] == plain.forward(x, targets)[0]


def test_scores_and_last_layer_are_never_dropped():
    model, (x, targets) = shaken(MLPConfig((5, 4), dropout=0.9)), batch(6)
    loss, _ = model.forward(x, targets, np.random.default_rng(1))
    assert loss == model.forward(x, targets)[0]


def test_running_statistics_change_in_training_alone():
    model, (x, targets) = shaken(MLPConfig(WIDTHS, batch_norm=True)), batch(6)
    before = {name: buffer.copy() for name, buffer in model.buffers.items()}
    model.forward(x, targets)
    model.predict(x)
    for name, buffer in model.buffers.items():
        np.testing.assert_array_equal(buffer, before[name])
    model.forward(x, targets, np.random.default_rng(0))
    for name, buffer in model.buffers.items():
        assert np.all(buffer != before[name])


def test_nothing_is_kept_on_the_model_and_backward_can_wait():
    model, (x, targets) = shaken(MLPConfig(WIDTHS)), batch(6)
    _, cache = model.forward(x, targets)
    truth = model.backward(cache)
    model.forward(*batch(3, seed=1))
    for name, gradient in model.backward(cache).items():
        np.testing.assert_array_equal(gradient, truth[name])


def test_examples_do_not_see_each_other_in_evaluation():
    model, (x, _) = shaken(MLPConfig(WIDTHS, batch_norm=True)), batch(6)
    np.testing.assert_allclose(model.logits(x)[2:3], model.logits(x[2:3]), rtol=1e-10)


# ---- mistakes ----------------------------------------------------------------------------


@pytest.mark.parametrize("widths", [(), (5,), (5, 0, 4), (5, -1)], ids=str)
def test_widths_that_make_no_network_are_refused(widths):
    with pytest.raises(ValueError, match="widths"):
        MLPConfig(widths)


def test_layer_of_one_unit_is_a_layer():
    model = MLP(MLPConfig((3, 1, 2)), np.random.default_rng(0))
    assert model.logits(np.ones((4, 3))).shape == (4, 2)


def test_unknown_activation_is_refused_by_name():
    with pytest.raises(ValueError, match=r"(?=.*activation)(?=.*swish)"):
        MLPConfig(WIDTHS, "swish")


@pytest.mark.parametrize("dropout", [-0.1, 1.0, math.nan])
def test_dropout_out_of_range_is_refused(dropout):
    with pytest.raises(ValueError, match=f"(?=.*dropout)(?=.*{dropout})"):
        MLPConfig(WIDTHS, dropout=dropout)


def test_inputs_of_another_width_are_refused_with_both():
    model = MLP(MLPConfig(WIDTHS), np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"(?=.*\b5\b)(?=.*\b6\b)"):
        model.forward(np.ones((3, 6)), np.zeros(3, int))
    with pytest.raises(ValueError, match=r"."):
        model.predict(np.ones((3, 6)))


@pytest.mark.parametrize("target", [-1, 4])
def test_target_that_is_no_class_is_refused(target):
    model, (x, targets) = MLP(MLPConfig(WIDTHS), np.random.default_rng(0)), batch()
    targets[1] = target
    with pytest.raises(ValueError, match=rf"(?<!\d){target}\b"):
        model.forward(x, targets)
