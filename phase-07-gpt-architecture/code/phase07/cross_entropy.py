"""The output layer and its loss in one operation that never holds all logits.

For N tokens and GPT-2's vocabulary the logits are N x 50257 floats: at 8192 tokens 1.6 GB, and
their gradient as much again. But the loss is a sum over rows, and a row's gradient depends on that
row alone. So this goes over the rows in chunks and, while a chunk's logits are at hand, computes
its loss *and* its gradients. Backward has only to scale what is already there: nothing is
computed twice, and one chunk of logits exists at a time. Evaluation, where no gradient is
required, leaves that part out.

Left out: label smoothing, class weights, sums instead of means, second derivatives.

Shapes: N rows (tokens), n rows of a chunk, C = d_model, V vocabulary.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_LOGITS = 256 * 50257  # 256 rows of GPT-2's, 51 MB in float32; all rows of a small vocabulary


def linear_cross_entropy(
    hidden: Float[Tensor, "N C"],
    weight: Float[Tensor, "V C"],
    targets: Int[Tensor, " N"],
    chunk_size: int | None = None,
) -> Float[Tensor, ""]:
    """Mean cross-entropy in nats of softmax(hidden @ weight.T) against `targets`.

        loss = 1/M sum_i (log sum_v exp(z_iv) - z_i,target_i)     with z = hidden @ weight.T

    over the M rows that count: a row with a negative target, by convention -1, does not. Where none
    does, the loss and its gradients are 0. Else this is equal to
    `F.cross_entropy(hidden @ weight.T, targets, ignore_index=-1)`. Under autocast the products are
    in its dtype; softmax, loss and sums over chunks are float32. `chunk_size` is in rows; by
    default a chunk has about `CHUNK_LOGITS` logits.
    """
    if len(hidden) != len(targets):
        raise ValueError(f"expected a target for each of {len(hidden)} rows, got {len(targets)}")
    if chunk_size is None:
        chunk_size = max(1, CHUNK_LOGITS // len(weight))
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1 row, got {chunk_size}")
    if torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad):
        return _LinearCrossEntropy.apply(hidden, weight, targets, chunk_size)
    return _loss_and_gradients(hidden, weight, targets, chunk_size, False)[0]


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, targets, chunk_size):
        loss, dhidden, dweight = _loss_and_gradients(hidden, weight, targets, chunk_size, True)
        ctx.save_for_backward(dhidden, dweight)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx, dloss):
        dhidden, dweight = ctx.saved_tensors
        # In place, since a second (V, C) would be the peak of a step's memory. Backward runs once.
        return dhidden.mul_(dloss), dweight.mul_(dloss), None, None


def _loss_and_gradients(
    hidden: Tensor, weight: Tensor, targets: Tensor, chunk_size: int, with_gradients: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss and, if asked for, its gradients to hidden (N, C) and weight (V, C), else empty.

    With p = softmax(z), dloss/dz = (p - onehot(target)) / M for a row that counts, else 0, and
    z = hidden weight^T gives dhidden = dz weight and dweight = dz^T hidden, summed over chunks.
    """
    dtype = torch.promote_types(hidden.dtype, torch.float32)  # of everything but the products
    loss = hidden.new_zeros((), dtype=dtype)
    dhidden = torch.empty_like(hidden if with_gradients else hidden[:0])
    dweight = torch.zeros_like(weight if with_gradients else weight[:0], dtype=dtype)
    counts = (targets >= 0).to(dtype)  # (N,)
    share = counts / counts.sum().clamp(min=1)  # (N,) a row's part in the mean: 1/M or 0

    if torch.is_autocast_enabled(hidden.device.type):
        product_dtype = torch.get_autocast_dtype(hidden.device.type)
        hidden, weight = hidden.to(product_dtype), weight.to(product_dtype)
    # The same memory for every chunk: fresh pages from the system each time would cost time.
    products = hidden.new_empty(min(chunk_size, len(hidden)), len(weight))  # (n, V)
    values = products if products.dtype == dtype else torch.empty_like(products, dtype=dtype)

    for start in range(0, len(hidden), chunk_size):
        x = hidden[start : start + chunk_size]  # (n, C)
        rows = slice(start, start + len(x))
        target = targets[rows, None].clamp(min=0)  # (n, 1) an ignored row picks any; its share is 0
        z = values[: len(x)]
        z.copy_(torch.mm(x, weight.T, out=products[: len(x)]))  # (n, V)
        z -= z.amax(dim=1, keepdim=True)  # (n, V) cancels in the softmax; exp cannot overflow
        z_target = z.gather(1, target)  # (n, 1)
        sums = z.exp_().sum(dim=1, keepdim=True)  # (n, 1)
        loss += ((sums.log() - z_target) * share[rows, None]).sum()
        if with_gradients:
            z *= share[rows, None] / sums  # (n, V) p / M
            z.scatter_add_(1, target, -share[rows, None])  # (n, V) (p - onehot) / M
            dz = products[: len(x)].copy_(z)  # (n, V)
            dhidden[rows] = dz @ weight  # (n, C)
            if dz.dtype == dweight.dtype:
                dweight.addmm_(dz.T, x)  # (V, C) += (V, n) (n, C)
            else:
                dweight += dz.T @ x  # (V, C)
    return loss, dhidden, dweight
