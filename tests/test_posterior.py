"""The record that every backend returns: names of elements, quantiles, and which numbers a summary may show."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from inference.posterior import PROBABILITIES, Posterior

KEYS = ["mean", "sd", "mcse_mean", "ess_bulk", "ess_tail", "r_hat", "q5", "q25", "q50", "q75", "q95"]
GENERATOR = np.random.default_rng(8)
DIMS = {"alpha": (), "weights": ("weights_dim_0",), "beta": ("group", "term")}
COORDS = {"group": ["a", "b"], "term": ["age", "sex", "x y"]}


def independent(**more: object) -> Posterior:
    draws = {
        "alpha": GENERATOR.normal(size=(4, 250)),
        "weights": GENERATOR.normal(size=(4, 250, 2)),
        "beta": GENERATOR.normal(size=(4, 250, 2, 3)),
    }
    return Posterior("svi", draws, DIMS, COORDS, **more)  # type: ignore[arg-type]


def test_elements_are_written_as_arviz_writes_them() -> None:
    posterior = independent()
    assert list(posterior.elements("alpha")) == [((), "alpha")]
    assert list(posterior.elements("weights")) == [((0,), "weights[0]"), ((1,), "weights[1]")]
    assert [name for _, name in posterior.elements("beta")] == [
        "beta[a, age]",
        "beta[a, sex]",
        "beta[a, x y]",
        "beta[b, age]",
        "beta[b, sex]",
        "beta[b, x y]",
    ]
    assert list(posterior.elements("beta"))[4][0] == (1, 1)


def test_a_summary_has_every_key_for_every_element_in_order() -> None:
    table = independent().summary()
    assert list(table)[:4] == ["alpha", "weights[0]", "weights[1]", "beta[a, age]"] and len(table) == 1 + 2 + 6
    assert all(list(row) == KEYS for row in table.values())


def test_independent_draws_have_a_monte_carlo_error_and_no_chain_diagnostics() -> None:
    posterior = independent()
    row = posterior.summary()["beta[b, sex]"]
    draws = posterior.draws["beta"][:, :, 1, 1].reshape(-1)
    assert (row["ess_bulk"], row["ess_tail"], row["r_hat"]) == (None, None, None)
    assert row["mean"] == pytest.approx(draws.mean(), rel=1e-12)
    assert row["sd"] == pytest.approx(draws.std(ddof=1), rel=1e-12)
    assert row["mcse_mean"] == pytest.approx(draws.std(ddof=1) / np.sqrt(1000), rel=1e-12)
    for key, probability in PROBABILITIES.items():
        assert row[key] == pytest.approx(np.quantile(draws, probability), rel=1e-12)


def test_closed_form_marginals_replace_the_draws_wherever_they_are_known() -> None:
    a, b = np.array([9.0, 2.0]), np.array([5.0, 7.0])
    marginal = scipy.stats.beta(a, b)
    draws = {"theta": np.zeros((2, 10, 2)), "twice": GENERATOR.normal(size=(2, 10))}
    posterior = Posterior(
        "exact", draws, {"theta": ("group",), "twice": ()}, {"group": ["u", "v"]}, marginals={"theta": marginal}
    )
    row = posterior.summary()["theta[v]"]
    assert row["mean"] == pytest.approx(2 / 9, rel=1e-14)
    assert row["sd"] == pytest.approx(np.sqrt(14 / (81 * 10)), rel=1e-12)
    assert row["q95"] == pytest.approx(scipy.stats.beta.ppf(0.95, 2, 7), rel=1e-12)
    assert (row["mcse_mean"], row["ess_bulk"], row["ess_tail"], row["r_hat"]) == (0.0, None, None, None)
    twice = posterior.summary()["twice"]
    assert twice["mcse_mean"] == pytest.approx(draws["twice"].std(ddof=1) / np.sqrt(20)) and twice["r_hat"] is None


def test_the_ten_flips_interval_is_analytic() -> None:
    posterior = Posterior(
        "exact", {"theta": np.zeros((1, 4))}, {"theta": ()}, marginals={"theta": scipy.stats.beta(9.0, 5.0)}
    )
    low, high = posterior.interval("theta")
    assert low == pytest.approx(0.385738338249, abs=1e-9) and high == pytest.approx(0.861420661110, abs=1e-9)
    assert posterior.summary()["theta"]["mean"] == pytest.approx(9 / 14, abs=1e-12)


@pytest.mark.parametrize(("asked", "leading"), [(0.5, ()), ([0.1], (1,)), ([0.1, 0.5, 0.9], (3,))], ids=str)
@pytest.mark.parametrize("analytic", [False, True], ids=["draws", "closed form"])
def test_quantiles_lead_with_their_probabilities(
    asked: float | list[float], leading: tuple[int, ...], analytic: bool
) -> None:
    means = np.arange(6.0).reshape(2, 3)
    marginals = {"beta": scipy.stats.norm(means, 1.0)} if analytic else {}
    posterior = Posterior("exact", {"beta": np.broadcast_to(means, (2, 5, 2, 3))}, DIMS, COORDS, marginals=marginals)
    found = posterior.quantile("beta", asked)
    assert found.shape == (*leading, 2, 3)
    shift = scipy.stats.norm.ppf(asked) if analytic else np.zeros(leading)
    np.testing.assert_allclose(found, means + np.asarray(shift).reshape(*leading, 1, 1), atol=1e-12)


def test_an_interval_holds_the_mass_asked_for() -> None:
    draws = {"alpha": np.linspace(0, 1, 1001)[None]}
    posterior = Posterior("svi", draws, {"alpha": ()})
    np.testing.assert_allclose(posterior.interval("alpha", 0.9), [0.05, 0.95], atol=1e-12)
    np.testing.assert_allclose(posterior.interval("alpha"), [0.025, 0.975], atol=1e-12)
    assert posterior.num_draws == 1001


def test_markov_chains_have_all_three_diagnostics() -> None:
    draws = GENERATOR.normal(size=(4, 250))
    apart = draws + np.arange(4)[:, None] * 3
    posterior = Posterior("nuts", {"good": draws, "bad": apart}, {"good": (), "bad": ()}, dependent=True)
    good, bad = posterior.summary()["good"], posterior.summary()["bad"]
    assert good["r_hat"] is not None and bad["r_hat"] is not None and good["ess_bulk"] is not None
    assert good["r_hat"] < 1.02 and bad["r_hat"] > 1.5
    assert 700 < good["ess_bulk"] < 1400
    assert bad["ess_bulk"] is not None and bad["ess_bulk"] < 20
    # independent draws: the Monte Carlo error is sd / sqrt(draws), up to the noise of the estimated sample size
    assert good["mcse_mean"] == pytest.approx(draws.std(ddof=1) / np.sqrt(1000), rel=0.25)


def test_one_chain_has_no_r_hat() -> None:
    posterior = Posterior("nuts", {"x": GENERATOR.normal(size=(1, 200))}, {"x": ()}, dependent=True)
    row = posterior.summary()["x"]
    assert row["r_hat"] is None and row["ess_bulk"] is not None
