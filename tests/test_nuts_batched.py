"""The batched engine against targets whose moments and quantiles are known in closed form."""

from __future__ import annotations

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import scipy.stats
import torch

from experiments.checks import judge
from experiments.settings import Checks
from inference import Nuts, fit
from inference.arviz_bridge import diagnostics, e_bfmi
from inference.density import LogDensity
from inference.nuts.adaptation import Metric
from inference.nuts.noise import Noise
from inference.nuts.sampler import Sampler
from inference.program import read
from inference.progress import silent
from inference.streams import workspace
from models.base import Data

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def normals(size: int) -> None:
    with pyro.plate("element", size):
        pyro.sample("x", dist.Normal(torch.arange(1.0, size + 1), torch.logspace(-1, 1, size)))


def correlated(rho: float) -> None:
    covariance = torch.tensor([[1.0, rho], [rho, 1.0]])
    pyro.sample("x", dist.MultivariateNormal(torch.zeros(2), covariance))


def border() -> None:
    pyro.sample("x", dist.Beta(torch.tensor(0.8), torch.tensor(30.0)))


def bounded() -> None:
    pyro.sample("x", dist.Uniform(torch.tensor(-3.0), torch.tensor(7.0)))


def heavy() -> None:
    pyro.sample("x", dist.StudentT(torch.tensor(5.0), torch.tensor(1.0), torch.tensor(2.0)))


def simplex() -> None:
    pyro.sample("x", dist.Dirichlet(torch.tensor([1.0, 2.0, 5.0])))


def uneven() -> None:
    """The scale of `y`, and so the length of trees, depends on x; x itself is standard normal."""
    x = pyro.sample("x", dist.Normal(torch.tensor(0.0), torch.tensor(1.0)))
    with pyro.plate("element", 3):
        pyro.sample("y", dist.Normal(0.0, torch.exp(0.7 * x)))


def funnel(centred: bool) -> None:
    v = pyro.sample("v", dist.Normal(torch.tensor(0.0), torch.tensor(3.0)))
    with pyro.plate("element", 9):
        if centred:
            pyro.sample("x", dist.Normal(0.0, torch.exp(v / 2)))
        else:
            pyro.deterministic("x", pyro.sample("raw", dist.Normal(0.0, 1.0)) * torch.exp(v / 2))


class Target:
    def __init__(self, name, program, inputs, marginal, site="x", **settings):
        self.name, self.program, self.inputs, self.marginal, self.site = name, program, inputs, marginal, site
        self.settings = settings

    def __repr__(self) -> str:
        return self.name


def spread(size: int):
    return scipy.stats.norm(np.arange(1.0, size + 1), np.logspace(-1, 1, size))


TARGETS = [
    Target("normal-1", normals, {"size": 1}, spread(1)),
    Target("normal-10", normals, {"size": 10}, spread(10)),
    Target("normal-10-dense", normals, {"size": 10}, spread(10), metric="dense"),
    Target("normal-100", normals, {"size": 100}, spread(100)),
    Target("correlated", correlated, {"rho": 0.99}, scipy.stats.norm(np.zeros(2), 1), num_samples=1000),
    Target("correlated-dense", correlated, {"rho": 0.99}, scipy.stats.norm(np.zeros(2), 1), metric="dense"),
    Target("beta-at-the-border", border, {}, scipy.stats.beta(0.8, 30)),
    Target("bounded", bounded, {}, scipy.stats.uniform(-3, 10)),
    Target("heavy-tailed", heavy, {}, scipy.stats.t(5, 1, 2)),
    Target("simplex", simplex, {}, scipy.stats.beta(np.array([1.0, 2, 5]), 8 - np.array([1.0, 2, 5]))),
    Target("uneven", uneven, {}, scipy.stats.norm(0, 1), target_accept_prob=0.9, num_samples=1000),
    Target("funnel-non-centred", funnel, {"centred": False}, scipy.stats.norm(0, 3), site="v"),
]


@pytest.mark.parametrize("target", TARGETS, ids=repr)
def test_moments_and_quantiles_are_those_of_the_target(target):
    settings = {"engine": "batched", "num_chains": 16, "num_samples": 500, **target.settings}
    posterior = fit(target.program, Data(target.inputs), Nuts(**settings), seed=5)
    draws = posterior.draws[target.site]
    found = diagnostics(draws)
    assert np.all(found["r_hat"] < 1.02)
    flat = draws.reshape(-1, *draws.shape[2:])
    # the mean, by its own standard error; elements of one target together, so by the largest of them (Bonferroni)
    count = int(np.prod(flat.shape[1:]))
    allowed = scipy.stats.norm.isf(1e-5 / max(1, count) / 2)
    assert np.all(np.abs(flat.mean(axis=0) - target.marginal.mean()) <= allowed * found["mcse_mean"])
    # the spread, through squared distances from the true mean, and every level, through indicators: both are means too
    squared = (draws - target.marginal.mean()) ** 2
    error = diagnostics(squared)["mcse_mean"]
    assert np.all(np.abs(squared.mean(axis=(0, 1)) - target.marginal.var()) <= allowed * error)
    for level in LEVELS:
        below = (draws <= target.marginal.ppf(level)).astype(float)
        error = diagnostics(below)["mcse_mean"]
        assert np.all(np.abs(below.mean(axis=(0, 1)) - level) <= allowed * error), level
    assert posterior.sample_stats["diverging"].mean() < 0.01
    # energy is stationary: halves of the chains have one mean, up to chance
    energy = posterior.sample_stats["energy"]
    first, second = np.split(energy, [energy.shape[1] // 2], axis=1)
    error = np.hypot(diagnostics(first)["mcse_mean"], diagnostics(second)["mcse_mean"])
    assert abs(first.mean() - second.mean()) <= 5 * error
    assert e_bfmi(energy).min() > 0.2


def test_draws_are_not_biased_towards_short_trees():
    """Where x decides the length of trees, chains that stop after so many steps have too many draws from short ones."""
    settings = Nuts(num_chains=64, num_samples=200, target_accept_prob=0.9)
    posterior = fit(uneven, Data(), settings, seed=9)
    x, steps = posterior.draws["x"], posterior.sample_stats["n_steps"]
    assert np.all(np.isfinite(x)) and x.shape == steps.shape == (64, 200)
    assert abs(np.corrcoef(x.ravel(), steps.ravel())[0, 1]) > 0.1  # the trap is there
    assert abs(x.mean()) <= 4 * diagnostics(x)["mcse_mean"]
    squared = diagnostics(x**2)["mcse_mean"]
    assert abs((x**2).mean() - 1) <= 4 * squared
    # the draws of the chains that were done first are no different from those of the chains that were done last
    order = np.argsort(steps.sum(axis=1))
    early, late = x[order[:32]] ** 2, x[order[32:]] ** 2
    error = np.hypot(diagnostics(early)["mcse_mean"], diagnostics(late)["mcse_mean"])
    assert abs(early.mean() - late.mean()) <= 6 * error


def test_a_centred_funnel_is_caught():
    """No seed passes the checks: divergences tell of the neck, or chains that do not get into it raise R-hat."""
    divergences = []
    for seed in range(3):
        posterior = fit(funnel, Data({"centred": True}), Nuts(num_samples=200), seed=seed)
        assert any(not check.passed for check in judge(posterior, posterior.summary(), Checks()))
        assert posterior.facts["divergences"] == posterior.sample_stats["diverging"].sum()
        divergences.append(posterior.facts["divergences"])
    assert sum(count > 0 for count in divergences) >= 2


def test_statistics_fit_each_other():
    settings = Nuts(num_chains=8, num_samples=200, max_tree_depth=3)
    posterior = fit(normals, Data({"size": 10}), settings, seed=1)
    stats = posterior.sample_stats
    assert all(value.shape == (8, 200) for value in stats.values())
    assert stats["tree_depth"].max() <= 3 and stats["n_steps"].max() <= 7
    # a tree of depth d has at most 2^d - 1 steps, and more than 2^(d-1) - 1
    assert np.all(stats["n_steps"] <= 2 ** stats["tree_depth"] - 1)
    assert np.all(stats["n_steps"] > 2 ** (stats["tree_depth"] - 1) - 1)
    assert np.all((stats["acceptance_rate"] >= 0) & (stats["acceptance_rate"] <= 1))
    assert 0.7 < stats["acceptance_rate"].mean() < 0.9
    # energy is kinetic plus potential of the same state
    assert np.all(stats["energy"] >= -stats["lp"])
    z = (posterior.draws["x"] - np.arange(1, 11)) / np.logspace(-1, 1, 10)
    lp = scipy.stats.norm.logpdf(z).sum(axis=-1) - np.log(np.logspace(-1, 1, 10)).sum()
    np.testing.assert_allclose(stats["lp"], lp, rtol=1e-9)


@pytest.mark.parametrize("metric", ["diag", "dense"])
def test_the_kinetic_energy_of_draws_has_its_distribution(metric):
    """At stationarity energy + lp is the kinetic energy of a state: D / 2 on average for a normal target."""
    settings = Nuts(num_chains=32, num_samples=300, metric=metric)
    posterior = fit(normals, Data({"size": 10}), settings, seed=2)
    kinetic = posterior.sample_stats["energy"] + posterior.sample_stats["lp"]
    assert abs(kinetic.mean() - 5.0) <= 5 * diagnostics(kinetic)["mcse_mean"]


def test_both_engines_find_one_posterior():
    found = {}
    for engine, chains in (("batched", 16), ("pyro", 2)):
        settings = Nuts(engine=engine, num_chains=chains, num_warmup=150, num_samples=400)
        found[engine] = fit(simplex, Data(), settings, seed=8)
    for summary in (lambda x: x, lambda x: (x - np.array([1, 2, 5]) / 8) ** 2):
        a, b = (summary(posterior.draws["x"]) for posterior in found.values())
        error = np.hypot(diagnostics(a)["mcse_mean"], diagnostics(b)["mcse_mean"])
        assert np.all(np.abs(a.mean(axis=(0, 1)) - b.mean(axis=(0, 1))) <= 4 * error)


def test_every_chain_has_its_own_number_of_draws():
    settings = Nuts(num_chains=16, num_samples=50)
    posterior = fit(uneven, Data(), settings, seed=4)
    gradients = posterior.facts["gradients"]
    assert posterior.draws["x"].shape == (16, 50)
    # every tick costs one gradient a chain, and a run has as many ticks as its busiest chain has steps
    assert gradients >= 16 * posterior.sample_stats["n_steps"].sum(axis=1).max()


def test_a_short_warm_up_does_not_bound_the_trees_of_sampling():
    """Early windows bound trees at 6 doublings; with two of them in all, sampling still has the whole depth."""
    settings = Nuts(num_chains=2, num_warmup=2, num_samples=20, target_accept_prob=0.999)
    posterior = fit(correlated, Data({"rho": 0.9999}), settings, seed=1)
    assert posterior.sample_stats["tree_depth"].max() > 6


@pytest.mark.parametrize(
    ("done", "full"),
    [
        ([10, 10, 10, 10], True),
        ([13, 13, 10, 3], False),  # one chain has not given a third of its share
        ([14, 12, 10, 4], True),
        ([39, 39, 0, 1], False),
        ([40, 40, 0, 0], True),  # two chains that stand still hold the others up no longer than this
        ([9, 10, 10, 10], False),
    ],
)
def test_a_window_waits_for_every_chain_but_not_for_ever(done, full):
    with workspace(1):
        density = LogDensity(read(normals, Data({"size": 1})))
        sampler = Sampler(Nuts(num_chains=4), density, np.arange(4.0)[:, None], seed=1, progress=silent)
    sampler.chains.numbers["done"] = done
    assert sampler.full(sum(done), length=10) == full


@pytest.mark.parametrize("dense", [False, True])
def test_a_metric_makes_draws_and_gradients_of_a_normal_alike(dense):
    """The map is right from any points, not only from draws: gradients of a normal are linear."""
    rng = np.random.default_rng(3)
    sd = np.array([0.01, 1.0, 30.0])
    correlation = np.array([[1.0, 0.8, 0.0], [0.8, 1.0, 0.0], [0.0, 0.0, 1.0]]) if dense else np.eye(3)
    covariance = correlation * sd * sd[:, None]
    metric = Metric(3, dense)
    z = rng.uniform(-2, 2, (4000, 3)) * sd * [1, 3, 0.5] + 100
    for _ in range(2):
        metric.learn(metric.u(z), metric.pulled_back(-np.linalg.solve(covariance, (z - 3).T).T))
    factor = np.diag(metric.factor) if metric.factor.ndim == 1 else metric.factor
    np.testing.assert_allclose(factor @ factor.T / (sd * sd[:, None]), correlation, atol=0.01)


def test_random_numbers_are_taken_once_and_do_not_depend_on_how_many_are_taken_at_a_time():
    taken = []
    for portion in (1, 3):
        noise = Noise(np.random.default_rng(1), num_chains=3, size=2)
        rows: list[np.ndarray] = []
        while len(rows) < 24:
            rows.extend(noise.ahead(1)[1][:portion].copy())
            noise.taken += portion
        taken.append(np.array(rows))
    assert len(np.unique(taken[0][:, 0])) == 24 and np.array_equal(taken[0][:21], taken[1][:21])
    noise = Noise(np.random.default_rng(1), num_chains=3, size=2)
    uniform = []
    while len(uniform) < 600:
        uniform.extend(noise.ahead(7)[0].copy())
        noise.ticks += len(noise.ahead(7)[0])
    assert len(np.unique(uniform)) == len(uniform) * 9
