"""The JSON Schema of a config, derived from the records that check it, so that editors complete and underline the file.

# yaml-language-server: $schema=pyrozoo.schema.json        (written by `pyrozoo schema > pyrozoo.schema.json`)
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter

from experiments.settings import Basics, Checks, DataConfig, Scores
from inference.settings import BACKENDS
from models import FAMILIES
from models.priors import Prior

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12, of every config that `load_experiment` may accept."""
    shared: dict[str, Any] = {}
    basics = record(Basics, shared)
    backends = {name: record(kind, shared) for name, kind in BACKENDS.items()}
    properties = {
        **basics["properties"],
        "model": {"description": "a family of the zoo, or a program of your own", "anyOf": models(shared)},
        "data": record(DataConfig, shared),
        "inference": inference(backends),
        "checks": record(Checks, shared),
        "scores": record(Scores, shared),
    }
    return {
        "$schema": DIALECT,
        "title": "Pyrozoo experiment",
        "description": "One model, its data, one or more backends, and the checks that the run must keep.",
        "type": "object",
        "properties": properties,
        "required": ["name", "model", "data", "inference"],
        "additionalProperties": False,
        "$defs": shared,
    }


def record(kind: Any, shared: dict[str, Any]) -> dict[str, Any]:
    """The schema of one settings record; records inside it go to `shared`."""
    found = TypeAdapter(kind).json_schema(ref_template="#/$defs/{model}")
    shared.update(found.pop("$defs", {}))
    for setting in fields(kind):
        if isinstance(setting.default, Prior):
            found["properties"][setting.name]["default"] = str(setting.default)
    return found


def models(shared: dict[str, Any]) -> list[dict[str, Any]]:
    """One alternative for each family, told apart by `family`, and one for programs, whose settings are their own."""
    alternatives = []
    for name, kind in FAMILIES.items():
        family = record(kind, shared)
        family["properties"] = {
            "family": {"const": name, "description": family.get("description", name)},
            **family["properties"],
        }
        family["required"] = ["family", *family.get("required", [])]
        alternatives.append(family)
    program = {"type": "string", "pattern": r"\.py:[A-Za-z_]\w*$", "description": "file.py:Name, relative to this file"}
    alternatives.append(
        {
            "title": "Program",
            "description": "a Pyro program of your own; every other key is one of its settings",
            "type": "object",
            "properties": {"program": program, "family": False},
            "required": ["program"],
        }
    )
    return alternatives


def inference(backends: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A backend's name, a list of names and of names with settings, or a mapping of names to settings."""
    word = {"enum": list(backends)}
    mapping = {
        "type": "object",
        "properties": {name: {"anyOf": [settings, {"type": "null"}]} for name, settings in backends.items()},
        "additionalProperties": False,
        "minProperties": 1,
    }
    items = {"anyOf": [word, {**mapping, "maxProperties": 1}]}
    return {
        "description": "one or more backends; several are compared with each other",
        "anyOf": [word, {"type": "array", "items": items, "minItems": 1}, mapping],
    }
