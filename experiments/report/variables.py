"""What the report talks about: every scalar of every site, the backend to measure others by, the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.agreement import trusted
from experiments.results import Result
from inference.posterior import Posterior


class Variable(NamedTuple):
    """One scalar: its site, its place there, and its name as in the summary, `beta[age]`."""

    site: str
    position: tuple[int, ...]
    name: str

    @property
    def last(self) -> Any:
        """The place in any array whose last axes are the site's."""
        return (..., *self.position)


def variables(result: Result) -> list[Variable]:
    """Every scalar that any backend has, in the order of the first backend that has it."""
    found: dict[str, Variable] = {}
    for fit in result.fits.values():
        for site in fit.posterior.draws:
            for index, name in fit.posterior.elements(site):
                found.setdefault(name, Variable(site, index, name))
    return list(found.values())


def some(chosen: Sequence[Variable], limit: int) -> list[Variable]:
    """At most `limit` variables, in order: small sites whole, large ones by their first elements; no site is lost."""
    sizes: dict[str, int] = {}
    for variable in chosen:
        sizes[variable.site] = sizes.get(variable.site, 0) + 1
    allowed: dict[str, int] = {}
    for turn, site in enumerate(sorted(sizes, key=lambda name: sizes[name])):
        allowed[site] = min(sizes[site], (limit - sum(allowed.values())) // (len(sizes) - turn))
    kept = []
    for variable in chosen:
        if allowed[variable.site] > 0:
            allowed[variable.site] -= 1
            kept.append(variable)
    return kept


def has(posterior: Posterior, variable: Variable) -> bool:
    """Whether this backend knows the variable."""
    return variable.site in posterior.draws and len(variable.position) == posterior.draws[variable.site].ndim - 2


def draws_of(sites: Mapping[str, np.ndarray], variable: Variable) -> np.ndarray:
    """Draws of one variable, `(chain, draw)`."""
    return sites[variable.site][variable.last]


def reference(result: Result) -> str:
    """The backend that the others are measured against."""
    return trusted(result.fits)


def truth_of(result: Result, variable: Variable) -> float | None:
    """The value that the data were simulated with, None where there is none."""
    if variable.site not in result.truth:
        return None
    return float(np.asarray(result.truth[variable.site])[variable.position])


class Quantiles:
    """Quantiles of a posterior's variables, computed once a site."""

    def __init__(self, posterior: Posterior, probabilities: Sequence[float]) -> None:
        self.by_site = {site: posterior.quantile(site, probabilities) for site in posterior.draws}

    def __getitem__(self, variable: Variable) -> list[float]:
        return [float(value) for value in self.by_site[variable.site][variable.last]]
