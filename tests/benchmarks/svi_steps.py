"""Variational inference beside Pyro's own: steps a second, and seconds to a converged ELBO.

    python tests/benchmarks/svi_steps.py [--problems mixture ...] [--repeats 3] [--json out.json]

Both climb the ELBO of the same guide family on the same program with the same number of particles and Adam at 0.01, in
one process, one thread, double precision. Seconds are the processor's; a rate is the median of `repeats`, after a
warm-up. A step is one of one guide: ours climbs one start here, as Pyro's does, though starts beside it would cost
less. Pyro has `Trace_ELBO`, and beside it `JitTrace_ELBO` (TorchScript, without the time to compile); for 16 particles
`vectorize_particles`, which needs programs that broadcast: they are given below.

Steps can be bought with noise, so the time to converge is given too. Ours is the whole of it: tracing, the mode, the
climb, the averaging. Pyro's is that of its steps alone, with the faster of its ELBOs, until a hundred of them have a
mean ELBO within 0.1 nats of the best that is known for the guide; it has no rule by which to stop there.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")  # before NumPy and PyTorch load

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from problems import PROBLEMS, TITLES
from pyro.infer import SVI, JitTrace_ELBO, Trace_ELBO, autoguide
from pyro.optim import Adam
from pyro_programs import PROGRAMS, inputs
from torch import Tensor

from inference import Svi
from inference.density import LogDensity
from inference.modes import find_mode
from inference.program import Program, read
from inference.streams import workspace
from inference.svi.ascent import Climb, Restart, climb
from inference.svi.guides import NORMALS
from inference.svi.space import Space
from models.base import Data

MEASURED = ("logistic_small", "mixture", "beta_bernoulli")
GUIDES = {"normal": autoguide.AutoDiagonalNormal, "multivariate_normal": autoguide.AutoMultivariateNormal}
PARTICLES = (1, 16)
LEARNING_RATE = 0.01
STEPS = 100  # that a rate is measured over, and that an ELBO is averaged over
NEAR = 0.1  # nats
MOST_STEPS = 5000


def logistic(x: Tensor) -> None:
    """With an axis to the left for particles."""
    alpha = pyro.sample("alpha", dist.Normal(torch.tensor(0.0), 2.5))
    beta = pyro.sample("beta", dist.Normal(torch.zeros(x.shape[1]), 2.5).to_event(1))
    with pyro.plate("rows", len(x)):
        pyro.sample("y", dist.Bernoulli(logits=alpha + beta.reshape(*beta.shape[:-2], -1) @ x.T))


def beta_bernoulli(num_groups: int, num_rows: int) -> None:
    """With an axis to the left for particles."""
    theta = pyro.sample("theta", dist.Beta(2.0 * torch.ones(num_groups), 2.0).to_event(1))
    with pyro.plate("groups", num_groups, dim=-2), pyro.plate("rows", num_rows, dim=-1):
        pyro.sample("y", dist.Bernoulli(theta.reshape(*theta.shape[:-3], num_groups, 1)))


BROADCASTING: dict[str, Callable[..., None]] = {
    **PROGRAMS,
    "logistic_small": logistic,
    "beta_bernoulli": beta_bernoulli,
}


class Ours(NamedTuple):
    """steps_per_s: of one start. seconds: from the program to averaged parameters. elbo: there."""

    steps_per_s: float
    seconds: float
    elbo: float


class Pyros(NamedTuple):
    """seconds: of steps until the ELBO is near the best, None where it never is."""

    steps_per_s: float
    jit_steps_per_s: float
    seconds: float | None


def data_of(problem: str) -> Data:
    arrays = PROBLEMS[problem]()
    return Data(inputs(problem, arrays), {"y": arrays["y"]})


def seconds_of(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def ours(program: Program, guide: str, particles: int, repeats: int) -> Ours:
    settings = Svi(guide=guide, num_particles=particles, learning_rate=LEARNING_RATE, num_samples=4000)  # type: ignore[arg-type]

    def start() -> tuple[LogDensity, Any]:
        density = LogDensity(program)
        density.settle(particles, "auto")
        return density, find_mode(density, density.start(torch.Generator().manual_seed(1)))

    elbos = []

    def whole() -> None:
        density, mode = start()
        elbos.append(climb(settings, density, [mode], [1], lambda done, total, note: None)[0].elbo)

    seconds = statistics.median(seconds_of(whole) for _ in range(repeats))
    density, mode = start()
    family = NORMALS[guide]
    ascent = Climb(
        settings, family, Space.around(density, [mode], family.diagonal), [Restart(np.random.default_rng(1))]
    )
    ascent.block(STEPS)
    rate = STEPS / statistics.median(seconds_of(lambda: ascent.block(STEPS)) for _ in range(repeats))
    return Ours(rate, seconds, statistics.median(elbos))


def new_svi(program: Program, guide: str, particles: int, kind: type[Trace_ELBO]) -> SVI:
    pyro.clear_param_store()
    pyro.set_rng_seed(1)
    plates = 2 if program.name == "beta_bernoulli" else 1
    elbo = kind(num_particles=particles, vectorize_particles=particles > 1, max_plate_nesting=plates)
    svi = SVI(program.conditioned, GUIDES[guide](program.conditioned), Adam({"lr": LEARNING_RATE}), elbo)
    svi.step()  # makes parameters, and compiles
    return svi


def pyros(program: Program, guide: str, particles: int, repeats: int, best: float) -> Pyros:
    rates = {}
    for kind in (Trace_ELBO, JitTrace_ELBO):
        svi = new_svi(program, guide, particles, kind)
        for _ in range(STEPS // 10):
            svi.step()
        found = [seconds_of(lambda s=svi: [s.step() for _ in range(STEPS)]) for _ in range(repeats)]
        rates[kind] = STEPS / statistics.median(found)
    kind = max(rates, key=lambda each: rates[each])
    return Pyros(
        rates[Trace_ELBO], rates[JitTrace_ELBO], time_to(new_svi(program, guide, particles, kind), best - NEAR)
    )


def time_to(svi: SVI, level: float) -> float | None:
    seconds = 0.0
    for _ in range(MOST_STEPS // STEPS):
        losses: list[float] = []
        seconds += seconds_of(lambda found=losses: found.extend(svi.step() for _ in range(STEPS)))
        if -np.mean(losses) > level:
            return seconds
    return None


def measure(problems: Sequence[str] = MEASURED, repeats: int = 3) -> list[dict[str, Any]]:
    """A row for every problem, guide and number of particles."""
    rows = []
    for problem in problems:
        for guide in GUIDES:
            with workspace(1), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what TorchScript says on being used
                mine = {n: ours(read(PROGRAMS[problem], data_of(problem)), guide, n, repeats) for n in PARTICLES}
                best = max(found.elbo for found in mine.values())
                for particles, own in mine.items():
                    table = PROGRAMS if particles == 1 else BROADCASTING
                    other = pyros(read(table[problem], data_of(problem)), guide, particles, repeats, best)
                    row = {
                        "problem": problem,
                        "guide": guide,
                        "particles": particles,
                        "ours_steps_per_s": own.steps_per_s,
                        "pyro_steps_per_s": other.steps_per_s,
                        "pyro_jit_steps_per_s": other.jit_steps_per_s,
                        "ratio": own.steps_per_s / other.steps_per_s,
                        "jit_ratio": own.steps_per_s / other.jit_steps_per_s,
                        "ours_seconds_to_plateau": own.seconds,
                        "pyro_seconds_to_plateau": other.seconds,
                        "ours_elbo": own.elbo,
                        "best_elbo": best,
                    }
                    print(line(row), flush=True)
                    rows.append(row)
    return rows


def line(row: dict[str, Any]) -> str:
    late = row["pyro_seconds_to_plateau"]
    reached = f"not in {MOST_STEPS} steps" if late is None else f"{late:.1f} s"
    ours, gap = row["ours_seconds_to_plateau"], row["ours_elbo"] - row["best_elbo"]
    return (
        f"{TITLES[row['problem']]}, {row['guide']}, particles {row['particles']}: "
        f"{row['ours_steps_per_s']:,.0f} steps/s, Pyro {row['pyro_steps_per_s']:,.0f} ({row['ratio']:.1f} times), "
        f"jit {row['pyro_jit_steps_per_s']:,.0f} ({row['jit_ratio']:.1f} times); "
        f"converged in {ours:.1f} s ({gap:+.2f} nats), Pyro {reached}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", choices=MEASURED, default=MEASURED)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", help="where to write the rows")
    given = parser.parse_args()
    rows = measure(given.problems, given.repeats)
    if given.json:
        with open(given.json, "w") as out:
            json.dump(rows, out, indent=1)


if __name__ == "__main__":
    main()
