"""The forward-backward operation against brute force over all paths, and against the worked example's numbers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from models.distributions.hidden_markov import hmm_log_likelihood, hmm_parts

START = torch.tensor([0.6, 0.4], dtype=torch.float64)
TRANSITION = torch.tensor([[0.7, 0.3], [0.2, 0.8]], dtype=torch.float64)
EMISSION = torch.tensor([[0.9, 0.1], [0.3, 0.7]], dtype=torch.float64)


def of_symbols(symbols: list[int]) -> torch.Tensor:
    return hmm_log_likelihood(START.log(), TRANSITION.log(), EMISSION.log()[:, symbols].T)


def brute_force(start: torch.Tensor, transition: torch.Tensor, emission: torch.Tensor) -> torch.Tensor:
    """The sum over all K^T paths, one by one."""
    length, states = emission.shape
    paths = [
        start[path[0]]
        + sum(emission[t, k] for t, k in enumerate(path))
        + sum(transition[i, j] for i, j in itertools.pairwise(path))
        for path in itertools.product(range(states), repeat=length)
    ]
    return torch.logsumexp(torch.stack(paths), 0)


def test_the_worked_example():
    assert of_symbols([0, 1, 1]).item() == pytest.approx(math.log(0.116004), abs=1e-14)
    every = [of_symbols(list(symbols)).exp() for symbols in itertools.product((0, 1), repeat=3)]
    assert sum(every).item() == pytest.approx(1.0, abs=1e-14)
    # the gradient by log emission is each state's probability given all observations
    emission = EMISSION.log()[:, [0, 1, 1]].T.contiguous().requires_grad_()
    (smoothed,) = torch.autograd.grad(hmm_log_likelihood(START.log(), TRANSITION.log(), emission), emission)
    known = [[0.658218682, 0.341781318], [0.097031137, 0.902968863], [0.055394642, 0.944605358]]
    np.testing.assert_allclose(smoothed.numpy(), known, atol=5e-10)


def test_a_missing_observation_counts_for_nothing():
    emission = EMISSION.log()[:, [0, 1, 1]].T.clone()
    emission[1] = 0.0
    assert hmm_log_likelihood(START.log(), TRANSITION.log(), emission).exp().item() == pytest.approx(0.2622, abs=1e-14)


@pytest.mark.parametrize(("states", "length"), [(2, 1), (2, 6), (3, 5), (4, 3)])
def test_value_and_gradients_equal_brute_force(states, length):
    torch.manual_seed(states + length)
    shapes = [(states,), (states, states), (length, states)]
    arguments = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    found, known = hmm_log_likelihood(*arguments), brute_force(*arguments)
    torch.testing.assert_close(found, known, rtol=1e-13, atol=1e-13)
    brute = torch.autograd.grad(known, arguments, materialize_grads=True)  # one observation knows no transition
    for ours, theirs in zip(torch.autograd.grad(found, arguments), brute, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_batches_vmap_and_traced_graphs_are_one_by_one():
    torch.manual_seed(1)
    start, transition = torch.randn(5, 3, dtype=torch.float64), torch.randn(3, 3, dtype=torch.float64)
    emission = torch.randn(5, 4, 3, dtype=torch.float64)
    each = torch.stack([hmm_log_likelihood(start[i], transition, emission[i]) for i in range(5)])
    torch.testing.assert_close(hmm_log_likelihood(start, transition, emission), each)
    over_rows = torch.vmap(hmm_log_likelihood, in_dims=(0, None, 0))
    torch.testing.assert_close(over_rows(start, transition, emission), each)
    graph = make_fx(over_rows)(start, transition, emission)
    torch.testing.assert_close(graph(start * 2, transition, emission), over_rows(start * 2, transition, emission))


def test_long_sequences_stay_finite_and_equal_the_recursion_in_logarithms():
    torch.manual_seed(2)
    start, transition = torch.randn(3, dtype=torch.float64), torch.randn(3, 3, dtype=torch.float64).log_softmax(-1)
    emission = 20 * torch.randn(5000, 3, dtype=torch.float64)
    alpha = start + emission[0]
    for observation in emission[1:]:
        alpha = torch.logsumexp(alpha[:, None] + transition, 0) + observation
    found = hmm_log_likelihood(start, transition, emission)
    assert found.item() == pytest.approx(torch.logsumexp(alpha, 0).item(), rel=1e-13)


def test_impossible_sequences_have_no_likelihood_and_no_gradient():
    transition = torch.tensor([[0.0, -torch.inf], [-torch.inf, 0.0]], dtype=torch.float64)
    emission = torch.tensor([[0.0, -torch.inf], [-torch.inf, 0.0]], dtype=torch.float64)
    parts = hmm_parts(torch.zeros(1, 2, dtype=torch.float64), transition[None], emission[None])
    assert parts[0].item() == -torch.inf
    assert all(bool((part == 0).all()) for part in parts[1:])
    nowhere = torch.full((2, 2), -torch.inf, dtype=torch.float64)
    assert hmm_log_likelihood(START.log(), TRANSITION.log(), nowhere).item() == -torch.inf
