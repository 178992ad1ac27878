"""Columns of data and the rules that they must keep, checked once, where the data enter.

A family declares the columns it takes (`Column`) and asks a `Table` for them by name and kind; whatever is wrong is
refused with file, column, row, the value found and what to do about it. Rows count from 1, the header not included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from models.errors import InputError, did_you_mean

Kind = Literal["binary", "count", "number", "category"]


class Column(NamedTuple):
    """One column that a family takes: its name in the family's own words, its kind, and what it means."""

    name: str
    kind: Kind
    about: str
    required: bool = True


@dataclass(frozen=True)
class Table:
    """Columns of equal length as they came in, and where they came from.

    columns: name -> 1-D array, numeric, boolean or object (strings; None or NaN where a cell is empty); lists and a
    pandas data frame will do.
    origin: how messages name the source, for instance `votes.csv` or `configs/coin.yaml:6: data.values`.
    names: the name of a column in its source where it differs from the name here.
    rows: how many rows a table without columns stands for.
    """

    columns: Mapping[str, np.ndarray]
    origin: str = "data"
    names: Mapping[str, str] = field(default_factory=dict)
    rows: int = 0

    def __post_init__(self) -> None:
        arrays = {str(name): np.asarray(values) for name, values in dict(self.columns).items()}
        object.__setattr__(self, "columns", arrays)
        for name, values in arrays.items():
            if values.ndim != 1 or len(values) != self.num_rows:
                rule = f"column `{name}` must have one value for each of {self.num_rows} rows, got shape {values.shape}"
                raise InputError(self.origin, rule, "give columns of one length")

    @property
    def num_rows(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else self.rows

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    @property
    def sources(self) -> list[str]:
        """The columns' names in their source."""
        return list(dict.fromkeys(self.names.get(name, name) for name in self.columns))

    def where(self, name: str, row: int | None = None) -> str:
        """`votes.csv, column `crime`, row 17` (row: position from 0)."""
        return f"{self.origin}, column `{self.names.get(name, name)}`" + ("" if row is None else f", row {row + 1}")

    def column(self, name: str) -> np.ndarray:
        """The column as it came in; a missing one is refused."""
        if name not in self.columns:
            theirs = self.names.get(name, name)
            raise InputError(self.origin, f"there is no column `{theirs}`", did_you_mean(theirs, self.sources))
        return self.columns[name]

    def refuse(self, name: str, bad: np.ndarray, rule: str, remedy: str) -> None:
        """Raise for the first row where `bad` holds; do nothing where there is none."""
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(self.where(name, row), f"{rule}, got {shown(self.columns[name][row])}", remedy)

    def number(self, name: str) -> np.ndarray:
        """A column of finite numbers, float64 `(rows,)`."""
        column = self.column(name)
        self.refuse(name, is_missing(column), "must be a number", "fill the cell in or leave the row out")
        numbers = as_numbers(column)
        self.refuse(name, np.isnan(numbers), "must be a number", "correct the value or map another column")
        self.refuse(name, np.isinf(numbers), "must be finite", "correct the value or leave the row out")
        return numbers

    def count(self, name: str) -> np.ndarray:
        """A column of whole numbers from 0, float64 `(rows,)`."""
        numbers = self.number(name)
        bad = (numbers < 0) | (numbers != np.floor(numbers))
        self.refuse(name, bad, "must be a whole number, 0 or more", "correct it")
        return numbers

    def binary(self, name: str, event: Any = None) -> np.ndarray:
        """A yes/no column as 0.0 and 1.0, float64 `(rows,)`: 0/1, true/false, or two values, `event` counting as 1."""
        column = self.column(name)
        missing = is_missing(column)
        self.refuse(name, missing, "must be 0 or 1", "fill the cell in or leave the row out")
        if event is not None:
            levels = levels_of(column)
            label, there = str(plain(event)), ", ".join(levels[:8])
            if label not in levels:
                raise InputError(self.where(name), f"the event {event!r} never occurs", f"values there: {there}")
            if len(levels) > 2:
                rule = f"must have two values, got {len(levels)} ({there})"
                raise InputError(self.where(name), rule, "recode the column to the event and the rest")
            return np.array([str(plain(value)) == label for value in column], dtype=float)
        numbers = as_numbers(column)
        self.refuse(name, ~np.isin(numbers, (0.0, 1.0)), "must be 0 or 1", "recode the column to 0 and 1")
        return numbers

    def category(self, name: str) -> tuple[np.ndarray, list[str]]:
        """A column of labels as codes, int64 `(rows,)`, and the labels: numbers by value, words by alphabet."""
        column = self.column(name)
        self.refuse(name, is_missing(column), "must have a label", "fill the cell in or leave the row out")
        levels = levels_of(column)
        codes = {label: code for code, label in enumerate(levels)}
        return np.array([codes[str(plain(value))] for value in column], dtype=np.int64), levels


def plain(value: Any) -> Any:
    """A NumPy scalar as a user would write it; whole floats as integers, so that 2.0 and 2 are one label."""
    value = value.item() if isinstance(value, np.generic) else value
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def shown(value: Any) -> str:
    """A value as a message shows it; a float column cannot tell an empty cell from NaN."""
    if value is None or value == "":
        return "an empty cell"
    return "an empty cell or NaN" if value != value else repr(plain(value))


def is_missing(column: np.ndarray) -> np.ndarray:
    """Where cells are empty: None, NaN or an empty string, bool `(rows,)`."""
    if column.dtype.kind == "f":
        return np.isnan(column)
    if column.dtype.kind in "iub":
        return np.zeros(len(column), dtype=bool)
    return np.array([value is None or value == "" or value != value for value in column], dtype=bool)


def as_numbers(column: np.ndarray) -> np.ndarray:
    """The column as float64, NaN where a value is not a number; booleans are 0 and 1, text is never a number."""
    if column.dtype.kind in "fiub":
        return column.astype(float)
    numbers = (float(value) if isinstance(value, (int, float, np.number)) else np.nan for value in column)
    return np.fromiter(numbers, dtype=float, count=len(column))


def levels_of(column: np.ndarray) -> list[str]:
    """The distinct labels of a column, numbers by value and words by alphabet."""
    values = {plain(value) for value in column if value is not None}
    numeric = all(isinstance(value, (int, float)) for value in values)
    return list(dict.fromkeys(str(value) for value in (sorted(values) if numeric else sorted(values, key=str))))
