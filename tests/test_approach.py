"""The way in from random starts, on densities where it is known where the mass is."""

from __future__ import annotations

import numpy as np
import pytest

from inference.nuts.approach import approach


def normal(scale: np.ndarray, centre: np.ndarray):
    def evaluate(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return -0.5 * (((z - centre) / scale) ** 2).sum(axis=1), -(z - centre) / scale**2

    return evaluate


@pytest.mark.parametrize("scale", [0.01, 0.3, 5.0])
def test_far_starts_come_near_and_near_starts_stay(scale):
    size = 4
    evaluate = normal(np.full(size, scale), np.full(size, 1.5))
    starts = np.random.default_rng(1).uniform(-2, 2, (16, size))
    found = evaluate(approach(starts, evaluate))[0]
    assert np.all(found >= evaluate(starts)[0])
    # within what a posterior of this dimension wanders through; a wide one is there already
    assert np.all(found > -3 * size)


def test_steep_is_no_faster_than_flat():
    """Only signs of gradients count, so a density to any power leads the same way."""
    flat = normal(np.ones(3), np.full(3, 30.0))

    def steep(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, gradient = flat(z)
        return 1e6 * value, 1e6 * gradient

    starts = np.zeros((2, 3))
    assert np.abs(approach(starts, steep) - 30).max() <= np.abs(approach(starts, flat) - 30).max() + 1e-9


def test_a_wall_of_numbers_that_are_not_finite_is_not_entered():
    def evaluate(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(invalid="ignore", divide="ignore"):
            value = 50 * np.log(z[:, 0]) - 5 * z[:, 0]
            return value, (50 / z[:, 0] - 5)[:, None]

    found = approach(np.array([[0.01], [40.0]]), evaluate)
    assert np.all(np.isfinite(evaluate(found)[0]))
    # the mode is at 10, where the log density is 65.1
    assert np.all(evaluate(found)[0] > 60)


def test_an_unbounded_neck_is_not_followed_to_its_end():
    """In a funnel's neck the density grows for ever; a few units of gain in a round are no reason to go on."""

    def funnel(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        v, x = z[:, :1], z[:, 1:]
        rest = (x**2).sum(axis=1, keepdims=True) * np.exp(-v)
        value = -(v**2) / 18 - rest / 2 - 9 * v / 2
        return value[:, 0], np.hstack([-v / 9 + rest / 2 - 4.5, -x * np.exp(-v)])

    starts = np.random.default_rng(2).uniform(-2, 2, (16, 10))
    assert approach(starts, funnel)[:, 0].min() > -9  # three standard deviations of v
