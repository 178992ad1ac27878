"""Posterior predictive checks: test statistics of the observed data among those of data that the model generates.

    p = 2 min(P(T_rep > T), P(T_rep < T)), ties counting half, and the observed data set as one of the generated ones

(Gelman, Meng & Stern 1996; Rubin 1984). A p-value near 0 says that the model does not generate such data. One near 1 is
no praise: what the model was fitted to, it fits. A statistic with many elements (a rate for each group) is judged by
its largest standardised gap, against the largest gaps of generated data, so that many elements find no more by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from experiments.words import counted, listed, number
from models.base import Data

Sites = Mapping[str, np.ndarray]

SURPRISING = 0.005  # a p-value below it is a misfit worth a sentence
MOST_VALUES = 10_000_000  # numbers in the replicates that statistics are computed from
MOST_REPLICATES = 1000


@dataclass(frozen=True)
class Context:
    """What statistics may know beside the data set at hand: the data, and the model's expectation of every row.

    replicated: generated data sets by observed site, `(draws, *shape)`.
    """

    data: Data
    replicated: Sites

    @cached_property
    def expected(self) -> dict[str, np.ndarray]:
        """Mean over generated data sets by site, `shape`."""
        return {name: values.mean(axis=0) for name, values in self.replicated.items()}

    @cached_property
    def variance(self) -> dict[str, np.ndarray]:
        return {name: values.var(axis=0) for name, values in self.replicated.items()}

    def labels(self, dim: str, size: int) -> list[str]:
        """Labels along a dimension; numbers where it has none."""
        return [str(label) for label in self.data.coords.get(dim, range(size))]


class Elements(NamedTuple):
    """A statistic with many elements: values `(draws, E)` and what each is called."""

    values: np.ndarray
    labels: Sequence[str]


Function = Callable[[Sites, Context], "np.ndarray | Elements | None"]


class Statistic(NamedTuple):
    """function(sites, context): a number for each data set, `(draws,)`, or `Elements`; None where it does not apply.

    about: what is counted, `the share of zeros`. more, less: what it may mean that more, or less, was observed than
    the model generates. only_more: less is no misfit, as of a distance from what was fitted to the same rows.
    """

    function: Function
    about: str
    more: str = ""
    less: str = ""
    only_more: bool = False


class Finding(NamedTuple):
    """A statistic as observed and as generated (mean, and the interval that holds 95%); of many elements, the worst."""

    name: str
    element: str
    observed: float
    mean: float
    lower: float
    upper: float
    p_value: float
    message: str

    @property
    def surprising(self) -> bool:
        return self.p_value < SURPRISING


def p_value(observed: float, replicated: np.ndarray) -> float:
    """Two-sided mid-p of one number among `replicated (draws,)`; at least 1 / (draws + 1)."""
    above = one_sided(observed, replicated)
    return float(min(1.0, 2 * min(above, 1 - above)))


def one_sided(observed: float, replicated: np.ndarray) -> float:
    """P(replicated > observed), ties half, the observed data set counting as one more tie."""
    rounding = 1e-12 * max(1.0, abs(observed))
    above = (replicated > observed + rounding).sum()
    ties = (np.abs(replicated - observed) <= rounding).sum()
    return float((above + (ties + 1) / 2) / (len(replicated) + 1))


def some(replicated: Sites) -> dict[str, np.ndarray]:
    """Evenly spaced data sets of `(chain, draw, *shape)` as `(draws, *shape)`, as many as are cheap to look at."""
    flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in replicated.items()}
    total = len(next(iter(flat.values())))
    size = sum(values[0].size for values in flat.values())
    keep = int(np.clip(MOST_VALUES // max(1, size), 1, min(total, MOST_REPLICATES)))
    chosen = np.linspace(0, total - 1, keep).round().astype(int)
    return {name: values[chosen].astype(float) for name, values in flat.items()}


def findings(statistics: Mapping[str, Statistic], data: Data, replicated: Sites) -> list[Finding]:
    """Every statistic that applies to the data. replicated: data sets by observed site, `(chain, draw, *shape)`."""
    known = {name: values for name, values in replicated.items() if name in data.observed}
    if not known:
        return []
    context = Context(data, some(known))
    observed = {name: np.asarray(data.observed[name], dtype=float)[None] for name in known}
    found = (finding(name, statistic, observed, context) for name, statistic in statistics.items())
    return [one for one in found if one is not None]


def finding(name: str, statistic: Statistic, observed: Sites, context: Context) -> Finding | None:
    here = statistic.function(observed, context)
    if here is None:
        return None
    there = statistic.function(context.replicated, context)
    if isinstance(here, Elements) and isinstance(there, Elements):
        return worst_element(name, statistic, here, there)
    assert isinstance(here, np.ndarray) and isinstance(there, np.ndarray)
    copies = there[np.isfinite(there)]
    if not len(copies) or not np.isfinite(here[0]):
        return None
    chance = (one_sided if statistic.only_more else p_value)(float(here[0]), copies)
    return told(name, "", statistic, float(here[0]), copies, chance)


def worst_element(name: str, statistic: Statistic, here: Elements, there: Elements) -> Finding | None:
    """The element furthest from what is generated, in standard deviations; how often chance alone goes as far."""
    known = np.isfinite(here.values[0]) & np.isfinite(there.values).all(axis=0)
    if not known.any():
        return None
    values, copies = here.values[0, known], there.values[:, known]
    centre, spread = copies.mean(axis=0), copies.std(axis=0)
    unit = np.where(spread > 1e-12 * np.maximum(1.0, np.abs(centre)), spread, np.inf)
    gaps = np.abs(values - centre) / unit
    largest = (np.abs(copies - centre) / unit).max(axis=1)
    place = int(gaps.argmax())
    label = [label for label, kept in zip(here.labels, known, strict=True) if kept][place]
    chance = one_sided(float(gaps[place]), largest)
    return told(name, label, statistic, float(values[place]), copies[:, place], chance)


def told(
    name: str, element: str, statistic: Statistic, observed: float, replicated: np.ndarray, chance: float
) -> Finding:
    """The finding in a sentence that points at what the model misses."""
    low, high = (float(end) for end in np.quantile(replicated, [0.025, 0.975]))
    mean = float(replicated.mean())
    about = statistic.about + (f", `{element}`," if element else "")
    words = f"{about} is {number(observed, 3)} in the data"
    if chance >= SURPRISING:
        spread = f"{number(low, 3)} to {number(high, 3)}"
        return Finding(
            name, element, observed, mean, low, high, chance, f"{words}, and {spread} in 95% of generated data sets"
        )
    more = observed > mean
    reason = statistic.more if more else statistic.less
    sentence = (
        f"{words}, {'more' if more else 'less'} than the model generates ({number(low, 3)} to {number(high, 3)}, "
        f"p = {number(chance, 2)})" + (f": {reason}" if reason else "")
    )
    return Finding(name, element, observed, mean, low, high, chance, sentence)


def verdict(found: Sequence[Finding]) -> str:
    """One sentence: whether the model generates such data, and what it misses."""
    missed = [finding for finding in found if finding.surprising]
    if not found:
        return "No test statistic applies to these data."
    if not missed:
        return (
            f"In {counted(len(found), 'test statistic')} the data look like data that the model generates: "
            + listed([finding.name for finding in found])
            + "."
        )
    return "The model does not generate such data: " + "; ".join(finding.message for finding in missed) + "."
