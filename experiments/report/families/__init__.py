"""The pictures that a family alone needs, one file a family. `FAMILY_FIGURES` is the table of them all."""

from __future__ import annotations

from collections.abc import Callable

from experiments.report.families import (
    beta_bernoulli,
    gaussian_mixture,
    hidden_markov,
    logistic_regression,
    naive_bayes,
    zero_inflated,
)
from experiments.report.style import Drawing
from experiments.results import Result

FAMILY_FIGURES: dict[str, Callable[[Result], list[Drawing]]] = {
    "beta_bernoulli": beta_bernoulli.figures,
    "gaussian_mixture": gaussian_mixture.figures,
    "hidden_markov": hidden_markov.figures,
    "logistic_regression": logistic_regression.figures,
    "naive_bayes": naive_bayes.figures,
    "zero_inflated": zero_inflated.figures,
}
