"""Conjugate forms: for each, how gradients give its parameters, and what those parameters say (mean, mode, quantiles).

Parameters are tensors of the site's shape; `solve` inverts the gradient's form at two points (see `inference.exact`).
`estimates` sets maximum likelihood, mode and mean side by side: the likelihood's share of each parameter is the
posterior's less the prior's, and a mode at the border or without a finite density is reported as such or as NaN.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import pyro.distributions as dist
import scipy.stats
import torch
from torch import Tensor

from inference.posterior import Marginal


class Parameters(NamedTuple):
    """Two tensors whose meaning the family says; a Dirichlet uses the first alone."""

    first: Tensor
    second: Tensor


class Family(Protocol):
    """One conjugate form. Arrays have the site's shape."""

    def solve(self, at: Tensor, slope: Tensor) -> Parameters:
        """Parameters from two points `at (2, *shape)` and the gradients there."""
        ...

    def proper(self, parameters: Parameters) -> bool:
        """Whether these are parameters of a distribution."""
        ...

    def distribution(self, parameters: Parameters) -> Any:
        """Pyro's distribution."""
        ...

    def marginal(self, parameters: Parameters) -> Marginal:
        """SciPy's frozen distribution of every element."""
        ...

    def estimates(self, prior: Parameters, posterior: Parameters) -> dict[str, np.ndarray]:
        """`mle`, `map`, `mean`, `prior_weight`, `data_weight` of every element."""
        ...


def two_by_two(at: Tensor, slope: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Solve slope = x first(at) + y second(at) for x and y at two points."""
    determinant = first[0] * second[1] - first[1] * second[0]
    x = (slope[0] * second[1] - slope[1] * second[0]) / determinant
    y = (first[0] * slope[1] - first[1] * slope[0]) / determinant
    return x, y


def finite_and(condition: Tensor, *parameters: Tensor) -> bool:
    return bool(condition.all()) and all(bool(torch.isfinite(value).all()) for value in parameters)


class Beta:
    """first = a, second = b; weights count outcomes: a + b of the prior, the trials of the data."""

    def solve(self, at: Tensor, slope: Tensor) -> Parameters:
        x, y = two_by_two(at, slope, 1 / at, -1 / (1 - at))
        return Parameters(x + 1, y + 1)

    def proper(self, parameters: Parameters) -> bool:
        return finite_and((parameters.first > 0) & (parameters.second > 0), *parameters)

    def distribution(self, parameters: Parameters) -> Any:
        return dist.Beta(parameters.first, parameters.second)

    def marginal(self, parameters: Parameters) -> Marginal:
        return scipy.stats.beta(parameters.first.numpy(), parameters.second.numpy())

    def estimates(self, prior: Parameters, posterior: Parameters) -> dict[str, np.ndarray]:
        (a0, b0), (a, b) = (tuple(np.round(p.numpy(), 12) for p in pair) for pair in (prior, posterior))
        return {
            "mle": beta_mode(a - a0 + 1, b - b0 + 1),
            "map": beta_mode(a, b),
            "mean": a / (a + b),
            "prior_weight": a0 + b0,
            "data_weight": a + b - a0 - b0,
        }


def beta_mode(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mode of beta(a, b): (a - 1)/(a + b - 2) for a, b >= 1 and not both 1; the border where one alone is below 1
    or equals it against a larger one; NaN where there is no single mode (flat, or unbounded at both ends)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        inner = (a - 1) / (a + b - 2)
    several = ((a < 1) & (b < 1)) | ((a == 1) & (b == 1))
    return np.where(several, np.nan, np.where((a >= 1) & (b >= 1), inner, np.where(a < b, 0.0, 1.0)))


class Gamma:
    """first = shape a, second = rate b; weights are exposure: the rate of the prior, what the data add to it."""

    def solve(self, at: Tensor, slope: Tensor) -> Parameters:
        x, y = two_by_two(at, slope, 1 / at, -torch.ones_like(at))
        return Parameters(x + 1, y)

    def proper(self, parameters: Parameters) -> bool:
        return finite_and((parameters.first > 0) & (parameters.second > 0), *parameters)

    def distribution(self, parameters: Parameters) -> Any:
        return dist.Gamma(parameters.first, parameters.second)

    def marginal(self, parameters: Parameters) -> Marginal:
        return scipy.stats.gamma(parameters.first.numpy(), scale=1 / parameters.second.numpy())

    def estimates(self, prior: Parameters, posterior: Parameters) -> dict[str, np.ndarray]:
        (a0, b0), (a, b) = (tuple(p.numpy() for p in pair) for pair in (prior, posterior))
        with np.errstate(invalid="ignore", divide="ignore"):
            mle = (a - a0) / (b - b0)
        return {
            "mle": mle,
            "map": np.maximum(a - 1, 0) / b,
            "mean": a / b,
            "prior_weight": b0,
            "data_weight": b - b0,
        }


class InverseGamma:
    """first = shape a, second = rate b (the scale of the distribution); weights are shapes, half an observation
    each."""

    def solve(self, at: Tensor, slope: Tensor) -> Parameters:
        x, y = two_by_two(at, slope, -1 / at, at**-2)
        return Parameters(x - 1, y)

    def proper(self, parameters: Parameters) -> bool:
        return finite_and((parameters.first > 0) & (parameters.second > 0), *parameters)

    def distribution(self, parameters: Parameters) -> Any:
        return dist.InverseGamma(parameters.first, parameters.second)

    def marginal(self, parameters: Parameters) -> Marginal:
        return scipy.stats.invgamma(parameters.first.numpy(), scale=parameters.second.numpy())

    def estimates(self, prior: Parameters, posterior: Parameters) -> dict[str, np.ndarray]:
        (a0, b0), (a, b) = (tuple(p.numpy() for p in pair) for pair in (prior, posterior))
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "mle": (b - b0) / (a - a0),
                "map": b / (a + 1),
                "mean": np.where(a > 1, b / (a - 1), np.inf),
                "prior_weight": a0,
                "data_weight": a - a0,
            }


class Normal:
    """first = h (precision times mean), second = precision; weights are precisions."""

    def solve(self, at: Tensor, slope: Tensor) -> Parameters:
        precision = -(slope[1] - slope[0]) / (at[1] - at[0])
        return Parameters(slope[0] + precision * at[0], precision)

    def proper(self, parameters: Parameters) -> bool:
        return finite_and(parameters.second > 0, *parameters)

    def distribution(self, parameters: Parameters) -> Any:
        return dist.Normal(parameters.first / parameters.second, parameters.second**-0.5)

    def marginal(self, parameters: Parameters) -> Marginal:
        mean, sd = parameters.first / parameters.second, parameters.second**-0.5
        return scipy.stats.norm(mean.numpy(), sd.numpy())

    def estimates(self, prior: Parameters, posterior: Parameters) -> dict[str, np.ndarray]:
        (h0, precision0), (h, precision) = (tuple(p.numpy() for p in pair) for pair in (prior, posterior))
        with np.errstate(invalid="ignore", divide="ignore"):
            mle = (h - h0) / (precision - precision0)
        mean = h / precision
        return {
            "mle": mle,
            "map": mean,
            "mean": mean,
            "prior_weight": precision0,
            "data_weight": precision - precision0,
        }


def student_t(mean: Parameters, variance: Parameters) -> Marginal:
    """The marginal of a normal whose parameters are `mean` at variance 1, its variance being inverse-gamma: Student's t
    with 2 a degrees of freedom, at h / k, with scale sqrt(b / (a k)) (Gelman et al., BDA 3rd ed., section 3.3)."""
    (h, weight), (a, b) = (tuple(p.numpy() for p in pair) for pair in (mean, variance))
    return scipy.stats.t(2 * a, loc=h / weight, scale=np.sqrt(b / (a * weight)))


class Dirichlet:
    """first = a, `(*batch, K)`; weights count outcomes, over all K."""

    def solve(self, at: Tensor, slope: Tensor) -> Parameters:
        # a_k - 1 = z_k (slope_k - c) at both points, with an unknown c each: K equations for two c's, by least squares
        left = torch.stack([at[0], -at[1]], dim=-1)
        right = (at[0] * slope[0] - at[1] * slope[1])[..., None]
        offsets = torch.linalg.lstsq(left, right).solution[..., 0]
        concentration = at[0] * (slope[0] - offsets[..., :1]) + 1
        return Parameters(concentration, concentration)

    def proper(self, parameters: Parameters) -> bool:
        return finite_and(parameters.first > 0, parameters.first)

    def distribution(self, parameters: Parameters) -> Any:
        return dist.Dirichlet(parameters.first)

    def marginal(self, parameters: Parameters) -> Marginal:
        a = parameters.first.numpy()
        return scipy.stats.beta(a, a.sum(axis=-1, keepdims=True) - a)

    def estimates(self, prior: Parameters, posterior: Parameters) -> dict[str, np.ndarray]:
        a0, a = np.round(prior.first.numpy(), 12), np.round(posterior.first.numpy(), 12)
        total, total0 = (np.broadcast_to(x.sum(axis=-1, keepdims=True), x.shape) for x in (a, a0))
        return {
            "mle": dirichlet_mode(a - a0 + 1),
            "map": dirichlet_mode(a),
            "mean": a / total,
            "prior_weight": total0,
            "data_weight": total - total0,
        }


def dirichlet_mode(a: np.ndarray) -> np.ndarray:
    """Mode of dirichlet(a): (a - 1) / (sum a - K) where every a >= 1 and one exceeds it; NaN elsewhere."""
    with np.errstate(invalid="ignore", divide="ignore"):
        inner = (a - 1) / (a - 1).sum(axis=-1, keepdims=True)
    return np.where((a >= 1).all(axis=-1, keepdims=True), inner, np.nan)


FAMILIES: dict[str, Family] = {
    "Beta": Beta(),
    "Gamma": Gamma(),
    "Exponential": Gamma(),
    "Chi2": Gamma(),
    "InverseGamma": InverseGamma(),
    "Normal": Normal(),
    "Dirichlet": Dirichlet(),
}
