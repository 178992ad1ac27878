"""Many ticks of a block of chains without a return to Python, where the density is machine code (`inference.lanes`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from inference.nuts.machine import U, tick


def call_of_address(
    typing: Any, function: Any, z: Any, value: Any, gradient: Any, scratch: Any, constants: Any, last: Any
) -> Any:
    """Call the density's code at the address `function` for the blocks up to `last`; the others are addresses."""

    def write(context: Any, builder: ir.IRBuilder, signature: Any, arguments: list[ir.Value]) -> ir.Value:
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [word] * 7)
        code = builder.inttoptr(arguments[0], kind.as_pointer())
        builder.call(code, [*arguments[1:6], ir.Constant(word, 0), arguments[6]])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), write


call: Any = intrinsic(call_of_address)


@njit(cache=True, error_model="numpy", nogil=True)
def drive(
    addresses: np.ndarray,
    lanes: np.ndarray,
    value: np.ndarray,
    gradient: np.ndarray,
    factor: np.ndarray,
    numbers: np.ndarray,
    rows: np.ndarray,
    uniform: np.ndarray,
    normal: np.ndarray,
    step: float,
    bound: int,
    limit: int,
    statistics: np.ndarray,
    drawn: np.ndarray,
) -> tuple[float, int, int, int]:
    """Ticks of a block's chains, until random numbers run out or every chain has `limit` transitions.

    addresses: of the code, z and value, the gradient by z, scratch and constants, in the order in which the code wants
    them. lanes: `(4, D, lanes)`, room for u, z and the gradients by z and u, lanes a multiple of 4; value: `(lanes,)`;
    gradient: `(chains, D)`; uniform: `(ticks, chains, 3)`. factor: the metric, a diagonal `(1, D)` or a lower triangle
    `(D, D)`. The others are those of `machine.tick`. Returns the sum of acceptance rates, transitions completed, ticks
    done, normals used.
    """
    chains, size = gradient.shape
    width = lanes.shape[2]
    accepted, completed, ticks, taken = 0.0, 0, 0, 0
    dense = len(factor) > 1
    while ticks < len(uniform) and len(normal) - taken >= chains:
        running = False
        for c in range(chains):
            running |= numbers[c].done < limit
        if not running:
            break
        for lane in range(width):
            c = lane if lane < chains else 0
            for d in range(size):
                lanes[0, d, lane] = rows[c, U, d]
        # z = F u before the call, the gradient by u is F^T times that by z after it; four lanes at a time, in registers
        for way in range(2):
            if way == 1:
                call(addresses[0], addresses[1], addresses[2], addresses[3], addresses[4], addresses[5], 1)
            x = 2 * way
            for d in range(size):
                first, last = (d, size) if way == 1 else (0, d + 1)
                if not dense:
                    first, last = d, d + 1
                for lane in range(0, width, 4):
                    p0, p1, p2, p3 = 0.0, 0.0, 0.0, 0.0
                    for i in range(first, last):
                        row, column = (i, d) if way == 1 else (d, i)
                        f = factor[row if dense else 0, column]
                        p0 += f * lanes[x, i, lane]
                        p1 += f * lanes[x, i, lane + 1]
                        p2 += f * lanes[x, i, lane + 2]
                        p3 += f * lanes[x, i, lane + 3]
                    lanes[x + 1, d, lane], lanes[x + 1, d, lane + 1] = p0, p1
                    lanes[x + 1, d, lane + 2], lanes[x + 1, d, lane + 3] = p2, p3
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
