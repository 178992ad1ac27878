"""The criticism of one fit: does the model generate such data, how well does it predict, do its probabilities hold?

Predictions of a row come from all other rows, by the weights of PSIS-LOO: a model is not praised for the rows that it
was fitted to.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from experiments.criticism import calibration as cal
from experiments.criticism.pit import coverage, uniformity, weighted_pit
from experiments.criticism.record import Calibration, Criticism, Quantiles
from experiments.criticism.scores import Loo, by_row, efficiency, in_chunks, log_mean_exp, loo
from experiments.criticism.statistics import Statistic, findings, verdict
from experiments.words import counted, number
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
) -> Criticism:
    """Everything about one fit. replicated, log_likelihood: by site, `(chain, draw, *shape)`, of the same draws."""
    found = findings(statistics, data, replicated)
    told = {"predictive": verdict(found)}
    reason = no_loo(posterior, log_likelihood)
    if reason:
        return Criticism(tuple(found), None, None, None, told | {"scores": reason})
    table = by_row(log_likelihood)
    site = only_site(data, log_likelihood, replicated)
    quantiles = None
    if site is None or is_binary(data, site):
        score = loo(in_chunks(table), efficiency(posterior))
    else:
        score, values = loo_with_pit(table, efficiency(posterior), data.observed[site], replicated[site], seed)
        quantiles = Quantiles(values, uniformity(values), tuple(coverage(values)))
    told |= {"scores": scores_told(score)}
    calibration = None
    if site is not None and is_binary(data, site):
        calibration = calibrated(score, log_mean_exp(table), np.asarray(data.observed[site], dtype=float), seed)
        told["calibration"] = calibration_told(calibration)
    elif quantiles is not None:
        told["calibration"] = quantiles_told(quantiles)
    return Criticism(tuple(found), score, calibration, quantiles, told)


def no_loo(posterior: Posterior, log_likelihood: Mapping[str, np.ndarray]) -> str:
    """Why rows cannot be left out, as a sentence; empty where they can."""
    if not log_likelihood:
        return "Nothing is observed, so there is nothing to predict."
    shapes = [values.shape for values in log_likelihood.values()]
    if not all(np.isfinite(values).all() for values in log_likelihood.values()):
        return "A row has no finite log likelihood under some draws: no score would mean anything."
    if all(np.ptp(draws, axis=(0, 1)).max(initial=0) == 0 for draws in posterior.draws.values()):
        return "A point estimate has no draws to weigh: rows cannot be left out."
    if shapes[0][0] * shapes[0][1] < LEAST_DRAWS:
        kept = counted(shapes[0][0] * shapes[0][1], "draw")
        return f"Leaving rows out needs {LEAST_DRAWS} draws or more of their log likelihood; {kept} fit in memory."
    if sum(shape[2] if len(shape) > 2 else 1 for shape in shapes) < 2:
        return "The rows depend on each other and count as one observation: none can be left out."
    return ""


def only_site(data: Data, log_likelihood: Mapping[str, np.ndarray], replicated: Mapping[str, np.ndarray]) -> str | None:
    """The one observed site with one number for each row, None where there are others, or other shapes."""
    if len(log_likelihood) != 1:
        return None
    (site,) = log_likelihood
    if site not in replicated or site not in data.observed or np.ndim(data.observed[site]) != 1:
        return None
    same = replicated[site].shape == log_likelihood[site].shape
    return site if same and len(data.observed[site]) >= LEAST_ROWS and not data.coords.get("class") else None


def is_binary(data: Data, site: str) -> bool:
    return "trials" not in data.inputs and set(np.unique(data.observed[site])) <= {0.0, 1.0}


def loo_with_pit(
    table: np.ndarray, share: float, observed: np.ndarray, replicated: np.ndarray, seed: int
) -> tuple[Loo, np.ndarray]:
    """LOO, and the PIT value of every row by the same weights."""
    copies = replicated.reshape(-1, replicated.shape[2])
    u, values = np.random.default_rng(seed).uniform(size=len(observed)), np.empty(len(observed))

    def each(rows: slice, weights: np.ndarray) -> None:
        values[rows] = weighted_pit(observed[rows], copies[:, rows], weights, u[rows])

    return loo(in_chunks(table), share, each), values


def calibrated(score: Loo, fitted: np.ndarray, outcome: np.ndarray, seed: int) -> Calibration:
    """Of P(y = 1 | other rows), which LOO has told for what happened: exp(elpd) of a one, 1 - exp(elpd) of a zero.

    fitted: log p(y | all rows) `(rows,)`, for the order of rows alone. Each row left out lowers the probability of its
    own kind a little, which turns the order of rows that are otherwise alike around: one rate for all would have an AUC
    of 0, and its ones and zeros might lie in two bins.
    """
    predicted, ranked = probability_of_one(score.pointwise, outcome), probability_of_one(fitted, outcome)
    table = cal.reliability(predicted, outcome, by=ranked)
    return Calibration(
        predicted,
        tuple(table),
        cal.ece_interval(predicted, outcome, by=ranked, seed=seed),
        cal.ece_if_calibrated(table),
        cal.mce(table),
        cal.brier(predicted, outcome),
        cal.log_loss(predicted, outcome),
        cal.auc(ranked, outcome),
        cal.accuracy((predicted > 0.5) == (outcome == 1)),
    )


def probability_of_one(log_probability: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """P(y = 1) of every row from the log probability of what happened, to the digits that a sum of draws has."""
    chance = np.clip(np.exp(log_probability), 0.0, 1.0)
    return np.asarray(np.where(outcome == 1, chance, 1 - chance).round(12))


# --- in words


def scores_told(score: Loo) -> str:
    rows = len(score.pointwise)
    sentence = (
        f"Leaving out each of {counted(rows, 'row')} in turn, the expected log predictive density is "
        f"{number(score.elpd, 5)} (se {number(score.se, 3)}), with {number(score.p, 3)} effective parameters: "
        f"a typical row has {'density' if score.elpd > 0 else 'probability'} {number(np.exp(score.elpd / rows), 3)}."
    )
    if not len(score.bad):
        return sentence + f" The weights hold for every row (k-hat at most {number(float(score.k.max()), 2)})."
    share = counted(len(score.bad), "row")
    return sentence + (
        f" For {share} they do not (k-hat above {number(score.good_k, 2)}): the posterior leans on each of them, "
        "and the sum is too favourable; fit without them, or use K-fold."
    )


def calibration_told(found: Calibration) -> str:
    outside = [row for row in found.table if row.rows and not row.lower <= row.observed <= row.upper]
    used = sum(row.rows > 0 for row in found.table)
    sentence = (
        f"The calibration error (ECE) is {number(found.ece.value, 2)}, where chance alone gives a calibrated model "
        f"{number(found.expected_ece, 2)}; {len(outside)} of {counted(used, 'bin')} lie outside their 95% bands."
    )
    if len(outside) > max(1, 0.2 * used):
        worst = max(outside, key=lambda row: row.rows * abs(row.observed - row.predicted))
        way = "more" if worst.observed > worst.predicted else "less"
        sentence += f" Where it says {number(worst.predicted, 2)}, ones come {way} often: {number(worst.observed, 2)}."
    return sentence + (
        f" It tells ones from zeros with AUC {number(found.auc, 3)} and calls {found.accuracy.value:.1%} of rows right."
    )


def quantiles_told(found: Quantiles) -> str:
    off = [row for row in found.coverage if not row.lower <= row.share <= row.upper]
    held = next(row for row in found.coverage if row.level == 0.9)
    sentence = f"The predictive 90% intervals hold {held.share:.0%} of rows that they were not fitted to."
    if not off:
        return sentence + " At every level they hold as many as they should."
    way = "wide" if off[0].share > off[0].level else "narrow"
    return sentence + f" At the level {off[0].level:.0%} it is {off[0].share:.0%}: predictions are too {way}."
