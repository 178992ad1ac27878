"""What is wrong with settings, in words: pydantic's objections as rule and remedy, at a key path of the config."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError

from experiments.yaml_source import Loc, Source
from models.errors import InputError, did_you_mean

Record = TypeVar("Record")

KINDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "finite_number": "finite",
}
BOUNDS = {
    "greater_than": ("gt", "above {:g}"),
    "greater_than_equal": ("ge", "{:g} or more"),
    "less_than": ("lt", "below {:g}"),
    "less_than_equal": ("le", "{:g} or less"),
}
WAYS = {
    "text": "put it in quotes",
    "a list": "write it like `[a, b]`",
    "a mapping": "write it like `{key: value}`",
    "true or false": "write the bare word",
}


class Fault(NamedTuple):
    """One objection: the key path, the rule that is broken, what to do about it."""

    loc: Loc
    rule: str
    remedy: str


def raise_first(faults: list[Fault], source: Source) -> None:
    """InputError for the fault that comes first in the file, if any; missing keys come after those that are there."""
    if faults:
        first = min(faults, key=lambda fault: position(source.tree, fault.loc))
        raise InputError(source.where(first.loc), first.rule, first.remedy)


def position(tree: Any, loc: Loc) -> tuple[float, ...]:
    """Where a key path stands in the order of the file: the rank of each of its keys among its siblings."""
    ranks: list[float] = []
    for key in loc:
        siblings: list[Any] = (
            list(tree) if isinstance(tree, dict) else list(range(len(tree))) if isinstance(tree, list) else []
        )
        if key not in siblings:
            return (*ranks, math.inf)
        ranks.append(siblings.index(key))
        tree = tree[key]
    return tuple(ranks)


def build(kind: type[Record], settings: Any, loc: Loc, owner: str, faults: list[Fault]) -> Record | None:
    """A record made of settings, or None and its faults appended. `owner` has the settings: `nuts`, `checks`."""
    if not isinstance(settings, Mapping):
        faults.append(Fault(loc, f"must be a mapping of settings, got {show(settings)}", WAYS["a mapping"]))
        return None
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # records are dataclasses
    unknown = [key for key in settings if key not in known]
    faults.extend(Fault((*loc, key), f"not a setting of `{owner}`", did_you_mean(key, known)) for key in unknown)
    try:
        record = kind(**{key: value for key, value in settings.items() if key in known})
    except ValidationError as error:
        faults.extend(translate(error, kind, settings, loc))
        return None
    return None if unknown else record


def translate(error: ValidationError, kind: type[Any], settings: Mapping[str, Any], loc: Loc) -> list[Fault]:
    """One fault for each key path that pydantic objects to."""
    known = {field.name: field for field in fields(kind)}
    by_path: dict[Loc, list[Any]] = {}
    for detail in error.errors(include_url=False):
        by_path.setdefault(existing(settings, detail["loc"]), []).append(detail)
    faults = []
    for path, details in by_path.items():
        default = known[path[0]].default if len(path) == 1 and path[0] in known else MISSING
        example = "" if default is MISSING or default is None else f"write for instance `{path[0]}: {show(default)}`"
        if details[0]["type"] == "missing":
            faults.append(Fault((*loc, *path), "is missing", f"add it: {about(kind, str(path[0]))}"))
        else:
            faults.append(Fault((*loc, *path), *words(details, example)))
    return faults


def about(kind: type[Any], name: str) -> str:
    """What a setting is, as its record describes it."""
    description = TypeAdapter(kind).json_schema()["properties"][name].get("description")
    return str(description or f"`{name}` has no default")


def existing(settings: Any, loc: Loc) -> Loc:
    """The part of pydantic's path that the settings have (it adds the branch of a union), and a missing key itself."""
    path: Loc = loc[:1]
    tree = settings.get(loc[0]) if loc else settings
    for key in loc[1:]:
        inside = key in tree if isinstance(tree, Mapping) else isinstance(tree, list) and isinstance(key, int)
        if not inside:
            break
        path = (*path, key)
        tree = tree[key]
    return path


def words(details: list[Any], example: str) -> tuple[str, str]:
    """Rule and remedy for pydantic's objections to one value (several where each branch of a union objects)."""
    detail = details[0]
    kind, value, context = detail["type"], detail.get("input"), detail.get("ctx", {})
    name = str(("setting", *detail["loc"])[-1])
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        article = "an" if name[0] in "aeiou" else "a"
        return f"{show(value)} is not {article} {name}", did_you_mean(str(value), choices)
    if kind in BOUNDS:
        bound, phrase = BOUNDS[kind]
        return f"must be {phrase.format(context[bound])}, got {show(value)}", example or "correct it"
    if kind in KINDS:
        kinds = list(dict.fromkeys(KINDS[other["type"]] for other in details if other["type"] in KINDS))
        if kind == "int_type" and isinstance(value, float) and value.is_integer():
            example = f"write `{name}: {int(value)}`"
        remedy = WAYS["text"] if kind == "string_type" else example or WAYS.get(kinds[0], "correct it")
        return f"must be {' or '.join(kinds)}, got {show(value)}", remedy
    sentence = str(context["error"]) if kind == "value_error" else detail["msg"]
    rule, _, remedy = sentence.rpartition("; ")
    return (rule, remedy) if rule else (remedy, "")


def show(value: Any) -> str:
    """A value as a message shows it: YAML's own words for null, true and false, and never more than a line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    text = repr(value) if isinstance(value, (str, int, float, list)) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
