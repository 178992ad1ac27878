"""The engine `pyro`: Pyro's own kernel on the traced density, chain after chain; the yardstick of the other one.

Warm-up adapts step size (dual averaging) and metric for each chain by itself. Pyro gives the energy of a transition at
its start.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from pyro.infer.mcmc import NUTS
from torch import Tensor

from inference.density import LogDensity
from inference.nuts.outcome import STATS, posterior
from inference.posterior import Posterior
from inference.program import Program
from inference.progress import Progress
from inference.settings import Nuts
from inference.streams import stream

SITE = "z"


class Potential(torch.autograd.Function):
    """Minus the log density, with the gradient that the graph has computed beside it."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, density: LogDensity) -> Tensor:
        value, gradient = density.one(z)
        ctx.save_for_backward(gradient)
        return -value

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return -upstream[0] * gradient, None


class RecordingNUTS(NUTS):
    """Pyro's kernel, which also remembers the Hamiltonian that a transition starts from."""

    energy: float = 0.0

    def _sample_r(self, name: str) -> tuple[dict, dict]:
        r, r_unscaled = super()._sample_r(name)
        self.energy = float(self._kinetic_energy(r_unscaled) + self._potential_energy_last)
        return r, r_unscaled


def run(settings: Nuts, program: Program, progress: Progress, seed: int) -> Posterior:
    """Draws of every chain with the sampler's statistics; InputError where no start is finite."""
    began = time.perf_counter()
    density = LogDensity(program, dtype=settings.dtype, device=settings.device)
    setup = time.perf_counter() - began
    points = np.empty((settings.num_chains, settings.num_samples, density.size))
    stats = {name: np.empty((settings.num_chains, settings.num_samples)) for name in STATS}
    seconds = {"setup": setup, "warmup": 0.0, "sampling": 0.0}
    for chain in range(settings.num_chains):
        sample_chain(
            settings,
            density,
            chain,
            stream(seed, "chain", chain),
            points[chain],
            {k: v[chain] for k, v in stats.items()},
            seconds,
            progress,
        )
    facts = {"engine": "pyro", "step_size": [float(value) for value in stats["step_size"][:, -1]]}
    return posterior("nuts", density, points, stats, facts, seconds)


def sample_chain(
    settings: Nuts,
    density: LogDensity,
    chain: int,
    seed: int,
    points: np.ndarray,
    stats: dict[str, np.ndarray],
    seconds: dict[str, float],
    progress: Progress,
) -> None:
    """Warm up and fill `points (draws, D)` and every row of `stats (draws,)`."""
    torch.manual_seed(seed)
    kernel = RecordingNUTS(
        potential_fn=lambda sites: Potential.apply(sites[SITE], density),
        full_mass=settings.metric == "dense",
        target_accept_prob=0.8 if settings.target_accept_prob == "auto" else settings.target_accept_prob,
        max_tree_depth=settings.max_tree_depth,
    )
    began = time.perf_counter()
    kernel.initial_params = {SITE: density.start(torch.Generator().manual_seed(seed))}
    kernel.setup(settings.num_warmup)
    position = kernel.initial_params
    task = f"nuts, chain {chain + 1} of {settings.num_chains}"
    total = settings.num_warmup + settings.num_samples
    acceptance = 0.0
    for step in range(-settings.num_warmup, settings.num_samples):
        if step == 0:
            seconds["warmup"] += time.perf_counter() - began
            began = time.perf_counter()
        before, divergences = density.evaluations, len(kernel._divergences)
        position = kernel.sample(position)
        if step >= 0:
            # Pyro keeps the running mean of the acceptance probability; its increments are the transitions' own
            mean = kernel._mean_accept_prob
            n_steps = density.evaluations - before
            points[step] = position[SITE].numpy()
            stats["diverging"][step] = len(kernel._divergences) > divergences
            stats["n_steps"][step] = n_steps
            stats["tree_depth"][step] = n_steps.bit_length()
            stats["energy"][step] = kernel.energy
            stats["acceptance_rate"][step] = min(1.0, max(0.0, (step + 1) * mean - step * acceptance))
            stats["step_size"][step] = kernel.step_size
            stats["lp"][step] = -float(kernel._potential_energy_last)
            acceptance = mean
        found = len(kernel._divergences)
        note = "warm-up" if step < 0 else f"{found} divergence{'s' * (found != 1)}"
        progress(task, step + settings.num_warmup + 1, total, note)
    seconds["sampling"] += time.perf_counter() - began
