"""Symbolic indices of array elements: whole numbers, loop variables, and simple arithmetic of them.

Two indices are equal when they are written alike, so they serve as keys: an element that was computed once in a loop's
turn is found again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference.lanes.nodes import Node


@dataclass(frozen=True)
class Loop:
    """A loop's variable."""

    number: int


@dataclass(frozen=True)
class Affine:
    """factor * of + offset."""

    of: Index
    factor: int
    offset: int


@dataclass(frozen=True)
class Divided:
    """of // by, or of % by."""

    of: Index
    by: int
    remainder: bool


@dataclass(frozen=True)
class Total:
    """The sum of two indices."""

    first: Index
    second: Index


@dataclass(frozen=True)
class Looked:
    """An element of a constant array of whole numbers."""

    array: Node
    at: Place


@dataclass(frozen=True)
class Clamped:
    """The nearest number from 0 to `last`."""

    of: Index
    last: int


Index = int | Clamped | Loop | Affine | Divided | Total | Looked
Place = tuple[Index, ...]


def affine(of: Index, factor: int, offset: int) -> Index:
    if isinstance(of, int):
        return of * factor + offset
    if isinstance(of, Affine):
        return affine(of.of, of.factor * factor, of.offset * factor + offset)
    return of if (factor, offset) == (1, 0) else Affine(of, factor, offset)


def total(first: Index, second: Index) -> Index:
    if isinstance(first, int):
        first, second = second, first
    return affine(first, 1, second) if isinstance(second, int) else Total(first, second)


def divided(of: Index, by: int) -> Index:
    if isinstance(of, int):
        return of // by
    return of if by == 1 else Divided(of, by, False)


def remainder(of: Index, by: int) -> Index:
    if isinstance(of, int):
        return of % by
    return 0 if by == 1 else Divided(of, by, True)


def clamped(of: Index, last: int) -> Index:
    return min(max(of, 0), last) if isinstance(of, int) else Clamped(of, last)


def involves(index: Index, loop: Loop) -> bool:
    match index:
        case int():
            return False
        case Loop():
            return index == loop
        case Affine() | Divided() | Clamped():
            return involves(index.of, loop)
        case Total():
            return involves(index.first, loop) or involves(index.second, loop)
        case Looked():
            return any(involves(part, loop) for part in index.at)


def reshaped(place: Place, shape: tuple[int, ...], base: tuple[int, ...]) -> Place:
    """Where the element at `place` of an array seen in `shape` lies when the array has the shape `base`.

    Runs of axes with the same product are treated by themselves, so that added and dropped axes of one cost nothing.
    """
    found: list[Index] = []
    i = j = 0
    while i < len(shape) or j < len(base):
        left, right, size, other = i, j, 1, 1
        size *= shape[i] if i < len(shape) else 1
        other *= base[j] if j < len(base) else 1
        i, j = min(i + 1, len(shape)), min(j + 1, len(base))
        while size != other:
            if size < other:
                size, i = size * shape[i], i + 1
            else:
                other, j = other * base[j], j + 1
        linear: Index = 0
        for part, length in zip(place[left:i], shape[left:i], strict=True):
            linear = total(affine(linear, length, 0), part)
        rest = size
        for position, length in enumerate(base[right:j]):
            rest //= length
            whole = divided(linear, rest)
            found.append(whole if position == 0 else remainder(whole, length))
    return tuple(0 if length == 1 else part for part, length in zip(found, base, strict=True))
