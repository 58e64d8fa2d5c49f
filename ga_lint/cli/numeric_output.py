"""In which forms does the outcome of a numeric check go where? To stdout, to files, and to the CI that runs us."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from ga_lint.cli import console
from ga_lint.cli.arguments import Arguments
from ga_lint.cli.common import Ci, ci, writable
from ga_lint.cli.output import outputs_of, write_file, write_for
from ga_lint.errors import UsageError
from ga_lint.report.numeric import FORMATS, renderer
from ga_lint.report.numeric.model import NumericReport
from ga_lint.verify import Outcome

_WIDEST = 120  # columns; longer lines are hard to read


def numeric_outputs(arguments: Arguments) -> list[tuple[str, Path]]:
    """What `--output` and `--report` ask for: formats and their files."""
    outputs = outputs_of(arguments, FORMATS)
    page = arguments.text("report")
    if page is not None and Path(page).suffix not in (".html", ".htm"):
        raise UsageError(f"--report writes a page of HTML; name it so: {Path(page).with_suffix('.html')}")
    return outputs if page is None else [*outputs, ("html", writable("--report", Path(page)))]


def write_numeric(report: NumericReport, arguments: Arguments) -> list[str]:
    """Write every form of the report that was asked for; what is to be said about it on stderr."""
    columns = shutil.get_terminal_size((80, 24)).columns
    report = replace(
        report,
        width=min(columns, _WIDEST),
        details=arguments.switch("verbose"),
        plain=not console.can_write("█│"),
    )
    color = console.wants_color(arguments.text("color"))
    full = _readable(report, arguments)
    match arguments.text("output_format"):
        case None | "auto":
            if full:
                write_for(ci(), full, color=color)
            if ci() is Ci.GITHUB:
                console.write(renderer("github")(report))
        case "full":
            console.write_report(full, color=color)
        case name:
            console.write(renderer(name)(report))
    outputs = numeric_outputs(arguments)
    for name, path in outputs:
        write_file(path, renderer(name)(report), "--report" if path == _page(arguments) else "--output")
    return [f"report: {path}" for name, path in outputs if name == "html"]


def _readable(report: NumericReport, arguments: Arguments) -> str:
    """The readable report; --quiet leaves out the sites with which nothing is wrong."""
    if arguments.switch("quiet"):
        told = [site for site in report.sites if site.is_fault or site.outcome is Outcome.NOT_RUN]
        report = replace(report, sites=told)
        if not report.sites:
            return ""
    return renderer("full")(report)


def _page(arguments: Arguments) -> Path | None:
    page = arguments.text("report")
    return None if page is None else Path(page)
