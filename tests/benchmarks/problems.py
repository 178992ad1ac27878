"""The problems, simulated from fixed seeds: plain NumPy data and nothing else, so that every library gets the same.

`PARAMETERS` names what effective sample sizes are computed over, with shapes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Arrays = dict[str, np.ndarray]

STATES = 3


def logistic(rows: int, covariates: int, scale: float) -> Arrays:
    """y[n] ~ Bernoulli(logits = alpha + x[n] . beta), with alpha and beta ~ Normal(0, 2.5)."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((rows, covariates))
    logits = 0.5 + x @ (scale * rng.standard_normal(covariates))
    return {"x": x, "y": (rng.random(rows) < 1 / (1 + np.exp(-logits))).astype(float)}


def logistic_small() -> Arrays:
    return logistic(1000, 25, 0.5)


def logistic_big() -> Arrays:
    return logistic(20_000, 50, 0.3)


def mixture() -> Arrays:
    """y[n] ~ sum over k of weights[k] Normal(mu[k], sigma[k]).

    weights ~ Dirichlet(2, 2, 2), sigma[k] ~ LogNormal(0, 1); mu[0] ~ Normal(0, 5), mu[k] - mu[k - 1] ~ LogNormal(0, 1).
    Components of unequal spread, not too far apart: the posterior then has one mode. Where three equal ones lie well
    apart, chains of every library stay for good in modes where one covers two, and no rate means anything.
    """
    rng = np.random.default_rng(2)
    state = rng.choice(STATES, 1000, p=[0.3, 0.4, 0.3])
    return {"y": np.array([-3.0, 0.0, 3.0])[state] + np.array([0.7, 1.2, 0.7])[state] * rng.standard_normal(1000)}


def hidden_markov() -> Arrays:
    """z[0] uniform, z[t] ~ Categorical(transition[z[t - 1]]), y[t] ~ Normal(mu[z[t]], sigma[z[t]]).

    transition[k] ~ Dirichlet(1, 1, 1); mu and sigma as in the mixture, and for its reason.
    """
    rng = np.random.default_rng(3)
    transition = np.full((STATES, STATES), 0.1) + 0.7 * np.eye(STATES)
    state = np.empty(500, dtype=int)
    state[0] = 0
    for t in range(1, 500):
        state[t] = rng.choice(STATES, p=transition[state[t - 1]])
    return {"y": np.array([-2.0, 0.0, 2.0])[state] + np.array([0.5, 1.0, 0.5])[state] * rng.standard_normal(500)}


def zero_inflated() -> Arrays:
    """y[n] is 0 with logits gate + x[n] . gamma, else Poisson(exp(rate + x[n] . beta)); all four ~ Normal(0, 2.5)."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((2000, 6))
    gate = -0.5 + x @ (0.5 * rng.standard_normal(6))
    rate = np.exp(0.8 + x @ (0.3 * rng.standard_normal(6)))
    zero = rng.random(2000) < 1 / (1 + np.exp(-gate))
    return {"x": x, "y": np.where(zero, 0, rng.poisson(rate)).astype(float)}


def beta_bernoulli() -> Arrays:
    """y[g, n] ~ Bernoulli(theta[g]), theta[g] ~ Beta(2, 2): 50 groups of 40, a row of the matrix each."""
    rng = np.random.default_rng(5)
    theta = rng.beta(2, 2, 50)
    return {"y": (rng.random((50, 40)) < theta[:, None]).astype(float)}


PROBLEMS: dict[str, Callable[[], Arrays]] = {
    "logistic_small": logistic_small,
    "mixture": mixture,
    "zero_inflated": zero_inflated,
    "beta_bernoulli": beta_bernoulli,
    "hidden_markov": hidden_markov,
    "logistic_big": logistic_big,
}

TITLES = {
    "logistic_small": "logistic regression, N=1000, D=25",
    "mixture": "Gaussian mixture K=3, N=1000, ordered",
    "zero_inflated": "zero-inflated Poisson, N=2000, 6 covariates in both parts",
    "beta_bernoulli": "Beta-Bernoulli, 50 groups, N=2000",
    "hidden_markov": "Gaussian HMM K=3, T=500, ordered",
    "logistic_big": "logistic regression, N=20000, D=50",
}

PARAMETERS: dict[str, dict[str, tuple[int, ...]]] = {
    "logistic_small": {"alpha": (), "beta": (25,)},
    "mixture": {"weights": (3,), "mu": (3,), "sigma": (3,)},
    "zero_inflated": {"gate": (), "gamma": (6,), "rate": (), "beta": (6,)},
    "beta_bernoulli": {"theta": (50,)},
    "hidden_markov": {"transition": (3, 3), "mu": (3,), "sigma": (3,)},
    "logistic_big": {"alpha": (), "beta": (50,)},
}
