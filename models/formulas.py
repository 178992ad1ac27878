"""Formulas (`y ~ x1 + scale(x2) + C(g)`) through formulaic, with every fault named by column and row.

A formula is code of the user's, as in R: formulaic evaluates the functions it names.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from models.columns import Table, as_numbers, is_missing
from models.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from formulaic.formula import StructuredFormula

WHERE = "model.formula"
EXAMPLE = "write it like `y ~ x1 + scale(x2) + C(g)`"


class Design(NamedTuple):
    """The right side of a formula: names of its columns, float64 `(rows, terms)`, and whether it has an intercept
    (not a column)."""

    terms: list[str]
    matrix: np.ndarray
    intercept: bool


def parse(formula: str, table: Table) -> StructuredFormula:
    """The formula's two sides; `.` on the right stands for every column that the left does not name."""
    from formulaic import Formula
    from formulaic.errors import FormulaicError

    sides = formula.split("~")
    if len(sides) != 2 or not all(side.strip() for side in sides):
        raise InputError(WHERE, f"must be `outcome ~ predictors`, got {formula!r}", EXAMPLE)
    try:
        parsed = Formula.from_spec(formula, context={"__formulaic_variables_available__": list(table.columns)})
    except (FormulaicError, SyntaxError) as error:
        raise InputError(WHERE, f"{sentence(error)}, got {formula!r}", EXAMPLE) from error
    # formulaic gives a bare tuple of formulas where a side has parts (`y ~ x | g`)
    if isinstance(parsed.rhs, tuple) or isinstance(parsed.lhs, tuple):
        raise InputError(WHERE, f"`|` has no meaning here, got {formula!r}", EXAMPLE)
    return parsed


def outcome(formula: str, table: Table) -> str:
    """The name on the left side, which must be one column as it is; whether the table has it, `Table` asks."""
    left = [str(term) for term in parse(formula, table).lhs]
    if len(left) != 1:
        raise InputError(WHERE, f"must have one outcome on the left of `~`, got {len(left)}", EXAMPLE)
    return left[0].strip("`")


def design(formula: str, table: Table) -> Design:
    """The predictors as numbers; labels become indicator columns, the first level (by order) being the reference."""
    import pandas
    from formulaic.errors import FormulaicError

    right = parse(formula, table).rhs
    left = outcome(formula, table)
    used = used_columns({factor.expr for term in right for factor in term.factors}, table)
    if left in used:
        raise InputError(
            WHERE, f"the outcome `{left}` is also a predictor, got {formula!r}", "take it out of the right side"
        )
    frame = pandas.DataFrame({name: checked(table, name) for name in used}, index=range(table.num_rows))
    try:
        # what is not finite is refused below, with its row
        with np.errstate(all="ignore"):
            matrix = right.get_model_matrix(frame, context={}, na_action="ignore")
    except (FormulaicError, ValueError, TypeError, SyntaxError) as error:
        unknown = re.search(r"name '(\w+)' is not defined|`([^`]+)` is not present", str(error))
        if unknown is not None:
            name = unknown[1] or unknown[2]
            called = unknown[1] is not None and f"{name}(" in formula.replace(" ", "")
            rule = "not a function of formulas" if called else f"not a column of {table.origin}"
            remedy = (
                "there are `scale`, `C`, `log`, `exp`, `bs`, `poly`" if called else did_you_mean(name, table.columns)
            )
            raise InputError(WHERE, f"`{name}` is {rule}", remedy) from error
        raise InputError(WHERE, f"{sentence(error)}, got {formula!r}", EXAMPLE) from error
    intercept = "Intercept" in matrix.columns
    columns = matrix.drop(columns="Intercept") if intercept else matrix
    values = columns.to_numpy(dtype=float)
    for position, term in enumerate(columns.columns):
        bad = ~np.isfinite(values[:, position])
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(
                f"{table.origin}, term `{term}`, row {row + 1}",
                f"must be finite, got {values[row, position]}",
                "correct the row or the formula",
            )
    # labels that are whole numbers are counted, not measured: `C(plate)[T.10]` rather than `C(plate)[T.10.0]`
    terms = [re.sub(r"(\[(?:[A-Z]\.)?-?\d+)\.0\]", r"\1]", str(name)) for name in columns.columns]
    return Design(terms, values, intercept)


def standardised(found: Design, table: Table, wanted: bool) -> dict[str, Any]:
    """What a regression takes of a design: `x (rows, terms)` less `mean` over `sd`, both `(terms,)`, and
    `has_intercept`; mean 0 and sd 1 where standardising is not wanted. InputError names a term without variation."""
    terms, x, has_intercept = found
    mean, sd = np.zeros(len(terms)), np.ones(len(terms))
    if wanted:
        sd = x.std(axis=0)
        # the range, since the sd of equal numbers may be off zero by a rounding
        for term, spread in zip(terms, np.ptp(x, axis=0), strict=True):
            if spread == 0:
                raise InputError(
                    f"{table.origin}, term `{term}`",
                    "is the same in every row, so it cannot be standardised",
                    "leave it out of the formula or set `standardise: false`",
                )
        # without an intercept, taking the mean off would smuggle one in
        mean = x.mean(axis=0) if has_intercept else mean
    return {"x": (x - mean) / sd, "mean": mean, "sd": sd, "has_intercept": has_intercept}


def used_columns(expressions: set[str], table: Table) -> list[str]:
    """The table's columns that a formula's factors name; `vote share` is one name, `log(x)` has two."""
    names: set[str] = set()
    for expression in expressions:
        inside = re.findall(r"`([^`]+)`|([^\W\d]\w*)", expression)
        names |= {expression} if expression in table else {quoted or bare for quoted, bare in inside}
    return [name for name in table.columns if name in names]


def checked(table: Table, name: str) -> np.ndarray:
    """A predictor: all numbers, or all labels; empty cells and infinities are refused."""
    column = table.column(name)
    missing = is_missing(column)
    table.refuse(name, missing, "must not be empty", "fill the cell in or leave the row out")
    numeric = ~np.isnan(as_numbers(column))
    if numeric.any():
        table.refuse(name, ~numeric, "must be a number like the column's other rows", "correct the value")
        return table.number(name)
    return column.astype(str)


def sentence(error: Exception) -> str:
    """The first line of a library's message, without colour codes and full stop."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().split("\n")[0]
    return text.rstrip(".") or type(error).__name__
