"""The sampler's machine, compiled by a process of its own while this one is still importing PyTorch and tracing.

numba keeps compiled code on disk, beside its source or in NUMBA_CACHE_DIR: the first fit on a machine compiles, every
other one reads. Those two seconds pass on another core. Where no process can be started, the fit compiles when it gets
there. No tensors here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CODE = "from inference.compiling import compile_now; compile_now()"
LONGEST = 60.0  # seconds to wait for the other process

started: list[subprocess.Popen[bytes]] = []


def begin() -> None:
    """Start compiling where no code is kept yet."""
    folders = [Path(__file__).parent / "nuts" / "__pycache__"]
    if "NUMBA_CACHE_DIR" in os.environ:
        folders = list(Path(os.environ["NUMBA_CACHE_DIR"]).glob("nuts_*"))
    if started or any(True for folder in folders for _ in folder.glob("drive.drive-*.nbi")):
        return
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    nowhere = subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", CODE], env=environment, stdin=nowhere, stdout=nowhere, stderr=nowhere
        )
    except OSError:
        return
    started.append(process)


def finish() -> None:
    """Wait until the code is on disk, where `begin` has started on it."""
    while started:
        process = started.pop()
        try:
            process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def compile_now() -> None:
    """Run the machine on chains that have nothing to do, with arguments of the types of a real run."""
    import numpy as np

    from inference.nuts import machine
    from inference.nuts.drive import drive

    chains, record = machine.new_chains(1, 1, 1), machine.new_record(1, 1, 1)
    chains.numbers["done"] = 1
    drive(
        np.zeros(6, np.int64), np.zeros((4, 1, 4)), np.zeros(4), np.zeros((1, 1)), np.ones((1, 1)), *chains,
        np.zeros((1, 1, 3)), np.zeros((1, 1)), 1.0, 1, 1, *record,
    )  # fmt: skip
