"""Is there an input that knocks ga-lint over? Tries new ones until the time is up, and keeps those that break a law.

    python tests/fuzz/fuzz.py [--minutes N] [--seed N] [--from NUMBER] [--keep FOLDER] [--modules N]

Inputs are made of the fixtures, installed trainers, hypothesmith's modules and Python's own tests (inputs.py), and held
to laws (laws.py). They are tried in copies of this process: one that dies or hangs is a finding like any other. The
same seed makes the same inputs. The exit code is 1 when a law was broken.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT, ROOT / "tests"):
    sys.path.insert(0, str(folder))

from fuzz.bases import bases, generated_modules  # noqa: E402 - of this checkout
from fuzz.inputs import Input, make  # noqa: E402
from fuzz.laws import Laws  # noqa: E402

BATCH = 25  # inputs for each copy of the process
LONGEST = 60  # seconds of processor time for one input: the longest ones take 5
_NUMBERS = re.compile(r"\d+")


def trial(one: Input, laws: Laws) -> list[str]:
    """The laws that it breaks; an exception that comes out of the program is one."""
    try:
        return list(laws.broken(one))
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not have come here
        last = traceback.extract_tb(error.__traceback__)[-1]
        return [f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"]


def batch(seed: int, numbers: range, generated: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Each input's number and what came of it, from a copy of this process."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        with contextlib.suppress(BaseException):
            os.close(reading)
            _try_all(seed, numbers, generated, writing)
        os._exit(0)
    os.close(writing)
    begun: int | None = None
    with os.fdopen(reading, "rb") as pipe:
        for line in pipe:
            said = json.loads(line)
            begun = said["number"] if "broken" not in said else None
            if begun is None:
                yield said
    _, status = os.waitpid(process, 0)
    if begun is not None:
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        how = "it hangs" if number in (signal.SIGXCPU, signal.SIGALRM) else f"the process died of signal {number}"
        yield {"number": begun, "made": make(seed, begun, generated).made, "broken": [how]}


def _try_all(seed: int, numbers: range, generated: Sequence[str], pipe: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        for number in numbers:
            os.write(pipe, json.dumps({"number": number}).encode() + b"\n")
            signal.setitimer(signal.ITIMER_PROF, LONGEST)
            signal.signal(signal.SIGPROF, lambda *_: os.kill(os.getpid(), signal.SIGXCPU))
            laws = Laws(Path(name))
            one = make(seed, number, generated)
            broken = trial(one, laws)
            said = {"number": number, "made": one.made, "broken": broken, "size": len(one.data)}
            said |= {"read": laws.read, "found": laws.found, "rewritten": laws.rewritten}
            os.write(pipe, json.dumps(said).encode() + b"\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--from", type=int, default=0, dest="first", help="the number of the first input")
    parser.add_argument("--keep", type=Path, help="a folder for the inputs that break a law")
    parser.add_argument("--modules", type=int, default=200, help="how many hypothesmith makes")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    generated = generated_modules(options.modules, options.seed)
    print(f"{len(bases())} files and {len(generated)} generated modules to make inputs of; seed {options.seed}")
    tried: collections.Counter[str] = collections.Counter()
    kinds: dict[str, int] = {}
    start = options.first
    while time.monotonic() < end:
        for said in batch(options.seed, range(start, start + BATCH), generated):
            tried["tried"] += 1
            tried.update({word: said.get(word, 0) for word in ("read", "found", "rewritten")})
            tried.update(said["made"].split())
            for law in said["broken"]:
                kind = _NUMBERS.sub("#", law)
                kinds[kind] = kinds.get(kind, 0) + 1
                if kinds[kind] <= 3:
                    _tell(said, law, make(options.seed, said["number"], generated), options.keep)
        start += BATCH
    print(", ".join(f"{count:,} {word}" for word, count in tried.most_common()))
    for kind, count in kinds.items():
        print(f"{count:,} times: {kind}")
    return 1 if kinds else 0


def _tell(said: dict[str, Any], law: str, one: Input, keep: Path | None) -> None:
    print(f"input {said['number']} ({said['made']}, {len(one.data):,} bytes): {law}", flush=True)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{said['number']}-{one.name}").write_bytes(one.data)


if __name__ == "__main__":
    sys.exit(main())
