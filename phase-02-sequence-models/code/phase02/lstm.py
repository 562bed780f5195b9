"""Long short-term memory: a cell state that is added to, behind gates, and its backward pass.

    i_t = sigmoid(W_ii x_t + b_ii + W_hi h_(t-1) + b_hi)      the input gate
    f_t = sigmoid(W_if x_t + b_if + W_hf h_(t-1) + b_hf)      the forget gate
    g_t =    tanh(W_ig x_t + b_ig + W_hg h_(t-1) + b_hg)      the candidate
    o_t = sigmoid(W_io x_t + b_io + W_ho h_(t-1) + b_ho)      the output gate
    c_t = f_t * c_(t-1) + i_t * g_t
    h_t = o_t * tanh(c_t)                                     the output y_t is h_t

What it adds to `phase02.rnn` is the line of c_t. Its derivative with respect to c_(t-1), the gates
given, is f_t and neither a weight nor the slope of a tanh: where the forget gate is near 1, a
gradient passes through many steps almost as it was.

Paper and our code: Hochreiter and Schmidhuber (1997) had no forget gate (c_t = c_(t-1) + i_t * g_t;
the gate is of Gers, Schmidhuber and Cummins 2000), and truncated the gradient that flows back
through the gates. This is today's form, that of torch.nn.LSTM, with the whole gradient.

The gates are stacked in the order i, f, g, o: the first H rows of a weight belong to i, and so on.
Masks, states and what is left out are as in `phase02.rnn`; peephole connections are left out too.

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

N_GATES = 4

State = tuple[Float[np.ndarray, "B H"], Float[np.ndarray, "B H"]]


def lstm_parameters(
    d_input: int,
    d_hidden: int,
    rng: np.random.Generator,
    dtype: type = np.float32,
    forget_bias: float = 0.0,
) -> Gradients:
    """The parameters of an LSTM at its beginning: uniform between -1/sqrt(H) and 1/sqrt(H).

    `forget_bias` is added to the forget gate's part of bias_ih_l0: with 1, the cell remembers by
    default; with 0 it begins as torch's. Raises ValueError where a width is not at least 1.
    """
    params = uniform_parameters(N_GATES, d_input, d_hidden, rng, dtype)
    params["bias_ih_l0"][d_hidden : 2 * d_hidden] += forget_bias
    return params


def lstm_forward(
    params: Parameters,
    x: Float[np.ndarray, "B T I"],
    h0: Float[np.ndarray, "B H"],
    c0: Float[np.ndarray, "B H"],
    mask: Bool[np.ndarray, "B T"] | None = None,
) -> tuple[tuple[Float[np.ndarray, "B T H"], State], Any]:
    """The outputs of a whole sequence and the last state: ((y, (h, c)), cache).

    The equations stand at the head of the module. `mask` is True where a position counts; elsewhere
    h and c are carried on and y is 0. Equal to torch.nn.LSTM(batch_first=True). Backward needs
    what y shows, so y is a copy or may not be written to; h and c are arrays of their own. Raises
    ValueError, naming both shapes, where parameters, input, states and mask do not fit; for a
    missing parameter, naming it; and for a mask that is not boolean.
    """
    check_inputs(N_GATES, params, x, (h0, c0), mask)
    weight_ih, weight_hh = params["weight_ih_l0"], params["weight_hh_l0"]
    n_batch, n_steps, d_input = x.shape
    d_hidden = weight_hh.shape[1]
    steps = time_first(x)  # (T, B, I)

    gates = steps.reshape(n_steps * n_batch, d_input) @ weight_ih.T  # (T*B, 4H)
    gates += params["bias_ih_l0"] + params["bias_hh_l0"]
    gates = gates.reshape(n_steps, n_batch, N_GATES * d_hidden)  # (T, B, 4H)
    held = None if mask is None else time_first(~mask)[:, :, np.newaxis]  # (T, B, 1)
    closed = np.repeat(np.array([0, 1, 0, 0], gates.dtype), d_hidden)  # (4H,): only f is open
    recurrent = np.ascontiguousarray(weight_hh.T)  # (H, 4H): turned once, not at every step
    hidden = np.empty((n_steps + 1, n_batch, d_hidden), gates.dtype)
    cell, cell_tanh = np.empty_like(hidden), np.empty_like(hidden[1:])
    hidden[0], cell[0] = h0, c0
    product = np.empty_like(gates[0]) if n_steps else None  # (B, 4H)
    for t in range(n_steps):
        np.matmul(hidden[t], recurrent, out=product)  # (B, 4H)
        gates[t] += product
        _activate(gates[t])
        if held is not None:  # c_t = 1 * c_(t-1) + 0 * 0, also on the way back
            np.copyto(gates[t], closed, where=held[t])
        i, f, g, o = _split(gates[t])
        np.multiply(f, cell[t], out=cell[t + 1])
        np.multiply(i, g, out=cell_tanh[t])
        cell[t + 1] += cell_tanh[t]
        np.tanh(cell[t + 1], out=cell_tanh[t])
        np.multiply(o, cell_tanh[t], out=hidden[t + 1])
        if held is not None:
            np.copyto(hidden[t + 1], hidden[t], where=held[t])
    cache = (steps, gates, hidden, cell, cell_tanh, held, mask, weight_ih, weight_hh)
    last = hidden[n_steps].copy(), cell[n_steps].copy()
    return (batch_first(hidden[1:], mask), last), cache


def lstm_backward(
    dy: Float[np.ndarray, "B T H"] | None, dstate: State | None, cache: Any
) -> tuple[
    Float[np.ndarray, "B T I"], Float[np.ndarray, "B H"], Float[np.ndarray, "B H"], Gradients
]:
    """Backpropagation through time: (dx, dh0, dc0, grads), from dy and (dh, dc) of the last state.

    Backwards from t = T, where dh_T and dc_T are `dstate`:

        dh_t += dy_t                                dc_t += dh_t * o_t * (1 - tanh(c_t)^2)
        di_t = dc_t * g_t      dg_t = dc_t * i_t    df_t = dc_t * c_(t-1)   do_t = dh_t * tanh(c_t)
        dz_t = each of these times the slope of its gate: s (1 - s), for the candidate 1 - g^2
        dh_(t-1) = dz_t W_hh                        dc_(t-1) = dc_t * f_t
        dW_ih = sum_t dz_t^T x_t,  dW_hh = sum_t dz_t^T h_(t-1),  db_ih = db_hh = sum_t dz_t

    The two biases' gradients are two arrays. None for `dy` or `dstate` stands for zeros. Raises
    ValueError, naming both shapes, where dy has not the shape of y.
    """
    steps, gates, hidden, cell, cell_tanh, held, mask, weight_ih, weight_hh = cache
    n_steps, n_batch, d_input = steps.shape
    d_hidden = weight_hh.shape[1]
    dy = upstream(dy, steps, d_hidden)
    if mask is not None:
        dy = dy * mask[:, :, np.newaxis]  # (B, T, H): a masked output is 0 whatever the state is
    zeros = np.zeros_like(hidden[0])  # (B, H)
    dh, dc = (part.astype(hidden.dtype) for part in dstate or (zeros, zeros))  # copies
    dbefore, factor = np.empty_like(dh), np.empty_like(dh)
    dz = np.empty_like(gates)  # (T, B, 4H)
    for t in reversed(range(n_steps)):
        _, f, _, o = _split(gates[t])
        dh += dy[:, t]
        np.multiply(cell_tanh[t], cell_tanh[t], out=factor)
        np.subtract(1, factor, out=factor)
        factor *= o
        factor *= dh
        dc += factor
        _gate_gradients(dz[t], gates[t], cell[t], cell_tanh[t], dh, dc)
        dc *= f
        np.matmul(dz[t], weight_hh, out=dbefore)  # (B, H)
        if held is not None:
            np.copyto(dbefore, dh, where=held[t])  # what was carried on is carried back
        dh, dbefore = dbefore, dh

    rows = n_steps * n_batch
    dz = dz.reshape(rows, N_GATES * d_hidden)  # (T*B, 4H)
    dbias = dz.sum(axis=0)  # (4H,)
    grads = {
        "weight_ih_l0": dz.T @ steps.reshape(rows, d_input),  # (4H, I)
        "weight_hh_l0": dz.T @ hidden[:-1].reshape(rows, d_hidden),  # (4H, H)
        "bias_ih_l0": dbias,
        "bias_hh_l0": dbias.copy(),
    }
    dx = (dz @ weight_ih).reshape(n_steps, n_batch, d_input)  # (T, B, I)
    return np.swapaxes(dx, 0, 1), dh, dc, grads


def _split(gates: np.ndarray) -> list[np.ndarray]:
    """Views of the four gates i, f, g, o: (B, H) each."""
    d_hidden = gates.shape[1] // N_GATES
    return [gates[:, n * d_hidden : (n + 1) * d_hidden] for n in range(N_GATES)]


def _activate(z: np.ndarray) -> None:
    """In place on (B, 4H): sigmoid for i and f (side by side) and o, tanh for the candidate g."""
    d_hidden = z.shape[1] // N_GATES
    sigmoid_in_place(z[:, : 2 * d_hidden])
    np.tanh(z[:, 2 * d_hidden : 3 * d_hidden], out=z[:, 2 * d_hidden : 3 * d_hidden])
    sigmoid_in_place(z[:, 3 * d_hidden :])


def _gate_gradients(
    dz: np.ndarray, gates: np.ndarray, cell: np.ndarray, cell_tanh: np.ndarray, dh, dc
) -> None:
    """Into dz (B, 4H): the gradient of what stands inside the gates of one step."""
    i, _, g, _ = _split(gates)
    dz_i, dz_f, dz_g, dz_o = _split(dz)
    np.subtract(1, gates, out=dz)
    dz *= gates  # s (1 - s), the slope of a sigmoid
    np.multiply(g, g, out=dz_g)
    np.subtract(1, dz_g, out=dz_g)  # 1 - g^2, the slope of the tanh
    for part, factor in ((dz_i, g), (dz_f, cell), (dz_g, i)):
        part *= factor
        part *= dc
    dz_o *= cell_tanh
    dz_o *= dh
