"""Component labels: whatever the order they come in, the aligned draws are those that were mixed up."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from inference.labels import align, assigned

CHAINS, DRAWS = 4, 100
DIMS = {"loc": ("component", "dimension"), "scale": ("component",), "weights": ("component",), "nu": ()}


def made(loc: np.ndarray, scale: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """Draws around components at `loc (K, D)` with sds 0.1, scales within 5% and weights from a dirichlet."""
    rng = np.random.default_rng(seed)
    shape = (CHAINS, DRAWS)
    return {
        "loc": loc + 0.1 * rng.normal(size=(*shape, *loc.shape)),
        "scale": scale * np.exp(0.05 * rng.normal(size=(*shape, len(loc)))),
        "weights": rng.dirichlet(np.full(len(loc), 20.0), size=shape),
        "nu": rng.gamma(2.0, size=shape),
    }


def shuffled(draws: dict[str, np.ndarray], by: np.ndarray) -> dict[str, np.ndarray]:
    """The sites of `DIMS` with a permutation `(chain, draw, K)` of their components."""
    found = dict(draws)
    for name in ("loc", "scale", "weights"):
        index = by[..., None] if draws[name].ndim == 4 else by
        found[name] = np.take_along_axis(draws[name], index, axis=2)
    return found


CASES = {
    "far apart": (np.array([[-3.0], [0.0], [2.0]]), np.array([1.0, 1.0, 1.0])),
    "by the second dimension": (np.array([[0.0, -2.0], [0.2, 2.0], [0.4, 0.0]]), np.array([1.0, 1.0, 1.0])),
    "means equal, scales apart": (np.array([[0.0], [0.0]]), np.array([0.2, 3.0])),
    "ten components": (np.arange(10.0)[:, None], np.ones(10)),
    "one coordinate in seven": (np.arange(10.0)[:, None] * [1, 0, 0, 0, 0], np.ones(10)),
    "a grid, told by no coordinate alone": (np.array([[i, j] for i in range(3) for j in range(4)]) * 1.0, np.ones(12)),
    "one component": (np.array([[1.0]]), np.array([1.0])),
}


@pytest.mark.parametrize("how", ["a permutation a draw", "a permutation a chain"])
@pytest.mark.parametrize("case", CASES)
def test_components_in_any_order_come_back_together(case, how):
    loc, scale = CASES[case]
    truth = made(loc, scale)
    rng = np.random.default_rng(1)
    by = rng.permuted(np.tile(np.arange(len(loc)), (CHAINS, DRAWS, 1)), axis=2)
    if how == "a permutation a chain":
        by = np.repeat(by[:, :1], DRAWS, axis=1)
    aligned = align(shuffled(truth, by), DIMS, "component")
    # one relabelling for all draws is left open: undo the shuffle in the first draw and hold all others to it
    back = np.take_along_axis(by, aligned.permutations, axis=2)
    assert (back == back[0, 0]).all()
    for name in ("loc", "scale", "weights"):
        assert np.array_equal(aligned.draws[name], truth[name][:, :, back[0, 0]])
    assert aligned.draws["nu"] is truth["nu"]
    assert (np.diff(aligned.draws["loc"].mean(axis=(0, 1))[:, 0]) > 0).all()


def test_permutations_say_where_the_components_were():
    draws = made(*CASES["far apart"])
    aligned = align(draws, DIMS, "component")
    for name in ("scale", "weights"):
        assert np.array_equal(aligned.draws[name], np.take_along_axis(draws[name], aligned.permutations, axis=2))


def test_a_transition_matrix_is_permuted_along_both_axes():
    rng = np.random.default_rng(2)
    rate = np.array([1.0, 4.0, 9.0]) * np.exp(0.02 * rng.normal(size=(CHAINS, DRAWS, 3)))
    transition = np.array([[0.9, 0.08, 0.02], [0.3, 0.5, 0.2], [0.1, 0.2, 0.7]])
    transition = transition + 0.001 * rng.normal(size=(CHAINS, DRAWS, 3, 3))
    by = rng.permuted(np.tile(np.arange(3), (CHAINS, DRAWS, 1)), axis=2)
    chain, draw = np.ogrid[:CHAINS, :DRAWS]
    mixed = {
        "rate": rate[chain[..., None], draw[..., None], by],
        "transition": transition[chain[..., None, None], draw[..., None, None], by[..., :, None], by[..., None, :]],
    }
    for second in ("state", "next_state"):
        dims = {"rate": ("state",), "transition": ("state", second)}
        aligned = align(mixed, dims, "state")
        assert np.array_equal(aligned.draws["rate"], rate)
        assert np.array_equal(aligned.draws["transition"], transition)
    # the matrix alone says enough
    alone = align({"transition": mixed["transition"]}, dims, "state")
    assert np.ptp(alone.draws["transition"], axis=(0, 1)).max() < 0.02


def test_overlapping_components_are_told_apart_by_order():
    """In one dimension the cheapest assignment keeps the order, so that averages are those of sorted draws."""
    rng = np.random.default_rng(3)
    loc = np.array([0.0, 3.0]) + rng.normal(size=(CHAINS, 500, 2))
    flip = rng.random((CHAINS, 500)) < 0.5
    mixed = np.where(flip[..., None], loc[..., ::-1], loc)
    aligned = align({"loc": mixed}, {"loc": ("component",)}, "component").draws["loc"]
    assert (aligned[..., 0] < aligned[..., 1]).all()
    # Clark 1961: E of the larger of N(0, 1) and N(3, 1) is 3 Phi(3 / sqrt 2) + sqrt 2 phi(3 / sqrt 2)
    assert aligned.mean(axis=(0, 1)) == pytest.approx([-0.0086, 3.0086], abs=4 / np.sqrt(2000))


def test_an_empty_components_wild_draws_do_not_mislead():
    """A third component that is drawn from its prior may lie anywhere and have any scale."""
    rng = np.random.default_rng(4)
    truth = made(np.array([[-2.0], [0.0], [2.0]]), np.ones(3))
    truth["loc"][:, :, 1, 0] = 3 * rng.standard_t(3, size=(CHAINS, DRAWS))
    truth["scale"][:, :, 1] = np.exp(3 * rng.normal(size=(CHAINS, DRAWS)))
    truth["weights"] = truth["weights"] * np.array([1.0, 1e-3, 1.0])
    by = rng.permuted(np.tile(np.arange(3), (CHAINS, DRAWS, 1)), axis=2)
    aligned = align(shuffled(truth, by), DIMS, "component")
    back = np.take_along_axis(by, aligned.permutations, axis=2)
    assert (back == back[0, 0]).mean() > 0.99


def test_numbers_beyond_all_bounds_spoil_their_own_draw_alone():
    truth = made(*CASES["far apart"])
    truth["loc"][0, 0, 1, 0], truth["scale"][1, 1, 2] = 1e200, np.inf
    rng = np.random.default_rng(6)
    by = rng.permuted(np.tile(np.arange(3), (CHAINS, DRAWS, 1)), axis=2)
    aligned = align(shuffled(truth, by), DIMS, "component")
    back = np.take_along_axis(by, aligned.permutations, axis=2)
    assert (back == back[2, 2]).all(axis=-1).sum() >= CHAINS * DRAWS - 2


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_units_do_not_matter(factor):
    draws = made(np.array([[0.0], [0.15], [0.4]]), np.array([1.0, 2.0, 1.0]))
    here = align(draws, DIMS, "component").permutations
    assert not np.array_equal(here, np.broadcast_to(here[0, 0], here.shape)), "some draws are permuted"
    there = align({**draws, "loc": draws["loc"] * factor}, DIMS, "component").permutations
    assert np.array_equal(here, there)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_assignment_is_the_cheapest_of_all_permutations(count):
    rng = np.random.default_rng(5)
    features = rng.normal(size=(30, count, 2))
    mean, variance = rng.normal(size=(count, 2)), rng.gamma(2.0, size=(count, 2)) + 0.1
    for own, found in zip(features, assigned(features, mean, variance), strict=True):
        costs = {order: ((own[list(order)] - mean) ** 2 / (2 * variance)).sum() for order in permutations(range(count))}
        assert tuple(found) == min(costs, key=costs.__getitem__)


def test_draws_that_do_not_differ_keep_their_labels():
    draws = {"loc": np.tile([1.0, 1.0, 2.0], (2, 5, 1))}
    aligned = align(draws, {"loc": ("component",)}, "component")
    assert np.array_equal(aligned.draws["loc"], draws["loc"])


def test_no_site_with_the_dimension_is_a_mistake():
    with pytest.raises(ValueError, match="no site has the dimension 'component', got \\['nu'\\]"):
        align({"nu": np.zeros((2, 3))}, DIMS, "component")
