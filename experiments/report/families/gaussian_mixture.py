"""A Gaussian mixture in one picture: its densities or ellipses over the data, and which rows belong together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse
from scipy.special import logsumexp

from experiments.report import style
from experiments.report.style import Drawing
from experiments.report.variables import reference
from experiments.results import Result
from experiments.words import counted, shortened
from models.gaussian_mixture import GaussianMixture
from models.mixture_rows import Parts, co_clustering, log_joint
from models.partitions import consensus

MOST_ROWS, MOST_DRAWS, FAINT = 400, 300, 12
HOLDS = 0.9  # of a component's mass, inside its ellipse
GRID = 300
HUES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")


class Clusters(NamedTuple):
    """Rows and draws evenly thinned: rows `(N, D)`, cells that are there, parameters, the probability that two rows are
    of one component `(N, N)`, and the partition that stands for it `(N,)`."""

    y: np.ndarray
    there: np.ndarray
    parts: Parts
    similarity: np.ndarray
    partition: np.ndarray


def figures(result: Result) -> list[Drawing]:
    """Nothing where no outcome was observed."""
    model = result.experiment.model
    if "y" not in result.data.observed or not isinstance(model, GaussianMixture):
        return []
    base = reference(result)
    found = clusters(result, model, base)
    names = [shortened(str(name), 40) for name in result.data.coords["feature"]]
    figure = style.canvas(3.6)
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    if len(names) == 1:
        densities(left, found, names[0])
        how = "Left: the data, the mixture's density (line: mean, band: 90% interval) and each component's share of it."
    else:
        chosen = most_apart(found.parts)
        ellipses(left, found, chosen, [names[i] for i in chosen])
        how = (
            "Left: rows in the colour of their part of the consensus; each component's ellipse holds "
            f"{HOLDS:.0%} of it (thin ones: single draws)."
        )
        how += " Shown are the two features whose means are furthest apart." if len(names) > 2 else ""
    matrix(right, found)
    sizes = np.bincount(found.partition)
    told = ", ".join(str(size) for size in sizes[:12])
    return [
        Drawing(
            "components",
            "Components and the rows that belong together",
            f"Components of the mixture over the data as fitted by {base}, and which rows are of one component.",
            f"{how} Right: the probability that two rows are of one component, rows sorted by the consensus partition, "
            f"whose parts have {told} of {counted(len(found.y), 'row')}. Dark blocks with sharp edges are clusters "
            "that the data are sure of, grey ones are not.",
            figure,
        )
    ]


def clusters(result: Result, model: GaussianMixture, base: str) -> Clusters:
    """What the picture is made of, by one backend's draws."""
    data = result.data
    rows = thinned(len(data.observed["y"]), MOST_ROWS)
    parts = model.parts(result.fits[base].posterior.draws, data)
    keep = thinned(len(parts.loc), MOST_DRAWS)
    parts = parts.some(keep)
    y = data.observed["y"][rows]
    there = data.inputs["there"][rows] if "there" in data.inputs else np.ones(y.shape, dtype=bool)
    similarity = co_clustering(parts, y, there)
    return Clusters(y, there, parts, similarity, consensus(similarity))


def thinned(count: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, most).round().astype(int))


def hue(k: int) -> str:
    return HUES[k % len(HUES)]


def densities(ax: Axes, found: Clusters, name: str) -> None:
    """One feature: a histogram under the densities."""
    seen = found.y[found.there[:, 0], 0]
    margin = 0.1 * np.ptp(seen)
    grid = np.linspace(seen.min() - margin, seen.max() + margin, GRID)
    joint = log_joint(found.parts, grid[:, None])
    whole = np.exp(logsumexp(joint, axis=2))
    ax.hist(seen, min(40, max(10, len(seen) // 8)), density=True, color=style.PALE, label="data")
    ax.fill_between(grid, *np.quantile(whole, [0.05, 0.95], axis=0), color=style.INK, alpha=0.15, lw=0)
    ax.plot(grid, whole.mean(axis=0), color=style.INK, label="mixture")
    for k, number in enumerate(labels_like(found)):
        ax.plot(grid, np.exp(joint[:, :, k]).mean(axis=0), "--", color=hue(number), lw=1.1, label=f"component {k}")
    ax.set_xlabel(name)
    style.hide_heights(ax)
    ax.legend(fontsize=7.5)


def most_apart(parts: Parts) -> tuple[int, int]:
    """The two features whose means differ most between components, in units of the scales."""
    weights = np.exp(parts.log_weights)[..., None]
    between = (weights * (parts.loc - (weights * parts.loc).sum(axis=1, keepdims=True)) ** 2).sum(axis=1)
    ratio = (between / (weights * parts.scale**2).sum(axis=1)).mean(axis=0)
    first, second = sorted(np.argsort(-ratio)[:2])
    return int(first), int(second)


def ellipses(ax: Axes, found: Clusters, chosen: tuple[int, int], names: list[str]) -> None:
    """Two features: rows and ellipses."""
    whole = found.there[:, chosen].all(axis=1)
    x, y = found.y[whole][:, chosen].T
    ax.scatter(x, y, s=9, lw=0, alpha=0.75, color=[hue(k) for k in found.partition[whole]], zorder=1)
    parts = found.parts
    numbers = labels_like(found)
    draws = thinned(len(parts.loc), FAINT)
    for k in range(parts.loc.shape[1]):
        if np.exp(parts.log_weights[:, k]).mean() * len(found.y) < 1:
            continue  # next to empty
        for s in draws:
            ellipse(ax, parts, np.array([s]), k, chosen, color=hue(numbers[k]), lw=0.5, alpha=0.35)
        ellipse(ax, parts, np.arange(len(parts.loc)), k, chosen, color=hue(numbers[k]), lw=1.8)
    ax.set_xlabel(names[0])
    ax.set_ylabel(names[1])
    ax.autoscale_view()


def labels_like(found: Clusters) -> list[int]:
    """For each component the part of the consensus that most of its rows are in, so that both have one colour."""
    joint = log_joint(found.parts, found.y, found.there)
    given = np.exp(joint - logsumexp(joint, axis=2, keepdims=True)).mean(axis=0)
    shares = np.array([given[found.partition == part].sum(axis=0) for part in range(found.partition.max() + 1)])
    return [int(part) for part in shares.argmax(axis=0)]


def ellipse(
    ax: Axes,
    parts: Parts,
    draws: np.ndarray,
    k: int,
    chosen: tuple[int, int],
    color: str,
    lw: float,
    alpha: float = 1.0,
) -> None:
    """The ellipse that holds 90% of a component at the mean of some draws."""
    scale = parts.scale[draws, k].mean(axis=0)[list(chosen)]
    correlation = 0.0 if parts.correlation is None else parts.correlation[draws, k][:, chosen[0], chosen[1]].mean()
    covariance = np.outer(scale, scale) * np.array([[1, correlation], [correlation, 1]])
    squared, axes = np.linalg.eigh(covariance)
    if parts.nu is None:
        radius = np.sqrt(-2 * np.log(1 - HOLDS))
    else:
        nu = parts.nu[draws, k].mean()
        radius = np.sqrt(nu * ((1 - HOLDS) ** (-2 / nu) - 1))
    width, height = 2 * radius * np.sqrt(squared[::-1])
    angle = np.degrees(np.arctan2(axes[1, 1], axes[0, 1]))
    centre = parts.loc[draws, k].mean(axis=0)[list(chosen)]
    ax.add_patch(Ellipse(tuple(centre), width, height, angle=angle, fill=False, edgecolor=color, lw=lw, alpha=alpha))


def matrix(ax: Axes, found: Clusters) -> None:
    """Co-clustering probabilities, rows by part and within it by how sure they are of it."""
    own = np.array([found.similarity[n, found.partition == part].mean() for n, part in enumerate(found.partition)])
    order = np.lexsort((-own, found.partition))
    image = ax.imshow(found.similarity[np.ix_(order, order)], cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ends = np.cumsum(np.bincount(found.partition))
    for part, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        ax.plot(
            [-0.035 * len(order)] * 2, [start, end - 1], color=hue(part), lw=4, clip_on=False, solid_capstyle="butt"
        )
    ax.set_xlim(-0.06 * len(order), len(order) - 0.5)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.set_title("P(same component)")
    assert ax.figure is not None
    ax.figure.colorbar(image, ax=ax, shrink=0.8, ticks=[0, 0.5, 1])
