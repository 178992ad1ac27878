"""The log density, its gradient and its coordinates, against closed forms written down independently."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import scipy.special
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import constraints

from inference.density import LogDensity
from inference.program import read
from inference.streams import workspace
from models import HiddenMarkov, Table
from models.base import Data
from models.errors import InputError


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    with workspace(1):
        yield


def log_jacobian_of_sticks(x: np.ndarray) -> float:
    """log |det| of the first K - 1 shares by z: stick k keeps expit(z_k - log(K - k)) of what is left (Stan manual)."""
    left, total = 1.0, 0.0
    for share in x[:-1]:
        broken = share / left
        total += math.log(broken) + math.log1p(-broken) + math.log(left)
        left -= share
    return total


def sticks(z: np.ndarray) -> np.ndarray:
    left, shares = 1.0, []
    for k, free in enumerate(z):
        shares.append(left * scipy.special.expit(free - math.log(len(z) - k)))
        left -= shares[-1]
    return np.array([*shares, left])


class Support(NamedTuple):
    """One site on one kind of support: its prior, z -> value, and log p(value) + log |d value / dz| by hand."""

    prior: Callable[[], dist.Distribution]
    size: int
    value: Callable[[np.ndarray], np.ndarray]
    log_prob: Callable[[np.ndarray, np.ndarray], float]


def affine_logit(low: float, high: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda z: low + (high - low) * scipy.special.expit(z)


SUPPORTS = {
    "real": Support(
        lambda: dist.StudentT(4.0, 1.0, 2.0), 1, lambda z: z, lambda z, x: scipy.stats.t(4, 1, 2).logpdf(x).sum()
    ),
    "positive": Support(
        lambda: dist.Gamma(torch.tensor([2.0, 5.0]), 3.0).to_event(1),
        2,
        np.exp,
        lambda z, x: (scipy.stats.gamma([2, 5], scale=1 / 3).logpdf(x) + z).sum(),
    ),
    "unit interval": Support(
        lambda: dist.Beta(2.0, 0.5),
        1,
        scipy.special.expit,
        lambda z, x: (scipy.stats.beta(2, 0.5).logpdf(x) + np.log(x) + np.log1p(-x)).sum(),
    ),
    "interval": Support(
        lambda: dist.Uniform(-3.0, 5.0),
        1,
        affine_logit(-3.0, 5.0),
        lambda z, x: (np.log(1 / 8) + np.log((x + 3) * (5 - x) / 8)).sum(),
    ),
    "simplex": Support(
        lambda: dist.Dirichlet(torch.tensor([2.0, 0.5, 4.0, 1.0])),
        3,
        sticks,
        lambda z, x: scipy.stats.dirichlet([2, 0.5, 4, 1]).logpdf(x) + log_jacobian_of_sticks(x),
    ),
    "above a bound": Support(
        lambda: dist.Pareto(2.0, 3.0),
        1,
        lambda z: 2 + np.exp(z),
        lambda z, x: (scipy.stats.pareto(3, scale=2).logpdf(x) + z).sum(),
    ),
    # a 2 x 2 correlation r = tanh z under LKJ(eta) has density (1 - r^2)^(eta - 1) up to a constant
    "correlation": Support(
        lambda: dist.LKJCholesky(2, torch.tensor(2.5)),
        1,
        lambda z: np.array([[1.0, 0.0], [np.tanh(z[0]), 1 / np.cosh(z[0])]]),
        lambda z, x: scipy.stats.beta(2.5, 2.5, loc=-1, scale=2).logpdf(x[1, 0]) + np.log(1 - x[1, 0] ** 2),
    ),
    "ordered": Support(
        lambda: dist.TransformedDistribution(
            dist.Normal(torch.zeros(3), 1.5).to_event(1), [dist.transforms.OrderedTransform()]
        ),
        3,
        lambda z: np.cumsum([z[0], *np.exp(z[1:])]),
        lambda z, x: scipy.stats.norm(0, 1.5).logpdf(z).sum(),
    ),
}


@pytest.fixture(params=SUPPORTS, name="case")
def case_on_each_support(request: pytest.FixtureRequest) -> tuple[Support, LogDensity]:
    support = SUPPORTS[request.param]

    def program() -> None:
        pyro.sample("x", support.prior())

    return support, LogDensity(read(program, Data()))


def some_points(rows: int, size: int) -> Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(3)) * 1.5


def test_log_density_is_the_sites_own_plus_the_log_jacobian(case: tuple[Support, LogDensity]) -> None:
    support, density = case
    assert density.size == support.size and density.untraced is None
    for z in some_points(5, support.size):
        value, _ = density.one(z)
        x = density.constrain(z)["x"].numpy()
        np.testing.assert_allclose(x, np.reshape(support.value(z.numpy()), x.shape), rtol=1e-12)
        expected = support.log_prob(z.numpy(), x)
        assert value.item() == pytest.approx(expected, rel=1e-10, abs=1e-10)


def test_gradient_equals_central_differences(case: tuple[Support, LogDensity]) -> None:
    support, density = case
    step = 1e-5
    for z in some_points(4, support.size):
        _, gradient = density.one(z)
        axes = torch.eye(support.size) * step
        differences = torch.stack([(density.one(z + axis)[0] - density.one(z - axis)[0]) / (2 * step) for axis in axes])
        # central differences are off by step^2 f''' / 6 and by rounding, 1e-16 |f| / step
        torch.testing.assert_close(gradient, differences, rtol=1e-7, atol=1e-7)


def test_rows_at_once_equal_rows_one_by_one(case: tuple[Support, LogDensity]) -> None:
    support, density = case
    z = some_points(6, support.size)
    values, gradients = density(z)
    assert values.shape == (6,) and gradients.shape == (6, support.size)
    for row in range(6):
        value, gradient = density.one(z[row])
        torch.testing.assert_close(values[row], value, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(gradients[row], gradient, rtol=1e-12, atol=1e-12)


def test_hessian_equals_differences_of_the_gradient(case: tuple[Support, LogDensity]) -> None:
    support, density = case
    z, step = some_points(1, support.size)[0], 1e-5
    hessian = density.hessian(z)
    axes = torch.eye(support.size) * step
    differences = torch.stack([(density.one(z + axis)[1] - density.one(z - axis)[1]) / (2 * step) for axis in axes])
    torch.testing.assert_close(hessian, differences, rtol=1e-6, atol=1e-6)
    assert torch.equal(hessian, hessian.T)


def test_hessian_of_an_operation_that_pytorch_differentiates_once() -> None:
    """The forward-backward recursion brings its own gradient, whose derivative PyTorch would take for nil: here it is
    that of the recursion written out, which PyTorch differentiates twice."""
    y = [0, 3, 1, 0, 6, 4, 5, 0]
    model = HiddenMarkov(states=2, emission="poisson", standardise=False)
    density = LogDensity(read(model, model.data(Table({"y": np.array(y)}, "rows.csv", {}))))

    def written_out(z: Tensor) -> Tensor:
        values, total = {}, torch.zeros(())
        for block in density.blocks:
            free = z[block.part].reshape(block.shape)
            values[block.site.name] = value = block.transform(free)
            total = total + block.transform.log_abs_det_jacobian(free, value).sum()
        rate, transition = values["rate"][:, 0], values["transition"]
        total = total + dist.Exponential(0.5).log_prob(rate).sum()
        total = total + dist.Dirichlet(torch.ones(2)).log_prob(transition).sum()
        forward = torch.full((2,), -math.log(2))
        for step, count in enumerate(y):
            if step:
                forward = torch.logsumexp(forward[:, None] + transition.log(), 0)
            forward = forward + dist.Poisson(rate).log_prob(torch.tensor(float(count)))
        return total + torch.logsumexp(forward, 0)

    z = torch.tensor([0.2, 1.3, -0.4, 0.6])
    assert density.one(z)[0].item() == pytest.approx(written_out(z).item(), rel=1e-12)
    expected = torch.autograd.functional.hessian(written_out, z)
    torch.testing.assert_close(density.hessian(z), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("batch", [(), (5,), (2, 3)], ids=str)
def test_unconstrain_undoes_constrain_in_batches_of_any_shape(
    case: tuple[Support, LogDensity], batch: tuple[int, ...]
) -> None:
    support, density = case
    z = some_points(math.prod(batch), support.size).reshape(*batch, support.size)
    values = density.constrain(z)
    assert values["x"].shape == (*batch, *density.blocks[0].site.shape)
    assert bool(density.blocks[0].site.support.check(values["x"]).all())
    torch.testing.assert_close(density.unconstrain(values), z, rtol=1e-8, atol=1e-8)


def test_without_the_jacobian_it_is_the_density_on_the_sites_own_scale() -> None:
    def program() -> None:
        pyro.sample("rate", dist.Beta(3.0, 2.0))
        pyro.sample("share", dist.Dirichlet(torch.tensor([2.0, 3.0, 4.0])))

    density = LogDensity(read(program, Data()), jacobian=False)
    z = some_points(1, 3)[0]
    values = density.constrain(z)
    expected = scipy.stats.beta(3, 2).logpdf(values["rate"].item()) + scipy.stats.dirichlet([2, 3, 4]).logpdf(
        values["share"].numpy()
    )
    assert density.one(z)[0].item() == pytest.approx(expected, rel=1e-12)


def several_sites(x: Tensor, group: Tensor, num_groups: int, width: float) -> None:
    """A hierarchy with every kind of axis: a scalar, a plate, an event, and observations indexed by label."""
    tau = pyro.sample("tau", dist.HalfNormal(width))
    with pyro.plate("groups", num_groups):
        offset = pyro.sample("offset", dist.Normal(0.0, tau))
    beta = pyro.sample("beta", dist.Normal(torch.zeros(2), 2.0).to_event(1))
    with pyro.plate("row", len(x)):
        pyro.sample("y", dist.Bernoulli(logits=offset[group] + x @ beta))


X = np.array([[0.2, 1.0], [-1.0, 0.5], [0.3, -2.0], [1.5, 0.1], [-0.4, -0.6]])
GROUP = np.array([0, 1, 2, 0, 1])
Y = np.array([1.0, 0.0, 0.0, 1.0, 1.0])


def by_hand(z: np.ndarray) -> float:
    tau, offset, beta = np.exp(z[0]), z[1:4], z[4:]
    logits = offset[GROUP] + X @ beta
    return float(
        scipy.stats.halfnorm(scale=1.5).logpdf(tau)
        + z[0]
        + scipy.stats.norm(0, tau).logpdf(offset).sum()
        + scipy.stats.norm(0, 2).logpdf(beta).sum()
        + (Y * scipy.special.log_expit(logits) + (1 - Y) * scipy.special.log_expit(-logits)).sum()
    )


def hierarchy() -> LogDensity:
    inputs = {"x": X, "group": GROUP, "num_groups": 3, "width": 1.5}
    return LogDensity(read(several_sites, Data(inputs, {"y": Y})))


def test_a_hierarchy_is_the_sum_of_its_terms_with_sites_in_the_order_of_the_program() -> None:
    density = hierarchy()
    assert [(block.site.name, block.part.start, block.part.stop) for block in density.blocks] == [
        ("tau", 0, 1),
        ("offset", 1, 4),
        ("beta", 4, 6),
    ]
    z = some_points(4, 6)
    assert density(z)[0].tolist() == pytest.approx([by_hand(row) for row in z.numpy()], rel=1e-11)


def test_data_are_arguments_of_the_graph_and_not_constants_in_it() -> None:
    density = hierarchy()
    z = some_points(1, 6)[0]
    at = {name: position for position, name in enumerate(density._names)}
    assert set(at) == {"x", "group", "y"}
    other = list(density._data)
    other[at["y"]] = torch.tensor(1 - Y)
    other[at["x"]] = torch.tensor(-X)
    changed = LogDensity(
        read(several_sites, Data({"x": -X, "group": GROUP, "num_groups": 3, "width": 1.5}, {"y": 1 - Y}))
    )
    assert density._trace.graph(z, *other)[0].item() == pytest.approx(changed.one(z)[0].item(), rel=1e-12)
    assert density._trace.graph(z, *other)[0].item() != pytest.approx(density.one(z)[0].item(), rel=1e-3)


def test_two_names_for_one_array_stay_two_arguments() -> None:
    def program(a: Tensor, b: Tensor) -> None:
        m = pyro.sample("m", dist.Normal(0.0, 1.0))
        with pyro.plate("row", len(a)):
            pyro.sample("y", dist.Normal(a + m * b, 1.0))

    same = np.array([1.0, 2.0])
    tensor = torch.tensor(same)
    merged = replace(
        read(program, Data({"a": same, "b": same}, {"y": same})),
        inputs={"a": tensor, "b": tensor},
        values={"y": tensor},
    )
    density = LogDensity(merged)
    a, b, y = torch.tensor([1.0, 2.0]), torch.tensor([-3.0, 0.5]), torch.tensor([0.2, 0.1])
    expected = scipy.stats.norm.logpdf(0.7) + scipy.stats.norm(a + 0.7 * b, 1).logpdf(y).sum()
    assert density._trace.graph(torch.tensor([0.7]), a, b, y)[0].item() == pytest.approx(expected, rel=1e-12)


def branching(x: Tensor) -> None:
    m = pyro.sample("m", dist.Normal(0.0, 1.0))
    spread = 1.0 if m > 0 else 3.0
    with pyro.plate("row", len(x)):
        pyro.sample("y", dist.Normal(m * x, spread))


def test_a_program_whose_path_depends_on_its_values_runs_untraced_with_the_right_numbers() -> None:
    x, y = np.array([1.0, 2.0, -1.0]), np.array([0.5, 1.0, 2.0])
    density = LogDensity(read(branching, Data({"x": x}, {"y": y})))
    assert density.untraced is not None and "tracing" in density.untraced
    z = torch.tensor([[0.8], [-0.8]])
    values, gradients = density(z)
    for row, (m, spread) in enumerate([(0.8, 1.0), (-0.8, 3.0)]):
        expected = scipy.stats.norm.logpdf(m) + scipy.stats.norm(m * x, spread).logpdf(y).sum()
        assert values[row].item() == pytest.approx(expected, rel=1e-12)
        assert gradients[row].item() == pytest.approx(-m + (x * (y - m * x)).sum() / spread**2, rel=1e-12)


def test_evaluations_count_one_for_each_row() -> None:
    density = hierarchy()
    assert density.evaluations == 0
    density(some_points(7, 6))
    density.one(some_points(1, 6)[0])
    assert density.evaluations == 8


def test_a_start_is_finite_inside_the_cube_and_depends_on_the_generator_alone() -> None:
    density = hierarchy()
    starts = [density.start(torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)]
    torch.manual_seed(99)
    assert torch.equal(starts[0], starts[1]) and not torch.equal(starts[0], starts[2])
    assert all(bool((start.abs() < 2).all()) and math.isfinite(density.one(start)[0]) for start in starts)


def test_start_draws_again_until_density_and_gradient_are_finite() -> None:
    def only_above_one() -> None:
        m = pyro.sample("m", dist.Normal(0.0, 1.0))
        pyro.factor("wall", torch.where(m > 1.0, 0.0, -math.inf))

    density = LogDensity(read(only_above_one, Data()))
    assert all(density.start(torch.Generator().manual_seed(seed)).item() > 1 for seed in range(20))


class NeverSeven(dist.Normal):
    """A normal that denies 7 its density."""

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.where(value == 7.0, -math.inf, super().log_prob(value))


def test_no_finite_start_names_site_row_and_value() -> None:
    def program() -> None:
        m = pyro.sample("m", dist.Normal(0.0, 1.0))
        with pyro.plate("row", 3):
            pyro.sample("y", NeverSeven(m, 1.0))

    density = LogDensity(read(program, Data({}, {"y": np.array([0.0, 7.0, 1.0])})))
    with pytest.raises(InputError) as refused:
        density.start(torch.Generator().manual_seed(0))
    assert str(refused.value) == (
        "program: no starting point in 100 tries: site `y` (NeverSeven), row 2: log density is -inf at value 7; "
        "check priors, data and the program at that value"
    )


def correlated() -> None:
    """Positive definite for |m| < 1 only."""
    m = pyro.sample("m", dist.Normal(0.0, 1.0))
    one = torch.ones_like(m)
    matrix = torch.stack([torch.stack([one, m]), torch.stack([m, one])])
    pyro.sample("y", dist.MultivariateNormal(torch.zeros(2), matrix))


def test_a_matrix_without_a_factor_is_a_point_without_density() -> None:
    density = LogDensity(read(correlated, Data({}, {"y": np.array([1.0, 2.0])})))
    inside = scipy.stats.norm.logpdf(0.5) + scipy.stats.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]]).logpdf([1, 2])
    values, gradients = density(torch.tensor([[0.5], [2.0]]))
    assert values[0].item() == pytest.approx(inside, rel=1e-12) and values[1].item() == -math.inf
    assert bool(torch.isfinite(gradients[0])) and not bool(torch.isfinite(gradients[1]))
    assert density.one(torch.tensor([0.5]))[0].item() == pytest.approx(inside, rel=1e-12)
    assert density.one(torch.tensor([2.0]))[0].item() == -math.inf


def test_a_mask_that_depends_on_latent_values_runs_untraced() -> None:
    def program() -> None:
        m = pyro.sample("m", dist.Normal(torch.zeros(3), 1.0).to_event(1))
        pyro.sample("y", dist.Normal(m[m > 0].sum(), 1.0))

    density = LogDensity(read(program, Data({}, {"y": np.array(1.0)})))
    assert density.untraced is not None and "boolean mask" in density.untraced
    z = torch.tensor([[0.3, -0.2, 0.5], [-1.0, -1.0, 0.1]])
    for row, (values, gradients) in enumerate(zip(*density(z), strict=True)):
        m = z[row].numpy()
        total = m[m > 0].sum()
        assert values.item() == pytest.approx(scipy.stats.norm.logpdf(m).sum() + scipy.stats.norm.logpdf(1 - total))
        np.testing.assert_allclose(gradients.numpy(), -m + (m > 0) * (1 - total), rtol=1e-12)


def test_deterministic_sites_and_factors_are_no_coordinates() -> None:
    def program() -> None:
        m = pyro.sample("m", dist.Normal(0.0, 1.0))
        pyro.deterministic("twice", 2 * m)
        pyro.factor("tilt", 3 * m)

    density = LogDensity(read(program, Data()))
    assert [block.site.name for block in density.blocks] == ["m"]
    assert density.one(torch.tensor([0.4]))[0].item() == pytest.approx(scipy.stats.norm.logpdf(0.4) + 1.2, rel=1e-12)


def test_supports_in_the_table_are_the_kinds_they_say() -> None:
    kinds = {name: type(biject) for name, biject in ((n, s.prior().support) for n, s in SUPPORTS.items())}
    assert kinds["simplex"] is type(constraints.simplex) and kinds["correlation"] is type(constraints.corr_cholesky)
