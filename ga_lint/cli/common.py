"""What do all commands on files share? Settings from the command line, and the end of every run."""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ga_lint.cli import console
from ga_lint.cli.arguments import Arguments
from ga_lint.config import RELEASES_WANTED, ConfigFinder, Flags, Selection, names_releases
from ga_lint.diagnostics import Confidence
from ga_lint.errors import UsageError
from ga_lint.outcome import Clean, Report, Skipped
from ga_lint.report.text import shown


def paths_of(arguments: Arguments) -> list[Path]:
    """The paths on the command line, the working folder if there are none."""
    return [Path(word) for word in arguments.words] or [Path()]


def text_on_stdin(arguments: Arguments) -> tuple[Path, bytes] | None:
    """What stdin holds, under the path that it would have; None unless `-` asks for it."""
    if "-" not in arguments.words:
        return None
    if len(arguments.words) > 1:
        raise UsageError("`-` reads stdin and stands alone; give the paths in a second run")
    return Path(arguments.text("stdin_filename") or "-"), sys.stdin.buffer.read()


def finder_of(arguments: Arguments) -> ConfigFinder:
    """The settings, after a look whether the command line's rules exist."""
    selection = Selection(
        select=arguments.items("select") or None,
        ignore=arguments.items("ignore"),
        extend_select=arguments.items("extend_select"),
    )
    _refuse_unknown_rules(selection)
    confidence = arguments.text("min_confidence")
    releases = arguments.text("transformers_version")
    if releases is not None and not names_releases(releases):
        raise UsageError(f"--transformers-version must be {RELEASES_WANTED}; not {releases!r}")
    flags = Flags(
        selection=selection,
        exclude=arguments.items("exclude") or None,
        extend_exclude=arguments.items("extend_exclude"),
        respect_gitignore=arguments.switches.get("respect_gitignore"),
        min_confidence=Confidence[confidence.upper()] if confidence else None,
        transformers_version=releases,
        ignore_suppressions=arguments.switch("ignore_suppressions"),
    )
    _refuse_bad_patterns(arguments)
    config, isolated = arguments.text("config"), arguments.switch("isolated")
    if config and isolated:
        raise UsageError("--config and --isolated contradict each other; give one")
    return ConfigFinder(flags, file=Path(config) if config else None, isolated=isolated)


def _refuse_unknown_rules(selection: Selection) -> None:
    selectors = (*(selection.select or ()), *selection.ignore, *selection.extend_select)
    if selectors:
        from ga_lint.engine.own_rules import known_rules
        from ga_lint.engine.select import refuse_unknown

        refuse_unknown(selectors, known_rules())


def _refuse_bad_patterns(arguments: Arguments) -> None:
    for option in ("exclude", "extend_exclude"):
        if patterns := arguments.items(option):
            from ga_lint.engine.patterns import refuse_bad

            refuse_bad(f"--{option.replace('_', '-')}", patterns)


def writable(flag: str, path: Path) -> Path:
    """The path, after a look whether a file can be there: to say so later would cost a whole run."""
    if path.is_dir():
        raise UsageError(f"{flag}: {path} cannot be written: it is a folder")
    if not path.parent.is_dir():
        raise UsageError(f"{flag}: {path} cannot be written: no folder {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"{flag}: {path} cannot be written: permission denied")
    return path


def end(report: Report, arguments: Arguments, more_notes: Sequence[str] = ()) -> int:
    """Say on stderr what could not be looked at and how much was; the exit code."""
    for failure in report.failures:
        console.note(f"error: {shown(failure.path)}: {shown(failure.error)}")
    if not arguments.switch("quiet"):
        for line in (*report.notes, *more_notes):
            console.note(line)
    console.note(report.summary())
    return report.exit_code


def told_outcomes(report: Report) -> list[str]:
    """What became of each file of which nothing else is said, for --verbose."""
    notes = []
    for outcome in report.outcomes:
        match outcome:
            case Skipped(path, reason):
                notes.append(f"skipped: {shown(path)}: {reason.value}")
            case Clean(path):
                notes.append(f"clean: {shown(path)}")
            case _:
                pass
    return notes


class Ci(enum.Enum):
    """A service that we know to run in, by the variable that it sets to true."""

    GITHUB = "GITHUB_ACTIONS"
    GITLAB = "GITLAB_CI"
    AZURE = "TF_BUILD"


def ci() -> Ci | None:
    return next((each for each in Ci if os.environ.get(each.value, "").lower() == "true"), None)


def below_workspace() -> str:
    """The working folder, counted from the checkout of the CI; empty where there is none."""
    names = ("GITHUB_WORKSPACE", "CI_PROJECT_DIR", "BUILD_SOURCESDIRECTORY")
    workspace = next((os.environ[name] for name in names if os.environ.get(name)), None)
    return Path(os.path.relpath(Path.cwd(), workspace)).as_posix() if workspace else ""
