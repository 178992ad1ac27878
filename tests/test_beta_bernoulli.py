"""beta_bernoulli: pooled rates against stored posteriors, comparisons against closed forms, predictions, refusals."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats
import torch
from cases import DATA, monte_carlo, off_by, program_of, reference, table
from pydantic import ValidationError
from scipy.special import betaln, expit, logit

from experiments import load_experiment
from experiments.prepare import prepare
from inference import Nuts, Svi, fit
from inference.density import LogDensity
from inference.streams import workspace
from models import BetaBernoulli, InputError
from models.distributions.offset import Offset
from models.rate_contrasts import Chances, Contrast
from models.rates import Rates, above

CONFIGS = Path(__file__).parent / "configs"
EXACT = 1e-9


def rates(*shapes: tuple[float, float]) -> Rates:
    return Rates(*(np.array(values, dtype=float) for values in zip(*shapes, strict=True)))


# --- partial pooling: stored posteriors and a published mode --------------------------------------------------------

POOLED = ("baseball_1970", "rat_tumors")


def prepared(name: str) -> Any:
    return prepare(load_experiment(CONFIGS / f"{name}.yaml"))[:2]


@pytest.mark.parametrize("name", POOLED)
def test_nuts_finds_the_hierarchical_posterior(name):
    model, data = prepared(name)
    posterior = fit(model, data, Nuts(num_chains=16, num_warmup=300, num_samples=400), seed=2)
    summary = reference(f"{name}_betabinomial")["summary"]
    mu, kappa, theta = (posterior.draws[site] for site in ("mu", "kappa", "theta"))
    # the stored posterior numbers groups as they come in the file
    theta = theta[..., data.inputs["group"]]
    found = np.concatenate([np.stack([logit(mu), np.log(kappa), mu], axis=-1), theta], axis=-1)
    assert list(summary)[:3] == ["logit_eta", "log_K", "eta"] and found.shape[-1] == len(summary)
    mean, sd = ([row[key] for row in summary.values()] for key in ("mean", "sd"))
    gaps = off_by(monte_carlo(found, dependent=True), mean, sd)
    assert max(gaps.values()) < 4, gaps
    assert posterior.sample_stats["diverging"].sum() == 0
    assert posterior.draws["rho"] == pytest.approx(1 / (1 + kappa))


def test_svi_finds_it_too_since_coordinates_are_nearly_normal():
    model, data = prepared("rat_tumors")
    posterior = fit(model, data, Svi(num_samples=4000), seed=3)
    summary = reference("rat_tumors_betabinomial")["summary"]
    theta = posterior.draws["theta"]
    mean, sd = (np.array([summary[f"theta[{g + 1}]"][key] for g in range(71)]) for key in ("mean", "sd"))
    assert (np.abs(theta.mean(axis=(0, 1)) - mean) < 0.1 * sd).all()
    # the log odds of a group without tumours are skew, as no normal is: its spread comes out a tenth too wide
    assert (np.abs(theta.std(axis=(0, 1)) / sd - 1) < 0.15).all()


def test_the_mode_of_the_population_is_the_published_one():
    """LearnBayes 2.15.1, vignette MultilevelModeling: the maximum of (logit eta, log K), the rates integrated out; it
    is flat, and a finer search than the vignette's gives log K 4.43811."""
    model, data = prepared("baseball_1970")
    ones, zeros = data.inputs["ones"], data.inputs["zeros"]

    def marginal(at: np.ndarray) -> float:
        """log density of the program less that of the rates given all else, at rates that must not matter."""
        mu, kappa = expit(at[0]), math.exp(at[1])
        a, b = mu * kappa, (1 - mu) * kappa
        coordinates = Offset(*(torch.as_tensor(np.broadcast_to(value, 18).copy()) for value in (a, b, ones, zeros)))
        log_odds = np.linspace(-2, 0.5, 18)
        theta = expit(log_odds)
        given = scipy.stats.beta(a + ones, b + zeros).logpdf(theta) + np.log(theta * (1 - theta))
        offset = (torch.as_tensor(log_odds) - coordinates.centre) / coordinates.width
        joint = program.log_joint({"mu": torch.tensor(mu), "rho": torch.tensor(1 / (1 + kappa)), "offset": offset})
        # densities of mu and rho to those of logit mu and log kappa
        slopes = math.log(mu * (1 - mu)) + math.log(kappa) - 2 * math.log(1 + kappa)
        return float(joint) - given.sum() - float(coordinates.width.log().sum()) + slopes

    with workspace(0):
        program = program_of(model, data)
        best = scipy.optimize.minimize(lambda at: -marginal(at), (-1.0, 4.0), method="Nelder-Mead", tol=1e-10).x
        cell = [marginal(np.array(at)) for at in ((-1.0, 4.0), (-1.2, 5.0))]
    assert best == pytest.approx((-1.01346, 4.43811), abs=2e-4)
    assert abs(best[1] - 4.436169) < 0.01

    def closed_form(eta: float, log_k: float) -> float:
        mu, kappa = expit(eta), math.exp(log_k)
        binomials = scipy.stats.betabinom.logpmf(ones, ones + zeros, mu * kappa, (1 - mu) * kappa).sum()
        return float(binomials + log_k - 2 * math.log(1 + kappa) + 1e-3 * math.log(mu * (1 - mu)))

    assert cell[0] - cell[1] == pytest.approx(closed_form(-1.0, 4.0) - closed_form(-1.2, 5.0), abs=1e-8)


def test_the_spread_can_be_a_prior_of_the_concentration():
    """rho uniform and kappa of density 1 / (1 + kappa)^2 are one prior: the log joint differs by d rho / d kappa."""
    rows = table(successes=[3, 0, 5], trials=[5, 2, 9])
    at = {"mu": 0.3, "offset": [0.2, -1.0, 0.4]}
    by_rho, by_kappa = BetaBernoulli(pooling="partial"), BetaBernoulli(pooling="partial", spread_prior="gamma(2, 0.5)")
    with workspace(0):
        joint = {}
        for model, site, value in ((by_rho, "rho", 0.2), (by_kappa, "kappa", 4.0)):
            given = {name: torch.as_tensor(v) for name, v in {**at, site: value}.items()}
            joint[site] = float(program_of(model, model.data(rows)).log_joint(given))
    assert joint["kappa"] - joint["rho"] == pytest.approx(scipy.stats.gamma(2, scale=2).logpdf(4.0), abs=EXACT)


def test_complete_pooling_is_one_rate_for_all_groups():
    rows = table(outcome=[1, 0, 1, 1, 0], group=["b", "a", "a", "c", "b"])
    model = BetaBernoulli(pooling="complete", prior="beta(2, 3)")
    posterior = fit(model, model.data(rows), "exact")
    assert posterior.marginals["theta"].args == pytest.approx((5, 5), abs=EXACT)
    assert model.posterior(model.data(rows)) == rates((5, 5))


def test_a_partial_pool_has_no_closed_form():
    model, data = prepared("rat_tumors")
    sentence = "`exact` cannot fit BetaBernoulli: site `offset` (Offset) has no conjugate form; use `nuts` or `svi`"
    with pytest.raises(InputError) as refused:
        fit(model, data, "exact")
    assert str(refused.value) == sentence
    with pytest.raises(
        InputError, match="^model.pooling: with `partial` there is no closed form; use `nuts` or `svi`$"
    ):
        model.posterior(data)


# --- the coordinate of a rate ---------------------------------------------------------------------------------------

SHAPES = [(0.3, 0.7), (2.0, 5.0), (40.0, 160.0)]
SEEN = [(0.0, 0.0), (3.0, 17.0), (900.0, 100.0)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("seen", SEEN, ids=str)
def test_a_coordinate_has_the_density_of_its_rate_whatever_was_seen(shape, seen):
    fn = Offset(*(torch.tensor(value, dtype=torch.float64) for value in (*shape, *seen)))
    theta = np.array([1e-6, 0.02, 0.3, 0.9, 1 - 1e-6])
    offset = (logit(theta) - fn.centre.item()) / fn.width.item()
    slope = np.log(theta * (1 - theta)) + math.log(fn.width.item())
    expected = scipy.stats.beta(*shape).logpdf(theta) + slope
    assert fn.log_prob(torch.as_tensor(offset)).numpy() == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("shape", [*SHAPES, (0.002, 0.004)], ids=str)
def test_a_drawn_coordinate_gives_a_rate_of_the_beta(shape):
    fn = Offset(*(torch.tensor(value, dtype=torch.float64) for value in (*shape, 3.0, 17.0)))
    with workspace(5):
        log_odds = fn.log_odds(fn.sample((20_000,))).numpy()
    assert np.isfinite(log_odds).all()
    truth = scipy.stats.beta(*shape)
    assert max(off_by(monte_carlo(expit(log_odds)[None], dependent=False), truth.mean(), truth.std()).values()) < 4


def test_values_and_gradients_stay_finite_at_the_borders():
    model, data = prepared("rat_tumors")
    with workspace(4):
        density = LogDensity(program_of(model, data))
        for scale in (0.0, 2.0, 15.0):
            value, gradient = density(scale * torch.randn(50, density.size).clamp(-2, 2))
            assert torch.isfinite(value).all() and torch.isfinite(gradient).all(), scale


def test_the_hierarchy_becomes_machine_code():
    model, data = prepared("baseball_1970")
    with workspace(3):
        density = LogDensity(program_of(model, data))
        z = torch.randn(16, density.size)
        value, gradient = density(z)
        density.settle(16, "always")
        assert density.untraced is None and density.kernel is not None
        again, slope = density(z)
    assert again.numpy() == pytest.approx(value.numpy(), rel=1e-9)
    assert slope.numpy() == pytest.approx(gradient.numpy(), rel=1e-9, abs=1e-9)


# --- comparisons by quadrature --------------------------------------------------------------------------------------


def beats(first: tuple[int, int], second: tuple[int, int]) -> float:
    """P(first > second) for whole numbers, a finite sum (Miller 2015, "Formulas for Bayesian A/B testing")."""
    (a, b), (c, d) = first, second
    terms = [math.exp(betaln(c + i, b + d) - math.log(b + i) - betaln(1 + i, b) - betaln(c, d)) for i in range(a)]
    return sum(terms)


@pytest.mark.parametrize(
    ("first", "second", "known"),
    [
        ((9, 5), (6, 3), 0.442724458),
        ((16, 8), (10, 4), 0.366500698),
        ((1, 1), (1, 1), 0.5),
        ((130, 2000), (100, 2000), None),
        ((20000, 480000), (3, 70), None),
        ((1, 400), (400, 1), None),
    ],
)
def test_one_rate_above_another(first, second, known):
    found = above(rates(first), rates(second))
    assert found == pytest.approx(beats(first, second), abs=EXACT)
    assert known is None or found == pytest.approx(known, abs=EXACT)
    assert found + above(rates(second), rates(first)) == pytest.approx(1, abs=EXACT)


@pytest.mark.parametrize("shapes", [((0.5, 0.5), (0.5, 3)), ((0.1, 0.2), (0.05, 5)), ((0.3, 40), (1e5, 3e7))], ids=str)
def test_rates_near_the_borders(shapes):
    """In P(first > second) = E[F2(theta1)], averaged over equal parts of theta1's probability."""
    first, second = (scipy.stats.beta(*shape) for shape in shapes)
    grid = (np.arange(400_000) + 0.5) / 400_000
    assert above(*map(rates, shapes)) == pytest.approx(second.cdf(first.ppf(grid)).mean(), abs=2e-6)


def test_the_best_of_equals_and_what_the_others_cost():
    """Of k uniform rates each is the best equally often; the largest has mean k / (k + 1)."""
    for k in (2, 3, 7):
        equal = rates(*[(1, 1)] * k)
        assert equal.best() == pytest.approx(np.full(k, 1 / k), abs=EXACT)
        assert equal.loss() == pytest.approx(np.full(k, k / (k + 1) - 1 / 2), abs=EXACT)


FOUR = rates((9, 5), (6, 3), (3, 3), (50, 40))


def test_the_best_and_the_loss_of_four_are_those_of_draws():
    draws = np.random.default_rng(0).beta(FOUR.a, FOUR.b, (400_000, 4))
    best = (draws == draws.max(axis=1, keepdims=True)).astype(float)
    loss = draws.max(axis=1, keepdims=True) - draws
    for found, sample in ((FOUR.best(), best), (FOUR.loss(), loss)):
        assert (np.abs(found - sample.mean(axis=0)) < 4 * sample.std(axis=0) / math.sqrt(len(draws))).all()
    assert FOUR.best().sum() == pytest.approx(1, abs=EXACT)
    for g in range(4):
        part = Contrast("loss", FOUR.only([g, *(h for h in range(4) if h != g)]))
        assert part.cdf(0.0) == pytest.approx(FOUR.best()[g], abs=EXACT)
        assert part.mean() == pytest.approx(FOUR.loss()[g], abs=EXACT)
        error = (loss[:, g] - loss[:, g].mean()) ** 2
        spread = 4 * error.std() / (2 * loss[:, g].std()) / math.sqrt(len(draws))
        assert abs(part.std() - loss[:, g].std()) < spread
        for p in (0.3, 0.95):
            assert part.ppf(p) == 0.0 if p <= FOUR.best()[g] else part.cdf(float(part.ppf(p))) == pytest.approx(p)


def test_lifts_of_uniform_rates_are_known():
    """theta1 - theta0 is triangular on (-1, 1); theta1 / theta0 - 1 has P(< d) = (1 + d) / 2 for -1 < d < 0 and
    1 - 1 / (2 (1 + d)) above."""
    lift, relative = (Contrast(kind, rates((1, 1), (1, 1))) for kind in ("lift", "relative_lift"))
    triangle = scipy.stats.triang(0.5, loc=-1, scale=2)
    for d in (-0.9, -0.2, 0.0, 0.4, 0.99):
        assert lift.cdf(d) == pytest.approx(triangle.cdf(d), abs=EXACT)
        assert lift.pdf(np.array([d]))[0] == pytest.approx(triangle.pdf(d), abs=1e-4)
        expected = (1 + d) / 2 if d < 0 else 1 - 1 / (2 * (1 + d))
        assert relative.cdf(d) == pytest.approx(expected, abs=EXACT)
    assert lift.ppf([0.025, 0.5, 0.975]) == pytest.approx(triangle.ppf([0.025, 0.5, 0.975]), abs=EXACT)
    assert (lift.mean(), lift.std()) == pytest.approx((0, triangle.std()), abs=EXACT)
    assert relative.ppf([0.25, 0.75]) == pytest.approx([-0.5, 1.0], abs=EXACT)
    assert relative.mean() == math.inf and relative.std() == math.inf


def test_a_picture_of_a_density_is_the_density():
    first, second = scipy.stats.beta(9, 5), scipy.stats.beta(6, 3)
    part, d = Contrast("lift", rates((9, 5), (6, 3))), np.linspace(-0.6, 0.6, 201)
    many, few = part.pdf(d[:, None]), part.pdf(d[::50])
    assert many.shape == (201, 1) and many[::50, 0] == pytest.approx(few, abs=2e-3)
    for at, found in zip(d[::50], few, strict=True):
        truth = scipy.integrate.quad(lambda t, at=at: first.pdf(t) * second.pdf(t + at), max(0, -at), min(1, 1 - at))[0]
        assert found == pytest.approx(truth, abs=1e-5)


def test_moments_of_a_relative_lift_are_those_of_its_distribution():
    part = Contrast("relative_lift", rates((9, 5), (6, 3)))
    low, high = part.ppf([1e-10, 1 - 1e-10])
    tail = scipy.integrate.quad(lambda d: 1 - part.cdf(d), 0, high, limit=200)[0]
    mean = tail - scipy.integrate.quad(part.cdf, low, 0, limit=200)[0]
    assert part.mean() == pytest.approx(mean, abs=1e-6)
    second = 2 * scipy.integrate.quad(lambda d: d * (1 - part.cdf(d)), 0, high, limit=200)[0]
    second -= 2 * scipy.integrate.quad(lambda d: d * part.cdf(d), low, 0, limit=200)[0]
    assert part.std() == pytest.approx(math.sqrt(second - mean**2), rel=1e-3)


def test_chances_are_bernoulli():
    found = Chances(np.array([0.3, 0.96]))
    truth = scipy.stats.bernoulli([0.3, 0.96])
    assert found.mean() == pytest.approx(truth.mean()) and found.std() == pytest.approx(truth.std())
    asked = np.array([0.025, 0.5, 0.699, 0.701, 0.975])[:, None]
    assert found.ppf(asked).tolist() == truth.ppf(asked).tolist()


# --- updating and predicting in closed form -------------------------------------------------------------------------


def test_updates_in_any_order_and_size_are_the_batch():
    rng = np.random.default_rng(8)
    flips, start = rng.integers(0, 2, 40), rates((2, 3))
    batch = start.updated(flips.sum(), len(flips) - flips.sum())
    for order in (flips, flips[::-1], rng.permutation(flips)):
        one_by_one = start
        for flip in order:
            one_by_one = one_by_one.updated(flip, 1 - flip)
        assert one_by_one == batch
        halves = start.updated(order[:13].sum(), 13 - order[:13].sum())
        assert halves.updated(order[13:].sum(), 27 - order[13:].sum()) == batch


def test_the_closed_form_is_what_exact_proves():
    rows = table(successes=[3, 0, 7, 2], trials=[5, 2, 9, 4], group=["b", "a", "b", "c"])
    model = BetaBernoulli(prior="beta(2, 3)")
    proved = fit(model, model.data(rows), "exact").marginals["theta"].args
    assert np.array(proved) == pytest.approx(np.array(model.posterior(model.data(rows))), abs=EXACT)
    flat = BetaBernoulli(prior="uniform(0, 1)")
    assert flat.posterior(flat.data(rows)).a.tolist() == [1, 11, 3]


# --- quantities -----------------------------------------------------------------------------------------------------

TRIAL = table(successes=[90, 120, 95], trials=[1000, 1000, 1000], group=["old", "new", "blue"])


def test_quantities_of_draws_are_the_closed_form_within_their_error():
    model = BetaBernoulli(baseline="old")
    data = model.data(TRIAL)
    posterior = fit(model, data, "exact", seed=1)
    drawn, known = model.quantities(posterior.draws, data), model.exact_quantities(posterior.marginals, data)
    assert set(drawn.draws) == set(known) == {"best", "loss", "beats", "lift", "relative_lift"}
    assert drawn.coords == {"challenger": ["blue", "new"]}
    for name, values in drawn.draws.items():
        size = 3 if drawn.dims[name] == ("group",) else 2
        assert values.shape == (4, 1000, size)
        gaps = off_by(monte_carlo(values, dependent=False), known[name].mean(), known[name].std())
        assert max(gaps.values()) < 4, (name, gaps)
        assert known[name].ppf(np.array([[0.025], [0.5], [0.975]])).shape == (3, size)
        assert known[name].pdf(np.array([[0.01], [0.02]])).shape == (2, size)
    blue, new, old = (rates((1 + s, 1001 - s)) for s in (95, 120, 90))
    assert known["beats"].mean() == pytest.approx([above(blue, old), above(new, old)], abs=EXACT)
    assert known["lift"].mean() == pytest.approx([5 / 1002, 30 / 1002], abs=EXACT)


@pytest.mark.parametrize(
    ("groups", "baseline", "names"),
    [
        (["a", "b"], None, {"best", "loss", "beats", "lift", "relative_lift"}),
        (["a", "b", "c"], None, {"best", "loss"}),
        (["a", "b", "c"], "c", {"best", "loss", "beats", "lift", "relative_lift"}),
        (["a"], None, set()),
    ],
)
def test_what_is_compared(groups, baseline, names):
    model = BetaBernoulli(baseline=baseline)
    data = model.data(table(outcome=[1] * len(groups), group=groups))
    draws = {"theta": np.random.default_rng(0).random((1, 5, len(groups)))}
    found = model.quantities(draws, data)
    assert set(found.draws) == set(found.dims) == names
    if baseline == "c":
        assert found.coords["challenger"] == ["a", "b"]
        assert found.draws["lift"] == pytest.approx(draws["theta"][..., :2] - draws["theta"][..., 2:])
    one = BetaBernoulli().data(table(outcome=[1, 0]))
    assert model.baseline or BetaBernoulli().quantities({"theta": np.ones((1, 5))}, one).draws == {}


def test_many_groups_are_compared_by_draws_alone():
    model = BetaBernoulli()
    rows = table(outcome=[0, 1] * 13, group=list(range(13)) * 2)
    posterior = fit(model, model.data(rows), "exact")
    assert model.exact_quantities(posterior.marginals, model.data(rows)) == {}


def test_a_relative_lift_without_a_standard_deviation_is_left_to_draws():
    model = BetaBernoulli()
    rows = table(successes=[0, 5], trials=[10, 10], group=["a", "b"])
    posterior = fit(model, model.data(rows), "exact")
    assert set(model.exact_quantities(posterior.marginals, model.data(rows))) == {"best", "loss", "beats", "lift"}


# --- predictions ----------------------------------------------------------------------------------------------------


def test_predictions_are_beta_binomial():
    model = BetaBernoulli(prior="beta(2, 2)")
    fitted = table(successes=[7, 4], trials=[10, 5], group=["a", "b"])
    draws = fit(model, model.data(fitted), "exact", seed=4).draws
    found = model.predict(draws, fitted, table(group=["b", "a", "a"], trials=[10, 10, 40]), mass=0.9)
    assert list(found) == ["mean", "lower", "upper", "successes mean", "successes lower", "successes upper"]
    for row, (shape, trials) in enumerate([((6, 3), 10), ((9, 5), 10), ((9, 5), 40)]):
        theta, future = scipy.stats.beta(*shape), scipy.stats.betabinom(trials, *shape)
        error = theta.std() / math.sqrt(4000)
        assert abs(found["mean"][row] - theta.mean()) < 4 * error
        assert abs(found["successes mean"][row] - future.mean()) < 4 * trials * error
        for name, p in (("lower", 0.05), ("upper", 0.95)):
            at = math.sqrt(p * (1 - p) / 4000) / theta.pdf(theta.ppf(p))
            assert abs(found[name][row] - theta.ppf(p)) < 4 * at
            below = future.cdf([found[f"successes {name}"][row] - 1, found[f"successes {name}"][row]])
            assert below[0] < p + 0.02 and below[1] > p - 0.02
    # PP1: 5% and 95% of heads in ten flips are 3 and 9
    assert (found["successes lower"][1], found["successes upper"][1]) == (3, 9)


def test_one_rate_serves_all_rows():
    for model, fitted in (
        (BetaBernoulli(), table(outcome=[1, 0, 1])),
        (BetaBernoulli(pooling="complete"), table(outcome=[1, 0, 1], group=["a", "b", "a"])),
    ):
        draws = fit(model, model.data(fitted), "exact", seed=4).draws
        found = model.predict(draws, fitted, table(group=["z", "a"]))
        assert set(found) == {"mean", "lower", "upper"} and found["mean"][0] == found["mean"][1]
        assert found["mean"][0] == pytest.approx(draws["theta"].mean())


def test_an_unseen_group_is_a_draw_of_the_population():
    mu, kappa = 0.3, 20.0
    size = (4, 2500)
    draws = {"mu": np.full(size, mu), "kappa": np.full(size, kappa), "theta": np.full((*size, 2), (0.1, 0.6))}
    model, fitted = BetaBernoulli(pooling="partial"), table(successes=[1, 6], trials=[10, 10], group=["a", "b"])
    found = model.predict(draws, fitted, table(group=["b", "new", "newer"], trials=[10, 10, 10]))
    truth = scipy.stats.beta(mu * kappa, (1 - mu) * kappa)
    assert found["mean"][0] == pytest.approx(0.6)
    assert abs(found["mean"][1] - truth.mean()) < 4 * truth.std() / 100
    error = math.sqrt(0.05 * 0.95 / 10_000) / truth.pdf(truth.ppf([0.05, 0.95]))
    assert (np.abs([found["lower"][1], found["upper"][1]] - truth.ppf([0.05, 0.95])) < 4 * error).all()
    assert found["mean"][1] == found["mean"][2]
    future = scipy.stats.betabinom(10, mu * kappa, (1 - mu) * kappa)
    assert [found["successes lower"][1], found["successes upper"][1]] == future.ppf([0.05, 0.95]).tolist()
    nameless = model.predict(draws, table(successes=[1, 6], trials=[10, 10]), table(trials=[10]))
    assert nameless["mean"][0] == found["mean"][1]


def test_partial_pooling_predicts_the_season_better_than_the_raw_rates():
    """Efron & Morris (1975) on the eighteen batters: shrinkage has far less squared error on the rest of the season."""
    model, data = prepared("baseball_1970")
    posterior = fit(model, data, Nuts(num_samples=100), seed=1)
    rows = np.genfromtxt(DATA / "baseball_1970.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    after = rows["RemainingHits"] / rows["RemainingAB"]
    shrunk = posterior.draws["theta"].mean(axis=(0, 1))[data.inputs["group"]]
    raw = rows["Hits"] / rows["AB"]
    assert ((shrunk - after) ** 2).sum() < 0.4 * ((raw - after) ** 2).sum()


# --- refusals -------------------------------------------------------------------------------------------------------

PARTIAL = {"pooling": "partial"}
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no groups to pool": (
        PARTIAL,
        {"outcome": [1, 0]},
        "rows.csv: `pooling: partial` relates the rates of groups, and there is no column `group`; "
        "name one under data.columns",
    ),
    "one group": (
        PARTIAL,
        {"outcome": [1, 0], "group": ["a", "a"]},
        "rows.csv, column `group`: `pooling: partial` needs two groups or more, got one (`a`); set `pooling: none`",
    ),
    "one row": (
        PARTIAL,
        {"successes": [1], "trials": [4]},
        "rows.csv: `pooling: partial` needs two groups or more, got one (`1`); set `pooling: none`",
    ),
    "an empty group": (
        PARTIAL,
        {"outcome": [1, 0, 1], "group": np.array(["a", None, "b"], dtype=object)},
        "rows.csv, column `group`, row 2: must have a label, got an empty cell; fill the cell in or leave the row out",
    ),
    "a misspelt baseline": (
        {"baseline": "contol"},
        {"outcome": [1, 0], "group": ["control", "new"]},
        "model.baseline: `contol` is not a group; did you mean `control`?",
    ),
    "a baseline without groups": (
        {"baseline": "old"},
        {"outcome": [1, 0]},
        "model.baseline: there are no groups to compare; leave it out",
    ),
    "a baseline of pooled groups": (
        {"baseline": "a", "pooling": "complete"},
        {"outcome": [1, 0], "group": ["a", "b"]},
        "model.baseline: there are no groups to compare; leave it out",
    ),
    "more successes than trials": (
        PARTIAL,
        {"successes": [1, 5], "trials": [4, 4]},
        "rows.csv, column `successes`, row 2: must not exceed `trials`, got 5; correct the row",
    ),
}


@pytest.mark.parametrize(("settings", "columns", "sentence"), REFUSED.values(), ids=REFUSED)
def test_wrong_rows_are_refused(settings, columns, sentence):
    with pytest.raises(InputError) as refused:
        BetaBernoulli(**settings).data(table(**columns))
    assert str(refused.value) == sentence


FITTED = table(outcome=[1, 0], group=["a", "b"])
DRAWS = {"theta": np.full((1, 4, 2), 0.5)}
NEW_REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an unseen group": (
        {"group": ["a", "c"]},
        "rows.csv, column `group`, row 2: is not a group of the fitted rows, got 'c'; "
        "fit rows of the group, or set `pooling: partial`",
    ),
    "no column of groups": ({"trials": [3]}, "rows.csv: there is no column `group`; known: `trials`"),
    "an empty group": (
        {"group": np.array(["a", None], dtype=object)},
        "rows.csv, column `group`, row 2: must have a label, got an empty cell; fill the cell in or leave the row out",
    ),
    "half a trial": (
        {"group": ["a", "a"], "trials": [3, 2.5]},
        "rows.csv, column `trials`, row 2: must be a whole number, 0 or more, got 2.5; correct it",
    ),
}


@pytest.mark.parametrize(("columns", "sentence"), NEW_REFUSED.values(), ids=NEW_REFUSED)
def test_wrong_new_rows_are_refused(columns, sentence):
    with pytest.raises(InputError) as refused:
        BetaBernoulli().predict(DRAWS, FITTED, table(**columns))
    assert str(refused.value) == sentence


WRONG_SETTINGS = {
    "a spread on the whole line": (
        {"spread_prior": "normal(0, 1)"},
        "must be a prior on the unit interval (of rho) or on the positive numbers (of kappa), got `normal(0, 1)`; "
        "use for instance `beta(1, 1)`",
    ),
    "a mean beyond 1": ({"mean_prior": "gamma(1, 1)"}, "must be a prior on the unit interval, got `gamma(1, 1)`"),
    "an unknown pooling": ({"pooling": "full"}, "'none', 'complete' or 'partial'"),
}


@pytest.mark.parametrize(("settings", "sentence"), WRONG_SETTINGS.values(), ids=WRONG_SETTINGS)
def test_wrong_settings_are_refused(settings, sentence):
    with pytest.raises(ValidationError) as refused:
        BetaBernoulli(**settings)
    assert sentence in str(refused.value)
