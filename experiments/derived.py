"""What becomes of a family's posteriors before anything is said of them: one labelling for all draws of all backends,
then the family's quantities.

Where labels are arbitrary, a chain finds each of them anywhere. All backends' draws, and the truth where the data were
simulated, are aligned together, so that a label means the same in every table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from inference.posterior import Posterior
from models.base import Data, ExactQuantities, Family, Remarking

Draws = Mapping[str, np.ndarray]


def finish(
    family: Family, data: Data, posteriors: Mapping[str, Posterior], truth: Draws
) -> tuple[dict[str, Posterior], dict[str, np.ndarray]]:
    """The posteriors with labels aligned and quantities added, and the true values by site under the same labels."""
    aligned, known = dict(posteriors), dict(truth)
    if family.exchangeable:
        aligned, known = one_labelling(family.exchangeable, posteriors, truth)
    return {name: with_quantities(family, data, posterior) for name, posterior in aligned.items()}, known


def with_quantities(family: Family, data: Data, posterior: Posterior) -> Posterior:
    """The posterior with the family's quantities behind its sites, in closed form where it is one and they have one,
    and with what the family has to say of it (`remarks`, among its facts)."""
    found = family.quantities(posterior.draws, data)
    known: Mapping[str, Any] = {}
    if posterior.marginals and isinstance(family, ExactQuantities):
        known = family.exact_quantities(posterior.marginals, data)
    told = list(family.remarks(posterior.draws, data)) if isinstance(family, Remarking) else []
    return dataclasses.replace(
        posterior,
        facts={**posterior.facts, **({"remarks": told} if told else {})},
        marginals={**posterior.marginals, **known},
        draws={**posterior.draws, **found.draws},
        dims={**posterior.dims, **{name: found.dims.get(name, ()) for name in found.draws}},
        coords={**posterior.coords, **found.coords},
    )


def one_labelling(
    dim: str, posteriors: Mapping[str, Posterior], truth: Draws
) -> tuple[dict[str, Posterior], dict[str, np.ndarray]]:
    """All draws and the truth under one labelling along `dim`; of chains, the largest R-hat before is kept."""
    from inference.labels import align

    first = next(iter(posteriors.values()))
    sites = [site for site in first.draws if dim in first.dims[site]]
    parts = {name: {site: posterior.draws[site] for site in sites} for name, posterior in posteriors.items()}
    if truth:
        parts[""] = {site: np.asarray(truth[site])[None, None] for site in sites}
    rows = {
        site: np.concatenate([part[site].reshape(-1, *part[site].shape[2:]) for part in parts.values()])[None]
        for site in sites
    }
    found = align(rows, {site: first.dims[site] for site in sites}, dim).draws
    ends = np.cumsum([np.prod(part[sites[0]].shape[:2]) for part in parts.values()])[:-1]
    split = {site: np.split(values[0], ends) for site, values in found.items()}
    done = {
        name: {site: split[site][place].reshape(part[site].shape) for site in sites}
        for place, (name, part) in enumerate(parts.items())
    }
    true_values = {**truth, **{site: values[0, 0] for site, values in done.pop("", {}).items()}}
    return {name: relabelled(posteriors[name], draws, dim) for name, draws in done.items()}, true_values


def relabelled(posterior: Posterior, draws: Draws, dim: str) -> Posterior:
    """The posterior with some of its sites aligned; what R-hat would have said without."""
    facts: dict[str, Any] = {**posterior.facts, "labels_aligned": dim}
    if posterior.dependent and next(iter(draws.values())).shape[0] > 1:
        before = largest_r_hat({site: posterior.draws[site] for site in draws})
        after = largest_r_hat(draws)
        facts |= {"r_hat_unaligned": before, "r_hat_aligned": after}
        facts["labels_aligned"] = f"{dim}, R-hat at most {before:.4g} before and {after:.4g} after"
    return dataclasses.replace(posterior, draws={**posterior.draws, **draws}, facts=facts)


def largest_r_hat(draws: Draws) -> float:
    """The largest R-hat of all variables; those that no draw changes have none."""
    from inference.arviz_bridge import diagnostics

    found = np.concatenate([diagnostics(values)["r_hat"].ravel() for values in draws.values()])
    return float(np.nanmax(found, initial=1.0))
