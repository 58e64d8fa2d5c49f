"""What is wrong in this one file? Bytes in, outcome out; no fault in it or in a rule stops the run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ga_lint.diagnostics import Finding
from ga_lint.engine.fault import Fault
from ga_lint.engine.own_rules import SYNTAX_ERROR, UNUSED_SUPPRESSION, syntax_error
from ga_lint.engine.scope import Scope
from ga_lint.engine.settle import settle
from ga_lint.errors import SourceError
from ga_lint.notebook import SUFFIX as NOTEBOOK
from ga_lint.notebook import NotebookSource, read_text
from ga_lint.outcome import Clean, Failed, FileOutcome, Found
from ga_lint.rules.registry import Rule
from ga_lint.source import SourceFile
from ga_lint.syntax.parsed import ParsedFile, ParseFailure, parse
from ga_lint.syntax.skeleton import BrokenSkeleton


def check_bytes(path: Path, data: bytes, scope: Scope, *, whole: bool = False) -> FileOutcome:
    """Check one file as it was read. `whole`: parse all of it, for GA001 even if no rule can apply to it."""
    rules = scope.prefilter.possible(data)
    if not rules and not whole and (path.suffix == NOTEBOOK or (data.isascii() and b"\0" not in data)):
        return Clean(path)
    try:
        source = read_text(path, data)
    except SourceError as error:
        return Failed(path, str(error))
    return _checked(source, scope, rules, lazily=not whole) if rules or whole else Clean(path)


def check_source(source: SourceFile, scope: Scope, rules: Sequence[Rule] | None = None) -> FileOutcome:
    """Check one text by the given rules, by every selected one whose words it holds if none are given."""
    return _checked(source, scope, scope.prefilter.possible(source.data) if rules is None else rules)


def _checked(source: SourceFile, scope: Scope, rules: Sequence[Rule], *, lazily: bool = False) -> FileOutcome:
    """`lazily`: only what rules look at is parsed, which pays where models take labels and hold no loop."""
    lazily = lazily and not _may_hold_loop(source)
    while True:
        try:
            return _settled(source, scope, rules, lazily=lazily)
        except BrokenSkeleton as broken:
            lazily = lazily and broken.path != source.path
            scope.project.read_whole(broken.path)


def _may_hold_loop(source: SourceFile) -> bool:
    from ga_lint.facts.model import LOOP_WORDS  # what is parsed as a whole is not asked

    return any(word in source.data for word in LOOP_WORDS)


def _settled(source: SourceFile, scope: Scope, rules: Sequence[Rule], *, lazily: bool) -> FileOutcome:
    try:
        parsed = parse(source, lazily=lazily)
    except ParseFailure as failure:
        findings = [syntax_error(failure.message, failure.position)] if SYNTAX_ERROR.code in scope.codes else []
        return settle(source, None, findings, scope, ran=frozenset({SYNTAX_ERROR.code}))
    except SourceError as error:
        return Failed(source.path, str(error))
    findings, faults, broken = _run_rules(parsed, scope, rules)
    if isinstance(source, NotebookSource) and SYNTAX_ERROR.code in scope.codes:
        findings += [syntax_error(cell.message, cell.position) for cell in source.broken]
    outcome = settle(source, parsed.tree, findings, scope, ran=scope.codes - broken)
    if not faults:
        return outcome
    text = "; ".join(dict.fromkeys(fault.text for fault in faults))
    found = outcome.diagnostics if isinstance(outcome, Found) else ()
    return Failed(source.path, text, any(fault.internal for fault in faults), found)


def _run_rules(
    parsed: ParsedFile, scope: Scope, rules: Sequence[Rule]
) -> tuple[list[Finding], list[Fault], frozenset[str]]:
    """Every rule's findings, the faults of those that broke, and their codes."""
    if all(rule is UNUSED_SUPPRESSION for rule in rules):
        return [], [], frozenset()
    from ga_lint.facts.extract import extract  # most runs end before they need it

    project = scope.project.beside(parsed.path)
    try:
        facts = extract(parsed, project)
    except BrokenSkeleton:
        raise
    except Exception as error:  # noqa: BLE001 - one file never stops the run
        return [], [Fault.of("reading the facts", error)], scope.codes
    findings: list[Finding] = []
    faults: list[Fault] = []
    broken: set[str] = set()
    for rule in rules:
        try:
            findings.extend(rule.check(facts, project))
        except BrokenSkeleton:
            raise
        except Exception as error:  # noqa: BLE001 - one rule never hides another
            faults.append(Fault.of(str(rule), error))
            broken.add(rule.code)
    return findings, faults, frozenset(broken)
