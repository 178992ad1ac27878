"""A part of Python, function by function, as machine code: loops over arrays that NumPy has no function for.

    @compiled
    def total(values: Annotated[np.ndarray, np.float64, 2], row: int) -> float: ...

Numbers are doubles, 64-bit integers and truth values; a variable has one type for life. Arrays are arguments, in C
order; `a[i, j]` is an element, `a[i]` and `a[i:]` are views, an element of a structured array has its fields as
attributes. Integers do not overflow, `//` and `%` are for numbers that are not negative, and nothing is checked: a
place outside of an array is a fault of the program. There are `for` over `range` or a tuple, `while`, `if`, calls of
other compiled functions, and a few functions of numbers (`expressions`).

It takes some tenths of a second, without a cache on disk; a compiler for all of Python takes some seconds.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from llvmlite import ir

from models.native.expressions import Expressions
from models.native.values import BYTE, INT, KINDS, STORED, Array, Record, array_kind, constant


class Translator(Expressions):
    """Writes one function into a module; functions that it calls are written where they are first met."""

    def __init__(
        self, module: ir.Module, python: Callable[..., Any], written: dict[Any, Any], instead: Mapping[str, Any]
    ) -> None:
        self.module, self.names, self.written = module, {**python.__globals__, **instead}, written
        parameters, self.results = signature(python)
        kinds: list[ir.Type] = []
        for kind in parameters.values():
            array = array_kind(kind)
            kinds += [KINDS[kind]] if array is None else [BYTE.as_pointer(), *[INT] * array[1]]
        kinds += [KINDS[kind].as_pointer() for kind in self.results]
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), python.__name__)
        written[python] = self.function, self.results
        self.entry, body = (self.function.append_basic_block(name) for name in ("entry", "body"))
        self.b = ir.IRBuilder(body)
        self.variables = {}
        self.loops: list[tuple[ir.Block, ir.Block]] = []
        arguments = iter(self.function.args)
        for name, kind in parameters.items():
            array, value = array_kind(kind), next(arguments)
            if array is None:
                self.assign(name, value)
            else:
                self.variables[name] = Array(value, array[0], [next(arguments) for _ in range(array[1])])
        self.targets = list(arguments)
        (source,) = ast.parse(textwrap.dedent(inspect.getsource(python))).body
        assert isinstance(source, ast.FunctionDef)
        self.block(source.body)
        if not self.b.block.is_terminated:
            self.b.ret_void()
        ir.IRBuilder(self.entry).branch(body)

    def callee(self, python: Callable[..., Any]) -> tuple[ir.Function, list[type]]:
        python = getattr(python, "python", python)
        if python not in self.written:
            Translator(self.module, python, self.written, {})
            self.written[python][0].linkage = "internal"
        return self.written[python]

    def block(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self.statement(statement)
            if self.b.block.is_terminated:
                return  # what follows a `continue` is never reached

    def statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Expr(value=ast.Constant()):
                pass  # a docstring
            case ast.Expr():
                self.value(node.value)
            case ast.Assign():
                found = self.value(node.value)
                for target in node.targets:
                    self.store(target, found)
            case ast.AugAssign():
                read = ast.copy_location(ast.BinOp(node.target, node.op, node.value), node)
                self.store(node.target, self.value(read))
            case ast.If():
                self.branch(node)
            case ast.While():
                self.repeat(node)
            case ast.For(iter=ast.Tuple(elts=values)):
                for value in values:
                    self.store(node.target, self.value(value))
                    self.block(node.body)
            case ast.For():
                self.count(node)
            case ast.Continue():
                self.b.branch(self.loops[-1][0])
            case ast.Break():
                self.b.branch(self.loops[-1][1])
            case ast.Return():
                self.leave(node)
            case _:
                raise SyntaxError(f"{self.function.name}, line {node.lineno}: `{ast.unparse(node)}`")

    def store(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Tuple):
            for part, own in zip(target.elts, value, strict=True):
                self.store(part, own)
        elif isinstance(target, ast.Name):
            self.assign(target.id, value)
        else:
            place = self.place(target)
            kind = STORED[place.dtype]
            number = self.b.zext(value, BYTE) if kind is BYTE else self.like(value, kind)
            self.b.store(number, self.b.bitcast(place.pointer, kind.as_pointer()))

    def assign(self, name: str, value: Any) -> None:
        """A number gets room of its own, where a later turn of a loop may change it; a view is a name for a place."""
        if isinstance(value, (Array, Record)):
            self.variables[name] = value
            return
        if name not in self.variables:
            self.variables[name] = ir.IRBuilder(self.entry).alloca(value.type, name=name)
        room = self.variables[name]
        self.b.store(self.like(value, room.type.pointee), room)

    def branch(self, node: ast.If) -> None:
        yes, no, after = (self.function.append_basic_block() for _ in range(3))
        self.b.cbranch(self.truth(node.test), yes, no)
        for start, body in ((yes, node.body), (no, node.orelse)):
            self.b.position_at_end(start)
            self.block(body)
            if not self.b.block.is_terminated:
                self.b.branch(after)
        self.b.position_at_end(after)

    def repeat(self, node: ast.While) -> None:
        head, body, after = (self.function.append_basic_block() for _ in range(3))
        self.b.branch(head)
        self.b.position_at_end(head)
        self.b.cbranch(self.truth(node.test), body, after)
        self.turn(node.body, body, head, after)
        self.b.position_at_end(after)

    def count(self, node: ast.For) -> None:
        """A loop over `range`; its variable is not to be changed inside."""
        assert isinstance(node.iter, ast.Call) and isinstance(node.target, ast.Name)
        ends = [self.value(argument) for argument in node.iter.args]
        first, last = (constant(0), ends[0]) if len(ends) == 1 else ends[:2]
        step = ends[2] if len(ends) == 3 else constant(1)
        down = len(ends) == 3 and isinstance(node.iter.args[2], ast.UnaryOp)  # `range(n, -1, -1)`
        head, body, more, after = (self.function.append_basic_block() for _ in range(4))
        before = self.b.block
        self.b.branch(head)
        self.b.position_at_end(head)
        at = self.b.phi(INT)
        at.add_incoming(first, before)
        self.b.cbranch(self.b.icmp_signed(">" if down else "<", at, last), body, after)
        self.b.position_at_end(body)
        self.assign(node.target.id, at)
        self.turn(node.body, body, more, after)
        self.b.position_at_end(more)
        at.add_incoming(self.b.add(at, step, flags=("nsw",)), more)
        self.b.branch(head)
        self.b.position_at_end(after)

    def turn(self, statements: list[ast.stmt], start: ir.Block, again: ir.Block, after: ir.Block) -> None:
        self.loops.append((again, after))
        self.b.position_at_end(start)
        self.block(statements)
        if not self.b.block.is_terminated:
            self.b.branch(again)
        self.loops.pop()

    def leave(self, node: ast.Return) -> None:
        if node.value is not None:
            found = self.value(node.value)
            for target, value in zip(self.targets, found if isinstance(found, list) else [found], strict=True):
                self.b.store(self.like(value, target.type.pointee), target)
        self.b.ret_void()


def signature(python: Callable[..., Any]) -> tuple[dict[str, Any], list[type]]:
    """Parameters by name with their declared types, and the types of what is returned."""
    hints = get_type_hints(python, include_extras=True)
    returned = hints.pop("return")
    return hints, [] if returned is type(None) else list(getattr(returned, "__args__", [returned]))
