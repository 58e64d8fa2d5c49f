"""`ga-lint check`: which findings are there, and in which form do they go where?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.cli import console
from ga_lint.cli.arguments import Arguments
from ga_lint.cli.common import below_workspace, end, finder_of, paths_of, text_on_stdin, told_outcomes
from ga_lint.cli.known import KnownFindings
from ga_lint.cli.output import outputs_of, promises_rewrites, wants_edits, write_outputs
from ga_lint.config import ConfigFinder, project_root
from ga_lint.diagnostics import Severity
from ga_lint.engine.finish import MOST_EDITED, Wanted
from ga_lint.engine.run import check, check_text, collector_paused, visit_files, visit_text
from ga_lint.errors import UsageError
from ga_lint.machine import usable_cores
from ga_lint.outcome import Report, plural
from ga_lint.report import renderer
from ga_lint.report.text import shown

if TYPE_CHECKING:
    from ga_lint.engine.cache import Cache

_MOST_JOBS = 8  # more processes read the same files again more often than they save time


def run(arguments: Arguments) -> int:
    with collector_paused():  # until the process ends: what a run leaves behind is not worth a search
        return _run(arguments)


def _run(arguments: Arguments) -> int:
    finder = finder_of(arguments)
    outputs_of(arguments)  # a mistake there must not cost a whole run
    if arguments.switch("show_settings"):
        return _show_settings(arguments, finder)
    if arguments.switch("show_files"):
        return _show_files(arguments, finder)
    if arguments.switch("show_facts"):
        return _show_facts(arguments, finder)
    known = KnownFindings(arguments)
    if arguments.switch("add_ignore"):
        return _add_ignores(arguments, finder, known)
    report = replace(
        _report(arguments, finder, known),
        fail_on=Severity(arguments.text("fail_on") or "info"),
        exit_zero=arguments.switch("exit_zero"),
        partial=bool(known.reasons),
        below=below_workspace(),
    )
    if arguments.switch("statistics"):
        console.write(renderer("statistics")(report))
        notes = []
    else:
        notes = write_outputs(report, arguments)
    stale_code, about_known = known.settle()
    return end(report, arguments, [*notes, *about_known, *_notes(report, arguments)]) or stale_code


def _report(arguments: Arguments, finder: ConfigFinder, known: KnownFindings) -> Report:
    wanted = Wanted(edits=wants_edits(arguments), plans=promises_rewrites(arguments), known=known.reasons)
    if (text := text_on_stdin(arguments)) is not None:
        return check_text(*text, finder, wanted)
    force, jobs, cache = arguments.switch("force_exclude"), _jobs(arguments), _cache(arguments)
    with console.ProgressBar("Checking") as bar:
        return check(paths_of(arguments), finder, wanted, force_exclude=force, progress=bar, jobs=jobs, cache=cache)


def _jobs(arguments: Arguments) -> int:
    """As many processes as were asked for, else as processors may be used."""
    given = arguments.text("jobs")
    if given is None:
        return min(usable_cores(), _MOST_JOBS)
    if not given.isdecimal() or int(given) < 1:
        raise UsageError(f"--jobs must be a whole number from 1 on, not {given!r}")
    return int(given)


def _cache(arguments: Arguments) -> Cache | None:
    given = arguments.text("cache_dir")
    if arguments.switch("no_cache"):
        if given:
            raise UsageError("--no-cache and --cache-dir contradict each other; give one")
        return None
    from ga_lint.engine.cache import FOLDER, Cache

    return Cache(Path(given) if given else Path(project_root(os.getcwd()), FOLDER))


def _add_ignores(arguments: Arguments, finder: ConfigFinder, known: KnownFindings) -> int:
    from ga_lint.engine.add_ignore import IgnoreAdder

    if "-" in arguments.words:
        raise UsageError("--add-ignore writes files; `-` is none")
    if arguments.switch("ignore_suppressions"):
        raise UsageError("--add-ignore and --ignore-suppressions contradict each other; give one")
    adder = IgnoreAdder(" ".join((arguments.text("add_ignore") or "").split()), known.reasons)
    report = visit_files(paths_of(arguments), finder, adder.visit, force_exclude=arguments.switch("force_exclude"))
    notes = write_outputs(replace(report, below=below_workspace()), arguments)
    told = f"silenced {plural(adder.added, 'finding')} in {plural(adder.files, 'file')}"
    return end(report, arguments, [*notes, told])


def _notes(report: Report, arguments: Arguments) -> list[str]:
    notes = []
    untried = sum(diagnostic.has_untried_rewrite for diagnostic in report.diagnostics)
    if wants_edits(arguments) and untried and len(report.diagnostics) > MOST_EDITED:
        notes.append(f"the edits of {plural(untried, 'finding')} are left out; `ga-lint fix --diff` prints them")
    if arguments.switch("verbose"):
        notes += told_outcomes(report)
    return notes


def _show_files(arguments: Arguments, finder: ConfigFinder) -> int:
    from ga_lint.engine.discover import Target, discover

    found = discover(paths_of(arguments), finder, force_exclude=arguments.switch("force_exclude"))
    targets = [item for item in found if isinstance(item, Target)]
    console.write("".join(f"{shown(target.path)}\n" for target in targets))
    report = Report([item for item in found if not isinstance(item, Target)])
    for failure in report.failures:
        console.note(f"error: {shown(failure.path)}: {shown(failure.error)}")
    console.note(f"{plural(len(targets), 'file')} would be checked")
    return report.exit_code


def _show_settings(arguments: Arguments, finder: ConfigFinder) -> int:
    from ga_lint.cli.settings import written

    first = paths_of(arguments)[0]
    console.write(written(finder.of_folder(first if first.is_dir() else first.parent)))
    return 0


def _show_facts(arguments: Arguments, finder: ConfigFinder) -> int:
    from ga_lint.engine.show_facts import FactsReader
    from ga_lint.report.facts import render_full, render_json

    name = arguments.text("output_format") or "full"
    if name not in ("auto", "full", "json") or arguments.items("output"):
        raise UsageError("--show-facts prints text, or JSON with --output-format json; it writes nothing else")
    reader = FactsReader()
    if (text := text_on_stdin(arguments)) is not None:
        report = visit_text(*text, finder, reader.visit)
    else:
        report = visit_files(paths_of(arguments), finder, reader.visit, force_exclude=arguments.switch("force_exclude"))
    console.write((render_json if name == "json" else render_full)(reader.found))
    return end(report, arguments)
