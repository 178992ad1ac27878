"""What a finished experiment knows. The report, the run folder, the terminal table and notebooks read only this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.criticism.prior_check import PriorFinding
from experiments.criticism.record import Criticism
from experiments.words import counted, listed
from inference.posterior import Posterior
from models.base import Data, Story

if TYPE_CHECKING:
    from experiments.config import Experiment
    from inference.estimates import Estimates


GENERATED = "generated data"  # the check of the model against the data; every other one is of the computation


class Check(NamedTuple):
    """A named number, its threshold, and whether it holds; `message` says in one sentence what that means."""

    name: str
    backend: str
    value: float | None
    threshold: float | bool | None
    passed: bool
    message: str

    @property
    def of_model(self) -> bool:
        """Whether it is the model that is checked, not the computation."""
        return self.name == GENERATED


class Agreement(NamedTuple):
    """How far the backends are from the most trusted one of them on one variable (see `experiments.agreement`).

    by_backend: backend -> {"mean", "sd"}.
    max_gap_sd: largest distance of a mean from the trusted one, in the trusted one's standard deviations.
    max_gap_mcse: largest such distance over the two means' combined Monte Carlo standard error (None where that is 0).
    max_w1_sd: largest Wasserstein-1 distance of a marginal from the trusted one, in its standard deviations.
    verdict: `agree`, or which backend is off and how: `svi (normal guide): right in mean, too narrow (sd 0.31 times
    that of nuts)`.
    """

    by_backend: Mapping[str, Mapping[str, float]]
    max_gap_sd: float
    max_gap_mcse: float | None
    max_w1_sd: float
    verdict: str

    @property
    def kind(self) -> str:
        """The verdict without its number."""
        return self.verdict.split(" (sd ")[0]


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
    estimates: maximum likelihood, modes and the prior's share, side by side; None where nobody asked.
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
    estimates: Estimates | None = None

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def verdict(self) -> str:
        """The first thing to know: whether to read on.

        A failed computation has numbers that mean nothing yet. A model that misses something of the data has the right
        numbers of a wrong model: those are two verdicts.
        """
        failed = [check for check in self.checks if not check.passed]
        if not self.checks:
            return "No check was run: nothing vouches for this run yet"
        if all(check.of_model for check in failed) and failed:
            return "The computation holds, but the model misses something of the data"
        if failed:
            return f"Do not trust this run yet: {len(failed)} of {counted(len(self.checks), 'check')} failed"
        return f"Every check holds ({len(self.checks)})"

    def doubt(self, backend: str | None = None) -> str:
        """What the title of a table of a backend's numbers, or of all backends', must say; empty where they hold."""
        own = [check for check in self.checks if backend in (None, check.backend) and not check.of_model]
        failed = [check for check in own if not check.passed]
        if not own:
            return "NOT CHECKED"
        if not failed:
            return ""
        some = sorted({check.backend for check in failed})
        where = f" by {listed(some)}" if backend is None and len(some) < len(self.fits) else ""
        return f"NOT TO BE TRUSTED{where}: {counted(len(failed), 'check')} failed"
