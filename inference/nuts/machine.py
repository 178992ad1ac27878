"""NUTS for all chains at once, as a finite state machine: one tick is one leapfrog step of every chain.

Multinomial NUTS (Betancourt 2017, appendix A) with trees grown iteratively (Phan, Pradhan & Jankowiak 2019, algorithm
2) and the generalised U-turn criterion. A chain that completes its tree starts its next transition in the same tick,
so no chain waits for another's tree (Dance, Glaser, Orbanz & Adams 2025). Every chain contributes the same number of
draws, so the draws are not biased towards short trees.

Coordinates are whitened: the metric lies in the map from `u` to `z` outside, momenta are standard normal here.
Arrays are `(chains, D)` unless said otherwise. The machine is compiled by numba, and its compiled form is cached on
disk.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

MOST_ENERGY_ERROR = 1000.0


class Chains(NamedTuple):
    """The state of every chain between two ticks.

    u, r: where the gradient is wanted next, and the momentum half a step before.
    tree_u, tree_g, tree_lp, tree_energy: the draw so far, its gradient, log density and energy.
    left_*, right_*: the trajectory's ends. sub_*: the subtree being grown, the same as tree_*.
    kept_r, kept_sum: momenta and their running sums at the leaves that later leaves are compared with, `(chains,
    depth, D)`.
    r_sum, sub_sum: sums of momenta. log_w, sub_log_w: log of the summed weights.
    energy: the energy that the transition started with. accept: sum of acceptance probabilities of its leaves.
    leaf, depth, steps: leaves in the subtree, doublings done, leapfrog steps of the transition. side: +1 or -1.
    step: the step size that the transition started with: a change on the way would break the flow's symmetry.
    done: transitions completed.
    """

    u: np.ndarray
    r: np.ndarray
    tree_u: np.ndarray
    tree_g: np.ndarray
    tree_lp: np.ndarray
    tree_energy: np.ndarray
    left_u: np.ndarray
    left_r: np.ndarray
    left_g: np.ndarray
    right_u: np.ndarray
    right_r: np.ndarray
    right_g: np.ndarray
    sub_u: np.ndarray
    sub_g: np.ndarray
    sub_lp: np.ndarray
    sub_energy: np.ndarray
    kept_r: np.ndarray
    kept_sum: np.ndarray
    r_sum: np.ndarray
    sub_sum: np.ndarray
    log_w: np.ndarray
    sub_log_w: np.ndarray
    energy: np.ndarray
    accept: np.ndarray
    step: np.ndarray
    leaf: np.ndarray
    depth: np.ndarray
    steps: np.ndarray
    side: np.ndarray
    done: np.ndarray


class Record(NamedTuple):
    """What completed transitions leave behind: draws and gradients `(chains, draws, D)`, the rest `(chains, draws)`."""

    u: np.ndarray
    g: np.ndarray
    lp: np.ndarray
    energy: np.ndarray
    acceptance_rate: np.ndarray
    n_steps: np.ndarray
    tree_depth: np.ndarray
    diverging: np.ndarray


def new_chains(num_chains: int, size: int, max_tree_depth: int) -> Chains:
    """Room for the state, to be filled by `begin`."""
    wide = {"kept_r": (num_chains, max_tree_depth, size), "kept_sum": (num_chains, max_tree_depth, size)}
    flat = {"tree_lp", "tree_energy", "sub_lp", "sub_energy", "log_w", "sub_log_w", "energy", "accept", "step"}
    whole = {"leaf", "depth", "steps", "side", "done"}
    return Chains(
        *(
            np.zeros(num_chains, dtype=np.int64)
            if name in whole
            else np.zeros(num_chains)
            if name in flat
            else np.zeros(wide.get(name, (num_chains, size)))
            for name in Chains._fields
        )
    )


def new_record(num_chains: int, num_draws: int, size: int) -> Record:
    shape = (num_chains, num_draws)
    return Record(
        np.empty((*shape, size)),
        np.empty((*shape, size)),
        np.empty(shape),
        np.empty(shape),
        np.empty(shape),
        np.empty(shape, dtype=np.int64),
        np.empty(shape, dtype=np.int64),
        np.empty(shape, dtype=np.bool_),
    )


@njit(cache=True, error_model="numpy")
def turning(left: np.ndarray, right: np.ndarray, total: np.ndarray) -> bool:
    """Whether the ends of a trajectory with summed momentum `total` move towards each other (each `(D,)`)."""
    by_left, by_right = 0.0, 0.0
    for d in range(left.shape[0]):
        rho = total[d] - 0.5 * (left[d] + right[d])
        by_left += left[d] * rho
        by_right += right[d] * rho
    return by_left <= 0.0 or by_right <= 0.0


@njit(cache=True, error_model="numpy")
def log_add(a: float, b: float) -> float:
    high, low = max(a, b), min(a, b)
    return high if low == -np.inf else high + np.log1p(np.exp(low - high))


@njit(cache=True, error_model="numpy")
def launch(s: Chains, c: int, rng: np.random.Generator) -> None:
    """Choose a side, and set chain `c` off from that end of its trajectory into a new subtree."""
    s.side[c] = 1 if rng.random() < 0.5 else -1
    s.leaf[c] = 0
    if s.side[c] == 1:
        drift(s, c, s.right_u[c], s.right_r[c], s.right_g[c])
    else:
        drift(s, c, s.left_u[c], s.left_r[c], s.left_g[c])


@njit(cache=True, error_model="numpy")
def drift(s: Chains, c: int, u: np.ndarray, r: np.ndarray, g: np.ndarray) -> None:
    """The first two thirds of a leapfrog step: half a kick, a full move."""
    signed = s.step[c] * s.side[c]
    for d in range(u.shape[0]):
        half = r[d] + 0.5 * signed * g[d]
        s.u[c, d] = u[d] + signed * half
        s.r[c, d] = half


@njit(cache=True, error_model="numpy")
def begin(s: Chains, c: int, step: float, rng: np.random.Generator) -> None:
    """A new transition of chain `c` from its current draw, with a fresh momentum."""
    kinetic = 0.0
    for d in range(s.u.shape[1]):
        r = rng.standard_normal()
        kinetic += 0.5 * r * r
        s.left_r[c, d] = r
        s.right_r[c, d] = r
        s.r_sum[c, d] = r
        s.left_u[c, d] = s.tree_u[c, d]
        s.right_u[c, d] = s.tree_u[c, d]
        s.left_g[c, d] = s.tree_g[c, d]
        s.right_g[c, d] = s.tree_g[c, d]
    s.step[c] = step
    s.energy[c] = kinetic - s.tree_lp[c]
    s.tree_energy[c] = s.energy[c]
    s.log_w[c] = 0.0
    s.depth[c] = 0
    s.steps[c] = 0
    s.accept[c] = 0.0
    launch(s, c, rng)


@njit(cache=True, error_model="numpy")
def begin_all(s: Chains, step: float, rng: np.random.Generator) -> None:
    for c in range(s.u.shape[0]):
        begin(s, c, step, rng)


@njit(cache=True, error_model="numpy")
def tick(
    s: Chains,
    lp: np.ndarray,
    g: np.ndarray,
    step: float,
    max_depth: int,
    limit: int,
    record: Record,
    rng: np.random.Generator,
) -> tuple[float, int]:
    """Finish the leapfrog step of every chain with fewer than `limit` transitions, given density and gradient at `s.u`.

    Returns the sum of the acceptance rates of the transitions that it completed, and their number.
    """
    accepted, completed = 0.0, 0
    size = s.u.shape[1]
    for c in range(s.u.shape[0]):
        if s.done[c] >= limit:
            continue
        kinetic = 0.0
        half = 0.5 * s.step[c] * s.side[c]
        for d in range(size):
            s.r[c, d] += half * g[c, d]
            kinetic += 0.5 * s.r[c, d] * s.r[c, d]
        energy = kinetic - lp[c]
        error = energy - s.energy[c]
        if not np.isfinite(error):
            error = np.inf
        diverging = error > MOST_ENERGY_ERROR
        probability = min(1.0, np.exp(-error))
        s.accept[c] += probability
        s.steps[c] += 1

        # the leaf joins the subtree: its weight, its chance to be the subtree's draw, its momentum
        leaf = s.leaf[c]
        weight = -error
        if leaf == 0:
            s.sub_log_w[c] = weight
            take = True
        else:
            s.sub_log_w[c] = log_add(s.sub_log_w[c], weight)
            take = np.log(rng.random()) < weight - s.sub_log_w[c]
        for d in range(size):
            s.sub_sum[c, d] = s.r[c, d] if leaf == 0 else s.sub_sum[c, d] + s.r[c, d]
        if take:
            s.sub_lp[c] = lp[c]
            s.sub_energy[c] = energy
            for d in range(size):
                s.sub_u[c, d] = s.u[c, d]
                s.sub_g[c, d] = g[c, d]

        # an even leaf is kept for comparison; an odd one closes the balanced subtrees that end in it
        high = 0
        bits = leaf >> 1
        while bits > 0:
            high += bits & 1
            bits >>= 1
        turned = False
        if leaf % 2 == 0:
            for d in range(size):
                s.kept_r[c, high, d] = s.r[c, d]
                s.kept_sum[c, high, d] = s.sub_sum[c, d]
        else:
            bits, level = leaf, high
            while bits & 1 and not turned:
                by_left, by_right = 0.0, 0.0
                for d in range(size):
                    left, right = s.kept_r[c, level, d], s.r[c, d]
                    rho = s.sub_sum[c, d] - s.kept_sum[c, level, d] + left - 0.5 * (left + right)
                    by_left += left * rho
                    by_right += right * rho
                turned = by_left <= 0.0 or by_right <= 0.0
                bits >>= 1
                level -= 1
        s.leaf[c] = leaf + 1
        if not turned and not diverging and s.leaf[c] < (1 << s.depth[c]):
            drift(s, c, s.u[c].copy(), s.r[c].copy(), g[c])
            continue

        # the subtree is complete: a sound one doubles the trajectory
        finished = True
        if not turned and not diverging:
            if np.log(rng.random()) < s.sub_log_w[c] - s.log_w[c]:
                s.tree_lp[c] = s.sub_lp[c]
                s.tree_energy[c] = s.sub_energy[c]
                for d in range(size):
                    s.tree_u[c, d] = s.sub_u[c, d]
                    s.tree_g[c, d] = s.sub_g[c, d]
            s.log_w[c] = log_add(s.log_w[c], s.sub_log_w[c])
            for d in range(size):
                s.r_sum[c, d] += s.sub_sum[c, d]
                if s.side[c] == 1:
                    s.right_u[c, d], s.right_r[c, d], s.right_g[c, d] = s.u[c, d], s.r[c, d], g[c, d]
                else:
                    s.left_u[c, d], s.left_r[c, d], s.left_g[c, d] = s.u[c, d], s.r[c, d], g[c, d]
            s.depth[c] += 1
            finished = s.depth[c] == max_depth or turning(s.left_r[c], s.right_r[c], s.r_sum[c])
        if not finished:
            launch(s, c, rng)
            continue

        t = s.done[c] % record.lp.shape[1]
        record.lp[c, t] = s.tree_lp[c]
        record.energy[c, t] = s.tree_energy[c]
        record.acceptance_rate[c, t] = s.accept[c] / s.steps[c]
        record.n_steps[c, t] = s.steps[c]
        record.tree_depth[c, t] = s.depth[c] + (1 if turned or diverging else 0)
        record.diverging[c, t] = diverging
        for d in range(size):
            record.u[c, t, d] = s.tree_u[c, d]
            record.g[c, t, d] = s.tree_g[c, d]
        s.done[c] += 1
        accepted += s.accept[c] / s.steps[c]
        completed += 1
        begin(s, c, step, rng)
    return accepted, completed
