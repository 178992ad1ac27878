"""# Naming penguins, with few labels and gaps in the table

Three species of penguins, an island, a sex and four measurements, some of them missing. Naive Bayes takes columns of
every kind, leaves what is missing out of the row (which is exact), and its posterior has a closed form. So each class
probability has an interval: how much the fitted rows leave open. Then we hide most species, and let the unlabelled
birds teach."""

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from experiments.datasets import BUNDLED, FOLDER
from inference import Nuts, fit
from models import NaiveBayes, Table

birds = pd.read_csv(FOLDER / BUNDLED["penguins"].file)
numbers = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
model = NaiveBayes("species", category=("island", "sex"), number=numbers)


def table(rows: pd.DataFrame) -> Table:
    return Table({name: rows[name].to_numpy(dtype=object if rows[name].dtype.kind in "OT" else float) for name in rows})


birds["sex"] = birds["sex"].astype(object).where(birds["sex"].notna(), None)
# the file has couples, a male after a female: every other row would be birds of one sex
order = np.random.default_rng(4).permutation(len(birds))
fitted, held = (birds.iloc[part].reset_index(drop=True) for part in (order[:172], order[172:]))
columns = ["species", "island", "sex", *numbers]
print(f"{len(fitted)} birds to learn from, {len(held)} to name; empty cells: {int(birds[columns].isna().sum().sum())}")

# %% [markdown]
# ## The posterior in closed form

# %%
data = model.data(table(fitted[columns]))
posterior = fit(model, data, "exact", seed=1)
print(f"log evidence {posterior.facts['log_evidence']:.2f}")
means = posterior.draws["mu_raw"].mean(axis=(0, 1))
pd.DataFrame(means, index=data.coords["class"], columns=data.coords["number"]).round(1)

# %% [markdown]
# ## Naming birds that were held back

# %%
told = pd.DataFrame(model.predict(posterior.draws, table(fitted[columns]), table(held[columns[1:]]), mass=0.9))
right = (told["class"] == held["species"]).mean()
print(f"named rightly: {right:.1%}")
told.round(3).head()

# %% [markdown]
# The birds that the model is least sure of, with the interval of their probability:

# %%
top = told[[f"P(class={name})" for name in data.coords["class"]]].max(axis=1)
doubtful = top.sort_values().index[:12]
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
for k, name in enumerate(data.coords["class"]):
    own = told.loc[doubtful]
    place = np.arange(len(doubtful)) + 0.2 * (k - 1)
    axes.vlines(place, own[f"P(class={name}) lower"], own[f"P(class={name}) upper"], color=f"C{k}", lw=3, alpha=0.5)
    axes.plot(place, own[f"P(class={name})"], "o", color=f"C{k}", ms=4, label=name)
axes.set(xlabel="bird", ylabel="P(species)")
axes.legend(frameon=False, ncols=3, fontsize=8)
# %% [markdown]
# ## Twelve labels
#
# Now only twelve of the birds have a name. The others are not thrown away: their class is summed out, and they tell
# where the species lie. The posterior is then a mixture over all labelings, so `exact` refuses; `svi` and `nuts` do it.

# %%
few = fitted[columns].copy()
kept = few.groupby("species").head(4).index
few["species"] = few["species"].astype(object).where(few.index.isin(kept), None)
labelled = few.loc[kept].reset_index(drop=True)
by_twelve = fit(model, model.data(table(labelled)), "exact", seed=1)
semi = fit(model, model.data(table(few)), Nuts(num_chains=16, num_warmup=200, num_samples=60), seed=1)
for name, rows, found in (("twelve labels", labelled, by_twelve), ("and the unlabelled birds", few, semi)):
    named = pd.DataFrame(model.predict(found.draws, table(rows), table(held[columns[1:]])))["class"]
    print(f"{name}: {(named == held['species']).mean():.1%} named rightly")

# %% [markdown]
# ## Could the model have made these birds?
#
# Posterior predictive check: the spread of body mass within each species, and a correlation that naive Bayes cannot
# make, as it takes features to be independent within a species.

# %%
rng = np.random.default_rng(1)
mu, sd, chosen = posterior.draws["mu_raw"][0], posterior.draws["sd_raw"][0], slice(0, 300)
species = data.observed["y"]
x = rng.normal(mu[chosen][:, species], sd[chosen][:, species])  # (draws, birds, features)
seen = fitted[list(numbers)].to_numpy()
whole = ~np.isnan(seen).any(axis=1)
own = species == data.coords["class"].index("Gentoo")
mass = x[:, own & whole, 3].std(axis=1)
print(
    "spread of Gentoo body mass:", "as generated" if 0.02 < (mass > seen[own & whole, 3].std()).mean() < 0.98 else "not"
)
tied = [np.corrcoef(draw[own & whole, 0], draw[own & whole, 1])[0, 1] for draw in x]
observed = np.corrcoef(seen[own & whole, 0], seen[own & whole, 1])[0, 1]
figure, axes = plt.subplots(figsize=(7, 2.4), layout="constrained")
axes.hist(tied, 30, alpha=0.5, label="generated")
axes.axvline(observed, color="black", label="observed")
axes.set(xlabel="correlation of bill length and depth, Gentoo")
axes.legend(frameon=False)
assert observed > np.quantile(tied, 0.99), "the birds' bills are longer where they are deeper; the model cannot know"
