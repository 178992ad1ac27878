"""Writes the code of a plan: one function that evaluates value and gradient of many rows at once, one in each lane."""

from __future__ import annotations

import math
from collections.abc import Sequence

from llvmlite import ir

from inference.lanes import hidden_markov
from inference.lanes.elements import arranged, places
from inference.lanes.index import (
    Index,
    Loop,
    Place,
    affine,
    involves,
    total,
)
from inference.lanes.loops import FEW, Loops
from inference.lanes.nodes import Node
from inference.lanes.plan import SHORT, Step

TILE = 8  # rows in one turn of a loop that has matrix products in it


class Emitter(Loops):
    """Code of one block: the loops of a plan in their order."""

    def write(self, sinks: Sequence[Node], size: int) -> ir.Function:
        """The whole function; see `Elements`."""
        body = self.function.append_basic_block("body")
        self.v.builder.position_at_end(body)
        self.clear_gradient(sinks, size)
        for level, rows, steps in self.plan.loops():
            self.now = (level, rows)
            if rows == 1:
                self.rows = [0]
                for step in steps:
                    self.straight(step)
            else:
                self.loop_over(rows, steps)
        self.v.builder.ret_void()
        ir.IRBuilder(self.entry).branch(body)
        return self.function

    def clear_gradient(self, sinks: Sequence[Node], size: int) -> None:
        covered = {e for sink in sinks if sink.work is not None for e in range(sink.work, sink.work + sink.shape[0])}
        for element in set(range(size)) - covered:
            self.v.builder.store(self.v.number(0.0), self.slot(self.gradient, element), align=8)

    def straight(self, step: Step) -> None:
        """A node without a long axis: every element, written out."""
        node = step.node
        if node.kind == "operation":
            hidden_markov.write(self, node)
            return
        if node.kind == "scatter":
            self.begin_sum(step)
            self.effects([step])
            return
        if node.kind == "sink":
            for place in places(node.shape):
                self.sink(node, place)
            return
        for place in places(node.shape):
            value = self.at(node, place)
            if step.stored:
                self.keep(step, place, value)

    def loop_over(self, rows: int, steps: list[Step]) -> None:
        effects = [s for s in steps if s.whole or s.stored or s.node.kind in ("scan", "sink")]
        for step in effects:
            if step.whole or step.node.kind == "scan":
                self.begin_sum(step)
        dots = [s for s in steps if self.is_dot(s)]
        wide = [s for s in effects if s.whole and s.node.kind == "reduce" and s.node.size > FEW]
        loop = Loop(0)
        if not dots and not wide:

            def body() -> None:
                self.rows = [loop]
                self.effects(effects)

            self.counted(rows, 1, loop, body)
        else:
            rest = [s for s in effects if s not in wide]
            if rows >= TILE:
                self.counted(rows, TILE, loop, lambda: self.tile(loop, TILE, dots, rest, wide))
            if rows % TILE:
                self.known.append({})
                self.tile(rows - rows % TILE, rows % TILE, dots, rest, wide)
                self.known.pop()
        for step in effects:
            if step.whole:
                self.end_sum(step)

    def is_dot(self, step: Step) -> bool:
        """A long sum of plain products along inner axes, as in a matrix product."""
        node = step.node
        if node.kind != "reduce" or step.whole or step.row_axis is None or node.work[0] != "add":
            return False
        terms = math.prod(step.domain[a] for a in node.work[1])
        kept = node.size // step.rows
        return terms > SHORT and kept <= SHORT and plain(node.of[0])

    def tile(self, start: Index, count: int, dots: list[Step], rest: list[Step], wide: list[Step]) -> None:
        """Some rows at once: their matrix products with shared loads, then row by row what is between them, then their
        share of wide sums, again with shared loads."""
        rows = [affine(start, 1, r) for r in range(count)]
        b = self.v.builder

        def slots(key: object) -> int:
            return self.room(("tile", key), TILE)

        self.rows = rows
        self.known.append({})
        for step in dots:
            for inner in places(tuple(n for a, n in enumerate(step.node.shape) if a != step.row_dim)):
                targets = [self.at_row(step, row, inner) for row in rows]
                for r, value in enumerate(self.dot(step, targets)):
                    self.remember((step.node, targets[r]), value)
                    b.store(value, self.slot(self.scratch, slots((step.node, inner)) + r), align=8)
        self.known.pop()

        parts: dict[tuple[Node, Place], None] = {}
        here = Loop(next(self.fresh))
        row = total(start, here)
        self.rows = [row]
        for step in wide:
            free = {a: Loop(next(self.fresh)) for a in range(len(step.domain)) if a != step.row_axis}
            self.collect(step.node.of[0], step.place(row, free), set(free.values()), parts)

        def between() -> None:
            for step in dots:
                for inner in places(tuple(n for a, n in enumerate(step.node.shape) if a != step.row_dim)):
                    slot = self.slot(self.scratch, self.flat((here,), (1,), slots((step.node, inner))))
                    self.remember((step.node, self.at_row(step, row, inner)), b.load(slot, align=8))
            self.effects(rest)
            for node, place in parts:
                value = self.at(node, place)
                if node.boolean:
                    value = self.v.select(value, self.v.number(1.0), self.v.number(0.0))
                b.store(value, self.slot(self.scratch, self.flat((here,), (1,), slots((node, place)))), align=8)

        self.counted(count, 1, here, between)
        self.rows = rows
        self.known.append({})
        for node, place in parts:
            for r, at in enumerate(rows):
                value = b.load(self.slot(self.scratch, slots((node, place)) + r), align=8)
                if node.boolean:
                    value = b.fcmp_ordered("!=", value, self.v.number(0.0))
                self.remember((node, tuple(at if i == row else i for i in place)), value)
        self.effects(wide)
        self.known.pop()

    def at_row(self, step: Step, row: Index, inner: Place) -> Place:
        """The place of a node's element in a row, its other indices given in order."""
        rest = iter(inner)
        return tuple(row if a == step.row_dim else next(rest) for a in range(len(step.node.shape)))

    def collect(self, node: Node, place: Place, inside: set[Loop], parts: dict[tuple[Node, Place], None]) -> None:
        """The largest parts of an element of a wide sum that are the same for the whole row."""
        match node.kind:
            case "view":
                self.collect(node.of[0], node.work(place), inside, parts)
            case "literal" | "choice" | "coordinates" | "constant" | "part":
                return
            case _:
                if not self.is_here(self.plan.steps[node], place):
                    return
                if not any(involves(i, loop) for i in place for loop in inside):
                    parts[node, place] = None
                elif node.kind == "point":
                    for argument in node.of:
                        self.collect(argument, place, inside, parts)

    def dot(self, step: Step, targets: list[Place]) -> list[ir.Value]:
        """Sums over inner axes for several rows side by side."""
        axes = step.node.work[1]
        argument = step.node.of[0]
        fixed = []
        for place in targets:
            outer = iter(place)
            fixed.append({a: next(outer) for a in range(len(step.domain)) if a not in axes})
        totals = [self.variable(self.v.numbers) for _ in targets]
        b = self.v.builder
        for variable in totals:
            b.store(self.v.number(0.0), variable)

        def turn(inner: dict[int, Index]) -> None:
            for variable, known in zip(totals, fixed, strict=True):
                element = self.at(argument, arranged(step, {**known, **inner}))
                b.store(self.v.add(b.load(variable), element), variable)

        self.nest(step, list(axes), [(argument, known) for known in fixed], {}, turn)
        return [b.load(variable) for variable in totals]


def plain(node: Node) -> bool:
    """Whether an expression is made of sums and products alone, up to what is computed elsewhere."""
    match node.kind:
        case "point":
            return node.work in ("add", "sub", "mul", "neg") and all(plain(argument) for argument in node.of)
        case "view":
            return plain(node.of[0])
    return node.kind in ("constant", "literal", "coordinates")
