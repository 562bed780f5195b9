"""Draw what the scale 1 / sqrt(D) is for: the softmax over the width of queries and keys.

    uv run journal run phase04.plot_scaling

Queries and keys are independent standard normal numbers, n keys to a query. Their products have the
variance D, and divided by sqrt(D) the variance 1. Over the width, with and without the scale, two
pictures: the entropy of the weights, and the size of the gradient that the softmax lets through to
its scores, where the weights' gradient is standard normal too.

What is foretold, for n scores of variance s^2 (s^2 = D without the scale, 1 with it):

    s small   the entropy is ln n minus half the variance of the n scores: ln n - s^2/2 (1 - 1/n);
              the Jacobian is that of equal weights, and its squared norm (n - 1) / n^2
    s large   only the two largest of the n scores count. Let f be the density, at 0, of the gap
              between them for scores of variance 1. A gap of g gives the weights sigmoid(s g) and
              the rest; so in the mean, over gaps of about 1/s, on which the density is still f:
                  entropy              f/s  times  the integral of the entropy    = f/s pi^2/6
                  1 - largest weight   f/s  times  the integral of 1 - sigmoid    = f/s ln 2
                  squared Jacobian     f/s  times  that of 4 sigmoid^2 (1 - sigmoid)^2 = f/s / 3

So mean entropy and mean gradient fall like powers of D. Half of all queries fare worse than any
power: at the median gap the gradient falls exponentially with s.

Left out: what training does to queries and keys afterwards, which need not keep their variance.

Shapes: B batches of T queries and S = n keys, D width.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from journal import plotting, record, script
from phase04.masks import masked_softmax_backward, masked_softmax_forward

WAYS = ("without", "with")  # the scale


@dataclass(frozen=True)
class Config:
    widths: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
    """D, of queries and keys"""
    n_keys: int = 64
    n_queries: int = 20
    """in each batch"""
    n_batch: int = 100
    """batches, each with keys of its own"""
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise ValueError(f"widths must be one or more numbers from 1 up, not {self.widths}")
        if self.n_keys < 2 or min(self.n_queries, self.n_batch) < 1:
            raise ValueError(
                "there must be 2 keys, 1 query and 1 batch at least, not "
                f"{self.n_keys}, {self.n_queries} and {self.n_batch}"
            )


def main(config: Config) -> dict[str, Any]:
    """Measure at each width; returns the means beside what is foretold."""
    started = time.perf_counter()
    rng = np.random.default_rng(config.seed)
    print("D, scale, variance, mean entropy, largest weight; gradient: root mean square, median")
    found: dict[str, dict[str, list[float]]] = {way: {} for way in WAYS}
    for width in config.widths:
        for way, row in measured(config, width, rng).items():
            for name, value in row.items():
                found[way].setdefault(name, []).append(float(f"{value:.4g}"))
            print(
                f"{width:>6}  {way + ' scale':<15}{row['variance']:>9.2f}{row['entropy']:>9.3f}"
                f"{row['largest_weight']:>9.3f}{row['gradient']:>10.2e}{row['median_gradient']:>10.2e}"
            )
    metrics = {
        "widths": list(config.widths),
        "foretold": foretold(config.n_keys, config.widths),
        **{f"{way}_scale": columns for way, columns in found.items()},
    }
    seconds = time.perf_counter() - started
    record.write(__file__, config=config, metrics=metrics, seconds=seconds, record=config.record)
    for name, draw in (("entropy", draw_entropy), ("gradient", draw_gradient)):
        record.write_picture(__file__, name, draw(metrics, config.n_keys), record=config.record)
    return metrics


# ---- what is measured, and what is foretold ----------------------------------------------


def measured(config: Config, width: int, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Without and with the scale: the variance of the scores, and means over all queries."""
    query = rng.standard_normal((config.n_batch, config.n_queries, width))  # (B, T, D)
    key = rng.standard_normal((config.n_batch, config.n_keys, width))  # (B, S, D)
    products = query @ key.swapaxes(1, 2)  # (B, T, S)
    dweights = rng.standard_normal(products.shape)  # (B, T, S)
    scales = (1.0, 1 / math.sqrt(width))
    return {
        way: of_scores(scale * products, dweights) for way, scale in zip(WAYS, scales, strict=True)
    }


def of_scores(scores: np.ndarray, dweights: np.ndarray) -> dict[str, float]:
    """Entropy in nats, the largest weight, and the norm of the scores' gradient, by query."""
    weights, cache = masked_softmax_forward(scores)  # (B, T, S)
    logs = np.log(np.where(weights > 0, weights, 1))  # 0 ln 0 is 0
    norms = np.linalg.norm(masked_softmax_backward(dweights, cache), axis=-1)  # (B, T)
    return {
        "variance": float(np.var(scores)),
        "entropy": float(-np.sum(weights * logs, axis=-1).mean()),
        "largest_weight": float(weights.max(axis=-1).mean()),
        "gradient": float(np.sqrt(np.mean(norms**2))),
        "median_gradient": float(np.median(norms)),
    }


def foretold(n_keys: int, widths: tuple[int, ...]) -> dict[str, Any]:
    """The limits for small and large variance, as the head of the module derives them."""
    density = gap_density(n_keys)
    variance = np.array(widths, dtype=float)

    def short(values: np.ndarray) -> list[float]:
        return [float(f"{value:.4g}") for value in values]

    return {
        "gap_density": round(density, 4),
        "entropy_with_scale": round(math.log(n_keys) - (1 - 1 / n_keys) / 2, 4),
        "entropy_small": short(np.log(n_keys) - variance / 2 * (1 - 1 / n_keys)),
        "entropy_large": short(density / np.sqrt(variance) * math.pi**2 / 6),
        "largest_weight_large": short(1 - density / np.sqrt(variance) * math.log(2)),
        "gradient_small": float(f"{math.sqrt(n_keys - 1) / n_keys:.4g}"),
        "gradient_large": short(np.sqrt(density / np.sqrt(variance) / 3)),
    }


def gap_density(n: int) -> float:
    """The density at 0 of the gap between the two largest of n standard normal numbers.

    n (n - 1) times the integral of p(x)^2 P(x)^(n-2): two of them at x, the others below.
    """
    x = np.linspace(-9, 9, 20_001)
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    below = np.array([0.5 * math.erfc(-one / math.sqrt(2)) for one in x])
    return float(n * (n - 1) * np.sum(density**2 * below ** (n - 2)) * (x[1] - x[0]))


# ---- how it is drawn ---------------------------------------------------------------------


def draw_entropy(metrics: dict[str, Any], n_keys: int) -> Figure:
    """The entropy over the width, and both limits."""
    figure, ax = plotting.figure(7.0, 4.2)
    widths, limits = np.array(metrics["widths"]), metrics["foretold"]
    draw_measured(ax, metrics, "entropy", "")
    small = np.array(limits["entropy_small"])
    ax.plot(widths[small > 0], small[small > 0], label="foretold, small D", **FORETOLD[0])
    late = widths >= 16
    large = np.array(limits["entropy_large"])
    ax.plot(widths[late], large[late], label="foretold, large D", **FORETOLD[1])
    ax.axhline(limits["entropy_with_scale"], label="foretold, variance 1", **FORETOLD[2])
    ax.set(
        title=f"Entropy of the attention over {n_keys} random keys (all equal: ln {n_keys})",
        xlabel="D, width of queries and keys",
        ylabel="mean entropy of the weights (nats)",
        ylim=(0, 1.05 * math.log(n_keys)),
    )
    ax.legend(loc="center right")
    return figure


def draw_gradient(metrics: dict[str, Any], n_keys: int) -> Figure:
    """The size of the scores' gradient over the width: root mean square, and median."""
    figure, ax = plotting.figure(7.0, 4.2)
    widths, limits = np.array(metrics["widths"]), metrics["foretold"]
    draw_measured(ax, metrics, "gradient", ", root mean square")
    for way, color in COLORS.items():
        median = metrics[f"{way}_scale"]["median_gradient"]
        ax.plot(widths, median, color=color, linestyle=":", label=f"{way} the scale, median")
    late = widths >= 16
    large = np.array(limits["gradient_large"])
    ax.plot(widths[late], large[late], label="foretold, large D", **FORETOLD[1])
    ax.set(
        title=f"Gradient that reaches the scores of {n_keys} random keys",
        xlabel="D, width of queries and keys",
        ylabel="norm of the gradient of a query's scores",
        yscale="log",
    )
    ax.legend(loc="lower left")
    return figure


COLORS = {"with": plotting.PALETTE[0], "without": plotting.PALETTE[1]}
FORETOLD: tuple[dict[str, Any], ...] = tuple(
    {"color": plotting.PALETTE[4], "linestyle": dash, "linewidth": 1.3}
    for dash in ("--", "-.", ":")
)


def draw_measured(ax: Axes, metrics: dict[str, Any], name: str, kind: str) -> None:
    """One curve without and one with the scale, over the width on a logarithmic axis."""
    for way, color in COLORS.items():
        ax.plot(
            metrics["widths"],
            metrics[f"{way}_scale"][name],
            color=color,
            linestyle="-",
            marker="o",
            markersize=4,
            label=f"{way} the scale{kind}",
        )
    ax.set_xscale("log", base=2)
    ax.set_xticks(metrics["widths"], [str(width) for width in metrics["widths"]])


if __name__ == "__main__":
    script.run(main, Config)
