"""One YAML file as plain Python values, with the line of every key.

Scalars follow the core schema of YAML 1.2.2 (section 10.3.2), not YAML 1.1: `1e-3` is a number; `no`, `yes`, `on`,
`off`, dates and `1:30` are words; only `true` and `false` are booleans. Keys are always text. A repeated key, an
anchor, an alias or a tag is refused: the file on screen is the whole experiment.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from models.errors import InputError

Loc = tuple[str | int, ...]
Where = Callable[[Loc | str], str]

COMMAND_LINE = 0  # the "line" of what `--set` has set

NULL = re.compile(r"~|null|Null|NULL|")
BOOLEAN = re.compile(r"true|True|TRUE|false|False|FALSE")
INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(frozen=True)
class Source:
    """What a file says, and where it says it.

    tree: dicts, lists and scalars as read; keys are text.
    path: the file, as the user named it.
    lines: the line of every key path, `("inference", "nuts", 0)`; a path that has none lies on its parent's line.
    """

    tree: dict[str, Any]
    path: Path
    lines: Mapping[Loc, int]

    def line(self, loc: Loc) -> int:
        """The line of a key path, or of the nearest of its parents that has one."""
        return next(self.lines[loc[:length]] for length in range(len(loc), -1, -1) if loc[:length] in self.lines)

    def where(self, loc: Loc | str = ()) -> str:
        """`configs/coins.yaml:6: inference.nuts.num_sample`, or `--set inference.nuts.num_sample` where that set it.

        loc: a key path, or one written with dots.
        """
        path = tuple(loc.split(".")) if isinstance(loc, str) else loc
        line = self.line(path)
        if line == COMMAND_LINE:
            return f"--set {dotted(path)}"
        return f"{self.path}:{line}" + (f": {dotted(path)}" if path else "")


def dotted(loc: Loc) -> str:
    """`("data", "values", "y", 3)` -> `data.values.y[3]`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in loc).removeprefix(".")


def read(path: Path) -> Source:
    """Read one experiment; InputError for whatever is not a YAML mapping in UTF-8."""
    text = read_text(path)
    reader = NodeReader(str(path))
    node = reader.compose(text)
    if node is None or (isinstance(node, yaml.ScalarNode) and not node.value):
        raise InputError(str(path), "is empty", "write at least `name`, `model`, `data` and `inference`")
    if not isinstance(node, yaml.MappingNode):
        raise InputError(reader.at(node.start_mark), "must be a mapping at the top", "write it like `name: coin_flips`")
    return Source(reader.value(node, ()), path, {**reader.lines, (): node.start_mark.line + 1})


def read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(str(path), "is not text in UTF-8", "name a YAML file, saved as UTF-8") from None
    except FileNotFoundError:
        names = [str(name) for name in path.parent.glob("*.y*ml")]
        near = difflib.get_close_matches(str(path), names, n=1)
        raise InputError(
            str(path), "there is no such file", f"did you mean `{near[0]}`?" if near else "check the path"
        ) from None
    except IsADirectoryError:
        raise InputError(str(path), "is a folder", "name a YAML file in it") from None
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror}", "check the path") from None


class PlainLoader(yaml.BaseLoader):
    """PyYAML's parser with every scalar left as text, and without anchors, aliases and tags."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise Refused(
                event.start_mark, "anchors and aliases are not allowed here", "write the value out, or put it in quotes"
            )
        if event.tag is not None:
            raise Refused(
                event.start_mark, "tags are not allowed here", "leave the tag out, or put the value in quotes"
            )
        return super().compose_node(parent, index)


class Refused(yaml.MarkedYAMLError):
    """YAML that is valid and not wanted: `problem` is the rule, `note` the remedy."""

    def __init__(self, mark: yaml.Mark, rule: str, remedy: str) -> None:
        super().__init__(problem=rule, problem_mark=mark, note=remedy)


class NodeReader:
    """Turns one text into values; `lines` collects the line of each key path.

    name: the file, in messages; or `--set a.b` for a value of the command line, which has no lines to tell.
    """

    def __init__(self, name: str, *, numbered: bool = True) -> None:
        self.name = name
        self.numbered = numbered
        self.lines: dict[Loc, int] = {}

    def at(self, mark: yaml.Mark | None, loc: Loc = ()) -> str:
        if not self.numbered:
            return dotted((self.name, *loc))
        line = f":{mark.line + 1}" if mark else ""
        return f"{self.name}{line}" + (f": {dotted(loc)}" if loc else "")

    def compose(self, text: str) -> yaml.Node | None:
        try:
            return yaml.compose(text, Loader=PlainLoader)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            rule = f"holds the character {chr(int(error.character))!r}, which text has not"
            raise InputError(f"{self.name}:{line}", rule, "name a YAML file, saved as UTF-8") from None
        except yaml.MarkedYAMLError as error:
            raise InputError(*self.explain(error)) from None
        except RecursionError:
            raise InputError(self.name, "is nested too deeply", "check the brackets") from None

    def explain(self, error: yaml.MarkedYAMLError) -> tuple[str, str, str]:
        mark = error.problem_mark or error.context_mark
        where = self.at(mark)
        problem = error.problem or "it cannot be parsed"
        if isinstance(error, Refused):
            return where, problem, error.note or ""
        if error.context == "expected a single document in the stream":
            return where, "holds a second document", "leave out the line `---`"
        if "'\\t'" in problem:
            return where, "a tab cannot indent YAML", "use spaces"
        remedies = {
            "mapping values are not allowed here": 'check the indentation, and put text that holds ": " in quotes',
            "could not find expected ':'": "write it like `key: value`",
        }
        begun = error.context_mark
        since = f" that begins in line {begun.line + 1}" if begun and mark and begun.line != mark.line else ""
        shown = f"{error.context}{since}, {problem}" if error.context else problem
        return where, f"is not valid YAML: {shown}", remedies.get(problem, "check brackets, quotes and indentation")

    def value(self, node: yaml.Node, loc: Loc, *, in_braces: bool = False) -> Any:
        """The Python value of a node at `loc`; notes the lines of what is in it."""
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, loc)
        if isinstance(node, yaml.SequenceNode):
            return self.sequence(node, loc)
        assert isinstance(node, yaml.ScalarNode)
        return self.scalar(node, loc, in_braces=in_braces)

    def mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, item in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or not key_node.value:
                raise InputError(self.at(key_node.start_mark), "a key must be a word", "write it like `key: value`")
            key = key_node.value
            here = (*loc, key)
            if key in mapping:
                rule = f"the key is given twice, first in line {self.lines[here]}"
                raise InputError(self.at(key_node.start_mark, here), rule, "keep one of the two")
            self.lines[here] = key_node.start_mark.line + 1
            mapping[key] = self.value(item, here, in_braces=bool(node.flow_style))
        return mapping

    def sequence(self, node: yaml.SequenceNode, loc: Loc) -> list[Any]:
        for index, item in enumerate(node.value):
            if item.start_mark.line != node.start_mark.line:  # else the list's own line serves; long lists stay cheap
                self.lines[(*loc, index)] = item.start_mark.line + 1
        in_braces = bool(node.flow_style)
        return [self.value(item, (*loc, index), in_braces=in_braces) for index, item in enumerate(node.value)]

    def scalar(self, node: yaml.ScalarNode, loc: Loc, *, in_braces: bool) -> Any:
        if node.style is not None:  # quoted, or a block of text
            return node.value
        if in_braces and node.value.count("(") > node.value.count(")"):
            rule = f"in braces and brackets a comma ends the value, got {node.value!r}"
            raise InputError(self.at(node.start_mark, loc), rule, "put the whole value in quotes")
        return resolve(node.value)


def resolve(text: str) -> Any:
    """An unquoted scalar as the core schema reads it."""
    if NULL.fullmatch(text):
        return None
    if BOOLEAN.fullmatch(text):
        return text.lower() == "true"
    if INTEGER.fullmatch(text) and len(text) < 1000:  # Python refuses to parse integers of several thousand digits
        return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
    if FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text
