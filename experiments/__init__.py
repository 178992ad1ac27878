"""Experiments: a YAML file from data to a checked report. In a notebook: `run(load_experiment("coin_flips.yaml"))`.

A finished run predicts new rows: `finished.predict("new.csv")`, or later `predict("runs/coin_flips", "new.csv")`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from experiments.config import Experiment, load_experiment
from experiments.predictions import Predictions, predict
from inference.progress import Progress, silent

if TYPE_CHECKING:
    from experiments.runner import Run

__all__ = ["Experiment", "Predictions", "load_experiment", "predict", "run"]


def run(experiment: Experiment, out: str | Path | None = None, progress: Progress = silent) -> Run:
    """Run an experiment; its folder is `out`, or the next free `runs/<name>` (see `experiments.runner`)."""
    from experiments.runner import run as run_now  # imports PyTorch, which reading a config must not

    return run_now(experiment, out, progress)
