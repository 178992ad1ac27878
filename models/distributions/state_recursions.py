"""The recursions over time that decode a hidden Markov chain: filtering and smoothing (Rabiner 1989, section V), the
most likely path (Viterbi 1967) and draws of paths (Frühwirth-Schnatter 1994).

Sequences b = 1..B have arguments of their own: log weights of the first state `(B, K)`, of moves `(B, K, K)` (row:
from, column: to), and log densities of every observation by state `(B, T, K)`, 0 for all states where it is missing.
-inf is a probability of zero.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np

from models.distributions.forward_backward import Line, Plane, Solid
from models.native import compiled

Whole = Annotated[np.ndarray, np.int64, 1]
Paths = Annotated[np.ndarray, np.int64, 2]


def posterior_states(
    log_start: np.ndarray, log_transition: np.ndarray, log_emission: np.ndarray, backward: bool
) -> tuple[np.ndarray, np.ndarray]:
    """P(state at t | observations up to t), or given all of them with `backward`, `(B, T, K)`; and log p(observation t
    | those before), `(B, T)`.

    Where an observation is impossible, its log density is -inf and what would be given it is NaN.
    """
    batch, length, states = log_emission.shape
    probabilities, log_density = np.empty(log_emission.shape), np.empty((batch, length))
    work = np.empty((length, states)), np.empty(length), np.empty((states + 2, states))
    condition(log_start, log_transition, log_emission, backward, probabilities, log_density, *work)
    return probabilities, log_density


def most_likely_paths(
    log_start: np.ndarray, log_transition: np.ndarray, log_emission: np.ndarray, lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The path of the highest joint density with the first `lengths (B,)` observations, `(B, T)`, -1 beyond, and its
    log, `(B,)`."""
    batch, length, states = log_emission.shape
    paths, log_joint = np.full((batch, length), -1), np.empty(batch)
    work = np.empty((length, states), np.int64), np.empty((2, states))
    viterbi(log_start, log_transition, log_emission, lengths, paths, log_joint, *work)
    return paths, log_joint


def drawn_paths(log_transition: np.ndarray, filtered: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Paths from their distribution given all observations, `(B, T)`: backwards, each state given the one after it.

    filtered: as `posterior_states` has it. uniform: random numbers in [0, 1), `(B, T)`.
    """
    paths = np.empty(uniform.shape, np.int64)
    draw(log_transition, filtered, uniform, paths, np.empty(filtered.shape[2]))
    return paths


@compiled
def condition(
    log_start: Plane,
    log_transition: Solid,
    log_emission: Solid,
    backward: bool,
    probabilities: Solid,
    log_density: Plane,
    emission: Plane,
    scale: Line,
    rows: Plane,
) -> None:
    """Fills in `probabilities` and `log_density`; the last three are room to work in."""
    batch, length, states = log_emission.shape[0], log_emission.shape[1], log_emission.shape[2]
    transition, beta, weighted = rows, rows[states], rows[states + 1]
    for b in range(batch):
        for i in range(states):
            for j in range(states):
                transition[i, j] = np.exp(log_transition[b, i, j])
        for t in range(length):
            peak = -np.inf
            for k in range(states):
                peak = max(peak, log_emission[b, t, k])
            mass = 0.0
            for k in range(states):
                emission[t, k] = np.exp(log_emission[b, t, k] - peak) if peak > -np.inf else 0.0
                if t == 0:
                    reached = np.exp(log_start[b, k])
                else:
                    reached = 0.0
                    for i in range(states):
                        reached += probabilities[b, t - 1, i] * transition[i, k]
                probabilities[b, t, k] = reached * emission[t, k]
                mass += probabilities[b, t, k]
            for k in range(states):
                probabilities[b, t, k] /= mass
            scale[t] = mass
            log_density[b, t] = peak + np.log(mass)
        if not backward:
            continue
        for k in range(states):
            beta[k] = 1.0
        for t in range(length - 2, -1, -1):
            for k in range(states):
                weighted[k] = emission[t + 1, k] * beta[k] / scale[t + 1]
            for i in range(states):
                reached = 0.0
                for j in range(states):
                    reached += transition[i, j] * weighted[j]
                beta[i] = reached
                probabilities[b, t, i] *= reached


@compiled
def viterbi(
    log_start: Plane,
    log_transition: Solid,
    log_emission: Solid,
    lengths: Whole,
    paths: Paths,
    log_joint: Line,
    came_from: Paths,
    rows: Plane,
) -> None:
    """Fills in `paths` and `log_joint`; the last two are room to work in."""
    batch, states = log_emission.shape[0], log_emission.shape[2]
    best, before = rows[0], rows[1]
    for b in range(batch):
        length = lengths[b]
        for k in range(states):
            best[k] = log_start[b, k] + log_emission[b, 0, k]
        for t in range(1, length):
            for k in range(states):
                before[k] = best[k]
            for k in range(states):
                highest, origin = before[0] + log_transition[b, 0, k], 0
                for i in range(1, states):
                    joint = before[i] + log_transition[b, i, k]
                    if joint > highest:
                        highest, origin = joint, i
                best[k] = highest + log_emission[b, t, k]
                came_from[t, k] = origin
        last = 0
        for k in range(1, states):
            if best[k] > best[last]:
                last = k
        log_joint[b] = best[last]
        paths[b, length - 1] = last
        for t in range(length - 1, 0, -1):
            last = came_from[t, last]
            paths[b, t - 1] = last


@compiled
def draw(log_transition: Solid, filtered: Solid, uniform: Plane, paths: Paths, weights: Line) -> None:
    """Fills in `paths`; `weights` is room to work in."""
    batch, length, states = filtered.shape[0], filtered.shape[1], filtered.shape[2]
    for b in range(batch):
        after = 0
        for t in range(length - 1, -1, -1):
            total = 0.0
            for k in range(states):
                weights[k] = filtered[b, t, k]
                if t < length - 1:
                    weights[k] *= np.exp(log_transition[b, k, after])
                total += weights[k]
            left = uniform[b, t] * total
            after = 0
            while after < states - 1 and left >= weights[after]:
                left -= weights[after]
                after += 1
            # rounding may leave the last state, which may be impossible
            while after > 0 and weights[after] == 0.0:
                after -= 1
            paths[b, t] = after
