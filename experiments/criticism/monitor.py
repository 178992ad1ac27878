"""Monitoring: whether new rows are still like those that a finished run was fitted to.

Columns, outcome, predictions and their confidence are compared (`experiments.criticism.drift`); where the new rows have
outcomes, so is the loss of the predictions. Columns that predictions do without are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.config import ProgramConfig, load_experiment
from experiments.criticism.calibration import checked, ece, ece_if_calibrated, reliability
from experiments.criticism.drift import Drift, confidence_drift, label_drift, numeric_drift, zeros_for_missing
from experiments.finished import choose, groups, manifest
from experiments.predictions import (
    fitted_rows,
    in_words_of_the_model,
    new_rows,
    of_experiment,
)
from experiments.words import number
from models.columns import Table, as_numbers, is_missing
from models.errors import InputError

TRIED = 20  # rows with which it is found out what predictions need
LOSS_ERRORS, LOSS_GAIN = 3.0, 0.05


class Loss(NamedTuple):
    """Log loss of binary outcomes on the fitted and on the new rows, and the calibration error of the new ones."""

    fitted: float
    new: float
    ece: float
    expected_ece: float
    breach: bool
    message: str


class Monitored(NamedTuple):
    """covariates, outcomes, predictions: drift by column. suspicions: sentences about zeros. loss: None without
    outcomes, or where they are not binary."""

    covariates: tuple[Drift, ...]
    outcomes: tuple[Drift, ...]
    predictions: tuple[Drift, ...]
    suspicions: tuple[str, ...]
    loss: Loss | None

    @property
    def drifts(self) -> tuple[Drift, ...]:
        return (*self.covariates, *self.outcomes, *self.predictions)

    @property
    def breached(self) -> bool:
        lost = self.loss is not None and self.loss.breach
        return lost or bool(self.suspicions) or any(drift.level == "breach" for drift in self.drifts)

    @property
    def verdict(self) -> str:
        far = [f"`{drift.column}`" for drift in self.drifts if drift.level == "breach"]
        reasons = [f"{', '.join(far)} moved far"] if far else []
        reasons += ["zeros may stand for missing values"] if self.suspicions else []
        reasons += ["predictions lose more than on the fitted rows"] if self.loss and self.loss.breach else []
        if reasons:
            return "Do not trust predictions for these rows: " + "; ".join(reasons)
        return f"The new rows are like the fitted ones in {len(self.drifts)} comparisons"


def monitor(folder: str | Path, rows: str | Path | Table | Mapping[str, Any], backend: str | None = None) -> Monitored:
    """Compare new rows, a file or columns by name, with the fitted ones of the run in `folder`.

    InputError for a folder without a finished run, fitted data that have changed, and a program of one's own, which
    does not say what it predicts.
    """
    folder = Path(folder)
    told = manifest(folder)["data"]
    experiment = load_experiment(folder / "config.yaml")
    chosen = choose(backend, list(experiment.inference))
    fitted = fitted_rows(experiment, told, str(folder))
    draws = groups(folder / f"posterior-{chosen}.nc")["posterior"]

    def predict(table: Any) -> Mapping[str, np.ndarray]:
        return of_experiment(experiment, draws, fitted, table, chosen, 0.9).columns

    new = new_rows(rows)
    after = predict(new)
    assert fitted is not None and not isinstance(experiment.model, ProgramConfig)  # or `predict` had refused
    before = predict(fitted)
    known = in_words_of_the_model(new, experiment.data.columns)
    shared = [name for name in fitted.columns if name in known.columns and name not in fitted.names.values()]
    used = [name for name in shared if needed(name, fitted, predict)]
    outcome = [name for name in shared if name not in used and is_outcome(experiment.model, fitted, name)]
    covariates = [of_column(name, fitted.columns[name], known.columns[name]) for name in used]
    zeros = [
        zeros_for_missing(name, as_numbers(fitted.columns[name]), as_numbers(known.columns[name]))
        for name in used
        if is_number(fitted.columns[name]) and is_number(known.columns[name])
    ]
    return Monitored(
        tuple(covariates),
        tuple(of_column(name, fitted.columns[name], known.columns[name]) for name in outcome),
        tuple(of_predictions(before, after)),
        tuple(told for told in zeros if told is not None),
        of_loss(experiment.model, fitted, known, before, after) if outcome else None,
    )


def needed(name: str, table: Table, predict: Callable[[Table], Mapping[str, np.ndarray]]) -> bool:
    """Whether predictions are others, or none, without the column; tried on rows from all over the table."""
    rows = np.unique(np.linspace(0, table.num_rows - 1, TRIED).round().astype(int))
    few = {column: values[rows] for column, values in table.columns.items()}
    gone = {name, table.names.get(name, name)}
    whole = predict(Table(few, table.origin, table.names))
    try:
        rest = {column: values for column, values in few.items() if column not in gone}
        without = predict(Table(rest, table.origin, rows=len(rows)))
    except InputError:
        return True
    return any(column not in without or not same(values, without[column]) for column, values in whole.items())


def same(first: np.ndarray, second: np.ndarray) -> bool:
    if first.dtype.kind in "fiu" and second.dtype.kind in "fiu":
        return bool(np.allclose(first, second, equal_nan=True))
    return bool(np.array_equal(first, second))


def is_outcome(model: Any, table: Table, name: str) -> bool:
    """Whether the table is no data for the model without the column, or other data."""
    rest = Table({column: values for column, values in table.columns.items() if column != name}, table.origin)
    try:
        whole, without = model.data(table).observed, model.data(rest).observed
    except InputError:
        return True
    return any(site not in without or not np.array_equal(whole[site], without[site]) for site in whole)


def is_number(column: np.ndarray) -> bool:
    there = column[~is_missing(column)]
    return bool(len(there)) and bool(np.isfinite(as_numbers(there)).all())


def of_column(name: str, old: np.ndarray, new: np.ndarray) -> Drift:
    """Drift of a column, empty cells left out: numbers of more than two values as numbers, all else as labels."""
    a, b = old[~is_missing(old)], new[~is_missing(new)]
    if not len(a) or not len(b):
        words = "is empty on one side"
        return Drift(name, "empty", 1.0, 0.0, np.inf, 1.0, "breach", f"`{name}` {words}")
    if is_number(a) and is_number(b) and len(np.unique(as_numbers(a))) > 2:
        return numeric_drift(name, as_numbers(a), as_numbers(b))
    return label_drift(name, [str(value) for value in a], [str(value) for value in b])


def of_predictions(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> list[Drift]:
    """Drift of means and probabilities, not of intervals' ends; of the confidence where there are probabilities."""
    chosen = [
        name
        for name, values in before.items()
        if values.dtype.kind == "f" and (name == "mean" or (name.startswith("P(") and name.endswith(")")))
    ]
    found = [numeric_drift(name, before[name], after[name]) for name in chosen if name in after]
    chances = [name for name in chosen if name.startswith("P(") and name in after]
    if chances:
        found.append(confidence_drift(*(confidence([side[name] for name in chances]) for side in (before, after))))
    return found


def confidence(chances: list[np.ndarray]) -> np.ndarray:
    """The highest probability of every row; of a single column, of what it is about or of the contrary."""
    return np.maximum(chances[0], 1 - chances[0]) if len(chances) == 1 else np.max(chances, axis=0)


def of_loss(
    model: Any, fitted: Table, new: Table, before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]
) -> Loss | None:
    """Log loss before and after, of one probability and a 0/1 outcome."""
    chances = [name for name in before if name.startswith("P(") and name.endswith(")")]
    # in one table, so that a few new rows may have one label, or one value of a predictor
    shared = [name for name in fitted.columns if name in new.columns]
    both = {name: np.concatenate([fitted.columns[name], new.columns[name]]) for name in shared}
    y = model.data(Table(both, new.origin, new.names)).observed.get("y")
    if len(chances) != 1 or y is None or y.shape != (fitted.num_rows + new.num_rows,) or not set(y) <= {0.0, 1.0}:
        return None
    outcomes = y[: fitted.num_rows], y[fitted.num_rows :]
    losses = [losses_of(side[chances[0]], y) for side, y in zip((before, after), outcomes, strict=True)]
    old, now = (float(values.mean()) for values in losses)
    error = float(np.sqrt(sum(values.var() / len(values) for values in losses)))
    table = reliability(*checked(after[chances[0]], outcomes[1]))
    breach = now - old > max(LOSS_ERRORS * error, LOSS_GAIN * old)
    words = f"log loss is {number(now, 3)} on the new rows and {number(old, 3)} on the fitted ones; "
    words += f"ECE {number(ece(table), 2)}, of which chance explains {number(ece_if_calibrated(table), 2)}"
    return Loss(old, now, ece(table), ece_if_calibrated(table), breach, words)


def losses_of(predicted: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    p, y = checked(predicted, outcome)
    return -np.log(np.maximum(np.where(y == 1, p, 1 - p), 1e-300))
