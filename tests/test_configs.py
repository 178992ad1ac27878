"""Every config of the repository, at a small size: it is valid, runs, and leaves a complete run folder."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import load_experiment
from experiments.config import Experiment
from experiments.settings import Checks
from inference import arviz_bridge

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))

SMALL: dict[str, tuple[str, ...]] = {
    "exact": ("num_samples=50",),
    "svi": ("num_restarts=1", "max_steps=200", "num_particles=2", "num_samples=100"),
    "nuts": ("num_chains=2", "num_warmup=15", "num_samples=15", "max_tree_depth=5"),
}
# what so few steps cannot keep; the checks that are left must hold
LOOSE = tuple(f"checks.{name}=null" for name in Checks.__dataclass_fields__)

COLUMNS = ("mean", "sd", "mcse_mean", "ess_bulk", "ess_tail", "r_hat", "q5", "q25", "q50", "q75", "q95")
GROUPS = {"posterior", "posterior_predictive", "prior", "prior_predictive", "log_likelihood", "observed_data"}


def small(path: Path) -> list[str]:
    """The overrides that make a run of this config short."""
    backends = load_experiment(path).inference
    sizes = [f"inference.{backend}.{setting}" for backend in backends for setting in SMALL[backend]]
    return [*sizes, *LOOSE]


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_there_are_configs():
    assert {path.stem for path in CONFIGS} >= {"coin_flips", "german_credit"}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_is_valid(run_cli, path):
    ended = run_cli("check", path)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"{path}: ok: ")
    assert load_experiment(path).name == path.stem, "the run folder is called like the config"
    assert path.read_text(encoding="utf-8").startswith("# "), "the first line says what the experiment asks"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_runs(run_cli, tmp_path, path):
    overrides = small(path)
    ended = run_cli("run", path, *(word for setting in overrides for word in ("--set", setting)))
    assert ended.code == 0, ended
    assert ended.out.splitlines()[-1] == f"report: runs/{path.stem}/report.html"
    experiment = load_experiment(path, overrides)
    folder = tmp_path / "runs" / path.stem
    backends = list(experiment.inference)

    names = {entry.name for entry in folder.iterdir()}
    expected = {"config.yaml", "manifest.json", "summary.json", "checks.json", "criticism.json"}
    expected |= {"report.html", "figures", "estimates.json"}
    scored = json.loads((folder / "criticism.json").read_text(encoding="utf-8"))["fits"]
    expected |= {f"scores-{backend}.csv" for backend, own in scored.items() if "loo" in own}
    expected |= {f"posterior-{backend}.nc" for backend in backends} | ({"agreement.json"} if backends[1:] else set())
    assert names == expected

    assert load_experiment(folder / "config.yaml") == experiment
    summary = read(folder / "summary.json")
    assert list(summary) == backends
    for backend in backends:
        the_summary_is_complete(summary[backend], backend)
        the_draws_are_complete(folder / f"posterior-{backend}.nc", experiment, backend, summary[backend])
    the_checks_are_complete(read(folder / "checks.json"), backends)
    the_manifest_is_complete(read(folder / "manifest.json"), experiment)
    if backends[1:]:
        the_agreement_is_complete(read(folder / "agreement.json"), summary)
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert report.startswith("<!DOCTYPE html>") and report.rstrip().endswith("</html>")
    assert len(list((folder / "figures").glob("*.png"))) == report.count("data:image/png;base64,") > 0


def the_summary_is_complete(table: dict[str, dict[str, float | None]], backend: str) -> None:
    assert table
    for variable, row in table.items():
        assert tuple(row) == COLUMNS, variable
        known = [row[key] for key in ("mean", "sd", "q5", "q25", "q50", "q75", "q95")]
        assert all(isinstance(value, float) and math.isfinite(value) for value in known), variable
        assert known[2:] == sorted(known[2:]) and known[1] >= 0, variable
        if backend != "nuts":
            assert (row["ess_bulk"], row["ess_tail"], row["r_hat"]) == (None, None, None), variable


def the_draws_are_complete(path: Path, experiment: Experiment, backend: str, table: dict[str, Any]) -> None:
    groups = arviz_bridge.datasets(arviz_bridge.load(path))
    assert set(groups) - {"constant_data"} == GROUPS | ({"sample_stats"} if backend == "nuts" else set())
    settings = experiment.inference[backend]
    chains = getattr(settings, "num_chains", 1)
    posterior = groups["posterior"]
    assert dict(posterior.sizes)["chain"] == chains and dict(posterior.sizes)["draw"] == settings.num_samples
    assert sum(math.prod(array.shape[2:]) for array in posterior.values()) == len(table)
    for group in groups.values():
        for name, array in group.items():
            assert np.isfinite(array.values).all(), name
    for name, observed in groups["observed_data"].items():
        for group in ("posterior_predictive", "prior_predictive"):
            assert groups[group][name].dims == ("chain", "draw", *observed.dims)
            assert groups[group][name].shape[2:] == observed.shape
        # the columns of one row may have one density together
        assert groups["log_likelihood"][name].shape[2:] in (observed.shape, observed.shape[:1])
    assert set() < set(groups["prior"]) <= set(posterior)  # quantities are functions of posterior draws alone
    if backend == "nuts":
        assert {"diverging", "tree_depth", "energy", "acceptance_rate", "step_size"} <= set(groups["sample_stats"])


def the_checks_are_complete(checks: list[dict[str, Any]], backends: list[str]) -> None:
    for check in checks:
        assert list(check) == ["name", "backend", "value", "threshold", "passed", "message"]
        assert check["passed"] is True and check["message"]
    assert [check["backend"] for check in checks if check["name"] == "non-finite values"] == backends


def the_manifest_is_complete(manifest: dict[str, Any], experiment: Experiment) -> None:
    assert {"name", "created", "seed", "versions", "data", "backends"} <= set(manifest)
    assert (manifest["name"], manifest["seed"]) == (experiment.name, experiment.seed)
    assert len(manifest["data"]["sha256"]) == 64
    assert list(manifest["backends"]) == list(experiment.inference)
    only = {
        "exact": {"log_evidence"},
        "svi": {"guide", "final_elbo", "steps"},
        "nuts": {"gradients", "step_size", "divergences"},
    }
    for backend, facts in manifest["backends"].items():
        assert set(facts["seconds"]) == {"setup", "warmup", "sampling"}
        assert only[backend] <= set(facts)


def the_agreement_is_complete(agreement: dict[str, Any], summary: dict[str, Any]) -> None:
    backends = list(summary)
    assert list(agreement) == list(summary[backends[0]])
    for variable, row in agreement.items():
        assert list(row) == [*backends, "max_gap_sd", "max_gap_mcse", "max_w1_sd", "verdict"]
        for backend in backends:
            assert row[backend] == {key: summary[backend][variable][key] for key in ("mean", "sd")}
