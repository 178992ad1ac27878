"""`pyrozoo new` and `pyrozoo show`: what they tell is what the records say, and what they write runs as it is."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from experiments import load_experiment
from experiments.explain import explanation
from experiments.prepare import prepare
from experiments.setting_table import in_words, settings_of
from experiments.settings import Checks
from experiments.starters import STARTERS, starter
from experiments.yaml_source import read
from inference import fit
from inference.settings import BACKENDS
from models import FAMILIES, InputError
from models.base import story


def everything_on(text: str) -> str:
    """The file with every setting switched on: the single `#` in front of it taken away."""
    return re.sub(
        r"^( +)# (?=[a-z_]+:)", r"\1", re.sub(r"^( +)#(?=# )", r"\1", text, flags=re.MULTILINE), flags=re.MULTILINE
    )


def test_every_family_has_a_starter():
    assert list(STARTERS) == sorted(FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_starter_is_right_as_it_is_and_never_overwritten(name, run_cli):
    ended = run_cli("new", name)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"{name}.yaml: written; try it with: pyrozoo run {name}.yaml\n"
    assert Path(f"{name}.yaml").read_text() == starter(name)
    checked = run_cli("check", f"{name}.yaml")
    assert checked.code == 0, checked.err
    assert f"ok: {name}, " in checked.out
    Path(f"{name}.yaml").write_text("mine")
    again = run_cli("new", name)
    assert (again.code, again.out) == (1, "")
    assert (
        again.err == f"error: --out {name}.yaml: there is something already; name a new file; nothing is overwritten\n"
    )
    assert Path(f"{name}.yaml").read_text() == "mine"
    assert run_cli("new", name, "--out", "other.yaml").code == 0
    assert Path("other.yaml").read_text() == starter(name)
    assert sorted(path.name for path in Path().iterdir()) == sorted([f"{name}.yaml", "other.yaml"])


@pytest.mark.parametrize("name", FAMILIES)
def test_comments_hold_every_setting_at_its_default(name, tmp_path):
    (tmp_path / "a.yaml").write_text(starter(name))
    (tmp_path / "b.yaml").write_text(everything_on(starter(name)))
    written = read(tmp_path / "b.yaml").tree
    plain, full = load_experiment(tmp_path / "a.yaml"), load_experiment(tmp_path / "b.yaml")
    assert full.model == plain.model and full.checks == plain.checks and full.data == plain.data
    assert set(written["model"]) == {"family", *(field.name for field in dataclasses.fields(FAMILIES[name]))}
    assert set(written["checks"]) == {field.name for field in dataclasses.fields(Checks)}
    assert set(full.inference) >= {"svi", "nuts"}
    for backend, settings in plain.inference.items():
        assert full.inference[backend] == settings == BACKENDS[backend]()
        assert set(written["inference"][backend]) == {field.name for field in dataclasses.fields(BACKENDS[backend])}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_starter_has_exact_where_there_is_a_closed_form(name, tmp_path):
    (tmp_path / "a.yaml").write_text(starter(name))
    found = prepare(load_experiment(tmp_path / "a.yaml"))
    if "exact" in STARTERS[name].inference:
        assert "log_evidence" in fit(found.model, found.data, "exact").facts
    else:
        with pytest.raises(InputError, match="`exact` cannot fit"):
            fit(found.model, found.data, "exact")


RECORDS = {**FAMILIES, **BACKENDS, "checks": Checks}


@pytest.mark.parametrize("name", RECORDS)
def test_every_setting_says_what_it_means(name):
    for setting in settings_of(RECORDS[name]):
        assert setting.about and "a prior literal" not in setting.about and setting.about[-1] != ".", setting.name
        assert "\n" not in setting.about and len(setting.about) < 110, setting.name


@pytest.mark.parametrize("name", FAMILIES)
def test_show_tells_the_whole_family(name, run_cli):
    ended = run_cli("show", name)
    assert (ended.code, ended.err, ended.out) == (0, "", explanation(name) + "\n")
    told = story(FAMILIES[name])
    words = " ".join(ended.out.split())
    assert ended.out.startswith(f"{name}: ")
    for part in (told.sentence, told.block, *told.notes, *(column.about for column in FAMILIES[name].columns)):
        assert " ".join(part.split()) in words
    for setting in settings_of(FAMILIES[name]):
        head = f"{setting.name} (required)" if setting.default is None else f"{setting.name}: {setting.default}"
        assert head in ended.out
    assert max(map(len, ended.out.splitlines())) <= 120
    assert ("exact where the posterior has a closed form" in words) == ("exact" in STARTERS[name].inference)


@pytest.mark.parametrize("command", ["new", "show"])
def test_a_misspelt_family_is_named(run_cli, command):
    ended = run_cli(command, "naive_bays")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "error: FAMILY: 'naive_bays' is not a family; did you mean `naive_bayes`?\n"
    ended = run_cli(command, "forest")
    assert ended.err.startswith("error: FAMILY: 'forest' is not a family; known: `beta_bernoulli`")
    assert not list(Path().iterdir())


def test_a_place_that_cannot_be_written_is_refused(run_cli):
    ended = run_cli("new", "naive_bayes", "--out", "no/where.yaml")
    assert ended.code == 1
    assert ended.err == "error: --out no/where.yaml: cannot be written (No such file or directory); name another file\n"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1}, "whole number from 1"),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, "number above 0 below 1"),
        ({"type": "string", "enum": ["a", "b"]}, "a, b"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text or null"),
        ({"type": "array", "items": {"type": "string"}}, "list of text"),
        ({"anyOf": [{"type": "number"}, {"const": "auto", "type": "string"}]}, "number or auto"),
        ({"type": "string", "pattern": "normal"}, "prior"),
    ],
)
def test_what_a_setting_may_be_is_told_in_words(schema, words):
    assert in_words(schema) == words
