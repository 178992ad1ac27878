"""The climb of a normal guide: all restarts and particles are rows of one density call in every step.

Every restart has its own whitened coordinates, noise, learning rate and plateau; no number of one enters another.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from inference.density import LogDensity
from inference.modes import Mode
from inference.settings import Svi
from inference.svi.guides import NORMALS, Guide, mirrored
from inference.svi.space import Space
from models.errors import InputError

Told = Callable[[int, int, str], None]

HORIZONS = (100, 400)
FLAT = 0.02  # nats
LOOK_EVERY = 50  # steps between two looks for a plateau
AVERAGED_STEPS = 300
MOST_ROLLBACKS = 10
ROWS_AT_ONCE = 256  # of final draws: more would only take memory


class Ascent(NamedTuple):
    """One start's outcome: draws `(S, D)` of the guide, log p - log q at them, the ELBO step by step, and how it
    ended."""

    z: Tensor
    log_ratio: Tensor
    trace: list[float]
    plateau: bool
    rollbacks: int

    @property
    def elbo(self) -> float:
        return self.log_ratio.mean().item()


class Adam:
    """Kingma & Ba 2015, with a step size and a memory for every row."""

    def __init__(self, shape: tuple[int, ...], rate: float, most: int) -> None:
        self.rate, self.count = np.full(shape[0], rate), np.zeros(shape[0], dtype=int)
        self.mean, self.square = np.zeros(shape), np.zeros(shape)
        steps = np.arange(1, most + 2)
        self.first, self.second = 1 - 0.9**steps, np.sqrt(1 - 0.999**steps)  # their bias towards the initial zeros

    def step(self, gradient: np.ndarray) -> np.ndarray:
        """The way uphill."""
        self.mean *= 0.9
        self.mean += 0.1 * gradient
        self.square *= 0.999
        self.square += 0.001 * np.square(gradient)
        length = self.rate / self.first[self.count]
        spread = np.sqrt(self.square) / self.second[self.count][:, None]
        self.count += 1
        return length[:, None] * self.mean / (spread + 1e-8)

    def restart(self, rows: np.ndarray, factor: float) -> None:
        """Forget what `rows` have seen and multiply their step size."""
        self.rate[rows] *= factor
        self.count[rows] = 0
        self.mean[rows] = 0
        self.square[rows] = 0

    def keep(self, rows: np.ndarray) -> None:
        self.rate, self.count, self.mean, self.square = (
            values[rows] for values in (self.rate, self.count, self.mean, self.square)
        )


class Restart:
    """What one restart has been through: its noise, its ELBO step by step, and its guide in the end."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.trace: list[float] = []
        self.rollbacks = 0
        self.plateau = False
        self.parameters = np.zeros(0)


class Climb:
    """Restarts that climb together: row r of every array belongs to `going[r]`.

    level: rows on their plateau; their parameters have been summed up in `total` over `averaged` steps.
    """

    def __init__(self, settings: Svi, guide: type[Guide], space: Space, restarts: list[Restart]) -> None:
        self.settings, self.guide, self.space, self.going = settings, guide, space, restarts
        self.parameters = np.stack([guide.initial(space.density.size, restart.rng) for restart in restarts])
        self.adam = Adam(self.parameters.shape, settings.learning_rate, settings.max_steps)
        self.level = np.zeros(len(restarts), dtype=bool)
        self.total, self.averaged = np.zeros(self.parameters.shape), np.zeros(len(restarts), dtype=int)
        self.steps = 0

    def run(self, progress: Told) -> None:
        """Climb until every restart has been averaged on its plateau, or has no step left."""
        while self.going:
            self.block(min(LOOK_EVERY, self.settings.max_steps - self.steps))
            best = max(np.mean(restart.trace[-LOOK_EVERY:] or [math.nan]) for restart in self.going)
            progress(self.steps, self.settings.max_steps, f"elbo {best:.2f}")
            self.look()

    def block(self, steps: int) -> None:
        """So many steps of every restart."""
        width = self.guide.noise_size(self.space.density.size)
        noise = [mirrored(steps, self.settings.num_particles, width, restart.rng) for restart in self.going]
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is rolled back
            found = np.array([self.step(each) for each in np.stack(noise, axis=1)])
        self.steps += steps
        for restart, elbo in zip(self.going, found.T, strict=True):
            restart.trace += elbo[np.isfinite(elbo)].tolist()

    def step(self, noise: np.ndarray) -> np.ndarray:
        """One step of every restart; returns the ELBOs, not finite where the step was rolled back."""
        q = self.guide(self.parameters, noise, self.space.density.size)
        log_p, slope = self.space.log_prob(q.u)
        elbo, gradient = (log_p - q.log_q).sum(axis=1) / log_p.shape[1], q.gradient(slope)
        if math.isfinite(elbo.sum() + gradient.sum()):
            self.parameters += self.adam.step(gradient)
        else:
            finite = np.isfinite(elbo + gradient.sum(axis=1))
            gradient[~finite] = 0
            self.parameters += np.where(finite[:, None], self.adam.step(gradient), 0.0)
            self.roll_back(np.flatnonzero(~finite), q.u)
            elbo[~finite] = math.nan
        if self.level.any():
            self.total[self.level] += self.parameters[self.level]
            self.averaged[self.level] += 1
        return elbo

    def roll_back(self, failed: np.ndarray, u: np.ndarray) -> None:
        """The failed rows have stayed where they were; they go on with smaller steps."""
        self.adam.restart(failed, 0.5)
        for row in failed.tolist():
            self.going[row].rollbacks += 1
            if self.going[row].rollbacks > MOST_ROLLBACKS:
                raise never_finite(self.space.density, torch.from_numpy(self.space.z(u)[row]))

    def look(self) -> None:
        """Who is done, and who has come to a plateau?"""
        done = (self.averaged == AVERAGED_STEPS) | (self.steps == self.settings.max_steps)
        for row, restart in enumerate(self.going):
            if done[row]:
                restart.plateau = bool(self.level[row])
                average = self.total[row] / max(1, self.averaged[row])
                restart.parameters = average if self.averaged[row] else self.parameters[row]
            elif not self.level[row] and on_plateau(restart.trace):
                self.level[row] = True
                self.adam.restart(np.array([row]), 0.1)
        if done.any():
            self.leave(done)

    def leave(self, done: np.ndarray) -> None:
        """Drop the rows of restarts that are done."""
        self.going = [restart for restart, ends in zip(self.going, done, strict=True) if not ends]
        self.space = self.space.only(~done)
        self.parameters, self.total, self.averaged, self.level = (
            values[~done] for values in (self.parameters, self.total, self.averaged, self.level)
        )
        self.adam.keep(~done)
        if self.going:
            self.space.density.settle(len(self.going) * self.settings.num_particles, "auto")


def climb(settings: Svi, density: LogDensity, modes: list[Mode], seeds: list[int], progress: Told) -> list[Ascent]:
    """Stochastic steps of all restarts from their modes until each ELBO is on a plateau, then averaged parameters.

    `density` is to be settled for restarts x particles rows.
    """
    guide = NORMALS[settings.guide]
    space = Space.around(density, modes, guide.diagonal)
    restarts = [Restart(np.random.default_rng(seed)) for seed in seeds]
    Climb(settings, guide, space, list(restarts)).run(progress)
    return [conclude(settings, guide, space.only(np.array([row])), restart) for row, restart in enumerate(restarts)]


def conclude(settings: Svi, guide: type[Guide], space: Space, restart: Restart) -> Ascent:
    """Draws of a restart's last guide."""
    noise = restart.rng.standard_normal((1, settings.num_samples, guide.noise_size(space.density.size)))
    q = guide(restart.parameters[None], noise, space.density.size)
    z = torch.from_numpy(space.z(q.u)[0])
    log_ratio = log_density(space.density, z) + space.log_det[0] - torch.from_numpy(q.log_q[0])
    if not bool(torch.isfinite(log_ratio).all()):
        raise never_finite(space.density, z[~torch.isfinite(log_ratio)])
    return Ascent(z, log_ratio, restart.trace, restart.plateau, restart.rollbacks)


def log_density(density: LogDensity, z: Tensor) -> Tensor:
    """`(rows,)` at `z (rows, D)`, however many rows there are."""
    return torch.cat([density(part)[0] for part in z.split(ROWS_AT_ONCE)])


def on_plateau(trace: list[float]) -> bool:
    """No horizon shows a gain beyond its own standard error (or `FLAT` nats)."""
    for horizon in HORIZONS:
        if len(trace) < 2 * horizon:
            return False
        before, after = np.array(trace[-2 * horizon : -horizon]), np.array(trace[-horizon:])
        noise = math.sqrt((before.var() + after.var()) / horizon)
        if after.mean() - before.mean() > max(noise, FLAT):
            return False
    return True


def never_finite(density: LogDensity, z: Tensor) -> InputError:
    """Names the site whose term is not finite at the guide's last draws."""
    for row in z.detach():
        fault = density.program.first_fault(density.constrain(row))
        if fault is not None:
            break
    else:
        fault = "the gradient is not finite though every term is"
    return InputError(
        f"`svi` cannot fit {density.program.name}", fault, "check priors, data and the program at that value"
    )
