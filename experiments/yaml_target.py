"""Plain values as YAML that `yaml_source.read`, and any reader of YAML 1.1, takes for the same values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from experiments.yaml_source import resolve


class PlainDumper(yaml.SafeDumper):
    """Quotes whatever YAML 1.1 or `read` would not take for the same text, and never writes an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Text that would be read as something else goes in quotes; so do parentheses, which are guarded in braces."""
    quoted = "(" in text or not isinstance(resolve(text), str)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="'" if quoted else None)


PlainDumper.add_representer(str, text_node)


def dump(tree: Mapping[str, Any]) -> str:
    """The tree as YAML: keys in order, the innermost lists and mappings on one line."""
    return yaml.dump(
        dict(tree), Dumper=PlainDumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120
    )
