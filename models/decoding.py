"""The states behind sequences, averaged over a posterior: what `models.hidden_states` says for one vector of
parameters, for every draw.

    P(z | y, data)  =  E[p(z | y, parameters)]    parameters from the posterior,

where y are the sequences that were fitted, or new ones, which are taken to say nothing more about the parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from models import hidden_states
from models.errors import InputError

MOST_VALUES = 8_000_000  # numbers in flight at once
MOST_DRAWS, FEWEST_DRAWS = 1000, 50  # draws that an average over the posterior rests on


class Decoded(NamedTuple):
    """Of every position of every sequence; probabilities `(S, T, K)` sum to one over the states. What lies beyond a
    sequence's end means nothing.

    filtered: given the observations up to there. smoothed: given the whole sequence. lower, upper: an equal-tailed
    interval of `smoothed` over the draws. votes: the share of draws whose most likely path has each state there. path
    `(S, T)`: the state of the most votes; of a single draw, its most likely path.
    """

    filtered: np.ndarray
    smoothed: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    votes: np.ndarray
    path: np.ndarray


class Expected(NamedTuple):
    """What the channels are expected to show in the states of every position, seen there or not.

    mean: `(S, T, C)`; of categories the probability of every level, `(S, T, L)`. lower, upper: an equal-tailed interval
    of an observation, `(S, T, C)`.
    """

    mean: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


class Forecast(NamedTuple):
    """What follows the last row of every sequence, 1..steps rows ahead, by draw `(chain, draw, S, steps, ...)`.

    states: probabilities, `(..., K)`. mean: the expected observation of each channel given the draw, `(..., C)`; of
    categories the probability of every level, `(..., L)`. values: an observation drawn, `(..., C)`, categories as
    numbers of their levels. Averages over the draws are the posterior's, and quantiles of `values` are its intervals.
    """

    states: np.ndarray
    mean: np.ndarray
    values: np.ndarray


class Chains(NamedTuple):
    """Parameters of D draws.

    start `(D, K)`, transition `(D, K, K)`: probabilities. location `(D, K, C)`: means of channels; of categories the
    probabilities of all levels, `(D, K, L)`. spread `(D, K, C)`: the standard deviation of gaussian channels, phi of
    negative binomial ones. place `(L, C, V)`: which level of which channel is which among all, categories only.
    """

    kind: str
    start: np.ndarray
    transition: np.ndarray
    location: np.ndarray
    spread: np.ndarray | None = None
    place: np.ndarray | None = None

    def only(self, keep: np.ndarray | slice) -> Chains:
        """Some of the draws."""
        spread = None if self.spread is None else self.spread[keep]
        parts = (self.start[keep], self.transition[keep], self.location[keep])
        return Chains(self.kind, *parts, spread, self.place)

    def logarithms(self, y: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The chains given sequences `y (S, T, C)` as `models.hidden_states` takes them, batch axes `(D, S)`."""
        with np.errstate(divide="ignore"):
            start, transition = np.log(self.start), np.log(self.transition)
        return start[:, None], transition[:, None], self.log_emission(y, there)

    def log_emission(self, y: np.ndarray, there: np.ndarray) -> np.ndarray:
        """Log density of every observation in every state, `(D, S, T, K)`; empty cells add nothing."""
        draws, states = self.start.shape
        total = np.zeros((draws, *y.shape[:2], states))
        for c in range(y.shape[2]):
            for k in range(states):
                total[..., k] += np.where(there[..., c], self.log_density(y[..., c], k, c), 0.0)
        return total

    def log_density(self, y: np.ndarray, k: int, c: int) -> np.ndarray:
        """Log density of observations `y (S, T)` of channel c in state k, `(D, S, T)`."""
        if self.kind == "gaussian":
            assert self.spread is not None
            mu, sigma = self.location[:, k, c, None, None], self.spread[:, k, c, None, None]
            return -0.5 * ((y - mu) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
        # of whole numbers, few are different
        values, which = np.unique(y, return_inverse=True)
        return self.log_mass(values, k, c)[:, which.reshape(y.shape)]

    def log_mass(self, values: np.ndarray, k: int, c: int) -> np.ndarray:
        """Log probability of whole numbers `(V,)` in channel c and state k, `(D, V)`."""
        from scipy.special import gammaln

        with np.errstate(divide="ignore"):
            if self.place is not None:
                return np.log(self.location[:, k] @ self.place[:, c])[:, values.astype(int)]
            rate = self.location[:, k, c, None]
            log_rate = np.log(np.maximum(rate, np.finfo(float).tiny))
            if self.spread is None:
                return values * log_rate - rate - gammaln(values + 1)
            phi = self.spread[:, k, c, None]
            ways = gammaln(values + phi) - gammaln(phi) - gammaln(values + 1)
            return ways + values * (log_rate - np.log(phi)) - (values + phi) * np.log1p(rate / phi)

    def observations(self, states: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Observations drawn in given states `(D, ...)`, `(D, ..., C)`."""
        draw = np.arange(len(states)).reshape(-1, *[1] * (states.ndim - 1))
        if self.place is not None:
            owned = np.einsum("dkl,lcv->dkcv", self.location, self.place)[draw, states]
            edges = owned.cumsum(axis=-1)[..., :-1]
            return (rng.random((*states.shape, owned.shape[-2], 1)) >= edges).sum(axis=-1)
        location = self.location[draw, states]
        if self.spread is None:
            return rng.poisson(location).astype(float)
        spread = self.spread[draw, states]
        if self.kind == "gaussian":
            return rng.normal(location, spread)
        return rng.poisson(rng.gamma(spread, location / spread)).astype(float)


def decode(chains: Chains, y: np.ndarray, there: np.ndarray, lengths: np.ndarray, mass: float) -> Decoded:
    """The states of sequences `y (S, T, C)`: an average over at most MOST_DRAWS evenly spaced draws."""
    ends = tails(mass)
    chains = few(chains, y)
    parts = []
    for part in pieces(chains, y):
        logarithms = chains.logarithms(y[part], there[part])
        filtered = hidden_states.filtered(*logarithms).states.mean(axis=0)
        smoothed = hidden_states.smoothed(*logarithms)
        lower, upper = np.quantile(smoothed, ends, axis=0)
        paths = hidden_states.most_likely(*logarithms, lengths[part]).states
        votes = np.stack([(paths == k).mean(axis=0) for k in range(smoothed.shape[-1])], axis=-1)
        parts.append(Decoded(filtered, smoothed.mean(axis=0), lower, upper, votes, votes.argmax(axis=-1)))
    return Decoded(*(np.concatenate(found) for found in zip(*parts, strict=True)))


def expect(chains: Chains, y: np.ndarray, there: np.ndarray, mass: float, rng: np.random.Generator) -> Expected:
    """Observations in the states of sequences `y (S, T, C)`, an average over draws as in `decode`."""
    ends = tails(mass)
    chains = few(chains, y)
    parts = []
    for part in pieces(chains, y):
        logarithms = chains.logarithms(y[part], there[part])
        mean = np.einsum("dstk,dkc->stc", hidden_states.smoothed(*logarithms), chains.location) / len(chains.start)
        values = chains.observations(hidden_states.drawn(*logarithms, rng), rng)
        parts.append(Expected(mean, *np.quantile(values, ends, axis=0)))
    return Expected(*(np.concatenate(found) for found in zip(*parts, strict=True)))


def tails(mass: float) -> list[float]:
    """The two probabilities between which `mass` lies in the middle."""
    if not 0 < mass < 1:
        raise InputError("mass", f"must lie between 0 and 1, got {mass}", "write for instance 0.9")
    return [(1 - mass) / 2, (1 + mass) / 2]


def few(chains: Chains, y: np.ndarray) -> Chains:
    """Evenly spaced draws, as many as averages over `y` may rest on."""
    draws, states = chains.start.shape
    most = int(np.clip(MOST_VALUES // (y.shape[1] * states), FEWEST_DRAWS, MOST_DRAWS))
    return chains.only(np.unique(np.linspace(0, draws - 1, most).round().astype(int)))


def pieces(chains: Chains, y: np.ndarray) -> Iterator[slice]:
    """Sequences `(S, T, C)`, as many at a time as fit into memory with all draws."""
    chunk = max(1, MOST_VALUES // (chains.start.size * y.shape[1]))
    for first in range(0, len(y), chunk):
        yield slice(first, first + chunk)


def draw_states(chains: Chains, y: np.ndarray, there: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For every draw of the parameters a draw of all states, `(D, S, T)`."""
    chunk = max(1, MOST_VALUES // (y.shape[0] * y.shape[1] * chains.start.shape[1]))
    parts = []
    for first in range(0, len(chains.start), chunk):
        some = chains.only(slice(first, first + chunk))
        parts.append(hidden_states.drawn(*some.logarithms(y, there), rng))
    return np.concatenate(parts)


def last_states(chains: Chains, y: np.ndarray, there: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """P(state at a sequence's last row | the sequence), by draw, `(D, S, K)`."""
    chunk = max(1, MOST_VALUES // (y.shape[0] * y.shape[1] * chains.start.shape[1]))
    parts = []
    for first in range(0, len(chains.start), chunk):
        some = chains.only(slice(first, first + chunk))
        found = hidden_states.filtered(*some.logarithms(y, there)).states
        parts.append(found[:, np.arange(len(lengths)), lengths - 1])
    return np.concatenate(parts)


def one_step_ahead(chains: Chains, y: np.ndarray, there: np.ndarray) -> np.ndarray:
    """log p(row t | the rows before it in its sequence), by draw, `(D, S, T)`."""
    chunk = max(1, MOST_VALUES // (y.shape[0] * y.shape[1] * chains.start.shape[1]))
    parts = []
    for first in range(0, len(chains.start), chunk):
        some = chains.only(slice(first, first + chunk))
        parts.append(hidden_states.filtered(*some.logarithms(y, there)).log_density)
    return np.concatenate(parts)


def forecast(chains: Chains, last: np.ndarray, steps: int, rng: np.random.Generator) -> Forecast:
    """From the last rows' states `(D, S, K)`; results have the axis of draws in place of chain and draw."""
    states = hidden_states.ahead(last, chains.transition[:, None], steps)
    mean = np.einsum("dstk,dkc->dstc", states, chains.location)
    # a path ahead is drawn as one: its steps depend on each other
    edges = chains.transition.cumsum(axis=-1)[..., :-1]
    now = (rng.random((*last.shape[:2], 1)) >= last.cumsum(axis=-1)[..., :-1]).sum(axis=-1)
    path = []
    for _ in range(steps):
        now = (rng.random((*now.shape, 1)) >= edges[np.arange(len(edges))[:, None], now]).sum(axis=-1)
        path.append(now)
    return Forecast(states, mean, chains.observations(np.stack(path, axis=-1), rng))
