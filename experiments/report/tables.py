"""The report's tables as plain rows of text: data, posterior, estimators, agreement, checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.agreement import POLICY
from experiments.report.variables import Quantiles, has, reference, some, truth_of, variables
from experiments.results import Agreement, Fit, Result
from experiments.words import NONE, counted, in_step, listed, number

MOST_ROWS = 200  # more than thirty scroll on screen
OWN_MODE = "MAP, own scale (sd)"
WEIGHTS = "prior : data"  # how much prior and data count, in one unit


# facts that a backend states about the program, in words: {} is the reason or the names
REMARKS = {
    "untraced": "The program could not be traced into one graph ({}). It ran as plain Pyro: rightly, but slowly.",
    "held_parameters": "Held at the value that the program gives it, as no prior is on it: {}.",
    "labels_aligned": "Labels are arbitrary: all draws were aligned to one labelling along {}.",
    "moved_chains": "Chains that settled where next to no mass is, and were moved to others during warm-up: {}.",
    "states_left_out": "Summed out and not handed back, as the draws would be too many: {}.",
}


class Table(NamedTuple):
    """Column names, rows of text, and a sentence below; the first `words` columns are words, the others numbers."""

    columns: list[str]
    rows: list[list[str]]
    note: str = ""
    words: int = 1


def outcomes(result: Result) -> Table:
    """What was observed, one row a site."""
    rows = []
    for site, values in result.data.observed.items():
        values = np.asarray(values, dtype=float)
        shown = [f"{site}", shape_in_words(values.shape)]
        if values.size == 0:
            rows.append([*shown, *[NONE] * 4, "no values"])
            continue
        moments = [values.mean(), values.std(), values.min(), values.max()]
        rows.append([*shown, *map(number, moments), counts_in_words(values)])
    return Table(["observed", "size", "mean", "sd", "min", "max", "counts"], rows)


def shape_in_words(shape: tuple[int, ...]) -> str:
    return " × ".join(f"{size:,}" for size in shape) if shape else "1"


def counts_in_words(values: np.ndarray) -> str:
    """`7 ones, 3 zeros` of a binary outcome, the commonest values of one with few, nothing for others."""
    kinds, counts = np.unique(values, return_counts=True)
    if set(kinds) <= {0.0, 1.0}:
        ones = int(values.sum())
        return f"{counted(ones, 'one')}, {counted(values.size - ones, 'zero')}"
    if len(kinds) > 6:
        return f"{counted(len(kinds), 'distinct value')}"
    return ", ".join(f"{kind:g}: {count:,}" for kind, count in zip(kinds, counts, strict=True))


def inputs(result: Result) -> Table:
    """What the program was given, with the names of the axes."""
    rows = []
    for name, value in result.data.inputs.items():
        array = np.asarray(value)
        dims = result.data.dims.get(name, ())
        axes = ", ".join(f"{dim} ({size:,})" for dim, size in zip(dims, array.shape, strict=False)) or shape_in_words(
            array.shape
        )
        numeric = array.size > 0 and array.dtype.kind in "fiub"
        ends = [number(array.min().item()), number(array.max().item())] if numeric else [NONE, NONE]
        rows.append([name, axes if array.ndim else "one value", *ends])
    return Table(["input", "axes", "min", "max"], rows, words=2)


def posterior(result: Result, backend: str) -> Table:
    """One backend's variables. A column that holds no number is left out; R-hat is for Markov chains only."""
    fit = result.fits[backend]
    known = [variable for variable in variables(result) if has(fit.posterior, variable)]
    interval = Quantiles(fit.posterior, [0.025, 0.975])
    rows = []
    for variable in some(known, MOST_ROWS):
        line = fit.summary[variable.name]
        mean, sd = (float(line[key] or 0.0) for key in ("mean", "sd"))
        low, high = interval[variable]
        truth = truth_of(result, variable)
        inside = NONE if truth is None else "inside" if low <= truth <= high else "outside"
        row = [variable.name, *in_step([mean, sd, low, high], sd), mcse(line["mcse_mean"])]
        row += [NONE if line[key] is None else f"{line[key]:,.0f}" for key in ("ess_bulk", "ess_tail")]
        row += [NONE if line["r_hat"] is None or not fit.posterior.dependent else f"{line['r_hat']:.3f}"]
        rows.append([*row, *(in_step([truth], sd) if truth is not None else [NONE]), inside])
    columns = ["variable", "mean", "sd", "2.5%", "97.5%", "mcse", "ESS bulk", "ESS tail", "R-hat", "truth", "in 95%"]
    used = [k for k in range(len(columns)) if k < 6 or any(row[k] != NONE for row in rows)]
    notes = [f"{counted(len(known) - len(rows), 'more variable')} in summary.json."] if len(known) > len(rows) else []
    return Table([columns[k] for k in used], [[row[k] for k in used] for row in rows], " ".join([nature(fit), *notes]))


def mcse(value: float | None) -> str:
    """Two digits: the error of an error is not worth more."""
    return NONE if value is None else in_step([value], 10 * value)[0]


def nature(fit: Fit) -> str:
    """What the numbers of this backend rest on."""
    draws = counted(fit.posterior.num_draws, "draw")
    if fit.posterior.dependent:
        chains = next(iter(fit.posterior.draws.values())).shape[0]
        return f"{draws} from {counted(chains, 'Markov chain')}; mcse is the Monte Carlo standard error of the mean."
    if all(line["sd"] == 0 for line in fit.summary.values()):
        return "A point estimate: it has no uncertainty."
    if fit.posterior.marginals:
        return "Closed form: mcse 0 marks numbers that do not rest on draws."
    return f"{draws}, independent given the approximation; mcse does not include the approximation's own error."


def estimates(result: Result) -> Table | None:
    """Maximum likelihood, both modes, Laplace and the posterior side by side, a line each parameter; the closed forms
    of `exact` where it has them, and its weights. None where there is nothing to show.

    The two modes have one column where they are the same, as those of parameters without bounds are."""
    exact = result.fits["exact"].posterior.facts.get("estimates", {}) if "exact" in result.fits else {}
    found = result.estimates.table if result.estimates is not None else {}
    base = result.fits[reference(result)]
    names = [name for name in dict.fromkeys([*found, *exact]) if name in base.summary]
    if not names:
        return None
    ends = Quantiles(base.posterior, [0.025, 0.975])
    places = {variable.name: variable for variable in variables(result) if has(base.posterior, variable)}
    rows, one_mode = [], True
    for name in names[:MOST_ROWS]:
        closed = {key: value for key, value in exact.get(name, {}).items() if value is not None}
        line = {**found.get(name, {}), **closed}
        sd, share = float(base.summary[name]["sd"] or 0.0), line.get("prior_share")
        weights = [line.get(key) for key in ("prior_weight", "data_weight")]
        own, free = line.get("map"), line.get("map_unconstrained")
        one_mode = one_mode and own is not None and free is not None and abs(own - free) <= 1e-5 * sd
        rows.append(
            [
                name,
                beside(line.get("mle"), [line.get("mle_se")], sd),
                beside(line.get("map"), [line.get("map_sd")], sd),
                beside(line.get("map_unconstrained"), [line.get("laplace_lower"), line.get("laplace_upper")], sd),
                beside(base.summary[name]["mean"], ends[places[name]], sd),
                NONE if share is None else f"{share:.1%}",
                NONE if None in weights else " : ".join(map(number, weights)),
            ]
        )
    columns = [
        "variable",
        "MLE (se)",
        OWN_MODE,
        "MAP (Laplace 95%)" if one_mode else "MAP, unconstrained (Laplace 95%)",
    ]
    columns += [f"{base.posterior.backend}: mean (95%)", "prior's share", WEIGHTS]
    told = [k for k in range(len(columns)) if k == 0 or any(row[k] != NONE for row in rows)]
    used = [k for k in told if not (one_mode and columns[k] == OWN_MODE)]
    left = len(names) - len(rows)
    note = f"{counted(left, 'more variable')} in estimates.json." if left else ""
    return Table([columns[k] for k in used], [[row[k] for k in used] for row in rows], note)


def beside(value: float | None, others: Sequence[float | None], sd: float) -> str:
    """`0.643 (0.124)` or `0.643 (0.386 to 0.861)`, to as many digits as the posterior's `sd` deserves."""
    if value is None:
        return NONE
    known = [other for other in others if other is not None]
    first, *rest = in_step([value, *known], sd)
    return f"{first} ({' to '.join(rest)})" if rest else first


def remarks(fit: Fit) -> list[str]:
    """What the reader must know: what the family says of the fit, and how the program was run, one sentence each."""
    told = {key: fit.posterior.facts.get(key) for key in REMARKS}
    named = {
        key: str(value) if isinstance(value, (str, int)) else listed([f"`{name}`" for name in value])
        for key, value in told.items()
        if value
    }
    return [*fit.posterior.facts.get("remarks", ()), *(REMARKS[key].format(value) for key, value in named.items())]


def agreement(result: Result) -> Table:
    """Means (sd) of every backend side by side; the largest distances where there are too many variables; the policy
    below."""
    names = list(result.agreement)
    if len(names) > MOST_ROWS:
        worst = set(sorted(names, key=lambda name: -result.agreement[name].max_w1_sd)[:MOST_ROWS])
        names = [name for name in names if name in worst]
    rows = [[name, *agreement_row(result.agreement[name], list(result.fits))] for name in names]
    left = len(result.agreement) - len(rows)
    means = [f"{backend}: mean (sd)" for backend in result.fits]
    columns = ["variable", "verdict", *means, "gap / sd", "gap / mcse", "W1 / sd"]
    more = [f"{counted(left, 'more variable')} with smaller distances in agreement.json."] if left else []
    return Table(columns, rows, " ".join([*more, POLICY]))


def agreement_row(line: Agreement, backends: list[str]) -> list[str]:
    cells = []
    for backend in backends:
        numbers = line.by_backend.get(backend)
        cells.append(
            NONE if numbers is None else "{} ({})".format(*in_step([numbers["mean"], numbers["sd"]], numbers["sd"]))
        )
    return [line.verdict, *cells, *(number(n, 2) for n in (line.max_gap_sd, line.max_gap_mcse, line.max_w1_sd))]


def agreement_in_words(result: Result) -> str:
    """How many variables got which verdict, and where the largest distance is."""
    verdicts: dict[str, int] = {}
    for line in result.agreement.values():
        verdicts[line.kind] = verdicts.get(line.kind, 0) + 1
    told = listed([f"“{verdict}” on {counted(count, 'variable')}" for verdict, count in verdicts.items()])
    worst = max(result.agreement, key=lambda name: result.agreement[name].max_w1_sd)
    distance = number(result.agreement[worst].max_w1_sd, 2)
    backends, base = listed(list(result.fits)), reference(result)
    return (
        f"Verdict for {backends}: {told}. The marginal farthest from that by {base} is `{worst}`, at a Wasserstein-1 "
        f"distance of {distance} posterior standard deviations."
    )


def checks(result: Result) -> list[dict[str, Any]]:
    """Every check, failed ones first."""
    ordered = sorted(result.checks, key=lambda check: check.passed)
    return [
        {**check._asdict(), "value": number(check.value), "threshold": number(check.threshold)} for check in ordered
    ]
