"""Observations left out by a mask: what is fitted is the density of the rest, in every family, program and backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import scipy.special
import scipy.stats
import torch
from cases import monte_carlo, off_by, table
from pyro import poutine

from experiments.criticism.scores import by_row
from inference import Exact, Hmc, Importance, Metropolis, Nuts, Svi, fit
from inference.density import LogDensity
from inference.kept import Kept, units_of
from inference.predict import log_likelihood
from inference.program import read
from inference.statements import prior_trace
from inference.streams import workspace
from models import BetaBernoulli, Data, GaussianMixture, HiddenMarkov, LogisticRegression, NaiveBayes, ZeroInflated

RNG = np.random.default_rng(3)
X, W, SEEN = RNG.normal(size=12), RNG.normal(size=12), RNG.integers(0, 2, 12)
COUNTS = np.array([0, 2, 1, 0, 0, 3, 1, 5, 0, 2, 0, 1])
LETTERS, THREE = ["a", "b"] * 6, ["a"] * 5 + ["b"] * 3 + ["c"] * 4


def of(model: Any, **columns: Any) -> tuple[Any, Data]:
    return model, model.data(table(**columns))


FAMILIES = {
    "beta_bernoulli": of(BetaBernoulli(), outcome=SEEN, group=LETTERS),
    "population": of(BetaBernoulli(pooling="partial"), successes=COUNTS, trials=COUNTS + 3, group=LETTERS),
    "logistic_regression": of(LogisticRegression("seen ~ x"), seen=SEEN, x=X),
    "varying": of(LogisticRegression("seen ~ x + (1 | letter)"), seen=SEEN, x=X, letter=LETTERS),
    "naive_bayes": of(NaiveBayes(binary=("seen",), number=("x", "w")), label=LETTERS, x=X, w=W, seen=SEEN),
    "gaussian_mixture": of(GaussianMixture(features=("x", "w"), covariance="full"), x=X, w=W),
    "zero_inflated": of(ZeroInflated("count ~ x"), count=COUNTS, x=X),
    "hidden_markov": of(HiddenMarkov(channels=("x", "w")), x=X, w=W, sequence=THREE),
}


def matrix(num_rows):
    """Three numbers in each row, of which the program itself leaves some out."""
    mean = pyro.sample("mean", dist.Normal(torch.zeros(3), 1.0).to_event(1))
    some = poutine.mask(mask=torch.tensor([True, False, True]))
    with pyro.plate("row", num_rows, dim=-2), pyro.plate("column", 3, dim=-1), some, poutine.scale(scale=2.0):
        pyro.sample("y", dist.Normal(mean, 1.0))


def vectors(num_rows):
    """A row is one value of a joint distribution."""
    mean = pyro.sample("mean", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.MultivariateNormal(mean, torch.eye(2)))


def labelled(num_rows):
    """A label for each row, which is summed out, and two sites that it ties to each other."""
    share = pyro.sample("share", dist.Beta(2.0, 2.0))
    with pyro.plate("row", num_rows):
        label = pyro.sample("label", dist.Bernoulli(share))
        pyro.sample("y", dist.Normal(label * 2.0, 1.0))
        pyro.sample("z", dist.Poisson(1.0 + label))


def effects(num_rows):
    """A value for each row."""
    spread = pyro.sample("spread", dist.HalfNormal(1.0))
    with pyro.plate("row", num_rows):
        effect = pyro.sample("effect", dist.Normal(0.0, spread))
        pyro.sample("y", dist.Normal(effect, 1.0))


def lengths(num_rows):
    """Two sites of the rows, and one of something else."""
    mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Normal(mean, 1.0))
    pyro.sample("other", dist.Normal(mean, 1.0).expand([3]))
    with pyro.plate("again", num_rows):
        pyro.sample("z", dist.Poisson(mean.exp()))


PROGRAMS = {
    "matrix": (matrix, Data({"num_rows": 4}, {"y": X.reshape(4, 3)})),
    "vectors": (vectors, Data({"num_rows": 6}, {"y": X.reshape(6, 2)})),
    "labelled": (labelled, Data({"num_rows": 12}, {"y": X, "z": COUNTS})),
    "effects": (effects, Data({"num_rows": 12}, {"y": X})),
    "lengths": (lengths, Data({"num_rows": 12}, {"y": X, "other": W[:3], "z": COUNTS})),
}
UNITS = {"hidden_markov": 3, "matrix": 4, "vectors": 6, "lengths": 15}


@pytest.mark.parametrize("name", [*FAMILIES, *PROGRAMS])
def test_the_density_is_that_of_all_rows_less_those_left_out(name):
    """log p(parameters, kept) = log p(parameters, all) - sum over rows left out of log p(row | parameters)."""
    model, data = {**FAMILIES, **PROGRAMS}[name]
    rng = np.random.default_rng(1)
    with workspace(2):
        program = read(model, data)
        units = units_of(program)
        assert units is not None and units.total == UNITS.get(name, 12)
        for _ in range(3):
            kept = rng.random(units.total) < 0.6
            other = read(Kept(model, units.masks(kept)), data)
            nodes = prior_trace(program.model, program.inputs).nodes
            at = {site.name: nodes[site.name]["value"].detach() for site in program.latent}
            rows = log_likelihood(program, {site: value[None] for site, value in at.items()})
            each = by_row({site: value.numpy()[None] for site, value in rows.items()})[0]
            expected = program.log_joint(at).item() - each[~kept].sum()
            assert other.log_joint(at).item() == pytest.approx(expected, rel=1e-10, abs=1e-9)
            assert (other.name, other.dims, other.loops) == (program.name, program.dims, program.loops)


@pytest.mark.parametrize("name", [*FAMILIES, "matrix", "effects", "lengths"])
def test_the_density_is_machine_code_all_the_same(name):
    model, data = {**FAMILIES, **PROGRAMS}[name]
    with workspace(2):
        units = units_of(read(model, data))
        assert units is not None
        program = read(Kept(model, units.masks(np.arange(units.total) % 3 > 0)), data)
        compiled, plain = LogDensity(program), LogDensity(program)
        compiled.settle(4, "always")
        plain.settle(4, "never")
        z = torch.randn(4, plain.size) * 0.3
        for one, other in zip(compiled(z), plain(z), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def test_rows_of_several_lengths_follow_each_other():
    """Rows without a label are rows of their own, and a label goes with its row's features."""
    model = NaiveBayes(number=("x",))
    data = model.data(table(label=["a", "b", "", "a", "", "b"], x=X[:6]))
    with workspace(0):
        program = read(model, data)
        units = units_of(program)
        found = log_likelihood(program, prior_draws(program))
    assert units is not None and dict(units.first) == {4: 0, 2: 4}
    masks = units.masks(np.array([True, True, False, True, False, True]))
    assert {name: mask.reshape(-1).tolist() for name, mask in masks.items()} == {
        "y": [True, True, False, True],
        "x_number": [True, True, False, True],
        "x_number_unlabelled": [False, True],
    }
    assert by_row({name: values.numpy()[None] for name, values in found.items()}).shape == (1, 6)


def prior_draws(program: Any) -> dict[str, torch.Tensor]:
    nodes = prior_trace(program.model, program.inputs).nodes
    return {site.name: nodes[site.name]["value"].detach()[None] for site in program.latent}


def chain(num_rows):
    """A label that moves from row to row: the rows hang together."""
    stay = pyro.sample("stay", dist.Beta(2.0, 2.0))
    state = 0
    for row in pyro.markov(range(num_rows)):
        state = pyro.sample(f"state_{row}", dist.Bernoulli(torch.where(torch.as_tensor(state) > 0, stay, 1 - stay)))
        pyro.sample(f"y_{row}", dist.Normal(2.0 * state, 1.0))


def shared(num_rows):
    """One label for all rows."""
    with pyro.plate("one", 1):
        label = pyro.sample("label", dist.Bernoulli(0.5))
    mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Normal(mean + label, 1.0))


def joint(num_rows):
    mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
    pyro.sample("y", dist.Normal(mean, 1.0).expand([num_rows]).to_event(1))


@pytest.mark.parametrize(
    ("model", "observed", "total"),
    [
        (chain, {f"y_{row}": np.array(X[row]) for row in range(4)}, 1),
        (shared, {"y": X[:4]}, None),
        (joint, {"y": X[:4]}, 1),
    ],
)
def test_observations_that_hang_together_are_no_units(model, observed, total):
    with workspace(0):
        units = units_of(read(model, Data({"num_rows": 4}, observed)))
    assert (None if units is None else units.total) == total


# --- every backend fits the rest


BACKENDS = {
    "exact": Exact(),
    "svi": Svi(guide="normal", num_restarts=1),
    "laplace": Importance(),
    "prior": Importance(proposal="prior"),
    "nuts": Nuts(num_chains=4, num_warmup=200, num_samples=500),
    "untraced": Nuts(num_chains=4, num_warmup=200, num_samples=500, compile="never"),
    "pyro": Nuts(engine="pyro", num_chains=1, num_warmup=100, num_samples=500),
    "hmc": Hmc(num_chains=4, num_warmup=200, num_samples=500),
    "metropolis": Metropolis(num_chains=4, num_warmup=300, num_samples=2000),
}


@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_fits_the_rest(name):
    """Of 3 ones and 9 zeros 2 ones and 4 zeros are kept: Beta(2 + 2, 2 + 4)."""
    model = BetaBernoulli(prior="beta(2, 2)")
    data = model.data(table(outcome=[1] * 3 + [0] * 9))
    kept = np.isin(np.arange(12), [0, 2, 5, 6, 9, 11])
    posterior = fit(Kept(model, {"y": kept}), data, BACKENDS[name], seed=1)
    draws = posterior.draws["theta"]
    if name == "exact":
        assert posterior.marginals["theta"].mean() == pytest.approx(0.4, abs=1e-12)
        assert posterior.facts["log_evidence"] == pytest.approx(
            scipy.special.betaln(4, 6) - scipy.special.betaln(2, 2), abs=1e-10
        )
    elif name == "svi":  # a normal on the scale of log odds, which no beta is
        assert draws.mean() == pytest.approx(0.4, abs=0.01)
    else:
        gaps = off_by(monte_carlo(draws, posterior.dependent), 0.4, scipy.stats.beta(4, 6).std())
        assert max(gaps.values()) < 4


def test_a_model_that_knows_where_to_start_still_does():
    model, data = FAMILIES["gaussian_mixture"]
    with workspace(0):
        assert read(Kept(model, {"y": np.arange(12) > 3}), data).starts is not None
        plain, plain_data = FAMILIES["logistic_regression"]
        assert read(Kept(plain, {"y": np.arange(12) > 3}), plain_data).starts is None
