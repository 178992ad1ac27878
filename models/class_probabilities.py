"""The class of a row from draws of a naive Bayes posterior: a probability, and how sure the parameters make it.

For a row x and parameters w, p(class = c | x, w) is pi[c] times the densities of its features, over their sum. Draws
of w give a distribution of that probability, whose mean and interval say how much the fitted rows leave open. The
posterior predictive probability weighs the draws by what x says about them, too:

    p(class = c | x, data)  =  E[p(c, x | w)] / sum over classes of E[p(c, x | w)],    w from the posterior.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from models.errors import InputError, did_you_mean
from models.features import Features

MOST_VALUES = 4_000_000  # numbers in flight at once


class ClassProbabilities(NamedTuple):
    """Probabilities of every class for every row, `(rows, C)`.

    predictive: p(class | row, fitted rows), which sums to one over the classes.
    mean, lower, upper: of p(class | row, parameters) over the posterior, an equal-tailed interval.
    """

    predictive: np.ndarray
    mean: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


class Rows(NamedTuple):
    """Rows to classify: features by kind, and where the levels of categorical columns lie among all levels, `(levels,
    columns, most levels)`, one where a level is its column's own level of that number."""

    num_rows: int
    features: Mapping[str, Features]
    place: np.ndarray | None = None


def predict(
    draws: Mapping[str, np.ndarray],
    rows: Rows,
    classes: list[str],
    class_prior: Mapping[str, float] | None,
    mass: float,
) -> ClassProbabilities:
    """Class probabilities of `rows`; draws are `(chain, draw, *shape)` by site."""
    if not 0 < mass < 1:
        raise InputError("mass", f"must lie between 0 and 1, got {mass}", "write for instance 0.9")
    flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in draws.items()}
    with np.errstate(divide="ignore"):
        log_prior = np.log(flat["pi"] if class_prior is None else weights(class_prior, classes)[None])
    chunk = max(1, MOST_VALUES // (len(flat["pi"]) * len(classes)))
    parts = []
    for start in range(0, rows.num_rows, chunk):
        part = slice(start, start + chunk)
        log_joint = log_prior[:, None, :] + log_density(flat, rows, part)
        given = np.exp(log_joint - log_sum(log_joint, axis=2)[..., None])
        over_draws = log_sum(log_joint, axis=0)
        predictive = np.exp(over_draws - log_sum(over_draws, axis=1)[:, None])
        lower, upper = np.quantile(given, [(1 - mass) / 2, (1 + mass) / 2], axis=0)
        parts.append(ClassProbabilities(predictive, given.mean(axis=0), lower, upper))
    return ClassProbabilities(*(np.concatenate(found) for found in zip(*parts, strict=True)))


def given_parameters(draws: Mapping[str, np.ndarray], rows: Rows) -> np.ndarray:
    """p(class | row, parameters) at every draw, `(draws, rows, C)`."""
    flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in draws.items()}
    with np.errstate(divide="ignore"):
        log_joint = np.log(flat["pi"])[:, None, :] + log_density(flat, rows, slice(None))
    return np.exp(log_joint - log_sum(log_joint, axis=2)[..., None])


def log_density(draws: Mapping[str, np.ndarray], rows: Rows, part: slice) -> np.ndarray:
    """log p(features | class, parameters) up to what the classes share, `(draws, rows, C)`; a missing feature adds
    nothing."""

    def against(features: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        return features @ np.swapaxes(coefficients, 1, 2)

    total = np.zeros((len(draws["pi"]), len(range(rows.num_rows)[part]), draws["pi"].shape[1]))
    found = {kind: Features(own.values[part], own.there[part]) for kind, own in rows.features.items()}
    if "binary" in found:
        values, there = found["binary"]
        log_no = np.log1p(-draws["theta"])
        total += against(values, np.log(draws["theta"]) - log_no)
        total += log_no.sum(axis=-1)[:, None, :] if there.all() else against(there.astype(float), log_no)
    if "category" in found and rows.place is not None:
        values, there = found["category"]
        chosen = there[:, :, None] * (values[:, :, None] == np.arange(rows.place.shape[2]))
        total += against(np.einsum("njk,ljk->nl", chosen, rows.place), np.log(draws["phi"]))
    if "count" in found:
        total += against(found["count"].values, np.log(draws["psi"]))
    if "number" in found:
        values, there = found["number"]
        mu, variance = draws["mu"], draws["variance"]
        total += against(values, mu / variance) - against(values**2, 0.5 / variance)
        total -= against(there.astype(float), 0.5 * np.log(variance) + 0.5 * mu**2 / variance)
    return total


def weights(class_prior: Mapping[str, float], classes: list[str]) -> np.ndarray:
    """The probabilities in the order of the classes, `(C,)`."""
    for name in class_prior:
        if name not in classes:
            raise InputError(f"class_prior, `{name}`", "is not a class", did_you_mean(name, classes))
    for name in classes:
        if name not in class_prior:
            raise InputError("class_prior", f"has no probability for class `{name}`", "give one for every class")
        if not 0 <= class_prior[name] <= 1:
            raise InputError(f"class_prior, `{name}`", f"must lie in [0, 1], got {class_prior[name]}", "correct it")
    found = np.array([class_prior[name] for name in classes], dtype=float)
    if abs(found.sum() - 1) > 1e-9:
        raise InputError("class_prior", f"must sum to 1, got {found.sum():.6g}", "divide by the sum")
    return found


def log_sum(values: np.ndarray, axis: int) -> np.ndarray:
    """log of the sum of exponentials along an axis; -inf where all of them are 0."""
    top = values.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(values - top).sum(axis=axis)) + np.squeeze(top, axis)
