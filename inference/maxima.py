"""Maxima of a program's likelihood and posterior densities, certified: one is given only where there is one.

One density with two weights, log p(y | theta) + a log p(theta) + b log |det dT/dz| on unconstrained space, is compiled
once for all of them. Where a climb ends, the density must fall on both sides of every coordinate and along
every principal axis of the curvature, one standard deviation away; this also fails far out on a slope that never ends
(separation), where gradient and curvature are next to nil. A coordinate that leaves for the border of its support is
held there, where the density has a limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor

from inference.density import LogDensity
from inference.modes import BORDER, STEEP, climb, find_mode, mapped
from inference.program import Program

DROP = 0.01  # nats below the maximum, one standard deviation away, where a normal has half a nat
WIDEST = 20.0  # standard deviation of a logit or a logarithm that is no longer one of a maximum
SINGULAR = 1e-9  # smallest eigenvalue of a curvature with unit diagonal
INVOLVED = 0.02  # component of a unit vector along an axis that takes part in it
SETTLED = 1e-6  # last Newton step, in standard deviations
NEWTON_STEPS = 20
WITHOUT = ("unbounded", "runaway", "ridge", "unsettled")  # there is no estimate of anything


class Maximum(NamedTuple):
    """Where a climb ended.

    z: `(D,)`. covariance: minus the inverse Hessian of the coordinates that are `inside`, None where there is no
    maximum. inside: `(D,)`, whether the maximum is inside the support along each. faults: the coordinates by what is
    wrong: `flat` (the density does not depend on them), `border` (the maximum is there), or a word of `WITHOUT`.
    """

    z: Tensor
    value: float
    covariance: Tensor | None
    inside: np.ndarray
    faults: Mapping[str, np.ndarray]


class WeighedPriors(Messenger):
    """Multiplies the log density of some sites by a weight."""

    def __init__(self, sites: frozenset[str]) -> None:
        super().__init__()
        self.sites, self.weight = sites, torch.ones(())

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in self.sites:
            msg["scale"] = msg["scale"] * self.weight


class WithWeights(LogDensity):
    """Log likelihood plus weights of log prior and log Jacobian, which are the last two coordinates of z: so one piece
    of machine code serves all weights."""

    def __init__(self, program: Program) -> None:
        self._priors = WeighedPriors(frozenset(site.name for site in program.latent))
        super().__init__(replace(program, model=self._priors(program.model)), jacobian=False)
        self.size += 2

    def _value(self, z: Tensor, data: list[Tensor]) -> Tensor:
        self._priors.weight, jacobian = z[-2], z[-1]
        correction: Any = 0.0
        for block in self.blocks:
            free = z[block.part].reshape(block.shape)
            correction = correction + block.transform.log_abs_det_jacobian(free, block.transform(free)).sum()
        return super()._value(z, data) + jacobian * correction


class WeighedDensity(LogDensity):
    """Log likelihood plus `prior` times the log prior plus `jacobian` times the log Jacobian."""

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.whole = WithWeights(program)
        self.whole.settle(1, "auto")
        self.weigh(1, 1)

    def weigh(self, prior: float, jacobian: float) -> None:
        self.weights = torch.tensor([prior, jacobian])

    def one(self, z: Tensor) -> tuple[Tensor, Tensor]:
        value, slope = self.whole.one(torch.cat([z, self.weights]))
        return value, slope[:-2]

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        values, slopes = self.whole(torch.cat([z, self.weights.expand(len(z), 2)], dim=1))
        return values, slopes[:, :-2]

    def hessian(self, z: Tensor) -> Tensor:
        return self.whole.hessian(torch.cat([z, self.weights]))[:-2, :-2]


def highest(density: WeighedDensity, starts: Sequence[Tensor]) -> Maximum:
    """The highest of the maxima that the starts lead to."""
    best: Maximum | None = None
    for start in starts:
        if best is not None and best.covariance is not None and same_top(density, best, start):
            continue
        found = maximum(density, start)
        if best is None or found.value > best.value + 1e-6 * max(1.0, abs(best.value)):
            best = found
    assert best is not None
    return best


def same_top(density: WeighedDensity, best: Maximum, start: Tensor) -> bool:
    """Whether quasi-Newton steps from `start` end where `best` is: then there is nothing to certify again."""
    value, slope = density.one(start)
    if not bool(torch.isfinite(value)) or float(slope.abs().max()) > STEEP:
        return True  # nothing is to be learnt from there
    scale = max(1.0, float(torch.linalg.vector_norm(slope)))
    found = climb(density, start, scale, np.array(mapped(density)), [])
    return bool(-found.fun * scale <= best.value + 1e-6 * max(1.0, abs(best.value)))


def maximum(density: WeighedDensity, start: Tensor) -> Maximum:
    """Climb from `start (D,)` and certify where that ends."""
    mode = find_mode(density, start, newton_steps=0)
    z = mode.z.clone()
    bounded = np.array(mapped(density), dtype=bool)
    inside = np.ones(density.size, dtype=bool)
    faults: dict[str, np.ndarray] = {}

    def leave_out(kind: str, places: np.ndarray) -> None:
        if len(places):
            faults[kind] = np.union1d(faults.get(kind, np.empty(0, dtype=int)), places).astype(int)
            inside[places] = False

    probes = z + torch.randn(3, density.size, dtype=z.dtype)
    probes[:, torch.from_numpy(bounded)] = probes[:, torch.from_numpy(bounded)].clamp(-3, 3)
    slopes = values_and_slopes(density, probes)[1]
    leave_out("flat", np.flatnonzero((slopes == 0).all(axis=0)))
    for _ in range(NEWTON_STEPS):
        kept = np.flatnonzero(inside)
        if not len(kept):
            break
        curvature = -density.hessian(z).numpy()[np.ix_(kept, kept)]
        value = float(density.one(z)[0])
        if not np.isfinite(curvature).all():
            break
        spread = one_by_one(curvature)
        bad = kept[~falls(density, z, value, np.eye(len(kept)) * spread, kept) | (bounded[kept] & (spread > WIDEST))]
        for place in bad:
            kind, z = towards_border(density, z, place, bool(bounded[place]))
            leave_out(kind, np.array([place]))
        if len(bad):
            if any(kind in faults for kind in WITHOUT):
                break
            continue
        # curvature with unit diagonal: units of parameters do not matter
        lengths, axes = np.linalg.eigh(curvature * np.outer(spread, spread))
        level = lengths < SINGULAR
        if level.any():
            leave_out("ridge", kept[(np.abs(axes[:, level]) > INVOLVED).any(axis=1)])
            break
        steps = (axes / np.sqrt(lengths)).T * spread
        along = falls(density, z, value, steps, kept)
        if not along.all():
            leave_out("runaway", kept[(np.abs(axes[:, ~along]) > INVOLVED).any(axis=1)])
            break
        covariance = steps.T @ steps
        slope = density.one(z)[1].numpy()[kept]
        step = covariance @ slope
        sds = np.sqrt(np.diag(covariance))
        moved = z.clone()
        moved[torch.from_numpy(kept)] += torch.from_numpy(step)
        if np.abs(step / sds).max() < SETTLED:
            return Maximum(moved, value, torch.from_numpy(covariance), inside, faults)
        if float(density.one(moved)[0]) < value - 1e-9 * max(1.0, abs(value)):
            break
        z = moved
    if inside.any() and not any(kind in faults for kind in WITHOUT):
        leave_out("unsettled", np.flatnonzero(inside))
    value, worst = float(density.one(z)[0]), next((kind for kind in WITHOUT if kind in faults), None)
    if worst is None:
        return Maximum(z, value, torch.zeros(0, 0), inside, faults)
    return Maximum(z, value, None, inside, {worst: faults[worst]})  # what else is missing matters no more


def one_by_one(curvature: np.ndarray) -> np.ndarray:
    """The standard deviation of every coordinate with all others held, infinite where the curvature is none."""
    own = np.diag(curvature)
    return np.where(own > 0, 1 / np.sqrt(np.where(own > 0, own, 1.0)), 1e9)


def falls(density: WeighedDensity, z: Tensor, value: float, steps: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Whether the density falls by `DROP` on both sides of z, `(steps,)`; steps `(steps, kept)`."""
    moves = torch.zeros(len(steps), density.size, dtype=z.dtype)
    moves[:, torch.from_numpy(kept)] = torch.from_numpy(np.ascontiguousarray(steps))
    both = values_and_slopes(density, torch.cat([z + moves, z - moves]))[0].reshape(2, -1)
    # no density at all is a fall; a number that is none is not
    return np.asarray((both < value - DROP).all(axis=0))


def values_and_slopes(density: WeighedDensity, z: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Log density `(rows,)` and gradient `(rows, D)`."""
    values, slopes = density(z)
    return values.numpy(), slopes.numpy()


def towards_border(density: WeighedDensity, z: Tensor, place: int, bounded: bool) -> tuple[str, Tensor]:
    """What becomes of a coordinate along which there is no maximum: the word of `Maximum.faults`, and z with it at the
    border where the density has a limit there."""
    if not bounded:
        return "runaway", z
    ends = z.repeat(2, 1)
    ends[:, place] = torch.tensor([-BORDER, BORDER], dtype=z.dtype)
    # two points on the way, where a double still tells a value from the border, and z itself or its foot between them
    way = torch.stack([*ends, z])
    way[:, place] = way[:, place].clamp(-0.6 * BORDER, 0.6 * BORDER)
    values, _ = values_and_slopes(density, ends)
    (*before, here), slopes = values_and_slopes(density, way)
    rising = np.where(np.isfinite(before), before, -np.inf)
    side = int(rising.argmax())
    if rising[side] < here - 1e-6 * max(1.0, abs(here)):
        return "unsettled", z
    if abs(slopes[side, place]) > 1e-4:
        return "unbounded", z
    far, farther = ends[side].clone(), ends[side].clone()
    farther[place] *= 1.05
    block = next(b for b in density.blocks if b.part.start <= place < b.part.stop)
    one, other = (density.constrain(point)[block.site.name] for point in (far, farther))
    if not bool(torch.allclose(one, other, rtol=0, atol=1e-9)) or not math.isfinite(values[side]):
        return "runaway", z  # the border is infinitely far away
    return "border", far
