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
from testbed.notebooks import Book, CodeCell, Style
import ga_lint.cli.fix, ga_lint.fixers.registry
from ga_lint.cli.main import main

ga_lint.fixers.registry.fixer_names()
OLD = {
    "a.py": HIT.encode(),
    "b.py": HIT.encode(),
    "c.ipynb": Book([CodeCell(HIT.splitlines())], Style()).written(),
}
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
    for name, old in OLD.items():
        (folder / name).write_bytes(old)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        dying_at(number)
        os._exit(main(["fix", "--no-verify", "."]))
    ended = os.WIFEXITED(os.waitpid(child, 0)[1])
    seen.append([(folder / name).read_bytes().decode() for name in OLD])
print(json.dumps({"old": [old.decode() for old in OLD.values()], "seen": seen}))
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
    old: list[str] = result["old"]
    seen: list[list[str]] = result["seen"]
    name_of = {**dict.fromkeys(old, "old"), **dict.fromkeys(seen[-1], "new")}
    assert len(name_of) == 4  # the two modules are alike
    assert {tuple(name_of.get(text, text) for text in files) for files in seen} == {
        ("old", "old", "old"),
        ("new", "old", "old"),
        ("new", "new", "old"),
        ("new", "new", "new"),
    }
    assert len(seen) > 10  # there were steps to be killed at
