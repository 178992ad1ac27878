"""One master seed, named streams: every use of randomness has a name, and its numbers depend on seed and name alone."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def stream(seed: int, *names: str | int) -> int:
    """A seed below 2**31 for a named use, for instance `stream(7, "nuts", "chain", 2)`."""
    words = "/".join(str(name) for name in (seed, *names))
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:4], "big") >> 1


@contextmanager
def workspace(seed: int, num_threads: int = 1) -> Iterator[None]:
    """Run a block as if the process were fresh, and leave the process as it was.

    Inside: Pyro's, PyTorch's, NumPy's and Python's generators start from `seed`; the parameter store is empty; new
    tensors are float64 and record gradients; distributions do not check their arguments (the data were checked at the
    door; a sampler's trial steps may leave the support); PyTorch uses `num_threads` threads.
    """
    import pyro
    import torch

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    fixed_order, warned = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(num_threads)
        # operations without a batching rule are looped over, which is slower and no concern of the user's
        torch._C._functorch._set_vmap_fallback_warning_enabled(False)  # type: ignore[attr-defined]  # not in its stubs
        pyro.set_rng_seed(seed)
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            pyro.get_param_store().scope(),
            pyro.validation_enabled(False),
        ):
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        if torch.are_deterministic_algorithms_enabled() != fixed_order:
            # only then: the call imports PyTorch's compiler
            torch.use_deterministic_algorithms(fixed_order, warn_only=warned)
        if devices is not None:
            torch.cuda.set_rng_state_all(devices)
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
