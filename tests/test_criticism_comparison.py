"""Comparison of models, against ArviZ's own and closed forms; ties are admitted."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from experiments.criticism.comparison import Score, compare, stacking, verdict
from experiments.criticism.scores import by_row, loo, spread
from inference import arviz_bridge
from models import InputError

RNG = np.random.default_rng(21)


def model(pointwise: np.ndarray, k: float = 0.1) -> Score:
    bad = len(pointwise) if k > 0.7 else 0
    return Score("leave-one-out", float(pointwise.sum()), spread(pointwise), 2.0, pointwise, bad)


@pytest.fixture(autouse=True)
def same_numbers_whatever_ran_before(monkeypatch):
    monkeypatch.setitem(globals(), "RNG", np.random.default_rng(21))


def test_comparison_is_arviz_s():
    arviz = arviz_bridge._arviz_0()
    examples = {name: arviz.load_arviz_data(f"{name}_eight") for name in ("centered", "non_centered")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peers = {name: arviz.loo(example, pointwise=True) for name, example in examples.items()}
        table = arviz.compare(peers)
    scores = {name: loo([by_row({"obs": e.log_likelihood["obs"].values})]) for name, e in examples.items()}
    found = compare({n: Score("leave-one-out", s.elpd, s.se, s.p, s.pointwise) for n, s in scores.items()})
    assert [row.name for row in found] == list(table.index)
    assert found[0].tied is False and found[1].tied
    assert found[1].difference == pytest.approx(-table["elpd_diff"].iloc[1], abs=0.02)
    assert found[1].se_difference == pytest.approx(table["dse"].iloc[1] * np.sqrt(8 / 7), abs=0.02)
    own = stacking(np.column_stack([peers[name].loo_i.values for name in table.index]))
    assert own == pytest.approx(table["weight"].to_numpy(), abs=1e-3)


def test_differences_are_by_row():
    a, b = RNG.normal(-1, 1, 200), RNG.normal(-1.5, 1, 200)
    best, other = compare({"b": model(b), "a": model(a)})
    assert (best.name, other.name) == ("a", "b")
    assert best.difference == 0 and best.se_difference == 0 and not best.tied
    assert other.difference == pytest.approx((b - a).sum())
    assert other.se_difference == pytest.approx(np.sqrt(200) * (b - a).std(ddof=1))


def test_stacking_gives_each_model_the_rows_that_it_predicts():
    """Two models that are sure of disjoint rows: weights are the shares of the rows."""
    sure = np.where(np.arange(100)[:, None] < 70, [0.0, -50.0], [-50.0, 0.0])
    assert stacking(sure) == pytest.approx([0.7, 0.3], abs=1e-4)
    assert stacking(sure - 5000) == pytest.approx([0.7, 0.3], abs=1e-4)  # exp(-5000) is 0
    assert stacking(np.column_stack([np.zeros(50), np.full(50, -1.0)])) == pytest.approx([1, 0], abs=1e-6)


def test_verdicts():
    base = RNG.normal(-1, 1, 400)
    noise = RNG.normal(0, 0.5, 400)
    noise -= noise.mean()
    cases = {
        "tie": {"a": base, "b": base + noise - 5 / 400},
        "small": {"a": base, "b": base - 3 / 400},
        "clear": {"a": base, "b": base + noise - 0.5},
        "mixed": {"a": base, "b": base + noise - 5 / 400, "c": base + noise - 0.5},
    }
    told = {
        name: verdict(compare({key: model(rows) for key, rows in case.items()}), 400) for name, case in cases.items()
    }
    assert told["tie"].startswith("`a` and `b` are tied: 400 rows cannot tell which predicts better, b (elpd -5, se ")
    assert "are tied" in told["small"]
    assert told["clear"].startswith("`a` predicts better than the rest: b (elpd -200, se ")
    assert told["mixed"].startswith("`a` predicts best, with `b` tied as far as 400 rows can tell: ")
    bad = verdict(compare({"a": model(base, 0.9), "b": model(base + noise)}), 400)
    assert bad.endswith("rows with a k-hat that is too large, 400 in a; score them by K-fold.")


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({"a": 5}, "comparison: needs two models or more, got 1; name another run"),
        ({"a": 5, "b": 1200}, "comparison: needs the same rows, got a 5 and b 1,200; run both on the same data"),
        ({"a": 1, "b": 1}, "comparison: needs two rows or more, got 1; compare on rows that can be left out"),
    ],
)
def test_what_cannot_be_compared_is_refused(models, message):
    with pytest.raises(InputError) as refused:
        compare({name: model(RNG.normal(size=size)) for name, size in models.items()})
    assert str(refused.value) == message
