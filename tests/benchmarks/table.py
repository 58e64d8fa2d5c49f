"""How fast is all of it? Measures, prints the table, and writes down what the README shows.

    python tests/benchmarks/table.py [FOLDER ...] [--runs N] [--only-print]

FOLDERs are sources of further training libraries (axolotl, llamafactory, ms-swift). It takes about ten minutes on a
machine that does nothing else, and says how busy this one was. What is written is tests/data/benchmarks.json; after
that, `python tests/testbed/readme.py` renews the README.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import tempfile
from pathlib import Path

import bench_check
import bench_growth
from timing import Row

from testbed.record import RECORD

_VERSIONS = "ga-lint ruff libcst transformers trl peft accelerate".split()


def machine() -> dict[str, object]:
    """What the numbers depend on besides the code."""
    versions = {}
    for name in _VERSIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # measured without it
    model = "".join(line for line in _cpuinfo() if line.startswith("model name")).partition(":")[2].strip()
    return {
        "date": datetime.date.today().isoformat(),
        "processor": f"{os.cpu_count()} cores, {model or platform.machine()}",
        "load": round(os.getloadavg()[1], 1),
        "python": platform.python_version(),
        "versions": versions,
    }


def _cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()[:10]
    except OSError:
        return []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only-print", action="store_true")
    options = parser.parse_args()
    rows: list[Row] = []
    before = machine()
    with tempfile.TemporaryDirectory() as name:
        for part in (bench_check.rows(Path(name), options.folders, options.runs), bench_growth.rows(Path(name))):
            for row in part:
                print(row, flush=True)
                rows.append(row)
                if not options.only_print:  # after each: an hour that is cut short has measured something
                    record = {**before, "rows": [dataclasses.asdict(each) for each in rows]}
                    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
