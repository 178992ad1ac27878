"""A user's own program: everything that a family gets, from data by name to labelled draws and predictions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import load_experiment, run
from experiments.prepare import prepare
from inference import arviz_bridge
from models.errors import InputError

PROGRAMS = '''\
"""Programs that the tests run."""

from dataclasses import dataclass
from typing import ClassVar

import pyro
import pyro.distributions as dist
import torch


@dataclass(frozen=True)
class Means:
    """Means of groups.

        mu[g] ~ Normal(0, scale)                     g = 1..G
        y[n]  ~ Normal(mu[party[n]] + slope x[n], 1)   n = 1..N

    The slope is known.
    """

    scale: float = 1.0
    slope: float = 0.0

    def __call__(self, party, num_party, num_rows, x=0.0):
        with pyro.plate("party", num_party):
            mu = pyro.sample("mu", dist.Normal(0.0, self.scale))
        with pyro.plate("row", num_rows):
            pyro.sample("y", dist.Normal(mu[party] + self.slope * x, 1.0))


class Named:
    """Rates on a grid, with names of its own for the axes."""

    dims: ClassVar = {"rate": ("site", "season"), "total": ("site",), "counts": ("site", "season")}

    def __call__(self, exposure):
        sites, seasons = exposure.shape
        with pyro.plate("a", sites, dim=-2), pyro.plate("b", seasons, dim=-1):
            rate = pyro.sample("rate", dist.Gamma(2.0, 1.0))
            pyro.sample("counts", dist.Poisson(rate * exposure))
        pyro.deterministic("total", rate.sum(-1))


def flips(num_rows, a, b=1.0):
    theta = pyro.sample("theta", dist.Beta(a, b))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Bernoulli(theta))


def line(x, y_sd, offset, switch, matrix):
    assert x.dtype == torch.float64 and matrix.dtype == torch.int64 and matrix.shape == (2, 3)
    assert isinstance(offset, float) and switch is True
    weight = pyro.sample("weight", dist.Normal(0.0, 2.0))
    pyro.sample("y", dist.Normal(offset + weight * x, y_sd).to_event(1))
'''
ROWS = "y,side,x,other\n1.0,left,0.5,z\n3.0,right,1.5,z\n2.0,left,2.5,z\n5.0,right,-0.5,z\n"
MEANS = """\
name: means
seed: 2
model: {program: own.py:Means, scale: 2, slope: 0.5}
data: {path: rows.csv, columns: {party: side}, observed: [y]}
inference: exact
"""
FLIPS = """\
name: flips
model: {program: own.py:flips, a: 2}
data: {values: {y: [1, 1, 0, 1]}, observed: [y]}
inference: exact
"""
GROUPS = ["posterior", "posterior_predictive", "prior", "prior_predictive", "log_likelihood", "observed_data"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(PROGRAMS)
    (tmp_path / "rows.csv").write_text(ROWS)


def load(text: str, *overrides: str) -> Any:
    Path("x.yaml").write_text(text)
    return load_experiment("x.yaml", overrides)


def test_a_class_takes_settings_and_columns_by_name():
    model, data, truth, *_ = prepare(load(MEANS))
    assert (model.scale, model.slope, truth) == (2, 0.5, {})
    assert list(data.inputs) == ["party", "num_party", "num_rows", "x"]
    assert data.inputs["party"].tolist() == [0, 1, 0, 1] and data.inputs["party"].dtype == np.int64
    assert (data.inputs["num_party"], data.inputs["num_rows"]) == (2, 4)
    assert data.inputs["x"].tolist() == [0.5, 1.5, 2.5, -0.5]
    assert data.coords == {"party": ["left", "right"]}
    assert list(data.observed) == ["y"] and data.observed["y"].tolist() == [1, 3, 2, 5]


def test_plates_name_the_axes_and_columns_label_them():
    finished = run(load(MEANS))
    # closed form: precision 1/4 + 2, mean of two residuals y - x/2 from each group
    summary = finished.result.fits["exact"].summary
    assert list(summary) == ["mu[left]", "mu[right]"]
    for label, residuals in {"left": (0.75, 0.75), "right": (2.25, 5.25)}.items():
        assert summary[f"mu[{label}]"]["mean"] == pytest.approx(sum(residuals) / 2.25, abs=1e-9)
        assert summary[f"mu[{label}]"]["sd"] == pytest.approx(math.sqrt(1 / 2.25), abs=1e-9)
    stored = arviz_bridge.datasets(arviz_bridge.load(finished.path / "posterior-exact.nc"))
    assert sorted(stored) == sorted([*GROUPS, "constant_data"])
    assert stored["posterior"]["mu"].dims == ("chain", "draw", "party")
    assert stored["posterior"]["party"].values.tolist() == ["left", "right"]
    for group in ("posterior_predictive", "prior_predictive", "log_likelihood"):
        assert stored[group]["y"].dims == ("chain", "draw", "row")
    assert stored["observed_data"]["y"].dims == ("row",)
    assert stored["constant_data"]["x"].dims == ("row",)
    assert finished.result.story.sentence == "Means of groups."
    assert finished.result.story.block.startswith("mu[g] ~ Normal(0, scale)")


def test_own_names_of_axes_and_deterministic_sites():
    values = "{exposure: [[1, 2, 3], [4, 5, 6]], counts: [[2, 1, 0], [9, 3, 7]]}"
    config = (
        "name: grid\nmodel: {program: own.py:Named}\ninference: exact\n"
        f"data: {{values: {values}, observed: [counts]}}\n"
    )
    finished = run(load(config))
    summary = finished.result.fits["exact"].summary
    assert list(summary) == [*(f"rate[{i}, {j}]" for i in range(2) for j in range(3)), "total[0]", "total[1]"]
    # Gamma(2 + counts, 1 + exposure)
    assert summary["rate[1, 0]"]["mean"] == pytest.approx(11 / 5, abs=1e-9)
    assert summary["rate[0, 2]"]["sd"] == pytest.approx(math.sqrt(2) / 4, abs=1e-9)
    total = summary["total[0]"]
    assert abs(total["mean"] - (4 / 2 + 3 / 3 + 2 / 4)) < 4 * total["mcse_mean"]
    tree = arviz_bridge.datasets(finished.arviz())
    assert tree["posterior"]["rate"].dims == ("chain", "draw", "site", "season")
    assert tree["posterior"]["total"].dims == ("chain", "draw", "site")
    assert tree["posterior_predictive"]["counts"].dims == ("chain", "draw", "site", "season")
    assert tree["observed_data"]["counts"].dims == ("site", "season")


@pytest.mark.parametrize(
    ("backend", "close"),
    [
        ("exact", 1e-9),
        ("{svi: {guide: laplace}}", 0.1),
        ("{nuts: {num_chains: 2, num_warmup: 200, num_samples: 400}}", 0.0),
    ],
    ids=["exact", "svi", "nuts"],
)
def test_a_function_takes_settings_as_inputs_by_every_backend(backend, close):
    finished = run(load(FLIPS, f"inference={backend}", "checks={min_ess: 100, max_k_hat: null, max_r_hat: 1.1}"))
    (fit,) = finished.result.fits.values()
    # Beta(2 + 3, 1 + 1): mean 5/7, variance 10 / (49 * 8); laplace is a normal on the logit scale, a tenth of an sd off
    sd = math.sqrt(10 / 392)
    found = fit.summary["theta"]
    assert abs(found["mean"] - 5 / 7) <= 5 * found["mcse_mean"] + close * sd
    stored = arviz_bridge.datasets(arviz_bridge.load(next(finished.path.glob("posterior-*.nc"))))
    assert sorted(stored) == sorted([*GROUPS, "constant_data", *(["sample_stats"] if "nuts" in backend else [])])
    assert stored["posterior_predictive"]["y"].dims == ("chain", "draw", "row")
    assert set(np.unique(stored["posterior_predictive"]["y"].values)) == {0.0, 1.0}
    theta, likelihood = stored["posterior"]["theta"].values, stored["log_likelihood"]["y"].values
    assert likelihood[..., 0] == pytest.approx(np.log(theta)) and likelihood[..., 2] == pytest.approx(np.log1p(-theta))
    assert finished.result.passed


def test_values_of_any_shape():
    values = (
        "{x: [0.5, 1, 2], y: [1, 2, 4], y_sd: [1, 1, 2], offset: 0.5, switch: true, matrix: [[1, 2, 3], [4, 5, 6]]}"
    )
    config = (
        f"name: line\nmodel: {{program: own.py:line}}\ndata: {{values: {values}, observed: [y]}}\ninference: exact\n"
    )
    finished = run(load(config))
    # precision 1/4 + sum of x^2 / sd^2, mean from sum of x (y - offset) / sd^2
    precision = 0.25 + 0.25 + 1 + 4 / 4
    mean = (0.5 * 0.5 + 1 * 1.5 + 2 * 3.5 / 4) / precision
    summary = finished.result.fits["exact"].summary
    assert summary["weight"]["mean"] == pytest.approx(mean, abs=1e-9)
    assert summary["weight"]["sd"] == pytest.approx(precision**-0.5, abs=1e-9)
    tree = arviz_bridge.datasets(finished.arviz())
    assert tree["observed_data"]["y"].dims == ("y_dim_0",)
    assert tree["log_likelihood"]["y"].dims == ("chain", "draw")  # one multivariate observation
    assert tree["posterior_predictive"]["y"].dims == ("chain", "draw", "y_dim_0")
    assert tree["constant_data"]["matrix"].shape == (2, 3)


def test_labels_written_out_are_codes_with_names():
    values = "{party: [left, right, left], y: [1, 2, 3]}"
    data = prepare(load(MEANS.replace("{path: rows.csv, columns: {party: side},", f"{{values: {values},"))).data
    assert data.inputs["party"].tolist() == [0, 1, 0]
    assert (data.inputs["num_party"], data.inputs["num_rows"]) == (2, 3)
    assert data.coords == {"party": ["left", "right"]}


def test_a_table_with_values_beside_it():
    Path("rows.csv").write_text(ROWS.replace("x", "unused"))
    data = prepare(load(MEANS.replace("observed", "values: {x: 7.5}, observed"))).data
    assert (data.inputs["x"], data.inputs["num_rows"]) == (7.5, 4)


def test_a_column_and_a_value_of_one_name_are_refused():
    with pytest.raises(InputError) as refusal:
        prepare(load(MEANS.replace("observed", "values: {x: 7.5}, observed")))
    assert str(refusal.value) == "x.yaml:4: data.values.x: rows.csv has a column of that name; rename one of the two"


def test_simulated_data_of_a_program_keep_their_truth():
    simulate = (
        "simulate: {num_rows: 60, columns: {party: [a, b, c], x: 'normal(0, 1)'}, truth: {mu: [-3, "
        "0, 3]}}, observed: [y]"
    )
    config = MEANS.replace("path: rows.csv, columns: {party: side}, observed: [y]", simulate)
    finished = run(load(config))
    result = finished.result
    assert result.truth["mu"].tolist() == [-3, 0, 3] and list(result.truth) == ["mu"]
    party, y, x = (
        np.asarray(value) for value in (result.data.inputs["party"], result.data.observed["y"], result.data.inputs["x"])
    )
    assert y.shape == (60,) and set(party.tolist()) == {0, 1, 2}
    for code, label in enumerate("abc"):
        mine = party == code
        found = result.fits["exact"].summary[f"mu[{label}]"]
        assert found["mean"] == pytest.approx((y - 0.5 * x)[mine].sum() / (0.25 + mine.sum()), abs=1e-9)
        assert abs(found["mean"] - (-3, 0, 3)[code]) < 4 * found["sd"]
    assert "true value" in (finished.path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", [FLIPS, MEANS], ids=["values", "table"])
def test_the_run_s_own_config_runs_again_to_the_same_numbers(text, tmp_path, monkeypatch):
    first = run(load(text)).path.resolve()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = run(load_experiment(first / "config.yaml")).path
    for name in ("summary.json", "config.yaml"):
        assert (again / name).read_bytes() == (first / name).read_bytes()


def test_two_programs_of_one_name_are_two_programs():
    Path("other").mkdir()
    Path("other/own.py").write_text(PROGRAMS.replace("dist.Beta(a, b)", "dist.Beta(a + 1, b)"))
    first = run(load(FLIPS)).result.fits["exact"].summary["theta"]["mean"]
    other = run(load(FLIPS.replace("own.py", "other/own.py"))).result.fits["exact"].summary["theta"]["mean"]
    assert (first, other) == (pytest.approx(5 / 7), pytest.approx(6 / 8))


def test_an_edited_program_is_read_again():
    experiment = load(FLIPS)
    assert run(experiment).result.fits["exact"].summary["theta"]["mean"] == pytest.approx(5 / 7)
    Path("own.py").write_text(PROGRAMS.replace("dist.Beta(a, b)", "dist.Beta(a, b + 1)"))
    assert run(experiment).result.fits["exact"].summary["theta"]["mean"] == pytest.approx(5 / 8)
