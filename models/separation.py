"""Separation: whether some weighted sum of the predictors tells the labels apart without an error.

A direction b separates the outcome where every row's own label scores at least as high as each other one,

    (b[y[n]] - b[c]) . x[n] >= 0    for every row n and label c,    b[reference] = 0,

and some row's higher. Then the likelihood grows without end along b and has no maximum (Albert & Anderson 1984); the
separation is complete where every inequality is strict, and quasi-complete otherwise. A linear programme finds b or
proves that there is none (Konis 2007). Where Newton's iteration arrives at a maximum, there is none either: that is the
quicker proof, tried first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.base import Data

TOLERANCE = 1e-7  # of a slack, where no predictor is larger than 1
FAR = 15.0  # log odds that a maximum hardly ever reaches
MOST_VALUES = 20_000_000  # numbers in the inequalities: beyond, the linear programme would take minutes


def separation(data: Data) -> tuple[str, ...]:
    """A sentence that names the terms which separate the outcome of a logistic regression's data; empty where none
    do, or where there are too many rows to know."""
    x, y = np.asarray(data.inputs["x"], dtype=float), np.asarray(data.observed["y"], dtype=float)
    terms = list(data.coords["term"])
    has_intercept = bool(data.inputs["has_intercept"])
    x = np.column_stack([np.ones(len(x)), x]) if has_intercept else x
    trials = np.asarray(data.inputs.get("trials", np.ones(len(x))), dtype=float)
    num_classes = int(data.inputs.get("num_classes", 2))
    if not terms or (num_classes == 2 and has_maximum(x, y, trials)):
        return ()
    if x.size * (num_classes - 1) ** 2 > MOST_VALUES:
        return ()
    rows = inequalities(x, y, trials if "num_classes" not in data.inputs else None, num_classes)
    every = list(range(len(terms)))
    if not separates(rows, every, has_intercept):
        return ()
    own = fewest(rows, len(terms), has_intercept)
    complete = separates(rows, own, has_intercept, strictly=True)
    return (sentence([f"`{terms[k]}`" for k in own], complete),)


def sentence(terms: Sequence[str], complete: bool) -> str:
    kind = "completely" if complete else "in part (quasi-complete separation)"
    if len(terms) == 1:
        return (
            f"{terms[0]} separates the outcome {kind}, so the likelihood has no maximum and the prior alone bounds its "
            "coefficient."
        )
    listed = f"{', '.join(terms[:-1])} and {terms[-1]}"
    return (
        f"{listed} together separate the outcome {kind}, so the likelihood has no maximum and the prior alone bounds "
        "their coefficients."
    )


def has_maximum(x: np.ndarray, y: np.ndarray, trials: np.ndarray) -> bool:
    """Whether Newton's iteration arrives at a finite maximum of the likelihood of two labels. A false `no` is possible:
    the linear programme decides."""
    scale = np.maximum(np.abs(x).max(axis=0), 1e-300)
    x, b = x / scale, np.zeros(x.shape[1])
    for _ in range(20):
        eta = x @ b
        if np.abs(eta).max(initial=0.0) > FAR:
            return False
        p = 1 / (1 + np.exp(-eta))
        gradient = x.T @ (y - trials * p)
        if np.abs(gradient).max() < 1e-9 * trials.sum():
            return True
        b = b + np.linalg.lstsq((x.T * (trials * p * (1 - p))) @ x, gradient)[0]
    return False


def inequalities(x: np.ndarray, y: np.ndarray, trials: np.ndarray | None, num_classes: int) -> np.ndarray:
    """Left sides that must not be negative, `(inequalities, labels - 1, columns)`; no number is larger than 1."""
    x = x / np.maximum(np.abs(x).max(axis=0), 1e-300)
    found = []
    if trials is not None:
        # a row with successes and failures is a row of each label
        found = [x[y > 0][:, None], -x[y < trials][:, None]]
    else:
        for label in range(num_classes):
            for other in set(range(num_classes)) - {label}:
                of = np.zeros((int((y == label).sum()), num_classes, x.shape[1]))
                of[:, label], of[:, other] = x[y == label], -x[y == label]
                found.append(of[:, 1:])
    return np.unique(np.concatenate(found), axis=0)


def separates(rows: np.ndarray, terms: Sequence[int], has_intercept: bool, strictly: bool = False) -> bool:
    """Whether a direction along these terms and the intercept satisfies all inequalities and one of them strictly, or
    all of them strictly."""
    from scipy.optimize import linprog

    columns = [0] * has_intercept + [k + has_intercept for k in terms]
    sides = rows[:, :, columns].reshape(len(rows), -1)
    if not strictly:
        result: Any = linprog(-sides.sum(axis=0), -sides, np.zeros(len(sides)), bounds=(-1, 1), method="highs")
        return result.status == 0 and (sides @ result.x).max() > TOLERANCE
    # the smallest left side is made as large as it can be
    width = sides.shape[1]
    margin = np.column_stack([-sides, np.ones(len(sides))])
    bounds = [(-1, 1)] * width + [(None, 1)]
    result = linprog(np.eye(width + 1)[-1] * -1, margin, np.zeros(len(sides)), bounds=bounds, method="highs")
    return result.status == 0 and result.x[-1] > TOLERANCE


def fewest(rows: np.ndarray, num_terms: int, has_intercept: bool) -> list[int]:
    """Terms that separate and of which none can be spared: one term alone where one does."""
    for k in range(num_terms):
        if separates(rows, [k], has_intercept):
            return [k]
    kept = list(range(num_terms))
    for k in reversed(range(num_terms)):
        rest = [term for term in kept if term != k]
        if separates(rows, rest, has_intercept):
            kept = rest
    return kept
