"""Draw the KL divergence in both directions: of two coins, and of one bump fitted to two.

    uv run journal run phase00.plot_divergence [--record]

The coins: p is fixed and q swept. D(p || q) goes to infinity where q excludes an outcome that p
has; D(q || p) stays finite there. The bumps: p is a mixture of two on a grid of numbers, q one bump
whose place and width are searched for the smallest divergence. D(p || q) punishes q for missing
what p has, so the best q covers both; D(q || p) punishes q for being where p is not, so the best q
keeps to the larger. Recorded too: the entropy of a few distributions in nats and in bits.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from journal import plotting, record, script
from phase00.information import entropy, kl_divergence, mutual_information, perplexity
from phase00.probability import softmax

COIN = 0.2  # the probability of heads of the fixed coin
GRID = np.linspace(-6, 6, 241)
KNOWN = {
    "certain": [1.0, 0.0],
    "biased coin": [0.9, 0.1],
    "fair coin": [0.5, 0.5],
    "die": [1 / 6] * 6,
    "skewed": [1 / 2, 1 / 4, 1 / 8, 1 / 8],
}


@dataclass(frozen=True)
class Config:
    record: bool = False


def main(config: Config) -> dict[str, Any]:
    """Both divergences of the coins and the best single bump under each; returns the facts."""
    started = time.perf_counter()
    coin, coin_curves = coins()
    bump, bump_curves = bumps()
    metrics = {"entropies": entropies(), "coin": coin, "bump": bump}
    pictures = {"coin": draw_coins(coin_curves), "bump": draw_bumps(bump, bump_curves)}
    for name, picture in pictures.items():
        record.write_picture(__file__, name, picture, record=config.record)
    record.write(
        __file__,
        config=config,
        metrics={**metrics, "curves": {"coin": coin_curves, "bump": bump_curves}},
        seconds=time.perf_counter() - started,
        record=config.record,
    )
    return metrics


def entropies() -> dict[str, dict[str, float]]:
    """Entropy of the known distributions in both units, and the perplexity."""
    found = {}
    for name, probabilities in KNOWN.items():
        p = np.array(probabilities)
        nats, bits = entropy(p), entropy(p, "bits")
        found[name] = {"nats": nats, "bits": bits, "perplexity": perplexity(nats)}
    return found


def coins() -> tuple[dict[str, Any], dict[str, Any]]:
    """Facts and curves of a fixed coin p against a swept coin q."""
    p, fair = np.array([COIN, 1 - COIN]), np.array([0.5, 0.5])
    excluding = np.array([0.0, 1.0])
    facts = {
        "p": COIN,
        "p_from_itself": kl_divergence(p, p),
        "p_from_fair": kl_divergence(p, fair),
        "fair_from_p": kl_divergence(fair, p),
        "p_from_excluding": str(kl_divergence(p, excluding)),
        "excluding_from_p": kl_divergence(excluding, p),
        # Two throws of one coin, and one throw that is looked at twice.
        "information_of_two_throws": mutual_information(np.outer(p, p)),
        "information_of_one_throw_twice": mutual_information(np.diag(p)),
    }
    swept = 1 / (1 + np.exp(-np.linspace(-9, 9, 181)))  # close steps near 0 and 1
    pairs = [(p, np.array([heads, 1 - heads])) for heads in swept]
    forward = [kl_divergence(p, q) for p, q in pairs]
    backward = [kl_divergence(q, p) for p, q in pairs]
    return facts, {"q": swept, "p_from_q": forward, "q_from_p": backward}


def bump_at(mean: float, deviation: float) -> np.ndarray:
    """A normal density on the grid, as a distribution: softmax of its logarithm."""
    return softmax(-((GRID - mean) ** 2) / (2 * deviation**2))


def bumps() -> tuple[dict[str, Any], dict[str, Any]]:
    """Facts and curves of the best single bump for a mixture, under either divergence."""
    p = 0.6 * bump_at(-2, 0.7) + 0.4 * bump_at(2, 0.7)
    choices = {
        (mean, deviation): bump_at(mean, deviation)
        for mean in np.round(np.arange(-3, 3.01, 0.1), 1)
        for deviation in np.round(np.arange(0.4, 3.01, 0.1), 1)
    }

    def best(divergence: Callable[[np.ndarray], float]) -> tuple[dict[str, float], np.ndarray]:
        mean, deviation = min(choices, key=lambda choice: divergence(choices[choice]))
        q = choices[mean, deviation]
        both = {"p_from_q": kl_divergence(p, q), "q_from_p": kl_divergence(q, p)}
        return {"mean": float(mean), "deviation": float(deviation), **both}, q

    covering, covering_q = best(lambda q: kl_divergence(p, q))
    seeking, seeking_q = best(lambda q: kl_divergence(q, p))
    curves = {"x": GRID, "p": p, "covering": covering_q, "seeking": seeking_q}
    return {"covering": covering, "seeking": seeking}, curves


def draw_coins(curves: dict[str, Any]) -> Figure:
    """Both divergences against the swept coin, zero where the coins agree."""
    figure, axes = plotting.figure(6.5, 3.8)
    axes.plot(curves["q"], curves["p_from_q"], label="D(p ‖ q): infinite at both ends")
    axes.plot(curves["q"], curves["q_from_p"], label="D(q ‖ p): finite everywhere")
    axes.plot(COIN, 0, "o", color=plotting.PALETTE[4], markersize=6, clip_on=False, zorder=3)
    axes.annotate(
        f"q = p = {COIN}: both 0",
        (COIN, 0.03),
        xytext=(-30, 60),
        textcoords="offset points",
        arrowprops={"arrowstyle": "-", "color": plotting.PALETTE[4]},
    )
    axes.set(
        xlim=(0, 1),
        ylim=(0, 2.5),
        xlabel=f"probability of heads under q (under p it is {COIN})",
        ylabel="divergence (nats)",
        title="Two coins: the divergence is not symmetric",
    )
    axes.legend(loc="upper center")
    return figure


def draw_bumps(facts: dict[str, Any], curves: dict[str, Any]) -> Figure:
    """The mixture as an area, the two best bumps as lines."""
    figure, axes = plotting.figure(6.5, 3.8)
    axes.fill_between(
        curves["x"], curves["p"], color=plotting.PALETTE[4], alpha=0.35, linewidth=0, label="p"
    )
    names = {"covering": "D(p ‖ q)", "seeking": "D(q ‖ p)"}
    for name, divergence in names.items():
        at = facts[name]
        label = f"q of least {divergence}: mean {at['mean']:.1f}, deviation {at['deviation']:.1f}"
        axes.plot(curves["x"], curves[name], label=label)
    axes.set(
        xlim=(-6, 6),
        ylim=(0, None),
        xlabel="x",
        ylabel="probability of a grid point",
        title="One bump for two: cover both, or keep to one",
    )
    axes.legend(loc="upper right")
    return figure


if __name__ == "__main__":
    script.run(main, Config)
