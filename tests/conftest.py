"""Fixtures that several test files share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

# One thread for each test worker and what it starts, set before NumPy and PyTorch load: workers that each start a
# thread for every core slow each other down, and sums split over threads differ in their last digits by machine.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")


class Ended(NamedTuple):
    """How a command ended: its exit code, and what it wrote to standard output and standard error."""

    code: int
    out: str
    err: str


@pytest.fixture
def run_cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """`run_cli("run", "coin.yaml")`: the command line in this process, in an empty folder (`tmp_path`)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")  # the width that tables and help are laid out in

    def run(*arguments: str | Path) -> Ended:
        from experiments.cli import main

        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as ending:  # how argparse ends on --help and on wrong usage
            code = ending.code if isinstance(ending.code, int) else 2
        return Ended(code, *capsys.readouterr())

    return run
