"""The journal's one style of figure, and SVG files that are the same bytes every time.

A figure stands on a card of its own: ink on white, or, where the reader's system prefers dark,
light ink on near-black. Card and ink change together inside the file, so the text keeps its
contrast whatever page is around it. The colours of lines sit between the two: 3:1 on either.

Letters are drawn as outlines of the font that matplotlib carries, so that a figure looks the same
where that font is missing. Left out: themes, interactive windows, raster images as files.
"""

import io
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from matplotlib import rc_context, style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.rcsetup import cycler

from journal.record import replace_file

# After Okabe and Ito's colours for the colour-blind, moved until each stands out from both cards
# and any two stay apart (CIE Lab distance above 20) for readers who lack one kind of cone.
PALETTE = ("#0063B6", "#D55E00", "#00A66C", "#B57FB2", "#646566")
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.5)))  # a sixth curve has the first colour, dashed

# What each colour of the light card becomes on the dark one. Every other colour stays what it is: a
# script's own white or black (a number on a heat map's cell) too, so the card is a hair off white.
CARD, INK, FAINT = "#fffffe", "#24292f", "#d8dee4"
DARK = {CARD: "#0d1117", INK: "#e6edf3", FAINT: "#30363d"}

STYLE: dict[Any, Any] = {
    "figure.facecolor": CARD,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.1,
    "axes.facecolor": "none",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(linestyle=DASHES) * cycler(color=PALETTE),
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "patch.edgecolor": INK,
    "hatch.color": INK,
    "boxplot.boxprops.color": INK,
    "boxplot.capprops.color": INK,
    "boxplot.flierprops.color": INK,
    "boxplot.flierprops.markeredgecolor": INK,
    "boxplot.whiskerprops.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "ytick.major.size": 0,
    "font.family": "DejaVu Sans",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "image.cmap": "cividis",
    "svg.fonttype": "path",
    "svg.hashsalt": "transformers-from-scratch",
}


def figure(
    width: float = 7.0, height: float = 4.0, rows: int = 1, columns: int = 1
) -> tuple[Figure, Any]:
    """`(figure, axes)` in the journal's style; `axes` is an array where there are several.

    `width` and `height` are in inches of 72 points. The style stays on for what is drawn afterwards
    (a legend asks for it late). No window is ever opened.
    """
    style.use(["default", STYLE])
    drawn = Figure(figsize=(width, height))
    FigureCanvasAgg(drawn)
    return drawn, drawn.subplots(rows, columns)


def draw_line(ax: Axes, weight: np.ndarray, bias: float, **style: Any) -> None:
    """The line w.x + b = 0, from its point nearest to the origin; none where w is zero."""
    if weight.any():
        nearest = -bias * weight / (weight @ weight)
        along = np.array([-weight[1], weight[0]])
        ax.axline(tuple(nearest), tuple(nearest + along), **style)


def draw_points(ax: Axes, x: np.ndarray, targets: np.ndarray, size: int) -> None:
    """Examples from above: a disc where the target is 1, a ring where it is 0."""
    for target, fill in ((1, INK), (0, CARD)):
        chosen = x[targets == target]
        ax.scatter(
            *chosen.T,
            s=size,
            facecolor=fill,
            edgecolor=INK,
            label=f"target {target}",
            zorder=3,
        )


def draw_weights(
    ax: Axes, weights: np.ndarray, rows: Sequence[str], columns: Sequence[str], size: float = 9
) -> AxesImage:
    """Weights from 0 to 1 (rows, columns) as a heat map, with these labels of `size` points.

    Of attention's weights a row is a position that looks, a column one that is looked at.
    """
    image = ax.imshow(weights, vmin=0, vmax=1)
    ax.grid(visible=False)
    ax.set_xticks(range(len(columns)), columns, fontsize=size)
    ax.set_yticks(range(len(rows)), rows, fontsize=size)
    return image


def draw_heads(
    kinds: Mapping[str, tuple[Sequence[np.ndarray], Sequence[str], Sequence[str]]], title: str
) -> Figure:
    """All weights of a model for one example: a row of heat maps for each layer, a map for a head.

    For each kind of attention the weights of its layers, (H, rows, columns) each, and the labels of
    rows and columns, which stand once: beside the first head, and under the kind's last layer.
    """
    lines = [
        (f"{kind}\nlayer {layer + 1}", weights, rows, columns if layer == len(layers) - 1 else ())
        for kind, (layers, rows, columns) in kinds.items()
        for layer, weights in enumerate(layers)
    ]
    longest = max(max(weights.shape[1:]) for _, weights, _, _ in lines)
    height = 1 + (0.8 + 0.12 * longest) * len(lines)
    drawn, axes = figure(8.0, height, rows=len(lines), columns=len(lines[0][1]))
    drawn.suptitle(title)
    axes = np.reshape(axes, (len(lines), -1))
    for of_layer, (name, weights, rows, columns) in zip(axes, lines, strict=True):
        for head, ax in enumerate(of_layer):
            draw_weights(ax, weights[head], () if head else rows, columns, size=7)
            ax.set_aspect("auto")
            ax.tick_params(axis="x", rotation=90 if max(map(len, columns), default=0) > 2 else 0)
        of_layer[0].set_ylabel(name, fontsize=8)
    for head, ax in enumerate(axes[0]):
        ax.set_title(f"head {head + 1}", fontsize=8)
    return drawn


def save(figure: Figure, path: str | Path) -> Path:
    """Write `figure` as SVG, in full or not at all, and close it.

    The same figure gives the same bytes in any process. Its title (the figure's own, else those
    of its axes) becomes the picture's accessible name; ValueError where there is none.
    """
    path = Path(path)
    if path.suffix != ".svg":
        raise ValueError(f"{path.name} is no .svg file: pictures of the journal are SVG")
    title = _title(figure)
    if not title:
        raise ValueError(f"{path.name} has no title: set one, it is what a screen reader says")
    stream = io.StringIO()
    # No date and no version of matplotlib: they would change a file whose picture is the same.
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with rc_context({key: value for key, value in STYLE.items() if key.startswith("svg.")}):
        figure.savefig(stream, format="svg", metadata=nothing, facecolor=CARD)
    replace_file(path, _finish(stream.getvalue(), title))
    if "matplotlib.pyplot" in sys.modules:  # only there would a figure be kept open
        sys.modules["matplotlib.pyplot"].close(figure)
    return path


def _title(figure: Figure) -> str:
    """The figure's own title, else those of its axes (which may stand left, centred or right)."""
    if figure.get_suptitle():
        return figure.get_suptitle()
    sides = ("left", "center", "right")
    return "; ".join(filter(None, (a.get_title(loc=s) for a in figure.axes for s in sides)))


def _finish(svg: str, title: str) -> str:
    """Give matplotlib's SVG its accessible name and the rules that make the card dark."""
    rules = "".join(
        f'[style*="{kind}: {light}"]{{{kind}:{dark}!important}}'
        for light, dark in DARK.items()
        for kind in ("fill", "stroke")
    )
    head = (
        f'<title id="title">{escape(" ".join(title.split()))}</title>\n'
        f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>\n"
    )
    opening = re.search(r"<svg\b[^>]*>", svg)
    assert opening, "matplotlib wrote an SVG without an svg element"
    tag = opening[0][:-1] + ' role="img" aria-labelledby="title">'
    return svg[: opening.start()] + tag + "\n" + head + svg[opening.end() :].lstrip("\n")
