"""Reads a traced graph into nodes: the long way, for graphs with changes in place or rare operations."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch._decomp import core_aten_decompositions
from torch.fx.experimental.proxy_tensor import make_fx

from inference.lanes.nodes import Node, Unsupported, kept
from inference.lanes.operations import translated

MOST_OPERATIONS = 5_000


def read(graph: fx.GraphModule, size: int, data: Sequence[Tensor]) -> tuple[Node, Node]:
    """The nodes of `graph (z (D,), *data) -> (), (D,)`, free of changes in place and of composed operations."""
    operations = len(graph.graph.nodes)
    if operations > MOST_OPERATIONS:
        raise Unsupported(f"a graph of {operations} operations, as a loop over time makes them")
    pure = torch.func.functionalize(graph, remove="mutations")
    flat = make_fx(pure, decomposition_table=dict(core_aten_decompositions()))(torch.zeros(size), *data)
    flat.graph.eliminate_dead_code()
    return Reader(flat, size, data).outputs


class Reader:
    """Translates a graph node by node; its first argument is the coordinates, the others are data."""

    def __init__(self, graph: fx.GraphModule, size: int, data: Sequence[Tensor]) -> None:
        self.graph = graph
        self.coordinates = Node("coordinates", (size,))
        self.known: dict[fx.Node, Any] = {}
        self.data = list(data)
        self.outputs: tuple[Node, Node] = self.read()

    def read(self) -> tuple[Node, Node]:
        placeholders = iter([self.coordinates, *(kept(value) for value in self.data)])
        for node in self.graph.graph.nodes:
            if node.op == "placeholder":
                self.known[node] = next(placeholders)
            elif node.op == "get_attr":
                self.known[node] = kept(getattr(self.graph, node.target))
            elif node.op == "call_function":
                self.known[node] = self.translate(node)
            elif node.op == "output":
                value, gradient = (self.known[argument] for argument in node.args[0])
                return value, gradient
        raise Unsupported("a graph without an output")

    def translate(self, node: fx.Node) -> Any:
        args: Any = fx.map_arg(node.args, lambda n: self.known[n])
        kwargs: Any = fx.map_arg(node.kwargs, lambda n: self.known[n])
        if node.target is operator.getitem:
            return args[0][args[1]]
        if all(n.constant for n in nodes_in((args, kwargs))):
            return self.folded(node)
        name, _, _ = getattr(node.target, "__name__", str(node.target)).partition(".")
        return translated(name, args, kwargs)

    def folded(self, call: fx.Node) -> Any:
        """A constant, computed by PyTorch."""

        def tensor(n: fx.Node) -> Any:
            found = self.known[n]
            return [tensor_of(part) for part in found] if isinstance(found, (tuple, list)) else tensor_of(found)

        result = call.target(*fx.map_arg(call.args, tensor), **fx.map_arg(call.kwargs, tensor))  # type: ignore[operator]
        results = result if isinstance(result, (tuple, list)) else (result,)
        nodes = [None if value is None else kept(value) for value in results]
        return tuple(nodes) if isinstance(result, (tuple, list)) else nodes[0]


def tensor_of(node: Node) -> Tensor:
    """The tensor behind a constant."""
    return node.extra["tensor"] if "tensor" in node.extra else torch.full(node.shape, node.value)


def nodes_in(tree: Any) -> list[Node]:
    if isinstance(tree, Node):
        return [tree]
    if isinstance(tree, (tuple, list)):
        return [node for part in tree for node in nodes_in(part)]
    if isinstance(tree, Mapping):
        return [node for part in tree.values() for node in nodes_in(part)]
    return []
