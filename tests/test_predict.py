"""Running a program forwards: pointwise likelihood, prior and predictive draws, against exact distributions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import scipy.stats
import torch
from pyro import poutine
from torch import Tensor

from inference import predict
from inference.predict import derived, draw_once, log_likelihood, over_rows, predictive, prior, thin
from inference.program import Program, read
from inference.streams import workspace
from models import BetaBernoulli
from models.base import Data
from models.errors import InputError


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    with workspace(1):
        yield


def assert_pmf(found: np.ndarray, pmf: np.ndarray) -> None:
    """Counts of `found` over 0..K follow `pmf` (chi-squared, cells of at least 5 expected, at one in ten thousand)."""
    counts = np.bincount(found.astype(int), minlength=len(pmf))
    assert len(counts) == len(pmf)
    expected = pmf * len(found)
    small = expected < 5
    if small.any():
        counts, expected = (np.append(x[~small], x[small].sum()) for x in (counts, expected))
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert scipy.stats.chi2(len(expected) - 1).sf(statistic) > 1e-4


def assert_independent(rows: Tensor) -> None:
    """Neighbours, and rows one chunk apart, are no copies and not correlated: |r| < 4.5 / sqrt(n)."""
    x = rows.reshape(len(rows), -1)[:, 0].double().numpy()
    for lag in (1, CHUNK):
        assert not np.array_equal(x[lag:], x[:-lag])
        assert abs(np.corrcoef(x[lag:], x[:-lag])[0, 1]) < 4.5 / np.sqrt(len(x) - lag)


CHUNK = 250
ROWS = 4 * CHUNK


@pytest.fixture
def chunked(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few values in flight that the rows of one-valued observations go through in chunks."""
    monkeypatch.setattr(predict, "CHUNK_VALUES", CHUNK)


def flips_of_ten() -> Program:
    """The known posterior beta(9, 5) and ten further flips, one count."""
    return read(BetaBernoulli(), Data({"num_rows": 1, "trials": np.array([10.0])}, {"y": np.array([7.0])}))


def beta_draws(num: int) -> Tensor:
    return dist.Beta(9.0, 5.0).sample((num,))


def test_log_likelihood_is_scipys_for_every_draw_and_observation() -> None:
    trials, y = np.array([10.0, 4.0, 7.0]), np.array([7.0, 0.0, 7.0])
    program = read(BetaBernoulli(), Data({"num_rows": 3, "trials": trials}, {"y": y}))
    theta = beta_draws(50)
    found = log_likelihood(program, {"theta": theta})["y"]
    assert found.shape == (50, 3)
    np.testing.assert_allclose(found.numpy(), scipy.stats.binom.logpmf(y, trials, theta.numpy()[:, None]), rtol=1e-10)


def test_log_likelihood_sums_over_event_axes_alone() -> None:
    def program() -> None:
        m = pyro.sample("m", dist.Normal(0.0, 1.0))
        with pyro.plate("row", 2):
            pyro.sample("y", dist.Normal(m, 1.0).expand([3]).to_event(1))

    y = np.arange(6.0).reshape(2, 3)
    m = torch.tensor([0.3, -1.0])
    found = log_likelihood(read(program, Data({}, {"y": y})), {"m": m})["y"]
    expected = np.stack([scipy.stats.norm(centre, 1).logpdf(y).sum(axis=1) for centre in m.tolist()])
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_masked_and_scaled_observations_weigh_what_the_program_says() -> None:
    def program() -> None:
        m = pyro.sample("m", dist.Normal(0.0, 1.0))
        with pyro.plate("row", 3), poutine.mask(mask=torch.tensor([True, False, True])), poutine.scale(scale=2.0):
            pyro.sample("y", dist.Normal(m, 1.0))

    found = log_likelihood(read(program, Data({}, {"y": np.array([1.0, 2.0, 3.0])})), {"m": torch.zeros(1)})["y"]
    expected = 2 * scipy.stats.norm.logpdf([1.0, 2.0, 3.0]) * [1, 0, 1]
    np.testing.assert_allclose(found.numpy()[0], expected, rtol=1e-12)


def test_ten_further_flips_follow_the_beta_binomial(chunked: None) -> None:
    y = predictive(flips_of_ten(), {"theta": beta_draws(8000)})["y"][:, 0].numpy()
    exact = scipy.stats.betabinom(10, 9, 5)
    assert exact.mean() == pytest.approx(6.428571428571) and exact.var() == pytest.approx(3.673469387755)
    # the published table is rounded to six digits
    published = [0.000875, 0.005625, 0.019470, 0.047593, 0.090860, 0.141742]
    published += [0.183739, 0.196864, 0.168740, 0.106244, 0.038248]
    np.testing.assert_allclose(exact.pmf(np.arange(11)), published, atol=6e-7)
    assert_pmf(y, exact.pmf(np.arange(11)))
    assert abs(y.mean() - exact.mean()) < 4.5 * exact.std() / np.sqrt(8000)
    fourth = exact.expect(lambda k: (k - exact.mean()) ** 4)
    assert abs(y.var() - exact.var()) < 4.5 * np.sqrt((fourth - exact.var() ** 2) / 8000)


def test_replicated_observations_are_independent_given_the_parameters() -> None:
    program = read(BetaBernoulli(), Data({"num_rows": 2}, {"y": np.zeros(2)}))
    y = predictive(program, {"theta": torch.full((8000,), 0.3)})["y"].numpy()
    pairs = 2 * y[:, 0] + y[:, 1]
    assert_pmf(pairs, np.array([0.49, 0.21, 0.21, 0.09]))


OBSERVATIONS: dict[str, tuple[Callable[[Tensor], dist.Distribution], Callable[[np.ndarray], np.ndarray]]] = {
    "Bernoulli": (lambda p: dist.Bernoulli(p), lambda k: scipy.stats.bernoulli.pmf(k, 0.3)),
    "Binomial": (lambda p: dist.Binomial(6, p), lambda k: scipy.stats.binom.pmf(k, 6, 0.3)),
    "Binomial by row": (lambda p: dist.Binomial(torch.tensor(6.0), p), lambda k: scipy.stats.binom.pmf(k, 6, 0.3)),
    "Poisson": (lambda p: dist.Poisson(10 * p), lambda k: scipy.stats.poisson.pmf(k, 3.0)),
    "Categorical": (
        lambda p: dist.Categorical(torch.stack([p, (1 - p) / 2, (1 - p) / 2])),
        lambda k: np.array([0.3, 0.35, 0.35])[k],
    ),
    "NegativeBinomial": (
        lambda p: dist.NegativeBinomial(torch.tensor(4.0), p),
        lambda k: scipy.stats.nbinom.pmf(k, 4, 0.7),
    ),
    "Geometric": (lambda p: dist.Geometric(p), lambda k: scipy.stats.geom.pmf(k + 1, 0.3)),
}


@pytest.mark.parametrize("fixed", [False, True], ids=["parameters by row", "one parameter"])
@pytest.mark.parametrize(("observe", "pmf"), OBSERVATIONS.values(), ids=OBSERVATIONS)
def test_counts_have_their_distribution_and_are_independent_across_rows_and_chunks(
    observe: Callable[[Tensor], dist.Distribution], pmf: Callable[[np.ndarray], np.ndarray], fixed: bool, chunked: None
) -> None:
    """Both ways that a batched sampler can go wrong: copying one draw along rows, and losing the row's parameter."""

    def program() -> None:
        p = pyro.sample("p", dist.Beta(1.0, 1.0))
        pyro.sample("y", observe(torch.tensor(0.3) if fixed else p))

    found = predictive(read(program, Data({}, {"y": np.array(0.0)})), {"p": torch.full((ROWS,), 0.3)})["y"]
    assert found.shape == (ROWS,)
    top = int(found.max()) + 1
    mass = pmf(np.arange(top))
    # what lies beyond the largest of a thousand counts is next to nothing
    assert 1 - mass.sum() < 0.01
    assert_pmf(found.numpy(), mass / mass.sum())
    assert_independent(found)


CONTINUOUS = {
    "Normal": (lambda s: dist.Normal(0.0, s), scipy.stats.norm(0, 0.5)),
    "StudentT": (lambda s: dist.StudentT(4.0, 0.0, s), scipy.stats.t(4, 0, 0.5)),
    "Gamma": (lambda s: dist.Gamma(2.0, 1 / s), scipy.stats.gamma(2, scale=0.5)),
    "Beta": (lambda s: dist.Beta(4 * s, 3.0), scipy.stats.beta(2, 3)),
    "Exponential": (lambda s: dist.Exponential(1 / s), scipy.stats.expon(scale=0.5)),
    "LogNormal": (lambda s: dist.LogNormal(0.0, s), scipy.stats.lognorm(0.5)),
    "Uniform": (lambda s: dist.Uniform(0.0, 2 * s), scipy.stats.uniform(0, 1)),
}


@pytest.mark.parametrize("kind", CONTINUOUS)
def test_measurements_have_their_distribution_and_are_independent(kind: str, chunked: None) -> None:
    observe, exact = CONTINUOUS[kind]

    def run(row: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"y": pyro.sample("y", observe(row["s"]))}

    found = over_rows(run, {"s": torch.full((ROWS,), 0.5)}, 1)["y"]
    assert scipy.stats.kstest(found.numpy(), exact.cdf).pvalue > 1e-4
    assert_independent(found)


def test_every_row_keeps_its_own_parameters(chunked: None) -> None:
    def run(row: dict[str, Tensor]) -> dict[str, Tensor]:
        return {
            "sure": pyro.sample("y", dist.Bernoulli(row["p"])),
            "count": pyro.sample("k", dist.Binomial(5, row["p"])),
        }

    p = (torch.arange(ROWS) % 3 == 0).double()
    found = over_rows(run, {"p": p}, 1)
    assert torch.equal(found["sure"], p) and torch.equal(found["count"], 5 * p)


def test_a_program_that_cannot_be_batched_is_run_row_by_row_with_the_same_meaning(chunked: None) -> None:
    calls = []

    def run(row: dict[str, Tensor]) -> dict[str, Tensor]:
        calls.append(1)
        top = 10 if row["p"].item() > 0 else 1  # no batch of rows has one item
        return {"y": pyro.sample("y", dist.Binomial(top, row["p"]))}

    def batched(row: dict[str, Tensor]) -> dict[str, Tensor]:
        calls.append(1)
        return {"y": pyro.sample("y", dist.Binomial(10, row["p"]))}

    theta = beta_draws(3000)
    pmf = scipy.stats.betabinom(10, 9, 5).pmf(np.arange(11))
    by_row = over_rows(run, {"p": theta}, 1)["y"]
    assert len(calls) >= 3000
    assert_pmf(by_row.numpy(), pmf)
    calls.clear()
    at_once = over_rows(batched, {"p": theta}, 1)["y"]
    assert len(calls) == 3000 // CHUNK
    assert_pmf(at_once.numpy(), pmf)


def test_a_fault_in_the_program_is_not_hidden_by_the_second_way() -> None:
    def run(row: dict[str, Tensor]) -> dict[str, Tensor]:
        raise ValueError("the program's own fault")

    with pytest.raises(ValueError, match="the program's own fault"):
        over_rows(run, {"p": torch.zeros(3)}, 1)


def line(x: Tensor) -> None:
    slope = pyro.sample("slope", dist.Normal(0.5, 2.0))
    fitted = pyro.deterministic("fitted", slope * x)
    with pyro.plate("row", len(x)):
        pyro.sample("y", dist.Normal(fitted, 1.0))


X = np.array([1.0, -2.0])


def test_deterministic_sites_are_functions_of_the_draws() -> None:
    slope = torch.tensor([0.0, 1.0, -0.5])
    found = derived(read(line, Data({"x": X}, {"y": X})), {"slope": slope})
    np.testing.assert_allclose(found["fitted"].numpy(), slope.numpy()[:, None] * X)


def test_a_program_without_deterministic_or_observed_sites_has_none() -> None:
    program = read(line, Data({"x": X}))
    assert log_likelihood(program, {"slope": torch.zeros(2), "y": torch.zeros(2, 2)}) == {}
    assert predictive(program, {"slope": torch.zeros(2), "y": torch.zeros(2, 2)}) == {}


def test_prior_draws_are_joint_and_know_nothing_of_the_data() -> None:
    found = prior(read(line, Data({"x": X}, {"y": np.array([50.0, -90.0])})), 1500)
    assert {name: tuple(rows.shape) for name, rows in found.items()} == {
        "slope": (1500,),
        "fitted": (1500, 2),
        "y": (1500, 2),
    }
    np.testing.assert_allclose(found["fitted"].numpy(), found["slope"].numpy()[:, None] * X, rtol=1e-12)
    assert scipy.stats.kstest(found["slope"].numpy(), scipy.stats.norm(0.5, 2).cdf).pvalue > 1e-4
    for column, x in enumerate(X):
        marginal = scipy.stats.norm(0.5 * x, np.hypot(2 * x, 1))
        assert scipy.stats.kstest(found["y"][:, column].numpy(), marginal.cdf).pvalue > 1e-4
    residual = found["y"] - found["fitted"]
    assert scipy.stats.kstest(residual.numpy().ravel(), scipy.stats.norm.cdf).pvalue > 1e-4


def test_prior_predictive_counts_of_a_uniform_rate_are_uniform() -> None:
    found = prior(flips_of_ten(), 3000)
    assert_pmf(found["y"][:, 0].numpy(), np.full(11, 1 / 11))
    assert scipy.stats.kstest(found["theta"].numpy(), scipy.stats.uniform.cdf).pvalue > 1e-4


@pytest.mark.parametrize(
    ("keep", "index"), [(100, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), (10, [0, 2, 4, 7, 9]), (4, [0, 9]), (1, [0])]
)
def test_thinning_keeps_both_ends_and_as_many_as_fit(keep: int, index: list[int]) -> None:
    draws = {"a": np.arange(20).reshape(2, 10), "b": np.arange(60).reshape(2, 10, 3)}
    found = thin(draws, values_per_draw=3, most_values=keep * 3)
    assert found["a"].tolist() == draws["a"][:, index].tolist()
    assert found["b"].tolist() == draws["b"][:, index].tolist()


def test_one_draw_fixes_the_truth_and_draws_the_rest_from_it() -> None:
    found = draw_once(line, Data({"x": np.linspace(-1, 1, 400)}), {"slope": 3.0}, "config")
    assert set(found) == {"slope", "fitted", "y"} and found["slope"] == 3.0
    np.testing.assert_allclose(found["fitted"], 3 * np.linspace(-1, 1, 400))
    residual = found["y"] - found["fitted"]
    assert scipy.stats.kstest(residual, scipy.stats.norm.cdf).pvalue > 1e-4


WRONG_TRUTH = {
    "an unknown site": ({"slop": 1.0}, "config: there is no latent site `slop`; did you mean `slope`?"),
    "a plate": ({"row": [0.0, 1.0]}, "config: there is no latent site `row`; known: `slope`, `y`"),
    "a deterministic site": ({"fitted": [0.0, 1.0]}, "config: there is no latent site `fitted`; known: `slope`, `y`"),
    "a wrong shape": (
        {"slope": [1.0, 2.0]},
        "config: `slope` must be of shape () and in the support of Normal, got [1.0, 2.0]; correct the value",
    ),
    "not a number": (
        {"slope": float("nan")},
        "config: `slope` must be of shape () and in the support of Normal, got nan; correct the value",
    ),
    "a word": (
        {"slope": "steep"},
        "config: `slope` must be a number or a rectangular list, got 'steep'; correct the value",
    ),
    "a ragged list": (
        {"slope": [[1], [1, 2]]},
        "config: `slope` must be a number or a rectangular list, got [[1], [1, 2]]; correct the value",
    ),
}


@pytest.mark.parametrize(("truth", "sentence"), WRONG_TRUTH.values(), ids=WRONG_TRUTH)
def test_a_truth_that_does_not_fit_is_refused(truth: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        draw_once(line, Data({"x": X}), truth, "config")
    assert str(refused.value) == sentence


def test_a_truth_outside_the_support_is_refused() -> None:
    with pytest.raises(InputError, match=r"`theta` must be of shape \(\) and in the support of Beta, got 1.5"):
        draw_once(BetaBernoulli(), Data({"num_rows": 3}), {"theta": 1.5}, "config")


def without_a_prior(num_rows: int) -> None:
    """A flat prior: a density, but nothing to draw from."""
    m = pyro.sample("m", dist.ImproperUniform(dist.constraints.real, (), ()))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Normal(m, 1.0))


def test_a_program_without_a_proper_prior_has_replicated_data_and_no_prior_draws() -> None:
    program = read(without_a_prior, Data({"num_rows": 2}, {"y": X}))
    assert prior(program, 100) == {}
    y = predictive(program, {"m": torch.full((1500,), 7.0)})["y"]
    assert scipy.stats.kstest(y.numpy().ravel(), scipy.stats.norm(7, 1).cdf).pvalue > 1e-4


def test_a_site_without_a_distribution_is_drawn_from_the_value_it_is_given() -> None:
    with pytest.raises(InputError) as refused:
        draw_once(without_a_prior, Data({"num_rows": 3}), {}, "config")
    assert str(refused.value) == "config: `m` has no distribution to draw it from; give its value"
    assert draw_once(without_a_prior, Data({"num_rows": 3}), {"m": 2.0}, "config")["m"] == 2.0


def labelled(num_rows: int) -> None:
    scale = pyro.param("scale", torch.tensor(0.5))
    with pyro.plate("row", num_rows):
        z = pyro.sample("z", dist.Categorical(torch.tensor([0.5, 0.5])))
        pyro.deterministic("centre", torch.tensor([-50.0, 50.0])[z], event_dim=0)
        pyro.sample("y", dist.Normal(torch.tensor([-50.0, 50.0])[z], scale))


def test_labels_can_be_fixed_as_truth() -> None:
    """They stay whole numbers, which index."""
    found = draw_once(labelled, Data({"num_rows": 3}), {"z": [0, 1, 1]}, "config")
    assert found["z"].tolist() == [0, 1, 1] and (np.sign(found["y"]) == [-1, 1, 1]).all()


def test_parameters_leave_no_trace_in_what_is_drawn() -> None:
    found = prior(read(labelled, Data({"num_rows": 2})), 50)
    assert not any(value.requires_grad for value in found.values()) and set(found) == {"z", "centre", "y"}


def test_normal_outcomes_are_drawn_in_one_batch():
    """PyTorch's own standard normals would make the program run once for every draw."""
    runs = []

    def noisy() -> None:
        runs.append(1)
        x = pyro.sample("x", dist.Normal(torch.tensor(0.0), 1.0))
        pyro.sample("y", dist.Normal(x, 2.0).expand((3,)).to_event(1))

    with workspace(1):
        program = read(noisy, Data(observed={"y": np.zeros(3)}))
        runs.clear()
        rows = predictive(program, {"x": torch.full((4000,), 5.0)})["y"]
    assert len(runs) <= 2
    assert rows.shape == (4000, 3)
    assert abs(float(rows.mean()) - 5.0) < 4 * 2 / 12000**0.5
    assert abs(float(rows.std()) - 2.0) < 4 * 2 / 24000**0.5
    # a draw's elements, and the draws, are independent
    assert abs(float(torch.corrcoef(rows.T)[0, 1])) < 4 / 4000**0.5
    assert abs(float(torch.corrcoef(torch.stack([rows[:-1, 0], rows[1:, 0]]))[0, 1])) < 4 / 4000**0.5
