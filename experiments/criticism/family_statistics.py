"""The test statistics of every family: `TEST_STATISTICS[family][name]`; `PLAIN` for a program of one's own.

Statistics take the observed sites of many data sets, `(draws, *shape)`, and the context of the fit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from experiments.criticism import row_statistics as by_row
from experiments.criticism import summaries
from experiments.criticism import table_statistics as tables
from experiments.criticism.statistics import Context, Elements, Function, Sites, Statistic

LAGS = (1, 2, 5)


def of_every_site(summary: Callable[[np.ndarray], np.ndarray], least: int = 2) -> Function:
    def function(sites: Sites, context: Context) -> Elements | None:
        flat = {name: values.reshape(len(values), -1) for name, values in sites.items()}
        used = {name: summary(values) for name, values in flat.items() if values.shape[1] >= least}
        return Elements(np.stack(list(used.values()), axis=1), list(used)) if used else None

    return function


def spread(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.std(axis=1))


PLAIN = {
    "mean": Statistic(of_every_site(lambda y: y.mean(axis=1), least=1), "the mean"),
    "spread": Statistic(
        of_every_site(spread),
        "the standard deviation",
        "rows vary more than the model allows; think of a wider likelihood, or of groups that differ",
        "rows vary less than the model says",
    ),
    "minimum": Statistic(of_every_site(lambda y: y.min(axis=1)), "the smallest value", extreme=True),
    "maximum": Statistic(
        of_every_site(lambda y: y.max(axis=1)), "the largest value", "extremes: think of heavier tails", extreme=True
    ),
    "autocorrelation": Statistic(
        of_every_site(lambda y: summaries.autocorrelation(y, 1), least=20),
        "the correlation of a row with the one before",
        "rows depend on their order, which the model does not know of",
    ),
}

DEPENDENT = "rows come in runs: they depend on their order, or on a group that the model does not know of"
RATES = {
    "rate": Statistic(by_row.rate, "the share of ones"),
    "rate by group": Statistic(
        by_row.rate_by_group, "the rate of a group", "the group differs from what the model lets it"
    ),
    "dispersion": Statistic(
        by_row.dispersion_of_trials,
        "the dispersion between rows (1: as the model has it)",
        "rates differ from row to row by more than chance; give them groups, or predictors",
        only_more=True,
    ),
}
SHAPE = "a component is missing, or has another shape"
INTERACTION = "the model has no term for it; add it to the formula"

TEST_STATISTICS: dict[str, dict[str, Statistic]] = {
    "beta_bernoulli": {
        **RATES,
        "switches": Statistic(
            by_row.of_rows(summaries.switches, by_row.is_binary),
            "the number of switches between 0 and 1",
            less=DEPENDENT,
        ),
        "longest run": Statistic(
            by_row.of_rows(summaries.longest_run, by_row.is_binary),
            "the longest run of equal rows",
            DEPENDENT,
            extreme=True,
        ),
    },
    "logistic_regression": {
        **RATES,
        "class shares": Statistic(by_row.class_shares, "the share of a class"),
        "classes by expectation": Statistic(
            by_row.shares_of_classes_by_expectation, "the share of a class", "a predictor's form does not fit there"
        ),
        "calibration": Statistic(
            by_row.shares_by_expectation, "the share of ones", "the link or a predictor's form does not fit there"
        ),
        "separation": Statistic(
            by_row.separation,
            "the AUC of the predictions",
            "the predictors tell ones from zeros better than the model thinks",
            "the predictors tell ones from zeros worse than the model thinks",
        ),
        "missing terms": Statistic(by_row.left_out("logit"), "the score of a term", INTERACTION, INTERACTION),
    },
    "naive_bayes": {
        "class shares": Statistic(by_row.class_shares, "the share of a class"),
        "feature means": Statistic(tables.per_class(1), "the mean of a feature"),
        "feature squares": Statistic(
            tables.per_class(2), "the mean square of a feature", "it is not normal within its class"
        ),
        "labels": Statistic(tables.levels_per_class, "the share of a label"),
        "features together": Statistic(
            tables.together,
            "the correlation of two features",
            "they depend on each other within the class, which naive Bayes takes as independent",
            "they depend on each other within the class, which naive Bayes takes as independent",
        ),
    },
    "gaussian_mixture": {
        "quantiles": Statistic(tables.quantiles, "the quantile", SHAPE, SHAPE),
        "modes": Statistic(
            tables.peaks, "the number of peaks", "a component is missing; try more", "components split what is one"
        ),
        "skewness": Statistic(tables.moments(3), "the skewness", "a tail is missing", "a tail is missing"),
        "kurtosis": Statistic(tables.moments(4), "the kurtosis", "tails are heavier; try `component: student_t`"),
        "correlations": Statistic(
            tables.correlations, "the correlation", "try `covariance: full`", "try `covariance: full`"
        ),
    },
    "hidden_markov": {
        "mean": Statistic(tables.by_channel(tables.of_all(lambda y: y.mean(axis=1))), "the mean of a channel"),
        "spread": Statistic(tables.by_channel(tables.of_all(spread)), "the standard deviation of a channel"),
        "maximum": Statistic(
            tables.by_channel(tables.of_all(lambda y: y.max(axis=1))), "the largest value of a channel", extreme=True
        ),
        "run length": Statistic(
            tables.by_channel(tables.run_length),
            "the mean length of runs on one side of the median",
            "states last longer than the model lets them; try more of them",
            "states change faster than the model lets them",
        ),
        **{
            f"autocorrelation at {lag}": Statistic(
                tables.by_channel(tables.lagged(lag)),
                f"the correlation of observations {lag} apart",
                "the past says more than the states keep of it; try more states",
                "the past says less than the states keep of it",
            )
            for lag in LAGS
        },
    },
    "zero_inflated": {
        "mean": Statistic(by_row.of_rows(lambda y: y.mean(axis=1)), "the mean"),
        "zeros": Statistic(
            by_row.of_rows(lambda y: (y == 0).mean(axis=1)),
            "the share of zeros",
            "more zeros than the counts explain; try `zeros: inflated` or `zeros: hurdle`",
            "fewer zeros than the model makes; try `zeros: none` or `zeros: hurdle`",
        ),
        "maximum": Statistic(
            by_row.of_rows(lambda y: y.max(axis=1)),
            "the largest value",
            "the tail is heavier than the model's",
            extreme=True,
        ),
        "spread": Statistic(by_row.of_rows(spread), "the standard deviation", "rows vary more than the model allows"),
        "dispersion": Statistic(
            by_row.dispersion,
            "the dispersion (1: as the model has it)",
            "counts vary more than the model allows; try `likelihood: negative_binomial`, or further predictors",
            "counts vary less than the model says",
        ),
        "means by expectation": Statistic(
            by_row.shares_by_expectation, "the mean of rows", "a predictor's form does not fit"
        ),
        "missing terms": Statistic(by_row.left_out("log"), "the score of a term", INTERACTION, INTERACTION),
    },
}
