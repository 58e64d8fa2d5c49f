"""What do the rules know about these files? `ga-lint check --show-facts`."""

from __future__ import annotations

from pathlib import Path

from ga_lint.cli.arguments import Arguments
from ga_lint.engine.fault import Fault
from ga_lint.engine.scope import Scope
from ga_lint.engine.show_facts import shown_facts
from ga_lint.errors import SourceError, UsageError
from ga_lint.notebook import read_text
from ga_lint.outcome import Clean, Failed, FileOutcome
from ga_lint.report.facts import Facts, render_full, render_json
from ga_lint.syntax.parsed import ParseFailure


class FactsReader:
    """Gathers the facts of every file that is visited."""

    def __init__(self, arguments: Arguments) -> None:
        name = arguments.text("output_format") or "full"
        if name not in ("auto", "full", "json") or arguments.items("output"):
            raise UsageError("--show-facts prints text, or JSON with --output-format json; it writes nothing else")
        self._render = render_json if name == "json" else render_full
        self._found: list[tuple[Path, Facts]] = []

    def visit(self, path: Path, data: bytes, scope: Scope, named: bool) -> FileOutcome:
        try:
            self._found.append((path, shown_facts(read_text(path, data), scope)))
        except ParseFailure as failure:
            return Failed(path, f"line {failure.position.row}: {failure.message}")
        except SourceError as error:
            return Failed(path, str(error))
        except Exception as error:  # noqa: BLE001 - one file never stops the run
            fault = Fault.of("reading the facts", error)
            return Failed(path, fault.text, fault.internal)
        return Clean(path)

    def render(self) -> str:
        return self._render(self._found)
