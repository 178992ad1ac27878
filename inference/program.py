"""A Pyro program read once: its sites, their supports, shapes and axes, and whether the data fit it."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pyro import poutine
from pyro.distributions import constraints
from torch import Tensor

from inference.enumeration import Enumerated, values_of
from inference.statements import (
    NoFactor,
    UnobservedKeepPrior,
    as_input,
    axes,
    bare,
    check_arguments,
    check_in_plates,
    check_observed,
    distribution_name,
    is_plate,
    name_of,
    prior_trace,
    refuse_subsampling,
    same_support,
    sites_of,
)
from models.base import Data, Dims, Model, Starting
from models.errors import InputError, did_you_mean


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
    discrete: latent sites with finitely many values, which are summed out; `latent` has all others.
    depth: how many axes plates and batches use at most.
    parameters: names of `pyro.param` statements, which stay at their first value.
    loops: plates that the program runs through one by one, with their indices as plain numbers, which tracing needs.
    starts: where the model says to start, values of some latent sites; None where it says nothing.
    """

    name: str
    model: Callable[..., Any]
    inputs: Mapping[str, Any]
    values: Mapping[str, Tensor]
    latent: tuple[Site, ...]
    deterministic: tuple[Site, ...]
    observed: tuple[Site, ...]
    discrete: tuple[Site, ...] = ()
    depth: int = 0
    parameters: tuple[str, ...] = ()
    loops: Mapping[str, list[int]] = field(default_factory=dict)
    starts: Callable[[np.random.Generator], Mapping[str, np.ndarray]] | None = None

    @cached_property
    def dims(self) -> Dims:
        """Axis names by site."""
        return {site.name: site.dims for site in (*self.latent, *self.discrete, *self.deterministic, *self.observed)}

    def conditioned(self) -> None:
        """The program given its observed values: what Pyro's own algorithms take as a model."""
        poutine.condition(self.model, dict(self.values))(**self.inputs)

    def run(self, values: Mapping[str, Tensor]) -> poutine.Trace:
        """Run the program with sites at `values`; all others are drawn, observed ones too."""
        return poutine.trace(poutine.condition(self.model, {**self.loops, **values})).get_trace(**self.inputs)

    def trace(self, latents: Mapping[str, Tensor]) -> poutine.Trace:
        """Run the program with latent sites at `latents` and observed sites at their data."""
        return self.run({**self.values, **latents})

    def enumerated(self, latents: Mapping[str, Tensor]) -> Enumerated:
        """Run the program like `trace`, with the discrete sites that `latents` does not name at all of their values."""
        conditioned = poutine.condition(self.model, {**self.loops, **self.values, **latents})
        summed = [site.name for site in self.discrete if site.name not in latents]
        return Enumerated(lambda: conditioned(**self.inputs), summed, self.depth)

    def log_joint(self, latents: Mapping[str, Tensor]) -> Tensor:
        """log p(latents, observed) on the sites' own (constrained) scale, a scalar; the discrete sites that `latents`
        does not name are summed out."""
        if all(site.name in latents for site in self.discrete):
            return self.trace(latents).log_prob_sum()
        return self.enumerated(latents).log_sum()

    def first_fault(self, latents: Mapping[str, Tensor]) -> str | None:
        """The first site whose log density is not finite there, in words: site, row, value; None where all
        are finite. What depends on a discrete site is at fault where no value of that site makes it finite."""
        try:
            nodes = self.enumerated(latents).nodes
        except NoFactor as error:
            return str(error).split("\n")[0]
        for name, node in nodes.items():
            shape = node["value"].shape[: node["value"].dim() - node["fn"].event_dim]
            rank = min(len(shape), self.depth)
            over_values = tuple(range(node["log_prob"].dim() - rank))
            best = node["log_prob"].amax(over_values) if over_values else node["log_prob"]
            bad = ~torch.isfinite(best)
            if bad.any():
                row = tuple(int(i) for i in bad.nonzero()[0])
                at = f", row {', '.join(str(i + 1) for i in row)}" if row else ""
                value = node["value"][row] if row else node["value"]
                shown = f"{value.item():.6g}" if value.numel() == 1 else str(value.tolist())
                density = best[row].item()
                return f"site `{name}` ({distribution_name(node['fn'])}){at}: log density is {density} at value {shown}"
        return None


def read(model: Model | Callable[..., Any], data: Data) -> Program:
    """Check that model and data fit and read the sites off one prior run. InputError names the site or argument
    in the way."""
    name = name_of(model)
    inputs = {key: as_input(value) for key, value in data.inputs.items()}
    check_arguments(name, model, inputs)
    traces = [prior_trace(model, inputs) for _ in range(2)]
    first, second = ({key: node for key, node in trace.nodes.items() if node["type"] == "sample"} for trace in traces)
    if list(first) != list(second):
        raise InputError(
            name, "its sites change from run to run", "a program must have the same sites whatever their values"
        )
    values = {key: torch.as_tensor(np.asarray(value, dtype=float)) for key, value in data.observed.items()}
    for key in values:
        if key not in first:
            raise InputError(name, f"there is no site `{key}` to observe", did_you_mean(key, sites_of(first)))
    declared = getattr(bare(model), "dims", {})
    latent, discrete, deterministic, observed = [], [], [], []
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
        fixed = same_support(node["fn"].support, second[key]["fn"].support)
        if node["infer"].get("_deterministic"):
            if key in values:
                raise InputError(
                    name, f"site `{key}` is computed and cannot be observed", "observe a `pyro.sample` site"
                )
            deterministic.append(site)
        elif key in values:
            check_observed(name, node, values[key], key, fixed)
            values[key] = values[key].to(node["value"].dtype)  # labels stay whole numbers, so that they can index
            observed.append(site)
        elif node["is_observed"]:
            # the program's own `obs=`: Pyro would broadcast it against the site without a word
            check_observed(name, node, node["value"], key, fixed)
        elif not fixed:
            raise InputError(
                name,
                f"the support of site `{key}` depends on other sites",
                "write it as a fixed support times a scale",
            )
        elif values_of(node["fn"]) is not None:
            check_in_plates(name, node, key)
            discrete.append(site)
        else:
            latent.append(site)
    if not latent and not discrete:
        raise InputError(name, "there is no latent site to infer", "every site is observed")
    around = [frame for node in first.values() for frame in node["cond_indep_stack"]]
    loops = {frame.name for frame in around if not frame.vectorized} & first.keys()
    program = Program(
        name,
        UnobservedKeepPrior(first)(model),
        inputs,
        values,
        latent=tuple(latent),
        deterministic=tuple(deterministic),
        observed=tuple(observed),
        discrete=tuple(discrete),
        depth=max(len(node["fn"].batch_shape) for node in first.values() if not is_plate(node)),
        parameters=tuple(traces[0].param_nodes),
        loops={key: first[key]["value"].tolist() for key in loops},
        starts=partial(model.starts, data) if isinstance(model, Starting) else None,
    )
    check_density(program, {site.name: first[site.name]["value"].detach() for site in (*latent, *discrete)})
    return program


def check_density(program: Program, at: Mapping[str, Tensor]) -> None:
    """At one point: the density is the same twice, and among all values of the discrete sites at once every site has
    the density that it has in a run with one value of each."""
    before = torch.get_rng_state()
    plain = program.trace(at)
    plain.compute_log_prob()
    if not torch.equal(torch.get_rng_state(), before):
        again = program.trace(at)
        again.compute_log_prob()
        for name, node in plain.nodes.items():
            if "log_prob" in node and not torch.allclose(
                node["log_prob"], again.nodes[name]["log_prob"], rtol=0, atol=0, equal_nan=True
            ):
                raise InputError(
                    program.name,
                    f"the density of site `{name}` is random: it is not the same twice at one point",
                    "draw random numbers in `pyro.sample` statements, and hide none of these",
                )
    if program.discrete:
        remedy = "index with `pyro.ops.indexing.Vindex`; let shapes broadcast with the discrete sites' axes on the left"
        try:
            wrong = program.enumerated({site.name: at[site.name] for site in program.latent}).disagreement(plain.nodes)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            line = str(error).strip().split("\n")[0].rstrip(":. ")
            rule = f"fails with all values of its discrete sites at once ({line})"
            raise InputError(program.name, rule, remedy) from error
        if wrong is not None:
            rule = f"site `{wrong}` has another density with all values of the discrete sites at once than with one"
            raise InputError(program.name, rule, remedy)


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
        program = bare(model)
        kind = program if inspect.isroutine(program) else type(program)
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


def refuse_discrete(backend: str, program: Program) -> None:
    """InputError names a discrete site that the backend cannot serve: any of them for `exact`, one that cannot be
    summed out for the others, which also need something continuous."""
    where = f"`{backend}` cannot fit {program.name}"
    sites = (*program.discrete, *program.latent) if backend == "exact" else program.latent
    for site in sites:
        if site.support.is_discrete:
            rule = f"site `{site.name}` ({site.distribution}) is discrete"
            if backend == "exact":
                summed = site in program.discrete and any(not other.support.is_discrete for other in program.latent)
                remedy = "sum it out in the program, for instance with MixtureSameFamily"
                raise InputError(where, rule, "use `nuts` or `svi`, which sum it out" if summed else remedy)
            raise InputError(
                where,
                f"{rule} and its values cannot be listed",
                "use a Categorical, Bernoulli or Binomial in a plate, which is summed out, or sum it out yourself",
            )
    if not program.latent:
        names = " and ".join(f"`{site.name}`" for site in program.discrete)
        raise InputError(
            where,
            f"only discrete sites are latent ({names}): there is nothing continuous to move",
            "compare the log joint of their values, which are finitely many",
        )
