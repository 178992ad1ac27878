"""What a model is and what it is given: the Model protocol, the Data record, and the names of every axis."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from models.columns import Column, Table

Dims = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Data:
    """What a program is run on and conditioned on, as named arrays.

    inputs: the program's arguments by name (arrays, numbers); covariates, labels, sizes.
    observed: values of the observed sites by site name.
    coords: labels along a dimension, by dimension name.
    dims: dimensions of inputs (and of a user program's sites) by name.
    """

    inputs: Mapping[str, Any] = field(default_factory=dict)
    observed: Mapping[str, np.ndarray] = field(default_factory=dict)
    coords: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    dims: Dims = field(default_factory=dict)


class Model(Protocol):
    """Hyperparameters that are a Pyro program when called with the data's inputs; it never mentions observed values.

    dims names the axes of every site, latent, deterministic and observed.
    """

    dims: ClassVar[Dims]

    def __call__(self, *args: Any, **inputs: Any) -> Any: ...


class Family(Model, Protocol):
    """A model of the zoo: it also declares the columns it takes and its outcomes, and turns a table into data.

    outcomes: the sites that data are observed at.
    """

    columns: ClassVar[tuple[Column, ...]]
    outcomes: ClassVar[tuple[str, ...]]

    def data(self, table: Table, *, observed: bool = True) -> Data:
        """Check the table's columns and name them as the program's inputs and observed sites.

        observed=False leaves the outcome out: for a prior draw, or for rows to predict.
        """
        ...


class Story(NamedTuple):
    """A model told to a person: a sentence, its generative block as in the docstring, and the paragraphs after it."""

    sentence: str
    block: str
    notes: tuple[str, ...]


def story(model: Any) -> Story:
    """The story that a model's docstring tells (a family's: its module's; a user's: the class's or function's own)."""
    kind = model if inspect.isroutine(model) or inspect.isclass(model) else type(model)
    own = sys.modules[kind.__module__].__doc__ if kind.__module__.startswith("models.") else kind.__doc__
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(own or ""))
    indented = [text.startswith("    ") for text in paragraphs]
    first = indented.index(True) if True in indented else len(paragraphs)
    notes = tuple(
        inspect.cleandoc(text) if deep else " ".join(text.split())
        for text, deep in zip(paragraphs, indented, strict=True)
    )
    block = inspect.cleandoc(paragraphs[first]) if first < len(paragraphs) else ""
    return Story(notes[0], block, notes[first + 1 :])
