"""naive_bayes: the posterior and the class probabilities against closed forms, published numbers, and each other."""

from __future__ import annotations

import csv
import itertools
import math
import re
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import scipy.stats
import torch
from cases import DATA, monte_carlo, off_by, program_of, table
from scipy.special import betaln, digamma, gammaln, logsumexp, polygamma
from scipy.stats import binom

from inference import Exact, Nuts, Svi, fit
from inference.density import LogDensity
from inference.streams import workspace
from models import Data, InputError, NaiveBayes, Prior, Table
from models.class_probabilities import Rows, log_density
from models.distributions.multinomial import Multinomial
from models.features import Features

EXACT = 1e-9


def words(*values: Any) -> np.ndarray:
    return np.array(values, dtype=object)


# Ten rows of every kind of feature, with cells missing in each; levels of three and two.
MIXED = Table(
    {
        "class": words("u", "v", "u", "v", "w", "u", "v", "u", "w", "v"),
        "b": np.array([1, 0, 1, np.nan, 0, 1, 0, 0, 1, 0]),
        "f": words(True, None, False, True, True, False, True, True, None, False),
        "colour": words("red", "blue", "red", None, "green", "red", "blue", "green", "blue", "blue"),
        "size": words("s", "l", None, "s", "l", "s", "s", "l", "l", "s"),
        "one": words(3, 0, 2, 1, None, 4, 0, 2, 1, 1),
        "two": words(1, 4, 0, 2, None, 1, 3, 1, 0, 5),
        "three": words(0, 1, 1, 2, None, 0, 2, 1, 4, 0),
        "x": np.array([51.0, 40.5, 55.0, np.nan, 12.0, 49.5, 38.0, 61.0, 15.5, 44.0]),
        "z": np.array([0.1, np.nan, 0.3, 0.2, 0.9, 0.15, 0.5, 0.35, 0.7, 0.55]),
    },
    "rows.csv",
)
MODEL = NaiveBayes(
    "class",
    binary=("b", "f"),
    category=("colour", "size"),
    count=("one", "two", "three"),
    number=("x", "z"),
    class_prior=Prior("dirichlet", (2.0,)),
    rate_prior=Prior("beta", (2.0, 3.0)),
    category_prior=Prior("dirichlet", (1.5,)),
    count_prior=Prior("dirichlet", (0.5,)),
    variance_prior=Prior("inverse_gamma", (3.0, 1.0)),
    mean_rows=2.0,
)


class ClosedForm:
    """The posterior of MODEL on rows by counting: the parameters of every site's posterior, class by class."""

    def __init__(self, rows: Table) -> None:
        columns = rows.columns
        self.classes = sorted(set(columns["class"]))
        self.y = np.array([self.classes.index(label) for label in columns["class"]])
        per_class = [self.y == c for c in range(len(self.classes))]
        self.pi = np.array([2 + own.sum() for own in per_class])
        size = 2.0 * len(self.classes)
        self.evidence = gammaln(size) - gammaln(size + len(self.y))
        self.evidence += (gammaln(self.pi) - gammaln(2.0)).sum()
        self.theta = np.zeros((len(self.classes), 2, 2))
        self.levels = {"colour": ["blue", "green", "red"], "size": ["l", "s"]}
        self.phi: dict[str, np.ndarray] = {name: np.zeros((3, len(own))) for name, own in self.levels.items()}
        self.psi = np.zeros((3, 3))
        self.normal: dict[tuple[int, int], tuple[float, float, float, float]] = {}
        self.scale = [(np.nanmean(columns[name]), np.nanstd(columns[name])) for name in "xz"]
        for c, own in enumerate(per_class):
            for j, name in enumerate("bf"):
                cells = [value for value in columns[name][own] if value is not None and value == value]
                a, b = 2 + sum(cells), 3 + len(cells) - sum(cells)
                self.theta[c, j] = a, b
                self.evidence += betaln(a, b) - betaln(2, 3)
            for name, levels in self.levels.items():
                n = np.array([(columns[name][own] == level).sum() for level in levels])
                self.phi[name][c] = 1.5 + n
                self.evidence += dirichlet_evidence(n, 1.5)
            seen = [i for i in np.flatnonzero(own) if columns["one"][i] is not None]
            rows_of = np.array([[columns[name][i] for name in ("one", "two", "three")] for i in seen], dtype=float)
            rows_of = rows_of.reshape(-1, 3)
            self.psi[c] = 0.5 + rows_of.sum(axis=0)
            self.evidence += dirichlet_evidence(rows_of.sum(axis=0), 0.5)
            self.evidence += (gammaln(rows_of.sum(axis=1) + 1) - gammaln(rows_of + 1).sum(axis=1)).sum()
            for j, name in enumerate("xz"):
                x = (columns[name][own] - self.scale[j][0]) / self.scale[j][1]
                x = x[~np.isnan(x)]
                k, a = 2.0 + len(x), 3.0 + len(x) / 2
                mean = x.sum() / k
                b = 1.0 + 0.5 * (x**2).sum() - 0.5 * k * mean**2
                self.normal[c, j] = mean, k, a, b
                self.evidence += gammaln(a) - gammaln(3.0) - a * math.log(b)
                self.evidence += 0.5 * math.log(2.0 / k) - 0.5 * len(x) * math.log(2 * math.pi)

    def log_predictive(self, row: dict[str, Any]) -> np.ndarray:
        """log p(class, row | data) by class, up to the multinomial coefficient."""
        total = np.log(self.pi / self.pi.sum())
        for j, name in enumerate("bf"):
            if row.get(name) is not None:
                rate = self.theta[:, j, 0] / self.theta[:, j].sum(axis=1)
                total = total + np.log(rate if row[name] else 1 - rate)
        for name, levels in self.levels.items():
            if row.get(name) in levels:
                total = total + np.log(self.phi[name][:, levels.index(row[name])] / self.phi[name].sum(axis=1))
        if row.get("one") is not None:
            n = np.array([row[name] for name in ("one", "two", "three")])
            total = total + (gammaln(self.psi + n) - gammaln(self.psi)).sum(axis=1)
            total = total + gammaln(self.psi.sum(axis=1)) - gammaln((self.psi + n).sum(axis=1))
        for j, name in enumerate("xz"):
            if row.get(name) is not None:
                x = (row[name] - self.scale[j][0]) / self.scale[j][1]
                for c in range(len(self.classes)):
                    mean, k, a, b = self.normal[c, j]
                    spread = math.sqrt(b * (k + 1) / (a * k))
                    total[c] += scipy.stats.t(2 * a, loc=mean, scale=spread).logpdf(x)
        return total


def dirichlet_evidence(n: np.ndarray, prior: float) -> float:
    """log of the probability of labels that occur n times each, in their order, under a symmetric dirichlet."""
    whole = prior * len(n)
    return float(gammaln(whole) - gammaln(whole + n.sum()) + (gammaln(prior + n) - gammaln(prior)).sum())


TRUTH = ClosedForm(MIXED)


@pytest.fixture(scope="module")
def exact():
    return fit(MODEL, MODEL.data(MIXED), Exact(num_chains=4, num_samples=5000), seed=2)


def test_the_exact_posterior_is_the_counted_one(exact):
    found = exact.marginals
    assert np.abs(found["pi"].mean() - TRUTH.pi / TRUTH.pi.sum()).max() < EXACT
    a, b = TRUTH.theta[..., 0], TRUTH.theta[..., 1]
    assert np.abs(found["theta"].mean() - a / (a + b)).max() < EXACT
    assert np.abs(exact.quantile("theta", 0.1) - scipy.stats.beta(a, b).ppf(0.1)).max() < EXACT
    assert np.abs(found["psi"].mean() - TRUTH.psi / TRUTH.psi.sum(axis=1, keepdims=True)).max() < EXACT
    for (c, j), (mean, k, shape, rate) in TRUTH.normal.items():
        assert found["mu"].mean()[c, j] == pytest.approx(mean, abs=EXACT)
        assert found["variance"].mean()[c, j] == pytest.approx(rate / (shape - 1), abs=EXACT)
        t = scipy.stats.t(2 * shape, loc=mean, scale=math.sqrt(rate / (shape * k)))
        assert exact.quantile("mu", 0.95)[c, j] == pytest.approx(t.ppf(0.95), abs=EXACT)
    assert exact.facts["log_evidence"] == pytest.approx(TRUTH.evidence, abs=EXACT)


def test_levels_have_the_dirichlet_that_their_sticks_make(exact):
    """Sticks are beta(level, levels after it) in closed form; draws of levels have the dirichlet's mean and spread."""
    colour, size = TRUTH.phi["colour"], TRUTH.phi["size"]
    first = np.stack([colour[:, 0], colour[:, 1], size[:, 0]], axis=1)
    after = np.stack([colour[:, 1] + colour[:, 2], colour[:, 2], size[:, 1]], axis=1)
    assert np.abs(exact.marginals["stick"].mean() - first / (first + after)).max() < EXACT
    draws = exact.draws["phi"]
    assert np.abs(draws[..., :3].sum(axis=-1) - 1).max() < 1e-12
    a = np.concatenate([colour, size], axis=1)
    whole = np.concatenate([colour.sum(axis=1, keepdims=True)] * 3 + [size.sum(axis=1, keepdims=True)] * 2, axis=1)
    truth = scipy.stats.beta(a, whole - a)
    assert max(off_by(monte_carlo(draws, dependent=False), truth.mean(), truth.std()).values()) < 4


def test_nuts_finds_the_exact_posterior(exact):
    found = fit(
        MODEL, MODEL.data(MIXED), Nuts(num_chains=16, num_warmup=200, num_samples=250, compile="always"), seed=3
    )
    for name, truth in exact.marginals.items():
        if name == "variance":
            continue  # its tail is too heavy for a standard error of its spread; the means below
        gaps = off_by(monte_carlo(found.draws[name], dependent=True), truth.mean(), truth.std())
        assert max(gaps.values()) < 4, (name, gaps)
    logs = np.log(found.draws["variance"])
    known = np.array([[digamma(TRUTH.normal[c, j][2]) for j in range(2)] for c in range(3)])
    rate = np.array([[TRUTH.normal[c, j][3] for j in range(2)] for c in range(3)])
    shape = np.array([[TRUTH.normal[c, j][2] for j in range(2)] for c in range(3)])
    spread = np.sqrt(polygamma(1, shape))
    assert max(off_by(monte_carlo(logs, dependent=True), np.log(rate) - known, spread).values()) < 4


# --- normal-inverse-gamma under `exact` -----------------------------------------------------------------------------


def one_normal(num_rows, scaled):
    variance = pyro.sample("variance", dist.InverseGamma(3.0, 2.0))
    mu = pyro.sample("mu", dist.Normal(1.0, (variance / 4).sqrt() if scaled else torch.tensor(2.0)))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Normal(mu, variance.sqrt()))


def test_mean_and_variance_are_drawn_together():
    y = np.array([2.0, 3.5, 2.5, 1.0, 4.0])
    found = fit(one_normal, Data({"num_rows": 5, "scaled": True}, {"y": y}), Exact(4, 5000), seed=1)
    k, a = 9.0, 5.5
    mean = (4.0 + y.sum()) / k
    b = 2.0 + 0.5 * (4.0 + (y**2).sum() - k * mean**2)
    mu, variance = found.draws["mu"], found.draws["variance"]
    scores = (mu - mean) / np.sqrt(variance / k)  # standard normal, whatever the variance
    assert max(off_by(monte_carlo(scores, dependent=False), 0.0, 1.0).values()) < 4
    assert abs(np.corrcoef(scores.ravel() ** 2, np.log(variance).ravel())[0, 1]) < 4 / math.sqrt(mu.size)
    assert found.marginals["mu"].std() == pytest.approx(math.sqrt(b / (a - 1) / k), abs=EXACT)
    estimates = found.facts["estimates"]["mu"]
    assert estimates["mle"] == pytest.approx(y.mean(), abs=EXACT)
    assert (estimates["prior_weight"], estimates["data_weight"]) == pytest.approx((4, 5), abs=EXACT)
    assert found.facts["estimates"]["variance"]["mle"] is None


def test_a_mean_whose_prior_knows_no_variance_is_refused():
    with pytest.raises(InputError, match="conjugate one at a time, but dependent on each other"):
        fit(one_normal, Data({"num_rows": 3, "scaled": False}, {"y": np.array([1.0, 2.0, 4.0])}), "exact")


# --- class probabilities ----------------------------------------------------------------------------------------------

NEW = {
    "b": [1, 0, np.nan, 1],
    "f": words(True, False, None, None),
    "colour": words("red", "green", None, "purple"),
    "size": words("s", "l", None, "l"),
    "one": words(2, 0, None, 1),
    "two": words(1, 3, None, 0),
    "three": words(0, 2, None, 2),
    "x": np.array([50.0, 20.0, np.nan, 44.0]),
    "z": np.array([0.2, 0.8, np.nan, np.nan]),
}


def new_rows() -> list[dict[str, Any]]:
    cells = [{name: values[i] for name, values in NEW.items()} for i in range(4)]
    return [{name: value for name, value in row.items() if value is not None and value == value} for row in cells]


def test_predictive_probabilities_are_the_closed_form(exact):
    data = MODEL.data(MIXED)
    found = MODEL.class_probabilities(exact.draws, data, Table(NEW, "new.csv"))
    for i, row in enumerate(new_rows()):
        log_joint = TRUTH.log_predictive(row)
        truth = np.exp(log_joint - logsumexp(log_joint))
        one = Table({name: values[i : i + 1] for name, values in NEW.items()})
        flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in exact.draws.items()}
        joint = np.exp(np.log(flat["pi"]) + log_density(flat, encoded(one, data), slice(0, 1))[:, 0])
        whole = joint.sum(axis=1)
        influence = (joint - truth * whole[:, None]) / whole.mean()
        error = influence.std(axis=0, ddof=1) / math.sqrt(len(whole))
        assert np.abs(found.predictive[i] - truth).max() < 0.05
        assert (np.abs(found.predictive[i] - truth) < 4 * error + 1e-12).all(), i
    assert np.abs(found.predictive.sum(axis=1) - 1).max() < 1e-12
    assert (found.lower <= found.upper).all()


def encoded(rows: Table, data: Data) -> Rows:
    """The new row as class_probabilities has it."""
    seen: list[Rows] = []

    def keep(draws, own, classes, class_prior, mass):
        seen.append(own)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.naive_bayes.predict", keep)
        MODEL.class_probabilities({}, data, rows)
    return seen[0]


def test_a_row_without_features_has_the_classes_own_probability(exact):
    found = MODEL.class_probabilities(exact.draws, MODEL.data(MIXED), Table(NEW, "new.csv"), mass=0.8)
    pi = exact.draws["pi"].reshape(-1, 3)
    assert found.mean[2] == pytest.approx(pi.mean(axis=0), abs=1e-12)
    assert found.lower[2] == pytest.approx(np.quantile(pi, 0.1, axis=0), abs=1e-12)
    assert found.upper[2] == pytest.approx(np.quantile(pi, 0.9, axis=0), abs=1e-12)


def test_a_label_that_no_fitted_row_had_says_nothing(exact):
    without = {**NEW, "colour": words("red", "green", None, None)}
    data = MODEL.data(MIXED)
    known, unknown = (MODEL.class_probabilities(exact.draws, data, Table(rows)) for rows in (without, NEW))
    assert np.array_equal(known.predictive, unknown.predictive)


# Known parameters: one draw of each. Classes 0 and 1, three binary features.
KNOWN = {"pi": np.array([[[0.6, 0.4]]]), "theta": np.array([[[[0.8, 0.3, 0.5], [0.2, 0.7, 0.6]]]])}
BINARY = NaiveBayes(binary=("f1", "f2", "f3"))
FITTED = BINARY.data(table(label=[0, 1], f1=[0, 1], f2=[1, 0], f3=[1, 1]))


@pytest.mark.parametrize(("second", "truth"), [(0.0, (35 / 38, 3 / 38)), (np.nan, (5 / 6, 1 / 6))])
def test_known_parameters_give_known_probabilities(second, truth):
    found = BINARY.class_probabilities(KNOWN, FITTED, table(f1=[1], f2=[second], f3=[1]))
    for probabilities in found:
        assert probabilities[0] == pytest.approx(truth, abs=EXACT)


def test_the_evidence_of_a_row_is_the_sum_of_its_joint_probabilities():
    rows = Rows(1, {"binary": Features(np.array([[1.0, 0.0, 1.0]]), np.ones((1, 3), dtype=bool))})
    flat = {name: values[0] for name, values in KNOWN.items()}
    log_joint = np.log(flat["pi"]) + log_density(flat, rows, slice(0, 1))[:, 0]
    assert np.exp(log_joint[0]) == pytest.approx((0.168, 0.0144), abs=EXACT)
    assert logsumexp(log_joint) == pytest.approx(-1.701553201342, abs=1e-11)


@pytest.mark.parametrize("prior", [(0.6, 0.4), (0.01, 0.99), (0.5, 0.5), (1.0, 0.0)])
def test_a_new_class_prior_reweights_the_old_probabilities(prior):
    rows = table(f1=[1, 0], f2=[0, 1], f3=[1, np.nan])
    old = BINARY.class_probabilities(KNOWN, FITTED, rows).mean
    new = BINARY.class_probabilities(KNOWN, FITTED, rows, class_prior={"0": prior[0], "1": prior[1]}).mean
    weighed = old * np.array(prior) / np.array([0.6, 0.4])
    assert np.abs(new - weighed / weighed.sum(axis=1, keepdims=True)).max() < 1e-12


def test_smoothing_is_a_prior():
    """Add-one frequencies: the mode under beta(2, 2) and dirichlet(2), the mean under beta(1, 1) and dirichlet(1)."""
    rows = table(label=[0] * 6 + [1] * 5, f=[1, 1, 1, 0, 1, 1, 0, 0, 1, 0, 0], p=list(range(11)), q=[2] * 11)
    ones, sizes = np.array([5, 1]), np.array([6, 5])
    words_of = np.array([[15, 12], [40, 10]])
    smooth_rate = (ones + 1) / (sizes + 2)
    smooth_word = (words_of + 1) / (words_of.sum(axis=1, keepdims=True) + 2)
    for prior, key in ((2.0, "map"), (1.0, "mean")):
        two, one = Prior("beta", (prior, prior)), Prior("dirichlet", (prior,))
        model = NaiveBayes(binary=("f",), count=("p", "q"), rate_prior=two, count_prior=one)
        estimates = fit(model, model.data(rows), Exact(1, 4)).facts["estimates"]
        for c in (0, 1):
            assert estimates[f"theta[{c}, 0]"][key] == pytest.approx(smooth_rate[c], abs=EXACT)
            assert [estimates[f"psi[{c}, {k}]"][key] for k in (0, 1)] == pytest.approx(list(smooth_word[c]), abs=EXACT)


def test_house_votes_as_published():
    """e1071 1.7.13, naiveBayes(laplace = 1): posterior means under beta(1, 1), the parties' relative frequencies."""
    with (DATA / "house_votes_84.csv").open(newline="") as file:
        lines = list(csv.reader(file))
    columns = {name: words(*[line[i] or None for line in lines[1:]]) for i, name in enumerate(lines[0])}
    rows = Table(columns, "house_votes_84.csv")
    model = NaiveBayes("party", event="y")
    data = model.data(rows)
    assert data.coords["class"] == ["democrat", "republican"]
    assert (~data.inputs["has_binary"]).sum() == 392
    posterior = fit(model, data, Exact(1, 4))
    theta = posterior.marginals["theta"].mean()
    first = data.coords["binary"].index("handicapped_infants")
    assert theta[:, first] == pytest.approx((0.60384615, 0.19161677), abs=1e-8)
    draw = {"theta": theta[None, None], "pi": posterior.marginals["pi"].mean()[None, None]}
    found = model.class_probabilities(draw, data, rows, {"democrat": 267 / 435, "republican": 168 / 435})
    assert found.predictive[:3, 0] == pytest.approx((1.2918694e-07, 7.331147e-08, 0.0059708034), rel=1e-7)
    called = found.predictive.argmax(axis=1)
    y = data.observed["y"]
    confusion = [((y == a) & (called == b)).sum() for a in (0, 1) for b in (0, 1)]
    assert confusion == [238, 29, 13, 155]


# --- text as counts of words, and as words that occur -----------------------------------------------------------------


def bag_of_words() -> tuple[list[str], np.ndarray]:
    """Labels and counts of words of the SMS messages: runs of two or more word characters, lower-cased, the vocabulary
    of the first 4,000 rows."""
    with (DATA / "sms_spam.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))[1:]
    found = [re.findall(r"\b\w\w+\b", line[1].lower()) for line in lines]
    known = {word: j for j, word in enumerate(sorted({word for row in found[:4000] for word in row}))}
    counts = np.zeros((len(lines), len(known)))
    for row, own in zip(counts, found, strict=True):
        for word in own:
            if word in known:
                row[known[word]] += 1
    return [line[0] for line in lines], counts


SPAM = {
    # scikit-learn 1.9.1, MultinomialNB and BernoulliNB (alpha = 1), on the last 1,574 messages
    "count": ([1353, 8, 15, 198], -0.0721014),
    "binary": ([1360, 1, 36, 177], -0.22501),
}


@pytest.mark.slow
def test_spam_is_found_as_published():
    labels, counts = bag_of_words()
    assert (len(labels), labels.count("ham"), labels.count("spam")) == (5574, 4827, 747)
    assert counts.shape[1] == 7331 and (labels[:4000].count("spam"), labels[4000:].count("spam")) == (534, 213)
    truth = np.array([label == "spam" for label in labels[4000:]])
    names = [f"w{j}" for j in range(counts.shape[1])]
    for kind, (confusion, score) in SPAM.items():
        features = counts if kind == "count" else np.minimum(counts, 1)
        model = NaiveBayes(**{kind: tuple(names)})
        columns = dict(zip(names, features.T, strict=True))
        rows = {name: values[:4000] for name, values in columns.items()}
        data = model.data(Table({"label": words(*labels[:4000]), **rows}, "sms_spam.csv"))
        # the library's add-one smoothing is the posterior mean, its class prior the relative frequency
        if kind == "binary":
            posterior = fit(model, data, Exact(1, 2))
            point = {name: posterior.marginals[name].mean()[None, None] for name in ("pi", "theta")}
        else:  # counted, since proving it would take a minute: smoothing is proved above
            y, x = data.observed["y"], data.observed["x_count"]
            smooth = 1 + np.stack([x[y == c].sum(axis=0) for c in (0, 1)])
            point = {"psi": (smooth / smooth.sum(axis=1, keepdims=True))[None, None], "pi": np.full((1, 1, 2), 0.5)}
        shares = {"ham": 3466 / 4000, "spam": 534 / 4000}
        new = Table({name: values[4000:] for name, values in columns.items()}, "sms_spam.csv")
        found = model.class_probabilities(point, data, new, shares).predictive
        called = found[:, 1] > 0.5
        assert [int((called[truth == t] == c).sum()) for t in (False, True) for c in (False, True)] == confusion
        assert np.log(found[np.arange(1574), truth.astype(int)]).mean() == pytest.approx(score, abs=5e-6)


# --- data -------------------------------------------------------------------------------------------------------------


def test_columns_are_taken_for_what_they_look_like():
    rows = table(
        label=["a", "b", "a"], b=[0, 1, 1], t=[True, False, True], w=["n", "y", "n"], c=["r", "s", "t"], x=[1.5, 2, 3]
    )
    data = NaiveBayes(event="y").data(rows)
    assert data.coords["binary"] == ["b", "t", "w"]
    assert (data.coords["category"], data.coords["number"]) == (["c"], ["x"])
    assert data.coords["level"] == ["c=r", "c=s", "c=t"]
    assert data.observed["x_binary"].tolist() == [[0, 1, 0], [1, 0, 1], [1, 1, 0]]
    assert NaiveBayes().data(rows).coords["category"] == ["w", "c"]


def test_numbers_are_scaled_over_the_cells_that_are_there():
    data = MODEL.data(MIXED)
    there = data.inputs["has_number"]
    x = data.observed["x_number"]
    for j in range(2):
        own = x[there[:, j], j]
        assert (own.mean(), own.std()) == pytest.approx((0, 1), abs=1e-12)
    assert (x[~there] == 0).all() and (~there).sum() == 2


LABELS = ["a", "b", "a"]
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no label": ({}, {"f": [0, 1, 1]}, "rows.csv: there is no column `label`; known: `f`"),
    "no labels": (
        {},
        {"label": words(None, None, None), "f": [0, 1, 1]},
        "rows.csv, column `label`: has a label in no row; label some rows of every class",
    ),
    "one class and unlabelled rows": (
        {},
        {"label": words("a", None, None), "f": [0, 1, 1]},
        "rows.csv, column `label`: must have two classes or more, got 1 (`a`); name another column as `label`",
    ),
    "one class": (
        {},
        {"label": ["a"] * 3, "f": [0, 1, 1]},
        "rows.csv, column `label`: must have two classes or more, got 1 (`a`); name another column as `label`",
    ),
    "no feature": ({}, {"label": LABELS}, "rows.csv: has no column but the label; add a feature"),
    "an unknown column": (
        {"number": ("heigth",)},
        {"label": LABELS, "height": [1.0, 2.0, 3.0]},
        "model.number: `heigth` is not a column of rows.csv; did you mean `height`?",
    ),
    "a column twice": (
        {"number": ("x",), "count": ("x",)},
        {"label": LABELS, "x": [1, 2, 3]},
        "model.number: column `x` is already under `count`; name every column once",
    ),
    "the label as a feature": (
        {"category": ("label",)},
        {"label": LABELS},
        "model.category: column `label` is already the label; name every column once",
    ),
    "an empty column": (
        {"number": ("x",)},
        {"label": LABELS, "x": [np.nan] * 3},
        "rows.csv, column `x`: has no value in any row; leave the column out",
    ),
    "two as a binary": (
        {"binary": ("f",)},
        {"label": LABELS, "f": [0.0, np.nan, 2.0]},
        "rows.csv, column `f`, row 3: must be 0 or 1, got 2; recode the column to 0 and 1",
    ),
    "a third vote": (
        {"binary": ("f",), "event": "y"},
        {"label": LABELS, "f": ["y", "n", "maybe"]},
        "rows.csv, column `f`, row 2: must be 'y' or one other label ('maybe'), got 'n'; name it under `category`",
    ),
    "half a count": (
        {"count": ("p", "q")},
        {"label": LABELS, "p": [1, 0.5, 2], "q": [0, 1, 1]},
        "rows.csv, column `p`, row 2: must be a whole number, 0 or more, got 0.5; correct it",
    ),
    "some counts of a row": (
        {"count": ("p", "q")},
        {"label": LABELS, "p": [1, np.nan, 2], "q": [0, 1, 1]},
        "rows.csv, column `p`, row 2: a count must be there where other counts of the row are, got an empty cell or "
        "NaN; fill the cell in or empty all counts of the row",
    ),
    "one count column": (
        {"count": ("p",)},
        {"label": LABELS, "p": [1, 0, 2]},
        "model.count: needs two columns or more, got `p` alone; "
        "take a column as `number`, or count what else there was",
    ),
    "a word as a number": (
        {"number": ("x",)},
        {"label": LABELS, "x": words(1.5, "tall", None)},
        "rows.csv, column `x`, row 2: must be a number, got 'tall'; correct the value or map another column",
    ),
    "an infinite number": (
        {"number": ("x",)},
        {"label": LABELS, "x": [1.5, np.inf, 2]},
        "rows.csv, column `x`, row 2: must be finite, got inf; correct the value or leave the row out",
    ),
    "equal numbers": (
        {"number": ("x",)},
        {"label": LABELS, "x": [2.5, np.nan, 2.5]},
        "rows.csv, column `x`: is the same number in every row, so it has no scale; leave the column out",
    ),
    "one level": (
        {"category": ("c",)},
        {"label": LABELS, "c": words("red", None, "red")},
        "rows.csv, column `c`: has one label in every row (`red`); leave the column out",
    ),
}


@pytest.mark.parametrize(("settings", "columns", "sentence"), REFUSED.values(), ids=REFUSED)
def test_wrong_rows_are_refused(settings, columns, sentence):
    with pytest.raises(InputError) as refused:
        NaiveBayes(**settings).data(table(**columns))
    assert str(refused.value) == sentence


NEW_REFUSED = {
    "no such class": (
        {"0": 0.5, "one": 0.5},
        {"f2": [1]},
        "class_prior, `one`: is not a class; known: `0`, `1`",
    ),
    "a class left out": ({"0": 1.0}, {}, "class_prior: has no probability for class `1`; give one for every class"),
    "no sum of one": ({"0": 0.5, "1": 0.6}, {}, "class_prior: must sum to 1, got 1.1; divide by the sum"),
    "a negative probability": ({"0": -0.5, "1": 1.5}, {}, "class_prior, `0`: must lie in [0, 1], got -0.5; correct it"),
    "a wrong cell": (
        None,
        {"f2": [3]},
        "rows.csv, column `f2`, row 1: must be 0 or 1, got 3; recode the column to 0 and 1",
    ),
    "no column": (None, {"f1": None}, "rows.csv: there is no column `f1`; known: `f2`, `f3`"),
}


@pytest.mark.parametrize(("class_prior", "changes", "sentence"), NEW_REFUSED.values(), ids=NEW_REFUSED)
def test_wrong_new_rows_are_refused(class_prior, changes, sentence):
    cells = {"f1": [1], "f2": [0], "f3": [1]} | changes
    with pytest.raises(InputError) as refused:
        rows = table(**{name: values for name, values in cells.items() if values is not None})
        BINARY.class_probabilities(KNOWN, FITTED, rows, class_prior)
    assert str(refused.value) == sentence


# --- the multinomial of rows with totals of their own -----------------------------------------------------------------


def test_multinomial_log_density_is_scipys():
    counts, probs = np.array([[2.0, 0, 3], [0, 0, 0], [1, 1, 7]]), np.array([0.2, 0.5, 0.3])
    found = Multinomial(torch.tensor(counts.sum(axis=1)), torch.tensor(probs).expand(3, 3)).log_prob(
        torch.tensor(counts)
    )
    assert found.numpy() == pytest.approx(scipy.stats.multinomial.logpmf(counts, counts.sum(axis=1), probs), abs=EXACT)


@pytest.mark.parametrize("kinds", [(0.2, 0.5, 0.3), (0.2, 0.5, 0.3, 0, 0, 0)], ids=["by kinds", "by units"])
def test_multinomial_draws_sum_to_their_totals_and_have_binomial_margins(kinds):
    probs = torch.tensor(kinds, dtype=torch.float64)
    with workspace(4):
        draws = Multinomial(torch.tensor([4.0, 0.0]), probs.expand(2, len(kinds))).sample((20_000,)).numpy()
    assert (draws.sum(axis=-1) == [4, 0]).all()
    for k, rate in enumerate(kinds):
        for value in range(5):
            truth = binom(4, rate).pmf(value)
            error = math.sqrt(truth * (1 - truth) / 20_000)
            assert abs((draws[:, 0, k] == value).mean() - truth) <= 4 * error


# --- rows without a label ---------------------------------------------------------------------------------------------


def without_labels(*places: int) -> Table:
    labels = MIXED.columns["class"].copy()
    labels[list(places)] = None
    return Table({**MIXED.columns, "class": labels}, "rows.csv")


def labelled(rows: Table, found: tuple[str, ...]) -> Table:
    """The rows with their empty labels filled in, in order."""
    labels = rows.columns["class"].copy()
    labels[[label is None for label in labels]] = found
    return Table({**rows.columns, "class": labels}, "rows.csv")


def test_the_density_sums_over_every_labeling():
    rows = without_labels(1, 4)
    data = MODEL.data(rows)
    assert data.coords["unlabelled"] == ["2", "5"] and len(data.observed["y"]) == 8
    with workspace(0):
        program = program_of(MODEL, data)
        density = LogDensity(program)
        z = torch.randn(2, density.size)
        density.settle(2, "always")
        assert density.untraced is None and density.kernel is not None
        for point in z:
            at = density.constrain(point)
            every = [
                float(program_of(MODEL, MODEL.data(labelled(rows, labels))).log_joint(at))
                for labels in itertools.product("uvw", repeat=2)
            ]
            assert float(program.log_joint(at)) == pytest.approx(logsumexp(every), abs=EXACT)
        value, slope = density(z)
    assert torch.isfinite(value).all() and torch.isfinite(slope).all()


SEMI = Table(
    {
        "class": words("u", "v", "u", "v", "u", None, None, None, None, None, None),
        "b": np.array([1, 0, 1, 0, 0, 1, 0, 1, 1, 0, np.nan]),
        "x": np.array([2.0, -1.0, 1.5, 0.2, 0.4, 1.8, -0.7, np.nan, 0.5, -1.2, 0.9]),
    },
    "semi.csv",
)
LEARNER = NaiveBayes("class", binary=("b",), number=("x",), variance_prior=Prior("inverse_gamma", (6.0, 5.0)))


class EveryLabeling:
    """The posterior of LEARNER on SEMI by brute force: all 2^6 labelings, each with its conjugate evidence."""

    def __init__(self) -> None:
        labels = [0, 1, 0, 1, 0]
        b, raw = SEMI.columns["b"], SEMI.columns["x"]
        x = (raw - np.nanmean(raw)) / np.nanstd(raw)
        self.labelings = np.array([labels + list(more) for more in itertools.product((0, 1), repeat=6)])
        evidence, moments = [], []
        for y in self.labelings:
            n = np.bincount(y, minlength=2)
            total, row = betaln(1 + n[0], 1 + n[1]), [beta_moments(1 + n[0], 1 + n[1])]
            for c in (0, 1):
                mine = b[(y == c) & ~np.isnan(b)]
                ones, zeros = mine.sum(), len(mine) - mine.sum()
                total += betaln(1 + ones, 1 + zeros)
                row.append(beta_moments(1 + ones, 1 + zeros))
                own = x[(y == c) & ~np.isnan(x)]
                k, shape = 1.0 + len(own), 6.0 + len(own) / 2
                mean = own.sum() / k
                rate = 5.0 + 0.5 * ((own**2).sum() - k * mean**2)
                total += gammaln(shape) - shape * math.log(rate) - 0.5 * math.log(k)
                row.append((mean, mean**2 + rate / ((shape - 1) * k)))
            evidence.append(total)
            moments.append(row)
        self.weight = np.exp(evidence - logsumexp(evidence))
        first, second = np.einsum("l,lpm->mp", self.weight, np.array(moments))
        self.mean, self.sd = first, np.sqrt(second - first**2)
        self.probability = self.weight @ (self.labelings[:, 5:] == 0)


def beta_moments(a: float, b: float) -> tuple[float, float]:
    return a / (a + b), a * (a + 1) / ((a + b) * (a + b + 1))


@pytest.mark.parametrize(
    "backend", [Nuts(num_chains=16, num_warmup=200, num_samples=500), Svi(num_samples=4000)], ids=["nuts", "svi"]
)
def test_unlabelled_rows_teach_as_every_labeling_says(backend):
    data, truth = LEARNER.data(SEMI), EveryLabeling()
    posterior = fit(LEARNER, data, backend, seed=6)
    probability = LEARNER.quantities(posterior.draws, data).draws["class_probability"]
    assert probability.shape[2:] == (6, 2) and np.abs(probability.sum(axis=-1) - 1).max() < 1e-12
    pi, theta, mu = (posterior.draws[site] for site in ("pi", "theta", "mu"))
    # p(first class), then rate and mean of each class
    found = np.stack([pi[..., 0], theta[..., 0, 0], mu[..., 0, 0], theta[..., 1, 0], mu[..., 1, 0]], axis=-1)
    if isinstance(backend, Svi):  # a normal on the unconstrained scale, for a mixture of 64: near, not within errors
        assert np.abs(probability[..., 0].mean(axis=(0, 1)) - truth.probability).max() < 0.05
        assert (np.abs(found.mean(axis=(0, 1)) - truth.mean) < 0.2 * truth.sd).all()
        return
    gaps = off_by(monte_carlo(found, dependent=True), truth.mean, truth.sd)
    assert max(gaps.values()) < 4, gaps
    of_classes = monte_carlo(probability[..., 0], dependent=True)
    assert (np.abs(of_classes["mean"] - truth.probability) < 4 * of_classes["mean_error"]).all()
    # the classes that were drawn are the same posterior
    drawn = (posterior.draws["y_unlabelled"] == 0).astype(float)
    share = monte_carlo(drawn, dependent=True)
    assert (np.abs(share["mean"] - truth.probability) < 4 * share["mean_error"]).all()


def test_labels_that_are_missing_are_worth_something():
    """The labelings' mixture knows more of the classes' shares than the labelled rows alone."""
    truth = EveryLabeling()
    alone = {name: values[:5] for name, values in SEMI.columns.items()}
    posterior = fit(LEARNER, LEARNER.data(Table(alone, "labelled.csv")), Exact(1, 4))
    assert posterior.marginals["pi"].std()[0] > 1.1 * truth.sd[0]


def test_exact_names_the_rows_without_labels():
    with pytest.raises(InputError) as refused:
        fit(LEARNER, LEARNER.data(SEMI), "exact")
    assert str(refused.value).startswith("`exact` cannot fit NaiveBayes: site `y_unlabelled` (Categorical) is discrete")


def test_rows_that_are_all_labelled_have_no_class_probability(exact):
    assert MODEL.quantities(exact.draws, MODEL.data(MIXED)).draws == {}
    assert NaiveBayes.exchangeable is None


# --- predictions ------------------------------------------------------------------------------------------------------


def test_predictions_are_the_class_probabilities(exact):
    rows = Table(NEW, "new.csv")
    columns = MODEL.predict(exact.draws, MIXED, rows, mass=0.8)
    found = MODEL.class_probabilities(exact.draws, MODEL.data(MIXED), rows, mass=0.8)
    kinds = ("", " lower", " upper")
    assert list(columns) == ["class", *(f"P(class={c}){kind}" for c in "uvw" for kind in kinds)]
    for c, name in enumerate("uvw"):
        for kind, values in zip(kinds, (found.predictive, found.lower, found.upper), strict=True):
            assert np.array_equal(columns[f"P(class={name}){kind}"], values[:, c])
    assert columns["class"].tolist() == ["uvw"[c] for c in found.predictive.argmax(axis=1)]
