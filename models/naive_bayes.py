"""Naive Bayes: a class for each row, and features of several kinds that are independent of each other given the class.

    pi             ~ class_prior, dirichlet(a) over C classes
    theta[c]       ~ rate_prior, beta(a, b) for each binary column
    stick[c]       ~ Beta(b, b times the levels after) for each level but a column's last
    phi[c]         ~ category_prior, dirichlet(b) over the levels of each column, broken off by stick[c]
    psi[c]         ~ count_prior, dirichlet(a) over the count columns
    variance[c]    ~ variance_prior, inverse_gamma(a, b) for each numeric column
    mu[c]          ~ Normal(0, sd = sqrt(variance[c] / mean_rows))
    y[n]           ~ Categorical(pi)                                     n = 1..N
    x_binary[n]    ~ Bernoulli(theta[y[n]])
    x_category[n]  ~ Categorical(phi[y[n]]) for each column
    x_count[n]     ~ Multinomial(total[n], psi[y[n]])
    x_number[n]    ~ Normal(mu[y[n]], sd = sqrt(variance[y[n]]))
    y_unlabelled[m]           ~ Categorical(pi)                          m = 1..M rows without a label
    x_binary_unlabelled[m]    ~ Bernoulli(theta[y_unlabelled[m]]), and so on as above
    x_category_unlabelled[m]  ~ Categorical(phi[y_unlabelled[m]])
    x_count_unlabelled[m]     ~ Multinomial(total[m], psi[y_unlabelled[m]])
    x_number_unlabelled[m]    ~ Normal(mu[y_unlabelled[m]], sd = sqrt(variance[y_unlabelled[m]]))

Every part is conjugate (Gelman et al., Bayesian Data Analysis, 3rd ed., sections 2.4, 3.3 and 3.4): rates, levels and
counts add what they saw to the prior, and mean and variance are Normal-Inverse-Gamma together. A dirichlet's sticks are
independent betas (Connor & Mosimann 1969), so that columns of any number of levels lie side by side in one site.

A feature that is missing leaves its factor out of the row, which is exact. Counts are missing for a row as a whole.

A row whose label is empty has its class summed out: it says what features there are, and with them where the classes
lie (semi-supervised learning; `nuts` and `svi`, since the posterior is then a mixture over all labelings, C^M of them).
Its class comes back as `class_probability`, the mean of p(class | row, parameters) being its probability given all
rows. The classes are those that occur among the labels.

Numeric columns are taken less their mean over their population standard deviation, over the rows where they are there;
mean_rows counts the rows that the prior of a mean is worth. On the columns' own scale they are `mu_raw` and `sd_raw`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from models.base import Data, Dims, Quantities
from models.class_features import Parameters, sample_features, sticks
from models.class_probabilities import MOST_VALUES, ClassProbabilities, Rows, given_parameters, log_density, predict
from models.columns import Column, Table, is_missing
from models.errors import InputError
from models.features import Features, Kind, about, cells, codes, kinds_of, labels_in, spread
from models.priors import Prior, on
from models.settings import SETTINGS

if TYPE_CHECKING:
    from torch import Tensor

Names = Annotated[tuple[str, ...], Field(strict=False)]  # a YAML list


@dataclass(frozen=True, config=SETTINGS)
class NaiveBayes:
    """`label` names the column of the class; the four lists name the features, and where all are empty, every other
    column is one: 0/1, true/false or two labels of which one is `event` are binary, words categories, numbers
    numbers."""

    label: Annotated[str, Field(description="the column that holds each row's class")] = "label"
    binary: Annotated[Names, Field(description="columns of 0/1, true/false, or two labels, one being `event`")] = ()
    category: Annotated[Names, Field(description="columns of labels")] = ()
    count: Annotated[Names, Field(description="columns of counts, which share one multinomial")] = ()
    number: Annotated[Names, Field(description="columns of numbers, normal in each class")] = ()
    event: Annotated[str | int | bool | None, Field(description="the label that counts as 1 in binary columns")] = None
    class_prior: Annotated[Prior, on("simplex"), Field(description="prior of the classes' shares")] = Prior(
        "dirichlet", (1.0,)
    )
    rate_prior: Annotated[
        Prior, on("unit interval"), Field(description="prior of a binary feature's rate in a class")
    ] = Prior("beta", (1.0, 1.0))
    category_prior: Annotated[Prior, on("simplex"), Field(description="prior of a feature's labels in a class")] = (
        Prior("dirichlet", (1.0,))
    )
    count_prior: Annotated[Prior, on("simplex"), Field(description="prior of the counts' shares in a class")] = Prior(
        "dirichlet", (1.0,)
    )
    variance_prior: Annotated[Prior, on("positive"), Field(description="prior of a number's variance in a class")] = (
        Prior("inverse_gamma", (2.0, 1.0))
    )
    mean_rows: Annotated[float, Field(gt=0, description="rows that the prior of a mean is worth")] = 1.0

    dims: ClassVar[Dims] = {
        "pi": ("class",),
        "theta": ("class", "binary"),
        "stick": ("class", "split"),
        "phi": ("class", "level"),
        "psi": ("class", "count"),
        "variance": ("class", "number"),
        "mu": ("class", "number"),
        "mu_raw": ("class", "number"),
        "sd_raw": ("class", "number"),
        "y": ("row",),
        "x_binary": ("row", "binary"),
        "x_category": ("row", "category"),
        "x_count": ("row", "count"),
        "x_number": ("row", "number"),
        "y_unlabelled": ("unlabelled",),
        "x_binary_unlabelled": ("unlabelled", "binary"),
        "x_category_unlabelled": ("unlabelled", "category"),
        "x_count_unlabelled": ("unlabelled", "count"),
        "x_number_unlabelled": ("unlabelled", "number"),
    }
    exchangeable: ClassVar[str | None] = None
    outcomes: ClassVar[tuple[str, ...]] = ("y", "x_binary", "x_category", "x_count", "x_number")
    columns: ClassVar[tuple[Column, ...]] = (
        Column("(label)", "category", "the class of each row, in the column that `label` names; empty where unknown"),
        Column(
            "(binary)", "binary", "0/1, true/false, or two labels with `event`; empty where missing", required=False
        ),
        Column("(category)", "category", "labels; empty where missing", required=False),
        Column("(count)", "count", "counts that share one multinomial; all empty where missing", required=False),
        Column("(number)", "number", "numbers; empty where missing", required=False),
    )

    def __call__(
        self,
        num_rows: int,
        num_classes: int,
        num_binary: int = 0,
        levels_after: Tensor | None = None,
        is_before: Tensor | None = None,
        is_level: Tensor | None = None,
        place: Tensor | None = None,
        total: Tensor | None = None,
        num_counts: int = 0,
        mean: Tensor | None = None,
        sd: Tensor | None = None,
        has_binary: Tensor | None = None,
        has_category: Tensor | None = None,
        has_number: Tensor | None = None,
        num_unlabelled: int = 0,
        total_unlabelled: Tensor | None = None,
        has_binary_unlabelled: Tensor | None = None,
        has_category_unlabelled: Tensor | None = None,
        has_number_unlabelled: Tensor | None = None,
    ) -> None:
        import pyro
        import pyro.distributions as dist
        import torch

        from models.distributions.categorical import Categorical

        given = Parameters(pi=pyro.sample("pi", self.class_prior.distribution(num_classes)))
        with pyro.plate("class", num_classes):
            if num_binary:
                theta = pyro.sample("theta", self.rate_prior.distribution().expand((num_binary,)).to_event(1))
                given = given._replace(theta=theta)
            if levels_after is not None and is_level is not None and is_before is not None and place is not None:
                first = torch.full_like(levels_after, self.category_prior.arguments[0])
                stick = pyro.sample("stick", dist.Beta(first, first * levels_after).to_event(1))
                log_phi = stick.log() @ is_level + torch.log1p(-stick) @ is_before
                phi = pyro.deterministic("phi", log_phi.exp(), event_dim=1)
                # columns of few levels are filled up with levels that never occur
                given = given._replace(phi=(phi @ place.flatten(1)).reshape(*phi.shape[:-1], *place.shape[1:]))
            if num_counts:
                given = given._replace(psi=pyro.sample("psi", self.count_prior.distribution(num_counts)))
            if mean is not None and sd is not None:
                prior = self.variance_prior.distribution().expand(mean.shape).to_event(1)
                variance = pyro.sample("variance", prior)
                mu = pyro.sample("mu", dist.Normal(0.0, (variance / self.mean_rows).sqrt()).to_event(1))
                pyro.deterministic("mu_raw", mean + sd * mu, event_dim=1)
                pyro.deterministic("sd_raw", sd * variance.sqrt(), event_dim=1)
                given = given._replace(mu=mu, sd=variance.sqrt())
        with pyro.plate("row", num_rows):
            y = pyro.sample("y", Categorical(given.pi))
            sample_features("", given, y, total, has_binary, has_category, has_number)
        if num_unlabelled:
            there = has_binary_unlabelled, has_category_unlabelled, has_number_unlabelled
            with pyro.plate("unlabelled", num_unlabelled):
                y = pyro.sample("y_unlabelled", Categorical(given.pi))
                sample_features("_unlabelled", given, y, total_unlabelled, *there)

    def data(self, table: Table, *, observed: bool = True) -> Data:
        """A row whose label is empty is one of the unlabelled rows. Classes are those of the labels, levels those that
        occur in any row."""
        hidden = is_missing(table.column(self.label))
        if hidden.all():
            raise InputError(table.where(self.label), "has a label in no row", "label some rows of every class")
        y, classes = rows_of(table, ~hidden).category(self.label)
        if len(classes) < 2:
            rule = f"must have two classes or more, got {len(classes)} (`{classes[0]}`)"
            raise InputError(table.where(self.label), rule, "name another column as `label`")
        named: dict[Kind, tuple[str, ...]] = {
            "binary": self.binary,
            "category": self.category,
            "count": self.count,
            "number": self.number,
        }
        kinds = kinds_of(table, named, self.label, self.event)
        coords: dict[str, list[str]] = {"class": classes}
        coords |= {kind: list(names) for kind, names in kinds.items() if names}
        inputs: dict[str, Any] = {"num_rows": int((~hidden).sum()), "num_classes": len(classes)}
        found: dict[str, Features] = {}
        if kinds["binary"]:
            found["binary"] = cells(table, "binary", kinds["binary"], self.event)
            inputs["num_binary"] = len(kinds["binary"])
        if kinds["category"]:
            labels = labels_in(table, kinds["category"])
            found["category"] = codes(table, kinds["category"], labels)
            texts = [f"{name}={label}" for name, own in zip(kinds["category"], labels, strict=True) for label in own]
            splits, parts = sticks([len(own) for own in labels])
            coords |= {"level": texts, "split": [texts[i] for i in splits]}
            inputs |= parts
        if kinds["count"]:
            found["count"] = cells(table, "count", kinds["count"])
            inputs["num_counts"] = len(kinds["count"])
        if kinds["number"]:
            raw = cells(table, "number", kinds["number"])
            inputs |= spread(table, kinds["number"], raw)
            scaled = np.where(raw.there, (raw.values - inputs["mean"]) / inputs["sd"], 0.0)
            found["number"] = Features(scaled, raw.there)
        outcomes: dict[str, np.ndarray] = {"y": y}
        dims: dict[str, tuple[str, ...]] = {
            "levels_after": ("split",),
            "is_before": ("split", "level"),
            "is_level": ("split", "level"),
            "mean": ("number",),
            "sd": ("number",),
        }
        for part, chosen in (("", ~hidden), ("_unlabelled", hidden)):
            if chosen.any():
                own = {kind: Features(values[chosen], there[chosen]) for kind, (values, there) in found.items()}
                axis = part[1:] or "row"
                inputs |= {f"{name}{part}": value for name, value in about(own).items()}
                outcomes |= {f"x_{kind}{part}": features.values for kind, features in own.items()}
                dims |= {f"total{part}": (axis,), **{f"has_{kind}{part}": (axis, kind) for kind in found}}
        if hidden.any():
            inputs["num_unlabelled"] = int(hidden.sum())
            coords["unlabelled"] = [str(row + 1) for row in np.flatnonzero(hidden)]
        return Data(inputs, outcomes if observed else {}, coords, dims)

    def quantities(self, draws: Mapping[str, np.ndarray], data: Data) -> Quantities:
        """`class_probability` of the unlabelled rows, p(class | row, parameters), where there are such rows and no more
        than MOST_VALUES numbers of them."""
        if "unlabelled" not in data.coords or not data.observed:
            return Quantities()
        rows = rows_in(data, "_unlabelled")
        shape = draws["pi"].shape
        if rows.num_rows * draws["pi"].size > MOST_VALUES:
            return Quantities()
        given = given_parameters(draws, rows).reshape(*shape[:2], rows.num_rows, shape[2])
        return Quantities({"class_probability": given}, {"class_probability": ("unlabelled", "class")})

    def class_log_joint(self, draws: Mapping[str, np.ndarray], data: Data, rows: slice) -> np.ndarray:
        """log p(class, features | parameters) of labelled rows up to a number for each, `(draws, rows, C)`; draws are
        `(draws, *shape)` by site."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(draws["pi"])[:, None, :] + log_density(draws, rows_in(data, ""), rows))

    def predict(
        self, draws: Mapping[str, np.ndarray], fitted: Table, table: Table, mass: float = 0.9
    ) -> dict[str, np.ndarray]:
        """The most probable `class` of every row, and for each class `P(class=c)` with the interval that the fitted
        rows leave for it, `P(class=c) lower` and `P(class=c) upper`; all `(rows,)`.

        Missing features are left out, and so is a label that no fitted row had.
        """
        data = self.data(fitted)
        found = self.class_probabilities(draws, data, table, mass=mass)
        classes = data.coords["class"]
        columns = {"class": np.array(classes, dtype=object)[found.predictive.argmax(axis=1)]}
        for c, name in enumerate(classes):
            columns |= {
                f"P(class={name})": found.predictive[:, c],
                f"P(class={name}) lower": found.lower[:, c],
                f"P(class={name}) upper": found.upper[:, c],
            }
        return columns

    def class_probabilities(
        self,
        draws: Mapping[str, np.ndarray],
        data: Data,
        table: Table,
        class_prior: Mapping[str, float] | None = None,
        mass: float = 0.9,
    ) -> ClassProbabilities:
        """The class of every row of `table`, `(rows, C)`, in the order of `data.coords["class"]`.

        draws: `(chain, draw, *shape)` by site, as a posterior of `data` has them.
        data: the rows that were fitted; they say which levels there are, and the scale of numbers.
        class_prior: class -> probability where the new rows come from; without it, the classes are as frequent as in
        the fitted rows (`pi`).
        mass: what the intervals hold.
        Missing features are left out, and so is a label that no fitted row had: it says nothing about the class.
        InputError names column and row of what does not fit.
        """
        found: dict[str, Features] = {}
        for kind in ("binary", "count", "number"):
            if kind in data.coords:
                found[kind] = cells(table, kind, data.coords[kind], self.event)
        if "number" in found:
            there, mean, sd = found["number"].there, data.inputs["mean"], data.inputs["sd"]
            found["number"] = Features(np.where(there, (found["number"].values - mean) / sd, 0.0), there)
        place = None
        if "category" in data.coords:
            columns, place = data.coords["category"], data.inputs["place"]
            owner = place.sum(axis=2).argmax(axis=1)
            labels: list[list[str]] = [[] for _ in columns]
            for i, text in zip(owner, data.coords["level"], strict=True):
                labels[i].append(text[len(columns[i]) + 1 :])
            found["category"] = codes(table, columns, labels)
        return predict(draws, Rows(table.num_rows, found, place), list(data.coords["class"]), class_prior, mass)


def there(data: Data, kind: str, part: str) -> np.ndarray:
    """Which cells of some rows' features are there, `(rows, columns)`; counts that are not are zeros."""
    return data.inputs.get(f"has_{kind}{part}", np.ones(data.observed[f"x_{kind}{part}"].shape, dtype=bool))


def rows_in(data: Data, part: str) -> Rows:
    """The features of the rows that have a label (part ""), or of those that have none ("_unlabelled")."""
    found = {
        kind: Features(data.observed[f"x_{kind}{part}"], there(data, kind, part))
        for kind in ("binary", "category", "count", "number")
        if f"x_{kind}{part}" in data.observed
    }
    return Rows(data.inputs[f"num{part}" if part else "num_rows"], found, data.inputs.get("place"))


def rows_of(table: Table, chosen: np.ndarray) -> Table:
    return Table({name: values[chosen] for name, values in table.columns.items()}, table.origin, table.names)
