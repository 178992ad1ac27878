"""Finished runs side by side: `compare_runs(["runs/plain", "runs/inflated"])`, from what lies in their folders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.criticism.comparison import Compared, Score, compare, verdict
from experiments.criticism.score_files import read_scores
from experiments.finished import choose, groups, manifest
from experiments.words import listed, number
from models.errors import InputError


class SavedRun(NamedTuple):
    """A run's scores by one backend and method. observed: what it was fitted to. ess_per_second: of its slowest
    variable, None where draws are independent."""

    name: str
    backend: str
    scores: Mapping[str, Score]
    observed: Mapping[str, np.ndarray]
    seconds: float
    ess_per_second: float | None


class Comparison(NamedTuple):
    """rows: models by elpd, the best first. runs: the same by name. method: how rows were left out. verdict: what it
    comes to, in a sentence."""

    method: str
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
    method = method_of(runs)
    scores = {name: run.scores[method] for name, run in runs.items()}
    rows = compare(scores)
    return Comparison(method, tuple(rows), runs, verdict(rows, len(next(iter(scores.values())).pointwise)))


def method_of(runs: Mapping[str, SavedRun]) -> str:
    """How all runs left rows out: by fits to other rows where all have those, else by weights; InputError where they
    have no way in common."""
    first, *others = runs.values()
    for method in first.scores:
        if all(method in other.scores for other in others):
            return method
    told = listed([f"{run.name} has {listed(list(run.scores))}" for run in runs.values()])
    raise InputError(
        "comparison", f"the runs left rows out in different ways: {told}", "run both with the same `scores`"
    )


def saved(folder: Path, name: str, backend: str | None = None) -> SavedRun:
    """A run's scores, from its folder."""
    told = manifest(folder)
    chosen = choose(backend, list(told["backends"]), f"{folder}: backend")
    observed = groups(folder / f"posterior-{chosen}.nc").get("observed_data", {})
    scores = {score.method: score for score in read_scores(folder, chosen)}
    seconds = float(sum(told["backends"][chosen]["seconds"].values()))
    return SavedRun(name, chosen, scores, observed, seconds, speed(folder, chosen, seconds))


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
