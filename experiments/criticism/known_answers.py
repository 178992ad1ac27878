"""Known answers: numbers from textbooks and articles, recomputed in closed form, that the product must find itself.

`pyrozoo selftest` runs this table on the machine at hand, and so does a test. Where a printed number was wrong, the
table has the right one. Rows that the product does not compute are in OUT_OF_SCOPE, with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.criticism import calibration, drift, information, scores
from experiments.criticism import known_computations as product
from models.hidden_states import filtered, forward, smoothed, stationary


class Answer(NamedTuple):
    """expected: one number or several. tolerance: the largest distance that counts as found, of any of them."""

    id: str
    what: str
    expected: float | Sequence[float]
    tolerance: float
    compute: Callable[[], Any]


class Verdict(NamedTuple):
    """What the product found, and whether it is the known answer."""

    answer: Answer
    found: np.ndarray
    passed: bool


EXACT, PRINTED9, PRINTED6 = 1e-9, 1.5e-9, 1.5e-6
CHAIN = product.chain((0, 1, 1))
PEAKED, UNIFORM = (0.97, 0.01, 0.01, 0.01), (0.25, 0.25, 0.25, 0.25)
PMF = (0.000875, 0.005625, 0.019470, 0.047593, 0.090860, 0.141742, 0.183739, 0.196864, 0.168740, 0.106244, 0.038248)


def coin(ones: int, zeros: int, prior: str = "beta(2, 2)", counted: bool = False) -> Any:
    return product.coin(prior, ones, zeros, counted)


ANSWERS: tuple[Answer, ...] = (
    Answer(
        "BB1",
        "beta(2, 2), 7 heads of 10: mean, mode, variance, sd, median",
        (0.642857142857, 2 / 3, 0.015306122449, 0.123717914826, 0.649836606239),
        1e-11,
        lambda: product.moments(coin(7, 3)),
    ),
    Answer(
        "BB1",
        "the same: 95% and 90% intervals",
        (0.385738338249, 0.861420661110, 0.427380660592, 0.834340573285),
        1e-11,
        lambda: product.intervals(coin(7, 3), 0.95, 0.9),
    ),
    Answer(
        "BB1",
        "the same: log evidence, in order and as a count",
        (-6.977747650802, math.log(16 / 143)),
        1e-11,
        lambda: [fit.facts["log_evidence"] for fit in (coin(7, 3), coin(7, 3, counted=True))],
    ),
    Answer(
        "BB2",
        "H H H T H one by one: posterior means",
        (0.6, 4 / 6, 5 / 7, 5 / 8, 6 / 9),
        EXACT,
        lambda: product.fold([1, 1, 1, 0, 1])[0],
    ),
    Answer(
        "BB2",
        "the same: log evidence, 95% interval",
        (-3.332204510175, 0.349144206, 0.914766586),
        PRINTED9,
        lambda: [coin(4, 1).facts["log_evidence"], *product.intervals(coin(4, 1), 0.95)],
    ),
    Answer(
        "BB3",
        "beta(1, 1), 7 of 10: mean, MAP, MLE, P(7 of 10)",
        (2 / 3, 0.7, 0.7, 1 / 11),
        EXACT,
        lambda: [
            *product.estimates(coin(7, 3, "beta(1, 1)"), "mean", "map", "mle"),
            math.exp(coin(7, 3, "beta(1, 1)", counted=True).facts["log_evidence"]),
        ],
    ),
    Answer(
        "BB4",
        "beta(2, 2), 8 of 10: mean, MAP, 95% interval (not the article's)",
        (5 / 7, 0.75, 0.461868460766, 0.909079605428),
        1e-11,
        lambda: [*product.estimates(coin(8, 2), "mean", "map"), *product.intervals(coin(8, 2), 0.95)],
    ),
    Answer(
        "BB5",
        "14 of 20: MLE, MAP, mean (the article prints the MAP)",
        (0.7, 15 / 22, 16 / 24),
        EXACT,
        lambda: product.estimates(coin(14, 6), "mle", "map", "mean"),
    ),
    Answer(
        "BB6",
        "two coins, 8 of 10: likelihoods, posterior, Bayes factor, next head, log evidence",
        (0.0439453125, 0.2334744405, 0.570485508, 5.312840602, 0.614097102, -2.502853071),
        PRINTED9,
        product.two_coins,
    ),
    Answer("BB7", "MLE of 1 0 1 1 1 0 1", 5 / 7, EXACT, lambda: product.estimates(coin(5, 2), "mle")),
    Answer(
        "BB8",
        "MAP at the border: beta(0.5, 0.5) and no heads in one flip",
        0.0,
        0.0,
        lambda: product.estimates(coin(0, 1, "beta(0.5, 0.5)"), "map"),
    ),
    Answer(
        "BB10",
        "folding flips is one batch: difference of log evidence",
        0.0,
        1e-12,
        lambda: sum(map(math.log, product.fold([1, 0, 0, 1, 1])[1])) - coin(3, 2).facts["log_evidence"],
    ),
    Answer("BB11", "P(Beta(9, 5) > Beta(6, 3))", 0.442724458, PRINTED9, lambda: product.race((9, 5), (6, 3))),
    Answer("BB11", "P(Beta(16, 8) > Beta(10, 4))", 0.366500698, PRINTED9, lambda: product.race((16, 8), (10, 4))),
    Answer(
        "BB13",
        "Laplace for Beta(10, 4): mode and sd on its own scale, and on the log odds",
        (0.75, 0.125, 0.916290732, 0.591607978),
        1e-6,
        product.laplace,
    ),
    Answer(
        "BB14",
        "7 of 10: MLE, MAP, mean, weight of the prior and of the data",
        (0.7, 2 / 3, 9 / 14, 4, 10),
        EXACT,
        lambda: product.estimates(coin(7, 3), "mle", "map", "mean", "prior_weight", "data_weight"),
    ),
    Answer("NB1", "P(class | x)", (35 / 38, 3 / 38), EXACT, product.classes),
    Answer("NB1", "log evidence", -1.701553201342, 1e-11, product.class_evidence),
    Answer(
        "NB2", "P(class | x), its second feature missing", (5 / 6, 1 / 6), EXACT, lambda: product.classes((1, 0, 1))
    ),
    Answer("NB3", "add-one smoothing of 3 of 4 and 0 of 2", (4 / 6, 1 / 4), EXACT, product.smoothing),
    Answer(
        "NB4",
        "P(class | x), the classes equally likely",
        (0.14 / 0.158, 0.018 / 0.158),
        EXACT,
        lambda: product.classes(prior={"1": 0.5, "2": 0.5}),
    ),
    Answer(
        "GM1",
        "responsibilities of the first component",
        (0.999878126560, 0.995817554319, 0.688284710930, 0.000812860662, 0.000006359187),
        1e-11,
        lambda: product.responsibilities()[:, 0],
    ),
    Answer(
        "GM1",
        "log likelihood",
        -9.450586671065,
        1e-11,
        lambda: np.logaddexp.reduce(product.mixture(product.MIXED), axis=1).sum(),
    ),
    Answer("GM4", "responsibilities of a row, summed", (1.0,) * 5, 1e-12, lambda: product.responsibilities().sum(1)),
    Answer("GM5", "log p(0)", -2.092489789, PRINTED9, lambda: np.logaddexp.reduce(product.mixture([0]), axis=1)),
    Answer(
        "HM1",
        "forward probabilities",
        (0.54, 0.12, 0.0402, 0.1806, 0.006426, 0.109578),
        1e-12,
        lambda: np.exp(forward(*CHAIN)).ravel(),
    ),
    Answer(
        "HM2",
        "filtered states",
        (0.818181818, 0.181818182, 0.182065217, 0.817934783, 0.055394642, 0.944605358),
        PRINTED9,
        lambda: filtered(*CHAIN).states.ravel(),
    ),
    Answer(
        "HM3",
        "likelihood, its logarithm, and the probability of each symbol before it came",
        (0.116004, -2.154130605712, 0.66, 0.334545455, 0.525380435),
        PRINTED9,
        lambda: [
            math.exp(product.chain_log_likelihood((0, 1, 1))),
            product.chain_log_likelihood((0, 1, 1)),
            *np.exp(filtered(*CHAIN).log_density),
        ],
    ),
    Answer(
        "HM4",
        "Viterbi path (not the article's proxy), its joint and posterior probability",
        (0, 1, 1, 0.063504, 0.547429399),
        PRINTED9,
        product.most_likely,
    ),
    Answer(
        "HM5",
        "smoothed states",
        (0.658218682, 0.341781318, 0.097031137, 0.902968863, 0.055394642, 0.944605358),
        PRINTED9,
        lambda: smoothed(*CHAIN).ravel(),
    ),
    Answer(
        "HM6",
        "next state and next symbol",
        (0.227697321, 0.772302679, 0.436618393, 0.563381608),
        PRINTED9,
        product.next_ones,
    ),
    Answer(
        "HM7",
        "log likelihood, the middle observation missing",
        -1.338647708,
        PRINTED9,
        lambda: product.chain_log_likelihood((0, None, 1)),
    ),
    Answer("HM9", "stationary law", (0.4, 0.6), EXACT, lambda: stationary(product.MOVES)),
    Answer("HM10", "5,000 observations: scaled recursion less that in logarithms", 0.0, 1e-7, product.long_chain),
    Answer(
        "MC1",
        "E[X^2] by 20,000 draws (truth 13), and its standard error",
        (12.985211745, 0.1225),
        2e-3,
        product.second_moment,
    ),
    Answer(
        "EL1",
        "log p(x), ELBO, their gap",
        (-0.510825623766, -0.566296048014, 0.055470424248),
        1e-11,
        product.elbo,
    ),
    Answer("SA1", "Beta(9, 5) from uniform proposals: ESS / N", 0.444026059, 0.02, product.importance_share),
    Answer(
        "SA2",
        "Beta(9, 5) by NUTS, HMC, Metropolis and importance sampling: means",
        (9 / 14,) * 4,
        0.015,
        lambda: [product.by_backend(name) for name in ("nuts", "hmc", "metropolis", "importance")],
    ),
    Answer(
        "SA3", "Beta(9, 5) by SVI: mean (a normal on the log odds)", 9 / 14, 0.02, lambda: product.by_backend("svi")
    ),
    Answer(
        "PP1",
        "heads in ten more flips: mean, variance, sd, 5% and 95% quantiles, P(3 to 9)",
        (6.428571428571, 3.673469387755, 1.916629695, 3, 9, 0.935783),
        PRINTED6,
        lambda: product.heads_to_come()[:6],
    ),
    Answer("PP1", "the same: probabilities of 0 to 10", PMF, 1.5e-6, lambda: product.heads_to_come()[6:]),
    Answer("PP3", "log of the mean of 0.9 and 0.1", math.log(0.5), EXACT, product.log_mean),
    Answer("PP4", "perplexity of a loss of 3", 20.085536923, PRINTED9, lambda: scores.perplexity(np.full(5, -3.0))),
    Answer("PP5", "PIT of a right model: distance from uniform", 0.0, 1.95 / math.sqrt(2000), product.pit_distance),
    Answer("PP6", "standard error of an accuracy of 0.9, n = 1,000", 0.009486833, PRINTED9, product.interval_error),
    Answer(
        "CA1",
        "ECE, MCE, Brier score, log loss",
        (0.36, 0.40, 0.212, 0.618624924),
        PRINTED9,
        product.calibrated,
    ),
    Answer("CA2, W6", "ECE is weighted by count", 0.04, EXACT, product.weighted_ece),
    Answer(
        "W7",
        "confidence 1.0 is counted: ECE of (1, 1, .5) against (1, 0, 1)",
        0.5,
        EXACT,
        lambda: calibration.ece(calibration.reliability([1, 1, 0.5], [1, 0, 1])),
    ),
    Answer("CA3", "temperature, log loss after it", (1.379053, 0.609671), 1e-6, product.tempered),
    Answer(
        "DI1",
        "normal(0, 0.5): density at 0, P(-0.1 < X < 0.1)",
        (0.797884561, 0.158519419),
        PRINTED9,
        product.normal_prior,
    ),
    Answer("DI2", "Poisson(3): mean and variance", (3, 3), EXACT, lambda: product.count_law("poisson")[2:]),
    Answer(
        "DI3",
        "negative binomial, mean 5 and size 5: mean and variance",
        (5, 10),
        EXACT,
        lambda: product.count_law("negative binomial")[2:],
    ),
    Answer(
        "DI4",
        "zero-inflated Poisson: log p(0), log p(2), mean, variance",
        (-1.094069778, -1.852597547, 2.1, 3.99),
        PRINTED9,
        lambda: product.count_law("zero inflated"),
    ),
    Answer(
        "DI5",
        "hurdle Poisson: log p(2), mean",
        (-1.801528366, 2.210030963),
        PRINTED9,
        lambda: product.count_law("hurdle")[1:3],
    ),
    Answer("DI6, W5", "amounts with a hurdle: log p(0)", -1.203972804, PRINTED9, product.amount_at_zero),
    Answer(
        "IT1, W8",
        "entropy of (.97, .01, .01, .01), nats and bits, and of four equal ones, bits",
        (0.167700537, 0.241940733, 2.0),
        PRINTED9,
        lambda: [
            information.entropy(PEAKED),
            information.entropy(PEAKED) / math.log(2),
            information.entropy(UNIFORM) / math.log(2),
        ],
    ),
    Answer(
        "IT2",
        "KL of Normal(0, 1) and Normal(1, 2), both ways",
        (0.443147181, 1.306852819),
        PRINTED9,
        lambda: [information.kl_normal(0, 1, 1, 2), information.kl_normal(1, 2, 0, 1)],
    ),
    Answer("IT2", "the same: Jensen-Shannon", 0.128174973, 2e-9, lambda: product.normals("js")),
    Answer(
        "IT2",
        "the same: Wasserstein 1 and 2",
        (1.166630941, math.sqrt(2)),
        2e-9,
        lambda: [product.normals("w1"), product.normals("w2")],
    ),
    Answer(
        "IT2",
        "KL of (.97, .01, .01, .01) and four equal ones, both ways",
        (1.218593824, 2.075198080),
        PRINTED9,
        lambda: [information.kl(PEAKED, UNIFORM), information.kl(UNIFORM, PEAKED)],
    ),
    Answer(
        "IT3, W19",
        "KL where support fails",
        math.inf,
        0.0,
        lambda: information.kl([0.5, 0.5], [1.0, 0.0]),
    ),
    Answer(
        "IT4",
        "Fisher information of Bernoulli(.7), Cramér-Rao bound for n = 20",
        (4.761904762, 0.0105),
        PRINTED9,
        lambda: [information.fisher_information(0.7), 1 / (20 * information.fisher_information(0.7))],
    ),
    Answer("IT5, W10", "MAP with priors normal(0, s): gradient with penalty |t|^2 / 2 s^2", 0.0, 1e-3, product.ridge),
    Answer("IT6", "Hoeffding, n = 100, e = .1", 0.270670566, PRINTED9, lambda: information.hoeffding(100, 0.1)),
    Answer("DR1, W11", "KS distance", 0.231, 1e-12, lambda: drift.ks(*product.drifted())[0]),
    Answer(
        "DR1, W11",
        "its p-value, 8.5e-24, to base 10",
        -23.0706,
        0.003,
        lambda: math.log10(drift.ks(*product.drifted())[1]),
    ),
    Answer(
        "DR2, W11",
        "PSI with open end bins, and by deciles",
        (0.329934, 0.299361),
        1e-6,
        lambda: [product.psi(np.linspace(-3, 3, 11)[1:-1]), product.psi(None)],
    ),
)

OUT_OF_SCOPE: dict[str, str] = {
    "BB9": "a limit, not a number: the tests follow it to ten million outcomes",
    "BB12": "other conjugate pairs, without printed numbers: the tests check their closed forms",
    "GM2, GM3": "EM updates: the product infers distributions, and has no EM",
    "HM8": "a Baum-Welch step: the product infers distributions, and has no EM",
    "SA4, SA5": "many runs, and simulation-based calibration: minutes, in the tests",
    "PP2": "predictive checks have no number of their own: every report has them",
    "CA4, CA5": "rules, not numbers: discrimination is told beside calibration, wrong sums are refused",
    "DI7, DI8, DI9": "choices of a distribution, and a division: no number to find",
    "IT7": "maximum likelihood of a logistic regression: the tests compare it with a solver",
    "DR2": "PSI within (-3, 3) as the article codes it: that range drops rows, which the product does not",
    "DR3, DR4, DR5, CK1, CK2, CK3": "rules, not numbers: `monitor`, the door for data and the report keep them",
    "LM1": "decoding of text (top-k, top-p, beam search): outside a zoo of Bayesian models",
    "1.11": "posteriordb's gold answers: minutes, in the tests",
}


def check(answer: Answer) -> Verdict:
    """Compute one answer. Infinity is found by infinity."""
    found = np.atleast_1d(np.asarray(answer.compute(), dtype=float)).ravel()
    expected = np.atleast_1d(np.asarray(answer.expected, dtype=float))
    if found.shape != expected.shape:
        return Verdict(answer, found, False)
    with np.errstate(invalid="ignore"):
        close = (found == expected) | (np.abs(found - expected) <= answer.tolerance)
    return Verdict(answer, found, bool(close.all()))


def selftest() -> Iterator[Verdict]:
    """Every answer, one after the other."""
    return map(check, ANSWERS)
