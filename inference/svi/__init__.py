"""Variational inference: the ELBO of a guide is climbed on the traced density, from several starts at once.

    ELBO(q) = E_q[log p(z, y) - log q(z)] <= log p(y)

Every start first climbs to a mode; where the curvature there is that of a maximum, the guide lives in coordinates u
with z = mode + L u, L L^T the inverse curvature (L diagonal for the mean-field and the low-rank guide), so that one
learning rate suits every model. Steps end on a plateau: over the last 100 and the last 400 steps alike the ELBO has
gained no more than its own noise or 0.02 nats. The parameters are then averaged over 300 further, ten times smaller
steps (Dhaka et al. 2020), and the start with the best ELBO is kept. A step that is not finite is rolled back with
half the learning rate.

The guides `map` and `laplace` need no noisy steps. `map` is the mode on the sites' own scale (no Jacobian); `laplace`
is a normal at the mode on the unconstrained scale (with Jacobian). The two modes differ wherever a site is bounded.
"""

from __future__ import annotations

import math
import time
from functools import partial
from typing import Any

import torch
from torch import Tensor

from inference import arviz_bridge
from inference.density import LogDensity
from inference.modes import Mode, find_mode
from inference.posterior import Posterior
from inference.predict import derived
from inference.program import Program, refuse_discrete
from inference.progress import Progress
from inference.settings import Svi
from inference.streams import stream
from inference.svi import flow, points
from inference.svi.ascent import Ascent, climb

WORTH_CODE = 100_000_000  # terms of a density, for all draws together, above which machine code pays for a mode, too


def run(settings: Svi, program: Program, progress: Progress, seed: int) -> Posterior:
    """Draws of the best start's guide; InputError where a site is discrete, has no mode, or never becomes finite."""
    began = time.perf_counter()
    refuse_discrete("svi", program)
    density = LogDensity(program, settings.guide != "map", settings.dtype, settings.device)
    terms = sum(value.numel() for value in program.values.values()) * settings.num_samples
    if settings.guide not in ("map", "laplace") or terms > WORTH_CODE:
        density.settle(settings.num_restarts * settings.num_particles, "auto")
    setup = time.perf_counter() - began
    ascents, modes = climbed(settings, density, progress, seed)
    best = max(range(len(ascents)), key=lambda i: ascents[i].elbo)
    kept = ascents[best]
    warmup = time.perf_counter() - began - setup
    draws = density.constrain(kept.z)
    draws |= derived(program, draws)
    facts: dict[str, Any] = {
        "guide": settings.guide,
        "scale": "the sites' own scale" if settings.guide == "map" else "the unconstrained scale",
        "final_elbo": kept.elbo,
        "elbo_plateau": kept.plateau,
        "steps": len(kept.trace),
        "gradients": density.evaluations,
        "restarts": [ascent.elbo for ascent in ascents],
        "rollbacks": kept.rollbacks,
        **density.remarks(draws),
        "elbo": {"trace": kept.trace, "all": [ascent.trace for ascent in ascents]},
    }
    if settings.guide == "map":
        facts["estimates"] = points.own_scale_estimates(density, modes[best])
    else:
        facts["k_hat"] = arviz_bridge.k_hat(kept.log_ratio.numpy())
        facts["importance_efficiency"] = efficiency(kept.log_ratio)
        facts["log_evidence_estimate"] = (torch.logsumexp(kept.log_ratio, 0) - math.log(len(kept.log_ratio))).item()
    return Posterior(
        backend="svi",
        draws={name: value.numpy()[None] for name, value in draws.items()},
        dims=program.dims,
        facts=facts,
        seconds={"setup": setup, "warmup": warmup, "sampling": time.perf_counter() - began - setup - warmup},
    )


def climbed(settings: Svi, density: LogDensity, progress: Progress, seed: int) -> tuple[list[Ascent], list[Mode]]:
    """Every start's outcome, and the mode that it climbed to first."""
    task = f"svi, {settings.num_restarts} start{'s' * (settings.num_restarts > 1)}"
    told = partial(progress, task)
    seeds = [stream(seed, "restart", restart) for restart in range(settings.num_restarts)]
    modes: list[Mode] = []
    for restart in range(settings.num_restarts):
        start = density.start(torch.Generator().manual_seed(stream(seed, "start", restart)))
        modes.append(find_mode(density, start, known=modes))
    if settings.guide in ("map", "laplace"):
        modes = points.standing(modes)
        seeds = seeds[: len(modes)]
    match settings.guide:
        case "map":
            ascents = [points.point(settings, density, mode) for mode in modes]
        case "laplace":
            ascents = [points.normal_at(settings, density, *each) for each in zip(modes, seeds, strict=True)]
        case "flow":
            ascents = [flow.climb(settings, density, *each, told) for each in zip(modes, seeds, strict=True)]
        case _:
            ascents = climb(settings, density, modes, seeds, told)
    progress(task, 1, 1, f"elbo {max(ascent.elbo for ascent in ascents):.2f}")
    return ascents, modes


def efficiency(log_ratio: Tensor) -> float:
    """Effective share of the draws once they are weighted by p / q, between 0 and 1 (Kong 1992); 1 where q is p."""
    weights = torch.softmax(log_ratio, dim=0)
    return 1 / (len(weights) * weights.square().sum().item())
