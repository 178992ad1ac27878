"""A hidden Markov model in one picture: sequences with their decoded states and what comes next."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from experiments.report import style
from experiments.report.style import Drawing
from experiments.report.variables import reference
from experiments.results import Result
from experiments.words import counted, shortened
from models.decoding import Decoded, Forecast
from models.hidden_markov import HiddenMarkov

MOST_SEQUENCES, MOST_ROWS, MOST_STEPS = 3, 300, 30
MASS = 0.9
HUES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#000000", "#999999")


class Shown(NamedTuple):
    """One sequence's first channel `(T,)` where it is there, its states and its forecast, and the rows to draw."""

    y: np.ndarray
    there: np.ndarray
    rows: np.ndarray
    smoothed: np.ndarray
    path: np.ndarray
    ahead: np.ndarray  # of an observation: lower end, mean, upper end, `(3, steps)`
    states_ahead: np.ndarray


def figures(result: Result) -> list[Drawing]:
    """Nothing where no outcome was observed."""
    model, data = result.experiment.model, result.data
    if "y" not in data.observed or not isinstance(model, HiddenMarkov):
        return []
    base = reference(result)
    draws = result.fits[base].posterior.draws
    lengths = data.inputs["lengths"]
    chosen = np.sort(np.argsort(-lengths, kind="stable")[:MOST_SEQUENCES])
    steps = int(np.clip(lengths[chosen].max() // 8, 3, MOST_STEPS))
    decoded, forecast = model.decode(draws, data, MASS), model.forecast(draws, data, steps)
    names = [shortened(str(name), 30) for name in data.coords["sequence"]]
    figure = style.canvas(0.4 + 2.3 * len(chosen))
    axes = figure.subplots(2 * len(chosen), 1, squeeze=False, height_ratios=[2.2, 1] * len(chosen))[:, 0]
    for place, s in enumerate(chosen):
        own = shown(decoded, forecast, data.observed["y"], data.inputs["there"], int(lengths[s]), int(s))
        upper, lower = axes[2 * place : 2 * place + 2]
        observations(upper, own, levels_of(data.coords) if model.emission == "categorical" else [])
        probabilities(lower, own)
        lower.sharex(upper)
        upper.set_xlim(own.rows[0] - 1, own.rows[-1] + steps + 1)
        upper.tick_params(labelbottom=False)
        upper.set_title(shortened(str(data.coords["channel"][0]), 40) + (f", {names[s]}" if len(lengths) > 1 else ""))
    axes[-1].set_xlabel("row of the sequence")
    style.legend(figure, axes[0])
    return [
        Drawing(
            "states",
            "Decoded states and forecast",
            f"Observations coloured by their most likely state, the states' probabilities and a forecast, by {base}.",
            caption(len(lengths), len(chosen), steps, model.emission == "categorical"),
            figure,
        )
    ]


def caption(sequences: int, drawn: int, steps: int, labels: bool) -> str:
    """How to read the picture."""
    of = f" Shown are the {drawn} longest of {sequences} sequences." if drawn < sequences else ""
    expected = f", what is expected (line) and the {MASS:.0%} interval of an observation"
    return (
        "Above: observations in the colour of the state that most draws' most likely paths have there. Below: the "
        "probability of every state given the whole sequence, averaged over the posterior; where it is mixed, the data "
        f"leave the state open. Beyond the dashed line: {counted(steps, 'row')} ahead{'' if labels else expected}.{of} "
        "Numbers of states are labels: the tables say what they stand for."
    )


def shown(decoded: Decoded, forecast: Forecast, y: np.ndarray, there: np.ndarray, length: int, s: int) -> Shown:
    """Sequence s, its last rows where there are many."""
    rows = np.arange(max(0, length - MOST_ROWS), length)
    low, high = np.quantile(forecast.values[:, :, s, :, 0], [(1 - MASS) / 2, (1 + MASS) / 2], axis=(0, 1))
    return Shown(
        y[s, rows, 0],
        there[s, rows, 0],
        rows + 1,
        decoded.smoothed[s, rows],
        decoded.path[s, rows],
        np.stack([low, forecast.mean[:, :, s, :, 0].mean(axis=(0, 1)), high]),
        forecast.states[:, :, s].mean(axis=(0, 1)),
    )


def levels_of(coords: object) -> list[str]:
    """The labels of the first channel's levels."""
    assert isinstance(coords, dict)
    first = f"{coords['channel'][0]}="
    return [shortened(level.removeprefix(first), 16) for level in coords["level"] if level.startswith(first)]


def observations(ax: Axes, own: Shown, levels: list[str]) -> None:
    """The sequence, its points in the colours of states, and the forecast's interval."""
    seen = np.where(own.there, own.y, np.nan)
    if not levels:
        ax.plot(own.rows, seen, color=style.PALE, lw=1.0, zorder=1)
    states = own.smoothed.shape[1]
    for k in range(states):
        here = (own.path == k) & own.there
        ax.plot(own.rows[here], own.y[here], ".", color=HUES[k % len(HUES)], ms=5, label=f"state {k}", zorder=2)
    ahead = own.rows[-1] + np.arange(1, own.ahead.shape[1] + 1)
    if levels:
        ax.set_yticks(range(len(levels)), levels)
    else:
        low, mean, high = own.ahead
        ax.fill_between(ahead, low, high, color=style.GREY, alpha=0.25, lw=0, label=f"ahead ({MASS:.0%})")
        ax.plot(ahead, mean, color=style.INK, lw=1.2)
    ax.axvline(own.rows[-1] + 0.5, color=style.GREY, lw=0.8, ls="--")


def probabilities(ax: Axes, own: Shown) -> None:
    """Every state's probability, stacked."""
    table = np.concatenate([own.smoothed, own.states_ahead])
    at = own.rows[0] + np.arange(len(table))
    edges = np.concatenate([np.zeros((len(table), 1)), table.cumsum(axis=1)], axis=1)
    for k in range(table.shape[1]):
        ax.fill_between(at, edges[:, k], edges[:, k + 1], step="mid", color=HUES[k % len(HUES)], alpha=0.75, lw=0)
    ax.axvline(own.rows[-1] + 0.5, color=style.GREY, lw=0.8, ls="--")
    ax.set_ylim(0, 1)
    ax.set_yticks([0, 1])
    ax.set_ylabel("P(state)")
