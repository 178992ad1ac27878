"""All chains of one fit, from their starting points to their draws: pooled warm-up, then draws."""

from __future__ import annotations

import itertools
import time

import numpy as np

from inference.density import LogDensity
from inference.nuts import machine
from inference.nuts.adaptation import EARLY, Metric, StepSize, window_ends
from inference.nuts.blocks import Blocks, Round
from inference.nuts.drive import MACHINES
from inference.progress import Progress
from inference.settings import Hmc, Metropolis, Nuts

TOLD_EVERY = 0.1  # seconds between two calls of progress
EARLY_DEPTH = 7  # doublings at most while chains are far out: long trees are wasted there
SHARE = 1 / 3  # of a window's length that every chain must contribute, unless the others have done twice their part
MOST_STEPS = 1024  # of a trajectory of hmc
ENDLESS = np.iinfo(np.int64).max
CAREFUL, BOLD = 0.8, 0.65  # acceptance rates to choose from
BETTER = 1.3  # how much more a bold step must give
UNEVEN = 2.5  # spread of the chains' acceptance rates, in units of what chance makes of it
FEWEST = 8  # chains, and draws of each, from which agreement can be judged
AGREEMENT = 1.1  # R-hat of the chains in half a window
LOST = 20.0  # log density below the best chain, beyond what D coordinates explain
WARMING_TICKS, SAMPLING_TICKS = 8, 64  # without a look at what came out


class Sampler:
    """Chains and what they share: step size, metric, progress."""

    def __init__(
        self, settings: Nuts | Hmc | Metropolis, density: LogDensity, z: np.ndarray, seed: int, progress: Progress
    ) -> None:
        """Chains at the starting points `z (chains, D)`."""
        self.settings, self.density, self.progress = settings, density, progress
        self.metric = Metric(density.size, settings.metric == "dense")
        self.depth = settings.max_tree_depth if isinstance(settings, Nuts) else 0
        self.name = type(settings).__name__.lower()
        self.blocks = Blocks(density, self.metric, settings.num_chains, self.depth, seed, MACHINES[self.name])
        self.chains = self.blocks.chains
        self.began = self.told = time.perf_counter()
        self.passed = self.moved = 0  # transitions of warm-up so far, chains that were brought home
        self.blocks.place(z)
        # the ratio of spreads that makes a metric is the same far out as near the mass, where the density is normal
        tree = self.chains.rows[:, [machine.TREE_U, machine.TREE_G]]
        self.relearn(tree[:, 0], tree[:, 1])

    def relearn(self, u: np.ndarray, g: np.ndarray) -> None:
        """A new metric from draws and gradients `(draws, D)`; the chains stay where they are."""
        z = self.metric.z(self.chains.rows[:, machine.TREE_U])
        self.metric.learn(u, g)
        self.blocks.place(z)

    def bound(self, step: float, early: bool = False) -> int:
        """Where a transition ends: after so many doublings of its tree, or so many steps."""
        match self.settings:
            case Nuts():
                return min(EARLY_DEPTH, self.depth) if early else self.depth
            case Hmc():
                steps = round(min(self.settings.trajectory_length / step, MOST_STEPS))
                return max(1, min(steps, 2**EARLY_DEPTH) if early else steps)
            case Metropolis():
                return 1

    def first_step(self) -> float:
        """A step size that most chains' first leapfrog step accepts: halved from 1 until it does. Of Metropolis the one
        that is best for many normal coordinates (Roberts, Gelman & Gilks 1997)."""
        if isinstance(self.settings, Metropolis):
            return 2.38 / self.density.size**0.5
        step = 1.0
        while step > 1e-10:
            self.blocks.begin(step, self.bound(step))
            numbers, rows = self.chains
            value, gradient = self.blocks.evaluate(rows[:, machine.U])
            momentum = rows[:, machine.R] + 0.5 * step * numbers["side"][:, None] * gradient
            with np.errstate(over="ignore", invalid="ignore"):
                error = 0.5 * (momentum**2).sum(axis=1) - value - numbers["energy"]
                accepted = np.nan_to_num(np.exp(-np.maximum(error, 0.0)), nan=0.0)
            if accepted.mean() > 0.8:
                return step
            step /= 2
        return step

    def warm_up(self) -> float:
        """Learn metric and step size; the step size to sample with."""
        target = self.settings.target_accept_prob
        step = StepSize(self.first_step(), CAREFUL if target == "auto" else target)
        ends = window_ends(self.settings.num_warmup)
        *learning, last = [(end - begun, end) for begun, end in itertools.pairwise([0, *ends])]
        for length, end in learning:
            early = end <= EARLY * self.settings.num_warmup
            record = self.window(step, length, ENDLESS, early)
            agreed = not early and self.agreed(record)
            self.bring_home(record)
            self.relearn(*self.later_half(record))
            step.restart(self.first_step())
            if agreed:
                break
        length, _ = last
        # the last window ends as sampling does, with so many transitions of each chain: where a chain stands at some
        # time is biased towards the starts of long trees
        if target == "auto" and length > 1:
            return self.race(step, length)
        self.window(step, length, length)
        return step.settled

    def race(self, step: StepSize, length: int) -> float:
        """The better of two step sizes: the usual one, and a longer one that is rejected more often.

        Near a normal distribution a longer step often completes a trajectory with half as many steps, and the draws
        are as good; the chains try both. Not where a transition diverges: there short steps are needed.
        """
        first = self.window(step, (length + 1) // 2, (length + 1) // 2)
        usual, score = step.settled, worth(first)
        if score == 0:
            self.window(step, length // 2, length // 2)
            return step.settled
        bold = StepSize(usual, BOLD)
        second = self.window(bold, length // 2, length // 2)
        return bold.settled if worth(second) > BETTER * score else usual

    def window(self, step: StepSize, length: int, limit: int, early: bool = False) -> machine.Record:
        """`length` transitions of every chain, about: fast ones run ahead unless there is a limit."""
        chains = self.settings.num_chains
        record = machine.new_record(chains, 2 * length, self.density.size)
        self.blocks.begin(step.trial, self.bound(step.trial, early))
        accepted, completed, total = 0.0, 0, 0
        while not self.full(total, length):
            bound = self.bound(step.trial, early)
            rate, count = self.blocks.advance(Round(WARMING_TICKS, step.trial, bound, limit, record))
            accepted, completed, total = accepted + rate, completed + count, total + count
            if completed >= chains / 2:
                step.update(accepted / completed)
                accepted, completed = 0.0, 0
            most = (self.settings.num_warmup + self.settings.num_samples) * chains
            self.tell(self.passed * chains + min(total, length * chains), "warm-up", most)
        self.passed += length
        return record

    def agreed(self, record: machine.Record) -> bool:
        """Whether the chains can not be told apart in the later half of a window: warm-up has done its work (Zhang,
        Bürkner, Gelman & others 2020, cross-chain warm-up)."""
        held = np.minimum(self.chains.numbers["done"], record.statistics.shape[1])
        count = int((held - held // 2).min())
        if count < FEWEST or len(held) < FEWEST:
            return False
        rows = np.stack([chain[n - count : n, 0] for chain, n in zip(record.rows, held, strict=True)])
        lp = np.stack([chain["lp"][n - count : n] for chain, n in zip(record.statistics, held, strict=True)])
        draws = np.concatenate([rows, lp[:, :, None]], axis=2)
        within, between = draws.var(axis=1, ddof=1).mean(axis=0), draws.mean(axis=1).var(axis=0, ddof=1)
        return bool((between < (AGREEMENT**2 - 1) * within).all())

    def bring_home(self, record: machine.Record) -> None:
        """Chains whose every density of late lies far below what the best chain sees on average have settled where
        next to no mass is; they go on from the places of others."""
        held = np.minimum(self.chains.numbers["done"], record.statistics.shape[1])
        # a chain that has completed no transition is where it was
        record.statistics["lp"][held == 0, 0] = self.chains.numbers["tree_lp"][held == 0]
        late = [chain["lp"][n // 2 : max(n, 1)] for chain, n in zip(record.statistics, held, strict=True)]
        gap = LOST + self.density.size / 2
        best = max(lp.mean() for lp in late)
        lost = np.array([lp.max() < best - gap for lp in late])
        if not lost.any():
            return
        self.moved += int(lost.sum())
        z = self.metric.z(self.chains.rows[:, machine.TREE_U])
        homes = np.flatnonzero(~lost)
        z[lost] = z[homes[np.arange(lost.sum()) % len(homes)]]
        self.blocks.place(z)

    def full(self, total: int, length: int) -> bool:
        """Whether a window with `total` transitions of all chains may end."""
        need = length * self.settings.num_chains
        return total >= need and (total >= 2 * need or bool(self.chains.numbers["done"].min() >= SHARE * length))

    def later_half(self, record: machine.Record) -> tuple[np.ndarray, np.ndarray]:
        """Draws and gradients `(draws, D)` of a window, without the first half of each chain."""
        room = record.statistics.shape[1]
        held = np.minimum(self.chains.numbers["done"], room)
        rows = np.concatenate([chain[count // 2 : count] for chain, count in zip(record.rows, held, strict=True)])
        return rows[:, 0], rows[:, 1]

    def sample(self, step: float) -> machine.Record:
        """`num_samples` draws of every chain."""
        chains, limit = self.settings.num_chains, self.settings.num_samples
        record = machine.new_record(chains, limit, self.density.size)
        bound = self.bound(step)
        self.blocks.begin(step, bound)
        done, note = 0, ""
        while done < chains * limit:
            done += self.blocks.advance(Round(SAMPLING_TICKS, step, bound, limit, record))[1]
            if self.due(done == chains * limit):
                note = self.so_far(record, done)
            self.tell(self.passed * chains + done, note, (self.passed + limit) * chains)
        return record

    def so_far(self, record: machine.Record, done: int) -> str:
        """What to watch while sampling: divergences, which a random walk has none of; of that, how often it moves."""
        if isinstance(self.settings, Metropolis):
            return f"{record.statistics['acceptance_rate'].sum() / max(done, 1):.0%} accepted"
        return f"{int(record.statistics['diverging'].sum())} divergences"

    def due(self, last: bool) -> bool:
        return last or time.perf_counter() - self.told > TOLD_EVERY

    def tell(self, done: int, note: str, total: int) -> None:
        """Progress, a few times a second; warm-up that ends early makes the total smaller."""
        if self.due(done == total):
            self.told = time.perf_counter()
            rate = self.density.evaluations / (self.told - self.began)
            task = f"{self.name}, {self.settings.num_chains} chains"
            self.progress(task, done, total, f"{note}, {rate:,.0f} gradients/s")


def worth(record: machine.Record) -> float:
    """About how many effective draws a gradient gives: by the correlation of successive draws and of their squares.

    0 where a step size cannot be judged by that: a transition diverged, or chains are accepted at different rates,
    because the density is tighter where some of them are, or there is too little to go by.
    """
    draws = record.rows.shape[1] // 2
    statistics, u = record.statistics[:, :draws], record.rows[:, draws // 2 : draws, 0]
    if u.shape[1] < 2 or len(u) < FEWEST or statistics["diverging"].any():
        return 0.0
    rates = statistics["acceptance_rate"][:, draws // 4 :]
    if rates.mean(axis=1).var(ddof=1) * rates.shape[1] > UNEVEN * rates.var(axis=1, ddof=1).mean():
        return 0.0
    centred = u - u.mean(axis=(0, 1))
    found = []
    for values in (centred, centred**2 - (centred**2).mean(axis=(0, 1))):
        spread = values.var(axis=(0, 1))
        jump = ((values[:, 1:] - values[:, :-1]) ** 2).mean(axis=(0, 1))
        rho = float(np.mean(1 - jump / (2 * spread)))
        found.append((1 - rho) / (1 + rho))
    return min(found) / float(statistics["n_steps"][:, draws // 2 :].mean())
