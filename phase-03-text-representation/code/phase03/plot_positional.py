"""Draw sinusoidal positions: the table, its dot products, and the rotation that shifts it.

    uv run journal run phase03.plot_positional

Three pictures. The table as a heat map, a row for each position: the columns on the left change
from one position to the next, those on the right hardly at all. The dot product of two positions
against their distance, from several starting points, on the curve that needs the distance alone.
And three pairs of columns as points on circles: a shift by k positions turns each pair by an angle
of its own, wherever the point stands.

What is checked as well: how far the shifted table is from the later rows, and how far dot products
of equal distance are apart, both of them rounding.

Left out: what a network does with the encoding (phase 5).
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from journal import plotting, record, script
from phase03.positional import dot_products, frequencies, rotation, sinusoidal

POINTS_SHOWN = 5  # positions drawn on each circle
ARROW = {"arrowstyle": "->", "color": plotting.PALETTE[1], "linewidth": 1.2}


@dataclass(frozen=True)
class Config:
    length: int = 128
    """positions in the table"""
    d_model: int = 128
    """width of the table, even"""
    shift: int = 2
    """positions to shift by"""
    starts: tuple[int, ...] = (0, 10, 27, 64)
    """positions from which dot products are taken"""
    record: bool = False

    def __post_init__(self) -> None:
        if self.d_model < 2 or self.d_model % 2:
            raise ValueError(f"d_model must be even and 2 or more, not {self.d_model}")
        if not 0 < self.shift < self.length:
            raise ValueError(
                f"shift must be from 1 to length - 1, which is {self.length - 1}, not {self.shift}"
            )
        if not self.starts or min(self.starts) < 0 or max(self.starts) >= self.length:
            raise ValueError(
                f"starts must be positions from 0 to {self.length - 1}, not {self.starts}"
            )


def main(config: Config) -> dict[str, Any]:
    """Make the table and measure its two properties; returns how exactly they hold."""
    started = time.perf_counter()
    table = sinusoidal(config.length, config.d_model)  # (T, C)
    products = table @ table.T  # (T, T)
    curve = dot_products(np.arange(float(config.length)), config.d_model)  # (T,)
    shifted = table @ rotation(config.shift, config.d_model).T  # (T, C)
    error = np.abs(shifted[: -config.shift] - table[config.shift :]).max()
    w = frequencies(config.d_model)
    metrics = {
        "shortest_period": round(2 * np.pi / float(w[0]), 3),
        "longest_period": round(2 * np.pi / float(w[-1]), 1),
        "dot_product_of_itself": float(curve[0]),
        "dot_product_at_distance_1": round(float(curve[1]), 4),
        "smallest_dot_product": round(float(curve.min()), 4),
        "distance_of_smallest": int(curve.argmin()),
        "largest_error_of_the_shift": float(f"{error:.2g}"),
        "largest_spread_at_equal_distance": float(f"{spread_by_distance(products):.2g}"),
    }
    print(f"one round takes {metrics['shortest_period']} positions in the first pair of columns,")
    print(f"{metrics['longest_period']:,} in the last")
    print(
        f"shift by {config.shift}: the rotated table is off by at most "
        f"{metrics['largest_error_of_the_shift']:.1e}"
    )
    print(
        "dot products of equal distance differ by at most "
        f"{metrics['largest_spread_at_equal_distance']:.1e}"
    )
    record.write(
        __file__,
        config=config,
        metrics=metrics,
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    for name, figure in (
        ("table", draw_table(table)),
        ("dot-products", draw_dot_products(products, curve, config)),
        ("rotation", draw_rotation(table, config)),
    ):
        record.write_picture(__file__, name, figure, record=config.record)
    return metrics


def spread_by_distance(products: np.ndarray) -> float:
    """How far the entries of one diagonal, which are equally far apart, differ at most."""
    diagonals = (np.diagonal(products, distance) for distance in range(len(products)))
    return float(max(np.ptp(diagonal) for diagonal in diagonals))


# ---- pictures ----------------------------------------------------------------------------


def draw_table(table: np.ndarray) -> Figure:
    """The table as it is, a row for each position."""
    length, d_model = table.shape
    figure, ax = plotting.figure(7.0, 4.6)
    # An image inside the SVG: one square for each number would be a hundred times the file.
    image = ax.imshow(
        table, vmin=-1, vmax=1, aspect="auto", interpolation="none", extent=(0, d_model, length, 0)
    )
    ax.grid(visible=False)
    ax.set(
        title=f"Sinusoidal encoding of {length} positions",
        xlabel="column (sine and cosine in turn)",
        ylabel="position",
    )
    figure.colorbar(image, ax=ax, label="value", ticks=[-1, -0.5, 0, 0.5, 1])
    return figure


def draw_dot_products(products: np.ndarray, curve: np.ndarray, config: Config) -> Figure:
    """Dot products from several starting points, on the curve of the closed form."""
    figure, ax = plotting.figure(7.0, 4.2)
    distances = np.arange(1 - config.length, config.length)
    ax.plot(
        distances,
        curve[np.abs(distances)],
        color=plotting.INK,
        linewidth=1.0,
        label=r"$\sum_j \cos(\mathrm{distance} \cdot w_j)$",
    )
    step = len(config.starts)  # each starting point has distances of its own: all can be seen
    for number, start in enumerate(config.starts):
        colour, marker = plotting.PALETTE[number % 5], "osD^"[number % 4]
        others = np.arange((start + number) % step, config.length, step)
        ax.plot(
            others - start,
            products[start, others],
            marker,
            color=colour,
            markersize=3.5,
            label=f"from position {start}",
        )
    ax.set(
        title="The dot product of two positions depends on their distance alone",
        xlabel="distance (positions)",
        ylabel="dot product",
    )
    ax.legend(loc="upper right")
    return figure


def draw_rotation(table: np.ndarray, config: Config) -> Figure:
    """Three pairs of columns as points on circles, each point joined to itself shifted."""
    n_pairs = config.d_model // 2
    figure, axes = plotting.figure(7.2, 3.2, columns=3)
    n_shown = min(POINTS_SHOWN, config.length - config.shift)
    around = np.linspace(0, 2 * np.pi, 200)
    for ax, pair in zip(axes, (0, n_pairs // 16, n_pairs // 8), strict=True):
        points = table[:, [2 * pair + 1, 2 * pair]]  # (T, 2): cosine across, sine up
        ax.plot(np.cos(around), np.sin(around), color=plotting.FAINT, linewidth=1)
        ax.plot(*points[:n_shown].T, "o", color=plotting.PALETTE[0], markersize=5)
        for p in range(n_shown):
            ax.annotate("", xy=points[p + config.shift], xytext=points[p], arrowprops=ARROW)
            ax.text(*(1.17 * points[p]), str(p), ha="center", va="center", fontsize=9)
        turn = config.shift * frequencies(config.d_model)[pair]
        ax.set(
            title=f"columns {2 * pair} and {2 * pair + 1}",
            xlabel=f"turned by {turn:.2f} radians",
            xlim=(-1.3, 1.3),
            ylim=(-1.3, 1.3),
            xticks=[],
            yticks=[],
            aspect="equal",
        )
        ax.grid(visible=False)
        ax.spines[["left", "bottom"]].set_visible(False)
    figure.suptitle(
        f"Positions 0 to {n_shown - 1}, and where a shift by {config.shift} takes them", fontsize=11
    )
    return figure


if __name__ == "__main__":
    script.run(main, Config)
