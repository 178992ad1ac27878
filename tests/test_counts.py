"""Counts and hurdles as distributions: SciPy's densities, published numbers, gradients at the borders, and draws."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pyro.distributions as dist
import pytest
import scipy.stats
import torch
from pyro.distributions import constraints

from models.distributions.counts import (
    Counts,
    NegativeBinomial,
    Poisson,
    ZeroTruncated,
    bounded_exp,
    log1mexp,
    log_softplus,
    softplus,
)
from models.distributions.hurdle import Hurdle, ZeroInflated

LOG_MEANS = [-6.0, -1.0, 0.0, 0.7, 3.0]
SIZES = [0.05, 0.8, 3.0, 400.0]
Y = torch.arange(0, 60, dtype=torch.float64)


def real(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def law(log_mean: float, size: float | None) -> tuple[Counts, scipy.stats.rv_discrete]:
    """A count distribution (Poisson where there is no size), and SciPy's."""
    mean = math.exp(log_mean)
    if size is None:
        return Poisson(torch.tensor(log_mean, dtype=torch.float64)), scipy.stats.poisson(mean)
    ours = NegativeBinomial(torch.tensor(log_mean, dtype=torch.float64), torch.tensor(size, dtype=torch.float64))
    return ours, scipy.stats.nbinom(size, size / (size + mean))


LAWS = list(itertools.product(LOG_MEANS, [None, *SIZES]))


@pytest.mark.parametrize(("log_mean", "size"), LAWS)
def test_counts_have_scipys_probabilities(log_mean, size):
    ours, theirs = law(log_mean, size)
    y = Y.numpy()
    assert ours.log_prob(Y).numpy() == pytest.approx(theirs.logpmf(y), rel=1e-9, abs=1e-9)
    assert float(ours.log_zero()) == pytest.approx(theirs.logpmf(0), rel=1e-12)
    assert float(ours.log_positive()) == pytest.approx(theirs.logsf(0), rel=1e-9)
    truncated = ZeroTruncated(ours).log_prob(Y[1:]).numpy()
    assert truncated == pytest.approx(theirs.logpmf(y[1:]) - theirs.logsf(0), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("log_mean", "size"), LAWS)
@pytest.mark.parametrize("zero_logit", [-3.0, 0.4, 2.0])
def test_zeros_are_a_mixture_or_a_hurdle(log_mean, size, zero_logit):
    ours, theirs = law(log_mean, size)
    y, logit = Y.numpy(), torch.tensor(zero_logit, dtype=torch.float64)
    p = 1 / (1 + math.exp(-zero_logit))
    mixture = p * (y == 0) + (1 - p) * theirs.pmf(y)
    assert ZeroInflated(logit, ours).log_prob(Y).exp().numpy() == pytest.approx(mixture, rel=1e-9, abs=1e-300)
    behind = np.where(y == 0, p, (1 - p) * theirs.pmf(y) / theirs.sf(0))
    assert Hurdle(logit, ZeroTruncated(ours)).log_prob(Y).exp().numpy() == pytest.approx(behind, rel=1e-9, abs=1e-300)


def test_variance_of_the_negative_binomial_is_mean_plus_its_square_over_size():
    y = torch.arange(0, 2000).double()
    probabilities = NegativeBinomial(torch.log(real(5.0)), real(5.0)).log_prob(y).exp()
    assert (float(probabilities @ y), float(probabilities @ (y - 5) ** 2)) == pytest.approx((5, 10), abs=1e-9)


def test_published_hurdle_poisson():
    hurdle = Hurdle(torch.logit(real(0.3)), ZeroTruncated(Poisson(torch.log(real(3.0)))))
    assert hurdle.log_prob(real(2.0)).item() == pytest.approx(-1.801528366, abs=1e-9)
    assert float(hurdle.log_prob(Y).exp() @ Y) == pytest.approx(2.210030963, abs=1e-9)


def test_published_zero_inflated_poisson():
    found = ZeroInflated(torch.logit(real(0.3)), Poisson(torch.log(real(3.0)))).log_prob(real(0, 2))
    assert found.tolist() == pytest.approx([-1.094069778, -1.852597547], abs=1e-9)
    probabilities = ZeroInflated(torch.logit(real(0.3)), Poisson(torch.log(real(3.0)))).log_prob(Y).exp()
    mean = float(probabilities @ Y)
    assert (mean, float(probabilities @ Y**2) - mean**2) == pytest.approx((2.1, 3.99), abs=1e-9)


AMOUNTS = {
    "lognormal": (dist.LogNormal(real(0.3), real(0.8)), scipy.stats.lognorm(0.8, scale=math.exp(0.3))),
    "gamma": (dist.Gamma(real(0.7), real(0.2)), scipy.stats.gamma(0.7, scale=5)),
}


@pytest.mark.parametrize(("positive", "theirs"), AMOUNTS.values(), ids=AMOUNTS)
def test_amounts_have_a_probability_at_zero_and_a_density_above(positive, theirs):
    hurdle = Hurdle(torch.logit(real(0.3)), positive)
    assert hurdle.log_prob(real(0.0)).item() == pytest.approx(
        math.log(0.3), abs=1e-12
    )  # -1.203972804, no density added
    y = np.array([0.01, 1.5, 40.0])
    found = hurdle.log_prob(torch.as_tensor(y)).numpy()
    assert found == pytest.approx(math.log(0.7) + theirs.logpdf(y), rel=1e-12)
    assert hurdle.support is constraints.nonnegative


# --- borders ------------------------------------------------------------------------------------------------------

FAR = [-800.0, -81.0, -30.0, -29.99, -1.0, 0.0, 1.0, 19.9, 20.1, 39.9, 41.0, 800.0]


def test_functions_far_out():
    x = torch.tensor(FAR, dtype=torch.float64, requires_grad=True)
    known = {
        softplus: np.logaddexp(0, FAR),
        log_softplus: [v if v < -36 else math.log(np.logaddexp(0, v)) for v in FAR],
        log1mexp: [v if v < -36 else math.log(-math.expm1(-math.exp(min(v, 40)))) for v in FAR],
    }
    for function, values in known.items():
        assert function(x).tolist() == pytest.approx(list(values), rel=1e-12, abs=1e-12), function.__name__
        (slope,) = torch.autograd.grad(function(x).sum(), x)
        assert torch.isfinite(slope).all() and (slope >= 0).all() and (slope <= 1).all(), function.__name__
    assert bounded_exp(x.detach())[:10].tolist() == pytest.approx([math.exp(v) for v in FAR[:10]], rel=1e-15)
    assert float(bounded_exp(real(41.0))) == pytest.approx(2 * math.exp(40)), "the tangent at 40"
    assert float(bounded_exp(real(81.0), 80.0)) == pytest.approx(2 * math.exp(80))


@pytest.mark.parametrize("size", [None, 1e-8, 1.0, 1e8])
@pytest.mark.parametrize("form", ["none", "inflated", "hurdle"])
def test_values_and_gradients_are_finite_at_the_borders(form, size):
    grid = itertools.product(FAR, [-800.0, -40.0, 0.0, 40.0, 800.0], [0.0, 1.0, 7.0, 1e6])
    log_mean, logit, y = torch.tensor(list(grid), dtype=torch.float64).T
    log_mean, logit = log_mean.clone().requires_grad_(), logit.clone().requires_grad_()
    sizes = torch.full_like(y, size or 1.0).requires_grad_()
    counts = Poisson(log_mean) if size is None else NegativeBinomial(log_mean, sizes)
    forms = {
        "none": lambda: counts,
        "inflated": lambda: ZeroInflated(logit, counts),
        "hurdle": lambda: Hurdle(logit, ZeroTruncated(counts)),
    }
    value = forms[form]().log_prob(y)
    arguments = [log_mean, *([logit] if form != "none" else []), *([sizes] if size is not None else [])]
    gradients = torch.autograd.grad(value.sum(), arguments)
    assert torch.isfinite(value).all()
    for gradient in gradients:
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("size", [None, 0.3, 40.0])
def test_gradients_are_those_of_differences(size):
    y = real(0, 0, 1, 2, 9)
    log_mean, logit = real(-31.0, 0.2, -1.0, 1.3, 2.0), real(0.5, -2.0, 0.0, 1.0, -0.3)

    def total(form, log_mean, logit, log_size):
        counts = Poisson(log_mean) if size is None else NegativeBinomial(log_mean, log_size.exp())
        full = {"inflated": ZeroInflated(logit, counts), "hurdle": Hurdle(logit, ZeroTruncated(counts))}
        return full[form].log_prob(y)

    arguments = [v.requires_grad_() for v in (log_mean, logit, torch.log(real(size or 1.0)))]
    for form in ("inflated", "hurdle"):
        assert torch.autograd.gradcheck(lambda *a, form=form: total(form, *a), arguments)


# --- draws --------------------------------------------------------------------------------------------------------

DRAWS = 40_000


def shares_agree(draws: torch.Tensor, probabilities: np.ndarray) -> None:
    """Shares of 0, 1, ... within 4 standard errors; what is rarer than one draw in a thousand is one class."""
    shares = np.bincount(draws.numpy().astype(int), minlength=len(probabilities))[: len(probabilities)] / len(draws)
    common = probabilities > 1e-3
    shares = np.append(shares[common], 1 - shares[common].sum())
    expected = np.append(probabilities[common], 1 - probabilities[common].sum())
    error = np.sqrt(expected * (1 - expected) / len(draws))
    assert (np.abs(shares - expected) <= 4 * error + 1 / len(draws)).all()


@pytest.mark.parametrize(("log_mean", "size"), list(itertools.product([-2.0, 0.5, 2.0], [None, 0.4, 6.0])))
def test_draws_have_the_probabilities(log_mean, size):
    torch.manual_seed(11)
    ours, theirs = law(log_mean, size)
    logit, y = torch.tensor(-0.5, dtype=torch.float64), np.arange(400)
    forms = [ours, ZeroTruncated(ours), ZeroInflated(logit, ours), Hurdle(logit, ZeroTruncated(ours))]
    truncated = np.where(y > 0, theirs.pmf(y) / theirs.sf(0), 0)
    p = 1 / (1 + math.exp(0.5))
    inflated, behind = p * (y == 0) + (1 - p) * theirs.pmf(y), p * (y == 0) + (1 - p) * truncated
    for form, probabilities in zip(forms, [theirs.pmf(y), truncated, inflated, behind], strict=True):
        shares_agree(form.sample(torch.Size([DRAWS])), probabilities)


def test_draws_of_amounts():
    torch.manual_seed(12)
    for positive, theirs in AMOUNTS.values():
        draws = Hurdle(torch.logit(real(0.3)), positive).sample(torch.Size([DRAWS])).squeeze(-1).numpy()
        assert abs((draws == 0).mean() - 0.3) <= 4 * math.sqrt(0.21 / DRAWS)
        assert scipy.stats.kstest(draws[draws > 0], theirs.cdf).pvalue > 1e-4


def test_draws_of_tiny_and_huge_means():
    torch.manual_seed(13)
    tiny = ZeroTruncated(Poisson(real(-700.0))), ZeroTruncated(NegativeBinomial(real(-700.0), real(2.0)))
    assert all(form.sample().tolist() == [1.0] for form in tiny)
    for log_mean in (33.0, 36.0, 39.9):
        draw = Poisson(real(log_mean)).sample().item()
        assert draw == pytest.approx(math.exp(log_mean), rel=4 * math.exp(-log_mean / 2) + 1e-15)
        assert NegativeBinomial(real(log_mean), real(1e3)).sample().item() == pytest.approx(
            math.exp(log_mean), rel=0.13
        )


def test_shapes_broadcast():
    form = ZeroInflated(real(0.0), Poisson(torch.zeros(3, 1).double()))
    assert form.batch_shape == (3, 1) and form.expand(torch.Size([3, 5])).sample().shape == (3, 5)
    form = Hurdle(torch.zeros(4).double(), ZeroTruncated(NegativeBinomial(real(0.0), real(1.0))))
    assert form.batch_shape == (4,) and form.sample(torch.Size([2])).shape == (2, 4)
    assert form.expand(torch.Size([3, 4])).log_prob(torch.ones(3, 4)).shape == (3, 4)
    assert form.support is constraints.nonnegative_integer
