"""What criticism finds of one backend's fit. Results, reports and files read only this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.criticism.calibration import Bin, Brier, Interval, PrecisionRecall
from experiments.criticism.information import Uncertainty
from experiments.criticism.pit import Coverage, Uniformity
from experiments.criticism.recalibration import Recalibrated
from experiments.criticism.scores import Loo, Waic
from experiments.criticism.statistics import Finding

if TYPE_CHECKING:
    from experiments.criticism.refits import Refit

MOST_NAMED = 3  # rows whose parameters are least known


class Calibration(NamedTuple):
    """Of a binary outcome, each row predicted from rows that do not hold it.

    expected_ece: what chance gives a calibrated model. auc, average_precision, accuracy: discrimination, which
    calibration is not; the former two by pairs of rows that are both left out (`pairs`). base_rate: the share of ones,
    which is the average precision of predictions that know nothing.
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
    average_precision: float
    base_rate: float
    curve: PrecisionRecall


class OneClass(NamedTuple):
    """One class against the rest. table: reliability of its probability, empty where classes are many. auc,
    average_precision: NaN where no row, or every row, is of the class."""

    name: str
    rows: int
    auc: float
    average_precision: float
    table: tuple[Bin, ...]


class ClassCalibration(NamedTuple):
    """Of an outcome that is one of K classes, each row predicted from rows that do not hold it.

    predicted: `(rows, K)`. table, ece, expected_ece, mce: of the confidence, the probability of the class called, and
    whether that class came. brier: mean over rows of the sum over classes, halved for two classes, as a binary outcome
    has it. log_loss: of the class alone, in nats. auc, average_precision: one class against the rest, averaged over the
    classes, as of a binary outcome. confusion: by true class, how many rows are called each.
    """

    predicted: np.ndarray
    table: tuple[Bin, ...]
    ece: Interval
    expected_ece: float
    mce: float
    brier: float
    log_loss: float
    auc: float
    average_precision: float
    accuracy: Interval
    classes: tuple[OneClass, ...]
    confusion: tuple[tuple[int, ...], ...]


class Quantiles(NamedTuple):
    """Of a numeric outcome, each row predicted from rows that do not hold it: PIT values `(rows,)`, their distance from
    uniform, and how many outcomes the predictive intervals hold."""

    pit: np.ndarray
    uniformity: Uniformity
    coverage: tuple[Coverage, ...]


class HeldOutScores(NamedTuple):
    """Of rows that were kept from the fit. lpd: the sum of their log predictive densities, se its standard error.

    intervals: `perplexity`, `log loss`, `Brier score`, `AUC`, those that the outcome has, with 95% intervals of the
    central limit theorem over rows; a density has none of them.
    calibration: of outcomes 0 and 1, recalibration what a map of their probabilities would mend; classes: of outcomes
    of several classes; quantiles: of numeric ones.
    """

    rows: int
    lpd: float
    se: float
    intervals: Mapping[str, Interval] = {}
    calibration: Calibration | None = None
    classes: ClassCalibration | None = None
    quantiles: Quantiles | None = None
    recalibration: tuple[Recalibrated, ...] = ()


class Item(NamedTuple):
    """One item of the checklist; passed is None where it does not apply, and `message` says why."""

    name: str
    passed: bool | None
    message: str


class Criticism(NamedTuple):
    """Findings of the posterior predictive check and scores of one fit; None where there is no such number.

    told: section (`predictive`, `scores`, `calibration`, `uncertainty`) -> what it comes to, in a sentence or two.
    checklist: the six things to look at before a model is believed.
    refit: scores by fits to other rows. held_out: of rows that no fit has seen.
    uncertainty: of the class of each row left out, in nats. waic: where log likelihoods lie in memory.
    """

    findings: tuple[Finding, ...]
    loo: Loo | None
    calibration: Calibration | None
    quantiles: Quantiles | None
    told: Mapping[str, str]
    checklist: tuple[Item, ...] = ()
    refit: Refit | None = None
    held_out: HeldOutScores | None = None
    classes: ClassCalibration | None = None
    uncertainty: Uncertainty | None = None
    waic: Waic | None = None


def as_json(found: Criticism) -> dict[str, Any]:
    """A criticism as plain numbers and words, without what has a value for every row, for the run folder."""
    told: dict[str, Any] = {
        "told": dict(found.told),
        "statistics": [finding._asdict() for finding in found.findings],
        "checklist": [item._asdict() for item in found.checklist],
    }
    if found.loo is not None:
        told["loo"] = of_loo(found.loo)
    if found.refit is not None:
        told["refit"] = {**plain(found.refit), "rows": len(found.refit.rows)}
    for name in ("waic", "held_out", "calibration", "classes", "quantiles"):
        record = getattr(found, name)
        if record is not None:
            told[name] = plain(record)
    if found.uncertainty is not None:
        worst = most_unsure(found.uncertainty)
        told["uncertainty"] = {
            **{part: float(values.mean()) for part, values in found.uncertainty._asdict().items()},
            "largest_epistemic": [
                {"row": row + 1, "epistemic": float(found.uncertainty.epistemic[row])} for row in worst
            ],
        }
    return told


def of_loo(score: Loo) -> dict[str, Any]:
    return {
        "elpd": score.elpd,
        "se": score.se,
        "p": score.p,
        "rows": len(score.pointwise),
        "largest_k_hat": float(np.max(score.k)),
        "good_k_hat": score.good_k,
        "bad_rows": [int(row) + 1 for row in score.bad],
        "refitted_rows": [int(row) + 1 for row in score.refitted],
    }


def plain(value: Any) -> Any:
    """Records within records as mappings, what is an array or a record of arrays (one number for each row) left out."""
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    if not isinstance(value, tuple):
        return value
    if type(value) is tuple:
        return [plain(part) for part in value]
    parts = {name: part for name, part in value._asdict().items() if not by_row(part)}  # type: ignore[attr-defined]
    return {name: plain(part) for name, part in parts.items()}


def by_row(value: Any) -> bool:
    return isinstance(value, (np.ndarray, PrecisionRecall))


def most_unsure(uncertainty: Uncertainty) -> list[int]:
    """Positions of the rows whose epistemic part is largest, where it is well above that of the others."""
    epistemic = uncertainty.epistemic
    order = np.argsort(-epistemic, kind="stable")[:MOST_NAMED]
    return [int(row) for row in order if epistemic[row] > 1.5 * epistemic.mean()]
