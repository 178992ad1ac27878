"""What draws of rates say of new rows: the rate, and the successes in so many trials.

Given a rate, successes are binomial; over the draws they are a mixture of binomials, whose quantiles are found by
bisection of its distribution function. Rows that ask the same are answered once.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

NEW = -1  # the place of a group that is not among the fitted ones


def predictions(
    draws: Mapping[str, np.ndarray], places: np.ndarray, trials: np.ndarray | None, mass: float
) -> dict[str, np.ndarray]:
    """Columns by name, `(rows,)`. places: each row's group, NEW for one of the population. trials: `(rows,)`."""
    ends = [(1 - mass) / 2, (1 + mass) / 2]
    questions = np.column_stack([places, np.zeros(len(places)) if trials is None else trials])
    asked, back = np.unique(questions, axis=0, return_inverse=True)
    rates = {int(place): of_place(draws, int(place)) for place in np.unique(places)}
    found = []
    for place, count in asked:
        rate = rates[int(place)]
        answer = [rate.mean(), *np.quantile(rate, ends)]
        if trials is not None:
            answer += [count * rate.mean(), *(successes(rate, count, end) for end in ends)]
        found.append(answer)
    names = ["mean", "lower", "upper"]
    if trials is not None:
        names += ["successes mean", "successes lower", "successes upper"]
    table = np.array(found).reshape(len(asked), len(names))[back.reshape(-1)]
    return dict(zip(names, table.T, strict=True))


def of_place(draws: Mapping[str, np.ndarray], place: int) -> np.ndarray:
    """Draws of the rate of one group, or of a new group: one of the population for every draw, from a fixed seed."""
    if place == NEW:
        mu, kappa = draws["mu"].reshape(-1), draws["kappa"].reshape(-1)
        # gamma variables of shape a are far below the smallest number where a is small: a rate of 0 or 1 is meant
        return np.random.default_rng(0).beta(np.maximum(mu * kappa, 1e-9), np.maximum((1 - mu) * kappa, 1e-9))
    theta = draws["theta"]
    return theta.reshape(-1) if theta.ndim == 2 else theta[..., place].reshape(-1)


def successes(rate: np.ndarray, trials: float, probability: float) -> float:
    """The quantile of successes: the least whole number that so much of the mixture is at or below."""
    from scipy.special import bdtr

    low, high = -1, int(trials)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if bdtr(middle, int(trials), rate).mean() >= probability - 1e-12 else (middle, high)
    return float(high)
