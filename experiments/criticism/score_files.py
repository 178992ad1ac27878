"""Scores by row in the run folder, `scores-<backend>.csv`: a column for each way of leaving rows out.

row, leave-one-out, k-hat, 10-fold, ...: elpd of the row in nats, empty where it was not scored that way.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from experiments.criticism.comparison import Score
from experiments.criticism.record import Criticism
from experiments.criticism.scores import spread
from experiments.finished import AGAIN
from models.errors import InputError

LOO, K_HAT = "leave-one-out", "k-hat"


def write_scores(folder: Path, backend: str, found: Criticism) -> None:
    """The file of one backend; nothing where no row was left out."""
    columns: dict[str, np.ndarray] = {}
    if found.loo is not None:
        columns = {LOO: found.loo.pointwise, K_HAT: found.loo.k}
    if found.refit is not None:
        total = max([len(values) for values in columns.values()] or [int(found.refit.rows.max()) + 1])
        columns[found.refit.method] = np.full(total, np.nan)
        columns[found.refit.method][found.refit.rows] = found.refit.pointwise
    if not columns:
        return
    with (folder / f"scores-{backend}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row", *columns])
        for row, values in enumerate(zip(*columns.values(), strict=True), 1):
            writer.writerow([row, *("" if np.isnan(value) else float(value) for value in values)])


def read_scores(folder: Path, backend: str) -> list[Score]:
    """Every score of a backend, those by fits to other rows first; InputError where the files cannot be read."""
    path = folder / f"scores-{backend}.csv"
    try:
        told = json.loads((folder / "criticism.json").read_text(encoding="utf-8"))["fits"][backend]
        reason = told["told"]["scores"].rstrip(".")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(str(folder / "criticism.json"), "cannot be read", AGAIN) from error
    if not path.is_file():
        raise InputError(str(folder), reason, "compare runs whose rows are left out")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            heading, *rows = csv.reader(file)
        cells = zip(heading, zip(*rows, strict=True), strict=True)
        columns = {name: np.array([float(cell or "nan") for cell in column]) for name, column in cells}
        scores = []
        for name in [name for name in heading[1:] if name not in (LOO, K_HAT)]:
            values = columns[name][~np.isnan(columns[name])]
            scores.append(Score(name, float(values.sum()), spread(values), float("nan"), values))
        if LOO in columns:
            own, values = told["loo"], columns[LOO]
            scores.append(Score(LOO, float(values.sum()), spread(values), own["p"], values, len(own["bad_rows"])))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(str(path), "cannot be read", AGAIN) from error
    finite = [score for score in scores if np.isfinite(score.elpd)]
    if not finite:
        rule = "a row is impossible under the fit to the others, so that its score is minus infinity"
        raise InputError(str(path), rule, "widen the likelihood, or leave the row out of the data")
    return finite
