"""Finished runs side by side, and new rows beside the fitted ones."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from criticism_cases import finished_run

from experiments.criticism.monitor import monitor
from experiments.criticism.runs import compare_runs, table
from models import InputError, Table

CONFIG = """\
name: {name}
model: {model}
data: {{path: rows.csv}}
inference: {{svi: {{guide: laplace}}}}
checks: {{max_k_hat: null}}
"""
MODELS = {
    "plain": "{family: logistic_regression, formula: bought ~ age}",
    "region": "{family: logistic_regression, formula: bought ~ age + region}",
    "noise": "{family: logistic_regression, formula: bought ~ age + region + shoe}",
}


def rows(rng: np.random.Generator, size: int) -> dict[str, np.ndarray]:
    age, region = rng.normal(40, 10, size).round(2), rng.choice(["east", "north", "west"], size)
    logit = 0.08 * (age - 40) + np.where(region == "north", 1.5, -0.5)
    bought = (rng.random(size) < 1 / (1 + np.exp(-logit))).astype(int)
    return {"age": age, "region": region, "shoe": rng.normal(size=size).round(3), "bought": bought}


def as_csv(columns: dict[str, np.ndarray]) -> str:
    lines = [",".join(columns)] + [",".join(map(str, cells)) for cells in zip(*columns.values(), strict=True)]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three runs on the same rows, and one on fewer."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "rows.csv").write_text(as_csv(rows(np.random.default_rng(1), 600)))
    for name, model in MODELS.items():
        (folder / f"{name}.yaml").write_text(CONFIG.format(name=name, model=model))
        finished_run(folder / f"{name}.yaml", folder / name)
    (folder / "short.csv").write_text(as_csv(rows(np.random.default_rng(2), 50)))
    (folder / "short.yaml").write_text(
        CONFIG.format(name="short", model=MODELS["plain"]).replace("rows.csv", "short.csv")
    )
    finished_run(folder / "short.yaml", folder / "short")
    return folder


def test_runs_are_compared(folder):
    found = compare_runs([folder / name for name in MODELS])
    assert {found.rows[0].name, found.rows[1].name} == {"region", "noise"} and found.rows[2].name == "plain"
    assert found.rows[1].tied and not found.rows[2].tied and abs(found.rows[1].difference) < 4
    assert found.verdict.startswith(
        f"`{found.rows[0].name}` predicts best, with `{found.rows[1].name}` tied as far as 600"
    )
    assert sum(row.weight for row in found.rows) == pytest.approx(1)
    heading, *lines = table(found)
    assert [len(line) for line in lines] == [len(heading)] * 3
    assert {line[1] for line in lines} == {"svi"} and {line[8] for line in lines} == {"-"}
    seconds = json.loads((folder / "plain/manifest.json").read_text())["backends"]["svi"]["seconds"]
    assert found.runs["plain"].seconds == pytest.approx(sum(seconds.values()))


CHAIN = """\
name: {name}
model: {{family: hidden_markov, states: {states}, channels: [depth], emission: gaussian}}
data: {{path: nights.csv}}
inference: {{nuts: {{num_chains: 4, num_samples: 200}}}}
scores: {{future_from: 150}}
checks: {{max_r_hat: null, min_ess: null, max_divergences: null}}
"""


def test_runs_are_compared_by_fits_to_other_rows_where_all_have_those(folder, tmp_path):
    for name in ("plain", "region"):
        more = "scores: {k_fold: 5}\n"
        (tmp_path / "rows.csv").write_text((folder / "rows.csv").read_text())
        (tmp_path / f"{name}.yaml").write_text(CONFIG.format(name=name, model=MODELS[name]) + more)
        finished_run(tmp_path / f"{name}.yaml", tmp_path / name)
    found = compare_runs([tmp_path / "plain", tmp_path / "region"])
    assert found.method == "5-fold" and [row.name for row in found.rows] == ["region", "plain"]
    told = json.loads((tmp_path / "region/criticism.json").read_text())["fits"]["svi"]
    assert found.rows[0].elpd == told["refit"]["elpd"] and np.isnan(found.rows[0].p)
    assert abs(told["refit"]["elpd"] - told["loo"]["elpd"]) < 3  # five parameters, 600 rows
    mixed = compare_runs([tmp_path / "plain", folder / "region"])
    assert mixed.method == "leave-one-out" and [row.name for row in mixed.rows] == ["region", "plain"]


def test_numbers_of_states_are_compared_by_leaving_the_future_out(tmp_path):
    """A chain that stays in each of two states for long: three states are no better than two, and both nearly as good
    as the truth."""
    rng = np.random.default_rng(5)
    state = np.cumsum(rng.random(250) < 0.05) % 2
    depth = np.where(state == 0, 0.0, 4.0) + rng.normal(size=250)
    (tmp_path / "nights.csv").write_text(as_csv({"depth": depth.round(3)}))
    for states in (2, 3):
        (tmp_path / f"k{states}.yaml").write_text(CHAIN.format(name=f"k{states}", states=states))
        finished_run(tmp_path / f"k{states}.yaml", tmp_path / f"k{states}")
    found = compare_runs([tmp_path / "k2", tmp_path / "k3"])
    assert found.method == "leave-future-out" and any(row.tied for row in found.rows)
    truth = known_truth(depth.round(3))[150:].sum()
    assert all(truth - 10 < row.elpd < truth + 2 for row in found.rows)
    (tmp_path / "later.yaml").write_text(CHAIN.format(name="later", states=2).replace("150", "200"))
    finished_run(tmp_path / "later.yaml", tmp_path / "later")
    with pytest.raises(InputError, match="needs the same rows, got k2 100 and later 50"):
        compare_runs([tmp_path / "k2", tmp_path / "later"])


def known_truth(y: np.ndarray) -> np.ndarray:
    """log p(y[t] | y before t) by someone who knows the means 0 and 4 and the 5% of switches."""
    move, weights, found = np.array([[0.95, 0.05], [0.05, 0.95]]), np.array([0.5, 0.5]), []
    for value in y:
        joint = weights * np.exp(-0.5 * (value - np.array([0.0, 4.0])) ** 2) / np.sqrt(2 * np.pi)
        found.append(np.log(joint.sum()))
        weights = joint / joint.sum() @ move
    return np.array(found)


def test_what_cannot_be_compared_is_refused(folder, tmp_path):
    (tmp_path / "nothing").mkdir()
    shutil.copytree(folder / "plain", tmp_path / "broken")
    (tmp_path / "broken/posterior-svi.nc").write_bytes(b"nothing")
    cases = [
        ([folder / "plain", folder / "short"], None, "comparison: plain and short were fitted to different outcomes; "),
        ([folder / "plain", tmp_path / "nothing"], None, "nothing: is not the folder of a finished run; "),
        ([folder / "plain", tmp_path / "gone"], None, "gone: there is no such folder; "),
        ([folder / "plain", folder / "plain"], None, "plain: is named twice; name every run once"),
        ([folder / "plain", folder / "region"], "nuts", "plain: backend: the run has no 'nuts'; known: `svi`"),
        ([folder / "plain", tmp_path / "broken"], None, "posterior-svi.nc: cannot be read; run the experiment again"),
        ([folder / "plain"], None, "comparison: needs two models or more, got 1; name another run"),
    ]
    for folders, backend, sentence in cases:
        with pytest.raises(InputError) as refused:
            compare_runs(folders, backend)
        assert sentence in str(refused.value)


# --- new rows


def levels(found) -> dict[str, str]:
    return {drift.column: drift.level for drift in found.drifts}


def test_rows_like_the_fitted_ones_are_no_breach(folder):
    found = monitor(folder / "region", rows(np.random.default_rng(12), 400))
    assert levels(found) == dict.fromkeys(["age", "region", "bought", "P(bought=1)", "confidence"], "stable")
    assert not found.breached and found.loss is not None and not found.loss.breach
    assert found.verdict == "The new rows are like the fitted ones in 5 comparisons"
    assert found.loss.new == pytest.approx(found.loss.fitted, abs=0.1)


def test_columns_that_the_model_does_not_use_are_left_alone(folder):
    found = monitor(folder / "plain", {**rows(np.random.default_rng(12), 400), "region": np.array(["moon"] * 400)})
    assert set(levels(found)) == {"age", "bought", "P(bought=1)", "confidence"} and not found.breached


def test_moved_rows_are_a_breach(folder):
    moved = rows(np.random.default_rng(12), 400)
    moved["age"] = moved["age"] + 15
    found = monitor(folder / "region", moved)
    assert levels(found)["age"] == levels(found)["P(bought=1)"] == "breach" and levels(found)["region"] == "stable"
    assert found.breached and found.verdict.startswith("Do not trust predictions for these rows: `age`, ")


def test_another_law_of_the_outcome_is_a_breach_of_the_loss_alone(folder):
    other = rows(np.random.default_rng(12), 1500)
    other["bought"] = (np.random.default_rng(6).random(1500) < other["bought"].mean()).astype(int)
    found = monitor(folder / "region", other)
    assert set(levels(found).values()) == {"stable"} and found.loss is not None and found.loss.breach
    assert found.verdict.endswith("predictions lose more than on the fitted rows")


def test_zeros_for_missing_ages_are_suspicious(folder):
    holes = rows(np.random.default_rng(12), 400)
    holes["age"] = np.where(np.random.default_rng(7).random(400) < 0.1, 0, holes["age"])
    found = monitor(folder / "region", holes)
    assert len(found.suspicions) == 1 and found.suspicions[0].startswith("`age` is 0 in ")
    assert found.breached and "zeros may stand for missing values" in found.verdict


def test_rows_without_an_outcome_have_no_loss(folder, tmp_path):
    new = {name: cells for name, cells in rows(np.random.default_rng(12), 300).items() if name != "bought"}
    (tmp_path / "new.csv").write_text(as_csv(new))
    found = monitor(folder / "region", tmp_path / "new.csv")
    assert found.loss is None and found.outcomes == () and not found.breached


def test_what_cannot_be_monitored_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="gone: there is no such folder; name one that `pyrozoo run` wrote"):
        monitor(tmp_path / "gone", {"age": [1.0]})
    with pytest.raises(InputError, match="age"):
        monitor(folder / "region", Table({"region": np.array(["east"], dtype=object)}, "new.csv"))


def test_a_few_new_rows_may_have_one_label_and_one_value_of_a_predictor(folder):
    few = {name: np.asarray(values)[:4] for name, values in rows(np.random.default_rng(12), 400).items()}
    few["age"] = np.full(4, few["age"][0])
    few["bought"] = np.full(4, few["bought"][0])
    found = monitor(folder / "plain", few)
    assert found.loss is not None and np.isfinite(found.loss.new)
