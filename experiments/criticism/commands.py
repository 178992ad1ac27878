"""`pyrozoo compare|ppc|monitor|selftest`: what each prints, and whether what it looked at holds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from experiments.words import counted, number


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows of text as lines with columns of one width; the first column is words, the others numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield "  ".join(cells).rstrip()


def warn_of(folder: Path, backend: str | None) -> None:
    """One line on stderr where checks failed in the run whose draws are used."""
    from experiments.finished import choose, doubt, manifest

    told = doubt(folder, choose(backend, list(manifest(folder)["backends"])))
    if told:
        print(f"warning: {told}", file=sys.stderr)


def print_comparison(folders: Sequence[Path], backend: str | None) -> None:
    from experiments.criticism.runs import compare_runs, table

    found = compare_runs(folders, backend)
    for folder in folders:
        warn_of(folder, backend)
    print("\n".join([*aligned(table(found)), "", f"By {found.method}: {found.verdict}"]))


def print_ppc(folder: Path, own: Sequence[str], prior: bool, backend: str | None) -> bool:
    """Whether nothing was flagged."""
    from experiments.criticism.ppc import ppc

    found = ppc(folder, own, prior, backend)
    if found.findings:
        rows = [["statistic", "observed", "generated, 95%", "p"]]
        for one in found.findings:
            name = one.name + (f": {one.element}" if one.element else "")
            ends = f"{number(one.lower, 3)} to {number(one.upper, 3)}"
            rows.append([name, number(one.observed, 3), ends, number(one.p_value, 2)])
        print("\n".join([*aligned(rows), ""]))
    for degenerate in found.priors:
        print(degenerate.message)
    print(found.verdict)
    return found.passed


def print_monitor(folder: Path, rows: Path, backend: str | None) -> bool:
    """Whether nothing was breached."""
    from experiments.criticism.monitor import monitor

    found = monitor(folder, rows, backend)
    warn_of(folder, backend)
    for title, drifts in (
        ("columns", found.covariates),
        ("outcome", found.outcomes),
        ("predictions", found.predictions),
    ):
        for drift in drifts:
            print(f"{title:<12} {drift.level:<7} {drift.message}")
    for suspicion in found.suspicions:
        print(f"{'columns':<12} {'breach':<7} {suspicion}")
    if found.loss is not None:
        print(f"{'loss':<12} {'breach' if found.loss.breach else 'stable':<7} {found.loss.message}")
    print(found.verdict + ".")
    return not found.breached


def print_selftest() -> bool:
    """Whether every known answer was found."""
    from experiments.criticism.known_answers import OUT_OF_SCOPE, selftest

    began, failed, count = time.monotonic(), 0, 0
    for verdict in selftest():
        answer, count = verdict.answer, count + 1
        failed += not verdict.passed
        told = f"expected {several(answer.expected)}, got {several(verdict.found)}, tolerance {answer.tolerance:g}"
        print(f"{'ok  ' if verdict.passed else 'FAIL'} {answer.id:<9} {answer.what}: {told}", flush=True)
    for row, reason in OUT_OF_SCOPE.items():
        print(f"-    {row:<9} not computed: {reason}")
    seconds = time.monotonic() - began
    print(f"{count - failed} of {counted(count, 'known answer')} found in {seconds:.0f} s")
    return not failed


def several(values: object) -> str:
    """`0.642857`, or `0.9211 0.07895`."""
    return " ".join(f"{value:.10g}" for value in np.atleast_1d(np.asarray(values, dtype=float)))
