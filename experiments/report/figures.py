"""The figures of a report, in the order in which they are read."""

from __future__ import annotations

import base64
import re
from typing import NamedTuple

from experiments.report import posterior_figures, predictive_figures, sampler_figures, style
from experiments.report.families import FAMILY_FIGURES
from experiments.report.style import Drawing
from experiments.results import Result

FIGURES = (
    posterior_figures.forest,
    posterior_figures.densities,
    predictive_figures.predictive,
    posterior_figures.agreement,
    sampler_figures.chains,
    sampler_figures.divergences,
    sampler_figures.energy,
    sampler_figures.elbo,
)


class Picture(NamedTuple):
    """A finished figure: file name, heading, text for those who cannot see it, how to read it, the PNG."""

    file: str
    title: str
    alt: str
    caption: str
    png: bytes

    @property
    def inline(self) -> str:
        """The PNG as an address that needs no file."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


def pictures(result: Result) -> list[Picture]:
    """Draw every figure that the result has the numbers for."""
    first, *rest = FIGURES
    own = FAMILY_FIGURES.get(str(result.experiment.resolved.get("model", {}).get("family")))
    with style.look():
        drawings = [drawing for figure in (first, *filter(None, [own]), *rest) for drawing in figure(result)]
        return [picture(drawing) for drawing in drawings]


def picture(drawing: Drawing) -> Picture:
    """The drawing as a file; in the report's style where that is switched on (`style.look`)."""
    file = f"{re.sub(r'[^A-Za-z0-9_-]+', '-', drawing.name)}.png"
    return Picture(file, drawing.title, drawing.alt, drawing.caption, style.as_png(drawing.figure))
