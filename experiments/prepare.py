"""From a validated config to what inference takes: the model, its data, and, where they were simulated, the truth."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.config import DataConfig, Experiment, ProgramConfig
from experiments.datasets import behind, load_table, sha256, simulate_table
from experiments.programs import load_program, program_data
from inference.streams import stream
from models.base import Data, Family
from models.columns import Table
from models.errors import InputError

if TYPE_CHECKING:
    from experiments.settings import SimulateConfig


class Prepared(NamedTuple):
    """model: the program, called with `data.inputs`. truth: simulated parameters by site, empty for real data.
    num_rows: rows of the table that the data are from. held_out: rows that are kept from the fit, None for none."""

    model: Any
    data: Data
    truth: Mapping[str, np.ndarray]
    num_rows: int = 0
    held_out: Data | None = None


def prepare(experiment: Experiment) -> Prepared:
    """Load and check the data against the model; InputError names file, column and row. No inference."""
    simulate = experiment.data.simulate
    table = read_table(experiment)
    if isinstance(experiment.model, ProgramConfig):
        model = load_program(experiment.model, experiment.where)
        outcomes = experiment.data.observed
        if not outcomes:
            raise InputError(experiment.where("data"), "names no observed site", "add for instance `observed: [y]`")
        data = from_program(experiment, experiment.model, model, table, [] if simulate else outcomes)
    else:
        assert table is not None
        model, outcomes = experiment.model, list(experiment.model.outcomes)
        data = from_family(experiment, experiment.model, table)
    prepared = Prepared(model, data, {})
    if simulate is not None:
        named = isinstance(experiment.model, ProgramConfig)
        prepared = simulated(model, data, outcomes, named, simulate, stream(experiment.seed, "data"), experiment.where)
    if isinstance(experiment.model, ProgramConfig):
        refuse_misfit(model, prepared.data, experiment.where)
    prepared = prepared._replace(num_rows=num_rows(prepared.data) if table is None else table.num_rows)
    return prepared if experiment.scores.holdout is None else held_out(experiment, prepared)


def held_out(experiment: Experiment, prepared: Prepared) -> Prepared:
    """The rows that `scores.holdout` names kept from the fit: a random share of them, or those of its file.

    Levels, scales and the columns of formulas are those of all rows, held-out ones too.
    """
    from experiments.rows import split

    holdout, where = experiment.scores.holdout, experiment.where("scores.holdout")
    total = max((len(values) for values in prepared.data.observed.values() if values.ndim), default=0)
    if total < 2:
        raise InputError(where, "there is one observation, and none can be held out", "set `scores.future_from`")
    kept = np.ones(total, dtype=bool)
    if isinstance(holdout, str):
        more = further_rows(experiment)
        assert more is not None
        if total != prepared.num_rows:
            raise InputError(where, "a row of the file is not an observation of its own", "hold out a share instead")
        kept[total - more.num_rows :] = False
    else:
        assert holdout is not None
        order = np.random.default_rng(stream(experiment.seed, "holdout")).permutation(total)
        kept[order[: round(holdout * total)]] = False
    if kept.all() or not kept.any():
        raise InputError(where, f"leaves {kept.sum()} rows to fit of {total}", "hold out another share")
    try:
        data, rest = split(prepared.model, prepared.data, kept, stream(experiment.seed, "holdout"))
    except InputError as error:
        raise InputError(where, error.rule, "set `scores.k_fold`, which keeps the model whole") from error
    return prepared._replace(data=data, held_out=rest, num_rows=int(kept.sum()))


def num_rows(data: Data) -> int:
    """Rows of data that no table holds: of the longest observed site, else what the inputs say."""
    lengths = [len(value) for value in data.observed.values() if value.ndim]
    return max(lengths, default=int(data.inputs.get("num_rows", len(data.observed))))


def refuse_misfit(model: Callable[..., Any], data: Data, where: Callable[[str], str]) -> None:
    """Run a user's program once: its arguments, sites and shapes must fit the data. A family's always do."""
    from inference.program import faults_of, read
    from inference.streams import workspace

    try:
        with workspace(0), faults_of(model):
            read(model, data)
    except InputError as error:
        if ".py:" in error.where:
            raise  # it names the program's own line
        raise InputError(where("model.program"), f"{error.where}: {error.rule}", error.remedy) from error


def read_table(experiment: Experiment) -> Table | None:
    """The rows as columns; None for a program whose data are all inline values, which need not be columns."""
    config = experiment.data
    inline = isinstance(experiment.model, ProgramConfig) and config.path is None and config.bundled is None
    if isinstance(experiment.scores.holdout, str) and (config.simulate is not None or inline):
        where = experiment.where("scores.holdout")
        raise InputError(where, "a file goes with rows that are a table themselves", "hold out a share of them")
    if config.simulate is not None:
        return simulate_table(config.simulate, stream(experiment.seed, "covariates"))
    if inline:
        return None
    if isinstance(experiment.model, ProgramConfig):
        config = dataclasses.replace(config, values=None)
    table = load_table(config, experiment.folder, experiment.where)
    more = further_rows(experiment)
    return table if more is None else behind(table, more)


def further_rows(experiment: Experiment) -> Table | None:
    """The rows of the file that `scores.holdout` names; None where it names none."""
    holdout = experiment.scores.holdout
    if not isinstance(holdout, str):
        return None
    config = DataConfig(path=holdout, columns=experiment.data.columns)
    return load_table(config, experiment.folder, lambda key: experiment.where("scores.holdout"))


def digest(experiment: Experiment) -> str:
    """SHA-256 of everything that the data were read from."""
    return sha256(experiment.data, experiment.folder, experiment.scores.holdout)


def from_family(experiment: Experiment, family: Family, table: Table) -> Data:
    """The family's data; names on the left of `data.columns` are the family's words, or a formula's."""
    with located(experiment.where):
        return family.data(table, observed=experiment.data.simulate is None)


@contextmanager
def located(where: Callable[[str], str]) -> Iterator[None]:
    """A family names the setting that is wrong; the config's file and line are added here."""
    try:
        yield
    except InputError as error:
        if error.where.startswith("model."):
            raise InputError(where(error.where), error.rule, error.remedy) from error
        raise


def from_program(
    experiment: Experiment, config: ProgramConfig, model: Callable[..., Any], table: Table | None, outcomes: list[str]
) -> Data:
    """The program's data; a function's settings are inputs like the others, a class has taken its own already."""
    settings = config.settings if inspect.isroutine(model) else {}
    named, values = experiment.data.columns, experiment.data.values or {}
    return program_data(model, table, values, settings, outcomes, named, experiment.where)


def simulated(
    model: Any,
    data: Data,
    outcomes: list[str],
    named: bool,
    simulate: SimulateConfig,
    seed: int,
    where: Callable[[str], str],
) -> Prepared:
    """One prior draw, with the sites of `simulate.truth` fixed: its outcomes become the data, the rest is the truth.

    named: the user named the outcomes, so each must be there; a family has those that its columns stand for.
    """
    from inference.predict import draw_once
    from inference.program import faults_of
    from inference.streams import workspace

    with workspace(seed), faults_of(model):
        drawn = draw_once(model, data, simulate.truth, where("data.simulate.truth"))
    for name in outcomes:
        if named and name not in drawn:
            raise InputError(where("data.observed"), f"there is no site `{name}`", f"sites: {', '.join(drawn)}")
    observed = {name: drawn.pop(name) for name in outcomes if name in drawn}
    return Prepared(model, dataclasses.replace(data, observed=observed), drawn)
