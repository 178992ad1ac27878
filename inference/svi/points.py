"""The guides that need no noisy steps: the mode as a point, and the normal at the mode (Laplace)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyro.distributions as dist
import torch

from inference.density import LogDensity
from inference.modes import MOST_DIMENSIONS, Mode
from inference.posterior import Posterior
from inference.settings import Svi
from inference.svi.ascent import Ascent, log_density
from models.errors import InputError

NEAR_BORDER = 25.0  # |z| of a logit or logarithm; a logit of 37 is already 1 in float64


def standing(modes: Sequence[Mode]) -> list[Mode]:
    """The modes without those that are none where a higher one stands: a climb may end on a plateau far below."""
    top = max(mode.value for mode in modes)
    return [mode for mode in modes if mode.covariance is not None or mode.escaped is not None or mode.value == top]


def point(settings: Svi, density: LogDensity, mode: Mode) -> Ascent:
    """The mode on the sites' own scale, as so many equal draws."""
    runaway = not mode.converged and mode.covariance is None and density.size <= MOST_DIMENSIONS
    if climbs_at_border(density, mode) if mode.escaped is not None else runaway:
        raise no_mode(density, mode, "has no mode: its density grows without bound towards a border")
    value = torch.full((settings.num_samples,), mode.value)
    return Ascent(mode.z.expand(settings.num_samples, -1), value, mode.trace, mode.converged, 0)


def climbs_at_border(density: LogDensity, mode: Mode) -> bool:
    """Whether the density has no bound there: its slope, taken where a double still tells a value from the border."""
    assert mode.escaped is not None
    z = mode.z.clone()
    z[mode.escaped] = z[mode.escaped].clamp(-NEAR_BORDER, NEAR_BORDER)
    return bool(density.one(z)[1][mode.escaped].abs() > 1e-4)


def normal_at(settings: Svi, density: LogDensity, mode: Mode, seed: int) -> Ascent:
    """A normal at the mode with the curvature's inverse as covariance."""
    if mode.covariance is None:
        raise no_mode(density, mode, "has no maximum to expand around")
    torch.manual_seed(seed)
    q = dist.MultivariateNormal(mode.z, mode.covariance)
    z = q.sample((settings.num_samples,))
    return Ascent(z, log_density(density, z) - q.log_prob(z), mode.trace, mode.converged, 0)


def no_mode(density: LogDensity, mode: Mode, rule: str) -> InputError:
    coordinate = mode.escaped if mode.escaped is not None else int(mode.z.abs().argmax())
    site = next(block.site.name for block in density.blocks if block.part.start <= coordinate < block.part.stop)
    return InputError(
        f"`svi` cannot fit {density.program.name}", f"site `{site}` {rule}", "use guide `multivariate_normal` or `nuts`"
    )


def own_scale_estimates(density: LogDensity, mode: Mode) -> dict[str, dict[str, float | None]]:
    """The mode of every element on its own scale, and the standard deviation of a normal with the curvature there.

    The second is for sites with as many free coordinates as elements (not for a simplex, whose elements are tied).
    """
    values = density.constrain(mode.z)
    names = Posterior("svi", {name: value.numpy()[None, None] for name, value in values.items()}, density.program.dims)
    spread: dict[str, np.ndarray] = {}
    if mode.covariance is not None:
        for block in density.blocks:
            if block.shape == block.site.shape:
                # at a stationary point of log p(T(z)) the curvature in z is T'(z)^T (that on the own scale) T'(z)
                free = mode.z[block.part].reshape(block.shape)
                slope = torch.autograd.functional.jacobian(block.transform, free).reshape(free.numel(), free.numel())
                variance = (slope @ mode.covariance[block.part, block.part] * slope).sum(dim=1)
                spread[block.site.name] = variance.sqrt().reshape(block.shape).numpy()
    table: dict[str, dict[str, float | None]] = {}
    for name in values:
        for index, variable in names.elements(name):
            sd = float(spread[name][index]) if name in spread else None
            table[variable] = {"map": float(values[name][index]), "laplace_sd": sd}
    return table
