"""Fits of one problem by one library in this process, the first one and repeats, as JSON:

    python tests/benchmarks/run.py --library numpyro --problem mixture --json out.json --set method=parallel

`--started` is the clock when the process was asked for (`time.time()`), so that a wall time includes its imports.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

ENTERED = time.time()
warnings.filterwarnings("ignore")

from libraries import LIBRARIES  # noqa: E402
from measure import Fit, quality  # noqa: E402
from problems import PROBLEMS  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", choices=LIBRARIES, required=True)
    parser.add_argument("--problem", choices=PROBLEMS, required=True)
    parser.add_argument("--size", type=int, nargs=3, default=(4, 1000, 1000), metavar=("CHAINS", "WARMUP", "DRAWS"))
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="the library's own settings")
    parser.add_argument("--repeats", type=int, default=3, help="fits after the first one, whose rates are kept")
    parser.add_argument("--enough", type=float, default=15.0, help="seconds of fitting after which no repeat begins")
    parser.add_argument("--started", type=float, default=ENTERED)
    parser.add_argument("--json", type=Path, required=True)
    chosen = parser.parse_args()
    own = dict(pair.split("=") for pair in chosen.set)
    settings = {name: int(value) if value.isdigit() else value for name, value in own.items()}
    fits = LIBRARIES[chosen.library](chosen.problem, PROBLEMS[chosen.problem](), *chosen.size, **settings)
    first = next(fits)
    ready = time.time()
    found = [summed(chosen.problem, first)]
    while len(found) <= chosen.repeats and (len(found) == 1 or sum(run["seconds"] for run in found) < chosen.enough):
        found.append(summed(chosen.problem, next(fits)))
    chosen.json.write_text(json.dumps({"wall": ready - chosen.started, "fits": found}, indent=1, default=float))


def summed(problem: str, fit: Fit) -> dict[str, Any]:
    return {**quality(problem, fit.draws), "seconds": fit.seconds, "busy": fit.busy, **fit.facts}


if __name__ == "__main__":
    main()
