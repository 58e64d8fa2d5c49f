"""What does the numeric check cost: the start of its workers, and each site after that?

    python tests/benchmarks/bench_verify.py

Sites are the shipped fixtures with their rewrites, each kind apart, one at a time in a warm worker: the seconds that a
user waits for a site and, on Linux, those of the processor. On a busy machine only the latter say something; the exit
code goes by them. Then all sites as `ga-lint verify` runs them, and what the sandbox's layers take of it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from ga_lint.verify import Settings, Site, SiteKind, Verifier, sites_in  # noqa: E402 - of this checkout

RUNS = 5
ALLOWED = 0.35  # s of the median site; a Trainer's, with its twelve runs, are the longest
FIXTURES = ROOT / "fixtures" / "verify"
_CONFINE = """
import os, time
from ga_lint.verify.worker.sandbox import confine
reader, writer = os.pipe()
if os.fork() == 0:
    start = time.perf_counter()
    confine.die_with(os.getppid())
    confine.close_descriptors(writer)
    confine.confine(30)
    os.write(writer, f"{time.perf_counter() - start:.6f}".encode())
    os._exit(0)
print(os.read(reader, 99).decode())
"""


def sites() -> Iterator[Site]:
    for path in sorted(FIXTURES.glob("*.py")):
        if not path.stem.endswith(".fixed"):
            (site,) = sites_in(path, path.read_text())
            fixed = path.with_name(f"{path.stem}.fixed.py").read_text()
            yield Site(site.path, site.kind, site.scope, site.row, site.original, rewritten=fixed)


def timed(verifier: Verifier, site: Site) -> tuple[float, float]:
    """Seconds by the clock, and of the processor."""
    start, used = time.perf_counter(), children_used(verifier)
    verifier.verify(site)
    seconds = time.perf_counter() - start
    return seconds, children_used(verifier) - used if sys.platform == "linux" else seconds


def children_used(verifier: Verifier) -> float:
    """Processor seconds of all the sites that the workers have reaped so far."""
    total = 0.0
    for post in verifier.crew._posts.values():
        process = post.worker._process
        if sys.platform == "linux" and process is not None and process.poll() is None:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    return total


def main() -> int:
    every = list(sites())
    used: list[float] = []
    with Verifier(Settings(workers=1)) as verifier:
        by_worker = {"torch": SiteKind.LOSS_FUNCTION, "torch and transformers": SiteKind.TRAINER}
        for name, kind in by_worker.items():
            first, _ = timed(verifier, next(site for site in every if site.kind is kind))
            print(f"start of the worker with {name}, and its first site: {first:.1f} s")
        for kind in SiteKind:
            of_kind = [site for site in every if site.kind is kind]
            pairs = [timed(verifier, site) for _ in range(RUNS) for site in of_kind]
            used += [processor for _, processor in pairs]
            clock, processor = (statistics.median(each) for each in zip(*pairs, strict=True))
            print(f"{kind.value}, {len(of_kind)} sites: median {clock:.3f} s, {processor:.3f} s of the processor")
    many = every * 4
    with Verifier(Settings()) as verifier:
        [*verifier.verdicts(every)]
        start = time.perf_counter()
        [*verifier.verdicts(many)]
        each = (time.perf_counter() - start) / len(many)
        print(f"{len(many)} sites on {verifier.settings.workers} cores: {each:.3f} s a site")
    words, own = [sys.executable, "-P", "-c", _CONFINE], {**os.environ, "PYTHONPATH": str(ROOT)}
    layers = [float(subprocess.run(words, env=own, capture_output=True, check=True).stdout) for _ in range(RUNS)]
    print(f"of that, the layers of the sandbox: {statistics.median(layers) * 1000:.1f} ms")
    print(f"median site: {statistics.median(used):.3f} s of the processor, allowed {ALLOWED} s")
    return int(statistics.median(used) > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
