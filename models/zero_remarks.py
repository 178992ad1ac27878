"""What to know before reading the zero part: what its sign means, and whether the data can tell the two parts apart.

A zero that is structural and one that the counts have by themselves look alike. Where counts are small, or spread wide
by phi, the data say little of their shares: the odds of a structural zero then stay as wide as the prior lets them, or
move together with mu or phi. The rule: weakly identified where one posterior standard deviation of the log odds of a
structural zero (of the rows' average) is more than a factor of two, log(2), or where these log odds have a correlation
above 0.9 with the rows' average log mu, or with log phi. A thousand rows whose counts average 3 have 0.1; plain Poisson
or negative binomial counts, in which no zero is structural, have about 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from models.base import Data
from models.outcome_parts import chunks, parts

if TYPE_CHECKING:
    from models.zero_inflated import ZeroInflated

WIDEST = np.log(2)
CLOSEST = 0.9
TERMS = 8  # terms that are told of
SURE = 0.9  # how probable a sign must be to be told


class Identified(NamedTuple):
    """What the data know of the zeros' kinds: sd of the log odds of a structural zero, its correlation with log mu and
    with log phi (0 without), and the 95% interval of the share of structural zeros among all rows."""

    sd: float
    with_mu: float
    with_phi: float
    share: tuple[float, float]

    @property
    def weakly(self) -> bool:
        return self.sd > WIDEST or max(abs(self.with_mu), abs(self.with_phi)) > CLOSEST


def identified(model: ZeroInflated, draws: Mapping[str, np.ndarray], data: Data) -> Identified | None:
    """None where no zero is structural, and for draws that are all one point."""
    flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in draws.items()}
    number, rows = len(next(iter(flat.values()))), len(data.inputs["x"])
    if model.zeros != "inflated":
        return None
    share, log_mu = np.zeros(number), np.zeros(number)
    for part in chunks(rows, number):
        at = parts(model.likelihood, model.zeros, flat, data.inputs, part)
        share, log_mu = share + at.structural().sum(axis=1) / rows, log_mu + at.log_mu.sum(axis=1) / rows
    share = np.clip(share, 1e-300, 1 - 1e-16)
    log_odds = np.log(share) - np.log1p(-share)
    if np.ptp(log_odds) == 0:
        return None
    with_phi = correlation(log_odds, np.log(flat["phi"])) if "phi" in flat else 0.0
    low, high = np.quantile(share, [0.025, 0.975])
    return Identified(float(log_odds.std()), correlation(log_odds, log_mu), with_phi, (float(low), float(high)))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """0 where one of them does not vary."""
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0


def zero_remarks(model: ZeroInflated, draws: Mapping[str, np.ndarray], data: Data) -> list[str]:
    """Whole sentences, the sign first."""
    if model.zeros == "none":
        return []
    return [sign(model, draws, data), *weakness(identified(model, draws, data))]


def sign(model: ZeroInflated, draws: Mapping[str, np.ndarray], data: Data) -> str:
    kind = "a structural zero" if model.zeros == "inflated" else "y = 0"
    said = f"The zero part is the log odds of {kind}: a positive `zero_beta` means more zeros"
    if "zero_beta" not in draws:
        return said + "."
    above = (draws["zero_beta"] > 0).mean(axis=(0, 1))
    told = []
    for term, share in list(zip(data.coords["zero_term"], above, strict=True))[:TERMS]:
        more = share >= 0.5
        sure = max(share, 1 - share)
        what = ("more zeros" if more else "fewer zeros") if sure >= SURE else "either way"
        told.append(f"`{term}` {what} (probability {sure:.0%})" if sure >= SURE else f"`{term}` {what}")
    return f"{said}. More of a term: {', '.join(told)}."


def weakness(found: Identified | None) -> list[str]:
    if found is None or not found.weakly:
        return []
    low, high = found.share
    said = (
        "The two parts are weakly identified: the share of structural zeros among all rows lies anywhere from "
        f"{low:.1%} to {high:.1%} (95%)"
    )
    ties = {"mu": found.with_mu, "phi": found.with_phi}
    tied = [f"with `{name}` by {value:.2f}" for name, value in ties.items() if abs(value) > CLOSEST]
    if tied:
        said += f", and its log odds are correlated {' and '.join(tied)}"
    return [said + "; do not read the parts one by one, or set `zeros: hurdle` or `none`."]
