"""The criticism of whole fits, by families on data that they do and do not describe, and its checklist."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.criticism.checklist import checklist
from experiments.criticism.criticise import criticise
from experiments.criticism.family_statistics import PLAIN, TEST_STATISTICS
from experiments.criticism.record import Criticism
from experiments.runner import predict
from inference import Nuts, Svi, fit
from inference.posterior import Posterior
from inference.program import read
from inference.streams import workspace
from models import BetaBernoulli, Data, LogisticRegression, Table, ZeroInflated

FAST = Nuts(num_chains=4, num_warmup=200, num_samples=250)


def criticised(model, table, family, backend=FAST):
    """The criticism of a fit, and its checklist by the first word of each item."""
    data = model.data(Table(table, "rows.csv"))
    posterior = fit(model, data, backend, seed=1)
    with workspace(1):
        found = predict(read(model, data), posterior)
    result = criticise(posterior, found.posterior_predictive, found.log_likelihood, data, TEST_STATISTICS[family])
    prior = {name: draws[:1] for name, draws in posterior.draws.items()}
    items = checklist(model, family, data, posterior, prior, found.posterior_predictive, found.log_likelihood, result)
    return result, {item.name.split()[0]: item for item in items}


def missed(found: Criticism) -> set[str]:
    return {finding.name for finding in found.findings if finding.surprising}


def counts(dispersion: float) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    age = rng.normal(size=300)
    mean = np.exp(1 + 0.4 * age) * rng.gamma(1 / dispersion, dispersion, 300)
    return {"visits": rng.poisson(mean), "age": age}


def test_poisson_for_dispersed_counts_is_caught_and_negative_binomial_passes():
    table = counts(0.8)
    plain = ZeroInflated("visits ~ age", zeros="none")
    wrong, items = criticised(plain, table, "zero_inflated")
    assert {"zeros", "dispersion"} <= missed(wrong)
    assert "try `likelihood: negative_binomial`" in wrong.told["predictive"]
    assert items["Generated"].passed is False and "dispersion" in items["Generated"].message
    assert "predictions are too narrow" in wrong.told["calibration"] and items["Calibration"].passed is False

    right, items = criticised(
        ZeroInflated("visits ~ age", zeros="none", likelihood="negative_binomial"), table, "zero_inflated"
    )
    assert missed(right) == set() and items["Generated"].passed and items["Calibration"].passed
    assert right.loo is not None and wrong.loo is not None and right.loo.elpd > wrong.loo.elpd + 50
    assert right.quantiles is not None and right.quantiles.uniformity.p_value > 0.01
    assert wrong.quantiles is not None and wrong.quantiles.uniformity.p_value < 1e-4


def test_a_missing_interaction_is_caught_and_the_full_formula_passes():
    rng = np.random.default_rng(8)
    a, b = rng.normal(size=(2, 500))
    y = (rng.random(500) < 1 / (1 + np.exp(-(0.2 + a - 0.5 * b + 1.2 * a * b)))).astype(int)
    table = {"y": y, "dist": a, "arsenic": b}
    wrong, items = criticised(LogisticRegression("y ~ dist + arsenic"), table, "logistic_regression")
    assert "`dist times arsenic`" in wrong.told["predictive"] and items["Generated"].passed is False
    right, items = criticised(LogisticRegression("y ~ dist * arsenic"), table, "logistic_regression")
    assert missed(right) == set()
    assert [item.passed for item in items.values()] == [True, True, None, True, True, True]
    assert right.calibration is not None and wrong.calibration is not None
    assert right.calibration.auc > wrong.calibration.auc
    assert right.calibration.log_loss == pytest.approx(-right.loo.elpd / 500)
    assert right.calibration.ece.lower <= right.calibration.ece.value


def test_one_rate_for_all_neither_tells_rows_apart_nor_is_split_over_bins():
    """Without itself a one has the rate 160 / 401, a zero 161 / 401: a bin's limit lies between."""
    outcome = np.random.default_rng(8).permutation(np.repeat([1, 0], [160, 240]))
    found, items = criticised(BetaBernoulli(), {"outcome": outcome}, "beta_bernoulli", "exact")
    assert found.calibration is not None and found.calibration.auc == 0.5
    assert len(np.unique(found.calibration.predicted > 0.4)) == 2
    assert sum(row.rows > 0 for row in found.calibration.table) == 1
    assert found.calibration.ece.value < 0.01 and items["Calibration"].passed
    assert "AUC 0.5" in found.told["calibration"]


def test_a_point_estimate_has_no_rows_left_out():
    found, items = criticised(
        BetaBernoulli(prior="beta(2, 2)"), {"outcome": [1, 0, 1, 1]}, "beta_bernoulli", Svi(guide="map")
    )
    assert found.loo is None and found.calibration is None
    assert found.told["scores"] == "A point estimate has no draws to weigh: rows cannot be left out."
    assert items["Prediction"].passed is None


DRAWS = {"mu": np.random.default_rng(0).normal(size=(2, 100))}


@pytest.mark.parametrize(
    ("log_likelihood", "sentence"),
    [
        ({}, "Nothing is observed, so there is nothing to predict."),
        ({"y": np.full((2, 100, 3), -np.inf)}, "A row has no finite log likelihood under some draws"),
        (
            {"y": np.zeros((1, 7, 3))},
            "Leaving rows out needs 100 draws or more of their log likelihood; 7 draws fit in",
        ),
        (
            {"y": np.zeros((2, 100))},
            "The rows depend on each other and count as one observation: none can be left out.",
        ),
    ],
)
def test_what_cannot_be_scored_is_told(log_likelihood, sentence):
    posterior = Posterior("nuts", DRAWS, {"mu": ()}, dependent=True)
    found = criticise(posterior, {}, log_likelihood, Data(observed={"y": np.zeros(3)}), PLAIN)
    assert found.loo is None and found.told["scores"].startswith(sentence)


def test_a_row_that_the_posterior_leans_on_is_told():
    rng = np.random.default_rng(2)
    values = rng.normal(-1, 0.3, (4, 500, 30))
    values[..., 7] = -1 - 5 * rng.pareto(0.8, (4, 500))
    posterior = Posterior("nuts", {"mu": rng.normal(size=(4, 500))}, {"mu": ()})
    data = Data(observed={"y": rng.normal(size=30)})
    found = criticise(posterior, {"y": rng.normal(size=(4, 500, 30))}, {"y": values}, data, PLAIN)
    assert found.loo is not None and list(found.loo.bad) == [7]
    assert "For 1 row they do not (k-hat above 0.7)" in found.told["scores"]
    items = checklist(None, "", data, posterior, {}, {"y": np.array([np.nan])}, {"y": values}, found)
    assert [item.passed for item in items[:4]] == [False, None, None, False]
    assert items[0].message == "not all are, at `y`"
