"""CSV as people write it: UTF-8, a header, one row a line, quotes around cells that hold separators or line breaks.

pandas reads it; what pandas would let pass in silence (a row with too few cells, a column named twice, the wrong
separator) is refused here with its row. Rows count from 1, header and blank lines not included.

A column is numeric where every cell is a number; there an empty cell, `nan`, `NaN`, `NA` and `null` are missing. In any
other column only the empty cell is missing, so that `NA` can be a label. Digits are a number: `007` is 7. Where most
cells are numbers, but not all, those become numbers among text, so that the others can be pointed at.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from models.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
NO_NUMBER = ["", "nan", "NaN", "NA", "null"]


def read_csv(data: bytes, origin: str, separator: str = ",") -> dict[str, np.ndarray]:
    """The columns by name, `(rows,)` each: numbers and booleans as such, the rest as objects with None where empty.

    InputError names `origin` (the file) and the row for anything that is not such a table.
    """
    data = as_text(data, origin)
    names = header(data, origin, separator)
    frame = parse(data, origin, separator, names, na_values=NO_NUMBER)
    if frame.iloc[:, -1].isna().any():
        refuse_ragged(data, origin, separator, len(names))
    columns = {name: as_column(frame[name]) for name in names}
    texts = [name for name, column in columns.items() if column.dtype == object and any(map(is_text, column))]
    if texts:
        frame = parse(data, origin, separator, names, na_values=[""], dtype=str, usecols=texts)
        columns |= {name: as_text_column(frame[name]) for name in texts}
    return columns


def as_text(data: bytes, origin: str) -> bytes:
    """The bytes without byte order mark and outer blank lines, known to be UTF-8."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(origin, "must be UTF-8 text, got UTF-16", "save it as CSV UTF-8")
    if b"\0" in data:
        remedy = "save the table as CSV, or as Parquet with the ending .parquet"
        raise InputError(origin, "must be text, got a binary file", remedy)
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        rule = f"must be UTF-8 text, got byte 0x{data[error.start]:02x}"
        raise InputError(f"{origin}, line {line}", rule, "save it as CSV UTF-8") from error
    data = data.removeprefix(b"\xef\xbb\xbf").strip(b"\r\n")
    if not data.strip():
        raise InputError(origin, "is an empty file", "write a header line and at least one row")
    return data


def records(data: bytes, origin: str, separator: str) -> Iterator[list[str]]:
    """The cells of one row after the other, header first; blank lines are left out unless there is only one column."""
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8", newline="")
    lines = csv.reader(text, delimiter=separator, skipinitialspace=True)
    try:
        width = 0
        for record in lines:
            width = width or len(record)
            if width == 1:
                yield record or [""]
            elif len(record) > 1 or any(cell.strip() for cell in record):
                yield record
    except csv.Error as error:
        where = f"{origin}, line {lines.line_num}"
        raise InputError(where, f"cannot be read as CSV ({error})", "check the quotes") from error


def header(data: bytes, origin: str, separator: str) -> list[str]:
    """The names of the columns, each there and there once; at least one row follows, of as many cells."""
    first_two = records(data, origin, separator)
    names = [name.strip() for name in next(first_two)]
    for other, word in SEPARATORS.items():
        if len(names) == 1 and other in names[0] and other != separator:
            remedy = "end its name in .tsv" if other == "\t" else "save it with commas and the ending .csv"
            raise InputError(origin, f"must be separated by {SEPARATORS[separator]}, got {word}", remedy)
    refuse_names(names, origin)
    row = next(first_two, None)
    if row is None:
        raise InputError(origin, "has a header but no rows", "add at least one row")
    if len(row) != len(names):
        raise ragged(origin, 1, len(names), len(row))
    return names


def refuse_names(names: list[str], origin: str) -> None:
    """Raise where a column of a file has no name, or the name of another one."""
    for position, name in enumerate(names, start=1):
        if not name:
            remedy = "name it in the header, or save the table without its index"
            raise InputError(f"{origin}, column {position}", "must have a name, got a blank one", remedy)
        if names.index(name) < position - 1:
            rule = f"must have a name of its own, got `{name}` like column {names.index(name) + 1}"
            raise InputError(f"{origin}, column {position}", rule, "rename one of them")


def parse(data: bytes, origin: str, separator: str, names: list[str], **options: Any) -> pd.DataFrame:
    """pandas' own reading of the text, its faults told with the row."""
    import pandas as pd

    try:
        return pd.read_csv(
            io.BytesIO(data),
            sep=separator,
            names=names,
            header=0,
            index_col=False,
            skipinitialspace=True,
            skip_blank_lines=len(names) > 1,
            keep_default_na=False,
            low_memory=False,
            **options,
        )
    except pd.errors.ParserError as error:
        unclosed = re.search(r"EOF inside string starting at row (\d+)", str(error))
        if unclosed:
            where = f"{origin}, row {unclosed[1]}"
            raise InputError(where, "a quote is opened and never closed", "close it, or double it") from error
        refuse_ragged(data, origin, separator, len(names))
        rule = f"cannot be read as CSV ({' '.join(str(error).split())})"
        raise InputError(origin, rule, "save it again as CSV UTF-8") from error


def refuse_ragged(data: bytes, origin: str, separator: str, width: int) -> None:
    """Raise for the first row that has more or fewer cells than the header."""
    for row, record in enumerate(records(data, origin, separator)):
        if len(record) != width:
            raise ragged(origin, row, width, len(record))


def ragged(origin: str, row: int, width: int, found: int) -> InputError:
    remedy = "add what is missing" if found < width else "put a cell that holds a separator in quotes"
    rule = f"must have {width} cell{'s' * (width > 1)} like the header, got {found}"
    return InputError(f"{origin}, row {row}", rule, remedy)


def as_column(series: pd.Series[Any]) -> np.ndarray:
    """Numbers and booleans as NumPy has them; anything else as objects, None where a cell is missing."""
    column = series.to_numpy()
    if column.dtype.kind in "fiub":
        return column
    column = series.to_numpy(dtype=object, copy=True)
    column[series.isna().to_numpy()] = None
    return column


def is_text(cell: Any) -> bool:
    return isinstance(cell, str)


def as_text_column(series: pd.Series[Any]) -> np.ndarray:
    """Text as objects, None where a cell is empty; where most cells are numbers, those as numbers."""
    import pandas as pd

    numbers = pd.to_numeric(series, errors="coerce")
    if 2 * numbers.notna().sum() > series.notna().sum():
        series = series.astype(object).where(numbers.isna(), numbers)
    return as_column(series)
