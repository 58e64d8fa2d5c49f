"""Is every file old or new when `ga-lint fix` is killed, whatever it was doing?"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.fixtures import ROOT

# Rewrites one folder again and again in a forked child that kills itself at its n-th call of a function that changes
# the disk, half a write done, for n = 1, 2, ... until a child comes to its end.
_DRIVER = """
import json, os, pathlib, signal, sys
from testbed.shell import HIT
import ga_lint.cli.fix, ga_lint.fixers.registry
from ga_lint.cli.main import main

ga_lint.fixers.registry.fixer_names()
OLD = HIT.encode()
NAMES = ("write", "fsync", "chmod", "chown", "open", "close", "replace", "unlink")

def dying_at(number):
    calls = 0
    def dying(name, real):
        def call(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == number:
                if name == "write":
                    real(args[0], bytes(args[1])[: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)
        return call
    for name in NAMES:
        setattr(os, name, dying(name, getattr(os, name)))

seen, number, ended = [], 0, False
while not ended:
    number += 1
    folder = pathlib.Path(sys.argv[1], str(number))
    folder.mkdir()
    for name in ("a.py", "b.py"):
        (folder / name).write_bytes(OLD)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        dying_at(number)
        os._exit(main(["fix", "--no-verify", "."]))
    ended = os.WIFEXITED(os.waitpid(child, 0)[1])
    seen.append([(folder / name).read_bytes().decode() for name in ("a.py", "b.py")])
print(json.dumps({"old": HIT, "seen": seen}))
"""


@pytest.mark.slow
def test_killed_at_every_step(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": ""},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    seen: list[list[str]] = result["seen"]
    name_of = {result["old"]: "old", seen[-1][0]: "new"}
    assert len(name_of) == 2
    assert {tuple(name_of.get(text, text) for text in pair) for pair in seen} == {
        ("old", "old"),
        ("new", "old"),
        ("new", "new"),
    }
    assert len(seen) > 10  # there were steps to be killed at
