"""One fit: a fresh workspace, the program read, the backend run."""

from __future__ import annotations

from dataclasses import replace

from inference import exact, importance, nuts, svi
from inference.posterior import Posterior
from inference.program import faults_of, read
from inference.progress import Progress
from inference.settings import BACKENDS, Backend, Exact, Hmc, Importance, Metropolis, Nuts, Svi
from inference.streams import stream, workspace
from models.base import Data, Model
from models.errors import InputError, did_you_mean


def run_backend(
    model: Model, data: Data, backend: Backend | str, *, seed: int, num_threads: int, progress: Progress
) -> Posterior:
    """See `inference.fit`."""
    if isinstance(backend, str):
        if backend not in BACKENDS:
            raise InputError("backend", f"there is no backend {backend!r}", did_you_mean(backend, BACKENDS))
        backend = BACKENDS[backend]()
    name = next(name for name, kind in BACKENDS.items() if isinstance(backend, kind))
    with workspace(stream(seed, name), num_threads), faults_of(model):
        program = read(model, data)
        match backend:
            case Exact():
                posterior = exact.run(backend, program, progress)
            case Svi():
                posterior = svi.run(backend, program, progress, seed=stream(seed, name))
            case Importance():
                posterior = importance.run(backend, program, progress, seed=stream(seed, name))
            case Nuts() | Hmc() | Metropolis():
                posterior = nuts.run(backend, program, progress, seed=stream(seed, name))
    return replace(posterior, coords=fitting_coords(posterior, data))


def fitting_coords(posterior: Posterior, data: Data) -> dict[str, list]:
    """The data's labels along the dimensions that the posterior's sites have."""
    used = {dim for name in posterior.draws for dim in posterior.dims[name]}
    return {dim: list(labels) for dim, labels in data.coords.items() if dim in used}
