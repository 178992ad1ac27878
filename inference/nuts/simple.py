"""Two older samplers on the machine of `machine`, tick by tick: Hamiltonian Monte Carlo with trajectories of one length
(Neal 2011, section 5.3), and random-walk Metropolis (Metropolis et al. 1953).

Chains, records and arguments are those of `machine.tick`; a chain that completes a transition starts the next one in
the same tick.
"""

from __future__ import annotations

import numpy as np

from inference.nuts.machine import (
    MOST_ENERGY_ERROR,
    TREE_G,
    TREE_U,
    Drawn,
    Line,
    Numbers,
    Plane,
    R,
    Solid,
    Statistics,
    U,
    note,
)
from models.native import compiled


@compiled
def hmc_tick(
    numbers: Numbers,
    rows: Solid,
    lp: Line,
    g: Plane,
    uniform: Plane,
    normal: Plane,
    step: float,
    steps: int,
    limit: int,
    statistics: Statistics,
    drawn: Drawn,
) -> tuple[float, int]:
    """As `machine.tick`, for transitions of `steps` leapfrog steps, of which the last point is accepted or rejected.

    A chain's `depth` is how many steps its transition has.
    """
    accepted, begun = 0.0, 0
    size = g.shape[1]
    for c in range(len(numbers)):
        s, row = numbers[c], rows[c]
        if s.done >= limit:
            continue
        if s.side != 0:
            kinetic = 0.0
            for d in range(size):
                row[R, d] += 0.5 * s.step * g[c, d]
                kinetic += 0.5 * row[R, d] * row[R, d]
            energy = kinetic - lp[c]
            error = energy - s.energy
            if not np.isfinite(error):
                error = np.inf
            diverging = error > MOST_ENERGY_ERROR
            s.steps += 1
            if not diverging and s.steps < s.depth:
                for d in range(size):
                    row[R, d] += 0.5 * s.step * g[c, d]
                    row[U, d] += s.step * row[R, d]
                continue
            rate = min(1.0, np.exp(min(-error, 0.0)))
            if uniform[c, 0] < rate:
                s.tree_lp, s.tree_energy = lp[c], energy
                for d in range(size):
                    row[TREE_U, d] = row[U, d]
                    row[TREE_G, d] = g[c, d]
            note(numbers, rows, c, rate, diverging, 0, statistics, drawn)
            accepted += rate

        kinetic = 0.0
        for d in range(size):
            momentum = normal[begun, d]
            kinetic += 0.5 * momentum * momentum
            row[R, d] = momentum + 0.5 * step * row[TREE_G, d]
            row[U, d] = row[TREE_U, d] + step * row[R, d]
        begun += 1
        s.step, s.depth, s.steps, s.side = step, steps, 0, 1
        s.energy = s.tree_energy = kinetic - s.tree_lp
    return accepted, begun


@compiled
def metropolis_tick(
    numbers: Numbers,
    rows: Solid,
    lp: Line,
    g: Plane,
    uniform: Plane,
    normal: Plane,
    step: float,
    steps: int,
    limit: int,
    statistics: Statistics,
    drawn: Drawn,
) -> tuple[float, int]:
    """As `machine.tick`, for normal proposals around the draw so far; `step` is their standard deviation.

    The gradient is kept for the metric alone; `steps` has no part to play.
    """
    accepted, begun = 0.0, 0
    size = g.shape[1]
    for c in range(len(numbers)):
        s, row = numbers[c], rows[c]
        if s.done >= limit:
            continue
        if s.side != 0:
            gain = lp[c] - s.tree_lp
            rate = min(1.0, np.exp(min(gain, 0.0))) if np.isfinite(gain) else 0.0
            if uniform[c, 0] < rate:
                s.tree_lp = lp[c]
                for d in range(size):
                    row[TREE_U, d] = row[U, d]
                    row[TREE_G, d] = g[c, d]
            note(numbers, rows, c, rate, False, 0, statistics, drawn)
            accepted += rate
        for d in range(size):
            row[U, d] = row[TREE_U, d] + step * normal[begun, d]
        begun += 1
        s.steps, s.side = 1, 1
    return accepted, begun
