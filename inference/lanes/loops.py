"""Writes loops, and what their turns leave behind: sums, running sums, stored arrays."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from llvmlite import ir

from inference.lanes.elements import Elements, arranged, places, strides
from inference.lanes.index import (
    Index,
    Looked,
    Loop,
    Place,
    involves,
)
from inference.lanes.nodes import Node, Unsupported
from inference.lanes.plan import SHORT, Step
from inference.lanes.vector import WORD

START = {"add": 0.0, "mul": 1.0, "largest": -math.inf, "smallest": math.inf}
FEW = 8  # sums that are kept in registers


class Nest(NamedTuple):
    """What to do for every combination of indices along axes of a domain, and what to compute ahead of the loops."""

    axes: list[int]
    hoisted: list[tuple[Node, dict[int, Index]]]
    turn: Callable[[dict[int, Index]], None]


class Loops(Elements):
    """Loops over inner axes, and the effects of a turn of a loop over rows."""

    def sink(self, node: Node, place: Place) -> None:
        value = self.at(node.of[0], place)
        if node.work is None:
            self.v.builder.store(value, self.slot(self.value, 0), align=8)
        else:
            self.v.builder.store(value, self.slot(self.gradient, self.flat(place, (1,), node.work)), align=8)

    def reduction(self, step: Step, place: Place) -> ir.Value:
        """A sum over inner axes, at one place."""
        work, axes = step.node.work
        outer = iter(place)
        fixed = {a: next(outer) for a in range(len(step.domain)) if a not in axes}
        argument = step.node.of[0]
        if all(a in step.unrolled for a in axes):
            value: ir.Value | None = None
            for inner in itertools.product(*(range(step.domain[a]) for a in axes)):
                element = self.at(argument, arranged(step, {**fixed, **dict(zip(axes, inner, strict=True))}))
                value = element if value is None else self.apply(work, [value, element])
            assert value is not None
            return value
        result = self.variable(self.v.numbers)
        self.v.builder.store(self.v.number(START[work]), result)

        def turn(inner: dict[int, Index]) -> None:
            element = self.at(argument, arranged(step, {**fixed, **inner}))
            b = self.v.builder
            b.store(self.apply(work, [b.load(result), element]), result)

        self.nest(step, list(axes), [(argument, fixed)], {}, turn)
        return self.v.builder.load(result)

    def nest(
        self,
        step: Step,
        axes: list[int],
        hoisted: list[tuple[Node, dict[int, Index]]],
        inner: dict[int, Index],
        turn: Callable[[dict[int, Index]], None],
    ) -> None:
        """`turn` for every combination of indices along `axes` of the step's domain: real loops over the long ones."""
        self.nests(step, [Nest(axes, hoisted, turn)], inner)

    def nests(self, step: Step, work: list[Nest], inner: dict[int, Index]) -> None:
        """Several turns over axes of one domain, in one set of loops; each has the same real axes."""
        real = [a for a in step.real if a in work[0].axes and a not in inner]
        if not real:
            for nest in work:
                rest = [a for a in nest.axes if a not in inner]
                for combination in itertools.product(*(range(step.domain[a]) for a in rest)):
                    nest.turn({**inner, **dict(zip(rest, combination, strict=True))})
            return
        axis = real[0]
        loop = Loop(next(self.fresh))
        for nest in work:
            for node, fixed in nest.hoisted:
                known = {**fixed, **inner, axis: loop}
                missing = {a: Loop(next(self.fresh)) for a in range(len(step.domain)) if a not in known}
                self.hoist(node, arranged(step, {**known, **missing}), {loop, *missing.values()})
        self.counted(step.domain[axis], 1, loop, lambda: self.nests(step, work, {**inner, axis: loop}))

    def hoist(self, node: Node, place: Place, inside: set[Loop]) -> None:
        """Compute ahead of an inner loop what does not depend on it."""
        match node.kind:
            case "view":
                self.hoist(node.of[0], node.work(place), inside)
            case "literal" | "choice" | "coordinates" | "constant" | "part":
                return
            case _:
                if not any(involves(i, loop) for i in place for loop in inside):
                    self.at(node, place)
                elif node.kind == "point" and self.is_here(self.plan.steps[node], place):
                    for argument in node.of:
                        self.hoist(argument, place, inside)

    def counted(self, count: int, step: int, loop: Loop, body: Callable[[], None]) -> None:
        """A loop of `count // step` turns."""
        b = self.v.builder
        before = b.block
        start, end = b.append_basic_block("loop"), b.append_basic_block("after")
        b.branch(start)
        b.position_at_end(start)
        variable = b.phi(WORD)
        variable.add_incoming(ir.Constant(WORD, 0), before)
        self.loops[loop] = variable
        self.known.append({})
        body()
        self.known.pop()
        del self.loops[loop]
        following = b.add(variable, ir.Constant(WORD, step), flags=("nuw", "nsw"))
        variable.add_incoming(following, b.block)
        b.cbranch(b.icmp_unsigned("<", following, ir.Constant(WORD, count - count % step)), start, end)
        b.position_at_end(end)

    # what a turn of a row loop leaves behind

    def begin_sum(self, step: Step) -> None:
        node = step.node
        if node.kind == "scatter":
            for place in places(node.shape) if node.size <= SHORT else ():
                self.keep(step, place, self.at(node.of[0], place))
            if node.size > SHORT:
                if node.of[0].kind != "literal":
                    raise Unsupported("index_put into an array that is not constant")
                self.fill(step, node.of[0].value)
            return
        work = node.work[0]
        if node.kind == "scan":
            inner = [n for a, n in enumerate(step.domain) if a != step.row_axis]
            step.node.extra["totals"] = {p: self.variable(self.v.numbers) for p in places(tuple(inner))}
        elif node.size <= FEW and not step.real:
            step.node.extra["totals"] = {p: self.variable(self.v.numbers) for p in places(node.shape)}
        else:
            self.fill(step, START[work])
            return
        for register in step.node.extra["totals"].values():
            self.v.builder.store(self.v.number(START[work]), register)

    def fill(self, step: Step, value: float) -> None:
        size = step.node.size
        offset = self.room(step.node, size)
        loop = Loop(next(self.fresh))

        def turn() -> None:
            slot = self.slot(self.scratch, self.flat((loop,), (1,), offset))
            self.v.builder.store(self.v.number(value), slot, align=8)

        self.counted(size, 1, loop, turn)

    def end_sum(self, step: Step) -> None:
        if "totals" not in step.node.extra or step.node.kind == "scan":
            return
        for place, register in step.node.extra["totals"].items():
            value = self.v.builder.load(register)
            self.remember((step.node, place), value)
            if step.stored:
                self.keep(step, place, value)

    def effects(self, steps: Sequence[Step]) -> None:
        """Everything that a turn leaves behind. Running sums come first: what follows reads them at this row."""
        groups: dict[tuple[object, ...], tuple[Step, list[Nest]]] = {}
        for step in steps:
            if step.node.kind == "scan" and step.row_axis == step.node.work[1]:
                inner = [a for a in range(len(step.domain)) if a != step.row_axis]
                for row in self.rows:
                    for position in places(tuple(step.domain[a] for a in inner)):
                        self.advance(step, row, position, inner)
                continue
            for number, nest in enumerate(self.nests_of(step)):
                # one set of loops for all whose inner loops are the same
                real = tuple(a for a in step.real if a in nest.axes)
                key = (step.domain, step.row_axis, real, number) if real else (step,)
                groups.setdefault(key, (step, []))[1].append(nest)
        for step, work in groups.values():
            self.nests(step, work, {})

    def nests_of(self, step: Step) -> list[Nest]:
        node = step.node
        inner = [a for a in range(len(step.domain)) if a != step.row_axis]
        if node.kind == "reduce" and step.whole:
            return [self.add_up(step, inner)]
        found = []
        for row in self.rows:
            fixed: dict[int, Index] = {} if step.row_axis is None else {step.row_axis: row}
            if node.kind == "scatter":
                found.append(self.scatter(step, inner, fixed))
            elif node.kind == "reduce":  # a sum over inner axes that is stored
                found.append(self.storing(step, [a for a in inner if a not in node.work[1]], fixed))
            else:
                found.append(self.storing(step, inner, fixed))
        return found

    def storing(self, step: Step, axes: list[int], fixed: dict[int, Index]) -> Nest:
        node = step.node

        def turn(inner: dict[int, Index]) -> None:
            whole = {**fixed, **inner}
            place = tuple(whole[a] for a in sorted(whole))
            if node.kind == "sink":
                self.sink(node, place)
            else:
                self.keep(step, place, self.at(node, place))

        return Nest(axes, [] if node.kind == "reduce" else [(argument, fixed) for argument in node.of], turn)

    def add_up(self, step: Step, inner: list[int]) -> Nest:
        """One more turn of a sum over rows."""
        node = step.node
        work, axes = node.work
        argument = node.of[0]
        b = self.v.builder
        row_axis = step.row_axis
        assert row_axis is not None

        def turn(indices: dict[int, Index]) -> None:
            target = tuple(indices[a] for a in inner if a not in axes)
            elements = [self.at(argument, arranged(step, {**indices, row_axis: row})) for row in self.rows]
            if "totals" in node.extra:
                slot = node.extra["totals"][target]
            else:
                offset = self.room(node, node.size)
                slot = self.slot(self.scratch, self.flat(target, strides(node.shape), offset))
            value = b.load(slot, align=8)
            for element in elements:
                value = self.apply(work, [value, element])
            b.store(value, slot, align=8)

        return Nest(inner, [(argument, {row_axis: row}) for row in self.rows], turn)

    def scatter(self, step: Step, inner: list[int], fixed: dict[int, Index]) -> Nest:
        """Add elements to where a constant array of places says."""
        node = step.node
        b = self.v.builder

        def turn(indices: dict[int, Index]) -> None:
            place = arranged(step, {**fixed, **indices})
            element = self.at(node.of[1], place)
            target = tuple(self.looked(index, place) for index in node.work)
            offset = self.room(node, node.size)
            slot = self.slot(self.scratch, self.flat(target, strides(node.shape), offset))
            b.store(self.v.add(b.load(slot, align=8), element), slot, align=8)

        return Nest(inner, [(node.of[1], fixed)], turn)

    def looked(self, index: Node, place: Place) -> Index:
        if index.kind == "literal":
            return int(index.value)
        if index.kind == "view":
            return self.looked(index.of[0], index.work(place))
        return Looked(index, place)

    def advance(self, step: Step, row: Index, position: Place, inner: list[int]) -> None:
        """One more turn of a running sum or product over rows."""
        node = step.node
        b = self.v.builder
        register = node.extra["totals"][position]
        place = arranged(step, {step.row_axis: row, **dict(zip(inner, position, strict=True))})  # type: ignore[dict-item]
        value = self.apply(node.work[0], [b.load(register), self.at(node.of[0], place)])
        b.store(value, register)
        self.remember((node, place), value)
        if step.stored:
            self.keep(step, place, value)
