"""Features of several kinds as arrays, with what is missing marked: `Features(values (rows, K), there (rows, K))`.

A missing cell holds 0 in `values`, and nothing may depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from models.columns import Table, as_numbers, is_missing, levels_of, plain
from models.errors import InputError, did_you_mean

Kind = Literal["binary", "category", "count", "number"]


class Features(NamedTuple):
    """Columns of one kind: values and where they are there, `(rows, columns)`."""

    values: np.ndarray
    there: np.ndarray


def kinds_of(
    table: Table, named: Mapping[Kind, tuple[str, ...]], label: str, event: Any
) -> dict[Kind, tuple[str, ...]]:
    """The columns of every kind: those that are named, or every column but the label where none is."""
    kinds = dict(named)
    if any(named.values()):
        seen: dict[str, str] = {label: "label"}
        for kind, names in named.items():
            for name in names:
                if name in seen:
                    rule = f"column `{name}` is already {'the label' if name == label else f'under `{seen[name]}`'}"
                    raise InputError(f"model.{kind}", rule, "name every column once")
                if name not in table:
                    rule = f"`{name}` is not a column of {table.origin}"
                    raise InputError(f"model.{kind}", rule, did_you_mean(name, table.columns))
                seen[name] = kind
    else:
        # a column that has been given another name is there under both
        others = [name for name in table.columns if name != label and name not in table.names.values()]
        found = {name: kind_of(table, name, event) for name in others}
        kinds = {kind: tuple(name for name in others if found[name] == kind) for kind in named}
        if not others:
            raise InputError(table.origin, "has no column but the label", "add a feature")
    for names in kinds.values():
        for name in names:
            if is_missing(table.column(name)).all():
                raise InputError(table.where(name), "has no value in any row", "leave the column out")
    if len(kinds["count"]) == 1:
        rule = f"needs two columns or more, got `{kinds['count'][0]}` alone"
        raise InputError("model.count", rule, "take a column as `number`, or count what else there was")
    return kinds


def kind_of(table: Table, name: str, event: Any) -> Kind:
    """What a column looks like: 0/1, true/false or the event and one other label; numbers; labels."""
    column = table.column(name)
    there = column[~is_missing(column)]
    numbers = as_numbers(there)
    if len(there) and np.isin(numbers, (0.0, 1.0)).all():
        return "binary"
    if not np.isnan(numbers).any():
        return "number"
    levels = levels_of(there)
    return "binary" if event is not None and str(plain(event)) in levels and len(levels) <= 2 else "category"


def cells(table: Table, kind: str, columns: Sequence[str], event: Any = None) -> Features:
    """Binary columns, counts or numbers as float64; InputError names column and row of what is neither right nor
    missing. Counts are missing for a row as a whole."""
    there = np.column_stack([~is_missing(table.column(name)) for name in columns])
    if kind == "count":
        for name, own in zip(columns, there.T, strict=True):
            rule = "a count must be there where other counts of the row are"
            table.refuse(name, ~own & there.any(axis=1), rule, "fill the cell in or empty all counts of the row")
    values = np.column_stack([one(table, kind, name, event) for name in columns])
    return Features(np.where(there, values, 0.0), there)


def one(table: Table, kind: str, name: str, event: Any) -> np.ndarray:
    """One column, float64 `(rows,)`, checked where it is there and 0 elsewhere."""
    column = table.column(name)
    missing = is_missing(column)
    if kind == "binary" and event is not None and np.isnan(as_numbers(column[~missing])).any():
        labels = np.array([str(plain(value)) for value in column], dtype=object)
        ones = ~missing & (labels == str(plain(event)))
        rest = sorted(set(labels[~missing & ~ones]))
        if len(rest) > 1:
            bad = ~missing & ~ones & (labels != rest[0])
            table.refuse(name, bad, f"must be {event!r} or one other label ({rest[0]!r})", "name it under `category`")
        return ones.astype(float)
    filled = column.copy()
    filled[missing] = 0
    whole = Table({name: filled}, table.origin, table.names)
    if kind == "binary":
        return whole.binary(name)
    return whole.count(name) if kind == "count" else whole.number(name)


def labels_in(table: Table, columns: Sequence[str]) -> list[list[str]]:
    """The labels of every column, numbers by value and words by alphabet; a column needs two."""
    found = []
    for name in columns:
        column = table.column(name)
        levels = levels_of(column[~is_missing(column)])
        if len(levels) < 2:
            raise InputError(table.where(name), f"has one label in every row (`{levels[0]}`)", "leave the column out")
        found.append(levels)
    return found


def codes(table: Table, columns: Sequence[str], labels: Sequence[Sequence[str]]) -> Features:
    """Columns of labels as positions among `labels`, int64; a label that is not among them counts as missing."""
    values = np.zeros((table.num_rows, len(columns)), dtype=np.int64)
    there = np.zeros((table.num_rows, len(columns)), dtype=bool)
    for i, (name, levels) in enumerate(zip(columns, labels, strict=True)):
        known = {label: code for code, label in enumerate(levels)}
        column = table.column(name)
        found = [known.get(str(plain(value)), -1) for value in column]
        there[:, i] = ~is_missing(column) & (np.array(found) >= 0)
        values[:, i] = np.where(there[:, i], found, 0)
    return Features(values, there)


def about(found: Mapping[str, Features]) -> dict[str, np.ndarray]:
    """What the program needs to know of some rows' features: totals of counts, and which cells are there."""
    parts = {f"has_{kind}": own.there for kind, own in found.items() if kind != "count" and not own.there.all()}
    return parts | ({"total": found["count"].values.sum(axis=1)} if "count" in found else {})


def spread(table: Table, columns: tuple[str, ...], raw: Features) -> dict[str, np.ndarray]:
    """Mean and population standard deviation of every numeric column over the cells that are there."""
    values = np.where(raw.there, raw.values, np.nan)
    for i, name in enumerate(columns):
        if np.ptp(values[raw.there[:, i], i]) == 0:
            raise InputError(
                table.where(name), "is the same number in every row, so it has no scale", "leave the column out"
            )
    return {"mean": np.nanmean(values, axis=0), "sd": np.nanstd(values, axis=0)}
