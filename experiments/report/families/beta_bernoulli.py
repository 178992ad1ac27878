"""Pictures of beta_bernoulli: what pooling makes of the raw rates, and which group is best."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from experiments.report import style
from experiments.report.style import Drawing
from experiments.report.variables import Quantiles, Variable, reference
from experiments.results import Result
from experiments.words import counted, shortened
from models.beta_bernoulli import counted as seen

MOST_GROUPS = 40
ROW = 0.17


def figures(result: Result) -> list[Drawing]:
    """For two groups or more: raw rates against the posterior's, and how probable it is that each is the best."""
    groups = list(result.data.coords.get("group", []))
    if len(groups) < 2 or "y" not in result.data.observed:
        return []
    return [shrinkage(result, groups), *best(result, groups)]


def shrinkage(result: Result, groups: list[str]) -> Drawing:
    """Every group's raw rate, and its posterior mean with a 90% interval, in the order of the raw rates."""
    backend = reference(result)
    posterior = result.fits[backend].posterior
    ones, zeros = seen(result.data)
    with np.errstate(invalid="ignore"):
        raw = ones / (ones + zeros)
    ends = Quantiles(posterior, [0.05, 0.95])
    theta = posterior.draws["theta"].mean(axis=(0, 1))
    order = np.argsort(-np.nan_to_num(raw, nan=-1.0), kind="stable")
    shown = (
        order if len(order) <= MOST_GROUPS else order[np.linspace(0, len(order) - 1, MOST_GROUPS).round().astype(int)]
    )
    rows = np.arange(len(shown))
    figure = style.canvas(ROW * len(shown) + 1.2)
    ax = figure.subplots()
    hue = style.colour(backend, list(result.fits))
    bars = np.array([ends[Variable("theta", (int(g),), "")] for g in shown])
    ax.hlines(rows, bars[:, 0], bars[:, 1], color=hue, lw=1.4, alpha=0.8)
    ax.plot(theta[shown], rows, style.marker(backend, list(result.fits)), color="white", mec=hue, mew=1.2, ms=4.6)
    ax.plot([], [], "-", color=hue, label=f"posterior mean, 90% ({backend})")
    ax.plot(raw[shown], rows, "x", color=style.INK, ms=4.6, label="raw rate")
    pooled = "mu" in posterior.draws
    centre = float(posterior.draws["mu"].mean()) if pooled else float(ones.sum() / (ones + zeros).sum())
    ax.axvline(centre, color=style.GREY, lw=0.9, ls="--", label="population mean" if pooled else "rate of all rows")
    ax.set_yticks(rows, [f"{shortened(groups[g], 24)} ({ones[g]:.0f}/{ones[g] + zeros[g]:.0f})" for g in shown])
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("rate")
    style.legend(figure, ax)
    drawn = "Partial pooling draws rates towards the population's mean, the more so the fewer outcomes a group has."
    left = f" {len(shown)} of {counted(len(groups), 'group')} are shown." if len(shown) < len(groups) else ""
    return Drawing(
        "shrinkage",
        "Rates by group",
        f"Raw rate and posterior interval of {counted(len(shown), 'group')} by {backend}.",
        ("Crosses: successes over trials. " + (drawn if pooled else "Without pooling, each rate is its own group's."))
        + left,
        figure,
    )


def best(result: Result, groups: list[str]) -> list[Drawing]:
    """P(best) and expected loss of every group, and against the baseline the lift with its chance to be above 0."""
    backend = reference(result)
    posterior, summary = result.fits[backend].posterior, result.fits[backend].summary
    if f"best[{groups[0]}]" not in summary:
        return []
    chance = np.array([summary[f"best[{group}]"]["mean"] for group in groups], dtype=float)
    loss = np.array([summary[f"loss[{group}]"]["mean"] for group in groups], dtype=float)
    order = np.argsort(-chance, kind="stable")[:MOST_GROUPS]
    challengers = list(posterior.coords.get("challenger", []))[:MOST_GROUPS]
    figure = style.canvas(max(ROW * max(len(order), len(challengers)) + 1.1, 1.7))
    axes = figure.subplots(1, 2 if challengers else 1, squeeze=False)[0]
    hue = style.colour(backend, list(result.fits))
    rows = np.arange(len(order))
    axes[0].barh(rows, chance[order], color=hue, alpha=0.75, height=0.6)
    for row, g in zip(rows, order, strict=True):
        axes[0].text(chance[g] + 0.015, row, f"{chance[g]:.1%}, loss {round(loss[g], 9):.2g}", va="center", fontsize=8)
    axes[0].set_yticks(rows, [shortened(groups[g], 24) for g in order])
    axes[0].set_ylim(len(order) - 0.4, -0.6)
    axes[0].set_xlim(0, min(1.45, 1.6 * float(chance.max())))
    axes[0].set_xticks([tick for tick in (0, 0.25, 0.5, 0.75, 1) if tick <= 1.1 * chance.max()])
    axes[0].set_title("P(best) and expected loss")
    if challengers:
        lifts(axes[1], challengers, summary, Quantiles(posterior, [0.05, 0.5, 0.95]), hue)
    return [
        Drawing(
            "best",
            "Which group is best",
            f"Probability of being the best of {counted(len(groups), 'group')}, by {backend}.",
            "P(best): how probable it is that the group's rate is the largest; expected loss: how much rate choosing "
            "it gives away on average."
            + (" Right: how far each rate lies above the baseline's, with 90% intervals." if challengers else ""),
            figure,
        )
    ]


def lifts(
    ax: Axes,
    challengers: list[str],
    summary: Mapping[str, Mapping[str, float | None]],
    ends: Quantiles,
    hue: str,
) -> None:
    """Intervals of the lift over the baseline, each with P(above the baseline)."""
    rows = np.arange(len(challengers))
    numbers = np.array([ends[Variable("lift", (g,), "")] for g in range(len(rows))])
    ax.axvline(0, color=style.GREY, lw=0.9, ls=":")
    ax.hlines(rows, numbers[:, 0], numbers[:, 2], color=hue, lw=1.6)
    ax.plot(numbers[:, 1], rows, "o", color="white", mec=hue, mew=1.2, ms=4.6)
    for row, group in zip(rows, challengers, strict=True):
        above = float(summary[f"beats[{group}]"]["mean"] or 0.0)
        ax.text(numbers[row, 1], row - 0.2, f"above with {above:.1%}", ha="center", va="bottom", fontsize=8)
    ax.set_yticks(rows, [shortened(group, 24) for group in challengers])
    ax.set_ylim(len(challengers) - 0.3, -0.9)
    ax.set_title("lift over the baseline")
