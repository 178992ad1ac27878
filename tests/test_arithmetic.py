"""The type of a density's numbers and the device that they are on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from cases import monte_carlo
from torch import Tensor, fx

from inference import Nuts, Svi, fit
from inference.arithmetic import Arithmetic
from inference.density import LogDensity
from inference.program import read
from inference.streams import workspace
from models.base import Data
from models.errors import InputError


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    with workspace(1):
        yield


X = np.array([[0.2, 1.0], [-1.0, 0.5], [0.3, -2.0], [1.5, 0.1], [-0.4, -0.6]])
GROUP = np.array([0, 1, 2, 0, 1])
Y = np.array([1.0, 0.0, 0.0, 1.0, 1.0])


def hierarchy(x: Tensor, group: Tensor, num_groups: int, width: float) -> None:
    """Every kind of input (numbers, labels, sizes), a bound from the data, a number made in the program."""
    tau = pyro.sample("tau", dist.HalfNormal(width))
    top = pyro.sample("top", dist.Uniform(-1.0, x.max() + torch.tensor(2.0)))
    with pyro.plate("groups", num_groups):
        offset = pyro.sample("offset", dist.Normal(torch.zeros(num_groups), tau))
    beta = pyro.sample("beta", dist.Normal(torch.zeros(2), 2.0).to_event(1))
    with pyro.plate("row", len(x)):
        pyro.sample("y", dist.Bernoulli(logits=offset[group] + x @ beta + 0.1 * top))


def mixture(num_rows: int) -> None:
    mu = pyro.sample("mu", dist.Normal(torch.tensor([-1.0, 1.0]), 0.5).to_event(1))
    with pyro.plate("row", num_rows):
        z = pyro.sample("z", dist.Categorical(torch.tensor([0.3, 0.7])))
        pyro.sample("y", dist.Normal(mu[z], 1.0))


PROGRAMS: dict[str, tuple[Callable[..., Any], Data]] = {
    "hierarchy": (hierarchy, Data({"x": X, "group": GROUP, "num_groups": 3, "width": 1.5}, {"y": Y})),
    "labels summed out": (mixture, Data({"num_rows": 5}, {"y": Y})),
}


@pytest.fixture(params=PROGRAMS, name="program")
def each_program(request: pytest.FixtureRequest) -> Any:
    model, data = PROGRAMS[request.param]
    return read(model, data)


def some_points(rows: int, size: int) -> Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("dtype", "other"), [("float32", torch.float64), ("float64", torch.float32)])
def test_every_operation_of_the_graph_has_the_type_that_was_asked_for(program: Any, dtype: str, other: Any) -> None:
    density = LogDensity(program, dtype=dtype)
    assert isinstance(density._trace.graph, fx.GraphModule)
    calls = [node for node in density._trace.graph.graph.nodes if node.op == "call_function"]
    wrong = [str(node.target) for node in calls if getattr(node.meta.get("val"), "dtype", None) == other]
    # where z comes in and where value and gradient go out
    ends = {"aten.detach.default", "aten._to_copy.default", "aten.ones_like.default"}
    assert len(calls) > 20 and set(wrong) <= ends and len(wrong) <= 5


def test_points_values_and_gradients_are_float64_whatever_is_inside(program: Any) -> None:
    wide, narrow = LogDensity(program), LogDensity(program, dtype="float32")
    z = some_points(4, wide.size)
    for rows in (z, z[:1]):
        for exact, found in zip(wide(rows), narrow(rows), strict=True):
            assert found.dtype == torch.float64 and not torch.equal(found, exact)
            torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-5)
    value, gradient = narrow.one(z[0])
    assert value.dtype == gradient.dtype == torch.float64
    torch.testing.assert_close(narrow.hessian(z[0]), wide.hessian(z[0]), rtol=1e-4, atol=1e-4)
    assert all(torch.equal(a, b) for a, b in zip(wide.constrain(z).values(), narrow.constrain(z).values(), strict=True))


def test_what_the_program_makes_is_on_the_device_of_its_data(program: Any) -> None:
    """On a device without numbers, where a tensor that was left on the CPU is an error as it is on any other."""
    place = Arithmetic(torch.float32, "meta")
    moved = place.moved(program)
    latents = {site.name: place.put(torch.rand(site.shape)) for site in program.latent}
    with place.inside():
        value = moved.log_joint(latents)
    assert value.device.type == "meta" and value.dtype == torch.float32 and value.shape == ()
    bounds = [v for site in moved.latent for v in vars(site.support).values() if isinstance(v, Tensor)]
    assert all(bound.device.type == "meta" for bound in bounds)


def test_the_programs_own_arithmetic_ends_with_the_density(program: Any) -> None:
    LogDensity(program, dtype="float32")
    assert torch.get_default_dtype() == torch.float64 and torch.zeros(1).dtype == torch.float64


@pytest.mark.parametrize(
    "backend", [Nuts(device="cuda"), Nuts(engine="pyro", device="cuda"), Svi(device="cuda")], ids=str
)
def test_a_device_that_is_not_there_is_refused(backend: Nuts | Svi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError) as refused:
        fit(*PROGRAMS["hierarchy"], backend)
    assert str(refused.value) == "device: PyTorch finds no CUDA device on this machine; use `cpu`"


def test_a_workspace_takes_back_that_sums_keep_their_order() -> None:
    with workspace(2):
        torch.use_deterministic_algorithms(True, warn_only=True)
    assert not torch.are_deterministic_algorithms_enabled()


def test_machine_code_is_for_float64() -> None:
    density = LogDensity(read(*PROGRAMS["hierarchy"]), dtype="float32")
    density.settle(4, "auto")
    assert density.kernel is None
    with pytest.raises(InputError) as refused:
        density.settle(4, "always")
    assert str(refused.value) == (
        "compile: this density cannot be compiled (machine code is for float64 on the cpu); use `auto`"
    )


def gaps(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest gap of mean and sd between two sets of draws, in combined standard errors."""
    one, other = (monte_carlo(draws, dependent=True) for draws in (found, expected))
    return max(
        float(np.max(np.abs(one[key] - other[key]) / np.hypot(one[f"{key}_error"], other[f"{key}_error"])))
        for key in ("mean", "sd")
    )


def test_float32_gives_the_same_posterior_and_the_same_seed_the_same_draws() -> None:
    settings = {"num_chains": 8, "num_warmup": 200, "num_samples": 300}
    wide, narrow, again = (
        fit(*PROGRAMS["labels summed out"], Nuts(dtype=dtype, **settings), seed=seed)
        for dtype, seed in (("float64", 1), ("float32", 2), ("float32", 2))
    )
    assert all(np.array_equal(narrow.draws[name], again.draws[name]) for name in ("mu", "z"))
    assert gaps(narrow.draws["mu"], wide.draws["mu"]) < 4


def test_pyros_own_engine_takes_float32_too() -> None:
    settings = {"engine": "pyro", "num_chains": 2, "num_warmup": 60, "num_samples": 120}
    wide, narrow = (
        fit(*PROGRAMS["labels summed out"], Nuts(dtype=dtype, **settings), seed=4) for dtype in ("float64", "float32")
    )
    assert gaps(narrow.draws["mu"], wide.draws["mu"]) < 4
    assert not np.array_equal(narrow.draws["mu"], wide.draws["mu"])


def test_svi_in_float32_finds_the_same_normal() -> None:
    wide, narrow = (
        fit(*PROGRAMS["labels summed out"], Svi(guide="laplace", num_samples=4000, dtype=dtype), seed=3)
        for dtype in ("float64", "float32")
    )
    np.testing.assert_allclose(narrow.draws["mu"], wide.draws["mu"], atol=1e-3)
    assert not np.array_equal(narrow.draws["mu"], wide.draws["mu"])
    assert narrow.facts["log_evidence_estimate"] == pytest.approx(wide.facts["log_evidence_estimate"], abs=1e-3)
