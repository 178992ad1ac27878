"""Named streams and the workspace: the same numbers whatever ran before, and nothing left behind."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

from inference import Backend, Exact, Nuts, Svi, fit
from inference.posterior import Posterior
from inference.streams import stream, workspace
from models import BetaBernoulli
from models.base import Data

FLIPS = Data({"num_rows": 10}, {"y": np.array([1.0] * 7 + [0.0] * 3)})
SMALL: dict[str, Backend] = {
    "exact": Exact(num_chains=2, num_samples=20),
    "nuts": Nuts(num_chains=2, num_warmup=20, num_samples=20),
    "svi": Svi(num_restarts=1, num_samples=20, num_particles=2, max_steps=60),
    "flow": Svi(guide="flow", num_restarts=1, num_samples=20, num_particles=2, max_steps=20),
}


def two_rates() -> None:
    pyro.sample("theta", dist.Normal(torch.zeros(2), 1.0).to_event(1))


def draws(name: str, seed: int = 7) -> np.ndarray:
    """A small fit's draws. The flow has two coordinates: Pyro warns of autoregressive networks with one."""
    model, data = (two_rates, Data()) if name == "flow" else (BetaBernoulli(), FLIPS)
    return fit(model, data, SMALL[name], seed=seed).draws["theta"]


@pytest.fixture
def untouched() -> Iterator[None]:
    """Put the process back after a test that disturbs it."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate(), torch.get_default_dtype()
    yield
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])
    torch.set_default_dtype(states[3])
    pyro.clear_param_store()
    pyro.enable_validation(True)


def test_a_stream_depends_on_seed_and_every_name() -> None:
    uses = [
        (7, "nuts"),
        (8, "nuts"),
        (7, "svi"),
        (7, "nuts", "chain", 0),
        (7, "nuts", "chain", 1),
        (7, "chain", "nuts", 0),
    ]
    seeds = [stream(*use) for use in uses]
    assert len(set(seeds)) == len(uses) and all(0 <= seed < 2**31 for seed in seeds)
    assert [stream(*use) for use in uses] == seeds
    # half of the first four bytes of `printf 7/nuts | sha256sum`
    assert stream(7, "nuts") == 0x73FC3959


@pytest.mark.parametrize("name", SMALL)
def test_the_same_seed_gives_the_same_draws_and_another_seed_others(name: str) -> None:
    first = draws(name)
    np.testing.assert_array_equal(draws(name), first)
    assert not np.any(draws(name, seed=8) == first)


def pollute_store() -> None:
    pyro.param("AutoMultivariateNormal.loc", torch.full((1,), 9.0))
    pyro.param("AutoMultivariateNormal.scale", torch.full((1,), 9.0))


def consume_randomness() -> None:
    torch.rand(1000)
    np.random.seed(3)
    random.seed(3)


def other_precision() -> None:
    torch.set_default_dtype(torch.float32)
    pyro.enable_validation(False)


DISTURBANCES: dict[str, Callable[[], None]] = {
    "a full parameter store": pollute_store,
    "used generators": consume_randomness,
    "another precision": other_precision,
    "another fit": lambda: (draws("svi", seed=99), draws("nuts", seed=98), None)[-1],
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("disturb", DISTURBANCES.values(), ids=DISTURBANCES)
def test_whatever_ran_before_changes_nothing(name: str, disturb: Callable[[], None], untouched: None) -> None:
    first = draws(name)
    disturb()
    np.testing.assert_array_equal(draws(name), first)


@pytest.mark.parametrize("name", ["exact", "nuts", "svi"])
def test_gradients_switched_off_outside_are_on_inside(name: str) -> None:
    first = draws(name)
    with torch.no_grad():
        np.testing.assert_array_equal(draws(name), first)
        assert not torch.is_grad_enabled()
    with torch.inference_mode():
        np.testing.assert_array_equal(draws(name), first)
        assert torch.is_inference_mode_enabled()


ALONE = """
import sys
import numpy as np
sys.path[:0] = [{tests!r}, {root!r}]
import test_streams
for name in {names!r}:
    print(test_streams.draws(name).ravel().tolist())
"""


def test_two_fits_in_one_process_equal_two_processes() -> None:
    tests = Path(__file__).parent
    code = [
        ALONE.format(tests=str(tests), root=str(tests.parent), names=names) for names in (["svi"], ["nuts", "exact"])
    ]
    alone = [subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True) for text in code]
    found = [np.array(eval(line)) for done in alone for line in done.stdout.splitlines()]
    for name, values in zip(["svi", "nuts", "exact"], found, strict=True):
        np.testing.assert_array_equal(draws(name).ravel(), values)


def state() -> tuple[object, ...]:
    return (
        torch.get_rng_state().tolist(),
        np.random.get_state()[1].tolist(),  # type: ignore[union-attr]
        random.getstate(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        sorted(pyro.get_param_store().keys()),
        torch.distributions.Distribution._validate_args,
        torch.is_grad_enabled(),
    )


@pytest.mark.parametrize("name", SMALL)
def test_a_fit_leaves_the_process_as_it_was(name: str, untouched: None) -> None:
    torch.set_default_dtype(torch.float32)
    pyro.param("mine", torch.tensor(3.0))
    before = state()
    draws(name)
    assert state() == before
    assert pyro.param("mine").item() == 3.0


def test_a_workspace_that_fails_leaves_the_process_as_it_was(untouched: None) -> None:
    before = state()
    with pytest.raises(RuntimeError, match="halfway"), workspace(3, num_threads=2):
        assert torch.get_num_threads() == 2 and torch.get_default_dtype() == torch.float64
        pyro.param("inside", torch.tensor(1.0))
        torch.rand(3)
        raise RuntimeError("halfway")
    assert state() == before


def test_every_generator_starts_from_the_seed_inside() -> None:
    def numbers(seed: int) -> list[float]:
        with workspace(seed):
            return [torch.rand(()).item(), float(np.random.random()), random.random()]

    assert numbers(4) == numbers(4)
    assert all(a != b for a, b in zip(numbers(4), numbers(5), strict=True))


def test_chains_and_backends_have_streams_of_their_own() -> None:
    chains = draws("nuts")
    assert not np.any(chains[0] == chains[1])
    assert not np.any(draws("exact").ravel() == chains.ravel())


def test_fewer_chains_are_the_first_of_more() -> None:
    def some(num_chains: int) -> Posterior:
        return fit(
            BetaBernoulli(), FLIPS, Nuts(engine="pyro", num_chains=num_chains, num_warmup=10, num_samples=10), seed=1
        )

    # to rounding: the logistic function of many numbers at once may differ in the last digit from that of one
    np.testing.assert_allclose(some(1).draws["theta"], some(2).draws["theta"][:1], rtol=1e-14)
