"""What a finished experiment knows. The report, the run folder, the terminal table and notebooks read only this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.criticism.prior_check import PriorFinding
from experiments.criticism.record import Criticism
from experiments.words import counted
from inference.posterior import Posterior
from models.base import Data, Story

if TYPE_CHECKING:
    from experiments.config import Experiment


class Check(NamedTuple):
    """A named number, its threshold, and whether it holds; `message` says in one sentence what that means."""

    name: str
    backend: str
    value: float | None
    threshold: float | bool | None
    passed: bool
    message: str


class Agreement(NamedTuple):
    """How far the backends are from each other on one variable.

    by_backend: backend -> {"mean", "sd"}.
    max_gap_sd: largest distance between two means, in posterior standard deviations.
    max_gap_mcse: the same distance over the two means' combined Monte Carlo standard error (None where that is 0).
    verdict: `agree`, `small gap`, or `differ`, in words.
    """

    by_backend: Mapping[str, Mapping[str, float]]
    max_gap_sd: float
    max_gap_mcse: float | None
    verdict: str


class Fit(NamedTuple):
    """One backend's posterior with everything derived from it. Arrays by site, `(chain, draw, *shape)`.

    posterior_predictive and log_likelihood may rest on evenly thinned draws where all of them would not fit in memory.
    """

    posterior: Posterior
    summary: Mapping[str, Mapping[str, float | None]]
    posterior_predictive: Mapping[str, np.ndarray]
    log_likelihood: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Result:
    """An experiment and everything that came of it.

    prior, prior_predictive: prior draws of latent and observed sites, `(1, draw, *shape)`.
    truth: the parameters that the data were simulated with, by site; empty for real data.
    fits: by backend name, in the order of the config.
    manifest: seed, versions, data SHA-256, timings, and a `backends` part; JSON-able.
    criticism: by backend, whether the fit generates such data and how well it predicts; prior_findings: the same of the
    priors.
    """

    experiment: Experiment
    story: Story
    data: Data
    fits: Mapping[str, Fit]
    prior: Mapping[str, np.ndarray]
    prior_predictive: Mapping[str, np.ndarray]
    checks: tuple[Check, ...]
    agreement: Mapping[str, Agreement]
    manifest: Mapping[str, Any]
    truth: Mapping[str, np.ndarray] = field(default_factory=dict)
    criticism: Mapping[str, Criticism] = field(default_factory=dict)
    prior_findings: tuple[PriorFinding, ...] = ()

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def verdict(self) -> str:
        """The first thing to know: whether to read on."""
        failed = sum(not check.passed for check in self.checks)
        if not self.checks:
            return "No check was run: nothing vouches for this run yet"
        if failed:
            return f"Do not trust this run yet: {failed} of {counted(len(self.checks), 'check')} failed"
        return f"Every check holds ({len(self.checks)})"

    @property
    def misfit(self) -> str:
        """What the first fit that misses something of the data misses, as sentences; empty where none does.

        No check fails for it: the posterior is right for the model, and the model is not right for the data.
        """
        missed = (one for one in self.criticism.values() if any(finding.surprising for finding in one.findings))
        return next((one.told["predictive"] for one in missed), "")
