"""NUTS against targets that are known, and the sampler's own record of itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import scipy.stats
import torch

from inference import Nuts, fit
from inference.arviz_bridge import diagnostics
from inference.nuts.outcome import STATS
from inference.posterior import Posterior
from models import BetaBernoulli
from models.base import Data
from models.errors import InputError

SETTINGS = Nuts(engine="pyro", num_chains=2, num_warmup=150, num_samples=300)


def assert_moments(posterior: Posterior, name: str, marginal: Any) -> None:
    """Mean, spread and three quantiles of every element lie within 4.5 of their own Monte Carlo errors.

    Each is the mean of a function of the draws: x; (x - mean)^2; and whether x lies below the true quantile.
    """
    x = posterior.draws[name]
    mean, sd = marginal.mean(), marginal.std()
    claims = [(x, mean), ((x - mean) ** 2, sd**2)]
    claims += [((x <= marginal.ppf(p)).astype(float), p) for p in (0.05, 0.5, 0.95)]
    for values, truth in claims:
        error = diagnostics(values)["mcse_mean"]
        gap = np.abs(values.mean(axis=(0, 1)) - truth) / error
        assert np.all(gap < 4.5), f"{name}: {gap.max():.1f} Monte Carlo errors off"


def one_normal() -> None:
    pyro.sample("x", dist.Normal(3.0, 0.5))


def ten_normals() -> None:
    pyro.sample("x", dist.Normal(torch.arange(10.0), torch.logspace(-0.3, 0.3, 10)).to_event(1))


def correlated() -> None:
    pyro.sample("x", dist.MultivariateNormal(torch.tensor([1.0, -1.0]), torch.tensor([[1.0, 1.8], [1.8, 4.0]])))


def near_the_border() -> None:
    pyro.sample("x", dist.Beta(0.7, 12.0))


def simplex() -> None:
    pyro.sample("x", dist.Dirichlet(torch.tensor([1.0, 3.0, 6.0])))


def positive() -> None:
    pyro.sample("x", dist.Gamma(2.0, 4.0))


TARGETS: dict[str, tuple[Callable[[], None], Any]] = {
    "normal": (one_normal, scipy.stats.norm(3.0, 0.5)),
    "ten scales": (ten_normals, scipy.stats.norm(np.arange(10.0), np.logspace(-0.3, 0.3, 10))),
    "correlation 0.9": (correlated, scipy.stats.norm([1.0, -1.0], [1.0, 2.0])),
    "beta near its border": (near_the_border, scipy.stats.beta(0.7, 12.0)),
    "gamma": (positive, scipy.stats.gamma(2.0, scale=0.25)),
    "simplex": (simplex, scipy.stats.beta([1.0, 3.0, 6.0], [9.0, 7.0, 4.0])),
}


DENSE = ("ten scales", "correlation 0.9")


@pytest.mark.parametrize(
    ("target", "metric"), [*((name, "diag") for name in TARGETS), *((name, "dense") for name in DENSE)]
)
def test_known_targets_have_their_moments_and_quantiles(target: str, metric: str) -> None:
    program, marginal = TARGETS[target]
    settings = Nuts(engine="pyro", num_chains=2, num_warmup=150, num_samples=250, metric=metric)  # type: ignore[arg-type]
    posterior = fit(program, Data(), settings, seed=11)
    assert posterior.draws["x"].shape[:2] == (2, 250)
    assert_moments(posterior, "x", marginal)


def test_a_dense_metric_learns_the_correlation_and_a_diagonal_one_cannot() -> None:
    settings = {"num_chains": 1, "num_warmup": 300, "num_samples": 300}
    diag, dense = (
        fit(correlated, Data(), Nuts(engine="pyro", metric=metric, **settings), seed=3)  # type: ignore[arg-type]
        for metric in ("diag", "dense")
    )
    assert dense.sample_stats["n_steps"].mean() < 0.75 * diag.sample_stats["n_steps"].mean()
    correlation = np.corrcoef(dense.draws["x"].reshape(-1, 2).T)[0, 1]
    # the standard error of a correlation is (1 - rho^2) / sqrt(ESS)
    ess = diagnostics(dense.draws["x"])["ess_bulk"].min()
    assert abs(correlation - 0.9) < 4.5 * 0.19 / np.sqrt(ess)


FLIPS = Data({"num_rows": 10}, {"y": np.array([1.0] * 7 + [0.0] * 3)})


@pytest.fixture(scope="module")
def coin() -> Posterior:
    return fit(BetaBernoulli(), FLIPS, SETTINGS, seed=5)


def test_sample_stats_carry_arviz_names_shapes_and_types(coin: Posterior) -> None:
    assert tuple(coin.sample_stats) == tuple(STATS)
    assert all(values.shape == (2, 300) for values in coin.sample_stats.values())
    kinds = {name: values.dtype.kind for name, values in coin.sample_stats.items()}
    assert kinds["diverging"] == "b" and kinds["tree_depth"] == kinds["n_steps"] == "i"
    assert all(kinds[name] == "f" for name in ("energy", "acceptance_rate", "step_size", "lp"))
    assert all(np.isfinite(values).all() for values in coin.sample_stats.values())
    assert coin.dependent and coin.backend == "nuts"


def test_lp_is_the_log_density_of_the_draw_on_unconstrained_space(coin: Posterior) -> None:
    theta = coin.draws["theta"]
    expected = 7 * np.log(theta) + 3 * np.log1p(-theta) + np.log(theta) + np.log1p(-theta)
    np.testing.assert_allclose(coin.sample_stats["lp"], expected, rtol=1e-9)


def test_energy_is_the_potential_that_a_transition_starts_from_plus_kinetic_energy(coin: Posterior) -> None:
    """The momentum is standard normal under the metric, so the kinetic energy is half a chi-squared with D = 1."""
    kinetic = coin.sample_stats["energy"][:, 1:] + coin.sample_stats["lp"][:, :-1]
    assert kinetic.min() >= 0
    assert scipy.stats.kstest(2 * kinetic.ravel(), scipy.stats.chi2(1).cdf).pvalue > 1e-4


def test_acceptance_is_a_probability_that_averages_to_the_target(coin: Posterior) -> None:
    rate = coin.sample_stats["acceptance_rate"]
    assert rate.min() >= 0 and rate.max() <= 1
    # each transition's own, not a running mean, which would settle
    assert rate[:, 150:].std() > 0.5 * rate[:, :150].std() > 0
    assert 0.6 < rate.mean() < 0.99


def test_steps_fit_their_trees(coin: Posterior) -> None:
    depth, steps = coin.sample_stats["tree_depth"], coin.sample_stats["n_steps"]
    assert depth.min() >= 1
    assert np.all(steps >= 2 ** (depth - 1)) and np.all(steps <= 2**depth - 1)
    assert coin.facts["gradients"] > steps.sum()


def test_step_size_is_fixed_after_warm_up_and_each_chains_own(coin: Posterior) -> None:
    sizes = coin.sample_stats["step_size"]
    assert np.all(sizes == sizes[:, :1]) and np.all(sizes > 0)
    assert coin.facts["step_size"] == sizes[:, -1].tolist() and sizes[0, 0] != sizes[1, 0]


@pytest.mark.parametrize("depth", [1, 3])
def test_trees_are_no_deeper_than_asked(depth: int) -> None:
    settings = Nuts(engine="pyro", num_chains=1, num_warmup=50, num_samples=50, max_tree_depth=depth)
    steps = fit(ten_normals, Data(), settings, seed=1).sample_stats
    assert steps["n_steps"].max() == 2**depth - 1 and steps["tree_depth"].max() == depth


def funnel() -> None:
    log_scale = pyro.sample("log_scale", dist.Normal(0.0, 3.0))
    pyro.sample("x", dist.Normal(torch.zeros(9), log_scale.exp()).to_event(1))


CARELESS = Nuts(engine="pyro", num_chains=2, num_warmup=20, num_samples=40, target_accept_prob=0.3, max_tree_depth=5)


def test_a_centred_funnel_diverges_and_a_normal_does_not(coin: Posterior) -> None:
    posterior = fit(funnel, Data(), CARELESS, seed=2)
    diverging = posterior.sample_stats["diverging"]
    assert diverging.sum() > 0 and posterior.facts["divergences"] == diverging.sum()
    assert coin.facts["divergences"] == 0 and not coin.sample_stats["diverging"].any()


def test_a_discrete_site_is_refused_with_the_way_out() -> None:
    def program() -> None:
        pyro.sample("p", dist.Beta(1.0, 1.0))
        pyro.sample("k", dist.Poisson(3.0))

    with pytest.raises(InputError) as refused:
        fit(program, Data(), "nuts")
    assert str(refused.value) == (
        "`nuts` cannot fit program: site `k` (Poisson) is discrete and its values cannot be listed; "
        "use a Categorical, Bernoulli or Binomial in a plate, which is summed out, or sum it out yourself"
    )


def test_a_support_without_a_transform_is_refused_by_site() -> None:
    def program() -> None:
        weights = dist.Categorical(torch.tensor([0.3, 0.7]))
        pyro.sample("m", dist.MixtureSameFamily(weights, dist.Normal(torch.tensor([-4.0, 4.0]), 1.0)))

    with pytest.raises(InputError, match=r"^program, site `m` \(MixtureSameFamily\): has a support that no transform"):
        fit(program, Data(), "nuts")


def test_trial_steps_off_the_positive_definite_matrices_are_no_crash() -> None:
    def program() -> None:
        m = pyro.sample("m", dist.Normal(0.0, 1.0))
        one = torch.ones_like(m)
        matrix = torch.stack([torch.stack([one, m]), torch.stack([m, one])])
        pyro.sample("y", dist.MultivariateNormal(torch.zeros(2), matrix))

    posterior = fit(
        program,
        Data({}, {"y": np.array([1.0, 1.2])}),
        Nuts(engine="pyro", num_chains=1, num_warmup=100, num_samples=100),
    )
    assert np.abs(posterior.draws["m"]).max() < 1 and np.isfinite(posterior.sample_stats["lp"]).all()


def test_progress_hears_of_every_transition_of_every_chain() -> None:
    heard: list[tuple[str, int, int, str]] = []

    def listen(task: str, done: int, total: int, note: str = "") -> None:
        heard.append((task, done, total, note))

    posterior = fit(funnel, Data(), CARELESS, seed=1, progress=listen)
    assert [task for task, *_ in heard] == ["nuts, chain 1 of 2"] * 60 + ["nuts, chain 2 of 2"] * 60
    assert [done for _, done, *_ in heard] == [*range(1, 61)] * 2 and {total for _, _, total, _ in heard} == {60}
    assert {note for _, done, _, note in heard if done <= 20} == {"warm-up"}
    counts = posterior.sample_stats["diverging"].cumsum(axis=1)
    notes = [note for _, done, _, note in heard if done > 20]
    assert counts[:, -1].max() > 1
    assert notes == [f"{n} divergence" if n == 1 else f"{n} divergences" for n in counts.ravel()]


def test_deterministic_sites_follow_the_draws() -> None:
    def program() -> None:
        x = pyro.sample("x", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        pyro.deterministic("square", x**2)

    posterior = fit(program, Data(), Nuts(engine="pyro", num_chains=2, num_warmup=30, num_samples=20))
    assert posterior.draws["square"].shape == (2, 20, 2)
    np.testing.assert_allclose(posterior.draws["square"], posterior.draws["x"] ** 2, rtol=1e-12)
