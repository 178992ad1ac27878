"""Predictions for new rows from a finished run: at the command line, from Python, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import beta

import experiments
from experiments import load_experiment, predict, run, runner
from experiments.datasets import BUNDLED, FOLDER
from experiments.finished import choose
from experiments.starters import STARTERS, starter
from inference import arviz_bridge
from inference.settings import BACKENDS
from models import FAMILIES, InputError

SEEDS = """\
name: seeds
model: {family: beta_bernoulli, prior: "beta(1, 1)"}
data: {path: plates.csv, columns: {successes: germinated, trials: seeds, group: extract}}
inference: {exact: {num_chains: 2, num_samples: 500}}
"""
PLATES = "extract,germinated,seeds\nbean,3,10\nbean,5,12\ncucumber,8,11\n"


@pytest.fixture(scope="module", autouse=True)
def no_report():
    """Predictions need none, and drawing it takes longer than all else here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "build", lambda result, folder: None)
        yield


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A finished run of the closed form, to be copied: one backend, its data beside it."""
    folder = tmp_path_factory.mktemp("stored")
    (folder / "plates.csv").write_text(PLATES)
    (folder / "seeds.yaml").write_text(SEEDS)
    run(load_experiment(folder / "seeds.yaml"), out=folder / "run")
    return folder


@pytest.fixture
def seeds(stored, tmp_path, monkeypatch):
    """The finished run in `run`, with its data where its config says."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(stored / "run", "run")
    shutil.copy(stored / "plates.csv", "plates.csv")
    config = Path("run/config.yaml")
    config.write_text(config.read_text().replace(str(stored / "plates.csv"), str(tmp_path / "plates.csv")))
    Path("new.csv").write_text("plate,extract,seeds\na,cucumber,4\nb,bean,2.0\n\nc,bean,7\n")
    return tmp_path


def cells(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_closed_form_is_predicted(seeds, run_cli):
    ended = run_cli("predict", "run", "--data", "new.csv", "--mass", 0.8)
    assert (ended.code, ended.err) == (0, "")
    rows = cells(ended.out)
    assert [row["row"] for row in rows] == ["1", "2", "3"]
    for row, (ones, zeros) in zip(rows, [(8, 3), (8, 14), (8, 14)], strict=True):
        posterior = beta(1 + ones, 1 + zeros)
        # 1,000 independent draws: the mean within four standard errors, the quantiles within four of theirs
        error = posterior.std() / 1000**0.5
        assert abs(float(row["mean"]) - posterior.mean()) < 4 * error
        for name, probability in {"lower": 0.1, "upper": 0.9}.items():
            density = posterior.pdf(posterior.ppf(probability))
            assert abs(float(row[name]) - posterior.ppf(probability)) < 4 * (0.09 / 1000) ** 0.5 / density


def test_a_file_gets_the_rows_own_columns_and_the_predictions(seeds, run_cli):
    text = run_cli("predict", "run", "--data", "new.csv").out
    ended = run_cli("predict", "run", "--data", "new.csv", "--out", "told.csv")
    assert (ended.code, ended.out, ended.err) == (0, "told.csv: 3 rows, by exact, intervals of 90%\n", "")
    written = cells(Path("told.csv").read_text())
    assert [(row["plate"], row["extract"], row["seeds"]) for row in written] == [
        ("a", "cucumber", "4"),
        ("b", "bean", "2"),
        ("c", "bean", "7"),
    ]
    assert [row["mean"] for row in written] == [row["mean"] for row in cells(text)]
    assert "row" not in written[0]
    before = Path("told.csv").read_text()
    again = run_cli("predict", "run", "--data", "new.csv", "--out", "told.csv")
    assert again.code == 1
    assert again.err == "error: --out told.csv: there is something already; name a new file; nothing is overwritten\n"
    assert Path("told.csv").read_text() == before


def test_a_column_of_the_same_name_is_kept(seeds, run_cli):
    Path("new.csv").write_text("mean,extract\n-1,bean\n")
    assert run_cli("predict", "run", "--data", "new.csv", "--out", "told.csv").code == 0
    (row,) = cells(Path("told.csv").read_text())
    assert row["mean"] == "-1" and 0 < float(row["predicted mean"]) < 1


def test_python_gives_the_same_as_a_frame(seeds):
    by_file = predict("run", "new.csv")
    assert by_file.backend == "exact" and by_file.rows.num_rows == 3
    columns = {"extract": ["cucumber", "bean", "bean"], "seeds": [4, 2, 7]}
    for rows in (columns, pd.DataFrame(columns)):
        pd.testing.assert_frame_equal(predict(Path("run"), rows).frame(), by_file.frame())
    Path("seeds.yaml").write_text(SEEDS)
    finished = run(load_experiment("seeds.yaml"))
    frame = finished.predict("new.csv", mass=0.5)
    pd.testing.assert_frame_equal(frame, predict(finished.path, "new.csv", backend="exact", mass=0.5).frame())
    assert (frame["upper"] - frame["lower"] < by_file.columns["upper"] - by_file.columns["lower"]).all()
    Path("plates.csv").write_text(PLATES + "bean,1,1\n")
    with pytest.raises(InputError, match="^seeds: plates.csv has changed since the run"):
        finished.predict("new.csv")


def test_the_most_trusted_backend_is_asked():
    assert all(choose(None, [backend]) == backend for backend in BACKENDS)
    assert choose(None, ["svi", "nuts", "exact"]) == "exact"
    assert choose(None, ["svi", "nuts"]) == "nuts"
    assert choose("svi", ["svi", "nuts"]) == "svi"


HOW = "; name one that `pyrozoo run` wrote, for instance `runs/coin_flips`"
CHANGED = " has changed since the run, and predictions need the rows that were fitted; run the experiment again, or put"
# what is spoilt before `predict run --data new.csv`, further arguments, the sentence
REFUSED = {
    "no folder": ("mv run gone", [], "run: there is no such folder" + HOW),
    "another folder": ("rm run/config.yaml", [], "run: is not the folder of a finished run" + HOW),
    "an unfinished run": ("rm run/manifest.json", [], "run: is not the folder of a finished run" + HOW),
    "a spoilt manifest": (
        "write run/manifest.json {",
        [],
        "run/manifest.json: cannot be read; run the experiment again",
    ),
    "a manifest of another kind": (
        "write run/manifest.json []",
        [],
        "run/manifest.json: cannot be read; run the experiment again",
    ),
    "no draws": (
        "rm run/posterior-exact.nc",
        [],
        "run/posterior-exact.nc: cannot be read; run the experiment again",
    ),
    "spoilt draws": (
        "write run/posterior-exact.nc nonsense",
        [],
        "run/posterior-exact.nc: cannot be read; run the experiment again",
    ),
    "other data": ("write plates.csv extract,germinated,seeds\nbean,4,10\n", [], CHANGED),
    "no data": ("rm plates.csv", [], "there is no file `{folder}/plates.csv`"),
    "no backend of that name": ("", ["--backend", "nut"], "backend: the run has no 'nut'; known: `exact`"),
    "mass of 90": ("", ["--mass", "90"], "mass: must be between 0 and 1, got 90; use for instance 0.9"),
    "mass not a number": ("", ["--mass", "nan"], "mass: must be between 0 and 1, got nan; use for instance 0.9"),
    "no file": ("", ["--data", "nwe.csv"], "nwe.csv: there is no such file; did you mean `new.csv`?"),
    "no such file at all": ("", ["--data", "x/y.csv"], "x/y.csv: there is no such file; name a CSV or Parquet file"),
    "a folder": ("", ["--data", "run"], "run: must be a file, got the folder `run`; name one file in it"),
    "a text": ("write notes.txt hello", ["--data", "notes.txt"], "notes.txt: must end in one of .csv, .tsv, "),
    "an empty file": (
        "write new.csv ",
        [],
        "new.csv: is an empty file; write a header line and at least one row",
    ),
    "a column is missing": ("write new.csv seeds\n3\n", [], "new.csv: there is no column `extract`; known: `seeds`"),
    "a column has the model's name by chance": (
        "write new.csv group\nbean\n",
        [],
        "new.csv: there is no column `extract`",
    ),
    "a label was not fitted": (
        "write new.csv extract\nbean\nbeen\n",
        [],
        "new.csv, column `extract`, row 2: is not a group of the fitted rows, got 'been'",
    ),
    "an empty cell": (
        "write new.csv extract,seeds\nbean,3\n,3\n",
        [],
        "new.csv, column `extract`, row 2: must have a label, got an empty cell",
    ),
    "not a number": (
        "write new.csv extract,seeds\nbean,3\nbean,many\nbean,5\n",
        [],
        "new.csv, column `seeds`, row 2: must be a number, got 'many'",
    ),
    "below zero": (
        "write new.csv extract,seeds\nbean,-3\n",
        [],
        "new.csv, column `seeds`, row 1: must be a whole number, 0 or more, got -3",
    ),
}


@pytest.mark.parametrize(("spoil", "arguments", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_predicted_is_refused_in_one_line(seeds, run_cli, spoil, arguments, sentence):
    verb, _, rest = spoil.partition(" ")
    if verb == "write":
        path, _, text = rest.partition(" ")
        Path(path).write_text(text)
    elif verb == "rm":
        Path(rest).unlink()
    elif verb == "mv":
        Path("run").rename("gone")
    before = sorted(Path().rglob("*"))
    data = [] if "--data" in arguments else ["--data", "new.csv"]
    ended = run_cli("predict", "run", *data, *arguments, "--out", "told.csv")
    assert (ended.code, ended.out) == (1, "")
    assert sentence.format(folder=seeds) in ended.err
    assert ended.err.startswith("error: ") and ended.err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


def test_a_place_that_cannot_be_written_is_refused(seeds, run_cli):
    ended = run_cli("predict", "run", "--data", "new.csv", "--out", "no/told.csv")
    assert ended.code == 1
    assert ended.err == "error: --out no/told.csv: cannot be written (No such file or directory); name another file\n"


PROGRAMS = """\
import pyro
import pyro.distributions as dist


def line(x, party, num_party, num_rows):
    with pyro.plate("party", num_party):
        level = pyro.sample("level", dist.Normal(0.0, 10.0))
    slope = pyro.sample("slope", dist.Normal(0.0, 10.0))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Normal(level[party] + slope * x, 0.5))


def centred(x, num_rows):
    slope = pyro.sample("slope", dist.Normal(0.0, 10.0))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Normal(slope * (x - x.double().mean()), 0.5))


def each(x, num_rows):
    slope = pyro.sample("slope", dist.Normal(0.0, 10.0))
    with pyro.plate("row", num_rows):
        extra = pyro.sample("extra", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(slope * x + extra, 0.5))
"""


@pytest.fixture(scope="module")
def of_programs(tmp_path_factory):
    """Finished runs of one's own programs, on one file of rows."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "own.py").write_text(PROGRAMS)
    (folder / "rows.csv").write_text(
        "when,party,id,y\n" + "".join(f"{k % 5},{'ab'[k % 2]},{k},{2 * (k % 5) + 3 * (k % 2)}\n" for k in range(40))
    )
    for name in ("line", "centred", "each"):
        (folder / "own.yaml").write_text(
            f"name: own\nmodel: {{program: 'own.py:{name}'}}\n"
            "data: {path: rows.csv, columns: {x: when}, observed: [y]}\n"
            "inference: {svi: {guide: laplace, num_samples: 500}}\n"
        )
        run(load_experiment(folder / "own.yaml"), out=folder / name)
    (folder / "own.yaml").write_text(
        "name: own\nmodel: {program: 'own.py:centred'}\n"
        "data: {values: {x: [1, 2, 3], y: [1, 2, 3]}, observed: [y]}\ninference: exact\n"
    )
    run(load_experiment(folder / "own.yaml"), out=folder / "inline")
    return folder


def test_a_program_of_ones_own_predicts_new_rows(of_programs):
    found = predict(of_programs / "line", {"when": [10.0, 0.0, 1.0], "party": ["b", "a", "b"]}, mass=0.5)
    assert list(found.columns) == ["y mean", "y lower", "y upper"]
    # y is exactly 2 x, and 3 more with b: forty rows know that to some 0.2; the interval is 0.67 of sd 0.5 either way
    assert found.columns["y mean"] == pytest.approx([23, 0, 5], abs=0.4)
    assert (found.columns["y upper"] - found.columns["y lower"]) == pytest.approx([0.75, 0.67, 0.67], abs=0.2)
    again = predict(of_programs / "line", {"when": [10.0, 0.0, 1.0], "party": ["b", "a", "b"]}, mass=0.5)
    assert (again.columns["y mean"] == found.columns["y mean"]).all()


@pytest.mark.parametrize(
    ("folder", "rows", "sentence"),
    [
        ("line", "when,party\n1,c\n", "new.csv, column `party`, row 1: must be a label of the fitted rows, got 'c'"),
        ("line", "when\n1\n", "new.csv: there is no column `party`"),
        ("line", "x,party\n1,a\n", "new.csv: there is no column `when`"),
        ("line", "when,party\n1,a\n,b\n", "new.csv, column `when`, row 2: must be a number, got an empty cell"),
        ("centred", "when\n9\n", "own.py:centred: new rows change the density of `y` at the fitted ones"),
        ("each", "when\n9\n", "own.py:each: site `extra` has a value for each fitted row, and so none for new ones"),
        ("inline", "x\n9\n", "own.py:centred: the outcomes are not columns of a file"),
    ],
)
def test_a_program_whose_rows_cannot_be_predicted_is_refused(of_programs, run_cli, folder, rows, sentence):
    Path("new.csv").write_text(rows)
    ended = run_cli("predict", of_programs / folder, "--data", "new.csv")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("error: ") and ended.err.count("\n") == 1
    assert sentence in ended.err


def test_predictions_are_those_of_the_stored_draws(run_cli):
    """The new rows pass the fitted rows' scales: by hand, from the draws on the columns' own scale."""
    Path("credit.yaml").write_text(
        "name: credit\nmodel: {family: logistic_regression, formula: y ~ x, prior: 'normal(0, 1)'}\n"
        "data: {simulate: {num_rows: 60, columns: {x: 'normal(3, 2)'}, truth: {intercept: 0.5, beta: [1]}}}\n"
        "inference: {svi: {guide: laplace, num_samples: 200}}\n"
    )
    run(load_experiment("credit.yaml"), out="run")
    Path("new.csv").write_text("x\n-1\n3\n10\n")
    found = predict("run", "new.csv", mass=0.5)
    draws = arviz_bridge.datasets(arviz_bridge.load("run/posterior-svi.nc"))["posterior"]
    slope, intercept = draws["beta_raw"].to_numpy().ravel(), draws["intercept_raw"].to_numpy().ravel()
    probability = expit(intercept + np.array([[-1.0], [3.0], [10.0]]) * slope)
    means, ends = probability.mean(axis=1), np.quantile(probability, [0.25, 0.75], axis=1)
    shown = {name: np.asarray(values, dtype=float) for name, values in found.columns.items()}
    assert any(values == pytest.approx(means, abs=1e-12) for values in shown.values())
    for end in ends:
        assert any(values == pytest.approx(end, abs=1e-12) for values in shown.values())
    assert "svi" in json.loads(Path("run/summary.json").read_text())


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_predicts_its_own_rows(name, run_cli):
    """The starter, run small and asked of the rows that it was fitted to."""
    Path("starter.yaml").write_text(starter(name))
    small = (
        "{exact: {num_samples: 20}}"
        if "exact" in STARTERS[name].inference
        else "{svi: {guide: laplace, num_samples: 20}}"
    )
    ended = run_cli("run", "starter.yaml", "--quiet", "--out", "run", "--set", f"inference={small}")
    assert ended.code in (0, 3), ended.err
    entry = BUNDLED[STARTERS[name].data["bundled"]]
    ended = run_cli("predict", "run", "--data", FOLDER / entry.file)
    assert ended.code == 0 and all(line.startswith("warning: run: ") for line in ended.err.splitlines())
    rows = cells(ended.out)
    assert len(rows) == entry.rows and len(rows[0]) > 1
    assert all(cell != "" for row in rows for cell in row.values())


def test_the_door_is_in_the_package():
    assert {"predict", "Predictions", "run", "load_experiment"} <= set(experiments.__all__)
