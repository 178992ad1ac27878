"""One panel of a predictive check each: generated data as bands or intervals, the observed ones in black on top.

observed `(*shape)`; replicated: data sets `(draws, *shape)` by backend, of which `backends` has all names in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.axes import Axes

from experiments.report import style
from experiments.report.curves import bounds, density
from experiments.words import counted, number, shortened

Replicated = Mapping[str, np.ndarray]

MOST_CURVES = 200
MOST_BARS = 40
ENDS = [0.025, 0.975]


def side_by_side(replicated: Replicated, backends: list[str], width: float) -> Iterator[tuple[np.ndarray, str, float]]:
    """Every backend's data sets, its colour, and how far its marks stand from the middle."""
    step = width / max(len(replicated), 1)
    for k, (backend, draws) in enumerate(replicated.items()):
        yield draws, style.colour(backend, backends), (k - (len(replicated) - 1) / 2) * step


def rows(ax: Axes, observed: np.ndarray, replicated: Replicated, names: list[str], backends: list[str]) -> None:
    """Intervals of what is generated for every row or group `(names,)`, with what was observed."""
    places = np.arange(len(names))
    for draws, hue, shift in side_by_side(replicated, backends, 0.5):
        ax.hlines(places + shift, *np.quantile(draws, ENDS, axis=0), color=hue, lw=2.4, alpha=0.75)
    ax.plot(observed, places, "|", color=style.INK, ms=9, mew=1.8)
    ax.set_yticks(places, [shortened(name, 36) for name in names])
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.set_title("observed and generated (95%)")


def calibration(ax: Axes, observed: np.ndarray, replicated: Replicated, backends: list[str]) -> None:
    """Reliability: ten parts of rows by predicted probability, each backend with its own parts."""
    ax.plot([0, 1], [0, 1], color=style.GREY, lw=0.8, ls=":")
    flat = observed.ravel()
    for backend, draws in replicated.items():
        table = draws.reshape(len(draws), -1)
        order = np.argsort(table.mean(axis=0), kind="stable")
        parts = np.array_split(order, min(10, len(order) // 5))
        shares = np.stack([table[:, part].mean(axis=1) for part in parts], axis=1)
        centres = shares.mean(axis=0)
        low, high = np.quantile(shares, ENDS, axis=0)
        ax.vlines(centres, low, high, color=style.colour(backend, backends), lw=2.4, alpha=0.6)
        seen = [flat[part].mean() for part in parts]
        ax.plot(centres, seen, style.marker(backend, backends), color=style.INK, mfc="none", ms=4.5)
    ax.set_title("calibration")
    ax.set_xlabel("predicted probability of a one")
    ax.set_ylabel("share of ones")
    ax.set_xlim(0, 1)
    ax.set_ylim(-0.02, 1.02)


def shares(ax: Axes, observed: np.ndarray, replicated: Replicated, names: list[str], backends: list[str]) -> None:
    """The share of every label, `(names,)` and `(draws, names)`, as bars with intervals of generated ones."""
    ax.barh(np.arange(len(names)), observed, height=0.7, color=style.PALE)
    rows(ax, observed, replicated, names, backends)
    ax.set_title("share of every label, observed and generated (95%)")
    ax.set_xlim(left=0)


def bins(observed: np.ndarray) -> np.ndarray:
    """Edges of the bars of counts `(bars + 1,)`: each value its own, or 0 and equal ranges; the last has all beyond."""
    top = int(observed.max())
    width = max(1, -(-top // MOST_BARS))
    return np.concatenate([[0], np.arange(1, top + width + 1, width), [np.inf]])


def rootogram(ax: Axes, observed: np.ndarray, replicated: Replicated, backends: list[str]) -> None:
    """Hanging rootogram (Tukey 1977; Kleiber & Zeileis 2016): roots of how many rows have each count, hung from those
    that are expected, so that differences lie at the bottom line, where intervals say what chance does."""
    edges = bins(observed)
    places = np.arange(len(edges) - 1)

    def roots(values: np.ndarray) -> np.ndarray:
        return np.sqrt(np.histogram(values, edges)[0])

    first = next(iter(replicated.values()))
    expected = np.sqrt(np.mean([np.histogram(draw, edges)[0] for draw in first], axis=0))
    ax.bar(places, roots(observed), 0.8, bottom=expected - roots(observed), color=style.PALE, ec=style.GREY, lw=0.5)
    ax.plot(places, expected, ".-", color=style.INK, lw=1.2, ms=4)
    for draws, hue, shift in side_by_side(replicated, backends, 0.5):
        gaps = expected - np.stack([roots(draw) for draw in draws])
        ax.vlines(places + shift, *np.quantile(gaps, ENDS, axis=0), color=hue, lw=2.4, alpha=0.75)
    ax.axhline(0, color=style.INK, lw=0.8)
    ticks = places[:: max(1, len(places) // 8)]
    ax.set_xticks(ticks, [f"{edges[k]:g}" for k in ticks])
    step = edges[2] - edges[1]
    ranges = "" if step == 1 else f", then {step:g} values a bar"
    ax.set_xlabel(f"value (from {number(int(edges[-2]))} on together{ranges})")
    ax.set_ylabel("root of the number of rows")
    ax.set_title("hanging rootogram")


def curves(ax: Axes, observed: np.ndarray, replicated: Replicated, backends: list[str]) -> None:
    """Pointwise 95% bands of the generated data sets' densities, and the observed one."""
    support = bounds(observed, *replicated.values())
    points = np.linspace(*reach(observed, support), 200)
    for draws, hue, _ in side_by_side(some(replicated), backends, 0.0):
        found = [density(values, support) for values in draws]
        heights = np.array([np.interp(points, *curve, left=0, right=0) for curve in found if curve is not None])
        if len(heights):
            ax.fill_between(points, *np.quantile(heights, ENDS, axis=0), color=hue, alpha=0.3, lw=0)
    seen = density(observed, support)
    if seen is not None:
        ax.plot(*seen, color=style.INK, lw=1.6)
    ax.set_title(f"density, {counted(observed.size, 'value')}")
    style.hide_heights(ax)
    ax.set_xlim(points[0], points[-1])


def distribution(ax: Axes, observed: np.ndarray, replicated: Replicated, backends: list[str]) -> None:
    """Pointwise 95% bands of the generated data sets' distribution functions, and the observed one."""
    points = np.linspace(*reach(observed, bounds(observed, *replicated.values())), 200)
    for draws, hue, _ in side_by_side(some(replicated), backends, 0.0):
        shares = np.array([share_below(values, points) for values in draws])
        ax.fill_between(points, *np.quantile(shares, ENDS, axis=0), color=hue, alpha=0.3, lw=0)
    ax.plot(points, share_below(observed, points), color=style.INK, lw=1.4, drawstyle="steps-post")
    ax.set_title("share of values up to each")
    ax.set_xlim(points[0], points[-1])
    ax.set_ylim(-0.02, 1.02)


def share_below(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The empirical distribution function at points."""
    return np.searchsorted(np.sort(values, axis=None), points, side="right") / values.size


def reach(observed: np.ndarray, support: tuple[float, float]) -> tuple[float, float]:
    """A little beyond what was observed, within the support."""
    pad = 0.15 * float(np.ptp(observed)) or 1.0
    return max(float(observed.min()) - pad, support[0]), min(float(observed.max()) + pad, support[1])


def some(replicated: Replicated) -> dict[str, np.ndarray]:
    """Evenly spaced data sets, as many as curves are worth."""
    return {backend: draws[:: -(-len(draws) // MOST_CURVES)] for backend, draws in replicated.items()}
