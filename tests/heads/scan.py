"""Which heads drop the count, release by release? Writes rules/knowledge/dropped_counts.toml.

    PYTHONPATH=.:tests python -m heads.scan FOLDER...

Each folder holds one unpacked release of transformers (`pip download --no-deps transformers==X`, unzip). Give the last
patch release of every minor one: the ranges of the table are as fine as what is read.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ga_lint.resources import rules_folder
from heads.levels import level_of
from heads.package import Package
from heads.reading import Reading, Verdict, read
from heads.table import Scan, render

TABLE = rules_folder() / "knowledge" / "dropped_counts.toml"


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Parsing makes millions of objects and no garbage: a third of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()


def readings(package: Package) -> dict[str, Reading]:
    """For every model of the package whose forward takes labels what becomes of the count."""
    found: dict[str, Reading] = {}
    for module in package.modeling_modules():
        for name, cls in package.classes(module).items():
            if name.startswith("_") or all(one.name != "PreTrainedModel" for one in package.ancestry(cls)):
                continue
            reading = read(package, cls)
            if reading is not None:
                found[name] = reading
    return found


def scan(folder: Path) -> tuple[Scan, dict[str, Reading]]:
    with without_collector():
        package = Package(folder)
        read_heads = readings(package)
        heads = frozenset(name for name, reading in read_heads.items() if reading.verdict is Verdict.DROPS)
        shares = {}
        for auto, names in package.auto_mappings().items():
            dropping = heads.intersection(names)
            if auto.startswith("AutoModelFor") and dropping:
                shares[auto] = (len(dropping), len(names))
        return Scan(package.release, heads, shares), read_heads


def main(folders: list[str]) -> None:
    scans = []
    for folder in folders:
        one, read_heads = scan(Path(folder))
        counted = Counter(reading.verdict.value for reading in read_heads.values())
        print(".".join(map(str, one.release)), dict(sorted(counted.items())), flush=True)
        for name, reading in sorted(read_heads.items()):
            if reading.verdict in (Verdict.UNKNOWN, Verdict.MIXED):
                print(f"    {reading.verdict}: {name}: {reading.why}")
        for name in (*one.heads, *one.shares):
            level_of(name)  # one without a level stops the command here, not after the last release
        scans.append(one)
    TABLE.write_text(render(scans), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
