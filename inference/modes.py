"""Modes of a log density and the curvature there: quasi-Newton from a start, then Newton steps to the digit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.optimize
import torch
from torch import Tensor

from inference.density import LogDensity

MOST_DIMENSIONS = 1000  # beyond this the Hessian costs more than it helps
BORDER = 40.0  # |z| of a logit or logarithm that has left for a border of the support


class Mode(NamedTuple):
    """A stationary point of the log density.

    z: `(D,)`. value: the log density there. trace: its values on the way.
    covariance: minus the inverse Hessian `(D, D)`, None where the Hessian is not negative definite.
    converged: the gradient is nil for the numbers at hand. escaped: a coordinate left for a border (its index),
    else None.
    """

    z: Tensor
    value: float
    trace: list[float]
    covariance: Tensor | None
    converged: bool
    escaped: int | None


def find_mode(density: LogDensity, start: Tensor, newton_steps: int = 20) -> Mode:
    """Climb from `start (D,)` to a mode."""
    trace: list[float] = []

    def objective(point: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = density.one(torch.as_tensor(point))
        if not torch.isfinite(value) or not torch.isfinite(gradient).all():
            return np.inf, np.zeros_like(point)
        return -value.item(), -gradient.numpy()

    found = scipy.optimize.minimize(
        objective,
        start.numpy(),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-2 * BORDER, 2 * BORDER) if bounded else (None, None) for bounded in mapped(density)],
        callback=lambda point: trace.append(-objective(point)[0]),
        options={"maxiter": 2000, "ftol": 1e-13, "gtol": 1e-8},
    )
    z = torch.as_tensor(found.x)
    far = np.abs(found.x) * np.array(mapped(density))
    escaped = int(far.argmax()) if far.max(initial=0.0) > BORDER else None
    value, gradient = density.one(z)
    covariance = None
    if density.size <= MOST_DIMENSIONS and escaped is None:
        for _ in range(newton_steps):
            covariance = inverse(-density.hessian(z))
            if covariance is None:
                break
            step = covariance @ gradient
            new, slope = density.one(z + step)
            # close to the mode the value's digits are used up while the gradient still falls
            rounding = 1e-14 * max(1.0, abs(value.item()))
            level = bool(new >= value - rounding) and bool(slope.abs().max() < gradient.abs().max())
            if not level and not bool(new > value + rounding):
                break
            z, value, gradient = z + step, new, slope
        trace.append(value.item())
    size = float(gradient.abs().max())
    return Mode(z, value.item(), trace, covariance, size < 1e-4 * max(1.0, abs(value.item())) ** 0.5, escaped)


def mapped(density: LogDensity) -> list[bool]:
    """For every coordinate, whether a transform (not the identity) lies between it and its site."""
    flags: list[bool] = []
    for block in density.blocks:
        identity = bool(torch.equal(block.transform(torch.full(block.shape, 0.7)), torch.full(block.shape, 0.7)))
        flags += [not identity] * (block.part.stop - block.part.start)
    return flags


def inverse(matrix: Tensor) -> Tensor | None:
    """The inverse of a symmetric matrix, None unless it is positive definite."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    return None if bool(failed) or not bool(torch.isfinite(factor).all()) else torch.cholesky_inverse(factor)
