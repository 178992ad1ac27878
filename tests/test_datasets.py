"""The data door: inline values, CSV, Parquet, bundled data and simulated covariates all become one table."""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from experiments.config import DataConfig, SimulateConfig
from experiments.datasets import BUNDLED, FOLDER, load_table, sha256, simulate_table
from models.columns import Table
from models.errors import InputError


def where(key: str) -> str:
    return f"configs/coin.yaml:6: {key}"


def load(folder: Path, **data: object) -> Table:
    return load_table(DataConfig(**data), folder, where)


def load_bytes(folder: Path, name: str, data: bytes) -> dict[str, list[object]]:
    (folder / name).write_bytes(data)
    return as_lists(load(folder, path=name))


def as_lists(table: Table) -> dict[str, list[object]]:
    return {name: column.tolist() for name, column in table.columns.items()}


def parquet(**columns: object) -> bytes:
    buffer = io.BytesIO()
    pa.parquet.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


CSV = {
    "plain": ("t.csv", b"a,b\n1,x\n2,y\n", {"a": [1, 2], "b": ["x", "y"]}),
    "no newline at the end": ("t.csv", b"a,b\n1,x", {"a": [1], "b": ["x"]}),
    "windows": ("t.csv", b"a,b\r\n1,x\r\n\r\n", {"a": [1], "b": ["x"]}),
    "upper case ending": ("T.CSV", b"a\n1\n", {"a": [1]}),
    "tabs": ("t.tsv", b"a\tb\n1\tx, y\n", {"a": [1], "b": ["x, y"]}),
    "gzip": ("t.csv.gz", gzip.compress(b"a\n1\n"), {"a": [1]}),
    "gzip with tabs": ("t.tsv.gz", gzip.compress(b"a\tb\n1\t2\n"), {"a": [1], "b": [2]}),
    "byte order mark": ("t.csv", b"\xef\xbb\xbfa,b\n1,2\n", {"a": [1], "b": [2]}),
    "unicode": ("t.csv", "größe,名\n1,é\n".encode(), {"größe": [1], "名": ["é"]}),
    "spaces after commas": ("t.csv", b"a, b\n1, 2\n", {"a": [1], "b": [2]}),
    "quoted comma and newline": ("t.csv", b'a,b\n"x, ""y""\nz",2\n', {"a": ['x, "y"\nz'], "b": [2]}),
    "blank lines": ("t.csv", b"\na,b\n1,2\n\n  \n3,4\n\n", {"a": [1, 3], "b": [2, 4]}),
    "booleans": ("t.csv", b"a,b\ntrue,FALSE\nFalse,True\n", {"a": [True, False], "b": [False, True]}),
    "booleans with a gap": ("t.csv", b"a,b\ntrue,1\n,2\n", {"a": [True, None], "b": [1, 2]}),
    "NA is a label": ("t.csv", b"a,b\nNA,1\n,2\nx,3\n", {"a": ["NA", None, "x"], "b": [1, 2, 3]}),
    "numbers among words": ("t.csv", b"a\nx\ny\n3\n", {"a": ["x", "y", "3"]}),
    "a word among numbers": ("t.csv", b"a\n1.50\nx\n3\n", {"a": [1.5, "x", 3.0]}),
    "dates are text": ("t.csv", b"a\n2020-01-01\n", {"a": ["2020-01-01"]}),
    "digits beyond 64 bits": ("t.csv", b"a\n99999999999999999999\n", {"a": [99999999999999999999]}),
    "exact decimals": ("t.csv", b"a\n0.1\n-1e-3\n", {"a": [0.1, -0.001]}),
}


@pytest.mark.parametrize(("name", "data", "columns"), CSV.values(), ids=list(CSV))
def test_csv_becomes_columns(tmp_path, name, data, columns):
    assert load_bytes(tmp_path, name, data) == columns


def test_csv_numbers_keep_their_gaps_and_infinities(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a,b\n1,1\n,-inf\nnan,inf\nNaN,3\nNA,4\nnull,5\n")
    table = load(tmp_path, path="t.csv")
    np.testing.assert_array_equal(table.columns["a"], [1, *[np.nan] * 5])
    np.testing.assert_array_equal(table.columns["b"], [1, -np.inf, np.inf, 3, 4, 5])


def test_a_blank_line_of_a_single_column_is_an_empty_cell(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a\n1\n\n3\n")
    np.testing.assert_array_equal(load(tmp_path, path="t.csv").columns["a"], [1, np.nan, 3])


def test_parquet_becomes_columns(tmp_path):
    data = parquet(
        number=[1, 2],
        gap=[1.5, None],
        yes=[True, False],
        perhaps=[True, None],
        word=["é", None],
        label=pa.array(["u", "v"]).dictionary_encode(),
        day=[date(2020, 1, 1), None],
        nothing=pa.array([None, None]),
    )
    columns = load_bytes(tmp_path, "t.parquet", data)
    gap = columns.pop("gap")
    np.testing.assert_array_equal(gap, [1.5, np.nan])
    assert columns == {
        "number": [1, 2],
        "yes": [True, False],
        "perhaps": [True, None],
        "word": ["é", None],
        "label": ["u", "v"],
        "day": ["2020-01-01", None],
        "nothing": [None, None],
    }


def test_every_source_has_an_origin_for_messages(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a\n1\n")
    assert load(tmp_path, path="t.csv").where("a", 0) == "t.csv, column `a`, row 1"
    assert load(tmp_path, path=str(tmp_path / "t.csv")).origin == str(tmp_path / "t.csv")
    assert load(tmp_path, bundled="seeds").where("plate") == "bundled data `seeds`, column `plate`"
    assert load(tmp_path, values={"a": [1]}).origin == "configs/coin.yaml:6: data.values"


def test_inline_values_keep_their_types(tmp_path):
    values = {"a": [1, 2], "b": [1, 2.5], "c": [True, False], "d": [1, "x"], "k": 5, "m": [[1], [2]]}
    table = load(tmp_path, values=values)
    assert {name: column.dtype.kind for name, column in table.columns.items()} == dict(a="i", b="f", c="b", d="O")
    assert table.num_rows == 2


def test_inline_values_need_no_pandas():
    program = (
        "import sys; from pathlib import Path; from types import SimpleNamespace\n"
        "from experiments.datasets import load_table, sha256\n"
        "values, columns = {'y': [0, 1]}, {'outcome': 'y'}\n"
        "config = SimpleNamespace(values=values, path=None, bundled=None, simulate=None, columns=columns)\n"
        "print(load_table(config, Path(), str).binary('outcome').tolist(), sha256(config, Path())[:4])\n"
        "print([name for name in ('pandas', 'torch', 'pyro', 'pyarrow', 'arviz') if name in sys.modules])\n"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    digest = hashlib.sha256(b'{"y":[0,1]}').hexdigest()
    assert done.stdout.splitlines() == [f"[0.0, 1.0] {digest[:4]}", "[]"]


def test_columns_are_known_under_both_names(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"Vote,Group\n0,a\n2,b\n")
    table = load(tmp_path, path="t.csv", columns={"outcome": "Vote", "group": "Group"})
    assert set(table.columns) == {"Vote", "Group", "outcome", "group"}
    with pytest.raises(InputError) as caught:
        table.binary("outcome")
    assert str(caught.value) == "t.csv, column `Vote`, row 2: must be 0 or 1, got 2; recode the column to 0 and 1"


def test_a_mapped_column_hides_its_namesake(tmp_path):
    table = load(tmp_path, values={"x": [1, 2], "y": [3, 4], "z": [5, 6]}, columns={"x": "y", "y": "x", "z": "z"})
    assert as_lists(table) == {"x": [3, 4], "y": [1, 2], "z": [5, 6]}
    assert table.names == {"x": "y", "y": "x"}


BUNDLED_FACTS = {  # a column and its sum, and SHA-256 of the file
    "coal_disasters": ("disasters", 191, "95c235ab8c26d7d7f4f711918232c4af50b01a549286de71858a1e229ffc07a5"),
    "earthquakes": ("count", 2072, "4c4b1d822fd6e568f2a40c3f0dd81e889e0179b2bded049b52960609d792a4df"),
    "german_credit": ("class", 1300, "bedb7c60738e95868ec80b7484036898187000cf2883c6265348dd62e3406614"),
    "penguins": ("body_mass_g", 1437000, "6dcffdb7c9cc9caf67b443b2c9eb40f550851336574e9625872a9ce232e4a1f7"),
    "seeds": ("germinated", 424, "89f460075360ddeec73303fbe48122608a58a4c96f7fe8bd5a19fe3fe90eb761"),
    "wells": ("switched", 1737, "e0b244fc5cf28ba20ae55b5dbb8e765d812e854672c84c46cb464410b5189674"),
}


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_data_are_as_their_readme_says(tmp_path, name):
    column, total, digest = BUNDLED_FACTS[name]
    table = load(tmp_path, bundled=name)
    assert table.num_rows == BUNDLED[name].rows
    assert np.nansum(table.column(column)) == total
    assert sha256(DataConfig(bundled=name), tmp_path) == digest
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    row = next(line for line in readme.splitlines() if line.startswith(f"| `{name}` |"))
    assert f"| {BUNDLED[name].rows} |" in row
    assert BUNDLED[name].licence in row
    assert all(f"`{column}`" in row for column in table.columns) or name == "german_credit"


def test_every_bundled_file_is_in_the_table():
    assert {entry.file for entry in BUNDLED.values()} == {file.name for file in FOLDER.glob("*.csv")}


def test_seeds_are_two_types_by_two_extracts():
    """Crowder (1978), Table 3: germinated and seeds of the four cells of the layout."""
    table = load(FOLDER, bundled="seeds")
    codes, groups = table.category("group")
    totals = {
        group: [int(table.count(name)[codes == code].sum()) for name in ("germinated", "seeds")]
        for code, group in enumerate(groups)
    }
    assert totals == {
        "73 bean": [49, 123],
        "73 cucumber": [75, 141],
        "75 bean": [99, 272],
        "75 cucumber": [201, 295],
    }


def test_sha256_is_of_the_bytes_or_of_canonical_json(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a\n1\n")
    assert sha256(DataConfig(path="t.csv"), tmp_path) == hashlib.sha256(b"a\n1\n").hexdigest()
    values = {"b": [1.5, True], "a": ["é"]}
    expected = hashlib.sha256('{"a":["é"],"b":[1.5,true]}'.encode()).hexdigest()
    assert sha256(DataConfig(values=values), tmp_path) == expected
    assert sha256(DataConfig(values=dict(reversed(values.items()))), tmp_path) == expected
    three, four = (DataConfig(simulate=SimulateConfig(num_rows=rows)) for rows in (3, 4))
    assert sha256(three, tmp_path) != sha256(four, tmp_path)


def test_simulated_covariates_follow_their_priors():
    simulate = SimulateConfig(num_rows=4000, columns={"x": "normal(3, 2)", "g": ["a", "b", "c"], "k": [1, 2]})
    table = simulate_table(simulate, seed=5)
    x, (codes, groups) = table.number("x"), table.category("g")
    assert table.origin == "simulated"
    assert table.columns["x"].dtype == np.float64
    assert abs(x.mean() - 3) < 4 * 2 / np.sqrt(4000)
    assert abs(x.std() - 2) < 4 * 2 / np.sqrt(2 * 4000)
    assert groups == ["a", "b", "c"]
    assert np.all(abs(np.bincount(codes) - 4000 / 3) < 4 * np.sqrt(4000 * 2 / 9))
    assert table.columns["k"].dtype.kind == "i"


def test_simulated_covariates_depend_on_the_seed_alone():
    import torch

    simulate = SimulateConfig(num_rows=5, columns={"x": "gamma(2, 1)", "g": ["a", "b"]})
    torch.manual_seed(1)
    first, after_first = simulate_table(simulate, seed=7), torch.rand(())
    torch.manual_seed(1)
    assert torch.rand(()) == after_first
    assert as_lists(simulate_table(simulate, seed=7)) == as_lists(first)
    assert as_lists(simulate_table(simulate, seed=8)) != as_lists(first)
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("seed", range(20))
def test_every_simulated_label_occurs_where_rows_are_enough(seed):
    labels = ["a", "b", "c", "d"]
    table = simulate_table(SimulateConfig(num_rows=4, columns={"g": labels}), seed)
    assert sorted(table.columns["g"]) == labels
    assert len(simulate_table(SimulateConfig(num_rows=3, columns={"g": labels}), seed).columns["g"]) == 3


def test_a_simulated_covariate_is_one_number():
    with pytest.raises(InputError) as caught:
        simulate_table(SimulateConfig(num_rows=2, columns={"x": "dirichlet(1)"}), seed=0)
    assert str(caught.value) == (
        "data.simulate.columns.x: must be a prior for one number, got `dirichlet(1)`; use for instance `normal(0, 1)`"
    )
