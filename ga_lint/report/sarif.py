"""What does code scanning take? SARIF 2.1.0 within GitHub's limits."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Sequence
from pathlib import PurePath
from urllib.parse import quote

from ga_lint import __version__
from ga_lint.diagnostics import Diagnostic, Finding, Severity, Step
from ga_lint.outcome import Failed, Report
from ga_lint.report.json import Json
from ga_lint.report.line_hash import line_hashes
from ga_lint.report.text import in_cell, repository_path
from ga_lint.resources import HOME_URL, page_path, page_url
from ga_lint.source import Edit, Position, Span

MAX_RESULTS = 25_000  # GitHub refuses a run with more
MAX_TEXT = 1_024  # characters of a rule's descriptions
_BASE = "%SRCROOT%"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_PROBLEMS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "recommendation"}


def render(report: Report) -> str:
    found = report.diagnostics
    if len(found) > MAX_RESULTS:
        found = sorted(found, key=lambda d: d.finding.severity.rank)[:MAX_RESULTS]
    by_code = {diagnostic.finding.code: diagnostic.finding for diagnostic in found}
    codes = sorted(by_code)
    written = document(
        rules=[_rule(by_code[code]) for code in codes],
        invocation=invocation(report, len(report.diagnostics) - len(found)),
        results=[_result(diagnostic, codes.index(diagnostic.finding.code), report.below) for diagnostic in found],
        category="ga-lint/",
    )
    return json.dumps(written, indent=2) + "\n"


def document(rules: list[Json], invocation: Json, results: list[Json], category: str) -> Json:
    """A log of one run; GitHub replaces what an earlier one of the same category said."""
    driver: Json = {"name": "ga-lint", "semanticVersion": __version__, "informationUri": HOME_URL, "rules": rules}
    run: dict[str, Json] = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {_BASE: {"description": {"text": "the root of the repository"}}},
        "automationDetails": {"id": category},
        "invocations": [invocation],
        "results": results,
    }
    return {
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    }


def _rule(finding: Finding) -> Json:
    page = _page(finding.code, finding.name)
    about = page.partition("## What it does")[2].partition("\n## ")[0].strip() or finding.name
    tags: list[Json] = ["correctness", "gradient-accumulation", finding.effect.kind.value]
    return {
        "id": finding.code,
        "name": finding.name,
        "shortDescription": {"text": _within(" ".join(about.partition(". ")[0].split()))},
        "fullDescription": {"text": _within(" ".join(about.split()))},
        "help": {"text": page, "markdown": page},
        "helpUri": page_url(finding.code, finding.name),
        "defaultConfiguration": {"level": _LEVELS[finding.severity]},
        "properties": {"tags": tags, "precision": "high", "problem.severity": _PROBLEMS[finding.severity]},
    }


def _page(code: str, name: str) -> str:
    try:
        return page_path(code, name).read_text(encoding="utf-8")
    except OSError:  # a report must come out whole whatever is missing
        return f"{code} {name}"


def _within(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 3]}..."


def invocation(report: Report, left_out: int) -> Json:
    """What was not looked at, and how many results are not in the log."""
    notes = [_failure(failure, report.below) for failure in report.failures]
    if left_out:
        text = f"{left_out:,} results are left out: GitHub takes {MAX_RESULTS:,} in a run"
        notes.append({"level": "warning", "message": {"text": text}})
    return {"executionSuccessful": not report.failures, "toolExecutionNotifications": notes}


def _failure(failure: Failed, below: str) -> Json:
    location: Json = {"physicalLocation": {"artifactLocation": _artifact(failure.path, below)}}
    return {"level": "error", "message": {"text": failure.error}, "locations": [location]}


def _result(diagnostic: Diagnostic, rule: int, below: str) -> Json:
    finding = diagnostic.finding
    message = f"{in_cell(diagnostic)}{finding.message}. Effect: {finding.effect.message}."
    result: dict[str, Json] = {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": _LEVELS[finding.severity],
        "message": {"text": " ".join([plain(message), *_links(finding.trace)])},
        "locations": [{"physicalLocation": physical(diagnostic.path, finding.span, diagnostic.cell, below)}],
        "partialFingerprints": _fingerprints(diagnostic),
        "properties": {"confidence": str(finding.confidence), "effect": finding.effect.kind.value},
    }
    if finding.trace:
        steps = [_step(step, below) for step in finding.trace]
        related: list[Json] = [{"id": number, **step} for number, step in enumerate(steps, 1)]
        flow: list[Json] = [{"location": step} for step in steps]
        result["relatedLocations"] = related
        result["codeFlows"] = [{"threadFlows": [{"locations": flow}]}]
    if finding.fix is not None and diagnostic.edits and diagnostic.cell is None:  # there the file's rows are JSON
        replacements: list[Json] = [_replacement(edit) for edit in diagnostic.edits]
        change: Json = {"artifactLocation": _artifact(diagnostic.path, below), "replacements": replacements}
        result["fixes"] = [{"description": {"text": finding.fix.summary}, "artifactChanges": [change]}]
    return result


def _links(trace: Sequence[Step]) -> list[str]:
    """The steps as links to the related locations of these numbers."""
    if not trace:
        return []
    links = [f"[{plain(step.message)}]({number})" for number, step in enumerate(trace, 1)]
    return [f"How: {', '.join(links)}."]


def plain(text: str) -> str:
    """Brackets that begin no link."""
    for character in "\\[]":
        text = text.replace(character, f"\\{character}")
    return text


def _step(step: Step, below: str) -> dict[str, Json]:
    return {"physicalLocation": physical(step.path, step.span, step.cell, below), "message": {"text": step.message}}


def physical(path: PurePath, span: Span, cell: int | None, below: str) -> Json:
    """Where something stands."""
    if cell is not None:  # the rows of a notebook's file are JSON
        span = Span(Position(1, 1), Position(1, 2))
    return {"artifactLocation": _artifact(path, below), "region": _region(span)}


def _region(span: Span) -> Json:
    return {
        "startLine": span.start.row,
        "startColumn": span.start.column,
        "endLine": span.end.row,
        "endColumn": span.end.column,
    }


def _artifact(path: PurePath, below: str) -> Json:
    return {"uri": quote(os.fsencode(repository_path(path, below))), "uriBaseId": _BASE}


def _replacement(edit: Edit) -> Json:
    return {"deletedRegion": _region(edit.span), "insertedContent": {"text": edit.text}}


def _fingerprints(diagnostic: Diagnostic) -> Json:
    prints: dict[str, Json] = {"gaLintFingerprint/v1": diagnostic.fingerprint}
    if diagnostic.text is not None:
        hashes = _hashes(diagnostic.text)
        prints["primaryLocationLineHash"] = hashes[min(diagnostic.finding.span.start.row, len(hashes)) - 1]
    return prints


@functools.lru_cache(maxsize=1)  # findings come file by file
def _hashes(text: str) -> list[str]:
    return line_hashes(text)
