"""What can a project and a command line ask for?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from ga_lint.diagnostics import Confidence

# ruff's list and our own cache. Plain names, so that the usual run needs no pattern library.
DEFAULT_EXCLUDE = (
    ".bzr", ".direnv", ".eggs", ".ga_lint_cache", ".git", ".git-rewrite", ".hg", ".ipynb_checkpoints", ".mypy_cache",
    ".nox", ".pants.d", ".pyenv", ".pytest_cache", ".pytype", ".ruff_cache", ".svn", ".tox", ".venv", ".vscode",
    "__pycache__", "__pypackages__", "_build", "buck-out", "build", "dist", "node_modules", "site-packages", "venv",
)  # fmt: skip
CONFIDENCES = tuple(str(confidence) for confidence in Confidence)


class Selection(Struct, frozen=True):
    """One layer of rule selectors; `select` replaces what the layers before it chose, None leaves it."""

    select: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    extend_select: tuple[str, ...] = ()


class Flags(Struct, frozen=True):
    """What the command line says about settings that a file can hold too; None where it is silent."""

    selection: Selection = Selection()
    exclude: tuple[str, ...] | None = None
    extend_exclude: tuple[str, ...] = ()
    respect_gitignore: bool | None = None
    min_confidence: Confidence | None = None
    transformers_version: str | None = None
    ignore_suppressions: bool = False


class Config(Struct, frozen=True):
    """The settings for the files below one folder."""

    root: Path  # patterns and fingerprints are relative to it; nothing outside it is read
    source: Path | None = None  # the file they come from
    selections: tuple[Selection, ...] = (Selection(select=("GA",)),)
    exclude: tuple[str, ...] = DEFAULT_EXCLUDE
    extend_exclude: tuple[str, ...] = ()
    respect_gitignore: bool = True
    min_confidence: Confidence = Confidence.LIKELY
    transformers_version: str | None = None  # None: what the project's own files say
    per_file_ignores: tuple[tuple[str, tuple[str, ...]], ...] = ()
    ignore_suppressions: bool = False  # look behind the comments; no file can ask for that
    knowledge: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.root, self.source, self.selections))  # `knowledge` has no hash; what is equal has all equal

    def with_flags(self, flags: Flags) -> Config:
        """The same settings under the command line's."""
        return replace(
            self,
            selections=(*self.selections, flags.selection),
            exclude=self.exclude if flags.exclude is None else flags.exclude,
            extend_exclude=self.extend_exclude + flags.extend_exclude,
            respect_gitignore=self.respect_gitignore if flags.respect_gitignore is None else flags.respect_gitignore,
            min_confidence=self.min_confidence if flags.min_confidence is None else flags.min_confidence,
            transformers_version=flags.transformers_version or self.transformers_version,
            ignore_suppressions=flags.ignore_suppressions,
        )
