"""`exact`: the certificate finds conjugate posteriors in any program, proves them, and refuses the rest by site.

Each program has its closed form beside it, in NumPy and SciPy alone: marginals of every site and the log evidence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import scipy.stats
import torch
from cases import flips, monte_carlo, off_by
from scipy.special import betaln, gammaln

from inference import Exact, fit
from models import BetaBernoulli, Data, InputError, LogisticRegression, Table

EXACT = 1e-9
RNG = np.random.default_rng(20)


class Case(NamedTuple):
    """A program, its data, and its posterior in closed form: SciPy's marginals by site, and log p(data)."""

    program: Callable[..., None]
    data: Data
    marginals: Mapping[str, Any]
    log_evidence: float


def gaussian(prior_mean, prior_covariance, design, noise, y):
    """Closed form of y = design z + noise, z normal: mean and covariance of z given y, and log p(y).

    As least squares by QR, with the prior as further rows: that keeps its digits where predictors are nearly collinear.
    """
    whiten = np.linalg.inv(np.linalg.cholesky(prior_covariance))
    rows = np.vstack([design / noise[:, None], whiten])
    target = np.concatenate([y / noise, whiten @ prior_mean])
    q, r = np.linalg.qr(rows)
    mean, root = np.linalg.solve(r, q.T @ target), np.linalg.inv(r)
    log_determinant = (
        2 * np.log(noise).sum() + 2 * np.log(np.abs(np.diag(r))).sum() + np.linalg.slogdet(prior_covariance)[1]
    )
    distance = ((target - rows @ mean) ** 2).sum()
    return mean, root @ root.T, -0.5 * (len(y) * math.log(2 * math.pi) + log_determinant + distance)


# --- one normal ---------------------------------------------------------------------------------------------------


def normal_mean(num_rows):
    mu = pyro.sample("mu", dist.Normal(1.0, 3.0))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Normal(mu, 2.0))


def case_normal_mean(shift=0.0, rows=40):
    y = shift + RNG.normal(1.5, 2.0, rows)
    mean, covariance, evidence = gaussian(np.ones(1), np.eye(1) * 9, np.ones((rows, 1)), np.full(rows, 2.0), y)
    truth = scipy.stats.norm(mean[0], covariance[0, 0] ** 0.5)
    return Case(normal_mean, Data({"num_rows": rows}, {"y": y}), {"mu": truth}, evidence)


# --- correlated normals -------------------------------------------------------------------------------------------


def linear_regression(x, width):
    intercept = pyro.sample("intercept", dist.Normal(0.0, 2 * width))
    with pyro.plate("term", x.shape[1]):
        beta = pyro.sample("beta", dist.Normal(0.5, width))
    with pyro.plate("row", len(x)):
        pyro.sample("y", dist.Normal(intercept + x @ beta, 0.7))


def regression_truth(x, y, width):
    design = np.column_stack([np.ones(len(x)), x])
    prior_mean = np.array([0.0] + [0.5] * x.shape[1])
    return gaussian(prior_mean, width**2 * np.diag([4.0] + [1.0] * x.shape[1]), design, np.full(len(y), 0.7), y)


def case_regression(shift=0.0, terms=3, rows=30, spread=1.0, width=2.0):
    x = spread * RNG.normal(size=(rows, terms)) @ RNG.normal(size=(terms, terms)) + shift
    y = RNG.normal(size=rows) + 2
    mean, covariance, evidence = regression_truth(x, y, width)
    sd = np.sqrt(np.diag(covariance))
    truth = {"intercept": scipy.stats.norm(mean[0], sd[0]), "beta": scipy.stats.norm(mean[1:], sd[1:])}
    return Case(linear_regression, Data({"x": x, "width": width}, {"y": y}), truth, evidence)


def schools(sigma):
    mu = pyro.sample("mu", dist.Normal(2.0, 5.0))
    with pyro.plate("school", len(sigma)):
        theta = pyro.sample("theta", dist.Normal(mu, 3.0))
        pyro.sample("y", dist.Normal(theta, sigma))


def case_hierarchy():
    sigma, y = np.array([15.0, 10, 16, 11, 9, 11, 10, 18]), np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
    prior = np.zeros((9, 9)) + 25.0 + np.diag([0.0] + [9.0] * 8)
    mean, covariance, evidence = gaussian(np.full(9, 2.0), prior, np.eye(9)[1:], sigma, y)
    sd = np.sqrt(np.diag(covariance))
    truth = {"mu": scipy.stats.norm(mean[0], sd[0]), "theta": scipy.stats.norm(mean[1:], sd[1:])}
    return Case(schools, Data({"sigma": sigma}, {"y": y}), truth, evidence)


# --- gamma --------------------------------------------------------------------------------------------------------


def gamma_poisson(group, num_groups, exposure):
    with pyro.plate("group", num_groups):
        rate = pyro.sample("rate", dist.Gamma(2.0, 0.5))
    with pyro.plate("row", len(exposure)):
        pyro.sample("y", dist.Poisson(rate[group] * exposure))


def case_gamma_poisson():
    group, exposure = RNG.integers(0, 4, 60), RNG.uniform(0.5, 3.0, 60)
    y = RNG.poisson(3.0 * exposure).astype(float)
    total, time = (np.bincount(group, value, 4) for value in (y, exposure))
    a, b = 2.0 + total, 0.5 + time
    evidence = (2 * math.log(0.5) - gammaln(2) + gammaln(a) - a * np.log(b)).sum()
    evidence += (y * np.log(exposure) - gammaln(y + 1)).sum()
    data = Data({"group": group, "num_groups": 4, "exposure": exposure}, {"y": y})
    return Case(gamma_poisson, data, {"rate": scipy.stats.gamma(a, scale=1 / b)}, evidence)


def exponential_prior(num_rows):
    rate = pyro.sample("rate", dist.Exponential(1.5))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Exponential(rate))


def case_exponential_prior():
    y = RNG.exponential(2.0, 25)
    a, b = 1 + 25, 1.5 + y.sum()
    evidence = math.log(1.5) + gammaln(a) - a * math.log(b)
    return Case(
        exponential_prior, Data({"num_rows": 25}, {"y": y}), {"rate": scipy.stats.gamma(a, scale=1 / b)}, evidence
    )


def known_mean_variance(num_rows):
    variance = pyro.sample("variance", dist.InverseGamma(3.0, 4.0))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Normal(1.0, variance.sqrt()))


def known_mean_precision(num_rows):
    precision = pyro.sample("precision", dist.Gamma(3.0, 4.0))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Normal(1.0, precision.rsqrt()))


def case_spread(inverse):
    y = RNG.normal(1.0, 1.3, 21)
    a, b = 3.0 + 21 / 2, 4.0 + ((y - 1) ** 2).sum() / 2
    evidence = 3 * math.log(4) - gammaln(3) + gammaln(a) - a * math.log(b) - 21 / 2 * math.log(2 * math.pi)
    data = Data({"num_rows": 21}, {"y": y})
    if inverse:
        return Case(known_mean_variance, data, {"variance": scipy.stats.invgamma(a, scale=b)}, evidence)
    return Case(known_mean_precision, data, {"precision": scipy.stats.gamma(a, scale=1 / b)}, evidence)


# --- beta and dirichlet -------------------------------------------------------------------------------------------


def nested_plates():
    with pyro.plate("unit", 5), pyro.plate("site", 3, dim=-2):
        theta = pyro.sample("theta", dist.Beta(2.0, 1.5))
        with pyro.plate("repeat", 4, dim=-3):
            pyro.sample("y", dist.Bernoulli(theta))


def case_nested_plates():
    y = RNG.integers(0, 2, (4, 3, 5)).astype(float)
    a, b = 2.0 + y.sum(axis=0), 1.5 + (1 - y).sum(axis=0)
    return Case(
        nested_plates, Data({}, {"y": y}), {"theta": scipy.stats.beta(a, b)}, (betaln(a, b) - betaln(2.0, 1.5)).sum()
    )


def uniform_prior():
    theta = pyro.sample("theta", dist.Uniform(0.0, 1.0))
    with pyro.plate("row", 6):
        pyro.sample("y", dist.Geometric(theta))


def case_uniform_prior():
    y = np.array([0.0, 3, 1, 0, 7, 2])
    return Case(uniform_prior, Data({}, {"y": y}), {"theta": scipy.stats.beta(7, 14)}, betaln(7, 14))


def naive_bayes(num_rows):
    weights = pyro.sample("weights", dist.Dirichlet(torch.tensor([1.0, 2.0, 3.0])))
    with pyro.plate("label", 3, dim=-1), pyro.plate("feature", 2, dim=-2):
        table = pyro.sample("table", dist.Dirichlet(torch.full((4,), 0.5)))
    with pyro.plate("row", num_rows, dim=-1):
        label = pyro.sample("y", dist.Categorical(weights))
        with pyro.plate("feature_of_row", 2, dim=-2):
            pyro.sample("x", dist.Categorical(table[:, label]))


def case_naive_bayes():
    y, x = RNG.integers(0, 3, 50), RNG.integers(0, 4, (2, 50))
    a = np.array([1.0, 2.0, 3.0]) + np.bincount(y, minlength=3)
    b = np.full((2, 3, 4), 0.5)
    for feature in range(2):
        np.add.at(b[feature], (y, x[feature]), 1)

    def log_normaliser(a):
        return gammaln(a).sum(axis=-1) - gammaln(a.sum(axis=-1))

    evidence = log_normaliser(a) - log_normaliser(np.array([1.0, 2.0, 3.0]))
    evidence += (log_normaliser(b) - log_normaliser(np.full(4, 0.5))).sum()
    truth = {
        "weights": scipy.stats.beta(a, a.sum() - a),
        "table": scipy.stats.beta(b, b.sum(axis=-1, keepdims=True) - b),
    }
    return Case(naive_bayes, Data({"num_rows": 50}, {"y": y, "x": x}), truth, evidence)


# --- several forms in one program, and no data at all --------------------------------------------------------------


def mixed(num_rows):
    theta = pyro.sample("theta", dist.Beta(1.0, 1.0))
    rate = pyro.sample("rate", dist.Gamma(2.0, 2.0))
    mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
    pyro.sample("idle", dist.Uniform(0.0, 1.0))
    pyro.deterministic("twice", 2 * mu)
    with pyro.plate("row", num_rows):
        pyro.sample("k", dist.Bernoulli(theta))
        pyro.sample("n", dist.Poisson(rate))
        pyro.sample("y", dist.Normal(mu, 1.0))


def case_mixed():
    k, n, y = np.array([1.0, 0, 1]), np.array([4.0, 2, 0]), np.array([0.3, -1.2, 2.0])
    mean, covariance, evidence = gaussian(np.zeros(1), np.eye(1), np.ones((3, 1)), np.ones(3), y)
    truth = {
        "theta": scipy.stats.beta(3, 2),
        "rate": scipy.stats.gamma(8, scale=1 / 5),
        "mu": scipy.stats.norm(mean[0], covariance[0, 0] ** 0.5),
        "idle": scipy.stats.beta(1, 1),
    }
    evidence += betaln(3, 2) + 2 * math.log(2) - gammaln(2) + gammaln(8) - 8 * math.log(5) - gammaln(n + 1).sum()
    return Case(mixed, Data({"num_rows": 3}, {"k": k, "n": n, "y": y}), truth, evidence)


def prior_alone():
    pyro.sample("theta", dist.Beta(2.0, 5.0))
    pyro.sample("u", dist.Uniform(0.0, 1.0))


def uniform_alone():
    pyro.sample("u", dist.Uniform(0.0, 1.0))


CASES = {
    "normal mean": case_normal_mean(),
    "normal mean, far from the prior": case_normal_mean(shift=1e6),
    "normal mean, 100,000 rows": case_normal_mean(rows=100_000),
    "linear regression": case_regression(),
    "linear regression, 40 terms for 30 rows": case_regression(terms=40),
    "linear regression, calendar years as predictors": case_regression(shift=1950.0),
    "linear regression, longitudes in one town": case_regression(
        shift=-122.4, terms=1, rows=300, spread=0.01, width=1000.0
    ),
    "hierarchical normal": case_hierarchy(),
    "gamma-poisson in plates": case_gamma_poisson(),
    "exponential prior is gamma(1, b)": case_exponential_prior(),
    "inverse gamma variance": case_spread(inverse=True),
    "gamma precision": case_spread(inverse=False),
    "beta in two nested plates": case_nested_plates(),
    "uniform prior is beta(1, 1)": case_uniform_prior(),
    "naive bayes": case_naive_bayes(),
    "four forms at once": case_mixed(),
    "no data": Case(prior_alone, Data(), {"theta": scipy.stats.beta(2, 5), "u": scipy.stats.beta(1, 1)}, 0.0),
    "no data, flat": Case(uniform_alone, Data(), {"u": scipy.stats.beta(1, 1)}, 0.0),
}

PROBABILITIES = (0.025, 0.25, 0.5, 0.9)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_marginals_and_log_evidence_are_the_closed_form(case):
    posterior = fit(case.program, case.data, Exact(num_chains=1, num_samples=10))
    assert posterior.marginals.keys() == case.marginals.keys()
    for name, truth in case.marginals.items():
        allowed = EXACT * float(np.max(np.maximum(truth.std(), 1)))
        assert posterior.marginals[name].mean() == pytest.approx(truth.mean(), rel=EXACT, abs=allowed), name
        assert posterior.marginals[name].std() == pytest.approx(truth.std(), rel=EXACT), name
        for probability in PROBABILITIES:
            found = posterior.quantile(name, probability)
            assert found == pytest.approx(truth.ppf(probability), rel=EXACT, abs=allowed), f"{name} at {probability}"
    assert posterior.facts["log_evidence"] == pytest.approx(case.log_evidence, rel=1e-12, abs=EXACT)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_draws_agree_with_the_marginals(case):
    posterior = fit(case.program, case.data, Exact(num_chains=2, num_samples=2000), seed=4)
    for name, truth in case.marginals.items():
        draws = posterior.draws[name]
        assert draws.shape[:2] == (2, 2000)
        gaps = off_by(monte_carlo(draws, dependent=False), truth.mean(), truth.std())
        # 4 standard errors for one number; the largest of the 40 or so of a site goes a little further
        limit = 4 if draws[0, 0].size < 10 else 4.8
        assert max(gaps.values()) < limit, f"{name}: {gaps}"
        for probability in PROBABILITIES:
            share = (draws <= truth.ppf(probability)).mean(axis=(0, 1))
            error = math.sqrt(probability * (1 - probability) / 4000)
            assert np.abs(share - probability).max() < limit * error, f"{name} at {probability}"


def test_draws_of_correlated_normals_have_the_joint_covariance():
    case = CASES["linear regression, calendar years as predictors"]
    posterior = fit(case.program, case.data, Exact(num_chains=1, num_samples=8000), seed=1)
    draws = np.column_stack([posterior.draws["intercept"][0], posterior.draws["beta"][0]])
    _, covariance, _ = regression_truth(case.data.inputs["x"], case.data.observed["y"], 2.0)
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    truth, found = covariance / scale, np.corrcoef(draws.T)
    error = (1 - truth**2) / math.sqrt(8000)  # of a correlation of normals
    assert np.abs(truth - np.eye(4)).max() > 0.5
    assert (np.abs(found - truth) <= 4 * error + 1e-12).all()


def test_deterministic_sites_come_with_the_draws():
    case = CASES["four forms at once"]
    posterior = fit(case.program, case.data, "exact")
    assert np.array_equal(posterior.draws["twice"], 2 * posterior.draws["mu"])
    assert "twice" not in posterior.marginals
    assert posterior.summary()["twice"]["mcse_mean"] > 0


def test_a_hundred_thousand_flips():
    ones, zeros = 61_234, 38_766
    model = BetaBernoulli(prior="beta(2, 2)")
    posterior = fit(model, model.data(flips(ones, zeros)), Exact(num_chains=1, num_samples=10))
    assert posterior.marginals["theta"].args == pytest.approx((ones + 2, zeros + 2), rel=1e-12)
    assert posterior.facts["log_evidence"] == pytest.approx(betaln(ones + 2, zeros + 2) - betaln(2, 2), rel=1e-12)


def test_the_seed_moves_the_draws_and_nothing_else():
    case = CASES["hierarchical normal"]
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first, again, other = (fit(case.program, case.data, "exact", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    for name in ("mu", "theta"):
        assert np.array_equal(first.draws[name], again.draws[name])
        assert not np.array_equal(first.draws[name], other.draws[name])
        assert first.quantile(name, 0.3) == pytest.approx(other.quantile(name, 0.3), rel=EXACT)
    assert first.facts["log_evidence"] == pytest.approx(other.facts["log_evidence"], abs=EXACT)


def test_estimates_of_a_hierarchy_are_what_the_closed_form_says():
    case = CASES["hierarchical normal"]
    estimates = fit(case.program, case.data, "exact").facts["estimates"]
    means = np.array([case.marginals["mu"].mean(), *case.marginals["theta"].mean()])
    found = [estimates["mu"], *(estimates[f"theta[{j}]"] for j in range(8))]
    assert [row["mean"] for row in found] == pytest.approx(means, rel=EXACT)
    assert [row["map"] for row in found] == pytest.approx(means, rel=EXACT)
    assert [row["prior_weight"] for row in found] == pytest.approx(
        [1 / 25] + [1 / 9] * 8
    )  # precisions, given the parents
    assert {row["mle"] for row in found} == {None}  # joint: not a matter of one element


# --- refusals -----------------------------------------------------------------------------------------------------


def unknown_scale(num_rows):
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyro.sample("tau", dist.Gamma(2.0, 1.0))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Normal(mu, tau.rsqrt()))


def half_normal_scale(num_rows):
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    sigma = pyro.sample("sigma", dist.HalfNormal(1.0))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Normal(mu, sigma))


def one_row_in_a_thousand(num_rows):
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Normal(mu, 1.0))
    pyro.sample("odd", dist.StudentT(5.0, mu, 1.0))


def slightly_bent(num_rows):
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Normal(mu + 1e-4 * mu**2, 1.0))


def squared_rate(num_rows):
    theta = pyro.sample("theta", dist.Beta(2.0, 2.0))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Bernoulli(theta**2))


def product_of_normals(num_rows):
    a = pyro.sample("a", dist.Normal(1.0, 1.0))
    b = pyro.sample("b", dist.Normal(1.0, 1.0))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Normal(a * b, 1.0))


def poisson_regression(num_rows):
    rate = pyro.sample("rate", dist.Gamma(2.0, 1.0))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Poisson(rate.exp()))


def wide_uniform(num_rows):
    mu = pyro.sample("mu", dist.Uniform(-1.0, 1.0))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Normal(mu, 1.0))


Y = np.random.default_rng(3).normal(0.6, 1.0, 1000)
BINARY = (Y > 0).astype(float)
COUNTS = np.floor(np.abs(Y) * 3)

ADVICE = "; use `nuts` or `svi`"
REFUSALS = {
    unknown_scale: (
        {"y": Y},
        "sites `mu` and `tau` are conjugate one at a time, but dependent on each other in the posterior",
    ),
    product_of_normals: (
        {"y": Y},
        "sites `a` and `b` are conjugate one at a time, but dependent on each other in the posterior",
    ),
    half_normal_scale: ({"y": Y}, "site `sigma` (HalfNormal) has no conjugate form"),
    wide_uniform: ({"y": Y}, "site `mu` (Uniform) has no conjugate form"),
    one_row_in_a_thousand: (
        {"y": Y, "odd": np.array(0.3)},
        "site `mu` (Normal) is not conjugate to `y` (Normal) and `odd` (StudentT)",
    ),
    slightly_bent: ({"y": Y}, "site `mu` (Normal) is not conjugate to `y` (Normal)"),
    squared_rate: ({"y": BINARY}, "site `theta` (Beta) is not conjugate to `y` (Bernoulli)"),
    poisson_regression: ({"y": COUNTS}, "site `rate` (Gamma) is not conjugate to `y` (Poisson)"),
}


@pytest.mark.parametrize(("program", "case"), REFUSALS.items(), ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("seed", range(3))
def test_refusal_names_the_site(program, case, seed):
    observed, rule = case
    with pytest.raises(InputError) as refused:
        fit(program, Data({"num_rows": 1000}, observed), "exact", seed=seed)
    assert str(refused.value) == f"`exact` cannot fit {program.__name__}: {rule}{ADVICE}"


def test_refusal_of_logistic_regression():
    model = LogisticRegression(formula="y ~ x")
    rows = Table({"y": BINARY, "x": np.random.default_rng(4).normal(size=1000)}, "rows.csv", {})
    with pytest.raises(InputError) as refused:
        fit(model, model.data(rows), "exact")
    rule = "site `intercept` (Normal) is not conjugate to `y` (Bernoulli with logits)"
    assert str(refused.value) == f"`exact` cannot fit LogisticRegression: {rule}{ADVICE}"


def hidden_in_a_regression(x):
    intercept = pyro.sample("intercept", dist.Normal(0.0, 10.0))
    slope = pyro.sample("slope", dist.Normal(0.0, 1.0))
    mean = intercept + slope * x
    with pyro.plate("row", len(x) - 1):
        pyro.sample("y", dist.Normal(mean[1:], 0.5))
    pyro.sample("odd", dist.StudentT(3.0, mean[0], 0.5))


@pytest.mark.parametrize("scale", [1.0, 1e2, 1e4, 1e6])
def test_a_heavy_tailed_row_is_found_whatever_the_predictors_scale(scale):
    x = np.random.default_rng(5).normal(size=1000) * scale
    data = Data({"x": x}, {"y": Y[1:], "odd": np.array(Y[0])})
    with pytest.raises(InputError, match="`exact` cannot fit hidden_in_a_regression: "):
        fit(hidden_in_a_regression, data, "exact")
