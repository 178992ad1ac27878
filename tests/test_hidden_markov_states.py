"""States of hidden Markov chains for known parameters: the worked example, and brute force over all paths."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from pyro.distributions import Poisson

from models import hidden_states
from models.distributions.categorical import Categorical
from models.distributions.forward_backward import forward_backward
from models.distributions.hidden_markov import HiddenMarkov

# --- the worked example: two states, two symbols, three observations ----------------------------------------------

START = np.array([0.6, 0.4])
TRANSITION = np.array([[0.7, 0.3], [0.2, 0.8]])
EMISSION = np.array([[0.9, 0.1], [0.3, 0.7]])
SEEN = [0, 1, 1]
EXAMPLE = np.log(START), np.log(TRANSITION), np.log(EMISSION[:, SEEN].T)
MIDDLE_MISSING = (*EXAMPLE[:2], EXAMPLE[2] * np.array([[1], [0], [1]]))


def test_forward_weights():
    known = [[0.54, 0.12], [0.0402, 0.1806], [0.006426, 0.109578]]
    assert np.exp(hidden_states.forward(*EXAMPLE)) == pytest.approx(np.array(known), abs=1e-14)


def test_filtered_states_and_predictive_densities():
    states, log_density = hidden_states.filtered(*EXAMPLE)
    known = [[0.818181818, 0.181818182], [0.182065217, 0.817934783], [0.055394642, 0.944605358]]
    assert states == pytest.approx(np.array(known), abs=1e-9)
    assert np.exp(log_density) == pytest.approx([0.66, 0.334545455, 0.525380435], abs=1e-9)
    assert np.exp(log_density.sum()) == pytest.approx(0.116004, abs=1e-15)
    assert log_density.sum() == pytest.approx(-2.154130605712, abs=1e-12)


def test_the_likelihoods_of_all_sequences_sum_to_one():
    each = [np.log(EMISSION[:, list(symbols)].T) for symbols in itertools.product((0, 1), repeat=3)]
    log_density = hidden_states.filtered(*EXAMPLE[:2], np.stack(each)).log_density
    assert log_density.shape == (8, 3)
    assert np.exp(log_density.sum(axis=1)).sum() == pytest.approx(1, abs=1e-14)


def test_the_most_likely_path():
    path = hidden_states.most_likely(*EXAMPLE)
    assert path.states.tolist() == [0, 1, 1]
    assert np.exp(path.log_joint) == pytest.approx(0.063504, abs=1e-15)
    log_likelihood = hidden_states.filtered(*EXAMPLE).log_density.sum()
    assert np.exp(path.log_joint - log_likelihood) == pytest.approx(0.547429399, abs=1e-9)
    # the best path to any state, as the recursion goes on: the larger of (0.54, 0.12), (0.0378, 0.1134) and so on
    joints = [float(hidden_states.most_likely(*EXAMPLE[:2], EXAMPLE[2][:t]).log_joint) for t in (1, 2, 3)]
    assert np.exp(joints) == pytest.approx([0.54, 0.1134, 0.063504], abs=1e-14)


def test_smoothed_states():
    known = [[0.658218682, 0.341781318], [0.097031137, 0.902968863], [0.055394642, 0.944605358]]
    assert hidden_states.smoothed(*EXAMPLE) == pytest.approx(np.array(known), abs=1e-9)


def test_the_next_state_and_the_next_symbol():
    last = hidden_states.filtered(*EXAMPLE).states[-1]
    states = hidden_states.ahead(last, TRANSITION, 2)
    assert states[0] == pytest.approx([0.227697321, 0.772302679], abs=1e-9)
    assert states[0] @ EMISSION == pytest.approx([0.436618393, 0.563381608], abs=1e-9)
    assert states[1] == pytest.approx(last @ TRANSITION @ TRANSITION, abs=1e-15)


def test_a_missing_observation_is_a_neutral_update():
    states, log_density = hidden_states.filtered(*MIDDLE_MISSING)
    assert np.exp(log_density.sum()) == pytest.approx(0.2622, abs=1e-15)
    assert log_density.sum() == pytest.approx(-1.338647708, abs=1e-9)
    assert log_density[1] == pytest.approx(0, abs=1e-15)
    assert states[-1] == pytest.approx([0.127002288, 0.872997712], abs=1e-9)


def test_a_step_of_baum_and_welch():
    value, start, moves, states = forward_backward(*(array[None] for array in EXAMPLE))
    assert value[0] == pytest.approx(-2.154131, abs=1e-6)
    transition = moves[0] / moves[0].sum(axis=1, keepdims=True)
    emission = np.stack([states[0][np.array(SEEN) == symbol].sum(axis=0) for symbol in (0, 1)], axis=1)
    emission = emission / emission.sum(axis=1, keepdims=True)
    assert start[0] == pytest.approx([0.658218682, 0.341781318], abs=1e-9)
    assert transition == pytest.approx(np.array([[0.152924, 0.847076], [0.029668, 0.970332]]), abs=5e-7)
    assert emission == pytest.approx(np.array([[0.811970, 0.188030], [0.156110, 0.843890]]), abs=5e-7)
    after = hidden_states.filtered(np.log(start[0]), np.log(transition), np.log(emission[:, SEEN].T))
    assert after.log_density.sum() == pytest.approx(-1.014343, abs=5e-7)


def test_the_stationary_law():
    assert hidden_states.stationary(TRANSITION) == pytest.approx([0.4, 0.6], abs=1e-15)
    many = np.random.default_rng(1).dirichlet(np.full(5, 0.3), size=(7, 5))
    law = hidden_states.stationary(many)
    assert law.shape == (7, 5) and law.sum(axis=-1) == pytest.approx(np.ones(7))
    assert np.einsum("bi,bij->bj", law, many) == pytest.approx(law, abs=1e-14)


def test_the_stationary_law_of_a_chain_that_hardly_moves():
    """By hand: the odds of two states are those of the ways between them, to the last digit however rare these are."""
    slow = np.array([[1 - 1e-14, 1e-14], [3e-14, 1.0]])
    assert hidden_states.stationary(slow) == pytest.approx([0.75, 0.25], rel=1e-14)
    absorbed = np.array([[0.5, 0.5], [0.0, 1.0]])
    assert hidden_states.stationary(absorbed) == pytest.approx([0, 1], abs=1e-14)


def test_logarithms_and_scaling_agree_on_a_long_sequence():
    rng = np.random.default_rng(2)
    start, transition = np.log(rng.dirichlet(np.ones(3))), np.log(rng.dirichlet(np.ones(3), size=3))
    emission = 20 * rng.normal(size=(5000, 3)) - 40
    log_alpha = hidden_states.forward(start, transition, emission)
    total = np.logaddexp.reduce(log_alpha, axis=-1)
    found = hidden_states.filtered(start, transition, emission)
    assert total[-1] < -100_000  # far below the smallest floating point number
    assert found.log_density.cumsum() == pytest.approx(total, rel=1e-12)
    assert found.states == pytest.approx(np.exp(log_alpha - total[:, None]), abs=1e-9)


# --- all paths, one by one ----------------------------------------------------------------------------------------


class Everything(NamedTuple):
    """What the sum over all K^T paths says."""

    log_likelihood: float
    log_alpha: np.ndarray
    filtered: np.ndarray
    smoothed: np.ndarray
    best: tuple[int, ...]
    log_joint: float
    posterior: dict[tuple[int, ...], float]


def by_hand(start: np.ndarray, transition: np.ndarray, emission: np.ndarray) -> Everything:
    length, states = emission.shape

    def joints(upto: int) -> dict[tuple[int, ...], float]:
        return {
            path: start[path[0]]
            + sum(emission[t, k] for t, k in enumerate(path))
            + sum(transition[i, j] for i, j in itertools.pairwise(path))
            for path in itertools.product(range(states), repeat=upto)
        }

    log_alpha = np.array(
        [
            [np.logaddexp.reduce([v for path, v in joints(t).items() if path[-1] == k]) for k in range(states)]
            for t in range(1, length + 1)
        ]
    )
    filtered = np.exp(log_alpha - np.logaddexp.reduce(log_alpha, axis=1)[:, None])
    whole = joints(length)
    log_likelihood = float(np.logaddexp.reduce(list(whole.values())))
    posterior = {path: math.exp(value - log_likelihood) for path, value in whole.items()}
    smoothed = np.zeros((length, states))
    for path, probability in posterior.items():
        smoothed[range(length), path] += probability
    best = max(whole, key=lambda path: whole[path])
    return Everything(log_likelihood, log_alpha, filtered, smoothed, best, whole[best], posterior)


def chain(states: int, length: int, seed: int, zeros: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random logarithms; with `zeros`, some moves are impossible, and one row is missing."""
    rng = np.random.default_rng(seed)
    start, transition = np.log(rng.dirichlet(np.ones(states))), np.log(rng.dirichlet(np.ones(states), size=states))
    emission = 2 * rng.normal(size=(length, states))
    if zeros:
        transition[0, -1] = start[0] = emission[-1, 1] = -np.inf
        emission[length // 2] = 0
    return start, transition, emission


CHAINS = {
    f"{states} states, {length} rows" + (", zeros" if zeros else ""): (states, length, zeros)
    for states, length, zeros in [
        (2, 1, False),
        (2, 6, False),
        (3, 5, False),
        (4, 4, False),
        (3, 6, True),
        (2, 5, True),
    ]
}


@pytest.mark.parametrize(("states", "length", "zeros"), CHAINS.values(), ids=CHAINS)
def test_everything_equals_brute_force(states, length, zeros):
    arguments = chain(states, length, states + length, zeros)
    known = by_hand(*arguments)
    found = hidden_states.filtered(*arguments)
    assert found.log_density.sum() == pytest.approx(known.log_likelihood, abs=1e-12)
    assert found.states == pytest.approx(known.filtered, abs=1e-12)
    assert np.exp(hidden_states.forward(*arguments)) == pytest.approx(np.exp(known.log_alpha), rel=1e-12)
    assert hidden_states.smoothed(*arguments) == pytest.approx(known.smoothed, abs=1e-12)
    path = hidden_states.most_likely(*arguments)
    assert tuple(path.states.tolist()) == known.best
    assert path.log_joint == pytest.approx(known.log_joint, abs=1e-12)


@pytest.mark.parametrize(("states", "length", "zeros"), [(2, 4, False), (3, 3, True)])
def test_drawn_paths_have_their_posterior_probabilities(states, length, zeros):
    arguments = chain(states, length, 5, zeros)
    count = 40_000
    many = np.broadcast_to(arguments[2], (count, length, states))
    paths = hidden_states.drawn(*arguments[:2], many, np.random.default_rng(3))
    assert paths.shape == (count, length)
    found = {tuple(path): number for path, number in zip(*np.unique(paths, axis=0, return_counts=True), strict=True)}
    for path, probability in by_hand(*arguments).posterior.items():
        error = math.sqrt(max(probability * (1 - probability), 1 / count) / count)
        assert abs(found.get(path, 0) / count - probability) <= 4 * error, path
        assert probability > 0 or path not in found


def test_draws_of_paths_are_the_same_for_the_same_generator():
    arguments = chain(3, 6, 1)
    one, two = (hidden_states.drawn(*arguments, np.random.default_rng(9)) for _ in range(2))
    assert one.tolist() == two.tolist()


def test_batch_axes_broadcast():
    start, transition, _ = chain(3, 4, 1)
    emission = np.random.default_rng(4).normal(size=(5, 2, 4, 3))
    transitions = np.stack([np.roll(transition, shift, axis=0) for shift in range(5)])
    arguments = start, transitions[:, None], emission
    found = [function(*arguments) for function in (hidden_states.smoothed, hidden_states.forward)]
    path = hidden_states.most_likely(*arguments)
    assert path.states.shape == (5, 2, 4) and path.log_joint.shape == (5, 2)
    for i, j in np.ndindex(5, 2):
        known = by_hand(start, transitions[i], emission[i, j])
        assert found[0][i, j] == pytest.approx(known.smoothed, abs=1e-12)
        assert found[1][i, j] == pytest.approx(known.log_alpha, abs=1e-12)
        assert tuple(path.states[i, j]) == known.best


def test_an_impossible_sequence_says_so():
    start, transition, emission = chain(2, 3, 2)
    emission[1] = -np.inf
    states, log_density = hidden_states.filtered(start, transition, emission)
    assert np.isfinite(states[0]).all() and np.isnan(states[1:]).all()
    assert log_density[1] == -np.inf
    assert hidden_states.most_likely(start, transition, emission).log_joint == -np.inf


# --- the distribution of sequences --------------------------------------------------------------------------------


def of_symbols(length: int, sequences: int = 1) -> HiddenMarkov:
    emission = Categorical(torch.as_tensor(EMISSION)[:, None])
    there = torch.ones(sequences, length, 1, dtype=torch.bool)
    return HiddenMarkov(torch.as_tensor(START).log(), torch.as_tensor(TRANSITION).log(), emission, there)


def test_sequences_are_drawn_with_their_probabilities():
    torch.manual_seed(1)
    fn, count = of_symbols(4), 40_000
    drawn = fn.sample((count,))
    assert drawn.shape == (count, 1, 4, 1)
    for symbols in itertools.product((0, 1), repeat=4):
        value = torch.tensor(symbols).reshape(1, 4, 1)
        probability = fn.log_prob(value).exp().item()
        share = (drawn == value).all(dim=2).double().mean().item()
        assert abs(share - probability) <= 4 * math.sqrt(probability * (1 - probability) / count), symbols


def test_drawn_states_are_a_path_of_the_chain():
    """Moves have their probabilities at every step, however steps are joined: 7 of them are no power of two."""
    torch.manual_seed(2)
    count = 40_000
    paths = of_symbols(8).sample_states(torch.Size((count,))).numpy()
    law = START
    for t in range(8):
        assert (paths[:, t] == 1).mean() == pytest.approx(law[1], abs=4 * math.sqrt(0.25 / count))
        if t:
            for i in (0, 1):
                moved = paths[paths[:, t - 1] == i, t]
                assert moved.mean() == pytest.approx(TRANSITION[i, 1], abs=4 * math.sqrt(0.25 / len(moved)))
        law = law @ TRANSITION


def test_what_is_not_there_is_not_drawn_and_counts_for_nothing():
    torch.manual_seed(3)
    rates = torch.tensor([[2.0, 30.0], [9.0, 4.0]], dtype=torch.float64)
    there = torch.tensor([[[1, 1], [0, 1], [1, 0]], [[1, 1], [0, 0], [0, 0]]], dtype=torch.bool)
    fn = HiddenMarkov(torch.as_tensor(START).log(), torch.as_tensor(TRANSITION).log(), Poisson(rates), there)
    value = fn.sample()
    assert (value[~there] == 0).all() and (value[there] > 0).any()
    assert fn.expand((2,)).sample((5,)).shape == (5, 2, 3, 2)
    changed = torch.where(there, value, torch.full_like(value, 7.0))
    torch.testing.assert_close(fn.log_prob(changed), fn.log_prob(value), rtol=0, atol=0)
    cells = torch.where(there[:, :, None], Poisson(rates).log_prob(value[:, :, None]), 0.0).sum(-1).numpy()
    known = [by_hand(np.log(START), np.log(TRANSITION), cells[s]) for s in range(2)]
    assert fn.log_prob(value).numpy() == pytest.approx([one.log_likelihood for one in known], abs=1e-12)
    smoothed = hidden_states.smoothed(*fn.logarithms(value))
    assert smoothed == pytest.approx(np.stack([one.smoothed for one in known]), abs=1e-12)
