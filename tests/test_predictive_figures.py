"""Predictive figures: every kind of outcome has its pictures, of what was observed and what was generated."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments.report import outcome_panels as panels
from experiments.report import style
from experiments.report.outcomes import few, levels, of_levels, seen
from experiments.report.predictive_figures import predictive
from experiments.report.prior_figures import PRIORS, prior_predictive
from models.base import Data

DRAWS = 60


def result(data: Data, generated: dict[str, np.ndarray], dims: dict[str, tuple[str, ...]] | None = None) -> Any:
    """The part of a result that these figures read; `generated` data sets `(draws, *shape)` are also the priors'."""
    posterior = SimpleNamespace(dims=dims or {})
    predicted = {site: values[None] for site, values in generated.items()}
    fits = {"nuts": SimpleNamespace(posterior_predictive=predicted, posterior=posterior)}
    return SimpleNamespace(data=data, fits=fits, prior_predictive=predicted)


def outcomes(kind: str) -> tuple[Data, dict[str, np.ndarray], dict[str, tuple[str, ...]]]:
    """Data of a kind, and data sets like them."""
    rng = np.random.default_rng(3)
    match kind:
        case "real":
            return Data({}, {"y": rng.normal(size=80)}), {"y": rng.normal(size=(DRAWS, 80))}, {}
        case "rounded":
            return Data({}, {"y": rng.normal(70, 9, 80).round()}), {"y": rng.normal(70, 9, (DRAWS, 80))}, {}
        case "tied":
            draws = rng.normal(5, 1, (DRAWS + 1, 80)) * (rng.random((DRAWS + 1, 80)) < 0.5)
            return Data({}, {"y": draws[0]}), {"y": draws[1:]}, {}
        case "counts":
            draws = rng.poisson(3, (DRAWS + 1, 80)).astype(float)
            return Data({}, {"y": draws[0]}), {"y": draws[1:]}, {}
        case "few counts":
            draws = rng.poisson(3, (DRAWS + 1, 9)).astype(float)
            return Data({}, {"y": draws[0]}), {"y": draws[1:]}, {}
        case "groups":
            draws = (rng.random((DRAWS + 1, 60)) < 0.4).astype(float)
            inputs = {"group": np.arange(60) % 3}
            return Data(inputs, {"y": draws[0]}, {"group": ["a", "b", "c"]}), {"y": draws[1:]}, {}
        case "probabilities":
            draws = (rng.random((DRAWS + 1, 200)) < np.linspace(0.05, 0.95, 200)).astype(float)
            return Data({}, {"y": draws[0]}), {"y": draws[1:]}, {}
        case "one rate":
            draws = (rng.random((DRAWS + 1, 200)) < 0.5).astype(float)
            return Data({}, {"y": draws[0]}), {"y": draws[1:]}, {}
        case "classes":
            draws = rng.integers(0, 3, (DRAWS + 1, 50)).astype(float)
            return Data({}, {"y": draws[0]}, {"class": ["x", "y", "z"]}), {"y": draws[1:]}, {}
        case _:
            draws = rng.normal(size=(DRAWS + 1, 50, 2)) + [0, 1000]
            coords = {"feature": ["length", "mass"]}
            return Data({}, {"y": draws[0]}, coords), {"y": draws[1:]}, {"y": ("row", "feature")}


# kind: titles of the panels, words of the caption
KINDS = {
    "real": (["mean of y", "density, 80 values", "share of values up to each"], "Middle: densities"),
    "rounded": (["mean of y", "share of values up to each"], "Right: the share of values up to each"),
    "tied": (["mean of y", "share of values up to each"], "Right: the share of values up to each"),
    "counts": (["mean of y", "hanging rootogram"], "Right: bars hang from"),
    "few counts": (["mean of y", "observed and generated (95%)"], "Right: rows as observed"),
    "groups": (["mean of y", "observed and generated (95%)"], "Right: means of every group"),
    "probabilities": (["mean of y", "calibration"], "Right: rows sorted by predicted probability"),
    "one rate": (["mean of y"], "The mean of `y`"),
    "classes": (["share of every label, observed and generated (95%)"], "Shares of labels as observed"),
    "columns": (["length", "mass"], "Densities of generated data sets"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_outcome_has_its_pictures_and_a_sentence_on_each(kind):
    titles, words = KINDS[kind]
    with style.look():
        (drawing,) = predictive(result(*outcomes(kind)))
        assert [ax.get_title(loc="left") for ax in drawing.figure.axes if ax.get_visible()] == titles
        assert words in drawing.caption and drawing.caption.endswith(".")
        assert drawing.caption.count(": ") <= len(titles) + 1
        (legend,) = drawing.figure.legends
        assert [text.get_text() for text in legend.get_texts()] == ["nuts", "observed"]
        assert style.as_png(drawing.figure)[:4] == b"\x89PNG"


def test_columns_are_drawn_on_their_own_scale():
    with style.look():
        (drawing,) = predictive(result(*outcomes("columns")))
    length, mass = (ax.get_xlim() for ax in drawing.figure.axes)
    assert -6 < length[0] < length[1] < 6 and 994 < mass[0] < mass[1] < 1006


def test_what_is_not_there_is_not_compared():
    """A padded cell holds a 0 that nobody observed, and a generated number that says nothing."""
    there = np.array([[True, True, False], [True, False, False]])
    data = Data({"there": there[..., None]}, {"y": np.array([[1.0, 2, 0], [3, 0, 0]])[..., None]}, {"channel": ["c"]})
    found = seen(result(data, {}), "y", {"nuts": np.arange(12.0).reshape(2, 2, 3, 1)})
    assert found.observed.tolist() == [1, 2, 3] and found.replicated["nuts"].tolist() == [[0, 1, 3], [6, 7, 9]]
    known = Data({"has_number": np.array([[1, 0], [1, 1]])}, {"x_number": np.array([[5.0, 0], [6, 7]])})
    found = seen(result(known, {}), "x_number", {"nuts": np.ones((3, 2, 2))})
    assert found.observed.tolist() == [5, 6, 7] and found.column.tolist() == [0, 0, 1]
    assert found.columns == ["1", "2"] and found.replicated["nuts"].shape == (3, 3)


def test_figures_of_large_data_rest_on_few_data_sets():
    found = few(np.zeros((2, 40, 1_000_000), dtype=np.int8), (1_000_000,))
    assert found.shape == (10, 1_000_000) and found.dtype == float
    assert few(np.arange(24.0).reshape(2, 4, 3), (3,)).tolist() == np.arange(24.0).reshape(8, 3).tolist()
    assert few(np.zeros((1, 3, 10_000_001), dtype=np.int8), (10_000_001,)).shape[0] == 2


def test_labels_of_several_columns_lie_side_by_side():
    coords = {"category": ["sex", "island"], "level": ["sex=f", "sex=m", "island=A", "island=B", "island=C"]}
    values = np.array([[0.0, 2], [1, 0], [1, 2]])
    there = np.array([[1, 1], [1, 1], [1, 0]])
    data = Data({"has_category": there}, {"x_category": values}, coords)
    outcome = seen(result(data, {}, {"x_category": ("row", "category")}), "x_category", {"nuts": values[None]})
    codes = levels(result(data, {}), outcome)
    assert codes is not None and codes.names == coords["level"]
    assert of_levels(codes, outcome.observed[None])[0].tolist() == pytest.approx([1 / 3, 2 / 3, 0.5, 0, 0.5])


def test_a_rootogram_hangs_its_bars_from_what_is_expected():
    observed = np.repeat([0.0, 1, 2], [16, 9, 4])
    generated = np.stack([np.repeat([0.0, 1, 2, 3], [9, 16, 1, 3])] * 2)
    ax = Figure().subplots()
    panels.rootogram(ax, observed, {"nuts": generated}, ["nuts"])
    tops = [bar.get_y() + bar.get_height() for bar in ax.patches]
    # 0, 1, 2, and what is beyond the largest observed count
    np.testing.assert_allclose(tops, np.sqrt([9, 16, 1, 3]))
    np.testing.assert_allclose([bar.get_y() for bar in ax.patches], [3 - 4, 4 - 3, 1 - 2, np.sqrt(3)])
    intervals = ax.collections[0].get_segments()
    np.testing.assert_allclose([segment[:, 1] for segment in intervals], 0)  # both data sets are as expected


@pytest.mark.parametrize(
    ("top", "edges"),
    [
        (2, [0, 1, 2, 3, np.inf]),
        (40, [*range(42), np.inf]),
        (81, [0, *range(1, 83, 3), np.inf]),
    ],
)
def test_wide_counts_share_bars_but_for_zero(top, edges):
    assert panels.bins(np.array([0.0, top])).tolist() == edges


def test_shares_below_are_the_distribution_function():
    found = panels.share_below(np.array([[3.0, 1], [2, 2]]), np.array([0.5, 1, 2, 2.5, 3]))
    assert found.tolist() == [0, 0.25, 0.75, 0.75, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_priors_generate_is_drawn_beside_the_data(kind):
    with style.look():
        (drawing,) = prior_predictive(result(*outcomes(kind)))
        assert drawing.name == "prior-y" and "the priors alone generate" in drawing.caption
        assert style.as_png(drawing.figure)[:4] == b"\x89PNG"


def test_priors_far_from_the_data_are_drawn_on_a_scale_that_shows_both():
    rng = np.random.default_rng(1)
    wide = rng.poisson(np.exp(np.clip(rng.normal(4, 6, (500, 1)), -9, 30)) * np.ones(30)).astype(float)
    data = Data({}, {"y": rng.poisson(3, 30).astype(float)})
    with style.look():
        (drawing,) = prior_predictive(result(data, {"y": wide}))
        mean, spread = drawing.figure.axes
        assert (mean.get_xscale(), spread.get_xscale()) == ("symlog", "symlog")
        heights = sum(patch.get_data().values.sum() for patch in mean.patches[:1])
        assert heights == pytest.approx(1) and 2 < len(mean.get_xticks()) < 9
        assert style.as_png(drawing.figure)[:4] == b"\x89PNG"
        (plain,) = prior_predictive(result(data, {"y": rng.poisson(4, (500, 30)).astype(float)}))
        assert {ax.get_xscale() for ax in plain.figure.axes} == {"linear"}


def test_without_finite_data_from_the_priors_there_is_no_figure():
    data = Data({}, {"y": np.ones(5)})
    assert prior_predictive(result(data, {})) == []
    assert prior_predictive(result(data, {"y": np.full((9, 5), np.nan)})) == []
    assert PRIORS not in style.COLOURS  # the priors are no backend: they take a colour that none of them has
