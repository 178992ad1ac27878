"""Simulation-based calibration of the batched engine (Talts, Betancourt, Simpson, Vehtari & Gelman 2018).

Parameters from the prior, data from the parameters, a fit: the rank of the parameter among independent posterior draws
is uniform, and so is that of the log-likelihood (Modrák et al. 2023), which sees what the parameters alone do not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import scipy.stats

from inference import Nuts, fit
from models.base import Data

REPLICATES, BINS = 160, 8
CHAINS, THINNING = 8, 8
RANKS = 64  # draws after thinning are 63, so that ranks 0 to 63 fall evenly into the bins
SETTINGS = Nuts(num_chains=CHAINS, num_warmup=100, num_samples=THINNING * RANKS // CHAINS)
LEVEL = 1e-4  # of a false alarm, for each quantity; the seeds are fixed besides


def normal(rows: int) -> None:
    mu = pyro.sample("mu", dist.Normal(0.0, 2.0))
    log_scale = pyro.sample("log_scale", dist.Normal(0.0, 0.7))
    with pyro.plate("row", rows):
        pyro.sample("y", dist.Normal(mu, log_scale.exp()))


def draw_normal(rng: np.random.Generator) -> tuple[dict[str, Any], np.ndarray]:
    truth = {"mu": rng.normal(0, 2), "log_scale": rng.normal(0, 0.7)}
    return truth, rng.normal(truth["mu"], np.exp(truth["log_scale"]), size=6)


def normal_likelihood(draws: dict[str, Any], y: np.ndarray) -> np.ndarray:
    mu, scale = (np.asarray(draws[name])[..., None] for name in ("mu", "log_scale"))
    return scipy.stats.norm.logpdf(y, mu, np.exp(scale)).sum(axis=-1)


def rates(groups: int) -> None:
    centre = pyro.sample("centre", dist.Beta(2.0, 2.0))
    with pyro.plate("group", groups):
        theta = pyro.sample("theta", dist.Beta(5 * centre, 5 * (1 - centre)))
        pyro.sample("y", dist.Binomial(8, theta))


def draw_rates(rng: np.random.Generator) -> tuple[dict[str, Any], np.ndarray]:
    centre = rng.beta(2, 2)
    theta = rng.beta(5 * centre, 5 * (1 - centre), size=3)
    return {"centre": centre, "theta": theta}, rng.binomial(8, theta).astype(float)


def rates_likelihood(draws: dict[str, Any], y: np.ndarray) -> np.ndarray:
    return scipy.stats.binom.logpmf(y, 8, draws["theta"]).sum(axis=-1)


class Calibrated(NamedTuple):
    """A program, its input, parameters and data drawn from it, and the log-likelihood of parameters."""

    program: Callable[..., None]
    inputs: dict[str, int]
    draw: Callable[[np.random.Generator], tuple[dict[str, Any], np.ndarray]]
    likelihood: Callable[[dict[str, Any], np.ndarray], np.ndarray]


CASES = [
    Calibrated(normal, {"rows": 6}, draw_normal, normal_likelihood),
    Calibrated(rates, {"groups": 3}, draw_rates, rates_likelihood),
]


def quantities(case: Calibrated, values: dict[str, Any], y: np.ndarray) -> dict[str, np.ndarray]:
    """Every scalar parameter and the log-likelihood, by name, of one point or of many."""
    found = {"likelihood": case.likelihood(values, y)}
    for name, value in values.items():
        value = np.asarray(value)
        elements = 3 if name == "theta" else 0
        found |= {f"{name}[{i}]": value[..., i] for i in range(elements)} if elements else {name: value}
    return found


def uniform(ranks: list[int]) -> float:
    """The p-value of the chi-square test for uniform ranks."""
    counts = np.bincount(np.array(ranks) * BINS // RANKS, minlength=BINS)
    return float(scipy.stats.chisquare(counts).pvalue)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.program.__name__)
def test_ranks_are_uniform(case: Calibrated) -> None:
    rng = np.random.default_rng(7)
    ranks: dict[str, list[int]] = {}
    narrowed: list[int] = []
    for replicate in range(REPLICATES):
        truth, y = case.draw(rng)
        posterior = fit(case.program, Data(case.inputs, {"y": y}), SETTINGS, seed=replicate)
        thinned = {
            name: values[:, ::THINNING].reshape(RANKS, *values.shape[2:])[1:]
            for name, values in posterior.draws.items()
        }
        true, drawn = quantities(case, truth, y), quantities(case, thinned, y)
        for name, values in drawn.items():
            ranks.setdefault(name, []).append(int((values < true[name]).sum()))
        first = drawn[next(iter(truth))]
        shrunk = first.mean() + 0.6 * (first - first.mean())
        narrowed.append(int((shrunk < true[next(iter(truth))]).sum()))
    found = {name: uniform(values) for name, values in ranks.items()}
    assert min(found.values()) > LEVEL, found
    # the test can tell: of draws with 0.6 of their spread the ranks are not uniform
    assert uniform(narrowed) < LEVEL
