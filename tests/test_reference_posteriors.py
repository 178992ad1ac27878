"""Reference posteriors, stored with their standard errors in `tests/data`: found by nuts, by exact where conjugate.

Every mean and every standard deviation lies within 4 combined standard errors of the reference's.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas
import pytest
import scipy.stats
import torch
from cases import monte_carlo, observations, off_by, program_of, reference, table

from inference import Nuts, fit
from inference.posterior import Posterior
from inference.predict import predictive, prior
from inference.streams import workspace
from models import BetaBernoulli, Data, LogisticRegression, Table

EXACT = 1e-9
BUNDLED = Path(__file__).parent.parent / "experiments" / "data"
QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}


def agrees(draws: np.ndarray, parameters: list[str], name: str) -> None:
    """Draws `(chain, draw, len(parameters))` of a Markov chain against a stored summary."""
    summary = reference(name)["summary"]
    columns = {key: np.array([summary[p][key] for p in parameters]) for key in ("mean", "sd", "mcse_mean")}
    found = monte_carlo(draws.reshape(*draws.shape[:2], -1), dependent=True)
    gaps = off_by(found, columns["mean"], columns["sd"], columns["mcse_mean"])
    assert max(gaps.values()) < 4, f"{name}: {gaps}"


# --- rates: binomial, uniform priors ------------------------------------------------------------------------------


class Rate(NamedTuple):
    """A stored data set as rows, and the parameter of each rate."""

    name: str
    table: Table
    parameters: list[str]


ONE, TWO, FOUR = (observations(f"Rate_{number}") for number in (1, 2, 4))
RATES = [
    Rate("Rate_1", table(successes=[ONE["k"]], trials=[ONE["n"]]), ["theta"]),
    Rate(
        "Rate_2",
        table(successes=[TWO["k1"], TWO["k2"]], trials=[TWO["n1"], TWO["n2"]], group=[1, 2]),
        ["theta1", "theta2"],
    ),
    Rate("Rate_4", table(successes=[FOUR["k"]], trials=[FOUR["n"]]), ["theta"]),
]
MODEL = BetaBernoulli()


def closed_form(name: str) -> list[Any]:
    """The beta distributions that the reference states in words, in the order of the parameters."""
    found = re.findall(r"theta\d?(?: \| k)? ~ Beta\((\d+), (\d+)\)", reference(name)["extra"]["closed_form"])
    return [scipy.stats.beta(int(a), int(b)) for a, b in found]


@pytest.mark.parametrize("rate", RATES, ids=lambda rate: rate.name)
def test_exact_is_the_closed_form(rate):
    posterior = fit(MODEL, MODEL.data(rate.table), "exact")
    stored, truths = reference(rate.name), closed_form(rate.name)
    assert len(truths) >= len(rate.parameters)
    for position, (parameter, truth) in enumerate(zip(rate.parameters, truths, strict=False)):
        row = list(posterior.summary().values())[position]
        assert (row["mean"], row["sd"]) == pytest.approx((truth.mean(), truth.std()), abs=EXACT)
        # the stored summary is rounded to 8 digits
        summary = stored["summary"][parameter]
        assert (row["mean"], row["sd"]) == pytest.approx((summary["mean"], summary["sd"]), abs=1e-8)
        for key, probability in QUANTILES.items():
            found = posterior.quantile("theta", probability).reshape(-1)[position]
            assert found == pytest.approx(truth.ppf(probability), abs=EXACT)
            assert found == pytest.approx(summary[key], abs=1e-8)
    if "log_evidence" in stored["extra"]:
        assert posterior.facts["log_evidence"] == pytest.approx(stored["extra"]["log_evidence"], abs=EXACT)


def sampled(rate: Rate) -> Posterior:
    return fit(MODEL, MODEL.data(rate.table), Nuts(num_chains=16, num_samples=500), seed=1)


@pytest.mark.parametrize("rate", RATES, ids=lambda rate: rate.name)
def test_nuts_finds_the_rates_and_their_difference(rate):
    posterior = sampled(rate)
    agrees(posterior.draws["theta"], rate.parameters, rate.name)
    if rate.name == "Rate_2":
        delta = posterior.draws["theta"][..., 0] - posterior.draws["theta"][..., 1]
        agrees(delta, ["delta"], "Rate_2")
        below = monte_carlo((delta < 0).astype(float), dependent=True)
        expected = reference("Rate_2")["extra"]["prob_delta_below_0"]
        assert abs(below["mean"] - expected) <= 4 * below["mean_error"]


def test_exact_draws_give_the_difference_and_the_predictions():
    delta = fit(MODEL, MODEL.data(RATES[1].table), "exact", seed=2).draws["theta"]
    found = monte_carlo(delta[..., 0] - delta[..., 1], dependent=False)
    summary = reference("Rate_2")["summary"]["delta"]
    assert max(off_by(found, summary["mean"], summary["sd"]).values()) < 4

    data = MODEL.data(RATES[2].table)
    theta = fit(MODEL, data, "exact", seed=2).draws["theta"].reshape(-1)
    with workspace(3):
        program = program_of(MODEL, data)
        after = predictive(program, {"theta": torch.as_tensor(theta)})["y"].numpy()
        before = prior(program, 4000)
    stored = reference("Rate_4")["summary"]
    drawn = {"postpredk": after, "priorpredk": before["y"].numpy(), "thetaprior": before["theta"].numpy()}
    for parameter, draws in drawn.items():
        gaps = off_by(
            monte_carlo(draws.reshape(1, -1), dependent=False), stored[parameter]["mean"], stored[parameter]["sd"]
        )
        assert max(gaps.values()) < 4, f"{parameter}: {gaps}"
    shares = np.bincount(after.reshape(-1).astype(int), minlength=16) / len(theta)
    expected = np.array(reference("Rate_4")["extra"]["postpredk_pmf"])
    assert (np.abs(shares - expected) <= 4 * np.sqrt(expected * (1 - expected) / len(theta)) + 1 / len(theta)).all()


# --- logistic regressions -----------------------------------------------------------------------------------------


def bundled(name: str) -> Table:
    frame = pandas.read_csv(BUNDLED / f"{name}.csv")
    return Table({column: frame[column].to_numpy() for column in frame}, f"{name}.csv", {})


def wells() -> tuple[LogisticRegression, Data]:
    """Priors so wide that they are flat: at sd 1000 they move a coefficient by 1e-8 of it."""
    rows = bundled("wells").columns
    d, a = (rows["dist"] - rows["dist"].mean()) / 100, rows["arsenic"] - rows["arsenic"].mean()
    flat: Any = "normal(0, 1000)"
    model = LogisticRegression("switched ~ d * a", standardise=False, prior=flat, intercept_prior=flat)
    return model, model.data(Table({"switched": rows["switched"], "d": d, "a": a}, "wells.csv", {}))


def german_credit() -> tuple[LogisticRegression, Data]:
    unit: Any = "normal(0, 1)"
    model = LogisticRegression("class ~ .", event=2, prior=unit, intercept_prior=unit)
    return model, model.data(bundled("german_credit"))


def weights(posterior: Posterior) -> np.ndarray:
    """Intercept and coefficients, `(chain, draw, 1 + terms)`."""
    return np.concatenate([posterior.draws["intercept"][..., None], posterior.draws["beta"]], axis=-1)


def test_nuts_finds_the_wells():
    model, data = wells()
    assert list(data.coords["term"]) == ["d", "a", "d:a"]
    posterior = fit(model, data, Nuts(num_chains=16, num_samples=200), seed=1)
    agrees(weights(posterior), ["alpha", "beta[1]", "beta[2]", "beta[3]"], "wells_interaction_c")
    assert posterior.facts["divergences"] == 0


def test_nuts_finds_the_german_credit():
    model, data = german_credit()
    assert list(data.coords["term"]) == [f"a{number}" for number in range(1, 25)]
    posterior = fit(model, data, Nuts(num_chains=16, num_samples=200), seed=1)
    agrees(weights(posterior), ["bias", *(f"w[{number}]" for number in range(1, 25))], "german_credit_logistic")
    assert posterior.facts["divergences"] == 0
