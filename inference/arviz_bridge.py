"""The bridge to ArviZ, for both of its lines: 0.x (InferenceData, Python 3.11) and 1.x (DataTree, 3.12 and later).

The only module that imports ArviZ, inside the functions that need it. No tensors: arrays in, arrays and trees out.
Every number is the same on both lines, because each method and probability is stated here, never left to a default.

    r_hat     rank-normalised split R-hat, the larger of bulk and folded    Vehtari et al. 2021, section 4
    nested    the same for groups of chains, its variances nested           Margossian et al. 2024, definition 1
    ess_bulk  effective sample size of the rank-normalised split draws      section 4.3
    ess_tail  the smaller of those of the 5% and the 95% quantile           section 4.3
    e_bfmi    mean squared step of the energy over its variance, by chain   Betancourt 2016
    k_hat     shape of a generalised Pareto tail of the importance ratios   Vehtari et al. 2024
    psis      importance weights with that tail smoothed, in every row      Vehtari et al. 2024

A. Vehtari, A. Gelman, D. Simpson, B. Carpenter, P.-C. Bürkner (2021), Rank-normalization, folding, and localization.
M. Betancourt (2016), Diagnosing suboptimal cotangent disintegrations in Hamiltonian Monte Carlo.
C. Margossian, M. Hoffman, P. Sountsov, L. Riou-Durand, A. Vehtari, A. Gelman (2024), Nested R-hat.
A. Vehtari, D. Simpson, A. Gelman, Y. Yao, J. Gabry (2024), Pareto smoothed importance sampling.
J. Zhang, M. A. Stephens (2009), A new and efficient estimation method for the generalized Pareto distribution.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import xarray

SAMPLED = ("posterior", "posterior_predictive", "prior", "prior_predictive", "log_likelihood", "sample_stats")
NOT_SAMPLED = ("observed_data", "constant_data")

ENGINE: Final = "h5netcdf"
TAIL = (0.05, 0.95)


@functools.cache
def line() -> int:
    """The installed line of ArviZ: 0 or 1. (`arviz_stats` alone proves nothing: 0.23 can live beside it.)"""
    return int(importlib.metadata.version("arviz").split(".")[0])


def _arviz_0() -> Any:
    with warnings.catch_warnings():
        # Once a day, 0.23 announces 1.x on import; this module is the answer to that announcement.
        warnings.filterwarnings("ignore", r"\s*ArviZ is undergoing a major refactor", FutureWarning)
        import arviz

    return arviz


def to_arviz(
    groups: Mapping[str, Mapping[str, np.ndarray]],
    dims: Mapping[str, Sequence[str]],
    coords: Mapping[str, Sequence[Any]],
    attrs: Mapping[str, str | int | float],
) -> Any:
    """Named groups of named arrays as ArviZ's own type: InferenceData (0.x) or DataTree (1.x).

    groups: arrays of the groups in `SAMPLED` have shape `(chain, draw, *shape)`, those in `NOT_SAMPLED` have `shape`.
    Groups may differ in their number of draws. Empty groups are left out. Data types are kept.
    dims: axis names of `shape` by variable; an undeclared variable gets `{name}_dim_0`, ... In log_likelihood only, a
    variable may have fewer axes than its dims: event axes, the last ones, are summed out.
    coords: labels along a dimension; a dimension without labels counts from 0.
    attrs: facts about the whole, kept at the root.

    Raises KeyError for a group in neither list, ValueError where an array does not fit its dims or coords.
    """
    return _tree({group: _dataset(group, arrays, dims, coords) for group, arrays in groups.items() if arrays}, attrs)


def _dataset(
    group: str,
    arrays: Mapping[str, np.ndarray],
    dims: Mapping[str, Sequence[str]],
    coords: Mapping[str, Sequence[Any]],
) -> xarray.Dataset:
    import xarray

    if group not in SAMPLED + NOT_SAMPLED:
        raise KeyError(f"`{group}` is not a group; known: {', '.join(SAMPLED + NOT_SAMPLED)}")
    leading = ("chain", "draw") if group in SAMPLED else ()
    variables: dict[str, xarray.Variable] = {}
    sizes: dict[Any, int] = {}
    for name, values in arrays.items():
        array = np.asarray(values)
        event = array.ndim - len(leading)
        own = tuple(dims.get(name, (f"{name}_dim_{axis}" for axis in range(event))))
        axes = leading + (own[:event] if group == "log_likelihood" else own)
        variables[name] = xarray.Variable(axes, array)
        sizes.update(variables[name].sizes)
    clash = variables.keys() & sizes.keys()
    if clash:
        raise ValueError(f"`{min(clash)}` names both a variable and a dimension of {group}; rename one of them")
    labels = {axis: list(coords[axis]) if axis in coords else np.arange(size) for axis, size in sizes.items()}
    return xarray.Dataset(variables, labels)


def _tree(datasets: Mapping[str, xarray.Dataset], attrs: Mapping[str, Any]) -> Any:
    if line() == 0:
        return _arviz_0().InferenceData(attrs=dict(attrs), **datasets)
    import xarray

    tree = xarray.DataTree.from_dict(dict(datasets))
    tree.attrs.update(attrs)
    return tree


def datasets(tree: Any) -> dict[str, xarray.Dataset]:
    """The groups of a tree of either type, by name."""
    if line() == 0:
        return dict(tree.items())
    return {name: node.to_dataset() for name, node in tree.children.items()}


def save(tree: Any, path: str | os.PathLike[str]) -> None:
    """Write a tree as compressed netCDF-4, a format that both lines read. The file appears complete or not at all."""
    import xarray

    path = Path(path)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        unfinished = Path(folder) / path.name
        xarray.Dataset(attrs=dict(tree.attrs)).to_netcdf(unfinished, mode="w", engine=ENGINE)
        for name, dataset in datasets(tree).items():
            # Shuffled bytes deflate well: whole numbers and booleans that are stored wide cost little.
            packed = {variable: {"zlib": True, "shuffle": True, "complevel": 4} for variable in dataset.data_vars}
            dataset.to_netcdf(unfinished, mode="a", group=name, engine=ENGINE, encoding=packed)
        os.replace(unfinished, path)


def load(path: str | os.PathLike[str]) -> Any:
    """Read what `save` wrote, under either line, into memory; the file is closed. OSError where it is no such file."""
    import xarray

    with xarray.open_datatree(path, engine=ENGINE) as stored:
        groups = {name: node.to_dataset().load() for name, node in stored.children.items()}
        return _tree(groups, {str(name): value for name, value in stored.attrs.items()})


def diagnostics(draws: np.ndarray) -> dict[str, np.ndarray]:
    """Monte Carlo error and convergence of draws `(chain, draw, *shape)`.

    Returns `mcse_mean`, `ess_bulk`, `ess_tail` and `r_hat`, each of shape `shape`. NaN where there is no such number:
    all four for elements that never change or are not finite throughout, and for fewer than 4 draws a chain; r_hat for
    a single chain, as in ArviZ. Chains that each stand still, apart from each other, have an infinite r_hat.
    """
    draws = np.asarray(draws, dtype=float)
    shape = draws.shape[2:]
    flat = draws.reshape(*draws.shape[:2], -1)
    known = np.isfinite(flat).all(axis=(0, 1)) & (np.ptp(flat, axis=(0, 1)) > 0) & (flat.shape[1] >= 4)
    found = {name: np.full(flat.shape[2], np.nan) for name in ("mcse_mean", "ess_bulk", "ess_tail", "r_hat")}
    if known.any():
        flat = flat[:, :, known]
        found["mcse_mean"][known] = flat.std(axis=(0, 1), ddof=1) / np.sqrt(_ess(flat, "mean"))
        found["ess_bulk"][known] = _ess(flat, "bulk")
        # ArviZ's own "tail" asks whether draws lie below an interpolated quantile, which 0.x rounds: among tied draws
        # (a rejected proposal repeats one) it may fall just below them all. One quantile for both lines settles it.
        below = [flat <= np.quantile(flat, probability, axis=(0, 1)) for probability in TAIL]
        found["ess_tail"][known] = np.minimum(*(_ess(tail.astype(float), "mean") for tail in below))
        if flat.shape[0] > 1:
            found["r_hat"][known] = _r_hat(flat)
    return {name: values.reshape(shape) for name, values in found.items()}


def _ess(flat: np.ndarray, method: str) -> np.ndarray:
    """Effective sample size of split draws `(chain, draw, element)` -> `(element,)`."""
    if line() == 0:
        return _arviz_0().ess(_vectors(flat), method=method, relative=False)["x"].values
    from arviz_stats.base import array_stats

    return array_stats.ess(flat, chain_axis=0, draw_axis=1, method=method, relative=False)


def _r_hat(flat: np.ndarray) -> np.ndarray:
    """Rank-normalised split R-hat of draws `(chain, draw, element)` -> `(element,)`."""
    stuck = (np.ptp(flat, axis=1) == 0).all(axis=0)
    # Draws at equal distances from the median have no folded R-hat (0 / 0); ArviZ then takes the bulk's.
    with np.errstate(divide="ignore", invalid="ignore"):
        if line() == 0:
            found = _arviz_0().rhat(_vectors(flat), method="rank")["x"].values
        else:
            from arviz_stats.base import array_stats

            found = array_stats.rhat(flat, chain_axis=0, draw_axis=1, method="rank")
    return np.where(stuck, np.inf, found)


def nested_r_hat(draws: np.ndarray, groups: int) -> np.ndarray:
    """R-hat between `groups` superchains of neighbouring chains; draws `(chain, draw, *shape)` -> `shape`.

    Halves of superchains are compared, on ranks and on folded ranks, as R-hat compares halves of chains. NaN for
    elements that never change or are not finite throughout, infinity where each chain stands still.
    """
    chains, count = draws.shape[:2]
    shape, flat = draws.shape[2:], np.asarray(draws, dtype=float).reshape(chains, count, -1)
    known = np.isfinite(flat).all(axis=(0, 1)) & (np.ptp(flat, axis=(0, 1)) > 0)
    found = np.full(flat.shape[2], np.nan)
    if known.any():
        flat = flat[:, :, known]
        folded = np.abs(flat - np.median(flat, axis=(0, 1)))
        stuck = (np.ptp(flat, axis=1) == 0).all(axis=0)
        ratio = np.fmax(_nested(_rank_normalised(flat), groups), _nested(_rank_normalised(folded), groups))
        found[known] = np.where(stuck, np.inf, ratio)
    return found.reshape(shape)


def _rank_normalised(flat: np.ndarray) -> np.ndarray:
    """Normal scores of all draws together, `(chain, draw, element)`; ties share the mean of their ranks."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    rows = flat.reshape(-1, flat.shape[2])
    return ndtri((rankdata(rows, axis=0) - 3 / 8) / (len(rows) + 1 / 4)).reshape(flat.shape)


def _nested(scores: np.ndarray, groups: int) -> np.ndarray:
    """sqrt(1 + B / W): B the variance between halves of superchains, W the mean of those within, which are the variance
    between a superchain's chains plus the mean of those within chains."""
    half = scores.shape[1] // 2
    means, within = [], []
    for part in (scores[:, :half], scores[:, -half:]):
        for chains in np.array_split(part, groups):
            centres = chains.mean(axis=1)
            means.append(centres.mean(axis=0))
            within.append(centres.var(axis=0, ddof=1) + chains.var(axis=1, ddof=1).mean(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt(1 + np.var(means, axis=0, ddof=1) / np.mean(within, axis=0))


def _vectors(flat: np.ndarray) -> xarray.Dataset:
    import xarray

    return xarray.Dataset({"x": (("chain", "draw", "element"), flat)})


def e_bfmi(energy: np.ndarray) -> np.ndarray:
    """Energy fraction of missing information, `(chain, draw)` -> `(chain,)`; NaN where the energy never changes."""
    energy = np.asarray(energy, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        if line() == 0:
            return _arviz_0().bfmi(energy)
        from arviz_stats.base import array_stats

        return array_stats.bfmi(energy, chain_axis=0, draw_axis=1)


def k_hat(log_ratios: np.ndarray) -> float:
    """Pareto k-hat of log importance ratios `(S,)`, log target minus log approximation; usable below 0.7.

    The fit is Zhang & Stephens' with the weak prior of Vehtari et al. (2024, appendix C), as in both lines, on the
    min(S / 5, 3 sqrt(S)) largest ratios, rounded down. (The lines round that count differently, up in 0.x and down in
    1.x, so that their own functions give different numbers.)

    0 for ratios that are all equal up to rounding: the approximation is the target. Infinity where no tail can be
    fitted: fewer than 30 ratios, ties, or one ratio that outweighs all others. NaN where a ratio is NaN or +infinity,
    or where all are -infinity, a weight of zero.
    """
    log_ratios = np.sort(np.asarray(log_ratios, dtype=float))
    if not len(log_ratios) or np.isnan(log_ratios[-1]) or np.isinf(log_ratios[-1]):
        return float("nan")
    if log_ratios[-1] - log_ratios[0] <= 1e-9 * max(1.0, abs(log_ratios[-1])):
        return 0.0
    size = int(min(len(log_ratios) / 5, 3 * np.sqrt(len(log_ratios))))
    ratios = np.exp(log_ratios[-size - 1 :] - log_ratios[-1])
    tail = ratios[1:] - ratios[0]
    if size < 6:
        return float("inf")
    quartile = tail[int(size / 4 + 0.5) - 1]
    if quartile <= max(tail[0], 1e-300):
        return float("inf")
    points = 30 + int(np.sqrt(size))
    theta = 1 / tail[-1] + (1 - np.sqrt(points / (np.arange(points) + 0.5))) / (3 * quartile)
    shapes = np.log1p(-theta[:, None] * tail).mean(axis=1)
    log_likelihood = size * (np.log(-theta / shapes) - shapes - 1)
    weights = np.exp(log_likelihood - log_likelihood.max())
    shape = np.log1p(-(theta @ weights) / weights.sum() * tail).mean()
    return float((size * shape + 10 * 0.5) / (size + 10))


def psis(log_ratios: np.ndarray, efficiency: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Pareto-smoothed importance weights of log ratios `(rows, draws)`: log weights of the same shape, which sum to 1
    in each row, and k-hat `(rows,)`.

    efficiency: effective draws over draws, which says how many of the largest ratios make the tail:
    min(S / 5, 3 sqrt(S / efficiency)), rounded down. (0.x rounds it up; it is told another efficiency here.)

    A row without a tail to fit keeps its own weights: its k-hat is 0 where its ratios are equal up to rounding, else
    infinite.
    """
    from scipy.special import logsumexp

    ratios = np.asarray(log_ratios, dtype=float)
    draws = ratios.shape[1]
    size = int(min(draws / 5, 3 * np.sqrt(draws / efficiency)))
    weights = ratios - logsumexp(ratios, axis=1, keepdims=True)
    top, bottom = ratios.max(axis=1), ratios.min(axis=1)
    shapes = np.where(top - bottom <= 1e-9 * np.maximum(1.0, np.abs(top)), 0.0, np.inf)
    if size < 5:
        return weights, shapes
    ratios, order = ratios.copy(), np.argsort(ratios, axis=1, kind="stable")
    largest, cutoff = (
        np.take_along_axis(ratios, order[:, -size:], 1),
        np.take_along_axis(ratios, order[:, [-size - 1]], 1),
    )
    # Of repeated draws the lines leave others out of the tail, and order those in it differently: a hair between all of
    # the tail settles both.
    largest = largest + 1e-12 * np.maximum(1.0, np.abs(cutoff)) * np.arange(1, size + 1) / size
    np.put_along_axis(ratios, order[:, -size:], largest, 1)
    tail = np.exp(largest - largest[:, -1:]) - np.exp(cutoff - largest[:, -1:])
    known = (shapes > 0) & (tail[:, int(size / 4 + 0.5) - 1] > np.maximum(tail[:, 0], 1e-300))
    if known.any():
        if line() == 0:
            with np.errstate(over="ignore"):  # weights of tail shapes that are out of the question
                found = _arviz_0().psislw(ratios[known], reff=9 * draws / (size - 0.5) ** 2)
        else:
            from arviz_stats.base import array_stats

            found = array_stats.psislw(-ratios[known], r_eff=efficiency, axis=-1)
        weights[known], shapes[known] = found
    return weights, shapes
