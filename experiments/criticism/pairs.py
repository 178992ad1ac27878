"""How well rows of one kind are told from the others, by pairs of rows: each pair is ordered by what is known without
both of its rows.

    p(i | j)  =  P(row i is of the kind | its features, all rows but i and j)
    i is above j where p(i | j) > p(j | i)

A fit to all rows is praised for what it was fitted to. Rows left out one by one have an order that is turned around
where they are alike, as each lowers the chances of its own kind by leaving: one rate for all would have an AUC of 0.
Pairs have neither fault (Airola, Pahikkala, Waegeman, De Baets & Salakoski 2011). As rows are independent given the
parameters, a draw's weight without two rows is the product of its weights without each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from experiments.criticism.calibration import PrecisionRecall, Ranking

MOST_ROWS = 10_000  # beyond, a single row changes nothing, and pairs are too many
MOST_PRODUCTS = 10_000_000_000  # draws times pairs: some seconds
MOST_VALUES = 8_000_000  # numbers kept
LEAST_DRAWS = 100
BLOCK = 500  # rows that are compared with all others at once
ROUNDING = 1e-9  # chances that differ by less are equal


class Pairs(NamedTuple):
    """Draws' weights without each row `(draws, rows)`, the same given its features, and p(class | row, parameters)
    `(draws, rows, K)`."""

    weights: np.ndarray
    shares: np.ndarray
    given: np.ndarray


def draws_for(rows: int, draws: int, num_classes: int) -> int:
    """How many draws are enough and not too many; 0 where rows are too many to compare."""
    if rows > MOST_ROWS:
        return 0
    affordable = min(MOST_PRODUCTS // rows**2, MOST_VALUES // (rows * (num_classes + 2)))
    return min(draws, affordable) if affordable >= LEAST_DRAWS else 0


def ranking(pairs: Pairs, outcome: np.ndarray, kind: int) -> Ranking:
    """Of the class `kind` against the rest; outcome: codes `(rows,)`."""
    ones = np.flatnonzero(outcome == kind)
    others = outcome != kind
    if not len(ones) or not others.any():
        nothing = np.full(1, np.nan)
        return Ranking(float("nan"), float("nan"), PrecisionRecall(nothing, nothing))
    chance = pairs.shares * pairs.given[:, :, kind]
    beside, above, level = (np.empty(len(ones)) for _ in range(3))
    for start in range(0, len(ones), BLOCK):
        part = slice(start, start + BLOCK)
        rows = ones[part]
        own = (chance[:, rows].T @ pairs.weights) / (pairs.shares[:, rows].T @ pairs.weights)
        other = (pairs.weights[:, rows].T @ chance) / (pairs.weights[:, rows].T @ pairs.shares)
        tied = np.abs(other - own) <= ROUNDING * np.maximum(own, other)
        ahead = (other > own) & ~tied
        beside[part] = (ahead | tied)[:, ones].sum(axis=1)  # a row is beside itself
        above[part], level[part] = ahead[:, others].sum(axis=1), tied[:, others].sum(axis=1)
    precision = beside / (beside + above + level)
    order = np.argsort(beside, kind="stable")
    curve = PrecisionRecall(precision[order], beside[order] / len(ones))
    return Ranking(float(1 - (above + level / 2).mean() / others.sum()), float(precision.mean()), curve)
