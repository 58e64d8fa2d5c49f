"""Which findings did the user silence, and which comments silence nothing?"""

from __future__ import annotations

import ast
import enum
import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from ga_lint.config import nearest
from ga_lint.diagnostics import Finding
from ga_lint.engine.own_rules import UNUSED_SUPPRESSION, known_rules, unsuppress_request, unused_suppression
from ga_lint.engine.select import covers
from ga_lint.rules.registry import Rule
from ga_lint.source import Position, SourceFile, Span
from ga_lint.syntax.comments import Comment, comments
from ga_lint.syntax.statements import is_blank_or_comment, statement_at

MARKERS = UNUSED_SUPPRESSION.needles  # a file without them needs no look at its comments unless it has findings


class Verb(enum.Enum):
    """What a comment asks for."""

    IGNORE = "ignore"
    DISABLE = "disable"
    ENABLE = "enable"
    FILE_IGNORE = "file-ignore"
    NOQA = "noqa"


class Directive(Struct, frozen=True):
    """One comment that speaks to us; without selectors it means every rule."""

    verb: Verb
    selectors: tuple[str, ...]
    comment: Comment
    target_row: int  # a row of the statement that is meant: the comment's own, or the next that holds code
    span: Span  # the part of the comment that is this directive, its reason included
    text: str
    codes: tuple[int, int] | None  # where in `text` the selectors stand

    def with_selectors(self, selectors: Sequence[str]) -> str:
        """The directive's text with other selectors, nothing if there are none."""
        if self.codes is None or not selectors:
            return ""
        return f"{self.text[: self.codes[0]]}{', '.join(selectors)}{self.text[self.codes[1] :]}"


class Suppressions(Struct, frozen=True):
    """All directives of one file."""

    source: SourceFile
    directives: tuple[Directive, ...]
    faulty: tuple[Finding, ...]  # comments that start like a directive and are none

    @property
    def whole_file(self) -> bool:
        """Whether a bare `file-ignore` takes the file out of the run."""
        return any(d.verb is Verb.FILE_IGNORE and not d.selectors for d in self.directives)


# A directive starts a `#` segment: prose that mentions one is none.
_SEGMENT = re.compile(r"#[^#]*")
_VERBS = {verb.value: verb for verb in Verb if verb is not Verb.NOQA}
_OURS = re.compile(r"#\s*ga-lint:\s*(?P<verb>[\w-]*)\s*(?:\[(?P<codes>[^\]]*)\])?")
_NOQA = re.compile(r"#\s*noqa(?:\s*:\s*(?P<codes>[A-Z]+[0-9]+(?:[\s,]+[A-Z]+[0-9]+)*)|(?![\w:]|\s*:))", re.IGNORECASE)


def read_suppressions(source: SourceFile) -> Suppressions:
    """The directives in the comments of a file."""
    directives: list[Directive] = []
    faulty: list[Finding] = []
    for comment in comments(source):
        for segment in _SEGMENT.finditer(comment.text):
            if ours := _OURS.match(segment.group()):
                if verb := _VERBS.get(ours["verb"]):
                    directives.append(_directive(verb, ours, segment.start(), comment, source))
                else:
                    hint = nearest(ours["verb"], _VERBS)
                    faulty.append(unused_suppression(f"{ours['verb']!r} is no directive{hint}", comment.span))
            elif noqa := _NOQA.match(segment.group()):
                directives.append(_directive(Verb.NOQA, noqa, segment.start(), comment, source))
    return Suppressions(source, tuple(directives), tuple(faulty))


def _directive(verb: Verb, match: re.Match[str], offset: int, comment: Comment, source: SourceFile) -> Directive:
    text, codes = match.string.rstrip(), match["codes"] or ""
    start = Position(comment.row, comment.span.start.column + offset)
    span = Span(start, Position(start.row, start.column + len(text)))
    selectors = tuple(re.findall(r"[^\s,]+", codes.upper() if verb is Verb.NOQA else codes))
    row = comment.row
    if comment.own_line and verb is not Verb.NOQA:
        below = range(row + 1, len(source.lines) + 1)
        row = next((r for r in below if not is_blank_or_comment(source.lines[r - 1])), row)
    return Directive(verb, selectors, comment, row, span, text, match.span("codes") if codes else None)


def suppress(
    suppressions: Suppressions, tree: ast.Module | None, findings: Sequence[Finding], ran: frozenset[str]
) -> tuple[list[Finding], list[Finding]]:
    """The findings that stay, and one more for every comment that silenced nothing among the rules that `ran`."""
    used: set[tuple[Directive, str]] = set()
    rule_by_code = {rule.code: rule for rule in known_rules()}
    kept: list[Finding] = []
    for finding in findings:
        rule = rule_by_code[finding.code]
        rows = statement_at(suppressions.source, tree, finding.span.start.row).rows
        hits = [
            (directive, selector)
            for directive in _speaking_of(suppressions.directives, finding, rows)
            for selector in directive.selectors or ("ALL",)
            if covers(selector, rule)
        ]
        hits = _without_enabled(hits)
        used.update(hits)
        if not hits:
            kept.append(finding)
    return kept, [*suppressions.faulty, *_unused(suppressions.directives, used, ran)]


def _speaking_of(directives: Sequence[Directive], finding: Finding, rows: range) -> Iterator[Directive]:
    for directive in directives:
        match directive.verb:
            case Verb.IGNORE | Verb.NOQA:
                if directive.target_row in rows:
                    yield directive
            case Verb.DISABLE | Verb.ENABLE:
                if directive.comment.row <= finding.span.start.row:
                    yield directive
            case Verb.FILE_IGNORE:
                yield directive


def _without_enabled(hits: list[tuple[Directive, str]]) -> list[tuple[Directive, str]]:
    """What is still in force: an `enable` ends the `disable`s before it."""
    ends = [directive.comment.row for directive, _ in hits if directive.verb is Verb.ENABLE]
    last_end = max(ends, default=0)
    return [
        hit
        for hit in hits
        if hit[0].verb is not Verb.ENABLE and not (hit[0].verb is Verb.DISABLE and hit[0].comment.row < last_end)
    ]


def _unused(
    directives: Sequence[Directive], used: set[tuple[Directive, str]], ran: frozenset[str]
) -> Iterator[Finding]:
    for directive in directives:
        if directive.verb is Verb.ENABLE:
            continue
        idle = [s for s in directive.selectors if (directive, s) not in used and _is_judged(s, directive, ran)]
        unknown = [s for s in idle if not _meant(s)]
        if unknown:
            yield unused_suppression(f"no rule is called {', '.join(unknown)}", directive.comment.span)
        elif idle:
            left = directive.with_selectors([selector for selector in directive.selectors if selector not in idle])
            fix = unsuppress_request(directive.span, left)
            yield unused_suppression(f"suppresses nothing: {', '.join(idle)}", directive.comment.span, fix)
        elif _is_idle_and_bare(directive, used, ran):
            fix = unsuppress_request(directive.span, "")
            yield unused_suppression("suppresses nothing", directive.comment.span, fix)


def _is_idle_and_bare(directive: Directive, used: set[tuple[Directive, str]], ran: frozenset[str]) -> bool:
    if directive.selectors or directive.verb is Verb.NOQA or (directive, "ALL") in used:
        return False  # a bare `noqa` may be meant for any other linter
    return all(rule.code in ran for rule in known_rules())


def _is_judged(selector: str, directive: Directive, ran: frozenset[str]) -> bool:
    """Whether this run can tell that the selector is idle: every rule that it means has run."""
    meant = _meant(selector)
    if not meant:
        return directive.verb is not Verb.NOQA  # other linters' codes are theirs
    return all(rule.code in ran for rule in meant) and UNUSED_SUPPRESSION not in meant


def _meant(selector: str) -> list[Rule]:
    return [rule for rule in known_rules() if covers(selector, rule)]
