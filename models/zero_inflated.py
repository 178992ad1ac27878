"""Zero-inflated and hurdle regression: outcomes with more zeros than a count or an amount alone would have.

    zero_intercept  ~ zero_intercept_prior
    zero_beta[j]    ~ zero_prior                            j = 1..J terms of zero_formula
    intercept       ~ intercept_prior
    beta[k]         ~ prior                                 k = 1..K terms of formula
    phi             ~ dispersion_prior                      with negative_binomial
    sigma           ~ dispersion_prior                      with lognormal
    shape           ~ dispersion_prior                      with gamma
    logit p[n]      = zero_intercept + w[n] . zero_beta     n = 1..N
    log mu[n]       = intercept + x[n] . beta + log exposure[n]
    y[n]            ~ Inflated(p[n], F(mu[n]))              zeros: inflated
    y[n]            ~ Hurdle(p[n], F(mu[n]) above 0)        zeros: hurdle
    y[n]            ~ F(mu[n])                              zeros: none

The zero part speaks of zeros, whatever the form: a positive `zero_beta` makes zeros more likely. With `inflated`, p is
the probability of a structural zero, one that could not have been anything else; the counts F have zeros of their own,
so P(y = 0) = p + (1 - p) F(0). With `hurdle`, p is P(y = 0) itself, the probability of no event, and what lies above
the hurdle is never zero: counts are truncated. (Some software reports a hurdle's log odds of y > 0: the same numbers
with the other sign.) The exposure belongs to mu alone.

F is by `likelihood`: `poisson` with mean mu; `negative_binomial` with mean mu and variance mu + mu^2 / phi; `lognormal`
with median mu, sigma being the standard deviation of log y; `gamma` with mean mu and variance mu^2 / shape. The last
two are densities of amounts, which go with `hurdle` alone: a density is not added to the probability of zero. The mean
of a truncated F is above mu.

With `standardise: true`, x[n, k] and w[n, j] are the formulas' columns less their means over their population standard
deviations, and the priors hold on that scale; the same posterior is also reported on the columns' own scale, as
`beta_raw`, `intercept_raw`, `zero_beta_raw` and `zero_intercept_raw`. The default priors are wide: one standard
deviation of a predictor may well change mu, or the odds of a zero, by a factor of 100.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from models.base import Data, Dims, Quantities
from models.columns import Column, Table
from models.errors import InputError
from models.formulas import Design, design, outcome, rows_of, standardised, used_columns
from models.outcome_parts import COUNTS, DISPERSION, FARTHEST, chunks, parts
from models.priors import Prior, on
from models.settings import SETTINGS
from models.zero_remarks import zero_remarks

if TYPE_CHECKING:
    from pyro.distributions.torch_distribution import TorchDistribution
    from torch import Tensor

ZERO_EXAMPLE = "write its right side alone, like `1 + x`"


@dataclass(frozen=True, config=SETTINGS)
class ZeroInflated:
    """`formula` is of the mean's logarithm, `zero_formula` (its right side alone) of the log odds of a zero."""

    formula: Annotated[str, Field(description="outcome ~ predictors of its mean, for instance `y ~ x1 + C(g)`")]
    zero_formula: Annotated[str, Field(description="predictors of the zeros, for instance `1` or `x1 + x2`")] = "1"
    likelihood: Annotated[
        Literal["poisson", "negative_binomial", "lognormal", "gamma"],
        Field(description="the outcome's distribution apart from its extra zeros"),
    ] = "poisson"
    zeros: Annotated[
        Literal["inflated", "hurdle", "none"], Field(description="inflated: extra zeros; hurdle: all zeros apart")
    ] = "inflated"
    exposure: Annotated[str | None, Field(description="the column of exposures: time, area, population")] = None
    standardise: Annotated[bool, Field(description="priors hold for columns less mean over sd")] = True
    prior: Annotated[Prior, on("real"), Field(description="prior of the coefficients of `formula`")] = Prior(
        "normal", (0.0, 2.5)
    )
    intercept_prior: Annotated[
        Prior, on("real"), Field(description="prior of the log mean at the predictors' means")
    ] = Prior("normal", (0.0, 5.0))
    zero_prior: Annotated[Prior, on("real"), Field(description="prior of the coefficients of `zero_formula`")] = Prior(
        "normal", (0.0, 2.5)
    )
    zero_intercept_prior: Annotated[Prior, on("real"), Field(description="prior of the log odds of a zero")] = Prior(
        "normal", (0.0, 2.5)
    )
    dispersion_prior: Annotated[Prior, on("positive"), Field(description="prior of phi, sigma or shape")] = Prior(
        "exponential", (1.0,)
    )

    dims: ClassVar[Dims] = {
        "zero_intercept": (),
        "zero_beta": ("zero_term",),
        "intercept": (),
        "beta": ("term",),
        "phi": (),
        "sigma": (),
        "shape": (),
        "zero_intercept_raw": (),
        "zero_beta_raw": ("zero_term",),
        "intercept_raw": (),
        "beta_raw": ("term",),
        "y": ("row",),
    }
    outcomes: ClassVar[tuple[str, ...]] = ("y",)
    exchangeable: ClassVar[str | None] = None
    columns: ClassVar[tuple[Column, ...]] = (
        Column("(left of ~)", "number", "the outcome: counts, or with lognormal and gamma amounts; 0 or more"),
        Column("(right of ~)", "number", "the predictors of both parts, numbers or labels, as the formulas name them"),
        Column("(exposure)", "number", "above 0; what the mean is proportional to", required=False),
    )

    @model_validator(mode="after")
    def fits_together(self) -> ZeroInflated:
        """Settings that contradict each other are refused where they are made."""
        if self.zeros != "hurdle" and self.likelihood not in COUNTS:
            rule = f"`likelihood: {self.likelihood}` has no zeros and goes with `zeros: hurdle` alone"
            raise PydanticCustomError("zeros", "{s}", {"s": f"{rule}, got `zeros: {self.zeros}`; set `zeros: hurdle`"})
        if self.zeros == "none" and self.zero_formula.strip() != "1":
            rule = f"`zero_formula` has no part to play with `zeros: none`, got {self.zero_formula!r}"
            raise PydanticCustomError("zeros", "{s}", {"s": f"{rule}; leave it out, or set `zeros: inflated`"})
        return self

    def __call__(
        self,
        x: Tensor,
        mean: Tensor,
        sd: Tensor,
        has_intercept: bool = True,
        zero_x: Tensor | None = None,
        zero_mean: Tensor | None = None,
        zero_sd: Tensor | None = None,
        zero_has_intercept: bool = True,
        log_exposure: Tensor | None = None,
    ) -> None:
        import pyro

        zero_logit = None
        if zero_x is not None:
            priors = self.zero_prior, self.zero_intercept_prior
            zero_logit = self.predictor("zero_", priors, zero_x, zero_mean, zero_sd, zero_has_intercept)
        log_mu = self.predictor("", (self.prior, self.intercept_prior), x, mean, sd, has_intercept)
        if log_exposure is not None:
            log_mu = log_mu + log_exposure
        dispersion = None
        if self.likelihood in DISPERSION:
            dispersion = pyro.sample(DISPERSION[self.likelihood], self.dispersion_prior.distribution())
        with pyro.plate("row", len(x)):
            pyro.sample("y", self.outcome(log_mu, dispersion, zero_logit))

    def predictor(
        self, part: str, priors: tuple[Prior, Prior], x: Tensor, mean: Any, sd: Any, has_intercept: bool
    ) -> Tensor:
        """A part's linear predictor `(rows,)`; the names of its sites begin with `part`."""
        import pyro

        total = x.new_zeros(len(x))
        if has_intercept:
            intercept = pyro.sample(f"{part}intercept", priors[1].distribution())
            total = total + intercept
        if x.shape[1]:
            with pyro.plate(f"{part}term", x.shape[1]):
                beta = pyro.sample(f"{part}beta", priors[0].distribution())
            total = total + x @ beta
        if self.standardise and x.shape[1]:
            beta_raw = pyro.deterministic(f"{part}beta_raw", beta / sd)
            if has_intercept:
                pyro.deterministic(f"{part}intercept_raw", intercept - beta_raw @ mean)
        return total

    def outcome(self, log_mu: Tensor, dispersion: Any, zero_logit: Any) -> TorchDistribution:
        """The distribution of y, `(rows,)`; with `zeros: none` there is no `zero_logit`."""
        import pyro.distributions as dist

        from models.distributions import counts, hurdle

        if self.likelihood == "lognormal":
            return hurdle.Hurdle(zero_logit, dist.LogNormal(log_mu, dispersion))
        if self.likelihood == "gamma":
            return hurdle.Hurdle(zero_logit, dist.Gamma(dispersion, dispersion * counts.bounded_exp(-log_mu, 80.0)))
        poisson = self.likelihood == "poisson"
        base = counts.Poisson(log_mu) if poisson else counts.NegativeBinomial(log_mu, dispersion)
        if self.zeros == "none":
            return base
        if self.zeros == "hurdle":
            return hurdle.Hurdle(zero_logit, counts.ZeroTruncated(base))
        return hurdle.ZeroInflated(zero_logit, base)

    def data(self, table: Table, *, observed: bool = True) -> Data:
        name = outcome(self.formula, table)
        inputs, coords, dims = self.part(self.formula, table, "")
        if self.zeros != "none":
            zero_inputs, zero_coords, zero_dims = self.zero_part(name, table)
            inputs, coords, dims = inputs | zero_inputs, coords | zero_coords, dims | zero_dims
        if self.exposure is not None:
            if self.exposure == name:
                raise InputError("model.exposure", f"`{name}` is the outcome", "name the column of exposures")
            inputs["log_exposure"], dims["log_exposure"] = np.log(self.exposures(table)), ("row",)
        return Data(inputs, {"y": self.checked(name, table)} if observed else {}, coords, dims)

    def exposures(self, table: Table) -> np.ndarray:
        """The column of exposures, `(rows,)`, all above 0."""
        assert self.exposure is not None
        exposure = table.number(self.exposure)
        table.refuse(self.exposure, exposure <= 0, "must be above 0", "correct it or leave the row out")
        return exposure

    def part(self, formula: str, table: Table, part: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Inputs, coords and dims of one part's predictors."""
        found = self.design(formula, table)
        if not found.terms and not found.intercept:
            where = f"model.{part}formula"
            raise InputError(where, "has neither predictors nor an intercept", "give it at least the intercept, `1`")
        inputs = standardised(found, table, self.standardise)
        axis = f"{part}term"
        dims = {"x": ("row", axis), "mean": (axis,), "sd": (axis,)}
        return (
            {f"{part}{key}": value for key, value in inputs.items()},
            {axis: found.terms},
            {f"{part}{key}": value for key, value in dims.items()},
        )

    def zero_part(self, name: str, table: Table) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """The same for the zeros, whose formula has a right side alone."""
        if "~" in self.zero_formula or not self.zero_formula.strip():
            raise InputError("model.zero_formula", f"has no left side, got {self.zero_formula!r}", ZERO_EXAMPLE)
        try:
            return self.part(f"`{name}` ~ {self.zero_formula}", table, "zero_")
        except InputError as error:
            if error.where != "model.formula":
                raise
            raise InputError("model.zero_formula", error.rule, error.remedy) from error

    def design(self, formula: str, table: Table) -> Design:
        """The predictors; the exposure is among them only where the formula names it, never by `.`."""
        if self.exposure is None or self.exposure in used_columns({formula}, table):
            return design(formula, table)
        rest = {name: values for name, values in table.columns.items() if name != self.exposure}
        return design(formula, Table(rest, table.origin, table.names, table.num_rows))

    def checked(self, name: str, table: Table) -> np.ndarray:
        """The outcome `(rows,)`, float64; refused where it cannot tell what the model asks."""
        if self.likelihood in COUNTS:
            y = table.count(name)
        else:
            y = table.number(name)
            table.refuse(name, y < 0, "must be 0 or more", "correct it or leave the row out")
        if not y.any():
            rule = "is 0 in every row, so nothing can be learnt of what is above 0"
            raise InputError(table.where(name), rule, "give rows with other outcomes, too")
        if self.zeros == "inflated" and y.all():
            rule = "is never 0, so nothing can be learnt of structural zeros"
            raise InputError(table.where(name), rule, "set `zeros: none`, or `hurdle` where zeros went unrecorded")
        return y

    def structural_zero(self, draws: Mapping[str, np.ndarray], data: Data) -> np.ndarray:
        """P(row n is a structural zero | y[n], parameters), `(*draws, rows)`: 0 where y is not 0, and where y is not
        among the data, the probability should it turn out 0. Its mean over draws is the probability given all data.

        draws: the sites' draws `(*draws, *shape)`, for instance of shape (chains, draws). By Bayes' rule its log odds
        are zero_logit - log F(0). InputError unless `zeros: inflated`: a hurdle's zeros are of one kind.
        """
        if self.zeros != "inflated":
            rule = f"no zero is structural with `zeros: {self.zeros}`"
            raise InputError("model.zeros", rule, "ask it of a model with `zeros: inflated`")
        found = parts(self.likelihood, self.zeros, draws, data.inputs).structural_given_zero()
        return np.where(data.observed["y"] == 0, found, 0.0) if "y" in data.observed else found

    def quantities(self, draws: Mapping[str, np.ndarray], data: Data) -> Quantities:
        """`rate_ratio[term]`, what multiplies mu for one more of a column; `zero_odds_ratio[term]`, what multiplies the
        odds of a zero; `expected_zeros` among the rows, of them `structural_zeros`; `expected_mean` of the rows."""
        chains, number = next(iter(draws.values())).shape[:2]
        flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in draws.items()}
        sums = {"expected_zeros": 0.0, "structural_zeros": 0.0, "expected_mean": 0.0}
        rows = len(data.inputs["x"])
        for part in chunks(rows, chains * number):
            at = parts(self.likelihood, self.zeros, flat, data.inputs, part)
            sums["expected_zeros"] = sums["expected_zeros"] + at.zero().sum(axis=1)
            sums["structural_zeros"] = sums["structural_zeros"] + at.structural().sum(axis=1)
            sums["expected_mean"] = sums["expected_mean"] + at.mean().sum(axis=1) / rows
        if self.zeros != "inflated":
            del sums["structural_zeros"]
        found = {
            name: np.broadcast_to(values, chains * number).reshape(chains, number) for name, values in sums.items()
        }
        dims: dict[str, tuple[str, ...]] = {}
        for stem, name in (("", "rate_ratio"), ("zero_", "zero_odds_ratio")):
            site = f"{stem}beta_raw" if self.standardise else f"{stem}beta"
            if site in draws:
                found[name] = np.exp(np.clip(draws[site], -FARTHEST, FARTHEST))
                dims[name] = (f"{stem}term",)
        return Quantities(found, dims)

    def predict(
        self, draws: Mapping[str, np.ndarray], fitted: Table, table: Table, mass: float = 0.9
    ) -> dict[str, np.ndarray]:
        """`mean` of every row's outcome, the interval that holds it (`lower`, `upper`: of outcomes, not of the mean),
        `P(y=0)`, and with `zeros: inflated` `P(structural zero)` and, should y be 0, `P(structural | y=0)`; all
        `(rows,)`.

        Intervals are quantiles of one outcome for each draw, from a fixed seed. InputError names column and row of a
        level that the fitted rows do not have.
        """
        inputs = self.new_inputs(fitted, table)
        flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in draws.items()}
        rng, ends = np.random.default_rng(0), [(1 - mass) / 2, (1 + mass) / 2]
        columns: dict[str, list[np.ndarray]] = {name: [] for name in ("mean", "lower", "upper", "P(y=0)")}
        if self.zeros == "inflated":
            columns |= {"P(structural zero)": [], "P(structural | y=0)": []}
        for part in chunks(table.num_rows, len(next(iter(flat.values())))):
            at = parts(self.likelihood, self.zeros, flat, inputs, part)
            lower, upper = np.quantile(at.sample(rng), ends, axis=0)
            told = [at.mean().mean(axis=0), lower, upper, at.zero().mean(axis=0)]
            if self.zeros == "inflated":
                told += [at.structural().mean(axis=0), at.structural_given_zero().mean(axis=0)]
            for name, values in zip(columns, told, strict=True):
                columns[name].append(values)
        return {name: np.concatenate(values) for name, values in columns.items()}

    def new_inputs(self, fitted: Table, table: Table) -> dict[str, Any]:
        """x, zero_x and log_exposure of new rows, on the scale of the fitted ones."""
        name = outcome(self.formula, fitted)
        formulas = {"": self.formula} | ({} if self.zeros == "none" else {"zero_": f"`{name}` ~ {self.zero_formula}"})
        inputs: dict[str, Any] = {}
        for part, formula in formulas.items():
            found = self.design(formula, fitted)
            scale = standardised(found, fitted, self.standardise)
            inputs[f"{part}x"] = (rows_of(found, table) - scale["mean"]) / scale["sd"]
        if self.exposure is not None:
            inputs["log_exposure"] = np.log(self.exposures(table))
        return inputs

    def remarks(self, draws: Mapping[str, np.ndarray], data: Data) -> list[str]:
        """Sentences that a reader of the tables needs: what the sign of the zero part means, and whether the two parts
        can be told apart."""
        return zero_remarks(self, draws, data)
