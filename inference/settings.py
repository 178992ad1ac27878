"""The settings of every backend, as records that a config, a schema and a notebook share. No tensors here: reading a
config must not cost the import of PyTorch. Words are NumPyro's and ArviZ's.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from models.settings import SETTINGS

Positive = Annotated[int, Field(ge=1)]


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


@dataclass(frozen=True, config=SETTINGS)
class Nuts:
    """The No-U-Turn sampler (Hoffman & Gelman 2014).

    batched runs many short chains at once and pools their warm-up; pyro is Pyro's own kernel, chain after chain.
    compile is for the batched engine: auto compiles the density where a long run repays it.
    """

    engine: Literal["batched", "pyro"] = "batched"
    num_chains: Positive = 16
    num_warmup: Positive = 400
    num_samples: Annotated[int, Field(ge=4)] = 400
    target_accept_prob: Annotated[float, Field(gt=0, lt=1)] = 0.8
    max_tree_depth: Annotated[int, Field(ge=1, le=20)] = 10
    metric: Literal["diag", "dense"] = "diag"
    compile: Literal["auto", "always", "never"] = "auto"


Backend = Exact | Svi | Nuts

BACKENDS: dict[str, type[Backend]] = {"exact": Exact, "svi": Svi, "nuts": Nuts}
