"""The regularised horseshoe: a prior for many terms of which few matter (Piironen & Vehtari 2017, equations 2.8-2.9).

    global_scale    ~ half_cauchy(tau0)                       tau0 = relevant / (K - relevant) * 2 / sqrt(N)
    local_scale[k]  ~ half_cauchy(1)                          k = 1..K terms, N observations
    slab_variance   ~ inverse_gamma(df / 2, df scale^2 / 2)
    beta_z[k]       ~ Normal(0, 1)
    beta[k]         = beta_z[k] global_scale s[k]
    s[k]^2          = slab_variance local_scale[k]^2 / (slab_variance + global_scale^2 local_scale[k]^2)

`relevant` is how many terms are expected to matter: with predictors on the scale of their standard deviations, tau0 is
such that a priori about so many coefficients escape the shrinkage (section 3.3, with the pseudo-variance 4 of a
logistic likelihood at probability 1/2). Those that escape have a Student-t of `slab_df` degrees of freedom and scale
`slab_scale`, and not the horseshoe's Cauchy tails, which a separated outcome would leave without a bound.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from models.errors import InputError
from models.priors import LITERAL, PRIORS, Prior, number

if TYPE_CHECKING:
    from torch import Tensor

SIGNATURE = "horseshoe(relevant, slab_df, slab_scale)"
PSEUDO_SD = 2.0


@dataclass(frozen=True)
class Horseshoe:
    """`horseshoe(3)` or, with the slab's degrees of freedom and scale, `horseshoe(3, 4, 2.5)`."""

    relevant: float
    slab_df: float = 4.0
    slab_scale: float = 2.5

    @classmethod
    def parse(cls, text: str) -> Horseshoe:
        """ValueError with rule and remedy for anything that is not a horseshoe."""
        match = LITERAL.fullmatch(text)
        words = [word.strip() for word in match["arguments"].split(",")] if match and match["arguments"].strip() else []
        if len(words) not in (1, 3):
            raise ValueError(f"`horseshoe` takes 1 or 3 arguments, got {text!r}; write `{SIGNATURE}`")
        names = ("relevant", "slab_df", "slab_scale")
        return cls(*(number(word, name, "positive", SIGNATURE) for word, name in zip(words, names, strict=False)))

    def tau0(self, num_terms: int, num_rows: float) -> float:
        """The scale of the global scale; InputError where no fewer terms than all are expected to matter."""
        if not self.relevant < num_terms:
            rule = f"expects {self.relevant:g} of {num_terms} terms to matter, got `{self}`"
            raise InputError("model.prior", rule, "expect fewer than all of them, or use `normal(0, 2.5)`")
        return self.relevant / (num_terms - self.relevant) * PSEUDO_SD / num_rows**0.5

    def scales(self, num_terms: int, num_rows: float) -> Tensor:
        """Sample the sites that make the coefficients' standard deviations, `(terms,)`, and return these."""
        import pyro
        import pyro.distributions as dist
        import torch

        tau0 = torch.tensor(self.tau0(num_terms, num_rows))
        tau = pyro.sample("global_scale", dist.HalfCauchy(tau0))
        half = torch.tensor(self.slab_df / 2)
        slab = pyro.sample("slab_variance", dist.InverseGamma(half, half * self.slab_scale**2))
        local = pyro.sample("local_scale", dist.HalfCauchy(torch.ones(num_terms)).to_event(1))
        return tau * local * (slab / (slab + (tau * local) ** 2)).sqrt()

    def __str__(self) -> str:
        return f"horseshoe({self.relevant:g}, {self.slab_df:g}, {self.slab_scale:g})"


class _Coefficients:
    """How a setting of coefficients is read: a horseshoe, or a prior literal on the real numbers."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            read, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        names = "|".join(["horseshoe", *(name for name, rule in PRIORS.items() if rule.support == "real")])
        return {
            "type": "string",
            "pattern": rf"^\s*({names})\s*\(.*\)\s*$",
            "description": f"a prior literal such as normal(0, 2.5), or {SIGNATURE}",
        }


CoefficientPrior = Annotated[Prior | Horseshoe, _Coefficients]


def read(value: Any) -> Prior | Horseshoe:
    """A setting as a prior of coefficients; the error's words are for the user."""
    if isinstance(value, Prior | Horseshoe):
        prior = value
    elif isinstance(value, str):
        try:
            prior = Horseshoe.parse(value) if re.match(r"\s*horseshoe\b", value) else Prior.parse(value)
        except ValueError as error:
            raise PydanticCustomError("prior", "{sentence}", {"sentence": str(error)}) from error
    else:
        remedy = "write it like `normal(0, 2.5)`"
        raise PydanticCustomError("prior", "must be a prior, got {shown}; " + remedy, {"shown": repr(value)})
    if isinstance(prior, Prior) and prior.support != "real":
        fitting = ", ".join(f"`{name}`" for name, rule in PRIORS.items() if rule.support == "real")
        sentence = f"must be a prior on the real, got `{prior}`; use {fitting}, `horseshoe`"
        raise PydanticCustomError("support", "{sentence}", {"sentence": sentence})
    return prior
