"""Many ticks of a block of chains without a return to Python, where the density is machine code (`inference.lanes`)."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np

from inference.nuts.machine import Drawn, Line, Numbers, Plane, Solid, Statistics, U, tick
from inference.nuts.simple import hmc_tick, metropolis_tick
from models.native import Compiled, call_address


def drive(
    words: Annotated[np.ndarray, np.int64, 1],
    lanes: Solid,
    value: Line,
    gradient: Plane,
    numbers: Numbers,
    rows: Solid,
    uniform: Solid,
    normal: Plane,
    step: float,
    bound: int,
    limit: int,
    statistics: Statistics,
    drawn: Drawn,
) -> tuple[float, int, int, int]:
    """Ticks of a block's chains, until random numbers run out or every chain has `limit` transitions.

    words: the address of a kernel's `step` and its arguments. lanes: `(4, D, lanes)`, room for u, z and the gradients
    by z and u; value: `(lanes,)`; gradient: `(chains, D)`; uniform: `(ticks, chains, 3)`. The others are those of
    `machine.tick`. Returns the sum of acceptance rates, transitions completed, ticks done, normals used.
    """
    chains, size = gradient.shape[0], gradient.shape[1]
    width = lanes.shape[2]
    accepted, completed, ticks, taken = 0.0, 0, 0, 0
    while ticks < len(uniform) and len(normal) - taken >= chains:
        running = False
        for c in range(chains):
            running = running or numbers[c].done < limit
        if not running:
            break
        for lane in range(width):
            chain = lane if lane < chains else 0
            for d in range(size):
                lanes[0, d, lane] = rows[chain, U, d]
        call_address(words[0], words[1], words[2], words[3], words[4], words[5], words[6])
        for c in range(chains):
            for d in range(size):
                gradient[c, d] = lanes[3, d, c]
        rate, begun = tick(
            numbers, rows, value, gradient, uniform[ticks], normal[taken:], step, bound, limit, statistics, drawn
        )
        accepted += rate
        completed += begun
        taken += begun
        ticks += 1
    return accepted, completed, ticks, taken


class Machine(NamedTuple):
    """A sampler's tick, and many of them in compiled code."""

    tick: Compiled
    drive: Compiled


MACHINES = {
    kind: Machine(own, Compiled(drive, tick=own))
    for kind, own in (("nuts", tick), ("hmc", hmc_tick), ("metropolis", metropolis_tick))
}
