"""The problems as NumPyro programs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax import Array
from jax.scipy.special import logsumexp


def logistic(x: Array, y: Array) -> None:
    alpha = numpyro.sample("alpha", dist.Normal(0, 2.5))
    beta = numpyro.sample("beta", dist.Normal(jnp.zeros(x.shape[1]), 2.5).to_event(1))
    numpyro.sample("y", dist.Bernoulli(logits=alpha + x @ beta), obs=y)


def ordered_means() -> Array:
    base = dist.Normal(jnp.zeros(3), jnp.array([5.0, 1.0, 1.0])).to_event(1)
    return numpyro.sample("mu", dist.TransformedDistribution(base, dist.transforms.OrderedTransform()))


def mixture(y: Array) -> None:
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.full(3, 2.0)))
    mu = ordered_means()
    sigma = numpyro.sample("sigma", dist.LogNormal(jnp.zeros(3), 1.0).to_event(1))
    numpyro.sample("y", dist.MixtureSameFamily(dist.Categorical(weights), dist.Normal(mu, sigma)), obs=y)


def zero_inflated(x: Array, y: Array) -> None:
    gate = numpyro.sample("gate", dist.Normal(0, 2.5))
    gamma = numpyro.sample("gamma", dist.Normal(jnp.zeros(x.shape[1]), 2.5).to_event(1))
    rate = numpyro.sample("rate", dist.Normal(0, 2.5))
    beta = numpyro.sample("beta", dist.Normal(jnp.zeros(x.shape[1]), 2.5).to_event(1))
    poisson = dist.Poisson(jnp.exp(rate + x @ beta))
    numpyro.sample("y", dist.ZeroInflatedDistribution(poisson, gate_logits=gate + x @ gamma), obs=y)


def beta_bernoulli(group: Array, y: Array) -> None:
    theta = numpyro.sample("theta", dist.Beta(2.0 * jnp.ones(50), 2.0).to_event(1))
    numpyro.sample("y", dist.Bernoulli(theta[group]), obs=y)


def hidden_markov(y: Array) -> None:
    transition = numpyro.sample("transition", dist.Dirichlet(jnp.ones((3, 3))).to_event(1))
    mu = ordered_means()
    sigma = numpyro.sample("sigma", dist.LogNormal(jnp.zeros(3), 1.0).to_event(1))
    emission = dist.Normal(mu, sigma).log_prob(y[:, None])
    log_transition = jnp.log(transition)

    def step(alpha: Array, log_e: Array) -> tuple[Array, None]:
        return logsumexp(alpha[:, None] + log_transition, axis=0) + log_e, None

    alpha, _ = jax.lax.scan(step, emission[0] - jnp.log(3.0), emission[1:])
    numpyro.factor("y", logsumexp(alpha))


PROGRAMS = {
    "logistic_small": logistic,
    "logistic_big": logistic,
    "mixture": mixture,
    "zero_inflated": zero_inflated,
    "beta_bernoulli": beta_bernoulli,
    "hidden_markov": hidden_markov,
}
