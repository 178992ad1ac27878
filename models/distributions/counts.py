"""Counts by the logarithm of their mean, and the same counts given that they are not zero.

With eta = log mean, d = eta - log size and s(d) = log(1 + exp(d)):

    Poisson(eta)                  log p(y) = y eta - exp(eta) - log y!
    NegativeBinomial(eta, size)   log p(y) = log C(y + size - 1, y) + y d - (y + size) s(d)
    ZeroTruncated(counts)         log p(y) = log p(y) - log(1 - p(0)),  y = 1, 2, ...

The negative binomial has variance mean + mean^2 / size. Nothing here is computed from a mean that has left the floating
point numbers: value and gradient stay finite for every eta, so that a choice between two densities (`torch.where`, a
mixture) never multiplies 0 by infinity.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.nn.functional import logsigmoid

LARGEST = 40.0  # beyond exp(40), whole numbers are no longer told apart, and no count has such a mean
MOST = 1e15
SMALLEST = -30.0  # below, exp(x) and log(1 + exp(x)) are the same number


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)) to the last digit; PyTorch's own is x alone from 20 on."""
    return -logsigmoid(-x)


def bounded_exp(x: Tensor, most: float = LARGEST) -> Tensor:
    """exp(x), continued beyond `most` by its tangent; finite, with its derivative, up to 80 in 32 bits as well."""
    return torch.exp(x.clamp(max=most)) * (1 + (x - most).clamp(min=0))


def log_softplus(x: Tensor) -> Tensor:
    """log log(1 + exp(x)), which is x itself far below zero."""
    return torch.where(x < SMALLEST, x, torch.log(softplus(x.clamp(min=SMALLEST))))


def log1mexp(log_x: Tensor) -> Tensor:
    """log(1 - exp(-x)) of x > 0, given log x; far below zero it is log x itself."""
    x = bounded_exp(log_x.clamp(min=SMALLEST))
    return torch.where(log_x < SMALLEST, log_x, torch.log(-torch.expm1(-x)))


class Counts(TorchDistribution):
    """Whole numbers from 0, whose probability of zero is known in closed form."""

    support = constraints.nonnegative_integer

    @abstractmethod
    def log_zero(self) -> Tensor:
        """log P(y = 0), `batch_shape`."""

    @abstractmethod
    def log_positive(self) -> Tensor:
        """log P(y > 0), `batch_shape`."""

    @abstractmethod
    def sample_positive(self, sample_shape: tuple[int, ...]) -> Tensor:
        """Draws given y > 0, `(*sample_shape, *batch_shape)`."""


class Poisson(Counts):
    """log_mean: real."""

    arg_constraints = {"log_mean": constraints.real}

    def __init__(self, log_mean: Tensor, validate_args: bool | None = None) -> None:
        self.log_mean = log_mean
        super().__init__(log_mean.shape, validate_args=validate_args)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> Poisson:
        return Poisson(self.log_mean.expand(batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        return value * self.log_mean - bounded_exp(self.log_mean) - torch.lgamma(value + 1)

    def log_zero(self) -> Tensor:
        return -bounded_exp(self.log_mean)

    def log_positive(self) -> Tensor:
        return log1mexp(self.log_mean)

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        with torch.no_grad():
            return poisson(bounded_exp(self.log_mean).expand(self._extended_shape(sample_shape)))

    def sample_positive(self, sample_shape: tuple[int, ...]) -> Tensor:
        """Of events at rate `mean` on (0, 1), the first is drawn given that there is one, the others after it."""
        with torch.no_grad():
            mean = bounded_exp(self.log_mean).expand(self._extended_shape(sample_shape))
            first = -torch.log1p(torch.rand_like(mean) * torch.expm1(-mean))
            return 1 + poisson((mean - first).clamp(min=0))


class NegativeBinomial(Counts):
    """log_mean: real. size: positive; the Poisson distribution is its limit at large size."""

    arg_constraints = {"log_mean": constraints.real, "size": constraints.positive}

    def __init__(self, log_mean: Tensor, size: Tensor, validate_args: bool | None = None) -> None:
        self.log_mean, self.size = log_mean, size
        super().__init__(torch.broadcast_shapes(log_mean.shape, size.shape), validate_args=validate_args)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> NegativeBinomial:
        return NegativeBinomial(self.log_mean.expand(batch_shape), self.size)

    @property
    def log_odds(self) -> Tensor:
        """log(mean / size), d above."""
        return self.log_mean - torch.log(self.size)

    def log_prob(self, value: Tensor) -> Tensor:
        ways = torch.lgamma(value + self.size) - torch.lgamma(self.size) - torch.lgamma(value + 1)
        return ways + value * self.log_odds - (value + self.size) * softplus(self.log_odds)

    def log_zero(self) -> Tensor:
        return -self.size * softplus(self.log_odds)

    def log_positive(self) -> Tensor:
        return log1mexp(torch.log(self.size) + log_softplus(self.log_odds))

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            return gamma_poisson(self.size.expand(shape), bounded_exp(self.log_odds).expand(shape))

    def sample_positive(self, sample_shape: tuple[int, ...]) -> Tensor:
        """The count is a population at time T = log(1 + mean / size) of a birth process from nothing: immigrants come
        at rate `size`, everybody has children at rate 1 (Kendall 1949). The first immigrant's time is drawn given that
        there is one; the offspring of it and of later ones is negative binomial again, of size + 1."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            size, time = self.size.expand(shape), softplus(self.log_odds).expand(shape)
            first = -torch.log1p(torch.rand_like(time) * torch.expm1(-size * time)) / size
            return 1 + gamma_poisson(size + 1, torch.expm1((time - first).clamp(0, LARGEST)))


class ZeroTruncated(TorchDistribution):
    """`counts` given that they are not zero."""

    arg_constraints: dict[str, Any] = {}
    support = constraints.positive_integer

    def __init__(self, counts: Counts, validate_args: bool | None = None) -> None:
        self.counts = counts
        super().__init__(counts.batch_shape, validate_args=validate_args)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> ZeroTruncated:
        return ZeroTruncated(self.counts.expand(batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        return self.counts.log_prob(value) - self.counts.log_positive()

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        return self.counts.sample_positive(sample_shape)


def gamma_poisson(size: Tensor, odds: Tensor) -> Tensor:
    """Poisson counts whose rates are gamma with shape `size` and scale `odds`."""
    return poisson(torch._standard_gamma(size.contiguous()) * odds)


def poisson(rate: Tensor) -> Tensor:
    """Poisson draws; a rate beyond PyTorch's whole numbers is its own draw, to eight digits."""
    return torch.where(rate < MOST, torch.poisson(rate.clamp(max=MOST).contiguous()), rate)
