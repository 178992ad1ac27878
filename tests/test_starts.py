"""Where chains start, and what they make of it."""

from __future__ import annotations

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

from inference import Nuts, fit
from inference.arviz_bridge import diagnostics
from inference.density import LogDensity
from inference.nuts.starts import MOST_POINTS, WIDER, starting_points
from inference.program import read
from inference.streams import workspace
from models.base import Data
from models.errors import InputError

COVARIANCE = torch.tensor([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 4e-6]], dtype=torch.float64)
MEAN = torch.tensor([100.0, -3.0, 5.0], dtype=torch.float64)


def far() -> None:
    """Of three scales, and far from where random starts lie."""
    pyro.sample("x", dist.MultivariateNormal(MEAN, COVARIANCE))


def one_sided() -> None:
    """The density grows for ever: towards x = 0, where log x leaves for minus infinity."""
    pyro.sample("x", dist.Gamma(torch.tensor(1.0), torch.tensor(1.0)))
    pyro.factor("pole", -1.5 * torch.log(pyro.sample("y", dist.HalfNormal(torch.tensor(1.0)))))


@pytest.fixture
def inside():
    with workspace(1):
        yield


def found(program, init: str, num_chains: int) -> np.ndarray:
    return starting_points(init, num_chains, LogDensity(read(program, Data())), seed=3)


@pytest.mark.parametrize("init", ["uniform", "svi", "laplace"])
def test_chains_share_few_points_with_their_neighbours(init, inside):
    z = found(far, init, 64)
    distinct, first, counts = np.unique(z, axis=0, return_index=True, return_counts=True)
    assert z.shape == (64, 3) and len(distinct) == MOST_POINTS and np.all(counts == 4)
    assert np.all(first % 4 == 0) and np.array_equal(z[::4], z[3::4])
    assert len(np.unique(found(far, init, 5), axis=0)) == 5


@pytest.mark.parametrize("init", ["svi", "laplace"])
def test_draws_of_an_approximation_are_a_little_wider_than_the_posterior(init, inside):
    z = found(far, init, 16)
    scaled = np.linalg.solve(np.linalg.cholesky(COVARIANCE.numpy()), (z - MEAN.numpy()).T)
    # 48 standard normals times WIDER: chi-squared bounds at 1e-5; svi's scales are good to a tenth besides
    assert 0.9**2 * 16.4 < (scaled**2).sum() / WIDER**2 < 1.1**2 * 102


@pytest.mark.parametrize("init", ["uniform", "svi", "laplace"])
def test_every_start_leads_to_the_posterior(init):
    posterior = fit(far, Data(), Nuts(num_samples=300, init=init), seed=2)
    x = posterior.draws["x"]
    error = diagnostics(x)["mcse_mean"]
    assert np.all(np.abs(x.mean(axis=(0, 1)) - MEAN.numpy()) < 4.5 * error)
    squared = (x - MEAN.numpy()) ** 2
    error = diagnostics(squared)["mcse_mean"]
    assert np.all(np.abs(squared.mean(axis=(0, 1)) - COVARIANCE.diagonal().numpy()) < 4.5 * error)


def test_a_density_without_a_mode_has_no_laplace_start():
    with pytest.raises(InputError, match=r"^init: one_sided has no mode with curvature to start from; use `uniform`"):
        fit(one_sided, Data(), Nuts(init="laplace"), seed=1)
