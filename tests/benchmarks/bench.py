"""Run every library on every problem, one process at a time, and write the table: `make bench`.

    python tests/benchmarks/bench.py [--problems mixture ...] [--rows stan ...] [--repeats 3] [--table-only]

A row is one process. It finds empty compile caches (a new folder for those of torch, numba, PyTensor and Stan; JAX
keeps none on disk), and the wall time to its first posterior is "all-in, cold"; the fits after that one are timed.
Results are kept in `.venv-bench/results`, a file for each row, so that one can be measured again without the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from problems import PROBLEMS

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / ".venv-bench" / "results"


class Row(NamedTuple):
    """A row of the table: the library, chains, warm-up and draws of each chain, and its own settings."""

    library: str
    chains: int
    warmup: int
    draws: int
    settings: tuple[str, ...]
    devices: int = 1  # of XLA, on the two cores


def batched(chains: int, warmup: int, draws: int, threads: int, compiling: str) -> Row:
    return Row("pyrozoo", chains, warmup, draws, (f"threads={threads}", "engine=batched", f"compiling={compiling}"))


ROWS = {
    "pyrozoo, defaults": batched(16, 200, 400, 1, "auto"),
    "pyrozoo, defaults, 2 threads": batched(16, 200, 400, 2, "auto"),
    "pyrozoo, 64 chains, compiled": batched(64, 100, 200, 1, "always"),
    "pyrozoo, 64 chains, compiled, 2 threads": batched(64, 100, 200, 2, "always"),
    "numpyro, parallel": Row("numpyro", 4, 1000, 1000, ("method=parallel",), 4),
    "numpyro, vectorized": Row("numpyro", 4, 1000, 1000, ("method=vectorized",)),
    "nutpie": Row("nutpie", 4, 1000, 1000, ("backend=numba",)),
    "nutpie through JAX": Row("nutpie", 4, 1000, 1000, ("backend=jax",)),
    "stan": Row("stan", 4, 1000, 1000, ()),
    "pyro, 2 chains, 300 + 300": Row("pyro", 2, 300, 300, ()),
    "pyrozoo, engine: pyro, 300 + 300": Row("pyrozoo", 4, 300, 300, ("threads=1", "engine=pyro", "compiling=never")),
    "numpyro, parallel, 2 chains x (1000 + 2000)": Row("numpyro", 2, 1000, 2000, ("method=parallel",), 2),
}


def environment(row: Row, caches: Path) -> dict[str, str]:
    """Threads as each library uses two cores best, and its compile caches in a folder of their own."""
    flags = f"--xla_force_host_platform_device_count={row.devices} --xla_cpu_multi_thread_eigen=false"
    own = {
        "XLA_FLAGS": f"{flags} intra_op_parallelism_threads=1",
        "TORCHINDUCTOR_CACHE_DIR": str(caches / "torch"),
        "NUMBA_CACHE_DIR": str(caches / "numba"),
        "PYTENSOR_FLAGS": f"base_compiledir={caches / 'pytensor'}",
        "XDG_CACHE_HOME": str(caches / "stan"),
        "PYTHONPATH": str(HERE.parents[1]),
        # one thread a chain for peers, whose chains run beside each other; ours sets its own count
        "OMP_NUM_THREADS": "2" if "threads=2" in row.settings else "1",
    }
    return {**os.environ, **own}


def run(problem: str, row: Row, caches: Path, repeats: int, limit: float) -> dict[str, Any] | str:
    """One process; what it measured, or why there is nothing."""
    out = caches / "out.json"
    out.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / "run.py"), "--library", row.library, "--problem", problem, "--json", str(out)]
    command += ["--chains", str(row.chains), "--warmup", str(row.warmup), "--draws", str(row.draws)]
    command += ["--set", *row.settings, "--repeats", str(repeats), "--started", repr(time.time())]
    try:
        done = subprocess.run(command, env=environment(row, caches), capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return f"not done after {limit:.0f} s"
    if done.returncode != 0 or not out.exists():
        return (done.stderr.strip().splitlines() or ["no message"])[-1]
    return json.loads(out.read_text())


def processor_seconds() -> tuple[float, float, float]:
    """The clock, seconds that all processes took from the processor since it started, and those of this one's
    children."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:8]]
    busy = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
    own = os.times()
    return time.perf_counter(), busy, own.user + own.system + own.children_user + own.children_system


def measure(problem: str, name: str, repeats: int, limit: float, cold_only: bool) -> None:
    """A process that finds nothing compiled and repeats its fit; for ours, another that finds what it left."""
    row = ROWS[name]
    caches = Path(tempfile.mkdtemp(prefix="bench-"))
    before = processor_seconds()
    try:
        found = run(problem, row, caches, repeats, limit)
        others = [now - then for now, then in zip(processor_seconds(), before, strict=True)]
        ours = name.startswith("pyrozoo") and isinstance(found, dict) and not cold_only
        again = run(problem, row, caches, 0, limit) if ours else None
    finally:
        shutil.rmtree(caches, ignore_errors=True)
    record: dict[str, Any] = {"problem": problem, "row": name, "others": max(0.0, others[1] - others[2]) / others[0]}
    if isinstance(found, str):
        record["fault"] = found
        print(f"{problem}: {name}: {found}", flush=True)
    else:
        record |= found
        record["warm_wall"] = again["wall"] if isinstance(again, dict) else None
        timed = found["runs"][1:] or found["runs"]
        rate = statistics.median(fit["rate"] for fit in timed)
        told = f"{rate:,.0f} ESS/s of {len(timed)}, {timed[0]['seconds']:.2f} s, ESS {timed[0]['ess']:,.0f}"
        told += f", cold {found['wall']:.1f} s, R-hat {timed[-1]['r_hat']:.3f}, others {record['others']:.2f} cores"
        print(f"{problem}: {name}: {told}", flush=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{problem}--{list(ROWS).index(name):02d}.json").write_text(json.dumps(record, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="*", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=300.0, help="seconds for one run")
    parser.add_argument("--cold-only", action="store_true", help="no second process that finds warm caches")
    parser.add_argument("--table-only", action="store_true", help="write the table from the results that are there")
    chosen = parser.parse_args()
    if not chosen.table_only:
        for problem in chosen.problems:
            for name in chosen.rows:
                measure(problem, name, chosen.repeats, chosen.limit, chosen.cold_only)
    from table import write_table

    write_table(RESULTS, HERE / "RESULTS.md", list(PROBLEMS), list(ROWS))


if __name__ == "__main__":
    main()
