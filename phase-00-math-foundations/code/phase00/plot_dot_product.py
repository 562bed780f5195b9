"""Draw the dot product as a shadow, a matrix as what moves a grid, and the axes of a cloud.

    uv run journal run phase00.plot_dot_product [--a 3 1] [--b 2 3] [--record]

Three pictures for the note on linear algebra. Two vectors with the shadow of one on the other, and
their dot product as the second turns. A grid before and after a matrix, with the unit square, which
becomes a parallelogram, and a point that goes where its coordinates lead along the matrix's
columns. A cloud of points with its principal axes, and the same cloud seen along them.

Left out: more than two dimensions, which is where all of this is used and nothing can be drawn.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Arc, Polygon

from journal import plotting, record, script
from phase00.linear_algebra import Vector, cosine_similarity, dot, matvec, norm

SQUARE = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]  # its corners, in order
CENTRE, SPREAD = (4.0, 3.0), ((2.0, 1.0), (1.0, 2.0))  # the cloud's mean and covariance
FIRST, SECOND, THIRD = plotting.PALETTE[:3]


@dataclass(frozen=True)
class Config:
    a: tuple[float, float] = (3.0, 1.0)
    b: tuple[float, float] = (2.0, 3.0)
    matrix: tuple[tuple[float, float], tuple[float, float]] = ((2.0, -1.0), (1.0, 1.0))
    """the rows of the matrix that moves the grid"""
    n_points: int = 200
    """points of the cloud"""
    seed: int = 0
    record: bool = False


def main(config: Config) -> dict[str, Any]:
    """Measure the vectors, the matrix and the cloud, and draw each; returns what was measured."""
    started = time.perf_counter()
    if config.n_points < 3:
        raise ValueError(
            f"n_points must be 3 or more, so that there is a cloud, not {config.n_points}"
        )
    points = make_cloud(config.n_points, np.random.default_rng(config.seed))
    metrics = {
        "vectors": measure_vectors(list(config.a), list(config.b)),
        "grid": move([list(row) for row in config.matrix], list(config.a)),
        "cloud": find_axes(points),
    }
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "points": points},
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    for name, figure in (
        ("vectors", draw_vectors(metrics["vectors"])),
        ("grid", draw_grid(metrics["grid"])),
        ("cloud", draw_cloud(points, metrics["cloud"])),
    ):
        record.write_picture(__file__, name, figure, record=config.record)
    return metrics


# ---- what is measured --------------------------------------------------------------------


def measure_vectors(a: Vector, b: Vector) -> dict[str, Any]:
    """The dot product with its two faces; angles in degrees, `shadow` is the length of b along a.

    Raises ValueError where one of the two is the zero vector.
    """
    cosine = cosine_similarity(a, b)
    share = dot(a, b) / dot(a, a)  # of a: where the shadow ends
    return {
        "a": a,
        "b": b,
        "dot": dot(a, b),
        "length_a": norm(a),
        "length_b": norm(b),
        "cosine": cosine,
        "angle": math.degrees(math.acos(max(-1.0, min(1.0, cosine)))),  # rounding may pass 1
        "shadow": dot(a, b) / norm(a),
        "shadow_end": [share * value for value in a],
    }


def move(matrix: list[Vector], point: Vector) -> dict[str, Any]:
    """Where a matrix takes the unit square and a point, and by how much areas grow."""
    (upper_left, upper_right), (lower_left, lower_right) = matrix
    return {
        "matrix": matrix,
        "square": [matvec(matrix, corner) for corner in SQUARE],
        "area": upper_left * lower_right - upper_right * lower_left,
        "point": point,
        "moved_point": matvec(matrix, point),
    }


def make_cloud(n_points: int, rng: np.random.Generator) -> Float[np.ndarray, "n 2"]:
    """Points drawn from a normal distribution of that centre and covariance, to 4 decimals."""
    return rng.multivariate_normal(CENTRE, SPREAD, n_points).round(4)  # (n, 2)


def find_axes(points: Float[np.ndarray, "n 2"]) -> dict[str, Any]:
    """Mean, covariance and principal axes (one a row, the longest first) of a cloud."""
    centred = points - points.mean(axis=0)  # (n, 2) - (2,)
    covariance = centred.T @ centred / len(points)  # (2, 2)
    variances, vectors = np.linalg.eigh(covariance)
    axes = vectors.T[::-1]  # (2, 2): eigh returns columns, the smallest first
    axes = axes * np.where(axes[:, :1] < 0, -1, 1)  # of the two signs the one to the right
    return {
        "mean": points.mean(axis=0).tolist(),
        "covariance": covariance.tolist(),
        "variances": variances[::-1].tolist(),
        "axes": axes.tolist(),
        "share_of_first": float(variances[-1] / variances.sum()),
    }


# ---- how it is drawn ---------------------------------------------------------------------


def draw_vectors(found: dict[str, Any]) -> Figure:
    """Two vectors with the shadow of b on a; beside them the dot product at every angle."""
    figure, (left, right) = plotting.figure(8.0, 4.2, columns=2)
    figure.suptitle("The dot product: one vector's length times the other's shadow on it")
    a, b, end = (np.array(found[name]) for name in ("a", "b", "shadow_end"))
    left.plot(*zip(b, end, strict=True), color=plotting.INK, linestyle=":", linewidth=1.2)
    left.plot(*zip((0, 0), end, strict=True), color=THIRD, linewidth=7, alpha=0.55)
    draw_arrow(left, a, FIRST, f"a = {shown(a)}")
    draw_arrow(left, b, SECOND, f"b = {shown(b)}")
    start, turn = math.degrees(math.atan2(a[1], a[0])), math.copysign(1, a[0] * b[1] - a[1] * b[0])
    sweep = sorted((start, start + turn * found["angle"]))
    size = 0.7 * min(found["length_a"], found["length_b"])
    left.add_patch(Arc((0, 0), size, size, theta1=sweep[0], theta2=sweep[1], color=plotting.INK))
    title = f"{found['length_a']:.3g} × {found['shadow']:.3g} (green) = {found['dot']:.3g}"
    left.set(title=title, xlabel="first number", ylabel="second number")
    frame(left, np.array([[0, 0], a, b, end]), room=0.9)  # the labels stand outside
    angles = np.linspace(0, 180, 181)
    product = found["length_a"] * found["length_b"]
    right.plot(angles, product * np.cos(np.radians(angles)))
    right.plot(found["angle"], found["dot"], "o", color=SECOND, markersize=8)
    right.axhline(0, color=plotting.INK, linewidth=0.8)
    right.annotate(
        f"here: {found['angle']:.1f}°",
        (found["angle"], found["dot"]),
        xytext=(10, 2),
        textcoords="offset points",
    )
    right.set(title="If b turned away from a", xlabel="angle between a and b (degrees)")
    right.set(ylabel="dot product", xticks=range(0, 181, 45))
    return figure


def draw_grid(found: dict[str, Any]) -> Figure:
    """The grid, the unit square and a point, before and after."""
    figure, panels = plotting.figure(8.0, 4.4, columns=2)
    rows = ", ".join(shown(row) for row in found["matrix"])
    figure.suptitle(f"What the matrix with rows {rows} does to the plane")
    matrix, point, moved = (np.array(found[name]) for name in ("matrix", "point", "moved_point"))
    sides = ((np.eye(2), SQUARE, point, "Before"), (matrix, found["square"], moved, "After"))
    corners = np.array([*SQUARE, *found["square"], point, moved])
    for ax, (columns, square, place, title) in zip(panels, sides, strict=True):
        draw_lines(ax, columns)
        ax.add_patch(Polygon(square, facecolor=THIRD, alpha=0.35, edgecolor="none"))
        draw_arrow(ax, columns[:, 0], FIRST, shown(columns[:, 0]))
        draw_arrow(ax, columns[:, 1], SECOND, shown(columns[:, 1]))
        ax.plot(*place, "o", color=plotting.INK)
        ax.annotate(shown(place), place, xytext=(6, 6), textcoords="offset points", size=9)
        frame(ax, corners, room=0.7)
        ax.set(xlabel="first number", ylabel="second number")
        area = "" if title == "Before" else f", {abs(found['area']):.3g} times as large"
        ax.set_title(f"{title}: the unit square{area}")
    return figure


def draw_lines(ax: Axes, columns: Float[np.ndarray, "2 2"], reach: int = 12) -> None:
    """The lines of whole coordinates, as they lie when the unit vectors are these columns."""
    ax.grid(visible=False)
    for k in range(-reach, reach + 1):
        for ends in ([[k, -reach], [k, reach]], [[-reach, k], [reach, k]]):
            line = np.array(ends) @ columns.T  # (2, 2)
            ax.plot(line[:, 0], line[:, 1], "-", color="#8c959f", linewidth=0.5 if k else 1.2)


def draw_cloud(points: Float[np.ndarray, "n 2"], found: dict[str, Any]) -> Figure:
    """The cloud with its principal axes, and the same points in the coordinates of those axes."""
    figure, (left, right) = plotting.figure(8.0, 4.4, columns=2)
    figure.suptitle("A cloud of points and its principal axes")
    mean, axes = np.array(found["mean"]), np.array(found["axes"])
    turned = (points - mean) @ axes.T  # (n, 2)
    for ax, places in ((left, points), (right, turned)):
        ax.plot(places[:, 0], places[:, 1], ".", color=plotting.PALETTE[4], markersize=4, alpha=0.7)
    ends = []
    for axis, variance, colour in zip(axes, found["variances"], (FIRST, SECOND), strict=True):
        ends.append(mean + 2 * math.sqrt(variance) * axis)
        draw_arrow(left, ends[-1], colour, f"variance {variance:.2f}", start=mean)
    left.set(title="As it lies", xlabel="first number", ylabel="second number")
    right.set(title="Seen along its axes", xlabel="first component", ylabel="second component")
    frame(left, np.array([*points, *ends]))
    frame(right, turned)
    return figure


def draw_arrow(
    ax: Axes, end: np.ndarray, colour: str, label: str, start: Sequence[float] | np.ndarray = (0, 0)
) -> None:
    """An arrow with a few words beyond its tip, on a patch of the card."""
    tip, tail = (float(end[0]), float(end[1])), (float(start[0]), float(start[1]))
    arrow = {"arrowstyle": "-|>", "color": colour, "linewidth": 2, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", tip, xytext=tail, arrowprops=arrow, zorder=3)
    right, up = np.sign(np.round(np.subtract(tip, tail), 9))
    ax.annotate(
        label,
        tip,
        xytext=(6 * right, 9 * up),
        textcoords="offset points",
        ha={-1: "right", 0: "center", 1: "left"}[int(right)],
        va="center",
        color=colour,
        size=9,
        bbox={"facecolor": plotting.CARD, "edgecolor": "none", "pad": 1, "alpha": 0.85},
        zorder=4,
    )


def frame(ax: Axes, places: Float[np.ndarray, "k 2"], room: float = 0.62) -> None:
    """Equal scales on both axes, and a square window that holds these places with room to spare."""
    low, high = places.min(axis=0), places.max(axis=0)
    half = room * max(high - low)
    middle = (low + high) / 2
    ax.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half))
    ax.set_aspect("equal")


def shown(vector: Any) -> str:
    """A vector as one writes it: (3, 1)."""
    return f"({', '.join(f'{value:g}' for value in vector)})"


if __name__ == "__main__":
    script.run(main, Config)
