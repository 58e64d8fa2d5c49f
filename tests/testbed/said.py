"""What is a user told about each fixture, word for word? Run as a program, it writes down what is said today.

    python tests/testbed/said.py

One file for each rule's folder, tests/data/said/<code>-<name>.txt, so that a changed word shows in a diff and can be
read aloud; also what is merely possible, which a user has to ask for. Places are rows and columns of the fixture, or of
the file beside it that the trace leads to.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ga_lint.diagnostics import Confidence, Diagnostic, Effect, Finding, FixRequest, Step
from ga_lint.source import Span
from testbed.fixtures import FIXTURES, ROOT, Fixture, all_fixtures, check, diagnostics

SAID = ROOT / "tests" / "data" / "said"
_HEADING = "== "


def everything(fixture: Fixture) -> Sequence[Diagnostic]:
    """What is found, and what may be meant."""
    return diagnostics(check(fixture.path, fixture.project, confidence=Confidence.POSSIBLE))


def said(fixture: Fixture, found: Sequence[Diagnostic]) -> str:
    """Everything that the findings of one file tell the user; an empty text where there are none."""
    lines = (line for d in found for line in _of_finding(d.finding, fixture))
    return "".join(f"{line}\n" for line in lines)


def recorded(fixture: Fixture) -> str:
    """What was said about the fixture when somebody last looked."""
    folder, _, name = str(fixture).partition("/")
    return sections_of(SAID / f"{folder}.txt").get(name, "")


def _of_finding(finding: Finding, fixture: Fixture) -> Iterator[str]:
    how = f"{finding.severity.value}, {finding.confidence}"
    yield f"{_place(finding.span)} {finding.code} [{finding.name}] {how}: {finding.message}"
    yield f"  here: {finding.label}" + (f" (in {finding.scope})" if finding.scope else "")
    yield f"  effect: {_effect(finding.effect)}"
    for step in finding.trace:
        yield f"  - {_where(step, fixture)} {step.message}"
    for request in finding.fix.parts if finding.fix else ():
        yield f"  fix ({request.tier.value}): {request.summary}"
        yield from (f"    {line}" for line in _asked(request))
    if finding.fix_refusal:
        yield f"  no fix: {finding.fix_refusal}"


def _where(step: Step, fixture: Fixture) -> str:
    """In an installed library rows differ from release to release."""
    path = step.path.resolve()
    if path == fixture.path:
        return _place(step.span)
    inside = path.is_relative_to(fixture.project)
    return f"{path.relative_to(fixture.project)}:{_place(step.span)}" if inside else f"{path.name} (installed)"


def _effect(effect: Effect) -> str:
    number = "" if effect.value is None else f" = {effect.value:g}"
    factor = "" if effect.factor is None else f" {effect.factor}{number}"
    return f"{effect.message} [{effect.kind.value}{factor}]"


def _asked(request: FixRequest) -> Iterator[str]:
    yield f"{request.fixer}: " + ", ".join(f"{role} {_place(span)}" for role, span in request.targets)
    yield from (f"{name}: {value}" for name, value in request.options)


def _place(span: Span) -> str:
    return f"{span.start.row}:{span.start.column}-{span.end.row}:{span.end.column}"


@cache
def sections_of(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    parts = path.read_text(encoding="utf-8").split(f"\n{_HEADING}")
    return {name.removeprefix(_HEADING): text for name, _, text in (part.partition("\n") for part in parts) if text}


def main() -> None:
    SAID.mkdir(exist_ok=True)
    for old in SAID.glob("*.txt"):
        old.unlink()
    for folder, fixtures in groupby(all_fixtures(), lambda each: each.path.relative_to(FIXTURES).parts[0]):
        texts = ((each, said(each, everything(each))) for each in fixtures)
        sections = [f"{_HEADING}{str(each).partition('/')[2]}\n{text}" for each, text in texts if text]
        if sections:
            (SAID / f"{folder}.txt").write_text("\n".join(sections), encoding="utf-8")


if __name__ == "__main__":
    main()
