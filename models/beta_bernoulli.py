"""Beta-Bernoulli: yes/no outcomes with an unknown rate, one for all rows, one for each group, or related ones.

    mu         ~ mean_prior                            pooling: partial, the groups' mean rate
    rho        ~ spread_prior                          where that is on the unit interval: how alike outcomes of a group
    kappa      ~ spread_prior                          where that is on the positive numbers; kappa = 1 / rho - 1
    theta[g]   ~ Beta(mu kappa, (1 - mu) kappa)        g = 1..G
    offset[g]  ~ the distribution that gives theta[g] this one: a coordinate of it, for samplers
    theta[g]   ~ prior                                 pooling: none, g = 1..G; complete, or no groups: a single theta
    y[n]       ~ Bernoulli(theta[group[n]])            n = 1..N, outcomes as rows
    y[n]       ~ Binomial(trials[n], theta[group[n]])  n = 1..N, outcomes as successes of trials

Without pooling and with complete pooling, a beta prior is conjugate (Gelman et al., Bayesian Data Analysis, 3rd ed.,
section 2.4): with s[g] ones among m[g] outcomes,

    theta[g] | y  ~  Beta(a + s[g], b + m[g] - s[g]).

With partial pooling the groups are draws of one population (the hierarchical beta-binomial model, section 5.3), and
each group's rate is drawn towards its mean, the more so the less is known of it. kappa counts the outcomes that the
population is worth; rho = 1 / (1 + kappa) is the correlation of two outcomes of one group. The default, rho uniform,
is the uniform shrinkage prior: kappa has density 1 / (1 + kappa)^2 (Daniels 1999, Canadian Journal of Statistics 27).
The prior of section 5.3, (a + b)^(-5/2) in a = mu kappa and b = (1 - mu) kappa, is inverse_gamma(0.5, 1e-6) on kappa.

Quantities compare two groups or more: best[g] is 1 where theta[g] is the largest rate, so that its mean is P(best);
loss[g] is what the largest has more, so that its mean is the expected loss of choosing g. Against the baseline (of two
groups the first), beats[h] is 1 where theta[h] is larger, lift[h] is theta[h] - theta[baseline], and relative_lift[h]
is theta[h] / theta[baseline] - 1. Under `exact` they are computed from the closed form, by quadrature.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from models.base import Data, Dims, Quantities
from models.columns import Column, Table, levels_of
from models.errors import InputError, did_you_mean
from models.priors import Prior, on
from models.rate_contrasts import Chances, Contrast, Contrasts
from models.rate_predictions import NEW, predictions
from models.rates import Rates
from models.settings import SETTINGS

if TYPE_CHECKING:
    from torch import Tensor

MOST_EXACT = 12  # groups compared by quadrature; more are compared by draws


def spread(prior: Prior) -> Prior:
    """The rule of `spread_prior`: its support says whether it is of rho or of kappa."""
    if prior.support not in ("unit interval", "positive"):
        rule = "must be a prior on the unit interval (of rho) or on the positive numbers (of kappa)"
        raise PydanticCustomError("support", "{s}", {"s": f"{rule}, got `{prior}`; use for instance `beta(1, 1)`"})
    return prior


@dataclass(frozen=True, config=SETTINGS)
class BetaBernoulli:
    """Rates under one prior, beta(a, b), which counts a - 1 ones and b - 1 zeros in the mode (beta(1, 1) is uniform),
    or, with partial pooling, under a population that is learnt from the groups."""

    prior: Annotated[Prior, on("unit interval"), Field(description="prior of each rate (pooling: none, complete)")] = (
        Prior("beta", (1.0, 1.0))
    )
    pooling: Annotated[
        Literal["none", "complete", "partial"],
        Field(description="none: a rate a group; complete: one rate for all; partial: rates of one population"),
    ] = "none"
    mean_prior: Annotated[
        Prior, on("unit interval"), Field(description="prior of the population's mean rate (pooling: partial)")
    ] = Prior("beta", (1.0, 1.0))
    spread_prior: Annotated[
        Prior, AfterValidator(spread), Field(description="prior of rho in 0..1 or kappa above 0 (pooling: partial)")
    ] = Prior("beta", (1.0, 1.0))
    baseline: Annotated[str | None, Field(description="the group that lifts are measured against")] = None

    dims: ClassVar[Dims] = {
        "mu": (),
        "rho": (),
        "kappa": (),
        "offset": ("group",),
        "theta": ("group",),
        "y": ("row",),
    }
    outcomes: ClassVar[tuple[str, ...]] = ("y",)
    exchangeable: ClassVar[str | None] = None
    columns: ClassVar[tuple[Column, ...]] = (
        Column("outcome", "binary", "0 or 1 in each row", required=False),
        Column("successes", "count", "number of ones, with `trials`", required=False),
        Column("trials", "count", "number of outcomes, with `successes`", required=False),
        Column("group", "category", "label of the group whose rate the row shares", required=False),
    )

    def __call__(
        self,
        num_rows: int,
        group: Tensor | None = None,
        num_groups: int = 0,
        trials: Tensor | None = None,
        ones: Tensor | None = None,
        zeros: Tensor | None = None,
    ) -> None:
        """ones, zeros: how many of each group were seen, `(groups,)`; they choose the coordinates of a population's
        rates and change no probability."""
        import pyro
        import pyro.distributions as dist

        if self.pooling == "partial":
            theta = self.population(num_groups, ones, zeros)
        else:
            with nullcontext() if group is None else pyro.plate("group", num_groups):
                theta = pyro.sample("theta", self.prior.distribution())
        rate = theta if group is None else theta[group]
        with pyro.plate("row", num_rows):
            pyro.sample("y", dist.Bernoulli(rate) if trials is None else dist.Binomial(trials, rate))

    def population(self, num_groups: int, ones: Tensor | None, zeros: Tensor | None) -> Tensor:
        """The rates of groups that are draws of one population, `(groups,)`."""
        import pyro
        import torch

        from models.distributions.offset import Offset

        mu = pyro.sample("mu", self.mean_prior.distribution())
        if self.spread_prior.support == "unit interval":
            rho = pyro.sample("rho", self.spread_prior.distribution())
            kappa = pyro.deterministic("kappa", (1 - rho) / rho)
        else:
            kappa = pyro.sample("kappa", self.spread_prior.distribution())
            pyro.deterministic("rho", 1 / (1 + kappa))
        nothing = torch.zeros(num_groups)
        fn = Offset(
            mu * kappa, (1 - mu) * kappa, nothing if ones is None else ones, nothing if zeros is None else zeros
        )
        with pyro.plate("group", num_groups):
            log_odds = fn.log_odds(pyro.sample("offset", fn))
            return pyro.deterministic("theta", torch.sigmoid(log_odds))

    def data(self, table: Table, *, observed: bool = True) -> Data:
        """With complete pooling, a column of groups is not looked at; with partial pooling and none, every row of
        successes and trials is a group."""
        inputs: dict[str, Any] = {"num_rows": table.num_rows}
        outcomes: dict[str, Any] = {}
        coords: dict[str, list[str]] = {}
        dims: dict[str, tuple[str, ...]] = {"trials": ("row",), "group": ("row",)}
        if "trials" in table:
            inputs["trials"] = table.count("trials")
        if self.pooling != "complete" and "group" in table:
            inputs["group"], coords["group"] = table.category("group")
        elif self.pooling == "partial" and "trials" in table:
            rows = np.arange(table.num_rows)
            inputs["group"], coords["group"] = rows, [str(row + 1) for row in rows]
        if "group" in inputs:
            inputs["num_groups"] = len(coords["group"])
        self.check_groups(table, coords.get("group", []))
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
            if self.pooling == "partial":
                seen = Data(inputs, outcomes, coords)
                inputs["ones"], inputs["zeros"] = counted(seen)
                coords["seen_group"] = coords["group"]  # `group` is an input's name, too
                dims |= {"ones": ("seen_group",), "zeros": ("seen_group",)}
        return Data(inputs, outcomes, coords, dims)

    def check_groups(self, table: Table, groups: list[str]) -> None:
        """Partial pooling needs groups, and the baseline is one of them."""
        if self.pooling == "partial" and not groups:
            rule = "`pooling: partial` relates the rates of groups, and there is no column `group`"
            raise InputError(table.origin, rule, "name one under data.columns")
        if self.pooling == "partial" and len(groups) < 2:
            where = table.where("group") if "group" in table else table.origin
            rule = f"`pooling: partial` needs two groups or more, got one (`{groups[0]}`)"
            raise InputError(where, rule, "set `pooling: none`")
        if self.baseline is not None and self.baseline not in groups:
            rule = f"`{self.baseline}` is not a group" if groups else "there are no groups to compare"
            raise InputError("model.baseline", rule, did_you_mean(self.baseline, groups) if groups else "leave it out")

    def compared(self, groups: list[str]) -> tuple[int, list[int]] | None:
        """The places of the baseline and of the groups that it is compared with; None where there is no baseline."""
        if self.baseline is None and len(groups) != 2:
            return None
        base = 0 if self.baseline is None else groups.index(self.baseline)
        return base, [place for place in range(len(groups)) if place != base]

    def quantities(self, draws: Mapping[str, np.ndarray], data: Data) -> Quantities:
        """`best`, `loss`, and against the baseline `beats`, `lift` and `relative_lift`; none for fewer than two
        groups."""
        groups = list(data.coords.get("group", []))
        if len(groups) < 2:
            return Quantities()
        theta = draws["theta"]
        largest = theta.max(axis=-1, keepdims=True)
        found = {"best": (theta == largest).astype(float), "loss": largest - theta}
        dims: dict[str, tuple[str, ...]] = {"best": ("group",), "loss": ("group",)}
        coords: dict[str, list[str]] = {}
        if (places := self.compared(groups)) is not None:
            base, others = theta[..., [places[0]]], theta[..., places[1]]
            found |= {"beats": (others > base).astype(float), "lift": others - base, "relative_lift": others / base - 1}
            dims |= dict.fromkeys(("beats", "lift", "relative_lift"), ("challenger",))
            coords["challenger"] = [groups[place] for place in places[1]]
        return Quantities(found, dims, coords)

    def exact_quantities(self, marginals: Mapping[str, Any], data: Data) -> dict[str, Any]:
        """The quantities' marginals where those of theta are known: distributions with mean, std, ppf and pdf, by name.
        Those of more than MOST_EXACT groups, and those without a standard deviation, are left to draws."""
        groups = list(data.coords.get("group", []))
        if not 2 <= len(groups) <= MOST_EXACT:
            return {}
        rates = Rates(*marginals["theta"].args)
        turns = [[g, *(h for h in range(len(groups)) if h != g)] for g in range(len(groups))]
        found: dict[str, Any] = {
            "best": Chances(rates.best()),
            "loss": Contrasts([Contrast("loss", rates.only(turn)) for turn in turns]),
        }
        if (places := self.compared(groups)) is not None:
            pairs = [rates.only([places[0], other]) for other in places[1]]
            found["beats"] = Chances(np.array([pair.best()[1] for pair in pairs]))
            for kind in ("lift", "relative_lift"):
                found[kind] = Contrasts([Contrast(kind, pair) for pair in pairs])
        return {name: known for name, known in found.items() if np.isfinite(known.std()).all()}

    def posterior(self, data: Data) -> Rates:
        """The posterior in closed form, without pooling or with complete pooling, under a beta or uniform prior: its
        `updated` takes further outcomes in without the old ones, its `predictive` is of new trials."""
        if self.pooling == "partial":
            raise InputError("model.pooling", "with `partial` there is no closed form", "use `nuts` or `svi`")
        a, b = self.prior.arguments if self.prior.name == "beta" else (1.0, 1.0)
        ones, zeros = counted(data)
        return Rates(np.full(len(ones), a), np.full(len(ones), b)).updated(ones, zeros)

    def predict(
        self, draws: Mapping[str, np.ndarray], fitted: Table, table: Table, mass: float = 0.9
    ) -> dict[str, np.ndarray]:
        """`mean`, `lower` and `upper` of each row's rate, `(rows,)`; the mean is the probability that its next outcome
        is a one. With `trials` also those of its successes.

        A group that no fitted row had is a draw of the population under partial pooling, and so is every row where
        groups have no names; without pooling, InputError names its row.
        """
        places = np.full(table.num_rows, NEW if self.pooling == "partial" else 0)
        if "group" in fitted and self.pooling != "complete":
            groups = levels_of(fitted.column("group"))
            codes, labels = table.category("group")
            places = np.array([groups.index(label) if label in groups else NEW for label in labels])[codes]
            if self.pooling == "none":
                remedy = "fit rows of the group, or set `pooling: partial`"
                table.refuse("group", places == NEW, "is not a group of the fitted rows", remedy)
        trials = table.count("trials") if "trials" in table else None
        return predictions(draws, places, trials, mass)


def counted(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """How many ones and zeros the data hold of every group, `(groups,)`; of all rows together where there are none."""
    y = data.observed["y"]
    group = data.inputs.get("group", np.zeros(len(y), dtype=int))
    trials = data.inputs.get("trials", np.ones(len(y)))
    size = max(data.inputs.get("num_groups", 1), 1)
    ones = np.bincount(group, weights=y, minlength=size)
    return ones, np.bincount(group, weights=trials, minlength=size) - ones
