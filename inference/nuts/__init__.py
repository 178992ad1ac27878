"""The No-U-Turn sampler by two engines: `batched` (many short chains at once) and `pyro` (Pyro's own kernel, the
yardstick)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.progress import Progress
from inference.settings import Nuts

if TYPE_CHECKING:
    from inference.posterior import Posterior
    from inference.program import Program


def run(settings: Nuts, program: Program, progress: Progress, seed: int) -> Posterior:
    """Draws of every chain with the sampler's statistics; InputError where a site is discrete or no start is finite."""
    # here, so that the machine can be compiled without PyTorch
    from inference.nuts import batched, pyro_kernel
    from inference.program import refuse_discrete

    refuse_discrete("nuts", program)
    engine = {"batched": batched, "pyro": pyro_kernel}[settings.engine]
    return engine.run(settings, program, progress, seed)
