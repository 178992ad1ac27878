"""Drift: table 1.10 of the known answers, and what must, or must not, be called a breach."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from experiments.criticism import drift
from models import InputError

OLD = np.random.RandomState(42)
TRAIN, LIVE = OLD.normal(0, 1, 1000), OLD.normal(0.5, 1.2, 1000)
RNG = np.random.default_rng(17)


@pytest.fixture(autouse=True)
def same_numbers_whatever_ran_before(monkeypatch):
    monkeypatch.setitem(globals(), "RNG", np.random.default_rng(17))


def test_dr1_distance_and_its_chance():
    distance, chance = drift.ks(TRAIN, LIVE)
    assert distance == pytest.approx(0.231, abs=1e-12)
    assert chance == pytest.approx(8.47e-24, rel=1e-3)
    big = drift.ks(RNG.normal(0, 1, 400_000), RNG.normal(0.5, 1.2, 400_000))[0]
    assert big == pytest.approx(0.19255, abs=0.004)


TENTHS = np.linspace(-3, 3, 11)[1:-1]


def test_dr2_w11_no_row_is_lost_at_the_ends():
    assert drift.psi(TRAIN, LIVE, TENTHS) == pytest.approx(0.329934, abs=5e-7)
    assert drift.psi(TRAIN, LIVE) == pytest.approx(0.299361, abs=5e-7)
    big = drift.psi(RNG.normal(0, 1, 400_000), RNG.normal(0.5, 1.2, 400_000), TENTHS)
    assert big == pytest.approx(0.263016, abs=0.01)


def test_w28_an_empty_bin_counts_as_half_a_row_and_not_as_infinity():
    found = drift.psi_of_counts(np.array([10, 0, 0]), np.array([5, 5, 0]))
    assert found == pytest.approx((0.5 - 1) * np.log(0.5) + (0.5 - 0.05) * np.log(0.5 / 0.05))
    assert drift.psi([1.0, 1, 1, 1], [1.0, 1, 1]) == 0


def test_psi_is_the_symmetric_divergence():
    counts = np.array([20, 30, 50]), np.array([40, 40, 20])
    p, q = counts[0] / 100, counts[1] / 100
    assert drift.psi_of_counts(*counts) == pytest.approx(scipy.stats.entropy(p, q) + scipy.stats.entropy(q, p))


def test_w30_a_small_difference_in_many_rows_is_no_breach():
    found = drift.numeric_drift("age", RNG.normal(0, 1, 100_000), RNG.normal(0.03, 1, 100_000))
    assert found.p_value < 1e-4 and found.effect == pytest.approx(0.03, abs=0.015)
    assert found.level == "stable" and found.message.startswith("`age` is as it was: KS 0.0")


def test_a_large_difference_in_few_rows_of_chance_is_no_breach():
    levels = [drift.numeric_drift("age", RNG.normal(size=30), RNG.normal(size=30)).level for _ in range(200)]
    assert levels.count("breach") == 0


def test_a_large_difference_is_a_breach():
    found = drift.numeric_drift("age", TRAIN, LIVE)
    assert (found.level, found.statistic) == ("breach", pytest.approx(0.231))
    assert found.message == "`age` has moved far: KS 0.231, PSI 0.299, mean moved by 0.52 sd, p = 8.47e-24"
    assert drift.numeric_drift("age", TRAIN, TRAIN + 0.4).level == "watch"


def test_labels():
    old, new = ["a"] * 60 + ["b"] * 40, ["a"] * 20 + ["b"] * 60 + ["c"] * 20
    found = drift.label_drift("region", old, new)
    table = np.array([[60, 40, 0], [20, 60, 20]])
    expected = scipy.stats.chi2_contingency(table, correction=False)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.effect == pytest.approx(scipy.stats.contingency.association(table, "cramer"))
    assert found.level == "breach" and "; new labels: `c`, p = " in found.message
    assert drift.label_drift("region", old, old * 3).level == "stable"
    assert drift.label_drift("region", ["a"] * 5, ["a"] * 9).message == (
        "`region` is as it was: one label only, as before, p = 1"
    )


def test_cohens_d():
    a, b = RNG.normal(0, 1, 50), RNG.normal(1, 2, 80)
    pooled = np.sqrt((49 * a.var(ddof=1) + 79 * b.var(ddof=1)) / 128)
    assert drift.cohens_d(a, b) == pytest.approx((b.mean() - a.mean()) / pooled)
    assert drift.cohens_d(np.ones(5), np.ones(5)) == 0


def test_zeros_that_stand_for_missing_values():
    height, gaps = RNG.normal(170, 10, 500), np.where(RNG.random(500) < 0.2, 0, RNG.normal(170, 10, 500))
    told = drift.zeros_for_missing("height", height, gaps)
    assert told is not None and told.startswith("`height` is 0 in ") and told.endswith("may stand for missing values")
    assert (
        drift.zeros_for_missing("change", RNG.normal(0, 1, 500), np.where(RNG.random(500) < 0.2, 0, TRAIN[:500]))
        is None
    )
    assert drift.zeros_for_missing("height", gaps, gaps) is None
    # an indicator, and three zeros more than chance brings in twenty rows
    assert drift.zeros_for_missing("smoker", np.arange(500) % 2, np.zeros(500)) is None
    assert drift.zeros_for_missing("height", gaps, np.r_[np.zeros(6), height[:14]]) is None
    assert drift.zeros_for_missing("height", gaps, np.r_[np.zeros(16), height[:4]]) is not None


def test_confidence_that_drops():
    old, new = RNG.beta(20, 4, 2000), RNG.beta(18, 5, 2000)
    found = drift.confidence_drift(old, new)
    assert found.level == "breach" and found.message.startswith("`confidence` has moved far: ")
    assert drift.confidence_drift(old, RNG.beta(20, 4, 2000)).level == "stable"


def test_no_rows():
    with pytest.raises(InputError, match="drift: needs rows on both sides, got 3 and 0; give more rows"):
        drift.psi([1, 2, 3], [])
