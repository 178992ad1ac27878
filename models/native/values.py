"""What an expression of a compiled function is: a number, an array, or a record of a structured array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

FLOAT, INT, BOOL, BYTE = ir.DoubleType(), ir.IntType(64), ir.IntType(1), ir.IntType(8)
KINDS: dict[type, ir.Type] = {float: FLOAT, int: INT, bool: BOOL}
STORED = {np.dtype(np.float64): FLOAT, np.dtype(np.int64): INT, np.dtype(np.bool_): BYTE}


class Array(NamedTuple):
    """Elements one after the other in memory, last axis fastest: a pointer to bytes, the elements' type, the sizes."""

    pointer: ir.Value
    dtype: np.dtype
    shape: Sequence[ir.Value]


class Record(NamedTuple):
    """An element of a structured array."""

    pointer: ir.Value
    dtype: np.dtype


def array_kind(kind: Any) -> tuple[np.dtype, int] | None:
    """Element type and number of axes of what is declared `Annotated[np.ndarray, dtype, axes]`; None for a number."""
    if kind in KINDS:
        return None
    dtype, axes = kind.__metadata__
    return np.dtype(dtype), axes


def constant(value: bool | int | float) -> ir.Constant:
    return ir.Constant(KINDS[type(value)], value)
