"""Checks: each one on posteriors made by hand, whose numbers are known without a fit."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats

from experiments.checks import CHECKS, judge, judge_criticism
from experiments.criticism.record import Criticism
from experiments.criticism.statistics import Finding
from experiments.results import GENERATED, Check
from experiments.settings import Checks
from inference import arviz_bridge
from inference.posterior import Posterior
from inference.settings import BACKENDS

NAN, INF = math.nan, math.inf


def posterior(backend: str = "nuts", **parts: Any) -> Posterior:
    draws = {"theta": np.linspace(0, 1, 40).reshape(4, 10)}
    return Posterior(backend, **{"draws": draws, "dims": {"theta": ()}, "dependent": backend == "nuts", **parts})


def summary(**variables: dict[str, float | None]) -> dict[str, dict[str, float | None]]:
    """Rows that keep every check, but for what is given: `theta={"r_hat": 1.2}`."""
    good: dict[str, float | None] = {"r_hat": 1.0, "ess_bulk": 1000.0, "ess_tail": 900.0}
    return {name: {**good, **row} for name, row in (variables or {"theta": {}}).items()}


def check(name: str, found: Posterior, table: Any = None, **thresholds: Any) -> Check | None:
    """The check of that name, or None where it was not made."""
    made = {made.name: made for made in judge(found, summary() if table is None else table, Checks(**thresholds))}
    return made.get(name)


# name of the check, the summary's rows, thresholds; value, whether it passes, and its sentence
CHAINS: list[tuple[str, dict[str, Any], dict[str, Any], float | None, bool, str]] = [
    ("R-hat", {"theta": {"r_hat": 1.01}}, {}, 1.01, True, "largest R-hat 1.01 (`theta`)"),
    ("R-hat", {"a": {"r_hat": 1.0}, "b": {"r_hat": 1.02}}, {}, 1.02, False, "largest R-hat 1.02 (`b`)"),
    ("R-hat", {"theta": {"r_hat": 1.2}}, {"max_r_hat": 1.3}, 1.2, True, "largest R-hat 1.2 (`theta`)"),
    ("R-hat", {"a": {"r_hat": 1.5}, "b": {"r_hat": NAN}}, {}, None, False, "(`b`)"),
    ("R-hat", {"a": {"r_hat": NAN}, "b": {"r_hat": 1.0}}, {}, None, False, "(`a`)"),
    ("R-hat", {"theta": {"r_hat": INF}}, {}, INF, False, "largest R-hat inf (`theta`)"),
    ("R-hat", {"a": {"r_hat": None}, "b": {"r_hat": 1.003}}, {}, 1.003, True, "(`b`)"),
    ("bulk ESS", {"theta": {"ess_bulk": 400.0}}, {}, 400.0, True, "smallest bulk ESS 400 (`theta`)"),
    ("bulk ESS", {"a": {}, "b": {"ess_bulk": 399.4}}, {}, 399.4, False, "smallest bulk ESS 399.4 (`b`)"),
    ("bulk ESS", {"theta": {"ess_bulk": 20.0}}, {"min_ess": 20}, 20.0, True, "smallest bulk ESS 20 (`theta`)"),
    ("bulk ESS", {"theta": {"ess_bulk": NAN}}, {"min_ess": 0}, None, False, "(`theta`)"),
    ("tail ESS", {"a": {"ess_tail": 71.0}, "b": {}}, {}, 71.0, False, "smallest tail ESS 71 (`a`)"),
    ("tail ESS", {"a": {"ess_bulk": 3.0}}, {}, 900.0, True, "smallest tail ESS 900 (`a`)"),
]


@pytest.mark.parametrize(("name", "rows", "thresholds", "value", "passed", "sentence"), CHAINS)
def test_chains_are_held_to_their_worst_variable(name, rows, thresholds, value, passed, sentence):
    made = check(name, posterior(), summary(**rows), **thresholds)
    assert made is not None
    assert (made.backend, made.value, made.passed) == ("nuts", value, passed)
    assert sentence in made.message


def test_a_single_chain_is_told_that_it_is_one():
    made = check("R-hat", posterior(), summary(a={"r_hat": None}, b={"r_hat": None}))
    assert made == Check("R-hat", "nuts", None, 1.01, False, "there is no R-hat: it compares chains; run at least two")


@pytest.mark.parametrize("backend", ["exact", "svi"])
def test_independent_draws_are_not_held_to_what_chains_are_held_to(backend):
    rows = summary(theta={"r_hat": None, "ess_bulk": None, "ess_tail": None})
    made = [made.name for made in judge(posterior(backend), rows, Checks())]
    assert made == ["non-finite values"]


@pytest.mark.parametrize(
    ("count", "threshold", "passed", "sentence"),
    [
        (0, 0, True, "0 divergent transitions"),
        (1, 0, False, "1 divergent transition: the sampler missed a region"),
        (3, 0, False, "3 divergent transitions: the sampler missed a region"),
        (3, 3, True, "3 divergent transitions"),
    ],
)
def test_divergences_are_counted_over_all_chains(count, threshold, passed, sentence):
    diverging = np.zeros((4, 10), dtype=bool)
    diverging[[0, 1, 3][:count], [2, 5, 9][:count]] = True
    found = posterior(sample_stats={"diverging": diverging})
    made = check("divergences", found, max_divergences=threshold)
    assert made is not None
    assert (made.value, made.passed) == (count, passed)
    assert made.message.startswith(sentence)


def test_e_bfmi_is_that_of_the_worst_chain():
    # squared steps over squared deviations: 3 * 4 / 4 for alternating +-1, 4 / 4 for one step up
    energy = np.array([[1.0, -1.0, 1.0, -1.0], [-1.0, -1.0, 1.0, 1.0]])
    found = posterior(sample_stats={"energy": energy})
    for threshold, passed in ((0.3, True), (1.0, True), (1.01, False)):
        made = check("E-BFMI", found, min_e_bfmi=threshold)
        assert made is not None
        assert made.value == pytest.approx(1.0) and made.passed == passed
        assert "smallest E-BFMI 1.00 (chain 2)" in made.message
    made = check("E-BFMI", posterior(sample_stats={"energy": np.ones((2, 8))}))
    assert made is not None and not made.passed  # an energy that never changes has no E-BFMI


@pytest.mark.parametrize(
    ("value", "share", "passed", "sentence"),
    [
        (0.7, 0.3, True, "Pareto k-hat of the guide 0.70, importance weights 30% efficient"),
        (0.71, 0.3, False, "the guide is not the posterior; use another guide or nuts"),
        (1.9, 0.95, True, "importance weights 95% efficient: k-hat has no scale, and weights so nearly equal"),
        (1.9, 0.94, False, "importance weights 94% efficient: the guide is not the posterior"),
        (INF, 0.001, False, "k-hat of the guide inf"),
        (NAN, NAN, False, "k-hat of the guide nan"),
    ],
)
def test_a_guide_is_held_to_its_k_hat(value, share, passed, sentence):
    made = check("k-hat", posterior("svi", facts={"k_hat": value, "importance_efficiency": share}))
    assert made is not None
    assert made.passed == passed and sentence in made.message
    assert made.value == value or math.isnan(value)


@pytest.mark.parametrize(
    ("reached", "threshold", "passed", "sentence"),
    [
        (True, True, True, "the ELBO is on a plateau after 700 steps"),
        (False, True, False, "the ELBO still rises after 700 steps; raise max_steps"),
        (False, False, True, "the ELBO still rises after 700 steps"),
    ],
)
def test_the_elbo_must_be_on_a_plateau(reached, threshold, passed, sentence):
    found = posterior("svi", facts={"elbo_plateau": reached, "steps": 700})
    made = check("ELBO plateau", found, elbo_plateau=threshold)
    assert made is not None
    assert (made.value, made.passed) == (float(reached), passed)
    assert made.message.startswith(sentence)


@pytest.mark.parametrize("backend", BACKENDS)
def test_draws_that_are_not_finite_fail_whatever_the_thresholds(backend):
    draws = {"theta": np.ones((2, 5)), "beta": np.ones((2, 5, 3)), "tau": np.ones((2, 5))}
    draws["beta"][0, 1, 2], draws["beta"][1, 4, 0], draws["tau"][0, 0] = NAN, -INF, INF
    off = dict.fromkeys(("max_r_hat", "min_ess", "max_divergences", "min_e_bfmi", "max_k_hat", "elbo_plateau"))
    found = posterior(backend, draws=draws, dims={"theta": (), "beta": ("term",), "tau": ()})
    (made,) = judge(found, summary(), Checks(**off))
    assert made == Check("non-finite values", backend, 3, 0, False, "3 values are not finite (`beta`, `tau`)")


OFF = [(name, setting) for name, (setting, _) in CHECKS.items() if setting is not None]


@pytest.mark.parametrize(("name", "setting"), OFF)
def test_null_switches_a_check_off(name, setting):
    facts = {"k_hat": 0.1, "importance_efficiency": 1.0, "elbo_plateau": True, "steps": 1}
    stats = {"diverging": np.zeros((4, 10), dtype=bool), "energy": np.arange(40.0).reshape(4, 10)}
    found = posterior(facts=facts, sample_stats=stats)
    made = [made.name for made in judge(found, summary(), Checks())]
    assert made == list(CHECKS)
    off = {other for other, key in OFF if key == setting}
    assert name in off
    assert [made.name for made in judge(found, summary(), Checks(**{setting: None}))] == [
        other for other in CHECKS if other not in off
    ]


# --- the model, by what it generates


def criticism(**p_values: float) -> Criticism:
    """A statistic of that p-value each, as far from the mean of generated data as its position from the right."""
    found = [
        Finding(name, "", 1.0 + len(p_values) - place, 0.0, -1.0, 1.0, value, f"the {name} is off")
        for place, (name, value) in enumerate(p_values.items())
    ]
    return Criticism(tuple(found), None, None, None, {})


def generated(found: dict[str, Criticism], least: float | None = 0.005) -> list[tuple[Any, ...]]:
    made = list(judge_criticism(found, Checks(min_p_value=least)))
    assert all(check.name == GENERATED and check.of_model and check.threshold == least for check in made)
    return [(check.backend, check.value, check.passed, check.message) for check in made]


@pytest.mark.parametrize(
    ("p_values", "value", "passed", "message"),
    [
        (
            {"mean": 0.6, "zeros": 0.03},
            0.03,
            True,
            "smallest p-value 0.03 (`zeros`) of 2 test statistics of generated data",
        ),
        ({"mean": 0.005}, 0.005, True, "smallest p-value 0.005 (`mean`) of 1 test statistic of generated data"),
        ({"mean": 0.0049}, 0.0049, False, "the mean is off"),
        ({"mean": 0.4, "zeros": 0.002, "spread": 0.001}, 0.001, False, "the zeros is off; spread differs too"),
        (
            {"mean": 0.001, "zeros": 0.001, "spread": 0.001},
            0.001,
            False,
            "the mean is off; zeros and spread differ too",
        ),
    ],
)
def test_generated_data_are_judged_by_the_smallest_p_value_and_told_by_the_largest_gap(
    p_values, value, passed, message
):
    assert generated({"nuts": criticism(**p_values)}) == [("nuts", value, passed, message)]


def test_what_two_backends_miss_is_told_once():
    wrong, other = criticism(mean=0.5, zeros=0.001), criticism(mean=0.001, zeros=0.001)
    found = generated({"nuts": wrong, "svi": wrong, "exact": other, "importance": criticism(mean=0.5, zeros=0.2)})
    assert [message for *_, message in found] == [
        "the zeros is off",
        "the model misses the same as by nuts: zeros",
        "the mean is off; zeros differs too",
        "smallest p-value 0.2 (`zeros`) of 2 test statistics of generated data",
    ]
    assert [passed for _, _, passed, _ in found] == [False, False, False, True]


def test_generated_data_without_statistics_or_threshold_are_not_judged():
    assert generated({"nuts": criticism()}) == generated({"nuts": criticism(mean=0.001)}, None) == []
    (found,) = generated({"nuts": criticism(mean=0.001)}, 0.0)
    assert found[2] is True
    (found,) = generated({"nuts": criticism(mean=0.04)}, 0.05)
    assert found[2] is False


# --- many chains: nested R-hat


def nested_by_hand(draws: np.ndarray, groups: int) -> float:
    """Nested R-hat of halves, sum by sum, for draws `(chain, draw)`."""
    chains, count = draws.shape
    centre = np.median(draws)
    ratios = []
    for values in (draws, abs(draws - centre)):
        ranks = np.array([[np.mean(values < x) * values.size + 1 for x in row] for row in values])
        scores = scipy.stats.norm.ppf((ranks - 0.375) / (values.size + 0.25))
        superchains = []
        for half in (slice(0, count // 2), slice(count // 2, count)):
            for group in range(groups):
                superchains.append([scores[c, half] for c in range(chains) if c * groups // chains == group])
        means = [statistics.mean(float(x) for chain in group for x in chain) for group in superchains]
        within = [
            statistics.variance([chain.mean() for chain in group])
            + statistics.mean([statistics.variance(chain) for chain in group])
            for group in superchains
        ]
        ratios.append(math.sqrt(1 + statistics.variance(means) / statistics.mean(within)))
    return max(ratios)


def autoregressive(chains: int, count: int, total_ess: float, seed: int) -> np.ndarray:
    """Stationary chains `(chain, draw)`, standard normal, with that effective sample size in all."""
    share = total_ess / (chains * count)
    rho = (1 - share) / (1 + share)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((chains, count))
    for t in range(1, count):
        x[:, t] = rho * x[:, t - 1] + math.sqrt(1 - rho**2) * x[:, t]
    return x


def judged(draws: np.ndarray) -> Check:
    """The R-hat check of draws `(chain, draw)` of one site."""
    found = posterior(draws={"theta": draws})
    made = check("R-hat", found, found.summary())
    assert made is not None
    return made


def test_nested_r_hat_is_the_formula():
    draws = autoregressive(8, 20, 60, seed=1)
    draws[:2] += 0.5
    assert float(arviz_bridge.nested_r_hat(draws, 4)) == pytest.approx(nested_by_hand(draws, 4), rel=1e-12)


def test_nested_r_hat_is_found_element_by_element_where_it_exists():
    draws = np.stack([autoregressive(8, 20, 60, seed=seed) for seed in range(4)], axis=-1).reshape(8, 20, 2, 2)
    draws[..., 0, 1], draws[3, 4, 1, 0], draws[..., 1, 1] = 7.0, NAN, np.arange(8)[:, None]
    found = arviz_bridge.nested_r_hat(draws, 4)
    assert found[0, 0] == arviz_bridge.nested_r_hat(draws[..., 0, 0], 4)
    assert np.isnan(found[0, 1]) and np.isnan(found[1, 0]) and found[1, 1] == INF


@pytest.mark.parametrize(("chains", "count"), [(16, 400), (64, 200)])
def test_many_chains_in_equilibrium_pass_though_each_is_short(chains, count):
    """With an effective sample size of 1,000, R-hat of so many chains is above its threshold as a rule."""
    made = [judged(autoregressive(chains, count, 1000, seed)) for seed in range(10)]
    assert all(check.passed for check in made)
    of_chains = [float(check.message.split("chains largest R-hat ")[1].split()[0]) for check in made]
    assert sum(value > 1.01 for value in of_chains) >= 6
    assert made[0].message.startswith("largest nested R-hat 1.0")


# what goes wrong -> how it changes draws (chain, draw) of standard normals
FAULTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "two modes, which all superchains share alike": lambda x: x + 2 * (np.arange(len(x)) % 3 == 0)[:, None],
    "chains of one start of 16 in a mode of their own": lambda x: x + 3 * (np.arange(len(x)) < len(x) / 16)[:, None],
    "all chains drift together": lambda x: x + np.linspace(0, 0.8, x.shape[1]),
    "a superchain has another spread": lambda x: x * np.where(np.arange(len(x)) < len(x) / 4, 2, 1)[:, None],
    "chains that each stand still": lambda x: np.repeat(x[:, :1], x.shape[1], axis=1),
}


@pytest.mark.parametrize(("chains", "count"), [(8, 500), (16, 400), (64, 200)])
@pytest.mark.parametrize("fault", FAULTS)
def test_many_chains_that_disagree_fail(fault, chains, count):
    good = autoregressive(chains, count, 0.5 * chains * count, seed=3)
    assert judged(good).passed
    made = judged(FAULTS[fault](good))
    assert not made.passed and "chains disagree" in made.message
