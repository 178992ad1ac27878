"""Numbers and lists as a reader wants them: three or four significant digits, and commas before the `and`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

NONE = "-"


def number(value: Any, digits: int = 4) -> str:
    """One number for a table: `0.6429`, `12,346`, `1.20e-07`; `-` for None, words for booleans, strings as they are."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    value = float(value)
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if 1e4 <= abs(value) < 1e7:
        return f"{value:,.0f}"
    if abs(value) >= 1e7 or abs(value) < 1e-4:
        return f"{value:.2e}"
    return f"{value:.{digits}g}"


def in_step(values: Sequence[float], sd: float) -> list[str]:
    """Numbers with as many decimals as show three digits of `sd`: a mean is not told finer than it is known."""
    if not math.isfinite(sd) or sd <= 0 or not all(math.isfinite(value) for value in values):
        return [number(value) for value in values]
    decimals = max(0, 2 - math.floor(math.log10(sd)))
    if decimals > 6 or max(abs(value) for value in values) >= 1e7:
        return [number(value) for value in values]
    return [f"{round(value, decimals) + 0.0:,.{decimals}f}" for value in values]  # + 0.0: no minus before a zero


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def counted(count: int, noun: str) -> str:
    """`1 row`, `1,000 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def flat(mapping: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A nested record as rows, `backends.nuts.seconds.warmup`; a list of more than 12 values only as its length."""
    rows: list[tuple[str, str]] = []
    for key, value in mapping.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            rows += flat(value, f"{name}.")
        elif isinstance(value, (list, tuple)):
            rows.append(
                (name, ", ".join(map(number_or_text, value)) if len(value) <= 12 else counted(len(value), "value"))
            )
        else:
            rows.append((name, number_or_text(value)))
    return rows


def number_or_text(value: Any) -> str:
    """Floats in four digits; everything else as it is, whole numbers (seeds, sizes) without separators."""
    return number(value) if value is None or isinstance(value, (bool, float)) else str(value)


def shortened(label: str, longest: int = 60) -> str:
    """A label that fits beside a figure: its middle left out where it is very long (tables always have all of it)."""
    half = (longest - 1) // 2
    return label if len(label) <= longest else f"{label[:half]}…{label[-half:]}"
