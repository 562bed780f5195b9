"""RNN, LSTM and GRU on the same text: equal in parameters, then equal in time.

    OMP_NUM_THREADS=1 uv run journal run phase02.compare_cells

The hidden sizes are chosen so that the three models learn the same number of parameters, that of
the LSTM. Two questions, with runs of their own: how many bits per held-out character does a cell
need after the same number of characters, and how many after the same CPU time? A cell that is
cheaper by the character reads more of the text in the same time.

In both the learning rate rises for a few steps and then falls in a straight line, by the share that
is spent of what is equal: of the characters, or of the seconds. So each run ends at its lowest
rate, however many steps it made. Each cell has a rate of its own to begin with, the best of a small
grid: by the mean loss over the last quarter of a short run, of chunks that had not been learned
from yet when the loss was taken. The held-out text has no part in that choice, but the best rate of
a short run need not be that of a long one.

Time is that of the training steps alone, by the clock of the process: what other programs do on the
machine counts less in it than in wall time, but still through the caches that they share. With more
threads than one it would count the waiting of each, so the command says one. The cells take turns,
seed by seed. The answer to the first question is the same in every run on one machine; the second
is not, since the clock decides how many steps there are. Left out: cells of equal hidden size, and
models that learn for hours.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count, islice, product
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from journal import plotting, record, script
from phase01.optimizers import Adam
from phase01.schedules import linear_warmup
from phase02.bptt import Step
from phase02.char_lm import (
    CELLS,
    CharLM,
    CharLMConfig,
    bits_per_character,
    count_parameters,
    train_on_text,
    with_parameters,
)
from phase02.char_text import characters_read
from phase02.train_char_lm import Corpus, held_out_bits, read_corpus

REFERENCE = "lstm"
WARMUP = 20  # steps
LOWEST_RATE = 0.05  # share of the learning rate that a run ends with
FIRST_PART = 8  # a run is measured first when this part of it is done, then at twice as much
LIMITS = ("characters", "seconds")
Clock = Callable[[], float]


@dataclass(frozen=True)
class Config:
    source: Literal["shakespeare", "novel", "embedded"] = "shakespeare"
    novel: str = "Cbronte_Jane_1847"
    """which of the english-novels, where the source is novel"""
    max_characters: int | None = None
    """read only so many characters from the beginning of the text; none for all"""
    d_hidden: int = 192
    """of the LSTM; the other cells get its number of parameters"""
    d_embedding: int = 64
    """width of the characters' vectors, the same for all"""
    n_characters: int = 1_000_000
    """after which the cells are compared"""
    cpu_seconds: float = 15.0
    """after which the cells are compared"""
    learning_rates: tuple[float, ...] = (5e-3, 1e-2, 2e-2)
    """the grid"""
    grid_characters: int = 300_000
    """of each short run that tries a learning rate"""
    n_batch: int = 32
    chunk_length: int = 32
    max_norm: float = 1.0
    """gradients are shortened to this length, all together"""
    seeds: tuple[int, ...] = (0, 1)
    record: bool = False

    def __post_init__(self) -> None:
        for name in ("n_characters", "grid_characters", "n_batch", "chunk_length", "cpu_seconds"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be above 0 and finite, not {getattr(self, name)}")
        if not self.learning_rates or not self.seeds:
            raise ValueError("at least one learning rate and one seed are needed")
        if self.record and self.source == "embedded":
            raise ValueError(
                "the embedded text differs between releases of Python, so that its results are not "
                "recorded: leave --record out, or take another source"
            )


class Point(NamedTuple):
    """What was measured at one moment of a run."""

    characters: int  # learned from so far
    seconds: float  # of training so far
    bits: float  # per held-out character


Runs = dict[str, dict[str, list[list[Point]]]]  # by limit, cell and seed


def main(config: Config, clock: Clock = time.process_time) -> dict[str, Any]:
    """Choose the rates, run each cell with each seed; returns sizes, rates, bits and speeds."""
    started = time.perf_counter()
    corpus = read_corpus(config.source, config.novel, config.max_characters)
    models = equal_models(len(corpus.vocabulary), config.d_hidden, config.d_embedding)
    cells: dict[str, dict[str, Any]] = {}
    for name, size in models.items():
        grid = {rate: try_rate(size, corpus, rate, config) for rate in config.learning_rates}
        cells[name] = describe(size, grid)
        print(f"{name:>4}: {cells[name]}", flush=True)
    runs: Runs = {limit: {name: [] for name in models} for limit in LIMITS}
    for seed, limit, name in product(config.seeds, LIMITS, models):
        rate = cells[name]["learning_rate"]
        done = run(models[name], corpus, rate, seed, limit, config, clock)
        runs[limit][name].append(done)
        report(name, seed, done[-1])
    for name, cell in cells.items():
        cell |= summary(*(runs[limit][name] for limit in LIMITS))
    slow = cells[REFERENCE]["seconds_per_1000_characters"]
    for cell in cells.values():
        cell["speed_relative_to_lstm"] = round(slow / cell["seconds_per_1000_characters"], 3)
    print_table(cells, config)
    record.write(
        __file__,
        config=config,
        metrics={"cells": cells, "curves": written(runs)},
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    record.write_picture(__file__, "curves", draw(runs), record=config.record)
    return cells


# ---- what is run -------------------------------------------------------------------------


def equal_models(vocab_size: int, d_hidden: int, d_embedding: int) -> dict[str, CharLMConfig]:
    """A model for each cell, with about as many parameters as an LSTM of that hidden size."""
    reference = CharLMConfig(vocab_size, d_hidden, REFERENCE, d_embedding)
    n_parameters = count_parameters(reference)
    return {name: with_parameters(replace(reference, cell=name), n_parameters) for name in CELLS}


def begin(
    size: CharLMConfig,
    corpus: Corpus,
    learning_rate: float,
    seed: int,
    config: Config,
    progress: Callable[[], float],
) -> tuple[CharLM, Iterator[Step]]:
    """A new model, and its training steps, whose rate falls with `progress`, from 0 to 1."""

    def schedule(step: int) -> float:
        fallen = learning_rate * (1 - (1 - LOWEST_RATE) * min(1.0, progress()))
        return linear_warmup(step, fallen, WARMUP)

    model = CharLM(size, np.random.default_rng(seed))
    optimizer = Adam(model.params, learning_rate)
    layout = config.n_batch, config.chunk_length
    return model, train_on_text(model, optimizer, corpus.train, *layout, schedule, config.max_norm)


def try_rate(size: CharLMConfig, corpus: Corpus, learning_rate: float, config: Config) -> float:
    """Bits per character of the last quarter of a short run's chunks, before they were learned."""
    n_steps = math.ceil(config.grid_characters / (config.n_batch * config.chunk_length))
    losses: list[float] = []
    _, steps = begin(
        size, corpus, learning_rate, config.seeds[0], config, lambda: len(losses) / n_steps
    )
    for step in islice(steps, n_steps):
        losses.append(step.loss)
    return bits_per_character(float(np.mean(losses[3 * n_steps // 4 :])))


def run(
    size: CharLMConfig,
    corpus: Corpus,
    learning_rate: float,
    seed: int,
    limit: str,
    config: Config,
    clock: Clock,
) -> list[Point]:
    """Train until the limit, characters or seconds, is reached; measured at each doubling.

    Measuring takes none of the seconds.
    """
    budget = config.n_characters if limit == "characters" else config.cpu_seconds
    spent = {"characters": 0, "seconds": 0.0}
    model, steps = begin(size, corpus, learning_rate, seed, config, lambda: spent[limit] / budget)
    layout = config.n_batch, config.chunk_length
    points: list[Point] = []
    mark = budget / FIRST_PART
    for n_steps in count(1):
        begun = clock()
        next(steps)
        spent["seconds"] += clock() - begun
        spent["characters"] = characters_read(len(corpus.train), *layout, n_steps)
        if spent[limit] >= mark:
            bits = held_out_bits(model, corpus, config.n_batch)
            points.append(Point(spent["characters"], round(spent["seconds"], 3), bits))
        while spent[limit] >= mark:
            mark *= 2
        if spent[limit] >= budget:
            break
    return points


# ---- what is said of it ------------------------------------------------------------------


def summary(in_text: list[list[Point]], in_time: list[list[Point]]) -> dict[str, Any]:
    """Bits at equal characters and at equal time, each seed's and their mean; and the speed."""
    by_text, by_time = ([run[-1] for run in runs] for runs in (in_text, in_time))
    seconds = sum(point.seconds for point in by_text + by_time)
    characters = sum(point.characters for point in by_text + by_time)
    return {
        "bits_at_equal_characters": mean(point.bits for point in by_text),
        "bits_at_equal_characters_of_seeds": [point.bits for point in by_text],
        "bits_at_equal_time": mean(point.bits for point in by_time),
        "bits_at_equal_time_of_seeds": [point.bits for point in by_time],
        "characters_at_equal_time": round(mean(point.characters for point in by_time)),
        "seconds_per_1000_characters": round(1000 * seconds / characters, 6),
    }


def describe(size: CharLMConfig, grid: dict[float, float]) -> dict[str, Any]:
    """What is known of a cell before it is compared, the best rate of the grid included."""
    return {
        "d_hidden": size.d_hidden,
        "parameters": count_parameters(size),
        "learning_rate": min(grid, key=grid.__getitem__),
        "grid": {f"{rate:g}": round(bits, 4) for rate, bits in grid.items()},
    }


def written(runs: Runs) -> dict[str, Any]:
    """The curves as they are written: by limit, cell and seed."""
    return {
        limit: {
            name: [[point._asdict() for point in run] for run in found]
            for name, found in cells.items()
        }
        for limit, cells in runs.items()
    }


def mean(values: Iterable[float]) -> float:
    return round(float(np.mean(list(values))), 4)


def report(name: str, seed: int, last: Point) -> None:
    """One line about a run that has ended."""
    print(
        f"{name:>4}, seed {seed}: {last.bits:.3f} bits per held-out character after "
        f"{last.characters:,} characters, {last.seconds:.1f} s",
        flush=True,
    )


def print_table(cells: dict[str, dict[str, Any]], config: Config) -> None:
    """One line for each cell."""
    print(
        f"\n{'':>6}{'hidden':>8}{'parameters':>12}{'rate':>8}"
        f"{f'bits, {config.n_characters:,} characters':>29}"
        f"{f'bits, {config.cpu_seconds:g} s':>14}{'ms per 1,000':>14}{'speed':>8}"
    )
    for name, cell in cells.items():
        print(
            f"{name:>6}{cell['d_hidden']:>8}{cell['parameters']:>12,}{cell['learning_rate']:>8g}"
            f"{cell['bits_at_equal_characters']:>29.3f}{cell['bits_at_equal_time']:>14.3f}"
            f"{1000 * cell['seconds_per_1000_characters']:>14.1f}"
            f"{cell['speed_relative_to_lstm']:>8.2f}"
        )


def draw(runs: Runs) -> Figure:
    """Bits per held-out character against characters and against seconds, a line for each seed."""
    figure, axes = plotting.figure(8.0, 4.1, columns=2)
    figure.suptitle("Three cells with the same number of parameters")
    panels = (
        (axes[0], "characters", 1000, "The same number of characters", "thousand characters read"),
        (axes[1], "seconds", 1, "The same time", "CPU seconds of training"),
    )
    for ax, limit, unit, title, label in panels:
        for (name, found), colour in zip(runs[limit].items(), plotting.PALETTE, strict=False):
            for number, run in enumerate(found):
                ax.plot(
                    [getattr(point, limit) / unit for point in run],
                    [point.bits for point in run],
                    "o-",
                    color=colour,
                    markersize=3.5,
                    linewidth=1.2,
                    label=name.upper() if number == 0 else None,
                )
        ax.set(title=title, xlabel=label, xlim=(0, None))
    axes[0].set(ylabel="bits per held-out character")
    axes[0].legend(loc="best")
    return figure


if __name__ == "__main__":
    script.run(main, Config)
