"""The criticism of every fit of a run, as the runner asks for it: statistics of the family, scores, checklist."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.criticism.checklist import checklist
from experiments.criticism.criticise import criticise, only_site
from experiments.criticism.family_statistics import PLAIN, TEST_STATISTICS
from experiments.criticism.pointwise import ENOUGH_DRAWS, Chunk, Pointwise, chunks
from experiments.criticism.record import Criticism
from experiments.criticism.refits import Refit, k_fold, leave_future_out, series_after, units_in, without_bad
from experiments.criticism.scores import Loo
from experiments.criticism.statistics import SURPRISING, Context, Statistic
from experiments.criticism.unseen import score_unseen
from experiments.criticism.user_statistics import load_statistic
from experiments.rows import split
from experiments.settings import Scores, memory_bytes
from inference.progress import Progress, silent
from inference.settings import Backend
from inference.streams import stream, workspace
from models.base import Data
from models.errors import InputError

if TYPE_CHECKING:
    from experiments.config import Experiment
    from experiments.results import Fit

MOST_DRAWS = 1000  # whose log likelihoods leave rows out
MOST_WEIGHTS = 100_000_000  # of draws for all rows, unless these are less than ENOUGH_DRAWS each
COPIES = 100  # of a chunk's log densities that a program and the weights of its draws have in memory


def criticise_run(
    experiment: Experiment,
    model: Any,
    data: Data,
    fits: Mapping[str, Fit],
    prior: Mapping[str, np.ndarray],
    unseen: Data | None = None,
    doubted: Collection[str] = (),
    progress: Progress = silent,
) -> dict[str, Criticism]:
    """By backend. prior: prior draws of the latent sites, empty where a prior is no distribution. unseen: rows that
    were kept from the fits. doubted: backends whose checks have failed."""
    return {
        backend: criticise_fit(experiment, backend, model, data, fit, prior, unseen, backend in doubted, progress)
        for backend, fit in fits.items()
    }


def criticise_fit(
    experiment: Experiment,
    backend: str,
    model: Any,
    data: Data,
    fit: Fit,
    prior: Mapping[str, np.ndarray],
    unseen: Data | None,
    doubted: bool,
    progress: Progress,
) -> Criticism:
    """The same of one backend's fit, with the further fits that its scores need. doubted: its checks have failed, and
    no further fit is worth its time unless asked for."""
    settings, checks = experiment.inference[backend], experiment.checks
    seed, threads = stream(experiment.seed, "criticism"), experiment.num_threads

    def watch(task: str, done: int, total: int, note: str = "") -> None:
        progress(f"{backend}, {task}", done, total, note)

    def mend(score: Loo) -> Loo:
        if experiment.scores.k_fold != "auto" or doubted:
            return score
        try:
            return without_bad(model, data, settings, score, seed, threads, watch)
        except InputError:
            return score  # rows that cannot be left out, or no posterior without them: k-hat tells of them

    replicated, likelihood = fit.posterior_predictive, fit.log_likelihood
    least = SURPRISING if checks.min_p_value is None else checks.min_p_value  # a check switched off leaves the sentence
    binary = is_boolean(model, data)

    def scored(large: Pointwise | None) -> Criticism:
        own = statistics_of(experiment)
        return criticise(fit.posterior, replicated, likelihood, data, own, seed, least, model, mend, large, binary)

    # no fault of a score may lose the fit that it is of
    try:
        found = scored(too_large(experiment, model, data, fit, binary))
    except InputError as error:
        found = scored(None)
        if found.loo is None:
            found = found._replace(told={**found.told, "scores": f"Rows could not be left out: {error.rule}."})
    try:
        found = found._replace(refit=refitted(experiment.scores, model, data, settings, seed, threads, watch))
        if unseen is not None:
            width = memory_bytes(experiment.max_memory) // (8 * COPIES)
            scores = score_unseen(model, unseen, fit.posterior, seed, threads, width, binary)
            found = found._replace(held_out=scores)
    except InputError as error:  # a backend that refuses fewer rows, or has no draws to weigh
        told = f"{found.told['scores']} Other scores could not be had: {error.rule}."
        found = found._replace(told={**found.told, "scores": told})
    items = checklist(model, experiment.model_name, data, fit.posterior, prior, replicated, likelihood, found)
    return found._replace(checklist=tuple(items))


def is_boolean(model: Any, data: Data) -> bool:
    """Whether the one observed site is 0 or 1 by its distribution: counts that happen to be such are not."""
    from pyro.distributions import constraints

    from inference.program import faults_of, read

    with workspace(0), faults_of(model):
        observed = read(model, data).observed
    return len(observed) == 1 and observed[0].support is constraints.boolean


def too_large(experiment: Experiment, model: Any, data: Data, fit: Fit, binary: bool) -> Pointwise | None:
    """Log likelihoods by row, computed a chunk at a time, where memory holds those of too few draws; None where it
    holds enough, or where rows are not independent."""
    from inference.predict import thin
    from inference.program import faults_of

    log_likelihood, posterior = fit.log_likelihood, fit.posterior
    stored = [values.shape[0] * values.shape[1] for values in log_likelihood.values()]
    if not stored or stored[0] >= min(ENOUGH_DRAWS, posterior.num_draws):
        return None
    seed, width = stream(experiment.seed, "rows"), memory_bytes(experiment.max_memory) // (8 * COPIES)
    site = only_site(data, log_likelihood, fit.posterior_predictive)
    numeric = site is not None and not binary
    rows = max(np.shape(values)[0] if np.ndim(values) else 1 for values in data.observed.values())
    draws = thin(posterior.draws, 1, int(np.clip(MOST_WEIGHTS // rows, ENOUGH_DRAWS, MOST_DRAWS)))

    def of_program() -> Iterator[Chunk]:
        with workspace(seed, experiment.num_threads), faults_of(model):
            for chunk in chunks(model, data, draws, width, numeric):
                if not np.isfinite(chunk.log_likelihood).all():
                    raise InputError("scores", "a row has no finite log likelihood under some draws", "leave it out")
                yield chunk

    try:
        split(model, data, np.arange(rows) < rows // 2, seed)
    except InputError:
        return None
    return Pointwise({name: values.reshape(-1, *values.shape[2:]) for name, values in draws.items()}, of_program)


def try_scores(experiment: Experiment, model: Any, data: Data) -> None:
    """InputError, before any sampler has spent minutes, where the rows are not such as the config asks to leave out."""
    scores, seed = experiment.scores, experiment.seed
    try:
        if isinstance(scores.k_fold, int) and scores.future_from is not None:
            raise InputError("scores.future_from", "there is `k_fold`, too", "keep one of the two in a run")
        if isinstance(scores.k_fold, int):
            units_in(scores.k_fold, model, data, seed)
        if scores.future_from is not None:
            series_after(scores.future_from, model, data, seed)
    except InputError as error:
        raise InputError(experiment.where(error.where), error.rule, error.remedy) from error


def refitted(
    scores: Scores, model: Any, data: Data, settings: Backend, seed: int, threads: int, progress: Progress
) -> Refit | None:
    """The scores by further fits that the config asks for."""
    if scores.future_from is not None:
        return leave_future_out(model, data, settings, scores.future_from, seed, threads, progress)
    if isinstance(scores.k_fold, int):
        return k_fold(model, data, settings, scores.k_fold, seed, threads, progress)
    return None


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
