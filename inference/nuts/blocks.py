"""Chains in blocks that advance side by side, each on its own between two looks of the adaptation.

Where the density is machine code, a block is as many chains as that evaluates at once; blocks share the threads, and
many ticks pass without a return to Python. Otherwise all chains are one block, and a tick is a call of the density.
What a block draws depends on its own random numbers, so the number of threads does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch

from inference.density import LogDensity
from inference.nuts import machine
from inference.nuts.adaptation import Metric
from inference.nuts.drive import Machine
from inference.nuts.noise import Noise


class Round(NamedTuple):
    """What blocks are to do: a number of ticks, with transitions that begin at `step` and end at `bound` doublings (of
    hmc: after so many steps), until each chain has `limit` of them in the record."""

    ticks: int
    step: float
    bound: int
    limit: int
    record: machine.Record


class Block:
    """Some of the chains: `part` of every array."""

    def __init__(self, chains: machine.Chains, part: slice, rng: np.random.Generator) -> None:
        self.part = part
        self.chains = machine.Chains(*(array[part] for array in chains))
        self.noise = Noise(rng, *self.chains.rows.shape[::2])

    def record(self, record: machine.Record) -> machine.Record:
        return machine.Record(*(array[self.part] for array in record))


class Blocks:
    """All chains of a fit, with the density in the coordinates of the metric."""

    def __init__(
        self, density: LogDensity, metric: Metric, num_chains: int, depth: int, seed: int, own: Machine
    ) -> None:
        self.density, self.metric, self.machine = density, metric, own
        self.chains = machine.new_chains(num_chains, density.size, depth)
        width = num_chains if density.kernel is None else density.kernel.width
        parts = [slice(start, min(start + width, num_chains)) for start in range(0, num_chains, width)]
        seeds = np.random.SeedSequence(seed).spawn(len(parts))
        self.blocks = [
            Block(self.chains, part, np.random.default_rng(own)) for part, own in zip(parts, seeds, strict=True)
        ]
        self.rooms = [] if density.kernel is None else [Room(density, block) for block in self.blocks]
        self.threads = min(torch.get_num_threads(), len(self.blocks))
        self.pool = ThreadPoolExecutor(max(1, self.threads - 1))

    def evaluate(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log density `(rows,)` and its gradient by u `(rows, D)`, in double precision."""
        value, gradient = self.density(torch.from_numpy(self.metric.z(u)))
        return value.numpy().astype(np.float64, copy=False), self.metric.pulled_back(gradient.numpy())

    def place(self, z: np.ndarray) -> None:
        """Put the chains at `z (chains, D)`, in the coordinates of the metric as it is."""
        numbers, rows = self.chains
        rows[:, machine.TREE_U] = self.metric.u(z)
        numbers["tree_lp"], rows[:, machine.TREE_G] = self.evaluate(rows[:, machine.TREE_U])

    def begin(self, step: float, bound: int) -> None:
        """Every chain starts a transition from its current draw; none has any completed."""
        numbers, rows = self.chains
        numbers["side"] = numbers["done"] = 0
        # whatever density and gradient are at U: those of chains that begin are not looked at
        self.advance(Round(1, step, bound, 1, machine.new_record(len(rows), 1, rows.shape[2])))

    def finish(self, block: Block, value: np.ndarray, gradient: np.ndarray, task: Round) -> tuple[float, int]:
        """The machine's part of a tick."""
        uniform, normal = block.noise.ahead(1)
        record = block.record(task.record)
        accepted, begun = self.machine.tick(
            *block.chains, value, gradient, uniform[0], normal, task.step, task.bound, task.limit, *record
        )
        block.noise.ticks += 1
        block.noise.taken += begun
        return accepted, begun

    def advance(self, task: Round) -> tuple[float, int]:
        """Some ticks of every block; the sum of the acceptance rates of completed transitions, and their number."""
        before = [room.evaluations for room in self.rooms]
        if not self.rooms:
            results = list(self.ticks(task))
        else:
            # this thread works too: waking another one costs as much as a few ticks
            waiting = [self.pool.submit(self.run, self.rooms[i :: self.threads], task) for i in range(1, self.threads)]
            shares = [self.run(self.rooms[:: self.threads], task), *(share.result() for share in waiting)]
            # in the order of the blocks, so that rounding is the same on any number of threads
            results = [shares[i % self.threads][i // self.threads] for i in range(len(self.rooms))]
        self.density.evaluations += sum(room.evaluations for room in self.rooms) - sum(before)
        return sum(rate for rate, _ in results), sum(count for _, count in results)

    def run(self, rooms: list[Room], task: Round) -> list[tuple[float, int]]:
        return [room.run(self, task) for room in rooms]

    def ticks(self, task: Round) -> Iterator[tuple[float, int]]:
        (block,) = self.blocks
        for _ in range(task.ticks):
            if (block.chains.numbers["done"] >= task.limit).all():
                return
            yield self.finish(block, *self.evaluate(block.chains.rows[:, machine.U]), task)


class Room:
    """A block's arrays beside its state, laid out as machine code wants them."""

    def __init__(self, density: LogDensity, block: Block) -> None:
        kernel = density.kernel
        assert kernel is not None
        self.block, self.evaluations = block, 0
        chains = len(block.chains.numbers)
        self.lanes = np.zeros((4, density.size, kernel.width))
        self.value, self.gradient = np.zeros(kernel.width), np.zeros((chains, density.size))
        self.scratch = np.zeros(kernel.scratch_size)
        self.words = [kernel.address, *(a.ctypes.data for a in (self.lanes, self.value, self.scratch))]
        self.words.append(kernel.table_address)

    def run(self, blocks: Blocks, task: Round) -> tuple[float, int]:
        """The block's ticks of a round."""
        noise, (numbers, rows) = self.block.noise, self.block.chains
        factor = np.ascontiguousarray(blocks.metric.factor)
        words = np.array([*self.words, factor.ctypes.data, factor.ndim == 2], np.int64)
        record = self.block.record(task.record)
        accepted, completed, left = 0.0, 0, task.ticks
        while left:
            uniform, normal = noise.ahead(left)
            rate, count, ticks, taken = blocks.machine.drive(
                words, self.lanes, self.value, self.gradient, numbers, rows, uniform, normal,
                task.step, task.bound, task.limit, *record,
            )  # fmt: skip
            accepted, completed, left = accepted + rate, completed + count, left - ticks
            noise.ticks += ticks
            noise.taken += taken
            self.evaluations += ticks * len(numbers)
            if ticks < len(uniform) and len(normal) - taken >= len(numbers):
                break  # every chain has its draws
        return accepted, completed
