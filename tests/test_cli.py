"""The command line: what it prints, and how it ends."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from experiments.config import Experiment, load_experiment
from experiments.prepare import num_rows
from experiments.results import Agreement, Check, Fit, Result
from experiments.terminal import RunProgress, result_table
from inference.posterior import Posterior
from inference.settings import BACKENDS
from models import FAMILIES
from models.base import Data, Story
from models.priors import PRIORS

ROOT = Path(__file__).parent.parent
COIN = """\
name: coin
model: {family: beta_bernoulli, prior: "beta(2, 2)"}
data: {values: {outcome: [1, 1, 0]}}
inference: [exact, nuts]
"""
SLOW = ("torch", "pyro", "arviz", "pandas", "matplotlib", "scipy", "formulaic", "xarray")


def experiment(folder: Path) -> Experiment:
    (folder / "coin.yaml").write_text(COIN)
    return load_experiment(folder / "coin.yaml")


def a_result(folder: Path, *, failed: int = 0, terms: int = 2) -> Result:
    """A made-up result of two backends: draws of `theta` are 0, 0.01, ..., 1, of `beta[k]` 0, 1, ..., 100 plus 10 k."""
    grid = np.arange(101.0)[None, :]
    draws = {"theta": grid / 100, "beta": grid[..., None] + 10 * np.arange(terms)}
    dims = {"theta": (), "beta": ("term",)}
    coords = {"term": [f"bold x{k}" for k in range(terms)]}
    fits = {}
    for backend in ("exact", "nuts"):
        posterior = Posterior(backend, draws, dims, coords)
        summary = posterior.summary()
        if backend == "nuts":
            summary = {name: {**row, "ess_bulk": 812.4, "r_hat": 1.0016} for name, row in summary.items()}
        fits[backend] = Fit(posterior, summary, {}, {})
    checks = [Check("r_hat", "nuts", 1.2, 1.01, k >= failed, f"R-hat of [beta] is 1.2{k}") for k in range(3)]
    means = {backend: {"mean": 0.5, "sd": 0.29} for backend in fits}
    agreement = {"theta": Agreement(means, 0.0123, None, 0.02, "agree")}
    return Result(experiment(folder), Story("", "", ""), Data(), fits, {}, {}, tuple(checks), agreement, {})


def shown(renderable: object, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def coin(monkeypatch, tmp_path):
    """`coin(run)` writes `coin.yaml` and puts `run` in the place of the real one: here the command line is tested."""

    def install(run=None):
        monkeypatch.setitem(sys.modules, "experiments.runner", SimpleNamespace(run=run))
        (tmp_path / "coin.yaml").write_text(COIN)

    return install


def test_help_names_every_command(run_cli):
    ended = run_cli("--help")
    assert ended.code == 0
    for command in ("run", "check", "schema", "list"):
        assert f"\n    {command} " in ended.out
        assert run_cli(command, "--help").code == 0


@pytest.mark.parametrize(
    "arguments", [(), ("runn",), ("run",), ("check", "a.yaml", "b.yaml"), ("schema", "--out", "x")]
)
def test_wrong_usage_exits_with_2(run_cli, arguments):
    ended = run_cli(*arguments)
    assert ended.code == 2 and ended.err.startswith("usage: pyrozoo")


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(
    ("text", "options", "line"),
    [
        (None, (), "error: coin.yaml: there is no such file; check the path\n"),
        ("", (), "error: coin.yaml: is empty; write at least `name`, `model`, `data` and `inference`\n"),
        (
            COIN.replace("prior", "priro"),
            (),
            "error: coin.yaml:2: model.priro: not a setting of `beta_bernoulli`; did you mean `prior`?\n",
        ),
        (
            COIN,
            ("--set", "inference.nuts.num_sample=3"),
            "error: --set inference.nuts.num_sample: not a setting of `nuts`; did you mean `num_samples`?\n",
        ),
        (
            COIN,
            ("--set", "seed=3", "--set", "seed"),
            "error: --set: must be key=value, got 'seed'; write it like `--set inference.nuts.num_samples=50`\n",
        ),
    ],
)
def test_wrong_input_is_one_line_and_exits_with_1(run_cli, coin, tmp_path, command, text, options, line):
    coin()
    (tmp_path / "coin.yaml").unlink()
    if text is not None:
        (tmp_path / "coin.yaml").write_text(text)
    assert run_cli(command, "coin.yaml", *options) == (1, "", line)
    assert [path.name for path in tmp_path.iterdir()] == ([] if text is None else ["coin.yaml"])


@pytest.mark.parametrize(("failed", "code"), [(0, 0), (1, 3)])
@pytest.mark.parametrize("quiet", [(), ("--quiet",)])
def test_run_ends_with_the_verdict_of_the_checks(run_cli, coin, tmp_path, failed, code, quiet):
    asked = []

    def run(experiment, out, progress):
        asked.append((experiment.seed, out))
        progress("nuts, chain 1 of 1", 10, 10)
        return SimpleNamespace(result=a_result(tmp_path, failed=failed), path=Path("runs/coin"))

    coin(run)
    ended = run_cli("run", "coin.yaml", "--out", "there", "--set", "seed=5", *quiet)
    assert ended.code == code
    assert asked == [(5, Path("there"))]
    lines = ended.out.splitlines()
    assert lines[0] == (
        "coin: Do not trust this run yet: 1 of 3 checks failed" if failed else "coin: Every check holds (3)"
    )
    assert lines[-1] == "report: runs/coin/report.html"
    assert ("beta[bold x0]" in ended.out) == (not quiet)
    assert ended.err == ("" if quiet else "nuts, chain 1 of 1: 10 of 10\n")


def test_check_says_what_it_found(run_cli, coin):
    coin()
    assert run_cli("check", "coin.yaml") == (0, "coin.yaml: ok: beta_bernoulli, 3 rows, inference: exact, nuts\n", "")


def test_rows_of_a_sequence_are_those_of_its_table(run_cli):
    Path("series.yaml").write_text(
        "name: series\nmodel: {family: hidden_markov, emission: poisson}\n"
        "data: {values: {y: [1, 0, 4, 5]}}\ninference: nuts\n"
    )
    assert run_cli("check", "series.yaml").out == "series.yaml: ok: hidden_markov, 4 rows, inference: nuts\n"


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (Data({"num_rows": 3}, {"y": np.zeros(3)}), 3),
        (Data({"num_rows": 4}), 4),
        (Data({}, {"y": np.zeros((7, 2)), "z": np.array(1.0)}), 7),
        (Data({}, {"y": np.array(1.0)}), 1),
        (Data(), 0),
    ],
)
def test_rows_are_counted_in_every_kind_of_data(data, rows):
    assert num_rows(data) == rows


def test_an_interrupted_run_says_so(run_cli, coin):
    def run(experiment, out, progress):
        raise KeyboardInterrupt

    coin(run)
    assert run_cli("run", "coin.yaml") == (130, "", "interrupted: no finished run was left behind\n")


def test_a_bug_keeps_its_traceback(run_cli, coin):
    def run(experiment, out, progress):
        raise ZeroDivisionError

    coin(run)
    with pytest.raises(ZeroDivisionError):
        run_cli("run", "coin.yaml")


def test_schema_prints_json(run_cli):
    ended = run_cli("schema")
    assert ended.code == 0 and ended.err == ""
    assert json.loads(ended.out)["properties"]["name"]["type"] == "string"


def test_list_prints_every_table(run_cli):
    from experiments.datasets import BUNDLED

    ended = run_cli("list")
    assert ended.code == 0
    for title in ("families", "backends", "guides of svi", "priors", "bundled data"):
        assert f"{title}\n" in ended.out
    for name in (*FAMILIES, *BACKENDS, *BUNDLED, "multivariate_normal", "laplace"):
        assert f"\n  {name}" in ended.out
    for name in PRIORS:
        assert f"\n  {name}(" in ended.out
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert "beta(concentration1, concentration0) unit interval" in lines
    assert "horseshoe(relevant, slab_df, slab_scale) real, for coefficients of which few matter" in lines


def test_a_reader_who_leaves_early_sees_no_complaint():
    """As in `pyrozoo schema | head -1`."""
    command = [sys.executable, "-m", "experiments.cli", "schema"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        complaint = process.stderr.read()
    assert (process.returncode, complaint) == (141, b"")


HELP = """
import sys
from experiments.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
"""
LOAD = """
import sys
from experiments.config import load_experiment
load_experiment(sys.argv[1])
"""


@pytest.mark.parametrize("code", [HELP, LOAD], ids=["help", "config"])
def test_help_and_config_import_nothing_slow(tmp_path, code):
    (tmp_path / "coin.yaml").write_text(COIN)
    code += f"print('slow:', *[name for name in {SLOW!r} if name in sys.modules])"
    command = [sys.executable, "-c", code, str(tmp_path / "coin.yaml")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "slow:"


def test_the_table_says_the_essential(tmp_path):
    text = shown(result_table(a_result(tmp_path, failed=2)))
    lines = [line.split() for line in text.splitlines() if line.strip()]
    assert text.startswith("coin: Do not trust this run yet: 2 of 3 checks failed")
    assert "  nuts: R-hat of [beta] is 1.20\n" in text and "1.22" not in text
    # theta is uniform on n = 101 points, 0.01 apart: variance (n^2 - 1) / 12 steps squared, by n / (n - 1) for ddof 1
    sd = f"{np.sqrt((101**2 - 1) / 12 * 101 / 100) / 100:.3f}"
    assert ["exact", "theta", "0.500", sd, "0.025", "0.975"] in lines
    assert ["nuts", "theta", "0.500", sd, "0.025", "0.975", "812", "1.002"] in lines
    assert ["beta[bold", "x1]", "60.0", "29.3", "12.5", "107.5"] in lines
    assert ["theta", "0.500", "0.500", "0.012", "-", "0.02", "agree"] in lines


def test_a_long_table_ends_with_how_much_is_left(tmp_path):
    text = shown(result_table(a_result(tmp_path, terms=40)))
    assert "beta[bold x10]" in text and "beta[bold x11]" not in text
    assert "29 more variables are in the report\n" in text


def test_the_verdict_without_checks(tmp_path):
    result = a_result(tmp_path)
    assert Result(**{**vars(result), "checks": ()}).verdict.startswith("No check was run")


def test_progress_into_a_file_is_a_line_for_each_task():
    console = Console(file=io.StringIO(), width=20)
    with RunProgress(console) as progress:
        for done in (0, 5, 10, 10):
            progress("nuts, chain 1 of 2 [a]", done, 10, "3 divergences")
        progress("svi", 4, 10)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "nuts, chain 1 of 2 [a]: 10 of 10, 3 divergences\n"


def test_progress_on_a_terminal_is_a_bar_for_each_task():
    console = Console(file=io.StringIO(), width=120, force_terminal=True, force_interactive=True, color_system=None)
    with RunProgress(console) as progress:
        progress("svi [map]", 3, 10, "elbo [-7.0]")
        progress("nuts", 10, 10)
        assert [(task.description, task.completed, task.total) for task in progress.bars.tasks] == [
            ("svi [map]", 3, 10),
            ("nuts", 10, 10),
        ]
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "svi [map]" in text and " 30% " in text and "elbo [-7.0]" in text and "100% " in text
