"""The models of the 18 reference posteriors in this folder as Pyro programs: discrete states summed out, and
hierarchies non-centred, which changes the coordinates and not the posterior. README.md has their mathematics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from torch import Tensor
from torch.distributions import transform_to

from models.base import Data

Draws = dict[str, np.ndarray]


class Restricted(dist.TorchDistribution):
    """The density of `base` on a smaller `support`, not normalised; `sample` gives some point of that support."""

    arg_constraints: Mapping[str, constraints.Constraint] = {}

    def __init__(self, base: dist.Distribution, support: constraints.Constraint) -> None:
        self.base, self.bounds = base, support
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        return self.bounds

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008  # PyTorch's own default
        return transform_to(self.bounds)(torch.randn(self.shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        return self.base.log_prob(value)


def flat(*shape: int) -> dist.Distribution:
    """A constant density on the real numbers: `mask` takes the normal's away."""
    return dist.Normal(0.0, 1.0).expand(shape).to_event(len(shape)).mask(False)


def normal_vector(mean: list[float], sd: float) -> dist.Distribution:
    return dist.Normal(torch.tensor(mean), sd).to_event(1)


# --- mixtures -----------------------------------------------------------------------------------------------------


def two_normals(N: int, theta: Tensor, mu: Tensor, sigma: Any) -> None:
    """N values, each from the first normal with probability theta."""
    kinds = dist.Categorical(torch.stack([theta, 1 - theta]))
    with pyro.plate("row", N):
        pyro.sample("y", dist.MixtureSameFamily(kinds, dist.Normal(mu, sigma)))


def low_dim_gauss_mix(N: int) -> None:
    mu = pyro.sample("mu", Restricted(normal_vector([0.0, 0.0], 2.0), constraints.ordered_vector))
    sigma = pyro.sample("sigma", dist.HalfNormal(2.0).expand((2,)).to_event(1))
    two_normals(N, pyro.sample("theta", dist.Beta(5.0, 5.0)), mu, sigma)


def normal_mixture(N: int) -> None:
    mu = pyro.sample("mu", normal_vector([0.0, 0.0], 10.0))
    two_normals(N, pyro.sample("theta", dist.Uniform(0.0, 1.0)), mu, 1.0)


def relabelled(draws: Draws, data: Mapping[str, Any], rng: np.random.Generator) -> Draws:
    """Both mirror modes as the one with mu_1 < mu_2."""
    swapped = draws["mu"][..., 0] > draws["mu"][..., 1]
    return {"mu": np.sort(draws["mu"]), "theta": np.where(swapped, 1 - draws["theta"], draws["theta"])}


# --- hidden Markov models -----------------------------------------------------------------------------------------


def log_forward(emission: Tensor, transition: Tensor) -> Tensor:
    """log of the summed weight of all state paths, weight 1 for every first state.

    emission: log f(y_t | state k) `(T, K)`. transition: log P(next = k | now = j) `(K, K)`. The matrices of all steps
    are multiplied pair by pair, log2(T) rounds in place of T steps.
    """
    steps = transition + emission[1:, None, :]
    while len(steps) > 1:
        even = len(steps) // 2 * 2
        left, right = steps[0:even:2], steps[1:even:2]
        steps = torch.cat([torch.logsumexp(left[:, :, :, None] + right[:, None, :, :], dim=2), steps[even:]])
    return torch.logsumexp((emission[0][:, None] + steps[0]).flatten(), dim=0)


def hmm_example(y: Tensor) -> None:
    mu = pyro.sample("mu", Restricted(normal_vector([3.0, 10.0], 1.0), constraints.positive_ordered_vector))
    theta = [pyro.sample(f"theta{k}", dist.Dirichlet(torch.ones(2))) for k in (1, 2)]
    emission = dist.Normal(mu, 1.0).log_prob(y[:, None])
    pyro.factor("y", log_forward(emission, torch.stack(theta).log()))


def hmm_drive(u: Tensor, v: Tensor, alpha: Tensor) -> None:
    ordered = Restricted(normal_vector([0.0, 3.0], 1.0), constraints.positive_ordered_vector)
    phi, rate = pyro.sample("phi", ordered), pyro.sample("lambda", ordered)
    theta = [pyro.sample(f"theta{k + 1}", dist.Dirichlet(alpha[k].double())) for k in (0, 1)]
    emission = dist.Exponential(phi).log_prob(u[:, None]) + dist.Exponential(rate).log_prob(v[:, None])
    pyro.factor("uv", log_forward(emission, torch.stack(theta).log()))


# --- logistic regressions -----------------------------------------------------------------------------------------


def dogs(avoided: Tensor, shocked: Tensor) -> None:
    beta = pyro.sample("beta", normal_vector([0.0, 0.0, 0.0], 100.0))
    with pyro.plate("dog", avoided.shape[0], dim=-2), pyro.plate("trial", avoided.shape[1], dim=-1):
        pyro.sample("y", dist.Bernoulli(logits=beta[0] + beta[1] * avoided + beta[2] * shocked))


def dogs_data(data: Mapping[str, Any]) -> Data:
    y = np.array(data["y"], dtype=float)
    return Data({"avoided": np.cumsum(1 - y, axis=1) - (1 - y), "shocked": np.cumsum(y, axis=1) - y}, {"y": y})


def wells(x: Tensor) -> None:
    alpha, beta = pyro.sample("alpha", flat()), pyro.sample("beta", flat(x.shape[1]))
    with pyro.plate("well", x.shape[0]):
        pyro.sample("switched", dist.Bernoulli(logits=alpha + x @ beta))


def wells_data(data: Mapping[str, Any]) -> Data:
    x = np.stack([np.array(data["dist"]) / 100, np.array(data["arsenic"])], axis=1)
    return Data({"x": x}, {"switched": np.array(data["switched"])})


def centred_wells_data(data: Mapping[str, Any]) -> Data:
    x = np.stack([np.array(data["dist"]) / 100, np.array(data["arsenic"])], axis=1)
    x -= x.mean(axis=0)
    return Data({"x": np.column_stack([x, x.prod(axis=1)])}, {"switched": np.array(data["switched"])})


# --- rates and counts ---------------------------------------------------------------------------------------------


def rate_1(n: int) -> None:
    pyro.sample("k", dist.Binomial(n, pyro.sample("theta", dist.Beta(1.0, 1.0))))


def rate_2(n1: int, n2: int) -> None:
    theta1, theta2 = (pyro.sample(f"theta{i}", dist.Beta(1.0, 1.0)) for i in (1, 2))
    pyro.sample("k1", dist.Binomial(n1, theta1))
    pyro.sample("k2", dist.Binomial(n2, theta2))
    pyro.deterministic("delta", theta1 - theta2)


def rate_4(n: int) -> None:
    rate_1(n)
    pyro.sample("thetaprior", dist.Beta(1.0, 1.0))


def predicted(draws: Draws, data: Mapping[str, Any], rng: np.random.Generator) -> Draws:
    pairs = {"postpredk": "theta", "priorpredk": "thetaprior"}
    return {name: rng.binomial(data["n"], draws[site]).astype(float) for name, site in pairs.items()}


def capture(M: int, T: int) -> None:
    omega, p = pyro.sample("omega", dist.Uniform(0.0, 1.0)), pyro.sample("p", dist.Uniform(0.0, 1.0))
    with pyro.plate("row", M):
        pyro.sample("s", dist.ZeroInflatedDistribution(dist.Binomial(T, p), gate=1 - omega))


def population(draws: Draws, data: Mapping[str, Any], rng: np.random.Generator) -> Draws:
    """N: the animals caught, and of the other rows those that are real all the same."""
    omega, p, caught = draws["omega"], draws["p"], int(np.any(data["y"], axis=1).sum())
    missed = omega * (1 - p) ** data["T"]
    return {"N": caught + rng.binomial(data["M"] - caught, missed / (missed + 1 - omega)).astype(float)}


def cubic(x: Tensor) -> Tensor:
    """log of the expected count, a cubic of the year."""
    alpha = pyro.sample("alpha", dist.Uniform(-20.0, 20.0))
    beta1, beta2, beta3 = (pyro.sample(f"beta{i}", dist.Uniform(-10.0, 10.0)) for i in (1, 2, 3))
    return alpha + beta1 * x + beta2 * x**2 + beta3 * x**3


def glm_poisson(x: Tensor) -> None:
    log_rate = cubic(x)
    with pyro.plate("year", len(x)):
        pyro.sample("C", dist.Poisson(log_rate.exp()))


def glmm_poisson(x: Tensor) -> None:
    log_rate, sigma = cubic(x), pyro.sample("sigma", dist.Uniform(0.0, 5.0))
    with pyro.plate("year", len(x)):
        eps = pyro.deterministic("eps", sigma * pyro.sample("eps_raw", dist.Normal(0.0, 1.0)))
        pyro.sample("C", dist.Poisson((log_rate + eps).exp()))


def seeds(N: Tensor, x1: Tensor, x2: Tensor) -> None:
    names = ("alpha0", "alpha1", "alpha2", "alpha12")
    alpha0, alpha1, alpha2, alpha12 = (pyro.sample(name, dist.Normal(0.0, 1.0)) for name in names)
    sigma = pyro.sample("sigma", dist.HalfCauchy(1.0))
    with pyro.plate("plate", len(N)):
        b = pyro.deterministic("b", sigma * pyro.sample("b_raw", dist.Normal(0.0, 1.0)))
        logits = alpha0 + alpha1 * x1 + alpha2 * x2 + alpha12 * x1 * x2 + b
        pyro.sample("n", dist.Binomial(N, logits=logits))


def gaussian_process(x: Tensor) -> None:
    rho, alpha = pyro.sample("rho", dist.Gamma(25.0, 4.0)), pyro.sample("alpha", dist.HalfNormal(2.0))
    covariance = alpha**2 * torch.exp(-((x[:, None] - x) ** 2) / (2 * rho**2)) + 1e-10 * torch.eye(len(x))
    with pyro.plate("point", len(x)):
        raw = pyro.sample("raw", dist.Normal(0.0, 1.0))
        f = pyro.deterministic("f", torch.linalg.cholesky(covariance) @ raw)
        pyro.sample("k", dist.Poisson(f.exp()))


# --- normals ------------------------------------------------------------------------------------------------------


def eight_schools(sigma: Tensor) -> None:
    mu, tau = pyro.sample("mu", dist.Normal(0.0, 5.0)), pyro.sample("tau", dist.HalfCauchy(5.0))
    with pyro.plate("school", len(sigma)):
        theta = pyro.deterministic("theta", mu + tau * pyro.sample("raw", dist.Normal(0.0, 1.0)))
        pyro.sample("y", dist.Normal(theta, sigma))


def blr(X: Tensor) -> None:
    beta = pyro.sample("beta", dist.Normal(0.0, 10.0).expand((X.shape[1],)).to_event(1))
    sigma = pyro.sample("sigma", dist.HalfNormal(10.0))
    with pyro.plate("row", X.shape[0]):
        pyro.sample("y", dist.Normal(X @ beta, sigma))


class Reference(NamedTuple):
    """A posterior of this folder: its name, the program, its data from those of the file, and quantities that take
    more than the program to compute from draws."""

    name: str
    program: Callable[..., None]
    data: Callable[[Mapping[str, Any]], Data]
    derived: Callable[[Draws, Mapping[str, Any], np.random.Generator], Draws] = lambda draws, data, rng: {}


def columns(inputs: str, observed: str = "", **renamed: str) -> Callable[[Mapping[str, Any]], Data]:
    """Data under the file's own names; `renamed` are inputs of another name in the program."""

    def chosen(data: Mapping[str, Any]) -> Data:
        own = {key: data[key] for key in inputs.split()} | {new: data[old] for new, old in renamed.items()}
        return Data(own, {key: np.asarray(data[key]) for key in observed.split()})

    return chosen


REFERENCES = [
    Reference("low_dim_gauss_mix-low_dim_gauss_mix", low_dim_gauss_mix, columns("N", "y")),
    Reference("normal_2-normal_mixture", normal_mixture, columns("N", "y"), relabelled),
    Reference("hmm_example-hmm_example", hmm_example, columns("y")),
    Reference("bball_drive_event_0-hmm_drive_0", hmm_drive, columns("u v alpha")),
    Reference("dogs_2020-dogs", dogs, dogs_data),
    Reference("dogs-dogs", dogs, dogs_data),
    Reference("wells_data-wells_dist100ars_model", wells, wells_data),
    Reference("wells_data-wells_interaction_c_model", wells, centred_wells_data),
    Reference("Rate_1_data-Rate_1_model", rate_1, columns("n", "k")),
    Reference("Rate_2_data-Rate_2_model", rate_2, columns("n1 n2", "k1 k2")),
    Reference("Rate_4_data-Rate_4_model", rate_4, columns("n", "k"), predicted),
    Reference(
        "M0_data-M0_model",
        capture,
        lambda data: Data({"M": data["M"], "T": data["T"]}, {"s": np.array(data["y"]).sum(axis=1)}),
        population,
    ),
    Reference("GLM_Poisson_Data-GLM_Poisson_model", glm_poisson, columns("", "C", x="year")),
    Reference("GLMM_Poisson_data-GLMM_Poisson_model", glmm_poisson, columns("", "C", x="year")),
    Reference("seeds_data-seeds_stanified_model", seeds, columns("N x1 x2", "n")),
    Reference("gp_pois_regr-gp_pois_regr", gaussian_process, columns("x", "k")),
    Reference("eight_schools-eight_schools_noncentered", eight_schools, columns("sigma", "y")),
    Reference("sblrc-blr", blr, columns("X", "y")),
]
