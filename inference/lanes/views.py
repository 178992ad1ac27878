"""PyTorch's views, indexing and joining as maps of indices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from inference.lanes.index import Index, Looked, Place, affine, reshaped
from inference.lanes.nodes import Node, Unsupported, axes_of, axis_of, constant, expanded, literal, point, view

LONGEST_SEARCH = 64


def op_expand(x: Node, sizes: Sequence[int], **_: Any) -> Node:
    lead = len(sizes) - len(x.shape)
    shape = tuple(x.shape[i - lead] if size == -1 else size for i, size in enumerate(sizes))
    return expanded(x, shape)


def op_view(x: Node, sizes: Sequence[int]) -> Node:
    known = math.prod(size for size in sizes if size != -1)
    shape = tuple(x.size // known if size == -1 else size for size in sizes)
    if shape == x.shape:
        return x
    rest, kept = [n for n in shape if n != 1], [n for n in x.shape if n != 1]
    varying: list[bool] | None = None
    if rest == kept:
        flags = iter([v for v, n in zip(x.varying, x.shape, strict=True) if n != 1])
        varying = [False if n == 1 else next(flags) for n in shape]
    base = x.shape
    return view(x, shape, lambda p: reshaped(p, shape, base), varying)


def op_permute(x: Node, dims: Sequence[int]) -> Node:
    order = [axis_of(d, len(x.shape)) for d in dims]

    def place(p: Place) -> Place:
        found: list[Index] = [0] * len(order)
        for position, axis in enumerate(order):
            found[axis] = p[position]
        return tuple(found)

    return view(x, tuple(x.shape[a] for a in order), place, [x.varying[a] for a in order])


def op_t(x: Node) -> Node:
    return op_permute(x, list(range(len(x.shape)))[::-1])


def op_transpose(x: Node, first: int, second: int) -> Node:
    order = list(range(len(x.shape)))
    first, second = axis_of(first, len(order)), axis_of(second, len(order))
    order[first], order[second] = order[second], order[first]
    return op_permute(x, order)


def op_unsqueeze(x: Node, dim: int) -> Node:
    axis = axis_of(dim, len(x.shape) + 1)
    return op_view(x, (*x.shape[:axis], 1, *x.shape[axis:]))


def op_squeeze(x: Node, dim: Any = None) -> Node:
    axes = [a for a in axes_of(dim, len(x.shape)) if x.shape[a] == 1]
    return op_view(x, [n for a, n in enumerate(x.shape) if a not in axes])


def bounds(size: int, start: int | None, end: int | None, step: int) -> range:
    return range(*slice(start, end, step).indices(size))


def op_slice(x: Node, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Node:
    axis = axis_of(dim, len(x.shape))
    part = bounds(x.shape[axis], start, end, step)
    shape = (*x.shape[:axis], len(part), *x.shape[axis + 1 :])

    def place(p: Place) -> Place:
        return (*p[:axis], affine(p[axis], step, part.start), *p[axis + 1 :])

    return x if shape == x.shape else view(x, shape, place, x.varying)


def op_select(x: Node, dim: int, index: int) -> Node:
    axis = axis_of(dim, len(x.shape))
    at = axis_of(index, x.shape[axis])
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    return view(x, shape, lambda p: (*p[:axis], at, *p[axis:]), (*x.varying[:axis], *x.varying[axis + 1 :]))


def op_flip(x: Node, dims: Sequence[int]) -> Node:
    axes = axes_of(dims, len(x.shape))

    def place(p: Place) -> Place:
        return tuple(affine(i, -1, x.shape[a] - 1) if a in axes else i for a, i in enumerate(p))

    return view(x, x.shape, place, x.varying)


def lookup(index: Node, size: int) -> Node:
    """A constant array of places, counted from the front."""
    if not index.constant or index.boolean:
        raise Unsupported("an index that depends on latent values, or a mask as an index")
    tensor = index.extra["tensor"]
    return Node("constant", tuple(tensor.shape), value=torch.where(tensor < 0, tensor + size, tensor))


def op_index(x: Node, indices: Sequence[Node | None]) -> Node:
    """x[i, j, ...] with constant arrays i, j; None takes a whole axis."""
    places = [None if index is None else lookup(index, x.shape[axis]) for axis, index in enumerate(indices)]
    given = [axis for axis, index in enumerate(places) if index is not None]
    if given != list(range(given[0], given[-1] + 1)):
        raise Unsupported("indices that do not stand side by side")
    common = tuple(np.broadcast_shapes(*(index.shape for index in places if index is not None)))
    first, last = given[0], given[-1]
    shape = (*x.shape[:first], *common, *x.shape[last + 1 :])

    def place(p: Place) -> Place:
        inner = p[first : first + len(common)]
        found: list[Index] = []
        for axis in given:
            index = places[axis]
            assert index is not None
            lead = len(common) - len(index.shape)
            at = tuple(0 if n == 1 else i for i, n in zip(inner[lead:], index.shape, strict=True))
            found.append(int(index.value[at].item()) if all(isinstance(i, int) for i in at) else Looked(index, at))
        return (*p[:first], *found, *p[first + len(common) :])

    return view(x, shape, place, None, [index for index in places if index is not None])


def op_index_select(x: Node, dim: int, index: Node) -> Node:
    axis = axis_of(dim, len(x.shape))
    return op_index(x, [None] * axis + [index])


def op_gather(x: Node, dim: int, index: Node, **_: Any) -> Node:
    axis = axis_of(dim, len(x.shape))
    if not index.constant:
        found: Node = literal(math.nan)
        for position in range(short(x.shape[axis])):
            element = op_unsqueeze(op_select(x, axis, position), axis)
            found = point("where", point("==", index, literal(float(position))), element, found)
        return found
    places = lookup(index, x.shape[axis])

    def place(p: Place) -> Place:
        return (*p[:axis], Looked(places, p), *p[axis + 1 :])

    return view(x, places.shape, place, None, [places])


def short(length: int) -> int:
    """The length of an axis along which each lane looks at a place of its own: every element is compared."""
    if length > LONGEST_SEARCH:
        raise Unsupported(f"a place that depends on latent values, along an axis of {length}")
    return length


def op_scatter(x: Node, dim: int, index: Node, source: Any) -> Node:
    axis = axis_of(dim, len(x.shape))
    if index.shape[axis] != 1 or index.constant or isinstance(source, Node):
        raise Unsupported("scatter of more than one number")
    tensor = torch.arange(float(short(x.shape[axis]))).reshape([-1] + [1] * (len(x.shape) - axis - 1))
    here = point("==", index, constant(tensor))
    return point("where", here, literal(bool(source) if x.boolean else float(source)), x)


# pieces put together


def op_cat(parts: Sequence[Node], dim: int = 0) -> Node:
    parts = [part for part in parts if part.shape != (0,)]
    axis = axis_of(dim, len(parts[0].shape))
    starts = [sum(part.shape[axis] for part in parts[:i]) for i in range(len(parts))]
    length = sum(part.shape[axis] for part in parts)
    shape = (*parts[0].shape[:axis], length, *parts[0].shape[axis + 1 :])
    return Node("choice", shape, tuple(parts), (axis, starts), parts[0].boolean)


def op_roll(x: Node, shifts: Sequence[int], dims: Sequence[int] = ()) -> Node:
    if not dims:
        return op_view(op_roll(op_view(x, [-1]), shifts, [0]), x.shape)
    for shift, dim in zip(shifts, dims, strict=True):
        length = x.shape[dim]
        cut = length - shift % length
        x = op_cat([op_slice(x, dim, cut, length), op_slice(x, dim, 0, cut)], dim) if cut < length else x
    return x


def op_stack(parts: Sequence[Node], dim: int = 0) -> Node:
    axis = axis_of(dim, len(parts[0].shape) + 1)
    return op_cat([op_unsqueeze(part, axis) for part in parts], axis)


def op_pad(x: Node, pad: Sequence[int], value: float = 0.0) -> Node:
    for position in range(0, len(pad), 2):
        axis = len(x.shape) - 1 - position // 2
        before, after = pad[position], pad[position + 1]
        x = op_slice(x, axis, max(0, -before), x.shape[axis] + min(0, after))
        sides = [literal(value, (*x.shape[:axis], max(0, n), *x.shape[axis + 1 :])) for n in (before, after)]
        parts = [part for part in (sides[0], x, sides[1]) if part.shape[axis] > 0]
        x = op_cat(parts, axis) if len(parts) > 1 else x
    return x


def op_slice_scatter(
    x: Node, source: Node, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Node:
    axis = axis_of(dim, len(x.shape))
    part = bounds(x.shape[axis], start, end, step)
    if step != 1:
        length = x.shape[axis]
        shape = [-1] + [1] * (len(x.shape) - axis - 1)
        inside = torch.tensor([i in part for i in range(length)]).reshape(shape)
        places = torch.tensor([part.index(i) if i in part else 0 for i in range(length)])
        lookups = Node("constant", (length,), value=places, extra={"tensor": places})
        return point("where", constant(inside), op_index_select(source, axis, lookups), x)
    pieces = [op_slice(x, axis, 0, part.start), source, op_slice(x, axis, part.stop, x.shape[axis])]
    kept = [piece for piece in pieces if piece.shape[axis] > 0]
    return op_cat(kept, axis) if len(kept) > 1 else kept[0]


def op_select_scatter(x: Node, source: Node, dim: int, index: int) -> Node:
    axis = axis_of(dim, len(x.shape))
    at = axis_of(index, x.shape[axis])
    return op_slice_scatter(x, op_unsqueeze(source, axis), axis, at, at + 1)
