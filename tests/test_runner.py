"""An experiment from end to end: its numbers, its folder, its exit code, and what is left when it is stopped."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from experiments import load_experiment, run, runner

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "configs"
COIN = """\
name: coin
seed: 7
model: {family: beta_bernoulli, prior: "beta(2, 2)"}
data: {values: {outcome: [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]}}
inference: exact
"""
SHORT = ("inference.nuts.num_chains=2", "inference.nuts.num_warmup=20", "inference.nuts.num_samples=20")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "coin.yaml").write_text(COIN)


def everything() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*"))


def read(path: str) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def first_words(report: Path) -> str:
    """The first paragraph of a report's page, without tags."""
    body = report.read_text(encoding="utf-8").split("<body>")[1]
    match = re.search(r"<p>(.*?)</p>", body, re.DOTALL)
    assert match is not None
    return match[1].strip()


def test_ten_flips_have_the_known_posterior_by_every_backend(run_cli):
    ended = run_cli("run", CONFIGS / "coin_flips.yaml", "--quiet", "--set", "inference.svi.num_restarts=1")
    assert ended.code == 0 and ended.err == ""
    summary = read("runs/coin_flips/summary.json")
    assert list(summary) == ["exact", "svi", "nuts"]

    # Beta(2, 2) and seven ones among ten: Beta(9, 5)
    exact = summary["exact"]["theta"]
    assert exact["mean"] == pytest.approx(9 / 14, abs=1e-9)
    assert exact["sd"] == pytest.approx(math.sqrt(9 * 5 / (14**2 * 15)), abs=1e-9)
    for key, probability in {"q5": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}.items():
        assert exact[key] == pytest.approx(scipy.stats.beta(9, 5).ppf(probability), abs=1e-9)
    assert exact["mcse_mean"] == 0
    assert all(exact[key] is None for key in ("ess_bulk", "ess_tail", "r_hat"))
    manifest = read("runs/coin_flips/manifest.json")
    assert manifest["backends"]["exact"]["log_evidence"] == pytest.approx(-6.977747650802, abs=1e-9)
    assert manifest["seed"] == 7 and manifest["data"]["rows"] == 10

    for backend in ("svi", "nuts"):
        found = summary[backend]["theta"]
        # svi: its own error is not Monte Carlo; a normal on the logit scale is within a twentieth of an sd here
        assert abs(found["mean"] - 9 / 14) < 4 * found["mcse_mean"] + (0.05 * exact["sd"] if backend == "svi" else 0)
        # of 400 effective draws a standard deviation has an error of 1 / sqrt(800), 3.5%
        assert found["sd"] == pytest.approx(exact["sd"], rel=4 * 0.035)
    assert all(summary["nuts"]["theta"][key] > 0 for key in ("ess_bulk", "ess_tail", "r_hat"))
    assert all(summary["svi"]["theta"][key] is None for key in ("ess_bulk", "ess_tail", "r_hat"))

    agreement = read("runs/coin_flips/agreement.json")["theta"]
    assert list(agreement) == ["exact", "svi", "nuts", "max_gap_sd", "max_gap_mcse", "max_w1_sd", "verdict"]
    assert agreement["verdict"] == "agree"
    gaps = [abs(summary[backend]["theta"]["mean"] - exact["mean"]) for backend in summary]
    assert agreement["max_gap_sd"] == pytest.approx(max(gaps) / exact["sd"])
    checks = read("runs/coin_flips/checks.json")
    assert {check["backend"] for check in checks} == set(summary) and all(check["passed"] for check in checks)
    assert first_words(Path("runs/coin_flips/report.html")).startswith("Every check holds")


def test_backends_keep_the_order_of_the_config():
    order = "{nuts: {num_chains: 2, num_warmup: 20, num_samples: 20}, svi: {guide: map}, exact: {num_samples: 10}}"
    Path("coin.yaml").write_text(COIN.replace("exact", order))
    asked: list[str] = []
    finished = run(load_experiment("coin.yaml"), progress=lambda task, *rest: asked.append(task.split()[0].rstrip(",")))
    assert list(finished.result.fits) == ["nuts", "svi", "exact"]
    assert list(read("runs/coin/summary.json")) == ["nuts", "svi", "exact"]
    assert list(read("runs/coin/manifest.json")["backends"]) == ["nuts", "svi", "exact"]
    # but exact goes first, since it refuses at once what it cannot serve
    assert list(dict.fromkeys(asked)) == ["exact", "nuts", "svi"]


def test_a_refusal_by_one_backend_leaves_nothing(run_cli):
    before = everything()
    ended = run_cli("run", CONFIGS / "wells.yaml", "--set", "inference=[nuts, exact]")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        "error: `exact` cannot fit LogisticRegression: site `intercept` (Normal) is not conjugate to "
        "`y` (Bernoulli with logits); use `nuts` or `svi`\n"
    )
    assert everything() == before


def test_a_failed_check_ends_with_3_and_heads_the_report(run_cli):
    settings = [
        word for setting in ("inference={nuts: }", *SHORT, "checks.min_ess=4000") for word in ("--set", setting)
    ]
    ended = run_cli("run", "coin.yaml", "--quiet", *settings)
    assert ended.code == 3 and ended.err == ""
    assert ended.out.startswith("coin: ") and "failed" in ended.out.splitlines()[0]
    checks = {check["name"]: check for check in read("runs/coin/checks.json")}
    for name in ("bulk ESS", "tail ESS"):
        assert checks[name]["passed"] is False and checks[name]["threshold"] == 4000
        assert checks[name]["value"] <= 4000
    failed = sum(not check["passed"] for check in checks.values())
    report = Path("runs/coin/report.html")
    assert first_words(report) == f"Do not trust this run yet: {failed} of {len(checks)} checks failed:"
    text = report.read_text(encoding="utf-8")
    assert 0 < text.index("smallest bulk ESS") < text.index("<h1>")


def test_simulated_data_keep_their_truth(run_cli):
    ended = run_cli("run", CONFIGS / "simulated_groups.yaml", "--quiet", "--set", "inference=exact")
    assert ended.code == 0
    folder = Path("runs/simulated_groups")
    finished = run(load_experiment(CONFIGS / "simulated_groups.yaml", ["inference=exact"]))
    truth = finished.result.truth["theta"]
    assert list(finished.result.truth) == ["theta"] and truth.shape == (5,)

    # closed form: Beta(4 + ones, 4 + zeros) for each group, from the data that were drawn
    group, y = (np.asarray(finished.result.data.inputs["group"]), finished.result.data.observed["y"])
    ones = np.bincount(group, weights=y)
    posterior = scipy.stats.beta(4 + ones, 4 + np.bincount(group) - ones)
    summary = read(f"{folder}/summary.json")["exact"]
    assert [summary[f"theta[{label}]"]["mean"] for label in "abcde"] == pytest.approx(posterior.mean(), abs=1e-9)
    held = int(np.sum((posterior.ppf(0.025) <= truth) & (truth <= posterior.ppf(0.975))))
    assert held >= 3  # five intervals of 95%: fewer than three hold the truth in one of 800 data sets

    text = (folder / "report.html").read_text(encoding="utf-8")
    assert f"The 95% intervals hold {held} of 5 true values." in text
    assert text.count(">inside<") == held and text.count(">outside<") == 5 - held
    assert read(f"{folder}/manifest.json")["data"]["source"] == "simulated"


def test_a_fixed_truth_is_the_truth():
    Path("coin.yaml").write_text(
        COIN.replace(
            "values: {outcome: [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]}", "simulate: {num_rows: 40, truth: {theta: 0.85}}"
        )
    )
    result = run(load_experiment("coin.yaml")).result
    assert result.truth["theta"] == pytest.approx(0.85)
    assert result.data.observed["y"].shape == (40,)
    assert 25 < result.data.observed["y"].sum() <= 40  # binomial(40, 0.85): below 26 once in 2,000


def test_the_same_config_gives_the_same_numbers():
    sampled = ["inference={exact: , svi: {guide: laplace}, nuts: }", *SHORT]
    paths = [run(load_experiment("coin.yaml", sampled)).path for _ in range(2)]
    assert [str(path) for path in paths] == ["runs/coin", "runs/coin-2"]
    for name in ("summary.json", "checks.json", "agreement.json", "config.yaml"):
        first, second = ((path / name).read_bytes() for path in paths)
        assert first == second, name
    other = run(load_experiment("coin.yaml", [*sampled, "seed=8"])).path
    first, second = (read(f"{path}/summary.json") for path in (paths[0], other))
    assert first["exact"]["theta"]["mean"] == second["exact"]["theta"]["mean"]
    assert first["nuts"] != second["nuts"] and first["svi"] != second["svi"]


def test_a_run_beside_another_backend_has_the_same_numbers():
    short = ["inference={nuts: }", *SHORT]
    alone = run(load_experiment("coin.yaml", short)).path
    together = run(load_experiment("coin.yaml", ["inference={svi: {guide: map}, nuts: , exact: }", *SHORT])).path
    assert read(f"{alone}/summary.json")["nuts"] == read(f"{together}/summary.json")["nuts"]
    assert not (alone / "agreement.json").exists() and (together / "agreement.json").exists()


def test_out_names_the_folder_once(run_cli):
    assert run_cli("run", "coin.yaml", "--quiet", "--out", "here/it/is").code == 0
    before = everything()
    assert "here/it/is/report.html" in before and not Path("runs").exists()
    ended = run_cli("run", "coin.yaml", "--quiet", "--out", "here/it/is")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        "error: --out here/it/is: there is something already; name a new folder; a finished run is never overwritten\n"
    )
    assert everything() == before


@pytest.mark.parametrize("part", ["fit", "conclude", "build"])
@pytest.mark.parametrize("fault", [KeyboardInterrupt, ZeroDivisionError])
def test_a_run_that_is_stopped_leaves_nothing(run_cli, monkeypatch, fault, part):
    def stop(*args, **options):
        raise fault

    monkeypatch.setattr(runner, part, stop)
    before = everything()
    if fault is KeyboardInterrupt:
        assert run_cli("run", "coin.yaml", "--quiet") == (130, "", "interrupted: no finished run was left behind\n")
    else:
        with pytest.raises(ZeroDivisionError):  # a bug of ours: its traceback is wanted
            run_cli("run", "coin.yaml", "--quiet")
    assert everything() == before


def test_a_killed_run_does_not_look_finished():
    long = "inference={exact: , nuts: {num_warmup: 100000}}"
    command = [sys.executable, "-m", "experiments.cli", "run", "coin.yaml", "--set", long]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "exact: 1 of 1, proved\n"  # so nuts is under way
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert not Path("runs/coin").exists()
    assert not list(Path("runs").rglob("report.html")) and not list(Path("runs").rglob("summary.json"))
    assert str(run(load_experiment("coin.yaml")).path) == "runs/coin"


def test_a_run_is_an_arviz_object_and_a_table():
    finished = run(load_experiment("coin.yaml", ["inference={exact: {num_samples: 30}, svi: {guide: laplace}}"]))
    first, second = finished.arviz(), finished.arviz("svi")
    assert first.attrs["backend"] == "exact" and second.attrs["backend"] == "svi"
    assert np.array_equal(first["posterior"]["theta"].values, finished.result.fits["exact"].posterior.draws["theta"])
    assert first["posterior"]["theta"].sizes == {"chain": 4, "draw": 30}
    assert "<table>" in finished._repr_html_() and "theta" in finished._repr_html_()


def test_a_program_without_a_story_has_its_sites_listed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(
        "import pyro, pyro.distributions as dist\n"
        "def own(num_rows):\n"
        "    mu = pyro.sample('mu', dist.Normal(0.0, 1.0))\n"
        "    with pyro.plate('row', num_rows):\n"
        "        pyro.sample('y', dist.Normal(mu, 1.0))\n"
    )
    (tmp_path / "own.yaml").write_text(
        "name: own\nmodel: {program: 'own.py:own'}\ndata: {values: {y: [0.5, 1.5]}, observed: [y]}\ninference: exact\n"
    )
    told = run(load_experiment("own.yaml")).result.story
    assert told.block == "mu      ~ Normal\ny[row]  ~ Normal, observed"
