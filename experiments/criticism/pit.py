"""Probability integral transform: where each outcome lies in its own predictive distribution, uniform if that holds.

pit[n] = P(replicated < y[n]) + u P(replicated = y[n])    u uniform for whole numbers (Czado, Gneiting & Held 2009)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LEVELS = (0.5, 0.8, 0.9, 0.95)


class Coverage(NamedTuple):
    """How many outcomes the central intervals of one level hold; lower, upper: 95% of shares if the model holds."""

    level: float
    share: float
    lower: float
    upper: float


class Uniformity(NamedTuple):
    """Distance of PIT values from uniform (Kolmogorov-Smirnov) and its p-value for independent rows."""

    distance: float
    p_value: float


def pit(observed: np.ndarray, replicated: np.ndarray, seed: int = 0) -> np.ndarray:
    """PIT values in (0, 1), of `observed (rows,)` in `replicated (draws, rows)`.

    The outcome's rank among S draws is one of S + 1; u places it within its step, and within its ties, so that
    outcomes like the draws have exactly uniform values.
    """
    u = np.random.default_rng(seed).uniform(size=observed.shape)
    below = (replicated < observed).sum(axis=0)
    ties = (replicated == observed).sum(axis=0)
    return (below + u * (ties + 1)) / (len(replicated) + 1)


def weighted_pit(observed: np.ndarray, replicated: np.ndarray, weights: np.ndarray, u: np.ndarray) -> np.ndarray:
    """The same with weights of the draws that sum to 1 for each row, `(draws, rows)`. With those of leaving the row out
    it is LOO-PIT, which does not praise a model for what it was fitted to. u: uniform numbers `(rows,)`."""
    below = (weights * (replicated < observed)).sum(axis=0)
    ties = (weights * (replicated == observed)).sum(axis=0)
    count = len(replicated)
    return (count * (below + u * ties) + u) / (count + 1)


def uniformity(values: np.ndarray) -> Uniformity:
    """Kolmogorov-Smirnov test of PIT values `(rows,)`."""
    from scipy.stats import kstest

    found = kstest(values, "uniform")
    return Uniformity(float(found.statistic), float(found.pvalue))


def coverage(values: np.ndarray, levels: tuple[float, ...] = LEVELS) -> list[Coverage]:
    """Quantile calibration: the share of outcomes within each central predictive interval, from PIT values."""
    from scipy.stats import binom

    held = [float((np.abs(values - 0.5) <= level / 2).mean()) for level in levels]
    bands = [binom.ppf([0.025, 0.975], len(values), level) / len(values) for level in levels]
    return [Coverage(level, share, *map(float, band)) for level, share, band in zip(levels, held, bands, strict=True)]
