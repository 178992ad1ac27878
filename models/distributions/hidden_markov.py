"""A hidden Markov chain with its states summed out: sequences of observations as one distribution.

An unrolled recursion makes a graph of T steps; `hmm_log_likelihood` is a single operation whose gradient the
forward-backward recursion gives in the same pass (`models.distributions.forward_backward`). It batches under
`torch.vmap`, and enters a traced graph.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from models.distributions.forward_backward import forward_backward

Parts = tuple[Tensor, Tensor, Tensor, Tensor]


class Symbols(dist.Categorical):
    """Few distributions for many observations: logarithms are taken of probabilities, then looked up along one axis,
    which has a translation into machine code."""

    def log_prob(self, value: Tensor) -> Tensor:
        # filled-up levels have probability 0, whose logarithm has no finite gradient
        logarithms = self.probs.clamp(min=torch.finfo(self.probs.dtype).tiny).log()
        levels = self.probs.shape[-1]
        first = torch.arange(0, self.probs.numel(), levels).reshape(self.batch_shape)
        return logarithms.reshape(-1)[first + value]


class HiddenMarkov(TorchDistribution):
    """S sequences of at most T observations of C channels each, `(T, C)`; channels are independent given the state.

    log_start: of the first state's probabilities, `(K,)`. log_transition: of the moves', row: from, column: to, `(K,
    K)`. emission: the channels' distributions in every state, of batch shape `(K, C)`. there: bool `(S, T, C)`; a cell
    that is not there counts for nothing in the density, and is 0 in a draw.
    """

    arg_constraints: dict[str, Any] = {}

    def __init__(
        self,
        log_start: Tensor,
        log_transition: Tensor,
        emission: TorchDistribution,
        there: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        self.log_start, self.log_transition, self.emission, self.there = log_start, log_transition, emission, there
        super().__init__(there.shape[:-2], there.shape[-2:], validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.independent(self.emission.support, 2)

    def expand(self, batch_shape: Any, _instance: Any = None) -> HiddenMarkov:
        there = self.there.expand(torch.Size(batch_shape) + self.event_shape)
        return HiddenMarkov(self.log_start, self.log_transition, self.emission, there)

    def log_emission(self, value: Tensor) -> Tensor:
        """Log density of every observation in every state, `(*batch, T, K)`; 0 where nothing is there."""
        cells = self.emission.log_prob(value.unsqueeze(-2))
        return torch.where(self.there.unsqueeze(-2), cells, 0.0).sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of every sequence, `(*batch)`."""
        return hmm_log_likelihood(self.log_start, self.log_transition, self.log_emission(value))

    def logarithms(self, value: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The chain given `value` as the functions of `models.hidden_states` take it."""
        arrays = (self.log_start, self.log_transition, self.log_emission(value))
        return tuple(array.detach().numpy() for array in arrays)  # type: ignore[return-value]  # as many as came in

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            shape = torch.Size(sample_shape) + self.batch_shape
            states = self.sample_states(shape)
            cells = self.emission.expand(shape + self.event_shape[:1] + self.emission.batch_shape).sample()
            chosen = states[..., None, None].expand(states.shape + (1,) + self.event_shape[1:])
            value = torch.gather(cells, -2, chosen).squeeze(-2)
            return torch.where(self.there, value, torch.zeros_like(value))

    def sample_states(self, shape: torch.Size) -> Tensor:
        """Paths `(*shape, T)`. A step is a map from state to state, drawn for all states at once; steps are joined in
        pairs, pairs in fours and so on, so that T steps take log2(T) rounds."""
        states = self.log_start.shape[-1]
        uniform = torch.rand(shape + self.event_shape[:1], dtype=self.log_start.dtype)
        first = among(self.log_start, uniform[..., :1])
        steps = among(self.log_transition, uniform[..., 1:, None].expand(*shape, -1, states))
        width = 1
        while width < steps.shape[-2]:
            joined = torch.gather(steps[..., width:, :], -1, steps[..., :-width, :])
            steps = torch.cat([steps[..., :width, :], joined], dim=-2)
            width *= 2
        later = torch.gather(steps, -1, first[..., None].expand(*steps.shape[:-1], 1)).squeeze(-1)
        return torch.cat([first, later], dim=-1)


def among(log_probabilities: Tensor, uniform: Tensor) -> Tensor:
    """The states `(*shape)` that random numbers `uniform (*shape)` in [0, 1) mean under `(..., K)`."""
    edges = log_probabilities.exp().cumsum(-1)[..., :-1]
    return (uniform[..., None] >= edges).sum(-1)


def hmm_log_likelihood(log_start: Tensor, log_transition: Tensor, log_emission: Tensor) -> Tensor:
    """log p(y) of sequences, `(*batch)`; in nats.

    log_start: `(*batch, K)`, log weights of the first state. log_transition: `(*batch, K, K)`, row: from, column: to.
    log_emission: `(*batch, T, K)`, log density of observation t in state k (0 for all states where it is missing).
    """
    batch = np.broadcast_shapes(log_start.shape[:-1], log_transition.shape[:-2], log_emission.shape[:-2])
    start = log_start.expand(*batch, -1).reshape(-1, log_start.shape[-1])
    transition = log_transition.expand(*batch, -1, -1).reshape(-1, *log_transition.shape[-2:])
    emission = log_emission.expand(*batch, -1, -1).reshape(-1, *log_emission.shape[-2:])
    return hmm_parts(start, transition, emission)[0].reshape(batch)


@torch.library.custom_op("pyrozoo::hmm_parts", mutates_args=())
def hmm_parts(log_start: Tensor, log_transition: Tensor, log_emission: Tensor) -> Parts:
    """Log likelihood `(B,)` and its three gradients, of arguments `(B, K)`, `(B, K, K)`, `(B, T, K)`."""
    arrays = [value.detach().double().contiguous().numpy() for value in (log_start, log_transition, log_emission)]
    found = (torch.from_numpy(part).to(log_emission.dtype) for part in forward_backward(*arrays))
    value, by_start, by_transition, by_emission = found
    return value, by_start, by_transition, by_emission


@hmm_parts.register_fake
def _(log_start: Tensor, log_transition: Tensor, log_emission: Tensor) -> Parts:
    """Shapes alone, for tracing."""
    value = log_emission.new_empty(log_emission.shape[:1])
    return value, torch.empty_like(log_start), torch.empty_like(log_transition), torch.empty_like(log_emission)


def keep(ctx: Any, inputs: tuple[Tensor, ...], output: Parts) -> None:
    ctx.save_for_backward(*output[1:])


def backward(ctx: Any, upstream: Tensor, *unused: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    by_start, by_transition, by_emission = ctx.saved_tensors
    return upstream[:, None] * by_start, upstream[:, None, None] * by_transition, upstream[:, None, None] * by_emission


def over_rows(info: Any, in_dims: tuple[int | None, ...], *arguments: Tensor) -> tuple[Parts, tuple[int, ...]]:
    """vmap: rows of programs times sequences are just more sequences."""
    rows = info.batch_size
    full = [
        value.expand(rows, *value.shape) if dim is None else value.movedim(dim, 0)
        for value, dim in zip(arguments, in_dims, strict=True)
    ]
    parts = hmm_parts(*(value.reshape(-1, *value.shape[2:]) for value in full))
    value, by_start, by_transition, by_emission = (part.reshape(rows, -1, *part.shape[1:]) for part in parts)
    return (value, by_start, by_transition, by_emission), (0, 0, 0, 0)


hmm_parts.register_autograd(backward, setup_context=keep)
hmm_parts.register_vmap(over_rows)
