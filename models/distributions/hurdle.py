"""Outcomes with zeros of their own kind: counts with structural zeros, and outcomes behind a hurdle.

With p = 1 / (1 + exp(-zero_logit)):

    ZeroInflated    P(y = 0) = p + (1 - p) f(0),   P(y) = (1 - p) f(y) for y > 0;  f: counts
    Hurdle          P(y = 0) = p,                  p(y) = (1 - p) g(y) for y > 0;  g: never zero, counts or a density

A density at zero is never added to the probability of zero: only counts can be zero-inflated.
"""

from __future__ import annotations

from typing import Any

import torch
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from models.distributions.counts import Counts, softplus


class ZeroInflated(TorchDistribution):
    """zero_logit: log odds of a structural zero. counts: what happens otherwise, zeros among it."""

    arg_constraints = {"zero_logit": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, zero_logit: Tensor, counts: Counts, validate_args: bool | None = None) -> None:
        self.zero_logit, self.counts = zero_logit, counts
        super().__init__(torch.broadcast_shapes(zero_logit.shape, counts.batch_shape), validate_args=validate_args)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> ZeroInflated:
        return ZeroInflated(self.zero_logit.expand(batch_shape), self.counts.expand(batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        zero = self.counts.log_zero()
        either = zero + softplus(self.zero_logit - zero)
        return torch.where(value == 0, either, self.counts.log_prob(value)) - softplus(self.zero_logit)

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        return chosen(self.zero_logit, self.counts.expand(self.batch_shape).sample(sample_shape))


class Hurdle(TorchDistribution):
    """zero_logit: log odds of a zero. positive: the outcome where it is not zero, never zero itself."""

    arg_constraints = {"zero_logit": constraints.real}

    def __init__(self, zero_logit: Tensor, positive: TorchDistribution, validate_args: bool | None = None) -> None:
        self.zero_logit, self.positive = zero_logit, positive
        super().__init__(torch.broadcast_shapes(zero_logit.shape, positive.batch_shape), validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.nonnegative_integer if self.positive.support.is_discrete else constraints.nonnegative

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> Hurdle:
        return Hurdle(self.zero_logit.expand(batch_shape), self.positive.expand(batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        zero = value == 0
        beyond = self.positive.log_prob(torch.where(zero, torch.ones_like(value), value))
        return torch.where(zero, self.zero_logit, beyond) - softplus(self.zero_logit)

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        return chosen(self.zero_logit, self.positive.expand(self.batch_shape).sample(sample_shape))


def chosen(zero_logit: Tensor, otherwise: Tensor) -> Tensor:
    """Zero with the probability that `zero_logit` says, else the draw."""
    with torch.no_grad():
        zero = torch.rand_like(otherwise) < torch.sigmoid(zero_logit)
        return torch.where(zero, torch.zeros_like(otherwise), otherwise)
