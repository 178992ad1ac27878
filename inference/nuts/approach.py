"""The way in: from random starts to where the density has its mass, before any chain samples.

A chain that starts far out sees gradients thousands of times those of the posterior. They would spoil the metric that
all chains share, and the step size that suits them suits no one else. Sign-based ascent (Rprop: Riedmiller & Braun
1993) does not care how steep the way is. It ends long before a mode: where D coordinates wander through a posterior,
their log density varies by about D, and a chain that gains less than that in a few steps has arrived.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Evaluate = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

ROUNDS, STEPS = 20, 5
FIRST, LARGEST, SMALLEST = 0.1, 0.3, 1e-6  # lengths of a coordinate's step
LONGER, SHORTER = 1.3, 0.5


def approach(z: np.ndarray, evaluate: Evaluate) -> np.ndarray:
    """Better starting points `(chains, D)` for starts `z` with finite density; `evaluate` gives densities and
    gradients."""
    value, gradient = evaluate(z)
    best, highest = z.copy(), value.copy()
    size, before = np.full(z.shape, FIRST), np.zeros(z.shape)
    going = np.ones(len(z), dtype=bool)
    for _ in range(ROUNDS):
        start = highest.copy()
        for _ in range(STEPS):
            agreed = np.sign(gradient) * np.sign(before)
            size = np.clip(size * np.where(agreed > 0, LONGER, np.where(agreed < 0, SHORTER, 1.0)), SMALLEST, LARGEST)
            before = gradient
            z = np.where(going[:, None], z + np.sign(gradient) * size, best)
            value, gradient = evaluate(z)
            lost = ~(np.isfinite(value) & np.isfinite(gradient).all(axis=1))
            if lost.any():
                # off the support of finite numbers: back to the best point, and smaller steps from there
                z[lost], size[lost] = best[lost], 0.1 * size[lost]
                value, gradient = evaluate(z)
            higher = value > highest
            best[higher], highest[higher] = z[higher], value[higher]
        going &= highest - start > z.shape[1]
        if not going.any():
            break
    return best
