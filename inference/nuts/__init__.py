"""The No-U-Turn sampler by two engines: `batched` (many short chains at once) and `pyro` (Pyro's own kernel, the
yardstick)."""

from __future__ import annotations

from inference.nuts import batched, pyro_kernel
from inference.posterior import Posterior
from inference.program import Program, refuse_discrete
from inference.progress import Progress
from inference.settings import Nuts

ENGINES = {"batched": batched.run, "pyro": pyro_kernel.run}


def run(settings: Nuts, program: Program, progress: Progress, seed: int) -> Posterior:
    """Draws of every chain with the sampler's statistics; InputError where a site is discrete or no start is finite."""
    refuse_discrete("nuts", program)
    return ENGINES[settings.engine](settings, program, progress, seed)
