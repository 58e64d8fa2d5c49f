"""`ga-lint verify`: does the gradient depend on how the batch was cut into micro-batches?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ga_lint.cli import console
from ga_lint.cli.arguments import Arguments
from ga_lint.cli.common import end, finder_of, paths_of
from ga_lint.cli.confirm import as_judged, in_cell, site_of
from ga_lint.diagnostics import Finding
from ga_lint.engine.fix import Policy, fix_bytes
from ga_lint.engine.fix_file import Answer, Judgement, Trial
from ga_lint.engine.run import visit_files
from ga_lint.engine.scope import Scope
from ga_lint.engine.settle import told
from ga_lint.errors import UsageError
from ga_lint.notebook import read_text
from ga_lint.outcome import EXIT_FINDINGS, Clean, FileOutcome, Found
from ga_lint.report.verdicts import render_full, render_json
from ga_lint.source import SourceFile
from ga_lint.verify import Outcome, Settings, Site, SiteKind, Verdict, available, sites_in, verify_sites

_REPORTED = {Outcome.CONFIRMED, Outcome.REFUTED, Outcome.WRONG, Outcome.MISSING_DIVISION}


def run(arguments: Arguments) -> int:
    missing = available(SiteKind.LOOP)
    if missing is not None:
        raise UsageError(missing)
    settings = _settings(arguments)
    sites = _Sites()
    report = visit_files(
        paths_of(arguments), finder_of(arguments), sites.visit, force_exclude=arguments.switch("force_exclude")
    )
    verdicts: list[Verdict] = []
    with console.ProgressBar("Verifying", many=1) as progress:
        for verdict in verify_sites(sites.found, settings):
            finding = sites.findings.get(verdict.site)
            verdicts.append(sites.as_told(as_judged(finding, verdict) if finding else verdict))
            progress(len(verdicts), len(sites.found))
    if arguments.text("output_format") == "json":
        console.write(render_json(verdicts))
    else:
        console.write(render_full(verdicts, details=arguments.switch("verbose")))
    code = end(report, arguments)
    return code or (EXIT_FINDINGS if any(verdict.outcome in _REPORTED for verdict in verdicts) else 0)


def _settings(arguments: Arguments) -> Settings:
    settings = Settings(dtype=arguments.text("dtype") or "float64")
    if named := arguments.text("adapter"):
        if not Path(named).is_file():
            raise UsageError(f"--adapter: no such file: {named}")
        settings = replace(settings, adapter=Path(named))
    try:
        if seed := arguments.text("seed"):
            settings = replace(settings, seed=int(seed))
        if timeout := arguments.text("timeout"):
            settings = replace(settings, timeout=float(timeout))
    except ValueError as error:
        raise UsageError(f"--seed takes a whole number, --timeout seconds: {error}") from None
    return settings


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
