"""The data door refuses: every wrong source in one line, with file, column, row and remedy."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from experiments.config import DataConfig
from experiments.datasets import load_table
from models.columns import Table
from models.errors import InputError


def load(folder: Path, **data: object) -> Table:
    return load_table(DataConfig(**data), folder, lambda key: f"configs/coin.yaml:6: {key}")


def parquet(**columns: object) -> bytes:
    buffer = io.BytesIO()
    pa.parquet.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def named_twice() -> bytes:
    buffer = io.BytesIO()
    pa.parquet.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), buffer)
    return buffer.getvalue()


PATH, VALUES = "configs/coin.yaml:6: data.path", "configs/coin.yaml:6: data.values"
SEEN_FROM = "write the path as seen from the folder of the config, {folder}"
ENDINGS = ".csv, .tsv, .csv.gz, .tsv.gz, .parquet"
AGAIN = "write the table to Parquet again"
COMMAS = "save it with commas and the ending .csv"
UTF8 = "save it as CSV UTF-8"

# file name and bytes (None: no file of that name), the path in the config (None: the file's name), the sentence
WRONG_FILES: dict[str, tuple[str, bytes | None, str | None, str]] = {
    "missing": ("x.csv", None, None, f"{PATH}: there is no file `x.csv`; {SEEN_FROM}"),
    "misspelt": ("votes.csv", b"a\n1\n", "vote.csv", f"{PATH}: there is no file `vote.csv`; did you mean `votes.csv`?"),
    "without ending": ("votes.csv", b"a\n1\n", "votes", f"{PATH}: there is no file `votes`; did you mean `votes.csv`?"),
    "no such folder": ("x.csv", None, "d/x.csv", f"{PATH}: there is no file `d/x.csv`; {SEEN_FROM}"),
    "folder": ("x.csv", None, ".", f"{PATH}: must be a file, got the folder `.`; name one file in it"),
    "unknown ending": (
        "t.xlsx",
        b"PK",
        None,
        f"{PATH}: must end in one of {ENDINGS}, got `t.xlsx`; save the table as CSV or Parquet",
    ),
    "empty": ("t.csv", b"", None, "t.csv: is an empty file; write a header line and at least one row"),
    "blank lines": ("t.csv", b"\n\n \n", None, "t.csv: is an empty file; write a header line and at least one row"),
    "header only": ("t.csv", b"a,b\n", None, "t.csv: has a header but no rows; add at least one row"),
    "binary": (
        "t.csv",
        b"a,b\n\x00\x01",
        None,
        "t.csv: must be text, got a binary file; save the table as CSV, or as Parquet with the ending .parquet",
    ),
    "UTF-16": ("t.csv", "a,b\n1,2".encode("utf-16"), None, f"t.csv: must be UTF-8 text, got UTF-16; {UTF8}"),
    "Latin-1": ("t.csv", b"a\nx\ncaf\xe9\n", None, f"t.csv, line 3: must be UTF-8 text, got byte 0xe9; {UTF8}"),
    "semicolons": ("t.csv", b"a;b\n1,5;2\n", None, f"t.csv: must be separated by commas, got semicolons; {COMMAS}"),
    "tabs": ("t.csv", b"a\tb\n1\t2\n", None, "t.csv: must be separated by commas, got tabs; end its name in .tsv"),
    "commas": ("t.tsv", b"a,b\n1,2\n", None, f"t.tsv: must be separated by tabs, got commas; {COMMAS}"),
    "short row": (
        "t.csv",
        b"a,b\n1,2\n3\n",
        None,
        "t.csv, row 2: must have 2 cells like the header, got 1; add what is missing",
    ),
    "short row after blank lines": (
        "t.csv",
        b"a,b,c\n\n1,2,3\n\n3,4\n",
        None,
        "t.csv, row 2: must have 3 cells like the header, got 2; add what is missing",
    ),
    "long first row": (
        "t.csv",
        b"a,b\n1,2,3\n4,5\n",
        None,
        "t.csv, row 1: must have 2 cells like the header, got 3; put a cell that holds a separator in quotes",
    ),
    "long row": (
        "t.csv",
        b'a,b\n"x\ny",2\n3,4,5\n',
        None,
        "t.csv, row 2: must have 2 cells like the header, got 3; put a cell that holds a separator in quotes",
    ),
    "long row of one column": (
        "t.csv",
        b"a\n1\n2,3\n",
        None,
        "t.csv, row 2: must have 1 cell like the header, got 2; put a cell that holds a separator in quotes",
    ),
    "open quote": (
        "t.csv",
        b'a,b\n1,2\n3,"4\n5,6\n',
        None,
        "t.csv, row 2: a quote is opened and never closed; close it, or double it",
    ),
    "a name twice": (
        "t.csv",
        b"a,b, a\n1,2,3\n",
        None,
        "t.csv, column 3: must have a name of its own, got `a` like column 1; rename one of them",
    ),
    "a blank name": (
        "t.csv",
        b",a\n0,1\n",
        None,
        "t.csv, column 1: must have a name, got a blank one;"
        " name it in the header, or save the table without its index",
    ),
    "a giant cell in the header": (
        "t.csv",
        b'"a' + b"a" * 140_000 + b'"\n1\n',
        None,
        "t.csv, line 1: cannot be read as CSV (field larger than field limit (131072)); check the quotes",
    ),
    "not gzip": (
        "t.csv.gz",
        b"a\n1\n",
        None,
        "t.csv.gz: must be a gzip file, got one that cannot be unzipped; compress it again with gzip",
    ),
    "gzip cut short": (
        "t.csv.gz",
        gzip.compress(b"a\n1\n")[:-4],
        None,
        "t.csv.gz: must be a gzip file, got one that cannot be unzipped; compress it again with gzip",
    ),
    "empty Parquet": ("t.parquet", b"", None, f"t.parquet: is an empty file; {AGAIN}"),
    "CSV called Parquet": (
        "t.parquet",
        b"a,b\n1,2\n3,4\n",
        None,
        "t.parquet: cannot be read as Parquet (Parquet magic bytes not found in footer); " + AGAIN,
    ),
    "Parquet without rows": (
        "t.parquet",
        parquet(a=pa.array([], pa.int64())),
        None,
        "t.parquet: has no rows; add at least one row",
    ),
    "Parquet with lists": (
        "t.parquet",
        parquet(a=[1], b=[[1, 2]]),
        None,
        "t.parquet, column `b`: must hold numbers, booleans or text, got list<element: int64>;"
        " store one plain column for each part",
    ),
    "Parquet with bytes": (
        "t.parquet",
        parquet(b=[b"x"]),
        None,
        "t.parquet, column `b`: must hold numbers, booleans or text, got binary; convert it or leave it out",
    ),
    "Parquet with a name twice": (
        "t.parquet",
        named_twice(),
        None,
        "t.parquet, column 2: must have a name of its own, got `a` like column 1; rename one of them",
    ),
}


@pytest.mark.parametrize(("name", "data", "path", "sentence"), WRONG_FILES.values(), ids=list(WRONG_FILES))
def test_a_wrong_file_is_refused_in_one_line(tmp_path, name, data, path, sentence):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError) as caught:
        load(tmp_path, path=path or name)
    assert str(caught.value) == sentence.format(folder=tmp_path)
    assert "\n" not in str(caught.value)


FILL = "fill the cell in or leave the row out"

# CSV, what is asked of column a, and the sentence
WRONG_CELLS = {
    "empty": (b"a,b\n1,1\n,2\n", "number", f"row 2: must be a number, got an empty cell or NaN; {FILL}"),
    "NaN": (b"a\n1\nNaN\n", "number", f"row 2: must be a number, got an empty cell or NaN; {FILL}"),
    "NA": (b"a\n1\nNA\n", "number", f"row 2: must be a number, got an empty cell or NaN; {FILL}"),
    "infinity": (b"a\n1\ninf\n", "number", "row 2: must be finite, got inf; correct the value or leave the row out"),
    "overflow": (
        b"a\n1\n-1e999\n",
        "number",
        "row 2: must be finite, got -inf; correct the value or leave the row out",
    ),
    "word": (
        b"a\n1.50\n2.50\nthree\n",
        "number",
        "row 3: must be a number, got 'three'; correct the value or map another column",
    ),
    "decimal comma": (
        b'a\n1.5\n2.5\n"3,5"\n',
        "number",
        "row 3: must be a number, got '3,5'; correct the value or map another column",
    ),
    "fraction": (b"a\n1\n2.5\n", "count", "row 2: must be a whole number, 0 or more, got 2.5; correct it"),
    "two": (b"a\n0\n1\n2\n", "binary", "row 3: must be 0 or 1, got 2; recode the column to 0 and 1"),
    "no label": (b"a,b\nx,1\n,2\n", "category", f"row 2: must have a label, got an empty cell; {FILL}"),
}


@pytest.mark.parametrize(("data", "kind", "sentence"), WRONG_CELLS.values(), ids=list(WRONG_CELLS))
def test_a_wrong_cell_is_refused_with_its_row(tmp_path, data, kind, sentence):
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(InputError) as caught:
        getattr(load(tmp_path, path="t.csv"), kind)("a")
    assert str(caught.value) == f"t.csv, column `a`, {sentence}"


WRONG_CONFIGS = {
    "unequal lengths": (
        {"values": {"a": [1, 2], "b": [1, 2], "c": [1, 2, 3]}},
        f"{VALUES}.c: columns must be of one length, got 2 in `a` and 3 in `c`; write one value for each row",
    ),
    "empty list": ({"values": {"a": []}}, f"{VALUES}.a: column `a` is empty; write at least one value"),
    "no columns": (
        {"values": {"k": 5, "m": [[1, 2], [3, 4]]}},
        f"{VALUES}: has no columns; write at least one list, for instance `outcome: [0, 1, 1]`",
    ),
    "no values": (
        {"values": {}},
        f"{VALUES}: has no columns; write at least one list, for instance `outcome: [0, 1, 1]`",
    ),
    "unknown bundled data": (
        {"bundled": "german_credits"},
        "configs/coin.yaml:6: data.bundled: there is no bundled data `german_credits`; did you mean `german_credit`?",
    ),
    "mapped to a missing column": (
        {"values": {"votes": [1]}, "columns": {"outcome": "vote"}},
        "configs/coin.yaml:6: data.columns.outcome: there is no column `vote` in `data.values`; did you mean `votes`?",
    ),
    "mapped to a missing bundled column": (
        {"bundled": "wells", "columns": {"outcome": "switch"}},
        "configs/coin.yaml:6: data.columns.outcome: there is no column `switch` in bundled data `wells`;"
        " did you mean `switched`?",
    ),
}


@pytest.mark.parametrize(("data", "sentence"), WRONG_CONFIGS.values(), ids=list(WRONG_CONFIGS))
def test_a_wrong_source_is_refused_in_one_line(tmp_path, data, sentence):
    with pytest.raises(InputError) as caught:
        load(tmp_path, **data)
    assert str(caught.value) == sentence


INLINE = {
    "word": (["1", 1], "number", "row 1: must be a number, got '1'; correct the value or map another column"),
    "gap": ([1, None], "number", f"row 2: must be a number, got an empty cell; {FILL}"),
    "nan": ([0.5, float("nan")], "number", f"row 2: must be a number, got an empty cell or NaN; {FILL}"),
    "negative": ([3, -1], "count", "row 2: must be a whole number, 0 or more, got -1; correct it"),
}


@pytest.mark.parametrize(("values", "kind", "sentence"), INLINE.values(), ids=list(INLINE))
def test_a_wrong_inline_value_is_refused_with_line_and_row(tmp_path, values, kind, sentence):
    with pytest.raises(InputError) as caught:
        getattr(load(tmp_path, values={"a": values}), kind)("a")
    assert str(caught.value) == f"{VALUES}, column `a`, {sentence}"


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_bytes(b"a\n1\n")

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(InputError) as caught:
        load(tmp_path, path="t.csv")
    assert str(caught.value) == f"{PATH}: `t.csv` cannot be read (Permission denied); check its permissions"
