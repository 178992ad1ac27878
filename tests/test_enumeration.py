"""Discrete sites summed out, against brute force: the program run once for every assignment of values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import scipy.special
import scipy.stats
import torch
from cases import monte_carlo
from pyro.infer import config_enumerate
from pyro.ops.indexing import Vindex
from torch import Tensor

from inference import Nuts, Svi, fit, predict
from inference.density import LogDensity
from inference.predict import derived, log_likelihood, predictive, prior
from inference.program import Program, read
from inference.streams import workspace
from models.base import Data


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    with workspace(1):
        yield


Y = np.array([-1.2, 0.4, 2.1, 0.9])
GRID = np.array([[0.3, -0.8, 1.9], [2.2, 0.1, -1.4]])


def means(size: int) -> Tensor:
    return pyro.sample("mu", dist.Normal(torch.arange(float(size)), 2.0).to_event(1))


def mixture(y_size: int) -> None:
    """A label for each row."""
    mu = means(3)
    weights = pyro.sample("weights", dist.Dirichlet(torch.tensor([2.0, 1.0, 3.0])))
    with pyro.plate("row", y_size):
        z = pyro.sample("z", dist.Categorical(weights))
        pyro.sample("y", dist.Normal(mu[z], 0.7))


def chain() -> None:
    """A hidden Markov chain of four steps, its transition matrix unknown."""
    mu = means(2)
    with pyro.plate("from", 2):
        rows = pyro.sample("rows", dist.Dirichlet(torch.ones(2)))
    state: Any = torch.tensor(0)
    for t in pyro.markov(range(4)):
        state = pyro.sample(f"z{t}", dist.Categorical(rows[state]))
        pyro.sample(f"y{t}", dist.Normal(mu[state], 0.5))


def chain_without_markov() -> None:
    """The same, where each state keeps an axis of its own."""
    mu = means(2)
    state: Any = torch.tensor(0)
    for t in range(4):
        state = pyro.sample(f"z{t}", dist.Categorical(torch.tensor([[0.8, 0.2], [0.3, 0.7]])[state]))
        pyro.sample(f"y{t}", dist.Normal(mu[state], 0.5))


def shared(y_size: int) -> None:
    """One regime for all rows."""
    mu = means(2)
    regime = pyro.sample("regime", dist.Bernoulli(0.2))
    with pyro.plate("row", y_size):
        pyro.sample("y", dist.Normal(mu[regime.long()], 1.0))


def interacting(y_size: int) -> None:
    """Two labels for each row, the second depends on the first, the outcome on both."""
    cells = pyro.sample("cells", dist.Normal(torch.zeros(2, 3), 1.5).to_event(2))
    with pyro.plate("row", y_size):
        a = pyro.sample("a", dist.Bernoulli(0.3))
        b = pyro.sample("b", dist.Categorical(torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])[a.long()]))
        pyro.sample("y", dist.Normal(Vindex(cells)[a.long(), b], 0.8))


def nested(rows: int, columns: int) -> None:
    """A label for each row, one for each column and one for each cell of a table would not be a tree; rows and cells
    are."""
    mu = means(2)
    tilt = pyro.sample("tilt", dist.Normal(0.0, 1.0))
    with pyro.plate("row", rows, dim=-2):
        kind = pyro.sample("kind", dist.Categorical(torch.tensor([0.4, 0.6])))
        with pyro.plate("column", columns, dim=-1):
            flag = pyro.sample("flag", dist.Bernoulli(logits=tilt + kind))
            pyro.sample("y", dist.Normal(mu[kind] + flag, 0.9))


def inner_alone(rows: int, columns: int) -> None:
    """A label for each column, which ties the rows of a table together."""
    mu = means(2)
    with pyro.plate("column", columns, dim=-1):
        kind = pyro.sample("kind", dist.Categorical(torch.tensor([0.4, 0.6])))
        with pyro.plate("row", rows, dim=-2):
            pyro.sample("y", dist.Normal(mu[kind], 0.9))


def chains_in_a_plate(num: int) -> None:
    """Two steps of a chain for each of several sequences."""
    mu = means(2)
    table = torch.tensor([[0.8, 0.2], [0.3, 0.7]])
    with pyro.plate("sequence", num):
        state: Any = torch.tensor(0)
        for t in pyro.markov(range(2)):
            state = pyro.sample(f"z{t}", dist.Categorical(table[state]))
            pyro.sample(f"y{t}", dist.Normal(mu[state], 0.5))


def counts() -> None:
    """How many of five are affected, and what is seen of them: the observation's support depends on the count."""
    p = pyro.sample("p", dist.Beta(2.0, 2.0))
    n = pyro.sample("n", dist.Binomial(5, 0.6))
    pyro.sample("seen", dist.Binomial(n, p))


def one_hot() -> None:
    mu = means(3)
    which = pyro.sample("which", dist.OneHotCategorical(torch.tensor([0.2, 0.5, 0.3])))
    pyro.sample("y", dist.Normal((which * mu).sum(-1), 1.0))


def given_labels(y_size: int) -> None:
    """A continuous latent site and a factor that depend on the label."""
    mu = means(2)
    with pyro.plate("row", y_size):
        z = pyro.sample("z", dist.Categorical(torch.tensor([0.3, 0.7])))
        x = pyro.sample("x", dist.Normal(mu[z], 1.0))
        pyro.sample("y", dist.Normal(x, 0.5 + z))
        pyro.factor("tilt", 0.3 * z * x)


def without_a_plate() -> None:
    """Rows as a plain batch, tied by a label outside."""
    mu = means(2)
    z = pyro.sample("z", dist.Categorical(torch.tensor([0.3, 0.7])))
    pyro.sample("x", dist.Normal(torch.zeros(3), 1.0))
    pyro.sample("y", dist.Normal(mu[z] * torch.ones(4), 1.0))


@config_enumerate
def annotated(y_size: int) -> None:
    """As Pyro's users write it."""
    mu = means(2)
    with pyro.plate("row", y_size):
        z = pyro.sample("z", dist.Categorical(torch.tensor([0.3, 0.7])), infer={"enumerate": "sequential"})
        pyro.sample("y", dist.Normal(mu[z], 1.0))


class Case(NamedTuple):
    """A program, its data, and for each discrete site the number of its values and the shape that holds them."""

    model: Callable[..., Any]
    data: Data
    discrete: dict[str, tuple[int, tuple[int, ...]]]


STEPS = {f"y{t}": np.array(y) for t, y in enumerate(Y)}
CASES = {
    "label for each row": Case(mixture, Data({"y_size": 4}, {"y": Y}), {"z": (3, (4,))}),
    "chain": Case(chain, Data({}, STEPS), {f"z{t}": (2, ()) for t in range(4)}),
    "chain, not marked": Case(chain_without_markov, Data({}, STEPS), {f"z{t}": (2, ()) for t in range(4)}),
    "shared by all rows": Case(shared, Data({"y_size": 4}, {"y": Y}), {"regime": (2, ())}),
    "two in one plate": Case(interacting, Data({"y_size": 2}, {"y": Y[:2]}), {"a": (2, (2,)), "b": (3, (2,))}),
    "nested plates": Case(
        nested, Data({"rows": 2, "columns": 3}, {"y": GRID}), {"kind": (2, (2, 1)), "flag": (2, (2, 3))}
    ),
    "inner plate alone": Case(inner_alone, Data({"rows": 2, "columns": 3}, {"y": GRID}), {"kind": (2, (3,))}),
    "chains in a plate": Case(
        chains_in_a_plate, Data({"num": 2}, {"y0": Y[:2], "y1": Y[2:]}), {"z0": (2, (2,)), "z1": (2, (2,))}
    ),
    "count": Case(counts, Data({}, {"seen": np.array(2.0)}), {"n": (6, ())}),
    "one of three": Case(one_hot, Data({}, {"y": np.array(0.4)}), {"which": (3, ())}),
    "continuous given labels": Case(given_labels, Data({"y_size": 4}, {"y": Y}), {"z": (2, (4,))}),
    "rows without a plate": Case(without_a_plate, Data({}, {"y": Y}), {"z": (2, ())}),
    "annotated": Case(annotated, Data({"y_size": 4}, {"y": Y}), {"z": (2, (4,))}),
    "a plate of one": Case(mixture, Data({"y_size": 1}, {"y": Y[:1]}), {"z": (3, (1,))}),
}


@pytest.fixture(params=CASES, name="case")
def each_case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def assignments(case: Case, program: Program) -> Iterator[dict[str, Tensor]]:
    """Every joint value of the discrete sites."""
    dtypes = {name: program.trace({}).nodes[name]["value"].dtype for name in case.discrete}
    cells = [size for size, shape in case.discrete.values() for _ in range(math.prod(shape))]
    for flat in itertools.product(*map(range, cells)):
        left, values = list(flat), {}
        for name, (size, shape) in case.discrete.items():
            mine = torch.tensor([left.pop(0) for _ in range(math.prod(shape))]).reshape(shape)
            values[name] = torch.eye(size)[mine] if name == "which" else mine.to(dtypes[name])
        yield values


def by_brute_force(case: Case, program: Program, latents: dict[str, Tensor]) -> float:
    """log of the sum, over all assignments, of the density that a plain run of the program has."""
    terms = [program.trace({**latents, **values}).log_prob_sum().item() for values in assignments(case, program)]
    return float(scipy.special.logsumexp(terms))


def some_points(rows: int, size: int) -> Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(3))


def test_a_program_knows_its_discrete_sites(case: Case) -> None:
    program = read(case.model, case.data)
    assert {site.name for site in program.discrete} == set(case.discrete)
    assert not {site.name for site in program.latent} & set(case.discrete)


def test_the_density_is_the_sum_over_all_assignments(case: Case) -> None:
    program = read(case.model, case.data)
    density = LogDensity(program)
    for z in some_points(2, density.size):
        latents = density.constrain(z)
        expected = by_brute_force(case, program, latents)
        assert program.log_joint(latents).item() == pytest.approx(expected, rel=1e-11)
        jacobian = sum(
            block.transform.log_abs_det_jacobian(z[block.part].reshape(block.shape), latents[block.site.name]).sum()
            for block in density.blocks
        )
        assert density.one(z)[0].item() == pytest.approx(expected + float(jacobian), rel=1e-11)


def test_it_is_traced_and_rows_at_once_equal_rows_one_by_one(case: Case) -> None:
    density = LogDensity(read(case.model, case.data))
    assert density.untraced is None
    z = some_points(5, density.size)
    values, gradients = density(z)
    for row in range(5):
        value, gradient = density.one(z[row])
        torch.testing.assert_close(values[row], value, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(gradients[row], gradient, rtol=1e-10, atol=1e-12)


def test_gradient_equals_central_differences(case: Case) -> None:
    density = LogDensity(read(case.model, case.data))
    z, step = some_points(1, density.size)[0], 1e-5
    axes = torch.eye(density.size) * step
    differences = torch.stack([(density.one(z + axis)[0] - density.one(z - axis)[0]) / (2 * step) for axis in axes])
    torch.testing.assert_close(density.one(z)[1], differences, rtol=1e-7, atol=1e-7)


def draws_of(density: LogDensity, rows: int = 3) -> dict[str, Tensor]:
    return density.constrain(some_points(rows, density.size))


# observed site(s) -> how many leading axes of the value are plates that factorise
POINTWISE = {
    "label for each row": {"y": (4,)},
    "chain": {"y0+...+y3": ()},
    "chain, not marked": {"y0+...+y3": ()},
    "shared by all rows": {"y": ()},
    "two in one plate": {"y": (2,)},
    "nested plates": {"y": (2,)},
    "inner plate alone": {"y": ()},
    "chains in a plate": {"y0+y1": (2,)},
    "count": {"seen": ()},
    "one of three": {"y": ()},
    "continuous given labels": {"y": (4,)},
    "rows without a plate": {"y": ()},
    "annotated": {"y": (4,)},
    "a plate of one": {"y": (1,)},
}


def test_log_likelihood_of_all_data_is_the_ratio_of_two_sums(case: Case, request: pytest.FixtureRequest) -> None:
    """log p(y | x) = log sum_k p(x, k, y) - log sum_k p(x, k), by brute force."""
    program = read(case.model, case.data)
    draws = draws_of(LogDensity(program))
    found = log_likelihood(program, draws)
    expected_shapes = POINTWISE[request.node.callspec.params["case"]]
    assert {name: tuple(value.shape[1:]) for name, value in found.items()} == expected_shapes
    for row in range(3):
        latents = {name: value[row] for name, value in draws.items()}
        prior_terms = []
        for values in assignments(case, program):
            trace = program.trace({**latents, **values})
            trace.compute_log_prob()
            inside = [
                n["log_prob_sum"].item()
                for k, n in trace.nodes.items()
                if "log_prob" in n and k not in case.data.observed
            ]
            prior_terms.append(sum(inside))
        expected = by_brute_force(case, program, latents) - scipy.special.logsumexp(prior_terms)
        assert sum(value[row].sum().item() for value in found.values()) == pytest.approx(expected, rel=1e-10)


def test_each_row_of_a_mixture_has_its_own_marginal_density() -> None:
    case = CASES["label for each row"]
    mu, weights = np.array([-1.0, 0.5, 2.5]), np.array([0.2, 0.5, 0.3])
    found = log_likelihood(
        read(case.model, case.data), {"mu": torch.tensor(mu)[None], "weights": torch.tensor(weights)[None]}
    )
    expected = np.log((weights * scipy.stats.norm(mu, 0.7).pdf(Y[:, None])).sum(axis=1))
    np.testing.assert_allclose(found["y"][0].numpy(), expected, rtol=1e-12)


def test_each_sequence_in_a_plate_has_its_own_density() -> None:
    case = CASES["chains in a plate"]
    mu, table = np.array([-1.0, 0.5]), np.array([[0.8, 0.2], [0.3, 0.7]])
    found = log_likelihood(read(case.model, case.data), {"mu": torch.tensor(mu)[None]})["y0+y1"][0]
    emission = scipy.stats.norm(mu, 0.5).pdf(Y.reshape(2, 2)[:, :, None])  # step, sequence, state
    expected = [np.log((table[0] * emission[0, n] @ table * emission[1, n]).sum()) for n in range(2)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_observed_sites_that_no_label_touches_keep_their_rows_and_those_it_ties_are_one() -> None:
    def program() -> None:
        mu = means(2)
        with pyro.plate("row", 4):
            z = pyro.sample("z", dist.Categorical(torch.tensor([0.3, 0.7])))
            pyro.sample("height", dist.Normal(mu[z], 1.0))
            pyro.sample("weight", dist.Normal(2 * mu[z], 1.0))
            pyro.sample("age", dist.Normal(mu[0], 3.0))

    mu = np.array([-1.0, 0.5])
    observed = {"height": Y, "weight": Y + 1, "age": Y - 1}
    found = log_likelihood(read(program, Data({}, observed)), {"mu": torch.tensor(mu)[None]})
    assert set(found) == {"age", "height+weight"}
    np.testing.assert_allclose(found["age"][0].numpy(), scipy.stats.norm(mu[0], 3).logpdf(Y - 1), rtol=1e-12)
    pairs = scipy.stats.norm(mu, 1).pdf(Y[:, None]) * scipy.stats.norm(2 * mu, 1).pdf(Y[:, None] + 1)
    np.testing.assert_allclose(found["height+weight"][0].numpy(), np.log(pairs @ [0.3, 0.7]), rtol=1e-12)


def assert_pmf(found: np.ndarray, pmf: np.ndarray) -> None:
    """Counts of `found` over 0..K follow `pmf` (chi-squared, cells of less than 5 expected put together, at one in ten
    thousand)."""
    counts, expected = np.bincount(found, minlength=len(pmf)), pmf * len(found)
    small = expected < 5
    counts, expected = (np.append(x[~small], x[small].sum()) for x in (counts, expected))
    kept = expected > 0
    statistic = ((counts - expected)[kept] ** 2 / expected[kept]).sum()
    assert scipy.stats.chi2(max(1, kept.sum() - 1)).sf(statistic) > 1e-4


def test_states_are_drawn_jointly_from_their_posterior(case: Case) -> None:
    program = read(case.model, case.data)
    z = some_points(1, LogDensity(program).size)[0]
    latents = LogDensity(program).constrain(z)
    rows = 20000
    draws = derived(program, {name: value.expand(rows, *value.shape) for name, value in latents.items()})
    code, joint, size = np.zeros(rows, dtype=int), [], 1
    for values in assignments(case, program):
        joint.append(program.trace({**latents, **values}).log_prob_sum().item())
    for name, (levels, shape) in reversed(case.discrete.items()):
        assert draws[name].dtype == torch.int64 and draws[name].shape[1:] == (shape if name != "which" else (3,))
        found = draws[name].argmax(-1) if name == "which" else draws[name]
        for cell in reversed(found.reshape(rows, -1).T.numpy()):
            code += size * cell
            size *= levels
    assert_pmf(code, scipy.special.softmax(joint))


def test_deterministic_sites_follow_the_states_that_are_handed_back() -> None:
    def program() -> None:
        mu = means(2)
        with pyro.plate("row", 4):
            z = pyro.sample("z", dist.Categorical(torch.tensor([0.3, 0.7])))
            centre = pyro.deterministic("centre", mu[z], event_dim=0)
            pyro.sample("y", dist.Normal(centre, 1.0))

    mu = torch.tensor([[-1.0, 0.5]]).expand(500, 2)
    found = derived(read(program, Data({}, {"y": Y})), {"mu": mu})
    assert torch.equal(found["centre"], torch.tensor([-1.0, 0.5])[found["z"]])
    assert set(found["z"].unique().tolist()) == {0, 1}


def test_states_too_many_to_keep_are_left_out_and_deterministic_sites_still_follow_the_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def program() -> None:
        mu = means(2)
        with pyro.plate("row", 4):
            z = pyro.sample("z", dist.Categorical(torch.tensor([0.3, 0.7])))
            pyro.sample("y", dist.Normal(mu[z], 0.01))
        pyro.deterministic("ones", z.sum(-1))

    monkeypatch.setattr(predict, "MOST_VALUES", 100)
    data = Data({}, {"y": np.array([-1.0, 0.5, 0.5, 0.5])})
    found = derived(read(program, data), {"mu": torch.tensor([[-1.0, 0.5]]).expand(26, 2)})
    assert set(found) == {"ones"} and bool((found["ones"] == 3).all())


def test_replicated_data_draw_their_labels_anew() -> None:
    """Whatever the labels of the rows that were seen, a new row has the weights' own mixture."""
    case = CASES["label for each row"]
    program = read(case.model, case.data)
    mu, weights = torch.tensor([-50.0, 0.0, 50.0]), torch.tensor([0.2, 0.5, 0.3])
    y = predictive(program, {"mu": mu.expand(1500, 3), "weights": weights.expand(1500, 3)})["y"]
    assert_pmf((y / 50 + 1).round().clamp(0, 2).long().flatten().numpy(), weights.numpy())


def test_prior_draws_have_the_discrete_sites() -> None:
    found = prior(read(shared, Data({"y_size": 4}, {"y": Y})), 2000)
    assert set(found) == {"mu", "regime", "y"}
    assert_pmf(found["regime"].long().numpy(), np.array([0.8, 0.2]))


def test_terms_thousands_of_nats_apart_do_not_vanish() -> None:
    """Two observations that contradict each other: exponentials of single terms would all be 0."""

    def program() -> None:
        m = pyro.sample("m", dist.Normal(0.0, 1.0))
        z = pyro.sample("z", dist.Bernoulli(0.5))
        pyro.sample("a", dist.Normal(m + 100 * z, 1.0))
        pyro.sample("b", dist.Normal(m + 100 * z, 1.0))

    density = LogDensity(read(program, Data({}, {"a": np.array(0.0), "b": np.array(100.0)})))
    value, gradient = density.one(torch.tensor([0.3]))
    terms = [scipy.stats.norm(0.3 + 100 * z, 1).logpdf([0, 100]).sum() for z in (0, 1)]
    expected = scipy.stats.norm.logpdf(0.3) + scipy.special.logsumexp(terms) + math.log(0.5)
    assert value.item() == pytest.approx(expected, rel=1e-12) and math.isfinite(gradient.item())


def test_a_value_that_the_data_rule_out_has_no_weight() -> None:
    """A structural zero: the state of the rows that are not zero is certain."""

    def program(y_size: int) -> None:
        p = pyro.sample("p", dist.Beta(2.0, 2.0))
        with pyro.plate("row", y_size):
            z = pyro.sample("z", dist.Bernoulli(p))
            pyro.sample("y", dist.Poisson(3.0 * (1 - z)))

    y = np.array([0.0, 2.0, 0.0])
    program_ = read(program, Data({"y_size": 3}, {"y": y}))
    expected = np.log([0.4 + 0.6 * np.exp(-3), 0.6 * scipy.stats.poisson(3).pmf(2), 0.4 + 0.6 * np.exp(-3)])
    found = log_likelihood(program_, {"p": torch.tensor([0.4])})["y"][0]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    assert program_.first_fault({"p": torch.tensor(0.4)}) is None
    z, step = torch.tensor([0.2]), 1e-5
    density = LogDensity(program_)
    slope = (density.one(z + step)[0] - density.one(z - step)[0]) / (2 * step)
    assert density.one(z)[1].item() == pytest.approx(slope.item(), rel=1e-7)
    states = derived(program_, {"p": torch.full((2000,), 0.4)})["z"]
    assert not states[:, 1].any()
    assert_pmf(states[:, 0].numpy(), np.array([0.6 * np.exp(-3), 0.4]) / (0.4 + 0.6 * np.exp(-3)))


def regimes(num_rows: int) -> None:
    """A shift that all rows share or none does."""
    m = pyro.sample("m", dist.Normal(0.0, 2.0))
    shifted = pyro.sample("shifted", dist.Bernoulli(0.3))
    certain = pyro.sample("certain", dist.Bernoulli(0.5))
    pyro.sample("sign", dist.Delta(certain))
    with pyro.plate("row", num_rows):
        pyro.sample("y", dist.Normal(m + 0.7 * shifted, 1.0))


def exact_regimes() -> tuple[float, float, float, float]:
    """Mean and sd of m, probability of the shift, log evidence: m is a mixture of two conjugate normals."""
    n, variance = len(Y), 1 / (len(Y) + 1 / 4)
    covariance = np.eye(n) + 4.0
    weights = [
        math.log(p) + scipy.stats.multivariate_normal(np.full(n, shift), covariance).logpdf(Y)
        for p, shift in ((0.7, 0.0), (0.3, 0.7))
    ]
    share = scipy.special.softmax(weights)
    centres = np.array([variance * (Y - shift).sum() for shift in (0.0, 0.7)])
    mean = share @ centres
    sd = math.sqrt(variance + share @ (centres - mean) ** 2)
    return float(mean), sd, float(share[1]), float(scipy.special.logsumexp(weights)) + math.log(0.5)


BACKENDS: dict[str, Nuts | Svi] = {
    "nuts": Nuts(num_chains=8),
    "nuts by pyro": Nuts(engine="pyro", num_chains=2, num_warmup=100, num_samples=250),
    "svi": Svi(guide="laplace", num_samples=4000),
}


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_a_program_with_discrete_sites_has_the_posterior_that_the_sum_has(backend: Nuts | Svi) -> None:
    mean, sd, shift, log_evidence = exact_regimes()
    data = Data({"num_rows": 4}, {"y": Y, "sign": np.array(1.0)})
    posterior = fit(regimes, data, backend, seed=3)
    assert list(posterior.draws) == ["m", "shifted", "certain"]
    assert posterior.draws["shifted"].dtype == posterior.draws["certain"].dtype == np.int64
    summary = posterior.summary()
    # a constant has no diagnostics
    assert summary["certain"]["mean"] == 1 and summary["certain"]["r_hat"] is None
    if isinstance(backend, Svi):
        # the guide is a normal and the posterior is not quite; the weights correct the evidence, with their own error
        error = math.sqrt((1 / posterior.facts["importance_efficiency"] - 1) / posterior.num_draws)
        assert abs(posterior.facts["log_evidence_estimate"] - log_evidence) < 4.5 * error < 0.05
        return
    for name, expected in (("m", mean), ("shifted", shift)):
        assert abs(summary[name]["mean"] - expected) < 4.5 * summary[name]["mcse_mean"]
    found = monte_carlo(posterior.draws["m"], dependent=True)
    assert abs(found["sd"] - sd) < 4.5 * found["sd_error"]
    assert all(summary[name]["r_hat"] < 1.03 for name in ("m", "shifted"))


def test_a_sum_that_cannot_be_traced_has_the_right_numbers_too() -> None:
    """A total that is data: how many values there are is read off a tensor. n of 5 seen by chance is again binomial."""

    def program(total: Tensor) -> None:
        p = pyro.sample("p", dist.Beta(2.0, 2.0))
        with pyro.plate("row", len(total)):
            n = pyro.sample("n", dist.Binomial(total, 0.6))
            pyro.sample("y", dist.Binomial(n, p))

    density = LogDensity(read(program, Data({"total": np.array([5.0, 5.0])}, {"y": np.array([2.0, 0.0])})))
    assert density.untraced is not None
    z, step = torch.tensor([[0.3], [-1.0]]), 1e-5
    values, gradients = density(z)
    for row, p in enumerate(scipy.special.expit(z[:, 0].numpy())):
        expected = (
            scipy.stats.binom(5, 0.6 * p).logpmf([2, 0]).sum() + scipy.stats.beta(2, 2).logpdf(p) + np.log(p * (1 - p))
        )
        assert values[row].item() == pytest.approx(expected, rel=1e-10)
        slope = (density.one(z[row] + step)[0] - density.one(z[row] - step)[0]) / (2 * step)
        assert gradients[row].item() == pytest.approx(slope.item(), rel=1e-6, abs=1e-6)
