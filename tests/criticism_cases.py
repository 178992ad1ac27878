"""What several tests of the criticism share."""

from __future__ import annotations

from pathlib import Path

from experiments import load_experiment, run_folder
from experiments.prepare import prepare
from experiments.runner import conclude
from inference import fit


def finished_run(config: Path, out: Path) -> Path:
    """A finished run without its report, which takes longer than all the rest."""
    experiment = load_experiment(config)
    prepared = prepare(experiment)
    posteriors = {name: fit(prepared.model, prepared.data, own, seed=1) for name, own in experiment.inference.items()}
    out.mkdir()
    run_folder.write(conclude(experiment, prepared, posteriors), out)
    return out
