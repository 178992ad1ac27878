"""Outcomes as figures take them: those that are there, with generated ones by backend, and what their codes mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from experiments.results import Result

MOST_GROUPS = 40
MOST_VALUES = 10_000_000  # numbers of generated data that a figure is made of


class Seen(NamedTuple):
    """A site's outcomes that are there, and generated ones by backend, `(values,)` and `(draws, values)`, with the name
    of the column that each is in where there are several."""

    site: str
    observed: np.ndarray
    replicated: Mapping[str, np.ndarray]
    column: np.ndarray
    columns: list[str]

    @property
    def whole(self) -> bool:
        """Whether outcomes are counts or codes; real numbers may have been rounded, generated ones are not."""
        return all(is_whole(values) for values in (self.observed, *self.replicated.values()))


def few(generated: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Evenly spaced data sets of `(chain, draw, *shape)` as `(draws, *shape)`, as many as memory does not feel."""
    flat = generated.reshape(-1, *shape)
    kept = int(np.clip(MOST_VALUES // max(1, int(np.prod(shape))), min(2, len(flat)), len(flat)))
    return np.asarray(flat[np.linspace(0, len(flat) - 1, kept).round().astype(int)], dtype=float)


def seen(result: Result, site: str, replicated: Mapping[str, np.ndarray]) -> Seen:
    """The cells of a site that hold an outcome; a padded or an empty one holds nothing to be compared."""
    observed = np.asarray(result.data.observed[site], dtype=float)
    inputs, dims = result.data.inputs, dims_of(result, site)
    there = np.asarray(inputs.get(site.replace("x_", "has_"), inputs.get("there", True)), dtype=bool)
    there = there if there.shape == observed.shape else np.ones(observed.shape, dtype=bool)
    size = observed.shape[-1] if observed.ndim > 1 else 1
    names = list(map(str, result.data.coords.get(dims[-1] if dims else "", range(1, size + 1)))) if size > 1 else [site]
    column = np.broadcast_to(np.arange(size), observed.shape) if observed.ndim > 1 else np.zeros(observed.shape, int)
    kept = {backend: draws[:, there] for backend, draws in replicated.items()}
    return Seen(site, observed[there], kept, column[there], names)


def dims_of(result: Result, site: str) -> tuple[str, ...]:
    return result.data.dims.get(site) or next((fit.posterior.dims.get(site, ()) for fit in result.fits.values()), ())


def is_whole(values: np.ndarray) -> bool:
    return bool((values >= 0).all() and (values == np.floor(values)).all())


def is_binary(values: np.ndarray) -> bool:
    return set(np.unique(values)) <= {0.0, 1.0}


class Levels(NamedTuple):
    """Outcomes that are codes: what each code means, which code `(values,)` in `names` the first of a value's column
    is, and how many values each could be of `(names,)`."""

    names: list[str]
    start: np.ndarray
    sizes: np.ndarray


def levels(result: Result, outcome: Seen) -> Levels | None:
    """Of a class, and of columns of labels, whose levels lie side by side; None for outcomes that are numbers."""
    coords = result.data.coords
    if outcome.site.startswith("y") and coords.get("class"):
        names = [str(label) for label in coords["class"]]
        owner = np.zeros(len(names), dtype=int)
    elif outcome.site.startswith("x_category") or (outcome.site == "y" and "channel" in coords and "level" in coords):
        names = [str(label) for label in coords["level"]]
        own = list(map(str, coords["category" if outcome.site.startswith("x") else "channel"]))
        owner = np.array([next(k for k, name in enumerate(own) if text.startswith(f"{name}=")) for text in names])
    else:
        return None
    if len(names) > MOST_GROUPS:
        return None
    first = np.array([np.argmax(owner == k) for k in range(owner.max() + 1)])
    place = outcome.column if len(first) > 1 else np.zeros(outcome.observed.shape, dtype=int)
    return Levels(names, first[place], np.array([(place == k).sum() for k in owner]))


def of_levels(codes: Levels, values: np.ndarray) -> np.ndarray:
    """The share of every label in data sets `(draws, values)`, `(draws, names)`."""
    found = values + codes.start
    return np.stack([(found == k).sum(axis=1) for k in range(len(codes.names))], axis=1) / codes.sizes


def row_names(result: Result, site: str, count: int) -> list[object]:
    dims = dims_of(result, site)
    return list(result.data.coords.get(dims[0] if dims else "", range(count)))


def groups(result: Result, outcome: Seen) -> tuple[np.ndarray, list[str]] | None:
    """Codes and labels of the columns where there are several; else of the first input that says which group a row is
    in: it has a coordinate of its own name."""
    if 1 < len(outcome.columns) <= MOST_GROUPS:
        return outcome.column, outcome.columns
    for name, value in result.data.inputs.items():
        codes, labels = np.asarray(value), result.data.coords.get(name)
        fits = codes.shape == outcome.observed.shape and codes.dtype.kind in "iu"
        if labels is not None and fits and 1 < len(labels) <= MOST_GROUPS:
            return codes, [str(label) for label in labels]
    return None


def by_code(draws: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """Means of every group, `(draws, count)`."""
    members = [codes == code for code in range(count)]
    return np.stack(
        [draws[:, own].mean(axis=1) if own.any() else np.full(len(draws), np.nan) for own in members], axis=1
    )


def varies(replicated: Mapping[str, np.ndarray]) -> bool:
    """Whether predicted probabilities differ between rows by more than the draws' own noise."""
    draws = next(iter(replicated.values()))
    rates = draws.mean(axis=0)
    noise = (rates * (1 - rates)).mean() / len(draws)
    return bool(rates.size >= 20 and rates.var() > 4 * noise)
