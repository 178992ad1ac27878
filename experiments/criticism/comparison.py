"""Comparing models on the same rows by what each predicts of rows left out.

    difference  = sum over rows of elpd[n] - elpd of the best[n]       se = sqrt(N var(difference))
    weights     = argmax over the simplex of sum over rows of log(sum over models of w exp(elpd[n]))    stacking

Differences below 4 are small whatever their standard error says (Sivula, Magnusson & Vehtari 2025), and one within two
standard errors is no difference: such models are tied. (Vehtari, Gelman & Gabry 2017; Yao, Vehtari, Simpson & Gelman
2018.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.criticism.scores import spread
from experiments.words import counted, listed, number
from models.errors import InputError

SMALL, ERRORS = 4.0, 2.0


class Score(NamedTuple):
    """A run's score by one method. pointwise: of the rows scored. p: effective parameters, NaN but for leave-one-out.
    num_bad: rows whose k-hat is too large."""

    method: str
    elpd: float
    se: float
    p: float
    pointwise: np.ndarray
    num_bad: int = 0


class Compared(NamedTuple):
    """One model among others. difference, se_difference: to the best. weight: by stacking. num_bad: rows with a k-hat
    that is too large. tied: as good as the best, as far as these rows can tell."""

    name: str
    elpd: float
    se: float
    p: float
    difference: float
    se_difference: float
    weight: float
    num_bad: int
    tied: bool


def compare(models: Mapping[str, Score]) -> list[Compared]:
    """Models by elpd, the best first; InputError unless they are two or more on the same number of rows."""
    sizes = {name: len(model.pointwise) for name, model in models.items()}
    if len(models) < 2:
        raise InputError("comparison", f"needs two models or more, got {len(models)}", "name another run")
    if len(set(sizes.values())) > 1:
        told = listed([f"{name} {size:,}" for name, size in sizes.items()])
        raise InputError("comparison", f"needs the same rows, got {told}", "run both on the same data")
    if min(sizes.values()) < 2:
        raise InputError("comparison", "needs two rows or more, got 1", "compare on rows that can be left out")
    best = max(models, key=lambda name: models[name].elpd)
    weights = stacking(np.column_stack([model.pointwise for model in models.values()]))
    rows = []
    for (name, model), weight in zip(models.items(), weights, strict=True):
        gaps = model.pointwise - models[best].pointwise
        gap, error = float(gaps.sum()), spread(gaps)
        tied = abs(gap) < SMALL or abs(gap) <= ERRORS * error
        rows.append(
            Compared(
                name, model.elpd, model.se, model.p, gap, error, float(weight), model.num_bad, name != best and tied
            )
        )
    return sorted(rows, key=lambda row: -row.elpd)


def stacking(pointwise: np.ndarray) -> np.ndarray:
    """Weights of the mixture of models that predicts best, of elpd `(rows, models)`.

    The same problem as ArviZ's; each row is taken relative to its best model first, as exp(elpd) of a long sequence is
    0 in double precision.
    """
    from scipy.optimize import Bounds, LinearConstraint, minimize

    density = np.exp(pointwise - pointwise.max(axis=1, keepdims=True))
    count = density.shape[1]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = np.maximum(density @ weights, 1e-300)
        return float(-np.log(mixed).mean()), -(density / mixed[:, None]).mean(axis=0)

    found = minimize(
        loss,
        np.full(count, 1 / count),
        jac=True,
        method="SLSQP",
        bounds=Bounds(np.zeros(count), np.ones(count)),
        constraints=LinearConstraint(np.ones(count), 1.0, 1.0),
        options={"ftol": 1e-12, "maxiter": 500},
    )
    weights = np.clip(found.x, 0.0, 1.0)
    return np.asarray(weights / weights.sum())


def verdict(rows: Sequence[Compared], num_rows: int) -> str:
    """A sentence that names the best, or says that these rows cannot tell; and another where k-hat forbids either."""
    best, *others = rows
    tied = [row for row in others if row.tied]
    told = [f"{row.name} (elpd {number(row.difference, 3)}, se {number(row.se_difference, 2)})" for row in others]
    if len(tied) == len(others):
        names = listed([f"`{row.name}`" for row in rows])
        sentence = (
            f"{names} are tied: {counted(num_rows, 'row')} cannot tell which predicts better, "
            f"{listed(told)} against {best.name}."
        )
    elif tied:
        names = listed([f"`{row.name}`" for row in tied])
        sentence = (
            f"`{best.name}` predicts best, with {names} tied as far as {counted(num_rows, 'row')} can tell: "
            f"{listed(told)}."
        )
    else:
        sentence = f"`{best.name}` predicts better than the rest: {listed(told)}."
    bad = [f"{row.num_bad} in {row.name}" for row in rows if row.num_bad]
    if bad:
        sentence += f" Take this with care: rows with a k-hat that is too large, {listed(bad)}; score them by K-fold."
    return sentence
