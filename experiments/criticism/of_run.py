"""The criticism of every fit of a run, as the runner asks for it: statistics of the family, scores, checklist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.criticism.checklist import checklist
from experiments.criticism.criticise import criticise
from experiments.criticism.family_statistics import PLAIN, TEST_STATISTICS
from experiments.criticism.record import Criticism
from experiments.criticism.statistics import Context, Statistic
from experiments.criticism.user_statistics import load_statistic
from inference.streams import stream
from models.base import Data

if TYPE_CHECKING:
    from experiments.config import Experiment
    from experiments.results import Fit


def criticise_run(
    experiment: Experiment, model: Any, data: Data, fits: Mapping[str, Fit], prior: Mapping[str, np.ndarray]
) -> dict[str, Criticism]:
    """By backend. prior: prior draws of the latent sites, empty where a prior is no distribution."""
    statistics = statistics_of(experiment)
    found = {}
    for backend, fit in fits.items():
        replicated, likelihood = fit.posterior_predictive, fit.log_likelihood
        seed = stream(experiment.seed, "criticism")
        one = criticise(fit.posterior, replicated, likelihood, data, statistics, seed)
        items = checklist(model, experiment.model_name, data, fit.posterior, prior, replicated, likelihood, one)
        found[backend] = one._replace(checklist=tuple(items))
    return found


def statistics_of(experiment: Experiment) -> dict[str, Statistic]:
    """The family's statistics and the user's own; InputError where one of those cannot be loaded."""
    where = experiment.where("checks.statistics")
    own = [load_statistic(text, experiment.folder, where) for text in experiment.checks.statistics or ()]
    return {**TEST_STATISTICS.get(experiment.model_name, PLAIN), **dict(own)}


def try_statistics(experiment: Experiment, data: Data) -> None:
    """Compute the user's own statistics of the data once, before any sampler has spent minutes; InputError where one
    cannot be computed."""
    observed = {name: np.asarray(values, dtype=float)[None] for name, values in data.observed.items()}
    for name, statistic in statistics_of(experiment).items():
        if name not in TEST_STATISTICS.get(experiment.model_name, PLAIN):
            statistic.function(observed, Context(data, observed))
