"""The batched engine: many short chains, one gradient call for all of them in every tick, pooled warm-up."""

from __future__ import annotations

import time

import numpy as np
import torch

from inference.density import LogDensity
from inference.nuts import machine
from inference.nuts.adaptation import Metric, StepSize, window_ends
from inference.nuts.approach import approach
from inference.nuts.outcome import posterior
from inference.posterior import Posterior
from inference.program import Program
from inference.progress import Progress
from inference.settings import Nuts

TOLD_EVERY = 0.1  # seconds between two calls of progress
USUAL_STEPS = 8  # leapfrog steps of a transition, to judge beforehand how long a run will be
EARLY_DEPTH = 6  # doublings at most in the first two windows of warm-up
ENDLESS = np.iinfo(np.int64).max


def run(settings: Nuts, program: Program, progress: Progress, seed: int) -> Posterior:
    """Draws of every chain with the sampler's statistics; InputError where no start is finite."""
    began = time.perf_counter()
    density = LogDensity(program)
    density.settle(settings.num_chains, USUAL_STEPS * (settings.num_warmup + settings.num_samples), settings.compile)
    sampler = Sampler(settings, density, seed, progress)
    ready = time.perf_counter()
    step = sampler.warm_up()
    warm = time.perf_counter()
    record = sampler.sample(step)
    stats = {**record._asdict(), "step_size": np.full(record.lp.shape, step)}
    seconds = {"setup": ready - began, "warmup": warm - ready, "sampling": time.perf_counter() - warm}
    return posterior(
        density,
        sampler.metric.z(record.u),
        stats,
        {"engine": "batched", "step_size": step, "compiled": density.compiled},
        seconds,
    )


class Sampler:
    """All chains of one fit, from their starting points to their draws."""

    def __init__(self, settings: Nuts, density: LogDensity, seed: int, progress: Progress) -> None:
        self.settings, self.density, self.progress = settings, density, progress
        self.rng = np.random.default_rng(seed)
        self.metric = Metric(density.size, settings.metric == "dense")
        self.chains = machine.new_chains(settings.num_chains, density.size, settings.max_tree_depth)
        generator = torch.Generator().manual_seed(seed)
        starts = np.stack([density.start(generator).numpy() for _ in range(settings.num_chains)])
        self.place(approach(starts, self.evaluate))  # the metric is still the identity: u is z
        self.began = self.told = time.perf_counter()

    def evaluate(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log density `(rows,)` and its gradient by u `(rows, D)`."""
        value, gradient = self.density(torch.from_numpy(self.metric.z(u)))
        return value.numpy(), self.metric.pulled_back(gradient.numpy())

    def place(self, z: np.ndarray) -> None:
        """Put the chains at `z (chains, D)`, in the coordinates of the metric as it is."""
        self.chains.tree_u[:] = self.metric.u(z)
        self.chains.tree_lp[:], self.chains.tree_g[:] = self.evaluate(self.chains.tree_u)

    def first_step(self) -> float:
        """A step size that most chains' first leapfrog step accepts: halved from 1 until it does."""
        step = 1.0
        while step > 1e-10:
            machine.begin_all(self.chains, step, self.rng)
            value, gradient = self.evaluate(self.chains.u)
            momentum = self.chains.r + 0.5 * step * self.chains.side[:, None] * gradient
            with np.errstate(over="ignore", invalid="ignore"):
                error = 0.5 * (momentum**2).sum(axis=1) - value - self.chains.energy
                accepted = np.nan_to_num(np.exp(-np.maximum(error, 0.0)), nan=0.0)
            if accepted.mean() > 0.8:
                return step
            step /= 2
        return step

    def warm_up(self) -> float:
        """Learn metric and step size; the step size to sample with."""
        chains = self.settings.num_chains
        step = StepSize(self.first_step(), self.settings.target_accept_prob)
        ends = window_ends(self.settings.num_warmup)
        begun = 0
        for window, end in enumerate(ends):
            # long trees are wasted while chains are far out and the metric is a guess
            depth = min(EARLY_DEPTH, self.settings.max_tree_depth) if window < 2 else self.settings.max_tree_depth
            # as many as a window can hold for chains that run ahead; older draws make room
            record = machine.new_record(chains, 2 * (end - begun), self.density.size)
            self.chains.done[:] = 0
            machine.begin_all(self.chains, step.trial, self.rng)
            accepted, completed, total = 0.0, 0, 0
            while total < (end - begun) * chains:
                rate, count = self.tick(step.trial, depth, record, ENDLESS)
                accepted, completed, total = accepted + rate, completed + count, total + count
                if completed >= chains / 2:
                    step.update(accepted / completed)
                    accepted, completed = 0.0, 0
                self.tell(begun * chains + min(total, (end - begun) * chains), "warm-up")
            begun = end
            if end != ends[-1]:
                self.relearn(record)
                step.restart(step.settled)
        return step.settled

    def relearn(self, record: machine.Record) -> None:
        """A new metric from the later half of a window's draws; the chains stay where they are."""
        held = [slice(min(done, record.lp.shape[1]) // 2, min(done, record.lp.shape[1])) for done in self.chains.done]
        u = np.concatenate([record.u[chain, part] for chain, part in enumerate(held)])
        g = np.concatenate([record.g[chain, part] for chain, part in enumerate(held)])
        z = self.metric.z(self.chains.tree_u)
        self.metric.learn(u, g)
        self.place(z)

    def sample(self, step: float) -> machine.Record:
        """`num_samples` draws of every chain."""
        chains, limit = self.settings.num_chains, self.settings.num_samples
        record = machine.new_record(chains, limit, self.density.size)
        self.chains.done[:] = 0
        machine.begin_all(self.chains, step, self.rng)
        done = divergences = 0
        while done < chains * limit:
            done += self.tick(step, self.settings.max_tree_depth, record, limit)[1]
            if self.due(done == chains * limit):
                divergences = int(sum(record.diverging[c, :n].sum() for c, n in enumerate(self.chains.done)))
            self.tell(self.settings.num_warmup * chains + done, f"{divergences} divergences")
        return record

    def tick(self, step: float, depth: int, record: machine.Record, limit: int) -> tuple[float, int]:
        """One leapfrog step of every chain that has draws to make; see `machine.tick`."""
        value, gradient = self.evaluate(self.chains.u)
        return machine.tick(self.chains, value, gradient, step, depth, limit, record, self.rng)

    def due(self, last: bool) -> bool:
        return last or time.perf_counter() - self.told > TOLD_EVERY

    def tell(self, done: int, note: str) -> None:
        """Progress, a few times a second."""
        total = (self.settings.num_warmup + self.settings.num_samples) * self.settings.num_chains
        if self.due(done == total):
            self.told = time.perf_counter()
            rate = self.density.evaluations / (self.told - self.began)
            self.progress(f"nuts, {self.settings.num_chains} chains", done, total, f"{note}, {rate:,.0f} gradients/s")
