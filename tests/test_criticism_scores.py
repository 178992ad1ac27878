"""Scores against ArviZ's own, published numbers, closed forms, and fits that really leave rows out."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import scipy.special
import scipy.stats
from cases import table

from experiments.criticism import scores
from experiments.criticism.pointwise import chunks
from experiments.datasets import load_table
from experiments.rows import Rows, rows_of
from experiments.settings import DataConfig
from inference import Exact, Nuts, arviz_bridge, fit
from inference.streams import workspace
from models import BetaBernoulli, Data, InputError, LogisticRegression, Table

ROOT = Path(__file__).parent.parent
RNG = np.random.default_rng(6)


def log_likelihood_chunks(*arguments):
    return (chunk.log_likelihood for chunk in chunks(*arguments))


def close(found, expected, tolerance=1e-9):
    assert np.asarray(found, dtype=float) == pytest.approx(np.asarray(expected, dtype=float), abs=tolerance)


# --- ArviZ's own


@pytest.fixture(autouse=True)
def same_numbers_whatever_ran_before(monkeypatch):
    monkeypatch.setitem(globals(), "RNG", np.random.default_rng(6))


@pytest.mark.parametrize("name", ["centered_eight", "non_centered_eight"])
def test_eight_schools_are_arviz_s(name):
    arviz = arviz_bridge._arviz_0()
    example = arviz.load_arviz_data(name)
    values = example.log_likelihood["obs"].values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # k-hat above its limit
        expected, information = arviz.loo(example, pointwise=True), arviz.waic(example, pointwise=True)
    ess = arviz.ess(example.posterior, method="mean")
    efficiency = np.hstack([ess[v].values.ravel() for v in ess.data_vars]).mean() / values[..., 0].size
    found = scores.loo(np.split(scores.by_row({"obs": values}), 4, axis=1), efficiency)
    # the same number but for the tail's length, which 0.x rounds up
    close(found.pointwise, expected.loo_i.values, 5e-3)
    close([found.elpd, found.p], [expected.elpd_loo, expected.p_loo], 0.01)
    close(found.k, expected.pareto_k.values, 0.05)
    close(found.se, expected.se * np.sqrt(8 / 7), 0.01)
    assert found.good_k == pytest.approx(expected.good_k)
    simple = scores.waic([scores.by_row({"obs": values})])
    close([simple.elpd, simple.p], [information.elpd_waic, information.p_waic])
    assert simple.num_unsafe == (values.var(axis=(0, 1)) > 0.4).sum()


def test_efficiency_is_arviz_s():
    arviz = arviz_bridge._arviz_0()
    example = arviz.load_arviz_data("centered_eight")
    from inference.posterior import Posterior

    draws = {name: example.posterior[name].values for name in example.posterior.data_vars}
    dims = {name: tuple(example.posterior[name].dims[2:]) for name in draws}
    ess = arviz.ess(example.posterior, method="mean")
    expected = np.hstack([ess[v].values.ravel() for v in ess.data_vars]).mean() / 2000
    close(scores.efficiency(Posterior("nuts", draws, dims, dependent=True)), expected)
    assert scores.efficiency(Posterior("svi", draws, dims)) == 1


def test_chunks_change_nothing():
    values = RNG.normal(-1, 0.5, (500, 37))
    whole = scores.loo([values], 0.7)
    for ends in (range(1, 37), [5, 30], [36]):
        parts = scores.loo(np.split(values, ends, axis=1), 0.7)
        np.testing.assert_array_equal(parts.pointwise, whole.pointwise)
        np.testing.assert_array_equal(parts.k, whole.k)
        assert (parts.p, parts.good_k) == (whole.p, whole.good_k)


def test_a_row_that_says_nothing_has_no_k_and_its_own_probability():
    values = np.column_stack([np.full(400, -0.3), RNG.normal(-1, 1, 400)])
    found = scores.loo([values])
    assert found.k[0] == 0 and found.pointwise[0] == pytest.approx(-0.3) and found.k[1] > 0
    few = scores.loo([values[:10]])
    assert np.isinf(few.k[1]) and list(few.bad) == [1]


# --- what leaving a row out really gives


def wells() -> Table:
    return load_table(DataConfig(bundled="wells"), ROOT, str)


def test_wells_are_the_published_ones():
    """Vehtari & Gabry, Writing Stan programs for use with the loo package: elpd_loo -1968.5 (15.6), p_loo 3.2."""
    model = LogisticRegression(
        "switched ~ I(dist / 100) + arsenic", standardise=False, prior="normal(0, 1)", intercept_prior="normal(0, 1)"
    )
    data = model.data(wells())
    posterior = fit(model, data, Nuts(num_samples=400), seed=1)
    with workspace(0):
        found = scores.loo(log_likelihood_chunks(model, data, posterior.draws), scores.efficiency(posterior))
    close(found.elpd, -1968.5, 0.1)
    close(found.se, 15.6, 0.1)
    close(found.p, 3.2, 0.3)
    assert found.k.max() < 0.5 and not len(found.bad)


def test_loo_of_a_coin_is_the_closed_form():
    """Leaving one of n out, P(y) = (a + others alike) / (a + b + n - 1)."""
    model, outcomes = BetaBernoulli(prior="beta(2, 2)"), [1] * 7 + [0] * 3
    data = model.data(table(outcome=outcomes))
    posterior = fit(model, data, Exact(num_samples=5000), seed=3)
    with workspace(0):
        found = scores.loo(log_likelihood_chunks(model, data, posterior.draws))
        (table_of_draws,) = log_likelihood_chunks(model, data, posterior.draws)
    expected = [math.log(8 / 13)] * 7 + [math.log(4 / 13)] * 3
    close(found.pointwise, expected, 0.01)
    told = scores.log_mean_exp(table_of_draws)
    close(told, [math.log(9 / 14)] * 7 + [math.log(5 / 14)] * 3, 0.01)
    close(scores.perplexity(told), math.exp(-np.mean(told)), 1e-12)


# --- sums and averages


def test_the_mean_over_draws_is_inside_the_log():
    values = np.log(np.array([[0.9, 0.2], [0.1, 0.4]]))
    close(scores.log_mean_exp(values), np.log([0.5, 0.3]), 1e-15)
    assert (scores.log_mean_exp(values) > values.mean(axis=0)).all()  # the mean of logs is another, smaller number


@pytest.mark.parametrize(("loss", "expected"), [(3.0, 20.085536923), (-math.log(0.9), 1 / 0.9), (-math.log(0.01), 100)])
def test_perplexity(loss, expected):
    close(scores.perplexity(np.full(7, -loss)), expected, 1e-8)


def test_sites_of_the_same_rows_are_added_and_others_follow_each_other():
    a, b, c = RNG.normal(size=(2, 50, 4)), RNG.normal(size=(2, 50, 4, 3)), RNG.normal(size=(2, 50, 2))
    close(scores.by_row({"y": a, "x": b}), (a + b.sum(axis=3)).reshape(100, 4), 1e-12)
    assert scores.by_row({"y": a, "z": c}).shape == (100, 6)
    close(scores.by_row({"y": a, "z": c, "x": b})[:, :4], scores.by_row({"y": a, "x": b}), 1e-12)
    assert scores.by_row({"whole": a[..., 0]}).shape == (100, 1)


# --- rows in chunks


def test_chunks_of_rows_are_the_whole():
    model = LogisticRegression("switched ~ dist + arsenic")
    data = model.data(wells())
    posterior = fit(model, data, Nuts(num_chains=2, num_samples=20, num_warmup=20), seed=1)
    with workspace(0):
        whole = np.concatenate(list(log_likelihood_chunks(model, data, posterior.draws, 10**9)), axis=1)
        parts = list(log_likelihood_chunks(model, data, posterior.draws, 40_000))
    assert len(parts) == 4 and parts[0].shape == (40, 1000) and parts[3].shape == (40, 20)
    close(np.concatenate(parts, axis=1), whole, 1e-12)
    logit = posterior.draws["intercept"].reshape(-1, 1) + posterior.draws["beta"].reshape(40, 2) @ data.inputs["x"].T
    close(whole, scipy.stats.bernoulli.logpmf(data.observed["y"], 1 / (1 + np.exp(-logit))), 1e-9)


def test_some_rows_of_the_data():
    model = BetaBernoulli()
    data = model.data(table(successes=[1, 2, 3], trials=[5, 6, 7], group=["a", "b", "a"]))
    part = rows_of(data, Rows("row", {"y": ("row",)}, 3), np.array([2, 0]))
    assert part.inputs["num_rows"] == 2 and part.inputs["num_groups"] == 2
    np.testing.assert_array_equal(part.inputs["trials"], [7, 5])
    np.testing.assert_array_equal(part.observed["y"], [3, 1])
    assert part.coords == data.coords


def effects(num_rows, sigma):
    """An effect for each row, which no other row knows of."""
    with pyro.plate("row", num_rows):
        effect = pyro.sample("effect", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(effect, sigma))


def joint(num_rows):
    """All rows are one value."""
    mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
    pyro.sample("y", dist.Normal(mean, 1.0).expand([num_rows]).to_event(1))


@pytest.mark.parametrize(
    ("model", "inputs", "message"),
    [
        (
            effects,
            {"num_rows": 3, "sigma": 1.0},
            "effects: `effect` has a value for each row: they are not independent",
        ),
        (joint, {"num_rows": 3}, "joint: its rows have no densities of their own"),
    ],
)
def test_rows_that_are_tied_are_refused(model, inputs, message):
    data = Data(inputs, {"y": np.zeros(3)})
    with workspace(0), pytest.raises(InputError) as refused:
        next(log_likelihood_chunks(model, data, {name: np.zeros((1, 2)) for name in ("mean", "effect")}))
    assert str(refused.value) == message + "; score it whole, or by groups of rows"


MILLION = """
import json, resource, sys
import matplotlib.pyplot, scipy.stats
from pathlib import Path
from experiments import load_experiment, run
from experiments.prepare import prepare

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

experiment = load_experiment(sys.argv[1])
prepare(experiment)
before = peak()
found = run(experiment, out=sys.argv[2]).result.criticism["svi"]
print(json.dumps([found.loo.elpd / 1e6, found.loo.p, found.calibration.ece.value, peak() - before]))
"""
CONFIG = """
name: million
seed: 3
model: {family: logistic_regression, formula: y ~ a + b}
data:
  simulate:
    num_rows: 1000000
    columns: {a: "normal(0, 1)", b: "normal(0, 1)"}
    truth: {intercept: 0.3, beta: [0.5, -0.2]}
inference: {svi: {guide: laplace}}
"""


@pytest.mark.slow
def test_a_million_rows_take_less_than_a_gibibyte_above_the_data(tmp_path):
    """A whole run, with every score and figure. The density per row is that of the truth by quadrature, and a Laplace
    approximation of so many rows has as many effective parameters as there are."""
    (tmp_path / "million.yaml").write_text(CONFIG)
    done = subprocess.run(
        [sys.executable, "-c", MILLION, tmp_path / "million.yaml", tmp_path / "out"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    per_row, parameters, error, gibibytes = json.loads(done.stdout.splitlines()[-1])
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    p = scipy.special.expit(0.3 + np.sqrt(0.5**2 + 0.2**2) * nodes)
    entropy = weights / np.sqrt(2 * np.pi) @ scipy.special.entr(np.stack([p, 1 - p])).sum(axis=0)
    assert per_row == pytest.approx(-entropy, abs=4 * 0.28e-3)  # the standard error of a mean of a million rows
    assert parameters == pytest.approx(3, abs=0.5)
    assert error < 0.003
    assert gibibytes < 1
