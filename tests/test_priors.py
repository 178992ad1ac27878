"""Prior literals: what each name means in Pyro, and the one sentence that refuses the rest."""

from __future__ import annotations

import json
import math
import re

import pytest
import scipy.stats
import torch
from pydantic import TypeAdapter, ValidationError

from inference.streams import workspace
from models import BetaBernoulli, LogisticRegression
from models.priors import PRIORS, Prior

# A literal of every name, and SciPy's distribution of the same parameters.
MEANINGS = {
    "normal(1, 2.5)": scipy.stats.norm(1, 2.5),
    "student_t(3, 1, 2.5)": scipy.stats.t(3, 1, 2.5),
    "cauchy(1, 2.5)": scipy.stats.cauchy(1, 2.5),
    "laplace(1, 2.5)": scipy.stats.laplace(1, 2.5),
    "half_normal(2.5)": scipy.stats.halfnorm(scale=2.5),
    "half_cauchy(2.5)": scipy.stats.halfcauchy(scale=2.5),
    "exponential(2.5)": scipy.stats.expon(scale=1 / 2.5),
    "gamma(2, 0.1)": scipy.stats.gamma(2, scale=10),
    "inverse_gamma(2, 0.5)": scipy.stats.invgamma(2, scale=0.5),
    "lognormal(0.5, 1.5)": scipy.stats.lognorm(1.5, scale=math.exp(0.5)),
    "beta(2, 5)": scipy.stats.beta(2, 5),
    "uniform(-1, 3)": scipy.stats.uniform(-1, 4),
    "bernoulli(0.3)": scipy.stats.bernoulli(0.3),
    "poisson(4)": scipy.stats.poisson(4),
    "dirichlet(1.5)": scipy.stats.dirichlet([1.5, 1.5]),
}


def test_every_prior_is_in_the_table_of_meanings():
    assert {text.split("(")[0] for text in MEANINGS} == set(PRIORS)


@pytest.mark.parametrize("text", MEANINGS)
def test_a_literal_is_the_distribution_it_names(text):
    truth = MEANINGS[text]
    with workspace(0):
        prior = Prior.parse(text).distribution()
        if text.startswith("dirichlet"):
            found, expected = prior.log_prob(torch.tensor([0.2, 0.8])).item(), truth.logpdf([0.2, 0.8])
        elif PRIORS[Prior.parse(text).name].support == "counts":
            found, expected = prior.log_prob(torch.tensor(1.0)).item(), truth.logpmf(1)
        else:
            found, expected = prior.log_prob(torch.tensor(0.7)).item(), truth.logpdf(0.7)
    assert found == pytest.approx(expected, rel=1e-12)
    assert prior.batch_shape == ()


def test_a_dirichlet_takes_its_size():
    with workspace(0):
        assert Prior.parse("dirichlet(2)").distribution(4).concentration.tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize("text", [*MEANINGS, "normal(-0.5, 1e-3)"])
def test_a_prior_reads_as_it_was_written(text):
    assert Prior.parse(str(Prior.parse(text))) == Prior.parse(text)
    if "e-" not in text:
        assert str(Prior.parse(text)) == text


@pytest.mark.parametrize("text", ["normal(0,2.5)", " normal ( 0 , 2.5 ) ", "normal(0.0, 2.50)", "normal(-0.0, 25e-1)"])
def test_spaces_and_forms_of_numbers_do_not_matter(text):
    assert Prior.parse(text) == Prior("normal", (0.0, 2.5))


SIGNATURE = "write `normal(loc, scale)`"
REFUSED = {
    "normal": "must be a prior, got 'normal'; write it like `normal(0, 2.5)`",
    "": "must be a prior, got ''; write it like `normal(0, 2.5)`",
    "normal(0, 1": "must be a prior, got 'normal(0, 1'; write it like `normal(0, 2.5)`",
    "normal(0, exp(1))": "must be a prior, got 'normal(0, exp(1))'; write it like `normal(0, 2.5)`",
    "normal(0, 1) + 1": "must be a prior, got 'normal(0, 1) + 1'; write it like `normal(0, 2.5)`",
    "norml(0, 1)": "`norml` is not a prior; did you mean `normal`?",
    "Normal(0, 1)": "`Normal` is not a prior; did you mean `normal`?",
    "normal()": f"`normal` takes 2 arguments, got 0; {SIGNATURE}",
    "normal(0)": f"`normal` takes 2 arguments, got 1; {SIGNATURE}",
    "normal(0, 1, 2)": f"`normal` takes 2 arguments, got 3; {SIGNATURE}",
    "exponential(1, 2)": "`exponential` takes 1 argument, got 2; write `exponential(rate)`",
    "normal(0, )": f"scale must be a number, got ''; {SIGNATURE}",
    "normal(zero, 1)": f"loc must be a number, got 'zero'; {SIGNATURE}",
    "normal(0, scale=1)": f"scale must be a number, got 'scale=1'; {SIGNATURE}",
    "normal(0, 0)": f"scale must be positive, got 0; {SIGNATURE}",
    "normal(0, -1)": f"scale must be positive, got -1; {SIGNATURE}",
    "normal(nan, 1)": f"loc must be finite, got nan; {SIGNATURE}",
    "normal(0, inf)": f"scale must be finite, got inf; {SIGNATURE}",
    "beta(2, -2)": "concentration0 must be positive, got -2; write `beta(concentration1, concentration0)`",
    "bernoulli(1.5)": "probs must be a probability, got 1.5; write `bernoulli(probs)`",
    "uniform(1, 0)": "low must lie below high, got uniform(1, 0); write `uniform(low, high)`",
    "uniform(1, 1)": "low must lie below high, got uniform(1, 1); write `uniform(low, high)`",
}


@pytest.mark.parametrize(("text", "sentence"), REFUSED.items())
def test_a_wrong_literal_is_refused_with_rule_and_remedy(text, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence) + "$"):
        Prior.parse(text)


def test_an_unknown_name_far_from_all_lists_them():
    with pytest.raises(ValueError, match=r"`wishart` is not a prior; known: `normal`, `student_t`, .*`poisson`$"):
        Prior.parse("wishart(3)")


SETTINGS = {
    "another support": (
        BetaBernoulli,
        {"prior": "normal(0, 1)"},
        "must be a prior on the unit interval, got `normal(0, 1)`",
    ),
    "another interval": (BetaBernoulli, {"prior": "uniform(0, 2)"}, "must be a prior on the unit interval"),
    "positive only": (LogisticRegression, {"formula": "y ~ x", "prior": "gamma(1, 1)"}, "must be a prior on the real"),
    "a number": (BetaBernoulli, {"prior": 2}, "must be a prior, got 2"),
    "a wrong literal": (BetaBernoulli, {"prior": "beta(1)"}, "`beta` takes 2 arguments, got 1"),
}


@pytest.mark.parametrize(("family", "settings", "sentence"), SETTINGS.values(), ids=SETTINGS)
def test_a_setting_holds_its_prior_to_its_support(family, settings, sentence):
    with pytest.raises(ValidationError, match=re.escape(sentence)):
        family(**settings)


def test_uniform_on_the_unit_interval_is_a_prior_for_a_rate():
    assert BetaBernoulli(prior="uniform(0, 1)").prior == Prior("uniform", (0.0, 1.0))


def test_a_prior_goes_through_json_as_its_literal_and_the_schema_knows_the_names():
    adapter = TypeAdapter(Prior)
    prior = Prior("student_t", (3.0, 0.0, 2.5))
    assert json.loads(adapter.dump_json(prior)) == "student_t(3, 0, 2.5)"
    assert adapter.validate_python("student_t(3, 0, 2.5)") == prior
    pattern = adapter.json_schema()["pattern"]
    assert all(re.match(pattern, text) for text in MEANINGS)
    assert not re.match(pattern, "wishart(3)")
