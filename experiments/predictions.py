"""Predictions for new rows, from a finished run: its config, its fitted rows, and one backend's draws.

The fitted rows are read again, since levels, scales and the columns of formulas come from them; they must be the very
rows that were fitted (SHA-256 in the manifest).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.config import Experiment, ProgramConfig, load_experiment
from experiments.datasets import load_table
from experiments.finished import choose, groups, manifest
from experiments.prepare import digest, located, read_table
from experiments.program_predictions import predict_program
from experiments.settings import DataConfig
from models.columns import Table, plain
from models.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

Draws = Mapping[str, np.ndarray]


class Predictions(NamedTuple):
    """columns: predictions `(rows,)` by name. rows: the rows that they are of. backend: whose draws they rest on."""

    columns: Mapping[str, np.ndarray]
    rows: Table
    backend: str

    def frame(self) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(dict(self.columns))


def predict(
    folder: str | Path, rows: str | Path | Table | Mapping[str, Any], backend: str | None = None, mass: float = 0.9
) -> Predictions:
    """What the run in `folder` says of new rows: a CSV or Parquet file, or columns by name (a data frame will do).

    backend: the most trusted of those that the run has, unless named. mass: what the intervals hold. InputError for a
    folder that holds no finished run, for fitted data that have changed since, and for rows that cannot be predicted.
    """
    folder = Path(folder)
    told = manifest(folder)["data"]
    experiment = load_experiment(folder / "config.yaml")
    chosen = choose(backend, list(experiment.inference))
    fitted = fitted_rows(experiment, told, str(folder))
    draws = groups(folder / f"posterior-{chosen}.nc")["posterior"]
    return of_experiment(experiment, draws, fitted, rows, chosen, mass)


def fitted_rows(experiment: Experiment, told: Mapping[str, Any], where: str) -> Table | None:
    """The rows that the run was fitted to; InputError where they are not any more what its manifest tells."""
    table = read_table(experiment)
    if digest(experiment) != told["sha256"]:
        rule = f"{told['source']} has changed since the run, and predictions need the rows that were fitted"
        raise InputError(where, rule, "run the experiment again, or put the old data back")
    return table


def of_experiment(
    experiment: Experiment, draws: Draws, fitted: Table | None, rows: Any, backend: str, mass: float
) -> Predictions:
    """Predictions by draws at hand."""
    if not 0 < mass < 1:
        raise InputError("mass", f"must be between 0 and 1, got {mass:g}", "use for instance 0.9")
    new = new_rows(rows)
    table = in_words_of_the_model(new, experiment.data.columns)
    if isinstance(experiment.model, ProgramConfig):
        return Predictions(predict_program(experiment, draws, fitted, table, mass), new, backend)
    assert fitted is not None
    with located(experiment.where):
        return Predictions(experiment.model.predict(draws, fitted, table, mass), new, backend)


def new_rows(rows: str | Path | Table | Mapping[str, Any]) -> Table:
    """New rows as a table, their columns under their own names."""
    if not isinstance(rows, (str, Path)):
        return rows if isinstance(rows, Table) else Table(rows, "the new rows")
    file = Path(rows)
    if not file.exists():
        near = did_you_mean(file.name, sorted(other.name for other in file.parent.glob("*.*")))
        remedy = near if near.startswith("did you mean") else "name a CSV or Parquet file"
        raise InputError(str(file), "there is no such file", remedy)
    return load_table(DataConfig(path=str(file)), Path(), lambda key: str(file))


def in_words_of_the_model(table: Table, named: Mapping[str, str]) -> Table:
    """The table with its columns also under the model's names (`data.columns`), those of them that are there; a column
    that has a model's name by chance is not taken for it."""
    own = {name: values for name, values in table.columns.items() if name not in named}
    mapped = {name: table.columns[theirs] for name, theirs in named.items() if theirs in table}
    names = {name: theirs for name, theirs in named.items() if name != theirs}
    return Table({**own, **mapped}, table.origin, names, table.num_rows)


def as_csv(found: Predictions, whole: bool) -> str:
    """The predictions as CSV, behind the number of the row, or (whole) behind all of the row's own columns."""
    own: dict[str, list[Any]] = {"row": list(range(1, found.rows.num_rows + 1))}
    if whole:
        own = {name: [plain(cell) for cell in values] for name, values in found.rows.columns.items()}
    told = {f"predicted {name}" if name in own else name: shortened(cells) for name, cells in found.columns.items()}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*own, *told])
    for cells in zip(*own.values(), *told.values(), strict=True):
        writer.writerow(["" if cell is None or cell != cell else cell for cell in cells])
    return text.getvalue()


def shortened(cells: np.ndarray) -> list[Any]:
    """Ten digits tell any prediction, and whole numbers are written whole."""
    values = [plain(cell) for cell in cells]
    return [plain(float(f"{value:.10g}")) if isinstance(value, float) else value for value in values]
