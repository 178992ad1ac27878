"""Gaussian mixture: rows of numbers that fall into K clusters, each with a centre, a spread and a shape of its own.

    loc[k]            ~ loc_prior for each feature               k = 1..K components
    spherical_scale   ~ scale_prior for each component           covariance: spherical
    scale[k]          ~ scale_prior for each feature             covariance: diagonal, full
    tied_scale        ~ scale_prior for each feature             covariance: tied
    partial[k]        ~ 2 Beta(b, b) - 1 for each pair           covariance: full; b = lkj + (features left) / 2
    correlation[k]    ~ LKJ(lkj), which is made of partial[k]
    tied_partial      ~ 2 Beta(b, b) - 1 for each pair           covariance: tied
    tied_correlation  ~ LKJ(lkj), which is made of tied_partial
    nu[k]             ~ df_prior                                 component: student_t
    weights           ~ weight_prior, dirichlet(a) over K
    y[n]              ~ Mixture(weights, F(loc, scale, correlation))    n = 1..N

F is a multivariate normal, or with `component: student_t` a multivariate Student t, one heavy-tailed distance for the
row as a whole. Which component a row comes from is summed out (McLachlan & Peel, Finite Mixture Models, 2000), and
comes back as the row's responsibilities. An empty cell is summed out, too: a row counts with what it has.

Features are taken less their mean over their population standard deviation, and the priors hold on that scale; with
`standardise: false` they hold on the features' own. On the features' own scale the same posterior is `loc_raw`,
`scale_raw` and `tied_scale_raw`. `spherical` is one scale for all features on the scale where the priors hold;
`tied` is one covariance, with its correlations, for all components. `scale` is a standard deviation that is known, in
the features' own units.

A component that closes in on one row, or on equal rows, gains density without bound as its scale shrinks. The default
prior of a scale, inverse_gamma(3, 1), is what holds it: its density goes to 0 like exp(-1 / scale), with less than 1e-6
of its mass below 0.05 standard deviations of the data. half_normal and its like let such a component in.
`weight_prior: dirichlet(0.1)` with generous K empties the components that the rows do not ask for; chains find it hard
to agree on which ones, in several dimensions, and R-hat says so.

Labels of components are arbitrary: all draws are brought to one labelling, numbered by the first feature's mean, before
anything is said of a component. With `order: mean` those means are in ascending order in every draw, which tells
components apart only where they differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from models.base import Data, Dims, Quantities
from models.columns import Column, Table, as_numbers, is_missing
from models.errors import InputError, did_you_mean
from models.features import cells
from models.mixture_rows import Parts, co_clustering, drawn, occupation, predicted, seeds
from models.priors import Prior, on
from models.settings import SETTINGS

if TYPE_CHECKING:
    from torch import Tensor

    from models.distributions.mixture import Lower

Names = Annotated[tuple[str, ...], Field(strict=False)]  # a YAML list
KNOWN = "give `covariance: spherical`, or leave `scale` out for the data to say"


@dataclass(frozen=True, config=SETTINGS)
class GaussianMixture:
    """`components` clusters in the columns that `features` names, or in every column of numbers where it is empty."""

    components: Annotated[int, Field(ge=2, le=100, description="K, how many components there are at most")] = 2
    features: Annotated[Names, Field(description="columns of numbers, empty where missing")] = ()
    covariance: Annotated[
        Literal["spherical", "diagonal", "full", "tied"],
        Field(description="spread and shape of a component; tied: one for all"),
    ] = "full"
    component: Annotated[
        Literal["normal", "student_t"], Field(description="what rows of a component are drawn from")
    ] = "normal"
    order: Annotated[Literal["none", "mean"], Field(description="mean: components by their first feature's mean")] = (
        "none"
    )
    standardise: Annotated[bool, Field(description="priors hold for features less mean over sd")] = True
    scale: Annotated[float | None, Field(gt=0, description="every component's standard deviation, if known")] = None
    loc_prior: Annotated[Prior, on("real"), Field(description="prior of a component's mean in each feature")] = Prior(
        "normal", (0.0, 2.0)
    )
    scale_prior: Annotated[Prior, on("positive"), Field(description="prior of its standard deviations")] = Prior(
        "inverse_gamma", (3.0, 1.0)
    )
    weight_prior: Annotated[Prior, on("simplex"), Field(description="prior of the components' shares")] = Prior(
        "dirichlet", (1.0,)
    )
    df_prior: Annotated[
        Prior, on("positive"), Field(description="prior of the degrees of freedom (component: student_t)")
    ] = Prior("gamma", (2.0, 0.1))
    lkj: Annotated[float, Field(gt=0, description="1: uniform correlation matrices; above 1: less correlation")] = 2.0

    dims: ClassVar[Dims] = {
        "loc": ("component", "feature"),
        "spherical_scale": ("component",),
        "scale": ("component", "feature"),
        "tied_scale": ("feature",),
        "partial": ("component", "pair"),
        "correlation": ("component", "pair"),
        "tied_partial": ("pair",),
        "tied_correlation": ("pair",),
        "nu": ("component",),
        "weights": ("component",),
        "loc_raw": ("component", "feature"),
        "scale_raw": ("component", "feature"),
        "tied_scale_raw": ("feature",),
        "y": ("row", "feature"),
    }
    outcomes: ClassVar[tuple[str, ...]] = ("y",)
    exchangeable: ClassVar[str | None] = "component"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("(features)", "number", "what rows are clustered by; empty where missing"),
    )

    @model_validator(mode="after")
    def fits_together(self) -> GaussianMixture:
        """Settings that contradict each other are refused where they are made."""
        if self.scale is not None and self.covariance != "spherical":
            rule = f"a known `scale` goes with `covariance: spherical` alone, got `covariance: {self.covariance}`"
            raise PydanticCustomError("scale", "{s}", {"s": f"{rule}; {KNOWN}"})
        if len(set(self.features)) < len(self.features):
            twice = next(name for name in self.features if self.features.count(name) > 1)
            raise PydanticCustomError("features", "{s}", {"s": f"`{twice}` is there twice; name every feature once"})
        if self.order == "mean":
            # labels that an order gives are not arbitrary, so that this model's own value differs from its class's
            object.__setattr__(self, "exchangeable", None)
        return self

    def __call__(
        self,
        num_rows: int,
        mean: Tensor,
        sd: Tensor,
        there: Tensor | None = None,
    ) -> None:
        import pyro

        from models.distributions.mixture import Mixture, There

        loc, scale = self.location(len(mean)), self.spread(sd)
        factor = self.shape(len(mean)) if self.covariance in ("full", "tied") and len(mean) > 1 else None
        nu = None
        if self.component == "student_t":
            with pyro.plate("nu_component", self.components):
                nu = pyro.sample("nu", self.df_prior.distribution())
        weights = pyro.sample("weights", self.weight_prior.distribution(self.components))
        loc_raw, scale_raw = mean + sd * loc, sd * scale
        if self.standardise:
            pyro.deterministic("loc_raw", loc_raw, event_dim=2)
            tied = self.covariance == "tied"
            pyro.deterministic("tied_scale_raw" if tied else "scale_raw", scale_raw, event_dim=1 if tied else 2)
        cells = None if there is None else There(there, mean)
        with pyro.plate("row", num_rows):
            scales = scale_raw.expand(self.components, len(mean))
            pyro.sample("y", Mixture(num_rows, weights.log(), loc_raw, scales, factor, nu, cells))

    def location(self, size: int) -> Tensor:
        """The components' means `(K, size)` on the priors' scale."""
        import pyro

        from models.distributions.rising import Rising

        prior = self.loc_prior.distribution()
        if self.order == "mean":
            return pyro.sample("loc", Rising(prior, self.components, size))
        with pyro.plate("loc_component", self.components):
            return pyro.sample("loc", prior.expand((size,)).to_event(1))

    def spread(self, sd: Tensor) -> Tensor:
        """Scales `(K, features)`, or tied ones `(features,)`, on the priors' scale; `sd` is its unit."""
        import pyro

        prior, size = self.scale_prior.distribution(), len(sd)
        if self.scale is not None:
            return (self.scale / sd).expand(self.components, size)
        if self.covariance == "tied":
            return pyro.sample("tied_scale", prior.expand((size,)).to_event(1))
        with pyro.plate("scale_component", self.components):
            if self.covariance == "spherical":
                return pyro.sample("spherical_scale", prior).unsqueeze(-1).expand(self.components, size)
            return pyro.sample("scale", prior.expand((size,)).to_event(1))

    def shape(self, size: int) -> Lower:
        """Factors of the correlation matrices, elements `(K,)`."""
        import pyro
        import torch

        from models.distributions.mixture import Partial, factor_of, products

        if self.covariance == "tied":
            partial = pyro.sample("tied_partial", Partial(self.lkj, size))
        else:
            with pyro.plate("partial_component", self.components):
                partial = pyro.sample("partial", Partial(self.lkj, size))
        factor = factor_of(partial, size)
        tied = self.covariance == "tied"
        below = [element for row in products(factor) for element in row[:-1]]
        name = "tied_correlation" if tied else "correlation"
        pyro.deterministic(name, torch.stack(below, dim=-1), event_dim=1 if tied else 2)
        return [[element.expand(self.components) for element in row] for row in factor]

    def no_maximum(self, data: Data) -> str:
        if self.covariance == "tied" or self.scale is not None:
            return ""
        way = "a component closes in on one row and its scale goes to 0"
        return f"The likelihood has no maximum: it grows without bound as {way}."

    def data(self, table: Table, *, observed: bool = True) -> Data:
        """Features less their mean over their standard deviation, where the cells are there; y is in its own units,
        and an empty cell of it holds the mean (0 with `standardise: false`). Without y there is no scale to take."""
        names = self.names(table, observed)
        inputs: dict[str, Any] = {
            "num_rows": table.num_rows,
            "mean": np.zeros(len(names)),
            "sd": np.ones(len(names)),
        }
        coords: dict[str, Any] = {"component": range(self.components), "feature": names}
        if len(names) > 1:
            coords["pair"] = [f"{names[i]}~{names[j]}" for i in range(len(names)) for j in range(i)]
        dims: dict[str, tuple[str, ...]] = {"mean": ("feature",), "sd": ("feature",)}
        if not observed:
            return Data(inputs, {}, coords, dims)
        found = cells(table, "number", names)
        y, there = found
        if self.standardise:
            inputs |= spread(table, names, np.where(there, y, np.nan))
        if not there.all():
            inputs["there"], dims["there"] = there, ("row", "feature")
        return Data(inputs, {"y": np.where(there, y, inputs["mean"])}, coords, dims)

    def names(self, table: Table, observed: bool) -> list[str]:
        """The features; InputError where a column is not there, or is not of numbers."""
        if not observed:
            return list(self.features) or ["y"]
        for name in self.features:
            if name not in table:
                rule = f"`{name}` is not a column of {table.origin}"
                raise InputError("model.features", rule, did_you_mean(name, table.columns))
        # a column that has been given another name is there under both
        names = [name for name in table.columns if name not in table.names.values() and numeric(table.column(name))]
        names = list(self.features) or names
        if not names:
            raise InputError(table.origin, "has no column of numbers", "name columns of numbers under model.features")
        for name in names:
            if is_missing(table.column(name)).all():
                raise InputError(table.where(name), "has no value in any row", "leave the column out")
        return names

    def starts(self, data: Data, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Values of sites to start a chain at: centres and sizes of clusters in the data (`mixture_rows.seeds`), so
        that no chain starts with all rows in one component. Other sites start anywhere."""
        if "y" not in data.observed:
            return {}
        mean, sd = data.inputs["mean"], data.inputs["sd"]
        u = (data.observed["y"] - mean) / sd
        found = seeds(u, data.inputs.get("there"), self.components, rng)
        order = np.argsort(found.loc[:, 0]) if self.order == "mean" else np.arange(self.components)
        loc, scale, weights = (values[order] for values in found)
        sites: dict[str, np.ndarray] = {"loc": loc, "weights": weights}
        if self.scale is None:
            match self.covariance:
                case "spherical":
                    sites["spherical_scale"] = np.sqrt((scale**2).mean(axis=1))
                case "tied":
                    sites["tied_scale"] = np.sqrt(weights @ scale**2)
                case _:
                    sites["scale"] = scale
        return sites

    def quantities(self, draws: Mapping[str, np.ndarray], data: Data) -> Quantities:
        """`sorted_weights`, largest first; `effective_components`, exp of the weights' entropy: K where they are
        equal, 1 where one has all; with data, `occupied_components`, how many components the rows are expected to
        fill, and `log_likelihood` of all rows."""
        weights = draws["weights"]
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = -np.where(weights > 0, weights * np.log(weights), 0.0).sum(axis=-1)
        found = {"sorted_weights": -np.sort(-weights, axis=-1), "effective_components": np.exp(entropy)}
        if "y" in data.observed:
            rows = occupation(self.parts(draws, data), data.observed["y"], data.inputs.get("there"))
            found |= {name: values.reshape(weights.shape[:2]) for name, values in rows.items()}
        dims = {"sorted_weights": ("rank",), **dict.fromkeys(set(found) - {"sorted_weights"}, ())}
        return Quantities(found, dims, {"rank": range(1, weights.shape[-1] + 1)})

    def parts(self, draws: Mapping[str, np.ndarray], data: Data) -> Parts:
        """The parameters of all draws one after the other, in the features' own units."""
        mean, sd = np.asarray(data.inputs["mean"]), np.asarray(data.inputs["sd"])
        flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in draws.items()}
        shape = flat["loc"].shape
        if self.scale is not None:
            scale = np.full(shape, self.scale)
        elif "spherical_scale" in flat:
            scale = flat["spherical_scale"][..., None] * sd
        else:
            scale = sd * (flat["tied_scale"][:, None] if "tied_scale" in flat else flat["scale"])
        matrix = None
        if "correlation" in flat or "tied_correlation" in flat:
            pairs = flat["correlation"] if "correlation" in flat else flat["tied_correlation"][:, None]
            rows, columns = np.tril_indices(shape[2], -1)
            matrix = np.broadcast_to(np.eye(shape[2]), (*shape, shape[2])).copy()
            matrix[..., rows, columns] = matrix[..., columns, rows] = pairs
        with np.errstate(divide="ignore"):
            log_weights = np.log(flat["weights"])
        return Parts(log_weights, mean + sd * flat["loc"], np.broadcast_to(scale, shape), matrix, flat.get("nu"))

    def predict(
        self, draws: Mapping[str, np.ndarray], fitted: Table, table: Table, mass: float = 0.9
    ) -> dict[str, np.ndarray]:
        """For every row of `table`: the most probable `component`, `P(component=0)` ... with the ends of an interval of
        each over the draws, and `log_density`, the log of the row's posterior predictive density. Missing cells are
        left out of the row; all features must be columns of `table`."""
        data = self.fitted(fitted)
        y, there = cells(table, "number", data.coords["feature"])
        return predicted(self.parts(draws, data), y, there, mass)

    def fitted(self, table: Table) -> Data:
        """The data of the fit; without y where it was simulated, so that the table has no features."""
        return self.data(table, observed=bool(table.columns) and set(self.features) <= set(table.columns))

    def components_drawn(self, draws: Mapping[str, np.ndarray], data: Data, seed: int) -> np.ndarray:
        """A component for each row of the data and each draw, from the component's probability given the row and the
        draw's parameters, int64 `(chain, draw, rows)`."""
        found = drawn(
            self.parts(draws, data), data.observed["y"], data.inputs.get("there"), np.random.default_rng(seed)
        )
        return found.reshape(*draws["weights"].shape[:2], -1)

    def co_clustering(self, draws: Mapping[str, np.ndarray], data: Data) -> np.ndarray:
        """The probability that two rows of the data are of one component, `(rows, rows)`; labels do not matter.
        `models.partitions.consensus` makes one partition of it."""
        return co_clustering(self.parts(draws, data), data.observed["y"], data.inputs.get("there"))


def numeric(column: np.ndarray) -> bool:
    """Whether a column's cells are numbers where they are not empty."""
    return not np.isnan(as_numbers(column[~is_missing(column)])).any()


def spread(table: Table, names: list[str], known: np.ndarray) -> dict[str, np.ndarray]:
    """Mean and population standard deviation of every feature, NaN being no cell."""
    for name, column in zip(names, known.T, strict=True):
        if np.nanmax(column) == np.nanmin(column):
            rule = "is the same number in every row, so it has no scale"
            raise InputError(table.where(name), rule, "leave the column out or set `standardise: false`")
    return {"mean": np.nanmean(known, axis=0), "sd": np.nanstd(known, axis=0)}
