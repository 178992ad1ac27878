"""Log likelihood of rows, one chunk after the other, for data too large to hold them for all draws.

A chunk is the same program with some of its rows. That is right where rows are independent given the parameters:
no latent site has the axis `row`, and the program has one log density for each row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from experiments.criticism.scores import by_row
from models.base import Data
from models.errors import InputError

CHUNK_VALUES = 4_000_000  # log densities in one chunk, 32 MB; a program needs some ten times that to compute them


def rows_of(data: Data, observed_dims: Mapping[str, tuple[str, ...]], rows: np.ndarray | slice) -> Data:
    """Some rows of the data: every input and observed site whose first axis is `row`.

    observed_dims: the axes of the observed sites.
    """
    count = len(np.arange(num_rows(data, observed_dims))[rows])

    def part(dims: tuple[str, ...], value: Any) -> Any:
        return value[rows] if dims[:1] == ("row",) else value

    inputs = {name: part(tuple(data.dims.get(name, ())), value) for name, value in data.inputs.items()}
    inputs |= {"num_rows": count} if "num_rows" in inputs else {}
    observed = {name: part(tuple(observed_dims[name]), np.asarray(value)) for name, value in data.observed.items()}
    coords = {dim: part((dim,), np.asarray(labels)) if dim == "row" else labels for dim, labels in data.coords.items()}
    return dataclasses.replace(data, inputs=inputs, observed=observed, coords=coords)


def num_rows(data: Data, observed_dims: Mapping[str, tuple[str, ...]]) -> int:
    """How many rows the observed sites have."""
    lengths = {len(value) for name, value in data.observed.items() if tuple(observed_dims[name])[:1] == ("row",)}
    return lengths.pop() if len(lengths) == 1 else 0


def refuse_tied(program: Any) -> None:
    """InputError where rows cannot be taken out of the program: it has no rows, or a latent for each."""
    remedy = "score it whole, or by groups of rows"
    for site in program.latent:
        if "row" in site.dims:
            raise InputError(program.name, f"`{site.name}` has a value for each row: rows are not independent", remedy)
    for site in program.observed:
        if site.dims[:1] != ("row",):
            raise InputError(program.name, f"`{site.name}` has no axis `row`", remedy)


def log_likelihood_chunks(
    model: Callable[..., Any],
    data: Data,
    draws: Mapping[str, np.ndarray],
    chunk_values: int = CHUNK_VALUES,
) -> Iterator[np.ndarray]:
    """Log likelihood `(draws, rows)` of consecutive chunks of rows; use inside one `workspace`.

    draws: latent sites, `(chain, draw, *shape)`. InputError where rows are not independent.
    """
    import torch

    from inference.predict import log_likelihood
    from inference.program import read

    program = read(model, data)
    refuse_tied(program)
    dims = {site.name: site.dims for site in program.observed}
    flat = {
        site.name: torch.as_tensor(draws[site.name].reshape(-1, *draws[site.name].shape[2:])) for site in program.latent
    }
    total, width = num_rows(data, dims), max(1, chunk_values // len(next(iter(flat.values()))))
    for start in range(0, total, width):
        chunk = rows_of(data, dims, slice(start, start + width))
        found = log_likelihood(read(model, chunk), flat)
        table = by_row({name: values.numpy()[None] for name, values in found.items()})
        if table.shape[1] != min(width, total - start):
            raise InputError(program.name, "its rows have no densities of their own", "score it by groups of rows")
        yield table


def k_fold(
    model: Any,
    data: Data,
    settings: Any,
    folds: int = 10,
    seed: int = 0,
    num_threads: int = 1,
) -> np.ndarray:
    """Log predictive density of every row `(rows,)` from the fit to the folds that do not hold it.

    settings: a backend or its name. Folds are random and of equal size, up to one row. A covariate's standardisation
    stays that of all rows.
    """
    from experiments.criticism.scores import held_out
    from inference import fit
    from inference.program import read
    from inference.streams import stream, workspace

    with workspace(stream(seed, "folds")):
        program = read(model, data)
    refuse_tied(program)
    dims = {site.name: site.dims for site in program.observed}
    total = num_rows(data, dims)
    if not 2 <= folds <= total:
        raise InputError("folds", f"must be 2 to {total}, the number of rows, got {folds}", "choose another number")
    order = np.random.default_rng(stream(seed, "folds")).permutation(total)
    scores = np.empty(total)
    for number, left_out in enumerate(np.array_split(order, folds)):
        rest = np.setdiff1d(order, left_out)
        posterior = fit(model, rows_of(data, dims, rest), settings, seed=stream(seed, number), num_threads=num_threads)
        with workspace(stream(seed, "prediction")):
            chunks = log_likelihood_chunks(model, rows_of(data, dims, left_out), posterior.draws)
            scores[left_out] = held_out(chunks).pointwise
    return scores
