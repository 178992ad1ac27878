"""Hamiltonian Monte Carlo of one length and random-walk Metropolis: right, and open about their autocorrelation."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import scipy.stats
import torch
from cases import monte_carlo, off_by

from inference import Hmc, Metropolis, Nuts, fit
from inference.posterior import Posterior
from models.base import Data
from models.errors import InputError

MEAN, COVARIANCE = np.array([1.0, -2.0]), np.array([[1.0, 1.2], [1.2, 2.0]])


def beta() -> None:
    pyro.sample("p", dist.Beta(torch.tensor(9.0), 5.0))


def normal() -> None:
    loc, scale = torch.from_numpy(MEAN), torch.from_numpy(np.linalg.cholesky(COVARIANCE))
    pyro.sample("x", dist.MultivariateNormal(loc, scale_tril=scale))


SETTINGS = {
    "hmc": Hmc(num_samples=1000),
    "hmc, short": Hmc(num_samples=2000, trajectory_length=0.7, metric="diag"),
    "metropolis": Metropolis(num_samples=6000),
    "metropolis, interpreted": Metropolis(num_samples=3000, compile="never", num_warmup=400),
    "hmc, interpreted": Hmc(num_samples=600, compile="never"),
}


@cache
def posterior(program, name) -> Posterior:
    return fit(program, Data(), SETTINGS[name], seed=11)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_beta_with_one_parameter(name):
    found = posterior(beta, name)
    truth = scipy.stats.beta(9, 5)
    gaps = off_by(monte_carlo(found.draws["p"], dependent=True), truth.mean(), truth.std())
    assert max(gaps.values()) < 4
    below = [(found.draws["p"] < truth.ppf(q)).astype(float) for q in (0.05, 0.5, 0.95)]
    for share, q in zip(below, (0.05, 0.5, 0.95), strict=True):
        assert off_by(monte_carlo(share, dependent=True), q, (q * (1 - q)) ** 0.5)["mean"] < 4


@pytest.mark.parametrize("name", SETTINGS)
def test_a_normal_in_two_dimensions(name):
    draws = posterior(normal, name).draws["x"]
    gaps = off_by(monte_carlo(draws, dependent=True), MEAN, np.sqrt(np.diag(COVARIANCE)))
    assert max(gaps.values()) < 4
    product = (draws[..., 0] - MEAN[0]) * (draws[..., 1] - MEAN[1])
    assert off_by(monte_carlo(product, dependent=True), 1.2, (2.0 + 1.2**2) ** 0.5)["mean"] < 4


def test_acceptance_comes_out_as_asked():
    for name, wanted in (("hmc, short", 0.8), ("metropolis", 0.234)):
        rate = posterior(normal, name).sample_stats["acceptance_rate"].mean()
        assert abs(rate - wanted) < 0.06, name


def test_the_random_walk_does_not_hide_its_autocorrelation():
    share = {
        name: posterior(normal, name).summary()["x[0]"]["ess_bulk"] / posterior(normal, name).num_draws
        for name in ("hmc", "metropolis")
    }
    assert share["metropolis"] < 0.3 < 0.4 < share["hmc"]


def test_every_trajectory_has_the_length_that_was_asked_for():
    found = posterior(normal, "hmc, short")
    steps, step = found.sample_stats["n_steps"], found.facts["step_size"]
    assert np.ptp(steps) == 0 and steps.max() == max(1, round(0.7 / step))


def test_what_each_sampler_tells_of_a_draw():
    assert set(posterior(beta, "hmc").sample_stats) == {
        "lp", "energy", "acceptance_rate", "n_steps", "diverging", "step_size"
    }  # fmt: skip
    assert set(posterior(beta, "metropolis").sample_stats) == {"lp", "acceptance_rate", "step_size"}
    assert posterior(beta, "metropolis").backend == "metropolis"


@pytest.mark.parametrize("settings", [Hmc(num_samples=50, num_warmup=40), Metropolis(num_samples=50, num_warmup=40)])
def test_the_same_seed_gives_the_same_draws_on_any_number_of_threads(settings):
    draws = [fit(normal, Data(), settings, seed=3, num_threads=threads).draws["x"] for threads in (1, 2)]
    np.testing.assert_array_equal(*draws)
    assert not np.array_equal(draws[0], fit(normal, Data(), settings, seed=4).draws["x"])


def test_divergences_of_hmc_are_counted():
    def funnel() -> None:
        log_scale = pyro.sample("log_scale", dist.Normal(torch.tensor(0.0), 3.0))
        pyro.sample("x", dist.Normal(torch.zeros(9), (log_scale / 2).exp()).to_event(1))

    found = fit(funnel, Data(), Hmc(num_samples=200), seed=1)
    assert found.facts["divergences"] == found.sample_stats["diverging"].sum() > 0


@pytest.mark.parametrize("name", ["hmc", "metropolis"])
def test_a_density_that_is_nowhere_finite_is_refused(name):
    def broken() -> None:
        pyro.sample("x", dist.Normal(torch.tensor(0.0), 1.0))
        pyro.factor("f", torch.tensor(float("nan")))

    with pytest.raises(InputError):
        fit(broken, Data(), name)


def test_nuts_remains_the_yardstick():
    """The three agree on what none of them was told."""

    def skewed() -> None:
        pyro.sample("x", dist.Gamma(torch.tensor(2.0), 0.5))

    means = {}
    for settings in (Nuts(), Hmc(), Metropolis()):
        found = monte_carlo(fit(skewed, Data(), settings, seed=5).draws["x"], dependent=True)
        means[type(settings).__name__] = found
    for found in means.values():
        assert max(off_by(found, 4.0, 8.0**0.5).values()) < 4


def test_progress_says_what_is_to_be_watched():
    """A random walk has no divergences: it tells how often it moves."""
    told: dict[str, str] = {}
    for settings in (Metropolis(num_samples=300), Hmc(num_samples=50)):
        found = fit(
            beta, Data(), settings, seed=2, progress=lambda task, done, total, note="": told.update({task: note})
        )
        note = told[f"{found.backend}, {settings.num_chains} chains"].split(", ")[0]
        rate = float(found.sample_stats["acceptance_rate"].mean())
        assert note == (f"{rate:.0%} accepted" if found.backend == "metropolis" else "0 divergences")
