"""What a fit predicts of rows that were kept from it, a chunk of rows at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.criticism.classes import DIGITS, class_names
from experiments.criticism.held_out import score_held_out
from experiments.criticism.pit import weighted_pit
from experiments.criticism.pointwise import chunks
from experiments.criticism.record import HeldOutScores
from experiments.criticism.scores import log_mean_exp
from inference.posterior import Posterior
from inference.streams import stream, workspace
from models.base import Data

MOST_VALUES = 200_000_000  # log densities computed in all; beyond it fewer draws are taken


def score_unseen(
    model: Any, data: Data, posterior: Posterior, seed: int, num_threads: int, chunk_values: int, binary: bool
) -> HeldOutScores:
    """Scores of the rows of `data`, which the posterior has not seen. chunk_values: log densities held at once. binary:
    whether the outcome is 0 or 1 by its distribution."""
    from scipy.special import logsumexp, softmax

    from inference.predict import thin
    from inference.program import faults_of

    (site, *others) = data.observed
    single = not others and np.ndim(data.observed[site]) == 1
    outcome = np.asarray(data.observed[site], dtype=float)
    names = class_names(model, data)
    numeric = single and not names and not binary
    u = np.random.default_rng(stream(seed, "held out")).uniform(size=len(outcome))
    pointwise, pit, probabilities = [], [], []
    with workspace(stream(seed, "held out"), num_threads), faults_of(model):
        draws = thin(posterior.draws, len(outcome), MOST_VALUES)
        flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in draws.items()}
        count = len(next(iter(flat.values())))
        for rows, table, copies in chunks(model, data, draws, chunk_values, replicate=numeric):
            pointwise.append(log_mean_exp(table))
            if numeric and copies is not None:
                even = np.full((count, 1), 1 / count)
                pit.append(weighted_pit(outcome[rows], copies, even, u[rows]))
            if names:
                step = max(1, chunk_values // (count * len(names)))
                for start in range(rows.start, rows.stop, step):
                    joint = model.class_log_joint(flat, data, slice(start, min(start + step, rows.stop)))
                    probabilities.append(softmax(logsumexp(joint, axis=0), axis=1))
    score = np.concatenate(pointwise)
    of_classes = np.concatenate(probabilities) if names else None
    if single and not numeric and not names:
        one = np.where(outcome == 1, np.exp(score), -np.expm1(score)).clip(0, 1).round(DIGITS)
        of_classes = np.column_stack([1 - one, one])
    codes = None if of_classes is None else outcome.astype(int)
    return score_held_out(score, of_classes, codes, np.concatenate(pit) if pit else None, seed, names or None)
