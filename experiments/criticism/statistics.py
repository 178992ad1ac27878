"""Posterior predictive checks: test statistics of the observed data among those of data that the model generates.

    p = 2 min(P(T_rep > T), P(T_rep < T)), ties counting half, and the observed data set as one of the generated ones

(Gelman, Meng & Stern 1996; Rubin 1984). A p-value near 0 says that the model does not generate such data. One near 1 is
no praise: what the model was fitted to, it fits. A statistic with many elements (a rate for each group) is judged by
its largest standardised gap, against the largest gaps of generated data, so that many elements find no more by chance.

The threshold is that of one statistic. No family has more than ten: by Bonferroni's bound a model that is right is
flagged in one data set of twenty at most, and in fewer, as fitted models are closer to their data than p-values take
them to be (Meng 1994): in 3 of 790 that were simulated from models of all families and fitted again.
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


@dataclass
class Context:
    """What statistics may know beside the data set at hand: the data, and the model's expectation of every row.

    replicated: generated data sets by observed site, `(draws, *shape)`. others: those that expectations come from, the
    same by default. A data set is closer to a mean that it is part of than the observed one is. asked: whether a
    statistic has asked for expectations.
    """

    data: Data
    replicated: Sites
    others: Sites | None = None
    asked: bool = False

    @property
    def known(self) -> Sites:
        """The data sets that say what is to be expected."""
        self.asked = True
        return self.replicated if self.others is None else self.others

    @property
    def expected(self) -> dict[str, np.ndarray]:
        """Mean over generated data sets by site, `shape`."""
        self.asked = True
        return self.moments[0]

    @property
    def variance(self) -> dict[str, np.ndarray]:
        self.asked = True
        return self.moments[1]

    @cached_property
    def moments(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        known = self.known
        mean = {name: values.mean(axis=0) for name, values in known.items()}
        return mean, {name: values.var(axis=0) for name, values in known.items()}

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
    the model generates. only_more: less is no misfit, as of a distance from what was fitted to the same rows. extreme:
    of many data sets such numbers are not about normal.
    """

    function: Function
    about: str
    more: str = ""
    less: str = ""
    only_more: bool = False
    extreme: bool = False


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
    surprising: bool = False

    @property
    def gap(self) -> float:
        """How far the data are from the mean of generated ones, in standard deviations of a normal law."""
        unit = (self.upper - self.lower) / 3.92
        return abs(self.observed - self.mean) / unit if unit > 0 else np.inf


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


def beyond(observed: float, replicated: np.ndarray, statistic: Statistic, elements: int = 1) -> float:
    """P-value of a number that lies outside all of few replicates `(draws,)`, as normal ones have it: Student's t, with
    Bonferroni's bound where it is the furthest of many. Of extremes, which are not normal, no more than their rank.

    Of data so large that memory holds few copies no misfit would else be seen: one of ten data sets is never rare.
    """
    from scipy.stats import t

    count, spread = len(replicated), float(replicated.std(ddof=1)) if len(replicated) > 1 else 0.0
    if spread == 0 or statistic.extreme:
        return 2 / (count + 1)
    gap = abs(observed - float(replicated.mean())) / (spread * np.sqrt(1 + 1 / count))
    return float(min(1.0, 2 * elements * t.sf(gap, count - 1)))


def some(replicated: Sites) -> dict[str, np.ndarray]:
    """Evenly spaced data sets of `(chain, draw, *shape)` as `(draws, *shape)`, as many as are cheap to look at."""
    flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in replicated.items()}
    total = len(next(iter(flat.values())))
    size = sum(values[0].size for values in flat.values())
    keep = int(np.clip(MOST_VALUES // max(1, size), 1, min(total, MOST_REPLICATES)))
    chosen = slice(None) if keep == total else np.linspace(0, total - 1, keep).round().astype(int)
    return {name: np.asarray(values[chosen], dtype=float) for name, values in flat.items()}


def findings(
    statistics: Mapping[str, Statistic], data: Data, replicated: Sites, least: float = SURPRISING
) -> list[Finding]:
    """Every statistic that applies to the data. replicated: data sets by observed site, `(chain, draw, *shape)`; least:
    a p-value below it is a misfit."""
    known = {name: values for name, values in replicated.items() if name in data.observed}
    if not known:
        return []
    copies = some(known)
    halves = [{name: values[start::2] for name, values in copies.items()} for start in (0, 1)]
    contexts = Context(data, copies), Context(data, halves[0], halves[1])
    observed = {name: np.asarray(data.observed[name], dtype=float)[None] for name in known}
    found = (finding(name, statistic, observed, contexts, least) for name, statistic in statistics.items())
    return [one for one in found if one is not None]


def finding(
    name: str, statistic: Statistic, observed: Sites, contexts: tuple[Context, Context], least: float
) -> Finding | None:
    """contexts: with all generated data, and with half of them apart, for a statistic that asks what is expected."""
    context, halved = contexts
    context.asked = False
    here = statistic.function(observed, context)
    if context.asked and all(len(values) > 1 for values in halved.replicated.values()):
        context = halved
        here = statistic.function(observed, context)
    if here is None:
        return None
    there = statistic.function(context.replicated, context)
    if isinstance(here, Elements) and isinstance(there, Elements):
        return worst_element(name, statistic, here, there, least)
    assert isinstance(here, np.ndarray) and isinstance(there, np.ndarray)
    copies, value = there[np.isfinite(there)], float(here[0])
    if not len(copies) or not np.isfinite(value):
        return None
    chance = (one_sided if statistic.only_more else p_value)(value, copies)
    outside = value > copies.max() or (value < copies.min() and not statistic.only_more)
    if outside and len(copies) * least < 2:
        chance = beyond(value, copies, statistic)
    return told(name, "", statistic, value, copies, chance, least)


def worst_element(name: str, statistic: Statistic, here: Elements, there: Elements, least: float) -> Finding | None:
    """The element furthest from the others, in standard deviations; how often chance alone goes as far.

    Centre and spread are those of all data sets, the observed one being among them: it is treated as any other, and an
    element that no copy varies in, but the data do, is as far from them as a copy would be that alone does.
    """
    known = np.isfinite(here.values[0]) & np.isfinite(there.values).all(axis=0)
    if not known.any():
        return None
    table = np.vstack([here.values[:, known], there.values[:, known]])
    centre, spread = table.mean(axis=0), table.std(axis=0)
    unit = np.where(spread > 1e-12 * np.maximum(1.0, np.abs(centre)), spread, np.inf)
    gaps = np.abs(table - centre) / unit
    place = int(gaps[0].argmax())
    label = [label for label, kept in zip(here.labels, known, strict=True) if kept][place]
    value, copies, largest = float(table[0, place]), table[1:, place], gaps[1:].max(axis=1)
    chance = one_sided(float(gaps[0, place]), largest)
    if gaps[0, place] > largest.max() and len(copies) * least < 2:
        chance = beyond(value, copies, statistic, table.shape[1])
    return told(name, label, statistic, value, copies, chance, least)


def told(
    name: str, element: str, statistic: Statistic, observed: float, replicated: np.ndarray, chance: float, least: float
) -> Finding:
    """The finding in a sentence that points at what the model misses."""
    low, high = (float(end) for end in np.quantile(replicated, [0.025, 0.975]))
    mean = float(replicated.mean())
    about = statistic.about + (f", `{element}`," if element else "")
    words = f"{about} is {number(observed, 3)} in the data"
    if chance >= least:
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
    return Finding(name, element, observed, mean, low, high, chance, sentence, True)


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
