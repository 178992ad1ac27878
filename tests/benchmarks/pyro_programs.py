"""The problems as Pyro programs; `y` is left to be conditioned on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.distributions.transforms import OrderedTransform
from torch import Tensor

from models.distributions.hidden_markov import hmm_log_likelihood


def logistic(x: Tensor) -> None:
    alpha = pyro.sample("alpha", dist.Normal(torch.tensor(0.0), 2.5))
    beta = pyro.sample("beta", dist.Normal(torch.zeros(x.shape[1]), 2.5).to_event(1))
    with pyro.plate("rows", len(x)):
        pyro.sample("y", dist.Bernoulli(logits=alpha + x @ beta))


def ordered_means() -> Tensor:
    """mu[0] ~ Normal(0, 5), mu[k] - mu[k - 1] ~ LogNormal(0, 1)."""
    base = dist.Normal(torch.zeros(3), torch.tensor([5.0, 1.0, 1.0])).to_event(1)
    return pyro.sample("mu", dist.TransformedDistribution(base, OrderedTransform()))


def mixture(num_rows: int) -> None:
    weights = pyro.sample("weights", dist.Dirichlet(torch.full((3,), 2.0)))
    mu = ordered_means()
    sigma = pyro.sample("sigma", dist.LogNormal(torch.zeros(3), 1.0).to_event(1))
    with pyro.plate("rows", num_rows):
        pyro.sample("y", dist.MixtureSameFamily(dist.Categorical(weights), dist.Normal(mu, sigma)))


def zero_inflated(x: Tensor) -> None:
    gate = pyro.sample("gate", dist.Normal(torch.tensor(0.0), 2.5))
    gamma = pyro.sample("gamma", dist.Normal(torch.zeros(x.shape[1]), 2.5).to_event(1))
    rate = pyro.sample("rate", dist.Normal(torch.tensor(0.0), 2.5))
    beta = pyro.sample("beta", dist.Normal(torch.zeros(x.shape[1]), 2.5).to_event(1))
    with pyro.plate("rows", len(x)):
        pyro.sample("y", dist.ZeroInflatedPoisson(torch.exp(rate + x @ beta), gate_logits=gate + x @ gamma))


def beta_bernoulli(num_groups: int, num_rows: int) -> None:
    theta = pyro.sample("theta", dist.Beta(2.0 * torch.ones(num_groups), 2.0).to_event(1))
    with pyro.plate("groups", num_groups, dim=-2), pyro.plate("rows", num_rows, dim=-1):
        pyro.sample("y", dist.Bernoulli(theta[:, None]))


def hidden_markov(y: Tensor) -> None:
    """With Pyrozoo's own operator."""
    transition = pyro.sample("transition", dist.Dirichlet(torch.ones(3, 3)).to_event(1))
    mu = ordered_means()
    sigma = pyro.sample("sigma", dist.LogNormal(torch.zeros(3), 1.0).to_event(1))
    emission = dist.Normal(mu, sigma).log_prob(y[:, None])
    start = torch.full((3,), 1 / 3).log()
    pyro.factor("y", hmm_log_likelihood(start, transition.log(), emission))


def hidden_markov_of_pyro(num_rows: int) -> None:
    """With Pyro's `DiscreteHMM`, which sums the states out by a parallel scan."""
    transition = pyro.sample("transition", dist.Dirichlet(torch.ones(3, 3)).to_event(1))
    mu = ordered_means()
    sigma = pyro.sample("sigma", dist.LogNormal(torch.zeros(3), 1.0).to_event(1))
    # its initial state is one step before the first observation: any transition keeps a uniform start only where each
    # step's own matrix is given, the first one uniform
    steps = torch.cat([torch.full((1, 3, 3), 1 / 3), transition.expand(num_rows - 1, 3, 3)]).log()
    start = torch.full((3,), 1 / 3).log()
    pyro.sample("y", dist.DiscreteHMM(start, steps, dist.Normal(mu, sigma), duration=num_rows))


def inputs(problem: str, data: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The arguments of a program, `y` not among them: covariates, or sizes."""
    if problem == "beta_bernoulli":
        return dict(zip(("num_groups", "num_rows"), data["y"].shape, strict=True))
    return {"x": data["x"]} if "x" in data else {"num_rows": len(data["y"])}


PROGRAMS = {
    "logistic_small": logistic,
    "logistic_big": logistic,
    "mixture": mixture,
    "zero_inflated": zero_inflated,
    "beta_bernoulli": beta_bernoulli,
    "hidden_markov": hidden_markov,
}
