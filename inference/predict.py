"""Running a program forwards for many draws: deterministic sites, pointwise log likelihood, prior and predictive draws.

Draws are rows `(draws, *shape)` by site. A program is batched over rows by `torch.vmap`; one that cannot be (a sampler
without a batching rule, a path that depends on values) is run row by row, with the same meaning.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from torch import Tensor

from inference.program import Program, as_input, distribution_name, is_plate
from models.base import Data
from models.errors import InputError, did_you_mean

Rows = dict[str, Tensor]
MOST_VALUES = 20_000_000  # numbers kept of one predictive quantity, 160 MB in float64
CHUNK_VALUES = 2_000_000  # numbers in flight at once


def over_rows(run: Callable[[Rows], Rows], draws: Mapping[str, Tensor], values_per_row: int) -> Rows:
    """`run` on every row of `draws`, stacked."""
    rows = len(next(iter(draws.values())))
    chunk = max(1, min(rows, CHUNK_VALUES // max(1, values_per_row)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a slow batching rule and a resized output are no concern of the user's
            return torch.vmap(run, randomness="different", chunk_size=chunk)(dict(draws))
    except (RuntimeError, ValueError):
        results = [run({name: value[row] for name, value in draws.items()}) for row in range(rows)]
        return {name: torch.stack([result[name] for result in results]) for name in results[0]}


def deterministics(program: Program, draws: Mapping[str, Tensor]) -> Rows:
    """Values of the deterministic sites, `(draws, *shape)`."""
    if not program.deterministic:
        return {}

    def run(latents: Rows) -> Rows:
        trace = program.trace(latents)
        return {site.name: trace.nodes[site.name]["value"] for site in program.deterministic}

    return over_rows(run, draws, sum(int(np.prod(site.shape)) for site in program.deterministic))


def log_likelihood(program: Program, draws: Mapping[str, Tensor]) -> Rows:
    """Pointwise log density of the observed sites, `(draws, *batch shape)`: one number for each observation."""
    if not program.observed:
        return {}

    def run(latents: Rows) -> Rows:
        nodes = program.trace(latents).nodes
        return {site.name: pointwise(nodes[site.name]) for site in program.observed}

    return over_rows(run, draws, observed_size(program))


def pointwise(node: Mapping[str, Any]) -> Tensor:
    """A site's log density, masked and scaled as the program says."""
    return scale_and_mask(node["fn"].log_prob(node["value"]), node["scale"], node["mask"])


def predictive(program: Program, draws: Mapping[str, Tensor]) -> Rows:
    """Replicated data: one draw of every observed site for each row of parameters, `(draws, *shape)`."""
    if not program.observed:
        return {}

    def run(latents: Rows) -> Rows:
        trace = poutine.trace(poutine.condition(program.model, latents)).get_trace(**program.inputs)
        return {site.name: trace.nodes[site.name]["value"] for site in program.observed}

    return over_rows(run, draws, observed_size(program))


def prior(program: Program, num_draws: int) -> Rows:
    """Joint draws of every site before any data, `(num_draws, *shape)`."""
    sites = (*program.latent, *program.deterministic, *program.observed)

    def run(_: Rows) -> Rows:
        trace = poutine.trace(program.model).get_trace(**program.inputs)
        return {site.name: trace.nodes[site.name]["value"] for site in sites}

    return over_rows(run, {"": torch.zeros(num_draws)}, sum(int(np.prod(site.shape)) for site in sites))


def draw_once(model: Callable[..., Any], data: Data, fixed: Mapping[str, Any], where: str) -> dict[str, np.ndarray]:
    """One joint draw of every site, with some fixed: site -> value. InputError where a fixed value does not fit
    its site."""
    inputs = {name: as_input(value) for name, value in data.inputs.items()}
    sites = poutine.trace(model).get_trace(**inputs)
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
    trace = poutine.trace(poutine.condition(model, values)).get_trace(**inputs)
    nodes = {name: node for name, node in trace.nodes.items() if node["type"] == "sample" and not is_plate(node)}
    return {name: node["value"].numpy() for name, node in nodes.items()}


def observed_size(program: Program) -> int:
    return sum(int(np.prod(site.shape)) for site in program.observed)


def thin(draws: Mapping[str, np.ndarray], values_per_draw: int) -> dict[str, Any]:
    """Evenly spaced draws of every chain, as many as leave at most MOST_VALUES numbers behind; `(chain, draw,
    *shape)`."""
    chains, total = next(iter(draws.values())).shape[:2]
    keep = int(np.clip(MOST_VALUES // max(1, values_per_draw * chains), 1, total))
    index = np.linspace(0, total - 1, keep).round().astype(int)
    return {name: value[:, index] for name, value in draws.items()}
