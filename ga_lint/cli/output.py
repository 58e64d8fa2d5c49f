"""In which forms does a report go where? To stdout, to files, and to the CI that runs us."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from ga_lint.cli import console
from ga_lint.cli.arguments import Arguments
from ga_lint.cli.common import Ci, ci, writable
from ga_lint.errors import UsageError
from ga_lint.outcome import Report, plural
from ga_lint.report import EDITED, FORMATS, PROMISING, renderer

_SUMMARY = "GITHUB_STEP_SUMMARY"


def outputs_of(arguments: Arguments, formats: Collection[str] = FORMATS) -> list[tuple[str, Path]]:
    """What `--output` asks for: formats and their files."""
    pairs = [item.partition(":") for item in arguments.items("output")]
    for name, _, path in pairs:
        if name not in formats or not path:
            raise UsageError(f"--output takes FORMAT:FILE with one of {', '.join(formats)}, not {name!r}")
    return [(name, writable("--output", Path(path))) for name, _, path in pairs]


def wants_edits(arguments: Arguments) -> bool:
    """Whether a format holds the text of the rewrites; to work it out takes longer than the whole check."""
    return not EDITED.isdisjoint(_formats(arguments))


def promises_rewrites(arguments: Arguments) -> bool:
    """Whether a format says which findings have a rewrite."""
    return not arguments.switch("statistics") and not PROMISING.isdisjoint(_formats(arguments))


def _formats(arguments: Arguments) -> set[str]:
    """Those that are written: on a terminal, and in a CI, `full` is one of them."""
    given = arguments.text("output_format")
    return {"full" if given in (None, "auto") else given, *(name for name, _ in outputs_of(arguments))}


def write_outputs(report: Report, arguments: Arguments) -> list[str]:
    """Write every form of the report that was asked for; what is to be said about it on stderr."""
    _write(report, arguments)
    for name, path in outputs_of(arguments):
        write_file(path, renderer(name)(report))
    return _notes(report, arguments)


def write_file(path: Path, text: str, option: str = "--output") -> None:
    """A form of the report, to its file. A path in it that is no UTF-8 must not cost it."""
    from ga_lint.engine.write import write_whole  # most runs write none

    try:
        write_whole(path, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise UsageError(f"{option}: {path} cannot be written: {error.strerror}") from None


def _write(report: Report, arguments: Arguments) -> None:
    color = console.wants_color(arguments.text("color"))
    match arguments.text("output_format"):
        case None | "auto":
            if not (arguments.switch("quiet") and not report.diagnostics):
                write_for(ci(), renderer("full")(report), color=color)
            _annotate(report)
        case "full":
            console.write_report(renderer("full")(report), color=color)
        case name:
            console.write(renderer(name)(report))


def write_for(service: Ci | None, text: str, *, color: bool) -> None:
    """The readable report; in GitHub's log folded, and no line of the user's code is taken for a command there."""
    if service is not Ci.GITHUB:
        console.write_report(text, color=color)
        return
    token = os.urandom(16).hex()  # user code cannot guess it
    console.write(f"::group::ga-lint\n::stop-commands::{token}\n")
    console.write_report(text, color=color)
    console.write(f"::{token}::\n::endgroup::\n")


def _annotate(report: Report) -> None:
    match ci():
        case Ci.GITHUB:
            console.write(renderer("github")(report))
            if summary := os.environ.get(_SUMMARY):
                try:
                    with Path(summary).open("a", encoding="utf-8", errors="backslashreplace") as file:
                        file.write(renderer("markdown")(report))
                except OSError as error:
                    console.note(f"the job summary cannot be written: {error.strerror}")
        case Ci.AZURE:
            console.write(renderer("azure")(report))
        case _:
            pass


def _notes(report: Report, arguments: Arguments) -> list[str]:
    automatic = arguments.text("output_format") in (None, "auto")
    if arguments.text("output_format") == "github" or (automatic and ci() is Ci.GITHUB):
        from ga_lint.report.github import SHOWN_PER_LEVEL

        levels = Counter(diagnostic.finding.severity for diagnostic in report.diagnostics)
        if any(count > SHOWN_PER_LEVEL for count in levels.values()):
            shown = f"GitHub shows {SHOWN_PER_LEVEL} annotations of each level for a step"
            return [f"{shown}; {plural(len(report.diagnostics), 'finding')} in all: use the sarif format for more"]
    if automatic and ci() is Ci.GITLAB and not arguments.items("output"):
        return ["for merge requests: `--output gitlab:gl-code-quality-report.json` and a codequality artifact"]
    return []
