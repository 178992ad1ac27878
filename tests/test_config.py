"""The config door: what an experiment is made of, in every form that a file may have."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jsonschema
import pytest

from experiments.config import Experiment, ProgramConfig, load_experiment
from experiments.schema import schema
from experiments.settings import Checks, DataConfig, SimulateConfig
from experiments.yaml_source import read
from experiments.yaml_target import dump
from inference.settings import BACKENDS, Exact, Nuts, Svi
from models import FAMILIES, BetaBernoulli, InputError, LogisticRegression, Prior

COIN = """\
# configs/coin_flips.yaml: is this coin fair? Ten flips, three ways to the same posterior.
name: coin_flips
seed: 7
model:     {family: beta_bernoulli, prior: "beta(2, 2)"}
data:      {values: {outcome: [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]}}
inference: [exact, svi, nuts]              # or {nuts: {num_chains: 16, num_samples: 500}}
checks:    {max_r_hat: 1.01, min_ess: 400, max_divergences: 0}
"""

REGRESSION = """\
name: wells
model:
  family: logistic_regression
  formula: switched ~ dist + arsenic
  event: 1
data:
  path: wells.csv
  columns: {switched: switch}
inference: {nuts: {num_samples: 100, target_accept_prob: 0.9}, svi: }
"""

PROGRAM = """\
name: schools
model: {program: models/schools.py:EightSchools, tau_scale: 5, names: [a, b]}
data:
  values: {y: [28, 8, -3], sigma: [15.0, 10.0, 16.0], grid: [[1, 2], [3, 4]], J: 3}
  observed: [y]
inference: nuts
checks: {max_r_hat: null, elbo_plateau: false}
"""

SIMULATED = """\
name: simulated
model: {family: logistic_regression, formula: y ~ x + g}
data: {simulate: {num_rows: 100, columns: {x: "normal(0, 1)", g: [a, b]}, truth: {beta: [1, -0.5], intercept: 0}}}
inference: [svi, nuts: {num_samples: 50}]
"""

CONFIGS = {"coin": COIN, "regression": REGRESSION, "program": PROGRAM, "simulated": SIMULATED}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def load(text: str, *overrides: str) -> Experiment:
    """The experiment in that text, which stands in `x.yaml` in the working folder."""
    Path("x.yaml").write_text(text, encoding="utf-8")
    return load_experiment("x.yaml", overrides)


def test_a_family():
    found = load(COIN)
    assert (found.name, found.seed, found.num_threads) == ("coin_flips", 7, 1)
    assert found.model == BetaBernoulli(Prior("beta", (2.0, 2.0)))
    assert found.data == DataConfig(values={"outcome": [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]})
    assert list(found.inference.items()) == [("exact", Exact()), ("svi", Svi()), ("nuts", Nuts())]
    assert found.checks == Checks(max_r_hat=1.01, min_ess=400, max_divergences=0)
    assert found.model_name == "beta_bernoulli"
    assert found.path == Path("x.yaml") and found.folder == Path(".")
    assert found.where("data.values") == "x.yaml:5: data.values"


def test_settings_of_family_and_backends():
    found = load(REGRESSION)
    assert found.model == LogisticRegression("switched ~ dist + arsenic", event=1)
    assert found.inference == {"nuts": Nuts(num_samples=100, target_accept_prob=0.9), "svi": Svi()}
    assert found.data == DataConfig(path="wells.csv", columns={"switched": "switch"})
    assert (found.seed, found.checks) == (0, Checks())


def test_a_program():
    found = load(PROGRAM)
    settings = {"tau_scale": 5, "names": ["a", "b"]}
    assert found.model == ProgramConfig(Path("models/schools.py").resolve(), "EightSchools", settings)
    assert found.model_name == "models/schools.py:EightSchools"
    assert found.data.values == {"y": [28, 8, -3], "sigma": [15.0, 10.0, 16.0], "grid": [[1, 2], [3, 4]], "J": 3}
    assert found.data.observed == ["y"]
    assert found.checks == Checks(max_r_hat=None, elbo_plateau=False)


def test_a_program_lies_beside_the_config():
    Path("deep").mkdir()
    Path("deep/x.yaml").write_text(PROGRAM)
    model = load_experiment(Path("deep/x.yaml")).model
    assert isinstance(model, ProgramConfig) and model.path == Path("deep/models/schools.py").resolve()


def test_a_program_may_have_values_beside_its_rows():
    found = load(PROGRAM.replace("  observed", "  bundled: wells\n  observed"))
    assert found.data.sources == ["values", "bundled"]


def test_simulated_data():
    expected = SimulateConfig(
        num_rows=100,
        columns={"x": "normal(0, 1)", "g": ["a", "b"]},
        truth={"beta": [1, -0.5], "intercept": 0},
    )
    assert load(SIMULATED).data == DataConfig(simulate=expected)


BOTH = {"nuts": Nuts(num_samples=50), "exact": Exact()}


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("nuts", {"nuts": Nuts()}),
        ("[nuts]", {"nuts": Nuts()}),
        ("{nuts: }", {"nuts": Nuts()}),
        ("{nuts: {}}", {"nuts": Nuts()}),
        ("[nuts: {num_samples: 50}, exact]", BOTH),
        ("[{nuts: {num_samples: 50}}, exact: ]", BOTH),
        ("{nuts: {num_samples: 50}, exact: {}}", BOTH),
        ("\n  - nuts:\n      num_samples: 50\n  - exact", BOTH),
    ],
)
def test_inference_is_a_word_a_list_or_a_mapping(section, expected):
    found = load(COIN.replace("[exact, svi, nuts]", section)).inference
    assert list(found.items()) == list(expected.items())


@pytest.mark.parametrize(
    "section", ["nuts", "[svi, nuts]", "[svi, nuts: {num_warmup: 9}]", "{svi: , nuts: {num_warmup: 9}}"]
)
def test_set_reaches_a_backend_in_every_form(section):
    found = load(COIN.replace("[exact, svi, nuts]", section), "inference.nuts.num_samples=50", "seed=3")
    assert found.inference["nuts"] == Nuts(num_samples=50, num_warmup=9 if "num_warmup" in section else 400)
    assert found.seed == 3


def test_set_may_replace_or_add_a_section():
    assert list(load(COIN, "inference=[nuts, exact]").inference) == ["nuts", "exact"]
    assert list(load(COIN, "inference=svi", "inference.svi.guide=map").inference.values()) == [Svi(guide="map")]
    assert load(COIN, "num_threads=2").num_threads == 2
    assert load(COIN, "data.values.outcome.9=1").data.values == {"outcome": [1] * 7 + [0, 0, 1]}


def test_a_whole_number_will_do_for_a_number():
    rate = load(COIN, "inference.svi.learning_rate=1", "checks.max_r_hat=2")
    assert (rate.inference["svi"], rate.checks.max_r_hat) == (Svi(learning_rate=1.0), 2.0)


def test_numbers_in_the_e_notation_and_words_that_are_not_booleans():
    found = load(REGRESSION.replace("event: 1", "event: no"), "inference.svi.learning_rate=1e-3")
    assert found.inference["svi"] == Svi(learning_rate=0.001)
    assert found.model == LogisticRegression("switched ~ dist + arsenic", event="no")


@pytest.mark.parametrize("name", CONFIGS)
def test_the_resolved_config_loads_to_an_equal_experiment(name):
    first = load(CONFIGS[name])
    second = load(dump(first.resolved))
    assert second == first
    assert second.resolved == first.resolved


def test_the_resolved_config_says_every_default():
    resolved = load(SIMULATED).resolved
    basics = ["name", "seed", "num_threads", "max_memory"]
    assert list(resolved) == [*basics, "model", "data", "inference", "checks", "scores"]
    assert resolved["model"] == {
        "family": "logistic_regression",
        "formula": "y ~ x + g",
        "event": None,
        "trials": None,
        "likelihood": "bernoulli",
        "standardise": True,
        "prior": "normal(0, 2.5)",
        "intercept_prior": "normal(0, 2.5)",
        "group_sd_prior": "half_normal(1)",
        "lkj": 1.0,
        "noise_prior": "beta(1, 9)",
    }
    assert resolved["inference"]["nuts"]["target_accept_prob"] == "auto"
    assert resolved["checks"]["elbo_plateau"] is True
    assert resolved["scores"] == {"holdout": None, "k_fold": "auto", "future_from": None}


def test_a_prior_keeps_every_digit():
    first = load(COIN.replace("beta(2, 2)", "beta(0.12345678901, 3e-7)"))
    assert load(dump(first.resolved)).model == BetaBernoulli(Prior("beta", (0.12345678901, 3e-7)))


def test_the_schema_is_a_schema():
    found = schema()
    jsonschema.Draft202012Validator.check_schema(found)
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert found["title"] == "Pyrozoo experiment"


@pytest.mark.parametrize("name", CONFIGS)
def test_the_schema_accepts_what_loads(name):
    experiment = load(CONFIGS[name])
    jsonschema.validate(read(Path("x.yaml")).tree, schema(), jsonschema.Draft202012Validator)
    jsonschema.validate(dict(experiment.resolved), schema(), jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        ("seed: 7", "sede: 7"),
        ("seed: 7", "seed: -1"),
        ("prior:", "priors:"),
        ("beta_bernoulli", "beta_bernouli"),
        ("beta(2, 2)", "beat(2, 2)"),
        ("values:", "value:"),
        ("[exact, svi, nuts]", "[exact, nust]"),
        ("[exact, svi, nuts]", "{nuts: {num_sample: 3}}"),
        ("[exact, svi, nuts]", "[nuts: {num_samples: many}]"),
        ("[exact, svi, nuts]", "{svi: {guide: lapalce}}"),
        ("max_r_hat", "max_rhat"),
    ],
)
def test_the_schema_underlines_what_does_not_load(there, instead):
    Path("x.yaml").write_text(COIN.replace(there, instead))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(read(Path("x.yaml")).tree, schema(), jsonschema.Draft202012Validator)
    with pytest.raises(InputError):
        load_experiment("x.yaml")


def test_the_schema_knows_every_setting():
    found = schema()["properties"]
    families = {
        entry["properties"]["family"]["const"]: entry
        for entry in found["model"]["anyOf"]
        if "family" in entry["required"]
    }
    for name, kind in FAMILIES.items():
        assert set(families[name]["properties"]) == {"family", *(field.name for field in dataclasses.fields(kind))}
        assert families[name]["description"]
    backends = found["inference"]["anyOf"][2]["properties"]
    for name, settings in BACKENDS.items():
        described = backends[name]["anyOf"][0]
        assert set(described["properties"]) == {field.name for field in dataclasses.fields(settings)}
        assert described["description"]
    assert backends["svi"]["anyOf"][0]["properties"]["guide"]["enum"][0] == "normal"
    assert families["beta_bernoulli"]["properties"]["prior"]["default"] == "beta(1, 1)"
