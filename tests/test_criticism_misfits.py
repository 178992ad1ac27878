"""Models that are wrong on purpose, each beside one that is right for the same data or of the same family: the first is
caught by a sentence that points at what it misses, the second passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.config import load_experiment
from experiments.criticism.of_run import criticise_run
from experiments.prepare import prepare
from experiments.runner import conclude
from inference import fit

CONFIGS = Path(__file__).parent / "configs"


def criticised(path: Path):
    """The criticism of a config's first backend."""
    experiment = load_experiment(path)
    prepared = prepare(experiment)
    name, settings = next(iter(experiment.inference.items()))
    result = conclude(experiment, prepared, {name: fit(prepared.model, prepared.data, settings, seed=experiment.seed)})
    return criticise_run(experiment, prepared.model, result.data, result.fits, result.prior)[name]


# config: the statistic that catches it, how the element that it points at begins, what it says
WRONG = {
    "roaches_poisson": ("zeros", "", "more zeros than the counts explain; try `zeros: inflated` or `zeros: hurdle`"),
    "rat_tumors_pooled": ("dispersion", "", "rates differ from row to row by more than chance; give them groups"),
    "wells_straight": ("missing terms", "arsenic squared", "the model has no term for it; add it to the formula"),
    "penguins_independent": (
        "features together",
        "bill_depth_mm with ",  # flipper length or body mass: both correlations are 0.7
        "they depend on each other within the class, which naive Bayes takes as independent",
    ),
    "three_clusters_by_two": ("modes", "x", "a component is missing; try more"),
}
RIGHT = (
    "roaches",
    "rat_tumors",
    "misfits/wells_bent",
    "misfits/classes_simulated",
    "misfits/three_clusters_by_three",
    "../../configs/hidden_markov_earthquakes",
)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_model_is_caught(name):
    found = criticised(CONFIGS / "misfits" / f"{name}.yaml")
    statistic, element, sentence = WRONG[name]
    missed = {finding.name: finding for finding in found.findings if finding.surprising}
    assert missed[statistic].element.startswith(element) and sentence in missed[statistic].message
    assert sentence in found.told["predictive"]
    assert {item.name: item.passed for item in found.checklist}["Generated data resemble the data"] is False


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_model_passes(name):
    found = criticised(CONFIGS / f"{name}.yaml")
    assert [finding.message for finding in found.findings if finding.surprising] == []
    assert found.findings
    sums = {item.name: item.passed for item in found.checklist}["Responsibilities sum to one"]
    assert sums is (True if "clusters" in name or "hidden_markov" in name else None)


# Vehtari & Gabry, the loo package's vignettes: elpd_loo, its standard error, p_loo. Their priors are Normal(0, 1) on
# other scales, which thousands of rows outweigh.
PUBLISHED = {"misfits/wells_straight": (-1968.5, 15.6, 3.2), "misfits/wells_bent": (-1952.3, 16.2, 3.1)}


@pytest.mark.parametrize("name", PUBLISHED)
def test_scores_are_the_published_ones(name):
    score = criticised(CONFIGS / f"{name}.yaml").loo
    assert score is not None
    np.testing.assert_allclose([score.elpd, score.se], PUBLISHED[name][:2], atol=0.12)
    assert score.p == pytest.approx(PUBLISHED[name][2], abs=0.3)
