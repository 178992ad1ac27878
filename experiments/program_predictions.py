"""Predictions of a user's own program for new rows: replicated outcomes, their mean and their interval.

The program runs on the new rows with the fitted ones behind them, so that labels keep their codes, at the posterior's
draws. That predicts only where the new rows change nothing for the fitted ones: every parameter keeps its shape, and
the fitted outcomes their densities. Any other program is refused.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from experiments.config import Experiment, ProgramConfig
from experiments.datasets import joined
from experiments.prepare import from_program
from experiments.programs import load_program
from models.columns import Table, plain
from models.errors import InputError

REMEDY = "predictions need rows that depend on each other by the parameters alone"


def predict_program(
    experiment: Experiment, draws: Mapping[str, np.ndarray], fitted: Table | None, new: Table, mass: float
) -> dict[str, np.ndarray]:
    """`y mean`, `y lower`, `y upper` of every observed site, `(rows,)` each. InputError where the new rows lack a
    column or have a label that was not fitted, and for a program whose rows hang together."""
    import torch

    from inference.predict import log_likelihood, predictive, thin
    from inference.program import faults_of, read
    from inference.streams import stream, workspace

    config, outcomes = experiment.model, experiment.data.observed
    assert isinstance(config, ProgramConfig)
    if fitted is None or not all(name in fitted for name in outcomes):
        rule = "the outcomes are not columns of a file, so there is no row like a new one"
        raise InputError(experiment.model_name, rule, REMEDY)
    model = load_program(config, experiment.where)
    before = from_program(experiment, config, model, fitted, outcomes)
    columns = {}
    for name in [name for name in fitted.columns if name in {*before.inputs, *before.coords, *outcomes}]:
        # an outcome stands in for those to come: nothing may depend on it
        first = np.repeat(fitted.columns[name][:1], new.num_rows) if name in outcomes else new.column(name)
        columns[name] = joined(first, fitted.columns[name])
    after = from_program(experiment, config, model, Table(columns, new.origin, new.names), outcomes)
    for name, labels in before.coords.items():
        unseen = ~np.isin([str(plain(cell)) for cell in columns[name][: new.num_rows]], list(labels))
        new.refuse(name, unseen, "must be a label of the fitted rows", "fit rows of that label, or leave the row out")
    with workspace(stream(experiment.seed, "prediction"), experiment.num_threads), faults_of(model):
        old, longer = read(model, before), read(model, after)
        for site, again in zip(old.latent, longer.latent, strict=True):
            if site.shape != again.shape:
                rule = f"site `{site.name}` has a value for each fitted row, and so none for new ones"
                raise InputError(experiment.model_name, rule, REMEDY)
        kept = thin({site.name: draws[site.name] for site in old.latent}, len(outcomes) * len(columns[outcomes[0]]))
        rows = {name: torch.as_tensor(value.reshape(-1, *value.shape[2:])) for name, value in kept.items()}
        one = {name: value[:1] for name, value in rows.items()}
        alone, together = log_likelihood(old, one), log_likelihood(longer, one)
        for name, densities in alone.items():
            same = together[name][:, new.num_rows :]
            if same.shape != densities.shape or not torch.allclose(same, densities, rtol=1e-9, atol=1e-9):
                rule = f"new rows change the density of `{name}` at the fitted ones"
                raise InputError(experiment.model_name, rule, REMEDY)
        replicated = {name: values[:, : new.num_rows].numpy() for name, values in predictive(longer, rows).items()}
    found: dict[str, np.ndarray] = {}
    for name, outcome in replicated.items():
        lower, upper = np.quantile(outcome, [(1 - mass) / 2, (1 + mass) / 2], axis=0)
        found |= {f"{name} mean": outcome.mean(axis=0), f"{name} lower": lower, f"{name} upper": upper}
    return found
