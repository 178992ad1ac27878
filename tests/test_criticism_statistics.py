"""Posterior predictive checks: p-values against closed forms, wrong models that must be seen, right ones that pass."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from experiments.criticism import statistics, summaries
from experiments.criticism.family_statistics import PLAIN, TEST_STATISTICS
from experiments.criticism.prior_check import prior_check, told
from experiments.criticism.prior_check import verdict as of_priors
from experiments.criticism.statistics import Context, Elements, Statistic, findings, p_value, verdict
from experiments.criticism.user_statistics import load_statistic
from models import FAMILIES, Data, InputError

DRAWS = 800


def check(family: str, data: Data, replicated: dict[str, np.ndarray]) -> dict[str, statistics.Finding]:
    """Findings by name; replicated `(draws, *shape)`."""
    table = {**TEST_STATISTICS, "": PLAIN}[family]
    found = findings(table, data, {name: values[None] for name, values in replicated.items()})
    return {finding.name: finding for finding in found}


def surprising(found: dict[str, statistics.Finding]) -> set[str]:
    return {name for name, finding in found.items() if finding.surprising}


# --- p-values


@pytest.mark.parametrize(
    ("observed", "expected"),
    [(5.0, 1.0), (2.0, 2 * (1 + 0.5 + 0.5) / 10), (100.0, 1 / 10), (-3.0, 1 / 10), (9.0, 2 / 10)],
)
def test_p_values_count_ties_half_and_the_data_once(observed, expected):
    """Among 1 to 9, and the data set itself: 2 has one below, half of a tie and half of itself."""
    assert p_value(observed, np.arange(1.0, 10.0)) == pytest.approx(expected)


def test_p_values_of_such_data_are_uniform():
    rng = np.random.default_rng(2)
    draws = rng.normal(size=(2000, 200))
    values = [p_value(row[0], row[1:]) for row in draws]
    assert scipy.stats.kstest(values, "uniform").pvalue > 0.01


def test_many_elements_find_no_more_by_chance_than_one():
    rng = np.random.default_rng(3)
    many = Statistic(lambda sites, _: Elements(sites["y"], [str(k) for k in range(40)]), "an element")
    values = []
    for _ in range(300):
        draws = rng.normal(size=(201, 40))
        found = findings({"many": many}, Data(observed={"y": draws[0]}), {"y": draws[None, 1:]})
        values.append(found[0].p_value)
    assert scipy.stats.kstest(values, "uniform").pvalue > 0.01


def test_the_worst_element_is_named():
    rng = np.random.default_rng(3)
    draws = rng.normal(size=(500, 3)) * [1, 10, 1]
    third = Statistic(lambda sites, _: Elements(sites["y"], ["a", "b", "c"]), "the height", "taller", "shorter")
    found = findings({"heights": third}, Data(observed={"y": np.array([1.0, 8.0, -9.0])}), {"y": draws[None]})
    assert found[0].element == "c" and found[0].surprising
    assert found[0].message.startswith("the height, `c`, is -9 in the data, less than the model generates (")
    assert found[0].message.endswith(": shorter")
    assert verdict(found) == f"The model does not generate such data: {found[0].message}."


def test_an_element_that_no_copy_varies_in_is_seen():
    """Two peaks in every generated data set, three in the data; one that varies in a single copy is as rare."""
    rng = np.random.default_rng(4)
    draws = np.concatenate([np.full((500, 1), 2.0), rng.normal(size=(500, 1))], axis=1)
    peaks = Statistic(lambda sites, _: Elements(sites["y"], ["peaks", "other"]), "the number")
    (found,) = findings({"n": peaks}, Data(observed={"y": np.array([3.0, 0.1])}), {"y": draws[None]})
    assert (found.element, found.p_value, found.surprising) == ("peaks", pytest.approx(0.5 / 501), True)
    draws[7, 0] = 3.0
    (found,) = findings({"n": peaks}, Data(observed={"y": np.array([3.0, 0.1])}), {"y": draws[None]})
    assert found.element == "peaks" and found.p_value == pytest.approx(1 / 501)
    (found,) = findings({"n": peaks}, Data(observed={"y": np.array([2.0, 0.1])}), {"y": draws[None]})
    assert not found.surprising


ONE = Statistic(lambda sites, _: sites["y"][:, 0], "the number")
MANY = Statistic(lambda sites, _: Elements(sites["y"], list("abcde")), "an element")


@pytest.mark.parametrize("statistic", [ONE, MANY])
def test_few_copies_of_large_data_find_no_more_by_chance(statistic):
    """Twenty copies: a share of them is never below 0.005, so that normal statistics are held to Student's t."""
    rng = np.random.default_rng(5)
    values = []
    for draws in rng.normal(size=(3000, 21, 5)):
        (found,) = findings({"s": statistic}, Data(observed={"y": draws[0]}), {"y": draws[None, 1:]})
        values.append(found.surprising)
    # 0.005 is the most: the extremes of others are held to Bonferroni's bound
    assert 0.001 < np.mean(values) < 0.005 + 3 * np.sqrt(0.005 / 3000)
    observed = np.array([5.0, 0, 0, 0, 0])
    (found,) = findings({"s": statistic}, Data(observed={"y": observed}), {"y": draws[None, 1:]})
    expected = scipy.stats.ttest_ind([5.0], draws[1:, 0]).pvalue * (1 if statistic is ONE else 5)
    assert found.surprising and found.p_value == pytest.approx(expected)


def test_the_threshold_is_that_of_the_config():
    data = Data(observed={"y": np.array([2.2])})
    draws = np.random.default_rng(6).normal(size=(1, 1000, 1))
    for least, flagged in ((0.005, False), (0.05, True), (0.0, False)):
        (found,) = findings({"s": ONE}, data, {"y": draws}, least)
        assert found.p_value == pytest.approx(0.028, abs=0.01) and found.surprising is flagged
        assert ("more than the model generates" in found.message) is flagged


def test_bda_flips_that_come_in_runs():
    """Gelman et al., Bayesian Data Analysis, 3rd ed., section 6.3: 3 switches in 20, p = 0.028 to one side."""
    y = np.array([1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0], dtype=float)
    rng = np.random.default_rng(1)
    copies = (rng.random((100_000, 20)) < rng.beta(8, 14, (100_000, 1))).astype(float)
    found = p_value(3, summaries.switches(copies))
    fewer, same = (summaries.switches(copies) < 3).mean(), (summaries.switches(copies) == 3).mean()
    assert (summaries.switches(copies) <= 3).mean() == pytest.approx(0.028, abs=0.003)
    assert found == pytest.approx(2 * fewer + same, abs=2e-5)
    told = check("beta_bernoulli", Data({"num_rows": 20}, {"y": y}), {"y": copies[:DRAWS]})
    assert told["switches"].p_value == pytest.approx(found, abs=0.02)
    assert told["rate"].p_value > 0.5


# --- numbers of a data set


def test_summaries_of_a_small_data_set():
    y = np.array([[1, 1, 0, 0, 0, 1.0], [0, 1, 0, 1, 0, 1]])
    assert summaries.switches(y).tolist() == [2, 5]
    assert summaries.longest_run(y).tolist() == [3, 1]
    expected = [np.dot(row[1:] - 0.5, row[:-1] - 0.5) / 1.5 for row in y]
    np.testing.assert_allclose(summaries.autocorrelation(y, 1), expected)
    scores = np.array([0.1, 0.9, 0.2, 0.3, 0.4, 0.9])
    from experiments.criticism.calibration import auc

    np.testing.assert_allclose(summaries.auc(scores, y), [auc(scores, row) for row in y])


@pytest.mark.parametrize(("centres", "count"), [((0,), 1), ((0, 6), 2), ((0, 6, 12), 3)])
def test_peaks_are_counted(centres, count):
    rng = np.random.default_rng(count)
    y = np.concatenate([rng.normal(centre, 1, 400) for centre in centres])
    assert summaries.modes(y[None]).tolist() == [count]
    assert summaries.modes(np.ones((1, 5))).tolist() == [1]


def test_score_gaps_are_the_score_test_of_a_normal_regression():
    """With unit variance the statistic is the residual's coordinate along what is new in z."""
    rng = np.random.default_rng(0)
    x = np.column_stack([np.ones(50), rng.normal(size=50)])
    z = np.column_stack([x[:, 1] ** 2, 3 * x[:, 1] + 2])
    y = rng.normal(size=(4, 50))
    rest = z[:, 0] - x @ np.linalg.lstsq(x, z[:, 0], rcond=None)[0]
    found = summaries.score_gaps(y, np.zeros(50), np.ones(50), np.ones(50), x, z)
    np.testing.assert_allclose(found[:, 0], y @ rest / np.linalg.norm(rest), atol=1e-12)
    assert np.isnan(found[:, 1]).all()  # the model says it already


# --- wrong models are seen, right ones pass


def counts(kind: str) -> tuple[Data, np.ndarray, np.ndarray]:
    """Data of a kind, replicates of a Poisson regression at its own mean, and of the data's own law."""
    rng = np.random.default_rng(14)
    x = rng.normal(size=(400, 1))
    mean = np.exp(1 + 0.4 * x[:, 0])

    def draw(size):
        if kind == "zeros":
            return rng.poisson(mean / 0.6, size) * (rng.random(size) < 0.6)
        if kind == "dispersed":
            return rng.poisson(mean * rng.gamma(1.5, 1 / 1.5, size))
        return rng.poisson(mean * np.exp(0.5 * (x[:, 0] ** 2 - 1)), size)

    data = Data({"x": x}, {"y": draw((1, 400))[0].astype(float)}, {"term": ["age"]})
    return data, rng.poisson(mean, (DRAWS, 400)).astype(float), draw((DRAWS, 400)).astype(float)


def own_dispersion(copies):
    """1, but that mean and variance of S other copies are not those of the law: E[1/v] = (1 + (kurtosis - 1) / S) / v
    by the delta method, and the mean is off by v / S."""
    kurtosis = scipy.stats.kurtosis(copies, fisher=False, axis=0)
    return 1 + np.nanmean(kurtosis) / (len(copies) / 2)


@pytest.mark.parametrize(
    ("kind", "statistic", "sentence"),
    [
        ("zeros", "zeros", "more zeros than the counts explain; try `zeros: inflated` or `zeros: hurdle`"),
        ("dispersed", "dispersion", "counts vary more than the model allows; try `likelihood: negative_binomial`, or"),
        ("curved", "missing terms", "the model has no term for it; add it to the formula"),
    ],
)
def test_poisson_for_other_counts_is_seen_and_the_data_s_own_law_is_not(kind, statistic, sentence):
    data, poisson, own = counts(kind)
    wrong, right = check("zero_inflated", data, {"y": poisson}), check("zero_inflated", data, {"y": own})
    assert statistic in surprising(wrong) and sentence in wrong[statistic].message
    assert surprising(right) == set()
    # it varies as it says, row by row; of counts with heavy tails the delta method is but the larger part
    assert -0.003 < right["dispersion"].mean - own_dispersion(own) < 0.017
    assert set(wrong) == set(TEST_STATISTICS["zero_inflated"])


def logistic(interaction: float) -> tuple[Data, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(9)
    x = rng.normal(size=(600, 3))
    logit = 0.3 + x @ [0.8, -0.5, 0] + interaction * x[:, 0] * x[:, 1]

    def draw(line, size):
        return (rng.random((size, 600)) < 1 / (1 + np.exp(-line))).astype(float)

    data = Data({"x": x}, {"y": draw(logit, 1)[0]}, {"term": ["dist", "arsenic", "age"]})
    return data, draw(0.3 + x @ [0.8, -0.5, 0], DRAWS), draw(logit, DRAWS)


def test_a_missing_interaction_is_named():
    data, without, own = logistic(0.9)
    wrong, right = check("logistic_regression", data, {"y": without}), check("logistic_regression", data, {"y": own})
    assert wrong["missing terms"].element == "dist times arsenic" and wrong["missing terms"].surprising
    assert "missing terms" in verdict(list(wrong.values())) or "dist times arsenic" in verdict(list(wrong.values()))
    assert surprising(right) - {"missing terms"} == set()
    plain = check("logistic_regression", *[(data, {"y": draws}) for data, _, draws in [logistic(0.0)]][0])
    assert surprising(plain) == set()


def test_rates_that_differ_by_group_are_seen_by_the_group():
    rng = np.random.default_rng(5)
    group = np.repeat([0, 1, 2], 60)
    y = (rng.random(180) < np.array([0.2, 0.5, 0.5])[group]).astype(float)
    data = Data({"num_rows": 180, "group": group, "num_groups": 3}, {"y": y}, {"group": ["north", "south", "east"]})
    pooled = (rng.random((DRAWS, 180)) < y.mean()).astype(float)
    found = check("beta_bernoulli", data, {"y": pooled})
    assert found["rate by group"].element == "group north" and found["rate by group"].surprising
    grouped = (rng.random((DRAWS, 180)) < np.array([y[group == g].mean() for g in range(3)])[group]).astype(float)
    assert surprising(check("beta_bernoulli", data, {"y": grouped})) == set()


def test_rows_of_trials_with_rates_of_their_own_are_dispersed():
    rng = np.random.default_rng(5)
    trials = np.full(60, 30)
    y = rng.binomial(trials, rng.beta(4, 6, 60)).astype(float)
    data = Data({"num_rows": 60, "trials": trials}, {"y": y})
    copies = rng.binomial(trials, y.sum() / 1800, (DRAWS, 60)).astype(float)
    found = check("beta_bernoulli", data, {"y": copies})
    assert surprising(found) == {"dispersion"}
    assert found["dispersion"].mean == pytest.approx(own_dispersion(copies), abs=0.02)
    assert found["rate"].observed == pytest.approx(y.sum() / 1800)


def test_rates_fitted_to_every_row_are_no_misfit_for_fitting_well():
    rng = np.random.default_rng(5)
    y = rng.binomial(20, 0.3, 60).astype(float)
    data = Data({"num_rows": 60, "trials": np.full(60, 20)}, {"y": y})
    own = check("beta_bernoulli", data, {"y": rng.binomial(20, rng.beta(y + 1, 21 - y, (DRAWS, 60))).astype(float)})
    assert own["dispersion"].observed < own["dispersion"].lower and surprising(own) == set()


def test_features_that_depend_on_each_other_within_a_class_are_named():
    rng = np.random.default_rng(7)
    label = (rng.random(500) < 0.4).astype(float)
    first = (rng.random(500) < 0.3 + 0.3 * label).astype(float)
    second = np.where(rng.random(500) < 0.8, first, rng.random(500) < 0.5).astype(float)
    third = (rng.random(500) < 0.5).astype(float)
    x = np.stack([first, second, third], axis=1)
    data = Data({}, {"y": label, "x_binary": x}, {"class": ["ham", "spam"], "binary": ["a", "b", "c"]})
    label_draws = (rng.random((DRAWS, 500)) < label.mean()).astype(float)
    rates = np.stack([x[label == k].mean(axis=0) for k in (0, 1)])
    copies = (rng.random((DRAWS, 500, 3)) < rates[label_draws.astype(int)]).astype(float)
    found = check("naive_bayes", data, {"y": label_draws, "x_binary": copies})
    assert surprising(found) == {"features together"}
    assert found["features together"].element in {"a with b in class ham", "a with b in class spam"}


def test_labels_are_counted_within_their_class():
    rng = np.random.default_rng(8)
    label, colour = (rng.random(300) < 0.5).astype(float), (rng.random(300) < 0.3).astype(float)
    size = rng.integers(0, 3, 300).astype(float)
    x, there = np.stack([colour, size], axis=1), np.ones((300, 2))
    x[:50, 1], there[:50, 1] = 0, 0  # no size is known there
    coords = {"class": ["a", "b"], "category": ["colour", "size"]}
    coords["level"] = ["colour=blue", "colour=red", "size=L", "size=M", "size=S"]
    data = Data({"has_category": there}, {"y": label, "x_category": x}, coords)
    labels = (rng.random((DRAWS, 300)) < 0.5).astype(float)
    sizes = rng.integers(0, 3, (DRAWS, 300)).astype(float)
    own = np.stack([(rng.random((DRAWS, 300)) < 0.3).astype(float), sizes], axis=2)
    assert surprising(check("naive_bayes", data, {"y": labels, "x_category": own})) == set()
    half = np.stack([(rng.random((DRAWS, 300)) < 0.6).astype(float), sizes], axis=2)
    found = check("naive_bayes", data, {"y": labels, "x_category": half})
    assert surprising(found) == {"labels"} and found["labels"].element.startswith("colour=")
    inside = label == "ab".index(found["labels"].element[-1])
    level = ["blue", "red"].index(found["labels"].element.split()[0][7:])
    assert found["labels"].observed == pytest.approx((colour[inside] == level).mean())


def test_probabilities_of_classes_are_held_to_what_comes():
    rng = np.random.default_rng(9)
    chances = rng.dirichlet(np.ones(3), 400)

    def draw(table, size):
        return (rng.random((size, 400, 1)) > table.cumsum(axis=1)[:, :2]).sum(axis=2).astype(float)

    data = Data({}, {"y": draw(chances, 1)[0]}, {"class": ["x", "y", "z"]})
    own, flat = draw(chances, DRAWS), draw(np.full((400, 3), 1 / 3), DRAWS)
    assert surprising(check("logistic_regression", data, {"y": own})) == set()
    sharp = draw((chances**4) / (chances**4).sum(axis=1, keepdims=True), DRAWS)
    found = check("logistic_regression", data, {"y": sharp})
    assert surprising(found) == {"classes by expectation"}
    assert found["classes by expectation"].element.endswith(" fifth of rows")
    assert check("logistic_regression", data, {"y": flat})["classes by expectation"].p_value > 0.005


def test_two_components_for_three_are_seen():
    rng = np.random.default_rng(11)
    centres = np.array([-4.0, 0, 4])

    def draw(size):
        return rng.normal(centres[rng.integers(0, 3, size)], 0.8)

    y = draw((600,))[:, None]
    data = Data({}, {"y": y}, {"feature": ["waiting"]})
    sides = np.where(rng.random((DRAWS, 600)) < 1 / 3, rng.normal(-4, 0.8, (DRAWS, 600)), 0)
    two = np.where(sides != 0, sides, rng.normal(2, 2.2, (DRAWS, 600)))[..., None]
    wrong = check("gaussian_mixture", data, {"y": two})
    assert "modes" in surprising(wrong) and wrong["modes"].message.endswith("a component is missing; try more")
    assert surprising(check("gaussian_mixture", data, {"y": draw((DRAWS, 600))[..., None]})) == set()


def chain(rng, stay, size, length=300):
    """Two-state chains with levels 0 and 3, `(size, 1, length, 1)`."""
    states = np.empty((size, length), dtype=int)
    states[:, 0] = rng.integers(0, 2, size)
    for t in range(1, length):
        states[:, t] = np.where(rng.random(size) < stay, states[:, t - 1], 1 - states[:, t - 1])
    return rng.normal(3 * states, 1.0)[:, None, :, None]


def test_independent_observations_for_a_chain_are_seen():
    rng = np.random.default_rng(2)
    y = chain(rng, 0.9, 1)[0]
    there = np.ones(y.shape, dtype=bool)
    there[0, 17] = False
    data = Data({"there": there}, {"y": y}, {"channel": ["level"]})
    wrong = check("hidden_markov", data, {"y": chain(rng, 0.5, DRAWS)})
    assert {"run length", "autocorrelation at 1"} <= surprising(wrong)
    assert wrong["run length"].message.endswith("states last longer than the model lets them; try more of them")
    assert surprising(check("hidden_markov", data, {"y": chain(rng, 0.9, DRAWS)})) == set()


def test_plain_statistics_of_a_program():
    rng = np.random.default_rng(15)
    y = np.cumsum(rng.normal(size=200))
    copies = rng.normal(y.mean(), y.std(), (DRAWS, 200))
    found = check("", Data({}, {"y": y, "whole": np.array(3.0)}), {"y": copies, "whole": rng.normal(3, 1, DRAWS)})
    assert "autocorrelation" in surprising(found)
    assert found["autocorrelation"].message.endswith("rows depend on their order, which the model does not know of")
    assert found["mean"].p_value > 0.005


def test_every_family_has_its_statistics_and_no_other():
    assert set(FAMILIES) <= set(TEST_STATISTICS)


def test_no_more_data_sets_are_looked_at_than_are_cheap():
    many = {"y": np.zeros((2, 40, 1_000_000), dtype=np.int8)}
    assert statistics.some(many)["y"].shape == (10, 1_000_000)
    assert statistics.some({"y": np.zeros((4, 1000, 3))})["y"].shape == (1000, 3)


def test_no_statistic_no_verdict():
    assert findings(PLAIN, Data(), {}) == [] and verdict([]) == "No test statistic applies to these data."


# --- statistics of one's own


STATS = """
import numpy as np

def max_gap(y):
    return np.diff(np.sort(y)).max()

def by_name(y, x):
    return (y * x).sum()

def asks(z):
    return 0

def breaks(y):
    return y[1000]
"""


def test_a_statistic_of_one_s_own(tmp_path):
    (tmp_path / "my_stats.py").write_text(STATS)
    rng = np.random.default_rng(1)
    y = np.append(rng.normal(size=99), 9.0)
    data, copies = Data({"x": np.arange(100.0)}, {"y": y}), rng.normal(size=(1, DRAWS, 100))
    table = dict(
        load_statistic(f"my_stats.py:{name}", tmp_path, "checks.statistics") for name in ("max_gap", "by_name")
    )
    gap, sums = findings(table, data, {"y": copies})
    assert gap.observed == np.diff(np.sort(y)).max() and gap.surprising
    assert gap.message.startswith("`max_gap` is ")
    assert sums.observed == pytest.approx(y @ np.arange(100)) and sums.name == "by_name"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("my_stats.py:max_gaps", "there is no function `max_gaps` in my_stats.py; did you mean `max_gap`?"),
        (
            "max_gap",
            "must be a file and a function in it, got 'max_gap'; write it like `my_stats.py:max_gap`",
        ),
        ("other.py:max_gap", "there is no file `other.py`; known: `my_stats.py`"),
        ("my_stats.py:asks", "`asks` asks for `z`, which is neither observed nor an input; known: `y`, `x`"),
        (
            "my_stats.py:breaks",
            "cannot compute my_stats.py:14: IndexError: index 1000 is out of bounds for axis 0 with size 5; "
            "correct the function",
        ),
    ],
)
def test_a_statistic_that_cannot_be_is_refused(tmp_path, text, message):
    (tmp_path / "my_stats.py").write_text(STATS)
    data = Data({"x": np.zeros(5)}, {"y": np.zeros(5)})
    with pytest.raises(InputError) as refused:
        findings(dict([load_statistic(text, tmp_path, "checks.statistics")]), data, {"y": np.zeros((1, 9, 5))})
    assert str(refused.value) == f"checks.statistics: {message}"


# --- priors


def test_priors_that_generate_degenerate_data_are_flagged():
    rng = np.random.default_rng(1)
    observed = Data({}, {"y": rng.poisson(3, 50).astype(float)})
    wide = rng.poisson(np.exp(np.minimum(rng.normal(0, 10, (1, 500, 1)), 30)) * np.ones(50)).astype(float)
    told = {finding.kind: finding for finding in prior_check(observed, {"y": wide})}
    # exp(10 z) generates only zeros where z is below about -0.4, and spreads a thousand times wide above 1.1
    assert told["all equal"].share == pytest.approx(0.35, abs=0.08) and not told["all equal"].flagged
    constant = prior_check(observed, {"y": np.zeros((1, 100, 50))})
    flagged = [finding for finding in constant if finding.flagged]
    assert [finding.message for finding in flagged] == [
        "100% of the data sets that the priors generate have `y` all equal; narrow or move the priors"
    ]
    fine = prior_check(observed, {"y": rng.poisson(5, (1, 300, 50)).astype(float)})
    assert fine and not any(finding.flagged for finding in fine)
    broken = prior_check(observed, {"y": np.full((1, 10, 50), np.inf)})
    assert broken[0].kind == "not finite" and broken[0].flagged


def test_what_priors_generate_is_told_in_any_case():
    def finding(share, kind="all equal"):
        return told("y", kind, share)

    could = "What the priors generate could have been observed"
    assert of_priors([finding(0.0), finding(0.0, "not finite")]) == f"{could}."
    sentence = f"{could}, but for a part: 12% of the data sets that the priors generate have `y` all equal."
    assert of_priors([finding(0.12), finding(0.001, "not finite")]) == sentence
    assert "less than 1% of the data sets" in of_priors([finding(0.001)])
    assert of_priors([finding(0.7), finding(0.2, "not finite")]) == (
        "70% of the data sets that the priors generate have `y` all equal; narrow or move the priors."
    )
    assert of_priors([]).startswith("The priors generate no data to be compared")


def test_context_knows_what_the_model_expects():
    context = Context(Data(coords={"term": ["a"]}), {"y": np.array([[0.0, 2.0], [2.0, 2.0]])})
    assert context.expected["y"].tolist() == [1, 2] and context.variance["y"].tolist() == [1, 0]
    assert context.labels("term", 1) == ["a"] and context.labels("other", 2) == ["0", "1"]


def test_many_rows_of_a_right_model_raise_no_alarm():
    """Predictors that say next to nothing: a data set is closer to a mean of copies that it is one of than the observed
    one is, so that the mean must be of other copies. Without that `separation` is flagged in most of these."""
    rng, flagged = np.random.default_rng(0), []
    for _ in range(6):
        x = rng.normal(size=(10_000, 1))
        chance = 1 / (1 + np.exp(-0.1 * x[:, 0]))
        copies = (rng.random((600, 10_000)) < chance).astype(float)[None]
        data = Data({"x": x}, {"y": (rng.random(10_000) < chance).astype(float)}, {"term": ["x"]})
        found = findings(TEST_STATISTICS["logistic_regression"], data, {"y": copies})
        assert [one.name for one in found] == ["rate", "calibration", "separation", "missing terms"]
        flagged += [one.message for one in found if one.surprising]
    assert flagged == []
