"""Markov chains: the No-U-Turn sampler by two engines, `batched` (many short chains at once) and `pyro` (Pyro's own
kernel, the yardstick), and two older samplers by the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.progress import Progress
from inference.settings import Hmc, Metropolis, Nuts

if TYPE_CHECKING:
    from inference.posterior import Posterior
    from inference.program import Program


def run(settings: Nuts | Hmc | Metropolis, program: Program, progress: Progress, seed: int) -> Posterior:
    """Draws of every chain with the sampler's statistics; InputError where a site is discrete or no start is finite."""
    # here: the machines and `approach` are for those, too, who have no tensors, or whom the engine itself imports
    from inference.nuts import batched, pyro_kernel
    from inference.program import refuse_discrete

    refuse_discrete(type(settings).__name__.lower(), program)
    if isinstance(settings, Nuts) and settings.engine == "pyro":
        return pyro_kernel.run(settings, program, progress, seed)
    return batched.run(settings, program, progress, seed)
