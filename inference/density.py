"""A conditioned Pyro program as a log density with gradient on unconstrained space: `z (rows, D) -> (rows,), (rows,
D)`.

The program is traced once into a flat graph of tensor operations (`make_fx` over autograd), which is free of Pyro's
per-call cost. Rows (chains, particles, restarts) are batched by machine code made from the graph (`inference.lanes`),
or by `torch.vmap` where an operation has no translation. Data enter as arguments of the graph. Every backend that needs
gradients is written against this and nothing else.

Change of variables: with z = T^{-1}(theta) site by site, log p(z) = log p(theta, y) + log |det dT/dz|.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, fx
from torch.distributions import Transform, biject_to
from torch.fx.experimental.proxy_tensor import make_fx

from inference.arithmetic import Arithmetic
from inference.program import Program, Site
from inference.statements import NoFactor
from models.errors import InputError

if TYPE_CHECKING:
    from inference.lanes.kernel import Kernel

STEP = 1e-5  # of a standard deviation, for differences

# terms of the density that a batched graph has in memory at once, 80 MB each time it keeps them
MOST_VALUES = 10_000_000

Graph = Callable[..., tuple[Tensor, Tensor]]
Compiling = Literal["auto", "always", "never"]


class Block(NamedTuple):
    """Where a site lives in the unconstrained vector: its transform, the slice, and the shape inside the slice."""

    site: Site
    transform: Transform
    part: slice
    shape: tuple[int, ...]


class Trace(NamedTuple):
    """A program's graph for one row, and for many; `untraced`: why there is none, in words."""

    graph: Graph
    batched: Graph
    untraced: str | None


class LogDensity:
    """The log density of a program's latent sites given its data, up to the evidence.

    size: D, the length of the unconstrained vector; sites lie in it in the order of the program.
    jacobian=False leaves log |det dT/dz| out: its maximum is the mode on the sites' own scale.
    evaluations: gradients computed so far, one for each row.
    kernel: the machine code, None before `settle` and where there is none. uncompiled: why there is none, in words.
    dtype, device: what the program computes with, and where; z, values and gradients are float64 on the CPU throughout.
    """

    def __init__(self, program: Program, jacobian: bool = True, dtype: str = "float64", device: str = "cpu") -> None:
        self.program, self.jacobian = program, jacobian
        self._arithmetic = Arithmetic.of(dtype, device)
        self.blocks: list[Block] = []
        start = 0
        for site in program.latent:
            transform = transform_of(program, site)
            shape = tuple(transform.inverse_shape(torch.Size(site.shape)))
            stop = start + math.prod(shape)
            self.blocks.append(Block(site, transform, slice(start, stop), shape))
            start = stop
        self.size = start
        self.evaluations = 0
        self.kernel: Kernel | None = None
        self.uncompiled = None if self._arithmetic.usual else "machine code is for float64 on the cpu"
        self._inner = self._arithmetic.moved(program)
        self._transforms = [transform_of(program, site) for site in self._inner.latent]
        tensors = {**{k: v for k, v in self._inner.inputs.items() if isinstance(v, Tensor)}, **self._inner.values}
        # make_fx merges arguments that are one tensor: two names for the same column must stay two
        self._data = [value.clone() for value in tensors.values()]
        self._names = list(tensors)
        self._settled: tuple[int, Graph | None] = 0, None
        self._most_rows = max(1, MOST_VALUES // max(1, sum(value.numel() for value in program.values.values())))

    def settle(self, rows: int, compiling: Compiling) -> None:
        """Get ready for batches of `rows`: machine code, or, where `never` or an operation stands in the way, the graph
        traced once more without vmap's own cost.

        Machine code costs about half a second. The choice never goes by the clock: rounding differs between the two,
        and the same settings must give the same draws. InputError where code is asked for by `always` and impossible.
        """
        if self.kernel is None and self.uncompiled is None and compiling != "never":
            self._compile(rows)
        if compiling == "always" and self.kernel is None:
            why = self.untraced or self.uncompiled
            raise InputError("compile", f"this density cannot be compiled ({why})", "use `auto`")
        if self.untraced is None and self.kernel is None:
            graph = make_fx(self._trace.batched)(torch.zeros(rows, self.size), *self._data)
            graph.graph.eliminate_dead_code()
            graph.recompile()
            self._settled = rows, graph

    def _compile(self, rows: int) -> None:
        """Machine code from a recorded run; by way of the traced graph where that has what a record cannot have."""
        from inference.lanes import recorder
        from inference.lanes.kernel import Kernel, Unsupported

        threads = torch.get_num_threads()
        try:
            try:
                outputs = recorder.record(self._value_and_gradient, self.size, self._data, torch.zeros(self.size))
            except Unsupported:
                if self.untraced is not None:
                    return
                from inference.lanes import reader

                assert isinstance(self._trace.graph, fx.GraphModule)
                outputs = reader.read(self._trace.graph, self.size, self._data)
            self.kernel = Kernel(outputs, self.size, self._data, rows, threads)
        except Unsupported as error:
            self.uncompiled = str(error)

    @property
    def untraced(self) -> str | None:
        """Why the program has no graph; None where it has one, or machine code."""
        return None if self.kernel is not None else self._trace.untraced

    def one(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Log density, a scalar, and gradient `(D,)` at `z (D,)`."""
        if self.kernel is not None:
            value, gradient = self(z[None])
            return value[0], gradient[0]
        self.evaluations += 1
        try:
            return self._trace.graph(z, *self._data)
        except NoFactor:
            # a trial step may make a matrix that has no factor: there is no density there
            return torch.tensor(-torch.inf), torch.full_like(z, torch.nan)

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Log density `(rows,)` and gradient `(rows, D)` at `z (rows, D)`."""
        if self.kernel is not None:
            self.evaluations += len(z)
            value, gradient = self.kernel(z.detach().numpy())
            return torch.from_numpy(value), torch.from_numpy(gradient)
        if len(z) > self._most_rows:
            parts = [self(part) for part in z.split(self._most_rows)]
            return torch.cat([value for value, _ in parts]), torch.cat([gradient for _, gradient in parts])
        if self.untraced is None:
            try:
                rows, graph = self._settled
                found = (graph if graph is not None and len(z) == rows else self._trace.batched)(z, *self._data)
            except NoFactor:
                pass  # one bad row spoils the batch: find it row by row
            else:
                self.evaluations += len(z)
                return found
        values, gradients = zip(*(self.one(row) for row in z), strict=True)
        return torch.stack(values), torch.stack(gradients)

    def hessian(self, z: Tensor) -> Tensor:
        """Second derivatives of the log density at `z (D,)`, `(D, D)`, symmetric.

        PyTorch's own, held to a difference of gradients along one direction: an operation whose gradient it cannot
        differentiate (a hidden Markov chain's forward-backward recursion, for one) does not say so. Where they are two
        things, all of them are differences of gradients, right to some 8 digits.
        """
        matrix: Any = torch.autograd.functional.hessian(lambda point: self._value(point, self._data), z)
        matrix = ((matrix + matrix.T) / 2).detach()
        # steps in units of what one coordinate alone is known to, by the order of magnitude
        unit = torch.minimum(matrix.diagonal().abs() ** -0.5, z.abs().clamp(min=1.0))
        direction = unit * torch.randn(self.size, generator=torch.Generator().manual_seed(0), dtype=z.dtype)
        slope = self._change_of_gradient(z, direction[None])[0]
        wrong = torch.linalg.vector_norm(unit * (matrix @ direction - slope))
        if not self._arithmetic.usual or not bool(wrong > 0.01 * torch.linalg.vector_norm(unit * slope)):
            return matrix
        columns = self._change_of_gradient(z, unit.diag()) / unit[:, None]
        return (columns + columns.T) / 2

    def _change_of_gradient(self, z: Tensor, directions: Tensor) -> Tensor:
        """The derivative of the gradient at `z (D,)` along each of `directions (rows, D)`, `(rows, D)`."""
        ahead, behind = (self(z + sign * STEP * directions)[1] for sign in (1, -1))
        return (ahead - behind) / (2 * STEP)

    def remarks(self, draws: Mapping[str, Any]) -> dict[str, Any]:
        """Facts for the manifest that the reader of `draws` (by site) must know: why there is no graph, what was held
        and what was left out."""
        return {
            "untraced": self.untraced,
            "held_parameters": list(self.program.parameters),
            "states_left_out": [site.name for site in self.program.discrete if site.name not in draws],
        }

    def constrain(self, z: Tensor) -> dict[str, Tensor]:
        """Named values on the sites' own scale, `(*batch, *shape)`, from `z (*batch, D)`."""
        return {b.site.name: b.transform(z[..., b.part].reshape((*z.shape[:-1], *b.shape))) for b in self.blocks}

    def unconstrain(self, values: Mapping[str, Tensor]) -> Tensor:
        """The inverse of `constrain`, `(*batch, D)`."""
        parts = []
        for b in self.blocks:
            value = values[b.site.name]
            batch = value.shape[: value.dim() - len(b.site.shape)]
            parts.append(b.transform.inv(value).reshape((*batch, b.part.stop - b.part.start)))
        return torch.cat(parts, dim=-1)

    def start(self, generator: torch.Generator, tries: int = 100) -> Tensor:
        """A starting point `(D,)` where density and gradient are finite: uniform on (-2, 2) as in Stan, but for sites
        whose start the model gives.

        InputError names site, row and value of the first term that is not finite, where no try succeeds.
        """
        for _ in range(tries):
            z = self._moved(torch.rand(self.size, generator=generator) * 4 - 2, generator)
            value, gradient = self.one(z)
            if bool(torch.isfinite(value)) and bool(torch.isfinite(gradient).all()):
                return z
        fault = self.program.first_fault(self.constrain(z)) or "the gradient is not finite though every term is"
        raise InputError(
            f"{self.program.name}: no starting point in {tries} tries",
            fault,
            "check priors, data and the program at that value",
        )

    def _moved(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """`z (D,)` with the sites whose start the model gives at that start."""
        if self.program.starts is None:
            return z
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        values = self.program.starts(rng)
        for block in self.blocks:
            if block.site.name in values:
                value = torch.as_tensor(np.asarray(values[block.site.name], dtype=float))
                z[block.part] = block.transform.inv(value).reshape(-1)
        return z

    def _value(self, z: Tensor, data: list[Tensor]) -> Tensor:
        named = dict(zip(self._names, data, strict=True))
        latents: dict[str, Tensor] = {}
        correction: Any = 0.0
        z = self._arithmetic.put(z)
        for block, transform in zip(self.blocks, self._transforms, strict=True):
            free = z[block.part].reshape(block.shape)
            latents[block.site.name] = value = transform(free)
            if self.jacobian:
                correction = correction + transform.log_abs_det_jacobian(free, value).sum()
        inputs = {key: named.get(key, value) for key, value in self.program.inputs.items()}
        values = {key: named[key] for key in self.program.values}
        with self._arithmetic.inside():
            value = replace(self.program, inputs=inputs, values=values).log_joint(latents) + correction
        return value.to("cpu", torch.float64)

    def _value_and_gradient(self, z: Tensor, *data: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            value = self._value(z, list(data))
            if not value.requires_grad:  # nothing of it depends on z
                return value, torch.zeros_like(z)
            (gradient,) = torch.autograd.grad(value, z)
        return value.detach(), gradient

    @cached_property
    def _trace(self) -> Trace:
        """The program as a graph, and batched; as plain Pyro where its path depends on its values."""
        try:
            graph = make_fx(self._value_and_gradient, WITHOUT_MASKS)(torch.zeros(self.size), *self._data)
            graph.graph.eliminate_dead_code()
            graph.recompile()
            batched = torch.vmap(graph, in_dims=(0, *[None] * len(self._data)))
            # a mask that depends on latent values has no batching rule, and its graph the sizes of one point
            batched(torch.zeros(1, self.size), *self._data)
        except RuntimeError as error:
            return Trace(self._value_and_gradient, self._value_and_gradient, first_line(error))
        return Trace(graph, batched, None)


def first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def transform_of(program: Program, site: Site) -> Transform:
    """From unconstrained space to the site's support; InputError where there is no such map."""
    try:
        return biject_to(site.support)
    except NotImplementedError:
        raise InputError(
            f"{program.name}, site `{site.name}` ({site.distribution})",
            "has a support that no transform reaches from unconstrained space",
            "write it with another distribution, or sum it out in the program",
        ) from None


def put_where(x: Tensor, indices: list[Tensor | None], values: Tensor, accumulate: bool = False) -> Tensor:
    """`x[mask] = number` as a choice between the two, which `torch.vmap` can batch (Multinomial has such a line)."""
    mask = indices[0]
    if mask is None or mask.dtype != torch.bool or len(indices) > 1 or values.numel() > 1 or accumulate:
        return NotImplemented
    return torch.where(mask.reshape((*mask.shape, *[1] * (x.dim() - mask.dim()))), values.reshape(()), x)


def put_where_(x: Tensor, *arguments: Any) -> Tensor:
    """The same in place."""
    found = put_where(x, *arguments)
    return found if found is NotImplemented else x.copy_(found)


WITHOUT_MASKS: Any = {torch.ops.aten.index_put.default: put_where, torch.ops.aten.index_put_.default: put_where_}
