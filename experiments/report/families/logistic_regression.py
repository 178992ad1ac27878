"""Logistic regression in two pictures: odds ratios, and fitted probabilities beside what was observed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, StrMethodFormatter

from experiments.report import style
from experiments.report.posterior_figures import intervals, offset
from experiments.report.style import Drawing
from experiments.report.variables import reference
from experiments.results import Result
from experiments.words import counted, listed, shortened
from models import effects

MOST_TERMS, MOST_PANELS, MOST_ROWS, MOST_DRAWS = 60, 6, 2000, 500
BINS = 10
ROW = 0.14


def figures(result: Result) -> list[Drawing]:
    """Odds ratios where there are terms, and fitted probabilities where there are outcomes."""
    return [*odds_ratios(result), *fitted_probabilities(result)]


def odds_ratios(result: Result) -> list[Drawing]:
    """50% and 95% intervals of exp(beta) on a logarithmic axis, one panel a label, all backends side by side."""
    site = "class_beta" if "num_classes" in result.data.inputs else "beta"
    backends = [name for name, fit in result.fits.items() if site in fit.posterior.draws]
    if not backends:
        return []
    terms = list(result.data.coords["term"])
    labels = list(result.data.coords["class"])[:MOST_PANELS] if site == "class_beta" else [""]
    shown = min(len(terms), MOST_TERMS)
    figure = style.canvas((ROW * (len(backends) + 0.6) * shown + 0.55) * len(labels) + 0.6)
    axes = list(figure.subplots(len(labels), 1, squeeze=False, sharex=True)[:, 0])
    for place, backend in enumerate(backends):
        posterior = result.fits[backend].posterior
        ends = posterior.quantile(site, [0.025, 0.25, 0.5, 0.75, 0.975])  # (5, *shape)
        ratios = effects.odds_ratio(ends.reshape(5, -1, len(terms)))
        for c, ax in enumerate(axes):
            intervals(ax, ratios[:, c, :shown].T, np.arange(shown) + offset(place, len(backends)), backend, backends)
    for ax, label in zip(axes, labels, strict=True):
        ax.set_xscale("log")
        low, high = ax.get_xlim()
        ax.xaxis.set_major_locator(FixedLocator(marks(low, high)))
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.axvline(1, color=style.GREY, lw=0.8, ls=":", zorder=0)
        ax.set_yticks(range(shown), [shortened(str(term)) for term in terms[:shown]])
        ax.set_ylim(shown - 0.45, -0.55)
        ax.tick_params(axis="y", length=0)
        if label:
            ax.set_title(f"{label} against {result.data.coords['label'][0]}")
    standardised = getattr(result.experiment.model, "standardise", False)
    axes[-1].set_xlabel(f"odds ratio for one {'standard deviation' if standardised else 'unit'} of the term")
    style.legend(figure, axes[0])
    left = f" The first {shown} of {counted(len(terms), 'term')} are shown." if shown < len(terms) else ""
    return [
        Drawing(
            "odds_ratios",
            "Odds ratios",
            f"Forest plot: odds ratios of {counted(shown, 'term')} by {listed(backends)}.",
            "Mark: median; thick bar: 50% interval; thin bar: 95% interval. At 1, on the dotted line, a term does not "
            "change the odds; at 2 it doubles them, at 1/2 it halves them." + left,
            figure,
        )
    ]


def marks(low: float, high: float) -> list[float]:
    """Round numbers for a logarithmic axis, with 1 among them where the axis has it: eight at most."""
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)))
    for steps in ((1, 1.1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9), (1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 5), (1,)):
        found = [float(f"{step * decade:.3g}") for decade in decades for step in steps]
        inside = [value for value in found if low <= value <= high]
        if len(inside) <= 8:
            return inside
    return inside[:: -(-len(inside) // 8)]


class Fitted(NamedTuple):
    """Rows in the order of their fitted probability of one label: its mean and the ends of its 90% interval, `(rows,)`,
    and how many of their trials had this label, out of how many."""

    mean: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    ones: np.ndarray
    trials: np.ndarray


def fitted_probabilities(result: Result) -> list[Drawing]:
    """Rows in the order of their fitted probability, with its interval, and the observed shares in ten bins of them."""
    if "y" not in result.data.observed:
        return []
    base = reference(result)
    labels = list(result.data.coords.get("label", []))
    panels = [fitted(result, base, c) for c in range(min(len(labels), MOST_PANELS))] if labels else []
    panels = panels or [fitted(result, base, 1)]
    columns = min(3, len(panels))
    figure = style.canvas(3.0 if len(panels) == 1 else 2.5 * -(-len(panels) // columns) + 0.4)
    axes = list(figure.subplots(-(-len(panels) // columns), columns, squeeze=False).flat)
    for c, (panel, ax) in enumerate(zip(panels, axes, strict=False)):
        draw(panel, ax)
        if labels:
            ax.set_title(style.wrapped(f"P({labels[c]})", 100 // columns))
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    style.legend(figure, axes[0])
    return [
        Drawing(
            "fitted_probabilities",
            "Fitted probabilities and what was observed",
            f"Rows in the order of their fitted probability by {base}, with 90% intervals and observed shares.",
            "Line and band: each row's probability and its 90% interval, rows in the order of their probability. "
            "Marks: the observed share among a tenth of the rows, give or take two standard errors. Marks along the "
            "line mean that the probabilities are right on average; a line that climbs from 0 to 1 means that the "
            "predictors tell rows apart.",
            figure,
        )
    ]


def fitted(result: Result, backend: str, label: int) -> Fitted:
    """Fitted probabilities of a label, or of the event, for rows and draws evenly thinned."""
    every, data = effects.fitted(result.data), result.data
    rows = every.thinned(effects.MOST_PROBABILITIES // MOST_ROWS)
    own = effects.flat(result.fits[backend].posterior.draws)
    keep = np.linspace(0, len(next(iter(own.values()))) - 1, MOST_DRAWS).round().astype(int)
    own = {name: values[keep] for name, values in own.items()}
    p = effects.softmax(effects.scores(own, rows.x, rows.groups))[..., label]
    if "noise" in own:  # what is observed is the recorded label
        p = own["noise"][:, None] / 2 + (1 - own["noise"][:, None]) * p
    chosen = np.linspace(0, len(every.x) - 1, len(rows.x)).round().astype(int)
    y = data.observed["y"][chosen]
    order = np.argsort(p.mean(axis=0), kind="stable")
    lower, upper = np.quantile(p, [0.05, 0.95], axis=0)[:, order]
    ones = (y == label).astype(float) if "num_classes" in data.inputs else y
    return Fitted(p.mean(axis=0)[order], lower, upper, ones[order], rows.weights[order])


def draw(panel: Fitted, ax: Axes) -> None:
    """One panel: line and band by rank, and a mark for each bin."""
    ranks = np.arange(1, len(panel.mean) + 1)
    ax.fill_between(ranks, panel.lower, panel.upper, color=style.PALE, lw=0, label="90% interval")
    ax.plot(ranks, panel.mean, color=style.INK, label="fitted probability")
    bins = [part for part in np.array_split(ranks - 1, min(BINS, len(ranks))) if panel.trials[part].sum() > 0]
    share = np.array([panel.ones[part].sum() / panel.trials[part].sum() for part in bins])
    expected = np.array([np.average(panel.mean[part], weights=panel.trials[part]) for part in bins])
    error = 2 * np.sqrt(expected * (1 - expected) / np.array([panel.trials[part].sum() for part in bins]))
    middle = [part.mean() + 1 for part in bins]
    ends = [np.minimum(error, share), np.minimum(error, 1 - share)]
    ax.errorbar(middle, share, ends, fmt="o", ms=4.2, color="#0072b2", lw=1.1, label="observed share")
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlabel("rows, by fitted probability")
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
