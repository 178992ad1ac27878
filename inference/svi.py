"""Variational inference: Pyro's SVI climbs the ELBO of a guide on the traced density, from several starts.

    ELBO(q) = E_q[log p(z, y) - log q(z)] <= log p(y)

Every start first climbs to a mode; where the curvature there is that of a maximum, the guide lives in coordinates u
with z = mode + L u, L L^T the inverse curvature (L diagonal for the mean-field and the low-rank guide), so that one
learning rate suits every model. Steps end on a plateau: over the last 100 and the last 400 steps alike the ELBO has
gained no more than its own noise or 0.02 nats. The parameters are then averaged over 300 further, ten times smaller
steps (Dhaka et al. 2020), and the start with the best ELBO is kept. A step that is not finite is rolled back with
half the learning rate.

The guides `map` and `laplace` need no noisy steps. `map` is the mode on the sites' own scale (no Jacobian); `laplace`
is a normal at the mode on the unconstrained scale (with Jacobian). The two modes differ wherever a site is bounded.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.distributions.transforms import affine_autoregressive, iterated
from pyro.infer import SVI, Trace_ELBO, autoguide
from pyro.optim import Adam
from torch import Tensor

from inference import arviz_bridge
from inference.density import LogDensity
from inference.modes import MOST_DIMENSIONS, Mode, find_mode, inverse
from inference.posterior import Posterior
from inference.predict import deterministics
from inference.program import Program, refuse_discrete
from inference.progress import Progress
from inference.settings import Svi
from inference.streams import stream
from models.errors import InputError

HORIZONS = (100, 400)
FLAT = 0.02  # nats
AVERAGED_STEPS = 300
MOST_ROLLBACKS = 10
NEAR_BORDER = 25.0  # |z| of a logit or logarithm; a logit of 37 is already 1 in float64

GUIDES: dict[str, Callable[[Callable], Any]] = {
    "normal": partial(autoguide.AutoDiagonalNormal, init_scale=1.0),
    "multivariate_normal": partial(autoguide.AutoMultivariateNormal, init_scale=1.0),
    "low_rank": partial(autoguide.AutoLowRankMultivariateNormal, init_scale=1.0),
    "flow": partial(autoguide.AutoNormalizingFlow, init_transform_fn=partial(iterated, 2, affine_autoregressive)),
}
MEAN_FIELD = ("normal", "low_rank")


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


class Ascent(NamedTuple):
    """One start's outcome: draws `(S, D)` of the guide, log p - log q at them, the ELBO step by step, and how it
    ended."""

    z: Tensor
    log_ratio: Tensor
    trace: list[float]
    plateau: bool
    rollbacks: int

    @property
    def elbo(self) -> float:
        return self.log_ratio.mean().item()


def run(settings: Svi, program: Program, progress: Progress, seed: int) -> Posterior:
    """Draws of the best start's guide; InputError where a site is discrete, has no mode, or never becomes finite."""
    began = time.perf_counter()
    refuse_discrete("svi", program)
    density = LogDensity(program, jacobian=settings.guide != "map")
    if settings.guide in GUIDES:
        density.settle(settings.num_particles, 0, "never")
    setup = time.perf_counter() - began
    ascents, modes = [], []
    for restart in range(settings.num_restarts):
        torch.manual_seed(stream(seed, "restart", restart))
        task = f"svi, start {restart + 1} of {settings.num_restarts}"
        mode = find_mode(density, density.start(torch.Generator().manual_seed(stream(seed, "start", restart))))
        modes.append(mode)
        match settings.guide:
            case "map":
                ascents.append(point(settings, density, mode))
            case "laplace":
                ascents.append(normal_at(settings, density, mode))
            case _:
                with warnings.catch_warnings():
                    # Pyro remarks on a flow over one coordinate, and on a loss that is rolled back here
                    remarks = r".*AutoRegressiveNN input_dim = 1|Encountered NaN: loss"
                    warnings.filterwarnings("ignore", remarks, UserWarning)
                    ascents.append(climb(settings, density, mode, partial(progress, task)))
        progress(task, 1, 1, f"elbo {ascents[-1].elbo:.2f}")
    best = max(range(settings.num_restarts), key=lambda i: ascents[i].elbo)
    kept = ascents[best]
    warmup = time.perf_counter() - began - setup
    draws = density.constrain(kept.z)
    draws |= deterministics(program, draws)
    facts: dict[str, Any] = {
        "guide": settings.guide,
        "scale": "the sites' own scale" if settings.guide == "map" else "the unconstrained scale",
        "final_elbo": kept.elbo,
        "elbo_plateau": kept.plateau,
        "steps": len(kept.trace),
        "gradients": density.evaluations,
        "restarts": [ascent.elbo for ascent in ascents],
        "rollbacks": kept.rollbacks,
        "untraced": density.untraced,
        "elbo": {"trace": kept.trace, "all": [ascent.trace for ascent in ascents]},
    }
    if settings.guide == "map":
        facts["estimates"] = own_scale_estimates(density, modes[best])
    else:
        facts["k_hat"] = arviz_bridge.k_hat(kept.log_ratio.numpy())
        facts["importance_efficiency"] = efficiency(kept.log_ratio)
        facts["log_evidence_estimate"] = (torch.logsumexp(kept.log_ratio, 0) - math.log(len(kept.log_ratio))).item()
    return Posterior(
        backend="svi",
        draws={name: value.numpy()[None] for name, value in draws.items()},
        dims=program.dims,
        facts=facts,
        seconds={"setup": setup, "warmup": warmup, "sampling": time.perf_counter() - began - setup - warmup},
    )


def point(settings: Svi, density: LogDensity, mode: Mode) -> Ascent:
    """The mode on the sites' own scale, as so many equal draws."""
    runaway = not mode.converged and mode.covariance is None and density.size <= MOST_DIMENSIONS
    if climbs_at_border(density, mode) if mode.escaped is not None else runaway:
        raise no_mode(density, mode, "has no mode: its density grows without bound towards a border")
    value = torch.full((settings.num_samples,), mode.value)
    return Ascent(mode.z.expand(settings.num_samples, -1), value, mode.trace, mode.converged, 0)


def climbs_at_border(density: LogDensity, mode: Mode) -> bool:
    """Whether the density has no bound there: its slope, taken where a double still tells a value from the border."""
    assert mode.escaped is not None
    z = mode.z.clone()
    z[mode.escaped] = z[mode.escaped].clamp(-NEAR_BORDER, NEAR_BORDER)
    return bool(density.one(z)[1][mode.escaped].abs() > 1e-4)


def normal_at(settings: Svi, density: LogDensity, mode: Mode) -> Ascent:
    """A normal at the mode with the curvature's inverse as covariance."""
    if mode.covariance is None:
        raise no_mode(density, mode, "has no maximum to expand around")
    q = dist.MultivariateNormal(mode.z, mode.covariance)
    z = q.sample((settings.num_samples,))
    return Ascent(z, density(z)[0] - q.log_prob(z), mode.trace, mode.converged, 0)


def no_mode(density: LogDensity, mode: Mode, rule: str) -> InputError:
    coordinate = mode.escaped if mode.escaped is not None else int(mode.z.abs().argmax())
    site = next(block.site.name for block in density.blocks if block.part.start <= coordinate < block.part.stop)
    return InputError(
        f"`svi` cannot fit {density.program.name}", f"site `{site}` {rule}", "use guide `multivariate_normal` or `nuts`"
    )


def own_scale_estimates(density: LogDensity, mode: Mode) -> dict[str, dict[str, float | None]]:
    """The mode of every element on its own scale, and the standard deviation of a normal with the curvature there.

    The second is for sites with as many free coordinates as elements (not for a simplex, whose elements are tied).
    """
    values = density.constrain(mode.z)
    names = Posterior("svi", {name: value.numpy()[None, None] for name, value in values.items()}, density.program.dims)
    spread: dict[str, np.ndarray] = {}
    if mode.covariance is not None:
        for block in density.blocks:
            if block.shape == block.site.shape:
                # at a stationary point of log p(T(z)) the curvature in z is T'(z)^T (that on the own scale) T'(z)
                free = mode.z[block.part].reshape(block.shape)
                slope = torch.autograd.functional.jacobian(block.transform, free).reshape(free.numel(), free.numel())
                variance = (slope @ mode.covariance[block.part, block.part] * slope).sum(dim=1)
                spread[block.site.name] = variance.sqrt().reshape(block.shape).numpy()
    table: dict[str, dict[str, float | None]] = {}
    for name in values:
        for index, variable in names.elements(name):
            sd = float(spread[name][index]) if name in spread else None
            table[variable] = {"map": float(values[name][index]), "laplace_sd": sd}
    return table


@dataclass
class Coordinates:
    """z = centre + factor u, with the log density carried along (the constant log |det factor| included)."""

    density: LogDensity
    centre: Tensor
    factor: Tensor
    last: Tensor = field(default_factory=lambda: torch.zeros(0))

    @classmethod
    def at(cls, density: LogDensity, mode: Mode, mean_field: bool) -> Coordinates:
        if mode.covariance is None:
            return cls(density, mode.z, 0.1 * torch.eye(density.size))
        if mean_field:
            # the best mean-field normal for a normal target has the conditional variances (Bishop 2006, section 10.1.2)
            precision = inverse(mode.covariance)
            assert precision is not None
            return cls(density, mode.z, torch.diag(precision.diagonal() ** -0.5))
        return cls(density, mode.z, torch.linalg.cholesky(mode.covariance))

    def z(self, u: Tensor) -> Tensor:
        return self.centre + u @ self.factor.T

    def log_prob(self, u: Tensor) -> Tensor:
        """`(...,)` at `u (..., D)`."""
        self.last = rows = self.z(u).reshape(-1, self.density.size)
        value = LogDensityOf.apply(rows, self.density).reshape(u.shape[:-1])
        return value + self.factor.diagonal().abs().log().sum()

    def model(self) -> None:
        """The density as a Pyro program with one site, which Pyro's SVI and guides take like any other."""
        u = pyro.sample("u", dist.Normal(0.0, 1.0).expand([self.density.size]).to_event(1).mask(False))
        pyro.factor("log_density", self.log_prob(u))


def climb(settings: Svi, density: LogDensity, mode: Mode, progress: Callable[[int, int, str], None]) -> Ascent:
    """Stochastic steps from the mode until the ELBO is on a plateau, then averaged parameters."""
    pyro.clear_param_store()
    space = Coordinates.at(density, mode, settings.guide in MEAN_FIELD)
    guide = GUIDES[settings.guide](space.model)
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
                raise never_finite(density, space.last)
            restore(good)
            rate /= 2
            svi = SVI(space.model, guide, Adam({"lr": rate}), elbo)
            continue
        good = now
        trace.append(value)
        if average is not None:
            averaged += 1
            average = [mean + (p - mean) / averaged for mean, p in zip(average, now, strict=True)]
        elif len(trace) % 50 == 0:
            progress(len(trace), settings.max_steps, f"elbo {np.mean(trace[-50:]):.2f}")
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
            raise never_finite(density, space.z(u)[~torch.isfinite(log_ratio)])
        return Ascent(space.z(u), log_ratio, trace, average is not None, rollbacks)


def on_plateau(trace: list[float]) -> bool:
    """No horizon shows a gain beyond its own standard error (or `FLAT` nats)."""
    for horizon in HORIZONS:
        if len(trace) < 2 * horizon:
            return False
        before, after = np.array(trace[-2 * horizon : -horizon]), np.array(trace[-horizon:])
        noise = math.sqrt((before.var() + after.var()) / horizon)
        if after.mean() - before.mean() > max(noise, FLAT):
            return False
    return True


def efficiency(log_ratio: Tensor) -> float:
    """Effective share of the draws once they are weighted by p / q, between 0 and 1 (Kong 1992); 1 where q is p."""
    weights = torch.softmax(log_ratio, dim=0)
    return 1 / (len(weights) * weights.square().sum().item())


def parameters() -> list[Tensor]:
    """A copy of every guide parameter on its unconstrained scale."""
    return [value.detach().clone() for _, value in pyro.get_param_store().named_parameters()]


def restore(values: list[Tensor]) -> None:
    with torch.no_grad():
        for (_, parameter), value in zip(pyro.get_param_store().named_parameters(), values, strict=True):
            parameter.copy_(value)


def never_finite(density: LogDensity, z: Tensor) -> InputError:
    """Names the site whose term is not finite at the guide's last draws."""
    for row in z.detach():
        fault = density.program.first_fault(density.constrain(row))
        if fault is not None:
            break
    else:
        fault = "the gradient is not finite though every term is"
    return InputError(
        f"`svi` cannot fit {density.program.name}", fault, "check priors, data and the program at that value"
    )
