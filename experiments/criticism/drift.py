"""Drift: how far new rows are from those that a model was fitted to, column by column.

    KS   = largest distance of the two distribution functions
    PSI  = sum over bins of (new - old) log(new / old), proportions; bins by the old rows, their ends open
    d    = (mean new - mean old) / pooled standard deviation

With thousands of rows a p-value flags trivia, with dozens PSI and KS are large by chance: a breach needs both, an
effect that is large and a p-value that is small. PSI has its customary limits, 0.1 and 0.25.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.words import number
from models.errors import InputError

WATCH, BREACH = 0.1, 0.25
SIGNIFICANT = 0.001
BINS = 10
MISSING_GAIN = 0.05  # more zeros than before, of all rows, that are suspicious
FAR_MEAN, NOTABLE = 3.0, 0.1  # standard errors, and standard deviations, of a mean confidence


class Drift(NamedTuple):
    """One column. statistic: KS for numbers, Cramér's V for labels. effect: Cohen's d for numbers, the same V for
    labels. level: `stable`, `watch` or `breach`."""

    column: str
    kind: str
    statistic: float
    p_value: float
    psi: float
    effect: float
    level: str
    message: str


def ks(old: Any, new: Any) -> tuple[float, float]:
    """Two-sample Kolmogorov-Smirnov distance and its p-value."""
    from scipy.stats import ks_2samp

    found = ks_2samp(np.ravel(old), np.ravel(new))
    return float(found.statistic), float(found.pvalue)


def psi(old: Any, new: Any, edges: Any = None) -> float:
    """Population stability index of numbers. edges: inner limits of the bins; deciles of the old rows by default.

    The first and last bin are open, so that no row is lost; an empty one counts as half a row.
    """
    a, b = np.ravel(np.asarray(old, dtype=float)), np.ravel(np.asarray(new, dtype=float))
    if not len(a) or not len(b):
        raise InputError("drift", f"needs rows on both sides, got {len(a)} and {len(b)}", "give more rows")
    inner = np.unique(np.quantile(a, np.arange(1, BINS) / BINS) if edges is None else np.asarray(edges, dtype=float))
    counts = [np.bincount(np.searchsorted(inner, values, side="left"), minlength=len(inner) + 1) for values in (a, b)]
    return psi_of_counts(*counts)


def psi_of_counts(old: np.ndarray, new: np.ndarray) -> float:
    """The same of counts by bin or by label; bins that are empty on both sides say nothing."""
    used = (old + new) > 0
    p, q = (np.maximum(counts[used], 0.5) / counts.sum() for counts in (old, new))
    return float(((q - p) * np.log(q / p)).sum())


def cohens_d(old: np.ndarray, new: np.ndarray) -> float:
    """Difference of means in pooled standard deviations; 0 where nothing varies or a side has one row."""
    if min(len(old), len(new)) < 2:
        return 0.0
    weights = len(old) - 1, len(new) - 1
    pooled = np.sqrt(np.average([old.var(ddof=1), new.var(ddof=1)], weights=weights))
    return float((new.mean() - old.mean()) / pooled) if pooled > 0 else 0.0


def numeric_drift(column: str, old: Any, new: Any) -> Drift:
    """Drift of a column of numbers."""
    a, b = (np.ravel(np.asarray(values, dtype=float)) for values in (old, new))
    stability, (distance, chance), effect = psi(a, b), ks(a, b), cohens_d(a, b)
    words = f"KS {number(distance, 3)}, PSI {number(stability, 3)}, mean moved by {number(effect, 2)} sd"
    return told(column, "number", distance, chance, stability, effect, words)


def label_drift(column: str, old: Sequence[Any], new: Sequence[Any]) -> Drift:
    """Drift of a column of labels: chi-square test, and Cramér's V as its effect."""
    from scipy.stats import chi2_contingency

    labels = sorted({str(value) for value in (*old, *new)})
    place = {label: k for k, label in enumerate(labels)}
    counts = [np.bincount([place[str(value)] for value in side], minlength=len(labels)) for side in (old, new)]
    if len(labels) < 2:
        return told(column, "label", 0.0, 1.0, 0.0, 0.0, "one label only, as before")
    found = chi2_contingency(np.array(counts), correction=False)
    cramer = float(np.sqrt(found.statistic / (len(old) + len(new))))
    unseen = [label for label, count in zip(labels, counts[0], strict=True) if not count]
    stability = psi_of_counts(*counts)
    words = f"Cramér's V {number(cramer, 3)}, PSI {number(stability, 3)}"
    words += "; new labels: " + ", ".join(f"`{label}`" for label in unseen[:5]) if unseen else ""
    return told(column, "label", cramer, float(found.pvalue), stability, cramer, words)


def told(column: str, kind: str, statistic: float, chance: float, stability: float, effect: float, words: str) -> Drift:
    certain = chance < SIGNIFICANT
    level = "breach" if certain and stability > BREACH else "watch" if certain and stability > WATCH else "stable"
    sentence = f"`{column}` {LEVELS[level]}: {words}, p = {number(chance, 2)}"
    return Drift(column, kind, statistic, chance, stability, effect, level, sentence)


LEVELS = {"stable": "is as it was", "watch": "has moved somewhat", "breach": "has moved far"}


def zeros_for_missing(column: str, old: Any, new: Any) -> str | None:
    """A sentence where zeros look like missing values: more than before, by enough and beyond chance, and apart from
    all other values. An indicator's zeros mean what they say."""
    a, b = (np.ravel(np.asarray(values, dtype=float)) for values in (old, new))
    gain, others = (b == 0).mean() - (a == 0).mean(), a[a != 0]
    share = (np.count_nonzero(a == 0) + np.count_nonzero(b == 0)) / (len(a) + len(b))
    chance = 3 * np.sqrt(share * (1 - share) * (1 / len(a) + 1 / len(b)))
    if gain < max(MISSING_GAIN, chance) or len(np.unique(others)) < 2:
        return None
    low, high = np.quantile(others, [0.01, 0.99])
    if low <= 0 <= high:
        return None
    shares = f"in {(b == 0).mean():.0%} of the new rows and in {(a == 0).mean():.0%} of the fitted ones"
    others_lie = f"whose other values lie between {number(low, 3)} and {number(high, 3)}"
    return f"`{column}` is 0 {shares}, {others_lie}: zeros may stand for missing values"


def confidence_drift(old: Any, new: Any) -> Drift:
    """Drift of the highest probability of each prediction: its mean more than 3 standard errors off, and by enough to
    matter, is a breach."""
    a, b = (np.ravel(np.asarray(values, dtype=float)) for values in (old, new))
    found = numeric_drift("confidence", a, b)
    error = np.sqrt(a.var() / len(a) + b.var() / len(b))
    far = abs(b.mean() - a.mean()) > FAR_MEAN * error and abs(found.effect) > NOTABLE
    if not far or found.level == "breach":
        return found
    words = f"its mean went from {number(a.mean(), 3)} to {number(b.mean(), 3)}"
    return found._replace(level="breach", message=f"`confidence` has moved far: {words}")
