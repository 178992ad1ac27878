"""What a program is called with and what one run of it shows: its arguments, and each sample statement's name, axes,
support and values."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from pyro import poutine
from pyro.distributions import constraints
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.distributions import biject_to

from models.base import Dims, Model
from models.errors import InputError, did_you_mean

NoFactor = torch.linalg.LinAlgError  # type: ignore[attr-defined]  # public, though torch does not export it by name


def bare(model: Model | Callable[..., Any]) -> Callable[..., Any]:
    """The program below the handlers that decorate it (`config_enumerate`, `poutine.reparam`)."""
    return inspect.unwrap(model)


def name_of(model: Model | Callable[..., Any]) -> str:
    program = bare(model)
    return program.__name__ if inspect.isroutine(program) else type(program).__name__


def as_input(value: Any) -> Any:
    """Arrays and tensors as tensors, float64, int64 or bool; plain numbers, words and None as they are."""
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    kinds = {"f": float, "i": np.int64, "u": np.int64, "b": bool}
    if array.dtype.kind not in kinds:
        raise InputError(
            "data", f"an input must hold numbers, got {array.dtype} values", "code labels as whole numbers"
        )
    return torch.as_tensor(array.astype(kinds[array.dtype.kind]))


def check_arguments(name: str, model: Callable[..., Any], inputs: Mapping[str, Any]) -> None:
    """The program takes every input, and every argument without a default is there."""
    parameters = inspect.signature(bare(model)).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for key in inputs:
        if key not in parameters:
            raise InputError(name, f"takes no argument `{key}`", did_you_mean(key, parameters))
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in inputs:
            raise InputError(name, f"needs the argument `{key}`", "give it under data.columns or data.values")


def prior_trace(model: Callable[..., Any], inputs: Mapping[str, Any], tries: int = 100) -> poutine.Trace:
    """One run of the program with nothing fixed. (Prior draws may make a matrix that has no factor: these are drawn
    again.)"""
    while True:
        try:
            with Anywhere():
                return poutine.trace(model).get_trace(**inputs)
        except NoFactor:
            tries -= 1
            if not tries:
                raise


class Anywhere(Messenger):
    """Gives a site that has a support but no distribution to draw from some value of its support."""

    def _pyro_sample(self, site: Any) -> None:
        if site["value"] is None and distribution_name(site["fn"]) == "ImproperUniform":
            transform = biject_to(site["fn"].support)
            site["value"] = transform(torch.rand(transform.inverse_shape(site["fn"].shape())) * 4 - 2)
            site["done"] = True


class UnobservedKeepPrior(Messenger):
    """Leaves the elements that `obs_mask` makes observed their prior in the site of the unobserved ones.

    Pyro masks them there; nothing else depends on them either, so that a sampler would drift along them without end.
    """

    def __init__(self, nodes: Mapping[str, Any]) -> None:
        super().__init__()
        stems = [name.removesuffix("_unobserved") for name in nodes if name.endswith("_unobserved")]
        self.names = {f"{stem}_unobserved" for stem in stems if {stem, f"{stem}_observed"} <= nodes.keys()}

    def _pyro_sample(self, site: Any) -> None:
        if site["name"] in self.names:
            site["mask"] = None


def is_plate(node: Mapping[str, Any]) -> bool:
    return type(node["fn"]).__name__ == "_Subsample"


def sites_of(nodes: Mapping[str, Any]) -> list[str]:
    return [key for key, node in nodes.items() if not is_plate(node)]


def distribution_name(fn: Any) -> str:
    """`Normal` for Normal, also where it is expanded, masked or moved to the event."""
    while type(fn).__name__ in ("Independent", "ExpandedDistribution", "MaskedDistribution"):
        fn = fn.base_dist
    return type(fn).__name__


def axes(name: str, key: str, node: Mapping[str, Any], declared: Dims) -> tuple[str, ...]:
    """Names of a site's axes: the model's own `dims`, or else its plates, or else `key_dim_0`, ...; a scalar has
    none."""
    rank = node["value"].dim()
    if rank == 0 or len(declared.get(key, ())) == rank:
        return tuple(declared.get(key, ())) if rank else ()
    if key in declared:
        raise InputError(
            name,
            f"dims of site `{key}` names {len(declared[key])} axes, its shape is {tuple(node['value'].shape)}",
            "correct `dims`",
        )
    plates = {frame.dim - node["fn"].event_dim: frame.name for frame in node["cond_indep_stack"] if frame.vectorized}
    return tuple(plates.get(axis - rank, f"{key}_dim_{axis}") for axis in range(rank))


def same_support(first: constraints.Constraint, second: constraints.Constraint) -> bool:
    """Whether two supports are one and the same set (bounds are compared by value)."""
    if isinstance(first, constraints.independent) and isinstance(second, constraints.independent):
        return same_support(first.base_constraint, second.base_constraint)
    if type(first) is not type(second):
        return False
    bounds = [(vars(one).get(key), vars(other).get(key)) for one, other in [(first, second)] for key in vars(first)]
    return all(
        bool(torch.equal(torch.as_tensor(a), torch.as_tensor(b)))
        for a, b in bounds
        if isinstance(a, (int, float, Tensor))
    )


def refuse_subsampling(name: str, key: str, node: Mapping[str, Any]) -> None:
    if (node["fn"].subsample_size or node["fn"].size) < node["fn"].size:
        raise InputError(name, f"plate `{key}` is subsampled, so its density is random", "use the whole plate")


def check_observed(name: str, node: Mapping[str, Any], value: Tensor, key: str, fixed: bool) -> None:
    """Observed values have exactly the site's shape (no broadcasting) and lie in its support, where that is fixed."""
    if value.shape != node["fn"].shape():
        raise InputError(
            name,
            f"site `{key}` has shape {tuple(node['fn'].shape())}, its data have shape {tuple(value.shape)}",
            "give one value for each element of the site",
        )
    inside = node["fn"].support.check(value)
    if fixed and not bool(inside.all()):
        row = tuple(int(i) for i in (~inside).nonzero()[0])
        at = f", row {', '.join(str(i + 1) for i in row)}" if row else ""
        raise InputError(
            f"{name}, site `{key}`{at}",
            f"{value[row].tolist():g} is outside the support of {distribution_name(node['fn'])}"
            if value[row].numel() == 1
            else f"{value[row].tolist()} is outside the support of {distribution_name(node['fn'])}",
            "correct the value or use another distribution",
        )


def check_in_plates(name: str, node: Mapping[str, Any], key: str) -> None:
    """Every axis of a discrete site's batch is a plate's: its elements are summed out one by one."""
    plates = {frame.dim for frame in node["cond_indep_stack"] if frame.vectorized}
    batch = node["fn"].batch_shape
    if any(size > 1 and axis - len(batch) not in plates for axis, size in enumerate(batch)):
        raise InputError(
            name, f"discrete site `{key}` has several elements outside a plate", "sample it inside a `pyro.plate`"
        )
