"""`ga-lint verify`: does the gradient depend on how the batch was cut into micro-batches?"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from ga_lint.cli import console
from ga_lint.cli.arguments import Arguments
from ga_lint.cli.common import end, finder_of, paths_of
from ga_lint.cli.confirm import as_judged, in_cell, site_of
from ga_lint.cli.numeric import settings_of
from ga_lint.diagnostics import Finding
from ga_lint.engine.fix import Policy, fix_bytes
from ga_lint.engine.fix_file import Answer, Judgement, Trial
from ga_lint.engine.run import visit_files
from ga_lint.engine.scope import Scope
from ga_lint.engine.settle import told
from ga_lint.errors import UsageError
from ga_lint.notebook import read_text
from ga_lint.outcome import EXIT_BROKEN, EXIT_FINDINGS, Clean, FileOutcome, Found
from ga_lint.report.verdicts import render_full, render_json
from ga_lint.source import SourceFile
from ga_lint.verify import Outcome, Settings, Site, SiteKind, Verdict, Verifier, available, sites_in

_REPORTED = {Outcome.CONFIRMED, Outcome.REFUTED, Outcome.WRONG, Outcome.MISSING_DIVISION}


def run(arguments: Arguments) -> int:
    missing = available(SiteKind.LOOP)
    if missing is not None:
        raise UsageError(missing)
    settings = settings_of(arguments)
    sites = _Sites()
    report = visit_files(
        paths_of(arguments), finder_of(arguments), sites.visit, force_exclude=arguments.switch("force_exclude")
    )
    found = _verdicts(sites, settings)
    verdicts = [found.get(place) or _interrupted(site) for place, site in enumerate(sites.found)]
    if arguments.text("output_format") == "json":
        console.write(render_json(verdicts))
    else:
        _write(verdicts, arguments)
    code = end(report, arguments)
    if len(found) < len(sites.found):
        raise KeyboardInterrupt  # what is known has been said
    outcomes = {verdict.outcome for verdict in verdicts}
    if Outcome.NOT_RUN in outcomes:
        return EXIT_BROKEN
    return code or (EXIT_FINDINGS if outcomes & _REPORTED else 0)


def _write(verdicts: list[Verdict], arguments: Arguments) -> None:
    """The readable report; --quiet leaves out the sites with which nothing is wrong."""
    if arguments.switch("quiet"):
        verdicts = [verdict for verdict in verdicts if verdict.outcome in _REPORTED | {Outcome.NOT_RUN}]
    if verdicts or not arguments.switch("quiet"):
        text = render_full(verdicts, details=arguments.switch("verbose"))
        console.write_verdicts(text, color=console.wants_color(arguments.text("color")))


def _verdicts(sites: _Sites, settings: Settings) -> dict[int, Verdict]:
    """The verdict for each site, by its place; after Ctrl-C those for the sites that had been examined by then."""
    found: dict[int, Verdict] = {}
    with (
        contextlib.suppress(KeyboardInterrupt),
        console.ProgressBar("Verifying", many=1) as progress,
        Verifier(settings) as verifier,
    ):
        progress(0, len(sites.found))
        for place, verdict in verifier.verdicts(sites.found):
            finding = sites.findings.get(verdict.site)
            found[place] = sites.as_told(as_judged(finding, verdict) if finding else verdict)
            progress(len(found), len(sites.found))
    return found


def _interrupted(site: Site) -> Verdict:
    return Verdict(site, Outcome.NOT_RUN, reason="interrupted")


class _Sites:
    """Gathers the sites of every file: those with a rewrite to try, and all others."""

    def __init__(self) -> None:
        self.found: list[Site] = []
        self.findings: dict[Site, Finding] = {}
        self._sources: dict[Path, SourceFile] = {}

    def visit(self, path: Path, data: bytes, scope: Scope, named: bool) -> FileOutcome:
        proposed: list[Site] = []

        def propose(trial: Trial) -> Answer:
            site = site_of(trial)
            if site is not None:
                proposed.append(site)
                self.findings[site] = trial.finding
            return Answer(Judgement.UNKNOWN)  # with `verified_only` nothing is applied, so each meets the original

        policy = Policy(verified_only=True, confirm=propose, write=False)
        outcome, _ = fix_bytes(path, data, scope, policy, named=named)
        if not isinstance(outcome, Found | Clean):
            return outcome
        tried = {(site.kind, site.scope, site.row) for site in proposed}
        source = self._sources[path] = read_text(path, data)
        sites = [in_cell(site, source) for site in sites_in(path, source.text)]
        others = [site for site in sites if (site.kind, site.scope, site.row) not in tried]
        self.found += sorted([*proposed, *others], key=lambda site: site.row)
        return Clean(path)

    def as_told(self, verdict: Verdict) -> Verdict:
        """The verdict with the lines that it names as the user counts them."""
        source = self._sources[verdict.site.path]
        reason = verdict.reason and told(source, verdict.reason)
        return replace(verdict, reason=reason, assumptions=tuple(told(source, each) for each in verdict.assumptions))
