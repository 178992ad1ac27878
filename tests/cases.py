"""What several test files share: small tables, stored references, and Monte Carlo errors of means and spreads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from inference import fit
from inference.arviz_bridge import diagnostics
from inference.posterior import Posterior
from inference.program import Program, read
from models import BetaBernoulli, Data, Prior, Table

DATA = Path(__file__).parent / "data"


def table(**columns: Any) -> Table:
    """Columns as a file would give them; text becomes an object column."""
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    return Table({name: a.astype(object) if a.dtype.kind == "U" else a for name, a in arrays.items()}, "rows.csv", {})


def flips(ones: int, zeros: int) -> Table:
    return table(outcome=[1] * ones + [0] * zeros)


def coin(prior: str | Prior, rows: Table) -> Posterior:
    """The exact posterior of a rate."""
    model = BetaBernoulli(prior=prior)  # type: ignore[arg-type]  # a literal is read as a prior
    return fit(model, model.data(rows), "exact")


def reference(name: str) -> dict[str, Any]:
    """A stored reference posterior, `{"summary": {parameter: {"mean", "sd", "mcse_mean", ...}}, ...}`."""
    return json.loads((DATA / f"{name}.reference.json").read_text())


def observations(name: str) -> dict[str, Any]:
    return json.loads((DATA / f"{name}.data.json").read_text())


def program_of(model: Any, data: Data) -> Program:
    """A program with its data; call inside one workspace."""
    return read(model, data)


def monte_carlo(draws: np.ndarray, dependent: bool) -> dict[str, np.ndarray]:
    """Mean and sd of draws `(chain, draw, *shape)`, each with its Monte Carlo standard error, elementwise.

    The error of the sd is that of the mean square deviation over 2 sd (delta method), so it knows the tails' weight.
    """
    mean, sd = draws.mean(axis=(0, 1)), draws.std(axis=(0, 1), ddof=1)
    squares = (draws - mean) ** 2
    if dependent:
        mean_error, square_error = diagnostics(draws)["mcse_mean"], diagnostics(squares)["mcse_mean"]
    else:
        count = draws.shape[0] * draws.shape[1]
        mean_error, square_error = sd / count**0.5, squares.std(axis=(0, 1), ddof=1) / count**0.5
    return {"mean": mean, "mean_error": mean_error, "sd": sd, "sd_error": square_error / (2 * sd)}


def off_by(found: Mapping[str, np.ndarray], mean: Any, sd: Any, mcse: Any = 0.0) -> dict[str, float]:
    """The largest gaps of mean and sd from a reference, in combined standard errors.

    mcse: the standard error of the reference's mean; its sd has one of about mcse / sqrt(2), as for a normal.
    """
    mcse = np.asarray(mcse, dtype=float)
    gaps = {
        "mean": np.abs(found["mean"] - np.asarray(mean)) / np.hypot(found["mean_error"], mcse),
        "sd": np.abs(found["sd"] - np.asarray(sd)) / np.hypot(found["sd_error"], mcse / 2**0.5),
    }
    return {name: float(np.max(gap)) for name, gap in gaps.items()}
