"""What a run shows in the terminal: progress while it works, and the essential of the result."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from types import TracebackType

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from experiments.results import Fit, Result
from experiments.words import in_step, number

MOST_VARIABLES = 12


class RunProgress:
    """A `Progress` with one bar for each task on a terminal; elsewhere one plain line when a task completes."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self.console,
        )
        self.tasks: dict[str, TaskID] = {}
        self.completed: set[str] = set()

    def __enter__(self) -> RunProgress:
        if self.console.is_terminal:
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self.bars.stop()

    def __call__(self, task: str, done: int, total: int, note: str = "") -> None:
        if self.console.is_terminal:
            if task not in self.tasks:
                self.tasks[task] = self.bars.add_task(task, total=total, note=note)
            self.bars.update(self.tasks[task], completed=done, total=total, note=note)
        elif done >= total and task not in self.completed:
            self.completed.add(task)
            self.console.print(Text(f"{task}: {done} of {total}" + (f", {note}" if note else "")), soft_wrap=True)


def print_result(result: Result) -> None:
    Console().print(result_table(result))


def result_table(result: Result) -> Group:
    """Verdict, failed checks, posterior by backend, what the family says of it, and how far the backends agree."""
    parts: list[RenderableType] = [
        Text(f"{result.experiment.name}: {result.verdict}", style="bold green" if result.passed else "bold red")
    ]
    parts += [Text(f"  {check.backend}: {check.message}", style="red") for check in result.checks if not check.passed]
    parts.append(posterior_table(result))
    told = [sentence for fit in result.fits.values() for sentence in fit.posterior.facts.get("remarks", ())]
    parts += [Text(sentence) for sentence in dict.fromkeys(told)]
    left = max(len(fit.summary) for fit in result.fits.values()) - MOST_VARIABLES
    if left > 0:
        parts.append(Text(f"{left} more variables are in the report"))
    if len(result.fits) > 1:
        parts.append(agreement_table(result))
    return Group(*parts)


def posterior_table(result: Result) -> Table:
    """Mean, sd and 95% interval of every variable, effective sample size and R-hat where there are Markov chains."""
    doubt = result.doubt()
    title = Text(f"posterior, {doubt or '95% equal-tailed intervals'}", style="bold red" if doubt else "")
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    chains = any(row["ess_bulk"] is not None for fit in result.fits.values() for row in fit.summary.values())
    headings = ["mean", "sd", "2.5%", "97.5%"] + ["ESS", "R-hat"] * chains + ["truth"] * bool(result.truth)
    shown = [name for fit in result.fits.values() for name in itertools.islice(fit.summary, MOST_VARIABLES)]
    table.add_column("backend")
    table.add_column("variable", overflow="fold", min_width=min(20, max(map(len, shown))))
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for backend, fit in result.fits.items():
        for position, (variable, low, high, truth) in enumerate(itertools.islice(rows(result, fit), MOST_VARIABLES)):
            row = fit.summary[variable]
            mean, sd = row["mean"] or 0.0, row["sd"] or 0.0
            words = in_step([mean, sd, low, high], sd)
            words += [whole(row["ess_bulk"]), r_hat(row["r_hat"])] * chains
            words += ([""] if truth is None else in_step([truth], sd)) * bool(result.truth)
            style = "red" if result.doubt(backend) else ""
            table.add_row(Text("" if position else backend), Text(variable), *words, style=style)
        if len(fit.summary) > 1:
            table.add_section()
    return table


def rows(result: Result, fit: Fit) -> Iterator[tuple[str, float, float, float | None]]:
    """Every variable with the ends of its 95% interval and, where the data were simulated, its true value."""
    for name in fit.posterior.draws:
        low, high = np.asarray(fit.posterior.quantile(name, [0.025, 0.975]))
        truth = result.truth.get(name)
        for index, variable in fit.posterior.elements(name):
            yield variable, float(low[index]), float(high[index]), None if truth is None else float(truth[index])


def agreement_table(result: Result) -> Table:
    """The backends' means side by side, and the largest distances from the most trusted one."""
    doubt = result.doubt()
    title = Text("agreement of the backends" + (f", {doubt}" if doubt else ""), style="bold red" if doubt else "")
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("variable", overflow="fold")
    for heading in (*result.fits, "gap / sd", "gap / mcse", "W1 / sd"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict")
    for variable, row in itertools.islice(result.agreement.items(), MOST_VARIABLES):
        unit = max(found["sd"] for found in row.by_backend.values())
        means = in_step([row.by_backend[backend]["mean"] for backend in result.fits], unit)
        gaps = [number(value, 2) for value in (row.max_gap_sd, row.max_gap_mcse, row.max_w1_sd)]
        table.add_row(Text(variable), *means, *gaps, Text(row.verdict))
    return table


def whole(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def r_hat(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
