"""What every engine hands over, as a posterior."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from inference.density import LogDensity
from inference.posterior import Posterior
from inference.predict import derived

# ArviZ's names for what a sampler knew of every draw, with the type of each
STATS: dict[str, type] = {
    "diverging": bool,
    "tree_depth": int,
    "n_steps": int,
    "energy": float,
    "acceptance_rate": float,
    "step_size": float,
    "lp": float,
}


def posterior(
    backend: str,
    density: LogDensity,
    z: np.ndarray,
    stats: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
    seconds: Mapping[str, float],
) -> Posterior:
    """Draws `z (chains, draws, D)` as named values with deterministic sites, and `stats (chains, draws)` by
    ArviZ's names."""
    draws = {
        name: value.reshape(-1, *value.shape[2:]) for name, value in density.constrain(torch.from_numpy(z)).items()
    }
    draws |= derived(density.program, draws)
    return Posterior(
        backend=backend,
        draws={name: value.numpy().reshape(*z.shape[:2], *value.shape[1:]) for name, value in draws.items()},
        dims=density.program.dims,
        sample_stats={name: stats[name].astype(kind) for name, kind in STATS.items() if name in stats},
        dependent=True,
        facts={
            **facts,
            "gradients": density.evaluations,
            **({"divergences": int(stats["diverging"].sum())} if "diverging" in stats else {}),
            **density.remarks(draws),
        },
        seconds=seconds,
    )
