"""NUTS for all chains at once, as a finite state machine: one tick is one leapfrog step of every chain.

Multinomial NUTS (Betancourt 2017, appendix A) with trees grown iteratively (Phan, Pradhan & Jankowiak 2019, algorithm
2) and the generalised U-turn criterion. A chain that completes its tree starts its next transition in the same tick,
so no chain waits for another's tree (Dance, Glaser, Orbanz & Adams 2025). Every chain contributes the same number of
draws, so the draws are not biased towards short trees.

Coordinates are whitened: the metric lies in the map from `u` to `z` outside, momenta are standard normal here.
Random numbers are drawn outside.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np

from models.native import compiled

MOST_ENERGY_ERROR = 1000.0
MOST_LOG_WEIGHT = 650.0  # weights are kept as they are, not as logarithms: e^650 times 2^20 leaves is a number yet

# Rows of a chain, each of D numbers. U, R: where the gradient is wanted next, and the momentum half a step before.
# TREE_*: the draw so far and its gradient; SUB_*: the same of the subtree being grown, and its sum of momenta.
# ENDS: u, r and g of the trajectory's left end, then of its right end. R_SUM: the trajectory's sum of momenta.
# KEPT: momenta, and sums of momenta up to there, at the leaves that later leaves are compared with, one pair a level.
U, R, TREE_U, TREE_G, SUB_U, SUB_G, SUB_SUM, R_SUM, ENDS, KEPT = 0, 1, 2, 3, 4, 5, 6, 7, 8, 14

NUMBERS = np.dtype(
    [
        ("tree_lp", np.float64),  # log density and energy of the draw so far
        ("tree_energy", np.float64),
        ("sub_lp", np.float64),  # the same of the subtree's draw
        ("sub_energy", np.float64),
        ("weight", np.float64),  # sums of exp(-energy error) over the leaves of the trajectory and of the subtree
        ("sub_weight", np.float64),
        ("energy", np.float64),  # at the start of the transition
        ("accept", np.float64),  # sum of acceptance probabilities of the transition's leaves
        ("step", np.float64),  # of the whole transition: a change on the way would break the flow's symmetry
        ("side", np.int64),  # where the trajectory grows: 1 to the right, -1 to the left, 0 before any transition
        ("leaf", np.int64),  # leaves in the subtree
        ("depth", np.int64),  # doublings done
        ("steps", np.int64),  # leapfrog steps of the transition
        ("done", np.int64),  # transitions completed
    ]
)

STATISTICS = np.dtype(
    [
        ("lp", np.float64),
        ("energy", np.float64),
        ("acceptance_rate", np.float64),
        ("n_steps", np.int64),
        ("tree_depth", np.int64),
        ("diverging", np.bool_),
    ]
)

Line = Annotated[np.ndarray, np.float64, 1]
Plane = Annotated[np.ndarray, np.float64, 2]
Solid = Annotated[np.ndarray, np.float64, 3]
Numbers = Annotated[np.ndarray, NUMBERS, 1]
Statistics = Annotated[np.ndarray, STATISTICS, 2]
Drawn = Annotated[np.ndarray, np.float64, 4]


class Chains(NamedTuple):
    """The state of every chain between two ticks: `numbers (chains,)` by name, `rows (chains, row, D)`."""

    numbers: np.ndarray
    rows: np.ndarray


class Record(NamedTuple):
    """What completed transitions leave behind: `statistics (chains, draws)` by name, and `rows (chains, draws, 2, D)`,
    draw and gradient. A chain that completes more transitions than there is room for writes over its oldest ones."""

    statistics: np.ndarray
    rows: np.ndarray


def new_chains(num_chains: int, size: int, max_tree_depth: int) -> Chains:
    """Chains that have not begun; their draws so far (`TREE_*`) are to be filled in."""
    return Chains(np.zeros(num_chains, NUMBERS), np.zeros((num_chains, KEPT + 2 * max_tree_depth, size)))


def new_record(num_chains: int, num_draws: int, size: int) -> Record:
    return Record(np.zeros((num_chains, num_draws), STATISTICS), np.empty((num_chains, num_draws, 2, size)))


@compiled
def turning(left: Line, right: Line, total: Line, before: Line, scale: float) -> bool:
    """Whether the ends of a trajectory move towards each other; its summed momentum is total - scale (before - left).

    All rows `(D,)`.
    """
    by_left, by_right = 0.0, 0.0
    for d in range(left.shape[0]):
        rho = total[d] - scale * (before[d] - left[d]) - 0.5 * (left[d] + right[d])
        by_left += left[d] * rho
        by_right += right[d] * rho
    return by_left <= 0.0 or by_right <= 0.0


@compiled
def note(
    numbers: Numbers, rows: Solid, c: int, rate: float, diverging: bool, depth: int,
    statistics: Statistics, drawn: Drawn,
) -> None:  # fmt: skip
    """Chain c has completed a transition: its draw so far goes into the record."""
    s = numbers[c]
    t = s.done % statistics.shape[1]
    left = statistics[c, t]
    left.lp, left.energy, left.acceptance_rate = s.tree_lp, s.tree_energy, rate
    left.n_steps, left.diverging, left.tree_depth = s.steps, diverging, depth
    for d in range(rows.shape[2]):
        drawn[c, t, 0, d] = rows[c, TREE_U, d]
        drawn[c, t, 1, d] = rows[c, TREE_G, d]
    s.done += 1


@compiled
def tick(
    numbers: Numbers,
    rows: Solid,
    lp: Line,
    g: Plane,
    uniform: Plane,
    normal: Plane,
    step: float,
    max_depth: int,
    limit: int,
    statistics: Statistics,
    drawn: Drawn,
) -> tuple[float, int]:
    """Finish the leapfrog step of every chain with fewer than `limit` transitions, given density `lp (chains,)` and
    gradient `g (chains, D)` at its row U; chains that have not begun begin.

    uniform, normal: random numbers `(chains, 3)` and `(chains, D)`; a beginning transition takes the next row of the
    second. step: for transitions that begin now. statistics, drawn: the parts of a record.
    Returns the sum of the acceptance rates of the transitions that it completed, and the number that it began.
    """
    accepted, begun = 0.0, 0
    size = g.shape[1]
    for c in range(len(numbers)):
        s, row = numbers[c], rows[c]
        if s.done >= limit:
            continue
        finished = True
        if s.side != 0:
            r, gradient, sub_sum, leaf = row[R], g[c], row[SUB_SUM], s.leaf
            kinetic = 0.0
            half = 0.5 * s.step * s.side
            for d in range(size):
                r[d] += half * gradient[d]
                sub_sum[d] += r[d]
                kinetic += 0.5 * r[d] * r[d]
            energy = kinetic - lp[c]
            error = energy - s.energy
            if not np.isfinite(error):
                error = np.inf
            diverging = error > MOST_ENERGY_ERROR
            weight = np.exp(min(-error, MOST_LOG_WEIGHT))
            s.accept += min(1.0, weight)
            s.steps += 1

            # the leaf joins the subtree: its weight, and its chance to be the subtree's draw
            s.sub_weight += weight
            if leaf == 0 or uniform[c, 0] * s.sub_weight < weight:
                s.sub_lp, s.sub_energy = lp[c], energy
                for d in range(size):
                    row[SUB_U, d] = row[U, d]
                    row[SUB_G, d] = gradient[d]

            # an even leaf is kept for comparison; an odd one closes the balanced subtrees that end in it
            level, bits = KEPT, leaf >> 1
            while bits > 0:
                level += 2 * (bits & 1)
                bits >>= 1
            turned = False
            if leaf % 2 == 0:
                for d in range(size):
                    row[level, d] = r[d]
                    row[level + 1, d] = sub_sum[d]
            else:
                bits = leaf
                while bits & 1 and not turned:
                    turned = turning(row[level], r, sub_sum, row[level + 1], 1.0)
                    bits >>= 1
                    level -= 2
            s.leaf = leaf + 1
            if not turned and not diverging and s.leaf < (1 << s.depth):
                for d in range(size):
                    r[d] += half * gradient[d]
                    row[U, d] += 2 * half * r[d]
                continue

            # the subtree is complete: a sound one doubles the trajectory
            if not turned and not diverging:
                if uniform[c, 1] * s.weight < s.sub_weight:
                    s.tree_lp, s.tree_energy = s.sub_lp, s.sub_energy
                    for d in range(size):
                        row[TREE_U, d] = row[SUB_U, d]
                        row[TREE_G, d] = row[SUB_G, d]
                s.weight += s.sub_weight
                end = ENDS if s.side < 0 else ENDS + 3
                for d in range(size):
                    row[R_SUM, d] += sub_sum[d]
                    row[end, d] = row[U, d]
                    row[end + 1, d] = r[d]
                    row[end + 2, d] = gradient[d]
                s.depth += 1
                finished = s.depth == max_depth or turning(row[ENDS + 1], row[ENDS + 4], row[R_SUM], r, 0.0)

            if finished:
                rate = s.accept / s.steps
                depth = s.depth + (1 if turned or diverging else 0)
                note(numbers, rows, c, rate, diverging, depth, statistics, drawn)
                accepted += rate

        if finished:
            # a new transition from the current draw, with a fresh momentum
            kinetic = 0.0
            for d in range(size):
                momentum = normal[begun, d]
                kinetic += 0.5 * momentum * momentum
                row[R_SUM, d] = momentum
                for end in (ENDS, ENDS + 3):
                    row[end, d] = row[TREE_U, d]
                    row[end + 1, d] = momentum
                    row[end + 2, d] = row[TREE_G, d]
            begun += 1
            s.step, s.accept, s.weight = step, 0.0, 1.0
            s.depth, s.steps = 0, 0
            s.energy = s.tree_energy = kinetic - s.tree_lp

        # off from one end of the trajectory into a new subtree: half a kick, a full move
        s.side = 1 if uniform[c, 2] < 0.5 else -1
        s.leaf, s.sub_weight = 0, 0.0
        end = ENDS if s.side < 0 else ENDS + 3
        signed = s.step * s.side
        for d in range(size):
            row[R, d] = row[end + 1, d] + 0.5 * signed * row[end + 2, d]
            row[U, d] = row[end, d] + signed * row[R, d]
            row[SUB_SUM, d] = 0.0
    return accepted, begun
