"""What becomes of posteriors before their summaries: labels made the same everywhere, quantities added."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.derived import finish
from experiments.finished import groups
from experiments.report import tables
from experiments.results import Fit
from inference.posterior import Posterior
from models.base import Data, Quantities

DIMS = {"mu": ("component",), "moves": ("component", "next_component"), "shift": ()}
CENTRES = np.array([-5.0, 0.0, 5.0])
MOVES = np.array([[0.8, 0.15, 0.05], [0.1, 0.7, 0.2], [0.3, 0.1, 0.6]])


def draws(chains: int, length: int, seed: int, switch: bool) -> dict[str, np.ndarray]:
    """Three components well apart; with `switch`, each chain has labels of its own and changes them on the way."""
    rng = np.random.default_rng(seed)
    mu = CENTRES + rng.normal(0, 0.3, (chains, length, 3))
    moves = np.broadcast_to(MOVES, (chains, length, 3, 3)) + rng.uniform(0, 0.01, (chains, length, 3, 3))
    for chain in range(chains):
        for start in range(0, length, length // 2):
            order, part = rng.permutation(3) if switch else np.arange(3), slice(start, start + length // 2)
            mu[chain, part] = mu[chain, part][:, order]
            moves[chain, part] = moves[chain, part][:, order][:, :, order]
    return {"mu": mu, "moves": moves, "shift": rng.normal(0, 1, (chains, length))}


def posterior(backend: str, seed: int, switch: bool = True) -> Posterior:
    chains, length = (4, 100) if backend == "nuts" else (1, 60)
    coords = {"component": [0, 1, 2]}
    return Posterior(
        backend, draws(chains, length, seed, switch), DIMS, coords, dependent=backend == "nuts", facts={"a": 1}
    )


def family(exchangeable: str | None) -> SimpleNamespace:
    """What of a family is asked here; its quantity has an axis of its own."""

    def quantities(draws, data):
        spread = np.stack([draws["mu"].min(axis=-1), draws["mu"].max(axis=-1)], axis=-1)
        found = {"ends": spread + data.inputs["by"], "by": np.full(spread.shape[:2], data.inputs["by"])}
        return Quantities(found, {"ends": ("end",)}, {"end": ["low", "high"]})

    return SimpleNamespace(exchangeable=exchangeable, quantities=quantities)


DATA = Data({"by": 0.0})


def test_all_backends_and_the_truth_get_one_labelling():
    before = {"nuts": posterior("nuts", 1), "svi": posterior("svi", 2)}
    order = [1, 2, 0]
    truth = {"mu": CENTRES[order], "moves": MOVES[order][:, order], "shift": np.array(0.5)}
    after, known = finish(family("component"), DATA, before, truth)
    for found in after.values():
        assert found.draws["mu"].mean(axis=(0, 1)) == pytest.approx(CENTRES, abs=0.2)
        assert found.draws["moves"].mean(axis=(0, 1)) == pytest.approx(MOVES, abs=0.02)
    assert known["mu"] == pytest.approx(CENTRES) and known["moves"] == pytest.approx(MOVES)
    assert known["shift"] == 0.5
    for name in before:
        assert (np.sort(after[name].draws["mu"]) == np.sort(before[name].draws["mu"])).all()
        assert (after[name].draws["shift"] == before[name].draws["shift"]).all()


def test_r_hat_is_told_before_and_after():
    before = {"nuts": posterior("nuts", 1), "svi": posterior("svi", 2)}
    after, _ = finish(family("component"), DATA, before, {})
    facts = after["nuts"].facts
    assert facts["r_hat_unaligned"] > 1.5 and facts["r_hat_aligned"] < 1.05
    assert facts["a"] == 1
    assert facts["labels_aligned"] == (
        f"component, R-hat at most {facts['r_hat_unaligned']:.4g} before and {facts['r_hat_aligned']:.4g} after"
    )
    assert after["svi"].facts == {"a": 1, "labels_aligned": "component"}
    (sentence,) = tables.remarks(Fit(after["svi"], {}, {}, {}))
    assert sentence == "Labels are arbitrary: all draws were aligned to one labelling along component."


def test_labels_that_mean_something_are_left_alone():
    before = {"nuts": posterior("nuts", 1)}
    truth = {"mu": CENTRES[::-1]}
    after, known = finish(family(None), DATA, before, truth)
    assert (after["nuts"].draws["mu"] == before["nuts"].draws["mu"]).all()
    assert after["nuts"].facts == {"a": 1}
    assert (known["mu"] == CENTRES[::-1]).all()


def test_quantities_are_variables_like_others():
    after, known = finish(family(None), Data({"by": 10.0}), {"svi": posterior("svi", 1, switch=False)}, {"mu": CENTRES})
    found = after["svi"]
    assert (found.draws["ends"][..., 1] == found.draws["mu"].max(axis=-1) + 10).all()
    assert found.dims["ends"] == ("end",) and found.coords == {"component": [0, 1, 2], "end": ["low", "high"]}
    assert list(found.summary())[-3:] == ["ends[low]", "ends[high]", "by"]
    assert list(known) == ["mu"] and known["mu"].tolist() == CENTRES.tolist()


def test_what_the_family_says_is_kept_and_told():
    speaking = SimpleNamespace(
        **vars(family(None)), remarks=lambda draws, data: (f"A shift of {data.inputs['by']:g}.",)
    )
    after, _ = finish(speaking, DATA, {"svi": posterior("svi", 1)}, {})
    assert after["svi"].facts == {"a": 1, "remarks": ["A shift of 0."]}
    assert tables.remarks(Fit(after["svi"], {}, {}, {})) == ["A shift of 0."]
    silent = SimpleNamespace(**vars(family(None)), remarks=lambda draws, data: [])
    assert finish(silent, DATA, {"svi": posterior("svi", 1)}, {})[0]["svi"].facts == {"a": 1}


def test_what_a_family_says_stands_below_its_table(run_cli):
    Path("zeros.yaml").write_text(
        "name: zeros\nmodel: {family: zero_inflated, formula: y ~ x}\n"
        "data: {values: {y: [0, 0, 1, 3, 0, 2, 5, 0], x: [1, 2, 3, 4, 5, 6, 7, 8]}}\n"
        "inference: {svi: {guide: laplace, num_samples: 50}}\n"
    )
    ended = run_cli("run", "zeros.yaml")
    assert ended.code in (0, 3), ended.err
    sentence = json.loads(Path("runs/zeros/manifest.json").read_text())["backends"]["svi"]["remarks"][0]
    assert "zero" in sentence and sentence.endswith(".")
    assert " ".join(sentence.split()[:5]) in " ".join(ended.out.split())
    assert " ".join(sentence.split()[:3]) in Path("runs/zeros/report.html").read_text()


def test_a_single_chain_has_no_r_hat_to_tell():
    alone = Posterior("nuts", draws(1, 100, 3, True), DIMS, dependent=True)
    after, _ = finish(family("component"), DATA, {"nuts": alone}, {})
    assert after["nuts"].facts == {"labels_aligned": "component"}


def test_a_run_has_quantities_in_every_file(run_cli):
    Path("pair.yaml").write_text(
        "name: pair\nmodel: {family: beta_bernoulli}\n"
        "data: {values: {successes: [3, 9], trials: [10, 12], group: [a, b]}}\ninference: {exact: {num_samples: 50}}\n"
    )
    assert run_cli("run", "pair.yaml", "--quiet").code == 0
    stored = groups(Path("runs/pair/posterior-exact.nc"))["posterior"]
    theta, lift = stored["theta"], stored["lift"]
    assert lift[..., 0] == pytest.approx(theta[..., 1] - theta[..., 0])
    lines = json.loads(Path("runs/pair/summary.json").read_text())["exact"]
    assert lines["lift[b]"]["mean"] == pytest.approx(10 / 14 - 4 / 12, abs=1e-9)  # in closed form, not of draws
    assert lines["lift[b]"]["mcse_mean"] == 0
    assert "lift[b]" in Path("runs/pair/report.html").read_text()
