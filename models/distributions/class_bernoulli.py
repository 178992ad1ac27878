"""Rows of independent yes/no features whose rates are those of each row's class, as one product of matrices.

With x the features, s where they are there, and y the class, the log density of row n is, for c = y[n],

    sum over j of  x[n, j] logit(theta[c, j]) + s[n, j] log(1 - theta[c, j]),

so that all rows by all classes cost two products of matrices, where a density for each cell costs a logarithm each.
"""

from __future__ import annotations

from typing import Any

import torch
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions.utils import clamp_probs

from models.distributions.categorical import of_class


class ClassBernoulli(TorchDistribution):
    """Features `(*batch, J)` of 0 and 1, feature j being 1 with probability `probs[y, j]`.

    probs: `(C, J)`. y: the class of each row, `(*batch)`. there: bool `(*batch, J)`; cells that are not there count for
    nothing in the density.
    """

    arg_constraints = {"probs": constraints.unit_interval, "y": constraints.nonnegative_integer}
    support = constraints.independent(constraints.boolean, 1)

    def __init__(
        self, probs: Tensor, y: Tensor, there: Tensor | None = None, validate_args: bool | None = None
    ) -> None:
        self.probs, self.y, self.there = probs, y, there
        super().__init__(y.shape, probs.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> ClassBernoulli:
        return ClassBernoulli(self.probs, self.y.expand(batch_shape), self.there, validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        rates = of_class(self.probs, self.y)
        return torch.bernoulli(rates.expand((*sample_shape, *rates.shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of every row, `(*batch)`."""
        rates = clamp_probs(self.probs)
        log_no = torch.log1p(-rates)
        log_odds = (rates.log() - log_no).T
        if self.there is None:
            by_class = value @ log_odds + log_no.sum(-1)
        else:
            by_class = torch.where(self.there, value, 0.0) @ log_odds + self.there.to(value.dtype) @ log_no.T
        chosen = self.y.unsqueeze(-1) == torch.arange(len(self.probs))
        return torch.where(chosen, by_class, 0.0).sum(-1)
