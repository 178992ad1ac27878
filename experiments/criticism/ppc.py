"""Predictive checks of a finished run, with further statistics where asked: `ppc("runs/coin_flips")`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.config import load_experiment
from experiments.criticism.family_statistics import PLAIN, TEST_STATISTICS
from experiments.criticism.prior_check import PriorFinding, prior_check
from experiments.criticism.prior_check import verdict as of_priors
from experiments.criticism.statistics import SURPRISING, Finding, findings, verdict
from experiments.criticism.user_statistics import load_statistic
from experiments.finished import choose, groups, manifest
from experiments.prepare import digest, prepare
from models.errors import InputError


class Checked(NamedTuple):
    """findings: statistics of the data among generated ones. priors: what the priors generate, where asked."""

    findings: tuple[Finding, ...]
    priors: tuple[PriorFinding, ...]
    verdict: str

    @property
    def passed(self) -> bool:
        return not any(finding.surprising for finding in self.findings) and not any(one.flagged for one in self.priors)


def ppc(folder: str | Path, own: Sequence[str] = (), prior: bool = False, backend: str | None = None) -> Checked:
    """Check the data against data that the fitted model, or with `prior` its priors alone, generate.

    own: further statistics, `my_stats.py:max_gap`, relative to the working directory.
    InputError: no finished run; its data have changed since; a statistic that cannot be computed.
    """
    folder = Path(folder)
    told = manifest(folder)
    experiment = load_experiment(folder / "config.yaml")
    if digest(experiment) != told["data"]["sha256"]:
        rule = f"{told['data']['source']} has changed since the run"
        raise InputError(str(folder), rule, "run the experiment again, or put the old data back")
    chosen = choose(backend, list(told["backends"]), f"{folder}: backend")
    stored = groups(folder / f"posterior-{chosen}.nc")
    data = prepare(experiment).data
    statistics = {
        **TEST_STATISTICS.get(experiment.model_name, PLAIN),
        **dict(load_statistic(text, Path(), "--statistic") for text in own),
    }
    if not prior:
        least = experiment.checks.min_p_value
        told_at = SURPRISING if least is None else least
        found = findings(statistics, data, stored.get("posterior_predictive", {}), told_at)
        return Checked(tuple(found), (), verdict(found))
    generated = stored.get("prior_predictive", {})
    if not generated:
        raise InputError(
            str(folder), "has no data from the priors: one of them is no distribution", "check the posterior"
        )
    degenerate = prior_check(data, generated)
    return Checked((), tuple(degenerate), of_priors(degenerate))
