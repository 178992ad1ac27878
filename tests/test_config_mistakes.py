"""The config door from outside: every mistake is one line with file, line, key, rule, value and remedy."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from experiments.config import Experiment, load_experiment
from models import FAMILIES, InputError

KNOWN = "known: `prior`, `pooling`, `mean_prior`, `spread_prior`, `baseline`"
COIN = """\
# configs/coin_flips.yaml: is this coin fair? Ten flips, three ways to the same posterior.
name: coin_flips
seed: 7
model:     {family: beta_bernoulli, prior: "beta(2, 2)"}
data:      {values: {outcome: [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]}}
inference: [exact, svi, nuts]              # or {nuts: {num_chains: 16, num_samples: 500}}
checks:    {max_r_hat: 1.01, min_ess: 400, max_divergences: 0}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def load(text: str, *overrides: str) -> Experiment:
    Path("x.yaml").write_text(text, encoding="utf-8")
    return load_experiment("x.yaml", overrides)


# A change of the coin's config, as (text there, text instead) pairs in a row, and the whole message that it gives.
MISTAKES: list[tuple[str, str, str]] = [
    # names of things
    ("seed: 7", "sede: 7", "x.yaml:3: sede: not a part of an experiment; did you mean `seed`?"),
    (
        "seed: 7",
        "threads: 7",
        "x.yaml:3: threads: not a part of an experiment; did you mean `num_threads`?",
    ),
    ("model: ", "modell: ", "x.yaml:4: modell: not a part of an experiment; did you mean `model`?"),
    ("family: b", "famly: b", "x.yaml:4: model.famly: not a setting of `model`; did you mean `family`?"),
    (
        "beta_bernoulli",
        "beta_bernouli",
        "x.yaml:4: model.family: 'beta_bernouli' is not a family; did you mean `beta_bernoulli`?",
    ),
    (
        "beta_bernoulli",
        "kalman",
        "x.yaml:4: model.family: 'kalman' is not a family; known: " + ", ".join(f"`{name}`" for name in FAMILIES),
    ),
    (
        "prior:",
        "priors:",
        "x.yaml:4: model.priors: not a setting of `beta_bernoulli`; did you mean `prior`?",
    ),
    (
        "prior:",
        "__dataclass_self__:",
        "x.yaml:4: model.__dataclass_self__: not a setting of `beta_bernoulli`; " + KNOWN,
    ),
    ("{values:", "{value:", "x.yaml:5: data.value: not a setting of `data`; did you mean `values`?"),
    ("[exact, svi, nuts]", "nust", "x.yaml:6: inference.nust: 'nust' is not a backend; did you mean `nuts`?"),
    ("[exact, svi, nuts]", "[exact, nut]", "x.yaml:6: inference.nut: 'nut' is not a backend; did you mean `nuts`?"),
    (
        "[exact, svi, nuts]",
        "\n  nuts:\n    num_sample: 3",
        "x.yaml:8: inference.nuts.num_sample: not a setting of `nuts`; did you mean `num_samples`?",
    ),
    (
        "[exact, svi, nuts]",
        "\n  - exact\n  - nuts:\n      num_sample: 3",
        "x.yaml:9: inference.nuts.num_sample: not a setting of `nuts`; did you mean `num_samples`?",
    ),
    (
        "[exact, svi, nuts]",
        "{svi: {guide: lapalce}}",
        "x.yaml:6: inference.svi.guide: 'lapalce' is not a guide; did you mean `laplace`?",
    ),
    (
        "[exact, svi, nuts]",
        "{nuts: {engine: stan}}",
        "x.yaml:6: inference.nuts.engine: 'stan' is not an engine; known: `batched`, `pyro`",
    ),
    ("max_r_hat", "max_rhat", "x.yaml:7: checks.max_rhat: not a setting of `checks`; did you mean `max_r_hat`?"),
    # what is missing
    (
        "name: coin_flips\n",
        "",
        "x.yaml:2: name: is missing; add it: letters, digits, `_` and `-`; names the run folder",
    ),
    (
        'model:     {family: beta_bernoulli, prior: "beta(2, 2)"}\n',
        "",
        "x.yaml:2: model: is missing; write it like `model: {family: beta_bernoulli}`",
    ),
    (
        "data:      {values: {outcome: [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]}}\n",
        "",
        "x.yaml:2: data: is missing; write it like `data: {path: votes.csv}`",
    ),
    (
        "inference: [exact, svi, nuts] ",
        "# ",
        "x.yaml:2: inference: is missing; write it like `inference: [nuts, svi]`",
    ),
    (
        'beta_bernoulli, prior: "beta(2, 2)"',
        "logistic_regression",
        "x.yaml:4: model.formula: is missing; add it: outcome ~ predictors, for instance `y ~ x1 + scale(x2) + C(g)`",
    ),
    (
        '{family: beta_bernoulli, prior: "beta(2, 2)"}',
        "{prior: uniform}",
        "x.yaml:4: model: names no `family` and no `program`; write it like `model: {family: beta_bernoulli}`",
    ),
    # types
    ("seed: 7", "seed: many", "x.yaml:3: seed: must be a whole number, got 'many'; write for instance `seed: 0`"),
    ("seed: 7", "seed: true", "x.yaml:3: seed: must be a whole number, got true; write for instance `seed: 0`"),
    ("seed: 7", "seed: '7'", "x.yaml:3: seed: must be a whole number, got '7'; write for instance `seed: 0`"),
    ("seed: 7", "seed:", "x.yaml:3: seed: must be a whole number, got null; write for instance `seed: 0`"),
    ("seed: 7", "seed: 7.5", "x.yaml:3: seed: must be a whole number, got 7.5; write for instance `seed: 0`"),
    ("seed: 7", "seed: .nan", "x.yaml:3: seed: must be a whole number, got nan; write for instance `seed: 0`"),
    ("seed: 7", "seed: 1e3", "x.yaml:3: seed: must be a whole number, got 1000.0; write `seed: 1000`"),
    ("name: coin_flips", "name: 2024", "x.yaml:2: name: must be text, got 2024; put it in quotes"),
    ("name: coin_flips", "name: [a]", "x.yaml:2: name: must be text, got ['a']; put it in quotes"),
    (
        'prior: "beta(2, 2)"',
        "prior: 2",
        "x.yaml:4: model.prior: must be a prior, got 2; write it like `normal(0, 2.5)`",
    ),
    (
        '{family: beta_bernoulli, prior: "beta(2, 2)"}',
        "beta_bernoulli",
        "x.yaml:4: model: must be a mapping, got 'beta_bernoulli'; write it like `model: {family: beta_bernoulli}`",
    ),
    (
        "{values: {outcome: [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]}}",
        "votes.csv",
        "x.yaml:5: data: must be a mapping of settings, got 'votes.csv'; write it like `{key: value}`",
    ),
    (
        "{outcome: [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]}",
        "[1, 0]",
        "x.yaml:5: data.values: must be a mapping, got [1, 0]; write it like `{key: value}`",
    ),
    (
        "[1, 1, 1, 1, 1, 1, 1, 0, 0, 0]",
        "[{a: 1}]",
        "x.yaml:5: data.values.outcome: must be a number, a word or a list of them, got a mapping"
        "; write it like `[1, 0, 1]`",
    ),
    (
        "[1, 1, 1, 1, 1, 1, 1, 0, 0, 0]",
        "",
        "x.yaml:5: data.values.outcome: holds no value; write a list of values, or a number",
    ),
    (
        "{values: {outcome: [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]}}",
        "{path: a.csv, columns: {outcome: 3}}",
        "x.yaml:5: data.columns.outcome: must be text, got 3; put it in quotes",
    ),
    (
        "[exact, svi, nuts]",
        "{nuts: 500}",
        "x.yaml:6: inference.nuts: must be a mapping of settings, got 500; write it like `{key: value}`",
    ),
    (
        "[exact, svi, nuts]",
        "[exact, [nuts]]",
        "x.yaml:6: inference[1]: must be the name of a backend, or a name with its settings, got ['nuts']"
        "; write it like `- nuts: {num_samples: 500}`",
    ),
    (
        "[exact, svi, nuts]",
        "3",
        "x.yaml:6: inference: must be the name of a backend, or a name with its settings, got 3"
        "; write it like `- nuts: {num_samples: 500}`",
    ),
    (
        "[exact, svi, nuts]",
        "{svi: {learning_rate: fast}}",
        "x.yaml:6: inference.svi.learning_rate: must be a number, got 'fast'; write for instance `learning_rate: 0.01`",
    ),
    (
        'prior: "beta(2, 2)"',
        "event: [1]",
        "x.yaml:4: model.event: not a setting of `beta_bernoulli`; " + KNOWN,
    ),
    (
        'beta_bernoulli, prior: "beta(2, 2)"',
        "logistic_regression, formula: y ~ x, standardise: no",
        "x.yaml:4: model.standardise: must be true or false, got 'no'; write for instance `standardise: true`",
    ),
    (
        'beta_bernoulli, prior: "beta(2, 2)"',
        "logistic_regression, formula: y ~ x, event: [1]",
        "x.yaml:4: model.event: must be text or a whole number or true or false, got [1]; put it in quotes",
    ),
    (
        "min_ess: 400",
        "min_ess: lots",
        "x.yaml:7: checks.min_ess: must be a whole number, got 'lots'; write for instance `min_ess: 400`",
    ),
    (
        "min_ess: 400",
        "elbo_plateau: 1",
        "x.yaml:7: checks.elbo_plateau: must be true or false, got 1; write for instance `elbo_plateau: true`",
    ),
    (
        "{max_r_hat: 1.01, min_ess: 400, max_divergences: 0}",
        "strict",
        "x.yaml:7: checks: must be a mapping of settings, got 'strict'; write it like `{key: value}`",
    ),
    # values out of range
    ("seed: 7", "seed: -1", "x.yaml:3: seed: must be 0 or more, got -1; write for instance `seed: 0`"),
    (
        "seed: 7",
        "num_threads: 0",
        "x.yaml:3: num_threads: must be 1 or more, got 0; write for instance `num_threads: 1`",
    ),
    (
        "name: coin_flips",
        "name: coin flips/2",
        "x.yaml:2: name: must be letters, digits, `_` and `-`, 100 at most, got 'coin flips/2'"
        "; write for instance `coin_flips_2`",
    ),
    (
        "name: coin_flips",
        "name: ../../etc",
        "x.yaml:2: name: must be letters, digits, `_` and `-`, 100 at most, got '../../etc'; write for instance `_etc`",
    ),
    (
        "[exact, svi, nuts]",
        "{nuts: {target_accept_prob: 1}}",
        "x.yaml:6: inference.nuts.target_accept_prob: must be below 1, got 1"
        "; write for instance `target_accept_prob: 'auto'`",
    ),
    (
        "[exact, svi, nuts]",
        "{nuts: {max_tree_depth: 50}}",
        "x.yaml:6: inference.nuts.max_tree_depth: must be 20 or less, got 50; write for instance `max_tree_depth: 10`",
    ),
    (
        "[exact, svi, nuts]",
        "{nuts: {num_chains: 0}}",
        "x.yaml:6: inference.nuts.num_chains: must be 1 or more, got 0; write for instance `num_chains: 16`",
    ),
    (
        "[exact, svi, nuts]",
        "{svi: {learning_rate: 0}}",
        "x.yaml:6: inference.svi.learning_rate: must be above 0, got 0; write for instance `learning_rate: 0.01`",
    ),
    (
        "[exact, svi, nuts]",
        "{svi: {learning_rate: .inf}}",
        "x.yaml:6: inference.svi.learning_rate: must be finite, got inf; write for instance `learning_rate: 0.01`",
    ),
    (
        "[exact, svi, nuts]",
        "{svi: {learning_rate: .nan}}",
        "x.yaml:6: inference.svi.learning_rate: must be finite, got nan; write for instance `learning_rate: 0.01`",
    ),
    (
        "max_r_hat: 1.01",
        "max_r_hat: 0.9",
        "x.yaml:7: checks.max_r_hat: must be 1 or more, got 0.9; write for instance `max_r_hat: 1.01`",
    ),
    (
        "max_divergences: 0",
        "max_divergences: -1",
        "x.yaml:7: checks.max_divergences: must be 0 or more, got -1; write for instance `max_divergences: 0`",
    ),
    # priors
    ('"beta(2, 2)"', '"beat(2, 2)"', "x.yaml:4: model.prior: `beat` is not a prior; did you mean `beta`?"),
    (
        '"beta(2, 2)"',
        '"uniform(0)"',
        "x.yaml:4: model.prior: `uniform` takes 2 arguments, got 1; write `uniform(low, high)`",
    ),
    (
        '"beta(2, 2)"',
        '"gamma(2, -1)"',
        "x.yaml:4: model.prior: rate must be positive, got -1; write `gamma(concentration, rate)`",
    ),
    (
        '"beta(2, 2)"',
        '"normal(0, -1)"',
        "x.yaml:4: model.prior: scale must be positive, got -1; write `normal(loc, scale)`",
    ),
    (
        '"beta(2, 2)"',
        '"normal(nan, 1)"',
        "x.yaml:4: model.prior: loc must be finite, got nan; write `normal(loc, scale)`",
    ),
    (
        '"beta(2, 2)"',
        '"normal(0, one)"',
        "x.yaml:4: model.prior: scale must be a number, got 'one'; write `normal(loc, scale)`",
    ),
    (
        '"beta(2, 2)"',
        '"normal(0, 1)"',
        "x.yaml:4: model.prior: must be a prior on the unit interval, got `normal(0, 1)`; use `beta`",
    ),
    (
        '"beta(2, 2)"',
        "__import__('os')",
        "x.yaml:4: model.prior: `__import__` is not a prior; known: `normal`, `student_t`, `cauchy`, `laplace`, "
        "`half_normal`, `half_cauchy`, `exponential`, `gamma`, `inverse_gamma`, `lognormal`, `beta`, `uniform`, "
        "`dirichlet`, `bernoulli`, `poisson`",
    ),
    (
        '"beta(2, 2)"',
        "beta",
        "x.yaml:4: model.prior: must be a prior, got 'beta'; write it like `normal(0, 2.5)`",
    ),
    # what does not go together
    (
        "prior:",
        "program:",
        "x.yaml:4: model.program: a model is either a `family` or a `program`, got both; keep one of the two",
    ),
    (
        'family: beta_bernoulli, prior: "beta(2, 2)"',
        "program: schools.py",
        "x.yaml:4: model.program: must be a file and a name in it, got 'schools.py'"
        "; write it like `my_models.py:MyModel`",
    ),
    (
        'family: beta_bernoulli, prior: "beta(2, 2)"',
        "program: schools:EightSchools",
        "x.yaml:4: model.program: must be a file and a name in it, got 'schools:EightSchools'"
        "; write it like `my_models.py:MyModel`",
    ),
    (
        "{values:",
        "{bundled: wells, values:",
        "x.yaml:5: data.values: the rows already come from `data.bundled`; keep one of the two",
    ),
    (
        "{values: {outcome: [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]}}",
        "{}",
        "x.yaml:5: data: has no rows; give one of `values`, `path`, `bundled` and `simulate`",
    ),
    (
        "{values:",
        "{observed: [y], values:",
        "x.yaml:5: data.observed: is for programs: a family knows its own observed site; leave it out",
    ),
    (
        "[exact, svi, nuts]",
        "[]",
        "x.yaml:6: inference: names no backend; known: `exact`, `svi`, `nuts`, `hmc`, `metropolis`, `importance`",
    ),
    ("[exact, svi, nuts]", "[svi, exact, svi]", "x.yaml:6: inference[2]: `svi` is named twice; keep one of the two"),
    (
        "[exact, svi, nuts]",
        "[svi, svi: {guide: map}]",
        "x.yaml:6: inference[1]: `svi` is named twice; keep one of the two",
    ),
    (
        "[exact, svi, nuts]",
        "{svi: {}, svi: {}}",
        "x.yaml:6: inference.svi: the key is given twice, first in line 6; keep one of the two",
    ),
    # simulated data
    (
        "{values: {outcome: [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]}}",
        "{simulate: {columns: {}}}",
        "x.yaml:5: data.simulate.num_rows: is missing; add it: rows to draw",
    ),
    (
        "{values: {outcome: [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]}}",
        "{simulate: {num_rows: 0}}",
        "x.yaml:5: data.simulate.num_rows: must be 1 or more, got 0; correct it",
    ),
    (
        "{values: {outcome: [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]}}",
        "{simulate: {num_row: 10}}",
        "x.yaml:5: data.simulate.num_row: not a setting of `data.simulate`; did you mean `num_rows`?",
    ),
    (
        "{values: {outcome: [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]}}",
        "{simulate: {num_rows: 9, columns: {group: 3}}}",
        "x.yaml:5: data.simulate.columns.group: must be a prior or a list of labels, got 3"
        "; write it like `normal(0, 1)` or `[a, b]`",
    ),
    (
        "{values: {outcome: [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]}}",
        "{simulate: {num_rows: 9, columns: {x: normul(0)}}}",
        "x.yaml:5: data.simulate.columns.x: `normul` is not a prior; did you mean `normal`?",
    ),
    (
        "{values: {outcome: [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]}}",
        "{simulate: {num_rows: 9, truth: {theta: [0.3, high]}}}",
        "x.yaml:5: data.simulate.truth.theta: must be a finite number or a list of them, got 'high'"
        "; write it like `theta: 0.3`",
    ),
    # YAML itself (more of it in test_yaml_source.py)
    ("seed: 7", "name: 7", "x.yaml:3: name: the key is given twice, first in line 2; keep one of the two"),
    ("seed: 7", "\tseed: 7", "x.yaml:3: a tab cannot indent YAML; use spaces"),
    (
        '"beta(2, 2)"',
        "beta(2, 2)",
        "x.yaml:4: model.prior: in braces and brackets a comma ends the value, got 'beta(2'"
        "; put the whole value in quotes",
    ),
]


@pytest.mark.parametrize(("there", "instead", "message"), MISTAKES, ids=[row[2].split(";")[0][:70] for row in MISTAKES])
def test_a_mistake_is_named_in_one_line(there, instead, message):
    assert there in COIN
    with pytest.raises(InputError) as raised:
        load(COIN.replace(there, instead))
    assert str(raised.value) == message
    assert "\n" not in message


def test_there_are_enough_mistakes():
    assert len({message for *_, message in MISTAKES}) == len(MISTAKES) >= 40


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "--set: must be key=value, got 'seed'; write it like `--set inference.nuts.num_samples=50`"),
        ("seed=-3", "--set seed: must be 0 or more, got -3; write for instance `seed: 0`"),
        (
            "inference.nuts.num_sample=3",
            "--set inference.nuts.num_sample: not a setting of `nuts`; did you mean `num_samples`?",
        ),
        (
            "inference.nuts.num_samples=many",
            "--set inference.nuts.num_samples: must be a whole number, got 'many'"
            "; write for instance `num_samples: 400`",
        ),
        ("inference.nust.num_samples=3", "--set inference.nust: 'nust' is not a backend; did you mean `nuts`?"),
        ("modle.prior=beta(1, 1)", "--set modle: not a part of an experiment; did you mean `model`?"),
        ("inference=[nuts, nuts]", "--set inference[1]: `nuts` is named twice; keep one of the two"),
        ("model.prior=beta(0, 1)", "--set model.prior: concentration"),
        (
            "data.values.outcome.10=1",
            "--set data.values.outcome.10: `data.values.outcome` is a list of 10 items, got `10`"
            "; name an item by its number, 0 to 9",
        ),
        ("name.first=a", "--set name.first: `name` is 'coin_flips' and holds no `first`; set `name` itself"),
    ],
)
def test_a_mistake_in_set_says_so(override, message):
    with pytest.raises(InputError) as raised:
        load(COIN, override)
    assert str(raised.value).startswith(message)


def test_the_first_of_several_mistakes_in_the_file_is_told():
    """In the order of the lines, which need not be the order in which sections are read."""
    lines = [line for line in COIN.splitlines() if not line.startswith("#")]
    text = "\n".join(reversed(lines))
    mistakes = [
        ("checks.min_es", "min_ess:", "min_es:"),
        ("inference.nust", "nuts]", "nust]"),
        ("data.values.outcome", "[1, 1", "[{}, 1"),
        ("model.prior", "(2, 2)", "(-2, 2)"),
        ("seed", "seed: 7", "seed: -7"),
        ("name", "name: coin_flips", ""),
    ]
    for _, right, wrong in mistakes:
        text = text.replace(right, wrong)
    for key, right, wrong in mistakes:
        with pytest.raises(InputError) as raised:
            load(text)
        assert str(raised.value).split(": ")[1] == key
        text = text.replace(wrong, right) if wrong else f"{text}\n{right}"
    assert load(text).name == "coin_flips"


def test_an_error_survives_a_process_boundary():
    with pytest.raises(InputError) as raised:
        load(COIN, "seed=a")
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)
