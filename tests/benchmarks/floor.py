"""The least time that a gradient can take on this machine: its arithmetic at the speed of a matrix product, or its data
at the speed of a copy, whichever takes longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable

TRANSCENDENTAL = 20  # floating-point operations of an exp or a log in double precision: a polynomial of degree ten
THREADS = 2


def machine() -> dict[str, float]:
    """Float64 operations a second of a matrix product, and bytes a second, read and written, of a copy in memory."""
    import torch

    torch.set_num_threads(THREADS)
    square = torch.rand(1536, 1536, dtype=torch.float64)
    product = torch.empty_like(square)
    source = torch.rand(2**25, dtype=torch.float64)
    target = torch.empty_like(source)
    return {
        "flops": 2 * len(square) ** 3 / best(lambda: torch.mm(square, square, out=product)),
        "bytes": 2 * 8 * len(source) / best(lambda: target.copy_(source)),
    }


def best(work: Callable[[], object], repeats: int = 10) -> float:
    """Seconds of the quickest of several goes."""
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)


def glm(rows: int, covariates: int, products: int, functions: int) -> float:
    """Rows times a vector of coefficients, and back, for each linear predictor; functions of each row's predictors."""
    return products * 2 * 2 * rows * covariates + rows * functions * (TRANSCENDENTAL + 5)


# Floating-point operations of one log density with its gradient for one chain, and the numbers of data that it reads.
# Functions of a row: logistic, one exp and one log; zero-inflated, exp and log of the gate, exp of the rate, exp and
# log where a zero is summed out. A mixture's row: twenty operations and an exp for each component, one log. A step of
# the hidden chain: K x K products and sums forward, backward and for the transition's gradient; K emissions; one log.
OPERATIONS = {
    "logistic_small": glm(1000, 25, 1, 2),
    "logistic_big": glm(20_000, 50, 1, 2),
    "zero_inflated": glm(2000, 6, 2, 5),
    "mixture": 1000 * (3 * (TRANSCENDENTAL + 20) + TRANSCENDENTAL + 5),
    "beta_bernoulli": 2000 * 4 + 50 * 4 * TRANSCENDENTAL,
    "hidden_markov": 500 * (3 * 2 * 9 + 3 * (TRANSCENDENTAL + 20) + TRANSCENDENTAL + 5),
}
NUMBERS = {
    "logistic_small": 1000 * 26,
    "logistic_big": 20_000 * 51,
    "zero_inflated": 2000 * 7,
    "mixture": 1000,
    "beta_bernoulli": 2000,
    "hidden_markov": 500,
}


def floor_us(problem: str, chains: int, rates: dict[str, float]) -> float:
    """Microseconds of a gradient for each of `chains` chains, which share one reading of the data."""
    return 1e6 * max(OPERATIONS[problem] / rates["flops"], 8 * NUMBERS[problem] / chains / rates["bytes"])
