"""The six things to look at before a model is believed, each passed, failed, or not applicable for a reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from experiments.criticism.record import Criticism, Item
from experiments.criticism.told import calibrated_enough
from experiments.words import counted, listed
from inference.posterior import Posterior
from models.base import Data

MOST_DRAWS = 50  # whose responsibilities are looked at
ROUNDING = 1e-8


def of_mixture(model: Any, draws: Mapping[str, np.ndarray], data: Data) -> np.ndarray:
    """Sums of the responsibilities of every row."""
    from models.mixture_rows import log_joint

    joint = log_joint(model.parts(draws, data), data.observed["y"], data.inputs.get("there"))
    return np.asarray(np.exp(joint - np.logaddexp.reduce(joint, axis=2)[..., None]).sum(axis=2))


def of_chain(model: Any, draws: Mapping[str, np.ndarray], data: Data) -> np.ndarray:
    """Sums of the smoothed probabilities of every time."""
    from models.hidden_states import smoothed

    chains = model.chains(draws, data)
    there = np.asarray(data.inputs["there"])
    return np.asarray(smoothed(*chains.logarithms(data.observed["y"], there)).sum(axis=-1))


RESPONSIBILITIES: dict[str, Callable[[Any, Mapping[str, np.ndarray], Data], np.ndarray]] = {
    "gaussian_mixture": of_mixture,
    "hidden_markov": of_chain,
}


def checklist(
    model: Any,
    model_name: str,
    data: Data,
    posterior: Posterior,
    prior: Mapping[str, np.ndarray],
    replicated: Mapping[str, np.ndarray],
    log_likelihood: Mapping[str, np.ndarray],
    criticism: Criticism,
) -> list[Item]:
    """The items for one fit. prior: prior draws by site, empty where a prior is no distribution."""
    return [
        finite(replicated, log_likelihood),
        prior_counts(posterior, prior),
        responsibilities(model, model_name, data, posterior),
        held_out(criticism),
        resembles(criticism),
        calibrated(criticism),
    ]


def finite(replicated: Mapping[str, np.ndarray], log_likelihood: Mapping[str, np.ndarray]) -> Item:
    name = "Probabilities are normalised and finite"
    bad = [
        f"`{site}`" for site, values in [*replicated.items(), *log_likelihood.items()] if not np.isfinite(values).all()
    ]
    if bad:
        return Item(name, False, f"not all are, at {listed(sorted(set(bad)))}")
    return Item(
        name, True, "every row has a finite log likelihood under every draw, and every generated value is finite"
    )


def prior_counts(posterior: Posterior, prior: Mapping[str, np.ndarray]) -> Item:
    name = "The posterior is not the likelihood"
    if not prior:
        return Item(name, None, "a prior is no distribution, so that the posterior is the likelihood up to a constant")
    known = [site for site in posterior.draws if site in prior]
    return Item(
        name,
        True,
        f"the priors of {counted(len(known), 'site')} are proper; their draws are drawn beside the posterior",
    )


def responsibilities(model: Any, model_name: str, data: Data, posterior: Posterior) -> Item:
    name = "Responsibilities sum to one"
    if model_name not in RESPONSIBILITIES:
        return Item(name, None, "the model has no components or states")
    step = max(1, posterior.num_draws // MOST_DRAWS)
    few = {
        site: values.reshape(1, -1, *values.shape[2:])[:, ::step][:, :MOST_DRAWS]
        for site, values in posterior.draws.items()
    }
    gap = float(np.abs(RESPONSIBILITIES[model_name](model, few, data) - 1).max())
    return Item(name, bool(gap < ROUNDING), f"for every row, up to {gap:.1e}")


def held_out(criticism: Criticism) -> Item:
    name = "Prediction of rows left out is tracked"
    told, holds = [], True
    if criticism.loo is not None:
        bad, rows = len(criticism.loo.bad), len(criticism.loo.pointwise)
        holds = bool(bad <= 0.01 * rows)
        told.append(
            f"leave-one-out over {counted(rows, 'row')}"
            + (f", of which {bad:,} lean on the weights too much" if bad else "")
        )
    if criticism.refit is not None:
        told.append(f"{criticism.refit.method} over {counted(len(criticism.refit.rows), 'row')}")
        holds = True
    if criticism.held_out is not None:
        told.append(f"{counted(criticism.held_out.rows, 'row')} held out")
        holds = True
    if not told:
        return Item(name, None, criticism.told["scores"].rstrip("."))
    return Item(name, holds, "; ".join(told))


def resembles(criticism: Criticism) -> Item:
    name = "Generated data resemble the data"
    if not criticism.findings:
        return Item(name, None, "no test statistic applies")
    missed = [finding.name for finding in criticism.findings if finding.surprising]
    told = f"{counted(len(criticism.findings), 'test statistic')}" + (
        f", of which {listed(missed)} differ" if missed else ""
    )
    return Item(name, not missed, told)


def calibrated(criticism: Criticism) -> Item:
    name = "Calibration is evaluated"
    probabilities = criticism.calibration or criticism.classes
    if probabilities is not None:
        value, chance = probabilities.ece.value, probabilities.expected_ece
        told = f"ECE {value:.3f}, of which chance explains {chance:.3f}"
        return Item(name, calibrated_enough(probabilities), told)
    if criticism.quantiles is not None:
        off = [row for row in criticism.quantiles.coverage if not row.lower <= row.share <= row.upper]
        told = "predictive intervals hold as many rows as they should"
        if off:
            told = "predictive intervals hold " + listed([f"{row.share:.0%} at {row.level:.0%}" for row in off])
        return Item(name, not off, told)
    return Item(name, None, "the outcome is neither a class nor one numeric column of rows that can be left out")
