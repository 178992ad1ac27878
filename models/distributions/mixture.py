"""Rows of numbers that each come from one of K components, with the component summed out.

    log p(y[n])  =  log sum over k of exp(log_weights[k] + log f(y[n] | k))

f is a multivariate normal, or with nu a multivariate Student t, of location, scale and correlation. With
u = (y - loc) / scale, C C^T the correlation and r = |C^-1 u|^2 over the d cells that are there:

    normal       -(r + d log 2 pi) / 2 - sum log scale - log det C
    Student t    log G((nu + d) / 2) - log G(nu / 2) - d log(nu pi) / 2 - (nu + d) log(1 + r / nu) / 2 - the same

Cells that are not there are summed out: their rows and columns of the correlation become those of the identity, their
u becomes 0, and that matrix is factored anew for each row (Little & Rubin, Statistical Analysis with Missing Data,
chapter 11). Factors and solutions are written element by element, each `(K,)` or `(K, rows)`: features are few, no
factorisation of a library has machine code, and none computes less.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

Lower = list[list[Tensor]]  # rows of a lower triangle


class There(NamedTuple):
    """Which cells are there, bool `(rows, D)`, and what the others hold, `(D,)`."""

    cells: Tensor
    fill: Tensor


class Mixture(TorchDistribution):
    """`num_rows` rows of D features. log_weights: `(K,)`. loc, scale: `(K, D)`. factor: lower triangular factors of
    the correlations, elements `(K,)`; None: all features are independent given the component. nu: degrees of freedom
    `(K,)`; None: normal components."""

    arg_constraints = {"log_weights": constraints.real_vector, "loc": constraints.real, "scale": constraints.positive}
    support = constraints.real_vector

    def __init__(
        self,
        num_rows: int,
        log_weights: Tensor,
        loc: Tensor,
        scale: Tensor,
        factor: Lower | None = None,
        nu: Tensor | None = None,
        there: There | None = None,
    ) -> None:
        self.log_weights, self.loc, self.scale = log_weights, loc, scale
        self.factor, self.nu, self.there = factor, nu, there
        super().__init__(torch.Size((num_rows,)), loc.shape[-1:], validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Mixture:
        if torch.Size(batch_shape) != self.batch_shape:
            raise NotImplementedError(f"rows are {tuple(self.batch_shape)}, asked for {tuple(batch_shape)}")
        return self

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of every row, `(rows,)`."""
        return torch.logsumexp(self.log_joint(value), dim=0)

    def log_joint(self, value: Tensor) -> Tensor:
        """log of weight times density of every component for every row, `(K, rows)`."""
        size = self.loc.shape[-1]
        u = [(value[:, j] - self.loc[:, j : j + 1]) / self.scale[:, j : j + 1] for j in range(size)]
        factor = self.factor and [[element.unsqueeze(-1) for element in row] for row in self.factor]
        log_scale = self.scale.log()
        count: Any = float(size)
        log_det = log_scale.sum(-1, keepdim=True)
        if self.there is not None:
            here = [self.there.cells[:, j] for j in range(size)]
            u = [torch.where(here[j], u[j], 0.0) for j in range(size)]
            log_det = sum_of([torch.where(here[j], log_scale[:, j : j + 1], 0.0) for j in range(size)])
            count = self.there.cells.to(value.dtype).sum(-1)
            factor = factor and of_rows(factor, here)
        if factor:
            log_det = log_det + log_diagonal(factor)
            u = solved(factor, u)
        distance = sum_of([v * v for v in u])
        if self.nu is None:
            log_f = -0.5 * (distance + count * math.log(2 * math.pi)) - log_det
        else:
            nu = self.nu.unsqueeze(1)
            log_f = torch.lgamma(0.5 * (nu + count)) - torch.lgamma(0.5 * nu) - 0.5 * count * (nu * math.pi).log()
            log_f = log_f - 0.5 * (nu + count) * torch.log1p(distance / nu) - log_det
        return self.log_weights.unsqueeze(1) + log_f

    def responsibilities(self, value: Tensor) -> Tensor:
        """P(component k | row n, parameters), `(rows, K)`."""
        return torch.softmax(self.log_joint(value), dim=0).T

    def draw_components(self, value: Tensor) -> Tensor:
        """The component of each row, drawn given the row and the parameters, int64 `(rows,)`."""
        return chosen(self.log_joint(value))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Rows as they would be seen: cells that are not there hold the fill."""
        with torch.no_grad():
            shape = torch.Size(sample_shape) + self.batch_shape
            k = chosen(self.log_weights[:, None].expand(-1, shape.numel()))
            noise = torch.randn((shape.numel(), self.loc.shape[-1]), dtype=self.loc.dtype)
            if self.factor is not None:
                chosen_rows = [[element[k] for element in row] for row in self.factor]
                noise = torch.stack(
                    [sum_of([c * noise[:, i] for i, c in enumerate(row)]) for row in chosen_rows], dim=-1
                )
            if self.nu is not None:
                half = 0.5 * self.nu[k]
                noise = noise * (half / torch.distributions.Gamma(half, 1.0).sample()).sqrt().unsqueeze(-1)
            rows = (self.loc[k] + self.scale[k] * noise).reshape(shape + self.event_shape)
            return rows if self.there is None else torch.where(self.there.cells, rows, self.there.fill)


def chosen(log_weights: Tensor) -> Tensor:
    """One index for each column of `log_weights (K, rows)`, drawn by weight (Gumbel's maximum), int64 `(rows,)`."""
    tiny = torch.finfo(log_weights.dtype).tiny
    return (log_weights - (-torch.rand_like(log_weights).clamp_min(tiny).log()).log()).argmax(dim=0)


def solved(factor: Lower, u: list[Tensor]) -> list[Tensor]:
    """C^-1 u, element by element."""
    v: list[Tensor] = []
    for row, right in zip(factor, u, strict=True):
        for c, known in zip(row, v, strict=False):
            right = right - c * known
        v.append(right / row[-1])
    return v


def log_diagonal(factor: Lower) -> Tensor:
    """The logarithm of the diagonal's product."""
    product = factor[0][0]
    for row in factor[1:]:
        product = product * row[-1]
    return product.log()


def of_rows(factor: Lower, here: list[Tensor]) -> Lower:
    """Factors `(K, rows)` of each row's correlation, in which features that are not `here` are independent."""
    correlation = products(factor)
    found: Lower = []
    for i, here_i in enumerate(here):
        row: list[Tensor] = []
        for j in range(i):
            left = torch.where(here_i & here[j], correlation[i][j], 0.0)
            for a, b in zip(row, found[j], strict=False):
                left = left - a * b
            row.append(left / found[j][j])
        own = torch.ones_like(here_i, dtype=correlation[0][0].dtype)
        for a in row:
            own = own - a * a
        found.append([*row, own.sqrt()])
    return found


def products(factor: Lower) -> Lower:
    """C C^T, its lower triangle."""
    return [
        [sum_of([a * b for a, b in zip(factor[i], factor[j], strict=False)]) for j in range(i + 1)]
        for i in range(len(factor))
    ]


def sum_of(terms: list[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


class Partial(TorchDistribution):
    """The partial correlations that make a correlation matrix of `size` features, one for each pair (i, j), i > j, in
    the order (1, 0), (2, 0), (2, 1), ...: of i and j given all features before j.

    They are independent where the matrix is LKJ (Lewandowski, Kurowicka & Joe 2009, section 2):
    (1 + p) / 2 ~ Beta(b, b), b = concentration + (size - 2 - j) / 2, features counted from 0.
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.independent(constraints.interval(-1.0, 1.0), 1)

    def __init__(self, concentration: float, size: int, batch_shape: Any = ()) -> None:
        self.concentration, self.size = concentration, size
        column = torch.tensor([j for _, j in pairs(size)], dtype=torch.get_default_dtype())
        self.b = concentration + 0.5 * (size - 2 - column)
        super().__init__(torch.Size(batch_shape), self.b.shape, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Partial:
        return Partial(self.concentration, self.size, batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        constant = torch.lgamma(2 * self.b) - 2 * torch.lgamma(self.b) - (2 * self.b - 1) * math.log(2)
        return ((self.b - 1) * (torch.log1p(-value) + torch.log1p(value)) + constant).sum(-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            b = self.b.expand(self._extended_shape(torch.Size(sample_shape)))
            return 2 * torch.distributions.Beta(b, b).sample() - 1


def pairs(size: int) -> list[tuple[int, int]]:
    """(1, 0), (2, 0), (2, 1), ... below the diagonal of a matrix."""
    return [(i, j) for i in range(size) for j in range(i)]


def factor_of(partial: Tensor, size: int) -> Lower:
    """The lower triangular factor of the correlation matrix with partial correlations `(*batch, pairs)`, elements
    `(*batch,)`: element (i, j) is p[i, j] times the root of the product over k < j of 1 - p[i, k]^2."""
    found: Lower = []
    pair = 0
    for i in range(size):
        left = torch.ones_like(partial[..., 0])
        row: list[Tensor] = []
        for _ in range(i):
            p = partial[..., pair]
            row.append(p * left)
            left = left * (1 - p * p).sqrt()
            pair += 1
        found.append([*row, left])
    return found
