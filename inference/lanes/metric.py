"""The map of a metric for a block of rows, in lanes: z = F u, and the gradient by u, F^T times that by z."""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from inference.lanes.vector import DOUBLE, WORD, Vectors

TILE = 4  # rows of the factor that share the loads of what they are multiplied with


def product(v: Vectors, size: int, transposed: bool) -> ir.Function:
    """A function `(factor, dense, source, target)`: target = F source, or F^T source, both `(D, lanes)`.

    factor: a lower triangle `(D, D)` with zeros above it where `dense`, else a diagonal `(D,)`.
    """
    lanes = v.numbers.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [DOUBLE.as_pointer(), ir.IntType(1), lanes, lanes])
    function = ir.Function(v.module, kind, "transposed" if transposed else "factor")
    factor, dense, source, target = function.args
    entry, triangle, diagonal = (function.append_basic_block(name) for name in ("entry", "triangle", "diagonal"))
    b = v.builder

    def tile(start: ir.Value, rows: int) -> None:
        """Rows `start` and following; where F has zeros alone there is nothing to add."""
        first, last = (start, word(size)) if transposed else (word(0), b.add(start, word(rows)))
        sums = [ir.IRBuilder(entry).alloca(v.numbers) for _ in range(rows)]
        for total in sums:
            b.store(v.number(0.0), total)

        def add(i: ir.Value) -> None:
            x = b.load(b.gep(source, [i]), align=8)
            for k, total in enumerate(sums):
                row = b.add(start, word(k))
                here, there = (i, row) if transposed else (row, i)
                f = b.load(b.gep(factor, [b.add(b.mul(here, word(size)), there)]))
                b.store(v.fma(v.spread(f, v.numbers), x, b.load(total)), total)

        counted(b, first, last, 1, add)
        for k, total in enumerate(sums):
            b.store(b.load(total), b.gep(target, [b.add(start, word(k))]), align=8)

    def scale(d: ir.Value) -> None:
        f = v.spread(b.load(b.gep(factor, [d])), v.numbers)
        b.store(v.mul(f, b.load(b.gep(source, [d]), align=8)), b.gep(target, [d]), align=8)

    b.position_at_end(triangle)
    rest = size % TILE
    counted(b, word(0), word(size - rest), TILE, lambda d: tile(d, TILE))
    if rest:
        tile(word(size - rest), rest)
    b.ret_void()
    b.position_at_end(diagonal)
    counted(b, word(0), word(size), 1, scale)
    b.ret_void()
    ir.IRBuilder(entry).cbranch(dense, triangle, diagonal)
    return function


def word(value: int) -> ir.Constant:
    return ir.Constant(WORD, value)


def counted(b: ir.IRBuilder, first: ir.Value, last: ir.Value, step: int, body: Callable[[ir.Value], None]) -> None:
    """A loop over `range(first, last, step)`."""
    before = b.block
    head, turn, after = (b.append_basic_block() for _ in range(3))
    b.branch(head)
    b.position_at_end(head)
    at = b.phi(WORD)
    at.add_incoming(first, before)
    b.cbranch(b.icmp_signed("<", at, last), turn, after)
    b.position_at_end(turn)
    body(at)
    at.add_incoming(b.add(at, word(step), flags=("nsw",)), b.block)
    b.branch(head)
    b.position_at_end(after)
