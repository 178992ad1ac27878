"""What `pyrozoo compare|ppc|monitor|selftest` print, and when they say that something does not hold."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from criticism_cases import finished_run

from experiments.criticism import commands, known_answers
from experiments.criticism.known_answers import Answer
from experiments.criticism.ppc import ppc
from models import InputError

FLIPS = """\
name: {name}
model: {{family: beta_bernoulli, prior: "{prior}"}}
data: {{path: flips.csv, columns: {{outcome: heads{group}}}}}
inference: [exact]
"""
RUNS = {"one": ("beta(2, 2)", ""), "two": ("beta(2, 2)", ", group: coin"), "certain": ("beta(0.001, 0.001)", "")}
STATS = """
def first(y):
    return y[0]

def longest(y):
    return max(map(len, "".join(map(str, y.astype(int))).split("0")))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One rate for the flips of two coins, one rate for each, and a prior that is all but certain."""
    folder = tmp_path_factory.mktemp("commands")
    chance = np.random.default_rng(3).random(120) < np.repeat([0.85, 0.15], 60)
    flips = [(int(heads), "ab"[row // 60]) for row, heads in enumerate(chance)]
    (folder / "flips.csv").write_text("heads,coin\n" + "".join(f"{heads},{coin}\n" for heads, coin in flips))
    (folder / "my_stats.py").write_text(STATS)
    for name, (prior, group) in RUNS.items():
        (folder / f"{name}.yaml").write_text(FLIPS.format(name=name, prior=prior, group=group))
        finished_run(folder / f"{name}.yaml", folder / name)
    return folder


def test_a_comparison_is_a_table_and_a_verdict(folder, capsys):
    commands.print_comparison([folder / "one", folder / "two"], None)
    heading, first, second, blank, verdict = capsys.readouterr().out.splitlines()
    assert heading.split() == ["run", "backend", "elpd", "se", "p", "difference", "se", "weight", "ESS/s", "seconds"]
    assert first.split()[:2] == ["two", "exact"] and second.split()[:2] == ["one", "exact"] and blank == ""
    assert len(heading) == len(first) == len(second)
    assert verdict.startswith("By leave-one-out: `two` predicts better than the rest: one (elpd -")


def test_a_check_prints_every_statistic_and_says_what_is_missed(folder, capsys):
    assert commands.print_ppc(folder / "one", [], False, None) is False
    out = capsys.readouterr().out
    assert [line.split("  ")[0] for line in out.splitlines()[:4]] == ["statistic", "rate", "switches", "longest run"]
    assert "The model does not generate such data: " in out and "rows come in runs" in out
    assert commands.print_ppc(folder / "two", [], False, "exact") is True
    assert "rate by group: group " in capsys.readouterr().out


def test_a_statistic_of_one_s_own_is_checked_too(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    commands.print_ppc(Path("two"), ["my_stats.py:longest"], False, None)
    assert "longest  " in capsys.readouterr().out
    with pytest.raises(InputError, match="--statistic: there is no function `shortest` in my_stats.py"):
        ppc("two", ["my_stats.py:shortest"])


def test_priors_that_are_all_but_certain_are_flagged(folder, capsys):
    assert commands.print_ppc(folder / "certain", [], True, None) is False
    assert "have `y` all equal; narrow or move the priors" in capsys.readouterr().out
    assert commands.print_ppc(folder / "one", [], True, None) is True
    assert capsys.readouterr().out.endswith("What the priors generate could have been observed.\n")


def test_new_rows_are_told_column_by_column(folder, capsys, tmp_path):
    same, other = tmp_path / "same.csv", tmp_path / "other.csv"
    same.write_text((folder / "flips.csv").read_text())
    other.write_text("heads,coin\n" + "1,a\n" * 290 + "0,b\n")
    assert commands.print_monitor(folder / "two", same, None) is True
    out = capsys.readouterr().out
    assert out.splitlines()[0].startswith("columns      stable  `group` is as it was: Cramér's V 0, PSI 0")
    assert out.splitlines()[-1].startswith("The new rows are like the fitted ones in ")
    assert commands.print_monitor(folder / "two", other, None) is False
    assert "columns      breach  `group` has moved far" in capsys.readouterr().out


def test_changed_data_are_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "moved")
    config = tmp_path / "moved/one/config.yaml"
    config.write_text(config.read_text().replace(str(folder), str(tmp_path / "moved")))
    assert ppc(tmp_path / "moved/one").findings == ppc(folder / "one").findings
    (tmp_path / "moved/flips.csv").write_text("heads,coin\n1,a\n")
    with pytest.raises(
        InputError, match="has changed since the run; run the experiment again, or put the old data back"
    ):
        ppc(tmp_path / "moved/one")


def test_the_self_test_counts_what_it_found(capsys, monkeypatch):
    right, wrong = Answer("A1", "a half", 0.5, 1e-9, lambda: 0.5), Answer("A2", "pi", math.pi, 1e-3, lambda: [3.0])
    monkeypatch.setattr(known_answers, "ANSWERS", (right, wrong))
    monkeypatch.setattr(known_answers, "OUT_OF_SCOPE", {"LM1": "text"})
    assert commands.print_selftest() is False
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ok   A1        a half: expected 0.5, got 0.5, tolerance 1e-09"
    assert lines[1] == "FAIL A2        pi: expected 3.141592654, got 3, tolerance 0.001"
    assert lines[2] == "-    LM1       not computed: text" and lines[3].startswith("1 of 2 known answers found in ")
    monkeypatch.setattr(known_answers, "ANSWERS", (right,))
    assert commands.print_selftest() is True


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["compare", "one", "two"], 0, "predicts better than the rest"),
        (["compare", "one"], 1, "error: comparison: needs two models or more, got 1; name another run"),
        (["compare", "one", "gone"], 1, "error: gone: there is no such folder; name one that `pyrozoo run` wrote"),
        (["ppc", "two", "--statistic", "my_stats.py:first"], 0, "In 5 test statistics the data look like data"),
        (["ppc", "one"], 3, "The model does not generate such data"),
        (["ppc", "certain", "--prior"], 3, "narrow or move the priors"),
        (["ppc", "one", "--backend", "nuts"], 1, "error: one: backend: the run has no 'nuts'; known: `exact`"),
        (["monitor", "two", "--data", "flips.csv"], 0, "The new rows are like the fitted ones"),
        (["monitor", "two"], 2, "the following arguments are required: --data"),
        (
            ["monitor", "two", "--data", "flip.csv"],
            1,
            "error: flip.csv: there is no such file; did you mean `flips.csv`?",
        ),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else None,
)
def test_the_command_line(folder, run_cli, monkeypatch, words, code, told):
    monkeypatch.chdir(folder)
    ended = run_cli(*words)
    assert ended.code == code and told in ended.out + ended.err


def test_the_self_test_s_code(run_cli, monkeypatch):
    monkeypatch.setattr(known_answers, "ANSWERS", (Answer("A2", "pi", math.pi, 1e-3, lambda: [3.0]),))
    assert run_cli("selftest").code == 3
