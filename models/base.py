"""What a model is and what it is given: the Model protocol, the Data record, and the names of every axis."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

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


@runtime_checkable
class Starting(Protocol):
    """A model that knows where to start: one whose density has modes in which chains that start anywhere stay."""

    def starts(self, data: Data, rng: np.random.Generator) -> Mapping[str, np.ndarray]:
        """One start: values of some latent sites, in their supports; all other sites start at random."""
        ...


@runtime_checkable
class Sequential(Protocol):
    """A family of sequences in time, whose observations depend on those before them. Its observed sites have the axes
    `(sequence, time, ...)`."""

    def until(self, data: Data, steps: int) -> Data:
        """The same data with all that comes after the first `steps` times missing; every shape stays."""
        ...

    def one_step_ahead(self, draws: Mapping[str, np.ndarray], data: Data) -> np.ndarray:
        """log p(observations at t | those of the same sequence before t, parameters), `(chain * draw, sequence,
        time)`, 0 where nothing is observed; its sum over the times is the sequence's log likelihood.

        draws: `(chain, draw, *shape)` by site.
        """
        ...


class Quantities(NamedTuple):
    """Functions of the draws by name, each `(chain, draw, *shape)`, with the names of their axes and labels along them.

    Every number is finite, and no name is a site's. A single number needs no dims. An axis without labels counts from
    0; one that the data label needs no labels again.
    """

    draws: Mapping[str, np.ndarray] = {}
    dims: Dims = {}
    coords: Mapping[str, Sequence[Any]] = {}


class Family(Model, Protocol):
    """A model of the zoo: it also declares the columns it takes and its outcomes, turns a table into data, and makes
    predictions for rows of another.

    outcomes: the sites that data are observed at.
    exchangeable: the axis whose labels are arbitrary (`component`, `state`), None where there is none. Draws of all
    sites that have it are brought to one labelling before anything is said of them.
    """

    columns: ClassVar[tuple[Column, ...]]
    outcomes: ClassVar[tuple[str, ...]]
    exchangeable: ClassVar[str | None]

    def data(self, table: Table, *, observed: bool = True) -> Data:
        """Check the table's columns and name them as the program's inputs and observed sites.

        observed=False leaves the outcome out: for a prior draw, or for rows to predict.
        """
        ...

    def quantities(self, draws: Mapping[str, np.ndarray], data: Data) -> Quantities:
        """What a reader asks of the parameters beside themselves: contrasts, effects, sizes; a line each in every
        table. Where labels are arbitrary, quantities do not depend on them.

        draws: every site's draws `(chain, draw, *shape)`, their labels aligned. data: what they were fitted to.
        """
        ...

    def predict(
        self, draws: Mapping[str, np.ndarray], fitted: Table, table: Table, mass: float = 0.9
    ) -> dict[str, np.ndarray]:
        """What the draws say of every row of `table`: columns of numbers or labels `(rows,)` by their name in a CSV
        file, `mean`, `lower`, `upper`, `P(class=ham)`, `state`.

        draws: `(chain, draw, *shape)` by site. fitted: the table that they were fitted to, from which levels, scales
        and the columns of formulas come; its outcome may be absent. table: new rows; their outcome may be absent.
        mass: what the intervals hold, between 0 and 1. InputError names the column and row that cannot be predicted.
        """
        ...


@runtime_checkable
class ExactQuantities(Protocol):
    """A family whose quantities have known distributions where the posterior has a closed form."""

    def exact_quantities(self, marginals: Mapping[str, Any], data: Data) -> Mapping[str, Any]:
        """Marginals (with mean, std, ppf and pdf) of some quantities by name, from those of the sites."""
        ...


@runtime_checkable
class Remarking(Protocol):
    """A family that sees what a reader must be told beside the numbers."""

    def remarks(self, draws: Mapping[str, np.ndarray], data: Data) -> Sequence[str]:
        """Sentences about this fit: what a sign means, what the data cannot tell; empty where there is nothing."""
        ...


@runtime_checkable
class Classifying(Model, Protocol):
    """A model that gives probabilities to the classes of its outcome `y`, where its data have the input
    `num_classes`. Sites along the axis `row` are of the rows that have a class."""

    def class_log_joint(self, draws: Mapping[str, np.ndarray], data: Data, rows: slice) -> np.ndarray:
        """log p(class, features of the row | parameters), `(draws, rows, classes)`, up to a number for each row. A
        model of the class given the features has log p(class | features, parameters).

        draws: `(draws, *shape)` by site. rows: some of those that have a class.
        """
        ...


@runtime_checkable
class Unbounded(Protocol):
    """A family that knows of a likelihood without a maximum."""

    def no_maximum(self, data: Data) -> str:
        """Why the likelihood grows without bound whatever the data, in one sentence; empty where it may not."""
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
