"""The guide that needs Pyro: a normalizing flow, climbed by Pyro's own SVI on the traced density."""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.distributions.transforms import affine_autoregressive, iterated
from pyro.infer import SVI, Trace_ELBO, autoguide
from pyro.optim import Adam
from torch import Tensor

from inference.density import LogDensity
from inference.modes import Mode
from inference.settings import Svi
from inference.svi.ascent import (
    AVERAGED_STEPS,
    LOOK_EVERY,
    MOST_ROLLBACKS,
    Ascent,
    Told,
    never_finite,
    on_plateau,
)
from inference.svi.space import whitening


class LogDensityOf(torch.autograd.Function):
    """The log density of rows as an operation whose gradient the graph has computed beside it."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, density: LogDensity) -> Tensor:
        value, gradient = density(z)
        ctx.save_for_backward(gradient)
        return value

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return upstream[0][:, None] * gradient, None


class Coordinates:
    """z = centre + factor u, with the log density carried along (the constant log |det factor| included)."""

    def __init__(self, density: LogDensity, mode: Mode) -> None:
        self.density, self.centre = density, mode.z
        self.factor = torch.from_numpy(whitening(mode, diagonal=False))
        self.last = mode.z[None]  # the rows of the last call

    def z(self, u: Tensor) -> Tensor:
        return self.centre + u @ self.factor.T

    def log_prob(self, u: Tensor) -> Tensor:
        """`(...,)` at `u (..., D)`."""
        self.last = rows = self.z(u).reshape(-1, self.density.size)
        value = LogDensityOf.apply(rows, self.density).reshape(u.shape[:-1])
        return value + self.factor.diagonal().log().sum()

    def model(self) -> None:
        """The density as a Pyro program with one site, which Pyro's SVI and guides take like any other."""
        u = pyro.sample("u", dist.Normal(0.0, 1.0).expand([self.density.size]).to_event(1).mask(False))
        pyro.factor("log_density", self.log_prob(u))


def climb(settings: Svi, density: LogDensity, mode: Mode, seed: int, progress: Told) -> Ascent:
    """Stochastic steps from the mode until the ELBO is on a plateau, then averaged parameters."""
    with warnings.catch_warnings():
        # Pyro remarks on a flow over one coordinate, and on a loss that is rolled back here
        warnings.filterwarnings("ignore", r".*AutoRegressiveNN input_dim = 1|Encountered NaN: loss", UserWarning)
        return climb_by_pyro(settings, Coordinates(density, mode), seed, progress)


def climb_by_pyro(settings: Svi, space: Coordinates, seed: int, progress: Told) -> Ascent:
    torch.manual_seed(seed)
    pyro.clear_param_store()
    guide = autoguide.AutoNormalizingFlow(space.model, partial(iterated, 2, affine_autoregressive))
    elbo = Trace_ELBO(num_particles=settings.num_particles, vectorize_particles=True, max_plate_nesting=0)
    rate, rollbacks = settings.learning_rate, 0
    svi = SVI(space.model, guide, Adam({"lr": rate}), elbo)
    guide()
    trace: list[float] = []
    good = parameters()
    average: list[Tensor] | None = None
    averaged = 0
    while len(trace) < settings.max_steps and averaged < AVERAGED_STEPS:
        value = -svi.step()
        now = parameters()
        if not math.isfinite(value) or not all(bool(torch.isfinite(p).all()) for p in now):
            rollbacks += 1
            if rollbacks > MOST_ROLLBACKS:
                raise never_finite(space.density, space.last)
            restore(good)
            rate /= 2
            svi = SVI(space.model, guide, Adam({"lr": rate}), elbo)
            continue
        good = now
        trace.append(value)
        if average is not None:
            averaged += 1
            average = [mean + (p - mean) / averaged for mean, p in zip(average, now, strict=True)]
        elif len(trace) % LOOK_EVERY == 0:
            progress(len(trace), settings.max_steps, f"elbo {np.mean(trace[-LOOK_EVERY:]):.2f}")
            if on_plateau(trace):
                average = now
                svi = SVI(space.model, guide, Adam({"lr": rate / 10}), elbo)
    if average is not None:
        restore(average)
    with torch.no_grad():
        q = guide.get_posterior()
        u = q.sample((settings.num_samples,))
        log_ratio = space.log_prob(u) - q.log_prob(u)
        if not bool(torch.isfinite(log_ratio).all()):
            raise never_finite(space.density, space.z(u)[~torch.isfinite(log_ratio)])
        return Ascent(space.z(u), log_ratio, trace, average is not None, rollbacks)


def parameters() -> list[Tensor]:
    """A copy of every guide parameter on its unconstrained scale."""
    return [value.detach().clone() for _, value in pyro.get_param_store().named_parameters()]


def restore(values: list[Tensor]) -> None:
    with torch.no_grad():
        for (_, parameter), value in zip(pyro.get_param_store().named_parameters(), values, strict=True):
            parameter.copy_(value)
