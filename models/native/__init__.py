"""Machine code without a compiler on the user's machine: LLVM, through llvmlite."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from llvmlite import ir

from models.native.build import build
from models.native.expressions import call_address
from models.native.translate import Translator, signature
from models.native.values import array_kind

__all__ = ["Compiled", "build", "call_address", "compiled"]

C_TYPES: dict[type, Any] = {float: ctypes.c_double, int: ctypes.c_int64, bool: ctypes.c_bool}


class Compiled:
    """A function of the part of Python that `native.translate` knows, compiled at its first call.

    A call leaves Python's lock to other threads. `python` is the function as it was written, which gives the same.
    instead: what its global names stand for, where that is not what they stand for in Python.
    """

    def __init__(self, python: Callable[..., Any], **instead: Any) -> None:
        self.python, self.instead = python, instead
        self.__doc__ = python.__doc__

    @cached_property
    def arrays(self) -> list[tuple[np.dtype, int] | None]:
        """Of every parameter the element type and number of axes; None where it is a number."""
        return [array_kind(kind) for kind in signature(self.python)[0].values()]

    @cached_property
    def code(self) -> tuple[Callable[..., None], list[Any], Any]:
        """The code as a C function, the C types of its results, and the engine that it lives in."""
        module = ir.Module()
        translated = Translator(module, self.python, {}, self.instead)
        engine = build(str(module), vectorise=True)
        kinds: list[Any] = []
        for kind, array in zip(signature(self.python)[0].values(), self.arrays, strict=True):
            kinds += [C_TYPES[kind]] if array is None else [ctypes.c_void_p, *[ctypes.c_int64] * array[1]]
        results = [C_TYPES[kind] for kind in translated.results]
        prototype = ctypes.CFUNCTYPE(None, *kinds, *map(ctypes.POINTER, results))
        return prototype(engine.get_function_address(translated.function.name)), results, engine

    def __call__(self, *arguments: Any) -> Any:
        """A number, or a tuple of them; TypeError where an array is not of the declared kind, or not in C order."""
        function, kinds, _ = self.code
        lowered: list[Any] = []
        for declared, argument in zip(self.arrays, arguments, strict=True):
            if declared is None:
                lowered.append(argument)
                continue
            if argument.dtype != declared[0] or argument.ndim != declared[1] or not argument.flags.c_contiguous:
                raise TypeError(
                    f"{self.python.__name__} takes arrays of {declared}, got {argument.dtype} {argument.shape}"
                )
            lowered += [argument.ctypes.data, *argument.shape]
        results = [kind() for kind in kinds]
        function(*lowered, *map(ctypes.byref, results))
        found = tuple(result.value for result in results)
        return found[0] if len(found) == 1 else found or None


def compiled(python: Callable[..., Any]) -> Compiled:
    """A decorator; every parameter and result is declared (`native.translate`)."""
    return Compiled(python)
