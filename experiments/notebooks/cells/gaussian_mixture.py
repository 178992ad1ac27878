"""# Three kinds of penguins that nobody named

Bills, flippers and weights of 344 penguins. The biologists wrote the species down; here nobody tells the model. A
mixture of three normals finds clusters, says how sure it is of every bird, and we compare with the species only at the
end. Some measurements are missing: an empty cell is summed out, exactly."""

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from experiments.datasets import BUNDLED, FOLDER
from inference import Nuts, fit
from inference.labels import align
from models import GaussianMixture, Table

birds = pd.read_csv(FOLDER / BUNDLED["penguins"].file)
model = GaussianMixture(
    components=3, features=("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
)
table = Table({name: birds[name].to_numpy() for name in model.features}, "penguins")
data = model.data(table)
print(birds[list(model.features)].isna().sum().to_dict())
model

# %% [markdown]
# ## One fit, sixteen chains
#
# Every chain starts at clusters of the data, not at random: a chain that starts with all birds in one component may
# never leave it. Component labels are arbitrary, so draws are brought to one labelling before anything is averaged.

# %%
posterior = fit(model, data, Nuts(num_warmup=300, num_samples=200), seed=1)
draws = align(posterior.draws, posterior.dims, "component").draws
pd.DataFrame(draws["loc_raw"].mean(axis=(0, 1)), columns=list(model.features)).round(1)

# %% [markdown]
# What does not depend on labels can be read without any alignment: how large the clusters are, and how many are used.

# %%
quantities = model.quantities(draws, data)
for name, values in quantities.draws.items():
    low, high = np.quantile(values, [0.05, 0.95], axis=(0, 1))
    print(f"{name:22} mean {values.mean(axis=(0, 1)).round(2)}  90% {low.round(2)} to {high.round(2)}")

# %% [markdown]
# ## How sure is it of one bird?
#
# Each bird has a probability for every component, and an interval of that probability: what the parameters leave open.

# %%
columns = pd.DataFrame(model.predict(draws, table, table))
best = columns[[f"P(component={k})" for k in range(3)]].max(axis=1)
unsure = best.sort_values().index[:5]
pd.concat([birds.loc[unsure, ["species", "bill_length_mm", "body_mass_g"]], columns.loc[unsure].round(2)], axis=1)

# %% [markdown]
# ## Which birds belong together?
#
# The probability that two birds are of one component needs no labels at all. One partition that stands for it, the one
# of the lowest expected loss, can be held against the species.

# %%
from models.partitions import consensus

together = model.co_clustering(draws, data)
partition = consensus(together)
order = np.argsort(partition, kind="stable")
figure, axes = plt.subplots(figsize=(4, 3.4), layout="constrained")
image = axes.imshow(together[np.ix_(order, order)], cmap="Greys", vmin=0, vmax=1)
axes.set(title="P(same component)", xticks=[], yticks=[])
figure.colorbar(image, ax=axes)
pd.crosstab(pd.Series(partition, name="cluster"), birds["species"])

# %% [markdown]
# Nearly every bird is with its own species. The few others lie between Adelie and Chinstrap, where the model said so.
#
# ## A bird with a missing measurement
#
# New rows need not be complete: what is there decides.

# %%
new = Table({
    "bill_length_mm": [47.0, 47.0], "bill_depth_mm": [None, 18.0],
    "flipper_length_mm": [None, 195.0], "body_mass_g": [4300.0, 3700.0],
})
pd.DataFrame(model.predict(draws, table, new)).filter(regex="^(component|P\\(component=.\\)$)").round(3)

# %% [markdown]
# ## Does the model resemble the data?
#
# Posterior predictive check: birds are generated from the fitted mixture, and two things that no parameter fits
# directly are compared, the share of heavy birds with shallow bills and the skewness of flipper lengths.

# %%
import torch
from inference.predict import predictive
from inference.program import read
from inference.streams import workspace
from scipy.stats import skew

with workspace(3):
    program = read(model, data)
    some = {site.name: torch.as_tensor(posterior.draws[site.name][:, ::10]).flatten(0, 1) for site in program.latent}
    replicated = predictive(program, some)["y"].numpy()


def statistics(y):
    return np.mean((y[..., 3] > 4500) & (y[..., 1] < 16), axis=-1), skew(y[..., 2], axis=-1)


figure, axes = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained")
for axis, name, values, seen in zip(
    axes, ["heavy, with a shallow bill", "skewness of flippers"], statistics(replicated), statistics(data.observed["y"])
):
    axis.hist(values, 30, alpha=0.4)
    axis.axvline(seen, color="black")
    axis.set(title=name, yticks=[])
    share = np.mean(values >= seen)
    print(f"{name}: {share:.2f} of generated data sets reach the observed value")
    assert 0.01 < share < 0.99
