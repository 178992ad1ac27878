"""How each library fits a problem: one generator each, `(problem, data, chains, warmup, draws, **own)`, whose first
fit finds nothing compiled and whose later ones, each from another seed, are what is timed.

Every library is imported in its own function, so that a fresh process pays for one of them alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from measure import Fit
from problems import Arrays

SEEDS = range(11, 1000)


def pyrozoo(
    problem: str, data: Arrays, chains: int, warmup: int, draws: int, threads: int, engine: str, compiling: str
) -> Iterator[Fit]:
    from pyro_programs import PROGRAMS

    import inference.run  # noqa: F401  # its import is part of a fresh process, not of a fit
    from inference import Nuts, fit
    from models.base import Data

    program = PROGRAMS[problem]
    if problem == "mixture":
        given = Data({"num_rows": len(data["y"])}, {"y": data["y"]})
    elif problem == "hidden_markov":
        given = Data({"y": data["y"]})
    else:
        given = Data({name: value for name, value in data.items() if name != "y"}, {"y": data["y"]})
    settings = Nuts(engine=engine, num_chains=chains, num_warmup=warmup, num_samples=draws, compile=compiling)
    bare = None
    for seed in SEEDS:
        began = time.perf_counter()
        posterior = fit(program, given, settings, seed=seed, num_threads=threads)
        # tracing is set-up; all the rest is counted, the way back to named values included
        seconds = time.perf_counter() - began - posterior.seconds["setup"]
        facts = {"threads": threads, "steps": float(posterior.sample_stats["n_steps"].sum()), **posterior.facts}
        facts |= {f"{part}_s": value for part, value in posterior.seconds.items()}
        facts["tick_us"] = 1e6 * (posterior.seconds["warmup"] + posterior.seconds["sampling"]) / facts["gradients"]
        if seed != SEEDS[0] and engine == "batched":
            bare = bare or bare_gradient(program, given, chains, threads, facts["compiled"])
            facts["bare_us"] = bare
        yield Fit(posterior.draws, seconds, facts)


def bare_gradient(program: Callable[..., None], data: Any, rows: int, threads: int, compiled: bool) -> float:
    """Microseconds of a gradient for each chain, without the sampler."""
    import torch

    from inference.density import LogDensity
    from inference.program import read
    from inference.streams import workspace

    with workspace(0, threads):
        density = LogDensity(read(program, data))
        density.settle(rows, 0, "always" if compiled else "never")
        z = 0.1 * torch.randn(rows, density.size)
        for _ in range(5):
            density(z)
        calls, began = 0, time.perf_counter()
        while time.perf_counter() - began < 0.5:
            density(z)
            calls += 1
        return 1e6 * (time.perf_counter() - began) / calls / rows


def pyro(problem: str, data: Arrays, chains: int, warmup: int, draws: int) -> Iterator[Fit]:
    """Pyro's own `MCMC(NUTS(program))`, one process a chain, two at a time at most."""
    import pyro as library
    import torch
    from pyro.infer import MCMC, NUTS
    from pyro_programs import PROGRAMS, hidden_markov_of_pyro

    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    library.enable_validation(False)
    program = hidden_markov_of_pyro if problem == "hidden_markov" else PROGRAMS[problem]
    inputs: dict[str, Any] = {name: torch.as_tensor(value) for name, value in data.items() if name != "y"}
    if problem in ("mixture", "hidden_markov"):
        inputs = {"num_rows": len(data["y"])}
    conditioned = library.condition(program, {"y": torch.as_tensor(data["y"])})
    for seed in SEEDS:
        library.set_rng_seed(seed)
        kernel = NUTS(conditioned)
        context = "fork" if chains > 1 else None
        mcmc = MCMC(kernel, draws, warmup, num_chains=chains, disable_progbar=True, mp_context=context)
        began = time.perf_counter()
        mcmc.run(**inputs)
        seconds = time.perf_counter() - began
        found = {name: value.numpy() for name, value in mcmc.get_samples(group_by_chain=True).items()}
        yield Fit(found, seconds, {})


def numpyro(problem: str, data: Arrays, chains: int, warmup: int, draws: int, method: str) -> Iterator[Fit]:
    import jax
    import numpyro as library
    from numpyro.infer import MCMC, NUTS
    from numpyro_programs import PROGRAMS

    library.enable_x64()
    mcmc = MCMC(
        NUTS(PROGRAMS[problem]), num_warmup=warmup, num_samples=draws, num_chains=chains, chain_method=method,
        progress_bar=False,
    )  # fmt: skip
    arrays = {name: jax.numpy.asarray(value) for name, value in data.items()}
    for seed in SEEDS:
        began = time.perf_counter()
        mcmc.run(jax.random.PRNGKey(seed), **arrays)
        found = {name: np.asarray(value) for name, value in mcmc.get_samples(group_by_chain=True).items()}
        seconds = time.perf_counter() - began
        assert all(value.dtype == np.float64 for value in found.values())
        yield Fit(found, seconds, {"devices": jax.local_device_count()})


def nutpie(problem: str, data: Arrays, chains: int, warmup: int, draws: int, backend: str) -> Iterator[Fit]:
    import nutpie as library
    import pymc
    from pymc_programs import PROGRAMS

    with pymc.Model() as model:
        PROGRAMS[problem](**data)
    gradient = {"gradient_backend": "jax"} if backend == "jax" else {}
    compiled = library.compile_pymc_model(model, backend=backend, **gradient)
    for seed in SEEDS:
        began = time.perf_counter()
        tree = library.sample(compiled, draws=draws, tune=warmup, chains=chains, cores=2, seed=seed, progress_bar=False)
        found = {name: value.values for name, value in tree["posterior"].data_vars.items()}
        yield Fit(found, time.perf_counter() - began, {})


def stan(problem: str, data: Arrays, chains: int, warmup: int, draws: int) -> Iterator[Fit]:
    """Through PyStan, whose wheel holds Stan; the machine's own C++ compiler builds the program."""
    import contextlib
    import io

    import stan as library
    from stan_programs import PROGRAMS

    given: dict[str, Any] = {"N": len(data["y"])}
    for name, value in data.items():
        if name == "x":
            given |= {"x": value, "D": value.shape[1]}
        elif name == "group":
            given["group"] = (value + 1).tolist()
        else:
            given["y"] = value if problem in ("mixture", "hidden_markov") else value.astype(int).tolist()
    for seed in SEEDS:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            model = library.build(PROGRAMS[problem], data=given, random_seed=seed)
            began = time.perf_counter()
            found = model.sample(num_chains=chains, num_warmup=warmup, num_samples=draws)
            seconds = time.perf_counter() - began
        # PyStan holds (*shape, draws * chains), chains running fastest
        arrays = {
            name: np.moveaxis(np.asarray(found[name]).reshape(*shape, draws, chains), (-1, -2), (0, 1))
            for name, shape in zip(found.param_names, found.dims, strict=True)
        }
        yield Fit(arrays, seconds, {})


LIBRARIES: dict[str, Callable[..., Iterator[Fit]]] = {
    "pyrozoo": pyrozoo,
    "pyro": pyro,
    "numpyro": numpyro,
    "nutpie": nutpie,
    "stan": stan,
}
