"""What does ga-lint say about a text, and what does it make of it? For programs that are made up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ga_lint.config import Config
from ga_lint.engine.check_file import check_bytes
from ga_lint.engine.fix import Policy, fix_bytes
from ga_lint.engine.scope import Scope
from ga_lint.outcome import Clean, Found
from ga_lint.project import Project


class Folder:
    """Where the text would lie; nothing is written there."""

    def __init__(self, path: Path) -> None:
        self._path = path / "train.py"
        self._scope = Scope(Config(root=path), Project(path))

    def codes(self, text: str) -> list[str]:
        outcome = check_bytes(self._path, text.encode(), self._scope, whole=True)
        assert isinstance(outcome, Clean | Found), outcome
        return [each.finding.code for each in outcome.diagnostics] if isinstance(outcome, Found) else []

    def rewrite(self, text: str, *, unsafe: bool = True) -> str:
        policy = Policy(unsafe=unsafe, write=False)
        _, rewriting = fix_bytes(self._path, text.encode(), self._scope, policy, whole=True)
        return text if rewriting is None else rewriting.after.text

    def rewrites(self, text: str) -> Sequence[str]:
        """What the safe rewrites make of it, and all of them; those that change nothing are left out."""
        both = (self.rewrite(text, unsafe=False), self.rewrite(text))
        return [each for each in dict.fromkeys(both) if each != text]
