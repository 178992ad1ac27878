"""The report: what a reader finds in it, and that it holds together on the results that a run can end with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import stats

from experiments.report import build, families, figures, style
from experiments.report.curves import bounds, density
from experiments.report.figures import pictures
from experiments.report.posterior_figures import densities
from experiments.report.sampler_figures import divergences
from experiments.report.variables import Variable, some
from experiments.results import Agreement, Check, Fit, Result
from experiments.words import counted, flat, in_step, listed, number
from inference.posterior import Posterior
from models import FAMILIES
from models.base import Data, Story

TERMS = [f"C(savings_account_status)[T.level_{k:02d}]" for k in range(12)] + [
    f"scale(attribute_{k:02d})" for k in range(12)
]
SCRIPT = "<script>alert('$x$')</script>"


@dataclass(frozen=True)
class Named:
    """The part of an experiment that the report reads."""

    name: str
    seed: int = 7
    resolved: Mapping[str, Any] = field(default_factory=dict)


def named(name: str, **resolved: Any) -> Any:
    """An experiment as the type checker believes it."""
    return Named(name, resolved={"name": name, "seed": 7, **resolved})


def fit(
    posterior: Posterior, predictive: Mapping[str, np.ndarray], diagnostics: Mapping[str, float] | None = None
) -> Fit:
    """A fit whose chains' diagnostics are given, so that these tests rest on no other part."""
    summary = replace(posterior, dependent=False).summary()
    if diagnostics is not None:
        summary = {name: {**line, **diagnostics} for name, line in summary.items()}
    return Fit(posterior, summary, predictive, {})


def passing(backend: str) -> Check:
    return Check("max_r_hat", backend, 1.002, 1.01, True, "every R-hat is at most 1.01")


def coin(truth: bool = True) -> Result:
    """Ten flips, seven ones, beta(2, 2): three backends at the posterior Beta(9, 5)."""
    rng = np.random.default_rng(1)
    exact = stats.beta(9, 5)
    draws = {
        name: rng.beta(9, 5, size) for name, size in {"exact": (4, 500), "svi": (1, 2000), "nuts": (4, 500)}.items()
    }
    outcomes = {
        name: {"y": (rng.random((*theta.shape, 10)) < theta[..., None]).astype(float)} for name, theta in draws.items()
    }
    dims: dict[str, tuple[str, ...]] = {"theta": (), "y": ("row",)}
    noise = rng.normal(0, 1, 3000)
    traces = [(-7 - 40 * np.exp(-np.arange(3000) / 150) + noise * scale).tolist() for scale in (0.3, 0.35)]
    energies = {"energy": rng.normal(8, 0.7, (4, 500)), "diverging": np.zeros((4, 500), dtype=bool)}
    estimates = {"theta": {"mle": 0.7, "map": 8 / 12, "mean": 9 / 14, "prior_weight": 4.0, "data_weight": 10.0}}
    known = Posterior("exact", {"theta": draws["exact"]}, dims, marginals={"theta": exact})
    fits = {
        "exact": fit(
            replace(
                known,
                facts={"log_evidence": -6.977747650802, "estimates": estimates},
                seconds={"setup": 0.01, "sampling": 0.002},
            ),
            outcomes["exact"],
        ),
        "svi": fit(
            Posterior(
                "svi",
                {"theta": draws["svi"]},
                dims,
                facts={"elbo": {"trace": traces[0], "all": traces}, "k_hat": 0.12},
                seconds={"setup": 0.2, "sampling": 1.3},
            ),
            outcomes["svi"],
        ),
        "nuts": fit(
            Posterior(
                "nuts",
                {"theta": draws["nuts"]},
                dims,
                sample_stats=energies,
                dependent=True,
                seconds={"setup": 0.1, "warmup": 2, "sampling": 2.5},
            ),
            outcomes["nuts"],
            {"mcse_mean": 0.004, "ess_bulk": 861.4, "ess_tail": 903.2, "r_hat": 1.0023},
        ),
    }
    lines = {
        name: {"mean": float(one.summary["theta"]["mean"] or 0), "sd": float(one.summary["theta"]["sd"] or 0)}
        for name, one in fits.items()
    }
    return Result(
        experiment=named("coin_flips", model={"family": "beta_bernoulli", "prior": "beta(2, 2)"}),
        story=Story(
            "Beta-Bernoulli: yes/no outcomes with an unknown rate.",
            "theta ~ Beta(a, b)\ny[n]  ~ Bernoulli(theta)",
            ("Conjugate: with `s` ones,", "theta | y  ~  Beta(a + s, b + N - s)"),
        ),
        data=Data({"num_rows": 10}, {"y": np.array([1.0] * 7 + [0.0] * 3)}),
        fits=fits,
        prior={"theta": rng.beta(2, 2, (1, 1000)), "y": np.ones((1, 1000, 10))},
        prior_predictive={},
        checks=tuple(passing(name) for name in fits),
        agreement={"theta": Agreement(lines, 0.031, 1.4, 0.052, "agree")},
        manifest={
            "created": "2026-03-04T12:05:00+00:00",
            "command": "pyrozoo run configs/coin_flips.yaml",
            "seed": 7,
            "threads": 2,
            "versions": {"pyrozoo": "0.1.0", "torch": "2.13.0"},
            "data": {"source": "configs/coin_flips.yaml: data.values", "sha256": "0" * 64, "rows": 10},
        },
        truth={"theta": np.array(0.6)} if truth else {},
    )


def credit(terms: list[str] | None = None, outcome: str = "y") -> Result:
    """A logistic regression with long names, two backends, one failed check, a simulated truth."""
    terms = TERMS if terms is None else terms
    rng = np.random.default_rng(2)
    truth = rng.normal(0, 0.5, len(terms))
    rows, dims = 200, {"intercept": (), "beta": ("term",), "beta_raw": ("term",), outcome: ("row",)}
    features = rng.normal(size=(rows, len(terms)))
    observed = (rng.random(rows) < 1 / (1 + np.exp(-features @ truth))).astype(float)
    coords = {"term": terms}

    def sites(shape: tuple[int, int]) -> dict[str, np.ndarray]:
        beta = truth + 0.15 + rng.normal(0, 0.2, (*shape, len(terms)))
        return {"intercept": rng.normal(-1.2, 0.1, shape), "beta": beta, "beta_raw": beta * 1000.0}

    def predicted(draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        rate = 1 / (1 + np.exp(-draws["beta"] @ features.T))
        return {outcome: (rng.random(rate.shape) < rate).astype(float)}

    nuts, svi = sites((4, 250)), sites((1, 800))
    fits = {
        "svi": fit(
            Posterior(
                "svi", svi, dims, coords, facts={"elbo": {"trace": list(-500 - 1e5 / np.arange(1, 500)), "all": []}}
            ),
            predicted(svi),
        ),
        "nuts": fit(
            Posterior("nuts", nuts, dims, coords, {"energy": rng.normal(500, 3, (4, 250))}, dependent=True),
            predicted(nuts),
            {"mcse_mean": 0.01, "ess_bulk": 400.0, "ess_tail": 350.0, "r_hat": 1.034},
        ),
    }
    agreement = {
        name: Agreement(
            {
                backend: {"mean": float(one.summary[name]["mean"] or 0), "sd": float(one.summary[name]["sd"] or 0)}
                for backend, one in fits.items()
            },
            0.08,
            2.1,
            0.11,
            "agree",
        )
        for name in fits["nuts"].summary
    }
    failed = Check(
        "max_r_hat",
        "nuts",
        1.034,
        1.01,
        False,
        "the largest R-hat is 1.034 at `intercept`, above 1.01: the chains have not mixed",
    )
    return Result(
        experiment=named("german_credit", model={"family": "logistic_regression", "prior": "normal(0, 1)"}),
        story=Story(
            "Logistic regression: the log odds of a yes/no outcome are a weighted sum of predictors.",
            "y[n] ~ Bernoulli(...)",
            (),
        ),
        data=Data({"num_rows": rows, "x": features}, {outcome: observed}, coords, {"x": ("row", "term")}),
        fits=fits,
        prior={"intercept": rng.normal(0, 1, (1, 1000)), "beta": rng.normal(0, 1, (1, 1000, len(terms)))},
        prior_predictive={},
        checks=(passing("svi"), failed),
        agreement=agreement,
        manifest={},
        truth={"beta": truth},
    )


def grouped() -> Result:
    """Counts of trials in four groups by one exact backend, and no truth."""
    rng = np.random.default_rng(3)
    names = ["Aachen", "Bonn", "Köln", "Düsseldorf"]
    marginal = stats.beta(np.array([3.0, 8, 12, 5]), np.array([9.0, 4, 10, 15]))
    draws = marginal.rvs((4, 300, 4), random_state=rng)
    dims = {"theta": ("group",), "y": ("row",)}
    known = Posterior("exact", {"theta": draws}, dims, {"group": names}, marginals={"theta": marginal})
    trials = np.array([10.0, 10, 20, 18])
    data = Data(
        {"num_rows": 4, "trials": trials, "group": np.arange(4)},
        {"y": np.array([2.0, 7, 11, 4])},
        {"group": names},
        {"group": ("row",), "trials": ("row",)},
    )
    fits = {"exact": fit(known, {"y": rng.binomial(trials.astype(int), draws).astype(float)})}
    return replace(coin(truth=False), data=data, fits=fits, prior={}, agreement={}, checks=(passing("exact"),))


def real() -> Result:
    """A user's own program with a real outcome by a point estimate: no spread, no manifest, no checks."""
    rng = np.random.default_rng(4)
    point = Posterior("svi", {"mu/scale": np.full((1, 200), 1.5)}, {"mu/scale": (), "height": ("row",)})
    data = Data({}, {"height": rng.normal(170, 8, 60)}, {}, {"height": ("row",)})
    fits = {"svi": fit(point, {"height": rng.normal(170, 9, (1, 200, 60))})}
    return replace(
        coin(truth=False), story=Story("", "", ()), data=data, fits=fits, prior={}, agreement={}, checks=(), manifest={}
    )


RESULTS = {"coin": coin, "credit": credit, "grouped": grouped, "real": real}


@pytest.fixture(scope="module", autouse=True)
def no_family_pictures() -> Iterator[None]:
    """The results here are made up: their families' own pictures would look for what only a run has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "FAMILY_FIGURES", {})
        yield


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: build(result(), tmp_path_factory.mktemp(name)) for name, result in RESULTS.items()}


@pytest.fixture(scope="module")
def html(pages: dict[str, Path]) -> dict[str, str]:
    return {name: path.read_text(encoding="utf-8") for name, path in pages.items()}


def body_text(page: str) -> str:
    """What a reader sees, in order."""
    return unescape(" ".join(re.sub(r"<[^>]*>", " ", page[page.index("<body>") :]).split()))


def section(page: str, heading: str) -> str:
    """The HTML from one heading to the end of its section."""
    start = re.search(rf"<h[23]>{re.escape(heading)}(: <span[^<]*</span>)?</h[23]>", page)
    assert start is not None, heading
    return page[start.end() : page.index("</section>", start.end())]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("coin", "Every check holds (3)."),
        (
            "credit",
            "Do not trust this run yet: 1 of 2 checks failed: nuts: the largest R-hat is 1.034 at intercept ,",
        ),
        ("real", "No check was run: nothing vouches for this run yet."),
    ],
)
def test_the_verdict_is_the_first_thing_read(html: dict[str, str], name: str, first: str) -> None:
    assert body_text(html[name]).startswith(first)


@pytest.mark.parametrize("name", ["coin", "credit", "grouped", "real"])
def test_every_variable_of_every_backend_is_told(html: dict[str, str], name: str) -> None:
    for backend, one in RESULTS[name]().fits.items():
        told = unescape(section(html[name], f"By {backend}"))
        for variable in one.summary:
            assert f'<th scope="row">{variable}</th>' in told


@pytest.mark.parametrize("name", RESULTS)
def test_the_page_needs_nothing_but_itself(html: dict[str, str], name: str) -> None:
    page = html[name]
    assert not re.search(r"<(script|link|iframe|object)\b", page)
    assert all(
        address.startswith(("data:image/png;base64,", "#")) for address in re.findall(r'\b(?:src|href)="([^"]*)"', page)
    )
    assert "url(" not in page and "@import" not in page


@pytest.mark.parametrize("name", RESULTS)
def test_every_figure_is_inside_and_in_the_folder_and_has_a_text(
    pages: dict[str, Path], html: dict[str, str], name: str
) -> None:
    files = list((pages[name].parent / "figures").iterdir())
    texts = re.findall(r'<img [^>]*alt="([^"]*)"', html[name])
    assert len(files) == len(texts) == html[name].count("<img ") >= 3
    assert all(len(text) > 20 for text in texts)
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_figures_are_those_that_the_backends_have_numbers_for(pages: dict[str, Path]) -> None:
    names = {name: {file.stem for file in (path.parent / "figures").iterdir()} for name, path in pages.items()}
    both = {"forest", "densities", "agreement", "chains-nuts", "energy-nuts", "elbo-svi", "predictive-y"}
    assert names["coin"] == names["credit"] == both
    assert names["grouped"] == {"forest", "densities", "predictive-y"}
    assert names["real"] == {"forest", "densities", "predictive-height"}


def test_divergences_are_shown_where_they_happened() -> None:
    result = coin()
    nuts = result.fits["nuts"]
    theta = nuts.posterior.draws["theta"]
    marked = replace(nuts.posterior, sample_stats={**nuts.posterior.sample_stats, "diverging": theta > 0.85})
    (drawing,) = divergences(replace(result, fits={**result.fits, "nuts": nuts._replace(posterior=marked)}))
    _, crosses = drawing.figure.axes[0].lines
    np.testing.assert_array_equal(crosses.get_xdata(), theta[theta > 0.85])
    assert f"{(theta > 0.85).sum()} divergent transitions" in drawing.caption
    assert divergences(result) == []


def test_closed_form_numbers_are_told_to_three_digits(html: dict[str, str]) -> None:
    exact = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", section(html["coin"], "By exact").split("</table>")[0])
    assert exact[-8:] == ["theta", "0.643", "0.124", "0.386", "0.861", "0", "0.600", "inside"]
    assert "Log evidence: -6.9777477" in body_text(html["coin"])
    estimates = re.findall(r"<td>([^<]*)</td>", section(html["coin"], "Estimators side by side").split("</table>")[0])
    # the draws' own modes and errors are nobody's business here: only the closed form was given
    assert estimates == ["0.700", "0.667", "0.643 (0.386 to 0.861)", "4 : 10"]


@pytest.mark.parametrize("name", ["coin", "credit"])
def test_only_markov_chains_have_r_hat(html: dict[str, str], name: str) -> None:
    assert "R-hat" not in section(html[name], "By svi").split("<h3>")[0]
    assert "R-hat" in section(html[name], "By nuts")
    assert ("1.002" if name == "coin" else "1.034") in section(html[name], "By nuts")


def test_an_r_hat_that_does_not_apply_is_not_shown_even_if_given(tmp_path: Path) -> None:
    result = coin()
    svi = result.fits["svi"]
    given = svi._replace(summary={"theta": {**svi.summary["theta"], "r_hat": 1.234}})
    page = build(replace(result, fits={"svi": given}), tmp_path).read_text(encoding="utf-8")
    assert "1.234" not in page


def test_truth_is_compared_where_there_is_one(html: dict[str, str]) -> None:
    assert "The 95% intervals hold 1 of 1 true value." in body_text(html["coin"])
    result = credit()
    interval, truth = result.fits["nuts"].posterior.interval("beta"), result.truth["beta"]
    held = int(((interval[0] <= truth) & (truth <= interval[1])).sum())
    assert f"The 95% intervals hold {held} of 24 true values." in body_text(html["credit"])
    assert section(html["credit"], "By nuts").count(">outside<") == 24 - held
    assert "truth" not in section(html["grouped"], "By exact")


def test_agreement_is_told_only_where_backends_can_agree(html: dict[str, str]) -> None:
    assert "Verdict for exact, svi and nuts: “agree” on 1 variable." in body_text(html["coin"])
    assert "<h2>Agreement" in html["credit"]
    assert "Agreement" not in html["grouped"] and "Agreement" not in html["real"]


def test_names_from_data_cannot_inject(tmp_path: Path) -> None:
    result = credit([SCRIPT, "$\\frac{$", "Größe_用户", "x" * 200], outcome=SCRIPT)
    failed = Check(SCRIPT, SCRIPT, None, None, False, SCRIPT)
    experiment = named(SCRIPT, model={"family": SCRIPT})
    manifest = {"data": {"source": SCRIPT}, "command": SCRIPT, "created": SCRIPT}
    page = build(
        replace(
            result,
            checks=(failed,),
            experiment=experiment,
            manifest=manifest,
            story=Story(SCRIPT, SCRIPT, (SCRIPT, "\n" + SCRIPT)),
        ),
        tmp_path,
    ).read_text(encoding="utf-8")
    assert "<script" not in page
    assert unescape(page).count(SCRIPT) > 10
    assert f"beta[{'x' * 200}]" in page


def test_two_builds_are_the_same_bytes(pages: dict[str, Path], tmp_path: Path) -> None:
    again = build(coin(), tmp_path)
    assert again.read_bytes() == pages["coin"].read_bytes()
    for figure in (pages["coin"].parent / "figures").iterdir():
        assert (tmp_path / "figures" / figure.name).read_bytes() == figure.read_bytes()


@pytest.mark.parametrize("spoil", [np.nan, np.inf])
def test_draws_that_are_not_finite_still_give_a_report(tmp_path: Path, spoil: float) -> None:
    """A run whose check for non-finite values fails must be told, not lost."""
    result = coin(truth=False)
    nuts = result.fits["nuts"].posterior
    spoilt = replace(nuts, draws={"theta": np.where(np.arange(500) < 3, spoil, nuts.draws["theta"])})
    line = dict.fromkeys(result.fits["nuts"].summary["theta"], float("nan"))
    fits = {"nuts": Fit(spoilt, {"theta": line}, {"y": np.full((4, 500, 10), np.nan)}, {})}
    text = body_text(build(replace(result, fits=fits, agreement={}), tmp_path).read_text(encoding="utf-8"))
    assert "theta" in text and "nan" in text


def test_a_table_of_many_variables_says_what_it_leaves_out(tmp_path: Path) -> None:
    page = build(credit([f"x{k}" for k in range(150)]), tmp_path).read_text(encoding="utf-8")
    assert section(page, "By nuts").split("</table>")[0].count("<tr>") == 1 + 200
    assert "101 more variables in summary.json." in body_text(page)
    assert '<th scope="row">intercept</th>' in page and "beta_raw[x0]" in page


def test_settings_checks_and_configuration_are_told_in_full(html: dict[str, str]) -> None:
    text = body_text(html["coin"])
    assert "prior beta(2, 2)" in text and "4 March 2026, 12:05 UTC" in text
    assert "pyrozoo run configs/coin_flips.yaml" in text and "torch 2.13.0" in text and "0" * 64 in text
    model = section(html["coin"], "Model")
    assert "<p>Conjugate: with <code>s</code> ones,</p>" in model
    assert "<pre>theta | y  ~  Beta(a + s, b + N - s)</pre>" in model
    config = section(html["coin"], "Configuration, everything resolved")
    assert yaml.safe_load(unescape(re.sub("<[^>]*>", "", config))) == coin().experiment.resolved
    assert re.search(r"max_r_hat svi 1.002 1.01 pass every R-hat", text)


def test_how_a_program_was_run_is_told_where_it_matters(tmp_path: Path, html: dict[str, str]) -> None:
    assert "could not be traced" not in html["coin"] and "held" not in section(html["coin"], "By nuts").lower()
    result = coin()
    nuts = result.fits["nuts"]
    facts = {"untraced": f"a mask {SCRIPT}", "held_parameters": ["scale", "rate"], "states_left_out": ["z"]}
    facts["moved_chains"] = 3
    told = result.fits | {"nuts": nuts._replace(posterior=replace(nuts.posterior, facts=facts))}
    page = build(replace(result, fits=told), tmp_path).read_text(encoding="utf-8")
    text = body_text(page)
    assert "The program could not be traced into one graph (a mask" in text and SCRIPT not in page
    assert "gives it, as no prior is on it: <code>scale</code> and <code>rate</code>.</p>" in page
    assert "Summed out and not handed back, as the draws would be too many: <code>z</code>.</p>" in page
    assert "were moved to others during warm-up: 3." in text
    assert "untraced" not in text


def test_density_curves_stay_within_the_support_and_hold_all_the_mass() -> None:
    rng = np.random.default_rng(5)
    for draws, (low, high) in (
        (rng.beta(0.9, 2, 4000), (0.0, 1.0)),
        (rng.exponential(1, 4000), (0.0, np.inf)),
        (rng.normal(0, 1, 4000), (-np.inf, np.inf)),
    ):
        assert bounds(draws) == (low, high)
        curve = density(draws, bounds(draws))
        assert curve is not None
        points, heights = curve
        assert low <= points[0] and points[-1] <= high
        assert np.trapezoid(heights, points) == pytest.approx(1, abs=0.01)
    points, heights = density(rng.exponential(1, 40_000), (0.0, np.inf)) or (np.zeros(1), np.zeros(1))
    assert np.interp([0.02, 1.0], points, heights) == pytest.approx(np.exp([-0.02, -1.0]), abs=0.06)
    assert density(np.full(10, 2.0), (-np.inf, np.inf)) is None
    assert density(np.array([np.nan, np.inf]), (-np.inf, np.inf)) is None


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (number(None), "-"),
        (number(True), "yes"),
        (number(9 / 14), "0.6429"),
        (number(123456.7), "123,457"),
        (number(3.2e-9), "3.20e-09"),
        (number(0.0), "0"),
        (number(float("inf")), "inf"),
        (in_step([9 / 14, 0.12366], 0.12366), ["0.643", "0.124"]),
        (in_step([1234.5678, 250.0], 250.0), ["1,235", "250"]),
        (in_step([1.5, 0.0], 0.0), ["1.5", "0"]),
        (listed(["a"]), "a"),
        (listed(["a", "b", "c"]), "a, b and c"),
        (counted(1, "row") + counted(1000, "row"), "1 row1,000 rows"),
        (
            flat({"a": {"b": 1, "c": [1.5, "x"]}, "d": list(range(13))}),
            [("a.b", "1"), ("a.c", "1.5, x"), ("d", "13 values")],
        ),
    ],
)
def test_numbers_and_lists_in_words(told: object, words: object) -> None:
    assert told == words


def test_a_choice_of_variables_loses_no_site() -> None:
    large = [Variable("z", (k,), f"z[{k}]") for k in range(100)]
    chosen = some([*large, Variable("mu", (), "mu")], 10)
    assert [variable.name for variable in chosen] == [f"z[{k}]" for k in range(9)] + ["mu"]


def test_an_event_has_no_density(tmp_path):
    rng = np.random.default_rng(1)
    draws = {"theta": rng.beta(3, 4, (2, 100)), "best": rng.integers(0, 2, (2, 100)).astype(float)}
    told = Posterior("nuts", draws, {"theta": (), "best": ()})
    result = replace(coin(truth=False), fits={"nuts": fit(told, {})}, prior={}, agreement={})
    (drawing,) = densities(result)
    assert drawing.alt == "Marginal densities of 1 variable: nuts."
    only = Posterior("nuts", {"best": draws["best"]}, {"best": ()})
    assert densities(replace(result, fits={"nuts": fit(only, {})})) == []


def test_every_family_has_pictures_of_its_own():
    assert list(families.FAMILY_FIGURES) == sorted(FAMILIES)


def test_a_family_has_pictures_of_its_own_after_the_forest(tmp_path, monkeypatch):
    def own(result: Result) -> list[style.Drawing]:
        figure = style.canvas(1.0)
        figure.subplots().plot([0, 1])
        return [style.Drawing("own", "A picture of its own", "A line.", "It rises.", figure)]

    monkeypatch.setattr(figures, "FAMILY_FIGURES", {"beta_bernoulli": own})
    result = coin()
    for model, expected in (({"family": "beta_bernoulli"}, ["forest.png", "own.png"]), ({"program": "a.py:B"}, [])):
        experiment = named("coin", model=model)
        files = [picture.file for picture in pictures(replace(result, experiment=experiment))]
        assert files[: len(expected)] == expected and ("own.png" in files) == bool(expected)
    html = build(replace(result, experiment=named("coin", model={"family": "beta_bernoulli"})), tmp_path).read_text()
    assert html.index("Posterior intervals") < html.index("A picture of its own") < html.index("Prior to posterior")
    assert (tmp_path / "figures" / "own.png").is_file()
