"""The zoo's models: Pyro programs as frozen records of hyperparameters. `FAMILIES` is the table of them all."""

from models.base import Data, Family, Model
from models.beta_bernoulli import BetaBernoulli
from models.columns import Table
from models.errors import InputError
from models.gaussian_mixture import GaussianMixture
from models.hidden_markov import HiddenMarkov
from models.logistic_regression import LogisticRegression
from models.naive_bayes import NaiveBayes
from models.priors import Prior
from models.zero_inflated import ZeroInflated

FAMILIES: dict[str, type[Family]] = {
    "beta_bernoulli": BetaBernoulli,
    "gaussian_mixture": GaussianMixture,
    "hidden_markov": HiddenMarkov,
    "logistic_regression": LogisticRegression,
    "naive_bayes": NaiveBayes,
    "zero_inflated": ZeroInflated,
}

__all__ = [
    "FAMILIES",
    "BetaBernoulli",
    "Data",
    "Family",
    "GaussianMixture",
    "HiddenMarkov",
    "InputError",
    "LogisticRegression",
    "Model",
    "NaiveBayes",
    "Prior",
    "Table",
    "ZeroInflated",
]
