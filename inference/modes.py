"""Modes of a log density and the curvature there: quasi-Newton from a start, then Newton steps to the digit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import scipy.optimize
import torch
from torch import Tensor

from inference.density import LogDensity
from inference.nuts.approach import approach

MOST_DIMENSIONS = 1000  # beyond this the Hessian costs more than it helps
STARTS = 4  # to take the highest mode of
ATTEMPTS = 5
STEEP = 1e6  # a slope in units of which a climb would end far from the mode
ABNORMAL = 2  # SciPy's status of a line search that found no better point
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


def find_mode(density: LogDensity, start: Tensor, known: Sequence[Mode] = (), newton_steps: int = 20) -> Mode:
    """Climb from `start (D,)` to a mode; one that is `known` already is not polished again."""
    trace: list[float] = []
    z, slope = start, density.one(start)[1]
    if float(slope.abs().max()) > STEEP:
        z = torch.as_tensor(approach(start.numpy()[None], partial(evaluated, density))[0])
        slope = density.one(z)[1]
    # a first step of length 1, whatever the slope: where every coordinate has bounds, L-BFGS-B would go right to them
    scale = max(1.0, float(torch.linalg.vector_norm(slope)))
    bounded = np.array(mapped(density))
    for _ in range(ATTEMPTS):
        found = climb(density, z, scale, bounded, trace)
        z = torch.as_tensor(found.x)
        if found.status != ABNORMAL:
            break
        scale *= 10  # a step led to where there is no density: shorter ones from here
    for mode in known:
        if reached(mode, z):
            return mode._replace(trace=[*trace, mode.value])
    value, gradient = density.one(z)
    far = np.abs(found.x) * bounded
    escaped = int(far.argmax()) if far.max(initial=0.0) > BORDER else None
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


def best_mode(density: LogDensity, generator: torch.Generator) -> Mode | None:
    """The highest of the modes that a few random starts lead to, with curvature; None where there is none."""
    found = [find_mode(density, density.start(generator)) for _ in range(STARTS)]
    modes = [mode for mode in found if mode.covariance is not None and mode.escaped is None]
    return max(modes, key=lambda mode: mode.value, default=None)


def evaluated(density: LogDensity, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Density and gradient of rows, as `approach` asks for them."""
    value, gradient = density(torch.from_numpy(z))
    return value.numpy(), gradient.numpy()


def climb(
    density: LogDensity, start: Tensor, scale: float, bounded: np.ndarray, trace: list[float]
) -> scipy.optimize.OptimizeResult:
    """Quasi-Newton steps on the density over `scale`; its values on the way are added to `trace`."""

    def objective(point: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = density.one(torch.as_tensor(point))
        if not torch.isfinite(value) or not torch.isfinite(gradient).all():
            return np.inf, np.zeros_like(point)
        return -value.item() / scale, -gradient.numpy() / scale

    def follow(intermediate_result: scipy.optimize.OptimizeResult) -> None:
        trace.append(-scale * intermediate_result.fun)

    return scipy.optimize.minimize(
        objective,
        start.numpy(),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-2 * BORDER, 2 * BORDER) if flag else (None, None) for flag in bounded],
        callback=follow,
        options={"maxiter": 2000, "ftol": 1e-13 / scale, "gtol": 1e-8 / scale},
    )


def reached(mode: Mode, z: Tensor) -> bool:
    """Whether `z` is on the very top of a mode: within a hundredth of a standard deviation in every direction."""
    if not mode.converged or mode.covariance is None:
        return False
    away = (z - mode.z)[:, None]
    return bool((away * torch.cholesky_solve(away, torch.linalg.cholesky(mode.covariance))).sum() < 1e-4)


def mapped(density: LogDensity) -> list[bool]:
    """For every coordinate, whether a transform (not the identity) lies between it and its element: of an ordered
    vector the first one is a real number like any other."""
    flags: list[bool] = []
    for block in density.blocks:
        free = torch.full(block.shape, 0.7)
        value = block.transform(free)
        same = value == free if value.shape == free.shape else torch.zeros(block.shape, dtype=torch.bool)
        flags += (~same).flatten().tolist()
    return flags


def inverse(matrix: Tensor) -> Tensor | None:
    """The inverse of a symmetric matrix, None unless it is positive definite."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    return None if bool(failed) or not bool(torch.isfinite(factor).all()) else torch.cholesky_inverse(factor)
