"""Scores of rows that were kept from the fit: the plainest proof of a model, and the dearest, as it costs rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.criticism.calibration import Interval, auc_interval, of_mean
from experiments.criticism.classes import binary_calibration, class_calibration
from experiments.criticism.pit import coverage, uniformity
from experiments.criticism.recalibration import recalibrations
from experiments.criticism.record import HeldOutScores, Quantiles
from experiments.criticism.scores import spread
from experiments.criticism.told import calibration_told, classes_told, quantiles_told, recalibration_told, typical
from experiments.words import counted, number


def score_held_out(
    pointwise: np.ndarray,
    probabilities: np.ndarray | None,
    outcome: np.ndarray | None,
    pit: np.ndarray | None,
    seed: int = 0,
    classes: Sequence[str] | None = None,
) -> HeldOutScores:
    """Everything about held-out rows.

    pointwise: log predictive density of each `(rows,)`, the log of its mean over draws.
    probabilities, outcome: where the outcome is a class, `(rows, K)` and codes from 0 `(rows,)`; K = 2 for 0 and 1.
    pit: where it is a number, PIT values `(rows,)`.
    classes: the K names; two classes without names are 0 and 1.
    """
    scores = HeldOutScores(len(pointwise), float(pointwise.sum()), spread(pointwise))
    if pit is not None:
        scores = scores._replace(quantiles=Quantiles(pit, uniformity(pit), tuple(coverage(pit))))
    if probabilities is None or outcome is None:
        return scores
    scores = scores._replace(intervals=intervals(probabilities, np.asarray(outcome, dtype=int)))
    if probabilities.shape[1] == 2 and classes is None:
        one = probabilities[:, 1]
        found = binary_calibration(one, np.asarray(outcome, dtype=float), seed=seed)
        return scores._replace(calibration=found, recalibration=recalibrations(one, outcome, seed))
    names = classes if classes is not None else [str(c) for c in range(probabilities.shape[1])]
    found_classes = class_calibration(probabilities, outcome, names, seed=seed)
    if len(names) == 2:
        return scores._replace(classes=found_classes, recalibration=recalibrations(probabilities[:, 1], outcome, seed))
    return scores._replace(classes=found_classes)


def intervals(probabilities: np.ndarray, outcome: np.ndarray) -> dict[str, Interval]:
    """Scores of class probabilities `(rows, K)` and codes `(rows,)` that are means over rows, or over pairs of them."""
    rows = np.arange(len(outcome))
    with np.errstate(divide="ignore", invalid="ignore"):
        loss = of_mean(-np.log(probabilities[rows, outcome]))
    gaps = ((probabilities - np.eye(probabilities.shape[1])[outcome]) ** 2).sum(axis=1)
    found = {
        "perplexity": Interval(*np.exp(loss).tolist()),
        "log loss": loss,
        "Brier score": of_mean(gaps / (2 if probabilities.shape[1] == 2 else 1)),
    }
    if probabilities.shape[1] == 2:
        found["AUC"] = auc_interval(probabilities[:, 1], outcome)
    return found


def told(found: HeldOutScores) -> str:
    """What the scores come to, in a few sentences."""
    sentence = (
        f"Of {counted(found.rows, 'row')} that no fit has seen, the log predictive density is {number(found.lpd, 5)}"
        + (f" (se {number(found.se, 3)}): {typical(found.lpd, found.rows)}." if found.rows > 1 else ".")
    )
    if found.calibration is not None:
        sentence += " " + calibration_told(found.calibration)
    if found.classes is not None:
        sentence += " " + classes_told(found.classes)
    if found.quantiles is not None:
        sentence += " " + quantiles_told(found.quantiles)
    return sentence + (" " + recalibration_told(found.recalibration) if found.recalibration else "")
