"""How is a report written down? One pure function for each format: Report in, text out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import cast

from ga_lint.outcome import Report

Render = Callable[[Report], str]

FORMATS: Mapping[str, str] = {
    "full": "findings with their lines, trace, effect and rewrite",
    "concise": "one line for each finding",
    "grouped": "concise, file by file",
    "json": "a list of objects with ruff's keys",
    "json-lines": "one such object a line",
    "github": "annotations for GitHub Actions",
    "gitlab": "Code Quality for GitLab",
    "sarif": "SARIF 2.1.0 for code scanning",
    "junit": "XML for test reports",
    "rdjson": "suggestions for reviewdog",
    "azure": "log issues for Azure Pipelines",
    "pylint": "lines as pylint prints them",
    "markdown": "a table for a job summary",
}
# These hold the text of each rewrite, as ruff's do; it costs about 20 ms a finding, which no other format pays.
EDITED = frozenset({"json", "json-lines", "sarif", "rdjson"})
PROMISING = frozenset({"full", "github"})  # these say that there is one


def renderer(name: str) -> Render:
    """The function behind a format's name; only the module that is asked for is imported."""
    return cast("Render", import_module(f"ga_lint.report.{name.replace('-', '_')}").render)
