"""The problems as NumPyro programs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax import Array


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


def beta_bernoulli(y: Array) -> None:
    theta = numpyro.sample("theta", dist.Beta(2.0 * jnp.ones(50), 2.0).to_event(1))
    numpyro.sample("y", dist.Bernoulli(theta[:, None]), obs=y)


def hidden_markov(y: Array) -> None:
    """Scaled probabilities: on the log scale, with `logsumexp` at each step, a gradient takes two and a half times."""
    transition = numpyro.sample("transition", dist.Dirichlet(jnp.ones((3, 3))).to_event(1))
    mu = ordered_means()
    sigma = numpyro.sample("sigma", dist.LogNormal(jnp.zeros(3), 1.0).to_event(1))
    emission = dist.Normal(mu, sigma).log_prob(y[:, None])
    top = jax.lax.stop_gradient(emission.max(axis=1, keepdims=True))
    chance = jnp.exp(emission - top)

    def step(alpha: Array, given: Array) -> tuple[Array, Array]:
        alpha = (alpha[:, None] * transition).sum(axis=0) * given
        total = alpha.sum()
        return alpha / total, total

    start = chance[0] / 3
    _, totals = jax.lax.scan(step, start / start.sum(), chance[1:])
    numpyro.factor("y", jnp.log(start.sum()) + jnp.log(totals).sum() + top.sum())


PROGRAMS = {
    "logistic_small": logistic,
    "logistic_big": logistic,
    "mixture": mixture,
    "zero_inflated": zero_inflated,
    "beta_bernoulli": beta_bernoulli,
    "hidden_markov": hidden_markov,
}
