"""Figures of how a backend got there: chains and ranks, energy, ELBO."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes

from experiments.report import style
from experiments.report.style import Drawing
from experiments.report.variables import Variable, draws_of, has, variables
from experiments.results import Fit, Result
from experiments.words import counted, listed

RANK_BINS = 20
MOST_POINTS = 1000


def chains(result: Result) -> list[Drawing]:
    """Trace and ranks of the variables with the largest R-hat, for backends with Markov chains."""
    return [chains_of(result, backend, fit) for backend, fit in result.fits.items() if fit.posterior.dependent]


def chains_of(result: Result, backend: str, fit: Fit) -> Drawing:
    shown = worst(result, fit)
    figure = style.canvas(1.6 * len(shown) + 0.6)
    axes = figure.subplots(len(shown), 2, squeeze=False, width_ratios=(1.5, 1))
    for variable, (left, right) in zip(shown, axes, strict=True):
        draws = draws_of(fit.posterior.draws, variable)
        hues = chain_colours(len(draws))
        step = -(-draws.shape[1] // MOST_POINTS)
        for chain, (values, hue) in enumerate(zip(draws, hues, strict=True), start=1):
            left.plot(
                np.arange(0, len(values), step), values[::step], color=hue, lw=0.5, alpha=0.85, label=f"chain {chain}"
            )
        ranks(right, draws, hues)
        r_hat = fit.summary[variable.name]["r_hat"]
        left.set_title(style.wrapped(variable.name, 58) + ("" if r_hat is None else f"   (R-hat {r_hat:.3f})"))
        left.set_xlim(0, draws.shape[1] - 1)
    axes[0, 1].set_title("ranks")
    axes[-1, 0].set_xlabel("draw")
    axes[-1, 1].set_xlabel("rank among the draws of all chains")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    if len(handles) <= 6:
        lines = figure.legend(handles, labels, loc="outside upper left", ncols=6, handlelength=1.2)
        for line in lines.get_lines():
            line.set_linewidth(2.0)
    return Drawing(
        f"chains-{backend}",
        f"Chains of {backend}",
        f"Traces and ranks of {listed([variable.name for variable in shown])} by {backend}, one line a chain.",
        f"{counted(len(shown), 'variable')} with the largest R-hat. "
        "Left: healthy chains overlap like one band of noise. "
        "Right: rank counts of every chain stay within the grey band 99 times in 100 if its draws are independent.",
        figure,
    )


def worst(result: Result, fit: Fit, count: int = 6) -> list[Variable]:
    """The variables with the largest R-hat, largest first; one that has none (a constant) comes last."""
    known = [variable for variable in variables(result) if has(fit.posterior, variable)]
    return sorted(known, key=lambda variable: -np.nan_to_num(fit.summary[variable.name]["r_hat"] or 0.0, nan=np.inf))[
        :count
    ]


def chain_colours(count: int) -> Sequence[object]:
    return [colormaps["viridis"](0.9 * k / max(count - 1, 1)) for k in range(count)]


def ranks(ax: Axes, draws: np.ndarray, hues: Sequence[object]) -> None:
    """Histogram of every chain's ranks; a bin of n independent draws holds n / bins, give or take the grey band."""
    from scipy.stats import binom, rankdata

    num_draws = draws.shape[1]
    ranked = rankdata(draws).reshape(draws.shape)
    bins = min(RANK_BINS, max(2, num_draws // 10))
    low, high = binom.ppf([0.005, 0.995], num_draws, 1 / bins)
    ax.axhspan(low, high, color=style.PALE, alpha=0.6, lw=0)
    for values, hue in zip(ranked, hues, strict=True):
        counts, edges = np.histogram(values, bins, (0.5, draws.size + 0.5))
        ax.stairs(counts, edges, baseline=None, color=hue, lw=1.0)
    ax.axhline(num_draws / bins, color=style.GREY, lw=0.8, ls=":")
    ax.set_ylim(bottom=0)
    ax.set_xlim(0, draws.size)
    ax.set_xticks([0, draws.size])


def energy(result: Result) -> list[Drawing]:
    """Energies of the draws against the energy moved in one step, for backends that record it."""
    drawings = []
    for backend, fit in result.fits.items():
        values = fit.posterior.sample_stats.get("energy")
        if values is None or not np.isfinite(values).all() or values.shape[1] < 2:
            continue
        levels, moves = (values - values.mean()).ravel(), np.diff(values, axis=1).ravel()
        edges = np.histogram_bin_edges(np.concatenate([levels, moves]), 40).tolist()
        figure = style.canvas(2.6)
        ax = figure.subplots()
        ax.hist(levels, edges, density=True, color=style.PALE, label="energy of the draws, less its mean")
        ax.hist(
            moves,
            edges,
            density=True,
            histtype="step",
            color=style.colour(backend, list(result.fits)),
            lw=1.6,
            label="change of energy from draw to draw",
        )
        style.hide_heights(ax)
        ax.set_xlabel("energy")
        style.legend(figure, ax)
        caption = "The two should be about equally wide; a much narrower line means that chains crawl (a low E-BFMI)."
        alt = f"Histograms of energy and of its change from draw to draw by {backend}."
        drawings.append(Drawing(f"energy-{backend}", f"Energy of {backend}", alt, caption, figure))
    return drawings


def divergences(result: Result) -> list[Drawing]:
    """Where divergent transitions happened, in the two variables that set them apart most; nothing where there
    are none."""
    drawings = []
    for backend, fit in result.fits.items():
        diverging = fit.posterior.sample_stats.get("diverging")
        if diverging is None or not diverging.any():
            continue
        shown = telltale(result, fit, diverging)
        figure = style.canvas(3.6)
        ax = figure.subplots()
        x, y = (draws_of(fit.posterior.draws, variable) for variable in (shown[0], shown[-1]))
        sound = np.flatnonzero(~diverging.ravel())[:: max(1, diverging.size // (4 * MOST_POINTS))]
        ax.plot(x.ravel()[sound], y.ravel()[sound], ".", color=style.GREY, ms=2.5, alpha=0.4, label="sound transition")
        ax.plot(x[diverging], y[diverging], "x", color=style.colour(backend, list(result.fits)), label="divergent")
        ax.set_xlabel(shown[0].name)
        ax.set_ylabel(shown[-1].name)
        style.legend(figure, ax)
        count = counted(int(diverging.sum()), "divergent transition")
        caption = (
            f"{count}. Where they crowd, the density bends too sharply for the step size, and draws are missing there."
        )
        alt = f"Draws of {shown[0].name} and {shown[-1].name} by {backend}, those of divergent transitions marked."
        drawings.append(Drawing(f"divergences-{backend}", f"Divergences of {backend}", alt, caption, figure))
    return drawings


def telltale(result: Result, fit: Fit, diverging: np.ndarray) -> list[Variable]:
    """The two variables whose means over divergent and over all draws are furthest apart, in standard deviations."""

    def distance(variable: Variable) -> float:
        draws = draws_of(fit.posterior.draws, variable)
        spread = float(draws.std())
        return abs(float(draws[diverging].mean() - draws.mean())) / spread if spread > 0 else 0.0

    known = [variable for variable in variables(result) if has(fit.posterior, variable)]
    return sorted(known, key=distance, reverse=True)[:2]


def elbo(result: Result) -> list[Drawing]:
    """The ELBO of every restart, whole and for its second half."""
    drawings = []
    for backend, fit in result.fits.items():
        record = fit.posterior.facts.get("elbo")
        if not record or len(record.get("trace", [])) < 2:
            continue
        kept = np.asarray(record["trace"], dtype=float)
        figure = style.canvas(2.7)
        whole, half = figure.subplots(1, 2)
        hue = style.colour(backend, list(result.fits))
        others = [np.asarray(trace, dtype=float) for trace in record.get("all", [])]
        for k, trace in enumerate(trace for trace in others if not np.array_equal(trace, kept, equal_nan=True)):
            whole.plot(trace, color=style.GREY, lw=0.8, alpha=0.7, label="other restarts" if k == 0 else None)
        whole.plot(kept, color=hue, lw=0.9, label="kept restart")
        whole.set_title("all steps")
        whole.set_ylim(*settled(kept))
        start = len(kept) // 2
        half.plot(np.arange(start, len(kept)), kept[start:], color=hue, lw=0.5, alpha=0.35)
        half.plot(*running_mean(kept, start), color=hue, lw=1.6, label="running mean")
        half.set_title("second half, with running mean")
        for ax in (whole, half):
            ax.set_xlabel("step")
            ax.locator_params(axis="x", nbins=5)
        whole.set_ylabel("ELBO")
        style.legend(figure, whole)
        caption = (
            "The ELBO should rise and then stay level: the thick line on the right is flat, but for noise, when "
            "optimisation is done (the lowest values, of the first steps, may lie below the frame)."
        )
        alt = f"ELBO of {backend} over {counted(len(kept), 'step')}, whole and second half."
        drawings.append(Drawing(f"elbo-{backend}", f"ELBO of {backend}", alt, caption, figure))
    return drawings


def settled(trace: np.ndarray) -> tuple[float | None, float | None]:
    """Limits that leave the lowest twentieth of the trace out, so that the first steps do not flatten the rest."""
    finite = trace[np.isfinite(trace)]
    if len(finite) == 0 or np.ptp(finite) == 0:
        return None, None
    low, high = float(np.quantile(finite, 0.05)), float(finite.max())
    pad = 0.08 * (high - low) or 1.0
    return low - pad, high + pad


def running_mean(values: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of stretches a twentieth of the second half long, at their last step."""
    width = max(1, (len(values) - start) // 20)
    sums = np.concatenate([[0.0], np.cumsum(np.nan_to_num(values[start:]))])
    return np.arange(start + width - 1, len(values)), (sums[width:] - sums[:-width]) / width
