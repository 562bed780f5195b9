"""Draw softmax of the same scores at several temperatures; record where the naive form fails.

    uv run journal run phase00.plot_softmax [--temperatures 0.1 1 10] [--record]

The failure is recorded as numbers: for each floating type the largest whole score that the naive
form still survives, and both forms on three scores of about 1000, whose answer is ordinary.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from journal import plotting, record, script
from phase00.probability import softmax, softmax_naive

HUGE_SCORES = (1000.0, 999.0, 998.0)


@dataclass(frozen=True)
class Config:
    scores: tuple[float, ...] = (4.0, 3.0, 2.0, 1.0, 0.0)
    temperatures: tuple[float, ...] = (0.25, 1.0, 3.0, 10.0)
    record: bool = False


def main(config: Config) -> dict[str, Any]:
    """Softmax at each temperature, and the failures of the naive one; returns both."""
    started = time.perf_counter()
    scores = np.array(config.scores)
    metrics = {
        "scores": config.scores,
        "temperatures": config.temperatures,
        "probabilities": [softmax(scores, t).tolist() for t in config.temperatures],
        "huge_scores": HUGE_SCORES,
        "naive_of_huge_scores": [str(p) for p in softmax_naive(np.array(HUGE_SCORES))],
        "stable_of_huge_scores": softmax(np.array(HUGE_SCORES)).tolist(),
        "largest_score_that_naive_survives": {
            name: largest_survivor(np.dtype(name)) for name in ("float16", "float32", "float64")
        },
    }
    record.write_picture(__file__, "temperature", draw(metrics), record=config.record)
    seconds = time.perf_counter() - started
    record.write(__file__, config=config, metrics=metrics, seconds=seconds, record=config.record)
    return metrics


def largest_survivor(dtype: np.dtype) -> int:
    """The largest whole s for which the naive softmax of (s, 0) is still a number."""
    score = 0
    while np.isfinite(softmax_naive(np.array([score + 1, 0], dtype))).all():
        score += 1
    return score


def draw(metrics: dict[str, Any]) -> Figure:
    """One panel of bars for each temperature, all on the same scale."""
    panels = list(zip(metrics["temperatures"], metrics["probabilities"], strict=True))
    figure, axes = plotting.figure(8.0, 3.2, 1, len(panels))
    for axis, (temperature, probabilities) in zip(np.atleast_1d(axes), panels, strict=True):
        names = [f"{score:g}" for score in metrics["scores"]]
        bars = axis.bar(range(len(names)), probabilities, color=plotting.PALETTE[0], width=0.75)
        axis.bar_label(bars, [shown(p) for p in probabilities], fontsize=7.5, padding=2)
        axis.set(ylim=(0, 1.1), title=f"T = {temperature:g}", xlabel="score")
        axis.set_xticks(range(len(names)), names)
        axis.tick_params(labelleft=axis is np.atleast_1d(axes)[0])
    np.atleast_1d(axes)[0].set_ylabel("probability")
    figure.suptitle("Softmax of the same scores: a low temperature picks, a high one levels")
    return figure


def shown(p: float) -> str:
    """A probability in two digits; one that would read 0.00 is not 0, so it does not say so."""
    return f"{p:.2f}" if p >= 0.005 else "≈0"


if __name__ == "__main__":
    script.run(main, Config)
