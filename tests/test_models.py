"""The zoo's families: every one tells its story, keeps its dims, and refuses wrong data by column and row."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from cases import program_of, table
from pydantic import ValidationError

from inference.predict import prior
from inference.streams import workspace
from models import (
    FAMILIES,
    BetaBernoulli,
    GaussianMixture,
    HiddenMarkov,
    InputError,
    LogisticRegression,
    NaiveBayes,
    Prior,
    Table,
    ZeroInflated,
)
from models.base import story

OUTCOMES = [0, 1, 1, 0, 1]
NUMBERS = table(
    y=OUTCOMES,
    x=[1.0, 2.0, 4.0, 7.0, 11.0],
    z=[2.0, 1.0, 5.0, 3.0, 1.5],
    plate=[10, 9, 10, 11, 9],
    group=["b", "a", "c", "a", "b"],
)
NAMES = Table(
    {
        "y": np.array(OUTCOMES),
        "vote share": np.array([0.1, 0.5, 0.3, 0.2, 0.9]),
        "a-b": np.array([1.0, 0, 1, 0, 0]),
        "größe": np.array([1.0, 2, 1, 3, 3]),
        "vote": np.array([np.nan] * 5),
    },
    "rows.csv",
    {},
)

# A model of every family in every form that its data can take.
MODELS = {
    "one rate, rows": (BetaBernoulli(), table(outcome=OUTCOMES)),
    "one rate, counts": (BetaBernoulli(), table(successes=[3, 0], trials=[5, 2])),
    "rates by group, rows": (BetaBernoulli(), table(outcome=OUTCOMES, group=["b", "a", "a", "c", "b"])),
    "rates by group, counts": (BetaBernoulli(), table(successes=[3, 0], trials=[5, 2], group=["b", "a"])),
    "rates of one population": (
        BetaBernoulli(pooling="partial"),
        table(successes=[3, 0, 2], trials=[5, 2, 9], group=["b", "a", "c"]),
    ),
    "rates of one population, prior of kappa": (
        BetaBernoulli(pooling="partial", spread_prior=Prior("inverse_gamma", (0.5, 1.0))),
        table(outcome=OUTCOMES, group=["b", "a", "a", "c", "b"]),
    ),
    "groups with one rate": (BetaBernoulli(pooling="complete"), table(outcome=OUTCOMES, group=list("baacb"))),
    "regression": (LogisticRegression("y ~ x + group"), NUMBERS),
    "regression, varying effects": (LogisticRegression("y ~ x + (1 + x | group)"), NUMBERS),
    "regression, robust": (LogisticRegression("y ~ x", likelihood="robust"), NUMBERS),
    "regression, several labels": (LogisticRegression("group ~ x + z", likelihood="categorical"), NUMBERS),
    "regression, horseshoe": (LogisticRegression("y ~ x + z", prior="horseshoe(1)"), NUMBERS),
    "regression, trials": (LogisticRegression("y ~ x", trials="plate"), NUMBERS),
    "regression, own scale": (LogisticRegression("y ~ x + z", standardise=False), NUMBERS),
    "regression, no intercept": (LogisticRegression("y ~ 0 + x"), NUMBERS),
    "regression, intercept alone": (LogisticRegression("y ~ 1"), NUMBERS),
    "zero-inflated": (ZeroInflated("y ~ x + group", "z", likelihood="negative_binomial", exposure="z"), NUMBERS),
    "hurdle, own scale": (ZeroInflated("y ~ x", zeros="hurdle", likelihood="gamma", standardise=False), NUMBERS),
    "hurdle of amounts": (ZeroInflated("y ~ x", zeros="hurdle", likelihood="lognormal"), NUMBERS),
    "counts alone": (ZeroInflated("y ~ 0 + x", zeros="none"), NUMBERS),
    **{
        f"mixture, {covariance}": (GaussianMixture(features=("x", "z"), covariance=covariance), NUMBERS)
        for covariance in ("spherical", "diagonal", "full", "tied")
    },
    "mixture, heavy tails, ordered": (
        GaussianMixture(components=3, features=("x",), component="student_t", order="mean"),
        table(x=[1.0, np.nan, 4.0, 7.0, 11.0]),
    ),
    "mixture, known scale": (
        GaussianMixture(features=("x", "z"), covariance="spherical", scale=1.0, standardise=False),
        NUMBERS,
    ),
    "states, numbers": (HiddenMarkov(states=3, channels=("x", "z"), start="free"), NUMBERS),
    "states, counts": (HiddenMarkov(emission="negative_binomial", channels=("plate",), start="stationary"), NUMBERS),
    "states, labels in sequences": (
        HiddenMarkov(emission="categorical", channels=("word",), sticky=2.0),
        table(word=["u", "v", None, "w", "u"], sequence=["a", "a", "b", "b", "b"]),
    ),
    "states, ordered": (HiddenMarkov(emission="poisson", channels=("y",), order="emission"), NUMBERS),
    "naive Bayes, every kind of feature": (
        NaiveBayes("class", binary=("b",), category=("c", "d"), count=("one", "two"), number=("x",)),
        Table(
            {
                "class": np.array(["u", "v", "v", "u"], dtype=object),
                "b": np.array([0, np.nan, 1, 1]),
                "c": np.array(["red", "blue", None, "green"], dtype=object),
                "d": np.array(["s", "t", "s", "t"], dtype=object),
                "one": np.array([3, 0, 2, 1]),
                "two": np.array([1, 4, 0, 2]),
                "x": np.array([0.5, 1.5, np.nan, 4.0]),
            },
            "rows.csv",
        ),
    ),
}


def needed(family: type[Any]) -> dict[str, Any]:
    """The settings that a family has no default for."""
    return {"formula": "y ~ x"} if "formula" in family.__dataclass_fields__ else {}


def test_every_family_is_here():
    assert {type(model) for model, _ in MODELS.values()} == set(FAMILIES.values())


@pytest.mark.parametrize(("model", "rows"), MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("observed", [True, False])
def test_a_prior_draw_has_the_sites_and_axes_of_dims(model, rows, observed):
    data = model.data(rows, observed=observed)
    assert set(data.observed) == (set(model.outcomes) if observed else set())
    with workspace(1):
        program = program_of(model, data)
        draws = prior(program, 3)
    sizes = {"row": rows.num_rows, **{dim: len(labels) for dim, labels in data.coords.items()}}
    for site, values in draws.items():
        if values.dim() > 1:
            assert program.dims[site] == model.dims[site]
            assert tuple(values.shape) == (3, *(sizes[dim] for dim in model.dims[site])), site
        assert torch.isfinite(values).all()
    for name in model.outcomes:
        assert name in draws
    for name, dims in data.dims.items():
        if name in data.inputs:
            assert np.shape(data.inputs[name]) == tuple(sizes[dim] for dim in dims), name


@pytest.mark.parametrize(("model", "rows"), MODELS.values(), ids=MODELS)
def test_quantities_and_predictions_have_the_shape_of_what_they_are_of(model, rows):
    data = model.data(rows)
    with workspace(1):
        program = program_of(model, data)
        drawn = {name: values.numpy().reshape(2, 3, *values.shape[1:]) for name, values in prior(program, 6).items()}
    draws = {name: values for name, values in drawn.items() if name not in data.observed}
    axis = model.exchangeable
    assert axis is None or any(axis in model.dims[site] for site in draws)

    found = model.quantities(draws, data)
    assert not set(found.draws) & set(program.dims)
    sizes = {dim: len(labels) for dim, labels in {**data.coords, **found.coords}.items()}
    for name, values in found.draws.items():
        dims = found.dims.get(name, ())
        assert values.shape == (2, 3, *(sizes.get(dim, size) for dim, size in zip(dims, values.shape[2:], strict=True)))
        assert np.isfinite(values).all(), name

    told = model.predict(draws, rows, rows, mass=0.5)
    assert told
    for name, column in told.items():
        assert np.shape(column) == (rows.num_rows,), name
        assert np.asarray(column).dtype.kind in "OUib" or np.isfinite(column).all(), name


@pytest.mark.parametrize("name", FAMILIES)
def test_the_story_names_every_site_and_every_prior(name):
    family = FAMILIES[name]
    told = story(family)
    assert told.sentence.endswith(".")
    lines = told.block.splitlines()
    assert all(line == line.strip() for line in lines)
    sites = [re.match(r"(\w+)(?:\[\w+\])?\s+~ ", line) for line in lines]
    named = [match[1] for match in sites if match]
    deterministic = {site for site in family.dims if site.endswith("_raw")}
    assert set(named) == set(family.dims) - deterministic
    assert all(site in " ".join(told.notes) for site in deterministic)
    assert story(family(**needed(family))) == told


# --- beta_bernoulli -----------------------------------------------------------------------------------------------


def test_rates_by_group_are_in_the_order_of_their_labels():
    data = BetaBernoulli().data(table(outcome=OUTCOMES, group=["b", "a", "a", "c", "b"]))
    assert data.coords == {"group": ["a", "b", "c"]}
    assert data.inputs["group"].tolist() == [1, 0, 0, 2, 1]
    assert data.inputs["num_groups"] == 3
    assert data.observed["y"].tolist() == OUTCOMES


def test_true_and_false_are_outcomes():
    assert BetaBernoulli().data(table(outcome=[True, False])).observed["y"].tolist() == [1, 0]


EITHER = "rows.csv: beta_bernoulli takes either `outcome`, or `successes` with `trials`, got columns "
FILL_IN = "fill the cell in or leave the row out"
NAME_THEM = "; name them under data.columns"
COINS_REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no outcome": ({"group": ["a"]}, EITHER + "`group`" + NAME_THEM),
    "both forms": (
        {"outcome": [1], "successes": [1], "trials": [2]},
        EITHER + "`outcome`, `successes`, `trials`" + NAME_THEM,
    ),
    "no trials": ({"successes": [1]}, EITHER + "`successes`" + NAME_THEM),
    "trials alone": ({"trials": [1]}, EITHER + "`trials`" + NAME_THEM),
    "trials with outcomes": ({"outcome": [1], "trials": [2]}, EITHER + "`outcome`, `trials`" + NAME_THEM),
    "two": (
        {"outcome": [0, 2]},
        "rows.csv, column `outcome`, row 2: must be 0 or 1, got 2; recode the column to 0 and 1",
    ),
    "words": (
        {"outcome": ["yes", "no"]},
        "rows.csv, column `outcome`, row 1: must be 0 or 1, got 'yes'; recode the column to 0 and 1",
    ),
    "an empty outcome": (
        {"outcome": [1.0, np.nan]},
        "rows.csv, column `outcome`, row 2: must be 0 or 1, got an empty cell or NaN; " + FILL_IN,
    ),
    "more ones than trials": (
        {"successes": [1, 4], "trials": [2, 3]},
        "rows.csv, column `successes`, row 2: must not exceed `trials`, got 4; correct the row",
    ),
    "a negative count": (
        {"successes": [-1], "trials": [2]},
        "rows.csv, column `successes`, row 1: must be a whole number, 0 or more, got -1; correct it",
    ),
    "half a trial": (
        {"successes": [1], "trials": [2.5]},
        "rows.csv, column `trials`, row 1: must be a whole number, 0 or more, got 2.5; correct it",
    ),
    "infinite trials": (
        {"successes": [1], "trials": [np.inf]},
        "rows.csv, column `trials`, row 1: must be finite, got inf; correct the value or leave the row out",
    ),
    "an empty group": (
        {"outcome": [1, 0], "group": np.array(["a", None], dtype=object)},
        "rows.csv, column `group`, row 2: must have a label, got an empty cell; fill the cell in or leave the row out",
    ),
}


@pytest.mark.parametrize(("columns", "sentence"), COINS_REFUSED.values(), ids=COINS_REFUSED)
def test_wrong_outcomes_are_refused_by_column_and_row(columns, sentence):
    with pytest.raises(InputError) as refused:
        BetaBernoulli().data(table(**columns))
    assert str(refused.value) == sentence


# --- logistic_regression: scales ----------------------------------------------------------------------------------


def terms_of(model, rows=NUMBERS):
    return model.data(rows).coords["term"]


def logits(model, data, **latents):
    """The log odds `(rows,)` that the program gives at these weights, and every deterministic site."""
    with workspace(0):
        program = program_of(model, data)
        nodes = program.trace({name: torch.as_tensor(value) for name, value in latents.items()}).nodes
        raw = {site.name: nodes[site.name]["value"].numpy() for site in program.deterministic}
        return nodes["y"]["fn"].logits.numpy(), raw


def test_standardised_columns_have_mean_0_and_population_sd_1():
    data = LogisticRegression("y ~ x + z").data(NUMBERS)
    x, columns = data.inputs["x"], np.column_stack([NUMBERS.columns["x"], NUMBERS.columns["z"]])
    assert data.inputs["mean"] == pytest.approx(columns.mean(axis=0))
    assert data.inputs["sd"] == pytest.approx(np.sqrt(((columns - columns.mean(axis=0)) ** 2).mean(axis=0)))
    assert x.mean(axis=0) == pytest.approx([0, 0], abs=1e-15)
    assert (x**2).mean(axis=0) == pytest.approx([1, 1])


def test_both_scales_give_the_same_log_odds():
    columns = np.column_stack([NUMBERS.columns["x"], NUMBERS.columns["z"]])
    model = LogisticRegression("y ~ x + z")
    found, raw = logits(model, model.data(NUMBERS), intercept=0.3, beta=[1.5, -0.7])
    assert raw["beta_raw"] == pytest.approx(np.array([1.5, -0.7]) / columns.std(axis=0))
    assert found == pytest.approx(raw["intercept_raw"] + columns @ raw["beta_raw"])


def test_without_an_intercept_nothing_is_taken_off_the_columns():
    model = LogisticRegression("y ~ 0 + x")
    data = model.data(NUMBERS)
    assert data.inputs["mean"].tolist() == [0]
    found, raw = logits(model, data, beta=[2.0])
    assert found == pytest.approx(NUMBERS.columns["x"] * raw["beta_raw"])
    assert set(raw) == {"beta_raw"}


def test_on_the_own_scale_the_columns_are_as_they_came():
    model = LogisticRegression("y ~ x", standardise=False)
    found, raw = logits(model, model.data(NUMBERS), intercept=-1.0, beta=[0.25])
    assert found == pytest.approx(-1 + 0.25 * NUMBERS.columns["x"])
    assert raw == {}


@pytest.mark.parametrize(("event", "expected"), [("good", [1, 0, 1]), ("bad", [0, 1, 0])])
def test_the_event_counts_as_one(event, expected):
    rows = table(class_=["good", "bad", "good"], x=[1.0, 2.0, 3.0])
    assert LogisticRegression("class_ ~ x", event=event).data(rows).observed["y"].tolist() == expected


def test_a_reserved_word_can_be_the_outcome():
    rows = Table({"class": np.array([1, 2, 2]), "x": np.array([1.0, 2, 4])}, "rows.csv", {})
    assert LogisticRegression("class ~ .", event=2).data(rows).observed["y"].tolist() == [0, 1, 1]


def test_rows_to_predict_need_no_outcome():
    data = LogisticRegression("y ~ .").data(table(x=[1.0, 2.0], z=[3.0, 5.0]), observed=False)
    assert data.coords["term"] == ["x", "z"] and data.observed == {}


# --- logistic_regression: formulas --------------------------------------------------------------------------------

FORMULAS = {
    "y ~ x": ["x"],
    "`y` ~ x": ["x"],
    "y ~ x + x": ["x"],
    "y ~ .": ["x", "z", "plate", "group[T.b]", "group[T.c]"],
    "y ~ . - plate - group": ["x", "z"],
    "y ~ x * z": ["x", "z", "x:z"],
    "y ~ x:z": ["x:z"],
    "y ~ (x + z)**2": ["x", "z", "x:z"],
    "y ~ group": ["group[T.b]", "group[T.c]"],
    "y ~ C(group)": ["C(group)[T.b]", "C(group)[T.c]"],
    "y ~ C(group, contr.treatment('c'))": [
        "C(group, contr.treatment('c'))[T.a]",
        "C(group, contr.treatment('c'))[T.b]",
    ],
    "y ~ C(plate)": ["C(plate)[T.10]", "C(plate)[T.11]"],
    "y ~ plate": ["plate"],
    "y ~ scale(x) + log(z) + I(x**2)": ["scale(x)", "log(z)", "I(x ** 2)"],
    "y ~ 1": [],
}


@pytest.mark.parametrize(("formula", "expected"), FORMULAS.items())
def test_a_formula_with_intercept_has_these_terms(formula, expected):
    data = LogisticRegression(formula).data(NUMBERS)
    assert data.coords["term"] == expected
    assert data.inputs["has_intercept"]
    assert data.inputs["x"].shape == (5, len(expected))


@pytest.mark.parametrize(
    ("formula", "expected"),
    [("y ~ 0 + x", ["x"]), ("y ~ x - 1", ["x"]), ("y ~ 0 + group", ["group[a]", "group[b]", "group[c]"])],
)
def test_a_formula_without_intercept_has_these_terms(formula, expected):
    data = LogisticRegression(formula).data(NUMBERS)
    assert data.coords["term"] == expected
    assert not data.inputs["has_intercept"]


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("y ~ `vote share`", ["vote share"]),
        ("y ~ `a-b` + größe", ["a-b", "größe"]),
        ("y ~ log(`vote share`)", ["log(`vote share`)"]),
        ("y ~ . - vote", ["vote share", "a-b", "größe"]),
    ],
)
def test_names_in_backticks_are_columns_as_they_are(formula, expected):
    assert terms_of(LogisticRegression(formula), NAMES) == expected


def test_values_of_terms():
    data = LogisticRegression("y ~ x*z + C(group) + I(x**2)", standardise=False).data(NUMBERS)
    columns, x = NUMBERS.columns, data.inputs["x"]
    expected = {
        "x": columns["x"],
        "z": columns["z"],
        "C(group)[T.b]": columns["group"] == "b",
        "C(group)[T.c]": columns["group"] == "c",
        "x:z": columns["x"] * columns["z"],
        "I(x ** 2)": columns["x"] ** 2,
    }
    assert set(data.coords["term"]) == set(expected)
    for position, term in enumerate(data.coords["term"]):
        assert x[:, position] == pytest.approx(expected[term].astype(float)), term


EXAMPLE = "; write it like `y ~ x1 + scale(x2) + C(g)`"
KNOWN = "; known: `y`, `x`, `z`, `plate`, `group`"
FORMULAS_REFUSED = {
    "": "model.formula: must be `outcome ~ predictors`, got ''" + EXAMPLE,
    "~ x": "model.formula: must be `outcome ~ predictors`, got '~ x'" + EXAMPLE,
    "y ~ ": "model.formula: must be `outcome ~ predictors`, got 'y ~ '" + EXAMPLE,
    "y x": "model.formula: must be `outcome ~ predictors`, got 'y x'" + EXAMPLE,
    "y ~ x ~ z": "model.formula: must be `outcome ~ predictors`, got 'y ~ x ~ z'" + EXAMPLE,
    "y ~ x | group": "model.formula: `|` has no meaning here, got 'y ~ x | group'" + EXAMPLE,
    "y + z ~ x": "model.formula: must have one outcome on the left of `~`, got 2" + EXAMPLE,
    "y ~ y + x": "model.formula: the outcome `y` is also a predictor, got 'y ~ y + x'; take it out of the right side",
    "y ~ log(y)": "model.formula: the outcome `y` is also a predictor, got 'y ~ log(y)'; take it out of the right side",
    "y ~ 0": "model.formula: has neither predictors nor an intercept; write it like `y ~ x1 + x2`",
    "y ~ plte": "model.formula: `plte` is not a column of rows.csv; did you mean `plate`?",
    "y ~ x + q": "model.formula: `q` is not a column of rows.csv" + KNOWN,
    "y ~ `no such`": "model.formula: `no such` is not a column of rows.csv" + KNOWN,
    "log(y) ~ x": "rows.csv: there is no column `log(y)`" + KNOWN,
    "q ~ x": "rows.csv: there is no column `q`" + KNOWN,
    "y ~ log(x - 1)": "rows.csv, term `log(x - 1)`, row 1: must be finite, got -inf; correct the row or the formula",
    "y ~ group + I(x * 0)": (
        "rows.csv, term `I(x * 0)`: is the same in every row, so it cannot be standardised; "
        "leave it out of the formula or set `standardise: false`"
    ),
    "x ~ z": "rows.csv, column `x`, row 2: must be 0 or 1, got 2; recode the column to 0 and 1",
    "group ~ x": "rows.csv, column `group`, row 1: must be 0 or 1, got 'b'; recode the column to 0 and 1",
}


@pytest.mark.parametrize(("formula", "sentence"), FORMULAS_REFUSED.items())
def test_a_wrong_formula_is_refused(formula, sentence):
    with pytest.raises(InputError) as refused:
        LogisticRegression(formula).data(NUMBERS)
    assert str(refused.value) == sentence


# formulaic's own words stand between ours: only the frame of the sentence is held fast
@pytest.mark.parametrize("formula", ["y ~ x +", "y ~ (x", "y ~ x z", "y ~ x**z", "y ~ 'x'", "y ~ 2*x", "y ~ x $ z"])
def test_what_the_formula_library_refuses_is_one_line(formula):
    with pytest.raises(InputError) as refused:
        LogisticRegression(formula).data(NUMBERS)
    sentence = str(refused.value)
    assert "\n" not in sentence and "\x1b" not in sentence
    assert sentence.startswith("model.formula: ") and sentence.endswith(f", got {formula!r}{EXAMPLE}")


CELLS_REFUSED = {
    "an empty number": (
        "y ~ x",
        {"y": [0, 1], "x": [1.0, np.nan]},
        "rows.csv, column `x`, row 2: must not be empty, got an empty cell or NaN; " + FILL_IN,
    ),
    "an infinite number": (
        "y ~ x",
        {"y": [0, 1], "x": [1.0, np.inf]},
        "rows.csv, column `x`, row 2: must be finite, got inf; correct the value or leave the row out",
    ),
    "a word among numbers": (
        "y ~ log(x)",
        {"y": [0, 1, 0], "x": np.array([1, "many", 3], dtype=object)},
        "rows.csv, column `x`, row 2: must be a number like the column's other rows, got 'many'; correct the value",
    ),
    "an empty label": (
        "y ~ g",
        {"y": [0, 1], "g": np.array(["a", None], dtype=object)},
        "rows.csv, column `g`, row 2: must not be empty, got an empty cell; fill the cell in or leave the row out",
    ),
    "equal numbers whose sd is a rounding": (
        "y ~ x",
        {"y": [0, 1, 0], "x": [0.1, 0.1, 0.1]},
        "rows.csv, term `x`: is the same in every row, so it cannot be standardised; "
        "leave it out of the formula or set `standardise: false`",
    ),
    "an outcome of two": (
        "y ~ x",
        {"y": [0, 2], "x": [1.0, 2.0]},
        "rows.csv, column `y`, row 2: must be 0 or 1, got 2; recode the column to 0 and 1",
    ),
}


@pytest.mark.parametrize(("formula", "columns", "sentence"), CELLS_REFUSED.values(), ids=CELLS_REFUSED)
def test_wrong_cells_are_refused_by_column_and_row(formula, columns, sentence):
    with pytest.raises(InputError) as refused:
        LogisticRegression(formula).data(table(**columns))
    assert str(refused.value) == sentence


def test_cells_of_columns_that_the_formula_leaves_out_do_not_matter():
    assert terms_of(LogisticRegression("y ~ x"), table(y=[0, 1], x=[1.0, 2.0], other=[np.nan, np.inf])) == ["x"]


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        ("worse", "rows.csv, column `y`: the event 'worse' never occurs; values there: bad, good"),
        ("Good", "rows.csv, column `y`: the event 'Good' never occurs; values there: bad, good"),
    ],
)
def test_an_event_that_never_occurs_is_refused(event, sentence):
    with pytest.raises(InputError) as refused:
        LogisticRegression("y ~ x", event=event).data(table(y=["good", "bad"], x=[1.0, 2.0]))
    assert str(refused.value) == sentence


def test_an_event_among_three_values_is_refused():
    with pytest.raises(InputError) as refused:
        LogisticRegression("y ~ x", event="a").data(table(y=["a", "b", "c"], x=[1.0, 2.0, 4.0]))
    rule = "rows.csv, column `y`: must have two values, got 3 (a, b, c)"
    assert str(refused.value) == f"{rule}; recode the column to the event and the rest"


# --- settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_unknown_settings_are_refused_and_models_are_frozen(family):
    settings = needed(family)
    with pytest.raises(ValidationError):
        family(**settings, priors="beta(1, 1)")
    model = family(**settings)
    with pytest.raises((AttributeError, ValidationError)):
        model.prior = model.prior
    assert model == family(**settings)
    assert hash(model) == hash(family(**settings))
