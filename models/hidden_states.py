"""What a hidden Markov chain's observations say about its states, for known parameters.

Every function takes the chain as three arrays of logarithms:

    log_start       (*batch, K)       of the first state's probabilities
    log_transition  (*batch, K, K)    of the moves' probabilities, row: from, column: to
    log_emission    (*batch, T, K)    density of observation t in state k; 0 for all states where it is missing

whose batch axes broadcast against each other: draws of the parameters, sequences. -inf is a probability of zero. Scaled
recursions never underflow; `forward` computes in logarithms throughout.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Filtered(NamedTuple):
    """states: P(state at t | observations up to t), `(*batch, T, K)`. log_density: log p(observation t | those before
    it), `(*batch, T)`, whose sum over t is the log likelihood; 0 where the observation is missing."""

    states: np.ndarray
    log_density: np.ndarray


class Path(NamedTuple):
    """states `(*batch, T)`, and the log density of path and observations together, `(*batch,)`."""

    states: np.ndarray
    log_joint: np.ndarray


def filtered(log_start: np.ndarray, log_transition: np.ndarray, log_emission: np.ndarray) -> Filtered:
    """What is known at each time from the observations so far."""
    from models.distributions.state_recursions import posterior_states

    batch, arrays = flat(log_start, log_transition, log_emission)
    states, log_density = posterior_states(*arrays, False)
    return Filtered(states.reshape(*batch, *states.shape[1:]), log_density.reshape(*batch, -1))


def smoothed(log_start: np.ndarray, log_transition: np.ndarray, log_emission: np.ndarray) -> np.ndarray:
    """P(state at t | all observations), `(*batch, T, K)`."""
    from models.distributions.state_recursions import posterior_states

    batch, arrays = flat(log_start, log_transition, log_emission)
    states, _ = posterior_states(*arrays, True)
    return states.reshape(*batch, *states.shape[1:])


def most_likely(
    log_start: np.ndarray, log_transition: np.ndarray, log_emission: np.ndarray, lengths: np.ndarray | None = None
) -> Path:
    """Viterbi's path: the most probable one as a whole. Its posterior probability is exp(log_joint - log likelihood).
    Of paths that are equally probable, one.

    lengths: how long each sequence is, broadcasting to `(*batch)`, where all are filled up to one T. Rows beyond the
    end are no missing observations here: a path must not be chosen for where it might go on to. It is -1 there.
    """
    from models.distributions.state_recursions import most_likely_paths

    batch, arrays = flat(log_start, log_transition, log_emission)
    ends = np.broadcast_to(log_emission.shape[-2] if lengths is None else lengths, batch).astype(np.int64)
    states, log_joint = most_likely_paths(*arrays, np.ascontiguousarray(ends.reshape(-1)))
    return Path(states.reshape(*batch, -1), log_joint.reshape(batch))


def drawn(
    log_start: np.ndarray, log_transition: np.ndarray, log_emission: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """One path from the distribution of paths given all observations for every element of the batch, `(*batch, T)`."""
    from models.distributions.state_recursions import drawn_paths, posterior_states

    batch, arrays = flat(log_start, log_transition, log_emission)
    forward_states, _ = posterior_states(*arrays, False)
    paths = drawn_paths(arrays[1], forward_states, rng.random(forward_states.shape[:2]))
    return paths.reshape(*batch, -1)


def forward(log_start: np.ndarray, log_transition: np.ndarray, log_emission: np.ndarray) -> np.ndarray:
    """log p(observations up to t, state at t), `(*batch, T, K)`: the recursion in logarithms."""
    alpha = [log_start + log_emission[..., 0, :]]
    for t in range(1, log_emission.shape[-2]):
        alpha.append(np.logaddexp.reduce(alpha[-1][..., :, None] + log_transition, axis=-2) + log_emission[..., t, :])
    return np.stack(alpha, axis=-2)


def ahead(last: np.ndarray, transition: np.ndarray, steps: int) -> np.ndarray:
    """P(state 1..steps after the last observation), `(*batch, steps, K)`, from the last filtered states `(*batch, K)`
    and the moves' probabilities `(*batch, K, K)`."""
    found = []
    for _ in range(steps):
        last = (last[..., None, :] @ transition)[..., 0, :]
        found.append(last)
    return np.stack(found, axis=-2)


def stationary(transition: np.ndarray) -> np.ndarray:
    """The law that a step of the chain leaves as it is, `(*batch, K)`."""
    weights = np.stack(stationary_weights(transition), axis=-1)
    return weights / weights.sum(axis=-1, keepdims=True)


def stationary_weights(transition: Any) -> list[Any]:
    """The stationary law's weights, one `(*batch)` a state, not normalised; NumPy arrays or tensors, differentiable.

    States are taken out one by one, those that remain moving as if by way of it: elimination without a subtraction, so
    that no digit is lost however slowly the chain mixes (Grassmann, Taksar & Heyman 1985).
    """
    entering = []
    for n in range(transition.shape[-1] - 1, 0, -1):
        leaving = transition[..., n, :n]
        # a state that is never left has all the weight
        share = transition[..., :n, n] / (leaving.sum(-1) + 1e-30)[..., None]
        transition = transition[..., :n, :n] + share[..., :, None] * leaving[..., None, :]
        entering.append(share)
    weights = [transition[..., 0, 0] * 0 + 1]
    for share in reversed(entering):
        weights.append(sum(weight * share[..., i] for i, weight in enumerate(weights)))
    return weights


def flat(
    log_start: np.ndarray, log_transition: np.ndarray, log_emission: np.ndarray
) -> tuple[tuple[int, ...], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The common batch shape, and the arrays with one batch axis, contiguous, float64."""
    batch = np.broadcast_shapes(log_start.shape[:-1], log_transition.shape[:-2], log_emission.shape[:-2])

    def whole(values: np.ndarray, event: int) -> np.ndarray:
        shape = values.shape[values.ndim - event :]
        return np.ascontiguousarray(np.broadcast_to(values, batch + shape).reshape(-1, *shape), dtype=float)

    return batch, (whole(log_start, 1), whole(log_transition, 2), whole(log_emission, 2))
