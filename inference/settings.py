"""The settings of every backend, as records that a config, a schema and a notebook share. No tensors here: reading a
config must not cost the import of PyTorch. Words are NumPyro's and ArviZ's.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from models.settings import SETTINGS

Positive = Annotated[int, Field(ge=1)]
Dtype = Literal["float64", "float32"]  # what the density computes with; float32 has seven digits
Device = Literal["cpu", "cuda"]  # where it does


@dataclass(frozen=True, config=SETTINGS)
class Exact:
    """Closed form, proved by certificate; independent draws (chains only so that shapes agree with Markov chains)."""

    num_chains: Positive = 4
    num_samples: Positive = 1000


@dataclass(frozen=True, config=SETTINGS)
class Svi:
    """Variational inference: the guide that maximises the ELBO, from several starts, until the ELBO is on a plateau.

    map is a point (the mode on the parameters' own scale); laplace is a normal at the mode on the unconstrained scale.
    """

    guide: Literal["normal", "multivariate_normal", "low_rank", "flow", "map", "laplace"] = "multivariate_normal"
    num_restarts: Positive = 2
    max_steps: Positive = 10_000
    learning_rate: Annotated[float, Field(gt=0)] = 0.01
    num_particles: Positive = 16
    num_samples: Positive = 2000
    dtype: Dtype = "float64"
    device: Device = "cpu"


@dataclass(frozen=True, config=SETTINGS)
class Nuts:
    """The No-U-Turn sampler (Hoffman & Gelman 2014).

    batched runs many short chains at once and pools their warm-up; pyro is Pyro's own kernel, chain after chain.
    num_warmup is the most: the batched engine ends warm-up earlier once its chains agree. target_accept_prob: auto is
    0.8, or 0.65 where a trial at the end of warm-up shows that longer steps give more and nothing diverges.
    metric: dense learns correlations as soon as there are ten draws for each coordinate; diag never does.
    init and compile are for the batched engine. init: chains start at random, uniform on (-2, 2) as in Stan, or at
    draws of an approximation. compile: auto makes machine code of the density wherever that is possible.
    """

    engine: Literal["batched", "pyro"] = "batched"
    num_chains: Positive = 16
    num_warmup: Positive = 400
    num_samples: Annotated[int, Field(ge=4)] = 400
    target_accept_prob: Annotated[float, Field(gt=0, lt=1)] | Literal["auto"] = "auto"
    max_tree_depth: Annotated[int, Field(ge=1, le=20)] = 10
    metric: Literal["diag", "dense"] = "dense"
    init: Literal["uniform", "svi", "laplace"] = "uniform"
    compile: Literal["auto", "always", "never"] = "auto"
    dtype: Dtype = "float64"
    device: Device = "cpu"


Backend = Exact | Svi | Nuts

BACKENDS: dict[str, type[Backend]] = {"exact": Exact, "svi": Svi, "nuts": Nuts}
