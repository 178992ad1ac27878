"""What draws of a mixture's parameters say of rows: densities by component, responsibilities, clusters to start from.

Shapes: S draws, N rows, K components, D features. Cells that are not there are left out of a row, which is exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from models.errors import InputError

MOST_VALUES = 4_000_000  # numbers in flight at once
MOST_SEEDED, TRIES, TURNS = 2000, 5, 30
WORTH, USUAL = 1.0, 0.5  # a seed's spread counts as many rows at this many standard deviations, for single rows


class Parts(NamedTuple):
    """Parameters in the features' own units: log_weights `(S, K)`, loc and scale `(S, K, D)`, correlation `(S, K, D,
    D)` or None where features are independent, nu `(S, K)` or None for normal components."""

    log_weights: np.ndarray
    loc: np.ndarray
    scale: np.ndarray
    correlation: np.ndarray | None = None
    nu: np.ndarray | None = None

    def some(self, draws: slice | np.ndarray) -> Parts:
        """The same of some of the draws."""
        log_weights, loc, scale, *shape = self
        correlation, nu = (None if part is None else part[draws] for part in shape)
        return Parts(log_weights[draws], loc[draws], scale[draws], correlation, nu)


def log_joint(parts: Parts, y: np.ndarray, there: np.ndarray | None = None) -> np.ndarray:
    """log of weight times density of every component at rows `y (N, D)`, `(S, N, K)`."""
    draws, count, size = parts.loc.shape
    found = np.empty((draws, len(y), count))
    cells = np.ones(y.shape, dtype=bool) if there is None else there
    patterns, pattern = np.unique(cells, axis=0, return_inverse=True)
    for number, has in enumerate(patterns):
        rows = pattern.reshape(-1) == number
        found[:, rows] = of_pattern(parts, y[rows], np.flatnonzero(has))
    return found


def of_pattern(parts: Parts, y: np.ndarray, has: np.ndarray) -> np.ndarray:
    """The same for rows that all have the features `has`."""
    from scipy.special import gammaln

    scale, size = parts.scale[..., has], len(has)
    u = (y[:, has] - parts.loc[:, :, None, has]) / scale[:, :, None]  # (S, K, N, D)
    log_det = np.log(scale).sum(axis=-1)
    if parts.correlation is not None and size > 1:
        factor = np.linalg.cholesky(parts.correlation[:, :, has[:, None], has])
        log_det = log_det + np.log(np.diagonal(factor, axis1=-2, axis2=-1)).sum(axis=-1)
        u = u @ np.swapaxes(np.linalg.inv(factor), -1, -2)
    distance = np.einsum("skni,skni->skn", u, u)
    if parts.nu is None:
        log_f = -0.5 * (distance + size * math.log(2 * math.pi))
    else:
        nu = parts.nu[..., None]
        log_f = gammaln(0.5 * (nu + size)) - gammaln(0.5 * nu) - 0.5 * size * np.log(nu * np.pi)
        log_f = log_f - 0.5 * (nu + size) * np.log1p(distance / nu)
    return np.swapaxes(parts.log_weights[..., None] + log_f - log_det[..., None], 1, 2)


def chunks(parts: Parts, y: np.ndarray, there: np.ndarray | None) -> Iterator[tuple[slice, np.ndarray]]:
    """Rows a few at a time with their `log_joint`, so that memory stays bounded."""
    step = max(1, MOST_VALUES // parts.loc.size)
    for start in range(0, len(y), step):
        part = slice(start, start + step)
        yield part, log_joint(parts, y[part], None if there is None else there[part])


def occupation(parts: Parts, y: np.ndarray, there: np.ndarray | None) -> dict[str, np.ndarray]:
    """For each draw: how many components the rows are expected to fill, and the log likelihood of all rows, `(S,)`.

    Given the parameters rows are independent: component k is empty with probability prod over n of 1 - r[n, k].
    """
    from scipy.special import logsumexp

    log_empty = np.zeros(parts.log_weights.shape)
    total = np.zeros(len(parts.log_weights))
    for _, joint in chunks(parts, y, there):
        density = logsumexp(joint, axis=2)
        total += density.sum(axis=1)
        with np.errstate(divide="ignore"):
            log_empty += np.log1p(-np.exp(joint - density[..., None]).clip(max=1.0)).sum(axis=1)
    return {"occupied_components": (1 - np.exp(log_empty)).sum(axis=1), "log_likelihood": total}


def predicted(parts: Parts, y: np.ndarray, there: np.ndarray | None, mass: float) -> dict[str, np.ndarray]:
    """For each row, `(N,)`: the most probable component, every component's probability with an equal-tailed interval
    over the draws, and the log of the row's posterior predictive density."""
    from scipy.special import logsumexp

    if not 0 < mass < 1:
        raise InputError("mass", f"must lie between 0 and 1, got {mass}", "write for instance 0.9")
    draws, count, _ = parts.loc.shape
    tails = [(1 - mass) / 2, (1 + mass) / 2]
    probability, ends = np.empty((len(y), count)), np.empty((2, len(y), count))
    log_density = np.empty(len(y))
    for part, joint in chunks(parts, y, there):
        density = logsumexp(joint, axis=2)
        given = np.exp(joint - density[..., None])
        probability[part], ends[:, part] = given.mean(axis=0), np.quantile(given, tails, axis=0)
        log_density[part] = logsumexp(density, axis=0) - math.log(draws)
    columns: dict[str, np.ndarray] = {"component": probability.argmax(axis=1)}
    for k in range(count):
        name = f"P(component={k})"
        columns |= {name: probability[:, k], f"{name} lower": ends[0, :, k], f"{name} upper": ends[1, :, k]}
    return columns | {"log_density": log_density}


def drawn(parts: Parts, y: np.ndarray, there: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """The component of each row, drawn given each draw's parameters, int64 `(S, N)`."""
    found = np.empty((len(parts.loc), len(y)), dtype=np.int64)
    for part, joint in chunks(parts, y, there):
        found[:, part] = (joint + rng.gumbel(size=joint.shape)).argmax(axis=2)
    return found


def co_clustering(parts: Parts, y: np.ndarray, there: np.ndarray | None) -> np.ndarray:
    """P(rows i and j are of one component), `(N, N)`, ones on the diagonal: given the parameters rows are independent,
    so that it is the mean over draws of the sum over k of r[i, k] r[j, k]."""
    from scipy.special import logsumexp

    total = np.zeros((len(y), len(y)))
    step = max(1, MOST_VALUES // (len(y) * parts.loc.shape[1]))
    for start in range(0, len(parts.loc), step):
        few = parts.some(slice(start, start + step))
        given = np.empty((len(few.loc), len(y), parts.loc.shape[1]))
        for part, joint in chunks(few, y, there):
            given[:, part] = np.exp(joint - logsumexp(joint, axis=2)[..., None])
        flat = np.swapaxes(given, 0, 1).reshape(len(y), -1)
        total += flat @ flat.T
    total /= len(parts.loc)
    np.fill_diagonal(total, 1.0)
    return total


class Seeds(NamedTuple):
    """Where a chain starts: loc and scale `(K, D)`, weights `(K,)`."""

    loc: np.ndarray
    scale: np.ndarray
    weights: np.ndarray


def seeds(y: np.ndarray, there: np.ndarray | None, count: int, rng: np.random.Generator) -> Seeds:
    """Clusters of rows `y (N, D)`: the best of a few k-means from centres that are far apart (Arthur & Vassilvitskii
    2007), in the order of the first principal component, so that chains start with one labelling; slightly shaken."""
    known = y if there is None else np.where(there, y, np.nan)
    mean, sd = np.nanmean(known, axis=0), np.nanstd(known, axis=0)
    sd = np.where(sd > 0, sd, 1.0)
    z = np.nan_to_num((known - mean) / sd)
    z = z[rng.permutation(len(z))[:MOST_SEEDED]]
    _, centres, label = min((clustered(z, count, rng) for _ in range(TRIES)), key=lambda found: found[0])
    axis = np.linalg.svd(z, full_matrices=False)[2][0]
    order = np.argsort(centres @ axis * np.sign(axis[np.abs(axis).argmax()]))
    size = np.bincount(label, minlength=count)[order]
    squares = np.array([((z[label == k] - centres[k]) ** 2).sum(axis=0) for k in order])
    scale = np.sqrt((squares + WORTH * USUAL**2) / (size[:, None] + WORTH))
    loc = centres[order] + 0.1 * scale * rng.standard_normal(centres.shape)
    scale = scale * np.exp(0.1 * rng.standard_normal(scale.shape))
    return Seeds(mean + sd * loc, sd * scale, (size + 1.0) / (size + 1.0).sum())


def clustered(z: np.ndarray, count: int, rng: np.random.Generator) -> tuple[float, np.ndarray, np.ndarray]:
    """One k-means: the sum of squared distances, centres `(count, D)` and the label of every row."""
    centres = z[rng.integers(len(z))][None]
    while len(centres) < count:
        distance = ((z[:, None] - centres) ** 2).sum(axis=2).min(axis=1)
        total = distance.sum()
        chance = distance / total if total > 0 else None
        centres = np.vstack([centres, z[rng.choice(len(z), p=chance)]])
    label = np.full(len(z), -1)
    for _ in range(TURNS):
        before, squares = label, ((z[:, None] - centres) ** 2).sum(axis=2)
        label = squares.argmin(axis=1)
        if np.array_equal(label, before):
            break
        own = [z[label == k] for k in range(count)]
        centres = np.array(
            [rows.mean(axis=0) if len(rows) else centre for rows, centre in zip(own, centres, strict=True)]
        )
    return float(squares.min(axis=1).sum()), centres, label
