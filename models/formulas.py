"""Formulas (`y ~ x1 + scale(x2) + C(g)`) through formulaic, with every fault named by column and row.

A formula is code of the user's, as in R: formulaic evaluates the functions it names.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from models.columns import Table, as_numbers, is_missing, plain
from models.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from formulaic.formula import StructuredFormula

WHERE = "model.formula"
EXAMPLE = "write it like `y ~ x1 + scale(x2) + C(g)`"


class Spec(NamedTuple):
    """What fitted rows leave behind for new ones: formulaic's encoding (levels, centres, knots), the columns that it
    reads, and those of them that hold labels."""

    encoding: Any
    columns: list[str]
    labels: frozenset[str]


class Design(NamedTuple):
    """The right side of a formula: names of its columns, float64 `(rows, terms)`, whether it has an intercept (not a
    column), and what `rows_of` needs to apply it to new rows."""

    terms: list[str]
    matrix: np.ndarray
    intercept: bool
    spec: Spec


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
    columns = {name: checked(table, name) for name in used}
    frame = pandas.DataFrame(columns, index=range(table.num_rows))
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
    intercept, names, values = finite(matrix, table)
    labels = frozenset(name for name, column in columns.items() if column.dtype.kind != "f")
    # labels that are whole numbers are counted, not measured: `C(plate)[T.10]` rather than `C(plate)[T.10.0]`
    terms = [re.sub(r"(\[(?:[A-Z]\.)?-?\d+)\.0\]", r"\1]", name) for name in names]
    return Design(terms, values, intercept, Spec(matrix.model_spec, used, labels))


def rows_of(design: Design, table: Table) -> np.ndarray:
    """The fitted formula at new rows, `(rows, terms)` in the order of `design.terms`: levels, centres, scales and knots
    are those of the fitted rows. InputError names column and row of a level that they do not have."""
    import pandas
    from formulaic.errors import DataMismatchWarning, FormulaicError

    encoding, used, labels = design.spec
    columns = {name: words(table, name) if name in labels else table.number(name) for name in used}
    for factor, (_, state) in encoding.encoder_state.items():
        for name in used:
            if "categories" in state and re.fullmatch(rf"(C\(\s*)?`?{re.escape(name)}`?(\s*[,)].*)?", factor):
                refuse_unseen(table, name, columns[name], state["categories"])
    frame = pandas.DataFrame(columns, index=range(table.num_rows))
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("error", DataMismatchWarning)
            matrix = encoding.get_model_matrix(frame, context={}, na_action="ignore")
    except DataMismatchWarning as error:
        made = re.findall(r"(?:np\.\w+\()?([^(){}]+)\)?", str(error).partition("{")[2].partition("}")[0])
        rule = f"the formula makes a level that the fitted rows do not have, got {''.join(made)}"
        raise InputError(table.origin, rule, "leave such rows out") from error
    except (FormulaicError, ValueError, TypeError) as error:
        raise InputError(table.origin, sentence(error), "give rows like those that were fitted") from error
    return finite(matrix, table)[2]


def refuse_unseen(table: Table, name: str, column: np.ndarray, levels: Any) -> None:
    """Refuse the first row whose label is none of `levels`."""
    known = [str(plain(level)) for level in levels]
    bad = np.array([str(plain(value)) not in known for value in column], dtype=bool)
    more = f" and {len(known) - 8} more" if len(known) > 8 else ""
    table.refuse(name, bad, "is not a level of the fitted rows", f"they have {', '.join(known[:8])}{more}")


def finite(matrix: Any, table: Table) -> tuple[bool, list[str], np.ndarray]:
    """A model matrix as whether it has an intercept, the names of the other columns, and their values `(rows, terms)`;
    what is not finite is refused with term and row."""
    intercept = "Intercept" in matrix.columns
    columns = matrix.drop(columns="Intercept") if intercept else matrix
    values = columns.to_numpy(dtype=float)
    names = [str(name) for name in columns.columns]
    for position, term in enumerate(names):
        bad = ~np.isfinite(values[:, position])
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(
                f"{table.origin}, term `{term}`, row {row + 1}",
                f"must be finite, got {values[row, position]}",
                "correct the row or the formula",
            )
    return intercept, names, values


def standardised(found: Design, table: Table, wanted: bool) -> dict[str, Any]:
    """What a regression takes of a design: `x (rows, terms)` less `mean` over `sd`, both `(terms,)`, and
    `has_intercept`; mean 0 and sd 1 where standardising is not wanted. InputError names a term without variation."""
    terms, x, has_intercept, _ = found
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


def words(table: Table, name: str) -> np.ndarray:
    """A column of labels as text, object `(rows,)`; empty cells are refused."""
    column = table.column(name)
    table.refuse(name, is_missing(column), "must not be empty", "fill the cell in or leave the row out")
    return np.array([str(plain(value)) for value in column], dtype=object)


def sentence(error: Exception) -> str:
    """The first line of a library's message, without colour codes and full stop."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().split("\n")[0]
    return text.rstrip(".") or type(error).__name__
