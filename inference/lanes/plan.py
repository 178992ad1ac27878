"""Which loops compute which nodes.

A node belongs to a loop over its longest axis (the rows of the data, mostly). Nodes with rows of one length share a
loop where each needs the others at its own row alone; what needs a finished sum, or another row, comes in a later loop.
Inside a turn values live in registers; what a later loop needs is stored.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from inference.lanes.index import Affine, Clamped, Divided, Index, Looked, Loop, Place, Total, affine, clamped
from inference.lanes.nodes import Node, point

SHORT = 8  # axes up to this length are never loops
UNROLLED = 64  # elements that are written out beside each other at most ...
MUCH = 400  # ... where that takes no more instructions than this, roughly
COSTS = {"exp": 25, "log": 30, "log1p": 40, "expm1": 45, "sigmoid": 30, "tanh": 50, "lgamma": 90, "digamma": 110}
ROW = Loop(0)


class Step:
    """A node that is computed (not a view, constant or coordinate), and where.

    domain: the shape over which it is computed (of a reduction: its argument's). row_axis: the domain's axis that the
    loop runs over, None for a node without a long axis. unrolled: the other axes that are written out.
    whole: the node is complete only when the loop is (a sum over rows). looped: it is computed inside loops over other
    axes, its own or those of a step that needs it.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.domain = domain_of(node)
        longest = max(range(len(self.domain)), key=lambda a: self.domain[a], default=None)
        if node.kind == "scan" and node.shape[node.work[1]] > SHORT:
            longest = node.work[1]
        self.row_axis = longest if longest is not None and self.domain[longest] > SHORT else None
        if node.kind == "operation":
            self.row_axis = None
        self.rows = 1 if self.row_axis is None else self.domain[self.row_axis]
        inner = sorted((a for a in range(len(self.domain)) if a != self.row_axis), key=lambda a: self.domain[a])
        most = UNROLLED if cost(node) / self.rows <= MUCH else SHORT
        self.unrolled: list[int] = []
        for axis in inner:
            if math.prod(self.domain[a] for a in (*self.unrolled, axis)) <= most:
                self.unrolled.append(axis)
        self.whole = node.kind in ("scatter", "operation") or (node.kind == "reduce" and self.row_axis in node.work[1])
        self.level = 0
        self.stored = self.looped = False
        self.needs: list[tuple[Step, Place, bool]] = []  # the last one: at the same row
        self.users: list[tuple[Step, bool]] = []

    @cached_property
    def row_dim(self) -> int | None:
        """The axis of the node's own shape that the loop runs over."""
        if self.row_axis is None or self.whole:
            return None
        if self.node.kind == "reduce":
            return self.row_axis - sum(a < self.row_axis for a in self.node.work[1])
        return self.row_axis

    @cached_property
    def real(self) -> tuple[int, ...]:
        """Axes of inner loops."""
        return tuple(a for a in range(len(self.domain)) if a != self.row_axis and a not in self.unrolled)

    def place(self, row: Index, inner: Mapping[int, Index]) -> Place:
        return tuple(row if a == self.row_axis else inner[a] for a in range(len(self.domain)))

    def symbolic(self) -> Place:
        """A place in the domain for analysis: negative loops stand for axes that are written out."""
        return self.place(ROW, {a: Loop(-1 - a if a in self.unrolled else 1 + a) for a in range(len(self.domain))})


def cost(node: Node) -> int:
    """About how many instructions it takes to compute every element, up to sums that are computed apart."""
    seen: set[Node] = set()

    def visit(other: Node) -> int:
        if other in seen or (other.kind not in ("point", "view", "choice") and other is not node):
            return 0
        seen.add(other)
        own = other.size * COSTS.get(other.work, 1) if other.kind == "point" else 0
        return own + sum(visit(argument) for argument in other.of)

    return visit(node)


def domain_of(node: Node) -> tuple[int, ...]:
    match node.kind:
        case "reduce":
            return node.of[0].shape
        case "scatter":
            return node.of[1].shape
        case _:
            return node.shape


def leaves(node: Node, place: Place) -> Iterator[tuple[Node, Place]]:
    """The computed nodes that an element needs, through views and choices."""
    match node.kind:
        case "view":
            yield from leaves(node.of[0], node.work(place))
        case "choice":
            axis, starts = node.work
            at = place[axis]
            if isinstance(at, int):
                chosen = max(i for i, start in enumerate(starts) if start <= at)
                yield from leaves(node.of[chosen], (*place[:axis], at - starts[chosen], *place[axis + 1 :]))
                return
            for part, start in zip(node.of, starts, strict=True):
                written_out = isinstance(at, Loop) and at.number < 0
                local = at if written_out else clamped(affine(at, 1, -start), part.shape[axis] - 1)
                yield from leaves(part, (*place[:axis], local, *place[axis + 1 :]))
        case "coordinates" | "constant" | "literal":
            return
        case "part":
            yield node.of[0], place
        case _:
            yield node, place


def dynamic(index: Index, looped: bool) -> bool:
    """Whether an index is known only when the code runs; looped: axes that the step writes out may be loops of another
    step, which computes it in their midst."""
    match index:
        case int():
            return False
        case Loop():
            return index.number >= 0 or looped
        case Affine() | Divided() | Clamped():
            return dynamic(index.of, looped)
        case Total():
            return dynamic(index.first, looped) or dynamic(index.second, looped)
        case Looked():
            return True


@dataclass
class Plan:
    """Loops in their order: `(rows, steps)`; steps by node."""

    steps: dict[Node, Step] = field(default_factory=dict)
    order: list[Step] = field(default_factory=list)

    def loops(self) -> list[tuple[int, int, list[Step]]]:
        keys = sorted({(step.level, step.rows) for step in self.order})
        return [(level, rows, [s for s in self.order if (s.level, s.rows) == (level, rows)]) for level, rows in keys]


def operands(step: Step) -> Iterator[tuple[Node, Place]]:
    node, place = step.node, step.symbolic()
    if node.kind == "operation":
        for argument in node.of:
            yield argument, tuple(Loop(1 + a) for a in range(len(argument.shape)))
    elif node.kind == "scatter":
        yield node.of[1], place
    else:
        for argument in node.of:
            yield argument, place


def plan(sinks: list[Node]) -> Plan:
    """Levels for everything that the sinks need."""
    made = Plan()

    def visit(node: Node) -> Step:
        if node in made.steps:
            return made.steps[node]
        step = Step(node)
        needs = [(leaf, place) for argument, at in operands(step) for leaf, place in leaves(argument, at)]
        for leaf, place in needs:
            other = visit(leaf)
            if other.rows != step.rows or other.whole or node.kind == "operation":
                same = False
            else:
                same = other.row_dim is None or place[other.row_dim] == ROW
            step.needs.append((other, place, same))
            other.users.append((step, same))
            step.level = max(step.level, other.level + (0 if same else 1))
        made.steps[node] = step
        made.order.append(step)
        return step

    for sink in sinks:
        visit(sink)
    for step in reversed(made.order):
        movable = step.rows > 1 and not step.whole and step.node.kind not in ("scan", "sink")
        if movable and step.users and all(same for _, same in step.users):
            step.level = min(user.level for user, _ in step.users)
        step.looped = bool(step.real) or any(user.looped for user, same in step.users if same)
    for step in made.order:
        for other, place, same in step.needs:
            if other.rows > 1 and not other.whole:
                other.stored |= not (same and other.level == step.level)
                if other.node.kind == "scan":  # its turn leaves one register for each written-out index
                    other.stored |= any(dynamic(i, step.looped) for a, i in enumerate(place) if a != other.row_dim)
            else:
                other.stored |= any(dynamic(index, step.looped) for index in place) or step.node.kind == "operation"
    return made


def sinks_of(value: Node, gradient: Node) -> list[Node]:
    """Where results go: the value, and pieces of the gradient that lie side by side, each by itself."""
    pieces: list[tuple[int, Node]] = []
    for term in terms_of(gradient):
        if term.kind == "choice":
            for part, start in zip(term.of, term.work[1], strict=True):
                if not (part.kind == "literal" and part.value == 0):
                    pieces.append((start, part))
        else:
            pieces.append((0, term))
    merged: dict[tuple[int, int], Node] = {}
    for start, part in pieces:
        key = (start, part.shape[0])
        merged[key] = point("add", merged[key], part) if key in merged else part
    spans = sorted(merged)
    apart = all(a[0] + a[1] <= b[0] for a, b in itertools.pairwise(spans))
    if not apart:
        merged = {(0, gradient.shape[0]): gradient}
    return [
        Node("sink", (), (value,), None),
        *(Node("sink", part.shape, (part,), start) for (start, _), part in sorted(merged.items())),
    ]


def terms_of(node: Node) -> list[Node]:
    if node.kind == "point" and node.work == "add" and all(part.shape == node.shape for part in node.of):
        return [term for part in node.of for term in terms_of(part)]
    return [node]
