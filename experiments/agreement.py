"""How far the backends are from the one that deserves most trust, variable by variable, and a verdict by policy.

Three numbers say how two posteriors of one variable differ, all in standard deviations of the trusted one: the distance
of the means, the ratio of the standard deviations, and the Wasserstein-1 distance of the marginals, which is the
distance that draws must be moved on average to turn one marginal into the other. It is at least the distance of the
means, and sees everything else too.

Chance alone parts draws of one law. With n1 and n2 effective draws of standard deviation s, and e = sqrt(1/n1 + 1/n2),

    means             differ by s e on average,                     beyond 4 s e with probability 6e-5
    log sd            differs by e sqrt((kurtosis - 1) / 4)         (delta method), held to four times that
    W1                is s e sqrt(2/pi) int sqrt(F (1 - F)) dx / s  on average (del Barrio, Gine & Matran 1999): 1.1 s e
                      of a uniform, 1.3 s e of a normal law, 1.6 s e of a thousand draws of Student's t with 3 degrees
                      of freedom; beyond 4 s e in about 1 of 1000 simulated pairs

so one factor, `CHANCE`, serves all three. A marginal in closed form is held by its quantiles, and has no chance in it;
one whose quantiles take numerical integration is held by its draws for W1 alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from experiments.results import Agreement, Fit
from inference.posterior import Posterior

CLOSE, NEAR = 0.1, 0.3  # posterior standard deviations between two means
SPREAD = 1.15  # ratio of two standard deviations that is worth a word
SHAPE = 0.1  # posterior standard deviations of W1 that neither means nor spreads explain
CHANCE = 4.0  # standard errors
TRUST = ("exact", "nuts", "hmc", "metropolis", "importance", "svi")
LEVELS = 1000  # quantiles that stand for a marginal in closed form
MOST_VALUES = 4_000_000  # numbers in flight at once

POLICY = (
    f"Policy: a mean is right within {CLOSE:g} posterior standard deviations of the trusted backend's, or where chance "
    f"({CHANCE:g} standard errors) explains up to {NEAR:g}; up to {NEAR:g} otherwise is a small gap, and beyond it the "
    f"backends differ, unless there are too few draws to tell; a standard deviation is too narrow or too wide beyond a "
    f"factor of {SPREAD:g} that chance does not explain; the shape is another where more than {SHAPE:g} of W1 is left "
    f"over that neither means, nor spreads, nor chance explain; for several backends the worst one is named."
)


class Pair(NamedTuple):
    """A backend beside the trusted one, on one variable; distances in standard deviations of the trusted one.

    name: the backend, with its guide. trusted: the other's name. ratio: its sd over the trusted one's, 0 for a point.
    gap: between the means; gap_error: its Monte Carlo standard error. w1: Wasserstein-1 distance of the marginals.
    noise: sqrt(1/n1 + 1/n2) of effective sizes. kurtosis: the larger one.
    """

    name: str
    trusted: str
    gap: float
    gap_error: float
    ratio: float
    w1: float
    noise: float
    kurtosis: float


def compare(fits: Mapping[str, Fit]) -> dict[str, Agreement]:
    """One row for each variable that every backend has, against the most trusted backend (in the order of `TRUST`);
    empty for a single backend."""
    if len(fits) < 2:
        return {}
    base = trusted(fits)
    others = [name for name in fits if name != base]
    found: dict[str, Agreement] = {}
    for site in fits[base].posterior.draws:
        shapes = [fit.posterior.draws[site].shape[2:] for fit in fits.values() if site in fit.posterior.draws]
        if len(shapes) < len(fits) or len(set(shapes)) > 1:
            continue
        moments = {name: marginal_distances(fits[base].posterior, fits[name].posterior, site) for name in others}
        for place, (_, variable) in enumerate(fits[base].posterior.elements(site)):
            if all(variable in fit.summary for fit in fits.values()):
                seen = {name: (w1[place], fourth[:, place]) for name, (w1, fourth) in moments.items()}
                found[variable] = compare_one(fits, base, site, variable, seen)
    order = [name for name in next(iter(fits.values())).summary if name in found]
    return {name: found[name] for name in order}


def trusted(fits: Mapping[str, Fit]) -> str:
    """The name of the backend that the others are measured against."""
    return min(fits, key=lambda name: TRUST.index(name) if name in TRUST else len(TRUST))


def compare_one(
    fits: Mapping[str, Fit], base: str, site: str, variable: str, seen: Mapping[str, tuple[float, np.ndarray]]
) -> Agreement:
    """One variable. seen: by backend, the W1 distance to the trusted one, and both fourth central moments."""
    rows = {name: fit.summary[variable] for name, fit in fits.items()}
    told = {name: {"mean": row["mean"] or 0.0, "sd": row["sd"] or 0.0} for name, row in rows.items()}
    bad = [name for name, row in told.items() if not all(map(math.isfinite, row.values()))]
    if bad:
        return Agreement(told, math.inf, math.inf, math.inf, f"differ: {bad[0]} has no finite mean or spread")
    unit = told[base]["sd"] or max(row["sd"] for row in told.values()) or 1.0
    pairs, errors = [], 0.0
    for name, (w1, fourth) in seen.items():
        gap = abs(told[name]["mean"] - told[base]["mean"])
        error = math.hypot(rows[name]["mcse_mean"] or 0.0, rows[base]["mcse_mean"] or 0.0)
        errors = max(errors, gap / error if error > 0 else 0.0)
        sds = [told[backend]["sd"] for backend in (base, name)]
        pairs.append(
            Pair(
                label(fits[name].posterior),
                base,
                gap / unit,
                error / unit,
                sds[1] / sds[0] if sds[0] > 0 else (math.inf if sds[1] > 0 else 1.0),
                float(w1) / unit,
                math.hypot(*(inverse_root_size(fits[backend], site, rows[backend]) for backend in (base, name))),
                max(moment / sd**4 if sd > 0 else 0.0 for moment, sd in zip(fourth, sds, strict=True)),
            )
        )
    _, _, verdict = max((*judge(pair), verdict_of(pair)) for pair in pairs)
    return Agreement(told, max(pair.gap for pair in pairs), errors or None, max(pair.w1 for pair in pairs), verdict)


def label(posterior: Posterior) -> str:
    guide = posterior.facts.get("guide")
    return f"{posterior.backend} ({guide} guide)" if guide else posterior.backend


def inverse_root_size(fit: Fit, site: str, row: Mapping[str, float | None]) -> float:
    """1 / sqrt(n) for n effective draws: the smallest of what mean, bulk and tails have; 0 for a closed form."""
    sd, error = row["sd"] or 0.0, row["mcse_mean"]
    sizes = [size for size in (row.get("ess_bulk"), row.get("ess_tail")) if size]
    if not has_quantiles(fit.posterior, site):
        sizes.append(fit.posterior.num_draws)
    return max([error / sd if error and sd > 0 else 0.0, *(size**-0.5 for size in sizes)])


def judge(pair: Pair) -> tuple[int, float]:
    """How bad the pair is: by the kind of its verdict, then by its distance."""
    kinds = ("agree", "shape", "small gap", "spread", "few", "differ")
    return max(map(kinds.index, faults(pair)), default=0), pair.w1


def faults(pair: Pair) -> Iterator[str]:
    """What sets the pair apart, by `POLICY`."""
    chance = CHANCE * pair.gap_error
    if pair.gap > NEAR:
        yield "few" if pair.gap <= chance else "differ"
    elif pair.gap > max(CLOSE, chance):
        yield "small gap"
    if has_another_spread(pair):
        yield "spread"
    elif pair.w1 > CHANCE * pair.noise and pair.w1 - pair.gap - abs(1 - pair.ratio) > SHAPE:
        # moving all draws by the gap and stretching them by the ratio costs no more than gap + |1 - ratio|
        yield "shape"


def has_another_spread(pair: Pair) -> bool:
    if pair.ratio in (0.0, math.inf):  # draws of an event that hardly ever happens have no spread, by chance
        return pair.w1 > CHANCE * pair.noise
    by_chance = CHANCE * pair.noise * math.sqrt(max(pair.kurtosis - 1, 0.0) / 4)
    return abs(math.log(pair.ratio)) > max(math.log(SPREAD), by_chance)


def verdict_of(pair: Pair) -> str:
    """The verdict in words: `agree`, or which backend is off and how."""
    found = set(faults(pair))
    if not found:
        return "agree"
    mean = "small gap in mean" if "small gap" in found else "right in mean"
    if "differ" in found:
        words = "means differ"
    elif "few" in found:
        words = "too few draws to tell"
    elif pair.ratio == 0:
        words = f"{mean}, a point without spread"
    elif "spread" in found:
        kind = "too narrow" if pair.ratio < 1 else "too wide"
        words = f"{mean}, {kind} (sd {pair.ratio:.2f} times that of {pair.trusted})"
    elif "shape" in found:
        words = f"{mean} and spread, another shape"
    else:
        words = mean
    return f"{pair.name}: {words}"


def marginal_distances(one: Posterior, other: Posterior, site: str) -> tuple[np.ndarray, np.ndarray]:
    """W1 between two posteriors' marginals of every element of a site, `(elements,)`, and the fourth central moment of
    either, `(2, elements)`."""
    size = int(np.prod(one.draws[site].shape[2:]))
    ends, pieces = [closed_form(posterior, site) for posterior in (one, other)], []
    lengths = [p.num_draws if known is None else len(known) for p, known in zip((one, other), ends, strict=True)]
    step = max(1, MOST_VALUES // sum(lengths))
    for start in range(0, size, step):
        part = slice(start, start + step)
        x, y = (
            np.sort(posterior.draws[site].reshape(posterior.num_draws, size)[:, part].astype(float), axis=0)
            if known is None
            else known[:, part]
            for posterior, known in zip((one, other), ends, strict=True)
        )
        with np.errstate(invalid="ignore", over="ignore"):
            fourth = [((values - values.mean(axis=0)) ** 4).mean(axis=0) for values in (x, y)]
            pieces.append(np.stack([wasserstein(x, y), *fourth]))
    found = np.concatenate(pieces, axis=1)
    return found[0], found[1:]


def closed_form(posterior: Posterior, site: str) -> np.ndarray | None:
    """Quantiles of a site at evenly spread levels, `(levels, elements)`; None where draws are to be used."""
    if not has_quantiles(posterior, site):
        return None
    size = int(np.prod(posterior.draws[site].shape[2:]))
    levels = min(LEVELS, max(100, MOST_VALUES // max(size, 1)))
    return posterior.quantile(site, list((np.arange(levels) + 0.5) / levels)).reshape(levels, size)


def has_quantiles(posterior: Posterior, site: str) -> bool:
    """Whether a site's marginals are among SciPy's distributions, whose quantiles cost next to nothing."""
    from scipy.stats.distributions import rv_frozen

    return isinstance(posterior.marginals.get(site), rv_frozen)


def wasserstein(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """W1 between samples `x (n, elements)` and `y (m, elements)`, both sorted: the mean distance of their quantiles."""
    n, m = len(x), len(y)
    # in units of 1 / (n m), the levels where one of the two quantile functions jumps
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    widths = np.diff(ends, prepend=0) / (n * m)
    return widths @ np.abs(x[(ends - 1) // m] - y[(ends - 1) // n])
