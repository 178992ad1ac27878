"""Counts of K kinds in rows of different totals, which PyTorch's own multinomial has for rows of one total only."""

from __future__ import annotations

from typing import Any

import torch
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor


class Multinomial(TorchDistribution):
    """Counts `(K,)` that sum to `total_count`, each unit being of kind k with probability `probs[k]`.

    total_count: `(*batch)`, whole numbers. probs: `(*batch, K)`, on the simplex.
    Values must sum to their totals; that is the caller's to check, the support being counts.
    """

    arg_constraints = {"total_count": constraints.nonnegative_integer, "probs": constraints.simplex}
    support = constraints.independent(constraints.nonnegative_integer, 1)

    def __init__(self, total_count: Tensor, probs: Tensor, validate_args: bool | None = None) -> None:
        batch = torch.broadcast_shapes(total_count.shape, probs.shape[:-1])
        self.total_count = total_count.expand(batch)
        self.probs = probs.expand(batch + probs.shape[-1:])
        super().__init__(batch, probs.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Multinomial:
        return Multinomial(
            self.total_count.expand(batch_shape), self.probs.expand((*batch_shape, -1)), validate_args=False
        )

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Unit by unit where units are fewer than kinds (words of a text); else one kind after another, binomial among
        the units that are left."""
        shape = torch.Size(sample_shape) + self.batch_shape
        most = int(self.total_count.max()) if self.total_count.numel() else 0
        if most < self.event_shape[0]:
            return self.units(shape, most)
        left, share, counts = self.total_count.expand(shape), torch.ones(self.batch_shape), []
        for k in range(self.event_shape[0] - 1):
            rate = (self.probs[..., k] / share.clamp(min=1e-300)).clamp(0, 1)
            counts.append(torch.binomial(left, rate.expand(shape)))
            left, share = left - counts[-1], share - self.probs[..., k]
        return torch.stack([*counts, left], dim=-1)

    def units(self, shape: torch.Size, most: int) -> Tensor:
        """Counts of up to `most` units a row, each of a kind drawn by itself."""
        bounds = self.probs.cumsum(-1).expand(*shape, -1).contiguous()
        kind = torch.searchsorted(bounds, torch.rand(*shape, most) * bounds[..., -1:], right=True)
        there = torch.arange(most) < self.total_count.expand(shape)[..., None]
        counts = torch.zeros_like(bounds)
        return counts.scatter_add(-1, kind.clamp(max=self.event_shape[0] - 1), there.to(bounds.dtype))

    def log_prob(self, value: Tensor) -> Tensor:
        """log of the multinomial coefficient and the kinds' probabilities, `(*batch)`."""
        coefficient = torch.lgamma(self.total_count + 1) - torch.lgamma(value + 1).sum(-1)
        return coefficient + (value * self.probs.log()).sum(-1)
