"""What does the page of `verify --report` hold? One file without a script or a link to load: text, tables, drawings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ga_lint import __version__
from ga_lint.outcome import plural
from ga_lint.report.numeric.html_pictures import impact_section, pictures
from ga_lint.report.numeric.model import (
    NumericReport,
    SiteImpact,
    SiteReport,
    diff,
    headline,
    outcome_counts,
    place,
    withdrawal,
)
from ga_lint.report.numeric.svg import number, text
from ga_lint.report.text import shown_line
from ga_lint.report.verdicts import COMPARED
from ga_lint.resources import page_url
from ga_lint.verify.impact import Law
from ga_lint.verify.model import Outcome, Run

# Nothing may run or be loaded, even if some text were not escaped.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_BADGES = {
    Outcome.CONFIRMED: ("good", "✓ confirmed"),
    Outcome.REFUTED: ("bad", "✗ refuted"),
    Outcome.CORRECT: ("good", "✓ correct"),
    Outcome.WRONG: ("warn", "! wrong"),
    Outcome.MISSING_DIVISION: ("warn", "! missing division"),
    Outcome.INCONCLUSIVE: ("open", "? inconclusive"),
    Outcome.NOT_VERIFIABLE: ("open", "? not verifiable"),
    Outcome.NOT_RUN: ("bad", "✗ not run"),
}
_AROUND = 4  # lines of source on each side where there is no diff


def render(report: NumericReport) -> str:
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    head = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f"<title>ga-lint verify: {text(_counts(report))}</title>\n<style>\n{style}</style>\n</head>\n<body>",
    ]
    sites = sorted(report.sites, key=lambda site: not site.is_fault)  # what is wrong first, else in their order
    body = [*_top(), "<main>", *_summary(replace(report, sites=sites))]
    for index, site in enumerate(sites, 1):
        body += _site(site, index)
    footer = f"<footer>ga-lint {text(__version__)}. {text(report.files.summary())}.</footer>"
    return "\n".join([*head, *body, "</main>", footer, "</body>\n</html>"]) + "\n"


def _counts(report: NumericReport) -> str:
    return ", ".join(f"{count} {each.value}" for each, count in outcome_counts(report.sites).items()) or "no site"


def _top() -> Iterator[str]:
    yield '<header class="top"><h1>Does the gradient depend on how the batch was cut?</h1>'
    yield (
        '<p class="soft">Each place below was run on a tiny model, once in four micro-batches of one row and once as '
        "one batch. Gradients are compared in float64; the errors are relative.</p></header>"
    )


def _summary(report: NumericReport) -> Iterator[str]:
    yield '<section class="summary" aria-labelledby="all"><h2 id="all">'
    yield f"{text(plural(len(report.sites), 'site'))}</h2>"
    items = (f"<li>{_badge(each, count)}</li>" for each, count in outcome_counts(report.sites).items())
    yield f'<ul class="counts">{"".join(items)}</ul>'
    if report.sites:
        heads = ("place", "verdict", "R1: original", "R2: rewrite", "R3", "R4: ranks", "factor")
        yield '<div class="scroll" tabindex="0" role="region" aria-label="All sites"><table><thead><tr>'
        yield "".join(f'<th scope="col"{_NUMBER if n > 1 else ""}>{head}</th>' for n, head in enumerate(heads))
        yield "</tr></thead><tbody>"
        yield from (_summary_row(site, index) for index, site in enumerate(report.sites, 1))
        yield "</tbody></table></div>"
        yield (
            "<p class=\"soft\">R1 is how far the original's gradient is from the full batch's when micro-batches hold "
            "different numbers of targets, R2 how far the rewrite's is; R3 compares the two without accumulation. R4 "
            "is the error on several ranks, of the rewrite or, without one, of the original. <em>factor</em> is the "
            "scale of the original's gradient: 1 is right.</p>"
        )
    if report.instead is not None:
        yield "<p>No fault was found, so nothing is distorted. A mean of means would do this to the training:</p>"
        yield from impact_section(SiteImpact(Law(mean_of_means=True), report.instead))
    for failed in report.files.failures:
        yield f'<p class="bad">not looked at: {text(failed.path)}: {text(failed.error)}</p>'
    yield "</section>"


_NUMBER = ' class="number"'


def _summary_row(site: SiteReport, index: int) -> str:
    numbers = [_cell(site.run(name)) for name in ("R1", "R2", "R3", "R4")]
    numbers.append("-" if site.factor is None else f"{site.factor:.3g}")
    cells = "".join(f"<td{_NUMBER}>{value}</td>" for value in numbers)
    link = f'<a class="place" href="#site-{index}">{text(place(site))}</a>'
    return f"<tr><td>{link}</td><td>{_badge(site.outcome)}</td>{cells}</tr>"


def _cell(run: Run | None) -> str:
    return "-" if run is None else number(run.relative_error)


def _badge(outcome: Outcome, count: int | None = None) -> str:
    kind, words = _BADGES[outcome]
    return f'<span class="badge {kind}">{words}{"" if count is None else f": {count}"}</span>'


def _site(site: SiteReport, index: int) -> Iterator[str]:
    yield f'<section class="site" id="site-{index}" aria-labelledby="site-{index}-name">'
    yield f'<div class="head"><h2 class="place" id="site-{index}-name">{text(place(site))}</h2>{_badge(site.outcome)}'
    yield f'<span class="soft">{text(f"{site.site.kind.value} {site.site.scope}".rstrip())}</span></div>'
    yield f'<p class="said">{text(_capital(headline(site)))}.</p>'
    if said := withdrawal(site):
        yield f'<p class="withdrawn">{text(said)}: the numbers show nothing wrong.</p>'
    yield from _findings(site)
    yield from _code(site)
    if site.verdict.sweep is not None:
        yield from pictures(site.verdict.sweep)
    if site.impact is not None:
        yield "<h3>What it does to this training</h3>"
        yield from impact_section(site.impact)
    yield from _runs(site.verdict.runs)
    if site.verdict.assumptions:
        yield "<h3>What was assumed to run it</h3><ul class='plain'>"
        yield from (f"<li>{text(assumption)}</li>" for assumption in site.verdict.assumptions)
        yield "</ul>"
    yield "</section>"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _findings(site: SiteReport) -> Iterator[str]:
    if not site.findings:
        return
    yield "<h3>What <code>ga-lint check</code> says here</h3><ul class='plain'>"
    withdrawn = {diagnostic.fingerprint for diagnostic in site.withdrawn}
    for diagnostic in site.findings:
        finding = diagnostic.finding
        link = f'<a href="{text(page_url(finding.code, finding.name))}">{text(finding.code)} {text(finding.name)}</a>'
        more = " <strong>(withdrawn)</strong>" if diagnostic.fingerprint in withdrawn else ""
        yield f"<li>{link}, line {finding.span.start.row}: {text(finding.message)}{more}</li>"
    yield "</ul>"


def _code(site: SiteReport) -> Iterator[str]:
    """The rewrite as a diff; without one, the lines around the site."""
    changes = diff(site.site)
    if changes is not None:
        yield "<h3>The rewrite</h3>"
        if site.site.cell is not None:
            yield '<p class="soft">The code cells of the notebook are one text here.</p>'
        yield from _block("The rewrite as a diff", [(_kind(line), line) for line in changes.splitlines()])
        return
    lines = site.site.original.splitlines()
    row = site.site.row
    first, last = max(row - _AROUND, 1), min(row + _AROUND, len(lines))
    if last < first:
        return
    gutter = len(str(last - site.site.rows_above))
    numbered = [
        ("here" if n == row else "", f"{n - site.site.rows_above:>{gutter}}  {lines[n - 1]}")
        for n in range(first, last + 1)
        if n > site.site.rows_above
    ]
    yield "<h3>The code</h3>"
    yield from _block("The code around the place", numbered)


def _kind(line: str) -> str:
    if line.startswith(("--- ", "+++ ", "@@")):
        return "hunk"
    return {"+": "added", "-": "removed"}.get(line[:1], "")


def _block(name: str, lines: Sequence[tuple[str, str]]) -> Iterator[str]:
    written = "".join(f'<span class="{kind}">{text(shown_line(line)) or " "}</span>' for kind, line in lines)
    yield f'<pre tabindex="0" role="region" aria-label="{text(name)}"><code>{written}</code></pre>'


def _runs(runs: Sequence[Run]) -> Iterator[str]:
    if not runs:
        return
    heads = ["run", "compares", "setting", "error", "allowed", "scale", "worst in"]
    if in_rows := any(run.row for run in runs):
        heads.append("computed in")
    yield '<h3>Every run</h3><div class="scroll" tabindex="0" role="region" aria-label="Every run"><table><thead><tr>'
    yield "".join(f'<th scope="col"{_NUMBER if head in _NUMBERS else ""}>{head}</th>' for head in heads)
    yield "</tr></thead><tbody>"
    for run in runs:
        yield (
            f"<tr><td>{text(run.name)}</td><td>{text(COMPARED.get(run.name, ''))}</td><td>{text(run.setting)}</td>"
            f"<td{_NUMBER}>{number(run.relative_error)}</td><td{_NUMBER}>{run.allowed:.0e}</td>"
            f"<td{_NUMBER}>{run.scale:.4g}</td><td><code>{text(run.parameter)}</code></td>"
            f"{f'<td>{text(run.row or _DECIDES)}</td>' if in_rows else ''}</tr>"
        )
    yield "</tbody></table></div>"


_DECIDES = "float64"
_NUMBERS = frozenset({"error", "allowed", "scale"})
