"""Finished runs side by side: `compare_runs(["runs/plain", "runs/inflated"])`, from what lies in their folders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.criticism.comparison import Compared, compare, verdict
from experiments.criticism.scores import Loo, by_row, efficiency, in_chunks, loo
from experiments.finished import choose, groups, manifest
from experiments.words import number
from inference.posterior import Posterior
from models.errors import InputError


class SavedRun(NamedTuple):
    """A run's scores by one backend. observed: what it was fitted to. ess_per_second: of its slowest variable, None
    where draws are independent."""

    name: str
    backend: str
    loo: Loo
    observed: Mapping[str, np.ndarray]
    seconds: float
    ess_per_second: float | None


class Comparison(NamedTuple):
    """rows: models by elpd, the best first. runs: the same by name. verdict: what it comes to, in a sentence."""

    rows: tuple[Compared, ...]
    runs: Mapping[str, SavedRun]
    verdict: str


def compare_runs(folders: Sequence[str | Path], backend: str | None = None) -> Comparison:
    """Compare runs on the same outcomes; InputError for folders without a finished run, and for different outcomes.

    backend: whose draws to use; the most trusted of each run by default. A folder may be named twice only with other
    runs: its name is its last part, or all of it where two are alike.
    """
    paths = [Path(folder) for folder in folders]
    if len(set(map(str, paths))) != len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise InputError(str(twice), "is named twice", "name every run once")
    plain = [path.name or str(path.resolve().name) for path in paths]
    names = [name if plain.count(name) == 1 else str(path) for name, path in zip(plain, paths, strict=True)]
    runs = {name: saved(path, name, backend) for name, path in zip(names, paths, strict=True)}
    refuse_other_rows(list(runs.values()))
    rows = compare({name: run.loo for name, run in runs.items()})
    return Comparison(tuple(rows), runs, verdict(rows, len(rows and next(iter(runs.values())).loo.pointwise)))


def saved(folder: Path, name: str, backend: str | None = None) -> SavedRun:
    """A run's scores, computed from the log likelihood in its folder."""
    told = manifest(folder)
    chosen = choose(backend, list(told["backends"]), f"{folder}: backend")
    found = groups(folder / f"posterior-{chosen}.nc")
    if "log_likelihood" not in found:
        raise InputError(str(folder), "has no log likelihood", "run it on data with an observed outcome")
    draws = {site: values for site, values in found["posterior"].items() if values.dtype.kind in "fiu"}
    dims = {site: tuple(f"{site}_{axis}" for axis in range(values.ndim - 2)) for site, values in draws.items()}
    posterior = Posterior(chosen, draws, dims, dependent="sample_stats" in found)
    seconds = float(sum(told["backends"][chosen]["seconds"].values()))
    score = loo(in_chunks(by_row(found["log_likelihood"])), efficiency(posterior))
    return SavedRun(name, chosen, score, found.get("observed_data", {}), seconds, speed(folder, chosen, seconds))


def speed(folder: Path, backend: str, seconds: float) -> float | None:
    """Effective draws a second of the variable that has fewest."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))[backend]
    sizes = [row["ess_bulk"] for row in summary.values() if row["ess_bulk"] is not None]
    return min(sizes) / seconds if sizes and seconds > 0 else None


def refuse_other_rows(runs: Sequence[SavedRun]) -> None:
    """InputError unless all runs observed the same numbers: a sum over other rows cannot be compared."""
    first = runs[0]
    for other in runs[1:]:
        same = first.observed.keys() == other.observed.keys() and all(
            np.array_equal(values, other.observed[site], equal_nan=values.dtype.kind == "f")
            for site, values in first.observed.items()
        )
        if not same:
            rule = f"{first.name} and {other.name} were fitted to different outcomes"
            raise InputError("comparison", rule, "compare models of the same rows")


def table(found: Comparison) -> list[list[str]]:
    """The comparison as rows of text, its heading first."""
    lines = [["run", "backend", "elpd", "se", "p", "difference", "se", "weight", "ESS/s", "seconds"]]
    for row in found.rows:
        run = found.runs[row.name]
        numbers = [number(value, 5) for value in (row.elpd,)] + [number(value, 3) for value in (row.se, row.p)]
        gaps = [number(value, 3) for value in (row.difference, row.se_difference, row.weight)]
        lines.append([row.name, run.backend, *numbers, *gaps, number(run.ess_per_second, 3), number(run.seconds, 3)])
    return lines
