"""Columns by kind: what a table accepts, and the one sentence with which it refuses the rest."""

from __future__ import annotations

import numpy as np
import pytest

from models.columns import Table
from models.errors import InputError


def cells(*values: object) -> np.ndarray:
    """A column as a file or a config gives it where its cells are of several types."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def table(column: np.ndarray, **names: str) -> Table:
    return Table({"x": column}, "votes.csv", names)


NUMBERS = [
    (np.array([1, 2]), [1.0, 2.0]),
    (np.array([1.5, -2.0]), [1.5, -2.0]),
    (np.array([True, False]), [1.0, 0.0]),
    (cells(1, 2.5, True), [1.0, 2.5, 1.0]),
]


@pytest.mark.parametrize(("column", "expected"), NUMBERS, ids=str)
def test_number_is_float64(column, expected):
    numbers = table(column).number("x")
    assert numbers.dtype == np.float64
    assert numbers.tolist() == expected


def test_count_takes_whole_numbers():
    assert table(np.array([0.0, 3.0])).count("x").tolist() == [0.0, 3.0]


BINARY = [
    (np.array([0, 1, 1]), None, [0.0, 1.0, 1.0]),
    (np.array([True, False]), None, [1.0, 0.0]),
    (np.array([1, 2, 2]), 2, [0.0, 1.0, 1.0]),
    (np.array([1.0, 2.0]), 2, [0.0, 1.0]),
    (np.array([True, False]), True, [1.0, 0.0]),
    (cells("yes", "no", "yes"), "yes", [1.0, 0.0, 1.0]),
    (cells("yes", "yes"), "yes", [1.0, 1.0]),
]


@pytest.mark.parametrize(("column", "event", "expected"), BINARY, ids=str)
def test_binary_counts_the_event_as_one(column, event, expected):
    outcome = table(column).binary("x", event)
    assert outcome.dtype == np.float64
    assert outcome.tolist() == expected


LEVELS = [
    (cells("pear", "apple", "fig"), ["apple", "fig", "pear"], [2, 0, 1]),
    (np.array([10, 9, 10]), ["9", "10"], [1, 0, 1]),
    (np.array([2.0, 1.5]), ["1.5", "2"], [1, 0]),
    (np.array([True, False]), ["False", "True"], [1, 0]),
    (cells("b", 10, 9), ["10", "9", "b"], [2, 0, 1]),
    (cells(1, "1"), ["1"], [0, 0]),
    (cells("größe", "名"), ["größe", "名"], [0, 1]),
]


@pytest.mark.parametrize(("column", "levels", "codes"), LEVELS, ids=str)
def test_category_orders_numbers_by_value_and_words_by_alphabet(column, levels, codes):
    found_codes, found_levels = table(column).category("x")
    assert found_levels == levels
    assert found_codes.dtype == np.int64
    assert found_codes.tolist() == codes


def test_where_names_the_column_of_the_source():
    assert table(np.array([1]), x="vote share").where("x", 0) == "votes.csv, column `vote share`, row 1"
    assert table(np.array([1])).where("x") == "votes.csv, column `x`"


NUMBER, FILL = "must be a number", "fill the cell in or leave the row out"
CORRECT = "correct the value or map another column"
REFUSED = [
    ("number", cells(1, None), f"row 2: {NUMBER}, got an empty cell; {FILL}"),
    ("number", cells(1, ""), f"row 2: {NUMBER}, got an empty cell; {FILL}"),
    ("number", np.array([1, np.nan]), f"row 2: {NUMBER}, got an empty cell or NaN; {FILL}"),
    ("number", np.array([1, np.inf]), "row 2: must be finite, got inf; correct the value or leave the row out"),
    ("number", np.array([1, -np.inf]), "row 2: must be finite, got -inf; correct the value or leave the row out"),
    ("number", cells(1, "two", 3), f"row 2: {NUMBER}, got 'two'; {CORRECT}"),
    ("number", cells("1", "2"), f"row 1: {NUMBER}, got '1'; {CORRECT}"),
    ("count", np.array([1, 2.5]), "row 2: must be a whole number, 0 or more, got 2.5; correct it"),
    ("count", np.array([-1, 2]), "row 1: must be a whole number, 0 or more, got -1; correct it"),
    ("count", np.array([1, 1e300 + 0.5, -1e300]), "row 3: must be a whole number, 0 or more, got -1e+300; correct it"),
    ("binary", np.array([0, 1, 2]), "row 3: must be 0 or 1, got 2; recode the column to 0 and 1"),
    ("binary", cells("yes", "no"), "row 1: must be 0 or 1, got 'yes'; recode the column to 0 and 1"),
    ("binary", np.array([0, np.nan]), f"row 2: must be 0 or 1, got an empty cell or NaN; {FILL}"),
    ("category", cells("a", None), f"row 2: must have a label, got an empty cell; {FILL}"),
    ("category", np.array(["a", ""]), f"row 2: must have a label, got an empty cell; {FILL}"),
]


@pytest.mark.parametrize(("kind", "column", "sentence"), REFUSED, ids=str)
def test_a_wrong_cell_is_refused_with_its_row(kind, column, sentence):
    with pytest.raises(InputError) as caught:
        getattr(table(column), kind)("x")
    assert str(caught.value) == f"votes.csv, column `x`, {sentence}"


def test_an_event_that_never_occurs_is_refused():
    with pytest.raises(InputError) as caught:
        table(cells("yes", "no")).binary("x", "maybe")
    assert str(caught.value) == "votes.csv, column `x`: the event 'maybe' never occurs; values there: no, yes"


def test_an_event_among_three_values_is_refused():
    with pytest.raises(InputError) as caught:
        table(cells("yes", "no", "maybe")).binary("x", "yes")
    assert (
        str(caught.value) == "votes.csv, column `x`: must have two values, got 3 (maybe, no, yes); "
        "recode the column to the event and the rest"
    )


def test_a_missing_column_is_refused_with_the_nearest():
    with pytest.raises(InputError) as caught:
        Table({"outcome": np.array([1])}, "votes.csv", {}).number("outcom")
    assert str(caught.value) == "votes.csv: there is no column `outcom`; did you mean `outcome`?"


def test_a_wide_table_is_not_listed_in_full():
    with pytest.raises(InputError) as caught:
        Table({f"a{n}": np.array([1]) for n in range(200)}, "wide.csv", {}).number("outcome")
    assert str(caught.value).endswith("`a18`, `a19` and 180 more")
