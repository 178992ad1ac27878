"""An experiment: a YAML file, read, typed and checked. After `load_experiment` no setting is checked again.

name, seed, num_threads    what it is called, the one seed of all randomness, PyTorch's threads
max_memory                 what predictions and scores may take above the data
model                      a family of the zoo with its settings, or a program of the user's
data                       where the rows come from (experiments.datasets reads them)
inference                  one or several backends: a word, a list, or a mapping of settings
checks                     the thresholds that a trustworthy run must keep
scores                     how predictions are scored: held-out rows, K-fold, the future
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from experiments.faults import Fault, build, raise_first, show
from experiments.overrides import override
from experiments.settings import Basics, Checks, DataConfig, Scores, SimulateConfig
from experiments.yaml_source import Loc, Source, Where, read
from inference.settings import BACKENDS, Backend
from models import FAMILIES
from models.base import Family
from models.errors import InputError, did_you_mean

__all__ = ["Checks", "DataConfig", "Experiment", "ProgramConfig", "Scores", "SimulateConfig", "load_experiment"]

PROGRAM = re.compile(r"(?P<path>.+\.py):(?P<name>[A-Za-z_]\w*)")
BASICS = tuple(item.name for item in fields(Basics))
REQUIRED = {
    "model": "write it like `model: {family: beta_bernoulli}`",
    "data": "write it like `data: {path: votes.csv}`",
    "inference": "write it like `inference: [nuts, svi]`",
}
ITEM = "write it like `- nuts: {num_samples: 500}`"


@dataclass(frozen=True)
class ProgramConfig:
    """A user's own program: the file, the class or function in it, and its settings; experiments.programs loads it."""

    path: Path
    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Experiment:
    """A validated YAML file.

    model: a family with its settings, or the program to load.
    inference: backend name -> its settings, in the order of the file.
    path: the file, as the user named it; relative paths in it start at `folder`.
    where: file, line and key of a key path, for messages.
    resolved: everything with its defaults, as plain values; what `yaml_target.dump` makes of it loads, in the same
    folder, to an equal experiment.
    """

    name: str
    seed: int
    num_threads: int
    max_memory: str
    model: Family | ProgramConfig
    data: DataConfig
    inference: Mapping[str, Backend]
    checks: Checks
    scores: Scores
    path: Path = field(compare=False)
    where: Where = field(compare=False, repr=False)
    resolved: Mapping[str, Any] = field(compare=False, repr=False)

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def model_name(self) -> str:
        """`beta_bernoulli`, or `schools.py:EightSchools`."""
        model = self.resolved["model"]
        return str(model.get("family") or model["program"])


def load_experiment(path: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read and check a config, with `a.b.c=value` overrides; InputError names file, line and key of the first fault."""
    source = spread_inference(read(Path(path)))
    for assignment in overrides:
        changed = spread_inference(override(source, assignment))
        refuse_stray(source, changed, assignment)
        source = changed
    tree = source.tree
    known = (*BASICS, *REQUIRED, "checks", "scores")
    faults = [
        Fault((key,), "not a part of an experiment", did_you_mean(key, known)) for key in tree if key not in known
    ]
    faults += [Fault((key,), "is missing", remedy) for key, remedy in REQUIRED.items() if key not in tree]
    basics = build(Basics, {key: tree[key] for key in tree if key in BASICS}, (), "an experiment", faults)
    model = read_model(tree["model"], source.path.parent, faults) if "model" in tree else None
    data = read_data(tree["data"], tree.get("model"), faults) if "data" in tree else None
    inference = read_inference(tree["inference"], faults) if "inference" in tree else {}
    checks = build(Checks, {} if tree.get("checks") is None else tree["checks"], ("checks",), "checks", faults)
    scores = build(Scores, {} if tree.get("scores") is None else tree["scores"], ("scores",), "scores", faults)
    raise_first(faults, source)
    # or there were faults
    assert basics is not None and model is not None and data is not None and checks is not None and scores is not None
    resolved = {
        **plain(basics),
        "model": tree["model"]
        if isinstance(model, ProgramConfig)
        else {"family": tree["model"]["family"], **plain(model)},
        "data": {key: value for key, value in plain(data).items() if value is not None and value != {} and value != []},
        "inference": {name: plain(settings) for name, settings in inference.items()},
        "checks": plain(checks),
        "scores": plain(scores),
    }
    return Experiment(**asdict(basics), model=model, data=data, inference=inference, checks=checks,
                      scores=scores, path=source.path, where=source.where, resolved=resolved)  # fmt: skip


def refuse_stray(before: Source, after: Source, assignment: str) -> None:
    """A setting of a backend that the config does not run is a slip; `--set inference.nuts={}` adds one on purpose."""
    old, new = (source.tree.get("inference") or {} for source in (before, after))
    keys = assignment.partition("=")[0].strip().split(".")
    if keys[0] == "inference" and len(keys) > 2 and isinstance(old, dict) and isinstance(new, dict):
        for name in new.keys() - old.keys():
            if name in BACKENDS:
                rule = f"the config does not run `{name}`, but " + ", ".join(f"`{backend}`" for backend in old)
                raise InputError(f"--set {'.'.join(keys)}", rule, f"name `{name}` under `inference` first")


def plain(record: Any) -> dict[str, Any]:
    """A record of settings as plain values, every default written out."""
    values: dict[str, Any] = TypeAdapter(type(record)).dump_python(record, mode="json")
    return values


def read_model(tree: Any, folder: Path, faults: list[Fault]) -> Family | ProgramConfig | None:
    loc: Loc = ("model",)
    if not isinstance(tree, Mapping):
        faults.append(Fault(loc, f"must be a mapping, got {show(tree)}", REQUIRED["model"]))
        return None
    settings = {key: value for key, value in tree.items() if key not in ("family", "program")}
    if "family" in tree and "program" in tree:
        second = list(tree)[max(list(tree).index("family"), list(tree).index("program"))]
        faults.append(
            Fault((*loc, second), "a model is either a `family` or a `program`, got both", "keep one of the two")
        )
    elif "program" in tree:
        match = PROGRAM.fullmatch(tree["program"]) if isinstance(tree["program"], str) else None
        if match is not None:
            return ProgramConfig((folder / match["path"]).resolve(), match["name"], settings)
        rule = f"must be a file and a name in it, got {show(tree['program'])}"
        faults.append(Fault((*loc, "program"), rule, "write it like `my_models.py:MyModel`"))
    elif "family" in tree:
        name = tree["family"]
        if isinstance(name, str) and name in FAMILIES:
            return build(FAMILIES[name], settings, loc, name, faults)
        faults.append(Fault((*loc, "family"), f"{show(name)} is not a family", did_you_mean(str(name), FAMILIES)))
    else:
        strays = [key for key in tree if difflib.get_close_matches(key, ("family", "program"), cutoff=0.75)]
        if strays:
            faults.append(
                Fault((*loc, strays[0]), "not a setting of `model`", did_you_mean(strays[0], ("family", "program")))
            )
        else:
            faults.append(Fault(loc, "names no `family` and no `program`", REQUIRED["model"]))
    return None


def read_data(tree: Any, model: Any, faults: list[Fault]) -> DataConfig | None:
    """Typed data settings; a family has one source of rows, a program may have `values` beside one."""
    loc: Loc = ("data",)
    settings = dict(tree) if isinstance(tree, Mapping) else tree
    before = len(faults)
    if isinstance(tree, Mapping) and tree.get("simulate") is not None:
        simulate = build(SimulateConfig, tree["simulate"], (*loc, "simulate"), "data.simulate", faults)
        settings["simulate"] = simulate
    data = build(DataConfig, settings, loc, "data", faults)
    if data is None or len(faults) > before:
        return None
    is_family = isinstance(model, Mapping) and "family" in model
    sources = [key for key in tree if key in data.sources]
    rivals = sources if is_family else [key for key in sources if key != "values"]
    if not sources:
        faults.append(Fault(loc, "has no rows", "give one of `values`, `path`, `bundled` and `simulate`"))
    if len(rivals) > 1:
        rule = f"the rows already come from `data.{rivals[0]}`"
        faults.append(Fault((*loc, rivals[1]), rule, "keep one of the two"))
    if is_family and data.observed:
        faults.append(
            Fault((*loc, "observed"), "is for programs: a family knows its own observed site", "leave it out")
        )
    return data


def read_inference(tree: Any, faults: list[Fault]) -> dict[str, Backend]:
    """Backend name -> settings, of a section that `spread_inference` has brought into its mapping form."""
    backends: dict[str, Backend] = {}
    if not tree:
        faults.append(
            Fault(("inference",), "names no backend", f"known: {', '.join(f'`{name}`' for name in BACKENDS)}")
        )
    for name, settings in tree.items():
        if name not in BACKENDS:
            faults.append(Fault(("inference", name), f"{name!r} is not a backend", did_you_mean(name, BACKENDS)))
            continue
        backend = build(BACKENDS[name], {} if settings is None else settings, ("inference", name), name, faults)
        if backend is not None:
            backends[name] = backend
    return backends


def spread_inference(source: Source) -> Source:
    """The source with `inference`, a word, a list or a mapping, as a mapping of backend names to settings.

    Done before overrides, so that `--set inference.nuts.num_samples=50` finds its place whatever the form.
    """
    section = source.tree.get("inference", {})
    if isinstance(section, dict):
        return source
    items = section if isinstance(section, list) else [section]
    spread: dict[str, Any] = {}
    lines = {loc: line for loc, line in source.lines.items() if loc[0:1] != ("inference",) or len(loc) == 1}
    for index, item in enumerate(items):
        loc: Loc = ("inference", index) if isinstance(section, list) else ("inference",)
        if isinstance(item, str):
            name, settings = item, None
        elif isinstance(item, dict) and len(item) == 1:
            name, settings = next(iter(item.items()))
        else:
            rule = f"must be the name of a backend, or a name with its settings, got {show(item)}"
            raise InputError(source.where(loc), rule, ITEM)
        if name in spread:
            raise InputError(source.where(loc), f"`{name}` is named twice", "keep one of the two")
        spread[name] = settings
        inside = {
            ("inference", *where[2:]): line
            for where, line in source.lines.items()
            if where[:2] == loc and len(where) > 2
        }
        lines |= {("inference", name): source.line(loc), **inside}
    return Source({**source.tree, "inference": spread}, source.path, lines)
