"""Whitened coordinates: z = mode + L u with L L^T the inverse curvature at the mode, so that one learning rate suits
every model."""

from __future__ import annotations

import numpy as np
import torch

from inference.density import LogDensity
from inference.modes import Mode, inverse

UNKNOWN = 0.1  # the scale of every coordinate where the curvature is not that of a maximum


class Space:
    """z = centre + factor u for every restart, factor a vector `(restarts, D)` or a lower triangle `(restarts, D, D)`.

    The log density is carried along, the constant log |det factor| included.
    """

    def __init__(self, density: LogDensity, centre: np.ndarray, factor: np.ndarray) -> None:
        self.density, self.centre, self.factor = density, centre, factor
        scales = factor if factor.ndim == 2 else np.einsum("rii->ri", factor)
        self.log_det = np.log(scales).sum(axis=1)

    @classmethod
    def around(cls, density: LogDensity, modes: list[Mode], diagonal: bool) -> Space:
        """Coordinates in which the curvature at each mode is the identity, or has ones on its diagonal."""
        factors = [whitening(mode, diagonal) for mode in modes]
        return cls(density, np.stack([mode.z.numpy() for mode in modes]), np.stack(factors))

    def only(self, rows: np.ndarray) -> Space:
        return Space(self.density, self.centre[rows], self.factor[rows])

    def z(self, u: np.ndarray) -> np.ndarray:
        """`(restarts, n, D)` at `u (restarts, n, D)`."""
        scaled = u * self.factor[:, None] if self.factor.ndim == 2 else u @ self.factor.transpose(0, 2, 1)
        return self.centre[:, None] + scaled

    def log_prob(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log density `(restarts, n)` and its gradient by u `(restarts, n, D)`."""
        value, gradient = self.density(torch.from_numpy(self.z(u).reshape(-1, u.shape[2])))
        slope = gradient.numpy().reshape(u.shape)
        pulled = slope * self.factor[:, None] if self.factor.ndim == 2 else slope @ self.factor
        return value.numpy().reshape(u.shape[:2]) + self.log_det[:, None], pulled


def whitening(mode: Mode, diagonal: bool) -> np.ndarray:
    # none for a covariance either that no double can turn around, as on the way down a funnel without an end
    precision = None if mode.covariance is None else inverse(mode.covariance)
    if mode.covariance is None or precision is None:
        size = len(mode.z)
        return np.full(size, UNKNOWN) if diagonal else UNKNOWN * np.eye(size)
    if diagonal:
        # the best mean-field normal for a normal target has the conditional variances (Bishop 2006, section 10.1.2)
        return precision.diagonal().numpy() ** -0.5
    return torch.linalg.cholesky(mode.covariance).numpy()
