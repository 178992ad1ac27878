"""From a result to `report.html`: one file with its figures inside, no scripts, nothing fetched from anywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from experiments.report import style, tables
from experiments.report.criticism import sections
from experiments.report.figures import picture, pictures
from experiments.report.variables import Quantiles, has, reference, truth_of, variables
from experiments.results import Result
from experiments.words import counted, flat, in_step, listed, number
from experiments.yaml_target import dump

# Parts of the manifest that the report shows in a place of their own.
PLACED = ("data", "created", "backends", "versions", "config", "command")
FEW = 3


def build(result: Result, folder: Path) -> Path:
    """Write `folder/figures/*.png` and `folder/report.html`, and return the path of the latter.

    The same result gives the same bytes. OSError where the folder cannot be written.
    """
    drawn, criticism = pictures(result), criticised(result)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for figure in [*drawn, *(figure for part in criticism for figure in part["pictures"])]:
        (folder / "figures" / figure.file).write_bytes(figure.png)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["code"] = code
    template = environment.from_string(
        resources.files(__package__).joinpath("template.html").read_text(encoding="utf-8")
    )
    path = folder / "report.html"
    page = template.render(content(result), pictures=drawn, criticism=criticism)
    path.write_text(page, encoding="utf-8", newline="\n")
    return path


def criticised(result: Result) -> list[dict[str, Any]]:
    """The criticism's sections with their figures drawn."""
    with style.look():
        return [
            {**part._asdict(), "anchor": part.anchor, "pictures": [picture(drawing) for drawing in part.drawings]}
            for part in sections(result)
        ]


def table_html(result: Result) -> str:
    """The verdict and every backend's posterior table, for a notebook."""
    parts = [f"<p><b>{escape(result.verdict)}</b></p>"]
    for backend in result.fits:
        table = tables.posterior(result, backend)
        head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
        doubt = result.doubt(backend)
        told = f": <b>{escape(doubt)}</b>" if doubt else ""
        parts.append(
            f"<p>{escape(backend)}{told}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )
    return "".join(parts)


def code(text: str) -> Markup:
    """Words between backticks in the type of code; everything escaped."""
    parts = re.split(r"`([^`]+)`", text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if k % 2 else escape(part) for k, part in enumerate(parts)
    )


def content(result: Result) -> dict[str, Any]:
    """Everything that the template shows, as text and rows of text."""
    manifest = result.manifest
    resolved = as_plain(result.experiment.resolved)
    backends = list(result.fits)
    return {
        "verdict": result.verdict,
        "passed": result.passed and bool(result.checks),
        "failures": [
            (f"{check.backend}: " if len(backends) > 1 else "") + check.message
            for check in result.checks
            if not check.passed
        ],
        "name": result.experiment.name,
        "created": moment(str(manifest.get("created", ""))),
        "backends": listed(backends),
        "essence": essence(result),
        "doubt": result.doubt(),
        "essence_doubt": result.doubt(reference(result)),
        "story": result.story,
        "notes": list(result.story.notes),
        "settings": flat(resolved["model"]) if isinstance(resolved.get("model"), Mapping) else [],
        "source": flat(manifest["data"]) if isinstance(manifest.get("data"), Mapping) else [],
        "outcomes": tables.outcomes(result),
        "inputs": tables.inputs(result),
        "posteriors": [posterior(result, backend) for backend in backends],
        "agreement": tables.agreement(result) if len(backends) > 1 and result.agreement else None,
        "trusted": reference(result),
        "estimates": tables.estimates(result),
        "estimates_notes": list(result.estimates.notes) if result.estimates is not None else [],
        "agreement_in_words": tables.agreement_in_words(result) if len(backends) > 1 and result.agreement else "",
        "checks": tables.checks(result),
        "provenance": [
            ("seed", str(result.experiment.seed)),
            *flat({k: v for k, v in manifest.items() if k not in (*PLACED, "seed")}),
        ],
        "command": str(manifest.get("command", "")),
        "versions": flat(manifest["versions"]) if isinstance(manifest.get("versions"), Mapping) else [],
        "timings": timings(result),
        "config": dump(resolved),
    }


def essence(result: Result) -> str:
    """Means and 95% intervals of the first few variables, by the backend that the others are measured against."""
    backend = reference(result)
    fit = result.fits[backend]
    ends = Quantiles(fit.posterior, [0.025, 0.975])
    known = [variable for variable in variables(result) if has(fit.posterior, variable)]
    told = []
    for variable in known[:FEW]:
        line = fit.summary[variable.name]
        mean, sd = float(line["mean"] or 0.0), float(line["sd"] or 0.0)
        shown, low, high = in_step([mean, *ends[variable]], sd)
        truth = truth_of(result, variable)
        simulated = "" if truth is None else f" (simulated with {in_step([truth], sd)[0]})"
        if sd > 0:
            told.append(
                f"`{variable.name}` has mean {shown} and lies between {low} and {high} with probability 95%{simulated}"
            )
        else:
            told.append(f"`{variable.name}` is estimated at {shown}, without an interval{simulated}")
    rest = f" The tables below have {counted(len(known) - FEW, 'more variable')}." if len(known) > FEW else ""
    return f"By {backend}: " + "; ".join(told) + "." + rest


def posterior(result: Result, backend: str) -> dict[str, Any]:
    """One backend's table, log evidence, remarks, and how many true values its intervals hold."""
    fit = result.fits[backend]
    ends = Quantiles(fit.posterior, [0.025, 0.975])
    known = [(variable, truth_of(result, variable)) for variable in variables(result) if has(fit.posterior, variable)]
    held = [ends[variable][0] <= truth <= ends[variable][1] for variable, truth in known if truth is not None]
    facts = fit.posterior.facts
    proved, estimated = facts.get("log_evidence"), facts.get("log_evidence_estimate")
    evidence = f"Log evidence: {number(proved, 8)}" if proved is not None else ""
    evidence = (
        f"Log evidence, estimated by importance sampling: {number(estimated, 4)}" if estimated is not None else evidence
    )
    return {
        "backend": backend,
        "doubt": result.doubt(backend),
        "table": tables.posterior(result, backend),
        "evidence": evidence,
        "held": f"The 95% intervals hold {sum(held)} of {counted(len(held), 'true value')}." if held else "",
        "remarks": tables.remarks(fit),
    }


def moment(created: str) -> str:
    """`4 March 2026, 12:00 UTC` from ISO 8601; any other text as it is."""
    try:
        when = datetime.fromisoformat(created)
    except ValueError:
        return created
    return f"{when.day} {when:%B %Y, %H:%M %Z}".strip()


def timings(result: Result) -> tables.Table:
    """Seconds of every backend, and the plain facts that only it knows."""
    rows = []
    for backend, fit in result.fits.items():
        seconds = dict(fit.posterior.seconds)
        stages = [number(seconds.get(stage), 3) for stage in ("setup", "warmup", "sampling")]
        facts = [
            f"{key} {number(value)}"
            for key, value in fit.posterior.facts.items()
            if isinstance(value, (int, float, str)) and key not in tables.REMARKS
        ]
        rows.append([backend, *stages, number(sum(seconds.values()), 3), "; ".join(facts)])
    return tables.Table(["backend", "set-up, s", "warm-up, s", "sampling, s", "total, s", "what only it knows"], rows)


def as_plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """The resolved config as YAML can write it; values of other types as their text."""
    return dict(json.loads(json.dumps(record, default=str)))
