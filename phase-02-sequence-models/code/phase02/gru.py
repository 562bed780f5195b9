"""The gated recurrent unit: one state, two gates, and its backward pass.

    r_t = sigmoid(W_ir x_t + b_ir + W_hr h_(t-1) + b_hr)            the reset gate
    z_t = sigmoid(W_iz x_t + b_iz + W_hz h_(t-1) + b_hz)            the update gate
    n_t =    tanh(W_in x_t + b_in + r_t * (W_hn h_(t-1) + b_hn))    the candidate
    h_t = (1 - z_t) * n_t + z_t * h_(t-1)                           the output y_t is h_t

What it changes against `phase02.lstm`: no cell state beside the hidden one, and one gate z for both
forgetting and writing, so three blocks of weights instead of four.

Paper and our code: Cho et al. (2014, section 2.3) reset the state before the matrix,
n_t = tanh(W x_t + U (r_t * h_(t-1))). torch.nn.GRU, and this module, reset after it: the gate
multiplies W_hn h_(t-1) + b_hn. The two are different functions, since a matrix does not commute
with a gate, but the second has all products with h_(t-1) in one, before any gate is known. (The
decoder of the paper's appendix, A.1.1, resets after the product too.) The paper has biases and does
not write them (A.1); z means in both how much of the old state is kept.

The blocks are stacked in the order r, z, n. Masks, states and what is left out are as in
`phase02.rnn`.

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
    sigmoid_in_place,
    time_first,
    uniform_parameters,
    upstream,
)

N_BLOCKS = 3


def gru_parameters(
    d_input: int, d_hidden: int, rng: np.random.Generator, dtype: type = np.float32
) -> Gradients:
    """The parameters of a GRU at its beginning: uniform between -1/sqrt(H) and 1/sqrt(H).

    Raises ValueError where a width is not at least 1.
    """
    return uniform_parameters(N_BLOCKS, d_input, d_hidden, rng, dtype)


def gru_forward(
    params: Parameters,
    x: Float[np.ndarray, "B T I"],
    h0: Float[np.ndarray, "B H"],
    mask: Bool[np.ndarray, "B T"] | None = None,
) -> tuple[tuple[Float[np.ndarray, "B T H"], Float[np.ndarray, "B H"]], Any]:
    """The states of a whole sequence from the state `h0`: ((y, h), cache), with h the last state.

    The equations stand at the head of the module. `mask` is True where a position counts; elsewhere
    h is carried on and y is 0. Equal to torch.nn.GRU(batch_first=True). Backward needs what y
    shows, so y is a copy or may not be written to; h is an array of its own. Raises ValueError,
    naming both shapes, where parameters, input, state and mask do not fit; for a missing parameter,
    naming it; and for a mask that is not boolean.
    """
    check_inputs(N_BLOCKS, params, x, (h0,), mask)
    weight_ih, weight_hh = params["weight_ih_l0"], params["weight_hh_l0"]
    bias_hh = params["bias_hh_l0"]
    n_batch, n_steps, d_input = x.shape
    d_hidden = weight_hh.shape[1]
    steps = time_first(x)  # (T, B, I)

    gates = steps.reshape(n_steps * n_batch, d_input) @ weight_ih.T  # (T*B, 3H)
    gates += params["bias_ih_l0"]
    gates = gates.reshape(n_steps, n_batch, N_BLOCKS * d_hidden)  # (T, B, 3H)
    held = None if mask is None else time_first(~mask)[:, :, np.newaxis]  # (T, B, 1)
    recurrent = np.ascontiguousarray(weight_hh.T)  # (H, 3H): turned once, not at every step
    hidden = np.empty((n_steps + 1, n_batch, d_hidden), gates.dtype)
    hidden[0] = h0
    from_state = np.empty_like(hidden[1:])  # (T, B, H): W_hn h_(t-1) + b_hn, which r multiplies
    product = np.empty((n_batch, N_BLOCKS * d_hidden), gates.dtype)
    for t in range(n_steps):
        np.matmul(hidden[t], recurrent, out=product)  # (B, 3H)
        product += bias_hh
        r, z, n = _split(gates[t])
        both = gates[t][:, : 2 * d_hidden]  # (B, 2H): r and z lie side by side
        both += product[:, : 2 * d_hidden]
        sigmoid_in_place(both)
        if held is not None:  # h_t = 0 * n_t + 1 * h_(t-1), also on the way back
            np.copyto(z, 1, where=held[t])
        from_state[t] = product[:, 2 * d_hidden :]
        np.multiply(r, from_state[t], out=hidden[t + 1])
        n += hidden[t + 1]
        np.tanh(n, out=n)
        np.subtract(hidden[t], n, out=hidden[t + 1])
        hidden[t + 1] *= z
        hidden[t + 1] += n  # n + z (h - n)
        if held is not None:
            np.copyto(hidden[t + 1], hidden[t], where=held[t])  # exactly, without n's rounding
    cache = (steps, gates, from_state, hidden, mask, weight_ih, weight_hh)
    return (batch_first(hidden[1:], mask), hidden[n_steps].copy()), cache


def gru_backward(
    dy: Float[np.ndarray, "B T H"] | None, dh: Float[np.ndarray, "B H"] | None, cache: Any
) -> tuple[Float[np.ndarray, "B T I"], Float[np.ndarray, "B H"], Gradients]:
    """Backpropagation through time: (dx, dh0, grads) from the gradients of y and the last state.

    With a for what stands inside a gate, q_t = W_hn h_(t-1) + b_hn, and backwards from t = T, where
    dh_T is `dh`:

        dh_t += dy_t
        da_n = dh_t * (1 - z_t) * (1 - n_t^2)        dq_t = da_n * r_t
        da_r = da_n * q_t * r_t (1 - r_t)            da_z = dh_t * (h_(t-1) - n_t) * z_t (1 - z_t)
        dh_(t-1) = dh_t * z_t + (da_r, da_z, dq_t) W_hh

    The input's side gets (da_r, da_z, da_n), the state's side (da_r, da_z, dq_t): the two biases
    have different gradients here. None for `dy` or `dh` stands for zeros. Raises ValueError,
    naming both shapes, where dy has not the shape of y.
    """
    steps, gates, from_state, hidden, mask, weight_ih, weight_hh = cache
    n_steps, n_batch, d_input = steps.shape
    d_hidden = weight_hh.shape[1]
    dy = upstream(dy, steps, d_hidden)
    if mask is not None:
        dy = dy * mask[:, :, np.newaxis]  # (B, T, H): a masked output is 0 whatever the state is
    dstate = np.zeros_like(hidden[0]) if dh is None else dh.astype(hidden.dtype)  # (B, H), a copy
    product = np.empty_like(dstate)
    dinput, drecurrent = np.empty_like(gates), np.empty_like(gates)  # (T, B, 3H)
    for t in reversed(range(n_steps)):
        dstate += dy[:, t]
        _gate_gradients(dinput[t], drecurrent[t], gates[t], from_state[t], hidden[t], dstate)
        np.matmul(drecurrent[t], weight_hh, out=product)  # (B, H)
        dstate *= _split(gates[t])[1]
        dstate += product

    rows = n_steps * n_batch
    dinput = dinput.reshape(rows, N_BLOCKS * d_hidden)  # (T*B, 3H)
    drecurrent = drecurrent.reshape(rows, N_BLOCKS * d_hidden)  # (T*B, 3H)
    grads = {
        "weight_ih_l0": dinput.T @ steps.reshape(rows, d_input),  # (3H, I)
        "weight_hh_l0": drecurrent.T @ hidden[:-1].reshape(rows, d_hidden),  # (3H, H)
        "bias_ih_l0": dinput.sum(axis=0),  # (3H,)
        "bias_hh_l0": drecurrent.sum(axis=0),  # (3H,)
    }
    dx = (dinput @ weight_ih).reshape(n_steps, n_batch, d_input)  # (T, B, I)
    return np.swapaxes(dx, 0, 1), dstate, grads


def _split(gates: np.ndarray) -> list[np.ndarray]:
    """Views of the three blocks r, z, n: (B, H) each."""
    d_hidden = gates.shape[1] // N_BLOCKS
    return [gates[:, k * d_hidden : (k + 1) * d_hidden] for k in range(N_BLOCKS)]


def _gate_gradients(
    dinput: np.ndarray,
    drecurrent: np.ndarray,
    gates: np.ndarray,
    from_state: np.ndarray,
    before: np.ndarray,
    dh: np.ndarray,
) -> None:
    """Into dinput and drecurrent (B, 3H): the gradients inside the gates of one step."""
    r, z, n = _split(gates)
    da_r, da_z, da_n = _split(dinput)
    both = slice(0, 2 * n.shape[1])  # r and z lie side by side
    np.subtract(1, z, out=da_n)
    da_n *= dh
    np.multiply(n, n, out=da_r)  # da_r is free until the sigmoids' turn
    np.subtract(1, da_r, out=da_r)
    da_n *= da_r
    np.subtract(1, gates[:, both], out=dinput[:, both])
    dinput[:, both] *= gates[:, both]  # s (1 - s), the slope of a sigmoid
    da_r *= from_state
    da_r *= da_n
    da_z *= dh
    da_z *= before - n
    drecurrent[:, both] = dinput[:, both]
    np.multiply(da_n, r, out=_split(drecurrent)[2])
