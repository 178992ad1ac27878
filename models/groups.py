"""Varying effects in formulas: `(1 | g)` is an intercept for each group, `(1 + x | g)` a slope of x as well.

As in lme4, what stands left of the bar varies over the groups on its right; `a:b` groups by both columns at once, and
`a/b` by a and by both. The effects of one group are correlated behind `|` and independent behind `||`
(`models.correlated_effects`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from models.base import Data
from models.columns import Table, is_missing, plain
from models.correlated_effects import Pairs, factor, mixed, pairs_of
from models.errors import InputError
from models.formulas import EXAMPLE, WHERE, Design, design, rows_of, standardised


class Term(NamedTuple):
    """One `(effects | groups)`: what varies, as the right side of a formula, the columns whose labels make groups, and
    whether the effects of a group are correlated."""

    effects: str
    by: tuple[str, ...]
    correlated: bool = True


class Part(NamedTuple):
    """A term at the fitted rows: its design, the means and standard deviations taken off it, and the groups' labels."""

    term: Term
    design: Design
    mean: np.ndarray
    sd: np.ndarray
    labels: list[str]

    @property
    def width(self) -> int:
        return len(self.design.terms) + self.design.intercept

    @property
    def width_of_factor(self) -> int:
        """How many effects of a group are correlated with each other."""
        return self.width if self.term.correlated else 1


class Rows(NamedTuple):
    """Rows as the sum over effects e of x[n, e] b[member[n, e]], b being the members: one for each effect and group.

    x: float64 `(rows, effects)`. member: int64 `(rows, effects)`. effect_of: the effect of each member, `(members,)`.
    partners: the members of the same group, by effect up to the largest number of correlated ones, `(members, width)`;
    a member itself where there are fewer. pairs: None where no effects are correlated.
    """

    x: np.ndarray
    member: np.ndarray
    effect_of: np.ndarray
    partners: np.ndarray
    pairs: Pairs | None


class Groups(NamedTuple):
    """All varying effects of a formula: the fitted rows, names of effects and members, and parts for new rows."""

    rows: Rows
    effects: list[str]
    members: list[str]
    parts: list[Part]


def split(formula: str) -> tuple[str, list[Term]]:
    """A formula without its varying effects, and these; a formula that has none is returned as it is."""
    left, bar, right = formula.partition("~")
    summands = [summand.strip() for summand in top_level(right)]
    varying = [re.fullmatch(r"\((.*[^|])(\|\|?)([^|]*)\)", summand, re.S) for summand in summands]
    terms = [term for match in varying if match for term in terms_of(match, formula)]
    if not bar or not terms:
        return formula, []
    fixed = [summand for summand, match in zip(summands, varying, strict=True) if match is None]
    return f"{left}~ {' + '.join(fixed) or '1'}", terms


def top_level(text: str) -> list[str]:
    """The summands of a formula's side: split at `+` outside parentheses and backticks."""
    parts, depth, quoted = [""], 0, False
    for letter in text:
        quoted ^= letter == "`"
        depth += 0 if quoted else (letter in "([{") - (letter in ")]}")
        if letter == "+" and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def terms_of(match: re.Match[str], formula: str) -> list[Term]:
    """`a/b` as the terms of `a` and `a:b`, any other grouping as one term."""
    effects, bar, groups = (part.strip() for part in match.groups())
    found = re.fullmatch(r"(?:`[^`]+`|[\w.]+)(?:\s*[:/]\s*(?:`[^`]+`|[\w.]+))*", groups)
    if not effects or found is None:
        rule = f"must have effects left of `|` and a column of groups right of it, got {formula!r}"
        raise InputError(WHERE, rule, "write it like `(1 + x | g)`, `(1 | a:b)` or `(1 | a/b)`")
    names, nested = [], []
    for quoted, bare, mark in re.findall(r"(?:`([^`]+)`|([\w.]+))\s*([:/]?)", groups):
        names.append(quoted or bare)
        if mark == "/":
            nested.append(Term(effects, tuple(names), bar == "|"))
    return [*nested, Term(effects, tuple(names), bar == "|")]


def grouped(terms: Sequence[Term], outcome: str, table: Table, standardise: bool) -> Groups:
    """Every varying effect at the fitted rows. InputError names a column of groups with one label, or an empty cell."""
    parts, effects, members = [], [], []
    for term in terms:
        if outcome in term.by:
            raise InputError(WHERE, f"the outcome `{outcome}` is also a column of groups", "group by another column")
        found = design(f"`{outcome}` ~ {term.effects}", table)
        if not found.terms and not found.intercept:
            raise InputError(WHERE, f"nothing varies in `({term.effects} | {':'.join(term.by)})`", EXAMPLE)
        own = standardised(found, table, standardise)
        labels = list(dict.fromkeys(sorted(labels_of(term, table), key=in_order)))
        name = ":".join(term.by)
        if len(labels) < 2:
            rule = f"has one label alone, {labels[0]!r}, so nothing varies over it"
            raise InputError(table.where(name), rule, "leave the varying effect out of the formula")
        names = [""] * found.intercept + [f"{slope} | " for slope in found.terms]
        effects += [f"{slope}{name}" for slope in names]
        members += [f"{slope}{name}={label}" for slope in names for label in labels]
        parts.append(Part(term, found, own["mean"], own["sd"], labels))
    if len(set(effects)) < len(effects):
        twice = next(effect for effect in effects if effects.count(effect) > 1)
        raise InputError(WHERE, f"the effect `{twice}` varies twice over the same groups", "name it in one term")
    pairs = pairs_of([part.width for part in parts], [part.term.correlated for part in parts], effects)
    rows = placed(parts, [part.design.matrix for part in parts], table, pairs if pairs.names else None)
    return Groups(rows, effects, members, parts)


def as_data(groups: Groups) -> Data:
    """The fitted rows as a program's inputs, with the labels and names of their axes."""
    rows = groups.rows
    inputs: dict[str, Any] = {"group_x": rows.x, "group_member": rows.member, "effect_of": rows.effect_of}
    coords: dict[str, Any] = {"effect": groups.effects, "member": groups.members}
    dims = {"group_x": ("row", "effect"), "group_member": ("row", "effect"), "effect_of": ("member",)}
    if rows.pairs is not None:
        place, there, own, shape, names = rows.pairs
        of_effects = {"pair_place": place, "pair_there": there, "pair_own": own}
        inputs |= {"partners": rows.partners, **of_effects, "pair_shape": shape}
        coords |= {"pair": names, "partner": list(range(rows.partners.shape[1]))}
        dims |= {"partners": ("member", "partner"), **dict.fromkeys(of_effects, ("effect", "partner"))}
        dims |= {"pair_shape": ("pair",)}
    return Data(inputs, {}, coords, dims)


def rows_in(data: Data) -> Rows | None:
    """The rows that `as_data` has told; None where nothing varies."""
    inputs, pairs = data.inputs, None
    if "group_x" not in inputs:
        return None
    if "pair_shape" in inputs:
        place, there, own, shape = (inputs[f"pair_{key}"] for key in ("place", "there", "own", "shape"))
        pairs = Pairs(place, there, own, shape, list(data.coords["pair"]))
    partners = inputs.get("partners", np.arange(len(inputs["effect_of"]))[:, None])
    return Rows(inputs["group_x"], inputs["group_member"], inputs["effect_of"], partners, pairs)


def apply(groups: Groups, table: Table) -> Rows:
    """New rows; groups that are not among the fitted ones have members of their own, behind all others."""
    return placed(groups.parts, [rows_of(part.design, table) for part in groups.parts], table, groups.rows.pairs)


def placed(parts: Sequence[Part], matrices: Sequence[np.ndarray], table: Table, pairs: Pairs | None) -> Rows:
    """Rows by their parts' matrices `(rows, terms)`."""
    widths = [part.width for part in parts]
    first = np.cumsum([0, *widths])  # effect of each part
    effect_of = [first[p] + e for p, part in enumerate(parts) for e in range(part.width) for _ in part.labels]
    widest = max(part.width_of_factor for part in parts)
    columns, places, start = [], [], 0
    new: list[int] = []
    partners: list[list[int]] = []
    partners_of_new: list[list[int]] = []
    for p, (part, matrix) in enumerate(zip(parts, matrices, strict=True)):
        own = labels_of(part.term, table)
        codes = {label: code for code, label in enumerate(part.labels)}
        unseen = {label: code for code, label in enumerate(sorted(set(own) - codes.keys(), key=in_order))}
        columns += [np.ones((len(own), 1))] * part.design.intercept + [(matrix - part.mean) / part.sd]
        behind, count = len(effect_of) + len(new), len(codes)
        for e in range(part.width):
            at, beyond = start + e * count, behind + e * len(unseen)
            places.append([at + codes[label] if label in codes else beyond + unseen[label] for label in own])
            new += [first[p] + e] * len(unseen)
            among = [k if part.term.correlated and k < part.width else e for k in range(widest)]
            partners += [[start + k * count + code for k in among] for code in range(count)]
            partners_of_new += [[behind + k * len(unseen) + code for k in among] for code in range(len(unseen))]
        start += part.width * count
    member = np.array(places, dtype=np.int64).reshape(sum(widths), table.num_rows).T
    return Rows(
        np.hstack(columns),
        member,
        np.array([*effect_of, *new], dtype=np.int64),
        np.array([*partners, *partners_of_new], dtype=np.int64),
        pairs,
    )


def labels_of(term: Term, table: Table) -> list[str]:
    """The group of each row, `north` or `north:2` where several columns make it; empty cells are refused."""
    columns = []
    for name in term.by:
        column = table.column(name)
        table.refuse(name, is_missing(column), "must have a label", "fill the cell in or leave the row out")
        columns.append([str(plain(value)) for value in column])
    return [":".join(labels) for labels in zip(*columns, strict=True)]


def in_order(label: str) -> list[tuple[int, float, str]]:
    """Labels in the order of people: numbers by value, before words by alphabet."""
    number = re.compile(r"-?\d+(\.\d+)?")
    return [(0, float(word), "") if number.fullmatch(word) else (1, 0.0, word) for word in label.split(":")]


def effects_of(draws: Mapping[str, np.ndarray], rows: Rows) -> np.ndarray:
    """Each member's effect, `(*draws, members)`. Members beyond the fitted ones are drawn from the population, the same
    at every call."""
    z, sd = draws["group_z"], draws["group_sd"]
    more = len(rows.effect_of) - z.shape[-1]
    z = np.concatenate([z, np.random.default_rng(0).standard_normal((*z.shape[:-1], more))], axis=-1)
    if rows.pairs is not None:
        columns = factor(2 * draws["group_partial"] - 1, rows.pairs.place, rows.pairs.there, rows.pairs.own)
        z = mixed(columns, z, rows.effect_of, rows.partners)
    return z * sd[..., rows.effect_of]


def summed(rows: Rows, effects: np.ndarray) -> np.ndarray:
    """What varying effects `(draws, members)` add to the linear predictor, `(draws, rows)`."""
    total = np.zeros((len(effects), len(rows.x)))
    for e in range(rows.x.shape[1]):
        total += effects[:, rows.member[:, e]] * rows.x[:, e]
    return total
