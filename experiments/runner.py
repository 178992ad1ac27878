"""An experiment, end to end: data, prior, every backend's posterior, predictions, checks, agreement, run folder,
report."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import run_folder
from experiments.agreement import compare, trusted
from experiments.checks import judge, judge_criticism
from experiments.config import Experiment, ProgramConfig
from experiments.criticism.of_run import criticise_run, try_scores, try_statistics
from experiments.criticism.pointwise import ENOUGH_DRAWS
from experiments.criticism.prior_check import prior_check
from experiments.derived import finish
from experiments.finished import choose
from experiments.predictions import fitted_rows, of_experiment
from experiments.prepare import Prepared, digest, prepare
from experiments.report import build
from experiments.results import Fit, Result
from experiments.settings import memory_bytes
from inference import fit
from inference.estimates import estimates
from inference.posterior import Posterior
from inference.predict import log_likelihood, predictive, prior, thin
from inference.program import Program, faults_of, read
from inference.progress import Progress, silent
from inference.streams import stream, workspace
from models.base import Story, story
from models.columns import Table

if TYPE_CHECKING:
    import pandas as pd

PRIOR_DRAWS = 1000
TABLES = 14  # generated data, log likelihoods and what is made of them, as many as may be there at one time
UNTOLD = ("elbo", "estimates")  # facts for the report alone
PACKAGES = ("pyrozoo", "torch", "pyro-ppl", "arviz", "numpy", "scipy", "pandas", "formulaic")


@dataclass(frozen=True, repr=False)
class Run:
    """A finished run: where its folder is, and everything that came of it. Shows its posterior table in a notebook."""

    path: Path
    result: Result

    def arviz(self, backend: str | None = None) -> Any:
        """A backend's fit (the first one's by default) as ArviZ has it, with predictions, prior and log likelihood."""
        return run_folder.tree(self.result, self.result.fits[backend or next(iter(self.result.fits))])

    def predict(
        self, rows: str | Path | Table | Mapping[str, Any], backend: str | None = None, mass: float = 0.9
    ) -> pd.DataFrame:
        """Means, intervals and probabilities for new rows (a file, or columns by name), a row each; see
        `experiments.predictions`."""
        experiment = self.result.experiment
        chosen = choose(backend, list(self.result.fits))
        draws = self.result.fits[chosen].posterior.draws
        fitted = fitted_rows(experiment, self.result.manifest["data"], experiment.name)
        return of_experiment(experiment, draws, fitted, rows, chosen, mass).frame()

    def __repr__(self) -> str:
        return f"Run({self.result.experiment.name}: {self.result.verdict})"

    def _repr_html_(self) -> str:
        from experiments.report import table_html

        return table_html(self.result)


def run(experiment: Experiment, out: str | Path | None = None, progress: Progress = silent) -> Run:
    """Run an experiment and leave its folder behind (`out`, or the next free `runs/<name>`); InputError leaves
    nothing."""
    prepared = prepare(experiment)
    try_statistics(experiment, prepared.data)
    try_scores(experiment, prepared.model, prepared.data)
    with run_folder.new_folder(None if out is None else Path(out), experiment.name) as folder:
        # exact first: it refuses at once what it cannot serve, before any sampler has spent minutes
        order = sorted(experiment.inference, key=lambda name: name != "exact")
        posteriors = {
            name: fit(
                prepared.model,
                prepared.data,
                experiment.inference[name],
                seed=experiment.seed,
                num_threads=experiment.num_threads,
                progress=progress,
            )
            for name in order
        }
        result = conclude(experiment, prepared, {name: posteriors[name] for name in experiment.inference}, progress)
        run_folder.write(result, folder.work)
        build(result, folder.work)
    return Run(folder.final, result)


def conclude(
    experiment: Experiment, prepared: Prepared, posteriors: Mapping[str, Posterior], progress: Progress = silent
) -> Result:
    """Labels aligned and quantities added; predictions, checks, agreement and criticism of the posteriors."""
    truth = prepared.truth
    if not isinstance(experiment.model, ProgramConfig):
        posteriors, truth = finish(experiment.model, prepared.data, posteriors, truth)
    with workspace(stream(experiment.seed, "prediction"), experiment.num_threads), faults_of(prepared.model):
        program = read(prepared.model, prepared.data)
        most = memory_bytes(experiment.max_memory) // (8 * TABLES)
        before = {name: value.numpy()[None] for name, value in prior(program, PRIOR_DRAWS, most // 4).items()}
        fits = {name: predict(program, posterior, most) for name, posterior in posteriors.items()}
    checks = [
        check for name, found in fits.items() for check in judge(found.posterior, found.summary, experiment.checks)
    ]
    doubted = {check.backend for check in checks if not check.passed}
    observed = prepared.data.observed
    unseen = {name: draws for name, draws in before.items() if name not in observed}
    generated = {name: draws for name, draws in before.items() if name in observed}
    criticism = criticise_run(
        experiment, prepared.model, prepared.data, fits, unseen, prepared.held_out, doubted, progress
    )
    checks += judge_criticism(criticism, experiment.checks)
    return Result(
        experiment=experiment,
        story=told(prepared.model, program),
        data=prepared.data,
        fits=fits,
        prior=unseen,
        prior_predictive=generated,
        checks=tuple(checks),
        agreement=compare(fits),
        manifest=manifest(experiment, prepared, posteriors),
        truth=truth,
        criticism=criticism,
        prior_findings=tuple(prior_check(prepared.data, generated)),
        estimates=estimates(
            prepared.model,
            prepared.data,
            experiment.seed,
            experiment.num_threads,
            near=fits[trusted(fits)].posterior.draws,
        ),
    )


def told(model: Any, program: Program) -> Story:
    """The model's own story; a program that tells none has its sites listed instead."""
    own = story(model)
    sites = [(site, "~ " + site.distribution) for site in program.latent]
    sites += [(site, f"~ {site.distribution}, summed out") for site in program.discrete]
    sites += [(site, "computed") for site in program.deterministic]
    sites += [(site, f"~ {site.distribution}, observed") for site in program.observed]
    names = [site.name + (f"[{', '.join(site.dims)}]" if site.dims else "") for site, _ in sites]
    lines = [f"{name:<{max(map(len, names))}}  {rule}" for name, (_, rule) in zip(names, sites, strict=True)]
    return own if own.block else own._replace(block="\n".join(lines))


def predict(program: Program, posterior: Posterior, most_values: int) -> Fit:
    """A posterior with replicated data and pointwise log likelihood, for all draws or as many as `most_values` numbers
    allow. Where those are too few to leave rows out, log likelihoods have a quarter of them."""
    latents = {site.name: posterior.draws[site.name] for site in program.latent}
    numbers = sum(int(np.prod(site.shape)) for site in program.observed)
    kept = thin(latents, numbers, most_values)
    few = kept
    if posterior.num_draws > ENOUGH_DRAWS > num_draws(kept):
        few = thin(kept, numbers, most_values // 4)
    replicated, likelihood = (
        by_chain(run(program, in_one_row(draws)), draws) for run, draws in ((predictive, kept), (log_likelihood, few))
    )
    return Fit(posterior, posterior.summary(), replicated, likelihood)


def num_draws(draws: Mapping[str, np.ndarray]) -> int:
    chains, each = next(iter(draws.values())).shape[:2]
    return int(chains * each)


def in_one_row(draws: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Draws `(chain, draw, *shape)` of all chains one after the other, as tensors."""
    import torch

    return {name: torch.as_tensor(value.reshape(-1, *value.shape[2:])) for name, value in draws.items()}


def by_chain(rows: Mapping[str, Any], draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inverse, for what was computed of `draws`."""
    shape = next(iter(draws.values())).shape[:2]
    return {name: value.numpy().reshape(*shape, *value.shape[1:]) for name, value in rows.items()}


def manifest(experiment: Experiment, prepared: Prepared, posteriors: Mapping[str, Posterior]) -> dict[str, Any]:
    """Where the run comes from and what it took."""
    config = experiment.data
    source = "simulated" if config.simulate else config.bundled or config.path or "values"
    return {
        "name": experiment.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "pyrozoo " + " ".join(sys.argv[1:]) if Path(sys.argv[0]).name == "pyrozoo" else None,
        "seed": experiment.seed,
        "num_threads": experiment.num_threads,
        "versions": {"python": sys.version.split()[0], **{name: version(name) for name in PACKAGES}},
        "data": {
            "source": source,
            "sha256": digest(experiment),
            "rows": prepared.num_rows,
        },
        "backends": {
            name: {
                "seconds": dict(posterior.seconds),
                **{key: value for key, value in posterior.facts.items() if key not in UNTOLD},
            }
            for name, posterior in posteriors.items()
        },
    }
