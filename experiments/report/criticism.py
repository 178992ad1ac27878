"""The criticism of a run as sections of the report: a sentence or two, a table, a figure each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from experiments.criticism.calibration import Interval
from experiments.criticism.held_out import told as held_out_told
from experiments.criticism.prior_check import verdict as of_priors
from experiments.criticism.recalibration import Recalibrated
from experiments.criticism.record import Calibration, ClassCalibration, Criticism, HeldOutScores, Item
from experiments.criticism.statistics import SURPRISING, Finding
from experiments.criticism.told import refit_told
from experiments.report import criticism_figures as figures
from experiments.report.prior_figures import prior_predictive
from experiments.report.style import Drawing
from experiments.report.tables import Table
from experiments.report.variables import reference
from experiments.results import Result
from experiments.words import NONE, counted, number

NOT_LEFT_OUT = "Calibration is of a class or of one numeric outcome with rows that can be left out; this run has none."
MAPS = "What a map of the probabilities would mend, fitted to one half of the held-out rows and scored on the other."
MOST_CLASSES = 10  # that a table of mistakes has a column for


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
        Section("What do the priors say?", [of_priors(result.prior_findings)], None, prior_predictive(result)),
        generated(found, backend, result.experiment.checks.min_p_value),
        predicted(result, found, backend),
        *([] if found.held_out is None else held_out(found.held_out, backend)),
        calibration(found, backend),
        Section("Checklist", ["What to look at before a model is believed."], None, [], found.checklist),
    ]


def generated(found: Criticism, backend: str, least: float | None) -> Section:
    drawings = [figures.statistics(found.findings, backend)] if found.findings else []
    table = of_findings(found.findings, SURPRISING if least is None else least) if found.findings else None
    return Section("Does the model generate such data?", [found.told["predictive"]], table, drawings)


def predicted(result: Result, found: Criticism, backend: str) -> Section:
    told = [] if found.loo is None and found.refit is not None else [found.told["scores"]]
    told += [] if found.refit is None else [refit_told(found.refit, found.loo)]
    told += [found.told["uncertainty"]] if "uncertainty" in found.told else []
    drawings = [] if found.loo is None else [figures.leverage(found.loo, backend)]
    return Section("How well does it predict?", told, of_scores(result.criticism), drawings)


def of_scores(criticism: Mapping[str, Criticism]) -> Table | None:
    """Every score of rows left out, by method and backend."""
    rows = []
    for backend, found in criticism.items():
        if found.loo is not None:
            score = found.loo
            refitted = counted(len(score.refitted), "row") if len(score.refitted) else NONE
            k = [number(float(score.k.max()), 2), f"{len(score.bad):,}", refitted]
            numbers = [number(score.elpd, 6), number(score.se, 3), number(score.p, 3)]
            rows.append(["leave-one-out", backend, f"{len(score.pointwise):,}", *numbers, *k])
        if found.waic is not None and found.loo is not None:
            own, size = found.waic, f"{len(found.loo.pointwise):,}"
            numbers = [number(own.elpd, 6), number(own.se, 3), number(own.p, 3)]
            rows.append(["WAIC", backend, size, *numbers, NONE, f"{own.num_unsafe:,}", NONE])
        if found.refit is not None:
            other = found.refit
            numbers = [number(other.elpd, 6), number(other.se, 3), NONE, NONE, NONE]
            rows.append([other.method, backend, f"{len(other.rows):,}", *numbers, counted(other.num_fits, "fit")])
    columns = [
        "score",
        "backend",
        "rows",
        "elpd",
        "se",
        "effective parameters",
        "largest k-hat",
        "rows in doubt",
        "fitted again",
    ]
    note = (
        "elpd: the sum over rows of log p(row | rows that the score leaves to it). Leave-one-out is by Pareto-smoothed "
        "importance sampling; a row is in doubt where k-hat is too large, for WAIC where the variance of its log "
        "density is above 0.4."
    )
    return Table(columns, rows, note, words=2) if rows else None


def held_out(found: HeldOutScores, backend: str) -> list[Section]:
    """Scores of the rows that no fit has seen, and what a map of their probabilities would mend."""
    rows = [["log predictive density", number(found.lpd, 5), f"se {number(found.se, 3)}"]]
    rows += [[name, number(one.value, 4), ends(one)] for name, one in found.intervals.items()]
    drawings = []
    if found.calibration is not None:
        rows += of_probabilities(found.calibration)
        drawings = [figures.reliability(found.calibration, backend, held_out=True)]
    if found.classes is not None:
        rows += of_probabilities(found.classes)
        drawings = [figures.classes(found.classes, backend, held_out=True)]
    if found.quantiles is not None:
        rows += [
            [f"rows in {row.level:.0%} intervals", f"{row.share:.1%}", f"{row.lower:.1%} to {row.upper:.1%} if right"]
            for row in found.quantiles.coverage
        ]
        drawings = [figures.quantiles(found.quantiles, backend, held_out=True)]
    table = Table(["score", "value", "uncertainty, 95%"], rows)
    sections = [Section("Rows that no fit has seen", [held_out_told(found)], table, drawings)]
    if found.recalibration:
        sections.append(Section("Recalibration", [MAPS], of_recalibration(found.recalibration), []))
    return sections


def of_probabilities(found: Calibration | ClassCalibration) -> list[list[str]]:
    mean_auc = [["mean AUC", number(found.auc, 4), ""]] if isinstance(found, ClassCalibration) else []
    return [
        *mean_auc,
        ["average precision", number(found.average_precision, 4), ""],
        ["accuracy", number(found.accuracy.value, 4), ends(found.accuracy)],
        ["ECE", number(found.ece.value, 3), f"{ends(found.ece)}; chance alone: {number(found.expected_ece, 2)}"],
    ]


def ends(found: Interval) -> str:
    return f"{number(found.lower, 3)} to {number(found.upper, 3)}"


def calibration(found: Criticism, backend: str) -> Section:
    told, drawings, table = [found.told.get("calibration", NOT_LEFT_OUT)], [], None
    if found.calibration is not None:
        drawings = [figures.reliability(found.calibration, backend)]
    elif found.classes is not None:
        drawings, table = [figures.classes(found.classes, backend)], of_mistakes(found.classes)
    elif found.quantiles is not None:
        drawings = [figures.quantiles(found.quantiles, backend)]
    return Section("Calibration", told, table, drawings)


def of_mistakes(found: ClassCalibration) -> Table:
    """What rows of each class are called, and how well the class is told from the rest."""
    names = [one.name for one in found.classes]
    few = len(names) <= MOST_CLASSES
    rows = []
    for c, (one, called) in enumerate(zip(found.classes, found.confusion, strict=True)):
        wrong = [0 if k == c else count for k, count in enumerate(called)]
        most = max(wrong)
        usual = f"{names[wrong.index(most)]} ({most:,})" if most else NONE
        counts = [f"{count:,}" for count in called] if few else [f"{called[c]:,}", usual]
        rows.append([one.name, f"{one.rows:,}", *counts, number(one.auc, 4), number(one.average_precision, 4)])
    calls = [f"called {name}" for name in names] if few else ["called right", "else mostly called"]
    note = "AUC and average precision: of the class's probability, the class against the rest."
    return Table(["class", "rows", *calls, "AUC", "average precision"], rows, note)


def of_recalibration(found: Sequence[Recalibrated]) -> Table:
    """Scores of held-out rows as they are, and by each map."""
    first = found[0]
    plain = ["as it is", *(number(pair[0], 4) for pair in (first.log_loss, first.ece, first.auc))]
    mapped = [[one.method, *(number(pair[1], 4) for pair in (one.log_loss, one.ece, one.auc))] for one in found]
    note = (
        f"Maps of the probabilities, fitted to {counted(first.rows_fitted, 'held-out row')} and scored on the other "
        f"{first.rows_scored:,}. Lower log loss and ECE are better."
    )
    return Table(["recalibration", "log loss", "ECE", "AUC"], [plain, *mapped], note)


def of_findings(findings: tuple[Finding, ...], least: float) -> Table:
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
    note = f"p: how often data that the model generates are as far off, to either side. Below {least:g} is a misfit."
    return Table(["statistic", "where", "observed", "generated, 95%", "p"], rows, note)
