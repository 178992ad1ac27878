"""Test statistics of one's own: `my_stats.py:max_gap`, a function that takes observed sites and inputs by name.

def max_gap(y):            # y: one data set of the site `y`; the other arguments are inputs of the model
    return np.diff(np.sort(y)).max()
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from experiments.criticism.statistics import Context, Sites, Statistic
from experiments.programs import fault_line, load_module
from models.errors import InputError, did_you_mean


def load_statistic(text: str, folder: Path, where: str) -> tuple[str, Statistic]:
    """The name and the statistic of `file.py:function`; the file is relative to `folder`.

    where: how messages name the place that asks for it, `configs/coin.yaml:9: checks.statistics`.
    """
    file, colon, name = text.partition(":")
    if not colon or not file.endswith(".py") or not name.isidentifier():
        rule = f"must be a file and a function in it, got {text!r}"
        raise InputError(where, rule, "write it like `my_stats.py:max_gap`")
    path = (folder / file).resolve()
    module = load_module(path, lambda _: where)
    functions = {key: value for key, value in vars(module).items() if inspect.isfunction(value)}
    if name not in functions:
        raise InputError(where, f"there is no function `{name}` in {path.name}", did_you_mean(name, functions))
    return name, Statistic(by_data_set(functions[name], path, where), f"`{name}`")


def by_data_set(function: Callable[..., Any], path: Path, where: str) -> Callable[[Sites, Context], np.ndarray]:
    """The user's function, called on one data set after the other."""
    arguments = list(inspect.signature(function).parameters)

    def statistic(sites: Sites, context: Context) -> np.ndarray:
        inputs = context.data.inputs
        for name in arguments:
            if name not in sites and name not in inputs:
                raise InputError(
                    where,
                    f"`{function.__name__}` asks for `{name}`, which is neither observed nor an input",
                    did_you_mean(name, [*sites, *inputs]),
                )
        count = len(next(iter(sites.values())))
        found = np.empty(count)
        for draw in range(count):
            given = {name: sites[name][draw] if name in sites else inputs[name] for name in arguments}
            try:
                found[draw] = float(function(**given))
            except Exception as error:
                raise InputError(where, f"cannot compute {fault_line(error, path)}", "correct the function") from error
        return found

    return statistic
