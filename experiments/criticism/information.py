"""Information: entropy, divergence and distance of distributions, and how much of a prediction's uncertainty is whose.

All in nats; divide by log(2) for bits. Nothing is clipped: where q has no mass and p has some, KL(p || q) is infinite.

    H(p)      = - sum p log p                      entropy
    H(p, q)   = - sum p log q = H(p) + KL(p || q)  cross-entropy
    KL(p||q)  = sum p log(p / q)                   Kullback-Leibler divergence
    JS(p, q)  = KL(p || m) / 2 + KL(q || m) / 2    Jensen-Shannon divergence, m = (p + q) / 2, at most log 2
    I(x; y)   = KL(p(x, y) || p(x) p(y))           mutual information
    W_k       = (integral |F^-1(u) - G^-1(u)|^k du)^(1/k)   Wasserstein distance
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from models.errors import InputError

ROUNDING = 1e-8  # how far a sum of probabilities may be from 1


class Estimate(NamedTuple):
    """A Monte Carlo estimate and its standard error."""

    value: float
    mcse: float


class Uncertainty(NamedTuple):
    """Predictive uncertainty in nats, elementwise: total = aleatoric + epistemic."""

    total: np.ndarray
    aleatoric: np.ndarray
    epistemic: np.ndarray


def distribution(values: Any, where: str = "probabilities") -> np.ndarray:
    """Probabilities along the last axis, float64; InputError unless they are finite, not negative and sum to 1."""
    table = np.asarray(values, dtype=float)
    if not np.isfinite(table).all() or (table < 0).any():
        bad = table[~(np.isfinite(table) & (table >= 0))][0]
        raise InputError(where, f"must be finite and 0 or more, got {bad}", "correct the value")
    sums = table.sum(axis=-1)
    if (np.abs(sums - 1) > ROUNDING).any():
        far = float(sums.ravel()[np.abs(sums - 1).argmax()])
        raise InputError(where, f"must sum to 1, got {far:.6g}", "divide by the sum")
    return table


def entropy(p: Any) -> np.ndarray:
    """Entropy along the last axis, `(..., K)` -> `(...)`."""
    from scipy.special import entr

    return np.asarray(entr(distribution(p)).sum(axis=-1))


def cross_entropy(p: Any, q: Any) -> np.ndarray:
    """- sum p log q along the last axis; infinite where q is 0 and p is not."""
    from scipy.special import xlogy

    p, q = distribution(p), distribution(q)
    with np.errstate(divide="ignore"):
        return np.asarray(-xlogy(p, q).sum(axis=-1))


def kl(p: Any, q: Any) -> np.ndarray:
    """KL(p || q) along the last axis; infinite where q is 0 and p is not."""
    from scipy.special import rel_entr

    return np.asarray(rel_entr(distribution(p), distribution(q)).sum(axis=-1))


def js(p: Any, q: Any) -> np.ndarray:
    """Jensen-Shannon divergence along the last axis."""
    p, q = distribution(p), distribution(q)
    middle = (p + q) / 2
    return (kl(p, middle) + kl(q, middle)) / 2


def mutual_information(joint: Any) -> float:
    """I(x; y) of a table of joint probabilities `(X, Y)`."""
    table = distribution(np.ravel(joint)).reshape(np.shape(joint))
    return float(kl(table.ravel(), np.outer(table.sum(axis=1), table.sum(axis=0)).ravel()))


# --- closed forms


def kl_normal(mean: float, sd: float, other_mean: float, other_sd: float) -> float:
    """KL(Normal(mean, sd) || Normal(other_mean, other_sd))."""
    ratio = sd / other_sd
    return float((ratio**2 - 1) / 2 - np.log(ratio) + ((mean - other_mean) / other_sd) ** 2 / 2)


def kl_gamma(shape: float, rate: float, other_shape: float, other_rate: float) -> float:
    """KL(Gamma(shape, rate) || Gamma(other_shape, other_rate))."""
    from scipy.special import digamma, gammaln

    return float(
        (shape - other_shape) * digamma(shape)
        - gammaln(shape)
        + gammaln(other_shape)
        + other_shape * np.log(rate / other_rate)
        + shape * (other_rate / rate - 1)
    )


def kl_dirichlet(alpha: Any, other: Any) -> float:
    """KL(Dirichlet(alpha) || Dirichlet(other)), concentrations `(K,)`."""
    from scipy.special import digamma, gammaln

    a, b = np.asarray(alpha, dtype=float), np.asarray(other, dtype=float)
    constants = gammaln(a.sum()) - gammaln(a).sum() - gammaln(b.sum()) + gammaln(b).sum()
    return float(constants + (a - b) @ (digamma(a) - digamma(a.sum())))


def kl_beta(a: float, b: float, other_a: float, other_b: float) -> float:
    """KL(Beta(a, b) || Beta(other_a, other_b)): a Dirichlet of two."""
    return kl_dirichlet([a, b], [other_a, other_b])


# --- where there is no closed form


def kl_monte_carlo(log_p: np.ndarray, log_q: np.ndarray) -> Estimate:
    """KL(p || q) from log densities of both at independent draws of p, `(S,)`.

    Infinite as soon as one draw of p has no density under q.
    """
    ratios = np.asarray(log_p, dtype=float) - np.asarray(log_q, dtype=float)
    if np.isposinf(ratios).any():
        return Estimate(float("inf"), float("nan"))
    return Estimate(float(ratios.mean()), float(ratios.std(ddof=1) / np.sqrt(len(ratios))))


def js_quadrature(p: Any, q: Any) -> float:
    """Jensen-Shannon divergence of two continuous distributions by quadrature; SciPy's frozen distributions."""
    from scipy.integrate import quad
    from scipy.special import rel_entr

    def integrand(x: float) -> float:
        f, g = p.pdf(x), q.pdf(x)
        return float(rel_entr(f, (f + g) / 2) + rel_entr(g, (f + g) / 2)) / 2

    ends = [end for one in (p, q) for end in one.ppf([1e-14, 0.5, 1 - 1e-14])]
    total, _ = quad(integrand, min(ends), max(ends), points=sorted(ends)[1:-1], limit=500, epsabs=1e-12)
    return float(total)


def wasserstein(p: Callable[[Any], Any], q: Callable[[Any], Any], order: int = 1) -> float:
    """Wasserstein distance of two real distributions by their quantile functions, to about nine digits.

    The probabilities u = Phi(z) are taken where a normal has its mass, which resolves both tails alike.
    """
    from scipy.integrate import quad
    from scipy.special import ndtr

    def integrand(z: float) -> float:
        u = ndtr(z)
        return float(abs(p(u) - q(u)) ** order * np.exp(-z * z / 2) / np.sqrt(2 * np.pi))

    # quantile functions may cross: pieces keep the kink of |.| inside a short interval
    edges = np.linspace(-8, 8, 65)
    parts = [quad(integrand, low, high, epsabs=1e-13)[0] for low, high in zip(edges[:-1], edges[1:], strict=True)]
    return float(sum(parts) ** (1 / order))


def wasserstein_of_draws(first: Any, second: Any, order: int = 1) -> float:
    """The same between two samples, each of equal weights."""
    a, b = np.sort(np.ravel(first)), np.sort(np.ravel(second))
    steps = np.unique(np.concatenate([np.arange(1, len(a) + 1) / len(a), np.arange(1, len(b) + 1) / len(b)]))
    widths = np.diff(steps, prepend=0.0)
    middle = steps - widths / 2
    gaps = np.abs(a[(middle * len(a)).astype(int)] - b[(middle * len(b)).astype(int)])
    return float((widths @ gaps**order) ** (1 / order))


# --- predictions


def predictive_uncertainty(probabilities: np.ndarray, weights: np.ndarray | None = None) -> Uncertainty:
    """Split the entropy of a prediction, probabilities `(draws, ..., K)` -> each `(...)`.

    weights: of the draws, `(draws, ...)`, which sum to 1 over them; equal by default.

    total: entropy of the averaged probabilities. aleatoric: average entropy given the parameters, which no data take
    away. epistemic: their difference, the mutual information of prediction and parameters.
    """
    table = distribution(probabilities)
    shares = np.full(table.shape[:-1], 1 / len(table)) if weights is None else weights
    total = entropy(np.einsum("s...,s...k->...k", shares, table))
    aleatoric = np.einsum("s...,s...->...", shares, entropy(table))
    return Uncertainty(total, aleatoric, np.maximum(total - aleatoric, 0.0))


# --- limits of estimation


def fisher_information(p: float) -> float:
    """Of one Bernoulli(p) outcome about p, 1 / (p (1 - p)); its inverse over n is the Cramér-Rao bound."""
    return 1 / (p * (1 - p))


def hoeffding(count: int, gap: float, width: float = 1.0) -> float:
    """The most that P(|mean - expectation| >= gap) can be for `count` independent values in an interval of `width`."""
    return float(min(1.0, 2 * np.exp(-2 * count * (gap / width) ** 2)))
