"""Test statistics of outcomes with one number a row: rates, and regressions of rates and counts."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from experiments.criticism import summaries
from experiments.criticism.statistics import Context, Elements, Function, Sites

TENTHS, FIFTHS, MOST_TERMS = 10, 5, 24
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "last")


def rows(sites: Sites) -> np.ndarray | None:
    """The outcome `y` as `(draws, rows)`, None where it is none."""
    return sites["y"] if "y" in sites and sites["y"].ndim == 2 else None


def of_rows(
    summary: Callable[[np.ndarray], np.ndarray], applies: Callable[[Context], bool] = lambda _: True
) -> Function:
    """A statistic of the rows of y."""

    def function(sites: Sites, context: Context) -> np.ndarray | None:
        values = rows(sites)
        return None if values is None or values.shape[1] < 2 or not applies(context) else summary(values)

    return function


# --- rates: outcomes of 0 and 1, or successes of trials


def trials(context: Context) -> np.ndarray | float:
    found = context.data.inputs.get("trials")
    return 1.0 if found is None else np.asarray(found, dtype=float)


def classes(context: Context) -> list[str]:
    """The labels of an outcome that is one of several, none for 0 and 1."""
    return context.labels("class", 0)


def is_binary(context: Context) -> bool:
    return "trials" not in context.data.inputs and not classes(context)


def has_trials(context: Context) -> bool:
    return "trials" in context.data.inputs


def rate(sites: Sites, context: Context) -> np.ndarray | None:
    values = rows(sites)
    return None if values is None or classes(context) else values.sum(axis=1) / np.sum(trials(context) + 0 * values[0])


def rate_by_group(sites: Sites, context: Context) -> Elements | None:
    """Of every input that is a code with labels of its own name."""
    values = rows(sites)
    if values is None or classes(context):
        return None
    tables, labels = [], []
    for name, value in context.data.inputs.items():
        codes, names = np.asarray(value), context.labels(name, 0)
        if names and codes.shape == values.shape[1:] and codes.dtype.kind in "iu":
            member = np.eye(len(names))[codes]
            size = (trials(context) + 0 * values[0]) @ member
            with np.errstate(invalid="ignore", divide="ignore"):
                tables.append((values @ member) / size)
            labels += [f"{name} {label}" for label in names]
    return Elements(np.concatenate(tables, axis=1), labels) if tables else None


def dispersion(sites: Sites, context: Context) -> np.ndarray | None:
    """Mean of (y - expected)^2 / variance of one row, as the model has it: 1 where rows vary as it says."""
    values = rows(sites)
    if values is None or values.shape[1] < 2:
        return None
    varies = context.variance["y"] > 0
    gaps = (values - context.expected["y"])[:, varies] ** 2 / context.variance["y"][varies]
    return np.asarray(gaps.mean(axis=1)) if varies.any() else None


def dispersion_of_trials(sites: Sites, context: Context) -> np.ndarray | None:
    return dispersion(sites, context) if has_trials(context) else None


# --- regressions


def shares_by_expectation(sites: Sites, context: Context) -> Elements | None:
    """Mean outcome of ten parts of the rows, sorted by expectation."""
    values = rows(sites)
    if values is None or classes(context) or values.shape[1] < 5 * TENTHS:
        return None
    parts = summaries.parts_by(context.expected["y"], values, TENTHS)
    return Elements(parts, [f"{name} tenth of rows" for name in ORDINALS])


def separation(sites: Sites, context: Context) -> np.ndarray | None:
    values = rows(sites)
    return summaries.auc(context.expected["y"], values) if values is not None and is_binary(context) else None


def left_out(link: str) -> Function:
    """Products of two predictors, and squares of one, as predictors that the model might have had."""

    def function(sites: Sites, context: Context) -> Elements | None:
        values, x = rows(sites), np.asarray(context.data.inputs.get("x", np.empty((0, 0))))
        if values is None or x.ndim != 2 or not 1 <= x.shape[1] <= MOST_TERMS or classes(context):
            return None
        mean, variance = context.expected["y"], context.variance["y"]
        used = variance > 0
        if used.sum() <= x.shape[1] + 2:
            return None
        x, names = x[used], context.labels("term", x.shape[1])
        centred = x - x.mean(axis=0)
        pairs = list(itertools.combinations_with_replacement(range(x.shape[1]), 2))
        z = np.stack([centred[:, a] * centred[:, b] for a, b in pairs], axis=1)
        slope = variance[used] if link == "logit" else mean[used]
        known = np.column_stack([np.ones(len(x)), x])
        gaps = summaries.score_gaps(values[:, used], mean[used], variance[used], slope, known, z)
        labels = [f"{names[a]} squared" if a == b else f"{names[a]} times {names[b]}" for a, b in pairs]
        return Elements(gaps, labels)

    return function


def shares_of_classes_by_expectation(sites: Sites, context: Context) -> Elements | None:
    """Shares of every class in five parts of the rows, sorted by the probability that the model gives the class."""
    names, values = classes(context), rows(sites)
    if not names or values is None or values.shape[1] < 5 * FIFTHS:
        return None
    expected = [(context.known["y"] == k).mean(axis=0) for k in range(len(names))]
    parts = [summaries.parts_by(expected[k], values == k, FIFTHS) for k in range(len(names))]
    told = [f"{name} in the {place} fifth of rows" for name in names for place in (*ORDINALS[: FIFTHS - 1], "last")]
    return Elements(np.concatenate(parts, axis=1), told)


def class_shares(sites: Sites, context: Context) -> Elements | None:
    names, values = classes(context), rows(sites)
    if not names or values is None:
        return None
    return Elements(np.stack([(values == k).mean(axis=1) for k in range(len(names))], axis=1), names)
