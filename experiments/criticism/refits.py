"""Scores by fits that have not seen what they predict, for where weights cannot stand in for them.

    k_fold             log p(y[n] | rows outside of its fold)                        Geisser 1975
    without_bad        PSIS-LOO, but that rows whose k-hat is too large are left out for real
    leave_future_out   log p(y[t] | y[1..t-1]), t = L+1..N                           Bürkner, Gabry & Vehtari 2020

Rows are left out by a mask (`inference.kept`): scales and levels stay those of all rows. A row is whatever has a log
density of its own: a sequence, a school.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.criticism.scores import Loo, by_row, efficiency, good_k, spread
from inference import arviz_bridge, fit
from inference.posterior import Posterior
from inference.progress import Progress, silent
from inference.streams import stream, workspace
from models.base import Data, Sequential
from models.errors import InputError

if TYPE_CHECKING:
    from inference.kept import Units
    from inference.program import Program

FUTURE = "scores.future_from"
MOST_FITS = 10  # for the rows that leave-one-out refuses
CHUNK_VALUES = 4_000_000  # log densities held at once, 32 MB


class Refit(NamedTuple):
    """Rows scored by fits without them. method: `10-fold`, `leave-future-out`. pointwise: of the rows at the positions
    `rows`. num_fits: how many fits that took."""

    method: str
    elpd: float
    se: float
    pointwise: np.ndarray
    rows: np.ndarray
    num_fits: int


def k_fold(
    model: Any,
    data: Data,
    settings: Any,
    folds: int = 10,
    seed: int = 0,
    num_threads: int = 1,
    progress: Progress = silent,
) -> Refit:
    """Every row scored by the fit to the folds that do not hold it.

    settings: a backend or its name. Folds are random and of one size, up to a row. InputError where rows cannot be left
    out, or are fewer than folds.
    """
    units = units_in(folds, model, data, seed)
    rows = np.arange(units.total)
    pointwise = np.empty(units.total)
    for number, fold in enumerate(dealt(rows, folds, seed)):
        fold_seed = stream(seed, "fold", number)
        pointwise[fold] = scored_without(model, data, settings, units, fold, fold_seed, num_threads)
        progress(f"{folds}-fold", number + 1, folds, "")
    return Refit(f"{folds}-fold", float(pointwise.sum()), spread(pointwise), pointwise, rows, folds)


def units_in(folds: int, model: Any, data: Data, seed: int) -> Units:
    """The rows, of which there must be enough for so many folds."""
    units = units_of_rows(model, data, seed, "scores.k_fold")
    if not 2 <= folds <= units.total:
        rule = f"must be 2 to {units.total}, the number of rows, got {folds}"
        raise InputError("scores.k_fold", rule, "choose another number")
    return units


def without_bad(
    model: Any,
    data: Data,
    settings: Any,
    score: Loo,
    seed: int = 0,
    num_threads: int = 1,
    progress: Progress = silent,
) -> Loo:
    """The score with every row whose k-hat is too large scored by a fit without it.

    Where such rows are more than MOST_FITS they are dealt out to so many fits, each without all of its share, which
    makes the score of these rows that of a fit to a little less data. InputError where rows cannot be left out.
    """
    if not len(score.bad):
        return score
    units = units_of_rows(model, data, seed, "scores.k_fold")
    pointwise = score.pointwise.copy()
    parts = dealt(score.bad, min(MOST_FITS, len(score.bad)), seed)
    for number, rows in enumerate(parts):
        fold_seed = stream(seed, "bad rows", number)
        pointwise[rows] = scored_without(model, data, settings, units, rows, fold_seed, num_threads)
        progress("fits without rows that weights cannot leave out", number + 1, len(parts), "")
    elpd, lppd = float(pointwise.sum()), score.elpd + score.p
    refitted = np.union1d(score.refitted, score.bad)
    return score._replace(elpd=elpd, se=spread(pointwise), p=lppd - elpd, pointwise=pointwise, refitted=refitted)


def leave_future_out(
    model: Any,
    data: Data,
    settings: Any,
    first: int,
    seed: int = 0,
    num_threads: int = 1,
    progress: Progress = silent,
) -> Refit:
    """Every row after the `first` ones scored by those before it alone; rows are in time order.

    A fit to the rows so far is weighted by what comes after, by PSIS, and made again where k-hat is too large. Of a
    `Sequential` family's one sequence the rows are its times. InputError for several sequences, where there are no
    rows, for a `first` that leaves nothing to fit or to predict, and for a point estimate.
    """
    series = series_after(first, model, data, seed)
    pointwise, num_fits = np.empty(series.steps - first), 0
    later, share = np.empty(0), 1.0  # log p(rows after the fit | parameters) by draw
    for step in range(first, series.steps):
        weights = weighted(later, share) if num_fits else None
        if weights is None:
            posterior = fit(*series.until(step), settings, seed=stream(seed, "until", step), num_threads=num_threads)
            if all(np.ptp(draws, axis=(0, 1)).max(initial=0) == 0 for draws in posterior.draws.values()):
                raise InputError(FUTURE, "a point estimate has no draws to weigh", "use another guide, or `nuts`")
            densities, share, num_fits = series.densities(posterior), efficiency(posterior), num_fits + 1
            later = np.zeros(len(densities))
            weights = later - np.log(len(densities))
        pointwise[step - first] = np.logaddexp.reduce(weights + densities[:, step])
        later = later + densities[:, step]
        progress("the future left out", step - first + 1, len(pointwise), f"{num_fits} fits")
    rows = np.arange(first, series.steps)
    return Refit("leave-future-out", float(pointwise.sum()), spread(pointwise), pointwise, rows, num_fits)


def weighted(log_ratios: np.ndarray, share: float) -> np.ndarray | None:
    """Log weights of draws `(draws,)`, which sum to one; None where k-hat is too large."""
    weights, k = arviz_bridge.psis(log_ratios[None], share)
    return weights[0] if k[0] <= good_k(len(log_ratios)) else None


def series_after(first: int, model: Any, data: Data, seed: int) -> Series:
    """What comes one after the other, of which something must be left after `first`."""
    series = in_time(model, data, seed, FUTURE)
    if not 1 <= first < series.steps:
        rule = f"must be 1 to {series.steps - 1}, so that something is left to predict, got {first}"
        raise InputError(FUTURE, rule, "choose another number")
    return series


class Series(NamedTuple):
    """What is predicted one after the other. until: model and data of the first so many steps. densities: log p(y[t] |
    y before t, parameters) of a posterior's draws, `(draws, steps)`."""

    steps: int
    until: Callable[[int], tuple[Any, Data]]
    densities: Callable[[Posterior], np.ndarray]


def in_time(model: Any, data: Data, seed: int, where: str) -> Series:
    """The times of one sequence, or rows in their order."""
    from inference.kept import Kept
    from inference.predict import thin

    if isinstance(model, Sequential):
        sequences, steps = next(iter(data.observed.values())).shape[:2]
        if sequences > 1:
            rule = f"there are {sequences} sequences, which have no common time"
            raise InputError(where, rule, "leave whole sequences out: set `k_fold` instead")
        return Series(
            steps,
            lambda count: (model, model.until(data, count)),
            lambda posterior: model.one_step_ahead(thin(posterior.draws, steps), data)[:, 0],
        )
    units = units_of_rows(model, data, seed, where)
    if len(units.first) > 1:
        raise InputError(where, "the observed sites have different lengths, and so no common time", "leave it out")

    def densities(posterior: Posterior) -> np.ndarray:
        with program_of(model, data, seed) as program:
            return np.concatenate(list(tables(program, thin(posterior.draws, units.total))))

    rows = np.arange(units.total)
    return Series(units.total, lambda count: (Kept(model, units.masks(rows < count)), data), densities)


def units_of_rows(model: Any, data: Data, seed: int, where: str) -> Units:
    """The rows that can be left out; InputError where there are none."""
    from inference.kept import units_of

    with program_of(model, data, seed) as program:
        units = units_of(program)
    if units is None or units.total < 2:
        rule = "the observations depend on each other and count as one, so that none can be left out"
        raise InputError(where, rule, "leave it out; of one sequence set `future_from` instead")
    return units


def dealt(rows: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """The rows in so many parts, at random, of one size up to a row."""
    return np.array_split(np.random.default_rng(stream(seed, "folds")).permutation(rows), count)


def scored_without(
    model: Any, data: Data, settings: Any, units: Units, rows: np.ndarray, seed: int, num_threads: int
) -> np.ndarray:
    """Log predictive density of the rows by the fit to all others."""
    from inference.kept import Kept

    others = ~np.isin(np.arange(units.total), rows)
    kept: Any = Kept(model, units.masks(others))
    posterior = fit(kept, data, settings, seed=seed, num_threads=num_threads)
    total = np.full(len(rows), -np.inf)
    with program_of(model, data, seed, num_threads) as program:
        for table in tables(program, posterior.draws):
            total = np.logaddexp(total, np.logaddexp.reduce(table[:, rows], axis=0))
    return np.asarray(total - np.log(posterior.num_draws))


@contextmanager
def program_of(model: Any, data: Data, seed: int, num_threads: int = 1) -> Iterator[Program]:
    """The program of all rows, inside a workspace of its own."""
    from inference.program import faults_of, read

    with workspace(stream(seed, "prediction"), num_threads), faults_of(model):
        yield read(model, data)


def tables(program: Program, draws: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
    """Log likelihood of all rows, some draws after the others, `(some draws, rows)` each."""
    import torch

    from inference.predict import log_likelihood

    flat = {site.name: torch.as_tensor(draws[site.name].reshape(-1, *site.shape)) for site in program.latent}
    step = max(1, CHUNK_VALUES // sum(int(np.prod(site.shape)) for site in program.observed))
    for start in range(0, len(next(iter(flat.values()))), step):
        found = log_likelihood(program, {name: values[start : start + step] for name, values in flat.items()})
        yield by_row({name: values.numpy()[None] for name, values in found.items()})
