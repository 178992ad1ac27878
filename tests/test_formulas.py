"""Formulas at new rows: levels, centres, scales and knots are those of the fitted rows; varying effects and groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import table

from models import InputError, Table
from models.correlated_effects import correlations
from models.formulas import design, rows_of
from models.groups import Term, apply, effects_of, grouped, in_order, split, summed

ROWS = Table(
    {
        "y": np.array([0, 1, 0, 1, 1]),
        "x": np.array([1.0, 2.0, 4.0, 7.0, 11.0]),
        "g": np.array(["a", "b", "a", "c", "b"], dtype=object),
        "plate": np.array([10, 9, 10, 11, 9]),
        "vote share": np.array([0.1, 0.5, 0.3, 0.2, 0.9]),
        "yes": np.array([True, False, True, True, False]),
    },
    "fitted.csv",
)


def part(rows: Table, *chosen: int, **changed: Any) -> Table:
    """Some rows as another file without the outcome, with some columns changed."""
    columns = {name: values[list(chosen)] for name, values in rows.columns.items() if name != "y"}
    own = {name: np.asarray(values, dtype=object) for name, values in changed.items()}
    return Table({**columns, **own}, "new.csv")


# --- new rows -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x",
        "y ~ 0 + x",
        "y ~ 1",
        "y ~ .",
        "y ~ scale(x) + center(x)",
        "y ~ g",
        "y ~ 0 + g",
        "y ~ C(plate)",
        "y ~ C(g, contr.sum)",
        "y ~ C(g, contr.treatment('b'))",
        "y ~ x:g + g",
        "y ~ scale(x) * C(plate)",
        "y ~ log(x) + poly(x, 2)",
        "y ~ bs(x, df=4)",
        "y ~ `vote share` + yes",
        "y ~ x + x**2",
    ],
)
def test_fitted_rows_come_back_one_by_one(formula):
    """What depends on all fitted rows (a mean, levels, knots) does not depend on which rows are asked for."""
    found = design(formula, ROWS)
    assert np.array_equal(rows_of(found, ROWS), found.matrix)
    for chosen in ([3, 1], [2], [4, 4, 0]):
        assert rows_of(found, part(ROWS, *chosen)) == pytest.approx(found.matrix[chosen], abs=1e-12)


def test_the_mean_and_scale_are_the_fitted_rows():
    found = design("y ~ scale(x) + g", ROWS)
    new = part(ROWS, 0, 1, x=[5.0, 9.062019202317980], g=["c", "a"])
    assert found.terms == ["scale(x)", "g[T.b]", "g[T.c]"]
    # the fitted x have mean 5 and (ddof 1) standard deviation 4.0620192
    assert rows_of(found, new) == pytest.approx(np.array([[0.0, 0, 1], [1.0, 0, 0]]), abs=1e-12)


NEW_REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "an unseen level": (
        "y ~ g",
        {"g": ["a", "z"]},
        "new.csv, column `g`, row 2: is not a level of the fitted rows, got 'z'; they have a, b, c",
    ),
    "an unseen number as a level": (
        "y ~ x + C(plate)",
        {"plate": [8, 9]},
        "new.csv, column `plate`, row 1: is not a level of the fitted rows, got 8; they have 9, 10, 11",
    ),
    "a level in a product": (
        "y ~ x:g",
        {"g": ["q", "a"]},
        "new.csv, column `g`, row 1: is not a level of the fitted rows, got 'q'; they have a, b, c",
    ),
    "words for numbers": (
        "y ~ `vote share`",
        {"vote share": [0.5, "half"]},
        "new.csv, column `vote share`, row 2: must be a number, got 'half'; correct the value or map another column",
    ),
    "numbers for words": (
        "y ~ g",
        {"g": [1, 2]},
        "new.csv, column `g`, row 1: is not a level of the fitted rows, got 1; they have a, b, c",
    ),
    "an empty level": (
        "y ~ g",
        {"g": ["a", None]},
        "new.csv, column `g`, row 2: must not be empty, got an empty cell; fill the cell in or leave the row out",
    ),
    "an empty number": (
        "y ~ x",
        {"x": [None, 1.0]},
        "new.csv, column `x`, row 1: must be a number, got an empty cell; fill the cell in or leave the row out",
    ),
    "the logarithm of nothing": (
        "y ~ log(x)",
        {"x": [1.0, 0.0]},
        "new.csv, term `log(x)`, row 2: must be finite, got -inf; correct the row or the formula",
    ),
}


@pytest.mark.parametrize(("formula", "changed", "sentence"), NEW_REFUSED.values(), ids=NEW_REFUSED)
def test_new_rows_are_refused_by_column_and_row(formula, changed, sentence):
    with pytest.raises(InputError) as refused:
        rows_of(design(formula, ROWS), part(ROWS, 0, 1, **changed))
    assert str(refused.value) == sentence


def test_a_missing_column_is_named():
    with pytest.raises(InputError) as refused:
        rows_of(design("y ~ x + g", ROWS), Table({"x": np.ones(2)}, "new.csv"))
    assert str(refused.value) == "new.csv: there is no column `g`; known: `x`"


def test_values_beyond_the_knots_are_refused_in_one_line():
    with pytest.raises(InputError) as refused:
        rows_of(design("y ~ bs(x, df=4)", ROWS), part(ROWS, 0, x=[12.0]))
    sentence = str(refused.value)
    assert sentence.startswith("new.csv: ") and "beyond upper" in sentence and "\n" not in sentence


def test_an_unseen_level_of_computed_labels_is_refused_in_one_line():
    """Labels that are not a column's own values have no column to name: the formula library finds them."""
    found = design("y ~ C(x // 4)", ROWS)
    assert found.terms == ["C(x // 4)[T.1]", "C(x // 4)[T.2]"]
    with pytest.raises(InputError) as refused:
        rows_of(found, part(ROWS, 0, 1, x=[2.0, 17.0]))
    rule = "new.csv: the formula makes a level that the fitted rows do not have, got 4.0"
    assert str(refused.value) == f"{rule}; leave such rows out"


# --- varying effects ----------------------------------------------------------------------------------------------

SPLITS = {
    "y ~ x + (1 | g)": ("y ~ x", [Term("1", ("g",))]),
    "y ~ (1 + x | g)": ("y ~ 1", [Term("1 + x", ("g",))]),
    "y ~ 0 + (0 + x||g) + z": ("y ~ 0 + z", [Term("0 + x", ("g",), False)]),
    "y ~ x + (1 | a:b)": ("y ~ x", [Term("1", ("a", "b"))]),
    "y ~ x + (1 | a/b)": ("y ~ x", [Term("1", ("a",)), Term("1", ("a", "b"))]),
    "y ~ (log(x + 1) | `a b`) + log(x + 1)": ("y ~ log(x + 1)", [Term("log(x + 1)", ("a b",))]),
    "`y+1` ~ `a + (b` + (1|g) + (1|h)": ("`y+1` ~ `a + (b`", [Term("1", ("g",)), Term("1", ("h",))]),
    # no varying effects: as it was
    "y ~ x*(a+b)": ("y ~ x*(a+b)", []),
    "y ~ x | g": ("y ~ x | g", []),
    "y ~ x - (1 | g)": ("y ~ x - (1 | g)", []),
}


@pytest.mark.parametrize(("formula", "expected"), SPLITS.items())
def test_a_formula_is_split(formula, expected):
    assert split(formula) == expected


@pytest.mark.parametrize("formula", ["y ~ (1 | )", "y ~ ( | g)", "y ~ x + (1 | g + h)", "y ~ (1 | log(g))"])
def test_what_is_no_group_is_refused(formula):
    with pytest.raises(InputError) as refused:
        split(formula)
    rule = f"model.formula: must have effects left of `|` and a column of groups right of it, got {formula!r}"
    assert str(refused.value) == f"{rule}; write it like `(1 + x | g)`, `(1 | a:b)` or `(1 | a/b)`"


def test_labels_are_in_the_order_of_people():
    assert sorted(["10", "9", "-1.5", "b:2", "b:10", "a"], key=in_order) == ["-1.5", "9", "10", "a", "b:2", "b:10"]


def test_members_are_one_for_each_effect_and_group():
    found = grouped([Term("1 + x", ("plate",)), Term("0 + g", ("yes",))], "y", ROWS, standardise=False)
    assert found.effects == ["plate", "x | plate", "g[a] | yes", "g[b] | yes", "g[c] | yes"]
    assert found.members[:6] == [*(f"plate={p}" for p in (9, 10, 11)), *(f"x | plate={p}" for p in (9, 10, 11))]
    assert found.members[6:8] == ["g[a] | yes=False", "g[a] | yes=True"]
    assert found.rows.effect_of.tolist() == [0] * 3 + [1] * 3 + [2] * 2 + [3] * 2 + [4] * 2
    # by hand: what each row adds up
    b = np.random.default_rng(1).normal(size=(3, len(found.members)))
    of = {name: b[:, place] for place, name in enumerate(found.members)}
    for n in range(5):
        x, g, plate, yes = (ROWS.columns[name][n] for name in ("x", "g", "plate", "yes"))
        expected = of[f"plate={plate}"] + x * of[f"x | plate={plate}"] + of[f"g[{g}] | yes={yes}"]
        assert summed(found.rows, b)[:, n] == pytest.approx(expected, abs=1e-12)


def test_new_rows_keep_their_groups_and_unseen_ones_come_from_the_population():
    found = grouped([Term("1 + x", ("plate",)), Term("1", ("g", "yes"))], "y", ROWS, standardise=True)
    again = apply(found, part(ROWS, 4, 0))
    assert np.array_equal(again.member, found.rows.member[[4, 0]]) and again.x == pytest.approx(found.rows.x[[4, 0]])
    assert np.array_equal(again.effect_of, found.rows.effect_of)
    new = apply(found, part(ROWS, 0, 1, 2, plate=[77, 9, 77]))
    known = len(found.members)
    # one new plate, which has an intercept and a slope; the other groups are known
    assert new.effect_of[known:].tolist() == [0, 1]
    assert new.member[:, :2].tolist() == [[known, known + 1], [0, 3], [known, known + 1]]
    rng = np.random.default_rng(2)
    draws = {
        "group_z": rng.normal(size=(40_000, known)),
        "group_sd": np.tile([0.5, 2.0, 1.0], (40_000, 1)),
        "group_partial": np.full((40_000, 1), 0.8),  # a correlation of 0.6
    }
    b = effects_of(draws, new)
    assert np.array_equal(b, effects_of(draws, new)), "the same draws at every call"
    assert b[:, :known] == pytest.approx(effects_of(draws, found.rows))
    # a sample sd of n normal draws has an error of sd / sqrt(2 n), a correlation r one of (1 - r^2) / sqrt(n)
    assert b[:, known:].std(axis=0) == pytest.approx([0.5, 2.0], rel=4 / np.sqrt(80_000))
    assert np.corrcoef(b[:, known:].T)[0, 1] == pytest.approx(0.6, abs=4 * 0.64 / np.sqrt(40_000))


CORRELATED = [Term("1 + x", ("yes",)), Term("1 + x + z", ("g",)), Term("x", ("plate",), False), Term("1", ("h",))]


def test_correlated_effects_are_a_factor_times_scores():
    """Group by group with explicit matrices: two correlated effects, three, two independent ones, and one alone."""
    rng = np.random.default_rng(3)
    rows = Table({**ROWS.columns, "z": rng.normal(size=5), "h": np.array(list("uvuvu"), dtype=object)}, "rows.csv")
    found = grouped(CORRELATED, "y", rows, standardise=False)
    pairs = found.rows.pairs
    assert pairs is not None
    assert pairs.names == ["yes, x | yes", "g, x | g", "g, z | g", "x | g, z | g"]
    assert pairs.shape.tolist() == [0.0, 0.5, 0.5, 0.0]
    draws = {
        "group_z": rng.normal(size=(4, len(found.members))),
        "group_sd": rng.gamma(2, size=(4, len(found.effects))),
        "group_partial": rng.uniform(size=(4, 4)),
    }
    b, together = effects_of(draws, found.rows), correlations(draws, pairs)
    for draw in range(4):
        z = dict(zip(found.members, draws["group_z"][draw], strict=True))
        sd = dict(zip(found.effects, draws["group_sd"][draw], strict=True))
        own = dict(zip(found.members, b[draw], strict=True))
        p, q, r, s = 2 * draws["group_partial"][draw] - 1
        two = np.array([[1, 0], [p, np.sqrt(1 - p**2)]])
        three = np.array(
            [
                [1, 0, 0],
                [q, np.sqrt(1 - q**2), 0],
                [r, s * np.sqrt(1 - r**2), np.sqrt((1 - r**2) * (1 - s**2))],
            ]
        )
        for name, factor, labels in (("yes", two, ("False", "True")), ("g", three, "abc")):
            effects = [name, f"x | {name}", f"z | {name}"][: len(factor)]
            for label in labels:
                expected = factor @ [z[f"{effect}={label}"] for effect in effects]
                for effect, value in zip(effects, expected, strict=True):
                    assert own[f"{effect}={label}"] == pytest.approx(sd[effect] * value, abs=1e-12)
        for member in (f"x | plate={plate}" for plate in (9, 10, 11)):
            assert own[member] == pytest.approx(sd["x | plate"] * z[member])
        assert own["h=u"] == pytest.approx(sd["h"] * z["h=u"])
        matrix = three @ three.T
        assert np.diag(matrix) == pytest.approx(np.ones(3))
        assert together[draw] == pytest.approx([p, matrix[1, 0], matrix[2, 0], matrix[2, 1]])


@pytest.mark.parametrize("eta", [0.7, 1.0, 4.0])
def test_correlations_have_the_lkj_prior(eta):
    """Under LKJ(eta) of size E each correlation is 2 Beta(a, a) - 1 with a = eta + E / 2 - 1, and E[det R] is known."""
    rows = Table({**ROWS.columns, "z": np.arange(5.0), "w": np.ones(5) + ROWS.columns["x"] ** 2}, "rows.csv")
    found = grouped([Term("1 + x + z + w", ("yes",))], "y", rows, standardise=False)
    pairs, count = found.rows.pairs, 60_000
    assert pairs is not None and len(pairs.names) == 6
    draws = {"group_partial": np.random.default_rng(7).beta(eta + pairs.shape, eta + pairs.shape, (count, 6))}
    squares = correlations(draws, pairs) ** 2
    a = eta + 1
    assert squares.mean(axis=0) == pytest.approx(1 / (2 * a + 1), abs=4 * squares.std(axis=0).max() / np.sqrt(count))
    # det R is the product of 1 - r^2 over all partial correlations; R has density det^(eta - 1)
    b = eta + pairs.shape
    r = 2 * draws["group_partial"] - 1
    determinants = np.linalg.det(full(correlations(draws, pairs)))
    assert determinants == pytest.approx((1 - r**2).prod(axis=1), abs=1e-9)
    expected = (2 * b / (2 * b + 1)).prod()
    assert determinants.mean() == pytest.approx(expected, abs=4 * determinants.std() / np.sqrt(count))


def full(correlations: np.ndarray) -> np.ndarray:
    """Six correlations `(draws, 6)` as matrices `(draws, 4, 4)`, in the order of the lower triangle's rows."""
    matrix = np.tile(np.eye(4), (len(correlations), 1, 1))
    for place, (e, k) in enumerate([(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]):
        matrix[:, e, k] = matrix[:, k, e] = correlations[:, place]
    return matrix


def test_slopes_are_standardised_like_predictors():
    found = grouped([Term("1 + x", ("g",))], "y", ROWS, standardise=True).rows
    x = ROWS.columns["x"]
    assert found.x == pytest.approx(np.column_stack([np.ones(5), (x - x.mean()) / x.std()]))


GROUPS_REFUSED = {
    "one group": (
        [Term("1", ("h",))],
        "rows.csv, column `h`: has one label alone, 'u', so nothing varies over it; "
        "leave the varying effect out of the formula",
    ),
    "an empty group": (
        [Term("1", ("k",))],
        "rows.csv, column `k`, row 2: must have a label, got an empty cell; fill the cell in or leave the row out",
    ),
    "an unknown group": ([Term("1", ("gg",))], "rows.csv: there is no column `gg`; did you mean `g`?"),
    "the outcome": (
        [Term("1", ("y",))],
        "model.formula: the outcome `y` is also a column of groups; group by another column",
    ),
    "nothing that varies": (
        [Term("0", ("g",))],
        "model.formula: nothing varies in `(0 | g)`; write it like `y ~ x1 + scale(x2) + C(g)`",
    ),
    "an effect twice": (
        [Term("1 + x", ("g",)), Term("0 + x", ("g",))],
        "model.formula: the effect `x | g` varies twice over the same groups; name it in one term",
    ),
}


@pytest.mark.parametrize(("terms", "sentence"), GROUPS_REFUSED.values(), ids=GROUPS_REFUSED)
def test_wrong_groups_are_refused(terms, sentence):
    rows = table(y=[0, 1, 1], x=[1.0, 2.0, 4.0], g=["a", "b", "a"], h=["u", "u", "u"])
    rows = Table({**rows.columns, "k": np.array(["a", None, "b"], dtype=object)}, "rows.csv")
    with pytest.raises(InputError) as refused:
        grouped(terms, "y", rows, standardise=False)
    assert str(refused.value) == sentence
