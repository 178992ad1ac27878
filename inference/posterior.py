"""What every backend returns: draws, what the sampler or optimiser knew, and, where the posterior is known in closed
form, its marginals. NumPy only: nothing after inference needs tensors.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from models.base import Dims

PROBABILITIES = {"q5": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
DIAGNOSTICS = ("mcse_mean", "ess_bulk", "ess_tail", "r_hat")


class Marginal(Protocol):
    """A distribution known in closed form, elementwise of the site's shape; SciPy's frozen distributions are
    marginals."""

    def mean(self) -> Any: ...
    def std(self) -> Any: ...
    def ppf(self, q: Any) -> Any: ...
    def pdf(self, x: Any) -> Any: ...


@dataclass(frozen=True)
class Posterior:
    """A fit. `draws[name]` has shape `(chain, draw, *shape)`: latent sites and deterministic ones, by site name.

    backend: `exact`, `svi`, `nuts`.
    dims, coords: axis names of every site (without chain and draw), labels along them.
    sample_stats: the sampler's own record of every draw, `(chain, draw)`, under ArviZ's names; empty unless
    `dependent`.
    dependent: draws come from Markov chains, so that R-hat and effective sample size mean something.
    marginals: closed-form marginals by site, `exact` only.
    facts: what only this backend knows, for the manifest (plain numbers, strings, lists): log_evidence; elbo,
    k_hat; gradients ...
    seconds: `setup`, `warmup`, `sampling`.
    """

    backend: str
    draws: Mapping[str, np.ndarray]
    dims: Dims
    coords: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    sample_stats: Mapping[str, np.ndarray] = field(default_factory=dict)
    dependent: bool = False
    marginals: Mapping[str, Marginal] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def num_draws(self) -> int:
        chains, draws = next(iter(self.draws.values())).shape[:2]
        return chains * draws

    def quantile(self, name: str, probabilities: float | Sequence[float]) -> np.ndarray:
        """Quantiles of a site, `(*probabilities, *shape)`: analytic where the marginal is known, else of the draws."""
        asked = np.asarray(probabilities, dtype=float)
        if name in self.marginals:
            shape = self.draws[name].shape[2:]
            return np.asarray(self.marginals[name].ppf(asked.reshape(asked.shape + (1,) * len(shape))))
        return np.quantile(self.draws[name], asked, axis=(0, 1))

    def interval(self, name: str, mass: float = 0.95) -> np.ndarray:
        """The equal-tailed interval that holds `mass`, `(2, *shape)`."""
        return self.quantile(name, [(1 - mass) / 2, (1 + mass) / 2])

    def elements(self, name: str) -> Iterator[tuple[tuple[int, ...], str]]:
        """Every element of a site: its index and its name as ArviZ writes it, `theta`, `weights[0]`, `beta[age]`."""
        shape = self.draws[name].shape[2:]
        labels = [list(self.coords.get(dim, range(size))) for dim, size in zip(self.dims[name], shape, strict=True)]
        for index in itertools.product(*map(range, shape)):
            label = ", ".join(str(names[i]) for names, i in zip(labels, index, strict=True))
            yield index, f"{name}[{label}]" if index else name

    def summary(self) -> dict[str, dict[str, float | None]]:
        """`{variable: {mean, sd, mcse_mean, ess_bulk, ess_tail, r_hat, q5, q25, q50, q75, q95}}`; None where
        there is no such number.

        Exact marginals have mcse 0 and no effective sample size; independent draws (svi, functions of exact
        draws) have a mcse of sd / sqrt(draws); Markov chains have all three (Vehtari, Gelman, Simpson,
        Carpenter & Bürkner 2021).
        """
        table: dict[str, dict[str, float | None]] = {}
        for name in self.draws:
            columns = self._columns(name)
            for index, variable in self.elements(name):
                numbers = {key: None if values is None else values[index] for key, values in columns.items()}
                table[variable] = {key: None if number is None else float(number) for key, number in numbers.items()}
        return table

    def _columns(self, name: str) -> dict[str, np.ndarray | None]:
        draws = self.draws[name]
        none: dict[str, np.ndarray | None] = dict.fromkeys(DIAGNOSTICS)
        if name in self.marginals:
            marginal = self.marginals[name]
            moments = {"mean": np.asarray(marginal.mean()), "sd": np.asarray(marginal.std())}
            none["mcse_mean"] = np.zeros(draws.shape[2:])
        else:
            moments = {"mean": draws.mean(axis=(0, 1)), "sd": draws.std(axis=(0, 1), ddof=1)}
            none["mcse_mean"] = moments["sd"] / np.sqrt(self.num_draws)
        if self.dependent:
            none = dict(chain_diagnostics(draws))
        quantiles = self.quantile(name, list(PROBABILITIES.values()))
        return {**moments, **none, **dict(zip(PROBABILITIES, quantiles, strict=True))}


def chain_diagnostics(draws: np.ndarray) -> dict[str, np.ndarray | None]:
    """Diagnostics of `draws (chain, draw, *shape)`; None where there is nothing to diagnose: an element that no draw
    changes (a constant), the R-hat of a single chain. A NaN that remains is a failure of the chains."""
    from inference import arviz_bridge

    found = {name: values.astype(object) for name, values in arviz_bridge.diagnostics(draws).items()}
    constant = np.ptp(draws, axis=(0, 1)) == 0
    for values in found.values():
        values[constant] = None
    return {**found, "r_hat": found["r_hat"] if len(draws) > 1 else None}
