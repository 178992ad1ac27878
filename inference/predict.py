"""Running a program for many draws: discrete and deterministic sites, pointwise log likelihood, prior and predictive
draws.

Draws are rows `(draws, *shape)` by site. A program is batched over rows by `torch.vmap`; one that cannot be (a sampler
without a batching rule, a path that depends on values) is run row by row, with the same meaning.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from torch import Tensor

from inference.program import Program, Site
from inference.statements import as_input, distribution_name, is_plate, prior_trace
from models.base import Data
from models.errors import InputError, did_you_mean

Rows = dict[str, Tensor]
WITH_NORMALS = ("normal", "multivariate_normal", "lowrank_multivariate_normal", "studentT")
MOST_VALUES = 20_000_000  # numbers kept of one predictive quantity, 160 MB in float64
CHUNK_VALUES = 2_000_000  # numbers in flight at once


def over_rows(run: Callable[[Rows], Rows], draws: Mapping[str, Tensor], values_per_row: int) -> Rows:
    """`run` on every row of `draws`, stacked."""
    rows = len(next(iter(draws.values())))
    chunk = max(1, min(rows, CHUNK_VALUES // max(1, values_per_row)))
    batched = torch.vmap(run, randomness="different")
    with torch.no_grad():
        try:
            with warnings.catch_warnings(), normals_in_batches():
                warnings.simplefilter("ignore")  # a slow batching rule, a resized output: no concern of the user's
                return in_parts(batched, draws, rows, chunk)
        except (RuntimeError, ValueError):
            return in_parts(lambda part: one_row(run, part), draws, rows, 1)


def one_row(run: Callable[[Rows], Rows], part: Rows) -> Rows:
    return {name: value[None] for name, value in run({name: value[0] for name, value in part.items()}).items()}


def in_parts(run: Callable[[Rows], Rows], draws: Mapping[str, Tensor], rows: int, chunk: int) -> Rows:
    """`run` on consecutive rows, `chunk` at a time, into tensors made once: small results of each part, kept, would
    break up the memory that its large ones have left."""
    found: Rows = {}
    for start in range(0, rows, chunk):
        part = slice(start, min(start + chunk, rows))
        for name, value in run({name: value[part] for name, value in draws.items()}).items():
            if part.stop - part.start == rows:
                found[name] = value
            else:
                whole = found.setdefault(name, value.new_empty((rows, *value.shape[1:])))
                whole[part] = value
    return found


@contextmanager
def normals_in_batches() -> Iterator[None]:
    """PyTorch draws standard normals in place, which `vmap` refuses; here it makes new ones."""
    modules = [importlib.import_module(f"torch.distributions.{name}") for name in WITH_NORMALS]
    before = [vars(module)["_standard_normal"] for module in modules]
    try:
        for module in modules:
            vars(module)["_standard_normal"] = lambda shape, dtype, device: torch.randn(
                shape, dtype=dtype, device=device
            )
        yield
    finally:
        for module, own in zip(modules, before, strict=True):
            vars(module)["_standard_normal"] = own


def derived(program: Program, draws: Mapping[str, Tensor]) -> Rows:
    """Values of the sites that no sampler moves, `(draws, *shape)`: deterministic ones; discrete ones, each draw from
    their joint distribution given the row and the data, as whole numbers.

    Discrete sites whose draws are more than MOST_VALUES numbers are left out.
    """
    sizes = {site.name: int(np.prod(site.shape)) for site in (*program.discrete, *program.deterministic)}
    if not sizes:
        return {}
    rows = len(next(iter(draws.values())))
    kept = program.discrete if rows * sum(sizes[site.name] for site in program.discrete) <= MOST_VALUES else ()

    def run(latents: Rows) -> Rows:
        found = program.enumerated(latents).draw() if program.discrete else {}
        states = {site.name: found[site.name].expand(site.shape) for site in program.discrete}
        nodes = program.trace({**latents, **states}).nodes if program.deterministic else {}
        return {
            **{site.name: nodes[site.name]["value"] for site in program.deterministic},
            **{site.name: states[site.name].long() for site in kept},
        }

    return over_rows(run, draws, sum(sizes.values()) + observed_size(program) + numbers_summed(program, draws))


def log_likelihood(program: Program, draws: Mapping[str, Tensor]) -> Rows:
    """Pointwise log density of the observed sites, `(draws, *batch shape)`: one number for each observation.

    Discrete sites are summed out. Where one ties rows together (a chain, a label shared by all), the rows have no
    densities of their own: the site has one number for each group of rows, along its leading axes, or one in all.
    Observed sites that a discrete site ties to each other have one number together, under their joined names.
    """
    if not program.observed:
        return {}
    observed = [site.name for site in program.observed]

    def run(latents: Rows) -> Rows:
        if not program.discrete:
            nodes = program.trace(latents).nodes
            return {name: pointwise(nodes[name]) for name in observed}
        found = program.enumerated(latents)
        groups = {name: group for group in found.groups() if (name := joined(group, observed))}
        tied = {name for group in groups.values() for name in group}
        alone = {name: found.nodes[name]["log_prob"] for name in observed if name not in tied}
        return alone | {name: found.likelihood(group, observed) for name, group in groups.items()}

    return over_rows(run, draws, observed_size(program) + numbers_summed(program, draws))


def numbers_summed(program: Program, draws: Mapping[str, Tensor]) -> int:
    """How many numbers there are to sum for one row, with all values of the discrete sites at once."""
    if not program.discrete:
        return 0
    terms = program.enumerated({name: value[0] for name, value in draws.items()}).terms
    return sum(term.numel() for term in terms.values())


def joined(group: list[str], observed: list[str]) -> str:
    """The name of what is observed in a group: `y`, `y1+y2`, `y1+...+y9`; empty where nothing is."""
    names = [name for name in group if name in observed]
    return "+".join(names if len(names) < 4 else [names[0], "...", names[-1]])


def pointwise(node: Mapping[str, Any]) -> Tensor:
    """A site's log density, masked and scaled as the program says."""
    return scale_and_mask(node["fn"].log_prob(node["value"]), node["scale"], node["mask"])


def predictive(program: Program, draws: Mapping[str, Tensor]) -> Rows:
    """Replicated data: one draw of every observed site for each row of parameters, `(draws, *shape)`."""
    if not program.observed:
        return {}

    def run(latents: Rows) -> Rows:
        nodes = program.run(latents).nodes
        return {site.name: nodes[site.name]["value"] for site in program.observed}

    return over_rows(run, draws, observed_size(program))


def prior(program: Program, num_draws: int, most_values: int = MOST_VALUES) -> Rows:
    """Draws of every site before any data, `(num_draws, *shape)`; none where a prior is no distribution.

    Draws are joint. Where data sets of all of them would be more than `most_values` numbers, observed sites have fewer.
    """
    unseen = (*program.latent, *program.discrete, *program.deterministic)
    if any(site.distribution == "ImproperUniform" for site in program.latent):
        return {}
    size = observed_size(program)
    kept = int(np.clip(most_values // max(1, size), 1, num_draws))

    def run(sites: Sequence[Site], fixed: Mapping[str, Tensor]) -> Callable[[Rows], Rows]:
        def one(_: Rows) -> Rows:
            nodes = program.run(fixed).nodes
            return {site.name: nodes[site.name]["value"] for site in sites}

        return one

    width = size + sum(int(np.prod(site.shape)) for site in unseen)
    found = over_rows(run((*unseen, *program.observed), {}), {"": torch.zeros(kept)}, width)
    if kept == num_draws:
        return found
    more = over_rows(run(unseen, program.values), {"": torch.zeros(num_draws - kept)}, width)
    return {name: torch.cat([values, more[name]]) if name in more else values for name, values in found.items()}


def draw_once(model: Callable[..., Any], data: Data, fixed: Mapping[str, Any], where: str) -> dict[str, np.ndarray]:
    """One joint draw of every site, with some fixed: site -> value. InputError where a fixed value does not fit
    its site."""
    inputs = {name: as_input(value) for name, value in data.inputs.items()}
    sites = prior_trace(model, inputs)
    known = [name for name in sites.stochastic_nodes if not is_plate(sites.nodes[name])]
    values = {}
    for name, value in fixed.items():
        if name not in known:
            raise InputError(where, f"there is no latent site `{name}`", did_you_mean(name, known))
        fn = sites.nodes[name]["fn"]
        try:
            values[name] = torch.as_tensor(np.asarray(value, dtype=float))
        except (TypeError, ValueError):
            raise InputError(
                where, f"`{name}` must be a number or a rectangular list, got {value!r}", "correct the value"
            ) from None
        if values[name].shape != fn.shape() or not bool(fn.support.check(values[name]).all()):
            needed = f"of shape {tuple(fn.shape())} and in the support of {distribution_name(fn)}"
            raise InputError(where, f"`{name}` must be {needed}, got {value}", "correct the value")
        values[name] = values[name].to(sites.nodes[name]["value"].dtype)
    for name in known:
        if name not in values and distribution_name(sites.nodes[name]["fn"]) == "ImproperUniform":
            raise InputError(where, f"`{name}` has no distribution to draw it from", "give its value")
    trace = poutine.trace(poutine.condition(model, values)).get_trace(**inputs)
    nodes = {name: node for name, node in trace.nodes.items() if node["type"] == "sample" and not is_plate(node)}
    return {name: node["value"].detach().numpy() for name, node in nodes.items()}


def observed_size(program: Program) -> int:
    return sum(int(np.prod(site.shape)) for site in program.observed)


def thin(
    draws: Mapping[str, np.ndarray], values_per_draw: int, most_values: int = MOST_VALUES
) -> dict[str, np.ndarray]:
    """Evenly spaced draws of every chain, as many as leave at most `most_values` numbers behind; `(chain, draw,
    *shape)`."""
    chains, total = next(iter(draws.values())).shape[:2]
    keep = int(np.clip(most_values // max(1, values_per_draw * chains), 1, total))
    index = np.linspace(0, total - 1, keep).round().astype(int)
    return {name: value[:, index] for name, value in draws.items()}
