"""How independent rates with beta distributions differ, as distributions with mean, sd, quantiles and density.

    lift            theta[1] - theta[0]        P(lift < d)  =  integral of f[0](t) F[1](t + d)
    relative lift   theta[1] / theta[0] - 1    P(lift < d)  =  integral of f[0](t) F[1]((1 + d) t)
    loss            largest - theta[g]         P(loss < d)  =  integral of f[g](t) times the product of F[j](t + d)

Integrals are those of `models.rates`, with panels that also meet where the moved rates pass their own quantiles.
Quantiles are found by bisection; densities are differences of probabilities, which is as fine as a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.rates import POINTS, WEIGHTS, Rates, cdf, density, log_odds, panels, quantile_log_odds, sigmoid

STEP = 1e-4  # of a standard deviation, for densities
KNOTS = 64


class Contrast:
    """theta[0] of `rates` against all others: `lift` or `relative_lift` of one other over it, or `loss`, what the
    largest has more than it."""

    def __init__(self, kind: str, rates: Rates) -> None:
        self.kind, self.rates = kind, rates
        self.relative = kind == "relative_lift"

    def mean(self) -> float:
        """Infinite for a relative lift over a rate with a of 1 or less."""
        if self.kind == "loss":
            return float(self.rates.loss()[0])
        a, b = self.rates
        m = a / (a + b)
        return float(m[1] * self.inverse(1) - 1 if self.relative else m[1] - m[0])

    def std(self) -> float:
        """Infinite for a relative lift over a rate with a of 2 or less."""
        a, b = self.rates
        m = a / (a + b)
        if self.kind == "lift":
            return float(np.sqrt((m * (1 - m) / (a + b + 1)).sum()))
        if self.relative:
            second = m[1] * (a[1] + 1) / (a[1] + b[1] + 1)
            found = second * self.inverse(2) - (m[1] * self.inverse(1)) ** 2 if a[0] > 2 else np.inf
            return float(np.sqrt(found))
        top = self.quantile(1 - 1e-12)  # the integrals are good to some 1e-14
        d = top * (POINTS + 1) / 2
        square = sum(w * 2 * x * (1 - self.cdf(x)) for x, w in zip(d, top * WEIGHTS / 2, strict=True))
        return float(np.sqrt(max(square - self.mean() ** 2, 0.0)))

    def inverse(self, power: int) -> float:
        """E[theta[0] ** -power]."""
        a, b = self.rates.a[0], self.rates.b[0]
        steps = np.arange(1, power + 1)
        return float(np.prod((a + b - steps) / (a - steps))) if a > power else float("inf")

    def cdf(self, d: float) -> float:
        """P(contrast < d)."""
        x, weights = self.points(d)
        first, others = self.rates.only([0]), self.rates.only(range(1, len(self.rates.a)))
        below = np.prod(cdf(others, self.moved(x, d)), axis=0)
        return float(np.clip((density(first, x)[0] * below) @ weights, 0.0, 1.0))

    def ppf(self, q: Any) -> np.ndarray:
        return np.array([self.quantile(float(p)) for p in np.ravel(q)]).reshape(np.shape(q))

    def quantile(self, p: float) -> float:
        from scipy.optimize import brentq

        low, high = (0.0 if self.kind == "loss" else -1.0), 1.0
        if self.cdf(low) >= p:
            return low  # the rate is the largest so often
        while self.relative and self.cdf(high) < p:
            high = 2 * high + 1
        return float(brentq(lambda d: self.cdf(d) - p, low, high, xtol=1e-12, rtol=1e-12))

    def pdf(self, x: Any) -> np.ndarray:
        """Slopes of the distribution function: its differences, or those of a spline through it for many points."""
        from scipy.interpolate import CubicSpline

        d = np.ravel(np.asarray(x, dtype=float))
        if len(d) > KNOTS and np.ptp(d) > 0:
            knots = np.linspace(d.min(), d.max(), KNOTS)
            slopes = CubicSpline(knots, [self.cdf(knot) for knot in knots]).derivative()(d)
        else:
            spread = self.std()
            half = STEP * (spread if 0 < spread < np.inf else 1.0)
            slopes = np.array([(self.cdf(at + half) - self.cdf(at - half)) / (2 * half) for at in d])
        return np.maximum(slopes, 0.0).reshape(np.shape(x))

    def moved(self, x: np.ndarray, d: float) -> np.ndarray:
        """The log odds that another rate must lie below, theta[0] having log odds x; infinite beyond 0 and 1."""
        theta, rest = sigmoid(x), sigmoid(-x)
        up, down = ((1 + d) * theta, rest - d * theta) if self.relative else (theta + d, rest - d)
        with np.errstate(divide="ignore"):
            return np.log(np.maximum(up, 0.0)) - np.log(np.maximum(down, 0.0))

    def points(self, d: float) -> tuple[np.ndarray, np.ndarray]:
        """Panels between the quantiles of theta[0] and what another rate's quantiles, and its ends, are moved from."""
        own = quantile_log_odds(self.rates.only([0])).ravel()
        theirs = sigmoid(quantile_log_odds(self.rates.only(range(1, len(self.rates.a)))).ravel())
        theirs = np.concatenate([theirs, [0.0, 1.0]])
        back = theirs / (1 + d) if self.relative and d > -1 else theirs - d
        cuts = np.concatenate([own, log_odds(back[(back > 0) & (back < 1)])])
        return panels(cuts[(cuts >= own.min()) & (cuts <= own.max())])


class Contrasts:
    """Several contrasts along one axis."""

    def __init__(self, parts: Sequence[Contrast]) -> None:
        self.parts = parts

    def mean(self) -> np.ndarray:
        return np.array([part.mean() for part in self.parts])

    def std(self) -> np.ndarray:
        return np.array([part.std() for part in self.parts])

    def ppf(self, q: Any) -> np.ndarray:
        """q: `(*probabilities, 1)`; gives `(*probabilities, parts)`."""
        return np.concatenate([part.ppf(q) for part in self.parts], axis=-1)

    def pdf(self, x: Any) -> np.ndarray:
        """x: `(*points, 1)`; gives `(*points, parts)`."""
        return np.concatenate([part.pdf(x) for part in self.parts], axis=-1)


class Chances:
    """Events of known probability as distributions of 0 and 1, elementwise."""

    def __init__(self, probability: np.ndarray) -> None:
        self.probability = np.clip(probability, 0.0, 1.0)

    def mean(self) -> np.ndarray:
        return self.probability

    def std(self) -> np.ndarray:
        return np.sqrt(self.probability * (1 - self.probability))

    def ppf(self, q: Any) -> np.ndarray:
        return np.where(np.asarray(q) > 1 - self.probability, 1.0, 0.0)

    def pdf(self, x: Any) -> np.ndarray:
        return np.where(np.asarray(x) == 1, self.probability, np.where(np.asarray(x) == 0, 1 - self.probability, 0.0))
