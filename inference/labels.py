"""Component labels, which a posterior leaves open, made the same in every draw of every chain.

Permuting the components of a mixture (or the states of a chain) changes nothing in the density, so that every draw
carries labels of its own, and averages over draws mean nothing until the labels agree. Each draw s is given the
permutation that makes it likeliest under independent normals, one for each component and coordinate, that the permuted
draws themselves are summed up by:

    permutation[s]  =  argmin over p of  sum over k of  |f[s, p[k]] - mean[k]|^2 / (2 sd[k]^2)      (an assignment)
    mean, sd        =  median and interquartile range of the permuted draws, the latter over a normal's

repeated until no permutation changes (Stephens 2000, section 4, with a normal for each coordinate, so summed up that a
few wild draws do not count; Rodriguez & Walker 2014 on the assignment). It starts from the order of those coordinates
that tell components apart best and from several draws as pivots, and the narrowest normals are kept. What is compared,
f[s, k], is all that the sites say of component k: positive sites by their logarithm, and of a transition matrix its
diagonal and its columns' means, which are permuted along with the states.

M. Stephens (2000), Dealing with label switching in mixture models, JRSS B 62.
C. Rodriguez, S. Walker (2014), Label switching in Bayesian mixture models, JCGS 23.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from models.base import Dims

ORDERS, PIVOTS, MOST_TURNS = 6, 4, 50
FLOOR = 1e-3  # of a variance: a coordinate that does not vary within a component must not outvote all others
MOST_DRAWS = 1000  # draws that the normals are found from; all draws are permuted
NORMAL_RANGE = 1.349  # interquartile range of a normal with sd 1
BEYOND = 6.0  # how many interquartile ranges of a coordinate count: an empty component may be anywhere


class Aligned(NamedTuple):
    """draws: the same sites, permuted. permutations `(chain, draw, K)`: where aligned component k was before, so that
    aligned[..., k] = before[..., permutations[..., k]]."""

    draws: dict[str, np.ndarray]
    permutations: np.ndarray


def align(draws: Mapping[str, np.ndarray], dims: Dims, dim: str) -> Aligned:
    """Permute `draws (chain, draw, *shape)` so that index k along `dim` means the same component in every draw.

    dims: the axes of `shape` by site. An axis called `dim` is permuted, and so is `next_{dim}`, a transition matrix's
    second one. Sites without such an axis are returned as they are. In the end components are numbered by the mean
    of the first coordinate of the first site that has the axis. ValueError where no site has it.
    """
    axes = {name: axes_of(dims.get(name, ()), dim) for name in draws}
    sites = {name: found for name, found in axes.items() if found}
    if not sites:
        raise ValueError(f"no site has the dimension {dim!r}, got {sorted(draws)}")
    first = next(iter(sites))
    features = np.concatenate([coordinates(draws[name], sites[name]) for name in sites], axis=-1)
    chains, length, count, _ = features.shape
    flat = comparable(features.reshape(chains * length, count, -1))
    permutations = best(flat)
    own = coordinates(draws[first], sites[first])[..., 0].reshape(chains * length, count)
    order = np.argsort(np.take_along_axis(own, permutations, axis=1).mean(axis=0), kind="stable")
    permutations = permutations[:, order].reshape(chains, length, count)
    return Aligned({name: permuted(draws[name], axes[name], permutations) for name in draws}, permutations)


def axes_of(names: tuple[str, ...], dim: str) -> tuple[int, ...]:
    """The positions of the axes to permute, chain and draw being 0 and 1."""
    return tuple(i + 2 for i, name in enumerate(names) if name in (dim, f"next_{dim}"))


def permuted(values: np.ndarray, axes: tuple[int, ...], permutations: np.ndarray) -> np.ndarray:
    """`values (chain, draw, *shape)` with each draw's own permutation `(chain, draw, K)` along `axes`."""
    for axis in axes:
        shape = [1] * values.ndim
        shape[:2], shape[axis] = permutations.shape[:2], permutations.shape[2]
        values = np.take_along_axis(values, permutations.reshape(shape), axis=axis)
    return values


def coordinates(values: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """What a site says of each component, `(chain, draw, K, coordinates)`."""
    if len(axes) == 2:
        matrix = np.moveaxis(values, axes, (2, 3))
        own = np.moveaxis(np.diagonal(matrix, axis1=2, axis2=3), -1, 2)
        parts = [own.reshape(*own.shape[:3], -1), matrix.mean(axis=2).reshape(*own.shape[:3], -1)]
        return np.concatenate(parts, axis=-1)
    moved = np.moveaxis(values, axes[0], 2)
    moved = moved.reshape(*moved.shape[:3], -1)
    return np.log(moved) if values.size and (values > 0).all() else moved


def comparable(features: np.ndarray) -> np.ndarray:
    """Coordinates `(draws, K, coordinates)` on one scale, outliers drawn in and constant ones left out."""
    pooled = features.reshape(-1, features.shape[-1])
    low, middle, high = np.nanquantile(pooled, [0.25, 0.5, 0.75], axis=0)
    moving = high > low
    scaled = (features - middle)[..., moving] / (high - low)[moving]
    return np.clip(np.nan_to_num(scaled), -BEYOND, BEYOND)


def best(features: np.ndarray) -> np.ndarray:
    """The permutations `(draws, K)` by the narrowest normals, from several starts."""
    few = features[np.unique(np.linspace(0, len(features) - 1, MOST_DRAWS).astype(int))]
    starts = [few[..., c].argsort(axis=1) for c in telling(few)]
    pivots = few[np.linspace(0, len(few) - 1, PIVOTS).astype(int)]
    starts += [assigned(few, pivot, np.ones_like(pivot)) for pivot in pivots]
    found = [settled(few, start) for start in starts]
    _, middle, variance = min(found, key=lambda result: result[0])
    return assigned(features, middle, variance)


def telling(features: np.ndarray) -> np.ndarray:
    """The coordinates that are narrowest once components are in their order."""
    _, variance = normals(np.sort(features, axis=1))
    return np.argsort(np.log(variance).sum(axis=0), kind="stable")[:ORDERS]


def normals(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middles and variances `(K, coordinates)` of permuted draws."""
    low, middle, high = np.quantile(ordered, [0.25, 0.5, 0.75], axis=0)
    return middle, ((high - low) / NORMAL_RANGE) ** 2 + FLOOR


def settled(features: np.ndarray, permutations: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The normals that assignments come to rest with: the sum of their log variances, middles and variances."""
    for _ in range(MOST_TURNS):
        middle, variance = normals(np.take_along_axis(features, permutations[..., None], axis=1))
        before, permutations = permutations, assigned(features, middle, variance)
        if np.array_equal(permutations, before):
            break
    return float(np.log(variance).sum()), middle, variance


def assigned(features: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """For each draw the permutation `(draws, K)` of the lowest cost: its component for each of the normals."""
    from scipy.optimize import linear_sum_assignment

    # sum over coordinates of (f - mean)^2 / (2 variance) less what does not depend on the assignment
    cost = (features**2) @ (0.5 / variance).T - features @ (mean / variance).T
    cost = cost + (0.5 * mean**2 / variance).sum(axis=1)
    cost = np.swapaxes(cost, 1, 2)  # (draws, normal, component)
    permutations = cost.argmin(axis=2)
    # where each normal has another nearest component, that is the assignment
    for s in np.flatnonzero((np.sort(permutations, axis=1) != np.arange(len(mean))).any(axis=1)):
        permutations[s] = linear_sum_assignment(cost[s])[1]
    return permutations
