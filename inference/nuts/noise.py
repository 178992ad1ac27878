"""Random numbers for the machines, drawn ahead in blocks: a call of the generator costs as much as a whole tick."""

from __future__ import annotations

import numpy as np

TICKS = 256


class Noise:
    """Uniform and standard normal numbers for all chains; what they are depends on the generator and on how many were
    taken, on nothing else."""

    def __init__(self, rng: np.random.Generator, num_chains: int, size: int) -> None:
        self.rng = rng
        self.uniforms, self.ticks = np.empty((TICKS, num_chains, 3)), TICKS
        self.normals, self.taken = np.empty((8 * num_chains, size)), 8 * num_chains

    def ahead(self, ticks: int) -> tuple[np.ndarray, np.ndarray]:
        """Uniform numbers for at most so many ticks `(>= 1, chains, 3)`, normal ones `(>= chains, D)`.

        Whoever uses them adds to `ticks` and `taken`.
        """
        if self.ticks == len(self.uniforms):
            self.rng.random(out=self.uniforms)
            self.ticks = 0
        if len(self.normals) - self.taken < self.uniforms.shape[1]:
            self.rng.standard_normal(out=self.normals)
            self.taken = 0
        return self.uniforms[self.ticks : self.ticks + ticks], self.normals[self.taken :]
