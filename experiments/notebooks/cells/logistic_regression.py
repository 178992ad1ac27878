"""# Who switches to a safe well?

In Araihazar, Bangladesh, many wells hold more arsenic than is safe. A survey told 3,020 households about their own
well and how far the nearest safe one is, and noted later who had switched (Gelman & Hill 2007, chapter 5). We fit a
logistic regression, say what it means in probabilities, and ask whether it could have made the data."""

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from experiments.datasets import FOLDER
from inference import Nuts, Svi, fit
from models import LogisticRegression, Prior, Table

rows = pd.read_csv(FOLDER / "wells.csv")
wells = Table({"switched": rows.switched, "dist100": rows.dist / 100, "arsenic": rows.arsenic, "educ4": rows.educ / 4})
rows.describe().T

# %% [markdown]
# ## The model and its posterior
#
# Distance in hundreds of metres, arsenic on a logarithmic scale, education in units of four years; a weak prior on
# the scale of one standard deviation of each.

# %%
model = LogisticRegression("switched ~ dist100 + log(arsenic) + educ4", prior=Prior.parse("normal(0, 2.5)"))
data = model.data(wells)
posterior = fit(model, data, Nuts(num_chains=8, num_samples=250), seed=5)
summary = pd.DataFrame(posterior.summary()).T.astype(float)
summary.loc[summary.index.str.contains("_raw"), ["mean", "sd", "q5", "q95", "ess_bulk", "r_hat"]].round(3)

# %% [markdown]
# ## In odds, and in probability
#
# An odds ratio says little about a probability. The average marginal effect does: by how much the probability changes
# for one unit of a term, averaged over the households as they are.

# %%
quantities = model.quantities(posterior.draws, data)
columns = {}
for name in ("odds_ratio_raw", "average_marginal_effect"):
    columns[name, "mean"] = quantities.draws[name].mean(axis=(0, 1))
    columns[name, "5%"], columns[name, "95%"] = np.quantile(quantities.draws[name], [0.05, 0.95], axis=(0, 1))
pd.DataFrame(columns, index=data.coords["term"]).round(3)

# %% [markdown]
# A hundred metres more to the next safe well cost about twenty-two percentage points.
#
# ## New households
#
# `predict` gives a probability and its interval for rows that were not fitted.

# %%
metres = np.linspace(0, 300, 61)
figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
for arsenic in (0.6, 1.3, 3.0):
    ahead = Table({"dist100": metres / 100, "arsenic": np.full(61, arsenic), "educ4": np.full(61, 1.2)})
    found = model.predict(posterior.draws, wells, ahead, mass=0.9)
    (line,) = axes.plot(metres, found["P(switched=1)"], label=f"arsenic {arsenic}")
    axes.fill_between(metres, found["lower"], found["upper"], alpha=0.2, color=line.get_color(), lw=0)
axes.set(xlabel="metres to the nearest safe well", ylabel="P(switched)", ylim=(0, 1))
axes.legend(frameon=False);

# %% [markdown]
# ## Is the posterior right?
#
# A normal approximation at the mode should agree with so many rows, and nothing separates the outcome (`remarks` would
# say so in a sentence).

# %%
laplace = fit(model, data, Svi(guide="laplace", num_restarts=1), seed=5)
for found in (posterior, laplace):
    draws = found.draws["beta_raw"]
    print(f"{found.backend:5}", "means", draws.mean(axis=(0, 1)).round(3), "sds", draws.std(axis=(0, 1)).round(3))
print(model.remarks({}, data) or "nothing separates the outcome")

# %% [markdown]
# ## Could the model have made these data?
#
# The posterior predictive check: replicated outcomes for the same households, and in each the share that switched by
# tenths of the distance and of arsenic. Where the observed share leaves the band, the model misses something.

# %%
rng = np.random.default_rng(5)
beta, intercept = posterior.draws["beta"].reshape(-1, 3)[::4], posterior.draws["intercept"].reshape(-1)[::4]
logit = intercept[:, None] + beta @ data.inputs["x"].T
replicated = rng.random(logit.shape) < 1 / (1 + np.exp(-logit))
figure, panels = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
for ax, name in zip(panels, ("dist", "arsenic")):
    tenth = pd.qcut(rows[name], 10, labels=False)
    shares = np.array([replicated[:, tenth == k].mean(axis=1) for k in range(10)])
    low, high = np.quantile(shares, [0.025, 0.975], axis=1)
    middle = rows[name].groupby(tenth).mean()
    ax.fill_between(middle, low, high, alpha=0.25, lw=0, label="replicated, 95%")
    ax.plot(middle, rows.switched.groupby(tenth).mean(), "o", color="black", label="observed")
    ax.set(xlabel=f"{name}, mean of each tenth")
panels[0].set_ylabel("share that switched")
panels[0].legend(frameon=False);

# %% [markdown]
# Arsenic is caught by its logarithm; the band holds the observed shares but for a tenth here and there, as ten bands
# of 95% may. One number for the whole: the probability, under the model, of telling as many rows apart as it did.

# %%
fitted = 1 / (1 + np.exp(-logit))
right = ((fitted > 0.5) == data.observed["y"].astype(bool)).mean(axis=1)
right_again = ((fitted > 0.5) == replicated).mean(axis=1)
share = (right_again >= right).mean()
assert 0.05 < share < 0.95
print(f"{share:.2f} of replicated data sets are classified at least as well as the observed one ({right.mean():.3f})")
