"""Known answers of distributions and of data sets of counts: moments, conventions, published fits of every config."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from cases import DATA, monte_carlo, off_by, reference

from experiments import load_experiment
from experiments.prepare import prepare
from inference import Nuts, Svi, fit
from inference.conjugate import FAMILIES, Parameters
from models import Prior
from models.distributions.counts import NegativeBinomial, Poisson

CONFIGS = Path(__file__).parent / "configs"
EXACT = 1e-9


def real(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def moments(law: Poisson | NegativeBinomial) -> tuple[float, float]:
    """Mean and variance, summed over the probabilities."""
    y = torch.arange(0, 4000).double()
    p = law.log_prob(y).exp()
    mean = float(p @ y)
    return mean, float(p @ (y - mean) ** 2)


# --- DI1 to DI3, DI9: densities and moments -------------------------------------------------------------------------


def test_di1_a_density_may_exceed_one_and_a_literal_has_its_standard_deviation():
    half = Prior.parse("normal(0, 0.5)").distribution()
    assert float(half.log_prob(torch.tensor(0.0)).exp()) == pytest.approx(0.797884561, abs=1e-7)
    inside = half.cdf(torch.tensor(0.1)) - half.cdf(torch.tensor(-0.1))
    assert float(inside) == pytest.approx(0.158519419, abs=1e-7)
    tenth = Prior.parse("normal(0, 0.1)").distribution()
    assert float(tenth.log_prob(torch.tensor(0.0)).exp()) == pytest.approx(3.98942, abs=1e-5)
    coin = Prior.parse("bernoulli(0.7)").distribution()
    assert coin.log_prob(torch.tensor([1.0, 0.0])).exp().tolist() == pytest.approx([0.7, 0.3], abs=1e-6)


def test_di2_a_poisson_count_has_its_mean_as_variance():
    assert moments(Poisson(torch.log(real(3.0)))) == pytest.approx((3, 3), abs=EXACT)


@pytest.mark.parametrize(
    ("mean", "size", "variance"),
    [
        (5.0, 5.0, 10.0),  # SciPy's nbinom(5, 0.5)
        (35 / 3, 5.0, 350 / 9),  # SciPy's nbinom(5, 0.3): 11.667, 38.889
        (15 / 7, 5.0, 150 / 49),  # PyTorch's NegativeBinomial(5, 0.3), which counts the other event: 2.143, 3.061
    ],
)
def test_di3_a_negative_binomial_is_told_by_mean_and_size(mean, size, variance):
    assert moments(NegativeBinomial(torch.log(real(mean)), real(size))) == pytest.approx((mean, variance), rel=EXACT)
    theirs = scipy.stats.nbinom(size, size / (size + mean))
    assert (theirs.mean(), theirs.var()) == pytest.approx((mean, variance), rel=EXACT)


def test_di9_scores_are_normalised():
    scores = Parameters(torch.tensor([2.0, 1.0, 0.5]), torch.tensor([2.0, 1.0, 0.5]))
    assert FAMILIES["Dirichlet"].marginal(scores).mean() == pytest.approx([4 / 7, 2 / 7, 1 / 7], abs=1e-7)


# --- DI7: another likelihood is one word in the config --------------------------------------------------------------

LIKELIHOODS = [
    ("poisson", "inflated"),
    ("poisson", "hurdle"),
    ("poisson", "none"),
    ("negative_binomial", "inflated"),
    ("negative_binomial", "hurdle"),
    ("negative_binomial", "none"),
    ("lognormal", "hurdle"),
    ("gamma", "hurdle"),
]


def test_di7_the_likelihood_is_a_word_in_the_config():
    """The same rows under each likelihood: the data are the same, the largest log density is not."""
    best = {}
    for likelihood, zeros in LIKELIHOODS:
        words = [f"model.likelihood={likelihood}", f"model.zeros={zeros}"]
        words += ["model.zero_formula='1'"] if zeros == "none" else []
        model, data = prepare(load_experiment(CONFIGS / "biochemists.yaml", words))[:2]
        assert (model.likelihood, model.zeros) == (likelihood, zeros) and data.observed["y"].sum() == 1549
        posterior = fit(model, data, Svi(guide="map", num_restarts=1), seed=1)
        best[likelihood, zeros] = posterior.facts["final_elbo"]
    assert len({round(value, 3) for value in best.values()}) == len(LIKELIHOODS)
    counts = {key: value for key, value in best.items() if key[0] in ("poisson", "negative_binomial")}
    assert min(counts, key=counts.__getitem__) == ("poisson", "none"), "the published order: plain Poisson is last"


# --- published numbers of the configs -------------------------------------------------------------------------------


WIDE = "normal(0, 1000)"  # flat for all that matters
PUBLISHED = json.loads((DATA / "counts.published.json").read_text())


def published(dataset: str, start: str) -> dict[str, list[float]]:
    return next(e for e in PUBLISHED if e["dataset"] == dataset and e["model"].startswith(start))["values"]


FLAT = [
    *(f"model.{part}={WIDE}" for part in ("prior", "intercept_prior", "zero_prior", "zero_intercept_prior")),
    "model.dispersion_prior=exponential(1e-6)",
]


@pytest.mark.parametrize(
    ("name", "start"), [("biochemists", "ZIP, same"), ("nmes1988", "negative binomial hurdle")], ids=str
)
def test_the_config_under_flat_priors_has_its_mode_at_the_published_maximum(name, start):
    """pscl's zeroinfl and hurdle (Zeileis, Kleiber & Jackman 2008, Table 2), whose hurdle speaks of y > 0."""
    model, data = prepare(load_experiment(CONFIGS / f"{name}.yaml", FLAT))[:2]
    posterior = fit(model, data, Svi(guide="map"), seed=1)
    mode = {variable: row["mean"] for variable, row in posterior.summary().items()}
    sign = -1 if model.zeros == "hurdle" else 1
    compared = 0
    for theirs, (estimate, error) in published(name, start).items():
        part, term = theirs.split(":")
        stem = "zero_" if part == "zero" else ""
        health = re.sub(r"health(\w+)", r"C(health, contr.treatment('average'))[T.\1]", term)
        ours = f"{stem}intercept_raw" if term == "(Intercept)" else f"{stem}beta_raw[{health}]"
        if ours in mode:
            estimate *= sign if part == "zero" else 1
            assert abs(mode[ours] - estimate) < 0.01 * error, ours
            compared += 1
    assert compared == len(data.coords["term"]) + len(data.coords["zero_term"]) + 2


def test_roaches_have_the_stored_posterior():
    model, data = prepare(load_experiment(CONFIGS / "roaches.yaml"))[:2]
    posterior = fit(model, data, Nuts(num_chains=16, num_warmup=200, num_samples=250), seed=2)
    at = posterior.draws
    found = np.concatenate([at["intercept"][..., None], at["beta"], at["phi"][..., None]], axis=-1)
    rows = reference("roaches_negbin")["summary"]
    known = {key: [rows[name][key] for name in rows] for key in ("mean", "sd", "mcse_mean")}
    assert list(rows) == ["intercept", "roach1", "treatment", "senior", "phi"]
    gaps = off_by(monte_carlo(found, dependent=True), known["mean"], known["sd"], known["mcse_mean"])
    assert max(gaps.values()) < 4, gaps


def test_horse_kicks_are_plain_poisson():
    """Log-likelihoods of R's glm, one rate and one for each corps; counts of corps-years by Bortkiewicz."""
    flat = [f"model.{prior}={WIDE}" for prior in ("prior", "intercept_prior")]
    for formula, known in (("deaths ~ 1", -314.154461), ("deaths ~ C(corps)", -301.086026)):
        words = [*flat, f"model.formula={formula}", "model.standardise=false"]
        model, data = prepare(load_experiment(CONFIGS / "horse_kicks.yaml", words))[:2]
        y = data.observed["y"]
        assert np.bincount(y.astype(int)).tolist() == [144, 91, 32, 11, 2]
        assert (y.mean(), y.var(ddof=1)) == pytest.approx((0.7, 0.762724014), abs=1e-8)
        posterior = fit(model, data, Svi(guide="map", num_restarts=1), seed=1)
        at = {site: values[0, 0] for site, values in posterior.draws.items()}
        log_mu = at["intercept"] + (data.inputs["x"] @ at["beta"] if "beta" in at else 0.0)
        found = scipy.stats.poisson(np.exp(log_mu)).logpmf(y).sum()
        assert found == pytest.approx(known, abs=2e-4), formula


def test_horse_kicks_have_no_structural_zeros_to_tell_apart():
    """A control: plain Poisson counts make the remark, a thousand articles with excess zeros do not."""
    words = ["model.formula=deaths ~ 1", "model.zeros=inflated"]
    for name, more, weak in (("horse_kicks", words, True), ("biochemists", ["model.zero_formula='1'"], False)):
        model, data = prepare(load_experiment(CONFIGS / f"{name}.yaml", more))[:2]
        posterior = fit(model, data, Nuts(num_chains=8, num_warmup=200, num_samples=150), seed=1)
        remarks = model.remarks(posterior.draws, data)
        assert any("weakly identified" in sentence for sentence in remarks) == weak, name
        assert "a positive `zero_beta` means more zeros" in remarks[0]
        y = data.observed["y"]
        zeros = model.quantities(posterior.draws, data).draws["expected_zeros"]
        spread = math.hypot(zeros.std(), math.sqrt(len(y) * 0.25))
        assert abs(zeros.mean() - (y == 0).sum()) < 2 * spread, name
