"""How is the outcome of a numeric check written down? One pure function for each format, as for findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from ga_lint.report.numeric.model import NumericReport

Render = Callable[["NumericReport"], str]

FORMATS: Mapping[str, str] = {
    "full": "a line for each site, and why",
    "json": "a list of objects, one for each site",
    "github": "annotations for GitHub Actions",
    "sarif": "SARIF 2.1.0 for code scanning",
    "junit": "XML for test reports, one case for each site",
    "html": "the page of --report",
}


def renderer(name: str) -> Render:
    """The function behind a format's name; only the module that is asked for is imported."""
    return cast("Render", import_module(f"ga_lint.report.numeric.{name}").render)
