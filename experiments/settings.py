"""The sections of a config that belong to no model and no backend, as records: name and seed, data, checks, scores."""

from __future__ import annotations

import re
from dataclasses import field
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from experiments.faults import show
from models.priors import Prior
from models.settings import SETTINGS

NAME = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}"
SOURCES = ("values", "path", "bundled", "simulate")
SCALAR = {"type": ["number", "string", "boolean"]}
NUMBERS = {"type": ["number", "array"]}
MEMORY = re.compile(r"(?P<size>\d+(\.\d+)?) ?(?P<unit>[MG]i?B)")
UNITS = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}
LEAST_MEMORY = 64 * 2**20


def rule(sentence: str) -> PydanticCustomError:
    """An objection in the house's words, `rule; remedy`."""
    return PydanticCustomError("rule", "{sentence}", {"sentence": sentence})


def check_name(text: str) -> str:
    if re.fullmatch(NAME, text) is None:
        better = re.sub(r"[^A-Za-z0-9_-]+", "_", text).lstrip("-")[:100] or "coin_flips"
        raise rule(
            f"must be letters, digits, `_` and `-`, 100 at most, got {show(text)}; write for instance `{better}`"
        )
    return text


def check_values(value: Any) -> Any:
    """A scalar, or lists of scalars, nested to any depth; an empty cell is null, and only in a list."""
    if value is None:
        raise rule("holds no value; write a list of values, or a number")
    stack = [value]
    while stack:
        top = stack.pop()
        if isinstance(top, dict):
            raise rule("must be a number, a word or a list of them, got a mapping; write it like `[1, 0, 1]`")
        if isinstance(top, list):
            stack.extend(top)
    return value


def check_truth(value: Any) -> Any:
    """A finite number, or lists of them."""
    for item in value if isinstance(value, list) else ():
        check_truth(item)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not isinstance(value, list) and not (number and abs(value) < float("inf")):
        raise rule(f"must be a finite number or a list of them, got {show(value)}; write it like `theta: 0.3`")
    return value


def check_simulated(value: Any) -> Any:
    """What a simulated column is drawn from: a prior literal, or a list of labels."""
    if isinstance(value, str):
        try:
            Prior.parse(value)
        except ValueError as error:
            raise rule(str(error)) from None
    elif not isinstance(value, list) or not value or not all(isinstance(item, (str, int, float)) for item in value):
        raise rule(f"must be a prior or a list of labels, got {show(value)}; write it like `normal(0, 1)` or `[a, b]`")
    return value


def check_memory(text: Any) -> str:
    """A size with its unit, kept as it is written; `memory_bytes` reads it."""
    if not isinstance(text, str) or MEMORY.fullmatch(text) is None or memory_bytes(text) < LEAST_MEMORY:
        raise rule(f"must be a size of 64 MiB or more, got {show(text)}; write for instance `1 GiB`")
    return text


def memory_bytes(text: str) -> int:
    """Bytes of `512 MiB` or `1.5 GiB`."""
    match = MEMORY.fullmatch(text)
    assert match is not None  # `check_memory` has seen it
    return int(float(match["size"]) * UNITS[match["unit"]])


def check_holdout(value: Any) -> float | str:
    """A share of the rows, or a file of further rows."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(value, str) and value or number and 0 < value < 1:
        return value if isinstance(value, str) else float(value)
    raise rule(f"must be a share between 0 and 1 or a file, got {show(value)}; write `0.2` or `later.csv`")


def check_folds(value: Any) -> Any:
    """`auto`, or how many parts."""
    if value == "auto" or isinstance(value, int) and not isinstance(value, bool) and value >= 2:
        return value
    raise rule(f"must be `auto` or a whole number, 2 or more, got {show(value)}; write `10`, or null for never")


Name = Annotated[str, AfterValidator(check_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME}$"})]
Values = Annotated[
    Any, AfterValidator(check_values), WithJsonSchema({"type": ["number", "string", "boolean", "array"]})
]
Memory = Annotated[
    str, BeforeValidator(check_memory), WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)? ?[MG]i?B$"})
]
Holdout = Annotated[Any, AfterValidator(check_holdout), WithJsonSchema({"type": ["number", "string"]})]
Folds = Annotated[
    Any,
    AfterValidator(check_folds),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 2}]}),
]
Truth = Annotated[Any, AfterValidator(check_truth), WithJsonSchema(NUMBERS)]
Simulated = Annotated[
    Any,
    AfterValidator(check_simulated),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": SCALAR, "minItems": 1}]}),
]


@dataclass(frozen=True, config=SETTINGS)
class Basics:
    """What an experiment is called and how it runs."""

    name: Annotated[Name, Field(description="letters, digits, `_` and `-`; names the run folder")]
    seed: Annotated[int, Field(ge=0, description="the one seed of all randomness")] = 0
    num_threads: Annotated[int, Field(ge=1, le=1024, description="threads that PyTorch may use")] = 1
    max_memory: Annotated[
        Memory, Field(description="what predictions and scores may take above the data, for instance `512 MiB`")
    ] = "1 GiB"


@dataclass(frozen=True, config=SETTINGS)
class SimulateConfig:
    """Rows drawn from the prior predictive; the truth behind them is kept and compared with the posterior."""

    num_rows: Annotated[int, Field(ge=1, description="rows to draw")]
    columns: Annotated[
        dict[str, Simulated], Field(description="each input column: a prior to draw it from, or labels to pick from")
    ] = field(default_factory=dict)
    truth: Annotated[dict[str, Truth], Field(description="latent sites to fix instead of drawing them")] = field(
        default_factory=dict
    )


@dataclass(frozen=True, config=SETTINGS)
class DataConfig:
    """Where the rows come from: one of values, path, bundled, simulate; None is a source that is not used."""

    values: Annotated[
        dict[str, Values] | None, Field(description="columns written out here: `{outcome: [1, 0, 1]}`")
    ] = None
    path: Annotated[str | None, Field(description="a CSV or Parquet file, relative to this file")] = None
    bundled: Annotated[str | None, Field(description="a data set that comes with Pyrozoo")] = None
    simulate: Annotated[SimulateConfig | None, Field(description="rows drawn from the model itself")] = None
    columns: Annotated[dict[str, str], Field(description="the model's name of a column: its name in the source")] = (
        field(default_factory=dict)
    )
    observed: Annotated[list[str], Field(description="for programs: the names that are observed sites")] = field(
        default_factory=list
    )

    @property
    def sources(self) -> list[str]:
        return [name for name in SOURCES if getattr(self, name) is not None]


@dataclass(frozen=True, config=SETTINGS)
class Checks:
    """Thresholds that a run must keep to be trusted; null switches a check off."""

    max_r_hat: Annotated[float | None, Field(ge=1, description="largest R-hat of any quantity (Markov chains)")] = 1.01
    min_ess: Annotated[int | None, Field(ge=0, description="smallest bulk and tail effective sample size")] = 400
    max_divergences: Annotated[int | None, Field(ge=0, description="divergent transitions, all chains together")] = 0
    min_e_bfmi: Annotated[
        float | None, Field(ge=0, description="smallest energy fraction of missing information of a chain")
    ] = 0.3
    max_k_hat: Annotated[float | None, Field(ge=0, description="largest Pareto k-hat of a guide")] = 0.7
    elbo_plateau: Annotated[bool | None, Field(description="the ELBO must have reached a plateau")] = True
    min_p_value: Annotated[
        float | None, Field(ge=0, le=1, description="smallest p-value of a test statistic of generated data")
    ] = 0.005
    statistics: Annotated[
        list[str] | None, Field(description="test statistics of your own, `my_stats.py:max_gap`, relative to this file")
    ] = None


@dataclass(frozen=True, config=SETTINGS)
class Scores:
    """How predictions are scored: leave-one-out is always there; null switches the others off."""

    holdout: Annotated[
        Holdout | None, Field(description="rows to keep from the fit and to predict: a share, or a file of them")
    ] = None
    k_fold: Annotated[
        Folds | None,
        Field(description="fit again without each of so many parts of the rows; auto: without those that LOO fails on"),
    ] = "auto"
    future_from: Annotated[
        int | None, Field(ge=1, description="predict every later row, or time, from those before it, after so many")
    ] = None
