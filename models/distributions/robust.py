"""A yes/no label that is sometimes a coin's toss: a constant share of mislabelled rows.

With probability `noise` the label is tossed, otherwise it is right, so that it is wrong with eps = noise / 2:

    P(y = 1)  =  eps + (1 - 2 eps) / (1 + exp(-logit)),    0 <= eps <= 1/2.

A single row then changes the log odds by at most log((1 - eps) / eps), however far from its fitted probability (Copas
1988). Beyond eps = 1/2 the same probabilities would come back with the signs of all coefficients turned.
"""

from __future__ import annotations

from typing import Any

import torch
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.nn.functional import logsigmoid


class RobustBernoulli(TorchDistribution):
    """logit: log odds of the true label, real. noise: in the unit interval, the share of tossed labels."""

    arg_constraints = {"logit": constraints.real, "noise": constraints.unit_interval}
    support = constraints.boolean

    def __init__(self, logit: Tensor, noise: Tensor, validate_args: bool | None = None) -> None:
        self.logit, self.noise = logit, noise
        super().__init__(torch.broadcast_shapes(logit.shape, noise.shape), validate_args=validate_args)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> RobustBernoulli:
        return RobustBernoulli(self.logit.expand(batch_shape), self.noise)

    def log_prob(self, value: Tensor) -> Tensor:
        right = torch.log1p(-self.noise) + logsigmoid((2 * value - 1) * self.logit)
        return torch.logaddexp(torch.log(self.noise / 2), right)

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            probability = self.noise / 2 + (1 - self.noise) * torch.sigmoid(self.logit)
            return torch.bernoulli(probability.expand(shape))
