"""The family gaussian_mixture: SciPy's densities, sums over all assignments, published fits, stored posteriors."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import scipy.stats
import torch
from cases import monte_carlo, off_by, program_of, reference, table
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from pydantic import ValidationError
from scipy.special import gammaln, logsumexp, softmax
from sklearn import mixture as sklearn_mixture

from experiments import load_experiment
from experiments.prepare import prepare
from experiments.report import style
from experiments.report.families import gaussian_mixture as picture
from experiments.runner import conclude
from inference import Nuts, Svi, fit
from inference.arviz_bridge import diagnostics
from inference.density import LogDensity
from inference.labels import align
from inference.modes import find_mode
from inference.predict import log_likelihood, predictive
from inference.streams import workspace
from models import Data, GaussianMixture, InputError, Table
from models.distributions.mixture import Mixture, Partial, There, factor_of, products
from models.mixture_rows import Parts, co_clustering, drawn, log_joint, occupation, predicted
from models.partitions import consensus, expected_loss

CONFIGS = Path(__file__).parent / "configs"
POSTERIORDB = Path(__file__).parent / "posteriordb"
COVARIANCES = ("spherical", "diagonal", "full", "tied")
KINDS = [(covariance, component) for covariance in COVARIANCES for component in ("normal", "student_t")]


def model(covariance: str = "full", component: str = "normal", **settings: Any) -> GaussianMixture:
    return GaussianMixture(**{"covariance": covariance, "component": component, **settings})  # type: ignore[arg-type]


def blobs(count: int = 40, size: int = 3, missing: float = 0.0, seed: int = 3) -> Table:
    """Two clouds, the second one moved and turned; a share of the cells is empty."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(count, size))
    second = rng.random(count) < 0.4
    y[second] = 3.0 + y[second] @ (np.eye(size) + 0.5 * np.tri(size, k=-1))
    y[rng.random(y.shape) < missing] = np.nan
    return table(**{f"x{j}": y[:, j] for j in range(size)})


def at_random(found: GaussianMixture, data: Data, seed: int = 0) -> dict[str, torch.Tensor]:
    """A draw of every latent site from the prior."""
    with workspace(seed):
        program = program_of(found, data)
        nodes = program.run({}).nodes
        return {site.name: nodes[site.name]["value"] for site in program.latent}


def draws_of(found: GaussianMixture, data: Data, count: int = 4, seed: int = 1) -> dict[str, np.ndarray]:
    """Prior draws of every site but y, `(1, count, *shape)`."""
    rows = []
    with workspace(seed):
        program = program_of(found, data)
        for _ in range(count):
            nodes = program.run({}).nodes
            sites = (*program.latent, *program.deterministic)
            rows.append({site.name: nodes[site.name]["value"].numpy() for site in sites})
    return {name: np.stack([row[name] for row in rows])[None] for name in rows[0]}


# --- five known numbers ---------------------------------------------------------------------------------------------

X = np.array([-2.0, -1.0, 0.2, 2.0, 3.0])
PI, MU, SIGMA = np.array([0.45, 0.55]), np.array([-1.0, 2.0]), np.array([0.8, 0.9])
FIRST = [0.999878126598, 0.995817554283, 0.688284710893, 0.000812860698, 0.000006359238]


def one_dimension(weights: np.ndarray, mu: np.ndarray, sigma: np.ndarray, count: int = 5) -> Mixture:
    tensors = [torch.as_tensor(values) for values in (weights, mu[:, None], sigma[:, None])]
    return Mixture(count, tensors[0].log(), tensors[1], tensors[2])


def parts_of(weights: np.ndarray, mu: np.ndarray, sigma: np.ndarray) -> Parts:
    return Parts(np.log(weights)[None], mu[None, :, None], sigma[None, :, None])


def test_responsibilities_and_likelihood_are_the_known_ones():
    fn, y = one_dimension(PI, MU, SIGMA), torch.as_tensor(X[:, None])
    found = fn.responsibilities(y).numpy()
    assert found[:, 0] == pytest.approx(FIRST, abs=1e-10)
    assert found.sum(axis=1) == pytest.approx(np.ones(5), abs=1e-15)
    assert float(fn.log_prob(y).sum()) == pytest.approx(-9.450586671065, abs=1e-12)
    columns = predicted(parts_of(PI, MU, SIGMA), X[:, None], None, 0.9)
    assert columns["P(component=0)"] == pytest.approx(FIRST, abs=1e-10)
    assert columns["P(component=0) lower"] == pytest.approx(columns["P(component=0) upper"], abs=1e-15)
    assert columns["log_density"].sum() == pytest.approx(-9.450586671065, abs=1e-12)
    assert columns["component"].tolist() == [0, 0, 0, 1, 1]


def test_a_new_row_has_the_known_density():
    fn = one_dimension(PI, MU, SIGMA, 1)
    assert float(fn.log_prob(torch.zeros(1, 1))) == pytest.approx(-2.092489789, abs=1e-9)
    new = predicted(parts_of(PI, MU, SIGMA), np.zeros((1, 1)), None, 0.9)
    assert new["log_density"] == pytest.approx(-2.092489789, abs=1e-9)


def test_steps_of_em_are_the_known_ones():
    """One step of the means, then the whole M step; the likelihood never falls."""
    r = one_dimension(PI, MU, SIGMA).responsibilities(torch.as_tensor(X[:, None])).numpy()
    size = r.sum(axis=0)
    assert size == pytest.approx([2.684799612, 2.315200388], abs=1e-9)
    means = r.T @ X / size
    assert means == pytest.approx([-1.063867878, 2.183945758], abs=1e-9)
    sds = np.sqrt((r * (X[:, None] - means) ** 2).sum(axis=0) / size)
    assert size / 5 == pytest.approx([0.536959922, 0.463040078], abs=1e-9)
    # SciPy's densities give these digits; the second is printed as 0.922723777 where these numbers are listed
    assert sds == pytest.approx([0.860388887, 0.922723767], abs=1e-9)
    y = torch.as_tensor(X[:, None])
    assert float(one_dimension(PI, means, SIGMA).log_prob(y).sum()) == pytest.approx(-9.383095972, abs=1e-9)
    assert float(one_dimension(size / 5, means, sds).log_prob(y).sum()) == pytest.approx(-9.257617739, abs=1e-9)


# --- the density ----------------------------------------------------------------------------------------------------


def scipy_joint(found: GaussianMixture, at: dict[str, Any], data: Data) -> np.ndarray:
    """log weight times density `(rows, K)`, by SciPy's multivariate laws of the cells that are there."""
    size, count = len(data.inputs["mean"]), found.components
    mean, sd = data.inputs["mean"], data.inputs["sd"]
    at = {name: np.asarray(value) for name, value in at.items()}
    loc = mean + sd * at["loc"]
    raw = at.get("scale", at.get("tied_scale", at.get("spherical_scale", np.ones(count))[..., None]))
    scale = np.broadcast_to(sd * raw, (count, size))
    correlation = np.tile(np.eye(size), (count, 1, 1))
    if found.covariance in ("full", "tied") and size > 1:
        partial = np.broadcast_to(at.get("partial", at.get("tied_partial")), (count, size * (size - 1) // 2))
        for k in range(count):
            for element, row in enumerate(products(factor_of(torch.as_tensor(partial[k].copy()), size))):
                for j, value in enumerate(row[:-1]):
                    correlation[k, element, j] = correlation[k, j, element] = float(value)
    y, there = data.observed["y"], data.inputs.get("there", np.ones((len(data.observed["y"]), size), dtype=bool))
    joint = np.tile(np.log(at["weights"]), (len(y), 1))
    for k in range(count):
        covariance = np.outer(scale[k], scale[k]) * correlation[k]
        for n in range(len(y)):
            has = np.flatnonzero(there[n])
            if not len(has):
                continue
            matrix, centre = covariance[np.ix_(has, has)], loc[k, has]
            law = (
                scipy.stats.multivariate_normal(centre, matrix)
                if found.component == "normal"
                else scipy.stats.multivariate_t(centre, matrix, df=float(at["nu"][k]))
            )
            joint[n, k] += law.logpdf(y[n, has])
    return joint


def log_prior(found: GaussianMixture, at: dict[str, Any], size: int) -> float:
    """The priors by SciPy, and of a correlation matrix by Pyro's LKJ of its factor."""
    values = {name: np.asarray(value) for name, value in at.items()}
    total = scipy.stats.norm(0, 2).logpdf(values["loc"]).sum()
    total += scipy.stats.dirichlet(np.ones(found.components)).logpdf(values["weights"])
    for name in ("scale", "tied_scale", "spherical_scale"):
        if name in values:
            total += scipy.stats.invgamma(3, scale=1).logpdf(values[name]).sum()
    if "nu" in values:
        total += scipy.stats.gamma(2, scale=10).logpdf(values["nu"]).sum()
    for name in ("partial", "tied_partial"):
        for own in torch.as_tensor(values.get(name, np.zeros((0, 3)))).reshape(-1, size * (size - 1) // 2):
            total += lkj(own, size, found.lkj)
    return float(total)


def matrix_of(partial: torch.Tensor, size: int) -> torch.Tensor:
    zero = torch.zeros(())
    rows = factor_of(partial, size)
    return torch.stack([torch.stack([*row, *[zero] * (size - len(row))]) for row in rows])


def lkj(partial: torch.Tensor, size: int, concentration: float) -> float:
    """log density of partial correlations whose matrix is LKJ: that of the factor, by a change of variables."""

    def below(p: torch.Tensor) -> torch.Tensor:
        factor = matrix_of(p, size)
        return torch.stack([factor[i, j] for i in range(size) for j in range(i)])

    jacobian = torch.autograd.functional.jacobian(below, partial)
    own = dist.LKJCholesky(size, concentration).log_prob(matrix_of(partial, size))
    return float(own + torch.linalg.slogdet(jacobian)[1])


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize(("covariance", "component"), KINDS)
def test_the_log_joint_is_the_sum_of_its_parts(covariance, component, missing):
    found = model(covariance, component, components=3)
    data = found.data(blobs(12, 3, missing))
    assert ("there" in data.inputs) == (missing > 0)
    at = at_random(found, data)
    with workspace(0):
        program = program_of(found, data)
        joint = float(program.log_joint(at))
        prior = log_prior(found, at, 3)
        rows = log_likelihood(program, {name: value[None] for name, value in at.items()})["y"][0].numpy()
    expected = scipy_joint(found, at, data)
    assert rows == pytest.approx(logsumexp(expected, axis=1), abs=1e-9)
    assert joint == pytest.approx(logsumexp(expected, axis=1).sum() + prior, abs=1e-8)


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize(("covariance", "component"), KINDS)
def test_densities_from_draws_are_the_programs(covariance, component, missing):
    """The part that serves predictions is written apart from the part that is compiled."""
    found = model(covariance, component, components=3)
    data = found.data(blobs(12, 3, missing))
    draws = draws_of(found, data)
    joint = log_joint(found.parts(draws, data), data.observed["y"], data.inputs.get("there"))
    with workspace(0):
        program = program_of(found, data)
        for s in range(4):
            at = {site.name: torch.as_tensor(draws[site.name][0, s]) for site in program.latent}
            fn = program.trace(at).nodes["y"]["fn"]
            y = torch.as_tensor(data.observed["y"])
            assert joint[s] == pytest.approx(fn.log_joint(y).T.numpy(), abs=1e-9)
            assert softmax(joint[s], axis=1) == pytest.approx(fn.responsibilities(y).numpy(), abs=1e-9)


@pytest.mark.parametrize(
    ("covariance", "component", "missing"),
    [*((*kind, 0.3 if kind[1] == "normal" else 0.0) for kind in KINDS), ("full", "student_t", 0.3)],
)
def test_the_density_becomes_machine_code(covariance, component, missing):
    found = model(covariance, component, components=2, order="mean" if component == "normal" else "none")
    with workspace(3):
        density = LogDensity(program_of(found, found.data(blobs(12, 2, missing))))
        z = torch.randn(8, density.size)
        value, gradient = density(z)
        density.settle(8, "always")
        again, slope = density(z)
    assert again.numpy() == pytest.approx(value.numpy(), rel=1e-9)
    assert slope.numpy() == pytest.approx(gradient.numpy(), rel=1e-8, abs=1e-8)


def test_a_known_scale_is_in_the_features_own_units():
    rows = blobs(12, 2)
    y = np.column_stack(list(rows.columns.values()))
    found = model("spherical", scale=1.7)
    data = found.data(rows)
    draws = draws_of(found, data, 1)
    laws = [scipy.stats.multivariate_normal(loc, 1.7**2 * np.eye(2)) for loc in draws["loc_raw"][0, 0]]
    expected = np.column_stack([law.logpdf(y) for law in laws]) + np.log(draws["weights"][0, 0])
    assert log_joint(found.parts(draws, data), y)[0] == pytest.approx(expected, abs=1e-9)
    with workspace(0):
        program = program_of(found, data)
        at = {site.name: torch.as_tensor(draws[site.name][0]) for site in program.latent}
        rows_ = log_likelihood(program, at)["y"][0].numpy()
    assert rows_ == pytest.approx(logsumexp(expected, axis=1), abs=1e-9)


def test_a_row_without_any_cell_says_nothing():
    rows = table(x=[1.0, np.nan, 4.0, 2.0], z=[0.0, np.nan, np.nan, 5.0])
    found = model()
    data = found.data(rows)
    at = at_random(found, data)
    with workspace(0):
        program = program_of(found, data)
        each = log_likelihood(program, {name: value[None] for name, value in at.items()})["y"][0]
    assert float(each[1]) == pytest.approx(0.0, abs=1e-12)
    columns = found.predict(
        {name: value.numpy()[None, None] for name, value in fill(found, data, at).items()}, rows, rows
    )
    assert columns["P(component=0)"][1] == pytest.approx(float(at["weights"][0]))


def fill(found: GaussianMixture, data: Data, at: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Latent sites with the deterministic ones that follow from them."""
    with workspace(0):
        program = program_of(found, data)
        nodes = program.trace(at).nodes
        return {**at, **{site.name: nodes[site.name]["value"] for site in program.deterministic}}


def test_partial_correlations_make_the_correlation_matrix():
    """Element by element, by the definition: the partial correlation of 3 and 2 given 1 is that of their residuals."""
    p = torch.tensor([0.3, -0.5, 0.6], dtype=torch.float64)
    factor = matrix_of(p, 3).numpy()
    r = factor @ factor.T
    assert np.diag(r) == pytest.approx(np.ones(3))
    assert [r[1, 0], r[2, 0]] == pytest.approx([0.3, -0.5])
    given = (r[2, 1] - r[1, 0] * r[2, 0]) / math.sqrt((1 - r[1, 0] ** 2) * (1 - r[2, 0] ** 2))
    assert given == pytest.approx(0.6)
    with workspace(5):
        fn = Partial(2.0, 3)
        many = fn.sample((20_000,)).numpy()
        law = scipy.stats.beta(fn.b.numpy(), fn.b.numpy(), loc=-1, scale=2)
        assert fn.log_prob(p).item() == pytest.approx(law.logpdf(p.numpy()).sum())
    assert many.var(axis=0) == pytest.approx(law.var(), abs=4 * law.var().max() * math.sqrt(2 / 20_000))


@pytest.mark.parametrize(("component", "missing"), [("normal", False), ("student_t", False), ("normal", True)])
def test_rows_that_are_drawn_have_the_mixtures_moments(component, missing):
    count = 40_000
    factor = [[torch.ones(2)], [torch.tensor([0.6, -0.3]), torch.tensor([0.8, math.sqrt(0.91)])]]
    weights, loc = torch.tensor([0.3, 0.7]), torch.tensor([[0.0, 5.0], [4.0, -1.0]])
    scale = torch.tensor([[1.0, 0.5], [2.0, 1.0]])
    nu = torch.tensor([8.0, 12.0]) if component == "student_t" else None
    cells = torch.ones(count, 2, dtype=torch.bool)
    cells[::2, 1] = False
    there = There(cells, torch.tensor([7.0, 7.0])) if missing else None
    with workspace(2):
        y = Mixture(count, weights.log(), loc, scale, factor, nu, there).sample().numpy()
    if missing:
        assert (y[::2, 1] == 7.0).all()
        y = y[1::2]
    correlation = np.array([0.6, -0.3])
    inflation = np.array([8 / 6, 12 / 10]) if component == "student_t" else np.ones(2)
    w, m, s = weights.numpy(), loc.numpy(), scale.numpy()
    mean = w @ m
    second = sum(
        w[k]
        * (
            np.outer(m[k], m[k])
            + inflation[k] * np.outer(s[k], s[k]) * np.array([[1, correlation[k]], [correlation[k], 1]])
        )
        for k in range(2)
    )
    assert y.mean(axis=0) == pytest.approx(mean, abs=4 * float(y.std()) / math.sqrt(len(y)))
    products_ = y[:, :, None] * y[:, None, :]
    error = products_.std(axis=0) / math.sqrt(len(y))
    assert (np.abs(products_.mean(axis=0) - second) < 4 * error).all()


# --- all assignments ------------------------------------------------------------------------------------------------

SIX = np.array([[-2.1, 0.3], [-1.4, np.nan], [-1.9, 0.1], [1.7, 2.0], [np.nan, 1.4], [2.4, 2.2]])


def known_parts(seed: int = 0, draws: int = 3) -> Parts:
    rng = np.random.default_rng(seed)
    loc = np.array([[-2.0, 0.0], [2.0, 2.0], [0.0, 1.0]]) + 0.3 * rng.normal(size=(draws, 3, 2))
    weights = rng.dirichlet(np.ones(3), size=draws)
    correlation = np.tile(np.eye(2), (draws, 3, 1, 1))
    correlation[..., 0, 1] = correlation[..., 1, 0] = rng.uniform(-0.7, 0.7, size=(draws, 3))
    return Parts(np.log(weights), loc, rng.uniform(0.5, 1.5, size=(draws, 3, 2)), correlation)


def test_sums_over_all_assignments_give_the_same_numbers():
    """3^6 assignments: likelihood, responsibilities, co-clustering and how many components have a row."""
    parts, there = known_parts(), ~np.isnan(SIX)
    y = np.where(there, SIX, 0.0)
    joint = log_joint(parts, y, there)
    assignments = np.array(list(product(range(3), repeat=6)))
    log_p = joint[:, np.arange(6), assignments].sum(axis=-1)  # (draws, assignments)
    total = logsumexp(log_p, axis=1)
    p = np.exp(log_p - total[:, None])
    found = occupation(parts, y, there)
    assert found["log_likelihood"] == pytest.approx(total, abs=1e-9)
    taken = np.array([len(set(z)) for z in assignments])
    assert found["occupied_components"] == pytest.approx(p @ taken, abs=1e-9)
    columns = predicted(parts, y, there, 0.9)
    for k in range(3):
        exact = p @ (assignments == k)
        assert columns[f"P(component={k})"] == pytest.approx(exact.mean(axis=0), abs=1e-9)
    assert columns["log_density"] == pytest.approx(logsumexp(logsumexp(joint, axis=2), axis=0) - math.log(3), abs=1e-9)
    together = assignments[:, :, None] == assignments[:, None, :]
    similarity = co_clustering(parts, y, there)
    assert similarity == pytest.approx(np.einsum("sa,aij->ij", p, together) / 3, abs=1e-9)
    many = Parts(*(None if part is None else np.repeat(part[:1], 20_000, axis=0) for part in parts))
    z = drawn(many, y, there, np.random.default_rng(1))
    exact = p[0] @ (assignments == 0)
    assert ((z == 0).mean(axis=0) - exact) / np.sqrt(exact * (1 - exact) / 20_000 + 1e-12) == pytest.approx(0, abs=4)


def partitions(count: int) -> list[np.ndarray]:
    """All partitions of so many rows, 203 of 6."""
    found: list[list[int]] = [[0]]
    for _ in range(count - 1):
        found = [[*labels, part] for labels in found for part in range(max(labels) + 2)]
    return [np.array(labels) for labels in found]


@pytest.mark.parametrize("loss", ["variation_of_information", "binder"])
def test_the_consensus_is_the_best_of_all_partitions(loss):
    every = partitions(6)
    assert len(every) == 203
    for seed in range(10):
        there = ~np.isnan(SIX)
        similarity = co_clustering(known_parts(seed, 1), np.where(there, SIX, 0.0), there)
        losses = [expected_loss(labels, similarity, loss) for labels in every]
        labels = consensus(similarity, loss)
        assert expected_loss(labels, similarity, loss) == pytest.approx(min(losses), abs=1e-12), seed
        assert (np.diff(np.bincount(labels)) <= 0).all(), "the largest part comes first"


def test_the_expected_losses_are_expectations():
    """Binder's over draws of partitions; the other bound is exact where all draws are one partition."""
    rng = np.random.default_rng(0)
    z = rng.integers(0, 3, size=(200, 6))
    similarity = (z[:, :, None] == z[:, None, :]).mean(axis=0)
    labels = np.array([0, 0, 1, 1, 2, 0])
    upper = np.triu_indices(6, 1)
    apart = [((labels[:, None] == labels) != (one[:, None] == one))[upper].sum() for one in z]
    assert expected_loss(labels, similarity, "binder") == pytest.approx(np.mean(apart))
    single = (z[0][:, None] == z[0]).astype(float)
    table_ = np.array([[((labels == a) & (z[0] == b)).mean() for b in range(3)] for a in range(3)])

    def entropy(p: np.ndarray) -> float:
        return float(-(p[p > 0] * np.log2(p[p > 0])).sum())

    vi = 2 * entropy(table_.ravel()) - entropy(table_.sum(axis=0)) - entropy(table_.sum(axis=1))
    assert expected_loss(labels, single, "variation_of_information") == pytest.approx(vi)
    assert (consensus(single) == np.unique(consensus(single), return_inverse=True)[1]).all()
    assert expected_loss(consensus(single), single, "variation_of_information") == pytest.approx(0)


def test_nuts_clusters_rows_as_often_as_the_sum_over_assignments_says():
    """Known scale, normal means, Dirichlet weights: every assignment has a closed probability."""
    y = np.array([-1.6, -0.9, 0.1, 0.8, 1.5, 2.3])
    tau, alpha = 2.0, 1.5
    assignments = np.array(list(product(range(2), repeat=6)))
    log_p = np.zeros(len(assignments))
    for a, z in enumerate(assignments):
        for k in range(2):
            own = y[z == k]
            log_p[a] += gammaln(alpha + len(own)) - gammaln(alpha)
            covariance = np.eye(len(own)) + tau**2
            log_p[a] += scipy.stats.multivariate_normal(np.zeros(len(own)), covariance).logpdf(own) if len(own) else 0
    p = softmax(log_p)
    exact = np.einsum("a,aij->ij", p, assignments[:, :, None] == assignments[:, None, :])
    found = model(
        "spherical", scale=1.0, standardise=False, loc_prior="normal(0, 2)", weight_prior=f"dirichlet({alpha})"
    )
    data = found.data(table(y=y))
    posterior = fit(found, data, Nuts(num_chains=16, num_warmup=300, num_samples=500), seed=4)
    joint = log_joint(found.parts(posterior.draws, data), data.observed["y"])
    r = np.exp(joint - logsumexp(joint, axis=2, keepdims=True))
    each = np.einsum("sik,sjk->sij", r, r).reshape(16, 500, 6, 6)
    upper = np.triu_indices(6, 1)
    similarity = found.co_clustering(posterior.draws, data)
    assert similarity[upper] == pytest.approx(each.mean(axis=(0, 1))[upper])
    error = diagnostics(each[:, :, upper[0], upper[1]])["mcse_mean"]
    assert (np.abs(similarity[upper] - exact[upper]) < 4 * error).all()
    assert error.max() < 0.02


# --- published fits -------------------------------------------------------------------------------------------------

FLAT: dict[str, Any] = {"loc_prior": "normal(0, 1000)", "scale_prior": "half_normal(1000)", "lkj": 1.0}


def faithful(*names: str) -> Table:
    rows = np.loadtxt(Path(__file__).parent / "data" / "faithful.csv", delimiter=",", skiprows=1)
    return table(**{name: rows[:, ("eruptions", "waiting").index(name)] for name in names})


# covariance, components, columns, published log likelihood and its last digit, weights, means
PUBLISHED = {
    "mixtools 2.0.0 vignette, one sd": (
        ("tied", 2, ("waiting",)), (-1034.002, 1e-3), [0.3608498, 0.6391502], [[54.61364], [80.09031]], 2e-5,
    ),
    "mclust 6.0.0, V": (
        ("full", 2, ("waiting",)), (-1034.00736, 1e-2), [0.361836, 0.638164], [[54.6467], [80.111]], 5e-2,
    ),
    "mclust 6.0.0, VVV": (
        ("full", 2, ("eruptions", "waiting")), (-1130.26407, 2e-4), [0.355928, 0.644072],
        [[2.036523, 54.479886], [4.289781, 79.969549]], 2e-3,
    ),
    "mclust 6.0.0 vignette, EEE": (("tied", 3, ("eruptions", "waiting")), (-1126.326, 2e-2), None, None, 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_mode_under_flat_priors_is_the_published_maximum(name):
    """EM stops at its tolerance, a little below the maximum that a mode is."""
    (covariance, count, columns), (value, digit), weights, means, close = PUBLISHED[name]
    found = model(covariance, components=count, **FLAT)
    data = found.data(faithful(*columns))
    posterior = fit(found, data, Svi(guide="map", num_samples=1), seed=1)
    draws = align(posterior.draws, posterior.dims, "component").draws
    total = float(found.quantities(draws, data).draws["log_likelihood"][0, 0])
    assert value - digit / 2 <= total <= value + digit
    if weights is not None:
        assert draws["weights"][0, 0] == pytest.approx(weights, abs=close)
        assert draws["loc_raw"][0, 0] == pytest.approx(np.array(means), abs=close)
    if name.startswith("mixtools"):
        assert draws["tied_scale_raw"][0, 0] == pytest.approx(5.869089, abs=1e-5)


def test_three_kinds_of_galaxies_are_the_published_ones():
    """mclust 6.0.0, vignette: the model V,3, log likelihood -203.1792 of velocities in thousands, clusters 3, 7, 72."""
    found, data = prepare(load_experiment(CONFIGS / "galaxies.yaml"))[:2]
    posterior = fit(found, data, Svi(guide="map", num_samples=1), seed=6)
    total = float(found.quantities(posterior.draws, data).draws["log_likelihood"][0, 0])
    assert total + 82 * math.log(1000) == pytest.approx(-203.1792, abs=1e-4)
    rows = Table({"velocity": data.observed["y"][:, 0]}, "galaxies.csv")
    columns = found.predict(posterior.draws, rows, rows)
    assert sorted(np.bincount(columns["component"])) == [3, 7, 72]


def test_means_in_order_may_be_far_from_zero():
    """The first of them is a plain coordinate, whose mode lies where it lies: no logarithm that leaves for a border."""
    rows = faithful("waiting")
    rows = Table({"waiting": rows.columns["waiting"] * 100}, "rows.csv")
    found = model(
        "spherical", order="mean", standardise=False, loc_prior="normal(0, 1e6)", scale_prior="half_normal(1e6)"
    )
    posterior = fit(found, found.data(rows), Svi(guide="map", num_samples=1), seed=1)
    assert posterior.draws["loc"][0, 0, :, 0] == pytest.approx([5461.4856, 8009.1069], rel=1e-5)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_scikit_learn_finds_the_same_maximum(covariance):
    rows = blobs(150, 2, seed=8)
    y = np.column_stack(list(rows.columns.values()))
    kind = {"diagonal": "diag"}.get(covariance, covariance)
    peer = sklearn_mixture.GaussianMixture(
        2, covariance_type=kind, tol=1e-12, max_iter=5000, reg_covar=0, n_init=3, random_state=0
    )
    peer.fit(y)
    found = model(covariance, standardise=False, **FLAT)
    data = found.data(rows)
    posterior = fit(found, data, Svi(guide="map", num_samples=1), seed=1)
    draws = align(posterior.draws, posterior.dims, "component").draws
    order = np.argsort(peer.means_[:, 0])
    assert draws["weights"][0, 0] == pytest.approx(peer.weights_[order], abs=1e-4)
    assert draws["loc"][0, 0] == pytest.approx(peer.means_[order], abs=1e-3)
    assert found.quantities(draws, data).draws["log_likelihood"][0, 0] / 150 == pytest.approx(peer.score(y), abs=1e-7)
    columns = found.predict(draws, rows, rows)
    assert columns["P(component=0)"] == pytest.approx(peer.predict_proba(y)[:, order[0]], abs=2e-3)
    assert columns["log_density"] == pytest.approx(peer.score_samples(y), abs=1e-3)


# --- stored posteriors ----------------------------------------------------------------------------------------------

NUTS = Nuts(num_warmup=300, num_samples=300)
OWN: dict[str, Any] = {"covariance": "spherical", "standardise": False}
# the family's settings that are the stored model's own priors
STORED: dict[str, dict[str, Any]] = {
    "low_dim_gauss_mix-low_dim_gauss_mix": {
        "order": "mean", "loc_prior": "normal(0, 2)", "scale_prior": "half_normal(2)", "weight_prior": "dirichlet(5)",
    },
    "normal_2-normal_mixture": {"scale": 1.0, "loc_prior": "normal(0, 10)"},
    "faithful_waiting_mixture": {},
}  # fmt: skip


def stored(name: str) -> tuple[dict[str, Any], GaussianMixture, Data]:
    if name == "faithful_waiting_mixture":
        found, data = prepare(load_experiment(CONFIGS / "faithful.yaml"))[:2]
        return reference(name)["summary"], found, data
    summary = json.loads((POSTERIORDB / f"{name}.reference.json").read_text())["summary"]
    rows = json.loads((POSTERIORDB / f"{name.split('-')[0]}.data.json").read_text())
    found = model(**OWN, **STORED[name])
    return summary, found, found.data(table(y=np.array(rows["y"])))


def by_name(draws: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Draws under the names of the stored parameters."""
    named = {f"mu[{k + 1}]": draws["loc"][..., k, 0] for k in range(2)} | {"theta": draws["weights"][..., 0]}
    if "spherical_scale" in draws:
        named |= {f"sigma[{k + 1}]": draws["spherical_scale"][..., k] for k in range(2)}
    return named


@pytest.mark.parametrize("name", STORED)
def test_nuts_finds_the_stored_posterior(name):
    summary, found, data = stored(name)
    posterior = fit(found, data, NUTS, seed=1)
    assert posterior.facts["compiled"] and posterior.facts["moved_chains"] == 0
    draws = by_name(
        align(posterior.draws, posterior.dims, "component").draws if found.exchangeable else posterior.draws
    )
    assert set(draws) == set(summary)
    values = np.stack([draws[key] for key in summary], axis=-1)
    known = {key: [row[key] for row in summary.values()] for key in ("mean", "sd", "mcse_mean")}
    gaps = off_by(monte_carlo(values, dependent=True), known["mean"], known["sd"], known["mcse_mean"])
    assert max(gaps.values()) < 4, gaps


@pytest.mark.parametrize("name", STORED)
def test_svi_comes_near_the_stored_posterior(name):
    """A normal on the unconstrained scale: means within a fifth of a standard deviation, spreads within a fifth."""
    summary, found, data = stored(name)
    posterior = fit(found, data, Svi(num_samples=4000), seed=2)
    draws = by_name(
        align(posterior.draws, posterior.dims, "component").draws if found.exchangeable else posterior.draws
    )
    for key, row in summary.items():
        assert abs(draws[key].mean() - row["mean"]) < 0.2 * row["sd"], key
        assert draws[key].std() == pytest.approx(row["sd"], rel=0.2), key


@pytest.mark.parametrize(
    ("covariance", "why"),
    [
        ("diagonal", "site `loc` (Normal) is not conjugate to `y` (Mixture); use `nuts` or `svi`"),
        ("full", "site `partial` (Partial) has no conjugate form; use `nuts` or `svi`"),
    ],
)
def test_exact_refuses_and_names_the_site(covariance, why):
    found = model(covariance)
    with pytest.raises(InputError, match=re.escape(why)):
        fit(found, found.data(blobs()), "exact", seed=1)


# --- what keeps a fit sane ------------------------------------------------------------------------------------------


def with_duplicates() -> Table:
    rng = np.random.default_rng(12)
    return table(y=np.concatenate([rng.normal(size=40), np.full(6, 0.7)]))


def test_equal_rows_do_not_make_a_component_collapse():
    """Onto 6 equal rows a component gains density like scale^-6: without bound under half_normal, not by default."""
    rows = with_duplicates()
    values = {}
    for name, prior in (("guarded", {}), ("not", {"scale_prior": "half_normal(1)"})):
        found = model("diagonal", **prior)
        data = found.data(rows)
        centre = float((0.7 - data.inputs["mean"][0]) / data.inputs["sd"][0])
        with workspace(0):
            program = program_of(found, data)
            values[name] = [
                float(program.log_joint({
                    "loc": torch.tensor([[0.0], [centre]]),
                    "scale": torch.tensor([[1.0], [scale]]),
                    "weights": torch.tensor([0.85, 0.15]),
                }))
                for scale in (1e-1, 1e-2, 1e-3, 1e-4)
            ]  # fmt: skip
    assert (np.diff(values["not"]) > 5).all(), "6 log 10 a step in the end"
    assert (np.diff(values["guarded"]) < -10).all()
    found = model("diagonal")
    posterior = fit(found, found.data(rows), Nuts(num_warmup=200, num_samples=200), seed=3)
    assert posterior.draws["scale"].min() > 0.02
    assert posterior.sample_stats["diverging"].sum() == 0


@pytest.mark.parametrize(("prior", "collapses"), [("half_normal(1)", True), ("inverse_gamma(3, 1)", False)])
def test_a_climb_that_starts_at_equal_rows_ends_where_the_prior_says(prior, collapses):
    found = model("diagonal", scale_prior=prior)
    data = found.data(with_duplicates())
    centre = float((0.7 - data.inputs["mean"][0]) / data.inputs["sd"][0])
    with workspace(0):
        density = LogDensity(program_of(found, data), jacobian=False)
        start = {
            "loc": torch.tensor([[0.0], [centre]]),
            "scale": torch.tensor([[1.0], [0.05]]),
            "weights": torch.tensor([0.85, 0.15]),
        }
        mode = find_mode(density, density.unconstrain(start))
        scale = float(density.constrain(mode.z)["scale"].min())
    assert (scale < 1e-6) == collapses
    assert collapses or (mode.converged and scale > 0.05)


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("order", ["none", "mean"])
def test_chains_start_with_a_component_in_every_cluster_and_one_labelling(missing, order):
    rng = np.random.default_rng(6)
    centres = np.array([[-4.0, 0.0], [4.0, 1.0], [0.0, 6.0], [0.5, -6.0]])
    label = np.repeat(np.arange(4), [60, 10, 25, 5])
    y = centres[label] + 0.5 * rng.normal(size=(100, 2))
    y[rng.random(100) < missing, 1] = np.nan
    found = model(components=4, order=order, standardise=False)
    data = found.data(table(a=y[:, 0] * 100, b=y[:, 1]))
    firsts = []
    for seed in range(20):
        sites = found.starts(data, np.random.default_rng(seed))
        distance = np.abs(sites["loc"][:, None] / [100, 1] - centres).max(axis=2)
        nearest = distance.argmin(axis=1)
        if missing == 0:
            assert sorted(nearest) == [0, 1, 2, 3] and distance.min(axis=1).max() < 1
        firsts.append(nearest.tolist())
        assert sites["weights"].sum() == pytest.approx(1) and (sites["scale"] > 0).all()
        assert order == "none" or (np.diff(sites["loc"][:, 0]) > 0).all()
    if missing == 0:
        assert all(first == firsts[0] for first in firsts) or order == "mean"
    with workspace(0):
        density = LogDensity(program_of(found, data))
        z = density.start(torch.Generator().manual_seed(1))
        own = density.constrain(z)
    assert np.abs(own["loc"].numpy()[:, 0]).max() > 100, "the chain starts where the model says"


def test_starts_cope_with_equal_rows_and_with_none():
    found = model(components=3, standardise=False)
    data = found.data(table(a=[1.0, 1.0, 1.0], b=[2.0, 2.0, 2.0]))
    assert np.isfinite(found.starts(data, np.random.default_rng(0))["loc"]).all()
    assert found.starts(found.data(blobs(), observed=False), np.random.default_rng(0)) == {}


def test_overlapping_chains_agree_once_labels_are_aligned():
    """Two components that nearly meet: chains wander between labellings, quantities and aligned draws do not."""
    rng = np.random.default_rng(2)
    found = model("spherical", scale=1.0, standardise=False)
    data = found.data(table(y=rng.normal(size=14) + np.repeat([-1.3, 1.3], 7)))
    posterior = fit(found, data, Nuts(num_chains=16, num_warmup=300, num_samples=300), seed=5)
    aligned = align(posterior.draws, posterior.dims, found.exchangeable).draws
    gap = aligned["loc"][..., 1, 0].mean() - aligned["loc"][..., 0, 0].mean()
    plain = posterior.draws["loc"][..., 1, 0].mean() - posterior.draws["loc"][..., 0, 0].mean()
    assert gap > abs(plain) + 0.3
    found_ = found.quantities(aligned, data).draws
    before = found.quantities(posterior.draws, data).draws
    for name, values in found_.items():
        assert values == pytest.approx(before[name], abs=1e-9), name
        assert np.nanmax(diagnostics(values)["r_hat"]) < 1.05, name


@pytest.mark.parametrize(("covariance", "component"), [*KINDS[::2], ("full", "student_t")])
def test_the_truth_of_simulated_rows_is_found(covariance, component):
    """Every parameter within 4 posterior standard deviations, and these are not wide for no reason."""
    found = model(covariance, component, features=("a", "b"), standardise=False)
    truth: dict[str, Any] = {"loc": [[-2.0, 1.0], [2.0, -1.0]], "weights": [0.4, 0.6]}
    truth |= {
        "spherical": {"spherical_scale": [0.7, 1.2]},
        "tied": {"tied_scale": [0.8, 1.1], "tied_partial": [0.5]},
        "diagonal": {"scale": [[0.7, 1.1], [1.2, 0.8]]},
        "full": {"scale": [[0.7, 1.1], [1.2, 0.8]], "partial": [[0.6], [-0.4]]},
    }[covariance]
    truth |= {"nu": [4.0, 8.0]} if component == "student_t" else {}
    rng = np.random.default_rng(1)
    rows = table(a=rng.normal(size=800), b=rng.normal(size=800))
    with workspace(19):
        program = program_of(found, found.data(rows))
        at = {key: torch.as_tensor(value)[None] for key, value in truth.items()}
        y = predictive(program, at)["y"][0].numpy()
    data = found.data(table(a=y[:, 0], b=y[:, 1]))
    posterior = fit(found, data, Svi(guide="laplace", num_restarts=1, num_samples=500), seed=1)
    draws = align(posterior.draws, posterior.dims, "component").draws
    for key, value in truth.items():
        values = draws[key].reshape(500, -1)
        target = np.ravel(value)
        if key == "nu":
            values, target = np.log(values), np.log(target)
        assert (np.abs(values.mean(axis=0) - target) <= 4 * values.std(axis=0)).all(), key
        assert (values.std(axis=0) < (0.9 if key == "nu" else 0.2)).all(), key


def test_generous_components_are_emptied_by_a_sparse_prior():
    rng = np.random.default_rng(9)
    y = np.concatenate([rng.normal(-3, 0.5, 60), rng.normal(3, 0.5, 60)])
    kept = {}
    for prior in ("dirichlet(0.05)", "dirichlet(5)"):
        found = model(components=4, weight_prior=prior)
        data = found.data(table(y=y))
        posterior = fit(found, data, Nuts(num_chains=16, num_warmup=200, num_samples=100), seed=2)
        kept[prior] = found.quantities(posterior.draws, data).draws
    # two weights hold all; the other two share what is left, where an even prior gives them rows
    assert kept["dirichlet(0.05)"]["sorted_weights"][..., 2:].sum(axis=-1).mean() < 0.05
    assert kept["dirichlet(0.05)"]["effective_components"].mean() < 2.2
    assert kept["dirichlet(5)"]["effective_components"].mean() > 3


# --- predictions and quantities -------------------------------------------------------------------------------------


def test_predictions_average_responsibilities_over_draws():
    found = model(components=2)
    rows, new = blobs(30, 2, 0.2), table(x1=[0.5, np.nan, 9.0], x0=[0.1, 3.0, np.nan], other=["u", "v", "w"])
    data = found.data(rows)
    draws = draws_of(found, data, 50)
    draws["scale"] = draws["scale"] + 3.0  # wide components, so that no row is sure of its own
    columns = found.predict(draws, rows, new, mass=0.8)
    assert (columns["P(component=1) lower"] > 1e-3).all() and (columns["P(component=1) upper"] < 0.999).all()
    assert list(columns) == [
        "component", "P(component=0)", "P(component=0) lower", "P(component=0) upper",
        "P(component=1)", "P(component=1) lower", "P(component=1) upper", "log_density",
    ]  # fmt: skip
    y = np.array([[0.1, 0.5], [3.0, 0.0], [0.0, 9.0]])
    joint = log_joint(found.parts(draws, data), y, np.array([[True, True], [True, False], [False, True]]))
    r = softmax(joint, axis=2)
    assert columns["P(component=1)"] == pytest.approx(r[:, :, 1].mean(axis=0))
    assert columns["P(component=1) lower"] == pytest.approx(np.quantile(r[:, :, 1], 0.1, axis=0))
    assert columns["P(component=1) upper"] == pytest.approx(np.quantile(r[:, :, 1], 0.9, axis=0))
    assert columns["P(component=0)"] + columns["P(component=1)"] == pytest.approx(np.ones(3))
    assert columns["component"].tolist() == r.mean(axis=0).argmax(axis=1).tolist()


def test_quantities_do_not_depend_on_labels():
    found = model("tied", components=3)
    data = found.data(blobs(20, 2, 0.1))
    draws = draws_of(found, data, 6)
    turned = {
        name: values[:, :, ::-1] if found.dims[name][0] == "component" else values for name, values in draws.items()
    }
    one, other = found.quantities(draws, data), found.quantities(turned, data)
    assert set(one.draws) == {"sorted_weights", "effective_components", "occupied_components", "log_likelihood"}
    for name, values in one.draws.items():
        assert values.shape[:2] == (1, 6) and values == pytest.approx(other.draws[name], abs=1e-9)
        assert len(one.dims[name]) == values.ndim - 2
    assert (np.diff(one.draws["sorted_weights"]) <= 0).all()
    even = {**draws, "weights": np.full((1, 6, 3), 1 / 3)}
    assert found.quantities(even, data).draws["effective_components"] == pytest.approx(np.full((1, 6), 3.0))
    without = found.data(blobs(20, 2), observed=False)
    assert set(found.quantities(draws, without).draws) == {"sorted_weights", "effective_components"}


def test_component_draws_follow_the_responsibilities():
    found = model(components=2)
    data = found.data(blobs(10, 2))
    draws = {name: np.repeat(values, 4000, axis=1) for name, values in draws_of(found, data, 1).items()}
    z = found.components_drawn(draws, data, seed=3)
    assert z.shape == (1, 4000, 10)
    again = found.components_drawn(draws, data, seed=3)
    assert np.array_equal(z, again)
    r = softmax(log_joint(found.parts(draws, data), data.observed["y"])[0], axis=1)[:, 1]
    assert np.abs(z.mean(axis=(0, 1)) - r).max() < 4 * 0.5 / math.sqrt(4000)
    with workspace(1):
        program = program_of(found, data)
        at = {site.name: torch.as_tensor(draws[site.name][0, 0]) for site in program.latent}
        fn = program.trace(at).nodes["y"]["fn"]
        own = torch.stack([fn.draw_components(torch.as_tensor(data.observed["y"])) for _ in range(4000)])
    assert np.abs(own.double().mean(dim=0).numpy() - r).max() < 4 * 0.5 / math.sqrt(4000)


# --- the picture ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nu", [None, 3.0])
def test_an_ellipse_holds_the_share_that_it_says(nu):
    correlation = np.array([[1.0, 0.8, 0.0], [0.8, 1.0, 0.0], [0.0, 0.0, 1.0]])
    loc, scale = np.array([3.0, -1.0, 50.0]), np.array([2.0, 0.5, 9.0])
    tails = None if nu is None else np.full((1, 1), nu)
    parts = Parts(np.zeros((1, 1)), loc[None, None], scale[None, None], correlation[None, None], tails)
    axes = Figure().subplots()
    picture.ellipse(axes, parts, np.array([0]), 0, (0, 1), color="black", lw=1.0)
    (drawn_,) = axes.patches
    assert isinstance(drawn_, Ellipse)
    covariance = (np.outer(scale, scale) * correlation)[:2, :2]
    law = scipy.stats.multivariate_t(loc[:2], covariance, df=nu or np.inf, seed=1)
    angle = np.radians(drawn_.angle)
    away = (law.rvs(20_000) - drawn_.center) @ np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    inside = ((away / [drawn_.width / 2, drawn_.height / 2]) ** 2).sum(axis=1) < 1
    assert inside.mean() == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / 20_000))
    # of all ellipses that hold 90%, it is the one along the covariance
    assert np.tan(2 * angle) == pytest.approx(2 * covariance[0, 1] / (covariance[0, 0] - covariance[1, 1]))


def test_the_picture_of_one_feature_has_the_partition_in_its_caption():
    small = "inference={svi: {guide: laplace, num_restarts: 1, num_samples: 60}}"
    experiment = load_experiment(CONFIGS / "faithful.yaml", [small])
    prepared = prepare(experiment)
    posterior = fit(prepared.model, prepared.data, experiment.inference["svi"], seed=1)
    result = conclude(experiment, prepared, {"svi": posterior})
    assert {"log_likelihood", "occupied_components"} <= set(result.fits["svi"].summary)
    with style.look():
        (found,) = picture.figures(result)
        assert len(style.as_png(found.figure)) > 10_000
    assert "whose parts have 173, 99 of 272 rows" in found.caption
    assert found.figure.axes[0].get_xlabel() == "waiting"
    unseen = dataclasses.replace(result, data=dataclasses.replace(result.data, observed={}))
    assert picture.figures(unseen) == []


# --- data and refusals ----------------------------------------------------------------------------------------------


def test_features_are_the_columns_of_numbers_where_none_is_named():
    rows = table(id=["a", "b", "c"], x=[1.0, 2.0, 4.0], z=[np.nan, 1.0, 3.0])
    data = model().data(rows)
    assert data.coords == {"component": range(2), "feature": ["x", "z"], "pair": ["z~x"]}
    assert data.inputs["mean"] == pytest.approx([7 / 3, 2.0])
    assert data.inputs["there"].tolist() == [[True, False], [True, True], [True, True]]
    assert data.observed["y"][0, 1] == 2.0, "an empty cell holds the mean"
    assert model(features=("z",)).data(rows).coords["feature"] == ["z"]


def test_labels_that_an_order_gives_are_not_exchangeable():
    assert GaussianMixture.exchangeable == model().exchangeable == "component"
    assert model(order="mean").exchangeable is None


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "an unknown feature": (
        {"features": ("xx",)},
        {},
        "model.features: `xx` is not a column of rows.csv; did you mean `x`?",
    ),
    "a word": (
        {"features": ("x",)},
        {"x": np.array([1.0, "many", 2.0], dtype=object)},
        "rows.csv, column `x`, row 2: must be a number, got 'many'; correct the value or map another column",
    ),
    "an infinite number": (
        {},
        {"x": [1.0, 2.0, np.inf]},
        "rows.csv, column `x`, row 3: must be finite, got inf; correct the value or leave the row out",
    ),
    "no numbers": (
        {},
        {"x": np.array(["a", "b", "c"], dtype=object), "z": np.array(["a", "b", "c"], dtype=object)},
        "rows.csv: has no column of numbers; name columns of numbers under model.features",
    ),
    "a constant": (
        {},
        {"z": [2.0, 2.0, 2.0]},
        "rows.csv, column `z`: is the same number in every row, so it has no scale; "
        "leave the column out or set `standardise: false`",
    ),
    "an empty column": (
        {"features": ("x", "z")},
        {"z": [np.nan] * 3},
        "rows.csv, column `z`: has no value in any row; leave the column out",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("settings", "columns", "sentence"), REFUSED.values(), ids=REFUSED)
def test_wrong_input_is_refused_by_column_and_row(settings, columns, sentence):
    rows = table(**{"x": [1.0, 2.0, 4.0], "z": [0.5, 1.0, 3.0], **columns})
    with pytest.raises(InputError) as error:
        model(**settings).data(rows)
    assert str(error.value) == sentence


def test_new_rows_are_refused_by_column_and_row():
    found, rows = model(), blobs(10, 2)
    draws = draws_of(found, found.data(rows))
    for new, mass, sentence in (
        ({"x0": [1.0]}, 0.9, "rows.csv: there is no column `x1`; known: `x0`"),
        (
            {"x0": [1.0, 2.0], "x1": np.array([1.0, "b"], dtype=object)},
            0.9,
            "rows.csv, column `x1`, row 2: must be a number, got 'b'; correct the value or map another column",
        ),
        ({"x0": [1.0], "x1": [2.0]}, 1.5, "mass: must lie between 0 and 1, got 1.5; write for instance 0.9"),
    ):
        with pytest.raises(InputError) as error:
            found.predict(draws, rows, table(**new), mass)  # type: ignore[arg-type]
        assert str(error.value) == sentence


CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "a known scale of another shape": (
        {"scale": 1.0},
        "a known `scale` goes with `covariance: spherical` alone, got `covariance: full`; "
        "give `covariance: spherical`, or leave `scale` out for the data to say",
    ),
    "a feature twice": (
        {"features": ["y", "y"]},
        "`y` is there twice; name every feature once",
    ),
    "a prior that may be negative": (
        {"scale_prior": "normal(0, 1)"},
        "must be a prior on the positive, got `normal(0, 1)`",
    ),
    "one component": (
        {"components": 1},
        "model.components: must be 2 or more, got 1; write for instance `components: 2`",
    ),
    "an unknown covariance": ({"covariance": "fulll"}, "'fulll'"),
    "an unknown component": ({"component": "cauchy"}, "'cauchy'"),
}


@pytest.mark.parametrize(("settings", "sentence"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_settings_that_contradict_each_other_are_refused(run_cli, tmp_path, settings, sentence):
    with pytest.raises(ValidationError):
        GaussianMixture(**settings)
    words = ", ".join(
        f"{key}: {str(value).replace(chr(39), '')}"
        if isinstance(value, list)
        else f'{key}: "{value}"'
        if isinstance(value, str)
        else f"{key}: {value}"
        for key, value in settings.items()
    )
    config = f"name: x\nmodel: {{family: gaussian_mixture, {words}}}\ndata: {{values: {{y: [0, 1, 3]}}}}\n"
    (tmp_path / "x.yaml").write_text(config + "inference: nuts\n")
    ended = run_cli("check", "x.yaml")
    assert ended.code == 1 and sentence in ended.err and ended.err.startswith("error: x.yaml:2: model")
