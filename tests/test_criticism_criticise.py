"""The criticism of whole fits, by families on data that they do and do not describe, and its checklist."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.criticism.checklist import calibrated, checklist, held_out
from experiments.criticism.classes import class_calibration
from experiments.criticism.criticise import criticise
from experiments.criticism.family_statistics import PLAIN, TEST_STATISTICS
from experiments.criticism.held_out import score_held_out
from experiments.criticism.record import Criticism
from experiments.criticism.refits import Refit
from experiments.criticism.told import classes_told
from experiments.runner import predict
from inference import Nuts, Svi, fit
from inference.posterior import Posterior
from inference.program import read
from inference.streams import workspace
from models import BetaBernoulli, Data, LogisticRegression, NaiveBayes, Table, ZeroInflated

FAST = Nuts(num_chains=4, num_warmup=200, num_samples=250)


def criticised(model, table, family, backend=FAST):
    """The criticism of a fit, and its checklist by the first word of each item."""
    data = model.data(Table(table, "rows.csv"))
    posterior = fit(model, data, backend, seed=1)
    with workspace(1):
        found = predict(read(model, data), posterior, 20_000_000)
    replicated, likelihood = found.posterior_predictive, found.log_likelihood
    result = criticise(posterior, replicated, likelihood, data, TEST_STATISTICS[family], model=model)
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
            "Leaving rows out needs 100 draws or more; there are 7 that fit in memory.",
        ),
        (
            {"y": np.zeros((2, 100))},
            "The rows depend on each other and count as one observation: none can be left out. With `scores: "
            "{future_from: N}` every row after the first N is predicted from those before it.",
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
    assert "For 1 row the weights do not hold (k-hat above 0.7): the posterior leans" in found.told["scores"]
    items = checklist(None, "", data, posterior, {}, {"y": np.array([np.nan])}, {"y": values}, found)
    assert [item.passed for item in items[:4]] == [False, None, None, False]
    assert items[0].message == "not all are, at `y`"


def test_rows_that_weights_cannot_leave_out_are_scored_by_other_fits():
    rng = np.random.default_rng(2)
    values = np.log(rng.beta(6, 4, (4, 500, 30)))
    values[..., 7] = -1 - 5 * rng.pareto(0.8, (4, 500))
    outcome = rng.integers(0, 2, 30).astype(float)
    outcome[7] = 0
    posterior = Posterior("nuts", {"mu": rng.normal(size=(4, 500))}, {"mu": ()})
    data = Data(observed={"y": outcome})

    def mend(score):
        pointwise = score.pointwise.copy()
        pointwise[7] = np.log(0.25)
        elpd = pointwise.sum()
        return score._replace(elpd=elpd, pointwise=pointwise, refitted=score.bad)

    found = criticise(posterior, {"y": values}, {"y": values}, data, PLAIN, mend=mend)
    assert found.loo is not None and len(found.loo.bad) == 0 and found.loo.pointwise[7] == np.log(0.25)
    assert (
        "For 1 row the weights do not hold (k-hat above 0.7): it is scored by fits without it." in found.told["scores"]
    )
    assert found.calibration is not None and found.calibration.predicted[7] == pytest.approx(0.75)
    assert found.calibration.log_loss == pytest.approx(-found.loo.elpd / 30)


def test_the_checklist_knows_every_way_of_leaving_rows_out():
    bare = Criticism((), None, None, None, {"scores": "None can be left out.", "predictive": "Nothing."})
    refit = Refit("leave-future-out", -20.0, 3.0, np.full(10, -2.0), np.arange(30, 40), 3)
    kept = score_held_out(np.full(12, -0.5), None, None, None)
    for found, passed, message in (
        (bare, None, "None can be left out"),
        (bare._replace(refit=refit), True, "leave-future-out over 10 rows"),
        (bare._replace(refit=refit, held_out=kept), True, "leave-future-out over 10 rows; 12 rows held out"),
    ):
        item = held_out(found)
        assert (item.passed, item.message) == (passed, message)


def test_classes_are_criticised_by_their_own_probabilities():
    rng = np.random.default_rng(3)
    label = rng.choice(list("abc"), 200, p=[0.5, 0.3, 0.2])
    height = np.where(label == "a", 0.0, np.where(label == "b", 1.5, 3.0)) + rng.normal(size=200)
    found, items = criticised(
        NaiveBayes(number=("height",)), {"label": label, "height": height}, "naive_bayes", "exact"
    )
    assert found.classes is not None and found.calibration is None and found.quantiles is None
    assert items["Calibration"].passed and items["Calibration"].message.startswith("ECE 0.0")
    assert "of rows that" not in found.told["calibration"] and "always the commonest class" in found.told["calibration"]
    assert 0.6 < found.classes.accuracy.value < 0.9 and 0.8 < found.classes.auc < 0.97
    # its own probabilities sharpened: too sure of itself
    p = found.classes.predicted**4
    sure = found._replace(classes=class_calibration(p / p.sum(axis=1, keepdims=True), label_codes(label), "abc"))
    assert calibrated(sure).passed is False
    assert "Where it says 0.9" in classes_told(sure.classes) and "it is right less often" in classes_told(sure.classes)


def label_codes(label):
    return np.unique(label, return_inverse=True)[1]
