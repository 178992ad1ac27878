"""Probabilities of classes, of 0 and 1 too: of every row from the others, and whether they hold.

    p(c | x[n], others)  =  E[p(c, x[n] | w)] / sum over classes of E[p(c, x[n] | w)],    w from the other rows

Draws of the posterior of all rows stand for those of the others by the weights of PSIS-LOO. What the features x[n] say
of w counts, too, where the model has a law for them: given x[n], a draw's weight is that of leaving the row out times
p(x[n] | w). A model of the class given the features has p(x[n] | w) = 1.

By the same weights the uncertainty of the class is split into chance and what is not known of w (`information`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.criticism import calibration as cal
from experiments.criticism.calibration import Ranking
from experiments.criticism.information import Uncertainty, predictive_uncertainty
from experiments.criticism.pairs import Pairs, draws_for, ranking
from experiments.criticism.record import Calibration, ClassCalibration, OneClass
from experiments.criticism.scores import Loo, loo
from models.base import Classifying, Data
from models.class_probabilities import log_sum

LogJoint = Callable[[slice, np.ndarray], np.ndarray]

MOST_VALUES = 2_000_000  # numbers in flight at once
MOST_CLASSES = 10  # that have a reliability table each
DIGITS = 12  # of a sum over draws: beyond, rows that are alike would have an order


class LeftOut(NamedTuple):
    """Probabilities of the classes of every row, `(rows, K)`: predicted from the other rows; fitted to all rows, for
    the bins of rows alone. uncertainty: of the prediction, `(rows,)`. pairs: what orders the rows; None where they are
    too many."""

    predicted: np.ndarray
    fitted: np.ndarray
    uncertainty: Uncertainty
    pairs: Pairs | None

    def ranking(self, outcome: np.ndarray, kind: int) -> Ranking:
        """Of one class against the rest."""
        if self.pairs is not None:
            return ranking(self.pairs, outcome, kind)
        return cal.ranking(self.fitted[:, kind].round(DIGITS), outcome == kind)


def class_names(model: Any, data: Data) -> tuple[str, ...]:
    """The classes that a model tells apart; empty where its outcome is none of several."""
    if not isinstance(model, Classifying) or "num_classes" not in data.inputs or "y" not in data.observed:
        return ()
    labels = data.coords.get("label", data.coords.get("class", ()))
    return tuple(map(str, labels)) or tuple(map(str, range(data.inputs["num_classes"])))


def left_out(
    chunks: Iterable[np.ndarray], rows: int, share: float, num_classes: int, log_joint: LogJoint
) -> tuple[Loo, LeftOut]:
    """LOO, and the class probabilities of the same rows by the same weights.

    chunks: log p(y[n], x[n] | w) of consecutive rows, `rows` in all, each `(draws, rows of the chunk)`.
    log_joint: of some rows, and what the chunk has of them, log p(c, x[n] | w) `(draws, rows, K)`, up to a number for
    each row.
    share: effective draws over draws.
    """
    predicted, fitted = np.empty((rows, num_classes)), np.empty((rows, num_classes))
    parts = Uncertainty(*np.empty((3, rows)))
    now: list[np.ndarray] = []
    some: list[Pairs] = []

    def watched() -> Iterator[np.ndarray]:
        for chunk in chunks:
            now[:] = [chunk]
            yield chunk

    def each(whole: slice, weights: np.ndarray) -> None:
        step = max(1, MOST_VALUES // (len(weights) * num_classes))
        for start in range(0, weights.shape[1], step):
            part = slice(start, min(start + step, weights.shape[1]))
            here = slice(whole.start + part.start, whole.start + part.stop)
            joint = log_joint(here, now[0][:, part])
            of_features = log_sum(joint, axis=2)
            with np.errstate(divide="ignore"):
                own = np.log(weights[:, part])
            # in logarithms, so that a class that is all but impossible keeps its probability
            predicted[here] = shares_of(log_sum(own[..., None] + joint, axis=0).T).T
            given = np.exp(joint - of_features[..., None])
            fitted[here] = given.mean(axis=0)
            shares = shares_of(own + of_features)
            split = predictive_uncertainty(given, shares)
            for values, found in zip(parts, split, strict=True):
                values[here] = found
            kept = draws_for(rows, len(weights), num_classes)
            if kept:
                few = slice(None, None, -(-len(weights) // kept))
                some.append(Pairs(weights[few, part].copy(), shares[few].copy(), given[few].copy()))

    score = loo(watched(), share, each)
    pairs = Pairs(*(np.concatenate(one, axis=1) for one in zip(*some, strict=True))) if some else None
    return score, LeftOut(predicted, fitted, parts, pairs)


def shares_of(logarithms: np.ndarray) -> np.ndarray:
    """Exponentials over their sum along the first axis."""
    return np.exp(logarithms - log_sum(logarithms, axis=0))


def of_outcome(outcome: np.ndarray) -> LogJoint:
    """`log_joint` of an outcome of 0 and 1 `(rows,)`, whose log probabilities are those of what happened."""

    def log_joint(rows: slice, log_likelihood: np.ndarray) -> np.ndarray:
        came = np.minimum(log_likelihood, 0.0)
        with np.errstate(divide="ignore"):
            other = np.log(-np.expm1(came))
        one = outcome[rows] == 1
        return np.stack([np.where(one, other, came), np.where(one, came, other)], axis=-1)

    return log_joint


def binary_calibration(
    predicted: np.ndarray,
    outcome: np.ndarray,
    binned: np.ndarray | None = None,
    order: Ranking | None = None,
    seed: int = 0,
) -> Calibration:
    """Of P(y = 1), `(rows,)`.

    binned: what says which bin a row is in, the predictions themselves by default. Of rows left out it is the fit to
    all of them: each row left out lowers the probability of its own kind a little, so that ones and zeros that are
    alike might lie in two bins. order: how well ones are told from zeros, by the predictions by default.
    """
    by = predicted if binned is None else binned
    order = order or cal.ranking(predicted, outcome)
    table = cal.reliability(predicted, outcome, by=by)
    return Calibration(
        predicted,
        tuple(table),
        cal.ece_interval(predicted, outcome, by=by, seed=seed),
        cal.ece_if_calibrated(table),
        cal.mce(table),
        cal.brier(predicted, outcome, by=by),
        cal.log_loss(predicted, outcome),
        order.auc,
        cal.accuracy((deciding(predicted, by) > 0.5) == (outcome == 1)),
        order.average_precision,
        float(np.mean(outcome)),
        order.curve,
    )


def class_calibration(
    predicted: np.ndarray,
    outcome: np.ndarray,
    names: Sequence[str],
    binned: np.ndarray | None = None,
    orders: Sequence[Ranking] | None = None,
    seed: int = 0,
) -> ClassCalibration:
    """Of class probabilities `(rows, K)` and codes `(rows,)`. binned `(rows, K)`, orders (one for each class): as for
    `binary_calibration`."""
    by = predicted if binned is None else binned
    codes = np.asarray(outcome, dtype=int)
    came = np.eye(len(names))[codes]
    orders = orders or [cal.ranking(predicted[:, c], came[:, c]) for c in range(len(names))]
    top, right = predicted.max(axis=1), (deciding(predicted, by).argmax(axis=1) == codes).astype(float)
    table = cal.reliability(top, right, by=by.max(axis=1))
    with np.errstate(divide="ignore"):
        surprise = -np.log(predicted[np.arange(len(codes)), codes])
    tables = [
        tuple(cal.reliability(predicted[:, c], came[:, c], by=by[:, c])) if len(names) <= MOST_CLASSES else ()
        for c in range(len(names))
    ]
    called = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(called, (codes, deciding(predicted, by).argmax(axis=1)), 1)
    return ClassCalibration(
        predicted,
        tuple(table),
        cal.ece_interval(top, right, by=by.max(axis=1), seed=seed),
        cal.ece_if_calibrated(table),
        cal.mce(table),
        float(((predicted - came) ** 2).sum(axis=1).mean() / (2 if len(names) == 2 else 1)),
        float(surprise.mean()),
        mean_of_known([order.auc for order in orders]),
        mean_of_known([order.average_precision for order in orders]),
        cal.accuracy(right),
        tuple(
            OneClass(name, int(came[:, c].sum()), orders[c].auc, orders[c].average_precision, tables[c])
            for c, name in enumerate(names)
        ),
        tuple(tuple(map(int, row)) for row in called),
    )


def deciding(predicted: np.ndarray, by: np.ndarray) -> np.ndarray:
    """The probabilities that say what a row is called: those of the fit to all rows where these are alike for all of
    them. Else half the rows of a fair coin, each less likely once it is left out, would all be called wrong."""
    return by if np.ptp(by, axis=0).max() == 0 else predicted


def mean_of_known(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
