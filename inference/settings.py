"""The settings of every backend, as records that a config, a schema and a notebook share. No tensors here: reading a
config must not cost the import of PyTorch. Words are NumPyro's and ArviZ's.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from models.settings import SETTINGS

Positive = Annotated[int, Field(ge=1)]
Dtype = Annotated[Literal["float64", "float32"], Field(description="what the density computes with; float32: 7 digits")]
Device = Annotated[Literal["cpu", "cuda"], Field(description="where the density is computed")]
NumChains = Annotated[Positive, Field(description="chains, each from a start of its own")]
NumWarmup = Annotated[Positive, Field(description="warm-up transitions of a chain, at most")]
NumSamples = Annotated[int, Field(ge=4, description="draws in each chain")]
AcceptProb = Annotated[float, Field(gt=0, lt=1, description="higher: shorter steps")]
MetricKind = Annotated[Literal["diag", "dense"], Field(description="dense learns correlations")]
Init = Annotated[Literal["uniform", "svi", "laplace"], Field(description="where chains start")]
Compile = Annotated[Literal["auto", "always", "never"], Field(description="make machine code of the density")]


@dataclass(frozen=True, config=SETTINGS)
class Exact:
    """Closed form, proved by certificate; independent draws (chains only so that shapes agree with Markov chains)."""

    num_chains: Annotated[Positive, Field(description="as other backends have; draws are independent")] = 4
    num_samples: Annotated[Positive, Field(description="draws in each chain")] = 1000


@dataclass(frozen=True, config=SETTINGS)
class Svi:
    """Variational inference: the guide that maximises the ELBO, from several starts, until the ELBO is on a plateau.

    map is a point (the mode on the parameters' own scale); laplace is a normal at the mode on the unconstrained scale.
    """

    guide: Annotated[
        Literal["normal", "multivariate_normal", "low_rank", "flow", "map", "laplace"],
        Field(description="the approximation"),
    ] = "multivariate_normal"
    num_restarts: Annotated[Positive, Field(description="starts, of which the best counts")] = 2
    max_steps: Annotated[Positive, Field(description="steps after which it ends without a plateau")] = 10_000
    learning_rate: Annotated[float, Field(gt=0, description="step size of the optimiser at the start")] = 0.01
    num_particles: Annotated[Positive, Field(description="draws of the guide in each step")] = 16
    num_samples: Annotated[Positive, Field(description="draws of the finished guide")] = 2000
    dtype: Dtype = "float64"
    device: Device = "cpu"


@dataclass(frozen=True, config=SETTINGS)
class Nuts:
    """The No-U-Turn sampler (Hoffman & Gelman 2014).

    batched runs many short chains at once and pools their warm-up; pyro is Pyro's own kernel, chain after chain.
    num_warmup is the most: the batched engine ends warm-up earlier once its chains agree. target_accept_prob: auto is
    0.8, or 0.65 where a trial at the end of warm-up shows that longer steps give more and nothing diverges.
    metric: dense learns correlations as soon as there are ten draws for each coordinate; diag never does.
    init and compile are for the batched engine. init: uniform on (-2, 2), as in Stan, but for sites whose start the
    model gives; or draws of an approximation. compile: auto makes machine code of the density wherever it is possible.
    """

    engine: Annotated[Literal["batched", "pyro"], Field(description="all chains at once, or Pyro's own kernel")] = (
        "batched"
    )
    num_chains: NumChains = 16
    num_warmup: NumWarmup = 400
    num_samples: NumSamples = 400
    target_accept_prob: Annotated[
        Annotated[float, Field(gt=0, lt=1)] | Literal["auto"], Field(description="higher: shorter steps")
    ] = "auto"
    max_tree_depth: Annotated[int, Field(ge=1, le=20, description="2 to this power: a transition's steps, at most")] = (
        10
    )
    metric: MetricKind = "dense"
    init: Init = "uniform"
    compile: Compile = "auto"
    dtype: Dtype = "float64"
    device: Device = "cpu"


@dataclass(frozen=True, config=SETTINGS)
class Hmc:
    """Hamiltonian Monte Carlo with trajectories of one length (Neal 2011), by the engine of nuts.

    trajectory_length: in the coordinates of the metric, in which a normal posterior is a standard normal with periods
    of 2 pi: the default is a quarter of one. Where periods differ, NUTS finds better lengths by itself.
    """

    num_chains: NumChains = 16
    num_warmup: NumWarmup = 400
    num_samples: NumSamples = 400
    trajectory_length: Annotated[float, Field(gt=0, description="steps times step size")] = 1.57
    target_accept_prob: AcceptProb = 0.8
    metric: MetricKind = "dense"
    init: Init = "uniform"
    compile: Compile = "auto"
    dtype: Dtype = "float64"
    device: Device = "cpu"


@dataclass(frozen=True, config=SETTINGS)
class Metropolis:
    """Random-walk Metropolis (Metropolis et al. 1953), by the engine of nuts: its draws are strongly correlated.

    Proposals are normal, with the covariance that warm-up learns, scaled so that as many are accepted as
    target_accept_prob says (Roberts, Gelman & Gilks 1997).
    """

    num_chains: NumChains = 16
    num_warmup: NumWarmup = 1000
    num_samples: NumSamples = 4000
    target_accept_prob: AcceptProb = 0.234
    metric: MetricKind = "dense"
    init: Init = "uniform"
    compile: Compile = "auto"
    dtype: Dtype = "float64"
    device: Device = "cpu"


@dataclass(frozen=True, config=SETTINGS)
class Importance:
    """Importance sampling: draws of a proposal, weighted and resampled; as many as the weights are worth.

    proposal: laplace is a multivariate t at the mode, prior the prior.
    """

    proposal: Annotated[Literal["laplace", "prior"], Field(description="where draws come from")] = "laplace"
    num_proposals: Annotated[int, Field(ge=100, description="draws of the proposal")] = 4000
    num_samples: Annotated[int, Field(ge=4, description="draws to hand on, at most")] = 2000


Backend = Exact | Svi | Nuts | Hmc | Metropolis | Importance

BACKENDS: dict[str, type[Backend]] = {
    "exact": Exact,
    "svi": Svi,
    "nuts": Nuts,
    "hmc": Hmc,
    "metropolis": Metropolis,
    "importance": Importance,
}
