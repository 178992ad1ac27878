"""What warm-up decides: when it ends, which step size it keeps, which chains it moves."""

from __future__ import annotations

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

from inference import Nuts, fit
from inference.nuts import machine
from inference.nuts.sampler import worth
from models.base import Data


def normals(size: int) -> None:
    pyro.sample("x", dist.Normal(torch.zeros(size), 1.0).to_event(1))


def two_modes(weight: float) -> None:
    """A broad mode at 0, and one 30 sds away with the log density of the whole region lowered."""
    x = pyro.sample("x", dist.Normal(torch.tensor(0.0), 20.0))
    far = torch.tensor(weight) - 0.5 * ((x - 2.0) / 0.05) ** 2
    pyro.factor("modes", torch.logaddexp(-0.5 * ((x + 2.0) / 0.05) ** 2, far))


def given(**inputs: float) -> Data:
    return Data(inputs, {})


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("compile", ["always", "never"])
def test_the_same_seed_gives_the_same_draws_on_any_number_of_threads(compile, num_threads):
    settings = Nuts(num_chains=20, num_warmup=60, num_samples=20, compile=compile)
    draws = [
        fit(normals, given(size=3), settings, seed=4, num_threads=threads).draws["x"] for threads in (1, num_threads)
    ]
    assert np.array_equal(*draws)


def test_machine_code_and_graph_find_one_posterior():
    """Rounding differs, and a chaotic trajectory magnifies it: draws differ, their distribution does not."""
    codes = [fit(normals, given(size=4), Nuts(compile=how), seed=5).draws["x"] for how in ("always", "never")]
    for draws in codes:
        assert np.abs(draws.mean(axis=(0, 1))).max() < 4 / np.sqrt(2000)
        assert np.abs(draws.var(axis=(0, 1)) - 1).max() < 4 * np.sqrt(2 / 2000)


def test_warm_up_ends_early_where_chains_agree_and_not_where_they_cannot():
    easy = fit(normals, given(size=5), Nuts(num_samples=50), seed=1)
    assert easy.facts["warmup_transitions"] < 300
    hard = fit(two_modes, given(weight=0.0), Nuts(num_samples=50), seed=1)
    assert hard.facts["warmup_transitions"] == 400


def test_few_chains_cannot_agree():
    assert fit(normals, given(size=5), Nuts(num_chains=4, num_samples=20), seed=1).facts["warmup_transitions"] == 400


def test_chains_leave_a_mode_of_no_mass_and_stay_in_one_that_counts():
    """The other mode has e^-60 of the mass, then half of it."""
    moved = fit(two_modes, given(weight=-60.0), Nuts(num_samples=50), seed=2)
    assert moved.facts["moved_chains"] > 0
    assert moved.draws["x"].max() < 0
    kept = fit(two_modes, given(weight=0.0), Nuts(num_samples=50), seed=2)
    assert kept.facts["moved_chains"] == 0
    assert 0 < (kept.draws["x"] > 0).mean() < 1


def test_longer_steps_where_they_pay():
    easy = fit(normals, given(size=12), Nuts(num_samples=100), seed=3)
    asked = fit(normals, given(size=12), Nuts(num_samples=100, target_accept_prob=0.8), seed=3)
    assert easy.facts["step_size"] > 1.1 * asked.facts["step_size"]
    assert easy.sample_stats["n_steps"].mean() < 0.7 * asked.sample_stats["n_steps"].mean()


def recorded(draws: np.ndarray, n_steps: int) -> machine.Record:
    """A record of a window, half of which is filled."""
    record = machine.new_record(draws.shape[0], 2 * draws.shape[1], draws.shape[2])
    record.rows[:, : draws.shape[1], 0] = draws
    record.statistics["n_steps"][:, : draws.shape[1]] = n_steps
    rates = np.random.default_rng(2).uniform(0.6, 1.0, draws.shape[:2])
    record.statistics["acceptance_rate"][:, : draws.shape[1]] = rates
    return record


def test_worth_is_effective_draws_per_gradient():
    rng = np.random.default_rng(1)
    independent = rng.normal(size=(400, 40, 3))
    assert worth(recorded(independent, 7)) == pytest.approx(1 / 7, rel=0.1)
    sticky = independent.copy()
    for t in range(1, 40):
        sticky[:, t] = 0.6 * sticky[:, t - 1] + 0.8 * independent[:, t]
    # draws have (1 - rho) / (1 + rho) = 1 / 4, squares (rho^2 = 0.36) more
    assert worth(recorded(sticky, 3)) == pytest.approx(0.25 / 3, rel=0.1)
    # a funnel: half of the chains stand where the density is tight, and are accepted less
    uneven = recorded(independent, 7)
    uneven.statistics["acceptance_rate"][:200] -= 0.2
    assert worth(uneven) == 0
    diverging = recorded(independent, 7)
    diverging.statistics["diverging"][3, 30] = True
    assert worth(diverging) == 0
