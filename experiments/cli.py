"""The command line: `pyrozoo run|check|predict|compare|ppc|monitor|new|show|selftest|list|schema`.

Exit codes: 0 done and every check holds; 1 the input is wrong (one line on stderr); 2 wrong usage; 3 the run finished
and a check failed (of `ppc`, `monitor` and `selftest`: something does not hold); 130 interrupted; 141 whoever read the
output has gone. Every command imports what it needs, so that `--help` is there at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

DONE, WRONG_INPUT, CHECK_FAILED, INTERRUPTED, BROKEN_PIPE = 0, 1, 3, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; argparse itself exits with 0 for `--help` and 2 for wrong usage."""
    try:
        arguments = parser().parse_args(argv)
        code: int = guarded(arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("interrupted: no finished run was left behind", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains once more when it exits
        return BROKEN_PIPE


def guarded(arguments: argparse.Namespace) -> int:
    """The command's exit code; wrong input becomes one line. Any other exception is a bug and keeps its traceback."""
    from models.errors import InputError

    try:
        code: int = arguments.command(arguments)
        return code
    except InputError as error:
        print("error:", " ".join(str(error).split("\n")), file=sys.stderr)
        return WRONG_INPUT


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="pyrozoo", description="Bayesian models as Pyro programs, from a YAML file to a checked report."
    )
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int], about: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        sub.set_defaults(command=command)
        return sub

    run = add("run", run_command, "run an experiment: infer, check, and write the run folder with its report")
    check = add("check", check_command, "check a config and its data without inference")
    for sub in (run, check):
        sub.add_argument("config", type=Path, metavar="CONFIG", help="the experiment, a YAML file")
        sub.add_argument(
            "--set",
            dest="overrides",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="override one setting, for instance inference.nuts.num_samples=50; may be repeated",
        )
    run.add_argument(
        "--out", type=Path, metavar="DIR", help="the run folder (default: runs/<name>, or the next free one)"
    )
    run.add_argument(
        "--quiet", action="store_true", help="no progress and no tables, only the verdict and the report's path"
    )
    predict = add("predict", predict_command, "predict new rows from a finished run: means, intervals, probabilities")
    predict.add_argument("folder", type=Path, metavar="RUN", help="the folder of a finished run")
    predict.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="FILE",
        help="the new rows, a CSV or Parquet file like the fitted one",
    )
    predict.add_argument(
        "--backend",
        metavar="NAME",
        help="whose draws to use (default: the run's most trusted, exact before nuts)",
    )
    predict.add_argument("--mass", type=float, default=0.9, help="what the intervals hold (default: 0.9)")
    predict.add_argument(
        "--out", type=Path, metavar="FILE", help="write the file's own columns and the predictions to a new CSV file"
    )
    new = add("new", new_command, "write a starter config for a family, with every setting explained")
    new.add_argument("family", metavar="FAMILY", help="a family of the zoo, as `pyrozoo list` names it")
    new.add_argument("--out", type=Path, metavar="FILE", help="the new file (default: FAMILY.yaml)")
    show = add("show", show_command, "explain a family: its model, columns, settings and backends")
    show.add_argument("family", metavar="FAMILY", help="a family of the zoo, as `pyrozoo list` names it")
    compare = add("compare", compare_command, "compare finished runs on the same rows: elpd, weights, speed")
    compare.add_argument("folders", type=Path, nargs="+", metavar="RUN", help="folders of finished runs, two or more")
    ppc = add("ppc", ppc_command, "check a finished run's data against data that its model generates")
    ppc.add_argument("folder", type=Path, metavar="RUN", help="the folder of a finished run")
    ppc.add_argument("--prior", action="store_true", help="what the priors alone generate")
    ppc.add_argument(
        "--statistic",
        dest="statistics",
        action="append",
        default=[],
        metavar="FILE.py:NAME",
        help="a further statistic, a function of observed sites and inputs by name; may be repeated",
    )
    monitor = add("monitor", monitor_command, "compare new rows with those that a finished run was fitted to")
    monitor.add_argument("folder", type=Path, metavar="RUN", help="the folder of a finished run")
    monitor.add_argument("--data", type=Path, required=True, metavar="FILE", help="the new rows, a CSV or Parquet file")
    for sub in (compare, ppc, monitor):
        sub.add_argument("--backend", metavar="NAME", help="whose draws to use (default: the run's most trusted)")
    add("selftest", selftest_command, "compute known answers on this machine, offline, in less than a minute")
    add("schema", schema_command, "print the JSON Schema of a config, for editors")
    add("list", list_command, "list families, backends, guides, priors and bundled data")
    return top


def run_command(arguments: argparse.Namespace) -> int:
    from experiments.config import load_experiment
    from experiments.runner import run
    from experiments.terminal import RunProgress, print_result
    from inference.progress import silent

    experiment = load_experiment(arguments.config, arguments.overrides)
    if arguments.quiet:
        finished = run(experiment, out=arguments.out, progress=silent)
        print(f"{experiment.name}: {finished.result.verdict}")
    else:
        with RunProgress() as progress:
            finished = run(experiment, out=arguments.out, progress=progress)
        print_result(finished.result)
    print(f"report: {finished.path / 'report.html'}")
    return DONE if finished.result.passed else CHECK_FAILED


def check_command(arguments: argparse.Namespace) -> int:
    from experiments.config import load_experiment
    from experiments.prepare import prepare
    from experiments.words import counted

    experiment = load_experiment(arguments.config, arguments.overrides)
    rows = prepare(experiment).num_rows
    backends = ", ".join(experiment.inference)
    print(f"{experiment.path}: ok: {experiment.model_name}, {counted(rows, 'row')}, inference: {backends}")
    return DONE


def predict_command(arguments: argparse.Namespace) -> int:
    from experiments.criticism.commands import warn_of
    from experiments.new_file import refuse_existing, write_new
    from experiments.predictions import as_csv, predict

    if arguments.out is not None:
        refuse_existing(arguments.out)
    found = predict(arguments.folder, arguments.data, arguments.backend, arguments.mass)
    warn_of(arguments.folder, found.backend)
    if arguments.out is None:
        print(as_csv(found, whole=False), end="")
    else:
        write_new(arguments.out, as_csv(found, whole=True))
        print(
            f"{arguments.out}: {found.rows.num_rows} rows, by {found.backend}, intervals of {100 * arguments.mass:.6g}%"
        )
    return DONE


def new_command(arguments: argparse.Namespace) -> int:
    from experiments.new_file import write_new
    from experiments.starters import starter

    path = arguments.out or Path(f"{arguments.family}.yaml")
    write_new(path, starter(arguments.family))
    print(f"{path}: written; try it with: pyrozoo run {path}")
    return DONE


def show_command(arguments: argparse.Namespace) -> int:
    from experiments.explain import explanation

    print(explanation(arguments.family))
    return DONE


def compare_command(arguments: argparse.Namespace) -> int:
    from experiments.criticism.commands import print_comparison

    print_comparison(arguments.folders, arguments.backend)
    return DONE


def ppc_command(arguments: argparse.Namespace) -> int:
    from experiments.criticism.commands import print_ppc

    holds = print_ppc(arguments.folder, arguments.statistics, arguments.prior, arguments.backend)
    return DONE if holds else CHECK_FAILED


def monitor_command(arguments: argparse.Namespace) -> int:
    from experiments.criticism.commands import print_monitor

    return DONE if print_monitor(arguments.folder, arguments.data, arguments.backend) else CHECK_FAILED


def selftest_command(arguments: argparse.Namespace) -> int:
    from experiments.criticism.commands import print_selftest

    return DONE if print_selftest() else CHECK_FAILED


def schema_command(arguments: argparse.Namespace) -> int:
    import json

    from experiments.schema import schema

    print(json.dumps(schema(), indent=2))
    return DONE


def list_command(arguments: argparse.Namespace) -> int:
    """Every table of the zoo, a name and a sentence in each line."""
    from typing import get_args, get_type_hints

    from experiments.datasets import BUNDLED
    from inference.settings import BACKENDS, Svi
    from models import FAMILIES
    from models.base import story
    from models.horseshoe import SIGNATURE
    from models.priors import PRIORS

    guides = get_args(get_type_hints(Svi)["guide"])
    priors = {f"{name}({', '.join(rule.arguments)})": rule.support for name, rule in PRIORS.items()}
    priors[SIGNATURE] = "real, for coefficients of which few matter"
    tables = {
        "families": {name: story(family).sentence for name, family in FAMILIES.items()},
        "backends": {name: (backend.__doc__ or "").split("\n\n")[0] for name, backend in BACKENDS.items()},
        "guides of svi": dict.fromkeys(guides, ""),
        "priors": priors,
        "bundled data": {name: entry.about for name, entry in BUNDLED.items()},
    }
    for title, rows in tables.items():
        width = max(map(len, rows))
        lines = [f"  {name:<{width}}  {about}".rstrip() for name, about in rows.items()]
        print("\n".join([title, *lines, ""]))
    return DONE


if __name__ == "__main__":
    sys.exit(main())
