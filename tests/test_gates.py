"""Gates: a run whose numbers mean nothing ends with exit code 3, and nothing shows them without saying so."""

from __future__ import annotations

import json
import re

import pytest

from experiments import runner

COIN = """\
name: coin
model: {family: beta_bernoulli, prior: "beta(2, 2)"}
data: {values: {outcome: [1, 1, 0, 1, 1, 0, 1, 0, 1, 1]}}
"""
# Centred, so that the scale's neck narrows where the effects do: Neal's funnel, with data (Betancourt & Girolami 2015).
CENTRED = """\
import pyro
import pyro.distributions as dist


def schools(sigma):
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyro.sample("tau", dist.HalfCauchy(5.0))
    with pyro.plate("school", len(sigma)):
        theta = pyro.sample("theta", dist.Normal(mu, tau))
        pyro.sample("y", dist.Normal(theta, sigma))
"""
SCHOOLS = """\
name: centred
model: {program: "centred.py:schools"}
data:
  values: {y: [28, 8, -3, 7, -1, 1, 18, 12], sigma: [15, 10, 16, 11, 9, 11, 10, 18]}
  observed: [y]
"""
# what goes wrong: the experiment, its inference, checks that must fail, a backend whose numbers hold
BROKEN = {
    "ten draws": (COIN, "{nuts: {num_warmup: 50, num_samples: 10, num_chains: 2}}", {"bulk ESS", "tail ESS"}, None),
    "ten draws beside a proof": (
        COIN,
        "{exact: {}, nuts: {num_warmup: 50, num_samples: 10, num_chains: 2}}",
        {"bulk ESS", "tail ESS"},
        "exact",
    ),
    "one chain": (COIN, "{nuts: {num_chains: 1, num_samples: 600}}", {"R-hat"}, None),
    "a divergent funnel": (
        SCHOOLS,
        "{nuts: {num_warmup: 200, num_samples: 200, num_chains: 4, target_accept_prob: 0.7}}",
        {"divergences", "R-hat", "bulk ESS"},
        None,
    ),
    "a collapsed guide": (SCHOOLS, "{svi: {guide: normal, max_steps: 4000}}", {"k-hat"}, None),
    "an ELBO that still rises": (
        COIN,
        "{svi: {guide: normal, max_steps: 20, num_restarts: 1}}",
        {"ELBO plateau"},
        None,
    ),
}


NUMBER = re.compile(r"\d\.\d")


@pytest.mark.parametrize("name", BROKEN)
def test_no_number_of_a_broken_run_stands_without_a_word(name, tmp_path, run_cli, monkeypatch):
    text, inference, failed, good = BROKEN[name]
    (tmp_path / "centred.py").write_text(CENTRED)
    (tmp_path / "broken.yaml").write_text(f"{text}seed: 3\ninference: {inference}\n")
    finished = []
    plain = runner.run
    monkeypatch.setattr(runner, "run", lambda *given, **named: finished.append(plain(*given, **named)) or finished[0])
    ended = run_cli("run", "broken.yaml", "--out", "out")
    result = finished[0].result
    bad = next(backend for backend in reversed(result.fits) if backend != good)
    missed = [check for check in result.checks if not check.passed]
    assert ended.code == 3 and not result.passed
    assert failed <= {check.name for check in missed} and {check.backend for check in missed} == {bad}
    doubt = f"NOT TO BE TRUSTED: {len(missed)} check{'s' * (len(missed) > 1)} failed"
    assert result.doubt(bad) == doubt and (good is None or result.doubt(good) == "")
    in_terminal(
        ended.out, len(missed), len(result.checks), doubt if good is None else doubt.replace(":", f" by {bad}:")
    )
    in_report((tmp_path / "out/report.html").read_text(), list(result.fits), bad, doubt)
    in_notebook(finished[0]._repr_html_(), list(result.fits), bad, doubt)


def in_terminal(out: str, failed: int, made: int, title: str) -> None:
    """The verdict first; no number of the posterior before a title that says what they are worth."""
    verdict, *_ = out.splitlines()
    assert verdict.endswith(f": Do not trust this run yet: {failed} of {made} checks failed")
    table = out.index(f"posterior, {title}")
    rows = [line.start() for line in re.finditer(r"^  (exact|svi|nuts) .*\d\.\d.*$", out, re.MULTILINE)]
    assert rows and min(rows) > table
    for heading in re.findall(r"^(posterior|agreement).*$", out, re.MULTILINE):
        assert re.search(rf"^{heading}.*NOT TO BE TRUSTED", out, re.MULTILINE)


def in_report(page: str, backends: list[str], bad: str, doubt: str) -> None:
    """In the head, before the numbers of the summary; at the heading of the backend's table, and at the table."""
    head = page[page.index("<body>") : page.index("</header>")]
    assert 'class="verdict bad"' in head and "Do not trust this run yet" in head
    for backend in backends:
        start = page.index(f"<h3>By {backend}")
        heading, table = page[start : page.index("</h3>", start)], page[start : page.index("</table>", start)]
        assert (f'<span class="doubt">{doubt}</span>' in heading) == (backend == bad)
        assert ('<div class="doubted">' in table) == (backend == bad)
    for heading in re.finditer(r"<h[23]>(Estimators side by side|Agreement of the backends)", page):
        by_good = heading[1].startswith("Estimators") and backends[0] != bad
        assert ('class="doubt"' in page[heading.end() :][:200]) != by_good
    told = re.search(r"<p>By (\w+): .*?</p>", head, re.DOTALL)
    assert told is not None and NUMBER.search(told[0])
    before = head[: told.start()]
    assert (f'<p class="doubt">{doubt}.' in before) == (told[1] == bad)
    style = page[: page.index("</style>")]
    assert ".doubted { border-left" in style and ".doubt, .doubted, pre { print-color-adjust: exact" in style


def in_notebook(html: str, backends: list[str], bad: str, doubt: str) -> None:
    assert html.startswith("<p><b>Do not trust this run yet: ")
    tables = dict(zip(backends, html.split("<table>")[:-1], strict=True))  # what stands before each table
    for backend, before in tables.items():
        assert before.endswith(f"<p>{backend}: <b>{doubt}</b></p>" if backend == bad else f"<p>{backend}</p>")


ROWS = "outcome,x\n" + "".join(f"{int(k * 7 % 11 < 5 + (k % 3))},{k % 3}\n" for k in range(40))


def test_predictions_and_comparisons_of_a_broken_run_are_warned_of(tmp_path, run_cli):
    (tmp_path / "rows.csv").write_text(ROWS)
    for name, samples in (("good", 400), ("bad", 10)):
        (tmp_path / f"{name}.yaml").write_text(
            f"name: {name}\nmodel: {{family: logistic_regression, formula: outcome ~ x}}\ndata: {{path: rows.csv}}\n"
            f"inference: {{nuts: {{num_samples: {samples}}}}}\n"
        )
    assert run_cli("run", "good.yaml", "--quiet").code == 0
    assert run_cli("run", "bad.yaml", "--quiet").code == 3
    told = "warning: runs/bad: do not trust these numbers: nuts failed its checks of "
    for command in (["predict", "runs/{}", "--data", "rows.csv"], ["monitor", "runs/{}", "--data", "rows.csv"]):
        for name in ("good", "bad"):
            ended = run_cli(*[word.format(name) for word in command])
            assert ended.code == 0 and ended.out
            assert ended.err.startswith(told) and ended.err.count("\n") == 1 if name == "bad" else ended.err == ""
    ended = run_cli("compare", "runs/good", "runs/bad")
    assert ended.code == 0 and ended.err.startswith(told) and ended.err.count("\n") == 1
    failed = json.loads((tmp_path / "runs/bad/checks.json").read_text())
    assert all(check["name"] in ended.err for check in failed if not check["passed"])
    (tmp_path / "runs/bad/checks.json").write_text("[{]")
    ended = run_cli("predict", "runs/bad", "--data", "rows.csv")
    assert (ended.code, ended.err) == (
        1,
        "error: runs/bad/checks.json: cannot be read; run the experiment again\n",
    )


def test_a_misfit_is_another_verdict(tmp_path, run_cli):
    """The numbers are right for the model: its tables carry no doubt, and the exit code is 3 all the same."""
    outcome = [1] * 20 + [0] * 20
    text = COIN.replace("[1, 1, 0, 1, 1, 0, 1, 0, 1, 1]", str(outcome)) + "inference: exact\n"
    (tmp_path / "coin.yaml").write_text(text)
    ended = run_cli("run", "coin.yaml", "--out", "out")
    assert ended.code == 3
    verdict, *_ = ended.out.splitlines()
    assert verdict == "coin: The computation holds, but the model misses something of the data"
    assert "exact: the longest run of equal rows is 20 in the data, more than" in ended.out
    assert "posterior, 95% equal-tailed intervals" in ended.out and "NOT TO BE TRUSTED" not in ended.out
    page = (tmp_path / "out/report.html").read_text()
    assert "misses something of the data" in page[: page.index("</header>")] and "NOT TO BE TRUSTED" not in page
    (tmp_path / "rows.csv").write_text("outcome\n1\n0\n")
    ended = run_cli("predict", "out", "--data", "rows.csv")
    assert ended.err.startswith("warning: out: the model misses something of its data: the longest run of equal rows")
    assert run_cli("run", "coin.yaml", "--out", "off", "--quiet", "--set", "checks.min_p_value=null").code == 0
