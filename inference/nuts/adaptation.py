"""Warm-up of all chains together: one step size and one metric, both learnt from every chain.

Step size: the acceptance rates of the transitions that end between two updates are pooled, so that they carry little
noise, and log(step) follows their distance from the target by Robbins & Monro (1951); its weighted mean is kept.
Metric: the map z = F u makes coordinates of about unit scale. `diag` takes F_i^2 = sd(z_i) / sd(g_i), draws' standard
deviation over gradients' (the diagonal that minimises the Fisher divergence to a normal, the choice of nutpie); `dense`
takes the Cholesky factor of the draws' covariance, shrunk as in Stan.
"""

from __future__ import annotations

import math

import numpy as np

WINDOWS = (0.08, 0.2, 0.4, 0.85, 1.0)  # where windows end, in shares of the warm-up; the last one learns the step alone
GAIN = 1.5
SMALLEST, LARGEST = 1e-10, 1e10


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
    """The map z = F u between unconstrained and whitened coordinates: F a vector `(D,)` or a lower triangle `(D,
    D)`."""

    def __init__(self, size: int, dense: bool) -> None:
        self.factor: np.ndarray = np.eye(size) if dense else np.ones(size)

    def z(self, u: np.ndarray) -> np.ndarray:
        return u * self.factor if self.factor.ndim == 1 else u @ self.factor.T

    def u(self, z: np.ndarray) -> np.ndarray:
        return z / self.factor if self.factor.ndim == 1 else np.linalg.solve(self.factor, z.T).T

    def pulled_back(self, gradient: np.ndarray) -> np.ndarray:
        """The gradient by u, from the gradient by z."""
        return gradient * self.factor if self.factor.ndim == 1 else gradient @ self.factor

    def pushed_forward(self, gradient: np.ndarray) -> np.ndarray:
        """The gradient by z, from the gradient by u."""
        return gradient / self.factor if self.factor.ndim == 1 else np.linalg.solve(self.factor.T, gradient.T).T

    def learn(self, u: np.ndarray, g: np.ndarray) -> None:
        """A new map from draws and gradients of a window, both `(draws, D)` in the coordinates so far."""
        z, gradient = self.z(u), self.pushed_forward(g)
        if self.factor.ndim == 1:
            spread, slope = z.std(axis=0), gradient.std(axis=0)
            squared = np.where((spread > 0) & (slope > 0), spread / np.where(slope > 0, slope, 1.0), self.factor**2)
            self.factor = np.sqrt(np.clip(squared, SMALLEST, LARGEST))
        else:
            count = len(z)
            covariance = np.cov(z, rowvar=False, bias=True).reshape(z.shape[1], z.shape[1])
            shrunk = count / (count + 5) * covariance + 1e-3 * 5 / (count + 5) * np.eye(z.shape[1])
            self.factor = np.linalg.cholesky(shrunk)


def window_ends(num_warmup: int) -> list[int]:
    """Transitions after which each window ends, rising, the last one `num_warmup`."""
    return sorted({max(1, round(share * num_warmup)) for share in WINDOWS})
