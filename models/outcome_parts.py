"""The two parts of a zero-inflated or hurdle outcome at draws of the parameters, as NumPy arrays `(draws, rows)`: how
probable each kind of zero is, what the outcome is on average, and new outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

COUNTS = ("poisson", "negative_binomial")
DISPERSION = {"negative_binomial": "phi", "lognormal": "sigma", "gamma": "shape"}
LARGEST = 40.0  # log of the largest mean that is drawn from: beyond, whole numbers are no longer told apart
MOST_VALUES = 4_000_000  # numbers in flight at once
MOST = 1e18  # the largest rate that NumPy draws a Poisson count of
FARTHEST = 700.0  # log of the largest numbers


class Parts(NamedTuple):
    """log_mu, zero_logit: linear predictors `(*draws, rows)`, zero_logit None without a zero part; spread: phi, sigma
    or shape, `(*draws, 1)`, or None."""

    likelihood: str
    zeros: str
    log_mu: np.ndarray
    zero_logit: np.ndarray | None
    spread: np.ndarray | None

    def log_zero(self) -> np.ndarray:
        """log F(0): a zero among the counts."""
        with np.errstate(over="ignore"):
            if self.spread is None:
                return -np.exp(self.log_mu)
            return -self.spread * np.logaddexp(0, self.log_mu - np.log(self.spread))

    def structural(self) -> np.ndarray:
        """P(a structural zero), or P(y = 0) of a hurdle."""
        return np.zeros_like(self.log_mu) if self.zero_logit is None else np.exp(-np.logaddexp(0, -self.zero_logit))

    def structural_given_zero(self) -> np.ndarray:
        """P(structural | y = 0), by Bayes' rule: its log odds are zero_logit - log F(0)."""
        assert self.zero_logit is not None
        return np.exp(-np.logaddexp(0, self.log_zero() - self.zero_logit))

    def zero(self) -> np.ndarray:
        """P(y = 0)."""
        if self.zeros == "hurdle":
            return self.structural()
        p = self.structural()
        return p + (1 - p) * np.exp(self.log_zero())

    def mean(self) -> np.ndarray:
        """E[y]."""
        log_mean = self.log_mu
        if self.likelihood == "lognormal" and self.spread is not None:
            log_mean = log_mean + self.spread**2 / 2
        mu = np.exp(np.minimum(log_mean, FARTHEST))
        if self.zeros == "hurdle" and self.likelihood in COUNTS:
            above = -np.expm1(self.log_zero())
            # a count that is hardly ever above 0 is 1 where it is
            mu = np.where(above > 1e-12, mu / np.maximum(above, 1e-12), 1.0)
        return (1 - self.structural()) * mu

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """One outcome for each draw and row."""
        zero = rng.random(self.log_mu.shape) < self.structural()
        mu = np.minimum(np.exp(np.minimum(self.log_mu, LARGEST)), MOST)
        if self.likelihood == "lognormal":
            y = mu * np.exp(self.spread * rng.standard_normal(mu.shape))
        elif self.likelihood == "gamma" and self.spread is not None:
            y = rng.gamma(np.broadcast_to(self.spread, mu.shape)) * mu / self.spread
        elif self.zeros == "hurdle":
            y = self.positive(rng, mu)
        else:
            y = rng.poisson(mu if self.spread is None else gamma(rng, self.spread, mu / self.spread)).astype(float)
        return np.where(zero, 0.0, y)

    def positive(self, rng: np.random.Generator, mu: np.ndarray) -> np.ndarray:
        """Counts given that they are not zero: the first event's time is drawn given that there is one, and the others
        after it (`models.distributions.counts` says why this is exact)."""
        u = rng.random(mu.shape)
        if self.spread is None:
            first = -np.log1p(u * np.expm1(-mu))
            return 1.0 + rng.poisson(np.maximum(mu - first, 0))
        time = np.log1p(mu / self.spread)
        first = -np.log1p(u * np.expm1(-self.spread * time)) / self.spread
        return 1.0 + rng.poisson(gamma(rng, self.spread + 1, np.expm1(np.maximum(time - first, 0))))


def gamma(rng: np.random.Generator, shape: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Gamma draws of the shape of `scale`, as rates of Poisson counts."""
    return np.minimum(rng.gamma(np.broadcast_to(shape, scale.shape)) * scale, MOST)


def parts(
    likelihood: str, zeros: str, draws: Mapping[str, np.ndarray], inputs: Mapping[str, Any], rows: slice = slice(None)
) -> Parts:
    """Of `inputs` (x, zero_x, log_exposure) and draws `(*draws, *shape)` by site."""
    log_mu = linear(draws, inputs, "", rows)
    if "log_exposure" in inputs:
        log_mu = log_mu + inputs["log_exposure"][rows]
    zero_logit = None if zeros == "none" else linear(draws, inputs, "zero_", rows)
    spread = draws[DISPERSION[likelihood]][..., None] if likelihood in DISPERSION else None
    return Parts(likelihood, zeros, log_mu, zero_logit, spread)


def linear(draws: Mapping[str, np.ndarray], inputs: Mapping[str, Any], part: str, rows: slice) -> np.ndarray:
    """A part's linear predictor at draws, `(*draws, rows)`."""
    x = inputs[f"{part}x"][rows]
    total = np.zeros(len(x))
    if f"{part}intercept" in draws:
        total = total + draws[f"{part}intercept"][..., None]
    return total + draws[f"{part}beta"] @ x.T if f"{part}beta" in draws else total


def chunks(rows: int, draws: int) -> list[slice]:
    """Stretches of rows, so that no more than MOST_VALUES numbers are in flight at once."""
    size = max(1, MOST_VALUES // draws)
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
