"""Which fixtures are there, and what does ga-lint say about them?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ga_lint.config import Config
from ga_lint.diagnostics import Confidence, Diagnostic
from ga_lint.engine.check_file import check_bytes, check_source
from ga_lint.engine.fix import Policy, fix_bytes
from ga_lint.engine.own_rules import known_rules
from ga_lint.engine.scope import Scope
from ga_lint.outcome import Clean, Failed, FileOutcome, Found
from ga_lint.project import Project
from ga_lint.source import decode
from testbed.expectations import Place, without_markers

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "fixtures"
FIXED = ".fixed.py"


@dataclass(frozen=True)
class Fixture:
    """One file with expectations, and the folder that is its project."""

    path: Path
    project: Path

    def __str__(self) -> str:
        return self.path.relative_to(FIXTURES).as_posix()

    @property
    def fixed(self) -> Path:
        """What `ga-lint fix` must make of it, where that is written down."""
        return self.path.with_name(self.path.stem + FIXED)


def all_fixtures() -> list[Fixture]:
    """Every file below fixtures/<code>-<name>/. A folder in there is a small project of its own."""
    found = []
    for rule_folder in sorted(FIXTURES.glob("GA*-*")):
        for path in sorted(rule_folder.rglob("*.py")):
            if not path.name.endswith(FIXED):
                project = rule_folder / path.relative_to(rule_folder).parts[0]
                found.append(Fixture(path, project if project.is_dir() else rule_folder))
    return found


def check(
    path: Path,
    project: Path,
    data: bytes | None = None,
    *,
    prefilter: bool = False,
    confidence: Confidence = Confidence.LIKELY,
) -> FileOutcome:
    """Check one file the way `ga-lint check` does, but by every rule, whatever words it holds, unless `prefilter`."""
    scope = Scope(Config(root=project, min_confidence=confidence), Project(project))
    data = path.read_bytes() if data is None else data
    return check_bytes(path, data, scope) if prefilter else check_source(decode(path, data), scope, known_rules())


def fix(fixture: Fixture) -> str:
    """The fixture, without its markers, after `ga-lint fix --unsafe-fixes --no-verify`."""
    source = decode(fixture.path, without_markers(fixture.path.read_text(encoding="utf-8")).encode())
    scope = Scope(Config(root=fixture.project), Project(fixture.project))
    _, rewriting = fix_bytes(fixture.path, source.data, scope, Policy(unsafe=True, write=False))
    return rewriting.after.text if rewriting is not None else source.text


def diagnostics(outcome: FileOutcome) -> Sequence[Diagnostic]:
    """What was found; a file that could not be analysed is an error of the test, not an empty list."""
    match outcome:
        case Found(diagnostics=found):
            return found
        case Clean():
            return ()
        case Failed(error=error):
            raise AssertionError(f"{outcome.path}: {error}")
        case _:
            raise AssertionError(f"{outcome.path} was skipped")


def rows(found: Sequence[Diagnostic]) -> Counter[Place]:
    """Row and code of each finding."""
    return Counter((d.finding.span.start.row, d.finding.code) for d in found)
