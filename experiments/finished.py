"""What a finished run left in its folder, read again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.agreement import TRUST
from experiments.results import Check
from experiments.words import listed
from inference import arviz_bridge
from models.errors import InputError, did_you_mean

AGAIN = "run the experiment again"


def manifest(folder: Path) -> Mapping[str, Any]:
    """What a finished run says of itself; InputError for a folder that holds none."""
    for name in ("manifest.json", "config.yaml"):
        if not (folder / name).is_file():
            rule = "is not the folder of a finished run" if folder.is_dir() else "there is no such folder"
            raise InputError(str(folder), rule, "name one that `pyrozoo run` wrote, for instance `runs/coin_flips`")
    try:
        told: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        known = {key: told["data"][key] for key in ("source", "sha256")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(str(folder / "manifest.json"), "cannot be read", AGAIN) from error
    return {**told, "data": known}


def groups(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Arrays of a saved fit, by group and name."""
    try:
        found = arviz_bridge.datasets(arviz_bridge.load(path))
    except OSError as error:
        raise InputError(str(path), "cannot be read", AGAIN) from error
    return {
        group: {str(name): values.to_numpy() for name, values in dataset.items()} for group, dataset in found.items()
    }


def doubt(folder: Path, backend: str) -> str:
    """What whoever uses a finished run must know: which of its checks of that backend failed; empty where all hold.

    InputError where the run's own record of them cannot be read.
    """
    path = folder / "checks.json"
    try:
        checks = [Check(**check) for check in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(str(path), "cannot be read", AGAIN) from error
    failed = [check for check in checks if check.backend == backend and not check.passed]
    computed = [check.name for check in failed if not check.of_model]
    if computed:
        return f"{folder}: do not trust these numbers: {backend} failed its checks of {listed(computed)}"
    return "".join(f"{folder}: the model misses something of its data: {check.message}" for check in failed)


def choose(backend: str | None, known: Sequence[str], where: str = "backend") -> str:
    """The backend asked for, which the run must have; without one, the most trusted."""
    if backend is not None and backend not in known:
        raise InputError(where, f"the run has no {backend!r}", did_you_mean(backend, known))
    return backend or next(name for name in TRUST if name in known)
