"""Independent rates with beta distributions: updating, predicting, and ranking them, in closed form or by quadrature.

    theta[g] ~ Beta(a[g], b[g])

    P(theta[g] is the largest)  =  integral of f[g](t) times the product of F[j](t), j other than g
    E[largest]                  =  integral of 1 - product of F[j](t), all j

Integrals run over log odds x, t = 1 / (1 + exp(-x)), where every density is smooth, by Gauss-Legendre panels between
the rates' own quantiles: rates known to six digits and rates hardly known at all do well side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

TAIL = 1e-16  # what is left out at either end
FARTHEST = 690.0  # log odds of the smallest numbers; a rate with a or b below 0.05 has mass beyond
CUTS = (1e-12, 1e-8, 1e-5, 1e-3, 0.02, 0.1, 0.25, 0.5)  # quantiles at which panels meet, from both ends
POINTS, WEIGHTS = np.polynomial.legendre.leggauss(16)


class Rates(NamedTuple):
    """Parameters of G independent beta distributions, `(G,)` each."""

    a: np.ndarray
    b: np.ndarray

    def updated(self, ones: Any, zeros: Any) -> Rates:
        """The rates after more outcomes; in whatever order and batches outcomes come, the end is the same.

        >>> Rates(np.array([2.0]), np.array([2.0])).updated(7, 3)
        Rates(a=array([9.]), b=array([5.]))
        """
        return Rates(self.a + np.asarray(ones, dtype=float), self.b + np.asarray(zeros, dtype=float))

    def predictive(self, trials: Any) -> Any:
        """Successes in so many new trials, beta-binomial: SciPy's frozen distribution, elementwise."""
        import scipy.stats

        return scipy.stats.betabinom(np.asarray(trials), self.a, self.b)

    def best(self) -> np.ndarray:
        """P(theta[g] is the largest), `(G,)`."""
        grid = Grid.over(self)
        below = np.prod(grid.cdf, axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            others = np.where(grid.cdf > 0, below / grid.cdf, 0.0)
        return (grid.density * others) @ grid.weights

    def loss(self) -> np.ndarray:
        """E[largest rate - theta[g]]: what choosing g costs on average, `(G,)`."""
        grid = Grid.over(self)
        # the largest lies above t wherever not all lie below
        largest = (1 - np.prod(grid.cdf, axis=0)) * grid.theta * (1 - grid.theta)
        rest = 1 / (1 + np.exp(-grid.low))  # below the grid, all is above t
        return rest + largest @ grid.weights - self.a / (self.a + self.b)

    def only(self, places: Sequence[int]) -> Rates:
        """Some of the rates, in this order."""
        return Rates(self.a[list(places)], self.b[list(places)])


class Grid(NamedTuple):
    """Panels over log odds that serve all rates at once. theta, weights: `(points,)`; density (in log odds) and cdf:
    `(G, points)`; low: the log odds at which the panels begin."""

    theta: np.ndarray
    weights: np.ndarray
    density: np.ndarray
    cdf: np.ndarray
    low: float

    @classmethod
    def over(cls, rates: Rates) -> Grid:
        cuts = quantile_log_odds(rates)
        x, weights = panels(cuts)
        return cls(sigmoid(x), weights, density(rates, x), cdf(rates, x), float(cuts.min()))


def above(first: Rates, second: Rates) -> float:
    """P(first > second) of two single rates.

    >>> a, b = Rates(np.array([9.0]), np.array([5.0])), Rates(np.array([6.0]), np.array([3.0]))
    >>> round(above(a, b), 9)
    0.442724458
    """
    both = Rates(np.concatenate([first.a, second.a]), np.concatenate([first.b, second.b]))
    return float(both.best()[0])


def panels(cuts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre points and weights of the panels between `cuts`, in any order; none wider than 2 log odds."""
    edges = np.unique(cuts)
    counts = np.maximum(1, np.ceil(np.diff(edges) / 2.0)).astype(int)
    starts = np.repeat(edges[:-1], counts)
    widths = np.repeat(np.diff(edges) / counts, counts)
    place = np.concatenate([np.arange(count) for count in counts])
    left = starts + place * widths
    x = left[:, None] + widths[:, None] * (POINTS + 1) / 2
    return x.ravel(), (widths[:, None] * WEIGHTS / 2).ravel()


def quantile_log_odds(rates: Rates) -> np.ndarray:
    """Quantiles of every rate on the scale of log odds, `(cuts, G)`, upper ones measured from above."""
    from scipy.special import betaincinv

    p = np.array([TAIL, *CUTS])[:, None]
    with np.errstate(divide="ignore"):
        lower = log_odds(betaincinv(rates.a, rates.b, p))
        upper = -log_odds(betaincinv(rates.b, rates.a, p))
    return np.clip(np.concatenate([lower, upper]), -FARTHEST, FARTHEST)


def density(rates: Rates, x: np.ndarray) -> np.ndarray:
    """The density of log odds, `(G, points)`."""
    from scipy.special import betaln

    a, b = rates.a[:, None], rates.b[:, None]
    return np.exp(-a * np.logaddexp(0, -x) - b * np.logaddexp(0, x) - betaln(a, b))


def cdf(rates: Rates, x: np.ndarray) -> np.ndarray:
    """P(log odds < x), `(G, points)`."""
    from scipy.special import betainc

    a, b = rates.a[:, None], rates.b[:, None]
    return np.where(x < 0, betainc(a, b, sigmoid(x)), 1 - betainc(b, a, sigmoid(-x)))


def sigmoid(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def log_odds(theta: np.ndarray) -> np.ndarray:
    return np.log(theta) - np.log1p(-theta)
