"""The log likelihood of a hidden Markov chain with its states summed out, as one differentiable operation.

An unrolled recursion makes a graph of T steps; this is a single node whose gradient the forward-backward recursion
gives in the same pass (`models.distributions.forward_backward`). It batches under `torch.vmap`, and enters a traced
graph.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.distributions.forward_backward import forward_backward

Parts = tuple[Tensor, Tensor, Tensor, Tensor]


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
