"""Recalibration: a map of a model's probabilities, fitted on one part of the rows and scored on another.

temperature  sigmoid(logit(p) / T)          one number; the order of rows, and so the AUC, is kept
platt        sigmoid(a logit(p) + b)        Platt 1999, with his smoothed targets
isotonic     the best rising step function  Zadrozny & Elkan 2002, straight lines between the steps
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from experiments.criticism.calibration import auc, checked, ece, log_loss, reliability
from models.errors import InputError

Map = Callable[[np.ndarray], np.ndarray]

LEAST_ROWS = 20  # two halves of ten: fewer say nothing about a map
STEEPEST = 5.0  # |log T| at most: T between 1/148 and 148


class Recalibrated(NamedTuple):
    """Scores on the rows that the map has not seen, before and after."""

    method: str
    rows_fitted: int
    rows_scored: int
    log_loss: tuple[float, float]
    ece: tuple[float, float]
    auc: tuple[float, float]


def logits(predicted: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)), infinite at 0 and 1."""
    from scipy.special import logit

    return np.asarray(logit(predicted))


def temperature(predicted: Any, outcome: Any) -> float:
    """The T that minimises log loss, found over log T so that it cannot be negative; 1 leaves predictions alone."""
    from scipy.optimize import minimize_scalar

    p, y = checked(predicted, outcome)
    z = finite(logits(p))
    found = minimize_scalar(
        lambda log_t: softplus_loss(z * np.exp(-log_t), y),
        bounds=(-STEEPEST, STEEPEST),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return float(np.exp(found.x))


def softplus_loss(z: np.ndarray, y: np.ndarray) -> float:
    """Mean log loss of logits, without overflow."""
    return float(np.mean(np.logaddexp(0, z) - y * z))


def finite(z: np.ndarray) -> np.ndarray:
    """Logits of 0 and 1 as +-745, beyond which a double has no smaller probability."""
    return np.clip(z, -745.0, 745.0)


def scaled(predicted: Any, t: float) -> np.ndarray:
    """Predictions at temperature T."""
    from scipy.special import expit

    return np.asarray(expit(finite(logits(np.asarray(predicted, dtype=float))) / t))


def platt(predicted: Any, outcome: Any) -> tuple[float, float]:
    """Slope a and intercept b; targets are (n1 + 1) / (n1 + 2) for ones and 1 / (n0 + 2) for zeros."""
    from scipy.optimize import minimize
    from scipy.special import expit

    p, y = checked(predicted, outcome)
    z, ones = finite(logits(p)), y.sum()
    target = np.where(y == 1, (ones + 1) / (ones + 2), 1 / (len(y) - ones + 2))

    def loss(ab: np.ndarray) -> tuple[float, np.ndarray]:
        line = ab[0] * z + ab[1]
        gap = expit(line) - target
        return softplus_loss(line, target), np.array([(gap * z).mean(), gap.mean()])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS", options={"gtol": 1e-9})
    return float(found.x[0]), float(found.x[1])


def isotonic(predicted: Any, outcome: Any) -> Map:
    """The rising map of least squares; rows of one prediction count together."""
    from scipy.optimize import isotonic_regression

    p, y = checked(predicted, outcome)
    places, code, weights = np.unique(p, return_inverse=True, return_counts=True)
    levels = isotonic_regression(np.bincount(code, y) / weights, weights=weights).x
    return lambda new: np.interp(new, places, levels)


def isotonic_map(predicted: Any, outcome: Any) -> Map:
    """`isotonic` within [1 / (n + 2), (n + 1) / (n + 2)]: n rows prove nothing impossible, as its end steps would."""
    steps, least = isotonic(predicted, outcome), 1 / (np.size(outcome) + 2)
    return lambda new: np.clip(steps(new), least, 1 - least)


def temperature_map(predicted: Any, outcome: Any) -> Map:
    t = temperature(predicted, outcome)
    return lambda new: scaled(new, t)


def platt_map(predicted: Any, outcome: Any) -> Map:
    from scipy.special import expit

    a, b = platt(predicted, outcome)
    return lambda new: np.asarray(expit(a * finite(logits(new)) + b))


METHODS: dict[str, Callable[[Any, Any], Map]] = {
    "temperature": temperature_map,
    "platt": platt_map,
    "isotonic": isotonic_map,
}


def halves(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of two random halves of the rows."""
    order = np.random.default_rng(seed).permutation(rows)
    return order[: rows // 2], order[rows // 2 :]


def recalibrate(predicted: Any, outcome: Any, method: str, seed: int = 0) -> Recalibrated:
    """Fit `method` on a random half of the rows and score it on the other, so that it cannot praise itself.

    The predictions must come from a model that has not seen these rows either.
    """
    p, y = checked(predicted, outcome)
    if len(p) < 4:
        raise InputError("recalibration", f"needs 4 rows or more, two parts of them, got {len(p)}", "give more rows")
    fitted, scored = halves(len(p), seed)
    after = METHODS[method](p[fitted], y[fitted])(p[scored])
    pairs = [
        (score(p[scored], y[scored]), score(after, y[scored]))
        for score in (log_loss, lambda a, b: ece(reliability(a, b)), auc)
    ]
    return Recalibrated(method, len(fitted), len(scored), *pairs)


def recalibrations(predicted: Any, outcome: Any, seed: int = 0) -> tuple[Recalibrated, ...]:
    """Every method on the same two halves; none where rows are fewer than LEAST_ROWS or a half has one kind alone."""
    p, y = checked(predicted, outcome)
    if len(p) < LEAST_ROWS or any(len(np.unique(y[half])) < 2 for half in halves(len(p), seed)):
        return ()
    return tuple(recalibrate(p, y, method, seed) for method in METHODS)
