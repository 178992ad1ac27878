"""Agreement of the backends: gaps computed by hand."""

from __future__ import annotations

import math

import pytest

from experiments.agreement import compare

Row = dict[str, float | None]


def row(mean: float, sd: float, mcse: float | None) -> Row:
    return {"mean": mean, "sd": sd, "mcse_mean": mcse}


# backends; the largest gap in standard deviations of the most trusted one, in Monte Carlo errors; the verdict
GAPS: dict[str, tuple[dict[str, Row], float, float | None, str]] = {
    "the same": ({"exact": row(2.0, 0.5, 0.0), "svi": row(2.0, 0.5, 0.01)}, 0.0, None, "agree"),
    "within a tenth": ({"exact": row(2.0, 0.5, 0.0), "svi": row(2.04, 0.5, 0.002)}, 0.08, 20.0, "agree"),
    "small, and no chance": ({"exact": row(2.0, 0.5, 0.0), "svi": row(1.9, 0.5, 0.01)}, 0.2, 10.0, "small gap"),
    "small, but chance": ({"exact": row(2.0, 0.5, 0.0), "nuts": row(2.1, 0.5, 0.05)}, 0.2, 2.0, "agree"),
    "no error to explain it": ({"exact": row(2.0, 0.5, 0.0), "svi": row(2.1, 0.5, 0.0)}, 0.2, None, "small gap"),
    "far": ({"exact": row(2.0, 0.5, 0.0), "nuts": row(2.2, 0.5, 0.05)}, 0.4, 4.0, "differ"),
    # sqrt(0.03^2 + 0.04^2) = 0.05
    "both errors count": ({"svi": row(1.0, 2.0, 0.03), "nuts": row(1.1, 2.0, 0.04)}, 0.05, 2.0, "agree"),
    "nuts is trusted more than svi": (
        {"svi": row(1.0, 1.0, 0.1), "nuts": row(1.4, 2.0, 0.1)},
        0.2,
        2.8284271247,
        "agree in mean, differ in spread (2.00 times)",
    ),
    "exact most of all": ({"nuts": row(1.0, 9.0, 0.1), "exact": row(1.1, 10.0, 0.0)}, 0.01, 1.0, "agree"),
    "spread within 15%": ({"exact": row(0.0, 1.0, 0.0), "svi": row(0.0, 1.15, 0.1)}, 0.0, None, "agree"),
    "too narrow": (
        {"exact": row(0.0, 1.0, 0.0), "svi": row(0.2, 0.5, 0.01)},
        0.2,
        20.0,
        "small gap in mean, differ in spread (2.00 times)",
    ),
    "a point": ({"exact": row(1.0, 0.5, 0.0), "svi": row(1.02, 0.0, 0.0)}, 0.04, None, "agree"),
    "two points": ({"svi": row(1.0, 0.0, 0.0), "nuts": row(1.2, 0.0, None)}, 0.2, None, "small gap"),
    # svi to exact 0.08, nuts to exact 0.05, svi to nuts 0.13 in units of 0.5; errors 0.13 / 0.025
    "the largest of three pairs": (
        {"exact": row(1.0, 0.5, 0.0), "svi": row(0.92, 0.5, 0.02), "nuts": row(1.05, 0.5, 0.015)},
        0.26,
        5.2,
        "small gap",
    ),
    "infinite": ({"exact": row(1.0, 0.5, 0.0), "svi": row(math.inf, 0.5, 0.1)}, math.inf, math.inf, "differ"),
}


@pytest.mark.parametrize("case", GAPS)
def test_gaps_are_measured_in_standard_deviations_and_in_errors(case):
    rows, gap, errors, verdict = GAPS[case]
    found = compare({backend: {"theta": row} for backend, row in rows.items()})["theta"]
    assert found.max_gap_sd == pytest.approx(gap, abs=1e-12)
    assert found.max_gap_mcse == (None if errors is None else pytest.approx(errors))
    assert found.verdict == verdict
    assert found.by_backend == {backend: {"mean": row["mean"], "sd": row["sd"]} for backend, row in rows.items()}
    assert list(found.by_backend) == list(rows)


@pytest.mark.parametrize("bad", [row(math.nan, 0.5, 0.1), row(1.0, math.nan, 0.1), row(math.nan, math.nan, math.nan)])
@pytest.mark.parametrize("backends", [("exact", "svi"), ("svi", "exact"), ("svi", "nuts"), ("nuts", "svi")])
def test_a_number_that_is_none_agrees_with_nothing(backends, bad):
    good, broken = backends
    rows = {good: {"theta": row(1.0, 0.5, 0.1)}, broken: {"theta": bad}}
    assert compare(rows)["theta"].verdict == "differ"


def test_one_backend_has_nothing_to_agree_with():
    assert compare({"exact": {"theta": row(1.0, 1.0, 0.0)}}) == {}


def test_variables_that_not_every_backend_has_are_left_out():
    one, other = row(1.0, 1.0, 0.1), row(1.0, 1.0, 0.1)
    tables = {"svi": {"b": one, "theta": one, "a": one}, "nuts": {"a": other, "b": other}}
    assert list(compare(tables)) == ["b", "a"]
