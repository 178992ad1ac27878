"""What criticism finds of one backend's fit. Results, reports and files read only this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.criticism.calibration import Bin, Brier, Interval
from experiments.criticism.pit import Coverage, Uniformity
from experiments.criticism.scores import Loo
from experiments.criticism.statistics import Finding


class Calibration(NamedTuple):
    """Of a binary outcome, each row predicted from the others.

    expected_ece: what chance gives a calibrated model. auc, accuracy: discrimination, which calibration is not.
    """

    predicted: np.ndarray
    table: tuple[Bin, ...]
    ece: Interval
    expected_ece: float
    mce: float
    brier: Brier
    log_loss: float
    auc: float
    accuracy: Interval


class Quantiles(NamedTuple):
    """Of a numeric outcome, each row predicted from the others: PIT values `(rows,)`, their distance from uniform, and
    how many outcomes the predictive intervals hold."""

    pit: np.ndarray
    uniformity: Uniformity
    coverage: tuple[Coverage, ...]


class Item(NamedTuple):
    """One item of the checklist; passed is None where it does not apply, and `message` says why."""

    name: str
    passed: bool | None
    message: str


class Criticism(NamedTuple):
    """Findings of the posterior predictive check and scores of one fit; None where there is no such number.

    told: section (`predictive`, `scores`, `calibration`) -> what it comes to, in a sentence or two.
    checklist: the six things to look at before a model is believed.
    """

    findings: tuple[Finding, ...]
    loo: Loo | None
    calibration: Calibration | None
    quantiles: Quantiles | None
    told: Mapping[str, str]
    checklist: tuple[Item, ...] = ()


def as_json(found: Criticism) -> dict[str, Any]:
    """A criticism as plain numbers and words, without what has a value for every row, for the run folder."""
    told: dict[str, Any] = {
        "told": dict(found.told),
        "statistics": [finding._asdict() for finding in found.findings],
        "checklist": [item._asdict() for item in found.checklist],
    }
    if found.loo is not None:
        score = found.loo
        told["loo"] = {
            "elpd": score.elpd,
            "se": score.se,
            "p": score.p,
            "rows": len(score.pointwise),
            "largest_k_hat": float(np.max(score.k)),
            "good_k_hat": score.good_k,
            "bad_rows": [int(row) + 1 for row in score.bad],
        }
    if found.calibration is not None:
        own = found.calibration._asdict()
        own.pop("predicted")
        told["calibration"] = {
            **own,
            "table": [row._asdict() for row in found.calibration.table],
            **{name: own[name]._asdict() for name in ("ece", "brier", "accuracy")},
        }
    if found.quantiles is not None:
        told["quantiles"] = {
            "uniformity": found.quantiles.uniformity._asdict(),
            "coverage": [row._asdict() for row in found.quantiles.coverage],
        }
    return told
