"""Programs of one's own: a class with settings, or a plain function."""

from dataclasses import dataclass
from typing import ClassVar

import pyro
import pyro.distributions as dist


@dataclass(frozen=True)
class EightSchools:
    """Eight schools: the effect of coaching differs from school to school, by how much is unknown.

        mu        ~ Normal(0, 5)
        tau       ~ HalfCauchy(tau_scale)
        effect[j] ~ Normal(0, 1)                          j = 1..J
        theta[j]  = mu + tau effect[j]
        y[j]      ~ Normal(theta[j], sigma[j])

    Non-centred, so that the sampler need not follow the narrow neck where tau is small (Rubin 1981).
    """

    tau_scale: float = 5.0

    dims: ClassVar[dict[str, tuple[str, ...]]] = {"effect": ("school",), "theta": ("school",), "y": ("school",)}

    def __call__(self, sigma):
        mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
        tau = pyro.sample("tau", dist.HalfCauchy(self.tau_scale))
        with pyro.plate("school", len(sigma)):
            effect = pyro.sample("effect", dist.Normal(0.0, 1.0))
            theta = pyro.deterministic("theta", mu + tau * effect)
            pyro.sample("y", dist.Normal(theta, sigma))
