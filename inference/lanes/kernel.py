"""A traced log density as machine code that evaluates many rows, several at once in the lanes of vector registers."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from llvmlite import ir
from torch import Tensor

from inference.lanes.emit import Emitter
from inference.lanes.metric import product
from inference.lanes.nodes import Node, Unsupported
from inference.lanes.plan import plan, sinks_of
from inference.lanes.vector import DOUBLE, WORD, Vectors
from models.native.build import build, features

__all__ = ["Kernel", "Unsupported"]

MOST_INSTRUCTIONS = 100_000
LARGE = 4_000_000  # bytes of data beyond what stays in a cache
BLOCK = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5, ctypes.c_int64, ctypes.c_int64)


class Kernel:
    """Value and gradient, the nodes of a function of z `(D,)`, for many z at once; `rows` of them usually.

    Unsupported: there is an operation that cannot be translated, or too many of them.
    """

    def __init__(
        self, outputs: tuple[Node, Node], size: int, data: Sequence[Tensor], rows: int, num_threads: int
    ) -> None:
        value, gradient = outputs
        sinks = sinks_of(value, gradient)
        made = plan(sinks)
        self.width = width_for(rows, 8 if features().get("avx512f") else 4, data)
        self.size = size
        constants = constants_of(sinks)
        module = ir.Module()
        emitter = Emitter(module, self.width, made, constants)
        block = emitter.write(sinks, size)
        self.scratch_size = emitter.scratch_size * self.width
        self.kept = [node.value for node in constants]
        self.write_driver(module, block, len(constants))
        self.write_step(emitter.v, block, len(constants))
        self.ir = str(module)
        instructions = self.ir.count("\n")
        if instructions > MOST_INSTRUCTIONS:
            raise Unsupported(f"code of {instructions} instructions, which would take minutes to compile")
        self.engine = build(self.ir, vectorise=False)
        self.address = self.engine.get_function_address("step")
        self.call = BLOCK(self.engine.get_function_address("blocks"))
        self.scratch = [np.empty(self.scratch_size) for _ in range(num_threads)]
        self.pool = ThreadPoolExecutor(num_threads)
        self.table: ctypes.Array[ctypes.c_void_p] = (ctypes.c_void_p * max(1, len(self.kept)))(
            *(t.data_ptr() for t in self.kept)
        )
        self.table_address = ctypes.addressof(self.table)

    def write_driver(self, module: ir.Module, block: ir.Function, count: int) -> None:
        """`blocks(z, value, gradient, scratch, constants, first, last)`: the function for every block of rows."""
        byte = ir.IntType(8).as_pointer()
        function = ir.Function(
            module, ir.FunctionType(ir.VoidType(), [byte, byte, byte, byte, byte.as_pointer(), WORD, WORD]), "blocks"
        )
        z, value, gradient, scratch, table, first, last = function.args
        entry, body, end = (function.append_basic_block(name) for name in ("entry", "body", "end"))
        b = ir.IRBuilder(entry)
        pointers = [b.load(b.gep(table, [ir.Constant(WORD, i)])) for i in range(count)]
        b.cbranch(b.icmp_signed("<", first, last), body, end)
        b.position_at_end(body)
        number = b.phi(WORD)
        number.add_incoming(first, entry)

        def part(pointer: ir.Value, elements: int) -> ir.Value:
            return b.gep(pointer, [b.mul(number, ir.Constant(WORD, 8 * self.width * elements))])

        b.call(block, [part(z, self.size), part(value, 1), part(gradient, self.size), scratch, *pointers])
        following = b.add(number, ir.Constant(WORD, 1))
        number.add_incoming(following, body)
        b.cbranch(b.icmp_signed("<", following, last), body, end)
        b.position_at_end(end)
        b.ret_void()

    def write_step(self, v: Vectors, block: ir.Function, count: int) -> None:
        """`step(lanes, value, scratch, constants, factor, dense)`: one block in the coordinates of a metric.

        lanes: `(4, D, lanes)`, u in, z and the gradients by z and u out. All arguments are words, addresses as well.
        """
        module, b = v.module, v.builder
        maps = [product(v, self.size, transposed) for transposed in (False, True)]
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [WORD] * 6), "step")
        b.position_at_end(function.append_basic_block("entry"))
        lanes, value, scratch, table, factor, dense = function.args
        byte = ir.IntType(8).as_pointer()
        base = b.inttoptr(lanes, v.numbers.as_pointer())
        u, z, by_z, by_u = (b.gep(base, [ir.Constant(WORD, i * self.size)]) for i in range(4))
        constants = b.inttoptr(table, byte.as_pointer())
        pointers = [b.load(b.gep(constants, [ir.Constant(WORD, i)])) for i in range(count)]
        metric = b.inttoptr(factor, DOUBLE.as_pointer()), b.trunc(dense, ir.IntType(1))
        b.call(maps[0], [*metric, u, z])
        whole = [b.bitcast(z, byte), b.inttoptr(value, byte), b.bitcast(by_z, byte), b.inttoptr(scratch, byte)]
        b.call(block, [*whole, *pointers])
        b.call(maps[1], [*metric, by_z, by_u])
        b.ret_void()

    def __call__(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`(rows,)` and `(rows, D)` at `z (rows, D)`."""
        rows = len(z)
        blocks = math.ceil(rows / self.width)
        padded = np.empty((blocks * self.width, self.size))
        padded[:rows] = z
        padded[rows:] = z[-1]
        lanes = np.ascontiguousarray(padded.reshape(blocks, self.width, self.size).swapaxes(1, 2))
        value, gradient = np.empty((blocks, self.width)), np.empty(lanes.shape)
        arrays = [array.ctypes.data for array in (lanes, value, gradient)]
        workers = min(len(self.scratch), blocks)
        ends = [blocks * i // workers for i in range(workers + 1)]

        def work(i: int) -> None:
            self.call(*arrays, self.scratch[i].ctypes.data, self.table_address, ends[i], ends[i + 1])

        if workers == 1:
            work(0)
        else:
            list(self.pool.map(work, range(workers)))
        return value.reshape(-1)[:rows], gradient.swapaxes(1, 2).reshape(-1, self.size)[:rows]


def width_for(rows: int, lanes: int, data: Sequence[Tensor]) -> int:
    """How many rows a block has: as many as a register's lanes, or a few registers where there are rows for two blocks.

    Two registers hide the latency of each other's instructions; four halve once more how often large data are read.
    """
    most = 4 if sum(value.nbytes for value in data) > LARGE else 2
    return next(lanes * n for n in (4, 2, 1) if n <= most and (n == 1 or rows >= 2 * lanes * n))


def constants_of(sinks: Sequence[Node]) -> list[Node]:
    """Every constant array that the sinks read, places for lookups included."""
    found: dict[Node, None] = {}
    seen: set[Node] = set()

    def visit(node: Node) -> None:
        if node in seen:
            return
        seen.add(node)
        if node.kind == "constant":
            found[node] = None
        for argument in node.of:
            visit(argument)
        if node.kind == "scatter":
            for argument in node.work:
                visit(argument)

    for sink in sinks:
        visit(sink)
    return list(found)
