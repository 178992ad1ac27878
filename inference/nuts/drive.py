"""Many ticks of a block of chains without a return to Python, where the density is machine code (`inference.lanes`)."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from inference.nuts.machine import STATISTICS, Line, Numbers, Plane, Solid, U, tick
from models.native import call_address, compiled


@compiled
def transformed(factor: Plane, back: bool, source: Plane, target: Plane) -> None:
    """The metric's factor F, or its transpose, times every column: `target = F source`, both `(D, lanes)`.

    F is a diagonal `(1, D)` or a lower triangle `(D, D)`. Four lanes at a time, in registers.
    """
    size, width = source.shape[0], source.shape[1]
    dense = len(factor) > 1
    for d in range(size):
        first = d if back or not dense else 0
        last = size if back and dense else d + 1
        for lane in range(0, width, 4):
            p0, p1, p2, p3 = 0.0, 0.0, 0.0, 0.0
            for i in range(first, last):
                f = factor[i if back and dense else 0, d] if back or not dense else factor[d, i]
                p0 += f * source[i, lane]
                p1 += f * source[i, lane + 1]
                p2 += f * source[i, lane + 2]
                p3 += f * source[i, lane + 3]
            target[d, lane], target[d, lane + 1] = p0, p1
            target[d, lane + 2], target[d, lane + 3] = p2, p3


@compiled
def drive(
    addresses: Annotated[np.ndarray, np.int64, 1],
    lanes: Solid,
    value: Line,
    gradient: Plane,
    factor: Plane,
    numbers: Numbers,
    rows: Solid,
    uniform: Solid,
    normal: Plane,
    step: float,
    bound: int,
    limit: int,
    statistics: Annotated[np.ndarray, STATISTICS, 2],
    drawn: Annotated[np.ndarray, np.float64, 4],
) -> tuple[float, int, int, int]:
    """Ticks of a block's chains, until random numbers run out or every chain has `limit` transitions.

    addresses: of the code, z and value, the gradient by z, scratch and constants, in the order in which the code wants
    them. lanes: `(4, D, lanes)`, room for u, z and the gradients by z and u, lanes a multiple of 4; value: `(lanes,)`;
    gradient: `(chains, D)`; uniform: `(ticks, chains, 3)`. factor: the metric, a diagonal `(1, D)` or a lower triangle
    `(D, D)`. The others are those of `machine.tick`. Returns the sum of acceptance rates, transitions completed, ticks
    done, normals used.
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
        transformed(factor, False, lanes[0], lanes[1])
        call_address(addresses[0], addresses[1], addresses[2], addresses[3], addresses[4], addresses[5], 0, 1)
        transformed(factor, True, lanes[2], lanes[3])
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
