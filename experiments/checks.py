"""Checks: what a run must keep to be trusted, each a number held to a threshold of the config.

All but the last are of the computation: whether the numbers are those of the model's posterior. The last is of the
model: whether it generates such data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.criticism.record import Criticism
from experiments.results import GENERATED, Check
from experiments.settings import Checks
from experiments.words import counted, listed, number
from inference import arviz_bridge
from inference.posterior import Posterior

Summary = Mapping[str, Mapping[str, float | None]]

SUPERCHAINS = 4  # groups of chains that nested R-hat compares
# weights p / q that vary less than this need no correction, whatever the shape of their tail
ALIKE = 0.95


class Reading(NamedTuple):
    """A number that a posterior was found to have, whether it keeps its threshold, and what that means."""

    value: float | None
    passed: bool
    message: str


def worst(summary: Summary, key: str, pick: Callable[..., str]) -> tuple[float | None, str]:
    """The extreme value of a column of the summary and the variable that has it; not-a-number counts as the worst."""
    found = {name: row[key] for name, row in summary.items() if row[key] is not None}
    for name, value in found.items():
        if value is None or np.isnan(value):
            return None, name
    if not found:
        return None, ""
    name = pick(found, key=found.__getitem__)
    return found[name], name


def r_hat(posterior: Posterior, summary: Summary, threshold: Any) -> Reading | None:
    """The largest R-hat: that of chains, or, where there are eight or more of them, the nested one.

    Of m chains in equilibrium with an effective sample size S in all, R-hat is about 1 + m / S: a threshold that suits
    four chains rejects many. Four superchains of neighbouring chains bring it back to 1 + 4 / S. Modes that all
    superchains share alike do not show between them, so chains are held to their own part of the threshold too.
    """
    if not posterior.dependent:
        return None
    if all(row["r_hat"] is None for row in summary.values()):
        return Reading(None, False, "there is no R-hat: it compares chains; run at least two")
    value, name = worst(summary, "r_hat", max)
    passed = value is not None and value <= threshold
    message = f"largest R-hat {shown(value)} (`{name}`)"
    chains = len(next(iter(posterior.draws.values())))
    if value is not None and chains >= 2 * SUPERCHAINS:
        of_chains, most = message, 1 + (threshold - 1) * chains / SUPERCHAINS
        passed = value <= most
        value, name = worst(nested(posterior, summary), "r_hat", max)
        passed = passed and value is not None and value <= threshold
        message = f"largest nested R-hat {shown(value)} (`{name}`); of {chains} chains {of_chains}, at most {most:.4g}"
    return Reading(
        value, passed, message + ("" if passed else ": chains disagree; run longer, or look at the trace plots")
    )


def nested(posterior: Posterior, summary: Summary) -> Summary:
    """Nested R-hat of every variable of the summary that has an R-hat."""
    table: dict[str, dict[str, float | None]] = {}
    for site, draws in posterior.draws.items():
        values = arviz_bridge.nested_r_hat(draws, SUPERCHAINS)
        for index, variable in posterior.elements(site):
            known = summary[variable]["r_hat"] is not None
            table[variable] = {"r_hat": float(values[index]) if known else None}
    return table


def ess(kind: str) -> Callable[[Posterior, Summary, Any], Reading | None]:
    def reading(posterior: Posterior, summary: Summary, threshold: Any) -> Reading | None:
        if not posterior.dependent:
            return None
        value, name = worst(summary, f"ess_{kind}", min)
        passed = value is not None and value >= threshold
        return Reading(
            value,
            passed,
            f"smallest {kind} ESS {shown(value)} (`{name}`)"
            + ("" if passed else ": too few effective draws; raise num_samples"),
        )

    return reading


def divergences(posterior: Posterior, summary: Summary, threshold: Any) -> Reading | None:
    if "diverging" not in posterior.sample_stats:
        return None
    count = int(posterior.sample_stats["diverging"].sum())
    passed = count <= threshold
    return Reading(
        count,
        passed,
        f"{count} divergent transition{'s' * (count != 1)}"
        + ("" if passed else ": the sampler missed a region; raise target_accept_prob or reparametrise"),
    )


def e_bfmi(posterior: Posterior, summary: Summary, threshold: Any) -> Reading | None:
    if "energy" not in posterior.sample_stats:
        return None
    values = arviz_bridge.e_bfmi(posterior.sample_stats["energy"])
    value = float(values.min())
    passed = bool(value >= threshold)
    return Reading(
        value,
        passed,
        f"smallest E-BFMI {value:.2f} (chain {int(values.argmin()) + 1})"
        + ("" if passed else ": momentum resampling explores slowly; reparametrise heavy tails"),
    )


def k_hat(posterior: Posterior, summary: Summary, threshold: Any) -> Reading | None:
    if "k_hat" not in posterior.facts:
        return None
    value, share = posterior.facts["k_hat"], posterior.facts["importance_efficiency"]
    message = f"Pareto k-hat of the guide {value:.2f}, importance weights {share:.0%} efficient"
    if value <= threshold:
        return Reading(value, True, message)
    if share >= ALIKE:
        return Reading(value, True, message + ": k-hat has no scale, and weights so nearly equal need no correction")
    return Reading(value, False, message + ": the guide is not the posterior; use another guide or nuts")


def plateau(posterior: Posterior, summary: Summary, threshold: Any) -> Reading | None:
    if "elbo_plateau" not in posterior.facts:
        return None
    reached = bool(posterior.facts["elbo_plateau"])
    steps = posterior.facts["steps"]
    return Reading(
        float(reached),
        reached or not threshold,
        f"the ELBO {'is on a plateau' if reached else 'still rises'} after {steps} steps"
        + ("" if reached else "; raise max_steps"),
    )


def non_finite(posterior: Posterior, summary: Summary, threshold: Any) -> Reading | None:
    bad = {name: int((~np.isfinite(draws)).sum()) for name, draws in posterior.draws.items()}
    count = sum(bad.values())
    names = ", ".join(f"`{name}`" for name, number in bad.items() if number)
    return Reading(
        count, count == 0, "every draw is finite" if count == 0 else f"{count} values are not finite ({names})"
    )


# name in the report -> the setting that holds the threshold (None: always held to zero), how to read the number
CHECKS: dict[str, tuple[str | None, Callable[[Posterior, Summary, Any], Reading | None]]] = {
    "R-hat": ("max_r_hat", r_hat),
    "bulk ESS": ("min_ess", ess("bulk")),
    "tail ESS": ("min_ess", ess("tail")),
    "divergences": ("max_divergences", divergences),
    "E-BFMI": ("min_e_bfmi", e_bfmi),
    "k-hat": ("max_k_hat", k_hat),
    "ELBO plateau": ("elbo_plateau", plateau),
    "non-finite values": (None, non_finite),
}


def judge(posterior: Posterior, summary: Summary, thresholds: Checks) -> Iterator[Check]:
    """Every check that means something for this posterior and is not switched off."""
    for name, (setting, read) in CHECKS.items():
        threshold = 0 if setting is None else getattr(thresholds, setting)
        reading = None if threshold is None else read(posterior, summary, threshold)
        if reading is not None:
            yield Check(name, posterior.backend, reading.value, threshold, reading.passed, reading.message)


def judge_criticism(criticism: Mapping[str, Criticism], thresholds: Checks) -> Iterator[Check]:
    """Whether each backend's fit generates such data: the smallest p-value of its test statistics.

    A point estimate's data sets are held to it as well: they are what it stands for. What a backend misses as one
    before it does, it says in a few words. The threshold is that of a single statistic; see `criticism.statistics`.
    """
    least, told = thresholds.min_p_value, dict[tuple[str, ...], str]()
    for backend, one in criticism.items():
        if least is None or not one.findings:
            continue
        worst = min(one.findings, key=lambda finding: finding.p_value)
        far = sorted((finding for finding in one.findings if finding.p_value < least), key=lambda finding: -finding.gap)
        missed = [finding.name for finding in far]
        names = tuple(sorted(missed))
        if not missed:
            message = (
                f"smallest p-value {number(worst.p_value, 2)} (`{worst.name}`) "
                f"of {counted(len(one.findings), 'test statistic')} of generated data"
            )
        elif names in told:
            message = f"the model misses the same as by {told[names]}: {listed(missed)}"
        else:
            told[names], others = backend, missed[1:]
            also = f"; {listed(others)} {'differs' if len(others) == 1 else 'differ'} too" if others else ""
            message = far[0].message + also
        yield Check(GENERATED, backend, worst.p_value, least, not missed, message)


def shown(value: float | None) -> str:
    return "is not a number" if value is None else f"{value:.4g}"
