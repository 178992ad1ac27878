"""The bridge to ArviZ: trees, files and numbers, against formulas, against ArviZ, and between its two lines.

These tests run twice, under the ArviZ of the project's environment and under ArviZ 1.x in a second one; the test marked
`two_lines` runs in the first and asks the second.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arviz_lines import compute

from inference import arviz_bridge as bridge

ROOT = Path(__file__).parent.parent


def python(executable: str | Path, *arguments: str | Path) -> str:
    """Run Python on the repository, warnings as errors; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [str(executable), "-W", "error", *map(str, arguments)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


# --- trees


def test_a_tree_names_every_axis_and_keeps_values_and_data_types():
    told = compute.describe(compute.tree())
    assert told.pop("attrs") == compute.ATTRS
    given = compute.groups()
    assert set(told) == {f"{group}/{name}" for group, arrays in given.items() for name in arrays}
    for path, variable in told.items():
        group, name = path.split("/")
        array = given[group][name]
        assert variable["values"] == array.tolist() and variable["dtype"] == str(array.dtype), path
        leading = [] if group in ("observed_data", "constant_data") else ["chain", "draw"]
        assert variable["dims"][: len(leading)] == leading, path


@pytest.mark.parametrize(
    ("path", "dims"),
    [
        ("posterior/theta", ["chain", "draw", "group"]),
        ("posterior/beta", ["chain", "draw", "term", "group"]),
        ("posterior/tau", ["chain", "draw"]),
        ("posterior_predictive/mvn", ["chain", "draw", "row", "axis"]),
        ("prior/free", ["chain", "draw", "free_dim_0", "free_dim_1"]),
        ("log_likelihood/mvn", ["chain", "draw", "row"]),
        ("observed_data/mvn", ["row", "axis"]),
        ("constant_data/size", []),
    ],
)
def test_axes_have_their_names_and_labels(path, dims):
    variable = compute.describe(compute.tree())[path]
    assert variable["dims"] == dims
    for axis, size in zip(dims, np.shape(variable["values"]), strict=True):
        assert variable["coords"][axis] == list(compute.COORDS.get(axis, range(size)))


def test_groups_may_have_different_numbers_of_draws_and_empty_groups_are_left_out():
    groups = bridge.datasets(compute.tree())
    assert "predictions" not in groups and len(groups) == 8
    assert {name: data.sizes.get("draw") for name, data in groups.items()} == {
        "posterior": 20,
        "posterior_predictive": 5,
        "prior": 50,
        "prior_predictive": 50,
        "log_likelihood": 20,
        "sample_stats": 20,
        "observed_data": None,
        "constant_data": None,
    }


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        ({"posteriors": {"a": np.zeros((1, 2))}}, KeyError, "`posteriors` is not a group"),
        ({"posterior": {"theta": np.zeros((1, 2, 4))}}, ValueError, "group"),
        ({"posterior": {"theta": np.zeros((1, 2, 3, 3))}}, ValueError, "dimensions"),
        (
            {"constant_data": {"row": np.zeros(4), "x": np.zeros(4)}},
            ValueError,
            "`row` names both a variable and a dim",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused(groups, error, message):
    with pytest.raises(error, match=message):
        bridge.to_arviz(groups, compute.DIMS, compute.COORDS, {})


# --- files


def test_a_saved_tree_loads_as_it_was(tmp_path):
    bridge.save(compute.tree(), tmp_path / "posterior.nc")
    assert compute.describe(bridge.load(tmp_path / "posterior.nc")) == compute.describe(compute.tree())
    assert [path.name for path in tmp_path.iterdir()] == ["posterior.nc"]


def test_a_file_is_closed_after_loading_and_may_be_replaced(tmp_path):
    path = tmp_path / "posterior.nc"
    bridge.save(compute.tree(), path)
    loaded = bridge.load(path)
    bridge.save(bridge.to_arviz({"posterior": {"a": np.zeros((1, 2))}}, {}, {}, {}), path)
    assert compute.describe(loaded) == compute.describe(compute.tree())
    assert set(bridge.datasets(bridge.load(path))) == {"posterior"}


def test_outcomes_take_little_room(tmp_path):
    outcomes = np.random.default_rng(1).integers(0, 2, (4, 500, 200))
    bridge.save(bridge.to_arviz({"posterior_predictive": {"y": outcomes}}, {}, {}, {}), tmp_path / "file.nc")
    assert (tmp_path / "file.nc").stat().st_size < outcomes.nbytes / 20  # a bit each would be a 64th


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "posterior.nc"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="cannot serialize"):
        bridge.save(bridge.to_arviz({"observed_data": {"y": np.array([object()])}}, {}, {}, {}), path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_file_that_is_not_netcdf_is_an_os_error(tmp_path):
    (tmp_path / "posterior.nc").write_bytes(b"nothing of the kind")
    with pytest.raises(OSError):
        bridge.load(tmp_path / "posterior.nc")


# --- numbers


def split_r_hat(z: np.ndarray) -> float:
    """R-hat of chains `(chain, draw)` already split: Gelman et al., Bayesian Data Analysis, 3rd ed., section 11.4."""
    draws = z.shape[1]
    between, within = z.mean(axis=1).var(ddof=1), z.var(axis=1, ddof=1).mean()
    return float(np.sqrt((draws - 1) / draws + between / within))


def normal_scores(draws: np.ndarray) -> np.ndarray:
    """Rank-normalised values by Blom's offsets: Vehtari et al. 2021, equation 14."""
    from scipy.stats import norm, rankdata

    return norm.ppf((rankdata(draws) - 3 / 8) / (draws.size + 1 / 4)).reshape(draws.shape)


@pytest.mark.parametrize("case", ["heavy tails", "one chain far away", "one chain stands still", "whole numbers"])
def test_r_hat_is_the_formula(case):
    draws = compute.CASES[case]
    halves = np.vstack(np.split(draws, 2, axis=1))
    expected = max(split_r_hat(normal_scores(half)) for half in (halves, np.abs(halves - np.median(halves))))
    np.testing.assert_allclose(bridge.diagnostics(draws)["r_hat"], expected, rtol=1e-12)


def test_independent_draws_count_in_full_and_autocorrelated_ones_by_their_autocorrelation_time():
    rng = np.random.default_rng(11)
    independent = rng.normal(size=(4, 5000))
    found = bridge.diagnostics(independent)
    for name in ("ess_bulk", "ess_tail"):
        assert found[name] == pytest.approx(20_000, rel=0.05), name
    assert found["mcse_mean"] == pytest.approx(1 / np.sqrt(20_000), rel=0.05)
    assert found["r_hat"] == pytest.approx(1, abs=1e-3)

    # A first-order autoregression with coefficient 0.8 has the autocorrelation time (1 + 0.8) / (1 - 0.8) = 9. Its
    # estimate from N draws and M lags has the relative variance 2 (2 M + 1) / N (Madras & Sokal 1988): with M near 30
    # three standard deviations are 12%, and half of that for its root.
    chain = rng.normal(size=(4, 20_000))
    for t in range(1, chain.shape[1]):
        chain[:, t] = 0.8 * chain[:, t - 1] + 0.6 * chain[:, t]
    found = bridge.diagnostics(chain)
    assert found["ess_bulk"] == pytest.approx(80_000 / 9, rel=0.12)
    assert found["mcse_mean"] == pytest.approx(np.sqrt(9 / 80_000), rel=0.06)


def test_tail_size_is_the_smaller_of_two_quantiles():
    draws = compute.CASES["heavy tails"]
    sizes = []
    for probability in (0.05, 0.95):
        below = (draws <= np.quantile(draws, probability)).astype(float)
        sizes.append(below.var(ddof=1) / bridge.diagnostics(below)["mcse_mean"] ** 2)
    np.testing.assert_allclose(bridge.diagnostics(draws)["ess_tail"], min(sizes), rtol=1e-12)


def test_each_element_is_computed_by_itself():
    draws = compute.CASES["four chains"]
    together = bridge.diagnostics(draws)
    for index in np.ndindex(2, 3):
        alone = bridge.diagnostics(draws[(slice(None), slice(None), *index)])
        for name, values in together.items():
            assert values.shape == (2, 3) and alone[name].shape == ()
            assert values[index] == alone[name]


@pytest.mark.parametrize(
    ("case", "known"),
    [
        ("one element constant", {"mcse_mean": [0, 1], "ess_bulk": [0, 1], "ess_tail": [0, 1], "r_hat": [0, 1]}),
        ("one element not finite", {"mcse_mean": [0, 1], "ess_bulk": [0, 1], "ess_tail": [0, 1], "r_hat": [0, 1]}),
        ("one chain", {"mcse_mean": 1, "ess_bulk": 1, "ess_tail": 1, "r_hat": 0}),
        ("three draws", {"mcse_mean": 0, "ess_bulk": 0, "ess_tail": 0, "r_hat": 0}),
        ("four draws", {"mcse_mean": 1, "ess_bulk": 1, "ess_tail": 1, "r_hat": 1}),
    ],
)
def test_what_has_no_number_is_nan(case, known, caplog):
    found = bridge.diagnostics(compute.CASES[case])
    assert {name: np.isfinite(values).astype(int).tolist() for name, values in found.items()} == known
    assert caplog.text == ""


def test_chains_that_stand_still_apart_never_pass():
    assert bridge.diagnostics(compute.CASES["every chain stands still"])["r_hat"] == np.inf
    assert bridge.diagnostics(compute.CASES["one chain stands still"])["r_hat"] > 1.01


def test_e_bfmi_is_the_formula():
    energy = compute.chains(3, 200)
    steps = np.diff(energy, axis=1)
    np.testing.assert_allclose(bridge.e_bfmi(energy), (steps**2).mean(axis=1) / energy.var(axis=1, ddof=1), rtol=1e-12)
    assert np.isnan(bridge.e_bfmi(np.zeros((2, 10)))).all()


def pareto_ratios(shape: float, size: int) -> np.ndarray:
    """Log quantiles of a generalised Pareto distribution of unit scale, at equally spaced probabilities."""
    survival = 1 - (np.arange(size) + 0.5) / size
    return np.log((survival**-shape - 1) / shape)


@pytest.mark.parametrize("shape", [-0.5, 0.2, 0.5, 0.7, 1.2])
def test_k_hat_finds_the_shape_of_a_known_tail(shape):
    """The fit adds ten pseudo-draws at 0.5 (Vehtari et al. 2024, appendix C): take their weight out, then compare."""
    size, tail = 1_000_000, 3000
    found = (bridge.k_hat(pareto_ratios(shape, size)) * (tail + 10) - 10 * 0.5) / tail
    assert found == pytest.approx(shape, abs=0.02)


@pytest.mark.parametrize("size", [100, 226, 400, 2000, 10_000])
@pytest.mark.parametrize("shape", [-0.3, 0.4, 0.9])
def test_k_hat_is_arviz_s_on_the_same_tail(size, shape):
    ratios = np.random.default_rng(size).permutation(pareto_ratios(shape, size)) + 1234.5
    if bridge.line() == 0:
        # 0.x takes the ceil(3 sqrt(S / reff)) largest: choose the efficiency for which that is the count rounded down.
        count = int(min(size / 5, 3 * np.sqrt(size)))
        _, expected = bridge._arviz_0().psislw(ratios.copy(), reff=9 * size / (count - 0.5) ** 2)
    else:
        from arviz_stats.base import array_stats

        _, expected = array_stats.psislw(-ratios, r_eff=1.0)
    assert bridge.k_hat(ratios) == pytest.approx(float(expected), rel=1e-9)


NORMAL = np.random.default_rng(0).normal(size=200)


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        (np.full(1000, -3.25), 0.0),
        (-1e5 + 1e-8 * NORMAL, 0.0),
        (np.arange(29.0), np.inf),
        (np.floor(NORMAL / 10), np.inf),
        (np.append(NORMAL, 1e4), np.inf),
        (np.append(NORMAL, np.inf), np.nan),
        (np.append(NORMAL, np.nan), np.nan),
        (np.full(100, -np.inf), np.nan),
        (np.array([]), np.nan),
    ],
    ids=["equal", "equal to rounding", "too few", "ties", "one outweighs all", "infinite", "nan", "no weight", "none"],
)
def test_k_hat_of_ratios_without_a_tail(ratios, expected):
    np.testing.assert_equal(bridge.k_hat(ratios), expected)


def test_a_weight_of_zero_is_a_weight():
    weights = np.append(NORMAL, np.full(50, -np.inf))
    assert bridge.k_hat(weights) == bridge.k_hat(np.where(np.isinf(weights), -500.0, weights))


# --- smoothed importance weights


@pytest.mark.parametrize(("draws", "efficiency"), [(500, 1.0), (2000, 0.5), (1000, 1.4), (100, 1.0)])
def test_smoothed_weights_are_the_largest_ones_by_quantiles_of_the_tail(draws, efficiency):
    ratios = np.random.default_rng(draws).normal(0, 1.5, (5, draws))
    weights, shapes = bridge.psis(ratios, efficiency)
    np.testing.assert_allclose(np.exp(weights).sum(axis=1), 1, rtol=1e-12)
    size = int(min(draws / 5, 3 * np.sqrt(draws / efficiency)))
    for row, log_weights, shape in zip(ratios, weights, shapes, strict=True):
        order = np.argsort(row)
        plain, smooth = row[order] - row.max(), log_weights[order]
        below = slice(None, draws - size)
        np.testing.assert_allclose(np.diff(smooth[below]), np.diff(plain[below]), atol=1e-9)  # only the tail is changed
        assert (np.diff(smooth) >= -1e-12).all() and smooth[-1] - smooth[0] <= plain[-1] - plain[0] + 1e-9
        if efficiency == 1:
            assert shape == pytest.approx(bridge.k_hat(row), rel=1e-9)


def test_a_row_without_a_tail_keeps_its_weights(caplog):
    heavy = np.append(np.zeros(99), 900.0)
    ratios = np.stack([np.full(100, -3.25), heavy, NORMAL[:100]])
    weights, shapes = bridge.psis(ratios)
    assert list(np.isfinite(shapes)) == [True, False, True] and shapes[0] == 0 and shapes[1] == np.inf
    np.testing.assert_allclose(np.exp(weights[0]), 0.01)
    np.testing.assert_allclose(weights[1, -1], 0, atol=1e-12)
    few_weights, few_shapes = bridge.psis(NORMAL[:20].reshape(1, 20))
    assert np.isinf(few_shapes).all() and np.exp(few_weights).sum() == pytest.approx(1)
    assert caplog.text == ""


# --- the other line, and no tensors


def test_the_bridge_needs_no_tensors():
    code = """
import sys
from inference import arviz_bridge
print("arviz" in sys.modules)
arviz_bridge.diagnostics([[1, 2, 3, 4, 5], [1, 3, 2, 5, 4]])
arviz_bridge.to_arviz({"posterior": {"x": [[1]]}}, {}, {}, {})
print({"torch", "pyro"} & set(sys.modules))
"""
    assert python(sys.executable, "-c", code).split() == ["False", "set()"]


@pytest.fixture(scope="module")
def other_python() -> Path:
    """The Python of the second environment."""
    return Path(os.environ.get("ARVIZ1_PYTHON", ROOT / ".venv-arviz1/bin/python"))


def agree(found: Any, expected: Any, where: str = "") -> None:
    """The same nested numbers, to nine digits."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key, value in expected.items():
            agree(found[key], value, f"{where}/{key}")
    else:
        np.testing.assert_allclose(np.array(found, float), np.array(expected, float), rtol=1e-9, err_msg=where)


@pytest.mark.two_lines
def test_both_lines_give_the_same_numbers(other_python):
    script = ROOT / "tests/arviz_lines/compute.py"
    agree(json.loads(python(other_python, script, "numbers")), json.loads(json.dumps(compute.numbers())))


@pytest.mark.two_lines
def test_each_line_reads_the_other_s_files(other_python, tmp_path):
    script = ROOT / "tests/arviz_lines/compute.py"
    bridge.save(compute.tree(), tmp_path / "here.nc")
    python(other_python, script, "save", tmp_path / "there.nc")
    expected = compute.describe(compute.tree())
    assert json.loads(python(other_python, script, "describe", tmp_path / "here.nc")) == expected
    assert compute.describe(bridge.load(tmp_path / "there.nc")) == expected
