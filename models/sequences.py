"""Rows of a table as sequences in time: which sequence each row is in, at which position, and back.

Rows are in time order, whatever lies between two rows of one sequence. Sequences of different lengths share one array
`(sequence, time, channel)`, filled up at their ends.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from models.columns import Table


class Sequences(NamedTuple):
    """labels: of the sequences, in order. number, position: of every row, `(rows,)`. lengths: `(sequences,)`."""

    labels: list[Any]
    number: np.ndarray
    position: np.ndarray
    lengths: np.ndarray

    def filled(self, values: np.ndarray) -> np.ndarray:
        """Values of rows `(rows, *shape)` as `(sequences, times, *shape)`, zero beyond a sequence's end."""
        found = np.zeros((len(self.lengths), int(self.lengths.max()), *values.shape[1:]), dtype=values.dtype)
        found[self.number, self.position] = values
        return found

    def rows(self, values: np.ndarray) -> np.ndarray:
        """Values `(sequences, times, *shape)` of the rows, `(rows, *shape)`."""
        return values[self.number, self.position]


def sequences_of(table: Table, name: str) -> Sequences:
    """The sequences that column `name` labels; all rows are one where there is no such column."""
    if name in table:
        number, labels = table.category(name)
    else:
        number, labels = np.zeros(table.num_rows, dtype=np.int64), ["0"]
    lengths = np.bincount(number, minlength=len(labels))
    order = np.argsort(number, kind="stable")
    position = np.empty(len(number), dtype=np.int64)
    position[order] = np.arange(len(number)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return Sequences(labels, number, position, lengths)
