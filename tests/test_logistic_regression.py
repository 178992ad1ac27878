"""The family logistic_regression: SciPy's densities, quadrature, published fits, reference posteriors, refusals."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyro
import pytest
import scipy.stats
import torch
from cases import DATA, monte_carlo, off_by, program_of, table
from numpy.polynomial.hermite_e import hermegauss
from pydantic import ValidationError
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.special import expit, log_expit, log_softmax, logsumexp, softmax
from sklearn.linear_model import LogisticRegression as Peer

from experiments import load_experiment
from experiments.prepare import prepare
from experiments.report import style
from experiments.report.families.logistic_regression import figures
from experiments.results import Result
from experiments.runner import conclude
from inference import Nuts, Svi, fit
from inference.density import LogDensity
from inference.posterior import Posterior
from inference.predict import log_likelihood, prior
from inference.streams import workspace
from models import Data, InputError, LogisticRegression, Table, effects
from models.distributions.robust import RobustBernoulli
from models.distributions.softmax import Softmax
from models.horseshoe import Horseshoe

HERE = Path(__file__).parent
BUNDLED = HERE.parent / "experiments" / "data"
WIDE: Any = "normal(0, 1000)"  # flat: it moves a coefficient by 1e-6 of its variance
FLAT: dict[str, Any] = {"prior": WIDE, "intercept_prior": WIDE}

RNG = np.random.default_rng(8)
N = 60
ROWS = table(
    y=(RNG.random(N) < 0.4).astype(int),
    x=RNG.normal(3, 2, N),
    z=RNG.uniform(-1, 1, N),
    g=RNG.choice(["a", "b", "c", "d"], N),
    plate=RNG.integers(1, 7, N),
    party=RNG.choice(["green", "left", "right"], N),
    n=np.full(N, 9),
    k=RNG.integers(0, 10, N),
)


def model(formula: str, **settings: Any) -> LogisticRegression:
    return LogisticRegression(formula, **settings)


MODELS: dict[str, LogisticRegression] = {
    "plain": model("y ~ x + z + g"),
    "own scale": model("y ~ x + z", standardise=False),
    "student_t": model("y ~ x + z", prior="student_t(3, 0, 2.5)"),
    "horseshoe": model("y ~ x + z + g", prior="horseshoe(2)"),
    "varying intercept": model("y ~ x + (1 | g)"),
    "varying slope": model("y ~ x + (1 + x || g) + (0 + z | plate)"),
    "correlated effects": model("y ~ x + (1 + x | g) + (1 + z + x | plate) + (1 || party)", lkj=2.0),
    "varying intercept alone": model("y ~ 0 + (1 | g)"),
    "nested": model("y ~ (1 | g/plate)"),
    "trials": model("k ~ x + (1 | plate)", trials="n"),
    "robust": model("y ~ x + z", likelihood="robust"),
    "robust groups": model("y ~ x + (1 | g)", likelihood="robust"),
    "categorical": model("party ~ x + g", likelihood="categorical"),
    "categorical, no intercept": model("party ~ 0 + x", likelihood="categorical"),
    "categorical, no predictor": model("party ~ 1", likelihood="categorical"),
    "categorical horseshoe": model("party ~ x + z", likelihood="categorical", prior="horseshoe(1, 6, 2)"),
}


def stored(path: Path) -> Table:
    frame = pandas.read_csv(path)
    columns = {name: frame[name].to_numpy() for name in frame}
    return Table({k: v if v.dtype.kind in "ifb" else v.astype(object) for k, v in columns.items()}, path.name)


def result_of(config: Path) -> Result:
    """What a run of a config knows, without its folder."""
    experiment = load_experiment(config)
    prepared = prepare(experiment)
    posteriors = {
        name: fit(prepared.model, prepared.data, backend, seed=experiment.seed)
        for name, backend in experiment.inference.items()
    }
    return conclude(experiment, prepared, posteriors)


def draws_of(found: LogisticRegression, data: Data, shape: tuple[int, int] = (2, 3)) -> dict[str, np.ndarray]:
    """Draws of the prior in the shape of a posterior's."""
    with workspace(5):
        drawn = prior(program_of(found, data), shape[0] * shape[1])
    return {name: v.numpy().reshape(*shape, *v.shape[1:]) for name, v in drawn.items() if name not in found.outcomes}


# --- the density --------------------------------------------------------------------------------------------------

NORMAL = scipy.stats.norm(0, 2.5)


def by_groups(at: dict[str, np.ndarray]) -> np.ndarray:
    """The members of `(1 + x | g) + (1 + z + x | plate) + (1 || party)`, with 4 groups, 6 and 3."""
    p, q, r, s = 2 * at["group_partial"] - 1
    two = np.array([[1, 0], [p, np.sqrt(1 - p**2)]])
    three = np.array(
        [[1, 0, 0], [q, np.sqrt(1 - q**2), 0], [r, s * np.sqrt(1 - r**2), np.sqrt((1 - r**2) * (1 - s**2))]]
    )
    z, sd = at["group_z"], at["group_sd"]
    parts = [
        sd[:2, None] * (two @ z[:8].reshape(2, 4)),
        sd[2:5, None] * (three @ z[8:26].reshape(3, 6)),
        sd[5] * z[26:],
    ]
    return np.concatenate([part.ravel() for part in parts])


def log_joint(found: LogisticRegression, data: Data, at: dict[str, np.ndarray]) -> float:
    """The log joint density by SciPy, from the story in the model's docstring."""
    inputs, y = data.inputs, data.observed["y"]
    x, (rows, terms) = inputs["x"], inputs["x"].shape
    total, scale = 0.0, np.ones(terms)
    if isinstance(found.prior, Horseshoe):
        own = found.prior
        tau0 = own.relevant / (terms - own.relevant) * 2 / np.sqrt(rows)
        total += scipy.stats.halfcauchy(0, tau0).logpdf(at["global_scale"])
        total += scipy.stats.halfcauchy.logpdf(at["local_scale"]).sum()
        slab = scipy.stats.invgamma(own.slab_df / 2, scale=own.slab_df * own.slab_scale**2 / 2)
        total += slab.logpdf(at["slab_variance"])
        tau, local, c2 = at["global_scale"], at["local_scale"], at["slab_variance"]
        scale = tau * np.sqrt(c2 * local**2 / (c2 + tau**2 * local**2))
    law = scipy.stats.t(3, 0, 2.5) if str(found.prior).startswith("student") else NORMAL
    if found.likelihood == "categorical":
        intercept = at.get("class_intercept", np.zeros(int(inputs["num_classes"]) - 1))
        total += NORMAL.logpdf(at["class_intercept"]).sum() if "class_intercept" in at else 0.0
        beta = at.get("class_beta", np.zeros((len(intercept), terms)))
        if "class_beta_z" in at:
            total, beta = total + scipy.stats.norm.logpdf(at["class_beta_z"]).sum(), at["class_beta_z"] * scale
        else:
            total += law.logpdf(beta).sum() if terms else 0.0
        scores = np.column_stack([np.zeros(rows), intercept + x @ beta.T])
        return float(total + log_softmax(scores, axis=1)[np.arange(rows), y.astype(int)].sum())
    logit = np.zeros(rows)
    if "intercept" in at:
        total, logit = total + NORMAL.logpdf(at["intercept"]), logit + at["intercept"]
    if "beta_z" in at:
        total, logit = total + scipy.stats.norm.logpdf(at["beta_z"]).sum(), logit + x @ (at["beta_z"] * scale)
    elif "beta" in at:
        total, logit = total + law.logpdf(at["beta"]).sum(), logit + x @ at["beta"]
    if "group_z" in at:
        total += scipy.stats.norm.logpdf(at["group_z"]).sum() + scipy.stats.halfnorm.logpdf(at["group_sd"]).sum()
        effect = at["group_sd"][inputs["effect_of"]] * at["group_z"]
        if "group_partial" in at:
            effect = by_groups(at)
            # LKJ(2): of two effects, and of three
            law = scipy.stats.beta
            total += law(2, 2).logpdf(at["group_partial"][[0, 3]]).sum()
            total += law(2.5, 2.5).logpdf(at["group_partial"][[1, 2]]).sum()
        logit = logit + (inputs["group_x"] * effect[inputs["group_member"]]).sum(axis=1)
    if found.trials is not None:
        return float(total + scipy.stats.binom(inputs["trials"], expit(logit)).logpmf(y).sum())
    if "noise" not in at:
        return float(total + log_expit(np.where(y == 1, logit, -logit)).sum())
    total += scipy.stats.beta(1, 9).logpdf(at["noise"])
    p = at["noise"] / 2 + (1 - at["noise"]) * expit(logit)
    return float(total + scipy.stats.bernoulli(p).logpmf(y).sum())


@pytest.mark.parametrize("found", MODELS.values(), ids=MODELS)
def test_the_log_joint_is_the_sum_of_its_parts(found):
    data = found.data(ROWS)
    with workspace(1):
        program = program_of(found, data)
        drawn = prior(program, 3)
        for row in range(3):
            at = {site.name: drawn[site.name][row] for site in program.latent}
            expected = log_joint(found, data, {name: value.numpy() for name, value in at.items()})
            assert float(program.log_joint(at)) == pytest.approx(expected, rel=1e-10, abs=1e-9)


@pytest.mark.parametrize("found", MODELS.values(), ids=MODELS)
def test_the_density_becomes_machine_code(found):
    with workspace(3):
        density = LogDensity(program_of(found, found.data(ROWS)))
        z = torch.randn(16, density.size)
        value, gradient = density(z)
        density.settle(16, "always")
        assert density.untraced is None and density.kernel is not None
        again, slope = density(z)
        assert again.numpy() == pytest.approx(value.numpy(), rel=1e-9)
        assert slope.numpy() == pytest.approx(gradient.numpy(), rel=1e-9, abs=1e-9)
        for scale in (0.0, 10.0):
            far, steep = density(scale * torch.randn(50, density.size).clamp(-2, 2))
            assert torch.isfinite(far).all() and torch.isfinite(steep).all(), scale


@pytest.mark.parametrize("found", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("observed", [True, False])
def test_a_prior_draw_has_the_sites_and_axes_of_dims(found, observed):
    data = found.data(ROWS, observed=observed)
    assert set(data.observed) == ({"y"} if observed else set())
    with workspace(1):
        program = program_of(found, data)
        drawn = prior(program, 3)
    sizes = {"row": N, **{dim: len(labels) for dim, labels in data.coords.items()}}
    for site, values in drawn.items():
        assert tuple(values.shape) == (3, *(sizes[dim] for dim in found.dims[site])), site
        assert torch.isfinite(values).all()
    for name, dims in data.dims.items():
        assert np.shape(data.inputs[name]) == tuple(sizes[dim] for dim in dims), name


def test_the_plain_model_has_the_sites_that_it_always_had():
    found = model("y ~ x + z")
    with workspace(0):
        program = program_of(found, found.data(ROWS))
    assert [site.name for site in program.latent] == ["intercept", "beta"]
    assert [site.name for site in program.deterministic] == ["beta_raw", "intercept_raw"]


@pytest.mark.parametrize("noise", [1e-12, 0.04, 0.5, 1.0])
def test_a_robust_bernoulli_has_the_probabilities_of_its_definition(noise):
    logit = torch.tensor([-800.0, -30.0, -2.0, 0.0, 3.0, 40.0, 900.0], dtype=torch.float64, requires_grad=True)
    fn = RobustBernoulli(logit, torch.tensor(noise, dtype=torch.float64))
    eps = noise / 2
    for value in (0.0, 1.0):
        p = expit(logit.detach().numpy() if value else -logit.detach().numpy())
        found = fn.log_prob(torch.full((7,), value, dtype=torch.float64))
        assert found.detach().numpy() == pytest.approx(np.log(eps + (1 - 2 * eps) * p), rel=1e-12, abs=1e-14)
        (slope,) = torch.autograd.grad(found.sum(), logit)
        assert torch.isfinite(slope).all()
    spread = fn.log_prob(torch.ones(7, dtype=torch.float64)) - fn.log_prob(torch.zeros(7, dtype=torch.float64))
    # no row says more than the log odds of a right label
    assert float(spread.detach().abs().max()) <= np.log((1 - eps) / eps) + 1e-9


def test_samples_have_the_probabilities_of_their_density():
    count = 40_000
    with workspace(4):
        scores = torch.tensor([[0.0, 1.0, -2.0], [5.0, 5.0, 5.0]])
        drawn = Softmax(scores).sample((count,)).numpy()
        robust = RobustBernoulli(torch.tensor([-1.0, 4.0]), torch.tensor(0.3)).sample((count,)).numpy().mean(axis=0)
    for row in range(2):
        p = softmax(scores[row].numpy())
        shares = np.bincount(drawn[:, row].astype(int), minlength=3) / count
        assert (np.abs(shares - p) <= 4 * np.sqrt(p * (1 - p) / count)).all()
    p = 0.15 + 0.7 * expit(np.array([-1.0, 4.0]))
    assert (np.abs(robust - p) <= 4 * np.sqrt(p * (1 - p) / count)).all()


# --- the horseshoe ------------------------------------------------------------------------------------------------


def test_a_horseshoe_coefficient_has_the_density_of_the_paper():
    """Piironen & Vehtari (2017), equation 2.8 given tau and c, the local scale summed out by quadrature."""
    tau, c2 = 0.4, 2.25
    found = model("y ~ x + z", prior="horseshoe(1)")

    def below(bound: float) -> float:
        def given(angle: float) -> float:  # lambda = tan(angle) is half-Cauchy for a uniform angle
            squared = c2 * np.tan(angle) ** 2 / (c2 + tau**2 * np.tan(angle) ** 2)
            return scipy.stats.norm.cdf(bound, scale=tau * np.sqrt(squared)) * 2 / np.pi

        return quad(given, 0, np.pi / 2)[0]

    with workspace(6):
        fixed = {"global_scale": torch.tensor(tau), "slab_variance": torch.tensor(c2)}
        data = found.data(ROWS)
        program = program_of(pyro.poutine.condition(found, fixed), data)
        beta = prior(program, 2000)["beta"].numpy().reshape(-1)
    for bound in (-1.5, -0.3, -0.02, 0.05, 0.4, 2.0):
        p = below(bound)
        assert abs((beta < bound).mean() - p) <= 4 * np.sqrt(p * (1 - p) / len(beta)), bound


def test_a_priori_as_many_terms_as_expected_escape():
    """Section 3.3: at tau0 the shrinkage factors 1 / (1 + N tau^2 lambda^2 / 4) leave m_eff terms, on average 3."""
    rng, terms, rows = np.random.default_rng(1), 20, 400
    tau = Horseshoe(3).tau0(terms, rows)
    local = np.tan(np.pi / 2 * rng.random((20_000, terms)))
    effective = (1 - 1 / (1 + rows * tau**2 * local**2 / 4)).sum(axis=1)
    assert effective.mean() == pytest.approx(3, abs=4 * effective.std() / np.sqrt(20_000))


def sparse(rows: int = 400, terms: int = 25) -> tuple[Table, np.ndarray]:
    rng = np.random.default_rng(12)
    truth = np.zeros(terms)
    truth[[2, 7, 19]] = 1.6, -1.2, 0.9
    x = rng.normal(size=(rows, terms))
    y = (rng.random(rows) < expit(-0.3 + x @ truth)).astype(int)
    return Table({"y": y, **{f"x{k}": x[:, k] for k in range(terms)}}, "rows.csv"), truth


def test_the_horseshoe_finds_a_sparse_truth():
    """Every coefficient within 4 posterior sds of the truth; those of 0 are held nearer to it than under a normal."""
    rows, truth = sparse()
    errors = {}
    for prior_ in ("horseshoe(3)", "normal(0, 2.5)"):
        found = model("y ~ .", prior=prior_, standardise=False)
        settings = Nuts(num_chains=8, num_warmup=300, num_samples=200, target_accept_prob=0.95)
        beta = fit(found, found.data(rows), settings, seed=2).draws["beta"].reshape(-1, len(truth))
        errors[prior_] = np.sqrt(((beta.mean(axis=0) - truth)[truth == 0] ** 2).mean())
        assert (np.abs(beta.mean(axis=0) - truth) <= 4 * beta.std(axis=0)).all()
        found_large = np.argsort(-np.abs(beta.mean(axis=0)))[:3]
        assert set(found_large) == {2, 7, 19}
        spread = beta[:, truth == 0].std(axis=0).mean()
        errors[prior_] = (errors[prior_], spread)
    assert errors["horseshoe(3)"][0] < 0.6 * errors["normal(0, 2.5)"][0]
    assert errors["horseshoe(3)"][1] < 0.6 * errors["normal(0, 2.5)"][1]


@pytest.mark.parametrize(("text", "expected"), [("horseshoe(3)", (3, 4, 2.5)), (" horseshoe( 2.5, 7,1 )", (2.5, 7, 1))])
def test_a_horseshoe_is_read_and_written(text, expected):
    found = model("y ~ x", prior=text).prior
    assert found == Horseshoe(*expected) == model("y ~ x", prior=str(found)).prior


# --- maxima -------------------------------------------------------------------------------------------------------

R = json.loads((DATA / "pima.published.json").read_text())["values"]
TRAIN, TEST = stored(DATA / "pima_train.csv"), stored(DATA / "pima_test.csv")


def test_the_config_of_pima_is_the_fit_of_r():
    """Estimates, errors on the test rows, and their log loss, by the road of a config."""
    result = result_of(HERE / "configs" / "pima.yaml")
    draws = result.fits["svi"].posterior.draws
    names = ["(Intercept)", *result.data.coords["term"]]
    found = [float(draws["intercept_raw"].mean()), *draws["beta_raw"].mean(axis=(0, 1))]
    for name, estimate in zip(names, found, strict=True):
        assert estimate == pytest.approx(R[name][0], rel=2e-5), name
    p = result.experiment.model.predict(draws, TRAIN, TEST)["P(diabetes=1)"]
    y = TEST.columns["diabetes"]
    assert int(((p > 0.5) != y).sum()) == R["wrong of the 332 test rows at 1/2"] == 66
    loss = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    assert loss == pytest.approx(R["mean test log loss"], abs=1e-5)
    rows = {name: values[0, 0] for name, values in result.fits["svi"].log_likelihood.items()}
    assert rows["y"].sum() == pytest.approx(R["log-likelihood"], abs=1e-6)


def test_the_laplace_spread_is_the_standard_error_of_r():
    found = model("diabetes ~ .", standardise=False, **FLAT)
    posterior = fit(found, found.data(TRAIN), Svi(guide="laplace", num_restarts=1, num_samples=4000), seed=3)
    for k, name in enumerate(found.data(TRAIN).coords["term"]):
        spread = posterior.draws["beta"][..., k].std()
        assert spread == pytest.approx(R[name][1], rel=4 / np.sqrt(2 * 4000)), name


@pytest.mark.parametrize("sigma", [0.2, 1.0, 30.0])
def test_the_mode_is_that_of_scikit_learn_with_c_of_sigma_squared(sigma):
    """KNOWN: penalty 1/2 |beta|^2 / sigma^2, scikit-learn's C = sigma^2; the intercept is flat in both."""
    found = model("y ~ x + z + g", prior=f"normal(0, {sigma})", intercept_prior=WIDE)
    data = found.data(ROWS)
    draws = fit(found, data, Svi(guide="map"), seed=1).draws
    peer = Peer(C=sigma**2, tol=1e-10, max_iter=10_000).fit(data.inputs["x"], data.observed["y"])
    assert draws["beta"][0, 0] == pytest.approx(peer.coef_[0], abs=1e-5)
    assert float(draws["intercept"][0, 0]) == pytest.approx(peer.intercept_[0], abs=1e-5)


def test_the_mode_of_several_labels_is_that_of_scipy():
    found = model("party ~ x + g", likelihood="categorical", prior="normal(0, 1.5)")
    data = found.data(ROWS)
    draws = fit(found, data, Svi(guide="map"), seed=1).draws
    x, y = data.inputs["x"], data.observed["y"].astype(int)

    def loss(flat: np.ndarray) -> float:
        w = flat.reshape(2, -1)
        scores = np.column_stack([np.zeros(N), w[:, 0] + x @ w[:, 1:].T])
        penalty = (w[:, 0] ** 2).sum() / 2.5**2 + (w[:, 1:] ** 2).sum() / 1.5**2
        return penalty / 2 - log_softmax(scores, axis=1)[np.arange(N), y].sum()

    best = minimize(loss, np.zeros(2 * (1 + x.shape[1])), tol=1e-12).x.reshape(2, -1)
    assert draws["class_intercept"][0, 0] == pytest.approx(best[:, 0], abs=2e-5)
    assert draws["class_beta"][0, 0] == pytest.approx(best[:, 1:], abs=2e-5)


# --- quadrature ---------------------------------------------------------------------------------------------------

NUTS = Nuts(num_chains=8, num_warmup=300, num_samples=400)


def grid_moments(log_density: np.ndarray, values: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sd of each of `values` under a density on a grid of equal cells."""
    weights = np.exp(log_density - log_density.max())
    weights /= weights.sum()
    mean = np.array([(weights * value).sum() for value in values])
    return mean, np.sqrt([(weights * (value - m) ** 2).sum() for value, m in zip(values, mean, strict=True)])


def agrees(draws: np.ndarray, mean: Any, sd: Any, mcse: Any = 0.0) -> None:
    gaps = off_by(monte_carlo(draws, dependent=True), mean, sd, mcse)
    assert max(gaps.values()) < 4, gaps


def joined(posterior: Posterior, *sites: str) -> np.ndarray:
    """Draws of several sites side by side, `(chain, draw, all)`."""
    draws = [posterior.draws[site] for site in sites]
    return np.concatenate([values.reshape(*values.shape[:2], -1) for values in draws], axis=-1)


X = np.array([-2.0, -1.0, -0.5, 0.3, 0.9, 1.4, 2.5, 3.0])
TINY = table(y=[0, 0, 1, 0, 1, 0, 1, 1], x=X, k=[0, 1, 4, 2, 5, 3, 6, 5], n=[4, 5, 6, 5, 6, 5, 6, 7])


@pytest.mark.parametrize("form", ["student_t", "trials", "robust"])
def test_two_parameters_are_those_of_quadrature(form):
    a, b = np.meshgrid(np.linspace(-9, 9, 901), np.linspace(-7, 12, 951), indexing="ij")
    sites = ("intercept", "beta")
    y, k, n = (TINY.columns[name] for name in ("y", "k", "n"))
    if form == "student_t":
        found = model("y ~ x", standardise=False, prior="student_t(3, 0, 1)")
        density = scipy.stats.norm.logpdf(a, 0, 2.5) + scipy.stats.t.logpdf(b, 3, 0, 1)
        density += sum(log_expit((2 * yn - 1) * (a + b * xn)) for yn, xn in zip(y, X, strict=True))
    elif form == "trials":
        found = model("k ~ x", standardise=False, trials="n")
        density = scipy.stats.norm.logpdf(a, 0, 2.5) + scipy.stats.norm.logpdf(b, 0, 2.5)
        density += sum(
            kn * log_expit(a + b * xn) + (nn - kn) * log_expit(-a - b * xn) for kn, nn, xn in zip(k, n, X, strict=True)
        )
    else:
        found, sites = model("y ~ 1", likelihood="robust", noise_prior="beta(2, 5)"), ("intercept", "noise")
        a, b = np.meshgrid(np.linspace(-13, 13, 1301), (np.arange(1000) + 0.5) / 1000, indexing="ij")
        p = b / 2 + (1 - b) * expit(a)
        density = scipy.stats.norm.logpdf(a, 0, 2.5) + scipy.stats.beta.logpdf(b, 2, 5)
        density += y.sum() * np.log(p) + (1 - y).sum() * np.log1p(-p)
    posterior = fit(found, found.data(TINY), NUTS, seed=2)
    agrees(joined(posterior, *sites), *grid_moments(density, [a, b]))


def test_a_spread_of_groups_is_that_of_quadrature():
    """Five groups, no intercept: their effects summed out one by one by Gauss-Hermite, their sd on a grid."""
    rows = table(k=[1, 6, 9, 3, 10], n=[8, 9, 10, 12, 11], g=list("abcde"))
    found = model("k ~ 0 + (1 | g)", trials="n", group_sd_prior="half_normal(1.5)")
    nodes, weights = hermegauss(61)
    sd = (np.arange(2000) + 0.5) / 2000 * 9
    effect = sd[:, None] * nodes  # (sd, node)
    k, n = (rows.columns[name][:, None, None] for name in "kn")
    each = k * log_expit(effect) + (n - k) * log_expit(-effect) + np.log(weights / weights.sum())
    marginal = logsumexp(each, axis=2)  # (group, sd)
    density = scipy.stats.halfnorm.logpdf(sd, scale=1.5) + marginal.sum(axis=0)
    given = np.exp(each - marginal[:, :, None])
    effect_mean = (given * effect).sum(axis=2)
    effect_square = (given * effect**2).sum(axis=2)
    posterior = fit(found, found.data(rows), Nuts(num_chains=16, num_warmup=400, num_samples=500), seed=4)
    agrees(posterior.draws["group_sd"][..., 0], *(found[0] for found in grid_moments(density, [sd])))
    w = np.exp(density - density.max())
    w /= w.sum()
    mean = effect_mean @ w
    drawn = found.quantities(posterior.draws, found.data(rows)).draws["group_effect"]
    agrees(drawn, mean, np.sqrt(effect_square @ w - mean**2))


def test_a_correlation_of_intercepts_and_slopes_is_that_of_quadrature():
    """Six groups of two rows: their pairs of effects summed out by Gauss-Hermite in two dimensions, both spreads and
    the correlation on a grid."""
    rows = table(
        k=[9, 3, 1, 6, 8, 4, 2, 8, 10, 2, 3, 7],
        n=[12] * 12,
        x=[-1.0, 1.0] * 6,
        g=[g for g in "abcdef" for _ in range(2)],
    )
    prior_: Any = "half_normal(0.8)"
    found = model("k ~ 0 + (1 + x | g)", trials="n", group_sd_prior=prior_, lkj=2.0, standardise=False)
    nodes, weights = hermegauss(33)
    one, two = (axis.ravel() for axis in np.meshgrid(nodes, nodes))
    log_weights = np.log(np.outer(weights, weights).ravel() / weights.sum() ** 2)
    middles = (np.arange(24) + 0.5) / 24
    a, b, r = (axis.ravel() for axis in np.meshgrid(2.2 * middles, 4.2 * middles, 2 * middles - 1, indexing="ij"))
    density = scipy.stats.halfnorm.logpdf(a, scale=0.8) + scipy.stats.halfnorm.logpdf(b, scale=0.8)
    density += scipy.stats.beta.logpdf((1 + r) / 2, 2, 2)
    k = rows.columns["k"].reshape(6, 2)
    for start in range(0, len(a), 4000):
        part = slice(start, start + 4000)
        intercept = a[part, None] * one
        slope = b[part, None] * (r[part, None] * one + np.sqrt(1 - r[part, None] ** 2) * two)
        right, wrong = ([log_expit(sign * (intercept + x * slope)) for x in (-1, 1)] for sign in (1, -1))
        for low, high in k:
            row = low * right[0] + (12 - low) * wrong[0] + high * right[1] + (12 - high) * wrong[1]
            density[part] += logsumexp(row + log_weights, axis=1)
    data = found.data(rows)
    posterior = fit(found, data, Nuts(num_chains=16, num_warmup=400, num_samples=500), seed=6)
    correlation = found.quantities(posterior.draws, data).draws["group_correlation"]
    draws = np.concatenate([posterior.draws["group_sd"], correlation], axis=-1)
    agrees(draws, *grid_moments(density, [a, b, r]))
    assert abs(grid_moments(density, [r])[0][0]) > 0.2, "there is something to find"


def test_two_contrasts_of_labels_are_those_of_quadrature():
    rows = table(c=["u"] * 3 + ["v"] * 6 + ["w"])
    found = model("c ~ 1", likelihood="categorical", intercept_prior="normal(0, 1.5)")
    a, b = np.meshgrid(np.linspace(-7, 7, 701), np.linspace(-9, 6, 751), indexing="ij")
    density = scipy.stats.norm.logpdf(a, 0, 1.5) + scipy.stats.norm.logpdf(b, 0, 1.5)
    density += 6 * a + b - 10 * np.log(1 + np.exp(a) + np.exp(b))
    posterior = fit(found, found.data(rows), NUTS, seed=5)
    agrees(posterior.draws["class_intercept"], *grid_moments(density, [a, b]))


# --- reference posteriors -----------------------------------------------------------------------------------------


def of_posteriordb(name: str, kind: str) -> dict[str, Any]:
    return json.loads((HERE / "posteriordb" / f"{name}.{kind}.json").read_text())


def found_in(name: str, draws: np.ndarray) -> None:
    """Draws `(chain, draw, parameters)` in the order of the reference's parameters."""
    summary = list(of_posteriordb(name, "reference")["summary"].values())[: draws.shape[2]]
    agrees(draws, *([row[key] for row in summary] for key in ("mean", "sd", "mcse_mean")))


def test_nuts_finds_the_wells():
    rows = stored(BUNDLED / "wells.csv").columns
    found = model("switched ~ dist100 + arsenic", standardise=False, **FLAT)
    data = found.data(Table({**rows, "dist100": rows["dist"] / 100}, "wells.csv"))
    posterior = fit(found, data, Nuts(num_chains=16, num_samples=200), seed=1)
    found_in("wells_data-wells_dist100ars_model", joined(posterior, "intercept", "beta"))


@pytest.mark.parametrize(("name", "source"), [("dogs-dogs", "dogs"), ("dogs_2020-dogs", "dogs_2020")])
def test_nuts_finds_the_dogs(name, source):
    y = np.array(of_posteriordb(source, "data")["y"], dtype=float)
    shocks = np.cumsum(y, axis=1) - y
    avoided = np.cumsum(1 - y, axis=1) - (1 - y)
    prior_: Any = "normal(0, 100)"
    found = model("y ~ avoided + shocks", standardise=False, prior=prior_, intercept_prior=prior_)
    rows = Table({"y": y.ravel(), "avoided": avoided.ravel(), "shocks": shocks.ravel()}, "dogs")
    posterior = fit(found, found.data(rows), Nuts(num_chains=16, num_samples=200), seed=1)
    found_in(name, joined(posterior, "intercept", "beta"))


def test_the_config_of_seeds_is_the_reference():
    """Binomial with a varying intercept for each plate: four coefficients, their sd, and all 21 effects."""
    result = result_of(HERE.parent / "configs" / "seeds_plates.yaml")
    raw = of_posteriordb("seeds_data", "data")
    assert result.data.observed["y"].tolist() == raw["n"] and result.data.inputs["trials"].tolist() == raw["N"]
    assert result.data.inputs["x"][:, :2].tolist() == [list(row) for row in zip(raw["x1"], raw["x2"], strict=True)]
    posterior = result.fits["nuts"].posterior
    found_in("seeds_data-seeds_stanified_model", joined(posterior, "intercept", "beta", "group_sd", "group_effect"))


def test_labels_of_which_some_are_wrong():
    """The truth within 4 posterior sds, where the plain model is far off; the turned labels stand out."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=1500)
    right = rng.random(1500) < expit(-0.5 + 2.5 * x)
    turned = rng.random(1500) < 0.08
    rows = table(y=(right ^ turned).astype(int), x=x)
    truth = {"intercept": -0.5, "beta": 2.5, "mislabelled": 0.08}
    found = model("y ~ x", likelihood="robust", standardise=False)
    data = found.data(rows)
    posterior = fit(found, data, Nuts(num_chains=8, num_samples=150), seed=1)
    draws = {**posterior.draws, **found.quantities(posterior.draws, data).draws}
    for name, value in truth.items():
        assert abs(draws[name].mean() - value) <= 4 * draws[name].std(), name
        assert draws[name].std() < 0.45, name
    plain = model("y ~ x", standardise=False)
    slope = fit(plain, plain.data(rows), Svi(guide="laplace", num_restarts=1), seed=1).draws["beta"]
    assert slope.mean() + 8 * slope.std() < 2.5
    wrong = found.mislabelled(posterior.draws, data).mean(axis=(0, 1))
    surprising = (np.abs(x) > 1.5) & turned
    assert wrong[surprising].mean() > 0.5 and wrong[~turned].mean() < 0.08 and wrong[turned].mean() > 0.3


# --- quantities ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("found", MODELS.values(), ids=MODELS)
def test_quantities_have_the_shapes_of_their_axes_and_are_finite(found):
    data = found.data(ROWS)
    draws = draws_of(found, data)
    quantities = found.quantities(draws, data)
    assert not set(quantities.draws) & set(found.dims)
    for name, values in quantities.draws.items():
        assert values.shape == (2, 3, *(len(data.coords[dim]) for dim in quantities.dims[name])), name
        assert np.isfinite(values).all()
    assert set(quantities.dims) == set(quantities.draws)
    expected = {"group_effect"} if "(1" in found.formula else set()
    expected |= {"group_correlation"} if found is MODELS["correlated effects"] else set()
    expected |= {"mislabelled"} if found.likelihood == "robust" else set()
    if data.coords["term"]:
        expected |= {"odds_ratio", "average_marginal_effect"} | ({"odds_ratio_raw"} if found.standardise else set())
    assert set(quantities.draws) == expected


def test_odds_ratios_are_for_one_sd_and_one_unit():
    found = model("y ~ x + g")
    data = found.data(ROWS)
    draws = draws_of(found, data)
    quantities = found.quantities(draws, data).draws
    assert quantities["odds_ratio"] == pytest.approx(np.exp(draws["beta"]))
    assert quantities["odds_ratio_raw"] == pytest.approx(np.exp(draws["beta_raw"]))


def every_row(rows: Table, **values: Any) -> Table:
    """The rows with some columns changed."""
    return Table({**rows.columns, **{k: np.broadcast_to(v, rows.num_rows) for k, v in values.items()}}, "rows.csv")


@pytest.mark.parametrize("name", ["plain", "own scale", "horseshoe", "varying slope", "robust", "categorical"])
def test_average_marginal_effects_are_differences_of_predictions(name):
    """By way of `predict` on changed rows: a derivative for x, and g set to each level for all rows."""
    found = MODELS[name]
    data = found.data(ROWS)
    draws = draws_of(found, data)
    outcome = "party" if name == "categorical" else "y"
    labels = data.coords.get("label", ["0", "1"])[0 if name == "categorical" else 1 :]
    at = found.quantities(draws, data).draws["average_marginal_effect"].mean(axis=(0, 1)).reshape(len(labels), -1)

    def average(rows: Table) -> np.ndarray:
        p = found.predict(draws, ROWS, rows)
        return np.array([p[f"P({outcome}={label})"].mean() for label in labels])

    h, x = 1e-4, ROWS.columns["x"]
    terms = list(data.coords["term"])
    if name != "varying slope":  # there x is a slope of groups, too, which is no term
        slope = (average(every_row(ROWS, x=x + h)) - average(every_row(ROWS, x=x - h))) / (2 * h)
        assert at[:, terms.index("x")] == pytest.approx(slope, abs=1e-7)
    base = average(every_row(ROWS, g="a")) if "g[T.b]" in terms else None
    for level in "bcd" if "g[T.b]" in terms else "":
        gap = average(every_row(ROWS, g=level)) - base
        assert at[:, terms.index(f"g[T.{level}]")] == pytest.approx(gap, abs=1e-12)
    if name == "categorical":
        assert at.sum(axis=0) == pytest.approx(np.zeros(len(terms)), abs=1e-12)


@pytest.mark.parametrize("name", ["plain", "correlated effects", "categorical"])
def test_effects_in_pieces_and_of_evenly_spaced_rows(name, monkeypatch):
    found = MODELS[name]
    data = found.data(ROWS)
    draws = draws_of(found, data)
    whole = found.quantities(draws, data).draws["average_marginal_effect"]
    monkeypatch.setattr(effects, "CACHED", 2 * N)  # two draws in a piece
    assert found.quantities(draws, data).draws["average_marginal_effect"] == pytest.approx(whole, abs=1e-14)
    monkeypatch.setattr(effects, "MOST_PROBABILITIES", 6 * 20)  # twenty of sixty rows for six draws
    chosen = np.linspace(0, N - 1, 20).round().astype(int)
    inputs = {
        key: value[chosen] if data.dims.get(key, ("",))[0] == "row" else value for key, value in data.inputs.items()
    }
    fewer = Data(inputs, {}, data.coords, data.dims)
    thinned = found.quantities(draws, data).draws["average_marginal_effect"]
    monkeypatch.setattr(effects, "MOST_PROBABILITIES", 10**9)
    assert thinned == pytest.approx(found.quantities(draws, fewer).draws["average_marginal_effect"], abs=1e-14)
    assert np.abs(thinned - whole).max() > 1e-6


def test_rows_with_trials_count_by_their_trials():
    """A row of 9 trials is 9 rows of one."""
    long = {name: np.repeat(ROWS.columns[name], 9) for name in ("x", "z", "plate")}
    outcome = np.concatenate([np.arange(9) < k for k in ROWS.columns["k"]]).astype(int)
    grouped, single = model("k ~ x + z", trials="n"), model("y ~ x + z")
    wide, rows = grouped.data(every_row(ROWS, n=9)), single.data(Table({"y": outcome, **long}, "rows.csv"))
    draws = draws_of(grouped, wide)
    found = [m.quantities(draws, d).draws["average_marginal_effect"] for m, d in ((grouped, wide), (single, rows))]
    assert found[0] == pytest.approx(found[1], abs=1e-12)
    uneven = grouped.data(every_row(ROWS, n=9 + ROWS.columns["plate"]))
    assert np.abs(grouped.quantities(draws, uneven).draws["average_marginal_effect"] - found[0]).max() > 1e-5
    # and the likelihoods differ by the binomial coefficients alone
    at = {name: torch.as_tensor(value[0, :1]) for name, value in draws.items()}
    with workspace(0):
        one = float(log_likelihood(program_of(grouped, wide), at)["y"].sum())
        other = float(log_likelihood(program_of(single, rows), at)["y"].sum())
    assert one - other == pytest.approx(np.log(scipy.special.comb(9, ROWS.columns["k"])).sum(), abs=1e-8)


def test_a_wrong_label_has_the_probability_of_bayes_rule():
    found = model("y ~ x", likelihood="robust", standardise=False)
    data = found.data(TINY)
    draws = draws_of(found, data)
    probabilities = found.mislabelled(draws, data)
    y = TINY.columns["y"]
    for chain, draw in np.ndindex(2, 3):
        p = expit(draws["intercept"][chain, draw] + draws["beta"][chain, draw, 0] * X)
        eps = draws["noise"][chain, draw] / 2
        joint = {label: np.where(label == 1, p, 1 - p) * np.where(y == label, 1 - eps, eps) for label in (0, 1)}
        expected = np.where(y == 1, joint[0], joint[1]) / (joint[0] + joint[1])
        assert probabilities[chain, draw] == pytest.approx(expected, abs=1e-12)
    with pytest.raises(InputError, match="^model.likelihood: no label is wrong with `likelihood: bernoulli`; ask it"):
        model("y ~ x").mislabelled(draws, data)


# --- predictions --------------------------------------------------------------------------------------------------


def test_predictions_are_means_and_quantiles_of_probabilities():
    found = model("y ~ scale(x) + g")
    data = found.data(ROWS)
    draws = draws_of(found, data, (2, 50))
    p = expit(draws["intercept"][..., None] + draws["beta"] @ data.inputs["x"].T).reshape(100, N)
    columns = found.predict(draws, ROWS, Table({k: v for k, v in ROWS.columns.items() if k != "y"}, "new.csv"), 0.8)
    assert list(columns) == ["P(y=1)", "lower", "upper"]
    assert columns["P(y=1)"] == pytest.approx(p.mean(axis=0), abs=1e-12)
    assert columns["lower"] == pytest.approx(np.quantile(p, 0.1, axis=0), abs=1e-12)
    assert columns["upper"] == pytest.approx(np.quantile(p, 0.9, axis=0), abs=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_few_new_rows_are_predicted_like_many(name, monkeypatch):
    """Rows one by one, and in pieces, are as all at once."""
    found = MODELS[name]
    draws = draws_of(found, found.data(ROWS))
    together = found.predict(draws, ROWS, ROWS)
    monkeypatch.setattr(effects, "MOST_VALUES", 6 * 7)  # seven rows in a piece
    for key, column in found.predict(draws, ROWS, ROWS).items():
        assert np.array_equal(column, together[key]), key
    for n in (0, 17):
        alone = found.predict(draws, ROWS, Table({k: v[[n]] for k, v in ROWS.columns.items()}, "new.csv"))
        assert list(alone) == list(together)
        for key, column in alone.items():
            expected = together[key][n]
            assert column[0] == (expected if isinstance(expected, str) else pytest.approx(expected, abs=1e-12)), key


def test_every_label_is_predicted():
    found = MODELS["categorical"]
    data = found.data(ROWS)
    draws = draws_of(found, data)
    columns = found.predict(draws, ROWS, ROWS)
    labels = ["green", "left", "right"]
    p = np.column_stack([columns[f"P(party={label})"] for label in labels])
    assert p.sum(axis=1) == pytest.approx(np.ones(N), abs=1e-12)
    assert columns["party"].tolist() == [labels[k] for k in p.argmax(axis=1)]
    flat = {key: value.reshape(6, *value.shape[2:]) for key, value in draws.items()}
    scores = flat["class_intercept"][:, None] + np.einsum("nk,dck->dnc", data.inputs["x"], flat["class_beta"])
    every = softmax(np.concatenate([np.zeros((6, N, 1)), scores], axis=2), axis=2)
    assert p == pytest.approx(every.mean(axis=0), abs=1e-12)
    assert columns["P(party=left) lower"] == pytest.approx(np.quantile(every[..., 1], 0.05, axis=0), abs=1e-12)


def test_an_unseen_group_is_drawn_from_the_population():
    """Its probability is the integral over the population, and its interval is wider than a known group's."""
    found = model("y ~ x + (1 | g)", standardise=False)
    count = 20_000
    draws = {
        "intercept": np.full((1, count), 0.3),
        "beta": np.full((1, count, 1), 0.2),
        "group_sd": np.full((1, count, 1), 1.4),
        "group_z": np.zeros((1, count, 4)),
    }
    new = table(x=[1.0, 1.0, 1.0, -2.0], g=["a", "new", "other", "new"])
    columns = found.predict(draws, ROWS, new)
    assert columns["P(y=1)"][0] == pytest.approx(expit(0.5), abs=1e-12)
    nodes, weights = hermegauss(61)
    for row, logit in ((1, 0.5), (2, 0.5), (3, -0.1)):
        p = expit(logit + 1.4 * nodes)
        mean = (weights * p).sum() / weights.sum()
        sd = np.sqrt((weights * (p - mean) ** 2).sum() / weights.sum())
        assert abs(columns["P(y=1)"][row] - mean) <= 4 * sd / np.sqrt(count)
        # the 5% point of the population; its density there is that of the normal over the slope of the sigmoid
        expected = expit(logit + 1.4 * scipy.stats.norm.ppf(0.05))
        density = scipy.stats.norm.pdf(scipy.stats.norm.ppf(0.05)) / (1.4 * expected * (1 - expected))
        assert abs(columns["lower"][row] - expected) <= 4 * np.sqrt(0.05 * 0.95 / count) / density
    assert columns["lower"][0] == pytest.approx(columns["upper"][0], abs=1e-12)


def test_the_event_is_named_in_the_column():
    rows = table(vote=["no", "yes", "yes", "no"], x=[1.0, 2.0, 4.0, 3.0], k=[1, 2, 3, 4])
    found = model("vote ~ x", event="yes")
    assert list(found.predict(draws_of(found, found.data(rows)), rows, rows)) == ["P(vote=yes)", "lower", "upper"]
    trials = model("k ~ x", trials="n")
    rows = table(**rows.columns, n=[4, 4, 4, 4])
    new = table(x=[1.0])
    assert list(trials.predict(draws_of(trials, trials.data(rows)), rows, new)) == ["P(k)", "lower", "upper"]


# --- separation ---------------------------------------------------------------------------------------------------

ALONE = "so the likelihood has no maximum and the prior alone bounds its coefficient."
TOGETHER = "so the likelihood has no maximum and the prior alone bounds their coefficients."
PART = "in part (quasi-complete separation)"
SEPARATION: dict[str, tuple[LogisticRegression, dict[str, Any], tuple[str, ...]]] = {
    "overlap": (model("y ~ x"), {"y": [0, 1, 0, 1], "x": [1.0, 2.0, 3.0, 4.0]}, ()),
    "complete": (
        model("y ~ x + z"),
        {"y": [0, 0, 1, 1, 1], "x": [1.0, 2.0, 3.0, 4.0, 9.0], "z": [1.0, 5.0, 2.0, 4.0, 0.0]},
        (f"`x` separates the outcome completely, {ALONE}",),
    ),
    "a tie": (
        model("y ~ x"),
        {"y": [0, 0, 1, 1, 1], "x": [1.0, 2.0, 2.0, 3.0, 4.0]},
        (f"`x` separates the outcome {PART}, {ALONE}",),
    ),
    "a level without ones": (
        model("y ~ z + g"),
        {"y": [0, 1, 0, 1, 0, 0], "z": [1.0, 2.0, 4.0, 3.0, 2.5, 1.5], "g": ["a", "a", "b", "b", "c", "c"]},
        (f"`g[T.c]` separates the outcome {PART}, {ALONE}",),
    ),
    "two together": (
        model("y ~ x + z + w"),
        {
            "y": [0, 1, 0, 1, 0, 1],
            "x": [0.0, 1.0, 4.0, 5.0, 8.0, 9.0],
            "z": [1.0, 0.0, 5.0, 4.0, 9.0, 8.0],
            "w": [2.0, 1.0, 1.0, 3.0, 1.5, 0.0],
        },
        (f"`x` and `z` together separate the outcome completely, {TOGETHER}",),
    ),
    "through the origin": (
        model("y ~ 0 + x", standardise=False),
        {"y": [0, 0, 1], "x": [-1.0, -3.0, 2.0]},
        (f"`x` separates the outcome completely, {ALONE}",),
    ),
    "not through the origin": (model("y ~ 0 + x", standardise=False), {"y": [0, 0, 1], "x": [1.0, 2.0, 3.0]}, ()),
    "one label alone": (
        model("y ~ x"),
        {"y": [1, 1, 1], "x": [1.0, 2.0, 4.0]},
        (f"`x` separates the outcome completely, {ALONE}",),
    ),
    "trials that overlap": (model("k ~ x", trials="n"), {"k": [0, 1, 2], "n": [3, 3, 3], "x": [1.0, 2.0, 3.0]}, ()),
    "trials that do not": (
        model("k ~ x", trials="n"),
        {"k": [0, 0, 3, 3], "n": [3, 3, 3, 3], "x": [1.0, 2.0, 3.0, 4.0]},
        (f"`x` separates the outcome completely, {ALONE}",),
    ),
    "trials that overlap in one row alone": (
        model("k ~ x", trials="n"),
        {"k": [0, 1, 3, 3], "n": [3, 3, 3, 3], "x": [1.0, 2.0, 3.0, 4.0]},
        (f"`x` separates the outcome {PART}, {ALONE}",),
    ),
    "several labels": (
        model("c ~ x", likelihood="categorical"),
        {"c": ["u", "u", "v", "v", "w", "w"], "x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]},
        (f"`x` separates the outcome completely, {ALONE}",),
    ),
    "several labels that overlap": (
        model("c ~ x", likelihood="categorical"),
        {"c": ["u", "v", "w", "u", "v", "w"], "x": [1.0, 2.0, 3.0, 4.0, 5.0, 0.0]},
        (),
    ),
    "no predictor": (model("y ~ 1"), {"y": [0, 1]}, ()),
}


@pytest.mark.parametrize(("found", "columns", "expected"), SEPARATION.values(), ids=SEPARATION)
def test_separation_is_said_in_a_sentence(found, columns, expected):
    assert found.remarks({}, found.data(table(**columns))) == expected


def test_separation_is_found_in_many_rows_or_proved_absent():
    """A planted direction in ten columns, and the same rows with one label turned."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(2000, 10))
    y = (x @ rng.normal(size=10) > 0.2).astype(int)
    columns = {f"x{k}": x[:, k] for k in range(10)}
    found = model("y ~ .")
    (sentence,) = found.remarks({}, found.data(table(y=y, **columns)))
    assert sentence.endswith(f"together separate the outcome completely, {TOGETHER}")
    turned = np.where(np.arange(2000) == np.argmax(x[:, 0] * y), 1 - y, y)
    assert found.remarks({}, found.data(table(y=turned, **columns))) == ()


def test_a_separated_outcome_still_has_a_posterior():
    """The prior bounds it: mean and spread by quadrature."""
    rows = table(y=[0, 0, 0, 1, 1], x=[1.0, 2.0, 3.0, 4.0, 5.0])
    found = model("y ~ 0 + x", standardise=False, prior="normal(0, 2.5)")
    b = np.linspace(-12, 15, 27_001)
    density = scipy.stats.norm.logpdf(b, 0, 2.5)
    density += sum(log_expit((2 * y - 1) * b * x) for y, x in zip(rows.columns["y"], rows.columns["x"], strict=True))
    posterior = fit(found, found.data(rows), NUTS, seed=1)
    agrees(posterior.draws["beta"], *grid_moments(density, [b]))


# --- refusals -----------------------------------------------------------------------------------------------------

GOOD = {"y": [0, 1, 1], "x": [1.0, 2.0, 4.0], "g": ["a", "b", "a"], "k": [1, 2, 0], "n": [2, 2, 3]}
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "more successes than trials": (
        {"k": [1, 3, 0]},
        {"formula": "k ~ x", "trials": "n"},
        "rows.csv, column `k`, row 2: must not exceed `n`, got 3; correct the row",
    ),
    "half a success": (
        {"k": [1, 0.5, 0]},
        {"formula": "k ~ x", "trials": "n"},
        "rows.csv, column `k`, row 2: must be a whole number, 0 or more, got 0.5; correct it",
    ),
    "negative trials": (
        {"n": [1, 2, -3]},
        {"formula": "k ~ x", "trials": "n"},
        "rows.csv, column `n`, row 3: must be a whole number, 0 or more, got -3; correct it",
    ),
    "unknown trials": (
        {},
        {"formula": "k ~ x", "trials": "m"},
        "rows.csv: there is no column `m`; known: `y`, `x`, `g`, `k`, `n`",
    ),
    "the outcome as trials": (
        {},
        {"formula": "k ~ x", "trials": "k"},
        "model.trials: `k` is the outcome; name the column of trials",
    ),
    "successes without trials": (
        {"k": [1, 2, 0]},
        {"formula": "k ~ x"},
        "rows.csv, column `k`, row 2: must be 0 or 1, got 2; recode the column to 0 and 1",
    ),
    "one label alone": (
        {"c": ["u", "u", "u"]},
        {"formula": "c ~ x", "likelihood": "categorical"},
        "rows.csv, column `c`: has one label alone, 'u', so there is nothing to tell apart; "
        "give rows with other outcomes, too",
    ),
    "a missing label": (
        {"c": np.array(["u", None, "v"], dtype=object)},
        {"formula": "c ~ x", "likelihood": "categorical"},
        "rows.csv, column `c`, row 2: must have a label, got an empty cell; fill the cell in or leave the row out",
    ),
    "groups that nobody knows": (
        {},
        {"formula": "y ~ x + (1 | gg)"},
        "rows.csv: there is no column `gg`; did you mean `g`?",
    ),
    "one group alone": (
        {"g": ["a", "a", "a"]},
        {"formula": "y ~ x + (1 | g)"},
        "rows.csv, column `g`: has one label alone, 'a', so nothing varies over it; "
        "leave the varying effect out of the formula",
    ),
    "a slope that nobody knows": (
        {},
        {"formula": "y ~ x + (1 + w | g)"},
        "model.formula: `w` is not a column of rows.csv; known: `y`, `x`, `g`, `k`, `n`",
    ),
    "a slope of what does not vary": (
        {"n": [2, 2, 2]},
        {"formula": "y ~ x + (1 + n | g)"},
        "rows.csv, term `n`: is the same in every row, so it cannot be standardised; "
        "leave it out of the formula or set `standardise: false`",
    ),
    "a bar without groups": (
        {},
        {"formula": "y ~ x + (1 | )"},
        "model.formula: must have effects left of `|` and a column of groups right of it, got 'y ~ x + (1 | )'; "
        "write it like `(1 + x | g)`, `(1 | a:b)` or `(1 | a/b)`",
    ),
    "a bar without parentheses": (
        {},
        {"formula": "y ~ x | g"},
        "model.formula: `|` has no meaning here, got 'y ~ x | g'; write it like `y ~ x1 + scale(x2) + C(g)`",
    ),
    "more terms expected to matter than there are": (
        {},
        {"formula": "y ~ x + n", "prior": "horseshoe(2)"},
        "model.prior: expects 2 of 2 terms to matter, got `horseshoe(2, 4, 2.5)`; "
        "expect fewer than all of them, or use `normal(0, 2.5)`",
    ),
}


@pytest.mark.parametrize(("columns", "settings", "sentence"), REFUSED.values(), ids=REFUSED)
def test_wrong_data_are_refused_by_column_and_row(columns, settings, sentence):
    with pytest.raises(InputError) as refused:
        model(**settings).data(table(**{**GOOD, **columns}))
    assert str(refused.value) == sentence


APART = "; leave one of them out"
CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "event with trials": (
        {"trials": "n", "event": 1},
        "`event` has no part to play with `trials`" + APART,
    ),
    "trials with wrong labels": (
        {"trials": "n", "likelihood": "robust"},
        "`trials` go with `likelihood: bernoulli` alone, got `robust`" + APART,
    ),
    "event with any labels": (
        {"event": "u", "likelihood": "categorical"},
        "`event` has no part to play with `likelihood: categorical`" + APART,
    ),
    "groups with any labels": (
        {"formula": "y ~ (1 | g)", "likelihood": "categorical"},
        "varying effects are for outcomes of two labels, not for `likelihood: categorical`" + APART,
    ),
    "a horseshoe of two numbers": (
        {"prior": "horseshoe(3, 4)"},
        "`horseshoe` takes 1 or 3 arguments, got 'horseshoe(3, 4)'; write `horseshoe(relevant, slab_df, slab_scale)`",
    ),
    "a horseshoe of nothing": (
        {"prior": "horseshoe(0)"},
        "relevant must be positive, got 0; write `horseshoe(relevant, slab_df, slab_scale)`",
    ),
    "a horseshoe as a word": (
        {"prior": "horseshoe"},
        "`horseshoe` takes 1 or 3 arguments, got 'horseshoe'; write `horseshoe(relevant, slab_df, slab_scale)`",
    ),
    "a prior that nobody knows": ({"prior": "norml(0, 1)"}, "`norml` is not a prior; did you mean `normal`?"),
    "a prior of positive numbers": (
        {"prior": "exponential(1)"},
        "must be a prior on the real, got `exponential(1)`; use `normal`, `student_t`, `cauchy`, `laplace`, "
        "`horseshoe`",
    ),
    "no prior": ({"prior": 3}, "must be a prior, got 3; write it like `normal(0, 2.5)`"),
    "a horseshoe of the intercept": (
        {"intercept_prior": "horseshoe(3)"},
        "`horseshoe` is not a prior",
    ),
    "a real prior of a spread": (
        {"group_sd_prior": "normal(0, 1)"},
        "must be a prior on the positive, got `normal(0, 1)`",
    ),
}


@pytest.mark.parametrize(("settings", "sentence"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_settings_that_contradict_each_other_are_refused(settings, sentence):
    with pytest.raises(ValidationError, match=re.escape(sentence)):
        LogisticRegression(**{"formula": "y ~ x", **settings})


def test_mistakes_in_a_config_are_one_line(run_cli, tmp_path):
    config = "name: x\nmodel: {family: logistic_regression, formula: y ~ x, prior: horseshoe(0)}\n"
    (tmp_path / "x.yaml").write_text(config + "data: {values: {y: [0, 1], x: [1, 2]}}\ninference: nuts\n")
    sentence = "relevant must be positive, got 0; write `horseshoe(relevant, slab_df, slab_scale)`"
    assert run_cli("check", "x.yaml") == (1, "", f"error: x.yaml:2: model.prior: {sentence}\n")


def test_groups_and_trials_are_no_predictors_unless_they_are_named():
    columns = {key: ROWS.columns[key] for key in ("k", "x", "g", "n")}
    rows = Table(columns, "rows.csv")
    assert model("k ~ . + (1 | g)", trials="n").data(rows).coords["term"] == ["x"]
    assert model("k ~ . + log(n) + (1 | g)", trials="n", standardise=False).data(rows).coords["term"] == [
        "x",
        "n",
        "log(n)",
    ]
    assert model("k ~ x + g + (1 | g)", trials="n").data(rows).coords["term"][0] == "x"


# --- the report ---------------------------------------------------------------------------------------------------

CONFIG = """
name: small
model: {family: logistic_regression, %s}
data: {path: rows.csv}
inference: {svi: {guide: laplace, num_restarts: 1, num_samples: 200}}
"""


@pytest.mark.parametrize(
    "settings",
    [
        "formula: y ~ x + g",
        "formula: y ~ x + (1 | g)",
        "formula: y ~ 1",
        "formula: k ~ x, trials: n",
        "formula: y ~ x, likelihood: robust",
        "formula: party ~ x + z, likelihood: categorical",
    ],
)
def test_the_report_shows_odds_ratios_and_fitted_probabilities(tmp_path, settings):
    pandas.DataFrame(dict(ROWS.columns)).to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "small.yaml").write_text(CONFIG % settings)
    result = result_of(tmp_path / "small.yaml")
    with style.look():
        drawings = figures(result)
        names = [drawing.name for drawing in drawings]
        assert names == (["odds_ratios"] if "~ 1" not in settings else []) + ["fitted_probabilities"]
        for drawing in drawings:
            assert style.as_png(drawing.figure).startswith(b"\x89PNG")
            assert drawing.alt.endswith(".") and drawing.caption.endswith(".")
