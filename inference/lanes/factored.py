"""Sums over data of what is linear in them: `sum over n of y[n] f(theta)` is `f(theta)` times the sum of y, a constant.

A sum is written as terms, each a product of constants and of what depends on the coordinates. Along the axes where
none of the latter varies, the constants are summed once, by PyTorch, and the loop over the data is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from inference.lanes.nodes import Node, Shape, constant, expanded, literal, point, shrunk

MOST_TERMS = 6


class Term(NamedTuple):
    """A product: a number, tensors, and nodes that depend on the coordinates; their shapes broadcast."""

    number: float = 1.0
    tensors: tuple[Tensor, ...] = ()
    nodes: tuple[Node, ...] = ()


def terms(node: Node) -> list[Term]:
    """Terms whose sum is the node, as far as sums and products go; the node itself where they would be many."""
    if node.kind == "literal":
        return [Term(float(node.value))]
    inner = node.extra.get("expands", node)
    if inner.kind == "constant":
        return [Term(1.0, (inner.value,))]
    # an inner node is met once for every way to it, and there are 2^depth of them
    if "terms" not in inner.extra:
        inner.extra["terms"] = terms_of(inner)
    return inner.extra["terms"]


def terms_of(inner: Node) -> list[Term]:
    """The same, of a node that is neither a literal nor a constant."""
    if inner.kind == "point" and inner.work in ("add", "sub", "neg", "mul", "div"):
        left, right = terms(inner.of[0]), terms(inner.of[-1])
        match inner.work:
            case "add":
                found = left + right
            case "sub":
                found = left + negative(right)
            case "neg":
                found = negative(right)
            case "mul":
                found = [
                    Term(a.number * b.number, a.tensors + b.tensors, a.nodes + b.nodes) for a in left for b in right
                ]
            case _:
                inverse = point("reciprocal", inner.of[1])
                found = [a._replace(nodes=(*a.nodes, inverse)) for a in left]
        if len(found) <= MOST_TERMS:
            return found
    return [Term(1.0, (), (inner,))]


def negative(found: list[Term]) -> list[Term]:
    return [term._replace(number=-term.number) for term in found]


def factored(x: Node, axes: Sequence[int]) -> Node | None:
    """The sum of `x` over those of `axes` along which only constants vary, of size one there; None where there is
    none."""
    inner = x.extra.get("expands", x)
    chosen = inner.kind == "point" and inner.work == "where"
    parts = [terms(part) for part in (inner.of[1:] if chosen else (x,))]
    nodes = [*(inner.of[:1] if chosen else ()), *(node for part in parts for term in part for node in term.nodes)]
    lead = len(x.shape)

    def varies(node: Node, axis: int) -> bool:
        own = axis - lead + len(node.shape)
        return own >= 0 and node.varying[own]

    free = [a for a in axes if x.varying[a] and not any(varies(node, a) for node in nodes)]
    if not free:
        return None
    shape = tuple(1 if a in free else n for a, n in enumerate(x.shape))
    sums = [summed(part, x.shape, shape, free) for part in parts]
    return expanded(point("where", small(inner.of[0], shape), *sums) if chosen else sums[0], shape)


def summed(found: list[Term], full: Shape, shape: Shape, free: list[int]) -> Node:
    """The terms, expanded to shape `full`, summed over the axes `free` along which their nodes do not vary."""
    total: Node = literal(0.0, shape)
    for number, tensors, nodes in found:
        weight = torch.full((), number, dtype=torch.float64)
        for tensor in tensors:
            weight = weight * tensor
        part = constant(weight.expand(full).sum(dim=free, keepdim=True))
        for node in nodes:
            part = point("mul", part, small(node, shape))
        total = point("add", total, part)
    return total


def small(node: Node, shape: Shape) -> Node:
    """The node without the extent that it does not need along axes of size one."""
    own = shape[len(shape) - len(node.shape) :]
    return shrunk(node, tuple(min(a, b) for a, b in zip(node.shape, own, strict=True)))
