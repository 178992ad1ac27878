"""A family told to a person at the command line: its sentence, generative block, columns, settings and backends."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from experiments.setting_table import settings_of
from experiments.starters import STARTERS, family_named
from experiments.words import listed
from inference.settings import BACKENDS
from models.base import story

WIDTH = 110


def explanation(name: str) -> str:
    """The family in full; InputError for a name that is none."""
    family = family_named(name)
    told = story(family)
    exact = "exact where the posterior has a closed form, " if "exact" in STARTERS[name].inference else ""
    columns = [
        (column.name, column.kind + ("" if column.required else ", optional"), column.about)
        for column in family.columns
    ]
    settings = [
        (
            f"{setting.name} (required)" if setting.default is None else f"{setting.name}: {setting.default}",
            setting.about if setting.kind == "prior" else f"{setting.choices or setting.kind}; {setting.about}",
        )
        for setting in settings_of(family)
    ]
    parts = [
        filled(f"{name}: {told.sentence}"),
        textwrap.indent(told.block, "  "),
        *(textwrap.indent(note, "  ") if "\n" in note or "  " in note else filled(note) for note in told.notes),
        "columns\n" + table(columns),
        "settings and their defaults\n" + table(settings),
        f"backends\n  {exact}{listed([backend for backend in BACKENDS if backend != 'exact'])}",
        f"try it\n  pyrozoo new {name}\n  pyrozoo run {name}.yaml",
    ]
    return "\n\n".join(parts)


def filled(text: str, width: int = WIDTH) -> str:
    """A paragraph in lines; names and formulas are not cut."""
    return textwrap.fill(text, width, break_on_hyphens=False, break_long_words=False)


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows of words in aligned columns; the last column wraps under itself."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]) - 1)]
    lines = []
    for row in rows:
        head = "  " + "".join(f"{cell:<{width}}  " for cell, width in zip(row, widths, strict=False))
        about = textwrap.indent(filled(row[-1], max(30, WIDTH - len(head))), " " * len(head))
        lines.append((head + about[len(head) :]).rstrip())
    return "\n".join(lines)
