"""Point estimates side by side, against closed forms, scikit-learn, and models in which they do not exist."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from cases import flips, program_of, table
from scipy.optimize import brentq
from sklearn.linear_model import LogisticRegression as Reference

from experiments import load_experiment, run
from experiments.prepare import prepare
from inference.density import LogDensity
from inference.estimates import COLUMNS, Estimates, estimates
from inference.streams import workspace
from models import BetaBernoulli, Data, GaussianMixture, LogisticRegression, Prior, ZeroInflated

CONFIGS = Path(__file__).parents[1] / "configs"
CLOSE = 1e-7  # relative: Newton's iteration ends within a millionth of a standard deviation before its last step


def of_coin(prior: tuple[float, float], ones: int, zeros: int) -> Estimates:
    model = BetaBernoulli(prior=Prior("beta", prior))
    return estimates(model, model.data(flips(ones, zeros)))


def said(found: Estimates, *words: str) -> bool:
    """Whether one of the notes has all of these words."""
    return any(all(word in note for word in words) for note in found.notes)


def test_a_coin_side_by_side():
    found = of_coin((2, 2), 7, 3)
    assert list(found.table["theta"]) == list(COLUMNS)
    assert found.table["theta"] == pytest.approx(
        {
            "mle": 0.7,
            "mle_se": math.sqrt(0.7 * 0.3 / 10),
            "map": 8 / 12,
            "map_sd": math.sqrt((8 / 12) * (4 / 12) / 12),
            "map_unconstrained": 9 / 14,
            "unconstrained_sd": 1 / math.sqrt(14 * (9 / 14) * (5 / 14)),
            "laplace_lower": 1 / (1 + math.exp(-math.log(9 / 5) + 1.959963984540054 * math.sqrt(1 / 9 + 1 / 5))),
            "laplace_upper": 1 / (1 + math.exp(-math.log(9 / 5) - 1.959963984540054 * math.sqrt(1 / 9 + 1 / 5))),
            "prior_share": 4 / 14,
        },
        rel=CLOSE,
    )
    assert found.notes == ("The prior determines 0.286 of the one parameter: the sum of its shares.",)


def test_laplace_on_two_scales_at_one_posterior():
    """Beta(10, 4): on theta N(0.75, 0.125^2); on the logit N(0.9163, 0.5916^2), back (0.4395, 0.8885)."""
    line = of_coin((3, 1), 7, 3).table["theta"]
    assert (line["map"], line["map_sd"]) == pytest.approx((0.75, 0.125), rel=CLOSE)
    assert line["map_unconstrained"] == pytest.approx(10 / 14, rel=CLOSE)
    assert line["unconstrained_sd"] == pytest.approx(0.591607978, rel=1e-8)
    assert (line["laplace_lower"], line["laplace_upper"]) == pytest.approx((0.439488, 0.888531), abs=1e-6)


@pytest.mark.parametrize(("ones", "zeros", "border"), [(5, 0, 1.0), (0, 5, 0.0)])
def test_a_maximum_at_the_border_is_there_and_has_no_error(ones, zeros, border):
    found = of_coin((2, 2), ones, zeros)
    line = found.table["theta"]
    assert (line["mle"], line["mle_se"]) == (border, None)
    assert line["map"] == pytest.approx((1 + ones) / 7, rel=CLOSE)
    assert found.notes[1:] == ("The likelihood has its maximum along `theta` at the border of the support.",)


def test_a_density_without_bound_at_the_border_has_no_mode():
    """beta(1/2, 1/2) and no ones: the posterior density of theta, theta^(-1/2) (1 - theta)^(4.5), has no maximum."""
    found = of_coin((0.5, 0.5), 0, 5)
    line = found.table["theta"]
    assert line["map"] is None and line["map_sd"] is None
    assert line["map_unconstrained"] == pytest.approx(0.5 / 6, rel=CLOSE)
    assert said(found, "own scale has no maximum: it grows without bound as `theta` goes to the border")


def test_shares_of_groups_are_by_their_own_sizes():
    rows = table(outcome=[1, 0, 1, 1, 0, 1, 0, 0], group=list("aabbbbbb"))
    model = BetaBernoulli(prior=Prior("beta", (1, 3)))
    found = estimates(model, model.data(rows)).table
    assert [found[f"theta[{g}]"]["prior_share"] for g in "ab"] == pytest.approx([4 / 6, 4 / 10], rel=CLOSE)
    assert [found[f"theta[{g}]"]["mle"] for g in "ab"] == pytest.approx([0.5, 0.5], rel=CLOSE)


def known_variance(num_rows: int) -> None:
    mu = pyro.sample("mu", dist.Normal(3.0, 2.0))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Normal(mu, 1.5))


def counts(num_rows: int) -> None:
    rate = pyro.sample("rate", dist.Gamma(3.0, 2.0))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Poisson(rate))


def test_a_normal_mean():
    y = np.array([1.0, 2.5, 0.3, 4.0])
    line = estimates(known_variance, Data({"num_rows": 4}, {"y": y})).table["mu"]
    own, data = 1 / 4, 4 / 2.25
    mean = (own * 3 + data * y.mean()) / (own + data)
    assert (line["mle"], line["mle_se"]) == pytest.approx((y.mean(), 0.75), rel=CLOSE)
    assert [line["map"], line["map_unconstrained"]] == pytest.approx([mean, mean], rel=CLOSE)
    assert [line["map_sd"], line["unconstrained_sd"]] == pytest.approx([(own + data) ** -0.5] * 2, rel=CLOSE)
    assert line["prior_share"] == pytest.approx(own / (own + data), rel=CLOSE)


def test_a_rate_of_counts():
    y = np.array([2.0, 0.0, 5.0, 1.0, 3.0])
    line = estimates(counts, Data({"num_rows": 5}, {"y": y})).table["rate"]
    shape, rate = 3 + y.sum(), 2 + 5
    assert (line["mle"], line["mle_se"]) == pytest.approx((y.mean(), math.sqrt(y.mean() / 5)), rel=CLOSE)
    assert (line["map"], line["map_unconstrained"]) == pytest.approx(((shape - 1) / rate, shape / rate), rel=CLOSE)
    assert line["unconstrained_sd"] == pytest.approx(shape**-0.5, rel=CLOSE)
    assert line["prior_share"] == pytest.approx(2 / 7, rel=CLOSE)


def test_shares_of_a_simplex_and_a_label_that_never_occurred():
    def labels(num_rows: int) -> None:
        weights = pyro.sample("weights", dist.Dirichlet(torch.full((3,), 2.0)))
        with pyro.plate("row", num_rows):
            pyro.sample("y", dist.Categorical(weights))

    found = estimates(labels, Data({"num_rows": 10}, {"y": np.repeat([0, 1], [6, 4])}))
    lines = [found.table[f"weights[{k}]"] for k in range(3)]
    assert [line["mle"] for line in lines] == pytest.approx([0.6, 0.4, 0.0], abs=1e-9)
    assert [line["map"] for line in lines] == pytest.approx([7 / 13, 5 / 13, 1 / 13], rel=CLOSE)
    assert [line["map_sd"] for line in lines] == [None] * 3
    # sticks are betas: the first has 2 + 4 of 6 + 10 counts, the second 2 + 2 of 4 + 4
    assert [line["prior_share"] for line in lines] == pytest.approx([(6 / 16 + 4 / 8) / 2] * 3, rel=CLOSE)
    assert said(found, "likelihood", "`weights` at the border")


def rows_of_labels(seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((150, 3)) * [1.0, 4.0, 0.2]
    y = (rng.random(150) < 1 / (1 + np.exp(-(0.4 + x @ [1.0, -0.3, 2.0])))).astype(int)
    return x, y


@pytest.mark.parametrize("sigma", [0.3, 2.0])
def test_a_logistic_regression_by_maximum_likelihood_and_penalised(sigma):
    """An L2 penalty is a normal prior: scikit-learn's C is its variance. Its intercept has no penalty."""
    x, y = rows_of_labels()
    rows = table(a=x[:, 0], b=x[:, 1], c=x[:, 2], outcome=y)
    model = LogisticRegression(
        formula="outcome ~ a + b + c",
        standardise=False,
        prior=Prior("normal", (0.0, sigma)),
        intercept_prior=Prior("normal", (0.0, 1e7)),
    )
    found = estimates(model, model.data(rows)).table
    names = ["intercept", "beta[a]", "beta[b]", "beta[c]"]
    for column, weight in (("mle", math.inf), ("map", sigma**2), ("map_unconstrained", sigma**2)):
        reference = Reference(C=weight, tol=1e-12, max_iter=10_000, solver="newton-cholesky").fit(x, y)
        expected = [reference.intercept_[0], *reference.coef_[0]]
        assert [found[name][column] for name in names] == pytest.approx(expected, rel=1e-6), column
    design = np.column_stack([np.ones(len(x)), x])
    p = 1 / (1 + np.exp(-design @ [found[name]["mle"] for name in names]))
    errors = np.sqrt(np.diag(np.linalg.inv((design.T * (p * (1 - p))) @ design)))
    assert [found[name]["mle_se"] for name in names] == pytest.approx(errors, rel=1e-6)
    p = 1 / (1 + np.exp(-design @ [found[name]["map"] for name in names]))
    likelihood, own = (design.T * (p * (1 - p))) @ design, np.diag([1e-14, *[sigma**-2] * 3])
    shares = np.diag(np.linalg.inv(likelihood + own) @ own)
    assert [found[name]["prior_share"] for name in names] == pytest.approx(shares, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("scale", [1.0, 1e6])
@pytest.mark.parametrize("overlap", [False, True])
def test_separated_labels_have_no_maximum_likelihood(overlap, scale):
    """Complete and quasi-complete separation: at the value that both labels have, the likelihood has a limit."""
    rng = np.random.default_rng(0)
    x = np.concatenate([-rng.random(20) - 0.1, rng.random(20) + 0.1, [0.0, 0.0] * overlap]) * scale
    y = np.concatenate([np.zeros(20), np.ones(20), [0, 1] * overlap]).astype(int)
    model = LogisticRegression(formula="outcome ~ x", standardise=False, prior=Prior("normal", (0.0, 1.0)))
    found = estimates(model, model.data(table(x=x, outcome=y)))
    assert [line["mle"] for line in found.table.values()] == [None, None]
    assert all(line["map"] is not None for line in found.table.values())
    assert said(found, "The likelihood has no maximum: it climbs without end along", "`beta")


def test_counts_with_no_predictors():
    y = np.array([0] * 12 + [1, 1, 2, 3, 3, 5, 2, 1])
    plain = ZeroInflated(formula="y ~ 1", likelihood="poisson", zeros="none")
    line = estimates(plain, plain.data(table(y=y))).table["intercept"]
    assert line["mle"] == pytest.approx(math.log(y.mean()), rel=CLOSE)
    assert line["mle_se"] == pytest.approx(y.sum() ** -0.5, rel=CLOSE)
    inflated = ZeroInflated(formula="y ~ 1", likelihood="poisson", zeros="inflated")
    found = estimates(inflated, inflated.data(table(y=y))).table
    # the positive counts are a Poisson's without its zeros; of all counts, (1 - pi) (1 - exp(-mu)) are positive
    mu = brentq(lambda m: m / -math.expm1(-m) - y[y > 0].mean(), 0.1, 10, xtol=1e-14)
    pi = 1 - (y > 0).mean() / -math.expm1(-mu)
    assert found["intercept"]["mle"] == pytest.approx(math.log(mu), rel=1e-6)
    assert found["zero_intercept"]["mle"] == pytest.approx(math.log(pi / (1 - pi)), rel=1e-6)


def test_a_hierarchy_has_no_maximum_likelihood_of_its_spread():
    prepared = prepare(load_experiment(CONFIGS / "eight_schools.yaml"))
    found = estimates(prepared.model, prepared.data)
    assert found.table["tau"]["mle"] is None and found.table["mu"]["mle"] is None
    assert said(found, "The likelihood has no single maximum", "`tau`")
    assert found.table["tau"]["map"] == 0.0 and found.table["tau"]["map_sd"] is None
    assert said(found, "own scale has its maximum along `tau` at the border")


def test_parameters_that_the_likelihood_does_not_know_leave_the_others_theirs():
    y, sigma = np.array([28.0, 8, -3, 7, -1, 1, 18, 12]), np.array([15.0, 10, 16, 11, 9, 11, 10, 18])

    def centred(sigma: Any) -> None:
        mu, tau = pyro.sample("mu", dist.Normal(0.0, 5.0)), pyro.sample("tau", dist.HalfCauchy(5.0))
        with pyro.plate("school", 8):
            pyro.sample("y", dist.Normal(pyro.sample("theta", dist.Normal(mu, tau)), sigma))

    found = estimates(centred, Data({"sigma": sigma}, {"y": y}))
    assert [found.table[f"theta[{k}]"]["mle"] for k in range(8)] == pytest.approx(list(y), abs=1e-6)
    assert [found.table[f"theta[{k}]"]["mle_se"] for k in range(8)] == pytest.approx(list(sigma), rel=1e-6)
    assert found.table["mu"]["mle"] is None and found.table["tau"]["mle"] is None
    assert said(found, "The likelihood does not depend on `mu` and `tau`")
    # log p(theta | mu, tau) grows without bound as tau goes to 0 with all theta at mu
    assert found.table["tau"]["map"] is None and found.table["tau"]["map_unconstrained"] is None
    assert said(found, "own scale has no maximum") and said(found, "unconstrained scale has no maximum")


def test_only_a_sum_is_known():
    def two_for_one() -> None:
        a, b = pyro.sample("a", dist.Normal(0.0, 1.0)), pyro.sample("b", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(a + b, 1.0))

    found = estimates(two_for_one, Data({}, {"y": np.array(3.0)}))
    assert [line["mle"] for line in found.table.values()] == [None, None]
    assert [line["map"] for line in found.table.values()] == pytest.approx([1.0, 1.0], rel=CLOSE)
    assert said(found, "The likelihood has no single maximum: it is level along a ridge of `a` and `b`")
    # curvatures [[1, 1], [1, 1]] of the likelihood and I of the prior: shares 1 - 1/3
    assert [line["prior_share"] for line in found.table.values()] == pytest.approx([2 / 3] * 2, rel=CLOSE)
    assert said(found, "The prior determines 1.33 of the 2 parameters")


def test_a_likelihood_that_is_not_concave_leaves_no_shares():
    """A Cauchy's log density is convex beyond one scale: here the prior holds the mode where the data would not."""

    def far() -> None:
        pyro.sample("y", dist.Cauchy(pyro.sample("mu", dist.Normal(0.0, 1.0)), 1.0))

    found = estimates(far, Data({}, {"y": np.array(6.0)}))
    line = found.table["mu"]
    mode = brentq(lambda m: -m + 2 * (6 - m) / (1 + (6 - m) ** 2), 0, 1, xtol=1e-14)
    assert line["map"] == pytest.approx(mode, rel=CLOSE)
    assert line["mle"] == pytest.approx(6.0, rel=CLOSE)
    assert line["prior_share"] is None
    assert said(found, "What the prior determines cannot be told in shares")


def test_a_spread_that_grows_without_end_has_no_maximum():
    """Counts that vary less than a Poisson's: the likelihood of a negative binomial climbs as phi grows."""
    y = np.array([3, 3, 3, 4, 3, 3, 2, 3])
    model = ZeroInflated(formula="y ~ 1", likelihood="negative_binomial", zeros="none")
    found = estimates(model, model.data(table(y=y)))
    assert found.table["phi"]["mle"] is None and found.table["phi"]["map_unconstrained"] is not None
    assert said(found, "The likelihood has no maximum: it climbs without end along `phi`")


def test_one_value_cannot_tell_a_spread():
    def spread() -> None:
        mu, sd = pyro.sample("mu", dist.Normal(0.0, 10.0)), pyro.sample("sd", dist.LogNormal(0.0, 1.0))
        pyro.sample("y", dist.Normal(mu, sd))

    found = estimates(spread, Data({}, {"y": np.array(0.3)}))
    assert [line["mle"] for line in found.table.values()] == [None, None]
    assert said(found, "The likelihood has no maximum")
    assert all(line["map"] is not None for line in found.table.values())


def clusters() -> np.ndarray:
    rng = np.random.default_rng(2)
    return np.concatenate([rng.normal(-4, 1, 40), rng.normal(3, 1.5, 60)])


def test_a_mixture_of_free_spreads_has_no_maximum_likelihood_and_one_of_a_tied_spread_has():
    rows = table(v=clusters())
    free, tied = GaussianMixture(components=2, standardise=False), GaussianMixture(components=2, covariance="tied")
    found = estimates(free, free.data(rows))
    assert all(line["mle"] is None for line in found.table.values())
    assert said(found, "The likelihood has no maximum: it grows without bound as a component closes in on one row")
    assert all(line["map"] is not None for line in found.table.values())
    with workspace(0):
        # what the sentence says: a nat more for every factor e that the scale shrinks by
        program = program_of(free, free.data(rows))
        at = {"weights": torch.tensor([0.5, 0.5]), "loc": torch.tensor([[clusters()[0]], [0.0]])}
        totals = []
        for log_scale in (-10.0, -20.0):
            values = {**at, "scale": torch.tensor([[math.exp(log_scale)], [4.0]])}
            trace = program.trace({**values})
            totals.append(float(trace.nodes["y"]["fn"].log_prob(program.values["y"]).sum()))
    assert totals[1] - totals[0] == pytest.approx(10, abs=1e-3)
    assert all(line["mle"] is not None for line in estimates(tied, tied.data(rows)).table.values())


def test_labels_are_those_of_the_draws_that_climbs_start_from():
    model = GaussianMixture(components=2, covariance="tied", standardise=False)
    data = model.data(table(v=clusters()))
    for first, second in ((-4.0, 3.0), (3.0, -4.0)):
        near = {
            "loc": np.array([[first], [second]])[None, None],
            "tied_scale": np.array([1.3])[None, None],
            "weights": np.array([0.4, 0.6] if first < 0 else [0.6, 0.4])[None, None],
        }
        found = estimates(model, data, near=near).table
        assert found["loc[0, v]"]["mle"] == pytest.approx(first, abs=0.6)
        assert found["loc[1, v]"]["mle"] == pytest.approx(second, abs=0.6)


class Doubled(torch.autograd.Function):
    """2 x with a gradient of which PyTorch knows no derivative."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return 2 * gradient.detach()


def test_a_curvature_that_pytorch_cannot_differentiate_is_found_all_the_same():
    def program() -> None:
        pyro.sample("y", dist.Normal(Doubled.apply(pyro.sample("mu", dist.Normal(0.0, 1.0))), 0.1))

    line = estimates(program, Data({}, {"y": np.array(1.0)})).table["mu"]
    assert (line["mle"], line["mle_se"]) == pytest.approx((0.5, 0.05), rel=CLOSE)
    assert line["prior_share"] == pytest.approx(1 / 401, rel=1e-5)


def test_more_numbers_than_can_be_climbed_are_left_out():
    def many() -> None:
        with pyro.plate("row", 201):
            pyro.sample("y", dist.Normal(pyro.sample("theta", dist.Normal(0.0, 1.0)), 1.0))

    found = estimates(many, Data({}, {"y": np.zeros(201)}))
    assert found == Estimates({}, ("Left out: there are 201 latent numbers, more than 200.",))


def test_more_data_than_can_be_climbed_for_are_left_out():
    found = estimates(known_variance, Data({"num_rows": 3_000_000}, {"y": np.zeros(3_000_000)}))
    assert found.table == {}
    assert said(found, "Left out: 1 latent number and 3,000,000 observed ones would take long to climb.")


def test_the_same_seed_gives_the_same_numbers_and_another_start_the_same_estimates():
    x, y = rows_of_labels(5)
    model = LogisticRegression(formula="outcome ~ a", standardise=False)
    data = model.data(table(a=x[:, 0], outcome=y))
    first, again, other = estimates(model, data, 1), estimates(model, data, 1), estimates(model, data, 2)
    assert first == again
    for variable, line in first.table.items():
        assert line == pytest.approx(other.table[variable], rel=1e-6)


def test_estimates_are_stationary_points_of_their_own_densities():
    """The gradients of an independent trace of the density, with and without Jacobian, are nil at the two modes."""
    model = BetaBernoulli(prior=Prior("beta", (2, 5)))
    data = model.data(table(outcome=[1, 0, 1, 1, 0, 1, 0, 0], group=list("aabbbbbb")))
    found = estimates(model, data).table
    with workspace(0):
        program = program_of(model, data)
        for jacobian, column in ((False, "map"), (True, "map_unconstrained")):
            density = LogDensity(program, jacobian=jacobian)
            values = torch.tensor([found[f"theta[{g}]"][column] for g in "ab"])
            slope = density.one(density.unconstrain({"theta": values}))[1]
            assert slope.abs().max() < 1e-7


def test_a_run_writes_its_estimates_and_shows_them(tmp_path):
    done = run(load_experiment(CONFIGS / "coin_flips.yaml", ["inference=exact"]), tmp_path / "out")
    kept = json.loads((done.path / "estimates.json").read_text())
    assert kept["table"]["theta"]["mle"] == pytest.approx(0.7, rel=CLOSE)
    assert kept["notes"] == list(done.result.estimates.notes)
    page = (done.path / "report.html").read_text()
    part = page[page.index("<h3>Estimators side by side</h3>") :].split("</table>")[0]
    for cell in (
        "0.700 (0.145)",
        "0.667 (0.136)",
        "0.643 (0.376 to 0.843)",
        "0.643 (0.386 to 0.861)",
        "28.6%",
        "4 : 10",
    ):
        assert f"<td>{cell}</td>" in part
