"""Importance sampling: its known efficiency, its answers, and its honesty about a proposal that misses."""

from __future__ import annotations

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import scipy.special
import scipy.stats
import torch
from cases import flips, monte_carlo, off_by

from inference import Importance, fit
from models import BetaBernoulli, Prior
from models.base import Data
from models.errors import InputError

ROWS = flips(7, 3)


def test_draws_of_a_uniform_prior_are_worth_what_the_integral_says():
    """A Beta(9, 5) posterior under a uniform prior: ESS / N = 1 / E[w^2] = 0.444026, w the posterior's density."""
    model = BetaBernoulli()
    data = model.data(flips(8, 4))
    found = fit(model, data, Importance(proposal="prior", num_proposals=8000), seed=1)
    # E w^2 and E w^4, which is the error of the mean of w^2
    log_beta = scipy.special.betaln
    second = np.exp(log_beta(17, 9) - 2 * log_beta(9, 5))
    fourth = np.exp(log_beta(33, 17) - 4 * log_beta(9, 5))
    assert 1 / second == pytest.approx(0.444026059411, abs=1e-12)
    error = np.sqrt((fourth / second**2 - 1) / 8000)
    assert abs(found.facts["importance_efficiency"] - 1 / second) < 4 * error / second
    assert found.facts["k_hat"] < 0.5
    assert found.facts["log_evidence_estimate"] == pytest.approx(-np.log(13 * scipy.special.comb(12, 8)), abs=0.06)


@pytest.mark.parametrize("proposal", ["prior", "laplace"])
def test_a_rate_has_its_posterior_and_its_evidence(proposal):
    model = BetaBernoulli(prior=Prior("beta", (2.0, 2.0)))
    found = fit(model, model.data(ROWS), Importance(proposal=proposal), seed=2)
    truth = scipy.stats.beta(9, 5)
    assert max(off_by(monte_carlo(found.draws["theta"], dependent=False), truth.mean(), truth.std()).values()) < 4
    assert found.facts["log_evidence_estimate"] == pytest.approx(-6.977747650802, abs=0.03)
    assert not found.dependent and len(found.sample_stats) == 0


def correlated() -> None:
    x = pyro.sample("x", dist.Normal(torch.zeros(2), torch.tensor([1.0, 2.0])).to_event(1))
    pyro.sample("y", dist.Normal(x.sum(), 0.5))


@pytest.mark.parametrize("proposal", ["prior", "laplace"])
def test_a_normal_in_two_dimensions(proposal):
    found = fit(correlated, Data(observed={"y": np.array(2.0)}), Importance(proposal=proposal), seed=3)
    prior = np.diag([1.0, 4.0])
    gain = prior @ np.ones(2) / (5 + 0.25)
    mean, covariance = gain * 2.0, prior - np.outer(gain, np.ones(2) @ prior)
    gaps = off_by(monte_carlo(found.draws["x"], dependent=False), mean, np.sqrt(np.diag(covariance)))
    assert max(gaps.values()) < 4


def test_a_proposal_that_misses_leaves_few_draws_and_says_so():
    found = fit(
        correlated, Data(observed={"y": np.array(60.0)}), Importance(proposal="prior", num_proposals=2000), seed=4
    )
    assert found.facts["k_hat"] > 0.7
    assert found.facts["importance_efficiency"] < 0.01
    assert found.num_draws < 25


def test_the_same_seed_gives_the_same_draws():
    draws = [fit(correlated, Data(observed={"y": np.array(1.0)}), "importance", seed=s).draws["x"] for s in (5, 5, 6)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert draws[0].shape != draws[2].shape or not np.array_equal(draws[0], draws[2])


def flat() -> None:
    pyro.sample("x", dist.ImproperUniform(dist.constraints.real, (), ()))
    pyro.sample("y", dist.Normal(torch.tensor(0.0), 1.0))


def nowhere() -> None:
    pyro.sample("x", dist.Normal(torch.tensor(0.0), 1.0))
    pyro.factor("never", torch.tensor(-torch.inf))


@pytest.mark.parametrize(
    "program, proposal, rule",
    [(flat, "prior", "a flat prior has no draws to propose"), (flat, "laplace", "has no mode with curvature")],
)
def test_a_proposal_that_does_not_exist_is_refused(program, proposal, rule):
    with pytest.raises(InputError, match=rule):
        fit(program, Data(observed={"y": np.array(0.0)}), Importance(proposal=proposal))


def test_a_density_that_is_nowhere_is_refused():
    with pytest.raises(InputError):
        fit(nowhere, Data(), Importance(proposal="prior", num_proposals=200))
