"""One partition of rows that stands for a posterior of partitions: the one of the lowest expected loss.

similarity[i, j] is the probability that rows i and j belong together. With c a partition, |c[i]| the size of row i's
part and s[i] the sum of similarity[i, j] over that part,

    binder                    sum over i < j of  |1(c[i] = c[j]) - similarity[i, j]|
    variation of information  mean over i of     log2 |c[i]| - 2 log2 s[i] + log2 sum over j of similarity[i, j]

The second is a lower bound of the expected variation of information that a matrix alone can give (Wade & Ghahramani,
Bayesian cluster analysis: point estimation and credible balls, Bayesian Analysis 2018, section 3.1). Binder's loss
likes small parts of few rows; variation of information less.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Loss = Literal["variation_of_information", "binder"]

MOST_PARTS, MOST_SWEEPS, KEPT = 30, 100, 4


def expected_loss(labels: np.ndarray, similarity: np.ndarray, loss: Loss) -> float:
    """The loss of a partition `labels (N,)` that is to be expected, given `similarity (N, N)`."""
    together = labels[:, None] == labels
    if loss == "binder":
        return float(np.triu(np.abs(together - similarity), 1).sum())
    own = (together * similarity).sum(axis=1)
    return float((np.log2(together.sum(axis=1)) - 2 * np.log2(own) + np.log2(similarity.sum(axis=1))).mean())


def consensus(similarity: np.ndarray, loss: Loss = "variation_of_information") -> np.ndarray:
    """Labels `(N,)` from 0, the largest part first: the best cuts of a hierarchical clustering, improved row by row
    until no row is better off elsewhere."""
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import squareform

    count = len(similarity)
    if count == 1:
        return np.zeros(1, dtype=np.int64)
    distance = squareform(np.clip(1 - similarity, 0, 1), checks=False)
    candidates = [
        hierarchy.fcluster(hierarchy.linkage(distance, method), parts, "maxclust")
        for method in ("average", "complete")
        for parts in range(1, min(count, MOST_PARTS) + 1)
    ]
    candidates.sort(key=lambda labels: expected_loss(labels, similarity, loss))
    improved = [swept(labels, similarity, loss) for labels in candidates[:KEPT]]
    best = min(improved, key=lambda labels: expected_loss(labels, similarity, loss))
    _, labels, sizes = np.unique(best, return_inverse=True, return_counts=True)
    rank = np.empty(len(sizes), dtype=np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return rank[labels.reshape(-1)]


def swept(labels: np.ndarray, similarity: np.ndarray, loss: Loss) -> np.ndarray:
    """The partition after moves of single rows, to other parts or to one of their own, that each lower the loss."""
    count = len(labels)
    labels = np.unique(labels, return_inverse=True)[1].reshape(-1)
    own = (similarity * (labels[:, None] == labels)).sum(axis=1)
    for _ in range(MOST_SWEEPS):
        moved = False
        for i in range(count):
            here, to = labels[i], similarity[i].copy()
            to[i], labels[i] = 0.0, -1  # out of its part for a while
            own -= to * (labels == here)
            size = np.bincount(labels + 1, minlength=count + 1)[1:]
            costs = np.where(size > 0, joining(labels + 1, to, own, size, loss), np.inf)
            costs[np.argmin(size > 0)] = 0.0  # a part of its own
            best = int(np.argmin(costs))
            now = costs[here] if size[here] else 0.0
            if costs[best] < now - 1e-9:
                here, moved = best, True
            own += to * (labels == here)
            own[i] = 1.0 + to[labels == here].sum()
            labels[i] = here
        if not moved:
            break
    return labels


def joining(places: np.ndarray, to: np.ndarray, own: np.ndarray, size: np.ndarray, loss: Loss) -> np.ndarray:
    """What it costs, by part, that a row with similarities `to` joins it; to stay alone costs 0.

    places: the part of every row, from 1; the row itself is in none, 0. own: the sums s of the other rows.
    """

    def by_part(values: np.ndarray) -> np.ndarray:
        return np.bincount(places, values, minlength=len(size) + 1)[1:]

    if loss == "binder":
        return by_part(1 - 2 * to)
    of_others = by_part(2 * (np.log2(own) - np.log2(own + to)))
    of_sizes = (size + 1) * np.log2(size + 1) - size * np.log2(np.maximum(size, 1))
    return of_others + of_sizes - 2 * np.log2(1 + by_part(to))
