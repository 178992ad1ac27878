"""The family hidden_markov: SciPy's densities summed over all paths, published fits, reference posteriors, refusals."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import scipy.stats
import torch
from cases import monte_carlo, program_of, reference, table
from pydantic import ValidationError
from torch.distributions import biject_to

from experiments.datasets import BUNDLED, FOLDER
from inference import Nuts, Svi, fit
from inference.density import LogDensity
from inference.labels import align
from inference.posterior import Posterior
from inference.predict import log_likelihood, predictive
from inference.streams import workspace
from models import Data, InputError, Prior, Table, hidden_states
from models.distributions.rising import Rising
from models.hidden_markov import HiddenMarkov

POSTERIORDB = Path(__file__).parent / "posteriordb"
KINDS = ("gaussian", "poisson", "negative_binomial", "categorical")
STARTS = ("uniform", "stationary", "free")

# Three sequences of 4, 2 and 5 rows that lie in between each other, with empty cells.
LABELS = ["b", "a", "c", "a", "c", "a", "b", "c", "a", "c", "c"]
ROWS = table(
    g=[0.3, -1.2, 2.5, np.nan, 1.0, 0.2, -0.7, 3.1, np.nan, 0.0, 1.9],
    h=[10.0, 12.5, np.nan, np.nan, 9.0, 11.0, 14.0, 8.0, 10.5, 13.0, 9.5],
    m=[3, 0, 7, np.nan, 2, 11, 4, np.nan, 1, 0, 5],
    n=[1, 2, np.nan, np.nan, 0, 4, 9, 3, 3, 1, 2],
    u=np.array(["x", "y", "z", None, "x", "z", "y", "x", None, "y", "z"], dtype=object),
    v=np.array(["no", "no", None, None, "yes", "no", "yes", "no", "yes", "yes", "no"], dtype=object),
    sequence=np.array(LABELS, dtype=object),
)
CHANNELS = {"gaussian": ("g", "h"), "poisson": ("m", "n"), "negative_binomial": ("m", "n"), "categorical": ("u", "v")}


def model(kind: str, states: int = 2, **more: Any) -> HiddenMarkov:
    return HiddenMarkov(states, kind, **{"channels": CHANNELS[kind], **more})  # type: ignore[arg-type]


def parameters(kind: str, states: int, start: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One draw of every latent site, and of categories' `emission`."""
    found = {"transition": rng.dirichlet(np.full(states, 2.0), size=states)}
    if kind == "gaussian":
        found |= {"mu": rng.normal(size=(states, 2)), "sigma": rng.gamma(3, 0.4, size=(states, 2))}
    elif kind == "categorical":
        found["stick"] = rng.beta(2, 2, size=(states, 3))
        first, second, third = found["stick"].T
        found["emission"] = np.stack(
            [first, (1 - first) * second, (1 - first) * (1 - second), third, 1 - third], axis=1
        )
    else:
        found["rate"] = rng.gamma(3, 0.5, size=(states, 2))
        found |= {"phi": rng.gamma(3, 1.0, size=(states, 2))} if kind == "negative_binomial" else {}
    if start == "free":
        found["start"] = rng.dirichlet(np.full(states, 2.0))
    return found


def tensors(draw: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.as_tensor(values) for name, values in draw.items() if name != "emission"}


# --- the oracle: all paths, densities by SciPy --------------------------------------------------------------------


def law(kind: str, draw: dict[str, np.ndarray], k: int, c: int) -> Any:
    """The distribution of channel c in state k; codes of categories."""
    scale = {"gaussian": 1.0, "poisson": 1.0, "negative_binomial": 1.0, "categorical": 1.0}[kind]
    if kind == "gaussian":
        return scipy.stats.norm(draw["mu"][k, c], scale * draw["sigma"][k, c])
    if kind == "poisson":
        return scipy.stats.poisson(draw["rate"][k, c])
    if kind == "negative_binomial":
        phi = draw["phi"][k, c]
        return scipy.stats.nbinom(phi, phi / (phi + draw["rate"][k, c]))
    own = draw["emission"][k, :3] if c == 0 else draw["emission"][k, 3:]
    return scipy.stats.rv_discrete(values=(np.arange(len(own)), own))


def rows_of(label: str) -> list[int]:
    return [row for row, own in enumerate(LABELS) if own == label]


def cell(kind: str, row: int, c: int) -> float | None:
    value = ROWS.columns[CHANNELS[kind][c]][row]
    if value is None or value != value:
        return None
    return float(["x", "y", "z", "no", "yes"].index(value) - 3 * c if isinstance(value, str) else value)


def log_emission(kind: str, draw: dict[str, np.ndarray], label: str) -> np.ndarray:
    """`(T, K)` of one sequence, as long as it is."""
    states = len(draw["transition"])
    found = np.zeros((len(rows_of(label)), states))
    for t, row in enumerate(rows_of(label)):
        for k, c in itertools.product(range(states), range(2)):
            value = cell(kind, row, c)
            if value is not None:
                own = law(kind, draw, k, c)
                found[t, k] += own.logpdf(value) if kind == "gaussian" else own.logpmf(value)
    return found


def start_of(start: str, draw: dict[str, np.ndarray]) -> np.ndarray:
    states = len(draw["transition"])
    if start == "stationary":  # by its definition: the left eigenvector of eigenvalue one
        values, vectors = np.linalg.eig(draw["transition"].T)
        vector = np.real(vectors[:, np.argmax(np.real(values))])
        return vector / vector.sum()
    return draw["start"] if start == "free" else np.full(states, 1 / states)


def all_paths(kind: str, start: str, draw: dict[str, np.ndarray], label: str) -> dict[tuple[int, ...], float]:
    """The joint probability of every path and a sequence."""
    emission, transition = log_emission(kind, draw, label), draw["transition"]
    first = start_of(start, draw)
    return {
        path: first[path[0]]
        * np.prod([transition[i, j] for i, j in itertools.pairwise(path)])
        * np.exp(sum(emission[t, k] for t, k in enumerate(path)))
        for path in itertools.product(range(len(first)), repeat=len(emission))
    }


def shares(paths: dict[tuple[int, ...], float], states: int) -> np.ndarray:
    """P(state at t | the sequence), `(T, K)`."""
    found = np.zeros((len(next(iter(paths))), states))
    for path, probability in paths.items():
        found[range(len(path)), path] += probability
    return found / sum(paths.values())


# --- the density --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_log_joint_is_the_sum_of_its_parts(kind, start):
    found = model(kind, 3, start=start, standardise=False, sticky=4.0, transition_prior="dirichlet(0.7)")
    draw = parameters(kind, 3, start, np.random.default_rng(1))
    with workspace(0):
        program = program_of(found, found.data(ROWS))
        assert {site.name for site in program.latent} == set(tensors(draw))
        joint = float(program.log_joint(tensors(draw)))
        pointwise = log_likelihood(program, {name: v[None] for name, v in tensors(draw).items()})["y"][0]
    known = [np.log(sum(all_paths(kind, start, draw, label).values())) for label in ("a", "b", "c")]
    assert pointwise.numpy() == pytest.approx(known, abs=1e-9)
    expected = sum(known)
    for i in range(3):
        mass = 0.7 + 4 * (np.arange(3) == i)
        expected += scipy.stats.dirichlet(mass).logpdf(draw["transition"][i])
    if start == "free":
        expected += scipy.stats.dirichlet(np.ones(3)).logpdf(draw["start"])
    if kind == "gaussian":
        expected += scipy.stats.norm(0, 1.5).logpdf(draw["mu"]).sum()
        expected += scipy.stats.lognorm(1.0, scale=np.exp(-0.5)).logpdf(draw["sigma"]).sum()
    elif kind == "categorical":
        expected += scipy.stats.beta(1, [2, 1, 1]).logpdf(draw["stick"]).sum()  # of uniform probabilities
    else:
        expected += scipy.stats.expon(scale=2).logpdf(draw["rate"]).sum()
        expected += scipy.stats.expon(scale=10).logpdf(draw["phi"]).sum() if "phi" in draw else 0.0
    assert joint == pytest.approx(expected, abs=1e-9)


# Three sequences of more rows than are written out, three states and two channels: loops lie in loops.
LONG = Table({name: np.tile(values, 3) for name, values in ROWS.columns.items()}, "rows.csv")
COMPILED = [
    ("gaussian", "none", "uniform"),
    ("gaussian", "emission", "stationary"),
    ("poisson", "none", "free"),
    ("poisson", "emission", "stationary"),
    ("negative_binomial", "none", "stationary"),
    ("negative_binomial", "emission", "free"),
    ("categorical", "none", "stationary"),
]


@pytest.mark.parametrize(("kind", "order", "start"), COMPILED)
def test_the_density_becomes_machine_code(kind, order, start):
    found = model(kind, 3, start=start, order=order)
    with workspace(3):
        density = LogDensity(program_of(found, found.data(LONG)))
        z = torch.randn(16, density.size)
        value, gradient = density(z)
        density.settle(16, "always")
        assert density.untraced is None and density.kernel is not None
        again, slope = density(z)
    assert torch.isfinite(value).all() and torch.isfinite(gradient).all()
    assert again.numpy() == pytest.approx(value.numpy(), rel=1e-9)
    assert slope.numpy() == pytest.approx(gradient.numpy(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_finite_far_from_the_data(kind):
    found = model(kind, 3, start="stationary")
    with workspace(4):
        density = LogDensity(program_of(found, found.data(LONG)))
        for scale in (0.0, 2.0, 10.0):
            value, gradient = density(scale * torch.randn(100, density.size).clamp(-2, 2))
            assert torch.isfinite(value).all() and torch.isfinite(gradient).all(), scale


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_both_scales_are_one_posterior(kind):
    """Priors hold for values less their mean over their standard deviation, for counts over their mean."""
    found = model(kind)
    data = found.data(ROWS)
    raw = np.column_stack([ROWS.columns[name] for name in CHANNELS[kind]]).astype(float)
    if kind == "gaussian":
        assert data.inputs["center"] == pytest.approx(np.nanmean(raw, axis=0))
        assert data.inputs["scale"] == pytest.approx(np.nanstd(raw, axis=0))
    else:
        assert data.inputs["center"].tolist() == [0, 0]
        assert data.inputs["scale"] == pytest.approx(np.nanmean(raw, axis=0))
    draw = parameters(kind, 2, "uniform", np.random.default_rng(2))
    with workspace(0):
        nodes = program_of(found, data).trace(tensors(draw)).nodes
    center, scale = data.inputs["center"], data.inputs["scale"]
    own = {"mu": lambda x: center + scale * x, "sigma": lambda x: scale * x, "rate": lambda x: scale * x}
    raws = {name: nodes[f"{name}_raw"]["value"].numpy() for name in own if name in draw}
    for name, values in raws.items():
        assert values == pytest.approx(own[name](draw[name]))
    emission = nodes["y"]["fn"].emission
    means = emission.mean if kind == "gaussian" else emission.log_mean.exp()
    assert means.numpy() == pytest.approx(next(iter(raws.values())))


def test_a_known_standard_deviation_is_on_the_channels_own_scale():
    found = model("gaussian", sd=0.5)
    with workspace(0):
        program = program_of(found, found.data(ROWS))
        assert {site.name for site in program.latent} == {"mu", "transition"}
        fn = program.run({}).nodes["y"]["fn"]
    assert (fn.emission.stddev == 0.5).all()


# --- order --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", ["normal(1, 2)", "gamma(2, 0.5)"])
def test_an_order_is_kept_and_counts_once(prior):
    literal = Prior.parse(prior)
    with workspace(5):
        fn = Rising(literal.distribution(), 3, 2)
        drawn = fn.sample((4000,))
        assert drawn.shape == (4000, 3, 2) and (drawn[:, 1:, 0] > drawn[:, :-1, 0]).all()
        assert fn.support.check(drawn).all() and not fn.support.check(drawn.flip(1)).any()
        independent = literal.distribution().log_prob(drawn).sum((1, 2))
        torch.testing.assert_close(fn.log_prob(drawn), independent + np.log(6))
        transform = biject_to(fn.support)
        x = transform.inv(drawn[:5])
        torch.testing.assert_close(transform(x), drawn[:5])
        for one in x:
            jacobian = torch.autograd.functional.jacobian(lambda z: transform(z).flatten(), one).reshape(6, 6)
            found = transform.log_abs_det_jacobian(one, transform(one))
            torch.testing.assert_close(found, torch.linalg.slogdet(jacobian)[1])
        # the smallest of three has the distribution of a minimum
        base = scipy.stats.norm(1, 2) if "normal" in prior else scipy.stats.gamma(2, scale=2)
        assert scipy.stats.kstest(drawn[:, 0, 0], lambda v: 1 - base.sf(v) ** 3).pvalue > 1e-3
        # the other column knows no order
        assert scipy.stats.kstest(drawn[:, 0, 1], base.cdf).pvalue > 1e-3


def test_labels_are_arbitrary_unless_something_tells_states_apart():
    assert model("poisson").exchangeable == HiddenMarkov.exchangeable == "state"
    assert model("poisson", order="emission").exchangeable is None
    assert model("gaussian", state_priors=["normal(0, 1)", "normal(2, 1)"]).exchangeable is None


# --- published fits -----------------------------------------------------------------------------------------------


def bundled(name: str) -> Table:
    frame = pandas.read_csv(FOLDER / BUNDLED[name].file)
    return Table({column: frame[column].to_numpy() for column in frame}, BUNDLED[name].file)


EARTHQUAKES = bundled("earthquakes")
MEAN = float(EARTHQUAKES.columns["count"].mean())
# V. Wang, HMM-notes, chapter 8, for 3 states; solutions of the exercises of Zucchini & MacDonald (2009) for 2 states
PUBLISHED: list[tuple[int, str, float, dict[str, Any]]] = [
    (2, "stationary", -342.3183, {}),
    (2, "free", -341.8787, {}),
    (
        3,
        "stationary",
        -329.4603,
        {
            "rate_raw": [[13.14573], [19.72101], [29.71437]],
            "transition": [
                [0.9546243, 0.0244426, 0.02093313],
                [0.04976679, 0.8993673, 0.05086592],
                [1.5e-09, 0.196642, 0.80335799],
            ],
            "start": [0.443642, 0.4044983, 0.1518597],
        },
    ),
    (3, "free", -328.5275, {"rate_raw": [[13.13374], [19.71312], [29.70964]], "start": [1, 0, 0]}),
]


@pytest.mark.parametrize(("states", "start", "maximum", "estimates"), PUBLISHED)
def test_the_mode_under_flat_priors_is_the_published_maximum(states, start, maximum, estimates):
    """Priors that are flat but for a millionth, so that a maximum on a border has a mode beside it."""
    almost: Any = "dirichlet(1.000001)"
    found = HiddenMarkov(
        states,
        "poisson",
        ("count",),
        start=start,
        order="emission",
        rate_prior="exponential(1e-6)",  # type: ignore[arg-type]  # a literal is read as a prior
        transition_prior=almost,
        start_prior=almost,
    )
    data = found.data(EARTHQUAKES)
    posterior = fit(found, data, Svi(guide="map"), seed=1)
    at = {name: draws[:1, :1] for name, draws in posterior.draws.items()}
    arguments = found.chains(at, data).logarithms(data.observed["y"], data.inputs["there"])
    assert hidden_states.filtered(*arguments).log_density.sum() == pytest.approx(maximum, abs=6e-5)
    for name, values in estimates.items():
        assert at[name][0, 0] == pytest.approx(np.array(values), rel=2e-5, abs=2e-5), name


# --- reference posteriors -----------------------------------------------------------------------------------------


# Stan's standard deviations of 4,000 draws as V. Wang has published them, and the standard errors of the means. The
# stored reference rests on importance weights that are uneven here, where its means have twice the error of others:
# a few heavy draws make its spread too wide.
SPREADS = {"gamma[2,2]": (0.085, 0.002), "gamma[2,3]": (0.058, 0.001)}


def agrees(draws: np.ndarray, summary: dict[str, Any], parameters: list[str]) -> None:
    """Means and standard deviations of draws `(chain, draw, parameters)` within 4 combined standard errors."""
    found = monte_carlo(draws, dependent=True)
    mean, sd, error = (np.array([summary[name][key] for name in parameters]) for key in ("mean", "sd", "mcse_mean"))
    gap = np.abs(found["mean"] - mean) / np.hypot(found["mean_error"], error)
    assert gap.max() < 4, dict(zip(parameters, gap.round(1), strict=True))
    error = error / 2**0.5
    for place, name in enumerate(parameters):
        if len(parameters) == 15 and name in SPREADS:
            sd[place], error[place] = SPREADS[name]
    gap = np.abs(found["sd"] - sd) / np.hypot(found["sd_error"], error)
    assert gap.max() < 4, dict(zip(parameters, gap.round(1), strict=True))


def side_by_side(draws: Any, *sites: str) -> np.ndarray:
    return np.concatenate([draws[site].reshape(*draws[site].shape[:2], -1) for site in sites], axis=-1)


@pytest.mark.parametrize("order", ["none", "emission"])
@pytest.mark.parametrize("states", [2, 3])
def test_nuts_finds_the_posterior_of_earthquakes(states, order):
    """The reference's gamma(1, 0.01) is of rates, the family's prior of rates over the mean count."""
    prior: Any = f"gamma(1, {0.01 * MEAN!r})"
    found = HiddenMarkov(states, "poisson", ("count",), start="stationary", order=order, rate_prior=prior)
    posterior = fit(found, found.data(EARTHQUAKES), Nuts(), seed=1)
    assert posterior.facts["compiled"] is True
    draws = posterior.draws
    if order == "none":  # the reference numbers states by their rates
        rank = draws["rate"][..., 0].argsort(axis=-1)
        rows = np.take_along_axis(draws["transition"], rank[..., None], axis=2)
        draws = {
            "rate_raw": np.take_along_axis(draws["rate_raw"], rank[..., None], axis=2),
            "transition": np.take_along_axis(rows, rank[:, :, None], axis=3),
            "start": np.take_along_axis(draws["start"], rank, axis=2),
        }
    each = range(1, states + 1)
    names = [f"lambda[{i}]" for i in each] + [f"gamma[{i},{j}]" for i in each for j in each]
    found_draws = side_by_side(draws, "rate_raw", "transition", "start")
    agrees(found_draws, reference(f"earthquakes_hmm{states}")["summary"], names + [f"delta[{i}]" for i in each])


def test_nuts_finds_the_posterior_of_hmm_example():
    """posteriordb: the states' means have priors of their own, which tell the states apart."""
    y = json.loads((POSTERIORDB / "hmm_example.data.json").read_text())["y"]
    found = HiddenMarkov(
        2,
        "gaussian",
        sd=1.0,
        standardise=False,
        state_priors=["normal(3, 1)", "normal(10, 1)"],  # type: ignore[arg-type]  # literals are read as priors
    )
    posterior = fit(found, found.data(table(y=y)), Nuts(), seed=1)
    known = json.loads((POSTERIORDB / "hmm_example-hmm_example.reference.json").read_text())["summary"]
    names = ["theta1[1]", "theta1[2]", "theta2[1]", "theta2[2]", "mu[1]", "mu[2]"]
    agrees(side_by_side(posterior.draws, "transition", "mu"), known, names)


# --- what a run is used for ---------------------------------------------------------------------------------------


def simulated(kind: str, rng: np.random.Generator, **more: Any) -> tuple[HiddenMarkov, Data, dict[str, np.ndarray]]:
    """Four sequences of 150 rows from known parameters, with every tenth cell missing."""
    found = model(kind, 2, channels=("y", "z"), start="free", standardise=False, **more)
    truth = {"transition": np.array([[0.9, 0.1], [0.2, 0.8]]), "start": np.array([0.7, 0.3])}
    if kind == "gaussian":
        truth |= {"mu": np.array([[-1.0, 5.0], [1.5, 4.0]]), "sigma": np.array([[0.7, 1.0], [1.2, 0.5]])}
    elif kind == "categorical":
        truth["stick"] = np.array([[0.7, 0.5, 0.8], [0.2, 0.3, 0.3]])
    else:
        truth["rate"] = np.array([[2.0, 9.0], [8.0, 3.0]])
        truth |= {"phi": np.array([[4.0, 6.0], [5.0, 3.0]])} if kind == "negative_binomial" else {}
    labels = [np.array(own, dtype=object)[rng.integers(len(own), size=600)] for own in (["a", "b", "c"], ["no", "yes"])]
    y, z = labels if kind == "categorical" else rng.integers(1, 5, size=(2, 600)).astype(float)
    y[::10] = None if kind == "categorical" else np.nan
    rows = Table({"y": y, "z": z, "sequence": np.repeat(np.array(list("abcd"), dtype=object), 150)}, "rows.csv")
    data = found.data(rows)
    with workspace(18):
        program = program_of(found, data)
        drawn = predictive(program, {name: v[None] for name, v in tensors(truth).items()})["y"][0].numpy()
    return found, Data(data.inputs, {"y": drawn}, data.coords, data.dims), truth


@pytest.mark.parametrize("kind", KINDS)
def test_the_truth_of_simulated_rows_is_found(kind):
    """Every parameter within 4 posterior standard deviations, and the intervals are not wide for no reason."""
    found, data, truth = simulated(kind, np.random.default_rng(17))
    posterior = fit(found, data, Nuts(num_warmup=200, num_samples=100), seed=1)
    draws = align(posterior.draws, posterior.dims, "state").draws
    # categories have no order of their own: labels go by the first stick
    name = {"gaussian": "mu", "categorical": "stick"}.get(kind, "rate")
    order = np.argsort(truth[name][:, 0])
    for site, value in truth.items():
        value = value[order]
        value = value[:, order] if site == "transition" else value
        mean, sd = draws[site].mean(axis=(0, 1)), draws[site].std(axis=(0, 1))
        assert (np.abs(mean - value) <= 4 * sd).all(), site
        assert (sd < 0.35 * np.maximum(1, value)).all() or site == "phi", site


def test_svi_finds_what_nuts_finds():
    found, data, _ = simulated("gaussian", np.random.default_rng(3), order="emission")
    nuts = fit(found, data, Nuts(num_warmup=200, num_samples=200), seed=1)
    svi = fit(found, data, Svi(guide="multivariate_normal"), seed=1)
    for site in ("mu", "sigma", "transition"):
        sd = nuts.draws[site].std(axis=(0, 1))
        assert (np.abs(nuts.draws[site].mean(axis=(0, 1)) - svi.draws[site].mean(axis=(0, 1))) < 0.3 * sd).all(), site
        assert svi.draws[site].std(axis=(0, 1)) == pytest.approx(sd, rel=0.25), site


def test_exact_names_the_site_in_the_way():
    found = model("poisson")
    with pytest.raises(InputError, match="^`exact` cannot fit HiddenMarkov: site `"):
        fit(found, found.data(ROWS), "exact")


# --- states -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("kind", KINDS)
def test_states_and_forecasts_equal_brute_force_for_every_draw(kind, start):
    states, count, steps = 2, 6, 3
    found = model(kind, states, start=start, standardise=False)
    data = found.data(ROWS)
    rng = np.random.default_rng(7)
    each = [parameters(kind, states, start, rng) for _ in range(count)]
    draws = {name: np.stack([draw[name] for draw in each]).reshape(2, 3, *each[0][name].shape) for name in each[0]}
    decoded, forecast = found.decode(draws, data, mass=0.8), found.forecast(draws, data, steps)
    arguments = found.chains(draws, data).logarithms(data.observed["y"], data.inputs["there"])
    log_joint = hidden_states.most_likely(*arguments, data.inputs["lengths"]).log_joint
    assert forecast.states.shape == (2, 3, 3, steps, states)
    for s, label in enumerate("abc"):
        paths = [all_paths(kind, start, draw, label) for draw in each]
        length = len(rows_of(label))
        smoothed = np.stack([shares(own, states) for own in paths])
        assert decoded.smoothed[s, :length] == pytest.approx(smoothed.mean(axis=0), abs=1e-12)
        assert decoded.lower[s, :length] == pytest.approx(np.quantile(smoothed, 0.1, axis=0), abs=1e-12)
        assert decoded.upper[s, :length] == pytest.approx(np.quantile(smoothed, 0.9, axis=0), abs=1e-12)
        best = [max(own, key=lambda path: own[path]) for own in paths]
        votes = np.stack([[np.mean([path[t] == k for path in best]) for k in range(states)] for t in range(length)])
        assert decoded.votes[s, :length] == pytest.approx(votes)
        assert decoded.path[s, :length].tolist() == votes.argmax(axis=1).tolist()
        known = [np.log(own[path]) for own, path in zip(paths, best, strict=True)]
        assert log_joint[:, s] == pytest.approx(known, abs=1e-12)
        for number, draw in enumerate(each):
            emission = np.exp(log_emission(kind, draw, label))
            forward = start_of(start, draw) * emission[0]
            filtered = [forward / forward.sum()]
            for t in range(1, length):
                forward = (forward @ draw["transition"]) * emission[t]
                filtered.append(forward / forward.sum())
            ahead = [smoothed[number, -1] @ np.linalg.matrix_power(draw["transition"], h + 1) for h in range(steps)]
            place = (*divmod(number, 3), s)
            assert forecast.states[place] == pytest.approx(np.stack(ahead), abs=1e-12)
            if kind == "categorical":
                means = draw["emission"]
            else:
                means = np.array([[law(kind, draw, k, c).mean() for c in range(2)] for k in range(states)])
            assert forecast.mean[place] == pytest.approx(np.stack(ahead) @ means, abs=1e-9)
            of_one = found.decode({name: values[None, None] for name, values in draw.items()}, data)
            assert of_one.filtered[s, :length] == pytest.approx(np.stack(filtered), abs=1e-12)
            assert of_one.path[s, :length].tolist() == list(best[number])


@pytest.mark.parametrize("kind", KINDS)
def test_observations_ahead_are_drawn_from_their_law(kind):
    """40,000 draws with one vector of parameters: of the states the shares, of each state the mean and the spread."""
    draw = parameters(kind, 2, "uniform", np.random.default_rng(11))
    count = 40_000
    draws = {name: np.broadcast_to(values, (1, count, *values.shape)) for name, values in draw.items()}
    found = model(kind, 2, standardise=False)
    data = found.data(Table({**ROWS.columns, "sequence": np.array(["a"] * 11, dtype=object)}, "rows.csv"))
    values = found.forecast(draws, data, 2, seed=5).values[0, :, 0]
    states = found.forecast({name: v[:, :1] for name, v in draws.items()}, data, 2).states[0, 0, 0]
    for step, c in itertools.product(range(2), range(2)):
        laws = [law(kind, draw, k, c) for k in range(2)]
        mean = sum(states[step, k] * laws[k].mean() for k in range(2))
        square = sum(states[step, k] * (laws[k].var() + laws[k].mean() ** 2) for k in range(2))
        own = values[:, step, c]
        assert own.mean() == pytest.approx(mean, abs=4 * own.std() / count**0.5)
        squares = (own - mean) ** 2
        assert squares.mean() == pytest.approx(square - mean**2, abs=4 * squares.std() / count**0.5)


def test_drawn_states_have_their_smoothed_probabilities():
    draw = parameters("poisson", 2, "uniform", np.random.default_rng(12))
    count = 10_000
    draws = {name: np.broadcast_to(values, (2, count // 2, *values.shape)) for name, values in draw.items()}
    found = model("poisson", 2, standardise=False)
    paths = found.draw_states(draws, found.data(ROWS), seed=3)
    assert paths.shape == (2, count // 2, 3, 5)
    for s, label in enumerate("abc"):
        smoothed = shares(all_paths("poisson", "uniform", draw, label), 2)
        share = (paths[:, :, s, : len(smoothed)] == 1).mean(axis=(0, 1))
        error = np.sqrt(smoothed[:, 1] * smoothed[:, 0] / count)
        assert (np.abs(share - smoothed[:, 1]) <= 4 * error).all()


def test_many_values_are_decoded_in_pieces(monkeypatch):
    draws = {
        name: np.broadcast_to(values, (2, 30, *values.shape))
        for name, values in parameters("gaussian", 3, "uniform", np.random.default_rng(1)).items()
    }
    found = model("gaussian", 3)
    data = found.data(LONG)
    whole = found.decode(draws, data), found.forecast(draws, data, 2).states
    monkeypatch.setattr("models.decoding.MOST_VALUES", 100)
    pieces = found.decode(draws, data), found.forecast(draws, data, 2).states
    for one, other in zip(whole[0], pieces[0], strict=True):
        assert one == pytest.approx(other, abs=1e-12)
    assert whole[1] == pytest.approx(pieces[1], abs=1e-12)


def test_quantities_do_not_know_labels():
    found = model("poisson")
    transition = np.array([[[[0.7, 0.3], [0.2, 0.8]]]])
    quantities = found.quantities({"transition": transition}, Data())
    assert quantities.draws["stay"][0, 0].tolist() == [0.8, 0.7]
    assert quantities.draws["occupancy"][0, 0] == pytest.approx([0.6, 0.4])
    # by hand: the mean over states of the entropy of what follows
    rows = [-(p * np.log(p) + (1 - p) * np.log(1 - p)) for p in (0.7, 0.2)]
    assert quantities.draws["entropy_rate"][0, 0] == pytest.approx(0.4 * rows[0] + 0.6 * rows[1])
    again = found.quantities({"transition": transition[:, :, ::-1, ::-1]}, Data())
    for name, values in quantities.draws.items():
        assert again.draws[name] == pytest.approx(values), name
        assert values.shape[2:] == tuple({"rank": 2}[dim] for dim in quantities.dims[name])
    certain = found.quantities({"transition": np.array([[[[0.0, 1.0], [1.0, 0.0]]]])}, Data())
    assert certain.draws["entropy_rate"][0, 0] == 0


# --- prediction ---------------------------------------------------------------------------------------------------


def drawn(kind: str, states: int = 2) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    each = [parameters(kind, states, "uniform", rng) for _ in range(40)]
    return {name: np.stack([draw[name] for draw in each])[None] for name in each[0]}


def test_rows_are_predicted_where_they_are():
    found, draws = model("gaussian"), drawn("gaussian")
    columns = found.predict(draws, ROWS, ROWS)
    decoded = found.decode(draws, found.data(ROWS))
    for row, label in enumerate(LABELS):
        place = ("abc".index(label), rows_of(label).index(row))
        assert columns["state"][row] == decoded.path[place]
        for k in (0, 1):
            assert columns[f"P(state={k})"][row] == pytest.approx(decoded.smoothed[place][k])
            assert columns[f"P(state={k}) lower"][row] == pytest.approx(decoded.lower[place][k])
            assert columns[f"P(state={k}) upper"][row] == pytest.approx(decoded.upper[place][k])
    assert {len(values) for values in columns.values()} == {11}
    assert columns["P(state=0)"] + columns["P(state=1)"] == pytest.approx(np.ones(11))


def test_empty_rows_at_the_end_are_a_forecast():
    fitted = table(y=[0.5, 3.0, 2.0, 0.1, 1.0])
    longer = table(y=[0.5, 3.0, 2.0, 0.1, 1.0, np.nan, np.nan])
    found = HiddenMarkov(2, "poisson", standardise=False)
    draws = {name: values[..., :1] if name == "rate" else values for name, values in drawn("poisson").items()}
    fitted = table(y=[1, 3, 2, 0, 1])
    longer = table(y=[1, 3, 2, 0, 1, np.nan, np.nan])
    columns = found.predict(draws, fitted, longer)
    forecast = found.forecast(draws, found.data(fitted), 2)
    assert columns["mean"][5:] == pytest.approx(forecast.mean[0, :, 0, :, 0].mean(axis=0))
    assert columns["P(state=1)"][5:] == pytest.approx(forecast.states[0, :, 0, :, 1].mean(axis=0))
    assert (columns["lower"] <= columns["mean"]).all() and (columns["mean"] <= columns["upper"]).all()
    narrow = found.predict(draws, fitted, longer, mass=0.2)
    assert (narrow["upper"] - narrow["lower"] < columns["upper"] - columns["lower"]).all()


def test_intervals_of_predictions_hold_their_mass():
    """Of one vector of parameters: the interval's ends are quantiles of the mixture of the states' laws."""
    draw = {"rate": np.array([[4.0], [30.0]]), "transition": np.array([[0.6, 0.4], [0.3, 0.7]])}
    draws = {name: np.broadcast_to(values, (4, 250, *values.shape)) for name, values in draw.items()}
    found = HiddenMarkov(2, "poisson", standardise=False)
    rows = table(y=[3.0, np.nan, 28.0])
    columns = found.predict(draws, rows, rows, mass=0.5)
    for row in range(3):
        weights = [columns[f"P(state={k})"][row] for k in (0, 1)]

        def mass_up_to(value: float, weights: Any = weights) -> float:
            return sum(w * scipy.stats.poisson(rate).cdf(value) for w, rate in zip(weights, (4, 30), strict=True))

        # a thousand draws: a quantile's probability has a standard error of 0.014
        for end, probability in (("lower", 0.25), ("upper", 0.75)):
            value = columns[end][row]
            assert mass_up_to(value - 1) - 0.055 <= probability <= mass_up_to(value) + 0.055


def test_new_categories_count_as_missing_and_absent_channels_too():
    found, draws = model("categorical"), drawn("categorical")
    new = table(u=["x", "w", "z"], v=["no", "yes", "yes"])
    empty = table(u=np.array(["x", None, "z"], dtype=object), v=["no", "yes", "yes"])
    one, other = found.predict(draws, ROWS, new), found.predict(draws, ROWS, empty)
    for name, values in one.items():
        assert values == pytest.approx(other[name], abs=1e-12), name
    assert [name for name in one if name.startswith("P(u")] == ["P(u=x)", "P(u=y)", "P(u=z)"]
    assert sum(one[f"P(u={level})"] for level in "xyz") == pytest.approx(np.ones(3))
    alone = found.predict(draws, ROWS, table(v=["no", "yes", "yes"]))
    nothing = np.array([None] * 3, dtype=object)
    assert alone["P(state=0)"] == pytest.approx(
        found.predict(draws, ROWS, table(u=nothing, v=["no", "yes", "yes"]))["P(state=0)"]
    )


def test_several_channels_have_columns_of_their_own():
    columns = model("poisson").predict(drawn("poisson"), ROWS, ROWS)
    assert list(columns)[7:] == ["mean m", "lower m", "upper m", "mean n", "lower n", "upper n"]


@pytest.mark.parametrize("mass", [0.0, 1.0, 90])
def test_a_mass_is_a_probability(mass):
    with pytest.raises(InputError, match="^mass: must lie between 0 and 1, got "):
        model("poisson").predict(drawn("poisson"), ROWS, ROWS, mass)


def test_a_forecast_needs_a_step():
    found = model("poisson")
    with pytest.raises(InputError, match="^steps: must be 1 or more, got 0; write how many rows to look ahead$"):
        found.forecast(drawn("poisson"), found.data(ROWS), 0)


# --- data ---------------------------------------------------------------------------------------------------------


def test_sequences_are_filled_up_at_their_ends():
    data = model("poisson").data(ROWS)
    assert data.coords["sequence"] == ["a", "b", "c"] and list(data.coords["time"]) == [0, 1, 2, 3, 4]
    assert data.inputs["lengths"].tolist() == [4, 2, 5]
    assert data.observed["y"][:, :, 0].tolist() == [[0, 0, 11, 1, 0], [3, 4, 0, 0, 0], [7, 2, 0, 0, 5]]
    there = [[True, False, True, True, False], [True, True, False, False, False], [True, True, False, True, True]]
    assert data.inputs["there"][:, :, 0].tolist() == there


def test_without_a_column_all_rows_are_one_sequence():
    data = HiddenMarkov().data(table(y=[0.5, 1.0, 2.0]))
    assert data.observed["y"].shape == (1, 3, 1) and data.coords["sequence"] == ["0"]
    assert data.coords["channel"] == ["y"]


def test_rows_to_simulate_need_no_channel():
    data = HiddenMarkov().data(table(sequence=["a", "b", "a"]), observed=False)
    assert data.observed == {} and data.inputs["there"][:, :, 0].tolist() == [[True, True], [True, False]]
    assert data.inputs["center"].tolist() == [0] and data.inputs["scale"].tolist() == [1]


def refused(kind: str, **columns: Any) -> tuple[str, dict[str, Any]]:
    return kind, columns


NUMBER = "correct the value or map another column"
SCALE = "leave the channel out or set `standardise: false`"
REFUSED: dict[str, tuple[tuple[str, dict[str, Any]], str]] = {
    "no column": (refused("poisson", count=[1, 2]), "rows.csv: there is no column `y`; known: `count`"),
    "a negative count": (
        refused("poisson", y=[1, -2]),
        "rows.csv, column `y`, row 2: must be a whole number, 0 or more, got -2; correct it",
    ),
    "a fraction": (
        refused("negative_binomial", y=[1, 2.5]),
        "rows.csv, column `y`, row 2: must be a whole number, 0 or more, got 2.5; correct it",
    ),
    "a word": (
        refused("gaussian", y=np.array([1.5, "many"], dtype=object)),
        f"rows.csv, column `y`, row 2: must be a number, got 'many'; {NUMBER}",
    ),
    "an infinite number": (
        refused("gaussian", y=[1.5, np.inf]),
        "rows.csv, column `y`, row 2: must be finite, got inf; correct the value or leave the row out",
    ),
    "nothing at all": (
        refused("gaussian", y=[np.nan, np.nan]),
        "rows.csv, column `y`: has no value in any row; leave the channel out",
    ),
    "a constant": (
        refused("gaussian", y=[2.0, 2.0, np.nan]),
        "rows.csv, column `y`: is the same number in every row, so it has no scale; leave the column out",
    ),
    "zeros alone": (
        refused("poisson", y=[0, 0, 0]),
        f"rows.csv, column `y`: is 0 in every row, so it has no scale; {SCALE}",
    ),
    "one category": (
        refused("categorical", y=["a", "a"]),
        "rows.csv, column `y`: has one label in every row (`a`); leave the column out",
    ),
    "a row in no sequence": (
        refused("poisson", y=[1, 2], sequence=np.array(["a", None], dtype=object)),
        "rows.csv, column `sequence`, row 2: must have a label, got an empty cell; "
        "fill the cell in or leave the row out",
    ),
}


@pytest.mark.parametrize(("given", "sentence"), REFUSED.values(), ids=REFUSED)
def test_wrong_input_is_refused_by_column_and_row(given, sentence):
    kind, columns = given
    with pytest.raises(InputError) as error:
        HiddenMarkov(2, kind).data(table(**columns))
    assert str(error.value) == sentence


CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "a channel twice": ({"channels": ["y", "z", "y"]}, "`y` is there twice among the channels; name every column once"),
    "sequences as a channel": (
        {"channels": ["sequence"]},
        "`sequence` labels the sequences and is no channel; map the column to another name",
    ),
    "a known spread of counts": (
        {"emission": "poisson", "sd": 1.0},
        "a known `sd` goes with `emission: gaussian` alone, got `poisson`; leave it out",
    ),
    "categories in order": (
        {"emission": "categorical", "order": "emission"},
        "`order: emission` needs means, which categories do not have; leave `order` out: draws are aligned",
    ),
    "priors of categories": (
        {"emission": "categorical", "state_priors": ["normal(0, 1)", "normal(1, 1)"]},
        "`state_priors` are of means, which categories do not have; leave them out",
    ),
    "an order twice": (
        {"order": "emission", "state_priors": ["normal(0, 1)", "normal(1, 1)"]},
        "`state_priors` tell the states apart, and so does `order: emission`; leave one of them out",
    ),
    "too few priors": (
        {"states": 3, "state_priors": ["normal(0, 1)", "normal(1, 1)"]},
        "`state_priors` must be one for each of 3 states, got 2; add or remove some",
    ),
    "priors of two names": (
        {"state_priors": ["normal(0, 1)", "student_t(3, 0, 1)"]},
        "`state_priors` must all have one name, got `normal(0, 1)`, `student_t(3, 0, 1)`; "
        "write for instance all as `normal(...)`",
    ),
    "a normal prior of rates": (
        {"emission": "poisson", "state_priors": ["normal(3, 1)", "normal(9, 1)"]},
        "`state_priors` must be on the positive, got `normal(3, 1)`, `normal(9, 1)`; "
        "use `half_normal`, `half_cauchy`, `exponential`, `gamma`, `inverse_gamma`, `lognormal`",
    ),
    "one state": ({"states": 1}, "Input should be greater than or equal to 2"),
    "no channel": ({"channels": []}, "Tuple should have at least 1 item after validation, not 0"),
    "less than no stickiness": ({"sticky": -1.0}, "Input should be greater than or equal to 0"),
}


@pytest.mark.parametrize(("settings", "sentence"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_settings_that_contradict_each_other_are_refused(settings, sentence):
    with pytest.raises(ValidationError) as error:
        HiddenMarkov(**settings)
    assert sentence in str(error.value)


def test_a_contradiction_is_one_line_on_the_command_line(run_cli, tmp_path):
    config = "name: x\nmodel: {family: hidden_markov, emission: poisson, sd: 1}\ndata: {values: {y: [0, 1]}}\n"
    (tmp_path / "x.yaml").write_text(config + "inference: nuts\n")
    sentence = "a known `sd` goes with `emission: gaussian` alone, got `poisson`; leave it out"
    assert run_cli("check", "x.yaml") == (1, "", f"error: x.yaml:2: model: {sentence}\n")


def test_the_report_shows_the_states_of_labels(run_cli, tmp_path):
    """Of sequences of several lengths, with empty cells; the configs show numbers."""
    pandas.DataFrame(ROWS.columns).to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "x.yaml").write_text(
        "name: x\nmodel: {family: hidden_markov, emission: categorical, channels: [u, v]}\n"
        "data: {path: rows.csv}\ninference: {svi: {max_steps: 200, num_restarts: 1, num_samples: 50}}\n"
    )
    assert run_cli("run", "x.yaml").code in (0, 3)  # so few steps may not keep every check
    report = (tmp_path / "runs" / "x" / "report.html").read_text()
    assert (tmp_path / "runs" / "x" / "figures" / "states.png").stat().st_size > 10_000
    assert "Decoded states and forecast" in report and "3 rows ahead" in report


def summarised(posterior: Posterior) -> set[str]:
    return set(posterior.summary())


def test_names_in_tables_say_state_and_channel():
    found = model("poisson")
    posterior = fit(found, found.data(ROWS), Svi(guide="map"), seed=1)
    assert {"rate[0, m]", "rate_raw[1, n]", "transition[0, 1]"} <= summarised(posterior)
