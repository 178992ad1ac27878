"""What the priors say about data before seeing any: summaries of the data sets that they generate, and the observed."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from experiments.report import outcome_panels as panels
from experiments.report import style
from experiments.report.outcomes import Seen, few, is_binary, levels, of_levels, seen
from experiments.report.style import Drawing
from experiments.results import Result

PRIORS = "priors"
FAR = 30.0  # times what was observed: an axis that goes further is logarithmic


def prior_predictive(result: Result) -> list[Drawing]:
    """One figure for each observed site that the priors generate finite data sets of."""
    drawings = []
    for site, values in result.data.observed.items():
        if site not in result.prior_predictive or not np.size(values):
            continue
        draws = few(np.asarray(result.prior_predictive[site]), np.shape(values))
        draws = draws[np.isfinite(draws).reshape(len(draws), -1).all(axis=1)]
        if len(draws) > 1:
            drawings.append(check_of(result, seen(result, site, {PRIORS: draws})))
    return drawings


def check_of(result: Result, outcome: Seen) -> Drawing:
    """Shares of labels, locations of columns, or histograms of the mean and the spread of generated data sets."""
    codes, generated = levels(result, outcome), outcome.replicated[PRIORS]
    if codes is not None:
        figure = style.canvas(0.25 * len(codes.names) + 1.1)
        found, here = of_levels(codes, generated), of_levels(codes, outcome.observed[None])[0]
        panels.shares(figure.subplots(), here, {PRIORS: found}, codes.names, [PRIORS])
        told = "the shares of labels"
    elif len(outcome.columns) > 1:
        figure = style.canvas(0.2 * len(outcome.columns) + 1.3)
        ax = figure.subplots()
        inside = [outcome.column == k for k in range(len(outcome.columns))]
        here = np.array([outcome.observed[own].mean() for own in inside])
        unit = np.array([outcome.observed[own].std() or 1.0 for own in inside])
        found = np.stack([generated[:, own].mean(axis=1) for own in inside], axis=1)
        panels.rows(ax, 0 * here, {PRIORS: (found - here) / unit}, outcome.columns, [PRIORS])
        ax.set_title("mean of every column, less the observed one, in observed standard deviations (95%)")
        told = "the means of columns"
    else:
        figure = style.canvas(2.4)
        binary = is_binary(outcome.observed) and is_binary(generated)
        several = not binary and outcome.observed.size > 1
        grid = figure.subplots(1, 1 + several, squeeze=False)[0]
        rows = outcome.observed.size if binary else None
        histogram(grid[0], generated.mean(axis=1), float(outcome.observed.mean()), rows)
        grid[0].set_xlabel("share of ones" if binary else "mean")
        if several:
            histogram(grid[1], generated.std(axis=1), float(outcome.observed.std()), None)
            grid[1].set_xlabel("standard deviation")
        told = "the share of ones" if binary else "mean and standard deviation" if several else "the value"
    return Drawing(
        f"prior-{outcome.site}",
        f"Prior predictive check of {outcome.site}",
        f"Data sets of {outcome.site} that the priors generate, against the observed one.",
        f"Of `{outcome.site}`, {told} in data sets that the priors alone generate (colour) and as observed (black). "
        "The observed should lie where the priors put some of their mass; they need not put most of it there.",
        figure,
    )


def histogram(ax: Axes, values: np.ndarray, observed: float, rows: int | None) -> None:
    """Values of generated data sets and the observed one, on a scale that shows both. rows: of which values are shares,
    None where they are not: shares of few rows take few values, and bins fall between them."""
    low, high = (float(end) for end in np.quantile(values, [0.01, 0.99]))
    far = FAR * max(abs(observed), 1e-9)
    if max(abs(low), abs(high)) > far:
        ax.set_xscale("symlog", linthresh=far / FAR / (1 if low < 0 else 100))
        if low < 0:
            tails = np.geomspace(far / FAR, max(-low, far), 15)
            edges = np.concatenate([-tails[::-1], np.linspace(-far / FAR, far / FAR, 5)[1:-1], tails])
        else:
            edges = np.concatenate([[0.0], np.geomspace(far / FAR / 100, max(high, far), 40)])
    elif rows is not None and rows <= 40:
        edges = (np.arange(rows + 2) - 0.5) / rows
    else:
        low, high = min(low, observed), max(high, observed)
        edges = np.linspace(low, high if high > low else low + 1.0, 31)
    if ax.get_xscale() == "symlog":
        powers = np.arange(
            np.ceil(np.log10(edges[edges > 0].min())), np.ceil(np.log10(max(abs(edges[0]), edges[-1]))) + 1
        )
        ticks = 10.0 ** powers[:: -(-len(powers) // (3 if low < 0 else 6))]
        ticks = np.concatenate([-ticks[::-1] if low < 0 else [], [0.0] if low < 0 else [], ticks])
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.set_xticks([], minor=True)
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    hue = style.colour(PRIORS, [PRIORS])
    ax.stairs(counts / len(values), edges, fill=True, color=hue, alpha=0.3)
    ax.stairs(counts / len(values), edges, color=hue, lw=1.4)
    ax.axvline(observed, color=style.INK, lw=1.6)
    style.hide_heights(ax)
