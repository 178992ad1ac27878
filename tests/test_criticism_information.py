"""Information: table 1.9 of the known answers, closed forms against PyTorch's, estimates against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
import torch.distributions as td

from experiments.criticism import information as info
from models import InputError

UNIFORM = [0.25] * 4
PEAKED = [0.97, 0.01, 0.01, 0.01]
RNG = np.random.default_rng(4)
TABLES = RNG.dirichlet(np.full(5, 0.7), size=(2, 30))


def close(found, expected, tolerance=1e-9):
    assert np.asarray(found, dtype=float) == pytest.approx(np.asarray(expected, dtype=float), abs=tolerance)


@pytest.fixture(autouse=True)
def same_numbers_whatever_ran_before(monkeypatch):
    monkeypatch.setitem(globals(), "RNG", np.random.default_rng(4))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (info.entropy(UNIFORM) / np.log(2), 2.0),
        (info.entropy(PEAKED) / np.log(2), 0.241940733),
        (info.entropy(PEAKED), 0.167700537),
        (info.kl(PEAKED, UNIFORM), 1.218593824),
        (info.kl(UNIFORM, PEAKED), 2.075198080),
        (info.kl_normal(0, 1, 1, 2), 0.443147181),
        (info.kl_normal(1, 2, 0, 1), 1.306852819),
        (info.js_quadrature(scipy.stats.norm(0, 1), scipy.stats.norm(1, 2)), 0.128174973),
        # E|1 + Z| in closed form; printed as 1.166630943, from draws or a coarse sum
        (
            info.wasserstein(scipy.stats.norm(0, 1).ppf, scipy.stats.norm(1, 2).ppf),
            2 * scipy.stats.norm.pdf(1) + 2 * scipy.stats.norm.cdf(1) - 1,
        ),
        (info.wasserstein(scipy.stats.norm(0, 1).ppf, scipy.stats.norm(1, 2).ppf, order=2), np.sqrt(2)),
        (info.fisher_information(0.7), 4.761904762),
        (1 / (20 * info.fisher_information(0.7)), 0.0105),
        (info.hoeffding(100, 0.1), 0.270670566),
    ],
)
def test_printed_numbers(found, expected):
    close(found, expected, 1e-9)


def test_identities():
    p, q = TABLES
    close(info.cross_entropy(p, q), info.entropy(p) + info.kl(p, q), 1e-12)
    close(info.kl(p, p), np.zeros(30), 1e-15)
    assert (info.kl(p, q) > 0).all() and np.abs(info.kl(p, q) - info.kl(q, p)).max() > 0.1
    close(info.js(p, q), info.js(q, p), 1e-15)
    assert (info.js(p, q) <= np.log(2)).all()
    close(info.js([1, 0], [0, 1]), np.log(2), 1e-15)
    close(info.mutual_information(np.outer(p[0], q[0])), 0, 1e-12)
    close(info.mutual_information(np.diag(p[0])), info.entropy(p[0]), 1e-12)


def test_divergence_is_infinite_where_support_fails_and_only_there():
    assert info.kl([0.5, 0.5, 0], [1, 0, 0]) == np.inf
    assert info.cross_entropy([0.5, 0.5], [1, 0]) == np.inf
    assert info.kl([1, 0, 0], [0.5, 0.5, 0]) == pytest.approx(np.log(2))
    assert info.kl_monte_carlo(np.zeros(3), np.array([0, -np.inf, 0])).value == np.inf


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([0.5, 0.4], "probabilities: must sum to 1, got 0.9; divide by the sum"),
        ([1.5, -0.5], "probabilities: must be finite and 0 or more, got -0.5; correct the value"),
        ([np.nan, 1.0], "probabilities: must be finite and 0 or more, got nan; correct the value"),
    ],
)
def test_what_is_no_distribution_is_refused_not_repaired(table, message):
    with pytest.raises(InputError) as refused:
        info.kl(table, [0.5, 0.5])
    assert str(refused.value) == message


def peer(p, q):
    return td.kl_divergence(p, q).item()


T = torch.tensor


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (info.kl_normal(0.3, 2, -1, 0.7), peer(td.Normal(T(0.3).double(), 2), td.Normal(T(-1.0).double(), 0.7))),
        (info.kl_beta(9, 5, 2, 2), peer(td.Beta(T(9.0).double(), 5), td.Beta(T(2.0).double(), 2))),
        (info.kl_beta(0.5, 4, 3, 0.2), peer(td.Beta(T(0.5).double(), 4), td.Beta(T(3.0).double(), 0.2))),
        (info.kl_gamma(3, 2, 0.5, 7), peer(td.Gamma(T(3.0).double(), 2), td.Gamma(T(0.5).double(), 7))),
        (
            info.kl_dirichlet([1, 2, 0.3], [4, 1, 1]),
            peer(td.Dirichlet(T([1, 2, 0.3]).double()), td.Dirichlet(T([4.0, 1, 1]).double())),
        ),
    ],
)
def test_closed_forms_are_pytorch_s(found, expected):
    close(found, expected, 1e-6)  # PyTorch keeps some arguments in single precision


def test_monte_carlo_finds_the_closed_form_within_its_own_error():
    p, q = scipy.stats.norm(0, 1), scipy.stats.norm(1, 2)
    draws = p.rvs(20_000, random_state=np.random.default_rng(2))
    found = info.kl_monte_carlo(p.logpdf(draws), q.logpdf(draws))
    assert abs(found.value - info.kl_normal(0, 1, 1, 2)) < 4 * found.mcse < 0.05
    # the log ratio is log 2 - z^2/2 + (z - 1)^2/8, whose variance is 2 (3/8)^2 + (1/4)^2 = 0.34375
    close(found.mcse, np.sqrt(0.34375 / 20_000), 1e-4)


def test_distance_of_draws_is_scipy_s_and_the_sorted_one():
    a, b = RNG.normal(size=37), RNG.normal(1, 2, size=23)
    close(info.wasserstein_of_draws(a, b), scipy.stats.wasserstein_distance(a, b), 1e-12)
    same = RNG.normal(size=37)
    close(info.wasserstein_of_draws(a, same, 2), np.sqrt(np.mean((np.sort(a) - np.sort(same)) ** 2)), 1e-12)


def test_uncertainty_splits_into_what_data_can_and_cannot_take_away():
    sure = info.predictive_uncertainty(np.array([[[0.5, 0.5]], [[0.5, 0.5]]]))
    torn = info.predictive_uncertainty(np.array([[[1.0, 0.0]], [[0.0, 1.0]]]))
    close([sure.total, sure.aleatoric, sure.epistemic], [[np.log(2)], [np.log(2)], [0]], 1e-12)
    close([torn.total, torn.aleatoric, torn.epistemic], [[np.log(2)], [0], [np.log(2)]], 1e-12)
    # two equally likely parameters and a prediction: epistemic is the mutual information of their joint table
    rates = np.array([[0.9, 0.1], [0.3, 0.7]])
    close(info.predictive_uncertainty(rates[:, None]).epistemic, [info.mutual_information(rates / 2)], 1e-12)
