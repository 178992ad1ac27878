"""The command line: `pyrozoo run|check|schema|list`.

Exit codes: 0 done and every check holds; 1 the input is wrong (one line on stderr); 2 wrong usage; 3 the run finished
and a check failed; 130 interrupted; 141 whoever read the output has gone. Every command imports what it needs, so that
`--help` is there at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.base import Data

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

    experiment = load_experiment(arguments.config, arguments.overrides)
    data = prepare(experiment).data
    backends = ", ".join(experiment.inference)
    print(f"{experiment.path}: ok: {experiment.model_name}, {num_rows(data)} rows, inference: {backends}")
    return DONE


def num_rows(data: Data) -> int:
    """Rows of the data: of its longest observed site, else what the inputs say."""
    lengths = [len(value) for value in data.observed.values() if value.ndim]
    return max(lengths, default=int(data.inputs.get("num_rows", 0)))


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
    from models.priors import PRIORS

    guides = get_args(get_type_hints(Svi)["guide"])
    priors = {f"{name}({', '.join(rule.arguments)})": rule.support for name, rule in PRIORS.items()}
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
