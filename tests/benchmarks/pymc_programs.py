"""The problems as PyMC models."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable as Variable


def logistic(x: np.ndarray, y: np.ndarray) -> None:
    alpha = pm.Normal("alpha", 0, 2.5)
    beta = pm.Normal("beta", 0, 2.5, shape=x.shape[1])
    pm.Bernoulli("y", logit_p=alpha + x @ beta, observed=y)


def ordered_means() -> Variable:
    """Gaps on the log scale: the density of NumPyro's and Pyro's ordered transform of a normal."""
    first = pm.Normal("first", 0, 5)
    gap = pm.LogNormal("gap", 0, 1, shape=2)
    return pm.Deterministic("mu", first + pt.concatenate([pt.zeros(1), pt.cumsum(gap)]))


def mixture(y: np.ndarray) -> None:
    weights = pm.Dirichlet("weights", np.full(3, 2.0))
    sigma = pm.LogNormal("sigma", 0, 1, shape=3)
    pm.NormalMixture("y", w=weights, mu=ordered_means(), sigma=sigma, observed=y)


def zero_inflated(x: np.ndarray, y: np.ndarray) -> None:
    gate = pm.Normal("gate", 0, 2.5)
    gamma = pm.Normal("gamma", 0, 2.5, shape=x.shape[1])
    rate = pm.Normal("rate", 0, 2.5)
    beta = pm.Normal("beta", 0, 2.5, shape=x.shape[1])
    # PyMC's psi is the chance of the Poisson part
    pm.ZeroInflatedPoisson("y", psi=pm.math.sigmoid(-gate - x @ gamma), mu=pt.exp(rate + x @ beta), observed=y)


def beta_bernoulli(y: np.ndarray) -> None:
    theta = pm.Beta("theta", 2, 2, shape=50)
    pm.Bernoulli("y", theta[:, None], observed=y)


def hidden_markov(y: np.ndarray) -> None:
    """Scaled probabilities, as for NumPyro."""
    transition = pm.Dirichlet("transition", np.ones((3, 3)), shape=(3, 3))
    sigma = pm.LogNormal("sigma", 0, 1, shape=3)
    emission = pm.logp(pm.Normal.dist(ordered_means(), sigma), y[:, None])
    top = pytensor.gradient.disconnected_grad(emission.max(axis=1, keepdims=True))
    chance = pt.exp(emission - top)

    def step(given: Variable, alpha: Variable, moves: Variable) -> tuple[Variable, Variable]:
        alpha = (alpha[:, None] * moves).sum(axis=0) * given
        total = alpha.sum()
        return alpha / total, total

    start = chance[0] / 3
    _, totals = pytensor.scan(
        step,
        sequences=chance[1:],
        outputs_info=[start / start.sum(), None],
        non_sequences=transition,
        return_updates=False,
    )
    pm.Potential("y", pt.log(start.sum()) + pt.log(totals).sum() + top.sum())


PROGRAMS = {
    "logistic_small": logistic,
    "logistic_big": logistic,
    "mixture": mixture,
    "zero_inflated": zero_inflated,
    "beta_bernoulli": beta_bernoulli,
    "hidden_markov": hidden_markov,
}
