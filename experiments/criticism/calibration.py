"""Calibration: whether outcomes that a model calls p likely happen p of the time.

    ECE   = sum over bins of n[b] / n * |share of ones[b] - mean prediction[b]|    weighted by count
    MCE   = the largest of these gaps
    Brier = mean (y - p)^2 = reliability - resolution + uncertainty + within       Murphy 1973, Stephenson et al. 2008

Bins are (low, high], the first [low, high], so that 0 and 1 are counted. Predictions are P(y = 1) of 0/1 outcomes; for
several classes, `confidence` makes them the probability of the class called and whether the call was right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from models.errors import InputError

TENTHS = tuple(k / 10 for k in range(11))  # 0.3 is the number 0.3, not 3 * 0.1
REPEATS = 1000
CELLS = 200_000_000  # outcomes drawn in one bootstrap, all repeats together


class Bin(NamedTuple):
    """One bin of a reliability table. lower, upper: where 95% of shares of ones lie if the predictions hold.

    predicted, observed: mean prediction and share of ones; NaN in a bin without rows, like the band.
    """

    low: float
    high: float
    rows: int
    predicted: float
    observed: float
    lower: float
    upper: float


class Interval(NamedTuple):
    """A number with the ends of an interval."""

    value: float
    lower: float
    upper: float


class Brier(NamedTuple):
    """score = reliability - resolution + uncertainty + within; `within` is what binning leaves out."""

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


class PrecisionRecall(NamedTuple):
    """By falling threshold, where rows at or above it are called one, `(thresholds,)`: the share of ones among the
    rows called, and the share of ones that are called."""

    precision: np.ndarray
    recall: np.ndarray


class Ranking(NamedTuple):
    """How well ones are told from zeros, whatever the probabilities are worth."""

    auc: float
    average_precision: float
    curve: PrecisionRecall


def checked(predicted: Any, outcome: Any) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and outcomes `(rows,)` as float64; InputError unless they are probabilities and 0 or 1."""
    p, y = np.asarray(predicted, dtype=float).ravel(), np.asarray(outcome, dtype=float).ravel()
    if p.shape != y.shape or not len(p):
        rule = f"must be as many as outcomes and at least one, got {len(p)} and {len(y)}"
        raise InputError("predictions", rule, "give one for each row")
    for values, good, where, rule in (
        (p, (p >= 0) & (p <= 1), "predictions", "must lie in [0, 1]"),
        (y, (y == 0) | (y == 1), "outcomes", "must be 0 or 1"),
    ):
        if not good.all():
            row = int(np.argmin(good))
            raise InputError(f"{where}, row {row + 1}", f"{rule}, got {values[row]:g}", "correct the value")
    return p, y


def confidence(probabilities: np.ndarray, outcome: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of class probabilities `(rows, K)` and codes `(rows,)`: the highest probability, and whether that class came."""
    return probabilities.max(axis=1), (probabilities.argmax(axis=1) == outcome).astype(float)


def bin_of(predicted: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The bin of every prediction, `(rows,)`; InputError where the edges leave one out."""
    if (predicted < edges[0]).any() or (predicted > edges[-1]).any():
        raise InputError("edges", f"must hold every prediction, got {edges[0]:g} to {edges[-1]:g}", "widen them")
    return np.searchsorted(edges[1:-1], predicted, side="left")


def reliability(predicted: Any, outcome: Any, edges: Any = TENTHS, by: Any = None) -> list[Bin]:
    """The reliability table: every bin with its share of ones and the band that a calibrated model keeps 95% of.

    The band is the binomial's with the bin's mean prediction, which is exact where predictions in a bin are equal and
    a little wide elsewhere. by: what says which bin a row is in, the predictions themselves by default.
    """
    from scipy.stats import binom

    p, y = checked(predicted, outcome)
    limits = np.asarray(edges, dtype=float)
    count, mean_p, mean_y = by_bin(bin_of(p if by is None else by, limits), p, y, len(limits) - 1)
    with np.errstate(invalid="ignore"):
        lower, upper = (binom.ppf(q, count, np.nan_to_num(mean_p)) / count for q in (0.025, 0.975))
    rows = zip(limits[:-1], limits[1:], count, mean_p, mean_y, lower, upper, strict=True)
    return [Bin(float(a), float(b), int(n), *map(float, rest)) for a, b, n, *rest in rows]


def by_bin(code: np.ndarray, p: np.ndarray, y: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, mean prediction and share of ones by bin; the means are NaN where there is no row."""
    count = np.bincount(code, minlength=bins)
    with np.errstate(invalid="ignore"):
        return count, np.bincount(code, p, bins) / count, np.bincount(code, y, bins) / count


def gaps(table: list[Bin]) -> tuple[np.ndarray, np.ndarray]:
    """Weights and absolute gaps of the bins that have rows."""
    used = [row for row in table if row.rows]
    weights = np.array([row.rows for row in used], dtype=float)
    return weights / weights.sum(), np.array([abs(row.observed - row.predicted) for row in used])


def ece(table: list[Bin]) -> float:
    """Expected calibration error: the mean gap, each bin weighted by its rows."""
    weights, found = gaps(table)
    return float(weights @ found)


def mce(table: list[Bin]) -> float:
    """The largest gap of any bin."""
    return float(gaps(table)[1].max())


def ece_if_calibrated(table: list[Bin]) -> float:
    """The ECE that chance alone gives a calibrated model of these rows: no finite sample has 0.

    The mean absolute deviation of a binomial is in closed form 2 v C(n, v) p^v (1 - p)^(n - v + 1) with
    v = floor(n p) + 1 (De Moivre; Diaconis & Zabell 1991).
    """
    from scipy.stats import binom

    used = [row for row in table if row.rows]
    n, p = np.array([row.rows for row in used]), np.array([row.predicted for row in used])
    v = np.floor(n * p) + 1
    deviation = np.where(v <= n, 2 * v * (1 - p) * binom.pmf(v, n, p), 0.0)
    return float(deviation.sum() / n.sum())


def ece_interval(
    predicted: Any,
    outcome: Any,
    edges: Any = TENTHS,
    by: Any = None,
    seed: int = 0,
    repeats: int = REPEATS,
    mass: float = 0.95,
) -> Interval:
    """ECE with its bootstrap interval over rows, by percentiles; fewer repeats where there are very many rows.

    ECE is biased upwards by chance, and the resampled ones are so twice: they are moved to have the ECE as their mean.
    Its own bias stays, so compare it with `ece_if_calibrated`.
    """
    p, y = checked(predicted, outcome)
    limits = np.asarray(edges, dtype=float)
    code, bins, rng = bin_of(p if by is None else by, limits), len(limits) - 1, np.random.default_rng(seed)
    signed = np.bincount(code, y - p, bins)
    found = []
    for _ in range(max(50, min(repeats, CELLS // len(p)))):
        chosen = rng.integers(0, len(p), len(p))
        found.append(np.abs(np.bincount(code[chosen], (y - p)[chosen], bins)).sum() / len(p))
    value = np.abs(signed).sum() / len(p)
    lower, upper = np.quantile(found, [(1 - mass) / 2, (1 + mass) / 2]) - np.mean(found) + value
    return Interval(float(value), float(max(0.0, lower)), float(upper))


def brier(predicted: Any, outcome: Any, edges: Any = TENTHS, by: Any = None) -> Brier:
    """Brier score and its parts. by: what says which bin a row is in, the predictions themselves by default."""
    p, y = checked(predicted, outcome)
    limits = np.asarray(edges, dtype=float)
    count, mean_p, mean_y = by_bin(bin_of(p if by is None else by, limits), p, y, len(limits) - 1)
    used, share, base = count > 0, count / len(p), y.mean()
    gap = float(share[used] @ (mean_p[used] - mean_y[used]) ** 2)
    resolution = float(share[used] @ (mean_y[used] - base) ** 2)
    score, uncertainty = float(np.mean((y - p) ** 2)), float(base * (1 - base))
    return Brier(score, gap, resolution, uncertainty, score - (gap - resolution + uncertainty))


def log_loss(predicted: Any, outcome: Any) -> float:
    """Mean negative log probability of what happened, in nats; infinite where that was called impossible."""
    from scipy.special import xlog1py, xlogy

    p, y = checked(predicted, outcome)
    with np.errstate(divide="ignore"):
        return float(-(xlogy(y, p) + xlog1py(1 - y, -p)).mean())


def auc(predicted: Any, outcome: Any) -> float:
    """P(prediction of a one > that of a zero), ties counting half (Mann & Whitney); NaN where all outcomes are one."""
    from scipy.stats import rankdata

    p, y = checked(predicted, outcome)
    ones = y.sum()
    zeros = len(y) - ones
    if not ones or not zeros:
        return float("nan")
    return float((rankdata(p)[y == 1].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def precision_recall(predicted: Any, outcome: Any) -> PrecisionRecall:
    """At every distinct prediction as the threshold; recall is NaN where there are no ones."""
    p, y = checked(predicted, outcome)
    order = np.argsort(-p, kind="stable")
    last = np.append(np.flatnonzero(np.diff(p[order])), len(p) - 1)  # rows of one prediction are called together
    found = np.cumsum(y[order])[last]
    return PrecisionRecall(found / (last + 1), found / (found[-1] or np.nan))


def average_precision(predicted: Any, outcome: Any) -> float:
    """Precision averaged over the recall that each threshold adds, no line drawn between thresholds; NaN without ones.

    Predictions that know nothing have the share of ones: unlike AUC it tells how good the few rows called are where
    ones are rare (Davis & Goadrich 2006).
    """
    curve = precision_recall(predicted, outcome)
    return float(np.diff(curve.recall, prepend=0.0) @ curve.precision)


def ranking(predicted: Any, outcome: Any) -> Ranking:
    """Of the order that predictions give to the rows."""
    return Ranking(auc(predicted, outcome), average_precision(predicted, outcome), precision_recall(predicted, outcome))


def accuracy(correct: Any, mass: float = 0.95) -> Interval:
    """Share of right calls with the interval of the central limit theorem, +- z sqrt(a (1 - a) / n), within [0, 1]."""
    from scipy.special import ndtri

    share = float(np.mean(correct))
    half = float(ndtri((1 + mass) / 2)) * np.sqrt(share * (1 - share) / np.size(correct))
    return Interval(share, float(max(0.0, share - half)), float(min(1.0, share + half)))


def of_mean(values: Any, mass: float = 0.95) -> Interval:
    """Mean over rows with the interval of the central limit theorem; NaN ends for a single row."""
    from scipy.special import ndtri

    rows = np.asarray(values, dtype=float)
    error = float(rows.std(ddof=1) / np.sqrt(len(rows))) if len(rows) > 1 else float("nan")
    half = float(ndtri((1 + mass) / 2)) * error
    mean = float(rows.mean())
    return Interval(mean, mean - half, mean + half)


def auc_interval(predicted: Any, outcome: Any, mass: float = 0.95) -> Interval:
    """AUC with the interval of the central limit theorem for U-statistics (DeLong, DeLong & Clarke-Pearson 1988).

    With V[i] the share of zeros that one i is above, and W[j] the share of ones that zero j is below, the variance is
    var(V) / ones + var(W) / zeros. NaN ends where there are fewer than two of either.
    """
    from scipy.special import ndtri
    from scipy.stats import rankdata

    p, y = checked(predicted, outcome)
    ones, zeros = p[y == 1], p[y == 0]
    value = auc(p, y)
    if min(len(ones), len(zeros)) < 2:
        return Interval(value, float("nan"), float("nan"))
    ranks = rankdata(p)
    above = (ranks[y == 1] - rankdata(ones)) / len(zeros)
    below = 1 - (ranks[y == 0] - rankdata(zeros)) / len(ones)
    half = float(ndtri((1 + mass) / 2) * np.sqrt(above.var(ddof=1) / len(ones) + below.var(ddof=1) / len(zeros)))
    return Interval(value, max(0.0, value - half), min(1.0, value + half))


def bootstrap(
    values: Any, statistic: Callable[..., Any] = np.mean, block: int = 1, seed: int = 0, mass: float = 0.95
) -> Interval:
    """A statistic of `values (rows,)` with its percentile interval; statistic(array, axis=-1).

    block: rows that are drawn together, for dependent data (moving blocks, Künsch 1989); 1 for independent rows.
    """
    array = np.asarray(values, dtype=float)
    rng, length = np.random.default_rng(seed), len(array)
    if not 1 <= block <= length:
        raise InputError("block", f"must be 1 to {length}, the number of rows, got {block}", "choose a smaller one")
    starts = rng.integers(0, length - block + 1, (REPEATS, -(-length // block)))
    index = (starts[:, :, None] + np.arange(block)).reshape(REPEATS, -1)[:, :length]
    lower, upper = np.quantile(statistic(array[index], axis=-1), [(1 - mass) / 2, (1 + mass) / 2])
    return Interval(float(statistic(array, axis=-1)), float(lower), float(upper))
