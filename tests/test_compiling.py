"""Compiling ahead: a process of its own where nothing is kept yet, none where it is, no fault where it fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from inference import compiling

ROOT = Path(compiling.__file__).parents[1]


@pytest.fixture(autouse=True)
def nothing_started(monkeypatch):
    monkeypatch.setattr(compiling, "started", [])


def test_the_other_process_leaves_what_a_fit_reads(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    compiling.begin()
    compiling.begin()  # one process at a time
    assert len(compiling.started) == 1
    compiling.finish()
    kept = {path.name for path in tmp_path.glob("nuts_*/drive.drive-*")}
    assert any(name.endswith(".nbi") for name in kept)
    compiling.begin()  # it is there
    assert not compiling.started
    # a real fit finds the same types: nothing is compiled anew
    fit = (
        "import pyro, pyro.distributions as dist, torch\n"
        "from inference import Nuts, fit\n"
        "from models.base import Data\n"
        "def model(): pyro.sample('x', dist.Normal(torch.zeros(12), 1.0).to_event(1))\n"
        "for metric in ('diag', 'dense'):\n"
        "    fit(model, Data(), Nuts(num_chains=8, num_warmup=60, num_samples=8, metric=metric))\n"
    )
    subprocess.run([sys.executable, "-c", fit], cwd=ROOT, check=True)
    assert {path.name for path in tmp_path.glob("nuts_*/drive.drive-*")} == kept


def test_without_a_python_to_start_the_fit_compiles_by_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    compiling.begin()
    assert not compiling.started
    compiling.finish()


def test_a_process_that_does_not_end_is_given_up(monkeypatch):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    monkeypatch.setattr(compiling, "started", [process])
    monkeypatch.setattr(compiling, "LONGEST", 0.2)
    compiling.finish()
    assert process.returncode not in (None, 0)


def test_the_machine_needs_no_tensors():
    code = "import sys, inference.nuts.drive; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
