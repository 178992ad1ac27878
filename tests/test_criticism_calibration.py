"""Calibration: table 1.7 of the known answers, and scikit-learn where it computes the same thing."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from sklearn.calibration import _SigmoidCalibration, calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from experiments.criticism import calibration as cal
from experiments.criticism import pit, recalibration
from models import InputError

CONFIDENCE, CORRECT = np.array([0.9, 0.8, 0.6, 0.4, 0.3]), np.array([1, 0, 1, 0, 0])
THREE = (0, 0.5, 0.75, 1)
RNG = np.random.default_rng(12)
P = np.round(RNG.beta(0.8, 1.1, 800), 3)
Y = (RNG.random(800) < P**1.6).astype(float)


def close(found, expected, tolerance=1e-9):
    assert np.asarray(found, dtype=float) == pytest.approx(np.asarray(expected, dtype=float), abs=tolerance)


# --- the reliability table


@pytest.fixture(autouse=True)
def same_numbers_whatever_ran_before(monkeypatch):
    monkeypatch.setitem(globals(), "RNG", np.random.default_rng(12))


def test_ca1_five_predictions_in_three_bins():
    table = cal.reliability(CONFIDENCE, CORRECT, THREE)
    assert [row.rows for row in table] == [2, 1, 2]
    close([row.observed for row in table], [0, 1, 0.5])
    close([row.predicted for row in table], [0.35, 0.60, 0.85])
    close(cal.ece(table), 0.36)
    close(np.mean([abs(row.observed - row.predicted) for row in table]), 0.366667, 5e-7)  # unweighted: not ECE
    close(cal.mce(table), 0.40)
    close(cal.brier(CONFIDENCE, CORRECT, THREE).score, 0.212)
    close(cal.log_loss(CONFIDENCE, CORRECT), -np.log(0.9 * 0.2 * 0.6 * 0.6 * 0.7) / 5, 1e-15)
    close(cal.log_loss(CONFIDENCE, CORRECT), 0.618624925, 2e-9)
    close(cal.ece_interval(CONFIDENCE, CORRECT, THREE).value, 0.36)


def test_w6_bins_weigh_as_many_as_they_hold():
    predicted = np.repeat([0.25, 0.6], [90, 10])
    outcome = np.concatenate([np.arange(90) % 4 == 0, np.arange(10) < 2]).astype(float)
    predicted[:90] = outcome[:90].mean()
    close(cal.ece(cal.reliability(predicted, outcome)), 0.04)


def test_w7_w25_confidence_zero_and_one_are_counted():
    found = cal.reliability([1, 1, 0.5], [1, 0, 1])
    close(cal.ece(found), 0.5)
    assert sum(row.rows for row in found) == 3
    assert cal.reliability([0, 0, 0.5, 1], [0, 1, 1, 1])[0].rows == 2


def test_w7_a_tenth_lies_in_the_bin_that_ends_there():
    counts = [row.rows for row in cal.reliability(np.arange(1, 11) / 10, np.ones(10))]
    assert counts == [1] * 10


def test_ece_is_the_loop_over_bins():
    total = 0.0
    for k in range(10):
        inside = (k / 10 < P) & ((k + 1) / 10 >= P) | ((P == 0) & (k == 0))
        if inside.any():
            total += inside.sum() / len(P) * abs(Y[inside].mean() - P[inside].mean())
    close(cal.ece(cal.reliability(P, Y)), total, 1e-12)


def test_shares_are_scikit_learn_s():
    shares, means = calibration_curve(Y, P, n_bins=10)
    used = [row for row in cal.reliability(P, Y) if row.rows]
    close([row.observed for row in used], shares, 1e-12)
    close([row.predicted for row in used], means, 1e-12)


def test_scores_are_scikit_learn_s():
    inside = (P > 0) & (P < 1)
    close(cal.brier(P, Y).score, brier_score_loss(Y, P), 1e-12)
    close(cal.log_loss(P[inside], Y[inside]), log_loss(Y[inside], P[inside]), 1e-12)
    close(cal.auc(P, Y), roc_auc_score(Y, P), 1e-12)


def test_brier_parts_add_up_and_nothing_is_left_within_bins_of_one_prediction():
    found = cal.brier(P, Y)
    close(found.reliability - found.resolution + found.uncertainty + found.within, found.score, 1e-14)
    same = cal.brier(np.floor(P * 10) / 10 + 0.05, Y, np.linspace(0, 1.1, 12))
    close(same.within, 0, 1e-14)
    assert found.uncertainty == Y.mean() * (1 - Y.mean())


def test_an_impossible_outcome_that_happens_is_infinitely_surprising():
    assert cal.log_loss([0.0, 0.5], [1, 1]) == np.inf
    assert cal.log_loss([0.0, 1.0], [0, 1]) == 0


def test_calibrated_predictions_keep_their_bands_and_their_expected_ece():
    rng = np.random.default_rng(5)
    inside, found, expected = [], [], []
    for _ in range(200):
        p = rng.random(300)
        table = cal.reliability(p, rng.random(300) < p)
        inside += [row.lower <= row.observed <= row.upper for row in table]
        found.append(cal.ece(table))
        expected.append(cal.ece_if_calibrated(table))
    # 2000 bins, 95% or, whole numbers being coarse, a little more
    assert 0.94 < np.mean(inside) < 0.99
    # the closed form takes a bin's predictions as equal, which makes it a little larger
    ratio, error = np.mean(found) / np.mean(expected), np.std(found) / np.mean(expected) / np.sqrt(200)
    assert 0.97 - 4 * error < ratio < 1 + 4 * error


def test_mean_deviation_is_the_sum_over_the_binomial():
    table = [cal.Bin(0, 0.5, 7, 0.31, 0, 0, 0), cal.Bin(0.5, 1, 12, 0.8, 0, 0, 0), cal.Bin(0, 0, 3, 1.0, 0, 0, 0)]
    total = 0.0
    for row in table:
        counts = np.arange(row.rows + 1)
        pmf = scipy.stats.binom.pmf(counts, row.rows, row.predicted)
        total += pmf @ np.abs(counts - row.rows * row.predicted)
    close(cal.ece_if_calibrated(table), total / 22, 1e-12)


def test_bootstrap_intervals_hold_what_the_central_limit_theorem_says():
    right = np.repeat([1.0, 0.0], [900, 100])
    found = cal.accuracy(right)
    close((found.upper - found.lower) / 2 / 1.959963985, 0.009486833)
    again = cal.bootstrap(right)
    close([again.lower, again.upper], [found.lower, found.upper], 0.004)
    # in blocks of ten equal values there are ten times fewer independent ones
    runs = np.repeat(np.random.default_rng(0).random(400) < 0.5, 10).astype(float)
    wide, narrow = cal.bootstrap(runs, block=100), cal.bootstrap(runs)
    close((wide.upper - wide.lower) / (narrow.upper - narrow.lower), np.sqrt(10), 0.5)
    assert found.value == 0.9


def test_ece_interval_is_wide_where_rows_are_few():
    few, many = cal.ece_interval(P[:80], Y[:80]), cal.ece_interval(P, Y)
    assert few.upper - few.lower > 2 * (many.upper - many.lower)
    assert many.lower < many.value < many.upper and few.lower < few.value < few.upper
    assert cal.ece_interval(P, Y) == many


def test_ece_interval_has_the_width_of_repeated_data_and_the_error_inside():
    rng = np.random.default_rng(1)
    found, widths = [], []
    for seed in range(60):
        p = rng.random(400)
        y = (rng.random(400) < p**2).astype(float)
        interval = cal.ece_interval(p, y, seed=seed, repeats=200)
        calibrated = cal.ece_interval(p, rng.random(400) < p, seed=seed, repeats=200)
        assert all(one.lower < one.value < one.upper for one in (interval, calibrated))
        found.append(interval.value)
        widths.append(interval.upper - interval.lower)
    # 3.92 standard deviations of repeated data, known to 1 / sqrt(2 * 59) of themselves
    assert np.mean(widths) == pytest.approx(3.92 * np.std(found, ddof=1), rel=0.3)


def test_several_classes_are_called_by_the_highest_probability():
    top, right = cal.confidence(np.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]]), np.array([1, 2]))
    close(top, [0.5, 0.6])
    close(right, [1, 0])


@pytest.mark.parametrize(
    ("predicted", "outcome", "message"),
    [
        ([0.5, 1.2], [0, 1], "predictions, row 2: must lie in [0, 1], got 1.2; correct the value"),
        ([0.5, np.nan], [0, 1], "predictions, row 2: must lie in [0, 1], got nan; correct the value"),
        ([0.5, 0.5], [0, 2], "outcomes, row 2: must be 0 or 1, got 2; correct the value"),
        (
            [0.5],
            [0, 1],
            "predictions: must be as many as outcomes and at least one, got 1 and 2; give one for each row",
        ),
    ],
)
def test_what_is_no_prediction_is_refused(predicted, outcome, message):
    with pytest.raises(InputError) as refused:
        cal.reliability(predicted, outcome)
    assert str(refused.value) == message


def test_auc_of_one_kind_of_outcome_is_unknown():
    assert np.isnan(cal.auc([0.1, 0.9], [1, 1]))


# --- recalibration


def test_ca3_temperature():
    t = recalibration.temperature(CONFIDENCE, CORRECT)
    close(t, 1.379053, 5e-7)
    close(cal.log_loss(recalibration.scaled(CONFIDENCE, t), CORRECT), 0.609671, 5e-7)
    assert cal.auc(recalibration.scaled(P, t), Y) == cal.auc(P, Y)


def test_platt_is_scikit_learn_s():
    inside = (P > 0) & (P < 1)
    peer = _SigmoidCalibration().fit(recalibration.logits(P[inside]), Y[inside])
    a, b = recalibration.platt(P[inside], Y[inside])
    close([a, b], [-peer.a_, -peer.b_], 1e-4)  # scikit-learn stops at gradients of 1e-6


def test_isotonic_is_scikit_learn_s():
    new = np.linspace(0, 1, 77)
    peer = IsotonicRegression(out_of_bounds="clip").fit(P, Y).predict(new)
    close(recalibration.isotonic(P, Y)(new), peer, 1e-9)


@pytest.mark.parametrize("method", recalibration.METHODS)
def test_overconfident_predictions_are_mended_on_rows_that_the_map_has_not_seen(method):
    rng = np.random.default_rng(8)
    truth = rng.normal(0, 1.5, 4000)
    outcome = (rng.random(4000) < 1 / (1 + np.exp(-truth))).astype(float)
    found = recalibration.recalibrate(1 / (1 + np.exp(-3 * truth)), outcome, method)
    assert found.rows_fitted == found.rows_scored == 2000
    assert found.log_loss[1] < found.log_loss[0] - 0.05 and found.ece[1] < found.ece[0] / 2
    assert abs(found.auc[1] - found.auc[0]) < 0.005  # calibration does not mend discrimination


def test_the_temperature_of_known_overconfidence():
    rng = np.random.default_rng(8)
    truth = rng.normal(0, 1.5, 40_000)
    outcome = (rng.random(40_000) < 1 / (1 + np.exp(-truth))).astype(float)
    assert recalibration.temperature(1 / (1 + np.exp(-3 * truth)), outcome) == pytest.approx(3, rel=0.06)


# --- PIT


def shares(values):
    return scipy.stats.kstest(values, "uniform").pvalue


def test_pit_of_a_well_specified_simulation_is_uniform():
    rng = np.random.default_rng(3)
    rate = rng.gamma(2, 1, 3000)
    counts, copies = rng.poisson(rate), rng.poisson(rate, (200, 3000))
    found = pit.uniformity(pit.pit(counts, copies))
    assert found.p_value == shares(pit.pit(counts, copies)) and found.p_value > 0.01
    assert all(row.lower <= row.share <= row.upper for row in pit.coverage(pit.pit(counts, copies)))


def test_pit_of_too_narrow_predictions_is_not():
    rng = np.random.default_rng(3)
    observed, copies = rng.normal(0, 1.5, 1000), rng.normal(0, 1, (400, 1000))
    values = pit.pit(observed, copies)
    assert pit.uniformity(values).p_value < 1e-6
    held = {row.level: row for row in pit.coverage(values)}
    # a standard normal's central 90% holds P(|1.5 z| < 1.645) = 0.727 of these
    expected = 2 * scipy.stats.norm.cdf(1.6448536 / 1.5) - 1
    assert abs(held[0.9].share - expected) < 4 * np.sqrt(expected * (1 - expected) / 1000) + 0.005
    assert held[0.9].share < held[0.9].lower


def test_pit_lies_on_the_step_of_the_rank():
    values = pit.pit(np.array([0.0, 2.0, 9.0]), np.array([[1.0, 2, 3], [2, 2, 4], [3, 3, 5]]))
    assert 0 < values[0] < 1 / 4 and 0 < values[1] < 3 / 4 and 3 / 4 < values[2] < 1
