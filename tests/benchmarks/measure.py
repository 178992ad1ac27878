"""What a run leaves behind, and its effective sample size: one definition for every library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from problems import PARAMETERS


class Fit(NamedTuple):
    """draws: `(chain, draw, *shape)` by parameter. seconds: of warm-up and sampling. facts: what else is known."""

    draws: Mapping[str, np.ndarray]
    seconds: float
    facts: Mapping[str, Any]


def quality(problem: str, draws: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """min(bulk, tail) effective sample size and the largest R-hat over all parameters, and their posterior means.

    All elements of a simplex count.
    """
    from inference.arviz_bridge import diagnostics

    least, worst = np.inf, 0.0
    means = {}
    for name, shape in PARAMETERS[problem].items():
        values = np.asarray(draws[name], dtype=float)
        if values.shape[2:] != shape:
            raise ValueError(f"{problem}: `{name}` must have shape {shape}, got {values.shape[2:]}")
        found = diagnostics(values)
        least = min(least, float(found["ess_bulk"].min()), float(found["ess_tail"].min()))
        worst = max(worst, float(found["r_hat"].max()))
        means[name] = values.mean(axis=(0, 1)).ravel().tolist()
    chains, num_draws = next(iter(draws.values())).shape[:2]
    return {"ess": least, "r_hat": worst, "chains": chains, "draws": num_draws, "means": means}
