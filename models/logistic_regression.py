"""Logistic regression: the log odds of a yes/no outcome are a weighted sum of predictors.

    intercept           ~ intercept_prior
    beta[k]             ~ prior                                        k = 1..K terms of the formula
    group_sd[e]         ~ group_sd_prior                               e = 1..E varying effects, `(1 + x | g)`
    group_z[m]          ~ Normal(0, 1)                                 m = 1..M, one for each effect and group
    group_partial[p]    ~ Beta(a[p], a[p])                             p = 1..P pairs of correlated effects
    group_effect[m]     = group_sd[effect of m] (L group_z)[m]
    logit[n]            = intercept + x[n] . beta + sum over e of w[n, e] group_effect[member of n, e]
    noise               ~ noise_prior                                  with robust
    y[n]                ~ Bernoulli(logit = logit[n])                  n = 1..N; with trials, Binomial(trials[n], ...)
    y[n]                ~ RobustBernoulli(logit[n], noise)             with robust
    class_intercept[c]  ~ intercept_prior                              with categorical, c = 2..C labels
    class_beta[c]       ~ prior for each term
    y[n]                ~ Softmax(0, class_intercept[c] + x[n] . class_beta[c] for c = 2..C)
    global_scale        ~ half_cauchy(tau0)                            with prior: horseshoe(relevant)
    slab_variance       ~ inverse_gamma(slab_df / 2, slab_df slab_scale^2 / 2)
    local_scale[k]      ~ half_cauchy(1)
    beta_z[k]           ~ Normal(0, 1), and beta[k] = beta_z[k] global_scale s[k]
    class_beta_z[c]     ~ Normal(0, 1) for each term, likewise; a term matters for all labels or for none

With `standardise: true`, x[n, k] is the formula's column less its mean over its population standard deviation (ddof 0),
and the priors hold on that scale: beta[k] is the change in log odds for one standard deviation, intercept the log odds
at the mean of every predictor; so are the columns w of varying slopes. The same posterior is also reported on the
columns' own scale, as `beta_raw` and `intercept_raw` (`class_beta_raw`, `class_intercept_raw`):

    beta_raw[k] = beta[k] / sd[k],    intercept_raw = intercept - sum over k of beta_raw[k] mean[k].

The varying effects of one group are correlated behind `|`, by the factor L of a correlation matrix that has an LKJ
prior, and independent behind `||` (L = 1); `models.correlated_effects` says how L comes of partial correlations.

`likelihood: robust` is for labels of which some are wrong: with probability `noise` a label is a coin's toss, so that
`mislabelled = noise / 2` is the share of wrong ones (`models.distributions.robust`). `categorical` is for any number of
labels: the first (numbers by value, words by alphabet) is the reference, and class_beta[c] changes the log odds of
label c against it. The horseshoe is told in `models.horseshoe`, the average marginal effects in `models.effects`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from models import effects
from models.base import Data, Dims, Quantities
from models.columns import Column, Table, plain
from models.correlated_effects import correlations, factor, mixed
from models.errors import InputError
from models.formulas import WHERE, Design, design, outcome, rows_of, standardised, used_columns
from models.groups import Groups, apply, as_data, effects_of, grouped, rows_in, split
from models.horseshoe import CoefficientPrior, Horseshoe
from models.priors import Prior, on
from models.separation import separation
from models.settings import SETTINGS

if TYPE_CHECKING:
    from torch import Tensor


class Parts(NamedTuple):
    """A formula at the fitted rows: the outcome's column, the predictors, and the varying effects."""

    outcome: str
    design: Design
    groups: Groups | None


@dataclass(frozen=True, config=SETTINGS)
class LogisticRegression:
    """`formula` names outcome and predictors (`y ~ x1 + scale(x2) + C(g)`); `0 +` leaves the intercept out, and
    `(1 + x | g)` lets intercept and slope vary over groups."""

    formula: Annotated[str, Field(description="outcome ~ predictors, for instance `y ~ x1 + scale(x2) + C(g)`")]
    event: Annotated[str | int | bool | None, Field(description="the value of the outcome that counts as 1")] = None
    trials: Annotated[str | None, Field(description="the column of trials, the outcome being successes")] = None
    likelihood: Annotated[
        Literal["bernoulli", "robust", "categorical"],
        Field(description="robust: some labels are wrong; categorical: any labels"),
    ] = "bernoulli"
    standardise: Annotated[bool, Field(description="priors hold for columns less mean over sd")] = True
    prior: Annotated[CoefficientPrior, Field(description="prior of the coefficients, or horseshoe(relevant)")] = Prior(
        "normal", (0.0, 2.5)
    )
    intercept_prior: Annotated[
        Prior, on("real"), Field(description="prior of the log odds at the predictors' means")
    ] = Prior("normal", (0.0, 2.5))
    group_sd_prior: Annotated[Prior, on("positive"), Field(description="prior of the sd of each varying effect")] = (
        Prior("half_normal", (1.0,))
    )
    lkj: Annotated[float, Field(gt=0, description="eta of the LKJ prior of varying effects' correlations")] = 1.0
    noise_prior: Annotated[
        Prior, on("unit interval"), Field(description="prior of the share of labels tossed (robust)")
    ] = Prior("beta", (1.0, 9.0))

    dims: ClassVar[Dims] = {
        "intercept": (),
        "beta": ("term",),
        "intercept_raw": (),
        "beta_raw": ("term",),
        "group_sd": ("effect",),
        "group_partial": ("pair",),
        "group_z": ("member",),
        "noise": (),
        "class_intercept": ("class",),
        "class_beta": ("class", "term"),
        "class_intercept_raw": ("class",),
        "class_beta_raw": ("class", "term"),
        "global_scale": (),
        "slab_variance": (),
        "local_scale": ("term",),
        "beta_z": ("term",),
        "class_beta_z": ("class", "term"),
        "y": ("row",),
    }
    outcomes: ClassVar[tuple[str, ...]] = ("y",)
    exchangeable: ClassVar[str | None] = None
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            "(left of ~)",
            "binary",
            "the outcome: 0/1, true/false, or two values with `event` naming the one that counts; "
            "successes with `trials`; any labels with `likelihood: categorical`",
        ),
        Column("(right of ~)", "number", "the predictors, numbers or labels, as the formula names them"),
        Column("(right of |)", "category", "the groups over which effects vary", required=False),
        Column("(trials)", "count", "how many trials the successes are out of", required=False),
    )

    @model_validator(mode="after")
    def fits_together(self) -> LogisticRegression:
        """Settings that contradict each other are refused where they are made."""
        rules = {
            "`event` has no part to play with `trials`": self.trials is not None and self.event is not None,
            f"`trials` go with `likelihood: bernoulli` alone, got `{self.likelihood}`": self.trials is not None
            and self.likelihood != "bernoulli",
            "`event` has no part to play with `likelihood: categorical`": self.event is not None
            and self.likelihood == "categorical",
            "varying effects are for outcomes of two labels, not for `likelihood: categorical`": bool(
                self.likelihood == "categorical" and split(self.formula)[1]
            ),
        }
        for rule, broken in rules.items():
            if broken:
                raise PydanticCustomError("settings", "{s}", {"s": f"{rule}; leave one of them out"})
        return self

    def __call__(
        self,
        x: Tensor,
        mean: Tensor,
        sd: Tensor,
        has_intercept: bool = True,
        num_observations: float = 0,
        num_classes: int = 0,
        trials: Tensor | None = None,
        group_x: Tensor | None = None,
        group_member: Tensor | None = None,
        effect_of: Tensor | None = None,
        partners: Tensor | None = None,
        pair_place: Tensor | None = None,
        pair_there: Tensor | None = None,
        pair_own: Tensor | None = None,
        pair_shape: Tensor | None = None,
    ) -> None:
        import pyro
        import pyro.distributions as dist

        from models.distributions.robust import RobustBernoulli

        if num_classes:
            return self.categorical(x, mean, sd, has_intercept, num_observations, num_classes)
        logit: Any = 0.0
        if has_intercept:
            intercept = logit = pyro.sample("intercept", self.intercept_prior.distribution())
        if x.shape[1]:
            if isinstance(self.prior, Horseshoe):
                scales = self.prior.scales(x.shape[1], num_observations)
                with pyro.plate("term", x.shape[1]):
                    z = pyro.sample("beta_z", dist.Normal(0.0, 1.0))
                beta = pyro.deterministic("beta", z * scales)
            else:
                with pyro.plate("term", x.shape[1]):
                    beta = pyro.sample("beta", self.prior.distribution())
            logit = logit + x @ beta
        if self.standardise and x.shape[1]:
            beta_raw = pyro.deterministic("beta_raw", beta / sd)
            if has_intercept:
                pyro.deterministic("intercept_raw", intercept - beta_raw @ mean)
        if group_x is not None and group_member is not None and effect_of is not None:
            with pyro.plate("effect", group_x.shape[1]):
                group_sd = pyro.sample("group_sd", self.group_sd_prior.distribution())
            if pair_shape is not None:
                with pyro.plate("pair", len(pair_shape)):
                    partial = pyro.sample("group_partial", dist.Beta(self.lkj + pair_shape, self.lkj + pair_shape))
            with pyro.plate("member", len(effect_of)):
                group_z = pyro.sample("group_z", dist.Normal(0.0, 1.0))
            if pair_shape is not None:
                columns = factor(2 * partial - 1, pair_place, pair_there, pair_own)
                group_z = mixed(columns, group_z, effect_of, partners)
            logit = logit + (group_x * (group_sd[effect_of] * group_z)[group_member]).sum(-1)
        noise = pyro.sample("noise", self.noise_prior.distribution()) if self.likelihood == "robust" else None
        with pyro.plate("row", len(x)):
            if trials is not None:
                pyro.sample("y", dist.Binomial(trials, logits=logit))
            elif noise is not None:
                pyro.sample("y", RobustBernoulli(logit, noise))
            else:
                pyro.sample("y", dist.Bernoulli(logits=logit))

    def categorical(
        self, x: Tensor, mean: Tensor, sd: Tensor, has_intercept: bool, num_observations: float, num_classes: int
    ) -> None:
        """The program of outcomes with any number of labels."""
        import pyro
        import pyro.distributions as dist
        import torch

        from models.distributions.softmax import Softmax

        num_terms = x.shape[1]
        scores = x.new_zeros(len(x), num_classes - 1)
        if num_terms and isinstance(self.prior, Horseshoe):
            scales = self.prior.scales(num_terms, num_observations)
        with pyro.plate("class", num_classes - 1):
            if has_intercept:
                intercept = pyro.sample("class_intercept", self.intercept_prior.distribution())
                scores = scores + intercept
            if num_terms:
                if isinstance(self.prior, Horseshoe):
                    z = pyro.sample("class_beta_z", dist.Normal(0.0, torch.ones(num_terms)).to_event(1))
                    beta = pyro.deterministic("class_beta", z * scales, event_dim=1)
                else:
                    law = self.prior.distribution().expand((num_terms,)).to_event(1)
                    beta = pyro.sample("class_beta", law)
                scores = scores + x @ beta.T
            if self.standardise and num_terms:
                beta_raw = pyro.deterministic("class_beta_raw", beta / sd, event_dim=1)
                if has_intercept:
                    pyro.deterministic("class_intercept_raw", intercept - beta_raw @ mean)
        with pyro.plate("row", len(x)):
            pyro.sample("y", Softmax(torch.cat([x.new_zeros(len(x), 1), scores], -1)))

    def parts(self, table: Table) -> Parts:
        """The formula at a table's rows; `.` stands for neither groups nor trials, unless they are named."""
        fixed, terms = split(self.formula)
        apart = {name for term in terms for name in term.by} | ({self.trials} - {None})
        apart -= set(used_columns({fixed}, table))
        rest = {name: values for name, values in table.columns.items() if name not in apart}
        rows = Table(rest, table.origin, table.names, table.num_rows)
        found, name = design(fixed, rows), outcome(fixed, rows)
        if not found.terms and not found.intercept and not terms:
            raise InputError(WHERE, "has neither predictors nor an intercept", "write it like `y ~ x1 + x2`")
        return Parts(name, found, grouped(terms, name, table, self.standardise) if terms else None)

    def data(self, table: Table, *, observed: bool = True) -> Data:
        name, found, groups = self.parts(table)
        inputs: dict[str, Any] = standardised(found, table, self.standardise)
        coords: dict[str, Any] = {"term": found.terms}
        dims: dict[str, tuple[str, ...]] = {"x": ("row", "term"), "mean": ("term",), "sd": ("term",)}
        if self.trials is not None:
            inputs["trials"], dims["trials"] = self.trials_of(name, table), ("row",)
        if groups is not None:
            told = as_data(groups)
            inputs, coords, dims = {**inputs, **told.inputs}, {**coords, **told.coords}, {**dims, **told.dims}
        if self.likelihood == "categorical":
            y, labels = self.labels(name, table)
            inputs["num_classes"], coords["class"] = len(labels), labels[1:]
            coords["label"] = labels
        elif observed:
            y = self.yes_or_no(name, table) if self.trials is None else self.successes(name, table)
        if isinstance(self.prior, Horseshoe) and found.terms:
            inputs["num_observations"] = float(np.sum(inputs.get("trials", np.ones(table.num_rows))))
            self.prior.tau0(len(found.terms), inputs["num_observations"])
        return Data(inputs, {"y": y} if observed else {}, coords, dims)

    def yes_or_no(self, name: str, table: Table) -> np.ndarray:
        """The outcome as 0.0 and 1.0, `(rows,)`."""
        return table.binary(name, self.event)

    def successes(self, name: str, table: Table) -> np.ndarray:
        y = table.count(name)
        table.refuse(name, y > self.trials_of(name, table), f"must not exceed `{self.trials}`", "correct the row")
        return y

    def trials_of(self, name: str, table: Table) -> np.ndarray:
        """How many trials each row has, `(rows,)`."""
        if self.trials == name:
            raise InputError("model.trials", f"`{name}` is the outcome", "name the column of trials")
        assert self.trials is not None
        return table.count(self.trials)

    def labels(self, name: str, table: Table) -> tuple[np.ndarray, list[str]]:
        """Codes `(rows,)` and labels of an outcome with any number of them; the first is the reference."""
        y, labels = table.category(name)
        if len(labels) < 2:
            rule = f"has one label alone, {labels[0]!r}, so there is nothing to tell apart"
            raise InputError(table.where(name), rule, "give rows with other outcomes, too")
        return y, labels

    def quantities(self, draws: Mapping[str, np.ndarray], data: Data) -> Quantities:
        """Odds ratios for one standard deviation and (`_raw`) one unit of each term, average marginal effects for one
        unit, and where the model has them effects of groups and the share of mislabelled rows."""
        found: dict[str, np.ndarray] = {}
        dims: dict[str, tuple[str, ...]] = {}
        site, axes = ("class_beta", ("class", "term")) if "num_classes" in data.inputs else ("beta", ("term",))
        if site in draws:
            units = {"odds_ratio": 1.0, "odds_ratio_raw": data.inputs["sd"]}
            for quantity in units if self.standardise else ("odds_ratio",):
                found[quantity], dims[quantity] = effects.odds_ratio(draws[site] / units[quantity]), axes
            of_labels = effects.average_marginal_effects(draws, effects.fitted(data))
            several = site == "class_beta"
            found["average_marginal_effect"] = of_labels if several else of_labels[:, :, 1]
            dims["average_marginal_effect"] = ("label", "term") if several else ("term",)
        rows = rows_in(data)
        if rows is not None:
            found["group_effect"], dims["group_effect"] = effects_of(draws, rows), ("member",)
            if rows.pairs is not None:
                found["group_correlation"], dims["group_correlation"] = correlations(draws, rows.pairs), ("pair",)
        if "noise" in draws:
            found["mislabelled"], dims["mislabelled"] = draws["noise"] / 2, ()
        return Quantities(found, dims)

    def predict(
        self, draws: Mapping[str, np.ndarray], fitted: Table, table: Table, mass: float = 0.9
    ) -> dict[str, np.ndarray]:
        """`P(outcome=event)` of each row with the ends `lower` and `upper` of its interval; with `categorical` the most
        likely label, and the three numbers for every label. Groups that were not fitted are drawn from the population
        of groups. With `robust`, probabilities are of the true label."""
        name, found, groups = self.parts(fitted)
        own = standardised(found, fitted, self.standardise)
        x = (rows_of(found, table) - own["mean"]) / own["sd"]
        p = effects.predicted(draws, x, None if groups is None else apply(groups, table), mass)
        if self.likelihood != "categorical":
            event = "" if self.trials is not None else f"={plain(self.event) if self.event is not None else 1}"
            return {f"P({name}{event})": p.mean[:, 1], "lower": p.lower[:, 1], "upper": p.upper[:, 1]}
        labels = self.labels(name, fitted)[1]
        columns: dict[str, np.ndarray] = {name: np.array(labels, dtype=object)[p.mean.argmax(axis=1)]}
        for c, label in enumerate(labels):
            columns[f"P({name}={label})"] = p.mean[:, c]
            columns[f"P({name}={label}) lower"], columns[f"P({name}={label}) upper"] = p.lower[:, c], p.upper[:, c]
        return columns

    def class_log_joint(self, draws: Mapping[str, np.ndarray], data: Data, rows: slice) -> np.ndarray:
        """log p(label | row, parameters), `(draws, rows, labels)`, with `likelihood: categorical`; draws are `(draws,
        *shape)` by site."""
        against_first = effects.scores(draws, data.inputs["x"][rows], None)
        raised = np.concatenate([np.zeros_like(against_first[..., :1]), against_first], axis=-1)
        raised -= raised.max(axis=-1, keepdims=True)
        return np.asarray(raised - np.log(np.exp(raised).sum(axis=-1, keepdims=True)))

    def remarks(self, draws: Mapping[str, np.ndarray], data: Data) -> tuple[str, ...]:
        """Whether predictors separate the outcome, in a sentence; empty where they do not."""
        if "y" not in data.observed or "group_x" in data.inputs or self.likelihood == "robust":
            return ()
        return separation(data)

    def mislabelled(self, draws: Mapping[str, np.ndarray], data: Data) -> np.ndarray:
        """P(row n's label is wrong | y[n], parameters), `(*draws, rows)`; its mean over draws is the probability given
        all data. By Bayes' rule, eps P(true label is the other one) / P(y[n]).

        InputError unless `likelihood: robust`, where alone a label can be wrong.
        """
        if self.likelihood != "robust":
            rule = f"no label is wrong with `likelihood: {self.likelihood}`"
            raise InputError("model.likelihood", rule, "ask it of a model with `likelihood: robust`")
        return effects.wrong_labels(draws, effects.fitted(data), data.observed["y"])
