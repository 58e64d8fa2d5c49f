"""What do `--baseline` and `--diff-base` leave out, and what is written back?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ga_lint.cli import console
from ga_lint.cli.arguments import Arguments
from ga_lint.cli.common import writable
from ga_lint.engine.known import Known
from ga_lint.errors import UsageError
from ga_lint.outcome import EXIT_CLEAN, EXIT_FINDINGS, plural
from ga_lint.report.text import shown

if TYPE_CHECKING:
    from ga_lint.engine.baseline import Baseline


class KnownFindings:
    """What the command line says about findings that are not news."""

    def __init__(self, arguments: Arguments) -> None:
        self._arguments = arguments
        self.reasons: Sequence[Known] = ()
        self._path = Path(path) if (path := arguments.text("baseline")) else None
        for name in ("update_baseline", "prune_baseline", "error_stale_baseline"):
            if arguments.switch(name) and self._path is None:
                raise UsageError(f"--{name.replace('_', '-')} needs --baseline FILE")
        update = arguments.switch("update_baseline")
        if self._path is not None and (update or arguments.switch("prune_baseline")):
            writable("--baseline", self._path)
        self._baseline: Baseline | None = None
        if self._path is not None:
            from ga_lint.engine.baseline import Baseline, read_baseline  # most runs need neither this nor git

            is_new = update and not self._path.exists()
            self._baseline = Baseline(self._path.parent, () if is_new else read_baseline(self._path), takes_all=update)
            self.reasons = (self._baseline,)
        if revision := arguments.text("diff_base"):
            if "-" in arguments.words:
                raise UsageError("--diff-base compares files with git's; stdin has no history")
            from ga_lint.engine.changed import ChangedLines

            self.reasons = (*self.reasons, ChangedLines(revision, Path.cwd()))

    def settle(self) -> tuple[int, list[str]]:
        """Write the baseline where that was asked for; what that adds to the exit code and to stderr."""
        if self._baseline is None or self._path is None:
            return EXIT_CLEAN, []
        from ga_lint.engine.baseline import write_baseline

        stale, name = self._baseline.stale, shown(self._path)
        if self._arguments.switch("update_baseline"):
            entries = self._baseline.updated()
            write_baseline(self._path, entries)
            return EXIT_CLEAN, [f"{name}: {plural(len(entries), 'known finding')}, {len(stale)} stale removed"]
        notes = [f"{plural(self._baseline.left_out, 'known finding')} left out by {name}"]
        if self._arguments.switch("prune_baseline"):
            write_baseline(self._path, self._baseline.pruned())
            return EXIT_CLEAN, [*notes, f"{name}: {len(stale)} stale removed"]
        if not stale:
            return EXIT_CLEAN, notes
        if not self._arguments.switch("error_stale_baseline"):
            return EXIT_CLEAN, [*notes, f"{name}: {len(stale)} stale; --prune-baseline removes them"]
        for entry in stale:
            console.note(f"error: {name}: stale: {entry.code} {shown(entry.path)} {shown(entry.scope)}".rstrip())
        return EXIT_FINDINGS, notes
