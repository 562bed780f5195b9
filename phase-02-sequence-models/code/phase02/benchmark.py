"""How long training steps of recurrent cells take here, beside PyTorch, and what made them fast.

    uv run journal run phase02.benchmark

Two kinds of races, both run and judged as `phase01.benchmark` says:

- a whole training step of a character model, for each cell: 32 rows of 100 of 65 characters, an
  embedding of 128, a state of 256, the output layer, the loss, clipping and Adam
- the LSTM alone, forward and backward: beside ours and PyTorch's, the equations written down as
  they stand, and then each improvement added to the ones before

The improvements, in the order in which they are added: the inputs' products of all steps as one,
before the loop; the weights' gradients of all steps as one product, after it; time as the first
axis in memory, so that a step is one block; and, which is `phase02.lstm`, no new array within the
loop, its matrix turned beforehand, the sigmoid by tanh.

Left out: masks, sampling, and the state carried from chunk to chunk, which cost next to nothing.

Shapes: B batch, T time, I width of the input, H width of the state.
"""

import time
from dataclasses import dataclass
from typing import Any, NamedTuple

from phase01.benchmark import (
    LEARNING_RATE,
    OURS,
    TORCH,
    Arrays,
    Race,
    Way,
    array,
    check_turns,
    run,
    stepped,
    use_same_threads,
    without_times,
)

# isort: split
# The benchmark's module comes first: it says how many threads NumPy's BLAS shall take.
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from journal import record, script
from phase01.activations import sigmoid_forward
from phase01.optimizers import Adam, clip_gradients
from phase02.char_lm import CELLS, CharLM, CharLMConfig
from phase02.lstm import lstm_backward, lstm_forward, lstm_parameters

MAX_NORM = 1.0


@dataclass(frozen=True)
class Config:
    batch_size: int = 32
    n_steps: int = 100
    """characters in each row"""
    d_hidden: int = 256
    d_embedding: int = 128
    vocab_size: int = 65
    rounds: int = 9
    seconds: float = 0.4
    """how long each way is timed in a round, at least"""
    settle: float = 0.06
    """seconds of calls before that do not count"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_size", "n_steps", "d_hidden", "d_embedding", "vocab_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        check_turns(self.rounds, self.seconds, self.settle)


def main(config: Config) -> dict[str, Any]:
    """Run the races; returns the ratios and factors of each (the times are written)."""
    started = time.perf_counter()
    metrics: dict[str, Any] = {"threads": use_same_threads()}
    for race in (*(model_race(config, cell) for cell in CELLS), lstm_race(config)):
        metrics[race.key] = run(race, config.rounds, config.seconds, config.settle)
    record.write(
        __file__,
        config=config,
        metrics=metrics,
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    return without_times(metrics)


# ---- a training step of the character model ----------------------------------------------


def model_race(config: Config, cell: str) -> Race:
    """One step of training on random characters, with one of the cells."""
    rng = np.random.default_rng([config.seed, 1])
    shape = (2, config.batch_size, config.n_steps)
    ids, targets = rng.integers(0, config.vocab_size, shape)  # (B, T) each
    made = CharLMConfig(config.vocab_size, config.d_hidden, cell, config.d_embedding)
    model = CharLM(made, np.random.default_rng([config.seed, 2]))
    theirs = torch_model(model, ids, targets)  # from the weights as they begin
    optimizer = Adam(model.params, LEARNING_RATE)

    def step() -> Arrays:
        loss, cache = model.forward(ids, targets)
        grads, _ = clip_gradients(model.backward(cache), MAX_NORM)
        optimizer.step(grads)
        return stepped(loss, grads, model.params)

    title = (
        f"Training step of a character model, {cell.upper()} of {config.d_hidden}, "
        f"{config.batch_size} rows of {config.n_steps}"
    )
    return Race(f"{cell}_step", title, [Way(OURS, step), theirs], goal=2.0)


class TorchCharLM(nn.Module):
    """The character model as PyTorch's modules, under the names that ours has."""

    def __init__(self, config: CharLMConfig) -> None:
        super().__init__()
        kind = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[config.cell]
        self.embedding = nn.Embedding(config.vocab_size, config.d_input)
        self.rnn = kind(config.d_input, config.d_hidden, batch_first=True)
        self.output = nn.Linear(config.d_hidden, config.vocab_size)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.output(self.rnn(self.embedding(ids))[0])  # (B, T, V)


def torch_model(mine: CharLM, ids: np.ndarray, targets: np.ndarray) -> Way:
    """The same step from the same weights in PyTorch."""
    model = TorchCharLM(mine.config)
    model.load_state_dict({name: torch.tensor(param) for name, param in mine.params.items()})
    params = dict(model.named_parameters())
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    inputs, after = torch.from_numpy(ids), torch.from_numpy(targets)

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs).flatten(0, 1), after.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
        optimizer.step()
        return loss

    def read(loss: torch.Tensor) -> Arrays:
        grads = {name: array(params[name].grad) for name in mine.params}
        return stepped(loss.item(), grads, {name: array(params[name]) for name in mine.params})

    return Way(TORCH, step, read)


# ---- the LSTM alone, and how it became what it is ----------------------------------------


class Plan(NamedTuple):
    """Which of the improvements are made."""

    inputs_before: bool = False
    weights_after: bool = False
    time_first: bool = False


LADDER = {
    "as the equations stand": Plan(),
    "+ inputs' products before the loop": Plan(inputs_before=True),
    "+ weights' gradients after the loop": Plan(inputs_before=True, weights_after=True),
    "+ time first in memory": Plan(inputs_before=True, weights_after=True, time_first=True),
}


def lstm_race(config: Config) -> Race:
    """Forward from given inputs and backward from given gradients, the inputs' included."""
    rng = np.random.default_rng([config.seed, 3])
    params = lstm_parameters(config.d_embedding, config.d_hidden, rng)
    rows = (config.batch_size, config.n_steps)
    x = rng.standard_normal((*rows, config.d_embedding)).astype(np.float32)  # (B, T, I)
    dy = rng.standard_normal((*rows, config.d_hidden)).astype(np.float32)  # (B, T, H)
    zeros = np.zeros((config.batch_size, config.d_hidden), np.float32)  # (B, H)

    def step() -> Arrays:
        (y, _), cache = lstm_forward(params, x, zeros, zeros)
        dx, _, _, grads = lstm_backward(dy, None, cache)
        return {"y": y, "dx": dx, **grads}

    ways = [Way(OURS, step), torch_lstm(params, x, dy)]
    for name, plan in LADDER.items():
        ways.append(Way(name, lambda plan=plan: plain_lstm(params, x, dy, plan)))
    return Race("lstm_alone", "The LSTM alone, forward and backward", ways, goal=2.0)


def torch_lstm(params: Arrays, x: np.ndarray, dy: np.ndarray) -> Way:
    """PyTorch's LSTM with the same weights."""
    model = nn.LSTM(x.shape[2], dy.shape[2], batch_first=True)
    model.load_state_dict({name: torch.tensor(param) for name, param in params.items()})
    inputs, upstream = torch.tensor(x, requires_grad=True), torch.tensor(dy)

    def step() -> torch.Tensor:
        model.zero_grad()
        inputs.grad = None
        y, _ = model(inputs)
        y.backward(upstream)
        return y

    def read(y: torch.Tensor) -> Arrays:
        grads = {name: array(param.grad) for name, param in model.named_parameters()}
        return {"y": array(y), "dx": array(inputs.grad), **grads}

    return Way(TORCH, step, read)


def plain_lstm(params: Arrays, x: np.ndarray, dy: np.ndarray, plan: Plan) -> Arrays:
    """The equations of `phase02.lstm` with a new array for each expression, and the plan's rest."""
    layout = in_blocks if plan.time_first else turned
    y, memory = plain_forward(params, layout(x), plan)
    dx, grads = plain_backward(params, layout(dy), memory, plan)
    return {"y": turned(y), "dx": turned(dx), **grads}


def turned(x: np.ndarray) -> np.ndarray:
    """Batch and time change places, in a view: the rows of a step lie T rows apart in memory."""
    return np.swapaxes(x, 0, 1)


def in_blocks(x: np.ndarray) -> np.ndarray:
    """(T, B, n) of (B, T, n), copied, so that each step is one block."""
    return np.ascontiguousarray(turned(x))


def empty_like(steps: np.ndarray, width: int, plan: Plan) -> np.ndarray:
    """An array (T, B, width), which lies in memory as the plan says."""
    n_steps, n_batch, _ = steps.shape
    if plan.time_first:
        return np.empty((n_steps, n_batch, width), steps.dtype)
    return turned(np.empty((n_batch, n_steps, width), steps.dtype))


Memory = list[tuple[np.ndarray, ...]]


def plain_forward(params: Arrays, x: np.ndarray, plan: Plan) -> tuple[np.ndarray, Memory]:
    """The outputs (T, B, H) from x (T, B, I), and what each step has to remember."""
    weight_ih, weight_hh = params["weight_ih_l0"], params["weight_hh_l0"]
    bias = params["bias_ih_l0"] + params["bias_hh_l0"]  # (4H,)
    y = empty_like(x, weight_hh.shape[1], plan)  # (T, B, H)
    h = c = np.zeros(y.shape[1:], x.dtype)  # (B, H)
    if plan.inputs_before:
        rows = x if plan.time_first else turned(x)  # as they lie in memory
        projected = rows.reshape(-1, x.shape[2]) @ weight_ih.T + bias  # (T B, 4H)
        projected = projected.reshape(*rows.shape[:2], -1)
        projected = projected if plan.time_first else turned(projected)  # (T, B, 4H)
    memory = []
    for t in range(len(x)):
        z = projected[t] if plan.inputs_before else x[t] @ weight_ih.T + bias  # (B, 4H)
        i, f, g, o = np.split(z + h @ weight_hh.T, 4, axis=1)  # (B, H) each
        i, f, o = (sigmoid_forward(gate)[0] for gate in (i, f, o))
        g = np.tanh(g)
        before = (x[t], h, c)
        c = f * c + i * g
        h = o * np.tanh(c)
        memory.append((*before, i, f, g, o, c))
        y[t] = h
    return y, memory


def plain_backward(
    params: Arrays, dy: np.ndarray, memory: Memory, plan: Plan
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """dx (T, B, I) and the weights' gradients, from dy (T, B, H)."""
    weight_ih, weight_hh = params["weight_ih_l0"], params["weight_hh_l0"]
    dweight_ih, dweight_hh = np.zeros_like(weight_ih), np.zeros_like(weight_hh)
    dbias = np.zeros_like(params["bias_ih_l0"])  # (4H,)
    dx, dz_steps = (empty_like(dy, n, plan) for n in (weight_ih.shape[1], len(dbias)))
    dh = dc = np.zeros(dy.shape[1:], dy.dtype)  # (B, H)
    for t in reversed(range(len(memory))):
        x, h_before, c_before, i, f, g, o, c = memory[t]
        dh, cell_tanh = dh + dy[t], np.tanh(c)
        dc = dc + dh * o * (1 - cell_tanh**2)
        di, df = dc * g * i * (1 - i), dc * c_before * f * (1 - f)
        dg, do = dc * i * (1 - g**2), dh * cell_tanh * o * (1 - o)
        dz = np.concatenate([di, df, dg, do], axis=1)  # (B, 4H)
        if plan.weights_after:
            dz_steps[t] = dz
        else:
            dweight_ih += dz.T @ x  # (4H, I)
            dweight_hh += dz.T @ h_before  # (4H, H)
            dbias += dz.sum(axis=0)
            dx[t] = dz @ weight_ih  # (B, I)
        dh, dc = dz @ weight_hh, dc * f  # (B, H)
    if plan.weights_after:
        inputs, states = (np.stack([step[n] for step in memory]) for n in (0, 1))
        dz = np.ascontiguousarray(dz_steps).reshape(-1, len(dbias))  # (T B, 4H)
        dweight_ih = dz.T @ inputs.reshape(len(dz), -1)  # (4H, I)
        dweight_hh = dz.T @ states.reshape(len(dz), -1)  # (4H, H)
        dbias = dz.sum(axis=0)
        dx = (dz @ weight_ih).reshape(*dy.shape[:2], -1)  # (T, B, I)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    return dx, dict(zip(names, (dweight_ih, dweight_hh, dbias, dbias), strict=True))


if __name__ == "__main__":
    script.run(main, Config)
