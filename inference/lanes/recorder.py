"""Reads what a function of tensors does as nodes, by watching it run once.

The function runs with ordinary numbers while every operation below autograd passes by; operations on the coordinates
become nodes, all others are constants. It costs a run, where `make_fx` costs a second to import what it is built on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from inference.lanes.nodes import Node, Unsupported, kept
from inference.lanes.operations import translated

MOST_OPERATIONS = 5_000
# what a program's path, or the shape of a result, may hang on; places that depend on latent values are refused later
DEPENDENT = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)


class Recorder(TorchDispatchMode):
    """Nodes of the tensors of a run, by identity; they are kept alive so that identities stay."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes: dict[int, Node] = {}
        self.alive: list[Any] = []
        self.constants: dict[int, Node] = {}
        self.read: set[int] = set()  # where constants lie that nodes share: they must stay what they are
        self.seen_otherwise: set[int] = set()  # tensors that share memory with another one

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing here is ever compiled by PyTorch, whose compiler would be imported to say so: a second and a half."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        lanes = any(id(tensor) in self.nodes for tensor in tensors_in((args, kwargs)))
        if lanes and any(tag in func.tags for tag in DEPENDENT) and func.__name__ != "index.Tensor":
            raise Unsupported(f"{func.__name__}, by which the path depends on latent values")
        changes = func._schema.is_mutable
        if changes and place_of(args[0]) in self.read:
            raise Unsupported(f"{func.__name__}, a change in place of a constant that was read before")
        # before the call, which may change its first argument
        known: Any = (self.mapped(args, changes), self.mapped(kwargs, changes)) if lanes else None
        result = func(*args, **kwargs)
        self.alive += [args, result]
        if lanes:
            self.note(func, args, known, result)
            if len(self.nodes) > MOST_OPERATIONS:
                raise Unsupported(f"more than {MOST_OPERATIONS} operations, as a loop over time makes them")
        alias = func._schema.returns and func._schema.returns[0].alias_info
        if alias and not alias.is_write and args and isinstance(args[0], Tensor) and isinstance(result, Tensor):
            self.seen_otherwise |= {id(args[0]), id(result)}
        return result

    def note(self, func: Any, args: Any, known: tuple[Any, Mapping[str, Any]], result: Any) -> None:
        name = func._schema.name.partition("::")[2]
        if func._schema.is_mutable:
            if not name.endswith("_") or name.startswith("_") or id(args[0]) in self.seen_otherwise:
                raise Unsupported(f"{name}, a change in place of what has other names")
            name = name[:-1]
        found = translated(name, *known)
        results = result if isinstance(result, (tuple, list)) else (result,)
        nodes = found if isinstance(found, (tuple, list)) else (found,)
        for tensor, node in zip(results, nodes, strict=False):
            if isinstance(tensor, Tensor) and node is not None:
                self.nodes[id(tensor)] = node

    def mapped(self, tree: Any, copied: bool) -> Any:
        """Arguments with nodes for tensors; one that is unknown is a constant, as it is now."""
        if isinstance(tree, Tensor):
            if id(tree) in self.nodes:
                return self.nodes[id(tree)]
            if copied:
                return kept(tree.detach().clone())
            if id(tree) not in self.constants:
                self.constants[id(tree)] = kept(tree.detach())
                self.read.add(place_of(tree))
            return self.constants[id(tree)]
        if isinstance(tree, (tuple, list)):
            return [self.mapped(part, copied) for part in tree]
        if isinstance(tree, Mapping):
            return {key: self.mapped(part, copied) for key, part in tree.items()}
        return tree


def place_of(tensor: Tensor) -> int:
    """Where a tensor's numbers lie, its views' as well."""
    return tensor.untyped_storage().data_ptr()


def tensors_in(tree: Any) -> list[Tensor]:
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, (tuple, list)):
        return [tensor for part in tree for tensor in tensors_in(part)]
    if isinstance(tree, Mapping):
        return [tensor for part in tree.values() for tensor in tensors_in(part)]
    return []


def record(
    function: Callable[..., tuple[Tensor, Tensor]], size: int, data: Sequence[Tensor], at: Tensor
) -> tuple[Node, Node]:
    """The nodes of `function (z (D,), *data) -> (), (D,)`, watched at the point `at (D,)`."""
    recorder = Recorder()
    recorder.nodes[id(at)] = Node("coordinates", (size,))
    recorder.alive.append(at)
    with recorder:
        value, gradient = function(at, *data)
    found = [recorder.nodes.get(id(tensor)) for tensor in (value, gradient)]
    if found[0] is None or found[1] is None:
        raise Unsupported("a density that does not depend on its coordinates")
    return found[0], found[1]
