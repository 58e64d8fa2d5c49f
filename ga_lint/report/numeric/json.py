"""What do scripts read? A list of objects, one for each site."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

from ga_lint.diagnostics import Diagnostic
from ga_lint.report.json import Json
from ga_lint.report.numeric.model import NumericReport, SiteImpact, SiteReport, diff, headline


def render(report: NumericReport) -> str:
    return json.dumps([site_object(site) for site in report.sites], indent=2, allow_nan=False) + "\n"


def site_object(report: SiteReport) -> Json:
    """One site. A number that is none, such as the error of a gradient that is NaN, is null."""
    site, verdict = report.site, report.verdict
    withdrawn = {diagnostic.fingerprint for diagnostic in report.withdrawn}
    return {
        "assumptions": list(verdict.assumptions),
        "cell": site.cell,
        "diff": diff(site),
        "factor": finite(report.factor),
        "filename": site.path.as_posix(),
        "findings": [_finding(each, each.fingerprint in withdrawn) for each in report.findings],
        "impact": None if report.impact is None else _impact(report.impact),
        "has_rewrite": site.rewritten is not None,
        "kind": site.kind.value,
        "location": {"column": 1, "row": report.row},
        "message": headline(report),
        "outcome": verdict.outcome.value,
        "reason": verdict.reason,
        "runs": [finite(asdict(run)) for run in verdict.runs],
        "scope": site.scope,
        "sweep": None if verdict.sweep is None else finite(verdict.sweep.to_fields()),
    }


def _finding(diagnostic: Diagnostic, withdrawn: bool) -> Json:
    finding = diagnostic.finding
    return {
        "code": finding.code,
        "location": {"column": finding.span.start.column, "row": finding.span.start.row},
        "message": finding.message,
        "name": finding.name,
        "withdrawn": withdrawn,
    }


def _impact(found: SiteImpact) -> Json:
    impact = found.impact
    return {
        "accumulation_steps": impact.steps,
        "batch_size": impact.batch_size,
        "effective": impact.effective if found.law.mean_of_means else 1.0,
        "empty_micro_batches": impact.empty,
        "factor": found.law.factor,
        "longest": impact.longest,
        "mean_of_means": found.law.mean_of_means,
        "samples": impact.samples,
        "scale": found.scale,
        "shortest": impact.shortest,
        "spread": impact.spread if found.law.mean_of_means else 0.0,
        "targets": impact.targets,
        "weights": [finite(asdict(each)) for each in impact.weights] if found.law.mean_of_means else [],
    }


def finite(value: object) -> Json:
    """The same with null for NaN and infinity, which JSON does not have."""
    match value:
        case dict():
            return {str(key): finite(each) for key, each in value.items()}
        case list() | tuple():
            return [finite(each) for each in value]
        case float():
            return value if math.isfinite(value) else None
        case None | bool() | int() | str():
            return value
        case _:
            raise TypeError(f"{type(value).__name__} is not a value of JSON")
