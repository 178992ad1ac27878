"""Point estimates side by side: maximum likelihood, the two modes of the posterior, Laplace, and the prior's share.

One density with two weights gives them all, climbed on unconstrained space, z = T^{-1}(theta):

    log p(y | theta) + a log p(theta) + b log |det dT/dz|

    a = b = 0       maximum likelihood, with the standard error of the observed information
    a = 1, b = 0    the mode on the parameters' own scale (MAP; Pyro's AutoDelta, a penalised fit), with the standard
                    deviation of a normal there
    a = b = 1       the mode on the unconstrained scale, where guides and samplers climb, with a normal there (Laplace;
                    Pyro's AutoLaplaceApproximation), its 95% interval mapped back

The prior is what the program says of its own continuous latent sites, those of every level of a hierarchy; the
likelihood is all the rest, discrete sites summed out. The prior's share of what is known of a coordinate of z is the
diagonal of H^-1 H_prior with H = H_prior + H_likelihood, minus second derivatives at the last of the modes; the shares
add up to the number of parameters that the prior determines (MacKay 1992). For conjugate pairs it is the prior's weight
over all weights, (a + b) / (a + b + n) of a beta's.

No estimate is given that does not exist (see `inference.maxima`). The maximum is the highest of the climbs: a higher
one elsewhere is not ruled out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from inference.density import Block, LogDensity, first_line
from inference.maxima import Maximum, WeighedDensity, highest
from inference.posterior import Posterior
from inference.program import faults_of, read
from inference.run import fitting_coords
from inference.streams import stream, workspace
from models.base import Data, Model, Unbounded
from models.errors import InputError

MOST_LATENT = 200
MOST_WORK = 2_000_000  # latent numbers times observed ones
ROUNDING = 1e-4  # of a share
CENTRAL = 0.95
COLUMNS = (
    "mle",
    "mle_se",
    "map",
    "map_sd",
    "map_unconstrained",
    "unconstrained_sd",
    "laplace_lower",
    "laplace_upper",
    "prior_share",
)
SUBJECTS = {
    "mle": "the likelihood",
    "map": "the posterior density on the parameters' own scale",
    "map_unconstrained": "the posterior density on the unconstrained scale",
}


class Estimates(NamedTuple):
    """Point estimates by variable, `theta`, `beta[age]`.

    table: for each variable `mle`, `mle_se`, `map`, `map_sd` (own scale), `map_unconstrained`, `unconstrained_sd` (of
    the normal in z), `laplace_lower`, `laplace_upper` (its 95% interval, on the parameter's own scale), `prior_share`;
    None where there is no such number. notes: sentences that say why, and what the prior determines in all.
    """

    table: Mapping[str, Mapping[str, float | None]]
    notes: tuple[str, ...]


# the sentence for each way in which there is no maximum inside the support: {0} the density, {1} the variables
FAULTS = {
    "flat": "{0} does not depend on {1}, given all other parameters",
    "border": "{0} has its maximum along {1} at the border of the support",
    "unbounded": "{0} has no maximum: it grows without bound as {1} goes to the border of the support",
    "runaway": "{0} has no maximum: it climbs without end along {1}",
    "ridge": "{0} has no single maximum: it is level along a ridge of {1}",
    "unsettled": "no maximum was found: the climb on {0} did not settle",
}


def estimates(
    model: Model | Callable[..., Any],
    data: Data,
    seed: int = 0,
    num_threads: int = 1,
    near: Mapping[str, np.ndarray] | None = None,
) -> Estimates:
    """Point estimates of every continuous latent number, on its own scale.

    near: posterior draws `(chain, draw, *shape)` of all latent sites, to start the climbs from; where labels of a model
    are arbitrary, the estimates have the draws' labels. An empty table where there are more than 200 latent numbers, or
    too many data for so many; its note says so.
    """
    with workspace(stream(seed, "estimates"), num_threads), faults_of(model):
        program = read(model, data)
        size = sum(math.prod(site.shape) for site in program.latent)
        work = size * max(1, sum(value.numel() for value in program.values.values()))
        if not program.latent or any(site.support.is_discrete for site in program.latent):
            return Estimates({}, ("Left out: not every latent number is continuous or can be summed out.",))
        if size > MOST_LATENT:
            return Estimates({}, (f"Left out: there are {size:,} latent numbers, more than {MOST_LATENT}.",))
        if work > MOST_WORK:
            latent = f"{size:,} latent number{'s' * (size > 1)}"
            told = f"{latent} and {work // size:,} observed ones would take long to climb"
            return Estimates({}, (f"Left out: {told}.",))
        density = WeighedDensity(program)
        generator = torch.Generator().manual_seed(stream(seed, "estimates"))
        unbounded = model.no_maximum(data) if isinstance(model, Unbounded) else ""
        names = Posterior("", {site.name: np.zeros((1, 1, *site.shape)) for site in program.latent}, program.dims)
        names = replace(names, coords=fitting_coords(names, data))
        try:
            return side_by_side(density, first_points(density, near, generator), names, unbounded)
        except InputError as error:
            return Estimates({}, (f"Left out: {error.rule}.",))
        except RuntimeError as error:
            # an operation of the program has no second derivative
            return Estimates({}, (f"Left out: the curvature cannot be computed ({first_line(error)}).",))


def first_points(
    density: LogDensity, near: Mapping[str, np.ndarray] | None, generator: torch.Generator
) -> list[Tensor]:
    """Where to climb from: the median draw in z, and a random point.

    InputError where there is neither.
    """
    starts = []
    if near is not None:
        draws = {
            block.site.name: torch.as_tensor(near[block.site.name]).reshape(-1, *block.site.shape)[-1000:]
            for block in density.blocks
        }
        middle = density.unconstrain(draws).median(dim=0).values
        if bool(torch.isfinite(middle).all()) and bool(torch.isfinite(density.one(middle)[0])):
            starts.append(middle)
    try:
        return [*starts, density.start(generator)]
    except InputError:
        if not starts:
            raise
        return starts


def side_by_side(density: WeighedDensity, starts: Sequence[Tensor], names: Posterior, unbounded: str) -> Estimates:
    """The table. names: has every latent site. unbounded: why the likelihood has no maximum, if known beforehand."""
    variables = {b.site.name: [variable for _, variable in names.elements(b.site.name)] for b in density.blocks}
    columns: dict[str, dict[str, np.ndarray]] = {}
    notes: list[str] = []
    density.weigh(1, 1)
    laplace = highest(density, starts)
    columns["map_unconstrained"] = own_values(density, laplace)
    if laplace.covariance is not None:
        columns |= mapped_back(density, laplace)
        columns["prior_share"], determined = prior_shares(density, laplace)
        total = int(laplace.inside.sum())
        of = "the one parameter" if total == 1 else f"the {total} parameters"
        notes.append(
            "What the prior determines cannot be told in shares: prior or likelihood is not concave at the mode."
            if determined is None
            else f"The prior determines {determined:.3g} of {of}: the sum of its shares."
        )
    again = [laplace.z, *starts[-1:]] if laplace.covariance is not None else starts
    density.weigh(1, 0)
    own = highest(density, again)
    columns["map"], columns["map_sd"] = own_values(density, own), own_sds(density, own)
    maxima = {"map_unconstrained": laplace, "map": own}
    if unbounded:
        notes.append(unbounded)
    else:
        density.weigh(0, 0)
        maxima["mle"] = highest(density, again)
        columns["mle"], columns["mle_se"] = own_values(density, maxima["mle"]), own_sds(density, maxima["mle"])
    for column in SUBJECTS:
        if column in maxima:
            notes += faults_in_words(density, maxima[column], SUBJECTS[column], variables)
    table = {
        variable: {
            column: finite(columns[column][site][place]) if site in columns.get(column, {}) else None
            for column in COLUMNS
        }
        for site, known in variables.items()
        for place, variable in enumerate(known)
    }
    return Estimates(table, tuple(notes))


def own_values(density: WeighedDensity, found: Maximum) -> dict[str, np.ndarray]:
    """The maximum on every site's own scale, flat arrays by site; NaN where there is none."""
    if found.covariance is None:
        return {}
    values = {}
    for block, free in zip(density.blocks, inside_of(density, found), strict=True):
        value = density.constrain(found.z)[block.site.name].detach().reshape(-1).numpy()
        flat = np.isin(np.arange(block.part.start, block.part.stop), found.faults.get("flat", ()))
        value = np.where(spread_over(block, free), value, np.round(value, 12) + 0.0)
        values[block.site.name] = np.where(spread_over(block, ~flat), value, np.nan)
    return values


def inside_of(density: WeighedDensity, found: Maximum) -> list[np.ndarray]:
    """`inside` by block."""
    return [found.inside[block.part] for block in density.blocks]


def spread_over(block: Block, coordinates: np.ndarray) -> np.ndarray:
    """A flag of every coordinate as one of every element: its own where they are as many, else whether all are set."""
    if block.shape == block.site.shape:
        return coordinates
    return np.full(math.prod(block.site.shape), bool(coordinates.all()))


def embedded(found: Maximum, size: int) -> Tensor:
    """The covariance of all coordinates, 0 for those that are not inside."""
    assert found.covariance is not None
    whole = torch.zeros(size, size, dtype=torch.float64)
    kept = torch.from_numpy(np.flatnonzero(found.inside))
    whole[kept[:, None], kept] = found.covariance.to(torch.float64)
    return whole


def own_sds(density: WeighedDensity, found: Maximum) -> dict[str, np.ndarray]:
    """Standard deviation of a normal with the curvature at the maximum, on the own scale, of sites with as many
    coordinates as elements (not of a simplex, whose elements are tied)."""
    if found.covariance is None or not found.inside.any():
        return {}
    whole, sds = embedded(found, density.size), {}
    for block, inside in zip(density.blocks, inside_of(density, found), strict=True):
        if block.shape == block.site.shape:
            # at a stationary point of log p(T(z)) the curvature in z is T'(z)^T (that on the own scale) T'(z)
            slope = derivative(block, found.z)
            variance = (slope @ whole[block.part, block.part] * slope).sum(dim=1)
            sds[block.site.name] = np.where(inside, variance.sqrt().numpy(), np.nan)
    return sds


def derivative(block: Block, z: Tensor) -> Tensor:
    """dT/dz of a block with as many coordinates as elements, `(elements, elements)`."""
    free = z[block.part].reshape(block.shape)
    slope: Any = torch.autograd.functional.jacobian(block.transform, free)
    return slope.reshape(free.numel(), free.numel())


def mapped_back(density: WeighedDensity, found: Maximum) -> dict[str, dict[str, np.ndarray]]:
    """The normal at the maximum: its standard deviations in z, and the ends of its 95% interval on the own scale.

    Ends are mapped where every element has a coordinate of its own, and are quantiles of draws elsewhere.
    """
    columns: dict[str, dict[str, np.ndarray]] = {"unconstrained_sd": {}, "laplace_lower": {}, "laplace_upper": {}}
    if not found.inside.any():
        return columns
    whole = embedded(found, density.size)
    sds = whole.diagonal().sqrt()
    half = float(torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(0.5 + CENTRAL / 2)))
    root, failed = torch.linalg.cholesky_ex(whole + 1e-300 * torch.eye(density.size))
    draws = found.z + torch.randn(4000, density.size, dtype=torch.float64) @ root.T if not bool(failed) else None
    for block, inside in zip(density.blocks, inside_of(density, found), strict=True):
        name, centre = block.site.name, found.z[block.part]
        own = block.shape == block.site.shape
        slope = derivative(block, found.z) if own else None
        if slope is not None and bool((slope == slope.diagonal().diag()).all()):
            ends = torch.stack([centre - half * sds[block.part], centre + half * sds[block.part]])
            values = block.transform(ends.reshape(2, *block.shape)).reshape(2, -1)
            lower, upper = values.min(dim=0).values, values.max(dim=0).values
        elif draws is not None:
            values = density.constrain(draws)[name].reshape(len(draws), -1)
            tails = torch.tensor([(1 - CENTRAL) / 2, (1 + CENTRAL) / 2], dtype=torch.float64)
            lower, upper = torch.quantile(values, tails, dim=0)
        else:
            continue
        usable = spread_over(block, inside)
        columns["laplace_lower"][name], columns["laplace_upper"][name] = (
            np.where(usable, end.detach().numpy(), np.nan) for end in (lower, upper)
        )
        if own:
            columns["unconstrained_sd"][name] = np.where(inside, sds[block.part].numpy(), np.nan)
    return columns


def prior_shares(density: WeighedDensity, found: Maximum) -> tuple[dict[str, np.ndarray], float | None]:
    """The prior's share of what is known of every element, and their sum over coordinates; no number that is below 0 or
    above 1 is a share, and then there is no sum.

    Elements of one simplex or the like, which are tied, have the mean share of its coordinates.
    """
    density.weigh(0, 0)
    kept = np.flatnonzero(found.inside)
    likelihood = -density.hessian(found.z).detach().numpy()[np.ix_(kept, kept)]
    assert found.covariance is not None
    own = 1 - np.einsum("ij,ji->i", found.covariance.numpy(), likelihood)
    is_share = (own > -ROUNDING) & (own < 1 + ROUNDING)
    shares = np.full(density.size, np.nan)
    shares[kept] = np.where(is_share, np.clip(own, 0, 1), np.nan)
    by_site = {}
    for block in density.blocks:
        part = shares[block.part].reshape(block.shape)
        if block.shape == block.site.shape:
            by_site[block.site.name] = part.reshape(-1)
        elif block.shape[:-1] == block.site.shape[:-1]:
            mean = np.broadcast_to(part.mean(axis=-1, keepdims=True), block.site.shape)
            by_site[block.site.name] = mean.reshape(-1)
    return by_site, float(shares[kept].sum()) if is_share.all() else None


def faults_in_words(
    density: WeighedDensity, found: Maximum, subject: str, variables: Mapping[str, Sequence[str]]
) -> list[str]:
    """A sentence for each way in which a maximum is missing."""
    told = []
    for kind, places in found.faults.items():
        named = []
        for block in density.blocks:
            here = [place - block.part.start for place in places if block.part.start <= place < block.part.stop]
            own = block.shape == block.site.shape and len(here) < math.prod(block.shape)
            named += (
                [f"`{variables[block.site.name][k]}`" for k in here] if own else [f"`{block.site.name}`"] * bool(here)
            )
        more = f" and {len(named) - 5} more" if len(named) > 6 else ""
        kept = named[:5] if more else named
        listed = ", ".join(kept) + more if more or len(kept) < 2 else f"{', '.join(kept[:-1])} and {kept[-1]}"
        sentence = FAULTS[kind].format(subject, listed)
        told.append(sentence[0].upper() + sentence[1:] + ".")
    return told


def finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
