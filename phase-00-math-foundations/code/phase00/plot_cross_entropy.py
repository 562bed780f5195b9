"""Draw the cross-entropy loss against the probability of the right class, and against its logit.

    uv run journal run phase00.plot_cross_entropy [--record]

The first picture is the definition, -log p. The second is two classes of which the wrong one leads
by more and more: from the logits the loss keeps growing with the lead, while the naive one, the
logarithm of a probability from softmax, becomes infinite once that probability is rounded to 0.
Recorded too: the first whole lead at which that happens in float32 and in float64.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from journal import plotting, record, script
from phase00.probability import cross_entropy, cross_entropy_naive, softmax

MARKED = (1.0, 0.5, 0.1, 0.01)
LEADS = range(1001)
TOP = 1150  # of the picture, above the largest lead


@dataclass(frozen=True)
class Config:
    record: bool = False


def main(config: Config) -> dict[str, Any]:
    """The loss at several probabilities, and where the naive one is lost; returns both."""
    started = time.perf_counter()
    probabilities = np.linspace(0, 1, 201)[1:]
    losses = [cross_entropy_naive(np.array([p, 1 - p]), 0) for p in probabilities]
    leads = {name: compare_leads(np.dtype(name)) for name in ("float32", "float64")}
    metrics = {
        "loss_at_probability": {
            f"{p:g}": cross_entropy_naive(np.array([p, 1 - p]), 0) for p in MARKED
        },
        "loss_at_probability_0": str(cross_entropy_naive(np.array([0.0, 1.0]), 0)),
        "leads": leads,
        "loss_at_lead_1000": cross_entropy(np.array([0.0, 1000.0]), 0),
    }
    curves = {
        "probabilities": probabilities,
        "losses": losses,
        "leads": list(LEADS[::50]),
        "losses_from_logits": [cross_entropy(np.array([0.0, lead]), 0) for lead in LEADS[::50]],
    }
    pictures = {
        "probability": draw_probability(curves, metrics),
        "logits": draw_leads(curves, leads),
    }
    for name, picture in pictures.items():
        record.write_picture(__file__, name, picture, record=config.record)
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "curves": curves},
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    return metrics


def compare_leads(dtype: np.dtype) -> dict[str, Any]:
    """The first whole lead of the wrong class at which the naive loss is infinite, and its eve."""
    logits = [np.array([0, lead], dtype) for lead in LEADS]
    naive = [cross_entropy_naive(softmax(pair), 0) for pair in logits]
    first = naive.index(math.inf)
    return {
        "first_infinite": first,
        "naive_there": str(naive[first]),
        "from_logits_there": cross_entropy(logits[first], 0),
        "naive_just_before": naive[first - 1],
    }


def draw_probability(curves: dict[str, Any], metrics: dict[str, Any]) -> Figure:
    """-log p for p from 0 to 1, with the marked values written beside their points."""
    figure, axes = plotting.figure(6.5, 3.8)
    axes.plot(curves["probabilities"], curves["losses"])
    for p, loss in metrics["loss_at_probability"].items():
        axes.plot(float(p), loss, "o", color=plotting.PALETTE[1], markersize=5, clip_on=False)
        label = f"p = {p}: {loss:.2f}"
        offset, side = ((8, 8), "left") if float(p) < 1 else ((4, 16), "right")
        axes.annotate(label, (float(p), loss), offset, textcoords="offset points", ha=side)
    axes.set(
        xlim=(0, 1),
        ylim=(0, 5.5),
        xlabel="probability p of the right class",
        ylabel="loss, -log p (nats)",
        title="Cross-entropy: without bound as p goes to 0",
    )
    return figure


def draw_leads(curves: dict[str, Any], leads: dict[str, Any]) -> Figure:
    """The loss against the lead of the wrong class: the naive ones end where they are infinite."""
    figure, axes = plotting.figure(6.5, 3.8)
    axes.plot(curves["leads"], curves["losses_from_logits"], label="from the logits", zorder=1)
    for number, (name, at) in enumerate(leads.items(), start=1):
        color = plotting.PALETTE[number]
        end, loss = at["first_infinite"] - 1, at["naive_just_before"]
        axes.plot(end, loss, "X", color=color, markersize=9, label=f"naive, {name}: last finite")
        axes.annotate(
            f" infinite from {end + 1}",
            (end, loss),
            xytext=(end, TOP),
            color=color,
            va="top",
            arrowprops={"arrowstyle": "<-", "linestyle": ":", "color": color, "relpos": (0, 1)},
        )
    axes.set(
        xlim=(0, 1000),
        ylim=(0, TOP),
        xlabel="lead of the wrong class's logit over the right one's",
        ylabel="loss (nats)",
        title="A confident wrong answer: large from the logits, infinite when naive",
    )
    axes.legend(loc="lower right")
    return figure


if __name__ == "__main__":
    script.run(main, Config)
