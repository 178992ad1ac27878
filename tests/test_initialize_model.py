"""Whatever Pyro's own NUTS takes as a model: density and gradient are those of Pyro's `initialize_model`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.distributions import constraints
from pyro.infer import config_enumerate
from pyro.infer.autoguide.initialization import init_to_value
from pyro.infer.mcmc.util import initialize_model
from pyro.infer.reparam import (
    AutoReparam,
    LatentStableReparam,
    LocScaleReparam,
    ProjectedNormalReparam,
    StudentTReparam,
    TransformReparam,
)
from pyro.nn import PyroModule, PyroSample
from pyro.ops.indexing import Vindex

from inference import Nuts, fit
from inference.density import LogDensity
from inference.program import read
from inference.streams import workspace
from models.base import Data


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    with workspace(1):
        yield


Y = np.array([-1.2, 0.4, 2.1, 0.9])
COUNTS = np.array([0.0, 3.0, 1.0, 2.0])


def improper() -> None:
    m = pyro.sample("m", dist.ImproperUniform(constraints.real, (), (3,)))
    s = pyro.sample("s", dist.ImproperUniform(constraints.positive, (), ()))
    with pyro.plate("row", 3):
        u = pyro.sample("u", dist.ImproperUniform(constraints.interval(-1.0, 2.0), (), ()))
        pyro.sample("y", dist.Normal(m + u, s), obs=torch.tensor(Y[:3]))


def factors() -> None:
    m = pyro.sample("m", dist.Normal(0.0, 1.0))
    pyro.factor("tilt", 3 * m.sin())
    with pyro.plate("row", 4):
        pyro.factor("weights", -(m - torch.tensor(Y)).abs())


def deterministic() -> None:
    m = pyro.sample("m", dist.LogNormal(0.0, 1.0))
    root = pyro.deterministic("root", m.sqrt())
    pyro.sample("y", dist.Normal(root, 0.3), obs=torch.tensor(1.0))


SEEN = torch.tensor([True, False, True, True])


def partly_observed() -> None:
    m = pyro.sample("m", dist.Normal(0.0, 1.0))
    with pyro.plate("row", 4):
        y = pyro.sample("y", dist.Normal(m, 1.0), obs=torch.tensor(Y), obs_mask=SEEN)
        pyro.sample("later", dist.Normal(y, 0.5), obs=torch.tensor(Y) + 1)


def partly_observed_by_hand() -> None:
    """Where Pyro gives the elements that nothing depends on no density at all, here they have their prior."""
    m = pyro.sample("m", dist.Normal(0.0, 1.0))
    with pyro.plate("row", 4):
        unobserved = pyro.sample("y_unobserved", dist.Normal(m, 1.0))
        with poutine.mask(mask=SEEN):
            pyro.sample("y_observed", dist.Normal(m, 1.0), obs=torch.tensor(Y))
        pyro.sample("later", dist.Normal(torch.where(SEEN, torch.tensor(Y), unobserved), 0.5), obs=torch.tensor(Y) + 1)


def masked() -> None:
    m = pyro.sample("m", dist.Normal(0.0, 1.0).mask(False))
    with pyro.plate("row", 4), poutine.mask(mask=torch.tensor([True, False, True, True])):
        pyro.sample("y", dist.Normal(m, 1.0), obs=torch.tensor(Y))


def scaled() -> None:
    m = pyro.sample("m", dist.Normal(0.0, 1.0))
    with pyro.plate("row", 4), poutine.scale(scale=2.5):
        pyro.sample("y", dist.Normal(m, 1.0), obs=torch.tensor(Y))


def hidden() -> None:
    """Statements that a handler hides are no part of the density."""
    m = pyro.sample("m", dist.Normal(0.0, 1.0))
    with poutine.block():
        pyro.sample("unseen", dist.Normal(m, 0.1), obs=torch.tensor(5.0))
    pyro.sample("y", dist.Normal(m, 1.0), obs=torch.tensor(1.0))


def delta_observed() -> None:
    m = pyro.sample("m", dist.Normal(0.0, 1.0))
    pyro.sample("fixed", dist.Delta(torch.tensor(2.0), log_density=0.7), obs=torch.tensor(2.0))
    pyro.sample("y", dist.Normal(m, 1.0), obs=torch.tensor(1.0))


def with_parameters() -> None:
    """A parameter is held at its first value."""
    scale = pyro.param("scale", torch.tensor(0.5), constraint=constraints.positive)
    m = pyro.sample("m", dist.Normal(pyro.param("centre", torch.tensor(2.0)), 1.0))
    pyro.sample("y", dist.Normal(m, scale), obs=torch.tensor(1.0))


def events() -> None:
    m = pyro.sample("m", dist.Normal(torch.zeros(2, 3), 1.0).to_event(1))
    with pyro.plate("row", 2):
        s = pyro.sample("s", dist.HalfCauchy(1.0).expand([2, 2]).to_event(1))
    pyro.sample("y", dist.Normal(m.sum(-1), s.sum(-1)).to_event(1), obs=torch.tensor(Y[:2]))


def transformed() -> None:
    base = dist.Normal(torch.zeros(3), 1.0).to_event(1)
    a = pyro.sample("a", dist.TransformedDistribution(base, [dist.transforms.OrderedTransform()]))
    affine = [dist.transforms.AffineTransform(1.0, 2.0), dist.transforms.SigmoidTransform()]
    b = pyro.sample("b", dist.TransformedDistribution(dist.Normal(0.0, 1.0), affine))
    spline = dist.transforms.ExpTransform()
    c = pyro.sample("c", dist.TransformedDistribution(dist.Gamma(2.0, 1.0), [spline.inv]))
    pyro.sample("y", dist.Normal(a.sum() * b + c, 1.0), obs=torch.tensor(1.0))


def correlations() -> None:
    factor = pyro.sample("factor", dist.LKJCholesky(3, 2.0))
    scale = pyro.sample("scale", dist.HalfNormal(1.0).expand([3]).to_event(1))
    with pyro.plate("row", 4):
        rows = torch.tensor(np.outer(Y, [1.0, 0.5, -2.0]))
        pyro.sample("y", dist.MultivariateNormal(torch.zeros(3), scale_tril=scale[:, None] * factor), obs=rows)


def simplexes() -> None:
    with pyro.plate("group", 2):
        share = pyro.sample("share", dist.Dirichlet(torch.tensor([1.0, 2.0, 0.5])))
    pyro.sample("y", dist.Multinomial(6, share[0] * share[1] + 0.1), obs=torch.tensor([1.0, 2.0, 3.0]))


def impossible_outcome() -> None:
    """0 of what has probability 0: Multinomial sets that log probability to 0 by a mask."""
    a = pyro.sample("a", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    logits = torch.cat([a, torch.tensor([-torch.inf])])
    pyro.sample("y", dist.Multinomial(6, logits=logits), obs=torch.tensor([4.0, 2.0, 0.0]))


def heavy_tails() -> None:
    """Sites that the reparameterizers below take apart."""
    m = pyro.sample("m", dist.Normal(1.0, 2.0))
    with pyro.plate("group", 3):
        x = pyro.sample("x", dist.Normal(m, 0.5))
    t = pyro.sample("t", dist.StudentT(3.0, m, 1.0))
    e = pyro.sample("e", dist.TransformedDistribution(dist.Normal(m, 1.0), [dist.transforms.ExpTransform()]))
    pyro.sample("y", dist.Normal(x.sum() + t + e, 1.0), obs=torch.tensor(1.0))


def directions() -> None:
    d = pyro.sample("d", dist.ProjectedNormal(torch.tensor([1.0, 2.0])))
    a = pyro.sample("a", dist.VonMises(0.3, 2.0))
    s = pyro.sample("s", dist.Stable(1.5, 0.3, 1.0, 0.0))
    pyro.sample("y", dist.Normal(d.sum() + a.cos() + s, 1.0), obs=torch.tensor(1.0))


REPARAMETERIZED = poutine.reparam(
    heavy_tails, config={"x": LocScaleReparam(0.3), "t": StudentTReparam(), "e": TransformReparam()}
)
DIRECTIONS = poutine.reparam(directions, config={"d": ProjectedNormalReparam(), "s": LatentStableReparam()})


def own_mixture() -> None:
    m = pyro.sample("m", dist.Normal(torch.zeros(2), 3.0).to_event(1))
    weights = dist.Categorical(torch.tensor([0.4, 0.6]))
    with pyro.plate("row", 4):
        pyro.sample("y", dist.MixtureSameFamily(weights, dist.Normal(m, 1.0)), obs=torch.tensor(Y))


def zero_inflated() -> None:
    gate = pyro.sample("gate", dist.Uniform(0.0, 1.0))
    rate = pyro.sample("rate", dist.Exponential(0.5))
    with pyro.plate("row", 4):
        pyro.sample("y", dist.ZeroInflatedPoisson(rate, gate=gate), obs=torch.tensor(COUNTS))


def hidden_states() -> None:
    m = pyro.sample("m", dist.Normal(torch.zeros(2), 3.0).to_event(1))
    rows = pyro.sample("rows", dist.Dirichlet(torch.ones(2, 2)).to_event(1))
    start = torch.tensor([0.5, 0.5]).log()
    pyro.sample("y", dist.DiscreteHMM(start, rows.log(), dist.Normal(m, 1.0), duration=4), obs=torch.tensor(Y))


def gaussian_process() -> None:
    length = pyro.sample("length", dist.InverseGamma(3.0, 2.0))
    x = torch.arange(4.0)
    kernel = torch.exp(-0.5 * ((x[:, None] - x) / length) ** 2) + 0.1 * torch.eye(4)
    pyro.sample("y", dist.MultivariateNormal(torch.zeros(4), kernel), obs=torch.tensor(Y))


class Regression(PyroModule):
    """A layer whose weights are sites."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = PyroModule[torch.nn.Linear](2, 1)
        self.linear.weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, 2]).to_event(2))
        self.linear.bias = PyroSample(dist.Normal(0.0, 3.0).expand([1]).to_event(1))

    def forward(self) -> None:
        x = torch.tensor([[0.5, 1.0], [-1.0, 0.2], [0.3, 0.3], [2.0, -1.0]])
        mean = self.linear(x).squeeze(-1)
        with pyro.plate("row", 4):
            pyro.sample("y", dist.Normal(mean, 1.0), obs=torch.tensor(Y))


@cache
def regression() -> Regression:
    """Made when it is needed, where new tensors are float64."""
    return Regression()


def module() -> None:
    regression()()


def nested_plates() -> None:
    m = pyro.sample("m", dist.Normal(0.0, 1.0))
    with pyro.plate("row", 2, dim=-2):
        a = pyro.sample("a", dist.Normal(m, 1.0))
        with pyro.plate("column", 3, dim=-1):
            pyro.sample("y", dist.Normal(a, 1.0), obs=torch.arange(6.0).reshape(2, 3))


def one_after_the_other() -> None:
    m = pyro.sample("m", dist.Normal(0.0, 1.0))
    for i in pyro.plate("row", 4):
        pyro.sample(f"y{i}", dist.Normal(m, 1.0), obs=torch.tensor(Y[i]))


def labels() -> None:
    m = pyro.sample("m", dist.Normal(torch.zeros(3), 2.0).to_event(1))
    weights = pyro.sample("weights", dist.Dirichlet(torch.ones(3)))
    with pyro.plate("row", 4):
        z = pyro.sample("z", dist.Categorical(weights))
        pyro.sample("y", dist.Normal(m[z], 1.0), obs=torch.tensor(Y))


def labels_masked_and_scaled() -> None:
    m = pyro.sample("m", dist.Normal(torch.zeros(2), 2.0).to_event(1))
    with pyro.plate("row", 4):
        z = pyro.sample("z", dist.Bernoulli(0.3))
        with poutine.mask(mask=torch.tensor([True, False, True, True])), poutine.scale(scale=0.5):
            pyro.sample("y", dist.Normal(m[z.long()], 1.0), obs=torch.tensor(Y))


def markov_chain() -> None:
    m = pyro.sample("m", dist.Normal(torch.zeros(2), 2.0).to_event(1))
    stay = pyro.sample("stay", dist.Beta(3.0, 1.0))
    z: Any = torch.tensor(0)
    for t in pyro.markov(range(4)):
        z = pyro.sample(f"z{t}", dist.Bernoulli(torch.where(torch.as_tensor(z) == 1, stay, 1 - stay)))
        pyro.sample(f"y{t}", dist.Normal(m[z.long()], 1.0), obs=torch.tensor(Y[t]))


@config_enumerate
def two_labels() -> None:
    cells = pyro.sample("cells", dist.Normal(torch.zeros(2, 3), 1.5).to_event(2))
    with pyro.plate("row", 4):
        a = pyro.sample("a", dist.Bernoulli(0.3))
        b = pyro.sample("b", dist.Categorical(torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])[a.long()]))
        pyro.sample("y", dist.Normal(Vindex(cells)[a.long(), b], 0.8), obs=torch.tensor(Y))


def shared_label() -> None:
    p = pyro.sample("p", dist.Beta(2.0, 2.0))
    n = pyro.sample("n", dist.Binomial(5, p))
    with pyro.plate("row", 4):
        pyro.sample("y", dist.Poisson(1.0 + n * p), obs=torch.tensor(COUNTS))


def unit_vectors() -> None:
    which = pyro.sample("which", dist.OneHotCategorical(torch.tensor([0.2, 0.5, 0.3])))
    m = pyro.sample("m", dist.Normal(torch.zeros(3), 1.0).to_event(1))
    pyro.sample("y", dist.Normal((which * m).sum(-1), 1.0), obs=torch.tensor(1.0))


PROGRAMS: dict[str, Callable[..., Any]] = {
    "improper uniform": improper,
    "factors": factors,
    "deterministic": deterministic,
    "masked": masked,
    "scaled": scaled,
    "blocked": hidden,
    "observed delta": delta_observed,
    "parameters": with_parameters,
    "events": events,
    "transformed": transformed,
    "correlations": correlations,
    "simplexes": simplexes,
    "an impossible outcome": impossible_outcome,
    "reparameterized": REPARAMETERIZED,
    "circles and stable laws": DIRECTIONS,
    "reparameterized by strategy": poutine.reparam(heavy_tails, config=AutoReparam(centered=0.5)),
    "conditioned": poutine.condition(heavy_tails, {"t": torch.tensor(0.7)}),
    "mixture": own_mixture,
    "zero inflated": zero_inflated,
    "hidden states": hidden_states,
    "Gaussian process": gaussian_process,
    "module": module,
    "nested plates": nested_plates,
    "plate as a loop": one_after_the_other,
    "labels": labels,
    "labels, masked and scaled": labels_masked_and_scaled,
    "Markov chain": markov_chain,
    "two labels": two_labels,
    "shared label": shared_label,
    "unit vectors": unit_vectors,
}


def assert_density(model: Callable[..., Any], expected: Callable[..., Any]) -> None:
    """The density of `model` and its gradient are what `initialize_model` makes of `expected`."""
    density = LogDensity(read(model, Data()))
    assert (density.untraced is not None) == (model is DIRECTIONS)
    somewhere = partial(init_to_value, values=density.constrain(torch.zeros(density.size)))
    _, potential, transforms, _ = initialize_model(expected, max_plate_nesting=2, init_strategy=somewhere)
    assert [block.site.name for block in density.blocks] == list(transforms)
    for z in torch.randn(3, density.size, generator=torch.Generator().manual_seed(4)):
        free = z.clone().requires_grad_()
        value = -potential({b.site.name: free[b.part].reshape(b.shape) for b in density.blocks})
        (gradient,) = torch.autograd.grad(value, free)
        for found in (density.one(z), tuple(part[0] for part in density(z[None]))):
            torch.testing.assert_close(found[0], value.detach(), rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(found[1], gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("model", PROGRAMS.values(), ids=PROGRAMS)
def test_density_and_gradient_are_those_of_initialize_model(model: Callable[..., Any]) -> None:
    assert_density(model, model)


def test_with_obs_mask_every_element_has_a_density() -> None:
    assert_density(partly_observed, partly_observed_by_hand)


def test_a_program_with_missing_values_is_sampled() -> None:
    """Normal with known spread: the missing row is drawn around the mean of the others, and its own neighbour pulls."""

    def program(y: torch.Tensor, seen: torch.Tensor) -> None:
        m = pyro.sample("m", dist.Normal(0.0, 1.0))
        with pyro.plate("row", len(y)):
            pyro.sample("y", dist.Normal(m, 1.0), obs=y, obs_mask=seen)

    posterior = fit(program, Data({"y": Y, "seen": SEEN.numpy()}), Nuts(num_chains=8), seed=1)
    seen = Y[SEEN.numpy()]
    mean, variance = seen.sum() / 4, 1 / 4
    expected = {"m": (mean, variance), "y[1]": (mean, variance + 1), "y_unobserved[0]": (mean, variance + 1)}
    summary = posterior.summary()
    for name, (centre, spread) in expected.items():
        row = summary[name]
        assert abs(row["mean"] - centre) < 4.5 * row["mcse_mean"]
        assert row["sd"] == pytest.approx(spread**0.5, rel=4.5 / (2 * row["ess_tail"]) ** 0.5)
        assert row["r_hat"] < 1.01
    assert np.ptp(posterior.draws["y"][..., 0]) == 0.0 and posterior.facts["divergences"] == 0
