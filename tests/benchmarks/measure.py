"""What a run leaves behind, and its effective sample size: one definition for every library."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from problems import PARAMETERS


class Fit(NamedTuple):
    """draws: `(chain, draw, *shape)` by parameter. facts: what else is known.

    seconds: of warm-up and sampling. busy: processor seconds meanwhile, None where they are not known.
    """

    draws: Mapping[str, np.ndarray]
    seconds: float
    busy: float | None
    facts: Mapping[str, Any]


class Clock:
    """Seconds on the wall and on the processor since it was made."""

    def __init__(self) -> None:
        self.wall, self.processor = time.perf_counter(), self.spent()

    @staticmethod
    def spent() -> float:
        used = os.times()
        return used.user + used.system + used.children_user + used.children_system

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self.wall, self.spent() - self.processor


def quality(problem: str, draws: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """min(bulk, tail) effective sample size and the largest R-hat over all parameters, and their posterior means.

    All elements of a simplex count. R-hat is nan for a single chain. From eight chains on it is nested R-hat of four
    superchains: that of many short chains scatters around 1 + chains / ESS, however good they are.
    """
    from inference.arviz_bridge import diagnostics, nested_r_hat

    least, worst = np.inf, 0.0
    means = {}
    for name, shape in PARAMETERS[problem].items():
        values = np.asarray(draws[name], dtype=float)
        if values.shape[2:] != shape:
            raise ValueError(f"{problem}: `{name}` must have shape {shape}, got {values.shape[2:]}")
        found = diagnostics(values)
        least = min(least, float(found["ess_bulk"].min()), float(found["ess_tail"].min()))
        spread = nested_r_hat(values, 4) if len(values) >= 8 else found["r_hat"]
        worst = max(worst, float(spread.max()))
        means[name] = values.mean(axis=(0, 1)).ravel().tolist()
    return {"ess": least, "r_hat": worst if len(values) > 1 else np.nan, "means": means}
