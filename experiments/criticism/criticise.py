"""The criticism of one fit: does the model generate such data, how well does it predict, do its probabilities hold?

Predictions of a row come from all other rows, by the weights of PSIS-LOO: a model is not praised for the rows that it
was fitted to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from experiments.criticism.classes import (
    DIGITS,
    binary_calibration,
    class_calibration,
    class_names,
    left_out,
    of_outcome,
)
from experiments.criticism.pit import coverage, uniformity, weighted_pit
from experiments.criticism.pointwise import Pointwise, in_memory
from experiments.criticism.record import Criticism, Quantiles
from experiments.criticism.scores import Loo, efficiency, loo, waic
from experiments.criticism.statistics import SURPRISING, Statistic, findings, verdict
from experiments.criticism.told import calibration_told, classes_told, quantiles_told, scores_told, uncertainty_told
from experiments.words import counted
from inference.posterior import Posterior
from models.base import Data

LEAST_DRAWS, LEAST_ROWS = 100, 10


def criticise(
    posterior: Posterior,
    replicated: Mapping[str, np.ndarray],
    log_likelihood: Mapping[str, np.ndarray],
    data: Data,
    statistics: Mapping[str, Statistic],
    seed: int = 0,
    least: float = SURPRISING,
    model: Any = None,
    mend: Callable[[Loo], Loo] = lambda score: score,
    large: Pointwise | None = None,
    binary: bool | None = None,
) -> Criticism:
    """Everything about one fit.

    replicated, log_likelihood: by site, `(chain, draw, *shape)`, of the same draws, which may be fewer than the
    posterior's, evenly spaced. least: a test statistic whose p-value is below it is a misfit. model: what tells classes
    apart (`Classifying`). mend: scores rows that the weights cannot leave out. large: log likelihoods of all rows under
    enough draws, where `log_likelihood` has but a few. binary: whether the outcome is 0 or 1 by its distribution; by
    its values where that is not told.
    """
    found = findings(statistics, data, replicated, least)
    told = {"predictive": verdict(found)}
    reason = no_loo(posterior, log_likelihood, large is None)
    if reason:
        return Criticism(tuple(found), None, None, None, told | {"scores": reason})
    share, bare = efficiency(posterior), Criticism(tuple(found), None, None, None, told)
    names, site = class_names(model, data), only_site(data, log_likelihood, replicated)
    if binary is None:
        binary = site is not None and is_binary(data, site)
    copies = None if site is None or binary else replicated[site]
    rows = in_memory(posterior.draws, log_likelihood, copies) if large is None else large
    bare = bare._replace(waic=waic(rows.tables()) if large is None else None)
    if names and len(data.observed["y"]) >= LEAST_ROWS:
        own = {name: values for name, values in log_likelihood.items() if model.dims.get(name, ())[:1] == ("row",)}
        labelled = rows if len(own) == len(log_likelihood) else in_memory(posterior.draws, own)
        return of_classes(bare, rows, labelled, len(own), data, model, names, share, seed, mend)
    if site is None:
        score = mend(loo(rows.tables(), share))
        return bare._replace(loo=score, told=told | {"scores": scores_told(score)})
    if copies is not None:
        score, values = loo_with_pit(rows, share, data.observed[site], seed)
        score, quantiles = mend(score), Quantiles(values, uniformity(values), tuple(coverage(values)))
        told |= {"scores": scores_told(score), "calibration": quantiles_told(quantiles)}
        return bare._replace(loo=score, quantiles=quantiles, told=weighed(told, score))
    outcome = np.asarray(data.observed[site], dtype=float)
    score, others = left_out(rows.tables(), len(outcome), share, 2, of_outcome(outcome))
    score = mend(score)
    predicted = probability_of_one(score.pointwise, outcome)
    binned, order = others.fitted[:, 1].round(DIGITS), others.ranking(outcome, 1)
    calibration = binary_calibration(predicted, outcome, binned, order, seed)
    told |= {
        "scores": scores_told(score),
        "calibration": calibration_told(calibration),
        "uncertainty": uncertainty_told(others.uncertainty, 2, row_names(data, len(outcome))),
    }
    return bare._replace(loo=score, calibration=calibration, uncertainty=others.uncertainty, told=weighed(told, score))


def of_classes(
    bare: Criticism,
    rows: Pointwise,
    labelled: Pointwise,
    num_sites: int,
    data: Data,
    model: Any,
    names: tuple[str, ...],
    share: float,
    seed: int,
    mend: Callable[[Loo], Loo],
) -> Criticism:
    """Scores and calibration of an outcome of several classes. labelled: the rows that have one, in `num_sites` sites
    with their features."""
    outcome = np.asarray(data.observed["y"], dtype=int)

    def log_joint(some: slice, _: np.ndarray) -> np.ndarray:
        return np.asarray(model.class_log_joint(labelled.draws, data, some))

    score, others = left_out(labelled.tables(), len(outcome), share, len(names), log_joint)
    if labelled is not rows:
        score = loo(rows.tables(), share)
    score = mend(score)
    orders = [others.ranking(outcome, kind) for kind in range(len(names))]
    found = class_calibration(others.predicted, outcome, names, others.fitted.round(DIGITS), orders, seed)
    together = " This density is of the class and its features together." if num_sites > 1 else ""
    told = {
        "scores": scores_told(score) + together,
        "calibration": classes_told(found),
        "uncertainty": uncertainty_told(others.uncertainty, len(names), row_names(data, len(outcome))),
    }
    told = weighed({**bare.told, **told}, score)
    return bare._replace(loo=score, classes=found, uncertainty=others.uncertainty, told=told)


def weighed(told: dict[str, str], score: Loo) -> dict[str, str]:
    """What is told of calibration rests on weights alone, also for rows whose score comes from fits without them."""
    if not len(score.refitted):
        return told
    rows = counted(len(score.refitted), "row")
    return {**told, "calibration": f"{told['calibration']} (By weights, though they do not hold for {rows}.)"}


def row_names(data: Data, count: int) -> list[str]:
    """Rows by their number in the data, from 1; rows without a label are among those numbers."""
    hidden = set(map(int, data.coords.get("unlabelled", ())))
    return [str(row) for row in range(1, count + len(hidden) + 1) if row not in hidden]


def no_loo(posterior: Posterior, log_likelihood: Mapping[str, np.ndarray], in_memory: bool) -> str:
    """Why rows cannot be left out, as a sentence; empty where they can. in_memory: whether these are all the log
    likelihoods that there are."""
    if not log_likelihood:
        return "Nothing is observed, so there is nothing to predict."
    shapes = [values.shape for values in log_likelihood.values()]
    if not all(np.isfinite(values).all() for values in log_likelihood.values()):
        return "A row has no finite log likelihood under some draws: no score would mean anything."
    if all(np.ptp(draws, axis=(0, 1)).max(initial=0) == 0 for draws in posterior.draws.values()):
        return "A point estimate has no draws to weigh: rows cannot be left out."
    kept = shapes[0][0] * shapes[0][1] if in_memory else posterior.num_draws
    if kept < LEAST_DRAWS:
        fit = "" if kept == posterior.num_draws else " that fit in memory"
        return f"Leaving rows out needs {LEAST_DRAWS} draws or more; there are {kept}{fit}."
    if sum(shape[2] if len(shape) > 2 else 1 for shape in shapes) < 2:
        return (
            "The rows depend on each other and count as one observation: none can be left out. With "
            "`scores: {future_from: N}` every row after the first N is predicted from those before it."
        )
    return ""


def only_site(data: Data, log_likelihood: Mapping[str, np.ndarray], replicated: Mapping[str, np.ndarray]) -> str | None:
    """The one observed site with one number for each row, None where there are others, or other shapes."""
    if len(log_likelihood) != 1:
        return None
    (site,) = log_likelihood
    if site not in replicated or site not in data.observed or np.ndim(data.observed[site]) != 1:
        return None
    same = replicated[site].shape[2:] == log_likelihood[site].shape[2:]
    return site if same and len(data.observed[site]) >= LEAST_ROWS and not data.coords.get("class") else None


def is_binary(data: Data, site: str) -> bool:
    return "trials" not in data.inputs and set(np.unique(data.observed[site])) <= {0.0, 1.0}


def loo_with_pit(rows: Pointwise, share: float, observed: np.ndarray, seed: int) -> tuple[Loo, np.ndarray]:
    """LOO, and the PIT value of every row by the same weights."""
    u, values = np.random.default_rng(seed).uniform(size=len(observed)), np.empty(len(observed))
    now: list[np.ndarray] = []

    def tables() -> Iterator[np.ndarray]:
        for chunk in rows.chunks():
            assert chunk.replicated is not None
            now[:] = [chunk.replicated]
            yield chunk.log_likelihood

    def each(part: slice, weights: np.ndarray) -> None:
        values[part] = weighted_pit(observed[part], now[0], weights, u[part])

    return loo(tables(), share, each), values


def probability_of_one(log_probability: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """P(y = 1) of every row from the log probability of what happened, to the digits that a sum of draws has."""
    chance = np.clip(np.exp(log_probability), 0.0, 1.0)
    return np.asarray(np.where(outcome == 1, chance, 1 - chance).round(DIGITS))
