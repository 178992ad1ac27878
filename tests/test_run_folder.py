"""The run folder: complete under its own name, or not there."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path

import pytest

from experiments.run_folder import dump, new_folder
from models.errors import InputError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def everything() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*"))


def finish(out: str | None = None, name: str = "coin") -> Path:
    with new_folder(None if out is None else Path(out), name) as folder:
        (folder.work / "report.html").write_text("done")
    return folder.final


def test_a_run_has_its_name_only_when_it_is_complete():
    with new_folder(None, "coin") as folder:
        (folder.work / "report.html").write_text("done")
        (partial,) = Path("runs").iterdir()
        assert partial.name.startswith(".coin.partial")
    assert folder.final == Path("runs/coin")
    assert everything() == ["runs", "runs/coin", "runs/coin/report.html"]


def test_a_finished_run_is_never_overwritten():
    assert [str(finish()) for _ in range(3)] == ["runs/coin", "runs/coin-2", "runs/coin-3"]
    assert str(finish(name="dice")) == "runs/dice"


def test_a_name_that_another_run_takes_meanwhile():
    with new_folder(None, "coin") as folder:
        assert folder.final == Path("runs/coin")
        Path("runs/coin").mkdir()
    assert folder.final == Path("runs/coin-2")
    assert everything() == ["runs", "runs/coin", "runs/coin-2"]


@pytest.mark.parametrize("out", ["there", "there/deep/down"])
def test_out_is_made_with_its_parents(out):
    assert finish(out) == Path(out)
    assert Path(out, "report.html").read_text() == "done"


def test_out_may_be_an_empty_folder():
    Path("there").mkdir()
    finish("there")
    assert everything() == ["there", "there/report.html"]


@pytest.mark.parametrize("taken", ["there/x.txt", "there"])
def test_out_that_holds_something_is_refused(taken):
    Path(taken).parent.mkdir(exist_ok=True)
    Path(taken).write_text("mine")
    before = everything()
    with pytest.raises(InputError) as refusal:
        finish("there")
    assert str(refusal.value) == (
        "--out there: there is something already; name a new folder; a finished run is never overwritten"
    )
    assert everything() == before and Path(taken).read_text() == "mine"


def test_out_here_is_refused():
    with pytest.raises(InputError, match=r"^--out \.: is the folder you are in; name a new folder$"):
        finish(".")


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        ("file/there", errno.ENOTDIR),
        ("file/there/deep", errno.ENOTDIR),
        ("a" * 300, errno.ENAMETOOLONG),
        ("/dev/null/there", errno.ENOTDIR),
    ],
)
def test_out_that_cannot_be_written_is_refused(out, reason):
    Path("file").write_text("mine")
    with pytest.raises(InputError) as refusal:
        finish(out)
    assert (
        str(refusal.value) == f"--out {out}: cannot be written ({os.strerror(reason)}); give another folder with --out"
    )
    assert everything() == ["file"]


@pytest.mark.parametrize(("out", "where"), [(None, "runs/coin"), ("there", "--out there")])
def test_a_parent_that_is_read_only_is_refused(monkeypatch, out, where):
    def refuse(path, *args, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)  # permissions do not bind root, who may well run the tests
    with pytest.raises(InputError) as refusal:
        finish(out)
    assert str(refusal.value) == f"{where}: cannot be written (Permission denied); give another folder with --out"


@pytest.mark.parametrize("fault", [KeyboardInterrupt, InputError("x", "y"), ZeroDivisionError, SystemExit])
@pytest.mark.parametrize("out", [None, "there", "there/deep/down"])
def test_a_run_that_fails_leaves_nothing(out, fault):
    with (
        pytest.raises(fault if isinstance(fault, type) else InputError),
        new_folder(out and Path(out), "coin") as folder,
    ):
        (folder.work / "figures").mkdir()
        (folder.work / "figures" / "forest.png").write_text("half")
        raise fault
    assert everything() == []


def test_a_run_that_fails_leaves_what_was_there():
    finish()
    Path("there").mkdir()
    before = everything()
    for out in (None, Path("there"), Path("there/deep/down")):
        with pytest.raises(ZeroDivisionError), new_folder(out, "coin"):
            raise ZeroDivisionError
        assert everything() == before


def test_json_has_null_for_what_it_has_no_number_for():
    dump(Path("x.json"), {"a": [math.nan, (math.inf, 1.5)], "b": {"c": -math.inf, "d": True, "e": None, "é": 3}})
    text = Path("x.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"a": [None, [None, 1.5]], "b": {"c": None, "d": True, "e": None, "é": 3}}
    assert "é" in text and "NaN" not in text
