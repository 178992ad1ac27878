"""What both lines of ArviZ are asked, so that their answers can be compared.

    compute.py numbers           every number that the bridge computes, as JSON
    compute.py save FILE         an example tree, as a file
    compute.py describe FILE     what a file holds, as JSON

The tests import these functions under the line of their own environment, and run this file under the other line.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from inference import arviz_bridge
from inference.posterior import Posterior

DIMS = {"theta": ("group",), "beta": ("term", "group"), "y": ("row",), "mvn": ("row", "axis"), "x": ("row",)}
COORDS = {"group": ["ann", "böb", "c d"], "term": [2.5, 3.5], "row": [10, 20, 30, 40]}
ATTRS = {"seed": 7, "backend": "nuts"}


def chains(chains: int, draws: int, shape: tuple[int, ...] = ()) -> np.ndarray:
    """Autocorrelated draws `(chain, draw, *shape)` of which some repeat, as those of a sampler that rejects do."""
    rng = np.random.default_rng(20_240_501)
    noise = rng.normal(size=(chains, draws, *shape))
    for t in range(1, draws):
        repeat = rng.random((chains, *shape)) < 0.2
        noise[:, t] = np.where(repeat, noise[:, t - 1], 0.6 * noise[:, t - 1] + noise[:, t])
    return noise


CASES = {
    "four chains": chains(4, 250, (2, 3)),
    "odd number of draws": chains(3, 77, (2,)),
    "one chain": chains(1, 101),
    "heavy tails": np.sinh(3 * chains(4, 100)),
    "whole numbers": np.floor(chains(4, 200)),
    "two values, constant when folded": np.sign(chains(2, 60)),
    "one element constant": chains(4, 50, (2,)) * np.array([0.0, 1.0]),
    "one element not finite": np.where(chains(4, 50, (2,)) > 2, np.array([np.nan, 1.0]), chains(4, 50, (2,))),
    "one chain far away": chains(4, 100) + np.array([0, 0, 0, 9])[:, None],
    "one chain stands still": chains(4, 100) * np.array([1, 1, 1, 0])[:, None],
    "every chain stands still": np.repeat(np.arange(4.0)[:, None], 50, axis=1),
    "four draws": chains(2, 4),
    "three draws": chains(2, 3),
}


def numbers() -> dict[str, Any]:
    """Every number that the bridge computes, on every case."""
    found: dict[str, Any] = {}
    for name, draws in CASES.items():
        found[name] = {key: values.tolist() for key, values in arviz_bridge.diagnostics(draws).items()}
    energy = chains(4, 300)
    found["e_bfmi"] = arviz_bridge.e_bfmi(energy).tolist()
    found["k_hat"] = [arviz_bridge.k_hat(2 * chains(1, size)[0]) for size in (20, 100, 225, 226, 1000, 2000, 10_000)]
    ratios = 1.5 * chains(8, 1000)
    for efficiency in (0.4, 1.0, 1.3):
        weights, shapes = arviz_bridge.psis(ratios, efficiency)
        found[f"psis, {efficiency}"] = {"shapes": shapes.tolist(), "weights": weights[:, ::97].tolist()}
    posterior = Posterior("nuts", {"theta": chains(4, 250, (3,))}, DIMS, COORDS, dependent=True)
    found["summary"] = posterior.summary()
    return found


def groups() -> dict[str, dict[str, np.ndarray]]:
    """All eight groups and an empty one, of every data type; the predictive draws are thinned."""
    rng = np.random.default_rng(3)
    return {
        "posterior": {
            "theta": rng.normal(size=(2, 20, 3)),
            "beta": rng.normal(size=(2, 20, 2, 3)),
            "tau": rng.random((2, 20)),
        },
        "posterior_predictive": {"y": rng.integers(0, 2, (2, 5, 4)), "mvn": rng.normal(size=(2, 5, 4, 2))},
        "prior": {"theta": rng.normal(size=(1, 50, 3)), "free": rng.normal(size=(1, 50, 2, 2))},
        "prior_predictive": {"y": rng.integers(0, 2, (1, 50, 4))},
        "log_likelihood": {"y": rng.normal(size=(2, 20, 4)), "mvn": rng.normal(size=(2, 20, 4))},
        "sample_stats": {"diverging": rng.random((2, 20)) < 0.1, "tree_depth": rng.integers(1, 8, (2, 20))},
        "observed_data": {"y": np.array([0, 1, 1, 0]), "mvn": rng.normal(size=(4, 2)).astype(np.float32)},
        "constant_data": {"x": np.array([True, False, True, True]), "size": np.array(4)},
        "predictions": {},
    }


def tree() -> Any:
    return arviz_bridge.to_arviz(groups(), DIMS, COORDS, ATTRS)


def describe(tree: Any) -> dict[str, Any]:
    """A tree in plain words: attributes, and for every variable its axes, labels, data type and values."""
    told: dict[str, Any] = {"attrs": {name: np.asarray(value).item() for name, value in tree.attrs.items()}}
    for group, dataset in arviz_bridge.datasets(tree).items():
        for name, variable in dataset.data_vars.items():
            told[f"{group}/{name}"] = {
                "dims": list(variable.dims),
                "coords": {axis: np.asarray(variable[axis]).tolist() for axis in variable.dims},
                "dtype": str(variable.dtype),
                "values": variable.values.tolist(),
            }
    return told


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["numbers"]:
            print(json.dumps(numbers()))
        case ["save", path]:
            arviz_bridge.save(tree(), path)
        case ["describe", path]:
            print(json.dumps(describe(arviz_bridge.load(path))))
        case _:
            sys.exit(__doc__)
