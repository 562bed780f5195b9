"""A vanilla recurrent network: a whole sequence forward, and backpropagation through time.

    h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh)        the output y_t is h_t

This is the network of Elman (1990), with tanh for its unit as in torch.nn.RNN, and with the whole
gradient (he stopped it at the copy of the state). Unrolled, it is a feedforward network with one
layer for each time step, all of which have the same weights (Rumelhart, Hinton and Williams 1986).
So backward is backpropagation through those layers, from the last to the first, and a weight's
gradient is the sum over the time steps.

What does not depend on the state is done for all steps at once: one matrix product for all input
projections before the loop, one for each weight's gradient after it.

A mask says which positions count. At one that does not, the state is carried on unchanged and the
output is 0, so that sequences of unequal length share a batch. States go in and come out, so that
a long text can be read in chunks (`phase02.bptt`).

Left out: several layers, two directions, other nonlinearities.

Shapes: B batch, T time, I width of the input, H width of the state (`phase02.recurrent`: names).
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from phase02.recurrent import (
    Gradients,
    Parameters,
    batch_first,
    check_inputs,
    time_first,
    uniform_parameters,
    upstream,
)


def rnn_parameters(
    d_input: int, d_hidden: int, rng: np.random.Generator, dtype: type = np.float32
) -> Gradients:
    """The parameters of an RNN at its beginning: uniform between -1/sqrt(H) and 1/sqrt(H).

    Raises ValueError where a width is not at least 1.
    """
    return uniform_parameters(1, d_input, d_hidden, rng, dtype)


def rnn_forward(
    params: Parameters,
    x: Float[np.ndarray, "B T I"],
    h0: Float[np.ndarray, "B H"],
    mask: Bool[np.ndarray, "B T"] | None = None,
) -> tuple[tuple[Float[np.ndarray, "B T H"], Float[np.ndarray, "B H"]], Any]:
    """The states of a whole sequence from the state `h0`: ((y, h), cache), with h the last state.

        h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh),   y_t = h_t

    `mask` is True where a position counts; elsewhere h_t = h_(t-1) and y_t = 0. Equal to
    torch.nn.RNN(batch_first=True). Backward needs what y shows, so y is a copy or may not be
    written to; h is an array of its own. Raises ValueError, naming both shapes, where parameters,
    input, state and mask do not fit; for a missing parameter, naming it; and for a mask that is
    not boolean.
    """
    check_inputs(1, params, x, (h0,), mask)
    weight_ih, weight_hh = params["weight_ih_l0"], params["weight_hh_l0"]
    n_batch, n_steps, d_input = x.shape
    d_hidden = weight_hh.shape[1]
    steps = time_first(x)  # (T, B, I)

    z = steps.reshape(n_steps * n_batch, d_input) @ weight_ih.T  # (T*B, H)
    z += params["bias_ih_l0"] + params["bias_hh_l0"]
    z = z.reshape(n_steps, n_batch, d_hidden)  # (T, B, H)
    held = None if mask is None else time_first(~mask)[:, :, np.newaxis]  # (T, B, 1)
    recurrent = np.ascontiguousarray(weight_hh.T)  # (H, H): turned once, not at every step
    hidden = np.empty((n_steps + 1, n_batch, d_hidden), z.dtype)
    hidden[0] = h0
    product = np.empty((n_batch, d_hidden), z.dtype)
    for t in range(n_steps):
        np.matmul(hidden[t], recurrent, out=product)  # (B, H)
        product += z[t]
        np.tanh(product, out=hidden[t + 1])
        if held is not None:
            np.copyto(hidden[t + 1], hidden[t], where=held[t])
    cache = (steps, hidden, held, mask, weight_ih, weight_hh)
    return (batch_first(hidden[1:], mask), hidden[n_steps].copy()), cache


def rnn_backward(
    dy: Float[np.ndarray, "B T H"] | None, dh: Float[np.ndarray, "B H"] | None, cache: Any
) -> tuple[Float[np.ndarray, "B T I"], Float[np.ndarray, "B H"], Gradients]:
    """Backpropagation through time: (dx, dh0, grads) from the gradients of y and the last state.

    The state h_t is used twice, as output and by the next step, and its two gradients are added.
    With z_t for what stands inside tanh, and backwards from t = T, where dh_T is `dh`:

        dh_t    += dy_t
        dz_t     = dh_t * (1 - h_t^2)
        dh_(t-1) = dz_t W_hh
        dW_ih = sum_t dz_t^T x_t,  dW_hh = sum_t dz_t^T h_(t-1),  db_ih = db_hh = sum_t dz_t

    The two biases' gradients are two arrays. None for `dy` or `dh` stands for zeros. Raises
    ValueError, naming both shapes, where dy has not the shape of y.
    """
    steps, hidden, held, mask, weight_ih, weight_hh = cache
    n_steps, n_batch, d_input = steps.shape
    d_hidden = weight_hh.shape[1]
    dy = upstream(dy, steps, d_hidden)
    if mask is not None:
        dy = dy * mask[:, :, np.newaxis]  # (B, T, H): a masked output is 0 whatever the state is
    dstate = np.zeros_like(hidden[0]) if dh is None else dh.astype(hidden.dtype)  # (B, H), a copy
    dbefore = np.empty_like(dstate)
    dz = np.empty_like(hidden[1:])  # (T, B, H)
    for t in reversed(range(n_steps)):
        dstate += dy[:, t]
        np.multiply(hidden[t + 1], hidden[t + 1], out=dz[t])
        np.subtract(1, dz[t], out=dz[t])
        dz[t] *= dstate
        if held is not None:
            np.copyto(dz[t], 0, where=held[t])
        np.matmul(dz[t], weight_hh, out=dbefore)  # (B, H)
        if held is not None:
            np.copyto(dbefore, dstate, where=held[t])  # what was carried on is carried back
        dstate, dbefore = dbefore, dstate

    rows = n_steps * n_batch
    dz = dz.reshape(rows, d_hidden)  # (T*B, H)
    dbias = dz.sum(axis=0)  # (H,)
    grads = {
        "weight_ih_l0": dz.T @ steps.reshape(rows, d_input),  # (H, I)
        "weight_hh_l0": dz.T @ hidden[:-1].reshape(rows, d_hidden),  # (H, H)
        "bias_ih_l0": dbias,
        "bias_hh_l0": dbias.copy(),
    }
    dx = (dz @ weight_ih).reshape(n_steps, n_batch, d_input)  # (T, B, I)
    return np.swapaxes(dx, 0, 1), dstate, grads
