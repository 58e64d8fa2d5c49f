"""What does code scanning take of the sites that were run? SARIF 2.1.0, with a kind for each verdict."""

from __future__ import annotations

import hashlib
import json

from ga_lint.report.json import Json
from ga_lint.report.line_hash import line_hashes
from ga_lint.report.numeric.json import finite
from ga_lint.report.numeric.model import NumericReport, SiteReport, headline, in_cell, withdrawal
from ga_lint.report.sarif import MAX_RESULTS, document, invocation, physical, plain
from ga_lint.resources import HOME_URL
from ga_lint.source import Position, Span
from ga_lint.verify.model import Outcome

_HELP_URL = f"{HOME_URL}#what-verify-says"
# What each verdict is in SARIF's words; only what fails has a level.
_RULES: dict[Outcome, tuple[str, str, str]] = {
    Outcome.CONFIRMED: ("fail", "warning", "The gradient depends on how the batch is cut; the rewrite's does not."),
    Outcome.REFUTED: ("fail", "error", "The rewrite of this loss is wrong and must not be applied."),
    Outcome.WRONG: ("fail", "warning", "The gradient depends on how the batch is cut into micro-batches."),
    Outcome.MISSING_DIVISION: ("fail", "error", "The gradient is off by exactly the accumulation steps."),
    Outcome.CORRECT: ("pass", "none", "The gradient does not depend on how the batch is cut into micro-batches."),
    Outcome.INCONCLUSIVE: ("review", "none", "The numbers decide neither way."),
    Outcome.NOT_VERIFIABLE: ("open", "none", "The code could not be run: something that it needs was missing."),
    Outcome.NOT_RUN: ("open", "none", "The check was interrupted or its process died: nothing is known."),
}

_SEVERITIES = {"error": "error", "warning": "warning", "none": "recommendation"}


def render(report: NumericReport) -> str:
    """Everything but sites that are right: those are told only where a finding of `check` is withdrawn."""
    told = [site for site in report.sites if site.outcome is not Outcome.CORRECT or site.withdrawn]
    kept = sorted(told, key=lambda site: not site.is_fault)[:MAX_RESULTS]
    outcomes = [outcome for outcome in Outcome if any(site.outcome is outcome for site in kept)]
    written = document(
        rules=[_rule(outcome) for outcome in outcomes],
        invocation=invocation(report.files, len(told) - len(kept)),
        results=[_result(site, outcomes.index(site.outcome), report.below) for site in kept],
        category="ga-lint-verify/",
    )
    return json.dumps(written, indent=2, allow_nan=False) + "\n"


def _id(outcome: Outcome) -> str:
    return f"verify-{outcome.value.replace(' ', '-')}"


def _rule(outcome: Outcome) -> Json:
    _, level, text = _RULES[outcome]
    tags: list[Json] = ["correctness", "gradient-accumulation", "numeric-check"]
    return {
        "id": _id(outcome),
        "name": _id(outcome),
        "shortDescription": {"text": text},
        "fullDescription": {"text": text},
        "help": {"text": text, "markdown": text},
        "helpUri": _HELP_URL,
        "defaultConfiguration": {"level": level},
        "properties": {"tags": tags, "precision": "very-high", "problem.severity": _SEVERITIES[level]},
    }


def _result(site: SiteReport, rule: int, below: str) -> Json:
    kind, level, _ = _RULES[site.outcome]
    sentences = [f"{in_cell(site)}{headline(site)}", *([said] if (said := withdrawal(site)) else [])]
    span = Span(Position(site.row, 1), Position(site.row, max(len(site.line), 1) + 1))
    runs = [
        finite({"name": run.name, "setting": run.setting, "row": run.row, "error": run.relative_error})
        for run in site.verdict.runs
    ]
    properties: dict[str, Json] = {
        "outcome": site.outcome.value,
        "runs": runs,
        "assumptions": list(site.verdict.assumptions),
        "withdrawn": [diagnostic.finding.code for diagnostic in site.withdrawn],
    }
    return {
        "ruleId": _id(site.outcome),
        "ruleIndex": rule,
        "kind": kind,
        "level": level,
        "message": {"text": plain(". ".join(sentences) + ".")},
        "locations": [{"physicalLocation": physical(site.site.path, span, site.site.cell, below)}],
        "partialFingerprints": _fingerprints(site),
        "properties": properties,
    }


def _fingerprints(site: SiteReport) -> Json:
    """Without line numbers: the place by its function and its line's text."""
    words = [site.site.path.as_posix(), site.site.kind.value, site.site.scope, site.line.strip()]
    prints: dict[str, Json] = {
        "gaLintFingerprint/v1": hashlib.sha256("\0".join(words).encode(errors="replace")).hexdigest()[:16]
    }
    if site.site.cell is None:
        hashes = line_hashes(site.site.original)
        prints["primaryLocationLineHash"] = hashes[min(site.site.row, len(hashes)) - 1]
    return prints
