"""The batched engine: many short chains, one gradient call for all of them in every tick, pooled warm-up."""

from __future__ import annotations

import time

import numpy as np

from inference.density import LogDensity
from inference.nuts.outcome import posterior
from inference.nuts.sampler import Sampler
from inference.nuts.starts import starting_points
from inference.posterior import Posterior
from inference.program import Program
from inference.progress import Progress
from inference.settings import Hmc, Metropolis, Nuts

# what a sampler of each kind knows of a transition
TOLD = {
    Nuts: ("lp", "energy", "acceptance_rate", "n_steps", "tree_depth", "diverging"),
    Hmc: ("lp", "energy", "acceptance_rate", "n_steps", "diverging"),
    Metropolis: ("lp", "acceptance_rate"),
}


def run(settings: Nuts | Hmc | Metropolis, program: Program, progress: Progress, seed: int) -> Posterior:
    """Draws of every chain with the sampler's statistics; InputError where no start is finite."""
    began = time.perf_counter()
    density = LogDensity(program, dtype=settings.dtype, device=settings.device)
    density.settle(settings.num_chains, settings.compile)
    ready = time.perf_counter()
    starts = starting_points(settings.init, settings.num_chains, density, seed)
    sampler = Sampler(settings, density, starts, seed, progress)
    step = sampler.warm_up()
    warm = time.perf_counter()
    record = sampler.sample(step)
    statistics = {name: record.statistics[name] for name in TOLD[type(settings)]}
    statistics["step_size"] = np.full(record.statistics.shape, step)
    seconds = {"setup": ready - began, "warmup": warm - ready, "sampling": time.perf_counter() - warm}
    facts = {
        **({"engine": "batched"} if isinstance(settings, Nuts) else {}),
        "step_size": step,
        "compiled": density.kernel is not None,
        "warmup_transitions": sampler.passed,
        "moved_chains": sampler.moved,
    }
    return posterior(sampler.name, density, sampler.metric.z(record.rows[:, :, 0]), statistics, facts, seconds)
