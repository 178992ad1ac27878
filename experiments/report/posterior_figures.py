"""Figures of the posterior itself: intervals, densities against the prior, backends against each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from experiments.report import style
from experiments.report.curves import bounds, density
from experiments.report.style import Drawing
from experiments.report.variables import Quantiles, Variable, draws_of, has, reference, some, truth_of, variables
from experiments.results import Fit, Result
from experiments.words import counted, listed, shortened
from inference.posterior import Posterior

ROW = 0.125
MOST_BARS = 40  # variables in one figure: a screen
MOST_APART = 20


def forest(result: Result) -> list[Drawing]:
    """50% and 95% intervals, one panel a site, all backends side by side; where variables are many, of some of those
    that the model itself has."""
    every = variables(result)
    own = [variable for variable in every if variable.site in result.prior]
    shown = every if len(every) <= MOST_BARS else some(own or every, MOST_BARS)
    sites = list(dict.fromkeys(variable.site for variable in shown))
    panels = [[variable for variable in shown if variable.site == site] for site in sites]
    backends = list(result.fits)
    row = ROW * (len(backends) + 0.6)
    heights = [row * max(len(panel), 1) + 0.12 for panel in panels]
    figure = style.canvas(sum(heights) + 0.42 * len(panels) + 0.45)
    axes = list(figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0])
    quantiles = {name: Quantiles(fit.posterior, [0.025, 0.25, 0.5, 0.75, 0.975]) for name, fit in result.fits.items()}
    for panel, ax in zip(panels, axes, strict=True):
        for place, backend in enumerate(backends):
            rows = [k for k, variable in enumerate(panel) if has(result.fits[backend].posterior, variable)]
            numbers = np.array([quantiles[backend][panel[k]] for k in rows]).reshape(-1, 5)
            heights_of = np.array(rows) + offset(place, len(backends))
            intervals(ax, numbers, heights_of, backend, backends)
        truths = [(truth_of(result, variable), k) for k, variable in enumerate(panel)]
        marks = [(value, k) for value, k in truths if value is not None]
        if marks:
            ax.vlines(
                [m[0] for m in marks],
                [m[1] - 0.42 for m in marks],
                [m[1] + 0.42 for m in marks],
                style.INK,
                lw=1.2,
                label="truth",
            )
        rows_of_names(ax, panel)
        signs = [
            q
            for backend in backends
            for variable in panel
            if has(result.fits[backend].posterior, variable)
            for q in quantiles[backend][variable]
        ]
        if min(signs) < 0 < max(signs):
            ax.axvline(0, color=style.GREY, lw=0.8, ls=":", zorder=0)
    style.legend(figure, most_labelled(axes))
    left = f" {len(shown)} of {counted(len(every), 'variable')} are shown." if len(shown) < len(every) else ""
    return [
        Drawing(
            "forest",
            "Posterior intervals",
            f"Forest plot: posterior intervals of {counted(len(shown), 'variable')} by {listed(backends)}.",
            "Mark: median; thick bar: 50% interval; thin bar: 95% interval; each parameter array has its own scale."
            + (" Black line: the true value." if result.truth else "")
            + left,
            figure,
        )
    ]


def intervals(ax: Axes, numbers: np.ndarray, heights: np.ndarray, backend: str, backends: Sequence[str]) -> None:
    """Rows of `(2.5%, 25%, 50%, 75%, 97.5%)` as thin bar, thick bar and mark."""
    colour, marker = style.colour(backend, backends), style.marker(backend, backends)
    ax.hlines(heights, numbers[:, 0], numbers[:, 4], color=colour, lw=1.1)
    ax.hlines(heights, numbers[:, 1], numbers[:, 3], color=colour, lw=3.2)
    ax.plot(numbers[:, 2], heights, marker, color="white", mec=colour, mew=1.2, ms=4.2, label=backend, ls="none")


def offset(place: int, count: int) -> float:
    """Where in its row, from -0.5 to 0.5, a backend's bar lies."""
    return (place + 1) / (count + 1) - 0.5 if count > 1 else 0.0


def rows_of_names(ax: Axes, panel: Sequence[Variable]) -> None:
    """Names on the left, first on top, pale bands behind every other row."""
    ax.set_yticks(range(len(panel)), [shortened(variable.name) for variable in panel])
    ax.set_ylim(len(panel) - 0.45, -0.55)
    ax.tick_params(axis="y", length=0)
    for k in range(1, len(panel), 2):
        ax.axhspan(k - 0.5, k + 0.5, color="#f4f5f7", zorder=-1, lw=0)


def most_labelled(axes: Sequence[Axes]) -> Axes:
    return max(axes, key=lambda ax: len(ax.get_legend_handles_labels()[1]))


def densities(result: Result) -> list[Drawing]:
    """Up to twelve marginal densities: every backend, the prior, the truth. An event, 0 or 1 in a draw, has none."""
    every = [variable for variable in variables(result) if not is_event(result, variable)]
    shown = some(every, 12)
    if not shown:
        return []
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = style.canvas(2.9 if len(shown) == 1 else 1.95 * rows + 0.4)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for variable, ax in zip(shown, axes, strict=False):
        densities_of(result, variable, ax)
        ax.set_title(style.wrapped(variable.name, 100 // columns))
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    style.legend(figure, most_labelled(axes))
    left = f" {len(shown)} of {counted(len(every), 'variable')} are shown." if len(shown) < len(every) else ""
    parts = [*result.fits, *(["the prior"] if result.prior else []), *(["the truth"] if result.truth else [])]
    return [
        Drawing(
            "densities",
            "Prior to posterior",
            f"Marginal densities of {counted(len(shown), 'variable')}: {listed(parts)}.",
            "The narrower the curve against the dashed prior, the more the data say; "
            "curves of different backends should lie on each other."
            + (" Black line: the true value." if result.truth else "")
            + left,
            figure,
        )
    ]


def is_event(result: Result, variable: Variable) -> bool:
    """Whether the variable is 0 or 1 in every draw of every backend that has more than one."""
    found = [draws_of(fit.posterior.draws, variable) for fit in result.fits.values() if has(fit.posterior, variable)]
    return all(values.size > 1 and np.isin(values, (0.0, 1.0)).all() for values in found)


def densities_of(result: Result, variable: Variable, ax: Axes) -> None:
    """One panel, as wide as the posteriors and at most half as wide again on either side to show the prior."""
    backends = list(result.fits)
    known = [name for name in backends if has(result.fits[name].posterior, variable)]
    prior = draws_of(result.prior, variable) if variable.site in result.prior else np.empty(0)
    samples = {name: draws_of(result.fits[name].posterior.draws, variable) for name in known}
    support = bounds(prior, *samples.values())
    truth = truth_of(result, variable)
    low, high = window(list(samples.values()), prior, truth, support)
    top = 0.0
    for name in known:
        curve = marginal_curve(result.fits[name].posterior, variable, low, high) or density(samples[name], support)
        hue = style.colour(name, backends)
        if curve is None:
            ax.axvline(float(samples[name].flat[0]), color=hue, label=name)
            continue
        ax.plot(*curve, color=hue, label=name)
        ax.fill_between(*curve, color=hue, alpha=0.08, lw=0)
        top = max(top, float(np.max(curve[1])))
    before = density(prior, support) if prior.size else None
    if before is not None:
        ax.plot(*before, color=style.GREY, ls="--", lw=1.1, label="prior", zorder=1)
    if truth is not None:
        ax.axvline(truth, color=style.INK, lw=1.2, label="truth")
    ax.set_xlim(low, high)
    ax.set_ylim(0, 1.1 * top if top > 0 else None)
    style.hide_heights(ax)
    ax.locator_params(axis="x", nbins=5)


def marginal_curve(
    posterior: Posterior, variable: Variable, low: float, high: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """The density in closed form, None where the posterior is known by draws only."""
    if variable.site not in posterior.marginals:
        return None
    points = np.linspace(low, high, 402)[1:-1]
    grid = points.reshape(-1, *(1,) * len(variable.position))
    heights = np.asarray(posterior.marginals[variable.site].pdf(grid))
    return points, np.broadcast_to(heights, (len(points), *posterior.draws[variable.site].shape[2:]))[variable.last]


def window(
    samples: list[np.ndarray], prior: np.ndarray, truth: float | None, support: tuple[float, float]
) -> tuple[float, float]:
    """The stretch of the axis that a panel shows."""
    finite = np.concatenate([sample[np.isfinite(sample)] for sample in samples])
    if len(finite) == 0:
        return 0.0, 1.0
    low, high = np.quantile(finite, [0.001, 0.999])
    span = (high - low) or abs(high) or 1.0
    outer = np.quantile(prior[np.isfinite(prior)], [0.01, 0.99]) if np.isfinite(prior).any() else (low, high)
    low, high = (
        min(low - 0.08 * span, max(outer[0], low - 0.5 * span)),
        max(high + 0.08 * span, min(outer[1], high + 0.5 * span)),
    )
    if truth is not None:
        low, high = min(low, truth - 0.05 * span), max(high, truth + 0.05 * span)
    return float(max(low, support[0])), float(min(high, support[1]))


def agreement(result: Result) -> list[Drawing]:
    """Every backend's mean and 95% interval in the reference backend's standard deviations, of the variables where they
    are farthest apart; empty for one backend."""
    base = reference(result)
    backends = list(result.fits)
    centre = result.fits[base].summary
    shared = [v for v in variables(result) if v.name in centre and (centre[v.name]["sd"] or 0) > 0]
    apart = sorted(shared, key=lambda v: -result.agreement[v.name].max_w1_sd if v.name in result.agreement else 0.0)
    shown = [variable for variable in shared if variable in apart[:MOST_APART]]
    if len(backends) < 2 or not shown:
        return []
    figure = style.canvas(ROW * (len(backends) + 0.6) * len(shown) + 1.0)
    ax = figure.subplots()
    ax.axvspan(-1.96, 1.96, color="#f0f2f5", lw=0, zorder=-2)
    ax.axvline(0, color=style.GREY, lw=0.8, ls=":")
    for place, backend in enumerate(backends):
        fit = result.fits[backend]
        ends = Quantiles(fit.posterior, [0.025, 0.975])
        rows = [k for k, variable in enumerate(shown) if variable.name in fit.summary]
        scaled = np.array([standardised(fit, result.fits[base], shown[k], ends) for k in rows]).reshape(-1, 3)
        heights = np.array(rows) + offset(place, len(backends))
        hue = style.colour(backend, backends)
        ax.hlines(heights, scaled[:, 0], scaled[:, 2], color=hue, lw=1.3)
        ax.plot(
            scaled[:, 1],
            heights,
            style.marker(backend, backends),
            color="white",
            mec=hue,
            mew=1.2,
            ms=4.2,
            label=backend,
            ls="none",
        )
    ax.set_yticks(range(len(shown)), [shortened(variable.name) for variable in shown])
    ax.set_ylim(len(shown) - 0.45, -0.55)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(f"distance from the mean by {base}, in its posterior standard deviations")
    style.legend(figure, ax)
    few = len(shown) < len(shared)
    left = f" The {len(shown)} of {counted(len(shared), 'variable')} that are farthest apart are shown." if few else ""
    return [
        Drawing(
            "agreement",
            f"Backends measured by {base}",
            f"Means and 95% intervals of {counted(len(shown), 'variable')} by {listed(backends)}, in units of {base}.",
            "Marks near 0 and bars as wide as the shaded band mean agreement; "
            f"the band is the 95% interval of a normal posterior with mean and standard deviation by {base}." + left,
            figure,
        )
    ]


def standardised(fit: Fit, base: Fit, variable: Variable, ends: Quantiles) -> list[float]:
    """Lower end, mean and upper end in the base's units."""
    mean, sd = (float(base.summary[variable.name][key] or 0.0) for key in ("mean", "sd"))
    low, high = ends[variable]
    return [(value - mean) / sd for value in (low, float(fit.summary[variable.name]["mean"] or 0.0), high)]
