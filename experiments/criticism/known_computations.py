"""How the product itself computes each known answer: models are fitted, distributions asked, scores scored.

Each function returns a number, or several in one array, in the order in which the table lists what is expected.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.criticism import calibration, drift, information, pit, recalibration, scores
from models import BetaBernoulli, Data, NaiveBayes, Prior, Table
from models.class_probabilities import Rows, log_density, predict
from models.features import Features
from models.rates import Rates, above

BETA = [[0.2, 0.7, 0.6], [0.8, 0.3, 0.5]]  # rates of three features: class 2, class 1


# --- rates


def coin(prior: str, ones: int, zeros: int, counted: bool = False) -> Any:
    """The exact posterior of a rate after so many outcomes, one by one or as a count."""
    return fitted(prior, tuple([1] * ones + [0] * zeros), counted)


@functools.lru_cache
def fitted(prior: str, outcomes: tuple[int, ...], counted: bool) -> Any:
    from inference import fit

    model = BetaBernoulli(prior=Prior.parse(prior))
    table = {"successes": [sum(outcomes)], "trials": [len(outcomes)]} if counted else {"outcome": list(outcomes)}
    columns = {name: np.asarray(values) for name, values in table.items()}
    return fit(model, model.data(Table(columns, "known answers")), "exact")


def moments(posterior: Any) -> list[float]:
    """Mean, mode, variance, standard deviation, median."""
    row, mode = posterior.summary()["theta"], posterior.facts["estimates"]["theta"]["map"]
    return [row["mean"], mode, row["sd"] ** 2, row["sd"], float(posterior.quantile("theta", 0.5))]


def intervals(posterior: Any, *masses: float) -> np.ndarray:
    return np.concatenate([posterior.interval("theta", mass) for mass in masses])


def estimates(posterior: Any, *names: str) -> list[float]:
    return [posterior.facts["estimates"]["theta"][name] for name in names]


def fold(outcomes: Sequence[int]) -> tuple[list[float], list[float]]:
    """Each posterior is the next prior: means, and the probability of each outcome before it came."""
    a, b, means, predictive = 2.0, 2.0, [], []
    for outcome in outcomes:
        posterior = coin(f"beta({a:g}, {b:g})", outcome, 1 - outcome)
        means.append(posterior.summary()["theta"]["mean"])
        predictive.append(math.exp(posterior.facts["log_evidence"]))
        a, b = a + outcome, b + 1 - outcome
    return means, predictive


def two_coins() -> list[float]:
    """Which of two coins, by the log joint with the choice given and summed out."""
    import pyro
    import pyro.distributions as dist
    import torch

    from inference.program import read
    from inference.streams import workspace

    def program(num_trials: int) -> None:
        which = pyro.sample("which", dist.Bernoulli(0.2))
        pyro.sample("heads", dist.Binomial(num_trials, 0.5 + 0.2 * which))

    with workspace(0):
        found = read(program, Data({"num_trials": 10}, {"heads": np.array(8.0)}))
        joint = np.exp([found.log_joint({"which": torch.tensor(value)}).item() for value in (0.0, 1.0)])
        evidence = found.log_joint({}).item()
    likelihood, posterior = joint / (0.8, 0.2), joint / joint.sum()
    return [*likelihood, posterior[1], likelihood[1] / likelihood[0], posterior @ (0.5, 0.7), evidence]


def race(first: tuple[float, float], second: tuple[float, float]) -> float:
    return above(*(Rates(np.array([a]), np.array([b])) for a, b in (first, second)))


def heads_to_come() -> list[float]:
    """Mean, variance, standard deviation, quantiles, P(3 to 9), and all probabilities, of heads in ten more flips."""
    law = Rates(np.array([9.0]), np.array([5.0])).predictive(10)
    ends = [float(np.squeeze(law.ppf(q))) for q in (0.05, 0.95)]
    pmf = np.ravel(law.pmf(np.arange(11)))
    return [*(float(np.squeeze(value)) for value in (law.mean(), law.var(), law.std())), *ends, pmf[3:10].sum(), *pmf]


@functools.lru_cache
def by_backend(name: str) -> float:
    """The posterior mean of ten flips by a backend that does not know the closed form."""
    from inference import fit

    model = BetaBernoulli(prior=Prior.parse("beta(2, 2)"))
    data = model.data(Table({"outcome": np.array([1] * 7 + [0] * 3)}, "known answers"))
    return float(fit(model, data, name, seed=1).draws["theta"].mean())


def laplace() -> list[float]:
    """Mode and standard deviation of a rate on its own scale, and on that of its log odds."""
    import torch

    from inference import Svi, fit
    from inference.density import LogDensity
    from inference.modes import find_mode
    from inference.program import read
    from inference.streams import workspace

    model = BetaBernoulli(prior=Prior.parse("beta(2, 2)"))
    data = model.data(Table({"outcome": np.array([1] * 8 + [0] * 2)}, "known answers"))
    own = fit(model, data, Svi(guide="map")).facts["estimates"]["theta"]
    with workspace(0):
        mode = find_mode(LogDensity(read(model, data)), torch.zeros(1))
        assert mode.covariance is not None  # a curvature that is no maximum's
        return [own["map"], own["laplace_sd"], mode.z.item(), mode.covariance.item() ** 0.5]


def importance_share() -> float:
    """ESS / N of importance sampling Beta(9, 5) from its uniform prior, by what the draws' weights are worth."""
    from inference import Importance, fit

    model = BetaBernoulli(prior=Prior.parse("beta(1, 1)"))
    data = model.data(Table({"outcome": np.array([1] * 8 + [0] * 4)}, "known answers"))
    return float(fit(model, data, Importance(proposal="prior"), seed=1).facts["importance_efficiency"])


# --- naive Bayes, by one draw of its parameters


def classes(there: tuple[int, int, int] = (1, 1, 1), prior: dict[str, float] | None = None) -> np.ndarray:
    """P(class | x = (1, 0, 1)) for the two classes."""
    draws, rows = one_row(there)
    return predict(draws, rows, ["1", "2"], prior, 0.9).predictive[0]


def one_row(there: tuple[int, int, int]) -> tuple[dict[str, np.ndarray], Rows]:
    draws = {"pi": np.array([[[0.6, 0.4]]]), "theta": np.array([[BETA[::-1]]])}
    known = np.array([there], dtype=bool)
    return draws, Rows(1, {"binary": Features(np.array([[1.0, 0.0, 1.0]]) * known, known)})


def class_evidence() -> float:
    draws, rows = one_row((1, 1, 1))
    flat = {name: values[0] for name, values in draws.items()}
    return float(np.logaddexp.reduce(log_density(flat, rows, slice(None))[0, 0] + np.log(flat["pi"][0])))


def smoothing() -> list[float]:
    """Rates of a feature that 3 of 4 rows of class a and 0 of 2 of class b have: posterior means, uniform priors."""
    from inference import fit

    columns = {"label": np.array(list("aaaabb"), dtype=object), "word": np.array([1, 1, 1, 0, 0, 0])}
    model = NaiveBayes(binary=("word",))
    posterior = fit(model, model.data(Table(columns, "known answers")), "exact")
    return [posterior.summary()[f"theta[{name}, word]"]["mean"] for name in ("a", "b")]  # type: ignore[misc]  # numbers, as the posterior is exact


# --- mixture


def mixture(y: Sequence[float]) -> np.ndarray:
    """log of weight times density, `(rows, 2)`."""
    from models.mixture_rows import Parts, log_joint

    loc, scale = np.array([[[-1.0], [2.0]]]), np.array([[[0.8], [0.9]]])
    return log_joint(Parts(np.log([[0.45, 0.55]]), loc, scale), np.array(y)[:, None])[0]


MIXED = (-2, -1, 0.2, 2, 3)


def responsibilities() -> np.ndarray:
    joint = mixture(MIXED)
    return np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])


# --- hidden Markov chain

START, MOVES, EMIT = np.array([0.6, 0.4]), np.array([[0.7, 0.3], [0.2, 0.8]]), np.array([[0.9, 0.1], [0.3, 0.7]])


def chain(observed: Sequence[int | None]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The chain's three arrays of logarithms; None is a missing observation."""
    cells = [np.zeros(2) if symbol is None else np.log(EMIT[:, symbol]) for symbol in observed]
    return np.log(START), np.log(MOVES), np.array(cells)


def chain_log_likelihood(observed: Sequence[int | None]) -> float:
    from models.hidden_states import filtered

    return float(filtered(*chain(observed)).log_density.sum())


def most_likely() -> list[float]:
    from models.hidden_states import most_likely as viterbi

    path, log_joint = viterbi(*chain((0, 1, 1)))
    return [*path, math.exp(log_joint), math.exp(log_joint - chain_log_likelihood((0, 1, 1)))]


def next_ones() -> np.ndarray:
    """The next state's law, and the next symbol's."""
    from models.hidden_states import ahead, filtered

    states = ahead(filtered(*chain((0, 1, 1))).states[-1], MOVES, 1)[0]
    return np.concatenate([states, states @ EMIT])


def long_chain() -> float:
    """How far the scaled recursion is from the one in logarithms over 5,000 observations."""
    from models.hidden_states import forward

    observed = np.random.default_rng(0).integers(0, 2, 5000).tolist()
    return chain_log_likelihood(observed) - float(np.logaddexp.reduce(forward(*chain(observed))[-1]))


# --- counts


def count_law(kind: str) -> list[float]:
    """log p(0), log p(2), mean and variance of a count distribution, the last two summed over all counts."""
    import torch

    from inference.streams import workspace
    from models.distributions import counts, hurdle

    def logarithm(value: float) -> Any:
        return torch.tensor(math.log(value))

    with workspace(0):
        zero = torch.tensor(math.log(0.3 / 0.7))
        law: Any = {
            "zero inflated": lambda: hurdle.ZeroInflated(zero, counts.Poisson(logarithm(3))),
            "hurdle": lambda: hurdle.Hurdle(zero, counts.ZeroTruncated(counts.Poisson(logarithm(3)))),
            "negative binomial": lambda: counts.NegativeBinomial(logarithm(5), torch.tensor(5.0)),
            "poisson": lambda: counts.Poisson(logarithm(3)),
        }[kind]()
        values = torch.arange(400.0)
        log_p = law.log_prob(values)
        p = log_p.exp()
        mean = (p * values).sum()
        return [log_p[0].item(), log_p[2].item(), mean.item(), ((p * values**2).sum() - mean**2).item()]


def amount_at_zero() -> float:
    """log p(0) of amounts with a hurdle: a probability, with no density added to it."""
    import pyro.distributions as dist
    import torch

    from inference.streams import workspace
    from models.distributions.hurdle import Hurdle

    with workspace(0):
        law = Hurdle(torch.tensor(math.log(0.3 / 0.7)), dist.LogNormal(torch.tensor(0.0), torch.tensor(1.0)))
        return float(law.log_prob(torch.tensor(0.0)))


def normal_prior() -> list[float]:
    """Density at 0, and the probability of (-0.1, 0.1), of the prior normal(0, 0.5)."""
    import torch

    from inference.streams import workspace

    with workspace(0):
        law = Prior.parse("normal(0, 0.5)").distribution()
        ends = torch.tensor([-0.1, 0.1])
        return [law.log_prob(torch.tensor(0.0)).exp().item(), law.cdf(ends).diff().item()]


# --- information, Monte Carlo


def elbo() -> list[float]:
    """log p(x), the ELBO and their gap, of p(x, z) = (.2, .3, .1) and q = (.3, .4, .3)."""
    joint, q = np.array([0.2, 0.3, 0.1]), np.array([0.3, 0.4, 0.3])
    gap = float(information.kl(q, joint / joint.sum()))
    return [math.log(joint.sum()), math.log(joint.sum()) - gap, gap]


def second_moment() -> list[float]:
    """E[X^2] of 20,000 draws of Normal(2, 3), and its Monte Carlo standard error."""
    from inference.arviz_bridge import diagnostics

    squares = (2 + 3 * np.random.default_rng(0).standard_normal(20_000)) ** 2
    return [float(squares.mean()), float(diagnostics(squares[None])["mcse_mean"])]


def normals(kind: str) -> float:
    """Divergences of Normal(0, 1) and Normal(1, 2)."""
    import scipy.stats

    p, q = scipy.stats.norm(0, 1), scipy.stats.norm(1, 2)
    match kind:
        case "js":
            return information.js_quadrature(p, q)
        case "w1":
            return information.wasserstein(p.ppf, q.ppf)
        case _:
            return information.wasserstein(p.ppf, q.ppf, order=2)


def ridge() -> list[float]:
    """The gradient of log likelihood - |theta|^2 / (2 sigma^2) at the MAP with priors normal(0, sigma): 0."""
    from inference import Svi, fit
    from models import LogisticRegression

    rng = np.random.default_rng(3)
    a, b = rng.normal(size=200), rng.normal(size=200)
    outcome = (rng.random(200) < 1 / (1 + np.exp(-0.4 - a + 0.5 * b))).astype(int)
    prior = Prior.parse("normal(0, 0.7)")
    model = LogisticRegression("y ~ a + b", standardise=False, prior=prior, intercept_prior=prior)
    data = model.data(Table({"y": outcome, "a": a, "b": b}, "known answers"))
    draws = fit(model, data, Svi(guide="map"), seed=0).draws
    theta = np.append(draws["intercept"].mean(), draws["beta"].mean(axis=(0, 1)))
    x = np.column_stack([np.ones(200), a, b])
    gradient = x.T @ (outcome - 1 / (1 + np.exp(-x @ theta))) - theta / 0.7**2
    return [float(np.abs(gradient).max())]


# --- calibration, scores, drift

CONFIDENCE, CORRECT, EDGES = (0.9, 0.8, 0.6, 0.4, 0.3), (1, 0, 1, 0, 0), (0, 0.5, 0.75, 1)


def calibrated() -> list[float]:
    """ECE, MCE, Brier score and log loss of five predictions in three bins."""
    table = calibration.reliability(CONFIDENCE, CORRECT, EDGES)
    brier = calibration.brier(CONFIDENCE, CORRECT, EDGES).score
    return [calibration.ece(table), calibration.mce(table), brier, calibration.log_loss(CONFIDENCE, CORRECT)]


def tempered() -> list[float]:
    """The temperature, and the log loss after."""
    t = recalibration.temperature(CONFIDENCE, CORRECT)
    return [t, calibration.log_loss(recalibration.scaled(CONFIDENCE, t), CORRECT)]


def weighted_ece() -> float:
    """90 rows without a gap and ten with one of 0.4."""
    predicted, outcome = np.repeat([0.5, 0.6], [90, 10]), np.concatenate([np.arange(90) % 2, np.arange(10) < 2])
    return calibration.ece(calibration.reliability(predicted, outcome))


def interval_error() -> float:
    found = calibration.accuracy(np.repeat([1.0, 0.0], [900, 100]))
    return (found.upper - found.lower) / 2 / 1.959963984540054


def pit_distance() -> float:
    """Kolmogorov-Smirnov distance of 2,000 PIT values from uniform, of counts that the model does generate."""
    rng = np.random.default_rng(0)
    rate = rng.gamma(2, 1, 2000)
    return pit.uniformity(pit.pit(rng.poisson(rate), rng.poisson(rate, (200, 2000)))).distance


def log_mean() -> float:
    return float(scores.log_mean_exp(np.log([[0.9], [0.1]]))[0])


@functools.lru_cache
def drifted() -> tuple[np.ndarray, np.ndarray]:
    legacy = np.random.RandomState(42)
    return legacy.normal(0, 1, 1000), legacy.normal(0.5, 1.2, 1000)


def psi(edges: Any) -> float:
    return drift.psi(*drifted(), edges)
