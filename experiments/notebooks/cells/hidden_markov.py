"""# Quiet and restless years: 107 years of great earthquakes

How many earthquakes of magnitude 7 or more did the world have in each year from 1900 to 2006? Poisson counts of one
rate would have a variance equal to their mean. These do not, and years in a row resemble each other. A hidden Markov
model says why: the earth is in one of a few states, which seldom change, and each has a rate of its own."""

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from experiments.datasets import BUNDLED, FOLDER
from inference import Nuts, fit
from inference.labels import align
from models import HiddenMarkov, Table

years = pd.read_csv(FOLDER / BUNDLED["earthquakes"].file)
count = years["count"].to_numpy()
print(f"mean {count.mean():.2f}, variance {count.var(ddof=1):.2f}")
table = Table({"count": count}, "earthquakes")
model = HiddenMarkov(states=3, emission="poisson", channels=("count",), start="stationary")
data = model.data(table)
model

# %% [markdown]
# ## One fit, sixteen chains
#
# The states are summed out exactly; NUTS moves the rates and the transitions alone. Labels of states are arbitrary, so
# draws are brought to one labelling before anything is averaged.

# %%
posterior = fit(model, data, Nuts(), seed=1)
draws = align(posterior.draws, posterior.dims, "state").draws
rates = draws["rate_raw"][..., 0]
print("earthquakes a year, by state:", rates.mean(axis=(0, 1)).round().astype(int).tolist())
low, high = np.quantile(rates, [0.05, 0.95], axis=(0, 1))
pd.DataFrame({"mean": rates.mean(axis=(0, 1)), "5%": low, "95%": high}).rename_axis("state").round(1)

# %% [markdown]
# Published estimates of maximum likelihood are 13.1, 19.7 and 29.7. How long does a state last? A state that is left
# with probability 1 - p lasts 1 / (1 - p) years on average.

# %%
stay = np.diagonal(draws["transition"], axis1=-2, axis2=-1)
pd.DataFrame(
    {
        "P(stay)": stay.mean(axis=(0, 1)),
        "years, median": np.median(1 / (1 - stay), axis=(0, 1)),
        "share of all years": draws["start"].mean(axis=(0, 1)),
    },
    index=["quiet", "usual", "restless"],
).round(2)

# %% [markdown]
# ## Which years were restless?
#
# `decode` averages over the posterior: the probability of each state given all years, with an interval for what the
# parameters leave open, and the most likely path.

# %%
decoded = model.decode(draws, data)
figure, axes = plt.subplots(2, 1, figsize=(8, 4), sharex=True, layout="constrained", height_ratios=[2, 1])
axes[0].plot(years["year"], count, color="lightgrey")
axes[0].scatter(years["year"], count, c=decoded.path[0], cmap="viridis", s=16)
axes[0].set_ylabel("earthquakes")
axes[1].stackplot(years["year"], decoded.smoothed[0].T, colors=plt.get_cmap("viridis")([0.0, 0.5, 1.0]))
axes[1].set_ylabel("P(state)")
restless = years["year"][decoded.smoothed[0, :, 2] > 0.85].tolist()
print("very likely restless:", restless)

# %% [markdown]
# ## What comes next?
#
# A forecast knows the state only as far as the last years tell, so it starts near the last state and ends at the
# stationary law.

# %%
forecast = model.forecast(draws, data, steps=10)
values = forecast.values[:, :, 0, :, 0]
pd.DataFrame(
    {
        "expected": forecast.mean[:, :, 0, :, 0].mean(axis=(0, 1)),
        "5%": np.quantile(values, 0.05, axis=(0, 1)),
        "95%": np.quantile(values, 0.95, axis=(0, 1)),
        "P(restless)": forecast.states[:, :, 0, :, 2].mean(axis=(0, 1)),
    },
    index=pd.RangeIndex(2007, 2017, name="year"),
).round(2)

# %% [markdown]
# ## Does the model resemble the data?
#
# Posterior predictive check: whole sequences of years are generated from the fitted model, and two things that no
# parameter fits directly are compared with what was observed: the variance, and how much a year resembles the one
# before it and the one five years before it.

# %%
import torch
from inference.predict import predictive
from inference.program import read
from inference.streams import workspace

with workspace(3):
    program = read(model, data)
    some = {site.name: torch.as_tensor(posterior.draws[site.name][:, ::8]).flatten(0, 1) for site in program.latent}
    replicated = predictive(program, some)["y"].numpy()[:, 0, :, 0]


def correlation(y, lag):
    y = y - y.mean(axis=-1, keepdims=True)
    return (y[..., lag:] * y[..., :-lag]).sum(axis=-1) / (y**2).sum(axis=-1)


STATISTICS = {
    "variance": lambda y: y.var(axis=-1, ddof=1),
    "correlation with the year before": lambda y: correlation(y, 1),
    "correlation five years apart": lambda y: correlation(y, 5),
}
figure, axes = plt.subplots(1, 3, figsize=(9, 2.6), layout="constrained")
for axis, (name, statistic) in zip(axes, STATISTICS.items()):
    found, seen = statistic(replicated), statistic(count.astype(float))
    axis.hist(found, 30, alpha=0.4)
    axis.axvline(seen, color="black")
    axis.set(title=name, yticks=[])
    share = np.mean(found >= seen)
    print(f"{name}: {'inside' if 0.05 < share < 0.95 else 'outside'} of what 90% of generated sequences have")
    assert 0.03 < share < 0.97
