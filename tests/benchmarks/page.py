"""The results as one Markdown page: goals, what was measured, how, and where it was lost."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import floor
from problems import TITLES

BUSY = 0.2  # cores that others take: from here on a figure is marked
ENOUGH = 1000  # effective draws
SOUND = 1.01  # R-hat
PACKAGES = ("torch", "pyro-ppl", "numba", "numpy", "numpyro", "jax", "nutpie", "pymc", "pytensor", "pystan")

HEAD = """# How fast

Written by `make bench` (`.venv-bench/bin/python tests/benchmarks/bench.py`). The problems are simulated from fixed
seeds in `problems.py`; every library gets the same data, the same priors and the same parameters. Float64, two cores.

- **ESS/s**: min(bulk, tail) effective sample size over all parameters per second of warm-up and sampling, without
  compiling; the median of the fits that are timed, each from another seed, after a first one in the same process.
- **all-in**: seconds from the start of a fresh process to its posterior, imports, tracing and compiling included, with
  empty compile caches. Pyrozoo runs its defaults; each peer a length that brings it just above ESS 1,000 (in brackets:
  chains x (warm-up + draws)). Where a posterior has less, its ESS is given and the figure does not count.
- **R-hat**: the largest over all parameters and fits, nested in four superchains from eight chains on, since R-hat of
  many short chains scatters around 1 + chains / ESS. A rate with one above 1.01 is not yet one of sound draws.
- **cores**: processor seconds over seconds while fitting, where one process does the work.
- **others**: cores that other work on the machine took meanwhile. A star marks more than 0.2: such a figure is too low.
- Pyrozoo runs its defaults, 16 chains x (400 + 400), where 400 is the most that warm-up takes, and the same with 64
  chains.
- Peers run 4 chains x (1000 + 1000). NumPyro: four host devices of one thread (parallel) or one (vectorized), its
  compiled program kept from fit to fit, for `MCMC.run` by itself compiles anew every time, some seconds in each.
  nutpie and Stan: two chains at once. Pyro: one chain x (500 + 500), one fit, its rate doubled as if two cores ran two
  such chains side by side; all-in it has two chains. Through JAX, nutpie was run where that helps it.
"""


class Best(NamedTuple):
    """A row's name and figure; sound: whether its R-hat allows to quote it; quiet: whether others left it the cores."""

    row: str
    figure: float
    sound: bool = True
    quiet: bool = True

    def shown(self, digits: int, unit: str) -> str:
        if not self.row:
            return "none"
        marks = ("" if self.quiet else "*") + ("" if self.sound else f", R-hat > {SOUND}")
        return f"{self.figure:,.{digits}f}{unit}{marks} ({self.row.removeprefix('pyrozoo, ')})"


NONE = Best("", 0.0)


def timed(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The fits that count: without the first one, where there are more."""
    fits = record["timed"].get("fits", [])
    return fits[1:] or fits


def median(record: Mapping[str, Any], key: str) -> float:
    return statistics.median(fit[key] for fit in timed(record))


def rate(record: Mapping[str, Any]) -> float:
    return record["copies"] * statistics.median(fit["ess"] / fit["seconds"] for fit in timed(record))


def r_hat(record: Mapping[str, Any]) -> float:
    return max(fit["r_hat"] for fit in timed(record))


def quiet(record: Mapping[str, Any]) -> bool:
    return record["others"] <= BUSY


def length(size: Sequence[int]) -> str:
    return f"{size[0]} x ({size[1]} + {size[2]})"


def all_in(record: Mapping[str, Any]) -> str:
    found = record.get("all_in")
    if found is None:
        return ""
    if "fault" in found:
        return "failed"
    ess = found["fits"][0]["ess"]
    return f"{found['wall']:.1f} ({length(found['size'])}{'' if ess >= ENOUGH else f', ESS {ess:.0f}'})"


def cores(record: Mapping[str, Any]) -> str:
    if timed(record)[0]["busy"] is None:
        return ""
    return f"{statistics.median(fit['busy'] / fit['seconds'] for fit in timed(record)):.1f}"


COLUMNS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "ESS/s": lambda record: f"{rate(record):,.0f}{'' if quiet(record) else '*'}",
    "ESS": lambda record: f"{median(record, 'ess'):,.0f}",
    "seconds": lambda record: f"{median(record, 'seconds'):.2f}",
    "fits": lambda record: str(len(timed(record))),
    "R-hat": lambda record: f"{r_hat(record):.3f}" if record["timed"]["size"][0] > 1 else "",
    "all-in": all_in,
    "cores": cores,
    "others": lambda record: f"{record['others']:.2f}",
}


def told(record: Mapping[str, Any]) -> str:
    """A record in one line, for who watches."""
    start = f"{TITLES[record['problem']]}: {record['row']} ({record['spent']:.0f} s): "
    if "fault" in record["timed"]:
        return start + record["timed"]["fault"]
    return start + ", ".join(f"{name} {cell(record)}" for name, cell in COLUMNS.items() if cell(record))


def best(records: Sequence[Mapping[str, Any]], only_sound: bool = False) -> Best:
    """The row with the highest rate; of Pyrozoo's, those of sound draws come first."""
    found = [Best(r["row"], rate(r), not r_hat(r) > SOUND, quiet(r)) for r in records if timed(r)]
    return max(found, key=lambda row: (row.sound or not only_sound, row.figure), default=NONE)


def fastest(records: Sequence[Mapping[str, Any]], only_sound: bool = False) -> Best:
    """The shortest way from a fresh process to ESS >= 1,000; of Pyrozoo's, those of sound draws come first."""
    found = []
    for record in records:
        fit = record.get("all_in", {}).get("fits", [None])[0]
        if fit is not None and fit["ess"] >= ENOUGH:
            found.append(Best(record["row"], record["all_in"]["wall"], not fit["r_hat"] > SOUND, quiet(record)))
    return min(found, key=lambda row: (only_sound and not row.sound, row.figure), default=NONE)


def row_of(group: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    return next((record for record in group if record["row"] == name and timed(record)), None)


def wall(group: Sequence[Mapping[str, Any]], name: str) -> Best:
    """Seconds of a row's fits."""
    record = row_of(group, name)
    return NONE if record is None else Best(name, median(record, "seconds"), quiet=quiet(record))


def against(figure: float, goal: float, at_least: bool = True) -> str:
    """A ratio, and whether it meets its goal."""
    met = figure >= goal if at_least else figure <= goal
    return f"{figure:.2f} {'met' if met else '**not met**'}"


def ratio(one: Best, other: Best, goal: float, at_least: bool = True) -> str:
    """How many times `one` is `other`; no verdict where others were at work, which costs some libraries more."""
    if not (one.row and other.row):
        return "not measured"
    figure = one.figure / other.figure
    return against(figure, goal, at_least) if one.quiet and other.quiet else f"{figure:.2f}, not quiet"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def goals(groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """The goals of speed, problem by problem."""
    rates, ways = [], []
    for problem, group in groups.items():
        ours = [record for record in group if record["row"].startswith("pyrozoo")]
        peers = [record for record in group if record not in ours]
        mine, peer = best(ours, only_sound=True), best(peers)
        pyro = best([record for record in peers if record["row"].startswith("pyro,")])
        rates.append([TITLES[problem], mine.shown(0, ""), peer.shown(0, ""), ratio(mine, peer, 3), pyro.shown(0, "")])
        rates[-1].append(ratio(mine, pyro, 50))
        way, other = fastest(ours, only_sound=True), fastest(peers)
        four, one = (wall(group, f"pyrozoo, {chains}") for chains in ("4 chains", "1 chain"))
        ways.append([TITLES[problem], way.shown(1, " s"), other.shown(1, " s"), ratio(other, way, 1)])
        ways[-1].append(ratio(four, one, 1.5, at_least=False))
    return [
        *table(
            ["ESS/s", "Pyrozoo", "best peer", "times (goal: 3)", "Pyro's NUTS", "times (goal: 50)"],
            rates,
        ),
        "",
        *table(
            ["all-in", "Pyrozoo", "fastest peer", "times (goal: 1)", "4 chains against 1 (goal: 1.5 at most)"],
            ways,
        ),
    ]  # fmt: skip


def details(group: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """Every row of a problem; what failed and what is missing too."""
    found = {record["row"]: record for record in group}
    rows = []
    for name in names:
        record = found.get(name)
        if record is None:
            cells = ["not measured"]
        elif not timed(record):
            cells = [f"failed: {record['timed']['fault'][:120]}"]
        else:
            cells = [cell(record) for cell in COLUMNS.values()]
        rows.append([name, *cells, *[""] * (len(COLUMNS) - len(cells))])
    return table(["row", *COLUMNS], rows)


def time_spent(groups: Mapping[str, Sequence[Mapping[str, Any]]], rates: dict[str, float]) -> list[str]:
    """Microseconds of a gradient for one chain: in the sampler, by itself, and at the least."""
    rows = []
    for problem, group in groups.items():
        for name in ("pyrozoo, 4 chains", "pyrozoo, defaults", "pyrozoo, 64 chains"):
            record = row_of(group, name)
            if record is not None:
                least = floor.floor_us(problem, record["timed"]["size"][0], rates)
                cells = [f"{median(record, key):.1f}" for key in ("tick_us", "bare_us")]
                rows.append([TITLES[problem], name.removeprefix("pyrozoo, "), *cells, f"{least:.2f}"])
    return [
        "## Where the time goes",
        "",
        "Microseconds of a gradient for one chain, two threads: in the sampler, by itself, and the floor. That is the",
        "longer of its operations at the speed of a matrix product and its data at that of a copy, here",
        f"{rates['flops'] / 1e9:.0f} GFLOP/s and {rates['bytes'] / 1e9:.0f} GB/s; an exp or a log counts as",
        f"{floor.TRANSCENDENTAL} operations (`floor.py`).",
        "",
        *table(["problem", "chains", "in the sampler", "bare", "floor"], rows),
    ]


def svi(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Steps a second beside Pyro's SVI, with `Trace_ELBO` and with `JitTrace_ELBO`."""
    rows = []
    for found in records:
        rates = [f"{found[f'{whose}_steps_per_s']:,.0f}" for whose in ("ours", "pyro", "pyro_jit")]
        times = [against(found["ratio"], 10), f"{found['jit_ratio']:.2f}", f"{found['ours_seconds_to_plateau']:.1f}"]
        rows.append([TITLES[found["problem"]], found["guide"], str(found["particles"]), *rates, *times])
    head = ["problem", "guide", "particles", "Pyrozoo, steps/s", "Pyro", "Pyro, jit", "times Pyro (goal: 10)"]
    return [
        "## Steps of variational inference",
        "",
        "One thread, and seconds of the processor (`svi_steps.py`).",
        "",
        *table([*head, "times Pyro, jit", "Pyrozoo, seconds to its end"], rows),
    ]


def write_page(results: Path, path: Path, rows: Mapping[str, Sequence[str]]) -> None:
    """Write the page from the results that are there. rows: what belongs to each problem."""

    def kept(name: str) -> Any:
        file = results / f"{name}.json"
        return json.loads(file.read_text()) if file.exists() else None

    records = [json.loads(file.read_text()) for file in sorted(results.glob("*--*.json"))]
    groups = {
        problem: [record for record in records if record["problem"] == problem and record["row"] in names]
        for problem, names in rows.items()
    }
    groups = {problem: group for problem, group in groups.items() if group}
    lines = [HEAD, "## Goals", "", *goals(groups)]
    for problem, group in groups.items():
        lines += ["", f"## {TITLES[problem]}", "", *details(group, rows[problem])]
    machine, steps = kept("machine"), kept("svi")
    if machine:
        lines += ["", *time_spent(groups, machine)]
    if steps:
        lines += ["", *svi(steps)]
    missing = [TITLES[problem] for problem in rows if problem not in groups]
    if missing:
        lines += ["", f"Not measured at all: {'; '.join(missing)}."]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    lines += ["", "## Machine", "", f"{platform.machine()}, {processor()}, {os.cpu_count()} cores; "]
    lines[-1] += f"Python {platform.python_version()}; {versions}."
    path.write_text("\n".join(lines) + "\n")


def processor() -> str:
    """The processor's name, as Linux gives it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "processor without a name"
