"""Decoding a long hidden Markov chain beside hmmlearn: states given all observations, the most likely path, and both.

    python tests/benchmarks/decode_states.py [--rows 200000] [--states 5] [--repeats 5]

One sequence of one gaussian channel, one vector of parameters, one thread, double precision. hmmlearn has two
recursions for states given all observations, `log` (its default) and `scaling`; both start from the observations, and
so does ours. Seconds are the processor's, the least of `repeats`, after a warm-up; results must agree.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before NumPy loads

import numpy as np
from hmmlearn.hmm import GaussianHMM

from models import HiddenMarkov, Table, hidden_states

Parameters = dict[str, np.ndarray]


def problem(rows: int, states: int) -> tuple[Parameters, np.ndarray]:
    """Parameters whose states overlap, and observations drawn from them `(rows,)`."""
    rng = np.random.default_rng(1)
    transition = np.full((states, states), 0.05 / (states - 1))
    np.fill_diagonal(transition, 0.95)
    moves = rng.random(rows) < 0.05
    state = np.cumsum(np.where(moves, rng.integers(1, states, rows), 0)) % states
    parameters = {
        "transition": transition,
        "mu": 1.5 * np.arange(states, dtype=float)[:, None],
        "sigma": np.ones((states, 1)),
    }
    return parameters, rng.normal(parameters["mu"][state, 0], 1.0)


def seconds(run: Callable[[], Any], repeats: int) -> float:
    """Of the processor, the least of several."""
    run()
    found = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return min(found)


def theirs(parameters: Parameters, implementation: str) -> GaussianHMM:
    states = len(parameters["mu"])
    model = GaussianHMM(states, covariance_type="diag", implementation=implementation)
    model.startprob_ = np.full(states, 1 / states)
    model.transmat_ = parameters["transition"]
    model.means_ = parameters["mu"]
    model.covars_ = parameters["sigma"] ** 2
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--states", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    parameters, y = problem(options.rows, options.states)
    model = HiddenMarkov(options.states, standardise=False)
    data = model.data(Table({"y": y}))
    draws = {name: values[None, None] for name, values in parameters.items()}

    def arguments() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        start, transition, emission = model.chains(draws, data).logarithms(data.observed["y"], data.inputs["there"])
        return start[0, 0], transition[0, 0], emission[0, 0]

    column = y[:, None]
    scaling, log = theirs(parameters, "scaling"), theirs(parameters, "log")
    rows = {
        "states given all rows": {
            "pyrozoo": lambda: hidden_states.smoothed(*arguments()),
            "hmmlearn, log": lambda: log.predict_proba(column),
            "hmmlearn, scaling": lambda: scaling.predict_proba(column),
        },
        "most likely path": {
            "pyrozoo": lambda: hidden_states.most_likely(*arguments()).states,
            "hmmlearn": lambda: log.predict(column),
        },
        "decode: filtered, smoothed and path": {
            "pyrozoo": lambda: model.decode(draws, data),
            "hmmlearn, scaling": lambda: (scaling.predict_proba(column), scaling.predict(column)),
        },
    }
    np.testing.assert_allclose(hidden_states.smoothed(*arguments()), log.predict_proba(column), atol=1e-9)
    np.testing.assert_array_equal(hidden_states.most_likely(*arguments()).states, log.predict(column))
    print(f"{options.rows} rows, {options.states} states")
    for title, runs in rows.items():
        print(f"\n{title}")
        for name, run in runs.items():
            print(f"  {name:<20} {1e3 * seconds(run, options.repeats):8.1f} ms")


if __name__ == "__main__":
    main()
