"""The chunked loss equals the plain one, in value and in gradients."""

import math

import jaxtyping
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from phase07 import cross_entropy
from phase07.cross_entropy import linear_cross_entropy

N, C, V = 11, 4, 7


def inputs(dtype=torch.float64, ignored=(), seed=0):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(N, C, generator=generator).to(dtype).requires_grad_()
    weight = torch.randn(V, C, generator=generator).to(dtype).requires_grad_()
    targets = torch.randint(V, (N,), generator=generator)
    targets[list(ignored)] = -1
    return hidden, weight, targets


def plain(hidden, weight, targets):
    return F.cross_entropy(hidden @ weight.T, targets, ignore_index=-1)


def test_loss_and_gradients_by_hand():
    # One row, logits ln 1 and ln 3, target 0: p = (1/4, 3/4), loss ln 4, dz = (-3/4, 3/4).
    hidden = torch.tensor([[2.0]], requires_grad=True)
    weight = torch.tensor([[0.0], [math.log(3) / 2]], requires_grad=True)
    loss = linear_cross_entropy(hidden, weight, torch.tensor([0]))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(4))
    torch.testing.assert_close(weight.grad, torch.tensor([[-1.5], [1.5]]))
    torch.testing.assert_close(hidden.grad, torch.tensor([[0.75 * math.log(3) / 2]]))


@pytest.mark.parametrize("chunk_size", [1, 3, 4, N - 1, N, N + 1, 1000])
@pytest.mark.parametrize("ignored", [(), (0, 3, 10), (3, 4, 5), tuple(range(1, N))])
def test_equals_cross_entropy_in_value_and_gradients(chunk_size, ignored):
    hidden, weight, targets = inputs(ignored=ignored)
    loss = linear_cross_entropy(hidden, weight, targets, chunk_size)
    expected = plain(hidden, weight, targets)
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-10)
    upstream = -1.7  # not one: backward has to scale
    ours = torch.autograd.grad(loss * upstream, (hidden, weight))
    theirs = torch.autograd.grad(expected * upstream, (hidden, weight))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_gradients_match_finite_differences():
    hidden, weight, targets = inputs(ignored=(2,))
    (0.7 * linear_cross_entropy(hidden, weight, targets, 4)).backward()
    for tensor in (hidden, weight):
        direction, epsilon = torch.randn_like(tensor), 1e-6
        with torch.no_grad():
            losses = []
            for sign in (1, -1):
                tensor += sign * epsilon * direction
                losses.append(0.7 * linear_cross_entropy(hidden, weight, targets, 4).item())
                tensor -= sign * epsilon * direction
        slope = (losses[0] - losses[1]) / (2 * epsilon)
        assert slope == pytest.approx((tensor.grad * direction).sum().item(), rel=1e-6)


def test_a_second_backward_is_refused_and_not_wrong():
    hidden, weight, targets = inputs()
    loss = linear_cross_entropy(hidden, weight, targets, 4)
    torch.autograd.grad(2 * loss, (hidden, weight), retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(2 * loss, (hidden, weight))


@pytest.mark.parametrize("chunk_size", [4, 100])
def test_loss_and_gradients_are_zero_when_every_row_is_ignored(chunk_size):
    hidden, weight, targets = inputs(ignored=range(N))
    loss = linear_cross_entropy(hidden, weight, targets, chunk_size)
    loss.backward()
    assert loss.item() == 0
    assert not hidden.grad.any()
    assert not weight.grad.any()


def test_loss_is_zero_without_rows():
    hidden, weight, targets = inputs()
    loss = linear_cross_entropy(hidden[:0], weight, targets[:0])
    loss.backward()
    assert loss.item() == 0
    assert not weight.grad.any()


def test_any_negative_target_is_ignored():
    hidden, weight, targets = inputs(ignored=(2, 5))
    others = torch.where(targets < 0, -100, targets)
    assert torch.equal(*(linear_cross_entropy(hidden, weight, t, 4) for t in (targets, others)))


def test_bf16_model_gets_a_float32_loss_and_bf16_gradients():
    hidden, weight, targets = inputs(torch.bfloat16)
    loss = linear_cross_entropy(hidden, weight, targets, 3)
    loss.backward()
    assert (loss.dtype, weight.grad.dtype) == (torch.float32, torch.bfloat16)
    assert loss.item() == pytest.approx(plain(hidden.float(), weight.float(), targets).item(), 1e-2)


@pytest.mark.parametrize("scale", [1e4, 1e-4])
def test_large_and_small_logits_stay_exact(scale):
    hidden, weight, targets = inputs()
    hidden = (hidden * scale).detach().requires_grad_()
    ours, theirs = linear_cross_entropy(hidden, weight, targets, 4), plain(hidden, weight, targets)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    a, b = (torch.autograd.grad(loss, weight)[0] for loss in (ours, theirs))
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


def test_float32_stays_float32_and_close():
    hidden, weight, targets = inputs(torch.float32)
    loss = linear_cross_entropy(hidden, weight, targets, 4)
    loss.backward()
    assert loss.dtype == hidden.grad.dtype == weight.grad.dtype == torch.float32
    exact = [x.detach().double().requires_grad_() for x in (hidden, weight)]
    expected = plain(*exact, targets)
    expected.backward()
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)
    for a, b in zip((hidden, weight), exact, strict=True):
        torch.testing.assert_close(a.grad.double(), b.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("needs", [(True, False), (False, True)])
def test_one_input_alone_may_need_a_gradient(needs):
    hidden, weight, targets = inputs()
    for tensor, need in zip((hidden, weight), needs, strict=True):
        tensor.requires_grad_(need)
    wanted = hidden if needs[0] else weight
    ours = torch.autograd.grad(linear_cross_entropy(hidden, weight, targets, 4), wanted)[0]
    theirs = torch.autograd.grad(plain(hidden, weight, targets), wanted)[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_evaluation_gives_the_same_loss_and_computes_no_gradients(monkeypatch):
    hidden, weight, targets = inputs(ignored=(1,))
    expected = linear_cross_entropy(hidden, weight, targets, 4)
    asked = []
    inner = cross_entropy._loss_and_gradients
    monkeypatch.setattr(
        cross_entropy, "_loss_and_gradients", lambda *a: asked.append(a[-1]) or inner(*a)
    )
    with torch.no_grad():
        loss = linear_cross_entropy(hidden, weight, targets, 4)
    assert torch.equal(loss, expected)
    assert not loss.requires_grad
    linear_cross_entropy(hidden.detach(), weight.detach(), targets, 4)
    assert asked == [False, False]


def test_under_bf16_autocast_loss_and_gradients_are_float32_and_close():
    hidden, weight, targets = inputs(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(hidden, weight, targets, 3)
    loss.backward()
    assert loss.dtype == hidden.grad.dtype == weight.grad.dtype == torch.float32
    expected = plain(hidden, weight, targets)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-2)
    for ours, theirs in zip(
        (hidden.grad, weight.grad), torch.autograd.grad(expected, (hidden, weight)), strict=True
    ):
        assert ((ours - theirs).norm() / theirs.norm()).item() < 0.02


def test_under_bf16_autocast_sums_over_chunks_do_not_lose_small_parts():
    # 4096 rows that each add 1/8192 to dweight: a bf16 sum stops growing at about 1/32.
    rows = 4096
    hidden = torch.ones(rows, 1)
    weight = torch.zeros(2, 1, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(hidden, weight, torch.zeros(rows, dtype=torch.int64), 1)
    loss.backward()
    torch.testing.assert_close(weight.grad, torch.tensor([[-0.5], [0.5]]), rtol=1e-5, atol=0)
    torch.testing.assert_close(loss, torch.tensor(2.0).log(), rtol=1e-4, atol=0)


def test_inside_a_compiled_function_gives_the_same(monkeypatch):
    # The compiler cannot look through the shape checks that the tests wrap around each function.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    hidden, weight, targets = inputs(ignored=(2,))

    # "aot_eager" traces forward and backward like the default backend, without a C++ compiler.
    @torch.compile(backend="aot_eager")
    def compiled(hidden, weight):
        return linear_cross_entropy(hidden, weight, targets, 4)

    ours, theirs = compiled(hidden, weight), linear_cross_entropy(hidden, weight, targets, 4)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad(loss, (hidden, weight)) for loss in (ours, theirs)]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_no_tensor_is_larger_than_a_chunk_of_logits():
    class Largest(TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            for tensor in result if isinstance(result, tuple) else (result,):
                if isinstance(tensor, torch.Tensor):
                    self.numel = max(self.numel, tensor.untyped_storage().nbytes() // 8)
            return result

    hidden, weight, targets = inputs()
    with Largest() as largest:
        linear_cross_entropy(hidden, weight, targets, 2).backward()
    assert largest.numel == max(N * C, V * C)  # a chunk of logits, 2 V, is less
    with Largest() as largest:
        plain(hidden, weight, targets).backward()
    assert largest.numel == N * V


def test_number_of_targets_must_be_that_of_rows(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as in normal runs
    hidden, weight, targets = inputs()
    with pytest.raises(ValueError, match="a target for each of 11 rows, got 22"):
        linear_cross_entropy(hidden, weight, torch.cat([targets, targets]), 4)


def test_chunk_size_below_one_is_refused():
    with pytest.raises(ValueError, match="chunk_size must be at least 1 row, got 0"):
        linear_cross_entropy(*inputs(), 0)
