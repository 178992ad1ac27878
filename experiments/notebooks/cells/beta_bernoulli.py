"""# Which plates germinate? Twenty-one rates, alone and together

Crowder (1978) put between 4 and 81 Orobanche seeds on each of 21 plates, and counted how many germinated. A plate of
four seeds says little by itself. We estimate the rates three ways: each plate alone, all plates as one, and as draws of
one population of plates (partial pooling). Then we ask what a new plate would do, and whether the model could have made
these data."""

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from experiments.datasets import BUNDLED, FOLDER
from inference import Nuts, fit
from models import BetaBernoulli, Table

plates = pd.read_csv(FOLDER / BUNDLED["seeds"].file)
table = Table(
    {"successes": plates["germinated"].to_numpy(), "trials": plates["seeds"].to_numpy(), "group": plates["plate"]}
)
raw = plates["germinated"] / plates["seeds"]
print(f"{len(plates)} plates of {plates['seeds'].min()} to {plates['seeds'].max()} seeds")
print(f"raw rates from {raw.min():.2f} to {raw.max():.2f}")

# %% [markdown]
# ## No pooling and complete pooling are closed forms
#
# Both are conjugate, so `exact` proves the posterior instead of sampling it, and the log evidence compares them.

# %%
alone, as_one = BetaBernoulli(), BetaBernoulli(pooling="complete")
for name, model in (("each alone", alone), ("all as one", as_one)):
    print(f"{name}: log evidence {fit(model, model.data(table), 'exact').facts['log_evidence']:.2f}")

# %% [markdown]
# ## Partial pooling
#
# mu is the population's mean rate; kappa counts how many seeds the population is worth when a plate is estimated.

# %%
model = BetaBernoulli(pooling="partial")
data = model.data(table)
posterior = fit(model, data, Nuts(num_chains=16, num_samples=300), seed=1)
mu, kappa = posterior.draws["mu"], posterior.draws["kappa"]
print(f"population mean about {mu.mean():.1f}, worth some {round(float(np.median(kappa)), -1):.0f} seeds")
pd.DataFrame(posterior.summary()).T.loc[["mu", "rho", "kappa"], ["mean", "sd", "q5", "q95", "r_hat"]].round(3)

# %% [markdown]
# Every rate is drawn towards the mean, those of small plates most.

# %%
theta = posterior.draws["theta"].mean(axis=(0, 1))
figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
axes.axhline(mu.mean(), color="grey", ls="--", lw=1, label="population mean")
for plate in range(len(plates)):
    axes.plot([plate, plate], [raw[plate], theta[plate]], color="lightgrey", zorder=0)
axes.scatter(range(len(plates)), raw, s=2 * plates["seeds"], color="black", alpha=0.35, label="raw rate, area by seeds")
axes.plot(range(len(plates)), theta, "o", color="tab:blue", ms=4, label="partial pooling")
axes.set(xlabel="plate", ylabel="rate of germination")
axes.legend(frameon=False, fontsize=8)
# %% [markdown]
# ## Which plate is best?
#
# A ranking of raw rates takes luck for merit. P(best) is a quantity of the posterior, and so is the expected loss, how
# much rate one gives away by choosing a plate.

# %%
compared = model.quantities(posterior.draws, data).draws
pd.DataFrame(
    {"raw": raw, "P(best)": compared["best"].mean(axis=(0, 1)), "expected loss": compared["loss"].mean(axis=(0, 1))},
    index=data.coords["group"],
).sort_values("P(best)", ascending=False).head().round(2)

# %% [markdown]
# ## A new plate of 40 seeds
#
# Its rate is a draw of the population: the interval is wide, and no model without a population has one.

# %%
told = model.predict(posterior.draws, table, Table({"group": ["a new one"], "trials": [40]}), mass=0.9)
print({name: float(round(float(values[0]), 1)) for name, values in told.items()})

# %% [markdown]
# ## Could the model have made these data?
#
# Posterior predictive check: plates that differ as much as these. For the plates as one, the observed spread lies far
# out; with partial pooling it is ordinary.

# %%
rng = np.random.default_rng(1)
trials = plates["seeds"].to_numpy()
one = fit(as_one, as_one.data(table), "exact", seed=1).draws["theta"].reshape(-1, 1)
made = {"as one": rng.binomial(trials, np.broadcast_to(one, (len(one), len(trials))))}
population = rng.beta((mu * kappa).reshape(-1, 1), ((1 - mu) * kappa).reshape(-1, 1), (mu.size, len(trials)))
made["partial pooling"] = rng.binomial(trials, population)
figure, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
for name, counts in made.items():
    spread = (counts / trials).std(axis=1)
    axes.hist(spread, 40, density=True, alpha=0.4, label=name)
    share = float((spread >= raw.std(ddof=0)).mean())
    print(f"{name}: spread of rates at least the observed one in {share:.0%} of data sets" if share < 0.01 else name)
    assert (share < 0.01) if name == "as one" else (0.05 < share < 0.95)
axes.axvline(raw.std(ddof=0), color="black", label="observed")
axes.set(xlabel="standard deviation of the plates' rates")
axes.legend(frameon=False)
