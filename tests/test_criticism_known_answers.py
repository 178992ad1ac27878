"""The table of known answers, as `pyrozoo selftest` runs it."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.criticism.known_answers import ANSWERS, OUT_OF_SCOPE, Answer, check

NAMES = [f"{answer.id}: {answer.what}" for answer in ANSWERS]


@pytest.mark.parametrize("answer", ANSWERS, ids=NAMES)
def test_the_product_finds_the_known_answer(answer):
    verdict = check(answer)
    assert verdict.passed, f"expected {answer.expected}, got {verdict.found.tolist()}, tolerance {answer.tolerance}"


@pytest.mark.parametrize(
    ("expected", "found", "passed"),
    [
        (1.0, 1.0 + 2e-9, False),
        (1.0, 1.0 + 5e-10, True),
        ((1.0, 2.0), [1.0, 2.1], False),
        ((1.0, 2.0), [1.0], False),
        (np.inf, np.inf, True),
        (np.inf, 5.0, False),
        (0.5, np.nan, False),
    ],
)
def test_an_answer_that_is_off_is_seen(expected, found, passed):
    assert check(Answer("X", "x", expected, 1e-9, lambda: found)).passed == passed


def test_every_row_is_told_once_and_those_left_out_have_a_reason():
    assert len(set(NAMES)) == len(NAMES)
    assert all(len(reason) > 20 for reason in OUT_OF_SCOPE.values())
    sections = {"BB", "NB", "GM", "HM", "MC", "EL", "SA", "PP", "CA", "DI", "IT", "DR"}
    assert {answer.id[:2] for answer in ANSWERS} >= sections
