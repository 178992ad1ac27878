"""A user's own program: the class or function named by `program: file.py:Name`, and the data handed to its
arguments."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from models.base import Data
from models.columns import Table, as_numbers
from models.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from experiments.config import ProgramConfig

Where = Callable[[str], str]


def load_program(config: ProgramConfig, where: Where) -> Callable[..., Any]:
    """The program itself: an instance of a class made with the YAML's settings, or the function (settings are
    inputs then)."""
    module = load_module(config.path, where)
    found = vars(module).get(config.name)
    if found is None:
        names = [
            name
            for name, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", "") == module.__name__
        ]
        raise InputError(
            where("model.program"),
            f"there is no `{config.name}` in {config.path.name}",
            did_you_mean(config.name, names),
        )
    if not callable(found):
        raise InputError(
            where("model.program"),
            f"`{config.name}` must be a class or a function, got a {type(found).__name__}",
            "name the program",
        )
    takes = inspect.signature(found).parameters
    for key in config.settings:
        if key not in takes:
            raise InputError(where(f"model.{key}"), f"not a setting of `{config.name}`", did_you_mean(key, takes))
    if not inspect.isclass(found):
        return found
    try:
        model = found(**config.settings)
    except (TypeError, ValueError) as error:
        raise InputError(
            where("model.program"), f"`{config.name}` refuses its settings: {error}", "correct them"
        ) from error
    if not callable(model):
        raise InputError(
            where("model.program"), f"`{config.name}` has no `__call__`", "write the program as its `__call__`"
        )
    return model


def load_module(path: Path, where: Where) -> ModuleType:
    """The file as a module, with its folder importable while it loads; a fault in it is one line with file and line."""
    if not path.is_file():
        nearby = [other.name for other in path.parent.glob("*.py")]
        remedy = did_you_mean(path.name, nearby) if nearby else "write it relative to the config"
        raise InputError(where("model.program"), f"there is no file `{path.name}`", remedy)
    name = f"pyrozoo_program_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(
            where("model.program"), f"cannot load {fault_line(error, path)}", "correct the file"
        ) from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def fault_line(error: BaseException, path: Path) -> str:
    """`schools.py:12: NameError: name 'dits' is not defined`."""
    if isinstance(error, SyntaxError):
        return f"{path.name}:{error.lineno}: SyntaxError: {error.msg}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    text = " ".join(str(error).split())
    return f"{path.name}:{lines[-1] if lines else 1}: {type(error).__name__}: {text}"


def program_data(
    program: Callable[..., Any],
    table: Table | None,
    values: Mapping[str, Any],
    settings: Mapping[str, Any],
    observed: list[str],
    named: Mapping[str, str],
    where: Where,
) -> Data:
    """Inputs by argument name and observed values by site name.

    Arguments are columns of the table and `values` of any shape: whole numbers int64, other numbers float64, labels as
    codes int64; `num_rows` is the number of rows, and `num_g` the number of labels of `g`, unless given.
    observed: sites to observe; empty where they are to be drawn. named: `data.columns`, each of which must be used.
    """
    parameters = inspect.signature(program).parameters
    arrays: dict[str, Any] = {}
    coords: dict[str, list[str]] = {}
    for name, value in values.items():
        if isinstance(value, list) and any(isinstance(cell, str) for cell in value):
            column = np.array(value, dtype=object)
            arrays[name], coords[name] = Table({name: column}, where("data.values"), {}).category(name)
        else:
            arrays[name] = as_array(value, where(f"data.values.{name}"))
    lengths = {len(value) for value in values.values() if isinstance(value, list)}
    counts = {"num_rows": lengths.pop()} if table is None and len(lengths) == 1 else {}
    if table is not None:
        counts = {"num_rows": table.num_rows}
        for name in table.columns:
            if name in parameters or name in observed or f"num_{name}" in parameters:
                if name in values:
                    rule = f"{table.origin} has a column of that name"
                    raise InputError(where(f"data.values.{name}"), rule, "rename one of the two")
                arrays[name], levels = typed(table, name)
                coords |= {name: levels} if levels else {}
    counts |= {f"num_{name}": len(levels) for name, levels in coords.items()}
    offered = {**counts, **arrays}
    for name in observed:
        if name not in offered:
            raise InputError(where("data.observed"), f"there are no values for `{name}`", did_you_mean(name, offered))
    for name in [*named, *values]:
        if name not in parameters and name not in observed:
            part = "columns" if name in named else "values"
            raise InputError(
                where(f"data.{part}.{name}"),
                "the program takes no such argument",
                did_you_mean(name, [*parameters, *observed]),
            )
    inputs = {name: offered[name] for name in parameters if name in offered and name not in observed}
    dims = {name: ("row",) for name in table.columns if name in inputs} if table is not None else {}
    outcomes = {name: np.asarray(offered[name], dtype=float) for name in observed}
    return Data({**inputs, **settings}, outcomes, coords, dims)


def typed(table: Table, name: str) -> tuple[np.ndarray, list[str]]:
    """A column as numbers, or as codes with their labels."""
    column = table.column(name)
    if column.dtype.kind in "iub":
        return column.astype(np.int64), []
    if np.isfinite(as_numbers(column)).any() or column.dtype.kind == "f":
        return table.number(name), []
    return table.category(name)


def as_array(value: Any, where: str) -> Any:
    """An inline value as a number or an array of numbers, `(...,)`."""
    if isinstance(value, (bool, int, float)):
        return value
    try:
        array = np.asarray(value)
        array = array if array.dtype.kind in "biuf" else np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise InputError(where, "must be a number or a rectangular list of numbers", "correct the list") from None
    if not np.isfinite(array).all():
        raise InputError(where, "must be finite", "correct the list")
    return array
