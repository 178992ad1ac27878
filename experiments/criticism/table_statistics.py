"""Test statistics of outcomes with several numbers a row, or a sequence: features in classes, columns, channels."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from experiments.criticism import summaries
from experiments.criticism.row_statistics import classes
from experiments.criticism.statistics import Context, Elements, Function, Sites

MOST_FEATURES = 12
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


# --- classes with features


def features(sites: Sites, context: Context) -> tuple[np.ndarray, np.ndarray, list[str]] | None:
    """Binary and numeric features `(draws, rows, F)`, which cells are there `(rows, F)`, and their names."""
    tables, there, names = [], [], []
    for kind in ("binary", "number"):
        if f"x_{kind}" in sites:
            values = sites[f"x_{kind}"]
            tables.append(values)
            there.append(np.asarray(context.data.inputs.get(f"has_{kind}", np.ones(values.shape[1:])), dtype=float))
            names += context.labels(kind, values.shape[2])
    if not tables:
        return None
    return (
        np.concatenate(tables, 2)[..., :MOST_FEATURES],
        np.concatenate(there, 1)[:, :MOST_FEATURES],
        names[:MOST_FEATURES],
    )


def per_class(power: int) -> Function:
    """Mean of every feature's power in every class."""

    def function(sites: Sites, context: Context) -> Elements | None:
        found, names = features(sites, context), classes(context)
        if found is None or not names:
            return None
        values, there, labels = found
        tables = []
        for k in range(len(names)):
            inside = (sites["y"] == k)[..., None] * there
            with np.errstate(invalid="ignore", divide="ignore"):
                tables.append((inside * values**power).sum(axis=1) / inside.sum(axis=1))
        told = [f"{label} in class {name}" for name in names for label in labels]
        return Elements(np.concatenate(tables, axis=1), told)

    return function


def levels_per_class(sites: Sites, context: Context) -> Elements | None:
    """The share of every label of every column of labels in every class."""
    names, columns = classes(context), context.labels("category", 0)[:MOST_FEATURES]
    if "x_category" not in sites or not names:
        return None
    values, table, told = sites["x_category"], [], []
    there = np.asarray(context.data.inputs.get("has_category", np.ones(values.shape[1:])), dtype=bool)
    for c, column in enumerate(columns):
        labels = [text for text in context.labels("level", 0) if text.startswith(f"{column}=")]
        known, codes = there[:, c], values[:, there[:, c], c]
        for k, name in enumerate(names):
            inside = sites["y"][:, known] == k
            for level, label in enumerate(labels):
                with np.errstate(invalid="ignore", divide="ignore"):
                    table.append((inside & (codes == level)).sum(axis=1) / inside.sum(axis=1))
                told.append(f"{label} in class {name}")
    return Elements(np.stack(table, axis=1), told)


def together(sites: Sites, context: Context) -> Elements | None:
    """Correlation of two features within a class, which naive Bayes takes as none."""
    found, names = features(sites, context), classes(context)
    if found is None or not names or found[0].shape[2] < 2:
        return None
    values, there, labels = found
    pairs = list(itertools.combinations(range(values.shape[2]), 2))
    first, second = np.array(pairs).T
    tables = []
    for k in range(len(names)):
        inside = (sites["y"] == k)[..., None] * there
        with np.errstate(invalid="ignore", divide="ignore"):
            centred = inside * (values - ((inside * values).sum(1) / inside.sum(1))[:, None])
            products = np.einsum("snf,sng->sfg", centred, centred)
            sizes = np.sqrt(np.einsum("sff->sf", products))
            tables.append((products / (sizes[:, :, None] * sizes[:, None, :]))[:, first, second])
    told = [f"{labels[a]} with {labels[b]} in class {name}" for name in names for a, b in pairs]
    return Elements(np.concatenate(tables, axis=1), told)


# --- columns of numbers


def columns(sites: Sites, context: Context) -> tuple[np.ndarray, list[str]] | None:
    """Numbers of a mixture `(draws, rows, F)`: rows without an empty cell, which no data set can compare."""
    values = sites.get("y")
    if values is None or values.ndim not in (2, 3):
        return None
    values = values[..., None] if values.ndim == 2 else values
    there = context.data.inputs.get("there")
    kept = values if there is None else values[:, np.asarray(there).all(axis=1)]
    names = context.labels("feature", values.shape[2])
    return (kept[..., :MOST_FEATURES], names[:MOST_FEATURES]) if kept.shape[1] > 2 else None


def quantiles(sites: Sites, context: Context) -> Elements | None:
    found = columns(sites, context)
    if found is None:
        return None
    values, names = found
    table = np.moveaxis(np.quantile(values, QUANTILES, axis=1), 0, 1)
    told = [f"{q:.0%} quantile of {name}" for q in QUANTILES for name in names]
    return Elements(table.reshape(len(values), -1), told)


def peaks(sites: Sites, context: Context) -> Elements | None:
    found = columns(sites, context)
    if found is None:
        return None
    values, names = found
    return Elements(np.stack([summaries.modes(values[..., f]) for f in range(len(names))], axis=1), names)


def moments(power: int) -> Function:
    """Standardised third or fourth moments."""

    def function(sites: Sites, context: Context) -> Elements | None:
        found = columns(sites, context)
        if found is None:
            return None
        values, names = found
        with np.errstate(invalid="ignore", divide="ignore"):
            z = (values - values.mean(axis=1, keepdims=True)) / values.std(axis=1, keepdims=True)
        return Elements((z**power).mean(axis=1), names)

    return function


def correlations(sites: Sites, context: Context) -> Elements | None:
    found = columns(sites, context)
    if found is None or found[0].shape[2] < 2:
        return None
    values, names = found
    centred = values - values.mean(axis=1, keepdims=True)
    products = np.einsum("snf,sng->sfg", centred, centred)
    sizes = np.sqrt(np.einsum("sff->sf", products))
    first, second = np.triu_indices(values.shape[2], 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        table = products[:, first, second] / (sizes[:, first] * sizes[:, second])
    return Elements(table, [f"{names[a]} with {names[b]}" for a, b in zip(first, second, strict=True)])


# --- sequences


def sequences(sites: Sites, context: Context) -> tuple[np.ndarray, np.ndarray, list[str]] | None:
    """Observations `(draws, S, T, C)`, which are there `(S, T, C)`, and the channels' names."""
    values = sites.get("y")
    if values is None or values.ndim != 4:
        return None
    there = np.asarray(context.data.inputs.get("there", np.ones(values.shape[1:])), dtype=bool)
    return values, there, context.labels("channel", values.shape[3])


def by_channel(summary: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Function:
    """summary(values (draws, S, T), there (S, T)) of every channel."""

    def function(sites: Sites, context: Context) -> Elements | None:
        found = sequences(sites, context)
        if found is None:
            return None
        values, there, names = found
        table = [summary(values[..., c], there[..., c]) for c in range(values.shape[3])]
        return Elements(np.stack(table, axis=1), names)

    return function


def lagged(lag: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def summary(values: np.ndarray, there: np.ndarray) -> np.ndarray:
        if there.shape[1] <= lag:
            return np.full(len(values), np.nan)
        centred = (values - values[:, there].mean(axis=1)[:, None, None]) * there
        with np.errstate(invalid="ignore", divide="ignore"):
            return (centred[..., lag:] * centred[..., :-lag]).sum((1, 2)) / (centred**2).sum((1, 2))

    return summary


def run_length(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Mean length of stretches above, or not above, the median of the observations."""
    above = values > np.median(values[:, there], axis=1)[:, None, None]
    both = there[:, 1:] & there[:, :-1]
    changes = ((above[..., 1:] != above[..., :-1]) & both).sum((1, 2))
    return np.asarray(there.sum() / (changes + len(there)))


def of_all(function: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A summary of all observations, whatever their order."""
    return lambda values, there: function(values[:, there])
