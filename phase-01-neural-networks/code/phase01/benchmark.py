"""How long a training step of a network takes here, beside PyTorch, and what made it fast.

    uv run journal run phase01.benchmark

A *race* is one problem solved in several ways in the same run on the same numbers: by the modules
of this phase, by PyTorch (eager, as it comes), and in naive ways, which are written out below.
First all results are compared (loss, gradients, moved weights); where one differs by more than the
rounding of float32, nothing is timed. Then the ways take turns, round by round, each after some
calls that do not count, in which the threads of the way before go to sleep.

    ratio     median time of ours / median time of PyTorch's, and its least and largest in a round
    factor    median time of a naive way / of ours: what the improvement bought

NumPy's matrix products and PyTorch have as many threads as each other: 2, or what OMP_NUM_THREADS
says. Ratio and factor belong to the machine that they were measured on, and the seconds even more.

The benchmarks alone import PyTorch below phase 6; `phase01.benchmark_convolution` and
`phase02.benchmark` run their races with the functions of this script. Left out: reading data,
evaluation, and PyTorch's compiler (phase 8).
"""

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

# Read by NumPy's BLAS when it is imported: OpenBLAS and MKL, Apple's Accelerate.
for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(_variable, os.environ.get("OMP_NUM_THREADS", "2"))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from journal import record, script  # noqa: E402
from phase01.activations import relu_backward, relu_forward  # noqa: E402
from phase01.linear import linear_backward, linear_forward  # noqa: E402
from phase01.losses import cross_entropy_backward, cross_entropy_forward  # noqa: E402
from phase01.mlp import MLP, MLPConfig  # noqa: E402
from phase01.optimizers import SGD, Adam, Optimizer  # noqa: E402

OURS, TORCH = "ours", "PyTorch"
ROUNDING = 1e-4  # of float32 sums in another order, relative to the norm of the result
LEARNING_RATE = 1e-3

Arrays = Mapping[str, Any]  # arrays by name, and the loss, a number


@dataclass(frozen=True)
class Config:
    widths: tuple[int, ...] = (784, 512, 256, 10)
    """of the network: inputs, hidden layers, classes"""
    batch_size: int = 128
    rounds: int = 9
    seconds: float = 0.2
    """how long each way is timed in a round, at least"""
    settle: float = 0.06
    """seconds of calls before that do not count"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, not {self.batch_size}")
        check_turns(self.rounds, self.seconds, self.settle)


def main(config: Config) -> dict[str, Any]:
    """Run the races; returns the ratios and factors of each (the times are written)."""
    started = time.perf_counter()
    metrics: dict[str, Any] = {"threads": use_same_threads()}
    for optimizer in OPTIMIZERS:
        race = network_race(config, optimizer)
        metrics[race.key] = run(race, config.rounds, config.seconds, config.settle)
    record.write(
        __file__,
        config=config,
        metrics=metrics,
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    return without_times(metrics)


# ---- how a race is run -------------------------------------------------------------------


class Way(NamedTuple):
    """One way to solve a problem: `step` is timed, `read` makes arrays of what it returned."""

    name: str
    step: Callable[[], Any]
    read: Callable[[Any], Arrays] = dict


@dataclass(frozen=True)
class Race:
    """A problem and the ways to solve it; the first is ours, by which the others are judged."""

    key: str
    title: str
    ways: Sequence[Way]
    goal: float | None = None
    """the ratio to PyTorch that ours should stay below"""


def use_same_threads() -> int:
    """Give PyTorch as many threads as NumPy's BLAS was told, and return how many."""
    threads = int(os.environ["OPENBLAS_NUM_THREADS"])
    torch.set_num_threads(threads)
    return threads


def check_turns(rounds: int, seconds: float, settle: float) -> None:
    """ValueError unless there is a round, and the two are lengths of time."""
    if rounds < 1:
        raise ValueError(f"rounds must be 1 or more, not {rounds}")
    if not (0 <= seconds < 60 and 0 <= settle < 60):
        raise ValueError(
            f"seconds and settle must be from 0 to below 60, not {seconds} and {settle}"
        )


def run(race: Race, rounds: int, seconds: float, settle: float) -> dict[str, Any]:
    """Compare the results of all ways, time the ways in turn, print and return what came out."""
    compare(race)
    timed: dict[str, list[list[float]]] = {way.name: [] for way in race.ways}
    for number in range(rounds):
        for way in race.ways if number % 2 else reversed(race.ways):
            repeat(way.step, settle)
            timed[way.name].append(repeat(way.step, seconds))
    found = summary(race, timed)
    print_race(race, found)
    return found


def repeat(step: Callable[[], Any], seconds: float) -> list[float]:
    """Seconds of each call, of at least one and for at least so long."""
    taken: list[float] = []
    while not taken or sum(taken) < seconds:
        started = time.perf_counter()
        step()
        taken.append(time.perf_counter() - started)
    return taken


def compare(race: Race) -> None:
    """ValueError where a way's first step has another result than ours, beyond rounding."""
    (_, truth), *others = [(way.name, way.read(way.step())) for way in race.ways]
    for name, found in others:
        if found.keys() != truth.keys():
            raise ValueError(
                f"{race.key}: {name} returns {', '.join(found)}, ours {', '.join(truth)}: "
                "only the same work can be compared"
            )
        for key, right in truth.items():
            right, one = np.asarray(right), np.asarray(found[key])
            distance = np.linalg.norm(one - right) if one.shape == right.shape else np.inf
            if not distance <= ROUNDING * np.linalg.norm(right):
                raise ValueError(
                    f"{race.key}: {key} of {name} and of ours differ by {distance:g} on a norm of "
                    f"{np.linalg.norm(right):g}: mend the wrong one, since times of two different "
                    "results cannot be compared"
                )


def summary(race: Race, timed: Mapping[str, list[list[float]]]) -> dict[str, Any]:
    """Milliseconds of each way, the ratio of ours to PyTorch's, the factors of the naive ways."""
    calls = {name: [second for part in parts for second in part] for name, parts in timed.items()}
    medians = {name: statistics.median(found) for name, found in calls.items()}
    ours = [statistics.median(part) for part in timed[OURS]]
    found: dict[str, Any] = {
        "median_ms": {name: round(1e3 * median, 4) for name, median in medians.items()},
        "least_ms": {name: round(1e3 * min(every), 4) for name, every in calls.items()},
        "factor": {
            name: round(median / medians[OURS], 3)
            for name, median in medians.items()
            if name not in (OURS, TORCH)
        },
    }
    if TORCH in timed:
        theirs = [statistics.median(part) for part in timed[TORCH]]
        by_round = [a / b for a, b in zip(ours, theirs, strict=True)]
        found["ratio"] = round(medians[OURS] / medians[TORCH], 3)
        found["ratio_least"] = round(min(by_round), 3)
        found["ratio_largest"] = round(max(by_round), 3)
        found["goal"] = race.goal
    return found


def without_times(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Ratios and factors alone, which say more than the milliseconds of one machine."""
    short = {}
    for key, found in metrics.items():
        if isinstance(found, Mapping):
            found = {name: one for name, one in found.items() if not name.endswith("_ms")}
        short[key] = found
    return short


def print_race(race: Race, found: Mapping[str, Any]) -> None:
    """A table of the ways, and the ratio beside its goal."""
    print(f"\n{race.title}\n{'':<44}{'median ms':>11}{'least ms':>11}{'of ours':>9}")
    for name, median in found["median_ms"].items():
        share = median / found["median_ms"][OURS]
        print(f"  {name:<42}{median:>11.3f}{found['least_ms'][name]:>11.3f}{share:>9.2f}")
    if "ratio" in found:
        spread = f"{found['ratio_least']:.2f} to {found['ratio_largest']:.2f} in single rounds"
        print(f"  ours / PyTorch: {found['ratio']:.2f} ({spread}), goal {race.goal}", flush=True)


# ---- the step of a network ---------------------------------------------------------------


class AdamAsWritten(Optimizer):
    """Adam line by line as in its paper: every expression is a new array."""

    def __init__(self, params: Any, learning_rate: float) -> None:
        super().__init__(params, learning_rate, 0.0)
        self.mean = {name: np.zeros_like(param) for name, param in params.items()}
        self.square = {name: np.zeros_like(param) for name, param in params.items()}

    def update(self, name: str, param: np.ndarray, grad: np.ndarray) -> None:
        mean = self.mean[name] = 0.9 * self.mean[name] + (1 - 0.9) * grad
        square = self.square[name] = 0.999 * self.square[name] + (1 - 0.999) * grad**2
        mean_hat = mean / (1 - 0.9**self.n_steps)
        square_hat = square / (1 - 0.999**self.n_steps)
        param -= self.learning_rate * mean_hat / (np.sqrt(square_hat) + 1e-8)


OPTIMIZERS = {"SGD": SGD, "Adam": Adam}


def network_race(config: Config, optimizer: str) -> Race:
    """Forward, backward and one update of a network on a batch of random numbers."""
    rng = np.random.default_rng([config.seed, 1])
    x = rng.standard_normal((config.batch_size, config.widths[0])).astype(np.float32)
    targets = rng.integers(0, config.widths[-1], config.batch_size)

    def way(name: str, step: Callable[..., Any], make: Any, dtype: Any = np.float32) -> Way:
        model = MLP(MLPConfig(config.widths), np.random.default_rng([config.seed, 2]), dtype)
        moving = make(model.params, LEARNING_RATE)
        return Way(name, lambda: step(model, moving, x.astype(dtype, copy=False), targets))

    make = OPTIMIZERS[optimizer]
    ways = [way(OURS, batch_step, make), torch_network(config, optimizer, x, targets)]
    if optimizer == "SGD":
        ways.append(way("one example at a time", example_step, make))
        ways.append(way("with the gradient of the pixels", pixels_step, make))
        ways.append(way("in float64", batch_step, make, np.float64))
    else:
        ways.append(way("Adam as in the paper, with new arrays", batch_step, AdamAsWritten))
    shape = "-".join(map(str, config.widths))
    title = f"Step of a network {shape} with {optimizer}, {config.batch_size} examples"
    return Race(f"network_{optimizer.lower()}", title, ways, goal=1.5)


def batch_step(model: MLP, optimizer: Optimizer, x: np.ndarray, targets: np.ndarray) -> Arrays:
    """Ours: the batch in one piece."""
    loss, cache = model.forward(x, targets)
    grads = model.backward(cache)
    optimizer.step(grads)
    return stepped(loss, grads, model.params)


def example_step(model: MLP, optimizer: Optimizer, x: np.ndarray, targets: np.ndarray) -> Arrays:
    """Matrix times vector instead of matrix times matrix: each weight is read for each example."""
    total, grads = 0.0, {name: np.zeros_like(param) for name, param in model.params.items()}
    for n in range(len(x)):
        loss, cache = model.forward(x[n : n + 1], targets[n : n + 1])
        total += loss / len(x)
        for name, grad in model.backward(cache).items():
            grads[name] += grad / len(x)
    optimizer.step(grads)
    return stepped(total, grads, model.params)


def pixels_step(model: MLP, optimizer: Optimizer, x: np.ndarray, targets: np.ndarray) -> Arrays:
    """The gradient of the inputs is computed as in every other layer, and thrown away."""
    n_layer, linear_caches, relu_caches, grads = model.config.n_layer, [], [], {}
    for i in range(n_layer):
        x, cache = linear_forward(x, *(model.params[f"layers.{i}.{p}"] for p in ("weight", "bias")))
        linear_caches.append(cache)
        if i < n_layer - 1:
            x, cache = relu_forward(x)
            relu_caches.append(cache)
    loss, loss_cache = cross_entropy_forward(x, targets)
    dx = cross_entropy_backward(1.0, loss_cache)
    for i in reversed(range(n_layer)):
        if i < n_layer - 1:
            dx = relu_backward(dx, relu_caches[i])
        dx, *both = linear_backward(dx, linear_caches[i])
        grads[f"layers.{i}.weight"], grads[f"layers.{i}.bias"] = both
    optimizer.step(grads)
    return stepped(loss, grads, model.params)


def stepped(loss: float, grads: Arrays, params: Arrays) -> Arrays:
    """What one step of a network is known by."""
    moved = {f"moved {name}": param for name, param in params.items()}
    return {"loss": loss, **grads, **moved}


def torch_network(config: Config, optimizer: str, x: np.ndarray, targets: np.ndarray) -> Way:
    """The same network from the same weights, as PyTorch's modules."""
    mine = MLP(MLPConfig(config.widths), np.random.default_rng([config.seed, 2]))
    layers: list[nn.Module] = []
    for d_in, d_out in zip(config.widths, config.widths[1:], strict=False):
        layers += [nn.Linear(d_in, d_out), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    params = dict(zip(mine.params, model.parameters(), strict=True))
    with torch.no_grad():
        for name, param in params.items():
            param.copy_(torch.from_numpy(mine.params[name]))
    moving = getattr(torch.optim, optimizer)(model.parameters(), lr=LEARNING_RATE)
    inputs, classes = torch.from_numpy(x), torch.from_numpy(targets)

    def step() -> torch.Tensor:
        moving.zero_grad()
        loss = F.cross_entropy(model(inputs), classes)
        loss.backward()
        moving.step()
        return loss

    def read(loss: torch.Tensor) -> Arrays:
        grads = {name: array(param.grad) for name, param in params.items()}
        return stepped(loss.item(), grads, {name: array(param) for name, param in params.items()})

    return Way(TORCH, step, read)


def array(tensor: torch.Tensor | None) -> np.ndarray:
    """A copy of a tensor's numbers (the tensor itself changes with the next step)."""
    assert tensor is not None, "a tensor without its gradient: backward was not called"
    return tensor.detach().numpy().copy()


if __name__ == "__main__":
    script.run(main, Config)
