"""Scores of data too large to hold the log likelihood of every row under every draw: in chunks, the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.config import load_experiment
from experiments.prepare import prepare
from experiments.runner import conclude, run
from inference import fit

SMALL = "max_memory=64 MiB"
LOGISTIC = """
name: wells
seed: 2
model: {family: logistic_regression, formula: "switched ~ scale(dist) + scale(np.log(arsenic))"}
data: {bundled: wells}
inference: {svi: {guide: laplace, num_samples: 1000}}
"""
SLEEP = """
name: amounts
seed: 4
model: {family: zero_inflated, likelihood: poisson, zeros: none, formula: y ~ x}
data: {simulate: {num_rows: 3000, columns: {x: "normal(0, 1)"}, truth: {intercept: 1.0, beta: [0.3]}}}
inference: {svi: {guide: laplace, num_samples: 1000}}
"""
SPECIES = """
name: kinds
seed: 6
model: {family: logistic_regression, likelihood: categorical, formula: y ~ x}
data: {path: kinds.csv}
inference: {svi: {guide: laplace, num_samples: 1000}}
"""


def criticised(path, *overrides):
    """Of a config: in memory, and in chunks, from the same draws."""
    found = []
    for memory in ("max_memory=4 GiB", SMALL):
        experiment = load_experiment(path, [memory, *overrides])
        prepared = prepare(experiment)
        ((name, settings),) = experiment.inference.items()
        posterior = fit(prepared.model, prepared.data, settings, seed=1)
        result = conclude(experiment, prepared, {name: posterior})
        stored = result.fits[name].log_likelihood["y"].shape[1]
        assert stored < 400 if memory == SMALL else stored == 1000
        found.append(result.criticism[name])
    return found


@pytest.mark.parametrize("text", [LOGISTIC, SLEEP, SPECIES], ids=["binary", "counts", "classes"])
def test_chunks_give_what_memory_gives(text, tmp_path):
    rng = np.random.default_rng(3)
    x = rng.normal(size=3000).round(3)
    kinds = np.array(["a", "b", "c"])[(x + rng.normal(size=3000) > 0).astype(int) + (rng.random(3000) < 0.2)]
    (tmp_path / "kinds.csv").write_text("x,y\n" + "".join(f"{a},{b}\n" for a, b in zip(x, kinds, strict=True)))
    (tmp_path / "large.yaml").write_text(text)
    whole, parts = criticised(tmp_path / "large.yaml")
    assert whole.loo is not None and parts.loo is not None and parts.waic is None
    np.testing.assert_allclose(parts.loo.pointwise, whole.loo.pointwise, rtol=1e-9)
    np.testing.assert_allclose(parts.loo.k, whole.loo.k, rtol=1e-6)
    if whole.calibration is not None and parts.calibration is not None:
        assert parts.calibration.brier == pytest.approx(whole.calibration.brier, abs=1e-9)
        assert parts.calibration.ece == pytest.approx(whole.calibration.ece, abs=1e-9)
    elif whole.classes is not None and parts.classes is not None:
        np.testing.assert_allclose(parts.classes.predicted, whole.classes.predicted, atol=1e-9)
        assert parts.classes.confusion == whole.classes.confusion
    else:
        assert whole.quantiles is not None and parts.quantiles is not None
        # other generated outcomes, of the same law
        assert np.abs(parts.quantiles.pit - whole.quantiles.pit).max() < 0.15
        assert parts.quantiles.uniformity.p_value > 0.01


PROGRAMS = """
import pyro
import pyro.distributions as dist


def counted(x, num_rows):
    # its rows are as many as it says, whatever it is given
    mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
    with pyro.plate("row", 6000):
        pyro.sample("y", dist.Normal(mu + x, 1.0))


def centred(x, num_rows):
    # a row's mean depends on all other rows
    mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Normal(mu + 3 * (x - x.mean()), 1.0))


def two(x, num_rows):
    mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
    pyro.sample("z", dist.Normal(mu, 1.0))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Normal(mu + x, 1.0))
"""


@pytest.mark.parametrize("program", ["counted", "centred", "two"])
def test_a_program_that_cannot_be_cut_keeps_its_fit(program, tmp_path):
    """It is scored by the draws that memory holds, or told that these are too few; nothing is lost."""
    rng = np.random.default_rng(8)
    (tmp_path / "programs.py").write_text(PROGRAMS)
    x = np.sort(rng.normal(size=6000)).round(3)
    (tmp_path / "rows.csv").write_text("x,y\n" + "".join(f"{a},{a + rng.normal():.3f}\n" for a in x))
    observed = "[y, z]" if program == "two" else "[y]"
    values = ", values: {z: 0.3}" if program == "two" else ""
    (tmp_path / "large.yaml").write_text(
        f"name: large\nmodel: {{program: 'programs.py:{program}'}}\n"
        f"data: {{path: rows.csv, observed: {observed}{values}}}\ninference: exact\n{SMALL.replace('=', ': ')}\n"
    )
    finished = run(load_experiment(tmp_path / "large.yaml"), out=tmp_path / "out")
    found = finished.result.criticism["exact"]
    assert (tmp_path / "out/report.html").is_file() and found.loo is None
    assert found.told["scores"].startswith("Leaving rows out needs 100 draws or more; there are ")
