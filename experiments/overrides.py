"""`--set a.b.c=value`: one setting of a config changed on the command line, through the same door as the file."""

from __future__ import annotations

from typing import Any

from experiments.yaml_source import COMMAND_LINE, Loc, NodeReader, Source, dotted
from models.errors import InputError

EXAMPLE = "write it like `--set inference.nuts.num_samples=50`"


def override(source: Source, assignment: str) -> Source:
    """The source with `a.b.c=value` set: a YAML value at a key path; mappings are made, list items go by number."""
    name, equals, text = assignment.partition("=")
    keys = name.strip().split(".")
    if not equals or not all(keys):
        raise InputError("--set", f"must be key=value, got {assignment!r}", EXAMPLE)
    reader = NodeReader(f"--set {name.strip()}", numbered=False)
    node = reader.compose(text.strip())
    value = None if node is None else reader.value(node, ())
    tree, loc = placed(source.tree, keys, value, ())
    kept = {path: line for path, line in source.lines.items() if path[: len(loc)] != loc}
    made = {loc[:length]: COMMAND_LINE for length in range(1, len(loc) + 1) if loc[:length] not in kept}
    return Source(tree, source.path, {**kept, **made})


def placed(tree: Any, keys: list[str], value: Any, passed: Loc) -> tuple[Any, Loc]:
    """A copy of the tree with the value at the end of `keys`, and the key path that this is."""
    if not keys:
        return value, passed
    first, rest = keys[0], keys[1:]
    where = f"--set {dotted((*passed, *keys))}"
    if isinstance(tree, list):
        if not first.isdecimal() or int(first) >= len(tree):
            rule = f"`{dotted(passed)}` is a list of {len(tree)} items, got `{first}`"
            raise InputError(
                where, rule, f"name an item by its number, 0 to {len(tree) - 1}" if tree else "set the whole list"
            )
        index = int(first)
        item, loc = placed(tree[index], rest, value, (*passed, index))
        return [*tree[:index], item, *tree[index + 1 :]], loc
    if tree is not None and not isinstance(tree, dict):
        raise InputError(
            where, f"`{dotted(passed)}` is {tree!r} and holds no `{first}`", f"set `{dotted(passed)}` itself"
        )
    mapping = tree or {}
    item, loc = placed(mapping.get(first), rest, value, (*passed, first))
    return {**mapping, first: item}, loc
