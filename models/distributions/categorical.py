"""A categorical whose density picks by comparison: unlike a lookup, its gradient is translated into machine code."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from torch import Tensor


class Categorical(dist.Categorical):
    """Category k with probability `probs[..., k]`, `(*batch, K)`; a category of probability 0 never occurs."""

    def log_prob(self, value: Tensor) -> Tensor:
        chosen = value.unsqueeze(-1) == torch.arange(self.probs.shape[-1])
        # the row's own probability first: the logarithm of another one may have no finite gradient
        return torch.where(chosen, self.probs, 0.0).sum(-1).log()


def of_class(parameters: Tensor, y: Tensor) -> Tensor:
    """Every row's parameters, `(*rows, *shape)`, from those of the classes, `(C, *shape)`, by class `y (*rows)`."""
    chosen = (y.unsqueeze(-1) == torch.arange(len(parameters))).to(parameters.dtype)
    return (chosen @ parameters.flatten(1)).reshape(*y.shape, *parameters.shape[1:])
