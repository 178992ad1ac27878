"""How figures look: one font, one colour and marker a backend, safe for colour-blind readers (Okabe & Ito 2008)."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.words import shortened

WIDTH = 8.6
INK, GREY, PALE = "#1f2430", "#7a828e", "#d9dde3"
COLOURS = {"exact": "#009e73", "svi": "#d55e00", "nuts": "#0072b2"}
MARKERS = {"exact": "D", "svi": "s", "nuts": "o"}
MORE_COLOURS, MORE_MARKERS = ("#cc79a7", "#56b4e9", "#e69f00"), "^vP"
LOOK = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.labelsize": 9.0,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "lines.linewidth": 1.4,
    "axes.formatter.useoffset": False,
    # Names come from the data: a dollar sign is a dollar sign.
    "text.parse_math": False,
    "text.usetex": False,
}


class Drawing(NamedTuple):
    """A figure with its file name, what it shows (for a screen reader), and how to read it."""

    name: str
    title: str
    alt: str
    caption: str
    figure: Figure


def colour(backend: str, backends: Sequence[str]) -> str:
    """The backend's own colour; a backend without one takes the next free colour."""
    others = [name for name in backends if name not in COLOURS]
    return COLOURS[backend] if backend in COLOURS else MORE_COLOURS[others.index(backend) % len(MORE_COLOURS)]


def marker(backend: str, backends: Sequence[str]) -> str:
    others = [name for name in backends if name not in MARKERS]
    return MARKERS[backend] if backend in MARKERS else MORE_MARKERS[others.index(backend) % len(MORE_MARKERS)]


def canvas(height: float) -> Figure:
    """An empty figure as wide as the report's column, `height` inches high."""
    figure = Figure(figsize=(WIDTH, height))
    figure.set_layout_engine("constrained", w_pad=0.06, wspace=0.03)
    return figure


def hide_heights(axes: Axes) -> None:
    """No vertical axis, where heights only compare."""
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def legend(figure: Figure, axes: Axes) -> None:
    """One legend for all panels, above them, with the entries of one panel."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper left", ncols=min(6, len(labels)), handlelength=1.6, columnspacing=1.4
    )


def wrapped(label: str, width: int) -> str:
    """A label in lines of at most `width` characters."""
    return "\n".join(textwrap.wrap(shortened(label), width, break_on_hyphens=False)) or label


def as_png(figure: Figure) -> bytes:
    """The figure's file; the same bytes each time."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        # A label in a script that the font lacks shows boxes; the tables have the letters.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(file, format="png", dpi=150, metadata={"Software": None})
    return file.getvalue()


def look() -> AbstractContextManager[None]:
    """Draw in the report's style, whatever the reader's matplotlibrc says, and leave it as it was."""
    return style.context(["default", LOOK])
