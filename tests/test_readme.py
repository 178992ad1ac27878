"""The README tells the truth: its commands run, its YAML loads, its Python gives the numbers beside it."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from experiments.config import load_experiment
from experiments.prepare import prepare
from inference.settings import BACKENDS
from models import FAMILIES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


COMMANDS = [line.split("#")[0].strip() for block in blocks("console") for line in block.splitlines() if line.strip()]
PYROZOO = [command for command in COMMANDS if command.startswith("pyrozoo ")]


def test_the_readme_names_the_two_commands_and_no_other_tool():
    assert {"make demo", "make test"} == {command for command in COMMANDS if not command.startswith("pyrozoo ")}
    targets = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^demo:", targets, flags=re.MULTILINE) and re.search(r"^test:", targets, flags=re.MULTILINE)
    assert len(PYROZOO) >= 5


@pytest.mark.parametrize("command", PYROZOO)
def test_the_command_runs(command, run_cli, tmp_path):
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    ended = run_cli(*shlex.split(command)[1:])
    assert ended.code == 0 and ended.out, ended.err


def test_the_first_yaml_is_the_config_that_ships():
    text = blocks("yaml")[0]
    shipped = (ROOT / "configs" / "coin_flips.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text) == yaml.safe_load(shipped)
    assert len(text.splitlines()) <= 10


@pytest.mark.parametrize("block", blocks("yaml")[1:])
def test_every_other_yaml_is_part_of_an_experiment_that_prepares(block, tmp_path):
    shutil.copytree(ROOT / "configs" / "programs", tmp_path / "programs")
    coins = {"values": {"outcome": [0, 1] * 10}}
    rest = {"name": "readme", "model": {"family": "beta_bernoulli"}, "data": coins, "inference": "exact"}
    tree = yaml.safe_load(block)
    path = tmp_path / "readme.yaml"
    path.write_text(yaml.safe_dump({**rest, **tree}), encoding="utf-8")
    assert prepare(load_experiment(path)).data.observed


def test_the_python_prints_what_stands_beside_it():
    (code,) = blocks("python")
    assert len(code.strip().splitlines()) <= 10
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(code, "README.md", "exec"), {})
    numbers = [float(word) for word in re.findall(r"-?\d+\.\d+", said.getvalue())]
    told = [float(word) for word in re.findall(r"-?\d+\.\d+", code.split("# [")[1].split("\n")[0])]
    assert told == pytest.approx(numbers[: len(told)], abs=5e-5)
    assert "'mean': 0.6" in said.getvalue()


def test_the_table_has_every_family_and_backend():
    head = next(line for line in README.splitlines() if line.startswith("| family |"))
    assert re.findall(r"`(\w+)`", head) == list(BACKENDS)
    assert all(f"| `{family}`" in README for family in FAMILIES)


def test_every_link_and_picture_is_there():
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
