"""Pictures of zero_inflated: a hanging rootogram, where the zeros come from, and the spread of the counts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from experiments.report import style
from experiments.report.style import Drawing
from experiments.report.variables import reference
from experiments.results import Result
from experiments.words import number
from models.outcome_parts import parts
from models.zero_inflated import ZeroInflated

MOST_BINS = 40


def figures(result: Result) -> list[Drawing]:
    """The rootogram, and the zeros by kind with the checks of their number and of the dispersion."""
    model, observed = result.experiment.model, result.data.observed
    backend = reference(result)
    replicated = result.fits[backend].posterior_predictive.get("y")
    if not isinstance(model, ZeroInflated) or "y" not in observed or replicated is None:
        return []
    y = np.asarray(observed["y"], dtype=float)
    made = np.asarray(replicated, dtype=float).reshape(-1, len(y))
    return [rootogram(result, backend, y, made), zeros(result, model, backend, y, made)]


def bins(y: np.ndarray) -> np.ndarray:
    """Edges of bins: one for each count, wider ones where there are many values; zero has a bin of its own."""
    top = float(y.max())
    if np.array_equal(y, np.floor(y)) and top < MOST_BINS:
        return np.arange(top + 2) - 0.5
    if np.array_equal(y, np.floor(y)):
        width = float(np.ceil(min(top, np.quantile(y, 0.99)) / MOST_BINS))
        return np.concatenate([[-0.5], np.arange(0.5, np.quantile(y, 0.99) + width, width)])
    above = y[y > 0]
    return np.concatenate([[-1e-9], np.linspace(1e-9, np.quantile(above, 0.99), 25)])


def rootogram(result: Result, backend: str, y: np.ndarray, made: np.ndarray) -> Drawing:
    """Square roots of frequencies: bars of the observed ones hang from the curve of the generated ones (Kleiber &
    Zeileis 2016, The American Statistician 70)."""
    edges = bins(y)
    seen = np.histogram(y, edges)[0]
    counts = np.array([np.histogram(row, edges)[0] for row in made[:: max(1, len(made) // 500)]])
    middle = np.sqrt(counts.mean(axis=0))
    low, high = np.quantile(np.sqrt(counts), [0.025, 0.975], axis=0)
    centre, width = (edges[:-1] + edges[1:]) / 2, np.diff(edges)
    figure = style.canvas(3.1)
    ax = figure.subplots()
    hue = style.colour(backend, list(result.fits))
    ax.bar(
        centre,
        np.sqrt(seen),
        0.85 * width,
        bottom=middle - np.sqrt(seen),
        color=style.PALE,
        ec=style.GREY,
        lw=0.6,
        label="observed, hanging",
    )
    ax.plot(centre, middle, "o-", color=hue, ms=3, lw=1.2, label=f"generated ({backend})")
    ax.fill_between(centre, middle - high, middle - low, color=hue, alpha=0.22, lw=0, step="mid")
    ax.axhline(0, color=style.INK, lw=0.8)
    ax.set_ylim(1.15 * min(float((middle - np.sqrt(seen)).min()), float((middle - high).min()), 0.0) - 0.05)
    ax.set_xlabel("y")
    ax.set_ylabel("square root of frequency")
    style.legend(figure, ax)
    outside = float(((np.sqrt(seen) < low) | (np.sqrt(seen) > high)).mean())
    return Drawing(
        "rootogram",
        "Rootogram",
        f"Hanging rootogram: observed frequencies against those of generated data by {backend}.",
        "Bars hang from the frequencies that the fitted model generates; a bar that ends above the line is a value "
        "seen less often than generated, below it more often. The band about the line holds 95% of generated data "
        f"sets; {outside:.0%} of the bars end outside.",
        figure,
    )


def zeros(result: Result, model: ZeroInflated, backend: str, y: np.ndarray, made: np.ndarray) -> Drawing:
    """Left: zeros by kind, as expected. Then the number of zeros and the dispersion of generated data sets."""
    figure = style.canvas(2.7)
    axes = figure.subplots(1, 3, width_ratios=(1.15, 1, 1))
    hue = style.colour(backend, list(result.fits))
    decomposition(axes[0], result, model, backend, int((y == 0).sum()))
    shown = {"zeros": (made == 0).sum(axis=1), "variance / mean": dispersion(made)}
    told = []
    for ax, (name, values), own in zip(axes[1:], shown.items(), ((y == 0).sum(), dispersion(y[None])[0]), strict=True):
        values = values[np.isfinite(values)]
        ax.hist(values, 30, color=hue, alpha=0.35, lw=0)
        ax.axvline(own, color=style.INK, lw=1.6)
        ax.set_title(name)
        style.hide_heights(ax)
        ax.locator_params(axis="x", nbins=4)
        told.append(f"{name}: observed {number(float(own), 3)}, generated above it in {(values >= own).mean():.0%}")
    return Drawing(
        "zeros",
        "Zeros and dispersion",
        f"Zeros by kind, and number of zeros and dispersion of generated data sets by {backend}.",
        "Left: how many zeros of each kind the model expects. Right: data sets that the fitted model generates, and "
        f"the observed one (black). {'; '.join(told)}. Near 0% or 100% the model misses it.",
        figure,
    )


def decomposition(ax: Axes, result: Result, model: ZeroInflated, backend: str, seen: int) -> None:
    """Expected zeros by kind beside the observed ones."""
    posterior, inputs = result.fits[backend].posterior, result.data.inputs
    step = max(1, posterior.num_draws // 400)
    draws: Mapping[str, np.ndarray] = {
        name: values.reshape(-1, *values.shape[2:])[::step] for name, values in posterior.draws.items()
    }
    at = parts(model.likelihood, model.zeros, draws, inputs)
    structural = at.structural().sum(axis=1)
    kinds = {"inflated": "structural", "hurdle": "below the hurdle"}
    bars = {kinds[model.zeros]: structural} if model.zeros != "none" else {}
    if model.zeros != "hurdle":
        bars["of the counts"] = at.zero().sum(axis=1) - structural
    bottom, hues = 0.0, (style.COLOURS["svi"], style.COLOURS["nuts"])
    for (name, values), hue in zip(bars.items(), hues, strict=False):
        height = float(values.mean())
        ax.bar(0, height, 0.6, bottom=bottom, color=hue, alpha=0.75)
        if height > 0.04 * seen:
            ax.text(0, bottom + height / 2, f"{name}\n{height:.0f}", ha="center", va="center", fontsize=8)
        bottom += height
    ax.bar(1, seen, 0.6, color=style.PALE, ec=style.GREY)
    ax.text(1, seen / 2, f"{seen}", ha="center", va="center", fontsize=8)
    ax.set_xticks([0, 1], ["expected", "observed"])
    ax.set_title("zeros by kind")


def dispersion(y: np.ndarray) -> np.ndarray:
    """Variance over mean of every row of `y (data sets, rows)`: 1 of plain Poisson counts of one mean."""
    mean = y.mean(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return y.var(axis=1, ddof=1) / mean
