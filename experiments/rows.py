"""Some of the rows of the data: the same program, cut along the axis that its observed sites share.

That is right where rows are independent given the parameters: no latent site has that axis. A row is one element of
the axis, which may be called otherwise: a sequence, a school.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from models.base import Data, Dims
from models.errors import InputError

REMEDY = "score it whole, or by groups of rows"


class Rows(NamedTuple):
    """The axis that observed sites share, what each of them has as axes, and how many rows there are."""

    axis: str
    dims: Dims
    total: int


def independent(program: Any, data: Data) -> Rows:
    """The rows of a program (`inference.program`); InputError where it has none that could be taken out."""
    if not program.observed:
        raise InputError(program.name, "nothing is observed", "name an observed site")
    first = program.observed[0]
    axis = first.dims[0] if first.dims else ""
    for site in program.observed:
        if site.dims[:1] != (axis,) or site.shape[0] != first.shape[0]:
            raise InputError(program.name, f"`{site.name}` has no axis in common with `{first.name}`", REMEDY)
    for site in (*program.latent, *program.discrete):
        if axis in site.dims:
            rule = f"`{site.name}` has a value for each {axis}: they are not independent"
            raise InputError(program.name, rule, REMEDY)
    return Rows(axis, {site.name: site.dims for site in program.observed}, first.shape[0])


def rows_of(data: Data, rows: Rows, chosen: np.ndarray | slice) -> Data:
    """The data with the chosen rows alone, by position or as a slice.

    Inputs are cut that have the axis in `data.dims`, or one called `row`; where these are silent (values written out in
    a config), all that have its length.
    """

    def is_cut(name: str, value: Any) -> bool:
        if not data.dims:
            return np.ndim(value) > 0 and len(value) == rows.total
        return bool({rows.axis, "row"} & set(data.dims.get(name, ())[:1]))

    count = len(np.arange(rows.total)[chosen])
    inputs = {name: value[chosen] if is_cut(name, value) else value for name, value in data.inputs.items()}
    inputs |= {"num_rows": count} if data.inputs.get("num_rows") == rows.total else {}
    observed = {name: np.asarray(value)[chosen] for name, value in data.observed.items()}
    coords = {
        dim: list(np.asarray(labels)[chosen]) if dim == rows.axis and len(labels) == rows.total else labels
        for dim, labels in data.coords.items()
    }
    return dataclasses.replace(data, inputs=inputs, observed=observed, coords=coords)


def split(model: Any, data: Data, kept: np.ndarray, seed: int) -> tuple[Data, Data]:
    """The data of the rows `kept (rows,)`, bool, and of the others. InputError where rows are not independent: where
    one has another density beside other rows."""
    import torch

    from inference.predict import log_likelihood, prior
    from inference.program import faults_of, read
    from inference.streams import workspace

    with workspace(seed), faults_of(model):
        program = read(model, data)
        rows = independent(program, data)
        parts = rows_of(data, rows, np.flatnonzero(kept)), rows_of(data, rows, np.flatnonzero(~kept))
        drawn = prior(program, 1)
        if not drawn:
            return parts
        latents = {site.name: drawn[site.name] for site in program.latent}
        whole = log_likelihood(program, latents)
        for part, chosen in zip(parts, (kept, ~kept), strict=True):
            for site, values in log_likelihood(read(model, part), latents).items():
                wanted = whole[site][:, torch.as_tensor(chosen)]
                if values.shape != wanted.shape or not torch.allclose(values, wanted, rtol=1e-9, atol=1e-9):
                    raise InputError(program.name, f"rows of `{site}` change the density of others", REMEDY)
    return parts
