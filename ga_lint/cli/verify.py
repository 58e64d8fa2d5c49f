"""`ga-lint verify`: does the gradient depend on how the batch was cut into micro-batches?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from msgspec import structs

from ga_lint.cli import console
from ga_lint.cli.arguments import Arguments
from ga_lint.cli.common import below_workspace, end, finder_of, paths_of
from ga_lint.cli.confirm import in_cell, of_project, site_of
from ga_lint.cli.impact import Impacts, stated_law, training_of
from ga_lint.cli.judged import as_judged, is_cleared
from ga_lint.cli.numeric_output import numeric_outputs, write_numeric
from ga_lint.cli.numeric_settings import settings_of
from ga_lint.diagnostics import Diagnostic, Finding
from ga_lint.engine.facts_of import WindowSize, window_size
from ga_lint.engine.fix import Policy, fix_bytes
from ga_lint.engine.fix_file import Answer, Judgement, Trial
from ga_lint.engine.run import visit_files
from ga_lint.engine.scope import Scope
from ga_lint.engine.settle import with_cell_lines
from ga_lint.errors import UsageError
from ga_lint.grammar import readable
from ga_lint.notebook import read_text
from ga_lint.outcome import EXIT_BROKEN, EXIT_FINDINGS, Clean, FileOutcome, Found
from ga_lint.report.numeric.model import NumericReport, SiteReport
from ga_lint.source import SourceFile
from ga_lint.verify import Outcome, Settings, Site, SiteKind, Verdict, Verifier, available, site_at, sites_in


def run(arguments: Arguments) -> int:
    training = training_of(arguments)
    missing = available(SiteKind.LOOP)
    if missing is not None and training is None:
        raise UsageError(missing)
    outputs = numeric_outputs(arguments)  # a mistake there must not cost a whole run
    formats = {arguments.text("output_format"), *(name for name, _ in outputs)}
    settings = replace(settings_of(arguments), sweep="html" in formats)
    sites = _Sites()
    report = visit_files(
        paths_of(arguments), finder_of(arguments), sites.visit, force_exclude=arguments.switch("force_exclude")
    )
    impacts = Impacts(training) if training is not None else None
    if impacts is not None:
        sites.refuse_unknown_sizes(impacts)  # before the work
    found, is_interrupted = _verdicts(sites.found, settings)
    verdicts = [found.get(place) or _interrupted(site) for place, site in enumerate(sites.found)]
    numbers = NumericReport([*map(sites.as_told, verdicts)], structs.replace(report, below=below_workspace()))
    if impacts is not None:
        numbers = impacts.added(numbers, sites.size_of)
    notes = write_numeric(numbers, arguments)
    unknown = impacts.unknown if impacts is not None else []
    for line in unknown:
        console.note(f"error: {line}")
    code = end(report, arguments, notes)
    if is_interrupted:
        raise KeyboardInterrupt  # what is known has been said
    if unknown or any(verdict.outcome is Outcome.NOT_RUN for verdict in verdicts):
        return EXIT_BROKEN
    return code or (EXIT_FINDINGS if any(site.is_fault or site.impact for site in numbers.sites) else 0)


def _verdicts(sites: Sequence[Site], settings: Settings) -> tuple[dict[int, Verdict], bool]:
    """The verdict for each site, by its place; after Ctrl-C, which is told, what had been found out by then."""
    found: dict[int, Verdict] = {}
    try:
        with Verifier(settings) as verifier:
            _gather(verifier.verdicts(sites), found, "Verifying", len(sites))
            _gather(verifier.swept(found), found, "Measuring for the pictures", len(sites))
    except KeyboardInterrupt:
        return found, True
    return found, False


def _gather(verdicts: Iterable[tuple[int, Verdict]], found: dict[int, Verdict], label: str, many: int) -> None:
    with console.ProgressBar(label, many=1) as progress:
        progress(0, many)
        for done, (place, verdict) in enumerate(verdicts, 1):
            found[place] = verdict
            progress(done, many)


def _interrupted(site: Site) -> Verdict:
    return Verdict(site, Outcome.NOT_RUN, reason="interrupted")


class _Sites:
    """Gathers the sites of every file: those with a rewrite to try, and all others."""

    def __init__(self) -> None:
        self.found: list[Site] = []
        self.findings: dict[Site, Finding] = {}  # of which the site holds a rewrite
        self._told: dict[Place, list[Diagnostic]] = {}  # every finding, by the site that it speaks of
        self._sources: dict[Path, SourceFile] = {}
        self._scopes: dict[Path, Scope] = {}

    def visit(self, path: Path, data: bytes, scope: Scope, whole: bool) -> FileOutcome:
        proposed: list[Site] = []

        def propose(trial: Trial) -> Answer:
            site = site_of(trial)
            if site is not None:
                site = of_project(site, trial.before, scope)
                proposed.append(site)
                self.findings[site] = trial.finding
            return Answer(Judgement.UNKNOWN)  # with `verified_only` nothing is applied, so each meets the original

        policy = Policy(verified_only=True, confirm=propose, write=False)
        outcome, _ = fix_bytes(path, data, scope, policy, whole=whole)
        if not isinstance(outcome, Found | Clean):
            return outcome
        tried = {_place(site) for site in proposed}
        source = self._sources[path] = read_text(path, data)
        self._scopes[path] = scope
        text = readable(source.text)
        sites = [in_cell(site, source) for site in sites_in(path, text)]
        others = [of_project(site, source, scope) for site in sites if _place(site) not in tried]
        self.found += sorted([*proposed, *others], key=lambda site: site.row)
        for diagnostic in outcome.diagnostics if isinstance(outcome, Found) else ():
            site = site_at(path, text, diagnostic.stated.span.start.row)
            if site is not None:
                self._told.setdefault(_place(site), []).append(diagnostic)
        return Clean(path)

    @cached_property
    def _with_rewrites(self) -> frozenset[Finding]:
        """Findings that have a site of their own."""
        return frozenset(self.findings.values())

    def size_of(self, site: Site) -> WindowSize:
        """How large the windows are of which the site is a part."""
        return window_size(self._sources[site.path], self._scopes[site.path], site.row)

    def refuse_unknown_sizes(self, impacts: Impacts) -> None:
        """UsageError for a site of which `check` says something, where nobody says how large its windows are."""
        for site in self.found:
            if any(stated_law(each.stated) for each in self._told.get(_place(site), ())):
                impacts.size(self.size_of(site), f"{site.path.as_posix()}:{site.row - site.rows_above}")

    def as_told(self, verdict: Verdict) -> SiteReport:
        """The verdict for what the findings there say, with the lines that it names as the user counts them."""
        site, own = verdict.site, self.findings.get(verdict.site)
        if own is not None:
            verdict = as_judged(own, verdict)
        there = self._told.get(_place(site), [])
        findings = tuple(each for each in there if each.stated == own or each.stated not in self._with_rewrites)
        source = self._sources[site.path]
        reason = verdict.reason and with_cell_lines(source, verdict.reason)
        assumptions = tuple(with_cell_lines(source, each) for each in verdict.assumptions)
        return SiteReport(
            replace(verdict, reason=reason, assumptions=assumptions),
            findings,
            tuple(each for each in findings if is_cleared(each.stated, verdict)),
        )


Place = tuple[Path, SiteKind, str, int]


def _place(site: Site) -> Place:
    return (site.path, site.kind, site.scope, site.row)
