"""Variational inference against posteriors that are known: moments, the ELBO and its gap, and how an ascent ends."""

from __future__ import annotations

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import scipy.stats
import torch
from torch import Tensor

from inference import Svi, fit
from inference.density import LogDensity
from inference.modes import find_mode
from inference.posterior import Posterior
from inference.program import read
from inference.streams import workspace
from inference.svi import efficiency
from inference.svi.ascent import FLAT, Adam, Ascent, climb, on_plateau
from inference.svi.guides import NORMALS, mirrored
from inference.svi.space import Space
from models import BetaBernoulli, Prior
from models.base import Data
from models.errors import InputError

FLEXIBLE = ("multivariate_normal", "low_rank", "flow", "laplace")
NUM = 2000


def quick(guide: str, **more: int) -> Svi:
    return Svi(guide=guide, **{"num_restarts": 1, "num_samples": NUM, **more})  # type: ignore[arg-type]


RHO, MEAN, SD = 0.8, np.array([3.0, -20.0]), np.array([1.0, 5.0])


def correlated() -> None:
    """A normalised density: its log evidence is 0."""
    spread = torch.tensor([[1.0, RHO * 5], [RHO * 5, 25.0]])
    pyro.sample("x", dist.MultivariateNormal(torch.tensor(MEAN), spread))


def assert_elbo(posterior: Posterior, exact: float, gap: float) -> None:
    """The ELBO of the final guide is `exact`, up to its Monte Carlo error and `gap` nats below."""
    # Var[log p - log q] is of the order of twice the KL where the guide is near, and the draws are independent
    noise = 4.5 * math.sqrt(2 * max(gap, 1e-4) / NUM)
    assert exact - gap - noise <= posterior.facts["final_elbo"] <= exact + noise


@pytest.mark.parametrize("guide", FLEXIBLE)
def test_a_guide_that_contains_the_posterior_finds_it(guide: str) -> None:
    posterior = fit(correlated, Data(), quick(guide), seed=2)
    x = posterior.draws["x"][0]
    assert x.shape == (NUM, 2)
    # the optimised mean is off by about the noise of the averaged gradient, far below that of the draws
    assert np.all(np.abs(x.mean(axis=0) - MEAN) < (4.5 / math.sqrt(NUM) + 0.03) * SD)
    np.testing.assert_allclose(x.std(axis=0), SD, rtol=0.1)
    assert np.corrcoef(x.T)[0, 1] == pytest.approx(RHO, abs=0.05)
    assert_elbo(posterior, 0.0, gap=0.02)
    assert posterior.facts["k_hat"] < 0.7 and posterior.facts["importance_efficiency"] > 0.9
    assert posterior.facts["log_evidence_estimate"] == pytest.approx(0.0, abs=0.02)
    assert posterior.facts["elbo_plateau"]


def test_a_mean_field_guide_has_the_conditional_spread_and_the_gap_that_theory_says() -> None:
    """Variances 1 / precision_kk = sd^2 (1 - rho^2), gap -log(1 - rho^2) / 2 (Bishop 2006, section 10.1.2)."""
    posterior = fit(correlated, Data(), quick("normal"), seed=2)
    x = posterior.draws["x"][0]
    shrunk = SD * math.sqrt(1 - RHO**2)
    assert np.all(np.abs(x.mean(axis=0) - MEAN) < (4.5 / math.sqrt(NUM) + 0.03) * shrunk)
    # the relative standard error of a standard deviation is 1 / sqrt(2 n) = 1.6%
    np.testing.assert_allclose(x.std(axis=0), shrunk, rtol=0.08)
    assert abs(np.corrcoef(x.T)[0, 1]) < 4.5 / math.sqrt(NUM)
    assert posterior.facts["final_elbo"] == pytest.approx(0.5 * math.log(1 - RHO**2), abs=0.1)
    assert posterior.facts["final_elbo"] < -0.4


FLIPS = Data({"num_rows": 10}, {"y": np.array([1.0] * 7 + [0.0] * 3)})
LOG_EVIDENCE = -6.977747650802


@pytest.mark.parametrize("guide", ["normal", *FLEXIBLE])
def test_every_guide_on_the_ten_flips(guide: str) -> None:
    """beta(2, 2) and 7 of 10: beta(9, 5), which a normal on the logit misses by little."""
    model = BetaBernoulli(prior=Prior("beta", (2.0, 2.0)))
    posterior = fit(model, FLIPS, quick(guide), seed=3)
    exact, theta = scipy.stats.beta(9, 5), posterior.draws["theta"]
    # a normal on the logit has a bias of its own: laplace's, the largest, is 0.006 in the mean
    assert abs(theta.mean() - 9 / 14) < 4.5 * exact.std() / math.sqrt(NUM) + 0.007
    assert theta.std() == pytest.approx(exact.std(), rel=0.08)
    assert_elbo(posterior, LOG_EVIDENCE, gap=0.03)
    assert posterior.facts["log_evidence_estimate"] == pytest.approx(LOG_EVIDENCE, abs=0.03)
    assert posterior.facts["importance_efficiency"] > 0.95


@pytest.mark.parametrize("guide", ["normal", "laplace", "map"])
def test_no_chain_diagnostics_for_independent_draws(guide: str) -> None:
    posterior = fit(BetaBernoulli(), FLIPS, quick(guide), seed=3)
    row = posterior.summary()["theta"]
    assert row["r_hat"] is None and row["ess_bulk"] is None and row["ess_tail"] is None
    assert not posterior.sample_stats and not posterior.dependent


TEN_FOUR = BetaBernoulli(prior=Prior("beta", (3.0, 1.0)))


def test_map_is_a_point_on_the_sites_own_scale() -> None:
    """beta(10, 4): mode 3/4, and curvature there that of a normal with standard deviation 1/8."""
    posterior = fit(TEN_FOUR, FLIPS, quick("map"))
    assert posterior.facts["scale"] == "the sites' own scale"
    assert posterior.facts["estimates"]["theta"]["map"] == pytest.approx(0.75, abs=1e-10)
    assert posterior.facts["estimates"]["theta"]["laplace_sd"] == pytest.approx(0.125, rel=1e-8)
    assert np.ptp(posterior.draws["theta"]) == 0 and posterior.draws["theta"][0, 0] == pytest.approx(0.75, abs=1e-10)
    assert "k_hat" not in posterior.facts
    data = Data({"num_rows": 10}, {"y": np.array([1.0] * 7 + [0.0] * 3)})
    log_joint = scipy.stats.beta(3, 1).logpdf(0.75) + 7 * math.log(0.75) + 3 * math.log(0.25)
    assert fit(TEN_FOUR, data, quick("map")).facts["final_elbo"] == pytest.approx(log_joint, abs=1e-10)


def test_laplace_is_a_normal_at_the_mode_on_the_unconstrained_scale() -> None:
    """beta(10, 4) on the logit: mode log(10 / 4) = 0.916290732, variance 1/10 + 1/4."""
    posterior = fit(TEN_FOUR, FLIPS, quick("laplace", num_samples=20_000))
    assert posterior.facts["scale"] == "the unconstrained scale"
    logit = np.log(posterior.draws["theta"] / (1 - posterior.draws["theta"]))
    sd = math.sqrt(0.35)
    assert sd == pytest.approx(0.591607978, abs=1e-9)
    assert abs(logit.mean() - 0.916290732) < 4.5 * sd / math.sqrt(20_000)
    assert logit.std() == pytest.approx(sd, rel=4.5 / math.sqrt(40_000))
    np.testing.assert_allclose(posterior.interval("theta"), [0.439488, 0.888531], atol=0.02)


def test_map_estimates_of_sites_whose_elements_hang_together() -> None:
    """Ordered points (z_0, z_0 + e^z_1) of a normal: the delta method must not treat them one by one."""
    ordered = dist.transforms.OrderedTransform()

    def program() -> None:
        c = pyro.sample(
            "c", dist.TransformedDistribution(dist.Normal(torch.zeros(2), 1.0).to_event(1), [ordered]).mask(False)
        )
        pyro.factor("target", dist.Normal(torch.tensor([1.0, 4.0]), torch.tensor([0.5, 2.0])).log_prob(c).sum())

    table = fit(program, Data(), quick("map")).facts["estimates"]
    assert [table[f"c[{k}]"]["map"] for k in (0, 1)] == pytest.approx([1.0, 4.0], abs=1e-6)
    assert [table[f"c[{k}]"]["laplace_sd"] for k in (0, 1)] == pytest.approx([0.5, 2.0], rel=1e-5)


def test_a_simplex_has_a_mode_and_no_elementwise_spread() -> None:
    def program() -> None:
        pyro.sample("share", dist.Dirichlet(torch.tensor([2.0, 3.0, 6.0])))

    table = fit(program, Data(), quick("map")).facts["estimates"]
    assert [table[f"share[{k}]"]["map"] for k in range(3)] == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=1e-7)
    assert all(row["laplace_sd"] is None for row in table.values())


def test_k_hat_tells_a_guide_with_too_light_tails() -> None:
    def heavy() -> None:
        pyro.sample("x", dist.Cauchy(0.0, 1.0))

    wrong, right = (fit(program, Data(), quick("laplace"), seed=1).facts for program in (heavy, correlated))
    assert wrong["k_hat"] > 0.7 and right["k_hat"] <= 0.0
    assert wrong["importance_efficiency"] < 0.9 < right["importance_efficiency"]


def two_bumps() -> None:
    m = pyro.sample("m", dist.Normal(0.0, 1.0).mask(False))
    weights = dist.Categorical(torch.tensor([0.2, 0.8]))
    bumps = dist.MixtureSameFamily(weights, dist.Normal(torch.tensor([-6.0, 6.0]), 1.0))
    pyro.factor("bumps", bumps.log_prob(m))


@pytest.mark.parametrize(("guide", "seed", "best"), [("laplace", 6, 0), ("laplace", 2, 1), ("normal", 6, 0)])
def test_restarts_keep_the_best_of_two_modes(guide: str, seed: int, best: int) -> None:
    """With these seeds one start climbs to the larger bump, the other to the lesser one."""
    posterior = fit(two_bumps, Data(), quick(guide, num_restarts=2, num_particles=4), seed=seed)
    found = posterior.facts["restarts"]
    assert len(found) == len(posterior.facts["elbo"]["all"]) == 2
    assert found[best] == pytest.approx(math.log(0.8), abs=0.05)
    assert found[1 - best] == pytest.approx(math.log(0.2), abs=0.05)
    assert posterior.facts["final_elbo"] == found[best]
    assert posterior.draws["m"].mean() == pytest.approx(6.0, abs=0.15)


NOISE = np.random.default_rng(5).normal(size=4000)
TRACES = {
    "flat and noisy": (np.tile([1.0, -1.0], 400), True),
    "flat and still": (np.zeros(800), True),
    "too short": (np.zeros(799), False),
    "climbing": (0.01 * np.arange(800) + 0.1 * NOISE[:800], False),
    "climbing beyond the noise over the long horizon": (0.003 * np.arange(800) + 2 * NOISE[:800], False),
    "climbing less than FLAT": (np.arange(800) * FLAT / 800, True),
    "falling": (-0.01 * np.arange(800), True),
    "climbed, then flat": (np.concatenate([np.linspace(-100, 0, 200), np.zeros(800)]), True),
    "a last leap": (np.concatenate([np.zeros(750), np.full(50, 10.0)]), False),
}


@pytest.mark.parametrize(("trace", "plateau"), TRACES.values(), ids=TRACES)
def test_the_plateau_rule(trace: np.ndarray, plateau: bool) -> None:
    assert on_plateau(list(trace)) is plateau


def test_an_ascent_cut_short_says_that_it_is_on_no_plateau() -> None:
    posterior = fit(BetaBernoulli(), FLIPS, quick("normal", max_steps=30), seed=1)
    assert not posterior.facts["elbo_plateau"]
    assert posterior.facts["steps"] == 30 == len(posterior.facts["elbo"]["trace"])


def wall(edge: float, value: float) -> None:
    """A standard normal whose density is no number beyond an edge."""
    m = pyro.sample("m", dist.Normal(0.0, 1.0))
    pyro.factor("wall", torch.where(m > edge, value, 0.0))


@pytest.mark.parametrize("value", [math.nan, -math.inf], ids=str)
def test_steps_that_are_never_finite_name_the_site(value: float) -> None:
    with pytest.raises(InputError) as refused:
        fit(wall, Data({"edge": 1.0, "value": value}), quick("normal"), seed=1)
    assert str(refused.value) == (
        f"`svi` cannot fit wall: site `wall` (Unit): log density is {value} at value []; "
        "check priors, data and the program at that value"
    )


def root_of_a_wall(edge: float) -> None:
    """A standard normal; beyond the edge neither density nor gradient is a number, so a step ruins the guide."""
    m = pyro.sample("m", dist.Normal(0.0, 1.0))
    pyro.factor("wall", 0.0 * (edge - m).sqrt())


def test_a_step_that_is_not_finite_is_rolled_back() -> None:
    """About 2 in 10,000 draws lie beyond the edge: a few steps fail, the fit goes on. (The last draws lie below.)"""
    posterior = fit(root_of_a_wall, Data({"edge": 3.55}), quick("normal", num_samples=200), seed=1)
    assert 0 < posterior.facts["rollbacks"] <= 10
    assert np.isfinite(posterior.facts["elbo"]["trace"]).all()
    assert posterior.draws["m"].std() == pytest.approx(1.0, rel=4.5 / math.sqrt(400))
    assert posterior.facts["final_elbo"] == pytest.approx(0.0, abs=0.02)


def test_a_discrete_site_is_refused() -> None:
    def program() -> None:
        pyro.sample("k", dist.Poisson(3.0))

    with pytest.raises(InputError, match=r"^`svi` cannot fit program: site `k` \(Poisson\) is discrete and its values"):
        fit(program, Data(), "svi")


def test_a_program_that_cannot_be_traced_is_fitted_and_says_why() -> None:
    def branching(y: Tensor) -> None:
        m = pyro.sample("m", dist.Normal(0.0, 1.0))
        spread = 1.0 if m > -50 else 3.0
        with pyro.plate("row", len(y)):
            pyro.sample("x", dist.Normal(m, spread))

    x = np.array([1.0, 2.0, 3.0])
    posterior = fit(branching, Data({"y": x}, {"x": x}), quick("laplace", num_samples=500))
    assert "tracing" in posterior.facts["untraced"]
    assert posterior.draws["m"].mean() == pytest.approx(6 / 4, abs=4.5 * 0.5 / math.sqrt(500))
    assert posterior.facts["k_hat"] == 0.0


@pytest.mark.parametrize("value", [[0.0, 0.0, 0.0, 0.0], [math.log(9), 0.0]], ids=["equal weights", "9 : 1"])
def test_importance_efficiency_is_kongs(value: list[float]) -> None:
    weights = np.exp(value)
    expected = weights.sum() ** 2 / (weights**2).sum() / len(weights)
    assert efficiency(torch.tensor(value, dtype=torch.float64)) == pytest.approx(expected, rel=1e-12)


SIZE, RESTARTS = 5, 3
RNG = np.random.default_rng(8)
MIXING = torch.tensor(RNG.normal(size=(SIZE, SIZE)))


def drawn(guide: str) -> np.ndarray:
    """Parameters of every restart, some way from where an ascent begins."""
    rng = np.random.default_rng(9)
    start = np.stack([NORMALS[guide].initial(SIZE, rng) for _ in range(RESTARTS)])
    parameters = start + 0.3 * rng.normal(size=start.shape)
    if guide == "multivariate_normal":
        parameters[:, SIZE:] *= np.tri(SIZE).ravel()
    return parameters


def by_torch(guide: str, row: Tensor) -> torch.distributions.Distribution:
    """The guide of one restart as PyTorch has it."""
    loc, rest = row[:SIZE], row[SIZE:]
    if guide == "multivariate_normal":
        matrix = rest.reshape(SIZE, SIZE)
        return dist.MultivariateNormal(loc, scale_tril=matrix.tril(-1) + matrix.diagonal().exp().diag())
    sd = rest[:SIZE].exp()
    if guide == "normal":
        return dist.Normal(loc, sd).to_event(1)
    return dist.LowRankMultivariateNormal(loc, sd[:, None] * rest[SIZE:].reshape(SIZE, -1), sd**2)


def reparametrised(guide: str, row: Tensor, noise: Tensor) -> Tensor:
    q = by_torch(guide, row)
    if guide == "multivariate_normal":
        return q.loc + noise @ q.scale_tril.T
    if guide == "normal":
        return q.base_dist.loc + noise * q.base_dist.scale
    return q.loc + noise[:, :SIZE] * q.cov_diag.sqrt() + noise[:, SIZE:] @ q.cov_factor.T


def crooked(u: Tensor) -> Tensor:
    """A smooth log density that is not normal."""
    return -(u @ MIXING).cosh().log().sum(-1) - 0.1 * (u**4).sum(-1)


@pytest.mark.parametrize("guide", NORMALS)
@pytest.mark.parametrize("particles", [1, 4])
def test_the_written_out_gradient_is_that_of_autograd(guide: str, particles: int) -> None:
    """The same ELBO estimate from the same noise, the parameters of log q held fast."""
    parameters = torch.tensor(drawn(guide), requires_grad=True)
    noise = RNG.normal(size=(RESTARTS, particles, NORMALS[guide].noise_size(SIZE)))
    made = NORMALS[guide](parameters.detach().numpy(), noise, SIZE)
    slope = torch.func.grad(lambda u: crooked(u).sum())(torch.tensor(made.u)).numpy()
    elbo = torch.zeros((), dtype=torch.float64)
    for row, eps, u, log_q in zip(parameters, torch.tensor(noise), made.u, made.log_q, strict=True):
        again = reparametrised(guide, row, eps)
        density = by_torch(guide, row.detach()).log_prob(again)
        np.testing.assert_allclose(u, again.detach().numpy(), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(log_q, density.detach().numpy(), rtol=1e-12)
        elbo = elbo + (crooked(again) - density).mean()
    (expected,) = torch.autograd.grad(elbo, parameters)
    np.testing.assert_allclose(made.gradient(slope), expected.numpy(), rtol=1e-10, atol=1e-12)


CENTRE = RNG.normal(size=SIZE)
PRECISION = np.cov(RNG.normal(size=(SIZE, 40))) + np.eye(SIZE)


def closed_form_elbo(guide: str, row: np.ndarray) -> float:
    """Of a guide for the target N(CENTRE, PRECISION^-1) without its constant."""
    q = by_torch(guide, torch.tensor(row))
    covariance = np.diag(q.variance.numpy()) if guide == "normal" else q.covariance_matrix.numpy()
    away = q.mean.numpy() - CENTRE
    entropy = 0.5 * np.linalg.slogdet(2 * math.pi * math.e * covariance)[1]
    return float(-0.5 * (away @ PRECISION @ away + np.trace(PRECISION @ covariance)) + entropy)


@pytest.mark.parametrize("guide", NORMALS)
def test_the_expected_gradient_is_that_of_the_closed_form(guide: str) -> None:
    """Noise at +-sqrt(n) along every axis has mean 0 and covariance I: all that a normal target asks for."""
    width = NORMALS[guide].noise_size(SIZE)
    corners = math.sqrt(width) * np.concatenate([np.eye(width), -np.eye(width)])
    parameters = drawn(guide)
    made = NORMALS[guide](parameters, np.stack([corners] * RESTARTS), SIZE)
    found = made.gradient(-(made.u - CENTRE) @ PRECISION)
    free = parameters != 0
    for restart, index in np.argwhere(free):
        step = np.zeros(parameters.shape[1])
        step[index] = 1e-5
        higher, lower = (closed_form_elbo(guide, parameters[restart] + sign * step) for sign in (1, -1))
        assert found[restart, index] == pytest.approx((higher - lower) / 2e-5, abs=1e-8, rel=1e-7)
    assert (found[~free] == 0).all()


@pytest.mark.parametrize("guide", NORMALS)
def test_the_gradient_has_no_noise_where_the_guide_is_the_posterior(guide: str) -> None:
    parameters = drawn(guide)
    noise = RNG.normal(size=(RESTARTS, 1, NORMALS[guide].noise_size(SIZE)))
    made = NORMALS[guide](parameters, noise, SIZE)
    slope = np.empty(made.u.shape)
    for row, u, place in zip(torch.tensor(parameters), torch.tensor(made.u), slope, strict=True):
        target = by_torch(guide, row)
        place[:] = torch.func.grad(lambda x, p=target: p.log_prob(x).sum())(u).numpy()
    assert np.abs(slope).max() > 0.1
    np.testing.assert_allclose(made.gradient(slope), 0.0, atol=1e-12)


@pytest.mark.parametrize("particles", [1, 4, 5])
def test_noise_comes_in_pairs_and_is_the_same_in_blocks_of_any_length(particles: int) -> None:
    one, other = np.random.default_rng(3), np.random.default_rng(3)
    block = mirrored(6, particles, 2, one)
    assert block.shape == (6, particles, 2)
    np.testing.assert_array_equal(block, np.concatenate([mirrored(3, particles, 2, other) for _ in range(2)]))
    half = (particles + 1) // 2
    np.testing.assert_array_equal(block[:, half:], -block[:, : particles - half])
    assert len(np.unique(np.abs(block))) == 6 * half * 2


def test_adam_is_pytorchs() -> None:
    here, there = np.zeros((2, 3)), torch.zeros(2, 3, dtype=torch.float64)
    ours, theirs = Adam(here.shape, 0.02, 50), torch.optim.Adam([there], lr=0.02, maximize=True)
    for _ in range(50):
        gradient = RNG.normal(size=here.shape)
        there.grad = torch.tensor(gradient)
        theirs.step()
        here += ours.step(gradient)
    np.testing.assert_allclose(here, there.numpy(), rtol=1e-12)


@pytest.mark.parametrize("diagonal", [True, False])
def test_whitened_coordinates_have_the_curvature_that_they_promise(diagonal: bool) -> None:
    """The log density of a normal there: unit curvature, or ones on its diagonal, and the volume of the map."""
    with workspace(1):
        density = LogDensity(read(correlated, Data()))
        space = Space.around(density, [find_mode(density, torch.zeros(2))], diagonal)
        u = RNG.normal(size=(1, 7, 2))
        value, slope = space.log_prob(u)
    inside = -RHO if diagonal else 0.0
    curvature = np.array([[1.0, inside], [inside, 1.0]])
    np.testing.assert_allclose(slope[0], -u[0] @ curvature, atol=1e-9)
    log_volume = 0.5 * np.linalg.slogdet(curvature)[1]
    expected = log_volume - math.log(2 * math.pi) - 0.5 * np.einsum("ij,jk,ik->i", u[0], curvature, u[0])
    np.testing.assert_allclose(value[0], expected, atol=1e-9)


@pytest.mark.parametrize(("guide", "edge"), [("normal", 1.9), ("multivariate_normal", 3.1), ("low_rank", 3.1)])
def test_a_restart_does_not_depend_on_those_beside_it(guide: str, edge: float) -> None:
    """Alone or among others that end sooner or later, with steps of its own that are rolled back."""
    settings = quick(guide, num_particles=2, num_samples=20)
    seeds = [1, 2, 3]
    with workspace(1):
        density = LogDensity(read(skewed_wall, Data({"edge": edge})))
        modes = [find_mode(density, torch.full((2,), 0.1 * seed)) for seed in seeds]

        def climbed(rows: list[int]) -> list[Ascent]:
            density.settle(len(rows) * settings.num_particles, "auto")
            chosen = [modes[row] for row in rows], [seeds[row] for row in rows]
            return climb(settings, density, *chosen, lambda done, total, note: None)

        together, alone = climbed([0, 1, 2]), [climbed([row])[0] for row in (0, 2)]
    assert len({len(one.trace) for one in together}) > 1 and together[0].rollbacks + together[2].rollbacks > 0
    for one, other in zip(together[::2], alone, strict=True):
        assert one.rollbacks == other.rollbacks and one.plateau and other.plateau
        np.testing.assert_allclose(one.trace, other.trace, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(one.z.numpy(), other.z.numpy(), rtol=1e-7, atol=1e-7)


def skewed_wall(edge: float) -> None:
    """A skewed pair; beyond the edge neither density nor gradient is a number."""
    m = pyro.sample("m", dist.Normal(0.0, 1.0))
    pyro.sample("s", dist.Gamma(2.0, m.exp()))
    pyro.factor("wall", 0.0 * (edge - m).sqrt())
