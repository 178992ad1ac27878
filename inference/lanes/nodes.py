"""A traced graph as array expressions that know how to find an element of themselves.

Views (slices, permutations, expansions ...) are maps of indices and cost nothing. What does not depend on the
coordinates is computed by PyTorch once and becomes a constant. An operation that acts on expanded arrays acts on the
small ones and is expanded itself.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inference.lanes.index import Place

Shape = tuple[int, ...]
LONGEST_SEARCH = 64


class Unsupported(Exception):
    """The graph has an operation that has no translation here; the text names it."""


@dataclass(eq=False)
class Node:
    """An array of which each lane has its own, but for constants.

    kind: coordinates, constant, literal, point (elementwise), view, choice, reduce, scan, scatter, operation, part.
    work: what an element is made with: the name of an elementwise operation, the map of a view ...
    boolean: a mask. varying: along which axes elements differ.
    """

    kind: str
    shape: Shape
    of: tuple[Node, ...] = ()
    work: Any = None
    boolean: bool = False
    varying: tuple[bool, ...] = ()
    value: Any = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.varying:
            self.varying = tuple(size > 1 for size in self.shape)

    @property
    def constant(self) -> bool:
        return self.kind in ("constant", "literal")

    @property
    def size(self) -> int:
        return math.prod(self.shape)


MASKS = {"==", "!=", "<", "<=", ">", ">=", "is_nan", "is_inf", "and", "or", "not"}
FOLDED: dict[str, Callable[..., float]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "neg": operator.neg,
}


def literal(value: float | bool, shape: Shape = ()) -> Node:
    return Node("literal", shape, value=value, boolean=isinstance(value, bool), varying=(False,) * len(shape))


def constant(value: Tensor) -> Node:
    """A tensor that does not depend on the coordinates; strides of expanded axes say where it does not vary."""
    if value.numel() and (value.numel() == 1 or bool((value == value.flatten()[0]).all())):
        first = value.flatten()[0].item()
        return literal(first if isinstance(first, bool) else float(first), tuple(value.shape))
    varying = tuple(size > 1 and step != 0 for size, step in zip(value.shape, value.stride(), strict=True))
    return Node("constant", tuple(value.shape), value=value, boolean=value.dtype == torch.bool, varying=varying)


def kept(value: Tensor) -> Node:
    """The same, with its tensor at hand for what PyTorch computes of constants."""
    node = constant(value)
    node.extra["tensor"] = value
    return node


def view(
    base: Node,
    shape: Shape,
    place: Callable[[Place], Place],
    varying: Sequence[bool] | None = None,
    lookups: Sequence[Node] = (),
) -> Node:
    """`base` seen in another shape: the element at p is the one of `base` at place(p), which may read `lookups`."""
    known = tuple(v and n > 1 for v, n in zip(varying, shape, strict=True)) if varying is not None else ()
    if base.kind == "literal":
        return literal(base.value, shape)
    if base.kind == "view":
        inner = base.work
        (base, *before) = base.of
        return Node("view", shape, (base, *before, *lookups), lambda p: inner(place(p)), base.boolean, known)
    return Node("view", shape, (base, *lookups), place, base.boolean, known)


def expanded(base: Node, shape: Shape) -> Node:
    if base.shape == shape:
        return base
    lead = len(shape) - len(base.shape)
    varying = (False,) * lead + base.varying

    def place(p: Place) -> Place:
        return tuple(0 if size == 1 else i for i, size in zip(p[lead:], base.shape, strict=True))

    found = view(base, shape, place, varying)
    found.extra.setdefault("expands", base.extra.get("expands", base))
    return found


def point(work: str, *of: Node) -> Node:
    """An elementwise operation with broadcasting; in the smallest shape in which its arguments differ."""
    if work in ("and", "or", "not"):
        of = tuple(node if node.boolean else point("!=", node, literal(0.0)) for node in of)
    simple = simplified(work, of)
    shape = tuple(np.broadcast_shapes(*(node.shape for node in of)))
    if simple is not None:
        return expanded(simple, shape)
    wide = [expanded(node, shape) for node in of]
    varying = tuple(any(node.varying[axis] for node in wide) for axis in range(len(shape)))
    small = tuple(size if v else 1 for size, v in zip(shape, varying, strict=True))
    narrow = tuple(shrunk(node, small) for node in wide)
    boolean = work in MASKS or (work == "where" and of[1].boolean and of[2].boolean)
    return expanded(Node("point", small, narrow, work, boolean), shape)


def shrunk(node: Node, shape: Shape) -> Node:
    """The first element along the axes where `shape` has one."""
    if node.shape == shape:
        return node
    found = view(node, shape, lambda p: p)
    base = node.extra.get("expands")
    if base is not None and np.broadcast_shapes(base.shape, shape) == shape:
        found.extra["expands"] = base
    return found


def simplified(work: str, of: Sequence[Node]) -> Node | None:
    """An equal expression that costs less, None where there is none known."""
    values = [node.value if node.kind == "literal" else None for node in of]
    if None not in values and work in FOLDED:
        return literal(FOLDED[work](*values))
    match work, values:
        case "add", [0.0, _]:
            return of[1]
        case (("add" | "sub"), [_, 0.0]):
            return of[0]
        case "sub", [0.0, _]:
            return point("neg", of[1])
        case "mul", [1.0, _]:
            return of[1]
        case (("mul" | "div"), [_, 1.0]):
            return of[0]
        case "mul", [-1.0, _]:
            return point("neg", of[1])
        case "mul", [_, -1.0]:
            return point("neg", of[0])
        case "div", [_, float(divisor)] if divisor and math.frexp(divisor)[0] in (0.5, -0.5):
            return point("mul", of[0], literal(1 / divisor))  # exact: a power of two
        case "neg", _ if of[0].kind == "point" and of[0].work == "neg":
            return of[0].of[0]
        case "where", [True, _, _]:
            return of[1]
        case "where", [False, _, _]:
            return of[2]
    return None


def as_node(value: Any) -> Node:
    return value if isinstance(value, Node) else literal(value if isinstance(value, bool) else float(value))


def axis_of(dim: int, count: int) -> int:
    return dim + count if dim < 0 else dim


def axes_of(dims: Any, count: int) -> tuple[int, ...]:
    if dims is None or (isinstance(dims, (list, tuple)) and not dims):
        return tuple(range(count))
    return tuple(axis_of(d, count) for d in ([dims] if isinstance(dims, int) else dims))
