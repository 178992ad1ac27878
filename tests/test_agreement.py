"""Agreement of the backends: distances computed by hand, known laws, chance alone, and a guide that is too narrow."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats

from experiments.agreement import CHANCE, compare, trusted, wasserstein
from experiments.results import Fit
from inference import Nuts, Svi, fit
from inference.posterior import Posterior
from models import Data

Row = dict[str, float | None]
NORMAL = scipy.stats.norm.ppf((np.arange(2000) + 0.5) / 2000)
NORMAL = NORMAL / NORMAL.std()


def row(mean: float, sd: float, mcse: float | None) -> Row:
    return {"mean": mean, "sd": sd, "mcse_mean": mcse}


def normal(backend: str, line: Row, **facts: Any) -> Fit:
    """A fit whose draws of `theta` have this mean and sd and are normal; its summary is the line."""
    draws = (line["mean"] or 0.0) + (line["sd"] or 0.0) * NORMAL
    return Fit(Posterior(backend, {"theta": draws[None]}, {"theta": ()}, facts=facts), {"theta": line}, {}, {})


def of_draws(backend: str, draws: np.ndarray, **more: Any) -> Fit:
    """A fit to independent draws `(draws,)` or, where the backend is dependent, `(chain, draw)`."""
    posterior = Posterior(backend, {"theta": np.atleast_2d(draws)}, {"theta": ()}, **more)
    return Fit(posterior, posterior.summary(), {}, {})


# backends; the largest gap to the most trusted one in its standard deviations, in Monte Carlo errors; the verdict
GAPS: dict[str, tuple[dict[str, Row], float, float | None, str]] = {
    "the same": ({"exact": row(2.0, 0.5, 0.0), "svi": row(2.0, 0.5, 0.01)}, 0.0, None, "agree"),
    "within a tenth": ({"exact": row(2.0, 0.5, 0.0), "svi": row(2.04, 0.5, 0.002)}, 0.08, 20.0, "agree"),
    "small, and no chance": (
        {"exact": row(2.0, 0.5, 0.0), "svi": row(1.9, 0.5, 0.01)},
        0.2,
        10.0,
        "svi: small gap in mean",
    ),
    "small, but chance": ({"exact": row(2.0, 0.5, 0.0), "nuts": row(2.1, 0.5, 0.05)}, 0.2, 2.0, "agree"),
    "no error to explain it": (
        {"exact": row(2.0, 0.5, 0.0), "svi": row(2.1, 0.5, 0.0)},
        0.2,
        None,
        "svi: small gap in mean",
    ),
    "far": ({"exact": row(2.0, 0.5, 0.0), "nuts": row(2.2, 0.5, 0.04)}, 0.4, 5.0, "nuts: means differ"),
    "far, but chance": (
        {"exact": row(2.0, 0.5, 0.0), "nuts": row(2.2, 0.5, 0.08)},
        0.4,
        2.5,
        "nuts: too few draws to tell",
    ),
    # sqrt(0.03^2 + 0.04^2) = 0.05
    "both errors count": ({"svi": row(1.0, 2.0, 0.03), "nuts": row(1.1, 2.0, 0.04)}, 0.05, 2.0, "agree"),
    "nuts is trusted more than svi": (
        {"svi": row(1.0, 1.0, 0.01), "nuts": row(1.4, 2.0, 0.1)},
        0.2,
        0.4 / math.hypot(0.01, 0.1),
        "svi: right in mean, too narrow (sd 0.50 times that of nuts)",
    ),
    "exact most of all": ({"nuts": row(1.0, 9.0, 0.1), "exact": row(1.1, 10.0, 0.0)}, 0.01, 1.0, "agree"),
    "spread within 15%": ({"exact": row(0.0, 1.0, 0.0), "svi": row(0.0, 1.15, 0.01)}, 0.0, None, "agree"),
    "wide beyond 15%": (
        {"exact": row(0.0, 1.0, 0.0), "svi": row(0.0, 1.16, 0.01)},
        0.0,
        None,
        "svi: right in mean, too wide (sd 1.16 times that of exact)",
    ),
    # 25 effective draws: the log of their sd has an error of 1 / sqrt(50) = 0.14
    "wide, but chance": ({"exact": row(0.0, 1.0, 0.0), "svi": row(0.0, 1.4, 0.28)}, 0.0, None, "agree"),
    # tails of 50 effective draws: the log of the sd has an error of 0.1, though the mean is known well
    "wide, but the tails are chance": (
        {"exact": row(0.0, 1.0, 0.0), "nuts": {**row(0.0, 1.3, 0.01), "ess_bulk": 9000.0, "ess_tail": 50.0}},
        0.0,
        None,
        "agree",
    ),
    "too narrow": (
        {"exact": row(0.0, 1.0, 0.0), "svi": row(0.2, 0.5, 0.01)},
        0.2,
        20.0,
        "svi: small gap in mean, too narrow (sd 0.50 times that of exact)",
    ),
    "a point": (
        {"exact": row(1.0, 0.5, 0.0), "svi": row(1.02, 0.0, 0.0)},
        0.04,
        None,
        "svi: right in mean, a point without spread",
    ),
    "two points": ({"svi": row(1.0, 0.0, 0.0), "nuts": row(1.0, 0.0, None)}, 0.0, None, "agree"),
    # svi to exact 0.16, nuts to exact 0.08 in units of 0.5; svi to nuts is no business of theirs
    "the worse of two": (
        {"exact": row(1.0, 0.5, 0.0), "svi": row(0.92, 0.5, 0.01), "nuts": row(1.04, 0.5, 0.004)},
        0.16,
        10.0,
        "svi: small gap in mean",
    ),
    "a spread is worse than a small gap": (
        {"exact": row(1.0, 0.5, 0.0), "nuts": row(0.9, 0.5, 0.005), "svi": row(1.0, 0.25, 0.005)},
        0.2,
        20.0,
        "svi: right in mean, too narrow (sd 0.50 times that of exact)",
    ),
    "infinite": (
        {"exact": row(1.0, 0.5, 0.0), "svi": row(math.inf, 0.5, 0.1)},
        math.inf,
        math.inf,
        "differ: svi has no finite mean or spread",
    ),
}


@pytest.mark.filterwarnings("ignore:invalid value")  # the draws of an infinite mean
@pytest.mark.parametrize("case", GAPS)
def test_gaps_are_measured_in_standard_deviations_and_in_errors(case):
    rows, gap, errors, verdict = GAPS[case]
    found = compare({backend: normal(backend, line) for backend, line in rows.items()})["theta"]
    assert found.max_gap_sd == pytest.approx(gap, abs=1e-12)
    assert found.max_gap_mcse == (None if errors is None else pytest.approx(errors))
    assert found.verdict == verdict
    assert found.by_backend == {backend: {"mean": line["mean"], "sd": line["sd"]} for backend, line in rows.items()}
    assert list(found.by_backend) == list(rows)


@pytest.mark.parametrize("bad", [row(math.nan, 0.5, 0.1), row(1.0, math.nan, 0.1), row(math.nan, math.nan, math.nan)])
@pytest.mark.parametrize("backends", [("exact", "svi"), ("svi", "exact"), ("svi", "nuts"), ("nuts", "svi")])
def test_a_number_that_is_none_agrees_with_nothing(backends, bad):
    good, broken = backends
    fits = {good: normal(good, row(1.0, 0.5, 0.1)), broken: normal(broken, bad)}
    assert compare(fits)["theta"].verdict == f"differ: {broken} has no finite mean or spread"


def test_one_backend_has_nothing_to_agree_with():
    assert compare({"exact": normal("exact", row(1.0, 1.0, 0.0))}) == {}


def test_variables_that_not_every_backend_has_are_left_out():
    rng = np.random.default_rng(0)

    def fit_to(backend: str, **shapes: tuple[int, ...]) -> Fit:
        draws = {name: rng.standard_normal((1, 100, *shape)) for name, shape in shapes.items()}
        posterior = Posterior(backend, draws, {name: tuple("ij"[: len(shape)]) for name, shape in shapes.items()})
        return Fit(posterior, posterior.summary(), {}, {})

    fits = {
        "svi": fit_to("svi", b=(2,), theta=(), a=(), states=(3,)),
        "nuts": fit_to("nuts", a=(), b=(2,), states=(4,)),
    }
    assert list(compare(fits)) == ["b[0]", "b[1]", "a"]


def test_the_most_trusted_backend_comes_first_in_the_order_of_trust():
    fits = {name: normal(name, row(0.0, 1.0, 0.01)) for name in ("svi", "importance", "metropolis", "nuts")}
    assert trusted(fits) == "nuts"
    assert trusted({"svi": fits["svi"], "importance": fits["importance"]}) == "importance"


def test_w1_of_samples_is_scipys_whatever_their_sizes():
    rng = np.random.default_rng(4)
    x, y = rng.gamma(2, 1, (300, 3)), rng.normal(1, 2, (140, 3))
    expected = [scipy.stats.wasserstein_distance(x[:, k], y[:, k]) for k in range(3)]
    np.testing.assert_allclose(wasserstein(np.sort(x, 0), np.sort(y, 0)), expected, rtol=1e-12)


# two laws, and the W1 distance between them by closed form
LAWS: dict[str, tuple[Any, Any, float]] = {
    "normals of one spread: the distance of the means": (scipy.stats.norm(1, 2), scipy.stats.norm(1.5, 2), 0.5),
    "normals of one mean: sqrt(2/pi) |s1 - s2|": (
        scipy.stats.norm(1, 2),
        scipy.stats.norm(1, 0.5),
        1.5 * math.sqrt(2 / math.pi),
    ),
    "exponentials: |1/r1 - 1/r2|": (scipy.stats.expon(scale=1), scipy.stats.expon(scale=3), 2.0),
    "uniforms, one inside the other: a quarter of the widths' difference": (
        scipy.stats.uniform(-1, 2),
        scipy.stats.uniform(-3, 6),
        1.0,
    ),
}


@pytest.mark.parametrize("name", LAWS)
def test_w1_of_closed_forms_has_no_chance_in_it(name):
    one, other, distance = LAWS[name]
    draws = {"theta": np.zeros((1, 10))}
    fits = {}
    for backend, law in (("exact", one), ("svi", other)):
        posterior = Posterior(backend, draws, {"theta": ()}, marginals={"theta": law})
        fits[backend] = Fit(posterior, posterior.summary(), {}, {})
    # a thousand quantiles leave out the last half per mille of either tail
    assert compare(fits)["theta"].max_w1_sd == pytest.approx(distance / one.std(), rel=5e-3)


@pytest.mark.parametrize("name", LAWS)
def test_w1_of_draws_is_that_of_their_laws_within_what_chance_gives(name):
    one, other, distance = LAWS[name]
    rng = np.random.default_rng(5)
    fits = {"nuts": of_draws("nuts", one.rvs(4000, rng)), "svi": of_draws("svi", other.rvs(2000, rng))}
    noise = CHANCE * math.sqrt(1 / 4000 + 1 / 2000) * max(one.std(), other.std()) / one.std()
    assert compare(fits)["theta"].max_w1_sd == pytest.approx(distance / one.std(), abs=noise)


def test_w1_of_several_elements_stays_with_its_element():
    rng = np.random.default_rng(6)
    draws = rng.standard_normal((2, 500, 3, 2))
    shift = np.array([[0.0, 0.1], [0.2, 0.3], [0.4, 0.5]])
    fits = {}
    for backend, values in (("nuts", draws), ("svi", draws + shift)):
        posterior = Posterior(backend, {"x": values}, {"x": ("i", "j")})
        fits[backend] = Fit(posterior, posterior.summary(), {}, {})
    found = compare(fits)
    for index, variable in fits["nuts"].posterior.elements("x"):
        sd = fits["nuts"].summary[variable]["sd"]
        assert sd and found[variable].max_w1_sd == pytest.approx(shift[index] / sd)


def test_the_same_mean_and_spread_with_another_shape_is_told_as_that():
    rng = np.random.default_rng(7)
    two_humps = rng.choice([-1.0, 1.0], 4000) * 0.95 + rng.standard_normal(4000) * math.sqrt(1 - 0.95**2)
    fits = {
        "nuts": of_draws("nuts", two_humps),
        "svi": of_draws("svi", rng.standard_normal(4000), facts={"guide": "flow"}),
    }
    assert compare(fits)["theta"].verdict == "svi (flow guide): right in mean and spread, another shape"


PAIRS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda rng, size: rng.standard_normal(size),
    "exponential": lambda rng, size: rng.exponential(size=size),
    "heavy tails": lambda rng, size: rng.standard_t(3, size),
    "an event": lambda rng, size: (rng.random(size) < 0.3).astype(float),
    "two humps": lambda rng, size: rng.choice([-1.0, 1.0], size) + 0.2 * rng.standard_normal(size),
}


@pytest.mark.parametrize("law", PAIRS)
def test_chance_alone_is_no_disagreement(law):
    rng = np.random.default_rng(8)
    sizes = [(100, 100), (200, 2000), (2000, 2000), (400, 4000)]
    verdicts = Counter(
        compare({"nuts": of_draws("nuts", PAIRS[law](rng, n)), "svi": of_draws("svi", PAIRS[law](rng, m))})[
            "theta"
        ].verdict
        for n, m in sizes * 50
    )
    # of 200 pairs; each of the three thresholds is passed by chance with a probability below 1e-3. Two means of 100
    # draws are more than 0.3 apart with probability 3%, and are then called too few, not different.
    too_few = verdicts["svi: too few draws to tell"]
    assert verdicts["agree"] + too_few >= 197 and too_few <= 8, verdicts


def test_chains_that_hardly_move_are_not_taken_for_many_draws():
    rng = np.random.default_rng(9)
    noise = rng.standard_normal((4, 2000))
    slow = np.empty_like(noise)
    slow[:, 0] = noise[:, 0]
    for t in range(1, 2000):
        slow[:, t] = 0.98 * slow[:, t - 1] + math.sqrt(1 - 0.98**2) * noise[:, t]
    # about 8000 (1 - 0.98) / (1 + 0.98) = 80 effective draws, whose W1 to the law itself is far above 4 / sqrt(8000)
    fits = {
        "nuts": of_draws("nuts", slow, dependent=True),
        "exact": of_draws("exact", noise, marginals={"theta": scipy.stats.norm()}),
    }
    found = compare(fits)["theta"]
    assert found.max_w1_sd > 4 / math.sqrt(8000)
    assert found.verdict == "agree"


def test_a_mean_field_guide_is_shown_as_right_in_the_mean_and_too_narrow():
    """A normal with correlation 0.95: mean field finds the conditional spread, sqrt(1 - 0.95^2) = 0.312 of the
    marginal one."""
    import pyro
    import pyro.distributions as dist
    import torch

    def correlated() -> None:
        covariance = torch.tensor([[1.0, 0.95], [0.95, 1.0]])
        pyro.sample("theta", dist.MultivariateNormal(torch.zeros(2), covariance))

    posteriors = {
        "svi": fit(correlated, Data(), Svi(guide="normal", num_samples=4000), seed=1),
        "nuts": fit(correlated, Data(), Nuts(num_chains=4, num_warmup=500, num_samples=1000), seed=1),
    }
    fits = {name: Fit(posterior, posterior.summary(), {}, {}) for name, posterior in posteriors.items()}
    for variable, found in compare(fits).items():
        ratio = found.by_backend["svi"]["sd"] / found.by_backend["nuts"]["sd"]
        # sd's of 4000 draws and of at least 1000 effective ones
        assert ratio == pytest.approx(math.sqrt(1 - 0.95**2), rel=4 * math.sqrt(1 / 8000 + 1 / 2000)), variable
        assert found.verdict == f"svi (normal guide): right in mean, too narrow (sd {ratio:.2f} times that of nuts)"
        assert found.kind == "svi (normal guide): right in mean, too narrow"
        assert found.max_w1_sd == pytest.approx((1 - ratio) * math.sqrt(2 / math.pi), abs=CHANCE * math.sqrt(1 / 1000))
    full = fit(correlated, Data(), Svi(guide="multivariate_normal", num_samples=4000), seed=1)
    whole = {"nuts": fits["nuts"], "svi": Fit(full, full.summary(), {}, {})}
    assert [found.verdict for found in compare(whole).values()] == ["agree", "agree"]


def test_a_closed_form_is_held_by_its_quantiles_and_not_by_its_draws():
    beta = scipy.stats.beta(9, 5)
    rng = np.random.default_rng(10)
    known = of_draws("exact", np.full(50, 0.123), marginals={"theta": beta})
    other = of_draws("svi", beta.rvs(4000, rng))
    found = compare({"exact": known, "svi": other})["theta"]
    assert found.max_w1_sd < CHANCE / math.sqrt(4000) and found.verdict == "agree"
    drawn = replace(known.posterior, marginals={})
    bare = Fit(drawn, known.summary, {}, {})
    assert compare({"exact": bare, "svi": other})["theta"].max_w1_sd > 1


def test_a_closed_form_without_cheap_quantiles_is_held_by_its_draws_with_their_chance():
    class Costly:
        """A standard normal whose quantiles nobody may ask for."""

        def mean(self) -> float:
            return 0.0

        def std(self) -> float:
            return 1.0

        def pdf(self, x: Any) -> Any:
            return scipy.stats.norm.pdf(x)

        def ppf(self, q: Any) -> Any:
            assert np.size(q) < 10, "quantiles at many levels"
            return scipy.stats.norm.ppf(q)

    rng = np.random.default_rng(11)
    few = of_draws("exact", scipy.stats.norm.ppf(np.array([0.5, 0.6, 0.6, 0.7])), marginals={"theta": Costly()})
    found = compare({"exact": few, "svi": of_draws("svi", rng.standard_normal(4000))})["theta"]
    assert found.max_w1_sd > 0.4 and found.verdict == "agree"


def test_an_event_that_draws_never_saw_is_no_disagreement():
    event = scipy.stats.bernoulli(4e-8)
    known = of_draws("exact", np.zeros(1000), marginals={"theta": event})
    found = compare({"exact": known, "nuts": of_draws("nuts", np.zeros(4000))})["theta"]
    assert found.by_backend["exact"]["sd"] == pytest.approx(2e-4) and found.by_backend["nuts"]["sd"] == 0
    assert found.verdict == "agree"
