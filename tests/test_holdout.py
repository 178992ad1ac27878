"""Rows kept from the fit: which they are, that they are no part of it, and what cannot be split."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import betaln

from experiments.cli import main
from experiments.config import load_experiment
from experiments.criticism.unseen import score_unseen
from experiments.prepare import prepare
from experiments.rows import independent, rows_of
from experiments.runner import run
from inference import fit
from inference.predict import log_likelihood, prior
from inference.program import read
from inference.streams import workspace
from models import BetaBernoulli, InputError, Table
from models.base import Data

ROOT = Path(__file__).parents[1]
BUNDLED = [
    "configs/checking_accounts",
    "configs/claims",
    "configs/coin_flips",
    "configs/german_credit",
    "configs/penguin_clusters",
    "configs/penguins",
    "configs/seeds",
    "configs/simulated_groups",
    "configs/simulated_slopes",
    "tests/configs/house_votes_84",
    "tests/configs/roaches",
]


@pytest.mark.parametrize("name", BUNDLED)
def test_a_share_of_the_rows_is_kept_from_the_fit(name):
    """Every row is in one part, with the density that it has among all rows."""
    path = ROOT / f"{name}.yaml"
    whole = prepare(load_experiment(path))
    parts = prepare(load_experiment(path, ["scores.holdout=0.3"]))
    assert parts.held_out is not None
    total = len(next(iter(whole.data.observed.values())))
    held = round(0.3 * total)
    assert parts.num_rows == total - held
    for site, values in whole.data.observed.items():
        both = np.concatenate([parts.data.observed[site], parts.held_out.observed[site]])
        assert len(parts.held_out.observed[site]) == held
        np.testing.assert_array_equal(np.sort(both, axis=0), np.sort(values, axis=0))
    with workspace(3):
        program = read(whole.model, whole.data)
        drawn = prior(program, 1)
        latents = {site.name: drawn[site.name] for site in program.latent}
        sums = [
            sum(float(values.sum()) for values in log_likelihood(read(whole.model, data), latents).values())
            for data in (whole.data, parts.data, parts.held_out)
        ]
    assert sums[0] == pytest.approx(sums[1] + sums[2], rel=1e-10)


def test_the_share_goes_by_the_seed():
    rows = [
        prepare(load_experiment(ROOT / "configs/german_credit.yaml", ["scores.holdout=0.2", f"seed={seed}"])).held_out
        for seed in (1, 1, 2)
    ]
    first, again, other = (found.observed["y"] for found in rows if found is not None)
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_a_file_is_held_out_under_the_codes_of_the_fit(tmp_path):
    """Its rows are behind the fitted ones, whatever order its labels have; and they are no part of the fit."""
    (tmp_path / "rows.csv").write_text("y,g\n1,b\n0,a\n1,b\n1,c\n")
    (tmp_path / "later.csv").write_text("g,y\nc,0\na,1\n")
    (tmp_path / "groups.yaml").write_text(
        "name: groups\nmodel: {family: beta_bernoulli, pooling: none}\ninference: exact\n"
        "data: {path: rows.csv, columns: {outcome: y, group: g}}\nscores: {holdout: later.csv}\n"
    )
    experiment = load_experiment(tmp_path / "groups.yaml")
    found = prepare(experiment)
    assert found.held_out is not None and found.num_rows == 4
    assert found.data.observed["y"].tolist() == [1, 0, 1, 1] and found.held_out.observed["y"].tolist() == [0, 1]
    posterior = fit(found.model, found.data, "exact")
    means = posterior.summary()
    assert [means[f"theta[{g}]"]["mean"] for g in "abc"] == pytest.approx([1 / 3, 3 / 4, 2 / 3])
    # p(0 | one success of one) = 1/3, p(1 | one failure of one) = 1/3
    score = score_unseen(found.model, found.held_out, posterior, 0, 1, 1_000_000, binary=True)
    assert score.lpd == pytest.approx(2 * np.log(1 / 3), abs=0.05)
    assert np.exp(score.lpd / 2) == pytest.approx(1 / score.intervals["perplexity"].value)


def test_held_out_density_is_the_beta_binomial_s():
    """log E[theta^y (1 - theta)^(1 - y)] of each row is that of the closed form, to Monte Carlo error."""
    rng = np.random.default_rng(2)
    outcomes = (rng.random(400) < 0.2).astype(int)
    model = BetaBernoulli(prior="beta(2, 2)")
    posterior = fit(model, model.data(Table({"outcome": outcomes[:300]})), "exact", seed=1)
    score = score_unseen(model, model.data(Table({"outcome": outcomes[300:]})), posterior, 0, 1, 1_000_000, binary=True)
    ones, later = outcomes[:300].sum(), outcomes[300:]
    a, b = 2 + ones, 2 + 300 - ones
    expected = betaln(a + later, b + 1 - later) - betaln(a, b)
    assert score.lpd == pytest.approx(expected.sum(), abs=0.05)
    assert score.calibration is not None
    assert score.calibration.brier.score == pytest.approx(np.mean((later - a / (a + b)) ** 2), abs=1e-3)
    assert score.calibration.auc == 0.5  # one rate for all tells nobody apart


def test_numeric_outcomes_have_pit_values_that_are_uniform():
    """Rows drawn from the model itself: PIT values of the held-out ones pass a test of uniformity."""
    path = ROOT / "configs/simulated_slopes.yaml"
    found = prepare(load_experiment(path, ["scores.holdout=0.5", "data.simulate.num_rows=600"]))
    assert found.held_out is not None
    settings = next(iter(load_experiment(path).inference.values()))
    posterior = fit(found.model, found.data, settings, seed=4)
    score = score_unseen(found.model, found.held_out, posterior, 0, 1, 1_000_000, binary=False)
    assert score.quantiles is not None and score.quantiles.uniformity.p_value > 0.01
    assert len(score.quantiles.pit) == 300


REFUSED = {
    "configs/eight_schools": ("0.25", "`effect` has a value for each school: they are not independent"),
    "configs/hidden_markov_earthquakes": ("0.25", "there is one observation, and none can be held out"),
    "configs/coin_flips": ("0.01", "leaves 10 rows to fit of 10"),
    "configs/seeds": ("nowhere.csv", "there is no file `nowhere.csv`"),
    "configs/simulated_groups": ("later.csv", "a file goes with rows that are a table themselves"),
    "tests/configs/roaches": ("roaches.yaml", "must end in one of"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_split_is_refused(name):
    value, rule = REFUSED[name]
    with pytest.raises(InputError) as refused:
        prepare(load_experiment(ROOT / f"{name}.yaml", [f"scores.holdout={value}"]))
    assert "scores.holdout" in str(refused.value) and rule in str(refused.value)


def test_a_word_among_held_out_numbers_is_named(tmp_path):
    (tmp_path / "rows.csv").write_text("y\n1\n0\n1\n")
    (tmp_path / "later.csv").write_text("y\n1\nmaybe\n")
    (tmp_path / "coin.yaml").write_text(
        "name: coin\nmodel: {family: beta_bernoulli}\ninference: exact\n"
        "data: {path: rows.csv, columns: {outcome: y}}\nscores: {holdout: later.csv}\n"
    )
    with pytest.raises(InputError) as refused:
        prepare(load_experiment(tmp_path / "coin.yaml"))
    assert str(refused.value) == (
        "later.csv, column `y`, row 2: must be a number, as in rows.csv, got 'maybe'; correct the value"
    )


def chain(y: torch.Tensor | None = None, num_rows: int = 4, last: torch.Tensor | None = None) -> None:
    import pyro
    import pyro.distributions as dist

    mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
    assert last is not None
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Normal(mu + last.cumsum(0), 1.0))


def test_rows_that_hang_together_are_found_out():
    """A program may tie rows in ways that no name tells: their densities do."""
    from experiments.rows import split

    data = Data({"num_rows": 4, "last": np.arange(4.0)}, {"y": np.zeros(4)}, {}, {"last": ("row",)})
    with pytest.raises(InputError, match="rows of `y` change the density of others"):
        split(chain, data, np.array([False, True, True, False]), 0)


def test_inline_values_are_cut_by_their_length():
    data = Data({"last": np.zeros(4), "num_rows": 4, "scale": 2.0}, {"y": np.arange(4.0)})
    with workspace(0):
        rows = independent(read(chain, dataclass_without(data, "scale")), data)
    part = rows_of(data, rows, np.array([0, 3]))
    assert part.inputs["num_rows"] == 2 and len(part.inputs["last"]) == 2 and part.inputs["scale"] == 2.0
    assert part.observed["y"].tolist() == [0, 3]


def dataclass_without(data: Data, name: str) -> Data:
    return Data({key: value for key, value in data.inputs.items() if key != name}, data.observed)


def test_a_run_tells_what_it_held_out(tmp_path, capsys):
    (tmp_path / "coins.yaml").write_text(
        "name: coins\nmodel: {family: beta_bernoulli}\ninference: exact\nscores: {holdout: 0.5}\n"
        f"data: {{values: {{outcome: {[1, 0, 1, 1] * 10}}}}}\n"
    )
    finished = run(load_experiment(tmp_path / "coins.yaml"), out=tmp_path / "out")
    told = json.loads((tmp_path / "out/criticism.json").read_text())["fits"]["exact"]
    assert told["held_out"]["rows"] == 20 and len(finished.result.data.observed["y"]) == 20
    assert "Of 20 rows that no fit has seen" in (tmp_path / "out/report.html").read_text()
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["data"]["rows"] == 20
    (tmp_path / "new.csv").write_text("anything\n1\n")
    assert main(["predict", str(tmp_path / "out"), "--data", str(tmp_path / "new.csv")]) == 0
    assert "mean" in capsys.readouterr().out
