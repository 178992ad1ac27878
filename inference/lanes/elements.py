"""Writes the code of single elements: where they lie, how they are computed from others, and what is known already."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
from llvmlite import ir

from inference.lanes.index import (
    Affine,
    Clamped,
    Divided,
    Index,
    Looked,
    Loop,
    Place,
    Total,
    affine,
    clamped,
)
from inference.lanes.nodes import Node, Unsupported
from inference.lanes.plan import Plan, Step
from inference.lanes.vector import DOUBLE, WORD, Vectors

BYTE = ir.IntType(8)


class Elements(ABC):
    """Elements of nodes as values in registers; those already computed are found in `known`, innermost scope last."""

    def __init__(self, module: ir.Module, width: int, made: Plan, constants: list[Node]) -> None:
        """Of a function `block(z, value, gradient, scratch, constants...)`, of pointers that alias no other."""
        self.v = Vectors(module, width)
        self.plan, self.constants = made, constants
        pointer = ir.PointerType(ir.IntType(8))
        kind = ir.FunctionType(ir.VoidType(), [pointer] * (4 + len(constants)))
        self.function = ir.Function(module, kind, "block")
        self.function.linkage = "internal"
        for argument in self.function.args:
            argument.add_attribute("noalias")
        self.z, self.value, self.gradient, self.scratch, *self.pointers = self.function.args
        self.entry = self.function.append_basic_block("entry")
        self.known: list[dict[object, ir.Value]] = [{}]
        self.loops: dict[Loop, ir.Value] = {}
        self.offsets: dict[object, int] = {}
        self.scratch_size = 0
        self.rows: list[Index] = []
        self.now: tuple[int, int] = (0, 1)
        self.fresh = itertools.count(1000)

    @abstractmethod
    def reduction(self, step: Step, place: Place) -> ir.Value:
        """A sum over inner axes, at one place."""

    # where things are

    def variable(self, kind: ir.Type) -> ir.Value:
        """A variable of the block, which becomes a register."""
        builder = ir.IRBuilder(self.entry)
        return builder.alloca(kind)

    def slot(self, base: ir.Value, element: int | ir.Value, kind: ir.Type | None = None) -> ir.Value:
        """Where an array's element lies; one of the lanes' arrays unless `kind` is given."""
        b = self.v.builder
        kind = kind or self.v.numbers
        typed = b.bitcast(base, kind.as_pointer())
        return b.gep(typed, [ir.Constant(WORD, element) if isinstance(element, int) else element])

    def room(self, key: object, size: int) -> int:
        """The offset of an array in the scratch, in elements."""
        if key not in self.offsets:
            self.offsets[key] = self.scratch_size
            self.scratch_size += size
        return self.offsets[key]

    def remember(self, key: object, value: ir.Value) -> ir.Value:
        self.known[-1][key] = value
        return value

    def recall(self, key: object) -> ir.Value | None:
        return next((scope[key] for scope in reversed(self.known) if key in scope), None)

    # indices

    def index(self, index: Index) -> ir.Value:
        if isinstance(index, int):
            return ir.Constant(WORD, index)
        if isinstance(index, Loop):
            return self.loops[index]
        found = self.recall(index)
        if found is not None:
            return found
        b = self.v.builder
        match index:
            case Affine():
                value = (
                    b.mul(self.index(index.of), ir.Constant(WORD, index.factor))
                    if index.factor != 1
                    else self.index(index.of)
                )
                value = b.add(value, ir.Constant(WORD, index.offset)) if index.offset else value
            case Divided():
                divide = b.urem if index.remainder else b.udiv
                value = divide(self.index(index.of), ir.Constant(WORD, index.by))
            case Total():
                value = b.add(self.index(index.first), self.index(index.second))
            case Clamped():
                value = self.index(index.of)
                last, zero = ir.Constant(WORD, index.last), ir.Constant(WORD, 0)
                value = b.select(b.icmp_signed(">", value, last), last, value)
                value = b.select(b.icmp_signed("<", value, zero), zero, value)
            case Looked():
                value = b.load(self.constant_slot(index.array, index.at), align=8)
        return self.remember(index, value)

    def flat(self, place: Place, steps: Sequence[int], offset: int = 0) -> int | ir.Value:
        """offset + the sum of index times step."""
        fixed = offset + sum(i * s for i, s in zip(place, steps, strict=True) if isinstance(i, int))
        moving = [(i, s) for i, s in zip(place, steps, strict=True) if not isinstance(i, int)]
        b = self.v.builder
        value: ir.Value | None = None
        for i, s in moving:
            whole = i if isinstance(i, Affine) else Affine(i, 1, 0)
            fixed, s = fixed + whole.offset * s, s * whole.factor
            term = b.mul(self.index(whole.of), ir.Constant(WORD, s)) if s != 1 else self.index(whole.of)
            value = term if value is None else b.add(value, term)
        if value is None:
            return fixed
        return b.add(value, ir.Constant(WORD, fixed)) if fixed else value

    def constant_slot(self, node: Node, place: Place) -> ir.Value:
        tensor = node.value
        pointer = self.pointers[self.constants.index(node)]
        kind = {torch.float64: DOUBLE, torch.int64: WORD, torch.bool: BYTE}[tensor.dtype]
        return self.slot(pointer, self.flat(place, tensor.stride()), kind)

    # elements

    def at(self, node: Node, place: Place) -> ir.Value:
        """The vector of an element: one number, or one truth, for each lane."""
        match node.kind:
            case "view":
                return self.at(node.of[0], node.work(place))
            case "literal":
                return self.v.mask(node.value) if node.boolean else self.v.number(node.value)
        key = (node, place)
        found = self.recall(key)
        if found is not None:
            return found
        match node.kind:
            case "constant":
                return self.remember(key, self.constant_at(node, place))
            case "coordinates":
                return self.remember(key, self.v.builder.load(self.slot(self.z, self.flat(place, (1,))), align=8))
            case "choice":
                return self.remember(key, self.choice(node, place))
            case "part":
                offset = self.room((node.of[0], node.work), node.size)
                slot = self.slot(self.scratch, self.flat(place, strides(node.shape), offset))
                return self.remember(key, self.v.builder.load(slot, align=8))
        step = self.plan.steps[node]
        value = self.computed(step, place) if self.is_here(step, place) else self.loaded(step, place)
        return self.remember(key, value)

    def is_here(self, step: Step, place: Place) -> bool:
        """Whether the element is computed in this turn of this loop (and not loaded)."""
        if step.whole:
            return False
        if step.rows == 1:
            return not any(isinstance(i, (Loop, Looked, Affine, Divided, Total, Clamped)) for i in place)
        assert step.row_dim is not None
        return (step.level, step.rows) == self.now and place[step.row_dim] in self.rows

    def constant_at(self, node: Node, place: Place) -> ir.Value:
        b = self.v.builder
        value = b.load(self.constant_slot(node, place))
        if node.value.dtype == torch.bool:
            truth = b.icmp_unsigned("!=", value, ir.Constant(BYTE, 0))
            return self.v.spread(truth, self.v.masks)
        if node.value.dtype == torch.int64:
            value = b.sitofp(value, DOUBLE)
        return self.v.spread(value, self.v.numbers)

    def choice(self, node: Node, place: Place) -> ir.Value:
        axis, starts = node.work
        at = place[axis]
        if isinstance(at, int):
            chosen = max(i for i, start in enumerate(starts) if start <= at)
            return self.at(node.of[chosen], (*place[:axis], at - starts[chosen], *place[axis + 1 :]))
        b = self.v.builder
        value: ir.Value | None = None
        for part, start in zip(node.of, starts, strict=True):
            local = clamped(affine(at, 1, -start), part.shape[axis] - 1)
            element = self.at(part, (*place[:axis], local, *place[axis + 1 :]))
            beyond = b.icmp_signed(">=", self.index(at), ir.Constant(WORD, start))
            value = element if value is None else b.select(beyond, element, value)
        assert value is not None
        return value

    def loaded(self, step: Step, place: Place) -> ir.Value:
        """An element of a stored array."""
        shape = step.node.shape
        offset = self.room(step.node, math.prod(shape))
        slot = self.slot(self.scratch, self.flat(place, strides(shape), offset))
        value = self.v.builder.load(slot, align=8)
        return self.v.builder.fcmp_ordered("!=", value, self.v.number(0.0)) if step.node.boolean else value

    def keep(self, step: Step, place: Place, value: ir.Value) -> None:
        shape = step.node.shape
        if step.node.boolean:
            value = self.v.select(value, self.v.number(1.0), self.v.number(0.0))
        offset = self.room(step.node, math.prod(shape))
        self.v.builder.store(value, self.slot(self.scratch, self.flat(place, strides(shape), offset)), align=8)

    def computed(self, step: Step, place: Place) -> ir.Value:
        node = step.node
        match node.kind:
            case "point":
                values = [self.at(argument, place) for argument in node.of]
                of_exp = node.work == "log1p" and node.of[0].kind == "point" and node.of[0].work == "exp"
                return self.v.log1p_of_positive(values[0]) if of_exp else self.apply(node.work, values)
            case "reduce":
                return self.reduction(step, place)
            case "scan":
                work, axis = node.work
                if step.row_axis == axis:  # computed at the start of the turn
                    return self.loaded(step, place)
                if not isinstance(place[axis], int):
                    raise Unsupported("a running sum inside a loop over its axis")
                value = self.at(node.of[0], place)
                if place[axis] == 0:
                    return value
                before = self.at(node, (*place[:axis], place[axis] - 1, *place[axis + 1 :]))
                return self.apply(work, [before, value])
        raise Unsupported(f"an element of {node.kind}")

    def apply(self, work: str, values: list[ir.Value]) -> ir.Value:
        v, b = self.v, self.v.builder
        values = [
            v.select(x, v.number(1.0), v.number(0.0))
            if work in ("add", "sub", "mul", "div") and x.type == v.masks
            else x
            for x in values
        ]
        match work:
            case "==" | "!=" | "<" | "<=" | ">" | ">=":
                values = [v.select(x, v.number(1.0), v.number(0.0)) if x.type == v.masks else x for x in values]
                return v.compare(work, *values)
            case "where":
                mask, first, second = values
                if first.type != second.type:
                    first, second = (
                        v.select(x, v.number(1.0), v.number(0.0)) if x.type == v.masks else x for x in (first, second)
                    )
                return v.select(mask, first, second)
            case "and":
                return b.and_(*values)
            case "or":
                return b.or_(*values)
            case "not":
                return b.xor(values[0], v.mask(True))
            case "is_inf":
                return v.compare("==", v.abs(values[0]), v.number(math.inf))
            case "sign":
                up = v.select(v.compare(">", values[0], v.number(0.0)), v.number(1.0), v.number(0.0))
                return v.select(v.compare("<", values[0], v.number(0.0)), v.number(-1.0), up)
        return getattr(v, work)(*values)


def arranged(step: Step, indices: dict[int, Index]) -> Place:
    return tuple(indices[a] for a in range(len(step.domain)))


def places(shape: tuple[int, ...]) -> Iterator[Place]:
    return itertools.product(*map(range, shape))


def strides(shape: tuple[int, ...]) -> list[int]:
    return [math.prod(shape[a + 1 :]) for a in range(len(shape))]
