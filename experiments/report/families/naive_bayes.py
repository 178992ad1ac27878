"""Pictures of naive_bayes: class probabilities of rows with the interval that the fitted rows leave for each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from experiments.report import style
from experiments.report.style import Drawing
from experiments.report.variables import reference
from experiments.results import Result
from experiments.words import counted, shortened
from models.class_probabilities import Rows, given_parameters
from models.features import Features

MOST_ROWS = 60
MOST_DRAWS = 400
MOST_CLASSES = 4
KINDS = ("binary", "category", "count", "number")


def figures(result: Result) -> list[Drawing]:
    """Rows with and without a label, each kind in a figure of its own."""
    return [
        drawing
        for part in ("", "_unlabelled")
        if any(f"x_{kind}{part}" in result.data.observed for kind in KINDS)
        for drawing in [probabilities(result, part)]
    ]


def probabilities(result: Result, part: str) -> Drawing:
    """P(class) of as many rows as a figure holds, evenly spaced in the order of their probability; a panel a class."""
    backend, data = reference(result), result.data
    given, chosen = of_rows(result, backend, part)
    classes = list(data.coords["class"])
    # of two classes, one says it all
    panels = [1] if len(classes) == 2 else list(range(min(len(classes), MOST_CLASSES)))
    mean = given.mean(axis=0)
    low, high = np.quantile(given, [0.05, 0.95], axis=0)
    figure = style.canvas(1.5 * len(panels) + (1.3 if len(panels) == 1 else 0.9))
    axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    hue = style.colour(backend, list(result.fits))
    truth = np.asarray(data.observed["y"])[chosen] if part == "" else None
    for c, ax in zip(panels, axes, strict=True):
        order = np.argsort(mean[:, c], kind="stable")
        places = np.arange(len(order))
        ax.vlines(places, low[order, c], high[order, c], color=hue, lw=2.0, alpha=0.55)
        if truth is None:
            ax.plot(places, mean[order, c], "o", color=hue, ms=3, ls="none")
        else:
            own = truth[order] == c
            ax.plot(places[own], mean[order, c][own], "o", color=style.INK, ms=3.4, ls="none", label="of the class")
            ax.plot(
                places[~own], mean[order, c][~own], "x", color=style.GREY, ms=3.4, ls="none", label="of another class"
            )
        ax.set_ylim(-0.03, 1.03)
        ax.set_title(f"P(class = {shortened(classes[c], 40)})")
    axes[-1].set_xlabel("rows, in the order of their probability")
    if truth is not None:
        style.legend(figure, axes[0])
    rows = "unlabelled rows" if part else "fitted rows"
    told = f"{counted(len(chosen), 'row')} of {len(np.asarray(data.observed[first_of(data.observed, part)])):,} {rows}"
    return Drawing(
        f"classes{part.replace('_', '-')}",
        f"Class probabilities of {rows}",
        f"Class probabilities with intervals of {told}, by {backend}.",
        f"{told[:1].upper()}{told[1:]}. Mark: mean of p(class | row, parameters); bar: its 90% interval, what the "
        "fitted rows leave open. Probabilities near 0 or 1 are naive Bayes' habit where features depend on each other.",
        figure,
    )


def of_rows(result: Result, backend: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """p(class | row, parameters) at thinned draws, `(draws, rows, C)`, and which rows these are."""
    data, posterior = result.data, result.fits[backend].posterior
    total = len(np.asarray(data.observed[first_of(data.observed, part)]))
    chosen = np.unique(np.linspace(0, total - 1, min(total, MOST_ROWS)).round().astype(int))
    found = {}
    for kind in KINDS:
        if f"x_{kind}{part}" in data.observed:
            values = np.asarray(data.observed[f"x_{kind}{part}"])[chosen]
            there = data.inputs.get(f"has_{kind}{part}")
            found[kind] = Features(values, np.ones(values.shape, bool) if there is None else np.asarray(there)[chosen])
    step = -(-posterior.num_draws // MOST_DRAWS)
    draws = {name: d.reshape(1, -1, *d.shape[2:])[:, ::step] for name, d in posterior.draws.items()}
    return given_parameters(draws, Rows(len(chosen), found, data.inputs.get("place"))), chosen


def first_of(observed: Mapping[str, np.ndarray], part: str) -> str:
    """The first site of features that there is."""
    return next(f"x_{kind}{part}" for kind in KINDS if f"x_{kind}{part}" in observed)
