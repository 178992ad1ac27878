"""Numbers of a data set that test statistics are made of, for many at once, `(draws, rows)` -> `(draws,)`."""

from __future__ import annotations

import numpy as np


def switches(values: np.ndarray) -> np.ndarray:
    """How often a row differs from the one before."""
    return (np.diff(values, axis=1) != 0).sum(axis=1).astype(float)


def longest_run(values: np.ndarray) -> np.ndarray:
    """Length of the longest stretch of equal rows."""
    best = current = np.ones(len(values))
    for same in (np.diff(values, axis=1) == 0).T:
        current = np.where(same, current + 1, 1.0)
        best = np.maximum(best, current)
    return best


def autocorrelation(values: np.ndarray, lag: int) -> np.ndarray:
    """Correlation of rows with those `lag` before; NaN where all are equal."""
    centred = values - values.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return (centred[:, lag:] * centred[:, :-lag]).sum(axis=1) / (centred**2).sum(axis=1)


def auc(scores: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
    """P(score of a one > score of a zero) for outcomes `(draws, rows)` and one score a row; NaN without both kinds."""
    from scipy.stats import rankdata

    ranks = rankdata(scores)
    ones = outcomes.sum(axis=1)
    zeros = outcomes.shape[1] - ones
    with np.errstate(invalid="ignore", divide="ignore"):
        return (outcomes @ ranks - ones * (ones + 1) / 2) / (ones * zeros)


def modes(values: np.ndarray, points: int = 128) -> np.ndarray:
    """How many peaks a smooth density of the rows has, those of at least a tenth of the highest.

    The density is a histogram under a normal of 0.9 min(sd, IQR / 1.34) n^(-1/5) (Silverman 1986, equation 3.31).
    """
    found = np.empty(len(values))
    for place, rows in enumerate(values):
        spread = min(rows.std(), np.subtract(*np.quantile(rows, [0.75, 0.25])) / 1.34) or rows.std()
        width = 0.9 * spread * len(rows) ** -0.2
        low, high = rows.min() - 3 * width, rows.max() + 3 * width
        if not width > 0:
            found[place] = 1
            continue
        step = max((high - low) / points, width / 5)
        counts, _ = np.histogram(rows, bins=int(np.ceil((high - low) / step)), range=(low, high))
        reach = int(4 * width / step) + 1
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / width) ** 2)
        density = np.convolve(counts, kernel)
        inner = density[1:-1]
        peaks = (inner > density[:-2]) & (inner >= density[2:]) & (inner > 0.1 * density.max())
        found[place] = max(1, peaks.sum())
    return found


def parts_by(order: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Means of `count` equal parts of the rows, sorted by `order`, `(draws, count)`."""
    parts = np.array_split(np.argsort(order, kind="stable"), count)
    return np.stack([values[:, part].mean(axis=1) for part in parts], axis=1)


def score_gaps(
    values: np.ndarray, mean: np.ndarray, variance: np.ndarray, slope: np.ndarray, x: np.ndarray, z: np.ndarray
) -> np.ndarray:
    """Score statistics of candidate predictors that a model leaves out, `(draws, candidates)`; NaN for one that its own
    predictors already say.

    values `(draws, rows)`; mean, variance and slope d mean / d predictor of each row; x `(rows, K)` the predictors with
    the intercept; z `(rows, candidates)`. A candidate is taken less what x explains of it (Cox & Hinkley 1974, 9.3), so
    that what the fit leaves uncertain about x does not blur it.
    """
    root = slope / np.sqrt(variance)
    basis, _ = np.linalg.qr(root[:, None] * x)
    weighted = root[:, None] * z
    rest = weighted - basis @ (basis.T @ weighted)
    size, whole = np.sqrt((rest**2).sum(axis=0)), np.sqrt((weighted**2).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = np.where(size > 1e-6 * whole, rest / size, np.nan)
    return np.asarray(((values - mean) / np.sqrt(variance)) @ unit)
