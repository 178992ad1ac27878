"""Run every library on every problem, one process at a time, and write the table: `make bench`.

    python tests/benchmarks/bench.py [--tables mixture svi ...] [--rows stan ...] [--missing] [--page-only]

A row is up to two processes that share compile caches, empty at first (a new folder for those of torch, numba, PyTensor
and Stan; JAX keeps none on disk): one goes from nothing to a posterior, "all-in"; the other repeats its fit and times
it. Results are kept in `.venv-bench/results`, a file for each row, as soon as they are there: rows can be measured in
any order and by several calls, and `--missing` goes on after an interruption.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import floor
from problems import PROBLEMS

from inference.settings import Nuts

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / ".venv-bench" / "results"
LIMIT = 150.0  # seconds for one process

Size = tuple[int, int, int]  # chains, warm-up, draws of each


class Row(NamedTuple):
    """A row of the tables: a library with its own settings, and how long its chains are.

    size: of the fits that are timed, `repeats` after a first one; that one counts where `repeats` is 0.
    all_in: of the fit from a fresh process, by problem; empty where there is none. A peer gets the length with which it
    comes out just above ESS 1,000. copies: how many such fits two cores run at once.
    """

    library: str
    size: Size
    settings: tuple[str, ...] = ()
    all_in: Mapping[str, Size] = {}
    repeats: int = 3
    copies: int = 1
    devices: int = 1  # of XLA
    problems: tuple[str, ...] = tuple(PROBLEMS)


USUAL = (4, 1000, 1000)
DEFAULTS = (Nuts().num_chains, Nuts().num_warmup, Nuts().num_samples)
PEERS = {
    "logistic_small": (4, 400, 500),
    "mixture": (4, 400, 900),
    "zero_inflated": (4, 400, 500),
    "beta_bernoulli": (4, 400, 600),
    "hidden_markov": (4, 400, 700),
    "logistic_big": (4, 400, 700),
}
TWO_LONG = {problem: (2, warmup, 2 * draws) for problem, (_, warmup, draws) in PEERS.items()}

ROWS = {
    "pyrozoo, defaults": Row("pyrozoo", DEFAULTS, all_in=dict.fromkeys(PROBLEMS, DEFAULTS)),
    "pyrozoo, 64 chains": Row("pyrozoo", (64, *DEFAULTS[1:])),
    "pyrozoo, 4 chains": Row("pyrozoo", (4, 400, 400)),
    "pyrozoo, 1 chain": Row("pyrozoo", (1, 400, 400)),
    "numpyro, parallel": Row("numpyro", USUAL, ("method=parallel",), PEERS, devices=4),
    "numpyro, vectorized": Row("numpyro", USUAL, ("method=vectorized",), repeats=1),
    "nutpie": Row("nutpie", USUAL, ("backend=numba",), PEERS),
    "nutpie through JAX": Row(
        "nutpie", USUAL, ("backend=jax",), PEERS, repeats=1, problems=("hidden_markov", "logistic_big")
    ),
    "stan": Row("stan", USUAL, (), PEERS),
    "pyro, jit": Row("pyro", (1, 500, 500), ("jit=1",), TWO_LONG, repeats=0, copies=2),
    "pyro, eager": Row("pyro", (1, 500, 500), ("jit=0",), repeats=0, copies=2),
}


def environment(row: Row, caches: Path) -> dict[str, str]:
    """Threads as each library uses two cores best, and its compile caches in a folder of their own."""
    own = {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={row.devices} --xla_cpu_multi_thread_eigen=false",
        "TORCHINDUCTOR_CACHE_DIR": str(caches / "torch"),
        "NUMBA_CACHE_DIR": str(caches / "numba"),
        "PYTENSOR_FLAGS": f"base_compiledir={caches / 'pytensor'}",
        "XDG_CACHE_HOME": str(caches / "stan"),
        "PYTHONPATH": str(HERE.parents[1]),
        # one thread a chain for peers, whose chains run beside each other; ours sets its own count
        "OMP_NUM_THREADS": "2" if row.library == "pyrozoo" else "1",
    }
    return {**os.environ, **own}


def process(problem: str, row: Row, size: Size, repeats: int, caches: Path) -> dict[str, Any]:
    """What one process measured, or its `fault`."""
    out = caches / "out.json"
    out.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / "run.py"), "--library", row.library, "--problem", problem, "--json", str(out)]
    command += ["--size", *map(str, size), "--repeats", str(repeats), "--set", *row.settings]
    command += ["--started", repr(time.time())]
    try:
        done = subprocess.run(command, env=environment(row, caches), capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return {"fault": f"not done after {LIMIT:.0f} s"}
    if done.returncode != 0 or not out.exists():
        return {"fault": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    return json.loads(out.read_text())


def processor_seconds() -> tuple[float, float, float]:
    """The clock, what all processes took from the processors since the machine started, and what this one's children
    took."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:8]]
    busy = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
    own = os.times()
    return time.perf_counter(), busy, own.user + own.system + own.children_user + own.children_system


def measure(problem: str, name: str) -> dict[str, Any]:
    """A row's record: `all_in` and `timed`, each what a process measured."""
    row = ROWS[name]
    record: dict[str, Any] = {"problem": problem, "row": name, "copies": row.copies}
    before = processor_seconds()
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        if row.all_in:
            size = row.all_in[problem]
            record["all_in"] = {**process(problem, row, size, 0, Path(folder)), "size": size}
        # what is not done once within the limit is not tried again
        fault = record.get("all_in", {}).get("fault", "")
        timed = {"fault": fault} if fault else process(problem, row, row.size, row.repeats, Path(folder))
        record["timed"] = {**timed, "size": row.size}
    wall, busy, own = (now - then for now, then in zip(processor_seconds(), before, strict=True))
    return {**record, "spent": wall, "processor": own, "others": max(0.0, busy - own) / wall}


def svi_steps() -> Any:
    """The records of `svi_steps.measure`, from a process of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        out = Path(folder) / "out.json"
        code = f"import json, svi_steps; open({str(out)!r}, 'w').write(json.dumps(svi_steps.measure()))"
        paths = os.pathsep.join([str(HERE), str(HERE.parents[1])])
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths}, check=True)
        return json.loads(out.read_text())


def keep(name: str, measured: Any) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(measured, indent=1))


def main() -> None:
    tables = ["machine", *PROBLEMS, "svi"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="*", choices=tables, default=tables, help="problems, machine, svi")
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS), help="of each problem")
    parser.add_argument("--missing", action="store_true", help="only what has no result yet")
    parser.add_argument("--page-only", action="store_true", help="write the page from the results that are there")
    chosen = parser.parse_args()
    from page import told, write_page

    for table in [] if chosen.page_only else chosen.tables:
        if table not in PROBLEMS:
            if not (chosen.missing and (RESULTS / f"{table}.json").exists()):
                keep(table, floor.machine() if table == "machine" else svi_steps())
                print(f"{table}: done", flush=True)
            continue
        for name in chosen.rows:
            file = f"{table}--{list(ROWS).index(name):02d}"
            if table in ROWS[name].problems and not (chosen.missing and (RESULTS / f"{file}.json").exists()):
                record = measure(table, name)
                keep(file, record)
                print(told(record), flush=True)
    rows = {problem: [name for name, row in ROWS.items() if problem in row.problems] for problem in PROBLEMS}
    write_page(RESULTS, HERE / "RESULTS.md", rows)


if __name__ == "__main__":
    main()
