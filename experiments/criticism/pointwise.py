"""Log likelihoods by row, a chunk of rows at a time, so that memory holds one chunk alone.

Where those of all rows lie in memory, chunks are views of them. Where they cannot, a chunk is computed from the same
program with some of its rows (`experiments.rows`), which must be independent given the parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.criticism.scores import by_row
from experiments.rows import REMEDY, independent, rows_of
from models.base import Data
from models.errors import InputError

ENOUGH_DRAWS = 400  # in memory, so that rows are left out by these
CHUNK_VALUES = 2_000_000  # log densities in one chunk, 16 MB; a program needs some ten times that to compute them


class Chunk(NamedTuple):
    """Consecutive rows: which of all, the log likelihood of each under every draw `(draws, rows)`, and, where asked for
    and the outcome is one number a row, as many generated outcomes."""

    rows: slice
    log_likelihood: np.ndarray
    replicated: np.ndarray | None = None


class Pointwise(NamedTuple):
    """Log likelihoods of all rows. draws: of the parameters that they are under, `(draws, *shape)` by site; chunks:
    gives them from the first row on, each time that it is called."""

    draws: Mapping[str, np.ndarray]
    chunks: Callable[[], Iterator[Chunk]]

    def tables(self) -> Iterator[np.ndarray]:
        """The log likelihoods of the chunks, `(draws, rows)` each."""
        return (chunk.log_likelihood for chunk in self.chunks())


def in_memory(
    draws: Mapping[str, np.ndarray], log_likelihood: Mapping[str, np.ndarray], replicated: np.ndarray | None = None
) -> Pointwise:
    """Of arrays by site, `(chain, draw, *shape)`. draws: of the posterior, which may be more, evenly spaced
    (`inference.predict.thin`). replicated: generated outcomes, one a row."""
    table = by_row(log_likelihood)
    kept = next(iter(log_likelihood.values())).shape[1]
    copies = None if replicated is None else spaced(replicated, kept).reshape(table.shape)
    width = max(1, CHUNK_VALUES // len(table))

    def chunks() -> Iterator[Chunk]:
        for start in range(0, table.shape[1], width):
            part = slice(start, min(start + width, table.shape[1]))
            yield Chunk(part, table[:, part], None if copies is None else copies[:, part])

    few = {name: spaced(values, kept) for name, values in draws.items()}
    return Pointwise({name: values.reshape(-1, *values.shape[2:]) for name, values in few.items()}, chunks)


def spaced(values: np.ndarray, kept: int) -> np.ndarray:
    """As many draws of `(chain, draw, *shape)`, evenly spaced as `inference.predict.thin` has them."""
    return values[:, np.linspace(0, values.shape[1] - 1, kept).round().astype(int)]


def chunks(
    model: Callable[..., Any],
    data: Data,
    draws: Mapping[str, np.ndarray],
    chunk_values: int = CHUNK_VALUES,
    replicate: bool = False,
) -> Iterator[Chunk]:
    """Chunks of rows with all `draws`, latent sites `(chain, draw, *shape)`; use inside one `workspace`.

    InputError where rows are not independent.
    """
    import torch

    from inference.predict import log_likelihood, predictive
    from inference.program import read

    program = read(model, data)
    rows = independent(program, data)
    flat = {site.name: torch.as_tensor(draws[site.name].reshape(-1, *site.shape)) for site in program.latent}
    width = max(1, chunk_values // len(next(iter(flat.values()))))
    for start in range(0, rows.total, width):
        part = slice(start, min(start + width, rows.total))
        own = read(model, rows_of(data, rows, part))
        table = by_row({name: values.numpy()[None] for name, values in log_likelihood(own, flat).items()})
        if table.shape[1] != part.stop - part.start:
            raise InputError(program.name, "its rows have no densities of their own", REMEDY)
        copies = [values.numpy() for values in predictive(own, flat).values()] if replicate else []
        yield Chunk(part, table, copies[0] if len(copies) == 1 and copies[0].shape == table.shape else None)
