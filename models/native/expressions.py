"""Expressions of compiled functions (see `translate`) as LLVM instructions."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from models.native.values import BOOL, BYTE, FLOAT, INT, KINDS, STORED, Array, Record, constant

SIGNS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
ON_FLOATS = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
ON_INTS = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.FloorDiv: "sdiv",
    ast.Mod: "srem",
    ast.LShift: "shl",
    ast.RShift: "ashr",
    ast.BitAnd: "and_",
    ast.BitOr: "or_",
}
INTRINSICS: dict[Any, str] = {np.exp: "exp", np.log: "log", np.sqrt: "sqrt", abs: "fabs"}


class Expressions:
    """Writes where `b` stands. `variables`: rooms of numbers, views of arrays; `names`: the function's globals."""

    module: ir.Module
    function: ir.Function
    b: ir.IRBuilder
    entry: ir.Block
    variables: dict[str, Any]
    names: dict[str, Any]

    def callee(self, python: Callable[..., Any]) -> tuple[ir.Function, list[type]]:
        """The code of another compiled function, and the types of what it returns."""
        raise NotImplementedError

    def value(self, node: ast.expr) -> Any:
        """A number as an `ir.Value`, an `Array`, a `Record`, a list of these for a tuple."""
        match node:
            case ast.Constant() | ast.Name() | ast.Attribute():
                return self.named(node)
            case ast.Tuple():
                return [self.value(part) for part in node.elts]
            case ast.Subscript():
                return self.read(self.place(node))
            case ast.BinOp():
                return self.binary(type(node.op), self.value(node.left), self.value(node.right))
            case ast.UnaryOp(op=ast.Not()):
                return self.b.not_(self.truth(node.operand))
            case ast.UnaryOp(op=ast.USub()):
                found = self.value(node.operand)
                return self.b.fneg(found) if found.type == FLOAT else self.b.neg(found)
            case ast.Compare(ops=[sign], comparators=[right]):
                return self.compare(SIGNS[type(sign)], self.value(node.left), self.value(right))
            case ast.BoolOp():
                return self.short_circuit(node)
            case ast.IfExp():
                return self.either(node)
            case ast.Call():
                return self.call(node)
        raise SyntaxError(f"{self.function.name}, line {node.lineno}: `{ast.unparse(node)}` has no translation")

    def named(self, node: ast.expr) -> Any:
        """A constant, a variable, a global number, a field of a record, the shape of an array."""
        if isinstance(node, ast.Constant):
            assert isinstance(node.value, (bool, int, float))
            return constant(node.value)
        if isinstance(node, ast.Name):
            found = self.variables.get(node.id)
            if found is None:
                return constant(self.resolved(node))
            return found if isinstance(found, (Array, Record)) else self.b.load(found)
        assert isinstance(node, ast.Attribute)
        if isinstance(node.value, ast.Name) and node.value.id not in self.variables:
            return constant(self.resolved(node))  # np.inf
        if node.attr == "shape":
            return self.value(node.value).shape
        return self.read(self.place(node))

    def place(self, node: ast.expr) -> Any:
        """Where `a[i, j]` or `record.field` is: an `Array` without axes; a view or a record where there is more."""
        if isinstance(node, ast.Attribute):
            record = self.value(node.value)
            dtype, offset = record.dtype.fields[node.attr][:2]
            return Array(self.b.gep(record.pointer, [constant(offset)]), dtype, ())
        assert isinstance(node, ast.Subscript)
        array = self.value(node.value)
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if not isinstance(array, Array):  # the shape of one
            (part,) = parts
            assert isinstance(part, ast.Constant)
            return array[part.value]
        offset, shape = constant(0), list(array.shape)
        for size, part in zip(array.shape, parts, strict=False):
            start = part.lower if isinstance(part, ast.Slice) else part
            assert start is not None
            at = self.value(start)
            offset = self.b.add(self.b.mul(offset, size), at)
            shape.pop(0)
            if isinstance(part, ast.Slice):  # `a[i:]`, the last index
                shape.insert(0, self.b.sub(size, at))
        inner = array.shape[len(parts) :]
        for size in inner:
            offset = self.b.mul(offset, size)
        pointer = self.b.gep(array.pointer, [self.b.mul(offset, constant(array.dtype.itemsize))])
        return Array(pointer, array.dtype, shape)

    def read(self, place: Any) -> Any:
        if not isinstance(place, Array) or place.shape:
            return place
        if place.dtype.fields:
            return Record(place.pointer, place.dtype)
        stored = STORED[place.dtype]
        found = self.b.load(self.b.bitcast(place.pointer, stored.as_pointer()))
        return self.b.trunc(found, BOOL) if stored is BYTE else found

    def binary(self, op: type[ast.operator], left: ir.Value, right: ir.Value) -> ir.Value:
        if left.type == BOOL and right.type == BOOL:
            return getattr(self.b, ON_INTS[op])(left, right)
        left, right = self.alike(left, right)
        if left.type == FLOAT or op is ast.Div:
            return getattr(self.b, ON_FLOATS[op])(self.like(left, FLOAT), self.like(right, FLOAT))
        return getattr(self.b, ON_INTS[op])(left, right)

    def compare(self, sign: str, left: ir.Value, right: ir.Value) -> ir.Value:
        left, right = self.alike(left, right)
        if left.type != FLOAT:
            return self.b.icmp_signed(sign, left, right)
        compare = self.b.fcmp_unordered if sign == "!=" else self.b.fcmp_ordered
        return compare(sign, left, right)

    def short_circuit(self, node: ast.BoolOp) -> ir.Value:
        """`and`, `or`: the right side is looked at only where it decides."""
        result = ir.IRBuilder(self.entry).alloca(BOOL)
        after = self.function.append_basic_block()
        for part in node.values:
            found = self.truth(part)
            self.b.store(found, result)
            more = self.function.append_basic_block()
            ways = (more, after) if isinstance(node.op, ast.And) else (after, more)
            self.b.cbranch(found, *ways)
            self.b.position_at_end(more)
        self.b.branch(after)
        self.b.position_at_end(after)
        return self.b.load(result)

    def either(self, node: ast.IfExp) -> ir.Value:
        """`a if test else b`: only one of them is evaluated."""
        after = self.function.append_basic_block()
        starts = [self.function.append_basic_block() for _ in range(2)]
        self.b.cbranch(self.truth(node.test), *starts)
        ends, found = [], []
        for start, part in zip(starts, (node.body, node.orelse), strict=True):
            self.b.position_at_end(start)
            found.append(self.value(part))
            ends.append(self.b.block)
        kind = found[0].type if found[0].type == found[1].type else FLOAT
        for k, end in enumerate(ends):
            self.b.position_at_end(end)
            found[k] = self.like(found[k], kind)
            self.b.branch(after)
        self.b.position_at_end(after)
        result = self.b.phi(kind)
        for value, end in zip(found, ends, strict=True):
            result.add_incoming(value, end)
        return result

    def call(self, node: ast.Call) -> Any:
        python = self.resolved(node.func)
        arguments = [self.value(argument) for argument in node.args]
        if python is len:
            return arguments[0].shape[0]
        if python is float:
            return self.like(arguments[0], FLOAT)
        if python in (min, max):
            left, right = self.alike(*arguments)
            return self.b.select(self.compare("<" if python is min else ">", right, left), right, left)
        if python is np.isfinite:
            return self.compare("<", self.intrinsic("fabs", arguments[0]), constant(np.inf))
        if python in INTRINSICS:
            return self.intrinsic(INTRINSICS[python], self.like(arguments[0], FLOAT))
        if python is call_address:
            kind = ir.FunctionType(ir.VoidType(), [INT] * (len(arguments) - 1))
            return self.b.call(self.b.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        function, results = self.callee(python)
        lowered: list[ir.Value] = []
        for argument in arguments:
            lowered += [argument.pointer, *argument.shape] if isinstance(argument, Array) else [argument]
        rooms = [ir.IRBuilder(self.entry).alloca(KINDS[kind]) for kind in results]
        kinds = function.function_type.args
        self.b.call(function, [self.like(v, kind) for v, kind in zip([*lowered, *rooms], kinds, strict=True)])
        found = [self.b.load(room) for room in rooms]
        return found[0] if len(found) == 1 else found

    def resolved(self, node: ast.expr) -> Any:
        """The Python object that a name, or a name in a module, stands for."""
        if isinstance(node, ast.Attribute):
            return getattr(self.resolved(node.value), node.attr)
        assert isinstance(node, ast.Name)
        return self.names[node.id] if node.id in self.names else getattr(builtins, node.id)

    def intrinsic(self, name: str, argument: ir.Value) -> ir.Value:
        name = f"llvm.{name}.f64"
        function = self.module.globals.get(name) or ir.Function(self.module, ir.FunctionType(FLOAT, [FLOAT]), name)
        return self.b.call(function, [argument])

    def truth(self, node: ast.expr) -> ir.Value:
        found = self.value(node)
        return found if found.type == BOOL else self.compare("!=", found, constant(0))

    def alike(self, left: ir.Value, right: ir.Value) -> tuple[ir.Value, ir.Value]:
        kind = FLOAT if FLOAT in (left.type, right.type) else INT
        kind = left.type if left.type == right.type else kind
        return self.like(left, kind), self.like(right, kind)

    def like(self, value: ir.Value, kind: ir.Type) -> ir.Value:
        """A number as another type of number."""
        if value.type == kind:
            return value
        if value.type == BOOL:
            value = self.b.zext(value, INT)
        return self.b.sitofp(value, kind) if kind == FLOAT else value


def call_address(address: int, *arguments: int) -> None:
    """Call the code at an address with numbers; in compiled functions alone."""
    raise TypeError("only compiled code calls an address")
