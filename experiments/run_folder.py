"""The run folder: written under a temporary name, renamed when complete, so that a killed run never looks finished."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import yaml_target
from experiments.config import Experiment
from experiments.criticism.record import as_json
from experiments.criticism.score_files import write_scores
from experiments.results import Fit, Result
from inference import arviz_bridge
from models.errors import InputError


@dataclass
class Folder:
    """Where a run is written (`work`), and the name that it gets when it is complete (`final`)."""

    work: Path
    final: Path


@contextmanager
def new_folder(out: Path | None, name: str) -> Iterator[Folder]:
    """The folder to write a run in. Renamed when the block ends; where it fails nothing is left.

    out: the folder that a run asks for, which must be new or empty; without it the next free `runs/<name>`,
    `runs/<name>-2`.
    """
    try:
        final = free_folder(Path("runs"), name) if out is None else wanted_folder(out)
        folder = Folder(final.with_name(f".{final.name}.partial-{os.getpid()}"), final)
        made = [parent for parent in final.parents if not parent.exists()]
        shutil.rmtree(folder.work, ignore_errors=True)
        folder.work.mkdir(parents=True)
    except OSError as error:
        where = f"--out {out}" if out is not None else f"runs/{name}"
        raise InputError(where, f"cannot be written ({error.strerror})", "give another folder with --out") from error
    try:
        yield folder
        if out is None:
            folder.final = free_folder(Path("runs"), name)  # another run may have taken the name meanwhile
        elif final.is_dir():
            final.rmdir()
        folder.work.rename(folder.final)
    except BaseException:
        shutil.rmtree(folder.work, ignore_errors=True)
        for parent in made:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        raise


def free_folder(parent: Path, name: str) -> Path:
    """`parent/name`, or the first of `parent/name-2`, `parent/name-3`, ... that is not there."""
    number = 1
    while (candidate := parent / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return candidate


def wanted_folder(out: Path) -> Path:
    if out.resolve() == Path.cwd():
        raise InputError(f"--out {out}", "is the folder you are in", "name a new folder")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(
            f"--out {out}", "there is something already", "name a new folder; a finished run is never overwritten"
        )
    return out


def write(result: Result, folder: Path) -> None:
    """Every file of a run but the report."""
    (folder / "config.yaml").write_text(yaml_target.dump(anchored(result.experiment)), encoding="utf-8")
    for backend, fit in result.fits.items():
        arviz_bridge.save(tree(result, fit), folder / f"posterior-{backend}.nc")
    dump(folder / "manifest.json", result.manifest)
    dump(folder / "summary.json", {backend: fit.summary for backend, fit in result.fits.items()})
    dump(folder / "checks.json", [check._asdict() for check in result.checks])
    if result.criticism:
        priors = [finding._asdict() for finding in result.prior_findings]
        fits = {backend: as_json(found) for backend, found in result.criticism.items()}
        dump(folder / "criticism.json", {"priors": priors, "fits": fits})
        for backend, found in result.criticism.items():
            write_scores(folder, backend, found)
    if result.estimates is not None:
        dump(folder / "estimates.json", result.estimates._asdict())
    if result.agreement:
        rows = {
            variable: {
                **row.by_backend,
                "max_gap_sd": row.max_gap_sd,
                "max_gap_mcse": row.max_gap_mcse,
                "max_w1_sd": row.max_w1_sd,
                "verdict": row.verdict,
            }
            for variable, row in result.agreement.items()
        }
        dump(folder / "agreement.json", rows)


def anchored(experiment: Experiment) -> dict[str, Any]:
    """The resolved config with its file paths made absolute, so that it runs again from the run folder."""
    resolved = {**experiment.resolved}
    for section, key in (("data", "path"), ("model", "program"), ("scores", "holdout")):
        if isinstance(resolved[section].get(key), str):
            path = (experiment.folder / resolved[section][key]).resolve()
            resolved[section] = {**resolved[section], key: str(path)}
    statistics = resolved["checks"].get("statistics")
    if statistics:
        resolved["checks"] = {
            **resolved["checks"],
            "statistics": [str((experiment.folder / text).resolve()) for text in statistics],
        }
    return resolved


def tree(result: Result, fit: Fit) -> Any:
    """A fit in ArviZ's terms: InferenceData or DataTree, whichever this ArviZ has."""
    posterior, data = fit.posterior, result.data
    arrays = {
        name: value for name, value in data.inputs.items() if not isinstance(value, (str, bool)) and value is not None
    }
    return arviz_bridge.to_arviz(
        {
            "posterior": posterior.draws,
            "posterior_predictive": fit.posterior_predictive,
            "prior": result.prior,
            "prior_predictive": result.prior_predictive,
            "log_likelihood": fit.log_likelihood,
            "sample_stats": posterior.sample_stats,
            "observed_data": data.observed,
            "constant_data": arrays,
        },
        dims={**data.dims, **posterior.dims},
        coords={**data.coords, **posterior.coords},
        attrs={"backend": posterior.backend, "experiment": result.experiment.name, "seed": result.experiment.seed},
    )


def dump(path: Path, value: Any) -> None:
    path.write_text(json.dumps(jsonable(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def jsonable(value: Any) -> Any:
    """Numbers that JSON does not have (not-a-number, infinities) as null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    return value
