"""How far several backends are from each other, variable by variable."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

from experiments.results import Agreement

Summaries = Mapping[str, Mapping[str, Mapping[str, float | None]]]

CLOSE, NEAR = 0.1, 0.3  # posterior standard deviations between two means
SPREAD = 0.15  # relative difference of two standard deviations that is worth a word
MONTE_CARLO = 4.0  # combined standard errors that chance explains
TRUST = ("exact", "nuts", "hmc", "metropolis", "importance", "svi")


def compare(summaries: Summaries) -> dict[str, Agreement]:
    """One row for each variable that every backend has; empty for a single backend.

    Distances are measured in the standard deviation of the most trusted backend (in the order of `TRUST`).
    """
    if len(summaries) < 2:
        return {}
    common = [name for name in next(iter(summaries.values())) if all(name in table for table in summaries.values())]
    return {name: compare_one({backend: table[name] for backend, table in summaries.items()}) for name in common}


def compare_one(rows: Mapping[str, Mapping[str, float | None]]) -> Agreement:
    found = {backend: {"mean": row["mean"] or 0.0, "sd": row["sd"] or 0.0} for backend, row in rows.items()}
    if not all(math.isfinite(number) for row in found.values() for number in row.values()):
        return Agreement(found, math.inf, math.inf, "differ")
    trusted = next(backend for backend in TRUST if backend in found)
    unit = found[trusted]["sd"] or max(row["sd"] for row in found.values()) or 1.0
    gap, errors = 0.0, 0.0
    for one, other in itertools.combinations(found, 2):
        distance = abs(found[one]["mean"] - found[other]["mean"])
        error = math.hypot(rows[one]["mcse_mean"] or 0.0, rows[other]["mcse_mean"] or 0.0)
        gap = max(gap, distance / unit)
        errors = max(errors, distance / error if error > 0 else 0.0)
    spreads = [row["sd"] for row in found.values() if row["sd"] > 0]
    ratio = max(spreads) / min(spreads) if spreads else 1.0
    return Agreement(found, gap, errors or None, verdict(gap, errors, ratio))


def verdict(gap: float, errors: float, ratio: float) -> str:
    """`agree`, `small gap`, or `differ`, and whether the spread differs where the centre does not."""
    if gap > NEAR:
        return "differ"
    centre = "agree" if gap <= CLOSE or (0 < errors <= MONTE_CARLO) else "small gap"
    return centre if ratio <= 1 + SPREAD else f"{centre} in mean, differ in spread ({ratio:.2f} times)"
