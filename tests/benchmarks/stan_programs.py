"""The problems as Stan programs, with the data that each needs beside its arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

LOGISTIC = """
data { int N; int D; matrix[N, D] x; array[N] int<lower=0, upper=1> y; }
parameters { real alpha; vector[D] beta; }
model {
  alpha ~ normal(0, 2.5);
  beta ~ normal(0, 2.5);
  y ~ bernoulli_logit_glm(x, alpha, beta);
}
"""

MIXTURE = """
data { int N; vector[N] y; }
parameters { simplex[3] weights; ordered[3] mu; vector<lower=0>[3] sigma; }
model {
  weights ~ dirichlet(rep_vector(2, 3));
  sigma ~ lognormal(0, 1);
  mu[1] ~ normal(0, 5);
  mu[2] - mu[1] ~ lognormal(0, 1);
  mu[3] - mu[2] ~ lognormal(0, 1);
  for (n in 1:N) {
    vector[3] lps = log(weights);
    for (k in 1:3) lps[k] += normal_lpdf(y[n] | mu[k], sigma[k]);
    target += log_sum_exp(lps);
  }
}
"""

ZERO_INFLATED = """
data { int N; int D; matrix[N, D] x; array[N] int<lower=0> y; }
parameters { real gate; vector[D] gamma; real rate; vector[D] beta; }
model {
  vector[N] g = gate + x * gamma;
  vector[N] eta = rate + x * beta;
  gate ~ normal(0, 2.5);
  gamma ~ normal(0, 2.5);
  rate ~ normal(0, 2.5);
  beta ~ normal(0, 2.5);
  for (n in 1:N) {
    if (y[n] == 0)
      target += log_sum_exp(bernoulli_logit_lpmf(1 | g[n]), bernoulli_logit_lpmf(0 | g[n]) - exp(eta[n]));
    else
      target += bernoulli_logit_lpmf(0 | g[n]) + poisson_log_lpmf(y[n] | eta[n]);
  }
}
"""

BETA_BERNOULLI = """
data { int G; int N; array[G, N] int<lower=0, upper=1> y; }
parameters { vector<lower=0, upper=1>[G] theta; }
model {
  theta ~ beta(2, 2);
  for (g in 1:G) y[g] ~ bernoulli(theta[g]);
}
"""

HIDDEN_MARKOV = """
data { int N; vector[N] y; }
parameters { array[3] simplex[3] transition; ordered[3] mu; vector<lower=0>[3] sigma; }
model {
  matrix[3, N] log_e;
  matrix[3, 3] moves;
  sigma ~ lognormal(0, 1);
  mu[1] ~ normal(0, 5);
  mu[2] - mu[1] ~ lognormal(0, 1);
  mu[3] - mu[2] ~ lognormal(0, 1);
  for (n in 1:N) for (k in 1:3) log_e[k, n] = normal_lpdf(y[n] | mu[k], sigma[k]);
  for (k in 1:3) moves[k] = transition[k]';
  target += hmm_marginal(log_e, moves, rep_vector(1.0 / 3, 3));
}
"""


def given(problem: str, data: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The data block of a program."""
    x, y = data.get("x"), data["y"]
    sizes: dict[str, Any] = {"G": len(y), "N": y.shape[1]} if problem == "beta_bernoulli" else {"N": len(y)}
    if x is not None:
        sizes |= {"D": x.shape[1], "x": x}
    return {**sizes, "y": y if problem in ("mixture", "hidden_markov") else y.astype(int).tolist()}


PROGRAMS = {
    "logistic_small": LOGISTIC,
    "logistic_big": LOGISTIC,
    "mixture": MIXTURE,
    "zero_inflated": ZERO_INFLATED,
    "beta_bernoulli": BETA_BERNOULLI,
    "hidden_markov": HIDDEN_MARKOV,
}
