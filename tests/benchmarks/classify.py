"""Naive Bayes fit and class probabilities, beside scikit-learn's BernoulliNB: 100,000 rows of 200 binary columns.

    python tests/benchmarks/classify.py

Both get the same rows and the same smoothing (beta(1, 1), alpha = 1), in one thread; each figure is the least processor
time of three runs. scikit-learn gives point estimates; Pyrozoo proves the whole posterior, draws from it, and gives an
interval for every probability beside the predictive one, here from 100 draws.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the packages of this checkout, not installed ones

import numpy as np
from sklearn.naive_bayes import BernoulliNB

from inference import Exact, fit
from models import NaiveBayes, Table

ROWS, COLUMNS, REPEATS = 100_000, 200, 3


def least(run: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds of the fastest of some runs, and what it gave."""
    seconds, found = [], None
    for _ in range(REPEATS):
        began = time.process_time()
        found = run()
        seconds.append(time.process_time() - began)
    return min(seconds), found


def rows() -> tuple[np.ndarray, np.ndarray]:
    """Labels `(ROWS,)` and features `(ROWS, COLUMNS)` of two classes."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, ROWS)
    rates = rng.beta(2, 2, (2, COLUMNS))
    return y, (rng.random((ROWS, COLUMNS)) < rates[y]).astype(float)


def main() -> None:
    y, x = rows()
    theirs, peer = least(lambda: BernoulliNB(alpha=1.0).fit(x, y))
    their_probabilities, known = least(lambda: peer.predict_proba(x))
    names = tuple(f"x{j}" for j in range(COLUMNS))
    model = NaiveBayes(binary=names)
    table = Table({"label": y, **dict(zip(names, x.T, strict=True))})
    reading, data = least(lambda: model.data(table))
    ours, posterior = least(lambda: fit(model, data, Exact(1, 100)))
    our_probabilities, found = least(lambda: model.class_probabilities(posterior.draws, data, table))
    point = {name: posterior.marginals[name].mean()[None, None] for name in ("pi", "theta")}
    one_point, plain = least(lambda: model.class_probabilities(point, data, table))
    gap = np.abs(plain.predictive - known).max()
    print(f"scikit-learn: fit {theirs:.2f} s, predict_proba {their_probabilities:.2f} s")
    print(f"pyrozoo: checking and reading the table {reading:.2f} s, exact posterior and 100 draws {ours:.2f} s")
    print(f"pyrozoo: probabilities with intervals {our_probabilities:.2f} s; at the posterior mean {one_point:.2f} s")
    print(f"largest difference between the probabilities at the posterior mean: {gap:.1e}")
    print(f"mean width of the 90% intervals: {(found.upper - found.lower).mean():.2e}")


if __name__ == "__main__":
    main()
