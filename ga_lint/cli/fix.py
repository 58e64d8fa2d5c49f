"""`ga-lint fix`: what is rewritten, and what is left?"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from ga_lint.cli import console
from ga_lint.cli.arguments import Arguments
from ga_lint.cli.ask import Asker
from ga_lint.cli.common import below_workspace, end, finder_of, paths_of, text_on_stdin, told_outcomes
from ga_lint.cli.confirm import Confirmer
from ga_lint.cli.known import KnownFindings
from ga_lint.cli.output import outputs_of, write_outputs
from ga_lint.config import ConfigFinder
from ga_lint.diagnostics import FixTier
from ga_lint.engine.fix import FixReport, Policy, fix, fix_text
from ga_lint.engine.fix_file import Applied
from ga_lint.engine.write import patch
from ga_lint.errors import UsageError
from ga_lint.outcome import EXIT_FINDINGS, plural
from ga_lint.report.text import shown
from ga_lint.report.verdicts import numbers
from ga_lint.source import cell_prefix
from ga_lint.verify import available


def run(arguments: Arguments) -> int:
    if arguments.switch("diff") and (arguments.text("output_format") or arguments.items("output")):
        raise UsageError("--diff prints patches and --output-format something else; give one")
    asker = _asker(arguments)
    outputs_of(arguments)  # a mistake there must not cost a whole run
    finder = finder_of(arguments)
    known = KnownFindings(arguments).reasons
    with _confirmer(arguments) as confirm:
        policy = Policy(
            unsafe=arguments.switch("unsafe_fixes"),
            verified_only=arguments.switch("verified_only"),
            confirm=confirm,
            ask=asker,
            write=not arguments.switch("diff"),
            known=known,
        )
        if (text := text_on_stdin(arguments)) is not None:
            return _fix_stdin(*text, finder, policy, arguments)
        with console.ProgressBar("Rewriting") as bar:
            progress = bar if asker is None else None  # a bar would run over the questions
            report = fix(
                paths_of(arguments), finder, policy, force_exclude=arguments.switch("force_exclude"), progress=progress
            )
    report = replace(report, left=replace(report.left, below=below_workspace(), partial=bool(known)))
    notes = [*(told_outcomes(report.left) if arguments.switch("verbose") else ()), *_notes(report, arguments, confirm)]
    if arguments.switch("diff"):
        color = console.wants_color(arguments.text("color"))
        for rewriting in report.rewritten:
            name = rewriting.before.path.as_posix()
            console.write_patch(patch(name, rewriting.before.on_disk, rewriting.after.on_disk), color=color)
    else:
        notes += write_outputs(report.left, arguments)
    code = end(report.left, arguments, notes)
    changed = report.rewritten and (arguments.switch("diff") or arguments.switch("exit_non_zero_on_fix"))
    return code or (EXIT_FINDINGS if changed else code)


def _asker(arguments: Arguments) -> Asker | None:
    if not arguments.switch("ask"):
        return None
    if arguments.switch("diff"):
        raise UsageError("--diff writes nothing, so there is nothing to --ask; give one")
    if "-" in arguments.words or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("--ask needs a terminal; `--diff` shows the rewrites without one")
    return Asker(color=console.wants_color(arguments.text("color")))


@contextlib.contextmanager
def _confirmer(arguments: Arguments) -> Iterator[Confirmer | None]:
    """The numeric check where torch is installed; without it, only those who ask for it are told what to install."""
    wanted = arguments.switches.get("verify")
    missing = available()
    if arguments.switch("verified_only") and wanted is False:
        raise UsageError("--verified-only and --no-verify contradict each other; give one")
    if missing and (wanted or arguments.switch("verified_only")):
        raise UsageError(missing)
    if missing or wanted is False:
        yield None
        return
    with Confirmer() as confirm:
        yield confirm


def _fix_stdin(path: Path, data: bytes, finder: ConfigFinder, policy: Policy, arguments: Arguments) -> int:
    report = fix_text(path, data, finder, policy)
    after = report.rewritten[0].after.on_disk if report.rewritten else data
    if arguments.switch("diff"):
        console.write_bytes(patch(path.as_posix(), data, after))
    elif not report.left.failures:  # an editor that ignores exit codes must not be handed half a file
        console.write_bytes(after)
    return end(report.left, arguments, list(_notes(report, arguments, None)))


def _notes(report: FixReport, arguments: Arguments, confirm: Confirmer | None) -> Iterator[str]:
    count = 0
    for rewriting in report.rewritten:
        for applied in rewriting.applied:
            count += 1
            told = f"{applied.finding.code} {shown(rewriting.before.path)}: {_told(applied, confirm)}"
            yield "; ".join((told, *map(shown, applied.notes)))
    if arguments.switch("diff"):
        for diagnostic in report.left.diagnostics:
            finding = diagnostic.finding
            place = f"{shown(diagnostic.path)}:{cell_prefix(diagnostic.cell)}{finding.span.start.row}"
            yield f"{finding.code} {place} not rewritten: {shown(finding.fix_refusal or 'there is no rewrite for it')}"
    unsafe_left = any(d.rewrite is not None and d.rewrite.tier is FixTier.UNSAFE for d in report.left.diagnostics)
    undecided = arguments.switches.get("verify") is None and not arguments.switch("unsafe_fixes")
    if unsafe_left and undecided and (missing := available()) is not None:
        yield f"rewrites that the numeric check confirms need no --unsafe-fixes; {missing}"
    verb = "would rewrite" if arguments.switch("diff") else "rewrote"
    files = plural(len(report.rewritten), "file")
    yield f"{verb} {plural(count, 'finding')} in {files}; {len(report.left.diagnostics):,} left"


def _told(applied: Applied, confirm: Confirmer | None) -> str:
    fix = applied.finding.fix
    text = shown(fix.summary) if fix else "rewritten"
    verdict = confirm.verdicts.get(applied.finding) if confirm else None
    if verdict is None:
        return text
    measured = f" ({numbers(verdict)})" if verdict.runs else ""
    return f"{text}; {verdict.outcome.value}{measured}"
