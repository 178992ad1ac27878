"""`pyrozoo new FAMILY`: a config that runs as it is, with every setting there is as a comment, its default and meaning.

What is written comes from the records that check a config; a starter adds only the data and the settings that its
family has no default for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.datasets import BUNDLED
from experiments.setting_table import Setting, as_yaml, settings_of
from experiments.settings import Checks, Scores
from experiments.words import listed
from inference.settings import BACKENDS
from models import FAMILIES
from models.base import story
from models.errors import InputError, did_you_mean


class Starter(NamedTuple):
    """An example of a family: its question, the settings that it needs, its data, and the backends that serve it."""

    question: str
    model: Mapping[str, Any]
    data: Mapping[str, Any]
    inference: Sequence[str]


STARTERS: dict[str, Starter] = {
    "beta_bernoulli": Starter(
        "Do seeds germinate better with one root extract than with the other?",
        {},
        {"bundled": "seeds", "columns": {"successes": "germinated", "trials": "seeds", "group": "extract"}},
        ("exact", "nuts"),
    ),
    "gaussian_mixture": Starter(
        "How many kinds of penguins do bills and flippers tell apart, and which rows are alike?",
        {"components": 3, "features": ["bill_length_mm", "bill_depth_mm", "flipper_length_mm"]},
        {"bundled": "penguins"},
        ("nuts",),
    ),
    "hidden_markov": Starter(
        "Were there quiet and busy times in the world's great earthquakes, and which is this?",
        {"states": 2, "emission": "poisson", "channels": ["count"]},
        {"bundled": "earthquakes"},
        ("nuts",),
    ),
    "logistic_regression": Starter(
        "Who switches to a safe well, by its distance and the arsenic in the old one?",
        {"formula": "switched ~ dist + np.log(arsenic)"},
        {"bundled": "wells"},
        ("nuts",),
    ),
    "naive_bayes": Starter(
        "Which species is this penguin?",
        {"label": "species", "category": ["island"], "number": ["bill_length_mm"]},
        {"bundled": "penguins"},
        ("exact",),
    ),
    "zero_inflated": Starter(
        "Disasters by year: fewer with the years, and more years without than chance alone would give?",
        {"formula": "disasters ~ year"},
        {"bundled": "coal_disasters"},
        ("nuts",),
    ),
}


def family_named(name: str) -> type[Any]:
    if name not in FAMILIES:
        raise InputError("FAMILY", f"{name!r} is not a family", did_you_mean(name, FAMILIES))
    return FAMILIES[name]


def starter(name: str) -> str:
    """The family's starter config; InputError for a name that is none."""
    family = family_named(name)
    example = STARTERS[name]
    lines = [
        f"# {example.question}",
        f"# {story(family).sentence}",
        "#",
        "# A line that begins with one `#` is a setting at its default: take the `#` away to change it.",
        f"# The model, its columns and settings in full: pyrozoo show {name}",
        f"name: {name}",
        "seed: 0  # the one seed of all randomness",
        "",
        "model:",
        f"  family: {name}",
        *section(settings_of(family), example.model),
        "",
        "data:",
        f"  ## {BUNDLED[example.data['bundled']].about}",
        *(f"  {key}: {as_yaml(value)}" for key, value in example.data.items()),
        "  ## In place of `bundled`: `path: rows.csv`, from the folder of this file, or `values: {y: [0, 1]}`.",
        "  ## The columns that the model takes; where yours has another name: `columns: {name here: name there}`.",
        *(f"  ##   {column.name}: {column.kind}, {column.about}" for column in family.columns),
        "",
        "inference:",
    ]
    for backend, kind in BACKENDS.items():
        if backend in example.inference:
            lines += [f"  {backend}:", *(f"  {line}" for line in section(settings_of(kind), {}))]
        elif backend in ("svi", "nuts"):
            lines += [f"  # {backend}:  # a second opinion: the report tells how far the backends agree"]
    lines += [f"  ## There are {listed(list(BACKENDS))}; what each is: pyrozoo list"]
    return "\n".join(
        [*lines, "", "checks:", *section(settings_of(Checks), {}), "", "scores:", *section(settings_of(Scores), {}), ""]
    )


def section(settings: Sequence[Setting], given: Mapping[str, Any]) -> list[str]:
    """A line for each setting: those given as they are, the others as comments with their defaults."""
    lines = []
    for setting in settings:
        told = f"  # {about}" if (about := "; ".join(filter(None, [setting.about, setting.choices]))) else ""
        if setting.name in given:
            lines.append(f"  {setting.name}: {as_yaml(given[setting.name])}{told}")
        else:
            lines.append(f"  # {setting.name}: {setting.default}{told}")
    return lines
