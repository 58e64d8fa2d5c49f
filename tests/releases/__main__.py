"""python -m releases [RELEASE ...], with tests/ and the checkout on the path: the table of what was measured.

A cell: which gradient the update follows, t that of the token mean, m of the mean of micro-batch means, r of the mean
of the ranks' token means, and how many times too large it is; with several ranks also the loss that evaluation reports,
over the token mean. Where the law says something else, it stands behind "law:".
Exit code 1 where a cell and the law disagree, 2 where a release could not be measured.
"""

from __future__ import annotations

import importlib.metadata
import sys
import time

from releases.compare import Cell, Run, compare
from releases.overlays import NotInstalled

RELEASES = ("4.45.2", "4.46.0", "4.46.3", "4.48.0", "4.53.3", "4.57.6", "5.3.0", "5.5.4", "newest")


def release_named(name: str) -> str:
    """`newest` is what the current environment has: a fresh one has the newest."""
    return importlib.metadata.version("transformers") if name == "newest" else name


def main(names: list[str]) -> int:
    table: dict[tuple[str, str], dict[str, Cell]] = {}
    missing: list[str] = []
    releases = [release_named(name) for name in names or RELEASES]
    for release in releases:
        started = time.monotonic()
        try:
            cells = compare(release)
        except (NotInstalled, RuntimeError) as error:
            missing.append(str(error))
            cells = []
        for cell in cells:
            table.setdefault((_title(cell.run), cell.scenario), {})[release] = cell
        wrong = sum(not cell.agrees for cell in cells)
        spent = time.monotonic() - started
        print(f"{release}: {len(cells)} cells, {wrong} against the law, {spent:.0f} s", file=sys.stderr, flush=True)
    _show(releases, table)
    for reason in missing:
        print(f"not measured: {reason}", file=sys.stderr)
    disagrees = any(not cell.agrees for cells in table.values() for cell in cells.values())
    return 2 if missing else int(disagrees)


def _title(run: Run) -> str:
    averages = "" if run.averages is None else f", average_tokens_across_devices={run.averages}"
    return f"{run.ranks} rank{'s' * (run.ranks > 1)}, {run.steps} steps{averages}"


def _show(releases: list[str], table: dict[tuple[str, str], dict[str, Cell]]) -> None:
    title = ""
    for (run, scenario), cells in table.items():
        if run != title:
            title = run
            print(f"\n{run}\n{'':16}" + "".join(f"{release:>18}" for release in releases))
        texts = [_text(cells[release]) if release in cells else "-" for release in releases]
        print(f"{scenario:16}" + "".join(f"{text:>18}" for text in texts))


def _text(cell: Cell) -> str:
    return cell.measured if cell.agrees else f"{cell.measured} law: {cell.said}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
