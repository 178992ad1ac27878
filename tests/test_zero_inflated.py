"""The family zero_inflated: SciPy's likelihoods, published fits of R's packages, reference posteriors, refusals."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import numpy as np
import pandas
import pytest
import scipy.stats
import torch
from cases import DATA, monte_carlo, off_by, program_of, reference, table
from pydantic import ValidationError
from scipy.special import expit

from inference import Nuts, Svi, fit
from inference.arviz_bridge import diagnostics
from inference.density import LogDensity
from inference.posterior import Posterior
from inference.predict import log_likelihood, predictive
from inference.streams import workspace
from models import Data, InputError, Table
from models.outcome_parts import Parts
from models.zero_inflated import ZeroInflated
from models.zero_remarks import identified

COMBINATIONS = [
    *(
        (likelihood, zeros)
        for likelihood in ("poisson", "negative_binomial")
        for zeros in ("inflated", "hurdle", "none")
    ),
    ("lognormal", "hurdle"),
    ("gamma", "hurdle"),
]
ROWS = table(
    y=[0, 3, 0, 1, 12, 0, 2],
    x=[1.0, 2.0, 4.0, 7.0, 11.0, 3.0, 5.0],
    g=["a", "b", "a", "a", "b", "b", "a"],
    time=[0.5, 1.0, 2.0, 4.0, 3.0, 1.0, 0.1],
)
WIDE: Any = "normal(0, 1000)"
# flat for all that matters: at sd 1000 a prior moves a coefficient by 1e-7 of its standard error squared
FLAT: dict[str, Any] = {
    "standardise": False,
    **dict.fromkeys(("prior", "intercept_prior", "zero_prior", "zero_intercept_prior"), WIDE),
    "dispersion_prior": "exponential(1e-6)",
}


def model(likelihood: str, zeros: str, formula: str = "y ~ x", zero_formula: str = "g", **more: Any) -> ZeroInflated:
    zero_formula = "1" if zeros == "none" else zero_formula
    return ZeroInflated(formula, zero_formula, likelihood=likelihood, zeros=zeros, **more)  # type: ignore[arg-type]


def stored(name: str) -> Table:
    frame = pandas.read_csv(DATA / f"{name}.csv")
    columns = {column: frame[column].to_numpy() for column in frame}
    if name == "nmes1988":
        columns["health"] = columns["health"].astype(object)
    if name == "roaches":
        columns["roach1"] = columns["roach1"] / 100
    return Table(columns, f"{name}.csv", {})


# --- the density --------------------------------------------------------------------------------------------------


def density_of(likelihood: str, zeros: str, y: np.ndarray, mu: np.ndarray, p: np.ndarray, spread: float) -> np.ndarray:
    """The probability or density of each outcome, by SciPy and the definition."""
    laws = {
        "poisson": scipy.stats.poisson(mu),
        "negative_binomial": scipy.stats.nbinom(spread, spread / (spread + mu)),
        "lognormal": scipy.stats.lognorm(spread, scale=mu),
        "gamma": scipy.stats.gamma(spread, scale=mu / spread),
    }
    law = laws[likelihood]
    if likelihood in ("lognormal", "gamma"):
        return np.where(y == 0, p, (1 - p) * law.pdf(np.maximum(y, 1e-9)))
    of = {
        "none": law.pmf(y),
        "inflated": p * (y == 0) + (1 - p) * law.pmf(y),
        "hurdle": np.where(y == 0, p, (1 - p) * law.pmf(y) / law.sf(0)),
    }
    return of[zeros]


POINT = {"zero_intercept": -0.4, "zero_beta": [0.9], "intercept": 0.2, "beta": [0.13]}
SPREADS = {"negative_binomial": ("phi", 1.7), "lognormal": ("sigma", 0.6), "gamma": ("shape", 2.3)}


@pytest.mark.parametrize(("likelihood", "zeros"), COMBINATIONS)
def test_the_log_joint_is_the_sum_of_its_parts(likelihood, zeros):
    found = model(likelihood, zeros, exposure="time", standardise=False)
    at: dict[str, Any] = {key: value for key, value in POINT.items() if zeros != "none" or not key.startswith("zero")}
    name, spread = SPREADS.get(likelihood, ("", 1.0))
    at |= {name: spread} if name else {}
    with workspace(0):
        program = program_of(found, found.data(ROWS))
        assert {site.name for site in program.latent} == set(at)
        joint = float(program.log_joint({key: torch.as_tensor(value) for key, value in at.items()}))
    x, y = ROWS.columns["x"], ROWS.columns["y"].astype(float)
    mu = ROWS.columns["time"] * np.exp(0.2 + 0.13 * x)
    p = expit(-0.4 + 0.9 * (ROWS.columns["g"] == "b"))
    expected = np.log(density_of(likelihood, zeros, y, mu, p, spread)).sum()
    scales = {"zero_intercept": 2.5, "zero_beta": 2.5, "intercept": 5.0, "beta": 2.5}
    expected += sum(scipy.stats.norm(0, scales[key]).logpdf(at[key]).sum() for key in at if key in scales)
    expected += scipy.stats.expon.logpdf(spread) if name else 0.0
    assert joint == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("likelihood", "zeros"), COMBINATIONS)
def test_the_density_becomes_machine_code(likelihood, zeros):
    found = model(likelihood, zeros, exposure="time")
    with workspace(3):
        density = LogDensity(program_of(found, found.data(ROWS)))
        z = torch.randn(16, density.size)
        value, gradient = density(z)
        density.settle(16, "always")
        assert density.untraced is None and density.kernel is not None
        again, slope = density(z)
    assert again.numpy() == pytest.approx(value.numpy(), rel=1e-9)
    assert slope.numpy() == pytest.approx(gradient.numpy(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("likelihood", "zeros"), COMBINATIONS)
def test_the_gradient_is_finite_far_from_the_data(likelihood, zeros):
    found = model(likelihood, zeros, exposure="time")
    with workspace(4):
        density = LogDensity(program_of(found, found.data(ROWS)))
        for scale in (0.0, 2.0, 20.0):
            value, gradient = density(scale * torch.randn(200, density.size).clamp(-2, 2))
            assert torch.isfinite(value).all() and torch.isfinite(gradient).all(), scale


def test_the_exposure_multiplies_the_mean():
    """Twice the exposure everywhere is a smaller intercept by log 2."""
    one = model("poisson", "inflated", exposure="time", **FLAT)
    twice = Table({**ROWS.columns, "time": 2 * ROWS.columns["time"]}, "rows.csv", {})
    with workspace(0):
        at = {key: torch.as_tensor(value) for key, value in POINT.items()}
        moved = {**at, "intercept": at["intercept"] - np.log(2)}
        found = program_of(one, one.data(ROWS)).log_joint(at)
        again = program_of(one, one.data(twice)).log_joint(moved)
    assert float(found) == pytest.approx(float(again), abs=1e-6)  # the wide prior alone knows the difference


def test_both_scales_are_one_posterior():
    found = model("poisson", "inflated", "y ~ x + time", "x")
    data = found.data(ROWS)
    at = {"zero_intercept": -0.4, "zero_beta": [0.9], "intercept": 0.2, "beta": [0.5, -0.3]}
    with workspace(0):
        program = program_of(found, data)
        nodes = program.trace({key: torch.as_tensor(value) for key, value in at.items()}).nodes
        raw = {site.name: nodes[site.name]["value"].numpy() for site in program.deterministic}
        fn = nodes["y"]["fn"]
    x = np.column_stack([ROWS.columns["x"], ROWS.columns["time"]])
    assert data.inputs["x"].std(axis=0) == pytest.approx([1, 1])
    assert fn.counts.log_mean.numpy() == pytest.approx(raw["intercept_raw"] + x @ raw["beta_raw"])
    assert fn.zero_logit.numpy() == pytest.approx(raw["zero_intercept_raw"] + x[:, :1] @ raw["zero_beta_raw"])


# --- published fits -----------------------------------------------------------------------------------------------

PUBLISHED = json.loads((DATA / "counts.published.json").read_text())
CHOICES = {
    "Poisson regr": ("poisson", "none"),
    "negative binomial regr": ("negative_binomial", "none"),
    "ZIP": ("poisson", "inflated"),
    "ZINB": ("negative_binomial", "inflated"),
    "Poisson hurdle": ("poisson", "hurdle"),
    "negative binomial hurdle": ("negative_binomial", "hurdle"),
}
OUTCOMES = {"biochemists": "art", "nmes1988": "visits", "roaches": "y"}


def of_r(entry: dict[str, Any]) -> tuple[ZeroInflated, Data, dict[str, Any], dict[str, Any]]:
    """A published fit: our model and data under flat priors, R's estimates by our sites, and their standard errors."""
    likelihood, zeros = next(choice for start, choice in CHOICES.items() if entry["model"].startswith(start))
    values = {key.removeprefix("count:"): value for key, value in entry["values"].items()}
    health = "C(health, contr.treatment('average'))"
    term = {"healthexcellent": health, "healthpoor": health}
    # each term once: a factor has two coefficients
    right = [
        list(dict.fromkeys(term.get(key, key) for key in keys if key != "(Intercept)"))
        for keys in (
            [key for key in values if not key.startswith("zero:")],
            [key.removeprefix("zero:") for key in values if key.startswith("zero:")],
        )
    ]
    formula, zero_formula = (" + ".join(terms) or "1" for terms in right)
    found = model(
        likelihood,
        zeros,
        f"{OUTCOMES[entry['dataset']]} ~ {formula}",
        zero_formula,
        exposure="exposure2" if entry["dataset"] == "roaches" else None,
        **FLAT,
    )
    data = found.data(stored(entry["dataset"]))
    # R's hurdle speaks of y > 0
    sign = -1 if zeros == "hurdle" else 1

    def pairs(part: str, ours: str, sign: int) -> dict[str, Any]:
        names = [re.sub(r"C\((\w+).*\)\[T\.(\w+)\]", r"\1\2", term) for term in data.coords[f"{ours}term"]]
        beta = np.array([values[part + name] for name in names]).reshape(-1, 2)
        sites = {f"{ours}intercept": np.array(values[f"{part}(Intercept)"])}
        sites |= {f"{ours}beta": beta} if names else {}
        return {site: (sign * pair[..., 0], pair[..., 1]) for site, pair in sites.items()}

    sites = pairs("", "", 1) | (pairs("zero:", "zero_", sign) if zeros != "none" else {})
    if "size" in entry:
        sites["phi"] = tuple(np.array(number) for number in entry["size"])
    return found, data, {key: pair[0] for key, pair in sites.items()}, {key: pair[1] for key, pair in sites.items()}


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: f"{entry['dataset']}: {entry['model']}")
def test_the_likelihood_at_a_published_estimate_is_the_published_one(entry):
    found, data, estimates, errors = of_r(entry)
    with workspace(0):
        program = program_of(found, data)
        at = {key: torch.as_tensor(value)[None] for key, value in estimates.items()}
        total = float(log_likelihood(program, at)["y"].sum())
        latents = {key: torch.as_tensor(value).requires_grad_() for key, value in estimates.items()}
        slopes = torch.autograd.grad(program.log_joint(latents), list(latents.values()))
    assert total == pytest.approx(entry["log_likelihood"], rel=1e-8), "printed with nine digits"
    # at a maximum, a standard error's step changes nothing in the first order
    for (name, error), slope in zip(errors.items(), slopes, strict=True):
        assert np.abs(slope.numpy() * error).max() < 0.02, name


MAXIMA = [entry for entry in PUBLISHED if "hurdle" in entry["model"] or "ZI" in entry["model"]]


@pytest.mark.parametrize("entry", MAXIMA, ids=lambda entry: f"{entry['dataset']}: {entry['model']}")
def test_the_mode_under_flat_priors_is_the_published_maximum(entry):
    found, _, estimates, errors = of_r(entry)
    # on the standardised scale a start at random is not absurd; flat priors are flat on both
    found = dataclasses.replace(found, standardise=True)
    posterior = fit(found, found.data(stored(entry["dataset"])), Svi(guide="map"), seed=1)
    for name, value in estimates.items():
        site = name if name == "phi" or f"{name}_raw" not in posterior.draws else f"{name}_raw"
        gap = np.abs(posterior.draws[site].reshape(-1, *value.shape)[0] - value) / errors[name]
        assert gap.max() < 1e-2, f"{name}: {gap} standard errors"


@pytest.mark.parametrize(
    ("name", "zeros"),
    [
        ("Poisson regression", 47),
        ("negative binomial regression", 608),
        ("negative binomial hurdle", 683),
        ("ZINB", 709),
    ],
)
def test_expected_zeros_are_the_published_ones(name, zeros):
    """Zeileis, Kleiber & Jackman (2008), Table 2."""
    entry = next(e for e in PUBLISHED if e["dataset"] == "nmes1988" and e["model"].startswith(name))
    found, data, estimates, _ = of_r(entry)
    with workspace(0):
        program = program_of(found, data)
        trace = program.trace({key: torch.as_tensor(value) for key, value in estimates.items()})
        expected = float(trace.nodes["y"]["fn"].log_prob(torch.zeros(len(data.observed["y"]))).exp().sum())
    assert round(expected) == zeros


def test_amounts_alone_have_known_maxima():
    rng = np.random.default_rng(5)
    y = np.where(rng.random(400) < 0.3, 0.0, rng.gamma(1.4, 200.0, 400))
    above, rows = y[y > 0], table(y=y)
    zero = np.log((y == 0).sum() / (y > 0).sum())
    shape, _, scale = scipy.stats.gamma.fit(above, floc=0)
    truths = {
        "lognormal": {"intercept": np.log(above).mean(), "sigma": np.log(above).std(), "zero_intercept": zero},
        "gamma": {"intercept": np.log(shape * scale), "shape": shape, "zero_intercept": zero},
    }
    for likelihood, truth in truths.items():
        found = model(likelihood, "hurdle", "y ~ 1", "1", **FLAT)
        posterior = fit(found, found.data(rows), Svi(guide="map"), seed=1)
        for name, value in truth.items():
            assert float(posterior.draws[name].reshape(-1)[0]) == pytest.approx(value, rel=1e-4), (likelihood, name)


# --- reference posteriors -----------------------------------------------------------------------------------------


def agrees(draws: np.ndarray, parameters: list[str], name: str) -> None:
    summary = reference(name)["summary"]
    columns = {key: np.array([summary[p][key] for p in parameters]) for key in ("mean", "sd", "mcse_mean")}
    gaps = off_by(monte_carlo(draws, dependent=True), columns["mean"], columns["sd"], columns["mcse_mean"])
    assert max(gaps.values()) < 4, f"{name}: {gaps}"


def joined(posterior: Posterior, *sites: str) -> np.ndarray:
    """Draws of several sites side by side, `(chain, draw, all)`."""
    draws = [posterior.draws[site] for site in sites]
    return np.concatenate([values.reshape(*values.shape[:2], -1) for values in draws], axis=-1)


FIVE: Any = "normal(0, 5)"
NUTS = Nuts(num_warmup=300, num_samples=200, metric="dense")


def test_nuts_finds_the_zero_inflated_poisson():
    """The reference has a uniform p, the family a normal logit: the draws are weighted by the priors' ratio."""
    found = ZeroInflated("art ~ fem + mar + kid5 + phd + ment", standardise=False, prior=FIVE, intercept_prior=FIVE)
    posterior = fit(found, found.data(stored("biochemists")), NUTS, seed=1)
    logit = posterior.draws["zero_intercept"]
    values = np.concatenate([joined(posterior, "intercept", "beta"), expit(logit)[..., None]], axis=-1)
    weights = expit(logit) * expit(-logit) / scipy.stats.norm(0, 2.5).pdf(logit)
    weights = (weights / weights.mean())[..., None]
    mean = (weights * values).mean(axis=(0, 1))
    variance = (weights * (values - mean) ** 2).mean(axis=(0, 1))
    # the error of a weighted mean is that of the mean of its influences
    of_mean = diagnostics(weights * (values - mean))["mcse_mean"]
    of_variance = diagnostics(weights * ((values - mean) ** 2 - variance))["mcse_mean"]
    weighted = {
        "mean": mean,
        "mean_error": of_mean,
        "sd": np.sqrt(variance),
        "sd_error": of_variance / (2 * np.sqrt(variance)),
    }
    summary = reference("biochemists_zip")["summary"]
    assert list(summary) == ["intercept", "fem", "mar", "kid5", "phd", "ment", "pi"]
    known = {key: [row[key] for row in summary.values()] for key in ("mean", "sd", "mcse_mean")}
    gaps = off_by(weighted, known["mean"], known["sd"], known["mcse_mean"])
    assert max(gaps.values()) < 4, gaps


def test_nuts_finds_the_negative_binomial():
    found = ZeroInflated(
        "y ~ roach1 + treatment + senior",
        likelihood="negative_binomial",
        zeros="none",
        exposure="exposure2",
        standardise=False,
    )
    posterior = fit(found, found.data(stored("roaches")), NUTS, seed=1)
    names = ["intercept", "roach1", "treatment", "senior", "phi"]
    agrees(joined(posterior, "intercept", "beta", "phi"), names, "roaches_negbin")


def test_nuts_finds_the_hurdle():
    health = "C(health, contr.treatment('average'))"
    found = ZeroInflated(
        f"visits ~ hospital + {health} + chronic + male + school + insurance",
        "hospital + chronic + insurance + school + male",
        likelihood="negative_binomial",
        zeros="hurdle",
        standardise=False,
        prior=FIVE,
        intercept_prior=FIVE,
        zero_prior=FIVE,
        zero_intercept_prior=FIVE,
    )
    posterior = fit(found, found.data(stored("nmes1988")), NUTS, seed=1)
    terms = ["intercept", "hospital", "health_excellent", "health_poor", "chronic", "male", "school", "insurance"]
    names = [f"count_{term}" for term in terms]
    agrees(joined(posterior, "intercept", "beta", "phi"), [*names, "phi"], "nmes1988_hurdle_negbin")
    names = [f"hurdle_{term}" for term in ("intercept", "hospital", "chronic", "insurance", "school", "male")]
    # the reference's hurdle speaks of y > 0
    agrees(-joined(posterior, "zero_intercept", "zero_beta"), names, "nmes1988_hurdle_negbin")


# --- what a run is used for ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("likelihood", "zeros"), COMBINATIONS)
def test_the_truth_of_simulated_rows_is_found(likelihood, zeros):
    """Every parameter within 4 posterior standard deviations, and the intervals are not wide for no reason."""
    rng = np.random.default_rng(17)
    x = rng.normal(size=1500)
    rows = table(y=np.zeros(1500), x=x, g=np.where(rng.random(1500) < 0.5, "a", "b"), time=rng.uniform(0.5, 2, 1500))
    found = model(likelihood, zeros, exposure="time", standardise=False)
    truth: dict[str, Any] = {"zero_intercept": -0.8, "zero_beta": [1.1], "intercept": 0.7, "beta": [0.4]}
    truth = {key: value for key, value in truth.items() if zeros != "none" or not key.startswith("zero")}
    name = SPREADS.get(likelihood, ("", 1.0))[0]
    truth |= {name: 1.5} if name else {}
    unseen = found.data(rows, observed=False)
    with workspace(18):
        program = program_of(found, found.data(Table({**rows.columns, "y": np.arange(1500.0) % 2}, "rows.csv", {})))
        at = {key: torch.as_tensor(value)[None] for key, value in truth.items()}
        y = predictive(program, at)["y"][0].numpy()
    data = Data(unseen.inputs, {"y": y}, unseen.coords, unseen.dims)
    posterior = fit(found, data, Svi(guide="laplace", num_restarts=1, num_samples=500), seed=1)
    for key, value in truth.items():
        draws = posterior.draws[key].reshape(500, -1)
        assert (np.abs(draws.mean(axis=0) - np.asarray(value)) <= 4 * draws.std(axis=0)).all(), key
        assert (draws.std(axis=0) < 0.35).all(), key


@pytest.mark.parametrize("likelihood", ["poisson", "negative_binomial"])
def test_a_structural_zero_has_the_probability_of_bayes_rule(likelihood):
    found = model(likelihood, "inflated", exposure="time", standardise=False)
    data = found.data(ROWS)
    rng = np.random.default_rng(3)
    draws = {key: np.asarray(value) + rng.normal(size=(2, 5, *np.shape(value))) for key, value in POINT.items()}
    draws["phi"] = rng.gamma(2, size=(2, 5))
    probabilities = found.structural_zero(draws, data)
    assert probabilities.shape == (2, 5, 7)
    y, x, time = (ROWS.columns[name].astype(float) for name in ("y", "x", "time"))
    for chain, draw in np.ndindex(2, 5):
        at = {key: values[chain, draw] for key, values in draws.items()}
        mu = time * np.exp(at["intercept"] + at["beta"] * x)
        p = expit(at["zero_intercept"] + at["zero_beta"] * (ROWS.columns["g"] == "b"))
        marginal = density_of(likelihood, "inflated", np.zeros(7), mu, p, float(at["phi"]))
        assert probabilities[chain, draw] == pytest.approx(np.where(y == 0, p / marginal, 0), abs=1e-12)
    ahead = found.structural_zero(draws, found.data(ROWS, observed=False))
    assert (ahead > 0).all() and ahead[..., y == 0] == pytest.approx(probabilities[..., y == 0])


def test_a_hurdle_has_no_structural_zeros():
    with pytest.raises(InputError, match="^model.zeros: no zero is structural with `zeros: hurdle`; ask it of a model"):
        model("poisson", "hurdle").structural_zero({}, Data())


# --- refusals -----------------------------------------------------------------------------------------------------


def test_the_exposure_is_a_predictor_only_where_it_is_named():
    columns = {key: ROWS.columns[key] for key in ("y", "x", "time")}
    rows = Table(columns, "rows.csv", {})
    terms = ZeroInflated("y ~ .", "x + log(time)", exposure="time").data(rows).coords
    assert terms == {"term": ["x"], "zero_term": ["x", "log(time)"]}


def test_a_zero_part_without_intercept():
    data = ZeroInflated("y ~ x", "0 + g").data(ROWS)
    assert data.coords["zero_term"] == ["g[a]", "g[b]"] and not data.inputs["zero_has_intercept"]


def test_counts_that_are_never_zero_are_fine_behind_a_hurdle_or_without_one():
    for zeros in ("hurdle", "none"):
        assert model("poisson", zeros, "y ~ x", "1").data(table(y=[1, 2, 1], x=[1.0, 2.0, 4.0])).observed["y"].all()


def refused(y: Any = (0, 1, 2), rows: dict[str, Any] | None = None, **settings: Any) -> tuple[dict[str, Any], Any]:
    columns = {"y": np.asarray(y), "x": [1.0, 2.0, 4.0], "time": [1.0, 2.0, 0.5], **(rows or {})}
    return columns, {"formula": "y ~ x", **settings}


WHOLE = "must be a whole number, 0 or more"
AMOUNT = {"likelihood": "gamma", "zeros": "hurdle"}
REFUSED = {
    "a negative count": (refused([0, -1, 2]), f"rows.csv, column `y`, row 2: {WHOLE}, got -1; correct it"),
    "a fraction": (refused([0, 1, 2.5]), f"rows.csv, column `y`, row 3: {WHOLE}, got 2.5; correct it"),
    "a missing count": (
        refused([0, np.nan, 2]),
        "rows.csv, column `y`, row 2: must be a number, got an empty cell or NaN; "
        "fill the cell in or leave the row out",
    ),
    "an infinite count": (
        refused([0, np.inf, 2]),
        "rows.csv, column `y`, row 2: must be finite, got inf; correct the value or leave the row out",
    ),
    "a word": (
        refused(np.array([0, "many", 2], dtype=object)),
        "rows.csv, column `y`, row 2: must be a number, got 'many'; correct the value or map another column",
    ),
    "a negative amount": (
        refused([0, 1.5, -2.5], **AMOUNT),
        "rows.csv, column `y`, row 3: must be 0 or more, got -2.5; correct it or leave the row out",
    ),
    "zeros alone": (
        refused([0, 0, 0]),
        "rows.csv, column `y`: is 0 in every row, so nothing can be learnt of what is above 0; "
        "give rows with other outcomes, too",
    ),
    "no zeros": (
        refused([1, 3, 2]),
        "rows.csv, column `y`: is never 0, so nothing can be learnt of structural zeros; "
        "set `zeros: none`, or `hurdle` where zeros went unrecorded",
    ),
    "no exposure": (
        refused(rows={"time": [1.0, 0.0, 2.0]}, exposure="time"),
        "rows.csv, column `time`, row 2: must be above 0, got 0; correct it or leave the row out",
    ),
    "a missing exposure": (
        refused(rows={"time": [1.0, 2.0, np.nan]}, exposure="time"),
        "rows.csv, column `time`, row 3: must be a number, got an empty cell or NaN; "
        "fill the cell in or leave the row out",
    ),
    "an unknown exposure": (
        refused(exposure="tiem"),
        "rows.csv: there is no column `tiem`; did you mean `time`?",
    ),
    "the outcome as exposure": (
        refused(exposure="y"),
        "model.exposure: `y` is the outcome; name the column of exposures",
    ),
    "a left side of the zeros": (
        refused(zero_formula="y ~ x"),
        "model.zero_formula: has no left side, got 'y ~ x'; write its right side alone, like `1 + x`",
    ),
    "an unknown predictor of zeros": (
        refused(zero_formula="tim"),
        "model.zero_formula: `tim` is not a column of rows.csv; did you mean `time`?",
    ),
    "the outcome among its predictors": (
        refused(zero_formula="y"),
        "model.zero_formula: the outcome `y` is also a predictor, got '`y` ~ y'; take it out of the right side",
    ),
    "nothing to say of zeros": (
        refused(zero_formula="0"),
        "model.zero_formula: has neither predictors nor an intercept; give it at least the intercept, `1`",
    ),
    "nothing to say of counts": (
        refused(formula="y ~ 0"),
        "model.formula: has neither predictors nor an intercept; give it at least the intercept, `1`",
    ),
    "a constant predictor": (
        refused(rows={"time": [2.0, 2.0, 2.0]}, zero_formula="time"),
        "rows.csv, term `time`: is the same in every row, so it cannot be standardised; "
        "leave it out of the formula or set `standardise: false`",
    ),
    "an empty predictor": (
        refused(rows={"x": [1.0, np.nan, 2.0]}),
        "rows.csv, column `x`, row 2: must not be empty, got an empty cell or NaN; "
        "fill the cell in or leave the row out",
    ),
}


@pytest.mark.parametrize(("given", "sentence"), REFUSED.values(), ids=REFUSED)
def test_wrong_input_is_refused_by_column_and_row(given, sentence):
    columns, settings = given
    with pytest.raises(InputError) as error:
        ZeroInflated(**settings).data(table(**columns))
    assert str(error.value) == sentence


CONTRADICTIONS = {
    "a density at zero": (
        {"likelihood": "gamma"},
        "`likelihood: gamma` has no zeros and goes with `zeros: hurdle` alone, got `zeros: inflated`; "
        "set `zeros: hurdle`",
    ),
    "amounts without zeros": (
        {"likelihood": "lognormal", "zeros": "none"},
        "`likelihood: lognormal` has no zeros and goes with `zeros: hurdle` alone, got `zeros: none`; "
        "set `zeros: hurdle`",
    ),
    "a formula for nothing": (
        {"zeros": "none", "zero_formula": "x"},
        "`zero_formula` has no part to play with `zeros: none`, got 'x'; leave it out, or set `zeros: inflated`",
    ),
}


@pytest.mark.parametrize(("settings", "sentence"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_settings_that_contradict_each_other_are_refused(run_cli, tmp_path, settings, sentence):
    with pytest.raises(ValidationError, match=re.escape(sentence)):
        ZeroInflated("y ~ x", **settings)
    words = ", ".join(f"{key}: {value}" for key, value in settings.items())
    config = f"name: x\nmodel: {{family: zero_inflated, formula: y ~ x, {words}}}\ndata: {{values: {{y: [0, 1]}}}}\n"
    (tmp_path / "x.yaml").write_text(config + "inference: nuts\n")
    assert run_cli("check", "x.yaml") == (1, "", f"error: x.yaml:2: model: {sentence}\n")


# --- quantities, predictions, remarks -----------------------------------------------------------------------------

EVENTS = np.arange(0, 400)


def moments(likelihood: str, zeros: str, mu: float, p: float, spread: float) -> tuple[float, float, float]:
    """P(y = 0), mean and standard deviation of one outcome, by SciPy and the definition."""
    if likelihood in ("poisson", "negative_binomial"):
        pmf = density_of(likelihood, zeros, EVENTS, np.full(400, mu), np.full(400, p), spread)
        mean = pmf @ EVENTS
        return pmf[0], mean, float(np.sqrt(pmf @ (EVENTS - mean) ** 2))
    law = (
        scipy.stats.lognorm(spread, scale=mu)
        if likelihood == "lognormal"
        else scipy.stats.gamma(spread, scale=mu / spread)
    )
    mean = (1 - p) * law.mean()
    return p, mean, float(np.sqrt((1 - p) * (law.var() + law.mean() ** 2) - mean**2))


@pytest.mark.parametrize(("likelihood", "zeros"), COMBINATIONS)
def test_predictions_are_those_of_the_distribution(likelihood, zeros):
    """One point of parameters as 20,000 draws: what is predicted is known but for the sampled interval."""
    found = model(likelihood, zeros, exposure="time")
    name, spread = SPREADS.get(likelihood, ("", 1.0))
    at: dict[str, Any] = {key: value for key, value in POINT.items() if zeros != "none" or not key.startswith("zero")}
    at |= {name: spread} if name else {}
    draws = {key: np.broadcast_to(value, (4, 5000, *np.shape(value))) for key, value in at.items()}
    new = table(x=[3.0, 9.0], g=["b", "a"], time=[2.0, 0.4])
    told = found.predict(draws, ROWS, new, mass=0.8)
    names = ["mean", "lower", "upper", "P(y=0)"]
    assert list(told) == names + (["P(structural zero)", "P(structural | y=0)"] if zeros == "inflated" else [])
    x, g = ROWS.columns["x"], ROWS.columns["g"] == "b"
    for row in (0, 1):
        z = (new.columns["x"][row] - x.mean()) / x.std()
        mu = float(new.columns["time"][row] * np.exp(0.2 + 0.13 * z))
        p = 0.0 if zeros == "none" else float(expit(-0.4 + 0.9 * ((new.columns["g"][row] == "b") - g.mean()) / g.std()))
        zero, mean, _ = moments(likelihood, zeros, mu, p, spread)
        assert told["P(y=0)"][row] == pytest.approx(zero, abs=1e-9)
        assert told["mean"][row] == pytest.approx(mean, abs=1e-9)
        if zeros == "inflated":
            assert told["P(structural zero)"][row] == pytest.approx(p, abs=1e-9)
            assert told["P(structural | y=0)"][row] == pytest.approx(p / zero, abs=1e-9)
        for name, q in (("lower", 0.1), ("upper", 0.9)):
            below = zero if likelihood in ("lognormal", "gamma") else 0.0
            if likelihood in ("poisson", "negative_binomial"):
                pmf = density_of(likelihood, zeros, EVENTS, np.full(400, mu), np.full(400, p), spread)
                steps = np.searchsorted(np.cumsum(pmf), [q - 0.01, q + 0.01])
                assert steps[0] <= told[name][row] <= steps[1]
            elif q <= below:
                assert told[name][row] == 0
            else:
                law = {
                    "lognormal": scipy.stats.lognorm(spread, scale=mu),
                    "gamma": scipy.stats.gamma(spread, scale=mu / spread),
                }[likelihood]
                ends = law.ppf([(q - s - below) / (1 - below) if q - s > below else 0 for s in (0.0125, -0.0125)])
                assert ends[0] <= told[name][row] <= ends[1]


@pytest.mark.parametrize(("likelihood", "zeros"), COMBINATIONS)
def test_sampled_outcomes_have_the_mean_and_the_spread(likelihood, zeros):
    spread = SPREADS.get(likelihood, ("", 1.0))[1]
    size = (40_000, 1)
    at = Parts(
        likelihood,
        zeros,
        np.full(size, 0.4),
        None if zeros == "none" else np.full(size, -0.7),
        None if likelihood == "poisson" else np.full(size, spread),
    )
    y = at.sample(np.random.default_rng(2))[:, 0]
    p = 0.0 if zeros == "none" else float(expit(-0.7))
    zero, mean, sd = moments(likelihood, zeros, float(np.exp(0.4)), p, spread)
    assert max(off_by(monte_carlo(y[None], dependent=False), mean, sd).values()) < 4
    assert abs((y == 0).mean() - zero) < 4 * np.sqrt(zero * (1 - zero) / len(y)) + 1e-12


def test_quantities_are_sums_over_rows():
    found = model("negative_binomial", "inflated", exposure="time")
    data = found.data(ROWS)
    rng = np.random.default_rng(3)
    draws = {key: np.asarray(value) + 0.1 * rng.normal(size=(2, 3, *np.shape(value))) for key, value in POINT.items()}
    draws |= {"phi": rng.gamma(2, size=(2, 3)), "beta_raw": draws["beta"] / 2, "zero_beta_raw": draws["zero_beta"] / 3}
    told = found.quantities(draws, data)
    assert told.dims == {"rate_ratio": ("term",), "zero_odds_ratio": ("zero_term",)}
    assert told.draws["rate_ratio"] == pytest.approx(np.exp(draws["beta"] / 2))
    assert told.draws["zero_odds_ratio"] == pytest.approx(np.exp(draws["zero_beta"] / 3))
    at = {key: values[1, 2] for key, values in draws.items()}
    mu = np.exp(at["intercept"] + data.inputs["x"] @ at["beta"] + data.inputs["log_exposure"])
    p = expit(at["zero_intercept"] + data.inputs["zero_x"] @ at["zero_beta"])
    zero = density_of("negative_binomial", "inflated", np.zeros(7), mu, p, float(at["phi"]))
    assert told.draws["expected_zeros"][1, 2] == pytest.approx(zero.sum())
    assert told.draws["structural_zeros"][1, 2] == pytest.approx(p.sum())
    assert told.draws["expected_mean"][1, 2] == pytest.approx(((1 - p) * mu).mean())
    behind = model("poisson", "hurdle", standardise=False)
    told = behind.quantities({key: values for key, values in draws.items() if "raw" not in key}, behind.data(ROWS))
    assert set(told.draws) == {"rate_ratio", "zero_odds_ratio", "expected_zeros", "expected_mean"}


@pytest.mark.parametrize("exposure", [None, "time"])
def test_rows_in_several_pieces_are_the_whole(monkeypatch, exposure):
    found = model("poisson", "inflated", exposure=exposure)
    data, rng = found.data(ROWS), np.random.default_rng(3)
    draws = {key: np.asarray(value) + rng.normal(size=(2, 3, *np.shape(value))) for key, value in POINT.items()}
    whole, told = found.quantities(draws, data).draws, found.predict(draws, ROWS, ROWS)
    monkeypatch.setattr("models.outcome_parts.MOST_VALUES", 12)
    pieces, again = found.quantities(draws, data).draws, found.predict(draws, ROWS, ROWS)
    for name, values in whole.items():
        assert pieces[name] == pytest.approx(values), name
    for name in ("mean", "P(y=0)", "P(structural zero)", "P(structural | y=0)"):
        assert again[name] == pytest.approx(told[name]), name


@pytest.mark.parametrize(("name", "zeros"), [("negative binomial hurdle", 683), ("ZINB", 709), ("Poisson regr", 47)])
def test_expected_zeros_are_a_quantity(name, zeros):
    """Zeileis, Kleiber & Jackman (2008), Table 2."""
    found, data, estimates, _ = of_r(
        next(e for e in PUBLISHED if e["dataset"] == "nmes1988" and e["model"].startswith(name))
    )
    at = {key: np.asarray(value)[None, None] for key, value in estimates.items()}
    assert round(found.quantities(at, data).draws["expected_zeros"].item()) == zeros


def test_far_out_draws_leave_quantities_and_predictions_finite():
    for likelihood, zeros in COMBINATIONS:
        found = model(likelihood, zeros, standardise=False)
        for scale in (-900.0, 900.0):
            draws = {key: np.full((1, 4, *np.shape(value)), scale) for key, value in POINT.items()}
            draws |= {name: np.full((1, 4), 1.5) for name, _ in SPREADS.values()}
            draws = {key: values for key, values in draws.items() if key in {**POINT, **dict(SPREADS.values())}}
            told = found.quantities(draws, found.data(ROWS))
            predicted = found.predict(draws, ROWS, ROWS)
            for values in (*told.draws.values(), *predicted.values()):
                assert np.isfinite(values).all(), (likelihood, zeros, scale)


def test_the_remarks_say_what_the_sign_means():
    found = ZeroInflated("y ~ x", "x + g")
    data = found.data(ROWS)
    rng = np.random.default_rng(0)
    draws = {"intercept": rng.normal(0.5, 0.1, (4, 100)), "beta": rng.normal(0, 0.1, (4, 100, 1))}
    draws |= {"zero_intercept": rng.normal(0, 0.2, (4, 100)), "zero_beta": rng.normal((2, -0.1), (0.5, 1), (4, 100, 2))}
    sentence = found.remarks(draws, data)[0]
    assert sentence == (
        "The zero part is the log odds of a structural zero: a positive `zero_beta` means more zeros. "
        "More of a term: `x` more zeros (probability 100%), `g[T.b]` either way."
    )
    behind = ZeroInflated("y ~ x", "x + g", zeros="hurdle")
    assert behind.remarks(draws, behind.data(ROWS))[0].startswith("The zero part is the log odds of y = 0: a positive")
    assert ZeroInflated("y ~ x", zeros="none").remarks(draws, data) == []


# what is simulated, and whether its two parts can be told apart
IDENTIFIED = {
    "many zeros among counts of 3": ((0.3, 3.0, None), False),
    "nearly all zeros": ((0.95, 4.0, None), False),
    "zeros among spread counts": ((0.3, 4.0, 2.0), False),
    "plain Poisson": ((0.0, 2.0, None), True),
    "plain negative binomial": ((0.0, 2.0, 0.5), True),
    "small counts": ((0.3, 0.2, None), True),
    "counts as spread as zeros make them": ((0.3, 1.0, 0.3), True),
}


@pytest.mark.parametrize(("truth", "weak"), IDENTIFIED.values(), ids=IDENTIFIED)
def test_parts_that_cannot_be_told_apart_are_remarked(truth, weak):
    p, mu, phi = truth
    rng = np.random.default_rng(21)
    rate = mu if phi is None else rng.gamma(phi, mu / phi, 600)
    y = np.where(rng.random(600) < p, 0, rng.poisson(rate, 600))
    found = ZeroInflated("y ~ 1", likelihood="poisson" if phi is None else "negative_binomial")
    data = found.data(table(y=y))
    posterior = fit(found, data, Nuts(num_chains=8, num_warmup=200, num_samples=150), seed=1)
    told = identified(found, posterior.draws, data)
    assert told is not None and told.weakly == weak, told
    assert (len(found.remarks(posterior.draws, data)) == 2) == weak


def test_a_tie_between_the_parts_is_remarked_by_name():
    found, rng = ZeroInflated("y ~ 1"), np.random.default_rng(5)
    shared = rng.normal(size=(4, 100))
    draws = {"zero_intercept": 0.3 * shared, "intercept": 0.2 * shared + 0.02 * rng.normal(size=(4, 100))}
    sentence = found.remarks(draws, found.data(ROWS))[1]
    assert sentence.startswith("The two parts are weakly identified: the share of structural zeros among all rows lies")
    assert "its log odds are correlated with `mu` by 0.99; do not read the parts one by one" in sentence
    at_a_point = {key: np.zeros((1, 4)) for key in draws}
    assert identified(found, at_a_point, found.data(ROWS)) is None


NEW_REFUSED = {
    "an unseen level": (
        {"g": ["c", "a"]},
        "rows.csv, column `g`, row 1: is not a level of the fitted rows, got 'c'; they have a, b",
    ),
    "an empty number": (
        {"x": [1.0, np.nan]},
        "rows.csv, column `x`, row 2: must be a number, got an empty cell or NaN; "
        "fill the cell in or leave the row out",
    ),
    "no exposure": (
        {"time": [1.0, 0.0]},
        "rows.csv, column `time`, row 2: must be above 0, got 0; correct it or leave the row out",
    ),
    "no column": ({"x": None}, "rows.csv: there is no column `x`; known: `g`, `time`"),
}


@pytest.mark.parametrize(("changes", "sentence"), NEW_REFUSED.values(), ids=NEW_REFUSED)
def test_wrong_new_rows_are_refused(changes, sentence):
    cells = {"x": [1.0, 2.0], "g": ["a", "b"], "time": [1.0, 2.0]} | changes
    draws = {key: np.broadcast_to(value, (1, 4, *np.shape(value))) for key, value in POINT.items()}
    with pytest.raises(InputError) as refused:
        rows = table(**{name: values for name, values in cells.items() if values is not None})
        model("poisson", "inflated", exposure="time").predict(draws, ROWS, rows)
    assert str(refused.value) == sentence
