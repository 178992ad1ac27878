"""A Pyro program read once: its sites, their supports, shapes and axes, and whether the data fit it."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pyro import poutine
from pyro.distributions import constraints
from torch import Tensor

from models.base import Data, Dims, Model
from models.errors import InputError, did_you_mean

NoFactor = torch.linalg.LinAlgError  # type: ignore[attr-defined]  # public, though torch does not export it by name


class Site(NamedTuple):
    """A sample statement: its name, the distribution's name, its support, the shape of its value, the names of
    its axes."""

    name: str
    distribution: str
    support: constraints.Constraint
    shape: tuple[int, ...]
    dims: tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """A model with its data as tensors. Make one with `read` and use it inside one `workspace`.

    latent, deterministic, observed: sites in the order of the program.
    """

    name: str
    model: Callable[..., Any]
    inputs: Mapping[str, Any]
    values: Mapping[str, Tensor]
    latent: tuple[Site, ...]
    deterministic: tuple[Site, ...]
    observed: tuple[Site, ...]

    @cached_property
    def dims(self) -> Dims:
        """Axis names by site, latent, deterministic and observed."""
        return {site.name: site.dims for site in (*self.latent, *self.deterministic, *self.observed)}

    def conditioned(self) -> None:
        """The program given its observed values: what Pyro's own algorithms take as a model."""
        poutine.condition(self.model, dict(self.values))(**self.inputs)

    def trace(self, latents: Mapping[str, Tensor]) -> poutine.Trace:
        """Run the program with latent sites at `latents` and observed sites at their data."""
        return poutine.trace(poutine.condition(self.model, {**self.values, **latents})).get_trace(**self.inputs)

    def log_joint(self, latents: Mapping[str, Tensor]) -> Tensor:
        """log p(latents, observed) on the sites' own (constrained) scale, a scalar."""
        return self.trace(latents).log_prob_sum()

    def first_fault(self, latents: Mapping[str, Tensor]) -> str | None:
        """The first site whose log density is not finite there, in words: site, row, value; None where all
        are finite."""
        try:
            trace = self.trace(latents)
            trace.compute_log_prob()
        except NoFactor as error:
            return str(error).split("\n")[0]
        for name, node in trace.nodes.items():
            if node["type"] != "sample" or is_plate(node):
                continue
            bad = ~torch.isfinite(node["log_prob"])
            if bad.any():
                row = tuple(int(i) for i in bad.nonzero()[0])
                at = f", row {', '.join(str(i + 1) for i in row)}" if row else ""
                value = node["value"][row] if row else node["value"]
                shown = f"{value.item():.6g}" if value.numel() == 1 else str(value.tolist())
                density = node["log_prob"][row].item()
                return f"site `{name}` ({distribution_name(node['fn'])}){at}: log density is {density} at value {shown}"
        return None


def read(model: Model | Callable[..., Any], data: Data) -> Program:
    """Check that model and data fit and read the sites off one prior run. InputError names the site or argument
    in the way."""
    name = model.__name__ if inspect.isroutine(model) else type(model).__name__
    inputs = {key: as_input(value) for key, value in data.inputs.items()}
    check_arguments(name, model, inputs)
    program: Callable[..., Any] = model
    traces = [poutine.trace(program).get_trace(**inputs) for _ in range(2)]
    first, second = ({key: node for key, node in trace.nodes.items() if node["type"] == "sample"} for trace in traces)
    if list(first) != list(second):
        raise InputError(
            name, "its sites change from run to run", "a program must have the same sites whatever their values"
        )
    values = {key: torch.as_tensor(np.asarray(value, dtype=float)) for key, value in data.observed.items()}
    for key in values:
        if key not in first:
            raise InputError(name, f"there is no site `{key}` to observe", did_you_mean(key, sites_of(first)))
    declared = getattr(model, "dims", {})
    latent, deterministic, observed = [], [], []
    for key, node in first.items():
        if is_plate(node):
            refuse_subsampling(name, key, node)
            continue
        site = Site(
            key,
            distribution_name(node["fn"]),
            node["fn"].support,
            tuple(node["value"].shape),
            axes(name, key, node, declared),
        )
        if node["infer"].get("_deterministic"):
            deterministic.append(site)
        elif key in values:
            check_observed(name, node, values[key], key)
            values[key] = values[key].to(node["value"].dtype)  # labels stay whole numbers, so that they can index
            observed.append(site)
        elif node["is_observed"]:
            # the program's own `obs=`: Pyro would broadcast it against the site without a word
            check_observed(name, node, node["value"], key)
        else:
            if not same_support(node["fn"].support, second[key]["fn"].support):
                raise InputError(
                    name,
                    f"the support of site `{key}` depends on other sites",
                    "write it as a fixed support times a scale",
                )
            latent.append(site)
    if not latent:
        raise InputError(name, "there is no latent site to infer", "every site is observed")
    return Program(name, model, inputs, values, tuple(latent), tuple(deterministic), tuple(observed))


@contextmanager
def faults_of(model: Model | Callable[..., Any]) -> Iterator[None]:
    """An exception that comes out of a user's own program becomes one line with its file and line.

    Any other exception passes as it is, and so does one out of the zoo's own families: that is a bug, not wrong input.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        kind = model if inspect.isroutine(model) else type(model)
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if frame.filename == file_of(kind)]
        if not own or kind.__module__.startswith("models."):
            raise
        # Pyro appends a table of shapes to the first line
        text = f"{type(error).__name__}: {str(error).strip()}".split("\n")[0].rstrip(":. ")
        where = f"{Path(own[-1].filename).name}:{own[-1].lineno}"
        rule = f"`{kind.__name__}` fails with {text}"
        raise InputError(where, rule, "correct the program, or what it is given") from error


def file_of(kind: Any) -> str | None:
    """The file of a class or function; None where there is none, as in a notebook."""
    try:
        return inspect.getfile(kind)
    except (OSError, TypeError):
        return None


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
    parameters = inspect.signature(model).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for key in inputs:
        if key not in parameters:
            raise InputError(name, f"takes no argument `{key}`", did_you_mean(key, parameters))
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in inputs:
            raise InputError(name, f"needs the argument `{key}`", "give it under data.columns or data.values")


def refuse_subsampling(name: str, key: str, node: Mapping[str, Any]) -> None:
    if (node["fn"].subsample_size or node["fn"].size) < node["fn"].size:
        raise InputError(name, f"plate `{key}` is subsampled, so its density is random", "use the whole plate")


def check_observed(name: str, node: Mapping[str, Any], value: Tensor, key: str) -> None:
    """Observed values have exactly the site's shape (no broadcasting) and lie in its support."""
    if value.shape != node["fn"].shape():
        raise InputError(
            name,
            f"site `{key}` has shape {tuple(node['fn'].shape())}, its data have shape {tuple(value.shape)}",
            "give one value for each element of the site",
        )
    inside = node["fn"].support.check(value)
    if not bool(inside.all()):
        row = tuple(int(i) for i in (~inside).nonzero()[0])
        at = f", row {', '.join(str(i + 1) for i in row)}" if row else ""
        raise InputError(
            f"{name}, site `{key}`{at}",
            f"{value[row].tolist():g} is outside the support of {distribution_name(node['fn'])}"
            if value[row].numel() == 1
            else f"{value[row].tolist()} is outside the support of {distribution_name(node['fn'])}",
            "correct the value or use another distribution",
        )


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


def is_plate(node: Mapping[str, Any]) -> bool:
    return type(node["fn"]).__name__ == "_Subsample"


def sites_of(nodes: Mapping[str, Any]) -> list[str]:
    return [key for key, node in nodes.items() if not is_plate(node)]


def distribution_name(fn: Any) -> str:
    """`Normal` for Normal, also where it is expanded, masked or moved to the event."""
    while type(fn).__name__ in ("Independent", "ExpandedDistribution", "MaskedDistribution"):
        fn = fn.base_dist
    return type(fn).__name__


def refuse_discrete(backend: str, program: Program) -> None:
    """Gradient-based backends need continuous sites."""
    for site in program.latent:
        if site.support.is_discrete:
            raise InputError(
                f"`{backend}` cannot fit {program.name}",
                f"site `{site.name}` ({site.distribution}) is discrete",
                "sum it out in the program, for instance with MixtureSameFamily",
            )
