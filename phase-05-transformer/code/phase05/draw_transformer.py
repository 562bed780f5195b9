"""Draw the transformer of "Attention Is All You Need" anew, with our modules and shapes.

    uv run journal run phase05.draw_transformer

The architecture is that of the paper's figure 1 (Vaswani et al., 2017), the drawing our own, read
from the top down. The thick line is the vector of C numbers at each position. A sublayer hangs
beside it: it reads the line, what it returns is added to the line (the residual connection), and
the sum is normalized (LN; post-norm). Each box names its module, and in letters a shape.

The shapes are not only drawn. A model is built and run on random symbols, and every array must have
the shape that its letters say. Those are recorded, and the numbers of parameters. The defaults are
the sizes of the paper's base model, with one table for 37,000 symbols.

Left out: dropout, which changes no shape, and the pre-norm form.
Shapes: B batch, S time of the source, T of the target, C = d_model, H heads, F = d_ff, W symbols.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

from journal import plotting, record, script
from phase05.transformer import TARGET, Transformer, TransformerConfig, embed_forward, shifted

BLUE, ORANGE, GREEN, PURPLE, GREY = plotting.PALETTE
LEGEND = (
    "B   sentences of a batch",
    "S   positions of the source",
    "T   positions of the target",
    "C   d_model, width of the line",
    "H   heads",
    "F   d_ff, width inside",
    "W   symbols",
    "+   the line and the box, added",
    "LN  phase05.layer_norm",
    "--  one table (W, C), used 3 times",
)


@dataclass(frozen=True)
class Config:
    batch_size: int = 2
    source_steps: int = 7
    target_steps: int = 5
    vocab_size: int = 37_000
    """of both languages together: about as many as the paper has"""
    d_model: int = 512
    n_head: int = 8
    d_ff: int = 2048
    n_layer: int = 6
    seed: int = 0
    record: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_size", "source_steps", "target_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        _ = self.model  # which refuses what is wrong with its sizes

    @property
    def model(self) -> TransformerConfig:
        n, sizes = self.vocab_size, (self.d_model, self.n_head, self.d_ff, self.n_layer)
        return TransformerConfig(n, n, n - 1, 0, *sizes, shared=True)

    @property
    def letters(self) -> dict[str, int]:
        """What each letter of the picture stands for."""
        return {
            "B": self.batch_size,
            "S": self.source_steps,
            "T": self.target_steps,
            "C": self.d_model,
            "H": self.n_head,
            "F": self.d_ff,
            "W": self.vocab_size,
        }


def main(config: Config) -> dict[str, Any]:
    """Run the model, compare its shapes with the letters, and draw; returns shapes and counts."""
    started = time.perf_counter()
    model = Transformer(config.model, np.random.default_rng([config.seed, 0]))
    shapes = {name: list(array.shape) for name, array in arrays(model, config).items()}
    for name, shape in shapes.items():
        said = [config.letters[letter] for letter in SHAPES[name].split()]
        assert said == shape, f"{name}: the picture says {said}, the model has {shape}"
        print(f"{name:<28}({SHAPES[name].replace(' ', ', ')}) = {tuple(shape)}")
    metrics = {"shapes": shapes, "parameters": parameters(model)}
    for name, count in metrics["parameters"].items():
        print(f"{name:<28}{count:>12,} parameters")
    seconds = time.perf_counter() - started
    record.write(__file__, config=config, metrics=metrics, seconds=seconds, record=config.record)
    record.write_picture(__file__, "architecture", draw(), record=config.record)
    return metrics


# ---- the shapes, measured ----------------------------------------------------------------

SHAPES = {
    "source": "B S",
    "source, embedded": "B S C",
    "weights, encoder": "B H S S",
    "memory": "B S C",
    "start, target": "B T",
    "target, embedded": "B T C",
    "weights, decoder": "B H T T",
    "weights, cross": "B H T S",
    "into the feed-forward": "F C",
    "out of the feed-forward": "C F",
    "table": "W C",
    "scores": "B T W",
}


def arrays(model: Transformer, config: Config) -> dict[str, np.ndarray]:
    """The arrays of SHAPES in a run of the model on random symbols."""
    rng = np.random.default_rng([config.seed, 1])
    source, target = (
        rng.integers(0, config.vocab_size, (config.batch_size, steps))
        for steps in (config.source_steps, config.target_steps)
    )
    mask, before = np.ones(source.shape, dtype=bool), shifted(target, model.config.start_id)
    table, memory = model.params[TARGET], model.encode(source, mask)
    maps = model.attention(source, mask, before)
    found = (
        *(source, embed_forward(table, source)[0], maps["encoder"][0], memory),
        *(before, embed_forward(table, before)[0], maps["decoder"][0], maps["cross"][0]),
        *(model.params[f"encoder.layers.0.linear{i}.weight"] for i in (1, 2)),
        *(table, model.logits(memory, mask, before)),
    )
    return dict(zip(SHAPES, found, strict=True))


def parameters(model: Transformer) -> dict[str, int]:
    """How many numbers are learned: in one layer of each kind, in the table, and in all."""

    def count(begin: str) -> int:
        return sum(value.size for name, value in model.params.items() if name.startswith(begin))

    return {
        "encoder layer": count("encoder.layers.0."),
        "decoder layer": count("decoder.layers.0."),
        "table": count(TARGET),
        "all": count(""),
    }


# ---- the picture -------------------------------------------------------------------------


def draw() -> Figure:
    """Encoder on the left, decoder on the right; a unit of the axes is a tenth of an inch."""
    figure, ax = plotting.figure(7.0, 9.0)
    figure.suptitle("The transformer: what is computed where, and in which shape")
    ax.set(xlim=(-1.2, 70), ylim=(85, 0))
    ax.set_axis_off()
    left, right = Half(ax, 4.0, 10.0, 31.0, "S"), Half(ax, 62.5, 36.5, 57.0, "T")
    end = left.draw("source ids (B, S)", "phase05.encoder", ENCODER)
    stroke(ax, [4.0, 4.0, 34.0, 34.0], [end, end + 4, end + 4, 37.0])
    arrow(ax, (34.0, 37.0), (36.5, 37.0))
    write(ax, 19.0, end + 2.4, "memory (B, S, C), for all decoder layers", size=8)
    end = right.draw("start, target ids (B, T)", "phase05.decoder", DECODER)
    stroke(ax, [62.5, 62.5], [end, end + 2])
    last = (
        ("dot product with each row", "phase03.embedding", "scores (B, T, W)", PURPLE),
        ("softmax, cross-entropy", "phase05.label_smoothing", "loss, one number", GREY),
    )
    for i, (title, module, shape, colour) in enumerate(last):
        box(ax, (36.5, 66.5), (end + 2 + 9.5 * i, end + 9.2 + 9.5 * i), colour)
        label(ax, 51.5, end + 5.6 + 9.5 * i, (title, module, shape))
    arrow(ax, (62.5, end + 9.2), (62.5, end + 11.5))
    # The target's table and the output matrix are one.
    ax.plot([66.5, 68.7, 68.7, 66.5], [8, 8, end + 5, end + 5], "--", color=PURPLE, linewidth=1.4)
    legend(ax, 0.5, end - 4.5)
    return figure


Part = tuple[str, str, str, str]
ATTENTION, FEED = "phase04.multi_head", "phase05.feed_forward"
ENCODER: tuple[Part, ...] = (
    ("self-attention", ATTENTION, "weights (B, H, S, S)", BLUE),
    ("feed-forward", FEED, "C → F → C", GREEN),
)
DECODER: tuple[Part, ...] = (
    ("causal self-attention", ATTENTION, "weights (B, H, T, T)", BLUE),
    ("cross-attention", ATTENTION, "weights (B, H, T, S)", BLUE),
    ("feed-forward", FEED, "C → F → C", GREEN),
)


@dataclass(frozen=True)
class Half:
    """Encoder or decoder: where its line is, where its boxes begin and end, its letter of time."""

    ax: Axes
    line: float
    low: float
    high: float
    time: str

    def draw(self, given: str, module: str, sublayers: tuple[Part, ...]) -> float:
        """All of it from the ids on; returns where its line ends, which the caller draws on."""
        ax, middle, near = self.ax, (self.low + self.high) / 2, min(self.low, self.line - 4)
        far = max(self.high, self.line + 4)
        inner = self.low if self.line < self.low else self.high
        write(ax, (near + far) / 2, 1.0, given)
        arrow(ax, (self.line, 1.9), (self.line, 4.5))
        end = 18.0 + 15 * len(sublayers)
        stroke(ax, [self.line] * 2, [11.7, end + 2])
        box(ax, (near, far), (4.5, 11.7), PURPLE)
        shape = f"(B, {self.time}, C)"
        lines = ("rows of a table √C + positions", "phase05.transformer", shape)
        label(ax, (near + far) / 2, 8.1, lines)
        box(ax, (near - 0.4, far + 0.4), (14.0, end), plotting.FAINT, plotting.FAINT)
        write(ax, middle, 15.6, f"{module}, n_layer times", size=8)
        for i, part in enumerate(sublayers):
            self.sublayer(18.0 + 15 * i, inner, part)
        return end + 2

    def sublayer(self, top: float, inner: float, part: Part) -> None:
        """A box beside the line: from the line into it, out of it to a sum, and a layer norm."""
        ax, bottom = self.ax, top + 9.5
        arrow(ax, (self.line, top + 1.6), (inner, top + 1.6))
        middle = (inner + self.line) / 2
        stroke(ax, [inner, middle, middle], [top + 6.4, top + 6.4, bottom], 1.0)
        arrow(ax, (middle, bottom), (self.line + math.copysign(1.2, middle - self.line), bottom))
        box(ax, (self.low, self.high), (top, top + 8), part[3])
        label(ax, (self.low + self.high) / 2, top + 4, part[:3])
        ax.add_patch(Circle((self.line, bottom), 1.2, fc=plotting.CARD, ec=plotting.INK, zorder=4))
        write(ax, self.line, bottom, "+", zorder=5)
        box(ax, (self.line - 2, self.line + 2), (bottom + 1.9, bottom + 4.3), ORANGE)
        write(ax, self.line, bottom + 3.1, "LN", size=8, zorder=5)


def legend(ax: Axes, x: float, top: float) -> None:
    """What the letters and signs say."""
    for i, line in enumerate(LEGEND):
        write(ax, x, top + 1.8 * i, line, size=8, ha="left", family="monospace")


def box(
    ax: Axes, x: tuple[float, float], y: tuple[float, float], edge: str, face: str = plotting.CARD
) -> None:
    """A rounded box; one that is filled with the faint colour lies behind everything."""
    corner, width, height = (x[0] + 0.6, y[0] + 0.6), x[1] - x[0] - 1.2, y[1] - y[0] - 1.2
    depth, alpha = (0, 0.45) if face == plotting.FAINT else (3, 1)
    look: dict[str, Any] = {"edgecolor": edge, "facecolor": face, "alpha": alpha, "zorder": depth}
    shape = "round,pad=0.6"
    ax.add_patch(FancyBboxPatch(corner, width, height, shape, linewidth=1.6, **look))


def label(ax: Axes, x: float, y: float, lines: tuple[str, ...]) -> None:
    """What it does, the module that does it, the shape that comes out."""
    for line, shift, look in zip(
        lines, (-2.1, 0.1, 2.2), ({"weight": "bold"}, {"family": "monospace"}, {}), strict=True
    ):
        write(ax, x, y + shift, line, 9 if shift < 0 else 8, zorder=5, **look)


def write(ax: Axes, x: float, y: float, text: str, size: int = 9, **look: Any) -> None:
    look = {"ha": "center", "va": "center", "fontsize": size, **look}
    ax.text(x, y, text, **look)


def stroke(ax: Axes, x: list[float], y: list[float], width: float = 2.6) -> None:
    ax.plot(x, y, "-", color=plotting.INK, linewidth=width, solid_joinstyle="miter")


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "color": plotting.INK, "shrinkA": 0, "shrinkB": 0, "lw": 1}
    ax.annotate("", end, start, arrowprops=style, zorder=4)


if __name__ == "__main__":
    script.run(main, Config)
