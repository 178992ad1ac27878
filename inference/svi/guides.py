"""Normal guides with the gradient of the ELBO written out, for many restarts at once, in NumPy.

A guide makes draws u of standard normal noise eps by its parameters. With slope = d log p / du at the draws,

    path = slope - d log q(u) / du            d ELBO / d parameter = E[path^T du / d parameter]

("sticking the landing": Roeder, Wu & Duvenaud 2017). The score of q is left out because its expectation is nil; what
is left has no noise at all where q is the posterior.

Shapes: parameters `(restarts, K)`, noise `(restarts, particles, noise size)`, draws u and slopes `(restarts, particles,
D)`. Scales are kept as logarithms.
"""

from __future__ import annotations

import functools
import math
from typing import Protocol

import numpy as np
from scipy.linalg.blas import dtrsm

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Guide(Protocol):
    """Draws of a normal guide: u, log q(u) `(restarts, particles)`, and the gradient of the ELBO that they give."""

    diagonal: bool  # whether coordinates are to be whitened one by one
    u: np.ndarray
    log_q: np.ndarray

    def __init__(self, parameters: np.ndarray, noise: np.ndarray, size: int) -> None: ...

    def gradient(self, slope: np.ndarray) -> np.ndarray:
        """By the parameters, `(restarts, K)`."""

    @staticmethod
    def noise_size(size: int) -> int:
        """How many standard normal numbers a draw of D = size coordinates takes."""

    @staticmethod
    def initial(size: int, rng: np.random.Generator) -> np.ndarray:
        """Parameters `(K,)` of about N(0, I)."""


class Normal:
    """Mean field: u = loc + sd * eps. Parameters: loc, log sd."""

    diagonal = True

    def __init__(self, parameters: np.ndarray, noise: np.ndarray, size: int) -> None:
        log_sd = parameters[:, None, size:]
        self.noise, self.sd = noise, np.exp(log_sd)
        self.u = parameters[:, None, :size] + self.sd * noise
        self.log_q = -0.5 * squares(noise) - log_sd.sum(axis=2) - size * HALF_LOG_2PI

    def gradient(self, slope: np.ndarray) -> np.ndarray:
        particles = slope.shape[1]
        scaled = self.sd * slope + self.noise
        by_log_sd = np.einsum("rpd,rpd->rd", scaled, self.noise) / particles
        return np.concatenate([scaled.sum(axis=1) / (particles * self.sd[:, 0]), by_log_sd], axis=1)

    @staticmethod
    def noise_size(size: int) -> int:
        return size

    @staticmethod
    def initial(size: int, rng: np.random.Generator) -> np.ndarray:
        return np.zeros(2 * size)


class MultivariateNormal:
    """Full rank: u = loc + L eps, L lower triangular. Parameters: loc, then L as a matrix, its diagonal as logarithms.

    The matrix is kept whole for the sake of plain products; what lies above its diagonal is zero and has no gradient.
    """

    diagonal = False

    def __init__(self, parameters: np.ndarray, noise: np.ndarray, size: int) -> None:
        self.noise, self.size = noise, size
        flat = parameters[:, size:].copy()
        log_diagonal = parameters[:, size :: size + 1]
        flat[:, :: size + 1] = self.scales = np.exp(log_diagonal)
        self.factor = flat.reshape(-1, size, size)
        self.u = parameters[:, None, :size] + noise @ self.factor.transpose(0, 2, 1)
        self.log_q = -0.5 * squares(noise) - log_diagonal.sum(axis=1)[:, None] - size * HALF_LOG_2PI

    def gradient(self, slope: np.ndarray) -> np.ndarray:
        path = slope.copy()
        for row, (factor, eps) in enumerate(zip(self.factor, self.noise, strict=True)):
            # minus the slope of log q is L^-T eps; BLAS has columns where NumPy has rows
            path[row] += dtrsm(1.0, factor.T, eps.T).T
        by_factor = path.transpose(0, 2, 1) @ self.noise
        by_factor *= lower(self.size) / slope.shape[1]
        flat = by_factor.reshape(len(slope), -1)
        flat[:, :: self.size + 1] *= self.scales
        return np.concatenate([path.sum(axis=1) / slope.shape[1], flat], axis=1)

    @staticmethod
    def noise_size(size: int) -> int:
        return size

    @staticmethod
    def initial(size: int, rng: np.random.Generator) -> np.ndarray:
        return np.zeros(size + size * size)


class LowRank:
    """Diagonal and low rank: u = loc + sd * w, w = eps_1 + W eps_2, W `(D, rank)`, rank = sqrt(D). Parameters: loc, log
    sd, W."""

    diagonal = True

    def __init__(self, parameters: np.ndarray, noise: np.ndarray, size: int) -> None:
        log_sd = parameters[:, None, size : 2 * size]
        factor = parameters[:, 2 * size :].reshape(len(parameters), size, -1)
        turned = np.ascontiguousarray(factor.transpose(0, 2, 1))
        self.sd, self.inner_noise = np.exp(log_sd), noise[:, :, size:]
        self.w = noise[:, :, :size] + self.inner_noise @ turned
        # (I + W W^T)^-1 = I - W (I + W^T W)^-1 W^T, and the two matrices have one determinant
        inner = np.eye(factor.shape[2]) + turned @ factor
        self.solved = self.w - ((self.w @ factor) @ np.linalg.inv(inner)) @ turned
        self.u = parameters[:, None, :size] + self.sd * self.w
        log_det = log_sd.sum(axis=2) + 0.5 * np.linalg.slogdet(inner)[1][:, None]
        self.log_q = -0.5 * np.einsum("rpd,rpd->rp", self.w, self.solved) - log_det - size * HALF_LOG_2PI

    def gradient(self, slope: np.ndarray) -> np.ndarray:
        particles = slope.shape[1]
        scaled = self.sd * slope + self.solved
        by_log_sd = np.einsum("rpd,rpd->rd", scaled, self.w) / particles
        by_factor = scaled.transpose(0, 2, 1) @ self.inner_noise / particles
        parts = [scaled.sum(axis=1) / (particles * self.sd[:, 0]), by_log_sd, by_factor.reshape(len(slope), -1)]
        return np.concatenate(parts, axis=1)

    @staticmethod
    def noise_size(size: int) -> int:
        return size + round(math.sqrt(size))

    @staticmethod
    def initial(size: int, rng: np.random.Generator) -> np.ndarray:
        # W = 0 would be a saddle: its gradient is nil there
        factor = 0.1 * rng.standard_normal(size * round(math.sqrt(size)))
        return np.concatenate([np.zeros(2 * size), factor])


NORMALS: dict[str, type[Guide]] = {"normal": Normal, "multivariate_normal": MultivariateNormal, "low_rank": LowRank}


def squares(noise: np.ndarray) -> np.ndarray:
    """|eps|^2 of every draw."""
    return np.einsum("rpd,rpd->rp", noise, noise)


@functools.cache
def lower(size: int) -> np.ndarray:
    """Ones on and below the diagonal."""
    return np.tri(size)


def mirrored(steps: int, particles: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Standard normal noise `(steps, particles, width)` in pairs of opposite sign, the last one alone where the number
    of particles is odd."""
    half = rng.standard_normal((steps, (particles + 1) // 2, width))
    return np.concatenate([half, -half], axis=1)[:, :particles]
