"""The results as one Markdown page: what was measured, how, and where it was lost."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from problems import TITLES

BUSY = 0.2  # cores that others take: from here on a figure is marked
PACKAGES = ("torch", "pyro-ppl", "numba", "numpy", "numpyro", "jax", "nutpie", "pymc", "pytensor", "pystan")

HEAD = """# How fast

Written by `make bench` (`.venv-bench/bin/python tests/benchmarks/bench.py`). The problems are simulated from fixed
seeds in `problems.py`; every library gets the same data and the same priors.

- **ESS/s**: min(bulk, tail) effective sample size over all parameters per second of warm-up and sampling, without
  compiling; the median of up to three fits in a warm process (column "fits": fewer where they are long).
- **all-in**: seconds from the start of a fresh process to its first posterior, imports, tracing and compiling included,
  with empty compile caches: the folders of torch (`TORCHINDUCTOR_CACHE_DIR`), numba (`NUMBA_CACHE_DIR`), PyTensor
  (`base_compiledir`) and Stan (`XDG_CACHE_HOME`) are new for each row. A posterior is to have ESS >= 1,000: where it
  has less, the number is given. In brackets: with the caches that an earlier process left.
- **R-hat**: the largest over all parameters, of the worst of the timed fits. Where it is above 1.01 the rate is not
  yet one of sound draws.
- **µs**: of one gradient for one chain, Pyrozoo alone: the bare gradient, and the whole tick of the sampler.
- **others**: cores that other work on the machine took meanwhile; the higher, the more a figure is too low. A star
  marks more than 0.2, and a figure with a star is divided by none: the load costs libraries with two threads more.
- Peers run 4 chains x (1000 + 1000) where the row does not say otherwise. All is float64.
- Threads: two cores. NumPyro has four host devices of one thread each (parallel) or one (vectorized), nutpie and Stan
  run chains beside each other, Pyro a process a chain. Pyrozoo has one thread where the row does not say two.
"""


def cell(record: dict[str, Any], column: str) -> str:
    timed = record["runs"][1:] or record["runs"]
    facts = timed[0]["facts"]
    ess = statistics.median(fit["ess"] for fit in timed)
    match column:
        case "ESS/s":
            return f"{statistics.median(fit['rate'] for fit in timed):,.0f}"
        case "ESS":
            return f"{ess:,.0f}"
        case "s":
            return f"{statistics.median(fit['seconds'] for fit in timed):.2f}"
        case "R-hat":
            return f"{max(fit['r_hat'] for fit in timed):.3f}"
        case "others":
            return f"{record['others']:.2f}"
        case "fits":
            return str(len(timed))
        case "all-in":
            again = f" ({record['warm_wall']:.1f})" if record.get("warm_wall") else ""
            short = "" if record["runs"][0]["ess"] >= 1000 else f", ESS {record['runs'][0]['ess']:.0f}"
            return f"{record['wall']:.1f}{again}{short}"
        case _:
            if "tick_us" not in facts:
                return ""
            bare = f"{facts['bare_us']:.1f} / " if "bare_us" in facts else ""
            return f"{bare}{facts['tick_us']:.1f}{' compiled' if facts.get('compiled') else ''}"


COLUMNS = ("ESS/s", "ESS", "s", "fits", "R-hat", "all-in", "µs bare / tick", "others")


class Best(NamedTuple):
    """A row's name, its figure, and the cores that others took meanwhile."""

    row: str
    figure: float
    others: float

    def shown(self, digits: int, unit: str) -> str:
        """The figure with its row; a star where others were at work."""
        if not self.row:
            return "not measured"
        star = "*" if self.others > BUSY else ""
        return f"{self.figure:,.{digits}f}{unit}{star} ({self.row.removeprefix('pyrozoo, ')})"


def ratio(one: Best, other: Best) -> str:
    """How many times `one` is `other`; no number where others were at work beside one of them, since that costs a
    library with two threads more than one with a single thread."""
    if not one.row or not other.row:
        return ""
    return f"{one.figure / other.figure:.2f}" if max(one.others, other.others) <= BUSY else "not quiet"


def best(records: Sequence[dict[str, Any]], ours: bool) -> Best:
    """The row with the highest rate, of ours or of the peers'."""
    found = [Best("", 0.0, 0.0)]
    for record in records:
        if (
            "fault" not in record
            and record["row"].startswith("pyrozoo") == ours
            and "engine: pyro" not in record["row"]
        ):
            timed = record["runs"][1:] or record["runs"]
            found.append(Best(record["row"], statistics.median(fit["rate"] for fit in timed), record["others"]))
    return max(found, key=lambda row: row.figure)


def fastest(records: Sequence[dict[str, Any]], ours: bool) -> Best:
    """The shortest cold way to a posterior with ESS >= 1,000."""
    found = []
    for record in records:
        own = record["row"].startswith("pyrozoo")
        if "fault" not in record and own == ours and record["runs"][0]["ess"] >= 1000:
            found.append(Best(record["row"], record["wall"], record["others"]))
    return min(found, key=lambda row: row.figure, default=Best("", 0.0, 0.0))


def write_table(results: Path, path: Path, problems: Sequence[str], rows: Sequence[str]) -> None:
    """Write the page from the results that are there."""
    records = [json.loads(file.read_text()) for file in sorted(results.glob("*.json"))]
    lines = [HEAD, "## Against the best peer", ""]
    lines += [
        "| problem | Pyrozoo, ESS/s | best peer, ESS/s | times | Pyro's NUTS | times | all-in: Pyrozoo | best peer |"
    ]
    lines += ["| --- " * 8 + "|"]
    groups = {p: [r for r in records if r["problem"] == p and r["row"] in rows] for p in problems}
    for problem, group in groups.items():
        if not group:
            continue
        mine, peer = best(group, True), best(group, False)
        yard = best([record for record in group if record["row"].startswith("pyro,")], False)
        cells = [mine.shown(0, ""), peer.shown(0, ""), ratio(mine, peer), yard.shown(0, ""), ratio(mine, yard)]
        cells += [fastest(group, ours).shown(1, " s") for ours in (True, False)]
        lines.append(f"| {TITLES[problem]} | {' | '.join(cells)} |")
    for problem, group in groups.items():
        if not group:
            continue
        lines += [
            "",
            f"## {TITLES[problem]}",
            "",
            f"| row | {' | '.join(COLUMNS)} |",
            "| --- " * (len(COLUMNS) + 1) + "|",
        ]
        for record in sorted(group, key=lambda r: rows.index(r["row"])):
            if "fault" in record:
                lines.append(f"| {record['row']} | failed: {record['fault'][:120]} " + "| " * (len(COLUMNS)) + "|")
            else:
                lines.append(f"| {record['row']} | " + " | ".join(cell(record, column) for column in COLUMNS) + " |")
    lines += ["", "## Not measured", ""]
    for problem, group in groups.items():
        missing = [name for name in rows if name not in {record["row"] for record in group}]
        if missing:
            lines.append(f"- {TITLES[problem]}: " + "; ".join(missing))
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    machine = f"{platform.machine()}, {processor()}, 2 cores that other work shares"
    lines += ["", "## Machine", "", f"{machine}; Python {platform.python_version()}; {versions}."]
    path.write_text("\n".join(lines) + "\n")


def processor() -> str:
    """The processor's name, as Linux gives it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "processor without a name"
