"""The observed columns of a hidden Markov model: numbers, counts or labels, empty where missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.class_features import sticks
from models.columns import Table, is_missing
from models.errors import InputError
from models.features import Features, cells, codes, labels_in, spread


class Channels(NamedTuple):
    """values: `(rows, C)`, 0 where nothing is there; of categories the positions of their labels. there: bool `(rows,
    C)`. names: of the columns. labels: of every channel of categories, else empty."""

    values: np.ndarray
    there: np.ndarray
    names: Sequence[str]
    labels: Sequence[Sequence[str]] = ()

    def level_names(self) -> dict[str, list[str]]:
        """Labels along the axes of all channels' levels, and of their sticks."""
        texts = [f"{name}={label}" for name, own in zip(self.names, self.labels, strict=True) for label in own]
        splits, _ = sticks([len(own) for own in self.labels])
        return {"level": texts, "split": [texts[i] for i in splits]}

    def levels(self) -> dict[str, np.ndarray]:
        """How all channels' levels share one axis (`class_features.sticks`)."""
        return sticks([len(own) for own in self.labels])[1]

    def scales(self, table: Table, kind: str, standardise: bool) -> dict[str, np.ndarray]:
        """What the priors' scale is on the columns' own, `(C,)`: `center` and `scale` are mean and standard deviation
        of numbers, 0 and the mean of counts."""
        count = len(self.names)
        if not standardise:
            return {"center": np.zeros(count), "scale": np.ones(count)}
        if kind == "gaussian":
            found = spread(table, tuple(self.names), Features(self.values, self.there))
            return {"center": found["mean"], "scale": found["sd"]}
        mean = self.values.sum(axis=0) / self.there.sum(axis=0)
        for name, own in zip(self.names, mean, strict=True):
            if own == 0:
                rule = "is 0 in every row, so it has no scale"
                raise InputError(table.where(name), rule, "leave the channel out or set `standardise: false`")
        return {"center": np.zeros(count), "scale": mean}


def channels_of(table: Table, names: Sequence[str], kind: str) -> Channels:
    """The channels in rows to fit; InputError names column and row of what does not suit the kind of emission."""
    for name in names:
        if is_missing(table.column(name)).all():
            raise InputError(table.where(name), "has no value in any row", "leave the channel out")
    return cells_of(table, names, kind, labels_in(table, names) if kind == "categorical" else ())


def cells_of(table: Table, names: Sequence[str], kind: str, labels: Sequence[Sequence[str]]) -> Channels:
    """The channels in any rows. One that has no column is there nowhere; a label that is not among `labels` is as good
    as missing."""
    nowhere = Features(np.zeros((table.num_rows, 1)), np.zeros((table.num_rows, 1), dtype=bool))
    found = []
    for c, name in enumerate(names):
        if name not in table:
            found.append(nowhere)
        elif kind == "categorical":
            found.append(codes(table, [name], [labels[c]]))
        else:
            found.append(cells(table, "number" if kind == "gaussian" else "count", [name]))
    values, there = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
    return Channels(values, there, names, labels)


def unknown(table: Table, names: Sequence[str]) -> Channels:
    """Channels whose values are still to be drawn."""
    shape = (table.num_rows, len(names))
    return Channels(np.zeros(shape), np.ones(shape, dtype=bool), names)
