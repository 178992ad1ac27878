"""The one error that a user can cause: where it is, which rule it breaks, what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Wrong input from a user: a config, a data file, a setting, a model that a backend cannot serve.

    The message reads `where: rule, got value; remedy.` The command line prints it as one line and exits with 1.
    """

    def __init__(self, where: str, rule: str, remedy: str = "") -> None:
        self.where, self.rule, self.remedy = where, rule, remedy
        super().__init__(f"{where}: {rule}" + (f"; {remedy}" if remedy else ""))

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        return InputError, (self.where, self.rule, self.remedy)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The remedy for a misspelt word: the nearest known one, or the known ones (20 at most) where none is near."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean `{near[0]}`?"
    more = f" and {len(known) - 20} more" if len(known) > 20 else ""
    return "known: " + ", ".join(f"`{name}`" for name in known[:20]) + more
