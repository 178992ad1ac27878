"""Logistic regression: the log odds of a yes/no outcome are a weighted sum of predictors.

    intercept  ~ intercept_prior
    beta[k]    ~ prior                                        k = 1..K terms of the formula
    y[n]       ~ Bernoulli(logit = intercept + x[n] . beta)   n = 1..N

With `standardise: true`, x[n, k] is the formula's column less its mean over its population standard deviation (ddof 0),
and the priors hold on that scale: beta[k] is the change in log odds for one standard deviation, intercept the log odds
at the mean of every predictor. The same posterior is also reported on the columns' own scale, as `beta_raw` and
`intercept_raw`:

    beta_raw[k] = beta[k] / sd[k],    intercept_raw = intercept - sum over k of beta_raw[k] mean[k].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from models.base import Data, Dims
from models.columns import Column, Table
from models.errors import InputError
from models.formulas import design, outcome, standardised
from models.priors import Prior, on
from models.settings import SETTINGS

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, config=SETTINGS)
class LogisticRegression:
    """`formula` names outcome and predictors (`y ~ x1 + scale(x2) + C(g)`); `0 +` leaves the intercept out."""

    formula: Annotated[str, Field(description="outcome ~ predictors, for instance `y ~ x1 + scale(x2) + C(g)`")]
    event: Annotated[str | int | bool | None, Field(description="the value of the outcome that counts as 1")] = None
    standardise: bool = True
    prior: Annotated[Prior, on("real")] = Prior("normal", (0.0, 2.5))
    intercept_prior: Annotated[Prior, on("real")] = Prior("normal", (0.0, 2.5))

    dims: ClassVar[Dims] = {
        "intercept": (),
        "beta": ("term",),
        "intercept_raw": (),
        "beta_raw": ("term",),
        "y": ("row",),
    }
    outcomes: ClassVar[tuple[str, ...]] = ("y",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            "(left of ~)",
            "binary",
            "the outcome: 0/1, true/false, or two values with `event` naming the one that counts",
        ),
        Column("(right of ~)", "number", "the predictors, numbers or labels, as the formula names them"),
    )

    def __call__(self, x: Tensor, mean: Tensor, sd: Tensor, has_intercept: bool = True) -> None:
        import pyro
        import pyro.distributions as dist

        logit = 0.0
        if has_intercept:
            intercept = logit = pyro.sample("intercept", self.intercept_prior.distribution())
        if x.shape[1]:
            with pyro.plate("term", x.shape[1]):
                beta = pyro.sample("beta", self.prior.distribution())
            logit = logit + x @ beta
        if self.standardise and x.shape[1]:
            beta_raw = pyro.deterministic("beta_raw", beta / sd)
            if has_intercept:
                pyro.deterministic("intercept_raw", intercept - beta_raw @ mean)
        with pyro.plate("row", len(x)):
            pyro.sample("y", dist.Bernoulli(logits=logit))

    def data(self, table: Table, *, observed: bool = True) -> Data:
        found = design(self.formula, table)
        if not found.terms and not found.intercept:
            raise InputError("model.formula", "has neither predictors nor an intercept", "write it like `y ~ x1 + x2`")
        inputs: dict[str, Any] = standardised(found, table, self.standardise)
        outcomes = {"y": table.binary(outcome(self.formula, table), self.event)} if observed else {}
        return Data(inputs, outcomes, {"term": found.terms}, {"x": ("row", "term"), "mean": ("term",), "sd": ("term",)})
