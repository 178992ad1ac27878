"""What the priors say about data before seeing any: whether most of what they generate could never have been observed.

Degenerate: a data set that is not finite; outcomes that are all equal; numbers whose spread is a thousand times what
was observed, or a thousandth. A prior may be wide. One that puts most of its mass there does the data's work badly: it
is worth a look at what it means on the outcome's own scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from models.base import Data

MOST = 0.5  # of the prior's mass
FAR = 1000.0  # times the observed spread


class PriorFinding(NamedTuple):
    """A kind of degenerate data, the share of generated data sets that are such, and whether that is most of them."""

    site: str
    kind: str
    share: float
    flagged: bool
    message: str


def prior_check(data: Data, prior_predictive: Mapping[str, np.ndarray]) -> list[PriorFinding]:
    """Every kind of degenerate data for every observed site. prior_predictive: `(1, draw, *shape)` by site."""
    found = []
    for name, observed in data.observed.items():
        if name in prior_predictive and np.size(observed) > 1:
            flat = prior_predictive[name].reshape(prior_predictive[name].shape[1], -1).astype(float)
            found += [told(name, kind, share) for kind, share in kinds(np.ravel(observed), flat)]
    return found


def kinds(observed: np.ndarray, generated: np.ndarray) -> list[tuple[str, float]]:
    """Shares of data sets `(draws, values)` that are degenerate, by kind."""
    finite = np.isfinite(generated).all(axis=1)
    usable = np.where(finite[:, None], generated, 0.0)
    spread, unit = np.ptp(usable, axis=1), float(np.ptp(observed))
    shares = [("not finite", 1 - finite.mean()), ("all equal", float((finite & (spread == 0)).mean()))]
    if unit > 0 and not set(np.unique(observed)) <= {0.0, 1.0}:
        shares.append((f"spread over {FAR:,.0f} times what was observed", float((spread > FAR * unit).mean())))
        narrow = finite & (spread > 0) & (spread < unit / FAR)
        shares.append((f"spread over less than a {FAR:,.0f}th of what was observed", float(narrow.mean())))
    return shares


def told(site: str, kind: str, share: float) -> PriorFinding:
    share, flagged = float(share), bool(share > MOST)
    words = f"{in_words(share)} of the data sets that the priors generate have `{site}` {kind}"
    return PriorFinding(site, kind, share, flagged, words + ("; narrow or move the priors" if flagged else ""))


def in_words(share: float) -> str:
    return "less than 1%" if 0 < share < 0.01 else f"{share:.0%}"


def verdict(found: Sequence[PriorFinding]) -> str:
    """What the priors generate, in a sentence: what they put most of their mass on that could never be observed, or
    how much of it at most."""
    if not found:
        return "The priors generate no data to be compared: one of them is no distribution, or nothing is observed."
    flagged = [one.message for one in found if one.flagged]
    if flagged:
        return "; ".join(flagged) + "."
    worst = max(found, key=lambda one: one.share)
    if worst.share == 0:
        return "What the priors generate could have been observed."
    return f"What the priors generate could have been observed, but for a part: {worst.message}."
