"""What coefficients of a logistic regression mean: odds ratios, average marginal effects, probabilities of rows.

The average marginal effect of term k is the change in probability for one unit of the formula's column, on its own
scale, averaged over the rows and at fixed parameters:

    a column of zeros and ones    mean over rows of p(column is 1) - p(column is 0); other levels of its factor are 0
    any other column              mean over rows of the derivative, p (1 - p) beta_raw[k], or with several labels
                                  p_c (beta_raw[c, k] - sum over j of p_j beta_raw[j, k])

Other columns stay as they are, products with the term among them. With trials, rows count by their trials; with varying
effects, rows keep their groups; with mislabelled rows, p is of the true label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from models.base import Data
from models.errors import InputError
from models.groups import Rows, effects_of, rows_in, summed

MOST_VALUES = 2_000_000  # numbers in flight at once
CACHED = 50_000  # the same, where many passes over them want the processor's cache
MOST_PROBABILITIES = 40_000_000  # rows times draws that an average is taken over
LARGEST = 700.0  # an exponent that is still a number

Draws = Mapping[str, np.ndarray]


class Probabilities(NamedTuple):
    """Of every label for every row, `(rows, labels)`: mean over the draws and ends of an equal-tailed interval."""

    mean: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


def flat(draws: Draws) -> dict[str, np.ndarray]:
    """Draws `(chain, draw, *shape)` as `(draws, *shape)`."""
    return {name: values.reshape(-1, *values.shape[2:]) for name, values in draws.items()}


def odds_ratio(beta: np.ndarray) -> np.ndarray:
    """exp(beta), finite for every beta."""
    return np.exp(np.clip(beta, -LARGEST, LARGEST))


def scores(draws: Draws, x: np.ndarray, groups: Rows | None, members: np.ndarray | None = None) -> np.ndarray:
    """Log odds of every label but the first against it, `(draws, rows, labels - 1)`; draws are flat, and have the sites
    of two labels (`intercept`, `beta`) or those of several (`class_intercept`, `class_beta`). members: every member's
    effect where it is known already."""
    if "class_intercept" in draws or "class_beta" in draws:
        several = np.zeros((len(x), 1))
        if "class_intercept" in draws:
            several = several + draws["class_intercept"][:, None]
        return several + np.swapaxes(draws["class_beta"] @ x.T, 1, 2) if "class_beta" in draws else several
    total = np.zeros((len(next(iter(draws.values()))), len(x)))
    if "intercept" in draws:
        total += draws["intercept"][:, None]
    if "beta" in draws:
        total += draws["beta"] @ x.T
    if groups is not None:
        total += summed(groups, effects_of(draws, groups) if members is None else members)
    return total[..., None]


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities of all labels, `(..., labels)`, from the log odds against the first, `(..., labels - 1)`."""
    top = np.maximum(scores.max(axis=-1, keepdims=True), 0)
    raised = np.concatenate([np.exp(-top), np.exp(scores - top)], axis=-1)
    return raised / raised.sum(axis=-1, keepdims=True)


def predicted(draws: Draws, x: np.ndarray, groups: Rows | None, mass: float) -> Probabilities:
    """Probabilities of rows; draws are `(chain, draw, *shape)`."""
    if not 0 < mass < 1:
        raise InputError("mass", f"must lie between 0 and 1, got {mass}", "write for instance 0.9")
    own = flat(draws)
    members = None if groups is None else effects_of(own, groups)
    parts = pieces(x, groups, len(next(iter(own.values()))))
    found = (softmax(scores(own, *part, members)) for part in parts)
    ends = [(1 - mass) / 2, (1 + mass) / 2]
    told = [(p.mean(axis=0), *np.quantile(p, ends, axis=0)) for p in found]
    return Probabilities(*(np.concatenate(column) for column in zip(*told, strict=True)))


def pieces(x: np.ndarray, groups: Rows | None, num_draws: int) -> Iterator[tuple[np.ndarray, Rows | None]]:
    """The rows in pieces that are small times the draws."""
    size = max(1, MOST_VALUES // num_draws)
    for start in range(0, len(x), size):
        part = slice(start, start + size)
        yield x[part], None if groups is None else groups._replace(x=groups.x[part], member=groups.member[part])


class Terms(NamedTuple):
    """Terms of a design by kind: positions of those that are no indicators, and the indicators of each factor."""

    numeric: list[int]
    factors: list[list[int]]


def kinds(names: Sequence[str], raw: np.ndarray) -> Terms:
    """Which columns `(rows, terms)` on their own scale hold zeros and ones alone, by the factor that they encode."""
    numeric, factors = [], dict[str, list[int]]()
    for k, name in enumerate(names):
        if np.isin(raw[:, k], (0.0, 1.0)).all():
            level = re.fullmatch(r"([^:]*)\[(T\.)?[^\]]*\]", name)
            factors.setdefault(level[1] if level else name, []).append(k)
        else:
            numeric.append(k)
    return Terms(numeric, list(factors.values()))


class Fitted(NamedTuple):
    """Rows that effects are averaged over: x as the program takes it, the columns' means and standard deviations, the
    groups, the weights of rows, and the terms' names."""

    x: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    groups: Rows | None
    weights: np.ndarray
    names: Sequence[str]

    def thinned(self, num_draws: int) -> Fitted:
        """Evenly spaced rows, where all of them times the draws would be more than MOST_PROBABILITIES."""
        most = max(1, MOST_PROBABILITIES // num_draws)
        if len(self.x) <= most:
            return self
        keep = np.linspace(0, len(self.x) - 1, most).round().astype(int)
        groups = self.groups and self.groups._replace(x=self.groups.x[keep], member=self.groups.member[keep])
        return self._replace(x=self.x[keep], groups=groups, weights=self.weights[keep])


def fitted(data: Data) -> Fitted:
    """A logistic regression's data as rows that effects are averaged over."""
    inputs = data.inputs
    weights = np.asarray(inputs.get("trials", np.ones(len(inputs["x"]))), dtype=float)
    return Fitted(inputs["x"], inputs["mean"], inputs["sd"], rows_in(data), weights, list(data.coords["term"]))


def wrong_labels(draws: Draws, rows: Fitted, y: np.ndarray) -> np.ndarray:
    """P(row n's label y[n] is wrong | parameters), `(*draws, rows)`, of labels tossed with probability `noise`."""
    shape = draws["noise"].shape
    own = {name: values.reshape(-1, *values.shape[len(shape) :]) for name, values in draws.items()}
    p, eps = softmax(scores(own, rows.x, rows.groups)), own["noise"][:, None] / 2
    right = np.where(y == 1, p[..., 1], p[..., 0])
    return (eps * (1 - right) / (eps * (1 - right) + (1 - eps) * right)).reshape(*shape, len(rows.x))


def average_marginal_effects(draws: Draws, rows: Fitted) -> np.ndarray:
    """Effects by draw, label and term, `(chain, draw, labels, terms)`; of two labels the second is the event."""
    shape = next(iter(draws.values())).shape[:2]
    own = flat(draws)
    rows = rows.thinned(len(next(iter(own.values()))))
    beta = own["class_beta"] if "class_beta" in own else own["beta"][:, None, :]
    slopes = np.concatenate([np.zeros_like(beta[:, :1]), beta / rows.sd], axis=1)  # (draws, labels, terms)
    total = np.zeros(slopes.shape)
    raw = rows.x * rows.sd + rows.mean
    raw = np.where(np.abs(raw - raw.round()) < 1e-9, raw.round(), raw)
    terms = kinds(rows.names, raw)
    size = max(1, CACHED // len(rows.x))
    for start in range(0, len(slopes), size):
        part = slice(start, start + size)
        one = {name: values[part] for name, values in own.items()}
        total[part] = effects(scores(one, rows.x, rows.groups), slopes[part], raw, terms, rows.weights)
    return total.reshape(*shape, *total.shape[1:])


def effects(scores: np.ndarray, slopes: np.ndarray, raw: np.ndarray, terms: Terms, weights: np.ndarray) -> np.ndarray:
    """The formulas above for some draws: scores `(draws, rows, labels - 1)`, slopes `(draws, labels, terms)`."""
    share = weights / weights.sum()
    total = np.zeros(slopes.shape)
    if terms.numeric:
        p = softmax(scores)
        among = slopes[:, :, terms.numeric]
        weighted = np.swapaxes(p * share[:, None], 1, 2)
        total[:, :, terms.numeric] = weighted.sum(axis=2)[..., None] * among - (weighted @ p) @ among
    for factor in terms.factors:
        without = scores - raw[:, factor] @ np.swapaxes(slopes[:, 1:, factor], 1, 2)
        base = averaged(without, share)
        for k in factor:
            total[:, :, k] = averaged(without + slopes[:, None, 1:, k], share) - base
    return total


def averaged(scores: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Probabilities averaged over the rows, `(draws, labels)`; what two labels need is their sigmoid alone."""
    if scores.shape[2] > 1:
        return share @ softmax(scores)
    event = (1 / (1 + np.exp(np.minimum(-scores[..., 0], LARGEST)))) @ share
    return np.stack([1 - event, event], axis=-1)
