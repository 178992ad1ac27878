"""The forward-backward recursion of a hidden Markov chain, scaled so that it never underflows (Rabiner 1989, section
V).

For every sequence, with a start, transitions and the states' densities of each observation, the log likelihood

    log p(y) = log sum over all paths z of start[z_1] e_1[z_1] prod over t of transition[z_(t-1), z_t] e_t[z_t]

and its derivatives, which are expectations over paths: by log start the first state's probabilities, by log e_t those
of state t, by log transition the expected number of moves. Time is the only loop that cannot be batched.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np

from models.native import compiled

Line = Annotated[np.ndarray, np.float64, 1]
Plane = Annotated[np.ndarray, np.float64, 2]
Solid = Annotated[np.ndarray, np.float64, 3]


def forward_backward(
    log_start: np.ndarray, log_transition: np.ndarray, log_emission: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Log likelihood `(B,)` and its gradients `(B, K)`, `(B, K, K)`, `(B, T, K)` at arguments of these three shapes.

    -inf in any argument is a probability of zero; a sequence without any possible path has likelihood -inf and
    gradients of zero. The start and the rows of transition need not sum to one.
    """
    batch, length, states = log_emission.shape
    given = [np.ascontiguousarray(argument) for argument in (log_start, log_transition, log_emission)]
    value, (by_start, by_transition, by_emission) = np.zeros(batch), map(np.zeros_like, given)
    work = np.empty((length, states)), np.empty((length, states)), np.empty(length), np.empty((states + 2, states))
    recursion(*given, value, by_start, by_transition, by_emission, *work)
    return value, by_start, by_transition, by_emission


@compiled
def recursion(
    log_start: Plane,
    log_transition: Solid,
    log_emission: Solid,
    value: Line,
    by_start: Plane,
    by_transition: Solid,
    by_emission: Solid,
    alpha: Plane,
    emission: Plane,
    scale: Line,
    rows: Plane,
) -> None:
    """Fills in `value` and the gradients, which are zero; the last four are room to work in."""
    batch, length, states = log_emission.shape[0], log_emission.shape[1], log_emission.shape[2]
    transition, beta, weighted = rows, rows[states], rows[states + 1]
    for b in range(batch):
        for i in range(states):
            for j in range(states):
                transition[i, j] = np.exp(log_transition[b, i, j])
        total = 0.0
        possible = True
        for t in range(length):
            peak = -np.inf
            for k in range(states):
                peak = max(peak, log_emission[b, t, k])
            if not peak > -np.inf:
                possible = False
                break
            mass = 0.0
            for k in range(states):
                emission[t, k] = np.exp(log_emission[b, t, k] - peak)
                if t == 0:
                    reached = np.exp(log_start[b, k])
                else:
                    reached = 0.0
                    for i in range(states):
                        reached += alpha[t - 1, i] * transition[i, k]
                alpha[t, k] = reached * emission[t, k]
                mass += alpha[t, k]
            if not mass > 0.0:
                possible = False
                break
            for k in range(states):
                alpha[t, k] /= mass
            scale[t] = mass
            total += peak + np.log(mass)
        if not possible:
            value[b] = -np.inf
            continue
        value[b] = total
        for k in range(states):
            beta[k] = 1.0
            by_emission[b, length - 1, k] = alpha[length - 1, k]
        for t in range(length - 2, -1, -1):
            for k in range(states):
                weighted[k] = emission[t + 1, k] * beta[k] / scale[t + 1]
            for i in range(states):
                reached = 0.0
                for j in range(states):
                    move = transition[i, j] * weighted[j]
                    reached += move
                    by_transition[b, i, j] += alpha[t, i] * move
                beta[i] = reached
                by_emission[b, t, i] = alpha[t, i] * reached
        for k in range(states):
            by_start[b, k] = by_emission[b, 0, k]
