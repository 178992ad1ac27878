"""The criticism in the report: sections with sentences, tables and figures, and what is left out without them."""

from __future__ import annotations

import dataclasses
import io
import json
import re

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from experiments.config import load_experiment
from experiments.criticism.classes import class_calibration
from experiments.criticism.held_out import score_held_out
from experiments.criticism.of_run import criticise_run
from experiments.criticism.prior_check import PriorFinding
from experiments.criticism.record import Criticism, as_json
from experiments.criticism.refits import Refit
from experiments.criticism.told import scores_told
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


TITLES = [
    "What do the priors say?",
    "Does the model generate such data?",
    "How well does it predict?",
    "Calibration",
    "Checklist",
]


def test_every_run_is_criticised(coin, plates):
    for result in (coin, plates):
        with style.look():
            found = sections(result)
        assert [section.title for section in found] == TITLES
        assert [len(section.drawings) for section in found] == [1, 1, 1, 1, 0]
        assert all(section.sentences for section in found) and len(found[4].items) == 6
        assert found[1].table is not None and len(found[1].table.rows) == len(result.criticism["exact"].findings)
        assert found[2].table is not None and found[2].table.rows[0][:2] == ["leave-one-out", "exact"]
    assert "dispersion between rows" in sections(plates)[1].sentences[0]
    assert [drawing.name for section in sections(coin) for drawing in section.drawings][-1] == "criticism-calibration"
    assert [drawing.name for section in sections(plates) for drawing in section.drawings][-1] == "criticism-pit"


def test_a_misfit_is_told_on_top_and_in_the_terminal(coin, plates, tmp_path):
    from rich.console import Console

    from experiments.report import build
    from experiments.terminal import result_table

    assert "misses something of the data" in plates.verdict and "misses" not in coin.verdict
    for name, result in {"coin": coin, "plates": plates}.items():
        (tmp_path / name).mkdir()
        page = build(result, tmp_path / name).read_text()
        header = page[: page.index("</header>")]
        console = Console(record=True, width=400, file=io.StringIO())
        console.print(result_table(result))
        told = name == "plates"
        assert ("the dispersion" in header) == told
        assert ("misses something of the data" in header) == told


def test_figures_are_pictures_with_words(plates, coin):
    for result in (plates, coin):
        for section in sections(result):
            for drawing in section.drawings:
                assert style.as_png(drawing.figure)[:4] == b"\x89PNG"
                assert (
                    drawing.alt.endswith(".")
                    and drawing.caption.endswith(".")
                    and (drawing.name.startswith("prior") or "exact" in drawing.alt + drawing.caption)
                )


def test_priors_are_told_where_they_are_flagged(coin):
    finding = PriorFinding("y", "all equal", 0.9, True, "90% of the data sets have `y` all equal; narrow the priors")
    other = finding._replace(flagged=False, message="nothing to see")
    told = sections(dataclasses.replace(coin, prior_findings=(finding, other)))[0].sentences
    assert told == ["90% of the data sets have `y` all equal; narrow the priors."]


def test_what_was_not_criticised_has_no_sections(coin):
    assert sections(dataclasses.replace(coin, criticism={})) == []
    bare = Criticism((), None, None, None, {"predictive": "Nothing.", "scores": "Nothing."})
    with style.look():
        found = sections(dataclasses.replace(coin, criticism={"exact": bare}))
    assert [len(section.drawings) for section in found] == [1, 0, 0, 0, 0]
    assert found[3].sentences == [NOT_LEFT_OUT] and found[1].table is None and found[2].table is None


def test_the_file_has_numbers_and_words_but_no_row_by_row_values(coin, plates):
    told = json.loads(json.dumps(jsonable(as_json(coin.criticism["exact"])), allow_nan=False))
    priors = [finding._asdict() for finding in coin.prior_findings]
    assert json.loads(json.dumps(priors)) == priors and len(priors) == 2
    assert set(told) == {"told", "statistics", "checklist", "loo", "waic", "calibration", "uncertainty"}
    assert told["loo"]["rows"] == 20 and told["loo"]["bad_rows"] == []
    assert told["calibration"]["ece"].keys() == {"value", "lower", "upper"} and "predicted" not in told["calibration"]
    assert told["calibration"]["table"][0]["observed"] is None  # no row there: null
    assert {item["passed"] for item in told["checklist"]} <= {True, False, None}
    assert told["calibration"]["base_rate"] == 0.65 and "curve" not in told["calibration"]
    parts = told["uncertainty"]
    assert parts["total"] == pytest.approx(parts["aleatoric"] + parts["epistemic"]) and parts["largest_epistemic"] == []
    quantiles = jsonable(as_json(plates.criticism["exact"]))["quantiles"]
    assert [row["level"] for row in quantiles["coverage"]] == [0.5, 0.8, 0.9, 0.95]


def test_a_statistic_far_off_is_drawn_at_the_border(plates):
    findings = plates.criticism["exact"].findings
    far = findings[0]._replace(observed=1e9, p_value=0.0)
    axes = criticism_figures.statistics([far, *findings], "exact").figure.axes[0]
    marks = [line.get_xdata()[0] for line in axes.lines]
    assert max(marks) == criticism_figures.FAR and np.isfinite(marks).all()


def sections_by_title(result):
    with style.look():
        return {section.title: section for section in sections(result)}


def with_criticism(result, **fields):
    return dataclasses.replace(result, criticism={"exact": result.criticism["exact"]._replace(**fields)})


def test_scores_by_other_fits_stand_beside_leave_one_out(coin):
    score = coin.criticism["exact"].loo
    folds = Refit("10-fold", score.elpd - 0.5, 0.7, score.pointwise - np.tile([0, 0.05], 10), np.arange(20), 10)
    found = sections_by_title(with_criticism(coin, refit=folds))["How well does it predict?"]
    methods = ["leave-one-out", "WAIC", "10-fold"]
    assert [row[:3] for row in found.table.rows] == [[method, "exact", "20"] for method in methods]
    assert found.table.rows[2][-1] == "10 fits"
    assert found.sentences[1].startswith("By 10-fold cross-validation, each row scored by the fit to the other folds,")
    assert found.sentences[1].endswith("0.5 less (se 0.11) than leave-one-out.")
    assert found.sentences[2].startswith(
        "Of the 0.66 nats of uncertainty about a row's outcome (0.69 is a blind guess)"
    )
    # of one sequence there is nothing to leave out, and the only score is that of the future
    future = Refit("leave-future-out", -12.0, 1.0, np.full(8, -1.5), np.arange(12, 20), 2)
    alone = with_criticism(coin, refit=future, loo=None)
    found = sections_by_title(alone)["How well does it predict?"]
    assert [row[0] for row in found.table.rows] == ["leave-future-out"] and found.drawings == []
    assert found.sentences[0].startswith("Predicting each of the last 8 rows from those before it alone")
    told = jsonable(as_json(alone.criticism["exact"]))
    assert told["refit"] == {"method": "leave-future-out", "elpd": -12.0, "se": 1.0, "rows": 8, "num_fits": 2}


def test_rows_that_were_refitted_are_told(coin):
    score = coin.criticism["exact"].loo._replace(refitted=np.array([3, 5]))
    assert "For 2 rows the weights do not hold" in scores_told(score) and "they are scored by fits" in scores_told(
        score
    )
    found = sections_by_title(with_criticism(coin, loo=score))["How well does it predict?"]
    assert found.table.rows[0][-2:] == ["0", "2 rows"]
    assert jsonable(as_json(with_criticism(coin, loo=score).criticism["exact"]))["loo"]["refitted_rows"] == [4, 6]


def held_out_scores():
    rng = np.random.default_rng(3)
    z = rng.normal(size=80)
    y = (rng.random(80) < 1 / (1 + np.exp(-z))).astype(int)
    p = 1 / (1 + np.exp(-3 * z))
    classes = rng.dirichlet(np.ones(3), 80)
    return {
        "binary": score_held_out(np.log(np.where(y == 1, p, 1 - p)), np.column_stack([1 - p, p]), y, None),
        "classes": score_held_out(np.full(80, -1.0), classes, classes.argmax(axis=1), None),
        "numbers": score_held_out(np.full(80, -1.0), None, None, rng.random(80)),
        "density": score_held_out(np.full(80, -1.0), None, None, None),
    }


@pytest.mark.parametrize(
    ("kind", "line", "drawings"),
    [
        ("binary", "perplexity", ["criticism-held-out"]),
        ("classes", "Brier score", ["criticism-held-out"]),
        ("numbers", "rows in 90% intervals", ["criticism-held-out"]),
        ("density", "log predictive density", []),
    ],
)
def test_held_out_rows_have_a_section(coin, kind, line, drawings):
    found = sections_by_title(with_criticism(coin, held_out=held_out_scores()[kind]))
    more = ["Rows that no fit has seen"] + ["Recalibration"] * (kind == "binary")
    assert list(found) == [*TITLES[:3], *more, *TITLES[3:]]
    section = found["Rows that no fit has seen"]
    assert line in [row[0] for row in section.table.rows] and section.table.rows[0][0] == "log predictive density"
    assert [drawing.name for drawing in section.drawings] == drawings
    assert all("Rows that no fit has seen" in drawing.caption for drawing in section.drawings)
    assert section.sentences[0].startswith("Of 80 rows that no fit has seen")
    if kind == "binary":
        maps = found["Recalibration"].table
        assert [row[0] for row in maps.rows] == ["as it is", "temperature", "platt", "isotonic"]
        assert "fitted to 40 held-out rows and scored on the other 40" in maps.note


def of_classes(count):
    p = np.random.default_rng(1).dirichlet(np.ones(count), 200)
    codes = np.array([np.random.default_rng(k).choice(count, p=row) for k, row in enumerate(p)])
    return p, codes, class_calibration(p, codes, [f"kind {c}" for c in range(count)])


def test_classes_have_a_panel_each_and_a_table_of_mistakes(coin):
    p, codes, found = of_classes(3)
    section = sections_by_title(with_criticism(coin, calibration=None, classes=found))["Calibration"]
    assert section.table.columns == [
        "class",
        "rows",
        "called kind 0",
        "called kind 1",
        "called kind 2",
        "AUC",
        "average precision",
    ]
    called = [[int(cell) for cell in row[2:5]] for row in section.table.rows]
    assert called == confusion_matrix(codes, p.argmax(axis=1)).tolist()
    panels = [ax for ax in section.drawings[0].figure.axes if ax.get_visible()]
    assert [ax.get_title(loc="left") for ax in panels] == ["class called", "kind 0", "kind 1", "kind 2"]
    assert "and of 3 classes" in section.drawings[0].alt


def test_many_classes_have_their_commonest_mistake_alone(coin):
    p, codes, found = of_classes(12)
    section = sections_by_title(with_criticism(coin, calibration=None, classes=found))["Calibration"]
    assert section.table.columns[2:4] == ["called right", "else mostly called"]
    table = confusion_matrix(codes, p.argmax(axis=1))
    assert [int(row[2]) for row in section.table.rows] == np.diag(table).tolist()
    np.fill_diagonal(table, 0)
    assert section.table.rows[0][3] == f"kind {table[0].argmax()} ({table[0].max()})"
    assert len([ax for ax in section.drawings[0].figure.axes if ax.get_visible()]) == 1


def test_precision_and_recall_are_drawn_beside_the_reliability(coin):
    found = coin.criticism["exact"].calibration
    reliability, curve = criticism_figures.reliability(found, "exact").figure.axes
    step, base = curve.lines
    assert np.array_equal(step.get_ydata(), found.curve.precision)
    assert base.get_ydata()[0] == 0.65 == found.base_rate
    assert reliability.get_ylabel() == "share of ones"


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
