"""A label out of several by unnormalised log probabilities; it picks by comparison, which becomes machine code."""

from __future__ import annotations

from typing import Any

import torch
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor


class Softmax(TorchDistribution):
    """Label c of C with probability exp(scores[..., c]) over the sum of all, scores `(*batch, C)` being real."""

    arg_constraints = {"scores": constraints.independent(constraints.real, 1)}

    def __init__(self, scores: Tensor, validate_args: bool | None = None) -> None:
        self.scores = scores
        super().__init__(scores.shape[:-1], validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self.scores.shape[-1] - 1)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> Softmax:
        return Softmax(self.scores.expand((*batch_shape, self.scores.shape[-1])))

    def log_prob(self, value: Tensor) -> Tensor:
        chosen = value.unsqueeze(-1) == torch.arange(self.scores.shape[-1])
        return torch.where(chosen, self.scores, 0.0).sum(-1) - torch.logsumexp(self.scores, -1)

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """By the largest of independently Gumbel-distributed scores."""
        with torch.no_grad():
            scores = self.scores.expand((*self._extended_shape(sample_shape), self.scores.shape[-1]))
            uniform = torch.rand_like(scores)
            return (scores - torch.log(-torch.log(uniform.clamp(min=1e-300)))).argmax(-1).to(scores.dtype)
