"""The data door: one table from inline values, a CSV or Parquet file, a bundled data set, or simulated covariates.

Whatever is wrong with a source is refused here, with file, column, row and remedy; whether a column suits the model is
asked of the `Table`, by kind. Rows count from 1, the header not included.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.csv_source import read_csv
from experiments.parquet_source import read_parquet
from models.columns import Table
from models.errors import InputError, did_you_mean
from models.priors import Prior

if TYPE_CHECKING:
    from experiments.config import DataConfig, SimulateConfig

Where = Callable[[str], str]
Columns = dict[str, np.ndarray]


class Bundled(NamedTuple):
    """A data set that comes with the product: its file in experiments/data, and what its README says about it."""

    file: str
    about: str
    source: str
    licence: str
    rows: int


FOLDER = Path(__file__).parent / "data"

BUNDLED: dict[str, Bundled] = {
    "coal_disasters": Bundled(
        "coal_disasters.csv",
        "British coal-mine explosions with 10 or more deaths, by year, 1851 to 1962",
        "R package boot 1.3-28.1, `coal` (Jarrett 1979)",
        "Unlimited",
        112,
    ),
    "earthquakes": Bundled(
        "earthquakes.csv",
        "earthquakes of magnitude 7 or more in the world, by year, 1900 to 2006",
        "hmmlearn, examples (US Geological Survey)",
        "BSD-3-Clause",
        107,
    ),
    "german_credit": Bundled(
        "german_credit.csv",
        "1,000 loans: 24 numeric attributes, class 1 = good, 2 = bad",
        "UCI Machine Learning Repository, Statlog (German Credit Data), german.data-numeric",
        "CC BY 4.0",
        1000,
    ),
    "penguins": Bundled(
        "penguins.csv",
        "penguins of three species on the Palmer archipelago: island, sex, bill, flipper, body mass; some cells empty",
        "palmerpenguins, `penguins` (Gorman, Williams & Fraser 2014)",
        "CC0-1.0",
        344,
    ),
    "seeds": Bundled(
        "seeds.csv",
        "Orobanche seeds that germinated on 21 plates, two seed types by two root extracts",
        "posteriordb, `seeds_data` (Crowder 1978)",
        "BSD-3-Clause",
        21,
    ),
    "wells": Bundled(
        "wells.csv",
        "households in Bangladesh that switched to a safe well, by arsenic and distance",
        "posteriordb, `wells_data` (Gelman & Hill 2007)",
        "BSD-3-Clause",
        3020,
    ),
}

READERS: dict[str, Callable[[bytes, str], Columns]] = {
    ".csv": read_csv,
    ".tsv": partial(read_csv, separator="\t"),
    ".csv.gz": lambda data, origin: read_csv(unzipped(data, origin), origin),
    ".tsv.gz": lambda data, origin: read_csv(unzipped(data, origin), origin, separator="\t"),
    ".parquet": read_parquet,
}


def load_table(config: DataConfig, folder: Path, where: Where) -> Table:
    """The columns of `values`, `path` or `bundled`, under their own names and under the model's (`columns`).

    folder: where a relative `path` starts, the folder of the YAML file.
    where: the place of a key in the YAML file, `where("data.path")` -> `configs/votes.yaml:6: data.path`.
    """
    if config.values is not None:
        columns, origin = inline(config.values, where), where("data.values")
    elif config.bundled is not None:
        origin = f"bundled data `{config.bundled}`"
        columns = read(bundled(config.bundled, where), origin, where)
    else:
        origin = config.path or ""
        columns = read(found(origin, folder, where), origin, where)
    source = "`data.values`" if config.values is not None else origin
    for name, theirs in config.columns.items():
        if theirs not in columns:
            rule = f"there is no column `{theirs}` in {source}"
            raise InputError(where(f"data.columns.{name}"), rule, did_you_mean(theirs, columns))
    mapped = {name: columns[theirs] for name, theirs in config.columns.items()}
    names = {name: theirs for name, theirs in config.columns.items() if name != theirs}
    return Table({**columns, **mapped}, origin, names)


def joined(first: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Two columns as one, of the fitted one's type wherever the values allow it."""
    if not {first.dtype.kind, fitted.dtype.kind} <= set("fiub"):
        return np.concatenate([first.astype(object), fitted.astype(object)])
    both = np.concatenate([first, fitted])
    whole = fitted.dtype.kind in "iu" and bool((both == np.floor(both)).all())
    return both.astype(fitted.dtype) if whole else both


def is_word(cell: Any) -> bool:
    """Whether a cell that is not empty is no number, in a column that is text because of one such cell."""
    try:
        return cell is not None and bool(np.isnan(float(cell)))
    except (TypeError, ValueError):
        return str(cell).strip() != ""


def behind(table: Table, more: Table) -> Table:
    """The rows of `more` behind those of `table`, with the columns of the latter; InputError where one is missing, or
    has a word where the other has numbers."""
    for name, values in table.columns.items():
        other = more.column(name)
        if values.dtype.kind in "fiub" and other.dtype.kind not in "fiub":
            words = np.array([is_word(cell) for cell in other], dtype=bool)
            more.refuse(name, words, f"must be a number, as in {table.origin}", "correct the value")
    columns = {name: joined(values, more.column(name)) for name, values in table.columns.items()}
    return Table(columns, f"{table.origin} with {more.origin} behind", table.names)


def sha256(config: DataConfig, folder: Path, holdout: object = None) -> str:
    """SHA-256 of the data: of the file's bytes, or of the canonical JSON of what stands in the config; with the bytes
    of a `holdout` file behind."""
    if config.bundled is not None:
        data = (FOLDER / BUNDLED[config.bundled].file).read_bytes()
    elif config.path is not None:
        data = location(config.path, folder).read_bytes()
    else:
        told = config.values if config.simulate is None else dataclasses.asdict(config.simulate)
        data = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    more = location(holdout, folder).read_bytes() if isinstance(holdout, str) else b""
    return hashlib.sha256(data + more).hexdigest()


def simulate_table(simulate: SimulateConfig, seed: int) -> Table:
    """Covariates of `num_rows` rows: numbers drawn from a prior, float64, or labels drawn uniformly.

    Every label occurs where there are rows enough. PyTorch's generator is left as it was.
    """
    import torch

    columns: Columns = {}
    default = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        torch.set_default_dtype(torch.float64)
        try:
            for name, drawn in simulate.columns.items():
                columns[name] = covariate(name, drawn, simulate.num_rows)
        finally:
            torch.set_default_dtype(default)
    return Table(columns, "simulated", rows=simulate.num_rows)


def covariate(name: str, drawn: str | list[Any], num_rows: int) -> np.ndarray:
    """One simulated column, `(rows,)`, from a prior literal or a list of labels."""
    import torch

    if isinstance(drawn, list):
        codes = torch.cat([torch.arange(len(drawn)), torch.randint(len(drawn), (num_rows,))])
        codes = codes[: max(num_rows, len(drawn))]
        return as_column(drawn)[codes[torch.randperm(len(codes))][:num_rows].numpy()]
    prior = Prior.parse(drawn)
    if prior.support == "simplex":
        rule = f"must be a prior for one number, got `{prior}`"
        raise InputError(f"data.simulate.columns.{name}", rule, "use for instance `normal(0, 1)`")
    return prior.distribution().sample(torch.Size((num_rows,))).numpy()


def inline(values: Mapping[str, Any], where: Where) -> Columns:
    """The flat lists among the values, of one length; single values and nested lists are for a user's own program."""
    columns = {
        name: as_column(value)
        for name, value in values.items()
        if isinstance(value, list) and not any(isinstance(cell, (list, dict)) for cell in value)
    }
    if not columns:
        remedy = "write at least one list, for instance `outcome: [0, 1, 1]`"
        raise InputError(where("data.values"), "has no columns", remedy)
    first, length = next((name, len(column)) for name, column in columns.items())
    for name, column in columns.items():
        if not len(column):
            raise InputError(where(f"data.values.{name}"), f"column `{name}` is empty", "write at least one value")
        if len(column) != length:
            rule = f"columns must be of one length, got {length} in `{first}` and {len(column)} in `{name}`"
            raise InputError(where(f"data.values.{name}"), rule, "write one value for each row")
    return columns


def as_column(values: list[Any]) -> np.ndarray:
    """A list as an array of booleans, integers or floats where all its values are of that type, else of objects."""
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return np.array(values, dtype=bool)
    if kinds and kinds <= {int, float} and all(isinstance(value, float) or abs(value) < 2**63 for value in values):
        return np.array(values)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def bundled(name: str, where: Where) -> Path:
    if name not in BUNDLED:
        raise InputError(where("data.bundled"), f"there is no bundled data `{name}`", did_you_mean(name, BUNDLED))
    return FOLDER / BUNDLED[name].file


def location(path: str, folder: Path) -> Path:
    return folder / Path(path).expanduser()


def found(path: str, folder: Path, where: Where) -> Path:
    """The file that a path names, there and of a kind that can be read."""
    file = location(path, folder)
    if file.is_dir():
        raise InputError(where("data.path"), f"must be a file, got the folder `{path}`", "name one file in it")
    if not file.is_file():
        nearby = sorted(str(Path(path).parent / other.name) for other in file.parent.glob("*") if ending(other))
        remedy = did_you_mean(path, nearby)
        if not remedy.startswith("did you mean"):
            remedy = f"write the path as seen from the folder of the config, {folder}"
        raise InputError(where("data.path"), f"there is no file `{path}`", remedy)
    if ending(file) is None:
        rule = f"must end in one of {', '.join(READERS)}, got `{path}`"
        raise InputError(where("data.path"), rule, "save the table as CSV or Parquet")
    return file


def ending(file: Path) -> str | None:
    return next((ending for ending in READERS if file.name.lower().endswith(ending)), None)


def read(file: Path, origin: str, where: Where) -> Columns:
    try:
        data = file.read_bytes()
    except OSError as error:
        rule = f"`{origin}` cannot be read ({error.strerror})"
        raise InputError(where("data.path"), rule, "check its permissions") from error
    return READERS[str(ending(file))](data, origin)


def unzipped(data: bytes, origin: str) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        rule = "must be a gzip file, got one that cannot be unzipped"
        raise InputError(origin, rule, "compress it again with gzip") from error
