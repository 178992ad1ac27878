"""Priors as people write them: `normal(0, 2.5)`, `beta(2, 2)`. A closed table of names; nothing is evaluated.

Arguments are in the order of Pyro's (and PyTorch's) own constructors: a gamma has shape and rate, a normal has mean
and standard deviation.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import AfterValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from models.errors import did_you_mean

if TYPE_CHECKING:
    from pyro.distributions.torch_distribution import TorchDistribution


class Rule(NamedTuple):
    """A row of the table: Pyro's class, its arguments in order with the rule each must keep, and the support."""

    pyro_name: str
    arguments: dict[str, str]
    support: str


LOCATION_SCALE = {"loc": "finite", "scale": "positive"}
SHAPE_RATE = {"concentration": "positive", "rate": "positive"}

PRIORS: dict[str, Rule] = {
    "normal": Rule("Normal", LOCATION_SCALE, "real"),
    "student_t": Rule("StudentT", {"df": "positive", **LOCATION_SCALE}, "real"),
    "cauchy": Rule("Cauchy", LOCATION_SCALE, "real"),
    "laplace": Rule("Laplace", LOCATION_SCALE, "real"),
    "half_normal": Rule("HalfNormal", {"scale": "positive"}, "positive"),
    "half_cauchy": Rule("HalfCauchy", {"scale": "positive"}, "positive"),
    "exponential": Rule("Exponential", {"rate": "positive"}, "positive"),
    "gamma": Rule("Gamma", SHAPE_RATE, "positive"),
    "inverse_gamma": Rule("InverseGamma", SHAPE_RATE, "positive"),
    "lognormal": Rule("LogNormal", LOCATION_SCALE, "positive"),
    "beta": Rule("Beta", {"concentration1": "positive", "concentration0": "positive"}, "unit interval"),
    "uniform": Rule("Uniform", {"low": "finite", "high": "finite"}, "interval"),
    "dirichlet": Rule("Dirichlet", {"concentration": "positive"}, "simplex"),
    "bernoulli": Rule("Bernoulli", {"probs": "a probability"}, "counts"),
    "poisson": Rule("Poisson", {"rate": "positive"}, "counts"),
}

LITERAL = re.compile(r"\s*(?P<name>[A-Za-z_]\w*)\s*\((?P<arguments>[^()]*)\)\s*")
EXAMPLE = "write it like `normal(0, 2.5)`"


@dataclass(frozen=True)
class Prior:
    """One prior literal: its name in `PRIORS` and its numbers."""

    name: str
    arguments: tuple[float, ...]

    @classmethod
    def parse(cls, text: str) -> Prior:
        """`student_t(3, 0, 2.5)` -> Prior; ValueError with rule and remedy for anything else."""
        match = LITERAL.fullmatch(text)
        if match is None:
            raise ValueError(f"must be a prior, got {text!r}; {EXAMPLE}")
        name = match["name"]
        if name not in PRIORS:
            raise ValueError(f"`{name}` is not a prior; {did_you_mean(name, PRIORS)}")
        rules = PRIORS[name].arguments
        words = [word.strip() for word in match["arguments"].split(",")] if match["arguments"].strip() else []
        signature = f"{name}({', '.join(rules)})"
        if len(words) != len(rules):
            takes = f"`{name}` takes {len(rules)} argument{'s' * (len(rules) > 1)}"
            raise ValueError(f"{takes}, got {len(words)}; write `{signature}`")
        pairs = zip(words, rules.items(), strict=True)
        return cls(name, tuple(number(word, key, rule, signature) for word, (key, rule) in pairs)).ordered()

    def ordered(self) -> Prior:
        if self.name == "uniform" and not self.arguments[0] < self.arguments[1]:
            raise ValueError(f"low must lie below high, got {self}; write `uniform(low, high)`")
        return self

    @property
    def support(self) -> str:
        return "unit interval" if self == Prior("uniform", (0.0, 1.0)) else PRIORS[self.name].support

    def distribution(self, size: int | None = None) -> TorchDistribution:
        """Pyro's distribution, one scalar draw wide; `size` is the number of categories of a dirichlet."""
        import pyro.distributions
        import torch

        constructor = getattr(pyro.distributions, PRIORS[self.name].pyro_name)
        if self.support == "simplex":
            return constructor(torch.full((size or 2,), float(self.arguments[0])))
        return constructor(*(torch.tensor(float(value)) for value in self.arguments))

    def __str__(self) -> str:
        return f"{self.name}({', '.join(repr(value).removesuffix('.0') for value in self.arguments)})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        def read(value: Any) -> Prior:
            if isinstance(value, Prior):
                return value
            if not isinstance(value, str):
                raise PydanticCustomError("prior", "must be a prior, got {shown}; " + EXAMPLE, {"shown": repr(value)})
            try:
                return cls.parse(value)
            except ValueError as error:
                raise PydanticCustomError("prior", "{sentence}", {"sentence": str(error)}) from error

        return core_schema.no_info_plain_validator_function(
            read, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        names = "|".join(PRIORS)
        return {
            "type": "string",
            "pattern": rf"^\s*({names})\s*\(.*\)\s*$",
            "description": "a prior literal such as normal(0, 2.5)",
        }


def number(word: str, name: str, rule: str, signature: str) -> float:
    """One argument of a literal, held to its rule in the table."""
    try:
        value = float(word)
    except ValueError:
        raise ValueError(f"{name} must be a number, got {word!r}; write `{signature}`") from None
    kept = {"finite": True, "positive": value > 0, "a probability": 0 <= value <= 1}
    for needed in ("finite", rule):
        if not (math.isfinite(value) and kept[needed]):
            raise ValueError(f"{name} must be {needed}, got {word}; write `{signature}`")
    return value


def on(support: str) -> AfterValidator:
    """A rule for a setting: its prior must live on this support, for instance `Annotated[Prior, on("unit
    interval")]`."""

    def check(prior: Prior) -> Prior:
        if prior.support != support:
            fitting = ", ".join(f"`{name}`" for name, rule in PRIORS.items() if rule.support == support)
            raise PydanticCustomError(
                "support", "{sentence}", {"sentence": f"must be a prior on the {support}, got `{prior}`; use {fitting}"}
            )
        return prior

    return AfterValidator(check)
