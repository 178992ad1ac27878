"""Importance sampling: draws of a proposal, weighted by the posterior's density over the proposal's, then resampled.

The largest weights are smoothed by a generalised Pareto tail (Vehtari, Simpson, Gelman, Yao & Gabry 2024). Weights
whose effective number is ESS = 1 / sum of squares (Kong 1992) are worth so many independent draws, and no more are
handed on: a proposal that misses the posterior leaves few draws, and a k-hat above its threshold.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import pyro.distributions as dist
import torch
from torch import Tensor

from inference import arviz_bridge
from inference.density import LogDensity
from inference.modes import best_mode
from inference.posterior import Posterior
from inference.predict import Rows, derived, over_rows, pointwise, prior
from inference.program import Program, refuse_discrete
from inference.progress import Progress
from inference.settings import Importance
from models.errors import InputError

ROWS = 256  # evaluated at once
FREEDOM = 5.0  # degrees of the t at the mode: tails heavier than those of most posteriors
FEWEST = 4  # draws, which a summary needs


def run(settings: Importance, program: Program, progress: Progress, seed: int) -> Posterior:
    """Draws `(1, draw, *shape)`; InputError where a site is discrete, or where there is no such proposal."""
    began = time.perf_counter()
    refuse_discrete("importance", program)
    density = LogDensity(program)
    density.settle(ROWS, "auto")
    setup = time.perf_counter() - began
    z, log_ratio = PROPOSALS[settings.proposal](density, settings.num_proposals, torch.Generator().manual_seed(seed))
    log_ratio = torch.where(log_ratio.isnan(), -torch.inf, log_ratio)
    if not bool(torch.isfinite(log_ratio).any()):
        raise InputError(
            f"`importance` cannot fit {program.name}", "no proposal has a finite density", "use `nuts` or `svi`"
        )
    weights, k_hat = smoothed(log_ratio)
    ess = 1 / float(np.square(weights).sum())
    count = int(np.clip(ess, FEWEST, settings.num_samples))
    # systematic resampling: a proposal of weight w is drawn w times count, rounded up or down at random
    offset = np.random.default_rng(seed).random()
    chosen = np.searchsorted(np.cumsum(weights), (np.arange(count) + offset) / count * (1 - 1e-12))
    draws = density.constrain(z[chosen])
    draws |= derived(program, draws)
    progress("importance", 1, 1, f"k-hat {k_hat:.2f}, {ess:,.0f} of {len(z):,} draws effective")
    return Posterior(
        backend="importance",
        draws={name: value.numpy()[None] for name, value in draws.items()},
        dims=program.dims,
        facts={
            "proposal": settings.proposal,
            "num_proposals": len(z),
            "importance_efficiency": ess / len(z),
            "k_hat": k_hat,
            "log_evidence_estimate": float(torch.logsumexp(log_ratio, 0)) - math.log(len(z)),
            **density.remarks(draws),
        },
        seconds={"setup": setup, "warmup": 0.0, "sampling": time.perf_counter() - began - setup},
    )


def smoothed(log_ratio: Tensor) -> tuple[np.ndarray, float]:
    """Weights `(rows,)` that sum to one, and k-hat."""
    finite = torch.isfinite(log_ratio).numpy()
    log_weights, shapes = arviz_bridge.psis(log_ratio.numpy()[None, finite])
    weights = np.zeros(len(finite))
    weights[finite] = np.exp(log_weights[0])
    return weights / weights.sum(), float(shapes[0])


def from_prior(density: LogDensity, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Prior draws and their log ratios: the likelihood."""
    program = density.program
    found = prior(program, count)
    if not found:
        raise InputError(
            "inference.importance", "a flat prior has no draws to propose", "set `proposal: laplace`, or use `nuts`"
        )
    known = {site.name: found[site.name] for site in (*program.latent, *program.discrete)}

    def log_prior(row: Rows) -> Rows:
        nodes = program.trace(row).nodes
        return {"": torch.stack([pointwise(nodes[site.name]).sum() for site in program.latent]).sum()}

    z = density.unconstrain({site.name: found[site.name] for site in program.latent})
    plain = LogDensity(program, jacobian=False)
    plain.settle(ROWS, "auto")
    return z, evaluated(plain, z) - over_rows(log_prior, known, density.size)[""]


def from_mode(density: LogDensity, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draws of a multivariate t with the curvature at the highest mode that was found, and their log ratios."""
    best = best_mode(density, generator)
    if best is None:
        raise InputError(
            "inference.importance", f"{density.program.name} has no mode with curvature", "set `proposal: prior`"
        )
    assert best.covariance is not None
    tails = torch.tensor(FREEDOM)
    q = dist.MultivariateStudentT(tails, best.z, torch.linalg.cholesky(best.covariance))
    torch.manual_seed(generator.initial_seed())
    z = q.sample((count,))
    return z, evaluated(density, z) - q.log_prob(z)


def evaluated(density: LogDensity, z: Tensor) -> Tensor:
    return torch.cat([density(rows)[0] for rows in z.split(ROWS)])


PROPOSALS: dict[str, Callable[[LogDensity, int, torch.Generator], tuple[Tensor, Tensor]]] = {
    "prior": from_prior,
    "laplace": from_mode,
}
