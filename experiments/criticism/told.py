"""What scores and calibrations come to, in a sentence or two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from experiments.criticism.information import Uncertainty
from experiments.criticism.recalibration import Recalibrated
from experiments.criticism.record import Calibration, ClassCalibration, Quantiles, most_unsure
from experiments.criticism.scores import Loo, spread
from experiments.words import counted, listed, number

if TYPE_CHECKING:
    from experiments.criticism.refits import Refit


def typical(elpd: float, rows: int) -> str:
    """`a typical row has probability 0.62`."""
    return f"a typical row has {'density' if elpd > 0 else 'probability'} {number(np.exp(elpd / rows), 3)}"


def scores_told(score: Loo) -> str:
    rows = len(score.pointwise)
    sentence = (
        f"Leaving out each of {counted(rows, 'row')} in turn, the expected log predictive density is "
        f"{number(score.elpd, 5)} (se {number(score.se, 3)}), with {number(score.p, 3)} effective parameters: "
        f"{typical(score.elpd, rows)}."
    )
    refitted = len(score.refitted)
    if refitted:
        sentence += (
            f" For {counted(refitted, 'row')} the weights do not hold (k-hat above {number(score.good_k, 2)}): "
            f"{'they are' if refitted > 1 else 'it is'} scored by fits without {'them' if refitted > 1 else 'it'}."
        )
    if len(score.bad):
        return sentence + (
            f" For {counted(len(score.bad), 'row')} the weights do not hold (k-hat above {number(score.good_k, 2)}): "
            "the posterior leans on such a row, and the sum is too favourable; fit without it, or use K-fold."
        )
    if refitted:
        return sentence
    return sentence + f" The weights hold for every row (k-hat at most {number(float(score.k.max()), 2)})."


def refit_told(found: Refit, score: Loo | None) -> str:
    """Scores by fits to other rows, beside leave-one-out where it is of the same rows."""
    rows = len(found.rows)
    if found.method == "leave-future-out":
        return (
            f"Predicting each of the last {counted(rows, 'row')} from those before it alone, the log predictive "
            f"density is {number(found.elpd, 5)} (se {number(found.se, 3)}): {typical(found.elpd, rows)}. It took "
            f"{counted(found.num_fits, 'fit')}; weights carried each over the rows that followed."
        )
    sentence = (
        f"By {found.method} cross-validation, each row scored by the fit to the other folds, it is "
        f"{number(found.elpd, 5)} (se {number(found.se, 3)})"
    )
    if score is None or len(score.pointwise) != rows:
        return sentence + "."
    gap = found.elpd - score.elpd
    error = spread(found.pointwise - score.pointwise)
    return (
        sentence
        + f", {number(abs(gap), 2)} {'more' if gap > 0 else 'less'} (se {number(error, 2)}) than leave-one-out."
    )


def calibration_told(found: Calibration) -> str:
    return (
        errors_told(found, "ones come")
        + f" It tells ones from zeros with AUC {number(found.auc, 3)} and average precision "
        f"{number(found.average_precision, 3)} (a blind guess: 0.5 and {number(found.base_rate, 3)}), and calls "
        f"{found.accuracy.value:.1%} of rows right ({found.accuracy.lower:.1%} to {found.accuracy.upper:.1%})."
    )


def classes_told(found: ClassCalibration) -> str:
    names = [one.name for one in found.classes]
    commonest = max(one.rows for one in found.classes) / sum(one.rows for one in found.classes)
    sentence = errors_told(found, "it is right") + (
        f" It calls {found.accuracy.value:.1%} of rows right ({found.accuracy.lower:.1%} to "
        f"{found.accuracy.upper:.1%}; always the commonest class: {commonest:.1%}), with log loss "
        f"{number(found.log_loss, 3)} and mean AUC {number(found.auc, 3)} of one class against the rest."
    )
    wrong = np.array(found.confusion)
    np.fill_diagonal(wrong, 0)
    if not wrong.any():
        return sentence
    true, called = np.unravel_index(wrong.argmax(), wrong.shape)
    return sentence + (
        f" The commonest mistake: `{names[true]}` called `{names[called]}`, {counted(int(wrong.max()), 'row')} of "
        f"{found.classes[true].rows:,}."
    )


def calibrated_enough(found: Calibration | ClassCalibration) -> bool:
    """Whether the calibration error is one that chance may well give."""
    return bool(found.ece.value <= max(2 * found.expected_ece, 0.01))


def errors_told(found: Calibration | ClassCalibration, event: str) -> str:
    """ECE against chance, bins outside of their bands, and the worst of them where they are many."""
    outside = [row for row in found.table if row.rows and not row.lower <= row.observed <= row.upper]
    used = sum(row.rows > 0 for row in found.table)
    sentence = (
        f"The calibration error (ECE) is {number(found.ece.value, 2)}, where chance alone gives a calibrated model "
        f"{number(found.expected_ece, 2)}; {len(outside)} of {counted(used, 'bin')} lie outside their 95% bands."
    )
    if not outside or len(outside) <= max(1, 0.2 * used) and calibrated_enough(found):
        return sentence
    worst = max(outside, key=lambda row: row.rows * abs(row.observed - row.predicted))
    way = "more" if worst.observed > worst.predicted else "less"
    return sentence + f" Where it says {number(worst.predicted, 2)}, {event} {way} often: {number(worst.observed, 2)}."


def quantiles_told(found: Quantiles) -> str:
    off = [row for row in found.coverage if not row.lower <= row.share <= row.upper]
    held = next(row for row in found.coverage if row.level == 0.9)
    sentence = f"The predictive 90% intervals hold {held.share:.0%} of rows that they were not fitted to."
    if not off:
        return sentence + " At every level they hold as many as they should."
    way = "wide" if off[0].share > off[0].level else "narrow"
    return sentence + f" At the level {off[0].level:.0%} it is {off[0].share:.0%}: predictions are too {way}."


def uncertainty_told(found: Uncertainty, num_classes: int, names: Sequence[str]) -> str:
    """names: of the rows, as a person counts them."""
    total, chance, unknown = (float(part.mean()) for part in found)
    sentence = (
        f"Of the {number(total, 2)} nats of uncertainty about a row's outcome ({number(np.log(num_classes), 2)} is "
        f"a blind guess), {number(chance, 2)} is chance that no data would remove, and {number(unknown, 2)} is not "
        "knowing the parameters"
    )
    worst = most_unsure(found)
    if not worst:
        return sentence + "."
    sizes = listed([number(float(found.epistemic[row]), 2) for row in worst])
    return sentence + f", most at row{'s' if len(worst) > 1 else ''} {listed([names[row] for row in worst])} ({sizes})."


def recalibration_told(found: Sequence[Recalibrated]) -> str:
    """Whether a map of the probabilities, fitted on one half of the rows, would mend the other."""
    best = min(found, key=lambda one: one.log_loss[1])
    before, after = best.log_loss
    if after >= before - 0.005:
        return "No recalibration lowers the log loss of rows that it has not seen: take the probabilities as they are."
    return (
        f"Recalibration ({best.method}) on one half of these rows lowers the other half's log loss from "
        f"{number(before, 3)} to {number(after, 3)}."
    )
