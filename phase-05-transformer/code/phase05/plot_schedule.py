"""Draw the paper's learning rate: two terms, the smaller of which counts, and what moves the peak.

    uv run journal run phase05.plot_schedule

Left the paper's rate and the two terms of its equation 3, which cross where the warm-up ends. Right
the same with half the width, twice the warm-up, and none (a warm-up of one step, whose first rate
is some sixty times the paper's peak).

Left out: what a warm-up does for training; `phase05.ablate` trains with one and without.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from journal import plotting, record, script
from phase05.schedule import transformer_rate

STYLES = ("-", "--", "-.", ":")  # of the four curves


@dataclass(frozen=True)
class Config:
    d_model: int = 512
    """the paper's base model"""
    warmup_steps: int = 4000
    """the paper's"""
    n_steps: int = 30_000
    """steps that are drawn"""
    record: bool = False

    def __post_init__(self) -> None:
        if self.d_model < 2 or self.warmup_steps < 1:
            raise ValueError(
                f"d_model must be 2 or more and warmup_steps 1 or more, not {self.d_model} and "
                f"{self.warmup_steps}"
            )
        if self.n_steps <= 2 * self.warmup_steps:
            raise ValueError(
                f"n_steps must be above {2 * self.warmup_steps}, twice the warm-up, to show both "
                f"sides of the peak, not {self.n_steps}"
            )


def main(config: Config) -> dict[str, Any]:
    """Draw the rate of every step; returns the peaks."""
    started = time.perf_counter()
    metrics: dict[str, Any] = {"peaks": {}}
    print(f"{'':>28}{'peak at step':>14}{'rate':>12}")
    for name, (d_model, warmup) in variants(config).items():
        rates = curve(d_model, warmup, config.n_steps)
        peak = int(np.argmax(rates))
        found = {"step": peak + 1, "rate": float(f"{rates[peak]:.4g}")}
        metrics["peaks"][name] = found
        print(f"{name:>28}{found['step']:>14,}{found['rate']:>12.3g}")
    metrics["first_rate"] = float(f"{transformer_rate(0, config.d_model, config.warmup_steps):.4g}")
    seconds = time.perf_counter() - started
    record.write(__file__, config=config, metrics=metrics, seconds=seconds, record=config.record)
    record.write_picture(__file__, "rates", draw(config), record=config.record)
    return metrics


def variants(config: Config) -> dict[str, tuple[int, int]]:
    """(d_model, warmup_steps) of each curve, the paper's first."""
    width, warmup = config.d_model, config.warmup_steps
    return {
        f"d_model {width}, warm-up {warmup}": (width, warmup),
        f"d_model {width // 2}, warm-up {warmup}": (width // 2, warmup),
        f"d_model {width}, warm-up {2 * warmup}": (width, 2 * warmup),
        f"d_model {width}, no warm-up": (width, 1),
    }


def curve(d_model: int, warmup: int, n_steps: int) -> np.ndarray:
    """The rate of each step from the first on: (n_steps,)."""
    return np.array([transformer_rate(step, d_model, warmup) for step in range(n_steps)])


def draw(config: Config) -> Figure:
    """Left the paper's rate with its two terms, right the variants, in thousands of steps."""
    figure, axes = plotting.figure(9.0, 3.8, columns=2)
    figure.suptitle("The paper's learning rate")
    shown = np.unique(np.geomspace(1, config.n_steps, 400).astype(int))  # steps, counted from 1
    thousands = shown / 1000
    width, warmup = config.d_model, config.warmup_steps
    top = 2.2 * transformer_rate(warmup - 1, width, warmup)
    rates = curve(width, warmup, config.n_steps)[shown - 1]
    axes[0].plot(thousands, rates, label="the rate: the smaller one", linewidth=2.6)
    rise, fall = width**-0.5 * shown * warmup**-1.5, curve(width, 1, config.n_steps)[shown - 1]
    axes[0].plot(thousands, rise, label="the rise", linestyle="--")
    axes[0].plot(thousands, fall, label="the fall", linestyle=":")
    axes[0].axvline(warmup / 1000, color=plotting.INK, linewidth=0.8, linestyle="--")
    axes[0].set(title=f"Two terms that meet at step {warmup:,}", ylabel="learning rate")
    for (name, (d_model, steps)), style in zip(variants(config).items(), STYLES, strict=True):
        axes[1].plot(thousands, curve(d_model, steps, config.n_steps)[shown - 1], style, label=name)
    axes[1].set(title="Width and warm-up changed")
    for ax in axes:
        ax.set(xlabel="steps, thousands", ylim=(0, top), xlim=(0, config.n_steps / 1000))
        ax.legend(loc="upper right")
    return figure


if __name__ == "__main__":
    script.run(main, Config)
