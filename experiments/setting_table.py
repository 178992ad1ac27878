"""The settings of a record as rows for people: name, what it may be, its default, its meaning; from the JSON Schema."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml

from experiments.schema import record
from experiments.yaml_target import PlainDumper

WORDS = {
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "string": "text",
    "object": "mapping",
}


class Setting(NamedTuple):
    """A setting as its record declares it: name, what it may be, its default as YAML (None: there is none), meaning."""

    name: str
    kind: str
    default: str | None
    about: str

    @property
    def choices(self) -> str:
        """`one of normal, flow`, where there is a choice of words."""
        return f"one of {self.kind}" if ", " in self.kind else ""


def settings_of(kind: type[Any]) -> list[Setting]:
    """Every setting of a family, a backend or another part of a config, in the order of its fields."""
    declared = record(kind, {})
    required = declared.get("required", [])
    return [
        Setting(
            field.name,
            in_words(declared["properties"][field.name]),
            None if field.name in required else as_yaml(declared["properties"][field.name].get("default")),
            declared["properties"][field.name].get("description", ""),
        )
        for field in dataclasses.fields(kind)
    ]


def in_words(schema: Mapping[str, Any]) -> str:
    """What a setting may be: `poisson, negative_binomial`, `whole number from 1`, `prior`, `text or null`."""
    if "anyOf" in schema:
        return " or ".join(in_words(part) for part in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if "pattern" in schema:
        return "prior"
    if schema.get("type") == "array":
        return f"list of {in_words(schema.get('items', {}))}"
    ends = {
        "minimum": "from {:g}",
        "exclusiveMinimum": "above {:g}",
        "maximum": "to {:g}",
        "exclusiveMaximum": "below {:g}",
    }
    limits = [words.format(schema[key]) for key, words in ends.items() if key in schema]
    return " ".join([WORDS.get(str(schema.get("type")), str(schema.get("type", "any value"))), *limits])


def as_yaml(value: Any) -> str:
    """A value on one line, as a block of a config would hold it."""
    literal = isinstance(value, str) and "(" in value  # quoted inside braces only
    dumper = yaml.SafeDumper if literal else PlainDumper
    text = yaml.dump(value, Dumper=dumper, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")
