"""What does a person read in the terminal? A line for each site, the reason where there is one, details on request."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.outcome import plural
from ga_lint.report.numeric.impact import impact_lines
from ga_lint.report.numeric.model import NumericReport, SiteReport, outcome_counts, place, withdrawal
from ga_lint.report.text import shown, width, wrapped
from ga_lint.report.verdicts import described, elsewhere, numbers, rows
from ga_lint.verify.model import Outcome, Run

_COLUMNS = ("verdict", "R1", "R2", "R4", "factor")
_WIDTHS = (16, 7, 7, 7, 6)
_GAP = 2
_NONE = "-"


def render(report: NumericReport) -> str:
    if not report.sites:
        return "\n".join(["No accumulation site found.", *impact_lines(report)]) + "\n"
    room = report.width - sum(_WIDTHS) - _GAP * len(_WIDTHS)
    table = all(width(place(site)) <= room for site in report.sites)
    lines = [_row((*_COLUMNS, "site"))] if table else []
    for site in report.sites:
        lines += [_line(site, room)] if table else _block(site, report.width)
        lines += _reasons(site, report.width)
        if report.details:
            lines += _details(site, report.width)
    return "\n".join([*lines, "", *_end(report), *impact_lines(report)]) + "\n"


def _row(cells: tuple[str, ...]) -> str:
    padded = [f"{cell:<{columns}}" for cell, columns in zip(cells, (*_WIDTHS, 0), strict=True)]
    return (" " * _GAP).join(padded).rstrip()


def _line(site: SiteReport, room: int) -> str:
    where, scope = place(site), shown(site.site.scope)
    if scope and width(where) + 1 + width(scope) <= room:
        where = f"{where} {scope}"
    return _row((site.outcome.value, *_numbers(site), where))


def _block(site: SiteReport, columns: int) -> list[str]:
    """The same where the terminal is too narrow for the table."""
    numbers = [f"{name} {value}" for name, value in zip(_COLUMNS[1:], _numbers(site), strict=True) if value != _NONE]
    lines: list[str] = []
    for each in numbers:
        if lines and len(lines[-1]) + 2 + len(each) <= columns - _GAP:
            lines[-1] += f"  {each}"
        else:
            lines.append(each)
    return [place(site), f"  {site.outcome.value}", *(f"  {line}" for line in lines)]


def _numbers(site: SiteReport) -> tuple[str, str, str, str]:
    factor = site.factor
    errors = (_error(site.run("R1")), _error(site.run("R2")), _error(site.run("R4")))
    return (*errors, _NONE if factor is None else f"{factor:.3g}")


def _error(run: Run | None) -> str:
    return _NONE if run is None else f"{run.relative_error:.2g}"


def _reasons(site: SiteReport, columns: int) -> Iterator[str]:
    """What the numbers of the line do not say."""
    reason = site.verdict.reason
    if reason and not (site.outcome is Outcome.WRONG and reason.startswith("relative error")):
        yield from wrapped(shown(reason), columns)
    if more := elsewhere(site.verdict):
        yield from wrapped(shown(", ".join(more)), columns)
    for row in rows(site.verdict):
        yield from wrapped(shown(f"{row}: {numbers(site.verdict, row)}"), columns)
    withdrawn = withdrawal(site)
    if withdrawn:
        yield from wrapped(shown(withdrawn), columns)


def _details(site: SiteReport, columns: int) -> Iterator[str]:
    yield from wrapped(f"{site.site.kind.value} {shown(site.site.scope)}".rstrip(), columns)
    for run in site.verdict.runs:
        yield from wrapped(described(run), columns)
    if site.verdict.assumptions:
        yield from wrapped(f"assumes: {'; '.join(map(shown, site.verdict.assumptions))}", columns)


def _end(report: NumericReport) -> Iterator[str]:
    outcomes = ", ".join(f"{count} {each.value}" for each, count in outcome_counts(report.sites).items())
    withdrawn = sum(len(site.withdrawn) for site in report.sites)
    more = f"; {plural(withdrawn, 'finding')} withdrawn" if withdrawn else ""
    yield from (
        line.strip() for line in wrapped(f"{plural(len(report.sites), 'site')}: {outcomes}{more}", report.width)
    )
    if not report.details:
        text = (
            "R1: error of the original, R2: of its rewrite, R4: on ranks. "
            "`-v` shows every run and all that was assumed."
        )
        yield from (line.strip() for line in wrapped(text, report.width))
