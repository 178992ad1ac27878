"""Compiled functions do what the same lines do in Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest

from inference.nuts import machine
from models.native import Compiled, call_address, compiled

LIMIT = 7
STATE = np.dtype([("x", np.float64), ("n", np.int64), ("on", np.bool_)])
Line = Annotated[np.ndarray, np.float64, 1]
Plane = Annotated[np.ndarray, np.float64, 2]
States = Annotated[np.ndarray, STATE, 1]


@compiled
def arithmetic(a: float, i: int, j: int) -> tuple[float, float, int, int, int]:
    b = a
    b += i * 2 - 1.5
    b *= -a
    return b, i / j, i // j + i % j, (i << 2 | j & 3) >> 1, -i


@compiled
def choices(a: float, i: int) -> tuple[float, bool, bool, float, int]:
    if a > 1.0 and i != 3:
        found = min(a, 2.5)
    elif a < 0 or not i:
        found = max(-a, i)
    else:
        found = abs(a - i) if i < LIMIT else np.inf
    return found, np.isfinite(found), i > 0, np.exp(-a) + np.log(1 + a * a) + np.sqrt(a * a), 1 if i & 1 else 0


@compiled
def loops(n: int) -> tuple[int, int]:
    total = 0
    for i in range(n):
        if i == 2:
            continue
        for k in range(i, -1, -2):
            total += k
        if total > 40:
            break
    turns = 0
    while total > 1:
        total = total // 2
        turns += 1
    for extra in (1, LIMIT):
        turns += 10 * extra
    return total, turns


@compiled
def row_sum(values: Line, weights: Line) -> float:
    total = 0.0
    for d in range(len(values)):
        total += values[d] * weights[d]
    return total


@compiled
def views(table: Plane, states: States, start: int) -> float:
    s, tail = states[1], table[start:]
    s.x, s.on = row_sum(tail[0], table[0]), s.n > 3
    s.n += tail.shape[0] + len(table)
    table[1, 0] = table[1, 2] = 9.5
    return row_sum(table[1], tail[1]) if s.on else 0.0


@compiled
def nothing(table: Plane) -> None:
    if table.shape[0] > 1:
        return
    table[0, 0] = 1.0


@pytest.mark.parametrize("arguments", [(0.5, 7, 2), (-3.25, 12, 5), (0.0, 0, 1)])
def test_arithmetic(arguments):
    assert arithmetic(*arguments) == arithmetic.python(*arguments)


@pytest.mark.parametrize("a", [-2.0, 0.0, 0.5, 1.5, 3.0])
@pytest.mark.parametrize("i", [0, 1, 3, 9])
def test_choices(a, i):
    found, expected = choices(a, i), choices.python(a, i)
    assert found[:3] == expected[:3] and found[4] == expected[4]
    np.testing.assert_allclose(found[3], expected[3], rtol=1e-15)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 8, 30])
def test_loops(n):
    assert loops(n) == loops.python(n)


def test_views_of_arrays_and_fields_of_records():
    tables = [np.arange(12.0).reshape(4, 3) for _ in range(2)]
    states = [np.array([(0.0, 1, False), (0.0, 4, False)], STATE) for _ in range(2)]
    # NumPy gives fields as attributes in its record arrays alone
    assert (
        views(tables[0], states[0], 2)
        == views.python(tables[1], states[1].view(np.recarray), 2)
        == 9.5 * 9 + 4 * 10 + 9.5 * 11
    )
    np.testing.assert_array_equal(*tables)
    assert states[0].tolist() == states[1].tolist() == [(0.0, 1, False), (0 * 6 + 1 * 7 + 2 * 8, 10, True)]


def test_nothing_is_returned_where_nothing_is_declared():
    table = np.zeros((1, 2))
    assert nothing(table) is None
    assert table[0, 0] == 1.0
    assert nothing(np.zeros((2, 2))) is None


@pytest.mark.parametrize(
    "table", [np.zeros((2, 2), np.float32), np.zeros(4), np.zeros((2, 4))[:, ::2]], ids=["type", "axes", "order"]
)
def test_an_array_of_another_kind_is_refused(table):
    with pytest.raises(TypeError, match="nothing takes arrays of"):
        nothing(table)


def test_a_global_name_may_stand_for_another_function():
    @compiled
    def twice(values: Line, weights: Line) -> float:
        return 2.0 * values[0]

    table, states = np.ones((3, 2)), np.array([(0.0, 9, False)] * 2, STATE)
    Compiled(views.python, row_sum=twice)(table.repeat(2, axis=1), states, 1)
    assert states[1]["x"] == 2.0


def test_what_has_no_translation_is_named():
    @compiled
    def listed(n: int) -> int:
        values = [n]
        return len(values)

    with pytest.raises(SyntaxError, match=r"listed, line 3: `\[n\]` has no translation"):
        listed(1)


def test_an_address_is_called_by_compiled_code_alone():
    with pytest.raises(TypeError, match="only compiled code"):
        call_address(0)


def test_the_machine_of_nuts_does_what_its_lines_say():
    """Ticks of the compiled machine and of the same function in Python, from the same states and random numbers."""
    runs: list[tuple] = []
    for tick in (machine.tick, machine.tick.python):
        chains, record = machine.new_chains(3, 4, 5), machine.new_record(3, 6, 4)
        chains.rows[:, machine.TREE_U] = np.linspace(-1, 1, 12).reshape(3, 4)
        # NumPy gives fields as attributes in its record arrays alone
        kind = np.recarray if runs else np.ndarray
        states = chains.numbers.view(kind), record.statistics.view(kind)
        rng = np.random.default_rng(1)
        told = []
        for _ in range(150):
            u = chains.rows[:, machine.U]
            value, gradient = -0.5 * (u**2).sum(axis=1) - (u**4).sum(axis=1), -u - 4 * u**3
            random = rng.uniform(size=(3, 3)), rng.normal(size=(3, 4))
            told.append(tick(states[0], chains.rows, value, gradient, *random, 0.3, 4, 6, states[1], record.rows))
        runs.append((told, chains, record))
    (told, chains, record), (other, others, expected) = runs
    assert (record.statistics["n_steps"] > 0).all() and len(set(record.statistics["tree_depth"].ravel())) > 1
    np.testing.assert_allclose(told, other, rtol=1e-12)
    np.testing.assert_allclose(chains.rows, others.rows, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(record.rows, expected.rows, rtol=1e-9)
    for name in record.statistics.dtype.names:
        np.testing.assert_allclose(record.statistics[name], expected.statistics[name], rtol=1e-9)


def test_compiled_code_needs_no_tensors():
    compiling = "from inference.nuts.drive import MACHINES as m; m['nuts'].drive.code"
    code = f"import sys; {compiling}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=True)
