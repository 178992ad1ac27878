"""Modes: against SciPy, a hand-written Newton iteration, closed forms, and where there is none to find."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import scipy.optimize
import scipy.special
import torch
from torch import Tensor

from inference import Svi, fit
from inference.density import LogDensity
from inference.modes import Mode, find_mode, inverse
from inference.program import read
from inference.streams import workspace
from models import BetaBernoulli, Prior
from models.base import Data
from models.errors import InputError

GENERATOR = np.random.default_rng(4)
X = GENERATOR.normal(size=(60, 3)) * [1.0, 2.0, 0.3]
Y = (GENERATOR.random(60) < scipy.special.expit(X @ [1.0, -0.7, 0.5] + 0.3)).astype(float)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    with workspace(1):
        yield


def logistic(x: Tensor, scale: float) -> None:
    intercept = pyro.sample("intercept", dist.Normal(0.0, scale))
    beta = pyro.sample("beta", dist.Normal(torch.zeros(x.shape[1]), scale).to_event(1))
    with pyro.plate("row", len(x)):
        pyro.sample("y", dist.Bernoulli(logits=intercept + x @ beta))


def climbed(density: LogDensity, seed: int = 0) -> Mode:
    return find_mode(density, density.start(torch.Generator().manual_seed(seed)))


def newton(scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Iteratively reweighted least squares with a ridge of 1 / scale^2: the mode and minus the inverse Hessian."""
    design = np.column_stack([np.ones(len(X)), X])
    beta = np.zeros(4)
    for _ in range(50):
        p = scipy.special.expit(design @ beta)
        hessian = design.T @ (design * (p * (1 - p))[:, None]) + np.eye(4) / scale**2
        beta = beta + np.linalg.solve(hessian, design.T @ (Y - p) - beta / scale**2)
    return beta, np.linalg.inv(hessian)


@pytest.mark.parametrize("scale", [0.5, 2.5, 1e4], ids=["strong prior", "weak prior", "maximum likelihood"])
def test_logistic_mode_and_curvature_are_those_of_newtons_iteration(scale: float) -> None:
    mode = climbed(LogDensity(read(logistic, Data({"x": X, "scale": scale}, {"y": Y}))))
    beta, covariance = newton(scale)
    assert mode.converged and mode.escaped is None and mode.covariance is not None
    np.testing.assert_allclose(mode.z.numpy(), beta, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(mode.covariance.numpy(), covariance, rtol=1e-8, atol=1e-12)


def test_logistic_mode_is_where_scipy_finds_it() -> None:
    design = np.column_stack([np.ones(len(X)), X])

    def loss(beta: np.ndarray) -> float:
        signs = 2 * Y - 1
        return float(-scipy.special.log_expit(signs * (design @ beta)).sum() + (beta**2).sum() / 2)

    found = scipy.optimize.minimize(
        loss, np.zeros(4), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-12, "maxiter": 5000}
    )
    mode = climbed(LogDensity(read(logistic, Data({"x": X, "scale": 1.0}, {"y": Y}))))
    np.testing.assert_allclose(mode.z.numpy(), found.x, atol=1e-5)


def test_every_start_climbs_to_the_one_mode_and_never_goes_down() -> None:
    density = LogDensity(read(logistic, Data({"x": X, "scale": 1.0}, {"y": Y})))
    modes = [climbed(density, seed) for seed in range(5)]
    for mode in modes:
        torch.testing.assert_close(mode.z, modes[0].z, rtol=1e-9, atol=1e-9)
        assert all(later >= earlier - 1e-9 for earlier, later in zip(mode.trace, mode.trace[1:], strict=False))
        assert mode.value == pytest.approx(density.one(mode.z)[0].item(), abs=1e-12)


def test_a_known_mode_is_not_polished_again_and_an_unknown_one_is() -> None:
    density = LogDensity(read(two_bumps, Data()))
    low, high = (find_mode(density, torch.tensor([start])) for start in (-2.0, 2.0))
    again = find_mode(density, torch.tensor([-2.5]), known=[high, low])
    assert again.z is low.z and again.trace[-1] == low.value and again.trace != low.trace
    other = find_mode(density, torch.tensor([2.5]), known=[low])
    assert other.z is not high.z
    torch.testing.assert_close(other.z, high.z, rtol=1e-8, atol=1e-8)


def two_bumps() -> None:
    m = pyro.sample("m", dist.Normal(0.0, 1.0).mask(False))
    weights = dist.Categorical(torch.tensor([0.3, 0.7]))
    bumps = dist.MixtureSameFamily(weights, dist.Normal(torch.tensor([-4.0, 4.0]), 1.0))
    pyro.factor("bumps", bumps.log_prob(m))


FLIPS = np.array([1.0] * 7 + [0.0] * 3)


def coin(a: float, b: float, ones: int, zeros: int, jacobian: bool) -> LogDensity:
    data = Data({"num_rows": ones + zeros}, {"y": np.array([1.0] * ones + [0.0] * zeros)})
    return LogDensity(read(BetaBernoulli(prior=Prior("beta", (a, b))), data), jacobian=jacobian)


def test_beta_mode_depends_on_the_scale_that_it_is_a_mode_on() -> None:
    """Posterior beta(9, 5): (a - 1) / (a + b - 2) on its own scale, a / (a + b) on the logit's."""
    own, logit = climbed(coin(2, 2, 7, 3, jacobian=False)), climbed(coin(2, 2, 7, 3, jacobian=True))
    assert own.z.sigmoid().item() == pytest.approx(8 / 12, abs=1e-12)
    assert logit.z.sigmoid().item() == pytest.approx(9 / 14, abs=1e-12)
    # curvature of a log z + b log(1 - z) by the logit is -(a + b) z (1 - z)
    assert logit.covariance is not None
    assert logit.covariance.item() == pytest.approx(1 / (14 * (9 / 14) * (5 / 14)), rel=1e-10)


def test_a_mode_at_the_border_is_reached_and_has_no_curvature() -> None:
    """beta(1, 4) decreases from 0 on: its density is finite there, so the border is the mode."""
    mode = climbed(coin(1, 1, 0, 3, jacobian=False))
    assert mode.converged and mode.covariance is None
    assert mode.z.sigmoid().item() < 1e-12


def test_a_density_without_bound_escapes_and_does_not_converge() -> None:
    """beta(0.5, 3.5) grows like theta^-0.5 towards 0."""
    mode = climbed(coin(0.5, 0.5, 0, 3, jacobian=False))
    assert mode.escaped == 0 and not mode.converged


@pytest.mark.parametrize(("prior", "ones", "zeros", "border"), [((1, 1), 0, 3, 0.0), ((1, 1), 4, 0, 1.0)])
def test_map_reports_the_border(prior: tuple[float, float], ones: int, zeros: int, border: float) -> None:
    data = Data({"num_rows": ones + zeros}, {"y": np.array([1.0] * ones + [0.0] * zeros)})
    posterior = fit(BetaBernoulli(prior=Prior("beta", prior)), data, Svi(guide="map", num_restarts=1))
    assert posterior.facts["estimates"]["theta"]["map"] == pytest.approx(border, abs=1e-12)
    assert posterior.facts["estimates"]["theta"]["laplace_sd"] is None
    assert posterior.facts["elbo_plateau"]


def test_map_without_a_mode_is_refused_by_site() -> None:
    data = Data({"num_rows": 3}, {"y": np.zeros(3)})
    with pytest.raises(InputError) as refused:
        fit(BetaBernoulli(prior=Prior("beta", (0.5, 0.5))), data, Svi(guide="map"))
    assert str(refused.value) == (
        "`svi` cannot fit BetaBernoulli: site `theta` has no mode: its density grows without bound towards a border; "
        "use guide `multivariate_normal` or `nuts`"
    )


def funnel() -> None:
    tau = pyro.sample("tau", dist.HalfNormal(1.0))
    pyro.sample("x", dist.Normal(torch.zeros(5), tau).to_event(1))


@pytest.mark.parametrize("guide", ["map", "laplace"])
def test_a_funnel_has_no_mode_and_is_refused_by_site(guide: str) -> None:
    with pytest.raises(InputError, match="^`svi` cannot fit funnel: site `tau` has no m"):
        fit(funnel, Data(), Svi(guide=guide))  # type: ignore[arg-type]


def test_a_large_location_is_no_border() -> None:
    def far() -> None:
        m = pyro.sample("m", dist.Normal(5000.0, 100.0))
        pyro.sample("y", dist.Normal(m, 100.0))

    mode = climbed(LogDensity(read(far, Data({}, {"y": np.array(7000.0)}))))
    assert mode.escaped is None and mode.converged
    assert mode.z.item() == pytest.approx(6000.0, rel=1e-10)


def test_a_gamma_posterior_has_its_mode_on_either_scale() -> None:
    """Gamma(3, 2) prior and counts 2, 4, 3: gamma(12, 5), mode 11/5 itself, 12/5 on the log scale."""

    def counts() -> None:
        rate = pyro.sample("rate", dist.Gamma(3.0, 2.0))
        with pyro.plate("row", 3):
            pyro.sample("y", dist.Poisson(rate))

    program = read(counts, Data({}, {"y": np.array([2.0, 4.0, 3.0])}))
    for jacobian, expected in [(False, 11 / 5), (True, 12 / 5)]:
        mode = climbed(LogDensity(program, jacobian=jacobian))
        assert mode.z.exp().item() == pytest.approx(expected, rel=1e-11)
        assert mode.covariance is not None
        assert mode.covariance.item() == pytest.approx(1 / (11 + jacobian), rel=1e-9)


def test_two_modes_are_two_modes() -> None:
    density = LogDensity(read(two_bumps, Data()))
    low, high = (find_mode(density, torch.tensor([start])) for start in (-2.0, 2.0))
    assert low.z.item() == pytest.approx(-4.0, abs=1e-6) and high.z.item() == pytest.approx(4.0, abs=1e-6)
    assert high.value - low.value == pytest.approx(math.log(7 / 3), abs=1e-6)


def ordered_mixture(y: Tensor) -> None:
    """No coordinate is free of a transform, so that every one of them has bounds."""
    weights = pyro.sample("weights", dist.Dirichlet(torch.full((3,), 2.0)))
    steps = dist.Normal(torch.zeros(3), torch.tensor([5.0, 1.0, 1.0])).to_event(1)
    mu = pyro.sample("mu", dist.TransformedDistribution(steps, dist.transforms.OrderedTransform()))
    sigma = pyro.sample("sigma", dist.LogNormal(torch.zeros(3), 1.0).to_event(1))
    with pyro.plate("row", len(y)):
        pyro.sample("y", dist.MixtureSameFamily(dist.Categorical(weights), dist.Normal(mu, sigma)))


def test_a_steep_start_between_bounds_climbs_to_the_mode() -> None:
    """Where the first step is the whole gradient, most of these starts leap to the bounds and end where they began."""
    component = GENERATOR.integers(3, size=300)
    y = np.array([-4.0, 0.0, 4.0])[component] + np.array([0.5, 1.0, 0.5])[component] * GENERATOR.normal(size=300)
    density = LogDensity(read(ordered_mixture, Data({"y": y}, {"y": y})))
    modes = [climbed(density, seed) for seed in range(6)]
    assert all(mode.converged and mode.covariance is not None for mode in modes)
    best = max(modes, key=lambda mode: mode.value)
    np.testing.assert_allclose(density.constrain(best.z)["mu"], [-4.0, 0.0, 4.0], atol=0.3)


@pytest.mark.parametrize(
    "matrix", [[[1.0, 2.0], [2.0, 1.0]], [[math.nan, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 1.0]]], ids=str
)
def test_no_inverse_where_the_matrix_is_not_positive_definite(matrix: list[list[float]]) -> None:
    assert inverse(torch.tensor(matrix)) is None


def test_inverse_of_a_positive_definite_matrix() -> None:
    matrix = torch.tensor([[2.0, 0.6], [0.6, 1.0]])
    found = inverse(matrix)
    assert found is not None
    torch.testing.assert_close(found @ matrix, torch.eye(2))


def test_a_start_where_the_density_is_steep_beyond_measure_does_not_stop_the_climb() -> None:
    """Counts on a raw covariate up to 50: from (2, 2) the slope is e^102, at the mode it is 0."""
    x = np.linspace(0, 50, 40)
    y = np.random.default_rng(2).poisson(np.exp(0.5 + 0.04 * x)).astype(float)

    def counts(x: Tensor) -> None:
        b = pyro.sample("b", dist.Normal(torch.zeros(2), 10.0).to_event(1))
        pyro.sample("y", dist.Poisson((b[0] + b[1] * x).exp()).to_event(1))

    density = LogDensity(read(counts, Data({"x": x}, {"y": y})))
    mode = find_mode(density, torch.tensor([2.0, 2.0]))
    design, b = np.column_stack([np.ones(40), x]), np.array([0.5, 0.04])
    for _ in range(50):
        mean = np.exp(design @ b)
        b = b + np.linalg.solve(design.T @ (design * mean[:, None]) + np.eye(2) / 100, design.T @ (y - mean) - b / 100)
    assert mode.converged
    np.testing.assert_allclose(mode.z, b, rtol=1e-9)
