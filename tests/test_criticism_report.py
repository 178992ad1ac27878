"""The criticism in the report: sections with sentences, tables and figures, and what is left out without them."""

from __future__ import annotations

import dataclasses
import io
import json
import re

import numpy as np
import pytest

from experiments.config import load_experiment
from experiments.criticism.of_run import criticise_run
from experiments.criticism.prior_check import PriorFinding
from experiments.criticism.record import Criticism, as_json
from experiments.prepare import prepare
from experiments.report import criticism_figures, style
from experiments.report.criticism import NOT_LEFT_OUT, sections
from experiments.run_folder import jsonable
from experiments.runner import conclude
from inference import fit

COIN = """\
name: coin
model: {family: beta_bernoulli, prior: "beta(2, 2)"}
data: {values: {outcome: [1, 1, 0, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 1, 1, 0, 1, 1, 0]}}
inference: [exact]
"""
COUNTS = """\
name: plates
model: {family: beta_bernoulli}
data: {values: {successes: [1, 9, 2, 8, 1, 9, 2, 8, 9, 1], trials: [10, 10, 10, 10, 10, 10, 10, 10, 10, 10]}}
inference: [exact]
"""


def result_of(text, folder):
    (folder / "config.yaml").write_text(text)
    experiment = load_experiment(folder / "config.yaml")
    prepared = prepare(experiment)
    posteriors = {name: fit(prepared.model, prepared.data, own, seed=1) for name, own in experiment.inference.items()}
    result = conclude(experiment, prepared, posteriors)
    found = criticise_run(experiment, prepared.model, result.data, result.fits, result.prior)
    return dataclasses.replace(result, criticism=found)


@pytest.fixture(scope="module")
def coin(tmp_path_factory):
    return result_of(COIN, tmp_path_factory.mktemp("coin"))


@pytest.fixture(scope="module")
def plates(tmp_path_factory):
    return result_of(COUNTS, tmp_path_factory.mktemp("plates"))


TITLES = ["Does the model generate such data?", "How well does it predict?", "Calibration", "Checklist"]


def test_every_run_is_criticised(coin, plates):
    for result in (coin, plates):
        with style.look():
            found = sections(result)
        assert [section.title for section in found] == TITLES
        assert [len(section.drawings) for section in found] == [1, 1, 1, 0]
        assert all(section.sentences for section in found) and len(found[3].items) == 6
        assert found[0].table is not None and len(found[0].table.rows) == len(result.criticism["exact"].findings)
        assert found[1].table is not None and found[1].table.rows[0][0] == "exact"
    assert "dispersion between rows" in sections(plates)[0].sentences[0]
    assert [drawing.name for section in sections(coin) for drawing in section.drawings][-1] == "criticism-calibration"
    assert [drawing.name for section in sections(plates) for drawing in section.drawings][-1] == "criticism-pit"


def test_a_misfit_is_told_on_top_and_in_the_terminal(coin, plates, tmp_path):
    from rich.console import Console

    from experiments.report import build
    from experiments.terminal import result_table

    assert coin.misfit == "" and plates.misfit.startswith("The model does not generate such data: the dispersion")
    for name, result in {"coin": coin, "plates": plates}.items():
        (tmp_path / name).mkdir()
        page = build(result, tmp_path / name).read_text()
        header = page[: page.index("</header>")]
        console = Console(record=True, width=400, file=io.StringIO())
        console.print(result_table(result))
        told = name == "plates"
        assert ("does not generate such data" in header) == told
        assert ("does not generate such data" in console.export_text()) == told


def test_figures_are_pictures_with_words(plates, coin):
    for result in (plates, coin):
        for section in sections(result):
            for drawing in section.drawings:
                assert style.as_png(drawing.figure)[:4] == b"\x89PNG"
                assert (
                    drawing.alt.endswith(".")
                    and drawing.caption.endswith(".")
                    and "exact" in drawing.alt + drawing.caption
                )


def test_priors_are_told_where_they_are_flagged(coin):
    finding = PriorFinding("y", "all equal", 0.9, True, "90% of the data sets have `y` all equal; narrow the priors")
    other = finding._replace(flagged=False, message="nothing to see")
    told = sections(dataclasses.replace(coin, prior_findings=(finding, other)))[0].sentences
    assert told[1:] == ["90% of the data sets have `y` all equal; narrow the priors."]


def test_what_was_not_criticised_has_no_sections(coin):
    assert sections(dataclasses.replace(coin, criticism={})) == []
    bare = Criticism((), None, None, None, {"predictive": "Nothing.", "scores": "Nothing."})
    with style.look():
        found = sections(dataclasses.replace(coin, criticism={"exact": bare}))
    assert [len(section.drawings) for section in found] == [0, 0, 0, 0]
    assert found[2].sentences == [NOT_LEFT_OUT] and found[0].table is None and found[1].table is None


def test_the_file_has_numbers_and_words_but_no_row_by_row_values(coin, plates):
    told = json.loads(json.dumps(jsonable(as_json(coin.criticism["exact"])), allow_nan=False))
    priors = [finding._asdict() for finding in coin.prior_findings]
    assert json.loads(json.dumps(priors)) == priors and len(priors) == 2
    assert set(told) == {"told", "statistics", "checklist", "loo", "calibration"}
    assert told["loo"]["rows"] == 20 and told["loo"]["bad_rows"] == []
    assert told["calibration"]["ece"].keys() == {"value", "lower", "upper"} and "predicted" not in told["calibration"]
    assert told["calibration"]["table"][0]["observed"] is None  # no row there: null
    assert {item["passed"] for item in told["checklist"]} <= {True, False, None}
    quantiles = jsonable(as_json(plates.criticism["exact"]))["quantiles"]
    assert [row["level"] for row in quantiles["coverage"]] == [0.5, 0.8, 0.9, 0.95]


def test_a_statistic_far_off_is_drawn_at_the_border(plates):
    findings = plates.criticism["exact"].findings
    far = findings[0]._replace(observed=1e9, p_value=0.0)
    axes = criticism_figures.statistics([far, *findings], "exact").figure.axes[0]
    marks = [line.get_xdata()[0] for line in axes.lines]
    assert max(marks) == criticism_figures.FAR and np.isfinite(marks).all()


STATS = "def longest(y):\n    return max(map(len, ''.join(map(str, y.astype(int))).split('0')))\n"


def test_statistics_of_one_s_own_are_part_of_the_run(tmp_path, run_cli):
    (tmp_path / "my_stats.py").write_text(STATS)
    (tmp_path / "coin.yaml").write_text(COIN + 'checks: {statistics: ["my_stats.py:longest"]}\n')
    ended = run_cli("run", "coin.yaml", "--quiet")
    assert ended.code == 0, ended
    told = json.loads((tmp_path / "runs/coin/criticism.json").read_text())["fits"]["exact"]["statistics"]
    assert [row["name"] for row in told][-1] == "longest" and told[-1]["observed"] == 3
    report = (tmp_path / "runs/coin/report.html").read_text()
    assert all(f"<h2>{title}</h2>" in report for title in TITLES) and "longest" in report
    assert (tmp_path / "runs/coin/figures/criticism-calibration.png").is_file()
    links = re.findall(r'<a href="#([a-z-]+)">', report)
    assert links == re.findall(r'<section id="([a-z-]+)">', report) and len(links) == 6 + len(TITLES)
    again = load_experiment(tmp_path / "runs/coin/config.yaml")
    assert again.checks.statistics == [f"{tmp_path}/my_stats.py:longest"]


@pytest.mark.parametrize(
    ("statistic", "sentence"),
    [
        ("my_stats.py:shortest", "there is no function `shortest` in my_stats.py"),
        ("my_stats.py:of_x", "`of_x` asks for `x`, which is neither observed nor an input; known: `y`, `num_rows`"),
    ],
)
def test_a_statistic_that_cannot_be_is_refused_before_inference(tmp_path, run_cli, monkeypatch, statistic, sentence):
    (tmp_path / "my_stats.py").write_text(STATS + "\ndef of_x(x):\n    return 0\n")
    (tmp_path / "coin.yaml").write_text(COIN + f'checks: {{statistics: ["{statistic}"]}}\n')
    monkeypatch.setattr("experiments.runner.fit", lambda *_, **__: pytest.fail("inference was asked"))
    ended = run_cli("run", "coin.yaml", "--quiet")
    assert ended.code == 1 and ended.err.startswith(f"error: coin.yaml:5: checks.statistics: {sentence}")
    assert not (tmp_path / "runs").exists()
