"""Where chains start: at random as in Stan, or at draws from an approximation of the posterior.

At most 16 points: with more chains, several share one (Margossian, Hoffman, Sountsov, Riou-Durand, Vehtari & Gelman
2024), so that what the start leaves behind in the draws is not averaged away over neighbours but shows in R-hat.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from inference import svi
from inference.density import LogDensity
from inference.modes import best_mode, evaluated
from inference.nuts.approach import approach
from inference.progress import silent
from inference.settings import Svi
from models.errors import InputError

Init = Literal["uniform", "svi", "laplace"]

MOST_POINTS = 16
WIDER = 1.5  # draws of an approximation are spread by this: starts must be further apart than the posterior's draws
TRIES = 100


def starting_points(init: Init, num_chains: int, density: LogDensity, seed: int) -> np.ndarray:
    """Points `(chains, D)` where density and gradient are finite; chains that share a point are neighbours.

    InputError where there are none, or where there is no approximation to draw them from.
    """
    generator = torch.Generator().manual_seed(seed)
    count = min(num_chains, MOST_POINTS)
    points = POINTS[init](density, count, generator).numpy()[np.arange(num_chains) * count // num_chains]
    if init != "uniform":
        return points
    return approach(points, partial(evaluated, density))


def uniform(density: LogDensity, count: int, generator: torch.Generator) -> Tensor:
    return torch.stack([density.start(generator) for _ in range(count)])


def laplace(density: LogDensity, count: int, generator: torch.Generator) -> Tensor:
    """Draws of the normal at the best of a few modes."""
    best = best_mode(density, generator)
    if best is None:
        raise InputError(
            "init", f"{density.program.name} has no mode with curvature to start from", "use `uniform` or `svi`"
        )
    assert best.covariance is not None
    noise = torch.randn(TRIES + count, density.size, generator=generator)
    return finite(density, best.z + WIDER * noise @ torch.linalg.cholesky(best.covariance).T, count)


def variational(density: LogDensity, count: int, generator: torch.Generator) -> Tensor:
    """Draws of a multivariate normal that `svi` fits in few steps."""
    settings = Svi(num_restarts=1, max_steps=1000, num_samples=TRIES + count)
    seed = int(torch.randint(2**31, (), generator=generator))
    draws = svi.run(settings, density.program, silent, seed=seed).draws
    sites = {block.site.name: torch.from_numpy(draws[block.site.name][0]) for block in density.blocks}
    z = density.unconstrain(sites)
    return finite(density, z.mean(dim=0) + WIDER * (z - z.mean(dim=0)), count)


def finite(density: LogDensity, z: Tensor, count: int) -> Tensor:
    """The first `count` points of `z (draws, D)` where density and gradient are finite."""
    value, gradient = density(z)
    good = torch.isfinite(value) & torch.isfinite(gradient).all(dim=1)
    if int(good.sum()) < count:
        raise InputError(
            "init", f"{density.program.name} is not finite around the approximation's centre", "use `uniform`"
        )
    return z[good][:count]


POINTS = {"uniform": uniform, "laplace": laplace, "svi": variational}
