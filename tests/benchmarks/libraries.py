"""How each library fits a problem: one generator each, `(problem, data, chains, warmup, draws, **own)`, whose first
fit finds nothing compiled and whose later ones, each from another seed, are what is timed.

Every library is imported in its own function, so that a fresh process pays for one of them alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from measure import Clock, Fit
from problems import Arrays

SEEDS = range(11, 1000)


def pyrozoo(problem: str, data: Arrays, chains: int, warmup: int, draws: int) -> Iterator[Fit]:
    from pyro_programs import PROGRAMS, inputs

    from inference import Nuts, fit
    from models.base import Data

    program = PROGRAMS[problem]
    # its program of the hidden Markov chain adds a factor, and takes what is observed as an argument
    given = Data({"y": data["y"]}) if problem == "hidden_markov" else Data(inputs(problem, data), {"y": data["y"]})
    settings = Nuts(num_chains=chains, num_warmup=warmup, num_samples=draws)
    bare = None
    for seed in SEEDS:
        clock = Clock()
        posterior = fit(program, given, settings, seed=seed, num_threads=2)
        # tracing and compiling are set-up; all the rest is counted, the way back to named values included
        seconds = clock.read()[0] - posterior.seconds["setup"]
        facts = {"gradients": posterior.facts["gradients"], "compiled": posterior.facts["compiled"]}
        facts["tick_us"] = 1e6 * (posterior.seconds["warmup"] + posterior.seconds["sampling"]) / facts["gradients"]
        if seed != SEEDS[0]:
            bare = bare or bare_gradient(program, given, chains)
            facts["bare_us"] = bare
        yield Fit(posterior.draws, seconds, None, facts)


def bare_gradient(program: Callable[..., None], data: Any, rows: int) -> float:
    """Microseconds of a gradient for each chain, without the sampler."""
    import torch

    from inference.density import LogDensity
    from inference.program import read
    from inference.streams import workspace

    with workspace(0, 2):
        density = LogDensity(read(program, data))
        density.settle(rows, "auto")
        z = 0.1 * torch.randn(rows, density.size)
        for _ in range(5):
            density(z)
        calls, began = 0, time.perf_counter()
        while time.perf_counter() - began < 0.5:
            density(z)
            calls += 1
        return 1e6 * (time.perf_counter() - began) / calls / rows


def pyro(problem: str, data: Arrays, chains: int, warmup: int, draws: int, jit: bool) -> Iterator[Fit]:
    """Pyro's own `MCMC(NUTS(program))`, a process for each chain where there are several.

    The clock of a single chain starts with its first transition done: Pyro compiles on the way there.
    """
    import pyro as library
    import torch
    from pyro.infer import MCMC, NUTS
    from pyro_programs import PROGRAMS, hidden_markov_of_pyro, inputs

    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    library.enable_validation(False)
    program = hidden_markov_of_pyro if problem == "hidden_markov" else PROGRAMS[problem]
    given = {k: torch.as_tensor(v) if isinstance(v, np.ndarray) else v for k, v in inputs(problem, data).items()}
    conditioned = library.condition(program, {"y": torch.as_tensor(data["y"])})
    for seed in SEEDS:
        library.set_rng_seed(seed)
        clocks: list[Clock] = []

        def start(*_: Any, clocks: list[Clock] = clocks) -> None:
            if not clocks:
                clocks.append(Clock())

        kernel = NUTS(conditioned, jit_compile=jit, ignore_jit_warnings=True)
        several = {"mp_context": "fork"} if chains > 1 else {"hook_fn": start}
        began = Clock()
        mcmc = MCMC(kernel, draws, warmup, num_chains=chains, disable_progbar=True, **several)
        mcmc.run(**given)
        seconds, busy = (clocks or [began])[0].read()
        found = {name: value.numpy() for name, value in mcmc.get_samples(group_by_chain=True).items()}
        yield Fit(found, seconds, busy, {})


def numpyro(problem: str, data: Arrays, chains: int, warmup: int, draws: int, method: str) -> Iterator[Fit]:
    """`MCMC.run` would compile its program anew every time, some seconds in each: the compiled one of the first run is
    kept, and every fit is wholly in it, its starting points included."""
    import jax
    import numpyro as library
    from numpyro.infer import MCMC, NUTS
    from numpyro_programs import PROGRAMS

    library.enable_x64()
    kept: list[Callable[..., Any]] = []

    def chain_method(one: Callable[..., Any]) -> Callable[..., Any]:
        if not kept:
            kept.append(jax.pmap(one) if method == "parallel" else jax.jit(jax.vmap(one)))
        return kept[0]

    mcmc = MCMC(
        NUTS(PROGRAMS[problem]), num_warmup=warmup, num_samples=draws, num_chains=chains, chain_method=chain_method,
        progress_bar=False,
    )  # fmt: skip
    arrays = {name: jax.numpy.asarray(value) for name, value in data.items()}
    for seed in SEEDS:
        clock = Clock()
        mcmc.run(jax.random.PRNGKey(seed), **arrays)
        found = {name: np.asarray(value) for name, value in mcmc.get_samples(group_by_chain=True).items()}
        seconds, busy = clock.read()
        assert all(value.dtype == np.float64 for value in found.values())
        yield Fit(found, seconds, busy, {"devices": jax.local_device_count()})


def nutpie(problem: str, data: Arrays, chains: int, warmup: int, draws: int, backend: str) -> Iterator[Fit]:
    import nutpie as library
    import pymc
    from pymc_programs import PROGRAMS

    with pymc.Model() as model:
        PROGRAMS[problem](**data)
    gradient = {"gradient_backend": "jax"} if backend == "jax" else {}
    compiled = library.compile_pymc_model(model, backend=backend, **gradient)
    for seed in SEEDS:
        clock = Clock()
        tree = library.sample(
            compiled, draws=draws, tune=warmup, chains=chains, cores=2, seed=seed, progress_bar=False, save_warmup=False
        )
        found = {name: value.values for name, value in tree["posterior"].data_vars.items()}
        yield Fit(found, *clock.read(), {})


def stan(problem: str, data: Arrays, chains: int, warmup: int, draws: int) -> Iterator[Fit]:
    """Through PyStan, whose wheel holds Stan; the machine's own C++ compiler builds the program."""
    import contextlib
    import io

    import stan as library
    from stan_programs import PROGRAMS, given

    for seed in SEEDS:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            model = library.build(PROGRAMS[problem], data=given(problem, data), random_seed=seed)
            clock = Clock()
            found = model.sample(num_chains=chains, num_warmup=warmup, num_samples=draws)
            seconds = clock.read()[0]
        # PyStan holds (*shape, draws * chains), chains running fastest
        arrays = {
            name: np.moveaxis(np.asarray(found[name]).reshape(*shape, draws, chains), (-1, -2), (0, 1))
            for name, shape in zip(found.param_names, found.dims, strict=True)
        }
        yield Fit(arrays, seconds, None, {})


LIBRARIES: dict[str, Callable[..., Iterator[Fit]]] = {
    "pyrozoo": pyrozoo,
    "pyro": pyro,
    "numpyro": numpyro,
    "nutpie": nutpie,
    "stan": stan,
}
