"""# Years without a disaster

Explosions in British coal mines with ten deaths or more, 1851 to 1962. Many years have none. Is that more than counts
would have by themselves, that is, were there years in which no disaster could happen? Or did the rate just fall? Zeros
of both kinds look alike, so we let the model say how well it can tell them apart."""

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from experiments.datasets import BUNDLED, FOLDER
from inference import Nuts, fit
from models import Table, ZeroInflated

years = pd.read_csv(FOLDER / BUNDLED["coal_disasters"].file)
table = Table({name: years[name].to_numpy() for name in years}, "coal_disasters.csv")
y = years["disasters"].to_numpy()
print(f"{len(y)} years, {int((y == 0).sum())} without a disaster; mean {y.mean():.2f}, variance {y.var(ddof=1):.2f}")

# %% [markdown]
# ## One rate for all years
#
# With one rate, variance above the mean looks like extra zeros, and the zero-inflated Poisson takes them for
# structural.

# %%
backend = Nuts(num_chains=16, num_samples=150)
constant = ZeroInflated("disasters ~ 1")
first = fit(constant, constant.data(table), backend, seed=1)
quantities = constant.quantities(first.draws, constant.data(table)).draws
print(f"structural zeros: about {round(float(quantities['structural_zeros'].mean()), -1):.0f} years")
for sentence in constant.remarks(first.draws, constant.data(table)):
    print("-", sentence.split(":")[0])

# %% [markdown]
# ## A rate that falls
#
# Safety rose over the century. Once the rate may change with the year, few structural zeros are left, and the model
# says that it can no longer tell the two kinds apart.

# %%
falling = ZeroInflated("disasters ~ year")
data = falling.data(table)
second = fit(falling, data, backend, seed=1)
found = falling.quantities(second.draws, data).draws
ratio = np.quantile(found["rate_ratio"] ** 10, [0.05, 0.5, 0.95])
print(f"ten years later the rate is {ratio[1]:.1f} times what it was")
for sentence in falling.remarks(second.draws, data):
    print("-", sentence.split(":")[0])

# %% [markdown]
# The same model without a zero part has next to no fewer zeros: nothing is lost by leaving it out.

# %%
plain = ZeroInflated("disasters ~ year", zeros="none")
third = fit(plain, plain.data(table), backend, seed=1)
zeros = {
    "one rate, inflated": quantities["expected_zeros"],
    "falling rate, inflated": found["expected_zeros"],
    "falling rate, plain": plain.quantities(third.draws, plain.data(table)).draws["expected_zeros"],
}
pd.DataFrame(
    {name: np.quantile(draws, [0.05, 0.5, 0.95]) for name, draws in zeros.items()}, ["5%", "50%", "95%"]
).T.round(1)

# %% [markdown]
# ## What was to be expected in each year?

# %%
told = pd.DataFrame(plain.predict(third.draws, table, table, mass=0.9))
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.fill_between(years["year"], told["lower"], told["upper"], alpha=0.2, step="mid", label="90% of outcomes")
axes.plot(years["year"], told["mean"], label="mean")
axes.plot(years["year"], y, ".", color="black", ms=4, label="observed")
axes.set(xlabel="year", ylabel="disasters")
axes.legend(frameon=False)
# %% [markdown]
# ## Could the model have made these years?
#
# Posterior predictive check of the plain model with a falling rate: the number of years without a disaster, and the
# longest run of them.

# %%
rng = np.random.default_rng(1)
log_mu = third.draws["intercept"][..., None] + third.draws["beta"] @ plain.data(table).inputs["x"].T
made = rng.poisson(np.exp(log_mu)).reshape(-1, len(y))


def longest(row: np.ndarray) -> int:
    """The longest run of years without a disaster."""
    return max(len(run) for run in "".join("0" if count == 0 else " " for count in row).split(" "))


figure, axes = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained")
checks = {"years without": lambda row: int((row == 0).sum()), "longest run without": longest}
for ax, (name, statistic) in zip(axes, checks.items(), strict=True):
    values = np.array([statistic(row) for row in made[::2]])
    ax.hist(values, np.arange(values.min(), values.max() + 2) - 0.5, alpha=0.5)
    ax.axvline(statistic(y), color="black")
    ax.set(xlabel=name)
    share = float((values >= statistic(y)).mean())
    assert 0.02 < share < 0.98
    print(f"{name}: observed {statistic(y)}, an ordinary value")
