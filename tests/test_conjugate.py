"""The conjugate forms one by one: gradients give the parameters back, and what is said of them is true."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

from inference.conjugate import FAMILIES, Dirichlet, Parameters, beta_mode, dirichlet_mode

SCALARS = ["Beta", "Gamma", "InverseGamma", "Normal"]
SHAPE = (2, 3)
REAL = {"Normal"}


def tensor(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def some(name: str, seed: int) -> Parameters:
    """Parameters of a distribution, `(2, 3)`, from small to large; a normal's h may be negative."""
    rng = np.random.default_rng(seed)
    first, second = np.exp(rng.normal(1, 2, (2, *SHAPE)))
    if name == "Dirichlet":
        return Parameters(tensor(first), tensor(first))
    return Parameters(tensor(first * rng.choice([-1, 1], SHAPE) if name in REAL else first), tensor(second))


def slopes(name: str, parameters: Parameters, at: Tensor) -> Tensor:
    free = at.clone().requires_grad_()
    value = FAMILIES[name].distribution(parameters).log_prob(free).sum()
    return torch.autograd.grad(value, free)[0]


def two_points(name: str, seed: int) -> Tensor:
    rng = np.random.default_rng(seed + 100)
    if name == "Dirichlet":
        return tensor(rng.dirichlet(np.ones(SHAPE[-1]) * 4, (2, SHAPE[0])))
    return {
        "Beta": tensor(rng.uniform(0.1, 0.9, (2, *SHAPE))),
        "Normal": tensor(rng.normal(0, 2, (2, *SHAPE))),
    }.get(name, tensor(np.exp(rng.normal(0, 1, (2, *SHAPE)))))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", [*SCALARS, "Dirichlet"])
def test_two_gradients_give_the_parameters_back(name, seed):
    parameters, at = some(name, seed), two_points(name, seed)
    found = FAMILIES[name].solve(at, slopes(name, parameters, at))
    for one, other in zip(found, parameters, strict=True):
        assert one.numpy() == pytest.approx(other.numpy(), rel=1e-9, abs=1e-9)
    assert FAMILIES[name].proper(found)


@pytest.mark.parametrize("name", SCALARS)
def test_marginals_have_the_density_of_the_distribution(name):
    parameters, at = some(name, 1), two_points(name, 1)
    family = FAMILIES[name]
    expected = family.distribution(parameters).log_prob(at).exp().numpy()
    assert family.marginal(parameters).pdf(at.numpy()) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_marginals_of_a_dirichlet_are_betas():
    a = tensor([[1.0, 2.0, 3.5], [0.5, 0.5, 9.0]])
    marginal = Dirichlet().marginal(Parameters(a, a))
    distribution = Dirichlet().distribution(Parameters(a, a))
    assert marginal.mean() == pytest.approx(distribution.mean.numpy(), rel=1e-12)
    assert marginal.std() ** 2 == pytest.approx(distribution.variance.numpy(), rel=1e-12)


IMPROPER = {
    "a beta with a negative shape": ("Beta", -0.1, 2.0),
    "a beta without ones": ("Beta", 0.0, 2.0),
    "a gamma without rate": ("Gamma", 1.0, 0.0),
    "a gamma with nan": ("Gamma", math.nan, 1.0),
    "an inverse gamma with a negative rate": ("InverseGamma", 1.0, -1.0),
    "a flat normal": ("Normal", 1.0, 0.0),
    "a normal that grows": ("Normal", 1.0, -2.0),
    "a normal without bound": ("Normal", math.inf, 1.0),
    "a dirichlet with a zero": ("Dirichlet", [1.0, 0.0], [1.0, 0.0]),
}


@pytest.mark.parametrize(("name", "first", "second"), IMPROPER.values(), ids=IMPROPER)
def test_improper_parameters_are_known_as_such(name, first, second):
    assert not FAMILIES[name].proper(Parameters(tensor(first), tensor(second)))


# Prior and posterior as (first, second); mle, map, mean, the prior's weight and the data's.
ESTIMATES = {
    "3 ones of 4": ("Beta", (2, 3), (5, 4), (3 / 4, 4 / 7, 5 / 9, 5, 4)),
    "no data": ("Beta", (2, 3), (2, 3), (math.nan, 1 / 3, 2 / 5, 5, 0)),
    "two counts, 7 in all": ("Gamma", (2, 1), (9, 3), (7 / 2, 8 / 3, 9 / 3, 1, 2)),
    "a gamma whose mode is 0": ("Gamma", (0.5, 1), (0.5, 3), (0, 0, 0.5 / 3, 1, 2)),
    "four squares, 6 in all": ("InverseGamma", (3, 2), (5, 5), (6 / 4, 5 / 6, 5 / 4, 3, 2)),
    "an inverse gamma without a mean": ("InverseGamma", (0.5, 2), (1, 5), (6, 5 / 2, math.inf, 0.5, 0.5)),
    "two values of precision 4, mean 3": ("Normal", (2, 1), (26, 9), (3, 26 / 9, 26 / 9, 1, 8)),
}


@pytest.mark.parametrize(("name", "prior", "posterior", "expected"), ESTIMATES.values(), ids=ESTIMATES)
def test_estimates_side_by_side(name, prior, posterior, expected):
    (a, b), (c, d) = prior, posterior
    prior, posterior = Parameters(tensor(float(a)), tensor(float(b))), Parameters(tensor(float(c)), tensor(float(d)))
    found = FAMILIES[name].estimates(prior, posterior)
    keys = ("mle", "map", "mean", "prior_weight", "data_weight")
    assert tuple(found) == keys
    assert [float(found[key]) for key in keys] == pytest.approx(expected, rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SCALARS)
def test_the_mode_is_where_the_density_is_highest(name, seed):
    family, parameters = FAMILIES[name], some(name, seed)
    parameters = Parameters(parameters.first + 1, parameters.second + 1)  # where the mode lies inside
    modes = family.estimates(parameters, parameters)["map"]
    for index in np.ndindex(SHAPE):
        one = Parameters(parameters.first[index], parameters.second[index])
        marginal = family.marginal(one)
        low, high = marginal.ppf(1e-12), marginal.ppf(1 - 1e-12)
        found = scipy.optimize.minimize_scalar(
            lambda x, density=marginal: -density.logpdf(x),
            bounds=(low, high),
            method="bounded",
            options={"xatol": 1e-12},
        )
        assert float(modes[index]) == pytest.approx(found.x, rel=1e-4, abs=1e-6 * (high - low))


def test_estimates_of_a_dirichlet():
    prior, posterior = tensor([2.0, 2.0, 2.0]), tensor([5.0, 3.0, 2.0])
    found = Dirichlet().estimates(Parameters(prior, prior), Parameters(posterior, posterior))
    expected = {"mle": [3 / 4, 1 / 4, 0], "map": [4 / 7, 2 / 7, 1 / 7], "mean": [0.5, 0.3, 0.2]}
    for key, values in expected.items():
        assert found[key].tolist() == pytest.approx(values, rel=1e-12)
    assert found["prior_weight"].tolist() == [6, 6, 6]
    assert found["data_weight"].tolist() == [4, 4, 4]


DIRICHLET_MODES = {
    "inside": ([3.0, 2.0, 4.0], [2 / 6, 1 / 6, 3 / 6]),
    "on an edge": ([3.0, 1.0, 2.0], [2 / 3, 0, 1 / 3]),
    "at a corner": ([3.0, 1.0, 1.0], [1, 0, 0]),
    "flat": ([1.0, 1.0, 1.0], [math.nan] * 3),
    "unbounded": ([3.0, 0.5, 2.0], [math.nan] * 3),
}


@pytest.mark.parametrize(("a", "mode"), DIRICHLET_MODES.values(), ids=DIRICHLET_MODES)
def test_mode_of_a_dirichlet(a, mode):
    assert dirichlet_mode(np.array(a)).tolist() == pytest.approx(mode, rel=1e-12, nan_ok=True)


def test_modes_of_many_betas_at_once():
    a, b = np.array([[9.0, 0.5], [1.0, 0.5]]), np.array([[5.0, 3.0], [1.0, 0.5]])
    assert beta_mode(a, b).tolist() == [[pytest.approx(2 / 3), 0.0], [pytest.approx(math.nan, nan_ok=True)] * 2]


@pytest.mark.parametrize("name", ["Exponential", "Chi2"])
def test_special_gammas_have_the_gammas_form(name):
    assert type(FAMILIES[name]) is type(FAMILIES["Gamma"])
