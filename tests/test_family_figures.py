"""The pictures of beta_bernoulli, naive_bayes and zero_inflated show the numbers that they say they show."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import load_experiment, run
from experiments.report import style
from experiments.report.families import FAMILY_FIGURES
from experiments.report.style import Drawing
from experiments.results import Result

CONFIGS = Path(__file__).parent / "configs"
NUTS = ("inference=nuts", "inference.nuts.num_chains=4", "inference.nuts.num_samples=100")
SHOP = """\
# Which page sells?
name: shop
seed: 1
model: {family: beta_bernoulli, baseline: old}
data: {values: {group: [old, new, blue], successes: [90, 120, 95], trials: [1000, 1000, 1000]}}
inference: exact
"""


def drawn(path: Path, out: Path, *more: str) -> tuple[Result, dict[str, Drawing]]:
    """The result of a config and its family's pictures by name."""
    experiment = load_experiment(path, more)
    result = run(experiment, out=out).result
    with style.look():
        return result, {drawing.name: drawing for drawing in FAMILY_FIGURES[experiment.model_name](result)}


def points(ax: Any, label: str) -> np.ndarray:
    """A labelled line's points, `(points, 2)`."""
    (line,) = [line for line in ax.lines if line.get_label() == label]
    return np.asarray(line.get_xydata())


def test_rates_are_shown_raw_and_pooled(tmp_path):
    result, found = drawn(CONFIGS / "baseball_1970.yaml", tmp_path / "run", *NUTS)
    assert list(found) == ["shrinkage", "best"]
    ax = found["shrinkage"].figure.axes[0]
    raw = points(ax, "raw rate")[:, 0]
    assert raw[0] == pytest.approx(18 / 45) and raw[-1] == pytest.approx(7 / 45)
    assert [label.get_text() for label in ax.get_yticklabels()][0] == "Clemente (18/45)"
    clemente = list(result.data.coords["group"]).index("Clemente")
    mean = result.fits["nuts"].posterior.draws["theta"][..., clemente].mean()
    marks = next(line.get_xydata() for line in ax.lines if len(line.get_xydata()) == 18 and line.get_marker() == "o")
    assert marks[0, 0] == pytest.approx(mean) and 0.27 < mean < 0.35
    assert "draws rates towards the population's mean" in found["shrinkage"].caption


def test_the_best_page_is_shown_with_its_chance_and_its_lift(tmp_path):
    path = tmp_path / "shop.yaml"
    path.write_text(SHOP)
    result, found = drawn(path, tmp_path / "run")
    chances, lifts = found["best"].figure.axes
    summary = result.fits["exact"].summary
    assert [bar.get_width() for bar in chances.patches] == pytest.approx(
        sorted((summary[f"best[{group}]"]["mean"] for group in ("old", "new", "blue")), reverse=True)
    )
    assert summary["best[new]"]["mcse_mean"] == 0, "by quadrature"
    assert [text.get_text() for text in lifts.texts] == [
        f"above with {summary[f'beats[{group}]']['mean']:.1%}" for group in ("blue", "new")
    ]


def test_classes_are_shown_with_their_truth(tmp_path):
    result, found = drawn(CONFIGS / "house_votes_84.yaml", tmp_path / "run", "inference.exact.num_samples=100")
    assert list(found) == ["classes"]
    (ax,) = found["classes"].figure.axes
    own, others = points(ax, "of the class"), points(ax, "of another class")
    assert len(own) + len(others) == 60 and ax.get_title(loc="left") == "P(class = republican)"
    # published: 13 of 168 and 29 of 267 are called wrongly
    wrong = (own[:, 1] < 0.5).sum() + (others[:, 1] > 0.5).sum()
    assert 1 <= wrong <= 12
    assert result.fits["exact"].posterior.draws["theta"].shape[-1] == 16


def test_rows_without_a_label_have_a_picture_of_their_own(tmp_path):
    with (CONFIGS.parent / "data" / "house_votes_84.csv").open(newline="") as file:
        lines = list(csv.reader(file))
    for k in range(1, 60, 3):
        lines[k][0] = ""
    with (tmp_path / "votes.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines[:101])
    path = tmp_path / "votes.yaml"
    path.write_text(
        "# Whose party?\nname: votes\nseed: 3\nmodel: {family: naive_bayes, label: party, event: y}\n"
        "data: {path: votes.csv}\ninference: nuts\n"
    )
    result, found = drawn(path, tmp_path / "run", *NUTS)
    assert list(found) == ["classes", "classes-unlabelled"]
    (ax,) = found["classes-unlabelled"].figure.axes
    shown = next(line.get_xydata() for line in ax.lines if len(line.get_xydata()) == 20)
    known = [row["mean"] for name, row in result.fits["nuts"].summary.items() if name.startswith("class_probability")]
    assert shown[:, 1] == pytest.approx(np.sort(np.array(known).reshape(20, 2)[:, 1]), abs=0.02)


def test_zeros_and_frequencies_are_shown(tmp_path):
    result, found = drawn(CONFIGS / "biochemists.yaml", tmp_path / "run", *NUTS)
    assert list(found) == ["rootogram", "zeros"]
    ax = found["rootogram"].figure.axes[0]
    y = result.data.observed["y"]
    heights = [bar.get_height() for bar in ax.patches]
    assert heights[:4] == pytest.approx(np.sqrt(np.bincount(y.astype(int))[:4]))
    tops = points(ax, "generated (nuts)")[:, 1]
    assert [bar.get_y() + bar.get_height() for bar in ax.patches] == pytest.approx(tops)
    kinds, zeros, dispersion = found["zeros"].figure.axes
    structural, counts, seen = (bar.get_height() for bar in kinds.patches)
    means = {name: result.fits["nuts"].summary[name]["mean"] for name in ("structural_zeros", "expected_zeros")}
    assert (structural, structural + counts) == pytest.approx(tuple(means.values()), rel=0.02) and seen == 275
    assert zeros.lines[0].get_xdata()[0] == 275
    assert dispersion.lines[0].get_xdata()[0] == pytest.approx(y.var(ddof=1) / y.mean())
    report = (tmp_path / "run" / "report.html").read_text()
    assert "a positive <code>zero_beta</code> means more zeros" in report


def test_amounts_have_a_bin_for_zero_alone(tmp_path):
    _, found = drawn(CONFIGS.parent.parent / "configs" / "claims.yaml", tmp_path / "run", *NUTS)
    bars = found["rootogram"].figure.axes[0].patches
    kinds = found["zeros"].figure.axes[0].patches
    assert bars[0].get_height() ** 2 == pytest.approx(kinds[-1].get_height()) and kinds[-1].get_height() > 100
