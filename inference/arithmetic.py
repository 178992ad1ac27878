"""The type of a density's numbers, and the device that they are on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from inference.program import Program
from inference.statements import prior_trace
from models.errors import InputError


class Arithmetic(NamedTuple):
    """What a program computes with. Outside of it (samplers, draws, maps between scales) numbers are float64 on the
    CPU."""

    dtype: torch.dtype
    device: str

    @classmethod
    def of(cls, dtype: str, device: str) -> Arithmetic:
        """dtype: `float64`, `float32`. device: `cpu`, `cuda`. InputError where there is no such device."""
        if device == "cuda":
            if not torch.cuda.is_available():
                raise InputError("device", "PyTorch finds no CUDA device on this machine", "use `cpu`")
            # sums whose order is left to chance would make two runs differ; `workspace` takes this back
            torch.use_deterministic_algorithms(True, warn_only=True)
        return cls({"float64": torch.float64, "float32": torch.float32}[dtype], device)

    @property
    def usual(self) -> bool:
        return self.dtype == torch.float64 and self.device == "cpu"

    def put(self, value: Tensor) -> Tensor:
        """A tensor there; whole numbers stay whole."""
        return value.to(self.device, self.dtype if value.is_floating_point() else value.dtype)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """New tensors are of this type and on this device."""
        before = torch.get_default_dtype()
        torch.set_default_dtype(self.dtype)
        try:
            with torch.device(self.device) if self.device != "cpu" else nullcontext():
                yield
        finally:
            torch.set_default_dtype(before)

    def moved(self, program: Program) -> Program:
        """The program with its data and the bounds of its supports there."""
        if self.usual:
            return program
        with self.inside():
            inputs = {k: self.put(value) if isinstance(value, Tensor) else value for k, value in program.inputs.items()}
            values = {key: self.put(value) for key, value in program.values.items()}
            nodes = prior_trace(program.model, inputs).nodes
            latent = tuple(site._replace(support=nodes[site.name]["fn"].support) for site in program.latent)
            return replace(program, inputs=inputs, values=values, latent=latent)
