"""The report's tables as plain rows of text: data, posterior, point estimates, agreement, checks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from experiments.report.variables import Quantiles, has, some, truth_of, variables
from experiments.results import Agreement, Fit, Result
from experiments.words import NONE, counted, in_step, listed, number

MOST_ROWS = 200  # more than thirty scroll on screen
ESTIMATES = {
    "mle": "maximum likelihood",
    "map": "mode (MAP)",
    "mean": "posterior mean",
    "prior_weight": "weight of the prior",
    "data_weight": "weight of the data",
}


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


def estimates(fit: Fit) -> Table | None:
    """Maximum likelihood, mode, mean and the prior's weight, where the backend knows them."""
    known = fit.posterior.facts.get("estimates")
    if not known:
        return None
    keys = [key for key in ESTIMATES if any(key in line for line in known.values())]
    rows = [[name, *(number(line.get(key)) for key in keys)] for name, line in list(known.items())[:MOST_ROWS]]
    left = len(known) - len(rows)
    return Table(
        ["variable", *(ESTIMATES[key] for key in keys)],
        rows,
        f"{counted(left, 'more variable')} in manifest.json." if left else "",
    )


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
    """Means (sd) of every backend side by side; the largest gaps where there are too many variables."""
    names = list(result.agreement)
    if len(names) > MOST_ROWS:
        worst = sorted(names, key=lambda name: -result.agreement[name].max_gap_sd)[:MOST_ROWS]
        names = [name for name in names if name in worst]
    rows = [[name, *agreement_row(result.agreement[name], list(result.fits))] for name in names]
    left = len(result.agreement) - len(rows)
    columns = ["variable", *(f"{backend}: mean (sd)" for backend in result.fits), "gap / sd", "gap / mcse", "verdict"]
    return Table(
        columns, rows, f"{counted(left, 'more variable')} with smaller gaps in agreement.json." if left else ""
    )


def agreement_row(line: Agreement, backends: list[str]) -> list[str]:
    cells = []
    for backend in backends:
        numbers = line.by_backend.get(backend)
        cells.append(
            NONE if numbers is None else "{} ({})".format(*in_step([numbers["mean"], numbers["sd"]], numbers["sd"]))
        )
    return [*cells, number(line.max_gap_sd, 2), number(line.max_gap_mcse, 2), line.verdict]


def agreement_in_words(result: Result) -> str:
    """How many variables got which verdict, and where the largest gap is."""
    verdicts: dict[str, int] = {}
    for line in result.agreement.values():
        verdicts[line.verdict] = verdicts.get(line.verdict, 0) + 1
    told = listed([f"“{verdict}” on {counted(count, 'variable')}" for verdict, count in verdicts.items()])
    worst = max(result.agreement, key=lambda name: result.agreement[name].max_gap_sd)
    gap = number(result.agreement[worst].max_gap_sd, 2)
    backends = listed(list(result.fits))
    return f"Verdict for {backends}: {told}. The largest gap is {gap} posterior standard deviations, at `{worst}`."


def checks(result: Result) -> list[dict[str, Any]]:
    """Every check, failed ones first."""
    ordered = sorted(result.checks, key=lambda check: check.passed)
    return [
        {**check._asdict(), "value": number(check.value), "threshold": number(check.threshold)} for check in ordered
    ]
