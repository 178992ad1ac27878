"""Leaving observations out by a mask: the same program, in which some of what was observed counts for nothing.

Unlike a program of fewer rows it keeps its shapes and scales, and a latent site with a value for each row keeps those
of the rows left out, whose posterior is then what all other rows say of them.

What is left out or kept as one is a unit: one element of the leading axis of the observed sites (a row, a sequence, a
school). Sites whose leading axes have one length say something about the same units; several lengths follow each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from pyro.poutine.messenger import Messenger

from inference.predict import log_likelihood
from inference.program import Program
from inference.statements import prior_trace
from models.base import Starting


class Units(NamedTuple):
    """The units of a program's observed sites.

    first: position of the first unit by the length of a leading axis. shapes: of the observed sites' batches.
    """

    first: Mapping[int, int]
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def total(self) -> int:
        return sum(self.first)

    def masks(self, kept: np.ndarray) -> dict[str, np.ndarray]:
        """Which elements of every observed site count if the units `kept (total,)`, bool, do; of each site's batch
        rank."""
        found = {}
        for name, shape in self.shapes.items():
            length = shape[0] if shape else 1
            own = kept[self.first[length] : self.first[length] + length]
            found[name] = own.reshape((length, *[1] * (len(shape) - 1)) if shape else ())
        return found


def units_of(program: Program) -> Units | None:
    """The units in the order of `predict.log_likelihood`, whose densities they have; None where discrete sites tie
    units to each other."""
    nodes = prior_trace(program.model, program.inputs).nodes
    found = log_likelihood(program, {site.name: nodes[site.name]["value"].detach()[None] for site in program.latent})
    first: dict[int, int] = {}
    for values in found.values():
        first.setdefault(values.shape[1] if values.dim() > 1 else 1, sum(first))
    observed = [site.name for site in program.observed]
    shapes = {name: tuple(program.values[name].shape[: axes_of_batch(nodes[name])]) for name in observed}
    return Units(first, shapes) if first.keys() == {shape[0] if shape else 1 for shape in shapes.values()} else None


def axes_of_batch(node: Mapping[str, Any]) -> int:
    return int(node["value"].dim() - node["fn"].event_dim)


class Kept:
    """A model under which observed sites count where `masks` says so, and nowhere else; in all else the model itself.

    masks: by observed site, bool, which broadcast to the sites' batches; they go with what the program itself masks.
    """

    def __init__(self, model: Any, masks: Mapping[str, np.ndarray]) -> None:
        self.__wrapped__ = model  # which gives it the model's name, arguments and dims
        self.masks = masks
        if isinstance(model, Starting):
            self.starts = model.starts

    def __call__(self, *args: Any, **inputs: Any) -> Any:
        with Masked(self.masks):
            return self.__wrapped__(*args, **inputs)


class Masked(Messenger):
    """Masks sites by their names."""

    def __init__(self, masks: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self.masks = masks

    def _pyro_sample(self, site: Any) -> None:
        if site["name"] in self.masks:
            own = torch.as_tensor(self.masks[site["name"]])
            site["mask"] = own if site["mask"] is None else own & site["mask"]
