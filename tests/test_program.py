"""Reading a program: which sites it has, what their axes are called, and what is refused before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import scipy.stats
import torch
from pyro import poutine
from pyro.infer import config_enumerate
from pyro.infer.reparam import LocScaleReparam
from torch import Tensor

from inference.program import read, refuse_discrete
from inference.statements import distribution_name
from inference.streams import workspace
from models import BetaBernoulli, LogisticRegression, Prior
from models.base import Data, Dims
from models.errors import InputError


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    with workspace(1):
        yield


def line(x: Tensor, spread: float = 1.0) -> None:
    slope = pyro.sample("slope", dist.Normal(0.0, 1.0))
    fitted = pyro.deterministic("fitted", slope * x)
    with pyro.plate("row", len(x)):
        pyro.sample("y", dist.Normal(fitted, spread))


X = np.array([1.0, 2.0, 3.0])


def test_sites_are_sorted_by_what_they_are() -> None:
    program = read(line, Data({"x": X}, {"y": X}))
    assert [site.name for site in program.latent] == ["slope"]
    assert [site.name for site in program.deterministic] == ["fitted"]
    assert [site.name for site in program.observed] == ["y"]
    assert program.observed[0].shape == (3,) and program.observed[0].distribution == "Normal"
    assert program.name == "line"


def test_log_joint_is_the_sum_of_every_site() -> None:
    program = read(line, Data({"x": X, "spread": 2.0}, {"y": np.array([0.5, 0.0, 4.0])}))
    expected = scipy.stats.norm.logpdf(0.8) + scipy.stats.norm(0.8 * X, 2.0).logpdf([0.5, 0.0, 4.0]).sum()
    assert program.log_joint({"slope": torch.tensor(0.8)}).item() == pytest.approx(expected, rel=1e-12)


def test_a_site_that_is_not_observed_is_latent() -> None:
    assert [site.name for site in read(line, Data({"x": X})).latent] == ["slope", "y"]


def test_an_argument_for_observed_values_may_stay_none() -> None:
    def script(x: Tensor, y: Tensor | None = None) -> None:
        slope = pyro.sample("slope", dist.Normal(0.0, 1.0))
        with pyro.plate("row", len(x)):
            pyro.sample("y", dist.Normal(slope * x, 1.0), obs=y)

    program = read(script, Data({"x": X}, {"y": X}))
    assert [site.name for site in program.observed] == ["y"]
    passed = read(script, Data({"x": X, "y": X}))
    assert not passed.observed and [site.name for site in passed.latent] == ["slope"]
    at = {"slope": torch.tensor(0.3)}
    assert passed.log_joint(at).item() == program.log_joint(at).item()


@dataclass(frozen=True)
class Schools:
    """A user's class: declared dims for some sites, plates for others."""

    scale: float = 5.0
    dims: ClassVar[Dims] = {"effect": ("school",)}

    def __call__(self, num_rows: int) -> None:
        pyro.sample("mu", dist.Normal(0.0, self.scale))
        with pyro.plate("rows", num_rows):
            pyro.sample("effect", dist.Normal(0.0, 1.0))
            pyro.sample("pair", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        pyro.sample("free", dist.Normal(torch.zeros(2, 3), 1.0).to_event(2))


def test_axes_are_declared_or_named_by_plates_or_numbered() -> None:
    program = read(Schools(), Data({"num_rows": 4}))
    assert program.name == "Schools"
    assert program.dims == {
        "mu": (),
        "effect": ("school",),
        "pair": ("rows", "pair_dim_1"),
        "free": ("free_dim_0", "free_dim_1"),
    }


def test_axes_of_nested_plates_follow_the_shape() -> None:
    def program() -> None:
        with pyro.plate("column", 3, dim=-1), pyro.plate("row", 2, dim=-2):
            pyro.sample("z", dist.Normal(0.0, 1.0))

    found = read(program, Data())
    assert found.latent[0].shape == (2, 3) and found.dims == {"z": ("row", "column")}


@pytest.mark.parametrize(
    ("model", "data", "latent"),
    [
        (BetaBernoulli(), Data({"num_rows": 3}, {"y": np.array([1.0, 0.0, 1.0])}), {"theta": ()}),
        (
            BetaBernoulli(),
            Data({"num_rows": 3, "group": np.array([0, 1, 1]), "num_groups": 2}, {"y": np.zeros(3)}),
            {"theta": ("group",)},
        ),
        (
            LogisticRegression("y ~ x", prior=Prior("normal", (0.0, 1.0))),
            Data(
                {"x": np.ones((3, 2)), "mean": np.zeros(2), "sd": np.ones(2), "has_intercept": True}, {"y": np.zeros(3)}
            ),
            {"intercept": (), "beta": ("term",)},
        ),
    ],
    ids=["one rate", "groups", "logistic"],
)
def test_families_are_read_with_their_declared_dims(model: Any, data: Data, latent: dict[str, tuple[str, ...]]) -> None:
    program = read(model, data)
    assert {site.name: site.dims for site in program.latent} == latent
    assert program.dims["y"] == ("row",)


def subsampled() -> None:
    with pyro.plate("row", 10, subsample_size=5):
        pyro.sample("z", dist.Normal(0.0, 1.0))


def coin_flip_sites() -> None:
    """Never twice the same name."""
    pyro.sample(f"z{torch.rand(()).item()}", dist.Normal(0.0, 1.0))


def scaled_uniform() -> None:
    top = pyro.sample("top", dist.Gamma(2.0, 1.0))
    pyro.sample("z", dist.Uniform(0.0, top))


class WrongDims:
    dims: ClassVar[Dims] = {"z": ("a", "b")}

    def __call__(self) -> None:
        pyro.sample("z", dist.Normal(torch.zeros(3), 1.0).to_event(1))


def simplex_observed() -> None:
    pyro.sample("a", dist.Exponential(1.0))
    with pyro.plate("row", 2):
        pyro.sample("y", dist.Dirichlet(torch.ones(2)))


def everything_observed() -> None:
    pyro.sample("y", dist.Normal(0.0, 1.0))


def observes_inside(y: Tensor) -> None:
    m = pyro.sample("m", dist.Beta(1.0, 1.0))
    with pyro.plate("row", 3):
        pyro.sample("y", dist.Bernoulli(m), obs=y)


def random_mean() -> None:
    m = pyro.sample("m", dist.Normal(0.0, 1.0))
    pyro.sample("y", dist.Normal(m + torch.rand(()), 1.0))


def hidden_effect() -> None:
    """What a handler hides is drawn anew in every run."""
    m = pyro.sample("m", dist.Normal(0.0, 1.0))
    with poutine.block():
        effect = pyro.sample("effect", dist.Normal(0.0, 1.0))
    pyro.sample("y", dist.Normal(m + effect, 1.0))


def labels_without_a_plate() -> None:
    m = pyro.sample("m", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    z = pyro.sample("z", dist.Categorical(torch.ones(3, 2)))
    pyro.sample("y", dist.Normal(m[z], 1.0).to_event(1))


def branching_on_a_label() -> None:
    m = pyro.sample("m", dist.Normal(0.0, 1.0))
    z = pyro.sample("z", dist.Bernoulli(0.5))
    pyro.sample("y", dist.Normal(m if z > 0 else -m, 1.0))


def adding_up_what_should_broadcast() -> None:
    m = pyro.sample("m", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    z = pyro.sample("z", dist.Bernoulli(0.5))
    pyro.sample("y", dist.Normal(m[z.long()].sum(), 1.0))


def an_axis_too_many() -> None:
    m = pyro.sample("m", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    with pyro.plate("row", 2):
        z = pyro.sample("z", dist.Bernoulli(0.5))
    pyro.sample("y", dist.Normal(m[z.long()], 1.0).to_event(1))


def labels_turned_to_a_column() -> None:
    m = pyro.sample("m", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    with pyro.plate("row", 2):
        z = pyro.sample("z", dist.Bernoulli(0.5))
        pyro.sample("y", dist.Normal(m[z.long()].unsqueeze(-1), 1.0))


ROWS = {"num_rows": 3}
EACH = "give one value for each element of the site"
CORRECT = "correct the value or use another distribution"
AT_ONCE = "index with `pyro.ops.indexing.Vindex`; let shapes broadcast with the discrete sites' axes on the left"
REFUSED: dict[str, tuple[Callable[..., Any], Data, str]] = {
    "a column of a matrix": (
        BetaBernoulli(),
        Data(ROWS, {"y": np.ones((3, 1))}),
        f"BetaBernoulli: site `y` has shape (3,), its data have shape (3, 1); {EACH}",
    ),
    "too few values": (
        BetaBernoulli(),
        Data(ROWS, {"y": np.ones(1)}),
        f"BetaBernoulli: site `y` has shape (3,), its data have shape (1,); {EACH}",
    ),
    "a matrix given to obs=": (
        observes_inside,
        Data({"y": np.ones((3, 1))}),
        f"observes_inside: site `y` has shape (3,), its data have shape (3, 1); {EACH}",
    ),
    "a value outside the support given to obs=": (
        observes_inside,
        Data({"y": np.array([1.0, 0.5, 1.0])}),
        f"observes_inside, site `y`, row 2: 0.5 is outside the support of Bernoulli; {CORRECT}",
    ),
    "outside the support": (
        BetaBernoulli(),
        Data(ROWS, {"y": np.array([1.0, 0.0, 2.0])}),
        f"BetaBernoulli, site `y`, row 3: 2 is outside the support of Bernoulli; {CORRECT}",
    ),
    "more successes than trials": (
        BetaBernoulli(),
        Data({"num_rows": 2, "trials": np.array([5.0, 4.0])}, {"y": np.array([5.0, 5.0])}),
        f"BetaBernoulli, site `y`, row 2: 5 is outside the support of Binomial; {CORRECT}",
    ),
    "a row off the simplex": (
        simplex_observed,
        Data({}, {"y": np.array([[0.5, 0.5], [0.5, 0.6]])}),
        f"simplex_observed, site `y`, row 2: [0.5, 0.6] is outside the support of Dirichlet; {CORRECT}",
    ),
    "not a number": (
        line,
        Data({"x": X}, {"y": np.array([0.0, np.nan, 1.0])}),
        f"line, site `y`, row 2: nan is outside the support of Normal; {CORRECT}",
    ),
    "an unknown argument": (
        line,
        Data({"x": X, "spred": 2.0}),
        "line: takes no argument `spred`; did you mean `spread`?",
    ),
    "a missing argument": (line, Data(), "line: needs the argument `x`; give it under data.columns or data.values"),
    "an unknown site": (
        line,
        Data({"x": X}, {"yy": X}),
        "line: there is no site `yy` to observe; did you mean `y`?",
    ),
    "words as an input": (
        line,
        Data({"x": np.array(["a", "b"])}),
        "data: an input must hold numbers, got <U1 values; code labels as whole numbers",
    ),
    "a subsampled plate": (
        subsampled,
        Data(),
        "subsampled: plate `row` is subsampled, so its density is random; use the whole plate",
    ),
    "sites that change": (
        coin_flip_sites,
        Data(),
        "coin_flip_sites: its sites change from run to run; a program must have the same sites whatever their values",
    ),
    "a support that depends on a site": (
        scaled_uniform,
        Data(),
        "scaled_uniform: the support of site `z` depends on other sites; write it as a fixed support times a scale",
    ),
    "wrong dims": (
        WrongDims(),
        Data(),
        "WrongDims: dims of site `z` names 2 axes, its shape is (3,); correct `dims`",
    ),
    "a random density": (
        random_mean,
        Data({}, {"y": np.array(0.0)}),
        "random_mean: the density of site `y` is random: it is not the same twice at one point; "
        "draw random numbers in `pyro.sample` statements, and hide none of these",
    ),
    "a hidden site": (
        hidden_effect,
        Data({}, {"y": np.array(0.0)}),
        "hidden_effect: the density of site `y` is random: it is not the same twice at one point; "
        "draw random numbers in `pyro.sample` statements, and hide none of these",
    ),
    "labels outside a plate": (
        labels_without_a_plate,
        Data({}, {"y": X}),
        "labels_without_a_plate: discrete site `z` has several elements outside a plate; "
        "sample it inside a `pyro.plate`",
    ),
    "a branch on a label": (
        branching_on_a_label,
        Data({}, {"y": np.array(0.0)}),
        "branching_on_a_label: fails with all values of its discrete sites at once (Boolean value of Tensor with more "
        f"than one value is ambiguous); {AT_ONCE}",
    ),
    "a sum over values": (
        adding_up_what_should_broadcast,
        Data({}, {"y": np.array(0.0)}),
        "adding_up_what_should_broadcast: site `y` has another density with all values of the discrete sites at once "
        f"than with one; {AT_ONCE}",
    ),
    "labels read from outside their plate": (
        an_axis_too_many,
        Data({}, {"y": np.zeros(2)}),
        "an_axis_too_many: site `y` has another density with all values of the discrete sites at once than with one; "
        + AT_ONCE,
    ),
    "labels in the wrong axis": (
        labels_turned_to_a_column,
        Data({}, {"y": np.zeros((2, 2))}),
        "labels_turned_to_a_column: fails with all values of its discrete sites at once (site `y` has an axis too "
        f"many); {AT_ONCE}",
    ),
    "nothing to infer": (
        everything_observed,
        Data({}, {"y": np.array(0.0)}),
        "everything_observed: there is no latent site to infer; every site is observed",
    ),
}


@pytest.mark.parametrize(("model", "data", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(model: Callable[..., Any], data: Data, sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        read(model, data)
    assert str(refused.value) == sentence


def test_fixed_bounds_that_depend_on_data_are_a_fixed_support() -> None:
    def program(top: Tensor) -> None:
        with pyro.plate("row", len(top)):
            pyro.sample("z", dist.Uniform(0.0, top))

    assert [site.name for site in read(program, Data({"top": X})).latent] == ["z"]


def test_tensors_and_arrays_of_any_width_are_one_and_the_same_input() -> None:
    y = np.array([1.0, 2.0, 2.0])
    given = [
        X,
        torch.tensor(X, dtype=torch.float32),
        X.astype(np.float32),
        torch.tensor([1, 2, 3]),
        np.array([1, 2, 3], np.uint8),
    ]
    values = {read(line, Data({"x": x}, {"y": y})).log_joint({"slope": torch.tensor(0.5)}).item() for x in given}
    assert len(values) == 1


LABELLED = {
    "three values": (lambda: dist.Categorical(torch.ones(3) / 3), True),
    "a count of five": (lambda: dist.Binomial(5, 0.3), True),
    "one of three": (lambda: dist.OneHotCategorical(torch.ones(3) / 3), True),
    "any count": (lambda: dist.Poisson(2.0), False),
    "a wait": (lambda: dist.Geometric(0.3), False),
    "two at once": (lambda: dist.Bernoulli(torch.tensor([0.3, 0.6])).to_event(1), False),
    "counts of different size": (lambda: dist.Binomial(torch.tensor([3.0, 5.0]), 0.3), False),
}


IN_THE_PROGRAM = "sum it out in the program, for instance with MixtureSameFamily"


@pytest.mark.parametrize(("prior", "listed"), LABELLED.values(), ids=LABELLED)
def test_discrete_sites_are_served_where_their_values_can_be_listed(
    prior: Callable[[], dist.Distribution], listed: bool
) -> None:
    def program() -> None:
        pyro.sample("p", dist.Beta(1.0, 1.0))
        pyro.sample("k", prior())

    found = read(program, Data())
    assert [site.name for site in found.discrete] == ["k"] * listed
    with pytest.raises(InputError) as refused:
        refuse_discrete("exact", found)
    name = distribution_name(prior())
    assert str(refused.value) == (
        f"`exact` cannot fit program: site `k` ({name}) is discrete; "
        + ("use `nuts` or `svi`, which sum it out" if listed else IN_THE_PROGRAM)
    )
    if listed:
        refuse_discrete("nuts", found)
        return
    with pytest.raises(InputError) as refused:
        refuse_discrete("nuts", found)
    assert str(refused.value) == (
        f"`nuts` cannot fit program: site `k` ({name}) is discrete and its values cannot be listed; "
        "use a Categorical, Bernoulli or Binomial in a plate, which is summed out, or sum it out yourself"
    )


def test_the_support_of_an_observation_may_depend_on_other_sites() -> None:
    """How many tanks there are: a draw from the prior says nothing about whether the data fit."""

    def tanks(num_rows: int) -> None:
        total = pyro.sample("total", dist.Pareto(1.0, 1.0))
        with pyro.plate("row", num_rows):
            pyro.sample("number", dist.Uniform(0.0, total))

    for seed in range(5):
        pyro.set_rng_seed(seed)
        program = read(tanks, Data({"num_rows": 2}, {"number": np.array([40.0, 900.0])}))
        assert program.log_joint({"total": torch.tensor(1000.0)}).item() == pytest.approx(-4 * np.log(1000))


def test_a_matrix_that_has_no_factor_at_some_prior_draws_is_drawn_again() -> None:
    def program() -> None:
        m = pyro.sample("m", dist.Normal(0.0, 5.0))
        one = torch.ones_like(m)
        pyro.sample("y", dist.MultivariateNormal(torch.zeros(2), torch.stack([one, m, m, one]).reshape(2, 2)))

    for seed in range(5):
        pyro.set_rng_seed(seed)
        assert [site.name for site in read(program, Data({}, {"y": np.zeros(2)})).observed] == ["y"]


def test_a_program_is_named_and_checked_below_the_handlers_that_decorate_it() -> None:
    decorated = config_enumerate(poutine.reparam(line, config={"slope": LocScaleReparam(0.0)}))
    program = read(decorated, Data({"x": X}, {"y": X}))
    assert program.name == "line" and [site.name for site in program.latent] == ["slope_decentered"]
    with pytest.raises(InputError, match="^line: takes no argument `z`; known: `x`, `spread`$"):
        read(decorated, Data({"x": X, "z": X}))


def test_parameters_are_known_by_name() -> None:
    def program() -> None:
        scale = pyro.param("scale", torch.tensor(2.0))
        pyro.sample("m", dist.Normal(0.0, scale))

    found = read(program, Data())
    assert found.parameters == ("scale",)
    expected = scipy.stats.norm(0, 2).logpdf(0.7)
    assert found.log_joint({"m": torch.tensor(0.7)}).item() == pytest.approx(expected, rel=1e-12)


def test_first_fault_where_no_value_of_a_discrete_site_helps() -> None:
    """-inf given one label is no fault; given every label it is, in that row."""

    def program() -> None:
        p = pyro.sample("p", dist.Beta(1.0, 1.0))
        with pyro.plate("row", 3):
            z = pyro.sample("z", dist.Bernoulli(p))
            pyro.sample("y", dist.Delta(2.0 * z))

    at = {"p": torch.tensor(0.5)}
    assert read(program, Data({}, {"y": np.array([0.0, 2.0, 0.0])})).first_fault(at) is None
    found = read(program, Data({}, {"y": np.array([0.0, 2.0, 1.0])})).first_fault(at)
    assert found == "site `y` (Delta), row 3: log density is -inf at value 1"


@pytest.mark.parametrize(
    ("observed", "fault"),
    [
        ({"y": np.array([0.5, 3.0])}, None),
        ({"y": np.array([0.5, -3.0])}, "site `y` (Exponential), row 2: log density is -inf at value -3"),
    ],
)
def test_first_fault_names_site_row_and_value(observed: dict[str, np.ndarray], fault: str | None) -> None:
    class OneSided(dist.Exponential):
        def log_prob(self, value: Tensor) -> Tensor:
            return torch.where(value < 0, -torch.inf, super().log_prob(value))

    OneSided.__name__ = "Exponential"
    OneSided.support = dist.constraints.real

    def program() -> None:
        rate = pyro.sample("rate", dist.Gamma(1.0, 1.0))
        with pyro.plate("row", 2):
            pyro.sample("y", OneSided(rate))

    assert read(program, Data({}, observed)).first_fault({"rate": torch.tensor(1.5)}) == fault


def test_first_fault_of_a_scalar_site_has_no_row() -> None:
    def program() -> None:
        m = pyro.sample("m", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(m, 1.0))

    found = read(program, Data({}, {"y": np.array(1.0)})).first_fault({"m": torch.tensor(torch.inf)})
    assert found == "site `m` (Normal): log density is -inf at value inf"


def test_conditioned_is_what_pyros_own_algorithms_take() -> None:
    trace = poutine.trace(read(line, Data({"x": X}, {"y": X})).conditioned).get_trace()
    assert trace.nodes["y"]["is_observed"] and trace.nodes["y"]["value"].tolist() == X.tolist()
    assert not trace.nodes["slope"]["is_observed"]
