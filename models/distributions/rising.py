"""Parameters of K exchangeable components, told apart by the order of one of them.

Under a prior that is the same for every component, the K! labellings of a draw have the same density. Keeping the one
in which the first column rises gives each draw that is left K! times the density:

    p(x) = K! prod over k, c of prior(x[k, c])    where x[1, 1] < x[2, 1] < ... < x[K, 1].
"""

from __future__ import annotations

import math
from typing import Any

import torch
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import Transform, biject_to, transform_to


class FirstColumnRises(constraints.Constraint):
    """Matrices `(K, C)` whose first column rises, of positive numbers where `positive`."""

    event_dim = 2

    def __init__(self, positive: bool) -> None:
        self.positive = positive

    def check(self, value: Tensor) -> Tensor:
        inside = (value[..., 1:, 0] > value[..., :-1, 0]).all(-1)
        return inside & (value > 0).all(-1).all(-1) if self.positive else inside


class ToRising(Transform):
    """From all matrices `(K, C)`: the first column becomes x[1], x[1] + exp(x[2]), x[1] + exp(x[2]) + exp(x[3]), ...;
    the others stay. Where `positive`, exp of all that."""

    domain = constraints.independent(constraints.real, 2)
    bijective = True

    def __init__(self, positive: bool) -> None:
        super().__init__(cache_size=0)
        self.positive, self.codomain = positive, FirstColumnRises(positive)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ToRising) and other.positive == self.positive

    def _call(self, x: Tensor) -> Tensor:
        first = torch.cat([x[..., :1, :1], x[..., 1:, :1].exp()], dim=-2).cumsum(-2)
        y = torch.cat([first, x[..., 1:]], dim=-1)
        return y.exp() if self.positive else y

    def _inverse(self, y: Tensor) -> Tensor:
        y = y.log() if self.positive else y
        gaps = (y[..., 1:, :1] - y[..., :-1, :1]).log()
        return torch.cat([torch.cat([y[..., :1, :1], gaps], dim=-2), y[..., 1:]], dim=-1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        total = x[..., 1:, 0].sum(-1)
        return total + y.log().sum((-1, -2)) if self.positive else total


@biject_to.register(FirstColumnRises)
@transform_to.register(FirstColumnRises)
def _(constraint: FirstColumnRises) -> ToRising:
    return ToRising(constraint.positive)


class Rising(TorchDistribution):
    """K components with C independent parameters each, `(K, C)`, all of one `prior` (a scalar distribution on the real
    or the positive numbers)."""

    arg_constraints: dict[str, Any] = {}

    def __init__(self, prior: TorchDistribution, components: int, columns: int) -> None:
        self.prior = prior.expand((components, columns)).to_event(2)
        super().__init__((), (components, columns), validate_args=False)

    @property
    def support(self) -> FirstColumnRises:
        return FirstColumnRises(self.prior.support.base_constraint is not constraints.real)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.prior.log_prob(value) + math.lgamma(self.event_shape[0] + 1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            drawn = self.prior.sample(torch.Size(sample_shape))
            order = drawn[..., 0].argsort(-1)
            return torch.gather(drawn, -2, order[..., None].expand(drawn.shape))
