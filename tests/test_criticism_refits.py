"""Scores by fits that leave rows out, against closed forms, quadrature, brute force over paths, and one fit a row."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import scipy.stats
from cases import table
from scipy.special import logsumexp

from experiments import load_experiment
from experiments.criticism import refits
from experiments.criticism.refits import k_fold, leave_future_out, without_bad
from experiments.criticism.scores import Loo, efficiency, log_mean_exp, loo, spread
from experiments.prepare import prepare
from inference import Exact, Nuts, Svi, fit
from models import BetaBernoulli, Data, HiddenMarkov, InputError, NaiveBayes
from models.base import Sequential

ROOT = Path(__file__).parent.parent
FLIPS = [1] * 7 + [0] * 3
NUTS = Nuts(num_chains=8, num_warmup=200, num_samples=500)


def close(found: Any, expected: Any, tolerance: float) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def coin(outcomes: list[int]) -> tuple[BetaBernoulli, Data]:
    model = BetaBernoulli(prior="beta(2, 2)")  # type: ignore[arg-type]  # a literal is read as a prior
    return model, model.data(table(outcome=outcomes))


def beta_binomial(outcomes: Any, row: int, others: np.ndarray) -> float:
    """log P(row | others) under beta(2, 2)."""
    ones, count = np.asarray(outcomes)[others].sum(), len(others)
    return math.log((2 + ones if outcomes[row] else 2 + count - ones) / (4 + count))


# --- K-fold


@pytest.mark.parametrize(("settings", "tolerance"), [(Exact(num_samples=5000), 0.01), (NUTS, 0.03)])
def test_folds_of_one_row_leave_it_out(settings, tolerance):
    """Of 20,000 draws of a rate with sd 0.13 the mean of P(y) has a relative error of 0.0015 to 0.003."""
    model, data = coin(FLIPS)
    found = k_fold(model, data, settings, folds=10, seed=1)
    expected = [beta_binomial(FLIPS, row, np.delete(np.arange(10), row)) for row in range(10)]
    close(found.pointwise, expected, tolerance)
    assert (found.method, found.num_fits, list(found.rows)) == ("10-fold", 10, list(range(10)))
    assert found.elpd == pytest.approx(found.pointwise.sum()) and found.se == spread(found.pointwise)


def test_each_row_is_scored_without_its_own_fold():
    """The folds are those that are dealt out, each once, of sizes that differ by one at most."""
    outcomes = [1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1]
    model, data = coin(outcomes)
    parts = refits.dealt(np.arange(11), 3, 4)
    assert sorted(map(len, parts)) == [3, 4, 4] and sorted(np.concatenate(parts)) == list(range(11))
    found = k_fold(model, data, Exact(num_samples=5000), folds=3, seed=4)
    for part in parts:
        others = np.setdiff1d(np.arange(11), part)
        close(found.pointwise[part], [beta_binomial(outcomes, row, others) for row in part], 0.01)


def test_the_same_seed_gives_the_same_numbers_in_pieces_of_any_size(monkeypatch):
    model, data = coin(FLIPS)
    once = k_fold(model, data, Exact(num_samples=500), folds=2, seed=5)
    monkeypatch.setattr(refits, "CHUNK_VALUES", 70)
    again = k_fold(model, data, Exact(num_samples=500), folds=2, seed=5)
    close(again.pointwise, once.pointwise, 1e-12)
    assert (k_fold(model, data, Exact(num_samples=500), folds=2, seed=6).pointwise != once.pointwise).any()


EFFECTS = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
ERRORS = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])


def school_without(left_out: int) -> tuple[float, float]:
    """log p(y of a school | the other seven) by quadrature over mu and tau, their effects integrated out; and the
    coefficient of variation of p(y | effect) under the same posterior."""
    mu, tau = np.meshgrid(np.linspace(-25, 35, 601), np.tan(np.linspace(0, np.pi / 2, 802)[1:-1]) * 5, indexing="ij")
    weight = scipy.stats.norm(0, 5).logpdf(mu)  # tau is uniform in the angle whose tangent it is
    for j in np.delete(np.arange(8), left_out):
        weight = weight + scipy.stats.norm.logpdf(EFFECTS[j], mu, np.hypot(ERRORS[j], tau))
    weight = np.exp(weight - logsumexp(weight))
    y, sigma = EFFECTS[left_out], ERRORS[left_out]
    first = (weight * scipy.stats.norm.pdf(y, mu, np.hypot(sigma, tau))).sum()
    second = (weight * scipy.stats.norm.pdf(y, mu, np.hypot(sigma / 2**0.5, tau))).sum() / (2 * sigma * np.pi**0.5)
    return math.log(first), math.sqrt(second / first**2 - 1)


def test_a_school_left_out_is_predicted_by_the_others():
    """Its effect stays in the program, and is drawn from what the other schools say of the population."""
    experiment = load_experiment(ROOT / "configs" / "eight_schools.yaml")
    prepared = prepare(experiment)
    found = k_fold(prepared.model, prepared.data, Nuts(target_accept_prob=0.9), folds=8, seed=2)
    expected, variation = np.array([school_without(school) for school in range(8)]).T
    # 6,400 draws are worth 1,500 or more
    assert (np.abs(found.pointwise - expected) < 4 * variation / 1500**0.5).all()
    assert (4 * variation / 1500**0.5 < 0.08).all()


def test_a_row_of_naive_bayes_is_left_out_with_its_features():
    """log p(class, features | other rows) is a product of ratios of counts, by class and feature."""
    labels, seen = (
        ["a", "a", "b", "b", "b", "a", "b", "a"],
        np.array([[1, 0], [1, 1], [0, 1], [0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]),
    )
    model = NaiveBayes(binary=("f", "g"), class_prior="dirichlet(1)", rate_prior="beta(1, 1)")  # type: ignore[arg-type]
    data = model.data(table(label=labels, f=seen[:, 0], g=seen[:, 1]))
    found = k_fold(model, data, Exact(num_samples=5000), folds=8, seed=3)
    expected = []
    for row in range(8):
        same = [other for other in range(8) if other != row and labels[other] == labels[row]]
        shares = [(1 + len(same)) / (2 + 7)]
        shares += [(1 + sum(seen[other, c] == seen[row, c] for other in same)) / (2 + len(same)) for c in (0, 1)]
        expected.append(math.log(np.prod(shares)))
    # p(row | parameters) has a coefficient of variation below 1.2 in all of them
    close(found.pointwise, expected, 4 * 1.2 / 20_000**0.5)


# --- rows that leave-one-out refuses


def level(num_rows):
    mean = pyro.sample("mean", dist.Normal(0.0, 10.0))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Normal(mean, 1.0))


def of_level(y: np.ndarray, row: int, others: np.ndarray) -> float:
    """log p(row | others) under `level`."""
    precision = len(others) + 0.01
    return float(scipy.stats.norm(y[others].sum() / precision, math.sqrt(1 + 1 / precision)).logpdf(y[row]))


def scored(model: Any, data: Data, settings: Any) -> Loo:
    posterior = fit(model, data, settings, seed=1)
    with refits.program_of(model, data, 1) as program:
        return loo(refits.tables(program, posterior.draws), efficiency(posterior))


def variation(y: np.ndarray, row: int, others: np.ndarray) -> float:
    """The coefficient of variation of p(row | mean) over the posterior of `level` given the others."""
    mean, variance = y[others].sum() / (len(others) + 0.01), 1 / (len(others) + 0.01)
    first = scipy.stats.norm.pdf(y[row], mean, math.sqrt(1 + variance))
    second = scipy.stats.norm.pdf(y[row], mean, math.sqrt(0.5 + variance)) / (2 * math.sqrt(math.pi))
    return math.sqrt(second / first**2 - 1)


def test_an_outlier_is_left_out_for_real():
    y = np.array([0.3, -0.8, 5.0])
    data, rest = Data({"num_rows": 3}, {"y": y}), np.array([0, 1])
    before = scored(level, data, Exact())
    after = without_bad(level, data, Exact(num_samples=50_000), before, seed=2)
    outlier = of_level(y, 2, rest)
    assert list(before.bad) == [2] and before.pointwise[2] > outlier + 0.3  # far too favourable
    close(after.pointwise[2], outlier, 4 * variation(y, 2, rest) / 200_000**0.5)
    np.testing.assert_array_equal(after.pointwise[:2], before.pointwise[:2])
    close(after.elpd, outlier + sum(of_level(y, row, np.delete(np.arange(3), row)) for row in (0, 1)), 0.15)
    assert list(after.refitted) == [2] and not len(after.bad) and after.k is before.k
    # p is lppd less elpd, and lppd is as it was
    assert after.elpd == pytest.approx(after.pointwise.sum()) and after.se == spread(after.pointwise)
    assert after.elpd + after.p == pytest.approx(before.elpd + before.p, abs=1e-12)


def test_many_bad_rows_share_ten_fits(monkeypatch):
    """Each of twenty rows is all that is known of its group: without it, P(y) = 1/2."""
    model = BetaBernoulli(prior="beta(0.1, 0.1)")  # type: ignore[arg-type]  # a literal is read as a prior
    data = model.data(table(outcome=[1, 0] * 10, group=[f"g{row}" for row in range(20)]))
    before = scored(model, data, Exact())
    assert len(before.bad) > 10 and before.elpd > 20 * math.log(0.5) + 1
    fits = counted(monkeypatch)
    after = without_bad(model, data, Exact(num_samples=5000), before, seed=2)
    # a rate has mean 0.5 and sd 0.46 where nothing is known of it
    close(after.pointwise[before.bad], math.log(0.5), 4 * 0.92 / 20_000**0.5)
    assert len(fits) == 10 and len(set(fits)) == 10 and list(after.refitted) == list(before.bad)
    assert without_bad(model, data, Exact(), after) is after and len(fits) == 10


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds of the fits from here on."""
    seeds: list[int] = []

    def fit_and_count(*arguments: Any, seed: int, **more: Any) -> Any:
        seeds.append(seed)
        return fit(*arguments, seed=seed, **more)

    monkeypatch.setattr(refits, "fit", fit_and_count)
    return seeds


# --- the future left out


@pytest.mark.parametrize(
    ("outcomes", "first", "fits"),
    [(FLIPS, 3, {1}), ([0] * 8 + [1] * 16, 8, {2, 3}), ([1, 0], 1, {1})],
    ids=["as before", "other than before", "two rows"],
)
def test_flips_are_predicted_from_those_before(monkeypatch, outcomes, first, fits):
    """A beta-binomial's steps; where what comes is unlike what was, weights do not hold and the fit is made again."""
    model, data = coin(outcomes)
    made = counted(monkeypatch)
    found = leave_future_out(model, data, Exact(num_samples=5000), first, seed=1)
    expected = [beta_binomial(outcomes, row, np.arange(row)) for row in range(first, len(outcomes))]
    # of 20,000 draws a k-hat below 0.7 leaves the worth of 2,000 or more, of probabilities that vary by a half or less
    close(found.pointwise, expected, 4 * 0.5 / 2000**0.5)
    assert found.elpd == pytest.approx(found.pointwise.sum()) and found.se == pytest.approx(
        spread(found.pointwise), nan_ok=True
    )
    assert found.num_fits in fits and len(made) == found.num_fits
    assert (found.method, list(found.rows)) == ("leave-future-out", list(range(first, len(outcomes))))


def test_a_level_is_predicted_from_the_rows_before():
    y = np.array([0.3, -0.8, 0.5, 1.1, 0.2, -0.3, 0.9, 0.0])
    found = leave_future_out(level, Data({"num_rows": 8}, {"y": y}), NUTS, 2, seed=1)
    expected = [of_level(y, row, np.arange(row)) for row in range(2, 8)]
    errors = [4 * variation(y, row, np.arange(row)) / 1000**0.5 for row in range(2, 8)]
    assert (np.abs(found.pointwise - expected) < errors).all() and max(errors) < 0.1


# --- one sequence in time


CHANNELS = {"x": [0.4, 1.9, None, 2.2, -0.5], "w": [1.0, None, None, 0.3, 0.7]}


def drawn_once(model: HiddenMarkov, seed: int, draws: int = 3) -> dict[str, np.ndarray]:
    """Parameters of a gaussian chain of two states, `(1, draw, *shape)`."""
    rng, channels = np.random.default_rng(seed), len(model.channels)
    return {
        "mu": rng.normal(0, 1, (1, draws, 2, channels)),
        "sigma": rng.uniform(0.5, 1.5, (1, draws, 2, channels)),
        "transition": rng.dirichlet([1, 1], (1, draws, 2)),
        "start": rng.dirichlet([1, 1], (1, draws)),
    }


def by_paths(parameters: dict[str, np.ndarray], cells: list[list[float | None]], until: int) -> float:
    """log p(the first rows) as a sum over all paths."""
    total = 0.0
    for path in itertools.product((0, 1), repeat=until):
        share = parameters["start"][path[0]] if until else 1.0
        share *= math.prod(parameters["transition"][a, b] for a, b in itertools.pairwise(path))
        for t, k in enumerate(path):
            for c, column in enumerate(cells):
                if column[t] is not None:
                    share *= scipy.stats.norm.pdf(column[t], parameters["mu"][k, c], parameters["sigma"][k, c])
        total += share
    return math.log(total)


def test_steps_of_a_chain_are_those_of_all_its_paths():
    """Two channels; a row in which one is missing, and one in which both are."""
    model = HiddenMarkov(channels=("x", "w"), start="free", standardise=False)
    data = model.data(table(**{name: [np.nan if v is None else v for v in own] for name, own in CHANNELS.items()}))
    draws = drawn_once(model, 4)
    found = model.one_step_ahead(draws, data)
    assert isinstance(model, Sequential) and found.shape == (3, 1, 5)
    for number in range(3):
        one = {name: value[0, number] for name, value in draws.items()}
        until = np.array([by_paths(one, list(CHANNELS.values()), steps) for steps in range(6)])
        close(found[number, 0], np.diff(until), 1e-10)
        assert abs(found[number, 0, 2]) < 1e-12  # nothing is seen there


@pytest.mark.parametrize("kind", ["poisson", "categorical"])
def test_steps_add_up_to_the_likelihood_of_each_sequence(kind):
    model = HiddenMarkov(channels=("n",), emission=kind)
    counts = [0, 2, 1, 3, 0, 1, 2]
    data = model.data(table(n=[str(n) for n in counts] if kind == "categorical" else counts, sequence=list("aaaabbb")))
    posterior = fit(model, data, Nuts(num_chains=2, num_warmup=20, num_samples=10), seed=1)
    with refits.program_of(model, data, 1) as program:
        whole = np.concatenate(list(refits.tables(program, posterior.draws)))
    steps = model.one_step_ahead(posterior.draws, data)
    assert steps.shape == (20, 2, 4)
    close(steps.sum(axis=2), whole, 1e-9)
    close(steps[:, 1, 3], 0, 1e-12)


def test_until_a_time_a_sequence_is_what_was_seen_by_then():
    model = HiddenMarkov(channels=("x",), standardise=False)
    x = np.array([0.4, 1.9, 0.1, 2.2, -0.5])
    draws = drawn_once(model, 2)
    part = model.until(model.data(table(x=x)), 3)
    assert part.observed["y"].shape == (1, 5, 1)
    short = model.one_step_ahead(draws, model.data(table(x=x[:3])))
    found = model.one_step_ahead(draws, part)
    close(found[..., :3], short, 1e-12)
    close(found[..., 3:], 0.0, 1e-12)


@pytest.mark.slow
def test_few_fits_of_a_chain_say_what_a_fit_at_every_step_says():
    experiment = load_experiment(ROOT / "configs" / "hidden_markov_earthquakes.yaml")
    prepared = prepare(experiment)
    model, data, settings = prepared.model, prepared.data, Nuts(num_chains=16, num_samples=250)
    found = leave_future_out(model, data, settings, 98, seed=1)
    steps = range(98, 107)
    every, errors = [], []
    for step in steps:
        posterior = fit(model, model.until(data, step), settings, seed=7)
        densities = model.one_step_ahead(posterior.draws, data)[:, 0, step]
        every.append(log_mean_exp(densities[:, None])[0])
        errors.append(np.exp(densities).std() / np.exp(densities).mean() / 1000**0.5)
    assert found.num_fits < 4
    # both have such an error, and that of weighted draws is larger: k-hat below 0.7 leaves a fifth of them or more
    close((found.pointwise - every) / (4 * np.hypot(1, 5**0.5) * np.array(errors)), np.zeros(9), 1)


# --- what cannot be


def joint(num_rows):
    mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
    pyro.sample("y", dist.Normal(mean, 1.0).expand([num_rows]).to_event(1))


def two_lengths(num_rows):
    mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Normal(mean, 1.0))
    with pyro.plate("other", 2):
        pyro.sample("z", dist.Normal(mean, 1.0))


CHAIN = HiddenMarkov(channels=("x",))
ONE = CHAIN.data(table(x=[0.1, 0.5, 1.0, -0.2]))
TWO = CHAIN.data(table(x=[0.1, 0.5, 1.0, -0.2], sequence=list("aabb")))
THREE = Data({"num_rows": 3}, {"y": np.zeros(3)})
ALONE = "the observations depend on each other and count as one, so that none can be left out"


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (
            lambda: k_fold(*coin(FLIPS), "exact", 1),
            "scores.k_fold: must be 2 to 10, the number of rows, got 1; choose another number",
        ),
        (
            lambda: k_fold(*coin(FLIPS), "exact", 11),
            "scores.k_fold: must be 2 to 10, the number of rows, got 11; choose another number",
        ),
        (
            lambda: k_fold(joint, THREE, "exact"),
            f"scores.k_fold: {ALONE}; leave it out; of one sequence set `future_from` instead",
        ),
        (
            lambda: k_fold(CHAIN, ONE, "nuts"),
            f"scores.k_fold: {ALONE}; leave it out; of one sequence set `future_from` instead",
        ),
        (
            lambda: leave_future_out(joint, THREE, "exact", 1),
            f"scores.future_from: {ALONE}; leave it out; of one sequence set `future_from` instead",
        ),
        (
            lambda: leave_future_out(*coin(FLIPS), "exact", 0),
            "scores.future_from: must be 1 to 9, so that something is left to predict, got 0; choose another number",
        ),
        (
            lambda: leave_future_out(*coin(FLIPS), "exact", 10),
            "scores.future_from: must be 1 to 9, so that something is left to predict, got 10; choose another number",
        ),
        (
            lambda: leave_future_out(CHAIN, ONE, "nuts", 4),
            "scores.future_from: must be 1 to 3, so that something is left to predict, got 4; choose another number",
        ),
        (
            lambda: leave_future_out(CHAIN, TWO, "nuts", 2),
            "scores.future_from: there are 2 sequences, which have no common time; "
            "leave whole sequences out: set `k_fold` instead",
        ),
        (
            lambda: leave_future_out(
                two_lengths, Data({"num_rows": 3}, {"y": np.zeros(3), "z": np.ones(2)}), "exact", 2
            ),
            "scores.future_from: the observed sites have different lengths, and so no common time; leave it out",
        ),
        (
            lambda: leave_future_out(*coin(FLIPS), Svi(guide="map", max_steps=500), 5),
            "scores.future_from: a point estimate has no draws to weigh; use another guide, or `nuts`",
        ),
    ],
)
def test_what_cannot_be_scored_is_refused(score, message):
    with pytest.raises(InputError) as refused:
        score()
    assert str(refused.value) == message
