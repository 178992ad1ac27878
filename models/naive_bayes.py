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

Every part is conjugate (Gelman et al., Bayesian Data Analysis, 3rd ed., sections 2.4, 3.3 and 3.4): rates, levels and
counts add what they saw to the prior, and mean and variance are Normal-Inverse-Gamma together. A dirichlet's sticks are
independent betas (Connor & Mosimann 1969), so that columns of any number of levels lie side by side in one site.

A feature that is missing leaves its factor out of the row, which is exact. Counts are missing for a row as a whole.

Numeric columns are taken less their mean over their population standard deviation, over the rows where they are there;
mean_rows counts the rows that the prior of a mean is worth. On the columns' own scale they are `mu_raw` and `sd_raw`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from models.base import Data, Dims
from models.class_probabilities import ClassProbabilities, Rows, predict
from models.columns import Column, Table
from models.errors import InputError
from models.features import Features, Kind, cells, codes, kinds_of, labels_in
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
    class_prior: Annotated[Prior, on("simplex")] = Prior("dirichlet", (1.0,))
    rate_prior: Annotated[Prior, on("unit interval")] = Prior("beta", (1.0, 1.0))
    category_prior: Annotated[Prior, on("simplex")] = Prior("dirichlet", (1.0,))
    count_prior: Annotated[Prior, on("simplex")] = Prior("dirichlet", (1.0,))
    variance_prior: Annotated[Prior, on("positive")] = Prior("inverse_gamma", (2.0, 1.0))
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
    }
    outcomes: ClassVar[tuple[str, ...]] = ("y", "x_binary", "x_category", "x_count", "x_number")
    columns: ClassVar[tuple[Column, ...]] = (
        Column("(label)", "category", "the class of each row, in the column that `label` names"),
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
    ) -> None:
        import pyro
        import pyro.distributions as dist
        import torch

        from models.distributions.categorical import Categorical, of_class
        from models.distributions.class_bernoulli import ClassBernoulli
        from models.distributions.multinomial import Multinomial

        pi = pyro.sample("pi", self.class_prior.distribution(num_classes))
        with pyro.plate("class", num_classes):
            if num_binary:
                theta = pyro.sample("theta", self.rate_prior.distribution().expand((num_binary,)).to_event(1))
            if levels_after is not None and is_level is not None and is_before is not None and place is not None:
                first = torch.full_like(levels_after, self.category_prior.arguments[0])
                stick = pyro.sample("stick", dist.Beta(first, first * levels_after).to_event(1))
                log_phi = stick.log() @ is_level + torch.log1p(-stick) @ is_before
                phi = pyro.deterministic("phi", log_phi.exp(), event_dim=1)
                # columns of few levels are filled up with levels that never occur
                phi_by_column = (phi @ place.flatten(1)).reshape(*phi.shape[:-1], *place.shape[1:])
            if num_counts:
                psi = pyro.sample("psi", self.count_prior.distribution(num_counts))
            if mean is not None and sd is not None:
                prior = self.variance_prior.distribution().expand(mean.shape).to_event(1)
                variance = pyro.sample("variance", prior)
                mu = pyro.sample("mu", dist.Normal(0.0, (variance / self.mean_rows).sqrt()).to_event(1))
                pyro.deterministic("mu_raw", mean + sd * mu, event_dim=1)
                pyro.deterministic("sd_raw", sd * variance.sqrt(), event_dim=1)
        with pyro.plate("row", num_rows):
            y = pyro.sample("y", Categorical(pi))
            if num_binary:
                pyro.sample("x_binary", ClassBernoulli(theta, y, has_binary))
            if place is not None:
                fn = Categorical(of_class(phi_by_column, y))
                pyro.sample("x_category", (fn if has_category is None else fn.mask(has_category)).to_event(1))
            if num_counts and total is not None:
                pyro.sample("x_count", Multinomial(total, of_class(psi, y)))
            if mean is not None:
                fn = dist.Normal(of_class(mu, y), of_class(variance, y).sqrt())
                pyro.sample("x_number", (fn if has_number is None else fn.mask(has_number)).to_event(1))

    def data(self, table: Table, *, observed: bool = True) -> Data:
        """The class must be there for every row: an empty label is refused. Levels are those that occur in the rows."""
        y, classes = table.category(self.label)
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
        inputs: dict[str, Any] = {"num_rows": table.num_rows, "num_classes": len(classes)}
        found = {}
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
            inputs |= {"total": found["count"].values.sum(axis=1), "num_counts": len(kinds["count"])}
        if kinds["number"]:
            raw = cells(table, "number", kinds["number"])
            inputs |= spread(table, kinds["number"], raw)
            scaled = np.where(raw.there, (raw.values - inputs["mean"]) / inputs["sd"], 0.0)
            found["number"] = Features(scaled, raw.there)
        for kind, features in found.items():
            if kind != "count" and not features.there.all():
                inputs[f"has_{kind}"] = features.there
        outcomes = {"y": y, **{f"x_{kind}": features.values for kind, features in found.items()}}
        dims = {
            "levels_after": ("split",),
            "is_before": ("split", "level"),
            "is_level": ("split", "level"),
            "total": ("row",),
            "mean": ("number",),
            "sd": ("number",),
            **{f"has_{kind}": ("row", kind) for kind in ("binary", "category", "number")},
        }
        return Data(inputs, outcomes if observed else {}, coords, dims)

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


def sticks(sizes: list[int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """How columns of `sizes` levels share one row of sticks: log phi = log(stick) @ is_level + log(1 - stick) @
    is_before. Gives the level that each stick breaks off, and the program's inputs.

    place `(levels, columns, most levels)`: one where a level is its column's own level of that number.
    """
    owner = np.repeat(np.arange(len(sizes)), sizes)
    position = np.arange(len(owner))
    last = np.cumsum(sizes) - 1
    split = np.setdiff1d(position, last)
    place = np.zeros((len(owner), len(sizes), max(sizes)))
    place[position, owner, position - (last + 1 - sizes)[owner]] = 1
    parts = {
        "levels_after": (last[owner[split]] - split).astype(float),
        "is_before": ((owner[split][:, None] == owner) & (split[:, None] < position)).astype(float),
        "is_level": (split[:, None] == position).astype(float),
        "place": place,
    }
    return split, parts


def spread(table: Table, columns: tuple[str, ...], raw: Features) -> dict[str, np.ndarray]:
    """Mean and population standard deviation of every numeric column over the cells that are there."""
    values = np.where(raw.there, raw.values, np.nan)
    for i, name in enumerate(columns):
        if np.ptp(values[raw.there[:, i], i]) == 0:
            raise InputError(
                table.where(name), "is the same number in every row, so it has no scale", "leave the column out"
            )
    return {"mean": np.nanmean(values, axis=0), "sd": np.nanstd(values, axis=0)}
