"""Scores: how well a model predicts rows that it was not fitted to, in log probability (nats).

    elpd_loo = sum over rows of log p(y[n] | all other rows)     PSIS-LOO (Vehtari, Gelman & Gabry 2017)
    p        = lppd - elpd, the effective number of parameters; lppd = sum of log p(y[n] | all rows)
    se       = sqrt(N var(pointwise))
    waic     = lppd - sum over rows of var log p(y[n] | theta)   Watanabe 2010

A row is left out by weighting draws with 1 / p(y[n] | theta), Pareto-smoothed; k-hat says where that holds.
Log likelihoods come as `(draws, rows)`, one chunk of rows after the other, so that memory holds one chunk alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from inference import arviz_bridge
from inference.posterior import Posterior

MOST_K = 0.7  # above it a row's estimate may be far off however many draws there are


class Loo(NamedTuple):
    """Leave-one-out cross-validation. pointwise, k: by row `(rows,)`. good_k: what k-hat may be with these draws.
    refitted: positions of the rows that fits without them have scored, whatever their k-hat is."""

    elpd: float
    se: float
    p: float
    pointwise: np.ndarray
    k: np.ndarray
    good_k: float
    refitted: np.ndarray = np.array([], dtype=int)

    @property
    def bad(self) -> np.ndarray:
        """Positions of the rows whose k-hat is too large, and whose score therefore means little."""
        return np.setdiff1d(np.flatnonzero(~(self.k <= self.good_k)), self.refitted)


class Waic(NamedTuple):
    """Widely applicable information criterion on the scale of elpd; unsafe where a pointwise variance is above 0.4."""

    elpd: float
    se: float
    p: float
    num_unsafe: int


def log_mean_exp(log_likelihood: np.ndarray) -> np.ndarray:
    """log of the mean probability over draws, `(draws, rows)` -> `(rows,)`; the mean is inside the log."""
    from scipy.special import logsumexp

    return np.asarray(logsumexp(log_likelihood, axis=0) - np.log(len(log_likelihood)))


def spread(pointwise: np.ndarray) -> float:
    """Standard error of a sum of N values; NaN for a single one."""
    with np.errstate(invalid="ignore"):  # a row that is impossible
        return float(np.sqrt(len(pointwise) * pointwise.var(ddof=1))) if len(pointwise) > 1 else float("nan")


def loo(
    chunks: Iterable[np.ndarray],
    efficiency: float = 1.0,
    each: Callable[[slice, np.ndarray], None] | None = None,
) -> Loo:
    """Fold PSIS-LOO over chunks of log likelihood, each `(draws, rows of the chunk)`.

    efficiency: effective draws over draws (`efficiency` below), 1 for independent draws.
    each: called for every chunk with its rows and the weights of the draws without each of them, `(draws, rows)`.
    """
    from scipy.special import logsumexp

    # one array that doubles: small results of each chunk, kept, would break up the memory that its large ones have left
    found, end, draws = np.empty((3, 1024)), 0, 1
    for chunk in chunks:
        draws = len(chunk)
        rows = np.ascontiguousarray(chunk.T, dtype=float)
        part = slice(end, end := end + len(rows))
        if end > found.shape[1]:
            found = np.hstack([found, np.empty((3, max(end, found.shape[1])))])
        weights, k = arviz_bridge.psis(-rows, efficiency)
        found[:, part] = logsumexp(weights + rows, axis=1), log_mean_exp(chunk), k
        if each is not None:
            each(part, np.exp(weights).T)
    pointwise, lppd, k = found[:, :end]
    total = float(pointwise.sum())
    return Loo(total, spread(pointwise), float(lppd.sum()) - total, pointwise.copy(), k.copy(), good_k(draws))


def good_k(draws: int) -> float:
    """What k-hat may be with so many draws (Vehtari, Simpson, Gelman, Yao & Gabry 2024)."""
    return float(min(MOST_K, 1 - 1 / np.log10(draws))) if draws > 1 else 0.0


def waic(chunks: Iterable[np.ndarray]) -> Waic:
    """Fold WAIC over chunks of log likelihood. ArviZ's own is in 0.x alone."""
    parts = [(log_mean_exp(chunk), chunk.var(axis=0)) for chunk in chunks]
    lppd, variance = (np.concatenate(part) for part in zip(*parts, strict=True))
    pointwise = lppd - variance
    return Waic(float(pointwise.sum()), spread(pointwise), float(variance.sum()), int((variance > 0.4).sum()))


def perplexity(pointwise: np.ndarray) -> float:
    """exp of the mean negative log probability: 1 for certainty, K for a guess among K."""
    return float(np.exp(-np.mean(pointwise)))


def efficiency(posterior: Posterior) -> float:
    """Effective draws for the mean over draws, averaged over variables as ArviZ does; 1 for independent draws."""
    if not posterior.dependent or len(next(iter(posterior.draws.values()))) == 1:
        return 1.0
    sizes = []
    for draws in posterior.draws.values():
        variance = np.var(draws, axis=(0, 1), ddof=1)
        error = arviz_bridge.diagnostics(draws)["mcse_mean"]
        with np.errstate(divide="ignore", invalid="ignore"):
            sizes.append(np.ravel(variance / error**2))
    found = np.concatenate(sizes)
    found = found[np.isfinite(found)]
    return float(found.mean() / posterior.num_draws) if len(found) else 1.0


def by_row(log_likelihood: Mapping[str, np.ndarray]) -> np.ndarray:
    """Sites' log likelihoods `(chain, draw, *shape)` as one table `(draws, rows)`.

    Sites of one length say something about the same rows (a class and its features) and are added; several lengths
    follow each other. What a site has beyond its first axis belongs to its row.
    """
    tables: dict[int, np.ndarray] = {}
    for values in log_likelihood.values():
        flat = values.reshape(values.shape[0] * values.shape[1], *values.shape[2:])
        table = flat.reshape(len(flat), flat.shape[1] if flat.ndim > 1 else 1, -1).sum(axis=2)
        length = table.shape[1]
        tables[length] = tables[length] + table if length in tables else table
    return np.concatenate(list(tables.values()), axis=1)
