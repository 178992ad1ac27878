"""A rate between 0 and 1 by a coordinate of its log odds that hardly depends on what else is unknown.

With theta ~ Beta(a, b) in a group where `ones` and `zeros` were seen, the log odds of theta given all that lie about
log((a + ones) / (b + zeros)), with a variance of about 1 / (a + ones) + 1 / (b + zeros). The coordinate is the distance
from there in standard deviations:

    log(theta / (1 - theta)) = centre + width offset.

Where nothing was seen, centre and width are those of the prior. The choice moves no probability: theta is Beta(a, b)
whatever `ones` and `zeros` are. It makes a hierarchy easy to explore, where theta itself would tie a narrow neck (many
groups close to each other) to a wide mouth (Neal 2003, Annals of Statistics 31, section 8).
"""

from __future__ import annotations

from typing import Any

import torch
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.nn.functional import logsigmoid

FARTHEST = 1e3


class Offset(TorchDistribution):
    """The coordinate of theta ~ Beta(a, b). a, b: positive; ones, zeros: 0 or more; all broadcast."""

    arg_constraints = {"a": constraints.positive, "b": constraints.positive}
    support = constraints.real

    def __init__(self, a: Tensor, b: Tensor, ones: Tensor, zeros: Tensor, validate_args: bool | None = None) -> None:
        self.a, self.b, self.ones, self.zeros = torch.broadcast_tensors(a, b, ones, zeros)
        super().__init__(self.a.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Offset:
        a, b, ones, zeros = (part.expand(batch_shape) for part in (self.a, self.b, self.ones, self.zeros))
        return Offset(a, b, ones, zeros, validate_args=False)

    def log_odds(self, offset: Tensor) -> Tensor:
        """log(theta / (1 - theta)) at a coordinate."""
        return self.centre + self.width * offset

    @property
    def centre(self) -> Tensor:
        return torch.log((self.a + self.ones) / (self.b + self.zeros))

    @property
    def width(self) -> Tensor:
        return torch.sqrt(1 / (self.a + self.ones) + 1 / (self.b + self.zeros))

    def log_prob(self, value: Tensor) -> Tensor:
        log_odds = self.log_odds(value)
        ways = torch.lgamma(self.a + self.b) - torch.lgamma(self.a) - torch.lgamma(self.b)
        # a - 1 and b - 1 of the beta, and one more each for d theta / d log odds = theta (1 - theta)
        return ways + self.a * logsigmoid(log_odds) + self.b * logsigmoid(-log_odds) + torch.log(self.width)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            shape = torch.Size(sample_shape) + self.batch_shape
            log_odds = log_gamma(self.a.expand(shape)) - log_gamma(self.b.expand(shape))
            # where a or b is next to nothing, log odds have no bound; from here on the rate is 0 or 1 to any digit
            log_odds = log_odds.clamp(-FARTHEST, FARTHEST)
            return (log_odds - self.centre) / self.width


def log_gamma(shape: Tensor) -> Tensor:
    """The logarithm of gamma draws; it stays finite where the draw itself would be 0 (Marsaglia & Tsang 2000)."""
    draw = torch._standard_gamma((shape + 1).contiguous())
    return draw.log() + torch.rand_like(shape).clamp(min=1e-300).log() / shape
