"""The criticism of a run as sections of the report: a sentence or two, a table, a figure each."""

from __future__ import annotations

import re
from typing import NamedTuple

from experiments.criticism.record import Criticism, Item
from experiments.criticism.statistics import Finding
from experiments.report import criticism_figures as figures
from experiments.report.style import Drawing
from experiments.report.tables import Table
from experiments.report.variables import reference
from experiments.results import Result
from experiments.words import number

NOT_LEFT_OUT = "Calibration is of one binary or one numeric outcome with rows that can be left out; this run has none."


class Section(NamedTuple):
    """A heading, sentences, and where there are any a table, figures, and items of a checklist."""

    title: str
    sentences: list[str]
    table: Table | None
    drawings: list[Drawing]
    items: tuple[Item, ...] = ()

    @property
    def anchor(self) -> str:
        """Where links within the page lead."""
        return re.sub(r"[^a-z]+", "-", self.title.lower()).strip("-")


def sections(result: Result) -> list[Section]:
    """Empty where a result was not criticised."""
    if not result.criticism:
        return []
    backend = reference(result)
    found = result.criticism[backend]
    return [
        generated(result, found, backend),
        predicted(result, found, backend),
        calibration(found, backend),
        Section("Checklist", ["What to look at before a model is believed."], None, [], found.checklist),
    ]


def generated(result: Result, found: Criticism, backend: str) -> Section:
    priors = [finding.message + "." for finding in result.prior_findings if finding.flagged]
    drawings = [figures.statistics(found.findings, backend)] if found.findings else []
    table = of_findings(found.findings) if found.findings else None
    return Section("Does the model generate such data?", [found.told["predictive"], *priors], table, drawings)


def predicted(result: Result, found: Criticism, backend: str) -> Section:
    told = [found.told["scores"]]
    scored = {name: one.loo for name, one in result.criticism.items() if one.loo is not None}
    rows = [
        [
            name,
            number(score.elpd, 6),
            number(score.se, 3),
            number(score.p, 3),
            number(float(score.k.max()), 2),
            str(len(score.bad)),
        ]
        for name, score in scored.items()
    ]
    columns = ["backend", "elpd", "se", "effective parameters", "largest k-hat", "rows above the limit"]
    table = Table(
        columns, rows, "elpd: the sum over rows of log p(row | all others), by Pareto-smoothed importance sampling."
    )
    drawings = [] if found.loo is None else [figures.leverage(found.loo, backend)]
    return Section("How well does it predict?", told, table if rows else None, drawings)


def calibration(found: Criticism, backend: str) -> Section:
    told = [found.told.get("calibration", NOT_LEFT_OUT)]
    drawings = []
    if found.calibration is not None:
        drawings = [figures.reliability(found.calibration, backend)]
    elif found.quantiles is not None:
        drawings = [figures.quantiles(found.quantiles, backend)]
    return Section("Calibration", told, None, drawings)


def of_findings(findings: tuple[Finding, ...]) -> Table:
    rows = [
        [
            found.name,
            found.element or "-",
            number(found.observed, 3),
            f"{number(found.lower, 3)} to {number(found.upper, 3)}",
            number(found.p_value, 2),
        ]
        for found in findings
    ]
    note = "p: how often data that the model generates are as far off, to either side. Below 0.005 is a misfit."
    return Table(["statistic", "where", "observed", "generated, 95%", "p"], rows, note)
