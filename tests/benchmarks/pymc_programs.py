"""The problems as PyMC models."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt


def logistic(x: np.ndarray, y: np.ndarray) -> None:
    alpha = pm.Normal("alpha", 0, 2.5)
    beta = pm.Normal("beta", 0, 2.5, shape=x.shape[1])
    pm.Bernoulli("y", logit_p=alpha + x @ beta, observed=y)


def ordered_means() -> pt.TensorVariable:
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


def beta_bernoulli(group: np.ndarray, y: np.ndarray) -> None:
    theta = pm.Beta("theta", 2, 2, shape=50)
    pm.Bernoulli("y", theta[group], observed=y)


def hidden_markov(y: np.ndarray) -> None:
    transition = pm.Dirichlet("transition", np.ones((3, 3)), shape=(3, 3))
    sigma = pm.LogNormal("sigma", 0, 1, shape=3)
    emission = pm.logp(pm.Normal.dist(ordered_means(), sigma), y[:, None])
    log_transition = pt.log(transition)

    def step(log_e: pt.TensorVariable, alpha: pt.TensorVariable, moves: pt.TensorVariable) -> pt.TensorVariable:
        return pt.logsumexp(alpha[:, None] + moves, axis=0) + log_e

    alphas = pytensor.scan(
        step,
        sequences=emission[1:],
        outputs_info=emission[0] - np.log(3.0),
        non_sequences=log_transition,
        return_updates=False,
    )
    pm.Potential("y", pt.logsumexp(alphas[-1]))


PROGRAMS = {
    "logistic_small": logistic,
    "logistic_big": logistic,
    "mixture": mixture,
    "zero_inflated": zero_inflated,
    "beta_bernoulli": beta_bernoulli,
    "hidden_markov": hidden_markov,
}
