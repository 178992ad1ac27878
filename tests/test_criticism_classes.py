"""Class probabilities of rows left out: against fits without the row in closed form, scikit-learn, and each other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import digamma
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    log_loss,
    precision_recall_curve,
    roc_auc_score,
)

from experiments.criticism import calibration as cal
from experiments.criticism.classes import binary_calibration, class_calibration, class_names, left_out, of_outcome
from experiments.criticism.criticise import criticise, row_names
from experiments.criticism.family_statistics import PLAIN
from experiments.criticism.information import predictive_uncertainty
from experiments.criticism.pairs import LEAST_DRAWS, MOST_ROWS, Pairs, draws_for, ranking
from experiments.criticism.scores import by_row
from inference import Exact, Nuts, fit
from inference.posterior import Posterior
from inference.predict import log_likelihood
from inference.program import read
from inference.streams import workspace
from models import BetaBernoulli, Data, LogisticRegression, NaiveBayes, Table
from models.base import Classifying

NAMES = ("a", "b", "c", "d")


def close(found, expected, tolerance=1e-9):
    found, expected = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
    assert not found.size % max(1, expected.size) and np.abs(found - expected).max() <= tolerance


def likelihood_of(model, data, posterior):
    import torch

    with workspace(1):
        program = read(model, data)
        flat = {s.name: torch.as_tensor(posterior.draws[s.name]).reshape(-1, *s.shape) for s in program.latent}
        found = log_likelihood(program, flat)
    shape = next(iter(posterior.draws.values())).shape[:2]
    return {name: values.numpy().reshape(*shape, *values.shape[1:]) for name, values in found.items()}


def criticised(model, data, posterior):
    return criticise(posterior, {}, likelihood_of(model, data, posterior), data, PLAIN, model=model)


# --- naive Bayes, against refits in closed form

RNG = np.random.default_rng(5)
CLASS = RNG.permutation(np.repeat(NAMES[:3], [18, 14, 9]))
RATE = np.array([[0.8, 0.3, 0.5], [0.2, 0.6, 0.5], [0.5, 0.9, 0.1]])
BITS = (RNG.random((41, 3)) < RATE[[NAMES.index(c) for c in CLASS]]).astype(int)
WORDS = np.where(RNG.random(41) < 0.6, CLASS, RNG.permutation(CLASS))
ROWS = {"label": CLASS, **{f"x{j}": BITS[:, j] for j in range(3)}, "w": WORDS}


def without_each_row():
    """p(class | features of the row, all other rows), from counts and priors Dirichlet(1), Beta(1, 1)."""
    found = np.empty((41, 3))
    for n in range(41):
        rest = np.arange(41) != n
        for c, name in enumerate(NAMES[:3]):
            own = rest & (name == CLASS)
            p = (own.sum() + 1) / (40 + 3)
            for j in range(3):
                one = (BITS[own, j].sum() + 1) / (own.sum() + 2)
                p *= one if BITS[n, j] else 1 - one
            found[n, c] = p * ((WORDS[own] == WORDS[n]).sum() + 1) / (own.sum() + 3)
    return found / found.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def bayes():
    model = NaiveBayes(binary=("x0", "x1", "x2"), category=("w",))
    data = model.data(Table(ROWS))
    posterior = fit(model, data, Exact(num_chains=4, num_samples=5000), seed=3)
    return model, data, posterior, criticised(model, data, posterior)


def test_naive_bayes_left_out_is_the_fit_without_the_row(bayes):
    model, data, posterior, found = bayes
    expected = without_each_row()
    # 20,000 draws: probabilities of a draw differ by 0.1 or so, their mean by 0.001
    assert np.abs(found.classes.predicted - expected).max() < 0.006
    # what the features say of the parameters counts, and so does leaving out
    flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in posterior.draws.items()}
    joint = np.exp(model.class_log_joint(flat, data, slice(None)))
    plain = (joint / joint.sum(axis=2, keepdims=True)).mean(axis=0)
    all_rows = joint.mean(axis=0) / joint.mean(axis=0).sum(axis=1, keepdims=True)
    assert np.abs(plain - expected).max() > 0.05 and np.abs(all_rows - expected).max() > 0.05


def test_scores_of_naive_bayes_are_those_of_its_probabilities(bayes):
    found, codes = bayes[3].classes, bayes[1].observed["y"]
    close(found.log_loss, log_loss(codes, found.predicted), 1e-12)
    assert found.confusion == tuple(map(tuple, confusion_matrix(codes, found.predicted.argmax(axis=1)).tolist()))
    assert [one.name for one in found.classes] == list(NAMES[:3]) and [one.rows for one in found.classes] == [18, 14, 9]
    # rows left out one by one have an order that is a little worse, rows that are not left out one that is better
    left_out_auc = roc_auc_score(codes, found.predicted, multi_class="ovr")
    assert left_out_auc - 0.01 < found.auc < left_out_auc + 0.05
    assert "This density is of the class and its features together." in bayes[3].told["scores"]


def test_log_joint_of_what_came_is_the_log_likelihood(bayes):
    model, data, posterior, _ = bayes
    flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in posterior.draws.items()}
    joint = model.class_log_joint(flat, data, slice(7, 30))
    assert isinstance(model, Classifying) and class_names(model, data) == NAMES[:3]
    came = joint[:, np.arange(23), data.observed["y"][7:30]]
    gap = came - by_row(likelihood_of(model, data, posterior))[:, 7:30]
    close(gap - gap[0], 0)


def test_rows_without_a_class_leave_the_others_alone(bayes):
    model, data, posterior, found = bayes
    likelihood = likelihood_of(model, data, posterior)
    more = {**likelihood, "x_binary_unlabelled": RNG.normal(-1, 0.1, likelihood["y"].shape)}
    labels = Data(data.inputs, data.observed, {**data.coords, "unlabelled": ["1", "4"]}, data.dims)
    again = criticise(posterior, {}, more, labels, PLAIN, model=model)
    assert np.array_equal(again.classes.predicted, found.classes.predicted)
    assert again.loo.elpd < found.loo.elpd - 30
    assert row_names(labels, 4) == ["2", "3", "5", "6"]


# --- logistic regression


@pytest.fixture(scope="module")
def two_classes():
    """The same draws as those of two labels, and as those of any number of labels."""
    rng = np.random.default_rng(9)
    x = rng.normal(size=120)
    y = (rng.random(120) < 1 / (1 + np.exp(0.7 - 1.5 * x))).astype(int)
    table = Table({"y": y, "x": x})
    binary, several = LogisticRegression("y ~ x"), LogisticRegression("y ~ x", likelihood="categorical")
    posterior = fit(binary, binary.data(table), Nuts(num_chains=4, num_warmup=200, num_samples=250), seed=1)
    draws = {
        "class_intercept": posterior.draws["intercept"][..., None],
        "class_beta": posterior.draws["beta"][..., None, :],
    }
    same = Posterior("nuts", draws, {"class_intercept": ("class",), "class_beta": ("class", "term")}, dependent=True)
    data = binary.data(table)
    likelihood = likelihood_of(binary, data, posterior)
    one = criticise(posterior, likelihood, likelihood, data, PLAIN, model=binary)
    return one, criticised(several, several.data(table), same), y


def test_two_labels_are_a_binary_outcome(two_classes):
    one, several, y = two_classes
    binary, classes = one.calibration, several.classes
    assert one.classes is None and several.calibration is None and [c.name for c in classes.classes] == ["0", "1"]
    close(classes.predicted[:, 1], binary.predicted, 1e-3)  # their weights are smoothed with other efficiencies
    for name in ("log_loss", "auc"):
        close(getattr(classes, name), getattr(binary, name), 1e-3)
    close(classes.classes[1].average_precision, binary.average_precision, 2e-3)
    close(classes.brier, binary.brier.score, 1e-3)
    close(classes.brier, brier_score_loss(y, classes.predicted[:, 1]), 1e-12)
    assert classes.accuracy == binary.accuracy
    for mine, other in zip(several.uncertainty, one.uncertainty, strict=True):
        close(mine, other, 1e-3)


def test_several_labels_have_the_program_s_probabilities():
    rng = np.random.default_rng(2)
    model = LogisticRegression("y ~ x", likelihood="categorical")
    data = model.data(Table({"y": rng.choice(list("abc"), 30), "x": rng.normal(size=30)}))
    draws = {"class_intercept": rng.normal(size=(2, 60, 2)), "class_beta": rng.normal(size=(2, 60, 2, 1))}
    posterior = Posterior("nuts", draws, {"class_intercept": ("class",), "class_beta": ("class", "term")})
    flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in draws.items()}
    joint = model.class_log_joint(flat, data, slice(None))
    close(np.exp(joint).sum(axis=2), 1)
    close(joint[:, np.arange(30), data.observed["y"]], by_row(likelihood_of(model, data, posterior)))
    found = criticised(model, data, posterior)
    close(found.loo.elpd, -30 * found.classes.log_loss)
    assert "together" not in found.told["scores"]


def test_an_outcome_of_two_kinds_is_no_class():
    model = LogisticRegression("y ~ x")
    assert class_names(model, model.data(Table({"y": [0, 1, 0, 1], "x": [1.0, 2.0, 4.0, 3.0]}))) == ()
    assert class_names(BetaBernoulli(), Data({"num_classes": 2}, {"y": np.zeros(3)})) == ()


# --- scores of any class probabilities, against scikit-learn

PREDICTED = np.random.default_rng(4).dirichlet([0.7, 0.4, 0.9, 0.5], 500).round(3)
PREDICTED /= PREDICTED.sum(axis=1, keepdims=True)
CODES = np.array(
    [
        np.random.default_rng(k).choice(4, p=p)
        for k, p in enumerate(PREDICTED**0.7 / (PREDICTED**0.7).sum(axis=1, keepdims=True))
    ]
)


def test_scores_are_scikit_learn_s():
    found = class_calibration(PREDICTED, CODES, NAMES)
    inside = PREDICTED[np.arange(500), CODES] > 0
    close(
        class_calibration(PREDICTED[inside], CODES[inside], NAMES).log_loss, log_loss(CODES[inside], PREDICTED[inside])
    )
    close(found.auc, roc_auc_score(CODES, PREDICTED, multi_class="ovr", average="macro"))
    close(found.accuracy.value, accuracy_score(CODES, PREDICTED.argmax(axis=1)))
    assert np.array_equal(found.confusion, confusion_matrix(CODES, PREDICTED.argmax(axis=1)))
    close(found.brier, ((PREDICTED - np.eye(4)[CODES]) ** 2).sum(axis=1).mean())
    half = 1.959963985 * np.sqrt(found.accuracy.value * (1 - found.accuracy.value) / 500)
    close(
        [found.accuracy.lower, found.accuracy.upper], [found.accuracy.value - half, found.accuracy.value + half], 1e-8
    )
    for c, one in enumerate(found.classes):
        close(one.average_precision, average_precision_score(c == CODES, PREDICTED[:, c]))
        close(one.auc, roc_auc_score(c == CODES, PREDICTED[:, c]))
        shares, means = calibration_curve(c == CODES, PREDICTED[:, c], n_bins=10)
        close([row.observed for row in one.table if row.rows], shares)
        close([row.predicted for row in one.table if row.rows], means)
    top, right = PREDICTED.max(axis=1), PREDICTED.argmax(axis=1) == CODES
    close(found.ece.value, cal.ece(cal.reliability(top, right)))
    assert found.ece.lower < found.ece.value < found.ece.upper and found.expected_ece < found.ece.value


def test_precision_and_recall_are_scikit_learn_s():
    p, y = PREDICTED[:, 0], (CODES == 0).astype(float)
    precision, recall, _ = precision_recall_curve(y, p)
    curve = cal.precision_recall(p, y)
    close(curve.precision, precision[-2::-1])
    close(curve.recall, recall[-2::-1])
    found = binary_calibration(p, y)
    close(found.average_precision, average_precision_score(y, p))
    assert found.base_rate == y.mean() and found.curve.precision[-1] == pytest.approx(y.mean())
    assert np.isnan(cal.average_precision([0.2, 0.4], [0, 0]))
    assert cal.average_precision([0.4, 0.4, 0.4], [0, 0, 1]) == pytest.approx(1 / 3)


def test_a_class_that_never_comes_is_left_out_of_the_means():
    found = class_calibration(PREDICTED[CODES != 3], CODES[CODES != 3], NAMES)
    assert np.isnan(found.classes[3].auc) and found.auc == pytest.approx(np.mean([c.auc for c in found.classes[:3]]))


def test_many_classes_have_no_table_each():
    many = np.random.default_rng(0).dirichlet(np.ones(11), 60)
    found = class_calibration(many, many.argmax(axis=1), [str(c) for c in range(11)])
    assert all(one.table == () for one in found.classes) and found.accuracy.value == 1


def test_one_that_was_impossible_is_infinitely_surprising():
    assert class_calibration(np.array([[0.0, 1.0], [0.5, 0.5]]), np.array([0, 1]), "ab").log_loss == np.inf


# --- pairs of rows


def test_pairs_with_equal_weights_are_the_order_of_the_means():
    rng = np.random.default_rng(1)
    given = rng.dirichlet([1, 1, 1], (50, 700)).round(2)
    given[:, :30] = given[:, 30:60]  # ties
    outcome = rng.integers(0, 3, 700)
    even = np.full((50, 700), 1 / 50)
    found, plain = ranking(Pairs(even, even, given), outcome, 2), given.mean(axis=0)[:, 2].round(9)
    close(found.auc, roc_auc_score(outcome == 2, plain))
    close(found.average_precision, average_precision_score(outcome == 2, plain))
    assert np.isnan(ranking(Pairs(even, even, given), outcome, 5).auc)


def test_pairs_are_left_out_as_by_counting():
    """Rates of groups under Beta(1, 1): rows of one group are tied, those of two are ordered by their counts without
    both, which for neighbouring groups is another order than that of all counts."""
    rng = np.random.default_rng(6)
    group = np.repeat(np.arange(8), 12)
    y = (rng.random(96) < np.linspace(0.3, 0.6, 8)[group]).astype(int)
    model = BetaBernoulli()
    data = model.data(Table({"outcome": y, "group": [f"g{g}" for g in group]}))
    posterior = fit(model, data, Exact(num_chains=4, num_samples=10_000), seed=2)
    found = criticised_binary(model, data, posterior)

    def rate(i, j):
        own = (group == group[i]) & ~np.isin(np.arange(96), [i, j])
        return (y[own].sum() + 1) / (own.sum() + 2)

    wins = [
        0.5 if np.isclose(rate(i, j), rate(j, i)) else float(rate(i, j) > rate(j, i))
        for i in np.flatnonzero(y == 1)
        for j in np.flatnonzero(y == 0)
    ]
    # near ties of groups may fall to either side with finitely many draws
    assert found.calibration.auc == pytest.approx(np.mean(wins), abs=0.03)
    assert roc_auc_score(y, found.calibration.predicted) < found.calibration.auc - 0.03  # left out one by one


def criticised_binary(model, data, posterior):
    likelihood = likelihood_of(model, data, posterior)
    return criticise(posterior, likelihood, likelihood, data, PLAIN, model=model)


def test_draws_are_fewer_where_rows_are_many():
    assert draws_for(100, 4000, 2) == 4000 and draws_for(MOST_ROWS, 4000, 2) == LEAST_DRAWS
    assert LEAST_DRAWS < draws_for(1500, 4000, 3) < 4000 and draws_for(MOST_ROWS + 1, 4000, 2) == 0
    assert draws_for(MOST_ROWS, 4000, 20) == 0  # they would not fit in memory


# --- uncertainty


def test_uncertainty_of_a_coin_is_the_beta_s():
    """Without a row the rate is Beta(a, b): chance is E[entropy], in closed form."""
    y = np.repeat([1, 0], [13, 7])
    model = BetaBernoulli(prior="beta(2, 2)")
    data = model.data(Table({"outcome": y}))
    posterior = fit(model, data, Exact(num_chains=4, num_samples=20_000), seed=2)
    found = criticised_binary(model, data, posterior).uncertainty
    for n, came in enumerate(y):
        a, b = 2 + 13 - came, 2 + 7 - (1 - came)
        mean = a / (a + b)
        total = -mean * np.log(mean) - (1 - mean) * np.log(1 - mean)
        chance = digamma(a + b + 1) - mean * digamma(a + 1) - (1 - mean) * digamma(b + 1)
        close([found.total[n], found.aleatoric[n], found.epistemic[n]], [total, chance, total - chance], 1e-3)


def test_the_parts_add_up(bayes):
    found = bayes[3].uncertainty
    close(found.total, found.aleatoric + found.epistemic)
    entropy = -(bayes[3].classes.predicted * np.log(bayes[3].classes.predicted)).sum(axis=1)
    close(found.total, entropy)  # of the very prediction that is scored
    assert (found.epistemic > 0).all() and found.total.max() < np.log(3)
    assert (
        "would" not in bayes[3].told["uncertainty"].split(",")[0]
        and "(1.1 is a blind guess)" in bayes[3].told["uncertainty"]
    )


def test_weights_of_draws_are_repeated_draws():
    given = np.random.default_rng(0).dirichlet([1, 2, 3], (3, 5))
    weights = np.repeat([[0.5], [0.25], [0.25]], 5, axis=1)
    for mine, other in zip(
        predictive_uncertainty(given, weights), predictive_uncertainty(given[[0, 0, 1, 2]]), strict=True
    ):
        close(mine, other, 1e-12)


def test_what_did_not_come_has_the_rest_of_the_probability():
    came = np.log(np.array([[0.2, 0.9], [1.0, 0.5]]))
    joint = of_outcome(np.array([5.0, 1.0, 0.0]))(slice(1, 3), came)
    close(np.exp(joint), [[[0.8, 0.2], [0.9, 0.1]], [[0.0, 1.0], [0.5, 0.5]]])


def test_chunks_do_not_matter():
    rng = np.random.default_rng(3)
    outcome = rng.integers(0, 2, 40).astype(float)
    table = np.log(rng.beta(3, 2, (200, 40)))
    whole = left_out([table], 40, 1.0, 2, of_outcome(outcome))
    parts = left_out([table[:, :11], table[:, 11:12], table[:, 12:]], 40, 1.0, 2, of_outcome(outcome))
    assert whole[0].elpd == pytest.approx(parts[0].elpd)
    close(whole[1].predicted, parts[1].predicted)
    assert whole[1].ranking(outcome, 1).auc == parts[1].ranking(outcome, 1).auc
    close(np.log(whole[1].predicted[np.arange(40), outcome.astype(int)]), whole[0].pointwise)
