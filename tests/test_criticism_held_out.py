"""Scores of held-out rows: against scikit-learn, SciPy and sums by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from experiments.criticism.calibration import auc_interval
from experiments.criticism.held_out import score_held_out, told
from experiments.criticism.recalibration import METHODS, recalibrate, recalibrations
from experiments.criticism.record import Criticism, as_json
from experiments.run_folder import jsonable

RNG = np.random.default_rng(7)
LOGIT = RNG.normal(0, 1.5, 600)
Y = (RNG.random(600) < 1 / (1 + np.exp(-LOGIT))).astype(int)


def of_binary(sharpness=1.0):
    p = 1 / (1 + np.exp(-sharpness * LOGIT))
    return p, score_held_out(np.log(np.where(Y == 1, p, 1 - p)), np.column_stack([1 - p, p]), Y, None, seed=1)


def test_density_is_the_sum():
    pointwise = np.array([-0.5, -1.5, -0.25, -3.0])
    found = score_held_out(pointwise, None, None, None)
    assert (found.rows, found.lpd) == (4, -5.25)
    assert found.se == pytest.approx(2 * np.std(pointwise, ddof=1))
    assert found.intervals == {}  # of numbers there is no perplexity
    assert found.calibration is None and found.classes is None and found.quantiles is None and found.recalibration == ()
    assert told(found) == (
        "Of 4 rows that no fit has seen, the log predictive density is -5.25 (se 2.5): a typical row has probability "
        "0.269."
    )
    assert "(se" not in told(score_held_out(pointwise[:1], None, None, None))


def test_binary_scores_are_scikit_learn_s():
    p, found = of_binary()
    own = found.calibration
    assert own is not None and found.classes is None
    assert own.log_loss == pytest.approx(log_loss(Y, p)) == pytest.approx(-found.lpd / 600)
    assert own.brier.score == pytest.approx(brier_score_loss(Y, p))
    assert own.auc == pytest.approx(roc_auc_score(Y, p))
    assert own.average_precision == pytest.approx(average_precision_score(Y, p))
    share = ((p > 0.5) == Y).mean()
    half = 1.959963985 * np.sqrt(share * (1 - share) / 600)
    assert own.accuracy == pytest.approx((share, share - half, share + half))
    assert own.ece.lower <= own.ece.value <= own.ece.upper and own.ece.value < 2 * own.expected_ece


def test_means_over_rows_have_intervals_of_the_central_limit_theorem():
    p, found = of_binary()
    losses, squares = -np.log(np.where(Y == 1, p, 1 - p)), (Y - p) ** 2
    for name, rows in (("log loss", losses), ("Brier score", squares)):
        low, high = scipy.stats.norm.interval(0.95, rows.mean(), scipy.stats.sem(rows))
        assert found.intervals[name] == pytest.approx((rows.mean(), low, high))
    assert found.intervals["perplexity"] == pytest.approx(np.exp(found.intervals["log loss"]))
    assert found.intervals["AUC"].value == pytest.approx(roc_auc_score(Y, p))


def test_the_interval_of_the_auc_is_that_of_all_pairs():
    """The variance of a two-sample U-statistic, its kernel written out for every pair; ties count half."""
    p = np.round(RNG.random(200), 1)
    y = (RNG.random(200) < p).astype(int)
    kernel = (np.sign(p[y == 1][:, None] - p[y == 0][None, :]) + 1) / 2
    variance = sum(kernel.mean(axis=1 - axis).var(ddof=1) / kernel.shape[axis] for axis in (0, 1))
    half = 1.959963985 * np.sqrt(variance)
    assert auc_interval(p, y) == pytest.approx((kernel.mean(), kernel.mean() - half, kernel.mean() + half))
    assert np.isnan(auc_interval([0.2, 0.3, 0.4], [0, 0, 1]).lower)


def test_the_interval_of_the_auc_holds_it_as_often_as_it_says():
    """Two normals a standard deviation apart: AUC = Phi(1 / sqrt(2))."""
    truth, held = scipy.stats.norm.cdf(1 / np.sqrt(2)), 0
    for _ in range(400):
        y = np.arange(150) % 3 == 0
        found = auc_interval(scipy.stats.norm.cdf(RNG.normal(y.astype(float))), y)
        held += found.lower <= truth <= found.upper
    assert 0.92 < held / 400 < 0.98


def test_right_probabilities_need_no_map_and_sharpened_ones_do():
    _, right = of_binary()
    _, sharp = of_binary(3.0)
    assert [one.method for one in sharp.recalibration] == list(METHODS)
    assert all(one.rows_fitted == one.rows_scored == 300 for one in sharp.recalibration)
    assert all(one.log_loss[1] < one.log_loss[0] - 0.1 and one.ece[1] < one.ece[0] for one in sharp.recalibration)
    assert "Recalibration (temperature) on one half" in told(sharp) or "Recalibration (platt) on one half" in told(
        sharp
    )
    assert "No recalibration lowers the log loss" in told(right)
    # one split for all: what they are compared on
    assert len({one.log_loss[0] for one in sharp.recalibration}) == 1
    assert sharp.recalibration[2] == recalibrate(of_binary(3.0)[0], Y, "isotonic", 1)


def test_halves_of_one_kind_have_no_map():
    assert recalibrations(np.full(19, 0.5), np.arange(19) % 2) == ()
    assert recalibrations(np.full(40, 0.5), np.eye(40)[0]) == ()
    assert len(recalibrations(np.linspace(0.1, 0.9, 40), np.arange(40) % 2)) == 3


def test_classes_have_names_or_numbers():
    p = RNG.dirichlet([1, 1, 1], 300)
    codes = np.array([RNG.choice(3, p=row) for row in p])
    pointwise = np.log(p[np.arange(300), codes])
    found = score_held_out(pointwise, p, codes, None)
    assert found.classes is not None and found.calibration is None and found.recalibration == ()
    assert [one.name for one in found.classes.classes] == ["0", "1", "2"]
    assert found.classes.log_loss == pytest.approx(log_loss(codes, p))
    assert found.classes.auc == pytest.approx(roc_auc_score(codes, p, multi_class="ovr"))
    named = score_held_out(pointwise, p, codes, None, classes=["ant", "bee", "cow"])
    assert "The commonest mistake: `" in told(named) and named.classes.log_loss == found.classes.log_loss


def test_two_named_classes_have_both():
    p, binary = of_binary(3.0)
    found = score_held_out(np.zeros(600), np.column_stack([1 - p, p]), Y, None, seed=1, classes=["ham", "spam"])
    assert found.calibration is None and found.classes is not None
    assert found.recalibration == binary.recalibration
    assert found.classes.classes[1].auc == pytest.approx(binary.calibration.auc)
    assert found.classes.brier == pytest.approx(binary.calibration.brier.score)


def test_intervals_of_numbers():
    wide = scipy.stats.norm.cdf(RNG.normal(0, 0.5, 800))  # predictions twice as wide as the outcomes
    found = score_held_out(np.full(800, -1.0), None, None, wide)
    assert found.quantiles is not None and found.quantiles.uniformity.p_value < 1e-6
    shares = {row.level: row.share for row in found.quantiles.coverage}
    assert shares[0.5] == np.mean(np.abs(wide - 0.5) <= 0.25)
    assert "predictions are too wide" in told(found)


def test_the_file_has_all_scores_and_no_rows():
    bare = Criticism((), None, None, None, {})
    p = RNG.dirichlet([1, 1, 1], 100)
    for found in (
        of_binary()[1],
        score_held_out(np.full(100, -1.0), p, p.argmax(axis=1), None),
        score_held_out(np.full(100, -1.0), None, None, RNG.random(100)),
    ):
        written = json.loads(json.dumps(jsonable(as_json(bare._replace(held_out=found))["held_out"]), allow_nan=False))
        assert written["rows"] == found.rows and written["lpd"] == found.lpd
        assert set(written) == set(found._fields)
        assert not {"pit", "curve"} & keys(written)
        assert all("predicted" not in (written[name] or {}) for name in ("calibration", "classes"))
    whole = jsonable(as_json(bare._replace(held_out=of_binary()[1]))["held_out"])
    assert whole["calibration"]["accuracy"].keys() == {"value", "lower", "upper"}
    assert whole["recalibration"][0]["method"] == "temperature" and len(whole["recalibration"][0]["log_loss"]) == 2


def keys(value):
    if isinstance(value, dict):
        return set(value) | {name for part in value.values() for name in keys(part)}
    return {name for part in value for name in keys(part)} if isinstance(value, list) else set()
