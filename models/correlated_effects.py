"""Correlated effects of groups: the factor L of their correlation matrix, by partial correlations.

Effects are non-centred: those of a group are b = diag(sd) L z with z standard normal and L the Cholesky factor of their
correlation matrix. L is made of partial correlations r[e, k], k < e, on (-1, 1) (Lewandowski, Kurowicka & Joe 2009):

    L[e, k] = r[e, k] prod over l < k of sqrt(1 - r[e, l]^2),    L[e, e] = prod over l < e of sqrt(1 - r[e, l]^2).

With (1 + r[e, k]) / 2 ~ Beta(a, a), a = eta + (E - 2 - k) / 2 for E effects counted from 0, the correlation matrix has
density det(R)^(eta - 1): the LKJ prior.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Pairs(NamedTuple):
    """Where the partial correlations of all parts lie in one row of them.

    place: number of the pair of an effect with the k-th of its part, `(effects, width)`; 0 where there is none.
    there: 1 where there is a pair, `(effects, width)`. own: 1 where the k-th of its part is the effect itself.
    shape: a of each pair's Beta(a, a) less eta, `(pairs,)`. names: of the two effects of each pair.
    """

    place: np.ndarray
    there: np.ndarray
    own: np.ndarray
    shape: np.ndarray
    names: list[str]


def pairs_of(widths: Sequence[int], correlated: Sequence[bool], effects: Sequence[str]) -> Pairs:
    """Numbers for the pairs of correlated effects, part by part: how many effects each part has, whether they are
    correlated, and the names of all."""
    widest = max(width if tied else 1 for width, tied in zip(widths, correlated, strict=True))
    place, there, own = (np.zeros((len(effects), widest)) for _ in range(3))
    shape: list[float] = []
    names, first = [], 0
    for width, tied in zip(widths, correlated, strict=True):
        for e in range(width):
            own[first + e, e if tied else 0] = 1
            for k in range(e) if tied else ():
                place[first + e, k], there[first + e, k] = len(shape), 1
                shape.append((width - 2 - k) / 2)
                names.append(f"{effects[first + k]}, {effects[first + e]}")
        first += width
    return Pairs(place.astype(np.int64), there, own, np.array(shape), names)


def factor(partial: Any, place: Any, there: Any, own: Any) -> list[Any]:
    """The columns of L by effect, each `(*batch, effects)`, from partial correlations `(*batch, pairs)`; NumPy's arrays
    or tensors."""
    r = partial[..., place] * there
    left, columns = 1.0, []
    for k in range(place.shape[1]):
        columns.append((r[..., k] + own[:, k]) * left)
        left = left * (1 - r[..., k] * r[..., k]) ** 0.5
    return columns


def mixed(columns: Sequence[Any], z: Any, effect_of: Any, partners: Any) -> Any:
    """L z for every member, `(*batch, members)`, from standard scores of the same shape."""
    return sum(column[..., effect_of] * z[..., partners[:, k]] for k, column in enumerate(columns))


def correlations(draws: Mapping[str, np.ndarray], pairs: Pairs) -> np.ndarray:
    """The correlation of each pair of effects, `(*draws, pairs)`: an element of L L'."""
    columns = np.stack(factor(2 * draws["group_partial"] - 1, pairs.place, pairs.there, pairs.own), axis=-1)
    rows = [(e, k) for e, k in zip(*np.nonzero(pairs.there), strict=True)]
    first = {e: e - int(np.argmax(pairs.own[e])) for e, _ in rows}
    found = [(columns[..., e, :] * columns[..., first[e] + k, :]).sum(axis=-1) for e, k in rows]
    return np.stack(found, axis=-1)
