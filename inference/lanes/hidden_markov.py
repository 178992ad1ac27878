"""The forward-backward recursion of `models.distributions.forward_backward`, for several rows of parameters at once.

alpha[t] is the state's distribution given the observations up to t, inverse[t] one over their predictive mass; the
backward pass carries beta[t] scaled by the same masses, so that neither of them underflows.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from llvmlite import ir

from inference.lanes.index import Index, Loop, affine
from inference.lanes.nodes import Node, Unsupported

if TYPE_CHECKING:
    from inference.lanes.emit import Emitter

MOST_STATES = 8


def write(emit: Emitter, node: Node) -> None:
    """Code for value and gradients of every sequence, into the rooms `(node, 0)` to `(node, 3)`."""
    start, transition, emission = node.of
    sequences, length, states = emission.shape
    if states > MOST_STATES:
        raise Unsupported(f"a hidden Markov chain of more than {MOST_STATES} states")
    for part, of in enumerate((emission.shape[:1], start.shape, transition.shape, emission.shape)):
        emit.room((node, part), math.prod(of))
    if sequences == 1:
        sequence(emit, node, 0)
        return
    loop = Loop(next(emit.fresh))
    emit.counted(sequences, 1, loop, lambda: sequence(emit, node, loop))


def sequence(emit: Emitter, node: Node, number: Index) -> None:
    start, transition, emission = node.of
    _, length, states = emission.shape
    v, b = emit.v, emit.v.builder
    each = range(states)
    pairs = list(itertools.product(each, each))
    move = {(i, j): v.exp(emit.at(transition, (number, i, j))) for i, j in pairs}
    alpha = [emit.variable(v.numbers) for _ in each]
    beta = [emit.variable(v.numbers) for _ in each]
    total, possible = emit.variable(v.numbers), emit.variable(v.masks)
    b.store(v.number(0.0), total)
    b.store(v.mask(True), possible)

    def slot(name: str | tuple[Node, int], t: Index, k: int, width: int) -> ir.Value:
        """Element (t, k) of a table of the recursion, or of this sequence in a table of results."""
        if isinstance(name, str):
            return emit.slot(emit.scratch, emit.flat((t, k), (width, 1), emit.room((node, name), length * width)))
        offset = emit.room(name, 0)
        return emit.slot(emit.scratch, emit.flat((number, t, k), (length * width, width, 1), offset))

    def forward(t: Index, reached: list[ir.Value]) -> None:
        terms = [emit.at(emission, (number, t, k)) for k in each]
        peak = terms[0]
        for term in terms[1:]:
            peak = v.largest(peak, term)
        weights = [v.exp(v.sub(term, peak)) for term in terms]
        joint = [v.mul(weight, mass) for weight, mass in zip(weights, reached, strict=True)]
        mass = joint[0]
        for other in joint[1:]:
            mass = v.add(mass, other)
        inverse = v.reciprocal(mass)
        b.store(inverse, slot("inverse", t, 0, 1), align=8)
        for k in each:
            state = v.mul(joint[k], inverse)
            b.store(state, alpha[k])
            b.store(state, slot("alpha", t, k, states), align=8)
            b.store(weights[k], slot("weights", t, k, states), align=8)
        b.store(v.add(b.load(total), v.add(peak, v.log(mass))), total)
        b.store(b.and_(b.load(possible), v.compare(">", mass, v.number(0.0))), possible)

    forward(0, [v.exp(emit.at(start, (number, k))) for k in each])
    if length > 1:
        later = Loop(next(emit.fresh))

        def onward() -> None:
            states_before = [b.load(state) for state in alpha]
            reached = []
            for j in each:
                mass = v.mul(states_before[0], move[0, j])
                for i in each[1:]:
                    mass = v.add(mass, v.mul(states_before[i], move[i, j]))
                reached.append(mass)
            forward(affine(later, 1, 1), reached)

        emit.counted(length - 1, 1, later, onward)
    fine = b.load(possible)

    def kept(value: ir.Value) -> ir.Value:
        return v.select(fine, value, v.number(0.0))

    value = v.select(fine, b.load(total), v.number(-math.inf))
    b.store(value, emit.slot(emit.scratch, emit.flat((number,), (1,), emit.room((node, 0), 0))), align=8)
    moves = {pair: emit.variable(v.numbers) for pair in pairs}
    for variable in moves.values():
        b.store(v.number(0.0), variable)
    for k in each:
        b.store(v.number(1.0), beta[k])
        b.store(kept(b.load(alpha[k])), slot((node, 3), length - 1, k, states), align=8)
    if length > 1:
        back = Loop(next(emit.fresh))

        def backward() -> None:
            t, following = affine(back, -1, length - 2), affine(back, -1, length - 1)
            inverse = b.load(slot("inverse", following, 0, 1), align=8)
            weighted = [
                v.mul(v.mul(b.load(slot("weights", following, k, states), align=8), b.load(beta[k])), inverse)
                for k in each
            ]
            for i in each:
                here = b.load(slot("alpha", t, i, states), align=8)
                reached = None
                for j in each:
                    step = v.mul(move[i, j], weighted[j])
                    reached = step if reached is None else v.add(reached, step)
                    b.store(v.add(b.load(moves[i, j]), v.mul(here, step)), moves[i, j])
                b.store(reached, beta[i])
                b.store(kept(v.mul(here, reached)), slot((node, 3), t, i, states), align=8)

        emit.counted(length - 1, 1, back, backward)
    for i, j in pairs:
        place = emit.flat((number, i, j), (states * states, states, 1), emit.room((node, 2), 0))
        b.store(kept(b.load(moves[i, j])), emit.slot(emit.scratch, place), align=8)
    for k in each:
        first = b.load(slot((node, 3), 0, k, states), align=8)
        place = emit.flat((number, k), (states, 1), emit.room((node, 1), 0))
        b.store(first, emit.slot(emit.scratch, place), align=8)
