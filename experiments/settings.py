"""The sections of a config that belong to no model and no backend, as records: name and seed, data, checks."""

from __future__ import annotations

import re
from dataclasses import field
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from experiments.faults import show
from models.priors import Prior
from models.settings import SETTINGS

NAME = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}"
SOURCES = ("values", "path", "bundled", "simulate")
SCALAR = {"type": ["number", "string", "boolean"]}
NUMBERS = {"type": ["number", "array"]}


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


Name = Annotated[str, AfterValidator(check_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME}$"})]
Values = Annotated[
    Any, AfterValidator(check_values), WithJsonSchema({"type": ["number", "string", "boolean", "array"]})
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
    statistics: Annotated[
        list[str] | None, Field(description="test statistics of your own, `my_stats.py:max_gap`, relative to this file")
    ] = None
