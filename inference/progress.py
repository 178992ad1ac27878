"""How long work says where it is: a function that is told, and one that is told nothing."""

from typing import Protocol


class Progress(Protocol):
    """Called as work goes on: the task (`nuts, chain 2 of 4`), steps done and to do, and a word beside them (`3
    divergences`)."""

    def __call__(self, task: str, done: int, total: int, note: str = "") -> None: ...


def silent(task: str, done: int, total: int, note: str = "") -> None:
    """Progress that nobody watches."""
