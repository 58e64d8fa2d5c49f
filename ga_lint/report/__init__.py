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
    "json": "a list of objects with ruff's keys",
    "github": "annotations for GitHub Actions",
}


def renderer(name: str) -> Render:
    """The function behind a format's name; only the module that is asked for is imported."""
    return cast(Render, import_module(f"ga_lint.report.{name}").render)
