"""The coin's known answers: every number in closed form, held to the digits a double has.

Rows BB1 to BB14 are worked examples from textbooks and articles on Beta-Bernoulli, recomputed; where an article's
printed number is wrong, the row says so and the test follows the mathematics.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import scipy.integrate
import scipy.stats
import torch
from cases import coin, flips, program_of, table

from inference import Svi, fit
from inference.conjugate import beta_mode
from inference.density import LogDensity
from inference.modes import find_mode
from inference.streams import workspace
from models import BetaBernoulli, Data, InputError, Prior
from models.rates import above

EXACT = 1e-9


def close(found, expected, tolerance=EXACT):
    assert np.asarray(found, dtype=float) == pytest.approx(
        np.asarray(expected, dtype=float), abs=tolerance, rel=tolerance
    )


def probability(theta):
    """The next outcome is a one: the posterior mean."""
    return theta.summary()["theta"]["mean"]


# --- BB1, BB3, BB4, BB5, BB14: one batch of flips -----------------------------------------------------------------

# prior, ones, zeros, posterior's (a, b), mle, map, mean
BATCHES = {
    "BB1": ("beta(2, 2)", 7, 3, (9, 5), 0.7, 2 / 3, 9 / 14),
    "BB2": ("beta(2, 2)", 4, 1, (6, 3), 0.8, 5 / 7, 2 / 3),
    "BB3 (the uniform prior adds nothing to the mode, one each to the mean)": (
        "beta(1, 1)",
        7,
        3,
        (8, 4),
        0.7,
        0.7,
        2 / 3,
    ),
    "BB4": ("beta(2, 2)", 8, 2, (10, 4), 0.8, 0.75, 5 / 7),
    "BB5 (printed mean 0.682 is the mode)": ("beta(2, 2)", 14, 6, (16, 8), 0.7, 15 / 22, 16 / 24),
    "uniform(0, 1) is beta(1, 1)": ("uniform(0, 1)", 7, 3, (8, 4), 0.7, 0.7, 2 / 3),
}


@pytest.mark.parametrize(("prior", "ones", "zeros", "shape", "mle", "mode", "mean"), BATCHES.values(), ids=BATCHES)
def test_one_block_has_mle_map_mean_and_the_weight_of_the_prior(prior, ones, zeros, shape, mle, mode, mean):
    posterior = coin(prior, flips(ones, zeros))
    truth = scipy.stats.beta(*shape)
    estimates = posterior.facts["estimates"]["theta"]
    close([estimates["mle"], estimates["map"], estimates["mean"]], [mle, mode, mean])
    close([estimates["prior_weight"], estimates["data_weight"]], [sum(shape) - ones - zeros, ones + zeros])
    summary = posterior.summary()["theta"]
    close([summary["mean"], summary["sd"]], [mean, truth.std()])
    close([summary[q] for q in ("q5", "q25", "q50", "q75", "q95")], truth.ppf([0.05, 0.25, 0.5, 0.75, 0.95]))
    assert summary["mcse_mean"] == 0 and summary["r_hat"] is None and summary["ess_bulk"] is None


def test_bb1_ten_flips_to_the_printed_digits():
    posterior = coin("beta(2, 2)", flips(7, 3))
    summary = posterior.summary()["theta"]
    close([summary["mean"], summary["sd"], summary["sd"] ** 2], [0.642857142857, 0.123717914826, 0.015306122449], 1e-12)
    close(posterior.quantile("theta", 0.5), 0.649836606239, 1e-12)
    close(posterior.interval("theta"), (0.385738338249, 0.861420661110), 1e-12)
    close(posterior.interval("theta", 0.9), (0.427380660592, 0.834340573285), 1e-12)
    close(posterior.facts["log_evidence"], -6.977747650802, 1e-12)
    low, high = 0.401306982, 0.873687890  # the shortest interval: equal density at its ends, 95% between them
    marginal = posterior.marginals["theta"]
    close(marginal.cdf(high) - marginal.cdf(low), 0.95, 1e-8)
    close(marginal.pdf(high), marginal.pdf(low), 1e-7)


def test_bb1_counted_flips_have_the_same_posterior_and_the_evidence_of_the_count():
    posterior = coin("beta(2, 2)", table(successes=[7], trials=[10]))
    close(posterior.interval("theta"), (0.385738338249, 0.861420661110), 1e-12)
    close(posterior.facts["log_evidence"], math.log(16 / 143), 1e-12)
    close(posterior.facts["log_evidence"], -2.190255908020, 1e-12)
    close(posterior.facts["estimates"]["theta"]["data_weight"], 10)


def test_bb3_seven_of_ten_has_probability_one_eleventh_under_the_uniform_prior():
    close(coin("beta(1, 1)", table(successes=[7], trials=[10])).facts["log_evidence"], -math.log(11), 1e-12)


def test_bb4_interval_is_not_the_printed_one():
    interval = coin("beta(2, 2)", flips(8, 2)).interval("theta")
    close(interval, (0.461868460766, 0.909079605428), 1e-12)
    assert np.abs(interval - (0.4590, 0.9098)).max() > 1e-3


# --- BB2, BB10: one flip at a time --------------------------------------------------------------------------------


def fold(prior: Prior, outcomes):
    """Each posterior is the next prior: the posteriors and the predictive probability of each outcome as it came."""
    posteriors, predictive = [], []
    for outcome in outcomes:
        posterior = coin(prior, table(outcome=[outcome]))
        posteriors.append(posterior)
        predictive.append(math.exp(posterior.facts["log_evidence"]))
        prior = Prior("beta", tuple(float(value) for value in posterior.marginals["theta"].args))
    return posteriors, predictive, prior


def test_bb2_walk_through_five_flips():
    posteriors, predictive, last = fold(Prior("beta", (2.0, 2.0)), [1, 1, 1, 0, 1])
    close([p.marginals["theta"].args for p in posteriors], [(3, 2), (4, 2), (5, 2), (5, 3), (6, 3)])
    close([probability(p) for p in posteriors], [3 / 5, 4 / 6, 5 / 7, 5 / 8, 6 / 9])
    close(predictive, [1 / 2, 3 / 5, 4 / 6, 2 / 7, 5 / 8])
    close(math.prod(predictive), 1 / 28)
    batch = coin("beta(2, 2)", flips(4, 1))
    close(batch.facts["log_evidence"], -3.332204510175, 1e-12)
    close(batch.interval("theta"), (0.349144206, 0.914766586))
    close(posteriors[-1].interval("theta"), batch.interval("theta"))
    close(last.arguments, (6, 3))


@pytest.mark.parametrize("order", sorted(set(itertools.permutations([1, 1, 0, 0]))), ids=str)
def test_bb10_folding_is_the_batch_in_any_order(order):
    _, predictive, last = fold(Prior("beta", (0.5, 1.5)), order)
    batch = coin("beta(0.5, 1.5)", flips(2, 2))
    close(last.arguments, batch.marginals["theta"].args, 1e-12)
    close(sum(map(math.log, predictive)), batch.facts["log_evidence"], 1e-12)


# --- BB6: two possible coins --------------------------------------------------------------------------------------


def two_coins(num_trials):
    """Which of two coins was flipped: 20% the one with rate 0.7, else the fair one."""
    which = pyro.sample("which", dist.Bernoulli(0.2))
    pyro.sample("heads", dist.Binomial(num_trials, 0.5 + 0.2 * which))


NOTHING_CONTINUOUS = (
    "only discrete sites are latent (`which`): there is nothing continuous to move; "
    "compare the log joint of their values, which are finitely many"
)
REFUSALS = {
    "exact": "site `which` (Bernoulli) is discrete; sum it out in the program, for instance with MixtureSameFamily",
    "nuts": NOTHING_CONTINUOUS,
    "svi": NOTHING_CONTINUOUS,
}


@pytest.mark.parametrize(("backend", "sentence"), REFUSALS.items(), ids=REFUSALS)
def test_bb6_a_discrete_site_alone_is_refused_with_its_remedy(backend, sentence):
    with pytest.raises(InputError) as refused:
        fit(two_coins, Data({"num_trials": 10}, {"heads": np.array(8.0)}), backend)
    assert str(refused.value) == f"`{backend}` cannot fit two_coins: {sentence}"


def test_bb6_log_joint_over_the_two_coins():
    with workspace(0):
        program = program_of(two_coins, Data({"num_trials": 10}, {"heads": np.array(8.0)}))
        joint = np.exp([program.log_joint({"which": torch.tensor(value)}).item() for value in (0.0, 1.0)])
        close(program.log_joint({}).item(), -2.502853071)  # neither given: summed over both
    likelihood = joint / (0.8, 0.2)
    posterior = joint / joint.sum()
    close(likelihood, (0.0439453125, 0.2334744405))
    close(likelihood[1] / likelihood[0], 5.312840602)
    close(posterior[1], 0.570485508)
    close(math.log(joint.sum()), -2.502853071)
    close(posterior @ (0.5, 0.7), 0.614097102)


# --- BB7, BB8, BB9: maximum likelihood and modes ------------------------------------------------------------------

MAXIMA = {"five": ([1, 0, 1, 1, 0], 3 / 5, None), "seven": ([1, 0, 1, 1, 1, 0, 1], 5 / 7, -4.187887120097)}


@pytest.mark.parametrize(("outcomes", "rate", "log_likelihood"), MAXIMA.values(), ids=MAXIMA)
def test_bb7_maximum_likelihood(outcomes, rate, log_likelihood):
    model = BetaBernoulli()
    data = model.data(table(outcome=outcomes))
    found = fit(model, data, "exact").facts["estimates"]["theta"]["mle"]
    close(found, rate)
    with workspace(0):  # the uniform prior's log density is 0, so that the log joint is the log likelihood
        at = program_of(model, data).log_joint({"theta": torch.tensor(found)}).item()
    expected = log_likelihood or sum(outcomes) * math.log(rate) + outcomes.count(0) * math.log(1 - rate)
    close(at, expected)


NO_MODE = float("nan")
MODES = {
    "inside": (9, 5, 2 / 3),
    "symmetric": (2, 2, 0.5),
    "flat": (1, 1, NO_MODE),
    "unbounded at both ends (the formula says 0.5)": (0.5, 0.5, NO_MODE),
    "unbounded at both ends, uneven": (0.5, 0.7, NO_MODE),
    "at 0 (the formula says -0.2)": (0.5, 3.5, 0),
    "at 1": (3.5, 0.5, 1),
    "at 0 with a finite density": (1, 4, 0),
    "at 1 with a finite density": (4, 1, 1),
    "at 0: unbounded there, finite at 1": (0.5, 1, 0),
    "at 1: unbounded there, finite at 0": (1, 0.5, 1),
    "at 0 where the formula is above 1": (0.9, 1.05, 0),
    "at 1 where the formula is below 0": (1.05, 0.9, 1),
}


@pytest.mark.parametrize(("a", "b", "mode"), MODES.values(), ids=MODES)
def test_bb8_the_mode_is_the_maximum_of_the_density_or_there_is_none(a, b, mode):
    found = float(beta_mode(np.array(float(a)), np.array(float(b))))
    if math.isnan(mode):
        assert math.isnan(found)
        return
    close(found, mode, 1e-12)
    grid = np.linspace(1e-6, 1 - 1e-6, 20_001)
    close(grid[np.argmax(scipy.stats.beta.logpdf(grid, a, b))], mode, 5e-5)


# prior, (successes, trials), mle, map
BORDERS = {
    "no heads, beta(0.5, 0.5): a negative map by the formula": ("beta(0.5, 0.5)", (0, 1), 0.0, 0.0),
    "all heads, beta(0.5, 0.5)": ("beta(0.5, 0.5)", (3, 3), 1.0, 1.0),
    "no heads, uniform prior": ("beta(1, 1)", (0, 4), 0.0, 0.0),
    "no heads, beta(2, 2)": ("beta(2, 2)", (0, 4), 0.0, 1 / 6),
    "no data, uniform prior": ("beta(1, 1)", (0, 0), None, None),
    "no data, beta(0.5, 0.5)": ("beta(0.5, 0.5)", (0, 0), None, None),
    "no data, beta(3, 2)": ("beta(3, 2)", (0, 0), None, 2 / 3),
}


@pytest.mark.parametrize(("prior", "counts", "mle", "mode"), BORDERS.values(), ids=BORDERS)
def test_bb8_estimates_at_the_border_and_without_data(prior, counts, mle, mode):
    estimates = coin(prior, table(successes=[counts[0]], trials=[counts[1]])).facts["estimates"]["theta"]
    for found, expected in ((estimates["mle"], mle), (estimates["map"], mode)):
        assert found is None if expected is None else found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("counts", [(0, 5), (5, 5)])
def test_bb8_the_guide_map_refuses_a_density_without_a_mode(counts):
    model = BetaBernoulli(prior="beta(0.5, 0.5)")
    with pytest.raises(InputError) as refused:
        fit(model, model.data(table(successes=[counts[0]], trials=[counts[1]])), Svi(guide="map"))
    assert str(refused.value) == (
        "`svi` cannot fit BetaBernoulli: site `theta` has no mode: its density grows without bound towards a border; "
        "use guide `multivariate_normal` or `nuts`"
    )


SHARES = {"none": 0, "half": 0.5, "seven tenths": 0.7, "all": 1}


@pytest.mark.parametrize("prior", [(2.0, 2.0), (1.0, 1.0), (0.5, 0.5), (20.0, 1.0)], ids=str)
@pytest.mark.parametrize("share", SHARES.values(), ids=SHARES)
def test_bb9_the_posterior_mean_goes_from_the_prior_to_the_maximum_likelihood(prior, share):
    strength, centre, gaps = sum(prior), prior[0] / sum(prior), []
    for trials in (10, 1_000, 100_000, 10_000_000):
        rows = table(successes=[round(share * trials)], trials=[trials])
        estimates = coin(Prior("beta", prior), rows).facts["estimates"]["theta"]
        close(estimates["mle"], share)
        close(estimates["mean"], (strength * centre + trials * share) / (strength + trials))
        assert 0 < estimates["mean"] < 1
        assert min(share, centre) - EXACT <= estimates["mean"] <= max(share, centre) + EXACT
        gaps.append(abs(estimates["mean"] - estimates["mle"]))
    assert gaps[-1] <= strength / 10_000_000 + 1e-9
    assert gaps == sorted(gaps, reverse=True) or max(gaps) < EXACT


# --- BB11: which is larger ----------------------------------------------------------------------------------------


def beats(first, second):
    """P(first > second) for independent marginals, by quadrature."""
    return scipy.integrate.quad(lambda x: first.pdf(x) * second.cdf(x), 0, 1, epsabs=1e-13, epsrel=1e-13)[0]


def counted(ones, zeros):
    """The posterior of one rate under beta(2, 2), in closed form."""
    model = BetaBernoulli(prior="beta(2, 2)")
    return model.posterior(model.data(flips(ones, zeros)))


RACES = {
    "(9, 5) against (6, 3)": ((7, 3), (4, 1), 0.442724458),
    "(16, 8) against (10, 4)": ((14, 6), (8, 2), 0.366500698),
}


@pytest.mark.parametrize(("first", "second", "expected"), RACES.values(), ids=RACES)
def test_bb11_one_rate_above_the_other(first, second, expected):
    close(beats(*(coin("beta(2, 2)", flips(*counts)).marginals["theta"] for counts in (first, second))), expected)
    close(above(counted(*first), counted(*second)), expected)


def test_bb11_both_rates_as_groups_of_one_fit():
    model = BetaBernoulli(prior="beta(2, 2)")
    outcomes = [1] * 14 + [0] * 6 + [1] * 8 + [0] * 2
    posterior = fit(model, model.data(table(outcome=outcomes, group=["a"] * 20 + ["b"] * 10)), "exact", seed=1)
    close(posterior.marginals["theta"].args, ((16, 10), (8, 4)))
    a, b = posterior.draws["theta"][..., 0], posterior.draws["theta"][..., 1]
    share, expected = (a > b).mean(), 0.366500698
    known = model.exact_quantities(posterior.marginals, Data(coords={"group": ["a", "b"]}))
    close(known["best"].mean(), [expected, 1 - expected])
    assert abs(share - expected) <= 4 * math.sqrt(expected * (1 - expected) / posterior.num_draws)


# --- BB12: the other pairs ----------------------------------------------------------------------------------------


def gamma_poisson(num_rows):
    rate = pyro.sample("rate", dist.Gamma(3.0, 2.0))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Poisson(rate))


def dirichlet_categorical(num_rows):
    weights = pyro.sample("weights", dist.Dirichlet(torch.tensor([1.0, 2.0, 0.5, 3.0])))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Categorical(weights))


def beta_binomial(num_rows, trials):
    theta = pyro.sample("theta", dist.Beta(2.5, 1.5))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Binomial(trials, theta))


def test_bb12_gamma_poisson_and_its_negative_binomial():
    def posterior(counts):
        return fit(gamma_poisson, Data({"num_rows": len(counts)}, {"y": np.array(counts, dtype=float)}), "exact")

    counts = [2, 0, 5, 3]
    found = posterior(counts)
    shape, rate = 3.0 + sum(counts), 2.0 + len(counts)
    close(found.summary()["rate"]["mean"], shape / rate)
    close(found.interval("rate"), scipy.stats.gamma(shape, scale=1 / rate).ppf([0.025, 0.975]))
    # one count at a time, each negative binomial with the shape and rate so far
    so_far = [scipy.stats.nbinom.logpmf(y, 3.0 + sum(counts[:n]), (2.0 + n) / (3.0 + n)) for n, y in enumerate(counts)]
    close(found.facts["log_evidence"], sum(so_far))
    for y in range(6):
        predictive = math.exp(posterior([*counts, y]).facts["log_evidence"] - found.facts["log_evidence"])
        close(predictive, scipy.stats.nbinom.pmf(y, shape, rate / (rate + 1)))
    estimates = found.facts["estimates"]["rate"]
    close([estimates["mle"], estimates["map"], estimates["mean"]], [np.mean(counts), (shape - 1) / rate, shape / rate])
    close([estimates["prior_weight"], estimates["data_weight"]], [2, len(counts)])


def test_bb12_dirichlet_categorical_and_its_dirichlet_multinomial():
    labels = np.array([0, 1, 1, 3, 3, 3, 0, 3, 1])
    found = fit(dirichlet_categorical, Data({"num_rows": len(labels)}, {"y": labels}), "exact")
    prior, counts = np.array([1.0, 2.0, 0.5, 3.0]), np.bincount(labels, minlength=4)
    after = prior + counts
    close([found.summary()[f"weights[{k}]"]["mean"] for k in range(4)], after / after.sum())
    close(found.interval("weights"), scipy.stats.beta(after, after.sum() - after).ppf([[0.025], [0.975]]))
    orders = math.lgamma(len(labels) + 1) - sum(math.lgamma(n + 1) for n in counts)
    close(found.facts["log_evidence"] + orders, scipy.stats.dirichlet_multinomial.logpmf(counts, prior, len(labels)))
    more = fit(dirichlet_categorical, Data({"num_rows": len(labels) + 1}, {"y": np.append(labels, 2)}), "exact")
    close(math.exp(more.facts["log_evidence"] - found.facts["log_evidence"]), after[2] / after.sum())
    estimates = [found.facts["estimates"][f"weights[{k}]"] for k in range(4)]
    close([row["mle"] for row in estimates], counts / counts.sum())
    assert [row["map"] for row in estimates] == [None] * 4  # 0.5 pseudo-counts and no label 2: no mode inside


def test_bb12_beta_binomial():
    trials, successes = np.array([10.0, 4.0, 7.0]), np.array([6.0, 1.0, 7.0])
    found = fit(beta_binomial, Data({"num_rows": 3, "trials": trials}, {"y": successes}), "exact")
    a, b, expected = 2.5, 1.5, 0.0
    for n, s in zip(trials, successes, strict=True):
        expected += scipy.stats.betabinom.logpmf(s, n, a, b)
        a, b = a + s, b + n - s
    close(found.marginals["theta"].args, (a, b))
    close(found.facts["log_evidence"], expected)


# --- PP1: heads in ten more flips ---------------------------------------------------------------------------------

PMF = (0.000875, 0.005625, 0.019470, 0.047593, 0.090860, 0.141742, 0.183739, 0.196864, 0.168740, 0.106244, 0.038248)


def test_pp1_the_next_ten_flips_are_beta_binomial():
    future = counted(7, 3).predictive(10)
    close([future.mean(), future.var(), future.std()], [[6.428571428571], [3.673469387755], [1.916629695]])
    close(future.pmf(np.arange(11)), PMF, 5e-7)
    assert (future.ppf(0.05), future.ppf(0.95)) == (3, 9)
    close(future.cdf(9) - future.cdf(2), [0.935783], 5e-7)
    posterior = coin("beta(2, 2)", flips(7, 3))
    draws = np.random.default_rng(1).binomial(10, posterior.draws["theta"].ravel())
    assert abs(draws.mean() - 6.428571428571) <= 4 * 1.916629695 / math.sqrt(posterior.num_draws)
    shares = np.bincount(draws, minlength=11) / len(draws)
    assert (np.abs(shares - PMF) <= 4 * np.sqrt(np.array(PMF) * (1 - np.array(PMF)) / len(draws))).all()


def test_pp1_predictions_for_new_rows():
    model, rows = BetaBernoulli(prior="beta(2, 2)"), flips(7, 3)
    found = model.predict(coin("beta(2, 2)", rows).draws, rows, table(trials=[10]), mass=0.9)
    assert (found["successes lower"][0], found["successes upper"][0]) == (3, 9)
    assert abs(found["successes mean"][0] - 6.428571428571) <= 4 * 10 * 0.123717914826 / math.sqrt(4000)
    assert abs(found["mean"][0] - 9 / 14) <= 4 * 0.123717914826 / math.sqrt(4000)


# --- BB13: two Laplace approximations of one posterior ------------------------------------------------------------


def test_bb13_map_is_the_mode_on_the_own_scale_with_the_curvature_there():
    model = BetaBernoulli(prior="beta(2, 2)")
    posterior = fit(model, model.data(flips(8, 2)), Svi(guide="map"))
    estimate = posterior.facts["estimates"]["theta"]
    close([estimate["map"], estimate["laplace_sd"]], [0.75, 0.125])
    close([estimate["map"] + z * estimate["laplace_sd"] for z in (-1.959963985, 1.959963985)], (0.505, 0.995), 1e-4)
    assert posterior.facts["scale"] == "the sites' own scale"
    assert "k_hat" not in posterior.facts and posterior.summary()["theta"]["r_hat"] is None
    assert np.ptp(posterior.draws["theta"]) == 0


def test_bb13_laplace_is_a_normal_at_the_mode_on_the_unconstrained_scale():
    model = BetaBernoulli(prior="beta(2, 2)")
    data = model.data(flips(8, 2))
    with workspace(0):
        density = LogDensity(program_of(model, data))
        mode = find_mode(density, torch.zeros(1))
    assert mode.covariance is not None and mode.converged and mode.escaped is None
    close([mode.z.item(), mode.covariance.item() ** 0.5], [0.916290732, 0.591607978], 1e-6)
    close(mode.z.item(), math.log(10 / 4))  # in theta 10/14, not the 0.75 of the other scale

    posterior = fit(model, data, Svi(guide="laplace", num_samples=4000), seed=2)
    assert posterior.facts["scale"] == "the unconstrained scale"
    normal = scipy.stats.norm(0.916290732, 0.591607978)
    z = np.log(posterior.draws["theta"] / (1 - posterior.draws["theta"]))
    for probability, expected in ((0.025, 0.439488), (0.5, 10 / 14), (0.975, 0.888531)):
        error = math.sqrt(probability * (1 - probability) / posterior.num_draws) / normal.pdf(normal.ppf(probability))
        assert abs(np.quantile(z, probability) - math.log(expected / (1 - expected))) <= 4 * error
    assert abs(z.mean() - 0.916290732) <= 4 * 0.591607978 / math.sqrt(posterior.num_draws)
    assert abs(z.std() - 0.591607978) <= 4 * 0.591607978 / math.sqrt(2 * posterior.num_draws)
    assert posterior.facts["final_elbo"] < coin("beta(2, 2)", flips(8, 2)).facts["log_evidence"]
