"""Beta-Bernoulli: yes/no outcomes with an unknown rate, one for all rows or one for each group.

    theta[g]  ~ Beta(a, b)                            g = 1..G, or a single theta
    y[n]      ~ Bernoulli(theta[group[n]])            n = 1..N, outcomes as rows
    y[n]      ~ Binomial(trials[n], theta[group[n]])  n = 1..N, outcomes as successes of trials

Conjugate (Gelman et al., Bayesian Data Analysis, 3rd ed., section 2.4): with s[g] ones among m[g] outcomes,

    theta[g] | y  ~  Beta(a + s[g], b + m[g] - s[g]).
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic.dataclasses import dataclass

from models.base import Data, Dims
from models.columns import Column, Table
from models.errors import InputError
from models.priors import Prior, on
from models.settings import SETTINGS

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, config=SETTINGS)
class BetaBernoulli:
    """Exchangeable rates under one prior; beta(a, b) counts a - 1 ones and b - 1 zeros in the mode, beta(1, 1) is
    uniform."""

    prior: Annotated[Prior, on("unit interval")] = Prior("beta", (1.0, 1.0))

    dims: ClassVar[Dims] = {"theta": ("group",), "y": ("row",)}
    outcomes: ClassVar[tuple[str, ...]] = ("y",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column("outcome", "binary", "0 or 1 in each row", required=False),
        Column("successes", "count", "number of ones, with `trials`", required=False),
        Column("trials", "count", "number of outcomes, with `successes`", required=False),
        Column("group", "category", "label of the group whose rate the row shares", required=False),
    )

    def __call__(
        self, num_rows: int, group: Tensor | None = None, num_groups: int = 0, trials: Tensor | None = None
    ) -> None:
        import pyro
        import pyro.distributions as dist

        with nullcontext() if group is None else pyro.plate("group", num_groups):
            theta = pyro.sample("theta", self.prior.distribution())
        rate = theta if group is None else theta[group]
        with pyro.plate("row", num_rows):
            pyro.sample("y", dist.Bernoulli(rate) if trials is None else dist.Binomial(trials, rate))

    def data(self, table: Table, *, observed: bool = True) -> Data:
        inputs: dict[str, Any] = {"num_rows": table.num_rows}
        outcomes: dict[str, Any] = {}
        coords: dict[str, list[str]] = {}
        if "trials" in table:
            inputs["trials"] = table.count("trials")
        if "group" in table:
            inputs["group"], coords["group"] = table.category("group")
            inputs["num_groups"] = len(coords["group"])
        if observed:
            if ("outcome" in table) == ("successes" in table) or ("successes" in table) != ("trials" in table):
                raise InputError(
                    table.origin,
                    "beta_bernoulli takes either `outcome`, or `successes` with `trials`, got columns "
                    + (", ".join(f"`{name}`" for name in table.columns) or "none"),
                    "name them under data.columns",
                )
            if "outcome" in table:
                outcomes["y"] = table.binary("outcome")
            else:
                outcomes["y"] = table.count("successes")
                table.refuse(
                    "successes", outcomes["y"] > inputs["trials"], "must not exceed `trials`", "correct the row"
                )
        return Data(inputs, outcomes, coords, {"trials": ("row",), "group": ("row",)})
