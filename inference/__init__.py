"""Interchangeable ways to infer: `fit(model, data, backend)` turns a model and its data into a posterior."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from inference.progress import Progress, silent
from inference.settings import BACKENDS, Backend, Exact, Hmc, Importance, Metropolis, Nuts, Svi

if TYPE_CHECKING:
    from inference.posterior import Posterior
    from models.base import Data, Model

# Pyro imports tqdm's notebook bars, which complain where ipywidgets is missing; no bar of theirs is ever shown here.
warnings.filterwarnings("ignore", message="IProgress not found")

__all__ = ["BACKENDS", "Backend", "Exact", "Hmc", "Importance", "Metropolis", "Nuts", "Svi", "fit"]


def fit(
    model: Model,
    data: Data,
    backend: Backend | str = "nuts",
    *,
    seed: int = 0,
    num_threads: int = 1,
    progress: Progress = silent,
) -> Posterior:
    """The posterior of `model` given `data`.

    backend: settings (`Nuts(num_chains=8)`) or a name from `BACKENDS`.
    seed: the master seed; the same seed, settings and thread count give the same draws, whatever ran before.
    InputError: the data do not fit the model, or the backend cannot serve it; the message names the site.
    """
    from inference.run import run_backend

    return run_backend(model, data, backend, seed=seed, num_threads=num_threads, progress=progress)
