"""Warm-up of all chains together: one step size and one metric, both learnt from every chain.

Step size: the acceptance rates of the transitions that end between two updates are pooled, so that they carry little
noise, and log(step) follows their distance from the target by Robbins & Monro (1951); its weighted mean is kept.
Metric: the map z = F u makes coordinates of about unit scale. `diag` takes F_i^2 = sd(z_i) / sd(g_i), draws' standard
deviation over gradients' (the diagonal that minimises the Fisher divergence to a normal, the choice of nutpie); `dense`
takes the matrix F F^T that does the same, the geometric mean of the draws' covariance and the gradients' precision.
"""

from __future__ import annotations

import math

import numpy as np

# where windows end, in shares of the warm-up: many at first, for a metric from far out is better soon replaced than
# followed through long trees; the last one learns the step alone
WINDOWS = (0.05, 0.12, 0.22, 0.4, 0.85, 1.0)
EARLY = 0.25  # the share of warm-up in which trajectories are kept short
GAIN = 1.5
SMALLEST, LARGEST = 1e-10, 1e10
DRAWS_PER_COORDINATE = 10  # how many draws a dense map takes for each coordinate
PRIOR_DRAWS = 5  # what the shrinkage of a covariance towards its diagonal weighs


class StepSize:
    """log(step) moves by GAIN / sqrt(k) times the distance of the pooled acceptance rate from its target."""

    def __init__(self, initial: float, target: float) -> None:
        self.target = target
        self.restart(initial)

    def restart(self, initial: float) -> None:
        self.now = self.mean = math.log(initial)
        self.updates = 0

    def update(self, acceptance: float) -> None:
        self.updates += 1
        self.now += GAIN / math.sqrt(self.updates) * (acceptance - self.target)
        share = min(1.0, 2.0 / (self.updates + 1))
        self.mean += share * (self.now - self.mean)

    @property
    def trial(self) -> float:
        """The step size to go on with."""
        return math.exp(self.now)

    @property
    def settled(self) -> float:
        """The weighted mean over the updates: what sampling uses."""
        return math.exp(self.mean)


class Metric:
    """The map z = F u between unconstrained and whitened coordinates: F a vector `(D,)` or a lower triangle `(D, D)`.

    A dense map begins as a diagonal one, until there are draws enough for it.
    """

    def __init__(self, size: int, dense: bool) -> None:
        self.factor, self.dense = np.ones(size), dense

    def z(self, u: np.ndarray) -> np.ndarray:
        return u * self.factor if self.factor.ndim == 1 else u @ self.factor.T

    def u(self, z: np.ndarray) -> np.ndarray:
        return z / self.factor if self.factor.ndim == 1 else np.linalg.solve(self.factor, z.T).T

    def pulled_back(self, gradient: np.ndarray) -> np.ndarray:
        """The gradient by u, from the gradient by z."""
        return gradient * self.factor if self.factor.ndim == 1 else gradient @ self.factor

    def learn(self, u: np.ndarray, g: np.ndarray) -> None:
        """A better map from draws and gradients of a window, both `(draws, D)` in the coordinates so far.

        In the coordinates of the best map draws and gradients have one covariance, so what is found here is a
        correction to the map so far.
        """
        count, size = u.shape
        spread, slope = u.std(axis=0), g.std(axis=0)
        known = np.isfinite(spread) & np.isfinite(slope) & (spread > 0) & (slope > 0)
        squared = np.divide(spread, slope, where=known, out=np.ones(size))
        scale = np.sqrt(np.clip(squared, SMALLEST, LARGEST))
        self.factor = self.factor * scale
        if self.dense and count > DRAWS_PER_COORDINATE * size:
            # scales are taken out first: what is left has correlations alone, and digits enough for them
            correction = np.linalg.cholesky(half_way(covariance(u / scale), covariance(g * scale)))
            self.factor = self.factor[:, None] * correction if self.factor.ndim == 1 else self.factor @ correction


def covariance(rows: np.ndarray) -> np.ndarray:
    """Of `rows (draws, D)`, shrunk a little towards its diagonal, `(D, D)`."""
    count, size = rows.shape
    found = np.cov(rows, rowvar=False, bias=True).reshape(size, size)
    return (count * found + PRIOR_DRAWS * np.diag(found.diagonal())) / (count + PRIOR_DRAWS)


def half_way(draws: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """The matrix M with M gradients M = draws, the geometric mean of `draws` and the inverse of `gradients`, each
    `(D, D)`."""
    values, vectors = np.linalg.eigh(gradients)
    size = np.sqrt(np.maximum(values, SMALLEST))
    root, inverse = vectors * size, vectors / size
    values, vectors = np.linalg.eigh(root.T @ draws @ root)
    return inverse @ (vectors * np.sqrt(np.maximum(values, SMALLEST))) @ vectors.T @ inverse.T


def window_ends(num_warmup: int) -> list[int]:
    """Transitions after which each window ends, rising, the last one `num_warmup`."""
    return sorted({max(1, round(share * num_warmup)) for share in WINDOWS})
