"""Parquet files of plain columns: numbers, booleans, text, labels stored as dictionaries; dates come as ISO text."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.csv_source import refuse_names
from models.errors import InputError


def read_parquet(data: bytes, origin: str) -> dict[str, np.ndarray]:
    """The columns by name, `(rows,)` each, None or NaN where a value is null. InputError names `origin` and column."""
    import pyarrow as pa
    import pyarrow.parquet

    if not data:
        raise InputError(origin, "is an empty file", "write the table to Parquet again")
    try:
        table = pa.parquet.ParquetFile(pa.BufferReader(data)).read()
    except (pa.ArrowException, OSError) as error:
        rule = f"cannot be read as Parquet ({one_sentence(error)})"
        raise InputError(origin, rule, "write the table to Parquet again") from error
    refuse_names([str(name) for name in table.column_names], origin)
    if not table.num_rows:
        raise InputError(origin, "has no rows", "add at least one row")
    return {name: as_column(table.column(name), f"{origin}, column `{name}`") for name in table.column_names}


def as_column(values: Any, where: str) -> np.ndarray:
    """An Arrow column as NumPy numbers or booleans, or as objects with None where it is null."""
    import pyarrow as pa

    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    types, kind = pa.types, values.type
    if types.is_decimal(kind):
        values = values.cast(pa.float64())
    elif types.is_timestamp(kind) or types.is_date(kind) or types.is_time(kind):
        values = values.cast(pa.string())
    kind = values.type
    if types.is_integer(kind) or types.is_floating(kind) or (types.is_boolean(kind) and not values.null_count):
        return values.to_numpy()
    if types.is_boolean(kind) or types.is_null(kind) or kind in (pa.string(), pa.large_string(), pa.string_view()):
        return np.array(values.to_pylist(), dtype=object)
    remedy = "store one plain column for each part" if types.is_nested(kind) else "convert it or leave it out"
    raise InputError(where, f"must hold numbers, booleans or text, got {kind}", remedy)


def one_sentence(error: Exception) -> str:
    """The first sentence of Arrow's message, without the advice that follows it."""
    return " ".join(str(error).split()).split(". ")[0].rstrip(".")
